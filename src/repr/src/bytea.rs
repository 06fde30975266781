//! Byte strings, which are read out of rows without copying.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use crate::Arena;

/// A byte string: as it is, or as it lies in a row, where each zero byte is followed by an escape.
///
/// Order, equality and hash are those of the bytes meant.
#[derive(Clone, Copy)]
pub struct BytesRef<'a>(Form<'a>);

#[derive(Clone, Copy)]
enum Form<'a> {
    Plain(&'a [u8]),
    /// Each `00` is followed by `FF`; at least one is there.
    Escaped(&'a [u8]),
}

impl<'a> BytesRef<'a> {
    pub(crate) fn from_escaped(escaped: &'a [u8]) -> BytesRef<'a> {
        BytesRef(Form::Escaped(escaped))
    }

    pub(crate) fn escaped(self) -> Option<&'a [u8]> {
        match self.0 {
            Form::Plain(_) => None,
            Form::Escaped(escaped) => Some(escaped),
        }
    }

    /// The bytes, if they are not escaped, else none.
    pub(crate) fn plain(self) -> &'a [u8] {
        match self.0 {
            Form::Plain(bytes) => bytes,
            Form::Escaped(_) => &[],
        }
    }

    /// The bytes; copied only if there is a zero byte among them and they come from a row.
    pub fn to_cow(self) -> Cow<'a, [u8]> {
        match self.0 {
            Form::Plain(bytes) => Cow::Borrowed(bytes),
            Form::Escaped(_) => Cow::Owned(self.iter().collect()),
        }
    }

    /// The bytes as one slice, made in `arena` if need be.
    pub fn in_arena(self, arena: &'a Arena) -> &'a [u8] {
        match self.to_cow() {
            Cow::Borrowed(bytes) => bytes,
            Cow::Owned(bytes) => arena.bytes(&bytes),
        }
    }

    /// The bytes in order.
    pub fn iter(self) -> impl Iterator<Item = u8> + 'a {
        let (bytes, escaped) = match self.0 {
            Form::Plain(bytes) => (bytes, false),
            Form::Escaped(bytes) => (bytes, true),
        };
        let mut at = 0;
        std::iter::from_fn(move || {
            let byte = *bytes.get(at)?;
            at += if escaped && byte == 0 { 2 } else { 1 };
            Some(byte)
        })
    }

    /// The number of bytes.
    pub fn len(self) -> usize {
        match self.0 {
            Form::Plain(bytes) => bytes.len(),
            Form::Escaped(_) => self.iter().count(),
        }
    }

    pub fn is_empty(self) -> bool {
        match self.0 {
            Form::Plain(bytes) | Form::Escaped(bytes) => bytes.is_empty(),
        }
    }
}

impl<'a> From<&'a [u8]> for BytesRef<'a> {
    fn from(bytes: &'a [u8]) -> BytesRef<'a> {
        BytesRef(Form::Plain(bytes))
    }
}

impl PartialEq for BytesRef<'_> {
    fn eq(&self, other: &BytesRef<'_>) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for BytesRef<'_> {}

impl PartialOrd for BytesRef<'_> {
    fn partial_cmp(&self, other: &BytesRef<'_>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BytesRef<'_> {
    fn cmp(&self, other: &BytesRef<'_>) -> Ordering {
        match (self.0, other.0) {
            (Form::Plain(mine), Form::Plain(theirs)) => mine.cmp(theirs),
            _ => self.iter().cmp(other.iter()),
        }
    }
}

impl Hash for BytesRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_cow().hash(state);
    }
}

impl std::fmt::Debug for BytesRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\\x")?;
        self.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
