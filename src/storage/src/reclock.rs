//! Which offsets happened when: what the remap shard of a source says.
//!
//! A *binding* `(time, frontier)` says that at `time` all offsets below `frontier` have happened. The shard holds one row,
//! the frontier, replaced whenever that moves; its upper says up to when the frontier is known.

use std::collections::VecDeque;

use repr::{Datum, Diff, Kind, Row, Timestamp};

use crate::feed::StoredUpdate;

/// The bindings from some time on.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    /// Both parts ascend.
    points: VecDeque<(Timestamp, u64)>,
    upper: Timestamp,
}

impl Bindings {
    /// The upper of the remap shard.
    pub(crate) fn upper(&self) -> Timestamp {
        self.upper
    }

    /// Takes over what the shard says at times in `[self.upper, upper)`. Errors: the rows are not those of a remap shard.
    pub(crate) fn extend(&mut self, updates: &[StoredUpdate], upper: Timestamp) -> Result<(), String> {
        for (row, time, diff) in updates {
            repr::row::check(row.as_bytes(), &[Kind::UInt]).map_err(|error| format!("remap shard: {error}"))?;
            if *diff == Diff::ONE {
                self.points.push_back((*time, row.unpack_first(Kind::UInt).unwrap_uint()));
            }
        }
        self.points.make_contiguous().sort_unstable();
        self.upper = self.upper.max(upper);
        Ok(())
    }

    /// The frontier at `time`; none if that is not known (yet, or any more).
    pub(crate) fn frontier_at(&self, time: Timestamp) -> Option<u64> {
        if time >= self.upper {
            return None;
        }
        let count = self.points.partition_point(|(at, _)| *at <= time);
        self.points.get(count.checked_sub(1)?).map(|(_, frontier)| *frontier)
    }

    /// The last time the frontier was said, and what it was; none if that never happened.
    ///
    /// Of a closed shard it is the time at which the frontier last moved.
    pub(crate) fn last(&self) -> Option<(Timestamp, u64)> {
        let (moved, frontier) = *self.points.back()?;
        let time = if self.upper == Timestamp::MAX { moved } else { self.upper.step_back() };
        Some((time, frontier))
    }

    /// The bindings at times in `[lower, upper)`.
    pub(crate) fn between(&self, lower: Timestamp, upper: Timestamp) -> impl Iterator<Item = (Timestamp, u64)> {
        let start = self.points.partition_point(|(at, _)| *at < lower);
        self.points.range(start..).copied().take_while(move |(at, _)| *at < upper)
    }

    /// Forgets what is needed only for times below `time`.
    pub(crate) fn forget_below(&mut self, time: Timestamp) {
        while self.points.get(1).is_some_and(|(at, _)| *at <= time) {
            self.points.pop_front();
        }
    }

    /// What to append to the remap shard so that the frontier is `frontier` from `time` on.
    pub(crate) fn replacement(&self, time: Timestamp, frontier: u64) -> Vec<StoredUpdate> {
        let before = self.points.back().map(|(_, before)| *before);
        if before == Some(frontier) {
            return Vec::new();
        }
        let gone = before.map(|before| (row(before), time, Diff::MINUS_ONE));
        gone.into_iter().chain([(row(frontier), time, Diff::ONE)]).collect()
    }
}

fn row(frontier: u64) -> Row {
    Row::pack([Datum::UInt(frontier)])
}
