//! From a service's configuration to the objects that run it: a headless Service and a StatefulSet. (The Secret with its
//! certificates is made in `credentials`.)
//!
//! Pure. The objects are JSON as the API server is to have them: quantities in their canonical form, nothing that defaults
//! would add, so that what is stored can be compared with what is wanted.
//!
//! All pods of a StatefulSet come from one template, so that addresses of one's own and the index are variables in it, which
//! the kubelet replaces; the others are found by ordinal and headless DNS name.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::KubernetesConfig;
use super::contract::{Contract, Labels, check_label_value, invalid, object_name};
use super::credentials::ServiceIssuer;
use super::{credentials, placement};
use crate::orchestrator::{Assignment, OrchestratorError, Service, ServiceConfig, ServicePort};

/// The user and group of every process.
const USER: u32 = 999;

/// How long a process may take to stop.
const GRACE_SECONDS: u32 = 30;

/// The port by which a process tells of its health.
const HEALTH_PORT: &str = "internal-http";

/// The owner of every object that is made: whoever deletes it deletes them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Everything that is to exist for one service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServiceObjects {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) processes: usize,
    pub(crate) service: Value,
    pub(crate) stateful_set: Value,
    /// Pods that were made from another template are replaced.
    pub(crate) template_hash: String,
    /// The labels by which this service's stand-ins are found, if it has some.
    pub(crate) stand_ins: Option<Labels>,
    addresses: BTreeMap<String, Vec<String>>,
}

impl Service for ServiceObjects {
    fn addresses(&self, port: &str) -> Vec<String> {
        self.addresses.get(port).cloned().unwrap_or_default()
    }
}

/// What every object of a namespace is made with.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) contract: &'a Contract,
    pub(crate) config: &'a KubernetesConfig,
    /// The Kubernetes namespace.
    pub(crate) kubernetes_namespace: &'a str,
    pub(crate) owner: Option<&'a Owner>,
    /// Gives the processes certificates.
    pub(crate) issuer: Option<&'a ServiceIssuer>,
}

impl Surroundings<'_> {
    /// Errors: a name, a label or a resource that cannot be had. Nothing has been created then.
    pub(crate) fn objects(&self, id: &str, config: &ServiceConfig) -> Result<ServiceObjects, OrchestratorError> {
        if config.processes == 0 {
            return Err(invalid("a service needs at least one process".to_owned()));
        }
        let name = object_name(&self.config.name_prefix, self.contract.namespace(), id, config.processes)?;
        let labels = self.contract.labels(id, config, &self.config.service_labels)?;
        let addresses = self.addresses(&name, config);
        let mut template = json!({
            "metadata": { "labels": labels },
            "spec": self.pod(id, &name, config, &addresses)?,
        });
        let template_hash = hash(&template);
        template["metadata"]["annotations"] = self.pod_annotations(config, &template_hash);
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self.metadata(&name, &labels),
            "spec": {
                "clusterIP": "None",
                // The processes of a mesh find each other before any of them is ready.
                "publishNotReadyAddresses": true,
                "selector": self.contract.identity(id),
                "ports": config.ports.iter().map(service_port).collect::<Vec<Value>>(),
            },
        });
        let stateful_set = json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": self.metadata(&name, &labels),
            "spec": {
                "replicas": config.processes,
                "serviceName": name,
                "selector": { "matchLabels": self.contract.identity(id) },
                "podManagementPolicy": "Parallel",
                // A rolling update waits for ever on a pod that is broken, and the processes of a mesh go together anyway.
                "updateStrategy": { "type": "OnDelete" },
                "template": template,
            },
        });
        Ok(ServiceObjects {
            id: id.to_owned(),
            processes: config.processes,
            service: seal(self.contract, service),
            stateful_set: seal(self.contract, stateful_set),
            template_hash,
            stand_ins: self.contract.stand_ins(config),
            addresses,
            name,
        })
    }

    /// Protects stand-ins from being drained away together.
    ///
    /// Shape: at most `processes` pods, one service's worth, may be missing at once.
    pub(crate) fn budget(&self, name: &str, stand_ins: &Labels, processes: usize) -> Value {
        let budget = json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": self.metadata(name, &self.budget_labels(stand_ins)),
            "spec": {
                "maxUnavailable": processes,
                "selector": { "matchLabels": stand_ins },
                // A pod that is not ready serves nobody; keeping its node from being drained would help nobody either.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        });
        seal(self.contract, budget)
    }

    fn budget_labels(&self, stand_ins: &Labels) -> Labels {
        let mut labels = self.config.service_labels.clone();
        labels.insert("app.kubernetes.io/managed-by".to_owned(), super::contract::FIELD_MANAGER.to_owned());
        labels.insert("app.kubernetes.io/part-of".to_owned(), "freshet".to_owned());
        labels.extend(stand_ins.clone());
        labels
    }

    fn metadata(&self, name: &str, labels: &Labels) -> Value {
        let mut metadata = json!({ "name": name, "namespace": self.kubernetes_namespace, "labels": labels });
        if let Some(Owner { api_version, kind, name, uid }) = self.owner {
            metadata["ownerReferences"] =
                json!([{ "apiVersion": api_version, "kind": kind, "name": name, "uid": uid }]);
        }
        metadata
    }

    /// Where all processes listen, by port.
    fn addresses(&self, name: &str, config: &ServiceConfig) -> BTreeMap<String, Vec<String>> {
        let domain = format!("{name}.{}.svc.{}", self.kubernetes_namespace, self.config.cluster_domain);
        let of_port = |port: &ServicePort| {
            let address = |process| format!("{name}-{process}.{domain}:{}", port.port_hint);
            (port.name.clone(), (0..config.processes).map(address).collect())
        };
        config.ports.iter().map(of_port).collect()
    }

    fn pod_annotations(&self, config: &ServiceConfig, template_hash: &str) -> Value {
        let mut annotations = json!({
            self.contract.key("pod-template-hash"): template_hash,
            // A replica that is moved has to fill its memory again.
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "karpenter.sh/do-not-disrupt": "true",
        });
        if let Some(port) = config.ports.iter().find(|port| port.name == HEALTH_PORT) {
            annotations["prometheus.io/scrape"] = json!("true");
            annotations["prometheus.io/port"] = json!(port.port_hint.to_string());
            annotations["prometheus.io/path"] = json!("/metrics");
            annotations["prometheus.io/scheme"] = json!("http");
        }
        annotations
    }

    fn pod(
        &self,
        id: &str,
        name: &str,
        config: &ServiceConfig,
        addresses: &BTreeMap<String, Vec<String>>,
    ) -> Result<Value, OrchestratorError> {
        let mut pod = json!({
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": { "type": "RuntimeDefault" },
                // A peer whose node is gone is noticed after six minutes instead of two hours.
                "sysctls": [
                    { "name": "net.ipv4.tcp_keepalive_time", "value": "300" },
                    { "name": "net.ipv4.tcp_keepalive_intvl", "value": "30" },
                    { "name": "net.ipv4.tcp_keepalive_probes", "value": "3" },
                ],
            },
            "containers": [self.container(config, addresses)?],
            "volumes": self.volumes(name, config)?,
            "tolerations": placement::tolerations(&self.config.tolerations),
        });
        if let Some(account) = &self.config.service_account {
            pod["serviceAccountName"] = json!(account);
        }
        if !self.config.image_pull_secrets.is_empty() {
            let secrets: Vec<Value> =
                self.config.image_pull_secrets.iter().map(|name| json!({ "name": name })).collect();
            pod["imagePullSecrets"] = json!(secrets);
        }
        if !self.config.node_selector.is_empty() {
            pod["nodeSelector"] = json!(self.config.node_selector);
        }
        placement::place(&mut pod, self, id, config);
        Ok(pod)
    }

    fn container(
        &self,
        config: &ServiceConfig,
        addresses: &BTreeMap<String, Vec<String>>,
    ) -> Result<Value, OrchestratorError> {
        let image = config.image.to_str().filter(|image| is_image(image));
        let image = image.ok_or_else(|| invalid(format!("image {:?}", config.image.display().to_string())))?;
        let listen = |port: &ServicePort| (port.name.clone(), format!("$(POD_IP):{}", port.port_hint));
        let assignment = Assignment {
            process: "$(POD_INDEX)".to_owned(),
            listen: config.ports.iter().map(listen).collect(),
            peers: addresses.clone(),
            credentials: self.issuer.map(|_| credentials::files()),
        };
        let mut container = json!({
            "name": "main",
            "image": image,
            "imagePullPolicy": self.config.image_pull_policy.as_str(),
            "args": (config.args)(&assignment),
            "env": [
                field_variable("POD_IP", "status.podIP"),
                field_variable("POD_INDEX", "metadata.labels['apps.kubernetes.io/pod-index']"),
            ],
            "ports": config.ports.iter().map(container_port).collect::<Vec<Value>>(),
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "privileged": false,
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
            },
            "volumeMounts": self.volume_mounts(config),
        });
        if !self.config.environment_secrets.is_empty() {
            let secrets = self.config.environment_secrets.iter();
            container["envFrom"] = secrets.map(|name| json!({ "secretRef": { "name": name } })).collect();
        }
        let resources = resources(config);
        if resources != json!({}) {
            // Requests are the limits: a worker that is throttled or killed by its neighbours holds up its whole replica.
            container["resources"] = json!({ "limits": resources, "requests": resources });
        }
        if config.ports.iter().any(|port| port.name == HEALTH_PORT) {
            container["startupProbe"] = probe("/api/livez", 1, 60);
            container["readinessProbe"] = probe("/api/readyz", 2, 3);
            container["livenessProbe"] = probe("/api/livez", 10, 6);
        }
        Ok(container)
    }

    fn volumes(&self, name: &str, config: &ServiceConfig) -> Result<Value, OrchestratorError> {
        let mut volumes = vec![json!({ "name": "tmp", "emptyDir": { "sizeLimit": "64Mi" } })];
        if let Some(bytes) = config.disk_limit_bytes {
            let class = self.config.ephemeral_volume_class.as_ref().ok_or_else(|| {
                invalid("the service wants a disk, and no ephemeral volume class is configured".to_owned())
            })?;
            let claim = json!({
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": class,
                "resources": { "requests": { "storage": bytes_quantity(bytes) } },
            });
            volumes.push(json!({ "name": "scratch", "ephemeral": { "volumeClaimTemplate": { "spec": claim } } }));
        }
        if self.issuer.is_some() {
            volumes.push(credentials::volume(name));
        }
        Ok(Value::Array(volumes))
    }

    fn volume_mounts(&self, config: &ServiceConfig) -> Value {
        let mut mounts = vec![json!({ "name": "tmp", "mountPath": "/tmp" })];
        if config.disk_limit_bytes.is_some() {
            mounts.push(json!({ "name": "scratch", "mountPath": "/scratch" }));
        }
        if self.issuer.is_some() {
            mounts.push(credentials::volume_mount());
        }
        Value::Array(mounts)
    }
}

/// Marks an object with a hash of what was wanted, by which it is seen that something is no longer wanted.
fn seal(contract: &Contract, mut object: Value) -> Value {
    let hash = hash(&object);
    object["metadata"]["annotations"] = json!({ contract.key("applied-hash"): hash });
    object
}

pub(crate) fn hash(value: &Value) -> String {
    let digest = Sha256::digest(value.to_string());
    digest.iter().take(16).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

fn service_port(port: &ServicePort) -> Value {
    json!({ "name": port.name, "port": port.port_hint, "targetPort": port.name, "protocol": "TCP" })
}

fn container_port(port: &ServicePort) -> Value {
    json!({ "name": port.name, "containerPort": port.port_hint, "protocol": "TCP" })
}

fn field_variable(name: &str, path: &str) -> Value {
    json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } })
}

fn probe(path: &str, period_seconds: u32, failures: u32) -> Value {
    json!({
        "httpGet": { "path": path, "port": HEALTH_PORT },
        "periodSeconds": period_seconds,
        "failureThreshold": failures,
        "timeoutSeconds": 5,
    })
}

fn resources(config: &ServiceConfig) -> Value {
    let mut resources = json!({});
    if let Some(millis) = config.cpu_limit_millis {
        resources["cpu"] = json!(millis_quantity(millis));
    }
    if let Some(bytes) = config.memory_limit_bytes {
        resources["memory"] = json!(bytes_quantity(bytes));
    }
    resources
}

/// The canonical form, in which the API server stores it.
fn millis_quantity(millis: u64) -> String {
    if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{millis}m") }
}

/// Whole KiB, rounded up, in the canonical form.
pub(crate) fn bytes_quantity(bytes: u64) -> String {
    let mut count = bytes.div_ceil(1024);
    let mut suffixes = ["Ki", "Mi", "Gi", "Ti", "Pi"].into_iter();
    let mut suffix = suffixes.next().expect("there are five");
    while count != 0
        && count.is_multiple_of(1024)
        && let Some(next) = suffixes.next()
    {
        count /= 1024;
        suffix = next;
    }
    format!("{count}{suffix}")
}

/// Whether it looks like `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`. What the registry says of it shows as the pod's state.
fn is_image(image: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_./:@".contains(character);
    image.len() <= 512 && image.starts_with(|first: char| first.is_ascii_alphanumeric()) && image.chars().all(allowed)
}

/// The name of the budget of stand-ins: that of a service that could not be another's.
pub(crate) fn budget_name(
    config: &KubernetesConfig,
    contract: &Contract,
    stand_ins: &Labels,
) -> Result<String, OrchestratorError> {
    let own = stand_ins.iter().filter(|(key, _)| key.starts_with(&contract.caller_key("")));
    let values: Vec<String> = own.map(|(_, value)| value.to_ascii_lowercase().replace(['_', '.'], "-")).collect();
    let id = format!("stand-ins-{}", values.join("-"));
    check_label_value("stand-ins", &id)?;
    object_name(&config.name_prefix, contract.namespace(), &id, 1)
}
