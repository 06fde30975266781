//! Merges that replicas do for the leader.

use futures::join;
use persist::{MergeHelper, MergeJob, Run};

use super::*;

/// A replica that has been sent all it must know.
async fn connected(world: &mut World, replica: ReplicaId) -> Process {
    world.replica(replica, 1);
    let mut process = world.accept_of(replica).await;
    process.replay().await;
    assert_eq!(process.next_storage().await, StorageCommand::InitializationComplete);
    process
}

async fn next_merge(process: &mut Process) -> u64 {
    let StorageCommand::Compact { number, job } = process.next_storage().await else { panic!("not a merge") };
    assert_eq!(MergeJob::of_bytes(job.into()).map(|job| job.shard()), Ok(ShardId(7)));
    number
}

async fn answer(process: &Process, number: u64, run: Result<Run, &str>) {
    let run = run.map(|run| run.to_bytes().to_vec()).map_err(str::to_owned);
    process.storage.sender.send(StorageResponse::CompactDone { number, run }).await.unwrap();
}

#[test]
fn a_replica_merges_and_the_next_one_if_it_dies() {
    check(|mut world| async move {
        world.controller.initialization_complete(CLUSTER);
        let helper = world.controller.merge_helper();
        let job = MergeJob::of_nothing(ShardId(7));
        assert_eq!(helper.merge(job.clone()).await, Err("no replica is connected".to_owned()));
        let mut first = connected(&mut world, R1).await;
        let (merged, ()) = join!(helper.merge(job.clone()), async {
            let number = next_merge(&mut first).await;
            // Not what anybody waits for.
            answer(&first, number + 1, Err("other")).await;
            answer(&first, number, Ok(Run::default())).await;
        });
        assert_eq!(merged, Ok(Run::default()));

        let mut second = connected(&mut world, R2).await;
        let (merged, ()) = join!(helper.merge(job.clone()), async {
            next_merge(&mut first).await;
            drop(first);
            let number = next_merge(&mut second).await;
            answer(&second, number, Ok(Run::default())).await;
        });
        assert_eq!(merged, Ok(Run::default()));
        // It comes back, and is not sent again what it has lost.
        let mut first = world.accept_of(R1).await;
        first.replay().await;
        assert_eq!(first.next_storage().await, StorageCommand::InitializationComplete);
        let (merged, ()) = join!(helper.merge(job), async {
            let number = next_merge(&mut first).await;
            answer(&first, number, Err("the disk is full")).await;
            let number = next_merge(&mut second).await;
            answer(&second, number, Err("so is mine")).await;
        });
        assert_eq!(merged, Err("so is mine".to_owned()));
    });
}
