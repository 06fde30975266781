//! JSON values, packed so that the order of bytes is PostgreSQL's order of jsonb.

/// A packed jsonb value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonbRef<'a>(pub(crate) &'a [u8]);
