//! The leader's loop: drain, append, apply, answer. While an append is in flight the next entry accumulates.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures::future::{Either, select};
use stdx::Backoff;
use tokio::sync::Notify;
use tracing::{error, warn};

use crate::checkpoint::encode_state;
use crate::leader::Halt;
use crate::leader::core::{Core, EntryBatch, LastAppend, Pending, Shared};
use crate::log::{Append, Checkpoint, Entry, Log, LogError, Slot};
use crate::op::Op;

/// An append is committed by the store's word alone only if the previous one started less than this ago: truncation may
/// have passed a slot that has been free for longer.
const FRESH: Duration = Duration::from_secs(600);

/// A log whose append took as long as this is slow: waiting a little for company costs less than an append each.
const SLOW: Duration = Duration::from_millis(20);
const LINGER_MIN: Duration = Duration::from_millis(5);
const LINGER_MAX: Duration = Duration::from_millis(20);

/// Runs until the leader ends; the log is dropped then.
///
/// Checkpoints are made beside the appends: on a slow store one may take longer than a lease, which appends must renew.
pub(crate) async fn run(shared: &Shared, log: Arc<dyn Log>) {
    let checkpoints = Checkpoints { due: Notify::new(), under_way: AtomicBool::new(false) };
    let appending = std::pin::pin!(append_until_halted(shared, log.as_ref(), &checkpoints.due));
    let making = std::pin::pin!(checkpoints.run(shared, log.as_ref()));
    if let Either::Left(((), making)) = select(appending, making).await
        && checkpoints.under_way.load(Ordering::SeqCst)
    {
        // It may have work in the log that nobody can stop: the log is not let go before.
        making.await;
    }
}

async fn append_until_halted(shared: &Shared, log: &dyn Log, checkpoint_due: &Notify) {
    let mut since_checkpoint = 0;
    let mut checkpoint_at = shared.boot();
    loop {
        let work = wait_for_work(shared).await;
        if shared.halt.borrow().is_some() {
            return;
        }
        let took = shared.core.lock().last.took;
        if work == Work::Arrived && took >= SLOW {
            shared.tasks.sleep((took / 4).clamp(LINGER_MIN, LINGER_MAX)).await;
        }
        let batch = shared.take_batch();
        if batch.txns.is_empty() && work != Work::Heartbeat {
            // Only rejected ones, and what they were rejected for is durable: nothing is in flight here.
            shared.reply(batch.replies);
            continue;
        }
        let closing = batch.txns.iter().any(|txn| txn.ops.iter().any(|op| matches!(op, Op::Close { .. })));
        since_checkpoint += batch.body.len();
        let append = match store(shared, log, &batch).await {
            Ok(append) => append,
            Err(halt) => {
                end(shared, halt, batch.replies);
                return;
            }
        };
        shared.committed(batch, append);
        if closing {
            shared.halt(Halt::Closed, Vec::new());
            return;
        }
        let settings = &shared.settings;
        if since_checkpoint >= settings.checkpoint_bytes || shared.boot() >= checkpoint_at + settings.checkpoint_every {
            checkpoint_at = shared.boot();
            since_checkpoint = 0;
            checkpoint_due.notify_one();
        }
    }
}

/// Nothing is acknowledged from here on: what was in flight is unknown, and whoever runs the process ends it.
fn end(shared: &Shared, halt: Halt, in_flight: Vec<Pending>) {
    error!(%halt, epoch = shared.epoch, "the leader ends");
    shared.halt(halt, in_flight);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// It was there: it came while the last append was on its way.
    Waiting,
    /// It has just come.
    Arrived,
    /// There is none, but the lease must be renewed.
    Heartbeat,
}

/// Waits until there is something to append.
async fn wait_for_work(shared: &Shared) -> Work {
    let mut found = Work::Waiting;
    loop {
        if shared.core.lock().hurried || shared.halt.borrow().is_some() {
            return found;
        }
        found = Work::Arrived;
        let Some(lease) = shared.settings.lease else {
            shared.work.notified().await;
            continue;
        };
        let due = shared.core.lock().last.start + lease / 3;
        let rest = due.saturating_sub(shared.boot());
        if rest.is_zero() {
            return Work::Heartbeat;
        }
        let work = std::pin::pin!(shared.work.notified());
        select(work, shared.tasks.sleep(rest)).await;
    }
}

/// Appends the entry and finds out what became of it, however long that takes.
async fn store(shared: &Shared, log: &dyn Log, batch: &EntryBatch) -> Result<LastAppend, Halt> {
    let entry = Entry::new(batch.seq, shared.epoch, shared.nonce, batch.body.clone());
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
    let previous = shared.core.lock().last;
    let mut append = shared.start_append();
    loop {
        let sent = shared.boot();
        match log.append(entry.clone()).await {
            Ok(Append::Committed { stored_at }) => {
                append.stored_at = stored_at;
                append.took = shared.boot().saturating_sub(sent);
                if log.lock_proves_leadership() || is_fresh(shared, &previous, stored_at) {
                    set_disk_full(shared, false);
                    return Ok(append);
                }
            }
            Ok(Append::Occupied(_)) | Err(LogError::Indeterminate(_)) => {}
            Err(LogError::DiskFull(cause)) => {
                // The slot is owed: these bytes, and no others, go there.
                if set_disk_full(shared, true) {
                    error!(cause, seq = entry.seq, "no space for the log: writes are refused until there is");
                }
                shared.tasks.sleep(backoff.next_delay()).await;
                continue;
            }
            Err(error) => return Err(Halt::Broken(error.to_string())),
        }
        let asked = shared.start_append();
        if is_stored(shared, log, &entry).await? {
            set_disk_full(shared, false);
            return Ok(append);
        }
        // The slot was free after this moment: a request that seemed lost can still land, but not before it.
        append = asked;
        shared.tasks.sleep(backoff.next_delay()).await;
    }
}

/// Whether the slot after `previous` cannot have been filled by others and truncated meanwhile: by every clock there is, too
/// little time has passed for that. It is asked when the answer is there, for we may have been suspended before.
fn is_fresh(shared: &Shared, previous: &LastAppend, stored_at: Option<SystemTime>) -> bool {
    let clock = shared.tasks.clock();
    let fresh_ms = u64::try_from(FRESH.as_millis()).unwrap_or(u64::MAX);
    let by_store = match (previous.stored_at, stored_at) {
        (Some(before), Some(now)) => now.duration_since(before).unwrap_or_default() < FRESH,
        _ => true,
    };
    by_store
        && clock.boot().saturating_sub(previous.start) < FRESH
        && clock.wall_ms().abs_diff(previous.wall_ms) < fresh_ms
}

/// Only reading decides: whether the slot holds this entry. False: it is free, send the same bytes again.
async fn is_stored(shared: &Shared, log: &dyn Log, entry: &Entry) -> Result<bool, Halt> {
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
    let fenced = |by| Halt::Fenced { epoch: shared.epoch, by };
    loop {
        match log.read(entry.seq).await {
            Ok(Slot::Present(found)) if found == *entry => return Ok(true),
            Ok(Slot::Present(found)) => return Err(fenced(Some(found.epoch))),
            Ok(Slot::Truncated) => return Err(fenced(None)),
            Ok(Slot::Absent) => return Ok(false),
            Err(LogError::Indeterminate(_)) => shared.tasks.sleep(backoff.next_delay()).await,
            Err(error) => return Err(Halt::Broken(error.to_string())),
        }
    }
}

/// Whether this is new.
fn set_disk_full(shared: &Shared, full: bool) -> bool {
    let mut core = shared.core.lock();
    let changed = core.disk_full != full;
    core.disk_full = full;
    drop(core);
    if changed {
        shared.moved.send_modify(|version| *version += 1);
    }
    changed
}

struct Checkpoints {
    due: Notify,
    under_way: AtomicBool,
}

impl Checkpoints {
    /// Makes one whenever it is due. Ends when the leader has, or when the log fails.
    async fn run(&self, shared: &Shared, log: &dyn Log) {
        loop {
            self.due.notified().await;
            self.under_way.store(true, Ordering::SeqCst);
            let made = checkpoint(shared, log).await;
            self.under_way.store(false, Ordering::SeqCst);
            if let Err(halt) = made {
                end(shared, halt, Vec::new());
            }
            if shared.halt.borrow().is_some() {
                return;
            }
        }
    }
}

/// Stores the durable state and drops what no kept checkpoint needs. A failure only makes the next start longer.
async fn checkpoint(shared: &Shared, log: &dyn Log) -> Result<(), Halt> {
    let state = {
        let mut core = shared.core.lock();
        let Core { durable, speculative, .. } = &mut *core;
        // Once a minute what has been written meanwhile is shared again; a copy costs little then.
        durable.share_batches(speculative);
        durable.clone()
    };
    let upto = state.next_seq - 1;
    let state = shared.tasks.spawn_blocking("persist-encode-checkpoint", move || encode_state(&state)).await;
    shared.written.note_checkpoint(state.len());
    let checkpoint = Checkpoint::new(shared.log_id, upto, shared.epoch, shared.nonce, state);
    for outcome in [log.checkpoint(checkpoint).await, log.truncate(upto).await] {
        match outcome {
            Ok(()) => {}
            Err(LogError::Broken(cause)) => return Err(Halt::Broken(cause)),
            Err(error) => {
                warn!(%error, "no checkpoint was made");
                return Ok(());
            }
        }
    }
    Ok(())
}
