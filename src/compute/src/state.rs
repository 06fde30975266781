//! One worker's part of a replica: what is installed, and what each command does to it.
//!
//! The worker thread, or a simulation, alternates between [`ComputeState::handle`], timely's `step`, and
//! [`ComputeState::turn`]. All workers of a replica handle the same commands in the same order and must come to the same
//! decisions, so nothing decided here may depend on how far this worker has come.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use protocol::compute::{ComputeCommand, ComputeResponse};
use protocol::dataflow::{Dataflow, Export, Import};
use protocol::{Hello, Sequenced};
use repr::{CollectionId, Timestamp};
use storage::{SinkHandle, Token};
use timely::worker::Worker;
use tracing::{info, warn};
use uuid::Uuid;

use crate::ends::ShardEnds;
use crate::index::IndexTraces;
use crate::peek::PeekServer;
use crate::render::dataflow::{BuiltExport, DataflowGuard, Graveyard, Remains, build};
use crate::render::subscribe::Subscription;

/// What a worker needs of its process.
pub struct ComputeContext {
    /// This worker among those of its process.
    pub local_index: usize,
    pub ends: Box<dyn ShardEnds>,
    /// Shared by all workers of the process.
    pub peeks: Arc<PeekServer>,
}

/// One worker's dataflows.
pub struct ComputeState {
    worker: Worker,
    context: ComputeContext,
    exports: BTreeMap<CollectionId, Installed>,
    indexes: BTreeMap<CollectionId, IndexTraces>,
    graveyard: Graveyard,
    log_id: Option<Uuid>,
    nonce: Option<Uuid>,
    connection: u64,
    replay: Option<Replay>,
    /// Frontiers reported on this connection.
    reported: BTreeMap<CollectionId, Timestamp>,
    /// Exports dropped since the last turn.
    dropped: Vec<CollectionId>,
}

/// An export that is there.
struct Installed {
    /// The description that it was built from.
    dataflow: Rc<Dataflow>,
    since: Timestamp,
    end: End,
    // Dropped last: when it goes, no export listens any more.
    _guard: Rc<DataflowGuard>,
}

enum End {
    /// Its traces are in `ComputeState::indexes`.
    Index,
    MaterializedView {
        handle: SinkHandle,
        _token: Token,
    },
    Subscribe(Rc<RefCell<Subscription>>),
}

/// What a new controller connection has named so far.
#[derive(Default)]
struct Replay {
    named: BTreeSet<CollectionId>,
    /// Exports that were dropped and built again: who imports them must be built again, too.
    rebuilt: BTreeSet<CollectionId>,
}

/// What one worker has to say after a step.
#[derive(Debug)]
pub struct Turn {
    /// Counts controller connections; the same on all workers.
    pub connection: u64,
    /// The connection's nonce; None before the first Hello.
    pub nonce: Option<Uuid>,
    pub responses: Vec<ComputeResponse>,
    /// Exports of which nothing more will be said.
    pub dropped: Vec<CollectionId>,
}

impl ComputeState {
    /// The state of a worker without dataflows. `worker` is a handle to the worker that the caller steps.
    pub fn new(worker: Worker, context: ComputeContext) -> ComputeState {
        ComputeState {
            worker,
            context,
            exports: BTreeMap::new(),
            indexes: BTreeMap::new(),
            graveyard: Graveyard::default(),
            log_id: None,
            nonce: None,
            connection: 0,
            replay: None,
            reported: BTreeMap::new(),
            dropped: Vec::new(),
        }
    }

    /// Applies a command. All workers apply the same commands in the same order.
    ///
    /// `Welcome` is not answered here but by whoever accepts the connection; peeks and cancellations go to the process's
    /// [`PeekServer`], those that come by this way too.
    pub fn handle(&mut self, command: Sequenced<ComputeCommand>) {
        let Sequenced { sequence, command } = command;
        match command {
            ComputeCommand::Hello(hello) => self.hello(hello),
            ComputeCommand::CreateDataflow(dataflow) => self.create_dataflow(*dataflow),
            ComputeCommand::AllowWrites(id) => match self.exports.get(&id).map(|installed| &installed.end) {
                Some(End::MaterializedView { handle, .. }) => handle.allow_writes(),
                _ => warn!(%id, "writes allowed to what is no materialized view here"),
            },
            ComputeCommand::AllowCompaction { id, since: Some(since) } => self.allow_compaction(id, since),
            ComputeCommand::AllowCompaction { id, since: None } => self.drop_export(id),
            ComputeCommand::Peek(peek) => {
                if self.context.local_index == 0 {
                    self.context.peeks.peek(*peek);
                }
            }
            ComputeCommand::CancelPeek(id) => {
                if self.context.local_index == 0 {
                    self.context.peeks.cancel(id);
                }
            }
            ComputeCommand::InitializationComplete => self.initialization_complete(),
        }
        self.context.peeks.applied(self.context.local_index, self.nonce, sequence);
    }

    /// Publishes and reports what the last step has changed.
    pub fn turn(&mut self) -> Turn {
        self.bury_dropped();
        self.publish_indexes();
        let mut responses = self.drain_subscriptions();
        responses.extend(self.report_frontiers());
        Turn { connection: self.connection, nonce: self.nonce, responses, dropped: std::mem::take(&mut self.dropped) }
    }

    /// The exports that are installed, in order of their ids.
    pub fn installed(&self) -> impl Iterator<Item = CollectionId> + '_ {
        self.exports.keys().copied()
    }

    fn hello(&mut self, hello: Hello) {
        let is_other_log = self.log_id.is_some_and(|log_id| log_id != hello.log_id);
        // Subscriptions belong to the connection that asked for them.
        let is_gone = |installed: &Installed| is_other_log || matches!(installed.end, End::Subscribe(_));
        let gone: Vec<CollectionId> =
            self.exports.iter().filter(|(_, installed)| is_gone(installed)).map(|(id, _)| *id).collect();
        if is_other_log {
            info!(log_id = %hello.log_id, "another log: dropping all dataflows");
        }
        gone.into_iter().for_each(|id| self.drop_export(id));
        self.log_id = Some(hello.log_id);
        self.nonce = Some(hello.nonce);
        self.connection += 1;
        self.replay = Some(Replay::default());
        self.reported.clear();
        self.dropped.clear();
    }

    fn create_dataflow(&mut self, dataflow: Dataflow) {
        let keep = self.can_keep(&dataflow);
        if let Some(replay) = &mut self.replay {
            replay.named.extend(dataflow.exports.iter().map(Export::id));
        }
        if keep {
            info!(name = %dataflow.name, "keeping dataflow");
            return;
        }
        for id in dataflow.exports.iter().map(Export::id) {
            if self.exports.contains_key(&id) {
                self.drop_export(id);
                if let Some(replay) = &mut self.replay {
                    replay.rebuilt.insert(id);
                }
            }
        }
        self.build(dataflow);
    }

    /// True if the replayed dataflow is installed as it is asked for.
    fn can_keep(&self, asked: &Dataflow) -> bool {
        let Some(replay) = &self.replay else { return false };
        let reads_rebuilt = asked.imports.iter().any(|import| match import {
            Import::Index { index, .. } => replay.rebuilt.contains(index),
            Import::Shard { .. } => false,
        });
        !reads_rebuilt
            && !asked.exports.is_empty()
            && asked.exports.iter().all(|export| {
                self.exports.get(&export.id()).is_some_and(|installed| {
                    let Dataflow { name: _, imports, objects, exports, as_of: _, until } = &*installed.dataflow;
                    let is_equal = *imports == asked.imports
                        && *objects == asked.objects
                        && *exports == asked.exports
                        && *until == asked.until;
                    is_equal && installed.since <= asked.as_of && !matches!(installed.end, End::Subscribe(_))
                })
            })
    }

    fn build(&mut self, dataflow: Dataflow) {
        info!(name = %dataflow.name, as_of = %dataflow.as_of, "building dataflow");
        let dataflow = Rc::new(dataflow);
        let (guard, exports) =
            build(&mut self.worker, &*self.context.ends, &mut self.indexes, &self.graveyard, &dataflow);
        for (id, export) in exports {
            let end = match export {
                BuiltExport::Index(arrangement) => {
                    let traces = IndexTraces::new(*arrangement, Rc::clone(&guard), dataflow.as_of);
                    self.indexes.insert(id, traces);
                    End::Index
                }
                BuiltExport::MaterializedView { handle, token } => End::MaterializedView { handle, _token: token },
                BuiltExport::Subscribe(subscription) => End::Subscribe(subscription),
            };
            let installed =
                Installed { dataflow: Rc::clone(&dataflow), since: dataflow.as_of, end, _guard: Rc::clone(&guard) };
            self.exports.insert(id, installed);
            // A peek that comes after this command must find the index.
            self.publish_index(id);
        }
    }

    fn allow_compaction(&mut self, id: CollectionId, since: Timestamp) {
        if let Some(installed) = self.exports.get_mut(&id) {
            installed.since = installed.since.max(since);
        }
        if let Some(traces) = self.indexes.get_mut(&id) {
            traces.allow_compaction(since);
        }
    }

    fn drop_export(&mut self, id: CollectionId) {
        let Some(installed) = self.exports.remove(&id) else { return };
        if self.indexes.remove(&id).is_some() {
            self.context.peeks.retract(self.context.local_index, id);
        }
        self.reported.remove(&id);
        self.dropped.push(id);
        drop(installed);
    }

    fn initialization_complete(&mut self) {
        let Some(replay) = self.replay.take() else { return };
        let unnamed: Vec<CollectionId> = self.exports.keys().filter(|id| !replay.named.contains(id)).copied().collect();
        for id in unnamed {
            info!(%id, "dropping an export that the controller no longer names");
            self.drop_export(id);
        }
    }

    fn bury_dropped(&mut self) {
        // What is buried here may be the last that held another dataflow, which then comes to the graveyard itself.
        let waiting = std::mem::take(&mut *self.graveyard.borrow_mut());
        let still_waiting: Vec<Remains> =
            waiting.into_iter().filter_map(|mut remains| (!remains.bury()).then_some(remains)).collect();
        self.graveyard.borrow_mut().extend(still_waiting);
    }

    fn publish_indexes(&mut self) {
        let ids: Vec<CollectionId> = self.indexes.keys().copied().collect();
        ids.into_iter().for_each(|id| self.publish_index(id));
    }

    fn publish_index(&mut self, id: CollectionId) {
        let Some(traces) = self.indexes.get_mut(&id) else { return };
        let peeks = &self.context.peeks;
        traces.compact(peeks.hold(id));
        if let Some(snapshot) = traces.snapshot() {
            peeks.publish(self.context.local_index, id, snapshot);
        }
    }

    fn drain_subscriptions(&mut self) -> Vec<ComputeResponse> {
        let mut responses = Vec::new();
        for (id, installed) in &self.exports {
            let End::Subscribe(subscription) = &installed.end else { continue };
            let mut subscription = subscription.borrow_mut();
            responses.extend(subscription.drain().map(|interval| ComputeResponse::Subscribe {
                id: *id,
                lower: interval.lower,
                upper: interval.upper,
                updates: interval.updates,
            }));
        }
        responses
    }

    fn report_frontiers(&mut self) -> Vec<ComputeResponse> {
        let mut responses = Vec::new();
        for (id, installed) in &self.exports {
            let upper = match &installed.end {
                End::Index => self.indexes.get_mut(id).map_or(Timestamp::MIN, IndexTraces::upper),
                End::MaterializedView { handle, .. } => handle.reached(),
                End::Subscribe(subscription) => subscription.borrow().upper(),
            };
            let reported = self.reported.entry(*id).or_insert(Timestamp::MIN);
            if upper > *reported {
                *reported = upper;
                responses.push(ComputeResponse::Frontier { id: *id, upper });
            }
        }
        responses
    }
}
