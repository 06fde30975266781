//! Merges of parts that replicas do for the log's leader.
//!
//! A merge is no part of any history: it is sent once, to a replica of whatever cluster, on the connection that it has. If that
//! breaks, or no answer comes in time, another replica is asked, and then the leader does it itself. A replica that goes on
//! nevertheless writes garbage only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use persist::{MergeHelper, MergeJob, Run};
use repr::{ClusterId, ReplicaId};
use stdx::Tasks;
use tokio::sync::oneshot;

use crate::controller::{Controller, Shared};

/// So many replicas are asked.
const TRIES_MAX: usize = 2;
/// How long one may take.
const MERGE_TIME_MAX: Duration = Duration::from_secs(600);
/// A job that is longer is not sent.
const JOB_BYTES_MAX: usize = 16 << 20;

/// What replicas were asked to merge.
#[derive(Default)]
pub(crate) struct Merges {
    next: u64,
    pending: BTreeMap<u64, Pending>,
}

struct Pending {
    replica: ReplicaId,
    sender: oneshot::Sender<Result<Vec<u8>, String>>,
}

/// A merge on its way to a replica.
pub(crate) struct MergeOrder {
    pub(crate) number: u64,
    pub(crate) job: Vec<u8>,
}

impl Merges {
    /// An answer, maybe to what nobody waits for any more.
    pub(crate) fn done(&mut self, number: u64, run: Result<Vec<u8>, String>) {
        if let Some(pending) = self.pending.remove(&number) {
            // Whoever asked may have left.
            let _ = pending.sender.send(run);
        }
    }

    /// A replica's connection is gone, and with it what it was asked.
    pub(crate) fn lost(&mut self, replica: ReplicaId) {
        self.pending.retain(|_, pending| pending.replica != replica);
    }

    fn count(&self, replica: ReplicaId) -> usize {
        self.pending.values().filter(|pending| pending.replica == replica).count()
    }
}

/// An answer that somebody waits for. Dropping it forgets the question.
struct Asked {
    /// Weak: what waits here must not keep the leader from ending.
    shared: Weak<Shared>,
    tasks: Tasks,
    replica: ReplicaId,
    number: u64,
    receiver: oneshot::Receiver<Result<Vec<u8>, String>>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.state.lock().merges.pending.remove(&self.number);
        }
    }
}

impl Shared {
    /// Asks a connected replica that is not one of `tried`: one that merges nothing else, if there is one.
    fn ask_to_merge(self: &Arc<Shared>, tried: &BTreeSet<ReplicaId>, job: &[u8]) -> Option<Asked> {
        let mut state = self.state.lock();
        let connected = state.clusters.iter().flat_map(|(cluster, found)| {
            let replicas = found.replicas.iter().filter(|(_, replica)| replica.connection.is_some());
            replicas.map(|(id, _)| (*cluster, *id))
        });
        let untried = connected.filter(|(_, id)| !tried.contains(id));
        let least_busy = untried.min_by_key(|(_, id)| state.merges.count(*id));
        let (cluster, replica): (ClusterId, ReplicaId) = least_busy?;
        state.merges.next += 1;
        let number = state.merges.next;
        let target = state.clusters.get_mut(&cluster)?.replicas.get_mut(&replica)?;
        target.merges.push_back(MergeOrder { number, job: job.to_vec() });
        target.notify.notify_one();
        let (sender, receiver) = oneshot::channel();
        state.merges.pending.insert(number, Pending { replica, sender });
        drop(state);
        Some(Asked { shared: Arc::downgrade(self), tasks: self.tasks.clone(), replica, number, receiver })
    }
}

/// Has replicas merge. Does not keep the controller alive, which keeps the leader that asks.
pub struct ReplicaMerges(Weak<Shared>);

impl Controller {
    /// Has the replicas of this controller do merges.
    pub fn merge_helper(&self) -> ReplicaMerges {
        ReplicaMerges(Arc::downgrade(&self.shared))
    }
}

#[async_trait]
impl MergeHelper for ReplicaMerges {
    async fn merge(&self, job: MergeJob) -> Result<Run, String> {
        let job = job.to_bytes();
        if job.len() > JOB_BYTES_MAX {
            return Err(format!("the job takes {} bytes", job.len()));
        }
        let mut tried = BTreeSet::new();
        let mut reason = "no replica is connected".to_owned();
        while tried.len() < TRIES_MAX {
            let asked = self.0.upgrade().and_then(|shared| shared.ask_to_merge(&tried, &job));
            let Some(mut asked) = asked else { break };
            tried.insert(asked.replica);
            let tasks = asked.tasks.clone();
            reason = match tasks.timeout(MERGE_TIME_MAX, &mut asked.receiver).await {
                Ok(Ok(Ok(run))) => return Run::of_bytes(run.into()).map_err(|error| error.to_string()),
                Ok(Ok(Err(error))) => error,
                Ok(Err(_)) => "the connection was lost".to_owned(),
                Err(_) => "no answer in time".to_owned(),
            };
            tracing::info!(replica = %asked.replica, reason, "a replica has not merged what it was asked to");
        }
        Err(reason)
    }
}
