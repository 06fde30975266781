//!
//! Knows nothing of SQL, collections or protocols: a service is a binary, its arguments and its named ports.

mod orchestrator;

pub use orchestrator::{
    Assignment, NamespacedOrchestrator, OfflineReason, Orchestrator, OrchestratorError, ProcessStatus, Service,
    ServiceArgs, ServiceConfig, ServiceEvent, ServicePort, Transport,
};
