//! What the fields and the precision of a type make of intervals and times, and how a session's style prints them.

use repr::Datum;
use repr::datetime::round_to_precision;
use repr::interval::{Interval as Span, IntervalField, IntervalFields, IntervalInput, IntervalStyle};
use repr::text::FormatContext;

use super::ArgType::{Any, Int4, Interval, Text, Time};
use super::{FuncDef, internal, text};
use crate::cast::parse_error;

pub(super) static TABLE: &[FuncDef] = &[
    internal(
        "interval_restricted",
        &[Interval, Int4, Int4],
        Interval,
        |a, _, _| {
            let fields = fields_of_number(a[1].unwrap_int());
            Ok(Datum::Interval(a[0].unwrap_interval().restricted(fields, precision(a[2]))))
        },
        "An interval cut to the fields, by their number, and rounded to the digits of its type.",
    ),
    internal(
        "interval_of_text",
        &[Text, Int4, Int4],
        Interval,
        |a, _, _| {
            let fields = fields_of_number(a[1].unwrap_int());
            let input = IntervalInput { fields, ..IntervalInput::default() };
            let span = Span::parse_as(a[0].unwrap_text(), input).map_err(parse_error)?;
            Ok(Datum::Interval(span.restricted(fields, precision(a[2]))))
        },
        "An interval read as one of the fields, by their number, and the digits of its type.",
    )
    .fallible(),
    internal(
        "time_rounded",
        &[Time, Int4],
        Time,
        |a, _, _| Ok(Datum::Time(round_to_precision(a[0].unwrap_time(), precision(a[1]).unwrap_or(6)))),
        "A time of day rounded to so many digits of a second.",
    ),
    internal(
        "text_in_style",
        &[Any, Text],
        Text,
        |a, t, arena| {
            let interval_style = IntervalStyle::of_name(a[1].unwrap_text()).unwrap_or_default();
            let context = FormatContext { interval_style, ..FormatContext::default() };
            let mut out = String::new();
            repr::text::format_in(a[0], &t.args[0], &context, &mut out);
            text(&out, arena)
        },
        "A value's text, its intervals in the style of the session.",
    )
    .fallible(),
];

/// A number for the fields of a type; below 0 for none.
pub fn interval_fields_number(fields: Option<IntervalFields>) -> i64 {
    let place = |field: IntervalField| field as i64;
    fields.map_or(-1, |fields| place(fields.first) * BASE + place(fields.last))
}

/// More than there are fields.
const BASE: i64 = 10;

fn fields_of_number(number: i64) -> Option<IntervalFields> {
    let field = |place: i64| usize::try_from(place).ok().and_then(|place| IntervalField::ALL.get(place)).copied();
    Some(IntervalFields { first: field(number.div_euclid(BASE))?, last: field(number.rem_euclid(BASE))? })
}

fn precision(datum: Datum<'_>) -> Option<u8> {
    u8::try_from(datum.unwrap_int()).ok().filter(|digits| *digits <= 6)
}
