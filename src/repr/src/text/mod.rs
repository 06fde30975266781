//! PostgreSQL's text form of every type, in and out.

mod bytes;
mod composite;
mod float;
pub mod pg_char;
mod range;
mod scalar;

pub use crate::error::{ParseError, ParseErrorKind};
pub use bytes::{format_bytea, parse_bytea};
pub use float::{format_float4, format_float8};

use crate::datetime::{self, TimeZone};
use crate::interval::{Interval, IntervalInput, IntervalStyle};
use crate::numeric::{Numeric, NumericError};
use crate::{Arena, Datum, EnumType, NumericSpec, ScalarType};

/// What a session sets that text depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FormatContext {
    /// UTC by default.
    pub time_zone: TimeZone,
    pub interval_style: IntervalStyle,
}

/// Reads a value of a type; times of day without a zone are in UTC.
pub fn parse<'a>(text: &str, typ: &ScalarType, arena: &'a Arena) -> Result<Datum<'a>, ParseError> {
    parse_in(text, typ, &FormatContext::default(), arena)
}

/// Reads a value of a type.
///
/// Of the `reg` types regtype alone reads names: what the others mean, the catalog knows.
pub fn parse_in<'a>(
    text: &str,
    typ: &ScalarType,
    context: &FormatContext,
    arena: &'a Arena,
) -> Result<Datum<'a>, ParseError> {
    refuse_nul(text)?;
    let datum = match typ {
        ScalarType::Bool => Datum::Bool(scalar::parse_bool(text)?),
        ScalarType::Int2 => Datum::Int(scalar::parse_int::<i16>("smallint", text)?.into()),
        ScalarType::Int4 => Datum::Int(scalar::parse_int::<i32>("integer", text)?.into()),
        ScalarType::Int8 => Datum::Int(scalar::parse_int::<i64>("bigint", text)?),
        ScalarType::UInt2 => Datum::UInt(scalar::parse_int::<u16>("uint2", text)?.into()),
        ScalarType::UInt4 => Datum::UInt(scalar::parse_int::<u32>("uint4", text)?.into()),
        ScalarType::UInt8 => Datum::UInt(scalar::parse_int::<u64>("uint8", text)?),
        ScalarType::Oid => Datum::UInt(scalar::parse_oid(text)?.into()),
        ScalarType::RegClass => Datum::UInt(scalar::parse_int::<u32>("regclass", text)?.into()),
        ScalarType::RegProc => Datum::UInt(scalar::parse_int::<u32>("regproc", text)?.into()),
        ScalarType::RegProcedure => Datum::UInt(scalar::parse_int::<u32>("regprocedure", text)?.into()),
        ScalarType::RegType => Datum::UInt(parse_type_name(text)?.into()),
        ScalarType::RegNamespace => Datum::UInt(scalar::parse_int::<u32>("regnamespace", text)?.into()),
        ScalarType::RegRole => Datum::UInt(scalar::parse_int::<u32>("regrole", text)?.into()),
        ScalarType::Enum(typ) => Datum::Int(typ.value(text).ok_or_else(|| no_label(typ, text))?),
        ScalarType::MzTimestamp => Datum::UInt(scalar::parse_int::<u64>("mz_timestamp", text)?),
        ScalarType::Float4 => Datum::float4(float::parse_float4(text)?),
        ScalarType::Float8 => Datum::float8(float::parse_float8(text)?),
        ScalarType::Numeric(spec) => Datum::Numeric(parse_numeric(text, *spec)?.pack(arena)),
        ScalarType::Text => Datum::Text(arena.text(text)),
        ScalarType::Varchar(length) => Datum::Text(arena.text(scalar::fit_varchar(text, *length)?)),
        ScalarType::Char(length) => Datum::Text(arena.text(scalar::fit_char(text, *length)?)),
        ScalarType::PgChar => Datum::Text(arena.text(&pg_char::parse(text))),
        ScalarType::Name => Datum::Text(arena.text(scalar::fit_name(text))),
        ScalarType::Bytes => Datum::bytes(arena.bytes(&parse_bytea(text)?)),
        ScalarType::Date => Datum::Date(datetime::parse_date(text)?),
        ScalarType::Time(precision) => Datum::Time(rounded(datetime::parse_time(text)?, *precision)),
        ScalarType::Timestamp(precision) => Datum::Timestamp(rounded(datetime::parse_timestamp(text)?, *precision)),
        ScalarType::TimestampTz(precision) => {
            Datum::Timestamp(rounded(datetime::parse_timestamptz(text, &context.time_zone)?, *precision))
        }
        ScalarType::Interval(spec) => {
            // What a number without a unit means, the fields say.
            let fields = spec.and_then(|spec| spec.fields);
            let interval = Interval::parse_as(text, IntervalInput { style: context.interval_style, fields })?;
            Datum::Interval(spec.map_or(interval, |spec| interval.restricted(spec)))
        }
        ScalarType::Uuid => Datum::Uuid(scalar::parse_uuid(text)?),
        ScalarType::Jsonb => Datum::Jsonb(crate::jsonb::JsonbRef::parse(text, arena)?),
        ScalarType::Array(element) => composite::parse_array(text, element, context, arena)?,
        ScalarType::List(element) => composite::parse_list(text, element, context, arena)?,
        ScalarType::Map(value) => composite::parse_map(text, value, context, arena)?,
        ScalarType::Range(range) => range::parse_range(text, *range, context, arena)?,
        ScalarType::Record(fields) => composite::parse_record(text, fields, context, arena)?,
    };
    Ok(datum)
}

/// Prints a value; points in time are shown in UTC. NULL prints nothing: how it is shown, the caller decides.
pub fn format(datum: Datum<'_>, typ: &ScalarType, out: &mut String) {
    format_in(datum, typ, &FormatContext::default(), out);
}

/// Prints a value. NULL prints nothing. Panics if the datum is of another kind than the type.
pub fn format_in(datum: Datum<'_>, typ: &ScalarType, context: &FormatContext, out: &mut String) {
    match datum {
        Datum::Null => {}
        Datum::Bool(value) => out.push(if value { 't' } else { 'f' }),
        Datum::Int(value) => match typ {
            ScalarType::Enum(typ) => out.push_str(typ.label(value).expect("only labels of the type are stored")),
            _ => put(out, value),
        },
        Datum::UInt(value) => match typ {
            ScalarType::RegType => put_type_name(value, out),
            _ => put(out, value),
        },
        Datum::Float4(value) => format_float4(value.get(), out),
        Datum::Float8(value) => format_float8(value.get(), out),
        Datum::Numeric(number) => match typ {
            ScalarType::Numeric(Some(spec)) => out.push_str(&number.decode().format_with_scale(spec.shown_scale())),
            _ => put(out, number.decode()),
        },
        Datum::Date(days) => datetime::format_date(days, out),
        Datum::Time(micros) => datetime::format_time(micros, out),
        Datum::Timestamp(micros) => match typ {
            ScalarType::TimestampTz(_) => datetime::format_timestamptz(micros, &context.time_zone, out),
            _ => datetime::format_timestamp(micros, out),
        },
        Datum::Interval(interval) => interval.put(context.interval_style, out),
        Datum::Text(text) => {
            out.push_str(text);
            if let ScalarType::Char(Some(length)) = typ {
                let missing = (*length as usize).saturating_sub(text.chars().count());
                out.extend(std::iter::repeat_n(' ', missing));
            }
        }
        Datum::Bytes(bytes) => format_bytea(bytes, out),
        Datum::Uuid(uuid) => put(out, uuid.hyphenated()),
        Datum::Jsonb(json) => json.format(out),
        Datum::Array(array) => composite::format_array(array, typ, context, out),
        Datum::List(list) => match typ {
            ScalarType::Range(range) => range::format_range(list, *range, context, out),
            _ => composite::format_list_or_record(list, typ, context, out),
        },
        Datum::Map(map) => composite::format_map(map, typ, context, out),
    }
}

fn no_label(typ: &EnumType, text: &str) -> ParseError {
    let name = crate::pg_type::sql_name(&ScalarType::Enum(Box::new(typ.clone())));
    ParseError::new(ParseErrorKind::InvalidText, format!("invalid input value for enum {name}: \"{text}\""))
}

/// The oid of the type that a text names.
fn parse_type_name(text: &str) -> Result<u32, ParseError> {
    let name = scalar::trim(text);
    if name == "-" {
        return Ok(0);
    }
    if let Ok(oid) = name.parse() {
        return Ok(oid);
    }
    let folded = name.to_lowercase();
    let typ = crate::pg_type::from_name(folded.strip_prefix("pg_catalog.").unwrap_or(&folded));
    typ.map(|typ| crate::pg_type::oid(&typ))
        .ok_or_else(|| ParseError::new(ParseErrorKind::UndefinedObject, format!("type \"{name}\" does not exist")))
}

fn put(out: &mut String, value: impl std::fmt::Display) {
    use std::fmt::Write;
    write!(out, "{value}").expect("a string takes all text");
}

/// The name of the type of an oid, or the oid of none; 0 is a dash.
fn put_type_name(oid: u64, out: &mut String) {
    let typ = u32::try_from(oid).ok().and_then(crate::pg_type::from_oid);
    match typ {
        Some(typ) => out.push_str(&crate::pg_type::unmodified_name(&typ)),
        None if oid == 0 => out.push('-'),
        None => put(out, oid),
    }
}

fn rounded(micros: i64, precision: Option<u8>) -> i64 {
    precision.map_or(micros, |precision| datetime::round_to_precision(micros, precision))
}

/// Errors: a NUL, which no text datum may hold.
pub fn refuse_nul(text: &str) -> Result<(), ParseError> {
    if text.as_bytes().contains(&0) {
        return Err(ParseError::new(
            ParseErrorKind::InvalidCharacter,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(())
}

fn parse_numeric(text: &str, spec: Option<NumericSpec>) -> Result<Numeric, ParseError> {
    let number = Numeric::parse(text).map_err(|error| match error {
        NumericError::Syntax => ParseError::syntax("numeric", text),
        _ => ParseError::new(ParseErrorKind::NumberOutOfRange, error.to_string()),
    })?;
    match spec {
        None => Ok(number),
        Some(spec) => fit_numeric(&number, spec),
    }
}

/// Rounds a number to a column's scale. Errors: it has more digits before the point than the column.
pub fn fit_numeric(number: &Numeric, spec: NumericSpec) -> Result<Numeric, ParseError> {
    number.rescale(spec).map_err(|error| {
        let NumericSpec { precision, scale } = spec;
        let field = format!("A field with precision {precision}, scale {scale}");
        let detail = match spec.integer_digits() {
            _ if number.is_infinite() => format!("{field} cannot hold an infinite value."),
            0 => format!("{field} must round to an absolute value less than 1."),
            digits => format!("{field} must round to an absolute value less than 10^{digits}."),
        };
        ParseError::new(ParseErrorKind::NumberOutOfRange, error.to_string()).with_detail(detail)
    })
}

impl From<crate::jsonb::JsonbError> for ParseError {
    fn from(error: crate::jsonb::JsonbError) -> ParseError {
        use crate::jsonb::JsonbError;
        let kind = match &error {
            JsonbError::Syntax { .. } => ParseErrorKind::InvalidText,
            JsonbError::Nul => ParseErrorKind::UntranslatableCharacter,
            JsonbError::TooDeep => ParseErrorKind::LimitExceeded,
            JsonbError::NumberOutOfRange => ParseErrorKind::NumberOutOfRange,
            JsonbError::NotFinite => ParseErrorKind::InvalidParameter,
        };
        let detail = error.detail().map(str::to_owned);
        ParseError { kind, message: error.to_string(), detail }
    }
}
