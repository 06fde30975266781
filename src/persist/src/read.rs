//! Reading parts: the blocks that are wanted, in bounded memory, each checked before it is handed on.
//!
//! A small part is fetched whole. Of a larger one the footer is fetched, and then the blocks that can hold something wanted,
//! some at a time: memory is bounded by `read_ahead` (or one block, if that is longer) and one decoded block for each part that
//! is open.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStoreExt};
use repr::Timestamp;

use crate::blob::{Blob, BlobError};
use crate::columns::Columns;
use crate::op::{HollowPart, Part};
use crate::part::{
    BlockMeta, BlocksReader, CorruptPart, Footer, MAGIC, Summary, TRAILER_BYTES, Update, check_length, open_file,
};
use crate::shards::Selection;

/// Parts up to this long are fetched whole, and so much is fetched at a time of longer ones, unless the reader says less.
pub(crate) const READ_AHEAD: usize = 1 << 20;
/// The end of a large part that is fetched first is this plus its length divided by that: enough for most footers.
const TAIL_BYTES: u64 = 16 << 10;
const TAIL_SHARE: u64 = 256;

/// What readers have read and what statistics spared them, since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    pub parts_read: u64,
    pub parts_skipped: u64,
    pub blocks_read: u64,
    pub blocks_skipped: u64,
    pub bytes_fetched: u64,
}

#[derive(Debug, Default)]
pub(crate) struct ReadCounters {
    parts_read: AtomicU64,
    parts_skipped: AtomicU64,
    blocks_read: AtomicU64,
    blocks_skipped: AtomicU64,
    bytes_fetched: AtomicU64,
}

impl ReadCounters {
    pub(crate) fn counts(&self) -> ReadCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadCounts {
            parts_read: get(&self.parts_read),
            parts_skipped: get(&self.parts_skipped),
            blocks_read: get(&self.blocks_read),
            blocks_skipped: get(&self.blocks_skipped),
            bytes_fetched: get(&self.bytes_fetched),
        }
    }
}

fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

/// What of a part is wanted. What is handed on may be more: whole blocks.
#[derive(Clone)]
pub(crate) struct Wanted {
    /// Rows written with fewer are filled up, those with more are cut.
    pub(crate) columns: Columns,
    pub(crate) selection: Arc<Selection>,
    /// Updates in `[from, to)`.
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) read_ahead: usize,
    pub(crate) counters: Arc<ReadCounters>,
}

impl Wanted {
    /// Every update.
    pub(crate) fn everything(columns: Columns) -> Wanted {
        Wanted {
            columns,
            selection: Arc::default(),
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            read_ahead: READ_AHEAD,
            counters: Arc::default(),
        }
    }

    fn times_overlap(&self, t_min: Timestamp, t_max: Timestamp) -> bool {
        t_max >= self.from && t_min < self.to
    }

    /// Whether a part can hold something wanted, by what the log says of it.
    pub(crate) fn wants_part(&self, part: &Part) -> bool {
        let Part::Hollow(part) = part else { return true };
        let wanted = self.times_overlap(part.t_min, part.t_max)
            && (self.selection.bounds.is_everything()
                || Summary::decode(&part.statistics).statistics.may_match(&self.selection.bounds, &self.columns));
        if !wanted {
            count(&self.counters.parts_skipped, 1);
        }
        wanted
    }

    fn wants_block(&self, block: &BlockMeta) -> bool {
        self.times_overlap(block.t_min, block.t_max)
            && (self.selection.bounds.is_everything()
                || block.statistics.may_match(&self.selection.bounds, &self.columns))
    }
}

/// One part being read, block by block.
pub(crate) struct PartStream {
    wanted: Wanted,
    source: Source,
}

enum Source {
    Memory(BlocksReader),
    File(FileBlocks),
}

struct FileBlocks {
    blob: Blob,
    part: HollowPart,
    /// Still to be read.
    blocks: VecDeque<BlockMeta>,
    /// A stretch of the file, from `start` on.
    fetched: Bytes,
    start: usize,
}

impl PartStream {
    /// Opens a part; `blob` is none where the store cannot be reached, which inline parts do without.
    pub(crate) async fn open(blob: Option<&Blob>, part: &Part, wanted: Wanted) -> Result<PartStream, BlobError> {
        count(&wanted.counters.parts_read, 1);
        let hollow = match part {
            Part::Inline(bytes) => {
                let blocks = BlocksReader::new("inline", 0, bytes.clone(), wanted.columns.clone());
                return Ok(PartStream { wanted, source: Source::Memory(blocks) });
            }
            Part::Hollow(hollow) => hollow,
        };
        let Some(blob) = blob else {
            let cause = "is in a blob store that this process cannot open".to_owned();
            return Err(BlobError::Failed { key: hollow.key.clone(), cause });
        };
        let (footer, start, fetched) = open_hollow(blob, hollow, &wanted).await?;
        let all = footer.blocks.len();
        let blocks: VecDeque<BlockMeta> = footer.blocks.into_iter().filter(|block| wanted.wants_block(block)).collect();
        count(&wanted.counters.blocks_skipped, all - blocks.len());
        let (blob, part) = (Arc::clone(blob), hollow.clone());
        Ok(PartStream { wanted, source: Source::File(FileBlocks { blob, part, blocks, fetched, start }) })
    }

    /// Leaves out the next `count` blocks, which were read before. Blocks in memory are not damaged by reading again.
    pub(crate) fn skip_blocks(&mut self, count: usize) {
        match &mut self.source {
            Source::Memory(blocks) => (0..count).for_each(|_| drop(blocks.next_block())),
            Source::File(file) => drop(file.blocks.drain(..count.min(file.blocks.len()))),
        }
    }

    /// The updates of the next block; none behind the last.
    pub(crate) async fn next_block(&mut self) -> Option<Result<Vec<Update>, BlobError>> {
        let block = match &mut self.source {
            Source::Memory(blocks) => blocks.next_block()?.map_err(BlobError::from),
            Source::File(file) => file.next_block(&self.wanted).await?,
        };
        count(&self.wanted.counters.blocks_read, 1);
        Some(block)
    }
}

/// The footer, and a stretch of the file that was fetched with it.
async fn open_hollow(blob: &Blob, part: &HollowPart, wanted: &Wanted) -> Result<(Footer, usize, Bytes), BlobError> {
    if part.bytes <= wanted.read_ahead.min(READ_AHEAD) as u64 {
        let bytes = fetch_whole(blob, part).await?;
        count(&wanted.counters.bytes_fetched, bytes.len());
        return Ok((open_file(part, &bytes)?, 0, bytes));
    }
    let length = usize::try_from(part.bytes).unwrap_or(usize::MAX);
    let tail = usize::try_from(TAIL_BYTES + part.bytes / TAIL_SHARE).unwrap_or(usize::MAX).min(length);
    let mut start = length - tail;
    let mut bytes = fetch(blob, part, start..length).await?;
    let span = Footer::span(part, &bytes)?;
    if span.start < start {
        start = span.start;
        bytes = fetch(blob, part, start..length).await?;
    }
    count(&wanted.counters.bytes_fetched, bytes.len());
    let footer = Footer::decode(part, span.start, bytes.slice(span.start - start..))?;
    // Kept only if it is no more than what may be kept anyway.
    if bytes.len() > wanted.read_ahead { Ok((footer, length, Bytes::new())) } else { Ok((footer, start, bytes)) }
}

impl FileBlocks {
    async fn next_block(&mut self, wanted: &Wanted) -> Option<Result<Vec<Update>, BlobError>> {
        let block = self.blocks.pop_front()?;
        let read = self.read(&block, wanted).await;
        if read.is_err() {
            self.blocks.clear();
        }
        Some(read)
    }

    async fn read(&mut self, block: &BlockMeta, wanted: &Wanted) -> Result<Vec<Update>, BlobError> {
        let range = block.offset..block.offset + block.bytes;
        if range.start < self.start || range.end > self.start + self.fetched.len() {
            self.fetched = Bytes::new();
            let mut end = range.end;
            for next in &self.blocks {
                if next.offset != end || end + next.bytes - range.start > wanted.read_ahead {
                    break;
                }
                end += next.bytes;
            }
            self.fetched = fetch(&self.blob, &self.part, range.start..end).await?;
            self.start = range.start;
            count(&wanted.counters.bytes_fetched, self.fetched.len());
        }
        let bytes = self.fetched.slice(range.start - self.start..range.end - self.start);
        let mut reader = BlocksReader::new(&self.part.key, block.offset, bytes, wanted.columns.clone());
        let updates = reader.next_block().unwrap_or_else(|| Ok(Vec::new()))?;
        if updates.len() != block.updates || reader.next_block().is_some() {
            let cause = format!("{} updates instead of {}", updates.len(), block.updates);
            return Err(CorruptPart::new(&self.part.key, block.offset, &cause).into());
        }
        Ok(updates)
    }
}

async fn fetch_whole(blob: &Blob, part: &HollowPart) -> Result<Bytes, BlobError> {
    let failed = |error| BlobError::of(&part.key, &error);
    blob.get(&Path::from(part.key.as_str())).await.map_err(failed)?.bytes().await.map_err(failed)
}

async fn fetch(blob: &Blob, part: &HollowPart, range: Range<usize>) -> Result<Bytes, BlobError> {
    let path = Path::from(part.key.as_str());
    let failed = |error| BlobError::of(&part.key, &error);
    let wanted = range.len();
    let bounded = GetRange::Bounded(range.start as u64..range.end as u64);
    let options = GetOptions { range: Some(bounded), ..GetOptions::default() };
    let error = match blob.get_opts(&path, options).await {
        Ok(found) => {
            check_length(part, found.meta.size)?;
            let bytes = found.bytes().await.map_err(failed)?;
            if bytes.len() != wanted {
                return Err(CorruptPart::new(&part.key, range.start, "the store gave fewer bytes").into());
            }
            return Ok(bytes);
        }
        Err(error) => error,
    };
    // Stores have their own words for a range that a file does not have, because it was cut off.
    check_length(part, blob.head(&path).await.map_err(failed)?.size)?;
    Err(failed(error))
}

/// Reads one part in order, a block in memory at a time.
pub(crate) struct Cursor {
    stream: PartStream,
    block: VecDeque<Update>,
}

impl Cursor {
    pub(crate) fn new(stream: PartStream) -> Cursor {
        Cursor { stream, block: VecDeque::new() }
    }

    pub(crate) async fn next_update(&mut self) -> Result<Option<Update>, BlobError> {
        while self.block.is_empty() {
            match self.stream.next_block().await {
                Some(block) => self.block = block?.into(),
                None => return Ok(None),
            }
        }
        Ok(self.block.pop_front())
    }
}

/// What a part was found to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartCounts {
    pub bytes: u64,
    pub blocks: u64,
    pub updates: u64,
}

/// Reads a part through and checks every checksum, its counts and its order.
///
/// Errors: `Missing`; `Corrupt`, which names the part and the offset.
/// Cost: the whole part in memory.
pub async fn verify_part(blob: &Blob, part: &HollowPart) -> Result<PartCounts, BlobError> {
    let bytes = fetch_whole(blob, part).await?;
    let footer = open_file(part, &bytes)?;
    let mut counts = PartCounts { bytes: part.bytes, ..PartCounts::default() };
    let blocks_end = footer.blocks.last().map_or(MAGIC.len(), |block| block.offset + block.bytes);
    debug_assert!(blocks_end + TRAILER_BYTES <= bytes.len(), "the footer stands between");
    let mut last = None;
    for block in &footer.blocks {
        let corrupt = |cause: &str| CorruptPart::new(&part.key, block.offset, cause);
        let blocks = bytes.slice(block.offset..block.offset + block.bytes);
        let mut reader = BlocksReader::new(&part.key, block.offset, blocks, Columns::default());
        let updates = reader.next_block().unwrap_or_else(|| Ok(Vec::new()))?;
        let times_fit = updates.iter().all(|(_, time, _)| (block.t_min..=block.t_max).contains(time));
        if updates.len() != block.updates || !times_fit || reader.next_block().is_some() {
            return Err(corrupt("the footer says other than the block does").into());
        }
        for (row, time, _) in updates {
            let next = Some((row, time));
            if next <= last {
                return Err(corrupt("updates are not sorted and consolidated").into());
            }
            last = next;
            counts.updates += 1;
        }
        counts.blocks += 1;
    }
    if counts.updates != part.updates {
        let cause = format!("{} updates instead of {}", counts.updates, part.updates);
        return Err(CorruptPart::new(&part.key, blocks_end, &cause).into());
    }
    Ok(counts)
}
