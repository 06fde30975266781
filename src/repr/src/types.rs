//! SQL types of columns and relations, and the physical kind by which a datum of a type is packed.

use serde::{Deserialize, Serialize};

use crate::interval::IntervalSpec;
use crate::range::RangeType;

/// Precision and scale of a `numeric(p, s)` column.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NumericSpec {
    /// Most decimal digits, 1 to 39.
    pub precision: u8,
    /// Digits after the point, -39 to 39; values are printed with exactly this many. More than `precision` leave none before
    /// it, and only zeros right behind it; less than none round before it.
    pub scale: i8,
}

impl NumericSpec {
    /// The digits after the point that values are printed with.
    pub fn shown_scale(&self) -> u8 {
        u8::try_from(self.scale).unwrap_or(0)
    }

    /// The exponent of the least power of ten that no value reaches.
    pub fn integer_digits(&self) -> i16 {
        i16::from(self.precision) - i16::from(self.scale)
    }
}

/// An enumeration that a user made. Its values are in the order in which the labels were declared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EnumType {
    /// The type's own; that of its arrays and those of its labels follow it.
    pub oid: u32,
    pub name: String,
    pub labels: Vec<String>,
}

impl EnumType {
    /// The oid of arrays of this type.
    pub fn array_oid(&self) -> u32 {
        self.oid + 1
    }

    /// The oid of the label at `index`, counted from 0.
    pub fn label_oid(&self, index: usize) -> u32 {
        self.oid + 2 + index as u32
    }

    /// The label of a stored value.
    pub fn label(&self, value: i64) -> Option<&str> {
        self.labels.get(usize::try_from(value.checked_sub(1)?).ok()?).map(String::as_str)
    }

    /// What a label is stored as.
    pub fn value(&self, label: &str) -> Option<i64> {
        self.labels.iter().position(|other| other == label).map(|index| index as i64 + 1)
    }
}

/// A SQL type with its modifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ScalarType {
    Bool,
    Int2,
    Int4,
    Int8,
    UInt2,
    UInt4,
    UInt8,
    Float4,
    Float8,
    Numeric(Option<NumericSpec>),
    Text,
    /// `varchar(n)`: most characters, if any limit.
    Varchar(Option<u32>),
    /// `char(n)`, stored without trailing blanks, or `bpchar` without a length, which keeps them. They do not count.
    Char(Option<u32>),
    /// `"char"`, one byte; what is not ASCII is kept as `\303`.
    PgChar,
    Name,
    Bytes,
    Date,
    /// Digits after the second, as of `Timestamp`.
    Time(Option<u8>),
    /// Digits after the second, 0 to 6, if declared.
    Timestamp(Option<u8>),
    TimestampTz(Option<u8>),
    Interval(Option<IntervalSpec>),
    Uuid,
    Jsonb,
    Oid,
    RegClass,
    RegProc,
    RegProcedure,
    RegType,
    RegNamespace,
    RegRole,
    MzTimestamp,
    Enum(Box<EnumType>),
    Array(Box<ScalarType>),
    List(Box<ScalarType>),
    Map(Box<ScalarType>),
    Range(RangeType),
    Record(Vec<(String, ColumnType)>),
}

/// How the bytes of a datum are laid out. A row carries no type tags, so a reader brings the kinds of its columns.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    Bool,
    Int,
    UInt,
    Float4,
    Float8,
    Numeric,
    Date,
    Time,
    /// `timestamp` and `timestamptz` alike: microseconds since the Unix epoch.
    Timestamp,
    Interval,
    Text,
    Bytes,
    Uuid,
    Jsonb,
    Array,
    /// Lists, records and ranges.
    List,
    Map,
}

impl Kind {
    /// A number for what is stored. Durable: never changed, never given out twice.
    pub fn tag(self) -> u8 {
        crate::codec::tag_of_kind(self)
    }

    /// The kind of a number that `tag` gave.
    pub fn of_tag(tag: u8) -> Option<Kind> {
        crate::codec::kind_of_tag(tag)
    }

    /// True if the order of packed bytes is that of SQL's comparisons, and equal bytes are all that is equal.
    pub fn is_compared_by_bytes(self) -> bool {
        !matches!(self, Kind::Interval | Kind::Jsonb | Kind::Array | Kind::List | Kind::Map)
    }
}

impl ScalarType {
    /// The layout of a datum of this type.
    pub fn kind(&self) -> Kind {
        match self {
            ScalarType::Bool => Kind::Bool,
            // The place of the label, from 1.
            ScalarType::Int2 | ScalarType::Int4 | ScalarType::Int8 | ScalarType::Enum(_) => Kind::Int,
            ScalarType::UInt2
            | ScalarType::UInt4
            | ScalarType::UInt8
            | ScalarType::Oid
            | ScalarType::RegClass
            | ScalarType::RegProc
            | ScalarType::RegProcedure
            | ScalarType::RegType
            | ScalarType::RegNamespace
            | ScalarType::RegRole
            | ScalarType::MzTimestamp => Kind::UInt,
            ScalarType::Float4 => Kind::Float4,
            ScalarType::Float8 => Kind::Float8,
            ScalarType::Numeric(_) => Kind::Numeric,
            ScalarType::Text | ScalarType::Varchar(_) | ScalarType::Char(_) | ScalarType::PgChar | ScalarType::Name => {
                Kind::Text
            }
            ScalarType::Bytes => Kind::Bytes,
            ScalarType::Date => Kind::Date,
            ScalarType::Time(_) => Kind::Time,
            ScalarType::Timestamp(_) | ScalarType::TimestampTz(_) => Kind::Timestamp,
            ScalarType::Interval(_) => Kind::Interval,
            ScalarType::Uuid => Kind::Uuid,
            ScalarType::Jsonb => Kind::Jsonb,
            ScalarType::Array(_) => Kind::Array,
            ScalarType::List(_) | ScalarType::Record(_) | ScalarType::Range(_) => Kind::List,
            ScalarType::Map(_) => Kind::Map,
        }
    }

    /// This type as a column type that admits NULL.
    pub fn nullable(self) -> ColumnType {
        ColumnType { scalar: self, nullable: true }
    }

    /// This type as a column type that never holds NULL.
    pub fn not_null(self) -> ColumnType {
        ColumnType { scalar: self, nullable: false }
    }

    /// True for numbers of objects that print as names.
    pub fn is_reg(&self) -> bool {
        use ScalarType::{RegClass, RegNamespace, RegProc, RegProcedure, RegRole, RegType};
        matches!(self, RegClass | RegProc | RegProcedure | RegType | RegNamespace | RegRole)
    }

    /// True for `interval`, with any modifier.
    pub fn is_interval(&self) -> bool {
        matches!(self, ScalarType::Interval(_))
    }

    /// True for `interval`, and what contains one.
    pub fn contains_interval(&self) -> bool {
        self.contains(&ScalarType::is_interval)
    }

    /// True if values SQL calls equal may differ in bytes: `interval`, `bpchar` without a length, and what contains one.
    pub fn equals_by_key(&self) -> bool {
        self.contains(&|typ| matches!(typ, ScalarType::Interval(_) | ScalarType::Char(None)))
    }

    /// True if the order of bytes may not be that of SQL even where equal values have equal bytes: `jsonb`, and what contains
    /// one.
    pub fn contains_jsonb(&self) -> bool {
        self.contains(&|typ| *typ == ScalarType::Jsonb)
    }

    /// True if this type, or one that it is made of, is as asked.
    fn contains(&self, is: &dyn Fn(&ScalarType) -> bool) -> bool {
        match self {
            ScalarType::Array(element) | ScalarType::List(element) | ScalarType::Map(element) => element.contains(is),
            ScalarType::Record(fields) => fields.iter().any(|(_, field)| field.scalar.contains(is)),
            other => is(other),
        }
    }

    /// The type of what values are ordered by: bytes stand in for jsonb.
    pub fn order_key_type(&self) -> ScalarType {
        let of = |element: &ScalarType| Box::new(element.order_key_type());
        match self {
            ScalarType::Jsonb => ScalarType::Bytes,
            ScalarType::Array(element) => ScalarType::Array(of(element)),
            ScalarType::List(element) => ScalarType::List(of(element)),
            ScalarType::Map(value) => ScalarType::Map(of(value)),
            ScalarType::Record(fields) => {
                let keyed = |field: &ColumnType| ColumnType { scalar: field.scalar.order_key_type(), ..field.clone() };
                ScalarType::Record(fields.iter().map(|(name, field)| (name.clone(), keyed(field))).collect())
            }
            other => other.clone(),
        }
    }
}

/// A column's type and whether it may hold NULL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnType {
    pub scalar: ScalarType,
    pub nullable: bool,
}

impl ColumnType {
    pub fn kind(&self) -> Kind {
        self.scalar.kind()
    }
}

/// Types and unique keys of a relation whose columns have no names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RelationType {
    pub columns: Vec<ColumnType>,
    /// Sets of column indexes, each of which determines a row. An empty set: at most one row.
    pub keys: Vec<Vec<usize>>,
}

impl RelationType {
    pub fn new(columns: Vec<ColumnType>) -> RelationType {
        RelationType { columns, keys: Vec::new() }
    }

    pub fn arity(&self) -> usize {
        self.columns.len()
    }

    pub fn kinds(&self) -> Vec<Kind> {
        self.columns.iter().map(ColumnType::kind).collect()
    }
}

/// A relation's columns, named, in order. Names may repeat in a query's result, never in a stored object.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RelationDesc {
    pub names: Vec<String>,
    pub typ: RelationType,
}

impl RelationDesc {
    pub fn new(columns: impl IntoIterator<Item = (String, ColumnType)>) -> RelationDesc {
        let (names, columns) = columns.into_iter().unzip();
        RelationDesc { names, typ: RelationType::new(columns) }
    }

    pub fn arity(&self) -> usize {
        self.names.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &ColumnType)> {
        self.names.iter().map(String::as_str).zip(&self.typ.columns)
    }

    /// The index of the first column of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }
}
