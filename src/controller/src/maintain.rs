//! How sinces move: an index's trails its upper, and every dataflow's inputs are held where a replica that connects now
//! would have to read them.
//!
//! For each export the least time still needed is
//! * index: its since, which is `min(upper - lag, now - lag, every hold)`, the upper being the least of the connected replicas;
//! * materialized view: its durable upper - 1;
//! * subscribe: what was passed on - 1;
//!
//! and never beyond the as-of that a connected replica was sent and has not passed yet, because it may not have opened its
//! inputs. The dataflow's as-of, at which its inputs are held, is the least of its exports.

use std::sync::Arc;
use std::time::Duration;

use protocol::{ComputeCommand, Export};
use repr::{CollectionId, Timestamp};

use crate::controller::{INDEX_LAG, Shared};
use crate::durable::Durable;
use crate::hold::ReadHolds;
use crate::state::{Cluster, Collection, State};

/// How often sinces move.
const INTERVAL: Duration = Duration::from_secs(1);

/// Moves sinces for ever.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        shared.tasks.sleep(INTERVAL).await;
        // Holds are dropped after the lock is released.
        let released = shared.advance_sinces();
        drop(released);
    }
}

/// `time - lag`, for a time that is not beyond `now`.
pub(crate) fn lagged(upper: Timestamp, now: Timestamp) -> Timestamp {
    upper.min(now).minus(INDEX_LAG)
}

impl Shared {
    fn advance_sinces(&self) -> Vec<ReadHolds> {
        let now = self.durable.now();
        let mut state = self.state.lock();
        let ids: Vec<_> = state.clusters.iter().filter(|(_, cluster)| cluster.initialized).map(|(id, _)| *id).collect();
        for id in ids {
            self.advance_indexes(&mut state, id, now);
            if let Some(cluster) = state.clusters.get_mut(&id) {
                self.advance_inputs(cluster);
            }
        }
        state.take_released(self.tasks.clock().boot())
    }

    /// Raises the sinces of a cluster's indexes and tells its replicas.
    fn advance_indexes(&self, state: &mut State, cluster: repr::ClusterId, now: Timestamp) {
        let Some(owner) = state.clusters.get(&cluster) else { return };
        let mut wanted = Vec::new();
        for flow in owner.dataflows.values() {
            for export in &flow.exports {
                if let Export::Index { index, .. } = export
                    && owner.exports.contains_key(index)
                {
                    let upper = owner.least_upper(*index).unwrap_or_else(|| state.reachable(&*self.durable, *index));
                    wanted.push((*index, lagged(upper, now)));
                }
            }
        }
        let Some(owner) = state.clusters.get_mut(&cluster) else { return };
        for (id, wanted) in wanted {
            let wanted = owner.unopened_as_of(id).map_or(wanted, |as_of| wanted.min(as_of));
            if let Some(since) = self.index_holds.propose(id, wanted) {
                owner.push_compute(ComputeCommand::AllowCompaction { id, since: Some(since) });
            }
        }
    }

    /// Lets go of what no export needs any more.
    fn advance_inputs(&self, cluster: &mut Cluster) {
        let mut moves = Vec::new();
        for (key, flow) in &cluster.dataflows {
            let mut as_of = Timestamp::MAX;
            for export in flow.exports.iter().filter(|export| cluster.exports.contains_key(&export.id())) {
                let needed = match export {
                    Export::Index { index, .. } => self.index_holds.since(*index).unwrap_or(flow.as_of),
                    Export::MaterializedView { shard, .. } => {
                        self.durable.frontiers(*shard).map_or(flow.as_of, |frontiers| frontiers.upper.step_back())
                    }
                    Export::Subscribe { id, .. } => {
                        let subscribe = cluster.subscribes.get(id);
                        subscribe.map_or(flow.as_of, |subscribe| subscribe.lock().frontier().step_back())
                    }
                };
                as_of = as_of.min(needed).min(cluster.unopened_as_of(export.id()).unwrap_or(Timestamp::MAX));
            }
            if as_of > flow.as_of && as_of < Timestamp::MAX {
                moves.push((*key, as_of));
            }
        }
        for (key, as_of) in moves {
            if let Some(flow) = cluster.dataflows.get_mut(&key) {
                flow.as_of = as_of;
                flow.holds.advance(as_of);
            }
        }
        for state in cluster.ingestions.values_mut() {
            let uppers = state.ingestion.exports.iter().filter_map(|export| self.durable.frontiers(export.shard));
            let least = uppers.map(|frontiers| frontiers.upper).min();
            if let Some(least) = least.filter(|least| *least < Timestamp::MAX) {
                state.holds.advance(least.step_back());
            }
        }
    }
}

impl Cluster {
    /// The least as-of of an export at which a connected replica may still have to open its inputs.
    fn unopened_as_of(&self, id: CollectionId) -> Option<Timestamp> {
        let sent = |replica: &crate::state::Replica| {
            let as_of = *replica.connection.as_ref()?.sent_as_of.get(&id)?;
            (replica.upper(id) <= as_of).then_some(as_of)
        };
        self.replicas.values().filter_map(sent).min()
    }
}

impl State {
    /// How far a collection could be read if it were computed without delay: its durable upper, or for an index that no
    /// replica computes now the least of its inputs.
    pub(crate) fn reachable(&self, durable: &dyn Durable, id: CollectionId) -> Timestamp {
        match self.collections.get(&id) {
            None => Timestamp::MIN,
            Some(Collection::Shard(shard)) => {
                durable.frontiers(*shard).map_or(Timestamp::MIN, |frontiers| frontiers.upper)
            }
            Some(Collection::Index { cluster, upper }) => {
                let Some(owner) = self.clusters.get(cluster) else { return *upper };
                if owner.least_upper(id).is_some() {
                    return *upper;
                }
                // Dependencies are acyclic: an import must exist before the dataflow that imports it.
                let imports = owner.dataflow_of(id).map(|flow| flow.imports.as_slice()).unwrap_or_default();
                let least = imports.iter().map(|import| self.reachable(durable, *import)).min();
                least.unwrap_or(Timestamp::MAX).max(*upper)
            }
        }
    }
}
