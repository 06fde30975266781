//! Arithmetic of dates, times and intervals.
//!
//! An interval's months, days and microseconds are added one after another: months first, the day clipped to the month's
//! end, then days, then microseconds. Infinities stay what they are. `timestamptz` is treated as UTC throughout.

use repr::Datum;
use repr::datetime::{
    DATE_INFINITY, DATE_MAX, DATE_MIN, DATE_NEGATIVE_INFINITY, MICROS_PER_DAY, TIMESTAMP_INFINITY, TIMESTAMP_MAX,
    TIMESTAMP_MIN, TIMESTAMP_NEGATIVE_INFINITY, date_to_timestamp,
};
use repr::interval::{Interval as Span, timestamp_plus_interval};
use smallvec::smallvec;

use super::ArgType::{Date, Float8, Int4, Interval, Time, Timestamp, TimestampTz};
use super::{FuncDef, Value, function, operator};
use crate::error::EvalError;
use crate::table_func::{ROWS_MAX, TableRows, too_many_rows};

pub(super) static TABLE: &[FuncDef] = &[
    operator(
        "date_add_days",
        "+",
        &[Date, Int4],
        Date,
        |a, _, _| add_days(a[0], a[1].unwrap_int()),
        "Some days later.",
    )
    .fallible(),
    operator(
        "days_add_date",
        "+",
        &[Int4, Date],
        Date,
        |a, _, _| add_days(a[1], a[0].unwrap_int()),
        "Some days later.",
    )
    .fallible(),
    operator(
        "date_sub_days",
        "-",
        &[Date, Int4],
        Date,
        |a, _, _| add_days(a[0], -a[1].unwrap_int()),
        "Some days earlier.",
    )
    .fallible(),
    operator("date_sub", "-", &[Date, Date], Int4, |a, _, _| date_difference(a), "Days between.").fallible(),
    operator(
        "date_add_interval",
        "+",
        &[Date, Interval],
        Timestamp,
        |a, _, _| add(midnight(a[0])?, span(a, 1)),
        "Later by an interval.",
    )
    .fallible(),
    operator(
        "interval_add_date",
        "+",
        &[Interval, Date],
        Timestamp,
        |a, _, _| add(midnight(a[1])?, span(a, 0)),
        "Later by an interval.",
    )
    .fallible(),
    operator(
        "date_sub_interval",
        "-",
        &[Date, Interval],
        Timestamp,
        |a, _, _| add(midnight(a[0])?, negate(span(a, 1))?),
        "Earlier by an interval.",
    )
    .fallible(),
    operator(
        "date_add_time",
        "+",
        &[Date, Time],
        Timestamp,
        |a, _, _| add_micros(midnight(a[0])?, a[1].unwrap_time()),
        "A time of a day.",
    )
    .fallible(),
    operator(
        "time_add_date",
        "+",
        &[Time, Date],
        Timestamp,
        |a, _, _| add_micros(midnight(a[1])?, a[0].unwrap_time()),
        "A time of a day.",
    )
    .fallible(),
    operator(
        "time_add_interval",
        "+",
        &[Time, Interval],
        Time,
        |a, _, _| Ok(add_to_time(a[0], span(a, 1), 1)),
        "Later by an interval, around the clock.",
    ),
    operator(
        "interval_add_time",
        "+",
        &[Interval, Time],
        Time,
        |a, _, _| Ok(add_to_time(a[1], span(a, 0), 1)),
        "Later by an interval, around the clock.",
    ),
    operator(
        "time_sub_interval",
        "-",
        &[Time, Interval],
        Time,
        |a, _, _| Ok(add_to_time(a[0], span(a, 1), -1)),
        "Earlier by an interval, around the clock.",
    ),
    operator(
        "time_sub",
        "-",
        &[Time, Time],
        Interval,
        |a, _, _| Ok(Datum::Interval(Span::from_micros(a[0].unwrap_time() - a[1].unwrap_time()))),
        "The time between.",
    ),
    operator(
        "timestamp_add_interval",
        "+",
        &[Timestamp, Interval],
        Timestamp,
        |a, _, _| add(stamp(a, 0), span(a, 1)),
        "Later by an interval.",
    )
    .fallible(),
    operator(
        "interval_add_timestamp",
        "+",
        &[Interval, Timestamp],
        Timestamp,
        |a, _, _| add(stamp(a, 1), span(a, 0)),
        "Later by an interval.",
    )
    .fallible(),
    operator(
        "timestamp_sub_interval",
        "-",
        &[Timestamp, Interval],
        Timestamp,
        |a, _, _| add(stamp(a, 0), negate(span(a, 1))?),
        "Earlier by an interval.",
    )
    .fallible(),
    operator(
        "timestamp_sub",
        "-",
        &[Timestamp, Timestamp],
        Interval,
        |a, _, _| difference(a),
        "The time between, in days and less.",
    )
    .fallible(),
    operator(
        "timestamptz_add_interval",
        "+",
        &[TimestampTz, Interval],
        TimestampTz,
        |a, _, _| add(stamp(a, 0), span(a, 1)),
        "Later by an interval.",
    )
    .fallible(),
    operator(
        "interval_add_timestamptz",
        "+",
        &[Interval, TimestampTz],
        TimestampTz,
        |a, _, _| add(stamp(a, 1), span(a, 0)),
        "Later by an interval.",
    )
    .fallible(),
    operator(
        "timestamptz_sub_interval",
        "-",
        &[TimestampTz, Interval],
        TimestampTz,
        |a, _, _| add(stamp(a, 0), negate(span(a, 1))?),
        "Earlier by an interval.",
    )
    .fallible(),
    operator(
        "timestamptz_sub",
        "-",
        &[TimestampTz, TimestampTz],
        Interval,
        |a, _, _| difference(a),
        "The time between, in days and less.",
    )
    .fallible(),
    operator(
        "interval_add",
        "+",
        &[Interval, Interval],
        Interval,
        |a, _, _| interval(span(a, 0).checked_add(&span(a, 1))),
        "Sum, field by field.",
    )
    .fallible(),
    operator(
        "interval_sub",
        "-",
        &[Interval, Interval],
        Interval,
        |a, _, _| interval(span(a, 0).checked_sub(&span(a, 1))),
        "Difference, field by field.",
    )
    .fallible(),
    operator("interval_neg", "-", &[Interval], Interval, |a, _, _| interval(span(a, 0).checked_neg()), "Negation.")
        .fallible(),
    operator(
        "interval_mul",
        "*",
        &[Interval, Float8],
        Interval,
        |a, _, _| interval(span(a, 0).checked_mul(a[1].unwrap_float8())),
        "A multiple.",
    )
    .fallible(),
    operator(
        "mul_interval",
        "*",
        &[Float8, Interval],
        Interval,
        |a, _, _| interval(span(a, 1).checked_mul(a[0].unwrap_float8())),
        "A multiple.",
    )
    .fallible(),
    operator(
        "interval_div",
        "/",
        &[Interval, Float8],
        Interval,
        |a, _, _| divide(span(a, 0), a[1].unwrap_float8()),
        "A fraction.",
    )
    .fallible(),
    function(
        "justify_hours",
        "justify_hours",
        &[Interval],
        Interval,
        |a, _, _| interval(span(a, 0).justify_hours()),
        "With 24 hours as days.",
    )
    .fallible(),
    function(
        "justify_days",
        "justify_days",
        &[Interval],
        Interval,
        |a, _, _| interval(span(a, 0).justify_days()),
        "With 30 days as months.",
    )
    .fallible(),
    function(
        "justify_interval",
        "justify_interval",
        &[Interval],
        Interval,
        |a, _, _| interval(span(a, 0).justify_interval()),
        "With 24 hours as days, 30 days as months, and one sign.",
    )
    .fallible(),
];

fn span(args: &[Datum<'_>], index: usize) -> Span {
    args[index].unwrap_interval()
}

fn stamp(args: &[Datum<'_>], index: usize) -> i64 {
    args[index].unwrap_timestamp()
}

pub(super) fn timestamp_out_of_range() -> EvalError {
    EvalError::new("22008", "timestamp out of range")
}

pub(super) fn date_out_of_range() -> EvalError {
    EvalError::new("22008", "date out of range")
}

pub(super) fn interval_out_of_range() -> EvalError {
    EvalError::new("22008", "interval out of range")
}

pub(super) fn is_finite_timestamp(micros: i64) -> bool {
    micros != TIMESTAMP_INFINITY && micros != TIMESTAMP_NEGATIVE_INFINITY
}

pub(super) fn is_finite_date(days: i32) -> bool {
    days != DATE_INFINITY && days != DATE_NEGATIVE_INFINITY
}

/// A timestamp from microseconds that may be out of its range.
pub(super) fn checked_timestamp(micros: i128) -> Result<i64, EvalError> {
    let micros = i64::try_from(micros).map_err(|_| timestamp_out_of_range())?;
    if (TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&micros) { Ok(micros) } else { Err(timestamp_out_of_range()) }
}

/// A date from days that may be out of its range.
pub(super) fn checked_date(days: i64) -> Result<i32, EvalError> {
    let days = i32::try_from(days).map_err(|_| date_out_of_range())?;
    if (DATE_MIN..=DATE_MAX).contains(&days) { Ok(days) } else { Err(date_out_of_range()) }
}

fn add_days<'a>(date: Datum<'_>, days: i64) -> Value<'a> {
    let date = date.unwrap_date();
    if !is_finite_date(date) {
        return Ok(Datum::Date(date));
    }
    checked_date(i64::from(date) + days).map(Datum::Date)
}

fn date_difference<'a>(args: &[Datum<'_>]) -> Value<'a> {
    let (left, right) = (args[0].unwrap_date(), args[1].unwrap_date());
    if !is_finite_date(left) || !is_finite_date(right) {
        return Err(EvalError::new("22008", "cannot subtract infinite dates"));
    }
    super::arithmetic::int4(i128::from(left) - i128::from(right))
}

pub(super) fn midnight(date: Datum<'_>) -> Result<i64, EvalError> {
    date_to_timestamp(date.unwrap_date()).ok_or_else(|| EvalError::new("22008", "date out of range for timestamp"))
}

fn add_micros<'a>(timestamp: i64, micros: i64) -> Value<'a> {
    if !is_finite_timestamp(timestamp) {
        return Ok(Datum::Timestamp(timestamp));
    }
    checked_timestamp(i128::from(timestamp) + i128::from(micros)).map(Datum::Timestamp)
}

fn add<'a>(timestamp: i64, span: Span) -> Value<'a> {
    plus(timestamp, span).map(Datum::Timestamp)
}

/// A timestamp later by an interval.
fn plus(timestamp: i64, span: Span) -> Result<i64, EvalError> {
    timestamp_plus_interval(timestamp, &span).ok_or_else(timestamp_out_of_range)
}

/// The hands of the clock: months and days do not move them.
fn add_to_time<'a>(time: Datum<'_>, span: Span, sign: i64) -> Datum<'a> {
    let turned = time.unwrap_time() + sign * (span.micros % MICROS_PER_DAY);
    Datum::Time(turned.rem_euclid(MICROS_PER_DAY))
}

fn difference<'a>(args: &[Datum<'_>]) -> Value<'a> {
    let (left, right) = (stamp(args, 0), stamp(args, 1));
    if !is_finite_timestamp(left) || !is_finite_timestamp(right) {
        return Err(EvalError::new("22008", "cannot subtract infinite timestamps"));
    }
    interval(left.checked_sub(right).and_then(|micros| Span::from_micros(micros).justify_hours()))
}

fn interval<'a>(span: Option<Span>) -> Value<'a> {
    span.map(Datum::Interval).ok_or_else(interval_out_of_range)
}

fn negate(span: Span) -> Result<Span, EvalError> {
    span.checked_neg().ok_or_else(interval_out_of_range)
}

fn divide<'a>(span: Span, divisor: f64) -> Value<'a> {
    if divisor == 0.0 {
        return Err(EvalError::division_by_zero());
    }
    interval(span.checked_div(divisor))
}

/// `generate_series` over timestamps.
pub(crate) fn timestamp_series<'a>(start: i64, stop: i64, step: Span) -> Result<TableRows<'a>, EvalError> {
    let ascending = match step.key().signum() {
        0 => return Err(EvalError::new("22023", "step size cannot equal zero")),
        sign => sign > 0,
    };
    if !is_finite_timestamp(start) {
        return Err(EvalError::new("22023", "start value cannot be infinity"));
    }
    let span = if ascending { i128::from(stop) - i128::from(start) } else { i128::from(start) - i128::from(stop) };
    // A month counts as 30 days here, so the bound is near, not exact; it only has to keep the work finite.
    if span > step.key().abs().saturating_mul(ROWS_MAX.into()) {
        return Err(too_many_rows());
    }
    let mut next = Some(start);
    let mut values = std::iter::from_fn(move || {
        let value = next.filter(|value| if ascending { *value <= stop } else { *value >= stop })?;
        // Fields of different signs may not move forward at all.
        next = plus(value, step).ok().filter(|next| if ascending { *next > value } else { *next < value });
        Some(value)
    });
    Ok(Box::new(std::iter::from_fn(move || values.next().map(|value| smallvec![Datum::Timestamp(value)]))))
}
