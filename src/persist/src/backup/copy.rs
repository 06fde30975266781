//! Copying parts from one blob store to another: few at a time, each read through before it is written.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use stdx::Tasks;

use crate::blob::{Blob, BlobError, memory_blob};
use crate::op::HollowPart;
use crate::read::verify_part;

/// Parts in memory at a time, of at most 64 MiB and a row each.
const PARTS_AT_ONCE: usize = 2;

/// How far a copy has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub parts_total: u64,
    pub parts_copied: u64,
    pub bytes_copied: u64,
    /// Parts that were there already.
    pub parts_shared: u64,
    pub bytes_shared: u64,
}

/// Which side failed.
pub(crate) enum CopyError {
    From(BlobError),
    To(BlobError),
}

/// Copies the parts that `there`, the sizes of the target's objects, has not got. Returns the names of those that `from` has
/// no more. A part that is damaged in `from` is an error: it must not pass for a copy.
pub(crate) async fn copy_parts(
    tasks: &Tasks,
    from: &Blob,
    to: &Blob,
    parts: &BTreeMap<String, HollowPart>,
    there: &BTreeMap<String, u64>,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(Progress, Vec<String>), CopyError> {
    let (shared, missing): (Vec<&HollowPart>, Vec<&HollowPart>) =
        parts.values().partition(|part| there.get(&part.key) == Some(&part.bytes));
    let mut done = Progress {
        parts_total: parts.len() as u64,
        parts_shared: shared.len() as u64,
        bytes_shared: shared.iter().map(|part| part.bytes).sum(),
        ..Progress::default()
    };
    progress(done);
    // Boxed, for the compiler cannot see through the closure that they may move between threads.
    let copies: Vec<BoxFuture<'_, _>> =
        missing.into_iter().map(|part| copy_part(tasks, from, to, part).boxed()).collect();
    let mut copies = futures::stream::iter(copies).buffer_unordered(PARTS_AT_ONCE);
    let mut gone = Vec::new();
    while let Some(copied) = copies.next().await {
        match copied {
            Ok(bytes) => {
                done.parts_copied += 1;
                done.bytes_copied += bytes;
                progress(done);
            }
            Err(CopyError::From(BlobError::Missing(key))) => gone.push(key),
            Err(error) => return Err(error),
        }
    }
    Ok((done, gone))
}

async fn copy_part(tasks: &Tasks, from: &Blob, to: &Blob, part: &HollowPart) -> Result<u64, CopyError> {
    let path = Path::from(part.key.as_str());
    let failed = |error| CopyError::From(BlobError::of(&part.key, &error));
    let bytes = from.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)?;
    let length = bytes.len() as u64;
    check_part(tasks, part, bytes.clone()).await.map_err(CopyError::From)?;
    let put = to.put(&path, PutPayload::from(bytes)).await;
    put.map_err(|error| CopyError::To(BlobError::of(&part.key, &error)))?;
    Ok(length)
}

/// Reads a part through, off the threads that serve others: decompressing much takes long.
async fn check_part(tasks: &Tasks, part: &HollowPart, bytes: Bytes) -> Result<(), BlobError> {
    // What is read is what was fetched, so it is put where reading takes no time.
    let fetched = memory_blob();
    let path = Path::from(part.key.as_str());
    fetched.put(&path, PutPayload::from(bytes)).await.map_err(|error| BlobError::of(&part.key, &error))?;
    let part = part.clone();
    let check = move || futures::executor::block_on(verify_part(&fetched, &part));
    tasks.spawn_blocking("persist-check-part", check).await.map(drop)
}
