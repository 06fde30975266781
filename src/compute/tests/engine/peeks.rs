//! Peeks: when they are answered, and with what.

use std::collections::BTreeMap;

use expr::{ColumnOrder, EvalError, Mfp, Relation, Scalar};
use protocol::ComputeCommand;
use protocol::peek::{Peek, PeekOutcome, PeekTarget, RowOrder};
use protocol::{KeyRange, Lookup};
use repr::{CollectionId, ColumnBounds, Datum, Diff, Kind, Row, ScalarType, ShardId, Timestamp};
use stdx::Rng;

use crate::harness::{Update, peek_all};
use crate::lower::Lowering;
use crate::single::Single;
use crate::{call, column, indexed_object, input, int8, literal, shard_import};

const INDEX: CollectionId = CollectionId::User(101);

fn row(key: i64, value: i64) -> Row {
    Row::pack([Datum::Int(key), Datum::Int(value)])
}

fn history() -> Vec<Update> {
    vec![
        (Ok(row(1, 10)), 0, 1),
        (Ok(row(2, 20)), 0, 2),
        (Ok(row(3, 5)), 2, 1),
        (Ok(row(1, 10)), 3, -1),
        (Ok(row(2, 7)), 4, 1),
    ]
}

/// A worker with one index of the history, by the first column.
fn indexed() -> Single {
    let mut single = Single::new(BTreeMap::from([(ShardId(0), history())]));
    single.create(&indexed_object(&input(0, 2), vec![shard_import(0, 2)], Lowering::default()));
    single
}

fn all(id: u128, at: u64) -> Peek {
    peek_all(id, INDEX, vec![Kind::Int; 2], at)
}

fn rows(counts: &[(Row, i64)]) -> PeekOutcome {
    PeekOutcome::Rows(counts.iter().map(|(row, count)| (row.clone(), Diff::new(*count))).collect())
}

#[test]
fn a_peek_waits_for_upper() {
    let mut single = indexed();
    let id = single.peek(all(1, 2));
    single.advance(2);
    assert_eq!(single.answer(id), None);
    single.advance(3);
    assert_eq!(single.answer(id), Some(rows(&[(row(1, 10), 1), (row(2, 20), 2), (row(3, 5), 1)])));
}

#[test]
fn a_waiting_peek_holds_the_index() {
    let mut single = indexed();
    let id = single.peek(all(1, 0));
    single.compact(INDEX, Some(4));
    single.advance(6);
    assert_eq!(single.answer(id), Some(rows(&[(row(1, 10), 1), (row(2, 20), 2)])));
}

#[test]
fn a_peek_below_since_is_canceled() {
    let mut single = indexed();
    single.compact(INDEX, Some(3));
    single.advance(6);
    let id = single.peek(all(1, 2));
    assert_eq!(single.answer(id), Some(PeekOutcome::Canceled));
    let id = single.peek(all(2, 3));
    assert_eq!(single.answer(id), Some(rows(&[(row(2, 20), 2), (row(3, 5), 1)])));
}

#[test]
fn an_unknown_index_fails_only_after_the_commands_before_the_peek() {
    let mut single = Single::new(BTreeMap::from([(ShardId(0), history())]));
    let early = single.peek(Peek { after: 2, ..all(1, 0) });
    let other = single.peek(Peek { after: 3, ..peek_all(2, CollectionId::User(9), vec![Kind::Int], 0) });
    assert_eq!((single.answer(early), single.answer(other)), (None, None));
    single.create(&indexed_object(&input(0, 2), vec![shard_import(0, 2)], Lowering::default()));
    single.advance(1);
    assert!(matches!(single.answer(early), Some(PeekOutcome::Rows(_))));
    assert_eq!(single.answer(other), None);
    single.handle(ComputeCommand::InitializationComplete);
    assert!(matches!(single.answer(other), Some(PeekOutcome::Error(_))));
}

#[test]
fn dropping_the_index_cancels_its_peeks() {
    let mut single = indexed();
    let id = single.peek(all(1, 8));
    single.compact(INDEX, None);
    assert_eq!(single.answer(id), Some(PeekOutcome::Canceled));
}

#[test]
fn a_canceled_peek_is_answered_once() {
    let mut single = indexed();
    let id = single.peek(all(1, 2));
    single.peeks.cancel(id);
    assert_eq!(single.answer(id), Some(PeekOutcome::Canceled));
    single.advance(5);
    assert_eq!(single.answer(id), Some(PeekOutcome::Canceled));
}

#[test]
fn peeks_of_an_earlier_connection_are_forgotten() {
    let mut single = indexed();
    let id = single.peek(all(1, 2));
    single.peeks.reset(uuid::Uuid::from_u128(2));
    single.advance(5);
    assert_eq!(single.answer(id), None);
}

#[test]
fn a_lookup_reads_only_its_keys() {
    let mut single = indexed();
    single.advance(5);
    let lookup = Some(Lookup::keys([3, 2, 9].map(|key| Row::pack([Datum::Int(key)]))));
    let id = single.peek(Peek { target: PeekTarget::Index { index: INDEX, lookup, front: 0 }, ..all(1, 4) });
    assert_eq!(single.answer(id), Some(rows(&[(row(2, 7), 1), (row(2, 20), 2), (row(3, 5), 1)])));
}

/// Keys 0 to 99 of ten values each, of which some are there twice and some no more; and keys that are NULL.
fn many() -> Single {
    let rng = Rng::from_seed(5);
    let mut history = Vec::new();
    for (key, value) in (0..100).flat_map(|key| (0..10).map(move |value| (key, value))) {
        history.push((Ok(row(key, value)), rng.below(4), 1 + i64::from(rng.below(5) == 0)));
    }
    let gone: Vec<Update> = history.iter().filter(|_| rng.below(4) == 0).cloned().collect();
    history.extend(gone.into_iter().map(|(row, time, count)| (row, time + 1, -count)));
    history.push((Ok(Row::pack([Datum::Null, Datum::Int(1)])), 0, 3));
    let mut single = Single::new(BTreeMap::from([(ShardId(0), history)]));
    single.create(&indexed_object(&input(0, 2), vec![shard_import(0, 2)], Lowering::default()));
    single.advance(6);
    single
}

#[test]
fn ranges_read_the_rows_that_a_filter_of_all_keeps() {
    let mut single = many();
    let rng = Rng::from_seed(6);
    let bound = |rng: &Rng| rng.below(110) as i64 - 5;
    for id in 0..200 {
        let (low, high) = (bound(&rng), bound(&rng));
        let ends = [low, high].map(|end| Row::pack([Datum::Int(end)]));
        let range = match rng.below(3) {
            0 => ColumnBounds::range(Some(ends[0].as_bytes()), Some(ends[1].as_bytes())),
            1 => ColumnBounds::range(None, Some(ends[1].as_bytes())),
            _ => ColumnBounds::range(Some(ends[0].as_bytes()), None),
        };
        let wanted = |key: i64| {
            let bytes = Row::pack([Datum::Int(key)]);
            range.ranges.iter().any(|range| range.overlaps(bytes.as_bytes(), Some(bytes.as_bytes())))
        };
        let Some(PeekOutcome::Rows(mut expected)) = answer(&mut single, all(2 * id, 5)) else { panic!("rows") };
        expected.retain(|(row, _)| match row.unpack(&[Kind::Int; 2])[0] {
            Datum::Int(key) => wanted(key),
            _ => false,
        });
        let lookup = Some(Lookup::ranges(KeyRange::within(&[], &range)));
        let target = PeekTarget::Index { index: INDEX, lookup, front: 0 };
        let found = answer(&mut single, Peek { target, ..all(2 * id + 1, 5) });
        assert_eq!(found, Some(PeekOutcome::Rows(expected)), "{range:?}");
    }
}

/// Reading only the front of an index gives what reading all of it gives, for limits, offsets, ties and filters of all kinds.
#[test]
fn the_front_of_an_index_has_the_first_rows() {
    let mut single = many();
    let rng = Rng::from_seed(7);
    let by = |columns: &[usize]| {
        columns.iter().map(|column| ColumnOrder { column: *column, desc: false, nulls_last: true }).collect::<Vec<_>>()
    };
    for id in 0..200 {
        let desc_tail = ColumnOrder { column: 1, desc: true, nulls_last: false };
        let order = match rng.below(3) {
            0 => by(&[]),
            1 => by(&[0]),
            _ => by(&[0]).into_iter().chain([desc_tail]).collect(),
        };
        let order = RowOrder { order, limit: Some(rng.below(40)), offset: rng.below(30) };
        let least = Scalar::compare(">", column(1), literal(rng.below(9) as i64), ScalarType::Int8);
        let mfp = Mfp::identity(vec![Kind::Int; 2]).filter([least]);
        let peek = |front, id| {
            let target = PeekTarget::Index { index: INDEX, lookup: None, front };
            Peek { target, mfp: mfp.clone(), order: order.clone(), ..all(id, 5) }
        };
        let expected = answer(&mut single, peek(0, 2 * id));
        assert_eq!(answer(&mut single, peek(1, 2 * id + 1)), expected, "{order:?}");
    }
}

fn answer(single: &mut Single, peek: Peek) -> Option<PeekOutcome> {
    let id = single.peek(peek);
    single.answer(id)
}

#[test]
fn order_and_limit_keep_the_first_rows_of_the_process() {
    let mut single = indexed();
    single.advance(5);
    let by_value = |desc| vec![ColumnOrder { column: 1, desc, nulls_last: true }];
    let order = |desc, limit, offset| RowOrder { order: by_value(desc), limit: Some(limit), offset };
    let id = single.peek(Peek { order: order(true, 2, 0), ..all(1, 4) });
    assert_eq!(single.answer(id), Some(rows(&[(row(2, 20), 2)])));
    let id = single.peek(Peek { order: order(false, 1, 2), ..all(2, 4) });
    assert_eq!(single.answer(id), Some(rows(&[(row(3, 5), 1), (row(2, 7), 1), (row(2, 20), 1)])));
    let id = single.peek(Peek { order: order(false, 0, 0), ..all(3, 4) });
    assert_eq!(single.answer(id), Some(rows(&[])));
}

#[test]
fn the_mfp_is_applied_and_its_errors_are_the_answer() {
    let mut single = indexed();
    single.advance(5);
    let mfp = Mfp::identity(vec![Kind::Int; 2])
        .filter([Scalar::compare("<", column(1), literal(10), ScalarType::Int8)])
        .project([1]);
    let id = single.peek(Peek { mfp, ..all(1, 4) });
    let values = [5, 7].map(|value| (Row::pack([Datum::Int(value)]), 1));
    assert_eq!(single.answer(id), Some(rows(&values)));
    let mfp = Mfp::identity(vec![Kind::Int; 2]).map([call("int8_div", vec![column(0), literal(0)])]);
    let id = single.peek(Peek { mfp, ..all(2, 4) });
    assert_eq!(single.answer(id), Some(PeekOutcome::Error(EvalError::division_by_zero())));
}

#[test]
fn a_result_above_its_maximum_is_refused() {
    let mut single = indexed();
    single.advance(5);
    let id = single.peek(Peek { result_bytes_max: 8, ..all(1, 4) });
    let Some(PeekOutcome::Error(error)) = single.answer(id) else { panic!("the result is too large") };
    assert_eq!(error.code(), "53200");
    // A limit that leaves little is fine, however much was looked at.
    let order = RowOrder { limit: Some(1), ..RowOrder::default() };
    let id = single.peek(Peek { result_bytes_max: 8, order, ..all(2, 4) });
    assert!(matches!(single.answer(id), Some(PeekOutcome::Rows(_))));
}

#[test]
fn a_complete_index_answers_at_every_time() {
    let constant = Relation::constant([vec![Datum::Int(1), Datum::Int(10)]], vec![int8(), int8()]);
    let mut single = Single::new(BTreeMap::new());
    single.create(&indexed_object(&constant, Vec::new(), Lowering::default()));
    single.settle();
    assert_eq!(single.frontier(INDEX), Some(Timestamp::MAX.micros()));
    let id = single.peek(Peek { at: Timestamp::new(1 << 60), ..all(1, 0) });
    assert_eq!(single.answer(id), Some(rows(&[(row(1, 10), 1)])));
}

#[test]
fn commands_of_an_earlier_connection_prove_nothing_to_a_peek() {
    let mut single = Single::new(BTreeMap::from([(ShardId(0), history())]));
    for _ in 0..5 {
        single.handle(ComputeCommand::InitializationComplete);
    }
    single.peeks.reset(uuid::Uuid::from_u128(2));
    // The workers have not seen the new connection's Hello yet.
    let id = single.peek(Peek { after: 2, ..all(1, 0) });
    single.handle(ComputeCommand::InitializationComplete);
    assert_eq!(single.answer(id), None);
    single.restart_sequence();
    single.handle(crate::harness::hello(1, 2));
    single.create(&indexed_object(&input(0, 2), vec![shard_import(0, 2)], Lowering::default()));
    single.advance(1);
    assert!(matches!(single.answer(id), Some(PeekOutcome::Rows(_))));
}
