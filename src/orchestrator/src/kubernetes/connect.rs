//! Finding the API server, and who owns this process.

use k8s_openapi::api::core::v1::Pod;
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};
use stdx::Tasks;

use super::api::Cluster;
use super::objects::Owner;
use super::plan::Kind;
use super::{KubernetesConfig, KubernetesOrchestrator};
use crate::orchestrator::OrchestratorError;

impl Cluster {
    /// Errors: no API server is named, or credentials cannot be read.
    pub(crate) async fn connect(tasks: Tasks, config: &KubernetesConfig) -> Result<Cluster, OrchestratorError> {
        let refused = |error: &dyn std::fmt::Display| OrchestratorError::Refused(error.to_string());
        let mut client_config = match &config.context {
            Some(context) => {
                let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
                Config::from_kubeconfig(&options).await.map_err(|error| refused(&error))?
            }
            None => Config::infer().await.map_err(|error| refused(&error))?,
        };
        // The worker tries again itself, and tells of what fails.
        client_config.default_retry = false;
        let namespace = config.namespace.clone().unwrap_or_else(|| client_config.default_namespace.clone());
        let client = Client::try_from(client_config).map_err(|error| refused(&error))?;
        Ok(Cluster { tasks, client, namespace })
    }
}

impl KubernetesOrchestrator {
    /// Connects as the configuration says. Errors: no API server is named, credentials cannot be read, a name is not allowed,
    /// or our own pod cannot be read.
    pub async fn connect(tasks: Tasks, config: KubernetesConfig) -> Result<KubernetesOrchestrator, OrchestratorError> {
        let Cluster { tasks, client, namespace } = Cluster::connect(tasks, &config).await?;
        KubernetesOrchestrator::with_client(tasks, client, &namespace, config).await
    }

    /// Uses a client that is there already.
    pub async fn with_client(
        tasks: Tasks,
        client: Client,
        namespace: &str,
        config: KubernetesConfig,
    ) -> Result<KubernetesOrchestrator, OrchestratorError> {
        let cluster = Cluster { tasks, client, namespace: namespace.to_owned() };
        let owner = match &config.own_pod {
            Some(pod) => Some(owner_of(&cluster, pod).await?),
            None => {
                tracing::warn!("no pod of our own: what is made in Kubernetes outlives this environment");
                None
            }
        };
        KubernetesOrchestrator::with(cluster, config, owner)
    }
}

/// What owns our own pod, its StatefulSet; the pod itself, if nothing does.
async fn owner_of(cluster: &Cluster, name: &str) -> Result<Owner, OrchestratorError> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let pod = pods.get(name).await.map_err(|error| {
        let reason = cluster.explain(Kind::Pod, "get", &error);
        OrchestratorError::Refused(format!("cannot read our own pod {name}: {reason}"))
    })?;
    let references = pod.metadata.owner_references.unwrap_or_default();
    let controller = references.iter().find(|reference| reference.controller == Some(true));
    if let Some(reference) = controller.or(references.first()) {
        return Ok(Owner {
            api_version: reference.api_version.clone(),
            kind: reference.kind.clone(),
            name: reference.name.clone(),
            uid: reference.uid.clone(),
        });
    }
    let uid = pod.metadata.uid.unwrap_or_default();
    Ok(Owner { api_version: "v1".to_owned(), kind: "Pod".to_owned(), name: name.to_owned(), uid })
}
