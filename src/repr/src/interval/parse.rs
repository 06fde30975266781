//! Reads intervals: `1 year 2 mons 3 days 04:05:06.7`, `@ 1 day ago`, `1-2 3 4:05:06`, and those of ISO 8601.
//!
//! The text is cut into fields, which are read from the last to the first: a unit stands behind its number, and of numbers
//! without a unit only the last one's is not said by what is behind it.

use super::fields::{IntervalField, IntervalFields};
use super::format::IntervalStyle;
use super::sum::{Failure, Quantity, Sum};
use super::{Interval, iso};
use crate::datetime::{MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, fraction_micros};
use crate::error::{ParseError, ParseErrorKind};

/// How the text of an interval is to be understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntervalInput {
    /// The fields of the type that is read.
    pub fields: Option<IntervalFields>,
    /// In the style `sql_standard` one minus at the front is for all fields.
    pub style: IntervalStyle,
}

impl Interval {
    /// Reads what PostgreSQL reads. A number without a unit counts days before a time of day, else seconds.
    pub fn parse(text: &str) -> Result<Interval, ParseError> {
        Interval::parse_as(text, IntervalInput::default())
    }

    /// As [`Interval::parse`], for a type with fields and in a style. What the fields cut off is still in it.
    pub fn parse_as(text: &str, input: IntervalInput) -> Result<Interval, ParseError> {
        let parsed = tokens(text).and_then(|tokens| parse_fields(&tokens, input));
        let parsed = match parsed {
            Err(Failure::Syntax) => iso::parse(text),
            other => other,
        };
        parsed.and_then(|sum| sum.interval()).map_err(|failure| match failure {
            Failure::Syntax => ParseError::new(
                ParseErrorKind::InvalidDatetime,
                format!("invalid input syntax for type interval: \"{text}\""),
            ),
            Failure::Field => ParseError::new(
                ParseErrorKind::IntervalOutOfRange,
                format!("interval field value out of range: \"{text}\""),
            ),
            Failure::Sum => ParseError::new(ParseErrorKind::DatetimeOutOfRange, "interval out of range"),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

impl Unit {
    /// A bit of its own.
    fn mask(self) -> u16 {
        1 << self as u16
    }
}

/// What a time of day has in it.
const CLOCK: [Unit; 5] = [Unit::Hour, Unit::Minute, Unit::Second, Unit::Millisecond, Unit::Microsecond];

/// What seconds with a fraction have in them.
const SECONDS: [Unit; 3] = [Unit::Second, Unit::Millisecond, Unit::Microsecond];

fn mask(units: &[Unit]) -> u16 {
    units.iter().fold(0, |mask, unit| mask | unit.mask())
}

/// The unit of a word in lower case. Long words are known by their first ten letters.
fn unit_of(word: &str) -> Option<Unit> {
    Some(match word.get(..10).unwrap_or(word) {
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" => Unit::Microsecond,
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" => Unit::Millisecond,
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
        "d" | "day" | "days" => Unit::Day,
        "w" | "week" | "weeks" => Unit::Week,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
        "dec" | "decs" | "decade" | "decades" => Unit::Decade,
        "c" | "cent" | "century" | "centuries" => Unit::Century,
        "mil" | "mils" | "millennium" | "millennia" => Unit::Millennium,
        _ => return None,
    })
}

/// A piece of the text, in lower case.
#[derive(Debug)]
enum Token {
    /// `04:05:06.7` without a sign.
    Clock(String),
    /// Starts with a sign and a digit: a number, a time of day, or years and months.
    Signed(String),
    /// A number, or years and months.
    Number(String),
    Word(String),
    /// A date or the name of a zone, which an interval has none of.
    Other(String),
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::Clock(text) | Token::Signed(text) | Token::Number(text) | Token::Word(text) | Token::Other(text) => {
                text
            }
        }
    }
}

/// What C's `isspace` takes for a blank.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

/// Cuts the text where its characters change their kind. Punctuation without a meaning separates.
fn tokens(text: &str) -> Result<Vec<Token>, Failure> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let take = |is_part: &dyn Fn(char) -> bool, from: usize| {
            let end = rest[from..].find(|c| !is_part(c)).map_or(rest.len(), |end| from + end);
            (rest[..end].to_ascii_lowercase(), &rest[end..])
        };
        if is_space(first) {
            rest = &rest[1..];
        } else if first.is_ascii_digit() {
            let digits = take(&|c| c.is_ascii_digit(), 0).0.len();
            let (token, behind) = match rest[digits..].chars().next() {
                Some(':') => take(&|c| c.is_ascii_digit() || matches!(c, ':' | '.'), 0),
                Some('.') => take(&|c| c.is_ascii_digit() || c == '.', 0),
                Some(mark @ ('-' | '/')) => take(&|c| c.is_ascii_alphanumeric() || c == mark, 0),
                _ => take(&|c| c.is_ascii_digit(), 0),
            };
            let is_other = token.ends_with('.') && behind.starts_with(|c: char| c.is_ascii_alphabetic());
            tokens.push(match token.contains(':') {
                true => Token::Clock(token),
                false if is_other => Token::Other(token),
                false => Token::Number(token),
            });
            rest = behind;
        } else if first == '.' {
            let (token, behind) = take(&|c| c.is_ascii_digit(), 1);
            tokens.push(Token::Number(token));
            rest = behind;
        } else if first.is_ascii_alphabetic() {
            let (token, behind) = take(&|c| c.is_ascii_alphabetic(), 0);
            // A word with anything else in it is a date or a zone, and no unit.
            let is_other = behind.starts_with(['-', '/', '.'])
                || behind.starts_with(|c: char| c == '+' || c.is_ascii_digit()) && unit_of(&token).is_none();
            if is_other {
                let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '/' | '_' | '.' | ':');
                let (other, behind) = take(&is_part, 0);
                tokens.push(Token::Other(other));
                rest = behind;
            } else {
                tokens.push(Token::Word(token));
                rest = behind;
            }
        } else if matches!(first, '+' | '-') {
            // Blanks between a sign and its number are none.
            let number = rest[1..].trim_start_matches(is_space);
            if !number.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(Failure::Syntax);
            }
            let end = number.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | '-'));
            let (number, behind) = number.split_at(end.unwrap_or(number.len()));
            tokens.push(Token::Signed(format!("{first}{number}")));
            rest = behind;
        } else if first.is_ascii_punctuation() {
            rest = &rest[1..];
        } else {
            return Err(Failure::Syntax);
        }
    }
    Ok(tokens)
}

/// The unit of the last number if it is not written.
fn unit_of_fields(fields: Option<IntervalFields>) -> Unit {
    match fields.map(|fields| fields.last) {
        Some(IntervalField::Year) => Unit::Year,
        Some(IntervalField::Month) => Unit::Month,
        Some(IntervalField::Day) => Unit::Day,
        Some(IntervalField::Hour) => Unit::Hour,
        Some(IntervalField::Minute) => Unit::Minute,
        Some(IntervalField::Second) | None => Unit::Second,
    }
}

/// What the fields behind the one that is read say of it.
enum Behind {
    Nothing,
    Unit(Unit),
    Ago,
}

fn parse_fields(tokens: &[Token], input: IntervalInput) -> Result<Sum, Failure> {
    let is_negative = input.style == IntervalStyle::SqlStandard
        && tokens.first().is_some_and(|token| token.text().starts_with('-'))
        && !tokens[1..].iter().any(|token| token.text().starts_with(['-', '+']));
    let mut sum = Sum::default();
    let mut seen = 0;
    let mut behind = Behind::Nothing;
    let mut is_ago = false;
    for token in tokens.iter().rev() {
        let clock = match token {
            Token::Clock(text) => Some(clock(text, input)?),
            Token::Signed(text) if text.contains(':') => {
                clock(&text[1..], input).ok().map(|micros| if text.starts_with('-') { -micros } else { micros })
            }
            _ => None,
        };
        let units = match token {
            _ if clock.is_some() => {
                let micros = clock.unwrap_or(0);
                sum.micros = if is_negative { -micros.abs() } else { micros };
                behind = Behind::Unit(Unit::Day);
                mask(&CLOCK)
            }
            Token::Word(word) if word == "ago" => {
                is_ago = true;
                behind = Behind::Ago;
                0
            }
            Token::Other(_) => return Err(Failure::Syntax),
            Token::Word(word) => {
                behind = Behind::Unit(unit_of(word).ok_or(Failure::Syntax)?);
                0
            }
            Token::Clock(text) | Token::Signed(text) | Token::Number(text) => {
                let unit = match behind {
                    Behind::Nothing => Some(unit_of_fields(input.fields)),
                    Behind::Unit(unit) => Some(unit),
                    Behind::Ago => None,
                };
                let (quantity, unit) = number(text, unit)?;
                // The numbers before one without a unit take its unit, but before hours they are days.
                behind = Behind::Unit(if unit == Unit::Hour { Unit::Day } else { unit });
                add(&mut sum, if is_negative { negative(quantity) } else { quantity }, unit)?
            }
        };
        if seen & units != 0 {
            return Err(Failure::Syntax);
        }
        seen |= units;
    }
    if seen == 0 {
        return Err(Failure::Syntax);
    }
    if is_ago {
        sum.negate()?;
    }
    Ok(sum)
}

fn negative(quantity: Quantity) -> Quantity {
    Quantity { whole: -quantity.whole.saturating_abs(), fraction: -quantity.fraction.abs() }
}

fn whole_number(text: &str) -> Result<i64, Failure> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::Syntax);
    }
    text.parse().map_err(|_| Failure::Field)
}

/// A number with its unit; years and months, `1-2`, have one of their own.
fn number(text: &str, unit: Option<Unit>) -> Result<(Quantity, Unit), Failure> {
    let is_negative = text.starts_with('-');
    let sign = if is_negative { -1 } else { 1 };
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some((years, months)) = unsigned.split_once('-') {
        let digits = months.bytes().take_while(u8::is_ascii_digit).count();
        let (years, (months, behind)) = (whole_number(years)?, months.split_at(digits));
        let months = if months.is_empty() { 0 } else { whole_number(months)? };
        if months > 11 {
            return Err(Failure::Field);
        }
        if !behind.is_empty() {
            return Err(Failure::Syntax);
        }
        let whole = years.checked_mul(12).and_then(|years| years.checked_add(months)).ok_or(Failure::Field)?;
        return Ok((Quantity { whole: sign * whole, fraction: 0.0 }, Unit::Month));
    }
    let (whole, fraction) = match unsigned.split_once('.') {
        None => (whole_number(unsigned)?, 0.0),
        Some((whole, fraction)) => {
            let whole = if whole.is_empty() { 0 } else { whole_number(whole)? };
            if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Failure::Syntax);
            }
            (whole, format!("0.{fraction}0").parse().map_err(|_| Failure::Syntax)?)
        }
    };
    let unit = unit.ok_or(Failure::Syntax)?;
    Ok((Quantity { whole: sign * whole, fraction: sign as f64 * fraction }, unit))
}

/// `hh:mm`, `hh:mm:ss[.ffffff]` or `mm:ss.ffffff`; `mm:ss` of an interval minute to second. In microseconds.
fn clock(text: &str, input: IntervalInput) -> Result<i64, Failure> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let fraction = match fraction {
        Some(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => return Err(Failure::Syntax),
        other => other,
    };
    let parts: Vec<&str> = whole.split(':').collect();
    let is_minutes = input.fields.is_some_and(|fields| fields.first == IntervalField::Minute)
        && input.fields.is_some_and(|fields| fields.last == IntervalField::Second);
    let (hours, minutes, seconds) = match parts[..] {
        [minutes, seconds] if fraction.is_some() || is_minutes => ("0", minutes, seconds),
        [hours, minutes] => (hours, minutes, "0"),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return Err(Failure::Syntax),
    };
    let number = |text: &str| if text.is_empty() { Ok(0) } else { whole_number(text) };
    let (hours, minutes, seconds) = (number(hours)?, number(minutes)?, number(seconds)?);
    if minutes > 59 || seconds > 60 {
        return Err(Failure::Field);
    }
    let small =
        minutes * MICROS_PER_MINUTE + seconds * MICROS_PER_SECOND + fraction_micros(fraction.unwrap_or_default());
    hours.checked_mul(MICROS_PER_HOUR).and_then(|micros| micros.checked_add(small)).ok_or(Failure::Field)
}

/// Adds a number of a unit; returns the mask of what was given by it.
fn add(sum: &mut Sum, quantity: Quantity, unit: Unit) -> Result<u16, Failure> {
    match unit {
        Unit::Microsecond => sum.add_micros(quantity, 1)?,
        Unit::Millisecond => sum.add_micros(quantity, 1000)?,
        Unit::Second => sum.add_micros(quantity, MICROS_PER_SECOND)?,
        Unit::Minute => sum.add_micros(quantity, MICROS_PER_MINUTE)?,
        Unit::Hour => sum.add_micros(quantity, MICROS_PER_HOUR)?,
        Unit::Day => sum.add_days(quantity, 1)?,
        Unit::Week => sum.add_days(quantity, 7)?,
        Unit::Month => sum.add_months(quantity)?,
        Unit::Year => sum.add_years(quantity, 1)?,
        Unit::Decade => sum.add_years(quantity, 10)?,
        Unit::Century => sum.add_years(quantity, 100)?,
        Unit::Millennium => sum.add_years(quantity, 1000)?,
    }
    let has_fraction = unit == Unit::Second && quantity.fraction != 0.0;
    Ok(if has_fraction { mask(&SECONDS) } else { unit.mask() })
}
