//! One replica's connections: connect to all its processes, say hello, replay the history, pass commands and answers, and
//! start again whenever anything of it fails. The replica goes on computing meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all, select_all, try_join_all};
use protocol::link::{ComputeDuplex, Link, StorageDuplex};
use protocol::{ComputeCommand, ComputeResponse, Hello, PeekOutcome, Sequenced, StorageCommand, StorageResponse};
use repr::{CollectionId, ReplicaId, Timestamp};
use stdx::{Backoff, Tasks};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::controller::Shared;
use crate::history::Command;
use crate::launch::ReplicaSpec;
use crate::merge::MergeOrder;
use crate::state::{Cluster, Collection, Connection, State};

/// How long a process may take to answer `Hello`.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Processes speak each second; one that is silent for so long is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Commands taken from the history at a time.
const COMMANDS_MAX: usize = 256;

/// Keeps a replica connected for ever. `Shared` outlives it: the owner aborts this task.
pub(crate) async fn run(shared: Arc<Shared>, spec: ReplicaSpec) {
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    loop {
        let reason = match shared.launcher.ensure(&spec) {
            Err(error) => error.to_string(),
            Ok(links) => {
                wait_initialized(&shared, &spec).await;
                match connect(&shared, &links).await {
                    Err(reason) => reason,
                    Ok(ends) => {
                        backoff.reset();
                        tracing::info!(cluster = %spec.cluster, replica = %spec.replica, "replica connected");
                        let reason = converse(&shared, &spec, ends).await;
                        tracing::info!(cluster = %spec.cluster, replica = %spec.replica, reason, "replica disconnected");
                        reason
                    }
                }
            }
        };
        shared.disconnected(&spec, reason);
        shared.tasks.sleep(backoff.next_delay()).await;
    }
}

async fn wait_initialized(shared: &Shared, spec: &ReplicaSpec) {
    loop {
        let notify = {
            let state = shared.state.lock();
            let Some(cluster) = state.clusters.get(&spec.cluster) else { return };
            if cluster.initialized {
                return;
            }
            let Some(replica) = cluster.replicas.get(&spec.replica) else { return };
            Arc::clone(&replica.notify)
        };
        notify.notified().await;
    }
}

/// Both connections of one process.
struct Ends {
    compute: ComputeDuplex,
    storage: StorageDuplex,
}

async fn connect(shared: &Shared, links: &[Arc<dyn Link>]) -> Result<Vec<Ends>, String> {
    let identity = shared.durable.identity();
    let hello = Hello {
        log_id: identity.log_id,
        nonce: Uuid::from_bytes(shared.rng.bytes16()),
        epoch: identity.epoch,
        generation: identity.generation,
        version: shared.version.clone(),
    };
    let greet = try_join_all(links.iter().map(|link| greet(&**link, &hello)));
    match shared.tasks.timeout(HELLO_TIMEOUT, greet).await {
        Ok(ends) => ends,
        Err(_) => Err("no answer to hello".to_owned()),
    }
}

async fn greet(link: &dyn Link, hello: &Hello) -> Result<Ends, String> {
    let mut storage = link.storage().await.map_err(|error| error.to_string())?;
    let mut compute = link.compute().await.map_err(|error| error.to_string())?;
    let refused = || "the replica refused our hello".to_owned();
    let command = StorageCommand::Hello(hello.clone());
    storage.sender.send(Sequenced { sequence: 0, command }).await.map_err(|_| refused())?;
    let command = ComputeCommand::Hello(hello.clone());
    compute.sender.send(Sequenced { sequence: 0, command }).await.map_err(|_| refused())?;
    match storage.receiver.recv().await {
        Some(StorageResponse::Welcome { nonce }) if nonce == hello.nonce => {}
        Some(_) | None => return Err(refused()),
    }
    match compute.receiver.recv().await {
        Some(ComputeResponse::Welcome { nonce }) if nonce == hello.nonce => {}
        Some(_) | None => return Err(refused()),
    }
    Ok(Ends { compute, storage })
}

/// Runs a connection until something of it fails; tells what.
async fn converse(shared: &Arc<Shared>, spec: &ReplicaSpec, ends: Vec<Ends>) -> String {
    let processes = ends.len();
    if !shared.connected(spec) {
        return "dropped".to_owned();
    }
    let mut conversation: Vec<BoxFuture<'_, String>> = Vec::with_capacity(2 * processes + 1);
    let (mut compute_senders, mut storage_senders) = (Vec::new(), Vec::new());
    for (process, Ends { compute, storage }) in ends.into_iter().enumerate() {
        compute_senders.push(compute.sender);
        storage_senders.push(storage.sender);
        let handle = move |response| shared.compute_response(spec, process, processes, response);
        conversation.push(listen(&shared.tasks, compute.receiver, handle).boxed());
        let handle = move |response| shared.storage_response(response);
        conversation.push(listen(&shared.tasks, storage.receiver, handle).boxed());
    }
    conversation.push(send(shared, spec, compute_senders, storage_senders).boxed());
    select_all(conversation).await.0
}

async fn listen<T>(tasks: &Tasks, mut receiver: mpsc::Receiver<T>, handle: impl Fn(T)) -> String {
    loop {
        match tasks.timeout(SILENCE_MAX, receiver.recv()).await {
            Ok(Some(response)) => handle(response),
            Ok(None) => return "the connection was closed".to_owned(),
            Err(_) => return "the process was silent for too long".to_owned(),
        }
    }
}

async fn send(
    shared: &Shared,
    spec: &ReplicaSpec,
    compute: Vec<mpsc::Sender<Sequenced<ComputeCommand>>>,
    storage: Vec<mpsc::Sender<Sequenced<StorageCommand>>>,
) -> String {
    let closed = || "the connection was closed".to_owned();
    let (Some(first_compute), Some(first_storage)) = (compute.first(), storage.first()) else {
        return "the replica has no processes".to_owned();
    };
    loop {
        let (batch, notify) = {
            let mut state = shared.state.lock();
            let Some(cluster) = state.clusters.get_mut(&spec.cluster) else { return "dropped".to_owned() };
            let batch = cluster.next_commands(spec.replica);
            let Some(replica) = cluster.replicas.get(&spec.replica) else { return "dropped".to_owned() };
            (batch, Arc::clone(&replica.notify))
        };
        if batch.is_empty() {
            notify.notified().await;
            continue;
        }
        for outgoing in batch {
            let sent = match outgoing {
                Outgoing::ToWorkers(command) => first_compute.send(command).await.is_ok(),
                Outgoing::ToProcesses(command) => {
                    let sends = compute.iter().map(|sender| sender.send(command.clone()));
                    join_all(sends).await.iter().all(Result::is_ok)
                }
                Outgoing::Storage(command) => first_storage.send(command).await.is_ok(),
            };
            if !sent {
                return closed();
            }
        }
    }
}

/// A command on its way to a replica.
#[derive(Debug, PartialEq)]
pub(crate) enum Outgoing {
    /// To process 0, for all workers.
    ToWorkers(Sequenced<ComputeCommand>),
    /// To every process.
    ToProcesses(Sequenced<ComputeCommand>),
    Storage(Sequenced<StorageCommand>),
}

impl Connection {
    fn for_workers(&mut self, command: ComputeCommand) -> Outgoing {
        self.sequence += 1;
        self.compute_sequence = self.sequence;
        Outgoing::ToWorkers(Sequenced { sequence: self.sequence, command })
    }

    fn for_processes(&mut self, command: ComputeCommand) -> Outgoing {
        self.sequence += 1;
        Outgoing::ToProcesses(Sequenced { sequence: self.sequence, command })
    }

    fn for_storage(&mut self, command: StorageCommand) -> Outgoing {
        self.sequence += 1;
        Outgoing::Storage(Sequenced { sequence: self.sequence, command })
    }
}

impl Cluster {
    /// What is to be sent to a replica next; moves its cursor past it.
    pub(crate) fn next_commands(&mut self, id: ReplicaId) -> Vec<Outgoing> {
        let runs_sources = self.ingesting == Some(id);
        let mut outgoing = Vec::new();
        let Some(replica) = self.replicas.get_mut(&id) else { return outgoing };
        let Some(connection) = replica.connection.as_mut() else { return outgoing };
        let mut more = false;
        for (position, entry) in self.history.after(connection.cursor) {
            if outgoing.len() >= COMMANDS_MAX || (!connection.replayed && position > connection.replay_until) {
                more = position <= connection.replay_until;
                break;
            }
            connection.cursor = position;
            if entry.target.is_some_and(|target| target != id) {
                continue;
            }
            match &entry.command {
                Command::Storage(command) => {
                    if runs_sources {
                        outgoing.push(connection.for_storage(command.clone()));
                    }
                }
                Command::Compute(command) => {
                    let current = |export: CollectionId| {
                        self.exports.get(&export).and_then(|key| self.dataflows.get(key)).map(|flow| flow.as_of)
                    };
                    let is_pending = |peek| self.peeks.contains_key(&peek);
                    outgoing.extend(connection.compute(command, current, is_pending));
                }
            }
        }
        if !connection.replayed && !more {
            connection.replayed = true;
            connection.cursor = connection.cursor.max(connection.replay_until);
            outgoing.push(connection.for_storage(StorageCommand::InitializationComplete));
            outgoing.push(connection.for_workers(ComputeCommand::InitializationComplete));
        }
        if connection.replayed {
            let orders = replica.merges.drain(..);
            outgoing.extend(
                orders
                    .map(|MergeOrder { number, job }| connection.for_storage(StorageCommand::Compact { number, job })),
            );
        }
        outgoing
    }
}

impl Connection {
    /// The form in which a computectl command is sent now; None: it no longer matters.
    fn compute(
        &mut self,
        command: &ComputeCommand,
        current_as_of: impl Fn(CollectionId) -> Option<Timestamp>,
        is_pending: impl Fn(protocol::PeekId) -> bool,
    ) -> Option<Outgoing> {
        match command {
            ComputeCommand::CreateDataflow(dataflow) => {
                let ids = || dataflow.exports.iter().map(protocol::Export::id);
                let Some(as_of) = ids().filter_map(&current_as_of).min() else {
                    // Dropped before it was sent: its inputs are held no more, so it must not be built.
                    self.skipped.extend(ids());
                    return None;
                };
                let mut dataflow = dataflow.clone();
                dataflow.as_of = dataflow.as_of.max(as_of);
                self.sent_as_of.extend(ids().map(|id| (id, dataflow.as_of)));
                Some(self.for_workers(ComputeCommand::CreateDataflow(dataflow)))
            }
            ComputeCommand::AllowWrites(id) => {
                (!self.skipped.contains(id)).then(|| self.for_workers(ComputeCommand::AllowWrites(*id)))
            }
            ComputeCommand::AllowCompaction { id, since } => {
                if since.is_none() {
                    self.sent_as_of.remove(id);
                    if self.skipped.remove(id) {
                        return None;
                    }
                }
                (!self.skipped.contains(id)).then(|| self.for_workers(command.clone()))
            }
            ComputeCommand::Peek(peek) => is_pending(peek.id).then(|| {
                let mut peek = peek.clone();
                peek.after = self.compute_sequence;
                self.for_processes(ComputeCommand::Peek(peek))
            }),
            ComputeCommand::CancelPeek(_) => Some(self.for_processes(command.clone())),
            ComputeCommand::Hello(_) | ComputeCommand::InitializationComplete => None,
        }
    }
}

impl Shared {
    /// Registers a new connection; false: the replica was dropped.
    fn connected(&self, spec: &ReplicaSpec) -> bool {
        let mut state = self.state.lock();
        let Some(cluster) = state.clusters.get_mut(&spec.cluster) else { return false };
        cluster.reduce();
        let replay_until = cluster.history.head();
        let Some(replica) = cluster.replicas.get_mut(&spec.replica) else { return false };
        replica.uppers.clear();
        replica.last_error = None;
        replica.was_connected = true;
        replica.connection = Some(Connection { replay_until, ..Connection::default() });
        cluster.forget_answers(spec.replica);
        cluster.place_ingestions();
        true
    }

    fn disconnected(&self, spec: &ReplicaSpec, reason: String) {
        let mut state = self.state.lock();
        state.merges.lost(spec.replica);
        let Some(cluster) = state.clusters.get_mut(&spec.cluster) else { return };
        if let Some(replica) = cluster.replicas.get_mut(&spec.replica) {
            replica.connection = None;
            replica.uppers.clear();
            replica.merges.clear();
            replica.disconnects += 1;
            replica.last_error = Some(reason);
        }
        cluster.forget_answers(spec.replica);
        cluster.place_ingestions();
    }

    fn storage_response(&self, response: StorageResponse) {
        match response {
            StorageResponse::Status { id, status } => {
                self.state.lock().sources.insert(id, status);
            }
            StorageResponse::Dropped { id } => {
                self.state.lock().sources.remove(&id);
            }
            StorageResponse::CompactDone { number, run } => self.state.lock().merges.done(number, run),
            // Durable uppers come from the leader itself, which is sooner.
            StorageResponse::Welcome { .. } | StorageResponse::Upper { .. } | StorageResponse::Alive { .. } => {}
        }
    }

    fn compute_response(&self, spec: &ReplicaSpec, process: usize, processes: usize, response: ComputeResponse) {
        match response {
            ComputeResponse::Welcome { .. } | ComputeResponse::Status { .. } => {}
            ComputeResponse::Frontier { id, upper } => self.frontier(spec, process, processes, id, upper),
            ComputeResponse::Peek { id, outcome } => self.peek_answer(spec, process, processes, id, outcome),
            ComputeResponse::Subscribe { id, lower: _, upper, updates } => {
                self.frontier(spec, process, processes, id, upper);
                let state = self.state.lock();
                let subscribe = state.clusters.get(&spec.cluster).and_then(|cluster| cluster.subscribes.get(&id));
                let subscribe = subscribe.cloned();
                drop(state);
                if let Some(subscribe) = subscribe {
                    subscribe.lock().batch(spec.replica, process, processes, upper, updates);
                }
            }
        }
    }

    fn frontier(&self, spec: &ReplicaSpec, process: usize, processes: usize, id: CollectionId, upper: Timestamp) {
        let mut state = self.state.lock();
        let State { clusters, collections, .. } = &mut *state;
        let Some(cluster) = clusters.get_mut(&spec.cluster) else { return };
        // A report of a dropped export may still be on its way.
        if !cluster.exports.contains_key(&id) {
            return;
        }
        let Some(replica) = cluster.replicas.get_mut(&spec.replica) else { return };
        let uppers = replica.uppers.entry(id).or_insert_with(|| vec![Timestamp::MIN; processes]);
        if let Some(slot) = uppers.get_mut(process) {
            *slot = (*slot).max(upper);
        }
        let reached = replica.upper(id);
        if let Some(Collection::Index { upper, .. }) = collections.get_mut(&id)
            && reached > *upper
        {
            *upper = reached;
            drop(state);
            self.bump();
        }
    }

    fn peek_answer(
        &self,
        spec: &ReplicaSpec,
        process: usize,
        processes: usize,
        id: protocol::PeekId,
        outcome: PeekOutcome,
    ) {
        let mut state = self.state.lock();
        let Some(cluster) = state.clusters.get_mut(&spec.cluster) else { return };
        let Some(pending) = cluster.peeks.get_mut(&id) else { return };
        let Some(outcome) = pending.answer(spec.replica, process, processes, outcome) else { return };
        let target = pending.target;
        let others = cluster.replicas.keys().any(|other| *other != spec.replica && target.is_none());
        if outcome == PeekOutcome::Canceled && others {
            // Another replica may answer yet.
            return;
        }
        if let Some(pending) = cluster.end_peek(id, Some(spec.replica)) {
            drop(state);
            // Nobody waits any more if the session is gone.
            let _ = pending.sender.send(outcome);
        }
    }
}
