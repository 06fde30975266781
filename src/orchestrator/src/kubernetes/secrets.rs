//! Secrets as Secret objects of a Kubernetes namespace.
//!
//! Each is an object of its own, labelled as the environment's. Nothing owns them: unlike services they outlive environmentd's
//! StatefulSet, and go with the namespace or the environment. A hash of what was applied, as services have it, would tell
//! something of what is in them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{GetParams, ListParams, Request};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};
use stdx::{Redacted, Tasks};

use super::KubernetesConfig;
use super::api::{CallError, Cluster};
use super::contract::{Contract, FIELD_MANAGER, Labels, check_dns_label};
use super::plan::{Action, Force, Kind, Mark, reference};
use crate::orchestrator::OrchestratorError;
use crate::secrets::{SecretName, SecretsController, SecretsReader};

/// What stands in the label for the orchestrator namespace.
const NAMESPACE: &str = "secrets";

/// The only key of an object's data.
const KEY: &str = "contents";

/// What a DNS subdomain may have, which the names of Secrets are.
const OBJECT_NAME_MAX: usize = 253;

/// Keeps secrets in the environment's Kubernetes namespace.
pub struct KubernetesSecrets {
    cluster: Cluster,
    contract: Contract,
    name_prefix: String,
    service_labels: Labels,
}

impl From<CallError> for OrchestratorError {
    fn from(error: CallError) -> OrchestratorError {
        OrchestratorError::Refused(error.to_string())
    }
}

impl KubernetesSecrets {
    /// Connects as the configuration says. Errors: no API server is named, credentials cannot be read, or a name is not
    /// allowed.
    pub async fn connect(tasks: Tasks, config: &KubernetesConfig) -> Result<KubernetesSecrets, OrchestratorError> {
        KubernetesSecrets::with(Cluster::connect(tasks, config).await?, config)
    }

    /// Uses a client that is there already.
    pub fn with_client(
        tasks: Tasks,
        client: Client,
        namespace: &str,
        config: &KubernetesConfig,
    ) -> Result<KubernetesSecrets, OrchestratorError> {
        KubernetesSecrets::with(Cluster { tasks, client, namespace: namespace.to_owned() }, config)
    }

    fn with(cluster: Cluster, config: &KubernetesConfig) -> Result<KubernetesSecrets, OrchestratorError> {
        Contract::check_everywhere(&config.label_domain, &config.service_labels)?;
        Ok(KubernetesSecrets {
            cluster,
            contract: Contract::new(&config.label_domain, &config.environment_id, NAMESPACE)?,
            name_prefix: config.name_prefix.clone(),
            service_labels: config.service_labels.clone(),
        })
    }

    fn api(&self) -> Api<Secret> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace)
    }

    fn object_name(&self, name: &SecretName) -> Result<String, OrchestratorError> {
        let object_name = format!("{}secret-{name}", self.name_prefix);
        check_dns_label("object name", &object_name, OBJECT_NAME_MAX)?;
        Ok(object_name)
    }

    /// The labels by which a secret is known to be this one of ours.
    fn identity(&self, name: &SecretName) -> Labels {
        self.contract.secret_identity(name.as_str())
    }

    /// What is there under a name, without its contents. Errors: somebody else's.
    async fn look(&self, name: &SecretName) -> Result<Option<Value>, OrchestratorError> {
        let object_name = self.object_name(name)?;
        let Some(object) = self.cluster.metadata(Kind::Secret, &object_name).await? else { return Ok(None) };
        self.check(name, &object)?;
        Ok(Some(object))
    }

    /// The object with its contents. It is not read by the client, which logs what it does not understand.
    async fn get(&self, object_name: &str) -> Result<Option<Secret>, OrchestratorError> {
        let request = Request::new(Secret::url_path(&(), Some(&self.cluster.namespace)));
        let get = async {
            let request = request.get(object_name, &GetParams::default()).map_err(kube::Error::BuildRequest)?;
            match self.cluster.client.request_text(request).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
                text => text.map(Some),
            }
        };
        let Some(text) = self.cluster.call(Kind::Secret, "get", get).await? else { return Ok(None) };
        // The reason would quote it.
        let object = serde_json::from_str(&text);
        object.map(Some).map_err(|_| OrchestratorError::Refused(format!("Secret {object_name} cannot be understood")))
    }

    /// Errors: the object is not our secret of this name.
    fn check(&self, name: &SecretName, object: &Value) -> Result<(), OrchestratorError> {
        let identity = self.identity(name);
        let mark = Mark { labels: &identity, owner: None, template_key: "" };
        mark.check(Kind::Secret, object).map_err(|foreign| OrchestratorError::Refused(foreign.to_string()))
    }

    fn object(&self, name: &SecretName, contents: &[u8]) -> Result<Value, OrchestratorError> {
        let mut labels = self.service_labels.clone();
        labels.insert("app.kubernetes.io/managed-by".to_owned(), FIELD_MANAGER.to_owned());
        labels.insert("app.kubernetes.io/part-of".to_owned(), "freshet".to_owned());
        labels.extend(self.identity(name));
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self.object_name(name)?, "namespace": self.cluster.namespace, "labels": labels,
            },
            "type": "Opaque",
            "data": BTreeMap::from([(KEY, ByteString(contents.to_vec()))]),
        }))
    }
}

#[async_trait]
impl SecretsController for KubernetesSecrets {
    async fn ensure(&self, name: &SecretName, contents: Redacted<Vec<u8>>) -> Result<(), OrchestratorError> {
        let mut object = self.object(name, contents.expose())?;
        let force = match self.look(name).await? {
            Some(found) => {
                // If another takes its place meanwhile, that one is not ours to write to.
                object["metadata"]["uid"] = found["metadata"]["uid"].clone();
                Force::Yes
            }
            None => Force::No,
        };
        Ok(self.cluster.act(&Action::Apply(Kind::Secret, object, force)).await?)
    }

    async fn delete(&self, name: &SecretName) -> Result<(), OrchestratorError> {
        let Some(found) = self.look(name).await? else { return Ok(()) };
        Ok(self.cluster.act(&Action::Delete(Kind::Secret, reference(&found))).await?)
    }

    async fn list(&self) -> Result<BTreeSet<SecretName>, OrchestratorError> {
        let params = ListParams::default().labels(&self.contract.selector());
        let api = self.api();
        let found = self.cluster.call(Kind::Secret, "list", api.list_metadata(&params)).await?;
        let key = self.contract.secret_key();
        let labels = found.items.into_iter().filter_map(|object| object.metadata.labels);
        let names = labels.filter_map(|labels| SecretName::new(labels.get(&key)?).ok());
        Ok(names.collect())
    }
}

#[async_trait]
impl SecretsReader for KubernetesSecrets {
    async fn read(&self, name: &SecretName) -> Result<Option<Redacted<Vec<u8>>>, OrchestratorError> {
        let object_name = self.object_name(name)?;
        let Some(mut found) = self.get(&object_name).await? else { return Ok(None) };
        self.check(name, &json!({ "metadata": found.metadata }))?;
        let contents = found.data.as_mut().and_then(|data| data.remove(KEY));
        let ByteString(contents) = contents.ok_or_else(|| {
            OrchestratorError::Refused(format!("Secret {object_name} has no key {KEY}; store the secret again"))
        })?;
        Ok(Some(Redacted::new(contents)))
    }
}
