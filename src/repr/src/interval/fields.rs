//! The fields of `interval day to second(3)`: what a number without a unit means, and what of a value is kept.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Interval;
use crate::datetime::{MICROS_PER_HOUR, MICROS_PER_MINUTE};

/// A field of an interval, from large to small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IntervalField {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

impl IntervalField {
    /// All fields, from large to small.
    const ALL: [IntervalField; 6] = [
        IntervalField::Year,
        IntervalField::Month,
        IntervalField::Day,
        IntervalField::Hour,
        IntervalField::Minute,
        IntervalField::Second,
    ];

    /// The bit that stands for the field in a type's modifier.
    fn bit(self) -> i32 {
        1 << match self {
            IntervalField::Month => 1,
            IntervalField::Year => 2,
            IntervalField::Day => 3,
            IntervalField::Hour => 10,
            IntervalField::Minute => 11,
            IntervalField::Second => 12,
        }
    }

    fn word(self) -> &'static str {
        match self {
            IntervalField::Year => "year",
            IntervalField::Month => "month",
            IntervalField::Day => "day",
            IntervalField::Hour => "hour",
            IntervalField::Minute => "minute",
            IntervalField::Second => "second",
        }
    }
}

/// The first and the last field of a range such as `day to hour`; of a single field both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IntervalFields {
    pub first: IntervalField,
    pub last: IntervalField,
}

impl IntervalFields {
    fn bits(self) -> i32 {
        let within = IntervalField::ALL.into_iter().filter(|field| (self.first..=self.last).contains(field));
        within.map(IntervalField::bit).sum()
    }

    fn of_bits(bits: i32) -> Option<IntervalFields> {
        let mut fields = IntervalField::ALL.into_iter().filter(|field| bits & field.bit() != 0);
        let first = fields.next()?;
        let fields = IntervalFields { first, last: fields.next_back().unwrap_or(first) };
        (fields.bits() == bits).then_some(fields)
    }
}

impl fmt::Display for IntervalFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => f.write_str(self.first.word()),
            false => write!(f, "{} to {}", self.first.word(), self.last.word()),
        }
    }
}

/// Fields and digits of a second of an `interval day to second(3)` column. One of them is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IntervalSpec {
    pub fields: Option<IntervalFields>,
    /// 0 to 6.
    pub precision: Option<u8>,
}

impl IntervalSpec {
    const ALL_FIELDS: i32 = 0x7FFF;
    const FULL_PRECISION: i32 = 0xFFFF;

    /// The modifier that clients see.
    pub fn typmod(&self) -> i32 {
        let fields = self.fields.map_or(Self::ALL_FIELDS, IntervalFields::bits);
        fields << 16 | self.precision.map_or(Self::FULL_PRECISION, i32::from)
    }

    /// What a modifier says; None for one of all fields and digits, and for what is none.
    pub fn of_typmod(typmod: i32) -> Option<IntervalSpec> {
        let fields = match typmod >> 16 {
            Self::ALL_FIELDS => None,
            bits => Some(IntervalFields::of_bits(bits)?),
        };
        let precision = match typmod & Self::FULL_PRECISION {
            Self::FULL_PRECISION => None,
            digits => Some(u8::try_from(digits).ok().filter(|digits| *digits <= 6)?),
        };
        let spec = IntervalSpec { fields, precision };
        (spec.fields.is_some() || spec.precision.is_some()).then_some(spec)
    }
}

impl fmt::Display for IntervalSpec {
    /// What stands behind `interval`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fields) = self.fields {
            write!(f, " {fields}")?;
        }
        self.precision.map_or(Ok(()), |digits| write!(f, "({digits})"))
    }
}

impl Interval {
    /// Without what is smaller than the last of the fields, with so many digits of a second, rounded half away from zero.
    pub fn restricted(&self, spec: IntervalSpec) -> Interval {
        let IntervalSpec { fields, precision } = spec;
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
