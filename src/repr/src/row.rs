//! Packed rows: datums one after another in the order-preserving codec.

use std::fmt;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use smallvec::SmallVec;

use crate::numeric::Numeric;
use crate::{Arena, Datum, Kind, codec};

/// No datum of any kind starts with it: NULL is FF, text is UTF-8, all others start below A0. Whoever stores something else
/// beside rows marks it so.
pub const NOT_A_ROW: u8 = 0xFE;

/// Datums packed one after another, without a header: arity and kinds come from the schema.
///
/// The order of bytes is SQL's ascending order with NULLS LAST, and equal bytes are equal values; `interval` alone, and
/// what contains one, has equal values of different bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row(SmallVec<[u8; 24]>);

impl Row {
    /// Packs the datums.
    pub fn pack<'a>(datums: impl IntoIterator<Item = Datum<'a>>) -> Row {
        let mut row = Row::default();
        row.extend(datums);
        row
    }

    /// Packs one datum.
    pub fn pack_one(datum: Datum<'_>) -> Row {
        let mut row = Row::default();
        row.push(datum);
        row
    }

    /// Appends datums behind those already there.
    pub fn extend<'a>(&mut self, datums: impl IntoIterator<Item = Datum<'a>>) {
        for datum in datums {
            self.push(datum);
        }
    }

    /// Appends one datum.
    ///
    /// Panics: a text holds a NUL; whoever makes a text from outside must have refused it (SQLSTATE 22021).
    #[inline]
    pub fn push(&mut self, datum: Datum<'_>) {
        codec::put_datum(&mut self.0, datum);
    }

    /// Appends a number.
    pub fn push_numeric(&mut self, number: &Numeric) {
        self.0.extend_from_slice(number.to_packed().as_bytes());
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

    /// Unpacks the only, or the first, datum out of a copy in `arena`.
    pub fn unpack_first_in<'a>(&self, kind: Kind, arena: &'a Arena) -> Datum<'a> {
        read_datum(&mut arena.bytes(&self.0), kind)
    }
}

/// Unpacks the datums of `bytes` behind those already in `datums`. Panics if the bytes are not a row of these kinds.
pub fn unpack_into<'a>(bytes: &'a [u8], kinds: &[Kind], datums: &mut Vec<Datum<'a>>) {
    let mut rest = bytes;
    datums.extend(kinds.iter().map(|kind| read_datum(&mut rest, *kind)));
}

/// Takes one datum off the front of `bytes`. Panics if the bytes do not start with a datum of this kind.
#[inline]
pub fn read_datum<'a>(bytes: &mut &'a [u8], kind: Kind) -> Datum<'a> {
    match codec::datum(bytes, kind) {
        Some((datum, length)) => {
            *bytes = &bytes[length..];
            datum
        }
        None => broken(bytes, kind),
    }
}

/// Takes the packed bytes of one datum off the front of `bytes` without decoding it.
#[inline]
pub fn skip_datum<'a>(bytes: &mut &'a [u8], kind: Kind) -> &'a [u8] {
    match codec::length(bytes, kind, 0) {
        Some(length) => {
            let (datum, rest) = bytes.split_at(length);
            *bytes = rest;
            datum
        }
        None => broken(bytes, kind),
    }
}

/// Splits the packed bytes of one datum off the front of `bytes`. None: they do not start with a datum of this kind.
#[inline]
pub fn split_datum(bytes: &[u8], kind: Kind) -> Option<(&[u8], &[u8])> {
    Some(bytes.split_at(codec::length(bytes, kind, 0)?))
}

#[cold]
fn broken(bytes: &[u8], kind: Kind) -> ! {
    panic!("no {kind:?} datum at the front of {:?}", Hex(bytes));
}

/// Unpacks a row that came from disk or network. Errors: the bytes are not exactly one row of these kinds.
///
/// Also errors on a spelling that [`Row::push`] never writes: two equal values must not differ in bytes.
pub fn check(bytes: &[u8], kinds: &[Kind]) -> Result<(), CorruptRow> {
    let mut rest = bytes;
    for (column, kind) in kinds.iter().enumerate() {
        let taken = crate::check::datum(rest, *kind, 0)
            .ok_or_else(|| CorruptRow(format!("column {column} is not a {kind:?}: {:?}", Hex(rest))))?;
        rest = &rest[taken..];
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(CorruptRow(format!("{} bytes behind the last of {} columns", rest.len(), kinds.len())))
    }
}

/// Bytes that are not a row of the kinds expected.
#[derive(Debug, thiserror::Error)]
#[error("corrupt row: {0}")]
pub struct CorruptRow(pub String);

/// Prints bytes in hexadecimal, the first 64 of them.
struct Hex<'a>(&'a [u8]);

impl fmt::Debug for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(64)];
        shown.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        if shown.len() < self.0.len() { f.write_str("...") } else { Ok(()) }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({:?})", Hex(&self.0))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
        struct RowVisitor;

        impl<'de> Visitor<'de> for RowVisitor {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a row")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Row, E> {
                Ok(Row::from_bytes(bytes))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Row, A::Error> {
                let mut row = Row::default();
                while let Some(byte) = sequence.next_element()? {
                    row.0.push(byte);
                }
                Ok(row)
            }
        }

        deserializer.deserialize_bytes(RowVisitor)
    }
}
