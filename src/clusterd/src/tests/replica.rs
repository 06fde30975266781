//! A controller, a log and a replica together.

use expr::Mfp;
use protocol::plan::{Node, Plan};
use protocol::{Dataflow, Export, Import, Object, Peek, PeekOutcome, PeekTarget, RowOrder};
use repr::{Kind, RelationDesc};
use uuid::Uuid;

use super::*;

fn kinds() -> Vec<Kind> {
    vec![Kind::Int]
}

fn get(id: u64) -> Plan {
    let mfp = Mfp::identity(kinds());
    Plan { id: 1, kinds: kinds(), node: Node::Get { id: user(id), key: None, lookup: None, mfp } }
}

fn union(id: u64) -> Plan {
    Plan { id: 3, kinds: kinds(), node: Node::Union { inputs: vec![get(id), Plan { id: 2, ..get(id) }] } }
}

fn dataflow(imports: Vec<Import>, objects: Vec<Object>, export: Export, as_of: Timestamp) -> Dataflow {
    Dataflow { name: "test".to_owned(), imports, objects, exports: vec![export], as_of, until: None }
}

fn key() -> Vec<expr::Scalar> {
    vec![expr::Scalar::Column(0)]
}

fn peek(number: u128, at: Timestamp) -> Peek {
    Peek {
        id: Uuid::from_u128(number),
        target: PeekTarget::Index { index: user(3), lookup: None, front: 0 },
        at,
        mfp: Mfp::identity(kinds()),
        order: RowOrder::default(),
        result_bytes_max: 1 << 20,
        after: 0,
    }
}

fn rows(outcome: PeekOutcome) -> BTreeMap<Row, Diff> {
    let PeekOutcome::Rows(rows) = outcome else { panic!("{outcome:?}") };
    rows.into_iter().collect()
}

fn times(numbers: &[i64], count: i64) -> BTreeMap<Row, Diff> {
    numbers.iter().map(|number| (row(&[*number]), Diff::new(count))).collect()
}

/// Table 1 and its index 3; view 2, which has each of the table's rows twice.
fn with_index_and_view(world: &mut World) -> Timestamp {
    let ts = world.commit(&[(1, true), (2, false)], &[(1, &[row(&[1]), row(&[2])])]);
    world.controller.create_collection(user(1), ShardId(1));
    world.controller.create_collection(user(2), ShardId(2));
    let shard = Import::Shard { id: user(1), shard: ShardId(1), kinds: kinds() };
    let index = Export::Index { index: user(3), on: user(1), key: key(), kinds: kinds() };
    world.controller.create_dataflow(CLUSTER, dataflow(vec![shard], Vec::new(), index, ts)).unwrap();
    let import = Import::Index { index: user(3), on: user(1), key: key(), kinds: kinds() };
    let view = Export::MaterializedView { id: user(2), on: user(2), shard: ShardId(2), desc: RelationDesc::default() };
    let objects = vec![Object { id: user(2), plan: union(1) }];
    world.controller.create_dataflow(CLUSTER, dataflow(vec![import], objects, view, ts)).unwrap();
    world.controller.initialization_complete(CLUSTER);
    ts
}

#[test]
fn peeks_and_views_follow_commits_through_kills() {
    for seed in 0..6 {
        eprintln!("seed {seed}");
        let mut world = World::new(seed);
        let mut ts = with_index_and_view(&mut world);
        world.create_replica();
        let mut expected = vec![1, 2];
        for round in 0..6 {
            let mut handle = world.controller.peek(CLUSTER, peek(round, ts), None).unwrap();
            if world.rng.below(2) == 0 {
                world.kill();
                world.start();
            }
            let outcome = world.wait(async move { handle.result().await });
            assert_eq!(rows(outcome), times(&expected, 1));
            assert_eq!(world.contents(2, ts), times(&expected, 2));
            let number = i64::try_from(round).unwrap() + 10;
            expected.push(number);
            ts = world.commit(&[], &[(1, &[row(&[number])])]);
        }
    }
}

#[test]
fn a_subscription_shows_each_change_once_through_kills() {
    for seed in 0..6 {
        eprintln!("seed {seed}");
        let mut world = World::new(seed);
        let mut ts = with_index_and_view(&mut world);
        world.create_replica();
        let export =
            Export::Subscribe { id: CollectionId::Transient(1), on: user(9), with_snapshot: true, up_to: None };
        let import = Import::Shard { id: user(1), shard: ShardId(1), kinds: kinds() };
        let objects = vec![Object { id: user(9), plan: get(1) }];
        let flow = dataflow(vec![import], objects, export, ts);
        let mut handle = world.controller.subscribe(CLUSTER, flow).unwrap();
        let mut expected = vec![(row(&[1]), ts), (row(&[2]), ts)];
        let mut seen = Vec::new();
        for number in 10..16 {
            let at = ts;
            let next = async move {
                let mut seen = Vec::new();
                loop {
                    let batch = handle.next().await.unwrap();
                    seen.extend(batch.updates.unwrap().into_iter().map(|(row, time, diff)| {
                        assert_eq!(diff, Diff::ONE);
                        (row, time)
                    }));
                    if batch.upper > at {
                        return (handle, seen);
                    }
                }
            };
            let (back, more) = world.wait(next);
            handle = back;
            seen.extend(more);
            assert_eq!(seen, expected);
            if world.rng.below(2) == 0 {
                world.kill();
                world.start();
            }
            ts = world.commit(&[], &[(1, &[row(&[number])])]);
            expected.push((row(&[number]), ts));
        }
    }
}

#[test]
fn a_reconnecting_controller_finds_the_dataflows_it_left() {
    let mut world = World::new(1);
    let ts = with_index_and_view(&mut world);
    world.create_replica();
    world.run_until("the index", |world| world.controller.frontiers(user(3)).unwrap().upper > ts);
    // The connection is lost, the process lives on.
    world.controller.drop_replica(CLUSTER, REPLICA);
    world.create_replica();
    let mut handle = world.controller.peek(CLUSTER, peek(1, ts), None).unwrap();
    let outcome = world.wait(async move { handle.result().await });
    assert_eq!(rows(outcome), times(&[1, 2], 1));
    let later = world.commit(&[], &[(1, &[row(&[3])])]);
    assert_eq!(world.contents(2, later), times(&[1, 2, 3], 2));
}
