//! The log on an object store: one object for each entry, created if absent.
//!
//! Objects: `log/{seq, 20 digits}` and `ckpt/{upto, 20 digits}-{epoch, 20 digits}-{nonce}`, never overwritten.
//!
//! What the store says of a failed create is not believed: a conflict may be with our own request, tried again by the
//! client after its first answer was lost. So whatever is not a plain success is resolved by reading back, and reading looks
//! at the newest checkpoint after a miss *and* after a hit: below it anybody can fill a slot again once it was truncated, and
//! nobody will ever load what is stored there.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStoreExt, PutMode, PutPayload};
use stdx::{Backoff, Rng, Tasks, with_causes};
use tracing::warn;
use uuid::Uuid;

use crate::blob::{Blob, is_disk_full};
use crate::log::{Append, CHECKPOINTS_KEPT, Checkpoint, Entry, Log, LogError, Slot, check_tail};

const LOG: &str = "log";
const CHECKPOINTS: &str = "ckpt";
/// Entries younger than this are not truncated, by the store's own clock.
const TRUNCATE_AGE: Duration = Duration::from_secs(3600);
/// Entries read at the same time by `load`.
const LOAD_PARALLEL: usize = 16;
/// How often `load` starts over because another process truncates meanwhile.
const LOAD_TRIES: usize = 5;
/// How often `prove` tries.
const PROBES: usize = 3;
/// A follower asks at these intervals, ever longer while nothing comes.
const POLL_FIRST: Duration = Duration::from_millis(10);
const POLL_LONGEST: Duration = Duration::from_secs(1);

/// A log on an object store.
pub struct ObjLog {
    store: Blob,
    /// For messages: the URL without its options.
    name: String,
    /// Of a local store. Another process's create may be visible before its directory is synced.
    directory: Option<PathBuf>,
    truncate_age: Duration,
    tasks: Tasks,
}

/// A checkpoint as its object's name describes it.
type CheckpointName = (u64, u64, Uuid);

impl ObjLog {
    /// The log in `store`, which messages call `name`. A store on a local disk names its directory, to be synced.
    pub fn new(store: Blob, name: String, directory: Option<PathBuf>, tasks: Tasks) -> ObjLog {
        ObjLog { store, name, directory, truncate_age: TRUNCATE_AGE, tasks }
    }

    /// The same log with another minimum age of truncated entries, for tests.
    pub fn with_truncate_age(self, truncate_age: Duration) -> ObjLog {
        ObjLog { truncate_age, ..self }
    }

    /// Makes sure that the store can be reached and refuses to create an object twice: the one thing that the log rests on, and
    /// some stores that speak S3's language do not keep it.
    ///
    /// Errors: `Broken`, saying what is wrong.
    pub async fn prove(&self, rng: &Rng) -> Result<(), LogError> {
        for _ in 0..PROBES {
            let path = Path::from(format!("probe/{}", Uuid::from_bytes(rng.bytes16()).simple()));
            let broken = |error: &Error| LogError::Broken(format!("{}/{path}: {}", self.name, with_causes(error)));
            let mut refused = [false, false];
            for (refused, bytes) in refused.iter_mut().zip([&b"first"[..], b"second"]) {
                match self.create(&path, Bytes::from_static(bytes)).await {
                    Ok(()) => {}
                    Err(Error::AlreadyExists { .. }) => *refused = true,
                    Err(error) => return Err(broken(&error)),
                }
            }
            let found = match self.get(&path).await {
                Ok(found) => found,
                Err(Error::NotFound { .. }) => Bytes::new(),
                Err(error) => return Err(broken(&error)),
            };
            // Left behind it does no harm.
            let _ = self.store.delete(&path).await;
            match refused {
                // The first was refused for a conflict with itself, if at all.
                [_, true] if found == b"first"[..] => return Ok(()),
                [false, false] => {
                    return Err(LogError::Broken(format!(
                        "{} replaces objects that it was asked to create only if they are absent; a log cannot be kept there",
                        self.name
                    )));
                }
                // A conflict with nothing: some stores answer so when they are busy.
                _ => {}
            }
        }
        Err(LogError::Broken(format!("{} reports conflicts with objects that do not exist", self.name)))
    }

    async fn create(&self, path: &Path, bytes: Bytes) -> Result<(), Error> {
        let stored = self.store.put_opts(path, PutPayload::from(bytes), PutMode::Create.into()).await;
        stored.map(|_| ())
    }

    async fn get(&self, path: &Path) -> Result<Bytes, Error> {
        self.store.get(path).await?.bytes().await
    }

    /// A failure that leaves the state of the store unknown, or ends the log if it is on a disk of ours: there a failed sync
    /// may have dropped what was written, and only a new process that loads everything again can go on.
    fn failed(&self, object: &str, error: &Error) -> LogError {
        let cause = with_causes(error);
        let text = format!("{}/{object}: {cause}", self.name);
        if is_disk_full(&cause) {
            LogError::DiskFull(text)
        } else if self.directory.is_some() {
            LogError::Broken(text)
        } else {
            LogError::Indeterminate(text)
        }
    }

    /// Names the object of which something was decoded.
    fn of_object(&self, object: &str, error: LogError) -> LogError {
        match error {
            LogError::Corrupt(cause) => LogError::Corrupt(format!("{}/{object}: {cause}", self.name)),
            LogError::Newer(cause) => LogError::Newer(format!("{}/{object}: {cause}", self.name)),
            other => other,
        }
    }

    /// Makes what was just read durable, where that is not the store's own business.
    async fn settle(&self, folder: &str) -> Result<(), LogError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let folder = directory.join(folder);
        let name = folder.display().to_string();
        let sync = move || match std::fs::File::open(&folder) {
            Ok(folder) => folder.sync_all(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        let synced = self.tasks.spawn_blocking("obj-log-sync", sync).await;
        synced.map_err(|error| LogError::Broken(format!("cannot sync {name}: {error}")))
    }

    async fn list(&self, folder: &str, after: Option<&Path>) -> Result<Vec<ObjectMeta>, LogError> {
        let path = Path::from(folder);
        let objects = match after {
            Some(after) => self.store.list_with_offset(Some(&path), after),
            None => self.store.list(Some(&path)),
        };
        objects.try_collect().await.map_err(|error| self.failed(folder, &error))
    }

    /// Names of checkpoints, the newest last.
    async fn checkpoints(&self) -> Result<Vec<CheckpointName>, LogError> {
        let objects = self.list(CHECKPOINTS, None).await?;
        let mut names: Vec<CheckpointName> =
            objects.iter().filter_map(|object| checkpoint_of(&object.location)).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn newest_upto(&self) -> Result<u64, LogError> {
        Ok(self.checkpoints().await?.last().map_or(0, |(upto, _, _)| *upto))
    }

    /// None: the object is gone.
    async fn fetch_checkpoint(&self, name: CheckpointName) -> Result<Option<Checkpoint>, LogError> {
        let path = checkpoint_path(name);
        let bytes = match self.get(&path).await {
            Ok(bytes) => bytes,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed(path.as_ref(), &error)),
        };
        let checkpoint = Checkpoint::decode(bytes).map_err(|error| self.of_object(path.as_ref(), error))?;
        if checkpoint.order() != name {
            return Err(LogError::Corrupt(format!("{}/{path}: is another checkpoint", self.name)));
        }
        Ok(Some(checkpoint))
    }

    /// None: the object is gone.
    async fn fetch_entry(&self, seq: u64) -> Result<Option<Entry>, LogError> {
        let path = entry_path(seq);
        match self.get(&path).await {
            Ok(bytes) => Entry::decode(seq, bytes).map(Some).map_err(|error| self.of_object(path.as_ref(), error)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(path.as_ref(), &error)),
        }
    }

    /// None: objects went away meanwhile, for a leader truncates.
    async fn try_load(&self) -> Result<Option<(Option<Checkpoint>, Vec<Entry>)>, LogError> {
        let names = self.checkpoints().await?;
        let mut newest = None;
        for name in names.iter().rev() {
            match self.fetch_checkpoint(*name).await {
                Ok(Some(checkpoint)) => {
                    newest = Some(checkpoint);
                    break;
                }
                Ok(None) => return Ok(None),
                // The one before has its tail still.
                Err(LogError::Corrupt(cause)) => warn!(cause, "skipping a damaged checkpoint"),
                Err(error) => return Err(error),
            }
        }
        let upto = newest.as_ref().map_or(0, |checkpoint: &Checkpoint| checkpoint.upto);
        let objects = self.list(LOG, Some(&entry_path(upto))).await?;
        let mut seqs: Vec<u64> = objects.iter().filter_map(|object| seq_of(&object.location)).collect();
        seqs.sort_unstable();
        let newest_upto = names.last().map_or(0, |(upto, _, _)| *upto);
        let sound = check_tail(upto + 1, seqs.iter().copied(), newest_upto);
        if let Err(hole) = sound {
            // Unless a newer checkpoint has made a hole of what was needed before.
            let moved = self.checkpoints().await? != names;
            return if moved { Ok(None) } else { Err(self.of_object(LOG, hole)) };
        }
        let entries = futures::stream::iter(seqs).map(|seq| self.fetch_entry(seq)).buffered(LOAD_PARALLEL);
        let entries: Vec<Option<Entry>> = entries.try_collect().await?;
        let entries: Option<Vec<Entry>> = entries.into_iter().collect();
        Ok(entries.map(|entries| (newest, entries)))
    }

    async fn follow(&self, seq: u64) -> Result<Entry, LogError> {
        let mut backoff = Backoff::new(POLL_FIRST, POLL_LONGEST);
        loop {
            match self.read(seq).await? {
                Slot::Present(entry) => return Ok(entry),
                Slot::Truncated => return Err(LogError::Truncated),
                Slot::Absent => self.tasks.sleep(backoff.next_delay()).await,
            }
        }
    }
}

fn entry_path(seq: u64) -> Path {
    Path::from(format!("{LOG}/{seq:020}"))
}

fn seq_of(path: &Path) -> Option<u64> {
    let name = path.filename()?;
    (name.len() == 20).then(|| name.parse().ok()).flatten()
}

fn checkpoint_path((upto, epoch, nonce): CheckpointName) -> Path {
    Path::from(format!("{CHECKPOINTS}/{upto:020}-{epoch:020}-{}", nonce.simple()))
}

fn checkpoint_of(path: &Path) -> Option<CheckpointName> {
    let mut fields = path.filename()?.splitn(3, '-');
    let (upto, epoch) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((upto, epoch, Uuid::parse_str(fields.next()?).ok()?))
}

#[async_trait]
impl Log for ObjLog {
    async fn load(&self) -> Result<(Option<Checkpoint>, Vec<Entry>), LogError> {
        for _ in 0..LOAD_TRIES {
            if let Some(loaded) = self.try_load().await? {
                self.settle(CHECKPOINTS).await?;
                self.settle(LOG).await?;
                return Ok(loaded);
            }
        }
        Err(LogError::Indeterminate(format!("{}: checkpoints change faster than they can be read", self.name)))
    }

    async fn append(&self, entry: Entry) -> Result<Append, LogError> {
        let path = entry_path(entry.seq);
        let error = match self.create(&path, entry.encode()).await {
            Ok(()) => return Ok(Append::Committed { stored_at: None }),
            Err(error) => error,
        };
        if !matches!(error, Error::AlreadyExists { .. }) {
            let error = self.failed(path.as_ref(), &error);
            warn!(%error, "an append has failed");
            return Err(error);
        }
        match self.read(entry.seq).await? {
            Slot::Present(found) if found == entry => Ok(Append::Committed { stored_at: None }),
            Slot::Present(found) => Ok(Append::Occupied(found)),
            Slot::Absent => Err(LogError::Indeterminate(format!("{}/{path}: a conflict with nothing", self.name))),
            Slot::Truncated => {
                let text = format!("{}/{path}: lies below the newest checkpoint", self.name);
                Err(LogError::Indeterminate(text))
            }
        }
    }

    async fn read(&self, seq: u64) -> Result<Slot, LogError> {
        let entry = self.fetch_entry(seq).await;
        // After the entry: what is there now may have been written again into a truncated slot.
        if seq <= self.newest_upto().await? {
            return Ok(Slot::Truncated);
        }
        match entry? {
            Some(entry) => {
                self.settle(LOG).await?;
                Ok(Slot::Present(entry))
            }
            None => Ok(Slot::Absent),
        }
    }

    fn tail(&self, from: u64) -> BoxStream<'_, Result<Entry, LogError>> {
        let next = move |seq: u64| async move {
            let entry = self.follow(seq).await;
            if let Err(LogError::Indeterminate(_)) = &entry {
                // Whoever asks again must not do so at full speed.
                self.tasks.sleep(POLL_LONGEST).await;
            }
            let next = if entry.is_ok() { seq + 1 } else { seq };
            Some((entry, next))
        };
        futures::stream::unfold(from, next).boxed()
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), LogError> {
        let path = checkpoint_path(checkpoint.order());
        match self.create(&path, checkpoint.encode()).await {
            // The name has our nonce: what is there is ours, and the same.
            Ok(()) | Err(Error::AlreadyExists { .. }) => self.settle(CHECKPOINTS).await?,
            Err(error) => return Err(self.failed(path.as_ref(), &error)),
        }
        let names = self.checkpoints().await?;
        for name in names.iter().rev().skip(CHECKPOINTS_KEPT) {
            let path = checkpoint_path(*name);
            match self.store.delete(&path).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(path.as_ref(), &error)),
            }
        }
        Ok(())
    }

    async fn truncate(&self, upto: u64) -> Result<(), LogError> {
        let checkpoints = self.list(CHECKPOINTS, None).await?;
        let mut names: Vec<CheckpointName> = Vec::new();
        // The store's own time, for ours may be wrong: it is not earlier than when it stored the last checkpoint.
        let mut now = None;
        for object in &checkpoints {
            names.extend(checkpoint_of(&object.location));
            now = now.max(Some(object.last_modified));
        }
        names.sort_unstable();
        let (Some((oldest, _, _)), Some(now)) = (names.get(names.len().saturating_sub(CHECKPOINTS_KEPT)), now) else {
            return Ok(());
        };
        let upto = upto.min(*oldest);
        let old = |object: &ObjectMeta| {
            let age = now.signed_duration_since(object.last_modified).to_std().unwrap_or_default();
            seq_of(&object.location).is_some_and(|seq| seq <= upto) && age >= self.truncate_age
        };
        let mut objects = self.store.list(Some(&Path::from(LOG)));
        let mut doomed = Vec::new();
        while let Some(object) = objects.try_next().await.map_err(|error| self.failed(LOG, &error))? {
            if old(&object) {
                doomed.push(Ok(object.location));
            } else if self.directory.is_none() {
                // Stores list by name, and younger entries have greater ones: nothing further is old.
                break;
            }
        }
        let mut deleted = self.store.delete_stream(futures::stream::iter(doomed).boxed());
        while let Some(outcome) = deleted.next().await {
            match outcome {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(LOG, &error)),
            }
        }
        Ok(())
    }

    /// Nothing stops a second process from writing.
    fn lock_proves_leadership(&self) -> bool {
        false
    }
}
