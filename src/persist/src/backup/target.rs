//! The place where backups are kept: names, listing, and tidying up after those that never became complete.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use repr::Timestamp;
use uuid::Uuid;

use crate::backup::BackupError;
use crate::backup::manifest::{LogPiece, Manifest};
use crate::blob::{Blob, BlobError};
use crate::codec::DecodeError;

/// A backup that has not become complete by then never will: its pin has expired.
pub(crate) const ABANDONED_MS: u64 = 2 * 24 * 3600 * 1000;

/// What is kept in one place.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Oldest first.
    pub backups: Vec<Manifest>,
    /// Manifests that cannot be read, with the reason; these backups are not offered.
    pub damaged: Vec<(String, String)>,
}

pub(crate) fn backup_id(created: Timestamp, seq: u64, log_id: Uuid) -> String {
    let log = log_id.simple().to_string();
    format!("{:013}-{seq}-{}", created.millis(), &log[..8])
}

pub(crate) fn manifest_path(id: &str) -> Path {
    Path::from(format!("backup/{id}/manifest"))
}

pub(crate) fn log_path(id: &str) -> Path {
    Path::from(format!("backup/{id}/log"))
}

pub(crate) fn target_error(path: &Path, error: &object_store::Error) -> BackupError {
    BackupError::Target(BlobError::of(path.as_ref(), error))
}

pub(crate) async fn put(target: &Blob, path: &Path, bytes: Bytes) -> Result<(), BackupError> {
    target.put(path, PutPayload::from(bytes)).await.map(drop).map_err(|error| target_error(path, &error))
}

async fn get(target: &Blob, path: &Path) -> Result<Bytes, BackupError> {
    let failed = |error| target_error(path, &error);
    target.get(path).await.map_err(failed)?.bytes().await.map_err(failed)
}

/// The sizes of all objects whose names begin with `prefix/`.
pub(crate) async fn sizes(store: &Blob, prefix: &str) -> Result<BTreeMap<String, u64>, object_store::Error> {
    let listed = store.list(Some(&Path::from(prefix)));
    listed.map_ok(|object| (object.location.as_ref().to_owned(), object.size)).try_collect().await
}

/// Every complete backup. Cost: one get for each.
pub async fn list_backups(target: &Blob) -> Result<Listing, BackupError> {
    let prefix = Path::from("backup");
    let objects = sizes(target, "backup").await.map_err(|error| target_error(&prefix, &error))?;
    let mut listing = Listing::default();
    for id in objects.keys().filter_map(|key| key.strip_prefix("backup/")?.strip_suffix("/manifest")) {
        match read_manifest(target, id).await {
            Ok(manifest) => listing.backups.push(manifest),
            Err(BackupError::Damaged { id, cause }) => listing.damaged.push((id, cause)),
            // It has been deleted since it was listed.
            Err(BackupError::Target(BlobError::Missing(_))) => {}
            Err(error) => return Err(error),
        }
    }
    listing.backups.sort_by_key(|backup| (backup.created, backup.seq));
    Ok(listing)
}

pub(crate) async fn read_manifest(target: &Blob, id: &str) -> Result<Manifest, BackupError> {
    let bytes = get(target, &manifest_path(id)).await?;
    let damaged = |cause: String| BackupError::Damaged { id: id.to_owned(), cause };
    let manifest = Manifest::decode(&bytes).map_err(|error| match error {
        DecodeError::Newer { .. } => BackupError::Unsuitable(format!("backup {id}: {error}")),
        DecodeError::Damaged(_) => damaged(format!("{}: {error}", manifest_path(id))),
    })?;
    if manifest.id != id {
        return Err(damaged(format!("{} is the manifest of backup {}", manifest_path(id), manifest.id)));
    }
    Ok(manifest)
}

/// The piece of the log that belongs to a manifest.
pub(crate) async fn read_log(target: &Blob, manifest: &Manifest) -> Result<LogPiece, BackupError> {
    let path = log_path(&manifest.id);
    let damaged = |cause: String| BackupError::Damaged { id: manifest.id.clone(), cause: format!("{path}: {cause}") };
    let bytes = match get(target, &path).await {
        Err(BackupError::Target(BlobError::Missing(_))) => return Err(damaged("is missing".to_owned())),
        other => other?,
    };
    if bytes.len() as u64 != manifest.log_bytes {
        return Err(damaged(format!("{} bytes long instead of {}", bytes.len(), manifest.log_bytes)));
    }
    if crc32c::crc32c(&bytes) != manifest.log_crc {
        return Err(damaged("checksum does not match".to_owned()));
    }
    let piece = LogPiece::decode(bytes).map_err(|error| damaged(error.to_string()))?;
    if piece.base() != manifest.base || piece.base() + piece.entries.len() as u64 != manifest.seq {
        return Err(damaged("holds other entries than the manifest says".to_owned()));
    }
    Ok(piece)
}

/// Deletes what backups of this log left that ended before their manifest was written.
pub(crate) async fn tidy(target: &Blob, log_id: Uuid, now: Timestamp) -> Result<(), BackupError> {
    let prefix = Path::from("backup");
    let objects = sizes(target, "backup").await.map_err(|error| target_error(&prefix, &error))?;
    let log = log_id.simple().to_string();
    for id in objects.keys().filter_map(|key| key.strip_prefix("backup/")?.strip_suffix("/log")) {
        let created = id.split('-').next().and_then(|millis| millis.parse::<u64>().ok());
        let abandoned = created.is_some_and(|created| created + ABANDONED_MS < now.millis());
        let complete = objects.contains_key(manifest_path(id).as_ref());
        if abandoned && !complete && id.ends_with(&log[..8]) {
            let path = log_path(id);
            match target.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(target_error(&path, &error)),
            }
        }
    }
    Ok(())
}
