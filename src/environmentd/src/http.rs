//! Health and metrics over HTTP.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use persist::{Stage, WriteCounts};
use sql::CatalogView;
use stdx::Shutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::warn;

use crate::committer::TABLES;
use crate::environment::Environment;

/// What the handlers look at.
#[derive(Clone)]
pub(crate) struct Health {
    /// None while another leader is alive, or the log is being loaded.
    pub(crate) environment: Arc<OnceLock<Arc<Environment>>>,
    /// How far this process is on its way to lead.
    pub(crate) stage: watch::Receiver<Stage>,
    /// Set once every dataflow of the catalog was sent on its way.
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) shutdown: Shutdown,
}

/// Serves the external listener: readiness only.
pub(crate) async fn serve_external(listener: TcpListener, health: Health) {
    serve(listener, health.clone(), probes().with_state(health)).await;
}

/// Serves the internal listener: health and metrics.
pub(crate) async fn serve_internal(listener: TcpListener, health: Health) {
    let router = probes().route("/metrics", get(metrics));
    serve(listener, health.clone(), router.with_state(health)).await;
}

fn probes() -> Router<Health> {
    Router::new().route("/api/livez", get(|| async { "ok\n" })).route("/api/readyz", get(readyz))
}

async fn serve(listener: TcpListener, health: Health, router: Router) {
    let shutdown = health.shutdown.clone();
    let served = axum::serve(listener, router).with_graceful_shutdown(async move { shutdown.triggered().await });
    if let Err(error) = served.await {
        warn!(%error, "http listener ended");
    }
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let unready = |text: String| (StatusCode::SERVICE_UNAVAILABLE, text);
    if health.environment.get().is_none() {
        return unready(format!("{}\n", *health.stage.borrow()));
    }
    if health.ready.load(Ordering::SeqCst) && !health.shutdown.is_triggered() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        unready("not ready\n".to_owned())
    }
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    let Some(environment) = health.environment.get() else {
        return ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], String::new());
    };
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, value: u64| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    };
    gauge("environmentd_sessions_count", "Open SQL sessions.", environment.sessions.count() as u64);
    gauge(
        "environmentd_oracle_read_timestamp_milliseconds",
        "The oracle's read time.",
        environment.oracle.read_ts().millis(),
    );
    gauge("environmentd_timeline_now_milliseconds", "The leader's clock.", environment.leader.now().millis());
    let upper = environment.leader.group_upper(TABLES).millis();
    gauge("environmentd_tables_upper_milliseconds", "The durable upper of all tables.", upper);
    gauge("environmentd_catalog_items_count", "Objects in the catalog.", environment.catalog().items().len() as u64);
    gauge("persist_epoch", "The leadership of the log.", environment.leader.epoch());
    write_counters(&mut out, environment.leader.write_counts());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], out)
}

/// What was written for what came in.
fn write_counters(out: &mut String, counts: WriteCounts) {
    let WriteCounts { entries, log_bytes, checkpoint_bytes, updates, part_bytes, merged_bytes, delegated_merges } =
        counts;
    let counters = [
        ("persist_log_entries_total", "Entries appended to the log.", entries),
        ("persist_log_bytes_total", "Bytes of log entries, with the rows in them.", log_bytes),
        ("persist_checkpoint_bytes_total", "Bytes of checkpoints of the log.", checkpoint_bytes),
        ("persist_appended_updates_total", "Updates appended to collections.", updates),
        ("persist_appended_part_bytes_total", "Bytes of parts that appends brought.", part_bytes),
        ("persist_merged_part_bytes_total", "Bytes of parts that compaction made.", merged_bytes),
        ("persist_delegated_merges_total", "Merges that a replica has done.", delegated_merges),
    ];
    for (name, help, value) in counters {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
    }
}
