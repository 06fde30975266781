//! The voice of a process with several workers.

use compute::{ResponseMerger, Turn};
use expr::EvalError;
use protocol::compute::{ComputeResponse, SubscribeUpdates};
use repr::{CollectionId, Datum, Diff, Row, Timestamp};
use uuid::Uuid;

const ID: CollectionId = CollectionId::User(1);

fn turn(connection: u64, responses: Vec<ComputeResponse>) -> Turn {
    Turn { connection, nonce: Some(Uuid::from_u128(connection.into())), responses, dropped: Vec::new() }
}

fn frontier(upper: u64) -> ComputeResponse {
    ComputeResponse::Frontier { id: ID, upper: Timestamp::new(upper) }
}

fn interval(lower: u64, upper: u64, updates: SubscribeUpdates) -> ComputeResponse {
    ComputeResponse::Subscribe { id: ID, lower: Timestamp::new(lower), upper: Timestamp::new(upper), updates }
}

fn update(value: i64, time: u64, diff: i64) -> (Row, Timestamp, Diff) {
    (Row::pack([Datum::Int(value)]), Timestamp::new(time), Diff::new(diff))
}

fn push(merger: &mut ResponseMerger, worker: usize, responses: Vec<ComputeResponse>) -> Vec<ComputeResponse> {
    merger.push(worker, turn(1, responses)).map_or_else(Vec::new, |(_, merged)| merged)
}

#[test]
fn a_frontier_is_that_of_the_slowest_worker() {
    let mut merger = ResponseMerger::new(2);
    assert_eq!(push(&mut merger, 0, vec![frontier(5)]), []);
    assert_eq!(push(&mut merger, 1, vec![frontier(3)]), [frontier(3)]);
    assert_eq!(push(&mut merger, 1, vec![frontier(9)]), [frontier(5)]);
}

#[test]
fn an_interval_goes_out_when_all_workers_have_passed_it() {
    let mut merger = ResponseMerger::new(2);
    assert_eq!(push(&mut merger, 0, vec![interval(0, 4, Ok(vec![update(1, 1, 1), update(2, 3, 1)]))]), []);
    let merged = push(&mut merger, 1, vec![interval(0, 2, Ok(vec![update(1, 1, 2)]))]);
    assert_eq!(merged, [interval(0, 2, Ok(vec![update(1, 1, 3)]))]);
    let merged = push(&mut merger, 1, vec![interval(2, 6, Ok(vec![update(2, 3, -1), update(4, 5, 1)]))]);
    assert_eq!(merged, [interval(2, 4, Ok(vec![]))]);
}

#[test]
fn an_error_comes_after_what_was_before_it() {
    let error = EvalError::division_by_zero();
    let mut merger = ResponseMerger::new(2);
    assert_eq!(push(&mut merger, 0, vec![interval(0, 3, Ok(vec![])), interval(3, 5, Err(error.clone()))]), []);
    let merged = push(&mut merger, 1, vec![interval(0, 6, Ok(vec![update(1, 2, 1), update(2, 4, 1)]))]);
    assert_eq!(merged, [interval(0, 3, Ok(vec![update(1, 2, 1)])), interval(3, 6, Err(error))]);
    assert_eq!(push(&mut merger, 1, vec![interval(6, 9, Ok(vec![]))]), []);
}

#[test]
fn what_belongs_to_an_earlier_connection_is_dropped() {
    let mut merger = ResponseMerger::new(2);
    push(&mut merger, 0, vec![frontier(5)]);
    assert_eq!(merger.push(1, turn(2, vec![frontier(1)])), None);
    assert_eq!(merger.push(0, turn(1, vec![frontier(7)])), None);
    let merged = merger.push(0, turn(2, vec![frontier(2)]));
    assert_eq!(merged, Some((Uuid::from_u128(2), vec![frontier(1)])));
}
