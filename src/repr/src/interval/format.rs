//! Prints intervals as PostgreSQL does under IntervalStyle postgres.

use std::fmt;

use super::Interval;
use crate::datetime::{MICROS_PER_HOUR, MICROS_PER_MINUTE, put_seconds};

/// `1 year 2 mons -3 days +04:05:06.7`
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")];
        let mut follows = false;
        // A positive field behind a negative one shows its sign.
        let mut is_behind_negative = false;
        for (value, name) in fields {
            if value == 0 {
                continue;
            }
            let blank = if follows { " " } else { "" };
            let plus = if is_behind_negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            write!(f, "{blank}{plus}{value} {name}{plural}")?;
            follows = true;
            is_behind_negative = value < 0;
        }
        if follows && self.micros == 0 {
            return Ok(());
        }
        let blank = if follows { " " } else { "" };
        let sign = match self.micros < 0 {
            true => "-",
            false if is_behind_negative => "+",
            false => "",
        };
        let micros = self.micros.unsigned_abs();
        let (hour, minute) = (micros / MICROS_PER_HOUR as u64, micros / MICROS_PER_MINUTE as u64 % 60);
        let mut seconds = String::new();
        put_seconds((micros % MICROS_PER_MINUTE as u64) as i64, &mut seconds);
        write!(f, "{blank}{sign}{hour:02}:{minute:02}:{seconds}")
    }
}
