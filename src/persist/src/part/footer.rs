//! The footer of a file: which part it is, where its blocks are and what is in them.

use std::ops::Range;

use bytes::Bytes;
use repr::Timestamp;

use super::statistics::Statistics;
use super::{CorruptPart, MAGIC};
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::encode::check_version;
use crate::op::HollowPart;

/// Length and checksum of the footer, and the magic.
pub(crate) const TRAILER_BYTES: usize = 12;

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockMeta {
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
    pub(crate) updates: usize,
    pub(crate) t_min: Timestamp,
    pub(crate) t_max: Timestamp,
    /// No row is less: its first bytes.
    pub(crate) first: Vec<u8>,
    pub(crate) statistics: Statistics,
}

/// What stands behind the blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// A file that was put in another's place is found out by it.
    pub(crate) key: String,
    pub(crate) updates: u64,
    /// Of the whole part.
    pub(crate) statistics: Statistics,
    pub(crate) blocks: Vec<BlockMeta>,
}

impl Footer {
    /// Appends footer and trailer.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut footer = Encoder::default();
        footer.varint(u64::from(crate::encode::FORMAT_VERSION));
        footer.bytes(self.key.as_bytes());
        footer.varint(self.updates);
        self.statistics.encode(&mut footer);
        footer.count(self.blocks.len());
        for BlockMeta { offset, bytes, updates, t_min, t_max, first, statistics } in &self.blocks {
            footer.count(*offset);
            footer.count(*bytes);
            footer.count(*updates);
            footer.time(*t_min);
            footer.time(*t_max);
            footer.bytes(first);
            statistics.encode(&mut footer);
        }
        let footer = footer.0;
        let length = u32::try_from(footer.len()).expect("a part of at most 64 MiB and a row has a short footer");
        out.extend_from_slice(&footer);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
        out.extend_from_slice(MAGIC);
    }

    /// Where the footer is in a file that ends as `tail` does. Errors: `tail` is no end of a part.
    pub(crate) fn span(part: &HollowPart, tail: &[u8]) -> Result<Range<usize>, CorruptPart> {
        let length = usize::try_from(part.bytes).unwrap_or(usize::MAX);
        let corrupt = || CorruptPart::new(&part.key, length.saturating_sub(TRAILER_BYTES), "trailer");
        let trailer = tail.last_chunk::<TRAILER_BYTES>().ok_or_else(corrupt)?;
        let footer_bytes = word(trailer, 0);
        if &trailer[8..] != MAGIC || footer_bytes > length.saturating_sub(MAGIC.len() + TRAILER_BYTES) {
            return Err(corrupt());
        }
        let end = length - TRAILER_BYTES;
        Ok(end - footer_bytes..end)
    }

    /// Reads footer and trailer, which `bytes` are, from `start` on in the file.
    pub(crate) fn decode(part: &HollowPart, start: usize, bytes: Bytes) -> Result<Footer, CorruptPart> {
        let corrupt = |cause: &str| CorruptPart::new(&part.key, start, cause);
        let end = bytes.len().checked_sub(TRAILER_BYTES).ok_or_else(|| corrupt("footer is cut off"))?;
        if crc32c::crc32c(&bytes[..end]) as usize != word(&bytes[end..], 4) {
            return Err(corrupt("footer checksum does not match"));
        }
        let footer = read(bytes.slice(..end)).map_err(|error| corrupt(&error.to_string()))?;
        if footer.key != part.key {
            return Err(CorruptPart::new(&part.key, start, &format!("this is part {}", footer.key)));
        }
        let mut at = MAGIC.len();
        for block in &footer.blocks {
            if block.offset != at || block.bytes > start.saturating_sub(at) {
                return Err(corrupt("blocks do not follow one another"));
            }
            at += block.bytes;
        }
        if at != start || footer.updates != part.updates {
            return Err(corrupt("the footer says other than the log does"));
        }
        Ok(footer)
    }
}

fn word(trailer: &[u8], at: usize) -> usize {
    u32::from_le_bytes(trailer[at..at + 4].try_into().expect("four bytes")) as usize
}

/// What a footer says, believed.
pub(crate) fn read(bytes: Bytes) -> Result<Footer, DecodeError> {
    let mut input = Decoder(bytes);
    check_version(&mut input)?;
    let (key, updates) = (input.string()?, input.varint()?);
    let statistics = Statistics::decode(&mut input)?;
    let size = |input: &mut Decoder| usize::try_from(input.varint()?).map_err(|_| DecodeError::Damaged("size"));
    let mut blocks = Vec::new();
    for _ in 0..input.count()? {
        blocks.push(BlockMeta {
            offset: size(&mut input)?,
            bytes: size(&mut input)?,
            updates: size(&mut input)?,
            t_min: input.time()?,
            t_max: input.time()?,
            first: input.bytes()?.to_vec(),
            statistics: Statistics::decode(&mut input)?,
        });
    }
    input.end()?;
    Ok(Footer { key, updates, statistics, blocks })
}
