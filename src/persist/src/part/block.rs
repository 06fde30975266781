//! Blocks: rows, times and differences of some updates, compressed and with a checksum.

use bytes::Bytes;
use repr::row::NOT_A_ROW;
use repr::{Diff, Row, Timestamp};

use super::{CorruptPart, Update};
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::columns::Columns;

/// Compression, raw bytes, stored bytes, checksum.
pub(super) const HEADER_BYTES: usize = 13;
const PLAIN: u8 = 0;
pub(super) const LZ4: u8 = 1;

/// The updates of one block, on their way into it.
#[derive(Default)]
pub(super) struct BlockWriter {
    lengths: Vec<usize>,
    pub(super) rows: Vec<u8>,
    pub(super) times: Vec<Timestamp>,
    diffs: Vec<Diff>,
}

impl BlockWriter {
    pub(super) fn push(&mut self, row: &[u8], time: Timestamp, diff: Diff) {
        self.lengths.push(row.len());
        self.rows.extend_from_slice(row);
        self.times.push(time);
        self.diffs.push(diff);
    }

    pub(super) fn first_row(&self) -> &[u8] {
        &self.rows[..self.lengths.first().copied().unwrap_or(0)]
    }

    /// Appends the block to `out` and is empty again. `columns`: how many each row has; 0: nobody has said.
    pub(super) fn finish(&mut self, columns: usize, out: &mut Vec<u8>) {
        let mut raw = Encoder(Vec::with_capacity(self.rows.len() + 2 * self.lengths.len() + 64));
        raw.count(columns);
        raw.count(self.lengths.len());
        // Offsets would take four bytes each and compress badly; the reader adds the lengths up as it goes.
        self.lengths.iter().for_each(|length| raw.count(*length));
        raw.0.extend_from_slice(&self.rows);
        let mut last = 0;
        let steps = self.times.iter().map(|time| {
            let micros = time.micros();
            let step = micros.wrapping_sub(last) as i64;
            last = micros;
            step
        });
        put_runs(&mut raw, steps);
        put_runs(&mut raw, self.diffs.iter().map(|diff| diff.get()));
        compress(&raw.0, out);
        self.lengths.clear();
        self.rows.clear();
        self.times.clear();
        self.diffs.clear();
    }
}

fn compress(raw: &[u8], out: &mut Vec<u8>) {
    let packed = lz4_flex::block::compress(raw);
    // Compression must pay for the time it takes to undo it.
    let (compression, stored) =
        if packed.len() + raw.len() / 8 < raw.len() { (LZ4, &packed[..]) } else { (PLAIN, raw) };
    let start = out.len();
    out.push(compression);
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("rows are far below 4 GiB").to_le_bytes();
    out.extend_from_slice(&length(raw));
    out.extend_from_slice(&length(stored));
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start..]), stored);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(stored);
}

/// The updates of the block at the front of `bytes`, and how long it is; `offset` is where that is in the part, for errors.
/// Rows with fewer columns than `columns` are filled up, those with more are cut.
pub(super) fn read_block(
    part: &str,
    offset: usize,
    bytes: &Bytes,
    columns: &Columns,
) -> Result<(Vec<Update>, usize), CorruptPart> {
    let corrupt = |cause: &str| CorruptPart::new(part, offset, cause);
    let header = bytes.get(..HEADER_BYTES).ok_or_else(|| corrupt("block header is cut off"))?;
    let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes")) as usize;
    let (compression, raw_bytes, stored_bytes, crc) = (header[0], word(1), word(5), word(9));
    if stored_bytes > bytes.len() - HEADER_BYTES {
        return Err(corrupt("block is cut off"));
    }
    let end = HEADER_BYTES + stored_bytes;
    let stored = bytes.slice(HEADER_BYTES..end);
    if crc32c::crc32c_append(crc32c::crc32c(&header[..9]), &stored) as usize != crc {
        return Err(corrupt("block checksum does not match"));
    }
    let raw = match compression {
        PLAIN => stored,
        // No compressed byte stands for more than 255, so a damaged length cannot ask for memory.
        LZ4 if raw_bytes / 256 <= stored_bytes => lz4_flex::block::decompress(&stored, raw_bytes)
            .map(Bytes::from)
            .map_err(|error| corrupt(&error.to_string()))?,
        _ => return Err(corrupt("unknown compression")),
    };
    let updates = decode(raw, columns).map_err(|error| corrupt(&error.to_string()))?;
    Ok((updates, end))
}

fn decode(raw: Bytes, columns: &Columns) -> Result<Vec<Update>, DecodeError> {
    let mut input = Decoder(raw);
    let written = usize::try_from(input.varint()?).unwrap_or(usize::MAX);
    let padding = columns.padding(written);
    let is_wider = written > columns.len() && !columns.is_empty();
    let count = input.count()?;
    let lengths = (0..count).map(|_| input.count()).collect::<Result<Vec<_>, _>>()?;
    let total = lengths.iter().try_fold(0usize, |sum, length| sum.checked_add(*length));
    let total = total.filter(|total| *total <= input.0.len()).ok_or(DecodeError::Damaged("rows are cut off"))?;
    let rows = input.0.split_to(total);
    let times = get_runs(&mut input, count)?;
    let diffs = get_runs(&mut input, count)?;
    input.end()?;
    let (mut updates, mut start, mut micros) = (Vec::with_capacity(count), 0, 0u64);
    for ((length, step), diff) in lengths.into_iter().zip(times).zip(diffs) {
        micros = micros.wrapping_add(step as u64);
        let mut bytes = &rows[start..start + length];
        let is_row = bytes.first() != Some(&NOT_A_ROW);
        if is_wider && is_row {
            let kept = columns.prefix_bytes(bytes).ok_or(DecodeError::Damaged("a row has other columns"))?;
            bytes = &bytes[..kept];
        }
        let mut row = Row::from_bytes(bytes);
        if !padding.is_empty() && is_row {
            row.push_packed(&padding);
        }
        updates.push((row, Timestamp::new(micros), Diff::new(diff)));
        start += length;
    }
    Ok(updates)
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
