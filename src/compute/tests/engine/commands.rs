//! What commands do to what is installed: frontiers, drops, and a controller that comes back.

use std::collections::BTreeMap;

use expr::{LocalId, Relation, Scalar, TableFunc};
use protocol::compute::{ComputeCommand, ComputeResponse};
use protocol::dataflow::{Dataflow, Export, Import};
use protocol::peek::PeekOutcome;
use repr::{CollectionId, Datum, Kind, Row, ScalarType, ShardId, Timestamp};

use crate::harness::{Update, hello, peek_all};
use crate::lower::Lowering;
use crate::single::Single;
use crate::{call, column, indexed_object, input, literal, shard_import};

const INDEX: CollectionId = CollectionId::User(101);
const OTHER_INDEX: CollectionId = CollectionId::User(102);

fn history() -> Vec<Update> {
    (0..8).map(|time| (Ok(Row::pack([Datum::Int(time), Datum::Int(time % 3)])), time as u64, 1)).collect()
}

fn single() -> Single {
    Single::new(BTreeMap::from([(ShardId(0), history())]))
}

fn view() -> Dataflow {
    indexed_object(&input(0, 2), vec![shard_import(0, 2)], Lowering::default())
}

/// A dataflow that reads the index of [`view`].
fn over_view(as_of: u64) -> Dataflow {
    let kinds = vec![Kind::Int; 2];
    let on = CollectionId::User(100);
    Dataflow {
        name: "over".to_owned(),
        imports: vec![Import::Index { index: INDEX, on, key: vec![column(0)], kinds: kinds.clone() }],
        objects: Vec::new(),
        exports: vec![Export::Index { index: OTHER_INDEX, on, key: vec![column(1)], kinds }],
        as_of: Timestamp::new(as_of),
        until: None,
    }
}

fn rows_at(single: &mut Single, index: CollectionId, id: u128, at: u64) -> usize {
    let id = single.peek(peek_all(id, index, vec![Kind::Int; 2], at));
    single.settle();
    match single.answer(id) {
        Some(PeekOutcome::Rows(rows)) => rows.len(),
        other => panic!("no rows: {other:?}"),
    }
}

#[test]
fn frontiers_are_reported_when_they_move_and_never_go_back() {
    let mut single = single();
    single.create(&view());
    single.advance(3);
    assert_eq!(single.frontier(INDEX), Some(3));
    single.advance(5);
    let uppers: Vec<u64> = single
        .responses
        .iter()
        .filter_map(|response| match response {
            ComputeResponse::Frontier { upper, .. } => Some(upper.micros()),
            _ => None,
        })
        .collect();
    assert!(uppers.is_sorted_by(|earlier, later| earlier < later), "{uppers:?}");
    assert_eq!(uppers.last(), Some(&5));
}

#[test]
fn a_dropped_dataflow_goes_away() {
    let mut single = single();
    single.create(&view());
    single.advance(3);
    single.compact(INDEX, None);
    single.settle();
    assert!(!single.has_dataflows());
}

#[test]
fn an_index_lives_as_long_as_a_dataflow_that_reads_it() {
    let mut single = single();
    single.create(&view());
    single.create(&over_view(0));
    single.advance(3);
    single.compact(INDEX, None);
    single.advance(6);
    assert_eq!(rows_at(&mut single, OTHER_INDEX, 1, 5), 6);
    single.compact(OTHER_INDEX, None);
    single.settle();
    assert!(!single.has_dataflows());
}

#[test]
fn recursion_without_end_ends_when_it_is_dropped() {
    let id = LocalId(1);
    let typ = input(0, 1).typ();
    // Without a limit: n, n + 1 modulo a large number, and so on.
    let next = call("int8_mod", vec![call("int8_add", vec![column(0), literal(1)]), literal(1 << 40)]);
    let successors = Relation::get_local(id, typ.clone()).map(vec![next]).project(vec![1]);
    let value = Relation::union(vec![input(0, 1), successors]);
    let body = Relation::get_local(id, typ);
    let relation = Relation::LetRec { ids: vec![id], values: vec![value], limit: None, body: Box::new(body) };
    let mut single = Single::new(BTreeMap::from([(ShardId(0), vec![(Ok(Row::pack([Datum::Int(0)])), 0, 1)])]));
    single.create(&indexed_object(&relation, vec![shard_import(0, 1)], Lowering::default()));
    single.advance(2);
    assert_eq!(single.frontier(INDEX), None);
    single.compact(INDEX, None);
    single.settle();
    assert!(!single.has_dataflows());
}

/// There are more pairs, and below more rows, than are made while the test runs.
#[test]
fn a_cross_join_ends_when_it_is_dropped() {
    let rows = (0..100_000).map(|n| (Ok(Row::pack([Datum::Int(n), Datum::Int(n)])), 0, 1)).collect();
    let mut single = Single::new(BTreeMap::from([(ShardId(0), rows)]));
    let sum = call("int8_add", vec![column(0), column(2)]);
    let never = Scalar::compare("=", sum, literal(-1), ScalarType::Int8);
    let relation = Relation::join(vec![input(0, 2), input(0, 2)], vec![]).filter(vec![never]);
    single.create(&indexed_object(&relation, vec![shard_import(0, 2)], Lowering::default()));
    single.advance(2);
    assert_eq!(single.frontier(INDEX), None, "the join goes on");
    single.compact(INDEX, None);
    single.settle();
    assert!(!single.has_dataflows());
}

#[test]
fn a_table_function_ends_when_it_is_dropped() {
    let series = TableFunc::GenerateSeriesInt(ScalarType::Int8);
    let relation = input(0, 1).flat_map(series, vec![literal(1), literal(90_000_000), literal(1)]);
    let relation = relation.filter(vec![Scalar::compare("=", column(1), literal(-1), ScalarType::Int8)]);
    let mut single = Single::new(BTreeMap::from([(ShardId(0), vec![(Ok(Row::pack([Datum::Int(0)])), 0, 1)])]));
    single.create(&indexed_object(&relation, vec![shard_import(0, 1)], Lowering::default()));
    single.advance(2);
    assert_eq!(single.frontier(INDEX), None, "the series goes on");
    single.compact(INDEX, None);
    single.settle();
    assert!(!single.has_dataflows());
}

#[test]
#[should_panic(expected = "a hold was lost")]
fn reading_an_index_below_its_since_ends_the_process() {
    let mut single = single();
    single.create(&view());
    single.compact(INDEX, Some(4));
    single.create(&over_view(3));
}

#[test]
fn a_dataflow_that_is_replayed_is_kept_and_reports_anew() {
    let mut single = single();
    single.create(&view());
    single.handle(ComputeCommand::InitializationComplete);
    single.advance(5);
    single.compact(INDEX, Some(2));
    single.settle();
    single.responses.clear();

    single.handle(hello(1, 2));
    single.create(&Dataflow { as_of: Timestamp::new(2), ..view() });
    single.handle(ComputeCommand::InitializationComplete);
    // The history below the new as_of is still there: it was not built again.
    let snapshot = single.state.turn();
    assert_eq!(snapshot.connection, 2);
    assert_eq!(snapshot.responses, [ComputeResponse::Frontier { id: INDEX, upper: Timestamp::new(5) }]);
    assert_eq!(rows_at(&mut single, INDEX, 1, 4), 5);
}

#[test]
fn a_dataflow_that_is_asked_for_differently_is_built_again() {
    let mut single = single();
    single.create(&view());
    single.handle(ComputeCommand::InitializationComplete);
    single.advance(5);
    single.handle(hello(1, 2));
    let filtered = input(0, 2).filter(vec![Scalar::compare("<", column(0), literal(2), ScalarType::Int8)]);
    single.create(&indexed_object(&filtered, vec![shard_import(0, 2)], Lowering::default()));
    single.handle(ComputeCommand::InitializationComplete);
    single.settle();
    assert_eq!(rows_at(&mut single, INDEX, 1, 4), 2);
}

#[test]
fn a_dataflow_whose_since_is_beyond_the_new_as_of_is_built_again() {
    let mut single = single();
    single.create(&view());
    single.handle(ComputeCommand::InitializationComplete);
    single.advance(5);
    single.compact(INDEX, Some(4));
    single.settle();
    single.handle(hello(1, 2));
    single.create(&Dataflow { as_of: Timestamp::new(1), ..view() });
    single.handle(ComputeCommand::InitializationComplete);
    single.settle();
    assert_eq!(rows_at(&mut single, INDEX, 1, 1), 2);
}

#[test]
fn who_reads_an_index_that_is_built_again_is_built_again() {
    let mut single = single();
    single.create(&view());
    single.create(&over_view(0));
    single.handle(ComputeCommand::InitializationComplete);
    single.advance(5);
    single.handle(hello(1, 2));
    let filtered = input(0, 2).filter(vec![Scalar::compare("<", column(0), literal(2), ScalarType::Int8)]);
    single.create(&indexed_object(&filtered, vec![shard_import(0, 2)], Lowering::default()));
    single.create(&over_view(0));
    single.handle(ComputeCommand::InitializationComplete);
    single.settle();
    assert_eq!(rows_at(&mut single, OTHER_INDEX, 1, 4), 2);
}

#[test]
fn what_a_replay_does_not_name_is_dropped_at_its_end() {
    let mut single = single();
    single.create(&view());
    single.handle(ComputeCommand::InitializationComplete);
    single.advance(3);
    single.handle(hello(1, 2));
    assert_eq!(single.state.installed().count(), 1);
    single.handle(ComputeCommand::InitializationComplete);
    assert_eq!(single.state.installed().count(), 0);
    single.settle();
    assert!(!single.has_dataflows());
}

#[test]
fn another_log_drops_everything() {
    let mut single = single();
    single.create(&view());
    single.handle(ComputeCommand::InitializationComplete);
    single.advance(3);
    single.handle(hello(2, 2));
    assert_eq!(single.state.installed().count(), 0);
}
