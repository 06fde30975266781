//! The state at a time: tables as of their last commit by then, shards of their own exactly up to it.
//!
//! Tables need no cutting: entries are replayed up to the last commit at or below the time. A shard with an upper of its own
//! may run ahead of the tables or lag behind them in the log, so appends are taken until it is complete at the time, and what
//! lies beyond the time is cut off.

use std::sync::Arc;

use repr::{ShardId, Timestamp};

use crate::backup::image::LogImage;
use crate::blob::{BatchBuilder, BatchStore, Blob, BlobError, Ticket};
use crate::columns::Columns;
use crate::leader::OpenError;
use crate::op::{BatchDesc, Op, Part};
use crate::read::{Cursor, PartStream, Wanted};
use crate::state::{Shard, State};

pub(crate) enum CutError {
    Log(OpenError),
    /// The shard's contents at the time are not known any more.
    Expired {
        shard: ShardId,
        since: Timestamp,
    },
    Read(BlobError),
    Write(BlobError),
}

/// Where the parts are read from, and where the rests of those that are cut go.
pub(crate) struct Shears<'a> {
    pub(crate) read: &'a Blob,
    pub(crate) write: &'a BatchStore,
    pub(crate) ticket: Ticket,
}

/// The state whose readers at `at` get what they got there.
pub(crate) async fn state_at(image: &LogImage, at: Timestamp, shears: &Shears<'_>) -> Result<State, CutError> {
    let (mut state, appends) = image.split_at(at).map_err(CutError::Log)?;
    for append in appends {
        let Op::Append { shard: id, .. } = append else { continue };
        if state.live(id).is_ok_and(|shard| shard.group.is_none() && shard.upper <= at) {
            let corrupt = |reject| CutError::Log(OpenError::Corrupt(format!("an append to {id}: {reject}")));
            state.apply(&append.into()).map_err(corrupt)?;
        }
    }
    for (id, shard) in &mut state.shards {
        if shard.retired {
            continue;
        }
        if shard.since > at {
            return Err(CutError::Expired { shard: *id, since: shard.since });
        }
        if shard.group.is_none() && !shard.scheduled && shard.upper > at.step_forward() {
            cut(shard, at, shears).await?;
        }
    }
    Ok(state)
}

async fn cut(shard: &mut Shard, at: Timestamp, shears: &Shears<'_>) -> Result<(), CutError> {
    let batches = Arc::make_mut(&mut shard.batches);
    batches.retain(|batch| batch.lower <= at);
    if let Some(last) = batches.last_mut() {
        *last = cut_batch(last, &shard.columns, at, shears).await?;
    }
    shard.upper = at.step_forward();
    shard.closed = false;
    // Of appends that are not in it, some of them.
    shard.tokens.clear();
    Ok(())
}

async fn cut_batch(
    batch: &BatchDesc,
    columns: &Columns,
    at: Timestamp,
    shears: &Shears<'_>,
) -> Result<BatchDesc, CutError> {
    let (mut parts, mut updates, mut bytes) = (Vec::new(), 0, 0);
    for part in batch.parts.iter() {
        if let Part::Hollow(hollow) = part {
            if hollow.t_min > at {
                continue;
            }
            if hollow.t_max <= at {
                updates += hollow.updates;
                bytes += hollow.bytes;
                parts.push(part.clone());
                continue;
            }
        }
        let wanted = Wanted::everything(columns.clone());
        let mut cursor = Cursor::new(PartStream::open(Some(shears.read), part, wanted).await.map_err(CutError::Read)?);
        let mut builder = BatchBuilder::new(shears.write.clone(), columns.clone(), shears.ticket);
        while let Some((row, time, diff)) = cursor.next_update().await.map_err(CutError::Read)? {
            if time <= at {
                builder.push(&row, time, diff).await.map_err(CutError::Write)?;
            }
        }
        let written = builder.finish().await.map_err(CutError::Write)?;
        updates += written.updates;
        bytes += written.bytes;
        parts.extend(written.parts);
    }
    let parts = parts.into();
    Ok(BatchDesc { upper: at.step_forward(), updates, bytes, parts, ..batch.clone() })
}
