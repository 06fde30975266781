//! Ranges: two bounds, either of which may be missing, or nothing at all.
//!
//! A range is packed as a list, so that the order of bytes is PostgreSQL's: the empty range first, then by the lower bound
//! (none before any, an inclusive one before an exclusive one), then by the upper (an exclusive one before an inclusive
//! one, none after any).
//!
//! | part | elements |
//! |---|---|
//! | empty | none |
//! | lower bound | `false` if there is none; else `true`, the value, and whether it is exclusive |
//! | upper bound | `true` if there is none; else `false`, the value, and whether it is inclusive |

use serde::{Deserialize, Serialize};

use crate::composite::{ListRef, pack_list};
use crate::datetime::{DATE_INFINITY, DATE_MAX, DATE_NEGATIVE_INFINITY};
use crate::error::{ParseError, ParseErrorKind};
use crate::{Datum, Kind, Row, ScalarType};

/// Of what a range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RangeType {
    Int4,
    Int8,
    Numeric,
    Date,
    Timestamp,
    TimestampTz,
}

impl RangeType {
    pub const ALL: [RangeType; 6] = [
        RangeType::Int4,
        RangeType::Int8,
        RangeType::Numeric,
        RangeType::Date,
        RangeType::Timestamp,
        RangeType::TimestampTz,
    ];

    /// The type of the bounds.
    pub fn element(self) -> ScalarType {
        match self {
            RangeType::Int4 => ScalarType::Int4,
            RangeType::Int8 => ScalarType::Int8,
            RangeType::Numeric => ScalarType::Numeric(None),
            RangeType::Date => ScalarType::Date,
            RangeType::Timestamp => ScalarType::Timestamp(None),
            RangeType::TimestampTz => ScalarType::TimestampTz(None),
        }
    }

    /// The range whose bounds are of this type, if there is one.
    pub fn of_element(element: &ScalarType) -> Option<RangeType> {
        Some(match element {
            ScalarType::Int4 => RangeType::Int4,
            ScalarType::Int8 => RangeType::Int8,
            ScalarType::Numeric(_) => RangeType::Numeric,
            ScalarType::Date => RangeType::Date,
            ScalarType::Timestamp(_) => RangeType::Timestamp,
            ScalarType::TimestampTz(_) => RangeType::TimestampTz,
            _ => return None,
        })
    }

    fn kind(self) -> Kind {
        self.element().kind()
    }

    /// The value right behind another, of types where there is one. Errors: it is the last.
    fn successor(self, value: Datum<'_>) -> Result<Option<Datum<'static>>, ParseError> {
        let number = |what: &str| ParseError::new(ParseErrorKind::NumberOutOfRange, format!("{what} out of range"));
        Ok(Some(match (self, value) {
            (RangeType::Int4, Datum::Int(value)) if value >= i32::MAX.into() => return Err(number("integer")),
            (RangeType::Int4, Datum::Int(value)) => Datum::Int(value + 1),
            (RangeType::Int8, Datum::Int(value)) => Datum::Int(value.checked_add(1).ok_or_else(|| number("bigint"))?),
            (RangeType::Date, Datum::Date(days)) if days == DATE_INFINITY || days == DATE_NEGATIVE_INFINITY => {
                return Ok(None);
            }
            (RangeType::Date, Datum::Date(days)) if days >= DATE_MAX => {
                return Err(ParseError::new(ParseErrorKind::DatetimeOutOfRange, "date out of range"));
            }
            (RangeType::Date, Datum::Date(days)) => Datum::Date(days + 1),
            _ => return Ok(None),
        }))
    }
}

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound<'a> {
    pub value: Datum<'a>,
    pub inclusive: bool,
}

/// A range, unpacked. A missing bound is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range<'a> {
    Empty,
    Bounds { lower: Option<Bound<'a>>, upper: Option<Bound<'a>> },
}

impl<'a> Range<'a> {
    /// Unpacks. Panics if the list is no range.
    pub fn unpack(list: ListRef<'a>) -> Range<'a> {
        let mut elements = list.iter();
        let Some(has_lower) = elements.next() else { return Range::Empty };
        let mut next = || elements.next().expect("a range has two ends, each a flag, and a value with another");
        let lower = has_lower.unwrap_bool().then(|| (next(), next().unwrap_bool()));
        let lower = lower.map(|(value, exclusive)| Bound { value, inclusive: !exclusive });
        let upper = (!next().unwrap_bool()).then(|| (next(), next().unwrap_bool()));
        let upper = upper.map(|(value, inclusive)| Bound { value, inclusive });
        Range::Bounds { lower, upper }
    }

    /// Packs as the one datum of a row, in the one form that equal ranges have: of whole numbers and dates with an
    /// inclusive lower and an exclusive upper bound, and without anything in it as the empty range.
    ///
    /// Errors: the lower bound is above the upper; a bound has no successor.
    pub fn pack(self, typ: RangeType) -> Result<Row, ParseError> {
        let Range::Bounds { mut lower, mut upper } = self else { return Ok(pack_list(&[])) };
        if let (Some(low), Some(high)) = (&lower, &upper)
            && low.value > high.value
        {
            let message = "range lower bound must be less than or equal to range upper bound";
            return Err(ParseError::new(ParseErrorKind::DataException, message));
        }
        if let Some(low) = &mut lower
            && !low.inclusive
            && let Some(next) = typ.successor(low.value)?
        {
            *low = Bound { value: next, inclusive: true };
        }
        if let Some(high) = &mut upper
            && high.inclusive
            && let Some(next) = typ.successor(high.value)?
        {
            *high = Bound { value: next, inclusive: false };
        }
        if let (Some(low), Some(high)) = (&lower, &upper) {
            let meet = low.value == high.value && low.inclusive && high.inclusive;
            if low.value >= high.value && !meet {
                return Ok(pack_list(&[]));
            }
        }
        let mut elements = Vec::with_capacity(6);
        elements.push((Datum::Bool(lower.is_some()), Kind::Bool));
        if let Some(Bound { value, inclusive }) = lower {
            elements.extend([(value, typ.kind()), (Datum::Bool(!inclusive), Kind::Bool)]);
        }
        elements.push((Datum::Bool(upper.is_none()), Kind::Bool));
        if let Some(Bound { value, inclusive }) = upper {
            elements.extend([(value, typ.kind()), (Datum::Bool(inclusive), Kind::Bool)]);
        }
        Ok(pack_list(&elements))
    }

    pub fn lower(&self) -> Option<Bound<'a>> {
        match self {
            Range::Empty => None,
            Range::Bounds { lower, .. } => *lower,
        }
    }

    pub fn upper(&self) -> Option<Bound<'a>> {
        match self {
            Range::Empty => None,
            Range::Bounds { upper, .. } => *upper,
        }
    }
}
