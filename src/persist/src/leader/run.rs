//! The leader's loop: drain, append, apply, answer. While an append is in flight the next entry accumulates.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use stdx::Backoff;
use tracing::{error, warn};

use crate::checkpoint::encode_state;
use crate::leader::Halt;
use crate::leader::core::{EntryBatch, Shared};
use crate::log::{Append, Checkpoint, Entry, Log, LogError, Slot};
use crate::op::Op;

/// An append is committed by the store's word alone only if the previous one started less than this ago: truncation may
/// have passed a slot that has been free for longer.
const FRESH: Duration = Duration::from_secs(600);

/// Runs until the leader ends; the log is dropped then.
pub(crate) async fn run(shared: &Shared, log: Arc<dyn Log>) {
    let mut since_checkpoint = 0;
    let mut checkpoint_at = shared.boot();
    loop {
        let heartbeat = wait_for_work(shared).await;
        if shared.halt.borrow().is_some() {
            return;
        }
        let batch = shared.take_batch();
        if batch.txns.is_empty() && !heartbeat {
            // Only rejected ones, and what they were rejected for is durable: nothing is in flight here.
            shared.reply(batch.replies);
            continue;
        }
        let closing = batch.txns.iter().any(|txn| txn.ops.iter().any(|op| matches!(op, Op::Close { .. })));
        since_checkpoint += batch.body.len();
        let started = match store(shared, log.as_ref(), &batch).await {
            Ok(started) => started,
            Err(halt) => {
                error!(%halt, epoch = shared.epoch, "the leader ends");
                shared.halt(halt, batch.replies);
                return;
            }
        };
        shared.committed(batch, started);
        if closing {
            shared.halt(Halt::Closed, Vec::new());
            return;
        }
        let settings = &shared.settings;
        if since_checkpoint >= settings.checkpoint_bytes || shared.boot() >= checkpoint_at + settings.checkpoint_every {
            checkpoint_at = shared.boot();
            since_checkpoint = 0;
            if let Err(halt) = checkpoint(shared, log.as_ref()).await {
                error!(%halt, epoch = shared.epoch, "the leader ends");
                shared.halt(halt, Vec::new());
                return;
            }
        }
    }
}

/// Waits until there is something to append; true if it is a heartbeat that is due.
async fn wait_for_work(shared: &Shared) -> bool {
    loop {
        if !shared.core.lock().queue.is_empty() {
            return false;
        }
        let Some(lease) = shared.settings.lease else {
            shared.work.notified().await;
            continue;
        };
        let due = shared.core.lock().committed_start + lease / 3;
        let rest = due.saturating_sub(shared.boot());
        if rest.is_zero() {
            return true;
        }
        let work = std::pin::pin!(shared.work.notified());
        if let Either::Right(_) = select(work, shared.tasks.sleep(rest)).await {
            return shared.core.lock().queue.is_empty();
        }
    }
}

/// Appends the entry and finds out what became of it, however long that takes; when the append started.
async fn store(shared: &Shared, log: &dyn Log, batch: &EntryBatch) -> Result<Duration, Halt> {
    let entry = Entry::new(batch.seq, shared.epoch, shared.nonce, batch.body.clone());
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
    loop {
        let started = shared.boot();
        let previous = shared.core.lock().committed_start;
        let fresh = shared.settings.lease.is_none() || started.saturating_sub(previous) < FRESH;
        match log.append(entry.clone()).await {
            Ok(Append::Committed { .. }) if fresh => {
                set_disk_full(shared, false);
                return Ok(started);
            }
            Ok(Append::Committed { .. } | Append::Occupied(_)) | Err(LogError::Indeterminate(_)) => {}
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
        if is_stored(shared, log, &entry).await? {
            set_disk_full(shared, false);
            return Ok(started);
        }
        shared.tasks.sleep(backoff.next_delay()).await;
    }
}

/// Only reading decides: whether the slot holds this entry. False: it is free, send the same bytes again.
async fn is_stored(shared: &Shared, log: &dyn Log, entry: &Entry) -> Result<bool, Halt> {
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
    loop {
        match log.read(entry.seq).await {
            Ok(Slot::Present(found)) if found == *entry => return Ok(true),
            Ok(Slot::Present(_) | Slot::Truncated) => return Err(Halt::Fenced),
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
    changed
}

/// Stores the durable state and drops what no kept checkpoint needs. A failure only makes the next start longer.
async fn checkpoint(shared: &Shared, log: &dyn Log) -> Result<(), Halt> {
    let (state, upto) = {
        let core = shared.core.lock();
        (encode_state(&core.durable), core.durable.next_seq - 1)
    };
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
