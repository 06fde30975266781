//! Read holds: promises that a collection stays readable at a time.
//!
//! The table's floor of a shard is its since as last proposed. Proposing a since raises the floor here, under the lock, before
//! the entry is encoded; a hold below the floor is refused. So no hold is ever granted below a since on its way.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use repr::{ShardId, Timestamp};

/// A time below the since of its collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    #[error("the time lies below the since {since}")]
    BelowSince { since: Timestamp },
    #[error("the collection does not exist")]
    NotFound,
}

/// Keeps a shard readable at a time, until it is dropped.
#[derive(Debug)]
pub struct Hold {
    table: Arc<HoldTable>,
    shard: ShardId,
    at: Timestamp,
}

impl Hold {
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Gives up times below `to`; never moves back.
    pub fn advance(&mut self, to: Timestamp) {
        if to > self.at {
            let mut shards = self.table.shards.lock();
            if let Some(holds) = shards.get_mut(&self.shard) {
                holds.remove(self.at);
                holds.add(to);
            }
            self.at = to;
        }
    }
}

impl Clone for Hold {
    fn clone(&self) -> Hold {
        if let Some(holds) = self.table.shards.lock().get_mut(&self.shard) {
            holds.add(self.at);
        }
        Hold { table: Arc::clone(&self.table), shard: self.shard, at: self.at }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(holds) = self.table.shards.lock().get_mut(&self.shard) {
            holds.remove(self.at);
        }
    }
}

/// All holds of one leader.
#[derive(Debug, Default)]
pub(crate) struct HoldTable {
    shards: Mutex<BTreeMap<ShardId, ShardHolds>>,
}

#[derive(Debug, Default)]
struct ShardHolds {
    floor: Timestamp,
    counts: BTreeMap<Timestamp, u64>,
}

impl ShardHolds {
    fn add(&mut self, at: Timestamp) {
        *self.counts.entry(at).or_insert(0) += 1;
    }

    fn remove(&mut self, at: Timestamp) {
        if let Some(count) = self.counts.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&at);
            }
        }
    }
}

impl HoldTable {
    /// Starts to keep holds on a shard.
    pub(crate) fn insert(&self, shard: ShardId, floor: Timestamp) {
        let mut shards = self.shards.lock();
        let holds = shards.entry(shard).or_default();
        holds.floor = holds.floor.max(floor);
    }

    /// A dropped shard grants no more holds.
    pub(crate) fn remove(&self, shard: ShardId) {
        self.shards.lock().remove(&shard);
    }

    /// The since as last proposed.
    pub(crate) fn floor(&self, shard: ShardId) -> Option<Timestamp> {
        self.shards.lock().get(&shard).map(|holds| holds.floor)
    }

    /// Takes a hold at `at`, or at the floor if `at` is none.
    pub(crate) fn hold(self: &Arc<Self>, shard: ShardId, at: Option<Timestamp>) -> Result<Hold, HoldError> {
        let mut shards = self.shards.lock();
        let holds = shards.get_mut(&shard).ok_or(HoldError::NotFound)?;
        let at = at.unwrap_or(holds.floor);
        if at < holds.floor {
            return Err(HoldError::BelowSince { since: holds.floor });
        }
        holds.add(at);
        Ok(Hold { table: Arc::clone(self), shard, at })
    }

    /// Raises the floor toward `wanted` as far as the holds allow; the new floor if it moved.
    pub(crate) fn propose(&self, shard: ShardId, wanted: Timestamp) -> Option<Timestamp> {
        let mut shards = self.shards.lock();
        let holds = shards.get_mut(&shard)?;
        let least = holds.counts.keys().next().copied().unwrap_or(Timestamp::MAX);
        let floor = wanted.min(least);
        if floor <= holds.floor {
            return None;
        }
        holds.floor = floor;
        Some(floor)
    }
}
