//! Logical times of the one timeline: microseconds since the Unix epoch.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const MICROS_PER_MILLI: u64 = 1000;

/// A logical time in microseconds. Times are data, not clocks: only the leader's `now` looks at a clock.
///
/// SQL shows whole milliseconds (`mz_timestamp`, `mz_now()`): a millisecond of SQL is a thousand times, so that a thousand
/// commits a millisecond have times of their own. A time shows as the millisecond that it lies in.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    pub const MIN: Timestamp = Timestamp(0);
    /// As an upper it says that the collection is complete.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// Makes a time from microseconds.
    pub const fn new(micros: u64) -> Timestamp {
        Timestamp(micros)
    }

    /// The time in microseconds.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The first time of a millisecond. Beyond the range of times: `MAX`.
    pub const fn from_millis(millis: u64) -> Timestamp {
        Timestamp(millis.saturating_mul(MICROS_PER_MILLI))
    }

    /// The last time of a millisecond: what is read there has all that shows as of that millisecond.
    pub const fn end_of_millis(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis.saturating_add(1)).step_back()
    }

    /// The millisecond it lies in.
    pub const fn millis(self) -> u64 {
        self.0 / MICROS_PER_MILLI
    }

    /// Later by `duration`, rounded down to microseconds; at most `MAX`.
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(micros(duration)))
    }

    /// Earlier by `duration`, rounded down to microseconds; at least `MIN`.
    pub fn minus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(micros(duration)))
    }

    /// How much later it is than `other`; zero if it is not.
    pub const fn since(self, other: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(other.0))
    }

    /// The next time; `MAX` stays `MAX`.
    pub const fn step_forward(self) -> Timestamp {
        Timestamp(self.0.saturating_add(1))
    }

    /// The time before; `MIN` stays `MIN`.
    pub const fn step_back(self) -> Timestamp {
        Timestamp(self.0.saturating_sub(1))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds, with a fraction where there is one.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.millis())?;
        match self.0 % MICROS_PER_MILLI {
            0 => Ok(()),
            rest => write!(f, ".{rest:03}"),
        }
    }
}

/// Microseconds.
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl From<u64> for Timestamp {
    fn from(micros: u64) -> Timestamp {
        Timestamp(micros)
    }
}

impl From<Duration> for Timestamp {
    /// The time that lies so long after the epoch.
    fn from(since_epoch: Duration) -> Timestamp {
        Timestamp(micros(since_epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_millisecond_is_a_thousand_times() {
        let (first, last) = (Timestamp::from_millis(7), Timestamp::end_of_millis(7));
        assert_eq!((first.micros(), last.micros()), (7_000, 7_999));
        assert_eq!((first.millis(), last.millis(), last.step_forward().millis()), (7, 7, 8));
        assert_eq!((first.to_string(), last.to_string()), ("7".to_owned(), "7.999".to_owned()));
    }

    #[test]
    fn the_ends_hold() {
        assert_eq!(Timestamp::from_millis(u64::MAX), Timestamp::MAX);
        assert!(Timestamp::end_of_millis(u64::MAX) < Timestamp::MAX);
        assert_eq!(Timestamp::MAX.plus(Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(Timestamp::new(5).minus(Duration::from_millis(1)), Timestamp::MIN);
    }
}
