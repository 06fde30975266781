//! The commands a cluster's replicas must know, in order: a new or returning replica replays them.
//!
//! Entries keep their position for ever; [`History::reduce`] only removes entries that no longer matter, and only such as
//! every live connection has been sent already, so that no replica misses a drop. As-ofs are not kept up to date here:
//! whoever sends a dataflow puts the time to which its inputs are held.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{ComputeCommand, PeekId, StorageCommand};
use repr::{CollectionId, ReplicaId};

/// A command of either protocol.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    Compute(ComputeCommand),
    Storage(StorageCommand),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) command: Command,
    /// None: for every replica.
    pub(crate) target: Option<ReplicaId>,
}

/// Entries below which reduction is not worth its while.
const REDUCE_MIN: usize = 256;

#[derive(Debug)]
pub(crate) struct History {
    entries: BTreeMap<u64, Entry>,
    /// The position of the next entry; the first is 1.
    next: u64,
    /// Reduce when there are as many entries: twice what the last reduction left.
    reduce_at: usize,
}

impl Default for History {
    fn default() -> History {
        History { entries: BTreeMap::new(), next: 1, reduce_at: REDUCE_MIN }
    }
}

impl History {
    pub(crate) fn push(&mut self, command: Command, target: Option<ReplicaId>) {
        self.entries.insert(self.next, Entry { command, target });
        self.next += 1;
    }

    /// The position of the newest entry ever pushed.
    pub(crate) fn head(&self) -> u64 {
        self.next - 1
    }

    /// The entries after a position, in order.
    pub(crate) fn after(&self, position: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.range(position.saturating_add(1)..).map(|(position, entry)| (*position, entry))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when the number of entries has doubled since the last reduction.
    pub(crate) fn is_due(&self) -> bool {
        self.entries.len() >= self.reduce_at
    }

    /// Removes what no longer matters from the entries up to `sent`, which every live connection has been sent.
    pub(crate) fn reduce(&mut self, sent: u64, is_pending: impl Fn(PeekId) -> bool) {
        let facts = Facts::of(self.entries.range(..=sent).map(|(position, entry)| (*position, entry)));
        let dead: Vec<u64> = self
            .entries
            .range(..=sent)
            .filter(|(position, entry)| !facts.keeps(**position, entry, &is_pending))
            .map(|(position, _)| *position)
            .collect();
        for position in dead {
            self.entries.remove(&position);
        }
        self.reduce_at = (self.entries.len() * 2).max(REDUCE_MIN);
    }
}

/// What the sent prefix says as a whole.
#[derive(Default)]
struct Facts {
    dropped: BTreeSet<CollectionId>,
    /// Exports of dataflows of which at least one export lives.
    live: BTreeSet<CollectionId>,
    /// Positions of the newest compaction of each export.
    newest_compaction: BTreeMap<CollectionId, u64>,
    dropped_ingestions: BTreeSet<CollectionId>,
    newest_ingestion: BTreeMap<CollectionId, u64>,
}

impl Facts {
    fn of<'a>(prefix: impl Iterator<Item = (u64, &'a Entry)> + Clone) -> Facts {
        let mut facts = Facts::default();
        for (position, entry) in prefix.clone() {
            match &entry.command {
                Command::Compute(ComputeCommand::AllowCompaction { id, since }) => {
                    facts.newest_compaction.insert(*id, position);
                    if since.is_none() {
                        facts.dropped.insert(*id);
                    }
                }
                Command::Storage(StorageCommand::AllowCompaction { id, since: None }) => {
                    facts.dropped_ingestions.insert(*id);
                }
                Command::Storage(StorageCommand::RunIngestion(ingestion)) => {
                    facts.newest_ingestion.insert(ingestion.id, position);
                }
                _ => {}
            }
        }
        for (_, entry) in prefix {
            if let Command::Compute(ComputeCommand::CreateDataflow(dataflow)) = &entry.command
                && dataflow.exports.iter().any(|export| !facts.dropped.contains(&export.id()))
            {
                facts.live.extend(dataflow.exports.iter().map(protocol::Export::id));
            }
        }
        facts
    }

    fn keeps(&self, position: u64, entry: &Entry, is_pending: &impl Fn(PeekId) -> bool) -> bool {
        match &entry.command {
            Command::Compute(command) => match command {
                ComputeCommand::Hello(_) | ComputeCommand::InitializationComplete => false,
                ComputeCommand::CreateDataflow(dataflow) => {
                    dataflow.exports.iter().any(|export| self.live.contains(&export.id()))
                }
                ComputeCommand::AllowWrites(id) => self.live.contains(id) && !self.dropped.contains(id),
                ComputeCommand::AllowCompaction { id, .. } => {
                    self.live.contains(id) && self.newest_compaction.get(id) == Some(&position)
                }
                ComputeCommand::Peek(peek) => is_pending(peek.id),
                // Whoever was sent the peek has been sent this too; the peek itself is no longer pending.
                ComputeCommand::CancelPeek(_) => false,
            },
            Command::Storage(command) => match command {
                StorageCommand::Hello(_) | StorageCommand::InitializationComplete | StorageCommand::Compact { .. } => {
                    false
                }
                StorageCommand::RunIngestion(ingestion) => {
                    !self.dropped_ingestions.contains(&ingestion.id)
                        && self.newest_ingestion.get(&ingestion.id) == Some(&position)
                }
                StorageCommand::AllowCompaction { id, since } => {
                    since.is_some() && !self.dropped_ingestions.contains(id)
                }
            },
        }
    }
}
