//! Peeks: one-off reads of an index, served off the worker thread.
//!
//! After each step a worker publishes, for each of its indexes, an immutable snapshot: the list of the trace's batches, shared
//! by reference count, with since and upper. A peek waits until the snapshots of all workers of the process are beyond its
//! time, then walks them on another thread. Compaction cannot disturb it: a batch that is merged away lives on in the snapshot.
//!
//! ```text
//! connection ── peek ──▶ waiting (holds the index's since) ── upper > at ──▶ reading ──▶ answer
//! worker ── publish ──▶ snapshots of (index, worker)
//! ```

mod read;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use expr::EvalError;
use parking_lot::Mutex;
use protocol::compute::ComputeResponse;
use protocol::peek::{Peek, PeekId, PeekOutcome, PeekTarget};
use repr::{CollectionId, Timestamp};
use stdx::Tasks;
use uuid::Uuid;

use crate::index::Snapshot;

/// Answers peeks for one process, over the snapshots that its workers publish.
pub struct PeekServer {
    tasks: Tasks,
    respond: Arc<dyn Fn(ComputeResponse) + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    /// For each index the snapshot of each worker; None until the worker has built it, and after it has dropped it.
    published: BTreeMap<CollectionId, Vec<Option<Arc<Snapshot>>>>,
    /// The connection that peeks come from; commands of another say nothing about what its peeks may expect.
    connection: Option<Uuid>,
    /// The sequence number of the last command of that connection that each worker has applied.
    applied: Vec<u64>,
    peeks: BTreeMap<PeekId, Pending>,
    /// The times of waiting peeks.
    holds: BTreeMap<CollectionId, BTreeMap<Timestamp, usize>>,
}

enum Pending {
    Waiting(Arc<Peek>),
    Reading(Arc<AtomicBool>),
}

/// Who looks whether a peek can be answered. A connection may read a few values itself; a worker has other things to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    Connection,
    Worker,
}

/// What can be done about a waiting peek.
enum Readiness {
    Wait,
    Answer(PeekOutcome),
    Read(Vec<Arc<Snapshot>>),
}

impl PeekServer {
    /// Serves the indexes of `workers` local workers. `respond` is called from any thread.
    pub fn new(workers: usize, tasks: Tasks, respond: Arc<dyn Fn(ComputeResponse) + Send + Sync>) -> Arc<PeekServer> {
        let state = State {
            published: BTreeMap::new(),
            connection: None,
            applied: vec![0; workers],
            peeks: BTreeMap::new(),
            holds: BTreeMap::new(),
        };
        Arc::new(PeekServer { tasks, respond, state: Mutex::new(state) })
    }

    /// Takes a peek, in the order of the connection's stream.
    pub fn peek(self: &Arc<Self>, peek: Peek) {
        let peek = Arc::new(peek);
        let mut state = self.state.lock();
        state.hold(&peek);
        state.peeks.insert(peek.id, Pending::Waiting(Arc::clone(&peek)));
        self.advance(state, |candidate| candidate == peek.id, Thread::Connection);
    }

    /// Answers a peek with Canceled, if it has not been answered.
    pub fn cancel(&self, id: PeekId) {
        let mut state = self.state.lock();
        if state.forget(id) {
            drop(state);
            self.answer(id, PeekOutcome::Canceled);
        }
    }

    /// Begins a connection: forgets all peeks without an answer, for their connection is over. The new one's peeks follow, and
    /// its Hello, with this nonce, reaches the workers.
    pub fn reset(&self, nonce: Uuid) {
        let mut state = self.state.lock();
        state.connection = Some(nonce);
        state.applied.fill(0);
        let ids: Vec<PeekId> = state.peeks.keys().copied().collect();
        for id in ids {
            state.forget(id);
        }
    }

    /// The least time at which a waiting peek reads the index.
    pub(crate) fn hold(&self, index: CollectionId) -> Option<Timestamp> {
        self.state.lock().holds.get(&index).and_then(|times| times.first_key_value()).map(|(time, _)| *time)
    }

    /// Makes a worker's new snapshot known.
    pub(crate) fn publish(self: &Arc<Self>, worker: usize, index: CollectionId, snapshot: Arc<Snapshot>) {
        let mut state = self.state.lock();
        let workers = state.applied.len();
        state.published.entry(index).or_insert_with(|| vec![None; workers])[worker] = Some(snapshot);
        self.advance_index(state, index);
    }

    /// A worker has dropped an index: whoever waits for it is canceled.
    pub(crate) fn retract(self: &Arc<Self>, worker: usize, index: CollectionId) {
        let mut state = self.state.lock();
        let Some(slots) = state.published.get_mut(&index) else { return };
        slots[worker] = None;
        if slots.iter().all(Option::is_none) {
            state.published.remove(&index);
        }
        let waiting: Vec<PeekId> = state.waiting_for(index);
        waiting.iter().for_each(|id| {
            state.forget(*id);
        });
        drop(state);
        waiting.into_iter().for_each(|id| self.answer(id, PeekOutcome::Canceled));
    }

    /// A worker has applied all commands of the connection up to `sequence`.
    pub(crate) fn applied(self: &Arc<Self>, worker: usize, connection: Option<Uuid>, sequence: u64) {
        let mut state = self.state.lock();
        if state.connection != connection {
            return;
        }
        state.applied[worker] = sequence;
        if !state.peeks.is_empty() {
            self.advance(state, |_| true, Thread::Worker);
        }
    }

    fn advance_index(self: &Arc<Self>, state: parking_lot::MutexGuard<'_, State>, index: CollectionId) {
        let waiting = state.waiting_for(index);
        if !waiting.is_empty() {
            self.advance(state, |id| waiting.contains(&id), Thread::Worker);
        }
    }

    /// Looks at the waiting peeks that `concerns` names, and starts or answers those that can be.
    fn advance(
        self: &Arc<Self>,
        mut state: parking_lot::MutexGuard<'_, State>,
        concerns: impl Fn(PeekId) -> bool,
        thread: Thread,
    ) {
        let mut answers = Vec::new();
        let mut reads = Vec::new();
        let waiting: Vec<Arc<Peek>> = state
            .peeks
            .values()
            .filter_map(|pending| match pending {
                Pending::Waiting(peek) if concerns(peek.id) => Some(Arc::clone(peek)),
                _ => None,
            })
            .collect();
        for peek in waiting {
            match state.readiness(&peek) {
                Readiness::Wait => {}
                Readiness::Answer(outcome) => {
                    state.forget(peek.id);
                    answers.push((peek.id, outcome));
                }
                Readiness::Read(snapshots) => {
                    // The snapshots cannot change any more, so the index need not be held for the peek.
                    state.release(&peek);
                    let is_canceled = Arc::new(AtomicBool::new(false));
                    state.peeks.insert(peek.id, Pending::Reading(Arc::clone(&is_canceled)));
                    reads.push((peek, snapshots, is_canceled));
                }
            }
        }
        drop(state);
        answers.into_iter().for_each(|(id, outcome)| self.answer(id, outcome));
        for (peek, snapshots, is_canceled) in reads {
            let outcome = (thread == Thread::Connection).then(|| read::read_quickly(&peek, &snapshots)).flatten();
            match outcome {
                Some(outcome) => self.finish(peek.id, outcome),
                None => self.start(peek, snapshots, is_canceled),
            }
        }
    }

    fn start(self: &Arc<Self>, peek: Arc<Peek>, snapshots: Vec<Arc<Snapshot>>, is_canceled: Arc<AtomicBool>) {
        let server = Arc::clone(self);
        let task = self.tasks.spawn("peek", async move {
            let id = peek.id;
            let read = move || read::read(&peek, &snapshots, &is_canceled);
            let outcome = server.tasks.spawn_blocking("peek-read", read).await;
            server.finish(id, outcome);
        });
        task.detach();
    }

    /// Answers a peek, unless it was canceled.
    fn finish(&self, id: PeekId, outcome: PeekOutcome) {
        if self.state.lock().forget(id) {
            self.answer(id, outcome);
        }
    }

    fn answer(&self, id: PeekId, outcome: PeekOutcome) {
        (self.respond)(ComputeResponse::Peek { id, outcome });
    }
}

impl State {
    fn readiness(&self, peek: &Peek) -> Readiness {
        let PeekTarget::Index { index, .. } = &peek.target;
        let Some(slots) = self.published.get(index) else {
            let all_applied = self.applied.iter().all(|applied| *applied >= peek.after);
            if !all_applied {
                return Readiness::Wait;
            }
            let message = format!("index {index} does not exist on this replica");
            return Readiness::Answer(PeekOutcome::Error(EvalError::new("XX000", message)));
        };
        let Some(snapshots) = slots.iter().cloned().collect::<Option<Vec<Arc<Snapshot>>>>() else {
            return Readiness::Wait;
        };
        // Another replica has answered and the controller has let go, or the answer would be wrong.
        if snapshots.iter().any(|snapshot| snapshot.since > peek.at) {
            return Readiness::Answer(PeekOutcome::Canceled);
        }
        if snapshots.iter().any(|snapshot| snapshot.upper <= peek.at) {
            return Readiness::Wait;
        }
        Readiness::Read(snapshots)
    }

    fn waiting_for(&self, wanted: CollectionId) -> Vec<PeekId> {
        if !self.holds.contains_key(&wanted) {
            return Vec::new();
        }
        let concerned = self.peeks.iter().filter(|(_, pending)| match pending {
            Pending::Waiting(peek) => {
                let PeekTarget::Index { index, .. } = &peek.target;
                *index == wanted
            }
            Pending::Reading(_) => false,
        });
        concerned.map(|(id, _)| *id).collect()
    }

    fn hold(&mut self, peek: &Peek) {
        let PeekTarget::Index { index, .. } = &peek.target;
        *self.holds.entry(*index).or_default().entry(peek.at).or_default() += 1;
    }

    fn release(&mut self, peek: &Peek) {
        let PeekTarget::Index { index, .. } = &peek.target;
        let Some(times) = self.holds.get_mut(index) else { return };
        if let Some(count) = times.get_mut(&peek.at) {
            *count -= 1;
            if *count == 0 {
                times.remove(&peek.at);
            }
        }
        if times.is_empty() {
            self.holds.remove(index);
        }
    }

    /// Removes a peek. Returns false if it is not there: it was answered or canceled.
    fn forget(&mut self, id: PeekId) -> bool {
        match self.peeks.remove(&id) {
            Some(Pending::Waiting(peek)) => {
                self.release(&peek);
                true
            }
            Some(Pending::Reading(is_canceled)) => {
                is_canceled.store(true, Ordering::Relaxed);
                true
            }
            None => false,
        }
    }
}
