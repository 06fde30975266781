//! Calls to the API server, and what their failures mean to whoever runs the environment.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, Preconditions,
};
use kube::{Api, Client};
use serde_json::{Value, json};
use stdx::{Tasks, with_causes};

use super::contract::FIELD_MANAGER;
use super::plan::{Action, Force, Kind, ObjectRef, name};

/// An API server that has not answered for so long is asked again.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

impl Kind {
    pub(crate) fn resource(self) -> ApiResource {
        match self {
            Kind::Service => ApiResource::erase::<Service>(&()),
            Kind::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            Kind::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Kind::Secret => ApiResource::erase::<Secret>(&()),
            Kind::Pod => ApiResource::erase::<Pod>(&()),
            Kind::PodMetrics => {
                let kind = GroupVersionKind::gvk("metrics.k8s.io", "v1beta1", "PodMetrics");
                ApiResource::from_gvk_with_plural(&kind, "pods")
            }
        }
    }
}

/// A call that failed, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CallError(String);

/// The API server, for one of its namespaces.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) tasks: Tasks,
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Cluster {
    pub(crate) fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource())
    }

    /// The object of that name; None if there is none.
    pub(crate) async fn get(&self, kind: Kind, name: &str) -> Result<Option<Value>, CallError> {
        let found = self.call(kind, "get", self.api(kind).get_opt(name)).await?;
        found.map(|object| value(kind, &object)).transpose()
    }

    /// The metadata of the object of that name; None if there is none.
    pub(crate) async fn metadata(&self, kind: Kind, name: &str) -> Result<Option<Value>, CallError> {
        let found = self.call(kind, "get", self.api(kind).get_metadata_opt(name)).await?;
        Ok(found.map(|found| json!({ "metadata": found.metadata })))
    }

    pub(crate) async fn list(&self, kind: Kind, selector: &str) -> Result<Vec<Value>, CallError> {
        let params = ListParams::default().labels(selector);
        let found = self.call(kind, "list", self.api(kind).list(&params)).await?;
        found.items.iter().map(|object| value(kind, object)).collect()
    }

    /// As [`list`](Self::list), of a kind that the API server may not have: None.
    pub(crate) async fn list_if_served(&self, kind: Kind, selector: &str) -> Result<Option<Vec<Value>>, CallError> {
        let params = ListParams::default().labels(selector);
        let api = self.api(kind);
        let list = async {
            match api.list(&params).await {
                // In plain text, where nobody serves the kind's group.
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
                found => found.map(Some),
            }
        };
        let Some(found) = self.call(kind, "list", list).await? else { return Ok(None) };
        found.items.iter().map(|object| value(kind, object)).collect::<Result<_, _>>().map(Some)
    }

    pub(crate) async fn act(&self, action: &Action) -> Result<(), CallError> {
        match action {
            Action::Apply(kind, object, force) => self.apply(*kind, object, *force).await,
            Action::Delete(kind, object) => self.delete(*kind, object).await,
        }
    }

    async fn apply(&self, kind: Kind, object: &Value, force: Force) -> Result<(), CallError> {
        let params = PatchParams::apply(FIELD_MANAGER).validation_strict();
        let params = match force {
            Force::Yes => params.force(),
            Force::No => params,
        };
        let (api, name, patch) = (self.api(kind), name(object), Patch::Apply(object));
        // The answer without what is in the object: the client logs answers that it does not understand.
        self.call(kind, "patch", api.patch_metadata(&name, &params, &patch)).await?;
        tracing::info!(?kind, name, "applied");
        Ok(())
    }

    /// Gone already is as good.
    async fn delete(&self, kind: Kind, object: &ObjectRef) -> Result<(), CallError> {
        let uid = Some(object.uid.clone()).filter(|uid| !uid.is_empty());
        let params = DeleteParams::background().preconditions(Preconditions { uid, resource_version: None });
        let api = self.api(kind);
        let delete = async {
            match api.delete(&object.name, &params).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                other => other.map(drop),
            }
        };
        self.call(kind, "delete", delete).await?;
        tracing::info!(?kind, name = object.name, "deleted");
        Ok(())
    }

    /// Makes one call, in time. The verb and the kind are for what is told of its failure.
    pub(crate) async fn call<T>(
        &self,
        kind: Kind,
        verb: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, CallError> {
        match self.tasks.timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(CallError(self.explain(kind, verb, &error))),
            Err(elapsed) => Err(CallError(format!("the Kubernetes API server does not answer: {elapsed}"))),
        }
    }

    /// What failed, and what can be done about it.
    pub(crate) fn explain(&self, kind: Kind, verb: &str, error: &kube::Error) -> String {
        let resource = kind.resource();
        let (plural, namespace) = (&resource.plural, &self.namespace);
        if matches!(error, kube::Error::SerdeError(_)) {
            // The reason quotes what was read, which may be a secret.
            return format!("cannot {verb} {plural}: the Kubernetes API server's answer cannot be understood");
        }
        let kube::Error::Api(status) = error else {
            return format!("cannot {verb} {plural}: cannot reach the Kubernetes API server: {}", with_causes(error));
        };
        let message = &status.message;
        match status.code {
            401 => format!(
                "cannot {verb} {plural}: the Kubernetes API server does not accept our credentials (an expired token?): \
                 {message}"
            ),
            403 if message.contains("exceeded quota") => {
                format!("cannot {verb} {plural}: the quota of namespace {namespace} is used up: {message}")
            }
            403 => {
                // Applying what does not exist is forbidden for want of another verb than that of the call.
                let verb = denied_verb(message).unwrap_or(verb);
                format!(
                    "may not {verb} {plural} in namespace {namespace}; a Role of environmentd's service account needs \
                     {{apiGroups: [\"{}\"], resources: [\"{plural}\"], verbs: [\"{verb}\"]}}: {message}",
                    resource.group
                )
            }
            code => format!("cannot {verb} {plural}: the Kubernetes API server says {code}: {message}"),
        }
    }
}

/// The verb in `User "…" cannot VERB resource "…"`.
fn denied_verb(message: &str) -> Option<&str> {
    let (verb, rest) = message.split_once(" cannot ")?.1.split_once(' ')?;
    rest.starts_with("resource").then_some(verb)
}

fn value(kind: Kind, object: &DynamicObject) -> Result<Value, CallError> {
    let value = serde_json::to_value(object);
    let mut value = value.map_err(|error| CallError(format!("cannot read a {kind:?}: {error}")))?;
    // The items of a list do not tell what they are.
    let resource = kind.resource();
    value["apiVersion"] = Value::String(resource.api_version);
    value["kind"] = Value::String(resource.kind);
    Ok(value)
}
