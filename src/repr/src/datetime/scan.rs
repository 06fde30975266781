//! Takes date and time texts apart: ISO 8601, month names, zones, in any order that PostgreSQL allows.

use super::zone::{TimeZone, parse_offset};
use super::{
    Civil, DAYS, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, MONTHS, civil_from_days,
    days_in_month,
};

/// What a text said.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) date: Option<Civil>,
    /// Microseconds since midnight, at most a whole day.
    pub(super) time: Option<i64>,
    pub(super) zone: Option<TimeZone>,
    pub(super) special: Option<Special>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    Epoch,
    Infinity,
    NegativeInfinity,
}

pub(super) enum Failure {
    Syntax,
    OutOfRange,
    UnknownZone(String),
    Displacement,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Morning,
    Afternoon,
}

/// Collects the parts of a date until all are there.
#[derive(Default)]
struct Scanner<'a> {
    rest: &'a str,
    fields: Fields,
    year: Option<i64>,
    /// Two digits, to be read as 1970 to 2069.
    year_is_short: bool,
    month: Option<u32>,
    /// The month has a name; until then a number that was taken for it may turn out to be a day.
    month_is_named: bool,
    day: Option<u32>,
    half: Option<Half>,
    is_bc: bool,
}

pub(super) fn scan(text: &str) -> Result<Fields, Failure> {
    let mut scanner = Scanner { rest: text, ..Scanner::default() };
    loop {
        scanner.rest = scanner.rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        match scanner.rest.bytes().next() {
            None => return scanner.finish(),
            Some(b'0'..=b'9') => scanner.number()?,
            Some(b'+' | b'-') => scanner.signed()?,
            Some(byte) if byte.is_ascii_alphabetic() => scanner.word()?,
            Some(_) => return Err(Failure::Syntax),
        }
    }
}

/// A name in full, or its first three letters.
fn position(names: &[&str], word: &str) -> Option<usize> {
    names.iter().position(|name| name.eq_ignore_ascii_case(word) || name[..3].eq_ignore_ascii_case(word))
}

fn month_of(word: &str) -> Option<u32> {
    match word {
        "sept" => Some(9),
        word => position(&MONTHS, word).map(|index| index as u32 + 1),
    }
}

fn is_day_name(word: &str) -> bool {
    matches!(word, "tues" | "weds" | "thur" | "thurs") || position(&DAYS, word).is_some()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_digits<N: std::str::FromStr>(text: &str) -> Result<N, Failure> {
    if !is_digits(text) {
        return Err(Failure::Syntax);
    }
    text.parse().map_err(|_| Failure::OutOfRange)
}

/// A fraction of a second, its digits, as microseconds, ties to even.
pub(crate) fn fraction_micros(digits: &str) -> i64 {
    let digit = |index: usize| digits.as_bytes().get(index).map_or(0, |byte| i64::from(byte - b'0'));
    let micros = (0..6).fold(0, |micros, index| micros * 10 + digit(index));
    let is_tie = digit(6) == 5 && digits.bytes().skip(7).all(|byte| byte == b'0');
    micros + i64::from(if is_tie { micros % 2 == 1 } else { digit(6) >= 5 })
}

/// Far beyond every type's last year, and far from overflow: which range is left, the type's reader says.
const YEAR_MAX: i64 = 2_000_000_000;

impl<'a> Scanner<'a> {
    fn take(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    fn number(&mut self) -> Result<(), Failure> {
        let digits = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        match self.rest.as_bytes().get(digits) {
            Some(b':') => {
                let token = self.take(|c| c.is_ascii_digit() || c == ':' || c == '.');
                self.clock(token)
            }
            Some(b'-' | b'/') => self.delimited_date(),
            Some(b'.') => self.dotted(digits),
            _ => {
                let token = self.take(|c| c.is_ascii_digit());
                self.bare_number(token, "")
            }
        }
    }

    /// `hh:mm[:ss[.ffffff]]`
    fn clock(&mut self, token: &str) -> Result<(), Failure> {
        let (whole, fraction) = match token.split_once('.') {
            Some((_, fraction)) if !is_digits(fraction) && !fraction.is_empty() => return Err(Failure::Syntax),
            Some((whole, fraction)) => (whole, fraction),
            None => (token, ""),
        };
        let parts: Vec<&str> = whole.split(':').collect();
        let (hour, minute, second) = match parts[..] {
            [hour, minute] if token.len() == whole.len() => (hour, minute, "0"),
            [hour, minute, second] => (hour, minute, second),
            _ => return Err(Failure::Syntax),
        };
        self.set_time(parse_digits(hour)?, parse_digits(minute)?, parse_digits(second)?, fraction_micros(fraction))
    }

    fn set_time(&mut self, hour: i64, minute: i64, second: i64, micros: i64) -> Result<(), Failure> {
        if self.fields.time.is_some() {
            return Err(Failure::Syntax);
        }
        if minute > 59 || second > 60 || hour > 24 {
            return Err(Failure::OutOfRange);
        }
        let time = hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND + micros;
        if time > MICROS_PER_DAY {
            return Err(Failure::OutOfRange);
        }
        self.fields.time = Some(time);
        Ok(())
    }

    /// `1999-01-08`, `1/8/1999`, `8-Jan-1999`
    fn delimited_date(&mut self) -> Result<(), Failure> {
        let delimiter = self.rest.chars().find(|c| !c.is_ascii_digit()).unwrap_or('-');
        let mut parts = Vec::new();
        loop {
            let part = match self.rest.bytes().next() {
                Some(byte) if byte.is_ascii_alphabetic() => self.take(|c| c.is_ascii_alphabetic()),
                _ => self.take(|c| c.is_ascii_digit()),
            };
            parts.push(part);
            match self.rest.strip_prefix(delimiter) {
                Some(rest) if parts.len() < 3 => self.rest = rest,
                _ => break,
            }
        }
        // What follows immediately would be a fourth part.
        let is_over = !self.rest.starts_with(delimiter);
        let (first, second, third) = match parts[..] {
            [year, day] if year.len() == 4 && day.len() == 3 => return self.set_day_of_year(parse_digits(year)?, day),
            [first, second, third] if is_over => (first, second, third),
            _ => return Err(Failure::Syntax),
        };
        let named = |part: &str| month_of(&part.to_ascii_lowercase());
        if let Some(month) = named(second) {
            let (year, day) = if first.len() > 2 { (first, third) } else { (third, first) };
            return self.set_date(year, month, parse_digits(day)?);
        }
        if first.len() > 2 {
            return self.set_date(first, parse_digits(second)?, parse_digits(third)?);
        }
        // DateStyle MDY.
        self.set_date(third, parse_digits(first)?, parse_digits(second)?)
    }

    fn set_date(&mut self, year: &str, month: u32, day: u32) -> Result<(), Failure> {
        if self.year.is_some() || self.month.is_some() || self.day.is_some() {
            return Err(Failure::Syntax);
        }
        self.set_year(year)?;
        self.month = Some(month);
        self.day = Some(day);
        Ok(())
    }

    fn set_year(&mut self, digits: &str) -> Result<(), Failure> {
        if self.year.is_some() {
            return Err(Failure::Syntax);
        }
        self.year = Some(parse_digits(digits)?);
        self.year_is_short = digits.len() <= 2;
        Ok(())
    }

    /// `1.8.1999`, `1999.008` (day of the year), `040506.789` behind a date.
    fn dotted(&mut self, digits: usize) -> Result<(), Failure> {
        let behind = &self.rest[digits + 1..];
        let more = behind.len() - behind.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if behind.as_bytes().get(more) == Some(&b'.') || behind.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        {
            return self.delimited_date();
        }
        let token = self.take(|c| c.is_ascii_digit() || c == '.');
        let (whole, fraction) = token.split_once('.').unwrap_or((token, ""));
        if self.year.is_none() && whole.len() == 4 && fraction.len() == 3 {
            return self.set_day_of_year(parse_digits(whole)?, fraction);
        }
        self.bare_number(whole, fraction)
    }

    fn set_day_of_year(&mut self, year: i64, day: &str) -> Result<(), Failure> {
        let day: u32 = parse_digits(day)?;
        // The 366th day of a common year is the first of the next.
        if !(1..=366).contains(&day) {
            return Err(Failure::Syntax);
        }
        let new_year = super::days_from_civil(Civil { year, month: 1, day: 1 });
        let civil = civil_from_days(new_year + i64::from(day) - 1);
        (self.year, self.month, self.day) = (Some(civil.year), Some(civil.month), Some(civil.day));
        Ok(())
    }

    /// Digits without delimiters: what they are depends on their number and on what is there already.
    fn bare_number(&mut self, digits: &str, fraction: &str) -> Result<(), Failure> {
        let has_date = self.year.is_some() && self.month.is_some() && self.day.is_some();
        let has_nothing = self.year.is_none() && self.month.is_none() && self.day.is_none();
        match digits.len() {
            6 if has_date || (has_nothing && !fraction.is_empty()) => {
                let (hour, minute, second) = (&digits[..2], &digits[2..4], &digits[4..]);
                self.set_time(
                    parse_digits(hour)?,
                    parse_digits(minute)?,
                    parse_digits(second)?,
                    fraction_micros(fraction),
                )
            }
            _ if !fraction.is_empty() => Err(Failure::Syntax),
            4 if has_date => self.set_time(parse_digits(&digits[..2])?, parse_digits(&digits[2..])?, 0, 0),
            6.. if has_nothing => {
                let (year, day) = digits.split_at(digits.len() - 4);
                self.set_date(year, parse_digits(&day[..2])?, parse_digits(&day[2..])?)
            }
            _ if has_date && self.fields.time.is_none() && self.rest.trim_start().starts_with(['a', 'p', 'A', 'P']) => {
                self.set_time(parse_digits(digits)?, 0, 0, 0)
            }
            3 if self.year.is_some() && self.month.is_none() && self.day.is_none() => {
                self.set_day_of_year(self.year.unwrap_or_default(), digits)
            }
            count => self.date_number(digits, count > 2),
        }
    }

    /// One number of a date, in the order of MDY unless the month has a name or the year comes first.
    fn date_number(&mut self, digits: &str, is_long: bool) -> Result<(), Failure> {
        let number = || parse_digits::<u32>(digits);
        match (self.year.is_some(), self.month.is_some(), self.day.is_some()) {
            (false, false, false) if !is_long => self.month = Some(number()?),
            (false, true, false) if !is_long || !self.month_is_named => self.day = Some(number()?),
            (true, false, false) | (false, false, true) => self.month = Some(number()?),
            // `24 Jan 2024` has been read as far as a year of two digits.
            (true, true, false) if is_long && self.month_is_named && self.year_is_short => {
                self.day = self.year.take().and_then(|day| u32::try_from(day).ok());
                return self.set_year(digits);
            }
            (true, true, false) => self.day = Some(number()?),
            _ => return self.set_year(digits),
        }
        Ok(())
    }

    /// A zone's offset, or an infinity with its sign.
    fn signed(&mut self) -> Result<(), Failure> {
        let is_negative = self.rest.starts_with('-');
        self.rest = &self.rest[1..];
        if self.rest.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic()) {
            let word = self.take(|c| c.is_ascii_alphabetic());
            if !word.eq_ignore_ascii_case("infinity") && !word.eq_ignore_ascii_case("inf") {
                return Err(Failure::Syntax);
            }
            return self.set_special(if is_negative { Special::NegativeInfinity } else { Special::Infinity });
        }
        let token = self.take(|c| c.is_ascii_digit() || c == ':');
        if token.is_empty() || self.fields.zone.is_some() || (self.fields.time.is_none() && self.year.is_none()) {
            return Err(Failure::Syntax);
        }
        let seconds = parse_offset(token).ok_or(Failure::Displacement)?;
        self.fields.zone = Some(TimeZone::Fixed(if is_negative { -seconds } else { seconds }));
        Ok(())
    }

    fn set_special(&mut self, special: Special) -> Result<(), Failure> {
        if self.fields.special.replace(special).is_some() {
            return Err(Failure::Syntax);
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), Failure> {
        let start = self.rest;
        let word = self.take(|c| c.is_ascii_alphabetic()).to_ascii_lowercase();
        match word.as_str() {
            // Between an ISO date and its time, or before a time alone.
            "t" if (self.year.is_some() || self.month.is_none() && self.fields.time.is_none())
                && self.rest.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                Ok(())
            }
            "j" if self.rest.starts_with(|c: char| c.is_ascii_digit()) => self.julian(),
            "ad" | "bc" => {
                self.is_bc = word == "bc";
                Ok(())
            }
            "am" | "pm" => {
                let half = if word == "am" { Half::Morning } else { Half::Afternoon };
                if self.half.replace(half).is_some() { Err(Failure::Syntax) } else { Ok(()) }
            }
            "allballs" => {
                if self.fields.zone.replace(TimeZone::UTC).is_some() {
                    return Err(Failure::Syntax);
                }
                self.set_time(0, 0, 0, 0)
            }
            "epoch" => self.set_special(Special::Epoch),
            "infinity" | "inf" => self.set_special(Special::Infinity),
            "at" | "on" => Ok(()),
            word if is_day_name(word) => Ok(()),
            word => match month_of(word) {
                Some(month) => self.named_month(month),
                None => self.zone(start),
            },
        }
    }

    /// `Jan-08-1999` has delimiters where `Jan 8, 1999` has blanks.
    fn named_month(&mut self, month: u32) -> Result<(), Failure> {
        if let Some(rest) = self.rest.strip_prefix(['-', '/', '.']) {
            self.rest = rest;
            let day = self.take(|c| c.is_ascii_digit());
            self.rest = self.rest.strip_prefix(['-', '/', '.']).ok_or(Failure::Syntax)?;
            let year = self.take(|c| c.is_ascii_digit());
            return if day.len() > 2 {
                self.set_date(day, month, parse_digits(year)?)
            } else {
                self.set_date(year, month, parse_digits(day)?)
            };
        }
        match self.month.replace(month) {
            Some(number) if !self.month_is_named && self.day.is_none() && (1..=31).contains(&number) => {
                self.day = Some(number);
            }
            None => {}
            Some(_) => return Err(Failure::Syntax),
        }
        self.month_is_named = true;
        Ok(())
    }

    fn julian(&mut self) -> Result<(), Failure> {
        let days: i64 = parse_digits::<i32>(self.take(|c| c.is_ascii_digit()))?.into();
        let civil = civil_from_days(days + i64::from(super::DATE_MIN));
        (self.year, self.month, self.day) = (Some(civil.year), Some(civil.month), Some(civil.day));
        Ok(())
    }

    fn zone(&mut self, start: &'a str) -> Result<(), Failure> {
        self.rest = start;
        let word = self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-'));
        if self.fields.zone.is_some() {
            return Err(Failure::Syntax);
        }
        match TimeZone::find(word) {
            Some(zone) => self.fields.zone = Some(zone),
            None if word.contains('/') => return Err(Failure::UnknownZone(word.to_ascii_lowercase())),
            None => return Err(Failure::Syntax),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Fields, Failure> {
        self.apply_half()?;
        self.fields.date = match (self.year, self.month, self.day) {
            (None, None, None) => None,
            (Some(year), Some(month), Some(day)) => Some(self.civil(year, month, day)?),
            _ => return Err(Failure::Syntax),
        };
        let fields = self.fields;
        match (fields.special, fields.date, fields.time) {
            (Some(_), None, None) | (None, Some(_), _) | (None, None, Some(_)) => Ok(fields),
            _ => Err(Failure::Syntax),
        }
    }

    fn apply_half(&mut self) -> Result<(), Failure> {
        let Some(half) = self.half else { return Ok(()) };
        let time = self.fields.time.ok_or(Failure::Syntax)?;
        if time >= 13 * MICROS_PER_HOUR {
            return Err(Failure::OutOfRange);
        }
        let since_twelve = time % (12 * MICROS_PER_HOUR);
        self.fields.time = Some(match half {
            Half::Morning => since_twelve,
            Half::Afternoon => since_twelve + 12 * MICROS_PER_HOUR,
        });
        Ok(())
    }

    fn civil(&self, year: i64, month: u32, day: u32) -> Result<Civil, Failure> {
        let year = match year {
            year if self.is_bc => {
                if year < 1 {
                    return Err(Failure::OutOfRange);
                }
                1 - year
            }
            0..=69 if self.year_is_short => year + 2000,
            70..=99 if self.year_is_short => year + 1900,
            // There is no year zero, and a Julian day may be before it.
            0 => return Err(Failure::OutOfRange),
            year => year,
        };
        if year > YEAR_MAX || !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return Err(Failure::OutOfRange);
        }
        Ok(Civil { year, month, day })
    }
}
