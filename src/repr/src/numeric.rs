//! Decimal numbers of up to 39 digits.

/// A packed numeric: class, exponent, base-100 digits. Its bytes are canonical and in numeric order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumericRef<'a>(pub(crate) &'a [u8]);
