//! Sums, products, quotients, remainders. Fast when the coefficients fit 128 bits, else by decNumber at 81 digits.

use super::{DIGITS_MAX, Form, Numeric, NumericError, power_of_ten, wide_context};

/// Brings two coefficients to the larger of their scales. None: they do not fit.
pub(super) fn align(left: i128, left_scale: u8, right: i128, right_scale: u8) -> Option<(i128, i128, u8)> {
    if left_scale < right_scale {
        let factor = power_of_ten(usize::from(right_scale - left_scale))?;
        Some((left.checked_mul(factor)?, right, right_scale))
    } else {
        let factor = power_of_ten(usize::from(left_scale - right_scale))?;
        Some((left, right.checked_mul(factor)?, left_scale))
    }
}

impl Numeric {
    /// Errors: overflow.
    pub fn add(&self, other: &Numeric) -> Result<Numeric, NumericError> {
        use Form::{Infinity, NaN, NegativeInfinity, Small};
        match (self.0, other.0) {
            (Small { coefficient: left, scale: left_scale }, Small { coefficient: right, scale: right_scale }) => {
                let sum = align(left, left_scale, right, right_scale)
                    .and_then(|(left, right, scale)| Some(Numeric::small(left.checked_add(right)?, scale)));
                match sum {
                    Some(sum) => Ok(sum),
                    None => self.add_wide(other),
                }
            }
            (NaN, _) | (_, NaN) | (Infinity, NegativeInfinity) | (NegativeInfinity, Infinity) => Ok(Numeric::NAN),
            (Infinity | NegativeInfinity, _) => Ok(*self),
            (_, Infinity | NegativeInfinity) => Ok(*other),
            _ => self.add_wide(other),
        }
    }

    fn add_wide(&self, other: &Numeric) -> Result<Numeric, NumericError> {
        let mut sum = self.to_wide();
        wide_context().add(&mut sum, &other.to_wide());
        Numeric::from_wide(&sum)
    }

    /// Errors: overflow.
    pub fn sub(&self, other: &Numeric) -> Result<Numeric, NumericError> {
        self.add(&other.neg())
    }

    /// Errors: overflow.
    pub fn mul(&self, other: &Numeric) -> Result<Numeric, NumericError> {
        use Form::{NaN, Small};
        match (self.0, other.0) {
            (Small { coefficient: left, scale: left_scale }, Small { coefficient: right, scale: right_scale }) => {
                let scale = left_scale + right_scale;
                match left.checked_mul(right) {
                    Some(product) if usize::from(scale) <= DIGITS_MAX => Ok(Numeric::small(product, scale)),
                    _ => self.mul_wide(other),
                }
            }
            (NaN, _) | (_, NaN) => Ok(Numeric::NAN),
            _ if self.is_finite() && other.is_finite() => self.mul_wide(other),
            _ if self.is_zero() || other.is_zero() => Ok(Numeric::NAN),
            _ => Ok(infinity(self.is_negative() != other.is_negative())),
        }
    }

    fn mul_wide(&self, other: &Numeric) -> Result<Numeric, NumericError> {
        let mut product = self.to_wide();
        wide_context().mul(&mut product, &other.to_wide());
        Numeric::from_wide(&product)
    }

    /// The quotient, rounded to 39 digits. Errors: division by zero, overflow.
    pub fn div(&self, other: &Numeric) -> Result<Numeric, NumericError> {
        if self.is_nan() || other.is_nan() {
            return Ok(Numeric::NAN);
        }
        if other.is_zero() {
            return Err(NumericError::DivisionByZero);
        }
        match (self.is_infinite(), other.is_infinite()) {
            (true, true) => return Ok(Numeric::NAN),
            (true, false) => return Ok(infinity(self.is_negative() != other.is_negative())),
            (false, true) => return Ok(Numeric::ZERO),
            (false, false) => {}
        }
        if let Some((left, right, _)) = self.aligned(other)
            && let Some(0) = left.checked_rem(right)
        {
            return Ok(Numeric::small(left / right, 0));
        }
        let mut quotient = self.to_wide();
        wide_context().div(&mut quotient, &other.to_wide());
        Numeric::from_wide(&quotient)
    }

    /// The remainder of the quotient truncated to an integer; it has the sign of `self`. Errors: division by zero.
    pub fn rem(&self, other: &Numeric) -> Result<Numeric, NumericError> {
        if self.is_nan() || other.is_nan() {
            return Ok(Numeric::NAN);
        }
        if other.is_zero() {
            return Err(NumericError::DivisionByZero);
        }
        match (self.is_infinite(), other.is_infinite()) {
            (true, _) => return Ok(Numeric::NAN),
            (false, true) => return Ok(*self),
            (false, false) => {}
        }
        if let Some((left, right, scale)) = self.aligned(other)
            && let Some(remainder) = left.checked_rem(right)
        {
            return Ok(Numeric::small(remainder, scale));
        }
        let mut remainder = self.to_wide();
        wide_context().rem(&mut remainder, &other.to_wide());
        Numeric::from_wide(&remainder)
    }

    /// Both coefficients at one scale, if they fit.
    fn aligned(&self, other: &Numeric) -> Option<(i128, i128, u8)> {
        match (self.0, other.0) {
            (
                Form::Small { coefficient: left, scale: left_scale },
                Form::Small { coefficient: right, scale: right_scale },
            ) => align(left, left_scale, right, right_scale),
            _ => None,
        }
    }

    #[must_use]
    pub fn neg(&self) -> Numeric {
        match self.0 {
            Form::Small { coefficient, scale } => match coefficient.checked_neg() {
                Some(coefficient) => Numeric::small(coefficient, scale),
                None => self.neg_wide(),
            },
            Form::Large(_) => self.neg_wide(),
            Form::Infinity => Numeric::NEGATIVE_INFINITY,
            Form::NegativeInfinity => Numeric::INFINITY,
            Form::NaN => Numeric::NAN,
        }
    }

    fn neg_wide(&self) -> Numeric {
        let mut negated = self.to_wide();
        wide_context().neg(&mut negated);
        Numeric::from_wide(&negated).expect("the negation of a number is one")
    }

    #[must_use]
    pub fn abs(&self) -> Numeric {
        if self.is_negative() { self.neg() } else { *self }
    }

    /// -1, 0 or 1; NaN for NaN.
    #[must_use]
    pub fn signum(&self) -> Numeric {
        match self {
            _ if self.is_nan() => Numeric::NAN,
            _ if self.is_zero() => Numeric::ZERO,
            _ if self.is_negative() => Numeric::from_i64(-1),
            _ => Numeric::ONE,
        }
    }
}

pub(super) fn infinity(negative: bool) -> Numeric {
    if negative { Numeric::NEGATIVE_INFINITY } else { Numeric::INFINITY }
}
