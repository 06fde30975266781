//! Periods: whether two overlap, and how many boundaries of a unit lie between two times.

use std::cmp::Ordering;

use chrono::TimeZone;
use chrono_tz::{OffsetComponents, OffsetName, Tz};
use repr::interval::Interval as Span;
use repr::{Arena, Datum, ScalarType};

use super::ArgType::{AnyElement, Bool, Date, Int8, Interval, Text, Timestamp, TimestampTz};
use super::compare::compare_values;
use super::datetime::boundaries;
use super::datetime_arithmetic::{midnight, timestamp_out_of_range};
use super::{FuncDef, Value, function, internal, invalid_parameter, text};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    internal(
        "overlaps",
        &[AnyElement, AnyElement, AnyElement, AnyElement],
        Bool,
        overlaps,
        "True if two periods, each of two ends, have a time in common.",
    )
    .nullable()
    .called_on_null(),
    internal(
        "timezone_abbreviation",
        &[Text, TimestampTz],
        Text,
        |a, _, arena| {
            let offset = zone_offset(a)?;
            text(offset.abbreviation().unwrap_or_default(), arena)
        },
        "What a time zone is called for short at an instant.",
    )
    .fallible(),
    internal(
        "timezone_base_offset",
        &[Text, TimestampTz],
        Interval,
        |a, _, _| Ok(seconds(zone_offset(a)?.base_utc_offset().num_seconds())),
        "How far the standard time of a time zone is ahead of UTC at an instant.",
    )
    .fallible(),
    internal(
        "timezone_dst_offset",
        &[Text, TimestampTz],
        Interval,
        |a, _, _| Ok(seconds(zone_offset(a)?.dst_offset().num_seconds())),
        "How far a time zone is ahead of its standard time at an instant.",
    )
    .fallible(),
    function(
        "datediff_timestamp",
        "datediff",
        &[Text, Timestamp, Timestamp],
        Int8,
        |a, _, _| difference(a[0], a[1].unwrap_timestamp(), a[2].unwrap_timestamp()),
        "How many boundaries of a unit lie between two times.",
    )
    .fallible(),
    function(
        "datediff_timestamptz",
        "datediff",
        &[Text, TimestampTz, TimestampTz],
        Int8,
        |a, _, _| difference(a[0], a[1].unwrap_timestamp(), a[2].unwrap_timestamp()),
        "How many boundaries of a unit lie between two times, in UTC.",
    )
    .fallible(),
    function(
        "datediff_date",
        "datediff",
        &[Text, Date, Date],
        Int8,
        |a, _, _| difference(a[0], midnight(a[1])?, midnight(a[2])?),
        "How many boundaries of a unit lie between two dates.",
    )
    .fallible(),
];

/// The offset of the time zone in the first argument at the instant in the second.
fn zone_offset(args: &[Datum<'_>]) -> Result<<Tz as TimeZone>::Offset, EvalError> {
    let name = args[0].unwrap_text();
    let zone: Tz = name.parse().map_err(|_| invalid_parameter(format!("time zone \"{name}\" not recognized")))?;
    let instant = chrono::DateTime::from_timestamp_micros(args[1].unwrap_timestamp());
    let instant = instant.ok_or_else(timestamp_out_of_range)?;
    Ok(zone.offset_from_utc_datetime(&instant.naive_utc()))
}

fn seconds<'a>(seconds: i64) -> Datum<'a> {
    Datum::Interval(Span { months: 0, days: 0, micros: seconds * 1_000_000 })
}

fn difference<'a>(unit: Datum<'_>, start: i64, end: i64) -> Value<'a> {
    let unit = unit.unwrap_text();
    Ok(Datum::Int(boundaries(unit, end)? - boundaries(unit, start)?))
}

/// A period with its ends in order. NULL as an end is unknown; none if both are.
fn period<'a>(start: Datum<'a>, end: Datum<'a>, typ: &ScalarType) -> Option<(Datum<'a>, Datum<'a>)> {
    match (start.is_null(), end.is_null()) {
        (true, true) => None,
        (true, false) => Some((end, start)),
        (false, false) if compare_values(start, end, typ).is_gt() => Some((end, start)),
        _ => Some((start, end)),
    }
}

/// The standard's rule, three-valued.
fn overlaps<'a>(args: &[Datum<'a>], types: &CallTypes, _: &'a Arena) -> Value<'a> {
    let typ = &types.args[0];
    let periods = (period(args[0], args[1], typ), period(args[2], args[3], typ));
    let (Some((start, end)), Some((other_start, other_end))) = periods else { return Ok(Datum::Null) };
    // Which period starts later, where it starts, and the ends: its own and that of the other.
    let (start, own_end, earlier_end) = match compare_values(start, other_start, typ) {
        Ordering::Equal if end.is_null() || other_end.is_null() => return Ok(Datum::Null),
        Ordering::Equal => return Ok(Datum::TRUE),
        Ordering::Greater => (start, end, other_end),
        Ordering::Less => (other_start, other_end, end),
    };
    let unknown = earlier_end.is_null();
    if !unknown && compare_values(start, earlier_end, typ).is_lt() {
        return Ok(Datum::TRUE);
    }
    Ok(if unknown || own_end.is_null() { Datum::Null } else { Datum::FALSE })
}
