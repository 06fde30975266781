//! Intervals: months, days and microseconds, kept apart.

mod arithmetic;
mod fields;
mod format;
mod iso;
mod parse;
mod sum;

pub use arithmetic::{age, timestamp_plus_interval, timestamptz_plus_interval};
pub use fields::{IntervalField, IntervalFields, IntervalSpec};
pub use format::IntervalStyle;
pub use parse::IntervalInput;

/// An interval as given. Two intervals SQL calls equal may differ in their fields; [`Interval::key`] decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

impl Interval {
    /// Total microseconds, a month as 30 days and a day as 24 hours: what SQL compares.
    pub fn key(&self) -> i128 {
        const DAY: i128 = 86_400_000_000;
        (i128::from(self.months) * 30 + i128::from(self.days)) * DAY + i128::from(self.micros)
    }

    pub const fn from_micros(micros: i64) -> Interval {
        Interval { months: 0, days: 0, micros }
    }

    pub const fn from_days(days: i32) -> Interval {
        Interval { months: 0, days, micros: 0 }
    }
}

impl PartialOrd for Interval {
    fn partial_cmp(&self, other: &Interval) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Interval {
    fn cmp(&self, other: &Interval) -> std::cmp::Ordering {
        (self.key(), self.months, self.days, self.micros).cmp(&(other.key(), other.months, other.days, other.micros))
    }
}
