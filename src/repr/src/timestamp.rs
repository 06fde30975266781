//! Logical times of the one timeline: milliseconds since the Unix epoch.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A logical time in milliseconds. Times are data, not clocks: only the leader's `now` looks at a clock.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    pub const MIN: Timestamp = Timestamp(0);
    /// As an upper it says that the collection is complete.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// Makes a time from milliseconds.
    pub const fn new(millis: u64) -> Timestamp {
        Timestamp(millis)
    }

    /// The time in milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
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

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl From<u64> for Timestamp {
    fn from(millis: u64) -> Timestamp {
        Timestamp(millis)
    }
}
