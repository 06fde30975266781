//! Subscriptions: complete intervals, one after another.

use std::collections::BTreeMap;

use expr::EvalError;
use protocol::compute::{ComputeCommand, ComputeResponse};
use protocol::dataflow::{Dataflow, Export};
use repr::{CollectionId, Datum, Row, ShardId, Timestamp};

use crate::harness::{Update, hello};
use crate::shard_import;
use crate::single::Single;

const ID: CollectionId = CollectionId::Transient(1);

fn row(value: i64) -> Row {
    Row::pack([Datum::Int(value)])
}

fn history() -> Vec<Update> {
    vec![
        (Ok(row(1)), 0, 1),
        (Ok(row(2)), 1, 1),
        (Ok(row(1)), 2, -1),
        (Ok(row(1)), 3, 1),
        (Ok(row(1)), 3, -1),
        (Ok(row(3)), 5, 2),
        (Err(EvalError::division_by_zero()), 7, 1),
    ]
}

fn subscribe(as_of: u64, with_snapshot: bool, up_to: Option<u64>) -> Dataflow {
    let on = CollectionId::User(0);
    let up_to = up_to.map(Timestamp::new);
    Dataflow {
        name: "subscribe".to_owned(),
        imports: vec![shard_import(0, 1)],
        objects: Vec::new(),
        exports: vec![Export::Subscribe { id: ID, on, with_snapshot, up_to }],
        as_of: Timestamp::new(as_of),
        until: up_to,
    }
}

fn single(dataflow: &Dataflow) -> Single {
    let mut single = Single::new(BTreeMap::from([(ShardId(0), history())]));
    single.create(dataflow);
    single.handle(ComputeCommand::InitializationComplete);
    single
}

/// What came in, an interval a line: `[lower, upper) value@time±diff ...`.
fn transcript(single: &Single) -> Vec<String> {
    let mut lines = Vec::new();
    for response in &single.responses {
        let ComputeResponse::Subscribe { lower, upper, updates, .. } = response else { continue };
        let text = match updates {
            Ok(updates) => updates
                .iter()
                .map(|(row, time, diff)| {
                    format!(" {}@{time:?}{diff:?}", row.unpack_first(repr::Kind::Int).unwrap_int())
                })
                .collect(),
            Err(error) => format!(" ERROR {}", error.code()),
        };
        lines.push(format!("[{lower:?}, {upper:?}){text}"));
    }
    lines
}

#[test]
fn intervals_are_complete_and_consolidated() {
    let mut single = single(&subscribe(1, true, None));
    single.advance(2);
    single.advance(4);
    single.advance(7);
    assert_eq!(transcript(&single), ["[1, 2) 1@1+1 2@1+1", "[2, 4) 1@2-1", "[4, 7) 3@5+2"]);
}

#[test]
fn without_snapshot_only_later_changes_come() {
    let mut single = single(&subscribe(1, false, None));
    single.advance(6);
    assert_eq!(transcript(&single), ["[1, 6) 1@2-1 3@5+2"]);
}

#[test]
fn up_to_ends_the_subscription() {
    let mut single = single(&subscribe(0, true, Some(5)));
    single.advance(9);
    single.advance(12);
    assert_eq!(transcript(&single).last().map(String::as_str), Some("[0, 5) 1@0+1 2@1+1 1@2-1"));
    assert_eq!(transcript(&single).len(), 1);
}

#[test]
fn an_error_ends_the_subscription_at_its_time() {
    let mut single = single(&subscribe(4, false, None));
    single.advance(9);
    single.advance(12);
    assert_eq!(transcript(&single), ["[4, 7) 3@5+2", "[7, 9) ERROR 22012"]);
}

#[test]
fn a_subscription_ends_with_its_connection() {
    let mut single = single(&subscribe(0, true, None));
    single.advance(2);
    single.handle(hello(1, 2));
    single.handle(ComputeCommand::InitializationComplete);
    single.advance(6);
    assert_eq!(transcript(&single).len(), 1);
    assert!(!single.has_dataflows());
}
