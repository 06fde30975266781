//! Deletes old backups, with the parts that only they need.
//!
//! A manifest goes first: without it there is no backup, whatever is left of it. A part goes when no manifest names it any more.
//! A backup that is being made needs none of these, if it is of the same log: each of its parts is named by the newest complete
//! one, which stays, or was written since.

use std::collections::BTreeSet;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use uuid::Uuid;

use crate::backup::BackupError;
use crate::backup::manifest::Manifest;
use crate::backup::target::{list_backups, log_path, manifest_path, target_error};
use crate::blob::Blob;

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names of backups, oldest first.
    pub backups: Vec<String>,
    pub parts: usize,
    pub part_bytes: u64,
}

/// Keeps the newest `keep` backups of a log, at least one, and deletes its older ones; those of other logs stay.
///
/// Errors: a manifest in this place is damaged, for nobody knows what that backup needs; nothing was deleted then.
pub async fn prune_backups(target: &Blob, log_id: Uuid, keep: usize) -> Result<Pruned, BackupError> {
    let listing = list_backups(target).await?;
    if let Some((id, cause)) = listing.damaged.into_iter().next() {
        return Err(BackupError::Damaged { id, cause });
    }
    let (mine, others): (Vec<Manifest>, Vec<Manifest>) =
        listing.backups.into_iter().partition(|backup| backup.log_id == log_id);
    let (doomed, kept) = mine.split_at(mine.len().saturating_sub(keep.max(1)));
    let kept = kept.iter().chain(&others).flat_map(|backup| &backup.parts);
    let needed: BTreeSet<&str> = kept.map(|part| part.key.as_str()).collect();
    let mut pruned = Pruned::default();
    for backup in doomed {
        delete(target, &manifest_path(&backup.id)).await?;
        delete(target, &log_path(&backup.id)).await?;
        pruned.backups.push(backup.id.clone());
    }
    let parts: BTreeSet<_> = doomed.iter().flat_map(|backup| &backup.parts).collect();
    for part in parts.into_iter().filter(|part| !needed.contains(part.key.as_str())) {
        delete(target, &Path::from(part.key.as_str())).await?;
        pruned.parts += 1;
        pruned.part_bytes += part.bytes;
    }
    Ok(pruned)
}

/// What is gone already is no error.
async fn delete(target: &Blob, path: &Path) -> Result<(), BackupError> {
    match target.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(target_error(path, &error)),
    }
}
