//! Compaction and deletion: batches stay few, contents stay the same, replaced parts go when nobody reads them any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use persist::{
    Blob, Commit, CreateShard, GroupId, Leader, LeaderConfig, LeaderHandle, MemLog, MergeHelper, MergeJob, Part, Run,
    ShardEvent, Shards, WriterId, memory_blob,
};
use repr::{Diff, Row, ShardId, Timestamp};
use stdx::sim::Executor;
use stdx::{Rng, Tasks};
use uuid::Uuid;

const TABLE: ShardId = ShardId(1);
const SOLO: ShardId = ShardId(2);

struct World {
    leader: LeaderHandle,
    log: Arc<MemLog>,
    blob: Blob,
    tasks: Tasks,
}

/// Runs `body` with a leader that compacts at once, in virtual time.
fn with_leader<F: Future<Output = ()> + Send + 'static>(body: impl FnOnce(World) -> F + Send + 'static) {
    with_large_merges(16 << 20, body);
}

/// The same, where merges of more than so many bytes are large.
fn with_large_merges<F: Future<Output = ()> + Send + 'static>(
    large_merge_bytes: u64,
    body: impl FnOnce(World) -> F + Send + 'static,
) {
    let executor = Executor::new(Rng::from_seed(3), 1_000_000);
    let tasks = executor.tasks(1);
    executor.block_on(async move {
        let blob = memory_blob();
        let log = Arc::new(MemLog::new());
        let mut config = LeaderConfig::new(Arc::clone(&log) as _, Arc::clone(&blob), tasks.clone(), Rng::from_seed(4));
        config.boot_grace = Duration::ZERO;
        config.inline_bytes_max = 500;
        config.large_merge_bytes = large_merge_bytes;
        config.delete_after = Duration::from_secs(20);
        let leader = Leader::open(config).await.expect("the leader opens");
        let mut commit = Commit::tick(GroupId::TABLES, leader.now());
        commit.creates.push(CreateShard { shard: TABLE, group: Some(GroupId::TABLES), scheduled: false });
        commit.creates.push(CreateShard { shard: SOLO, group: None, scheduled: false });
        leader.commit(commit).await.expect("committed");
        body(World { leader, log, blob, tasks }).await;
    });
}

fn row(n: u64) -> Row {
    Row::from_bytes(&[&n.to_be_bytes()[..], &[1; 40]].concat())
}

async fn change(world: &World, changes: Vec<(Row, Diff)>) -> Timestamp {
    change_after(world, Duration::from_millis(500), changes).await
}

async fn change_after(world: &World, pause: Duration, changes: Vec<(Row, Diff)>) -> Timestamp {
    world.tasks.sleep(pause).await;
    let ts = world.leader.now().max(world.leader.speculative_group_upper(GroupId::TABLES));
    let mut commit = Commit::tick(GroupId::TABLES, ts);
    commit.appends.push((TABLE, changes));
    world.leader.commit(commit).await.expect("committed");
    ts
}

async fn parts(blob: &Blob) -> usize {
    blob.list(None).count().await
}

#[test]
fn many_small_writes_become_few_batches() {
    with_leader(|world| async move {
        let mut ts = Timestamp::MIN;
        for n in 0..400u64 {
            // Every second row is taken back again.
            let mut changes = vec![(row(n), Diff::ONE)];
            if n % 2 == 1 {
                changes.push((row(n - 1), Diff::MINUS_ONE));
            }
            ts = change(&world, changes).await;
        }
        world.tasks.sleep(Duration::from_secs(60)).await;
        let state = world.leader.state();
        state.check().expect("invariants hold");
        let batches = &state.shards[&TABLE].batches;
        assert!(batches.len() <= 24, "{} batches", batches.len());
        assert!(batches.iter().map(|batch| batch.updates).sum::<u64>() < 300, "what cancels below since is gone");
        let expected: Vec<(Row, Diff)> = (0..400).filter(|n| n % 2 == 1).map(|n| (row(n), Diff::ONE)).collect();
        assert_eq!(world.leader.snapshot(TABLE, ts).await.expect("read"), expected);
        let named =
            batches.iter().flat_map(|batch| batch.parts.iter()).filter(|part| matches!(part, Part::Hollow(_))).count();
        assert_eq!(parts(&world.blob).await, named, "replaced parts are deleted");
    });
}

#[test]
fn merges_go_into_the_log_with_the_writes_behind_them() {
    with_leader(|world| async move {
        change(&world, vec![(row(0), Diff::ONE)]).await;
        let before = world.log.len();
        for n in 1..=100 {
            change_after(&world, Duration::from_millis(5), vec![(row(n), Diff::ONE)]).await;
        }
        assert_eq!(world.log.len() - before, 100, "an entry for each write");
        let state = world.leader.state();
        state.check().expect("invariants hold");
        let batches = state.shards[&TABLE].batches.len();
        assert!(batches < 50, "{batches} batches");
    });
}

/// Another process, as the controller would reach it.
struct Elsewhere {
    /// The process reaches the same blob store.
    leader: LeaderHandle,
    tasks: Tasks,
    behaviour: Behaviour,
    asked: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Merges,
    /// It dies when it has written its parts.
    DiesBehindWriting,
    /// It answers with what has nothing to do with the job.
    Lies,
}

#[async_trait::async_trait]
impl MergeHelper for Elsewhere {
    async fn merge(&self, job: MergeJob) -> Result<Run, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let job = MergeJob::of_bytes(job.to_bytes()).expect("as it was sent");
        let run = self.leader.merge(job.clone()).await.map_err(|error| error.to_string())?;
        match self.behaviour {
            Behaviour::Merges => Ok(Run::of_bytes(run.to_bytes()).expect("as it was sent")),
            Behaviour::DiesBehindWriting => Err("the connection was lost".to_owned()),
            Behaviour::Lies => {
                self.tasks.sleep(Duration::from_millis(10)).await;
                let leader = &self.leader;
                let ts = leader.now();
                let rows = (0..100).map(|n| (row(n), ts, Diff::ONE)).collect();
                let run = leader.write_run(job.shard(), Timestamp::MIN, ts.step_forward(), rows, 1).await;
                run.map_err(|error| error.to_string())
            }
        }
    }
}

/// What is merged elsewhere is swapped in; what fails there, or is not what was asked for, is merged here. Contents stay the
/// same, and what was written in vain is found.
#[test]
fn large_merges_are_done_elsewhere_or_here() {
    for behaviour in [Behaviour::Merges, Behaviour::DiesBehindWriting, Behaviour::Lies] {
        with_large_merges(4000, move |world| async move {
            let (leader, tasks, asked) = (world.leader.clone(), world.tasks.clone(), AtomicUsize::new(0));
            let helper = Arc::new(Elsewhere { leader, tasks, behaviour, asked });
            world.leader.delegate_merges(helper.clone());
            let mut ts = Timestamp::MIN;
            for n in 0..60u64 {
                let rows = (0..40).map(|m| (row(n * 40 + m), Diff::ONE)).collect();
                ts = change(&world, rows).await;
            }
            world.tasks.sleep(Duration::from_secs(60)).await;
            let asked = helper.asked.load(Ordering::SeqCst) as u64;
            assert!(asked > 0, "a merge was large");
            let delegated = world.leader.write_counts().delegated_merges;
            assert_eq!(delegated, if behaviour == Behaviour::Merges { asked } else { 0 });
            let state = world.leader.state();
            state.check().expect("invariants hold");
            let batches = &state.shards[&TABLE].batches;
            assert!(batches.len() <= 24, "{} batches", batches.len());
            let expected: Vec<(Row, Diff)> = (0..2400).map(|n| (row(n), Diff::ONE)).collect();
            assert_eq!(world.leader.snapshot(TABLE, ts).await.expect("read"), expected);
            world.tasks.sleep(Duration::from_secs(4000)).await;
            world.leader.collect_orphans().await.expect("collected");
            let state = world.leader.state();
            let parts_of =
                |shard: &persist::Shard| shard.batches.iter().flat_map(|batch| batch.parts.to_vec()).collect();
            let named: Vec<Part> = state.shards.values().flat_map(|shard| -> Vec<Part> { parts_of(shard) }).collect();
            let named = named.iter().filter(|part| matches!(part, Part::Hollow(_))).count();
            assert_eq!(parts(&world.blob).await, named, "what was written in vain is gone");
        });
    }
}

#[test]
fn a_held_time_stays_readable() {
    with_leader(|world| async move {
        let mut ts = change(&world, vec![(row(0), Diff::ONE)]).await;
        let hold = world.leader.hold(TABLE, ts).expect("not below since");
        let held = ts;
        for _ in 0..50 {
            change(&world, vec![(row(0), Diff::MINUS_ONE), (row(1), Diff::ONE)]).await;
            ts = change(&world, vec![(row(0), Diff::ONE), (row(1), Diff::MINUS_ONE)]).await;
        }
        assert_eq!(world.leader.since(TABLE), Some(held));
        assert_eq!(world.leader.snapshot(TABLE, held).await.expect("read"), vec![(row(0), Diff::ONE)]);
        assert_eq!(world.leader.snapshot(TABLE, ts).await.expect("read"), vec![(row(0), Diff::ONE)]);
        drop(hold);
        change(&world, vec![]).await;
        world.tasks.sleep(Duration::from_secs(3)).await;
        change(&world, vec![]).await;
        assert!(world.leader.since(TABLE) > Some(held), "since moves once nothing holds it");
        assert!(world.leader.hold(TABLE, held).is_err(), "and then the time is gone");
    });
}

#[test]
fn retention_keeps_history() {
    with_leader(|world| async move {
        world.leader.set_retention(TABLE, Duration::from_secs(60));
        let first = change(&world, vec![(row(0), Diff::ONE)]).await;
        for n in 1..60 {
            change(&world, vec![(row(n), Diff::ONE)]).await;
        }
        assert_eq!(world.leader.snapshot(TABLE, first).await.expect("within the minute"), vec![(row(0), Diff::ONE)]);
    });
}

#[test]
fn a_dropped_shard_is_forgotten_with_its_parts() {
    with_leader(|world| async move {
        let rows = (0..100).map(|n| (row(n), Diff::ONE)).collect();
        let ts = change(&world, rows).await;
        assert_eq!(parts(&world.blob).await, 1);
        let mut subscription = world.leader.subscribe(TABLE, ts).await.expect("readable");
        let mut commit = Commit::tick(GroupId::TABLES, world.leader.speculative_group_upper(GroupId::TABLES));
        commit.retires.push(TABLE);
        world.leader.commit(commit).await.expect("committed");
        assert!(!world.leader.is_shard(TABLE) && world.leader.upper(TABLE).is_none());
        while let Some(Ok(_)) = subscription.next().await {}
        drop(subscription);
        world.tasks.sleep(Duration::from_secs(60)).await;
        assert!(!world.leader.state().shards.contains_key(&TABLE));
        assert_eq!(parts(&world.blob).await, 0);
    });
}

/// A shard whose since lies beyond what was written: nothing is lost nor sent twice when its batches are merged.
#[test]
fn a_shard_younger_than_its_since_is_compacted_rightly() {
    with_leader(|world| async move {
        let since = world.leader.since(SOLO).expect("it is a shard");
        let mut subscription = world.leader.subscribe(SOLO, since).await.expect("readable");
        let (mut upper, mut written) = (Timestamp::MIN, 0u64);
        let mut sum: BTreeMap<Row, Diff> = BTreeMap::new();
        let end = since.step_forward().step_forward();
        while upper < end {
            let next = upper.plus(Duration::from_secs(40)).min(end);
            let update = (row(written), upper, Diff::ONE);
            let (writer, token) = (WriterId::anonymous(1), Uuid::from_u128(u128::from(written)));
            world.leader.append(SOLO, writer, upper, next, vec![update], token).await.expect("appended");
            (upper, written) = (next, written + 1);
            if written % 10 == 0 {
                // Lets compaction go first.
                world.tasks.sleep(Duration::from_secs(2)).await;
            }
        }
        let mut frontier = Timestamp::MIN;
        while frontier < end {
            let updates = match subscription.next().await.expect("it goes on").expect("it works") {
                ShardEvent::Snapshot { updates, .. } => updates,
                ShardEvent::Progress { upper, updates, .. } => {
                    frontier = upper;
                    updates
                }
            };
            for (row, time, diff) in updates {
                assert!(time >= since, "times are advanced to the as-of");
                let total = sum.entry(row).or_default();
                *total = total.plus(diff);
            }
        }
        let expected: Vec<(Row, Diff)> = (0..written).map(|n| (row(n), Diff::ONE)).collect();
        assert_eq!(sum.into_iter().collect::<Vec<_>>(), expected);
        assert_eq!(world.leader.snapshot(SOLO, since).await.expect("read"), expected);
    });
}
