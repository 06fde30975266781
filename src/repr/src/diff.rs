//! Multiplicities whose overflow is remembered instead of wrapping.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A change of multiplicity.
///
/// Overflow becomes [`Diff::OVERFLOW`], an absorbing value that is never zero and is its own negation. Every place that
/// checks multiplicities turns it into an error row; arithmetic has no context to report to.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Diff(i64);

impl Diff {
    pub const ZERO: Diff = Diff(0);
    pub const ONE: Diff = Diff(1);
    pub const MINUS_ONE: Diff = Diff(-1);
    /// The absorbing overflow marker.
    pub const OVERFLOW: Diff = Diff(i64::MIN);

    pub const fn new(value: i64) -> Diff {
        Diff(value)
    }

    pub const fn get(self) -> i64 {
        self.0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub const fn is_overflow(self) -> bool {
        self.0 == i64::MIN
    }

    /// True for a multiplicity that no multiset can have.
    pub const fn is_invalid_count(self) -> bool {
        self.0 < 0
    }

    #[must_use]
    pub const fn plus(self, other: Diff) -> Diff {
        if self.is_overflow() || other.is_overflow() {
            return Diff::OVERFLOW;
        }
        match self.0.checked_add(other.0) {
            Some(sum) => Diff(sum),
            None => Diff::OVERFLOW,
        }
    }

    #[must_use]
    pub const fn times(self, other: Diff) -> Diff {
        if (self.is_overflow() && !other.is_zero()) || (other.is_overflow() && !self.is_zero()) {
            return Diff::OVERFLOW;
        }
        match self.0.checked_mul(other.0) {
            Some(product) => Diff(product),
            None => Diff::OVERFLOW,
        }
    }

    #[must_use]
    pub const fn negate(self) -> Diff {
        if self.is_overflow() { self } else { Diff(-self.0) }
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+}", self.0)
    }
}

impl From<i64> for Diff {
    fn from(value: i64) -> Diff {
        Diff(value)
    }
}
