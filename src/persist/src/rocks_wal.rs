//! RocksDB's write-ahead files: looked through before RocksDB does, and lengthened before it writes.
//!
//! Its recovery may take a damaged record for the end of the file and drop every synced record behind it without a word. A
//! sound record behind a damaged one proves that the damage is none of a torn write at the end: then the log must not be
//! opened. Neither may it if the damaged one is the last, but all of it is there: nothing is written twice, so sectors of a
//! write that did not reach the disk lie behind the file's end, or are zeros.
//!
//! To sync a write that lengthens a file, a file system also syncs the new length, which takes longer. So
//! zeros are written ahead of RocksDB, which writes at its own offset and takes zeros for the end of the file.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Records never cross a boundary of this many bytes.
const BLOCK_BYTES: usize = 32 << 10;
/// Checksum (4 bytes, masked crc32c over type and payload), length (2), type (1).
const HEADER_BYTES: usize = 7;

/// A record that does not fit into its block goes on in the next ones: these types are of a record's first part.
const STARTS: [u8; 2] = [1, 2];

/// What a disk writes at once.
const SECTOR_BYTES: usize = 512;

/// The first record that is not sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
    pub(crate) kind: DamageKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DamageKind {
    /// What a crash leaves of the append that was in flight.
    TornTail,
    /// Sound records follow, in this file or a later one.
    RecordsFollow,
    /// The record is the last one, and complete.
    Complete,
}

/// Finds the first damage in the write-ahead files of a database directory, oldest first.
pub(crate) fn scan(directory: &Path) -> io::Result<Option<Damage>> {
    let mut damage: Option<Damage> = None;
    for (_, file) in files(directory)? {
        let bytes = std::fs::read(&file)?;
        match &mut damage {
            None => {
                if let Some(offset) = first_damage(&bytes) {
                    damage = Some(Damage { file, offset: offset as u64, kind: kind_of(&bytes, offset) });
                }
            }
            Some(damage) if starts_record(&bytes, 0) => damage.kind = DamageKind::RecordsFollow,
            Some(_) => {}
        }
    }
    Ok(damage)
}

/// The write-ahead files of a database directory with their numbers, oldest first.
fn files(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(number), Some("log")) = (number, path.extension().and_then(|extension| extension.to_str())) {
            files.push((number, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// How much room is left of the zeros that were written ahead, by what was written since.
#[derive(Debug, Default)]
pub(crate) struct Room {
    bytes: usize,
}

impl Room {
    /// How many zeros are written at once.
    const AHEAD_BYTES: usize = 1 << 20;
    /// Larger writes gain nothing: most of their time is their own bytes'.
    const WRITE_BYTES_MAX: usize = 64 << 10;
    /// What RocksDB adds to a write of one value: headers of the record, of the batch and of the value.
    const OVERHEAD_BYTES: usize = 64;

    /// Makes room in the newest write-ahead file for a write of `bytes`. Nobody else may write to the database meanwhile.
    ///
    /// A file that RocksDB begins in between gets its zeros when the count runs out, and so does one that cannot be
    /// lengthened: this is about speed alone, and a disk that is full or broken says so at the write itself.
    pub(crate) fn make(&mut self, directory: &Path, bytes: usize) {
        let needed = bytes + Self::OVERHEAD_BYTES;
        if bytes <= Self::WRITE_BYTES_MAX && self.bytes < needed {
            if let Err(error) = lengthen(directory, Self::AHEAD_BYTES) {
                tracing::debug!(%error, "cannot lengthen the write-ahead file");
            }
            self.bytes = Self::AHEAD_BYTES;
        }
        self.bytes = self.bytes.saturating_sub(needed);
    }
}

fn lengthen(directory: &Path, bytes: usize) -> io::Result<()> {
    let Some((_, newest)) = files(directory)?.pop() else { return Ok(()) };
    let file = OpenOptions::new().write(true).open(newest)?;
    file.write_all_at(&vec![0; bytes], file.metadata()?.len())
}

/// Cuts the torn tail off.
pub(crate) fn cut(damage: &Damage) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(&damage.file)?;
    file.set_len(damage.offset)?;
    file.sync_all()
}

fn first_damage(bytes: &[u8]) -> Option<usize> {
    let mut offset = 0;
    while let Some(start) = next_start(bytes, offset) {
        match record_at(bytes, start) {
            Some(end) => offset = end,
            None => return Some(start),
        }
    }
    None
}

/// Where the record after `offset` starts; none at the end of what was written.
fn next_start(bytes: &[u8], offset: usize) -> Option<usize> {
    let left = BLOCK_BYTES - offset % BLOCK_BYTES;
    let start = if left < HEADER_BYTES { offset + left } else { offset };
    // Space that was allocated and never written reads as zeros.
    let written = bytes.get(start..)?.iter().any(|byte| *byte != 0);
    written.then_some(start)
}

/// The end of the sound record at `start`, if there is one.
fn record_at(bytes: &[u8], start: usize) -> Option<usize> {
    let header = bytes.get(start..start + HEADER_BYTES)?;
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let end = start + HEADER_BYTES + length;
    let block_end = start - start % BLOCK_BYTES + BLOCK_BYTES;
    if header[6] == 0 || end > block_end {
        return None;
    }
    let crc = crc32c::crc32c(bytes.get(start + HEADER_BYTES - 1..end)?);
    (masked(crc) == u32::from_le_bytes([header[0], header[1], header[2], header[3]])).then_some(end)
}

/// Whether a sound record starts at `start`; what continues one may belong to a damaged one.
fn starts_record(bytes: &[u8], start: usize) -> bool {
    record_at(bytes, start).is_some() && STARTS.contains(&bytes[start + HEADER_BYTES - 1])
}

fn kind_of(bytes: &[u8], damage: usize) -> DamageKind {
    if has_record_behind(bytes, damage) {
        DamageKind::RecordsFollow
    } else if is_complete(bytes, damage) {
        DamageKind::Complete
    } else {
        DamageKind::TornTail
    }
}

/// Whether all of the record was written, and something has changed it since.
fn is_complete(bytes: &[u8], start: usize) -> bool {
    let block_end = (start - start % BLOCK_BYTES + BLOCK_BYTES).min(bytes.len());
    let Some(header) = bytes.get(start..start + HEADER_BYTES).filter(|_| start + HEADER_BYTES <= block_end) else {
        return false;
    };
    // The checksum does not cover the length: with another one the record may be sound.
    let wanted = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let mut crc = crc32c::crc32c(&header[HEADER_BYTES - 1..]);
    for byte in &bytes[start + HEADER_BYTES..block_end] {
        crc = crc32c::crc32c_append(crc, std::slice::from_ref(byte));
        if masked(crc) == wanted {
            return true;
        }
    }
    let end = start + HEADER_BYTES + usize::from(u16::from_le_bytes([header[4], header[5]]));
    let mut sectors = (start / SECTOR_BYTES)..end.div_ceil(SECTOR_BYTES);
    let is_torn = |sector: usize| {
        let part = start.max(sector * SECTOR_BYTES)..end.min((sector + 1) * SECTOR_BYTES);
        bytes[part].iter().all(|byte| *byte == 0)
    };
    end <= block_end && !sectors.any(is_torn)
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The damaged record's length cannot be trusted: tries every offset up to the end of its block, then each block's start.
fn has_record_behind(bytes: &[u8], damage: usize) -> bool {
    let block_end = (damage - damage % BLOCK_BYTES + BLOCK_BYTES).min(bytes.len());
    let in_block = (damage + 1..block_end).any(|start| starts_record(bytes, start));
    in_block || (block_end..bytes.len()).step_by(BLOCK_BYTES).any(|start| starts_record(bytes, start))
}
