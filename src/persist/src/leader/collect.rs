//! Deletes parts that the state names no more, once nobody can be reading them.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::blob::delete_part;
use crate::leader::backup::oldest_pin;
use crate::leader::core::{Core, Delayed, Shared};
use crate::op::Op;

pub(crate) async fn run(shared: Arc<Shared>) {
    let every = (shared.settings.delete_after / 10).clamp(Duration::from_millis(100), Duration::from_secs(60));
    loop {
        shared.tasks.sleep(every).await;
        if shared.halt.borrow().is_some() {
            return;
        }
        let due = take_due(&shared, &mut shared.core.lock());
        for delayed in due {
            delete(&shared, delayed).await;
        }
    }
}

/// Those old enough, that no reader of an older state still has before it, and that no backup in progress may name.
fn take_due(shared: &Shared, core: &mut Core) -> Vec<Delayed> {
    let pinned = oldest_pin(core);
    let boot = shared.boot();
    let oldest =
        core.readers.values().filter_map(|reader| reader.outstanding.front().copied()).min().unwrap_or(u64::MAX);
    let unread = oldest.min(pinned);
    let is_due = |delayed: &Delayed| delayed.at + shared.settings.delete_after <= boot && delayed.seq <= unread;
    let (due, rest) = std::mem::take(&mut core.delayed).into_iter().partition(is_due);
    core.delayed = rest;
    due
}

async fn delete(shared: &Shared, mut delayed: Delayed) {
    while let Some(key) = delayed.keys.pop() {
        if let Err(error) = delete_part(&shared.store.blob, &key).await {
            warn!(%error, "a part that nobody needs could not be deleted; it is tried again");
            delayed.keys.push(key);
            shared.core.lock().delayed.push(delayed);
            return;
        }
    }
    if let Some(shard) = delayed.forget {
        // A refusal means that the leader ends, or that the disk is full: the next leader forgets the shard.
        if shared.submit(Op::Retire { shard }.into()).await.is_err() {
            delayed.at = shared.boot();
            shared.core.lock().delayed.push(delayed);
        }
    }
}
