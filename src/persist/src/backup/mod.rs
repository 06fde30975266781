//! Backups: a checkpoint, the entries behind it and the parts that these name, in another blob store; and back.
//!
//! ```text
//! part/<as in the environment>   copied once, shared by all backups there
//! backup/<id>/log                checkpoint and entries
//! backup/<id>/manifest           written last: makes the backup complete
//! ```
//!
//! Parts never change, so a backup copies only those that the target has not got yet; an interrupted one leaves parts that
//! the next one finds. Restoring replays the entries up to a time, cuts what lies beyond it, and writes one checkpoint under
//! a new log id into an empty store.

mod copy;
mod cut;
mod image;
mod make;
mod manifest;
mod prune;
mod remote;
mod restore;
mod target;

pub use copy::Progress;
pub(crate) use image::LogImage;
pub use make::{BackupReport, backup_stored};
pub(crate) use make::{Sources, write_backup};
pub use manifest::{Manifest, PartFile};
pub use prune::{Pruned, prune_backups};
pub(crate) use remote::{BackupStream, serve_backup};
pub use restore::{Destination, RestoreReport, RestoreRequest, find_backup, refuse_half_restored, restore};
pub use target::{Listing, list_backups};

use crate::blob::BlobError;
use crate::leader::OpenError;

/// Why a backup was not made, or a restore not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BackupError {
    /// The environment's log cannot be read.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// A part of the environment cannot be read; the backup is not complete and will not be offered.
    #[error("in the environment: {0}")]
    Source(BlobError),
    /// The place where backups are kept cannot be read or written.
    #[error("in the backup: {0}")]
    Target(BlobError),
    /// One backup at a time.
    #[error("another backup of this environment is being made")]
    Busy,
    /// There is nothing to save yet.
    #[error("the store is empty: there is nothing to back up")]
    Empty,
    /// A backup, or something in it, is not what was written.
    #[error("backup {id} is damaged: {cause}")]
    Damaged { id: String, cause: String },
    /// What was asked for cannot be had; nothing was changed.
    #[error("{0}")]
    Unsuitable(String),
    /// The leader ended meanwhile.
    #[error("the leader has ended: {0}")]
    Halted(String),
}
