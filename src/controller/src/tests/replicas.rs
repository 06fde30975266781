//! What replicas are sent, and what becomes of their answers.

use expr::EvalError;
use protocol::PeekOutcome;
use protocol::source::{Ingestion, LoadGenerator, LoadGeneratorKind, SourceConnection};
use repr::{Diff, Row};

use super::*;
use crate::ControllerError;

fn row(number: u8) -> Row {
    Row::from_bytes(&[number])
}

fn rows(numbers: &[u8]) -> PeekOutcome {
    PeekOutcome::Rows(numbers.iter().map(|number| (row(*number), Diff::ONE)).collect())
}

fn answer(number: u128, outcome: PeekOutcome) -> ComputeResponse {
    ComputeResponse::Peek { id: Uuid::from_u128(number), outcome }
}

fn create(world: &World, id: u64) {
    world.controller.create_dataflow(CLUSTER, dataflow(vec![shard_import(1, 1)], index_export(id), 10)).unwrap();
}

fn with_table(world: &World) {
    world.shards.set(1, 10, 20);
    world.controller.create_collection(user(1), ShardId(1));
}

fn created(commands: &[ComputeCommand]) -> Vec<(CollectionId, Timestamp)> {
    let of = |command: &ComputeCommand| match command {
        ComputeCommand::CreateDataflow(flow) => Some((flow.exports[0].id(), flow.as_of)),
        _ => None,
    };
    commands.iter().filter_map(of).collect()
}

#[test]
fn a_replica_that_comes_back_is_sent_what_still_lives_at_the_time_it_can_be_read() {
    check(|mut world| async move {
        with_table(&world);
        create(&world, 2);
        create(&world, 3);
        world.replica(R1, 1);
        world.pass(100).await;
        // Nothing connects before the catalog has been replayed.
        assert!(world.accepted.try_recv().is_err());
        world.controller.initialization_complete(CLUSTER);
        let mut process = world.accept_of(R1).await;
        assert_eq!(created(&process.replay().await), [(user(2), ts(10)), (user(3), ts(10))]);
        assert_eq!(process.next_storage().await, StorageCommand::InitializationComplete);
        create(&world, 4);
        assert_eq!(created(&[process.next().await]), [(user(4), ts(10))]);
        world.controller.drop_collections(vec![user(3)]);
        assert_eq!(process.next().await, ComputeCommand::AllowCompaction { id: user(3), since: None });

        process.frontier(user(2), 500_000).await;
        world.pass(1_500).await;
        let since = world.controller.frontiers(user(2)).unwrap().since;
        assert_eq!(since, ts(499_000));
        drop(process);
        let mut process = world.accept_of(R1).await;
        let replayed = process.replay().await;
        assert_eq!(created(&replayed), [(user(2), since), (user(4), ts(10))]);
        assert_eq!(world.controller.replica_status(CLUSTER)[0].disconnects, 1);
    });
}

#[test]
fn a_dataflow_dropped_before_it_was_sent_is_never_sent() {
    check(|mut world| async move {
        with_table(&world);
        create(&world, 2);
        world.controller.initialization_complete(CLUSTER);
        world.replica(R1, 1);
        let mut process = world.accept().await;
        process.replay().await;
        create(&world, 3);
        world.controller.drop_collections(vec![user(3)]);
        create(&world, 4);
        assert_eq!(created(&[process.next().await]), [(user(4), ts(10))]);
    });
}

#[test]
fn the_first_replica_to_answer_wins_and_the_other_is_told() {
    check(|mut world| async move {
        with_table(&world);
        create(&world, 2);
        world.controller.initialization_complete(CLUSTER);
        world.replica(R1, 1);
        world.replica(R2, 1);
        let (mut one, mut two) = (world.accept().await, world.accept().await);
        one.replay().await;
        two.replay().await;
        let mut handle = world.controller.peek(CLUSTER, peek(1, 2, 15), None).unwrap();
        for process in [&mut one, &mut two] {
            let sent = process.next_sequenced().await;
            let ComputeCommand::Peek(peek) = sent.command else { panic!("{sent:?}") };
            // Hello is 0, the dataflow 1, then both ends of the replay.
            assert_eq!((peek.at, peek.after), (ts(15), sent.sequence - 1));
        }
        two.say(answer(1, rows(&[1, 2]))).await;
        assert_eq!(handle.result().await, rows(&[1, 2]));
        assert_eq!(one.next().await, ComputeCommand::CancelPeek(Uuid::from_u128(1)));
        one.say(answer(1, PeekOutcome::Canceled)).await;
    });
}

#[test]
fn a_replicas_answer_is_the_union_of_its_processes() {
    check(|mut world| async move {
        with_table(&world);
        create(&world, 2);
        world.controller.initialization_complete(CLUSTER);
        world.replica(R1, 2);
        let mut ends = [world.accept().await, world.accept().await];
        ends.sort_by_key(|end| end.process);
        let [mut zero, mut one] = ends;
        // Dataflows go to the first process, peeks to all.
        zero.replay().await;
        let mut handle = world.controller.peek(CLUSTER, peek(1, 2, 15), None).unwrap();
        let mut failing = world.controller.peek(CLUSTER, peek(2, 2, 15), None).unwrap();
        for process in [&mut zero, &mut one] {
            assert!(matches!(process.next().await, ComputeCommand::Peek(_)));
            assert!(matches!(process.next().await, ComputeCommand::Peek(_)));
        }
        one.say(answer(1, rows(&[3]))).await;
        one.say(answer(2, PeekOutcome::Error(EvalError::division_by_zero()))).await;
        zero.say(answer(1, rows(&[1, 2]))).await;
        zero.say(answer(2, rows(&[1]))).await;
        assert_eq!(handle.result().await, rows(&[1, 2, 3]));
        assert_eq!(failing.result().await, PeekOutcome::Error(EvalError::division_by_zero()));
    });
}

#[test]
fn a_pending_peek_is_asked_again_after_a_reconnect() {
    check(|mut world| async move {
        with_table(&world);
        create(&world, 2);
        world.controller.initialization_complete(CLUSTER);
        world.replica(R1, 2);
        let ends = [world.accept().await, world.accept().await];
        let mut handle = world.controller.peek(CLUSTER, peek(1, 2, 15), None).unwrap();
        let mut gone = world.controller.peek(CLUSTER, peek(2, 2, 15), None).unwrap();
        // Half an answer counts for nothing once the connection is lost.
        ends[0].say(answer(1, rows(&[7]))).await;
        world.pass(10).await;
        drop(ends);
        let mut ends = [world.accept().await, world.accept().await];
        ends.sort_by_key(|end| end.process);
        let replayed = ends[0].replay().await;
        let asked = replayed.iter().filter(|command| matches!(command, ComputeCommand::Peek(_))).count();
        assert_eq!(asked, 2);
        ends[1].say(answer(1, rows(&[2]))).await;
        ends[0].say(answer(1, rows(&[1]))).await;
        assert_eq!(handle.result().await, rows(&[1, 2]));
        // Dropping the index ends the peeks that read it.
        world.controller.drop_collections(vec![user(2)]);
        assert_eq!(gone.result().await, PeekOutcome::Canceled);
    });
}

#[test]
fn a_dropped_handle_cancels_its_peek_and_lets_go_of_the_index() {
    check(|mut world| async move {
        with_table(&world);
        create(&world, 2);
        world.controller.initialization_complete(CLUSTER);
        world.replica(R1, 1);
        let mut process = world.accept().await;
        process.replay().await;
        process.frontier(user(2), 100_000).await;
        let handle = world.controller.peek(CLUSTER, peek(1, 2, 15), None).unwrap();
        assert!(matches!(process.next().await, ComputeCommand::Peek(_)));
        world.pass(3_000).await;
        assert_eq!(process.next().await, ComputeCommand::AllowCompaction { id: user(2), since: Some(ts(15)) });
        drop(handle);
        assert_eq!(process.next().await, ComputeCommand::CancelPeek(Uuid::from_u128(1)));
        assert_eq!(process.next().await, ComputeCommand::AllowCompaction { id: user(2), since: Some(ts(99_000)) });
        let late = world.controller.peek(CLUSTER, peek(2, 2, 15), None).err();
        assert_eq!(late, Some(ControllerError::BelowSince { id: user(2), at: ts(15), since: ts(99_000) }));
    });
}

#[test]
fn an_index_is_as_far_as_its_fastest_replica_and_a_replica_as_its_slowest_process() {
    check(|mut world| async move {
        with_table(&world);
        create(&world, 2);
        world.controller.initialization_complete(CLUSTER);
        world.replica(R1, 2);
        let mut ends = [world.accept().await, world.accept().await];
        world.replica(R2, 1);
        let mut other = world.accept_of(R2).await;
        ends.sort_by_key(|end| end.process);
        let upper = |world: &World| world.controller.frontiers(user(2)).unwrap().upper;
        ends[0].frontier(user(2), 50).await;
        world.pass(1).await;
        assert_eq!(upper(&world), ts(0));
        ends[1].frontier(user(2), 40).await;
        assert_eq!(world.controller.wait_upper(user(2), ts(39)).await, Ok(ts(40)));
        other.replay().await;
        other.frontier(user(2), 60).await;
        assert_eq!(world.controller.wait_upper(user(2), ts(40)).await, Ok(ts(60)));
        // It never goes back.
        drop(other);
        world.pass(1).await;
        assert_eq!(upper(&world), ts(60));
        assert!(world.controller.wait_upper(user(77), ts(0)).await.is_err());
    });
}

#[test]
fn a_silent_replica_is_given_up() {
    check(|mut world| async move {
        world.controller.initialization_complete(CLUSTER);
        world.replica(R1, 1);
        let _silent = world.accept().await;
        assert!(world.controller.replica_status(CLUSTER)[0].connected || world.now() >= START_MS);
        world.pass(20_000).await;
        assert!(world.controller.replica_status(CLUSTER)[0].last_error.is_some());
        world.accept().await;
    });
}

#[test]
fn a_replica_that_was_never_reached_is_starting_for_a_while() {
    check(|world| async move {
        world.controller.initialization_complete(CLUSTER);
        world.replica(R1, 1);
        let reason = |world: &World| world.controller.replica_status(CLUSTER)[0].processes[0].reason.clone();
        world.pass(30_000).await;
        assert!(world.controller.replica_status(CLUSTER)[0].disconnects > 0);
        assert_eq!(reason(&world).as_deref(), Some("initializing"));
        world.pass(40_000).await;
        assert_eq!(reason(&world).as_deref(), Some("not connected: no answer to hello"));
    });
}

#[test]
fn a_subscription_takes_each_interval_once_from_whichever_replica_is_first() {
    check(|mut world| async move {
        with_table(&world);
        world.controller.initialization_complete(CLUSTER);
        world.replica(R1, 2);
        let mut ends = [world.accept().await, world.accept().await];
        ends.sort_by_key(|end| end.process);
        world.replica(R2, 1);
        let other = world.accept_of(R2).await;
        let export = Export::Subscribe { id: user(5), on: user(99), with_snapshot: true, up_to: Some(ts(30)) };
        let flow = dataflow(vec![shard_import(1, 1)], export, 10);
        let mut subscribe = world.controller.subscribe(CLUSTER, flow).unwrap();
        let batch = |lower: u64, upper: u64, updates: &[(u8, u64)]| ComputeResponse::Subscribe {
            id: user(5),
            lower: ts(lower),
            upper: ts(upper),
            updates: Ok(updates.iter().map(|(number, time)| (row(*number), ts(*time), Diff::ONE)).collect()),
        };
        let next = async |subscribe: &mut crate::SubscribeHandle| {
            let batch = subscribe.next().await.unwrap();
            let numbers = |(row, time, _): (Row, Timestamp, Diff)| (row.as_bytes()[0], time.millis());
            let updates: Vec<(u8, u64)> = batch.updates.unwrap().into_iter().map(numbers).collect();
            (batch.lower.millis(), batch.upper.millis(), updates)
        };
        ends[0].say(batch(10, 15, &[(2, 10), (9, 14)])).await;
        ends[1].say(batch(10, 12, &[(1, 10)])).await;
        assert_eq!(next(&mut subscribe).await, (10, 12, vec![(1, 10), (2, 10)]));
        other.say(batch(10, 16, &[(1, 10), (2, 10), (9, 14), (8, 15)])).await;
        assert_eq!(next(&mut subscribe).await, (12, 16, vec![(9, 14), (8, 15)]));
        ends[1].say(batch(12, 15, &[])).await;
        ends[0].say(batch(15, 20, &[(8, 15), (3, 18)])).await;
        ends[1].say(batch(15, 20, &[(4, 18)])).await;
        assert_eq!(next(&mut subscribe).await, (16, 20, vec![(3, 18), (4, 18)]));
        // A replica that comes back starts again at what was passed on.
        drop(ends);
        let mut ends = [world.accept().await, world.accept().await];
        ends.sort_by_key(|end| end.process);
        world.pass(10).await;
        ends[0].say(batch(10, 30, &[(4, 18), (6, 29)])).await;
        ends[1].say(batch(10, 30, &[])).await;
        assert_eq!(next(&mut subscribe).await, (20, 30, vec![(6, 29)]));
        assert!(subscribe.next().await.is_none());
        drop(subscribe);
        world.pass(1).await;
        assert!(world.controller.frontiers(user(5)).is_none());
    });
}

#[test]
fn a_subscription_ends_when_what_it_reads_is_dropped() {
    check(|world| async move {
        with_table(&world);
        let export = Export::Subscribe { id: user(5), on: user(99), with_snapshot: true, up_to: None };
        let flow = dataflow(vec![shard_import(1, 1)], export, 10);
        let mut subscribe = world.controller.subscribe(CLUSTER, flow).unwrap();
        world.controller.drop_collections(vec![user(1)]);
        assert!(subscribe.next().await.is_none());
    });
}

fn auction() -> Ingestion {
    let generator = LoadGenerator { kind: LoadGeneratorKind::Auction, tick_interval_ms: None, as_of: 0, up_to: None };
    let connection = SourceConnection::LoadGenerator(generator);
    Ingestion { id: user(8), connection, remap_shard: ShardId(7), exports: Vec::new() }
}

#[test]
fn sources_move_to_a_replica_that_can_be_reached_and_stay_there() {
    check(|mut world| async move {
        world.shards.set(7, 0, 1);
        world.controller.run_ingestion(CLUSTER, auction()).unwrap();
        world.controller.initialization_complete(CLUSTER);
        world.replica(R1, 1);
        let mut one = world.accept_of(R1).await;
        let run = StorageCommand::RunIngestion(Box::new(auction()));
        assert_eq!(one.next_storage().await, run);
        drop(one);
        // There is no other: it gets them again.
        let mut one = world.accept_of(R1).await;
        assert_eq!(one.next_storage().await, run);
        world.replica(R2, 1);
        let mut two = world.accept_of(R2).await;
        assert_eq!(two.next_storage().await, StorageCommand::InitializationComplete);
        drop(one);
        assert_eq!(two.next_storage().await, run);
        let mut one = world.accept_of(R1).await;
        assert_eq!(one.next_storage().await, StorageCommand::InitializationComplete);
        drop(two);
        assert_eq!(one.next_storage().await, run);
    });
}

#[test]
fn sources_run_on_the_first_replica_and_move_when_it_is_dropped() {
    check(|mut world| async move {
        world.shards.set(7, 0, 1);
        let ingestion = auction();
        world.controller.run_ingestion(CLUSTER, ingestion.clone()).unwrap();
        world.controller.initialization_complete(CLUSTER);
        world.replica(R1, 1);
        let mut one = world.accept_of(R1).await;
        let run = StorageCommand::RunIngestion(Box::new(ingestion));
        assert_eq!(one.next_storage().await, run);
        assert_eq!(one.next_storage().await, StorageCommand::InitializationComplete);
        world.replica(R2, 1);
        let mut two = world.accept_of(R2).await;
        assert_eq!(two.next_storage().await, StorageCommand::InitializationComplete);
        world.controller.drop_replica(CLUSTER, R1);
        assert_eq!(two.next_storage().await, run);
        assert!(one.storage.receiver.recv().await.is_none());
        world.controller.drop_collections(vec![user(8)]);
        assert_eq!(two.next_storage().await, StorageCommand::AllowCompaction { id: user(8), since: None });
    });
}

#[test]
fn dropping_a_cluster_ends_what_waits_for_it() {
    check(|mut world| async move {
        with_table(&world);
        create(&world, 2);
        world.controller.initialization_complete(CLUSTER);
        assert!(!world.controller.has_replicas(CLUSTER));
        world.replica(R1, 1);
        assert!(world.controller.has_replicas(CLUSTER));
        let mut process = world.accept().await;
        process.replay().await;
        let mut handle = world.controller.peek(CLUSTER, peek(1, 2, 15), None).unwrap();
        world.controller.drop_cluster(CLUSTER);
        assert_eq!(handle.result().await, PeekOutcome::Canceled);
        while process.compute.receiver.recv().await.is_some() {}
    });
}
