//! Decoders of what comes from disks and networks, for fuzzing only.

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use prost::Message;
use repr::Timestamp;

use crate::blob::memory_blob;
use crate::columns::Columns;
use crate::op::{HollowPart, Part};
use crate::part::{Footer, Update, read_footer};
use crate::read::{PartStream, Wanted};
use crate::service::{check_part, part_of_proto, proto};

/// Reads a part's file through, as the part that it says it is.
pub fn part(bytes: Bytes) -> Result<Vec<Update>, String> {
    let length = bytes.len() as u64;
    let (t_min, t_max) = (Timestamp::MIN, Timestamp::MAX);
    let mut part = HollowPart { key: String::new(), bytes: length, updates: 0, t_min, t_max, statistics: Bytes::new() };
    let span = Footer::span(&part, &bytes).map_err(|error| error.to_string())?;
    let claimed = read_footer(bytes.slice(span)).map_err(|error| error.to_string())?;
    (part.key, part.updates) = (claimed.key, claimed.updates);
    futures::executor::block_on(read_through(part, bytes))
}

async fn read_through(part: HollowPart, bytes: Bytes) -> Result<Vec<Update>, String> {
    let blob = memory_blob();
    blob.put(&Path::from(part.key.as_str()), bytes.into()).await.map_err(|error| error.to_string())?;
    let opened = PartStream::open(Some(&blob), &Part::Hollow(part), Wanted::everything(Columns::default())).await;
    let mut stream = opened.map_err(|error| error.to_string())?;
    let mut updates = Vec::new();
    while let Some(block) = stream.next_block().await {
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
