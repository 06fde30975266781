//! What the controller knows, under one lock that no await holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::source::Ingestion;
use protocol::storage::SourceStatus;
use protocol::{ComputeCommand, Export, PeekId, StorageCommand};
use repr::{ClusterId, CollectionId, ReplicaId, ShardId, Timestamp};
use stdx::Task;
use tokio::sync::Notify;

use crate::history::{Command, History};
use crate::hold::ReadHolds;
use crate::launch::ReplicaSpec;
use crate::merge::{MergeOrder, Merges};
use crate::peek::PendingPeek;
use crate::subscribe::PendingSubscribe;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) clusters: BTreeMap<ClusterId, Cluster>,
    pub(crate) collections: BTreeMap<CollectionId, Collection>,
    pub(crate) sources: BTreeMap<CollectionId, SourceStatus>,
    /// What is dropped, but for indexes that a dataflow still imports.
    pub(crate) doomed: BTreeSet<CollectionId>,
    /// Holds of dropped dataflows, with the boot time at which they go: a replica that was just sent one may still be
    /// opening its inputs.
    pub(crate) released: VecDeque<(Duration, Vec<ReadHolds>)>,
    pub(crate) merges: Merges,
}

/// How long inputs stay held after their dataflow was dropped.
const RELEASE_DELAY: Duration = Duration::from_secs(10);

impl State {
    /// Something doomed that nobody needs any more.
    pub(crate) fn next_to_drop(&self) -> Option<CollectionId> {
        let is_imported_index = |id: &CollectionId| {
            let Some(Collection::Index { cluster, .. }) = self.collections.get(id) else { return false };
            let owner = self.clusters.get(cluster);
            owner.is_some_and(|owner| owner.dataflows.values().any(|flow| flow.imports.contains(id)))
        };
        self.doomed.iter().find(|id| !is_imported_index(id)).copied()
    }

    /// Lets holds go after a while.
    pub(crate) fn release(&mut self, now: Duration, holds: Vec<ReadHolds>) {
        if !holds.is_empty() {
            self.released.push_back((now + RELEASE_DELAY, holds));
        }
    }

    /// The holds whose time has come.
    pub(crate) fn take_released(&mut self, now: Duration) -> Vec<ReadHolds> {
        let mut due = Vec::new();
        while let Some((_, holds)) = self.released.pop_front_if(|(at, _)| *at <= now) {
            due.extend(holds);
        }
        due
    }
}

/// Where a collection can be read.
pub(crate) enum Collection {
    Shard(ShardId),
    /// Its since is in the table of index holds. The upper is the greatest that any replica has reached: it never goes back.
    Index {
        cluster: ClusterId,
        upper: Timestamp,
    },
}

/// A cluster's commands and what came of them.
#[derive(Default)]
pub(crate) struct Cluster {
    pub(crate) history: History,
    /// Replicas connect once everything that the catalog knows of has been created.
    pub(crate) initialized: bool,
    pub(crate) replicas: BTreeMap<ReplicaId, Replica>,
    /// By the id of the first export.
    pub(crate) dataflows: BTreeMap<CollectionId, DataflowState>,
    /// The dataflow of each export that was not dropped.
    pub(crate) exports: BTreeMap<CollectionId, CollectionId>,
    pub(crate) ingestions: BTreeMap<CollectionId, IngestionState>,
    /// The replica that runs them.
    pub(crate) ingesting: Option<ReplicaId>,
    pub(crate) peeks: BTreeMap<PeekId, PendingPeek>,
    pub(crate) subscribes: BTreeMap<CollectionId, Arc<Mutex<PendingSubscribe>>>,
}

/// A dataflow with at least one live export.
pub(crate) struct DataflowState {
    pub(crate) exports: Vec<Export>,
    pub(crate) imports: Vec<CollectionId>,
    /// The collections that the imports stand for: an index stands for what it is on.
    pub(crate) reads: Vec<CollectionId>,
    /// The as-of at which a replica that connects now builds it: its inputs are held there.
    pub(crate) as_of: Timestamp,
    pub(crate) holds: ReadHolds,
}

pub(crate) struct IngestionState {
    pub(crate) ingestion: Ingestion,
    /// Holds the remap shard at what the slowest export resumes from.
    pub(crate) holds: ReadHolds,
}

/// A replica and its connection, if it has one.
pub(crate) struct Replica {
    pub(crate) spec: ReplicaSpec,
    /// By the clock that only goes forward.
    pub(crate) made: Duration,
    pub(crate) was_connected: bool,
    /// Wakes the connection's sender: there is a new entry.
    pub(crate) notify: Arc<Notify>,
    pub(crate) task: Option<Task>,
    pub(crate) connection: Option<Connection>,
    /// Of each export, each process's upper, as told on this connection.
    pub(crate) uppers: BTreeMap<CollectionId, Vec<Timestamp>>,
    /// Merges to be sent on this connection.
    pub(crate) merges: VecDeque<MergeOrder>,
    /// How often a connection was lost or could not be made.
    pub(crate) disconnects: u64,
    pub(crate) last_error: Option<String>,
}

/// What one connection has been sent.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// The position of the last entry sent.
    pub(crate) cursor: u64,
    /// The last position of the replay.
    pub(crate) replay_until: u64,
    pub(crate) replayed: bool,
    /// The number of the last command sent, over both protocols.
    pub(crate) sequence: u64,
    /// The number of the last computectl command for the workers: what a peek must wait for.
    pub(crate) compute_sequence: u64,
    /// Dataflows dropped before this connection was sent them; their compactions are not sent either.
    pub(crate) skipped: BTreeSet<CollectionId>,
    /// The as-of at which each export was sent.
    pub(crate) sent_as_of: BTreeMap<CollectionId, Timestamp>,
}

impl Replica {
    /// The upper of an export over all processes, as told on this connection.
    pub(crate) fn upper(&self, id: CollectionId) -> Timestamp {
        self.uppers.get(&id).and_then(|uppers| uppers.iter().min().copied()).unwrap_or(Timestamp::MIN)
    }
}

impl Cluster {
    /// Adds a command for the replicas and wakes them.
    pub(crate) fn push(&mut self, command: Command, target: Option<ReplicaId>) {
        self.history.push(command, target);
        for replica in self.replicas.values() {
            replica.notify.notify_one();
        }
        if self.history.is_due() {
            self.reduce();
        }
    }

    pub(crate) fn push_compute(&mut self, command: ComputeCommand) {
        self.push(Command::Compute(command), None);
    }

    pub(crate) fn push_storage(&mut self, command: StorageCommand) {
        self.push(Command::Storage(command), None);
    }

    /// Drops from the history what every live connection knows and no new one needs to.
    pub(crate) fn reduce(&mut self) {
        let connections = self.replicas.values().filter_map(|replica| replica.connection.as_ref());
        let sent = connections.map(|connection| connection.cursor).min().unwrap_or(u64::MAX);
        let peeks = &self.peeks;
        self.history.reduce(sent, |id| peeks.contains_key(&id));
    }

    /// Chooses the replica that runs the sources: the one that does, unless it is gone, or unreachable while another is not.
    ///
    /// One that was left behind an outage may go on for a while beside the next; what both append is one and the same.
    pub(crate) fn place_ingestions(&mut self) {
        let connected = |id: &ReplicaId| self.replicas.get(id).is_some_and(|replica| replica.connection.is_some());
        let current = self.ingesting.filter(|id| self.replicas.contains_key(id));
        if current.as_ref().is_some_and(connected) {
            return;
        }
        let reachable = self.replicas.keys().find(|id| connected(id));
        let next = reachable.copied().or(current).or_else(|| self.replicas.keys().next().copied());
        if next == self.ingesting {
            return;
        }
        self.ingesting = next;
        let ingestions: Vec<Ingestion> = self.ingestions.values().map(|state| state.ingestion.clone()).collect();
        for ingestion in ingestions {
            self.push_storage(StorageCommand::RunIngestion(Box::new(ingestion)));
        }
    }

    /// Whether a replica has passed the as-of of all that is maintained; what lives as long as a query does not count, for there
    /// would always be some that has just begun.
    pub(crate) fn is_hydrated(&self, replica: &Replica) -> bool {
        let mut maintained = self.dataflows.iter().filter(|(key, _)| !matches!(key, CollectionId::Transient(_)));
        replica.connection.is_some() && maintained.all(|(key, flow)| replica.upper(*key) > flow.as_of)
    }

    /// The least upper of an export over the replicas that are connected; None if none is.
    pub(crate) fn least_upper(&self, id: CollectionId) -> Option<Timestamp> {
        let connected = self.replicas.values().filter(|replica| replica.connection.is_some());
        connected.map(|replica| replica.upper(id)).min()
    }

    pub(crate) fn dataflow_of(&self, export: CollectionId) -> Option<&DataflowState> {
        self.exports.get(&export).and_then(|key| self.dataflows.get(key))
    }
}
