//! Ends the changes of replicas that ALTER CLUSTER has begun: once those that come can do the work of those that go, or when
//! their time is over.
//!
//! What a change is and how it ends is in the catalog, so whoever opens the environment next goes on with it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use catalog::{Catalog, End, Op};
use controller::Controller;
use repr::{ClusterId, ReplicaId};
use sql::catalog_view::{Cutover, Reconfiguration};
use stdx::{Shutdown, Tasks};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::committer::{Committer, SubmitError};
use crate::error::Error;

/// How often replicas that come are looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// What ending a change takes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reconfigurations {
    pub(crate) tasks: Tasks,
    pub(crate) catalog: Arc<ArcSwap<Catalog>>,
    /// Tells of new versions of the catalog.
    pub(crate) versions: watch::Receiver<u64>,
    pub(crate) controller: Controller,
    pub(crate) committer: Committer,
    /// Whether environmentd stops.
    pub(crate) shutdown: Shutdown,
}

impl Reconfigurations {
    /// Ends changes for ever.
    pub(crate) async fn run(mut self) {
        let mut failing = String::new();
        loop {
            self.versions.mark_unchanged();
            let catalog = self.catalog.load_full();
            let mut waits = false;
            for (cluster, reconfiguration) in catalog.reconfigurations() {
                let Some(end) = self.due(cluster, reconfiguration) else {
                    waits = true;
                    continue;
                };
                match self.end(cluster, reconfiguration.id, end).await {
                    Ok(()) => failing.clear(),
                    Err(error) => {
                        waits = true;
                        // Once for each reason, not with each attempt.
                        let reason = error.to_string();
                        if reason != failing {
                            warn!(%cluster, error = reason, "cannot end a change of replicas; trying again");
                            failing = reason;
                        }
                    }
                }
            }
            if waits {
                self.tasks.sleep(INTERVAL).await;
            } else if self.versions.changed().await.is_err() {
                return;
            }
        }
    }

    /// How a change ends now; None: not yet.
    fn due(&self, cluster: ClusterId, reconfiguration: &Reconfiguration) -> Option<End> {
        let Reconfiguration { pending, deadline_wall_ms, cutover, .. } = reconfiguration;
        let is_late = self.tasks.clock().wall_ms() >= *deadline_wall_ms;
        let is_ready = || {
            let hydrated = self.controller.hydrated_replicas(cluster);
            pending.iter().all(|replica| hydrated.contains(replica))
        };
        match cutover {
            Cutover::AtDeadline => is_late.then_some(End::CutOver),
            Cutover::ReadyOrCommit => (is_late || is_ready()).then_some(End::CutOver),
            Cutover::ReadyOrRollBack if is_ready() => Some(End::CutOver),
            Cutover::ReadyOrRollBack => is_late.then_some(End::RollBack),
        }
    }

    /// Ends a change, unless it has ended already or another has taken its place.
    ///
    /// Cancel safety: dropped, the change is ended or goes on.
    pub(crate) async fn end(&self, cluster: ClusterId, change: u64, end: End) -> Result<(), Error> {
        loop {
            let catalog = self.catalog.load_full();
            if !catalog.is_reconfiguring(cluster, change) {
                return Ok(());
            }
            let transacted = catalog.transact(vec![Op::EndReconfiguration(cluster, end)])?;
            match self.committer.ddl(catalog.version(), transacted).await {
                Ok(_) => {
                    info!(%cluster, ?end, "ended a change of replicas");
                    return Ok(());
                }
                // Each time another change of the catalog was made.
                Err(SubmitError::Stale | SubmitError::Conflict) => {}
                Err(SubmitError::Failed(error)) => return Err(error),
            }
        }
    }

    /// Waits until the change that brings `pending` has ended. Errors: it was given up, or its cluster dropped.
    ///
    /// Cancel safety: dropped, the change is given up, unless it ends before that comes through, or environmentd stops: the
    /// next one goes on with it.
    pub(crate) async fn ended(mut self, cluster: ClusterId, change: u64, pending: Vec<ReplicaId>) -> Result<(), Error> {
        let mut guard = GivesUp { of: Some((self.clone(), cluster, change)) };
        loop {
            self.versions.mark_unchanged();
            let catalog = self.catalog.load_full();
            if !catalog.is_reconfiguring(cluster, change) {
                guard.of = None;
                return outcome(&catalog, cluster, &pending);
            }
            if self.versions.changed().await.is_err() {
                guard.of = None;
                return Err(Error::fatal("57P01", "terminating connection due to administrator command"));
            }
        }
    }
}

/// What became of a change that has ended.
fn outcome(catalog: &Catalog, cluster: ClusterId, pending: &[ReplicaId]) -> Result<(), Error> {
    let Some(cluster) = catalog.cluster_by_id(cluster) else {
        return Err(Error::new("42704", "the cluster was dropped while its replicas were being replaced"));
    };
    let still_comes = |id: &ReplicaId| cluster.reconfiguration.as_ref().is_some_and(|of| of.pending.contains(id));
    let serves = |id: &ReplicaId| cluster.replicas.iter().any(|replica| replica.id == *id) && !still_comes(id);
    if pending.iter().all(serves) {
        return Ok(());
    }
    let name = sql::quoted(&cluster.name);
    let message = format!("the new replicas of cluster {name} were given up");
    Err(Error::new("55000", message)
        .with_detail("They were not ready in time, or another ALTER CLUSTER has replaced this one.")
        .with_hint(
            "Give them longer with TIMEOUT; while they come, mz_internal.mz_cluster_replica_statuses tells of them.",
        ))
}

/// Gives a change up when the statement that waits for it is canceled.
struct GivesUp {
    of: Option<(Reconfigurations, ClusterId, u64)>,
}

impl Drop for GivesUp {
    fn drop(&mut self) {
        let Some((reconfigurations, cluster, change)) = self.of.take() else { return };
        if reconfigurations.shutdown.is_triggered() {
            return;
        }
        let tasks = reconfigurations.tasks.clone();
        let give_up = async move {
            if let Err(error) = reconfigurations.end(cluster, change, End::RollBack).await {
                warn!(%cluster, %error, "cannot give up a change of replicas; it goes on to its end");
            }
        };
        tasks.spawn("give up a change of replicas", give_up).detach();
    }
}
