//! Random numbers that depend on a key alone, so that any row can be made again without those before it.

/// The seed of all generators.
const SEED: u64 = 0;

/// A short sequence of random numbers (SplitMix64, Steele, Lea and Flood 2014).
pub(crate) struct Draw {
    state: u64,
}

impl Draw {
    /// The sequence of one row: `relation` tells relations apart, `key` rows, `version` the states of a row.
    pub(crate) fn new(relation: u64, key: u64, version: u64) -> Draw {
        let mut state = SEED;
        for part in [relation, key, version] {
            state = mix(state.wrapping_add(0x9E37_79B9_7F4A_7C15) ^ mix(part));
        }
        Draw { state }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// A number in `0..bound`; 0 if that is empty.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product: the bias is below 2^-32 for every bound used here.
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A number in `least..=most`.
    pub(crate) fn between(&mut self, least: i64, most: i64) -> i64 {
        least + self.below(most.abs_diff(least) + 1).cast_signed()
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.index(choices.len())]
    }

    /// An index of a sequence of this length.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// Puts `items` in random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
