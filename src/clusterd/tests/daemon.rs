//! The real binary, over real sockets: started by the process orchestrator, commanded by a controller.

mod environment;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use controller::{OrchestratorLauncher, ReplicaSize, Reports};
use environment::{CLUSTER, Environment, expected, leader};
use orchestrator::{ChildLifetime, Orchestrator, ProcessOrchestrator, ProcessOrchestratorConfig};
use persist::shardctl_service;
use protocol::grpc::{Address, Listener};
use repr::{ReplicaId, ServiceId};
use rustix::process::{Pid, Signal, kill_process};
use stdx::{Task, Tasks};
use tonic::transport::Server;

/// An environment whose replicas are children of this process.
struct Home {
    environment: Environment,
    orchestrator: ProcessOrchestrator,
    _server: Task,
}

impl Home {
    async fn start(directory: &Path) -> Home {
        let (tasks, leader) = (Tasks::tokio(), leader().await);
        let address = Address::Unix(directory.join("shardctl"));
        let listener = Listener::bind(&address).await.unwrap();
        let service = Server::builder().add_service(shardctl_service(leader.clone()));
        let server = tasks.spawn("shardctl", async move {
            service.serve_with_incoming(listener.incoming(None)).await.unwrap();
        });
        let config = ProcessOrchestratorConfig {
            tasks: tasks.clone(),
            data_dir: directory.to_owned(),
            lifetime: ChildLifetime::WithParent,
        };
        let orchestrator = ProcessOrchestrator::new(config).unwrap();
        let namespace = orchestrator.namespace("cluster");
        let launcher = OrchestratorLauncher {
            reports: Reports::listen(&tasks, Arc::clone(&namespace)),
            tasks,
            orchestrator: namespace,
            image: env!("CARGO_BIN_EXE_clusterd").into(),
            leading_args: Vec::new(),
            shardctl: address.to_string(),
            worker_resources: None,
            tls: None,
        };
        Home { environment: Environment::new(leader, Arc::new(launcher)), orchestrator, _server: server }
    }
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
    let Home { environment, orchestrator, _server } = Home::start(directory.path()).await;
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
    orchestrator.shutdown().await;
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
