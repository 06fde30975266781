//! The log as a storage backend sees it: numbered slots, each filled once, and checkpoints.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use uuid::Uuid;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::encode::{FORMAT_VERSION, check_version};

/// One slot's contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: u64,
    pub epoch: u64,
    /// Of the leader that wrote it.
    pub nonce: Uuid,
    /// Over all other fields.
    pub crc32c: u32,
    pub body: Bytes,
}

/// What became of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Append {
    /// Durable. The store's own time, where it tells.
    Committed { stored_at: Option<SystemTime> },
    /// Someone else owns the slot.
    Occupied(Entry),
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    Present(Entry),
    Absent,
    /// At or below the newest checkpoint, whatever is stored under its number.
    Truncated,
}

/// A state, to be loaded in place of all entries up to `upto`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub log_id: Uuid,
    pub upto: u64,
    pub epoch: u64,
    pub nonce: Uuid,
    /// Over all other fields.
    pub crc32c: u32,
    pub state: Bytes,
}

/// What a log holds.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The sound ones, oldest first.
    pub checkpoints: Vec<Checkpoint>,
    /// The sound ones; what is missing between two of them is among the damages, if a checkpoint does not contain it.
    pub entries: Vec<Entry>,
    /// Each names the entry, checkpoint or file.
    pub damages: Vec<String>,
}

/// What went wrong, by what the caller can do next.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// Another process has the log open: end with this message.
    #[error("{0}")]
    InUse(String),
    /// The slot is owed: retry the same bytes until they commit.
    #[error("no space left on device: {0}")]
    DiskFull(String),
    /// Nobody knows whether the entry was stored: only `read` decides.
    #[error("outcome unknown: {0}")]
    Indeterminate(String),
    /// Only a new process that recovers the log can go on.
    #[error("log failed: {0}")]
    Broken(String),
    /// What is stored is not what was written: nothing was changed, a person must look.
    #[error("log damaged: {0}")]
    Corrupt(String),
    #[error("{0}")]
    Newer(String),
    /// A follower fell behind the truncation point: load again.
    #[error("the log was truncated beyond this entry")]
    Truncated,
}

/// A backend of the log.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// The newest sound checkpoint and the contiguous entries behind it.
    async fn load(&self) -> Result<(Option<Checkpoint>, Vec<Entry>), LogError>;
    /// Stores an entry at exactly its slot, if that is free. An error leaves the outcome open: see [`LogError`].
    async fn append(&self, entry: Entry) -> Result<Append, LogError>;
    /// Reads a slot, and after that the newest checkpoint: at or below it the slot is `Truncated`.
    async fn read(&self, seq: u64) -> Result<Slot, LogError>;
    /// Entries from `from` on, those to come included. Ends with `LogError::Truncated` if some are gone.
    fn tail(&self, from: u64) -> BoxStream<'_, Result<Entry, LogError>>;
    /// Stores a checkpoint beside the others and forgets all but the newest three.
    async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), LogError>;
    /// Everything that is stored, sound or not, for verification; an error only when nothing at all can be read. A backend
    /// that does not say otherwise shows what `load` sees.
    async fn survey(&self) -> Result<Survey, LogError> {
        match self.load().await {
            Ok((checkpoint, entries)) => {
                Ok(Survey { checkpoints: checkpoint.into_iter().collect(), entries, damages: Vec::new() })
            }
            Err(LogError::Corrupt(cause)) => Ok(Survey { damages: vec![cause], ..Survey::default() }),
            Err(error) => Err(error),
        }
    }
    /// Drops entries up to `upto`, but none that the oldest kept checkpoint needs nor one younger than the log's minimum age.
    async fn truncate(&self, upto: u64) -> Result<(), LogError>;
    /// Whether a lock that this handle holds keeps every other writer out. Without one, whoever wants to lead watches first
    /// whether another leader is alive, and a slot is taken for fresh only for a while.
    fn lock_proves_leadership(&self) -> bool;

    /// Whether leaders must prove by heartbeats that they still lead: a lock on a network volume may outlive its holder's view.
    fn needs_lease(&self) -> bool {
        !self.lock_proves_leadership()
    }

    /// Where the lock can tell: whether the leader before has ended, for it ran under this kernel. None: its lease decides.
    fn predecessor_has_ended(&self) -> Option<bool> {
        None
    }

    /// This process begins to answer as the leader; what the predecessor could still answer is over.
    async fn begin_leading(&self) -> Result<(), LogError> {
        Ok(())
    }
}

/// How many checkpoints a log keeps.
pub const CHECKPOINTS_KEPT: usize = 3;

impl Entry {
    pub fn new(seq: u64, epoch: u64, nonce: Uuid, body: Bytes) -> Entry {
        let mut entry = Entry { seq, epoch, nonce, crc32c: 0, body };
        entry.crc32c = entry.checksum();
        entry
    }

    fn checksum(&self) -> u32 {
        let crc = crc32c::crc32c(&self.seq.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &self.epoch.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, self.nonce.as_bytes());
        crc32c::crc32c_append(crc, &self.body)
    }

    /// Whether the entry is what was written.
    pub fn is_sound(&self) -> bool {
        self.crc32c == self.checksum()
    }

    /// The bytes that a backend stores.
    pub fn encode(&self) -> Bytes {
        let mut out = Encoder::default();
        out.varint(u64::from(FORMAT_VERSION));
        out.fixed_u64(self.seq);
        out.fixed_u64(self.epoch);
        out.uuid(self.nonce);
        out.fixed_u32(self.crc32c);
        out.0.extend_from_slice(&self.body);
        out.finish()
    }

    /// Reads what a backend stored for slot `seq`. Errors: damaged (also if it is another slot's), or newer.
    pub fn decode(seq: u64, bytes: Bytes) -> Result<Entry, LogError> {
        let decode = || -> Result<Entry, DecodeError> {
            let mut input = Decoder(bytes);
            check_version(&mut input)?;
            let (seq, epoch, nonce) = (input.fixed_u64()?, input.fixed_u64()?, input.uuid()?);
            let crc32c = input.fixed_u32()?;
            Ok(Entry { seq, epoch, nonce, crc32c, body: input.0 })
        };
        let entry = decode().map_err(|error| LogError::of(error, &format!("entry {seq}")))?;
        if entry.seq != seq || !entry.is_sound() {
            return Err(LogError::Corrupt(format!("entry {seq}: checksum does not match")));
        }
        Ok(entry)
    }
}

impl Checkpoint {
    pub fn new(log_id: Uuid, upto: u64, epoch: u64, nonce: Uuid, state: Bytes) -> Checkpoint {
        let mut checkpoint = Checkpoint { log_id, upto, epoch, nonce, crc32c: 0, state };
        checkpoint.crc32c = checkpoint.checksum();
        checkpoint
    }

    fn checksum(&self) -> u32 {
        let crc = crc32c::crc32c(self.log_id.as_bytes());
        let crc = crc32c::crc32c_append(crc, &self.upto.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &self.epoch.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, self.nonce.as_bytes());
        crc32c::crc32c_append(crc, &self.state)
    }

    /// The bytes that a backend stores.
    pub fn encode(&self) -> Bytes {
        let mut out = Encoder::default();
        out.varint(u64::from(FORMAT_VERSION));
        out.uuid(self.log_id);
        out.fixed_u64(self.upto);
        out.fixed_u64(self.epoch);
        out.uuid(self.nonce);
        out.fixed_u32(self.crc32c);
        out.0.extend_from_slice(&self.state);
        out.finish()
    }

    /// Reads what a backend stored. Errors: damaged, or newer.
    pub fn decode(bytes: Bytes) -> Result<Checkpoint, LogError> {
        let decode = || -> Result<Checkpoint, DecodeError> {
            let mut input = Decoder(bytes);
            check_version(&mut input)?;
            let (log_id, upto, epoch) = (input.uuid()?, input.fixed_u64()?, input.fixed_u64()?);
            let (nonce, crc32c) = (input.uuid()?, input.fixed_u32()?);
            Ok(Checkpoint { log_id, upto, epoch, nonce, crc32c, state: input.0 })
        };
        let checkpoint = decode().map_err(|error| LogError::of(error, "checkpoint"))?;
        if checkpoint.crc32c != checkpoint.checksum() {
            return Err(LogError::Corrupt("checkpoint: checksum does not match".to_owned()));
        }
        Ok(checkpoint)
    }

    /// Newest is greatest by this, never by time of writing: a zombie's late checkpoint displaces none.
    pub fn order(&self) -> (u64, u64, Uuid) {
        (self.upto, self.epoch, self.nonce)
    }
}

/// Refuses a loaded tail that has a hole or ends before the newest checkpoint does, sound or not: what a damaged checkpoint
/// stood for must still be there as entries, or else it is lost and an older state would be taken for the newest.
pub(crate) fn check_tail(start: u64, seqs: impl Iterator<Item = u64>, newest_upto: u64) -> Result<(), LogError> {
    let mut expected = start;
    for seq in seqs {
        if seq != expected {
            return Err(LogError::Corrupt(format!("entry {expected} is missing; the next one is {seq}")));
        }
        expected += 1;
    }
    if expected <= newest_upto {
        let text = format!("entry {expected} is missing, and the checkpoint up to {newest_upto} is damaged");
        return Err(LogError::Corrupt(text));
    }
    Ok(())
}

impl LogError {
    pub(crate) fn of(error: DecodeError, what: &str) -> LogError {
        match error {
            DecodeError::Damaged(_) => LogError::Corrupt(format!("{what}: {error}")),
            DecodeError::Newer { .. } => LogError::Newer(format!("{what}: {error}")),
        }
    }
}
