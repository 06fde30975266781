//! Casts between types, after PostgreSQL's `pg_cast`.

mod order;

pub(crate) use self::order::argument_bounds;

use repr::error::ParseError;
use repr::{NumericSpec, ScalarType};

use crate::error::EvalError;
use crate::func;
use crate::scalar::Scalar;

/// Where a cast is asked for; each admits what those before it admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastContext {
    Implicit,
    Assignment,
    Explicit,
}

/// Wraps `expr`, of type `from`, so that it yields type `to`, modifiers included (length checks, numeric scale, timestamp
/// precision). Returns the expression itself where the types are equal, None where no such cast exists in `context`.
///
/// A cast that leaves the bytes as they are is a call too: it carries the new type.
pub fn cast(expr: Scalar, from: &ScalarType, to: &ScalarType, context: CastContext) -> Option<Scalar> {
    if from == to {
        return Some(expr);
    }
    if !exists(from, to, context) {
        return None;
    }
    let key = match context {
        _ if is_total(from, to) => "cast_total",
        _ if gives_null(from, to) => "cast_nullable",
        CastContext::Explicit => "cast",
        CastContext::Implicit | CastContext::Assignment => "cast_assignment",
    };
    let func = func::by_key(key).expect("in the table of casts");
    Some(Scalar::call(func, vec![expr], vec![from.clone()], to.clone()))
}

/// True if a cast exists in `context`.
pub fn exists(from: &ScalarType, to: &ScalarType, context: CastContext) -> bool {
    least_context(from, to).is_some_and(|least| least <= context)
}

/// The least demanding context in which `from` is cast to `to`; none if it never is.
pub fn least_context(from: &ScalarType, to: &ScalarType) -> Option<CastContext> {
    use CastContext::{Assignment, Explicit, Implicit};
    use ScalarType::*;
    if from.clone() == to.clone() || same_but_modifiers(from, to) {
        return Some(Implicit);
    }
    Some(match (from, to) {
        (Text | Varchar(_) | Char(_), Text | Varchar(_) | Char(_) | Name) | (Name | PgChar, Text) => Implicit,
        (Name | PgChar, Varchar(_) | Char(_)) | (PgChar, Name) => Assignment,
        (Text | Varchar(_) | Char(_), PgChar) => Assignment,
        // One byte is no text: of all others it is a number's that it is cast to and from.
        (Name | Int4, PgChar) | (PgChar, Int4) => Explicit,
        (Array(from), Array(to)) | (List(from), List(to)) | (Map(from), Map(to)) => return least_context(from, to),
        (Array(from), List(to)) => return least_context(from, to).map(|least| least.max(Explicit)),
        (Record(from), Record(to)) if from.len() == to.len() => {
            let mut least = Implicit;
            for ((_, from), (_, to)) in from.iter().zip(to) {
                least = least.max(least_context(&from.scalar, &to.scalar)?);
            }
            least
        }
        // Everything can be written as text and read from it.
        (_, PgChar) | (PgChar, _) => return None,
        (_, Text | Varchar(_) | Char(_) | Name) => Assignment,
        (Text | Varchar(_) | Char(_) | Name, _) => Explicit,
        (Int2, Int4 | Int8) | (Int4, Int8) => Implicit,
        (Int8 | Int4, Int2) | (Int8, Int4) => Assignment,
        (Int2 | Int4 | Int8 | UInt2 | UInt4 | UInt8, Float4 | Float8 | Numeric(_)) => Implicit,
        (UInt2, UInt4 | UInt8 | Int4 | Int8) | (UInt4, UInt8 | Int8) => Implicit,
        (UInt2 | UInt4 | UInt8, Int2 | Int4 | Int8 | UInt2 | UInt4 | UInt8) => Assignment,
        (Int2 | Int4 | Int8, UInt2 | UInt4 | UInt8) => Assignment,
        (Float4, Float8) => Implicit,
        (Float8, Float4) => Assignment,
        (Float4 | Float8, Int2 | Int4 | Int8 | UInt2 | UInt4 | UInt8 | Numeric(_)) => Assignment,
        (Numeric(_), Float4 | Float8) => Implicit,
        (Numeric(_), Int2 | Int4 | Int8 | UInt2 | UInt4 | UInt8) => Assignment,
        (Int4, Bool) | (Bool, Int4) => Explicit,
        (Int2 | Int4 | Int8, Oid | RegClass | RegProc | RegProcedure | RegType | RegNamespace | RegRole) => Implicit,
        (UInt4 | UInt2, Oid) => Implicit,
        (RegClass | RegProc | RegProcedure | RegType | RegNamespace | RegRole, Oid)
        | (Oid, RegClass | RegProc | RegProcedure | RegType | RegNamespace | RegRole) => Implicit,
        (Oid | RegClass | RegProc | RegProcedure | RegType | RegNamespace | RegRole, Int4 | Int8) => Assignment,
        (Date, Timestamp(_) | TimestampTz(_)) | (Timestamp(_), TimestampTz(_)) | (Time(_), Interval(_)) => Implicit,
        (Timestamp(_) | TimestampTz(_), Date | Time(_)) | (TimestampTz(_), Timestamp(_)) | (Interval(_), Time(_)) => {
            Assignment
        }
        (Jsonb, Bool | Numeric(_) | Int2 | Int4 | Int8 | Float4 | Float8) => Explicit,
        (
            Int2 | Int4 | Int8 | UInt2 | UInt4 | UInt8 | Numeric(_) | Date | Timestamp(_) | TimestampTz(_),
            MzTimestamp,
        ) => Implicit,
        (MzTimestamp, Timestamp(_) | TimestampTz(_) | Numeric(_) | UInt8 | Int8) => Assignment,
        _ => return None,
    })
}

/// True for types that differ in a modifier alone.
fn same_but_modifiers(from: &ScalarType, to: &ScalarType) -> bool {
    use ScalarType::*;
    matches!(
        (from, to),
        (Numeric(_), Numeric(_))
            | (Varchar(_), Varchar(_))
            | (Char(_), Char(_))
            | (Timestamp(_), Timestamp(_))
            | (TimestampTz(_), TimestampTz(_))
            | (Time(_), Time(_))
            | (Interval(_), Interval(_))
    )
}

/// True if the cast cannot fail and gives no NULL of itself.
fn is_total(from: &ScalarType, to: &ScalarType) -> bool {
    use ScalarType::*;
    match (from, to) {
        // Casts to text that may be cut are errors in an assignment, and so not total.
        (_, Varchar(Some(_)) | Char(Some(_))) | (Int4, PgChar) => false,
        (_, Text | Varchar(None) | Char(None) | Name | PgChar) => true,
        (Text | Varchar(_) | Char(_) | PgChar | Name, _) => false,
        (Int2, Int4 | Int8) | (Int4, Int8) => true,
        (UInt2, UInt4 | UInt8 | Int4 | Int8) | (UInt4, UInt8 | Int8) => true,
        (Int2 | Int4 | Int8 | UInt2 | UInt4 | UInt8, Float4 | Float8) => true,
        (Int2 | Int4 | Int8 | UInt2 | UInt4 | UInt8 | Numeric(_), Numeric(None)) => true,
        (Int4, Bool) | (Bool, Int4) | (Float4, Float8) | (Numeric(_), Float8) => true,
        (Numeric(Some(from)), Numeric(Some(to))) => widens(from, to),
        (Int2 | Int4 | UInt2 | UInt4, Oid | RegClass | RegProc | RegProcedure | RegType | RegNamespace | RegRole) => {
            true
        }
        (
            Oid | RegClass | RegProc | RegProcedure | RegType | RegNamespace | RegRole,
            Oid | RegClass | RegProc | RegProcedure | RegType | RegNamespace | RegRole | Int8,
        ) => true,
        (Timestamp(_) | TimestampTz(_), Timestamp(None) | TimestampTz(None) | Date) => true,
        (Time(_), Interval(_) | Time(_)) | (Interval(_), Time(_) | Interval(_)) => true,
        (UInt2 | UInt4 | UInt8, MzTimestamp) | (MzTimestamp, UInt8) => true,
        (MzTimestamp, Numeric(None)) => true,
        (Array(from), Array(to)) | (List(from), List(to)) | (Map(from), Map(to)) | (Array(from), List(to)) => {
            from == to || is_total(from, to)
        }
        (Record(from), Record(to)) => from
            .iter()
            .zip(to)
            .all(|((_, from), (_, to))| from.scalar == to.scalar || is_total(&from.scalar, &to.scalar)),
        _ => false,
    }
}

/// True if a value of `from` may have nothing of `to` in it: an infinity has no time of day.
fn gives_null(from: &ScalarType, to: &ScalarType) -> bool {
    matches!((from, to), (ScalarType::Timestamp(_) | ScalarType::TimestampTz(_), ScalarType::Time(_)))
}

/// True if every number of the first fits the second as it is.
fn widens(from: &NumericSpec, to: &NumericSpec) -> bool {
    to.scale >= from.scale && to.integer_digits() >= from.integer_digits()
}

/// The error of a text that is no value.
pub fn parse_error(error: ParseError) -> EvalError {
    let ParseError { kind, message, detail } = error;
    let fault = EvalError::new(kind.sqlstate(), message);
    match detail {
        Some(detail) => fault.with_detail(detail),
        None => fault,
    }
}

#[cfg(test)]
mod tests;
