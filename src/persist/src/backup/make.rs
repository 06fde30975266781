//! Making a backup of a log and its parts.

use repr::Timestamp;
use stdx::Tasks;

use crate::backup::BackupError;
use crate::backup::copy::{CopyError, Progress, copy_parts};
use crate::backup::image::{LogImage, state_parts};
use crate::backup::manifest::{Manifest, PartFile};
use crate::backup::target::{backup_id, log_path, manifest_path, put, sizes, target_error, tidy};
use crate::blob::{Blob, BlobError};
use crate::log::Log;
use crate::op::GroupId;
use crate::state::State;

/// How often a store without a leader is read again when parts have been deleted meanwhile.
const TRIES: usize = 3;

/// What a finished backup was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    pub id: String,
    /// The last entry in it.
    pub seq: u64,
    /// It can be restored at times from here...
    pub from: Timestamp,
    /// ...up to here.
    pub to: Timestamp,
    pub copied: Progress,
}

/// What a backup reads and writes.
pub(crate) struct Sources<'a> {
    pub(crate) tasks: &'a Tasks,
    pub(crate) blob: &'a Blob,
    pub(crate) target: &'a Blob,
    /// The environment's time.
    pub(crate) now: Timestamp,
}

/// Backs up a store that no leader of this process leads: one that is not in use, or whose leader cannot be asked.
///
/// Nothing keeps its parts meanwhile. If one is deleted under the copy, the log is read again; what was copied stays.
pub async fn backup_stored(
    tasks: &Tasks,
    log: &dyn Log,
    blob: &Blob,
    target: &Blob,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<BackupReport, BackupError> {
    let now = Timestamp::from(tasks.clock().wall());
    let sources = Sources { tasks, blob, target, now };
    let mut tries = 0;
    loop {
        let image = LogImage::load_history(log).await?;
        match write_backup(&sources, &image, progress).await {
            Err(BackupError::Source(BlobError::Missing(_))) if tries + 1 < TRIES => tries += 1,
            other => return other,
        }
    }
}

/// Copies what `image` names, then its piece of the log, then writes the manifest. Until that is there, there is no backup.
pub(crate) async fn write_backup(
    sources: &Sources<'_>,
    image: &LogImage,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<BackupReport, BackupError> {
    let Sources { tasks, blob, target, now } = sources;
    let last = image.last()?;
    if last.shards.is_empty() {
        return Err(BackupError::Empty);
    }
    let listed = sizes(target, "part").await;
    let there = listed.map_err(|error| target_error(&"part".into(), &error))?;
    let mut parts = image.parts()?;
    let copied = copy_parts(tasks, blob, target, &parts, &there, progress).await;
    let (copied, gone) = copied.map_err(|error| match error {
        CopyError::From(error) => BackupError::Source(error),
        CopyError::To(error) => BackupError::Target(error),
    })?;
    // Parts that were replaced long before the backup began may be gone: the times that need them cannot be restored.
    let needed = state_parts(&last);
    if let Some(key) = gone.iter().find(|key| needed.contains_key(*key)) {
        return Err(BackupError::Source(BlobError::Missing(key.clone())));
    }
    parts.retain(|key, _| !gone.contains(key));
    let from = match gone.is_empty() {
        true => first_time(image)?,
        false => image
            .first_without(|key| gone.iter().any(|gone| gone == key))?
            .map_or(tables_time(&last), |state| readable_from(&state)),
    };
    let from = from.min(tables_time(&last));
    let id = backup_id(*now, last.next_seq - 1, last.log_id);
    let log = image.piece.encode();
    let manifest = Manifest {
        id: id.clone(),
        created: *now,
        log_id: last.log_id,
        epoch: last.epoch,
        base: image.piece.base(),
        seq: last.next_seq - 1,
        from,
        to: tables_time(&last),
        log_bytes: log.len() as u64,
        log_crc: crc32c::crc32c(&log),
        parts: parts.values().map(|part| PartFile { key: part.key.clone(), bytes: part.bytes }).collect(),
    };
    put(target, &log_path(&id), log).await?;
    put(target, &manifest_path(&id), manifest.encode()).await?;
    tidy(target, last.log_id, *now).await?;
    Ok(BackupReport { id, seq: manifest.seq, from, to: manifest.to, copied })
}

/// The last time at which the tables are complete.
pub(crate) fn tables_time(state: &State) -> Timestamp {
    state.group_upper(GroupId::TABLES).step_back()
}

/// The earliest time at which there were tables at all.
fn first_time(image: &LogImage) -> Result<Timestamp, BackupError> {
    let mut state = image.base.clone();
    let mut entries = image.piece.entries.iter();
    while state.group_upper(GroupId::TABLES) == Timestamp::MIN {
        let Some(entry) = entries.next() else { break };
        crate::leader::replay(&mut state, entry)?;
    }
    Ok(readable_from(&state))
}

/// The earliest time, not before the tables' last commit, at which everything in a state can be read: where commits are rare,
/// sinces run ahead of them.
fn readable_from(state: &State) -> Timestamp {
    let sinces = state.shards.values().filter(|shard| !shard.retired).map(|shard| shard.since);
    sinces.fold(tables_time(state), Timestamp::max)
}
