//! Several workers in real threads: rows are dealt out, all workers write, and the end comes in two phases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use persist::{
    Commit, CreateShard, GroupId, Leader, LeaderConfig, LeaderHandle, MemLog, Shards, WriterId, memory_blob,
};
use repr::{ShardId, Timestamp};
use stdx::{Rng, Tasks};
use timely::CommunicationConfig;
use timely::worker::Worker;
use trace::Ts;
use uuid::Uuid;

use super::{row, update};
use crate::context::WorkerContext;
use crate::shard_sink::shard_sink;
use crate::shard_source::shard_source;

/// Followed by worker 1.
const ORIGINAL: ShardId = ShardId(7);
/// Written by worker 0.
const COPY: ShardId = ShardId(8);

async fn open() -> (LeaderHandle, Timestamp) {
    let config = LeaderConfig::new(Arc::new(MemLog::new()), memory_blob(), Tasks::tokio(), Rng::from_seed(1));
    let leader = Leader::open(config).await.expect("opened");
    let ts = leader.now();
    let creates = [ORIGINAL, COPY].map(|shard| CreateShard { shard, group: None, scheduled: false }).to_vec();
    leader.commit(Commit { creates, ..Commit::tick(GroupId::TABLES, ts) }).await.expect("created");
    let updates = (0..5000).map(|number| update(number, ts.micros(), 1)).collect();
    let (lower, upper) = (Timestamp::MIN, ts.step_forward());
    leader.append(ORIGINAL, WriterId::anonymous(1), lower, upper, updates, Uuid::nil()).await.expect("appended");
    (leader, ts)
}

fn context(leader: &LeaderHandle, tasks: &Tasks, worker: &Worker) -> WorkerContext {
    WorkerContext {
        index: worker.index(),
        peers: worker.peers(),
        local_index: worker.index(),
        shards: Arc::new(leader.clone()),
        tasks: tasks.clone(),
        rng: Rng::from_seed(2),
        wake: Arc::new(|| {}),
        halt: Arc::new(|why| panic!("halted: {why}")),
        generation: Arc::new(AtomicU64::new(1)),
    }
}

/// Between threads messages go as they are, between processes as bytes.
#[test]
fn a_worker_that_drops_first_does_not_end_the_data_of_the_other() {
    for communication in [CommunicationConfig::Process(2), CommunicationConfig::ProcessBinary(2)] {
        drop_one_first(communication);
    }
}

fn drop_one_first(communication: CommunicationConfig) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let guard = runtime.enter();
    let (leader, created) = runtime.block_on(open());
    let tasks = Tasks::tokio();
    drop(guard);
    let dropped = Arc::new(AtomicUsize::new(0));
    let (handle, phases) = (leader.clone(), Arc::clone(&dropped));
    let work = move |worker: &mut Worker| {
        let context = context(&handle, &tasks, worker);
        let (sink, tokens) = worker.dataflow::<Ts, _, _>(|scope| {
            let source =
                shard_source(scope, &context, "original", ORIGINAL, created, None, persist::Selection::default());
            let sink = shard_sink(&context, "copy", COPY, created, source.oks, source.errs);
            (sink.handle, (sink.token, source.token))
        });
        sink.allow_writes();
        let copied = || handle.upper(COPY).is_some_and(|upper| upper > created);
        while !copied() {
            worker.step_or_park(Some(Duration::from_millis(1)));
        }
        if worker.index() == 0 {
            // The other worker, which follows the original, has dropped everything by now.
            while phases.load(Ordering::SeqCst) == 0 {
                worker.step_or_park(Some(Duration::from_millis(1)));
            }
            for _ in 0..200 {
                worker.step_or_park(Some(Duration::from_millis(1)));
                assert!(sink.upper() < Timestamp::MAX, "the end of the dataflow is not the end of the data");
            }
        } else {
            assert_eq!(sink.upper(), Timestamp::MAX, "a worker that does not write has no say");
        }
        drop(tokens);
        phases.fetch_add(1, Ordering::SeqCst);
        while worker.has_dataflows() {
            worker.step_or_park(Some(Duration::from_millis(1)));
        }
    };
    let config = timely::Config { communication, worker: timely::WorkerConfig::default() };
    timely::execute(config, work).expect("the workers start").join().into_iter().for_each(|result| {
        result.expect("the worker ended well");
    });
    assert_eq!(leader.upper(COPY), Some(created.step_forward()));
    let copy = runtime.block_on(leader.snapshot(COPY, created)).expect("readable");
    assert_eq!(copy.len(), 5000);
    assert!(copy.iter().any(|(found, _)| *found == row(4999)));
}
