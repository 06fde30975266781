//! `pg_proc`: the functions, from the table by which they are also found and evaluated.

use expr::Func;
use expr::func::{ArgType, FuncKind, Volatility};
use repr::{Datum, Kind, Row, pg_type};

use super::Column::{Bool, Int2, Oid, OidArray, Text};
use super::{Builtin, Facts, OWNER_OID, oid, push_array};
use crate::catalog::Catalog;

pub(super) const BUILTINS: &[Builtin] = &[Builtin {
    id: 118,
    schema: "pg_catalog",
    name: "pg_proc",
    columns: &[
        ("oid", Oid),
        ("proname", Text),
        ("pronamespace", Oid),
        ("proowner", Oid),
        ("prolang", Oid),
        ("prokind", Text),
        ("proisstrict", Bool),
        ("proretset", Bool),
        ("provolatile", Text),
        ("pronargs", Int2),
        ("prorettype", Oid),
        ("prosrc", Text),
        ("proargtypes", OidArray),
    ],
    rows: procedures,
}];

/// PostgreSQL's oid of `pg_catalog`.
const PG_CATALOG_OID: u32 = 11;
/// PostgreSQL's oid of the language `internal`.
const LANGUAGE_OID: u32 = 12;
/// The first function's oid; the others follow in the order of the table, so that they change from version to version.
const FIRST_OID: u32 = 100_000;

/// A function as `pg_proc` shows it.
pub(super) struct Procedure {
    pub(super) oid: u32,
    pub(super) name: &'static str,
    kind: &'static str,
    strict: bool,
    returns_set: bool,
    volatility: &'static str,
    args: Vec<Shown>,
    returns: Shown,
}

/// A type, also one that stands for many.
struct Shown {
    oid: u32,
    name: String,
}

impl Procedure {
    /// The types of the arguments, as `\df` shows them.
    pub(super) fn arguments(&self) -> String {
        self.args.iter().map(|arg| arg.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn result(&self) -> String {
        format!("{}{}", if self.returns_set { "SETOF " } else { "" }, self.returns.name)
    }
}

/// All functions, aggregates and set-returning functions.
pub(super) fn all() -> Vec<Procedure> {
    let functions = expr::func::all().filter(|func| func.kind == FuncKind::Function).map(function);
    let aggregates = AGGREGATES.iter().map(|(name, arg, returns)| special(name, arg, returns, "a", false));
    let sets = SETS.iter().map(|(name, args, returns)| special(name, args, returns, "f", true));
    let mut all: Vec<Procedure> = functions.chain(aggregates).chain(sets).collect();
    for (number, procedure) in (FIRST_OID..).zip(&mut all) {
        procedure.oid = number;
    }
    all
}

fn function(func: Func) -> Procedure {
    Procedure {
        oid: 0,
        name: func.0.name,
        kind: "f",
        strict: func.strict,
        returns_set: false,
        volatility: match func.volatility {
            Volatility::Immutable => "i",
            Volatility::Stable => "s",
            Volatility::Volatile => "v",
        },
        args: func.args.iter().chain(&func.variadic).map(|arg| shown(*arg)).collect(),
        returns: shown(func.returns),
    }
}

fn special(
    name: &'static str,
    args: &[&'static str],
    returns: &'static str,
    kind: &'static str,
    returns_set: bool,
) -> Procedure {
    let args = args.iter().copied().map(by_name).collect();
    let returns = by_name(returns);
    Procedure { oid: 0, name, kind, strict: false, returns_set, volatility: "i", args, returns }
}

/// PostgreSQL's pseudo-types.
const PSEUDO: &[(&str, u32)] = &[
    ("record", 2249),
    ("any", 2276),
    ("anyarray", 2277),
    ("anyelement", 2283),
    ("anycompatible", 5077),
    ("anyrange", 3831),
];

fn by_name(name: &str) -> Shown {
    let pseudo = PSEUDO.iter().find(|(known, _)| *known == name).map(|(_, oid)| *oid);
    let oid = pseudo.or_else(|| pg_type::from_name(name).map(|typ| pg_type::oid(&typ)));
    Shown { oid: oid.unwrap_or(0), name: name.to_owned() }
}

fn shown(arg: ArgType) -> Shown {
    match arg {
        ArgType::Any => by_name("any"),
        ArgType::AnyElement => by_name("anyelement"),
        ArgType::AnyArray => by_name("anyarray"),
        ArgType::AnyCompatible => by_name("anycompatible"),
        ArgType::Record => by_name("record"),
        ArgType::AnyList => by_name("list"),
        ArgType::AnyMap => by_name("map"),
        ArgType::AnyRange => by_name("anyrange"),
        concrete => match concrete.concrete() {
            Some(typ) => Shown { oid: pg_type::oid(&typ), name: pg_type::sql_name(&typ) },
            None => by_name("any"),
        },
    }
}

type Special = (&'static str, &'static [&'static str], &'static str);

/// Aggregates, each with its most general argument.
const AGGREGATES: &[Special] = &[
    ("count", &["any"], "bigint"),
    ("sum", &["smallint"], "bigint"),
    ("sum", &["integer"], "bigint"),
    ("sum", &["bigint"], "numeric"),
    ("sum", &["numeric"], "numeric"),
    ("sum", &["real"], "real"),
    ("sum", &["double precision"], "double precision"),
    ("sum", &["interval"], "interval"),
    ("avg", &["bigint"], "numeric"),
    ("avg", &["numeric"], "numeric"),
    ("avg", &["double precision"], "double precision"),
    ("avg", &["interval"], "interval"),
    ("min", &["anyelement"], "anyelement"),
    ("max", &["anyelement"], "anyelement"),
    ("bool_and", &["boolean"], "boolean"),
    ("bool_or", &["boolean"], "boolean"),
    ("every", &["boolean"], "boolean"),
    ("stddev", &["numeric"], "numeric"),
    ("stddev_samp", &["numeric"], "numeric"),
    ("stddev_pop", &["numeric"], "numeric"),
    ("variance", &["numeric"], "numeric"),
    ("var_samp", &["numeric"], "numeric"),
    ("var_pop", &["numeric"], "numeric"),
    ("string_agg", &["text", "text"], "text"),
    ("array_agg", &["anyelement"], "anyarray"),
    ("jsonb_agg", &["anyelement"], "jsonb"),
    ("jsonb_object_agg", &["any", "any"], "jsonb"),
];

const SETS: &[Special] = &[
    ("generate_series", &["integer", "integer"], "integer"),
    ("generate_series", &["integer", "integer", "integer"], "integer"),
    ("generate_series", &["bigint", "bigint"], "bigint"),
    ("generate_series", &["bigint", "bigint", "bigint"], "bigint"),
    (
        "generate_series",
        &["timestamp without time zone", "timestamp without time zone", "interval"],
        "timestamp without time zone",
    ),
    (
        "generate_series",
        &["timestamp with time zone", "timestamp with time zone", "interval"],
        "timestamp with time zone",
    ),
    ("generate_subscripts", &["anyarray", "integer"], "integer"),
    ("generate_subscripts", &["anyarray", "integer", "boolean"], "integer"),
    ("jsonb_array_elements", &["jsonb"], "jsonb"),
    ("jsonb_array_elements_text", &["jsonb"], "text"),
    ("jsonb_each", &["jsonb"], "record"),
    ("jsonb_each_text", &["jsonb"], "record"),
    ("jsonb_object_keys", &["jsonb"], "text"),
    ("regexp_matches", &["text", "text"], "text[]"),
    ("regexp_matches", &["text", "text", "text"], "text[]"),
    ("regexp_split_to_table", &["text", "text"], "text"),
    ("regexp_split_to_table", &["text", "text", "text"], "text"),
    ("string_to_table", &["text", "text"], "text"),
    ("string_to_table", &["text", "text", "text"], "text"),
    ("unnest", &["anyarray"], "anyelement"),
];

fn procedures(_: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for procedure in all() {
        let mut row = Row::pack([
            oid(procedure.oid),
            Datum::Text(procedure.name),
            oid(PG_CATALOG_OID),
            oid(OWNER_OID),
            oid(LANGUAGE_OID),
            Datum::Text(procedure.kind),
            Datum::Bool(procedure.strict),
            Datum::Bool(procedure.returns_set),
            Datum::Text(procedure.volatility),
            Datum::Int(procedure.args.len() as i64),
            oid(procedure.returns.oid),
            Datum::Text(procedure.name),
        ]);
        let args: Vec<Datum<'_>> = procedure.args.iter().map(|arg| oid(arg.oid)).collect();
        push_array(&mut row, &args, Kind::UInt);
        out.push(row);
    }
}
