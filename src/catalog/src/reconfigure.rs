//! Other replicas for a managed cluster: those that come are made at once, those that go stay until the others can do their
//! work, so that somebody answers at all times.
//!
//! The cluster's record says what it is to be, and of a change that has begun, which replicas come, which go, and what it was
//! before: whoever leads the log next ends it.
//!
//! ```text
//!            ALTER CLUSTER (size 1 -> 2)          the end of it
//! r1 size 1     serves   retiring                    dropped     or, if it fails:  serves
//! r2 size 2     -        pending, runs too           serves                        dropped
//! ```

use std::collections::BTreeSet;

use repr::{ClusterId, ReplicaId};
use sql::Error;
use sql::catalog_view::{Cluster, ClusterSize, Cutover, Reconfiguration, Replica};

use crate::catalog::Catalog;
use crate::transact::Transaction;

/// A cluster is to have other replicas.
#[derive(Clone, Debug)]
pub struct AlterCluster {
    pub cluster: ClusterId,
    /// None: its replicas are made and dropped one by one from now on.
    pub to: Option<ClusterSize>,
    /// Replicas that answer now: of replicas that are equally good they are the ones to keep.
    pub hydrated: BTreeSet<ReplicaId>,
    pub deadline_wall_ms: u64,
    pub cutover: Cutover,
    /// Whether a change that takes no replica away has an end that is waited for.
    pub is_awaited: bool,
}

/// How a change of replicas ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    CutOver,
    RollBack,
}

impl Catalog {
    /// The changes of replicas that have begun and not ended.
    pub fn reconfigurations(&self) -> impl Iterator<Item = (ClusterId, &Reconfiguration)> {
        self.clusters.values().filter_map(|cluster| Some((cluster.id, cluster.reconfiguration.as_ref()?)))
    }

    /// Whether the change is still on its way.
    pub fn is_reconfiguring(&self, cluster: ClusterId, change: u64) -> bool {
        let reconfiguration = self.cluster_by_id(cluster).and_then(|cluster| cluster.reconfiguration.as_ref());
        reconfiguration.is_some_and(|reconfiguration| reconfiguration.id == change)
    }
}

impl Transaction {
    pub(crate) fn alter_cluster(&mut self, alter: AlterCluster) -> Result<(), Error> {
        let cluster = self.out.catalog.cluster_by_id(alter.cluster).cloned();
        let cluster = cluster.ok_or_else(|| Error::new("42704", "the cluster was dropped"))?;
        let Some(to) = &alter.to else {
            return self.change_cluster(alter.cluster, |cluster| {
                (cluster.size, cluster.replication_factor, cluster.reconfiguration) = (None, 0, None);
            });
        };
        let (mut keeps, missing) = kept(&cluster, to, &alter.hydrated);
        let mut replicas: Vec<Replica> = cluster.replicas.clone();
        for name in free_names(&cluster).take(missing) {
            let replica = Replica { id: ReplicaId(self.next_id()), name, size: to.size.clone() };
            self.assign_service(replica.id);
            keeps.insert(replica.id);
            replicas.push(replica);
        }
        let was_pending = |id: ReplicaId| cluster.reconfiguration.as_ref().is_some_and(|of| of.pending.contains(&id));
        let is_new = |id: ReplicaId| cluster.replicas.iter().all(|replica| replica.id != id);
        let pending: Vec<ReplicaId> = keeps.iter().copied().filter(|id| was_pending(*id) || is_new(*id)).collect();
        let goes = |replica: &&Replica| !keeps.contains(&replica.id);
        let (dropped, mut retiring): (Vec<ReplicaId>, Vec<ReplicaId>) =
            cluster.replicas.iter().filter(goes).map(|replica| replica.id).partition(|id| was_pending(*id));
        let mut dropped: BTreeSet<ReplicaId> = dropped.into_iter().collect();
        if pending.is_empty() {
            // Those that stay have done the work all along.
            dropped.extend(retiring.drain(..));
        }
        let begins = !pending.is_empty() && (!retiring.is_empty() || alter.is_awaited);
        let reconfiguration = begins.then(|| Reconfiguration {
            id: self.next_id(),
            before: before(&cluster, to),
            pending,
            retiring,
            deadline_wall_ms: alter.deadline_wall_ms,
            cutover: alter.cutover,
        });
        dropped.iter().for_each(|id| self.release_service(*id));
        replicas.retain(|replica| !dropped.contains(&replica.id));
        self.change_cluster(alter.cluster, |cluster| {
            (cluster.size, cluster.replication_factor) = (Some(to.size.clone()), to.replication_factor);
            (cluster.replicas, cluster.reconfiguration) = (replicas, reconfiguration);
        })
    }

    /// Ends the change that a cluster is in, if it is in one.
    pub(crate) fn end_reconfiguration(&mut self, id: ClusterId, end: End) -> Result<(), Error> {
        let cluster = self.out.catalog.cluster_by_id(id).cloned();
        let Some(reconfiguration) = cluster.and_then(|cluster| cluster.reconfiguration.clone()) else {
            return Ok(());
        };
        let Reconfiguration { before, pending, retiring, .. } = reconfiguration;
        let dropped = match end {
            End::CutOver => retiring,
            End::RollBack => pending,
        };
        dropped.iter().for_each(|id| self.release_service(*id));
        self.change_cluster(id, |cluster| {
            cluster.replicas.retain(|replica| !dropped.contains(&replica.id));
            cluster.reconfiguration = None;
            if end == End::RollBack {
                (cluster.size, cluster.replication_factor) = (Some(before.size), before.replication_factor);
            }
        })
    }
}

/// What the cluster is without the change: that of the change before, if it has not ended.
fn before(cluster: &Cluster, to: &ClusterSize) -> ClusterSize {
    let begun = cluster.reconfiguration.as_ref().map(|reconfiguration| reconfiguration.before.clone());
    begun.or_else(|| cluster.managed()).unwrap_or_else(|| ClusterSize {
        // It becomes managed, by replicas that are all of this size.
        size: cluster.replicas.first().map_or(&to.size, |replica| &replica.size).clone(),
        replication_factor: u32::try_from(cluster.replicas.len()).unwrap_or(u32::MAX),
    })
}

/// The replicas that stay, and how many there are too few: those that serve before those that come, those that answer before
/// those that do not, the oldest first.
fn kept(cluster: &Cluster, to: &ClusterSize, hydrated: &BTreeSet<ReplicaId>) -> (BTreeSet<ReplicaId>, usize) {
    let is_pending = |id: &ReplicaId| cluster.reconfiguration.as_ref().is_some_and(|of| of.pending.contains(id));
    let fits = cluster.replicas.iter().filter(|replica| replica.size == to.size).map(|replica| replica.id);
    let mut fits: Vec<ReplicaId> = fits.collect();
    fits.sort_by_key(|id| (is_pending(id), !hydrated.contains(id), *id));
    fits.truncate(to.replication_factor as usize);
    let missing = to.replication_factor as usize - fits.len();
    (fits.into_iter().collect(), missing)
}

/// Names as managed replicas have them that none of the cluster's has.
fn free_names(cluster: &Cluster) -> impl Iterator<Item = String> {
    let names: BTreeSet<&str> = cluster.replicas.iter().map(|replica| replica.name.as_str()).collect();
    (1..).map(|number| format!("r{number}")).filter(move |name| !names.contains(name.as_str()))
}

#[cfg(test)]
mod tests;
