//! Services of small children: relaunched, adopted, replaced, stopped.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use stdx::Tasks;

use super::record::Record;
use super::*;
use crate::orchestrator::{ProcessStatus, ServicePort, Transport};

fn orchestrator(directory: &Path, lifetime: ChildLifetime) -> ProcessOrchestrator {
    let config = ProcessOrchestratorConfig { tasks: Tasks::tokio(), data_dir: directory.to_owned(), lifetime };
    ProcessOrchestrator::new(config).unwrap()
}

/// A service whose processes do nothing; `tag` shows in their arguments.
fn sleeper(processes: usize, tag: &str) -> ServiceConfig {
    let tag = tag.to_owned();
    let port = |name: &str, transport| ServicePort { name: name.to_owned(), port_hint: 1, transport };
    ServiceConfig {
        image: "/bin/sh".into(),
        args: Arc::new(move |given| {
            let script = "echo \"$@\"; exec sleep 1000".to_owned();
            let mut args = vec!["-c".to_owned(), script, "sh".to_owned(), tag.clone()];
            args.extend(given.peers["mesh"].iter().cloned());
            args.push(given.listen["control"].clone());
            args
        }),
        ports: vec![port("control", Transport::Local), port("mesh", Transport::Tcp)],
        processes,
        memory_limit_bytes: None,
        cpu_limit_millis: None,
        disk_limit_bytes: None,
        labels: BTreeMap::new(),
        stand_ins: Vec::new(),
        availability_zones: Vec::new(),
    }
}

async fn online(events: &mut BoxStream<'static, ServiceEvent>, processes: usize) -> u64 {
    let mut seen = BTreeSet::new();
    loop {
        let event = Tasks::tokio().timeout(Duration::from_secs(20), events.next()).await.unwrap().unwrap();
        if event.status == ProcessStatus::Online {
            seen.insert(event.process);
            if seen.len() == processes {
                return event.restarts;
            }
        } else {
            seen.clear();
        }
    }
}

fn record(directory: &Path, name: &str) -> Record {
    Record::read(&directory.join("processes").join(name)).unwrap()
}

#[tokio::test]
async fn all_processes_of_a_service_are_relaunched_when_one_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let orchestrator = orchestrator(directory.path(), ChildLifetime::WithParent);
    let namespace = orchestrator.namespace("test");
    let mut events = namespace.watch_services();
    let service = namespace.ensure_service("pair", sleeper(2, "x")).unwrap();
    online(&mut events, 2).await;
    let before = [record(directory.path(), "test-pair-0"), record(directory.path(), "test-pair-1")];
    assert_eq!(service.addresses("control").len(), 2);
    assert!(service.addresses("control")[0].ends_with("test-pair-0/control.sock"));
    assert_eq!(service.addresses("mesh"), [&before[0].listen["mesh"], &before[1].listen["mesh"]].map(Clone::clone));
    assert!(service.addresses("none").is_empty());
    // Ensuring the same again changes nothing.
    namespace.ensure_service("pair", sleeper(2, "x")).unwrap();

    kill_process(Pid::from_raw(before[0].pid).unwrap(), Signal::KILL).unwrap();
    assert_eq!(online(&mut events, 2).await, 1);
    let after = [record(directory.path(), "test-pair-0"), record(directory.path(), "test-pair-1")];
    for (before, after) in before.iter().zip(&after) {
        assert!(before.live().is_none() && after.live().is_some());
        assert_eq!(before.listen["control"], after.listen["control"]);
    }
    assert_eq!(namespace.list_services().await.unwrap(), ["pair"]);

    orchestrator.shutdown().await;
    assert!(after.iter().all(|record| record.live().is_none()));
    assert!(!directory.path().join("processes/test-pair-0").exists());
}

#[tokio::test]
async fn kept_children_are_adopted_if_they_are_what_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let first = orchestrator(directory.path(), ChildLifetime::Kept);
    let namespace = first.namespace("test");
    let mut events = namespace.watch_services();
    for id in ["same", "changed", "unwanted"] {
        namespace.ensure_service(id, sleeper(1, "x")).unwrap();
        online(&mut events, 1).await;
    }
    let records = ["test-same-0", "test-changed-0", "test-unwanted-0"].map(|name| record(directory.path(), name));
    first.shutdown().await;
    drop((namespace, first));
    assert!(records.iter().all(|record| record.live().is_some()));

    let second = orchestrator(directory.path(), ChildLifetime::WithParent);
    let namespace = second.namespace("test");
    assert_eq!(namespace.list_services().await.unwrap(), ["changed", "same", "unwanted"]);
    let mut events = namespace.watch_services();
    let service = namespace.ensure_service("same", sleeper(1, "x")).unwrap();
    online(&mut events, 1).await;
    assert_eq!(record(directory.path(), "test-same-0").pid, records[0].pid);
    assert_eq!(service.addresses("mesh"), [records[0].listen["mesh"].clone()]);
    namespace.ensure_service("changed", sleeper(1, "y")).unwrap();
    online(&mut events, 1).await;
    assert_ne!(record(directory.path(), "test-changed-0").pid, records[1].pid);
    assert!(records[1].live().is_none());

    namespace.drop_service("unwanted");
    namespace.drop_service("unknown");
    while records[2].live().is_some() {
        Tasks::tokio().sleep(Duration::from_millis(10)).await;
    }
    // An adopted child that dies is noticed and relaunched.
    kill_process(Pid::from_raw(records[0].pid).unwrap(), Signal::KILL).unwrap();
    online(&mut events, 1).await;
    assert_ne!(record(directory.path(), "test-same-0").pid, records[0].pid);
    second.shutdown().await;
    assert!(records.iter().all(|record| record.live().is_none()));
}

#[tokio::test]
async fn a_pid_that_was_used_again_is_not_adopted() {
    let directory = tempfile::tempdir().unwrap();
    let orchestrator = orchestrator(directory.path(), ChildLifetime::WithParent);
    let namespace = orchestrator.namespace("test");
    let mut events = namespace.watch_services();
    namespace.ensure_service("s", sleeper(1, "x")).unwrap();
    online(&mut events, 1).await;
    let real = record(directory.path(), "test-s-0");
    assert!(real.live().is_some());
    let other = Record { start_ticks: real.start_ticks + 1, ..real.clone() };
    assert!(other.live().is_none() && child::adopt(&Tasks::tokio(), &other).is_none());
    let rebooted = Record { boot_id: "x".to_owned(), ..real };
    assert!(rebooted.live().is_none());
    orchestrator.shutdown().await;
}

#[tokio::test]
async fn a_child_that_ignores_the_request_to_stop_is_killed_and_a_service_can_be_ensured_again() {
    let directory = tempfile::tempdir().unwrap();
    let orchestrator = orchestrator(directory.path(), ChildLifetime::WithParent);
    let namespace = orchestrator.namespace("test");
    let mut events = namespace.watch_services();
    let mut config = sleeper(1, "x");
    config.args = Arc::new(|_| ["-c", "trap '' TERM; while true; do sleep 1; done"].map(str::to_owned).to_vec());
    namespace.ensure_service("s", config).unwrap();
    online(&mut events, 1).await;
    let stubborn = record(directory.path(), "test-s-0");
    namespace.drop_service("s");
    assert!(namespace.list_services().await.unwrap().is_empty());
    namespace.ensure_service("s", sleeper(1, "x")).unwrap();
    online(&mut events, 1).await;
    assert!(stubborn.live().is_none());
    orchestrator.shutdown().await;
}

#[test]
fn long_data_directories_get_short_socket_paths() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("x".repeat(120));
    let ports = [ServicePort { name: "control".to_owned(), port_hint: 1, transport: Transport::Local }];
    let listen = sockets::assign(&long, &ports).unwrap();
    assert!(listen["control"].len() < 108);
    assert_eq!(sockets::assign(&long, &ports).unwrap(), listen);
    std::fs::remove_dir_all(sockets::short_directory(&long)).unwrap();
}

#[test]
fn names_that_are_no_part_of_a_path_are_refused() {
    for bad in ["", "a/b", "..", "a b", ".x"] {
        assert!(check_name(bad).is_err(), "{bad}");
    }
    check_name("cluster-17").unwrap();
}

#[tokio::test]
async fn nothing_is_launched_once_it_was_shut_down() {
    let directory = tempfile::tempdir().unwrap();
    let orchestrator = orchestrator(directory.path(), ChildLifetime::WithParent);
    let namespace = orchestrator.namespace("test");
    let mut events = namespace.watch_services();
    namespace.ensure_service("pair", sleeper(2, "x")).unwrap();
    online(&mut events, 2).await;
    let mut shutdown = Box::pin(orchestrator.shutdown());
    // It has begun: whoever has lost its replica asks for it again.
    assert!(futures::poll!(&mut shutdown).is_pending());
    assert!(namespace.ensure_service("pair", sleeper(2, "x")).is_err());
    shutdown.await;
    assert!(!directory.path().join("processes").join("test-pair-0").exists());
    assert!(namespace.list_services().await.unwrap().is_empty());
}
