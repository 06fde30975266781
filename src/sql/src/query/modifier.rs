//! Modifiers that a cast applies and no column keeps: `interval day to hour`, `interval(2)`, `time(3)`. The value is cut and
//! rounded once; its type is the plain one.

use expr::func::by_key;
use repr::interval::{IntervalField, IntervalFields};
use repr::{Datum, ScalarType};
use sqlparser::ast::{self, DataType, DateTimeField, TimezoneInfo};

use super::QueryContext;
use super::coerce::{Planned, fold};
use crate::error::Error;
use crate::hir::HirScalar;

/// The most digits of a second; more are taken for these.
const SECOND_DIGITS_MAX: u64 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Modifier {
    Interval {
        fields: Option<IntervalFields>,
        precision: Option<u8>,
    },
    /// Digits of a second.
    Time(u8),
}

impl Modifier {
    /// The modifier that a type is written with, if it is one of those that no column keeps.
    pub(super) fn of(data_type: &DataType) -> Option<Modifier> {
        match data_type {
            DataType::Time(Some(precision), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                Some(Modifier::Time(digits(*precision)))
            }
            DataType::Interval { fields: None, precision: None } => None,
            DataType::Interval { fields, precision } => Some(Modifier::Interval {
                fields: fields.as_ref().map(fields_of_type),
                precision: precision.map(digits),
            }),
            _ => None,
        }
    }

    /// The modifier of `INTERVAL '…' DAY TO SECOND (3)`; none if nothing is behind the string. Errors: 42601 for fields that
    /// do not go together.
    pub(super) fn of_literal(interval: &ast::Interval) -> Result<Option<Modifier>, Error> {
        let Some(leading) = &interval.leading_field else { return Ok(None) };
        let wrong = || Error::new("42601", "syntax error in the fields of an interval").at_node(&*interval.value);
        let first = field(leading).ok_or_else(wrong)?;
        let last = interval.last_field.as_ref().map_or(Some(first), field).ok_or_else(wrong)?;
        let goes_together = match (first, last) {
            _ if interval.last_field.is_none() => true,
            (IntervalField::Year, last) => last == IntervalField::Month,
            (IntervalField::Month, _) => false,
            (first, last) => first < last,
        };
        let precision = interval.leading_precision.or(interval.fractional_seconds_precision);
        if !goes_together || (precision.is_some() && last != IntervalField::Second) {
            return Err(wrong());
        }
        let fields = Some(IntervalFields { first, last });
        Ok(Some(Modifier::Interval { fields, precision: precision.map(digits) }))
    }

    pub(super) fn typ(self) -> ScalarType {
        match self {
            Modifier::Interval { .. } => ScalarType::Interval,
            Modifier::Time(_) => ScalarType::Time,
        }
    }
}

fn digits(precision: u64) -> u8 {
    precision.min(SECOND_DIGITS_MAX) as u8
}

fn field(field: &DateTimeField) -> Option<IntervalField> {
    Some(match field {
        DateTimeField::Year => IntervalField::Year,
        DateTimeField::Month => IntervalField::Month,
        DateTimeField::Day => IntervalField::Day,
        DateTimeField::Hour => IntervalField::Hour,
        DateTimeField::Minute => IntervalField::Minute,
        DateTimeField::Second => IntervalField::Second,
        _ => return None,
    })
}

fn fields_of_type(fields: &ast::IntervalFields) -> IntervalFields {
    use IntervalField::{Day, Hour, Minute, Month, Second, Year};
    let (first, last) = match fields {
        ast::IntervalFields::Year => (Year, Year),
        ast::IntervalFields::Month => (Month, Month),
        ast::IntervalFields::Day => (Day, Day),
        ast::IntervalFields::Hour => (Hour, Hour),
        ast::IntervalFields::Minute => (Minute, Minute),
        ast::IntervalFields::Second => (Second, Second),
        ast::IntervalFields::YearToMonth => (Year, Month),
        ast::IntervalFields::DayToHour => (Day, Hour),
        ast::IntervalFields::DayToMinute => (Day, Minute),
        ast::IntervalFields::DayToSecond => (Day, Second),
        ast::IntervalFields::HourToMinute => (Hour, Minute),
        ast::IntervalFields::HourToSecond => (Hour, Second),
        ast::IntervalFields::MinuteToSecond => (Minute, Second),
    };
    IntervalFields { first, last }
}

impl QueryContext<'_> {
    /// As the modifier's type, cut and rounded. Errors: 42846 if there is no cast.
    pub(super) fn coerce_modified(&mut self, planned: Planned, modifier: Modifier) -> Result<Planned, Error> {
        let typ = modifier.typ();
        let position = match &planned {
            Planned::Unknown { position, .. } => *position,
            _ => None,
        };
        let is_literal = matches!(planned, Planned::Unknown { text: Some(_), .. });
        let (key, scalar, from, arguments) = match modifier {
            Modifier::Interval { fields, precision } => {
                // A literal is read as the fields say: theirs is a number without a unit.
                let (key, from) = match is_literal {
                    true => ("interval_of_text", ScalarType::Text),
                    false => ("interval_restricted", ScalarType::Interval),
                };
                let scalar = self.coerce_explicit(planned, &from)?;
                (key, scalar, from, vec![expr::func::interval_fields_number(fields), i64::from(precision.unwrap_or(6))])
            }
            Modifier::Time(precision) => {
                let scalar = self.coerce_explicit(planned, &ScalarType::Time)?;
                ("time_rounded", scalar, ScalarType::Time, vec![i64::from(precision)])
            }
        };
        let func = by_key(key).ok_or_else(|| Error::unsupported("this modifier of a type"))?;
        let mut types = vec![from];
        types.resize(arguments.len() + 1, ScalarType::Int4);
        let numbers = arguments.into_iter().map(|number| HirScalar::literal(Datum::Int(number), ScalarType::Int4));
        let args = std::iter::once(scalar).chain(numbers).collect();
        let call = HirScalar::call(func, args, types, typ.clone());
        let folded = fold(call).map_err(|error| position.map_or(error.clone(), |position| error.at(position)))?;
        Ok(Planned::typed(folded, typ))
    }
}
