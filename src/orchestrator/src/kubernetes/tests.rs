//! The Kubernetes backend without Kubernetes: objects as text, plans against a model, calls against a script.

mod contract;
mod credentials;
mod objects;
mod plan;
mod scenarios;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use stdx::Clock;

use super::contract::{Contract, LABEL_DOMAIN};
use super::objects::{Owner, ServiceObjects, Surroundings};
use super::{ImagePullPolicy, KubernetesConfig, Placement, ServiceIssuer};
use crate::authority::{Authority, Names};
use crate::orchestrator::{CredentialFiles, OrchestratorError, ServiceConfig, ServicePort, Transport};
use crate::secrets::{MemorySecrets, Secrets};

fn config() -> KubernetesConfig {
    KubernetesConfig {
        context: None,
        namespace: None,
        own_pod: None,
        environment_id: "e1".to_owned(),
        name_prefix: String::new(),
        label_domain: LABEL_DOMAIN.to_owned(),
        service_labels: BTreeMap::new(),
        image_pull_policy: ImagePullPolicy::IfNotPresent,
        image_pull_secrets: Vec::new(),
        service_account: None,
        environment_secrets: Vec::new(),
        node_selector: BTreeMap::new(),
        tolerations: Vec::new(),
        availability_zones: Vec::new(),
        placement: Placement::Preferred,
        ephemeral_volume_class: None,
        cluster_domain: "cluster.local".to_owned(),
    }
}

fn owner() -> Owner {
    Owner {
        api_version: "apps/v1".to_owned(),
        kind: "StatefulSet".to_owned(),
        name: "environmentd".to_owned(),
        uid: "owner-uid".to_owned(),
    }
}

/// Certifies by an authority of its own.
async fn issuer(clock: Arc<dyn Clock>) -> ServiceIssuer {
    let authority = Authority::open(clock, Secrets::of(MemorySecrets::default())).await.unwrap();
    let names = |id: &str| Names { dns: "process.example".to_owned(), uri: format!("example://{id}") };
    ServiceIssuer { authority: Arc::new(authority), names: Arc::new(names) }
}

/// A service as clusterd's are.
fn service(processes: usize) -> ServiceConfig {
    let port = |name: &str, port_hint| ServicePort { name: name.to_owned(), port_hint, transport: Transport::Tcp };
    ServiceConfig {
        image: "registry.example/clusterd:1".into(),
        args: Arc::new(|given| {
            let mut args = vec![
                format!("--listen={}", given.listen["computectl"]),
                format!("--process={}", given.process),
                format!("--peers={}", given.peers["timely"].join(",")),
            ];
            if let Some(CredentialFiles { certificate, key, authorities }) = &given.credentials {
                args.push(format!("--credentials={certificate},{key},{authorities}"));
            }
            args
        }),
        ports: vec![port("computectl", 2101), port("timely", 2102), port("internal-http", 6878)],
        processes,
        memory_limit_bytes: Some(4 << 30),
        cpu_limit_millis: Some(1500),
        disk_limit_bytes: None,
        labels: [("cluster-id".to_owned(), "u1".to_owned()), ("generation".to_owned(), "0".to_owned())].into(),
        stand_ins: vec!["cluster-id".to_owned(), "generation".to_owned()],
        availability_zones: Vec::new(),
    }
}

fn objects(config: &KubernetesConfig, id: &str, service: &ServiceConfig) -> Result<ServiceObjects, OrchestratorError> {
    objects_of(config, id, service, None)
}

fn objects_of(
    config: &KubernetesConfig,
    id: &str,
    service: &ServiceConfig,
    issuer: Option<&ServiceIssuer>,
) -> Result<ServiceObjects, OrchestratorError> {
    let contract = Contract::new(&config.label_domain, &config.environment_id, "compute")?;
    let owner = owner();
    Surroundings { contract: &contract, config, kubernetes_namespace: "env", owner: Some(&owner), issuer }
        .objects(id, service)
}
