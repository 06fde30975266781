//! Functions of dates, times and intervals: parts, truncation, bins, construction, time zones.

use repr::datetime::{
    Civil, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, TimeZone, civil_from_days,
    days_from_civil, days_in_month,
};
use repr::interval::Interval as Span;
use repr::numeric::Numeric as Number;
use repr::{Arena, Datum};

use super::ArgType::{Bool, Date, Float8, Int4, Interval, Numeric, Text, Time, Timestamp, TimestampTz};
use super::datetime_arithmetic::{
    checked_date, checked_timestamp, interval_out_of_range, is_finite_date, is_finite_timestamp, midnight,
    timestamp_out_of_range,
};
use super::{FuncDef, Value, function, invalid_parameter};
use crate::error::EvalError;

pub(super) static TABLE: &[FuncDef] = &[
    function(
        "extract_timestamp",
        "extract",
        &[Text, Timestamp],
        Numeric,
        |a, _, arena| pack(timestamp_part(unit(a, PLAIN)?, stamp(a, 1), PLAIN)?, arena),
        "A field of a timestamp.",
    )
    .fallible()
    .nullable(),
    function(
        "extract_timestamptz",
        "extract",
        &[Text, TimestampTz],
        Numeric,
        |a, _, arena| pack(timestamp_part(unit(a, ZONED)?, stamp(a, 1), ZONED)?, arena),
        "A field of a timestamp.",
    )
    .fallible()
    .nullable(),
    function(
        "extract_date",
        "extract",
        &[Text, Date],
        Numeric,
        |a, _, arena| pack(date_part(a)?, arena),
        "A field of a date.",
    )
    .fallible()
    .nullable(),
    function(
        "extract_time",
        "extract",
        &[Text, Time],
        Numeric,
        |a, _, arena| pack(Some(time_part(unit(a, TIME)?, a[1].unwrap_time(), TIME)?), arena),
        "A field of a time.",
    )
    .fallible(),
    function(
        "extract_interval",
        "extract",
        &[Text, Interval],
        Numeric,
        |a, _, arena| pack(Some(interval_part(unit(a, "interval")?, a[1].unwrap_interval())?), arena),
        "A field of an interval.",
    )
    .fallible(),
    function(
        "date_part_timestamp",
        "date_part",
        &[Text, Timestamp],
        Float8,
        |a, _, _| float(timestamp_part(unit(a, PLAIN)?, stamp(a, 1), PLAIN)?),
        "A field of a timestamp.",
    )
    .fallible()
    .nullable(),
    function(
        "date_part_timestamptz",
        "date_part",
        &[Text, TimestampTz],
        Float8,
        |a, _, _| float(timestamp_part(unit(a, ZONED)?, stamp(a, 1), ZONED)?),
        "A field of a timestamp.",
    )
    .fallible()
    .nullable(),
    function(
        "date_part_date",
        "date_part",
        &[Text, Date],
        Float8,
        |a, _, _| float(timestamp_part(unit(a, PLAIN)?, midnight(a[1])?, PLAIN)?),
        "A field of a date.",
    )
    .fallible()
    .nullable(),
    function(
        "date_part_time",
        "date_part",
        &[Text, Time],
        Float8,
        |a, _, _| float(Some(time_part(unit(a, TIME)?, a[1].unwrap_time(), TIME)?)),
        "A field of a time.",
    )
    .fallible(),
    function(
        "date_part_interval",
        "date_part",
        &[Text, Interval],
        Float8,
        |a, _, _| float(Some(interval_part(unit(a, "interval")?, a[1].unwrap_interval())?)),
        "A field of an interval.",
    )
    .fallible(),
    function(
        "date_trunc_timestamp",
        "date_trunc",
        &[Text, Timestamp],
        Timestamp,
        |a, _, _| truncate(unit(a, PLAIN)?, stamp(a, 1), PLAIN).map(Datum::Timestamp),
        "The start of a unit of time.",
    )
    .fallible(),
    function(
        "date_trunc_timestamptz",
        "date_trunc",
        &[Text, TimestampTz],
        TimestampTz,
        |a, _, _| truncate(unit(a, ZONED)?, stamp(a, 1), ZONED).map(Datum::Timestamp),
        "The start of a unit of time.",
    )
    .fallible(),
    function(
        "date_trunc_zone",
        "date_trunc",
        &[Text, TimestampTz, Text],
        TimestampTz,
        |a, _, _| truncate_in_zone(unit(a, ZONED)?, stamp(a, 1), zone(a[2].unwrap_text())?),
        "The start of a unit of time in a time zone.",
    )
    .fallible(),
    function(
        "date_trunc_interval",
        "date_trunc",
        &[Text, Interval],
        Interval,
        |a, _, _| truncate_interval(unit(a, "interval")?, a[1].unwrap_interval()).map(Datum::Interval),
        "Without fields smaller than a unit.",
    )
    .fallible(),
    function(
        "date_bin_timestamp",
        "date_bin",
        &[Interval, Timestamp, Timestamp],
        Timestamp,
        |a, _, _| date_bin(a),
        "The start of the bin, of equal lengths from an origin on, a timestamp falls into.",
    )
    .fallible(),
    function(
        "date_bin_timestamptz",
        "date_bin",
        &[Interval, TimestampTz, TimestampTz],
        TimestampTz,
        |a, _, _| date_bin(a),
        "The start of the bin, of equal lengths from an origin on, a timestamp falls into.",
    )
    .fallible(),
    function(
        "age_timestamp",
        "age",
        &[Timestamp, Timestamp],
        Interval,
        |a, _, _| age(stamp(a, 0), stamp(a, 1)),
        "The time between, in years, months, days and less.",
    )
    .fallible(),
    function(
        "age_timestamptz",
        "age",
        &[TimestampTz, TimestampTz],
        Interval,
        |a, _, _| age(stamp(a, 0), stamp(a, 1)),
        "The time between, in years, months, days and less.",
    )
    .fallible(),
    function(
        "to_timestamp",
        "to_timestamp",
        &[Float8],
        TimestampTz,
        |a, _, _| from_epoch(a[0].unwrap_float8()),
        "Seconds since the Unix epoch as a timestamp.",
    )
    .fallible(),
    function(
        "make_date",
        "make_date",
        &[Int4, Int4, Int4],
        Date,
        |a, _, _| make_date(a).and_then(checked_date).map(Datum::Date),
        "A date of year, month and day.",
    )
    .fallible(),
    function(
        "make_time",
        "make_time",
        &[Int4, Int4, Float8],
        Time,
        |a, _, _| make_time(a).map(Datum::Time),
        "A time of hour, minute and second.",
    )
    .fallible(),
    function(
        "make_timestamp",
        "make_timestamp",
        &[Int4, Int4, Int4, Int4, Int4, Float8],
        Timestamp,
        |a, _, _| make_timestamp(a),
        "A timestamp of its fields.",
    )
    .fallible(),
    function(
        "make_timestamptz",
        "make_timestamptz",
        &[Int4, Int4, Int4, Int4, Int4, Float8],
        TimestampTz,
        |a, _, _| make_timestamp(a),
        "A timestamp of its fields.",
    )
    .fallible(),
    function(
        "make_timestamptz_zone",
        "make_timestamptz",
        &[Int4, Int4, Int4, Int4, Int4, Float8, Text],
        TimestampTz,
        |a, _, _| make_timestamptz_zone(a),
        "The instant at which clocks of a time zone show the fields.",
    )
    .fallible(),
    function(
        "make_interval",
        "make_interval",
        &[Int4, Int4, Int4, Int4, Int4, Int4, Float8],
        Interval,
        |a, _, _| make_interval(a),
        "An interval of years, months, weeks, days, hours, minutes and seconds.",
    )
    .fallible(),
    function(
        "timezone_timestamp",
        "timezone",
        &[Text, Timestamp],
        TimestampTz,
        |a, _, _| to_utc(zone(a[0].unwrap_text())?, stamp(a, 1)),
        "The instant at which clocks of a time zone show a timestamp: AT TIME ZONE.",
    )
    .fallible(),
    function(
        "timezone_timestamptz",
        "timezone",
        &[Text, TimestampTz],
        Timestamp,
        |a, _, _| to_local(zone(a[0].unwrap_text())?, stamp(a, 1)),
        "What clocks of a time zone show at an instant: AT TIME ZONE.",
    )
    .fallible(),
    function(
        "timezone_interval_timestamp",
        "timezone",
        &[Interval, Timestamp],
        TimestampTz,
        |a, _, _| to_utc(offset(a[0])?, stamp(a, 1)),
        "The instant at which clocks ahead by an interval show a timestamp.",
    )
    .fallible(),
    function(
        "timezone_interval_timestamptz",
        "timezone",
        &[Interval, TimestampTz],
        Timestamp,
        |a, _, _| to_local(offset(a[0])?, stamp(a, 1)),
        "What clocks ahead by an interval show at an instant.",
    )
    .fallible(),
    function(
        "isfinite_date",
        "isfinite",
        &[Date],
        Bool,
        |a, _, _| Ok(Datum::Bool(is_finite_date(a[0].unwrap_date()))),
        "False for infinities.",
    ),
    function(
        "isfinite_timestamp",
        "isfinite",
        &[Timestamp],
        Bool,
        |a, _, _| Ok(Datum::Bool(is_finite_timestamp(stamp(a, 0)))),
        "False for infinities.",
    ),
    function(
        "isfinite_timestamptz",
        "isfinite",
        &[TimestampTz],
        Bool,
        |a, _, _| Ok(Datum::Bool(is_finite_timestamp(stamp(a, 0)))),
        "False for infinities.",
    ),
    function("isfinite_interval", "isfinite", &[Interval], Bool, |_, _, _| Ok(Datum::TRUE), "True."),
    function(
        "try_parse_monotonic_iso8601_timestamp",
        "try_parse_monotonic_iso8601_timestamp",
        &[Text],
        Timestamp,
        |a, _, _| Ok(parse_iso_8601(a[0].unwrap_text())),
        "The timestamp of a text such as 2024-02-29T04:05:06.789Z; NULL for any other text.",
    )
    .nullable(),
];

/// A unit of time, by the name PostgreSQL prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit(&'static str);

/// Names and aliases of units; the first is the one printed.
const UNITS: &[&[&str]] = &[
    &["microseconds", "microsecond", "us", "usec", "usecs", "usecond", "useconds", "microsec", "microsecs"],
    &["milliseconds", "millisecond", "ms", "msec", "msecs", "msecond", "mseconds", "millisec", "millisecs"],
    &["second", "seconds", "s", "sec", "secs"],
    &["minute", "minutes", "m", "min", "mins"],
    &["hour", "hours", "h", "hr", "hrs"],
    &["day", "days", "d"],
    &["week", "weeks", "w"],
    &["month", "months", "mon", "mons"],
    &["quarter", "quarters", "qtr"],
    &["year", "years", "y", "yr", "yrs"],
    &["decade", "decades", "dec", "decs"],
    &["century", "centuries", "c", "cent"],
    &["millennium", "millennia", "mil", "mils"],
    &["epoch"],
    &["dow"],
    &["isodow"],
    &["doy"],
    &["isoyear"],
    &["julian", "jd", "j"],
    &["timezone", "tz"],
    &["timezone_hour", "timezone_h"],
    &["timezone_minute", "timezone_m"],
];

/// Types by whose name units are refused.
const PLAIN: &str = "timestamp without time zone";
const ZONED: &str = "timestamp with time zone";
const TIME: &str = "time without time zone";

fn stamp(args: &[Datum<'_>], index: usize) -> i64 {
    args[index].unwrap_timestamp()
}

/// The unit named by the first argument.
fn unit(args: &[Datum<'_>], typ: &str) -> Result<Unit, EvalError> {
    let given = args[0].unwrap_text();
    let name = given.to_ascii_lowercase();
    let found = UNITS.iter().find(|names| names.contains(&name.as_str()));
    let unknown = || invalid_parameter(format!("unit \"{name}\" not recognized for type {typ}"));
    found.map(|names| Unit(names[0])).ok_or_else(unknown)
}

fn unsupported(unit: Unit, typ: &str) -> EvalError {
    EvalError::new("0A000", format!("unit \"{}\" not supported for type {typ}", unit.0))
}

fn pack<'a>(value: Option<Number>, arena: &'a Arena) -> Value<'a> {
    Ok(value.map_or(Datum::Null, |value| Datum::Numeric(value.pack(arena))))
}

fn float<'a>(value: Option<Number>) -> Value<'a> {
    Ok(value.map_or(Datum::Null, |value| Datum::float8(value.to_f64())))
}

/// The number of a count and its unit's fraction of a second, such as 1234 and 3 digits for 1.234.
fn scaled(value: i64, digits: u8) -> Number {
    Number::from_parts(value.into(), digits)
}

/// The year, counted without a year 0, in groups such as centuries; the first group is 1, the one before it -1.
pub(super) fn group_of_years(year: i64, length: i64) -> i64 {
    if year > 0 { (year + length - 1) / length } else { -((length - 1 - (year - 1)) / length) }
}

pub(super) fn day_of_year(civil: Civil) -> i64 {
    days_from_civil(civil) - days_from_civil(Civil { year: civil.year, month: 1, day: 1 }) + 1
}

/// 0 is Sunday.
pub(super) fn day_of_week(days: i64) -> i64 {
    (days + 4).rem_euclid(7)
}

/// ISO 8601: the year and the number of the week, which starts on Monday and belongs to the year of its Thursday.
pub(super) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - (day_of_week(days) + 6) % 7 + 3;
    let civil = civil_from_days(thursday);
    (civil.year, (day_of_year(civil) - 1) / 7 + 1)
}

/// The year as people count: there is none between 1 BC and AD 1.
fn counted(year: i64) -> i64 {
    if year <= 0 { year - 1 } else { year }
}

/// A field of a timestamp; none where an infinity has no such field.
fn timestamp_part(unit: Unit, timestamp: i64, typ: &str) -> Result<Option<Number>, EvalError> {
    if !is_finite_timestamp(timestamp) {
        let monotonic = matches!(unit.0, "year" | "decade" | "century" | "millennium" | "julian" | "isoyear" | "epoch");
        let infinity = if timestamp > 0 { Number::INFINITY } else { Number::NEGATIVE_INFINITY };
        return Ok(monotonic.then_some(infinity));
    }
    let days = timestamp.div_euclid(MICROS_PER_DAY);
    let time = timestamp.rem_euclid(MICROS_PER_DAY);
    let civil = civil_from_days(days);
    let whole = match unit.0 {
        "epoch" => return Ok(Some(scaled(timestamp, 6))),
        "julian" => {
            let fraction = Number::from_i64(time).div(&Number::from_i64(MICROS_PER_DAY));
            let julian = fraction.and_then(|fraction| fraction.add(&Number::from_i64(days + 2_440_588)));
            return julian.map(Some).map_err(super::numeric_error);
        }
        "day" => civil.day.into(),
        "week" => iso_week(days).1,
        "month" => civil.month.into(),
        "quarter" => i64::from((civil.month - 1) / 3 + 1),
        "year" => counted(civil.year),
        "isoyear" => counted(iso_week(days).0),
        "decade" => civil.year.div_euclid(10),
        "century" => group_of_years(civil.year, 100),
        "millennium" => group_of_years(civil.year, 1000),
        "dow" => day_of_week(days),
        "isodow" => (day_of_week(days) + 6) % 7 + 1,
        "doy" => day_of_year(civil),
        "timezone" | "timezone_hour" | "timezone_minute" if typ == ZONED => 0,
        _ => return time_part(unit, time, typ).map(Some),
    };
    Ok(Some(Number::from_i64(whole)))
}

/// A field of a date: PostgreSQL refuses what a date does not have.
fn date_part(args: &[Datum<'_>]) -> Result<Option<Number>, EvalError> {
    let unit = unit(args, "date")?;
    if matches!(unit.0, "microseconds" | "milliseconds" | "second" | "minute" | "hour") {
        return Err(unsupported(unit, "date"));
    }
    let days = args[1].unwrap_date();
    match unit.0 {
        // A date far from now has no timestamp.
        "epoch" if is_finite_date(days) => Ok(Some(Number::from_i64(i64::from(days) * 86_400))),
        _ => timestamp_part(unit, midnight(args[1])?, "date"),
    }
}

fn time_part(unit: Unit, time: i64, typ: &str) -> Result<Number, EvalError> {
    Ok(match unit.0 {
        "microseconds" => Number::from_i64(time % MICROS_PER_MINUTE),
        "milliseconds" => scaled(time % MICROS_PER_MINUTE, 3),
        "second" => scaled(time % MICROS_PER_MINUTE, 6),
        "minute" => Number::from_i64(time / MICROS_PER_MINUTE % 60),
        "hour" => Number::from_i64(time / MICROS_PER_HOUR),
        "epoch" => scaled(time, 6),
        _ => return Err(unsupported(unit, typ)),
    })
}

fn interval_part(unit: Unit, span: Span) -> Result<Number, EvalError> {
    let (years, months) = (i64::from(span.months / 12), i64::from(span.months % 12));
    let whole = match unit.0 {
        "epoch" => {
            // A year counts as 365.25 days here, and only here.
            let days = i128::from(years) * 1461 + (i128::from(months) * 30 + i128::from(span.days)) * 4;
            let micros = days * i128::from(MICROS_PER_DAY / 4) + i128::from(span.micros);
            return Ok(Number::from_parts(micros, 6));
        }
        "day" => span.days.into(),
        "month" => months,
        "quarter" => months / 3 + 1,
        "year" => years,
        "decade" => years / 10,
        "century" => years / 100,
        "millennium" => years / 1000,
        _ => return time_part(unit, span.micros, "interval"),
    };
    Ok(Number::from_i64(whole))
}

fn first_of(year: i64, month: u32) -> i64 {
    days_from_civil(Civil { year, month, day: 1 })
}

/// The start of the unit a timestamp is in.
fn truncate(unit: Unit, timestamp: i64, typ: &str) -> Result<i64, EvalError> {
    if !is_finite_timestamp(timestamp) {
        return Ok(timestamp);
    }
    let within_day = match unit.0 {
        "microseconds" => Some(1),
        "milliseconds" => Some(1000),
        "second" => Some(MICROS_PER_SECOND),
        "minute" => Some(MICROS_PER_MINUTE),
        "hour" => Some(MICROS_PER_HOUR),
        "day" => Some(MICROS_PER_DAY),
        _ => None,
    };
    if let Some(length) = within_day {
        return checked_timestamp(i128::from(timestamp.div_euclid(length)) * i128::from(length));
    }
    let days = timestamp.div_euclid(MICROS_PER_DAY);
    let Civil { year, month, .. } = civil_from_days(days);
    let first = match unit.0 {
        "week" => days - (day_of_week(days) + 6) % 7,
        "month" => first_of(year, month),
        "quarter" => first_of(year, (month - 1) / 3 * 3 + 1),
        "year" => first_of(year, 1),
        "decade" => first_of(year.div_euclid(10) * 10, 1),
        "century" => first_of((year - 1).div_euclid(100) * 100 + 1, 1),
        "millennium" => first_of((year - 1).div_euclid(1000) * 1000 + 1, 1),
        _ => return Err(unsupported(unit, typ)),
    };
    checked_timestamp(i128::from(first) * i128::from(MICROS_PER_DAY))
}

/// The number of a unit's boundaries from some fixed time to a timestamp. Errors: 22023, 22008 for infinities.
pub(super) fn boundaries(unit_name: &str, timestamp: i64) -> Result<i64, EvalError> {
    if !is_finite_timestamp(timestamp) {
        return Err(timestamp_out_of_range());
    }
    let unit = unit(&[Datum::Text(unit_name)], PLAIN)?;
    let days = timestamp.div_euclid(MICROS_PER_DAY);
    let Civil { year, month, .. } = civil_from_days(days);
    Ok(match unit.0 {
        "microseconds" => timestamp,
        "milliseconds" => timestamp.div_euclid(1000),
        "second" => timestamp.div_euclid(MICROS_PER_SECOND),
        "minute" => timestamp.div_euclid(MICROS_PER_MINUTE),
        "hour" => timestamp.div_euclid(MICROS_PER_HOUR),
        "day" => days,
        // The epoch was a Thursday.
        "week" => (days + 3).div_euclid(7),
        "month" => year * 12 + i64::from(month),
        "quarter" => year * 4 + i64::from((month - 1) / 3),
        "year" => year,
        "decade" => year.div_euclid(10),
        "century" => (year - 1).div_euclid(100),
        "millennium" => (year - 1).div_euclid(1000),
        _ => return Err(unsupported(unit, PLAIN)),
    })
}

fn truncate_in_zone<'a>(unit: Unit, timestamp: i64, zone: TimeZone) -> Value<'a> {
    let local = zone.to_local(timestamp).ok_or_else(timestamp_out_of_range)?;
    to_utc(zone, truncate(unit, local, ZONED)?)
}

fn truncate_interval(unit: Unit, span: Span) -> Result<Span, EvalError> {
    let Span { months, days, micros } = span;
    let of_months = |length: i32| Span { months: months / length * length, days: 0, micros: 0 };
    let of_micros = |length: i64| Span { months, days, micros: micros / length * length };
    Ok(match unit.0 {
        "microseconds" => span,
        "milliseconds" => of_micros(1000),
        "second" => of_micros(MICROS_PER_SECOND),
        "minute" => of_micros(MICROS_PER_MINUTE),
        "hour" => of_micros(MICROS_PER_HOUR),
        "day" => Span { months, days, micros: 0 },
        "month" => of_months(1),
        "quarter" => of_months(3),
        "year" => of_months(12),
        "decade" => of_months(120),
        "century" => of_months(1200),
        "millennium" => of_months(12_000),
        "week" => {
            let detail = "Months usually have fractional weeks.";
            return Err(unsupported(unit, "interval").with_detail(detail));
        }
        _ => return Err(unsupported(unit, "interval")),
    })
}

fn date_bin<'a>(args: &[Datum<'_>]) -> Value<'a> {
    let (stride, source, origin) = (args[0].unwrap_interval(), stamp(args, 1), stamp(args, 2));
    if stride.months != 0 {
        let message = "timestamps cannot be binned into intervals containing months or years";
        return Err(EvalError::new("0A000", message));
    }
    let length = stride.key();
    if length <= 0 {
        return Err(EvalError::new("22008", "stride must be greater than zero"));
    }
    if !is_finite_timestamp(source) {
        return Ok(Datum::Timestamp(source));
    }
    if !is_finite_timestamp(origin) {
        return Err(EvalError::new("22008", "origin out of range"));
    }
    let offset = i128::from(source) - i128::from(origin);
    checked_timestamp(i128::from(origin) + offset.div_euclid(length) * length).map(Datum::Timestamp)
}

/// The difference field by field.
fn age<'a>(left: i64, right: i64) -> Value<'a> {
    let infinite = || EvalError::new("22008", "cannot subtract infinite timestamps");
    repr::interval::age(left, right).map(Datum::Interval).ok_or_else(infinite)
}

fn from_epoch<'a>(seconds: f64) -> Value<'a> {
    if seconds.is_nan() {
        return Err(EvalError::new("22008", "timestamp cannot be NaN"));
    }
    if seconds.is_infinite() {
        let infinity = if seconds > 0.0 {
            repr::datetime::TIMESTAMP_INFINITY
        } else {
            repr::datetime::TIMESTAMP_NEGATIVE_INFINITY
        };
        return Ok(Datum::Timestamp(infinity));
    }
    let micros = (seconds * 1e6).round_ties_even();
    let shown = || crate::text_of(Datum::float8(seconds), &repr::ScalarType::Float8);
    let out_of_range = || EvalError::new("22008", format!("timestamp out of range: \"{}\"", shown()));
    if micros.abs() >= 9.3e18 {
        return Err(out_of_range());
    }
    checked_timestamp(micros as i128).map(Datum::Timestamp).map_err(|_| out_of_range())
}

/// The days of the year, month and day in the first three arguments. A negative year is BC.
fn make_date(args: &[Datum<'_>]) -> Result<i64, EvalError> {
    let (year, month, day) = (args[0].unwrap_int(), args[1].unwrap_int(), args[2].unwrap_int());
    let invalid = || EvalError::new("22008", format!("date field value out of range: {year}-{month:02}-{day:02}"));
    let astronomical = if year < 0 { year + 1 } else { year };
    let month = u32::try_from(month).ok().filter(|month| (1..=12).contains(month)).ok_or_else(invalid)?;
    let day = u32::try_from(day).ok().filter(|day| *day >= 1 && *day <= days_in_month(astronomical, month));
    match day {
        Some(day) if year != 0 => Ok(days_from_civil(Civil { year: astronomical, month, day })),
        _ => Err(invalid()),
    }
}

/// The time of the last three arguments: hour, minute, seconds.
fn make_time(args: &[Datum<'_>]) -> Result<i64, EvalError> {
    let [hour, minute, seconds] = args else { panic!("hour, minute and seconds") };
    let (hour, minute, seconds) = (hour.unwrap_int(), minute.unwrap_int(), seconds.unwrap_float8());
    let valid = (0..=24).contains(&hour) && (0..60).contains(&minute) && (0.0..=60.0).contains(&seconds);
    let micros =
        valid.then(|| hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + (seconds * 1e6).round_ties_even() as i64);
    let out_of_range =
        || EvalError::new("22008", format!("time field value out of range: {hour}:{minute:02}:{seconds:02}"));
    micros.filter(|micros| *micros <= MICROS_PER_DAY).ok_or_else(out_of_range)
}

fn make_timestamp<'a>(args: &[Datum<'_>]) -> Value<'a> {
    let days = make_date(args)?;
    let time = make_time(&args[3..])?;
    checked_timestamp(i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(time)).map(Datum::Timestamp)
}

fn make_timestamptz_zone<'a>(args: &[Datum<'_>]) -> Value<'a> {
    let local = make_timestamp(&args[..6])?.unwrap_timestamp();
    let zone = TimeZone::parse(args[6].unwrap_text()).map_err(crate::cast::parse_error)?;
    zone.to_utc(local).map(Datum::Timestamp).ok_or_else(timestamp_out_of_range)
}

fn make_interval<'a>(args: &[Datum<'_>]) -> Value<'a> {
    let int = |index: usize| i128::from(args[index].unwrap_int());
    let seconds = args[6].unwrap_float8();
    if !seconds.is_finite() || seconds.abs() > 9e12 {
        return Err(interval_out_of_range());
    }
    let months = int(0) * 12 + int(1);
    let days = int(2) * 7 + int(3);
    let micros = int(4) * i128::from(MICROS_PER_HOUR)
        + int(5) * i128::from(MICROS_PER_MINUTE)
        + (seconds * 1e6).round_ties_even() as i128;
    Ok(Datum::Interval(Span {
        months: months.try_into().map_err(|_| interval_out_of_range())?,
        days: days.try_into().map_err(|_| interval_out_of_range())?,
        micros: micros.try_into().map_err(|_| interval_out_of_range())?,
    }))
}

/// A zone by name, abbreviation or offset. An offset alone is POSIX's, as in PostgreSQL: positive to the west.
fn zone(name: &str) -> Result<TimeZone, EvalError> {
    match TimeZone::parse(name).map_err(crate::cast::parse_error)? {
        TimeZone::Fixed(seconds) if name.trim().starts_with(['+', '-']) => Ok(TimeZone::Fixed(-seconds)),
        zone => Ok(zone),
    }
}

/// A fixed offset.
fn offset(span: Datum<'_>) -> Result<TimeZone, EvalError> {
    let span = span.unwrap_interval();
    let shown = || crate::text_of(Datum::Interval(span), &repr::ScalarType::Interval(None));
    if span.months != 0 || span.days != 0 {
        let message = format!("interval time zone \"{}\" must not include months or days", shown());
        return Err(invalid_parameter(message));
    }
    let seconds = i32::try_from(span.micros / MICROS_PER_SECOND).ok().filter(|seconds| seconds.abs() < 86_400);
    seconds.map(TimeZone::Fixed).ok_or_else(|| invalid_parameter(format!("time zone \"{}\" out of range", shown())))
}

fn to_utc<'a>(zone: TimeZone, local: i64) -> Value<'a> {
    zone.to_utc(local).map(Datum::Timestamp).ok_or_else(timestamp_out_of_range)
}

fn to_local<'a>(zone: TimeZone, instant: i64) -> Value<'a> {
    zone.to_local(instant).map(Datum::Timestamp).ok_or_else(timestamp_out_of_range)
}

/// `YYYY-MM-DDThh:mm:ss[.ffffff]Z` and nothing else, so that the order of texts is that of timestamps.
fn parse_iso_8601<'a>(text: &str) -> Datum<'a> {
    let bytes = text.as_bytes();
    let fixed = b"0000-00-00T00:00:00";
    let shape_right = bytes.len() > fixed.len()
        && bytes
            .iter()
            .zip(fixed)
            .all(|(byte, shape)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape });
    let Some(fraction) = shape_right.then(|| &text[fixed.len()..]).and_then(|rest| rest.strip_suffix('Z')) else {
        return Datum::Null;
    };
    let digits = fraction.strip_prefix('.').unwrap_or("");
    let fraction_right = fraction.is_empty()
        || (fraction.starts_with('.') && (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()));
    if !fraction_right {
        return Datum::Null;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap_or(0);
    let date = [Datum::Int(number(0..4)), Datum::Int(number(5..7)), Datum::Int(number(8..10))];
    let (hour, minute, second) = (number(11..13), number(14..16), number(17..19));
    let micros: i64 = format!("{digits:0<6}").parse().unwrap_or(0);
    match make_date(&date) {
        Ok(days) if hour < 24 && minute < 60 && second < 60 => Datum::Timestamp(
            days * MICROS_PER_DAY
                + hour * MICROS_PER_HOUR
                + minute * MICROS_PER_MINUTE
                + second * MICROS_PER_SECOND
                + micros,
        ),
        _ => Datum::Null,
    }
}
