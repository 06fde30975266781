//! What a backup's own two objects are, byte by byte; the tables are in `misc/doc/persist-format.md`.

use bytes::Bytes;
use repr::Timestamp;
use uuid::Uuid;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::encode::{FORMAT_VERSION, check_version};
use crate::log::{Checkpoint, Entry, LogError};

const MANIFEST_MAGIC: &[u8; 4] = b"FBM1";
const LOG_MAGIC: &[u8; 4] = b"FBL1";

/// Describes one backup. It is written last: a backup without a sound one does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub id: String,
    /// The environment's time when it was made.
    pub created: Timestamp,
    pub log_id: Uuid,
    pub epoch: u64,
    /// The last entry that the checkpoint in it contains; 0 if there is no checkpoint.
    pub base: u64,
    /// The last entry in it.
    pub seq: u64,
    /// It can be restored at times from here...
    pub from: Timestamp,
    /// ...up to here.
    pub to: Timestamp,
    /// Length and checksum of the object with the piece of the log.
    pub log_bytes: u64,
    pub log_crc: u32,
    pub parts: Vec<PartFile>,
}

/// A part that a backup needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartFile {
    pub key: String,
    pub bytes: u64,
}

impl Manifest {
    pub fn encode(&self) -> Bytes {
        let Manifest { id, created, log_id, epoch, base, seq, from, to, log_bytes, log_crc, parts } = self;
        let mut out = Encoder::default();
        out.0.extend_from_slice(MANIFEST_MAGIC);
        out.varint(u64::from(FORMAT_VERSION));
        out.bytes(id.as_bytes());
        out.time(*created);
        out.uuid(*log_id);
        out.varint(*epoch);
        out.varint(*base);
        out.varint(*seq);
        out.time(*from);
        out.time(*to);
        out.varint(*log_bytes);
        out.fixed_u32(*log_crc);
        out.count(parts.len());
        for PartFile { key, bytes } in parts {
            out.bytes(key.as_bytes());
            out.varint(*bytes);
        }
        let crc = crc32c::crc32c(&out.0);
        out.fixed_u32(crc);
        out.finish()
    }

    /// Errors: damaged, or written by a newer program.
    pub fn decode(bytes: &Bytes) -> Result<Manifest, DecodeError> {
        let body = bytes.len().checked_sub(4).ok_or(DecodeError::Damaged("ends within a field"))?;
        let mut input = Decoder(bytes.slice(..body));
        take_magic(&mut input, MANIFEST_MAGIC)?;
        check_version(&mut input)?;
        let crc = Decoder(bytes.slice(body..)).fixed_u32()?;
        if crc32c::crc32c(&bytes[..body]) != crc {
            return Err(DecodeError::Damaged("checksum does not match"));
        }
        let mut manifest = Manifest {
            id: input.string()?,
            created: input.time()?,
            log_id: input.uuid()?,
            epoch: input.varint()?,
            base: input.varint()?,
            seq: input.varint()?,
            from: input.time()?,
            to: input.time()?,
            log_bytes: input.varint()?,
            log_crc: input.fixed_u32()?,
            parts: Vec::new(),
        };
        for _ in 0..input.count()? {
            manifest.parts.push(PartFile { key: input.string()?, bytes: input.varint()? });
        }
        input.end()?;
        Ok(manifest)
    }

    /// Bytes of all parts, each of which other backups may share.
    pub fn part_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// A checkpoint and the entries behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogPiece {
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) entries: Vec<Entry>,
}

impl LogPiece {
    pub(crate) fn base(&self) -> u64 {
        self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.upto)
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Encoder::default();
        out.0.extend_from_slice(LOG_MAGIC);
        out.varint(u64::from(FORMAT_VERSION));
        out.bool(self.checkpoint.is_some());
        if let Some(checkpoint) = &self.checkpoint {
            out.bytes(&checkpoint.encode());
        }
        out.count(self.entries.len());
        self.entries.iter().for_each(|entry| out.bytes(&entry.encode()));
        out.finish()
    }

    /// Errors: damaged (a checkpoint or entry named), or written by a newer program.
    pub(crate) fn decode(bytes: Bytes) -> Result<LogPiece, LogError> {
        let field = |error| LogError::of(error, "the piece of the log");
        let mut input = Decoder(bytes);
        take_magic(&mut input, LOG_MAGIC).and_then(|()| check_version(&mut input)).map_err(field)?;
        let mut piece = LogPiece::default();
        if input.bool().map_err(field)? {
            piece.checkpoint = Some(Checkpoint::decode(input.bytes().map_err(field)?)?);
        }
        let first = piece.base() + 1;
        for index in 0..input.count().map_err(field)? {
            piece.entries.push(Entry::decode(first + index as u64, input.bytes().map_err(field)?)?);
        }
        input.end().map_err(field)?;
        Ok(piece)
    }
}

fn take_magic(input: &mut Decoder, magic: &[u8; 4]) -> Result<(), DecodeError> {
    for expected in magic {
        if input.u8()? != *expected {
            return Err(DecodeError::Damaged("not what its name says"));
        }
    }
    Ok(())
}
