//! Compaction: adjacent batches of a shard become one, with times advanced to since.
//!
//! Runs are chosen so that each update is rewritten a logarithmic number of times: from the newest batch back for as long as
//! the next older one is at most twice as large as all the newer ones together. Losing a race costs garbage only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;

use repr::{Diff, Row, ShardId, Timestamp};
use tracing::{debug, warn};

use crate::blob::{BatchBuilder, BlobError, Cursor, Written};
use crate::leader::core::{Refusal, Shared};
use crate::op::{BatchDesc, Op, Part};
use crate::state::{Reject, Shard};

/// A shard with more batches is compacted.
const BATCHES_MAX: usize = 8;
/// So is one with more bytes in the log entries themselves.
const INLINE_BYTES_MAX: usize = 1 << 20;
/// A run of fewer is not worth the writing, whatever their sizes.
const RUN_MIN: usize = 4;
/// A merge lets others run after so many updates.
const UPDATES_PER_TURN: usize = 4096;

pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let shard = shared.core.lock().to_compact.pop_first();
        let Some(shard) = shard else {
            shared.compaction.notified().await;
            continue;
        };
        match compact(&shared, shard).await {
            Ok(()) | Err(Failure::Refused(Refusal::Reject(Reject::Stale | Reject::NotFound(_)))) => {}
            Err(Failure::Refused(refusal)) => debug!(%shard, ?refusal, "compaction was in vain"),
            Err(Failure::Blob(error)) => {
                warn!(%shard, %error, "compaction failed; it is tried again after the next write")
            }
        }
    }
}

enum Failure {
    Blob(BlobError),
    Refused(Refusal),
}

/// Whether the shard has more batches or inline bytes than it should.
pub(crate) fn wants_compaction(shard: &Shard) -> bool {
    !shard.retired && choose(shard).is_some()
}

/// Which batches to merge.
fn choose(shard: &Shard) -> Option<Range<usize>> {
    // An empty last batch of a solo shard still grows, and would make the swap come too late.
    let growing = shard.group.is_none() && shard.batches.last().is_some_and(|batch| batch.parts.is_empty());
    let end = shard.batches.len() - usize::from(growing);
    let batches = &shard.batches[..end];
    if end < 2 || (end <= BATCHES_MAX && batches.iter().map(inline_bytes).sum::<usize>() <= INLINE_BYTES_MAX) {
        return None;
    }
    let size = |batch: &BatchDesc| batch.bytes + 64;
    let (mut start, mut total) = (end - 1, size(&batches[end - 1]));
    while start > 0 && (end - start < RUN_MIN || size(&batches[start - 1]) <= 2 * total) {
        start -= 1;
        total += size(&batches[start]);
    }
    Some(start..end)
}

fn inline_bytes(batch: &BatchDesc) -> usize {
    let sizes = batch.parts.iter().map(|part| match part {
        Part::Inline(bytes) => bytes.len(),
        Part::Hollow(_) => 0,
    });
    sizes.sum()
}

async fn compact(shared: &Shared, id: ShardId) -> Result<(), Failure> {
    let (inputs, since) = {
        let core = shared.core.lock();
        let Some(shard) = core.durable_shard(id) else { return Ok(()) };
        let Some(run) = choose(shard) else { return Ok(()) };
        // The since of a shard that has written little yet may lie beyond its upper. No update is advanced to or beyond the
        // upper, where snapshots end, nor to or beyond a reader's position, or it would be sent twice.
        let written = core.durable.upper_of(shard).step_back();
        let positions = core.readers.values().filter(|reader| reader.shard == id).map(|reader| reader.position);
        let since = positions.fold(shard.since.min(written), |since, position| since.min(position.step_back()));
        (shard.batches[run].to_vec(), since)
    };
    let written = merge(shared, &inputs, since).await.map_err(Failure::Blob)?;
    let (first, last) = (&inputs[0], &inputs[inputs.len() - 1]);
    let Written { parts, updates, bytes } = written;
    let token = last.token;
    // Times that an input had advanced further stay so.
    let since = inputs.iter().fold(since, |since, input| since.max(input.since));
    let output = BatchDesc { id: 0, lower: first.lower, upper: last.upper, since, updates, bytes, token, parts };
    let inputs = inputs.iter().map(|batch| batch.id).collect();
    let op = Op::Replace { shard: id, generation: shared.generation, inputs, output };
    shared.submit(op.into()).await.map_err(Failure::Refused)
}

/// Merges sorted parts, advances times to `since` and consolidates, with a block of each part in memory.
async fn merge(shared: &Shared, inputs: &[BatchDesc], since: Timestamp) -> Result<Written, BlobError> {
    let mut cursors = Vec::new();
    let mut heads = BinaryHeap::new();
    for part in inputs.iter().flat_map(|batch| &batch.parts) {
        let mut cursor = Cursor::new(shared.store.open(part).await?);
        let index = cursors.len();
        if let Some((row, time, diff)) = cursor.next_update()? {
            heads.push(Reverse((row, time.max(since), index, diff)));
        }
        cursors.push(cursor);
    }
    let mut builder = BatchBuilder::new(shared.store.clone(), shared.ticket());
    let mut current: Option<(Row, Timestamp, Diff)> = None;
    let mut turns = 0;
    while let Some(Reverse((row, time, index, diff))) = heads.pop() {
        if let Some((row, time, diff)) = cursors[index].next_update()? {
            heads.push(Reverse((row, time.max(since), index, diff)));
        }
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
