//! Messages to frames and back.

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::grpc::generated::control::Frame;

/// Payload bytes of one frame.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// What tonic accepts as one gRPC message; leaves room for the frame's own encoding.
pub const GRPC_MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Bytes of one message over all of its frames. A peer that sends more is cut off.
pub const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// The peer sent what is no message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a message exceeds {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    #[error("malformed message: {0}")]
    Malformed(#[from] postcard::Error),
}

/// Encodes a message as the frames that carry it, at least one.
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Vec<Frame>, FrameError> {
    let mut rest = Bytes::from(postcard::to_stdvec(message)?);
    if rest.len() > MESSAGE_BYTES_MAX {
        return Err(FrameError::TooLong);
    }
    let mut frames = Vec::with_capacity(rest.len() / FRAME_BYTES_MAX + 1);
    while rest.len() > FRAME_BYTES_MAX {
        frames.push(Frame { payload: rest.split_to(FRAME_BYTES_MAX), last: false });
    }
    frames.push(Frame { payload: rest, last: true });
    Ok(frames)
}

/// Puts a message together from its frames.
#[derive(Default)]
pub(crate) struct Assembler {
    parts: BytesMut,
}

impl Assembler {
    /// Takes the next frame; yields the message that it ends.
    pub(crate) fn push<T: DeserializeOwned>(&mut self, frame: Frame) -> Result<Option<T>, FrameError> {
        if self.parts.len() + frame.payload.len() > MESSAGE_BYTES_MAX {
            return Err(FrameError::TooLong);
        }
        if self.parts.is_empty() && frame.last {
            return Ok(Some(postcard::from_bytes(&frame.payload)?));
        }
        self.parts.extend_from_slice(&frame.payload);
        if !frame.last {
            return Ok(None);
        }
        let message = std::mem::take(&mut self.parts);
        Ok(Some(postcard::from_bytes(&message)?))
    }
}
