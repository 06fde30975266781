//! Lengths of time in options: `'1s'`, `'500 ms'`, `'1 hour 30 minutes'`, `'00:00:05'`.

use crate::error::Error;

/// The milliseconds in `text`. Errors: 22007.
pub(crate) fn parse_ms(text: &str) -> Result<u64, Error> {
    parse(text).ok_or_else(|| Error::new("22007", format!("invalid input syntax for type interval: \"{text}\"")))
}

fn parse(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total: f64 = 0.0;
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(number_len);
        if number.contains(':') {
            total += clock_ms(number)?;
            rest = behind.trim_start();
            continue;
        }
        let behind = behind.trim_start();
        let unit_len = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_len);
        total += number.parse::<f64>().ok()? * unit_ms(unit)?;
        rest = behind.trim_start();
    }
    (total.is_finite() && total < u64::MAX as f64).then(|| total.round() as u64)
}

/// `HH:MM[:SS[.mmm]]`.
fn clock_ms(text: &str) -> Option<f64> {
    let mut parts = text.split(':');
    let hours: f64 = parts.next()?.parse().ok()?;
    let minutes: f64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next().map_or(Some(0.0), |seconds| seconds.parse().ok())?;
    parts.next().is_none().then_some(((hours * 60.0 + minutes) * 60.0 + seconds) * 1000.0)
}

fn unit_ms(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "us" | "usec" | "usecs" | "microsecond" | "microseconds" => 0.001,
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 1.0,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1000.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000.0,
        "d" | "day" | "days" => 86_400_000.0,
        "w" | "week" | "weeks" => 604_800_000.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_all_their_spellings() {
        let cases = [("1s", 1000), ("500 ms", 500), ("1 hour 30 minutes", 5_400_000), ("00:00:05", 5000), ("0s", 0)];
        for (text, expected) in cases {
            assert_eq!(parse_ms(text).expect(text), expected, "{text}");
        }
        for text in ["", "soon", "1 parsec", "-1s", "1:2:3:4"] {
            assert_eq!(parse_ms(text).expect_err(text).code, "22007", "{text}");
        }
    }
}
