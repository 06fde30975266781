//! Looking at a RocksDB log without changing a file, also while another process writes it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use rocksdb::{DB, DBRecoveryMode, Direction, IteratorMode};
use stdx::Tasks;
use tracing::warn;

use crate::log::{Append, Checkpoint, Entry, Log, LogError, Slot, Survey, check_tail};
use crate::rocks_log::{
    CHECKPOINTS, LOG, check_layout, checkpoints, family, io_error, newest_upto, options, refuse_damage, rocks_error,
    seq_of, take_lock,
};
use crate::rocks_wal;

/// How often opening is tried again when files were replaced under the reader.
const TRIES: usize = 5;

/// A log in a directory, as it was when it was opened. Everything that would change it is an error.
pub struct RocksReader {
    tasks: Tasks,
    database: Arc<DB>,
    /// None: another process has it.
    lock: Option<File>,
}

impl RocksReader {
    /// Whether there is a log in `directory`, sound or not: neither none, nor one whose making was interrupted, which holds
    /// nothing.
    pub fn is_made(directory: &Path) -> bool {
        let has_all =
            |families: Vec<String>| [LOG, CHECKPOINTS].iter().all(|name| families.iter().any(|it| it == name));
        let path = directory.join("db");
        directory.join("FORMAT").exists()
            && DB::list_cf(&options().0, &path).map_or_else(|_| has_written(&path), has_all)
    }

    /// Opens the log in `directory`. If no other process has it, none can open it for as long as this one looks.
    ///
    /// Errors: as those of [`RocksLog::open`](crate::RocksLog::open), but for `InUse`; `Broken` also when there is no log.
    pub fn open(directory: &Path, tasks: Tasks) -> Result<RocksReader, LogError> {
        if !directory.join("FORMAT").exists() {
            return Err(LogError::Broken(format!("there is no log in {}", directory.display())));
        }
        let lock = match take_lock(directory) {
            Ok(lock) => Some(lock),
            Err(LogError::InUse(_)) => None,
            Err(error) => return Err(error),
        };
        check_layout(directory)?;
        let mut tries = 0;
        let database = loop {
            match open_database(directory) {
                // Files come and go under a reader while the log is written.
                Err(LogError::Broken(_) | LogError::Corrupt(_)) if lock.is_none() && tries < TRIES => tries += 1,
                other => break other?,
            }
        };
        Ok(RocksReader { tasks, database: Arc::new(database), lock })
    }

    /// Whether another process had the log when this one opened it.
    pub fn is_in_use(&self) -> bool {
        self.lock.is_none()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DB) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let database = Arc::clone(&self.database);
        self.tasks.spawn_blocking("rocks-reader", move || work(&database)).await
    }
}

/// Whether there are files that RocksDB makes only once a database itself is made, which ends with the file CURRENT.
fn has_written(path: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(path) else { return false };
    files
        .flatten()
        .any(|file| file.path().extension().is_some_and(|extension| extension == "log" || extension == "sst"))
}

/// Opens the files as they are; a torn tail is left out, not cut off.
fn open_database(directory: &Path) -> Result<DB, LogError> {
    let path = directory.join("db");
    let (mut options, families) = options();
    if let Some(damage) = rocks_wal::scan(&path).map_err(|error| io_error(&path, &error))? {
        refuse_damage(&damage)?;
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    }
    DB::open_cf_descriptors_read_only(&options, &path, families, false).map_err(|error| rocks_error(&error))
}

/// Everything in the database, sound or not.
pub(crate) fn survey(database: &DB) -> Result<Survey, LogError> {
    let mut survey = Survey::default();
    for item in checkpoints(database, IteratorMode::Start) {
        let (key, bytes) = match item {
            Ok(item) => item,
            Err(error) => {
                survey.damages.push(format!("checkpoints: {error}"));
                break;
            }
        };
        let upto = key.get(..8).map_or(Ok(0), seq_of)?;
        match Checkpoint::decode(bytes.into()) {
            Ok(checkpoint) => survey.checkpoints.push(checkpoint),
            Err(error) => survey.damages.push(format!("checkpoint up to entry {upto}: {error}")),
        }
    }
    survey_entries(database, &mut survey)?;
    Ok(survey)
}

fn survey_entries(database: &DB, survey: &mut Survey) -> Result<(), LogError> {
    // Older entries wait for truncation; nothing reads them.
    let start = survey.checkpoints.first().map_or(0, |checkpoint| checkpoint.upto) + 1;
    let mut expected = start;
    let from = start.to_be_bytes();
    for item in database.iterator_cf(family(database, LOG), IteratorMode::From(&from, Direction::Forward)) {
        let (key, bytes) = match item {
            Ok(item) => item,
            Err(error) => {
                // An unreadable block ends the walk: what is behind it is not known.
                survey.damages.push(format!("entries from {expected} on: {error}"));
                break;
            }
        };
        let seq = seq_of(&key)?;
        if seq != expected {
            survey.damages.push(format!("entry {expected} is missing; the next one is {seq}"));
        }
        expected = seq + 1;
        match Entry::decode(seq, bytes.into()) {
            Ok(entry) => survey.entries.push(entry),
            Err(error) => survey.damages.push(error.to_string()),
        }
    }
    Ok(())
}

/// As a leader would load it.
fn load(database: &DB) -> Result<(Option<Checkpoint>, Vec<Entry>), LogError> {
    let mut newest = None;
    for item in checkpoints(database, IteratorMode::End) {
        let (_, bytes) = item.map_err(|error| rocks_error(&error))?;
        match Checkpoint::decode(bytes.into()) {
            Ok(checkpoint) => {
                newest = Some(checkpoint);
                break;
            }
            Err(LogError::Corrupt(cause)) => warn!(cause, "skipping a damaged checkpoint"),
            Err(error) => return Err(error),
        }
    }
    let start = newest.as_ref().map_or(0, |checkpoint| checkpoint.upto) + 1;
    let (from, mut entries) = (start.to_be_bytes(), Vec::new());
    for item in database.iterator_cf(family(database, LOG), IteratorMode::From(&from, Direction::Forward)) {
        let (key, bytes) = item.map_err(|error| rocks_error(&error))?;
        entries.push(Entry::decode(seq_of(&key)?, bytes.into())?);
    }
    check_tail(start, entries.iter().map(|entry: &Entry| entry.seq), newest_upto(database)?)?;
    Ok((newest, entries))
}

fn read_only<T>() -> Result<T, LogError> {
    Err(LogError::Broken("the log was opened to be read only".to_owned()))
}

#[async_trait]
impl Log for RocksReader {
    async fn load(&self) -> Result<(Option<Checkpoint>, Vec<Entry>), LogError> {
        self.blocking(load).await
    }

    async fn survey(&self) -> Result<Survey, LogError> {
        self.blocking(survey).await
    }

    async fn append(&self, _: Entry) -> Result<Append, LogError> {
        read_only()
    }

    async fn read(&self, seq: u64) -> Result<Slot, LogError> {
        let (checkpoint, entries) = self.load().await?;
        if checkpoint.is_some_and(|checkpoint| seq <= checkpoint.upto) {
            return Ok(Slot::Truncated);
        }
        Ok(entries.into_iter().find(|entry| entry.seq == seq).map_or(Slot::Absent, Slot::Present))
    }

    fn tail(&self, _: u64) -> BoxStream<'_, Result<Entry, LogError>> {
        futures::stream::once(async { read_only() }).boxed()
    }

    async fn checkpoint(&self, _: Checkpoint) -> Result<(), LogError> {
        read_only()
    }

    async fn truncate(&self, _: u64) -> Result<(), LogError> {
        read_only()
    }

    fn lock_proves_leadership(&self) -> bool {
        true
    }
}
