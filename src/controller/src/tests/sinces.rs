//! How sinces and holds on inputs move.

use super::*;

fn with_index_and_view(world: &World) {
    world.shards.set(1, 10, 20);
    world.shards.set(2, 10, 11);
    world.controller.create_collection(user(1), ShardId(1));
    world.controller.create_collection(user(2), ShardId(2));
    let index = dataflow(vec![shard_import(1, 1)], index_export(3), 10);
    world.controller.create_dataflow(CLUSTER, index).unwrap();
    let view = dataflow(vec![index_import(3)], view_export(2, 2), 10);
    world.controller.create_dataflow(CLUSTER, view).unwrap();
    world.controller.initialization_complete(CLUSTER);
}

fn since(world: &World, id: u64) -> Timestamp {
    world.controller.frontiers(user(id)).unwrap().since
}

#[test]
fn an_index_is_held_by_the_view_that_reads_it_and_holds_its_own_inputs() {
    check(|mut world| async move {
        with_index_and_view(&world);
        world.replica(R1, 1);
        let process = world.accept().await;
        process.frontier(user(3), 90_000).await;
        process.frontier(user(2), 90_000).await;
        world.shards.set(1, 10, 90_000);
        process.alive().await;
        world.pass(5_000).await;
        // The view has written nothing: it would have to start at 10 again.
        let first = ts(11).step_back();
        assert_eq!(since(&world, 3), first);
        assert_eq!((world.shards.held(1), world.shards.held(2)), (Some(first), Some(first)));
        world.shards.set(2, 10, 80_000);
        process.alive().await;
        world.pass(5_000).await;
        let last = ts(80_000).step_back();
        assert_eq!(since(&world, 3), last);
        assert_eq!((world.shards.held(1), world.shards.held(2)), (Some(last), Some(last)));
        world.shards.set(2, 10, 90_000);
        process.alive().await;
        world.pass(5_000).await;
        assert_eq!(since(&world, 3), ts(89_000));
        let mut holds = world.controller.acquire_holds(&[user(3), user(1)]).unwrap();
        assert_eq!(holds.since(), ts(89_000));
        process.frontier(user(3), 100_000).await;
        world.shards.set(2, 10, 100_000);
        process.alive().await;
        world.pass(5_000).await;
        assert_eq!(since(&world, 3), ts(89_000));
        holds.advance(ts(95_000));
        process.alive().await;
        world.pass(5_000).await;
        assert_eq!(since(&world, 3), ts(95_000));
        drop(holds);
        process.alive().await;
        world.pass(5_000).await;
        assert_eq!(since(&world, 3), ts(99_000));
        assert_eq!(world.shards.held(1), Some(ts(99_000)));
    });
}

#[test]
fn a_replica_that_has_yet_to_open_its_inputs_finds_them_at_the_time_it_was_told() {
    check(|mut world| async move {
        with_index_and_view(&world);
        world.replica(R1, 1);
        let one = world.accept().await;
        one.frontier(user(3), 90_000).await;
        one.frontier(user(2), 90_000).await;
        world.shards.set(2, 10, 90_000);
        world.pass(5_000).await;
        assert_eq!(since(&world, 3), ts(89_000));
        world.replica(R2, 1);
        let mut two = world.accept_of(R2).await;
        two.replay().await;
        one.frontier(user(3), 95_000).await;
        one.frontier(user(2), 95_000).await;
        world.shards.set(2, 10, 95_000);
        world.pass(5_000).await;
        assert_eq!(since(&world, 3), ts(89_000));
        assert!(!world.controller.replica_status(CLUSTER)[1].hydrated);
        two.frontier(user(3), 95_000).await;
        two.frontier(user(2), 95_000).await;
        world.pass(5_000).await;
        assert_eq!(since(&world, 3), ts(94_000));
        assert!(world.controller.replica_status(CLUSTER)[1].hydrated);
    });
}

#[test]
fn an_index_that_no_replica_computes_follows_its_inputs() {
    check(|world| async move {
        with_index_and_view(&world);
        world.shards.set(1, 10, 90_000);
        world.shards.set(2, 10, 90_000);
        world.pass(5_000).await;
        assert_eq!(since(&world, 3), ts(89_000));
        assert_eq!(world.shards.held(1), Some(ts(89_000)));
        world.shards.set(1, 10, u64::MAX);
        world.shards.set(2, 10, u64::MAX);
        world.pass(5_000).await;
        let since = since(&world, 3).millis();
        assert!(since >= START_MS && since <= world.now() - 1_000, "{since}");
    });
}

#[test]
fn inputs_stay_held_for_a_while_after_a_drop() {
    check(|world| async move {
        with_index_and_view(&world);
        world.controller.drop_collections(vec![user(3), user(2)]);
        world.pass(5_000).await;
        assert_eq!(world.shards.held(1), Some(ts(10)));
        world.pass(7_000).await;
        assert_eq!(world.shards.held(1), None);
        assert!(world.controller.frontiers(user(3)).is_none());
    });
}

#[test]
fn holds_are_refused_on_what_is_not_there() {
    check(|world| async move {
        with_index_and_view(&world);
        assert!(world.controller.acquire_holds(&[user(3), user(50)]).is_err());
        assert_eq!(world.controller.acquire_hold_at(user(3), ts(11)).unwrap().at(), ts(11));
        assert!(world.controller.acquire_hold_at(user(3), ts(9)).is_err());
        let late = dataflow(vec![shard_import(1, 1)], index_export(4), 9);
        assert!(world.controller.create_dataflow(CLUSTER, late).is_err());
        assert!(world.controller.frontiers(user(4)).is_none());
    });
}

#[test]
fn a_dropped_index_runs_on_until_the_last_view_that_imports_it_is_dropped() {
    check(|mut world| async move {
        with_index_and_view(&world);
        world.controller.drop_collections(vec![user(3)]);
        world.replica(R1, 1);
        let mut process = world.accept().await;
        let is_built = |commands: &[ComputeCommand], id: u64| {
            let builds = |command: &ComputeCommand| match command {
                ComputeCommand::CreateDataflow(flow) => flow.exports[0].id() == user(id),
                _ => false,
            };
            commands.iter().any(builds)
        };
        let replayed = process.replay().await;
        assert!(is_built(&replayed, 3) && is_built(&replayed, 2), "{replayed:?}");
        world.controller.drop_collections(vec![user(2)]);
        let mut dropped = [process.next().await, process.next().await];
        dropped.sort_by_key(|command| format!("{command:?}"));
        let gone = |id| ComputeCommand::AllowCompaction { id: user(id), since: None };
        assert_eq!(dropped, [gone(2), gone(3)]);
        assert!(world.controller.frontiers(user(3)).is_none());
    });
}
