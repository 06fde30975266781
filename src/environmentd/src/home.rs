//! Where clusterd processes run: on this machine, or in a Kubernetes namespace.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use controller::{OrchestratorLauncher, Reports, WorkerResources};
use orchestrator::process::ChildLifetime;
use orchestrator::{
    KubernetesOrchestrator, Orchestrator, OrchestratorError, ProcessOrchestrator, ProcessOrchestratorConfig,
};
use persist::{BlobUrl, LogUrl};
use stdx::Tasks;

use crate::args::{Args, LogFormat, OrchestratorKind};
use crate::boot::BootError;
use crate::certificates::Certificates;

/// The orchestrator namespace of clusterd processes.
const NAMESPACE: &str = "compute";

/// A home that can be had, as far as the flags tell.
pub(crate) enum Plan {
    Process { clusterd: PathBuf },
    Kubernetes { image: PathBuf, shardctl: String },
}

/// Who this environment is, and how its processes know each other.
pub(crate) struct Identities<'a> {
    pub(crate) environment_id: String,
    /// None: they trust whoever reaches them.
    pub(crate) certificates: Option<&'a Certificates>,
}

/// The home of this environment's clusterd processes.
pub(crate) enum Home {
    Process(ProcessOrchestrator, ChildLifetime),
    Kubernetes(Box<KubernetesOrchestrator>),
}

/// Looks at the flags before anything is opened. Errors: what is missing, or does not fit.
pub(crate) fn plan(args: &Args) -> Result<Plan, BootError> {
    match args.orchestrator {
        OrchestratorKind::Process => Ok(Plan::Process { clusterd: clusterd_binary(args)? }),
        OrchestratorKind::Kubernetes => {
            let image = args.kubernetes.orchestrator_kubernetes_clusterd_image.as_ref().ok_or_else(|| {
                BootError::Usage("--orchestrator=kubernetes needs --orchestrator-kubernetes-clusterd-image".to_owned())
            })?;
            let shardctl = args.shardctl_advertise_addr.clone().ok_or_else(|| {
                BootError::Usage(
                    "--orchestrator=kubernetes needs --shardctl-advertise-addr, under which pods reach this process"
                        .to_owned(),
                )
            })?;
            Ok(Plan::Kubernetes { image: PathBuf::from(image), shardctl })
        }
    }
}

impl Plan {
    /// Errors: a store that pods cannot reach.
    pub(crate) fn check_stores(&self, (_, blob): &(LogUrl, BlobUrl)) -> Result<(), BootError> {
        match self {
            Plan::Kubernetes { .. } if blob.directory().is_some() => Err(BootError::Usage(
                "--orchestrator=kubernetes needs a --blob-url that pods can open: s3://, gs:// or az://".to_owned(),
            )),
            Plan::Process { .. } | Plan::Kubernetes { .. } => Ok(()),
        }
    }

    /// Opens the home. `shardctl` is the socket for processes of this machine.
    pub(crate) async fn open(
        self,
        args: &Args,
        tasks: &Tasks,
        data_dir: &Path,
        shardctl: &Path,
        Identities { environment_id, certificates }: Identities<'_>,
    ) -> Result<(Home, OrchestratorLauncher), BootError> {
        let cannot = |error: OrchestratorError| BootError::Data(format!("cannot prepare to run clusterd: {error}"));
        let log_format = match args.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let mut leading_args = vec![format!("--log-filter={}", args.log_filter), format!("--log-format={log_format}")];
        let mut tls = None;
        let (home, image, shardctl, worker_resources) = match self {
            Plan::Process { clusterd } => {
                let lifetime = match args.orchestrator_process_keep_children {
                    true => ChildLifetime::Kept,
                    false => ChildLifetime::WithParent,
                };
                let config =
                    ProcessOrchestratorConfig { tasks: tasks.clone(), data_dir: data_dir.to_owned(), lifetime };
                let orchestrator = ProcessOrchestrator::new(config).map_err(cannot)?;
                let shardctl = format!("unix:{}", shardctl.display());
                (Home::Process(orchestrator, lifetime), clusterd, shardctl, None)
            }
            Plan::Kubernetes { image, shardctl } => {
                let config = args.kubernetes.config(environment_id);
                let mut orchestrator = KubernetesOrchestrator::connect(tasks.clone(), config).await.map_err(cannot)?;
                match certificates {
                    Some(certificates) => {
                        orchestrator = orchestrator.certified(certificates.issuer());
                        tls = Some(certificates.tls().clone());
                    }
                    None => leading_args.push("--insecure-listeners".to_owned()),
                }
                (Home::Kubernetes(Box::new(orchestrator)), image, shardctl, Some(worker_resources(args)))
            }
        };
        let orchestrator = home.orchestrator().namespace(NAMESPACE);
        let launcher = OrchestratorLauncher {
            tasks: tasks.clone(),
            reports: Reports::listen(tasks, Arc::clone(&orchestrator)),
            orchestrator,
            image,
            leading_args,
            shardctl,
            worker_resources,
            tls,
        };
        Ok((home, launcher))
    }
}

fn worker_resources(args: &Args) -> WorkerResources {
    let flags = &args.kubernetes;
    WorkerResources {
        cpu_millis: flags.orchestrator_kubernetes_worker_cpu_millis,
        memory_bytes: flags.orchestrator_kubernetes_worker_memory_mib << 20,
        disk_bytes: flags
            .orchestrator_kubernetes_ephemeral_volume_class
            .as_ref()
            .map(|_| flags.orchestrator_kubernetes_worker_disk_mib << 20),
    }
}

impl Home {
    fn orchestrator(&self) -> &dyn Orchestrator {
        match self {
            Home::Process(orchestrator, _) => orchestrator,
            Home::Kubernetes(orchestrator) => &**orchestrator,
        }
    }

    /// Stops what does not outlive this process. Pods do: whoever leads next finds them.
    pub(crate) async fn shutdown(&self) {
        match self {
            Home::Process(orchestrator, ChildLifetime::WithParent) => orchestrator.shutdown().await,
            Home::Process(_, ChildLifetime::Kept) | Home::Kubernetes(_) => {}
        }
    }
}

fn clusterd_binary(args: &Args) -> Result<PathBuf, BootError> {
    let path = match &args.orchestrator_process_clusterd {
        Some(path) => path.clone(),
        None => {
            let own = std::env::current_exe()
                .map_err(|error| BootError::Usage(format!("cannot find this program's directory: {error}")))?;
            own.with_file_name("clusterd")
        }
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(BootError::Usage(format!(
        "no clusterd binary at {}; name it with --orchestrator-process-clusterd",
        path.display()
    )))
}
