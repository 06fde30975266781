//! Which controllers are let in.

use protocol::grpc::ComputeServerDuplex;
use protocol::{ComputeCommand, ComputeResponse, Hello, Sequenced};
use uuid::Uuid;

use super::*;

fn hello(nonce: u128, epoch: u64, generation: u64) -> Hello {
    let log_id = Uuid::from_u128(1);
    Hello { log_id, nonce: Uuid::from_u128(nonce), epoch, generation, version: "test".to_owned() }
}

/// Says hello on a new connection.
fn connect(world: &mut World, hello: Hello) -> ComputeDuplex {
    let (ours, theirs): (ComputeDuplex, ComputeServerDuplex) = pair();
    world.process().accept_compute(theirs);
    let command = ComputeCommand::Hello(hello);
    ours.sender.try_send(Sequenced { sequence: 0, command }).unwrap();
    ours
}

/// The next response that is not a sign of life; None: closed.
fn next(world: &mut World, mut duplex: ComputeDuplex) -> (Option<ComputeResponse>, ComputeDuplex) {
    world.wait(async move {
        loop {
            match duplex.receiver.recv().await {
                Some(ComputeResponse::Status { .. }) => {}
                response => return (response, duplex),
            }
        }
    })
}

fn welcome(nonce: u128) -> Option<ComputeResponse> {
    Some(ComputeResponse::Welcome { nonce: Uuid::from_u128(nonce) })
}

#[test]
fn a_stale_controller_is_refused_and_displaces_nobody() {
    let mut world = World::new(1);
    let first = connect(&mut world, hello(1, 5, 2));
    let (response, first) = next(&mut world, first);
    assert_eq!(response, welcome(1));
    for stale in [hello(2, 4, 2), hello(3, 5, 1), Hello { version: "other".to_owned(), ..hello(4, 9, 9) }] {
        let refused = connect(&mut world, stale);
        assert_eq!(next(&mut world, refused).0, None);
    }
    assert!(!first.sender.is_closed());
    let second = connect(&mut world, hello(5, 6, 2));
    let (response, second) = next(&mut world, second);
    assert_eq!(response, welcome(5));
    assert_eq!(next(&mut world, first).0, None);
    // Of another log, epochs begin anew.
    let restored = connect(&mut world, Hello { log_id: Uuid::from_u128(2), ..hello(6, 1, 1) });
    assert_eq!(next(&mut world, restored).0, welcome(6));
    assert_eq!(next(&mut world, second).0, None);
}

#[test]
fn a_connection_that_says_no_hello_is_closed() {
    let mut world = World::new(1);
    let (ours, theirs): (ComputeDuplex, ComputeServerDuplex) = pair();
    world.process().accept_compute(theirs);
    assert_eq!(next(&mut world, ours).0, None);
    let (ours, theirs): (ComputeDuplex, ComputeServerDuplex) = pair();
    world.process().accept_compute(theirs);
    let command = ComputeCommand::InitializationComplete;
    ours.sender.try_send(Sequenced { sequence: 0, command }).unwrap();
    assert_eq!(next(&mut world, ours).0, None);
}

#[test]
fn responses_for_a_connection_yet_to_come_are_kept_for_it() {
    let outbox = crate::outbox::Outbox::new(1);
    let (old, new) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let lane = &outbox.compute;
    let status = |uptime_ms| ComputeResponse::Status { uptime_ms };
    lane.accept(old);
    lane.push(old, [status(1)]);
    lane.push(new, [status(2)]);
    lane.push(old, [status(3)]);
    lane.accept(new);
    lane.push(old, [status(4)]);
    lane.push(new, [status(5)]);
    let mut world = World::new(1);
    let said = world.wait(async move {
        assert_eq!(outbox.compute.next(old).await, None);
        [outbox.compute.next(new).await, outbox.compute.next(new).await]
    });
    assert_eq!(said, [Some(status(2)), Some(status(5))]);
}
