//! Running services somewhere. Today: child processes of this machine; the same trait will drive Kubernetes.
//!
//! Knows nothing of SQL, collections or protocols: a service is a binary, its arguments and its named ports.
//! Reading order: `orchestrator` (the traits), `process` (children, pid files, adoption), `process::child`.

mod orchestrator;
pub mod process;

pub use orchestrator::{
    Assignment, NamespacedOrchestrator, OfflineReason, Orchestrator, OrchestratorError, ProcessStatus, Service,
    ServiceArgs, ServiceConfig, ServiceEvent, ServicePort, Transport,
};
pub use process::{ChildLifetime, ProcessOrchestrator, ProcessOrchestratorConfig};
