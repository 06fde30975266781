//! Backups while the environment runs: a pin keeps the parts, so that neither writers nor compaction wait.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::backup::{BackupError, BackupReport, LogImage, Progress, Sources, write_backup};
use crate::blob::Blob;
use crate::leader::core::{Core, Refusal, Shared};
use crate::leader::{LeaderHandle, OpenError};
use crate::log::{Log, LogError};
use crate::op::{Op, PinId};

/// A backup that takes longer loses its parts.
const PIN_LASTS: Duration = Duration::from_secs(24 * 3600);
/// Expired pins go within this time.
const PINS_LOOKED_AT: Duration = Duration::from_secs(60);
/// How often the log is read again when it is truncated under the reader.
const TRIES: usize = 3;

/// What backups need of the leader beside its state.
pub(crate) struct Backups {
    /// Weak: the log must be let go when the leader ends, whatever a backup does.
    log: Weak<dyn Log>,
    /// One at a time.
    turn: Semaphore,
}

impl Backups {
    pub(crate) fn new(log: &Arc<dyn Log>) -> Backups {
        Backups { log: Arc::downgrade(log), turn: Semaphore::new(1) }
    }
}

/// Keeps what a state names, until it is dropped or expires.
struct Pinned {
    shared: Arc<Shared>,
    id: PinId,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let unpin = async move {
            // If the leader has ended, the next one unpins.
            let _ = shared.submit(Op::Unpin { id }.into()).await;
        };
        self.shared.tasks.spawn("persist-unpin", unpin).detach();
    }
}

impl LeaderHandle {
    /// Copies the durable state of now, the history that the log still has, and the parts that these name to `target`.
    ///
    /// Errors: `Busy` while another one is under way.
    /// Cancel safety: dropped, it leaves no backup; the parts it has copied are found by the next one.
    pub async fn backup(
        &self,
        target: &Blob,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<BackupReport, BackupError> {
        let shared = self.shared();
        let _turn = shared.backups.turn.try_acquire().map_err(|_| BackupError::Busy)?;
        // What the oldest of the entries to be copied names must stay, so the log is read once before there is a pin.
        let base = load(shared).await?.piece.base();
        let pinned = pin(shared, base).await?;
        let upto = shared.core.lock().durable.next_seq - 1;
        let mut image = load(shared).await?;
        // Entries behind the durable state have not been acknowledged.
        image.piece.entries.retain(|entry| entry.seq <= upto);
        info!(upto, base = image.piece.base(), pin = pinned.id.0, "making a backup");
        let now = shared.timeline.now();
        let sources = Sources { tasks: &shared.tasks, blob: &shared.store.blob, target, now };
        let report = {
            let halted = std::pin::pin!(self.halted());
            let made = std::pin::pin!(write_backup(&sources, &image, progress));
            match futures::future::select(made, halted).await {
                futures::future::Either::Left((made, _)) => made?,
                futures::future::Either::Right((halt, _)) => return Err(BackupError::Halted(halt.to_string())),
            }
        };
        let BackupReport { id, seq, copied, .. } = &report;
        info!(id, seq, copied = copied.parts_copied, shared = copied.parts_shared, "a backup is complete");
        Ok(report)
    }
}

async fn load(shared: &Shared) -> Result<LogImage, BackupError> {
    let mut tries = 0;
    loop {
        let log = shared.backups.log.upgrade().ok_or_else(|| BackupError::Halted(shared.halt_reason()))?;
        match LogImage::load_history(log.as_ref()).await {
            // Entries may be truncated between the look at the checkpoints and theirs.
            Err(OpenError::Log(LogError::Corrupt(_) | LogError::Truncated)) if tries < TRIES => tries += 1,
            other => return Ok(other?),
        }
    }
}

async fn pin(shared: &Arc<Shared>, seq: u64) -> Result<Pinned, BackupError> {
    let id = PinId(shared.rng_id());
    let expires = shared.timeline.now().plus(PIN_LASTS);
    match shared.submit(Op::Pin { id, seq, expires }.into()).await {
        Ok(()) => Ok(Pinned { shared: Arc::clone(shared), id }),
        Err(Refusal::Reject(reject)) => Err(BackupError::Unsuitable(reject.to_string())),
        Err(Refusal::DiskFull) => Err(BackupError::Unsuitable("no space left on device for the log".to_owned())),
        Err(Refusal::Unknown(reason) | Refusal::Halted(reason)) => Err(BackupError::Halted(reason)),
    }
}

impl Shared {
    fn rng_id(&self) -> u64 {
        self.store.rng.next_u64()
    }
}

/// The oldest state that a backup needs the parts of; what was dropped later stays.
pub(crate) fn oldest_pin(core: &Core) -> u64 {
    core.durable.pins.values().map(|pin| pin.seq).min().unwrap_or(u64::MAX)
}

/// Ends the pins of backups that ended with their leader, then those that expire.
pub(crate) async fn expire_pins(shared: Arc<Shared>) {
    let mut dead: Vec<PinId> = shared.core.lock().durable.pins.keys().copied().collect();
    loop {
        for id in dead {
            // A refusal means that the leader ends, or that the disk is full: the next look finds the pin again.
            if let Err(refusal) = shared.submit(Op::Unpin { id }.into()).await {
                warn!(pin = id.0, ?refusal, "a pin could not be ended");
            }
        }
        shared.tasks.sleep(PINS_LOOKED_AT).await;
        if shared.halt.borrow().is_some() {
            return;
        }
        let now = shared.timeline.now();
        let core = shared.core.lock();
        dead = core.durable.pins.iter().filter(|(_, pin)| pin.expires <= now).map(|(id, _)| *id).collect();
    }
}
