//! What a worker thread knows of its surroundings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use persist::{Shards, WriterId};
use stdx::{Rng, Tasks};
use uuid::Uuid;

/// What one worker is given to run dataflows and sources with. Cheap to clone.
#[derive(Clone)]
pub struct WorkerContext {
    /// This worker among all workers of the replica, over all its processes.
    pub index: usize,
    /// Workers of the replica.
    pub peers: usize,
    /// This worker among those of its process; 0 speaks for the process where only one may.
    pub local_index: usize,
    /// The log.
    pub shards: Arc<dyn Shards>,
    /// Where asynchronous work runs: never on the worker thread.
    pub tasks: Tasks,
    pub rng: Rng,
    /// Makes the worker thread take its next turn soon. Called from any thread.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// Ends the process, with this message: an invariant is broken, or the log is another one now. Called from any thread.
    pub halt: Arc<dyn Fn(String) + Send + Sync>,
    /// The deploy generation whose controller commands this replica; see [`WorkerContext::set_generation`].
    pub generation: Arc<AtomicU64>,
}

impl WorkerContext {
    /// Takes over the generation of an accepted `Hello`. All workers of a process may share one cell.
    pub fn set_generation(&self, generation: u64) {
        self.generation.fetch_max(generation, Ordering::SeqCst);
    }

    /// As whom this replica appends. Equal contents make racing replicas harmless, so none needs an identity.
    pub(crate) fn writer(&self) -> WriterId {
        WriterId::anonymous(self.generation.load(Ordering::SeqCst))
    }

    pub(crate) fn new_token(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.bytes16()).into_uuid()
    }

    /// True if this worker is the one that cares for the object of this number. The same for all workers' contexts.
    pub(crate) fn is_responsible(&self, number: u64) -> bool {
        (number % self.peers.max(1) as u64) == self.index as u64
    }
}
