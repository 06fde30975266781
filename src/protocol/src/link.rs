//! Connections between a controller and a replica's process: gRPC streams, or channels in the simulation.

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::{ComputeCommand, ComputeResponse, Sequenced, StorageCommand, StorageResponse};

/// Messages that may wait on either side of a link before the sender waits too.
pub const LINK_CAPACITY: usize = 1024;

/// One established connection. Either side ends it by dropping its half.
pub struct Duplex<Out, In> {
    pub sender: mpsc::Sender<Out>,
    pub receiver: mpsc::Receiver<In>,
}

/// Two joined ends, in this process.
pub fn pair<A, B>() -> (Duplex<A, B>, Duplex<B, A>) {
    let (left_sender, right_receiver) = mpsc::channel(LINK_CAPACITY);
    let (right_sender, left_receiver) = mpsc::channel(LINK_CAPACITY);
    (Duplex { sender: left_sender, receiver: left_receiver }, Duplex { sender: right_sender, receiver: right_receiver })
}

/// The peer could not be reached or refused; the caller tries again.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {peer}: {reason}")]
pub struct LinkError {
    pub peer: String,
    pub reason: String,
}

/// The controller's end of computectl, for one process of a replica.
pub type ComputeDuplex = Duplex<Sequenced<ComputeCommand>, ComputeResponse>;
/// The controller's end of storagectl.
pub type StorageDuplex = Duplex<Sequenced<StorageCommand>, StorageResponse>;

/// Reaches one process of a replica. Two implementations: gRPC and the simulation's channels.
#[async_trait]
pub trait Link: Send + Sync + 'static {
    async fn compute(&self) -> Result<ComputeDuplex, LinkError>;
    async fn storage(&self) -> Result<StorageDuplex, LinkError>;
}
