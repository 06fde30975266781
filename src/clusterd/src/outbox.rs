//! Responses on their way to the controllers.
//!
//! A worker never waits for a slow connection: it leaves its responses here. Every response belongs to the connection whose
//! `Hello` its worker has applied last; with several processes the workers may have applied one that this process has yet
//! to accept, so responses of one unknown connection are kept until it comes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use compute::ResponseMerger;
use compute::Turn;
use parking_lot::Mutex;
use protocol::{ComputeResponse, StorageResponse};
use tokio::sync::Notify;
use uuid::Uuid;

/// Responses that may wait for a connection; beyond it the connection is closed and starts anew with a replay.
const QUEUE_MAX: usize = 1 << 20;

/// All responses of one process.
pub(crate) struct Outbox {
    pub(crate) compute: Lane<ComputeResponse>,
    pub(crate) storage: Lane<StorageResponse>,
    merged: Mutex<Merged>,
}

/// What joins the local workers' turns.
struct Merged {
    merger: ResponseMerger,
    /// The connection whose `Hello` each local worker has applied.
    applied: Vec<Option<Uuid>>,
    welcomed: Option<Uuid>,
}

impl Outbox {
    pub(crate) fn new(workers: usize) -> Outbox {
        let merged = Merged { merger: ResponseMerger::new(workers), applied: vec![None; workers], welcomed: None };
        Outbox { compute: Lane::default(), storage: Lane::default(), merged: Mutex::new(merged) }
    }

    /// Takes what a local worker has to say. `Welcome` is said once all workers have applied the `Hello`, so that what comes
    /// after it on the connection finds no worker still behind it.
    pub(crate) fn compute_turn(&self, worker: usize, turn: Turn) {
        let mut merged = self.merged.lock();
        let Merged { merger, applied, welcomed } = &mut *merged;
        let nonce = turn.nonce;
        let Some(slot) = applied.get_mut(worker) else { return };
        if *slot == nonce && turn.responses.is_empty() && turn.dropped.is_empty() {
            return;
        }
        *slot = nonce;
        if let Some(nonce) = nonce
            && *welcomed != Some(nonce)
            && applied.iter().all(|applied| *applied == Some(nonce))
        {
            *welcomed = Some(nonce);
            self.compute.push(nonce, [ComputeResponse::Welcome { nonce }]);
        }
        if let Some((nonce, responses)) = merger.push(worker, turn) {
            self.compute.push(nonce, responses);
        }
    }
}

/// The responses of one protocol.
pub(crate) struct Lane<R> {
    state: Mutex<LaneState<R>>,
    notify: Notify,
    pub(crate) accepted_count: AtomicU64,
}

struct LaneState<R> {
    accepted: Option<Uuid>,
    queue: VecDeque<R>,
    /// Responses for a connection that has not come yet.
    early: Option<(Uuid, VecDeque<R>)>,
}

impl<R> Default for Lane<R> {
    fn default() -> Lane<R> {
        let state = LaneState { accepted: None, queue: VecDeque::new(), early: None };
        Lane { state: Mutex::new(state), notify: Notify::new(), accepted_count: AtomicU64::new(0) }
    }
}

impl<R> Lane<R> {
    /// Makes a connection the one that is answered; the one before ends.
    pub(crate) fn accept(&self, nonce: Uuid) {
        let mut state = self.state.lock();
        state.accepted = Some(nonce);
        state.queue = match state.early.take() {
            Some((early, queue)) if early == nonce => queue,
            _ => VecDeque::new(),
        };
        drop(state);
        self.accepted_count.fetch_add(1, Ordering::Relaxed);
        self.notify.notify_waiters();
    }

    /// A connection has ended by itself.
    pub(crate) fn release(&self, nonce: Uuid) {
        let mut state = self.state.lock();
        if state.accepted == Some(nonce) {
            state.accepted = None;
            state.queue.clear();
        }
    }

    pub(crate) fn is_accepted(&self, nonce: Uuid) -> bool {
        self.state.lock().accepted == Some(nonce)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.state.lock().accepted.is_some()
    }

    /// Leaves responses for one connection.
    pub(crate) fn push(&self, nonce: Uuid, responses: impl IntoIterator<Item = R>) {
        let mut state = self.state.lock();
        if state.accepted == Some(nonce) {
            state.queue.extend(responses);
        } else {
            let early = match state.early.take() {
                Some((early, queue)) if early == nonce && queue.len() < QUEUE_MAX => queue,
                _ => VecDeque::new(),
            };
            state.early.insert((nonce, early)).1.extend(responses);
        }
        drop(state);
        self.notify.notify_one();
    }

    /// Leaves a response for whichever connection there is.
    pub(crate) fn push_current(&self, response: R) {
        let mut state = self.state.lock();
        if state.accepted.is_some() {
            state.queue.push_back(response);
        }
        drop(state);
        self.notify.notify_one();
    }

    /// The next response of a connection. None: another has taken its place, or it has fallen too far behind.
    ///
    /// Cancel safety: may be dropped at any await.
    pub(crate) async fn next(&self, nonce: Uuid) -> Option<R> {
        loop {
            let mut notified = std::pin::pin!(self.notify.notified());
            // From here on no call of `notify_waiters` is missed.
            notified.as_mut().enable();
            {
                let mut state = self.state.lock();
                if state.accepted != Some(nonce) || state.queue.len() > QUEUE_MAX {
                    return None;
                }
                if let Some(response) = state.queue.pop_front() {
                    return Some(response);
                }
            }
            notified.await;
        }
    }
}
