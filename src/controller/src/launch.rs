//! How replicas come to run: through the orchestrator, or inside a simulation.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use orchestrator::{Assignment, CredentialFiles, NamespacedOrchestrator, ServiceConfig, ServicePort, Transport};
use protocol::grpc::{Address, GrpcLink};
use protocol::link::{Link, LinkError};
use protocol::tls::{Peers, Tls};
use repr::{ClusterId, ReplicaId, ServiceId};
use stdx::Tasks;

use crate::reports::{ProcessReport, Reports};

/// A replica's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaSize {
    /// Worker threads of each process.
    pub workers: usize,
    pub processes: usize,
}

/// Which replica to run, and how large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSpec {
    pub cluster: ClusterId,
    pub replica: ReplicaId,
    /// The deploy generation: each generation runs its own services.
    pub generation: u64,
    pub name: String,
    /// Names the service that runs it; no other replica or generation has had it.
    pub service: ServiceId,
    pub size: ReplicaSize,
}

impl ReplicaSpec {
    /// The service's id, unique in the namespace for all time.
    pub fn service_id(&self) -> String {
        self.service.to_string()
    }
}

/// Starts replicas and reaches their processes. Two implementations: [`OrchestratorLauncher`] and the simulation's.
#[async_trait]
pub trait ReplicaLauncher: Send + Sync + 'static {
    /// Makes sure that the replica runs or is being started; a link for each process. Called at each new connection.
    fn ensure(&self, replica: &ReplicaSpec) -> Result<Vec<Arc<dyn Link>>, LinkError>;

    /// Stops a replica for good.
    fn stop(&self, replica: &ReplicaSpec);

    /// Stops whatever runs of earlier starts and is none of `keep`.
    async fn retain(&self, keep: &[ReplicaSpec]);

    /// What is known of each process of a replica.
    fn reports(&self, _replica: &ReplicaSpec) -> Vec<ProcessReport> {
        Vec::new()
    }
}

/// Runs each replica as a service of clusterd processes.
pub struct OrchestratorLauncher {
    pub tasks: Tasks,
    pub orchestrator: Arc<dyn NamespacedOrchestrator>,
    /// The clusterd binary, and the arguments that come before all others: a subcommand, log settings.
    pub image: PathBuf,
    pub leading_args: Vec<String>,
    pub shardctl: String,
    /// What the orchestrator tells.
    pub reports: Reports,
    /// None: processes take what the machine has.
    pub worker_resources: Option<WorkerResources>,
    /// Guards what is reached over TCP.
    pub tls: Option<Tls>,
}

/// What each worker of a replica gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerResources {
    pub cpu_millis: u64,
    pub memory_bytes: u64,
    /// None: no disk.
    pub disk_bytes: Option<u64>,
}

impl OrchestratorLauncher {
    fn config(&self, replica: &ReplicaSpec) -> ServiceConfig {
        let leading = self.leading_args.clone();
        let shardctl = self.shardctl.clone();
        let size = replica.size;
        let args = move |assignment: &Assignment| {
            let listen = |port: &str| assignment.listen.get(port).cloned().unwrap_or_default();
            let peers = assignment.peers.get("timely").cloned().unwrap_or_default();
            let mut args = leading.clone();
            args.extend([
                format!("--storagectl-listen-addr={}", listen("storagectl")),
                format!("--computectl-listen-addr={}", listen("computectl")),
                format!("--timely-listen-addr={}", listen("timely")),
                format!("--internal-http-listen-addr={}", listen("internal-http")),
                format!("--shardctl-addr={shardctl}"),
                format!("--workers={}", size.workers),
                format!("--process={}", assignment.process),
                format!("--timely-peers={}", peers.join(",")),
            ]);
            if let Some(CredentialFiles { certificate, key, authorities }) = &assignment.credentials {
                args.extend([
                    format!("--tls-cert={certificate}"),
                    format!("--tls-key={key}"),
                    format!("--tls-ca={authorities}"),
                ]);
            }
            args
        };
        let (resources, workers) = (self.worker_resources, size.workers as u64);
        let port = |name: &str, port_hint, transport| ServicePort { name: name.to_owned(), port_hint, transport };
        ServiceConfig {
            image: self.image.clone(),
            args: Arc::new(args),
            ports: vec![
                port("storagectl", 2100, Transport::Local),
                port("computectl", 2101, Transport::Local),
                port("timely", 2102, Transport::Tcp),
                port("internal-http", 6878, Transport::Tcp),
            ],
            processes: size.processes,
            memory_limit_bytes: resources.map(|each| each.memory_bytes * workers),
            cpu_limit_millis: resources.map(|each| each.cpu_millis * workers),
            disk_limit_bytes: resources.and_then(|each| each.disk_bytes).map(|bytes| bytes * workers),
            labels: [
                ("cluster-id".to_owned(), replica.cluster.to_string()),
                ("replica-id".to_owned(), replica.replica.to_string()),
                ("generation".to_owned(), replica.generation.to_string()),
                ("workers".to_owned(), size.workers.to_string()),
            ]
            .into(),
            stand_ins: vec!["cluster-id".to_owned(), "generation".to_owned()],
            availability_zones: Vec::new(),
        }
    }
}

#[async_trait]
impl ReplicaLauncher for OrchestratorLauncher {
    fn ensure(&self, replica: &ReplicaSpec) -> Result<Vec<Arc<dyn Link>>, LinkError> {
        let id = replica.service_id();
        let failed = |reason: String| LinkError { peer: id.clone(), reason };
        self.reports.expect(&id, replica.size.processes);
        let service =
            self.orchestrator.ensure_service(&id, self.config(replica)).map_err(|error| failed(error.to_string()))?;
        let (storage, compute) = (service.addresses("storagectl"), service.addresses("computectl"));
        let mut links: Vec<Arc<dyn Link>> = Vec::with_capacity(storage.len());
        for (storage, compute) in storage.iter().zip(&compute) {
            let parse = |text: &str| text.parse::<Address>().map_err(|error| failed(error.to_string()));
            let guard = self.tls.as_ref().map(|tls| tls.guard(Peers::Service(id.clone())));
            links.push(Arc::new(GrpcLink::new(self.tasks.clone(), parse(storage)?, parse(compute)?, guard)));
        }
        Ok(links)
    }

    fn stop(&self, replica: &ReplicaSpec) {
        self.orchestrator.drop_service(&replica.service_id());
        self.reports.forget(&replica.service_id());
    }

    fn reports(&self, replica: &ReplicaSpec) -> Vec<ProcessReport> {
        self.reports.of(&replica.service_id())
    }

    async fn retain(&self, keep: &[ReplicaSpec]) {
        let keep: Vec<String> = keep.iter().map(ReplicaSpec::service_id).collect();
        match self.orchestrator.list_services().await {
            Ok(services) => {
                for id in services.into_iter().filter(|id| !keep.contains(id)) {
                    self.orchestrator.drop_service(&id);
                }
            }
            Err(error) => tracing::warn!(%error, "cannot list services; leftovers of earlier starts may keep running"),
        }
    }
}
