//! `to_char`: timestamps and intervals in a given format.

use repr::datetime::{
    DAYS, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, MONTHS, civil_from_days,
};
use repr::interval::Interval as Span;
use repr::{Arena, Datum};

use super::ArgType::{Interval, Text, Timestamp, TimestampTz};
use super::datetime::{day_of_week, day_of_year, group_of_years, iso_week};
use super::datetime_arithmetic::is_finite_timestamp;
use super::number_template::{Case, quoted};
use super::number_to_char::ordinal_ending;
use super::{FuncDef, Value, check_length, function, text};
use crate::error::EvalError;

pub(super) static TABLE: &[FuncDef] = &[
    function(
        "to_char_timestamp",
        "to_char",
        &[Timestamp, Text],
        Text,
        |a, _, arena| timestamp(a, "", arena),
        "A timestamp in a format.",
    )
    .fallible()
    .nullable(),
    function(
        "to_char_timestamptz",
        "to_char",
        &[TimestampTz, Text],
        Text,
        |a, _, arena| timestamp(a, "UTC", arena),
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
    .fallible()
    .nullable(),
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
    /// Days since the Unix epoch; none of intervals.
    days: Option<i64>,
    zone: &'a str,
}

/// Patterns, each before those it starts with.
const PATTERNS: &[&str] = &[
    "Y,YYY", "YYYY", "YYY", "YY", "IYYY", "IYY", "IY", "IDDD", "ID", "IW", "I", "Y", "MONTH", "Month", "month", "MON",
    "Mon", "mon", "MM", "MI", "MS", "DAY", "Day", "day", "DDD", "DD", "DY", "Dy", "dy", "D", "FX", "HH24", "HH12",
    "HH", "SSSSS", "SSSS", "SS", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "US", "A.M.", "P.M.", "a.m.", "p.m.", "AM",
    "PM", "am", "pm", "B.C.", "A.D.", "b.c.", "a.d.", "BC", "AD", "bc", "ad", "CC", "J", "Q", "RM", "rm", "TZH", "TZM",
    "TZ", "tzh", "tzm", "tz", "OF", "WW", "W", "y,yyy", "yyyy", "yyy", "yy", "iyyy", "iyy", "iy", "iddd", "id", "iw",
    "i", "y", "mm", "mi", "ms", "ddd", "dd", "d", "fx", "hh24", "hh12", "hh", "sssss", "ssss", "ss", "ff1", "ff2",
    "ff3", "ff4", "ff5", "ff6", "us", "cc", "j", "q", "of", "ww", "w",
];

fn timestamp<'a>(args: &[Datum<'a>], zone: &str, arena: &'a Arena) -> Value<'a> {
    let micros = args[0].unwrap_timestamp();
    let format = args[1].unwrap_text();
    if !is_finite_timestamp(micros) || format.is_empty() {
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
    };
    text(&render(&fields, format)?, arena)
}

fn interval<'a>(span: Span, format: &str, arena: &'a Arena) -> Value<'a> {
    if format.is_empty() {
        return Ok(Datum::Null);
    }
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
    };
    text(&render(&fields, format)?, arena)
}

/// A word before a pattern that changes how it is shown: `FM` leaves padding out, `TM` leaves it out of names.
fn prefix(rest: &str) -> Option<&str> {
    rest.get(..2).filter(|word| ["FM", "fm", "TM", "tm"].contains(word))
}

fn render(fields: &Fields<'_>, format: &str) -> Result<String, EvalError> {
    let mut out = String::new();
    let mut rest = format;
    while !rest.is_empty() {
        let prefix = prefix(rest);
        rest = &rest[prefix.map_or(0, str::len)..];
        if let Some(pattern) = PATTERNS.iter().find(|pattern| rest.starts_with(**pattern)) {
            rest = &rest[pattern.len()..];
            let pattern = canonical(pattern);
            let fill = match prefix {
                Some("FM" | "fm") => false,
                Some(_) => has_ordinal(&pattern) || !is_name(&pattern),
                None => true,
            };
            let shown = field(fields, &pattern, fill)?;
            out.push_str(&shown);
            let ordinal = match rest.get(..2) {
                Some("TH") => Some(Case::Upper),
                Some("th") => Some(Case::Lower),
                _ => None,
            };
            if let Some(case) = ordinal {
                if has_ordinal(&pattern) && !shown.is_empty() {
                    out.push_str(ordinal_ending(&shown, case)?);
                }
                rest = &rest[2..];
            } else if matches!(rest.get(..2), Some("SP" | "sp")) {
                // Numbers in words, which nobody made.
                rest = &rest[2..];
            }
        } else if let Some(inside) = rest.strip_prefix('"') {
            rest = quoted(inside, |character| out.push(character));
        } else {
            rest = rest.strip_prefix('\\').filter(|behind| behind.starts_with('"')).unwrap_or(rest);
            out.extend(rest.chars().next());
            rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
        }
        check_length(out.len())?;
    }
    Ok(out)
}

/// A number in so many digits, one more if it is negative; as it is without fill.
fn digits(value: i64, width: usize, fill: bool) -> String {
    let width = if value < 0 { width + 1 } else { width };
    if fill { format!("{value:0width$}") } else { value.to_string() }
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

/// Patterns of which lower case shows something else than upper case.
const NAMES: [&str; 14] =
    ["month", "mon", "day", "dy", "am", "pm", "a.m.", "p.m.", "ad", "bc", "a.d.", "b.c.", "rm", "tz"];

/// A number is shown alike, however its pattern is written; a name in the case of its pattern.
fn canonical(pattern: &str) -> String {
    let is_lower = !pattern.contains(|c: char| c.is_ascii_uppercase());
    if is_lower && !NAMES.contains(&pattern) { pattern.to_ascii_uppercase() } else { pattern.to_owned() }
}

/// True for the names of months and days, which `TM` does not fill with blanks.
fn is_name(pattern: &str) -> bool {
    ["month", "mon", "day", "dy"].contains(&pattern.to_lowercase().as_str())
}

/// True for patterns that show a number which may have the ending of an ordinal.
fn has_ordinal(pattern: &str) -> bool {
    !NAMES.contains(&pattern.to_lowercase().as_str()) && !matches!(pattern, "TZH" | "TZM" | "OF" | "FX")
}

/// Patterns that say something of a date, and nothing of an interval.
const OF_DATES: [&str; 13] = ["MONTH", "MON", "DAY", "DY", "D", "AD", "BC", "A.D.", "B.C.", "TZ", "TZH", "TZM", "OF"];

/// Errors: 22007 if there is no such field of an interval.
fn field(fields: &Fields<'_>, pattern: &str, fill: bool) -> Result<String, EvalError> {
    if fields.days.is_none() && OF_DATES.contains(&pattern.to_uppercase().as_str()) {
        return Err(EvalError::new("22007", "invalid format specification for an interval value")
            .with_hint("Intervals are not tied to specific calendar dates."));
    }
    Ok(match pattern {
        "Y,YYY" | "YYYY" | "YYY" | "YY" | "Y" | "IYYY" | "IYY" | "IY" | "I" | "CC" => year_field(fields, pattern, fill),
        "HH24" | "HH" | "HH12" | "MI" | "SS" | "SSSS" | "SSSSS" | "MS" | "US" | "FF1" | "FF2" | "FF3" | "FF4"
        | "FF5" | "FF6" => time_field(fields, pattern, fill),
        "FX" => String::new(),
        "TZ" => fields.zone.to_owned(),
        "tz" => fields.zone.to_lowercase(),
        // Every session's zone is UTC.
        "OF" if !fill => "+0".to_owned(),
        "OF" | "TZH" => "+00".to_owned(),
        "TZM" => "00".to_owned(),
        _ => date_field(fields, pattern, fill),
    })
}

fn year_field(fields: &Fields<'_>, pattern: &str, fill: bool) -> String {
    let of_era = |year: i64| if fields.days.is_some() && year <= 0 { 1 - year } else { year };
    let year = match pattern.starts_with('I') {
        true => of_era(iso_week(fields.days.unwrap_or_else(|| days_of_span(fields))).0),
        false => of_era(fields.year),
    };
    // The sign of a negative interval's years takes one place more, also where the ISO year shows none.
    let part = |value: i64, width: usize| {
        let width = if of_era(fields.year) < 0 { width + 1 } else { width };
        if fill { format!("{value:0width$}") } else { value.to_string() }
    };
    match pattern {
        "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
        "YYYY" | "IYYY" => part(year, 4),
        "YYY" | "IYY" => part(year % 1000, 3),
        "YY" | "IY" => part(year % 100, 2),
        "CC" => match fields.days {
            Some(_) => digits(group_of_years(fields.year, 100), 2, fill),
            None => digits(fields.year / 100, 2, fill),
        },
        _ => (year % 10).to_string(),
    }
}

fn time_field(fields: &Fields<'_>, pattern: &str, fill: bool) -> String {
    let hour_of_half = if fields.hour % 12 == 0 { 12 } else { fields.hour % 12 };
    // The sign is that of all hours, also where none of it is left.
    let width = if fields.hour < 0 { 3 } else { 2 };
    match pattern {
        "HH24" => digits(fields.hour, 2, fill),
        "HH" | "HH12" if fill => format!("{hour_of_half:0width$}"),
        "HH" | "HH12" => hour_of_half.to_string(),
        "MI" => digits(fields.minute, 2, fill),
        "SS" => digits(fields.second, 2, fill),
        "SSSS" | "SSSSS" => (fields.hour * 3600 + fields.minute * 60 + fields.second).to_string(),
        "MS" | "FF3" => format!("{:03}", fields.micros / 1000),
        "FF1" => format!("{:01}", fields.micros / 100_000),
        "FF2" => format!("{:02}", fields.micros / 10_000),
        "FF4" => format!("{:04}", fields.micros / 100),
        "FF5" => format!("{:05}", fields.micros / 10),
        _ => format!("{:06}", fields.micros),
    }
}

fn date_field(fields: &Fields<'_>, pattern: &str, fill: bool) -> String {
    let days = fields.days.unwrap_or_else(|| days_of_span(fields));
    let half = || if fields.hour % 24 >= 12 { "PM" } else { "AM" };
    let era = || if fields.year <= 0 { "BC" } else { "AD" };
    let dotted = |letters: &str| letters.chars().flat_map(|letter| [letter, '.']).collect::<String>();
    let month = usize::try_from(fields.month - 1).ok().filter(|index| *index < MONTHS.len()).map(|index| MONTHS[index]);
    let weekday = usize::try_from(day_of_week(days)).unwrap_or(0);
    let day_of_year = match fields.days {
        Some(days) => day_of_year(civil_from_days(days)),
        // Of an interval: about how many days it has.
        None => (fields.year * 12 + fields.month) * 30 + fields.day,
    };
    match pattern {
        "MONTH" | "Month" | "month" => month.map_or(String::new(), |month| name(month, pattern, NAME_WIDTH, fill)),
        "MON" | "Mon" | "mon" => month.map_or(String::new(), |month| name(&month[..3], pattern, 3, fill)),
        "RM" => roman_month(fields, fill),
        "rm" => roman_month(fields, fill).to_lowercase(),
        "MM" => digits(fields.month, 2, fill),
        "DAY" | "Day" | "day" => name(DAYS[weekday], pattern, NAME_WIDTH, fill),
        "DY" | "Dy" | "dy" => name(&DAYS[weekday][..3], pattern, 3, fill),
        "DDD" if fill => format!("{day_of_year:03}"),
        "DDD" => day_of_year.to_string(),
        "IDDD" => {
            let day = (iso_week(days).1 - 1) * 7 + (day_of_week(days) + 6) % 7 + 1;
            if fill { format!("{day:03}") } else { day.to_string() }
        }
        "DD" if fill => format!("{:02}", fields.day),
        "DD" => fields.day.to_string(),
        "D" => (day_of_week(days) + 1).to_string(),
        "ID" => ((day_of_week(days) + 6) % 7 + 1).to_string(),
        "WW" => {
            let week = (day_of_year - 1) / 7 + 1;
            if fill { format!("{week:02}") } else { week.to_string() }
        }
        "W" => ((fields.day - 1) / 7 + 1).to_string(),
        "IW" => digits(iso_week(days).1, 2, fill),
        "J" => (days + JULIAN_DAY_OF_EPOCH).to_string(),
        "Q" if fields.month == 0 => String::new(),
        "Q" => ((fields.month - 1) / 3 + 1).to_string(),
        "AM" | "PM" => half().to_owned(),
        "am" | "pm" => half().to_lowercase(),
        "A.M." | "P.M." => dotted(half()),
        "a.m." | "p.m." => dotted(&half().to_lowercase()),
        "BC" | "AD" => era().to_owned(),
        "bc" | "ad" => era().to_lowercase(),
        "B.C." | "A.D." => dotted(era()),
        "b.c." | "a.d." => dotted(&era().to_lowercase()),
        other => other.to_owned(),
    }
}

/// The day that an interval's fields would name if they were a date's, months and days outside a year and month counted on
/// by the days that months have on average.
fn days_of_span(fields: &Fields<'_>) -> i64 {
    let (year, month) = match fields.month {
        month if month > 2 => (fields.year + 4800, month + 1),
        month => (fields.year + 4799, month + 13),
    };
    let century = year / 100;
    let julian = year * 365 - 32167 + year / 4 - century + century / 4 + 7834 * month / 256 + fields.day;
    julian - JULIAN_DAY_OF_EPOCH
}

/// The Julian day of 1970-01-01.
const JULIAN_DAY_OF_EPOCH: i64 = 2_440_588;

/// The month as a numeral; of an interval the numbers go round: no month is December, none of no years shows nothing.
fn roman_month(fields: &Fields<'_>, fill: bool) -> String {
    let index = match fields.month {
        0 if fields.year == 0 => return String::new(),
        0 if fields.year > 0 => 11,
        0 => 0,
        month if month < 0 => 12 + month,
        month => month - 1,
    };
    let numeral = usize::try_from(index).ok().and_then(|index| ROMAN_MONTHS.get(index)).copied().unwrap_or("");
    if fill { format!("{numeral:4}") } else { numeral.to_owned() }
}
