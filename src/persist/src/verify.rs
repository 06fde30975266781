//! Reading everything that is stored and checking every checksum.

use std::fmt;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use repr::ShardId;

use crate::backup::LogImage;
use crate::blob::{Blob, BlobError};
use crate::columns::Columns;
use crate::leader::OpenError;
use crate::log::{Log, LogError, Survey};
use crate::op::{HollowPart, Part};
use crate::read::{PartStream, Wanted, verify_part};
use crate::state::State;

/// Parts in memory at a time.
const PARTS_AT_ONCE: usize = 2;

/// One thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Whose contents it takes away.
    pub shard: Option<ShardId>,
    /// Names the part, checkpoint, entry or file, and where in it.
    pub cause: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shard {
            Some(shard) => write!(f, "shard {shard}: {}", self.cause),
            None => f.write_str(&self.cause),
        }
    }
}

/// What was looked at, and what was wrong.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    pub checkpoints: u64,
    pub entries: u64,
    /// Parts in the blob store.
    pub parts: u64,
    pub part_bytes: u64,
    /// Parts within checkpoints and entries.
    pub inline_parts: u64,
    pub damages: Vec<Damage>,
}

/// Checks every checkpoint, every entry, the state they add up to, and every part that it names. Changes nothing.
///
/// Errors: nothing at all could be read. What is damaged is in the result.
pub async fn verify(log: &dyn Log, blob: &Blob) -> Result<Verification, LogError> {
    let Survey { checkpoints, entries, damages } = log.survey().await?;
    let mut found = Verification {
        checkpoints: checkpoints.len() as u64,
        entries: entries.len() as u64,
        damages: damages.into_iter().map(|cause| Damage { shard: None, cause }).collect(),
        ..Verification::default()
    };
    let newest = checkpoints.into_iter().next_back();
    let first = newest.as_ref().map_or(0, |checkpoint| checkpoint.upto) + 1;
    let behind = entries.into_iter().filter(|entry| entry.seq >= first);
    // Behind a gap nothing can be replayed; the survey has named it.
    let tail = behind.zip(first..).take_while(|(entry, expected)| entry.seq == *expected).map(|(entry, _)| entry);
    let replayed = LogImage::new(newest, tail.collect()).and_then(|image| image.last());
    match replayed {
        Ok(state) => {
            if let Err(broken) = state.check() {
                found.damages.push(Damage { shard: None, cause: format!("the state is not sound: {broken}") });
            }
            check_parts(blob, &state, &mut found).await;
        }
        Err(OpenError::Corrupt(cause)) => found.damages.push(Damage { shard: None, cause }),
        Err(error) => found.damages.push(Damage { shard: None, cause: error.to_string() }),
    }
    Ok(found)
}

async fn check_parts(blob: &Blob, state: &State, found: &mut Verification) {
    let mut hollow: Vec<(ShardId, &HollowPart)> = Vec::new();
    for (id, shard) in state.shards.iter().filter(|(_, shard)| !shard.retired) {
        for batch in shard.batches.iter() {
            for part in batch.parts.iter() {
                match part {
                    Part::Hollow(stored) => hollow.push((*id, stored)),
                    Part::Inline(_) => {
                        found.inline_parts += 1;
                        if let Err(cause) = check_inline(part, batch.id).await {
                            found.damages.push(Damage { shard: Some(*id), cause });
                        }
                    }
                }
            }
        }
    }
    // Boxed, for the compiler cannot see through the closure that they may move between threads.
    let checks: Vec<BoxFuture<'_, _>> =
        hollow.into_iter().map(|(shard, part)| async move { (shard, verify_part(blob, part).await) }.boxed()).collect();
    let mut checks = futures::stream::iter(checks).buffered(PARTS_AT_ONCE);
    while let Some((shard, checked)) = checks.next().await {
        found.parts += 1;
        match checked {
            Ok(counts) => found.part_bytes += counts.bytes,
            Err(error) => found.damages.push(Damage { shard: Some(shard), cause: error.to_string() }),
        }
    }
}

async fn check_inline(part: &Part, batch: u64) -> Result<(), String> {
    let named = |error: BlobError| format!("batch {batch}: {error}");
    let mut stream = PartStream::open(None, part, Wanted::everything(Columns::default())).await.map_err(named)?;
    while let Some(block) = stream.next_block().await {
        block.map_err(named)?;
    }
    Ok(())
}
