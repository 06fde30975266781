//! Casts between types, after PostgreSQL's `pg_cast`.

use repr::ScalarType;

use crate::scalar::Scalar;

/// Where a cast is asked for; each admits what those before it admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastContext {
    Implicit,
    Assignment,
    Explicit,
}

/// Wraps `expr`, of type `from`, so that it yields type `to`, modifiers included (length checks, numeric scale, timestamp
/// precision). Returns the expression itself where nothing is to be done, None where no such cast exists in `context`.
pub fn cast(expr: Scalar, from: &ScalarType, to: &ScalarType, context: CastContext) -> Option<Scalar> {
    let _ = (expr, from, to, context);
    todo!("H2")
}

/// True if a cast exists in `context`.
pub fn exists(from: &ScalarType, to: &ScalarType, context: CastContext) -> bool {
    let _ = (from, to, context);
    todo!("H2")
}
