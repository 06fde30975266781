//! A client whose calls fail when the test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tower::BoxError;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never reaches the API server.
    NotSent,
    /// It is done, and nobody hears of it.
    AnswerLost,
}

/// Counts calls that change or read objects one by one or in lists, not watches.
#[derive(Clone, Default)]
pub struct Faults {
    calls: Arc<AtomicUsize>,
}

impl Faults {
    /// How many calls were made.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// A client of which the call of that number, and every later one, meets its fate: the process behind it has died.
    pub fn client(&self, inner: Client, namespace: &str, dies_at: usize, fate: Fate) -> Client {
        let calls = Arc::clone(&self.calls);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (inner, calls) = (inner.clone(), Arc::clone(&calls));
            async move { pass(inner, &calls, request, dies_at, fate).await }
        });
        Client::new(service, namespace)
    }
}

async fn pass(
    inner: Client,
    calls: &AtomicUsize,
    request: Request<Body>,
    dies_at: usize,
    fate: Fate,
) -> Result<Response<Body>, BoxError> {
    let watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    let number = if watch { 0 } else { calls.fetch_add(1, Ordering::SeqCst) };
    if number > dies_at || (number == dies_at && fate == Fate::NotSent) {
        return Err("the process has died".into());
    }
    let response = inner.send(request).await?;
    if number == dies_at && !watch {
        return Err("the process has died".into());
    }
    Ok(response)
}
