//! Functions that return a set of rows: which there are, and which one a call in FROM means.

use expr::TableFunc;
use expr::func::ArgType;
use repr::{Datum, ScalarType};

use super::QueryContext;
use super::coerce::Planned;
use super::resolve::{Resolution, Signature, resolve};
use crate::error::Error;
use crate::hir::HirScalar;

/// A table function with its arguments.
pub(super) struct TableCall {
    pub(super) func: TableFunc,
    pub(super) args: Vec<HirScalar>,
    /// Names of the columns, where the function gives them; else the function's name.
    pub(super) names: Vec<&'static str>,
}

type Maker = fn(&[ScalarType]) -> TableFunc;

/// One way to call a table function.
struct Entry {
    name: &'static str,
    args: &'static [ArgType],
    make: Maker,
    names: &'static [&'static str],
    /// Appended if the last argument was left out.
    default_step: bool,
}

const fn entry(name: &'static str, args: &'static [ArgType], make: Maker) -> Entry {
    Entry { name, args, make, names: &[], default_step: false }
}

const fn series(args: &'static [ArgType], make: Maker, default_step: bool) -> Entry {
    Entry { name: "generate_series", args, make, names: &[], default_step }
}

static ENTRIES: &[Entry] = &[
    series(&[ArgType::Int4, ArgType::Int4], |_| TableFunc::GenerateSeriesInt(ScalarType::Int4), true),
    series(&[ArgType::Int4, ArgType::Int4, ArgType::Int4], |_| TableFunc::GenerateSeriesInt(ScalarType::Int4), false),
    series(&[ArgType::Int8, ArgType::Int8], |_| TableFunc::GenerateSeriesInt(ScalarType::Int8), true),
    series(&[ArgType::Int8, ArgType::Int8, ArgType::Int8], |_| TableFunc::GenerateSeriesInt(ScalarType::Int8), false),
    series(
        &[ArgType::Timestamp, ArgType::Timestamp, ArgType::Interval],
        |_| TableFunc::GenerateSeriesTimestamp(ScalarType::Timestamp(None)),
        false,
    ),
    series(
        &[ArgType::TimestampTz, ArgType::TimestampTz, ArgType::Interval],
        |_| TableFunc::GenerateSeriesTimestamp(ScalarType::TimestampTz(None)),
        false,
    ),
    entry("unnest", &[ArgType::AnyArray], |types| TableFunc::UnnestArray(element(&types[0]))),
    entry("unnest", &[ArgType::AnyList], |types| TableFunc::UnnestList(element(&types[0]))),
    Entry { names: &["value"], ..entry("jsonb_array_elements", &[ArgType::Jsonb], |_| TableFunc::JsonbArrayElements) },
    Entry {
        names: &["value"],
        ..entry("jsonb_array_elements_text", &[ArgType::Jsonb], |_| TableFunc::JsonbArrayElementsText)
    },
    Entry { names: &["key", "value"], ..entry("jsonb_each", &[ArgType::Jsonb], |_| TableFunc::JsonbEach) },
    Entry { names: &["key", "value"], ..entry("jsonb_each_text", &[ArgType::Jsonb], |_| TableFunc::JsonbEachText) },
    entry("jsonb_object_keys", &[ArgType::Jsonb], |_| TableFunc::JsonbObjectKeys),
    entry("generate_subscripts", &[ArgType::AnyArray, ArgType::Int4], |_| TableFunc::GenerateSubscripts),
    entry("generate_subscripts", &[ArgType::AnyArray, ArgType::Int4, ArgType::Bool], |_| TableFunc::GenerateSubscripts),
    entry("regexp_split_to_table", TEXTS_2, |_| TableFunc::RegexpSplitToTable),
    entry("regexp_split_to_table", TEXTS_3, |_| TableFunc::RegexpSplitToTable),
    entry("regexp_matches", TEXTS_2, |_| TableFunc::RegexpMatches),
    entry("regexp_matches", TEXTS_3, |_| TableFunc::RegexpMatches),
    entry("string_to_table", TEXTS_2, |_| TableFunc::StringToTable),
    entry("string_to_table", TEXTS_3, |_| TableFunc::StringToTable),
    Entry {
        names: &["x", "n"],
        ..entry("_pg_expandarray", &[ArgType::AnyArray], |types| TableFunc::ExpandArray(element(&types[0])))
    },
];

const TEXTS_2: &[ArgType] = &[ArgType::Text, ArgType::Text];
const TEXTS_3: &[ArgType] = &[ArgType::Text, ArgType::Text, ArgType::Text];

fn element(typ: &ScalarType) -> ScalarType {
    match typ {
        ScalarType::Array(element) | ScalarType::List(element) => (**element).clone(),
        other => other.clone(),
    }
}

pub(super) fn is_table_function(name: &str) -> bool {
    ENTRIES.iter().any(|entry| entry.name == name)
}

/// The names of all table functions, for near misses.
pub(super) fn table_function_names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|entry| entry.name)
}

impl QueryContext<'_> {
    /// Several calls side by side as one, and the names of all columns: those without a name take that of the table or, if there
    /// are several calls, that of the function.
    pub(super) fn table_calls(
        &mut self,
        calls: Vec<(&str, Vec<Planned>)>,
        table: &str,
    ) -> Result<(TableCall, Vec<String>), Error> {
        let mut names = Vec::new();
        let mut planned = Vec::with_capacity(calls.len());
        let alone = calls.len() == 1;
        for (name, args) in calls {
            let call = match is_table_function(name) {
                true => self.table_call(name, args)?,
                false => {
                    let value = self.call_by_name(name, args)?;
                    let (scalar, typ) = self.settle(value)?;
                    TableCall { func: TableFunc::Wrap { columns: vec![typ] }, args: vec![scalar], names: Vec::new() }
                }
            };
            let default = if alone { table } else { name };
            match &call.names[..] {
                [] => names.extend(vec![default.to_owned(); call.func.output_arity()]),
                own => names.extend(own.iter().map(|name| (*name).to_owned())),
            }
            planned.push(call);
        }
        if planned.len() == 1 {
            return Ok((planned.remove(0), names));
        }
        let func = TableFunc::Lockstep(planned.iter().map(|call| (call.func.clone(), call.args.len())).collect());
        let args = planned.into_iter().flat_map(|call| call.args).collect();
        Ok((TableCall { func, args, names: Vec::new() }, names))
    }

    /// The call of the table function `name` that the arguments select.
    pub(super) fn table_call(&mut self, name: &str, args: Vec<Planned>) -> Result<TableCall, Error> {
        let entries: Vec<&Entry> = ENTRIES.iter().filter(|entry| entry.name == name).collect();
        let args = self.settle_rows(args)?;
        let known: Vec<Option<ScalarType>> = args.iter().map(|arg| arg.known_type().cloned()).collect();
        let signatures: Vec<Signature<'_>> =
            entries.iter().map(|entry| Signature { args: entry.args, variadic: None }).collect();
        let (index, types) = match resolve(&signatures, &known) {
            Resolution::One(index, types) => (index, types),
            Resolution::None => return Err(super::function::no_function(name, &args)),
            Resolution::Ambiguous => return Err(super::function::ambiguous_function(name, &args)),
        };
        let entry = entries[index];
        let mut scalars = Vec::with_capacity(args.len() + 1);
        for (arg, typ) in args.into_iter().zip(&types) {
            scalars.push(self.coerce_resolved(arg, typ)?);
        }
        if entry.default_step {
            scalars.push(HirScalar::literal(Datum::Int(1), types[0].clone()));
        }
        Ok(TableCall { func: (entry.make)(&types), args: scalars, names: entry.names.to_vec() })
    }
}
