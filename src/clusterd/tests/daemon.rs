//! The real binary, over real sockets: started by the process orchestrator, commanded by a controller.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use controller::{Controller, ControllerConfig, OrchestratorLauncher, ReplicaSize};
use expr::Mfp;
use orchestrator::{ChildLifetime, Orchestrator, ProcessOrchestrator, ProcessOrchestratorConfig};
use persist::{
    Commit, CreateShard, GroupId, Leader, LeaderConfig, LeaderHandle, MemLog, memory_blob, shardctl_service,
};
use protocol::grpc::{Address, Listener};
use protocol::{Dataflow, Export, Import, Peek, PeekOutcome, PeekTarget, RowOrder};
use repr::{ClusterId, CollectionId, Datum, Diff, Kind, ReplicaId, Row, ServiceId, ShardId, Timestamp};
use rustix::process::{Pid, Signal, kill_process};
use stdx::{Rng, Task, Tasks};
use tonic::transport::Server;
use uuid::Uuid;

const CLUSTER: ClusterId = ClusterId(1);
const TABLE: CollectionId = CollectionId::User(1);
const INDEX: CollectionId = CollectionId::User(2);
const LIMIT: Duration = Duration::from_secs(60);

fn row(number: i64) -> Row {
    Row::pack([Datum::Int(number)])
}

/// A leader, its shardctl socket and a controller: environmentd's half.
struct Environment {
    leader: LeaderHandle,
    controller: Controller,
    orchestrator: ProcessOrchestrator,
    _server: Task,
}

impl Environment {
    async fn start(directory: &Path) -> Environment {
        let (tasks, rng) = (Tasks::tokio(), Rng::from_entropy());
        let config = LeaderConfig::new(Arc::new(MemLog::new()), memory_blob(), tasks.clone(), rng.clone());
        let leader = Leader::open(config).await.unwrap();
        let address = Address::Unix(directory.join("shardctl"));
        let listener = Listener::bind(&address).await.unwrap();
        let service = Server::builder().add_service(shardctl_service(leader.clone()));
        let server = tasks.spawn("shardctl", async move {
            service.serve_with_incoming(listener.incoming()).await.unwrap();
        });
        let config = ProcessOrchestratorConfig {
            tasks: tasks.clone(),
            data_dir: directory.to_owned(),
            lifetime: ChildLifetime::WithParent,
        };
        let orchestrator = ProcessOrchestrator::new(config).unwrap();
        let launcher = OrchestratorLauncher {
            tasks: tasks.clone(),
            orchestrator: orchestrator.namespace("cluster"),
            image: env!("CARGO_BIN_EXE_clusterd").into(),
            leading_args: Vec::new(),
            shardctl: address.to_string(),
            worker_resources: None,
        };
        let controller = Controller::new(ControllerConfig {
            tasks,
            rng,
            durable: Arc::new(leader.clone()),
            launcher: Arc::new(launcher),
            version: protocol::VERSION.to_owned(),
        });
        controller.create_cluster(CLUSTER);
        Environment { leader, controller, orchestrator, _server: server }
    }

    async fn commit(&self, creates: &[u64], rows: &[i64]) -> Timestamp {
        let ts = self.leader.now().max(self.leader.group_upper(GroupId::TABLES));
        let create =
            |shard: &u64| CreateShard { shard: ShardId(*shard), group: Some(GroupId::TABLES), scheduled: false };
        let commit = Commit {
            creates: creates.iter().map(create).collect(),
            appends: vec![(ShardId(1), rows.iter().map(|number| (row(*number), Diff::ONE)).collect())],
            ..Commit::tick(GroupId::TABLES, ts)
        };
        self.leader.commit(commit).await.unwrap();
        ts
    }

    async fn peek(&self, at: Timestamp) -> BTreeMap<Row, Diff> {
        let peek = Peek {
            id: Uuid::new_v4(),
            target: PeekTarget::Index { index: INDEX, lookup: None, front: 0 },
            at,
            mfp: Mfp::identity(vec![Kind::Int]),
            order: RowOrder::default(),
            result_bytes_max: 1 << 30,
            after: 0,
        };
        let mut handle = self.controller.peek(CLUSTER, peek, None).unwrap();
        let outcome = Tasks::tokio().timeout(LIMIT, handle.result()).await.unwrap();
        let PeekOutcome::Rows(rows) = outcome else { panic!("{outcome:?}") };
        rows.into_iter().collect()
    }

    async fn with_index(&self, rows: &[i64]) -> Timestamp {
        let ts = self.commit(&[1], rows).await;
        self.controller.create_collection(TABLE, ShardId(1));
        let kinds = vec![Kind::Int];
        let key = vec![expr::Scalar::Column(0)];
        let dataflow = Dataflow {
            name: "index".to_owned(),
            imports: vec![Import::Shard { id: TABLE, shard: ShardId(1), kinds: kinds.clone() }],
            objects: Vec::new(),
            exports: vec![Export::Index { index: INDEX, on: TABLE, key, kinds }],
            as_of: ts,
            until: None,
        };
        self.controller.create_dataflow(CLUSTER, dataflow).unwrap();
        self.controller.initialization_complete(CLUSTER);
        ts
    }
}

fn expected(numbers: &[i64]) -> BTreeMap<Row, Diff> {
    numbers.iter().map(|number| (row(*number), Diff::ONE)).collect()
}

/// The pids of the children, from their records.
fn pids(directory: &Path) -> Vec<i32> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir(directory.join("processes")).unwrap() {
        let Ok(text) = std::fs::read_to_string(entry.unwrap().path().join("process.json")) else { continue };
        let line = text.lines().find(|line| line.contains("\"pid\"")).unwrap();
        pids.push(line.trim_matches(|character: char| !character.is_ascii_digit()).parse().unwrap());
    }
    pids
}

async fn survives_kills(processes: usize) {
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment::start(directory.path()).await;
    let numbers: Vec<i64> = (0..100).collect();
    let ts = environment.with_index(&numbers).await;
    let size = ReplicaSize { workers: 2, processes };
    environment.controller.create_replica(CLUSTER, ReplicaId(1), "r1".to_owned(), ServiceId(0), size);
    assert_eq!(environment.peek(ts).await, expected(&numbers));

    let children = pids(directory.path());
    assert_eq!(children.len(), processes);
    let victim = Pid::from_raw(*children.last().unwrap()).unwrap();
    kill_process(victim, Signal::KILL).unwrap();
    let ts = environment.commit(&[], &[100]).await;
    assert_eq!(environment.peek(ts).await, expected(&(0..101).collect::<Vec<_>>()));

    let children = pids(directory.path());
    environment.orchestrator.shutdown().await;
    for pid in children {
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_one_process_is_relaunched_and_answers() {
    survives_kills(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_two_processes_is_relaunched_whole_and_answers() {
    survives_kills(2).await;
}

#[test]
fn bad_flags_and_used_ports_end_with_code_2_and_one_line() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let used = format!("--computectl-listen-addr={}", listener.local_addr().unwrap());
    let cases: [&[&str]; 5] = [
        &["--nonsense"],
        &["--workers=0"],
        &["--log-filter=a=b=c"],
        &["--storagectl-listen-addr=nowhere"],
        &["--storagectl-listen-addr=127.0.0.1:0", "--internal-http-listen-addr=127.0.0.1:0", &used],
    ];
    for flags in cases {
        let output = Command::new(env!("CARGO_BIN_EXE_clusterd")).args(flags).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn a_process_ends_with_its_parent() {
    let directory = tempfile::tempdir().unwrap();
    let socket = |name: &str| format!("unix:{}", directory.path().join(name).display());
    let mut child = Command::new(env!("CARGO_BIN_EXE_clusterd"))
        .arg(format!("--storagectl-listen-addr={}", socket("s")))
        .arg(format!("--computectl-listen-addr={}", socket("c")))
        .arg(format!("--internal-http-listen-addr={}", socket("h")))
        .arg(format!("--shardctl-addr={}", socket("nobody")))
        .arg("--die-with-parent")
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
