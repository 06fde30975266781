//! Sockets that stand for connections.

use std::io::{Read, Write};

use tokio::net::TcpStream;

use super::frames::tests::header;
use super::*;

/// A message as timely sends it, its header first.
fn message(length: usize) -> Vec<u8> {
    [header(length), vec![7; length]].concat()
}

/// A socket as timely gets it, and the peer's end of the connection it stands for.
async fn carried() -> (UnixStream, TcpStream, Task) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap());
    let (peer, accepted) = futures::future::try_join(peer, listener.accept()).await.unwrap();
    let (end, carrier) = carry(&Tasks::tokio(), Connection::Tcp(accepted.0)).unwrap();
    (end, peer, carrier)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_carried_both_ways() {
    let (mut end, mut peer, _carrier) = carried().await;
    let sent = message(1 << 20);
    let (tasks, mut received) = (Tasks::tokio(), vec![0; sent.len()]);
    let (expected, mut writer) = (sent.clone(), end.try_clone().unwrap());
    let write = tasks.spawn_blocking("write", move || writer.write_all(&sent));
    let (written, read) = futures::future::join(write, peer.read_exact(&mut received)).await;
    written.unwrap();
    read.unwrap();
    assert_eq!(received, expected);
    let back = message(4);
    peer.write_all(&back).await.unwrap();
    let mut answer = vec![0; back.len()];
    end.read_exact(&mut answer).unwrap();
    assert_eq!(answer, back);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_ends_the_connection_before_it_is_passed_on() {
    let (mut end, mut peer, carrier) = carried().await;
    peer.write_all(&message(4)).await.unwrap();
    let mut short = vec![0; message(4).len()];
    end.read_exact(&mut short).unwrap();
    peer.write_all(&header(usize::MAX)).await.unwrap();
    assert_eq!(end.read(&mut [0; 64]).unwrap(), 0);
    carrier.ended().await;
    assert_eq!(peer.read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_either_end_closes_the_other() {
    let (mut end, peer, carrier) = carried().await;
    drop(peer);
    assert_eq!(end.read(&mut [0]).unwrap(), 0);
    drop(end);
    carrier.ended().await;

    let (end, mut peer, carrier) = carried().await;
    drop(end);
    assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
    drop(peer);
    carrier.ended().await;
}
