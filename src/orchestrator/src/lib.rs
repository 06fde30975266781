//! Running services somewhere, as child processes of this machine or as pods of a Kubernetes namespace, and keeping secrets
//! there.
//!
//! Knows nothing of SQL, collections or protocols: a service is a binary or an image, its arguments and its named ports, and
//! a secret is bytes under a name. Reading order: `orchestrator` (the traits), `process` (children, pid files, adoption),
//! `process::child`, `kubernetes` (pods; the reading order of its parts stands there), `secrets`.

pub mod authority;
pub mod kubernetes;
mod orchestrator;
pub mod process;
mod secrets;

pub use kubernetes::ServiceIssuer;
pub use kubernetes::{KubernetesConfig, KubernetesOrchestrator, KubernetesSecrets};
pub use orchestrator::{
    Assignment, CredentialFiles, NamespacedOrchestrator, OfflineReason, Orchestrator, OrchestratorError,
    ProcessMetrics, ProcessStatus, Service, ServiceArgs, ServiceConfig, ServiceEvent, ServicePort, Transport,
};
pub use process::{ChildLifetime, ProcessOrchestrator, ProcessOrchestratorConfig};
pub use secrets::{LocalFileSecrets, MemorySecrets, SecretName, Secrets, SecretsController, SecretsReader};
