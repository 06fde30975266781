//! `shard_sink` over several workers: each holds its share of the rows and writes its run, one appends them all.
//!
//! Each worker has a thread, because timely's channels between workers are built by all of them at once, but only one thread
//! runs at a time: the test hands out turns in an order drawn from a seed, and runs tasks in between.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use async_trait::async_trait;
use differential_dataflow::AsCollection;
use futures::StreamExt;
use object_store::ObjectStore;
use parking_lot::Mutex;
use persist::{AppendError, Blob, BlobErrorText, MergeJob, Part, Run, Shards, SubscribeError, Subscription, WriterId};
use repr::{Row, ShardId, Timestamp};
use timely::communication::WorkerGuards;
use timely::dataflow::InputHandle;
use timely::dataflow::operators::Input;
use timely::worker::Worker;
use trace::Ts;
use uuid::Uuid;

use super::sinks::{Proxy, desired_at, random_history};
use super::{MS, World, row, update};
use crate::context::WorkerContext;
use crate::feed::StoredUpdate;
use crate::shard_sink::{ShardSink, SinkHandle, shard_sink};
use crate::token::Token;

const SHARD: u64 = 9;

type Rows = InputHandle<Ts, timely::container::CapacityContainerBuilder<Vec<(Row, Ts, trace::Diff)>>>;

/// What a worker's thread holds.
struct Seat {
    worker: Worker,
    /// None: the input is complete.
    rows: Option<Rows>,
    handle: SinkHandle,
    token: Option<Token>,
}

type Order = Box<dyn FnOnce(&mut Seat) + Send>;

/// A replica of several workers that take turns. Dropping it is a crash.
struct Replica {
    workers: Vec<mpsc::Sender<Order>>,
    threads: Option<WorkerGuards<()>>,
    positions: Vec<u64>,
}

impl Replica {
    /// `history` is dealt out to the workers as their inputs.
    fn start(context: &WorkerContext, peers: usize, as_of: u64, history: &[StoredUpdate]) -> Replica {
        let (workers, orders): (Vec<_>, Vec<_>) = (0..peers).map(|_| mpsc::channel::<Order>()).unzip();
        let orders = Mutex::new(orders.into_iter().map(Some).collect::<Vec<_>>());
        let (context, history) = (Mutex::new(context.clone()), history.to_vec());
        let work = move |worker: &mut Worker| {
            let index = worker.index();
            let context = WorkerContext { index, peers, local_index: index, ..context.lock().clone() };
            let orders = orders.lock()[index].take().expect("a worker starts once");
            let share = history.iter().skip(index).step_by(peers).cloned().collect::<Vec<_>>();
            let mut seat = sit(&context, worker.clone(), as_of, &share);
            while let Ok(order) = orders.recv() {
                order(&mut seat);
            }
            for dataflow in worker.installed_dataflows() {
                worker.drop_dataflow(dataflow);
            }
        };
        let threads = timely::execute(timely::Config::process(peers), work).expect("the workers start");
        let replica = Replica { workers, threads: Some(threads), positions: vec![as_of; peers] };
        // All have built their dataflow once all have answered.
        (0..peers).for_each(|index| replica.on(index, |_| {}));
        replica
    }

    /// Has a worker do something, while the others wait.
    fn on<T: Send + 'static>(&self, index: usize, act: impl FnOnce(&mut Seat) -> T + Send + 'static) -> T {
        let (reply, answer) = mpsc::channel();
        let order: Order = Box::new(move |seat| {
            let _ = reply.send(act(seat));
        });
        self.workers[index].send(order).expect("the worker lives");
        answer.recv().expect("the worker has not panicked")
    }

    fn step(&self, index: usize) {
        self.on(index, |seat| {
            seat.worker.step();
        });
    }

    fn advance(&mut self, index: usize, to: u64) {
        self.positions[index] = to;
        self.on(index, move |seat| {
            if let Some(rows) = &mut seat.rows {
                rows.advance_to(Ts::new(to));
            }
        });
    }

    fn advance_all(&mut self, to: u64) {
        (0..self.workers.len()).for_each(|index| self.advance(index, to));
    }

    fn allow_writes(&self) {
        (0..self.workers.len()).for_each(|index| self.on(index, |seat| seat.handle.allow_writes()));
    }

    /// The durable upper as the replica reports it.
    fn upper(&self) -> Timestamp {
        let uppers = (0..self.workers.len()).map(|index| self.on(index, |seat| seat.handle.upper()));
        uppers.min().expect("a replica has workers")
    }

    fn has_dataflows(&self) -> bool {
        (0..self.workers.len()).any(|index| self.on(index, |seat| seat.worker.has_dataflows()))
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.workers.clear();
        for result in self.threads.take().into_iter().flat_map(WorkerGuards::join) {
            assert!(result.is_ok() || std::thread::panicking(), "a worker has panicked");
        }
    }
}

fn sit(context: &WorkerContext, mut worker: Worker, as_of: u64, share: &[StoredUpdate]) -> Seat {
    let (mut rows, sink) = worker.dataflow::<Ts, _, _>(|scope| {
        let (rows, stream) = scope.new_input::<Vec<(Row, Ts, trace::Diff)>>();
        let errs = timely::dataflow::operators::vec::ToStream::to_stream(Vec::new(), scope);
        let as_of = Timestamp::new(as_of);
        let sink = shard_sink(context, "test", ShardId(SHARD), as_of, stream.as_collection(), errs.as_collection());
        (rows, sink)
    });
    let ShardSink { handle, token } = sink;
    rows.advance_to(Ts::new(as_of));
    for (row, time, diff) in share {
        rows.send((row.clone(), Ts((*time).max(Timestamp::new(as_of))), trace::Diff(*diff)));
    }
    rows.flush();
    Seat { worker, rows: Some(rows), handle, token: Some(token) }
}

impl World {
    /// Runs tasks, and each worker in turn, until the condition holds.
    fn run_replicas(&self, what: &str, replicas: &[&Replica], mut condition: impl FnMut() -> bool) {
        let deadline = self.now() + 3_600_000 * MS;
        while !condition() {
            assert!(self.now() < deadline, "never happened: {what}; waiting: {:?}", self.executor.waiting());
            self.executor.step();
            replicas.iter().for_each(|replica| (0..replica.workers.len()).for_each(|index| replica.step(index)));
        }
    }

    /// The names of all parts in the blob store.
    fn stored_parts(&self) -> BTreeSet<String> {
        let blob: Blob = self.blob();
        self.block_on(async move {
            let list = blob.list(None).map(|object| object.expect("listed").location.to_string());
            list.collect::<BTreeSet<_>>().await
        })
    }

    /// Of the durable state.
    fn named_parts(&self) -> BTreeSet<String> {
        let state = self.leader.state();
        let parts = state.shards.values().flat_map(|shard| shard.batches.iter()).flat_map(|batch| batch.parts.iter());
        let keys = parts.filter_map(|part| match part {
            Part::Hollow(hollow) => Some(hollow.key.clone()),
            Part::Inline(_) => None,
        });
        keys.collect()
    }
}

#[test]
fn every_worker_writes_a_run_and_one_appends_them() {
    let world = World::new(40);
    let created = world.create(&[SHARD]).micros();
    let history: Vec<StoredUpdate> = (0..100).map(|number| update(number, created, 1)).collect();
    let mut replica = Replica::start(&world.context(1), 4, created, &history);
    replica.allow_writes();
    replica.advance_all(created + 5);
    world.run_replicas("written", &[&replica], || replica.upper().micros() == created + 5);
    let state = world.leader.state();
    let batches = &state.shards[&ShardId(SHARD)].batches;
    let runs: Vec<usize> = batches.iter().map(|batch| batch.parts.len()).collect();
    assert_eq!(runs, [4], "one batch, with the runs of all workers");
    assert_eq!(world.contents(SHARD, Timestamp::new(created)).len(), 100);
    assert_eq!(world.upper(SHARD).micros(), created + 5);
}

/// Large runs go to the blob store, each by its worker; together they put no more inline than one writer would.
#[test]
fn inline_runs_share_the_room_of_one() {
    let world = World::with_inline(41, 1000);
    let created = world.create(&[SHARD]).micros();
    // About 4000 bytes in 4 runs, then about 400 in 4.
    let mut history: Vec<StoredUpdate> = (0..400).map(|number| update(1_000_000 + number, created, 1)).collect();
    history.extend((0..40).map(|number| update(2_000_000 + number, created + 7, 1)));
    let mut replica = Replica::start(&world.context(1), 4, created, &history);
    replica.allow_writes();
    for to in [created + 5, created + 9] {
        replica.advance_all(to);
        world.run_replicas("written", &[&replica], || replica.upper().micros() == to);
    }
    let state = world.leader.state();
    let batches = &state.shards[&ShardId(SHARD)].batches;
    let inline = |part: &Part| if let Part::Inline(bytes) = part { bytes.len() } else { 0 };
    assert!(batches[0].parts.iter().all(|part| inline(part) == 0), "{batches:?}");
    assert_eq!(batches[0].parts.len(), 4);
    assert!(batches[1].parts.iter().all(|part| (1..=250).contains(&inline(part))), "{batches:?}");
    assert_eq!(world.contents(SHARD, Timestamp::new(created + 8)).len(), 440);
}

#[test]
fn a_complete_input_closes_the_shard_for_all_workers() {
    let world = World::new(42);
    let created = world.create(&[SHARD]).micros();
    let history: Vec<StoredUpdate> = (0..10).map(|number| update(number, created, 1)).collect();
    let replica = Replica::start(&world.context(1), 3, created, &history);
    replica.allow_writes();
    (0..3).for_each(|index| replica.on(index, |seat| seat.rows = None));
    world.run_replicas("closed", &[&replica], || replica.upper() == Timestamp::MAX);
    assert_eq!(world.contents(SHARD, Timestamp::new(created)).len(), 10);
    world.run_replicas("ended", &[&replica], || !replica.has_dataflows());
}

/// Fails the first appends as if another process had crashed the leader, or the runs were written too long ago.
struct Refusing {
    proxy: Proxy,
    /// So many more appends are refused.
    refusals: AtomicUsize,
    /// What is written is never appended.
    blocked: AtomicBool,
}

#[async_trait]
impl Shards for Refusing {
    async fn write_run(
        &self,
        shard: ShardId,
        lower: Timestamp,
        upper: Timestamp,
        updates: Vec<StoredUpdate>,
        writers: usize,
    ) -> Result<Run, AppendError> {
        self.proxy.write_run(shard, lower, upper, updates, writers).await
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
        if self.blocked.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        let left = self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            let text = "the part was begun too long ago".to_owned();
            return Err(AppendError::Blob(BlobErrorText(text)));
        }
        self.proxy.append_runs(shard, writer, expect_upper, new_upper, runs, token).await
    }

    async fn merge(&self, job: MergeJob) -> Result<Run, BlobErrorText> {
        self.proxy.merge(job).await
    }

    async fn subscribe(&self, shard: ShardId, as_of: Timestamp) -> Result<Subscription, SubscribeError> {
        self.proxy.subscribe(shard, as_of).await
    }
}

fn refusing(world: &World, refusals: usize, blocked: bool) -> (WorkerContext, Arc<Refusing>) {
    let proxy = Proxy::new(world.leader.clone());
    let refusing =
        Arc::new(Refusing { proxy, refusals: AtomicUsize::new(refusals), blocked: AtomicBool::new(blocked) });
    let mut context = world.context(1);
    context.shards = refusing.clone();
    (context, refusing)
}

#[test]
fn runs_that_can_be_appended_no_more_are_written_anew() {
    let world = World::with_inline(43, 100);
    let created = world.create(&[SHARD]).micros();
    let history: Vec<StoredUpdate> = (0..200).map(|number| update(number, created, 1)).collect();
    let (context, _refusing) = refusing(&world, 3, false);
    let mut replica = Replica::start(&context, 2, created, &history);
    replica.allow_writes();
    replica.advance_all(created + 5);
    world.run_replicas("written", &[&replica], || replica.upper().micros() == created + 5);
    assert_eq!(world.contents(SHARD, Timestamp::new(created)).len(), 200);
    assert_eq!((world.named_parts().len(), world.stored_parts().len()), (2, 8), "three pairs of runs were in vain");
    world.pass(std::time::Duration::from_secs(4000));
    let leader = world.leader.clone();
    let collected = world.block_on(async move { leader.collect_orphans().await }).expect("collected");
    assert_eq!(collected.deleted, 6);
    assert_eq!(world.stored_parts(), world.named_parts());
}

/// A replica dies with its runs written and not appended; another does it all, and the garbage goes.
#[test]
fn a_crash_between_writing_and_appending_leaves_garbage_only() {
    let world = World::with_inline(44, 100);
    let created = world.create(&[SHARD]).micros();
    let history: Vec<StoredUpdate> = (0..200).map(|number| update(number, created, 1)).collect();
    let (context, _refusing) = refusing(&world, 0, true);
    let mut first = Replica::start(&context, 3, created, &history);
    first.allow_writes();
    first.advance_all(created + 5);
    world.run_replicas("uploaded", &[&first], || world.stored_parts().len() == 3);
    let deadline = world.now() + 2000 * MS;
    world.run_replicas("time passed", &[&first], || world.now() > deadline);
    assert_eq!((world.upper(SHARD), world.named_parts().len()), (Timestamp::MIN, 0));
    world.executor.kill(1);
    drop(first);
    let mut second = Replica::start(&world.context(2), 2, created, &history);
    second.allow_writes();
    second.advance_all(created + 7);
    world.run_replicas("written", &[&second], || second.upper().micros() == created + 7);
    assert_eq!(world.contents(SHARD, Timestamp::new(created)).len(), 200);
    world.pass(std::time::Duration::from_secs(4000));
    let leader = world.leader.clone();
    let collected = world.block_on(async move { leader.collect_orphans().await }).expect("collected");
    assert_eq!(collected.deleted, 3);
    assert_eq!(world.stored_parts(), world.named_parts());
}

/// A worker whose token is gone writes no run, so nothing is appended, whichever worker it is; and the rest ends cleanly.
#[test]
fn one_worker_that_drops_ends_the_writing() {
    for first in 0..3 {
        let world = World::new(45 + first as u64);
        let created = world.create(&[SHARD]).micros();
        let history: Vec<StoredUpdate> = (0..30).map(|number| update(number, created, 1)).collect();
        let mut replica = Replica::start(&world.context(1), 3, created, &history);
        replica.allow_writes();
        replica.on(first, |seat| seat.token = None);
        replica.advance_all(created + 5);
        let deadline = world.now() + 5000 * MS;
        world.run_replicas("time passed", &[&replica], || world.now() > deadline);
        assert_eq!(world.upper(SHARD), Timestamp::MIN, "dropped by {first}");
        (0..3).for_each(|index| {
            replica.on(index, |seat| {
                seat.token = None;
                seat.rows = None;
            });
        });
        world.run_replicas("ended", &[&replica], || !replica.has_dataflows());
        assert_eq!(world.upper(SHARD), Timestamp::MIN, "dropped by {first}");
    }
}

/// Two replicas of several workers race, are killed and started again at random, also between writing and appending, the
/// leader too; large runs go to the blob store. At each time the shard holds exactly what is desired.
#[test]
fn racing_replicas_of_several_workers_write_what_is_desired_once() {
    for seed in 300..320 {
        let mut world = World::with_inline(seed, 60);
        let created = world.create(&[SHARD]).micros();
        let history = random_history(&world, created);
        let end = created + 60;
        let mut hold = Some(world.leader.hold(ShardId(SHARD), Timestamp::new(created)).expect("held"));
        let proxy = Arc::new(Proxy::new(world.leader.clone()));
        let start = |world: &World, index: usize, as_of: u64| {
            let mut context = world.context(index as u64 + 1);
            context.shards = proxy.clone();
            let replica = Replica::start(&context, 2 + index, as_of, &history);
            replica.allow_writes();
            replica
        };
        let mut replicas: Vec<Replica> = (0..2).map(|index| start(&world, index, created)).collect();
        while world.upper(SHARD).micros() < end {
            let index = world.rng.below(2) as usize;
            let worker = world.rng.below(2 + index as u64) as usize;
            match world.rng.below(120) {
                0 => {
                    world.executor.kill(index as u64 + 1);
                    let as_of = world.upper(SHARD).micros().saturating_sub(1).max(created);
                    replicas[index] = start(&world, index, as_of);
                }
                1 if world.rng.below(4) == 0 => {
                    world.restart_leader();
                    hold = Some(world.leader.hold(ShardId(SHARD), Timestamp::new(created)).expect("held"));
                    proxy.reconnect(world.leader.clone());
                }
                2..30 => {
                    let to = replicas[index].positions[worker] + 1 + world.rng.below(6);
                    replicas[index].advance(worker, to.min(end));
                }
                30..90 => replicas[index].step(worker),
                _ => world.run_steps(1 + world.rng.below(6)),
            }
        }
        for at in (created..end).map(Timestamp::new) {
            assert_eq!(world.contents(SHARD, at), desired_at(&history, at), "seed {seed}, at {at}");
        }
        drop(hold);
    }
}

/// What another replica wrote meanwhile is corrected row by row, by the worker that each row belongs to.
#[test]
fn a_lost_race_is_corrected_by_all_workers() {
    let world = World::new(48);
    let created = world.create(&[SHARD]).micros();
    let history: Vec<StoredUpdate> = (0..50).map(|number| update(number, created, 1)).collect();
    let mut replica = Replica::start(&world.context(1), 4, created, &history);
    replica.advance_all(created + 5);
    // Another wins with something else, while this one may not write yet.
    let wrong = (40..60).map(|number| update(number, created + 1, 2)).collect();
    world.append(SHARD, 0, created + 3, wrong);
    replica.allow_writes();
    world.run_replicas("written", &[&replica], || replica.upper().micros() == created + 5);
    assert_eq!(world.contents(SHARD, Timestamp::new(created + 2)).len(), 20);
    assert_eq!(world.contents(SHARD, Timestamp::new(created + 4)), desired_at(&history, Timestamp::new(created)));
    assert!(world.contents(SHARD, Timestamp::new(created + 4)).contains(&(row(49), repr::Diff::ONE)));
}
