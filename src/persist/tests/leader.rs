//! Single traits of a leader: full disks, fencing, leases, the clock, what commits refuse.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use persist::{
    Append, AppendError, Checkpoint, Commit, CommitError, CreateShard, Entry, GroupId, Halt, LEASE, Leader,
    LeaderConfig, LeaderHandle, Log, LogError, MemLog, OpenError, Shards, Slot, SnapshotError, Stage, Validate,
    WriterId, memory_blob,
};
use repr::{Diff, Row, ShardId, Timestamp};
use stdx::sim::Executor;
use stdx::{Rng, Tasks};
use uuid::Uuid;

const TABLE: ShardId = ShardId(1);
const OTHER: ShardId = ShardId(2);
const SOLO: ShardId = ShardId(3);
const START_MS: u64 = 1_000_000;

fn executor() -> Executor {
    Executor::new(Rng::from_seed(11), START_MS)
}

fn config(log: Arc<dyn Log>, tasks: &Tasks) -> LeaderConfig {
    LeaderConfig::new(log, memory_blob(), tasks.clone(), Rng::from_seed(12))
}

async fn with_shards(leader: &LeaderHandle) {
    let mut commit = Commit::tick(GroupId::TABLES, leader.now());
    for shard in [TABLE, OTHER] {
        commit.creates.push(CreateShard { shard, group: Some(GroupId::TABLES), scheduled: false });
    }
    commit.creates.push(CreateShard { shard: SOLO, group: None, scheduled: false });
    leader.commit(commit).await.expect("committed");
}

fn insert(leader: &LeaderHandle, table: ShardId, n: u8) -> Commit {
    let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
    let mut commit = Commit::tick(GroupId::TABLES, ts);
    commit.appends.push((table, vec![(Row::from_bytes(&[n]), Diff::ONE)]));
    commit
}

/// A log on a disk that can be full.
struct Disk {
    log: MemLog,
    full: AtomicBool,
}

#[async_trait]
impl Log for Disk {
    async fn load(&self) -> Result<(Option<Checkpoint>, Vec<Entry>), LogError> {
        self.log.load().await
    }

    async fn append(&self, entry: Entry) -> Result<Append, LogError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(LogError::DiskFull("test".to_owned()));
        }
        self.log.append(entry).await
    }

    async fn read(&self, seq: u64) -> Result<Slot, LogError> {
        self.log.read(seq).await
    }

    fn tail(&self, from: u64) -> BoxStream<'_, Result<Entry, LogError>> {
        self.log.tail(from)
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), LogError> {
        self.log.checkpoint(checkpoint).await
    }

    async fn truncate(&self, upto: u64) -> Result<(), LogError> {
        self.log.truncate(upto).await
    }

    fn lock_proves_leadership(&self) -> bool {
        true
    }
}

#[test]
fn a_full_disk_refuses_new_writes_and_owes_the_old_one() {
    let executor = executor();
    let tasks = executor.tasks(1);
    executor.block_on(async move {
        let disk = Arc::new(Disk { log: MemLog::new(), full: AtomicBool::new(false) });
        let log: Arc<dyn Log> = Arc::clone(&disk) as Arc<dyn Log>;
        let leader = Leader::open(config(log, &tasks)).await.expect("the leader opens");
        with_shards(&leader).await;
        disk.full.store(true, Ordering::SeqCst);
        let owed = {
            let (leader, commit) = (leader.clone(), insert(&leader, TABLE, 1));
            let (sender, receiver) = tokio::sync::oneshot::channel();
            tasks.spawn("owed", async move { drop(sender.send(leader.commit(commit).await)) }).detach();
            receiver
        };
        tasks.sleep(Duration::from_secs(5)).await;
        assert_eq!(leader.commit(insert(&leader, TABLE, 2)).await, Err(CommitError::DiskFull));
        let at = leader.group_upper(GroupId::TABLES).step_back();
        assert_eq!(leader.snapshot(TABLE, at).await, Ok(Vec::new()), "reads go on");
        disk.full.store(false, Ordering::SeqCst);
        assert_eq!(owed.await, Ok(Ok(())), "what was owed is stored after all");
        leader.commit(insert(&leader, TABLE, 3)).await.expect("there is space again");
        let at = leader.group_upper(GroupId::TABLES).step_back();
        let rows = [1, 3].map(|n| (Row::from_bytes(&[n]), Diff::ONE)).to_vec();
        assert_eq!(leader.snapshot(TABLE, at).await, Ok(rows));
    });
}

#[test]
fn a_fenced_leader_acknowledges_nothing_more() {
    let executor = executor();
    let tasks = executor.tasks(1);
    executor.block_on(async move {
        let log = MemLog::new();
        let old = Leader::open(config(Arc::new(log.clone()), &tasks)).await.expect("the leader opens");
        with_shards(&old).await;
        let new = Leader::open(config(Arc::new(log.clone()), &tasks)).await.expect("the next leader opens");
        let unknown = old.commit(insert(&old, TABLE, 1)).await;
        assert!(matches!(unknown, Err(CommitError::Unknown(_))), "{unknown:?}");
        let halt = old.halted().await;
        assert_eq!(halt, Halt::Fenced { epoch: 1, by: Some(2) });
        let text =
            "fenced: the leader of epoch 2 has taken over the log from epoch 1, which has acknowledged nothing since";
        assert_eq!(halt.to_string(), text);
        assert!(!old.lease_valid());
        new.commit(insert(&new, TABLE, 2)).await.expect("committed");
        let at = new.group_upper(GroupId::TABLES).step_back();
        assert_eq!(new.snapshot(TABLE, at).await, Ok(vec![(Row::from_bytes(&[2]), Diff::ONE)]));
        // A lower generation and an older program are refused outright.
        let mut higher = config(Arc::new(log.clone()), &tasks);
        (higher.generation, higher.version) = (2, 5);
        drop(Leader::open(higher).await.expect("a higher generation opens"));
        let older = Leader::open(config(Arc::new(log.clone()), &tasks)).await.err();
        assert!(matches!(older, Some(OpenError::Newer(_))), "{older:?}");
        let mut lower = config(Arc::new(log), &tasks);
        lower.version = 5;
        let lower = Leader::open(lower).await.err();
        assert!(matches!(lower, Some(OpenError::Fenced { mine: 1, actual: 2 })), "{lower:?}");
    });
}

#[test]
fn a_lease_is_waited_for_unless_it_was_given_back() {
    let executor = executor();
    let tasks = executor.tasks(1);
    executor.block_on(async move {
        let log = MemLog::new();
        let leased = || {
            let mut config = config(Arc::new(log.clone()), &tasks);
            config.lease = Some(Duration::from_secs(15));
            config
        };
        let first = Leader::open(leased()).await.expect("the leader opens");
        tasks.sleep(Duration::from_secs(100)).await;
        assert!(first.lease_valid(), "heartbeats keep it");
        let before = tasks.clock().boot();
        let second = Leader::open(leased()).await.expect("the next leader opens");
        assert!(tasks.clock().boot() - before >= Duration::from_secs(15));
        assert!(!first.lease_valid());
        let read_ts = second.now().plus(Duration::from_millis(500));
        second.close(read_ts).await.expect("handed over");
        let before = tasks.clock().boot();
        let third = Leader::open(leased()).await.expect("the next leader opens");
        assert!(tasks.clock().boot() - before < Duration::from_secs(1));
        assert!(third.floor() >= read_ts, "the oracle's time went along");
    });
}

/// A log without a lock, and what a process that wants to lead it is told meanwhile.
fn shared_config(log: &MemLog, tasks: &Tasks, generation: u64) -> (LeaderConfig, tokio::sync::watch::Receiver<Stage>) {
    let mut config = config(Arc::new(log.clone()), tasks);
    config.generation = generation;
    let stage = config.stage.subscribe();
    (config, stage)
}

#[test]
fn a_second_leader_of_one_generation_stands_by_until_the_first_is_silent() {
    let executor = executor();
    let (store, first_tasks, tasks) = (executor.tasks(9), executor.tasks(1), executor.tasks(2));
    let log = MemLog::shared(store);
    let (first_config, _) = shared_config(&log, &first_tasks, 1);
    let first = executor.block_on(async move { Leader::open(first_config).await.expect("nobody led before") });
    let (second_config, mut stage) = shared_config(&log, &tasks, 1);
    let opened = Arc::new(parking_lot::Mutex::new(None));
    let slot = Arc::clone(&opened);
    let second = tasks.spawn("second", async move { *slot.lock() = Some(Leader::open(second_config).await) });
    let clock = tasks.clone();
    let leader = first.clone();
    executor.block_on(async move {
        stage.wait_for(|stage| matches!(stage, Stage::StandingBy(leader) if leader.epoch == 1)).await.expect("alive");
        clock.sleep(Duration::from_secs(300)).await;
        assert!(matches!(*stage.borrow(), Stage::StandingBy(_)));
        leader.commit(Commit::tick(GroupId::TABLES, leader.now())).await.expect("the first still leads");
    });
    executor.kill(1);
    let clock = tasks.clone();
    executor.block_on(async move {
        let before = clock.clock().boot();
        second.ended().await;
        // The silence of one lease has been waited for, so no second one is.
        assert!(clock.clock().boot() - before <= LEASE + Duration::from_millis(10));
    });
    let second = opened.lock().take().expect("it has ended").expect("it leads");
    assert_eq!(second.epoch(), 2);
    executor.block_on(async move {
        second.ensure_lease().await.expect("it leads");
        // Handed over: nobody has to be waited for.
        second.close(second.now()).await.expect("closed");
        let before = tasks.clock().boot();
        let (config, _) = shared_config(&log, &tasks, 1);
        let third = Leader::open(config).await.expect("the third leads");
        assert_eq!(tasks.clock().boot(), before);
        // A higher generation fences at once, but waits for the lease before it answers.
        let (config, _) = shared_config(&log, &tasks, 2);
        let fourth = Leader::open(config).await.expect("the fourth leads");
        assert_eq!(tasks.clock().boot() - before, LEASE);
        assert!(matches!(third.halted().await, Halt::Fenced { epoch: 3, .. }));
        // So does force.
        let (mut config, _) = shared_config(&log, &tasks, 2);
        config.force_takeover = true;
        let fifth = Leader::open(config).await.expect("the fifth leads");
        assert_eq!(tasks.clock().boot() - before, LEASE * 2);
        assert!(matches!(fourth.halted().await, Halt::Fenced { epoch: 4, by: Some(5) }));
        tasks.sleep(Duration::from_secs(60)).await;
        fifth.commit(Commit::tick(GroupId::TABLES, fifth.now())).await.expect("the fifth goes on leading");
    });
}

#[test]
fn of_two_that_start_at_once_one_stands_by() {
    let executor = executor();
    let log = MemLog::shared(executor.tasks(9));
    let opened = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for group in [1, 2] {
        let (config, _) = shared_config(&log, &executor.tasks(group), 1);
        let opened = Arc::clone(&opened);
        tasks.push(executor.tasks(group).spawn("process", async move {
            let leader = Leader::open(config).await;
            opened.lock().push(leader);
        }));
    }
    let sleep = executor.tasks(3).sleep(Duration::from_secs(300));
    executor.block_on(sleep);
    assert_eq!(opened.lock().len(), 1, "one leads, the other waits");
}

#[test]
fn the_wall_clock_is_followed_but_never_backwards() {
    let executor = executor();
    let tasks = executor.tasks(1);
    let machine = executor.clone();
    executor.block_on(async move {
        let leader = Leader::open(config(Arc::new(MemLog::new()), &tasks)).await.expect("the leader opens");
        let second = Duration::from_secs(1);
        tasks.sleep(second).await;
        let start = leader.now();
        machine.jump_wall_clock_of(1, -3_600_000);
        assert!(leader.now() >= start, "an hour back moves nothing back");
        tasks.sleep(second * 10).await;
        assert_eq!(
            leader.now().micros(),
            start.micros() + 5_000_000,
            "it runs at half speed until the clock has caught up"
        );
        machine.jump_wall_clock_of(1, 7_200_000);
        tasks.sleep(second * 10).await;
        assert_eq!(leader.now().micros(), start.micros() + 25_000_000, "it runs at double speed after a step forward");
        tasks.sleep(second * 7200).await;
        assert_eq!(leader.now(), tasks.clock().wall().into(), "it has met the wall clock again");
    });
}

#[test]
fn validation_sees_only_later_writes_to_its_tables() {
    let executor = executor();
    let tasks = executor.tasks(1);
    executor.block_on(async move {
        let leader = Leader::open(config(Arc::new(MemLog::new()), &tasks)).await.expect("the leader opens");
        with_shards(&leader).await;
        leader.commit(insert(&leader, TABLE, 1)).await.expect("committed");
        let read_ts = leader.group_upper(GroupId::TABLES).step_back();
        leader.commit(insert(&leader, OTHER, 2)).await.expect("committed");
        let mut commit = insert(&leader, TABLE, 3);
        commit.validate.push(Validate { read_ts, tables: vec![TABLE] });
        leader.commit(commit).await.expect("only another table was written");
        let mut commit = insert(&leader, TABLE, 4);
        commit.validate.push(Validate { read_ts, tables: vec![OTHER, TABLE] });
        assert_eq!(leader.commit(commit).await, Err(CommitError::Conflict { table: OTHER, read_ts }));
        let at = leader.group_upper(GroupId::TABLES).step_back();
        let rows = [1, 3].map(|n| (Row::from_bytes(&[n]), Diff::ONE)).to_vec();
        assert_eq!(leader.snapshot(TABLE, at).await, Ok(rows));
        let upper = leader.group_upper(GroupId::TABLES);
        assert_eq!(leader.snapshot(TABLE, upper).await, Err(SnapshotError::Incomplete { upper }));
    });
}

#[test]
fn ddl_is_admitted_on_the_newest_catalog_only() {
    let executor = executor();
    let tasks = executor.tasks(1);
    executor.block_on(async move {
        let leader = Leader::open(config(Arc::new(MemLog::new()), &tasks)).await.expect("the leader opens");
        let ddl = |shard, catalog| {
            let mut commit =
                Commit::tick(GroupId::TABLES, leader.now().max(leader.speculative_group_upper(GroupId::TABLES)));
            commit.catalog = Some(catalog);
            commit.creates.push(CreateShard { shard, group: Some(GroupId::TABLES), scheduled: false });
            commit.appends.push((shard, vec![(Row::from_bytes(b"first"), Diff::ONE)]));
            commit
        };
        leader.commit(ddl(TABLE, 0)).await.expect("planned on version 0");
        assert_eq!(leader.commit(ddl(OTHER, 0)).await, Err(CommitError::CatalogMoved { actual: 1 }));
        assert!(!leader.is_shard(OTHER), "nothing of it happened");
        assert_eq!(leader.catalog_version(), 1);
        let since = leader.since(TABLE).expect("it is a shard");
        assert_eq!(
            leader.snapshot(TABLE, since).await.map(|rows| rows.len()),
            Ok(1),
            "readable from its first time on"
        );
        assert!(matches!(leader.snapshot(TABLE, since.step_back()).await, Err(SnapshotError::Expired { .. })));
    });
}

#[test]
fn the_leader_minds_the_clock_for_everybody() {
    let executor = executor();
    let tasks = executor.tasks(1);
    let jump = executor.clone();
    executor.block_on(async move {
        let log = MemLog::new();
        let leader = Leader::open(config(Arc::new(log.clone()), &tasks)).await.expect("the leader opens");
        with_shards(&leader).await;
        let far = leader.now().plus(Duration::from_secs(5));
        let writer = WriterId::anonymous(1);
        let ahead = leader.append(SOLO, writer, Timestamp::MIN, far, Vec::new(), Uuid::from_u128(1)).await;
        assert_eq!(ahead, Err(AppendError::TooFarAhead { now: leader.now() }));
        tasks.sleep(Duration::from_secs(5)).await;
        leader.append(SOLO, writer, Timestamp::MIN, far, Vec::new(), Uuid::from_u128(1)).await.expect("it is time now");
        // A wall clock that steps is followed slowly, and never back.
        jump.jump_wall_clock(-3_600_000);
        let before = leader.now();
        tasks.sleep(Duration::from_secs(10)).await;
        assert_eq!(leader.now().micros() - before.micros(), 5_000_000);
        jump.jump_wall_clock(7_200_000);
        let before = leader.now();
        tasks.sleep(Duration::from_secs(10)).await;
        assert_eq!(leader.now().micros() - before.micros(), 20_000_000);
        // The next leader starts where this one was, whatever its wall clock says.
        let upper = leader.now();
        leader.commit(Commit::tick(GroupId::TABLES, upper)).await.expect("committed");
        jump.jump_wall_clock(-7_200_000);
        let next = Leader::open(config(Arc::new(log), &tasks)).await.expect("the next leader opens");
        assert!(next.now() > upper);
    });
}
