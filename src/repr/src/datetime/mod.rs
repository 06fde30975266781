//! Dates, times and timestamps: the civil calendar, time zones, PostgreSQL's text forms.
//!
//! The calendar is the proleptic Gregorian one. Year 0 is 1 BC. Dates reach from 4714-11-24 BC to 5874897-12-31,
//! timestamps to the last microsecond of 64 bits, in the year 294247.

mod civil;
mod format;
mod parse;
mod scan;
mod zone;

pub use civil::{
    Civil, DATE_MAX, DATE_MIN, DAYS, MONTHS, TIMESTAMP_MAX, TIMESTAMP_MIN, civil_from_days, date_to_timestamp,
    days_from_civil, days_in_month, is_leap_year, round_to_precision, timestamp_to_date,
};
pub(crate) use format::put_seconds;
pub use format::{format_date, format_time, format_timestamp, format_timestamptz};
pub use parse::{parse_date, parse_time, parse_timestamp, parse_timestamptz};
pub(crate) use scan::fraction_micros;
pub use zone::TimeZone;
pub(crate) use zone::is_timestamp;

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;
/// The infinities of timestamps.
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;
pub const TIMESTAMP_NEGATIVE_INFINITY: i64 = i64::MIN;
/// The infinities of dates.
pub const DATE_INFINITY: i32 = i32::MAX;
pub const DATE_NEGATIVE_INFINITY: i32 = i32::MIN;
