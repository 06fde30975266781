//! `to_date` and `to_timestamp`: points in time read by a given format.

use repr::datetime::{
    Civil, DAYS, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, MONTHS, civil_from_days,
    days_from_civil, days_in_month,
};
use repr::{Arena, Datum};

use super::ArgType::{Date, Text, TimestampTz};
use super::datetime::day_of_week;
use super::datetime_arithmetic::{checked_date, checked_timestamp};
use super::{FuncDef, Value, function};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    function("to_date", "to_date", &[Text, Text], Date, to_date, "A date read by a format.").fallible(),
    function(
        "to_timestamp_format",
        "to_timestamp",
        &[Text, Text],
        TimestampTz,
        to_timestamp,
        "A timestamp read by a format.",
    )
    .fallible(),
];

/// A pattern that reads a field: its name, how many characters it takes, and whether these are digits.
struct Pattern {
    name: &'static str,
    digits: bool,
}

const fn number(name: &'static str) -> Pattern {
    Pattern { name, digits: true }
}

const fn word(name: &'static str) -> Pattern {
    Pattern { name, digits: false }
}

/// Patterns in upper case, each before those it starts with.
const PATTERNS: &[Pattern] = &[
    number("Y,YYY"),
    number("YYYY"),
    number("YYY"),
    number("YY"),
    number("IYYY"),
    number("IYY"),
    number("IY"),
    number("IDDD"),
    number("ID"),
    number("IW"),
    number("I"),
    number("Y"),
    word("MONTH"),
    word("MON"),
    number("MM"),
    number("MI"),
    number("MS"),
    word("DAY"),
    number("DDD"),
    number("DD"),
    word("DY"),
    number("D"),
    number("HH24"),
    number("HH12"),
    number("HH"),
    number("SSSSS"),
    number("SSSS"),
    number("SS"),
    number("FF1"),
    number("FF2"),
    number("FF3"),
    number("FF4"),
    number("FF5"),
    number("FF6"),
    word("FX"),
    number("US"),
    word("A.M."),
    word("P.M."),
    word("AM"),
    word("PM"),
    word("B.C."),
    word("A.D."),
    word("BC"),
    word("AD"),
    number("CC"),
    number("J"),
    number("Q"),
    word("RM"),
    word("TZH"),
    number("TZM"),
    word("TZ"),
    word("OF"),
    number("WW"),
    number("W"),
];

/// A piece of a format.
enum Node<'f> {
    Field {
        pattern: &'static Pattern,
        /// The pattern as it was written.
        shown: &'f str,
        /// `FM`: as many digits as there are.
        fill_mode: bool,
        ordinal: bool,
    },
    /// A blank or another character that is no letter and no digit.
    Separator,
    Literal(char),
}

fn is_separator(character: char) -> bool {
    character.is_ascii_graphic() && !character.is_ascii_alphanumeric()
}

/// The length of a prefix, whatever its case.
fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn nodes(format: &str) -> Vec<Node<'_>> {
    let mut nodes = Vec::new();
    let mut rest = format;
    while !rest.is_empty() {
        let fill_mode = has_prefix(rest, "FM");
        let behind = if fill_mode || has_prefix(rest, "TM") { &rest[2..] } else { rest };
        if let Some(pattern) = PATTERNS.iter().find(|pattern| has_prefix(behind, pattern.name)) {
            let (shown, after) = behind.split_at(pattern.name.len());
            let ordinal = has_prefix(after, "TH");
            nodes.push(Node::Field { pattern, shown, fill_mode, ordinal });
            rest = if ordinal || has_prefix(after, "SP") { &after[2..] } else { after };
            continue;
        }
        // A prefix without a pattern is dropped, and what is behind it stands for itself.
        rest = behind;
        let Some(character) = rest.chars().next() else { break };
        if character == '"' {
            rest = quoted(&rest[1..], &mut nodes);
            continue;
        }
        let skipped = if rest.starts_with("\\\"") { 1 } else { 0 };
        let character = if skipped == 1 { '"' } else { character };
        nodes.push(match character {
            _ if character.is_whitespace() || is_separator(character) => Node::Separator,
            other => Node::Literal(other),
        });
        rest = &rest[skipped + character.len_utf8()..];
    }
    nodes
}

/// Takes the characters up to the closing quote; returns what is behind it.
fn quoted<'f>(format: &'f str, nodes: &mut Vec<Node<'f>>) -> &'f str {
    let mut characters = format.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return &format[index + 1..],
            '\\' => {
                if let Some((_, escaped)) = characters.next() {
                    nodes.push(Node::Literal(escaped));
                }
            }
            other => nodes.push(Node::Literal(other)),
        }
    }
    ""
}

/// Which calendar the fields of a date are of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Calendar {
    Gregorian,
    IsoWeek,
}

/// What was read. A field that was not is zero, as in PostgreSQL.
#[derive(Default)]
struct Read {
    calendar: Option<Calendar>,
    hour: i64,
    afternoon: i64,
    twelve_hours: bool,
    minute: i64,
    second: i64,
    seconds_of_day: i64,
    weekday: i64,
    day: i64,
    day_of_year: i64,
    month: i64,
    millis: i64,
    year: i64,
    year_digits: usize,
    before_christ: i64,
    week: i64,
    week_of_month: i64,
    century: i64,
    julian_day: i64,
    micros: i64,
    zone_sign: i64,
    zone_hour: i64,
    zone_minute: i64,
}

/// Reads fields off a text.
struct Reader<'t> {
    rest: &'t str,
    last: Option<char>,
    read: Read,
    exact: bool,
}

/// From December, so that no name comes behind one it starts with.
const ROMAN_MONTHS: [&str; 12] = ["xii", "xi", "x", "ix", "viii", "vii", "vi", "v", "iv", "iii", "ii", "i"];

fn invalid(message: String) -> EvalError {
    EvalError::new("22007", message)
}

impl<'t> Reader<'t> {
    fn advance(&mut self, bytes: usize) {
        self.last = self.rest[..bytes].chars().next_back().or(self.last);
        self.rest = &self.rest[bytes..];
    }

    fn skip_character(&mut self) {
        if let Some(character) = self.rest.chars().next() {
            self.advance(character.len_utf8());
        }
    }

    fn skip_blanks(&mut self) -> usize {
        let blanks = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace()).len();
        self.advance(blanks);
        blanks
    }

    /// The characters of a sign and digits at the front, at most `limit`, and how many bytes they are.
    fn integer(&self, limit: usize) -> (Option<i128>, usize) {
        let bytes = self.rest.as_bytes();
        let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
        let digits =
            bytes[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count().min(limit.saturating_sub(sign));
        if digits == 0 {
            return (None, 0);
        }
        let text = &self.rest[..sign + digits];
        // More digits than any field has: the same error as for somewhat fewer.
        let value = text.trim_start_matches('+').parse().unwrap_or(i128::MAX);
        (Some(value), sign + digits)
    }

    /// A number of `width` characters, or of as many as there are if `open`; returns it with its length.
    fn number(&mut self, shown: &str, width: usize, open: bool) -> Result<(i64, usize), EvalError> {
        let blanks = self.skip_blanks();
        let hint = "If your source string is not fixed-width, try using the \"FM\" modifier.";
        let not_integer = |text: &str| {
            invalid(format!("invalid value \"{text}\" for \"{shown}\"")).with_detail("Value must be an integer.")
        };
        let copy: String = self.rest.chars().take(width).collect();
        let (value, used) = if open {
            self.integer(usize::MAX)
        } else {
            if copy.len() < width {
                let message = format!("source string too short for \"{shown}\" formatting field");
                let detail = format!("Field requires {width} characters, but only {} remain.", copy.len());
                return Err(invalid(message).with_detail(detail).with_hint(hint));
            }
            let (value, used) = self.integer(width);
            if used > 0 && used < width {
                let detail = format!("Field requires {width} characters, but only {used} could be parsed.");
                return Err(invalid(format!("invalid value \"{copy}\" for \"{shown}\""))
                    .with_detail(detail)
                    .with_hint(hint));
            }
            (value, used)
        };
        let Some(value) = value else { return Err(not_integer(&copy)) };
        let value = i32::try_from(value).map_err(|_| {
            EvalError::new("22008", format!("value for \"{shown}\" in source string is out of range"))
                .with_detail(format!("Value must be in the range {} to {}.", i32::MIN, i32::MAX))
        })?;
        self.advance(used);
        Ok((value.into(), used + blanks))
    }

    /// The index of the name at the front.
    fn name<const N: usize>(&mut self, shown: &str, names: [&str; N]) -> Result<i64, EvalError> {
        if let Some(index) = names.iter().position(|name| has_prefix(self.rest, name)) {
            self.advance(names[index].len());
            return Ok(index as i64);
        }
        let found = self.rest.split(|c: char| c.is_ascii_whitespace()).next().unwrap_or("");
        Err(invalid(format!("invalid value \"{found}\" for \"{shown}\""))
            .with_detail("The given value did not match any of the allowed values for this field."))
    }
}

/// Sets a field. Errors: it has another value.
fn set(field: &mut i64, value: i64, shown: &str) -> Result<(), EvalError> {
    if *field != 0 && *field != value {
        return Err(invalid(format!("conflicting values for \"{shown}\" field in formatting string"))
            .with_detail("This value contradicts a previous setting for the same field type."));
    }
    *field = value;
    Ok(())
}

/// Two or fewer digits of a year are of 1970 to 2069; three are of 1520 to 2519; what is below 0 counts back from 2000.
fn nearest_to_2020(year: i64) -> i64 {
    match year {
        ..70 => year + 2000,
        70..100 => year + 1900,
        100..520 => year + 2000,
        520..1000 => year + 1000,
        _ => year,
    }
}

fn read(text: &str, format: &str) -> Result<Read, EvalError> {
    let nodes = nodes(format);
    let mut reader = Reader { rest: text, last: None, read: Read::default(), exact: false };
    let mut extra: i64 = 0;
    for (index, node) in nodes.iter().enumerate() {
        if reader.rest.is_empty() {
            break;
        }
        let is_field = matches!(node, Node::Field { .. });
        let is_exact = matches!(node, Node::Field { pattern, .. } if pattern.name == "FX");
        if !reader.exact && !is_exact && (is_field || index == 0) {
            extra += reader.skip_blanks() as i64;
        }
        match node {
            Node::Separator if reader.exact => reader.skip_character(),
            Node::Separator => {
                extra -= 1;
                if reader.rest.starts_with(|c: char| c.is_ascii_whitespace() || is_separator(c)) {
                    reader.skip_character();
                    extra += 1;
                }
            }
            Node::Literal(_) if !reader.exact && extra > 0 => extra -= 1,
            Node::Literal(_) => reader.skip_character(),
            Node::Field { pattern, shown, fill_mode, ordinal } => {
                let next = nodes.get(index + 1);
                let digit_follows = match next {
                    Some(Node::Field { pattern, .. }) => pattern.digits,
                    Some(Node::Literal(character)) => character.is_ascii_digit(),
                    _ => false,
                };
                let open = *fill_mode || *ordinal || !digit_follows;
                field(&mut reader, pattern, shown, open, extra)?;
                if *ordinal && !reader.rest.is_empty() {
                    reader.skip_character();
                    reader.skip_character();
                }
                if !reader.exact {
                    extra = reader.skip_blanks() as i64;
                }
            }
        }
    }
    Ok(reader.read)
}

/// Reads one field.
fn field(reader: &mut Reader<'_>, pattern: &Pattern, shown: &str, open: bool, extra: i64) -> Result<(), EvalError> {
    check_calendar(&mut reader.read, pattern.name)?;
    match pattern.name {
        "FX" => reader.exact = true,
        "A.M." | "P.M." | "AM" | "PM" => {
            let names = if pattern.name.len() == 4 { ["a.m.", "p.m."] } else { ["am", "pm"] };
            let value = reader.name(shown, names)?;
            set(&mut reader.read.afternoon, value, shown)?;
            reader.read.twelve_hours = true;
        }
        "B.C." | "A.D." | "BC" | "AD" => {
            let names = if pattern.name.len() == 4 { ["a.d.", "b.c."] } else { ["ad", "bc"] };
            let value = reader.name(shown, names)?;
            set(&mut reader.read.before_christ, value, shown)?;
        }
        "MONTH" | "MON" | "RM" => {
            let value = match pattern.name {
                "MONTH" => reader.name(shown, MONTHS)? + 1,
                "MON" => reader.name(shown, MONTHS.map(|name| &name[..3]))? + 1,
                _ => 12 - reader.name(shown, ROMAN_MONTHS)?,
            };
            set(&mut reader.read.month, value, shown)?;
        }
        "DAY" | "DY" => {
            let names = if pattern.name == "DAY" { DAYS } else { DAYS.map(|name| &name[..3]) };
            let value = reader.name(shown, names)?;
            set(&mut reader.read.weekday, value, shown)?;
            // From Sunday as 1.
            reader.read.weekday += 1;
        }
        "TZ" | "OF" => {
            let message = format!("formatting field \"{shown}\" is only supported in to_char");
            return Err(EvalError::new("0A000", message));
        }
        "TZH" => {
            reader.read.zone_sign = match reader.rest.chars().next() {
                Some('-') => -1,
                // The sign may have been taken for a separator.
                _ if extra > 0 && reader.last == Some('-') => -1,
                _ => 1,
            };
            if reader.rest.starts_with(['+', '-', ' ']) {
                reader.skip_character();
            }
            let (value, _) = reader.number(shown, 2, open)?;
            set(&mut reader.read.zone_hour, value, shown)?;
        }
        "Y,YYY" => {
            let parts = reader.rest.split_once(',').and_then(|(millennia, rest)| {
                let digits = rest.bytes().take(3).take_while(u8::is_ascii_digit).count();
                let years: i64 = rest[..digits].parse().ok()?;
                let value = millennia.trim_start().parse::<i32>().ok()?;
                Some((i64::from(value) * 1000 + years, millennia.len() + 1 + digits))
            });
            let Some((year, bytes)) = parts else {
                return Err(invalid("invalid input string for \"Y,YYY\"".to_owned()));
            };
            set(&mut reader.read.year, year, shown)?;
            reader.read.year_digits = 4;
            reader.advance(bytes);
        }
        _ => return numeric_field(reader, pattern.name, shown, open),
    }
    Ok(())
}

/// Errors: fields of the Gregorian calendar beside those of ISO weeks.
fn check_calendar(read: &mut Read, pattern: &str) -> Result<(), EvalError> {
    let calendar = match pattern {
        "IYYY" | "IYY" | "IY" | "I" | "IDDD" | "ID" | "IW" => Calendar::IsoWeek,
        "Y,YYY" | "YYYY" | "YYY" | "YY" | "Y" | "MONTH" | "MON" | "MM" | "RM" | "DDD" | "DD" | "D" | "WW" | "W" => {
            Calendar::Gregorian
        }
        _ => return Ok(()),
    };
    if *read.calendar.get_or_insert(calendar) != calendar {
        return Err(invalid("invalid combination of date conventions".to_owned())
            .with_hint("Do not mix Gregorian and ISO week date conventions in a formatting template."));
    }
    Ok(())
}

fn numeric_field(reader: &mut Reader<'_>, name: &str, shown: &str, open: bool) -> Result<(), EvalError> {
    let width = match name {
        "HH24" | "HH12" => 2,
        "FF1" => 1,
        "FF2" => 2,
        "FF3" | "MS" | "IDDD" => 3,
        "FF4" => 4,
        "FF5" => 5,
        "FF6" | "US" => 6,
        "TZM" => 2,
        "ID" => 1,
        name => name.len(),
    };
    let (value, length) = reader.number(shown, width, open)?;
    let fraction = |digits: usize| 10_i64.pow(u32::try_from(digits.saturating_sub(length)).unwrap_or(0));
    let mut kept = value;
    let read = &mut reader.read;
    let (target, value) = match name {
        "HH24" => (&mut read.hour, value),
        "HH" | "HH12" => {
            read.twelve_hours = true;
            (&mut read.hour, value)
        }
        "MI" => (&mut read.minute, value),
        "SS" => (&mut read.second, value),
        "SSSS" | "SSSSS" => (&mut read.seconds_of_day, value),
        "MS" => {
            kept = value * fraction(3);
            (&mut read.millis, value)
        }
        "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
            kept = value * fraction(6);
            (&mut read.micros, value)
        }
        "TZM" => {
            read.zone_sign = if read.zone_sign == 0 { 1 } else { read.zone_sign };
            (&mut read.zone_minute, value)
        }
        "MM" => (&mut read.month, value),
        "DDD" | "IDDD" => (&mut read.day_of_year, value),
        "DD" => (&mut read.day, value),
        "D" => (&mut read.weekday, value),
        // From Monday as 1 to Sunday as 1.
        "ID" => {
            kept = value % 7 + 1;
            (&mut read.weekday, value)
        }
        "WW" | "IW" => (&mut read.week, value),
        "W" => (&mut read.week_of_month, value),
        // Which day of a quarter is meant, nobody knows.
        "Q" => return Ok(()),
        "CC" => (&mut read.century, value),
        "J" => (&mut read.julian_day, value),
        year => {
            read.year_digits = year.trim_start_matches('I').len().max(1);
            if year.starts_with('I') {
                read.year_digits = year.len();
            }
            let partial = read.year_digits < 4 && length < 4;
            kept = if partial { nearest_to_2020(value) } else { value };
            (&mut read.year, value)
        }
    };
    // What was there is compared with the digits, and what they mean is kept.
    set(target, value, shown)?;
    *target = kept;
    Ok(())
}

/// The year, by the fields of years and centuries; zero if there are none.
fn year_of(read: &Read) -> i64 {
    let era = if read.before_christ == 1 { -1 } else { 1 };
    if read.year == 0 {
        return match read.century * era {
            0 => 0,
            century if century > 0 => (century - 1) * 100 + 1,
            century => century * 100 + 1,
        };
    }
    if read.century != 0 && read.year_digits <= 2 {
        let century = read.century * era;
        return match (read.year % 100, century >= 0) {
            (0, true) => century * 100,
            (0, false) => century * 100 + 1,
            (year, true) => year + (century - 1) * 100,
            (year, false) => (century + 1) * 100 - year + 1,
        };
    }
    // Before Christ there was no year 0.
    match read.year * era {
        year if year < 0 => year + 1,
        year => year,
    }
}

/// The Monday on which the first ISO week of a year begins, in days since the epoch.
fn first_iso_week(year: i64) -> i64 {
    let fourth = days_from_civil(Civil { year, month: 1, day: 4 });
    fourth - (day_of_week(fourth) + 6) % 7
}

/// Days since the epoch. Errors: 22008.
fn days_of(read: &Read, text: &str) -> Result<i64, EvalError> {
    let out_of_range = || out_of_range(text);
    let mut year = year_of(read);
    let (mut month, mut day) = (1, 1);
    let mut day_of_year = read.day_of_year;
    let put = |days: i64, year: &mut i64| {
        let civil = civil_from_days(days);
        *year = civil.year;
        (i64::from(civil.month), i64::from(civil.day))
    };
    if read.julian_day != 0 {
        (month, day) = put(read.julian_day - JULIAN_DAY_OF_EPOCH, &mut year);
    }
    if read.week != 0 && read.calendar == Some(Calendar::IsoWeek) {
        let weekday = match read.weekday {
            0 => 0,
            1 => 6,
            weekday => weekday - 2,
        };
        (month, day) = put(first_iso_week(year) + (read.week - 1) * 7 + weekday, &mut year);
    } else if read.week != 0 {
        day_of_year = (read.week - 1) * 7 + 1;
    }
    if read.week_of_month != 0 {
        day = (read.week_of_month - 1) * 7 + 1;
    }
    if read.day != 0 && read.week_of_month == 0 {
        day = read.day;
    }
    if read.month != 0 {
        month = read.month;
    }
    if day_of_year != 0 && (month <= 1 || day <= 1) {
        if year == 0 && read.before_christ == 0 {
            return Err(invalid("cannot calculate day of year without year information".to_owned()));
        }
        if read.calendar == Some(Calendar::IsoWeek) {
            (month, day) = put(first_iso_week(year) - 1 + day_of_year, &mut year);
        } else {
            let days = |month: u32| i64::from(days_in_month(year, month));
            let mut before = 0;
            let found = (1..=12u32).find(|month| {
                let reached = day_of_year <= before + days(*month);
                before += if reached { 0 } else { days(*month) };
                reached
            });
            let Some(found) = found else { return Err(out_of_range()) };
            month = if month <= 1 { found.into() } else { month };
            day = if day <= 1 { day_of_year - before } else { day };
        }
    }
    let civil_month = u32::try_from(month).ok().filter(|month| (1..=12).contains(month)).ok_or_else(out_of_range)?;
    let last = days_in_month(year, civil_month);
    let civil_day = u32::try_from(day).ok().filter(|day| (1..=last).contains(day)).ok_or_else(out_of_range)?;
    Ok(days_from_civil(Civil { year, month: civil_month, day: civil_day }))
}

const JULIAN_DAY_OF_EPOCH: i64 = 2_440_588;

/// Microseconds since midnight; none if a field is out of its range. Errors: 22007 for no hour of a half day.
fn time_of(read: &Read) -> Result<Option<i64>, EvalError> {
    let of_day = read.seconds_of_day;
    let pick = |own: i64, other: i64| if own == 0 { other } else { own };
    let mut hour = pick(read.hour, of_day / 3600);
    let minute = pick(read.minute, of_day / 60 % 60);
    let second = pick(read.second, of_day % 60);
    if read.twelve_hours {
        if !(1..=12).contains(&hour) {
            return Err(invalid(format!("hour \"{hour}\" is invalid for the 12-hour clock"))
                .with_hint("Use the 24-hour clock, or give an hour between 1 and 12."));
        }
        hour = hour % 12 + 12 * read.afternoon;
    }
    let micros = read.millis * 1000 + read.micros;
    let valid = (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second)
        && (0..MICROS_PER_SECOND).contains(&micros);
    Ok(valid.then_some(hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND + micros))
}

fn out_of_range(text: &str) -> EvalError {
    EvalError::new("22008", format!("date/time field value out of range: \"{text}\""))
}

fn to_date<'a>(args: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    let text = args[0].unwrap_text();
    let read = read(text, args[1].unwrap_text())?;
    let time = time_of(&read)?;
    let days = days_of(&read, text)?;
    time.ok_or_else(|| out_of_range(text))?;
    checked_date(days).map(Datum::Date).map_err(|_| EvalError::new("22008", format!("date out of range: \"{text}\"")))
}

fn to_timestamp<'a>(args: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    let text = args[0].unwrap_text();
    let read = read(text, args[1].unwrap_text())?;
    let time = time_of(&read)?;
    let days = days_of(&read, text)?;
    let time = time.ok_or_else(|| out_of_range(text))?;
    if !(0..=15).contains(&read.zone_hour) || !(0..60).contains(&read.zone_minute) {
        return Err(EvalError::new("22009", format!("time zone displacement out of range: \"{text}\"")));
    }
    let offset = read.zone_sign * (read.zone_hour * MICROS_PER_HOUR + read.zone_minute * MICROS_PER_MINUTE);
    checked_timestamp(i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(time - offset)).map(Datum::Timestamp)
}
