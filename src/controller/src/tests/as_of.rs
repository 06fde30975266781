//! At which times dataflows start.

use super::*;
use crate::AsOfError;

#[test]
fn views_resume_where_they_ended_and_indexes_start_early_enough_for_them() {
    check(|world| async move {
        world.shards.set(1, 10, 90_000);
        world.shards.set(2, 50, 60_000);
        let index = dataflow(vec![shard_import(1, 1)], index_export(3), 0);
        let view = dataflow(vec![index_import(3)], view_export(2, 2), 0);
        let free = dataflow(vec![shard_import(1, 1)], index_export(4), 0);
        let over = dataflow(vec![shard_import(2, 2)], index_export(5), 0);
        let placed = world.controller.choose_as_ofs(&[&index, &view, &free, &over]);
        let as_ofs: Vec<Timestamp> = placed.iter().map(|placed| placed.as_ref().unwrap().as_of).collect();
        let last = ts(60_000).step_back();
        assert_eq!(as_ofs, [last, last, ts(89_000), ts(59_000)]);
        assert_eq!(world.shards.held(1), Some(last));
        drop(placed);
        assert_eq!(world.shards.held(1), None);
    });
}

#[test]
fn a_view_never_written_starts_when_it_was_created() {
    check(|world| async move {
        world.shards.set(1, 10, 90_000);
        world.shards.set(2, 42, 0);
        let view = dataflow(vec![shard_import(1, 1)], view_export(2, 2), 0);
        let placed = world.controller.choose_as_ofs(&[&view]);
        assert_eq!(placed[0].as_ref().unwrap().as_of, ts(42));
    });
}

#[test]
fn a_view_whose_inputs_are_gone_fails_alone() {
    check(|world| async move {
        world.shards.set(1, 70_000, 90_000);
        world.shards.set(2, 50, 60_000);
        let index = dataflow(vec![shard_import(1, 1)], index_export(3), 0);
        let view = dataflow(vec![index_import(3)], view_export(2, 2), 0);
        let unknown = dataflow(vec![shard_import(9, 9)], index_export(4), 0);
        let placed = world.controller.choose_as_ofs(&[&index, &view, &unknown]);
        assert_eq!(placed[0].as_ref().unwrap().as_of, ts(70_000));
        let too_new = AsOfError::InputTooNew { as_of: ts(60_000).step_back(), input: user(3), since: ts(70_000) };
        assert_eq!(placed[1].as_ref().unwrap_err(), &too_new);
        assert_eq!(placed[2].as_ref().unwrap_err(), &AsOfError::UnknownInput(user(9)));
    });
}

#[test]
fn dataflows_over_running_indexes_start_within_reach_of_them() {
    check(|mut world| async move {
        world.shards.set(1, 10, 90_000);
        world.controller.create_collection(user(1), ShardId(1));
        let index = dataflow(vec![shard_import(1, 1)], index_export(3), 10);
        world.controller.create_dataflow(CLUSTER, index).unwrap();
        world.controller.initialization_complete(CLUSTER);
        world.replica(R1, 1);
        let process = world.accept().await;
        process.frontier(user(3), 80_000).await;
        world.controller.wait_upper(user(3), ts(79_999)).await.unwrap();
        let over = dataflow(vec![index_import(3)], index_export(4), 0);
        let placed = world.controller.choose_as_ofs(&[&over]);
        let placed = placed.into_iter().next().unwrap().unwrap();
        assert_eq!(placed.as_of, ts(79_000));
        world.pass(5_000).await;
        world.controller.create_dataflow(CLUSTER, Dataflow { as_of: placed.as_of, ..over }).unwrap();
    });
}
