//! What every home of services promises, whatever it is made of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use orchestrator::{
    NamespacedOrchestrator, OfflineReason, Orchestrator, OrchestratorError, ProcessStatus, ServiceConfig, ServiceEvent,
    ServicePort, Transport,
};
use stdx::Tasks;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A service whose processes run until they are stopped. `image` and `args` are a home's own.
pub(crate) fn sleeper(image: &str, args: &[&str], processes: usize) -> ServiceConfig {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let port = |name: &str, port_hint, transport| ServicePort { name: name.to_owned(), port_hint, transport };
    ServiceConfig {
        image: image.into(),
        args: Arc::new(move |given| {
            let mut all = args.clone();
            all.push(format!("--process={}", given.process));
            all.extend(given.listen.values().cloned());
            all.push(given.peers["mesh"].join(","));
            all
        }),
        ports: vec![port("control", 2101, Transport::Local), port("mesh", 2102, Transport::Tcp)],
        processes,
        memory_limit_bytes: Some(64 << 20),
        cpu_limit_millis: Some(100),
        disk_limit_bytes: None,
        labels: [("cluster-id".to_owned(), "u1".to_owned())].into(),
        stand_ins: vec!["cluster-id".to_owned()],
        availability_zones: Vec::new(),
    }
}

/// Runs the suite. `service` makes a service of so many processes.
pub(crate) async fn check(orchestrator: &dyn Orchestrator, service: impl Fn(usize) -> ServiceConfig) {
    let compute = orchestrator.namespace("compute");
    let mut events = compute.watch_services();

    // Addresses are there at once, the processes a while later.
    let made = compute.ensure_service("cluster-0", service(2)).unwrap();
    for port in ["control", "mesh"] {
        let addresses: BTreeSet<String> = made.addresses(port).into_iter().collect();
        assert_eq!(addresses.len(), 2, "each process has an address of its own: {addresses:?}");
    }
    assert!(made.addresses("unknown").is_empty());
    assert_eq!(compute.list_services().await.unwrap(), ["cluster-0"]);
    online(&mut events, "cluster-0", 2).await;

    // Whatever is known of what they use is of these.
    let metrics = compute.metrics().await.unwrap();
    assert!(metrics.keys().all(|(id, process)| id == "cluster-0" && *process < 2), "{metrics:?}");

    // The same again is the same service.
    let again = compute.ensure_service("cluster-0", service(2)).unwrap();
    assert_eq!(again.addresses("control"), made.addresses("control"));

    // Namespaces keep their services apart, even those of one name.
    let storage = orchestrator.namespace("storage");
    let mut storage_events = storage.watch_services();
    storage.ensure_service("runtime", service(1)).unwrap();
    storage.ensure_service("cluster-0", service(1)).unwrap();
    online(&mut storage_events, "runtime", 1).await;
    assert_eq!(storage.list_services().await.unwrap(), ["cluster-0", "runtime"]);
    assert_eq!(compute.list_services().await.unwrap(), ["cluster-0"]);

    // What cannot be is refused at once, and leaves nothing.
    for id in ["", "a b", "a/b", &"x".repeat(200)] {
        let refused = compute.ensure_service(id, service(1));
        assert!(matches!(refused.err(), Some(OrchestratorError::Invalid(_))), "{id:?}");
    }
    assert!(matches!(compute.ensure_service("none", service(0)).err(), Some(OrchestratorError::Invalid(_))));
    assert_eq!(compute.list_services().await.unwrap(), ["cluster-0"]);

    // Another number of processes.
    let grown = compute.ensure_service("cluster-0", service(3)).unwrap();
    assert_eq!(grown.addresses("mesh").len(), 3);
    online(&mut events, "cluster-0", 3).await;

    // Dropping is at once in the list, and however often.
    compute.drop_service("cluster-0");
    compute.drop_service("cluster-0");
    compute.drop_service("unknown");
    assert!(compute.list_services().await.unwrap().is_empty());
    stopped(&mut events, "cluster-0").await;
    assert_eq!(storage.list_services().await.unwrap(), ["cluster-0", "runtime"]);

    // A service can be had again under its old name.
    compute.ensure_service("cluster-0", service(1)).unwrap();
    online(&mut events, "cluster-0", 1).await;
    compute.drop_service("cluster-0");
    stopped(&mut events, "cluster-0").await;
    storage.drop_service("runtime");
    storage.drop_service("cluster-0");
    gone(&*storage).await;
}

async fn next(events: &mut BoxStream<'static, ServiceEvent>) -> ServiceEvent {
    let next = Tasks::tokio().timeout(TIMEOUT, events.next()).await;
    next.expect("no event came in time").expect("events never end")
}

pub(crate) async fn online(events: &mut BoxStream<'static, ServiceEvent>, id: &str, processes: usize) {
    let mut seen = BTreeSet::new();
    while seen.len() < processes {
        let event = next(events).await;
        if event.service_id != id {
            continue;
        }
        match event.status {
            ProcessStatus::Online => seen.insert(event.process),
            ProcessStatus::Offline(_) => seen.remove(&event.process),
        };
    }
}

async fn stopped(events: &mut BoxStream<'static, ServiceEvent>, id: &str) {
    loop {
        let event = next(events).await;
        if event.service_id == id && event.status == ProcessStatus::Offline(OfflineReason::Stopped) {
            return;
        }
    }
}

async fn gone(namespace: &dyn NamespacedOrchestrator) {
    let tasks = Tasks::tokio();
    let emptied = async {
        while !namespace.list_services().await.unwrap().is_empty() {
            tasks.sleep(Duration::from_millis(20)).await;
        }
    };
    tasks.timeout(TIMEOUT, emptied).await.expect("services that were dropped are still listed");
}
