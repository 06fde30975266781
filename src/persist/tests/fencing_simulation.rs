//! Three machines that all want to lead one log, on one thread from one seed: requests and replies are lost, delayed and
//! doubled, machines crash, stop for seconds or hours (with their clocks or without), and their wall clocks are stepped.
//!
//! `FRESHET_TEST_SEEDS` sets the number of seeds, `FRESHET_TEST_SEED` the first of them.
//!
//! Each machine runs a leader whenever it gets into office, with a writer and two strict readers. Checked on the way: a strict
//! read answers at or above whatever was acknowledged or answered, by anyone, before it began; a write's time lies above
//! those too. Checked at the end, from every kept checkpoint: what was acknowledged is there exactly once, and each answer
//! held exactly the writes at or below its time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use persist::{
    Blob, Commit, CommitError, CreateShard, Faults, GroupId, Leader, LeaderConfig, LeaderHandle, MemLog, OpenError,
    State, memory_blob,
};
use repr::{Diff, Row, ShardId, Timestamp};
use stdx::sim::{Executor, PausedClocks, Step};
use stdx::{Rng, Task, Tasks};

const TABLE: ShardId = ShardId(1);
const MACHINES: [u64; 3] = [1, 2, 3];
/// The store's own machine, and one without faults.
const STORE: u64 = 100;
const CALM: u64 = 101;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Unknown,
    Acknowledged,
    Refused,
}

struct Write {
    ts: Timestamp,
    outcome: Outcome,
}

struct Answer {
    epoch: u64,
    ts: Timestamp,
    rows: BTreeSet<u64>,
}

#[derive(Default)]
struct History {
    writes: Vec<Write>,
    answers: Vec<Answer>,
    /// The greatest times that anybody has acknowledged or answered at.
    acknowledged: Timestamp,
    answered: Timestamp,
    acknowledging_epochs: BTreeSet<u64>,
    ended: BTreeMap<String, usize>,
}

#[derive(Clone)]
struct World {
    log: MemLog,
    blob: Blob,
    rng: Rng,
    history: Arc<Mutex<History>>,
    faults: Faults,
    generation: Arc<AtomicU64>,
    clocks_may_stand_still: bool,
}

impl World {
    fn config(&self, tasks: Tasks, faults: Faults) -> LeaderConfig {
        let log = self.log.with_faults(faults, self.rng.clone(), tasks.clone());
        let mut config = LeaderConfig::new(Arc::new(log), Arc::clone(&self.blob), tasks, self.rng.clone());
        config.generation = self.generation.load(Ordering::SeqCst);
        config.boot_grace = Duration::from_secs(2);
        config.checkpoint_bytes = 4 << 10;
        config.checkpoint_every = Duration::from_secs(60);
        config.inline_bytes_max = 1 << 20;
        config.clocks_may_stand_still = self.clocks_may_stand_still;
        config
    }

    fn sleep(&self, tasks: &Tasks, ms_max: u64) -> impl Future<Output = ()> + Send + use<> {
        tasks.sleep(Duration::from_millis(self.rng.below(ms_max)))
    }
}

fn row(write: usize) -> Row {
    Row::from_bytes(&(write as u64).to_be_bytes())
}

/// A machine whose supervisor starts environmentd for ever.
async fn machine(world: World, tasks: Tasks) {
    loop {
        let mut config = world.config(tasks.clone(), world.faults);
        config.force_takeover = world.rng.below(12) == 0;
        match Leader::open(config).await {
            Ok(leader) => lead(&world, &leader, &tasks).await,
            Err(OpenError::Fenced { .. } | OpenError::Halted(_) | OpenError::Log(_)) => {}
            Err(error) => panic!("{error}"),
        }
        world.sleep(&tasks, 5_000).await;
    }
}

async fn lead(world: &World, leader: &LeaderHandle, tasks: &Tasks) {
    if !leader.is_shard(TABLE) {
        let mut commit =
            Commit::tick(GroupId::TABLES, leader.now().max(leader.speculative_group_upper(GroupId::TABLES)));
        commit.creates.push(CreateShard { shard: TABLE, group: Some(GroupId::TABLES), scheduled: false });
        if leader.commit(commit).await.is_err() {
            return;
        }
    }
    let oracle = Arc::new(AtomicU64::new(leader.floor().micros()));
    let mut clients: Vec<Task> = Vec::new();
    let writing = write_for_ever(world.clone(), leader.clone(), Arc::clone(&oracle), tasks.clone());
    clients.push(tasks.spawn("writer", writing));
    for _ in 0..2 {
        let reading = read_for_ever(world.clone(), leader.clone(), Arc::clone(&oracle), tasks.clone());
        clients.push(tasks.spawn("reader", reading));
    }
    if world.rng.below(8) == 0 {
        world.sleep(tasks, 60_000).await;
        // An orderly end. Readers stop first, as sessions do.
        drop(clients);
        let _ = leader.close(Timestamp::new(oracle.load(Ordering::SeqCst))).await;
    } else {
        let ended = leader.halted().await.to_string();
        let kind = ended.split(':').next().unwrap_or_default().to_owned();
        *world.history.lock().ended.entry(kind).or_default() += 1;
    }
}

async fn write_for_ever(world: World, leader: LeaderHandle, oracle: Arc<AtomicU64>, tasks: Tasks) {
    loop {
        world.sleep(&tasks, 15_000).await;
        let read_ts = Timestamp::new(oracle.load(Ordering::SeqCst));
        let upper = leader.speculative_group_upper(GroupId::TABLES);
        let ts = leader.now().max(read_ts.step_forward()).max(upper);
        let (write, acknowledged, answered) = {
            let mut history = world.history.lock();
            history.writes.push(Write { ts, outcome: Outcome::Unknown });
            (history.writes.len() - 1, history.acknowledged, history.answered)
        };
        let mut commit = Commit::tick(GroupId::TABLES, ts);
        commit.appends.push((TABLE, vec![(row(write), Diff::ONE)]));
        let outcome = leader.commit(commit).await;
        let mut history = world.history.lock();
        match outcome {
            Ok(()) => {
                assert!(ts > acknowledged, "a write at {ts} began after one at {acknowledged} was acknowledged");
                assert!(ts > answered, "a write at {ts} began after a read at {answered} was answered");
                oracle.fetch_max(ts.micros(), Ordering::SeqCst);
                history.writes[write].outcome = Outcome::Acknowledged;
                history.acknowledged = history.acknowledged.max(ts);
                history.acknowledging_epochs.insert(leader.epoch());
            }
            Err(CommitError::Unknown(_)) => return,
            Err(CommitError::UpperMismatch { .. }) => history.writes[write].outcome = Outcome::Refused,
            Err(CommitError::Halted(_)) => {
                history.writes[write].outcome = Outcome::Refused;
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn read_for_ever(world: World, leader: LeaderHandle, oracle: Arc<AtomicU64>, tasks: Tasks) {
    loop {
        world.sleep(&tasks, 15_000).await;
        let (acknowledged, answered) = {
            let history = world.history.lock();
            (history.acknowledged, history.answered)
        };
        let Ok(hold) = leader.hold_at_since(TABLE) else { return };
        let fresh = leader.group_upper(GroupId::TABLES).step_back().min(leader.now());
        let ts = hold.at().max(fresh).max(Timestamp::new(oracle.load(Ordering::SeqCst)));
        if leader.ensure_lease().await.is_err() {
            return;
        }
        oracle.fetch_max(ts.micros(), Ordering::SeqCst);
        if leader.speculative_group_upper(GroupId::TABLES) <= ts {
            // Another commit moves the upper as well, and an end is seen below.
            let _ = leader.commit(Commit::tick(GroupId::TABLES, ts)).await;
        }
        leader.wait_upper(TABLE, ts).await;
        if leader.group_upper(GroupId::TABLES) <= ts {
            return;
        }
        let rows = leader.snapshot(TABLE, ts).await.expect("it is held, and complete");
        let epoch = leader.epoch();
        assert!(ts >= acknowledged, "epoch {epoch} answers at {ts} what began after a write at {acknowledged}");
        assert!(ts >= answered, "epoch {epoch} answers at {ts} what began after an answer at {answered}");
        let rows = rows.iter().map(|(row, _)| u64::from_be_bytes(row.as_bytes().try_into().expect("eight bytes")));
        let mut history = world.history.lock();
        history.answered = history.answered.max(ts);
        history.answers.push(Answer { epoch, ts, rows: rows.collect() });
    }
}

/// Opens a leader that nothing disturbs; its state, and the rows of the table.
fn look(executor: &Executor, world: &World) -> (State, BTreeSet<u64>) {
    let mut config = world.config(executor.tasks(CALM), Faults::default());
    config.force_takeover = true;
    executor.block_on(async move {
        let leader = Leader::open(config).await.expect("the log opens");
        let state = leader.state();
        state.check().expect("invariants hold");
        let mut rows = BTreeSet::new();
        if leader.is_shard(TABLE) {
            let at = leader.group_upper(GroupId::TABLES).step_back();
            for (row, diff) in leader.snapshot(TABLE, at).await.expect("the table reads") {
                assert_eq!(diff, Diff::ONE, "a write is there several times");
                rows.insert(u64::from_be_bytes(row.as_bytes().try_into().expect("eight bytes")));
            }
        }
        (state, rows)
    })
}

fn check_contents(history: &History, present: &BTreeSet<u64>, seed: u64) {
    for (write, Write { ts, outcome }) in history.writes.iter().enumerate() {
        let is_there = present.contains(&(write as u64));
        match outcome {
            Outcome::Acknowledged => {
                assert!(is_there, "seed {seed}: write {write} at {ts} was acknowledged and is lost")
            }
            Outcome::Refused => assert!(!is_there, "seed {seed}: write {write} at {ts} was refused and is there"),
            Outcome::Unknown => {}
        }
    }
    for Answer { epoch, ts, rows } in &history.answers {
        let below = |write: &u64| history.writes[usize::try_from(*write).expect("small")].ts <= *ts;
        let expected: BTreeSet<u64> = present.iter().copied().filter(below).collect();
        assert_eq!(
            *rows, expected,
            "seed {seed}: what epoch {epoch} answered at {ts} is not what is there at that time"
        );
    }
}

/// Runs until so much virtual time has passed.
fn run_for(executor: &Executor, ms: u64) {
    let clock = executor.tasks(CALM);
    let end = clock.clock().boot() + Duration::from_millis(ms);
    let timer = clock.spawn("end of the run", clock.sleep(Duration::from_millis(ms)));
    while clock.clock().boot() < end {
        assert_ne!(executor.step(), Step::Idle, "the timer is still to come");
    }
    drop(timer);
}

struct Summary {
    acknowledged: usize,
    epochs: usize,
    fenced: usize,
    truncated: bool,
}

fn simulate(seed: u64) -> Summary {
    println!("seed {seed}");
    let rng = Rng::from_seed(seed);
    let executor = Executor::new(rng.clone(), 1_000_000_000);
    let faults = match rng.below(3) {
        0 => Faults { delay_ms_max: 50, ..Faults::default() },
        1 => Faults { delay_ms_max: 300, lose_request: 30, lose_reply: 60, duplicate: 60, reorder: 40, disk_full: 0 },
        _ => Faults { delay_ms_max: 3_000, lose_request: 60, lose_reply: 60, duplicate: 60, reorder: 60, disk_full: 0 },
    };
    let world = World {
        log: MemLog::shared(executor.tasks(STORE)),
        blob: memory_blob(),
        rng: rng.clone(),
        history: Arc::default(),
        faults,
        generation: Arc::new(AtomicU64::new(1)),
        clocks_may_stand_still: rng.below(3) == 0,
    };
    let start = |group: u64| {
        let tasks = executor.tasks(group);
        tasks.spawn("machine", machine(world.clone(), tasks.clone()))
    };
    let mut machines: BTreeMap<u64, Task> = MACHINES.into_iter().map(|group| (group, start(group))).collect();
    for _ in 0..40 {
        run_for(&executor, rng.below(30_000));
        let group = MACHINES[usize::try_from(rng.below(3)).expect("small")];
        match rng.below(40) {
            0..=5 => {
                executor.kill(group);
                machines.insert(group, start(group));
            }
            6..=19 => {
                let stop = world.clocks_may_stand_still && rng.below(2) == 0;
                executor.pause(group, if stop { PausedClocks::Stop } else { PausedClocks::Run });
            }
            20..=31 => MACHINES.into_iter().for_each(|group| executor.resume(group)),
            32..=35 => {
                let by_ms = i64::try_from(rng.below(600_000)).expect("small") - 300_000;
                executor.jump_wall_clock_of(group, by_ms);
            }
            36..=38 => {
                world.generation.fetch_add(rng.below(2), Ordering::SeqCst);
            }
            // Long enough for slots to be truncated that a sleeping leader takes for its next.
            _ => run_for(&executor, 4_500_000),
        }
    }
    MACHINES.into_iter().for_each(|group| executor.resume(group));
    let before = world.history.lock().acknowledging_epochs.clone();
    let acknowledged_before = acknowledged(&world);
    run_for(&executor, 120_000);
    assert!(acknowledged(&world) > acknowledged_before, "seed {seed}: nobody leads once faults stop: {before:?}");
    MACHINES.into_iter().for_each(|group| executor.kill(group));
    finish(&executor, &world, seed)
}

fn acknowledged(world: &World) -> usize {
    world.history.lock().writes.iter().filter(|write| write.outcome == Outcome::Acknowledged).count()
}

fn finish(executor: &Executor, world: &World, seed: u64) -> Summary {
    let (state, present) = look(executor, world);
    check_contents(&world.history.lock(), &present, seed);
    // The older checkpoints lead to the same, with the entries behind them.
    while world.log.damage_newest_checkpoint() {
        let (older, present) = look(executor, world);
        check_contents(&world.history.lock(), &present, seed);
        assert_eq!(older.shards, state.shards, "seed {seed}: from an older checkpoint");
    }
    let history = world.history.lock();
    let summary = Summary {
        acknowledged: history.writes.iter().filter(|write| write.outcome == Outcome::Acknowledged).count(),
        epochs: history.acknowledging_epochs.len(),
        fenced: history.ended.get("fenced").copied().unwrap_or_default(),
        truncated: u64::try_from(world.log.len()).expect("small") < state.next_seq - 1,
    };
    println!(
        "seed {seed}: {} of {} writes acknowledged in {} epochs, {} answers, {} fenced",
        summary.acknowledged,
        history.writes.len(),
        summary.epochs,
        history.answers.len(),
        summary.fenced
    );
    summary
}

/// `FRESHET_TEST_SEEDS` seeds from `FRESHET_TEST_SEED` on.
#[allow(clippy::disallowed_methods, reason = "a test has no flags")]
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let first = number("FRESHET_TEST_SEED").unwrap_or(0);
    first..first + number("FRESHET_TEST_SEEDS").unwrap_or(20)
}

#[test]
fn of_three_machines_one_leads() {
    let seeds = seeds();
    let count = usize::try_from(seeds.end - seeds.start).expect("small");
    let runs: Vec<Summary> = seeds.map(simulate).collect();
    let total = |count: fn(&Summary) -> usize| runs.iter().map(count).sum::<usize>();
    let (acknowledged, epochs) = (total(|run| run.acknowledged), total(|run| run.epochs));
    let fenced = total(|run| run.fenced);
    println!("{acknowledged} acknowledged in {epochs} epochs, {fenced} fenced");
    assert!(acknowledged > 20 * count, "the test shows little");
    assert!(epochs > 4 * count, "leaders hardly changed");
    assert!(fenced > count / 2, "hardly anyone was fenced");
    assert!(count < 20 || runs.iter().any(|run| run.truncated), "nothing was truncated");
}
