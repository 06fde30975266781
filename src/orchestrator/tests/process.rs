//! Children of this machine keep what every home promises.

mod conformance;

use std::collections::BTreeSet;
use std::path::Path;

use orchestrator::{ChildLifetime, Orchestrator, ProcessOrchestrator, ProcessOrchestratorConfig};
use stdx::Tasks;

fn orchestrator(directory: &Path) -> ProcessOrchestrator {
    let config = ProcessOrchestratorConfig {
        tasks: Tasks::tokio(),
        data_dir: directory.to_owned(),
        lifetime: ChildLifetime::WithParent,
    };
    ProcessOrchestrator::new(config).unwrap()
}

#[tokio::test]
async fn conforms() {
    let directory = tempfile::tempdir().unwrap();
    let orchestrator = orchestrator(directory.path());
    conformance::check(&orchestrator, |processes| {
        conformance::sleeper("/bin/sh", &["-c", "exec sleep 1000", "sh"], processes)
    })
    .await;
    orchestrator.shutdown().await;
}

#[tokio::test]
async fn what_children_use_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let orchestrator = orchestrator(directory.path());
    let compute = orchestrator.namespace("compute");
    let mut events = compute.watch_services();
    compute.ensure_service("busy", conformance::sleeper("/bin/sh", &["-c", "while :; do :; done", "sh"], 2)).unwrap();
    conformance::online(&mut events, "busy", 2).await;
    let metrics = compute.metrics().await.unwrap();
    assert_eq!(
        metrics.keys().map(|(id, process)| (id.as_str(), *process)).collect::<Vec<_>>(),
        [("busy", 0), ("busy", 1)]
    );
    for used in metrics.values() {
        assert!(used.memory_bytes.unwrap() > 0 && used.disk_bytes.unwrap() > 0, "{used:?}");
    }
    let busy = async {
        // Until the kernel has counted a tick of each.
        let mut seen = BTreeSet::new();
        while seen.len() < 2 {
            let metrics = compute.metrics().await.unwrap();
            let busy = metrics.into_iter().filter(|(_, used)| used.cpu_nano_cores.unwrap_or(0) > 0);
            seen.extend(busy.map(|((_, process), _)| process));
            tokio::task::yield_now().await;
        }
    };
    Tasks::tokio().timeout(std::time::Duration::from_secs(60), busy).await.expect("they use the processor");
    compute.drop_service("busy");
    orchestrator.shutdown().await;
    assert!(compute.metrics().await.unwrap().is_empty());
}
