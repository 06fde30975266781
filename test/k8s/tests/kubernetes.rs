//! The Kubernetes orchestrator against a real API server, its controllers and its scheduler.

#[path = "../../../src/orchestrator/tests/conformance/mod.rs"]
mod conformance;
#[path = "../../../src/orchestrator/tests/conformance/secrets.rs"]
mod secrets_conformance;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::Role;
use k8s_test::{Fate, Faults, Lab, Nodes, TIMEOUT, eventually};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt};
use orchestrator::authority::{Authority, Names};
use orchestrator::kubernetes::{ImagePullPolicy, LABEL_DOMAIN, Placement};
use orchestrator::{
    KubernetesConfig, KubernetesOrchestrator, KubernetesSecrets, MemorySecrets, NamespacedOrchestrator, OfflineReason,
    Orchestrator, ProcessStatus, SecretName, Secrets, ServiceConfig, ServiceEvent, ServiceIssuer,
};
use serde_json::{Value, json};
use stdx::{Redacted, SystemClock, Tasks};
use tokio::sync::Mutex;

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../misc/kubernetes");

/// One control plane for all tests that run at a time. Each has namespaces of its own.
static LAB: Mutex<Weak<Lab>> = Mutex::const_new(Weak::new());

async fn lab() -> Arc<Lab> {
    let mut shared = LAB.lock().await;
    if let Some(lab) = shared.upgrade() {
        return lab;
    }
    let lab = Arc::new(Lab::start().await.unwrap());
    *shared = Arc::downgrade(&lab);
    lab
}

/// A namespace in which an environmentd's pod is, though none runs.
struct Environment {
    lab: Arc<Lab>,
    namespace: String,
    client: Client,
    issuer: ServiceIssuer,
    _nodes: Nodes,
}

impl Environment {
    /// Nodes are named after the namespace, so that tests that run together keep apart.
    async fn start(namespace: &str) -> Environment {
        let lab = lab().await;
        lab.namespace(namespace, &[("pod-security.kubernetes.io/enforce", "restricted")]).await.unwrap();
        let client = lab.client().await.unwrap();
        let nodes = Nodes::start(client.clone(), namespace, 2).await.unwrap();
        let store = Secrets::of(MemorySecrets::default());
        let authority = Authority::open(Arc::new(SystemClock), store).await.unwrap();
        let names = |id: &str| Names { dns: "process.example".to_owned(), uri: format!("example://{id}") };
        let issuer = ServiceIssuer { authority: Arc::new(authority), names: Arc::new(names) };
        let environment = Environment { lab, namespace: namespace.to_owned(), client, issuer, _nodes: nodes };
        environment.create_environmentd().await;
        environment
    }

    async fn create_environmentd(&self) {
        let set: StatefulSet = serde_json::from_value(json!({
            "metadata": { "name": "environmentd" },
            "spec": {
                "replicas": 1, "serviceName": "environmentd",
                "selector": { "matchLabels": { "app": "environmentd" } },
                "template": {
                    "metadata": { "labels": { "app": "environmentd" } },
                    "spec": {
                        "nodeSelector": { "lab": self.namespace },
                        "securityContext": { "runAsNonRoot": true, "runAsUser": 1, "seccompProfile": { "type": "RuntimeDefault" } },
                        "containers": [{ "name": "main", "image": "lab/environmentd", "securityContext": {
                            "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
                        } }],
                    },
                },
            },
        }))
        .unwrap();
        self.api::<StatefulSet>().create(&PostParams::default(), &set).await.unwrap();
        let pods = self.api::<Pod>();
        eventually("environmentd's pod", async || pods.get_opt("environmentd-0").await.unwrap().is_some()).await;
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn config(&self) -> KubernetesConfig {
        KubernetesConfig {
            context: None,
            namespace: None,
            own_pod: Some("environmentd-0".to_owned()),
            environment_id: "e1".to_owned(),
            name_prefix: String::new(),
            label_domain: LABEL_DOMAIN.to_owned(),
            service_labels: [("example.com/environment".to_owned(), "lab".to_owned())].into(),
            image_pull_policy: ImagePullPolicy::IfNotPresent,
            image_pull_secrets: Vec::new(),
            service_account: None,
            environment_secrets: Vec::new(),
            node_selector: [("lab".to_owned(), self.namespace.clone())].into(),
            tolerations: Vec::new(),
            availability_zones: Vec::new(),
            placement: Placement::Required,
            ephemeral_volume_class: Some("scratch".to_owned()),
            cluster_domain: "cluster.local".to_owned(),
        }
    }

    async fn orchestrator(&self) -> KubernetesOrchestrator {
        self.orchestrator_with(self.client.clone()).await
    }

    async fn orchestrator_with(&self, client: Client) -> KubernetesOrchestrator {
        let made = KubernetesOrchestrator::with_client(Tasks::tokio(), client, &self.namespace, self.config()).await;
        made.unwrap().certified(self.issuer.clone())
    }

    fn secrets_with(&self, client: Client) -> Secrets {
        let secrets = KubernetesSecrets::with_client(Tasks::tokio(), client, &self.namespace, &self.config());
        Secrets::of(secrets.unwrap())
    }

    /// Names of all objects of a kind that carry our labels.
    async fn names<K>(&self) -> BTreeSet<String>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        let params = ListParams::default().labels(&format!("{LABEL_DOMAIN}/namespace"));
        self.api::<K>().list(&params).await.unwrap().items.iter().map(ResourceExt::name_any).collect()
    }
}

fn service(processes: usize) -> ServiceConfig {
    conformance::sleeper("lab/clusterd:1", &["--verbose"], processes)
}

async fn event(events: &mut BoxStream<'static, ServiceEvent>, wanted: impl Fn(&ServiceEvent) -> bool) -> ServiceEvent {
    let wait = async {
        loop {
            let event = events.next().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    };
    Tasks::tokio().timeout(TIMEOUT, wait).await.expect("the event did not come in time")
}

/// Waits until a service is refused; why.
async fn refusal(events: &mut BoxStream<'static, ServiceEvent>) -> String {
    let refused =
        event(events, |event| matches!(event.status, ProcessStatus::Offline(OfflineReason::Refused(_)))).await;
    match refused.status {
        ProcessStatus::Offline(OfflineReason::Refused(why)) => why,
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn pods_conform() {
    let environment = Environment::start("conformance").await;
    let orchestrator = environment.orchestrator().await;
    conformance::check(&orchestrator, service).await;
    let nothing = BTreeSet::new();
    eventually("no pod of ours is left", async || environment.names::<Pod>().await == nothing).await;
    eventually("no budget of ours is left", async || environment.names::<PodDisruptionBudget>().await == nothing).await;
    assert_eq!(environment.names::<Service>().await, nothing);
    assert_eq!(environment.names::<StatefulSet>().await, nothing);
}

fn labels(id: &str, scale: usize) -> BTreeMap<String, String> {
    let own = |name: &str, value: &str| (format!("{LABEL_DOMAIN}/{name}"), value.to_owned());
    let given = |name: &str, value: &str| (format!("compute.{LABEL_DOMAIN}/{name}"), value.to_owned());
    BTreeMap::from([
        own("namespace", "compute"),
        own("service-id", id),
        own("environment-id", "e1"),
        own("port-control", "true"),
        own("port-mesh", "true"),
        given("cluster-id", "u1"),
        given("scale", &scale.to_string()),
        ("example.com/environment".to_owned(), "lab".to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), "environmentd".to_owned()),
        ("app.kubernetes.io/part-of".to_owned(), "freshet".to_owned()),
    ])
}

#[tokio::test]
async fn objects_are_as_specified_and_go_with_their_owner() {
    let environment = Environment::start("objects").await;
    let orchestrator = environment.orchestrator().await;
    let compute = orchestrator.namespace("compute");
    let mut events = compute.watch_services();
    compute.ensure_service("cluster-0", service(1)).unwrap();
    compute.ensure_service("cluster-1", service(1)).unwrap();
    for id in ["cluster-0", "cluster-1"] {
        event(&mut events, |event| event.service_id == id && event.status == ProcessStatus::Online).await;
    }

    check_objects(&environment).await;
    drop((compute, orchestrator));
    check_second_start(&environment).await;

    // Nothing outlives environmentd.
    environment.api::<StatefulSet>().delete("environmentd", &DeleteParams::background()).await.unwrap();
    let nothing = BTreeSet::new();
    eventually("the garbage collector has taken all", async || {
        environment.names::<StatefulSet>().await == nothing
            && environment.names::<Service>().await == nothing
            && environment.names::<PodDisruptionBudget>().await == nothing
            && environment.names::<Pod>().await == nothing
    })
    .await;
}

/// Two services that stand in for each other, to the letter of the contract.
async fn check_objects(environment: &Environment) {
    let owner = environment.api::<StatefulSet>().get("environmentd").await.unwrap().uid().unwrap();
    let made = environment.api::<Service>().get("compute-cluster-0").await.unwrap();
    assert_eq!(*made.labels(), labels("cluster-0", 1));
    assert_eq!(made.owner_references()[0].uid, owner);
    let spec = made.spec.unwrap();
    assert_eq!(spec.cluster_ip.as_deref(), Some("None"));
    let ports: Vec<(String, i32)> =
        spec.ports.unwrap().into_iter().map(|port| (port.name.unwrap(), port.port)).collect();
    assert_eq!(ports, [("control".to_owned(), 2101), ("mesh".to_owned(), 2102)]);

    let set = environment.api::<StatefulSet>().get("compute-cluster-0").await.unwrap();
    assert_eq!(*set.labels(), labels("cluster-0", 1));
    assert_eq!(set.owner_references()[0].uid, owner);
    let pod = environment.api::<Pod>().get("compute-cluster-0-0").await.unwrap();
    let mut pod_labels = pod.labels().clone();
    for added in ["apps.kubernetes.io/pod-index", "controller-revision-hash", "statefulset.kubernetes.io/pod-name"] {
        assert!(pod_labels.remove(added).is_some(), "{added}");
    }
    assert_eq!(pod_labels, labels("cluster-0", 1));
    let container = &pod.spec.as_ref().unwrap().containers[0];
    assert!(container.args.as_ref().unwrap().contains(&"$(POD_IP):2101".to_owned()));
    assert_eq!(pod.spec.as_ref().unwrap().automount_service_account_token, Some(false));

    // Stand-ins are on different nodes, in different zones, and are not drained together.
    let other = environment.api::<Pod>().get("compute-cluster-1-0").await.unwrap();
    assert_ne!(pod.spec.unwrap().node_name.unwrap(), other.spec.unwrap().node_name.unwrap());
    let budget_name = "compute-stand-ins-u1";
    let budgets = environment.api::<PodDisruptionBudget>();
    eventually("the budget counts both", async || {
        let status = budgets.get_opt(budget_name).await.unwrap().and_then(|budget| budget.status);
        status.is_some_and(|status| status.expected_pods == 2 && status.disruptions_allowed == 1)
    })
    .await;
    assert_eq!(budgets.get(budget_name).await.unwrap().owner_references()[0].uid, owner);
}

/// A start finds all as it is to be, and writes nothing.
async fn check_second_start(environment: &Environment) {
    let versions = async || {
        let set = environment.api::<StatefulSet>().get("compute-cluster-0").await.unwrap();
        (
            set.metadata.generation,
            environment.api::<Service>().get("compute-cluster-0").await.unwrap().resource_version(),
        )
    };
    let before = versions().await;
    let writes = || {
        let audit = environment.lab.audit().unwrap();
        let ours = audit.iter().filter(|event| event.namespace == "objects" && event.user == "kubelab-admin");
        let writes = ours
            .filter(|event| ["services", "statefulsets", "poddisruptionbudgets"].contains(&event.resource.as_str()));
        let writes = writes.filter(|event| ["create", "patch", "delete"].contains(&event.verb.as_str()));
        writes.map(|event| format!("{} {} {}", event.verb, event.resource, event.code)).collect::<Vec<String>>()
    };
    let written = writes();
    let faults = Faults::default();
    let counted = faults.client(environment.client.clone(), "objects", usize::MAX, Fate::NotSent);
    let orchestrator = environment.orchestrator_with(counted).await;
    let compute = orchestrator.namespace("compute");
    compute.ensure_service("cluster-0", service(1)).unwrap();
    compute.ensure_service("cluster-1", service(1)).unwrap();
    // Our own pod; three reads for each service; the watch's list; the budgets.
    eventually("all was looked at", async || faults.calls() >= 9).await;
    assert_eq!(versions().await, before);
    assert_eq!(writes(), written);
}

/// Does what an environmentd does that has just started: ensures what is to be, drops what else there is.
async fn boot(orchestrator: &KubernetesOrchestrator) -> Arc<dyn NamespacedOrchestrator> {
    let compute = orchestrator.namespace("compute");
    let mut larger = service(1);
    larger.memory_limit_bytes = Some(128 << 20);
    let wanted = [("cluster-1", larger), ("cluster-2", service(2))];
    for (id, config) in &wanted {
        compute.ensure_service(id, config.clone()).unwrap();
    }
    if let Ok(listed) = compute.list_services().await {
        for id in listed.iter().filter(|id| wanted.iter().all(|(wanted, _)| wanted != id)) {
            compute.drop_service(id);
        }
    }
    compute
}

async fn is_as_booted(environment: &Environment) -> bool {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    let services = set(&["compute-cluster-1", "compute-cluster-2"]);
    if environment.names::<Service>().await != services || environment.names::<StatefulSet>().await != services {
        return false;
    }
    if environment.names::<Secret>().await != services {
        return false;
    }
    if environment.names::<PodDisruptionBudget>().await != set(&["compute-stand-ins-u1"]) {
        return false;
    }
    let params = ListParams::default().labels(&format!("{LABEL_DOMAIN}/namespace"));
    let pods = environment.api::<Pod>().list(&params).await.unwrap().items;
    let names: BTreeSet<String> = pods.iter().map(ResourceExt::name_any).collect();
    let memory = |pod: &Pod| {
        serde_json::to_value(pod).unwrap()["spec"]["containers"][0]["resources"]["limits"]["memory"].clone()
    };
    let right = |pod: &Pod| memory(pod) == if pod.name_any() == "compute-cluster-1-0" { "128Mi" } else { "64Mi" };
    names == set(&["compute-cluster-1-0", "compute-cluster-2-0", "compute-cluster-2-1"])
        && pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_none() && right(pod))
}

#[tokio::test]
async fn whatever_call_it_dies_at_the_next_start_makes_what_is_to_be() {
    let environment = Environment::start("deaths").await;
    for fate in [Fate::NotSent, Fate::AnswerLost] {
        for dies_at in 0.. {
            // What an earlier environmentd has left: one service to be dropped, one to be changed.
            let before = environment.orchestrator().await;
            let compute = before.namespace("compute");
            for id in compute.list_services().await.unwrap() {
                compute.drop_service(&id);
            }
            let nothing = BTreeSet::new();
            eventually("all is dropped", async || environment.names::<Pod>().await == nothing).await;
            eventually("all is dropped", async || environment.names::<Service>().await == nothing).await;
            assert_eq!(environment.names::<Secret>().await, nothing, "a Service goes last");
            compute.ensure_service("cluster-0", service(1)).unwrap();
            compute.ensure_service("cluster-1", service(1)).unwrap();
            eventually("what was before", async || {
                environment.names::<Pod>().await.len() == 2
                    && environment.names::<PodDisruptionBudget>().await.len() == 1
            })
            .await;
            drop((compute, before));

            let faults = Faults::default();
            // The read of our own pod is before anything is made.
            let client = faults.client(environment.client.clone(), &environment.namespace, dies_at + 1, fate);
            let dying = environment.orchestrator_with(client).await;
            let compute = boot(&dying).await;
            let mut survived = false;
            eventually("it dies, or is done", async || {
                survived = is_as_booted(&environment).await;
                survived || faults.calls() > dies_at + 2
            })
            .await;
            drop((compute, dying));

            let orchestrator = environment.orchestrator().await;
            let _compute = boot(&orchestrator).await;
            eventually(&format!("as wanted after dying at call {dies_at}: {fate:?}"), async || {
                is_as_booted(&environment).await
            })
            .await;
            if survived && faults.calls() <= dies_at + 1 {
                assert!(dies_at > 10, "so few calls cannot have made all that");
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_is_somebody_elses_is_refused_until_it_is_gone() {
    let environment = Environment::start("foreign").await;
    let services = environment.api::<Service>();
    let theirs: Service = serde_json::from_value(json!({
        "metadata": { "name": "compute-cluster-0", "labels": { "app": "theirs" } },
        "spec": { "ports": [{ "name": "web", "port": 80 }], "selector": { "app": "theirs" } },
    }))
    .unwrap();
    let before = services.create(&PostParams::default(), &theirs).await.unwrap();
    let orchestrator = environment.orchestrator().await;
    let compute = orchestrator.namespace("compute");
    let mut events = compute.watch_services();
    compute.ensure_service("cluster-0", service(1)).unwrap();
    let why = refusal(&mut events).await;
    assert!(why.contains("Service compute-cluster-0 exists and is not this environment's"), "{why}");
    assert_eq!(services.get("compute-cluster-0").await.unwrap(), before);
    assert!(environment.names::<StatefulSet>().await.is_empty());
    services.delete("compute-cluster-0", &DeleteParams::default()).await.unwrap();
    event(&mut events, |event| event.status == ProcessStatus::Online).await;
}

#[tokio::test]
async fn what_cannot_be_placed_says_so() {
    let environment = Environment::start("unschedulable").await;
    let orchestrator = environment.orchestrator().await;
    let compute = orchestrator.namespace("compute");
    let mut events = compute.watch_services();
    let mut nowhere = service(1);
    nowhere.availability_zones = vec!["zone-of-nobody".to_owned()];
    compute.ensure_service("cluster-0", nowhere).unwrap();
    event(&mut events, |event| {
        matches!(&event.status, ProcessStatus::Offline(OfflineReason::Unschedulable(why)) if why.contains("nodes are available"))
    })
    .await;
    // A pod with a disk passes Pod Security, too.
    let mut disk = service(1);
    disk.disk_limit_bytes = Some(1 << 30);
    compute.ensure_service("cluster-1", disk).unwrap();
    let pods = environment.api::<Pod>();
    eventually("the pod is admitted", async || pods.get_opt("compute-cluster-1-0").await.unwrap().is_some()).await;
}

#[tokio::test]
async fn the_role_of_the_manifests_is_enough_and_no_more() {
    let environment = Environment::start("access").await;
    let manifest = std::fs::read_to_string(format!("{MANIFESTS}/access.yaml")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), manifest).unwrap();
    environment.lab.kubectl(&["-n", "access", "apply", "-f", file.path().to_str().unwrap()]).unwrap();
    let client = environment.lab.client_as("access", "environmentd").await.unwrap();
    let orchestrator = environment.orchestrator_with(client).await;
    conformance::check(&orchestrator, service).await;
    let stand_ins = orchestrator.namespace("compute");
    let mut events = stand_ins.watch_services();
    stand_ins.ensure_service("cluster-1", service(1)).unwrap();
    stand_ins.ensure_service("cluster-2", service(1)).unwrap();
    event(&mut events, |event| event.service_id == "cluster-2" && event.status == ProcessStatus::Online).await;
    let budgets = environment.api::<PodDisruptionBudget>();
    eventually("the budget", async || budgets.get_opt("compute-stand-ins-u1").await.unwrap().is_some()).await;
    // Other stand-ins, so that the budget changes, and none, so that it goes.
    let mut grown = service(2);
    grown.memory_limit_bytes = None;
    stand_ins.ensure_service("cluster-1", grown.clone()).unwrap();
    stand_ins.ensure_service("cluster-2", grown).unwrap();
    stand_ins.drop_service("cluster-1");
    stand_ins.drop_service("cluster-2");
    eventually("no budget", async || budgets.get_opt("compute-stand-ins-u1").await.unwrap().is_none()).await;

    let client = environment.lab.client_as("access", "environmentd").await.unwrap();
    secrets_conformance::check(async || environment.secrets_with(client.clone())).await;

    let audit = environment.lab.audit().unwrap();
    let ours: Vec<_> = audit.iter().filter(|event| event.user == "system:serviceaccount:access:environmentd").collect();
    let denied: Vec<_> = ours.iter().filter(|event| event.code == 403).collect();
    assert!(denied.is_empty(), "{denied:?}");
    let mut used: BTreeSet<(String, String, String)> =
        ours.iter().map(|event| (event.group.clone(), event.resource.clone(), event.verb.clone())).collect();
    // Applying what is not there needs the right to create, which the audit log does not tell.
    for (group, resource, verb) in used.clone() {
        if verb == "patch" {
            used.insert((group, resource, "create".to_owned()));
        }
    }
    let role = environment.api::<Role>().get("environmentd").await.unwrap();
    let mut granted = BTreeSet::new();
    for rule in role.rules.unwrap() {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                granted.extend(rule.verbs.iter().map(|verb| (group.clone(), resource.clone(), verb.clone())));
            }
        }
    }
    assert_eq!(used, granted);
    // clusterd's account may do nothing at all.
    for verb in ["get", "list", "create", "patch", "delete"] {
        let answer = environment.lab.kubectl(&[
            "-n",
            "access",
            "auth",
            "can-i",
            verb,
            "pods",
            "--as=system:serviceaccount:access:clusterd",
        ]);
        assert!(answer.unwrap_err().to_string().contains("no"), "{verb}");
    }
}

#[tokio::test]
async fn secrets_conform_and_outlive_environmentd() {
    let environment = Environment::start("secrets").await;
    secrets_conformance::check(async || environment.secrets_with(environment.client.clone())).await;
    let secrets = environment.secrets_with(environment.client.clone());
    let name = SecretName::new("user-u1").unwrap();
    secrets.controller.ensure(&name, Redacted::new(b"hunter2".to_vec())).await.unwrap();
    let object = environment.api::<Secret>().get("secret-user-u1").await.unwrap();
    assert!(object.metadata.owner_references.is_none());
    let manager = &object.metadata.managed_fields.unwrap()[0];
    assert_eq!((manager.manager.as_deref(), manager.operation.as_deref()), (Some("environmentd"), Some("Apply")));

    // One of somebody else is refused, and stays as it is.
    let foreign: Secret = serde_json::from_value(
        json!({ "metadata": { "name": "secret-user-u2" }, "stringData": { "contents": "theirs" } }),
    )
    .unwrap();
    environment.api::<Secret>().create(&PostParams::default(), &foreign).await.unwrap();
    let name = SecretName::new("user-u2").unwrap();
    let refused = secrets.controller.ensure(&name, Redacted::new(b"hunter2".to_vec())).await.unwrap_err();
    assert!(refused.to_string().contains("is not this environment's"), "{refused}");
    let foreign = environment.api::<Secret>().get("secret-user-u2").await.unwrap();
    assert_eq!(foreign.data.unwrap()["contents"].0, b"theirs");
}

#[tokio::test]
async fn without_a_right_the_missing_rule_is_named() {
    let environment = Environment::start("forbidden").await;
    let rights = ["--verb=get,list,watch,patch", "--resource=pods,secrets,services,statefulsets.apps"];
    let binding = ["--role=poor", "--serviceaccount=forbidden:poor"];
    for (kind, flags) in [("serviceaccount", &[][..]), ("role", &rights[..]), ("rolebinding", &binding[..])] {
        let create = [&["-n", "forbidden", "create", kind, "poor"][..], flags].concat();
        environment.lab.kubectl(&create).unwrap();
    }
    let client = environment.lab.client_as("forbidden", "poor").await.unwrap();
    let orchestrator = environment.orchestrator_with(client).await;
    let compute = orchestrator.namespace("compute");
    let mut events = compute.watch_services();
    compute.ensure_service("cluster-0", service(1)).unwrap();
    let why = refusal(&mut events).await;
    assert!(why.contains("may not create services in namespace forbidden"), "{why}");
    assert!(why.contains("{apiGroups: [\"\"], resources: [\"services\"], verbs: [\"create\"]}"), "{why}");
}

#[tokio::test]
async fn the_manifests_are_accepted() {
    let lab = lab().await;
    // A dry run makes no namespace for what is to be in it.
    lab.kubectl(&["apply", "-f", &format!("{MANIFESTS}/namespace.yaml")]).unwrap();
    let accepted = lab.kubectl(&["apply", "--dry-run=server", "-k", MANIFESTS]).unwrap();
    assert!(!accepted.contains("Warning"), "{accepted}");
    assert!(accepted.contains("statefulset.apps/environmentd created (server dry run)"), "{accepted}");
    let client = lab.client().await.unwrap();
    // What the controller makes of it passes Pod Security.
    lab.kubectl(&["apply", "-k", MANIFESTS]).unwrap();
    let pods: Api<Pod> = Api::namespaced(client, "freshet");
    eventually("environmentd's pod is admitted", async || pods.get_opt("environmentd-0").await.unwrap().is_some())
        .await;
    let pod: Value = serde_json::to_value(pods.get("environmentd-0").await.unwrap()).unwrap();
    assert_eq!(pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
}
