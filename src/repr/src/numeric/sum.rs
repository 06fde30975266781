//! Sums of numbers that are exact, retractable and independent of order.

use serde::{Deserialize, Serialize};

use super::{DIGITS_MAX, Form, Numeric, NumericError};
use crate::Diff;

const LIMBS: usize = 6;

/// A sum of numbers with multiplicities, in units of 10^-39, and counts of what is not finite.
///
/// 384 bits hold 2^61 numbers of 39 + 39 digits with multiplicities of 64 bits, so addition is plain modular arithmetic.
/// Equal multisets of addends give equal sums; the sum of nothing is the default and the only zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NumericSum {
    /// Two's complement, least significant first.
    limbs: [u64; LIMBS],
    nans: Diff,
    infinities: Diff,
    negative_infinities: Diff,
    rows: Diff,
}

impl NumericSum {
    /// Adds a number as many times as `multiplicity` says; a negative multiplicity takes it away.
    pub fn add(&mut self, number: &Numeric, multiplicity: Diff) {
        self.rows = self.rows.plus(multiplicity);
        match number.0 {
            Form::NaN => self.nans = self.nans.plus(multiplicity),
            Form::Infinity => self.infinities = self.infinities.plus(multiplicity),
            Form::NegativeInfinity => self.negative_infinities = self.negative_infinities.plus(multiplicity),
            Form::Small { .. } | Form::Large(_) => {
                let mut addend = units(number);
                multiply(&mut addend, multiplicity.get().unsigned_abs());
                if number.is_negative() != (multiplicity.get() < 0) {
                    addend = negated(addend);
                }
                accumulate(&mut self.limbs, &addend);
            }
        }
    }

    /// Adds all addends of another sum.
    pub fn plus_equals(&mut self, other: &NumericSum) {
        accumulate(&mut self.limbs, &other.limbs);
        self.nans = self.nans.plus(other.nans);
        self.infinities = self.infinities.plus(other.infinities);
        self.negative_infinities = self.negative_infinities.plus(other.negative_infinities);
        self.rows = self.rows.plus(other.rows);
    }

    /// The sum with every addend's multiplicity negated.
    #[must_use]
    pub fn negate(&self) -> NumericSum {
        self.times(Diff::MINUS_ONE)
    }

    /// The sum with every addend's multiplicity multiplied.
    #[must_use]
    pub fn times(&self, factor: Diff) -> NumericSum {
        let negative = self.limbs[LIMBS - 1] >> 63 == 1;
        let mut limbs = if negative { negated(self.limbs) } else { self.limbs };
        multiply(&mut limbs, factor.get().unsigned_abs());
        NumericSum {
            limbs: if negative != (factor.get() < 0) { negated(limbs) } else { limbs },
            nans: self.nans.times(factor),
            infinities: self.infinities.times(factor),
            negative_infinities: self.negative_infinities.times(factor),
            rows: self.rows.times(factor),
        }
    }

    pub fn is_zero(&self) -> bool {
        *self == NumericSum::default()
    }

    /// How many numbers were added, less those taken away.
    pub fn rows(&self) -> Diff {
        self.rows
    }

    /// The sum, rounded to 39 digits. Errors: overflow of the result or of a count.
    pub fn result(&self) -> Result<Numeric, NumericError> {
        let counts = [self.nans, self.infinities, self.negative_infinities, self.rows];
        if counts.iter().any(|count| count.is_overflow()) {
            return Err(NumericError::Overflow);
        }
        match (!self.infinities.is_zero(), !self.negative_infinities.is_zero()) {
            _ if !self.nans.is_zero() => return Ok(Numeric::NAN),
            (true, true) => return Ok(Numeric::NAN),
            (true, false) => return Ok(Numeric::INFINITY),
            (false, true) => return Ok(Numeric::NEGATIVE_INFINITY),
            (false, false) => {}
        }
        let negative = self.limbs[LIMBS - 1] >> 63 == 1;
        let mut rest = if negative { negated(self.limbs) } else { self.limbs };
        let mut digits = Vec::with_capacity(120);
        while rest != [0; LIMBS] {
            let mut chunk = divide(&mut rest, 10_u64.pow(18));
            for _ in 0..18 {
                digits.push((chunk % 10) as u8);
                chunk /= 10;
            }
        }
        digits.reverse();
        Numeric::from_digits(negative, &digits, -(DIGITS_MAX as i64))
    }
}

/// The magnitude of a finite number in units of 10^-39.
fn units(number: &Numeric) -> [u64; LIMBS] {
    let mut limbs = [0; LIMBS];
    let mut zeros = DIGITS_MAX as i64;
    match number.0 {
        Form::Small { coefficient, scale } => {
            let magnitude = coefficient.unsigned_abs();
            limbs[0] = magnitude as u64;
            limbs[1] = (magnitude >> 64) as u64;
            zeros -= i64::from(scale);
        }
        _ => {
            let (_, digits, exponent) = number.to_digits();
            for digit in digits {
                multiply(&mut limbs, 10);
                let mut addend = [0; LIMBS];
                addend[0] = digit.into();
                accumulate(&mut limbs, &addend);
            }
            zeros += exponent;
        }
    }
    while zeros > 0 {
        let step = zeros.min(19);
        multiply(&mut limbs, 10_u64.pow(step as u32));
        zeros -= step;
    }
    limbs
}

fn accumulate(limbs: &mut [u64; LIMBS], addend: &[u64; LIMBS]) {
    let mut carry = false;
    for (limb, other) in limbs.iter_mut().zip(addend) {
        let (sum, overflowed) = limb.overflowing_add(*other);
        let (sum, carried) = sum.overflowing_add(carry.into());
        *limb = sum;
        carry = overflowed || carried;
    }
}

fn negated(mut limbs: [u64; LIMBS]) -> [u64; LIMBS] {
    for limb in &mut limbs {
        *limb = !*limb;
    }
    let mut one = [0; LIMBS];
    one[0] = 1;
    accumulate(&mut limbs, &one);
    limbs
}

fn multiply(limbs: &mut [u64; LIMBS], factor: u64) {
    let mut carry = 0;
    for limb in limbs {
        let product = u128::from(*limb) * u128::from(factor) + carry;
        *limb = product as u64;
        carry = product >> 64;
    }
}

/// Divides in place and returns the remainder.
fn divide(limbs: &mut [u64; LIMBS], divisor: u64) -> u64 {
    let mut remainder = 0;
    for limb in limbs.iter_mut().rev() {
        let dividend = u128::from(remainder) << 64 | u128::from(*limb);
        *limb = (dividend / u128::from(divisor)) as u64;
        remainder = (dividend % u128::from(divisor)) as u64;
    }
    remainder
}
