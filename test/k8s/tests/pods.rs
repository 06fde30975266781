//! An environment in pods that really run: environmentd and clusterd as the manifests and environmentd itself make them.
//!
//! Several threads, so that the kubelet goes on while a test waits for kubectl.

mod environment;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use environment::{Environment, NAMESPACE, PodFacts, answer};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod, ResourceQuota, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_test::{Kubelet, Lab, eventually};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use rustix::process::Signal;
use serde_json::json;
use system_test::server::{bin_dir, send_signal};

const DOMAIN: &str = "environmentd.materialize.cloud";

/// The view of the README's tour, and what it is after the tour's changes.
const VIEW: &str = "CREATE MATERIALIZED VIEW totals AS
    SELECT customer, count(*) AS n, sum(amount) AS total FROM orders GROUP BY customer";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_runs_in_pods_whose_objects_are_as_specified() {
    let environment = Environment::start().await;
    let sql = environment.connect().await;
    sql.batch_execute("CREATE TABLE orders (customer text NOT NULL, amount numeric(10, 2) NOT NULL)").await.unwrap();
    sql.batch_execute(VIEW).await.unwrap();
    sql.batch_execute("INSERT INTO orders VALUES ('ada', 10), ('ada', 2.50), ('grace', 7)").await.unwrap();
    let totals = "SELECT customer || ' ' || n || ' ' || total FROM totals ORDER BY customer";
    assert_eq!(answer(&sql, totals).await, ["ada 2 12.5", "grace 1 7"]);
    sql.batch_execute("UPDATE orders SET amount = 100 WHERE customer = 'grace'").await.unwrap();
    assert_eq!(answer(&sql, totals).await, ["ada 2 12.5", "grace 1 100"]);

    assert_eq!(environment.services().await, ids(&["cluster-0"]));
    sql.batch_execute("CREATE CLUSTER pair (SIZE '1x2', REPLICATION FACTOR 2)").await.unwrap();
    sql.batch_execute("CREATE INDEX totals_of IN CLUSTER pair ON totals (customer)").await.unwrap();
    for replica in ["r1", "r2"] {
        let sql = environment.connect().await;
        sql.batch_execute(&format!("SET cluster = pair; SET cluster_replica = {replica}")).await.unwrap();
        assert_eq!(answer(&sql, totals).await, ["ada 2 12.5", "grace 1 100"]);
    }
    assert_eq!(environment.services().await, ids(&["cluster-0", "cluster-1", "cluster-2"]));
    check_objects(&environment).await;

    // Whatever is made anew has another name.
    sql.batch_execute("DROP CLUSTER pair CASCADE").await.unwrap();
    eventually("nothing is left of the cluster", async || {
        environment.services().await == ids(&["cluster-0"])
            && environment.names::<StatefulSet>().await.len() == 1
            && environment.names::<Pod>().await.len() == 1
            && environment.names::<PodDisruptionBudget>().await.is_empty()
    })
    .await;
    sql.batch_execute("CREATE CLUSTER pair (SIZE '1', REPLICATION FACTOR 2)").await.unwrap();
    eventually("ids that nobody had", async || {
        environment.services().await == ids(&["cluster-0", "cluster-3", "cluster-4"])
    })
    .await;
    drop(sql);
    check_end(&environment).await;
}

fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// The objects of a replica of two processes, to the letter.
async fn check_objects(environment: &Environment) {
    let owner = environment.api::<StatefulSet>().get("environmentd").await.unwrap().uid().unwrap();
    let service = environment.service("cluster-1").await;
    let own = |name: &str, value: &str| (format!("{DOMAIN}/{name}"), value.to_owned());
    let given = |name: &str, value: &str| (format!("compute.{DOMAIN}/{name}"), value.to_owned());
    let environment_id = service.labels()[&format!("{DOMAIN}/environment-id")].clone();
    let numbers = ["cluster-id", "replica-id"].map(|key| service.labels()[&format!("compute.{DOMAIN}/{key}")].clone());
    let labels = BTreeMap::from([
        own("namespace", "compute"),
        own("service-id", "cluster-1"),
        own("environment-id", &environment_id),
        own("port-storagectl", "true"),
        own("port-computectl", "true"),
        own("port-timely", "true"),
        own("port-internal-http", "true"),
        given("cluster-id", &numbers[0]),
        given("replica-id", &numbers[1]),
        given("generation", "0"),
        given("workers", "1"),
        given("scale", "2"),
        ("app.kubernetes.io/managed-by".to_owned(), "environmentd".to_owned()),
        ("app.kubernetes.io/part-of".to_owned(), "freshet".to_owned()),
    ]);
    assert_eq!(*service.labels(), labels);
    assert_eq!(service.owner_references()[0].uid, owner);
    let spec = service.spec.as_ref().unwrap();
    assert_eq!(spec.cluster_ip.as_deref(), Some("None"));
    let ports: BTreeMap<&str, i32> =
        spec.ports.iter().flatten().map(|port| (port.name.as_deref().unwrap(), port.port)).collect();
    assert_eq!(
        ports,
        BTreeMap::from([("storagectl", 2100), ("computectl", 2101), ("timely", 2102), ("internal-http", 6878)])
    );

    let set = environment.api::<StatefulSet>().get(&service.name_any()).await.unwrap();
    assert_eq!(set.owner_references()[0].uid, owner);
    assert_eq!(set.labels(), service.labels());
    let pods = environment.pods_of("cluster-1").await;
    assert_eq!(pods.len(), 2);
    for pod in pods {
        for (key, value) in &labels {
            assert_eq!(pod.labels().get(key), Some(value), "{key}");
        }
        assert_eq!(pod.owner_references()[0].uid, set.uid().unwrap());
        let spec = pod.spec.unwrap();
        assert_eq!(spec.service_account_name.as_deref(), Some("clusterd"));
        assert!(spec.volumes.iter().flatten().all(|volume| volume.projected.is_none()), "clusterd gets no token");
    }
    eventually("one budget protects both replicas", async || {
        environment.names::<PodDisruptionBudget>().await.len() == 1
    })
    .await;
}

/// environmentd's StatefulSet takes the replicas with it; the namespace, the rest.
async fn check_end(environment: &Environment) {
    environment.api::<StatefulSet>().delete("environmentd", &DeleteParams::background()).await.unwrap();
    eventually("the garbage collector has taken all that environmentd made", async || {
        environment.names::<StatefulSet>().await.is_empty()
            && environment.names::<Service>().await.is_empty()
            && environment.names::<PodDisruptionBudget>().await.is_empty()
            && environment.api::<Pod>().list(&Default::default()).await.unwrap().items.is_empty()
    })
    .await;
    // The data is still there until the environment goes.
    assert_eq!(environment.api::<PersistentVolumeClaim>().list(&Default::default()).await.unwrap().items.len(), 1);
    let namespaces: Api<Namespace> = Api::all(environment.client.clone());
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await.unwrap();
    eventually("the namespace is gone", async || namespaces.get_opt(NAMESPACE).await.unwrap().is_none()).await;
    eventually("no process is left", async || environment.kubelet.processes().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_while_processes_die_and_replicas_change() {
    let environment = Environment::start().await;
    let sql = environment.connect().await;
    sql.batch_execute("CREATE CLUSTER pair REPLICAS (r1 (SIZE '1x2'), r2 (SIZE '1x2'))").await.unwrap();
    let reader = environment.read_all_the_time(&sql, "pair").await;
    environment.wait_hydrated("pair", &["r1", "r2"]).await;

    // One process of two dies: both of the replica meet again.
    let first = environment.pods_of("cluster-1").await;
    environment.signal(&first[1].name_any(), Signal::KILL);
    for pod in &first {
        environment
            .wait_pod(&pod.name_any(), "restarted and ready", |now| {
                now.uid == pod.uid().unwrap() && now.restarts > 0 && now.ready
            })
            .await;
    }
    environment.wait_hydrated("pair", &["r1"]).await;
    // 128 + 9: it is told how the process ended.
    assert_eq!(environment.pod(&first[1].name_any()).await.last_exit, Some(137));

    // A pod is deleted: another one takes its place, at another address.
    let second = environment.pods_of("cluster-2").await;
    let victim = environment.pod(&second[0].name_any()).await;
    environment.api::<Pod>().delete(&second[0].name_any(), &DeleteParams::default()).await.unwrap();
    environment.wait_pod(&second[0].name_any(), "made anew", |now| now.uid != victim.uid && now.ready).await;
    assert_ne!(environment.pod(&second[0].name_any()).await.address, victim.address);
    environment.wait_hydrated("pair", &["r2"]).await;

    // One that hangs without ending holds nobody up.
    let frozen = environment.pods_of("cluster-2").await[1].name_any();
    environment.signal(&frozen, Signal::STOP);
    let answers = reader.count();
    eventually("reads go on", async || reader.count() > answers + 5).await;
    environment.signal(&frozen, Signal::CONT);
    environment.wait_hydrated("pair", &["r2"]).await;

    // Another size: the new replicas are there before the old ones go.
    sql.batch_execute("ALTER CLUSTER pair SET (MANAGED)").await.unwrap();
    let resize = "ALTER CLUSTER pair SET (SIZE '2x2') WITH (WAIT UNTIL READY (TIMEOUT '5m', ON TIMEOUT ROLLBACK))";
    sql.batch_execute(resize).await.unwrap();
    let replicas = "SELECT r.name || ' ' || r.size FROM mz_cluster_replicas r \
        JOIN mz_clusters c ON c.id = r.cluster_id WHERE c.name = 'pair' ORDER BY r.name";
    assert_eq!(answer(&sql, replicas).await, ["r3 2x2", "r4 2x2"]);
    eventually("the old replicas are gone", async || {
        environment.services().await == ids(&["cluster-0", "cluster-3", "cluster-4"])
            && environment.pods_of("cluster-1").await.is_empty()
            && environment.pods_of("cluster-2").await.is_empty()
    })
    .await;
    let pods = environment.pods_of("cluster-3").await;
    assert_eq!(pods[0].labels()[&format!("compute.{DOMAIN}/workers")], "2");
    environment.wait_hydrated("pair", &["r3", "r4"]).await;
    reader.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_node_is_survived_and_comes_back() {
    let environment = Environment::start().await;
    let sql = environment.connect().await;
    sql.batch_execute("CREATE CLUSTER pair (SIZE '1', REPLICATION FACTOR 2)").await.unwrap();
    let reader = environment.read_all_the_time(&sql, "pair").await;
    environment.wait_hydrated("pair", &["r1", "r2"]).await;
    let environmentd = environment.pod("environmentd-0").await.node;
    let mut pods = Vec::new();
    for (replica, service) in [("r1", "cluster-1"), ("r2", "cluster-2")] {
        let name = environment.pods_of(service).await[0].name_any();
        pods.push((replica, environment.pod(&name).await));
    }
    assert_ne!(pods[0].1.node, pods[1].1.node, "stand-ins are on different nodes");
    let (replica, lost) = pods.into_iter().find(|(_, pod)| pod.node != environmentd).unwrap();

    // For a moment: the pod is still bound to the node, and its container is started again.
    let pid = environment.kubelet.pid(NAMESPACE, &lost.name).unwrap();
    environment.kubelet.lose(&lost.node);
    eventually("its process is dead", async || !environment.kubelet.processes().contains(&pid)).await;
    environment.kubelet.restore(&lost.node);
    let restarted = |now: &PodFacts| now.uid == lost.uid && now.restarts == 1 && now.ready;
    environment.wait_pod(&lost.name, "restarted in place", restarted).await;
    environment.wait_hydrated("pair", &[replica]).await;

    // For good, as the cluster sees it: the pod is evicted, and another one made once the node can say that it is gone.
    environment.kubelet.lose(&lost.node);
    environment.wait_pod(&lost.name, "evicted", |now| now.uid == lost.uid && now.deleted).await;
    let answers = reader.count();
    eventually("reads go on", async || reader.count() > answers + 5).await;
    environment.kubelet.restore(&lost.node);
    environment.wait_pod(&lost.name, "made anew", |now| now.uid != lost.uid && now.ready).await;
    environment.wait_hydrated("pair", &[replica]).await;
    reader.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_cut_off_does_no_harm_when_it_is_back() {
    let environment = Environment::start().await;
    let sql = environment.connect().await;
    sql.batch_execute("CREATE CLUSTER pair (SIZE '1', REPLICATION FACTOR 2)").await.unwrap();
    let reader = environment.read_all_the_time(&sql, "pair").await;
    sql.batch_execute("CREATE TABLE numbers (n bigint NOT NULL)").await.unwrap();
    let sums = "CREATE MATERIALIZED VIEW sums IN CLUSTER pair AS SELECT count(*) AS c, sum(n) AS s FROM numbers";
    sql.batch_execute(sums).await.unwrap();
    environment.wait_hydrated("pair", &["r1", "r2"]).await;
    let environmentd = environment.pod("environmentd-0").await.node;
    let mut pods = Vec::new();
    for (replica, service) in [("r1", "cluster-1"), ("r2", "cluster-2")] {
        pods.push((replica, environment.pod(&environment.pods_of(service).await[0].name_any()).await));
    }
    let (replica, lost) = pods.into_iter().find(|(_, pod)| pod.node != environmentd).unwrap();

    // Its processes live, but nobody hears of them, and they do not answer.
    let pid = environment.kubelet.pid(NAMESPACE, &lost.name).unwrap();
    environment.signal(&lost.name, Signal::STOP);
    environment.kubelet.cut_off(&lost.node);
    environment.wait_pod(&lost.name, "evicted", |now| now.uid == lost.uid && now.deleted).await;
    let answers = reader.count();
    eventually("reads go on", async || reader.count() > answers + 5).await;
    sql.batch_execute("INSERT INTO numbers SELECT * FROM generate_series(1, 1000)").await.unwrap();
    assert_eq!(answer(&sql, "SELECT c || ' ' || s FROM sums").await, ["1000 500500"]);

    // An operator gives the pod up: another one of its name runs elsewhere, while the first may be alive.
    environment.kubectl(&["delete", "pod", &lost.name, "--force", "--grace-period=0"]);
    let elsewhere = |now: &PodFacts| now.uid != lost.uid && now.node != lost.node && now.ready;
    environment.wait_pod(&lost.name, "made anew elsewhere", elsewhere).await;
    environment.wait_hydrated("pair", &[replica]).await;

    // The former process goes on from where it was, with a view to write and no controller.
    send_signal(pid, Signal::CONT);
    for n in 1001..=1020 {
        sql.batch_execute(&format!("INSERT INTO numbers VALUES ({n})")).await.unwrap();
        let sum = n * (n + 1) / 2;
        assert_eq!(answer(&sql, "SELECT c || ' ' || s FROM sums").await, [format!("{n} {sum}")]);
    }
    environment.wait_hydrated("pair", &[replica]).await;
    environment.kubelet.restore(&lost.node);
    eventually("the former process is stopped", async || !Path::new(&format!("/proc/{pid}")).exists()).await;
    assert_eq!(answer(&sql, "SELECT c || ' ' || s FROM sums").await, ["1020 520710"]);
    reader.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_replica_from_running_is_told_in_sql() {
    let environment = Environment::start().await;
    let sql = environment.connect().await;
    sql.batch_execute("CREATE CLUSTER one (SIZE '1')").await.unwrap();
    let begun = told(&sql, "statuses", "one").await;
    assert!(matches!(&begun[..], [said] if said == "offline initializing" || said == "online "), "{begun:?}");
    wait_told(&sql, "statuses", "one", |said| said == "online ").await;

    let pod = environment.pods_of("cluster-1").await[0].name_any();
    environment.kubelet.kill_for_memory(NAMESPACE, &pod);
    wait_told(&sql, "status_history", "one", |said| said == "offline oom-killed").await;
    wait_told(&sql, "statuses", "one", |said| said == "online ").await;

    let image = "freshet/clusterd:latest";
    let program = environment.kubelet.lose_image(image);
    sql.batch_execute("CREATE CLUSTER without_image (SIZE '1')").await.unwrap();
    let missing = format!("offline image-pull: there is no image {image}");
    wait_told(&sql, "statuses", "without_image", |said| said == missing).await;
    environment.kubelet.restore_image(image, program);
    wait_told(&sql, "statuses", "without_image", |said| said == "online ").await;

    let nodes = ["node-0", "node-1", "node-2", "node-3"];
    environment.kubectl(&[&["cordon"], &nodes[..]].concat());
    sql.batch_execute("CREATE CLUSTER without_node (SIZE '1')").await.unwrap();
    let nowhere = |said: &str| said.starts_with("offline unschedulable: 0/4 nodes are available");
    wait_told(&sql, "statuses", "without_node", nowhere).await;
    environment.kubectl(&[&["uncordon"], &nodes[..]].concat());
    wait_told(&sql, "statuses", "without_node", |said| said == "online ").await;

    // Fewer than there are: there may not be another one.
    environment.kubectl(&["create", "quota", "tight", "--hard=count/services=1"]);
    let quotas = environment.api::<ResourceQuota>();
    eventually("the quota is counted", async || {
        let quota = quotas.get("tight").await.unwrap();
        quota.status.and_then(|status| status.used).is_some_and(|used| !used.is_empty())
    })
    .await;
    sql.batch_execute("CREATE CLUSTER beyond_quota (SIZE '1')").await.unwrap();
    let beyond = |said: &str| said.starts_with("offline refused: ") && said.contains("exceeded quota: tight");
    wait_told(&sql, "statuses", "beyond_quota", beyond).await;
    environment.kubectl(&["delete", "quota", "tight"]);
    wait_told(&sql, "statuses", "beyond_quota", |said| said == "online ").await;

    environment.kubectl(&["delete", "rolebinding", "environmentd"]);
    sql.batch_execute("CREATE CLUSTER without_right (SIZE '1')").await.unwrap();
    let forbidden = |said: &str| said.contains(" may not ") && said.contains("in namespace freshet");
    wait_told(&sql, "statuses", "without_right", forbidden).await;
    environment.apply_manifests();
    wait_told(&sql, "statuses", "without_right", |said| said == "online ").await;
}

/// What a relation of `mz_internal` tells of the processes of a cluster: status and reason.
async fn told(sql: &tokio_postgres::Client, relation: &str, cluster: &str) -> Vec<String> {
    let query = format!(
        "SELECT s.status || ' ' || coalesce(s.reason, '') FROM mz_internal.mz_cluster_replica_{relation} s \
         JOIN mz_cluster_replicas r ON r.id = s.replica_id JOIN mz_clusters c ON c.id = r.cluster_id \
         WHERE c.name = '{cluster}'"
    );
    answer(sql, &query).await
}

async fn wait_told(sql: &tokio_postgres::Client, relation: &str, cluster: &str, is_it: impl Fn(&str) -> bool) {
    let mut last = Vec::new();
    let heard = async {
        loop {
            last = told(sql, relation, cluster).await;
            if last.iter().any(|said| is_it(said)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(k8s_test::TIMEOUT, heard).await.is_err() {
        panic!("of {cluster} only this is told: {last:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_from_outside_shows_a_certificate() {
    let environment = Environment::start().await;
    let sql = environment.connect().await;
    sql.batch_execute("CREATE TABLE kept (n int)").await.unwrap();
    sql.batch_execute("INSERT INTO kept VALUES (1)").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let shown = environment.api::<Secret>().get(&environment.service("cluster-0").await.name_any()).await.unwrap();
    let shown = shown.data.unwrap();
    let file = |flag: &str, key: &str| {
        let path = directory.path().join(key);
        std::fs::write(&path, &shown[key].0).unwrap();
        format!("--{flag}={}", path.display())
    };
    let certificates = [file("tls-cert", "tls.crt"), file("tls-key", "tls.key"), file("tls-ca", "ca.crt")];
    let to = environment.blob_url("backups");
    let address = format!("--shardctl-addr={}:6879", environment.pod("environmentd-0").await.address);
    let backup = |certificates: &[String]| {
        let mut command = Command::new(bin_dir().join("environmentd"));
        command.args(["backup", "--to", &to, &address]).args(certificates).output().unwrap()
    };
    let made = backup(&certificates);
    let text = String::from_utf8_lossy(&made.stdout).into_owned() + &String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success() && text.contains("is complete"), "{text}");
    let refused = backup(&[]);
    assert!(!refused.status.success(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_environmentd_finds_its_replicas_running() {
    let environment = Environment::start().await;
    let sql = environment.connect().await;
    sql.batch_execute("CREATE CLUSTER pair (SIZE '1', REPLICATION FACTOR 2)").await.unwrap();
    sql.batch_execute("CREATE TABLE numbers (n bigint NOT NULL)").await.unwrap();
    sql.batch_execute(
        "CREATE MATERIALIZED VIEW sums IN CLUSTER pair AS SELECT count(*) AS c, sum(n) AS s FROM numbers",
    )
    .await
    .unwrap();
    sql.batch_execute("INSERT INTO numbers SELECT * FROM generate_series(1, 1000)").await.unwrap();
    assert_eq!(answer(&sql, "SELECT c || ' ' || s FROM sums").await, ["1000 500500"]);
    let workers = environment.workers().await;
    assert_eq!(workers.len(), 3);

    // Its pod is deleted, and another one comes up on the same volume, at another address.
    let before = environment.pod("environmentd-0").await;
    environment.api::<Pod>().delete("environmentd-0", &DeleteParams::default()).await.unwrap();
    environment.wait_pod("environmentd-0", "made anew", |now| now.uid != before.uid && now.ready).await;
    let sql = environment.connect().await;
    assert_eq!(answer(&sql, "SELECT c || ' ' || s FROM sums").await, ["1000 500500"]);
    sql.batch_execute("INSERT INTO numbers VALUES (1001)").await.unwrap();
    assert_eq!(answer(&sql, "SELECT c || ' ' || s FROM sums").await, ["1001 501501"]);

    // It is killed: its container is started again.
    let before = environment.pod("environmentd-0").await;
    environment.signal("environmentd-0", Signal::KILL);
    environment.wait_pod("environmentd-0", "restarted", |now| now.restarts > before.restarts && now.ready).await;
    let sql = environment.connect().await;
    sql.batch_execute("INSERT INTO numbers VALUES (1002)").await.unwrap();
    assert_eq!(answer(&sql, "SELECT c || ' ' || s FROM sums").await, ["1002 502503"]);

    // The replicas are the same pods and processes all along.
    assert_eq!(environment.workers().await, workers);

    // Another deploy generation runs services of its own, and stops those before.
    let before = environment.pod("environmentd-0").await;
    environment.kubectl(&["set", "env", "statefulset/environmentd", "FRESHET_DEPLOY_GENERATION=1"]);
    environment.wait_pod("environmentd-0", "of the new generation", |now| now.uid != before.uid && now.ready).await;
    eventually("services of the new generation alone", async || {
        environment.services().await == ids(&["cluster-3", "cluster-4", "cluster-5"])
            && environment.pods_of("cluster-0").await.is_empty()
    })
    .await;
    let service = environment.service("cluster-3").await;
    assert_eq!(service.labels()[&format!("compute.{DOMAIN}/generation")], "1");
    let sql = environment.connect().await;
    sql.batch_execute("INSERT INTO numbers VALUES (1003)").await.unwrap();
    assert_eq!(answer(&sql, "SELECT c || ' ' || s FROM sums").await, ["1003 503506"]);
}

/// What the container of the kubelet's own test does: shows what it was given, and refuses to stop.
const PROMISES: &str = "
    echo \"$GREETING from $(id -u):$(id -g) in $NAME, node $NODE, argument $0\"
    cat /secret/key; echo
    touch /usr/here 2>/dev/null || touch /here 2>/dev/null || echo 'the root is read-only'
    touch /scratch/here && echo 'the disk is not'
    getent hosts polite-0.polite.promises.svc.cluster.local
    while ! grep -q changed /secret/key; do sleep 0.1; done; echo 'the secret has changed'
    trap 'echo asked to stop' TERM
    while :; do sleep 0.1; done";

fn kubectl(lab: &Lab, args: &[&str]) -> String {
    lab.kubectl(&[&["-n", "promises"][..], args].concat()).unwrap()
}

fn apply(lab: &Lab, object: serde_json::Value) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), object.to_string()).unwrap();
    kubectl(lab, &["apply", "-f", file.path().to_str().unwrap()]);
}

fn words(key: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "words" },
        "stringData": { "greeting": "hello", "key": key },
    })
}

fn promising_pod() -> serde_json::Value {
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "polite-0", "labels": { "app": "polite" } },
        "spec": {
            "hostname": "polite-0", "subdomain": "polite",
            "terminationGracePeriodSeconds": 1,
            "securityContext": { "runAsUser": 1234, "runAsGroup": 4321, "fsGroup": 4321 },
            "containers": [{
                "name": "main", "image": "lab/sh", "args": ["-c", PROMISES, "$(NAME)-$$(NAME)-$(NOBODY)"],
                "env": [
                    { "name": "GREETING", "valueFrom": { "secretKeyRef": { "name": "words", "key": "greeting" } } },
                    field("NAME", "metadata.name"), field("NODE", "spec.nodeName"),
                ],
                "securityContext": { "readOnlyRootFilesystem": true },
                "volumeMounts": [
                    { "name": "words", "mountPath": "/secret" }, { "name": "disk", "mountPath": "/scratch" },
                ],
            }],
            "volumes": [
                { "name": "words", "secret": { "secretName": "words", "items": [{ "key": "key", "path": "key" }] } },
                { "name": "disk", "emptyDir": {} },
            ],
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_given_what_its_object_says() {
    let lab = Lab::start().await.unwrap();
    let kubelet = Kubelet::start(&lab, "promises", 1, &[("lab/sh", Path::new("/bin/sh"))]).await.unwrap();
    lab.namespace("promises", &[]).await.unwrap();
    apply(&lab, words("first"));
    apply(
        &lab,
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "polite" },
            "spec": { "clusterIP": "None", "publishNotReadyAddresses": true, "selector": { "app": "polite" } },
        }),
    );
    apply(&lab, promising_pod());
    let said = async |what: &str| {
        eventually(what, async || kubelet.logs("promises", "polite-0").contains(what)).await;
    };
    said("hello from 1234:4321 in polite-0, node promises-0, argument polite-0-$(NAME)-$(NOBODY)").await;
    said("first").await;
    said("the root is read-only").await;
    said("the disk is not").await;
    said("polite-0.polite.promises.svc.cluster.local").await;
    apply(&lab, words("changed"));
    said("the secret has changed").await;
    // It is asked, waited for, and killed.
    let pid = kubelet.pid("promises", "polite-0").unwrap();
    kubectl(&lab, &["delete", "pod", "polite-0"]);
    said("asked to stop").await;
    assert!(!kubelet.processes().contains(&pid));
    check_restarts(&lab).await;
}

/// Containers that fail, and those that do not answer their probes, are started again, each time later; how they ended is told.
async fn check_restarts(lab: &Lab) {
    let container = |mut container: serde_json::Value| {
        container["name"] = json!("main");
        container["image"] = json!("lab/sh");
        json!({ "terminationGracePeriodSeconds": 1, "containers": [container] })
    };
    let pod = |name: &str, spec: serde_json::Value| json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec });
    let deaf = json!({
        "args": ["-c", "sleep 1000"],
        "livenessProbe": { "tcpSocket": { "port": 9 }, "periodSeconds": 1, "failureThreshold": 2 },
    });
    apply(lab, pod("failing", container(json!({ "args": ["-c", "exit 7"] }))));
    apply(lab, pod("deaf", container(deaf)));
    let told = |pod: &str, path: &str| {
        let path = format!("jsonpath={{.status.containerStatuses[0].{path}}}");
        kubectl(lab, &["get", "pod", pod, "-o", &path])
    };
    let restarts = |pod: &str| told(pod, "restartCount").parse::<i32>().unwrap_or(0);
    eventually("it was restarted", async || restarts("failing") >= 2).await;
    assert_eq!(told("failing", "lastState.terminated.exitCode"), "7");
    eventually("it waits", async || told("failing", "state.waiting.reason") == "CrashLoopBackOff").await;
    eventually("it was restarted", async || restarts("deaf") >= 1).await;
}
