//! Leaders that crash, race and lose replies, on one thread from one seed.
//!
//! Checked at the end of each run: every acknowledged write is there exactly once, every refused one is not, every other one
//! is there once or not at all, and whole. Checked on the way: a subscriber's messages add up to the snapshot at its frontier.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use persist::{
    AppendError, Blob, Commit, CommitError, CreateShard, Faults, GroupId, Leader, LeaderConfig, LeaderHandle, MemLog,
    ShardEvent, Shards, SubscribeError, Validate, WriterId, memory_blob,
};
use repr::{Diff, Row, ShardId, Timestamp};
use stdx::sim::{Executor, Step};
use stdx::{Rng, Tasks};
use uuid::Uuid;

const TABLES: [ShardId; 3] = [ShardId(1), ShardId(2), ShardId(3)];
const SOLOS: [ShardId; 3] = [ShardId(11), ShardId(12), ShardId(13)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Unknown,
    Acknowledged,
    Refused,
}

/// Rows written together, and what the client was told.
struct Write {
    rows: Vec<(ShardId, Row)>,
    outcome: Outcome,
}

#[derive(Default)]
struct History {
    writes: Vec<Write>,
    next_row: u64,
}

#[derive(Clone)]
struct World {
    log: MemLog,
    blob: Blob,
    rng: Rng,
    history: Arc<Mutex<History>>,
    faults: Faults,
}

impl World {
    fn config(&self, tasks: Tasks, faults: Faults) -> LeaderConfig {
        let log = self.log.with_faults(faults, self.rng.clone(), tasks.clone());
        let mut config = LeaderConfig::new(Arc::new(log), Arc::clone(&self.blob), tasks, self.rng.clone());
        config.lease = Some(Duration::from_secs(15));
        config.boot_grace = Duration::from_secs(2);
        config.checkpoint_bytes = 4 << 10;
        config.checkpoint_every = Duration::from_secs(5);
        config.inline_bytes_max = 300;
        config.delete_after = Duration::from_secs(3);
        config
    }

    fn row(&self) -> Row {
        let mut history = self.history.lock();
        history.next_row += 1;
        let mut bytes = history.next_row.to_be_bytes().to_vec();
        bytes.resize(8 + usize::try_from(self.rng.below(120)).unwrap(), 7);
        Row::from_bytes(&bytes)
    }

    fn begin(&self, rows: Vec<(ShardId, Row)>) -> usize {
        let mut history = self.history.lock();
        history.writes.push(Write { rows, outcome: Outcome::Unknown });
        history.writes.len() - 1
    }

    fn end(&self, write: usize, outcome: Outcome) {
        self.history.lock().writes[write].outcome = outcome;
    }

    fn pick(&self, shards: &[ShardId]) -> ShardId {
        shards[usize::try_from(self.rng.below(shards.len() as u64)).unwrap()]
    }
}

/// One environmentd: a leader and its clients, until it is killed or fenced.
async fn process(world: World, tasks: Tasks) {
    let Ok(leader) = Leader::open(world.config(tasks.clone(), world.faults)).await else { return };
    if !create_shards(&leader).await {
        return;
    }
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(tasks.spawn("appender", append_for_ever(world.clone(), leader.clone(), tasks.clone())));
    }
    clients.push(tasks.spawn("committer", commit_for_ever(world.clone(), leader.clone(), tasks.clone())));
    for shard in [TABLES[0], SOLOS[0]] {
        clients.push(tasks.spawn("subscriber", follow(world.clone(), leader.clone(), shard, tasks.clone())));
    }
    leader.halted().await;
}

async fn create_shards(leader: &LeaderHandle) -> bool {
    for (shards, group) in [(TABLES, Some(GroupId::TABLES)), (SOLOS, None)] {
        for shard in shards {
            if leader.is_shard(shard) {
                continue;
            }
            let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
            let mut commit = Commit::tick(GroupId::TABLES, ts);
            commit.creates.push(CreateShard { shard, group, scheduled: false });
            if leader.commit(commit).await.is_err() {
                return false;
            }
        }
    }
    true
}

async fn append_for_ever(world: World, leader: LeaderHandle, tasks: Tasks) {
    loop {
        tasks.sleep(Duration::from_millis(world.rng.below(200))).await;
        let shard = world.pick(&SOLOS);
        let Some(expect) = leader.upper(shard) else { return };
        let upper = leader.now().max(expect).step_forward();
        let count = world.rng.below(8);
        let span = upper.micros() - expect.micros();
        let rows: Vec<(Row, Timestamp, Diff)> = (0..count)
            .map(|_| {
                let time = Timestamp::new(upper.micros() - 1 - world.rng.below(span.min(50)));
                (world.row(), time, Diff::ONE)
            })
            .collect();
        let write = world.begin(rows.iter().map(|(row, _, _)| (shard, row.clone())).collect());
        let token = Uuid::from_bytes(world.rng.bytes16());
        let writer = WriterId { generation: 1, writer: 5, incarnation: leader.epoch() };
        let outcome = leader.append(shard, writer, expect, upper, rows.clone(), token).await;
        match outcome {
            Ok(()) => {
                world.end(write, Outcome::Acknowledged);
                if world.rng.below(4) == 0 {
                    // A client that did not hear the answer.
                    let again = leader.append(shard, writer, expect, upper, rows, token).await;
                    let sound = matches!(
                        again,
                        Ok(()) | Err(AppendError::Unknown(_) | AppendError::Halted(_) | AppendError::DiskFull)
                    );
                    assert!(sound, "a retry with a known token: {again:?}");
                }
            }
            Err(AppendError::UpperMismatch { actual }) => {
                assert!(actual > expect || leader.upper(shard) >= Some(actual), "the mismatch names a durable upper");
                world.end(write, Outcome::Refused);
            }
            Err(AppendError::DiskFull) => world.end(write, Outcome::Refused),
            Err(AppendError::Halted(_)) => {
                world.end(write, Outcome::Refused);
                return;
            }
            Err(AppendError::Unknown(_)) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn commit_for_ever(world: World, leader: LeaderHandle, tasks: Tasks) {
    loop {
        tasks.sleep(Duration::from_millis(world.rng.below(100))).await;
        let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
        let mut commit = Commit::tick(GroupId::TABLES, ts);
        let mut rows = Vec::new();
        for table in TABLES {
            let added: Vec<(Row, Diff)> = (0..world.rng.below(4)).map(|_| (world.row(), Diff::ONE)).collect();
            rows.extend(added.iter().map(|(row, _)| (table, row.clone())));
            commit.appends.push((table, added));
        }
        if world.rng.below(3) == 0 {
            let read_ts = Timestamp::new(ts.micros().saturating_sub(world.rng.below(100)));
            commit.validate.push(Validate { read_ts, tables: vec![world.pick(&TABLES)] });
        }
        let write = world.begin(rows);
        match leader.commit(commit).await {
            Ok(()) => {
                assert!(leader.group_upper(GroupId::TABLES) > ts, "an acknowledged commit is durable");
                world.end(write, Outcome::Acknowledged);
            }
            Err(CommitError::Conflict { .. } | CommitError::DiskFull) => world.end(write, Outcome::Refused),
            Err(CommitError::Halted(_)) => {
                world.end(write, Outcome::Refused);
                return;
            }
            Err(CommitError::Unknown(_)) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn follow(world: World, leader: LeaderHandle, shard: ShardId, tasks: Tasks) {
    let Ok(hold) = leader.hold_at_since(shard) else { return };
    let as_of = hold.at();
    let Ok(mut subscription) = leader.subscribe(shard, as_of).await else { return };
    drop(hold);
    let mut sum: BTreeMap<Row, Diff> = BTreeMap::new();
    let (mut in_snapshot, mut frontier) = (true, None);
    let add = |sum: &mut BTreeMap<Row, Diff>, row: Row, diff: Diff| {
        let total = sum.entry(row).or_default();
        *total = total.plus(diff);
    };
    loop {
        if world.rng.below(4) == 0 {
            tasks.sleep(Duration::from_millis(world.rng.below(3000))).await;
        }
        match subscription.next().await {
            Some(Ok(ShardEvent::Snapshot { updates, last })) => {
                assert!(in_snapshot);
                in_snapshot = !last;
                for (row, time, diff) in updates {
                    assert_eq!(time, as_of, "snapshot times are the as-of");
                    add(&mut sum, row, diff);
                }
            }
            Some(Ok(ShardEvent::Progress { prev_upper, upper, now, updates })) => {
                assert!(!in_snapshot && upper >= prev_upper && now <= leader.now());
                assert_eq!(frontier.unwrap_or(prev_upper), prev_upper, "progress joins");
                for (row, time, diff) in updates {
                    assert!(time >= as_of && time >= prev_upper, "{time} below {as_of} or {prev_upper}");
                    add(&mut sum, row, diff);
                }
                // A piece of a larger change is complete at no time yet.
                if frontier.is_none_or(|frontier| upper > frontier) && upper > as_of {
                    let at = upper.step_back();
                    let snapshot = leader.snapshot(shard, at).await.expect("the subscription holds it");
                    let snapshot: BTreeMap<Row, Diff> = snapshot.into_iter().collect();
                    assert_eq!(sum, snapshot, "{shard}: messages add up to the snapshot at {at}");
                    if world.rng.below(2) == 0 {
                        subscription.ack(upper);
                    }
                }
                frontier = Some(upper);
            }
            Some(Err(SubscribeError::Halted(_))) | None => return,
            Some(Err(error)) => panic!("{error}"),
        }
    }
}

/// What is really there, from a leader without faults.
fn verify(executor: &Executor, world: &World, seed: u64) -> usize {
    let config = world.config(executor.tasks(u64::MAX - 1), Faults::default());
    let history = Arc::clone(&world.history);
    let contents = executor.block_on(async move {
        let leader = Leader::open(config).await.expect("the log opens");
        leader.state().check().expect("invariants hold");
        let mut contents: BTreeSet<(ShardId, Row)> = BTreeSet::new();
        for shard in TABLES.into_iter().chain(SOLOS).filter(|shard| leader.is_shard(*shard)) {
            let upper = leader.upper(shard).expect("it is a shard");
            let since = leader.since(shard).expect("it is a shard");
            if upper <= since {
                continue;
            }
            for (row, diff) in leader.snapshot(shard, upper.step_back()).await.expect("the shard reads") {
                assert_eq!(diff, Diff::ONE, "{shard} has {row:?} several times");
                contents.insert((shard, row));
            }
        }
        contents
    });
    let history = history.lock();
    let mut acknowledged = 0;
    let mut accounted = 0;
    for write in &history.writes {
        let present = write.rows.iter().filter(|row| contents.contains(row)).count();
        match write.outcome {
            Outcome::Acknowledged => {
                assert_eq!(present, write.rows.len(), "seed {seed}: an acknowledged write is lost");
                acknowledged += 1;
            }
            Outcome::Refused => assert_eq!(present, 0, "seed {seed}: a refused write is there"),
            Outcome::Unknown => {
                assert!(present == 0 || present == write.rows.len(), "seed {seed}: half a write is there");
            }
        }
        accounted += present;
    }
    assert_eq!(accounted, contents.len(), "seed {seed}: rows that nobody wrote");
    acknowledged
}

/// One run; prints its seed first, so that a panic can be replayed.
fn simulate(seed: u64, faults: Faults) -> usize {
    println!("seed {seed}");
    let rng = Rng::from_seed(seed);
    let executor = Executor::new(rng.clone(), 1_000_000);
    let world = World { log: MemLog::new(), blob: memory_blob(), rng: rng.clone(), history: Arc::default(), faults };
    let mut alive = Vec::new();
    let mut processes = Vec::new();
    for group in 1..6 {
        let tasks = executor.tasks(group);
        processes.push(tasks.spawn("process", process(world.clone(), tasks.clone())));
        alive.push(group);
        for _ in 0..rng.below(6000) {
            if executor.step() == Step::Idle {
                break;
            }
        }
        match rng.below(4) {
            // It goes on as a zombie beside its successor.
            0 => {}
            1 => {
                alive.drain(..).for_each(|group| executor.kill(group));
                let pause = executor.tasks(u64::MAX - 2);
                let sleep = pause.sleep(Duration::from_secs(4000));
                executor.block_on(sleep);
            }
            _ => alive.drain(..).for_each(|group| executor.kill(group)),
        }
    }
    alive.drain(..).for_each(|group| executor.kill(group));
    let acknowledged = verify(&executor, &world, seed);
    let history = world.history.lock();
    let count = |outcome: Outcome| history.writes.iter().filter(|write| write.outcome == outcome).count();
    let (refused, unknown) = (count(Outcome::Refused), count(Outcome::Unknown));
    println!(
        "seed {seed}: {acknowledged} acknowledged, {refused} refused, {unknown} unknown, {} log entries kept",
        world.log.len()
    );
    acknowledged
}

#[test]
fn acknowledged_writes_survive_crashes() {
    let mut acknowledged = 0;
    for seed in 0..20 {
        acknowledged += simulate(seed, Faults { delay_ms_max: 5, ..Faults::default() });
    }
    assert!(acknowledged > 500, "only {acknowledged} writes were acknowledged: the test shows little");
}

#[test]
fn acknowledged_writes_survive_a_bad_network() {
    let faults =
        Faults { delay_ms_max: 20, lose_request: 30, lose_reply: 50, duplicate: 50, reorder: 30, disk_full: 5 };
    let mut acknowledged = 0;
    for seed in 1000..1030 {
        acknowledged += simulate(seed, faults);
    }
    assert!(acknowledged > 500, "only {acknowledged} writes were acknowledged: the test shows little");
}
