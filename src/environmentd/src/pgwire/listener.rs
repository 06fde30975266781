//! Accepts connections and gives each its task.

use std::sync::Arc;

use stdx::{Shutdown, Task, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use super::connection::Connection;
use super::startup;
use crate::environment::Environment;

/// Who may come in by a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Everyone but the system's own users.
    Users,
    /// `mz_system` and `mz_support`.
    System,
}

/// Accepts connections until shutdown, then ends those that are open.
pub(crate) async fn serve(environment: Arc<Environment>, listener: TcpListener, audience: Audience) {
    let tasks = environment.tasks.clone();
    let mut open: Vec<Task> = Vec::new();
    loop {
        let accepted = std::pin::pin!(listener.accept());
        let shutdown: Shutdown = environment.shutdown.clone();
        let stopped = std::pin::pin!(shutdown.triggered());
        match futures::future::select(accepted, stopped).await {
            futures::future::Either::Left((Ok((socket, _)), _)) => {
                open.retain(|task| !task.is_ended());
                open.push(spawn(&tasks, &environment, socket, audience));
            }
            futures::future::Either::Left((Err(error), _)) => {
                // Out of file descriptors, mostly: wait for some to be freed instead of spinning.
                warn!(%error, "cannot accept a connection");
                tasks.sleep(std::time::Duration::from_millis(100)).await;
            }
            futures::future::Either::Right(_) => break,
        }
    }
    for task in &open {
        // Each connection has seen the shutdown too and says goodbye; one that does not is dropped.
        if tasks.timeout(std::time::Duration::from_secs(2), task.ended()).await.is_err() {
            break;
        }
    }
}

/// Refuses connections, saying why, until it is dropped.
pub(crate) async fn refuse(tasks: &Tasks, listener: &TcpListener, reason: impl Fn() -> String) {
    /// How long a client may take to say that it wants to connect.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
    loop {
        let Ok((mut socket, _)) = listener.accept().await else {
            tasks.sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let (reason, patience) = (reason(), tasks.clone());
        let turning_away = async move {
            // A client that goes away, or says nothing, is as well served.
            let _ = patience.timeout(PATIENCE, startup::turn_away(&mut socket, &reason)).await;
        };
        tasks.spawn("pgwire refusal", turning_away).detach();
    }
}

fn spawn(tasks: &Tasks, environment: &Arc<Environment>, socket: TcpStream, audience: Audience) -> Task {
    let environment = Arc::clone(environment);
    tasks.spawn("pgwire connection", async move {
        // Rows go out in few large writes; waiting for more only adds latency.
        if let Err(error) = socket.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        match startup::negotiate(&environment, socket, audience).await {
            Ok(Some((session, stream))) => Connection::new(session, stream).run().await,
            Ok(None) => {}
            Err(error) => debug!(%error, "connection ended during start-up"),
        }
    })
}
