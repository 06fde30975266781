//! Reads dates, times and timestamps.

use super::scan::{Failure, Fields, Special, scan};
use super::zone::is_timestamp;
use super::{
    Civil, DATE_INFINITY, DATE_MAX, DATE_MIN, DATE_NEGATIVE_INFINITY, MICROS_PER_DAY, TIMESTAMP_INFINITY,
    TIMESTAMP_NEGATIVE_INFINITY, TimeZone, days_from_civil,
};
use crate::error::{ParseError, ParseErrorKind};

/// Days since the Unix epoch. A time of day in the text is dropped.
pub fn parse_date(text: &str) -> Result<i32, ParseError> {
    let fields = scan_as("date", text)?;
    match fields.special {
        Some(Special::Epoch) => return Ok(0),
        Some(Special::Infinity) => return Ok(DATE_INFINITY),
        Some(Special::NegativeInfinity) => return Ok(DATE_NEGATIVE_INFINITY),
        None => {}
    }
    let civil = fields.date.ok_or_else(|| syntax("date", text))?;
    let days = i32::try_from(days_from_civil(civil)).ok().filter(|days| (DATE_MIN..=DATE_MAX).contains(days));
    days.ok_or_else(|| ParseError::new(ParseErrorKind::DatetimeOutOfRange, format!("date out of range: \"{text}\"")))
}

/// Microseconds since midnight. A date or zone in the text is dropped.
pub fn parse_time(text: &str) -> Result<i64, ParseError> {
    // Without a date before them, bare digits are a time: `040506`.
    let trimmed = text.trim();
    let is_bare = trimmed.bytes().all(|byte| byte.is_ascii_digit()) && matches!(trimmed.len(), 4 | 6);
    let fields = if is_bare { scan_as("time", &format!("2000-01-01 {trimmed}")) } else { scan_as("time", text) };
    let fields = fields.map_err(|error| ParseError { message: error.message.replace("2000-01-01 ", ""), ..error })?;
    // Only a date tells the offset of a zone that has had several.
    let is_told = fields.date.is_some() || fields.zone.is_none_or(|zone| zone.has_one_offset());
    fields.time.filter(|_| is_told).ok_or_else(|| syntax("time", text))
}

/// Microseconds since the Unix epoch. A zone in the text is dropped.
pub fn parse_timestamp(text: &str) -> Result<i64, ParseError> {
    let fields = scan_as("timestamp", text)?;
    timestamp_of("timestamp", text, &fields)
}

/// Microseconds since the Unix epoch; what names no zone is in `zone`.
pub fn parse_timestamptz(text: &str, zone: &TimeZone) -> Result<i64, ParseError> {
    const NAME: &str = "timestamp with time zone";
    let fields = scan_as(NAME, text)?;
    let local = timestamp_of(NAME, text, &fields)?;
    if fields.special.is_some() {
        return Ok(local);
    }
    let zone = fields.zone.as_ref().unwrap_or(zone);
    zone.to_utc(local).ok_or_else(|| timestamp_out_of_range(text))
}

fn timestamp_of(name: &str, text: &str, fields: &Fields) -> Result<i64, ParseError> {
    match fields.special {
        Some(Special::Epoch) => return Ok(0),
        Some(Special::Infinity) => return Ok(TIMESTAMP_INFINITY),
        Some(Special::NegativeInfinity) => return Ok(TIMESTAMP_NEGATIVE_INFINITY),
        None => {}
    }
    let civil: Civil = fields.date.ok_or_else(|| syntax(name, text))?;
    days_from_civil(civil)
        .checked_mul(MICROS_PER_DAY)
        .and_then(|midnight| midnight.checked_add(fields.time.unwrap_or(0)))
        .filter(is_timestamp)
        .ok_or_else(|| timestamp_out_of_range(text))
}

fn scan_as(name: &str, text: &str) -> Result<Fields, ParseError> {
    scan(text).map_err(|failure| match failure {
        Failure::Syntax => syntax(name, text),
        Failure::OutOfRange => ParseError::new(
            ParseErrorKind::DatetimeOutOfRange,
            format!("date/time field value out of range: \"{text}\""),
        ),
        Failure::UnknownZone(zone) => TimeZone::unknown(&zone),
        Failure::Displacement => ParseError::new(
            ParseErrorKind::InvalidTimeZoneDisplacement,
            format!("time zone displacement out of range: \"{text}\""),
        ),
    })
}

fn syntax(name: &str, text: &str) -> ParseError {
    ParseError::new(ParseErrorKind::InvalidDatetime, format!("invalid input syntax for type {name}: \"{text}\""))
}

fn timestamp_out_of_range(text: &str) -> ParseError {
    ParseError::new(ParseErrorKind::DatetimeOutOfRange, format!("timestamp out of range: \"{text}\""))
}
