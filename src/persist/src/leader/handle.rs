//! What environmentd asks of its leader.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use repr::{Diff, Row, ShardId, Timestamp};
use stdx::Task;
use tokio::sync::watch;
use uuid::Uuid;

use crate::blob::BlobError;
use crate::columns::Columns;
use crate::hold::{Hold, HoldError};
use crate::leader::core::{Core, Refusal, Shared};
use crate::leader::orphans::{self, Collected};
use crate::leader::{Halt, SnapshotError, WriteCounts};
use crate::merge::MergeHelper;
use crate::op::{GroupId, Op, Part, Txn};
use crate::part::consolidate;
use crate::read::{ReadCounts, Wanted};
use crate::shards::{AppendError, BlobErrorText};
use crate::state::State;

/// A handle to the leader in this process. The leader ends when the last one is dropped.
#[derive(Clone)]
pub struct LeaderHandle {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// In a lock only because a task cannot be shared between threads.
    _tasks: Mutex<Vec<Task>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.halt(Halt::Dropped, Vec::new());
        self.shared.work.notify_one();
    }
}

impl LeaderHandle {
    pub(crate) fn new(shared: Arc<Shared>, tasks: Vec<Task>) -> LeaderHandle {
        LeaderHandle { inner: Arc::new(Inner { shared, _tasks: Mutex::new(tasks) }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// Which log this is; a restore makes another.
    pub fn log_id(&self) -> Uuid {
        self.shared().log_id
    }

    pub fn epoch(&self) -> u64 {
        self.shared().epoch
    }

    pub fn generation(&self) -> u64 {
        self.shared().generation
    }

    /// Where other processes find the blob store.
    pub fn blob_url(&self) -> Option<&str> {
        self.shared().settings.blob_url.as_deref()
    }

    /// The leader's time: never goes back, is never below the floor, follows the wall clock.
    pub fn now(&self) -> Timestamp {
        self.shared().timeline.now()
    }

    /// No read was answered above this before this leader: where the oracle starts.
    pub fn floor(&self) -> Timestamp {
        self.shared().floor
    }

    /// The catalog's version as last proposed: what DDL must have been planned on.
    pub fn catalog_version(&self) -> u64 {
        self.shared().core.lock().speculative.catalog_version
    }

    /// The durable upper of a group.
    pub fn group_upper(&self, group: GroupId) -> Timestamp {
        self.shared().core.lock().durable.group_upper(group)
    }

    /// The upper of a group as last proposed: no later commit can be below it.
    pub fn speculative_group_upper(&self, group: GroupId) -> Timestamp {
        self.shared().core.lock().speculative.group_upper(group)
    }

    /// The time of the last write to a member of a group as last proposed, MIN if there was none; none if it does not exist.
    pub fn last_write(&self, shard: ShardId) -> Option<Timestamp> {
        self.shared().core.lock().speculative.live(shard).ok().map(|shard| shard.last_write())
    }

    /// The durable upper of a shard, its group's if it has one.
    pub fn upper(&self, shard: ShardId) -> Option<Timestamp> {
        self.shared().core.lock().durable.upper(shard)
    }

    /// The since of a shard as last proposed.
    pub fn since(&self, shard: ShardId) -> Option<Timestamp> {
        self.shared().holds.floor(shard)
    }

    /// How many updates are stored of a shard; not fewer than the distinct rows it has.
    pub fn stored_updates(&self, shard: ShardId) -> Option<u64> {
        let core = self.shared().core.lock();
        let shard = core.durable.live(shard).ok()?;
        Some(shard.batches.iter().map(|batch| batch.updates).sum())
    }

    /// The time from which on a shard was ever readable.
    pub fn created(&self, shard: ShardId) -> Option<Timestamp> {
        self.shared().core.lock().speculative.live(shard).ok().map(|shard| shard.created)
    }

    /// Whether the shard exists (as last proposed) and is not retired.
    pub fn is_shard(&self, shard: ShardId) -> bool {
        self.shared().core.lock().speculative.live(shard).is_ok()
    }

    /// Every live shard, durable or proposed.
    pub fn shards(&self) -> Vec<ShardId> {
        let core = self.shared().core.lock();
        core.speculative.shards.iter().filter(|(_, shard)| !shard.retired).map(|(id, _)| *id).collect()
    }

    /// A copy of the durable state, for inspection and tests.
    pub fn state(&self) -> State {
        self.shared().core.lock().durable.clone()
    }

    /// Keeps `shard` readable at `at` until the hold is dropped.
    pub fn hold(&self, shard: ShardId, at: Timestamp) -> Result<Hold, HoldError> {
        self.shared().holds.hold(shard, Some(at))
    }

    /// Takes a hold at the since of the moment, which the hold names.
    pub fn hold_at_since(&self, shard: ShardId) -> Result<Hold, HoldError> {
        self.shared().holds.hold(shard, None)
    }

    /// Has large merges done by other processes where blobs are in an object store.
    pub fn delegate_merges(&self, helper: Arc<dyn MergeHelper>) {
        *self.shared().helper.lock() = Some(helper);
    }

    /// Keeps `lag` of history of a shard readable from now on; also across `since` moves, but not across restarts.
    pub fn set_retention(&self, shard: ShardId, lag: Duration) {
        self.shared().core.lock().retention.insert(shard, lag);
    }

    /// What readers in this process have read of parts, and what statistics have spared them.
    pub fn read_counts(&self) -> ReadCounts {
        self.shared().counters.counts()
    }

    /// What this leader has had written since its start.
    pub fn write_counts(&self) -> WriteCounts {
        self.shared().written.counts()
    }

    /// The columns of a shard as last proposed; none if it does not exist.
    pub fn columns(&self, shard: ShardId) -> Option<Columns> {
        self.shared().core.lock().speculative.live(shard).ok().map(|shard| shard.columns.clone())
    }

    /// Deletes what crashed writers and former leaders have left in the blob store, as is done once a day anyway.
    pub async fn collect_orphans(&self) -> Result<Collected, AppendError> {
        orphans::collect(self.shared()).await
    }

    /// Changes whenever a durable upper has moved, when the log's disk is full or no longer is, and when the leader ends.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared().moved.subscribe()
    }

    /// Waits until the durable upper of `shard` is beyond `beyond`. Returns also if the shard is gone or the leader has ended.
    /// Cancel safety: may be dropped at any await.
    pub async fn wait_upper(&self, shard: ShardId, beyond: Timestamp) {
        let mut moved = self.watch();
        loop {
            moved.mark_unchanged();
            let waits = self.upper(shard).is_some_and(|upper| upper <= beyond && upper < Timestamp::MAX);
            if !waits || self.shared().halt.borrow().is_some() || moved.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether no other leader can have acknowledged anything by now: what a strict read checks after its time is chosen.
    pub fn lease_valid(&self) -> bool {
        self.shared().lease_valid()
    }

    /// Proves that no other leader had acknowledged anything when this was called: by the lease, or by a heartbeat if that
    /// has run out. Each strict read calls it after its time is chosen. Errors: the leader has ended, or never learned.
    pub async fn ensure_lease(&self) -> Result<(), AppendError> {
        let shared = self.shared();
        if shared.settings.lease.is_some() && shared.settings.clocks_may_stand_still {
            return shared.submit(Txn::default()).await.map_err(refused);
        }
        while !self.lease_valid() {
            shared.submit(Txn::default()).await.map_err(refused)?;
        }
        Ok(())
    }

    /// Whether the log has found no space: new writes are refused, and those under way wait until there is some.
    pub fn is_disk_full(&self) -> bool {
        self.shared().core.lock().disk_full
    }

    /// Waits until the leader has ended; the process must then end as well, or open another leader.
    pub async fn halted(&self) -> Halt {
        let mut halt = self.shared().halt.subscribe();
        let halt = halt.wait_for(Option::is_some).await.map(|halt| halt.clone());
        halt.ok().flatten().unwrap_or(Halt::Dropped)
    }

    /// Hands over: nothing can be written or acknowledged afterwards, and the next leader need not wait for a lease.
    ///
    /// `read_ts` is the oracle's: no read was answered above it. The log is released when this returns.
    pub async fn close(&self, read_ts: Timestamp) -> Result<(), AppendError> {
        self.shared().submit(Op::Close { read_ts }.into()).await.map_err(refused)?;
        let mut released = self.shared().released.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = released.wait_for(|released| *released).await;
        Ok(())
    }

    /// Reads the contents of `shard` at `as_of`.
    ///
    /// Shape: sorted by row; one entry per distinct row; diffs are non-zero.
    /// Errors: `Expired` when `as_of < since`; `Incomplete` when the durable upper is not beyond `as_of`.
    /// Cost: reads the whole shard into memory.
    pub async fn snapshot(&self, shard: ShardId, as_of: Timestamp) -> Result<Vec<(Row, Diff)>, SnapshotError> {
        let shared = self.shared();
        let _hold = self.hold(shard, as_of).map_err(|error| match error {
            HoldError::BelowSince { since } => SnapshotError::Expired { since },
            HoldError::NotFound => SnapshotError::NotFound,
        })?;
        let (reader, parts, columns) = {
            let mut core = shared.core.lock();
            let seq = core.durable.next_seq - 1;
            let upper = core.durable.upper(shard).ok_or(SnapshotError::NotFound)?;
            if upper <= as_of {
                return Err(SnapshotError::Incomplete { upper });
            }
            let state = core.durable.live(shard).map_err(|_| SnapshotError::NotFound)?;
            let (batches, columns) = (&state.batches, state.columns.clone());
            let parts =
                batches.iter().filter(|batch| batch.lower <= as_of).flat_map(|batch| batch.parts.iter().cloned());
            let parts: Vec<Part> = parts.collect();
            (Reading::new(shared, &mut core, shard, seq), parts, columns)
        };
        let mut updates = Vec::new();
        let unreadable = |error: BlobError| SnapshotError::Blob(BlobErrorText(error.of_shard(shard).to_string()));
        let counters = Arc::clone(&shared.counters);
        let wanted = Wanted { to: as_of.step_forward(), counters, ..Wanted::everything(columns) };
        for part in parts.iter().filter(|part| wanted.wants_part(part)) {
            let mut stream = shared.store.open(part, wanted.clone()).await.map_err(unreadable)?;
            while let Some(block) = stream.next_block().await {
                let block = block.map_err(unreadable)?;
                updates.extend(
                    block.into_iter().filter(|update| update.1 <= as_of).map(|(row, _, diff)| (row, as_of, diff)),
                );
            }
        }
        drop(reader);
        consolidate(&mut updates);
        Ok(updates.into_iter().map(|(row, _, diff)| (row, diff)).collect())
    }
}

/// Keeps the parts of one state from being deleted.
struct Reading {
    shared: Arc<Shared>,
    id: u64,
}

impl Reading {
    fn new(shared: &Arc<Shared>, core: &mut Core, shard: ShardId, seq: u64) -> Reading {
        // It reads once only, so no later compaction can show it an update twice.
        let id = Shared::add_reader(core, shard, Timestamp::MAX);
        if let Some(reader) = core.readers.get_mut(&id) {
            reader.outstanding.push_back(seq);
        }
        Reading { shared: Arc::clone(shared), id }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.shared.core.lock().readers.remove(&self.id);
    }
}

/// Why an append was refused, in the caller's terms.
pub(crate) fn refused(refusal: Refusal) -> AppendError {
    use crate::state::Reject;
    match refusal {
        Refusal::Reject(Reject::UpperMismatch { actual, .. }) => AppendError::UpperMismatch { actual },
        Refusal::Reject(Reject::Closed(_)) => AppendError::Closed,
        Refusal::Reject(Reject::NotFound(_)) => AppendError::NotFound,
        Refusal::Reject(reject @ Reject::Fenced { .. }) => AppendError::Fenced(reject.to_string()),
        Refusal::Reject(reject) => AppendError::Invalid(reject.to_string()),
        Refusal::DiskFull => AppendError::DiskFull,
        Refusal::Unknown(reason) => AppendError::Unknown(reason),
        Refusal::Halted(reason) => AppendError::Halted(reason),
    }
}
