//! Times and sizes for people.

use chrono::{DateTime, SecondsFormat};
use repr::Timestamp;

/// As RFC 3339 where it is a date, else the number.
pub(crate) fn time(at: Timestamp) -> String {
    if at == Timestamp::MAX {
        return "closed".to_owned();
    }
    let date = i64::try_from(at.millis()).ok().and_then(DateTime::from_timestamp_millis);
    // Below that it is the beginning of time rather than a date.
    match date.filter(|_| at.millis() > 1_000_000_000) {
        Some(date) => date.to_rfc3339_opts(SecondsFormat::Millis, true),
        None => at.millis().to_string(),
    }
}

/// Milliseconds since 1970, or RFC 3339.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(millis) = text.parse::<u64>() {
        return Ok(Timestamp::end_of_millis(millis));
    }
    let date = DateTime::parse_from_rfc3339(text).map_err(|error| {
        format!("{text:?} is neither milliseconds since 1970 nor a time such as 2026-01-31T12:00:00Z ({error})")
    })?;
    u64::try_from(date.timestamp_millis())
        .map(Timestamp::end_of_millis)
        .map_err(|_| format!("{text:?} lies before 1970"))
}

/// Such as `12.3 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for millis in [0, 17, 1_800_000_000_123, 4_102_444_800_000] {
            let at = Timestamp::end_of_millis(millis);
            assert_eq!(parse_time(&time(at)), Ok(at));
            assert_eq!(parse_time(&millis.to_string()), Ok(at));
        }
        assert_eq!(time(Timestamp::from_millis(1_800_000_000_123)), "2027-01-15T08:00:00.123Z");
        assert_eq!(parse_time("2027-01-15T09:00:00.123+01:00"), Ok(Timestamp::end_of_millis(1_800_000_000_123)));
        assert!(parse_time("yesterday").is_err_and(|text| text.contains("yesterday")));
        assert!(parse_time("1969-12-31T23:59:59Z").is_err());
    }

    #[test]
    fn sizes_have_units() {
        let sizes = [0, 1023, 1024, 1_572_864, 5 << 30].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 GiB"]);
    }
}
