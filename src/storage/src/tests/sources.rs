//! `shard_source`: frontiers, advanced times, `until`, errors, broken streams, tokens.

use std::cell::RefCell;
use std::rc::Rc;

use expr::EvalError;
use repr::{ShardId, Timestamp};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Inspect, Probe};
use timely::worker::Worker;
use trace::{Ts, upper_of};

use super::{Multiset, START, World, row, update, worker};
use crate::context::WorkerContext;
use crate::shard_source::{ShardSource, shard_source};
use crate::stored;
use crate::token::Token;

type Seen = Rc<RefCell<Vec<(Result<repr::Row, EvalError>, u64, i64)>>>;

struct Reader {
    probe: ProbeHandle<Ts>,
    seen: Seen,
    token: Option<Token>,
}

impl Reader {
    fn start(worker: &mut Worker, context: &WorkerContext, shard: u64, as_of: u64, until: Option<u64>) -> Reader {
        let (probe, seen) = (ProbeHandle::new(), Seen::default());
        let token = worker.dataflow::<Ts, _, _>(|scope| {
            let (as_of, until) = (Timestamp::new(as_of), until.map(Timestamp::new));
            let ShardSource { oks, errs, token } =
                shard_source(scope, context, "test", ShardId(shard), as_of, until, persist::Selection::default());
            let (ok_seen, err_seen) = (Rc::clone(&seen), Rc::clone(&seen));
            oks.inner
                .inspect(move |(row, time, diff)| {
                    ok_seen.borrow_mut().push((Ok(row.clone()), time.micros(), diff.get()));
                })
                .probe_with(&probe);
            errs.inner
                .inspect(move |(error, time, diff)| {
                    err_seen.borrow_mut().push((Err(error.clone()), time.micros(), diff.get()));
                })
                .probe_with(&probe);
            token
        });
        Reader { probe, seen, token: Some(token) }
    }

    fn upper(&self) -> u64 {
        self.probe.with_frontier(upper_of).micros()
    }

    fn sorted(&self) -> Vec<(Result<repr::Row, EvalError>, u64, i64)> {
        let mut seen = self.seen.borrow().clone();
        seen.sort();
        seen
    }
}

#[test]
fn frontier_is_the_upper_and_early_times_are_advanced_to_as_of() {
    let world = World::new(1);
    let created = world.create(&[7]).micros();
    world.append(7, 0, created + 10, vec![update(1, created, 1), update(2, created + 3, 1), update(3, created + 8, 1)]);
    let mut worker = worker();
    let reader = Reader::start(&mut worker, &world.context(1), 7, created + 5, None);
    for _ in 0..5 {
        worker.step();
    }
    assert_eq!(reader.upper(), created + 5, "nothing below as_of is promised");
    world.work_until("caught up", &mut [&mut worker], || reader.upper() == created + 10);
    let expected = [(Ok(row(1)), created + 5, 1), (Ok(row(2)), created + 5, 1), (Ok(row(3)), created + 8, 1)];
    assert_eq!(reader.sorted(), expected);
    world.append(7, created + 10, created + 11, vec![update(1, created + 10, -1)]);
    world.work_until("followed", &mut [&mut worker], || reader.upper() == created + 11);
    assert_eq!(reader.seen.borrow().last(), Some(&(Ok(row(1)), created + 10, -1)));
}

#[test]
fn a_shard_that_was_never_written_makes_its_reader_wait_at_as_of() {
    let world = World::new(2);
    let created = world.create(&[7]).micros();
    let mut worker = worker();
    let reader = Reader::start(&mut worker, &world.context(1), 7, created, None);
    let until = world.now() + 5_000;
    world.work_until("time passed", &mut [&mut worker], || world.now() > until);
    assert_eq!(reader.upper(), created);
    // Pieces far below the creation come out as one, when the upper passes it.
    world.append(7, 0, 1, vec![update(1, 0, 1)]);
    world.append(7, 1, 2, vec![update(2, 1, 1)]);
    let until = world.now() + 5_000;
    world.work_until("time passed", &mut [&mut worker], || world.now() > until);
    assert_eq!((reader.upper(), reader.sorted()), (created, Vec::new()));
    world.append(7, 2, created + 1, vec![update(1, created, 1)]);
    world.work_until("complete", &mut [&mut worker], || reader.upper() == created + 1);
    assert_eq!(reader.sorted(), [(Ok(row(1)), created, 1), (Ok(row(1)), created, 1), (Ok(row(2)), created, 1)]);
}

#[test]
fn a_closed_shard_and_until_empty_the_frontier() {
    let world = World::new(3);
    let created = world.create(&[7]).micros();
    world.append(7, 0, created + 10, vec![update(1, created, 1), update(2, created + 8, 1)]);
    let mut worker = worker();
    let until = Reader::start(&mut worker, &world.context(1), 7, created, Some(created + 8));
    let whole = Reader::start(&mut worker, &world.context(1), 7, created, None);
    world.work_until("until reached", &mut [&mut worker], || until.upper() == u64::MAX);
    assert_eq!(until.sorted(), [(Ok(row(1)), created, 1)]);
    world.work_until("caught up", &mut [&mut worker], || whole.upper() == created + 10);
    world.append(7, created + 10, u64::MAX, vec![update(2, created + 10, -1)]);
    world.work_until("closed", &mut [&mut worker], || whole.upper() == u64::MAX);
    assert_eq!(whole.seen.borrow().len(), 3);
}

#[test]
fn stored_errors_come_out_as_errors() {
    let world = World::new(4);
    let created = world.create(&[7]);
    let error = EvalError::division_by_zero();
    let stored = (stored::encode_err(&error), created, repr::Diff::ONE);
    world.append(7, 0, created.micros() + 1, vec![stored, update(1, created.micros(), 1)]);
    let mut worker = worker();
    let reader = Reader::start(&mut worker, &world.context(1), 7, created.micros(), None);
    world.work_until("read", &mut [&mut worker], || reader.upper() > created.micros());
    assert_eq!(reader.sorted(), [(Ok(row(1)), created.micros(), 1), (Err(error), created.micros(), 1)]);
}

#[test]
fn a_dropped_token_ends_the_dataflow_and_the_task() {
    let world = World::new(5);
    let created = world.create(&[7]).micros();
    let mut worker = worker();
    let mut reader = Reader::start(&mut worker, &world.context(1), 7, created, None);
    world.work_until("following", &mut [&mut worker], || world.now() > START + 2_000);
    assert!(world.executor.waiting().iter().any(|name| name == "shard-feed"));
    reader.token = None;
    world.work_until("ended", &mut [&mut worker], || reader.upper() == u64::MAX);
    for _ in 0..10 {
        worker.step();
    }
    assert!(!worker.has_dataflows());
    assert!(!world.executor.waiting().iter().any(|name| name == "shard-feed"));
}

/// Random appends while the leader dies again and again: what is read adds up to the contents at every time.
#[test]
fn broken_streams_lose_and_repeat_nothing() {
    for seed in 100..120 {
        let mut world = World::new(seed);
        let created = world.create(&[7]).micros();
        let proxy = std::sync::Arc::new(super::sinks::Proxy::new(world.leader.clone()));
        let mut context = world.context(1);
        context.shards = proxy.clone();
        let mut worker = worker();
        let reader = Reader::start(&mut worker, &context, 7, created + 3, None);
        let (mut upper, contents) = (0, Multiset::default());
        for _ in 0..25 {
            let next = (upper + 1 + world.rng.below(4)).max(created + world.rng.below(5));
            let mut updates = Vec::new();
            for _ in 0..world.rng.below(6) {
                let time = upper.max(created) + world.rng.below(next.saturating_sub(upper.max(created)).max(1));
                if time < next {
                    let number = world.rng.below(5) as i64;
                    updates.push(update(number, time, 1));
                    contents.add(row(number), 1);
                }
            }
            world.append(7, upper, next, updates);
            upper = next;
            for _ in 0..world.rng.below(40) {
                world.executor.step();
                worker.step();
            }
            if world.rng.below(3) == 0 {
                world.restart_leader();
                proxy.reconnect(world.leader.clone());
            }
        }
        world.work_until("caught up", &mut [&mut worker], || reader.upper() == upper);
        let read = Multiset::default();
        for (row, _, diff) in reader.seen.borrow().iter() {
            read.add(row.clone().expect("no errors"), *diff);
        }
        assert_eq!(read.items(), contents.items(), "seed {seed}");
    }
}
