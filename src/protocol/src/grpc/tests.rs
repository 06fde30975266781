//! Links over real sockets.

use std::sync::Arc;

use repr::{CollectionId, Timestamp};
use stdx::Tasks;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::*;
use crate::link::Link;
use crate::{ComputeCommand, ComputeResponse, Hello, PeekOutcome, Sequenced, StorageCommand, StorageResponse};

fn hello() -> Hello {
    let (log_id, nonce) = (Uuid::from_u128(1), Uuid::from_u128(2));
    Hello { log_id, nonce, epoch: 3, generation: 4, version: "v".to_owned() }
}

struct Replica {
    link: Arc<dyn Link>,
    compute: mpsc::Receiver<ComputeServerDuplex>,
    storage: mpsc::Receiver<StorageServerDuplex>,
    _servers: Vec<stdx::Task>,
    _directory: tempfile::TempDir,
}

async fn replica() -> Replica {
    let tasks = Tasks::tokio();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| Address::Unix(directory.path().join(name));
    let (compute_sender, compute) = mpsc::channel(1);
    let (storage_sender, storage) = mpsc::channel(1);
    let computectl = Listener::bind(&path("c")).await.unwrap();
    let storagectl = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let link = GrpcLink::new(tasks.clone(), storagectl.address().unwrap(), computectl.address().unwrap(), None);
    let compute_server =
        tonic::transport::Server::builder().add_service(compute_service(tasks.clone(), compute_sender));
    let storage_server =
        tonic::transport::Server::builder().add_service(storage_service(tasks.clone(), storage_sender));
    let servers = vec![
        tasks.spawn("computectl", async move {
            compute_server.serve_with_incoming(computectl.incoming(None)).await.unwrap();
        }),
        tasks.spawn("storagectl", async move {
            storage_server.serve_with_incoming(storagectl.incoming(None)).await.unwrap();
        }),
    ];
    Replica { link: Arc::new(link), compute, storage, _servers: servers, _directory: directory }
}

#[tokio::test]
async fn messages_of_any_size_cross_a_link_in_order() {
    let mut replica = replica().await;
    let controller = replica.link.compute().await.unwrap();
    let mut process = replica.compute.recv().await.unwrap();

    let command = Sequenced { sequence: 1, command: ComputeCommand::Hello(hello()) };
    controller.sender.send(command.clone()).await.unwrap();
    assert_eq!(process.receiver.recv().await.unwrap(), command);

    // Larger than a gRPC message may be.
    let text = "x".repeat(GRPC_MESSAGE_BYTES_MAX + FRAME_BYTES_MAX / 2);
    let large = ComputeResponse::Peek {
        id: Uuid::from_u128(7),
        outcome: PeekOutcome::Error(expr::EvalError::new("XX000", text)),
    };
    let small = ComputeResponse::Frontier { id: CollectionId::User(1), upper: Timestamp::new(5) };
    let mut receiver = controller.receiver;
    process.sender.send(large.clone()).await.unwrap();
    process.sender.send(small.clone()).await.unwrap();
    assert_eq!(receiver.recv().await.unwrap(), large);
    assert_eq!(receiver.recv().await.unwrap(), small);

    let storage = replica.link.storage().await.unwrap();
    let mut process = replica.storage.recv().await.unwrap();
    let command = Sequenced { sequence: 1, command: StorageCommand::Hello(hello()) };
    storage.sender.send(command.clone()).await.unwrap();
    assert_eq!(process.receiver.recv().await.unwrap(), command);
    let response = StorageResponse::Alive { uptime_ms: 9 };
    process.sender.send(response.clone()).await.unwrap();
    let mut receiver = storage.receiver;
    assert_eq!(receiver.recv().await.unwrap(), response);
}

#[tokio::test]
async fn each_end_sees_the_other_go() {
    let mut replica = replica().await;
    let controller = replica.link.compute().await.unwrap();
    let mut process = replica.compute.recv().await.unwrap();
    drop(controller);
    assert!(process.receiver.recv().await.is_none());

    let mut controller = replica.link.compute().await.unwrap();
    let process = replica.compute.recv().await.unwrap();
    drop(process);
    assert!(controller.receiver.recv().await.is_none());
}

#[tokio::test]
async fn a_socket_nobody_listens_on_is_replaced_and_a_live_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let address = Address::Unix(directory.path().join("s"));
    let first = Listener::bind(&address).await.unwrap();
    assert!(Listener::bind(&address).await.is_err());
    drop(first);
    Listener::bind(&address).await.unwrap();
}

#[test]
fn addresses_are_parsed_or_refused() {
    for good in ["127.0.0.1:0", "localhost:2100", "[::1]:5", "unix:/tmp/s"] {
        assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
    }
    for bad in ["", "x", ":1", "h:", "h:70000", "unix:"] {
        assert!(bad.parse::<Address>().is_err(), "{bad}");
    }
    assert!("127.0.0.1:1".parse::<Address>().unwrap().is_local());
    assert!(!"0.0.0.0:1".parse::<Address>().unwrap().is_local());
}
