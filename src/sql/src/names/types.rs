//! Names of types.

use repr::{NumericSpec, RangeType, ScalarType};
use sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, ObjectName, ObjectNamePart, TimezoneInfo,
};

use super::user_type::Names;
use super::{fold, interval_fields, perhaps};
use crate::error::Error;
use crate::parse::{LIST, MAP};

/// Most decimal digits of a numeric.
const NUMERIC_PRECISION_MAX: u64 = 39;
/// Most digits behind the point.
const NUMERIC_SCALE_MAX: i64 = 39;
/// Most characters of `varchar(n)` and `char(n)`, as in PostgreSQL.
const CHARACTERS_MAX: u64 = 10_485_760;
/// Most digits after the second.
pub(super) const SECOND_DIGITS_MAX: u64 = 6;

/// Types that are known by a plain name alone, by all their names.
const NAMED: [(&str, ScalarType); 44] = [
    ("bool", ScalarType::Bool),
    ("boolean", ScalarType::Bool),
    ("smallint", ScalarType::Int2),
    ("int2", ScalarType::Int2),
    ("int", ScalarType::Int4),
    ("integer", ScalarType::Int4),
    ("int4", ScalarType::Int4),
    ("bigint", ScalarType::Int8),
    ("int8", ScalarType::Int8),
    ("uint2", ScalarType::UInt2),
    ("uint4", ScalarType::UInt4),
    ("uint8", ScalarType::UInt8),
    ("real", ScalarType::Float4),
    ("float4", ScalarType::Float4),
    ("float8", ScalarType::Float8),
    ("double", ScalarType::Float8),
    ("numeric", ScalarType::Numeric(None)),
    ("decimal", ScalarType::Numeric(None)),
    ("text", ScalarType::Text),
    ("string", ScalarType::Text),
    ("varchar", ScalarType::Varchar(None)),
    ("name", ScalarType::Name),
    ("bytea", ScalarType::Bytes),
    ("bytes", ScalarType::Bytes),
    ("date", ScalarType::Date),
    ("time", ScalarType::Time(None)),
    ("timestamp", ScalarType::Timestamp(None)),
    ("timestamptz", ScalarType::TimestampTz(None)),
    ("uuid", ScalarType::Uuid),
    ("jsonb", ScalarType::Jsonb),
    ("json", ScalarType::Jsonb),
    ("int4range", ScalarType::Range(RangeType::Int4)),
    ("int8range", ScalarType::Range(RangeType::Int8)),
    ("numrange", ScalarType::Range(RangeType::Numeric)),
    ("daterange", ScalarType::Range(RangeType::Date)),
    ("tsrange", ScalarType::Range(RangeType::Timestamp)),
    ("tstzrange", ScalarType::Range(RangeType::TimestampTz)),
    ("oid", ScalarType::Oid),
    ("regclass", ScalarType::RegClass),
    ("regproc", ScalarType::RegProc),
    ("regprocedure", ScalarType::RegProcedure),
    ("regtype", ScalarType::RegType),
    ("regnamespace", ScalarType::RegNamespace),
    ("regrole", ScalarType::RegRole),
];

/// The name of the type whose one modifier, in quotes, is the name of a list or a map: how the parser passes these on.
pub(crate) const COMPOSITE_TYPE: &str = "mz_type";

/// True for the plain names of types.
pub(crate) fn is_type_name(name: &str) -> bool {
    const OTHERS: [&str; 6] = ["char", "character", "bpchar", "interval", "mz_timestamp", "float"];
    OTHERS.contains(&name) || NAMED.iter().any(|(known, _)| *known == name)
}

/// How the name of a type is put together, where it may be of a list or a map: `int list`, `map[text=>int][]`.
pub(super) enum Spelled<'a> {
    List(&'a str),
    Array(&'a str),
    Map { key: &'a str, value: &'a str },
    Plain(&'a str),
}

/// Takes the outermost part of a type's name apart.
pub(super) fn spelled(text: &str) -> Spelled<'_> {
    let text = text.trim();
    let behind_word = |before: &str| before.ends_with([' ', ']', ')', '"']);
    if let Some(element) = text
        .get(..text.len().saturating_sub(LIST.len()))
        .filter(|element| text[element.len()..].eq_ignore_ascii_case(LIST) && behind_word(element))
    {
        return Spelled::List(element.trim_end());
    }
    let opening = text.rfind('[').filter(|_| text.ends_with(']'));
    if let Some(opening) = opening {
        let inside = text[opening + 1..text.len() - 1].trim();
        if inside.bytes().all(|byte| byte.is_ascii_digit()) {
            return Spelled::Array(&text[..opening]);
        }
    }
    let map = text.get(..MAP.len()).filter(|word| word.eq_ignore_ascii_case(MAP));
    let inside = map.and_then(|_| text[MAP.len()..].trim_start().strip_prefix('[')?.strip_suffix(']'));
    match inside.and_then(|inside| inside.split_once("=>")) {
        Some((key, value)) => Spelled::Map { key, value },
        None => Spelled::Plain(text),
    }
}

fn composite(names: Option<Names<'_>>, text: &str) -> Result<ScalarType, Error> {
    match spelled(text) {
        Spelled::List(element) => Ok(ScalarType::List(Box::new(composite(names, element)?))),
        Spelled::Array(element) => Ok(array_of(composite(names, element)?)),
        Spelled::Map { key, value } => {
            if composite(names, key)? != ScalarType::Text {
                return Err(Error::unsupported("a map whose keys are not text"));
            }
            Ok(ScalarType::Map(Box::new(composite(names, value)?)))
        }
        Spelled::Plain(text) => resolve(names, &crate::parse::data_type(text)?),
    }
}

/// An array has any number of dimensions: `int[][]` is `int[]`.
fn array_of(element: ScalarType) -> ScalarType {
    match element {
        array @ ScalarType::Array(_) => array,
        element => ScalarType::Array(Box::new(element)),
    }
}

/// The type that `data_type` names, also one that a user made. Errors: 42704 unknown, 0A000 known but not offered, 22023 a
/// modifier out of range.
pub fn resolve_type(names: Names<'_>, data_type: &DataType) -> Result<ScalarType, Error> {
    resolve(Some(names), data_type)
}

/// The type of the system that `data_type` names. Errors: as [`resolve_type`].
pub(crate) fn resolve_system_type(data_type: &DataType) -> Result<ScalarType, Error> {
    resolve(None, data_type)
}

fn resolve(names: Option<Names<'_>>, data_type: &DataType) -> Result<ScalarType, Error> {
    Ok(match data_type {
        DataType::Bool | DataType::Boolean => ScalarType::Bool,
        DataType::Int2(None) | DataType::SmallInt(None) => ScalarType::Int2,
        DataType::Int(None) | DataType::Int4(None) | DataType::Integer(None) => ScalarType::Int4,
        DataType::Int8(None) | DataType::BigInt(None) => ScalarType::Int8,
        DataType::UInt8 => ScalarType::UInt8,
        DataType::Real | DataType::Float4 => ScalarType::Float4,
        DataType::Float8 | DataType::DoublePrecision | DataType::Double(ExactNumberInfo::None) => ScalarType::Float8,
        DataType::Float(info) => float(*info)?,
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => ScalarType::Numeric(numeric(*info)?),
        DataType::Text | DataType::String(None) => ScalarType::Text,
        DataType::Varchar(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            ScalarType::Varchar(length.map(characters).transpose()?)
        }
        DataType::Char(length) | DataType::Character(length) => {
            ScalarType::Char(Some(length.map_or(Ok(1), characters)?))
        }
        DataType::Bytea | DataType::Bytes(None) => ScalarType::Bytes,
        DataType::Date => ScalarType::Date,
        DataType::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            ScalarType::Time(second_digits(*precision))
        }
        DataType::Time(..) => return Err(Error::unsupported("type \"time with time zone\"")),
        DataType::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            ScalarType::Timestamp(second_digits(*precision))
        }
        DataType::Timestamp(precision, _) => ScalarType::TimestampTz(second_digits(*precision)),
        DataType::Interval { fields, precision } => {
            ScalarType::Interval(interval_fields::of_type(fields.as_ref(), *precision)?)
        }
        DataType::Uuid => ScalarType::Uuid,
        DataType::JSON | DataType::JSONB => ScalarType::Jsonb,
        DataType::Regclass => ScalarType::RegClass,
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::Qualified(element, _)) => {
            array_of(resolve(names, element)?)
        }
        DataType::Custom(name, modifiers) => custom(names, name, modifiers)?,
        other => return Err(unknown(names, &other.to_string().to_lowercase())),
    })
}

fn custom(names: Option<Names<'_>>, name: &ObjectName, modifiers: &[String]) -> Result<ScalarType, Error> {
    let idents: Vec<_> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
    let [qualifier @ .., last] = &idents[..] else {
        return Err(unknown(names, &name.to_string()));
    };
    let folded = fold(last);
    let known_schema = match qualifier {
        [] => true,
        [schema] => matches!(fold(schema).as_str(), "pg_catalog" | "mz_catalog"),
        _ => false,
    };
    let user_type = || names.and_then(|names| names.user_type(name));
    if !known_schema {
        return user_type().ok_or_else(|| unknown(names, &name.to_string()).at_node(name));
    }
    // `"char"` in quotes is the one-byte type of the system catalog; `char` without is `char(1)`.
    let typ = match folded.as_str() {
        "char" => Some(ScalarType::PgChar),
        "bpchar" => Some(ScalarType::Char(modifier(modifiers, name)?.map(|length| length as u32))),
        "character" => Some(ScalarType::Char(Some(modifier(modifiers, name)?.unwrap_or(1) as u32))),
        "mz_timestamp" => Some(ScalarType::MzTimestamp),
        COMPOSITE_TYPE => match modifiers {
            [name] => return composite(names, name.trim_matches('"')),
            _ => None,
        },
        "interval" => Some(ScalarType::Interval(interval_fields::of_type(None, modifier(modifiers, name)?)?)),
        "time" => Some(ScalarType::Time(second_digits(modifier(modifiers, name)?))),
        "varchar" => Some(ScalarType::Varchar(modifier(modifiers, name)?.map(|length| length as u32))),
        "timestamp" => Some(ScalarType::Timestamp(second_digits(modifier(modifiers, name)?))),
        "timestamptz" => Some(ScalarType::TimestampTz(second_digits(modifier(modifiers, name)?))),
        "numeric" => Some(ScalarType::Numeric(numeric(numeric_modifiers(modifiers, name)?)?)),
        folded => match folded.strip_prefix('_').and_then(repr::pg_type::from_name) {
            Some(element) => Some(array_of(element)),
            None => NAMED.iter().find(|(known, _)| *known == folded).map(|(_, typ)| typ.clone()).or_else(user_type),
        },
    };
    let takes_modifiers = matches!(
        folded.as_str(),
        "bpchar" | "character" | "varchar" | "time" | "timestamp" | "timestamptz" | "interval" | "numeric"
    );
    match typ {
        Some(_) if !modifiers.is_empty() && !takes_modifiers => {
            Err(Error::new("42601", format!("type modifier is not allowed for type \"{folded}\"")).at_node(name))
        }
        Some(typ) => Ok(typ),
        None => Err(unknown(names, &folded).at_node(name)),
    }
}

fn unknown(names: Option<Names<'_>>, name: &str) -> Error {
    let error = Error::new("42704", format!("type \"{name}\" does not exist"));
    match name {
        "serial" | "bigserial" | "smallserial" => error.with_hint("Sequences are not supported; use an integer type."),
        _ => {
            let own = names.map(Names::user_type_names).unwrap_or_default();
            error.hinted(perhaps(name, NAMED.iter().map(|(known, _)| *known).chain(own.iter().map(String::as_str))))
        }
    }
}

fn modifier(modifiers: &[String], name: &ObjectName) -> Result<Option<u64>, Error> {
    match modifiers {
        [] => Ok(None),
        [one] => one.parse().map(Some).map_err(|_| invalid_modifier(name)),
        _ => Err(invalid_modifier(name)),
    }
}

fn numeric_modifiers(modifiers: &[String], name: &ObjectName) -> Result<ExactNumberInfo, Error> {
    let parse = |text: &String| text.parse::<u64>().map_err(|_| invalid_modifier(name));
    Ok(match modifiers {
        [] => ExactNumberInfo::None,
        [precision] => ExactNumberInfo::Precision(parse(precision)?),
        [precision, scale] => {
            let scale = scale.parse().map_err(|_| invalid_modifier(name))?;
            ExactNumberInfo::PrecisionAndScale(parse(precision)?, scale)
        }
        _ => return Err(invalid_modifier(name)),
    })
}

fn invalid_modifier(name: &ObjectName) -> Error {
    Error::new("22023", format!("invalid type modifier for {name}")).at_node(name)
}

fn float(info: ExactNumberInfo) -> Result<ScalarType, Error> {
    match info {
        ExactNumberInfo::None => Ok(ScalarType::Float8),
        ExactNumberInfo::Precision(0) => Err(Error::new("22023", "precision for type float must be at least 1 bit")),
        ExactNumberInfo::Precision(1..=24) => Ok(ScalarType::Float4),
        ExactNumberInfo::Precision(25..=53) => Ok(ScalarType::Float8),
        ExactNumberInfo::Precision(_) => Err(Error::new("22023", "precision for type float must be less than 54 bits")),
        ExactNumberInfo::PrecisionAndScale(..) => Err(Error::new("42601", "type float takes no scale")),
    }
}

fn numeric(info: ExactNumberInfo) -> Result<Option<NumericSpec>, Error> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(None),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    if !(1..=NUMERIC_PRECISION_MAX).contains(&precision) {
        let message = format!("numeric precision {precision} must be between 1 and {NUMERIC_PRECISION_MAX}");
        return Err(Error::new("22023", message));
    }
    if !(-NUMERIC_SCALE_MAX..=NUMERIC_SCALE_MAX).contains(&scale) {
        let message = format!("numeric scale {scale} must be between -{NUMERIC_SCALE_MAX} and {NUMERIC_SCALE_MAX}");
        return Err(Error::new("22023", message));
    }
    Ok(Some(NumericSpec { precision: precision as u8, scale: scale as i8 }))
}

fn characters(length: CharacterLength) -> Result<u32, Error> {
    match length {
        CharacterLength::IntegerLength { length, unit: None } if (1..=CHARACTERS_MAX).contains(&length) => {
            Ok(length as u32)
        }
        CharacterLength::IntegerLength { length, unit: None } => {
            Err(Error::new("22023", format!("length {length} must be between 1 and {CHARACTERS_MAX}")))
        }
        _ => Err(Error::new("42601", "length of a character type must be a number")),
    }
}

/// Digits of a second; more than there are are all of them.
fn second_digits(precision: Option<u64>) -> Option<u8> {
    precision.map(|precision| precision.min(SECOND_DIGITS_MAX) as u8)
}

/// The type as it is written in normalized SQL.
pub(crate) fn type_name(typ: &ScalarType) -> String {
    match typ {
        ScalarType::Bool => "bool".into(),
        ScalarType::Int2 => "int2".into(),
        ScalarType::Int4 => "int4".into(),
        ScalarType::Int8 => "int8".into(),
        ScalarType::UInt2 => "uint2".into(),
        ScalarType::UInt4 => "uint4".into(),
        ScalarType::UInt8 => "uint8".into(),
        ScalarType::Float4 => "float4".into(),
        ScalarType::Float8 => "float8".into(),
        ScalarType::Numeric(None) => "numeric".into(),
        ScalarType::Numeric(Some(spec)) => format!("numeric({}, {})", spec.precision, spec.scale),
        ScalarType::Text => "text".into(),
        ScalarType::Varchar(None) => "varchar".into(),
        ScalarType::Varchar(Some(length)) => format!("varchar({length})"),
        ScalarType::Char(None) => "bpchar".into(),
        ScalarType::Char(Some(length)) => format!("char({length})"),
        ScalarType::PgChar => "\"char\"".into(),
        ScalarType::Name => "name".into(),
        ScalarType::Bytes => "bytea".into(),
        ScalarType::Date => "date".into(),
        ScalarType::Time(None) => "time".into(),
        ScalarType::Time(Some(digits)) => format!("time({digits})"),
        ScalarType::Timestamp(None) => "timestamp".into(),
        ScalarType::Timestamp(Some(digits)) => format!("timestamp({digits})"),
        ScalarType::TimestampTz(None) => "timestamptz".into(),
        ScalarType::TimestampTz(Some(digits)) => format!("timestamptz({digits})"),
        ScalarType::Interval(None) => "interval".into(),
        ScalarType::Interval(Some(spec)) => format!("interval{spec}"),
        ScalarType::Uuid => "uuid".into(),
        ScalarType::Jsonb => "jsonb".into(),
        ScalarType::Oid => "oid".into(),
        ScalarType::RegClass => "regclass".into(),
        ScalarType::RegProc => "regproc".into(),
        ScalarType::RegProcedure => "regprocedure".into(),
        ScalarType::RegType => "regtype".into(),
        ScalarType::RegNamespace => "regnamespace".into(),
        ScalarType::RegRole => "regrole".into(),
        ScalarType::MzTimestamp => "mz_timestamp".into(),
        ScalarType::Array(element) => format!("{}[]", type_name(element)),
        ScalarType::List(element) => format!("{} list", type_name(element)),
        ScalarType::Map(value) => format!("map[text=>{}]", type_name(value)),
        ScalarType::Range(_) | ScalarType::Enum(_) => repr::pg_type::sql_name(typ),
        ScalarType::Record(_) => "record".into(),
    }
}

#[cfg(test)]
mod tests {
    use repr::interval::{IntervalField, IntervalFields, IntervalSpec};

    use super::*;

    const DAY_TO_SECOND: IntervalFields = IntervalFields { first: IntervalField::Day, last: IntervalField::Second };

    #[test]
    fn written_types_are_read_back_alike() {
        let types = NAMED.iter().map(|(_, typ)| typ.clone()).chain([
            ScalarType::Numeric(Some(NumericSpec { precision: 10, scale: 2 })),
            ScalarType::Numeric(Some(NumericSpec { precision: 5, scale: -2 })),
            ScalarType::Varchar(Some(3)),
            ScalarType::Char(Some(4)),
            ScalarType::Char(None),
            ScalarType::PgChar,
            ScalarType::Timestamp(Some(3)),
            ScalarType::TimestampTz(Some(0)),
            ScalarType::Time(Some(3)),
            ScalarType::Interval(None),
            ScalarType::Interval(Some(IntervalSpec { fields: None, precision: Some(2) })),
            ScalarType::Interval(Some(IntervalSpec { fields: Some(DAY_TO_SECOND), precision: Some(3) })),
            ScalarType::Interval(Some(IntervalSpec { fields: Some(DAY_TO_SECOND), precision: None })),
            ScalarType::MzTimestamp,
            ScalarType::Array(Box::new(ScalarType::Int4)),
            ScalarType::List(Box::new(ScalarType::Int4)),
            ScalarType::List(Box::new(ScalarType::List(Box::new(ScalarType::Varchar(Some(3)))))),
            ScalarType::Map(Box::new(ScalarType::List(Box::new(ScalarType::Text)))),
            ScalarType::List(Box::new(ScalarType::Map(Box::new(ScalarType::Map(Box::new(ScalarType::Float8)))))),
            ScalarType::Array(Box::new(ScalarType::List(Box::new(ScalarType::TimestampTz(None))))),
        ]);
        for typ in types {
            let text = type_name(&typ);
            let parsed = crate::parse::data_type(&text).expect("a type");
            assert_eq!(resolve_system_type(&parsed).expect("a known type"), typ, "{text}");
        }
    }
}
