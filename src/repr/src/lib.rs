//! Values: datums, packed rows, types, times and identifiers, and PostgreSQL's text and binary forms of them.
//!
//! Knows no SQL text, no expressions, no storage. Reading order: `timestamp` and `diff`, `types`, `datum`, `row`, `codec`, `bounds`,
//! then a module for each family of values (`numeric`, `float_sum`, `datetime`, `interval`, `jsonb`, `bytea`,
//! `composite`, `range`), then `text`, `binary` and `pg_type`.

pub mod arena;
pub mod binary;
mod bounds;
pub mod bytea;
mod check;
mod codec;
pub mod composite;
pub mod datetime;
pub mod datum;
pub mod diff;
pub mod error;
pub mod float_sum;
pub mod id;
pub mod interval;
pub mod jsonb;
pub mod numeric;
pub mod pg_type;
pub mod range;
pub mod row;
pub mod text;
pub mod timestamp;
pub mod types;

pub use arena::Arena;
pub use bounds::{Bounds, ByteRange, ColumnBounds};
pub use bytea::BytesRef;
pub use datum::Datum;
pub use diff::Diff;
pub use error::{ParseError, ParseErrorKind};
pub use id::{ClusterId, CollectionId, ReplicaId, ServiceId, ShardId};
pub use range::RangeType;
pub use row::Row;
pub use timestamp::Timestamp;
pub use types::{ColumnType, EnumType, Kind, NumericSpec, RelationDesc, RelationType, ScalarType};

#[cfg(test)]
mod tests;
