//! The timestamp oracle: the greatest time that an answer or a write has shown. In memory; recovered from the log's floor.

use std::sync::atomic::{AtomicU64, Ordering};

use repr::Timestamp;

/// Chooses, with [timestamp selection](crate::sequence::timestamp), the times of strict serializable reads and of writes.
///
/// `read_ts` never decreases: each change is a maximum. It moves by writes, reads and strict subscriptions, never by ticks,
/// so that a query over sources alone does not wait for the next tick.
pub(crate) struct Oracle {
    read_ts: AtomicU64,
}

impl Oracle {
    /// Starts at the greatest upper that any answer before the restart can have rested on.
    pub(crate) fn new(floor: Timestamp) -> Oracle {
        Oracle { read_ts: AtomicU64::new(floor.micros()) }
    }

    pub(crate) fn read_ts(&self) -> Timestamp {
        Timestamp::new(self.read_ts.load(Ordering::SeqCst))
    }

    /// Must happen before the answer or acknowledgement that shows `ts` leaves.
    pub(crate) fn advance(&self, ts: Timestamp) {
        self.read_ts.fetch_max(ts.micros(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_ts_never_decreases() {
        let oracle = Oracle::new(Timestamp::new(10));
        oracle.advance(Timestamp::new(5));
        assert_eq!(oracle.read_ts(), Timestamp::new(10));
        oracle.advance(Timestamp::new(11));
        assert_eq!(oracle.read_ts(), Timestamp::new(11));
    }
}
