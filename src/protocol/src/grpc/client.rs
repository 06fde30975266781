//! The controller's side: a link over gRPC.

use std::time::Duration;

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stdx::Tasks;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::grpc::address::Address;
use crate::grpc::frame::{self, Assembler, GRPC_MESSAGE_BYTES_MAX};
use crate::grpc::generated::computectl::computectl_client::ComputectlClient;
use crate::grpc::generated::control::Frame;
use crate::grpc::generated::storagectl::storagectl_client::StoragectlClient;
use crate::link::{ComputeDuplex, Duplex, LINK_CAPACITY, Link, LinkError, StorageDuplex};
use crate::tls::Guard;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// Reaches one process over TCP, with or without TLS, or Unix sockets.
#[derive(Clone)]
pub struct GrpcLink {
    tasks: Tasks,
    storage: Address,
    compute: Address,
    guard: Option<Guard>,
}

impl GrpcLink {
    /// With a guard, what is reached over TCP must prove that it is the process that is meant.
    pub fn new(tasks: Tasks, storage: Address, compute: Address, guard: Option<Guard>) -> GrpcLink {
        GrpcLink { tasks, storage, compute, guard }
    }
}

#[async_trait]
impl Link for GrpcLink {
    async fn compute(&self) -> Result<ComputeDuplex, LinkError> {
        let mut client = ComputectlClient::new(connect(&self.compute, self.guard.as_ref()).await?)
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX);
        let (sender, frames) = outgoing("computectl commands");
        let response = client.control(frames).await.map_err(|status| refused(&self.compute, &status))?;
        let receiver = incoming(&self.tasks, "computectl responses", response.into_inner());
        Ok(Duplex { sender, receiver })
    }

    async fn storage(&self) -> Result<StorageDuplex, LinkError> {
        let mut client = StoragectlClient::new(connect(&self.storage, self.guard.as_ref()).await?)
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX);
        let (sender, frames) = outgoing("storagectl commands");
        let response = client.control(frames).await.map_err(|status| refused(&self.storage, &status))?;
        let receiver = incoming(&self.tasks, "storagectl responses", response.into_inner());
        Ok(Duplex { sender, receiver })
    }
}

fn refused(peer: &Address, status: &tonic::Status) -> LinkError {
    LinkError { peer: peer.to_string(), reason: format!("{}: {}", status.code(), status.message()) }
}

async fn connect(address: &Address, guard: Option<&Guard>) -> Result<Channel, LinkError> {
    let failed = |error: tonic::transport::Error| {
        // tonic's own text says only "transport error".
        LinkError { peer: address.to_string(), reason: stdx::with_causes(&error) }
    };
    let endpoint = Endpoint::from_shared(address.uri())
        .map_err(failed)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(Some(16 << 20))
        .initial_connection_window_size(Some(32 << 20));
    let Some(guard) = guard else { return endpoint.connect().await.map_err(failed) };
    let (address, guard) = (address.clone(), guard.clone());
    let connector = tower::service_fn(move |_: Uri| {
        let (address, guard) = (address.clone(), guard.clone());
        async move { address.connect(Some(&guard)).await.map(TokioIo::new) }
    });
    endpoint.connect_with_connector(connector).await.map_err(failed)
}

/// A channel whose messages leave as frames. A message that cannot be encoded ends the stream, and so the connection.
pub(crate) fn outgoing<T: Serialize + Send + 'static>(
    what: &'static str,
) -> (mpsc::Sender<T>, impl Stream<Item = Frame> + Send + 'static) {
    let (sender, receiver) = mpsc::channel::<T>(LINK_CAPACITY);
    let frames = ReceiverStream::new(receiver)
        .map(move |message| frame::encode(&message))
        .take_while(move |encoded| {
            if let Err(error) = encoded {
                tracing::error!(%error, what, "closing a control connection: a message cannot be sent");
            }
            std::future::ready(encoded.is_ok())
        })
        .flat_map(|encoded| futures::stream::iter(encoded.unwrap_or_default()));
    (sender, frames)
}

/// A channel that yields the messages of a stream of frames, and ends when the stream does.
pub(crate) fn incoming<T: DeserializeOwned + Send + 'static>(
    tasks: &Tasks,
    what: &'static str,
    mut frames: tonic::Streaming<Frame>,
) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel(LINK_CAPACITY);
    let pump = async move {
        let mut assembler = Assembler::default();
        loop {
            let frame = tokio::select! {
                frame = frames.message() => frame,
                () = sender.closed() => return,
            };
            let message = match frame {
                Ok(Some(frame)) => assembler.push(frame),
                Ok(None) => return,
                Err(status) => {
                    tracing::debug!(%status, what, "control connection ended");
                    return;
                }
            };
            match message {
                Ok(Some(message)) => {
                    if sender.send(message).await.is_err() {
                        return;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, what, "closing a control connection: its peer sent garbage");
                    return;
                }
            }
        }
    };
    // The task ends with the connection or when the receiver is dropped, so it needs no owner.
    tasks.spawn(what, pump).detach();
    receiver
}
