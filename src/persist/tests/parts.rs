//! Parts under a leader: reads that leave out what statistics rule out, columns that came later, damage, and what happens to
//! parts that nobody names any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use persist::{
    Blob, Collected, Columns, Commit, CommitError, CreateShard, GroupId, HollowPart, Leader, LeaderConfig,
    LeaderHandle, MemLog, Op, Part, SchemaId, Selection, ShardEvent, Shards, SnapshotError, State, Txn, Update,
    WriterId, memory_blob, verify_part,
};
use repr::row::read_datum;
use repr::{Bounds, ColumnBounds, Datum, Diff, Kind, Row, ShardId, Timestamp};
use stdx::sim::Executor;
use stdx::{Rng, Tasks};
use uuid::Uuid;

const TABLE: ShardId = ShardId(1);
const SOLO: ShardId = ShardId(2);
const DAY: Duration = Duration::from_secs(24 * 3600);

struct World {
    log: MemLog,
    blob: Blob,
    tasks: Tasks,
    inline_bytes_max: usize,
}

impl World {
    async fn open(&self) -> LeaderHandle {
        let log = Arc::new(self.log.clone());
        let mut config = LeaderConfig::new(log, Arc::clone(&self.blob), self.tasks.clone(), Rng::from_seed(4));
        config.boot_grace = Duration::ZERO;
        config.inline_bytes_max = self.inline_bytes_max;
        config.delete_after = Duration::from_secs(20);
        Leader::open(config).await.expect("the leader opens")
    }

    /// Keys in the blob store.
    async fn stored(&self) -> BTreeSet<String> {
        self.blob.list(None).map(|object| object.expect("listed").location.to_string()).collect().await
    }

    async fn sleep(&self, seconds: u64) {
        self.tasks.sleep(Duration::from_secs(seconds)).await;
    }
}

impl World {
    /// Lets time pass; since follows the ticks.
    async fn tick(&self, leader: &LeaderHandle, seconds: u64) {
        for _ in 0..seconds / 10 {
            self.sleep(10).await;
            let at = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
            leader.commit(Commit::tick(GroupId::TABLES, at)).await.expect("committed");
        }
    }
}

/// Runs `body` in virtual time; parts longer than `inline_bytes_max` go to the blob store.
fn simulate<F: Future<Output = ()> + Send + 'static>(
    inline_bytes_max: usize,
    body: impl FnOnce(World) -> F + Send + 'static,
) {
    let executor = Executor::new(Rng::from_seed(3), 1_000_000);
    let tasks = executor.tasks(1);
    executor.block_on(async move {
        body(World { log: MemLog::new(), blob: memory_blob(), tasks, inline_bytes_max }).await;
    });
}

fn columns() -> Columns {
    Columns::new([Kind::Int, Kind::Text, Kind::Float8])
}

async fn create(leader: &LeaderHandle) {
    let mut commit = Commit::tick(GroupId::TABLES, leader.now());
    commit.creates.push(CreateShard { shard: TABLE, group: Some(GroupId::TABLES), scheduled: false });
    commit.creates.push(CreateShard { shard: SOLO, group: None, scheduled: false });
    commit.columns = vec![(TABLE, columns()), (SOLO, columns())];
    leader.commit(commit).await.expect("committed");
}

async fn write(leader: &LeaderHandle, rows: Vec<(Row, Diff)>) -> Timestamp {
    let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
    let mut commit = Commit::tick(GroupId::TABLES, ts);
    commit.appends.push((TABLE, rows));
    leader.commit(commit).await.expect("committed");
    ts
}

fn row(id: i64, text: Option<&str>, number: f64) -> Row {
    Row::pack([Datum::Int(id), text.map_or(Datum::Null, Datum::Text), Datum::float8(number)])
}

fn rows(ids: std::ops::Range<i64>) -> Vec<(Row, Diff)> {
    ids.map(|id| (row(id, Some("some text that is the same in every row"), id as f64), Diff::ONE)).collect()
}

fn hollow(state: &State) -> Vec<HollowPart> {
    let parts = state.shards.values().flat_map(|shard| shard.batches.iter()).flat_map(|batch| batch.parts.iter());
    let hollow = parts.filter_map(|part| match part {
        Part::Hollow(hollow) => Some(hollow.clone()),
        Part::Inline(_) => None,
    });
    hollow.collect()
}

fn keys(state: &State) -> BTreeSet<String> {
    hollow(state).into_iter().map(|part| part.key).collect()
}

/// The contents at `as_of` as a subscriber within `bounds` gets them.
async fn subscribed(leader: &LeaderHandle, shard: ShardId, as_of: Timestamp, bounds: Bounds) -> BTreeMap<Row, Diff> {
    selected(leader, shard, as_of, Selection { bounds, columns: None }).await
}

/// The part of the contents at `as_of` that is selected.
async fn selected(
    leader: &LeaderHandle,
    shard: ShardId,
    as_of: Timestamp,
    selection: Selection,
) -> BTreeMap<Row, Diff> {
    let mut subscription = leader.subscribe_within(shard, as_of, Arc::new(selection)).await.expect("readable");
    let mut sum: BTreeMap<Row, Diff> = BTreeMap::new();
    let mut upper = Timestamp::MIN;
    while upper <= as_of {
        let updates = match subscription.next().await.expect("it goes on").expect("it works") {
            ShardEvent::Snapshot { updates, .. } => updates,
            ShardEvent::Progress { upper: to, updates, .. } => {
                upper = to;
                updates
            }
        };
        for (row, _, diff) in updates {
            let total = sum.entry(row).or_default();
            *total = total.plus(diff);
        }
    }
    sum.retain(|_, diff| !diff.is_zero());
    sum
}

fn equals(column: usize, datum: Datum<'_>) -> Bounds {
    let packed = Row::pack_one(datum);
    Bounds::on(column, ColumnBounds::range(Some(packed.as_bytes()), Some(packed.as_bytes())))
}

fn random_datum(rng: &Rng, column: usize) -> Row {
    match column {
        0 => Row::pack_one(Datum::Int(rng.below(200) as i64 - 100)),
        1 if rng.below(4) == 0 => Row::pack_one(Datum::Null),
        1 => Row::pack_one(Datum::Text(&"ab".repeat(usize::try_from(rng.below(60)).expect("small")))),
        _ => Row::pack_one(Datum::float8(rng.below(1000) as f64 / 8.0 - 60.0)),
    }
}

fn random_bounds(rng: &Rng) -> Bounds {
    let mut bounds = Bounds::default();
    for _ in 0..1 + rng.below(2) {
        let column = usize::try_from(rng.below(3)).expect("small");
        let (low, high) = (random_datum(rng, column), random_datum(rng, column));
        let low = (rng.below(3) > 0).then(|| low.as_bytes());
        let high = (rng.below(3) > 0).then(|| high.as_bytes());
        let one = if rng.below(6) == 0 { ColumnBounds::null() } else { ColumnBounds::range(low, high) };
        bounds =
            if rng.below(3) == 0 { bounds.or(Bounds::on(column, one)) } else { bounds.and(Bounds::on(column, one)) };
    }
    bounds
}

/// The law that `Bounds` states, row by row.
fn is_within(bounds: &Bounds, row: &Row) -> bool {
    if row.as_bytes().first() == Some(&repr::row::NOT_A_ROW) {
        return true;
    }
    let mut rest = row.as_bytes();
    let datums: Vec<Row> =
        [Kind::Int, Kind::Text, Kind::Float8].map(|kind| Row::pack_one(read_datum(&mut rest, kind))).into();
    bounds.iter().all(|(column, wanted)| match datums[column].as_bytes() {
        [0xFF] => wanted.nulls,
        datum => wanted.ranges.iter().any(|range| range.overlaps(datum, Some(datum))),
    })
}

#[test]
fn a_pruned_read_and_a_filter_are_a_read_and_the_filter() {
    for seed in 0..6 {
        simulate(400, move |world| async move {
            println!("seed {seed}");
            let rng = Rng::from_seed(seed);
            let leader = world.open().await;
            create(&leader).await;
            let mut written: Vec<Row> = Vec::new();
            let mut ts = Timestamp::MIN;
            for _ in 0..40 {
                let mut changes: BTreeMap<Row, Diff> = BTreeMap::new();
                let base = rng.below(150) as i64 - 100;
                for _ in 0..rng.below(30) {
                    let mut one = Row::pack_one(Datum::Int(base + rng.below(20) as i64));
                    one.push_packed(random_datum(&rng, 1).as_bytes());
                    one.push_packed(random_datum(&rng, 2).as_bytes());
                    written.push(one.clone());
                    changes.insert(one, Diff::ONE);
                }
                if rng.below(10) == 0 {
                    changes.insert(Row::from_bytes(&[repr::row::NOT_A_ROW, rng.below(250) as u8]), Diff::ONE);
                }
                for _ in 0..rng.below(10).min(written.len() as u64) {
                    let at = usize::try_from(rng.below(written.len() as u64)).expect("small");
                    changes.insert(written[at].clone(), Diff::MINUS_ONE);
                }
                ts = write(&leader, changes.into_iter().collect()).await;
                world.tasks.sleep(Duration::from_millis(300)).await;
            }
            let everything = subscribed(&leader, TABLE, ts, Bounds::default()).await;
            for _ in 0..60 {
                let bounds = random_bounds(&rng);
                let mut pruned = subscribed(&leader, TABLE, ts, bounds.clone()).await;
                let mut expected = everything.clone();
                expected.retain(|row, _| is_within(&bounds, row));
                pruned.retain(|row, _| is_within(&bounds, row));
                assert_eq!(pruned, expected, "seed {seed}: {bounds:?}");
            }
            assert!(leader.read_counts().parts_skipped > 0, "statistics are of use");
        });
    }
}

#[test]
fn a_selective_read_of_a_large_part_fetches_little() {
    simulate(256 << 10, |world| async move {
        let leader = world.open().await;
        create(&leader).await;
        let rng = Rng::from_seed(1);
        let mut wide = |id: i64| {
            let noise = Uuid::from_bytes(rng.bytes16()).to_string();
            (row(id, Some(&noise), 0.5), Diff::ONE)
        };
        let all: Vec<(Row, Diff)> = (0..100_000).map(&mut wide).collect();
        let ts = write(&leader, all.clone()).await;
        let part = hollow(&leader.state()).pop().expect("a part");
        assert!(part.bytes > 3 << 20, "{} bytes", part.bytes);
        let before = leader.read_counts();
        let found = subscribed(&leader, TABLE, ts, equals(0, Datum::Int(70_000))).await;
        assert!(found.contains_key(&all[70_000].0) && found.len() < 20_000);
        let after = leader.read_counts();
        assert_eq!(after.blocks_read - before.blocks_read, 1, "one block can hold it");
        assert!(after.blocks_skipped - before.blocks_skipped > 10);
        assert!(after.bytes_fetched - before.bytes_fetched < part.bytes / 5);
        let none = subscribed(&leader, TABLE, ts, equals(0, Datum::Int(-1))).await;
        assert!(none.is_empty());
        assert_eq!(leader.read_counts().parts_skipped - after.parts_skipped, 1, "the log says enough of the part");
        assert_eq!(subscribed(&leader, TABLE, ts, Bounds::default()).await.len(), 100_000);
        let counts = verify_part(&world.blob, &part).await.expect("it is sound");
        assert_eq!((counts.bytes, counts.updates), (part.bytes, 100_000));
    });
}

#[test]
fn rows_read_with_the_default_of_a_column_that_came_later() {
    simulate(400, |world| async move {
        let leader = world.open().await;
        create(&leader).await;
        write(&leader, rows(0..3)).await;
        write(&leader, rows(100..200)).await;
        let default = Row::pack_one(Datum::Text("new"));
        let extended = columns().with(Kind::Text, Bytes::copy_from_slice(default.as_bytes()));
        let mut later = row(7, None, 0.0);
        later.push(Datum::Null);
        let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
        let mut commit = Commit::tick(GroupId::TABLES, ts);
        commit.columns.push((TABLE, extended.clone()));
        commit.appends.push((TABLE, vec![(later.clone(), Diff::ONE)]));
        leader.commit(commit).await.expect("the columns are extended");
        let filled = |(mut row, diff): (Row, Diff)| {
            row.push_packed(default.as_bytes());
            (row, diff)
        };
        let mut expected: Vec<(Row, Diff)> = rows(0..3).into_iter().chain(rows(100..200)).map(filled).collect();
        expected.push((later, Diff::ONE));
        expected.sort();
        let both = |at| {
            let (leader, expected) = (leader.clone(), expected.clone());
            async move {
                assert_eq!(leader.snapshot(TABLE, at).await.expect("read"), expected);
                let all: Vec<_> = subscribed(&leader, TABLE, at, Bounds::default()).await.into_iter().collect();
                assert_eq!(all, expected);
                let old = subscribed(&leader, TABLE, at, equals(3, Datum::Text("new"))).await;
                assert!(old.len() >= 103, "rows with the default are not left out");
            }
        };
        both(ts).await;
        // A reader who came before the column goes on without it, and a writer's rows get the default.
        let old = Selection { bounds: Bounds::default(), columns: Some(3) };
        let seen: BTreeSet<Row> = selected(&leader, TABLE, ts, old.clone()).await.into_keys().collect();
        let known = rows(0..3).into_iter().chain(rows(100..200)).map(|(row, _)| row);
        assert_eq!(seen, known.chain([row(7, None, 0.0)]).collect());
        let skipped = leader.read_counts().parts_skipped;
        subscribed(&leader, TABLE, ts, equals(3, Datum::Text("other"))).await;
        assert!(leader.read_counts().parts_skipped > skipped, "nor are they read in vain");
        // Merged, they have it in their bytes.
        world.tick(&leader, 300).await;
        assert_eq!(leader.state().shards[&TABLE].batches.len(), 1);
        both(leader.group_upper(GroupId::TABLES).step_back()).await;
        let late = write(&leader, vec![(row(8, None, 1.0), Diff::ONE)]).await;
        let mut filled_up = row(8, None, 1.0);
        filled_up.push_packed(default.as_bytes());
        assert!(leader.snapshot(TABLE, late).await.expect("read").contains(&(filled_up, Diff::ONE)));
        let seen: BTreeSet<Row> = selected(&leader, TABLE, late, old).await.into_keys().collect();
        assert!(seen.contains(&row(8, None, 1.0)) && seen.contains(&row(7, None, 0.0)), "from merged parts as well");
        let at = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
        let shorter = Commit { columns: vec![(TABLE, columns())], ..Commit::tick(GroupId::TABLES, at) };
        assert!(matches!(leader.commit(shorter).await, Err(CommitError::Invalid(_))), "columns never go");
        let solo = Commit { columns: vec![(SOLO, extended)], ..Commit::tick(GroupId::TABLES, at) };
        assert!(matches!(leader.commit(solo).await, Err(CommitError::Invalid(_))), "its writers would not know");
    });
}

#[test]
fn a_damaged_part_is_named_and_never_served() {
    simulate(400, |world| async move {
        let leader = world.open().await;
        create(&leader).await;
        let ts = write(&leader, rows(0..2000)).await;
        let part = hollow(&leader.state()).pop().expect("a part");
        let path = Path::from(part.key.as_str());
        let sound = world.blob.get(&path).await.expect("there").bytes().await.expect("read");
        let rng = Rng::from_seed(9);
        for _ in 0..1000 {
            let bit = usize::try_from(rng.below(8 * sound.len() as u64)).expect("small");
            let mut damaged = sound.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            world.blob.put(&path, PutPayload::from(damaged)).await.expect("stored");
            let error = leader.snapshot(TABLE, ts).await.expect_err("a flipped bit");
            let SnapshotError::Blob(text) = &error else { panic!("{error}") };
            let named = text.0.contains(&part.key) && text.0.contains(&TABLE.to_string());
            assert!(named && text.0.contains("damaged at offset"), "bit {bit}: {error}");
            assert!(verify_part(&world.blob, &part).await.is_err(), "bit {bit}");
        }
        world.blob.put(&path, PutPayload::from(sound.slice(..sound.len() / 2))).await.expect("stored");
        let error = leader.snapshot(TABLE, ts).await.expect_err("a file cut off");
        assert!(error.to_string().contains("bytes long instead of"), "{error}");
        world.blob.delete(&path).await.expect("deleted");
        let error = leader.snapshot(TABLE, ts).await.expect_err("a file that is gone");
        assert!(error.to_string().contains("is missing"), "{error}");
        world.blob.put(&path, PutPayload::from(sound)).await.expect("stored");
        assert_eq!(leader.snapshot(TABLE, ts).await.map(|rows| rows.len()), Ok(2000));
    });
}

/// What is deleted from a table gives its space back, although nothing is written afterwards.
#[test]
fn contents_that_cancel_take_no_space() {
    simulate(400, |world| async move {
        let leader = world.open().await;
        create(&leader).await;
        write(&leader, rows(0..5000)).await;
        world.sleep(5).await;
        write(&leader, rows(0..5000).into_iter().map(|(row, _)| (row, Diff::MINUS_ONE)).collect()).await;
        assert_eq!(world.stored().await.len(), 2);
        world.tick(&leader, 400).await;
        assert!(world.stored().await.is_empty(), "{:?}", world.stored().await);
        leader.state().check().expect("invariants hold");
    });
}

#[test]
fn a_merge_of_many_and_large_parts_keeps_the_contents() {
    simulate(400, |world| async move {
        let leader = world.open().await;
        create(&leader).await;
        let mut ts = Timestamp::MIN;
        // Two large batches among a thousand tiny ones, faster than they are merged.
        for n in 0..1000 {
            let ids = if n % 500 == 250 { n * 1000..n * 1000 + 20_000 } else { n..n + 2 };
            ts = write(&leader, rows(ids)).await;
        }
        let before = leader.snapshot(TABLE, ts).await.expect("read");
        world.sleep(30).await;
        let batches = leader.state().shards[&TABLE].batches.len();
        assert!(batches < 40, "{batches} batches");
        assert_eq!(leader.snapshot(TABLE, ts).await.expect("read"), before);
        world.sleep(60).await;
        leader.state().check().expect("invariants hold");
        assert_eq!(world.stored().await, keys(&leader.state()), "replaced parts are deleted, no other");
    });
}

async fn orphan(world: &World, leader: &LeaderHandle, epoch: u64, number: u128) -> String {
    let key = format!("part/{:013}-{epoch}-{}.rpf", leader.now().millis(), Uuid::from_u128(number).simple());
    world.blob.put(&Path::from(key.as_str()), PutPayload::from_static(b"half a part")).await.expect("stored");
    key
}

#[test]
fn orphans_of_crashed_writers_are_collected() {
    simulate(400, |world| async move {
        let leader = world.open().await;
        create(&leader).await;
        write(&leader, rows(0..100)).await;
        let foreign = Path::from("part/notes.txt");
        world.blob.put(&foreign, PutPayload::from_static(b"somebody else's")).await.expect("stored");
        let old = orphan(&world, &leader, leader.epoch(), 1).await;
        let later = orphan(&world, &leader, leader.epoch() + 1, 2).await;
        world.sleep(2000).await;
        let young = orphan(&world, &leader, leader.epoch(), 3).await;
        world.sleep(2000).await;
        let collected = leader.collect_orphans().await.expect("collected");
        assert_eq!(collected, Collected { listed: 4, deleted: 1, deleted_bytes: 11 });
        let stored = world.stored().await;
        assert!(!stored.contains(&old) && stored.contains(&young) && stored.contains(&later));
        assert!(stored.contains("part/notes.txt") && stored.is_superset(&keys(&leader.state())));
        // The daily search finds the young one too.
        world.tasks.sleep(DAY).await;
        assert!(!world.stored().await.contains(&young));
    });
}

/// What a leader had replaced and not deleted yet when it died.
#[test]
fn what_a_former_leader_left_is_collected_after_an_hour() {
    simulate(400, |world| async move {
        let leader = world.open().await;
        create(&leader).await;
        for n in 0..40 {
            write(&leader, rows(n * 10..n * 10 + 20)).await;
        }
        world.sleep(5).await;
        assert!(world.stored().await.len() > hollow(&leader.state()).len(), "replaced parts wait");
        let at = leader.group_upper(GroupId::TABLES).step_back();
        let before = leader.snapshot(TABLE, at).await.expect("read");
        drop(leader);
        let next = world.open().await;
        let orphan = orphan(&world, &next, 1, 1).await;
        world.sleep(3000).await;
        next.collect_orphans().await.expect("collected");
        let stored = world.stored().await;
        assert!(
            stored.len() > hollow(&next.state()).len() && stored.contains(&orphan),
            "readers may have been shown it"
        );
        world.sleep(2000).await;
        next.collect_orphans().await.expect("collected");
        assert_eq!(world.stored().await, keys(&next.state()));
        assert_eq!(next.snapshot(TABLE, at).await.expect("read"), before);
    });
}

#[test]
fn a_fenced_leader_collects_nothing() {
    simulate(400, |world| async move {
        let old = world.open().await;
        create(&old).await;
        let orphan = orphan(&world, &old, old.epoch(), 1).await;
        world.sleep(4000).await;
        let new = world.open().await;
        write(&new, rows(0..100)).await;
        assert!(old.collect_orphans().await.is_err(), "its heartbeat is not committed");
        assert!(world.stored().await.contains(&orphan));
        assert!(world.stored().await.is_superset(&keys(&new.state())));
    });
}

/// Random writes, drops, reads, collections and changes of leader; afterwards every part is named once and is there.
#[test]
fn named_parts_are_there_and_others_go() {
    for seed in 0..8 {
        simulate(300, move |world| async move {
            println!("seed {seed}");
            let rng = Rng::from_seed(seed);
            let mut leader = world.open().await;
            let mut shards: BTreeMap<ShardId, BTreeMap<Row, Diff>> = BTreeMap::new();
            let mut next = 10;
            let mut subscriptions = Vec::new();
            for _ in 0..300 {
                let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
                let mut commit = Commit::tick(GroupId::TABLES, ts);
                let pick = shards.keys().nth(usize::try_from(rng.below(shards.len().max(1) as u64)).expect("small"));
                match (rng.below(20), pick.copied()) {
                    (0, _) | (_, None) => {
                        let shard = ShardId(next);
                        next += 1;
                        commit.creates.push(CreateShard { shard, group: Some(GroupId::TABLES), scheduled: false });
                        if rng.below(3) > 0 {
                            commit.columns.push((shard, columns()));
                        }
                        shards.insert(shard, BTreeMap::new());
                    }
                    (1, Some(shard)) => {
                        commit.retires.push(shard);
                        shards.remove(&shard);
                    }
                    (2, Some(shard)) => {
                        subscriptions.push(leader.subscribe(shard, ts.step_back()).await.ok());
                        subscriptions.truncate(usize::try_from(rng.below(4)).expect("small"));
                    }
                    (3, _) if rng.below(4) == 0 => {
                        drop(std::mem::take(&mut subscriptions));
                        leader = world.open().await;
                    }
                    (4, _) => drop(leader.collect_orphans().await.expect("collected")),
                    (_, Some(shard)) => {
                        let contents = shards.get_mut(&shard).expect("picked");
                        let first = rng.below(500) as i64;
                        let count = rng.below(40) as i64;
                        let mut changes = rows(first..first + count);
                        for (row, diff) in &mut changes {
                            let total = contents.entry(row.clone()).or_default();
                            *diff = if total.is_zero() { Diff::ONE } else { Diff::MINUS_ONE };
                            *total = total.plus(*diff);
                        }
                        commit.appends.push((shard, changes));
                    }
                }
                leader.commit(commit).await.expect("committed");
                world.tasks.sleep(Duration::from_millis(rng.below(4000))).await;
                if rng.below(30) == 0 {
                    world.tasks.sleep(Duration::from_secs(rng.below(100_000))).await;
                }
                let state = leader.state();
                state.check().expect("invariants hold");
                assert!(world.stored().await.is_superset(&keys(&state)), "seed {seed}: a named part is missing");
            }
            drop(subscriptions);
            world.sleep(2 * 24 * 3600).await;
            leader.collect_orphans().await.expect("collected");
            assert_eq!(world.stored().await, keys(&leader.state()), "seed {seed}");
            let at = leader.group_upper(GroupId::TABLES).step_back();
            for (shard, contents) in shards {
                let expected: Vec<(Row, Diff)> = contents.into_iter().filter(|(_, diff)| !diff.is_zero()).collect();
                assert_eq!(leader.snapshot(shard, at).await.expect("read"), expected, "seed {seed}: {shard}");
            }
        });
    }
}

#[test]
fn a_large_append_of_a_view_is_read_back() {
    simulate(64 << 10, |world| async move {
        let leader = world.open().await;
        create(&leader).await;
        let since = leader.since(SOLO).expect("it is a shard");
        let updates: Vec<Update> = rows(0..30_000).into_iter().map(|(row, diff)| (row, since, diff)).collect();
        let (writer, token) = (WriterId::anonymous(1), Uuid::from_u128(1));
        let upper = since.step_forward();
        leader.append(SOLO, writer, Timestamp::MIN, upper, updates, token).await.expect("appended");
        assert!(subscribed(&leader, SOLO, since, equals(0, Datum::Int(3))).await.len() < 30_000);
        assert_eq!(leader.snapshot(SOLO, since).await.expect("read"), rows(0..30_000));
    });
}

#[test]
fn columns_are_declared_before_rows_and_only_extended() {
    let mut state = State { next_seq: 1, ..State::default() };
    let create = Op::Create {
        shard: TABLE,
        group: Some(GroupId::TABLES),
        schema: SchemaId(0),
        since: Timestamp::MIN,
        scheduled: false,
    };
    state.apply(&Txn::from(create)).expect("created");
    let declare = |columns: Columns| Txn::from(Op::Schema { shard: TABLE, schema: SchemaId(0), columns });
    state.apply(&declare(columns())).expect("nothing is written yet");
    state.apply(&declare(columns())).expect("they are the same");
    assert!(state.apply(&declare(Columns::new([Kind::Int]))).is_err(), "fewer");
    assert!(state.apply(&declare(columns().with(Kind::Int, Bytes::new()))).is_err(), "no default");
    assert!(state.apply(&declare(columns().with(Kind::Bool, Bytes::from_static(b"\x05")))).is_err(), "not a default");
    state.apply(&declare(columns().with(Kind::Bool, Bytes::from_static(b"\x02")))).expect("extended");
}
