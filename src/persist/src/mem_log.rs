//! A log in memory, with the faults that real stores have.
//!
//! The storage outlives whoever writes to it, as a disk does; each handle has its own faults, as each machine has its own
//! network. It is as dumb as an object store: a slot below the truncation point can be filled again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use stdx::{Rng, Tasks};
use tokio::sync::watch;

use crate::log::{Append, CHECKPOINTS_KEPT, Checkpoint, Entry, Log, LogError, Slot, Survey, check_tail};

/// Entries younger than this are not truncated, unless a handle says otherwise.
const TRUNCATE_AGE: Duration = Duration::from_secs(3600);

/// What goes wrong between a writer and the log, each in so many of a thousand appends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Every request and every reply takes up to this long.
    pub delay_ms_max: u64,
    /// The request never arrives; the writer hears of an unknown outcome.
    pub lose_request: u64,
    /// The entry is stored, but the writer hears of an unknown outcome.
    pub lose_reply: u64,
    /// The request arrives a second time, up to ten times the longest delay later.
    pub duplicate: u64,
    /// The writer hears of an unknown outcome, and the request arrives later than its next ones.
    pub reorder: u64,
    /// The store has no space left.
    pub disk_full: u64,
}

/// A log in memory; clones share the storage.
#[derive(Clone)]
pub struct MemLog {
    storage: Arc<Storage>,
    weather: Option<Weather>,
    truncate_age: Duration,
    /// Where a store runs that leaders share, as they do an object store: nobody can lock it, it has a clock of its own, and
    /// requests that are on their way arrive although their senders have ended.
    shared: Option<Tasks>,
}

#[derive(Clone)]
struct Weather {
    faults: Faults,
    rng: Rng,
    tasks: Tasks,
}

struct Storage {
    slots: Mutex<Slots>,
    newest: watch::Sender<u64>,
}

#[derive(Default)]
struct Slots {
    entries: BTreeMap<u64, (Bytes, Duration)>,
    checkpoints: BTreeMap<(u64, u64, uuid::Uuid), Bytes>,
}

impl Default for MemLog {
    fn default() -> MemLog {
        MemLog::new()
    }
}

impl MemLog {
    /// An empty log without faults.
    pub fn new() -> MemLog {
        let storage = Storage { slots: Mutex::default(), newest: watch::Sender::new(0) };
        MemLog { storage: Arc::new(storage), weather: None, truncate_age: TRUNCATE_AGE, shared: None }
    }

    /// Another handle to the same storage, through faults drawn from `rng`.
    pub fn with_faults(&self, faults: Faults, rng: Rng, tasks: Tasks) -> MemLog {
        MemLog { weather: Some(Weather { faults, rng, tasks }), ..self.clone() }
    }

    /// A log whose leaders fence one another by leases, as on an object store, and that tells its time.
    pub fn shared(tasks: Tasks) -> MemLog {
        MemLog { shared: Some(tasks), ..MemLog::new() }
    }

    /// How many entries are stored.
    pub fn len(&self) -> usize {
        self.storage.slots.lock().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Another handle to the same storage that truncates entries once they are this old.
    pub fn with_truncate_age(self, truncate_age: Duration) -> MemLog {
        MemLog { truncate_age, ..self }
    }

    /// The bytes of an entry, for tests that damage them.
    pub fn stored_entry(&self, seq: u64) -> Option<Bytes> {
        self.storage.slots.lock().entries.get(&seq).map(|(bytes, _)| bytes.clone())
    }

    /// Replaces or removes the bytes of an entry behind the log's back, for tests.
    pub fn store_entry(&self, seq: u64, bytes: Option<Bytes>) {
        let mut slots = self.storage.slots.lock();
        match bytes {
            Some(bytes) => drop(slots.entries.insert(seq, (bytes, Duration::ZERO))),
            None => drop(slots.entries.remove(&seq)),
        }
    }

    /// The bytes of the first checkpoint up to `upto`, for tests that damage them.
    pub fn stored_checkpoint(&self, upto: u64) -> Option<Bytes> {
        let slots = self.storage.slots.lock();
        slots.checkpoints.iter().find(|(order, _)| order.0 == upto).map(|(_, bytes)| bytes.clone())
    }

    /// Replaces or removes the bytes of the checkpoints up to `upto`, for tests.
    pub fn store_checkpoint(&self, upto: u64, bytes: Option<Bytes>) {
        let mut slots = self.storage.slots.lock();
        match bytes {
            Some(bytes) => {
                let damaged = slots.checkpoints.iter_mut().filter(|(order, _)| order.0 == upto);
                damaged.for_each(|(_, stored)| *stored = bytes.clone());
            }
            None => slots.checkpoints.retain(|order, _| order.0 != upto),
        }
    }

    /// Damages the newest checkpoint that is sound, for tests. False if there is none but the oldest kept one, without which
    /// nothing could be loaded.
    pub fn damage_newest_checkpoint(&self) -> bool {
        let mut slots = self.storage.slots.lock();
        let sound = |bytes: &Bytes| Checkpoint::decode(bytes.clone()).is_ok();
        let newest = slots.checkpoints.iter_mut().skip(1).rev().find(|(_, bytes)| sound(bytes));
        let Some((_, bytes)) = newest else { return false };
        let mut damaged = bytes.to_vec();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        *bytes = Bytes::from(damaged);
        true
    }

    async fn travel(&self) {
        if let Some(weather) = &self.weather {
            weather.travel(1).await;
        }
    }

    fn strikes(&self, fault: impl Fn(&Faults) -> u64) -> bool {
        self.weather.as_ref().is_some_and(|weather| {
            let permille = fault(&weather.faults);
            permille > 0 && weather.rng.below(1000) < permille
        })
    }

    /// Delivers the request once more, some time later.
    fn deliver_late(&self, entry: &Entry) {
        let Some(weather) = self.weather.clone() else { return };
        let tasks = self.shared.clone().unwrap_or_else(|| weather.tasks.clone());
        let (log, entry) = (MemLog { weather: None, ..self.clone() }, entry.clone());
        let late = async move {
            weather.travel(10).await;
            // Whoever sent it has stopped listening.
            let _ = log.put(&entry);
        };
        tasks.spawn("mem-log-late-request", late).detach();
    }

    fn time(&self) -> Duration {
        let tasks = self.shared.as_ref().or(self.weather.as_ref().map(|weather| &weather.tasks));
        tasks.map_or(Duration::ZERO, |tasks| tasks.clock().boot())
    }

    fn put(&self, entry: &Entry) -> Result<Append, LogError> {
        let now = self.time();
        match self.storage.put(entry, now)? {
            Append::Committed { .. } if self.shared.is_some() => {
                Ok(Append::Committed { stored_at: Some(SystemTime::UNIX_EPOCH + now) })
            }
            outcome => Ok(outcome),
        }
    }
}

impl Weather {
    async fn travel(&self, times: u64) {
        let most = self.faults.delay_ms_max * times;
        if most > 0 {
            let micros = self.rng.below(most * 1000);
            self.tasks.sleep(Duration::from_micros(micros)).await;
        }
    }
}

impl Storage {
    fn put(&self, entry: &Entry, now: Duration) -> Result<Append, LogError> {
        let mut slots = self.slots.lock();
        if let Some((bytes, _)) = slots.entries.get(&entry.seq) {
            return Ok(Append::Occupied(Entry::decode(entry.seq, bytes.clone())?));
        }
        slots.entries.insert(entry.seq, (entry.encode(), now));
        drop(slots);
        self.newest.send_if_modified(|newest| {
            let moved = entry.seq > *newest;
            *newest = entry.seq.max(*newest);
            moved
        });
        Ok(Append::Committed { stored_at: None })
    }

    fn get(&self, seq: u64) -> Result<Slot, LogError> {
        let slots = self.slots.lock();
        let upto = slots.checkpoints.keys().next_back().map_or(0, |(upto, _, _)| *upto);
        if seq <= upto {
            return Ok(Slot::Truncated);
        }
        match slots.entries.get(&seq) {
            Some((bytes, _)) => Ok(Slot::Present(Entry::decode(seq, bytes.clone())?)),
            None => Ok(Slot::Absent),
        }
    }
}

#[async_trait]
impl Log for MemLog {
    async fn load(&self) -> Result<(Option<Checkpoint>, Vec<Entry>), LogError> {
        self.travel().await;
        let slots = self.storage.slots.lock();
        // A damaged newest one gives way to the one before, whose tail is still there.
        let sound = slots.checkpoints.values().rev().map(|bytes| Checkpoint::decode(bytes.clone()));
        let mut newest = None;
        for checkpoint in sound {
            match checkpoint {
                Ok(checkpoint) => {
                    newest = Some(checkpoint);
                    break;
                }
                Err(LogError::Corrupt(cause)) => tracing::warn!(cause, "skipping a damaged checkpoint"),
                Err(error) => return Err(error),
            }
        }
        let start = newest.as_ref().map_or(0, |checkpoint: &Checkpoint| checkpoint.upto) + 1;
        let newest_upto = slots.checkpoints.keys().next_back().map_or(0, |(upto, _, _)| *upto);
        check_tail(start, slots.entries.range(start..).map(|(seq, _)| *seq), newest_upto)?;
        let tail = slots.entries.range(start..).map(|(seq, (bytes, _))| Entry::decode(*seq, bytes.clone()));
        Ok((newest, tail.collect::<Result<_, _>>()?))
    }

    async fn survey(&self) -> Result<Survey, LogError> {
        self.travel().await;
        let slots = self.storage.slots.lock();
        let mut survey = Survey::default();
        for ((upto, _, _), bytes) in &slots.checkpoints {
            match Checkpoint::decode(bytes.clone()) {
                Ok(checkpoint) => survey.checkpoints.push(checkpoint),
                Err(error) => survey.damages.push(format!("checkpoint up to entry {upto}: {error}")),
            }
        }
        let start = survey.checkpoints.first().map_or(0, |checkpoint| checkpoint.upto) + 1;
        for (seq, (bytes, _)) in slots.entries.range(start..) {
            match Entry::decode(*seq, bytes.clone()) {
                Ok(entry) => survey.entries.push(entry),
                Err(error) => survey.damages.push(error.to_string()),
            }
        }
        Ok(survey)
    }

    async fn append(&self, entry: Entry) -> Result<Append, LogError> {
        self.travel().await;
        if self.strikes(|faults| faults.disk_full) {
            return Err(LogError::DiskFull("injected".to_owned()));
        }
        if self.strikes(|faults| faults.lose_request) {
            return Err(LogError::Indeterminate("request lost".to_owned()));
        }
        if self.strikes(|faults| faults.reorder) {
            self.deliver_late(&entry);
            return Err(LogError::Indeterminate("request delayed".to_owned()));
        }
        if self.strikes(|faults| faults.duplicate) {
            self.deliver_late(&entry);
        }
        let outcome = self.put(&entry);
        self.travel().await;
        if self.strikes(|faults| faults.lose_reply) {
            return Err(LogError::Indeterminate("reply lost".to_owned()));
        }
        outcome
    }

    async fn read(&self, seq: u64) -> Result<Slot, LogError> {
        self.travel().await;
        let slot = self.storage.get(seq);
        self.travel().await;
        slot
    }

    fn tail(&self, from: u64) -> BoxStream<'_, Result<Entry, LogError>> {
        let state = (from, self.storage.newest.subscribe());
        let follow = move |(seq, mut newest): (u64, watch::Receiver<u64>)| async move {
            loop {
                newest.mark_unchanged();
                match self.storage.get(seq) {
                    Ok(Slot::Present(entry)) => return Some((Ok(entry), (seq + 1, newest))),
                    Ok(Slot::Truncated) => return Some((Err(LogError::Truncated), (seq, newest))),
                    Err(error) => return Some((Err(error), (seq, newest))),
                    Ok(Slot::Absent) => newest.changed().await.ok()?,
                }
            }
        };
        futures::stream::unfold(state, follow).boxed()
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), LogError> {
        self.travel().await;
        let mut slots = self.storage.slots.lock();
        slots.checkpoints.insert(checkpoint.order(), checkpoint.encode());
        while slots.checkpoints.len() > CHECKPOINTS_KEPT {
            slots.checkpoints.pop_first();
        }
        Ok(())
    }

    async fn truncate(&self, upto: u64) -> Result<(), LogError> {
        self.travel().await;
        let now = self.time();
        let mut slots = self.storage.slots.lock();
        let oldest = slots.checkpoints.keys().next().map_or(0, |(upto, _, _)| *upto);
        let upto = upto.min(oldest);
        slots.entries.retain(|seq, (_, stored)| *seq > upto || now.saturating_sub(*stored) < self.truncate_age);
        Ok(())
    }

    fn lock_proves_leadership(&self) -> bool {
        self.shared.is_none()
    }
}
