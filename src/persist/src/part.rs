//! The part format: blocks of packed rows, times and differences, each compressed and checksummed.
//!
//! A hollow part is a file `magic, block.., footer, trailer`; an inline part is its blocks alone. Updates are sorted by
//! (row, time) and consolidated within a part. The byte tables are in `misc/doc/persist-format.md`.

mod block;
mod footer;
mod statistics;

use bytes::Bytes;
use repr::{Diff, Row, ShardId, Timestamp};

use self::block::{BlockWriter, read_block};
pub(crate) use self::footer::{BlockMeta, Footer, TRAILER_BYTES, read as read_footer};
pub(crate) use self::statistics::{Statistics, Summary};
use crate::columns::Columns;
use crate::op::HollowPart;

/// One change of a collection: a row, its time, and how its multiplicity changes.
pub type Update = (Row, Timestamp, Diff);

/// Blocks are closed once their rows are this long, or this many: decoded, a row of few bytes is much longer.
const BLOCK_BYTES: usize = 256 << 10;
const BLOCK_UPDATES: usize = 16 << 10;
/// A part that has grown this long is closed.
pub(crate) const PART_BYTES_MAX: usize = 64 << 20;

pub(crate) const MAGIC: &[u8; 4] = b"RPF1";

/// A part whose bytes are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}part {part} is damaged at offset {offset}: {cause}", shard.map_or_else(String::new, |shard| format!("{shard}: ")))]
pub struct CorruptPart {
    /// Where that is known.
    pub shard: Option<ShardId>,
    pub part: String,
    pub offset: usize,
    pub cause: String,
}

impl CorruptPart {
    pub(crate) fn new(part: &str, offset: usize, cause: &str) -> CorruptPart {
        CorruptPart { shard: None, part: part.to_owned(), offset, cause: cause.to_owned() }
    }
}

/// Sorts by (row, time), adds up equal ones and drops what cancels.
pub fn consolidate(updates: &mut Vec<Update>) {
    updates.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    updates.dedup_by(|next, kept| {
        let same = next.0 == kept.0 && next.1 == kept.1;
        if same {
            kept.2 = kept.2.plus(next.2);
        }
        same
    });
    updates.retain(|(_, _, diff)| !diff.is_zero());
}

/// Builds one part from sorted updates.
pub(crate) struct PartWriter {
    columns: Columns,
    block: BlockWriter,
    /// Of the block that is open.
    statistics: Statistics,
    /// The file so far, with its magic.
    file: Vec<u8>,
    blocks: Vec<BlockMeta>,
    updates: u64,
}

impl PartWriter {
    /// For rows of these columns.
    pub(crate) fn new(columns: Columns) -> PartWriter {
        PartWriter {
            block: BlockWriter::default(),
            statistics: Statistics::new(&columns),
            file: MAGIC.to_vec(),
            blocks: Vec::new(),
            updates: 0,
            columns,
        }
    }

    pub(crate) fn push(&mut self, row: &[u8], time: Timestamp, diff: Diff) {
        self.updates += 1;
        self.block.push(row, time, diff);
        self.statistics.add(&self.columns, row);
        if self.block.rows.len() >= BLOCK_BYTES || self.block.times.len() >= BLOCK_UPDATES {
            self.close_block();
        }
    }

    /// About how long the part is by now.
    pub(crate) fn len_bytes(&self) -> usize {
        self.file.len() + self.block.rows.len() + 4 * self.block.times.len()
    }

    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    fn close_block(&mut self) {
        let times = &self.block.times;
        let (Some(t_min), Some(t_max)) = (times.iter().min().copied(), times.iter().max().copied()) else { return };
        let (offset, updates) = (self.file.len(), times.len());
        let mut first = self.block.first_row().to_vec();
        first.truncate(statistics::FOOTER_BOUND_BYTES);
        let mut statistics = std::mem::replace(&mut self.statistics, Statistics::new(&self.columns));
        statistics.cut(statistics::FOOTER_BOUND_BYTES);
        self.block.finish(self.columns.len(), &mut self.file);
        let bytes = self.file.len() - offset;
        self.blocks.push(BlockMeta { offset, bytes, updates, t_min, t_max, first, statistics });
    }

    /// The blocks alone.
    pub(crate) fn finish_inline(mut self) -> Bytes {
        self.close_block();
        Bytes::from(self.file).slice(MAGIC.len()..)
    }

    /// The file, and what the log says of it.
    pub(crate) fn finish_file(mut self, key: String) -> (Bytes, HollowPart) {
        self.close_block();
        let PartWriter { mut file, blocks, updates, .. } = self;
        let mut parts = blocks.iter().map(|block| &block.statistics);
        let mut statistics = parts.next().cloned().unwrap_or_default();
        parts.for_each(|block| statistics.merge(block));
        let first = blocks.first().map(|block| block.first.clone()).unwrap_or_default();
        let t_min = blocks.iter().map(|block| block.t_min).min().unwrap_or(Timestamp::MAX);
        let t_max = blocks.iter().map(|block| block.t_max).max().unwrap_or(Timestamp::MIN);
        let footer = Footer { key, updates, statistics, blocks };
        footer.encode(&mut file);
        let Footer { key, statistics, .. } = footer;
        let statistics = Summary { first, statistics }.encode();
        let part = HollowPart { key, bytes: file.len() as u64, updates, t_min, t_max, statistics };
        (Bytes::from(file), part)
    }
}

/// Yields the updates of blocks that stand one behind another in memory.
pub(crate) struct BlocksReader {
    name: String,
    bytes: Bytes,
    /// Where `bytes` begins in the part.
    offset: usize,
    columns: Columns,
}

impl BlocksReader {
    /// Reads an inline part, or some blocks of a file; `name` is for errors.
    pub(crate) fn new(name: &str, offset: usize, bytes: Bytes, columns: Columns) -> BlocksReader {
        BlocksReader { name: name.to_owned(), bytes, offset, columns }
    }

    /// The updates of the next block.
    pub(crate) fn next_block(&mut self) -> Option<Result<Vec<Update>, CorruptPart>> {
        if self.bytes.is_empty() {
            return None;
        }
        match read_block(&self.name, self.offset, &self.bytes, &self.columns) {
            Ok((updates, length)) => {
                self.offset += length;
                self.bytes = self.bytes.slice(length..);
                Some(Ok(updates))
            }
            Err(error) => {
                self.bytes = Bytes::new();
                Some(Err(error))
            }
        }
    }
}

/// Checks what frames the blocks of a whole file; the footer.
pub(crate) fn open_file(part: &HollowPart, bytes: &Bytes) -> Result<Footer, CorruptPart> {
    check_length(part, bytes.len() as u64)?;
    if !bytes.starts_with(MAGIC) {
        return Err(CorruptPart::new(&part.key, 0, "does not start as a part of version 1 does"));
    }
    let span = Footer::span(part, bytes)?;
    Footer::decode(part, span.start, bytes.slice(span.start..))
}

/// Errors: the file is not as long as it was written.
pub(crate) fn check_length(part: &HollowPart, length: u64) -> Result<(), CorruptPart> {
    if length == part.bytes {
        return Ok(());
    }
    let offset = usize::try_from(length.min(part.bytes)).unwrap_or(usize::MAX);
    Err(CorruptPart::new(&part.key, offset, &format!("{} bytes long instead of {}", length, part.bytes)))
}

#[cfg(test)]
mod tests;
