//! Prints dates and times as PostgreSQL does under DateStyle ISO.

use std::fmt::Write;

use super::{
    DATE_INFINITY, DATE_NEGATIVE_INFINITY, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND,
    TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY, TimeZone, civil_from_days,
};

const TO_STRING: &str = "a string takes all text";

/// `2024-02-29`, `0044-03-15 BC`, `infinity`
pub fn format_date(days: i32, out: &mut String) {
    match days {
        DATE_INFINITY => out.push_str("infinity"),
        DATE_NEGATIVE_INFINITY => out.push_str("-infinity"),
        days => {
            let is_bc = put_day(days.into(), out);
            put_era(is_bc, out);
        }
    }
}

/// `04:05:06.789`
pub fn format_time(micros: i64, out: &mut String) {
    let (hour, minute) = (micros / MICROS_PER_HOUR, micros / MICROS_PER_MINUTE % 60);
    write!(out, "{hour:02}:{minute:02}:").expect(TO_STRING);
    put_seconds(micros % MICROS_PER_MINUTE, out);
}

/// `2024-02-29 04:05:06.789`
pub fn format_timestamp(micros: i64, out: &mut String) {
    match micros {
        TIMESTAMP_INFINITY => out.push_str("infinity"),
        TIMESTAMP_NEGATIVE_INFINITY => out.push_str("-infinity"),
        micros => {
            let is_bc = put_day_and_time(micros.into(), out);
            put_era(is_bc, out);
        }
    }
}

/// `2024-02-29 04:05:06.789+00`
pub fn format_timestamptz(micros: i64, zone: &TimeZone, out: &mut String) {
    match micros {
        TIMESTAMP_INFINITY => out.push_str("infinity"),
        TIMESTAMP_NEGATIVE_INFINITY => out.push_str("-infinity"),
        micros => {
            let offset = zone.offset_at(micros);
            let local = i128::from(micros) + i128::from(offset) * i128::from(MICROS_PER_SECOND);
            let is_bc = put_day_and_time(local, out);
            put_offset(offset, out);
            put_era(is_bc, out);
        }
    }
}

/// Two digits of hours, then what else is not zero.
pub(super) fn put_offset(seconds: i32, out: &mut String) {
    let magnitude = seconds.unsigned_abs();
    out.push(if seconds < 0 { '-' } else { '+' });
    write!(out, "{:02}", magnitude / 3600).expect(TO_STRING);
    if !magnitude.is_multiple_of(3600) {
        write!(out, ":{:02}", magnitude / 60 % 60).expect(TO_STRING);
    }
    if !magnitude.is_multiple_of(60) {
        write!(out, ":{:02}", magnitude % 60).expect(TO_STRING);
    }
}

/// Local microseconds may be out of 64 bits by an offset.
fn put_day_and_time(micros: i128, out: &mut String) -> bool {
    let day = i128::from(MICROS_PER_DAY);
    let is_bc = put_day(micros.div_euclid(day) as i64, out);
    out.push(' ');
    format_time(micros.rem_euclid(day) as i64, out);
    is_bc
}

/// Returns whether the day is before Christ.
fn put_day(days: i64, out: &mut String) -> bool {
    let civil = civil_from_days(days);
    let is_bc = civil.year <= 0;
    let year = if is_bc { 1 - civil.year } else { civil.year };
    write!(out, "{year:04}-{:02}-{:02}", civil.month, civil.day).expect(TO_STRING);
    is_bc
}

fn put_era(is_bc: bool, out: &mut String) {
    if is_bc {
        out.push_str(" BC");
    }
}

/// Two digits of seconds and the fraction without trailing zeros.
pub(crate) fn put_seconds(micros: i64, out: &mut String) {
    write!(out, "{:02}", micros / MICROS_PER_SECOND).expect(TO_STRING);
    let fraction = micros % MICROS_PER_SECOND;
    if fraction != 0 {
        let digits = format!(".{fraction:06}");
        out.push_str(digits.trim_end_matches('0'));
    }
}
