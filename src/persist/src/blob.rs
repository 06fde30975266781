//! Where parts are kept, and how batches are written to and read from there.

use std::path::Path;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use repr::ShardId;
use stdx::{Rng, Tasks, with_causes};
use uuid::Uuid;

use crate::batch_run::Run;
use crate::columns::Columns;
use crate::op::Part;
use crate::part::{CorruptPart, PART_BYTES_MAX, PartWriter, Update, consolidate};
use crate::read::{PartStream, Wanted};

/// A store of immutable objects under names that are never used again.
pub type Blob = Arc<dyn ObjectStore>;

/// Opens, and makes if need be, a directory of blobs whose writes are synced.
pub fn local_blob(directory: &Path) -> Result<Blob, BlobError> {
    let failed = |cause: String| BlobError::Failed { key: directory.display().to_string(), cause };
    std::fs::create_dir_all(directory).map_err(|error| failed(error.to_string()))?;
    let store = LocalFileSystem::new_with_prefix(directory).map_err(|error| failed(error.to_string()))?;
    // The store's default is not to sync, and a part must be durable before the log names it.
    Ok(Arc::new(store.with_fsync(true)))
}

/// A store in memory, for tests and simulation; share the `Arc` to survive a simulated crash.
pub fn memory_blob() -> Blob {
    Arc::new(InMemory::new())
}

/// What went wrong with a part.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BlobError {
    #[error("part {0} is missing")]
    Missing(String),
    #[error(transparent)]
    Corrupt(#[from] CorruptPart),
    #[error("no space left on device: {key}: {cause}")]
    DiskFull { key: String, cause: String },
    #[error("blob {key}: {cause}")]
    Failed { key: String, cause: String },
}

impl BlobError {
    /// The same, with the shard whose part it is.
    pub(crate) fn of_shard(self, shard: ShardId) -> BlobError {
        match self {
            BlobError::Corrupt(corrupt) => BlobError::Corrupt(CorruptPart { shard: Some(shard), ..corrupt }),
            other => other,
        }
    }

    pub(crate) fn of(key: &str, error: &object_store::Error) -> BlobError {
        let key = key.to_owned();
        if matches!(error, object_store::Error::NotFound { .. }) {
            return BlobError::Missing(key);
        }
        let cause = with_causes(error);
        if is_disk_full(&cause) { BlobError::DiskFull { key, cause } } else { BlobError::Failed { key, cause } }
    }
}

pub(crate) fn is_disk_full(cause: &str) -> bool {
    cause.contains("os error 28") || cause.contains("No space left on device")
}

/// Where parts are in the store.
pub(crate) const PART_DIRECTORY: &str = "part";

/// When and under which leader the name of a part was made; appends with one that is too old are refused, so that
/// collecting orphans never takes a part that is about to be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) millis: u64,
    pub(crate) epoch: u64,
}

impl Ticket {
    fn key(self, rng: &Rng) -> String {
        format!("{PART_DIRECTORY}/{:013}-{}-{}.rpf", self.millis, self.epoch, Uuid::from_bytes(rng.bytes16()).simple())
    }

    /// The ticket that a name embeds; none if it is not a name that this crate makes.
    pub(crate) fn of_key(key: &str) -> Option<Ticket> {
        let mut fields = key.strip_prefix(PART_DIRECTORY)?.strip_prefix('/')?.strip_suffix(".rpf")?.split('-');
        let (millis, epoch) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let unique = fields.next()?;
        let sound =
            unique.len() == 32 && unique.bytes().all(|byte| byte.is_ascii_hexdigit()) && fields.next().is_none();
        sound.then_some(Ticket { millis, epoch })
    }
}

/// What a writer of batches needs.
#[derive(Clone)]
pub(crate) struct BatchStore {
    pub(crate) blob: Blob,
    pub(crate) tasks: Tasks,
    pub(crate) rng: Rng,
    pub(crate) inline_bytes_max: usize,
}

impl BatchStore {
    /// Consolidates and writes updates: inline if they are few, else as parts in the blob store.
    pub(crate) async fn write(
        &self,
        mut updates: Vec<Update>,
        columns: Columns,
        ticket: Ticket,
    ) -> Result<Run, BlobError> {
        let bytes: usize = updates.iter().map(|(row, _, _)| row.len_bytes() + 4).sum();
        let updates = if bytes > self.inline_bytes_max {
            // Sorting much takes long, and must not hold up whoever else runs here.
            let sort = move || {
                consolidate(&mut updates);
                updates
            };
            self.tasks.spawn_blocking("persist-sort", sort).await
        } else {
            consolidate(&mut updates);
            updates
        };
        let mut builder = BatchBuilder::new(self.clone(), columns, ticket);
        for (row, time, diff) in updates {
            builder.push(&row, time, diff).await?;
        }
        builder.finish().await
    }

    /// For one of several writers of a batch, which together put no more inline than one alone.
    pub(crate) fn shared_by(&self, writers: usize) -> BatchStore {
        BatchStore { inline_bytes_max: self.inline_bytes_max / writers.max(1), ..self.clone() }
    }

    /// A part, to be read block by block.
    pub(crate) async fn open(&self, part: &Part, wanted: Wanted) -> Result<PartStream, BlobError> {
        PartStream::open(Some(&self.blob), part, wanted).await
    }
}

pub(crate) async fn delete_part(blob: &Blob, key: &str) -> Result<(), BlobError> {
    match blob.delete(&object_store::path::Path::from(key)).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(BlobError::of(key, &error)),
    }
}

/// Writes sorted updates as they come, one part in memory at a time.
pub(crate) struct BatchBuilder {
    store: BatchStore,
    ticket: Ticket,
    columns: Columns,
    writer: PartWriter,
    written: Run,
}

impl BatchBuilder {
    pub(crate) fn new(store: BatchStore, columns: Columns, ticket: Ticket) -> BatchBuilder {
        let written = Run::default();
        BatchBuilder { store, ticket, writer: PartWriter::new(columns.clone()), columns, written }
    }

    pub(crate) async fn push(
        &mut self,
        row: &repr::Row,
        time: repr::Timestamp,
        diff: repr::Diff,
    ) -> Result<(), BlobError> {
        self.writer.push(row.as_bytes(), time, diff);
        if self.writer.len_bytes() >= PART_BYTES_MAX {
            self.upload().await?;
        }
        Ok(())
    }

    async fn upload(&mut self) -> Result<(), BlobError> {
        let writer = std::mem::replace(&mut self.writer, PartWriter::new(self.columns.clone()));
        let (bytes, part) = writer.finish_file(self.ticket.key(&self.store.rng));
        let path = object_store::path::Path::from(part.key.as_str());
        self.store.blob.put(&path, PutPayload::from(bytes)).await.map_err(|error| BlobError::of(&part.key, &error))?;
        self.written.updates += part.updates;
        self.written.bytes += part.bytes;
        self.written.parts.push(Part::Hollow(part));
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<Run, BlobError> {
        if self.writer.updates() == 0 {
            return Ok(self.written);
        }
        if !self.written.parts.is_empty() || self.writer.len_bytes() > self.store.inline_bytes_max {
            self.upload().await?;
            return Ok(self.written);
        }
        let updates = self.writer.updates();
        let bytes = self.writer.finish_inline();
        Ok(Run { updates, bytes: bytes.len() as u64, parts: vec![Part::Inline(bytes)] })
    }
}
