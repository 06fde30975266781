//! Time zones: fixed offsets and the zones of the tz database.

use chrono::offset::{Offset, TimeZone as _};
use chrono::{DateTime, MappedLocalTime, NaiveDateTime};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::{MICROS_PER_HOUR, MICROS_PER_SECOND, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY};
use crate::error::{ParseError, ParseErrorKind};

/// A time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeZone {
    /// Seconds east of Greenwich.
    Fixed(i32),
    /// A zone of the tz database.
    Named(Tz),
}

impl Default for TimeZone {
    fn default() -> TimeZone {
        TimeZone::UTC
    }
}

/// Abbreviations and their offsets in minutes: PostgreSQL's default set, as far as the zones are in use.
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("acdt", 630),
    ("acst", 570),
    ("adt", -180),
    ("aedt", 660),
    ("aest", 600),
    ("akdt", -480),
    ("akst", -540),
    ("art", -180),
    ("ast", -240),
    ("awst", 480),
    ("bdt", 360),
    ("brst", -120),
    ("brt", -180),
    ("bst", 60),
    ("cdt", -300),
    ("cest", 120),
    ("cet", 60),
    ("clst", -180),
    ("clt", -240),
    ("cst", -360),
    ("eat", 180),
    ("edt", -240),
    ("eest", 180),
    ("eet", 120),
    ("est", -300),
    ("gmt", 0),
    ("hkt", 480),
    ("hst", -600),
    ("idt", 180),
    ("ist", 120),
    ("jst", 540),
    ("kst", 540),
    ("mdt", -360),
    ("mesz", 120),
    ("met", 60),
    ("mez", 60),
    ("msd", 240),
    ("msk", 180),
    ("mst", -420),
    ("ndt", -150),
    ("npt", 345),
    ("nst", -210),
    ("nzdt", 780),
    ("nzst", 720),
    ("pdt", -420),
    ("pht", 480),
    ("pkt", 300),
    ("pst", -480),
    ("sast", 120),
    ("sgt", 480),
    ("ut", 0),
    ("utc", 0),
    ("uyt", -180),
    ("wadt", 480),
    ("wast", 420),
    ("west", 60),
    ("wet", 0),
    ("wib", 420),
    ("wit", 540),
    ("wita", 480),
    ("z", 0),
    ("zulu", 0),
];

impl TimeZone {
    pub const UTC: TimeZone = TimeZone::Fixed(0);

    /// Reads a name of the tz database in any case, an abbreviation, or an offset such as `+05:30`, positive to the east.
    pub fn parse(text: &str) -> Result<TimeZone, ParseError> {
        let trimmed = text.trim();
        let offset = trimmed.strip_prefix(['+', '-']).and_then(parse_offset);
        let zone = match offset {
            Some(seconds) => Some(TimeZone::Fixed(if trimmed.starts_with('-') { -seconds } else { seconds })),
            None => TimeZone::find(trimmed),
        };
        zone.ok_or_else(|| TimeZone::unknown(text))
    }

    pub(super) fn unknown(text: &str) -> ParseError {
        ParseError::new(ParseErrorKind::InvalidParameter, format!("time zone \"{text}\" not recognized"))
    }

    /// An abbreviation, or a name of the tz database in any case.
    pub(super) fn find(name: &str) -> Option<TimeZone> {
        let abbreviation = ABBREVIATIONS.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        if let Some((_, minutes)) = abbreviation {
            return Some(TimeZone::Fixed(minutes * 60));
        }
        if let Ok(zone) = name.parse() {
            return Some(TimeZone::Named(zone));
        }
        TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name)).copied().map(TimeZone::Named)
    }

    /// What `SHOW TimeZone` prints.
    pub fn name(&self) -> String {
        match self {
            TimeZone::Fixed(0) => "UTC".to_owned(),
            TimeZone::Fixed(seconds) => {
                let mut name = String::new();
                super::format::put_offset(*seconds, &mut name);
                name
            }
            TimeZone::Named(zone) => zone.name().to_owned(),
        }
    }

    /// True if the zone never had another offset than now.
    pub(super) fn has_one_offset(&self) -> bool {
        const GREENWICH: [&str; 9] = ["GMT", "GMT+0", "GMT-0", "GMT0", "Greenwich", "UCT", "UTC", "Universal", "Zulu"];
        match self {
            TimeZone::Fixed(_) => true,
            TimeZone::Named(zone) => zone.name().starts_with("Etc/") || GREENWICH.contains(&zone.name()),
        }
    }

    /// Seconds east of Greenwich at an instant.
    pub fn offset_at(&self, micros: i64) -> i32 {
        match self {
            TimeZone::Fixed(seconds) => *seconds,
            TimeZone::Named(zone) => zone.offset_from_utc_datetime(&naive(micros)).fix().local_minus_utc(),
        }
    }

    /// Seconds east of Greenwich when the clock on the wall shows `micros`.
    ///
    /// An hour the clock skips is read as before the change, an hour it repeats as after it: standard time both times.
    pub fn offset_of_local(&self, micros: i64) -> i32 {
        let TimeZone::Named(zone) = self else { return self.offset_at(micros) };
        let offset = match zone.offset_from_local_datetime(&naive(micros)) {
            MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(_, offset) => offset,
            MappedLocalTime::None => {
                let before = naive(micros.saturating_sub(6 * MICROS_PER_HOUR));
                match zone.offset_from_local_datetime(&before).latest() {
                    Some(offset) => offset,
                    None => zone.offset_from_utc_datetime(&before),
                }
            }
        };
        offset.fix().local_minus_utc()
    }

    /// `timestamptz AT TIME ZONE`: what the clock on the wall shows at an instant. None: out of range.
    pub fn to_local(&self, micros: i64) -> Option<i64> {
        if micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY {
            return Some(micros);
        }
        micros.checked_add(i64::from(self.offset_at(micros)) * MICROS_PER_SECOND).filter(is_timestamp)
    }

    /// `timestamp AT TIME ZONE`: the instant at which the clock on the wall shows `micros`. None: out of range.
    pub fn to_utc(&self, micros: i64) -> Option<i64> {
        if micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY {
            return Some(micros);
        }
        micros.checked_sub(i64::from(self.offset_of_local(micros)) * MICROS_PER_SECOND).filter(is_timestamp)
    }
}

/// Finite and in range.
pub(crate) fn is_timestamp(micros: &i64) -> bool {
    (super::TIMESTAMP_MIN..=super::TIMESTAMP_MAX).contains(micros)
}

/// `hh`, `hhmm`, `hh:mm` or `hh:mm:ss` in seconds. None: no such thing, or too large.
pub(super) fn parse_offset(text: &str) -> Option<i32> {
    let is_digits = |part: &str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split(':').collect();
    if !parts.iter().all(|part| is_digits(part)) {
        return None;
    }
    let number = |part: &str| part.parse::<i32>().ok();
    let (hours, minutes, seconds) = match parts[..] {
        [packed] if packed.len() > 2 => (number(packed)? / 100, number(packed)? % 100, 0),
        [hours] => (number(hours)?, 0, 0),
        [hours, minutes] => (number(hours)?, number(minutes)?, 0),
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        _ => return None,
    };
    (hours <= 15 && minutes < 60 && seconds < 60).then_some(hours * 3600 + minutes * 60 + seconds)
}

/// Outside of chrono's range, 260,000 years from now, the offset is that at its end.
fn naive(micros: i64) -> NaiveDateTime {
    match DateTime::from_timestamp_micros(micros) {
        Some(instant) => instant.naive_utc(),
        None if micros < 0 => NaiveDateTime::MIN + chrono::Duration::days(2),
        None => NaiveDateTime::MAX - chrono::Duration::days(2),
    }
}
