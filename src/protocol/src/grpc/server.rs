//! clusterd's side: services that hand each new connection to whoever accepts controllers.

use std::pin::Pin;

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use stdx::Tasks;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use crate::grpc::client::{incoming, outgoing};
use crate::grpc::frame::GRPC_MESSAGE_BYTES_MAX;
use crate::grpc::generated::computectl::computectl_server::{Computectl, ComputectlServer};
use crate::grpc::generated::control::Frame;
use crate::grpc::generated::storagectl::storagectl_server::{Storagectl, StoragectlServer};
use crate::link::Duplex;
use crate::{ComputeCommand, ComputeResponse, Sequenced, StorageCommand, StorageResponse};

/// The replica's end of computectl.
pub type ComputeServerDuplex = Duplex<ComputeResponse, Sequenced<ComputeCommand>>;
/// The replica's end of storagectl.
pub type StorageServerDuplex = Duplex<StorageResponse, Sequenced<StorageCommand>>;

type FrameStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

/// The computectl service; each connection appears at the other end of `accept`.
pub fn compute_service(tasks: Tasks, accept: mpsc::Sender<ComputeServerDuplex>) -> ComputectlServer<impl Computectl> {
    ComputectlServer::new(ComputeService { tasks, accept })
        .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX)
}

/// The storagectl service; each connection appears at the other end of `accept`.
pub fn storage_service(tasks: Tasks, accept: mpsc::Sender<StorageServerDuplex>) -> StoragectlServer<impl Storagectl> {
    StoragectlServer::new(StorageService { tasks, accept })
        .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX)
}

struct ComputeService {
    tasks: Tasks,
    accept: mpsc::Sender<ComputeServerDuplex>,
}

#[async_trait]
impl Computectl for ComputeService {
    type ControlStream = FrameStream;

    async fn control(&self, request: Request<Streaming<Frame>>) -> Result<Response<FrameStream>, Status> {
        let receiver = incoming(&self.tasks, "computectl commands", request.into_inner());
        let (sender, frames) = outgoing("computectl responses");
        let duplex = Duplex { sender, receiver };
        self.accept.send(duplex).await.map_err(|_| Status::unavailable("shutting down"))?;
        Ok(Response::new(Box::pin(frames.map(Ok))))
    }
}

struct StorageService {
    tasks: Tasks,
    accept: mpsc::Sender<StorageServerDuplex>,
}

#[async_trait]
impl Storagectl for StorageService {
    type ControlStream = FrameStream;

    async fn control(&self, request: Request<Streaming<Frame>>) -> Result<Response<FrameStream>, Status> {
        let receiver = incoming(&self.tasks, "storagectl commands", request.into_inner());
        let (sender, frames) = outgoing("storagectl responses");
        let duplex = Duplex { sender, receiver };
        self.accept.send(duplex).await.map_err(|_| Status::unavailable("shutting down"))?;
        Ok(Response::new(Box::pin(frames.map(Ok))))
    }
}
