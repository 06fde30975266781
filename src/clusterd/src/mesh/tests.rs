//! Sockets that stand for connections.

use std::io::{Read, Write};

use tokio::net::TcpStream;

use super::*;

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
    let (tasks, sent, mut received) = (Tasks::tokio(), vec![7; 1 << 20], vec![0; 1 << 20]);
    let (expected, mut writer) = (sent.clone(), end.try_clone().unwrap());
    let write = tasks.spawn_blocking("write", move || writer.write_all(&sent));
    let (written, read) = futures::future::join(write, peer.read_exact(&mut received)).await;
    written.unwrap();
    read.unwrap();
    assert_eq!(received, expected);
    peer.write_all(b"back").await.unwrap();
    let mut answer = [0; 4];
    end.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"back");
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
