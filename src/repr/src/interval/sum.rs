//! What the fields of an interval's text add up to. Each addition is checked.

use super::Interval;
use crate::datetime::MICROS_PER_DAY;

/// Why a text is no interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Syntax,
    /// A field is out of its range.
    Field,
    /// The fields are fine, their sum is not.
    Sum,
}

/// Years are kept apart from months: each must be in range before they are added.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    years: i32,
    months: i32,
    days: i32,
    pub(super) micros: i64,
}

/// A number with a fraction of the same sign.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantity {
    pub(super) whole: i64,
    pub(super) fraction: f64,
}

fn plus(field: &mut i32, count: i64, scale: i64) -> Result<(), Failure> {
    let count = i32::try_from(count).ok().and_then(|count| i64::from(count).checked_mul(scale));
    let count = count.and_then(|count| i32::try_from(count).ok());
    *field = count.and_then(|count| field.checked_add(count)).ok_or(Failure::Field)?;
    Ok(())
}

impl Sum {
    pub(super) fn add_micros(&mut self, quantity: Quantity, scale: i64) -> Result<(), Failure> {
        let micros = quantity.whole.checked_mul(scale).and_then(|micros| self.micros.checked_add(micros));
        self.micros = micros.ok_or(Failure::Field)?;
        self.add_fraction_of_micros(quantity.fraction, scale)
    }

    /// Rounded half towards zero, as PostgreSQL's additions of fractions are.
    fn add_fraction_of_micros(&mut self, fraction: f64, scale: i64) -> Result<(), Failure> {
        let scaled = fraction * scale as f64;
        let whole = scaled.trunc();
        let rest = scaled - whole;
        let away = i64::from(rest > 0.5) - i64::from(rest < -0.5);
        self.micros = self.micros.checked_add(whole as i64 + away).ok_or(Failure::Field)?;
        Ok(())
    }

    /// Days, `scale` to a unit.
    pub(super) fn add_days(&mut self, quantity: Quantity, scale: i64) -> Result<(), Failure> {
        plus(&mut self.days, quantity.whole, scale)?;
        self.add_fraction_of_days(quantity.fraction, scale)
    }

    fn add_fraction_of_days(&mut self, fraction: f64, scale: i64) -> Result<(), Failure> {
        let scaled = fraction * scale as f64;
        plus(&mut self.days, scaled.trunc() as i64, 1)?;
        self.add_fraction_of_micros(scaled - scaled.trunc(), MICROS_PER_DAY)
    }

    pub(super) fn add_months(&mut self, quantity: Quantity) -> Result<(), Failure> {
        plus(&mut self.months, quantity.whole, 1)?;
        self.add_fraction_of_days(quantity.fraction, 30)
    }

    /// Years, `scale` to a unit. A fraction is rounded to months.
    pub(super) fn add_years(&mut self, quantity: Quantity, scale: i64) -> Result<(), Failure> {
        plus(&mut self.years, quantity.whole, scale)?;
        plus(&mut self.months, (quantity.fraction * (scale * 12) as f64).round_ties_even() as i64, 1)
    }

    pub(super) fn negate(&mut self) -> Result<(), Failure> {
        let negated = |field: i32| field.checked_neg().ok_or(Failure::Field);
        *self = Sum {
            years: negated(self.years)?,
            months: negated(self.months)?,
            days: negated(self.days)?,
            micros: self.micros.checked_neg().ok_or(Failure::Field)?,
        };
        Ok(())
    }

    pub(super) fn interval(&self) -> Result<Interval, Failure> {
        let months = i64::from(self.years) * 12 + i64::from(self.months);
        let months = i32::try_from(months).map_err(|_| Failure::Sum)?;
        Ok(Interval { months, days: self.days, micros: self.micros })
    }
}
