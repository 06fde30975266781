//! Services as child processes of this machine.
//!
//! Each process has a directory `<data-dir>/processes/<namespace>-<service>-<n>/` with its sockets, its log and
//! `process.json`: its pid, the time it started, its addresses and arguments. Children hold the read end of a pipe as
//! stdin and end when it is closed, which the kernel does however the parent dies; or they are kept, and a later parent
//! adopts them by `process.json` if pid, start time and arguments are those of the service it wants.
//!
//! A dead child is relaunched at once, then with back-off; all processes of its service with it, for they have lost a peer
//! of their mesh. Reading order: `child`, `record`, `sockets`, `supervise`, `usage`.

mod child;
mod record;
mod sockets;
mod supervise;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use stdx::{Task, Tasks};
use tokio::sync::{broadcast, watch};

use crate::orchestrator::{
    Assignment, NamespacedOrchestrator, Orchestrator, OrchestratorError, ProcessMetrics, Service, ServiceConfig,
    ServiceEvent, events_of,
};
use record::Record;
use supervise::{Desired, Supervisor};
use usage::Sample;

/// Status events a slow watcher may be behind.
const EVENTS_CAPACITY: usize = 256;

/// What becomes of children when their parent dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildLifetime {
    /// They die with it.
    WithParent,
    /// They run on, and the next parent adopts them.
    Kept,
}

pub struct ProcessOrchestratorConfig {
    /// On tokio: children cannot be simulated.
    pub tasks: Tasks,
    /// Where `processes/` is made. Must belong to one orchestrator at a time.
    pub data_dir: PathBuf,
    pub lifetime: ChildLifetime,
}

/// Runs services as children.
pub struct ProcessOrchestrator {
    inner: Arc<Inner>,
}

struct Inner {
    tasks: Tasks,
    /// `<data-dir>/processes`, absolute.
    root: PathBuf,
    lifetime: ChildLifetime,
    namespaces: Mutex<BTreeMap<String, Arc<Namespace>>>,
}

struct Namespace {
    name: String,
    tasks: Tasks,
    root: PathBuf,
    lifetime: ChildLifetime,
    /// None once the orchestrator was shut down: from then on nothing is launched.
    services: Mutex<Option<BTreeMap<String, Entry>>>,
    events: broadcast::Sender<ServiceEvent>,
}

/// A service and the task that supervises it.
struct Entry {
    service: Arc<ProcessService>,
    desired: watch::Sender<Desired>,
    task: Task,
    stopping: bool,
    /// What each process had used when that was asked for last.
    samples: BTreeMap<usize, Sample>,
}

/// The addresses of a service's processes.
pub(crate) struct ProcessService {
    listen: Mutex<Vec<BTreeMap<String, String>>>,
}

impl Service for ProcessService {
    fn addresses(&self, port: &str) -> Vec<String> {
        self.listen.lock().iter().filter_map(|listen| listen.get(port).cloned()).collect()
    }
}

impl ProcessService {
    /// What each process is given, in order.
    fn assignments(&self) -> Vec<Assignment> {
        let listen = self.listen.lock().clone();
        let mut peers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (port, address) in listen.iter().flatten() {
            peers.entry(port.clone()).or_default().push(address.clone());
        }
        let assignment = |(process, listen): (usize, _)| {
            let (process, peers) = (process.to_string(), peers.clone());
            Assignment { process, listen, peers, credentials: None }
        };
        listen.into_iter().enumerate().map(assignment).collect()
    }
}

impl ProcessOrchestrator {
    /// Errors: the directory cannot be made.
    pub fn new(config: ProcessOrchestratorConfig) -> Result<ProcessOrchestrator, OrchestratorError> {
        let ProcessOrchestratorConfig { tasks, data_dir, lifetime } = config;
        let failed = |source| OrchestratorError::Io { context: format!("cannot use {}", data_dir.display()), source };
        let root = data_dir.join("processes");
        std::fs::create_dir_all(&root).map_err(failed)?;
        let root = std::fs::canonicalize(&root).map_err(failed)?;
        let inner = Inner { tasks, root, lifetime, namespaces: Mutex::default() };
        Ok(ProcessOrchestrator { inner: Arc::new(inner) })
    }

    /// Stops every child and waits for it, or leaves them all be if they are to be kept. Services that are asked for from
    /// then on are refused: launched beside those that end, they would lose their directories to them.
    pub async fn shutdown(&self) {
        let namespaces: Vec<Arc<Namespace>> = self.inner.namespaces.lock().values().cloned().collect();
        for namespace in namespaces {
            let entries = namespace.services.lock().take().unwrap_or_default();
            if self.inner.lifetime == ChildLifetime::WithParent {
                for entry in entries.values() {
                    entry.desired.send_replace(Desired::Stopped);
                }
                for entry in entries.values() {
                    entry.task.ended().await;
                }
            }
        }
    }
}

impl Orchestrator for ProcessOrchestrator {
    fn namespace(&self, name: &str) -> Arc<dyn NamespacedOrchestrator> {
        let mut namespaces = self.inner.namespaces.lock();
        let namespace = namespaces.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Namespace {
                name: name.to_owned(),
                tasks: self.inner.tasks.clone(),
                root: self.inner.root.clone(),
                lifetime: self.inner.lifetime,
                services: Mutex::new(Some(BTreeMap::new())),
                events: broadcast::Sender::new(EVENTS_CAPACITY),
            })
        });
        let namespace: Arc<Namespace> = Arc::clone(namespace);
        namespace
    }
}

impl Namespace {
    fn directory(&self, id: &str, process: usize) -> PathBuf {
        self.root.join(format!("{}-{id}-{process}", self.name))
    }

    fn supervisor(&self, id: &str, config: ServiceConfig) -> Result<Supervisor, OrchestratorError> {
        let directories = (0..config.processes).map(|process| self.directory(id, process)).collect();
        Supervisor::new(supervise::Setup {
            tasks: self.tasks.clone(),
            namespace: self.name.clone(),
            id: id.to_owned(),
            directories,
            lifetime: self.lifetime,
            config,
            events: self.events.clone(),
        })
    }

    /// Ids found on disk: running, or left by an earlier parent.
    fn recorded(&self) -> BTreeMap<String, Vec<PathBuf>> {
        let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        let Ok(directories) = std::fs::read_dir(&self.root) else { return found };
        for directory in directories.flatten() {
            if let Some(record) = Record::read(&directory.path())
                && record.namespace == self.name
            {
                found.entry(record.service).or_default().push(directory.path());
            }
        }
        found
    }
}

#[async_trait]
impl NamespacedOrchestrator for Namespace {
    fn ensure_service(&self, id: &str, config: ServiceConfig) -> Result<Arc<dyn Service>, OrchestratorError> {
        check_name(&self.name)?;
        check_name(id)?;
        if config.processes == 0 {
            return Err(OrchestratorError::Invalid("a service needs at least one process".to_owned()));
        }
        let mut services = self.services.lock();
        let Some(services) = &mut *services else {
            return Err(OrchestratorError::Invalid("the orchestrator has been shut down".to_owned()));
        };
        if let Some(entry) = services.get(id)
            && !entry.stopping
            && entry.service.listen.lock().len() == config.processes
        {
            entry.desired.send_if_modified(|desired| desired.replace(&config, &entry.service));
            return Ok(Arc::clone(&entry.service) as Arc<dyn Service>);
        }
        let previous = services.remove(id);
        let supervisor = self.supervisor(id, config.clone())?;
        let service = supervisor.service();
        let (desired, receiver) = watch::channel(Desired::Running(config));
        let run = async move {
            if let Some(previous) = previous {
                // Another number of processes, or dropped a moment ago: its children must be gone first.
                previous.desired.send_replace(Desired::Stopped);
                previous.task.ended().await;
            }
            supervisor.run(receiver).await;
        };
        let task = self.tasks.spawn("orchestrator: service", run);
        let entry = Entry { service: Arc::clone(&service), desired, task, stopping: false, samples: BTreeMap::new() };
        services.insert(id.to_owned(), entry);
        Ok(service)
    }

    fn drop_service(&self, id: &str) {
        let mut services = self.services.lock();
        let Some(entries) = &mut *services else { return };
        if let Some(entry) = entries.get_mut(id) {
            // The entry stays until its children are gone, so that ensuring it again waits for them.
            entry.stopping = true;
            entry.desired.send_replace(Desired::Stopped);
            return;
        }
        drop(services);
        if let Some(directories) = self.recorded().remove(id) {
            self.tasks
                .spawn("orchestrator: leftovers", supervise::stop_leftovers(self.tasks.clone(), directories))
                .detach();
        }
    }

    async fn list_services(&self) -> Result<Vec<String>, OrchestratorError> {
        let mut ids: BTreeSet<String> = self.recorded().into_keys().collect();
        let mut services = self.services.lock();
        let Some(services) = &mut *services else { return Ok(Vec::new()) };
        services.retain(|_, entry| !(entry.stopping && entry.task.is_ended()));
        for (id, entry) in services.iter() {
            if entry.stopping {
                ids.remove(id);
            } else {
                ids.insert(id.clone());
            }
        }
        Ok(ids.into_iter().collect())
    }

    async fn metrics(&self) -> Result<BTreeMap<(String, usize), ProcessMetrics>, OrchestratorError> {
        let mut directories = Vec::new();
        for (id, entry) in self.services.lock().iter().flatten() {
            let processes = entry.service.listen.lock().len();
            directories.extend((0..processes).map(|process| ((id.clone(), process), self.directory(id, process))));
        }
        let at = self.tasks.clock().boot();
        let take = move || {
            let samples = directories.into_iter().filter_map(|(key, path)| Some((key, Sample::take(&path, at)?)));
            samples.collect::<Vec<_>>()
        };
        let samples = self.tasks.spawn_blocking("orchestrator: metrics", take).await;
        let mut metrics = BTreeMap::new();
        let mut services = self.services.lock();
        for ((id, process), sample) in samples {
            let Some(entry) = services.as_mut().and_then(|services| services.get_mut(&id)) else { continue };
            metrics.insert((id, process), sample.metrics(entry.samples.get(&process)));
            entry.samples.insert(process, sample);
        }
        Ok(metrics)
    }

    fn watch_services(&self) -> BoxStream<'static, ServiceEvent> {
        events_of(&self.events).boxed()
    }
}

/// Names become parts of paths.
fn check_name(name: &str) -> Result<(), OrchestratorError> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(fits) {
        return Err(OrchestratorError::Invalid(format!("name {name:?}")));
    }
    Ok(())
}
