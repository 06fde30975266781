//! What a leader has had written: over the bytes of the rows that came in, the write amplification.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::leader::core::EntryBatch;
use crate::op::{BatchDesc, Op, Part};

/// Since the leader's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteCounts {
    pub entries: u64,
    /// Of entries, with the rows that are in the entries themselves.
    pub log_bytes: u64,
    pub checkpoint_bytes: u64,
    /// Updates that were appended, before any are merged.
    pub updates: u64,
    /// Of parts that appends have brought, whoever uploaded them.
    pub part_bytes: u64,
    /// Of parts that merges have made.
    pub merged_bytes: u64,
    /// Merges that another process has done.
    pub delegated_merges: u64,
}

#[derive(Default)]
pub(crate) struct WriteCounters {
    entries: AtomicU64,
    log_bytes: AtomicU64,
    checkpoint_bytes: AtomicU64,
    updates: AtomicU64,
    part_bytes: AtomicU64,
    merged_bytes: AtomicU64,
    delegated_merges: AtomicU64,
}

impl WriteCounters {
    /// An entry has become durable.
    pub(crate) fn note_entry(&self, entry: &EntryBatch) {
        add(&self.entries, 1);
        add(&self.log_bytes, entry.body.len() as u64);
        for op in entry.txns.iter().flat_map(|txn| &txn.ops) {
            match op {
                Op::Append { batch: Some(batch), .. } => self.note_appended(batch),
                Op::Commit { appends, .. } => appends.iter().for_each(|(_, _, batch)| self.note_appended(batch)),
                Op::Replace { output, .. } => add(&self.merged_bytes, stored_bytes(output)),
                _ => {}
            }
        }
    }

    pub(crate) fn note_checkpoint(&self, bytes: usize) {
        add(&self.checkpoint_bytes, bytes as u64);
    }

    pub(crate) fn note_delegated(&self) {
        add(&self.delegated_merges, 1);
    }

    fn note_appended(&self, batch: &BatchDesc) {
        add(&self.updates, batch.updates);
        add(&self.part_bytes, stored_bytes(batch));
    }

    pub(crate) fn counts(&self) -> WriteCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WriteCounts {
            entries: get(&self.entries),
            log_bytes: get(&self.log_bytes),
            checkpoint_bytes: get(&self.checkpoint_bytes),
            updates: get(&self.updates),
            part_bytes: get(&self.part_bytes),
            merged_bytes: get(&self.merged_bytes),
            delegated_merges: get(&self.delegated_merges),
        }
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn stored_bytes(batch: &BatchDesc) -> u64 {
    let bytes = batch.parts.iter().map(|part| match part {
        Part::Hollow(hollow) => hollow.bytes,
        Part::Inline(_) => 0,
    });
    bytes.sum()
}
