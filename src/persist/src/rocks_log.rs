//! The embedded log: RocksDB as a list of slots, one synced write each.
//!
//! The directory holds `LOCK` (who has it locked is the one writer), `FORMAT`, `HOLDER` (the machine that led last), and
//! `db`, RocksDB's own.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::{Mutex, RwLock};
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBIterator, DBRecoveryMode, Direction, ErrorKind,
    IteratorMode, Options, ReadOptions, WriteOptions,
};
use stdx::Tasks;
use tokio::sync::watch;
use tracing::warn;
use uuid::Uuid;

use crate::log::{Append, CHECKPOINTS_KEPT, Checkpoint, Entry, Log, LogError, Slot, Survey, check_tail};
use crate::rocks_holder;
use crate::rocks_reader;
use crate::rocks_wal::{self, DamageKind, Room};

pub(crate) const LOG: &str = "log";
pub(crate) const CHECKPOINTS: &str = "ckpt";
/// The layout of the directory; a newer one is refused before anything is touched.
const LAYOUT: u32 = 1;
/// An append that takes less is made on the thread that asks for it; a longer one would hold up what else runs there.
const FAST: Duration = Duration::from_micros(700);

/// Checkpoints that are larger are flushed at once.
const FLUSHED_BYTES: usize = 1 << 20;

/// What a writer knows.
struct Writing {
    room: Room,
    /// All slots behind it are free; None: what was stored last is not known.
    newest: Option<u64>,
}

/// A log in a directory on a disk, for one process at a time.
pub struct RocksLog {
    tasks: Tasks,
    database: Arc<Database>,
    newest: watch::Sender<u64>,
    /// Whether the last append was.
    is_fast: AtomicBool,
    /// Whether the leader before ran under this kernel: then the lock proves that it has ended.
    predecessor_has_ended: bool,
    on_network: bool,
}

struct Database {
    directory: PathBuf,
    /// None after a failed reopen. Who closes it waits for all who are at work in it.
    open: RwLock<Option<DB>>,
    /// Held by whoever writes: a slot is looked at and filled in one step, and nobody lengthens the write-ahead file while
    /// another writes at its end.
    writing: Mutex<Writing>,
    _lock: File,
}

impl RocksLog {
    /// Opens, and makes if need be, the log in `directory`.
    ///
    /// Errors: `InUse` when another process has it; `Newer` when a newer program wrote it; `Corrupt`, naming file and offset,
    /// when synced data are damaged. In these cases nothing was changed. Cost: blocks until the write-ahead file is recovered.
    pub fn open(directory: &Path, tasks: Tasks) -> Result<RocksLog, LogError> {
        std::fs::create_dir_all(directory).map_err(|error| io_error(directory, &error))?;
        let lock = take_lock(directory)?;
        check_layout(directory)?;
        let database = open_database(directory)?;
        let newest = newest_seq(&database)?;
        let writing = Mutex::new(Writing { room: Room::default(), newest: Some(newest) });
        let open = RwLock::new(Some(database));
        let database = Database { directory: directory.to_owned(), open, writing, _lock: lock };
        Ok(RocksLog {
            tasks,
            database: Arc::new(database),
            newest: watch::Sender::new(newest),
            is_fast: AtomicBool::new(false),
            predecessor_has_ended: rocks_holder::was_this_machine(directory),
            on_network: rocks_holder::is_on_network(directory),
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Database) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let database = Arc::clone(&self.database);
        self.tasks.spawn_blocking(name, move || work(&database)).await
    }
}

impl RocksLog {
    /// On a fast disk a sync takes about as long as it takes another thread to wake up, and to wake this one again.
    async fn append_entry(&self, entry: Entry) -> Result<Append, LogError> {
        let clock = self.tasks.clock();
        let start = clock.boot();
        let is_fast = self.is_fast.load(Ordering::Relaxed);
        let outcome = if is_fast {
            self.database.append(&entry)
        } else {
            self.blocking("rocks-log-append", move |database| database.append(&entry)).await
        };
        let took = clock.boot().saturating_sub(start);
        self.is_fast.store(took < FAST, Ordering::Relaxed);
        if is_fast {
            // A thread of the runtime hands on to three tasks in a row by itself; the fourth may be taken by another thread, which
            // has to wake up first. Up to the reply come more behind an append: they count from here.
            tokio::task::yield_now().await;
        }
        outcome
    }
}

pub(crate) fn take_lock(directory: &Path) -> Result<File, LogError> {
    let path = directory.join("LOCK");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| io_error(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::InUse(format!(
            "data directory {} is in use by another process (its lock is held)",
            directory.display()
        ))),
        Err(TryLockError::Error(error)) => Err(io_error(&path, &error)),
    }
}

pub(crate) fn check_layout(directory: &Path) -> Result<(), LogError> {
    let path = directory.join("FORMAT");
    let text = match std::fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if directory.join("db").exists() {
                return Err(LogError::Corrupt(format!("{} is missing", path.display())));
            }
            let write = || -> std::io::Result<()> {
                let new = directory.join("FORMAT.new");
                std::fs::write(&new, format!("freshet log {LAYOUT}\n"))?;
                File::open(&new)?.sync_all()?;
                std::fs::rename(&new, &path)?;
                File::open(directory)?.sync_all()
            };
            return write().map_err(|error| io_error(&path, &error));
        }
        Err(error) => return Err(io_error(&path, &error)),
    };
    let found = text.strip_prefix("freshet log ").and_then(|rest| rest.trim().parse::<u32>().ok());
    match found {
        Some(1..=LAYOUT) => Ok(()),
        Some(found) => Err(LogError::Newer(format!(
            "{} has layout {found}; this program knows layouts up to {LAYOUT}",
            directory.display()
        ))),
        None => Err(LogError::Corrupt(format!("{} is not a log's", path.display()))),
    }
}

fn open_database(directory: &Path) -> Result<DB, LogError> {
    let path = directory.join("db");
    let damage = match rocks_wal::scan(&path) {
        Ok(damage) => damage,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_error(&path, &error)),
    };
    if let Some(damage) = &damage {
        refuse_damage(damage)?;
        warn!(file = %damage.file.display(), offset = damage.offset, "cutting off the torn tail of the log");
        rocks_wal::cut(damage).map_err(|error| io_error(&damage.file, &error))?;
    }
    let (mut options, families) = options();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    DB::open_cf_descriptors(&options, &path, families).map_err(|error| rocks_error(&error))
}

pub(crate) fn options() -> (Options, [ColumnFamilyDescriptor; 2]) {
    let mut options = Options::default();
    // Point-in-time recovery, the default, would open at the first damaged record and drop all synced ones behind it.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_recycle_log_file_num(0);
    options.set_max_total_wal_size(64 << 20);
    options.set_keep_log_file_num(4);
    let mut log = Options::default();
    log.set_compression_type(DBCompressionType::None);
    log.set_write_buffer_size(16 << 20);
    let mut checkpoints = Options::default();
    checkpoints.set_compression_type(DBCompressionType::Lz4);
    checkpoints.set_write_buffer_size(16 << 20);
    (options, [ColumnFamilyDescriptor::new(LOG, log), ColumnFamilyDescriptor::new(CHECKPOINTS, checkpoints)])
}

/// Only a torn tail may be left out.
pub(crate) fn refuse_damage(damage: &rocks_wal::Damage) -> Result<(), LogError> {
    let why = match damage.kind {
        DamageKind::TornTail => return Ok(()),
        DamageKind::RecordsFollow => "sound records follow",
        DamageKind::Complete => "the record there was written whole",
    };
    let (file, offset) = (damage.file.display(), damage.offset);
    Err(LogError::Corrupt(format!("{file} is damaged at offset {offset}, and {why}")))
}

fn newest_seq(database: &DB) -> Result<u64, LogError> {
    let mut newest = 0;
    for item in database.iterator_cf(family(database, LOG), IteratorMode::End).take(1) {
        newest = seq_of(&item.map_err(|error| rocks_error(&error))?.0)?;
    }
    Ok(newest)
}

pub(crate) fn family<'a>(database: &'a DB, name: &str) -> &'a ColumnFamily {
    database.cf_handle(name).expect("both families are made when the database is opened")
}

pub(crate) fn seq_of(key: &[u8]) -> Result<u64, LogError> {
    let key = key.try_into().map_err(|_| LogError::Corrupt("a slot number is not 8 bytes long".to_owned()))?;
    Ok(u64::from_be_bytes(key))
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

pub(crate) fn io_error(path: &Path, error: &std::io::Error) -> LogError {
    let text = format!("{}: {error}", path.display());
    if error.kind() == std::io::ErrorKind::StorageFull { LogError::DiskFull(text) } else { LogError::Broken(text) }
}

pub(crate) fn rocks_error(error: &rocksdb::Error) -> LogError {
    let text = error.to_string();
    if text.contains("No space left on device") {
        return LogError::DiskFull(text);
    }
    if text.contains("No such file or directory") {
        return LogError::Corrupt(format!("a file is missing: {text}"));
    }
    match error.kind() {
        ErrorKind::Corruption => LogError::Corrupt(text),
        _ => LogError::Broken(text),
    }
}

impl Database {
    fn with<T>(&self, work: impl FnOnce(&DB) -> Result<T, LogError>) -> Result<T, LogError> {
        loop {
            if let Some(database) = &*self.open.read() {
                return work(database);
            }
            let mut open = self.open.write();
            if open.is_none() {
                *open = Some(open_database(&self.directory)?);
            }
        }
    }

    fn write<T>(&self, work: impl FnOnce(&DB) -> Result<T, LogError>) -> Result<T, LogError> {
        let _writing = self.writing.lock();
        self.with(work)
    }

    /// After a full disk RocksDB stays in an error state: the next call opens it anew, and recovery decides what was stored.
    fn close(&self) {
        *self.open.write() = None;
    }

    fn append(&self, entry: &Entry) -> Result<Append, LogError> {
        let mut writing = self.writing.lock();
        let outcome = self.with(|database| append(database, entry, &mut writing));
        if outcome.is_err() {
            writing.newest = None;
        }
        if let Err(LogError::DiskFull(_)) = outcome {
            self.close();
        }
        outcome
    }
}

fn append(database: &DB, entry: &Entry, writing: &mut Writing) -> Result<Append, LogError> {
    let (log, key) = (family(database, LOG), entry.seq.to_be_bytes());
    let newest = match writing.newest {
        Some(newest) => newest,
        None => newest_seq(database)?,
    };
    if entry.seq <= newest
        && let Some(bytes) = database.get_cf(log, key).map_err(|error| rocks_error(&error))?
    {
        let found = Entry::decode(entry.seq, bytes.into())?;
        // Our own bytes from a write that failed for lack of space, and was recovered all the same.
        return Ok(if found == *entry { Append::Committed { stored_at: None } } else { Append::Occupied(found) });
    }
    let bytes = entry.encode();
    writing.room.make(database.path(), bytes.len());
    database.put_cf_opt(log, key, bytes, &synced()).map_err(|error| rocks_error(&error))?;
    writing.newest = Some(newest.max(entry.seq));
    Ok(Append::Committed { stored_at: None })
}

/// Moves the checkpoints out of the write-ahead file, from which recovery would have to read and write them again.
fn flush_checkpoints(database: &DB) -> Result<(), LogError> {
    database.flush_cf(family(database, CHECKPOINTS)).map_err(|error| rocks_error(&error))
}

/// The stored checkpoints, past the cache: they may be large and are read once.
pub(crate) fn checkpoints<'a>(database: &'a DB, mode: IteratorMode<'_>) -> DBIterator<'a> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    database.iterator_cf_opt(family(database, CHECKPOINTS), options, mode)
}

/// What the newest checkpoint contains by its key, be it sound or not, and the newest sound one.
fn newest_checkpoint(database: &DB) -> Result<(u64, Option<Checkpoint>), LogError> {
    let mut newest_upto = None;
    for item in checkpoints(database, IteratorMode::End) {
        let (key, bytes) = item.map_err(|error| rocks_error(&error))?;
        if newest_upto.is_none() {
            newest_upto = Some(seq_of(key.get(..8).unwrap_or_default())?);
        }
        match Checkpoint::decode(bytes.into()) {
            Ok(checkpoint) => return Ok((newest_upto.unwrap_or_default(), Some(checkpoint))),
            // The one before has its tail still.
            Err(LogError::Corrupt(cause)) => {
                let upto = key.get(..8).map_or(0, |upto| seq_of(upto).unwrap_or(0));
                warn!(cause, upto, "skipping a damaged checkpoint");
            }
            Err(error) => return Err(error),
        }
    }
    Ok((newest_upto.unwrap_or_default(), None))
}

fn load(database: &DB) -> Result<(Option<Checkpoint>, Vec<Entry>), LogError> {
    let (newest_upto, checkpoint) = newest_checkpoint(database)?;
    let start = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.upto) + 1;
    let mut entries = Vec::new();
    let from = start.to_be_bytes();
    for item in database.iterator_cf(family(database, LOG), IteratorMode::From(&from, Direction::Forward)) {
        let (key, bytes) = item.map_err(|error| rocks_error(&error))?;
        entries.push(Entry::decode(seq_of(&key)?, bytes.into())?);
    }
    check_tail(start, entries.iter().map(|entry| entry.seq), newest_upto)?;
    Ok((checkpoint, entries))
}

fn read(database: &DB, seq: u64) -> Result<Slot, LogError> {
    let bytes = database.get_cf(family(database, LOG), seq.to_be_bytes()).map_err(|error| rocks_error(&error))?;
    if seq <= newest_upto(database)? {
        return Ok(Slot::Truncated);
    }
    match bytes {
        Some(bytes) => Ok(Slot::Present(Entry::decode(seq, bytes.into())?)),
        None => Ok(Slot::Absent),
    }
}

fn store_checkpoint(database: &DB, checkpoint: &Checkpoint) -> Result<(), LogError> {
    let stored = family(database, CHECKPOINTS);
    let fail = |error: rocksdb::Error| rocks_error(&error);
    let key = checkpoint_key(checkpoint.order());
    database.put_cf_opt(stored, key, checkpoint.encode(), &synced()).map_err(fail)?;
    for item in checkpoints(database, IteratorMode::End).skip(CHECKPOINTS_KEPT) {
        let (key, _) = item.map_err(fail)?;
        database.delete_cf_opt(stored, key, &synced()).map_err(fail)?;
    }
    Ok(())
}

fn truncate(database: &DB, upto: u64) -> Result<(), LogError> {
    let oldest = checkpoints(database, IteratorMode::Start).next();
    let Some(oldest) = oldest else { return Ok(()) };
    let (key, _) = oldest.map_err(|error| rocks_error(&error))?;
    let upto = upto.min(key.get(..8).map_or(Ok(0), seq_of)?);
    let (from, to) = (0u64.to_be_bytes(), (upto + 1).to_be_bytes());
    // No minimum age: the lock is the proof that nobody else can fill a slot again.
    let dropped = database.delete_range_cf_opt(family(database, LOG), from, to, &synced());
    dropped.map_err(|error| rocks_error(&error))
}

/// What the newest checkpoint contains by its key, be it sound or not.
pub(crate) fn newest_upto(database: &DB) -> Result<u64, LogError> {
    match checkpoints(database, IteratorMode::End).next() {
        Some(item) => seq_of(item.map_err(|error| rocks_error(&error))?.0.get(..8).unwrap_or_default()),
        None => Ok(0),
    }
}

fn checkpoint_key((upto, epoch, nonce): (u64, u64, Uuid)) -> Vec<u8> {
    [&upto.to_be_bytes()[..], &epoch.to_be_bytes(), nonce.as_bytes()].concat()
}

#[async_trait]
impl Log for RocksLog {
    async fn load(&self) -> Result<(Option<Checkpoint>, Vec<Entry>), LogError> {
        self.blocking("rocks-log-load", |database| database.with(load)).await
    }

    async fn survey(&self) -> Result<Survey, LogError> {
        self.blocking("rocks-log-survey", |database| database.with(rocks_reader::survey)).await
    }

    async fn append(&self, entry: Entry) -> Result<Append, LogError> {
        let seq = entry.seq;
        let outcome = self.append_entry(entry).await;
        if let Ok(Append::Committed { .. }) = outcome {
            self.newest.send_replace(seq);
        }
        outcome
    }

    async fn read(&self, seq: u64) -> Result<Slot, LogError> {
        self.blocking("rocks-log-read", move |database| database.with(|database| read(database, seq))).await
    }

    fn tail(&self, from: u64) -> BoxStream<'_, Result<Entry, LogError>> {
        let state = (from, self.newest.subscribe());
        let follow = move |(seq, mut newest): (u64, watch::Receiver<u64>)| async move {
            loop {
                newest.mark_unchanged();
                match self.read(seq).await {
                    Ok(Slot::Present(entry)) => return Some((Ok(entry), (seq + 1, newest))),
                    Ok(Slot::Truncated) => return Some((Err(LogError::Truncated), (seq, newest))),
                    Ok(Slot::Absent) => newest.changed().await.ok()?,
                    Err(error) => return Some((Err(error), (seq, newest))),
                }
            }
        };
        futures::stream::unfold(state, follow).boxed()
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), LogError> {
        self.blocking("rocks-log-checkpoint", move |database| {
            database.write(|database| store_checkpoint(database, &checkpoint))?;
            // Outside of the lock: appends go on meanwhile.
            if checkpoint.state.len() > FLUSHED_BYTES { database.with(flush_checkpoints) } else { Ok(()) }
        })
        .await
    }

    async fn truncate(&self, upto: u64) -> Result<(), LogError> {
        self.blocking("rocks-log-truncate", move |database| database.write(|database| truncate(database, upto))).await
    }

    fn lock_proves_leadership(&self) -> bool {
        true
    }

    fn needs_lease(&self) -> bool {
        self.on_network
    }

    fn predecessor_has_ended(&self) -> Option<bool> {
        Some(self.predecessor_has_ended)
    }

    async fn begin_leading(&self) -> Result<(), LogError> {
        self.blocking("rocks-log-holder", |database| {
            let directory = &database.directory;
            rocks_holder::write(directory).map_err(|error| io_error(directory, &error))
        })
        .await
    }
}
