//! A process on the simulation's executor: a log in memory, a controller, and one worker that the tests step.

mod fencing;
mod flags;
mod replica;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use controller::{Controller, ControllerConfig, ReplicaLauncher, ReplicaSize, ReplicaSpec};
use parking_lot::Mutex;
use persist::{Commit, CreateShard, GroupId, Leader, LeaderConfig, LeaderHandle, MemLog, memory_blob};
use protocol::link::{ComputeDuplex, Link, LinkError, StorageDuplex, pair};
use repr::{ClusterId, CollectionId, Datum, Diff, ReplicaId, Row, ServiceId, ShardId, Timestamp};
use stdx::sim::{Executor, Step};
use stdx::{Rng, Tasks};

use crate::{Process, ProcessConfig, WorkerLoop};

pub(crate) const CLUSTER: ClusterId = ClusterId(1);
pub(crate) const REPLICA: ReplicaId = ReplicaId(1);
const START_MS: u64 = 1_000_000;
/// Steps in which a test must reach what it waits for.
const STEPS_MAX: usize = 200_000;

pub(crate) fn user(id: u64) -> CollectionId {
    CollectionId::User(id)
}

pub(crate) fn row(values: &[i64]) -> Row {
    Row::pack(values.iter().map(|value| Datum::Int(*value)))
}

/// Reaches whichever process is alive.
#[derive(Clone, Default)]
struct Alive(Arc<Mutex<Option<Arc<Process>>>>);

struct SimulatedLink(Alive);

impl SimulatedLink {
    fn process(&self) -> Result<Arc<Process>, LinkError> {
        let dead = LinkError { peer: "simulation".to_owned(), reason: "dead".to_owned() };
        self.0.0.lock().clone().ok_or(dead)
    }
}

#[async_trait]
impl Link for SimulatedLink {
    async fn compute(&self) -> Result<ComputeDuplex, LinkError> {
        let process = self.process()?;
        let (ours, theirs) = pair();
        process.accept_compute(theirs);
        Ok(ours)
    }

    async fn storage(&self) -> Result<StorageDuplex, LinkError> {
        let process = self.process()?;
        let (ours, theirs) = pair();
        process.accept_storage(theirs);
        Ok(ours)
    }
}

#[async_trait]
impl ReplicaLauncher for Alive {
    fn ensure(&self, _: &ReplicaSpec) -> Result<Vec<Arc<dyn Link>>, LinkError> {
        Ok(vec![Arc::new(SimulatedLink(self.clone()))])
    }

    fn stop(&self, _: &ReplicaSpec) {}

    async fn retain(&self, _: &[ReplicaSpec]) {}
}

/// environmentd's half in group 0 of the executor, the process in a group of its own for each life.
pub(crate) struct World {
    pub(crate) executor: Executor,
    pub(crate) rng: Rng,
    pub(crate) leader: LeaderHandle,
    pub(crate) controller: Controller,
    alive: Alive,
    worker: Option<WorkerLoop>,
    lives: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let rng = Rng::from_seed(seed);
        let executor = Executor::new(rng.clone(), START_MS);
        let tasks = executor.tasks(0);
        let config = LeaderConfig::new(Arc::new(MemLog::new()), memory_blob(), tasks.clone(), rng.clone());
        let leader = executor.block_on(async move { Leader::open(config).await.unwrap() });
        let alive = Alive::default();
        let controller = Controller::new(ControllerConfig {
            tasks,
            rng: rng.clone(),
            durable: Arc::new(leader.clone()),
            launcher: Arc::new(alive.clone()),
            version: "test".to_owned(),
        });
        controller.create_cluster(CLUSTER);
        let mut world = World { executor, rng, leader, controller, alive, worker: None, lives: 0 };
        world.start();
        world
    }

    pub(crate) fn tasks(&self) -> Tasks {
        self.executor.tasks(0)
    }

    /// Starts a new process.
    pub(crate) fn start(&mut self) {
        self.lives += 1;
        let config = ProcessConfig {
            workers: 1,
            process: 0,
            shards: Arc::new(self.leader.clone()),
            tasks: self.executor.tasks(self.lives),
            rng: self.rng.clone(),
            version: "test".to_owned(),
            halt: Arc::new(|why| panic!("halted: {why}")),
        };
        let (process, worker) = Process::single_threaded(config, Arc::new(|| {}));
        *self.alive.0.lock() = Some(Arc::new(process));
        self.worker = Some(worker);
    }

    /// Ends the process as `kill -9` would.
    pub(crate) fn kill(&mut self) {
        *self.alive.0.lock() = None;
        self.executor.kill(self.lives);
        self.worker = None;
    }

    pub(crate) fn process(&self) -> Arc<Process> {
        self.alive.0.lock().clone().unwrap()
    }

    /// Runs everything until a condition holds.
    pub(crate) fn run_until(&mut self, what: &str, condition: impl Fn(&World) -> bool) {
        for _ in 0..STEPS_MAX {
            if condition(self) {
                return;
            }
            self.step();
        }
        panic!("never came: {what}; waiting: {:?}", self.executor.waiting());
    }

    fn step(&mut self) {
        if self.executor.step() != Step::Polled
            && let Some(worker) = &mut self.worker
        {
            worker.settle();
        } else if self.rng.below(4) == 0
            && let Some(worker) = &mut self.worker
        {
            worker.step();
        }
    }

    /// Runs everything until a future has come to its result.
    pub(crate) fn wait<T: Send + 'static>(&mut self, future: impl Future<Output = T> + Send + 'static) -> T {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let task = self.tasks().spawn("test", async move {
            *slot.lock() = Some(future.await);
        });
        self.run_until("the result of a future", |_| result.lock().is_some());
        drop(task);
        let value = result.lock().take();
        value.unwrap()
    }

    /// Commits rows to tables, and makes shards; the time.
    pub(crate) fn commit(&mut self, creates: &[(u64, bool)], appends: &[(u64, &[Row])]) -> Timestamp {
        let leader = self.leader.clone();
        let ts = leader.now().max(leader.group_upper(GroupId::TABLES));
        let group = |table: bool| table.then_some(GroupId::TABLES);
        let create = |(shard, table): &(u64, bool)| CreateShard {
            shard: ShardId(*shard),
            group: group(*table),
            scheduled: false,
        };
        let append = |(shard, rows): &(u64, &[Row])| {
            (ShardId(*shard), rows.iter().map(|row| (row.clone(), Diff::ONE)).collect())
        };
        let commit = Commit {
            creates: creates.iter().map(create).collect(),
            appends: appends.iter().map(append).collect(),
            ..Commit::tick(GroupId::TABLES, ts)
        };
        self.wait(async move { leader.commit(commit).await }).unwrap();
        ts
    }

    /// The contents of a shard at a time, once its upper is beyond it.
    pub(crate) fn contents(&mut self, shard: u64, at: Timestamp) -> BTreeMap<Row, Diff> {
        let leader = self.leader.clone();
        let read = async move {
            leader.wait_upper(ShardId(shard), at).await;
            leader.snapshot(ShardId(shard), at).await.unwrap()
        };
        self.wait(read).into_iter().collect()
    }

    pub(crate) fn create_replica(&self) {
        let size = ReplicaSize { workers: 1, processes: 1 };
        self.controller.create_replica(CLUSTER, REPLICA, "r1".to_owned(), ServiceId(0), size);
    }
}
