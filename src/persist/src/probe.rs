//! Decoders of what comes from disks and networks, for fuzzing only.

use bytes::Bytes;
use prost::Message;
use repr::Timestamp;

use crate::op::{HollowPart, Part};
use crate::part::{PartReader, Update};
use crate::service::{check_part, part_of_proto, proto};

/// Reads a part's file through.
pub fn part(bytes: Bytes) -> Result<Vec<Update>, String> {
    let length = bytes.len() as u64;
    let (t_min, t_max) = (Timestamp::MIN, Timestamp::MAX);
    let part = HollowPart { key: "part".to_owned(), bytes: length, updates: 0, t_min, t_max, statistics: Bytes::new() };
    let mut reader = PartReader::file(&part, bytes).map_err(|error| error.to_string())?;
    let mut updates = Vec::new();
    while let Some(block) = reader.next_block() {
        updates.extend(block.map_err(|error| error.to_string())?);
    }
    Ok(updates)
}

/// Takes a frame as the server takes an append and as the client takes a piece; whether either of them accepts it.
pub fn shardctl_frame(bytes: Bytes) -> Result<(), String> {
    let append = append(bytes.clone());
    let piece = proto::SubscribePiece::decode(bytes).map_err(|error| error.to_string());
    let piece = piece.and_then(|piece| piece.parts.into_iter().try_for_each(check));
    append.or(piece)
}

fn append(bytes: Bytes) -> Result<(), String> {
    let request = proto::AppendRequest::decode(bytes).map_err(|error| error.to_string())?;
    request.parts.into_iter().try_for_each(check)
}

fn check(part: proto::Part) -> Result<(), String> {
    let part: Part = part_of_proto(part)?;
    check_part(&part, Timestamp::MIN, Timestamp::MAX).map(drop)
}
