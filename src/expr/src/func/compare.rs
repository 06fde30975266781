//! Comparisons, and what chooses by comparing. Generic over types: the order of datums of one type is SQL's.
//!
//! Intervals are the exception: SQL compares them by their total length, so that intervals of different fields may be
//! equal; and so are texts of `bpchar`, whose blanks at the end do not count. Everything here goes by the key; where values
//! are grouped or joined by their bytes, the planner puts `equality_key` in between. A jsonb array without elements is less
//! than all else though its bytes are not: where rows are ordered by their bytes, the planner puts `order_key` in between.

use std::cmp::Ordering;

use repr::composite::{pack_array, pack_list, pack_map};
use repr::interval::Interval;
use repr::{Arena, Datum, ScalarType};

use super::ArgType::{Any, AnyElement, Bool, Int4};
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
        "equality_key",
        &[AnyElement],
        AnyElement,
        |a, t, arena| Ok(equality_key(a[0], &t.args[0], arena)),
        "The one value that stands for all that SQL calls equal to an interval or a bpchar, or to a composite of them.",
    ),
    internal(
        "order_key",
        &[Any],
        Any,
        |a, t, arena| Ok(order_key(a[0], &t.args[0], arena)),
        "Bytes in the order that SQL gives to jsonb values, or a composite with such bytes for its jsonb.",
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
        (Datum::Text(left), Datum::Text(right)) if *typ == ScalarType::Char(None) => {
            without_blanks(left).cmp(without_blanks(right))
        }
        (Datum::Array(_), Datum::Array(_)) | (Datum::List(_), Datum::List(_)) | (Datum::Map(_), Datum::Map(_))
            if typ.equals_by_key() || typ.contains_jsonb() =>
        {
            let arena = Arena::new();
            let key = |datum| order_key(equality_key(datum, typ, &arena), typ, &arena);
            key(left).cmp(&key(right))
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

fn equality_key<'a>(datum: Datum<'a>, typ: &ScalarType, arena: &'a Arena) -> Datum<'a> {
    let leaf = |datum: Datum<'a>, typ: &ScalarType| match datum {
        Datum::Interval(interval) => Datum::Interval(canonical(interval)),
        Datum::Text(text) if *typ == ScalarType::Char(None) => Datum::Text(without_blanks(text)),
        other => other,
    };
    rebuilt(datum, typ, typ, &leaf, arena)
}

/// Of a type that `ScalarType::order_key_type` tells.
fn order_key<'a>(datum: Datum<'a>, typ: &ScalarType, arena: &'a Arena) -> Datum<'a> {
    let leaf = |datum: Datum<'a>, _: &ScalarType| match datum {
        Datum::Jsonb(json) => Datum::bytes(json.order_key()),
        other => other,
    };
    if typ.contains_jsonb() { rebuilt(datum, typ, &typ.order_key_type(), &leaf, arena) } else { datum }
}

fn without_blanks(text: &str) -> &str {
    text.trim_end_matches(' ')
}

/// A value of type `typ` as one of type `to`, of the same form, with `leaf` applied to all that is no composite.
fn rebuilt<'a>(
    datum: Datum<'a>,
    typ: &ScalarType,
    to: &ScalarType,
    leaf: &dyn Fn(Datum<'a>, &ScalarType) -> Datum<'a>,
    arena: &'a Arena,
) -> Datum<'a> {
    let part = |datum: Datum<'a>, typ: &ScalarType, to: &ScalarType| (rebuilt(datum, typ, to, leaf, arena), to.kind());
    match (datum, typ, to) {
        (Datum::Array(array), ScalarType::Array(element), ScalarType::Array(to)) => {
            let elements: Vec<_> = array.elements().into_iter().map(|datum| part(datum, element, to).0).collect();
            crate::datum_in(&pack_array(&elements, to.kind(), &array.dimensions()), typ.kind(), arena)
        }
        (Datum::List(list), ScalarType::List(element), ScalarType::List(to)) => {
            let elements: Vec<_> = list.elements().into_iter().map(|datum| part(datum, element, to)).collect();
            crate::datum_in(&pack_list(&elements), typ.kind(), arena)
        }
        (Datum::List(record), ScalarType::Record(fields), ScalarType::Record(to)) => {
            let elements = record.elements().into_iter().zip(fields.iter().zip(to));
            let elements: Vec<_> =
                elements.map(|(datum, ((_, field), (_, to)))| part(datum, &field.scalar, &to.scalar)).collect();
            crate::datum_in(&pack_list(&elements), typ.kind(), arena)
        }
        (Datum::Map(map), ScalarType::Map(value), ScalarType::Map(to)) => {
            let entries: Vec<_> =
                map.entries().into_iter().map(|(name, datum)| (name, part(datum, value, to).0)).collect();
            crate::datum_in(&pack_map(&entries, to.kind()), typ.kind(), arena)
        }
        (other, _, _) => leaf(other, typ),
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
