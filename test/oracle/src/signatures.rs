//! Which functions and operators can be called: those of Freshet's own table that PostgreSQL has with the same types, so
//! that a new table entry is compared with PostgreSQL from its first day.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use expr::func::{self, ArgType, FuncDef, FuncKind, Volatility};
use repr::{RangeType, ScalarType};
use tokio_postgres::Client;

use crate::types::array_of;

/// Functions that are left out, each with the reason.
const EXCLUDED: &[(&str, &str)] = &[
    ("parse_ident", "its errors quote what they parse; the text itself is compared in .slt files"),
    ("json_build_array", "json is jsonb here, and prints so"),
    ("json_build_object", "json is jsonb here, and prints so"),
    ("array_to_json", "json is jsonb here, and prints so"),
    ("row_to_json", "json is jsonb here, and prints so"),
    ("to_json", "json is jsonb here, and prints so"),
    ("scale", "numbers keep no trailing zeros, so their scale differs"),
    ("min_scale", "numbers keep no trailing zeros, so their scale differs"),
    ("trim_scale", "numbers keep no trailing zeros, so their scale differs"),
    ("pg_typeof", "names of types are compared in .slt files"),
    ("pg_column_size", "rows are packed differently"),
    ("pg_get_serial_sequence", "belongs to the system catalog"),
    ("pg_size_bytes", "belongs to the system catalog"),
    ("pg_encoding_to_char", "belongs to the system catalog"),
    ("to_regtype", "belongs to the system catalog"),
    ("power", "numeric powers are inexact in both, in different digits"),
    ("pow", "numeric powers are inexact in both, in different digits"),
    ("^", "numeric powers are inexact in both, in different digits"),
    ("cot", "-0 is 0 here, and their cotangents are infinite on different sides"),
    ("cotd", "-0 is 0 here, and their cotangents are infinite on different sides"),
    ("atan2", "-0 is 0 here, and half a turn away from it"),
    ("atan2d", "-0 is 0 here, and half a turn away from it"),
    ("exp", "numeric exponentials overflow at different magnitudes"),
];

/// Functions whose results agree to some digits only: they may be shown, but not compared or grouped by.
const INEXACT: &[&str] = &[
    "sqrt",
    "cbrt",
    "ln",
    "log",
    "log10",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "sind",
    "cosd",
    "tand",
    "asind",
    "acosd",
    "atand",
    "degrees",
    "radians",
    "exp",
    "pi",
    "|/",
    "||/",
    "|/ ",
    "random",
    "pg_column_size",
];

/// Arguments that only make sense with certain texts: of which function, which argument, which texts.
const HINTS: &[(&str, usize, &[&str])] = &[
    ("date_trunc", 0, UNITS),
    ("date_part", 0, UNITS),
    ("extract", 0, UNITS),
    ("datediff", 0, UNITS),
    ("timezone", 0, &["UTC", "America/New_York", "Europe/Berlin", "+02"]),
    ("date_trunc", 2, &["UTC", "America/New_York"]),
    ("encode", 1, &["hex", "base64", "escape"]),
    ("decode", 1, &["hex", "base64", "escape"]),
    ("convert_from", 1, &["UTF8"]),
    ("convert_to", 1, &["UTF8"]),
    ("normalize", 1, &["NFC", "NFD", "NFKC"]),
    ("jsonb_set_lax", 4, &["use_json_null", "delete_key", "return_target"]),
    ("to_date", 1, &["YYYY-MM-DD"]),
    ("to_timestamp", 1, &["YYYY-MM-DD HH24:MI:SS"]),
    ("to_number", 1, &["999", "99.99"]),
    ("format", 0, &["%s", "%s-%s", "%I", "%L", "%%"]),
    ("int4range", 2, BOUNDS),
    ("int8range", 2, BOUNDS),
    ("numrange", 2, BOUNDS),
    ("daterange", 2, BOUNDS),
    ("tsrange", 2, BOUNDS),
    ("tstzrange", 2, BOUNDS),
    ("@?", 1, PATHS),
    ("@@", 1, PATHS),
    ("jsonb_path_exists", 1, PATHS),
    ("jsonb_path_match", 1, PATHS),
    ("jsonb_path_query_array", 1, PATHS),
    ("jsonb_path_query_first", 1, PATHS),
    ("like_escape", 1, &["\\", "#", ""]),
    ("regexp_match", 2, FLAGS),
    ("regexp_like", 2, FLAGS),
    ("regexp_replace", 3, FLAGS),
    ("regexp_split_to_array", 2, FLAGS),
    ("regexp_count", 3, FLAGS),
    ("digest", 1, &["md5", "sha256"]),
];
/// A number's format without text of its own, which stands elsewhere in the two databases.
const NUMBER_FORMATS: &[&str] = &["999", "FM9990.99", "S999", "09.9"];
const TIME_FORMATS: &[&str] = &["YYYY-MM-DD", "HH24:MI:SS.US", "Day Mon", "Q WW"];
const UNITS: &[&str] = &["year", "month", "day", "hour", "quarter", "week", "decade", "minute", "second", "millennium"];
const BOUNDS: &[&str] = &["[)", "[]", "()", "(]"];
const PATHS: &[&str] =
    &["$", "$.a", "$.a.b[*]", "$[*] ? (@ == 1)", "$.* > 1", "strict $.a", "$[0 to 1]", "$.a ? (@.b != null)"];
const FLAGS: &[&str] = &["", "i", "c"];
const PATTERNS: &[&str] = &["a", "b+", "^a", "[a-z]*", "(a)(b)?", "x|y", ".$", "\\d"];

/// A function or operator of both databases.
pub(crate) struct Signature {
    pub(crate) def: &'static FuncDef,
    pub(crate) exact: bool,
}

impl Signature {
    /// The texts that an argument is taken from.
    pub(crate) fn hint(&self, argument: usize) -> Option<&'static [&'static str]> {
        let name = self.def.name;
        let two_texts = self.def.args == [ArgType::Text, ArgType::Text];
        let takes_pattern = name.starts_with("regexp_")
            || matches!(name, "~" | "~*" | "!~" | "!~*")
            || (name == "substring" && two_texts);
        let pattern = argument == 1 && takes_pattern;
        if pattern {
            return Some(PATTERNS);
        }
        if name == "to_char" && argument == 1 {
            let number = matches!(self.def.args[0], ArgType::Int4 | ArgType::Int8 | ArgType::Numeric | ArgType::Float8);
            return Some(if number { NUMBER_FORMATS } else { TIME_FORMATS });
        }
        HINTS.iter().find(|(hinted, position, _)| *hinted == name && *position == argument).map(|(_, _, texts)| *texts)
    }

    /// True for a number that says how many, where large ones make large values.
    pub(crate) fn is_count(&self, argument: usize) -> bool {
        let large = matches!(
            self.def.returns,
            ArgType::Text | ArgType::Bytes | ArgType::AnyArray | ArgType::TextArray | ArgType::Date | ArgType::Interval
        );
        let whole = matches!(self.def.args.get(argument), Some(ArgType::Int4 | ArgType::Int8));
        whole
            && (large
                || self.def.name.starts_with("regexp_")
                || matches!(self.def.name, "<<" | ">>" | "round" | "trunc" | "factorial"))
    }
}

/// The shared functions, by what they return.
pub(crate) struct Signatures {
    all: Vec<Signature>,
}

impl Signatures {
    /// Keeps of Freshet's functions those that PostgreSQL has.
    pub(crate) async fn load(postgres: &Client) -> Result<Signatures> {
        let known = known_to_postgres(postgres).await?;
        let usable = |def: &&'static FuncDef| {
            def.volatility == Volatility::Immutable
                && matches!(def.kind, FuncKind::Function | FuncKind::Operator)
                && !EXCLUDED.iter().any(|(name, _)| *name == def.name)
                && def.args.iter().chain(&def.variadic).chain([&def.returns]).all(|arg| is_shared(*arg))
                && known.contains(&spelling(def))
        };
        let defs = func::all().map(|func| func.0).filter(usable);
        let all: Vec<Signature> = defs.map(|def| Signature { def, exact: is_exact(def) }).collect();
        anyhow::ensure!(all.len() > 200, "only {} functions are shared with PostgreSQL", all.len());
        Ok(Signatures { all })
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Those that can return a type, with what their `anyelement` then must be, if their result says so.
    pub(crate) fn returning(&self, typ: &ScalarType) -> Vec<(&Signature, Option<ScalarType>)> {
        self.all.iter().filter_map(|signature| Some((signature, unify(signature.def, typ)?))).collect()
    }
}

/// Whether a declared result can be `typ`, and what that makes of the element type.
fn unify(def: &FuncDef, typ: &ScalarType) -> Option<Option<ScalarType>> {
    let args = def.args;
    match (def.returns, typ) {
        (ArgType::AnyElement, typ) if args.contains(&ArgType::AnyRange) => {
            RangeType::of_element(typ).map(|range| Some(range.element()))
        }
        (ArgType::AnyElement, typ) => Some(Some(typ.clone())),
        (ArgType::AnyArray, ScalarType::Array(element)) => Some(Some((**element).clone())),
        (ArgType::AnyRange, ScalarType::Range(range)) => Some(Some(range.element())),
        (returns, typ) => (returns.concrete().as_ref() == Some(typ)).then_some(None),
    }
}

fn is_exact(def: &FuncDef) -> bool {
    let quotient = def.name == "/" && def.returns == ArgType::Numeric;
    // Two spellings of one length of time are equal, and it is open which of them a group shows.
    let spelled = def.returns == ArgType::Interval;
    !quotient && !spelled && !INEXACT.contains(&def.name)
}

fn is_shared(arg: ArgType) -> bool {
    use ArgType::*;
    !matches!(
        arg,
        UInt2
            | UInt4
            | UInt8
            | Float4
            | Name
            | Oid
            | RegClass
            | RegProc
            | RegNamespace
            | RegRole
            | AnyEnum
            | RegType
            | MzTimestamp
            | AnyList
            | AnyMap
            | Record
    )
}

/// How a function is looked up among PostgreSQL's: polymorphic arguments are all alike.
fn spelling(def: &FuncDef) -> String {
    let args = def.args.iter().map(|arg| match arg.concrete() {
        Some(typ) => repr::pg_type::sql_name(&typ),
        None => "any".to_owned(),
    });
    let kind = if def.kind == FuncKind::Operator { "operator" } else { "function" };
    let variadic = def.variadic.map(|_| "any".to_owned());
    format!("{kind} {}({})", def.name, args.chain(variadic).collect::<Vec<_>>().join(", "))
}

async fn known_to_postgres(postgres: &Client) -> Result<BTreeSet<String>> {
    let shown = "CASE WHEN typname LIKE 'any%' OR typname = 'jsonpath' THEN CASE typname WHEN 'jsonpath' THEN 'text' \
                 ELSE 'any' END ELSE format_type(t.oid, NULL) END";
    let functions = format!(
        "SELECT 'function ' || proname || '(' || coalesce((SELECT string_agg({shown}, ', ' ORDER BY n) \
         FROM unnest(proargtypes) WITH ORDINALITY AS a(o, n) JOIN pg_type t ON t.oid = a.o), '') || ')' \
         FROM pg_proc WHERE prokind = 'f' AND NOT proretset AND provolatile <> 'v'"
    );
    let operators = format!(
        "SELECT 'operator ' || oprname || '(' || (SELECT string_agg({shown}, ', ' ORDER BY n) \
         FROM unnest(array_remove(ARRAY[oprleft, oprright], 0)) WITH ORDINALITY AS a(o, n) JOIN pg_type t ON t.oid = a.o) || ')' \
         FROM pg_operator WHERE oprresult <> 0"
    );
    let mut known = BTreeSet::new();
    for query in [functions, operators] {
        let rows = system_test::server::rows(postgres, &query).await.context("listing PostgreSQL's functions")?;
        known.extend(rows.into_iter().filter_map(|mut row| row.pop().flatten()));
    }
    Ok(known)
}

/// An aggregate of both databases.
pub(crate) struct AggregateSignature {
    pub(crate) name: &'static str,
    pub(crate) arg: ScalarType,
    pub(crate) returns: ScalarType,
    /// The rows must come in a stated order.
    pub(crate) ordered: bool,
    pub(crate) exact: bool,
}

/// The aggregates of one argument, by what they return.
pub(crate) fn aggregates() -> BTreeMap<ScalarType, Vec<AggregateSignature>> {
    use ScalarType::*;
    let numeric = Numeric(None);
    let mut all = Vec::new();
    let mut add = |names: &[&'static str], arg: &ScalarType, returns: &ScalarType, ordered: bool, exact: bool| {
        for name in names {
            all.push(AggregateSignature { name, arg: arg.clone(), returns: returns.clone(), ordered, exact });
        }
    };
    for (arg, sum) in [(Int2, Int8), (Int4, Int8), (Int8, numeric.clone()), (numeric.clone(), numeric.clone())] {
        add(&["sum"], &arg, &sum, false, true);
        add(&["avg", "stddev", "variance", "stddev_pop", "var_pop"], &arg, &numeric, false, false);
    }
    add(&["sum", "avg", "stddev", "var_samp"], &Float8, &Float8, false, false);
    add(&["sum", "avg"], &Interval(None), &Interval(None), false, false);
    for integer in [Int2, Int4, Int8] {
        add(&["bit_and", "bit_or", "bit_xor"], &integer, &integer, false, true);
    }
    add(&["bool_and", "bool_or", "every"], &Bool, &Bool, false, true);
    let ordered =
        [Int2, Int4, Int8, Float8, numeric.clone(), Text, Date, Time(None), Timestamp(None), TimestampTz(None)];
    for typ in &ordered {
        add(&["min", "max"], typ, typ, false, true);
    }
    add(&["min", "max"], &Interval(None), &Interval(None), false, false);
    for typ in [Int4, Text] {
        add(&["array_agg"], &typ, &array_of(typ.clone()), true, true);
    }
    for typ in ordered.iter().chain([&Bool, &Uuid, &Jsonb]) {
        add(&["count"], typ, &Int8, false, true);
        if *typ != numeric && *typ != Float8 {
            add(&["jsonb_agg"], typ, &Jsonb, true, true);
        }
    }
    let mut by_result: BTreeMap<ScalarType, Vec<AggregateSignature>> = BTreeMap::new();
    for signature in all {
        by_result.entry(signature.returns.clone()).or_default().push(signature);
    }
    by_result
}
