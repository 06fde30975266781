//! Reads intervals: `1 year 2 mons 3 days 04:05:06.7`, `P1Y2M3DT4H5M6S`, `1 day ago`, `1-2 3 4:05:06`.

use super::Interval;
use crate::datetime::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, fraction_micros};
use crate::error::{ParseError, ParseErrorKind};

enum Failure {
    Syntax,
    OutOfRange,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// So many microseconds.
    Time(i64),
    Day,
    Week,
    Month,
    /// So many years.
    Years(i64),
}

/// A number with a fraction: `sign` times (`whole` plus `fraction`).
#[derive(Clone, Copy)]
struct Quantity {
    negative: bool,
    whole: i64,
    fraction: f64,
}

impl Interval {
    /// Reads what PostgreSQL reads. A number without a unit counts days before a time of day, else seconds.
    pub fn parse(text: &str) -> Result<Interval, ParseError> {
        let trimmed = text.trim();
        let parsed = match trimmed.strip_prefix('P') {
            Some(designators) => parse_iso(designators),
            None => parse_words(trimmed),
        };
        parsed.map_err(|failure| match failure {
            Failure::Syntax => ParseError::new(
                ParseErrorKind::InvalidDatetime,
                format!("invalid input syntax for type interval: \"{text}\""),
            ),
            Failure::OutOfRange => ParseError::new(
                ParseErrorKind::IntervalOutOfRange,
                format!("interval field value out of range: \"{text}\""),
            ),
        })
    }
}

fn unit_of(word: &str) -> Option<Unit> {
    let unit = match word {
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds" | "microsecon" => {
            Unit::Time(1)
        }
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds" | "millisecon" => {
            Unit::Time(1000)
        }
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Time(MICROS_PER_SECOND),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Time(MICROS_PER_MINUTE),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Time(MICROS_PER_HOUR),
        "d" | "day" | "days" => Unit::Day,
        "w" | "week" | "weeks" => Unit::Week,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Years(1),
        "dec" | "decs" | "decade" | "decades" => Unit::Years(10),
        "c" | "cent" | "century" | "centuries" => Unit::Years(100),
        "mil" | "mils" | "millennium" | "millennia" => Unit::Years(1000),
        _ => return None,
    };
    Some(unit)
}

fn parse_words(text: &str) -> Result<Interval, Failure> {
    let mut sum = Interval::default();
    let mut tokens = tokens(text)?.into_iter().peekable();
    if tokens.next_if(|token| *token == "@").is_some() && tokens.peek().is_none() {
        return Err(Failure::Syntax);
    }
    let mut seen = Vec::new();
    let mut count = 0;
    let mut is_ago = false;
    while let Some(token) = tokens.next() {
        count += 1;
        if is_ago {
            return Err(Failure::Syntax);
        }
        if token.eq_ignore_ascii_case("ago") && count > 1 {
            is_ago = true;
        } else if token.contains(':') {
            see(&mut seen, &CLOCK)?;
            add_clock(&mut sum, token)?;
        } else if let Some((years, months)) = token.trim_start_matches(['+', '-']).split_once('-') {
            see(&mut seen, &[Unit::Years(1), Unit::Month])?;
            add_years_and_months(&mut sum, token.starts_with('-'), years, months)?;
        } else {
            let quantity = parse_quantity(token)?;
            let is_word = |token: &&str| token.starts_with(|c: char| c.is_ascii_alphabetic());
            let unit = match tokens.peek() {
                Some(next) if is_word(next) && !next.eq_ignore_ascii_case("ago") => {
                    unit_of(&next.to_ascii_lowercase()).ok_or(Failure::Syntax)?
                }
                Some(next) if next.contains(':') => Unit::Day,
                _ => Unit::Time(MICROS_PER_SECOND),
            };
            tokens.next_if(|next| is_word(next) && !next.eq_ignore_ascii_case("ago"));
            see(&mut seen, &[unit])?;
            add(&mut sum, quantity, unit)?;
        }
    }
    if count == 0 {
        return Err(Failure::Syntax);
    }
    if is_ago { sum.checked_neg().ok_or(Failure::OutOfRange) } else { Ok(sum) }
}

/// What a time of day has in it.
const CLOCK: [Unit; 3] = [Unit::Time(MICROS_PER_HOUR), Unit::Time(MICROS_PER_MINUTE), Unit::Time(MICROS_PER_SECOND)];

/// A unit may be given once.
fn see(seen: &mut Vec<Unit>, units: &[Unit]) -> Result<(), Failure> {
    if units.iter().any(|unit| seen.contains(unit)) {
        return Err(Failure::Syntax);
    }
    seen.extend_from_slice(units);
    Ok(())
}

/// Splits at blanks and between a number and the letters behind it.
fn tokens(text: &str) -> Result<Vec<&str>, Failure> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_ascii_alphabetic();
        let belongs = |c: char| match c {
            '@' => first == '@',
            c if c.is_ascii_alphabetic() => is_word,
            c if c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | ':') => !is_word && first != '@',
            _ => false,
        };
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(Failure::Syntax);
        }
        tokens.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    Ok(tokens)
}

fn digits(text: &str) -> Result<i64, Failure> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::Syntax);
    }
    text.parse().map_err(|_| Failure::OutOfRange)
}

fn parse_quantity(token: &str) -> Result<Quantity, Failure> {
    let (negative, unsigned) = match token.as_bytes().first() {
        Some(b'-') => (true, &token[1..]),
        Some(b'+') => (false, &token[1..]),
        _ => (false, token),
    };
    let (whole, fraction) = match unsigned.split_once('.') {
        None => (digits(unsigned)?, 0.0),
        Some(("", "")) => return Err(Failure::Syntax),
        Some((whole, fraction)) => {
            let whole = if whole.is_empty() { 0 } else { digits(whole)? };
            let is_digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
            (
                whole,
                if is_digits {
                    format!("0.{fraction}0").parse().map_err(|_| Failure::Syntax)?
                } else {
                    return Err(Failure::Syntax);
                },
            )
        }
    };
    Ok(Quantity { negative, whole, fraction })
}

/// `[-]hh:mm[:ss[.ffffff]]`, or `mm:ss.ffffff`
fn add_clock(sum: &mut Interval, token: &str) -> Result<(), Failure> {
    let negative = token.starts_with('-');
    let unsigned = token.strip_prefix(['+', '-']).unwrap_or(token);
    let (whole, fraction) = match unsigned.split_once('.') {
        None => (unsigned, None),
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => (whole, Some(fraction)),
        Some(_) => return Err(Failure::Syntax),
    };
    let parts: Vec<&str> = whole.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [minutes, seconds] if fraction.is_some() => (0, digits(minutes)?, digits(seconds)?),
        [hours, minutes] => (digits(hours)?, digits(minutes)?, 0),
        [hours, minutes, seconds] => (digits(hours)?, digits(minutes)?, digits(seconds)?),
        _ => return Err(Failure::Syntax),
    };
    if minutes > 59 || seconds > 60 {
        return Err(Failure::OutOfRange);
    }
    let small = minutes * MICROS_PER_MINUTE + seconds * MICROS_PER_SECOND + fraction_micros(fraction.unwrap_or(""));
    let micros =
        hours.checked_mul(MICROS_PER_HOUR).and_then(|micros| micros.checked_add(small)).ok_or(Failure::OutOfRange)?;
    add_micros(sum, if negative { -micros } else { micros })
}

/// SQL's `years-months`
fn add_years_and_months(sum: &mut Interval, negative: bool, years: &str, months: &str) -> Result<(), Failure> {
    let (years, months) = (digits(years)?, digits(months)?);
    if months > 11 {
        return Err(Failure::OutOfRange);
    }
    let total = years.checked_mul(12).and_then(|total| total.checked_add(months)).ok_or(Failure::OutOfRange)?;
    add_months(sum, if negative { -total } else { total })
}

fn add_micros(sum: &mut Interval, micros: i64) -> Result<(), Failure> {
    sum.micros = sum.micros.checked_add(micros).ok_or(Failure::OutOfRange)?;
    Ok(())
}

fn add_days(sum: &mut Interval, days: i64) -> Result<(), Failure> {
    let total = i64::from(sum.days).checked_add(days).and_then(|days| days.try_into().ok());
    sum.days = total.ok_or(Failure::OutOfRange)?;
    Ok(())
}

fn add_months(sum: &mut Interval, months: i64) -> Result<(), Failure> {
    let total = i64::from(sum.months).checked_add(months).and_then(|months| months.try_into().ok());
    sum.months = total.ok_or(Failure::OutOfRange)?;
    Ok(())
}

/// Fractions go to the smaller fields.
fn add(sum: &mut Interval, quantity: Quantity, unit: Unit) -> Result<(), Failure> {
    let sign = if quantity.negative { -1 } else { 1 };
    let whole = sign * quantity.whole;
    let fraction = sign as f64 * quantity.fraction;
    let times = |count: i64| whole.checked_mul(count).ok_or(Failure::OutOfRange);
    match unit {
        Unit::Time(micros) => {
            add_micros(sum, times(micros)?)?;
            add_micros(sum, (fraction * micros as f64).round_ties_even() as i64)
        }
        Unit::Day => {
            add_days(sum, whole)?;
            add_micros(sum, (fraction * MICROS_PER_DAY as f64).round_ties_even() as i64)
        }
        Unit::Week => {
            add_days(sum, times(7)?)?;
            add_fraction_of_days(sum, fraction * 7.0)
        }
        Unit::Month => {
            add_months(sum, whole)?;
            add_fraction_of_days(sum, fraction * 30.0)
        }
        Unit::Years(years) => {
            add_months(sum, times(12 * years)?)?;
            add_months(sum, (fraction * (12 * years) as f64).round_ties_even() as i64)
        }
    }
}

fn add_fraction_of_days(sum: &mut Interval, days: f64) -> Result<(), Failure> {
    add_days(sum, days.trunc() as i64)?;
    add_micros(sum, (days.fract() * MICROS_PER_DAY as f64).round_ties_even() as i64)
}

/// ISO 8601 behind its `P`: designators, or `1999-01-08T04:05:06`.
fn parse_iso(text: &str) -> Result<Interval, Failure> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    if text.is_empty() {
        return Err(Failure::Syntax);
    }
    let mut sum = Interval::default();
    let is_alternative = |part: &str| !part.is_empty() && !part.ends_with(|c: char| c.is_ascii_alphabetic());
    if is_alternative(date) || (date.is_empty() && time.is_some_and(is_alternative)) {
        add_alternative(&mut sum, date, time)?;
        return Ok(sum);
    }
    add_designators(&mut sum, date, |letter| match letter {
        'Y' => Some(Unit::Years(1)),
        'M' => Some(Unit::Month),
        'W' => Some(Unit::Week),
        'D' => Some(Unit::Day),
        _ => None,
    })?;
    add_designators(&mut sum, time.unwrap_or(""), |letter| match letter {
        'H' => Some(Unit::Time(MICROS_PER_HOUR)),
        'M' => Some(Unit::Time(MICROS_PER_MINUTE)),
        'S' => Some(Unit::Time(MICROS_PER_SECOND)),
        _ => None,
    })?;
    Ok(sum)
}

fn add_designators(sum: &mut Interval, text: &str, unit_of: impl Fn(char) -> Option<Unit>) -> Result<(), Failure> {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let unit = rest[at..].chars().next().and_then(&unit_of).ok_or(Failure::Syntax)?;
        add(sum, parse_quantity(&rest[..at])?, unit)?;
        rest = &rest[at + 1..];
    }
    if rest.is_empty() { Ok(()) } else { Err(Failure::Syntax) }
}

fn add_alternative(sum: &mut Interval, date: &str, time: Option<&str>) -> Result<(), Failure> {
    if !date.is_empty() {
        let parts: Vec<&str> = date.split('-').collect();
        let [years, months, days] = parts[..] else { return Err(Failure::Syntax) };
        add(sum, parse_quantity(years)?, Unit::Years(1))?;
        add(sum, parse_quantity(months)?, Unit::Month)?;
        add(sum, parse_quantity(days)?, Unit::Day)?;
    }
    time.map_or(Ok(()), |time| add_clock(sum, time))
}
