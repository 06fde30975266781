//! Looking at a store without leading it.

use repr::{Diff, Row, ShardId, Timestamp};

use crate::backup::LogImage;
use crate::blob::{Blob, BlobError};
use crate::leader::{OpenError, SnapshotError};
use crate::log::Log;
use crate::part::consolidate;
use crate::read::{Cursor, PartStream, Wanted};
use crate::shards::BlobErrorText;
use crate::state::State;

/// What a log adds up to, and what a start has to read for it.
#[derive(Clone, Debug)]
pub struct StoredState {
    pub state: State,
    /// The last entry that the newest sound checkpoint contains.
    pub checkpoint: Option<u64>,
    /// Encoded size of that checkpoint.
    pub checkpoint_bytes: u64,
    /// Entries behind it.
    pub tail_entries: u64,
    pub tail_bytes: u64,
}

/// Reads a log. Errors: as when a leader opens it. Changes nothing.
pub async fn read_state(log: &dyn Log) -> Result<StoredState, OpenError> {
    let image = LogImage::load(log).await?;
    let (checkpoint, entries) = (&image.piece.checkpoint, &image.piece.entries);
    Ok(StoredState {
        state: image.last()?,
        checkpoint: checkpoint.as_ref().map(|checkpoint| checkpoint.upto),
        checkpoint_bytes: checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.state.len() as u64),
        tail_entries: entries.len() as u64,
        tail_bytes: entries.iter().map(|entry| entry.body.len() as u64).sum(),
    })
}

/// Reads the contents of `shard` at `as_of` from a state and the parts it names.
///
/// Shape: sorted by row; one entry per distinct row; diffs are non-zero.
/// Errors: `Expired` when `as_of < since`; `Incomplete` when the upper is not beyond `as_of`.
/// Cost: reads the whole shard into memory.
pub async fn read_snapshot(
    state: &State,
    blob: &Blob,
    shard: ShardId,
    as_of: Timestamp,
) -> Result<Vec<(Row, Diff)>, SnapshotError> {
    let found = state.live(shard).map_err(|_| SnapshotError::NotFound)?;
    if as_of < found.since {
        return Err(SnapshotError::Expired { since: found.since });
    }
    let upper = state.upper_of(found);
    if upper <= as_of {
        return Err(SnapshotError::Incomplete { upper });
    }
    let unreadable = |error: BlobError| SnapshotError::Blob(BlobErrorText(error.to_string()));
    let wanted = Wanted::everything(found.columns.clone());
    let mut updates = Vec::new();
    for part in found.batches.iter().filter(|batch| batch.lower <= as_of).flat_map(|batch| batch.parts.iter()) {
        let mut cursor = Cursor::new(PartStream::open(Some(blob), part, wanted.clone()).await.map_err(unreadable)?);
        while let Some((row, time, diff)) = cursor.next_update().await.map_err(unreadable)? {
            if time <= as_of {
                updates.push((row, as_of, diff));
            }
        }
    }
    consolidate(&mut updates);
    Ok(updates.into_iter().map(|(row, _, diff)| (row, diff)).collect())
}
