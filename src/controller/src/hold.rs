//! Read holds: promises that a collection stays readable at a time.
//!
//! Indexes are held here, shards in the log's leader; a [`ReadHold`] is either. The floor of an index is its since as last
//! sent to replicas: raising it and granting holds happen under one lock, so no hold is granted below a since on its way.
//! The table's lock is innermost: holds may be dropped under any other lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use repr::{CollectionId, Timestamp};

use crate::durable::DurableHold;

/// Keeps one collection readable at a time until dropped.
#[derive(Debug)]
pub struct ReadHold {
    id: CollectionId,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Shard(Box<dyn DurableHold>),
    Index(IndexHold),
}

impl ReadHold {
    pub(crate) fn shard(id: CollectionId, hold: Box<dyn DurableHold>) -> ReadHold {
        ReadHold { id, kind: Kind::Shard(hold) }
    }

    pub(crate) fn index(hold: IndexHold) -> ReadHold {
        ReadHold { id: hold.id, kind: Kind::Index(hold) }
    }

    pub fn id(&self) -> CollectionId {
        self.id
    }

    /// The least time at which the collection may be read under this hold.
    pub fn at(&self) -> Timestamp {
        match &self.kind {
            Kind::Shard(hold) => hold.at(),
            Kind::Index(hold) => hold.at,
        }
    }

    /// Gives up times below `to`; never moves back.
    pub fn advance(&mut self, to: Timestamp) {
        match &mut self.kind {
            Kind::Shard(hold) => hold.advance(to),
            Kind::Index(hold) => hold.advance(to),
        }
    }
}

impl Clone for ReadHold {
    fn clone(&self) -> ReadHold {
        let kind = match &self.kind {
            Kind::Shard(hold) => Kind::Shard(hold.duplicate()),
            Kind::Index(hold) => Kind::Index(hold.clone()),
        };
        ReadHold { id: self.id, kind }
    }
}

/// Holds on several collections.
#[derive(Clone, Debug, Default)]
pub struct ReadHolds {
    holds: BTreeMap<CollectionId, ReadHold>,
}

impl ReadHolds {
    /// Adds a hold; of two on one collection the earlier stays.
    pub fn insert(&mut self, hold: ReadHold) {
        match self.holds.get(&hold.id) {
            Some(held) if held.at() <= hold.at() => {}
            _ => {
                self.holds.insert(hold.id, hold);
            }
        }
    }

    /// Takes over all holds of `other`.
    pub fn extend(&mut self, other: ReadHolds) {
        for hold in other.holds.into_values() {
            self.insert(hold);
        }
    }

    /// The least time at which all of them can be read.
    pub fn since(&self) -> Timestamp {
        self.holds.values().map(ReadHold::at).max().unwrap_or(Timestamp::MIN)
    }

    pub fn since_of(&self, id: CollectionId) -> Option<Timestamp> {
        self.holds.get(&id).map(ReadHold::at)
    }

    /// Gives up times below `to` everywhere.
    pub fn advance(&mut self, to: Timestamp) {
        for hold in self.holds.values_mut() {
            hold.advance(to);
        }
    }

    pub fn remove(&mut self, id: CollectionId) -> Option<ReadHold> {
        self.holds.remove(&id)
    }

    pub fn ids(&self) -> impl Iterator<Item = CollectionId> + '_ {
        self.holds.keys().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.holds.is_empty()
    }
}

/// Keeps an index's since from moving on.
#[derive(Debug)]
pub(crate) struct IndexHold {
    table: Arc<IndexHolds>,
    id: CollectionId,
    at: Timestamp,
}

impl IndexHold {
    fn advance(&mut self, to: Timestamp) {
        if to > self.at {
            if let Some(entry) = self.table.entries.lock().get_mut(&self.id) {
                entry.remove(self.at);
                entry.add(to);
            }
            self.at = to;
        }
    }
}

impl Clone for IndexHold {
    fn clone(&self) -> IndexHold {
        if let Some(entry) = self.table.entries.lock().get_mut(&self.id) {
            entry.add(self.at);
        }
        IndexHold { table: Arc::clone(&self.table), id: self.id, at: self.at }
    }
}

impl Drop for IndexHold {
    fn drop(&mut self) {
        if let Some(entry) = self.table.entries.lock().get_mut(&self.id) {
            entry.remove(self.at);
        }
    }
}

/// The holds on all indexes.
#[derive(Debug, Default)]
pub(crate) struct IndexHolds {
    entries: Mutex<BTreeMap<CollectionId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    floor: Timestamp,
    counts: BTreeMap<Timestamp, u64>,
}

impl Entry {
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

impl IndexHolds {
    /// Starts to keep an index, readable from `since`.
    pub(crate) fn insert(&self, id: CollectionId, since: Timestamp) {
        self.entries.lock().insert(id, Entry { floor: since, counts: BTreeMap::new() });
    }

    /// A dropped index grants no more holds; those that exist keep nothing.
    pub(crate) fn remove(&self, id: CollectionId) {
        self.entries.lock().remove(&id);
    }

    pub(crate) fn since(&self, id: CollectionId) -> Option<Timestamp> {
        self.entries.lock().get(&id).map(|entry| entry.floor)
    }

    /// Takes a hold at `at`, or at the since if `at` is none. Err: below the since, which it tells, or no such index.
    pub(crate) fn hold(
        self: &Arc<Self>,
        id: CollectionId,
        at: Option<Timestamp>,
    ) -> Result<IndexHold, Option<Timestamp>> {
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(&id).ok_or(None)?;
        let at = at.unwrap_or(entry.floor);
        if at < entry.floor {
            return Err(Some(entry.floor));
        }
        entry.add(at);
        Ok(IndexHold { table: Arc::clone(self), id, at })
    }

    /// Raises the since toward `wanted` as far as the holds allow; the new since if it moved.
    pub(crate) fn propose(&self, id: CollectionId, wanted: Timestamp) -> Option<Timestamp> {
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(&id)?;
        let least = entry.counts.keys().next().copied().unwrap_or(Timestamp::MAX);
        let since = wanted.min(least);
        if since <= entry.floor {
            return None;
        }
        entry.floor = since;
        Some(since)
    }
}
