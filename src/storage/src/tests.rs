//! A simulated environment for this crate's tests: a log in memory and its leader on a seeded executor with virtual time,
//! and timely workers of this thread that take their steps in between.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use persist::{
    Blob, Commit, CreateShard, GroupId, Leader, LeaderConfig, LeaderHandle, MemLog, Shards, WriterId, memory_blob,
};
use repr::{Datum, Diff, Row, ShardId, Timestamp};
use stdx::sim::{Executor, Step};
use stdx::{Clock, Rng};
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::worker::Worker;
use uuid::Uuid;

use crate::context::WorkerContext;
use crate::feed::StoredUpdate;

mod ingestions;
mod parallel_sinks;
mod sinks;
mod sources;
mod threads;

/// The wall clock at the start of every test, in milliseconds.
pub(crate) const START: u64 = 1_000_000;
/// Times in a millisecond.
pub(crate) const MS: u64 = 1000;

pub(crate) struct World {
    pub(crate) executor: Executor,
    pub(crate) rng: Rng,
    pub(crate) leader: LeaderHandle,
    config: LeaderConfig,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        World::with_inline(seed, 256 << 10)
    }

    /// Batches longer than `inline_bytes_max` go to the blob store.
    pub(crate) fn with_inline(seed: u64, inline_bytes_max: usize) -> World {
        let rng = Rng::from_seed(seed);
        let executor = Executor::new(rng.clone(), START);
        let log = Arc::new(MemLog::new());
        let mut config = LeaderConfig::new(log, memory_blob(), executor.tasks(0), rng.clone());
        config.boot_grace = std::time::Duration::from_secs(2);
        config.inline_bytes_max = inline_bytes_max;
        let leader = open(&executor, &config);
        World { executor, rng, leader, config }
    }

    /// Kills the leader and starts another on the same log.
    pub(crate) fn restart_leader(&mut self) {
        self.executor.kill(0);
        self.leader = open(&self.executor, &self.config);
    }

    /// What a worker of a replica with one worker is given; `group` names its tasks.
    pub(crate) fn context(&self, group: u64) -> WorkerContext {
        WorkerContext {
            index: 0,
            peers: 1,
            local_index: 0,
            shards: Arc::new(self.leader.clone()),
            tasks: self.executor.tasks(group),
            rng: self.rng.clone(),
            wake: Arc::new(|| {}),
            halt: Arc::new(|why| panic!("halted: {why}")),
            generation: Arc::new(AtomicU64::new(1)),
        }
    }

    /// In microseconds.
    pub(crate) fn now(&self) -> u64 {
        Timestamp::from(self.executor.wall()).micros()
    }

    pub(crate) fn block_on<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        self.executor.block_on(future)
    }

    /// Makes solo shards, created now.
    pub(crate) fn create(&self, shards: &[u64]) -> Timestamp {
        let leader = self.leader.clone();
        let ts = Timestamp::new(self.now()).max(leader.group_upper(GroupId::TABLES));
        let create = |shard: &u64| CreateShard { shard: ShardId(*shard), group: None, scheduled: false };
        let creates = shards.iter().map(create).collect();
        let commit = Commit { creates, ..Commit::tick(GroupId::TABLES, ts) };
        self.block_on(async move { leader.commit(commit).await }).expect("created");
        ts
    }

    pub(crate) fn append(&self, shard: u64, lower: u64, upper: u64, updates: Vec<StoredUpdate>) {
        let leader = self.leader.clone();
        let token = Uuid::from_bytes(self.rng.bytes16());
        let (lower, upper) = (Timestamp::new(lower), Timestamp::new(upper));
        let writer = WriterId::anonymous(1);
        self.block_on(async move { leader.append(ShardId(shard), writer, lower, upper, updates, token).await })
            .expect("appended");
    }

    pub(crate) fn upper(&self, shard: u64) -> Timestamp {
        self.leader.upper(ShardId(shard)).expect("the shard exists")
    }

    /// The consolidated contents at a time below the upper.
    pub(crate) fn contents(&self, shard: u64, at: Timestamp) -> Vec<(Row, Diff)> {
        let leader = self.leader.clone();
        self.block_on(async move { leader.snapshot(ShardId(shard), at).await }).expect("readable")
    }

    pub(crate) fn blob(&self) -> Blob {
        Arc::clone(&self.config.blob)
    }

    /// Runs tasks, without workers, for so long.
    pub(crate) fn pass(&self, time: std::time::Duration) {
        let sleep = self.executor.tasks(0).sleep(time);
        self.block_on(sleep);
    }

    /// Lets tasks run, without workers, for so many steps.
    pub(crate) fn run_steps(&self, steps: u64) {
        for _ in 0..steps {
            if self.executor.step() == Step::Idle {
                return;
            }
        }
    }

    /// Runs tasks until the condition holds; panics after an hour of virtual time.
    pub(crate) fn run_until(&self, what: &str, mut condition: impl FnMut(&World) -> bool) {
        let deadline = self.now() + 3_600_000 * MS;
        while !condition(self) {
            assert!(self.now() < deadline, "never happened: {what}; waiting: {:?}", self.executor.waiting());
            self.executor.step();
        }
    }

    /// As `run_until`, with a worker that takes a step after each task.
    pub(crate) fn work_until(&self, what: &str, workers: &mut [&mut Worker], mut condition: impl FnMut() -> bool) {
        let deadline = self.now() + 3_600_000 * MS;
        while !condition() {
            assert!(self.now() < deadline, "never happened: {what}; waiting: {:?}", self.executor.waiting());
            self.executor.step();
            for worker in workers.iter_mut() {
                worker.step();
            }
        }
    }
}

fn open(executor: &Executor, config: &LeaderConfig) -> LeaderHandle {
    let config = config.clone();
    executor.block_on(async move { Leader::open(config).await }).expect("the log opens")
}

/// A timely worker of this thread, to be stepped by hand.
pub(crate) fn worker() -> Worker {
    Worker::new(WorkerConfig::default(), Allocator::Thread(Thread::default()), None)
}

pub(crate) fn row(number: i64) -> Row {
    Row::pack([Datum::Int(number)])
}

pub(crate) fn update(number: i64, time: u64, diff: i64) -> StoredUpdate {
    (row(number), Timestamp::new(time), Diff::new(diff))
}

/// A multiset, by what was added to it.
#[derive(Default)]
pub(crate) struct Multiset<D: Ord>(pub(crate) RefCell<BTreeMap<D, i64>>);

impl<D: Ord + Clone> Multiset<D> {
    pub(crate) fn add(&self, item: D, diff: i64) {
        let mut items = self.0.borrow_mut();
        let count = items.entry(item.clone()).or_default();
        *count += diff;
        if *count == 0 {
            items.remove(&item);
        }
    }

    pub(crate) fn items(&self) -> Vec<(D, i64)> {
        self.0.borrow().iter().map(|(item, count)| (item.clone(), *count)).collect()
    }
}
