//! What all sessions of one environment share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use catalog::Catalog;
use catalog::builtin::{Facts, ProcessChange, ReplicaProcess};
use controller::{Controller, ProcessReport, ProcessState, StatusChange};
use orchestrator::Secrets;
use parking_lot::Mutex;
use persist::LeaderHandle;
use repr::CollectionId;
use sql::CatalogView;
use stdx::{Rng, Shutdown, Task, Tasks};
use tokio::sync::watch;

use crate::committer::Committer;
use crate::error::Error;
use crate::oracle::Oracle;
use crate::reconfigurations::Reconfigurations;
use crate::secrets::MissingValues;

/// Sessions at the same time; further ones are refused with 53300.
const SESSIONS_MAX: usize = 1_000;
/// Kept for the internal listener's users.
const SESSIONS_RESERVED: usize = 5;

/// The shared parts, each the only one of its kind.
pub struct Environment {
    pub(crate) tasks: Tasks,
    pub(crate) rng: Rng,
    pub(crate) shutdown: Shutdown,
    pub(crate) leader: LeaderHandle,
    pub(crate) controller: Controller,
    pub(crate) catalog: Arc<ArcSwap<Catalog>>,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) committer: Committer,
    pub(crate) reconfigurations: Reconfigurations,
    /// Ends with the environment.
    pub(crate) _reconfiguring: Task,
    pub(crate) secrets: Secrets,
    /// Values of secrets that this process has stored.
    pub(crate) secrets_stored: AtomicU64,
    pub(crate) secrets_missing: MissingValues,
    pub(crate) sessions: Sessions,
    pub(crate) next_transient: Arc<AtomicU64>,
    /// When this process opened the environment.
    pub(crate) started_wall_ms: u64,
}

impl Environment {
    /// The newest committed version of the catalog.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// An id for what lives as long as one query.
    pub(crate) fn transient_id(&self) -> CollectionId {
        CollectionId::Transient(self.next_transient.fetch_add(1, Ordering::Relaxed))
    }

    /// The state of running things, for the system catalog.
    pub(crate) fn facts(&self) -> Facts {
        let catalog = self.catalog();
        let clusters = catalog.clusters();
        let statuses = clusters.iter().flat_map(|cluster| self.controller.replica_status(cluster.id));
        let processes = |states: Vec<ProcessState>| states.into_iter().map(replica_process).collect();
        let replica_processes = statuses.map(|status| (status.replica, processes(status.processes))).collect();
        let secrets_missing = self.secrets_missing.of(&catalog);
        Facts { replica_processes, secrets_missing, sessions: self.sessions.list(), ..Facts::default() }
    }

    /// The id by which `mz_environment_id()` names this environment.
    pub(crate) fn environment_id(&self) -> String {
        format!("freshet-local-{}-0", self.leader.log_id())
    }
}

fn replica_process(state: ProcessState) -> ReplicaProcess {
    let ProcessState { online, reason, report: ProcessReport { history, metrics } } = state;
    let change = |StatusChange { at_wall_ms, online, reason }| ProcessChange { at_wall_ms, online, reason };
    ReplicaProcess {
        online,
        reason,
        history: history.into_iter().map(change).collect(),
        cpu_nano_cores: metrics.cpu_nano_cores,
        memory_bytes: metrics.memory_bytes,
        disk_bytes: metrics.disk_bytes,
    }
}

/// The connections that are open, so that they can be counted and canceled.
#[derive(Default)]
pub(crate) struct Sessions {
    open: Mutex<BTreeMap<u32, OpenSession>>,
    next: AtomicU32,
}

struct OpenSession {
    user: String,
    secret: i32,
    cancel: Arc<watch::Sender<u64>>,
}

/// A registered session; dropping it frees its place.
pub(crate) struct Registration {
    pub(crate) connection_id: u32,
    pub(crate) secret: i32,
    /// Counts the cancel requests.
    pub(crate) cancel: Arc<watch::Sender<u64>>,
    environment: Arc<Environment>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.environment.sessions.open.lock().remove(&self.connection_id);
    }
}

impl Sessions {
    fn list(&self) -> Vec<(u32, String)> {
        self.open.lock().iter().map(|(id, session)| (*id, session.user.clone())).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Cancels what the session is doing. Says nothing of whether it exists or the secret was right.
    pub(crate) fn cancel(&self, connection_id: u32, secret: i32) {
        if let Some(session) = self.open.lock().get(&connection_id)
            && session.secret == secret
        {
            session.cancel.send_modify(|count| *count += 1);
        }
    }

    /// Cancels by `pg_cancel_backend`; true if there is such a session.
    pub(crate) fn cancel_backend(&self, connection_id: u32) -> bool {
        let open = self.open.lock();
        let session = open.get(&connection_id);
        session.inspect(|session| session.cancel.send_modify(|count| *count += 1)).is_some()
    }
}

/// Gives a new session a place and an id. Errors: 53300 when all places are taken.
pub(crate) fn register(environment: &Arc<Environment>, user: &str, internal: bool) -> Result<Registration, Error> {
    let sessions = &environment.sessions;
    let mut open = sessions.open.lock();
    let limit = if internal { SESSIONS_MAX } else { SESSIONS_MAX - SESSIONS_RESERVED };
    if open.len() >= limit {
        return Err(Error::fatal("53300", "sorry, too many clients already"));
    }
    let connection_id = sessions.next.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    let secret = i32::from_ne_bytes(environment.rng.next_u64().to_ne_bytes()[..4].try_into().expect("four bytes"));
    let cancel = Arc::new(watch::Sender::new(0));
    open.insert(connection_id, OpenSession { user: user.to_owned(), secret, cancel: Arc::clone(&cancel) });
    Ok(Registration { connection_id, secret, cancel, environment: Arc::clone(environment) })
}
