//! `ALTER CLUSTER … SET`, `RESET`: the change begins with the statement's commit and ends in the background, see
//! `reconfigurations`; a statement that says WAIT waits for that.

use catalog::{AlterCluster, Op, Transacted};
use repr::{ClusterId, ReplicaId};
use sql::Plan;
use sql::catalog_view::Cutover;
use sql::plan::{AlterClusterPlan, ClusterWait};

use crate::error::Error;
use crate::session::Session;

/// For how long replicas that come may compute what they need, if the statement does not wait for them.
const BACKGROUND: ClusterWait = ClusterWait { limit_ms: 24 * 60 * 60 * 1000, cutover: Cutover::ReadyOrRollBack };

/// The change that a statement waits for, and who comes with it.
pub(super) type Awaited = Option<(ClusterId, u64, Vec<ReplicaId>)>;

/// The cluster whose new replicas a statement waits for.
pub(super) fn waits_for(plan: &Plan) -> Option<ClusterId> {
    match plan {
        Plan::AlterCluster(AlterClusterPlan { cluster, wait: Some(_), .. }) => Some(*cluster),
        _ => None,
    }
}

/// What a statement that is about to be committed has to wait for then.
pub(super) fn awaited(cluster: Option<ClusterId>, transacted: &Transacted) -> Awaited {
    let reconfiguration = transacted.catalog.cluster_by_id(cluster?)?.reconfiguration.as_ref()?;
    Some((cluster?, reconfiguration.id, reconfiguration.pending.clone()))
}

impl Session {
    pub(super) fn alter_cluster(&self, plan: AlterClusterPlan) -> Op {
        let AlterClusterPlan { cluster, to, wait } = plan;
        let ClusterWait { limit_ms, cutover } = wait.unwrap_or(BACKGROUND);
        Op::AlterCluster(AlterCluster {
            cluster,
            to,
            hydrated: self.environment.controller.hydrated_replicas(cluster),
            deadline_wall_ms: self.environment.tasks.clock().wall_ms().saturating_add(limit_ms),
            cutover,
            is_awaited: wait.is_some(),
        })
    }

    /// Waits for what a statement that was committed has begun.
    pub(super) async fn await_reconfiguration(&self, awaited: Awaited) -> Result<(), Error> {
        match awaited {
            Some((cluster, change, pending)) => {
                self.environment.reconfigurations.clone().ended(cluster, change, pending).await
            }
            None => Ok(()),
        }
    }
}
