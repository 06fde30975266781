//! Running sources: what they write is the same whenever they crash and whoever else runs them.

use std::collections::BTreeMap;

use protocol::source::{Ingestion, LoadGenerator, LoadGeneratorKind, SourceConnection, SourceExport};
use protocol::storage::SourceStatus;
use protocol::{Hello, StorageCommand, StorageResponse};
use repr::{CollectionId, Diff, Kind, Row, ShardId, Timestamp};
use uuid::Uuid;

use super::{MS, World};
use crate::ingestions::Ingestions;

const REMAP: u64 = 20;
const SOURCE: CollectionId = CollectionId::User(20);

fn counter(tick: u64) -> LoadGenerator {
    LoadGenerator {
        kind: LoadGeneratorKind::Counter { max_cardinality: None },
        tick_interval_ms: Some(tick),
        as_of: 0,
        up_to: None,
    }
}

fn auction(tick: u64) -> LoadGenerator {
    LoadGenerator { kind: LoadGeneratorKind::Auction, ..counter(tick) }
}

fn tpch(tick: Option<u64>) -> LoadGenerator {
    LoadGenerator {
        kind: LoadGeneratorKind::Tpch { scale_factor_millionths: 60 },
        tick_interval_ms: tick,
        ..counter(1)
    }
}

/// A source with the relations named, whose shards are numbered from `REMAP + 1` on.
fn ingestion(generator: &LoadGenerator, references: &[&str]) -> Ingestion {
    let descs: BTreeMap<_, _> = generator.relations().into_iter().collect();
    let export = |(index, reference): (u64, &&str)| SourceExport {
        id: CollectionId::User(index),
        shard: ShardId(index),
        reference: (*reference).to_owned(),
        desc: descs[*reference].clone(),
    };
    Ingestion {
        id: SOURCE,
        connection: SourceConnection::LoadGenerator(generator.clone()),
        remap_shard: ShardId(REMAP),
        exports: (REMAP + 1..).zip(references).map(export).collect(),
    }
}

fn references(generator: &LoadGenerator) -> Vec<&'static str> {
    generator.relations().into_iter().map(|(reference, _)| reference).collect()
}

fn hello() -> StorageCommand {
    let version = "test".to_owned();
    StorageCommand::Hello(Hello { log_id: Uuid::nil(), nonce: Uuid::nil(), epoch: 1, generation: 1, version })
}

/// A replica that runs one source in tasks of `group`.
fn run(world: &World, group: u64, ingestion: &Ingestion, piece_updates: usize) -> Ingestions {
    let mut ingestions = Ingestions::new(world.context(group)).with_piece_updates(piece_updates);
    ingestions.handle(hello());
    ingestions.handle(StorageCommand::RunIngestion(Box::new(ingestion.clone())));
    ingestions.handle(StorageCommand::InitializationComplete);
    ingestions
}

fn shards(ingestion: &Ingestion) -> Vec<u64> {
    std::iter::once(REMAP).chain(ingestion.exports.iter().map(|export| export.shard.0)).collect()
}

fn least_upper(world: &World, ingestion: &Ingestion) -> u64 {
    shards(ingestion).into_iter().map(|shard| world.upper(shard).micros()).min().unwrap_or(0)
}

fn offset_at(world: &World, at: Timestamp) -> u64 {
    let rows = world.contents(REMAP, at);
    let [(row, count)] = &rows[..] else { panic!("the remap shard has {} rows", rows.len()) };
    assert_eq!(*count, Diff::ONE);
    row.unpack_first(Kind::UInt).unwrap_uint()
}

/// What the relation must hold when the offsets below `frontier` have happened.
fn expected(generator: &LoadGenerator, reference: &str, created: Timestamp, frontier: u64) -> Vec<(Row, Diff)> {
    let generator = crate::generator::Generator::new(generator);
    let times = generator.tick_times(created, generator.start());
    let sum = super::Multiset::default();
    for offset in 0..frontier {
        for (row, diff) in generator.changes(reference, offset, times) {
            sum.add(row, diff.get());
        }
    }
    sum.items().into_iter().map(|(row, count)| (row, Diff::new(count))).collect()
}

/// At each of some times every export holds exactly what the remap shard says has happened.
fn check(world: &World, generator: &LoadGenerator, ingestion: &Ingestion, created: Timestamp, times: &[u64]) {
    for at in times.iter().copied().map(Timestamp::new) {
        let frontier = offset_at(world, at);
        for export in &ingestion.exports {
            let expected = expected(generator, &export.reference, created, frontier);
            let actual = world.contents(export.shard.0, at);
            assert!(
                actual == expected,
                "{} at {at}: {} rows, not the {} of frontier {frontier}",
                export.reference,
                actual.len(),
                expected.len()
            );
        }
    }
}

fn hold_all(world: &World, ingestion: &Ingestion, at: Timestamp) -> Vec<persist::Hold> {
    shards(ingestion).into_iter().map(|shard| world.leader.hold(ShardId(shard), at).expect("held")).collect()
}

#[test]
fn counter_counts_a_tick_each_second() {
    let world = World::new(1);
    let generator = counter(1000);
    let ingestion = ingestion(&generator, &["counter"]);
    let created = world.create(&shards(&ingestion));
    let _holds = hold_all(&world, &ingestion, created);
    let _running = run(&world, 1, &ingestion, 10);
    world.run_until("ten seconds", |world| least_upper(world, &ingestion) > created.micros() + 10_000 * MS);
    assert_eq!(offset_at(&world, created), 1);
    assert_eq!(offset_at(&world, Timestamp::new(created.micros() + 9_000 * MS)), 10);
    check(
        &world,
        &generator,
        &ingestion,
        created,
        &[created.micros(), created.micros() + 4_500 * MS, created.micros() + 9_999 * MS],
    );
}

#[test]
fn uppers_follow_the_leader_between_rare_ticks() {
    let world = World::new(2);
    let ingestion = ingestion(&counter(3_600_000), &["counter"]);
    let created = world.create(&shards(&ingestion));
    let _running = run(&world, 1, &ingestion, 10);
    world.run_until("the first binding", |world| least_upper(world, &ingestion) > created.micros());
    while world.now() < created.micros() + 20_000 * MS {
        world.run_steps(1);
        assert!(
            least_upper(&world, &ingestion) + 1_100 * MS >= world.now(),
            "at most a second behind, at {}",
            world.now()
        );
    }
}

#[test]
fn a_static_tpch_closes_its_shards() {
    let world = World::new(3);
    let generator = tpch(None);
    let ingestion = ingestion(&generator, &references(&generator));
    let created = world.create(&shards(&ingestion));
    let mut running = run(&world, 1, &ingestion, 7);
    world.run_until("closed", |world| least_upper(world, &ingestion) == u64::MAX);
    check(&world, &generator, &ingestion, created, &[created.micros(), created.micros() + 5]);
    world.run_steps(50);
    let responses = running.turn();
    let finished = StorageResponse::Status { id: SOURCE, status: SourceStatus::Finished };
    assert!(responses.contains(&StorageResponse::Welcome { nonce: Uuid::nil() }));
    assert!(responses.contains(&finished), "{responses:?}");
    for export in &ingestion.exports {
        assert!(responses.contains(&StorageResponse::Upper { id: export.id, upper: Timestamp::MAX }));
    }
    running.handle(StorageCommand::AllowCompaction { id: SOURCE, since: None });
    assert_eq!(running.turn(), [StorageResponse::Dropped { id: SOURCE }]);
}

#[test]
fn as_of_and_up_to_bound_the_ticks() {
    let world = World::new(4);
    let generator = LoadGenerator { as_of: 100, up_to: Some(110), ..auction(100) };
    let ingestion = ingestion(&generator, &references(&generator));
    let created = world.create(&shards(&ingestion));
    let _holds = hold_all(&world, &ingestion, created);
    let _running = run(&world, 1, &ingestion, 5000);
    world.run_until("closed", |world| least_upper(world, &ingestion) == u64::MAX);
    assert_eq!(offset_at(&world, created), 100);
    assert_eq!(offset_at(&world, Timestamp::new(created.micros() + 5_000 * MS)), 110);
    let times: Vec<u64> = (0..12).map(|tick| created.micros() + tick * 100 * MS).collect();
    check(&world, &generator, &ingestion, created, &times);
}

/// Killed at random points, of leader and replica, with two replicas at times: the shards hold what one undisturbed run
/// would have written at the same bindings.
#[test]
fn crashes_and_races_change_nothing() {
    for seed in 300..318 {
        let mut world = World::new(seed);
        let generator = match seed % 3 {
            0 => auction(300),
            1 => tpch(Some(700)),
            _ => LoadGenerator { as_of: 25, ..counter(20) },
        };
        let ingestion = ingestion(&generator, &references(&generator));
        let created = world.create(&shards(&ingestion));
        let mut holds = hold_all(&world, &ingestion, created);
        let mut replicas = vec![run(&world, 1, &ingestion, 16), run(&world, 2, &ingestion, 16)];
        let end = created.micros() + 8_000 * MS;
        while least_upper(&world, &ingestion) <= end {
            world.run_steps(1 + world.rng.below(150));
            let index = world.rng.below(2);
            if world.rng.below(10) == 0 {
                holds.clear();
                world.restart_leader();
                holds = hold_all(&world, &ingestion, created);
                replicas = vec![run(&world, 1, &ingestion, 16), run(&world, 2, &ingestion, 16)];
            } else if world.rng.below(4) == 0 {
                world.executor.kill(index + 1);
                replicas[index as usize] = run(&world, index + 1, &ingestion, 16);
            }
        }
        let times: Vec<u64> = (0..6).map(|_| created.micros() + world.rng.below(8_000 * MS)).collect();
        println!("seed {seed}");
        check(&world, &generator, &ingestion, created, &times);
        drop(holds);
    }
}

#[test]
fn an_export_added_later_gets_everything() {
    let world = World::new(5);
    let generator = auction(100);
    let early = ingestion(&generator, &["organizations", "auctions"]);
    let created = world.create(&shards(&early));
    let _holds = hold_all(&world, &early, created);
    let mut running = run(&world, 1, &early, 7);
    world.run_until("five seconds", |world| least_upper(world, &early) > created.micros() + 5_000 * MS);
    let mut both = early.clone();
    let added = [(30, "auctions"), (31, "bids"), (32, "users")];
    let late = world.create(&[30, 31, 32]);
    for (shard, reference) in added {
        let mut export = ingestion(&generator, &[reference]).exports.remove(0);
        (export.id, export.shard) = (CollectionId::User(shard), ShardId(shard));
        both.exports.push(export);
    }
    let _late_holds = hold_all(&world, &both, late);
    running.handle(StorageCommand::RunIngestion(Box::new(both.clone())));
    world.run_until("three more", |world| least_upper(world, &both) > late.micros() + 3_000 * MS);
    check(&world, &generator, &both, created, &[late.micros(), late.micros() + 1, late.micros() + 1_500 * MS]);
    check(&world, &generator, &early, created, &[created.micros() + 2_000 * MS]);
}

#[test]
fn a_replay_keeps_what_it_names_and_stops_the_rest() {
    let world = World::new(6);
    let source = ingestion(&counter(1000), &["counter"]);
    let created = world.create(&shards(&source));
    let mut running = run(&world, 1, &source, 10);
    world.run_until("running", |world| least_upper(world, &source) > created.micros());
    running.turn();
    running.handle(hello());
    running.handle(StorageCommand::RunIngestion(Box::new(source.clone())));
    running.handle(StorageCommand::InitializationComplete);
    let told = running.turn();
    assert!(told.iter().any(|response| matches!(response, StorageResponse::Upper { .. })), "told again: {told:?}");
    running.handle(hello());
    running.handle(StorageCommand::InitializationComplete);
    assert!(running.turn().contains(&StorageResponse::Dropped { id: SOURCE }));
    let upper = least_upper(&world, &source);
    let later = world.now() + 10_000 * MS;
    world.run_until("time passed", |world| world.now() > later);
    assert!(least_upper(&world, &source) <= upper + 2_000 * MS, "a stopped source writes no more");
}

#[test]
fn a_source_without_exports_still_reports_its_progress() {
    let world = World::new(7);
    let source = ingestion(&auction(1000), &[]);
    world.create(&shards(&source));
    let _running = run(&world, 1, &source, 10);
    world.run_until("bound", |world| {
        world.upper(REMAP).micros() > world.now().saturating_sub(1) && world.now() > (super::START + 3_000) * MS
    });
}

#[test]
fn offsets_that_nobody_held_stop_only_the_export_that_needs_them() {
    let world = World::new(8);
    let source = ingestion(&counter(1000), &["counter"]);
    let created = world.create(&shards(&source));
    let running = run(&world, 1, &source, 10);
    world.run_until("running", |world| least_upper(world, &source) > created.micros() + 3_000 * MS);
    drop(running);
    world.executor.kill(1);
    // The remap shard goes on alone, and its since with it.
    let upper = world.upper(REMAP).micros();
    world.run_until("time passed", |world| world.now() > upper + 10_000 * MS);
    world.append(REMAP, upper, upper + 9_000 * MS, Vec::new());
    let stuck = world.upper(REMAP + 1);
    world.run_until("forgotten", |world| {
        world.append(REMAP, world.upper(REMAP).micros(), world.now() + 1, Vec::new());
        world.run_steps(100);
        world.leader.since(ShardId(REMAP)).is_some_and(|since| since >= stuck)
    });
    let mut running = run(&world, 1, &source, 10);
    let before = world.upper(REMAP);
    world.run_until("the source goes on", |world| world.upper(REMAP).micros() > before.micros() + 3_000 * MS);
    let stalled = |response: &StorageResponse| match response {
        StorageResponse::Status { id, status: SourceStatus::Stalled(_) } => *id == source.exports[0].id,
        _ => false,
    };
    assert!(running.turn().iter().any(stalled));
    assert_eq!(world.upper(REMAP + 1), stuck, "rather nothing than rows at wrong times");
}
