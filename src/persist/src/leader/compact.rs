//! Compaction: adjacent batches of a shard become one, with times advanced to since.
//!
//! Batches are of a size class: the first up to 16 KiB, each next one four times that. Four adjacent ones of a class (sixteen of
//! the first), with any smaller ones between, become one; so each update is rewritten about once for each class. More than
//! 256 KiB in log entries go to the blob store sooner. A shard that nobody writes to any more, and whose since has passed its
//! last write, is merged further: that is when what cancels gives its space back.
//!
//! A merge reads its inputs in step, and opens a part no sooner than a row of it can be next. So memory is bounded by the number
//! of inputs times a few hundred KiB, and a part of output. Losing a race costs garbage only. Small merges do not wait for
//! large ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use repr::{Diff, Row, ShardId, Timestamp};
use tracing::{debug, warn};

use crate::batch_run::Run;
use crate::blob::{BatchBuilder, BlobError, Ticket, delete_part};
use crate::columns::Columns;
use crate::leader::core::{Core, Refusal, Shared, hollow_keys};
use crate::op::{BatchDesc, Op, Part};
use crate::part::Summary;
use crate::read::{Cursor, Wanted};
use crate::state::{Reject, Shard};

/// Batches up to this long are of class 0.
const CLASS_BYTES: u64 = 16 << 10;
/// So many of a class are merged; of class 0, which cost little, more.
const RUN: usize = 4;
const RUN_TINY: usize = 16;
/// A shard with more bytes in the log entries themselves has them written to the blob store.
const INLINE_BYTES_MAX: usize = 256 << 10;
/// A merge has at most so many inputs.
const INPUTS_MAX: usize = 64;
/// So much is fetched at a time of each input.
const READ_AHEAD: usize = 256 << 10;
/// Merges of more are large.
const LARGE_BYTES: u64 = 16 << 20;
/// A shard without a write for this long is idle.
const IDLE: Duration = Duration::from_secs(60);
/// A merge lets others run after so many updates.
const UPDATES_PER_TURN: usize = 4096;

/// What is to be merged, and what is being merged.
#[derive(Default)]
pub(crate) struct Plans {
    /// Shards to look at.
    wanted: BTreeSet<ShardId>,
    /// Shards of which a large merge is due, or any merge since they are idle.
    large: BTreeMap<ShardId, Why>,
    /// The last input of a large merge: batches up to it are taken.
    taken: BTreeMap<ShardId, u64>,
    /// The ticket times of merges in progress.
    tickets: Vec<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Grown,
    Idle,
}

impl Plans {
    /// A shard has grown; whether that is new.
    pub(crate) fn want(&mut self, shard: ShardId) -> bool {
        self.wanted.insert(shard)
    }

    /// Parts written at or after it may be about to be named by a merge.
    pub(crate) fn oldest_merge(&self) -> Option<Timestamp> {
        self.tickets.iter().min().copied()
    }
}

/// Merges what is small, and hands on what is large.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let shard = shared.core.lock().plans.wanted.pop_first();
        match shard {
            None => shared.compaction.notified().await,
            Some(shard) => report(shard, compact_small(&shared, shard).await),
        }
    }
}

/// Merges what is large, one shard at a time.
pub(crate) async fn run_large(shared: Arc<Shared>) {
    loop {
        let due = shared.core.lock().plans.large.pop_first();
        match due {
            None => shared.large_compaction.notified().await,
            Some((shard, why)) => {
                report(shard, compact_large(&shared, shard, why).await);
                shared.core.lock().plans.taken.remove(&shard);
            }
        }
    }
}

/// Looks for shards that nobody writes to any more.
pub(crate) async fn find_idle(shared: Arc<Shared>) {
    let mut before: BTreeMap<ShardId, u64> = BTreeMap::new();
    loop {
        shared.tasks.sleep(IDLE).await;
        if shared.halt.borrow().is_some() {
            return;
        }
        let mut core = shared.core.lock();
        let now: BTreeMap<ShardId, u64> =
            core.durable.shards.iter().map(|(id, shard)| (*id, shard.next_batch)).collect();
        let is_idle = |id: &ShardId, shard: &Shard| before.get(id) == Some(&shard.next_batch);
        let shards = core.durable.shards.iter().filter(|(id, shard)| is_idle(id, shard) && !shard.retired);
        let idle: Vec<ShardId> = shards
            .filter(|(id, shard)| choose_idle(shard, since(&core, **id, shard)).is_some())
            .map(|(id, _)| *id)
            .collect();
        for shard in idle {
            core.plans.large.insert(shard, Why::Idle);
        }
        drop(core);
        shared.large_compaction.notify_one();
        before = now;
    }
}

fn report(shard: ShardId, outcome: Result<(), Failure>) {
    match outcome {
        Ok(()) | Err(Failure::Refused(Refusal::Reject(Reject::Stale | Reject::NotFound(_)))) => {}
        Err(Failure::Refused(refusal)) => debug!(%shard, ?refusal, "compaction was in vain"),
        Err(Failure::Blob(error)) => {
            let error = error.of_shard(shard);
            warn!(%shard, %error, "compaction failed; it is tried again after the next write");
        }
    }
}

enum Failure {
    Blob(BlobError),
    Refused(Refusal),
}

/// Whether some of the shard's batches should be merged.
pub(crate) fn wants_compaction(shard: &Shard) -> bool {
    !shard.retired && choose(shard, None).is_some()
}

/// Up to here batches can be merged: an empty last one of a solo shard still grows, and would make the swap come too late.
fn settled(shard: &Shard) -> usize {
    let growing = shard.group.is_none() && shard.batches.last().is_some_and(|batch| batch.parts.is_empty());
    shard.batches.len() - usize::from(growing)
}

/// Which batches to merge, of those behind the one that is `taken`.
fn choose(shard: &Shard, taken: Option<u64>) -> Option<Range<usize>> {
    let end = settled(shard);
    let position = taken.and_then(|taken| shard.batches.iter().position(|batch| batch.id == taken));
    let begin = position.map_or(0, |position| position + 1);
    if end < begin + 2 {
        return None;
    }
    let batches = &shard.batches[begin..end];
    let run = run_of_class(batches).or_else(|| {
        let inline: usize = batches.iter().map(inline_bytes).sum();
        let first = batches.iter().position(|batch| inline_bytes(batch) > 0)?;
        (inline > INLINE_BYTES_MAX && batches.len() - first > 1).then_some(first..batches.len())
    })?;
    let run = cheapest(batches, run);
    Some(begin + run.start..begin + run.end)
}

fn class(batch: &BatchDesc) -> u32 {
    (batch.bytes / CLASS_BYTES).checked_ilog(4).map_or(0, |class| class + 1)
}

/// The longest run of adjacent batches of at most some class, among them enough of that class; of the least class possible.
fn run_of_class(batches: &[BatchDesc]) -> Option<Range<usize>> {
    let classes: Vec<u32> = batches.iter().map(class).collect();
    let known: BTreeSet<u32> = classes.iter().copied().collect();
    for class in known {
        let enough = if class == 0 { RUN_TINY } else { RUN };
        let mut start = 0;
        for run in classes.split(|other| *other > class) {
            if run.iter().filter(|other| **other == class).count() >= enough {
                return Some(start..start + run.len());
            }
            start += run.len() + 1;
        }
    }
    None
}

/// Of a run that is too long, the stretch with the fewest bytes: the others follow in later merges.
fn cheapest(batches: &[BatchDesc], run: Range<usize>) -> Range<usize> {
    if run.len() <= INPUTS_MAX {
        return run;
    }
    let bytes = |start: &usize| batches[*start..start + INPUTS_MAX].iter().map(|batch| batch.bytes).sum::<u64>();
    let start = (run.start..=run.end - INPUTS_MAX).min_by_key(bytes).unwrap_or(run.start);
    start..start + INPUTS_MAX
}

/// Which batches of an idle shard to merge: those from the newest back that are not much longer than the newer ones together,
/// or a single one whose times have not been advanced yet.
fn choose_idle(shard: &Shard, since: Timestamp) -> Option<Range<usize>> {
    let end = settled(shard);
    let newest = shard.batches[..end].iter().rfind(|batch| !batch.parts.is_empty())?;
    if newest.upper.step_back() > since {
        return None;
    }
    let (mut start, mut total) = (end - 1, shard.batches[end - 1].bytes);
    while start > 0 && end - start < INPUTS_MAX && shard.batches[start - 1].bytes <= 2 * total.max(CLASS_BYTES) {
        start -= 1;
        total += shard.batches[start].bytes;
    }
    let has_history = |batch: &BatchDesc| {
        let mut times = batch.parts.iter().filter_map(|part| match part {
            Part::Hollow(hollow) => Some((hollow.t_min, hollow.t_max)),
            Part::Inline(_) => None,
        });
        let Some((mut min, mut max)) = times.next() else { return false };
        times.for_each(|(t_min, t_max)| (min, max) = (min.min(t_min), max.max(t_max)));
        min < max && batch.since < max
    };
    (end - start > 1 || has_history(&shard.batches[start])).then_some(start..end)
}

/// What times of a shard's updates may be advanced to.
fn since(core: &Core, id: ShardId, shard: &Shard) -> Timestamp {
    // The since of a shard that has written little yet may lie beyond its upper. No update is advanced to or beyond the
    // upper, where snapshots end, nor to or beyond a reader's position, or it would be sent twice.
    let written = core.durable.upper_of(shard).step_back();
    let positions = core.readers.values().filter(|reader| reader.shard == id).map(|reader| reader.position);
    positions.fold(shard.since.min(written), |since, position| since.min(position.step_back()))
}

fn inline_bytes(batch: &BatchDesc) -> usize {
    let sizes = batch.parts.iter().map(|part| match part {
        Part::Inline(bytes) => bytes.len(),
        Part::Hollow(_) => 0,
    });
    sizes.sum()
}

async fn compact_small(shared: &Shared, id: ShardId) -> Result<(), Failure> {
    let job = {
        let mut core = shared.core.lock();
        let taken = core.plans.taken.get(&id).copied();
        let Some(shard) = core.durable_shard(id) else { return Ok(()) };
        let Some(run) = choose(shard, taken) else { return Ok(()) };
        if shard.batches[run.clone()].iter().map(|batch| batch.bytes).sum::<u64>() > LARGE_BYTES {
            if taken.is_none() {
                core.plans.large.entry(id).or_insert(Why::Grown);
                shared.large_compaction.notify_one();
            }
            return Ok(());
        }
        Job::new(&core, id, shard, run)
    };
    job.run(shared).await
}

async fn compact_large(shared: &Shared, id: ShardId, why: Why) -> Result<(), Failure> {
    let job = {
        let mut core = shared.core.lock();
        let Some(shard) = core.durable_shard(id) else { return Ok(()) };
        let idle = if why == Why::Idle { choose_idle(shard, since(&core, id, shard)) } else { None };
        let Some(run) = idle.or_else(|| choose(shard, None)) else { return Ok(()) };
        let job = Job::new(&core, id, shard, run);
        let last = job.inputs.last().map_or(0, |batch| batch.id);
        core.plans.taken.insert(id, last);
        job
    };
    job.run(shared).await
}

/// One merge.
struct Job {
    id: ShardId,
    columns: Columns,
    inputs: Vec<BatchDesc>,
    since: Timestamp,
}

impl Job {
    fn new(core: &Core, id: ShardId, shard: &Shard, run: Range<usize>) -> Job {
        let since = since(core, id, shard);
        Job { id, columns: shard.columns.clone(), inputs: shard.batches[run].to_vec(), since }
    }

    async fn run(self, shared: &Shared) -> Result<(), Failure> {
        let ticket = shared.ticket();
        let begun = Timestamp::from_millis(ticket.millis);
        shared.core.lock().plans.tickets.push(begun);
        let outcome = self.merge_and_swap(shared, ticket).await;
        let mut core = shared.core.lock();
        if let Some(at) = core.plans.tickets.iter().position(|time| *time == begun) {
            core.plans.tickets.swap_remove(at);
        }
        outcome
    }

    async fn merge_and_swap(self, shared: &Shared, ticket: Ticket) -> Result<(), Failure> {
        let written = self.merge(shared, ticket).await.map_err(Failure::Blob)?;
        let Job { id: shard, inputs, since, .. } = self;
        let (first, last) = (&inputs[0], &inputs[inputs.len() - 1]);
        let Run { parts, updates, bytes } = written;
        let (token, parts) = (last.token, parts.into());
        // Times that an input had advanced further stay so.
        let since = inputs.iter().fold(since, |since, input| since.max(input.since));
        let output = BatchDesc { id: 0, lower: first.lower, upper: last.upper, since, updates, bytes, token, parts };
        let keys = hollow_keys(&output);
        let inputs = inputs.iter().map(|batch| batch.id).collect();
        let op = Op::Replace { shard, generation: shared.generation, inputs, output };
        let refusal = match shared.submit(op.into()).await {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        };
        if matches!(refusal, Refusal::Reject(_) | Refusal::DiskFull) {
            // It is not in the log and never will be; what cannot be deleted now is found by the next search for orphans.
            for key in keys {
                if let Err(error) = delete_part(&shared.store.blob, &key).await {
                    debug!(%error, "a part of a lost merge stays for a while");
                }
            }
        }
        Err(Failure::Refused(refusal))
    }

    /// Merges sorted parts, advances times to `since` and consolidates.
    async fn merge(&self, shared: &Shared, ticket: Ticket) -> Result<Run, BlobError> {
        let wanted = Wanted { read_ahead: READ_AHEAD, ..Wanted::everything(self.columns.clone()) };
        let parts: Vec<&Part> = self.inputs.iter().flat_map(|batch| batch.parts.iter()).collect();
        let mut cursors: Vec<Option<Cursor>> = parts.iter().map(|_| None).collect();
        let mut heads: BinaryHeap<Reverse<Head>> =
            parts.iter().enumerate().map(|(index, part)| Reverse(Head::unopened(index, part))).collect();
        let mut builder = BatchBuilder::new(shared.store.clone(), self.columns.clone(), ticket);
        let mut current: Option<(Row, Timestamp, Diff)> = None;
        let mut turns = 0;
        while let Some(Reverse(Head { row, time, index, diff })) = heads.pop() {
            let Some(diff) = diff else {
                cursors[index] = Some(Cursor::new(shared.store.open(parts[index], wanted.clone()).await?));
                self.advance(&mut cursors, &mut heads, index).await?;
                continue;
            };
            self.advance(&mut cursors, &mut heads, index).await?;
            current = match current {
                Some((last_row, last_time, sum)) if last_row == row && last_time == time => {
                    Some((last_row, last_time, sum.plus(diff)))
                }
                finished => {
                    put(&mut builder, finished).await?;
                    Some((row, time, diff))
                }
            };
            turns += 1;
            if turns % UPDATES_PER_TURN == 0 {
                let_others_run().await;
            }
        }
        put(&mut builder, current).await?;
        builder.finish().await
    }

    /// Puts a part's next update among the heads; the part is let go behind its last.
    async fn advance(
        &self,
        cursors: &mut [Option<Cursor>],
        heads: &mut BinaryHeap<Reverse<Head>>,
        index: usize,
    ) -> Result<(), BlobError> {
        let Some(cursor) = &mut cursors[index] else { return Ok(()) };
        match cursor.next_update().await? {
            Some((row, time, diff)) => {
                heads.push(Reverse(Head { row, time: time.max(self.since), index, diff: Some(diff) }));
            }
            None => cursors[index] = None,
        }
        Ok(())
    }
}

/// The next update of a part, or, while it is not open (without a diff), a bound below its first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    row: Row,
    time: Timestamp,
    index: usize,
    diff: Option<Diff>,
}

impl Head {
    fn unopened(index: usize, part: &Part) -> Head {
        let first = match part {
            Part::Hollow(hollow) => Summary::decode(&hollow.statistics).first,
            Part::Inline(_) => Vec::new(),
        };
        Head { row: Row::from_bytes(&first), time: Timestamp::MIN, index, diff: None }
    }
}

async fn put(builder: &mut BatchBuilder, update: Option<(Row, Timestamp, Diff)>) -> Result<(), BlobError> {
    match update {
        Some((row, time, diff)) if !diff.is_zero() => builder.push(&row, time, diff).await,
        _ => Ok(()),
    }
}

async fn let_others_run() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
