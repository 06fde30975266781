//! The bodies of casts. Which casts exist, and where they are implied, is in [`crate::cast`].
//!
//! A few entries serve all pairs of types, because a cast is decided by the types of its call.

use repr::composite::{pack_array, pack_list, pack_map};
use repr::datetime::{MICROS_PER_DAY, round_to_precision, timestamp_to_date};
use repr::interval::Interval;
use repr::jsonb::{Json, JsonbRef};
use repr::numeric::Numeric;
use repr::text::pg_char;
use repr::{Arena, Datum, Kind, ScalarType};

use super::ArgType::{Any, MzTimestamp, Text};
use super::arithmetic::{int2, int4, int8, uint2, uint4, uint8};
use super::datetime_arithmetic::{is_finite_timestamp, midnight, timestamp_out_of_range};
use super::{FuncDef, FuncKind, Value, function, internal, invalid_parameter};
use crate::error::EvalError;

pub(super) static TABLE: &[FuncDef] = &[
    cast(
        "cast",
        |a, t, arena| convert(a[0], &t.args[0], &t.ret, Overlong::Cut, arena),
        "An explicit cast: text that is too long is cut.",
    )
    .fallible(),
    cast(
        "cast_assignment",
        |a, t, arena| convert(a[0], &t.args[0], &t.ret, Overlong::Refuse, arena),
        "An assignment cast: text that is too long is an error.",
    )
    .fallible(),
    cast(
        "cast_total",
        |a, t, arena| convert(a[0], &t.args[0], &t.ret, Overlong::Cut, arena),
        "A cast that cannot fail.",
    ),
    cast(
        "cast_nullable",
        |a, t, arena| convert(a[0], &t.args[0], &t.ret, Overlong::Cut, arena),
        "A cast that gives NULL where there is nothing to be had: the time of an infinity.",
    )
    .nullable(),
    internal(
        "padded",
        &[Any],
        Text,
        |a, t, arena| super::text(&crate::text_of(a[0], &t.args[0]), arena),
        "A char(n) as text with the blanks that fill it.",
    )
    .fallible(),
    internal(
        "mz_timestamp_clamped",
        &[Any],
        MzTimestamp,
        |a, _, _| Ok(Datum::UInt(clamped_millis(a[0]))),
        "As mz_timestamp, clamped to its range.",
    ),
];

const fn cast(key: &'static str, body: super::Body, doc: &'static str) -> FuncDef {
    let mut def = function(key, "cast", &[Any], Any, body, doc);
    def.kind = FuncKind::Cast;
    def
}

/// What happens to text longer than its type permits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlong {
    /// It is cut, as in an explicit cast.
    Cut,
    /// It is an error unless only blanks would be cut, as in an assignment.
    Refuse,
}

/// Converts a value that is not NULL. The pair of types must be one that [`crate::cast::exists`] knows.
pub(crate) fn convert<'a>(
    datum: Datum<'a>,
    from: &ScalarType,
    to: &ScalarType,
    overlong: Overlong,
    arena: &'a Arena,
) -> Value<'a> {
    use ScalarType::*;
    match (from, to) {
        (Int4, PgChar) => pg_char_of_int(datum.unwrap_int(), arena),
        (PgChar, Int4) => Ok(Datum::Int(i64::from(pg_char::byte_of(datum.unwrap_text()) as i8))),
        (_, Text | Varchar(_) | Char(_) | PgChar | Name) => to_text(datum, from, to, overlong, arena),
        // Only a literal is read as the fields of its type say.
        (Text | Varchar(_) | Char(_) | PgChar | Name, Interval(Some(_))) => {
            let interval = crate::value::parse(datum.unwrap_text(), &Interval(None), arena)?;
            convert(interval, &Interval(None), to, overlong, arena)
        }
        (Text | Varchar(_) | Char(_) | PgChar | Name, _) => crate::value::parse(datum.unwrap_text(), to, arena),
        (Jsonb, Jsonb) => Ok(datum),
        (Jsonb, _) => from_jsonb(datum.unwrap_jsonb(), to, overlong, arena),
        (
            _,
            Int2 | Int4 | Int8 | UInt2 | UInt4 | UInt8 | Oid | RegClass | RegProc | RegProcedure | RegType
            | RegNamespace | RegRole,
        ) => to_integer(datum, from, to),
        (_, Float4 | Float8) => to_float(datum, to),
        (_, Numeric(_)) => to_numeric(datum, to, arena),
        (Int4, Bool) => Ok(Datum::Bool(datum.unwrap_int() != 0)),
        (_, Date) => Ok(match datum {
            Datum::Timestamp(micros) => Datum::Date(timestamp_to_date(micros)),
            other => other,
        }),
        (_, Time(precision)) => Ok(to_time(datum, *precision)),
        (MzTimestamp, Timestamp(_) | TimestampTz(_)) => from_mz_timestamp(datum.unwrap_uint()),
        (_, Timestamp(precision) | TimestampTz(precision)) => to_timestamp(datum, *precision),
        (_, Interval(spec)) => {
            let interval = match datum {
                Datum::Time(micros) => repr::interval::Interval::from_micros(micros),
                other => other.unwrap_interval(),
            };
            Ok(Datum::Interval(spec.map_or(interval, |spec| interval.restricted(spec))))
        }
        (_, MzTimestamp) => to_mz_timestamp(datum),
        (Array(from), Array(to)) => convert_array(datum, from, to, overlong, arena),
        (Array(from), List(to)) => {
            let elements = convert_all(datum.unwrap_array().iter(), from, to, overlong, arena)?;
            Ok(list_in(&elements, to, arena))
        }
        (List(from), List(to)) => {
            let elements = convert_all(datum.unwrap_list().iter(), from, to, overlong, arena)?;
            Ok(list_in(&elements, to, arena))
        }
        (Map(from), Map(to)) => {
            let (keys, values): (Vec<_>, Vec<_>) = datum.unwrap_map().iter().unzip();
            let values = convert_all(values.into_iter(), from, to, overlong, arena)?;
            let entries: Vec<_> = keys.into_iter().zip(values).collect();
            Ok(crate::datum_in(&pack_map(&entries, to.kind()), Kind::Map, arena))
        }
        (Record(from), Record(to)) => {
            let mut elements = Vec::with_capacity(to.len());
            for ((value, (_, from)), (_, to)) in datum.unwrap_list().iter().zip(from).zip(to) {
                elements.push((convert_nullable(value, &from.scalar, &to.scalar, overlong, arena)?, to.kind()));
            }
            Ok(crate::datum_in(&pack_list(&elements), Kind::List, arena))
        }
        _ => Ok(datum),
    }
}

fn convert_nullable<'a>(
    datum: Datum<'a>,
    from: &ScalarType,
    to: &ScalarType,
    overlong: Overlong,
    arena: &'a Arena,
) -> Value<'a> {
    if datum.is_null() { Ok(datum) } else { convert(datum, from, to, overlong, arena) }
}

fn convert_all<'a>(
    elements: impl Iterator<Item = Datum<'a>>,
    from: &ScalarType,
    to: &ScalarType,
    overlong: Overlong,
    arena: &'a Arena,
) -> Result<Vec<Datum<'a>>, EvalError> {
    elements.map(|element| convert_nullable(element, from, to, overlong, arena)).collect()
}

fn convert_array<'a>(
    datum: Datum<'a>,
    from: &ScalarType,
    to: &ScalarType,
    overlong: Overlong,
    arena: &'a Arena,
) -> Value<'a> {
    let array = datum.unwrap_array();
    let elements = convert_all(array.iter(), from, to, overlong, arena)?;
    Ok(crate::datum_in(&pack_array(&elements, to.kind(), &array.dimensions()), Kind::Array, arena))
}

fn list_in<'a>(elements: &[Datum<'_>], typ: &ScalarType, arena: &'a Arena) -> Datum<'a> {
    let tagged: Vec<_> = elements.iter().map(|element| (*element, typ.kind())).collect();
    crate::datum_in(&pack_list(&tagged), Kind::List, arena)
}

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 63;

fn to_text<'a>(
    datum: Datum<'a>,
    from: &ScalarType,
    to: &ScalarType,
    overlong: Overlong,
    arena: &'a Arena,
) -> Value<'a> {
    let text = match datum {
        Datum::Text(text) => text,
        // A boolean is cast in full, though it is printed as one letter, which is how a name gets it.
        Datum::Bool(value) if *to != ScalarType::Name => {
            if value {
                "true"
            } else {
                "false"
            }
        }
        other => arena.text(&crate::text_of(other, from)),
    };
    let text = match to {
        ScalarType::Varchar(Some(length)) => limited(text, *length as usize, "character varying", overlong)?,
        ScalarType::Char(None) if matches!(from, ScalarType::Char(Some(_))) => arena.text(&crate::text_of(datum, from)),
        ScalarType::Char(Some(length)) => limited(text, *length as usize, "character", overlong)?.trim_end_matches(' '),
        ScalarType::Name => &text[..text.floor_char_boundary(NAME_BYTES_MAX)],
        ScalarType::PgChar => arena.text(&pg_char::parse(text)),
        ScalarType::Text | ScalarType::Varchar(None) if *from == ScalarType::Char(None) => text.trim_end_matches(' '),
        _ => text,
    };
    Ok(Datum::Text(text))
}

fn pg_char_of_int<'a>(number: i64, arena: &'a Arena) -> Value<'a> {
    let byte = i8::try_from(number).map_err(|_| EvalError::new("22003", "\"char\" out of range"))?;
    Ok(Datum::Text(arena.text(&pg_char::of_byte(byte as u8))))
}

/// Text of at most `length` characters.
fn limited<'a>(text: &'a str, length: usize, type_name: &str, overlong: Overlong) -> Result<&'a str, EvalError> {
    let Some((end, _)) = text.char_indices().nth(length) else { return Ok(text) };
    let (kept, cut) = text.split_at(end);
    if overlong == Overlong::Refuse && !cut.bytes().all(|byte| byte == b' ') {
        return Err(EvalError::new("22001", format!("value too long for type {type_name}({length})")));
    }
    Ok(kept)
}

fn to_integer<'a>(datum: Datum<'_>, from: &ScalarType, to: &ScalarType) -> Value<'a> {
    let out_of_range = || EvalError::out_of_range(integer_name(to));
    let value: i128 = match datum {
        Datum::Bool(value) => value.into(),
        Datum::Int(value) => value.into(),
        Datum::UInt(value) => value.into(),
        Datum::Float4(value) => whole(value.get().into()).ok_or_else(out_of_range)?,
        Datum::Float8(value) => whole(value.get()).ok_or_else(out_of_range)?,
        Datum::Numeric(value) => {
            let number = value.decode();
            if !number.is_finite() {
                let what = if number.is_nan() { "NaN" } else { "infinity" };
                return Err(EvalError::new("0A000", format!("cannot convert {what} to {}", integer_name(to))));
            }
            number.round(0).ok().and_then(|number| number.to_i128()).ok_or_else(out_of_range)?
        }
        other => panic!("no integer: {other:?}"),
    };
    match to {
        ScalarType::Int2 => int2(value),
        // An object's number is taken for its bits.
        ScalarType::Int4 if is_object_number(from) => Ok(Datum::Int(i64::from(value as i32))),
        ScalarType::Int4 => int4(value),
        ScalarType::Int8 => int8(value),
        ScalarType::UInt2 => uint2(value),
        ScalarType::UInt4 => uint4(value),
        ScalarType::UInt8 => uint8(value),
        // A negative integer of up to four bytes is taken as its bits.
        _ if matches!(from, ScalarType::Int2 | ScalarType::Int4) => Ok(Datum::UInt((value as u32).into())),
        _ => u32::try_from(value).map(|value| Datum::UInt(value.into())).map_err(|_| EvalError::out_of_range("OID")),
    }
}

fn is_object_number(typ: &ScalarType) -> bool {
    *typ == ScalarType::Oid || typ.is_reg()
}

fn integer_name(typ: &ScalarType) -> &'static str {
    match typ {
        ScalarType::Int2 => "smallint",
        ScalarType::Int4 => "integer",
        ScalarType::Int8 => "bigint",
        ScalarType::UInt2 => "uint2",
        ScalarType::UInt4 => "uint4",
        ScalarType::UInt8 => "uint8",
        _ => "OID",
    }
}

/// The nearest whole number, ties to even; none for NaN and what no integer type holds.
fn whole(value: f64) -> Option<i128> {
    let rounded = value.round_ties_even();
    (rounded.abs() < 1e30).then_some(rounded as i128)
}

fn to_float<'a>(datum: Datum<'_>, to: &ScalarType) -> Value<'a> {
    let value = match datum {
        Datum::Int(value) => value as f64,
        Datum::UInt(value) => value as f64,
        Datum::Float4(value) => value.get().into(),
        Datum::Float8(value) => value.get(),
        Datum::Numeric(value) if *to == ScalarType::Float4 => {
            let number = value.decode();
            let narrowed = number.to_f32();
            if narrowed == 0.0 && !number.is_zero() {
                return Err(EvalError::new("22003", format!("\"{number}\" is out of range for type real")));
            }
            return float4(narrowed, number.is_finite());
        }
        Datum::Numeric(value) => value.decode().to_f64(),
        other => panic!("no number: {other:?}"),
    };
    if *to == ScalarType::Float8 {
        return Ok(Datum::float8(value));
    }
    let narrowed = match datum {
        // Straight from the integer: by way of a double it would be rounded twice.
        Datum::Int(value) => value as f32,
        Datum::UInt(value) => value as f32,
        _ => value as f32,
    };
    if narrowed == 0.0 && value != 0.0 {
        return Err(EvalError::new("22003", "value out of range: underflow"));
    }
    float4(narrowed, value.is_finite())
}

fn float4<'a>(value: f32, finite: bool) -> Value<'a> {
    if value.is_infinite() && finite {
        return Err(EvalError::new("22003", "value out of range: overflow"));
    }
    Ok(Datum::float4(value))
}

fn to_numeric<'a>(datum: Datum<'a>, to: &ScalarType, arena: &'a Arena) -> Value<'a> {
    let number = match datum {
        Datum::Int(value) => Numeric::from_i64(value),
        Datum::UInt(value) => Numeric::from_u64(value),
        // As many digits as the type is sure of, which is what PostgreSQL keeps.
        Datum::Float4(value) if value.get().is_finite() => {
            Numeric::parse(&format!("{:.5e}", value.get())).map_err(super::numeric_error)?
        }
        Datum::Float4(value) => Numeric::from_f32(value.get()).map_err(super::numeric_error)?,
        Datum::Float8(value) if value.get().is_finite() => {
            Numeric::parse(&format!("{:.14e}", value.get())).map_err(super::numeric_error)?
        }
        Datum::Float8(value) => Numeric::from_f64(value.get()).map_err(super::numeric_error)?,
        Datum::Numeric(value) => match to {
            ScalarType::Numeric(None) => return Ok(datum),
            _ => value.decode(),
        },
        other => panic!("no number: {other:?}"),
    };
    let number = match to {
        ScalarType::Numeric(Some(spec)) => number.rescale(*spec).map_err(|error| {
            let limit = spec.integer_digits();
            let limit = if limit == 0 { "1".to_owned() } else { format!("10^{limit}") };
            super::numeric_error(error).with_detail(format!(
                "A field with precision {}, scale {} must round to an absolute value less than {limit}.",
                spec.precision, spec.scale
            ))
        })?,
        _ => number,
    };
    Ok(Datum::Numeric(number.pack(arena)))
}

fn from_jsonb<'a>(value: JsonbRef<'a>, to: &ScalarType, overlong: Overlong, arena: &'a Arena) -> Value<'a> {
    let kind = match (value.decode(), to) {
        (Json::Bool(value), ScalarType::Bool) => return Ok(Datum::Bool(value)),
        (Json::Number(number), to) if *to != ScalarType::Bool => {
            return convert(Datum::Numeric(number), &ScalarType::Numeric(None), to, overlong, arena);
        }
        (Json::Null, _) => "null",
        (Json::String(_), _) => "string",
        (Json::Number(_), _) => "numeric",
        (Json::Bool(_), _) => "boolean",
        (Json::Array(_), _) => "array",
        (Json::Object(_), _) => "object",
    };
    Err(invalid_parameter(format!("cannot cast jsonb {kind} to type {}", repr::pg_type::sql_name(to))))
}

fn to_time<'a>(datum: Datum<'a>, precision: Option<u8>) -> Datum<'a> {
    let micros = match datum {
        // Infinities have no time of day.
        Datum::Timestamp(micros) if !is_finite_timestamp(micros) => return Datum::Null,
        Datum::Timestamp(micros) | Datum::Interval(Interval { micros, .. }) => micros.rem_euclid(MICROS_PER_DAY),
        other => other.unwrap_time(),
    };
    Datum::Time(precision.map_or(micros, |precision| round_to_precision(micros, precision)))
}

fn to_timestamp<'a>(datum: Datum<'_>, precision: Option<u8>) -> Value<'a> {
    let micros = match datum {
        Datum::Date(_) => midnight(datum)?,
        other => other.unwrap_timestamp(),
    };
    Ok(Datum::Timestamp(precision.map_or(micros, |precision| round_to_precision(micros, precision))))
}

fn from_mz_timestamp<'a>(millis: u64) -> Value<'a> {
    let micros = i64::try_from(millis).ok().and_then(|millis| millis.checked_mul(1000));
    micros.map(Datum::Timestamp).ok_or_else(timestamp_out_of_range)
}

/// Milliseconds since the Unix epoch, wherever they lie.
fn millis(datum: Datum<'_>) -> i128 {
    match datum {
        Datum::Int(value) => value.into(),
        Datum::UInt(value) => value.into(),
        Datum::Date(days) => i128::from(days) * i128::from(MICROS_PER_DAY / 1000),
        Datum::Timestamp(micros) if !is_finite_timestamp(micros) => {
            if micros > 0 {
                i128::MAX
            } else {
                i128::MIN
            }
        }
        Datum::Timestamp(micros) => micros.div_euclid(1000).into(),
        Datum::Numeric(number) => {
            let number = number.decode();
            let negative = number.is_negative();
            let rounded = number.round(0).ok().and_then(|number| number.to_i128());
            rounded.unwrap_or(if negative { i128::MIN } else { i128::MAX })
        }
        other => panic!("no time: {other:?}"),
    }
}

fn to_mz_timestamp<'a>(datum: Datum<'_>) -> Value<'a> {
    u64::try_from(millis(datum)).map(Datum::UInt).map_err(|_| EvalError::out_of_range("mz_timestamp"))
}

fn clamped_millis(datum: Datum<'_>) -> u64 {
    let clamped = millis(datum).clamp(0, u64::MAX.into());
    u64::try_from(clamped).expect("clamped")
}
