//! Waiting for what a cluster does in its own time.

use std::time::Duration;

/// Nothing that a test waits for takes this long on a machine that is not overwhelmed.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Waits until something holds. Panics: it did not in time.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(TIMEOUT, wait).await.is_err() {
        panic!("still not so after {TIMEOUT:?}: {what}");
    }
}
