//! Functions over the system catalog, which PostgreSQL's clients call in their look-ups.
//!
//! What depends on the catalog of the moment has no body: a session puts [`catalog_lookup`](super::catalog_lookup) over a
//! literal in its place. The rest says what is true here of every object: no sizes are kept, nothing is hidden.

use repr::jsonb::Json;
use repr::{Arena, Datum, ScalarType, pg_type};

use super::ArgType::{
    Any, Bool, Int4, Int8, Jsonb, Name, Oid, RegClass, RegNamespace, RegProc, RegProcedure, RegRole, RegType, Text,
};
use super::{ArgType, FuncDef, Value, Volatility, function, internal, text};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    // Looked up by the session.
    of_session("pg_get_userbyid", &[Oid], Name, "The name of the role with this oid."),
    of_session("regclass_text", &[RegClass], Text, "The name of a relation.").nullable(),
    of_session("regproc_text", &[RegProc], Text, "The name of a function.").nullable(),
    of_session("regprocedure_text", &[RegProcedure], Text, "The name of a function with its arguments.").nullable(),
    of_session("regtype_text", &[RegType], Text, "The name of a type that a user made.").nullable(),
    of_session("regnamespace_text", &[RegNamespace], Text, "The name of a schema.").nullable(),
    of_session("regrole_text", &[RegRole], Text, "The name of a role.").nullable(),
    of_session("pg_table_is_visible", &[Oid], Bool, "True if the relation can be named without its schema."),
    of_session("pg_get_indexdef", &[Oid], Text, "The statement that makes the index."),
    overload(
        "pg_get_indexdef_column",
        "pg_get_indexdef",
        &[Oid, Int4, Bool],
        Text,
        "The statement that makes the index, or the definition of one of its columns.",
    ),
    of_session("pg_get_viewdef", &[Oid], Text, "The query of the view."),
    overload("pg_get_viewdef_pretty", "pg_get_viewdef", &[Oid, Bool], Text, "The query of the view."),
    of_session("pg_get_function_result", &[Oid], Text, "What the function returns."),
    of_session("pg_get_function_arguments", &[Oid], Text, "The types of the function's arguments."),
    of_session("pg_get_function_identity_arguments", &[Oid], Text, "The types of the function's arguments."),
    internal("catalog_lookup", &[Jsonb], Text, lookup, "The entry of an object whose key the further arguments make.")
        .variadic(Any)
        .nullable(),
    // The same for all objects.
    function("to_regtype", "to_regtype", &[Text], RegType, to_regtype, "The type of a name; NULL if there is none.")
        .nullable(),
    function("pg_size_bytes", "pg_size_bytes", &[Text], Int8, size_bytes, "The bytes of a size with a unit.")
        .fallible(),
    function(
        "format_type",
        "format_type",
        &[Oid, Int4],
        Text,
        format_type,
        "The SQL name of a type with its modifier.",
    )
    .called_on_null()
    .nullable(),
    function("pg_get_expr", "pg_get_expr", &[Text, Oid], Text, first, "The text of a stored expression."),
    function("pg_get_expr_pretty", "pg_get_expr", &[Text, Oid, Bool], Text, first, "The text of a stored expression."),
    function("pg_encoding_to_char", "pg_encoding_to_char", &[Int4], Name, encoding, "The name of an encoding."),
    function("pg_size_pretty", "pg_size_pretty", &[Int8], Text, size_pretty, "A number of bytes with a unit."),
    truth("pg_type_is_visible", &[Oid], "True: types are named without a schema."),
    truth("pg_function_is_visible", &[Oid], "True: functions are named without a schema."),
    truth("pg_operator_is_visible", &[Oid], "True: operators are named without a schema."),
    truth("pg_opclass_is_visible", &[Oid], "True: operator classes are named without a schema."),
    truth("pg_collation_is_visible", &[Oid], "True: collations are named without a schema."),
    truth("pg_ts_config_is_visible", &[Oid], "True: there are no text search configurations."),
    truth("pg_statistics_obj_is_visible", &[Oid], "True: there are no extended statistics."),
    truth("has_database_privilege", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_schema_privilege", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_table_privilege", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_any_column_privilege", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_column_privilege", &[Any, Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_type_privilege", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_function_privilege", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_sequence_privilege", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_tablespace_privilege", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_cluster_privilege", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_connection_privilege", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_secret_privilege", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_system_privilege", &[Any], "True: there are no privileges yet.").variadic(Any),
    truth("has_role", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("pg_has_role", &[Any, Any], "True: there are no privileges yet.").variadic(Any),
    truth("pg_opfamily_is_visible", &[Oid], "True: operator families are named without a schema."),
    truth("pg_conversion_is_visible", &[Oid], "True: there are no conversions."),
    function("pg_column_size", "pg_column_size", &[Any], Int4, datum_size, "The bytes of a value as it is stored."),
    function("mz_row_size", "mz_row_size", &[Any], Int4, datum_size, "The bytes of a value as it is stored."),
    function(
        "pg_stat_get_numscans",
        "pg_stat_get_numscans",
        &[Oid],
        Int8,
        |_, _, _| Ok(Datum::Int(0)),
        "0: scans are not counted.",
    ),
    function("pg_my_temp_schema", "pg_my_temp_schema", &[], Oid, |_, _, _| Ok(Datum::UInt(0)), "0: there is none."),
    function(
        "pg_is_other_temp_schema",
        "pg_is_other_temp_schema",
        &[Oid],
        Bool,
        |_, _, _| Ok(Datum::FALSE),
        "False: there are no temporary schemas.",
    ),
    function(
        "pg_jit_available",
        "pg_jit_available",
        &[],
        Bool,
        |_, _, _| Ok(Datum::FALSE),
        "False: expressions are not compiled.",
    ),
    function("pg_client_encoding", "pg_client_encoding", &[], Name, |_, _, _| Ok(Datum::Text("UTF8")), "UTF8."),
    function("getdatabaseencoding", "getdatabaseencoding", &[], Name, |_, _, _| Ok(Datum::Text("UTF8")), "UTF8."),
    function(
        "pg_char_to_encoding",
        "pg_char_to_encoding",
        &[Name],
        Int4,
        encoding_number,
        "The number of an encoding; -1 if there is none of the name.",
    ),
    of_session("to_regclass", &[Text], RegClass, "The relation of a name; NULL if there is none."),
    of_session("to_regnamespace", &[Text], RegNamespace, "The schema of a name; NULL if there is none."),
    of_session("to_regrole", &[Text], RegRole, "The role of a name; NULL if there is none."),
    of_session(
        "to_regproc",
        &[Text],
        RegProc,
        "The function of a name; NULL if there is none or if there are several.",
    ),
    of_session(
        "to_regprocedure",
        &[Text],
        RegProcedure,
        "The function of a name and the types of its arguments in brackets; NULL if there is none.",
    ),
    function(
        "pg_relation_is_publishable",
        "pg_relation_is_publishable",
        &[Oid],
        Bool,
        |_, _, _| Ok(Datum::FALSE),
        "False: there are no publications.",
    ),
    nothing("obj_description", "obj_description", &[Oid, Text], "NULL: there are no comments."),
    nothing("obj_description_any", "obj_description", &[Oid], "NULL: there are no comments."),
    nothing("shobj_description", "shobj_description", &[Oid, Text], "NULL: there are no comments."),
    nothing("col_description", "col_description", &[Oid, Int4], "NULL: there are no comments."),
    nothing("pg_get_constraintdef", "pg_get_constraintdef", &[Oid], "NULL: there are no constraints."),
    nothing("pg_get_constraintdef_pretty", "pg_get_constraintdef", &[Oid, Bool], "NULL: there are no constraints."),
    nothing("pg_get_ruledef", "pg_get_ruledef", &[Oid], "NULL: there are no rules."),
    nothing("pg_get_ruledef_pretty", "pg_get_ruledef", &[Oid, Bool], "NULL: there are no rules."),
    nothing("pg_get_triggerdef", "pg_get_triggerdef", &[Oid], "NULL: there are no triggers."),
    nothing("pg_get_triggerdef_pretty", "pg_get_triggerdef", &[Oid, Bool], "NULL: there are no triggers."),
    nothing("pg_get_partkeydef", "pg_get_partkeydef", &[Oid], "NULL: nothing is partitioned."),
    nothing(
        "pg_get_statisticsobjdef_columns",
        "pg_get_statisticsobjdef_columns",
        &[Oid],
        "NULL: there are no extended statistics.",
    ),
    nothing("pg_get_serial_sequence", "pg_get_serial_sequence", &[Text, Text], "NULL: there are no sequences."),
    nothing("pg_tablespace_location", "pg_tablespace_location", &[Oid], "NULL: there are no tablespaces."),
    no_size("pg_table_size", "NULL: sizes are not kept."),
    no_size("pg_relation_size", "NULL: sizes are not kept."),
    no_size("pg_total_relation_size", "NULL: sizes are not kept."),
    no_size("pg_indexes_size", "NULL: sizes are not kept."),
    no_size("pg_database_size", "NULL: sizes are not kept."),
    no_size("pg_tablespace_size", "NULL: sizes are not kept."),
];

const fn of_session(name: &'static str, args: &'static [ArgType], returns: ArgType, doc: &'static str) -> FuncDef {
    overload(name, name, args, returns, doc)
}

const fn overload(
    key: &'static str,
    name: &'static str,
    args: &'static [ArgType],
    returns: ArgType,
    doc: &'static str,
) -> FuncDef {
    function(key, name, args, returns, replaced_by_session, doc).fallible().nullable().volatility(Volatility::Stable)
}

const fn truth(name: &'static str, args: &'static [ArgType], doc: &'static str) -> FuncDef {
    function(name, name, args, Bool, |_, _, _| Ok(Datum::TRUE), doc)
}

const fn nothing(key: &'static str, name: &'static str, args: &'static [ArgType], doc: &'static str) -> FuncDef {
    function(key, name, args, Text, |_, _, _| Ok(Datum::Null), doc).nullable()
}

const fn no_size(name: &'static str, doc: &'static str) -> FuncDef {
    function(name, name, &[Oid], Int8, |_, _, _| Ok(Datum::Null), doc).nullable()
}

fn replaced_by_session<'a>(_: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    Err(EvalError::new("XX000", "a function of the catalog must be replaced by the session"))
}

/// The key is the text of the further arguments, commas between.
fn lookup<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let mut key = String::new();
    for (index, (arg, typ)) in args.iter().zip(&types.args).enumerate().skip(1) {
        if index > 1 {
            key.push(',');
        }
        repr::text::format(*arg, typ, &mut key);
    }
    match args[0].unwrap_jsonb().get(&key).map(|value| value.decode()) {
        Some(Json::String(value)) => text(value, arena),
        _ => Ok(Datum::Null),
    }
}

fn format_type<'a>(args: &[Datum<'a>], _: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let Datum::UInt(oid) = args[0] else { return Ok(Datum::Null) };
    let oid = u32::try_from(oid).unwrap_or(0);
    let typ = match args[1] {
        Datum::Int(modifier) => pg_type::from_oid_and_typmod(oid, i32::try_from(modifier).unwrap_or(-1)),
        _ => pg_type::from_oid(oid),
    };
    match (oid, typ) {
        (0, _) => text("-", arena),
        (_, Some(typ)) => text(&pg_type::sql_name(&typ), arena),
        _ => text("???", arena),
    }
}

fn first<'a>(args: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    Ok(args[0])
}

fn encoding<'a>(args: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    // PostgreSQL's number for the one encoding there is.
    Ok(Datum::Text(if args[0].unwrap_int() == 6 { "UTF8" } else { "" }))
}

fn encoding_number<'a>(args: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    let name = args[0].unwrap_text().replace('-', "");
    Ok(Datum::Int(if name.eq_ignore_ascii_case("utf8") || name.eq_ignore_ascii_case("unicode") { 6 } else { -1 }))
}

fn datum_size<'a>(args: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    Ok(Datum::Int(repr::Row::pack_one(args[0]).as_bytes().len() as i64))
}

/// Each unit is used up to 10240 of it, rounded half away from zero, as PostgreSQL does.
fn size_pretty<'a>(args: &[Datum<'a>], _: &CallTypes, arena: &'a Arena) -> Value<'a> {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let size = args[0].unwrap_int();
    if size.unsigned_abs() < 10 * 1024 {
        return text(&format!("{size} bytes"), arena);
    }
    // One bit more than the unit, so that the half can be seen.
    let mut doubled = size / 512;
    for (index, unit) in UNITS.iter().enumerate() {
        if doubled.unsigned_abs() < 20 * 1024 - 1 || index + 1 == UNITS.len() {
            return text(&format!("{} {unit}", (doubled + doubled.signum()) / 2), arena);
        }
        doubled /= 1024;
    }
    unreachable!("the last unit takes all")
}

fn to_regtype<'a>(args: &[Datum<'a>], _: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let name = args[0].unwrap_text();
    let is_oid = name.trim().parse::<u32>().is_ok();
    let parsed = crate::value::parse(name, &ScalarType::RegType, arena);
    Ok(parsed.ok().filter(|_| !is_oid && name.trim() != "-").unwrap_or(Datum::Null))
}

fn size_bytes<'a>(args: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    const UNITS: [(&str, i64); 6] =
        [("bytes", 1), ("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30), ("tb", 1 << 40), ("pb", 1 << 50)];
    let size = args[0].unwrap_text();
    let invalid = || EvalError::new("22023", format!("invalid size: \"{size}\""));
    let text = size.trim();
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-');
    let mut end = text.find(|c| !is_number(c)).unwrap_or(text.len());
    // An exponent, which must not be taken for a unit.
    if text[end..].starts_with(['e', 'E']) {
        let digits = text[end + 1..].trim_start_matches(['+', '-']);
        let after = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        if after > 0 {
            end = text.len() - digits.len() + after;
        }
    }
    let number = repr::numeric::Numeric::parse(&text[..end]).map_err(|_| invalid())?;
    let unit = text[end..].trim();
    let factor = match unit {
        "" | "B" => 1,
        unit => {
            let known = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name));
            let unknown = || {
                invalid()
                    .with_detail(format!("Invalid size unit: \"{unit}\"."))
                    .with_hint("Valid units are \"bytes\", \"B\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\".")
            };
            known.map(|(_, factor)| *factor).ok_or_else(unknown)?
        }
    };
    let bytes = number.mul(&repr::numeric::Numeric::from_i64(factor)).map_err(super::numeric_error)?;
    let bytes = bytes.round(0).ok().and_then(|bytes| bytes.to_i64());
    bytes.map(Datum::Int).ok_or_else(|| EvalError::out_of_range("bigint"))
}
