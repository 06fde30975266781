//! Rules that can be switched off, to see that the simulation notices.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use persist::{Append, Checkpoint, Entry, Log, LogError, MemLog, Slot};
use stdx::Rng;

/// A rule that the durability of writes rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// An append is answered once it is stored, not once it is on its way.
    StoreFirst,
    /// A slot is filled once.
    PutIfAbsent,
    /// A part is stored before the log names it.
    StoreParts,
    /// An append proves for so long that no other leader answers.
    Lease,
    /// A retry has the token of the first try.
    SameToken,
    /// A commit that read something is refused if that has changed.
    Validate,
    /// Whoever will read a time again holds it.
    Hold,
}

/// A log that breaks `rule`, if it is one of logs.
pub(crate) fn tampered(log: MemLog, rule: Rule, rng: Rng) -> Arc<dyn Log> {
    match rule {
        Rule::StoreFirst => Arc::new(EarlyLog { log, pending: Mutex::new(None) }),
        Rule::PutIfAbsent => Arc::new(OverwritingLog { log, rng }),
        Rule::StoreParts | Rule::Lease | Rule::SameToken | Rule::Validate | Rule::Hold => Arc::new(log),
    }
}

/// Answers an append before it is stored, as a disk without sync does: what was answered last is lost with the process.
struct EarlyLog {
    log: MemLog,
    pending: Mutex<Option<Entry>>,
}

#[async_trait]
impl Log for EarlyLog {
    async fn load(&self) -> Result<(Option<Checkpoint>, Vec<Entry>), LogError> {
        self.log.load().await
    }

    async fn append(&self, entry: Entry) -> Result<Append, LogError> {
        let before = self.pending.lock().take();
        if let Some(before) = before {
            // Its own faults are not what is tested.
            let _ = self.log.append(before).await;
        }
        *self.pending.lock() = Some(entry);
        Ok(Append::Committed { stored_at: None })
    }

    async fn read(&self, seq: u64) -> Result<Slot, LogError> {
        let pending = self.pending.lock().clone().filter(|entry| entry.seq == seq);
        match pending {
            Some(entry) => Ok(Slot::Present(entry)),
            None => self.log.read(seq).await,
        }
    }

    fn tail(&self, from: u64) -> BoxStream<'_, Result<Entry, LogError>> {
        self.log.tail(from)
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), LogError> {
        self.log.checkpoint(checkpoint).await
    }

    async fn truncate(&self, upto: u64) -> Result<(), LogError> {
        self.log.truncate(upto).await
    }

    fn lock_proves_leadership(&self) -> bool {
        self.log.lock_proves_leadership()
    }
}

/// Says of a slot that someone else has filled that it is now ours.
struct OverwritingLog {
    log: MemLog,
    rng: Rng,
}

#[async_trait]
impl Log for OverwritingLog {
    async fn load(&self) -> Result<(Option<Checkpoint>, Vec<Entry>), LogError> {
        self.log.load().await
    }

    async fn append(&self, entry: Entry) -> Result<Append, LogError> {
        match self.log.append(entry).await {
            Ok(Append::Occupied(_)) if self.rng.below(2) == 0 => Ok(Append::Committed { stored_at: None }),
            outcome => outcome,
        }
    }

    async fn read(&self, seq: u64) -> Result<Slot, LogError> {
        self.log.read(seq).await
    }

    fn tail(&self, from: u64) -> BoxStream<'_, Result<Entry, LogError>> {
        self.log.tail(from)
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), LogError> {
        self.log.checkpoint(checkpoint).await
    }

    async fn truncate(&self, upto: u64) -> Result<(), LogError> {
        self.log.truncate(upto).await
    }

    fn lock_proves_leadership(&self) -> bool {
        self.log.lock_proves_leadership()
    }
}
