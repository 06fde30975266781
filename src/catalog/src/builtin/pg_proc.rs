//! `pg_proc`: the functions, from the table by which they are also found and evaluated.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use expr::Func;
use expr::func::{ArgType, FuncKind, Volatility};
use repr::{Datum, Kind, Row, pg_type};

use super::Column::{Bool, Int2, Oid, OidArray, Text};
use super::pg_type::{PG_CATALOG_OID, PSEUDO};
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
        self.argument_names().collect::<Vec<_>>().join(", ")
    }

    pub(super) fn argument_names(&self) -> impl Iterator<Item = &str> {
        self.args.iter().map(|arg| arg.name.as_str())
    }

    /// The name with the types of the arguments, as a `regprocedure` is shown.
    pub(super) fn signature(&self) -> String {
        format!("{}({})", sql::quoted(self.name), self.argument_names().collect::<Vec<_>>().join(","))
    }

    /// The ways to write [`Procedure::signature`]: with the types' other names, and with a blank behind each comma.
    pub(super) fn spellings(&self) -> BTreeSet<String> {
        let short =
            |arg: &Shown| pg_type::from_oid(arg.oid).map_or(arg.name.clone(), |typ| pg_type::lookup(&typ).name.into());
        let usual = |arg: &Shown| if arg.name == "integer" { "int".to_owned() } else { arg.name.clone() };
        let full = self.args.iter().map(|arg| arg.name.clone()).collect();
        let names: [Vec<String>; 3] =
            [full, self.args.iter().map(short).collect(), self.args.iter().map(usual).collect()];
        let spelled = |names: &Vec<String>| [",", ", "].map(|comma| format!("{}({})", self.name, names.join(comma)));
        names.iter().flat_map(spelled).collect()
    }

    pub(super) fn result(&self) -> String {
        format!("{}{}", if self.returns_set { "SETOF " } else { "" }, self.returns.name)
    }
}

/// All functions, aggregates and set-returning functions.
pub(super) fn all() -> &'static [Procedure] {
    static ALL: LazyLock<Vec<Procedure>> = LazyLock::new(list);
    &ALL
}

fn list() -> Vec<Procedure> {
    let functions = expr::func::all().filter(|func| func.kind == FuncKind::Function).map(function);
    let aggregates = AGGREGATES.iter().map(|(name, arg, returns)| special(name, arg, returns, "a", false));
    let windows = WINDOWS.iter().map(|(name, args, returns)| special(name, args, returns, "w", false));
    let sets = SETS.iter().map(|(name, args, returns)| special(name, args, returns, "f", true));
    let mut all: Vec<Procedure> = functions.chain(aggregates).chain(windows).chain(sets).collect();
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

fn by_name(name: &str) -> Shown {
    Shown { oid: type_oid_by_name(name), name: name.to_owned() }
}

/// The oid of a type, also of one that stands for many.
pub(super) fn type_oid_by_name(name: &str) -> u32 {
    let many = PSEUDO.iter().find(|(known, _, _)| *known == name).map(|(_, oid, _)| *oid);
    let single = || match name {
        "record" => Some(pg_type::RECORD_OID),
        "list" => Some(pg_type::LIST_OID),
        "map" => Some(pg_type::MAP_OID),
        name => pg_type::from_name(name).map(|typ| pg_type::oid(&typ)),
    };
    many.or_else(single).expect("the tables name types that there are")
}

/// The oid of a declared argument's type.
pub(super) fn type_oid(arg: ArgType) -> u32 {
    shown(arg).oid
}

fn shown(arg: ArgType) -> Shown {
    match arg.concrete() {
        Some(typ) => Shown { oid: pg_type::oid(&typ), name: pg_type::sql_name(&typ) },
        None => by_name(&arg.name()),
    }
}

type Special = (&'static str, &'static [&'static str], &'static str);

/// Aggregates, each with its most general arguments.
const AGGREGATES: &[Special] = &[
    ("count", &["any"], "bigint"),
    ("sum", &["smallint"], "bigint"),
    ("sum", &["integer"], "bigint"),
    ("sum", &["bigint"], "numeric"),
    ("sum", &["uint2"], "uint8"),
    ("sum", &["uint4"], "uint8"),
    ("sum", &["uint8"], "numeric"),
    ("sum", &["numeric"], "numeric"),
    ("sum", &["real"], "real"),
    ("sum", &["double precision"], "double precision"),
    ("sum", &["interval"], "interval"),
    ("avg", &["smallint"], "numeric"),
    ("avg", &["integer"], "numeric"),
    ("avg", &["bigint"], "numeric"),
    ("avg", &["numeric"], "numeric"),
    ("avg", &["real"], "double precision"),
    ("avg", &["double precision"], "double precision"),
    ("avg", &["interval"], "interval"),
    ("min", &["anyelement"], "anyelement"),
    ("max", &["anyelement"], "anyelement"),
    ("bool_and", &["boolean"], "boolean"),
    ("bool_or", &["boolean"], "boolean"),
    ("every", &["boolean"], "boolean"),
    ("stddev", &["numeric"], "numeric"),
    ("stddev", &["double precision"], "double precision"),
    ("stddev_samp", &["numeric"], "numeric"),
    ("stddev_samp", &["double precision"], "double precision"),
    ("stddev_pop", &["numeric"], "numeric"),
    ("stddev_pop", &["double precision"], "double precision"),
    ("variance", &["numeric"], "numeric"),
    ("variance", &["double precision"], "double precision"),
    ("var_samp", &["numeric"], "numeric"),
    ("var_samp", &["double precision"], "double precision"),
    ("var_pop", &["numeric"], "numeric"),
    ("var_pop", &["double precision"], "double precision"),
    ("bit_and", &["smallint"], "smallint"),
    ("bit_and", &["integer"], "integer"),
    ("bit_and", &["bigint"], "bigint"),
    ("bit_or", &["smallint"], "smallint"),
    ("bit_or", &["integer"], "integer"),
    ("bit_or", &["bigint"], "bigint"),
    ("bit_xor", &["smallint"], "smallint"),
    ("bit_xor", &["integer"], "integer"),
    ("bit_xor", &["bigint"], "bigint"),
    ("corr", &["double precision", "double precision"], "double precision"),
    ("covar_pop", &["double precision", "double precision"], "double precision"),
    ("covar_samp", &["double precision", "double precision"], "double precision"),
    ("regr_avgx", &["double precision", "double precision"], "double precision"),
    ("regr_avgy", &["double precision", "double precision"], "double precision"),
    ("regr_intercept", &["double precision", "double precision"], "double precision"),
    ("regr_r2", &["double precision", "double precision"], "double precision"),
    ("regr_slope", &["double precision", "double precision"], "double precision"),
    ("regr_sxx", &["double precision", "double precision"], "double precision"),
    ("regr_sxy", &["double precision", "double precision"], "double precision"),
    ("regr_syy", &["double precision", "double precision"], "double precision"),
    ("regr_count", &["double precision", "double precision"], "bigint"),
    ("percentile_cont", &["double precision", "double precision"], "double precision"),
    ("percentile_disc", &["double precision", "anyelement"], "anyelement"),
    ("mode", &["anyelement"], "anyelement"),
    ("string_agg", &["text", "text"], "text"),
    ("string_agg", &["bytea", "bytea"], "bytea"),
    ("array_agg", &["anyelement"], "anyarray"),
    ("list_agg", &["any"], "list"),
    ("map_agg", &["text", "any"], "map"),
    ("jsonb_agg", &["anyelement"], "jsonb"),
    ("json_agg", &["anyelement"], "jsonb"),
    ("jsonb_object_agg", &["any", "any"], "jsonb"),
    ("json_object_agg", &["any", "any"], "jsonb"),
];

/// What is called over a window only.
const WINDOWS: &[Special] = &[
    ("row_number", &[], "bigint"),
    ("rank", &[], "bigint"),
    ("dense_rank", &[], "bigint"),
    ("percent_rank", &[], "double precision"),
    ("cume_dist", &[], "double precision"),
    ("ntile", &["integer"], "integer"),
    ("lag", &["anyelement"], "anyelement"),
    ("lag", &["anyelement", "integer"], "anyelement"),
    ("lag", &["anycompatible", "integer", "anycompatible"], "anycompatible"),
    ("lead", &["anyelement"], "anyelement"),
    ("lead", &["anyelement", "integer"], "anyelement"),
    ("lead", &["anycompatible", "integer", "anycompatible"], "anycompatible"),
    ("first_value", &["anyelement"], "anyelement"),
    ("last_value", &["anyelement"], "anyelement"),
    ("nth_value", &["anyelement", "integer"], "anyelement"),
];

/// Functions that return sets of rows.
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
    ("unnest", &["list"], "anyelement"),
    ("unnest", &["map"], "record"),
    ("generate_series", &["numeric", "numeric"], "numeric"),
    ("generate_series", &["numeric", "numeric", "numeric"], "numeric"),
    ("jsonb_path_query", &["jsonb", "text"], "jsonb"),
    ("jsonb_path_query", &["jsonb", "text", "jsonb"], "jsonb"),
    ("jsonb_path_query", &["jsonb", "text", "jsonb", "boolean"], "jsonb"),
    ("jsonb_to_record", &["jsonb"], "record"),
    ("jsonb_to_recordset", &["jsonb"], "record"),
    ("csv_extract", &["bigint", "text"], "record"),
    ("regexp_extract", &["text", "text"], "record"),
    ("_pg_expandarray", &["anyarray"], "record"),
];

fn procedures(_: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(rows);
    out.extend(ROWS.iter().cloned());
}

fn rows() -> Vec<Row> {
    let mut out = Vec::new();
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
    out
}
