//! Backups made while writers, compaction and deletion go on; restored, every shard reads as the original did.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use parking_lot::Mutex;
use persist::{
    BackupError, BackupReport, Blob, Commit, CreateShard, Destination, GroupId, Leader, LeaderConfig, LeaderHandle,
    Log, MemLog, Part, Progress, Pruned, RestoreReport, RestoreRequest, Shards, SnapshotError, State, WriterId,
    backup_stored, consolidate, list_backups, memory_blob, prune_backups, read_snapshot, read_state,
    refuse_half_restored, restore, verify,
};
use repr::{Diff, Row, ShardId, Timestamp};
use stdx::sim::Executor;
use stdx::{Rng, Tasks};
use uuid::Uuid;

const TABLES: [ShardId; 2] = [ShardId(1), ShardId(2)];
const SOLOS: [ShardId; 2] = [ShardId(11), ShardId(12)];
const START_MS: u64 = 1_000_000_000;

/// A store that counts what is written, can be slow, and can break.
#[derive(Debug, Clone)]
struct Target {
    inner: Blob,
    puts: Arc<AtomicU64>,
    /// Writes after so many fail.
    breaks_after: u64,
    delay: Option<Delay>,
}

#[derive(Clone)]
struct Delay(Tasks, Duration);

impl fmt::Debug for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.1)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a target")
    }
}

impl Target {
    fn new() -> Target {
        Target { inner: memory_blob(), puts: Arc::default(), breaks_after: u64::MAX, delay: None }
    }

    fn breaking_after(&self, puts: u64) -> Target {
        Target { puts: Arc::default(), breaks_after: puts, ..self.clone() }
    }

    fn slow(&self, tasks: &Tasks, seconds: u64) -> Target {
        Target { delay: Some(Delay(tasks.clone(), Duration::from_secs(seconds))), ..self.clone() }
    }

    fn blob(&self) -> Blob {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl ObjectStore for Target {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        if let Some(Delay(tasks, duration)) = &self.delay {
            tasks.sleep(*duration).await;
        }
        if self.puts.fetch_add(1, Ordering::SeqCst) >= self.breaks_after {
            return Err(object_store::Error::Generic { store: "target", source: "injected".into() });
        }
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Every update that was acknowledged, in the plainest way.
#[derive(Default)]
struct Model {
    updates: BTreeMap<ShardId, Vec<(Row, Timestamp, Diff)>>,
    /// The times of commits that were DDL.
    ddl: Vec<Timestamp>,
}

impl Model {
    fn at(&self, shard: ShardId, at: Timestamp) -> Vec<(Row, Diff)> {
        let none = Vec::new();
        let updates = self.updates.get(&shard).unwrap_or(&none).iter().filter(|(_, time, _)| *time <= at);
        let mut updates: Vec<_> = updates.map(|(row, _, diff)| (row.clone(), at, *diff)).collect();
        consolidate(&mut updates);
        updates.into_iter().map(|(row, _, diff)| (row, diff)).collect()
    }
}

#[derive(Clone)]
struct World {
    leader: LeaderHandle,
    log: MemLog,
    blob: Blob,
    tasks: Tasks,
    rng: Rng,
    model: Arc<Mutex<Model>>,
}

fn config(log: &MemLog, blob: &Blob, tasks: &Tasks, rng: &Rng) -> LeaderConfig {
    let mut config = LeaderConfig::new(Arc::new(log.clone()), Arc::clone(blob), tasks.clone(), rng.clone());
    config.boot_grace = Duration::ZERO;
    config.inline_bytes_max = 400;
    config.checkpoint_every = Duration::from_secs(10);
    config.delete_after = Duration::from_secs(20);
    config
}

/// Runs `body` in virtual time with a leader that compacts, deletes and writes checkpoints often.
fn with_world<F: Future<Output = ()> + Send + 'static>(seed: u64, body: impl FnOnce(World) -> F + Send + 'static) {
    println!("seed {seed}");
    let rng = Rng::from_seed(seed);
    let executor = Executor::new(rng.clone(), START_MS);
    let tasks = executor.tasks(1);
    executor.block_on(async move {
        let (log, blob) = (MemLog::new(), memory_blob());
        let leader = Leader::open(config(&log, &blob, &tasks, &rng)).await.expect("the leader opens");
        let mut commit = Commit::tick(GroupId::TABLES, leader.now());
        let shards = TABLES.iter().map(|shard| (shard, Some(GroupId::TABLES))).chain(SOLOS.iter().map(|s| (s, None)));
        commit.creates = shards.map(|(shard, group)| CreateShard { shard: *shard, group, scheduled: false }).collect();
        leader.commit(commit).await.expect("committed");
        let model = Arc::new(Mutex::new(Model::default()));
        body(World { leader, log, blob, tasks, rng, model }).await;
    });
}

fn row(n: u64) -> Row {
    Row::from_bytes(&[&n.to_be_bytes()[..], &[7; 60]].concat())
}

impl World {
    fn changes(&self) -> Vec<(Row, Diff)> {
        let change = |_| {
            let diff = if self.rng.below(3) == 0 { Diff::MINUS_ONE } else { Diff::ONE };
            (row(self.rng.below(200)), diff)
        };
        (0..self.rng.below(12)).map(change).collect()
    }

    async fn commit(&self) {
        let ts = self.leader.now().max(self.leader.speculative_group_upper(GroupId::TABLES));
        let mut commit = Commit::tick(GroupId::TABLES, ts);
        for shard in TABLES {
            if self.rng.below(3) > 0 {
                commit.appends.push((shard, self.changes()));
            }
        }
        let ddl = self.rng.below(5) == 0;
        commit.catalog = ddl.then(|| self.leader.catalog_version());
        let appends = commit.appends.clone();
        self.leader.commit(commit).await.expect("committed");
        let mut model = self.model.lock();
        for (shard, rows) in appends {
            model.updates.entry(shard).or_default().extend(rows.into_iter().map(|(row, diff)| (row, ts, diff)));
        }
        model.ddl.extend(ddl.then_some(ts));
    }

    async fn append(&self, shard: ShardId) {
        let lower = self.leader.upper(shard).expect("it exists");
        // Some run ahead of the tables and some lag behind them.
        let upper = Timestamp::new((self.leader.now().micros() + 900_000).saturating_sub(self.rng.below(3_000_000)));
        if upper <= lower {
            return;
        }
        // The first append covers all of time before the start.
        let from = lower.micros().max(START_MS * 1000);
        let time = |rng: &Rng| {
            Timestamp::new((from + rng.below(upper.micros().saturating_sub(from).max(1))).max(lower.micros()))
        };
        let updates: Vec<_> = self.changes().into_iter().map(|(row, diff)| (row, time(&self.rng), diff)).collect();
        let updates: Vec<_> = updates.into_iter().filter(|(_, time, _)| *time < upper).collect();
        let token = Uuid::from_bytes(self.rng.bytes16());
        let appended = self.leader.append(shard, WriterId::anonymous(1), lower, upper, updates.clone(), token).await;
        appended.expect("appended");
        self.model.lock().updates.entry(shard).or_default().extend(updates);
    }

    async fn step(&self) {
        self.tasks.sleep(Duration::from_millis(self.rng.below(700))).await;
        match self.rng.below(5) {
            0 => self.append(SOLOS[0]).await,
            1 => self.append(SOLOS[1]).await,
            _ => self.commit().await,
        }
    }

    async fn steps(&self, count: u64) {
        for _ in 0..count {
            self.step().await;
        }
    }

    async fn backup(&self, target: &Target) -> Result<BackupReport, BackupError> {
        self.leader.backup(&target.blob(), &|_| {}).await
    }

    /// Checks that every shard of a state reads as the original did, at some times of `[since, upper)` up to `most`.
    async fn check_state(&self, state: &State, blob: &Blob, most: Timestamp) {
        state.check().expect("invariants hold");
        for shard in TABLES.iter().chain(&SOLOS) {
            let (since, upper) = (state.shards[shard].since, state.upper(*shard).expect("it is there"));
            let last = upper.step_back().min(most);
            let middle = Timestamp::new(since.micros().midpoint(last.micros()));
            for at in [since, middle, last] {
                if at < since || at > last {
                    continue;
                }
                let found = read_snapshot(state, blob, *shard, at).await.expect("readable between since and upper");
                assert_eq!(found, self.model.lock().at(*shard, at), "{shard} at {at}");
            }
        }
    }
}

/// An empty store.
struct Empty {
    log: MemLog,
    blob: Target,
}

impl Empty {
    fn new() -> Empty {
        Empty { log: MemLog::new(), blob: Target::new() }
    }

    async fn fill(&self, world: &World, from: &Target, request: &RestoreRequest) -> Result<RestoreReport, BackupError> {
        let blob = self.blob.blob();
        let to = Destination { tasks: &world.tasks, rng: &world.rng, log: &self.log, blob: &blob };
        restore(&from.blob(), request, &to, &|_: Progress| {}).await
    }
}

fn at(time: Timestamp) -> RestoreRequest {
    RestoreRequest { at: Some(time), backup: None }
}

#[test]
fn a_restored_store_reads_as_the_original_did_while_writers_went_on() {
    for seed in 0..12 {
        with_world(seed, move |world| async move {
            world.steps(60 + seed * 10).await;
            let writer = {
                let world = world.clone();
                world.tasks.clone().spawn("writer", async move { world.steps(u64::MAX).await })
            };
            // Slow enough that much is compacted and deleted meanwhile.
            let target = Target::new();
            let report = world.backup(&target.slow(&world.tasks, 15)).await.expect("backed up");
            assert!(report.copied.parts_copied > 0 && report.from <= report.to, "{report:?}");
            drop(writer);

            let store = Empty::new();
            let restored = store.fill(&world, &target, &RestoreRequest::default()).await.expect("restored");
            assert_ne!(restored.log_id, world.leader.log_id(), "another log");
            assert_eq!(restored.backup, report.id);
            let stored = read_state(&store.log).await.expect("the log can be read");
            assert_eq!(stored.state.next_seq - 1, report.seq);
            world.check_state(&stored.state, &store.blob.blob(), Timestamp::MAX).await;
            let verified = verify(&store.log, &store.blob.blob()).await.expect("verified");
            assert_eq!(verified.damages, Vec::new());

            // A leader goes on from there.
            let leader = Leader::open(config(&store.log, &store.blob.blob(), &world.tasks, &world.rng)).await;
            let leader = leader.expect("the leader opens");
            assert_eq!((leader.log_id(), leader.epoch()), (restored.log_id, stored.state.epoch + 1));
            let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
            leader.commit(Commit::tick(GroupId::TABLES, ts)).await.expect("committed");
            let found = leader.snapshot(TABLES[0], report.to).await.expect("read");
            assert_eq!(found, world.model.lock().at(TABLES[0], report.to));
        });
    }
}

#[test]
fn a_restore_at_a_time_answers_as_the_original_did_then() {
    for seed in 20..32 {
        with_world(seed, move |world| async move {
            world.steps(150).await;
            let target = Target::new();
            let report = world.backup(&target).await.expect("backed up");
            let span = report.to.micros() - report.from.micros();
            assert!(span > 10_000_000, "several checkpoints go back so far: {report:?}");
            for n in 0..12 {
                let time = match n {
                    0 => report.from,
                    1 => report.to,
                    _ => Timestamp::new(report.from.micros() + world.rng.below(span)),
                };
                let store = Empty::new();
                let restored = store.fill(&world, &target, &at(time)).await.expect("restored");
                assert!(restored.at <= time, "{restored:?} at {time}");
                let state = read_state(&store.log).await.expect("the log can be read").state;
                world.check_state(&state, &store.blob.blob(), Timestamp::MAX).await;
                let commits = world.model.lock().ddl.iter().filter(|ts| **ts <= time).count() as u64;
                assert_eq!(state.catalog_version, commits, "the catalog of that time");
                for shard in SOLOS {
                    let (then, now) = (state.upper(shard).unwrap(), world.leader.upper(shard).unwrap());
                    assert_eq!(
                        then,
                        now.min(time.step_forward()),
                        "{shard} is complete at {time} and has nothing later"
                    );
                }
                let blob = store.blob.blob();
                for shard in TABLES {
                    // Nothing was written between the tables' upper and the time.
                    let found = read_snapshot(&state, &blob, shard, restored.at).await.expect("read");
                    assert_eq!(found, world.model.lock().at(shard, time), "{shard} at {time}");
                }
                assert_eq!(verify(&store.log, &blob).await.expect("verified").damages, Vec::new());
            }
            for time in [report.from.step_back(), Timestamp::from_millis(report.to.millis() + 1)] {
                let store = Empty::new();
                let refused = store.fill(&world, &target, &at(time)).await.expect_err("out of range");
                let text = refused.to_string();
                assert!(matches!(refused, BackupError::Unsuitable(_)), "{text}");
                assert!(text.contains(&report.from.to_string()) && text.contains(&report.to.to_string()), "{text}");
                assert!(store.log.is_empty() && store.blob.inner.list(None).next().await.is_none(), "nothing changed");
            }
        });
    }
}

#[test]
fn a_second_backup_copies_only_what_is_new() {
    with_world(50, |world| async move {
        world.steps(80).await;
        let target = Target::new();
        let first = world.backup(&target).await.expect("backed up");
        assert_eq!(first.copied.parts_shared, 0);
        let again = world.backup(&target).await.expect("backed up");
        assert_eq!(again.copied.parts_copied, 0, "nothing was written in between");
        assert_eq!(again.copied.parts_shared, again.copied.parts_total);
        world.steps(40).await;
        let before = target.puts.load(Ordering::SeqCst);
        let third = world.backup(&target).await.expect("backed up");
        assert!(third.copied.parts_copied > 0 && third.copied.parts_shared > 0, "{third:?}");
        let written = target.puts.load(Ordering::SeqCst) - before;
        assert_eq!(written, third.copied.parts_copied + 2, "the new parts, the log and the manifest");
        let listing = list_backups(&target.blob()).await.expect("listed");
        let ids: Vec<&str> = listing.backups.iter().map(|backup| backup.id.as_str()).collect();
        assert_eq!(ids, [&first.id, &again.id, &third.id]);
        // Each can still be restored.
        for report in [first, again, third] {
            let store = Empty::new();
            let request = RestoreRequest { backup: Some(report.id.clone()), at: None };
            store.fill(&world, &target, &request).await.expect("restored");
            let state = read_state(&store.log).await.expect("read").state;
            assert_eq!(state.next_seq - 1, report.seq);
            world.check_state(&state, &store.blob.blob(), Timestamp::MAX).await;
        }
    });
}

#[test]
fn old_backups_go_with_the_parts_that_only_they_need() {
    with_world(53, |world| async move {
        let target = Target::new();
        let mut reports = Vec::new();
        for _ in 0..4 {
            world.steps(60).await;
            reports.push(world.backup(&target).await.expect("backed up"));
        }
        let log_id = world.leader.state().log_id;
        let blob = target.blob();
        assert_eq!(prune_backups(&blob, Uuid::from_u128(9), 1).await.expect("pruned"), Pruned::default());
        let pruned = prune_backups(&blob, log_id, 2).await.expect("pruned");
        assert_eq!(pruned.backups, [reports[0].id.clone(), reports[1].id.clone()]);
        assert!(pruned.parts > 0 && pruned.part_bytes > 0, "{pruned:?}");
        let listing = list_backups(&blob).await.expect("listed").backups;
        let named: BTreeSet<&str> =
            listing.iter().flat_map(|backup| &backup.parts).map(|part| part.key.as_str()).collect();
        let stored = blob.list(Some(&Path::from("part"))).map(|part| part.expect("listed").location.to_string());
        let stored: BTreeSet<String> = stored.collect().await;
        assert_eq!(stored.iter().map(String::as_str).collect::<BTreeSet<_>>(), named, "no more and no less");
        for report in &reports[2..] {
            let store = Empty::new();
            let request = RestoreRequest { backup: Some(report.id.clone()), at: None };
            store.fill(&world, &target, &request).await.expect("restored");
            let state = read_state(&store.log).await.expect("read").state;
            world.check_state(&state, &store.blob.blob(), Timestamp::MAX).await;
        }
        assert_eq!(prune_backups(&blob, log_id, 0).await.expect("pruned").backups, [reports[2].id.clone()]);
        assert_eq!(list_backups(&blob).await.expect("listed").backups.len(), 1, "the last one stays");
        world.steps(20).await;
        world.backup(&target).await.expect("the next one is complete without what went");
    });
}

#[test]
fn a_backup_that_is_interrupted_is_not_offered_and_the_next_one_goes_on() {
    with_world(51, |world| async move {
        world.steps(100).await;
        let target = Target::new();
        let mut puts = 0;
        let report = loop {
            match world.backup(&target.breaking_after(puts)).await {
                Ok(report) => break report,
                Err(error) => assert!(matches!(error, BackupError::Target(_)), "{error}"),
            }
            let listing = list_backups(&target.blob()).await.expect("listed");
            assert!(listing.backups.is_empty() && listing.damaged.is_empty(), "after {puts} writes");
            let refused = Empty::new().fill(&world, &target, &RestoreRequest::default()).await;
            assert!(matches!(refused, Err(BackupError::Unsuitable(_))), "{refused:?}");
            puts += 1;
        };
        assert!(puts >= 3, "broken at each write: {puts}");
        assert!(report.copied.parts_shared > 0, "the parts that were copied before are not copied again");
        // The last one lets go after it has answered.
        world.tasks.sleep(Duration::from_secs(1)).await;
        assert!(world.leader.state().pins.is_empty(), "failed ones leave no pin");
        let store = Empty::new();
        store.fill(&world, &target, &RestoreRequest::default()).await.expect("restored");
        world.check_state(&read_state(&store.log).await.expect("read").state, &store.blob.blob(), Timestamp::MAX).await;
    });
}

#[test]
fn what_interrupted_backups_left_is_tidied_up_later() {
    with_world(52, |world| async move {
        world.steps(60).await;
        let target = Target::new();
        let complete = world.backup(&target).await.expect("backed up");
        // Broken at the manifest: the parts and the piece of the log are there.
        world.steps(2).await;
        let parts = world.backup(&target).await.expect("backed up").copied.parts_copied;
        assert!(parts <= 20);
        world
            .leader
            .commit(Commit::tick(
                GroupId::TABLES,
                world.leader.now().max(world.leader.speculative_group_upper(GroupId::TABLES)),
            ))
            .await
            .expect("committed");
        world.backup(&target.breaking_after(1)).await.expect_err("broken");
        let logs = |target: &Target| {
            let list = target.inner.list(Some(&Path::from("backup")));
            list.map(|object| object.expect("listed").location.to_string())
                .filter(|name| futures::future::ready(name.ends_with("/log")))
                .count()
        };
        assert_eq!(logs(&target).await, 3);
        world.tasks.sleep(Duration::from_secs(3 * 24 * 3600)).await;
        world.backup(&target).await.expect("backed up");
        assert_eq!(logs(&target).await, 3, "one more, and the one without a manifest is gone");
        let request = RestoreRequest { backup: Some(complete.id), at: None };
        Empty::new().fill(&world, &target, &request).await.expect("old complete ones stay");
    });
}

#[test]
fn an_interrupted_restore_is_done_again_and_nothing_else_opens_the_store() {
    with_world(53, |world| async move {
        world.steps(100).await;
        let target = Target::new();
        let report = world.backup(&target).await.expect("backed up");
        world.steps(10).await;
        let other = world.backup(&target).await.expect("backed up");
        let request = RestoreRequest { backup: Some(report.id.clone()), at: None };
        let store = Empty::new();
        let mut puts = 0;
        loop {
            let broken = Empty { log: store.log.clone(), blob: store.blob.breaking_after(puts) };
            if broken.fill(&world, &target, &request).await.is_ok() {
                break;
            }
            assert!(read_state(&store.log).await.expect("read").state.shards.is_empty(), "no half of a log");
            if puts > 0 {
                let refused = refuse_half_restored(&store.blob.blob()).await.expect_err("half restored").to_string();
                assert!(refused.contains(&report.id), "{refused}");
                let request = RestoreRequest { backup: Some(other.id.clone()), at: None };
                let refused = store.fill(&world, &target, &request).await.expect_err("another backup").to_string();
                assert!(refused.contains("not empty") && refused.contains(&report.id), "{refused}");
            }
            puts += 1;
        }
        assert!(puts > 2, "broken at each write: {puts}");
        refuse_half_restored(&store.blob.blob()).await.expect("whole");
        world.check_state(&read_state(&store.log).await.expect("read").state, &store.blob.blob(), Timestamp::MAX).await;
        // As after a crash between the checkpoint and the end of the mark.
        let mark = format!("{}\n", report.id);
        store.blob.inner.put(&Path::from("restoring"), mark.into()).await.expect("put");
        store.fill(&world, &target, &request).await.expect("finished");
        refuse_half_restored(&store.blob.blob()).await.expect("whole");
        // A store that is in use is refused, and stays as it was.
        let before = read_state(&store.log).await.expect("read").state;
        let refused = store.fill(&world, &target, &request).await.expect_err("not empty");
        assert!(matches!(&refused, BackupError::Unsuitable(text) if text.contains("not empty")), "{refused}");
        assert_eq!(read_state(&store.log).await.expect("read").state, before);
    });
}

#[test]
fn a_pin_keeps_parts_for_as_long_as_the_backup_runs() {
    with_world(54, |world| async move {
        world.steps(100).await;
        let writer = {
            let world = world.clone();
            world.tasks.clone().spawn("writer", async move { world.steps(u64::MAX).await })
        };
        let target = Target::new();
        // Each write takes ten times as long as replaced parts are kept otherwise.
        let report = world.backup(&target.slow(&world.tasks, 200)).await.expect("backed up");
        let listing = list_backups(&target.blob()).await.expect("listed");
        assert_eq!(listing.backups.last().map(|backup| &backup.id), Some(&report.id));
        drop(writer);
        world.tasks.sleep(Duration::from_secs(120)).await;
        world.commit().await;
        world.tasks.sleep(Duration::from_secs(120)).await;
        let state = world.leader.state();
        assert!(state.pins.is_empty(), "unpinned");
        let batches = state.shards.values().flat_map(|shard| shard.batches.iter());
        let named = batches.flat_map(|batch| batch.parts.iter()).filter(|part| matches!(part, Part::Hollow(_))).count();
        assert_eq!(world.blob.list(Some(&Path::from("part"))).count().await, named, "and replaced parts are deleted");
    });
}

#[test]
fn a_backup_that_outlives_its_pin_fails_by_name() {
    with_world(55, |world| async move {
        world.steps(100).await;
        let writer = {
            let world = world.clone();
            world.tasks.clone().spawn("writer", async move {
                loop {
                    world.step().await;
                    world.tasks.sleep(Duration::from_secs(100)).await;
                }
            })
        };
        let target = Target::new();
        let failed = world.backup(&target.slow(&world.tasks, 25 * 3600)).await.expect_err("too slow");
        assert!(failed.to_string().contains("is missing"), "{failed}");
        assert!(list_backups(&target.blob()).await.expect("listed").backups.is_empty());
        drop(writer);
        world.tasks.sleep(Duration::from_secs(1)).await;
        assert!(world.leader.state().pins.is_empty());
    });
}

#[test]
fn one_backup_at_a_time() {
    with_world(56, |world| async move {
        world.steps(60).await;
        let target = Target::new();
        let (slow, fast) = (target.slow(&world.tasks, 1), target.clone());
        let (first, second) = futures::join!(world.backup(&slow), async {
            world.tasks.sleep(Duration::from_millis(500)).await;
            world.backup(&fast).await
        });
        first.expect("backed up");
        assert!(matches!(second, Err(BackupError::Busy)), "{second:?}");
        world.backup(&fast).await.expect("and then again");
    });
}

#[test]
fn a_crash_in_the_middle_leaves_no_pin_to_the_next_leader() {
    let rng = Rng::from_seed(57);
    let executor = Executor::new(rng.clone(), START_MS);
    let (log, blob, target) = (MemLog::new(), memory_blob(), Target::new());
    let first = executor.tasks(1);
    let run = {
        let (log, blob, rng, target) = (log.clone(), Arc::clone(&blob), rng.clone(), target.clone());
        let tasks = first.clone();
        async move {
            let leader = Leader::open(config(&log, &blob, &tasks, &rng)).await.expect("the leader opens");
            let mut commit = Commit::tick(GroupId::TABLES, leader.now());
            commit.creates = vec![CreateShard { shard: TABLES[0], group: Some(GroupId::TABLES), scheduled: false }];
            commit.appends = vec![(TABLES[0], (0..50).map(|n| (row(n), Diff::ONE)).collect())];
            leader.commit(commit).await.expect("committed");
            let slow = target.slow(&tasks, 3600).blob();
            let _ = leader.backup(&slow, &|_| {}).await;
        }
    };
    let task = first.spawn("first", run);
    let waits = executor.tasks(2);
    {
        let waits = waits.clone();
        executor.block_on(async move { waits.sleep(Duration::from_secs(60)).await });
    }
    executor.kill(1);
    drop(task);
    executor.block_on(async move {
        assert_eq!(read_state(&log).await.expect("read").state.pins.len(), 1, "it was in the middle");
        let leader = Leader::open(config(&log, &blob, &waits, &rng)).await.expect("the leader opens");
        waits.sleep(Duration::from_secs(1)).await;
        assert!(leader.state().pins.is_empty());
        assert!(list_backups(&target.blob()).await.expect("listed").backups.is_empty());
        leader.backup(&target.blob(), &|_| {}).await.expect("backed up");
    });
}

#[test]
fn a_store_without_a_leader_is_backed_up_too() {
    with_world(58, |world| async move {
        world.steps(100).await;
        world.leader.close(Timestamp::MIN).await.expect("closed");
        let target = Target::new();
        let before = read_state(&world.log).await.expect("read").state;
        let made = backup_stored(&world.tasks, &world.log, &world.blob, &target.blob(), &|_| {}).await;
        let report = made.expect("backed up");
        assert_eq!(report.seq, before.next_seq - 1);
        assert_eq!(read_state(&world.log).await.expect("read").state, before, "nothing was changed");
        let store = Empty::new();
        store.fill(&world, &target, &RestoreRequest::default()).await.expect("restored");
        world.check_state(&read_state(&store.log).await.expect("read").state, &store.blob.blob(), Timestamp::MAX).await;
        let nothing = backup_stored(&world.tasks, &MemLog::new(), &memory_blob(), &target.blob(), &|_| {}).await;
        assert!(matches!(nothing, Err(BackupError::Empty)));
    });
}

async fn flip(blob: &Blob, name: &str, rng: &Rng) {
    let path = Path::from(name);
    let mut bytes = blob.get(&path).await.expect("there").bytes().await.expect("read").to_vec();
    let bit = usize::try_from(rng.below(8 * bytes.len() as u64)).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    blob.put(&path, PutPayload::from(Bytes::from(bytes))).await.expect("put");
}

#[test]
fn a_flipped_bit_in_a_backup_is_found_and_named() {
    with_world(59, |world| async move {
        world.steps(100).await;
        let target = Target::new();
        let report = world.backup(&target).await.expect("backed up");
        let whole: Vec<ObjectMeta> = target.inner.list(None).map(|object| object.expect("listed")).collect().await;
        for object in whole {
            let name = object.location.to_string();
            let sound = target.inner.get(&object.location).await.expect("there").bytes().await.expect("read");
            for _ in 0..4 {
                flip(&target.inner, &name, &world.rng).await;
                let store = Empty::new();
                let request = RestoreRequest { backup: Some(report.id.clone()), at: None };
                match store.fill(&world, &target, &request).await {
                    Err(error) => {
                        assert!(error.to_string().contains(&name), "{name}: {error}");
                        let state = read_state(&store.log).await.expect("read").state;
                        assert!(state.shards.is_empty(), "nothing that could be opened is left");
                    }
                    // A part that only other times need.
                    Ok(_) => assert!(name.starts_with("part/"), "{name}"),
                }
                target.inner.put(&object.location, sound.clone().into()).await.expect("put");
            }
        }
    });
}

#[test]
fn a_damaged_part_of_the_environment_is_not_backed_up() {
    with_world(60, |world| async move {
        world.steps(100).await;
        let state = world.leader.state();
        let parts = state.shards.values().flat_map(|shard| shard.batches.iter()).flat_map(|batch| batch.parts.iter());
        let key = parts.filter_map(|part| match part {
            Part::Hollow(hollow) => Some(hollow.key.clone()),
            Part::Inline(_) => None,
        });
        let key = key.last().expect("some part is stored");
        flip(&world.blob, &key, &world.rng).await;
        let verified = verify(&world.log, &world.blob).await.expect("verified");
        let [damage] = &verified.damages[..] else { panic!("{:?}", verified.damages) };
        assert!(damage.shard.is_some() && damage.cause.contains(&key) && damage.cause.contains("offset"), "{damage}");
        let target = Target::new();
        let failed = world.backup(&target).await.expect_err("damaged").to_string();
        assert!(failed.contains(&key), "{failed}");
        assert!(list_backups(&target.blob()).await.expect("listed").backups.is_empty());
        // Missing is named as well.
        world.blob.delete(&Path::from(key.as_str())).await.expect("deleted");
        let verified = verify(&world.log, &world.blob).await.expect("verified");
        assert!(verified.damages[0].to_string().contains(&format!("part {key} is missing")), "{:?}", verified.damages);
        let failed = world.backup(&target).await.expect_err("missing").to_string();
        assert!(failed.contains(&key), "{failed}");
    });
}

#[test]
fn verification_names_every_damaged_entry() {
    with_world(61, |world| async move {
        world.steps(30).await;
        let (_, entries) = world.log.load().await.expect("loaded");
        let seq = entries[entries.len() / 2].seq;
        let mut bytes = world.log.stored_entry(seq).expect("stored").to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1 << 3;
        world.log.store_entry(seq, Some(bytes.into()));
        let verified = verify(&world.log, &world.blob).await.expect("verified");
        let named = verified.damages.iter().any(|damage| damage.cause.contains(&format!("entry {seq}:")));
        assert!(named, "{:?}", verified.damages);
        let unreadable = read_state(&world.log).await.expect_err("damaged").to_string();
        assert!(unreadable.contains(&format!("entry {seq}:")), "{unreadable}");
    });
}

#[test]
fn a_snapshot_of_a_stored_state_minds_since_and_upper() {
    with_world(62, |world| async move {
        world.steps(60).await;
        let state = world.leader.state();
        let (since, upper) = (state.shards[&TABLES[0]].since, state.upper(TABLES[0]).expect("it exists"));
        let read = |at| read_snapshot(&state, &world.blob, TABLES[0], at);
        assert_eq!(read(since.step_back()).await, Err(SnapshotError::Expired { since }));
        assert_eq!(read(upper).await, Err(SnapshotError::Incomplete { upper }));
        assert_eq!(read_snapshot(&state, &world.blob, ShardId(99), since).await, Err(SnapshotError::NotFound));
    });
}
