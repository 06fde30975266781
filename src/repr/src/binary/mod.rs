//! PostgreSQL's binary form of every type, in and out.
//!
//! Lists and maps, which PostgreSQL has not, are a count and for each element (or key and value) a length (-1 for NULL)
//! and the bytes.

mod numeric;

use crate::composite::{DIMENSIONS_MAX, Dimension, pack_array, pack_list, pack_map};
use crate::datetime::{
    DATE_INFINITY, DATE_MAX, DATE_MIN, DATE_NEGATIVE_INFINITY, MICROS_PER_DAY, TIMESTAMP_INFINITY,
    TIMESTAMP_NEGATIVE_INFINITY, is_timestamp,
};
use crate::error::{ParseError, ParseErrorKind};
use crate::interval::Interval;
use crate::jsonb::JsonbRef;
use crate::range::{Bound, Range, RangeType};
use crate::{Arena, ColumnType, Datum, Kind, ScalarType, pg_type};

/// Days from the Unix epoch to 2000-01-01, from which PostgreSQL counts.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * MICROS_PER_DAY;
/// The only version of jsonb's form.
const JSONB_VERSION: u8 = 1;

/// Appends the binary form of a value that is not NULL.
///
/// Panics: the datum is NULL, which has no form, or of another kind than the type.
pub fn encode(datum: Datum<'_>, typ: &ScalarType, out: &mut Vec<u8>) {
    match datum {
        Datum::Null => panic!("NULL has no binary form"),
        Datum::Bool(value) => out.push(value.into()),
        Datum::Int(value) => match typ {
            ScalarType::Int2 => out.extend((value as i16).to_be_bytes()),
            ScalarType::Int4 => out.extend((value as i32).to_be_bytes()),
            ScalarType::Enum(_) => encode_text(datum, typ, out),
            _ => out.extend(value.to_be_bytes()),
        },
        Datum::UInt(value) => match typ {
            ScalarType::UInt2 => out.extend((value as u16).to_be_bytes()),
            ScalarType::UInt8 | ScalarType::MzTimestamp => out.extend(value.to_be_bytes()),
            _ => out.extend((value as u32).to_be_bytes()),
        },
        Datum::Float4(value) => out.extend(value.get().to_be_bytes()),
        Datum::Float8(value) => out.extend(value.get().to_be_bytes()),
        Datum::Numeric(number) => numeric::encode(&number.decode(), typ, out),
        Datum::Date(days @ (DATE_INFINITY | DATE_NEGATIVE_INFINITY)) => out.extend(days.to_be_bytes()),
        Datum::Date(days) => out.extend(days.saturating_sub(EPOCH_DAYS).to_be_bytes()),
        Datum::Time(micros) => out.extend(micros.to_be_bytes()),
        Datum::Timestamp(micros @ (TIMESTAMP_INFINITY | TIMESTAMP_NEGATIVE_INFINITY)) => {
            out.extend(micros.to_be_bytes());
        }
        Datum::Timestamp(micros) => out.extend(micros.saturating_sub(EPOCH_MICROS).to_be_bytes()),
        Datum::Interval(Interval { months, days, micros }) => {
            out.extend(micros.to_be_bytes());
            out.extend(days.to_be_bytes());
            out.extend(months.to_be_bytes());
        }
        Datum::Text(text) if *typ == ScalarType::PgChar => out.push(crate::text::pg_char::byte_of(text)),
        Datum::Text(_) => encode_text(datum, typ, out),
        Datum::Bytes(bytes) => out.extend(bytes.iter()),
        Datum::Uuid(uuid) => out.extend(uuid.as_bytes()),
        Datum::Jsonb(json) => {
            out.push(JSONB_VERSION);
            out.extend(json.to_string().as_bytes());
        }
        Datum::Array(_) => encode_array(datum, typ, out),
        Datum::List(_) | Datum::Map(_) => encode_elements(datum, typ, out),
    }
}

/// The text form, in which a char(n) is padded.
fn encode_text(datum: Datum<'_>, typ: &ScalarType, out: &mut Vec<u8>) {
    let mut text = String::new();
    crate::text::format(datum, typ, &mut text);
    out.extend(text.as_bytes());
}

/// A length and the bytes, or -1 for NULL.
fn encode_element(datum: Datum<'_>, typ: &ScalarType, out: &mut Vec<u8>) {
    if datum.is_null() {
        out.extend((-1_i32).to_be_bytes());
        return;
    }
    let start = out.len();
    out.extend([0; 4]);
    encode(datum, typ, out);
    let length = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn encode_array(datum: Datum<'_>, typ: &ScalarType, out: &mut Vec<u8>) {
    let ScalarType::Array(element_type) = typ else { panic!("an array of type {typ:?}") };
    let element_type = innermost(element_type);
    let array = datum.unwrap_array();
    let dimensions = array.dimensions();
    let has_nulls = array.iter().any(|element| element.is_null());
    out.extend((dimensions.len() as i32).to_be_bytes());
    out.extend(i32::from(has_nulls).to_be_bytes());
    out.extend(pg_type::oid(element_type).to_be_bytes());
    for Dimension { length, lower } in dimensions {
        out.extend((length as i32).to_be_bytes());
        out.extend((lower as i32).to_be_bytes());
    }
    for element in array.iter() {
        encode_element(element, element_type, out);
    }
}

fn encode_elements(datum: Datum<'_>, typ: &ScalarType, out: &mut Vec<u8>) {
    match (datum, typ) {
        (Datum::List(list), ScalarType::List(element_type)) => {
            out.extend((list.iter().count() as i32).to_be_bytes());
            list.iter().for_each(|element| encode_element(element, element_type, out));
        }
        (Datum::List(record), ScalarType::Record(fields)) => {
            out.extend((fields.len() as i32).to_be_bytes());
            for (element, (_, column)) in record.iter().zip(fields) {
                out.extend(pg_type::oid(&column.scalar).to_be_bytes());
                encode_element(element, &column.scalar, out);
            }
        }
        (Datum::Map(map), ScalarType::Map(value_type)) => {
            out.extend((map.iter().count() as i32).to_be_bytes());
            for (key, value) in map.iter() {
                encode_element(Datum::Text(key), &ScalarType::Text, out);
                encode_element(value, value_type, out);
            }
        }
        (Datum::List(list), ScalarType::Range(range)) => encode_range(Range::unpack(list), *range, out),
        (datum, typ) => panic!("{datum:?} is not of type {typ:?}"),
    }
}

/// An array of arrays is an array of more dimensions.
fn innermost(element: &ScalarType) -> &ScalarType {
    match element {
        ScalarType::Array(element) => innermost(element),
        element => element,
    }
}

fn invalid() -> ParseError {
    ParseError::new(ParseErrorKind::InvalidBinary, "incorrect binary data format")
}

fn too_short() -> ParseError {
    ParseError::new(ParseErrorKind::InvalidBinary, "insufficient data left in message")
}

/// Takes numbers and slices off the front of a message.
struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(too_short)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn i16(&mut self) -> Result<i16, ParseError> {
        self.array().map(i16::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, ParseError> {
        self.array().map(u16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, ParseError> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, ParseError> {
        self.array().map(i64::from_be_bytes)
    }

    /// A count of things of which each takes at least `bytes_min` bytes.
    fn count(&mut self, bytes_min: usize) -> Result<usize, ParseError> {
        let count = usize::try_from(self.i32()?).map_err(|_| invalid())?;
        if count > self.rest.len() / bytes_min { Err(too_short()) } else { Ok(count) }
    }

    fn rest(&mut self) -> &'b [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The bytes of an element; none for NULL.
    fn element(&mut self) -> Result<Option<&'b [u8]>, ParseError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| invalid())?;
                let (element, rest) = self.rest.split_at_checked(length).ok_or_else(too_short)?;
                self.rest = rest;
                Ok(Some(element))
            }
        }
    }
}

/// Reads the binary form of a value.
pub fn decode<'a>(bytes: &[u8], typ: &ScalarType, arena: &'a Arena) -> Result<Datum<'a>, ParseError> {
    let mut reader = Reader { rest: bytes };
    let datum = decode_from(&mut reader, typ, arena)?;
    if reader.rest.is_empty() { Ok(datum) } else { Err(invalid()) }
}

fn decode_from<'a>(reader: &mut Reader<'_>, typ: &ScalarType, arena: &'a Arena) -> Result<Datum<'a>, ParseError> {
    let datum = match typ {
        ScalarType::Bool => Datum::Bool(reader.array::<1>()? != [0]),
        ScalarType::Int2 => Datum::Int(reader.i16()?.into()),
        ScalarType::Int4 => Datum::Int(reader.i32()?.into()),
        ScalarType::Int8 => Datum::Int(reader.i64()?),
        ScalarType::UInt2 => Datum::UInt(reader.u16()?.into()),
        ScalarType::UInt4
        | ScalarType::Oid
        | ScalarType::RegClass
        | ScalarType::RegProc
        | ScalarType::RegProcedure
        | ScalarType::RegType
        | ScalarType::RegNamespace
        | ScalarType::RegRole => Datum::UInt(u32::from_be_bytes(reader.array()?).into()),
        ScalarType::UInt8 | ScalarType::MzTimestamp => Datum::UInt(u64::from_be_bytes(reader.array()?)),
        ScalarType::Float4 => Datum::float4(f32::from_be_bytes(reader.array()?)),
        ScalarType::Float8 => Datum::float8(f64::from_be_bytes(reader.array()?)),
        ScalarType::Numeric(spec) => Datum::Numeric(numeric::decode(reader, *spec)?.pack(arena)),
        ScalarType::Text | ScalarType::Varchar(_) | ScalarType::Char(_) | ScalarType::Name | ScalarType::Enum(_) => {
            crate::text::parse(text(reader.rest())?, typ, arena)?
        }
        ScalarType::PgChar => {
            Datum::Text(arena.text(&crate::text::pg_char::of_byte(u8::from_be_bytes(reader.array()?))))
        }
        ScalarType::Bytes => Datum::bytes(arena.bytes(reader.rest())),
        ScalarType::Date => Datum::Date(date(reader.i32()?)?),
        ScalarType::Time(precision) => {
            let micros = time(reader.i64()?)?;
            Datum::Time(precision.map_or(micros, |precision| crate::datetime::round_to_precision(micros, precision)))
        }
        ScalarType::Timestamp(precision) | ScalarType::TimestampTz(precision) => {
            let micros = timestamp(reader.i64()?)?;
            let rounded = precision.map(|precision| crate::datetime::round_to_precision(micros, precision));
            Datum::Timestamp(rounded.unwrap_or(micros))
        }
        ScalarType::Interval(spec) => {
            let (micros, days, months) = (reader.i64()?, reader.i32()?, reader.i32()?);
            let interval = Interval { months, days, micros };
            Datum::Interval(spec.map_or(interval, |spec| interval.restricted(spec)))
        }
        ScalarType::Uuid => Datum::Uuid(uuid::Uuid::from_bytes(reader.array()?)),
        ScalarType::Jsonb => {
            if reader.array::<1>()? != [JSONB_VERSION] {
                return Err(ParseError::new(ParseErrorKind::InvalidBinary, "unsupported jsonb version number"));
            }
            Datum::Jsonb(JsonbRef::parse(text(reader.rest())?, arena)?)
        }
        ScalarType::Array(element) => decode_array(reader, innermost(element), arena)?,
        ScalarType::List(element) => decode_list(reader, element, arena)?,
        ScalarType::Map(value) => decode_map(reader, value, arena)?,
        ScalarType::Range(range) => decode_range(reader, *range, arena)?,
        ScalarType::Record(fields) => decode_record(reader, fields, arena)?,
    };
    Ok(datum)
}

fn text(bytes: &[u8]) -> Result<&str, ParseError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        ParseError::new(
            ParseErrorKind::InvalidCharacter,
            format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}"),
        )
    })
}

fn date(days: i32) -> Result<i32, ParseError> {
    if days == DATE_INFINITY || days == DATE_NEGATIVE_INFINITY {
        return Ok(days);
    }
    let shifted = days.checked_add(EPOCH_DAYS).filter(|days| (DATE_MIN..=DATE_MAX).contains(days));
    shifted.ok_or_else(|| out_of_range("date"))
}

fn time(micros: i64) -> Result<i64, ParseError> {
    if (0..=MICROS_PER_DAY).contains(&micros) { Ok(micros) } else { Err(out_of_range("time")) }
}

fn timestamp(micros: i64) -> Result<i64, ParseError> {
    if micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY {
        return Ok(micros);
    }
    micros.checked_add(EPOCH_MICROS).filter(is_timestamp).ok_or_else(|| out_of_range("timestamp"))
}

fn out_of_range(name: &str) -> ParseError {
    ParseError::new(ParseErrorKind::DatetimeOutOfRange, format!("{name} out of range"))
}

fn decode_element<'a>(reader: &mut Reader<'_>, typ: &ScalarType, arena: &'a Arena) -> Result<Datum<'a>, ParseError> {
    reader.element()?.map_or(Ok(Datum::Null), |bytes| decode(bytes, typ, arena))
}

/// The oid that comes with an element must be that of its type.
fn expect_oid(reader: &mut Reader<'_>, typ: &ScalarType) -> Result<(), ParseError> {
    let oid = u32::from_be_bytes(reader.array()?);
    if oid == pg_type::oid(typ) {
        return Ok(());
    }
    let expected = pg_type::oid(typ);
    Err(ParseError::new(
        ParseErrorKind::InvalidBinary,
        format!("binary data has type {oid} instead of expected {expected}"),
    ))
}

fn decode_array<'a>(
    reader: &mut Reader<'_>,
    element_type: &ScalarType,
    arena: &'a Arena,
) -> Result<Datum<'a>, ParseError> {
    let count = usize::try_from(reader.i32()?).ok().filter(|count| *count <= DIMENSIONS_MAX).ok_or_else(invalid)?;
    let _has_nulls = reader.i32()?;
    expect_oid(reader, element_type)?;
    let mut dimensions = Vec::with_capacity(count);
    let mut volume = usize::from(count > 0);
    for _ in 0..count {
        let length = usize::try_from(reader.i32()?).map_err(|_| invalid())?;
        dimensions.push(Dimension { length, lower: reader.i32()?.into() });
        volume = volume.checked_mul(length).ok_or_else(invalid)?;
    }
    if volume > reader.rest.len() / 4 {
        return Err(too_short());
    }
    let elements: Vec<Datum<'_>> =
        (0..volume).map(|_| decode_element(reader, element_type, arena)).collect::<Result<_, _>>()?;
    Ok(pack_array(&elements, element_type.kind(), &dimensions).unpack_first_in(Kind::Array, arena))
}

fn decode_list<'a>(reader: &mut Reader<'_>, typ: &ScalarType, arena: &'a Arena) -> Result<Datum<'a>, ParseError> {
    let count = reader.count(4)?;
    let element = |_| Ok((decode_element(reader, typ, arena)?, typ.kind()));
    let elements: Vec<(Datum<'_>, Kind)> = (0..count).map(element).collect::<Result<_, ParseError>>()?;
    Ok(pack_list(&elements).unpack_first_in(Kind::List, arena))
}

fn decode_map<'a>(reader: &mut Reader<'_>, typ: &ScalarType, arena: &'a Arena) -> Result<Datum<'a>, ParseError> {
    let count = reader.count(8)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let Datum::Text(key) = decode_element(reader, &ScalarType::Text, arena)? else { return Err(invalid()) };
        entries.push((key, decode_element(reader, typ, arena)?));
    }
    Ok(pack_map(&entries, typ.kind()).unpack_first_in(Kind::Map, arena))
}

fn decode_record<'a>(
    reader: &mut Reader<'_>,
    fields: &[(String, ColumnType)],
    arena: &'a Arena,
) -> Result<Datum<'a>, ParseError> {
    if reader.count(8)? != fields.len() {
        let message = format!("wrong number of columns, expected {}", fields.len());
        return Err(ParseError::new(ParseErrorKind::InvalidBinary, message));
    }
    let mut elements = Vec::with_capacity(fields.len());
    for (_, column) in fields {
        expect_oid(reader, &column.scalar)?;
        elements.push((decode_element(reader, &column.scalar, arena)?, column.kind()));
    }
    Ok(pack_list(&elements).unpack_first_in(Kind::List, arena))
}

/// What the first byte of a range says.
mod flag {
    pub(super) const EMPTY: u8 = 0x01;
    pub(super) const LOWER_INCLUSIVE: u8 = 0x02;
    pub(super) const UPPER_INCLUSIVE: u8 = 0x04;
    pub(super) const LOWER_INFINITE: u8 = 0x08;
    pub(super) const UPPER_INFINITE: u8 = 0x10;
}

fn encode_range(range: Range<'_>, typ: RangeType, out: &mut Vec<u8>) {
    if range == Range::Empty {
        out.push(flag::EMPTY);
        return;
    }
    let flags = |bound: Option<Bound<'_>>, inclusive: u8, infinite: u8| match bound {
        None => infinite,
        Some(bound) if bound.inclusive => inclusive,
        Some(_) => 0,
    };
    let (lower, upper) = (range.lower(), range.upper());
    out.push(
        flags(lower, flag::LOWER_INCLUSIVE, flag::LOWER_INFINITE)
            | flags(upper, flag::UPPER_INCLUSIVE, flag::UPPER_INFINITE),
    );
    for bound in [lower, upper].into_iter().flatten() {
        encode_element(bound.value, &typ.element(), out);
    }
}

fn decode_range<'a>(reader: &mut Reader<'_>, typ: RangeType, arena: &'a Arena) -> Result<Datum<'a>, ParseError> {
    let [flags] = reader.array()?;
    let mut range = Range::Empty;
    if flags & flag::EMPTY == 0 {
        let mut bound = |inclusive: u8, infinite: u8| -> Result<Option<Bound<'a>>, ParseError> {
            if flags & infinite != 0 {
                return Ok(None);
            }
            let value = decode_element(reader, &typ.element(), arena)?;
            match value.is_null() {
                true => Err(invalid()),
                false => Ok(Some(Bound { value, inclusive: flags & inclusive != 0 })),
            }
        };
        let lower = bound(flag::LOWER_INCLUSIVE, flag::LOWER_INFINITE)?;
        let upper = bound(flag::UPPER_INCLUSIVE, flag::UPPER_INFINITE)?;
        range = Range::Bounds { lower, upper };
    }
    Ok(range.pack(typ)?.unpack_first_in(Kind::List, arena))
}
