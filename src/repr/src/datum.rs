//! One value, unpacked.

use crate::Kind;
use crate::bytea::BytesRef;
use crate::composite::{ArrayRef, ListRef, MapRef};
use crate::interval::Interval;
use crate::jsonb::JsonbRef;
use crate::numeric::NumericRef;

/// One SQL value. Variable-length values are borrowed from a row or from an [`Arena`](crate::Arena).
///
/// The order of two datums of one kind is SQL's, NULL last; [`Datum::Interval`] is ordered by its key, then by its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Datum<'a> {
    Bool(bool),
    /// int2, int4 and int8.
    Int(i64),
    /// uint2, uint4, uint8, oid and its aliases, mz_timestamp.
    UInt(u64),
    Float4(Float4),
    Float8(Float8),
    Numeric(NumericRef<'a>),
    /// Days since the Unix epoch; `i32::MIN` and `i32::MAX` are -infinity and infinity.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since the Unix epoch, of timestamp and timestamptz; `i64::MIN` and `i64::MAX` are the infinities.
    Timestamp(i64),
    Interval(Interval),
    Text(&'a str),
    /// See [`BytesRef`]: bytes read from a row may be escaped there.
    Bytes(BytesRef<'a>),
    Uuid(uuid::Uuid),
    Jsonb(JsonbRef<'a>),
    Array(ArrayRef<'a>),
    /// Lists and records.
    List(ListRef<'a>),
    Map(MapRef<'a>),
    Null,
}

// A row of datums is read and written all day: keep it small.
const _: () = assert!(size_of::<Datum<'static>>() == 24);

/// A canonical `real`: -0 is +0, there is one NaN, and NaN is the greatest.
#[derive(Clone, Copy, Debug)]
pub struct Float4(f32);

/// A canonical `double precision`: -0 is +0, there is one NaN, and NaN is the greatest.
#[derive(Clone, Copy, Debug)]
pub struct Float8(f64);

macro_rules! canonical_float {
    ($name:ident, $float:ty) => {
        impl $name {
            pub fn new(value: $float) -> $name {
                if value.is_nan() { $name(<$float>::NAN) } else { $name(value + 0.0) }
            }

            pub fn get(self) -> $float {
                self.0
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &$name) -> bool {
                self.cmp(other).is_eq()
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &$name) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &$name) -> std::cmp::Ordering {
                match (self.0.is_nan(), other.0.is_nan()) {
                    (false, false) => self.0.total_cmp(&other.0),
                    (mine, theirs) => mine.cmp(&theirs),
                }
            }
        }

        impl std::hash::Hash for $name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.0.to_bits().hash(state);
            }
        }
    };
}

canonical_float!(Float4, f32);
canonical_float!(Float8, f64);

impl<'a> Datum<'a> {
    pub const TRUE: Datum<'static> = Datum::Bool(true);
    pub const FALSE: Datum<'static> = Datum::Bool(false);

    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    pub fn float8(value: f64) -> Datum<'static> {
        Datum::Float8(Float8::new(value))
    }

    pub fn float4(value: f32) -> Datum<'static> {
        Datum::Float4(Float4::new(value))
    }

    pub fn bytes(bytes: &'a [u8]) -> Datum<'a> {
        Datum::Bytes(BytesRef::from(bytes))
    }

    /// The layout of this datum; none for NULL, which every kind has.
    pub fn kind(&self) -> Option<Kind> {
        let kind = match self {
            Datum::Bool(_) => Kind::Bool,
            Datum::Int(_) => Kind::Int,
            Datum::UInt(_) => Kind::UInt,
            Datum::Float4(_) => Kind::Float4,
            Datum::Float8(_) => Kind::Float8,
            Datum::Numeric(_) => Kind::Numeric,
            Datum::Date(_) => Kind::Date,
            Datum::Time(_) => Kind::Time,
            Datum::Timestamp(_) => Kind::Timestamp,
            Datum::Interval(_) => Kind::Interval,
            Datum::Text(_) => Kind::Text,
            Datum::Bytes(_) => Kind::Bytes,
            Datum::Uuid(_) => Kind::Uuid,
            Datum::Jsonb(_) => Kind::Jsonb,
            Datum::Array(_) => Kind::Array,
            Datum::List(_) => Kind::List,
            Datum::Map(_) => Kind::Map,
            Datum::Null => return None,
        };
        Some(kind)
    }

    pub fn unwrap_bool(self) -> bool {
        match self {
            Datum::Bool(value) => value,
            other => panic!("expected a bool, got {other:?}"),
        }
    }

    pub fn unwrap_int(self) -> i64 {
        match self {
            Datum::Int(value) => value,
            other => panic!("expected an integer, got {other:?}"),
        }
    }

    pub fn unwrap_uint(self) -> u64 {
        match self {
            Datum::UInt(value) => value,
            other => panic!("expected an unsigned integer, got {other:?}"),
        }
    }

    pub fn unwrap_float4(self) -> f32 {
        match self {
            Datum::Float4(value) => value.get(),
            other => panic!("expected a real, got {other:?}"),
        }
    }

    pub fn unwrap_float8(self) -> f64 {
        match self {
            Datum::Float8(value) => value.get(),
            other => panic!("expected a double, got {other:?}"),
        }
    }

    pub fn unwrap_numeric(self) -> NumericRef<'a> {
        match self {
            Datum::Numeric(value) => value,
            other => panic!("expected a numeric, got {other:?}"),
        }
    }

    pub fn unwrap_date(self) -> i32 {
        match self {
            Datum::Date(days) => days,
            other => panic!("expected a date, got {other:?}"),
        }
    }

    pub fn unwrap_time(self) -> i64 {
        match self {
            Datum::Time(micros) => micros,
            other => panic!("expected a time, got {other:?}"),
        }
    }

    pub fn unwrap_timestamp(self) -> i64 {
        match self {
            Datum::Timestamp(micros) => micros,
            other => panic!("expected a timestamp, got {other:?}"),
        }
    }

    pub fn unwrap_interval(self) -> Interval {
        match self {
            Datum::Interval(interval) => interval,
            other => panic!("expected an interval, got {other:?}"),
        }
    }

    pub fn unwrap_text(self) -> &'a str {
        match self {
            Datum::Text(text) => text,
            other => panic!("expected text, got {other:?}"),
        }
    }

    pub fn unwrap_bytes(self) -> BytesRef<'a> {
        match self {
            Datum::Bytes(bytes) => bytes,
            other => panic!("expected bytes, got {other:?}"),
        }
    }

    pub fn unwrap_uuid(self) -> uuid::Uuid {
        match self {
            Datum::Uuid(uuid) => uuid,
            other => panic!("expected a uuid, got {other:?}"),
        }
    }

    pub fn unwrap_jsonb(self) -> JsonbRef<'a> {
        match self {
            Datum::Jsonb(json) => json,
            other => panic!("expected jsonb, got {other:?}"),
        }
    }

    pub fn unwrap_list(self) -> ListRef<'a> {
        match self {
            Datum::List(list) => list,
            other => panic!("expected a list, got {other:?}"),
        }
    }

    pub fn unwrap_array(self) -> ArrayRef<'a> {
        match self {
            Datum::Array(array) => array,
            other => panic!("expected an array, got {other:?}"),
        }
    }

    pub fn unwrap_map(self) -> MapRef<'a> {
        match self {
            Datum::Map(map) => map,
            other => panic!("expected a map, got {other:?}"),
        }
    }
}
