//! An environment as the manifests make it, on a control plane and a kubelet of its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_test::{Kubelet, Lab, eventually};
use kube::api::{Api, ListParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, ResourceExt};
use rustix::process::{Pid, Signal, kill_process};
use system_test::server::{bin_dir, rows};
use tokio_postgres::NoTls;

pub const NAMESPACE: &str = "freshet";

const DOMAIN: &str = "environmentd.materialize.cloud";
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../misc/kubernetes");

/// A read that takes longer than this counts as failed.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Rows of the table that is read all the time.
const KEPT: usize = 100;

pub struct Environment {
    pub kubelet: Kubelet,
    pub client: Client,
    lab: Lab,
}

/// What a test asks about a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodFacts {
    pub name: String,
    pub uid: String,
    pub node: String,
    pub address: String,
    pub ready: bool,
    pub restarts: i32,
    /// Somebody wants it gone.
    pub deleted: bool,
    pub last_exit: Option<i32>,
}

impl Environment {
    /// Applies the manifests as they are, with the Secrets that their README asks for, and waits until environmentd is ready.
    pub async fn start() -> Environment {
        let lab = Lab::start().await.unwrap();
        let client = lab.client().await.unwrap();
        let programs = ["environmentd", "clusterd"].map(|name| bin_dir().join(name));
        let images: [(&str, &Path); 2] =
            [("freshet/environmentd:latest", &programs[0]), ("freshet/clusterd:latest", &programs[1])];
        let kubelet = Kubelet::start(&lab, "node", 4, &images).await.unwrap();
        lab.kubectl(&["apply", "-f", &format!("{MANIFESTS}/namespace.yaml")]).unwrap();
        let url = format!("FRESHET_BLOB_URL={}", blob_url(&lab, "pods"));
        let credentials = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]
            .map(|name| format!("{name}={}", variable(name)));
        create_secret(&lab, "freshet-stores", &[url]);
        create_secret(&lab, "freshet-blob-credentials", &credentials);
        let environment = Environment { kubelet, client, lab };
        environment.apply_manifests();
        environment.wait_pod("environmentd-0", "ready", |pod| pod.ready).await;
        environment
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub fn apply_manifests(&self) {
        self.lab.kubectl(&["apply", "-k", MANIFESTS]).unwrap();
    }

    /// A place on the S3 server that no other environment uses.
    pub fn blob_url(&self, what: &str) -> String {
        blob_url(&self.lab, what)
    }

    /// Runs kubectl in the environment's namespace.
    pub fn kubectl(&self, args: &[&str]) {
        self.lab.kubectl(&[&["-n", NAMESPACE][..], args].concat()).unwrap();
    }

    /// A session with environmentd.
    pub async fn connect(&self) -> tokio_postgres::Client {
        self.wait_pod("environmentd-0", "ready", |pod| pod.ready).await;
        let address = self.pod("environmentd-0").await.address;
        let config = format!("host={address} port=6875 user=materialize dbname=materialize");
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Objects of a kind that environmentd has made, by their labels.
    async fn made<K>(&self, service_id: Option<&str>) -> Vec<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        let selector = match service_id {
            Some(id) => format!("{DOMAIN}/namespace=compute,{DOMAIN}/service-id={id}"),
            None => format!("{DOMAIN}/namespace=compute"),
        };
        self.api::<K>().list(&ListParams::default().labels(&selector)).await.unwrap().items
    }

    pub async fn names<K>(&self) -> BTreeSet<String>
    where
        K: kube::Resource<Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        self.made::<K>(None).await.iter().map(ResourceExt::name_any).collect()
    }

    /// The ids of all services of replicas.
    pub async fn services(&self) -> BTreeSet<String> {
        let id = |service: &Service| service.labels()[&format!("{DOMAIN}/service-id")].clone();
        self.made::<Service>(None).await.iter().map(id).collect()
    }

    pub async fn service(&self, id: &str) -> Service {
        self.made::<Service>(Some(id)).await.pop().unwrap()
    }

    /// The pods of a service, in order.
    pub async fn pods_of(&self, id: &str) -> Vec<Pod> {
        let mut pods = self.made::<Pod>(Some(id)).await;
        pods.sort_by_key(ResourceExt::name_any);
        pods
    }

    /// The pods of all replicas, as far as a restart would show, and their processes.
    pub async fn workers(&self) -> BTreeSet<(String, String, i32, Option<u32>)> {
        let pods = self.made::<Pod>(None).await;
        let facts = pods.iter().map(facts);
        facts.map(|pod| (pod.name.clone(), pod.uid, pod.restarts, self.kubelet.pid(NAMESPACE, &pod.name))).collect()
    }

    pub async fn pod(&self, name: &str) -> PodFacts {
        facts(&self.api::<Pod>().get(name).await.unwrap())
    }

    /// Waits until a pod of this name is as described.
    pub async fn wait_pod(&self, name: &str, what: &str, is_so: impl Fn(&PodFacts) -> bool) {
        let pods = self.api::<Pod>();
        eventually(&format!("pod {name} is {what}"), async || {
            pods.get_opt(name).await.unwrap().is_some_and(|pod| is_so(&facts(&pod)))
        })
        .await;
    }

    /// Sends a signal to a pod's process, past the kubelet.
    pub fn signal(&self, pod: &str, signal: Signal) {
        let pid = self.kubelet.pid(NAMESPACE, pod).and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Fills a table, keeps an index of it in the cluster, and reads that until it is told to stop.
    pub async fn read_all_the_time(&self, sql: &tokio_postgres::Client, cluster: &str) -> Reader {
        sql.batch_execute("CREATE TABLE kept (n int NOT NULL)").await.unwrap();
        sql.batch_execute(&format!("INSERT INTO kept SELECT * FROM generate_series(1, {KEPT})")).await.unwrap();
        sql.batch_execute(&format!("CREATE INDEX kept_n IN CLUSTER {cluster} ON kept (n)")).await.unwrap();
        let client = self.connect().await;
        client.batch_execute(&format!("SET cluster = {cluster}")).await.unwrap();
        let (count, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let task = tokio::spawn(read(client, Arc::clone(&count), Arc::clone(&stop)));
        Reader { count, stop, task }
    }

    /// Waits until each of the replicas, by itself, answers from the index.
    pub async fn wait_hydrated(&self, cluster: &str, replicas: &[&str]) {
        for replica in replicas {
            let sql = self.connect().await;
            sql.batch_execute(&format!("SET cluster = {cluster}; SET cluster_replica = {replica}")).await.unwrap();
            let read = tokio::time::timeout(k8s_test::TIMEOUT, rows(&sql, "SELECT n FROM kept WHERE n = 7"));
            read.await.unwrap_or_else(|_| panic!("replica {replica} does not answer")).unwrap();
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        eprintln!("{}", self.lab.kubectl(&["get", "pods", "-A", "-o", "wide"]).unwrap_or_default());
        eprintln!("{}", self.lab.kubectl(&["get", "events", "-A"]).unwrap_or_default());
        let log = self.kubelet.logs(NAMESPACE, "environmentd-0");
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("{}", lines[lines.len().saturating_sub(100)..].join("\n"));
    }
}

/// A variable that tells of the S3 server.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is of an S3 server"))
}

fn blob_url(lab: &Lab, what: &str) -> String {
    let (place, endpoint) = (lab.address().1, variable("FRESHET_TEST_S3"));
    format!("s3://freshet/{what}-{place}?endpoint={endpoint}&allow_http=true")
}

fn create_secret(lab: &Lab, name: &str, entries: &[String]) {
    let mut args = vec!["-n", NAMESPACE, "create", "secret", "generic", name];
    let entries: Vec<String> = entries.iter().map(|entry| format!("--from-literal={entry}")).collect();
    args.extend(entries.iter().map(String::as_str));
    lab.kubectl(&args).unwrap();
}

fn facts(pod: &Pod) -> PodFacts {
    let status = pod.status.clone().unwrap_or_default();
    let container = status.container_statuses.unwrap_or_default().pop();
    let last = container.as_ref().and_then(|container| container.last_state.as_ref()?.terminated.as_ref());
    let conditions = status.conditions.unwrap_or_default();
    PodFacts {
        name: pod.name_any(),
        uid: pod.uid().unwrap(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
        address: status.pod_ip.unwrap_or_default(),
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        restarts: container.as_ref().map_or(0, |container| container.restart_count),
        deleted: pod.metadata.deletion_timestamp.is_some(),
        last_exit: last.map(|terminated| terminated.exit_code),
    }
}

/// The only column of a query's answer.
pub async fn answer(sql: &tokio_postgres::Client, query: &str) -> Vec<String> {
    let rows = rows(sql, query).await.unwrap();
    rows.into_iter().map(|row| row[0].clone().unwrap_or_default()).collect()
}

/// Reads that go on beside a test, none of which may fail.
pub struct Reader {
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<(), String>>,
}

impl Reader {
    /// How many reads were answered.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Panics: a read has failed.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap().unwrap();
        assert!(self.count.load(Ordering::SeqCst) > 10, "hardly anything was read");
    }
}

/// Reads by the index alone and through a dataflow, in turns.
async fn read(sql: tokio_postgres::Client, count: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> Result<(), String> {
    while !stop.load(Ordering::SeqCst) {
        for (query, expected) in [("SELECT n FROM kept WHERE n = 7", 7), ("SELECT count(*) FROM kept", KEPT)] {
            let read = tokio::time::timeout(READ_TIMEOUT, rows(&sql, query));
            let answer = read.await.map_err(|_| format!("{query}: no answer"))?;
            let answer = answer.map_err(|error| format!("{query}: {error:#}"))?;
            if answer != [[Some(expected.to_string())]] {
                return Err(format!("{query}: {answer:?}"));
            }
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
    Ok(())
}
