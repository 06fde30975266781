//! Health and metrics for operators.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use crate::process::Shared;

#[derive(Clone)]
pub(crate) struct Health {
    pub(crate) shared: Arc<Shared>,
    /// Set once the workers run.
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) workers: usize,
}

pub(crate) fn router(health: Health) -> Router {
    Router::new()
        .route("/api/livez", get(async || "ok\n"))
        .route("/api/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.ready.load(Ordering::SeqCst) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "waiting for the other processes of this replica\n")
    }
}

async fn metrics(State(health): State<Health>) -> String {
    let Health { shared, ready: _, workers } = health;
    let outbox = &shared.outbox;
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let (compute, storage) = ("{protocol=\"computectl\"}", "{protocol=\"storagectl\"}");
    metric("clusterd_uptime_milliseconds", "gauge", "Time since start.", &[("", shared.uptime_ms())]);
    metric("clusterd_workers_count", "gauge", "Worker threads of this process.", &[("", workers as u64)]);
    let connected =
        [(compute, u64::from(outbox.compute.is_connected())), (storage, u64::from(outbox.storage.is_connected()))];
    metric("clusterd_controller_connected", "gauge", "1 while a controller is connected.", &connected);
    let accepted = [
        (compute, outbox.compute.accepted_count.load(Ordering::Relaxed)),
        (storage, outbox.storage.accepted_count.load(Ordering::Relaxed)),
    ];
    metric("clusterd_controller_connections_total", "counter", "Controllers accepted.", &accepted);
    let commands = shared.commands_count.load(Ordering::Relaxed);
    metric("clusterd_commands_total", "counter", "Commands for the workers.", &[("", commands)]);
    text
}
