//! Builds packed jsonb values.

use std::ops::Range;

use super::{ARRAY, DEPTH_MAX, FALSE, JsonbRef, NULL, NUMBER, OBJECT, STRING, TRUE};
use crate::codec;
use crate::numeric::{Numeric, NumericError};
use crate::{Arena, Row};

/// Why there is no jsonb value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonbError {
    #[error("invalid input syntax for type json")]
    Syntax {
        /// What is wrong, as a sentence.
        detail: String,
    },
    #[error("unsupported Unicode escape sequence")]
    Nul,
    #[error("nesting of a json value exceeds {DEPTH_MAX} levels")]
    TooDeep,
    #[error("number of a json value is out of range")]
    NumberOutOfRange,
    #[error("cannot convert NaN or infinity to jsonb")]
    NotFinite,
}

impl JsonbError {
    /// The five characters clients know the error by.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            JsonbError::Syntax { .. } => "22P02",
            JsonbError::Nul => "22P05",
            JsonbError::TooDeep => "54001",
            JsonbError::NumberOutOfRange => "22003",
            JsonbError::NotFinite => "22023",
        }
    }

    /// Why, as a sentence.
    pub fn detail(&self) -> Option<&str> {
        match self {
            JsonbError::Syntax { detail } => Some(detail),
            JsonbError::Nul => Some("\\u0000 cannot be converted to text."),
            JsonbError::TooDeep | JsonbError::NumberOutOfRange | JsonbError::NotFinite => None,
        }
    }
}

impl From<NumericError> for JsonbError {
    fn from(_: NumericError) -> JsonbError {
        JsonbError::NumberOutOfRange
    }
}

/// Builds one value from the outside in: `begin_array`, values, `end_array`; in an object `key` before each value.
///
/// Panics when used out of order: the input decides the values, the program the order of calls.
#[derive(Default)]
pub struct JsonbBuilder {
    packed: Vec<u8>,
    open: Vec<Container>,
}

struct Container {
    /// Where its first element or key begins; tag and length are put before it at the end.
    start: usize,
    count: usize,
    /// Of an object: where each key begins.
    entries: Option<Vec<Entry>>,
}

struct Entry {
    key: Range<usize>,
    start: usize,
}

impl JsonbBuilder {
    pub fn new() -> JsonbBuilder {
        JsonbBuilder::default()
    }

    fn value(&mut self, tag: u8) {
        if let Some(container) = self.open.last_mut()
            && container.entries.is_none()
        {
            container.count += 1;
        }
        self.packed.push(tag);
    }

    pub fn null(&mut self) {
        self.value(NULL);
    }

    pub fn bool(&mut self, value: bool) {
        self.value(if value { TRUE } else { FALSE });
    }

    /// Errors: a NUL in the text.
    pub fn string(&mut self, text: &str) -> Result<(), JsonbError> {
        if text.contains('\0') {
            return Err(JsonbError::Nul);
        }
        self.value(STRING);
        codec::put_text(&mut self.packed, text);
        Ok(())
    }

    /// Errors: not finite.
    pub fn number(&mut self, number: &Numeric) -> Result<(), JsonbError> {
        if !number.is_finite() {
            return Err(JsonbError::NotFinite);
        }
        self.value(NUMBER);
        self.packed.extend_from_slice(number.to_packed().as_bytes());
        Ok(())
    }

    pub fn int(&mut self, value: i64) {
        self.number(&Numeric::from_i64(value)).expect("an integer is finite");
    }

    /// Puts in a value that is built already. Errors: too deep.
    pub fn push(&mut self, value: JsonbRef<'_>) -> Result<(), JsonbError> {
        let (tag, content) = value.0.split_first().expect("a packed jsonb is not empty");
        if super::packed_length(value.0, self.open.len()).is_none() {
            return Err(JsonbError::TooDeep);
        }
        self.value(*tag);
        self.packed.extend_from_slice(content);
        Ok(())
    }

    /// Errors: too deep.
    pub fn begin_array(&mut self) -> Result<(), JsonbError> {
        self.begin(None)
    }

    /// Errors: too deep.
    pub fn begin_object(&mut self) -> Result<(), JsonbError> {
        self.begin(Some(Vec::new()))
    }

    fn begin(&mut self, entries: Option<Vec<Entry>>) -> Result<(), JsonbError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(JsonbError::TooDeep);
        }
        self.value(if entries.is_some() { OBJECT } else { ARRAY });
        self.open.push(Container { start: self.packed.len(), count: 0, entries });
        Ok(())
    }

    /// The key of the next value. Of equal keys the last wins. Errors: a NUL in the text.
    pub fn key(&mut self, key: &str) -> Result<(), JsonbError> {
        if key.contains('\0') {
            return Err(JsonbError::Nul);
        }
        let start = self.packed.len();
        codec::put_text(&mut self.packed, key);
        let entries = self.open.last_mut().and_then(|container| container.entries.as_mut());
        entries.expect("a key is put into an object").push(Entry { key: start..start + key.len(), start });
        Ok(())
    }

    pub fn end_array(&mut self) {
        let container = self.open.pop().expect("an array is open");
        assert!(container.entries.is_none(), "an object is ended as an array");
        self.put_count(container.start, container.count);
    }

    pub fn end_object(&mut self) {
        let container = self.open.pop().expect("an object is open");
        let entries = container.entries.expect("an object is ended, not an array");
        let count = self.sort_entries(container.start, entries);
        self.put_count(container.start, count);
    }

    fn put_count(&mut self, start: usize, count: usize) {
        let mut length = Vec::with_capacity(9);
        codec::put_uint(&mut length, count as u64);
        self.packed.splice(start..start, length);
    }

    /// Sorts entries by (length, bytes) and drops all but the last of equal keys. Returns how many are left.
    fn sort_entries(&mut self, start: usize, entries: Vec<Entry>) -> usize {
        let packed = &self.packed;
        let key = |entry: &Entry| (entry.key.len(), &packed[entry.key.clone()]);
        if entries.is_sorted_by(|left, right| key(left) < key(right)) {
            return entries.len();
        }
        let ends = entries.iter().skip(1).map(|entry| entry.start).chain([packed.len()]);
        let mut ranges: Vec<(&Entry, Range<usize>)> =
            entries.iter().zip(ends).map(|(entry, end)| (entry, entry.start..end)).collect();
        // The later of equal keys comes first, so that deduplication keeps it.
        ranges.reverse();
        ranges.sort_by_key(|(entry, _)| key(entry));
        ranges.dedup_by_key(|(entry, _)| key(entry));
        let sorted: Vec<u8> = ranges.iter().flat_map(|(_, range)| &packed[range.clone()]).copied().collect();
        let count = ranges.len();
        self.packed.truncate(start);
        self.packed.extend_from_slice(&sorted);
        count
    }

    /// The packed bytes of the value.
    pub fn finish(self) -> Vec<u8> {
        assert!(self.open.is_empty() && !self.packed.is_empty(), "a jsonb value is not complete");
        self.packed
    }

    /// The value, moved into `arena`.
    pub fn finish_in(self, arena: &Arena) -> JsonbRef<'_> {
        JsonbRef(arena.bytes(&self.finish()))
    }

    /// The value as the one datum of a row.
    pub fn finish_row(self) -> Row {
        Row::from_bytes(&self.finish())
    }
}
