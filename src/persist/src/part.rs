//! The part format: blocks of packed rows, times and differences, each compressed and checksummed.
//!
//! A hollow part is a file `magic, block.., footer, trailer`; an inline part is its blocks alone. Updates are sorted by
//! (row, time) and consolidated within a part. The byte tables are in `misc/doc/persist-format.md`.

use bytes::Bytes;
use repr::{Diff, Row, Timestamp};

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::op::HollowPart;

/// One change of a collection: a row, its time, and how its multiplicity changes.
pub type Update = (Row, Timestamp, Diff);

/// Blocks are closed once their rows are this long.
const BLOCK_BYTES: usize = 256 << 10;
/// A part that has grown this long is closed.
pub(crate) const PART_BYTES_MAX: usize = 64 << 20;

const MAGIC: &[u8; 4] = b"RPF1";
const BLOCK_HEADER_BYTES: usize = 13;
const TRAILER_BYTES: usize = 12;
const PLAIN: u8 = 0;
const LZ4: u8 = 1;

/// A part whose bytes are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("part {part} is damaged at offset {offset}: {cause}")]
pub struct CorruptPart {
    pub part: String,
    pub offset: usize,
    pub cause: String,
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
    block: BlockWriter,
    body: Vec<u8>,
    index: Vec<BlockMeta>,
    updates: u64,
    t_min: Timestamp,
    t_max: Timestamp,
}

struct BlockMeta {
    offset: usize,
    bytes: usize,
    updates: usize,
    t_min: Timestamp,
    t_max: Timestamp,
    first_row: Vec<u8>,
}

impl PartWriter {
    pub(crate) fn new() -> PartWriter {
        PartWriter {
            block: BlockWriter::default(),
            body: Vec::new(),
            index: Vec::new(),
            updates: 0,
            t_min: Timestamp::MAX,
            t_max: Timestamp::MIN,
        }
    }

    pub(crate) fn push(&mut self, row: &[u8], time: Timestamp, diff: Diff) {
        self.updates += 1;
        self.t_min = self.t_min.min(time);
        self.t_max = self.t_max.max(time);
        self.block.push(row, time, diff);
        if self.block.rows.len() >= BLOCK_BYTES {
            self.close_block();
        }
    }

    /// About how long the part is by now.
    pub(crate) fn len_bytes(&self) -> usize {
        self.body.len() + self.block.rows.len() + 4 * self.block.times.len()
    }

    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    fn close_block(&mut self) {
        if self.block.times.is_empty() {
            return;
        }
        let block = std::mem::take(&mut self.block);
        let (times, first_row) = (&block.times, block.rows[..block.lengths[0]].to_vec());
        let offset = self.body.len();
        let updates = times.len();
        let t_min = times.iter().copied().min().expect("a block is not empty");
        let t_max = times.iter().copied().max().expect("a block is not empty");
        block.finish(&mut self.body);
        let bytes = self.body.len() - offset;
        self.index.push(BlockMeta { offset: offset + MAGIC.len(), bytes, updates, t_min, t_max, first_row });
    }

    /// The blocks alone.
    pub(crate) fn finish_inline(mut self) -> Bytes {
        self.close_block();
        Bytes::from(self.body)
    }

    /// The file, and what the log says of it.
    pub(crate) fn finish_file(mut self, key: String) -> (Bytes, HollowPart) {
        self.close_block();
        let mut out = Vec::with_capacity(self.body.len() + 64 * (self.index.len() + 1));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.body);
        let mut footer = Encoder::default();
        footer.varint(self.updates);
        footer.count(self.index.len());
        for BlockMeta { offset, bytes, updates, t_min, t_max, first_row } in &self.index {
            footer.count(*offset);
            footer.count(*bytes);
            footer.count(*updates);
            footer.time(*t_min);
            footer.time(*t_max);
            footer.bytes(first_row);
        }
        let footer_bytes =
            u32::try_from(footer.0.len()).expect("a part of at most 64 MiB and a row has a short footer");
        let crc = crc32c::crc32c(&footer.0);
        out.extend_from_slice(&footer.0);
        out.extend_from_slice(&footer_bytes.to_le_bytes());
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(MAGIC);
        let (t_min, t_max) = (self.t_min, self.t_max);
        let bytes = out.len() as u64;
        let part = HollowPart { key, bytes, updates: self.updates, t_min, t_max, statistics: Bytes::new() };
        (Bytes::from(out), part)
    }
}

#[derive(Default)]
struct BlockWriter {
    lengths: Vec<usize>,
    rows: Vec<u8>,
    times: Vec<Timestamp>,
    diffs: Vec<Diff>,
}

impl BlockWriter {
    fn push(&mut self, row: &[u8], time: Timestamp, diff: Diff) {
        self.lengths.push(row.len());
        self.rows.extend_from_slice(row);
        self.times.push(time);
        self.diffs.push(diff);
    }

    fn finish(self, out: &mut Vec<u8>) {
        let mut raw = Encoder(Vec::with_capacity(self.rows.len() + 2 * self.lengths.len() + 64));
        raw.count(self.lengths.len());
        self.lengths.iter().for_each(|length| raw.count(*length));
        raw.0.extend_from_slice(&self.rows);
        let mut last = 0;
        let steps = self.times.iter().map(|time| {
            let millis = time.millis();
            let step = millis.wrapping_sub(last) as i64;
            last = millis;
            step
        });
        put_runs(&mut raw, steps);
        put_runs(&mut raw, self.diffs.iter().map(|diff| diff.get()));
        let raw = raw.0;
        let packed = lz4_flex::block::compress(&raw);
        // Compression must pay for the time it takes to undo it.
        let (compression, stored) =
            if packed.len() + raw.len() / 8 < raw.len() { (LZ4, &packed) } else { (PLAIN, &raw) };
        let start = out.len();
        out.push(compression);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("rows are far below 4 GiB").to_le_bytes();
        out.extend_from_slice(&length(&raw));
        out.extend_from_slice(&length(stored));
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start..]), stored);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(stored);
    }
}

fn put_runs(out: &mut Encoder, values: impl Iterator<Item = i64>) {
    let mut run: Option<(i64, u64)> = None;
    for value in values {
        match &mut run {
            Some((current, length)) if *current == value => *length += 1,
            _ => {
                if let Some((current, length)) = run {
                    out.varint(length);
                    out.zigzag(current);
                }
                run = Some((value, 1));
            }
        }
    }
    if let Some((current, length)) = run {
        out.varint(length);
        out.zigzag(current);
    }
}

fn get_runs(input: &mut Decoder, count: usize) -> Result<Vec<i64>, DecodeError> {
    let mut values = Vec::with_capacity(count);
    while values.len() < count {
        let length = usize::try_from(input.varint()?).unwrap_or(usize::MAX);
        if length == 0 || length > count - values.len() {
            return Err(DecodeError::Damaged("a run of a wrong length"));
        }
        let value = input.zigzag()?;
        values.resize(values.len() + length, value);
    }
    Ok(values)
}

/// Yields the updates of a part block by block.
pub(crate) struct PartReader {
    name: String,
    bytes: Bytes,
    offset: usize,
    end: usize,
}

impl PartReader {
    /// Reads an inline part; `name` is for errors.
    pub(crate) fn inline(name: &str, bytes: Bytes) -> PartReader {
        let end = bytes.len();
        PartReader { name: name.to_owned(), bytes, offset: 0, end }
    }

    /// Reads a file. Errors: its frame is damaged.
    pub(crate) fn file(part: &HollowPart, bytes: Bytes) -> Result<PartReader, CorruptPart> {
        let reader = PartReader { name: part.key.clone(), bytes, offset: MAGIC.len(), end: 0 };
        let length = reader.bytes.len();
        if length as u64 != part.bytes {
            return Err(reader.corrupt(length, &format!("{} bytes long instead of {}", length, part.bytes)));
        }
        if length < MAGIC.len() + TRAILER_BYTES || !reader.bytes.starts_with(MAGIC) {
            return Err(reader.corrupt(0, "does not start as a part of version 1 does"));
        }
        let trailer = &reader.bytes[length - TRAILER_BYTES..];
        let word = |at: usize| u32::from_le_bytes(trailer[at..at + 4].try_into().expect("four bytes"));
        let footer_bytes = word(0) as usize;
        if &trailer[8..] != MAGIC || footer_bytes > length - MAGIC.len() - TRAILER_BYTES {
            return Err(reader.corrupt(length - TRAILER_BYTES, "trailer"));
        }
        let end = length - TRAILER_BYTES - footer_bytes;
        if crc32c::crc32c(&reader.bytes[end..length - TRAILER_BYTES]) != word(4) {
            return Err(reader.corrupt(end, "footer checksum does not match"));
        }
        Ok(PartReader { end, ..reader })
    }

    /// The updates of the next block.
    pub(crate) fn next_block(&mut self) -> Option<Result<Vec<Update>, CorruptPart>> {
        if self.offset >= self.end {
            return None;
        }
        let block = self.read_block();
        if block.is_err() {
            self.offset = self.end;
        }
        Some(block)
    }

    fn read_block(&mut self) -> Result<Vec<Update>, CorruptPart> {
        let start = self.offset;
        if self.end - start < BLOCK_HEADER_BYTES {
            return Err(self.corrupt(start, "block header is cut off"));
        }
        let header = &self.bytes[start..start + BLOCK_HEADER_BYTES];
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes")) as usize;
        let (compression, raw_bytes, stored_bytes, crc) = (header[0], word(1), word(5), word(9));
        let body = start + BLOCK_HEADER_BYTES;
        if stored_bytes > self.end - body {
            return Err(self.corrupt(start, "block is cut off"));
        }
        let stored = self.bytes.slice(body..body + stored_bytes);
        if crc32c::crc32c_append(crc32c::crc32c(&header[..9]), &stored) as usize != crc {
            return Err(self.corrupt(start, "block checksum does not match"));
        }
        let raw = match compression {
            PLAIN => stored,
            // No compressed byte stands for more than 255, so a damaged length cannot ask for memory.
            LZ4 if raw_bytes / 256 <= stored_bytes => lz4_flex::block::decompress(&stored, raw_bytes)
                .map(Bytes::from)
                .map_err(|error| self.corrupt(start, &error.to_string()))?,
            _ => return Err(self.corrupt(start, "unknown compression")),
        };
        self.offset = body + stored_bytes;
        decode_block(raw).map_err(|error| self.corrupt(start, &error.to_string()))
    }

    pub(crate) fn corrupt(&self, offset: usize, cause: &str) -> CorruptPart {
        CorruptPart { part: self.name.clone(), offset, cause: cause.to_owned() }
    }
}

fn decode_block(raw: Bytes) -> Result<Vec<Update>, DecodeError> {
    let mut input = Decoder(raw);
    let count = input.count()?;
    let lengths = (0..count).map(|_| input.count()).collect::<Result<Vec<_>, _>>()?;
    let total = lengths.iter().try_fold(0usize, |sum, length| sum.checked_add(*length));
    let total = total.filter(|total| *total <= input.0.len()).ok_or(DecodeError::Damaged("rows are cut off"))?;
    let rows = input.0.split_to(total);
    let times = get_runs(&mut input, count)?;
    let diffs = get_runs(&mut input, count)?;
    input.end()?;
    let (mut updates, mut start, mut millis) = (Vec::with_capacity(count), 0, 0u64);
    for ((length, step), diff) in lengths.into_iter().zip(times).zip(diffs) {
        millis = millis.wrapping_add(step as u64);
        updates.push((Row::from_bytes(&rows[start..start + length]), Timestamp::new(millis), Diff::new(diff)));
        start += length;
    }
    Ok(updates)
}

#[cfg(test)]
mod tests;
