//! Randomness from a seed.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// A shared source of random numbers; the same seed yields the same sequence.
#[derive(Clone)]
pub struct Rng(Arc<Mutex<StdRng>>);

impl Rng {
    pub fn from_seed(seed: u64) -> Rng {
        Rng(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Seeds from the operating system.
    pub fn from_entropy() -> Rng {
        Rng(Arc::new(Mutex::new(StdRng::from_os_rng())))
    }

    pub fn next_u64(&self) -> u64 {
        self.0.lock().next_u64()
    }

    /// A number in `0..bound`. Panics if `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no member");
        // The bias of a 64-bit modulus is below one in 2^32 for every bound used here.
        self.next_u64() % bound
    }

    /// 16 random bytes: nonces, tokens, keys.
    pub fn bytes16(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.0.lock().fill_bytes(&mut bytes);
        bytes
    }
}
