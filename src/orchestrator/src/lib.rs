//! Running services somewhere: as child processes of this machine, or as pods of a Kubernetes namespace.
//!
//! Knows nothing of SQL, collections or protocols: a service is a binary or an image, its arguments and its named ports.
//! Reading order: `orchestrator` (the traits), `process` (children, pid files, adoption), `process::child`, `kubernetes`
//! (pods; the reading order of its parts stands there).

pub mod kubernetes;
mod orchestrator;
pub mod process;

pub use kubernetes::{KubernetesConfig, KubernetesOrchestrator};
pub use orchestrator::{
    Assignment, NamespacedOrchestrator, OfflineReason, Orchestrator, OrchestratorError, ProcessStatus, Service,
    ServiceArgs, ServiceConfig, ServiceEvent, ServicePort, Transport,
};
pub use process::{ChildLifetime, ProcessOrchestrator, ProcessOrchestratorConfig};
