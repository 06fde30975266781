//! The task that keeps one service running.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{FutureExt, select_all};
use parking_lot::Mutex;
use stdx::{Backoff, Tasks};
use tokio::sync::{broadcast, watch};

use super::child::{self, Running};
use super::record::{Record, boot_id, start_ticks};
use super::{ChildLifetime, ProcessService, sockets};
use crate::orchestrator::{OfflineReason, OrchestratorError, ProcessStatus, ServiceConfig, ServiceEvent};

/// A service that has run for so long is relaunched without delay when it dies.
const STEADY: Duration = Duration::from_secs(10);

/// What is to be.
pub(crate) enum Desired {
    Running(ServiceConfig),
    Stopped,
}

impl Desired {
    /// Takes over a new configuration; true if processes started from it would differ.
    pub(crate) fn replace(&mut self, config: &ServiceConfig, service: &ProcessService) -> bool {
        let changed = match self {
            Desired::Stopped => return false,
            Desired::Running(current) => {
                current.image != config.image
                    || current.ports != config.ports
                    || service.assignments().iter().any(|given| (current.args)(given) != (config.args)(given))
            }
        };
        *self = Desired::Running(config.clone());
        changed
    }
}

pub(crate) struct Setup {
    pub(crate) tasks: Tasks,
    pub(crate) namespace: String,
    pub(crate) id: String,
    /// One for each process.
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) lifetime: ChildLifetime,
    pub(crate) config: ServiceConfig,
    pub(crate) events: broadcast::Sender<ServiceEvent>,
}

pub(crate) struct Supervisor {
    setup: Setup,
    service: Arc<ProcessService>,
    restarts: u64,
}

/// Why the processes are not to run on.
enum Ending {
    Stop,
    Change,
    Died(usize, String),
}

impl Supervisor {
    pub(crate) fn new(setup: Setup) -> Result<Supervisor, OrchestratorError> {
        let mut listen = Vec::with_capacity(setup.directories.len());
        for directory in &setup.directories {
            let failed = |source| {
                let context = format!("cannot prepare {}", directory.display());
                OrchestratorError::Io { context, source }
            };
            std::fs::create_dir_all(directory).map_err(failed)?;
            let recorded = Record::read(directory).filter(|record| record.live().is_some());
            listen.push(match recorded {
                Some(record) => record.listen,
                None => sockets::assign(directory, &setup.config.ports).map_err(failed)?,
            });
        }
        let service = Arc::new(ProcessService { listen: Mutex::new(listen) });
        Ok(Supervisor { setup, service, restarts: 0 })
    }

    pub(crate) fn service(&self) -> Arc<ProcessService> {
        Arc::clone(&self.service)
    }

    /// Keeps the service running until it is to stop. An aborted supervisor leaves kept children be, and kills others.
    pub(crate) async fn run(mut self, mut desired: watch::Receiver<Desired>) {
        let clock = Arc::clone(self.setup.tasks.clock());
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut adopted = self.adopt();
        let mut delay = Duration::ZERO;
        loop {
            match &*desired.borrow_and_update() {
                Desired::Running(config) => self.setup.config = config.clone(),
                Desired::Stopped => break,
            }
            let started = clock.boot();
            let ending = match adopted.take() {
                Some(running) => self.watch(running, &mut desired).await,
                None => match self.launch(delay, &mut desired).await {
                    Some(running) => self.watch(running, &mut desired).await,
                    None => continue,
                },
            };
            delay = match ending {
                Ending::Stop => break,
                Ending::Change => Duration::ZERO,
                Ending::Died(process, how) => {
                    let (service, namespace) = (&self.setup.id, &self.setup.namespace);
                    tracing::warn!(%namespace, %service, process, how, "a child process died; relaunching the service");
                    self.tell(process, ProcessStatus::Offline(OfflineReason::Exited(how)));
                    self.restarts += 1;
                    if clock.boot().saturating_sub(started) >= STEADY {
                        backoff.reset();
                        Duration::ZERO
                    } else {
                        backoff.next_delay()
                    }
                }
            };
        }
        for directory in &self.setup.directories {
            remove_directory(directory);
        }
    }

    fn tell(&self, process: usize, status: ProcessStatus) {
        let event = ServiceEvent { service_id: self.setup.id.clone(), process, status, restarts: self.restarts };
        // Nobody may be watching.
        let _ = self.setup.events.send(event);
    }

    /// The processes of an earlier parent, if all live and are what is wanted; else those that live are ended by `launch`.
    fn adopt(&self) -> Option<Vec<Running>> {
        let assignments = self.service.assignments();
        let mut running = Vec::with_capacity(assignments.len());
        for (directory, assignment) in self.setup.directories.iter().zip(&assignments) {
            let record = Record::read(directory)?;
            let wanted = (self.setup.config.args)(assignment);
            if record.args != wanted || record.image != self.setup.config.image.to_string_lossy() {
                return None;
            }
            running.push(child::adopt(&self.setup.tasks, &record)?);
        }
        for process in 0..running.len() {
            tracing::info!(service = %self.setup.id, process, "adopted a running process");
            self.tell(process, ProcessStatus::Online);
        }
        Some(running)
    }

    /// Launches all processes after a delay. None: what is desired has changed meanwhile.
    async fn launch(&mut self, delay: Duration, desired: &mut watch::Receiver<Desired>) -> Option<Vec<Running>> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut delay = delay;
        loop {
            tokio::select! {
                () = self.setup.tasks.sleep(delay) => {}
                changed = desired.changed() => {
                    if changed.is_err() {
                        // The orchestrator is gone without a word; nobody will ask for the service again.
                        std::future::pending::<()>().await;
                    }
                    return None;
                }
            }
            end_recorded(&self.setup.tasks, &self.setup.directories).await;
            match self.try_launch() {
                Ok(running) => return Some(running),
                Err(error) => {
                    tracing::warn!(service = %self.setup.id, %error, "cannot launch a process; trying again");
                    delay = backoff.next_delay();
                }
            }
        }
    }

    fn try_launch(&mut self) -> Result<Vec<Running>, OrchestratorError> {
        let failed = |directory: &Path| {
            let context = format!("cannot launch a process in {}", directory.display());
            move |source| OrchestratorError::Io { context, source }
        };
        let mut listen = Vec::with_capacity(self.setup.directories.len());
        for directory in &self.setup.directories {
            std::fs::create_dir_all(directory).map_err(failed(directory))?;
            listen.push(sockets::assign(directory, &self.setup.config.ports).map_err(failed(directory))?);
        }
        *self.service.listen.lock() = listen;
        let mut running = Vec::with_capacity(self.setup.directories.len());
        for (process, assignment) in self.service.assignments().into_iter().enumerate() {
            let (directory, config) = (&self.setup.directories[process], &self.setup.config);
            let args = (config.args)(&assignment);
            let child =
                child::spawn(directory, &config.image, &args, self.setup.lifetime).map_err(failed(directory))?;
            let pid = child.pid().as_raw_nonzero().get();
            let record = Record {
                namespace: self.setup.namespace.clone(),
                service: self.setup.id.clone(),
                process,
                pid,
                start_ticks: start_ticks(pid).unwrap_or_default(),
                boot_id: boot_id(),
                image: config.image.to_string_lossy().into_owned(),
                args,
                listen: assignment.listen,
            };
            running.push(child);
            record.write(directory).map_err(failed(directory))?;
        }
        for process in 0..running.len() {
            self.tell(process, ProcessStatus::Online);
        }
        Ok(running)
    }

    /// Waits until the processes are not to run on, and ends them all.
    async fn watch(&self, mut running: Vec<Running>, desired: &mut watch::Receiver<Desired>) -> Ending {
        let exits = running.iter_mut().map(|process| process.exited().boxed());
        let ending = tokio::select! {
            (how, process, _) = select_all(exits) => Ending::Died(process, how),
            changed = desired.changed() => {
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
                match &*desired.borrow() {
                    Desired::Stopped => Ending::Stop,
                    Desired::Running(_) => Ending::Change,
                }
            }
        };
        match &ending {
            // The others have lost a peer of their mesh and are ending, too.
            Ending::Died(..) => child::kill(&mut running).await,
            Ending::Stop | Ending::Change => child::stop(&self.setup.tasks, &mut running).await,
        }
        for (process, directory) in self.setup.directories.iter().enumerate() {
            Record::remove(directory);
            if !matches!(ending, Ending::Died(died, _) if died == process) {
                self.tell(process, ProcessStatus::Offline(OfflineReason::Stopped));
            }
        }
        ending
    }
}

/// Ends what still runs of an earlier parent in these directories.
async fn end_recorded(tasks: &Tasks, directories: &[PathBuf]) {
    let records = directories.iter().filter_map(|directory| Record::read(directory));
    let mut running: Vec<Running> = records.filter_map(|record| child::adopt(tasks, &record)).collect();
    if !running.is_empty() {
        child::stop(tasks, &mut running).await;
    }
    for directory in directories {
        Record::remove(directory);
    }
}

/// Ends a service of an earlier parent that nobody wants any more.
pub(crate) async fn stop_leftovers(tasks: Tasks, directories: Vec<PathBuf>) {
    end_recorded(&tasks, &directories).await;
    for directory in &directories {
        remove_directory(directory);
    }
}

fn remove_directory(directory: &Path) {
    for path in [directory.to_owned(), sockets::short_directory(directory)] {
        if let Err(error) = std::fs::remove_dir_all(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "cannot remove the directory of a stopped process");
        }
    }
}
