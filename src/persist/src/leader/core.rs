//! The leader's memory: two states, what waits between them, and who is reading.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::{Either, select};
use parking_lot::Mutex;
use repr::{ShardId, Timestamp};
use stdx::Tasks;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use uuid::Uuid;

use crate::blob::{BatchStore, Ticket};
use crate::encode::{encode_txns, size_estimate};
use crate::hold::HoldTable;
use crate::leader::backup::Backups;
use crate::leader::compact;
use crate::leader::written::WriteCounters;
use crate::leader::{Halt, LeaderConfig};
use crate::location::BlobUrl;
use crate::merge::MergeHelper;
use crate::op::{BatchDesc, Op, Part, Txn};
use crate::read::ReadCounters;
use crate::state::{Reject, Shard, State};
use crate::timeline::Timeline;

/// One entry holds at most so many transactions, and about so many bytes.
const ENTRY_TXNS_MAX: usize = 4096;
const ENTRY_BYTES_MAX: usize = 4 << 20;
/// Transactions that wait may take about so much memory; whoever comes then waits first.
pub(crate) const QUEUE_KIB_MAX: usize = 128 << 10;
/// What can wait goes with the next entry, if there is one this soon.
const PATIENCE: Duration = Duration::from_millis(20);
/// The last of what is durable stays readable.
const LAG_MIN: Duration = Duration::from_micros(1);
/// Since moves at most this often.
const SINCE_EVERY: Duration = Duration::from_secs(1);

/// Everything the leader's tasks and handles share.
pub(crate) struct Shared {
    pub(crate) tasks: Tasks,
    pub(crate) store: BatchStore,
    pub(crate) settings: Settings,
    pub(crate) log_id: Uuid,
    pub(crate) epoch: u64,
    pub(crate) generation: u64,
    pub(crate) nonce: Uuid,
    pub(crate) floor: Timestamp,
    pub(crate) opened_at: Duration,
    pub(crate) timeline: Timeline,
    pub(crate) holds: Arc<HoldTable>,
    pub(crate) core: Mutex<Core>,
    /// There is something to append.
    pub(crate) work: Notify,
    /// There may be something to compact.
    pub(crate) compaction: Notify,
    pub(crate) large_compaction: Notify,
    /// Changes whenever a durable upper has moved, and when the disk is full or no longer is.
    pub(crate) moved: watch::Sender<u64>,
    pub(crate) halt: watch::Sender<Option<Halt>>,
    /// The loop has ended and let the log go.
    pub(crate) released: watch::Sender<bool>,
    /// Bounds what waits, in KiB.
    pub(crate) budget: Arc<Semaphore>,
    /// Commits take their place in the log in the order in which they were made.
    pub(crate) turn: Semaphore,
    pub(crate) counters: Arc<ReadCounters>,
    pub(crate) written: WriteCounters,
    pub(crate) backups: Backups,
    /// Who merges what is large, if anybody else can.
    pub(crate) helper: Mutex<Option<Arc<dyn MergeHelper>>>,
}

pub(crate) struct Settings {
    pub(crate) blob_url: Option<String>,
    pub(crate) lease: Option<Duration>,
    pub(crate) clocks_may_stand_still: bool,
    pub(crate) boot_grace: Duration,
    pub(crate) compaction_lag: Duration,
    pub(crate) checkpoint_bytes: usize,
    pub(crate) checkpoint_every: Duration,
    pub(crate) delete_after: Duration,
    pub(crate) collect_every: Duration,
    pub(crate) orphan_age_ms: u64,
    pub(crate) former_age: Duration,
}

impl Settings {
    pub(crate) fn of(config: &LeaderConfig) -> Settings {
        Settings {
            blob_url: config.blob_url.clone(),
            lease: config.lease,
            clocks_may_stand_still: config.clocks_may_stand_still,
            boot_grace: config.boot_grace,
            compaction_lag: config.compaction_lag,
            checkpoint_bytes: config.checkpoint_bytes,
            checkpoint_every: config.checkpoint_every,
            delete_after: config.delete_after,
            collect_every: config.collect_every,
            orphan_age_ms: millis(config.orphan_age),
            former_age: config.former_age,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) struct Core {
    /// Up to the last entry found committed.
    pub(crate) durable: State,
    /// Plus what waits and what is in flight.
    pub(crate) speculative: State,
    pub(crate) queue: VecDeque<Pending>,
    /// Something in the queue is not to wait for company.
    pub(crate) hurried: bool,
    pub(crate) disk_full: bool,
    /// A `Close` waits or is durable: nothing may follow.
    pub(crate) closing: bool,
    pub(crate) last: LastAppend,
    pub(crate) since_moved_at: Duration,
    pub(crate) incarnations: BTreeMap<u64, u64>,
    pub(crate) retention: BTreeMap<ShardId, Duration>,
    pub(crate) plans: compact::Plans,
    pub(crate) delayed: Vec<Delayed>,
    pub(crate) readers: BTreeMap<u64, ReaderState>,
    pub(crate) next_reader: u64,
}

/// The last append that was found committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastAppend {
    /// When it started, by both clocks. It landed later, so a lease counted from here ends no later than others expect.
    pub(crate) start: Duration,
    pub(crate) wall_ms: u64,
    /// When the store says that it landed.
    pub(crate) stored_at: Option<SystemTime>,
    pub(crate) took: Duration,
}

/// A transaction on its way into the log, or one that was rejected and waits for what it was rejected for.
pub(crate) struct Pending {
    pub(crate) txn: Option<Txn>,
    pub(crate) outcome: Result<(), Reject>,
    pub(crate) reply: Option<oneshot::Sender<Result<(), Refusal>>>,
    /// Room in the queue, given back once it is answered.
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

/// Parts that the state names no more.
pub(crate) struct Delayed {
    pub(crate) keys: Vec<String>,
    /// The entry that dropped them.
    pub(crate) seq: u64,
    pub(crate) at: Duration,
    /// A retired shard to forget once they are deleted.
    pub(crate) forget: Option<ShardId>,
}

/// Someone who reads parts of a shard.
pub(crate) struct ReaderState {
    pub(crate) shard: ShardId,
    /// Everything below has been delivered.
    pub(crate) position: Timestamp,
    /// States whose parts may still be read, oldest first.
    pub(crate) outstanding: VecDeque<u64>,
}

/// Why a transaction did not happen.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    Reject(Reject),
    DiskFull,
    Unknown(String),
    Halted(String),
}

/// What the next entry holds.
pub(crate) struct EntryBatch {
    pub(crate) seq: u64,
    pub(crate) txns: Vec<Txn>,
    pub(crate) body: Bytes,
    pub(crate) replies: Vec<Pending>,
}

impl Shared {
    pub(crate) fn boot(&self) -> Duration {
        self.tasks.clock().boot()
    }

    /// An append that starts now.
    pub(crate) fn start_append(&self) -> LastAppend {
        let clock = self.tasks.clock();
        LastAppend { start: clock.boot(), wall_ms: clock.wall_ms(), stored_at: None, took: Duration::ZERO }
    }

    /// Who else can merge: nobody where blobs are in a directory, which this process reads as fast as any other.
    pub(crate) fn helper(&self) -> Option<Arc<dyn MergeHelper>> {
        let url = self.settings.blob_url.as_ref().and_then(|url| url.parse::<BlobUrl>().ok());
        let is_directory = url.as_ref().is_some_and(|url| url.directory().is_some());
        self.helper.lock().clone().filter(|_| !is_directory)
    }

    pub(crate) fn ticket(&self) -> Ticket {
        Ticket { millis: self.timeline.now().millis(), epoch: self.epoch }
    }

    /// Waits for room in the queue, then enqueues.
    pub(crate) async fn submit(&self, txn: Txn) -> Result<(), Refusal> {
        let permit = self.permit(&txn).await?;
        let reply = self.enqueue(txn, Some(permit))?;
        self.answer(reply).await
    }

    pub(crate) async fn permit(&self, txn: &Txn) -> Result<OwnedSemaphorePermit, Refusal> {
        let kib = (size_estimate(txn) / 1024 + 1).min(QUEUE_KIB_MAX);
        let kib = u32::try_from(kib).expect("bounded by the queue's limit");
        let budget = Arc::clone(&self.budget);
        budget.acquire_many_owned(kib).await.map_err(|_| Refusal::Halted(self.halt_reason()))
    }

    /// As [`submit`](Self::submit), for what nobody waits for: it goes into the log with what comes next, or, if nothing does
    /// within [`PATIENCE`], on its own.
    pub(crate) async fn submit_patiently(&self, txn: Txn) -> Result<(), Refusal> {
        let permit = self.permit(&txn).await?;
        let reply = self.queue_up(txn, Some(permit), false)?;
        let answer = std::pin::pin!(self.answer(reply));
        match select(answer, self.tasks.sleep(PATIENCE)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), answer)) => {
                self.core.lock().hurried = true;
                self.work.notify_one();
                answer.await
            }
        }
    }

    /// Applies a transaction to the speculative state and gives it its place in the log, which is written at once.
    pub(crate) fn enqueue(
        &self,
        txn: Txn,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<oneshot::Receiver<Result<(), Refusal>>, Refusal> {
        let receiver = self.queue_up(txn, permit, true)?;
        self.work.notify_one();
        Ok(receiver)
    }

    fn queue_up(
        &self,
        txn: Txn,
        permit: Option<OwnedSemaphorePermit>,
        hurried: bool,
    ) -> Result<oneshot::Receiver<Result<(), Refusal>>, Refusal> {
        let (reply, receiver) = oneshot::channel();
        let mut core = self.core.lock();
        if core.closing || self.halt.borrow().is_some() {
            return Err(Refusal::Halted(self.halt_reason()));
        }
        if core.disk_full {
            return Err(Refusal::DiskFull);
        }
        let outcome = core.speculative.apply(&txn);
        if outcome.is_ok() {
            self.note_holds(&txn);
            core.closing = txn.ops.iter().any(|op| matches!(op, Op::Close { .. }));
        }
        let txn = outcome.is_ok().then_some(txn);
        core.queue.push_back(Pending { txn, outcome, reply: Some(reply), _permit: permit });
        core.hurried |= hurried;
        Ok(receiver)
    }

    /// Waits for the outcome of what was enqueued.
    pub(crate) async fn answer(&self, reply: oneshot::Receiver<Result<(), Refusal>>) -> Result<(), Refusal> {
        match reply.await {
            Ok(outcome) => outcome,
            Err(_) => Err(Refusal::Unknown(self.halt_reason())),
        }
    }

    pub(crate) fn halt_reason(&self) -> String {
        self.halt.borrow().as_ref().map_or_else(|| "shutting down".to_owned(), Halt::to_string)
    }

    fn note_holds(&self, txn: &Txn) {
        for op in &txn.ops {
            match op {
                Op::Create { shard, since, .. } => self.holds.insert(*shard, *since),
                Op::Retire { shard } => self.holds.remove(*shard),
                _ => {}
            }
        }
    }

    /// Takes what the next entry holds off the queue, with sinces to move if it holds anything.
    pub(crate) fn take_batch(&self) -> EntryBatch {
        let mut core = self.core.lock();
        if core.queue.iter().any(|pending| pending.txn.is_some()) {
            self.propose_sinces(&mut core);
        }
        let (mut txns, mut replies, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(mut pending) = core.queue.pop_front() {
            if let Some(txn) = pending.txn.take() {
                bytes += size_estimate(&txn);
                txns.push(txn);
            }
            replies.push(pending);
            if replies.len() == ENTRY_TXNS_MAX || bytes >= ENTRY_BYTES_MAX {
                break;
            }
        }
        core.hurried = !core.queue.is_empty();
        let seq = core.durable.next_seq;
        drop(core);
        EntryBatch { seq, body: encode_txns(&txns), txns, replies }
    }

    /// Moves sinces to `min(min(upper, now) - lag, holds)`, at most once a second and not before the grace is over.
    fn propose_sinces(&self, core: &mut Core) {
        let boot = self.boot();
        if boot < self.opened_at + self.settings.boot_grace || boot < core.since_moved_at + SINCE_EVERY {
            return;
        }
        core.since_moved_at = boot;
        let now = self.timeline.now();
        let wanted: Vec<(ShardId, Timestamp)> = core
            .durable
            .shards
            .iter()
            .filter(|(id, shard)| !shard.retired && core.speculative.live(**id).is_ok())
            .map(|(id, shard)| {
                let lag = core.retention.get(id).copied().unwrap_or(self.settings.compaction_lag);
                let newest = core.durable.upper_of(shard).min(now);
                (*id, newest.minus(lag.max(LAG_MIN)))
            })
            .collect();
        for (shard, wanted) in wanted {
            let Some(since) = self.holds.propose(shard, wanted) else { continue };
            let txn = Txn::from(Op::Since { shard, generation: self.generation, since });
            let outcome = core.speculative.apply(&txn);
            assert!(outcome.is_ok(), "a since of a live shard is never rejected");
            core.queue.push_back(Pending { txn: Some(txn), outcome, reply: None, _permit: None });
        }
    }

    /// Applies a committed entry to the durable state, then answers everybody in it.
    pub(crate) fn committed(&self, batch: EntryBatch, append: LastAppend) {
        self.written.note_entry(&batch);
        let mut core = self.core.lock();
        let mut moved = false;
        for txn in &batch.txns {
            self.note_replaced(&mut core, txn, batch.seq);
            let applied = core.durable.apply(txn);
            assert!(applied.is_ok(), "the durable state rejects what the speculative one took: {applied:?}");
            moved |= txn
                .ops
                .iter()
                .any(|op| matches!(op, Op::Append { .. } | Op::Commit { .. } | Op::Create { .. } | Op::Retire { .. }));
            self.note_growth(&mut core, txn);
        }
        core.durable.next_seq = batch.seq + 1;
        core.speculative.next_seq = batch.seq + 1;
        core.last = append;
        drop(core);
        if moved {
            self.moved.send_modify(|version| *version += 1);
        }
        self.reply(batch.replies);
    }

    pub(crate) fn reply(&self, replies: Vec<Pending>) {
        for pending in replies {
            if let Some(reply) = pending.reply {
                // Whoever asked may have left.
                let _ = reply.send(pending.outcome.map_err(Refusal::Reject));
            }
        }
    }

    /// Remembers parts that `txn` is about to drop from the durable state.
    fn note_replaced(&self, core: &mut Core, txn: &Txn, seq: u64) {
        let at = self.boot();
        for op in &txn.ops {
            match op {
                Op::Replace { shard, inputs, .. } => {
                    let Some(state) = core.durable.shards.get(shard) else { continue };
                    let replaced = state.batches.iter().filter(|batch| inputs.contains(&batch.id));
                    let keys: Vec<String> = replaced.flat_map(hollow_keys).collect();
                    if !keys.is_empty() {
                        core.delayed.push(Delayed { keys, seq, at, forget: None });
                    }
                }
                Op::Retire { shard } => {
                    let Some(state) = core.durable.shards.get(shard).filter(|state| !state.retired) else { continue };
                    let keys = state.batches.iter().flat_map(hollow_keys).collect();
                    core.delayed.push(Delayed { keys, seq, at, forget: Some(*shard) });
                    core.retention.remove(shard);
                }
                _ => {}
            }
        }
    }

    fn note_growth(&self, core: &mut Core, txn: &Txn) {
        let grown = txn.ops.iter().flat_map(|op| match op {
            Op::Append { shard, .. } | Op::Replace { shard, .. } => vec![*shard],
            Op::Commit { appends, .. } => appends.iter().map(|(shard, _, _)| *shard).collect(),
            _ => Vec::new(),
        });
        let mut any = false;
        for shard in grown {
            if core.durable.shards.get(&shard).is_some_and(compact::wants_compaction) {
                any |= core.plans.want(shard);
            }
        }
        if any {
            self.compaction.notify_one();
        }
    }

    /// Ends the leader: what was in flight is unknown, what waited was not written.
    pub(crate) fn halt(&self, halt: Halt, in_flight: Vec<Pending>) {
        self.halt.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(halt);
            }
            first
        });
        let reason = self.halt_reason();
        let waiting: Vec<Pending> = self.core.lock().queue.drain(..).collect();
        for pending in in_flight {
            if let Some(reply) = pending.reply {
                let _ = reply.send(Err(Refusal::Unknown(reason.clone())));
            }
        }
        for pending in waiting {
            // A rejected one may have been rejected for something that was in flight.
            let refusal = match pending.txn {
                Some(_) => Refusal::Halted(reason.clone()),
                None => Refusal::Unknown(reason.clone()),
            };
            if let Some(reply) = pending.reply {
                let _ = reply.send(Err(refusal));
            }
        }
        self.budget.close();
        // Wakes whoever waits for an upper.
        self.moved.send_modify(|version| *version += 1);
    }

    pub(crate) fn lease_valid(&self) -> bool {
        if self.halt.borrow().is_some() {
            return false;
        }
        match self.settings.lease {
            None => true,
            Some(lease) => self.boot() < self.core.lock().last.start + lease,
        }
    }

    /// Registers someone who will read parts of the state as it is now.
    pub(crate) fn add_reader(core: &mut Core, shard: ShardId, position: Timestamp) -> u64 {
        let id = core.next_reader;
        core.next_reader += 1;
        core.readers.insert(id, ReaderState { shard, position, outstanding: VecDeque::new() });
        id
    }
}

impl Core {
    /// A live shard of the durable state.
    pub(crate) fn durable_shard(&self, shard: ShardId) -> Option<&Shard> {
        self.durable.live(shard).ok()
    }
}

pub(crate) fn hollow_keys(batch: &BatchDesc) -> Vec<String> {
    let keys = batch.parts.iter().filter_map(|part| match part {
        Part::Hollow(hollow) => Some(hollow.key.clone()),
        Part::Inline(_) => None,
    });
    keys.collect()
}
