//! Services as pods of a Kubernetes namespace.
//!
//! A service is a headless Service and a StatefulSet of one name, written by server-side apply. They are owned by what owns
//! environmentd's own pod, so that nothing of them outlives it. Nothing is remembered here over a start: what is wanted comes
//! from the callers, what there is from the API server.
//!
//! Reading order: `contract` (labels and names), `objects`, `placement`, `credentials`, `plan` (from wanted and observed to
//! calls), `api` (the calls), `namespace` (who wants what, and the worker), `watch` (pods to events), `metrics`, `connect`,
//! `secrets`.

mod api;
mod connect;
pub(crate) mod contract;
mod credentials;
mod metrics;
mod namespace;
mod objects;
mod placement;
mod plan;
mod secrets;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::orchestrator::{NamespacedOrchestrator, Orchestrator, OrchestratorError};
use api::Cluster;
use contract::Contract;
use namespace::KubernetesNamespace;
use objects::Owner;

pub use contract::LABEL_DOMAIN;
pub use credentials::ServiceIssuer;
pub use secrets::KubernetesSecrets;

/// What all services of an environment have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// The context of the kubeconfig; None: its current one, or the service account of the pod that this runs in.
    pub context: Option<String>,
    /// The Kubernetes namespace; None: the context's, or the pod's.
    pub namespace: Option<String>,
    /// The pod that this runs in. None: nothing owns the objects, and they outlive this process.
    pub own_pod: Option<String>,
    /// Tells this environment's objects from those of others in one Kubernetes namespace.
    pub environment_id: String,
    pub name_prefix: String,
    pub label_domain: String,
    /// Labels of all pods and services.
    pub service_labels: BTreeMap<String, String>,
    pub image_pull_policy: ImagePullPolicy,
    pub image_pull_secrets: Vec<String>,
    pub service_account: Option<String>,
    /// Secrets whose keys become environment variables of every process.
    pub environment_secrets: Vec<String>,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Toleration>,
    /// Where services run that name no zones of their own; empty: anywhere.
    pub availability_zones: Vec<String>,
    pub placement: Placement,
    /// The StorageClass of disks; None: services that want one are refused.
    pub ephemeral_volume_class: Option<String>,
    /// The domain of the cluster's DNS.
    pub cluster_domain: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl ImagePullPolicy {
    fn as_str(self) -> &'static str {
        match self {
            ImagePullPolicy::Always => "Always",
            ImagePullPolicy::IfNotPresent => "IfNotPresent",
            ImagePullPolicy::Never => "Never",
        }
    }
}

/// Whether stand-ins must be on different hosts and spread over zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A pod waits until there is such a place.
    Required,
    /// A pod takes another place if there is none.
    Preferred,
}

/// A taint that pods bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    pub key: String,
    /// None: any.
    pub value: Option<String>,
    /// None: any.
    pub effect: Option<String>,
}

impl FromStr for Toleration {
    type Err = String;

    /// `KEY[=VALUE][:EFFECT]`, as `kubectl taint` writes it.
    fn from_str(text: &str) -> Result<Toleration, String> {
        let (taint, effect) = match text.rsplit_once(':') {
            Some((taint, effect)) => (taint, Some(effect)),
            None => (text, None),
        };
        if let Some(effect) = effect
            && !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect)
        {
            return Err(format!("no effect {effect:?}; it is NoSchedule, PreferNoSchedule or NoExecute"));
        }
        let (key, value) = match taint.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (taint, None),
        };
        if key.is_empty() {
            return Err("expected KEY[=VALUE][:EFFECT]".to_owned());
        }
        Ok(Toleration { key: key.to_owned(), value: value.map(str::to_owned), effect: effect.map(str::to_owned) })
    }
}

/// Runs services as pods. Dropping it ends what it does; its services run on.
pub struct KubernetesOrchestrator {
    cluster: Cluster,
    config: KubernetesConfig,
    owner: Option<Owner>,
    issuer: Option<ServiceIssuer>,
    namespaces: Mutex<BTreeMap<String, Arc<KubernetesNamespace>>>,
}

impl KubernetesOrchestrator {
    fn with(cluster: Cluster, config: KubernetesConfig, owner: Option<Owner>) -> Result<Self, OrchestratorError> {
        Contract::check_everywhere(&config.label_domain, &config.service_labels)?;
        // What does not depend on the orchestrator namespace is wrong now or never.
        Contract::new(&config.label_domain, &config.environment_id, "compute")?;
        contract::object_name(&config.name_prefix, "compute", "1", 1)?;
        Ok(KubernetesOrchestrator { cluster, config, owner, issuer: None, namespaces: Mutex::default() })
    }

    /// Gives the processes of every service certificates, in namespaces that nobody has entered yet.
    pub fn certified(mut self, issuer: ServiceIssuer) -> KubernetesOrchestrator {
        self.issuer = Some(issuer);
        self
    }
}

impl Orchestrator for KubernetesOrchestrator {
    fn namespace(&self, name: &str) -> Arc<dyn NamespacedOrchestrator> {
        let mut namespaces = self.namespaces.lock();
        let start = || {
            let contract = Contract::new(&self.config.label_domain, &self.config.environment_id, name)
                .expect("namespaces are named in the program, and the other parts were checked");
            let (cluster, config, owner) = (self.cluster.clone(), self.config.clone(), self.owner.clone());
            Arc::new(KubernetesNamespace::start(cluster, contract, config, owner, self.issuer.clone()))
        };
        let namespace: Arc<KubernetesNamespace> = Arc::clone(namespaces.entry(name.to_owned()).or_insert_with(start));
        namespace
    }
}
