//! Packed rows: datums one after another in the order-preserving codec.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{Datum, Kind};

/// Datums packed one after another, without a header: arity and kinds come from the schema.
///
/// The order of bytes is SQL's ascending order with NULLS LAST, and equal bytes are equal values; `interval` alone, and
/// what contains one, has equal values of different bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Row(SmallVec<[u8; 24]>);

impl Row {
    /// Packs the datums.
    pub fn pack<'a>(datums: impl IntoIterator<Item = Datum<'a>>) -> Row {
        let mut row = Row::default();
        row.extend(datums);
        row
    }

    /// Appends datums behind those already there.
    pub fn extend<'a>(&mut self, datums: impl IntoIterator<Item = Datum<'a>>) {
        for datum in datums {
            self.push(datum);
        }
    }

    /// Appends one datum.
    pub fn push(&mut self, datum: Datum<'_>) {
        let _ = datum;
        todo!("H1: encode")
    }

    /// Appends datums that are already packed.
    pub fn push_packed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Wraps bytes that a row of this codec once yielded; they are not checked here but where they are read.
    pub fn from_bytes(bytes: &[u8]) -> Row {
        Row(SmallVec::from_slice(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn len_bytes(&self) -> usize {
        self.0.len()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Unpacks all datums. Panics if the bytes are not a row of these kinds.
    pub fn unpack(&self, kinds: &[Kind]) -> Vec<Datum<'_>> {
        let mut datums = Vec::with_capacity(kinds.len());
        unpack_into(&self.0, kinds, &mut datums);
        datums
    }

    /// Unpacks the only, or the first, datum.
    pub fn unpack_first(&self, kind: Kind) -> Datum<'_> {
        read_datum(&mut &self.0[..], kind)
    }
}

/// Unpacks the datums of `bytes` behind those already in `datums`. Panics if the bytes are not a row of these kinds.
pub fn unpack_into<'a>(bytes: &'a [u8], kinds: &[Kind], datums: &mut Vec<Datum<'a>>) {
    let mut rest = bytes;
    datums.extend(kinds.iter().map(|kind| read_datum(&mut rest, *kind)));
}

/// Takes one datum off the front of `bytes`. Panics if the bytes do not start with a datum of this kind.
pub fn read_datum<'a>(bytes: &mut &'a [u8], kind: Kind) -> Datum<'a> {
    let _ = (bytes, kind);
    todo!("H1: decode")
}

/// Takes the packed bytes of one datum off the front of `bytes` without decoding it.
pub fn skip_datum<'a>(bytes: &mut &'a [u8], kind: Kind) -> &'a [u8] {
    let _ = (bytes, kind);
    todo!("H1: skip")
}

/// Unpacks a row that came from disk or network. Errors: the bytes are not exactly one row of these kinds.
pub fn check(bytes: &[u8], kinds: &[Kind]) -> Result<(), CorruptRow> {
    let _ = (bytes, kinds);
    todo!("H1: check")
}

/// Bytes that are not a row of the kinds expected.
#[derive(Debug, thiserror::Error)]
#[error("corrupt row: {0}")]
pub struct CorruptRow(pub String);

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Row(")?;
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}
