//! What sessions call.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use parking_lot::Mutex;
use protocol::source::Ingestion;
use protocol::storage::SourceStatus;
use protocol::{ComputeCommand, Dataflow, Export, Import, Peek, PeekId, PeekTarget, StorageCommand};
use repr::{ClusterId, CollectionId, ReplicaId, ServiceId, ShardId, Timestamp};
use stdx::{Rng, Task, Tasks};
use tokio::sync::{Notify, oneshot, watch};

use crate::durable::{Durable, Frontiers};
use crate::history::Command;
use crate::hold::{IndexHolds, ReadHold, ReadHolds};
use crate::launch::{ReplicaLauncher, ReplicaSize, ReplicaSpec};
use crate::maintain;
use crate::peek::{PeekHandle, PendingPeek};
use crate::replica;
use crate::reports::ProcessReport;
use crate::state::{Cluster, Collection, DataflowState, IngestionState, Replica, State};
use crate::subscribe::{PendingSubscribe, SubscribeHandle};

/// How far the since of an index trails its upper unless something holds it further back.
pub(crate) const INDEX_LAG: Duration = Duration::from_secs(1);

/// For how long a replica that was never reached counts as starting.
const START_MAX: Duration = Duration::from_secs(60);

/// What a controller is made of.
pub struct ControllerConfig {
    pub tasks: Tasks,
    pub rng: Rng,
    pub durable: Arc<dyn Durable>,
    pub launcher: Arc<dyn ReplicaLauncher>,
    /// Our version; replicas of another are refused.
    pub version: String,
}

/// The caller asked for what cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControllerError {
    #[error("collection {0} does not exist")]
    UnknownCollection(CollectionId),
    #[error("cluster {0} does not exist")]
    UnknownCluster(ClusterId),
    #[error("{id} cannot be read at {at}: its since is {since}")]
    BelowSince { id: CollectionId, at: Timestamp, since: Timestamp },
}

/// How a replica is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaStatus {
    pub replica: ReplicaId,
    pub name: String,
    pub size: ReplicaSize,
    pub connected: bool,
    /// All that is maintained has passed its as-of.
    pub hydrated: bool,
    /// How often a connection was lost or could not be made.
    pub disconnects: u64,
    pub last_error: Option<String>,
    /// One for each process.
    pub processes: Vec<ProcessState>,
}

/// How one process of a replica is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessState {
    /// It answers us: the replica is connected.
    pub online: bool,
    /// Why it is not, if something is known.
    pub reason: Option<String>,
    /// What its orchestrator tells.
    pub report: ProcessReport,
}

impl ProcessState {
    fn of(replica: &Replica, report: ProcessReport, now: Duration) -> ProcessState {
        let online = replica.connection.is_some();
        // Whatever was told of it once: it answers.
        let told = report.history.last().and_then(|last| last.reason.clone());
        let reason = if online { None } else { told.or_else(|| why_not_connected(replica, now)) };
        ProcessState { online, reason, report }
    }
}

/// Why we do not reach a replica whose processes run as far as is known. That one which has just been made is not there yet
/// says more than which attempt to reach it failed and how.
fn why_not_connected(replica: &Replica, now: Duration) -> Option<String> {
    if !replica.was_connected && now.saturating_sub(replica.made) < START_MAX {
        return Some("initializing".to_owned());
    }
    replica.last_error.as_ref().map(|error| format!("not connected: {error}"))
}

/// The handle that sessions share. Its tasks end when the last clone is dropped.
#[derive(Clone)]
pub struct Controller {
    pub(crate) shared: Arc<Shared>,
    _owner: Arc<Owner>,
}

/// What the handle and its tasks share.
pub(crate) struct Shared {
    pub(crate) tasks: Tasks,
    pub(crate) rng: Rng,
    pub(crate) durable: Arc<dyn Durable>,
    pub(crate) launcher: Arc<dyn ReplicaLauncher>,
    pub(crate) version: String,
    pub(crate) state: Mutex<State>,
    pub(crate) index_holds: Arc<IndexHolds>,
    /// Counts movements of the uppers of what is computed; durable ones are the leader's to tell.
    pub(crate) changes: watch::Sender<u64>,
}

/// Ends the task with the last handle: it holds `Shared` itself.
struct Owner {
    shared: Arc<Shared>,
    _sinces: Task,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut tasks: Vec<Task> = Vec::new();
        let mut state = self.shared.state.lock();
        for replica in state.clusters.values_mut().flat_map(|cluster| cluster.replicas.values_mut()) {
            tasks.extend(replica.task.take());
        }
        drop(state);
        // Aborting runs destructors, which may take the lock.
        drop(tasks);
    }
}

impl Shared {
    pub(crate) fn bump(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn frontiers(&self, id: CollectionId) -> Option<Frontiers> {
        let shard = match self.state.lock().collections.get(&id)? {
            Collection::Index { upper, .. } => {
                let (since, upper) = (self.index_holds.since(id)?, *upper);
                return Some(Frontiers { since, upper });
            }
            Collection::Shard(shard) => *shard,
        };
        self.durable.frontiers(shard)
    }

    fn hold(&self, id: CollectionId, at: Option<Timestamp>) -> Result<ReadHold, ControllerError> {
        let shard = match self.state.lock().collections.get(&id) {
            Some(Collection::Shard(shard)) => Some(*shard),
            Some(Collection::Index { .. }) => None,
            None => return Err(ControllerError::UnknownCollection(id)),
        };
        let held = match shard {
            Some(shard) => self.durable.hold(shard, at).map(|hold| ReadHold::shard(id, hold)),
            None => self.index_holds.hold(id, at).map(ReadHold::index),
        };
        held.map_err(|since| not_held(id, at, since))
    }
}

fn not_held(id: CollectionId, at: Option<Timestamp>, since: Option<Timestamp>) -> ControllerError {
    match (since, at) {
        (Some(since), Some(at)) => ControllerError::BelowSince { id, at, since },
        _ => ControllerError::UnknownCollection(id),
    }
}

impl Controller {
    pub fn new(config: ControllerConfig) -> Controller {
        let ControllerConfig { tasks, rng, durable, launcher, version } = config;
        let shared = Arc::new(Shared {
            tasks: tasks.clone(),
            rng,
            durable,
            launcher,
            version,
            state: Mutex::default(),
            index_holds: Arc::default(),
            changes: watch::Sender::new(0),
        });
        let sinces = tasks.spawn("controller: sinces", maintain::run(Arc::clone(&shared)));
        Controller { shared: Arc::clone(&shared), _owner: Arc::new(Owner { shared, _sinces: sinces }) }
    }

    pub fn create_cluster(&self, id: ClusterId) {
        self.shared.state.lock().clusters.entry(id).or_default();
    }

    /// Drops a cluster with its replicas and everything that runs on it. Its collections must be dropped by their ids too.
    pub fn drop_cluster(&self, id: ClusterId) {
        let dropped = self.shared.state.lock().clusters.remove(&id);
        let Some(mut cluster) = dropped else { return };
        for replica in cluster.replicas.values_mut() {
            drop(replica.task.take());
            self.shared.launcher.stop(&replica.spec);
        }
        for subscribe in cluster.subscribes.values() {
            subscribe.lock().end();
        }
    }

    /// Starts a replica. It is sent everything its cluster has once `initialization_complete` was called.
    pub fn create_replica(
        &self,
        cluster: ClusterId,
        replica: ReplicaId,
        name: String,
        service: ServiceId,
        size: ReplicaSize,
    ) {
        let generation = self.shared.durable.identity().generation;
        let spec = ReplicaSpec { cluster, replica, generation, name, service, size };
        {
            let mut state = self.shared.state.lock();
            let Some(owner) = state.clusters.get_mut(&cluster) else { return };
            if owner.replicas.contains_key(&replica) {
                return;
            }
            owner.replicas.insert(replica, Replica::new(spec.clone(), self.shared.tasks.clock().boot()));
            owner.place_ingestions();
        }
        let task = self.shared.tasks.spawn("controller: replica", replica::run(Arc::clone(&self.shared), spec));
        let mut state = self.shared.state.lock();
        match state.clusters.get_mut(&cluster).and_then(|owner| owner.replicas.get_mut(&replica)) {
            Some(entry) => entry.task = Some(task),
            None => {
                // Dropped meanwhile by another session.
                drop(state);
                drop(task);
            }
        }
    }

    pub fn drop_replica(&self, cluster: ClusterId, replica: ReplicaId) {
        let dropped = {
            let mut state = self.shared.state.lock();
            let Some(owner) = state.clusters.get_mut(&cluster) else { return };
            let dropped = owner.replicas.remove(&replica);
            owner.forget_answers(replica);
            owner.place_ingestions();
            dropped
        };
        if let Some(mut replica) = dropped {
            drop(replica.task.take());
            self.shared.launcher.stop(&replica.spec);
        }
    }

    pub fn has_replicas(&self, cluster: ClusterId) -> bool {
        let state = self.shared.state.lock();
        state.clusters.get(&cluster).is_some_and(|cluster| !cluster.replicas.is_empty())
    }

    /// The replicas of a cluster, by id.
    pub fn replica_status(&self, cluster: ClusterId) -> Vec<ReplicaStatus> {
        let state = self.shared.state.lock();
        let Some(cluster) = state.clusters.get(&cluster) else { return Vec::new() };
        let now = self.shared.tasks.clock().boot();
        let status = |(id, replica): (&ReplicaId, &Replica)| ReplicaStatus {
            replica: *id,
            name: replica.spec.name.clone(),
            size: replica.spec.size,
            connected: replica.connection.is_some(),
            hydrated: cluster.is_hydrated(replica),
            disconnects: replica.disconnects,
            last_error: replica.last_error.clone(),
            processes: {
                let mut reports = self.shared.launcher.reports(&replica.spec);
                reports.resize(replica.spec.size.processes, ProcessReport::default());
                reports.into_iter().map(|report| ProcessState::of(replica, report, now)).collect()
            },
        };
        cluster.replicas.iter().map(status).collect()
    }

    /// The replicas of a cluster that could answer now whatever it maintains.
    pub fn hydrated_replicas(&self, cluster: ClusterId) -> BTreeSet<ReplicaId> {
        let state = self.shared.state.lock();
        let Some(cluster) = state.clusters.get(&cluster) else { return BTreeSet::new() };
        let hydrated = cluster.replicas.iter().filter(|(_, replica)| cluster.is_hydrated(replica));
        hydrated.map(|(id, _)| *id).collect()
    }

    /// What a source last said of itself.
    pub fn source_status(&self, id: CollectionId) -> Option<SourceStatus> {
        self.shared.state.lock().sources.get(&id).cloned()
    }

    /// Makes a durable collection known: a table, a materialized view, a source's export or its remap shard.
    pub fn create_collection(&self, id: CollectionId, shard: ShardId) {
        self.shared.state.lock().collections.insert(id, Collection::Shard(shard));
        self.shared.bump();
    }

    /// Builds a dataflow on every replica of a cluster, now and after each of their restarts.
    ///
    /// Precondition: the caller holds every import at or below `as_of`; the controller takes its own holds, also on the shard
    /// of a materialized view.
    /// Errors: an import is unknown or cannot be held at `as_of`; nothing was done then.
    pub fn create_dataflow(&self, cluster: ClusterId, dataflow: Dataflow) -> Result<(), ControllerError> {
        let mut holds = ReadHolds::default();
        let mut imports = Vec::with_capacity(dataflow.imports.len());
        for import in &dataflow.imports {
            let id = match import {
                Import::Index { index, .. } => *index,
                Import::Shard { id, .. } => *id,
            };
            imports.push(id);
            holds.insert(self.shared.hold(id, Some(dataflow.as_of))?);
        }
        for export in &dataflow.exports {
            // The view's sink reads back what the view has, from the same as-of on.
            if let Export::MaterializedView { id, shard, .. } = export {
                let hold = self.shared.durable.hold(*shard, Some(dataflow.as_of));
                let hold = hold.map_err(|since| not_held(*id, Some(dataflow.as_of), since))?;
                holds.insert(ReadHold::shard(*id, hold));
            }
        }
        let mut state = self.shared.state.lock();
        let State { clusters, collections, .. } = &mut *state;
        let owner = clusters.get_mut(&cluster).ok_or(ControllerError::UnknownCluster(cluster))?;
        let Some(key) = dataflow.exports.first().map(Export::id) else { return Ok(()) };
        if owner.dataflows.contains_key(&key) {
            return Ok(());
        }
        let mut writes = Vec::new();
        for export in &dataflow.exports {
            owner.exports.insert(export.id(), key);
            match export {
                Export::Index { index, .. } => {
                    self.shared.index_holds.insert(*index, dataflow.as_of);
                    collections.insert(*index, Collection::Index { cluster, upper: Timestamp::MIN });
                }
                Export::MaterializedView { id, .. } => writes.push(*id),
                Export::Subscribe { id, up_to, .. } => {
                    let pending = PendingSubscribe::new(dataflow.as_of, *up_to);
                    owner.subscribes.entry(*id).or_insert_with(|| Arc::new(Mutex::new(pending)));
                }
            }
        }
        let (exports, as_of) = (dataflow.exports.clone(), dataflow.as_of);
        let reads = dataflow.imports.iter().map(Import::on).collect();
        owner.dataflows.insert(key, DataflowState { exports, imports, reads, as_of, holds });
        owner.push_compute(ComputeCommand::CreateDataflow(Box::new(dataflow)));
        for id in writes {
            owner.push_compute(ComputeCommand::AllowWrites(id));
        }
        Ok(())
    }

    /// Builds a dataflow with one subscribe export and yields its batches. Precondition and errors as `create_dataflow`.
    pub fn subscribe(&self, cluster: ClusterId, dataflow: Dataflow) -> Result<SubscribeHandle, ControllerError> {
        let export = dataflow.exports.iter().find(|export| matches!(export, Export::Subscribe { .. }));
        let id = export.expect("a subscribe's dataflow exports a subscribe").id();
        self.create_dataflow(cluster, dataflow)?;
        let state = self.shared.state.lock();
        let subscribe = state.clusters.get(&cluster).and_then(|cluster| cluster.subscribes.get(&id));
        let state = Arc::clone(subscribe.ok_or(ControllerError::UnknownCluster(cluster))?);
        let notify = Arc::clone(&state.lock().notify);
        Ok(SubscribeHandle { controller: self.clone(), id, state, notify })
    }

    /// Runs a source on one replica of the cluster, or changes its exports. Its shards must have been made known.
    pub fn run_ingestion(&self, cluster: ClusterId, ingestion: Ingestion) -> Result<(), ControllerError> {
        let hold = self.shared.durable.hold(ingestion.remap_shard, None);
        let hold = hold.map_err(|_| ControllerError::UnknownCollection(ingestion.id))?;
        let mut holds = ReadHolds::default();
        holds.insert(ReadHold::shard(ingestion.id, hold));
        let mut state = self.shared.state.lock();
        let owner = state.clusters.get_mut(&cluster).ok_or(ControllerError::UnknownCluster(cluster))?;
        match owner.ingestions.get_mut(&ingestion.id) {
            // The hold that exists may be the earlier one.
            Some(running) => running.ingestion = ingestion.clone(),
            None => {
                owner.ingestions.insert(ingestion.id, IngestionState { ingestion: ingestion.clone(), holds });
            }
        }
        owner.push_storage(StorageCommand::RunIngestion(Box::new(ingestion)));
        Ok(())
    }

    /// Drops indexes, materialized views, sources, tables, subscribes, in any order; unknown ids are ignored.
    /// A subscribe that reads a dropped collection ends. An index runs on for as long as a dataflow reads by it: a replica that
    /// starts anew must find it when it builds that dataflow.
    pub fn drop_collections(&self, ids: Vec<CollectionId>) {
        let mut holds = Vec::new();
        {
            let mut state = self.shared.state.lock();
            state.doomed.extend(ids);
            while let Some(id) = state.next_to_drop() {
                state.doomed.remove(&id);
                state.collections.remove(&id);
                state.sources.remove(&id);
                self.shared.index_holds.remove(id);
                for cluster in state.clusters.values_mut() {
                    for subscribe in cluster.subscribes_reading(id) {
                        cluster.drop_collection(subscribe, &mut holds);
                    }
                    cluster.drop_collection(id, &mut holds);
                }
            }
            state.release(self.shared.tasks.clock().boot(), holds);
        }
        self.shared.bump();
    }

    /// Everything that the catalog has on this cluster was created: replicas may connect. Idempotent.
    pub fn initialization_complete(&self, cluster: ClusterId) {
        let mut state = self.shared.state.lock();
        let Some(owner) = state.clusters.get_mut(&cluster) else { return };
        owner.initialized = true;
        for replica in owner.replicas.values() {
            replica.notify.notify_one();
        }
    }

    /// Stops replicas that run from earlier starts and were not created since. Call once after boot.
    pub async fn stop_leftovers(&self) {
        let keep: Vec<ReplicaSpec> = {
            let state = self.shared.state.lock();
            let replicas = state.clusters.values().flat_map(|cluster| cluster.replicas.values());
            replicas.map(|replica| replica.spec.clone()).collect()
        };
        self.shared.launcher.retain(&keep).await;
    }

    /// Holds each collection at its since. All or none.
    pub fn acquire_holds(&self, ids: &[CollectionId]) -> Result<ReadHolds, ControllerError> {
        let mut holds = ReadHolds::default();
        for id in ids {
            holds.insert(self.shared.hold(*id, None)?);
        }
        Ok(holds)
    }

    /// As `acquire_holds`, of those of the collections that exist: one may be dropped while its name is still being read.
    pub fn acquire_holds_of_existing(&self, ids: &[CollectionId]) -> ReadHolds {
        let mut holds = ReadHolds::default();
        ids.iter().filter_map(|id| self.shared.hold(*id, None).ok()).for_each(|hold| holds.insert(hold));
        holds
    }

    /// Holds one collection at a time of the caller's.
    pub fn acquire_hold_at(&self, id: CollectionId, at: Timestamp) -> Result<ReadHold, ControllerError> {
        self.shared.hold(id, Some(at))
    }

    /// Since and upper. An index's upper is the greatest of any replica, a shard's is durable.
    pub fn frontiers(&self, id: CollectionId) -> Option<Frontiers> {
        self.shared.frontiers(id)
    }

    /// Waits until the collection's upper is beyond `at`. Errors: it does not exist, or is dropped meanwhile.
    ///
    /// Cancel safety: may be dropped at any await.
    pub async fn wait_upper(&self, id: CollectionId, at: Timestamp) -> Result<Timestamp, ControllerError> {
        let (mut computed, mut durable) = (self.shared.changes.subscribe(), self.shared.durable.changes());
        loop {
            computed.mark_unchanged();
            durable.mark_unchanged();
            let frontiers = self.frontiers(id).ok_or(ControllerError::UnknownCollection(id))?;
            if frontiers.upper > at {
                return Ok(frontiers.upper);
            }
            let computed = std::pin::pin!(computed.changed());
            let durable = std::pin::pin!(durable.changed());
            if let Either::Right((Err(_), computed)) = select(computed, durable).await {
                // The leader has ended and so will this process.
                let _ = computed.await;
            }
        }
    }

    /// Asks every replica, or one, to read an index. Replicas answer once their upper has passed the peek's time.
    ///
    /// Errors: the index is unknown in this cluster, or cannot be held at the peek's time.
    pub fn peek(
        &self,
        cluster: ClusterId,
        peek: Peek,
        target: Option<ReplicaId>,
    ) -> Result<PeekHandle, ControllerError> {
        let PeekTarget::Index { index, .. } = &peek.target;
        let hold = self.shared.hold(*index, Some(peek.at))?;
        let (sender, receiver) = oneshot::channel();
        let id = peek.id;
        let mut state = self.shared.state.lock();
        let owner = state.clusters.get_mut(&cluster).ok_or(ControllerError::UnknownCluster(cluster))?;
        if !owner.exports.contains_key(index) {
            return Err(ControllerError::UnknownCollection(*index));
        }
        owner.peeks.insert(id, PendingPeek::new(peek.clone(), target, hold, sender));
        owner.push(Command::Compute(ComputeCommand::Peek(Box::new(peek))), target);
        drop(state);
        Ok(PeekHandle { controller: self.clone(), cluster, id, receiver })
    }

    /// Ends a peek that is still pending.
    pub(crate) fn cancel_peek(&self, cluster: ClusterId, id: PeekId) {
        let pending = {
            let mut state = self.shared.state.lock();
            state.clusters.get_mut(&cluster).and_then(|cluster| cluster.end_peek(id, None))
        };
        drop(pending);
    }
}

impl Replica {
    fn new(spec: ReplicaSpec, made: Duration) -> Replica {
        Replica {
            spec,
            made,
            was_connected: false,
            notify: Arc::new(Notify::new()),
            task: None,
            connection: None,
            uppers: BTreeMap::new(),
            merges: VecDeque::new(),
            disconnects: 0,
            last_error: None,
        }
    }
}

impl Cluster {
    /// Takes a peek out; replicas other than `answered` that were sent it are told.
    pub(crate) fn end_peek(&mut self, id: PeekId, answered: Option<ReplicaId>) -> Option<PendingPeek> {
        let pending = self.peeks.remove(&id)?;
        let asked = |replica: &ReplicaId| pending.target.is_none_or(|target| target == *replica);
        if self.replicas.keys().any(|replica| Some(*replica) != answered && asked(replica)) {
            self.push(Command::Compute(ComputeCommand::CancelPeek(id)), pending.target);
        }
        Some(pending)
    }

    /// A replica will be asked again, or never: what it has answered so far counts no more.
    pub(crate) fn forget_answers(&mut self, replica: ReplicaId) {
        for peek in self.peeks.values_mut() {
            peek.forget(replica);
        }
        for subscribe in self.subscribes.values() {
            subscribe.lock().forget(replica);
        }
    }

    fn subscribes_reading(&self, id: CollectionId) -> Vec<CollectionId> {
        let flow = |subscribe: &CollectionId| self.exports.get(subscribe).and_then(|key| self.dataflows.get(key));
        let reads = |subscribe: &&CollectionId| flow(subscribe).is_some_and(|flow| flow.reads.contains(&id));
        self.subscribes.keys().filter(reads).copied().collect()
    }

    fn drop_collection(&mut self, id: CollectionId, holds: &mut Vec<ReadHolds>) {
        if let Some(ingestion) = self.ingestions.remove(&id) {
            holds.push(ingestion.holds);
            self.push_storage(StorageCommand::AllowCompaction { id, since: None });
        }
        let Some(key) = self.exports.remove(&id) else { return };
        if let Some(subscribe) = self.subscribes.remove(&id) {
            subscribe.lock().end();
        }
        let reads = |peek: &PendingPeek| matches!(&peek.peek.target, PeekTarget::Index { index, .. } if *index == id);
        let peeks: Vec<PeekId> = self.peeks.iter().filter(|(_, peek)| reads(peek)).map(|(id, _)| *id).collect();
        for peek in peeks {
            // Dropping the sender tells the session that the peek was canceled.
            drop(self.end_peek(peek, None));
        }
        if !self.exports.values().any(|other| *other == key)
            && let Some(flow) = self.dataflows.remove(&key)
        {
            holds.push(flow.holds);
        }
        self.push_compute(ComputeCommand::AllowCompaction { id, since: None });
        for replica in self.replicas.values_mut() {
            replica.uppers.remove(&id);
        }
    }
}
