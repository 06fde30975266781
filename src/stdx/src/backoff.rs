//! Exponential back-off.

use std::time::Duration;

/// Doubles a delay from `first` up to `most`.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(first: Duration, most: Duration) -> Backoff {
        Backoff { first, most, next: first }
    }

    /// The delay to wait now.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.most);
        delay
    }

    /// Starts again at the first delay, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}
