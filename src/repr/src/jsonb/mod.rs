//! JSON values, packed so that the order of bytes is PostgreSQL's order of jsonb.
//!
//! A value is a tag (`02` null, `03` string, `04` number, `05` false, `06` true, `07` array, `08` object) and its content:
//! a string is its text and `00`, a number a packed numeric, an array its length as a packed int and its elements, an
//! object its length and for each key the key's text, `00`, and the value. Keys are sorted by length, then by bytes.
//! (PostgreSQL puts an empty array at the top before null; its bytes are those of the least array, its [`JsonbRef::order_key`]
//! is the least of all.)

mod build;
mod format;
mod parse;

pub use build::{JsonbBuilder, JsonbError};

use crate::codec::{self, END};
use crate::numeric::NumericRef;
use crate::{Arena, Row};

const NULL: u8 = 0x02;
const STRING: u8 = 0x03;
const NUMBER: u8 = 0x04;
const FALSE: u8 = 0x05;
const TRUE: u8 = 0x06;
const ARRAY: u8 = 0x07;
const OBJECT: u8 = 0x08;

/// Values may nest this deep.
pub const DEPTH_MAX: usize = 512;

/// A packed jsonb value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonbRef<'a>(pub(crate) &'a [u8]);

/// What kind of value a [`JsonbRef`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonbKind {
    Null,
    String,
    Number,
    Bool,
    Array,
    Object,
}

impl JsonbKind {
    /// As `jsonb_typeof` says it.
    pub fn name(self) -> &'static str {
        match self {
            JsonbKind::Null => "null",
            JsonbKind::String => "string",
            JsonbKind::Number => "number",
            JsonbKind::Bool => "boolean",
            JsonbKind::Array => "array",
            JsonbKind::Object => "object",
        }
    }
}

/// A value, one layer unpacked.
#[derive(Clone, Copy, Debug)]
pub enum Json<'a> {
    Null,
    String(&'a str),
    Number(NumericRef<'a>),
    Bool(bool),
    Array(JsonbArray<'a>),
    Object(JsonbObject<'a>),
}

/// An array's elements, in order.
#[derive(Clone, Copy, Debug)]
pub struct JsonbArray<'a> {
    length: usize,
    elements: &'a [u8],
}

/// An object's entries, sorted by length, then bytes of the key.
#[derive(Clone, Copy, Debug)]
pub struct JsonbObject<'a> {
    length: usize,
    entries: &'a [u8],
}

const BROKEN: &str = "a packed jsonb is one";

impl<'a> JsonbRef<'a> {
    pub const NULL: JsonbRef<'static> = JsonbRef(&[NULL]);
    pub const TRUE: JsonbRef<'static> = JsonbRef(&[TRUE]);
    pub const FALSE: JsonbRef<'static> = JsonbRef(&[FALSE]);

    /// Reads JSON text into `arena`.
    pub fn parse(text: &str, arena: &'a Arena) -> Result<JsonbRef<'a>, JsonbError> {
        Ok(JsonbRef(arena.bytes(&parse::parse(text)?)))
    }

    /// The packed bytes: a whole datum of a row.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Bytes whose order is PostgreSQL's, also where it is not that of the packed bytes: an empty array that is no part of
    /// another value is less than all else. Different values have different keys.
    pub fn order_key(&self) -> &'a [u8] {
        match self.decode() {
            Json::Array(array) if array.is_empty() => &[],
            _ => self.0,
        }
    }

    /// The value as the one datum of a row.
    pub fn to_row(&self) -> Row {
        Row::from_bytes(self.0)
    }

    /// Unpacks one layer. Panics if the bytes are not a jsonb value.
    pub fn decode(&self) -> Json<'a> {
        let (tag, content) = self.0.split_first().expect(BROKEN);
        match *tag {
            NULL => Json::Null,
            STRING => Json::String(codec::text(content).expect(BROKEN).0),
            NUMBER => Json::Number(NumericRef(content)),
            FALSE => Json::Bool(false),
            TRUE => Json::Bool(true),
            ARRAY | OBJECT => {
                let (length, taken) = codec::uint(content).expect(BROKEN);
                let (length, rest) = (length as usize, &content[taken..]);
                match *tag {
                    ARRAY => Json::Array(JsonbArray { length, elements: rest }),
                    _ => Json::Object(JsonbObject { length, entries: rest }),
                }
            }
            _ => panic!("{BROKEN}"),
        }
    }

    pub fn kind(&self) -> JsonbKind {
        match self.decode() {
            Json::Null => JsonbKind::Null,
            Json::String(_) => JsonbKind::String,
            Json::Number(_) => JsonbKind::Number,
            Json::Bool(_) => JsonbKind::Bool,
            Json::Array(_) => JsonbKind::Array,
            Json::Object(_) => JsonbKind::Object,
        }
    }

    /// The value of an object's key; none if there is no such key, or this is no object.
    pub fn get(&self, key: &str) -> Option<JsonbRef<'a>> {
        match self.decode() {
            Json::Object(object) => object.get(key),
            _ => None,
        }
    }

    /// An array's element, from 0, or from the end for a negative index; none if this is no array, or too short.
    pub fn get_index(&self, index: i64) -> Option<JsonbRef<'a>> {
        match self.decode() {
            Json::Array(array) => array.get(index),
            _ => None,
        }
    }

    /// PostgreSQL's text of the value.
    pub fn format(&self, out: &mut String) {
        format::format(*self, out);
    }

    /// Four blanks for each level, an element a line.
    pub fn format_pretty(&self, out: &mut String) {
        format::format_pretty(*self, out);
    }
}

impl std::fmt::Display for JsonbRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        self.format(&mut text);
        f.write_str(&text)
    }
}

impl std::fmt::Debug for JsonbRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Takes one value off the front.
fn take<'a>(bytes: &mut &'a [u8]) -> JsonbRef<'a> {
    let (value, rest) = bytes.split_at(packed_length(bytes, 0).expect(BROKEN));
    *bytes = rest;
    JsonbRef(value)
}

impl<'a> JsonbArray<'a> {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = JsonbRef<'a>> + use<'a> {
        let mut rest = self.elements;
        (0..self.length).map(move |_| take(&mut rest))
    }

    /// An element, from 0, or from the end for a negative index.
    pub fn get(&self, index: i64) -> Option<JsonbRef<'a>> {
        let index = if index < 0 { self.length.checked_add_signed(index as isize)? } else { index as usize };
        self.iter().nth(index)
    }
}

impl<'a> JsonbObject<'a> {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a str, JsonbRef<'a>)> + use<'a> {
        let mut rest = self.entries;
        (0..self.length).map(move |_| {
            let (key, taken) = codec::text(rest).expect(BROKEN);
            rest = &rest[taken..];
            (key, take(&mut rest))
        })
    }

    pub fn get(&self, key: &str) -> Option<JsonbRef<'a>> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }
}

/// How many bytes the value at the front of `bytes` takes.
pub(crate) fn packed_length(bytes: &[u8], depth: usize) -> Option<usize> {
    let (tag, content) = bytes.split_first()?;
    let length = match *tag {
        NULL | FALSE | TRUE => 1,
        STRING => 1 + content.iter().position(|byte| *byte == END)? + 1,
        NUMBER => 1 + crate::numeric::packed_length(content)?,
        ARRAY | OBJECT if depth < DEPTH_MAX => {
            let (count, taken) = codec::uint(content)?;
            let mut at = 1 + taken;
            for _ in 0..count {
                if *tag == OBJECT {
                    at += bytes.get(at..)?.iter().position(|byte| *byte == END)? + 1;
                }
                at += packed_length(bytes.get(at..)?, depth + 1)?;
            }
            at
        }
        _ => return None,
    };
    (length <= bytes.len()).then_some(length)
}

/// The length of a packed value that nobody vouches for.
pub(crate) fn check(bytes: &[u8], depth: usize) -> Option<usize> {
    let (tag, content) = bytes.split_first()?;
    match *tag {
        NULL | FALSE | TRUE => Some(1),
        STRING => Some(1 + codec::text(content)?.1),
        NUMBER => Some(1 + crate::numeric::check(content).filter(|_| is_finite(content))?),
        ARRAY | OBJECT if depth < DEPTH_MAX => {
            let (count, taken) = codec::uint(content)?;
            // The shortest spelling only.
            if taken > 1 && content[1] == 0 {
                return None;
            }
            let mut at = 1 + taken;
            let mut last: Option<&str> = None;
            for _ in 0..count {
                if *tag == OBJECT {
                    let (key, length) = codec::text(bytes.get(at..)?)?;
                    if last.is_some_and(|last| (last.len(), last) >= (key.len(), key)) {
                        return None;
                    }
                    last = Some(key);
                    at += length;
                }
                at += check(bytes.get(at..)?, depth + 1)?;
            }
            Some(at)
        }
        _ => None,
    }
}

/// JSON has no infinity and no NaN.
fn is_finite(packed: &[u8]) -> bool {
    NumericRef(&packed[..crate::numeric::packed_length(packed).unwrap_or(0)]).decode().is_finite()
}
