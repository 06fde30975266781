//! [`Ts`]: the one timeline's time with timely's and differential's traits.

use std::fmt;

use differential_dataflow::lattice::{Lattice, Maximum};
use repr::Timestamp;
use serde::{Deserialize, Serialize};
use timely::order::{PartialOrder, TotalOrder};
use timely::progress::frontier::AntichainRef;
use timely::progress::timestamp::{PathSummary, Refines};
use timely::progress::{Antichain, Timestamp as TimelyTimestamp};

/// A [`Timestamp`] that timely and differential can work with.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
#[repr(transparent)]
pub struct Ts(pub Timestamp);

impl Ts {
    /// Makes a time from microseconds.
    pub const fn new(micros: u64) -> Ts {
        Ts(Timestamp::new(micros))
    }

    pub const fn micros(self) -> u64 {
        self.0.micros()
    }
}

impl From<Timestamp> for Ts {
    fn from(time: Timestamp) -> Ts {
        Ts(time)
    }
}

impl From<Ts> for Timestamp {
    fn from(time: Ts) -> Timestamp {
        time.0
    }
}

impl From<u64> for Ts {
    fn from(micros: u64) -> Ts {
        Ts::new(micros)
    }
}

impl fmt::Debug for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The frontier whose upper is `upper`; MAX is the empty one: complete.
pub fn frontier_of(upper: Timestamp) -> Antichain<Ts> {
    if upper == Timestamp::MAX { Antichain::new() } else { Antichain::from_elem(Ts(upper)) }
}

/// The upper that a frontier stands for; the empty one is MAX: complete.
pub fn upper_of(frontier: AntichainRef<'_, Ts>) -> Timestamp {
    frontier.first().map_or(Timestamp::MAX, |time| time.0)
}

impl PartialOrder for Ts {
    fn less_than(&self, other: &Ts) -> bool {
        self < other
    }

    fn less_equal(&self, other: &Ts) -> bool {
        self <= other
    }
}

impl TotalOrder for Ts {}

impl TimelyTimestamp for Ts {
    type Summary = Ts;

    fn minimum() -> Ts {
        Ts::new(0)
    }
}

impl PathSummary<Ts> for Ts {
    fn results_in(&self, src: &Ts) -> Option<Ts> {
        self.micros().checked_add(src.micros()).map(Ts::new)
    }

    fn followed_by(&self, other: &Ts) -> Option<Ts> {
        self.micros().checked_add(other.micros()).map(Ts::new)
    }
}

impl Refines<()> for Ts {
    fn to_inner(_outer: ()) -> Ts {
        Ts::minimum()
    }

    fn to_outer(self) {}

    fn summarize(_path: Ts) {}
}

impl Lattice for Ts {
    fn join(&self, other: &Ts) -> Ts {
        *self.max(other)
    }

    fn meet(&self, other: &Ts) -> Ts {
        *self.min(other)
    }
}

impl Maximum for Ts {
    fn maximum() -> Ts {
        Ts(Timestamp::MAX)
    }
}
