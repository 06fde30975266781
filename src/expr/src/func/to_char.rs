//! `to_char`: timestamps, intervals and numbers in a given format.

use std::fmt::Write;

use repr::datetime::{
    DAYS, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, MONTHS, civil_from_days,
};
use repr::interval::Interval as Span;
use repr::numeric::Numeric as Number;
use repr::{Arena, Datum};

use super::ArgType::{Float8, Int4, Int8, Interval, Numeric, Text, Timestamp, TimestampTz};
use super::datetime::{day_of_week, day_of_year, group_of_years, iso_week};
use super::datetime_arithmetic::is_finite_timestamp;
use super::{FuncDef, Value, function, text};

pub(super) static TABLE: &[FuncDef] = &[
    function(
        "to_char_timestamp",
        "to_char",
        &[Timestamp, Text],
        Text,
        |a, _, arena| timestamp(a, "", "", arena),
        "A timestamp in a format.",
    )
    .fallible()
    .nullable(),
    function(
        "to_char_timestamptz",
        "to_char",
        &[TimestampTz, Text],
        Text,
        |a, _, arena| timestamp(a, "UTC", "+00", arena),
        "A timestamp in a format.",
    )
    .fallible()
    .nullable(),
    function(
        "to_char_interval",
        "to_char",
        &[Interval, Text],
        Text,
        |a, _, arena| interval(a[0].unwrap_interval(), a[1].unwrap_text(), arena),
        "An interval in a format.",
    )
    .fallible(),
    function(
        "to_char_int4",
        "to_char",
        &[Int4, Text],
        Text,
        |a, _, arena| number(Number::from_i64(a[0].unwrap_int()), a[1].unwrap_text(), arena),
        "A number in a format.",
    )
    .fallible(),
    function(
        "to_char_int8",
        "to_char",
        &[Int8, Text],
        Text,
        |a, _, arena| number(Number::from_i64(a[0].unwrap_int()), a[1].unwrap_text(), arena),
        "A number in a format.",
    )
    .fallible(),
    function(
        "to_char_numeric",
        "to_char",
        &[Numeric, Text],
        Text,
        |a, _, arena| number(a[0].unwrap_numeric().decode(), a[1].unwrap_text(), arena),
        "A number in a format.",
    )
    .fallible(),
    function(
        "to_char_float8",
        "to_char",
        &[Float8, Text],
        Text,
        |a, _, arena| {
            number(Number::from_f64(a[0].unwrap_float8()).map_err(super::numeric_error)?, a[1].unwrap_text(), arena)
        },
        "A number in a format.",
    )
    .fallible(),
];

const ROMAN_MONTHS: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// Longest names, to which names are padded.
const NAME_WIDTH: usize = 9;

/// What the patterns show.
struct Fields<'a> {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    /// Days since the Unix epoch, of timestamps.
    days: Option<i64>,
    zone: &'a str,
    offset: &'a str,
}

/// Patterns, each before those it starts with.
const PATTERNS: &[&str] = &[
    "Y,YYY", "YYYY", "YYY", "YY", "IYYY", "IYY", "IY", "IDDD", "ID", "IW", "I", "Y", "MONTH", "Month", "month", "MON",
    "Mon", "mon", "MM", "MI", "MS", "DAY", "Day", "day", "DDD", "DD", "DY", "Dy", "dy", "D", "HH24", "HH12", "HH",
    "SSSSS", "SSSS", "SS", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "US", "A.M.", "P.M.", "a.m.", "p.m.", "AM", "PM",
    "am", "pm", "B.C.", "A.D.", "b.c.", "a.d.", "BC", "AD", "bc", "ad", "CC", "J", "Q", "RM", "rm", "TZH", "TZM", "TZ",
    "tzh", "tzm", "tz", "OF", "WW", "W", "y,yyy", "yyyy", "yyy", "yy", "iyyy", "iyy", "iy", "iddd", "id", "iw", "i",
    "y", "mm", "mi", "ms", "ddd", "dd", "d", "hh24", "hh12", "hh", "sssss", "ssss", "ss", "ff1", "ff2", "ff3", "ff4",
    "ff5", "ff6", "us", "cc", "j", "q", "of", "ww", "w",
];

fn timestamp<'a>(args: &[Datum<'a>], zone: &str, offset: &str, arena: &'a Arena) -> Value<'a> {
    let micros = args[0].unwrap_timestamp();
    if !is_finite_timestamp(micros) {
        return Ok(Datum::Null);
    }
    let days = micros.div_euclid(MICROS_PER_DAY);
    let time = micros.rem_euclid(MICROS_PER_DAY);
    let civil = civil_from_days(days);
    let fields = Fields {
        year: civil.year,
        month: civil.month.into(),
        day: civil.day.into(),
        hour: time / MICROS_PER_HOUR,
        minute: time / MICROS_PER_MINUTE % 60,
        second: time / MICROS_PER_SECOND % 60,
        micros: time % MICROS_PER_SECOND,
        days: Some(days),
        zone,
        offset,
    };
    text(&render(&fields, args[1].unwrap_text()), arena)
}

fn interval<'a>(span: Span, format: &str, arena: &'a Arena) -> Value<'a> {
    let fields = Fields {
        year: (span.months / 12).into(),
        month: (span.months % 12).into(),
        day: span.days.into(),
        hour: span.micros / MICROS_PER_HOUR,
        minute: span.micros / MICROS_PER_MINUTE % 60,
        second: span.micros / MICROS_PER_SECOND % 60,
        micros: span.micros % MICROS_PER_SECOND,
        days: None,
        zone: "",
        offset: "",
    };
    text(&render(&fields, format), arena)
}

fn render(fields: &Fields<'_>, format: &str) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(character) = rest.chars().next() {
        if character == '"' {
            rest = push_quoted(&mut out, &rest[1..]);
            continue;
        }
        if character == '\\' && rest[1..].starts_with('"') {
            out.push('"');
            rest = &rest[2..];
            continue;
        }
        let (fill, behind) = match rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            Some(behind) => (false, behind),
            None => (true, rest),
        };
        let behind = behind.strip_prefix("TM").unwrap_or(behind);
        match PATTERNS.iter().find(|pattern| behind.starts_with(**pattern)) {
            Some(pattern) => {
                let shown = field(fields, &canonical(pattern), fill);
                rest = &behind[pattern.len()..];
                rest = push_with_suffix(&mut out, &shown, rest);
            }
            None => {
                out.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
    }
    out
}

/// Copies what is in quotes; returns what is behind them.
fn push_quoted<'f>(out: &mut String, format: &'f str) -> &'f str {
    let mut escaped = false;
    for (index, character) in format.char_indices() {
        match character {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return &format[index + 1..],
            other => {
                out.push(other);
                escaped = false;
            }
        }
    }
    ""
}

/// Appends a field and, if the format says so, the ending of an ordinal.
fn push_with_suffix<'f>(out: &mut String, shown: &str, rest: &'f str) -> &'f str {
    out.push_str(shown);
    let upper = match rest.get(..2) {
        Some("TH") => true,
        Some("th") => false,
        _ => return rest,
    };
    let Ok(number) = shown.trim().parse::<i64>() else { return rest };
    let ending = match (number.abs() % 10, number.abs() % 100 / 10) {
        (_, 1) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    out.push_str(&if upper { ending.to_uppercase() } else { ending.to_owned() });
    &rest[2..]
}

/// A number in so many digits, or as it is without fill.
fn digits(value: i64, width: usize, fill: bool) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let value = value.unsigned_abs();
    if fill { format!("{sign}{value:0width$}") } else { format!("{sign}{value}") }
}

/// A name in the case of its pattern.
fn name(name: &str, pattern: &str, width: usize, fill: bool) -> String {
    let second = pattern.chars().nth(1).unwrap_or('x');
    let shown = match pattern.chars().next() {
        Some(first) if first.is_lowercase() => name.to_lowercase(),
        _ if second.is_uppercase() => name.to_uppercase(),
        _ => name.to_owned(),
    };
    if fill { format!("{shown:width$}") } else { shown }
}

/// A number is shown alike, however its pattern is written; a name in the case of its pattern.
fn canonical(pattern: &str) -> String {
    const NAMES: [&str; 14] =
        ["month", "mon", "day", "dy", "am", "pm", "a.m.", "p.m.", "ad", "bc", "a.d.", "b.c.", "rm", "tz"];
    let is_lower = !pattern.contains(|c: char| c.is_ascii_uppercase());
    if is_lower && !NAMES.contains(&pattern) { pattern.to_ascii_uppercase() } else { pattern.to_owned() }
}

fn field(fields: &Fields<'_>, pattern: &str, fill: bool) -> String {
    let days = fields.days.unwrap_or(0);
    let half = || if fields.hour % 24 >= 12 { "PM" } else { "AM" };
    let era = || if fields.year <= 0 && fields.days.is_some() { "BC" } else { "AD" };
    let dotted = |letters: &str| letters.chars().flat_map(|letter| [letter, '.']).collect::<String>();
    let year = if fields.year <= 0 && fields.days.is_some() { 1 - fields.year } else { fields.year };
    let iso_year = || match iso_week(days).0 {
        year if year <= 0 => 1 - year,
        year => year,
    };
    let month_index = usize::try_from(fields.month - 1).ok().filter(|index| *index < 12);
    let weekday = usize::try_from(day_of_week(days)).unwrap_or(0);
    match pattern {
        "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
        "YYYY" => digits(year, 4, fill),
        "YYY" => digits(year % 1000, 3, fill),
        "YY" => digits(year % 100, 2, fill),
        "Y" => digits(year % 10, 1, fill),
        "IYYY" => digits(iso_year(), 4, fill),
        "IYY" => digits(iso_year() % 1000, 3, fill),
        "IY" => digits(iso_year() % 100, 2, fill),
        "I" => digits(iso_year() % 10, 1, fill),
        "MONTH" | "Month" | "month" => {
            month_index.map_or(String::new(), |index| name(MONTHS[index], pattern, NAME_WIDTH, fill))
        }
        "MON" | "Mon" | "mon" => month_index.map_or(String::new(), |index| name(&MONTHS[index][..3], pattern, 3, fill)),
        "RM" => month_index.map_or(String::new(), |index| {
            if fill { format!("{:4}", ROMAN_MONTHS[index]) } else { ROMAN_MONTHS[index].to_owned() }
        }),
        "rm" => field(fields, "RM", fill).to_lowercase(),
        "MM" => digits(fields.month, 2, fill),
        "DAY" | "Day" | "day" => name(DAYS[weekday], pattern, NAME_WIDTH, fill),
        "DY" | "Dy" | "dy" => name(&DAYS[weekday][..3], pattern, 3, fill),
        "DDD" => digits(if fields.days.is_some() { day_of_year(civil_from_days(days)) } else { fields.day }, 3, fill),
        "IDDD" => digits((iso_week(days).1 - 1) * 7 + (day_of_week(days) + 6) % 7 + 1, 3, fill),
        "DD" => digits(fields.day, 2, fill),
        "D" => digits(day_of_week(days) + 1, 1, fill),
        "ID" => digits((day_of_week(days) + 6) % 7 + 1, 1, fill),
        "WW" => digits((day_of_year(civil_from_days(days)) - 1) / 7 + 1, 2, fill),
        "W" => digits((fields.day - 1) / 7 + 1, 1, fill),
        "IW" => digits(iso_week(days).1, 2, fill),
        "CC" => {
            digits(if fields.days.is_some() { group_of_years(fields.year, 100) } else { fields.year / 100 }, 2, fill)
        }
        "J" => digits(days + 2_440_588, 1, fill),
        "Q" => digits((fields.month - 1) / 3 + 1, 1, fill),
        "HH24" => digits(fields.hour, 2, fill),
        "HH" | "HH12" => digits(if fields.hour % 12 == 0 { 12 } else { fields.hour % 12 }, 2, fill),
        "MI" => digits(fields.minute, 2, fill),
        "SS" => digits(fields.second, 2, fill),
        "SSSS" | "SSSSS" => digits(fields.hour * 3600 + fields.minute * 60 + fields.second, 1, fill),
        "MS" | "FF3" => digits(fields.micros / 1000, 3, true),
        "US" | "FF6" => digits(fields.micros, 6, true),
        "FF1" => digits(fields.micros / 100_000, 1, true),
        "FF2" => digits(fields.micros / 10_000, 2, true),
        "FF4" => digits(fields.micros / 100, 4, true),
        "FF5" => digits(fields.micros / 10, 5, true),
        "AM" | "PM" => half().to_owned(),
        "am" | "pm" => half().to_lowercase(),
        "A.M." | "P.M." => dotted(half()),
        "a.m." | "p.m." => dotted(&half().to_lowercase()),
        "BC" | "AD" => era().to_owned(),
        "bc" | "ad" => era().to_lowercase(),
        "B.C." | "A.D." => dotted(era()),
        "b.c." | "a.d." => dotted(&era().to_lowercase()),
        "TZ" => fields.zone.to_owned(),
        "tz" => fields.zone.to_lowercase(),
        "OF" | "TZH" => fields.offset.to_owned(),
        "TZM" => {
            if fields.offset.is_empty() {
                String::new()
            } else {
                "00".to_owned()
            }
        }
        other => other.to_owned(),
    }
}

/// What a number's format says.
#[derive(Default)]
struct NumberFormat {
    /// Digits before the point, from left: true if a zero is to be shown there.
    whole: Vec<WholePlace>,
    fraction: Vec<bool>,
    point: bool,
    fill_mode: bool,
    sign: Sign,
    sign_after: bool,
    prefix: String,
    suffix: String,
}

enum WholePlace {
    Digit { zero: bool },
    Separator,
}

#[derive(Default, PartialEq, Eq)]
enum Sign {
    #[default]
    Plain,
    /// `S`: always a sign.
    Always,
    /// `MI`: a minus or a blank.
    Minus,
    /// `PL`.
    Plus,
    /// `PR`: angle brackets.
    Brackets,
}

fn number_format(format: &str) -> NumberFormat {
    let mut parsed = NumberFormat::default();
    let mut rest = format;
    while let Some(character) = rest.chars().next() {
        let upper = rest.get(..2).unwrap_or("").to_ascii_uppercase();
        let digits_seen = !parsed.whole.is_empty() || !parsed.fraction.is_empty();
        let taken = match (upper.as_str(), character) {
            ("FM", _) => {
                parsed.fill_mode = true;
                2
            }
            ("MI" | "PL" | "PR" | "SG", _) => {
                parsed.sign = match upper.as_str() {
                    "MI" => Sign::Minus,
                    "PL" => Sign::Plus,
                    "PR" => Sign::Brackets,
                    _ => Sign::Always,
                };
                parsed.sign_after = digits_seen;
                2
            }
            (_, 'S' | 's') => {
                parsed.sign = Sign::Always;
                parsed.sign_after = digits_seen;
                1
            }
            (_, '9' | '0') => {
                if parsed.point {
                    parsed.fraction.push(character == '0');
                } else {
                    parsed.whole.push(WholePlace::Digit { zero: character == '0' });
                }
                1
            }
            (_, ',' | 'G' | 'g') if !parsed.point => {
                parsed.whole.push(WholePlace::Separator);
                1
            }
            (_, '.' | 'D' | 'd') => {
                parsed.point = true;
                1
            }
            (_, '"') => {
                let literal = if digits_seen { &mut parsed.suffix } else { &mut parsed.prefix };
                rest = push_quoted(literal, &rest[1..]);
                continue;
            }
            (_, other) => {
                let literal = if digits_seen { &mut parsed.suffix } else { &mut parsed.prefix };
                literal.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    parsed
}

fn number<'a>(value: Number, format: &str, arena: &'a Arena) -> Value<'a> {
    let format = number_format(format);
    let places = format.fraction.len();
    let negative = value.is_negative();
    let rounded = value.round(i32::try_from(places).unwrap_or(i32::MAX)).map_err(super::numeric_error)?.abs();
    let shown = rounded.format_with_scale(u8::try_from(places.min(39)).unwrap_or(39));
    let (whole, fraction) = shown.split_once('.').unwrap_or((&shown, ""));
    let width = format.whole.iter().filter(|place| matches!(place, WholePlace::Digit { .. })).count();
    let whole = if whole == "0" && !fraction.is_empty() { "" } else { whole };
    let (body, first) = if whole.len() > width || !rounded.is_finite() {
        (overflowed(&format, width, places), 0)
    } else {
        whole_part(&format, whole, width, fraction)
    };
    text(&signed(&format, &body, first, negative), arena)
}

/// Hash signs in the place of digits.
fn overflowed(format: &NumberFormat, width: usize, places: usize) -> String {
    let mut out = "#".repeat(width);
    if format.point {
        write!(out, ".{}", "#".repeat(places)).expect("a string takes all");
    }
    out
}

/// The digits in their places, and how many blanks lead them.
fn whole_part(format: &NumberFormat, whole: &str, width: usize, fraction: &str) -> (String, usize) {
    let mut out = String::new();
    let mut digits = whole.chars();
    let mut place = 0;
    let mut started = false;
    for part in &format.whole {
        match part {
            WholePlace::Digit { zero } => {
                let present = place + whole.len() >= width;
                started |= present || *zero;
                out.push(match (present, started) {
                    (true, _) => digits.next().unwrap_or('0'),
                    (false, true) => '0',
                    (false, false) => ' ',
                });
                place += 1;
            }
            WholePlace::Separator => out.push(if started { ',' } else { ' ' }),
        }
    }
    if whole.is_empty() && !started && fraction.is_empty() && out.ends_with(' ') {
        out.pop();
        out.push('0');
    }
    let blanks = out.len() - out.trim_start_matches(' ').len();
    if format.point {
        let kept = if format.fill_mode {
            let least = format.fraction.iter().rposition(|zero| *zero).map_or(0, |index| index + 1);
            let trimmed = fraction.trim_end_matches('0').len();
            &fraction[..trimmed.max(least).min(fraction.len())]
        } else {
            fraction
        };
        out.push('.');
        out.push_str(kept);
    }
    (out, blanks)
}

/// Puts the sign next to the first digit, or where the format has it, and drops blanks in fill mode.
fn signed(format: &NumberFormat, body: &str, blanks: usize, negative: bool) -> String {
    let (lead, digits) = body.split_at(blanks);
    let (before, after) = match (&format.sign, negative) {
        (Sign::Plain, true) => ("-", ""),
        (Sign::Plain, false) => (" ", ""),
        (Sign::Brackets, true) => ("<", ">"),
        (Sign::Brackets, false) => (" ", " "),
        (Sign::Minus, true) if format.sign_after => ("", "-"),
        (Sign::Minus, false) if format.sign_after => ("", " "),
        (Sign::Minus, true) => ("-", ""),
        (Sign::Minus, false) => (" ", ""),
        (Sign::Plus | Sign::Always, _) if format.sign_after => ("", if negative { "-" } else { "+" }),
        (Sign::Plus | Sign::Always, _) => (if negative { "-" } else { "+" }, ""),
    };
    let shown = if format.fill_mode {
        format!("{}{digits}{}", before.trim(), after.trim())
    } else {
        format!("{lead}{before}{digits}{after}")
    };
    format!("{}{shown}{}", format.prefix, format.suffix)
}
