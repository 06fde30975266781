//! Ranges.

use std::cmp::Ordering;

use repr::range::{Bound, Range as Span, RangeType};
use repr::{Arena, Datum, Kind, ScalarType};

use super::ArgType::{AnyElement, AnyRange, Bool, Range, Text};
use super::{ArgType, FuncDef, Value, function, operator};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    operator(
        "range_contains",
        "@>",
        &[AnyRange, AnyRange],
        Bool,
        |args, _, _| {
            let (a, b) = (span(args, 0), span(args, 1));
            Ok(Datum::Bool(contains(&a, &b)))
        },
        "True if the second is within the first.",
    ),
    operator(
        "range_contained",
        "<@",
        &[AnyRange, AnyRange],
        Bool,
        |args, _, _| {
            let (a, b) = (span(args, 0), span(args, 1));
            Ok(Datum::Bool(contains(&b, &a)))
        },
        "True if the first is within the second.",
    ),
    operator(
        "range_contains_element",
        "@>",
        &[AnyRange, AnyElement],
        Bool,
        |a, _, _| Ok(Datum::Bool(contains_value(&span(a, 0), a[1]))),
        "True if a value is within the range.",
    ),
    operator(
        "range_element_contained",
        "<@",
        &[AnyElement, AnyRange],
        Bool,
        |a, _, _| Ok(Datum::Bool(contains_value(&span(a, 1), a[0]))),
        "True if a value is within the range.",
    ),
    operator(
        "range_overlaps",
        "&&",
        &[AnyRange, AnyRange],
        Bool,
        |args, _, _| {
            let (a, b) = (span(args, 0), span(args, 1));
            Ok(Datum::Bool(overlap(&a, &b)))
        },
        "True if both have a value in common.",
    ),
    operator(
        "range_before",
        "<<",
        &[AnyRange, AnyRange],
        Bool,
        |args, _, _| {
            let (a, b) = (span(args, 0), span(args, 1));
            Ok(Datum::Bool(before(&a, &b)))
        },
        "True if the first ends before the second starts.",
    ),
    operator(
        "range_after",
        ">>",
        &[AnyRange, AnyRange],
        Bool,
        |args, _, _| {
            let (a, b) = (span(args, 0), span(args, 1));
            Ok(Datum::Bool(before(&b, &a)))
        },
        "True if the first starts after the second ends.",
    ),
    operator(
        "range_not_right",
        "&<",
        &[AnyRange, AnyRange],
        Bool,
        |args, _, _| {
            let (a, b) = (span(args, 0), span(args, 1));
            Ok(Datum::Bool(both(&a, &b) && upper_order(a.upper(), b.upper()).is_le()))
        },
        "True if the first does not end after the second.",
    ),
    operator(
        "range_not_left",
        "&>",
        &[AnyRange, AnyRange],
        Bool,
        |args, _, _| {
            let (a, b) = (span(args, 0), span(args, 1));
            Ok(Datum::Bool(both(&a, &b) && lower_order(a.lower(), b.lower()).is_ge()))
        },
        "True if the first does not start before the second.",
    ),
    operator(
        "range_adjacent",
        "-|-",
        &[AnyRange, AnyRange],
        Bool,
        |args, _, _| {
            let (a, b) = (span(args, 0), span(args, 1));
            Ok(Datum::Bool(adjacent(&a, &b)))
        },
        "True if there is nothing between both.",
    ),
    operator("range_union", "+", &[AnyRange, AnyRange], AnyRange, union, "Both as one.").fallible(),
    operator("range_intersection", "*", &[AnyRange, AnyRange], AnyRange, intersection, "What both have in common.")
        .fallible(),
    operator("range_difference", "-", &[AnyRange, AnyRange], AnyRange, difference, "The first without the second.")
        .fallible(),
    function("range_merge", "range_merge", &[AnyRange, AnyRange], AnyRange, merge, "The least range around both.")
        .fallible(),
    function(
        "range_lower",
        "lower",
        &[AnyRange],
        AnyElement,
        |a, _, _| Ok(span(a, 0).lower().map_or(Datum::Null, |bound| bound.value)),
        "The lower bound; NULL if there is none.",
    )
    .nullable(),
    function(
        "range_upper",
        "upper",
        &[AnyRange],
        AnyElement,
        |a, _, _| Ok(span(a, 0).upper().map_or(Datum::Null, |bound| bound.value)),
        "The upper bound; NULL if there is none.",
    )
    .nullable(),
    function(
        "isempty",
        "isempty",
        &[AnyRange],
        Bool,
        |a, _, _| {
            let range = span(a, 0);
            Ok(Datum::Bool(range == Span::Empty))
        },
        "True for the empty range.",
    ),
    function(
        "lower_inc",
        "lower_inc",
        &[AnyRange],
        Bool,
        |a, _, _| {
            let range = span(a, 0);
            Ok(Datum::Bool(range.lower().is_some_and(|bound| bound.inclusive)))
        },
        "True if the lower bound is in the range.",
    ),
    function(
        "upper_inc",
        "upper_inc",
        &[AnyRange],
        Bool,
        |a, _, _| {
            let range = span(a, 0);
            Ok(Datum::Bool(range.upper().is_some_and(|bound| bound.inclusive)))
        },
        "True if the upper bound is in the range.",
    ),
    function(
        "lower_inf",
        "lower_inf",
        &[AnyRange],
        Bool,
        |a, _, _| {
            let range = span(a, 0);
            Ok(Datum::Bool(range != Span::Empty && range.lower().is_none()))
        },
        "True if there is no lower bound.",
    ),
    function(
        "upper_inf",
        "upper_inf",
        &[AnyRange],
        Bool,
        |a, _, _| {
            let range = span(a, 0);
            Ok(Datum::Bool(range != Span::Empty && range.upper().is_none()))
        },
        "True if there is no upper bound.",
    ),
    made("int4range", "int4range", &[ArgType::Int4, ArgType::Int4], RangeType::Int4),
    made("int4range_bounds", "int4range", &[ArgType::Int4, ArgType::Int4, Text], RangeType::Int4),
    made("int8range", "int8range", &[ArgType::Int8, ArgType::Int8], RangeType::Int8),
    made("int8range_bounds", "int8range", &[ArgType::Int8, ArgType::Int8, Text], RangeType::Int8),
    made("numrange", "numrange", &[ArgType::Numeric, ArgType::Numeric], RangeType::Numeric),
    made("numrange_bounds", "numrange", &[ArgType::Numeric, ArgType::Numeric, Text], RangeType::Numeric),
    made("daterange", "daterange", &[ArgType::Date, ArgType::Date], RangeType::Date),
    made("daterange_bounds", "daterange", &[ArgType::Date, ArgType::Date, Text], RangeType::Date),
    made("tsrange", "tsrange", &[ArgType::Timestamp, ArgType::Timestamp], RangeType::Timestamp),
    made("tsrange_bounds", "tsrange", &[ArgType::Timestamp, ArgType::Timestamp, Text], RangeType::Timestamp),
    made("tstzrange", "tstzrange", &[ArgType::TimestampTz, ArgType::TimestampTz], RangeType::TimestampTz),
    made("tstzrange_bounds", "tstzrange", &[ArgType::TimestampTz, ArgType::TimestampTz, Text], RangeType::TimestampTz),
];

/// A constructor of two bounds and, by a third argument, which of them are in the range.
const fn made(key: &'static str, name: &'static str, args: &'static [ArgType], typ: RangeType) -> FuncDef {
    function(
        key,
        name,
        args,
        Range(typ),
        construct,
        "A range of two bounds, of which NULL is none; [) unless said otherwise.",
    )
    .fallible()
    .called_on_null()
}

fn span<'a>(args: &[Datum<'a>], index: usize) -> Span<'a> {
    Span::unpack(args[index].unwrap_list())
}

/// The type of a call's result.
fn typ(types: &CallTypes) -> RangeType {
    match types.ret {
        ScalarType::Range(range) => range,
        ref other => panic!("no range: {other:?}"),
    }
}

fn packed<'a>(range: Span<'_>, typ: RangeType, arena: &'a Arena) -> Value<'a> {
    let row = range.pack(typ).map_err(crate::cast::parse_error)?;
    Ok(crate::datum_in(&row, Kind::List, arena))
}

fn construct<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let (lower_inclusive, upper_inclusive) = match args.get(2) {
        None => (true, false),
        Some(Datum::Null) => {
            return Err(EvalError::new("22000", "range constructor flags argument must not be null"));
        }
        Some(flags) => match flags.unwrap_text() {
            "[]" => (true, true),
            "[)" => (true, false),
            "(]" => (false, true),
            "()" => (false, false),
            _ => {
                return Err(EvalError::new("42601", "invalid range bound flags")
                    .with_hint("Valid values are \"[]\", \"[)\", \"(]\", and \"()\"."));
            }
        },
    };
    let bound = |value: Datum<'a>, inclusive| (!value.is_null()).then_some(Bound { value, inclusive });
    let (lower, upper) = (bound(args[0], lower_inclusive), bound(args[1], upper_inclusive));
    packed(Span::Bounds { lower, upper }, typ(types), arena)
}

/// The order of lower bounds: none is first, and of two at one value the inclusive.
fn lower_order(left: Option<Bound<'_>>, right: Option<Bound<'_>>) -> Ordering {
    match (left, right) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(left), Some(right)) => left.value.cmp(&right.value).then(right.inclusive.cmp(&left.inclusive)),
    }
}

/// The order of upper bounds: none is last, and of two at one value the inclusive.
fn upper_order(left: Option<Bound<'_>>, right: Option<Bound<'_>>) -> Ordering {
    match (left, right) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) => left.value.cmp(&right.value).then(left.inclusive.cmp(&right.inclusive)),
    }
}

/// True if neither is empty.
fn both(left: &Span<'_>, right: &Span<'_>) -> bool {
    *left != Span::Empty && *right != Span::Empty
}

/// True if an upper bound lies before a lower one, so that no value is within both.
fn ends_before(upper: Option<Bound<'_>>, lower: Option<Bound<'_>>) -> bool {
    let (Some(upper), Some(lower)) = (upper, lower) else { return false };
    match upper.value.cmp(&lower.value) {
        Ordering::Less => true,
        Ordering::Equal => !(upper.inclusive && lower.inclusive),
        Ordering::Greater => false,
    }
}

fn before(left: &Span<'_>, right: &Span<'_>) -> bool {
    both(left, right) && ends_before(left.upper(), right.lower())
}

fn overlap(left: &Span<'_>, right: &Span<'_>) -> bool {
    both(left, right) && !ends_before(left.upper(), right.lower()) && !ends_before(right.upper(), left.lower())
}

fn contains(outer: &Span<'_>, inner: &Span<'_>) -> bool {
    *inner == Span::Empty
        || (*outer != Span::Empty
            && lower_order(outer.lower(), inner.lower()).is_le()
            && upper_order(outer.upper(), inner.upper()).is_ge())
}

fn contains_value(range: &Span<'_>, value: Datum<'_>) -> bool {
    let admits = |bound: Option<Bound<'_>>, beyond: Ordering| {
        bound.is_none_or(|bound| match value.cmp(&bound.value) {
            Ordering::Equal => bound.inclusive,
            order => order != beyond,
        })
    };
    *range != Span::Empty && admits(range.lower(), Ordering::Less) && admits(range.upper(), Ordering::Greater)
}

fn adjacent(left: &Span<'_>, right: &Span<'_>) -> bool {
    let touch = |upper: Option<Bound<'_>>, lower: Option<Bound<'_>>| match (upper, lower) {
        (Some(upper), Some(lower)) => upper.value == lower.value && upper.inclusive != lower.inclusive,
        _ => false,
    };
    both(left, right) && (touch(left.upper(), right.lower()) || touch(right.upper(), left.lower()))
}

/// The least range around both.
fn around<'a>(left: Span<'a>, right: Span<'a>) -> Span<'a> {
    match (left, right) {
        (Span::Empty, other) | (other, Span::Empty) => other,
        (left, right) => Span::Bounds {
            lower: std::cmp::min_by(left.lower(), right.lower(), |a, b| lower_order(*a, *b)),
            upper: std::cmp::max_by(left.upper(), right.upper(), |a, b| upper_order(*a, *b)),
        },
    }
}

fn merge<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    packed(around(span(args, 0), span(args, 1)), typ(types), arena)
}

fn union<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let (left, right) = (span(args, 0), span(args, 1));
    if both(&left, &right) && !overlap(&left, &right) && !adjacent(&left, &right) {
        return Err(EvalError::new("22000", "result of range union would not be contiguous"));
    }
    packed(around(left, right), typ(types), arena)
}

fn intersection<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let (left, right) = (span(args, 0), span(args, 1));
    if !overlap(&left, &right) {
        return packed(Span::Empty, typ(types), arena);
    }
    let common = Span::Bounds {
        lower: std::cmp::max_by(left.lower(), right.lower(), |a, b| lower_order(*a, *b)),
        upper: std::cmp::min_by(left.upper(), right.upper(), |a, b| upper_order(*a, *b)),
    };
    packed(common, typ(types), arena)
}

fn difference<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let (left, right) = (span(args, 0), span(args, 1));
    if !overlap(&left, &right) {
        return Ok(args[0]);
    }
    let starts = lower_order(left.lower(), right.lower()).is_lt();
    let ends = upper_order(left.upper(), right.upper()).is_gt();
    let turned = |bound: Option<Bound<'a>>| bound.map(|bound| Bound { inclusive: !bound.inclusive, ..bound });
    let rest = match (starts, ends) {
        (true, true) => {
            return Err(EvalError::new("22000", "result of range difference would not be contiguous"));
        }
        (true, false) => Span::Bounds { lower: left.lower(), upper: turned(right.lower()) },
        (false, true) => Span::Bounds { lower: turned(right.upper()), upper: left.upper() },
        (false, false) => Span::Empty,
    };
    packed(rest, typ(types), arena)
}
