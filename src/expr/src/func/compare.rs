//! Comparisons, and what chooses by comparing. Generic over types: the order of datums of one type is SQL's.
//!
//! Intervals are the exception: SQL compares them by their total length, so that intervals of different fields may be
//! equal. Everything here goes by the key; where values are grouped or joined by their bytes, the planner puts
//! `interval_key` in between. So is a jsonb array without elements, which is less than all else though its bytes are not: where
//! rows are ordered by their bytes, the planner puts `jsonb_order_key` in between.

use std::cmp::Ordering;

use repr::composite::{pack_array, pack_list, pack_map};
use repr::interval::Interval;
use repr::{Arena, Datum, ScalarType};

use super::ArgType::{Any, AnyElement, Bool, Bytes, Int4, Jsonb};
use super::{FuncDef, function, internal, operator};
use crate::scalar::CallTypes;

pub(super) static COMPARISONS: &[FuncDef] = &[
    operator("eq", "=", &[AnyElement, AnyElement], Bool, |a, t, _| Ok(Datum::Bool(order(a, t).is_eq())), "Equal."),
    operator("ne", "<>", &[AnyElement, AnyElement], Bool, |a, t, _| Ok(Datum::Bool(order(a, t).is_ne())), "Not equal."),
    operator("lt", "<", &[AnyElement, AnyElement], Bool, |a, t, _| Ok(Datum::Bool(order(a, t).is_lt())), "Less."),
    operator(
        "le",
        "<=",
        &[AnyElement, AnyElement],
        Bool,
        |a, t, _| Ok(Datum::Bool(order(a, t).is_le())),
        "Less or equal.",
    ),
    operator("gt", ">", &[AnyElement, AnyElement], Bool, |a, t, _| Ok(Datum::Bool(order(a, t).is_gt())), "Greater."),
    operator(
        "ge",
        ">=",
        &[AnyElement, AnyElement],
        Bool,
        |a, t, _| Ok(Datum::Bool(order(a, t).is_ge())),
        "Greater or equal.",
    ),
];

pub(super) static TABLE: &[FuncDef] = &[
    internal(
        "is_distinct",
        &[AnyElement, AnyElement],
        Bool,
        |a, t, _| Ok(Datum::Bool(order(a, t).is_ne())),
        "Different, where NULL equals NULL: IS DISTINCT FROM.",
    )
    .called_on_null(),
    internal(
        "interval_key",
        &[AnyElement],
        AnyElement,
        |a, t, arena| Ok(key(a[0], &t.args[0], arena)),
        "The one value that stands for all that SQL calls equal to an interval, or to a composite of intervals.",
    ),
    internal(
        "jsonb_order_key",
        &[Jsonb],
        Bytes,
        |a, _, _| Ok(Datum::bytes(a[0].unwrap_jsonb().order_key())),
        "Bytes in the order that SQL gives to jsonb values.",
    ),
    function(
        "greatest",
        "greatest",
        &[AnyElement],
        AnyElement,
        |a, t, _| Ok(choose(a, t, Ordering::is_gt)),
        "The greatest of the arguments that are not NULL.",
    )
    .called_on_null()
    .variadic(AnyElement),
    function(
        "least",
        "least",
        &[AnyElement],
        AnyElement,
        |a, t, _| Ok(choose(a, t, Ordering::is_lt)),
        "The least of the arguments that are not NULL.",
    )
    .called_on_null()
    .variadic(AnyElement),
    function(
        "nullif",
        "nullif",
        &[AnyElement, AnyElement],
        AnyElement,
        |a, t, _| {
            let equal = !a[0].is_null() && !a[1].is_null() && order(a, t).is_eq();
            Ok(if equal { Datum::Null } else { a[0] })
        },
        "NULL if the arguments are equal, else the first.",
    )
    .called_on_null()
    .nullable(),
    function(
        "num_nulls",
        "num_nulls",
        &[],
        Int4,
        |a, _, _| Ok(Datum::Int(a.iter().filter(|arg| arg.is_null()).count() as i64)),
        "The number of arguments that are NULL.",
    )
    .called_on_null()
    .variadic(Any),
    function(
        "num_nonnulls",
        "num_nonnulls",
        &[],
        Int4,
        |a, _, _| Ok(Datum::Int(a.iter().filter(|arg| !arg.is_null()).count() as i64)),
        "The number of arguments that are not NULL.",
    )
    .called_on_null()
    .variadic(Any),
];

fn order(args: &[Datum<'_>], types: &CallTypes) -> Ordering {
    compare_values(args[0], args[1], &types.args[0])
}

/// Compares two values of type `typ` as SQL does; NULL is the greatest.
pub(crate) fn compare_values(left: Datum<'_>, right: Datum<'_>, typ: &ScalarType) -> Ordering {
    match (left, right) {
        (Datum::Interval(left), Datum::Interval(right)) => left.key().cmp(&right.key()),
        (Datum::Jsonb(left), Datum::Jsonb(right)) => left.order_key().cmp(right.order_key()),
        (Datum::Array(_), Datum::Array(_)) | (Datum::List(_), Datum::List(_)) | (Datum::Map(_), Datum::Map(_))
            if typ.contains_interval() =>
        {
            let arena = Arena::new();
            key(left, typ, &arena).cmp(&key(right, typ, &arena))
        }
        (left, right) => left.cmp(&right),
    }
}

fn choose<'a>(args: &[Datum<'a>], types: &CallTypes, better: fn(Ordering) -> bool) -> Datum<'a> {
    let mut best = Datum::Null;
    for arg in args.iter().filter(|arg| !arg.is_null()) {
        if best.is_null() || better(compare_values(*arg, best, &types.args[0])) {
            best = *arg;
        }
    }
    best
}

fn key<'a>(datum: Datum<'a>, typ: &ScalarType, arena: &'a Arena) -> Datum<'a> {
    match (datum, typ) {
        (Datum::Interval(interval), _) => Datum::Interval(canonical(interval)),
        (Datum::Array(array), ScalarType::Array(element)) => {
            let elements: Vec<_> = array.elements().into_iter().map(|datum| key(datum, element, arena)).collect();
            let row = pack_array(&elements, element.kind(), &array.dimensions());
            crate::datum_in(&row, typ.kind(), arena)
        }
        (Datum::List(list), ScalarType::List(element)) => {
            let kind = element.kind();
            let elements: Vec<_> =
                list.elements().into_iter().map(|datum| (key(datum, element, arena), kind)).collect();
            crate::datum_in(&pack_list(&elements), typ.kind(), arena)
        }
        (Datum::List(record), ScalarType::Record(fields)) => {
            let elements: Vec<_> = record
                .elements()
                .into_iter()
                .zip(fields)
                .map(|(datum, (_, field))| (key(datum, &field.scalar, arena), field.kind()))
                .collect();
            crate::datum_in(&pack_list(&elements), typ.kind(), arena)
        }
        (Datum::Map(map), ScalarType::Map(value)) => {
            let entries: Vec<_> =
                map.entries().into_iter().map(|(name, datum)| (name, key(datum, value, arena))).collect();
            crate::datum_in(&pack_map(&entries, value.kind()), typ.kind(), arena)
        }
        (other, _) => other,
    }
}

/// The interval of this length that puts as much as it can into months, then into days.
fn canonical(interval: Interval) -> Interval {
    const DAY: i128 = 86_400_000_000;
    let key = interval.key();
    let months = clamp_i32(key.div_euclid(30 * DAY));
    let rest = key - i128::from(months) * 30 * DAY;
    let days = clamp_i32(rest.div_euclid(DAY));
    let micros = rest - i128::from(days) * DAY;
    Interval { months, days, micros: i64::try_from(micros).expect("the key came from fields of these widths") }
}

fn clamp_i32(value: i128) -> i32 {
    let clamped = value.clamp(i32::MIN.into(), i32::MAX.into());
    i32::try_from(clamped).expect("clamped")
}
