//! What PostgreSQL's clients know of a type: its oid, size, modifier, category and name.

use crate::interval::IntervalSpec;
use crate::range::RangeType;
use crate::{NumericSpec, ScalarType};

/// What `pg_type` says of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PgType {
    pub oid: u32,
    /// The oid of arrays of this type; 0 if there are none.
    pub array_oid: u32,
    /// Bytes of a value; -1 if they vary.
    pub length: i16,
    /// `typcategory`: types of one category convert to its preferred type in doubt.
    pub category: char,
    pub is_preferred: bool,
    /// `typname`
    pub name: &'static str,
}

const fn pg_type(oid: u32, array_oid: u32, length: i16, category: char, name: &'static str) -> PgType {
    PgType { oid, array_oid, length, category, is_preferred: false, name }
}

const fn preferred(oid: u32, array_oid: u32, length: i16, category: char, name: &'static str) -> PgType {
    PgType { oid, array_oid, length, category, is_preferred: true, name }
}

/// Oids of the types PostgreSQL does not have. Clients of Materialize know the first four.
pub const UINT2_OID: u32 = 16_460;
pub const UINT4_OID: u32 = 16_462;
pub const UINT8_OID: u32 = 16_464;
pub const MZ_TIMESTAMP_OID: u32 = 16_552;
pub const LIST_OID: u32 = 16_455;
pub const MAP_OID: u32 = 16_454;
pub const RECORD_OID: u32 = 2249;

/// Elements and modifiers do not matter to the entry, so this table has one sample of each.
const SCALARS: &[(ScalarType, PgType)] = &[
    (ScalarType::Bool, preferred(16, 1000, 1, 'B', "bool")),
    (ScalarType::Int2, pg_type(21, 1005, 2, 'N', "int2")),
    (ScalarType::Int4, pg_type(23, 1007, 4, 'N', "int4")),
    (ScalarType::Int8, pg_type(20, 1016, 8, 'N', "int8")),
    (ScalarType::UInt2, pg_type(UINT2_OID, 16_461, 2, 'N', "uint2")),
    (ScalarType::UInt4, pg_type(UINT4_OID, 16_463, 4, 'N', "uint4")),
    (ScalarType::UInt8, pg_type(UINT8_OID, 16_465, 8, 'N', "uint8")),
    (ScalarType::Float4, pg_type(700, 1021, 4, 'N', "float4")),
    (ScalarType::Float8, preferred(701, 1022, 8, 'N', "float8")),
    (ScalarType::Numeric(None), pg_type(1700, 1231, -1, 'N', "numeric")),
    (ScalarType::Text, preferred(25, 1009, -1, 'S', "text")),
    (ScalarType::Varchar(None), pg_type(1043, 1015, -1, 'S', "varchar")),
    (ScalarType::Char(None), pg_type(1042, 1014, -1, 'S', "bpchar")),
    (ScalarType::PgChar, pg_type(18, 1002, 1, 'Z', "char")),
    (ScalarType::Name, pg_type(19, 1003, 64, 'S', "name")),
    (ScalarType::Bytes, pg_type(17, 1001, -1, 'U', "bytea")),
    (ScalarType::Date, pg_type(1082, 1182, 4, 'D', "date")),
    (ScalarType::Time(None), pg_type(1083, 1183, 8, 'D', "time")),
    (ScalarType::Timestamp(None), pg_type(1114, 1115, 8, 'D', "timestamp")),
    (ScalarType::TimestampTz(None), preferred(1184, 1185, 8, 'D', "timestamptz")),
    (ScalarType::Interval(None), preferred(1186, 1187, 16, 'T', "interval")),
    (ScalarType::Uuid, pg_type(2950, 2951, 16, 'U', "uuid")),
    (ScalarType::Jsonb, pg_type(3802, 3807, -1, 'U', "jsonb")),
    (ScalarType::Oid, preferred(26, 1028, 4, 'N', "oid")),
    (ScalarType::RegClass, pg_type(2205, 2210, 4, 'N', "regclass")),
    (ScalarType::RegProc, pg_type(24, 1008, 4, 'N', "regproc")),
    (ScalarType::RegProcedure, pg_type(2202, 2207, 4, 'N', "regprocedure")),
    (ScalarType::RegType, pg_type(2206, 2211, 4, 'N', "regtype")),
    (ScalarType::RegNamespace, pg_type(4089, 4090, 4, 'N', "regnamespace")),
    (ScalarType::RegRole, pg_type(4096, 4097, 4, 'N', "regrole")),
    (ScalarType::MzTimestamp, pg_type(MZ_TIMESTAMP_OID, 16_553, 8, 'U', "mz_timestamp")),
];

/// The ranges, in an order of their own.
const RANGES: &[(RangeType, PgType)] = &[
    (RangeType::Int4, pg_type(3904, 3905, -1, 'R', "int4range")),
    (RangeType::Numeric, pg_type(3906, 3907, -1, 'R', "numrange")),
    (RangeType::Timestamp, pg_type(3908, 3909, -1, 'R', "tsrange")),
    (RangeType::TimestampTz, pg_type(3910, 3911, -1, 'R', "tstzrange")),
    (RangeType::Date, pg_type(3912, 3913, -1, 'R', "daterange")),
    (RangeType::Int8, pg_type(3926, 3927, -1, 'R', "int8range")),
];

const RECORD: PgType = pg_type(RECORD_OID, 2287, -1, 'P', "record");
const LIST: PgType = pg_type(LIST_OID, 0, -1, 'U', "list");
/// Of every enumeration; its oids and its name are its own.
const ENUM: PgType = pg_type(0, 0, 4, 'E', "enum");
const MAP: PgType = pg_type(MAP_OID, 0, -1, 'U', "map");

/// What `pg_type` says of a type other than an array.
fn entry(typ: &ScalarType) -> PgType {
    match typ {
        ScalarType::Array(element) => entry(element),
        ScalarType::List(_) => LIST,
        ScalarType::Map(_) => MAP,
        ScalarType::Record(_) => RECORD,
        ScalarType::Enum(typ) => PgType { oid: typ.oid, array_oid: typ.array_oid(), ..ENUM },
        ScalarType::Range(range) => {
            let found = RANGES.iter().find(|(sample, _)| sample == range);
            found.expect("every range has an entry").1
        }
        typ => {
            let found =
                SCALARS.iter().find(|(sample, _)| std::mem::discriminant(sample) == std::mem::discriminant(typ));
            found.expect("every scalar type has an entry").1
        }
    }
}

/// What `pg_type` says of a type.
pub fn lookup(typ: &ScalarType) -> PgType {
    match typ {
        ScalarType::Array(_) => {
            let element = entry(typ);
            PgType { oid: element.array_oid, array_oid: 0, length: -1, category: 'A', is_preferred: false, ..element }
        }
        typ => entry(typ),
    }
}

/// The type's oid.
pub fn oid(typ: &ScalarType) -> u32 {
    lookup(typ).oid
}

/// The oid of arrays of this type; 0 if there are none.
pub fn array_oid(typ: &ScalarType) -> u32 {
    lookup(typ).array_oid
}

/// Bytes of a value; -1 if they vary.
pub fn typlen(typ: &ScalarType) -> i16 {
    lookup(typ).length
}

/// Where a numeric's modifier has the scale.
const NUMERIC_SCALE_BITS: i32 = 0x7FF;

/// The modifier clients see; -1 if there is none. Of an array it is that of its elements.
pub fn typmod(typ: &ScalarType) -> i32 {
    /// What PostgreSQL adds to the lengths and precisions of variable-length types.
    const HEADER: i32 = 4;
    match typ {
        ScalarType::Varchar(Some(length)) | ScalarType::Char(Some(length)) => *length as i32 + HEADER,
        ScalarType::Numeric(Some(spec)) => {
            (i32::from(spec.precision) << 16 | i32::from(spec.scale) & NUMERIC_SCALE_BITS) + HEADER
        }
        ScalarType::Timestamp(Some(precision))
        | ScalarType::TimestampTz(Some(precision))
        | ScalarType::Time(Some(precision)) => i32::from(*precision),
        ScalarType::Interval(Some(spec)) => spec.typmod(),
        ScalarType::Array(element) => typmod(element),
        _ => -1,
    }
}

/// `pg_type.typcategory`
pub fn typcategory(typ: &ScalarType) -> char {
    lookup(typ).category
}

/// Whether the type is the one its category converts to in doubt.
pub fn is_preferred(typ: &ScalarType) -> bool {
    lookup(typ).is_preferred
}

/// The type as `format_type` prints it: `integer`, `character varying(10)`, `timestamp with time zone`, `integer[]`.
pub fn sql_name(typ: &ScalarType) -> String {
    let name = match typ {
        ScalarType::Bool => "boolean",
        ScalarType::Int2 => "smallint",
        ScalarType::Int4 => "integer",
        ScalarType::Int8 => "bigint",
        ScalarType::Float4 => "real",
        ScalarType::Float8 => "double precision",
        ScalarType::Numeric(Some(spec)) => return format!("numeric({},{})", spec.precision, spec.scale),
        ScalarType::Varchar(None) => "character varying",
        ScalarType::Varchar(Some(length)) => return format!("character varying({length})"),
        ScalarType::Char(Some(length)) => return format!("character({length})"),
        ScalarType::PgChar => "\"char\"",
        ScalarType::Time(Some(precision)) => return format!("time({precision}) without time zone"),
        ScalarType::Time(None) => "time without time zone",
        ScalarType::Interval(Some(spec)) => return format!("interval{spec}"),
        ScalarType::Timestamp(None) => "timestamp without time zone",
        ScalarType::Timestamp(Some(precision)) => return format!("timestamp({precision}) without time zone"),
        ScalarType::TimestampTz(None) => "timestamp with time zone",
        ScalarType::TimestampTz(Some(precision)) => return format!("timestamp({precision}) with time zone"),
        ScalarType::Array(element) => {
            let element = sql_name(element);
            // Arrays of arrays are arrays of more dimensions, which is no other type.
            return if element.ends_with("[]") { element } else { format!("{element}[]") };
        }
        ScalarType::List(element) => return format!("{} list", sql_name(element)),
        ScalarType::Map(value) => return format!("map[text=>{}]", sql_name(value)),
        ScalarType::Record(_) => "record",
        ScalarType::Enum(typ) => return quoted(&typ.name),
        typ => lookup(typ).name,
    };
    name.to_owned()
}

/// An identifier as it must be written in SQL: quoted unless it is plain lower case.
pub fn quoted(identifier: &str) -> String {
    let plain = identifier.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && identifier.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { identifier.to_owned() } else { format!("\"{}\"", identifier.replace('"', "\"\"")) }
}

/// The name of a type that has no modifier, as `format_type` prints it: `character`, not `character(1)`.
pub fn unmodified_name(typ: &ScalarType) -> String {
    match typ {
        ScalarType::Char(_) => "character".to_owned(),
        ScalarType::Array(element) => format!("{}[]", unmodified_name(element)),
        other => sql_name(other),
    }
}

/// The type of an oid, without a modifier; none if there is no such type, or the oid does not say what it contains.
pub fn from_oid(oid: u32) -> Option<ScalarType> {
    if oid == JSON_OID {
        return Some(ScalarType::Jsonb);
    }
    let scalars = SCALARS.iter().map(|(sample, entry)| (sample.clone(), entry));
    let ranges = RANGES.iter().map(|(range, entry)| (ScalarType::Range(*range), entry));
    scalars.chain(ranges).find_map(|(sample, entry)| match oid {
        _ if entry.oid == oid => Some(sample),
        _ if entry.array_oid == oid => Some(ScalarType::Array(Box::new(sample))),
        _ => None,
    })
}

/// PostgreSQL's `json`, which here is an alias of `jsonb`.
const JSON_OID: u32 = 114;

/// The type of an oid and a modifier as [`typmod`] yields it.
pub fn from_oid_and_typmod(oid: u32, typmod: i32) -> Option<ScalarType> {
    let typ = from_oid(oid)?;
    Some(with_typmod(typ, typmod))
}

fn with_typmod(typ: ScalarType, typmod: i32) -> ScalarType {
    let declared = u32::try_from(typmod - 4).ok();
    let precision = u8::try_from(typmod).ok().filter(|precision| *precision <= 6);
    match typ {
        ScalarType::Varchar(None) => ScalarType::Varchar(declared),
        ScalarType::Char(length) => ScalarType::Char(declared.or(length)),
        ScalarType::Numeric(None) => ScalarType::Numeric(declared.and_then(|packed| {
            // Of the bits of the scale the highest is its sign.
            let unsigned = packed as i32 & NUMERIC_SCALE_BITS;
            let sign = (NUMERIC_SCALE_BITS + 1) / 2;
            let scale = (unsigned ^ sign) - sign;
            Some(NumericSpec { precision: (packed >> 16).try_into().ok()?, scale: scale.try_into().ok()? })
        })),
        ScalarType::Time(None) => ScalarType::Time(precision),
        ScalarType::Interval(None) => ScalarType::Interval(IntervalSpec::of_typmod(typmod)),
        ScalarType::Timestamp(None) => ScalarType::Timestamp(precision),
        ScalarType::TimestampTz(None) => ScalarType::TimestampTz(precision),
        ScalarType::Array(element) => ScalarType::Array(Box::new(with_typmod(*element, typmod))),
        typ => typ,
    }
}

/// The type of a lower-case name without a modifier, by any of its names, also `integer[]` and `_int4`.
///
/// `char` and `character` are `char(1)`; the one-byte type is `"char"`, with its quotes.
pub fn from_name(name: &str) -> Option<ScalarType> {
    let array_of = |element: &str| from_name(element).map(|element| ScalarType::Array(Box::new(element)));
    if let Some(element) = name.strip_suffix("[]").or_else(|| name.strip_prefix('_')) {
        return array_of(element.trim_end());
    }
    if let Some(element) = name.strip_suffix(" list") {
        return from_name(element).map(|element| ScalarType::List(Box::new(element)));
    }
    let typ = match name {
        "boolean" => ScalarType::Bool,
        "smallint" => ScalarType::Int2,
        "int" | "integer" => ScalarType::Int4,
        "bigint" => ScalarType::Int8,
        "real" => ScalarType::Float4,
        "float" | "double precision" | "double" => ScalarType::Float8,
        "decimal" | "dec" => ScalarType::Numeric(None),
        "string" => ScalarType::Text,
        "character varying" => ScalarType::Varchar(None),
        "char" | "character" => ScalarType::Char(Some(1)),
        "\"char\"" => ScalarType::PgChar,
        "bytes" => ScalarType::Bytes,
        "time without time zone" => ScalarType::Time(None),
        "timestamp without time zone" => ScalarType::Timestamp(None),
        "timestamp with time zone" => ScalarType::TimestampTz(None),
        "json" => ScalarType::Jsonb,
        name => {
            let range = RANGES.iter().find(|(_, entry)| entry.name == name);
            let scalar = || SCALARS.iter().find(|(_, entry)| entry.name == name).map(|(sample, _)| sample.clone());
            return range.map(|(range, _)| ScalarType::Range(*range)).or_else(scalar);
        }
    };
    Some(typ)
}

/// The ranges with their entries.
pub fn ranges() -> impl Iterator<Item = (RangeType, PgType)> {
    RANGES.iter().copied()
}

/// A sample of every type with an entry of its own, for `pg_type`: scalars without modifiers, in the order of this table.
pub fn scalars() -> impl Iterator<Item = (&'static ScalarType, PgType)> {
    SCALARS.iter().map(|(sample, entry)| (sample, *entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::{IntervalField, IntervalFields};

    #[test]
    fn every_type_is_found_by_its_oid_and_by_its_names() {
        for (typ, entry) in scalars() {
            assert_eq!(from_oid(entry.oid).as_ref(), Some(typ));
            assert_eq!(from_oid_and_typmod(entry.oid, typmod(typ)).as_ref(), Some(typ));
            let array = ScalarType::Array(Box::new(typ.clone()));
            assert_eq!(from_oid(entry.array_oid).as_ref(), Some(&array));
            assert_eq!(oid(&array), entry.array_oid);
            assert_eq!(from_name(&sql_name(typ)).as_ref(), Some(typ), "{}", sql_name(typ));
        }
        for (range, entry) in ranges() {
            let typ = ScalarType::Range(range);
            assert_eq!(from_oid(entry.oid).as_ref(), Some(&typ));
            assert_eq!(from_oid(entry.array_oid), Some(ScalarType::Array(Box::new(typ.clone()))));
            assert_eq!(from_name(&sql_name(&typ)), Some(typ));
        }
        assert_eq!(from_oid(JSON_OID), Some(ScalarType::Jsonb));
        assert_eq!(from_oid(1), None);
    }

    #[test]
    fn oids_are_unique() {
        let mut oids: Vec<u32> = scalars().flat_map(|(_, entry)| [entry.oid, entry.array_oid]).collect();
        oids.extend(ranges().flat_map(|(_, entry)| [entry.oid, entry.array_oid]));
        oids.extend([LIST_OID, MAP_OID, RECORD_OID, RECORD.array_oid]);
        oids.sort_unstable();
        let count = oids.len();
        oids.dedup();
        assert_eq!(oids.len(), count);
    }

    const DAY_TO_SECOND: IntervalSpec = IntervalSpec {
        fields: Some(IntervalFields { first: IntervalField::Day, last: IntervalField::Second }),
        precision: None,
    };

    #[test]
    fn modifiers_survive() {
        let types = [
            ScalarType::Varchar(Some(10)),
            ScalarType::Char(Some(3)),
            ScalarType::Numeric(Some(NumericSpec { precision: 39, scale: 2 })),
            ScalarType::Numeric(Some(NumericSpec { precision: 5, scale: -2 })),
            ScalarType::Timestamp(Some(3)),
            ScalarType::TimestampTz(Some(0)),
            ScalarType::Time(Some(2)),
            ScalarType::Interval(Some(IntervalSpec { fields: None, precision: Some(3) })),
            ScalarType::Interval(Some(DAY_TO_SECOND)),
            ScalarType::Array(Box::new(ScalarType::Varchar(Some(1)))),
        ];
        for typ in types {
            assert_eq!(from_oid_and_typmod(oid(&typ), typmod(&typ)), Some(typ));
        }
    }

    #[test]
    fn names_are_those_of_format_type() {
        let list = ScalarType::List(Box::new(ScalarType::Int4));
        assert_eq!(sql_name(&ScalarType::Numeric(Some(NumericSpec { precision: 10, scale: 2 }))), "numeric(10,2)");
        assert_eq!(sql_name(&ScalarType::Varchar(Some(10))), "character varying(10)");
        assert_eq!(sql_name(&ScalarType::Interval(Some(DAY_TO_SECOND))), "interval day to second");
        assert_eq!(sql_name(&ScalarType::Array(Box::new(ScalarType::TimestampTz(None)))), "timestamp with time zone[]");
        assert_eq!(sql_name(&ScalarType::Map(Box::new(list.clone()))), "map[text=>integer list]");
        assert_eq!(from_name("integer list"), Some(list));
        assert_eq!(from_name("_int4"), from_name("int[]"));
        assert_eq!(from_name("character varying"), Some(ScalarType::Varchar(None)));
        assert_eq!(from_name("nosuch"), None);
    }
}
