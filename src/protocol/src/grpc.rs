//! storagectl and computectl as gRPC services: one bidirectional stream of frames for each protocol and process.
//!
//! A message is encoded by derive (both sides are of one version, which `Hello` checks) and cut into frames, so that no
//! gRPC message exceeds [`GRPC_MESSAGE_BYTES_MAX`] however large a subscribe batch or a constant is.
//! Reading order: `address`, `frame`, `client`, `server`.

mod address;
mod client;
mod frame;
mod server;

pub use address::{Address, Connection, Incoming, Listener, ParseAddressError};
pub use client::GrpcLink;
pub use frame::{FRAME_BYTES_MAX, FrameError, GRPC_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX};
pub use server::{ComputeServerDuplex, StorageServerDuplex, compute_service, storage_service};

/// Generated from `proto/`.
#[allow(unreachable_pub, clippy::all, reason = "generated code")]
pub(crate) mod generated {
    pub mod control {
        tonic::include_proto!("control");
    }
    pub mod computectl {
        tonic::include_proto!("computectl");
    }
    pub mod storagectl {
        tonic::include_proto!("storagectl");
    }
}

#[cfg(test)]
mod tests;
