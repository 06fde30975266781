//! The bytes of packed datums: durable, order-preserving, self-delimiting.
//!
//! Laws, for two datums of one kind: the order of their bytes is SQL's ascending order with NULLS LAST, equal bytes are
//! equal values, no datum's bytes are a prefix of another's, and only NULL starts with `FF`. So rows compare, merge and
//! sort by `memcmp`, column after column, without decoding. A value has exactly one encoding; [`crate::row::check`]
//! refuses every other spelling.
//!
//! | kind | bytes |
//! |---|---|
//! | NULL | `FF` |
//! | bool | `02` or `03` |
//! | integers | tag `18` plus or minus the number of bytes, then these bytes big-endian, negatives complemented |
//! | floats | `01`, then the IEEE bytes, sign flipped, negatives inverted |
//! | numeric | see [`crate::numeric`] |
//! | date, time, timestamp | `01`, then 4 or 8 bytes, sign flipped |
//! | text | the bytes, then `00` |
//! | bytea | `01`, each `00` as `00 FF`, then `00 00` |
//! | uuid | `01`, 16 bytes |
//! | interval | its key (16 bytes, sign flipped), then months, days, microseconds, sign flipped |
//! | list, record, range, map | `01`, for each element its kind's tag and its datum (NULL: `FF` alone), then `00` |
//! | array | as a list, then the number of dimensions, their lengths, their lower bounds |
//! | jsonb | see [`crate::jsonb`] |

use std::ffi::CStr;

use smallvec::SmallVec;

use crate::bytea::BytesRef;
use crate::composite::{ArrayRef, ListRef, MapRef};
use crate::interval::Interval;
use crate::jsonb::JsonbRef;
use crate::numeric::NumericRef;
use crate::{Datum, Kind};

pub(crate) const NULL: u8 = 0xFF;
/// Leads datums whose first byte could otherwise be anything.
pub(crate) const LEAD: u8 = 0x01;
pub(crate) const END: u8 = 0x00;
const FALSE: u8 = 0x02;
const TRUE: u8 = 0x03;
const INT_ZERO: u8 = 0x18;
/// Lists, records, maps and arrays may nest this deep.
pub(crate) const DEPTH_MAX: usize = 100;

/// What datums are packed into.
pub(crate) trait Buffer {
    fn put(&mut self, byte: u8);
    fn put_slice(&mut self, bytes: &[u8]);
}

impl Buffer for SmallVec<[u8; 24]> {
    fn put(&mut self, byte: u8) {
        self.push(byte);
    }

    fn put_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Buffer for Vec<u8> {
    fn put(&mut self, byte: u8) {
        self.push(byte);
    }

    fn put_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The tag of an element in a list, record, map or array. Durable: never change one, never give one out twice.
pub(crate) fn tag_of_kind(kind: Kind) -> u8 {
    match kind {
        Kind::Bool => 0x10,
        Kind::Int => 0x18,
        Kind::UInt => 0x20,
        Kind::Float4 => 0x28,
        Kind::Float8 => 0x30,
        Kind::Numeric => 0x38,
        Kind::Date => 0x40,
        Kind::Time => 0x48,
        Kind::Timestamp => 0x50,
        Kind::Interval => 0x58,
        Kind::Text => 0x60,
        Kind::Bytes => 0x68,
        Kind::Uuid => 0x70,
        Kind::Jsonb => 0x78,
        Kind::Array => 0x80,
        Kind::List => 0x88,
        Kind::Map => 0x90,
    }
}

pub(crate) fn kind_of_tag(tag: u8) -> Option<Kind> {
    let kind = match tag {
        0x10 => Kind::Bool,
        0x18 => Kind::Int,
        0x20 => Kind::UInt,
        0x28 => Kind::Float4,
        0x30 => Kind::Float8,
        0x38 => Kind::Numeric,
        0x40 => Kind::Date,
        0x48 => Kind::Time,
        0x50 => Kind::Timestamp,
        0x58 => Kind::Interval,
        0x60 => Kind::Text,
        0x68 => Kind::Bytes,
        0x70 => Kind::Uuid,
        0x78 => Kind::Jsonb,
        0x80 => Kind::Array,
        0x88 => Kind::List,
        0x90 => Kind::Map,
        _ => return None,
    };
    Some(kind)
}

/// Appends one datum.
///
/// Panics: a text holds a NUL, which every way into a text datum refuses (SQLSTATE 22021) before it gets here; packed,
/// it would end the text early and shift every column behind it.
#[inline]
pub(crate) fn put_datum<B: Buffer>(buffer: &mut B, datum: Datum<'_>) {
    match datum {
        Datum::Null => buffer.put(NULL),
        Datum::Bool(false) => buffer.put(FALSE),
        Datum::Bool(true) => buffer.put(TRUE),
        Datum::Int(value) => put_int(buffer, value),
        Datum::UInt(value) => put_uint(buffer, value),
        Datum::Float4(value) => {
            let bits = value.get().to_bits();
            let flipped = if bits >> 31 == 0 { bits ^ (1 << 31) } else { !bits };
            put_led(buffer, &flipped.to_be_bytes());
        }
        Datum::Float8(value) => {
            let bits = value.get().to_bits();
            let flipped = if bits >> 63 == 0 { bits ^ (1 << 63) } else { !bits };
            put_led(buffer, &flipped.to_be_bytes());
        }
        Datum::Numeric(value) => buffer.put_slice(value.0),
        Datum::Date(days) => put_led(buffer, &flip_i32(days)),
        Datum::Time(micros) | Datum::Timestamp(micros) => put_led(buffer, &flip_i64(micros)),
        Datum::Interval(interval) => put_interval(buffer, interval),
        Datum::Text(text) => put_text(buffer, text),
        Datum::Bytes(bytes) => put_bytes(buffer, bytes),
        Datum::Uuid(uuid) => put_led(buffer, uuid.as_bytes()),
        Datum::Jsonb(json) => buffer.put_slice(json.0),
        Datum::Array(array) => buffer.put_slice(array.0),
        Datum::List(list) => buffer.put_slice(list.0),
        Datum::Map(map) => buffer.put_slice(map.0),
    }
}

fn put_led<const N: usize, B: Buffer>(buffer: &mut B, bytes: &[u8; N]) {
    let mut led = [LEAD; 17];
    led[1..=N].copy_from_slice(bytes);
    buffer.put_slice(&led[..=N]);
}

fn flip_i32(value: i32) -> [u8; 4] {
    (value ^ i32::MIN).to_be_bytes()
}

fn flip_i64(value: i64) -> [u8; 8] {
    (value ^ i64::MIN).to_be_bytes()
}

#[inline]
pub(crate) fn put_int<B: Buffer>(buffer: &mut B, value: i64) {
    match u64::try_from(value) {
        Ok(value) => put_uint(buffer, value),
        Err(_) => {
            let magnitude = value.unsigned_abs();
            let count = byte_count(magnitude);
            put_tagged(buffer, INT_ZERO - count as u8, !magnitude, count);
        }
    }
}

#[inline]
pub(crate) fn put_uint<B: Buffer>(buffer: &mut B, value: u64) {
    let count = byte_count(value);
    put_tagged(buffer, INT_ZERO + count as u8, value, count);
}

fn byte_count(value: u64) -> usize {
    8 - value.leading_zeros() as usize / 8
}

fn put_tagged<B: Buffer>(buffer: &mut B, tag: u8, value: u64, count: usize) {
    let mut bytes = [0; 9];
    bytes[0] = tag;
    bytes[1..=count].copy_from_slice(&value.to_be_bytes()[8 - count..]);
    buffer.put_slice(&bytes[..=count]);
}

fn put_interval<B: Buffer>(buffer: &mut B, interval: Interval) {
    let mut bytes = [0; INTERVAL_BYTES];
    bytes[..16].copy_from_slice(&(interval.key() ^ i128::MIN).to_be_bytes());
    bytes[16..20].copy_from_slice(&flip_i32(interval.months));
    bytes[20..24].copy_from_slice(&flip_i32(interval.days));
    bytes[24..].copy_from_slice(&flip_i64(interval.micros));
    buffer.put_slice(&bytes);
}

const INTERVAL_BYTES: usize = 32;

pub(crate) fn put_text<B: Buffer>(buffer: &mut B, text: &str) {
    assert!(!text.as_bytes().contains(&END), "a text datum holds a NUL");
    buffer.put_slice(text.as_bytes());
    buffer.put(END);
}

fn put_bytes<B: Buffer>(buffer: &mut B, bytes: BytesRef<'_>) {
    buffer.put(LEAD);
    match bytes.escaped() {
        Some(escaped) => buffer.put_slice(escaped),
        None => {
            // Each piece but the last ends with the zero that gets its escape.
            for piece in bytes.plain().split_inclusive(|byte| *byte == END) {
                buffer.put_slice(piece);
                if piece.ends_with(&[END]) {
                    buffer.put(NULL);
                }
            }
        }
    }
    buffer.put_slice(&[END, END]);
}

/// The datum at the front of `bytes` and how many bytes it takes. None: there is no datum of this kind.
///
/// Values are decoded, not checked for being canonical; of composites and jsonb only the extent is looked at.
#[inline]
pub(crate) fn datum(bytes: &[u8], kind: Kind) -> Option<(Datum<'_>, usize)> {
    let first = *bytes.first()?;
    if first == NULL {
        return Some((Datum::Null, 1));
    }
    let decoded = match kind {
        Kind::Bool => match first {
            FALSE => (Datum::FALSE, 1),
            TRUE => (Datum::TRUE, 1),
            _ => return None,
        },
        Kind::Int => {
            let (value, length) = int(bytes)?;
            (Datum::Int(value), length)
        }
        Kind::UInt => {
            let (value, length) = uint(bytes)?;
            (Datum::UInt(value), length)
        }
        Kind::Text => {
            let (text, length) = text(bytes)?;
            (Datum::Text(text), length)
        }
        Kind::Float4 => {
            let flipped = u32::from_be_bytes(led(bytes)?);
            let bits = if flipped >> 31 == 1 { flipped ^ (1 << 31) } else { !flipped };
            (Datum::float4(f32::from_bits(bits)), 5)
        }
        Kind::Float8 => {
            let flipped = u64::from_be_bytes(led(bytes)?);
            let bits = if flipped >> 63 == 1 { flipped ^ (1 << 63) } else { !flipped };
            (Datum::float8(f64::from_bits(bits)), 9)
        }
        Kind::Date => (Datum::Date(i32::from_be_bytes(led(bytes)?) ^ i32::MIN), 5),
        Kind::Time => (Datum::Time(i64::from_be_bytes(led(bytes)?) ^ i64::MIN), 9),
        Kind::Timestamp => (Datum::Timestamp(i64::from_be_bytes(led(bytes)?) ^ i64::MIN), 9),
        Kind::Uuid => (Datum::Uuid(uuid::Uuid::from_bytes(led(bytes)?)), 17),
        Kind::Interval => (Datum::Interval(interval(bytes)?), INTERVAL_BYTES),
        Kind::Bytes => {
            let (value, length) = bytea(bytes)?;
            (Datum::Bytes(value), length)
        }
        Kind::Numeric | Kind::Jsonb | Kind::Array | Kind::List | Kind::Map => {
            let length = length(bytes, kind, 0)?;
            let packed = &bytes[..length];
            let datum = match kind {
                Kind::Numeric => Datum::Numeric(NumericRef(packed)),
                Kind::Jsonb => Datum::Jsonb(JsonbRef(packed)),
                Kind::Array => Datum::Array(ArrayRef(packed)),
                Kind::Map => Datum::Map(MapRef(packed)),
                _ => Datum::List(ListRef(packed)),
            };
            (datum, length)
        }
    };
    Some(decoded)
}

/// How many bytes the datum at the front of `bytes` takes, without decoding it.
#[inline]
pub(crate) fn length(bytes: &[u8], kind: Kind, depth: usize) -> Option<usize> {
    let first = *bytes.first()?;
    if first == NULL {
        return Some(1);
    }
    let length = match kind {
        Kind::Bool => 1,
        Kind::Int | Kind::UInt => {
            let count = usize::from(first.abs_diff(INT_ZERO));
            if count > 8 {
                return None;
            }
            count + 1
        }
        Kind::Float4 | Kind::Date => 5,
        Kind::Float8 | Kind::Time | Kind::Timestamp => 9,
        Kind::Uuid => 17,
        Kind::Interval => INTERVAL_BYTES,
        Kind::Text => position_of_zero(bytes)? + 1,
        Kind::Bytes => bytea(bytes)?.1,
        Kind::Numeric => crate::numeric::packed_length(bytes)?,
        Kind::Jsonb => crate::jsonb::packed_length(bytes, 0)?,
        Kind::List | Kind::Map => elements_length(bytes, depth)?,
        Kind::Array => array_length(bytes, depth)?,
    };
    (length <= bytes.len()).then_some(length)
}

/// The lead byte, tagged elements and the end.
fn elements_length(bytes: &[u8], depth: usize) -> Option<usize> {
    if depth >= DEPTH_MAX || bytes.first() != Some(&LEAD) {
        return None;
    }
    let mut at = 1;
    loop {
        let tag = *bytes.get(at)?;
        at += 1;
        match tag {
            END => return Some(at),
            NULL => {}
            tag => at += length(&bytes[at..], kind_of_tag(tag)?, depth + 1)?,
        }
    }
}

fn array_length(bytes: &[u8], depth: usize) -> Option<usize> {
    let mut at = elements_length(bytes, depth)?;
    let (dimensions, taken) = uint(&bytes[at..])?;
    at += taken;
    if dimensions > crate::composite::DIMENSIONS_MAX as u64 {
        return None;
    }
    for _ in 0..2 * dimensions {
        at += length(&bytes[at..], Kind::Int, depth)?;
    }
    Some(at)
}

fn led<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first()?;
    if *first != LEAD {
        return None;
    }
    rest.first_chunk().copied()
}

#[inline]
pub(crate) fn int(bytes: &[u8]) -> Option<(i64, usize)> {
    let tag = *bytes.first()?;
    if tag >= INT_ZERO {
        let (value, length) = uint(bytes)?;
        return Some((i64::try_from(value).ok()?, length));
    }
    let count = usize::from(INT_ZERO - tag);
    if count > 8 {
        return None;
    }
    let mask = u64::MAX >> (64 - 8 * count);
    let magnitude = !big_endian(&bytes[1..], count)? & mask;
    if magnitude > i64::MIN.unsigned_abs() {
        return None;
    }
    Some(((magnitude as i64).wrapping_neg(), count + 1))
}

#[inline]
pub(crate) fn uint(bytes: &[u8]) -> Option<(u64, usize)> {
    let count = usize::from(bytes.first()?.checked_sub(INT_ZERO)?);
    if count > 8 {
        return None;
    }
    Some((big_endian(&bytes[1..], count)?, count + 1))
}

/// The first `count` bytes, at most 8, as a number.
fn big_endian(bytes: &[u8], count: usize) -> Option<u64> {
    if let Some(eight) = bytes.first_chunk::<8>() {
        // One load and a shift instead of a loop; not possible near the end of the row.
        return Some(if count == 0 { 0 } else { u64::from_be_bytes(*eight) >> (64 - 8 * count) });
    }
    let bytes = bytes.get(..count)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn interval(bytes: &[u8]) -> Option<Interval> {
    let (_key, fields) = bytes.split_first_chunk::<16>()?;
    let (months, fields) = fields.split_first_chunk()?;
    let (days, fields) = fields.split_first_chunk()?;
    Some(Interval {
        months: i32::from_be_bytes(*months) ^ i32::MIN,
        days: i32::from_be_bytes(*days) ^ i32::MIN,
        micros: i64::from_be_bytes(*fields.first_chunk()?) ^ i64::MIN,
    })
}

fn position_of_zero(bytes: &[u8]) -> Option<usize> {
    // The standard library's memchr, under the only name it has for it.
    CStr::from_bytes_until_nul(bytes).ok().map(CStr::count_bytes)
}

#[inline]
pub(crate) fn text(bytes: &[u8]) -> Option<(&str, usize)> {
    let end = position_of_zero(bytes)?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, end + 1))
}

fn bytea(bytes: &[u8]) -> Option<(BytesRef<'_>, usize)> {
    if bytes.first() != Some(&LEAD) {
        return None;
    }
    let mut at = 1;
    let mut has_escapes = false;
    loop {
        at += position_of_zero(bytes.get(at..)?)?;
        match *bytes.get(at + 1)? {
            NULL => has_escapes = true,
            END => break,
            _ => return None,
        }
        at += 2;
    }
    let body = &bytes[1..at];
    let value = if has_escapes { BytesRef::from_escaped(body) } else { BytesRef::from(body) };
    Some((value, at + 2))
}
