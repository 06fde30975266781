//! `shard_sink`: the shard equals what is desired at every time, through restarts and races.

use std::sync::Arc;

use async_trait::async_trait;
use differential_dataflow::AsCollection;
use expr::EvalError;
use parking_lot::Mutex;
use persist::{
    AppendError, BlobErrorText, LeaderHandle, MergeJob, Run, Shards, SubscribeError, Subscription, WriterId,
};
use repr::{Diff, Row, ShardId, Timestamp};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::Input;
use timely::worker::Worker;
use trace::Ts;
use uuid::Uuid;

use super::{World, row, update, worker};
use crate::context::WorkerContext;
use crate::feed::StoredUpdate;
use crate::shard_sink::{ShardSink, SinkHandle, shard_sink};
use crate::shard_source::shard_source;
use crate::stored;
use crate::token::Token;

/// Goes to whoever leads now, as a connection would after a restart.
pub(crate) struct Proxy(Mutex<LeaderHandle>);

impl Proxy {
    pub(crate) fn new(leader: LeaderHandle) -> Proxy {
        Proxy(Mutex::new(leader))
    }

    pub(crate) fn reconnect(&self, leader: LeaderHandle) {
        *self.0.lock() = leader;
    }

    fn leader(&self) -> LeaderHandle {
        self.0.lock().clone()
    }
}

#[async_trait]
impl Shards for Proxy {
    async fn write_run(
        &self,
        shard: ShardId,
        lower: Timestamp,
        upper: Timestamp,
        updates: Vec<StoredUpdate>,
        writers: usize,
    ) -> Result<Run, AppendError> {
        self.leader().write_run(shard, lower, upper, updates, writers).await
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
        self.leader().append_runs(shard, writer, expect_upper, new_upper, runs, token).await
    }

    async fn merge(&self, job: MergeJob) -> Result<Run, BlobErrorText> {
        self.leader().merge(job).await
    }

    async fn subscribe(&self, shard: ShardId, as_of: Timestamp) -> Result<Subscription, SubscribeError> {
        self.leader().subscribe(shard, as_of).await
    }
}

type Rows = InputHandle<Ts, timely::container::CapacityContainerBuilder<Vec<(Row, Ts, trace::Diff)>>>;
type Errors = InputHandle<Ts, timely::container::CapacityContainerBuilder<Vec<(EvalError, Ts, trace::Diff)>>>;

/// A replica that feeds a sink by hand.
struct Replica {
    worker: Worker,
    rows: Rows,
    errors: Errors,
    handle: SinkHandle,
    _token: Token,
    position: u64,
}

impl Replica {
    fn start(context: &WorkerContext, shard: u64, as_of: u64, history: &[StoredUpdate]) -> Replica {
        let mut worker = worker();
        let (mut rows, errors, sink) = worker.dataflow::<Ts, _, _>(|scope| {
            let (rows, row_stream) = scope.new_input::<Vec<(Row, Ts, trace::Diff)>>();
            let (errors, error_stream) = scope.new_input::<Vec<(EvalError, Ts, trace::Diff)>>();
            let as_of = Timestamp::new(as_of);
            let (oks, errs) = (row_stream.as_collection(), error_stream.as_collection());
            let sink = shard_sink(context, "test", ShardId(shard), as_of, oks, errs);
            (rows, errors, sink)
        });
        let ShardSink { handle, token } = sink;
        rows.advance_to(Ts::new(as_of));
        for (row, time, diff) in history {
            rows.send((row.clone(), Ts((*time).max(Timestamp::new(as_of))), trace::Diff(*diff)));
        }
        let mut replica = Replica { worker, rows, errors, handle, _token: token, position: as_of };
        replica.advance(as_of);
        replica
    }

    fn advance(&mut self, to: u64) {
        self.rows.advance_to(Ts::new(to));
        self.errors.advance_to(Ts::new(to));
        self.position = to;
    }
}

/// The sum of the updates up to a time.
pub(crate) fn desired_at(history: &[StoredUpdate], at: Timestamp) -> Vec<(Row, Diff)> {
    let sum = super::Multiset::default();
    for (row, time, diff) in history {
        if *time <= at {
            sum.add(row.clone(), diff.get());
        }
    }
    sum.items().into_iter().map(|(row, count)| (row, Diff::new(count))).collect()
}

#[test]
fn nothing_is_written_before_it_is_allowed() {
    let world = World::new(1);
    let created = world.create(&[9]).micros();
    let history = [update(1, created, 1), update(2, created + 2, 1)];
    let mut replica = Replica::start(&world.context(1), 9, created, &history);
    replica.advance(created + 5);
    let deadline = world.now() + 5_000;
    world.work_until("time passed", &mut [&mut replica.worker], || world.now() > deadline);
    assert_eq!((world.upper(9), replica.handle.upper()), (Timestamp::MIN, Timestamp::MIN));
    replica.handle.allow_writes();
    let handle = replica.handle.clone();
    world.work_until("written", &mut [&mut replica.worker], || handle.upper().micros() == created + 5);
    assert_eq!(world.contents(9, Timestamp::new(created + 1)), [(row(1), Diff::ONE)]);
    assert_eq!(world.contents(9, Timestamp::new(created + 4)), [(row(1), Diff::ONE), (row(2), Diff::ONE)]);
}

#[test]
fn a_complete_input_closes_the_shard() {
    let world = World::new(2);
    let created = world.create(&[9]).micros();
    let replica = Replica::start(&world.context(1), 9, created, &[update(1, created, 1)]);
    let Replica { mut worker, mut rows, mut errors, handle, _token, .. } = replica;
    handle.allow_writes();
    let error = EvalError::division_by_zero();
    errors.send((error.clone(), Ts::new(created), trace::Diff::ONE));
    rows.flush();
    drop((rows, errors));
    world.work_until("closed", &mut [&mut worker], || handle.upper() == Timestamp::MAX);
    let expected = [(row(1), Diff::ONE), (stored::encode_err(&error), Diff::ONE)];
    assert_eq!(world.contents(9, Timestamp::new(created)), expected);
    for _ in 0..10 {
        worker.step();
    }
    assert!(!worker.has_dataflows(), "a complete sink ends");
    assert_eq!(handle.reached(), Timestamp::MAX);
}

#[test]
fn a_wrong_shard_is_corrected_at_its_upper() {
    let world = World::new(3);
    let created = world.create(&[9]).micros();
    world.append(9, 0, created + 5, vec![update(1, created, 1), update(7, created + 2, 3)]);
    // The view is computed anew from the last complete time on, and should never have held a 7.
    let history = [update(1, created, 1), update(2, created + 3, 1)];
    let mut replica = Replica::start(&world.context(1), 9, created + 4, &history);
    replica.handle.allow_writes();
    replica.advance(created + 8);
    let handle = replica.handle.clone();
    world.work_until("written", &mut [&mut replica.worker], || handle.upper().micros() == created + 8);
    assert_eq!(world.contents(9, Timestamp::new(created + 4)), [(row(1), Diff::ONE), (row(7), Diff::new(3))]);
    assert_eq!(world.contents(9, Timestamp::new(created + 5)), [(row(1), Diff::ONE), (row(2), Diff::ONE)]);
}

#[test]
fn what_another_replica_has_written_is_not_reached_before_it_is_known_here() {
    let world = World::new(4);
    let created = world.create(&[9]).micros();
    world.append(9, 0, created + 5, vec![update(1, created, 1)]);
    let mut replica = Replica::start(&world.context(1), 9, created + 4, &[update(1, created, 1)]);
    let handle = replica.handle.clone();
    world.work_until("heard", &mut [&mut replica.worker], || handle.upper().micros() == created + 5);
    assert!(handle.reached().micros() <= created + 4, "it has not computed beyond its as-of");
    replica.advance(created + 8);
    world.work_until("computed", &mut [&mut replica.worker], || handle.reached().micros() == created + 5);
}

/// Two replicas race, either is killed and started again at random, the leader too; at each time the shard holds exactly
/// what is desired.
#[test]
fn racing_replicas_and_restarts_write_what_is_desired_once() {
    for seed in 200..230 {
        let mut world = World::new(seed);
        let created = world.create(&[9]).micros();
        let history = random_history(&world, created);
        let end = created + 60;
        let hold = world.leader.hold(ShardId(9), Timestamp::new(created)).expect("held");
        let proxy = Arc::new(Proxy::new(world.leader.clone()));
        let mut hold = Some(hold);
        let mut replicas: Vec<Replica> = (1..3).map(|group| start(&world, &proxy, group, created, &history)).collect();
        while world.upper(9).micros() < end {
            let index = world.rng.below(2) as usize;
            match world.rng.below(40) {
                0 => {
                    world.executor.kill(index as u64 + 1);
                    let as_of = world.upper(9).micros().saturating_sub(1).max(created);
                    replicas[index] = start(&world, &proxy, index as u64 + 1, as_of, &history);
                }
                1 if world.rng.below(4) == 0 => {
                    world.restart_leader();
                    hold = Some(world.leader.hold(ShardId(9), Timestamp::new(created)).expect("held"));
                    proxy.reconnect(world.leader.clone());
                }
                2..12 => {
                    let to = replicas[index].position + 1 + world.rng.below(4);
                    replicas[index].advance(to.min(end));
                }
                12..30 => {
                    replicas[index].worker.step();
                }
                _ => world.run_steps(1 + world.rng.below(6)),
            }
        }
        for at in (created..end).map(Timestamp::new) {
            assert_eq!(world.contents(9, at), desired_at(&history, at), "seed {seed}, at {at}");
        }
        drop(hold);
    }
}

fn start(world: &World, proxy: &Arc<Proxy>, group: u64, as_of: u64, history: &[StoredUpdate]) -> Replica {
    let mut context = world.context(group);
    context.shards = proxy.clone();
    let replica = Replica::start(&context, 9, as_of, history);
    replica.handle.allow_writes();
    replica
}

pub(crate) fn random_history(world: &World, created: u64) -> Vec<StoredUpdate> {
    let rng = &world.rng;
    let one = |_| {
        let diff = if rng.below(3) == 0 { -1 } else { 1 };
        update(rng.below(6) as i64, created + rng.below(60), diff)
    };
    (0..80).map(one).collect()
}

/// A view of a shard, end to end: source, sink, and the input's end.
#[test]
fn a_copy_follows_its_original() {
    let world = World::new(4);
    let created = world.create(&[7, 9]).micros();
    let context = world.context(1);
    let mut worker = worker();
    let (handle, _tokens) = worker.dataflow::<Ts, _, _>(|scope| {
        let as_of = Timestamp::new(created);
        let source = shard_source(scope, &context, "original", ShardId(7), as_of, None, persist::Selection::default());
        let sink = shard_sink(&context, "copy", ShardId(9), as_of, source.oks, source.errs);
        (sink.handle, (sink.token, source.token))
    });
    handle.allow_writes();
    let hold = world.leader.hold(ShardId(9), Timestamp::new(created)).expect("held");
    let mut upper = 0;
    for step in 0..20 {
        let next = created + 1 + step * 3;
        let time = next - 1;
        world.append(7, upper, next, vec![update(step as i64 % 4, time, 1), update(step as i64 % 3, time, -1)]);
        upper = next;
        world.work_until("copied", &mut [&mut worker], || handle.upper().micros() == next);
        assert_eq!(world.contents(9, Timestamp::new(time)), world.contents(7, Timestamp::new(time)));
    }
    drop(hold);
}
