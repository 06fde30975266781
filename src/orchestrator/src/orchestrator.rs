//! The traits that every backend implements.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::Stream;
use futures::stream::BoxStream;
use tokio::sync::broadcast;

/// Starts and stops services.
pub trait Orchestrator: Send + Sync + 'static {
    /// Enters a namespace, which keeps its users' services apart from those of others. It isolates no network.
    fn namespace(&self, name: &str) -> Arc<dyn NamespacedOrchestrator>;
}

/// The services of one namespace.
///
/// Two live processes of one identity may exist for a while (a backend restarts elsewhere on mere suspicion), so every
/// service must fence itself.
#[async_trait]
pub trait NamespacedOrchestrator: Send + Sync + 'static {
    /// Creates or updates a service and returns at once; the work goes on in the background and is retried for ever.
    fn ensure_service(&self, id: &str, config: ServiceConfig) -> Result<Arc<dyn Service>, OrchestratorError>;

    /// Stops and forgets a service. Idempotent; returns at once.
    fn drop_service(&self, id: &str);

    /// The ids of all services that were ensured and not dropped.
    async fn list_services(&self) -> Result<Vec<String>, OrchestratorError>;

    /// What the processes of all services use now, by service and process. Those of which nothing is known are not there.
    async fn metrics(&self) -> Result<BTreeMap<(String, usize), ProcessMetrics>, OrchestratorError>;

    /// Every change of a process's status from now on. A slow reader loses the oldest events.
    fn watch_services(&self) -> BoxStream<'static, ServiceEvent>;
}

/// A service that was ensured.
pub trait Service: Send + Sync + 'static {
    /// The addresses of all processes at a port, in the order of the processes: `HOST:PORT` or `unix:/PATH`. Ports of
    /// [`Transport::Tcp`] may change when the backend restarts the service. Empty for an unknown port.
    fn addresses(&self, port: &str) -> Vec<String>;
}

/// The service cannot be made as asked.
#[derive(Debug, thiserror::Error)]
pub enum OrchestratorError {
    #[error("invalid service: {0}")]
    Invalid(String),
    #[error("{context}: {source}")]
    Io { context: String, source: std::io::Error },
    /// The home does not answer, or refuses; the text says what to do about it.
    #[error("{0}")]
    Refused(String),
}

/// What a service is to be.
#[derive(Clone)]
pub struct ServiceConfig {
    /// The binary; on Kubernetes an image.
    pub image: PathBuf,
    pub args: ServiceArgs,
    pub ports: Vec<ServicePort>,
    /// How many processes. They are restarted together, since the loss of one is the loss of their mesh.
    pub processes: usize,
    pub memory_limit_bytes: Option<u64>,
    pub cpu_limit_millis: Option<u64>,
    /// Room for files that a process may lose when it is restarted.
    pub disk_limit_bytes: Option<u64>,
    pub labels: BTreeMap<String, String>,
    /// Keys of `labels`: services that agree in all of them stand in for each other. A home of several machines keeps them
    /// apart, and does not take all of them away at once for maintenance. Empty: the service has no stand-in.
    pub stand_ins: Vec<String>,
    /// Where processes may run; empty: anywhere. A home of one machine has no zones.
    pub availability_zones: Vec<String>,
}

impl fmt::Debug for ServiceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfig")
            .field("image", &self.image)
            .field("ports", &self.ports)
            .field("processes", &self.processes)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

/// Builds one process's arguments from the addresses it was given.
pub type ServiceArgs = Arc<dyn Fn(&Assignment) -> Vec<String> + Send + Sync>;

/// What one process of a service was given.
///
/// The texts are for arguments and are to be used whole: a home whose processes share one list of arguments gives variables,
/// such as `$(POD_IP):2100`, which it replaces when it starts each process.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The index of this process, from 0.
    pub process: String,
    /// Where this process is to listen, by port name.
    pub listen: BTreeMap<String, String>,
    /// Where all processes listen, by port name, in their order.
    pub peers: BTreeMap<String, Vec<String>>,
    /// By what the process proves to others who it is. None: the home gives nothing of the kind.
    pub credentials: Option<CredentialFiles>,
}

/// Files of PEM, which are replaced from time to time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFiles {
    pub certificate: String,
    pub key: String,
    /// Whose certificates are to be believed.
    pub authorities: String,
}

/// A named port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    pub name: String,
    /// The conventional number, for backends that give each process its own host.
    pub port_hint: u16,
    pub transport: Transport,
}

/// What a port can be served on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A Unix socket where both ends share a host.
    Local,
    /// Always TCP.
    Tcp,
}

/// A process came up or went away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEvent {
    pub service_id: String,
    pub process: usize,
    pub status: ProcessStatus,
    /// How often the process has been restarted: by this orchestrator, or since it was placed on its machine.
    pub restarts: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessStatus {
    Online,
    Offline(OfflineReason),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfflineReason {
    Initializing,
    /// The exit status as the system words it.
    Exited(String),
    /// Stopped by the orchestrator: dropped, or a process of the same service was lost.
    Stopped,
    /// Killed because it used more memory than its limit.
    OutOfMemory,
    /// No machine has room for it, or is allowed to run it.
    Unschedulable(String),
    /// Its image cannot be fetched.
    ImagePull(String),
    /// The home refuses to make it; what it said.
    Refused(String),
}

impl fmt::Display for OfflineReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OfflineReason::Initializing => f.write_str("initializing"),
            OfflineReason::Exited(how) => write!(f, "exited: {how}"),
            OfflineReason::Stopped => f.write_str("stopped"),
            OfflineReason::OutOfMemory => f.write_str("oom-killed"),
            OfflineReason::Unschedulable(why) => write!(f, "unschedulable: {why}"),
            OfflineReason::ImagePull(why) => write!(f, "image-pull: {why}"),
            OfflineReason::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

/// What a process uses; what is not known is None.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessMetrics {
    /// Nanoseconds of processor time in each second, over the last while.
    pub cpu_nano_cores: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
}

/// The events from now on; a slow reader loses the oldest.
pub(crate) fn events_of(events: &broadcast::Sender<ServiceEvent>) -> impl Stream<Item = ServiceEvent> + Send + use<> {
    futures::stream::unfold(events.subscribe(), async |mut events| {
        loop {
            match events.recv().await {
                Ok(event) => return Some((event, events)),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    })
}
