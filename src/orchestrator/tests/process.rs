//! Children of this machine keep what every home promises.

mod conformance;

use orchestrator::{ChildLifetime, ProcessOrchestrator, ProcessOrchestratorConfig};
use stdx::Tasks;

#[tokio::test]
async fn conforms() {
    let directory = tempfile::tempdir().unwrap();
    let config = ProcessOrchestratorConfig {
        tasks: Tasks::tokio(),
        data_dir: directory.path().to_owned(),
        lifetime: ChildLifetime::WithParent,
    };
    let orchestrator = ProcessOrchestrator::new(config).unwrap();
    conformance::check(&orchestrator, |processes| {
        conformance::sleeper("/bin/sh", &["-c", "exec sleep 1000", "sh"], processes)
    })
    .await;
    orchestrator.shutdown().await;
}
