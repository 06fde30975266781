//! The SQL/JSON path language in functions and operators.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use repr::jsonb::{Json, JsonbRef};
use repr::{Arena, Datum};

use super::ArgType::{Bool, Jsonb, Text};
use super::jsonb::build;
use super::{ArgType, Body, FuncDef, Value, function, operator};
use crate::error::EvalError;
use crate::jsonpath::{self, Failure, Path};

pub(super) static TABLE: &[FuncDef] = &[
    operator(
        "jsonb_path_exists_operator",
        "@?",
        &[Jsonb, Text],
        Bool,
        |a, _, arena| exists(a, true, arena),
        "True if a path leads anywhere.",
    )
    .fallible()
    .nullable(),
    operator(
        "jsonb_path_match_operator",
        "@@",
        &[Jsonb, Text],
        Bool,
        |a, _, arena| matches(a, true, arena),
        "The truth of a path that is a predicate.",
    )
    .fallible()
    .nullable(),
    of_path("jsonb_path_exists", "jsonb_path_exists", ARGS_2, Bool, EXISTS, "True if a path leads anywhere."),
    of_path(
        "jsonb_path_exists_vars",
        "jsonb_path_exists",
        ARGS_3,
        Bool,
        EXISTS,
        "True if a path with variables leads anywhere.",
    ),
    of_path(
        "jsonb_path_exists_silent",
        "jsonb_path_exists",
        ARGS_4,
        Bool,
        EXISTS,
        "True if a path with variables leads anywhere; with true, NULL in the place of errors.",
    ),
    of_path("jsonb_path_match", "jsonb_path_match", ARGS_2, Bool, MATCH, "The truth of a path that is a predicate."),
    of_path(
        "jsonb_path_match_vars",
        "jsonb_path_match",
        ARGS_3,
        Bool,
        MATCH,
        "The truth of a path that is a predicate with variables.",
    ),
    of_path(
        "jsonb_path_match_silent",
        "jsonb_path_match",
        ARGS_4,
        Bool,
        MATCH,
        "The truth of a path that is a predicate with variables; with true, NULL in the place of errors.",
    ),
    of_path(
        "jsonb_path_query_array",
        "jsonb_path_query_array",
        ARGS_2,
        Jsonb,
        ARRAY,
        "Everything a path leads to, as an array.",
    ),
    of_path(
        "jsonb_path_query_array_vars",
        "jsonb_path_query_array",
        ARGS_3,
        Jsonb,
        ARRAY,
        "Everything a path with variables leads to, as an array.",
    ),
    of_path(
        "jsonb_path_query_array_silent",
        "jsonb_path_query_array",
        ARGS_4,
        Jsonb,
        ARRAY,
        "Everything a path with variables leads to, as an array; with true, nothing in the place of errors.",
    ),
    of_path(
        "jsonb_path_query_first",
        "jsonb_path_query_first",
        ARGS_2,
        Jsonb,
        FIRST,
        "The first of what a path leads to; NULL if there is nothing.",
    ),
    of_path(
        "jsonb_path_query_first_vars",
        "jsonb_path_query_first",
        ARGS_3,
        Jsonb,
        FIRST,
        "The first of what a path with variables leads to.",
    ),
    of_path(
        "jsonb_path_query_first_silent",
        "jsonb_path_query_first",
        ARGS_4,
        Jsonb,
        FIRST,
        "The first of what a path with variables leads to; with true, NULL in the place of errors.",
    ),
];

const ARGS_2: &[ArgType] = &[Jsonb, Text];
const ARGS_3: &[ArgType] = &[Jsonb, Text, Jsonb];
const ARGS_4: &[ArgType] = &[Jsonb, Text, Jsonb, Bool];

const EXISTS: Body = |a, _, arena| exists(a, is_silent(a), arena);
const MATCH: Body = |a, _, arena| matches(a, is_silent(a), arena);
const ARRAY: Body = |a, _, arena| {
    let found = query(a, is_silent(a), arena)?.unwrap_or_default();
    build(arena, |builder| {
        builder.begin_array()?;
        found.iter().try_for_each(|item| builder.push(*item))?;
        builder.end_array();
        Ok(())
    })
};
const FIRST: Body = |a, _, arena| first(a, is_silent(a), arena);

const fn of_path(
    key: &'static str,
    name: &'static str,
    args: &'static [ArgType],
    returns: ArgType,
    body: Body,
    doc: &'static str,
) -> FuncDef {
    function(key, name, args, returns, body, doc).fallible().nullable()
}

/// Parsed paths kept by each thread; beyond that all are forgotten.
const CACHED_PATHS_MAX: usize = 64;

thread_local! {
    /// Paths are nearly always constants.
    static PARSED: RefCell<BTreeMap<String, Rc<Path>>> = const { RefCell::new(BTreeMap::new()) };
}

fn parsed(path: &str) -> Result<Rc<Path>, EvalError> {
    if let Some(path) = PARSED.with_borrow(|cache| cache.get(path).cloned()) {
        return Ok(path);
    }
    let fresh = Rc::new(jsonpath::parse(path)?);
    PARSED.with_borrow_mut(|cache| {
        if cache.len() >= CACHED_PATHS_MAX {
            cache.clear();
        }
        cache.insert(path.to_owned(), fresh.clone());
    });
    Ok(fresh)
}

fn is_silent(args: &[Datum<'_>]) -> bool {
    args.get(3).is_some_and(|silent| silent.unwrap_bool())
}

/// The variables of a call: an object.
fn variables<'a>(args: &[Datum<'a>], arena: &'a Arena) -> Result<JsonbRef<'a>, EvalError> {
    match args.get(2) {
        Some(variables) => Ok(variables.unwrap_jsonb()),
        None => JsonbRef::parse("{}", arena).map_err(super::jsonb_error),
    }
}

/// What a silent call makes of an outcome: none for an error of the data.
fn settled<T>(outcome: Result<T, Failure>, silent: bool) -> Result<Option<T>, EvalError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Failure::Data(_)) if silent => Ok(None),
        Err(Failure::Data(error) | Failure::Call(error)) => Err(error),
        Err(Failure::Enough) => Ok(None),
    }
}

/// All items of a call `(value, path, variables, silent)`; of a silent one those found before an error.
pub(crate) fn query_items<'a>(args: &[Datum<'a>], arena: &'a Arena) -> Result<Vec<JsonbRef<'a>>, EvalError> {
    Ok(query(args, is_silent(args), arena)?.unwrap_or_default())
}

fn query<'a>(args: &[Datum<'a>], silent: bool, arena: &'a Arena) -> Result<Option<Vec<JsonbRef<'a>>>, EvalError> {
    let path = parsed(args[1].unwrap_text())?;
    settled(jsonpath::query(&path, args[0].unwrap_jsonb(), variables(args, arena)?, arena), silent)
}

fn exists<'a>(args: &[Datum<'a>], silent: bool, arena: &'a Arena) -> Value<'a> {
    let path = parsed(args[1].unwrap_text())?;
    let walked =
        jsonpath::visit(&path, args[0].unwrap_jsonb(), variables(args, arena)?, arena, &mut |_| Err(Failure::Enough));
    match walked {
        Err(Failure::Enough) => Ok(Datum::TRUE),
        walked => Ok(settled(walked, silent)?.map_or(Datum::Null, |()| Datum::FALSE)),
    }
}

fn matches<'a>(args: &[Datum<'a>], silent: bool, arena: &'a Arena) -> Value<'a> {
    let Some(found) = query(args, silent, arena)? else { return Ok(Datum::Null) };
    if let [one] = found.as_slice() {
        match one.decode() {
            Json::Bool(value) => return Ok(Datum::Bool(value)),
            Json::Null => return Ok(Datum::Null),
            _ => {}
        }
    }
    if silent { Ok(Datum::Null) } else { Err(EvalError::new("22038", "single boolean result is expected")) }
}

fn first<'a>(args: &[Datum<'a>], silent: bool, arena: &'a Arena) -> Value<'a> {
    let found = query(args, silent, arena)?;
    Ok(found.and_then(|items| items.first().copied()).map_or(Datum::Null, Datum::Jsonb))
}
