//! How environmentd and clusterd reach each other: channels in place of sockets, cut whenever one side dies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clusterd::Process;
use controller::{ReplicaLauncher, ReplicaSpec};
use futures::future::{Either, select};
use parking_lot::Mutex;
use persist::{AppendError, LeaderHandle, Shards, SubscribeError, Subscription, Update, WriterId};
use protocol::link::{ComputeDuplex, Link, LinkError, StorageDuplex, pair};
use repr::{ShardId, Timestamp};
use stdx::Tasks;
use tokio::sync::watch;
use uuid::Uuid;

/// Before a refused connection is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Every replica that was ever asked for, with its process if that is alive. Outlives all processes, as machines do.
#[derive(Clone, Default)]
pub struct Machines(Arc<Mutex<BTreeMap<String, Option<Arc<Process>>>>>);

impl Machines {
    /// Replicas that were asked for and have no process.
    pub(crate) fn wanted(&self) -> Vec<String> {
        self.0.lock().iter().filter(|(_, process)| process.is_none()).map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn set(&self, id: &str, process: Option<Arc<Process>>) {
        let before = self.0.lock().insert(id.to_owned(), process);
        // Its destructor ends connections, which must not happen under the lock.
        drop(before);
    }

    fn process(&self, id: &str) -> Result<Arc<Process>, LinkError> {
        let dead = || LinkError { peer: id.to_owned(), reason: "connection refused".to_owned() };
        self.0.lock().get(id).cloned().flatten().ok_or_else(dead)
    }
}

struct MachineLink {
    machines: Machines,
    id: String,
}

#[async_trait]
impl Link for MachineLink {
    async fn compute(&self) -> Result<ComputeDuplex, LinkError> {
        let process = self.machines.process(&self.id)?;
        let (ours, theirs) = pair();
        process.accept_compute(theirs);
        Ok(ours)
    }

    async fn storage(&self) -> Result<StorageDuplex, LinkError> {
        let process = self.machines.process(&self.id)?;
        let (ours, theirs) = pair();
        process.accept_storage(theirs);
        Ok(ours)
    }
}

#[async_trait]
impl ReplicaLauncher for Machines {
    fn ensure(&self, replica: &ReplicaSpec) -> Result<Vec<Arc<dyn Link>>, LinkError> {
        let id = replica.service_id();
        self.0.lock().entry(id.clone()).or_default();
        Ok(vec![Arc::new(MachineLink { machines: self.clone(), id })])
    }

    fn stop(&self, _: &ReplicaSpec) {}

    async fn retain(&self, _: &[ReplicaSpec]) {}
}

/// The leader that clusterd's connections lead to: the latest that has come up, none while that is dead.
#[derive(Clone, Default)]
pub struct Reachable(Arc<watch::Sender<Option<LeaderHandle>>>);

impl Reachable {
    /// A leader is up; one of an earlier epoch is no longer asked.
    pub(crate) fn up(&self, leader: LeaderHandle) {
        self.0.send_if_modified(|current| {
            let newer = current.as_ref().is_none_or(|current| current.epoch() < leader.epoch());
            if newer {
                *current = Some(leader);
            }
            newer
        });
    }

    /// The leader of this epoch is dead.
    pub(crate) fn down(&self, epoch: u64) {
        self.0.send_if_modified(|current| {
            let was = current.as_ref().is_some_and(|current| current.epoch() == epoch);
            if was {
                *current = None;
            }
            was
        });
    }
}

/// What clusterd sees of the log: like a connection to shardctl, it waits for a leader and asks the next one again.
pub(crate) struct RemoteLeader {
    pub(crate) reachable: Reachable,
    pub(crate) tasks: Tasks,
}

async fn next_leader(leaders: &mut watch::Receiver<Option<LeaderHandle>>) -> LeaderHandle {
    let leader = leaders.wait_for(Option::is_some).await.map(|leader| leader.clone());
    leader.ok().flatten().expect("the world outlives its processes")
}

#[async_trait]
impl Shards for RemoteLeader {
    async fn append(
        &self,
        shard: ShardId,
        writer: WriterId,
        expect_upper: Timestamp,
        new_upper: Timestamp,
        updates: Vec<Update>,
        token: Uuid,
    ) -> Result<(), AppendError> {
        let mut leaders = self.reachable.0.subscribe();
        loop {
            let leader = next_leader(&mut leaders).await;
            let append = leader.append(shard, writer, expect_upper, new_upper, updates.clone(), token);
            let cut = std::pin::pin!(leaders.changed());
            match select(append, cut).await {
                Either::Left((Err(AppendError::Unknown(_) | AppendError::Halted(_)), _)) => {}
                Either::Left((outcome, _)) => return outcome,
                Either::Right(_) => continue,
            }
            self.tasks.sleep(RETRY).await;
        }
    }

    async fn subscribe(&self, shard: ShardId, as_of: Timestamp) -> Result<Subscription, SubscribeError> {
        let leader = next_leader(&mut self.reachable.0.subscribe()).await;
        leader.subscribe(shard, as_of).await
    }
}
