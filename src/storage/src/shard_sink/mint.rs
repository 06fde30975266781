//! Which batches are made: the state of the worker that cares for a sink.
//!
//! A *description* `[lower, upper)` is minted only from the feedback's upper, never from what an append was refused with, and
//! every worker writes a run for it. It is withdrawn once the feedback has passed `lower`: somebody appended there, and runs
//! that still come are dropped. At one `lower` only one description is minted, unless its runs could not be appended.

use persist::Run;
use repr::Timestamp;
use serde::{Deserialize, Serialize};

/// A batch to be written where the shard's upper is `lower`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    /// Tells it from others of this sink, also from those at the same `lower`.
    pub(crate) number: u64,
    pub(crate) lower: Timestamp,
    pub(crate) upper: Timestamp,
}

/// A description with the runs of all workers.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) description: Description,
    pub(crate) runs: Vec<Run>,
}

pub(crate) struct Minter {
    as_of: Timestamp,
    /// How many runs make a batch.
    workers: usize,
    /// What is desired is complete below it.
    desired: Timestamp,
    /// The upper of the feedback; none before its first word.
    persisted: Option<Timestamp>,
    minted: u64,
    /// The `lower` of the last description: no other is minted at it.
    tried: Option<Timestamp>,
    /// What the workers write now.
    current: Option<Batch>,
}

impl Minter {
    pub(crate) fn new(as_of: Timestamp, workers: usize) -> Minter {
        Minter { as_of, workers, desired: Timestamp::MIN, persisted: None, minted: 0, tried: None, current: None }
    }

    /// The upper of the shard as far as it is known; MIN before the first word of it.
    pub(crate) fn upper(&self) -> Timestamp {
        self.persisted.unwrap_or(Timestamp::MIN)
    }

    /// True if that is news.
    pub(crate) fn desired_upper(&mut self, upper: Timestamp) -> bool {
        let is_new = upper > self.desired;
        self.desired = self.desired.max(upper);
        is_new
    }

    pub(crate) fn persisted_upper(&mut self, upper: Timestamp) {
        let upper = self.persisted.map_or(upper, |before| before.max(upper));
        self.persisted = Some(upper);
        if self.current.as_ref().is_some_and(|batch| batch.description.lower < upper) {
            self.current = None;
        }
    }

    /// What all workers are to write now, if there is something new.
    pub(crate) fn mint(&mut self) -> Option<Description> {
        let (lower, upper) = (self.persisted?, self.desired);
        if upper <= lower || upper <= self.as_of || self.tried == Some(lower) {
            return None;
        }
        assert!(
            lower == Timestamp::MIN || lower >= self.as_of,
            "the view is computed from {} on, but was written only up to {lower}",
            self.as_of
        );
        self.tried = Some(lower);
        self.minted += 1;
        let description = Description { number: self.minted, lower, upper };
        self.current = Some(Batch { description, runs: Vec::new() });
        Some(description)
    }

    /// A worker has written its run. True if it was the last that was missing.
    pub(crate) fn collect(&mut self, number: u64, run: Run) -> bool {
        let Some(batch) = self.current.as_mut().filter(|batch| batch.description.number == number) else {
            return false;
        };
        batch.runs.push(run);
        assert!(batch.runs.len() <= self.workers, "a worker has written two runs of one batch");
        batch.runs.len() == self.workers
    }

    /// The batch to append, once all runs are there.
    pub(crate) fn take_batch(&mut self) -> Option<Batch> {
        self.current.take_if(|batch| batch.runs.len() == self.workers)
    }

    /// A batch could not be appended although its `lower` was right: it is to be written again.
    pub(crate) fn mint_again(&mut self, description: Description) {
        if self.tried == Some(description.lower) {
            self.tried = None;
        }
    }
}
