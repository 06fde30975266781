//! Bytes that last: varints, lengths and fixed fields, as `misc/doc/persist-format.md` lists them.

use bytes::{Buf, Bytes};
use repr::Timestamp;
use uuid::Uuid;

/// Why bytes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("damaged: {0}")]
    Damaged(&'static str),
    #[error("written in format version {found}; this program reads up to version {supported}")]
    Newer { found: u32, supported: u32 },
}

/// Appends fields to a buffer.
#[derive(Default)]
pub(crate) struct Encoder(pub(crate) Vec<u8>);

impl Encoder {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn fixed_u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn fixed_u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Seven bits a byte, least significant first, high bit set on all but the last.
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(crate) fn time(&mut self, time: Timestamp) {
        self.varint(time.micros());
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.varint(count as u64);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    pub(crate) fn uuid(&mut self, id: Uuid) {
        self.0.extend_from_slice(id.as_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn finish(self) -> Bytes {
        Bytes::from(self.0)
    }
}

/// Takes fields off the front of a buffer; never panics on any input.
pub(crate) struct Decoder(pub(crate) Bytes);

impl Decoder {
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        if self.0.is_empty() {
            return Err(DecodeError::Damaged("ends within a field"));
        }
        Ok(self.0.get_u8())
    }

    pub(crate) fn fixed_u32(&mut self) -> Result<u32, DecodeError> {
        self.need(4)?;
        Ok(self.0.get_u32_le())
    }

    pub(crate) fn fixed_u64(&mut self) -> Result<u64, DecodeError> {
        self.need(8)?;
        Ok(self.0.get_u64_le())
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Damaged("varint beyond 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(DecodeError::Damaged("varint longer than needed"));
                }
                return Ok(value);
            }
        }
        Err(DecodeError::Damaged("varint beyond 64 bits"))
    }

    pub(crate) fn zigzag(&mut self) -> Result<i64, DecodeError> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, DecodeError> {
        self.varint().map(Timestamp::new)
    }

    /// A count of items that each take at least one byte, so that a damaged count cannot ask for memory.
    pub(crate) fn count(&mut self) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.varint()?).map_err(|_| DecodeError::Damaged("count too large"))?;
        if count > self.0.len() {
            return Err(DecodeError::Damaged("count larger than what follows"));
        }
        Ok(count)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Damaged("flag is neither 0 nor 1")),
        }
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.need(16)?;
        let mut bytes = [0; 16];
        self.0.copy_to_slice(&mut bytes);
        Ok(Uuid::from_bytes(bytes))
    }

    /// Bytes of their own, so that a small field does not keep a large buffer alive.
    pub(crate) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.count()?;
        Ok(Bytes::copy_from_slice(&self.0.split_to(length)))
    }

    pub(crate) fn string(&mut self) -> Result<String, DecodeError> {
        let length = self.count()?;
        String::from_utf8(self.0.split_to(length).to_vec()).map_err(|_| DecodeError::Damaged("text is not UTF-8"))
    }

    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Damaged("bytes behind the end")) }
    }

    fn need(&self, bytes: usize) -> Result<(), DecodeError> {
        if self.0.len() < bytes { Err(DecodeError::Damaged("ends within a field")) } else { Ok(()) }
    }
}
