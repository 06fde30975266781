//! Spawning and sleeping, on tokio or in the simulation.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::clock::Clock;

/// The deadline of [`Tasks::timeout`] has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl std::fmt::Display for Elapsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

/// What an executor must offer. Two implementations: [`Tasks::tokio`] and [`crate::sim::Executor`].
pub trait Spawn: Send + Sync + 'static {
    /// Starts a task and returns what aborts it.
    fn spawn(&self, name: &str, future: BoxFuture<'static, ()>) -> Box<dyn FnOnce() + Send + Sync>;

    /// Runs a closure that may block a thread for long (a file sync, a merge).
    fn spawn_blocking(&self, name: &str, work: Box<dyn FnOnce() + Send>);

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// A handle to the executor and the clock; cheap to clone, passed to everything that runs concurrently.
#[derive(Clone)]
pub struct Tasks {
    spawner: Arc<dyn Spawn>,
    clock: Arc<dyn Clock>,
}

/// Owns a task; dropping it aborts the task.
#[must_use = "dropping a Task aborts it; keep it, or call detach"]
pub struct Task {
    abort: Option<Box<dyn FnOnce() + Send + Sync>>,
    done: tokio::sync::watch::Receiver<bool>,
}

impl Task {
    /// Lets the task run on without an owner.
    pub fn detach(mut self) {
        self.abort = None;
    }

    /// Waits until the task has ended or has been aborted. Cancel safety: may be dropped at any await.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut done = self.done.clone();
        async move {
            // An error means the sender was dropped: the task is gone as well.
            let _ = done.wait_for(|done| *done).await;
        }
    }

    pub fn is_ended(&self) -> bool {
        *self.done.borrow() || self.done.has_changed().is_err()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(abort) = self.abort.take() {
            abort();
        }
    }
}

impl Tasks {
    pub fn new(spawner: Arc<dyn Spawn>, clock: Arc<dyn Clock>) -> Tasks {
        Tasks { spawner, clock }
    }

    /// Tasks on the tokio runtime that is current now, with the machine's clocks.
    pub fn tokio() -> Tasks {
        let spawner = TokioSpawn { handle: tokio::runtime::Handle::current() };
        Tasks { spawner: Arc::new(spawner), clock: Arc::new(crate::clock::SystemClock) }
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Starts a task under a name that shows in traces.
    pub fn spawn(&self, name: &str, future: impl Future<Output = ()> + Send + 'static) -> Task {
        let (sender, done) = tokio::sync::watch::channel(false);
        let abort = self.spawner.spawn(
            name,
            Box::pin(async move {
                future.await;
                sender.send_replace(true);
            }),
        );
        Task { abort: Some(abort), done }
    }

    /// Runs blocking work and waits for its result. Panics in `work` surface here as a panic.
    pub async fn spawn_blocking<T: Send + 'static>(&self, name: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.spawner.spawn_blocking(
            name,
            Box::new(move || {
                // The receiver is gone when the waiting task was aborted; the result is of no use then.
                let _ = sender.send(work());
            }),
        );
        receiver.await.expect("blocking work panicked or the runtime has shut down")
    }

    /// Waits. Cancel safety: may be dropped at any await.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.spawner.sleep(duration)
    }

    /// Runs `future` for at most `limit`. Cancel safety: as `future`.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        let future = std::pin::pin!(future);
        match futures::future::select(future, self.sleep(limit)).await {
            futures::future::Either::Left((output, _)) => Ok(output),
            futures::future::Either::Right(((), _)) => Err(Elapsed),
        }
    }
}

struct TokioSpawn {
    handle: tokio::runtime::Handle,
}

impl Spawn for TokioSpawn {
    fn spawn(&self, _name: &str, future: BoxFuture<'static, ()>) -> Box<dyn FnOnce() + Send + Sync> {
        let task = self.handle.spawn(future);
        Box::new(move || task.abort())
    }

    #[allow(clippy::disallowed_methods, reason = "this is the place that spawns")]
    fn spawn_blocking(&self, _name: &str, work: Box<dyn FnOnce() + Send>) {
        drop(self.handle.spawn_blocking(work));
    }

    #[allow(clippy::disallowed_methods, reason = "this is the place that sleeps")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        // The timer is made on first poll, inside the runtime, so that `sleep` may be called from any thread.
        let sleep: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { tokio::time::sleep(duration).await });
        sleep
    }
}

/// Starts an operating-system thread under a name: timely workers, peek pools.
#[allow(clippy::disallowed_methods, reason = "this is the place that spawns")]
pub fn spawn_thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}
