//! The fields and digits of an interval's type: `interval day to second(3)`, `interval(2)`, and of `INTERVAL '1' DAY`.

use repr::interval::{IntervalField, IntervalFields, IntervalSpec};
use sqlparser::ast::{self, DateTimeField};

use super::types::SECOND_DIGITS_MAX;
use crate::error::Error;

/// What a type says; more digits than there are are all of them. Errors: 42601 for digits of what is no second.
pub(super) fn of_type(
    fields: Option<&ast::IntervalFields>,
    precision: Option<u64>,
) -> Result<Option<IntervalSpec>, Error> {
    let fields = fields.map(fields_of_type);
    if precision.is_some() && fields.is_some_and(|fields| fields.last != IntervalField::Second) {
        return Err(Error::new("42601", "only the seconds of an interval have a precision"));
    }
    Ok(spec(fields, precision))
}

/// What stands behind the string of `INTERVAL '…' DAY TO SECOND (3)`. Errors: 42601 for fields that do not go together.
pub(crate) fn of_literal(interval: &ast::Interval) -> Result<Option<IntervalSpec>, Error> {
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
    Ok(spec(Some(IntervalFields { first, last }), precision))
}

fn spec(fields: Option<IntervalFields>, precision: Option<u64>) -> Option<IntervalSpec> {
    let precision = precision.map(|digits| digits.min(SECOND_DIGITS_MAX) as u8);
    (fields.is_some() || precision.is_some()).then_some(IntervalSpec { fields, precision })
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
