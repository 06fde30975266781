//! Rounding and conversion to machine numbers.

use std::cmp::Ordering;

use super::{DIGITS_MAX, Form, Numeric, NumericError, power_of_ten};
use crate::NumericSpec;

#[derive(Clone, Copy)]
enum Mode {
    HalfAwayFromZero,
    Truncate,
    Floor,
    Ceiling,
}

impl Numeric {
    /// Rounds half away from zero to `places` digits behind the point, or before it if negative. Errors: overflow.
    pub fn round(&self, places: i32) -> Result<Numeric, NumericError> {
        self.to_places(places, Mode::HalfAwayFromZero)
    }

    /// Drops the digits behind the first `places` behind the point.
    #[must_use]
    pub fn trunc(&self, places: i32) -> Numeric {
        self.to_places(places, Mode::Truncate).expect("truncation does not overflow")
    }

    /// The greatest integer that is not greater. Errors: overflow.
    pub fn floor(&self) -> Result<Numeric, NumericError> {
        self.to_places(0, Mode::Floor)
    }

    /// The least integer that is not less. Errors: overflow.
    pub fn ceil(&self) -> Result<Numeric, NumericError> {
        self.to_places(0, Mode::Ceiling)
    }

    fn to_places(self, places: i32, mode: Mode) -> Result<Numeric, NumericError> {
        match self.0 {
            Form::NegativeInfinity | Form::Infinity | Form::NaN => Ok(self),
            Form::Small { coefficient, scale } => {
                let dropped = i32::from(scale).saturating_sub(places);
                let Ok(dropped) = usize::try_from(dropped) else { return Ok(self) };
                if dropped == 0 {
                    return Ok(self);
                }
                match power_of_ten(dropped) {
                    Some(unit) => round_small(coefficient, unit, i64::from(scale) - dropped as i64, mode),
                    None => self.to_places_by_digits(places, mode),
                }
            }
            Form::Large(_) => self.to_places_by_digits(places, mode),
        }
    }

    fn to_places_by_digits(self, places: i32, mode: Mode) -> Result<Numeric, NumericError> {
        let (negative, digits, exponent) = self.to_digits();
        let dropped = (-exponent).saturating_sub(places.into());
        if dropped <= 0 {
            return Ok(self);
        }
        let kept = usize::try_from(digits.len() as i64 - dropped).unwrap_or(0);
        let has_rest = digits[kept..].iter().any(|digit| *digit != 0);
        let is_half = dropped <= digits.len() as i64 && digits[kept] >= 5;
        let grows = match mode {
            Mode::HalfAwayFromZero => is_half,
            Mode::Truncate => false,
            Mode::Floor => negative && has_rest,
            Mode::Ceiling => !negative && has_rest,
        };
        let mut kept = digits[..kept].to_vec();
        if grows {
            super::increment(&mut kept);
        }
        Numeric::from_digits(negative, &kept, -i64::from(places))
    }

    /// Sign, digits and exponent of a finite number.
    pub(super) fn to_digits(self) -> (bool, Vec<u8>, i64) {
        match self.0 {
            Form::Small { coefficient, scale } => {
                let digits = coefficient.unsigned_abs().to_string().bytes().map(|byte| byte - b'0').collect();
                (coefficient < 0, digits, -i64::from(scale))
            }
            Form::Large(large) => (large.is_negative(), large.coefficient_digits(), large.exponent().into()),
            Form::NegativeInfinity | Form::Infinity | Form::NaN => panic!("{self} has no digits"),
        }
    }

    /// Rounds to a column's scale. Errors: the number needs more digits before the point than the column has.
    pub fn rescale(&self, spec: NumericSpec) -> Result<Numeric, NumericError> {
        if self.is_nan() {
            return Ok(*self);
        }
        if self.is_infinite() {
            return Err(NumericError::FieldOverflow);
        }
        let rounded = self.round(spec.scale.into()).map_err(|_| NumericError::FieldOverflow)?;
        let bound = match spec.integer_digits() {
            zeros @ ..=0 => Numeric::from_parts(1, zeros.unsigned_abs() as u8),
            digits if digits as usize >= DIGITS_MAX => return Ok(rounded),
            digits => Numeric::small(power_of_ten(digits as usize).expect("below 39 digits"), 0),
        };
        match rounded.abs().cmp(&bound) {
            Ordering::Less => Ok(rounded),
            Ordering::Equal | Ordering::Greater => Err(NumericError::FieldOverflow),
        }
    }

    /// Rounds half away from zero to an integer. None: out of range, or not a number.
    pub fn to_i128(&self) -> Option<i128> {
        match self.round(0).ok()?.0 {
            Form::Small { coefficient, scale } => Some(coefficient / power_of_ten(scale.into())?),
            _ => None,
        }
    }

    /// Rounds half away from zero to an integer. None: out of range, or not a number.
    pub fn to_i64(&self) -> Option<i64> {
        self.to_i128().and_then(|value| value.try_into().ok())
    }

    /// Rounds half away from zero to an integer. None: out of range, or not a number.
    pub fn to_u64(&self) -> Option<u64> {
        self.to_i128().and_then(|value| value.try_into().ok())
    }

    /// The nearest double.
    pub fn to_f64(&self) -> f64 {
        /// Below this a double holds every integer.
        const EXACT: u128 = 1 << 53;
        match self.0 {
            Form::NegativeInfinity => f64::NEG_INFINITY,
            Form::Infinity => f64::INFINITY,
            Form::NaN => f64::NAN,
            // Both operands are exact, so the quotient is rounded once.
            Form::Small { coefficient, scale: scale @ 0..=22 } if coefficient.unsigned_abs() < EXACT => {
                coefficient as f64 / 10_f64.powi(scale.into())
            }
            Form::Small { .. } | Form::Large(_) => self.to_string().parse().expect("a decimal is a double"),
        }
    }

    /// The nearest single.
    pub fn to_f32(&self) -> f32 {
        match self.0 {
            Form::NegativeInfinity => f32::NEG_INFINITY,
            Form::Infinity => f32::INFINITY,
            Form::NaN => f32::NAN,
            Form::Small { .. } | Form::Large(_) => self.to_string().parse().expect("a decimal is a single"),
        }
    }
}

fn round_small(coefficient: i128, unit: i128, scale: i64, mode: Mode) -> Result<Numeric, NumericError> {
    let (quotient, remainder) = (coefficient / unit, coefficient % unit);
    let carry = match mode {
        Mode::HalfAwayFromZero if remainder.unsigned_abs() >= unit.unsigned_abs() / 2 => coefficient.signum(),
        Mode::Floor if remainder < 0 => -1,
        Mode::Ceiling if remainder > 0 => 1,
        _ => 0,
    };
    let rounded = quotient + carry;
    if scale >= 0 {
        return Ok(Numeric::small(rounded, scale as u8));
    }
    let zeros = power_of_ten(-scale as usize).and_then(|zeros| rounded.checked_mul(zeros));
    match zeros {
        Some(coefficient) => Ok(Numeric::small(coefficient, 0)),
        None => {
            let digits: Vec<u8> = rounded.unsigned_abs().to_string().bytes().map(|byte| byte - b'0').collect();
            Numeric::from_digits(rounded < 0, &digits, -scale)
        }
    }
}
