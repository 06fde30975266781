//! Who may command this process: the fencing of old controllers.

use parking_lot::Mutex;
use protocol::Hello;
use uuid::Uuid;

/// What accepted controllers have shown so far, over both protocols.
pub(crate) struct Gate {
    version: String,
    seen: Mutex<Option<Seen>>,
}

#[derive(Clone, Copy)]
struct Seen {
    log_id: Uuid,
    epoch: u64,
    generation: u64,
}

/// Why a controller is turned away; the one that is connected stays.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the controller is of version {theirs}, this process of {ours}")]
    Version { theirs: String, ours: String },
    #[error("the controller is of epoch {epoch} and generation {generation}; a later one has been here")]
    Stale { epoch: u64, generation: u64 },
}

impl Gate {
    pub(crate) fn new(version: String) -> Gate {
        Gate { version, seen: Mutex::new(None) }
    }

    /// Lets a controller in, unless it is of another version or was replaced by a later one. Epochs of different logs
    /// cannot be compared: another log begins anew.
    pub(crate) fn admit(&self, hello: &Hello) -> Result<(), Refusal> {
        let Hello { log_id, nonce: _, epoch, generation, version } = hello;
        if *version != self.version {
            return Err(Refusal::Version { theirs: version.clone(), ours: self.version.clone() });
        }
        let mut seen = self.seen.lock();
        if let Some(seen) = *seen
            && seen.log_id == *log_id
            && (*epoch < seen.epoch || *generation < seen.generation)
        {
            return Err(Refusal::Stale { epoch: *epoch, generation: *generation });
        }
        *seen = Some(Seen { log_id: *log_id, epoch: *epoch, generation: *generation });
        Ok(())
    }
}
