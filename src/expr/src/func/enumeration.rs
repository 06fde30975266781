//! Functions over enumerations. Of their argument the type alone matters where it is NULL.

use repr::composite::pack_vector;
use repr::{Arena, Datum, EnumType, Kind, ScalarType};

use super::ArgType::{AnyArray, AnyElement, AnyEnum};
use super::{FuncDef, Value, function};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    function("enum_first", "enum_first", &[AnyEnum], AnyElement, first, "The first value of the argument's type.")
        .called_on_null()
        .fallible(),
    function("enum_last", "enum_last", &[AnyEnum], AnyElement, last, "The last value of the argument's type.")
        .called_on_null()
        .fallible(),
    function("enum_range", "enum_range", &[AnyEnum], AnyArray, all, "All values of the argument's type, in order.")
        .called_on_null(),
    function(
        "enum_range_between",
        "enum_range",
        &[AnyEnum, AnyEnum],
        AnyArray,
        between,
        "The values from one to another; NULL stands for the first or the last.",
    )
    .called_on_null(),
];

fn enumeration(types: &CallTypes) -> &EnumType {
    match &types.args[0] {
        ScalarType::Enum(typ) => typ,
        other => panic!("no enumeration: {other:?}"),
    }
}

fn first<'a>(_: &[Datum<'a>], types: &CallTypes, _: &'a Arena) -> Value<'a> {
    count(types).map(|_| Datum::Int(1))
}

fn last<'a>(_: &[Datum<'a>], types: &CallTypes, _: &'a Arena) -> Value<'a> {
    count(types).map(Datum::Int)
}

/// Errors: 55000 if there is no label.
fn count(types: &CallTypes) -> Result<i64, EvalError> {
    let typ = enumeration(types);
    match typ.labels.len() {
        0 => Err(EvalError::new("55000", format!("enum {} contains no values", typ.name))),
        count => Ok(count as i64),
    }
}

fn all<'a>(_: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    Ok(values(1, enumeration(types).labels.len() as i64, arena))
}

fn between<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let end = |datum: Datum<'_>, default: i64| if datum.is_null() { default } else { datum.unwrap_int() };
    Ok(values(end(args[0], 1), end(args[1], enumeration(types).labels.len() as i64), arena))
}

fn values(first: i64, last: i64, arena: &Arena) -> Datum<'_> {
    let values: Vec<Datum<'_>> = (first..=last).map(Datum::Int).collect();
    crate::datum_in(&pack_vector(&values, Kind::Int), Kind::Array, arena)
}
