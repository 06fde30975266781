//! How environmentd and clusterd reach each other: channels in place of sockets, over a network that delays messages, holds
//! them back and breaks connections, and cut whenever one side dies.
//!
//! Messages of one connection arrive in order or not at all, as over TCP. A partition holds them back, the last word of a
//! connection that was closed among them; once it heals they arrive, unless the connection was reset meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clusterd::Process;
use controller::{ReplicaLauncher, ReplicaSpec};
use futures::future::{Either, select};
use parking_lot::Mutex;
use persist::{
    AppendError, BlobErrorText, LeaderHandle, MergeJob, Run, ShardEvent, Shards, SubscribeError, Subscription, Update,
    WriterId,
};
use protocol::link::{ComputeDuplex, Duplex, Link, LinkError, StorageDuplex, pair};
use repr::{ShardId, Timestamp};
use stdx::{Rng, Tasks};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// Before a refused connection is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Which messages a partition holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToReplica,
    ToEnvironment,
}

/// The state of the wire between the environments and one replica.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    holds_to_replica: bool,
    holds_to_environment: bool,
    delay_ms_max: u64,
    /// Counts the moments at which all connections broke.
    resets: u64,
}

impl Weather {
    fn holds(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToReplica => self.holds_to_replica,
            Direction::ToEnvironment => self.holds_to_environment,
        }
    }
}

/// The connection was reset.
struct Reset;

/// The wire between the environments and one replica. Belongs to neither.
#[derive(Clone)]
pub(crate) struct Wire {
    tasks: Tasks,
    rng: Rng,
    weather: Arc<watch::Sender<Weather>>,
}

impl Wire {
    pub(crate) fn new(tasks: Tasks, rng: Rng) -> Wire {
        Wire { tasks, rng, weather: Arc::new(watch::Sender::new(Weather::default())) }
    }

    /// Holds back what goes in these directions, until told otherwise.
    pub(crate) fn hold(&self, directions: &[Direction]) {
        self.weather.send_modify(|weather| {
            weather.holds_to_replica = directions.contains(&Direction::ToReplica);
            weather.holds_to_environment = directions.contains(&Direction::ToEnvironment);
        });
    }

    pub(crate) fn slow_down(&self, delay_ms_max: u64) {
        self.weather.send_modify(|weather| weather.delay_ms_max = delay_ms_max);
    }

    /// Breaks all connections that there are.
    pub(crate) fn reset(&self) {
        self.weather.send_modify(|weather| weather.resets += 1);
    }

    /// Takes a message across, of a connection that was made when there had been `resets` resets.
    async fn travel(&self, direction: Direction, resets: u64) -> Result<(), Reset> {
        let mut weather = self.weather.subscribe();
        let delay_ms_max = weather.borrow().delay_ms_max;
        if delay_ms_max > 0 && self.rng.below(3) == 0 {
            self.tasks.sleep(Duration::from_micros(self.rng.below(delay_ms_max * 1000))).await;
        }
        let arrived = weather.wait_for(|now| now.resets != resets || !now.holds(direction)).await;
        match arrived.map(|now| now.resets == resets) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Reset),
        }
    }

    fn resets(&self) -> u64 {
        self.weather.borrow().resets
    }

    /// Waits until the connections of that time are broken.
    async fn broken(&self, resets: u64) {
        let mut weather = self.weather.subscribe();
        // The wire outlives all that waits here, for they hold it.
        let _ = weather.wait_for(|now| now.resets != resets).await;
    }

    /// Takes messages across, in order, until either end has gone.
    async fn pump<T>(self, direction: Direction, resets: u64, mut from: mpsc::Receiver<T>, to: mpsc::Sender<T>) {
        loop {
            let message = from.recv().await;
            if self.travel(direction, resets).await.is_err() {
                return;
            }
            let Some(message) = message else { return };
            if to.send(message).await.is_err() {
                return;
            }
        }
    }

    /// Makes a connection, of which the far end is returned second.
    async fn connect<A, B>(&self, id: &str) -> Result<(Duplex<A, B>, Duplex<B, A>), LinkError>
    where
        A: Send + 'static,
        B: Send + 'static,
    {
        let resets = self.resets();
        let lost = |_| LinkError { peer: id.to_owned(), reason: "connection timed out".to_owned() };
        self.travel(Direction::ToReplica, resets).await.map_err(lost)?;
        self.travel(Direction::ToEnvironment, resets).await.map_err(lost)?;
        let (near, near_wire) = pair::<A, B>();
        let (far_wire, far) = pair::<A, B>();
        let there = self.clone().pump(Direction::ToReplica, resets, near_wire.receiver, far_wire.sender);
        let back = self.clone().pump(Direction::ToEnvironment, resets, far_wire.receiver, near_wire.sender);
        let wire = self.clone();
        let carry = async move {
            let (there, back) = (std::pin::pin!(there), std::pin::pin!(back));
            let broken = std::pin::pin!(wire.broken(resets));
            select(select(there, back), broken).await;
        };
        self.tasks.spawn("wire", carry).detach();
        Ok((near, far))
    }
}

/// Every replica that was ever asked for, with its process if that is alive. Outlives all processes, as machines do.
#[derive(Clone)]
pub struct Machines {
    tasks: Tasks,
    rng: Rng,
    replicas: Arc<Mutex<BTreeMap<String, Machine>>>,
}

/// Where one replica runs.
struct Machine {
    process: Option<Arc<Process>>,
    wire: Wire,
    is_stopped: bool,
}

impl Machines {
    /// `tasks` are the network's own.
    pub(crate) fn new(tasks: Tasks, rng: Rng) -> Machines {
        Machines { tasks, rng, replicas: Arc::default() }
    }

    /// Replicas that were asked for and have no process.
    pub(crate) fn wanted(&self) -> Vec<String> {
        let replicas = self.replicas.lock();
        replicas.iter().filter(|(_, machine)| machine.process.is_none()).map(|(id, _)| id.clone()).collect()
    }

    /// Forgets replicas that were stopped; which.
    pub(crate) fn take_stopped(&self) -> Vec<String> {
        let mut replicas = self.replicas.lock();
        let stopped = replicas.iter().filter(|(_, machine)| machine.is_stopped).map(|(id, _)| id.clone());
        let stopped: Vec<String> = stopped.collect();
        let machines: Vec<Option<Machine>> = stopped.iter().map(|id| replicas.remove(id)).collect();
        drop(replicas);
        // Their destructors end connections.
        drop(machines);
        stopped
    }

    /// Replicas that were asked for.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.replicas.lock().keys().cloned().collect()
    }

    pub(crate) fn wire(&self, id: &str) -> Option<Wire> {
        self.replicas.lock().get(id).map(|machine| machine.wire.clone())
    }

    pub(crate) fn set(&self, id: &str, process: Option<Arc<Process>>) {
        let before = {
            let mut replicas = self.replicas.lock();
            let Some(machine) = replicas.get_mut(id) else { return };
            std::mem::replace(&mut machine.process, process)
        };
        // Its destructor ends connections, which must not happen under the lock.
        drop(before);
    }

    fn process(&self, id: &str) -> Result<Arc<Process>, LinkError> {
        let dead = || LinkError { peer: id.to_owned(), reason: "connection refused".to_owned() };
        self.replicas.lock().get(id).and_then(|machine| machine.process.clone()).ok_or_else(dead)
    }
}

struct MachineLink {
    machines: Machines,
    wire: Wire,
    id: String,
}

#[async_trait]
impl Link for MachineLink {
    async fn compute(&self) -> Result<ComputeDuplex, LinkError> {
        let (ours, theirs) = self.wire.connect(&self.id).await?;
        self.machines.process(&self.id)?.accept_compute(theirs);
        Ok(ours)
    }

    async fn storage(&self) -> Result<StorageDuplex, LinkError> {
        let (ours, theirs) = self.wire.connect(&self.id).await?;
        self.machines.process(&self.id)?.accept_storage(theirs);
        Ok(ours)
    }
}

#[async_trait]
impl ReplicaLauncher for Machines {
    fn ensure(&self, replica: &ReplicaSpec) -> Result<Vec<Arc<dyn Link>>, LinkError> {
        let id = replica.service_id();
        let wire = || Wire::new(self.tasks.clone(), self.rng.clone());
        let new = || Machine { process: None, wire: wire(), is_stopped: false };
        let wire = self.replicas.lock().entry(id.clone()).or_insert_with(new).wire.clone();
        Ok(vec![Arc::new(MachineLink { machines: self.clone(), wire, id })])
    }

    fn stop(&self, replica: &ReplicaSpec) {
        if let Some(machine) = self.replicas.lock().get_mut(&replica.service_id()) {
            machine.is_stopped = true;
        }
    }

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
    pub(crate) wire: Wire,
    pub(crate) tasks: Tasks,
}

async fn next_leader(leaders: &mut watch::Receiver<Option<LeaderHandle>>) -> LeaderHandle {
    let leader = leaders.wait_for(Option::is_some).await.map(|leader| leader.clone());
    leader.ok().flatten().expect("the world outlives its processes")
}

impl RemoteLeader {
    /// Asks one leader after the other, until an answer has come back.
    async fn ask<T, F>(&self, request: impl Fn(LeaderHandle) -> F + Send + Sync) -> Result<T, AppendError>
    where
        T: Send,
        F: Future<Output = Result<T, AppendError>> + Send,
    {
        let mut leaders = self.reachable.0.subscribe();
        loop {
            let leader = next_leader(&mut leaders).await;
            let resets = self.wire.resets();
            let exchange = async {
                self.wire.travel(Direction::ToEnvironment, resets).await?;
                let outcome = request(leader).await;
                // A reply that is lost leaves the append made: the next try must find its token.
                self.wire.travel(Direction::ToReplica, resets).await.map(|()| outcome)
            };
            let exchange = std::pin::pin!(exchange);
            let cut = std::pin::pin!(leaders.changed());
            match select(exchange, cut).await {
                Either::Left((Err(Reset) | Ok(Err(AppendError::Unknown(_) | AppendError::Halted(_))), _)) => {}
                Either::Left((Ok(outcome), _)) => return outcome,
                Either::Right(_) => continue,
            }
            self.tasks.sleep(RETRY).await;
        }
    }
}

#[async_trait]
impl Shards for RemoteLeader {
    async fn write_run(
        &self,
        shard: ShardId,
        lower: Timestamp,
        upper: Timestamp,
        updates: Vec<Update>,
        writers: usize,
    ) -> Result<Run, AppendError> {
        let updates = &updates;
        self.ask(|leader| async move { leader.write_run(shard, lower, upper, updates.clone(), writers).await }).await
    }

    async fn append_runs(
        &self,
        shard: ShardId,
        writer: WriterId,
        expect_upper: Timestamp,
        new_upper: Timestamp,
        runs: Vec<Run>,
        token: Uuid,
    ) -> Result<(), AppendError> {
        let runs = &runs;
        let append = |leader: LeaderHandle| async move {
            leader.append_runs(shard, writer, expect_upper, new_upper, runs.clone(), token).await
        };
        self.ask(append).await
    }

    async fn merge(&self, job: MergeJob) -> Result<Run, BlobErrorText> {
        let leader = next_leader(&mut self.reachable.0.subscribe()).await;
        leader.merge(job).await
    }

    async fn subscribe(&self, shard: ShardId, as_of: Timestamp) -> Result<Subscription, SubscribeError> {
        let reset = |Reset| SubscribeError::Interrupted("connection reset".to_owned());
        let leader = next_leader(&mut self.reachable.0.subscribe()).await;
        let resets = self.wire.resets();
        self.wire.travel(Direction::ToEnvironment, resets).await.map_err(reset)?;
        let subscription = leader.subscribe(shard, as_of).await;
        self.wire.travel(Direction::ToReplica, resets).await.map_err(reset)?;
        let (sender, events) = mpsc::channel(1);
        let (acks, acked) = watch::channel(Timestamp::MIN);
        let carry = carry(self.wire.clone(), resets, subscription?, sender, acked);
        let reader = self.tasks.spawn("wire: subscription", carry);
        let ack = move |frontier| {
            acks.send_replace(frontier);
        };
        Ok(Subscription::new(events, Box::new(ack), reader))
    }
}

/// Takes the events of a subscription across, and its acknowledgements back.
async fn carry(
    wire: Wire,
    resets: u64,
    mut from: Subscription,
    to: mpsc::Sender<Result<ShardEvent, SubscribeError>>,
    mut acked: watch::Receiver<Timestamp>,
) {
    enum Next {
        Event(Option<Result<ShardEvent, SubscribeError>>),
        Ack,
        Broken,
    }
    loop {
        let next = tokio::select! {
            biased;
            () = wire.broken(resets) => Next::Broken,
            event = from.next() => Next::Event(event),
            _ = acked.changed() => Next::Ack,
        };
        let arrived = match next {
            Next::Broken => Err(Reset),
            // The end of the stream is an event as well: a leader that dies takes its connections along.
            Next::Event(None) => return,
            Next::Event(Some(event)) => match wire.travel(Direction::ToReplica, resets).await {
                Ok(()) if to.send(event).await.is_err() => return,
                arrived => arrived,
            },
            Next::Ack => {
                let frontier = *acked.borrow_and_update();
                let arrived = wire.travel(Direction::ToEnvironment, resets).await;
                if arrived.is_ok() {
                    from.ack(frontier);
                }
                arrived
            }
        };
        if let Err(Reset) = arrived {
            // The reader may have gone.
            let _ = to.send(Err(SubscribeError::Interrupted("connection reset".to_owned()))).await;
            return;
        }
    }
}
