//! The fields of `interval day to second(3)`: what a number without a unit means, and what of a value is kept.

use super::Interval;
use crate::datetime::{MICROS_PER_HOUR, MICROS_PER_MINUTE};

/// A field of an interval, from large to small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IntervalField {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

impl IntervalField {
    /// All fields, in the order of the numbers that stand for them.
    pub const ALL: [IntervalField; 6] = [
        IntervalField::Year,
        IntervalField::Month,
        IntervalField::Day,
        IntervalField::Hour,
        IntervalField::Minute,
        IntervalField::Second,
    ];
}

/// The first and the last field of a range such as `day to hour`; of a single field both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IntervalFields {
    pub first: IntervalField,
    pub last: IntervalField,
}

impl Interval {
    /// Without what is smaller than the last of `fields`, with so many digits of a second, rounded half away from zero.
    pub fn restricted(&self, fields: Option<IntervalFields>, precision: Option<u8>) -> Interval {
        let mut kept = *self;
        match fields.map(|fields| fields.last) {
            Some(IntervalField::Year) => kept = Interval { months: kept.months / 12 * 12, days: 0, micros: 0 },
            Some(IntervalField::Month) => kept = Interval { months: kept.months, days: 0, micros: 0 },
            Some(IntervalField::Day) => kept.micros = 0,
            Some(IntervalField::Hour) => kept.micros = kept.micros / MICROS_PER_HOUR * MICROS_PER_HOUR,
            Some(IntervalField::Minute) => kept.micros = kept.micros / MICROS_PER_MINUTE * MICROS_PER_MINUTE,
            Some(IntervalField::Second) | None => {}
        }
        if let Some(digits) = precision.filter(|digits| *digits < 6) {
            let unit = 10_i64.pow(6 - u32::from(digits));
            let rest = kept.micros % unit;
            let away = if rest.abs() * 2 >= unit { unit * rest.signum() } else { 0 };
            kept.micros = (kept.micros - rest).saturating_add(away);
        }
        kept
    }
}
