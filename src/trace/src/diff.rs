//! [`Diff`]: multiplicities with differential's traits. The arithmetic, overflow included, is `repr`'s.

use std::fmt;

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};
use serde::{Deserialize, Serialize};

/// A [`repr::Diff`] that differential can work with: an overflow absorbs, is never zero, and never cancels.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
#[repr(transparent)]
pub struct Diff(pub repr::Diff);

impl Diff {
    pub const ZERO: Diff = Diff(repr::Diff::ZERO);
    pub const ONE: Diff = Diff(repr::Diff::ONE);
    pub const MINUS_ONE: Diff = Diff(repr::Diff::MINUS_ONE);

    pub const fn new(value: i64) -> Diff {
        Diff(repr::Diff::new(value))
    }

    pub const fn get(self) -> i64 {
        self.0.get()
    }

    /// True for a multiplicity that no multiset can have: negative, or overflowed.
    pub const fn is_invalid_count(self) -> bool {
        self.0.is_invalid_count()
    }
}

impl From<repr::Diff> for Diff {
    fn from(diff: repr::Diff) -> Diff {
        Diff(diff)
    }
}

impl From<Diff> for repr::Diff {
    fn from(diff: Diff) -> repr::Diff {
        diff.0
    }
}

/// Differential's `distinct_core` makes its ones this way.
impl From<i8> for Diff {
    fn from(value: i8) -> Diff {
        Diff::new(i64::from(value))
    }
}

impl fmt::Debug for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl IsZero for Diff {
    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

impl Semigroup for Diff {
    fn plus_equals(&mut self, rhs: &Diff) {
        self.0 = self.0.plus(rhs.0);
    }
}

impl Monoid for Diff {
    fn zero() -> Diff {
        Diff::ZERO
    }
}

impl Abelian for Diff {
    fn negate(&mut self) {
        self.0 = self.0.negate();
    }
}

impl Multiply<Diff> for Diff {
    type Output = Diff;

    fn multiply(self, rhs: &Diff) -> Diff {
        Diff(self.0.times(rhs.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_absorbs_and_never_cancels() {
        let mut diff = Diff::new(i64::MAX);
        diff.plus_equals(&Diff::ONE);
        assert!(diff.is_invalid_count());
        let mut negated = diff;
        negated.negate();
        diff.plus_equals(&negated);
        assert!(!diff.is_zero());
        assert!(diff.is_invalid_count());
    }
}
