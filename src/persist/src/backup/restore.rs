//! Restoring a backup into an empty store, under a new log id.
//!
//! The order makes an interrupted restore harmless: a mark, the parts, the checkpoint, and the mark's end. A store with the
//! mark is not opened; the same restore done again finishes it.

use std::collections::BTreeMap;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use repr::Timestamp;
use stdx::{Rng, Tasks};
use uuid::Uuid;

use crate::backup::BackupError;
use crate::backup::copy::{CopyError, Progress, copy_parts};
use crate::backup::cut::{CutError, Shears, state_at};
use crate::backup::image::{LogImage, state_parts};
use crate::backup::make::tables_time;
use crate::backup::manifest::Manifest;
use crate::backup::target::{list_backups, put, read_log, read_manifest, sizes};
use crate::blob::{BatchStore, Blob, BlobError, Ticket};
use crate::checkpoint::encode_state;
use crate::log::{Checkpoint, Log};
use crate::state::State;

/// The mark's name in the blob store that is being filled.
const MARK: &str = "restoring";
/// Rests of batches that are cut stay in the checkpoint up to this length.
const INLINE_BYTES_MAX: usize = 256 << 10;

/// The store to fill.
pub struct Destination<'a> {
    pub tasks: &'a Tasks,
    pub rng: &'a Rng,
    pub log: &'a dyn Log,
    pub blob: &'a Blob,
}

/// What to restore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreRequest {
    /// None: the newest that has the time.
    pub backup: Option<String>,
    /// None: everything that is in the backup.
    pub at: Option<Timestamp>,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    pub backup: String,
    pub log_id: Uuid,
    /// The time of the tables.
    pub at: Timestamp,
    pub shards: usize,
    pub copied: Progress,
}

/// Fills an empty store from the backups in `from`.
///
/// Errors: `Unsuitable` when the store is not empty or no backup has the time; nothing was changed then.
pub async fn restore(
    from: &Blob,
    request: &RestoreRequest,
    to: &Destination<'_>,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<RestoreReport, BackupError> {
    let manifest = find_backup(from, request).await?;
    let image = read_log(from, &manifest).await?;
    let damaged = |cause: String| BackupError::Damaged { id: manifest.id.clone(), cause };
    let image = LogImage::new(image.checkpoint, image.entries).map_err(|error| damaged(error.to_string()))?;
    let mark = mark_of(&manifest, request);
    let begun = check_empty(to, &manifest, &mark).await?;
    if let Begun::Finished(state) = begun {
        finish(to).await?;
        return Ok(report(&manifest, &state, Progress::default()));
    }
    put(to.blob, &Path::from(MARK), mark.into()).await.map_err(at_destination)?;
    let at = request.at.map(|at| at.min(manifest.to));
    let mut state = state_to_restore(&image, at, from, to, &manifest).await?;
    begin_new_log(&mut state, to.rng);
    let wanted = state_parts(&state);
    let there = listed(to.blob).await?;
    // Rests of parts that were cut are there already and nowhere else.
    let from_backup = wanted.into_iter().filter(|(key, _)| manifest.parts.iter().any(|part| part.key == *key));
    let from_backup: BTreeMap<_, _> = from_backup.collect();
    let copied = copy_parts(to.tasks, from, to.blob, &from_backup, &there, progress).await;
    let (copied, gone) = copied.map_err(|error| match error {
        CopyError::From(BlobError::Corrupt(error)) => damaged(error.to_string()),
        CopyError::From(error) => BackupError::Target(error),
        CopyError::To(error) => BackupError::Source(error),
    })?;
    if let Some(key) = gone.first() {
        return Err(damaged(format!("part {key} is missing")));
    }
    let nonce = state.nonce;
    let checkpoint = Checkpoint::new(state.log_id, state.next_seq - 1, state.epoch, nonce, encode_state(&state));
    to.log.checkpoint(checkpoint).await.map_err(|error| BackupError::Log(error.into()))?;
    finish(to).await?;
    Ok(report(&manifest, &state, copied))
}

fn report(manifest: &Manifest, state: &State, copied: Progress) -> RestoreReport {
    let (backup, log_id, shards) = (manifest.id.clone(), state.log_id, state.shards.len());
    RestoreReport { backup, log_id, at: tables_time(state), shards, copied }
}

/// Errors of the store being filled, in terms of the environment that it will be.
fn at_destination(error: BackupError) -> BackupError {
    match error {
        BackupError::Target(error) => BackupError::Source(error),
        error => error,
    }
}

/// The backup that a restore would take. Errors: there is none, or it is damaged.
pub async fn find_backup(from: &Blob, request: &RestoreRequest) -> Result<Manifest, BackupError> {
    let listing = list_backups(from).await?;
    // The end of the millisecond that shows as the last time means that time.
    let has = |manifest: &Manifest, at: Timestamp| manifest.from <= at && at.millis() <= manifest.to.millis();
    let manifest = match (&request.backup, request.at) {
        (Some(id), _) => match listing.backups.iter().find(|manifest| manifest.id == *id) {
            Some(manifest) => Some(manifest.clone()),
            // Says what is wrong with it.
            None if listing.damaged.iter().any(|(damaged, _)| damaged == id) => Some(read_manifest(from, id).await?),
            None => return Err(BackupError::Unsuitable(format!("there is no complete backup {id} in this place"))),
        },
        (None, Some(at)) => listing.backups.iter().rev().find(|manifest| has(manifest, at)).cloned(),
        (None, None) => listing.backups.last().cloned(),
    };
    let Some(manifest) = manifest else {
        return Err(BackupError::Unsuitable(match request.at {
            Some(at) if !listing.backups.is_empty() => {
                let ranges = listing.backups.iter().map(|m| format!("{} to {} (backup {})", m.from, m.to, m.id));
                let ranges = ranges.collect::<Vec<_>>().join(", ");
                format!("no backup can be restored at {at}; times that can be had: {ranges}")
            }
            _ => "there is no complete backup in this place".to_owned(),
        }));
    };
    if let Some(at) = request.at
        && !has(&manifest, at)
    {
        return Err(BackupError::Unsuitable(format!(
            "backup {} cannot be restored at {at}, only at times from {} to {}",
            manifest.id, manifest.from, manifest.to
        )));
    }
    Ok(manifest)
}

fn mark_of(manifest: &Manifest, request: &RestoreRequest) -> String {
    match request.at {
        Some(at) => format!("{} at {at}\n", manifest.id),
        None => format!("{}\n", manifest.id),
    }
}

enum Begun {
    No,
    /// Everything but the end of the mark was done.
    Finished(State),
}

/// Errors: the store holds something that this restore has not put there.
async fn check_empty(to: &Destination<'_>, manifest: &Manifest, mark: &str) -> Result<Begun, BackupError> {
    let refuse = |what: String| Err(BackupError::Unsuitable(format!("the store to restore into is not empty: {what}")));
    let begun = read_mark(to.blob).await?;
    match &begun {
        Some(found) if found != mark => {
            return refuse(format!("a restore of {} into it was interrupted; do that again", found.trim_end()));
        }
        _ => {}
    }
    let (checkpoint, entries) = to.log.load().await.map_err(|error| BackupError::Log(error.into()))?;
    if let Some(entry) = entries.last() {
        return refuse(format!("its log has entries up to {}", entry.seq));
    }
    if let Some(checkpoint) = checkpoint {
        if begun.is_none() {
            return refuse(format!("its log has a checkpoint up to entry {}", checkpoint.upto));
        }
        return Ok(Begun::Finished(crate::leader::restore_checkpoint(&checkpoint)?));
    }
    let ours = |key: &str| manifest.parts.iter().any(|part| part.key == key);
    // What an interrupted restore has left is copied again where it is incomplete; rests of cut parts are orphans then.
    let strange = listed(to.blob).await?.into_keys().find(|key| begun.is_none() && !ours(key));
    match strange {
        Some(key) => refuse(format!("its blob store holds {key}")),
        None => Ok(Begun::No),
    }
}

async fn listed(blob: &Blob) -> Result<BTreeMap<String, u64>, BackupError> {
    sizes(blob, "part").await.map_err(|error| BackupError::Source(BlobError::of("part", &error)))
}

async fn read_mark(blob: &Blob) -> Result<Option<String>, BackupError> {
    let failed = |error: &object_store::Error| BackupError::Source(BlobError::of(MARK, error));
    let found = match blob.get(&Path::from(MARK)).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let bytes = found.bytes().await.map_err(|error| failed(&error))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Errors: a restore into this blob store was interrupted. What opens an environment asks this first.
pub async fn refuse_half_restored(blob: &Blob) -> Result<(), BackupError> {
    match read_mark(blob).await? {
        Some(mark) => Err(BackupError::Unsuitable(format!(
            "a restore of backup {} into this store was interrupted; do that again, or empty the store",
            mark.trim_end()
        ))),
        None => Ok(()),
    }
}

async fn finish(to: &Destination<'_>) -> Result<(), BackupError> {
    match to.blob.delete(&Path::from(MARK)).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(BackupError::Source(BlobError::of(MARK, &error))),
    }
}

async fn state_to_restore(
    image: &LogImage,
    at: Option<Timestamp>,
    from: &Blob,
    to: &Destination<'_>,
    manifest: &Manifest,
) -> Result<State, BackupError> {
    let damaged = |cause: String| BackupError::Damaged { id: manifest.id.clone(), cause };
    let Some(at) = at else { return image.last().map_err(|error| damaged(error.to_string())) };
    let write = BatchStore {
        blob: to.blob.clone(),
        tasks: to.tasks.clone(),
        rng: to.rng.clone(),
        inline_bytes_max: INLINE_BYTES_MAX,
    };
    let ticket = Ticket { millis: to.tasks.clock().wall_ms(), epoch: manifest.epoch };
    let state =
        state_at(image, at, &Shears { read: from, write: &write, ticket }).await.map_err(|error| match error {
            CutError::Log(error) => damaged(error.to_string()),
            CutError::Expired { shard, since } => {
                BackupError::Unsuitable(format!("{shard} cannot be read at {at}, only from {since} on"))
            }
            CutError::Read(error @ (BlobError::Missing(_) | BlobError::Corrupt(_))) => damaged(error.to_string()),
            CutError::Read(error) => BackupError::Target(error),
            CutError::Write(error) => BackupError::Source(error),
        })?;
    state.check().map_err(|broken| damaged(format!("the state at {at} is not sound: {broken}")))?;
    Ok(state)
}

/// What belongs to the leaders of the log that was does not belong to the new one's.
fn begin_new_log(state: &mut State, rng: &Rng) {
    state.log_id = Uuid::from_bytes(rng.bytes16());
    state.nonce = Uuid::from_bytes(rng.bytes16());
    state.generation = 0;
    // Nobody has led this log: there is no lease to wait for, and no answer was given above the uppers.
    state.lease_ms = 0;
    state.closed = true;
    state.read_floor = Timestamp::MIN;
    state.pins.clear();
    // Dropped ones wait only for their parts to be deleted, and those are not copied.
    state.shards.retain(|_, shard| !shard.retired);
}
