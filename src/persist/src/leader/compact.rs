//! Compaction: adjacent batches of a shard become one, with times advanced to since.
//!
//! Batches are of a size class: the first up to 16 KiB, each next one four times that. Four adjacent ones of a class (sixteen of
//! the first), with any smaller ones between, become one; so each update is rewritten about once for each class. More than
//! 256 KiB in log entries go to the blob store sooner. A shard that nobody writes to any more, and whose since has passed its
//! last write, is merged further: that is when what cancels gives its space back.
//!
//! Losing a race costs garbage only. Small merges do not wait for large ones. Where blobs are in an object store, a replica is
//! asked to do the large ones, whose bytes then do not pass through this process; what none of them does is done here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use repr::{ShardId, Timestamp};
use tracing::{debug, warn};

use crate::batch_run::Run;
use crate::blob::{BlobError, Ticket, delete_part};
use crate::columns::Columns;
use crate::leader::core::{Core, Refusal, Shared, hollow_keys};
use crate::merge::MergeJob;
use crate::op::{BatchDesc, Op, Part};
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
/// A shard without a write for this long is idle.
const IDLE: Duration = Duration::from_secs(60);

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
    /// Merges of more are large.
    large_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Grown,
    Idle,
}

impl Plans {
    pub(crate) fn new(large_bytes: u64) -> Plans {
        Plans { large_bytes, ..Plans::default() }
    }

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
        if shard.batches[run.clone()].iter().map(|batch| batch.bytes).sum::<u64>() > core.plans.large_bytes {
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
    /// Too large to be done here if another can.
    is_large: bool,
}

impl Job {
    fn new(core: &Core, id: ShardId, shard: &Shard, run: Range<usize>) -> Job {
        let since = since(core, id, shard);
        let inputs = shard.batches[run].to_vec();
        let is_large = inputs.iter().map(|batch| batch.bytes).sum::<u64>() > core.plans.large_bytes;
        Job { id, columns: shard.columns.clone(), inputs, since, is_large }
    }

    /// Has another process merge the inputs, or does it here.
    async fn merge(&self, shared: &Shared, ticket: Ticket) -> Result<Run, BlobError> {
        let parts = self.inputs.iter().flat_map(|batch| batch.parts.iter().cloned()).collect();
        let job = MergeJob { shard: self.id, columns: self.columns.clone(), parts, since: self.since, ticket };
        if self.is_large
            && let Some(helper) = shared.helper()
        {
            match helper.merge(job.clone()).await {
                Ok(run) if job.is_answered_by(&run) => {
                    shared.written.note_delegated();
                    return Ok(run);
                }
                Ok(_) => warn!(shard = %self.id, "a replica has merged something else than it was asked to"),
                Err(reason) => debug!(shard = %self.id, reason, "no replica merges; it is done here"),
            }
        }
        job.run(&shared.store).await
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
        let merged = self.merge(shared, ticket).await.map_err(Failure::Blob)?;
        let Job { id: shard, inputs, since, .. } = self;
        let (first, last) = (&inputs[0], &inputs[inputs.len() - 1]);
        let Run { parts, updates, bytes } = merged;
        let (token, parts) = (last.token, parts.into());
        // Times that an input had advanced further stay so.
        let since = inputs.iter().fold(since, |since, input| since.max(input.since));
        let output = BatchDesc { id: 0, lower: first.lower, upper: last.upper, since, updates, bytes, token, parts };
        let keys = hollow_keys(&output);
        let inputs = inputs.iter().map(|batch| batch.id).collect();
        let op = Op::Replace { shard, generation: shared.generation, inputs, output };
        let refusal = match shared.submit_patiently(op.into()).await {
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
}
