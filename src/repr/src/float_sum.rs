//! Sums of floating-point numbers that are exact, retractable and independent of order.
//!
//! A finite double is an integer times a power of two, so a sum of doubles is one too: it is kept as a big integer in a
//! window of 64-bit limbs that slides to where the addends are. Between 2^-1074 and 2^1024 with room for multiplicities
//! a window never needs more than 35 limbs. It is rounded once, when the result is asked for.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::Diff;

type Limbs = SmallVec<[u64; 4]>;

/// An exact sum of doubles with multiplicities.
///
/// Equal multisets of addends give equal sums in equal bytes; the sum of nothing is the default and the only zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FloatSum {
    /// The window's lowest limb counts units of 2^(64 * exponent). Zero if there are no limbs.
    exponent: i16,
    /// Two's complement, least significant first; neither zeros at the low end nor superfluous signs at the high end.
    limbs: Limbs,
    nans: Diff,
    infinities: Diff,
    negative_infinities: Diff,
    rows: Diff,
}

/// The sum is finite but beyond the type's greatest value, or more rows were added than can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("value out of range: overflow")]
pub struct SumOverflow;

impl FloatSum {
    /// Adds a number as many times as `multiplicity` says; a negative multiplicity takes it away.
    pub fn add(&mut self, number: f64, multiplicity: Diff) {
        self.rows = self.rows.plus(multiplicity);
        if number.is_nan() {
            self.nans = self.nans.plus(multiplicity);
        } else if number == f64::INFINITY {
            self.infinities = self.infinities.plus(multiplicity);
        } else if number == f64::NEG_INFINITY {
            self.negative_infinities = self.negative_infinities.plus(multiplicity);
        } else {
            self.add_finite(number, multiplicity.get());
        }
    }

    fn add_finite(&mut self, number: f64, multiplicity: i64) {
        let bits = number.to_bits();
        let biased = (bits >> 52 & 0x7FF) as i32;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, exponent) = if biased == 0 { (fraction, -1074) } else { (fraction | 1 << 52, biased - 1075) };
        if mantissa == 0 || multiplicity == 0 {
            return;
        }
        // 53 + 64 bits, shifted by at most 63: three limbs, and a fourth for the sign.
        let product = u128::from(mantissa) * u128::from(multiplicity.unsigned_abs());
        let shift = exponent.rem_euclid(64);
        let low = product << shift;
        let high = if shift == 0 { 0 } else { (product >> (128 - shift)) as u64 };
        let mut addend = [low as u64, (low >> 64) as u64, high, 0];
        if (number < 0.0) != (multiplicity < 0) {
            negate(&mut addend);
        }
        self.add_limbs(exponent.div_euclid(64) as i16, &addend);
    }

    /// Adds a two's complement number whose lowest limb counts units of 2^(64 * exponent).
    fn add_limbs(&mut self, exponent: i16, addend: &[u64]) {
        if addend.is_empty() {
            return;
        }
        if self.limbs.is_empty() {
            self.exponent = exponent;
        }
        if exponent < self.exponent {
            let missing = usize::from(self.exponent.abs_diff(exponent));
            self.limbs.insert_many(0, std::iter::repeat_n(0, missing));
            self.exponent = exponent;
        }
        let offset = usize::from(self.exponent.abs_diff(exponent));
        // One limb above both, so that the sum's sign has room.
        let length = self.limbs.len().max(offset + addend.len()) + 1;
        self.limbs.resize(length, sign_of(&self.limbs));
        let extension = sign_of(addend);
        let mut carry = false;
        for (index, limb) in self.limbs[offset..].iter_mut().enumerate() {
            let (sum, overflowed) = limb.overflowing_add(addend.get(index).copied().unwrap_or(extension));
            let (sum, carried) = sum.overflowing_add(carry.into());
            *limb = sum;
            carry = overflowed || carried;
        }
        self.trim();
    }

    fn trim(&mut self) {
        while let [.., below, last] = self.limbs[..]
            && last == sign_of(&[below])
        {
            self.limbs.pop();
        }
        let zeros = self.limbs.iter().take_while(|limb| **limb == 0).count();
        self.limbs.drain(..zeros);
        self.exponent = if self.limbs.is_empty() { 0 } else { self.exponent + zeros as i16 };
    }

    /// Adds all addends of another sum.
    pub fn plus_equals(&mut self, other: &FloatSum) {
        self.add_limbs(other.exponent, &other.limbs);
        self.nans = self.nans.plus(other.nans);
        self.infinities = self.infinities.plus(other.infinities);
        self.negative_infinities = self.negative_infinities.plus(other.negative_infinities);
        self.rows = self.rows.plus(other.rows);
    }

    /// The sum with every addend's multiplicity negated.
    #[must_use]
    pub fn negate(&self) -> FloatSum {
        self.times(Diff::MINUS_ONE)
    }

    /// The sum with every addend's multiplicity multiplied.
    #[must_use]
    pub fn times(&self, factor: Diff) -> FloatSum {
        let negative = self.is_negative();
        let mut limbs = self.magnitude();
        let mut carry = 0;
        for limb in &mut limbs {
            let product = u128::from(*limb) * u128::from(factor.get().unsigned_abs()) + carry;
            *limb = product as u64;
            carry = product >> 64;
        }
        limbs.extend([carry as u64, 0]);
        if negative != (factor.get() < 0) {
            negate(&mut limbs);
        }
        let mut product = FloatSum {
            exponent: self.exponent,
            limbs,
            nans: self.nans.times(factor),
            infinities: self.infinities.times(factor),
            negative_infinities: self.negative_infinities.times(factor),
            rows: self.rows.times(factor),
        };
        product.trim();
        product
    }

    pub fn is_zero(&self) -> bool {
        *self == FloatSum::default()
    }

    /// How many numbers were added, less those taken away.
    pub fn rows(&self) -> Diff {
        self.rows
    }

    fn is_negative(&self) -> bool {
        sign_of(&self.limbs) != 0
    }

    fn magnitude(&self) -> Limbs {
        let mut limbs = self.limbs.clone();
        if self.is_negative() {
            negate(&mut limbs);
        }
        limbs
    }

    /// The sum, rounded once to the nearest double, ties to even.
    pub fn to_f64(&self) -> Result<f64, SumOverflow> {
        if let Some(special) = self.special()? {
            return Ok(special);
        }
        let magnitude = self.round(53, -1074);
        if magnitude.is_infinite() {
            return Err(SumOverflow);
        }
        Ok(if self.is_negative() { -magnitude } else { magnitude })
    }

    /// The sum, rounded once to the nearest single, ties to even.
    pub fn to_f32(&self) -> Result<f32, SumOverflow> {
        if let Some(special) = self.special()? {
            return Ok(special as f32);
        }
        // The double has only bits that a single has, unless it is out of a single's range.
        let magnitude = self.round(24, -149) as f32;
        if magnitude.is_infinite() {
            return Err(SumOverflow);
        }
        Ok(if self.is_negative() { -magnitude } else { magnitude })
    }

    fn special(&self) -> Result<Option<f64>, SumOverflow> {
        let counts = [self.nans, self.infinities, self.negative_infinities, self.rows];
        if counts.iter().any(|count| count.is_overflow()) {
            return Err(SumOverflow);
        }
        Ok(match (!self.infinities.is_zero(), !self.negative_infinities.is_zero()) {
            _ if !self.nans.is_zero() => Some(f64::NAN),
            (true, true) => Some(f64::NAN),
            (true, false) => Some(f64::INFINITY),
            (false, true) => Some(f64::NEG_INFINITY),
            (false, false) => None,
        })
    }

    /// The magnitude rounded to `precision` bits, the lowest of them not below 2^`exponent_min`; infinity if too large.
    fn round(&self, precision: i32, exponent_min: i32) -> f64 {
        let limbs = self.magnitude();
        let Some(top) = limbs.iter().rposition(|limb| *limb != 0) else { return 0.0 };
        let base = i32::from(self.exponent) * 64;
        // The exponent of the highest set bit, and of the lowest bit that is kept.
        let highest = base + top as i32 * 64 + 63 - limbs[top].leading_zeros() as i32;
        let lowest = (highest - precision + 1).max(exponent_min);
        let bit = |exponent: i32| {
            let place = exponent - base;
            let limb = usize::try_from(place.div_euclid(64)).ok().and_then(|index| limbs.get(index)).unwrap_or(&0);
            limb >> place.rem_euclid(64) & 1
        };
        let mut kept = (lowest..=highest).rev().fold(0, |kept, exponent| kept << 1 | bit(exponent));
        let is_half = bit(lowest - 1) == 1;
        let has_more = is_half && has_bits_below(&limbs, lowest - 1 - base);
        if is_half && (has_more || kept & 1 == 1) {
            kept += 1;
        }
        // Both factors and, unless it is too large, the product are exact.
        if highest > 1024 { f64::INFINITY } else { kept as f64 * power_of_two(lowest) }
    }
}

/// True if a bit below the `place`-th is set.
fn has_bits_below(limbs: &[u64], place: i32) -> bool {
    let Ok(place) = usize::try_from(place) else { return false };
    let whole = place / 64;
    limbs[..whole.min(limbs.len())].iter().any(|limb| *limb != 0)
        || limbs.get(whole).is_some_and(|limb| limb & ((1 << (place % 64)) - 1) != 0)
}

fn power_of_two(exponent: i32) -> f64 {
    if exponent < -1022 {
        f64::from_bits(1 << (exponent + 1074))
    } else {
        f64::from_bits(((exponent + 1023) as u64) << 52)
    }
}

/// The limb that extends a two's complement number.
fn sign_of(limbs: &[u64]) -> u64 {
    match limbs.last() {
        Some(last) if last >> 63 == 1 => u64::MAX,
        _ => 0,
    }
}

fn negate(limbs: &mut [u64]) {
    let mut carry = true;
    for limb in limbs {
        (*limb, carry) = (!*limb).overflowing_add(carry.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of(numbers: &[f64]) -> FloatSum {
        let mut sum = FloatSum::default();
        for number in numbers {
            sum.add(*number, Diff::ONE);
        }
        sum
    }

    #[test]
    fn what_is_added_and_taken_away_leaves_nothing() {
        let numbers = [1e308, -5e-324, 0.1, f64::NAN, f64::INFINITY, -1e-300, 0.0, f64::MIN, 2f64.powi(-600)];
        let mut sum = sum_of(&numbers);
        assert!(!sum.is_zero());
        for number in numbers {
            sum.add(number, Diff::MINUS_ONE);
        }
        assert_eq!(sum, FloatSum::default());
        assert!(!sum_of(&[0.0]).is_zero(), "a row that adds nothing still counts");
    }

    #[test]
    fn order_does_not_matter() {
        let numbers = [1e308, 1.0, -1e308, 1e-300, -5e-324, 0.1, 0.2, -0.3, 1e16, f64::MAX, -f64::MAX];
        let forward = sum_of(&numbers);
        let mut backward = FloatSum::default();
        for number in numbers.iter().rev() {
            let mut one = FloatSum::default();
            one.add(*number, Diff::ONE);
            backward.plus_equals(&one);
        }
        assert_eq!(forward, backward);
        assert_eq!(forward.to_f64(), backward.to_f64());
    }

    #[test]
    fn results_are_rounded_once_to_nearest_even() {
        assert_eq!(sum_of(&[0.1]).to_f64(), Ok(0.1));
        assert_eq!(sum_of(&[1e308, 1.0, -1e308]).to_f64(), Ok(1.0));
        assert_eq!(sum_of(&[2f64.powi(53), 1.0]).to_f64(), Ok(2f64.powi(53)));
        assert_eq!(sum_of(&[2f64.powi(53), 1.0, 5e-324]).to_f64(), Ok(2f64.powi(53) + 2.0));
        assert_eq!(sum_of(&[2f64.powi(53), 3.0]).to_f64(), Ok(2f64.powi(53) + 4.0));
        assert_eq!(sum_of(&[5e-324, 5e-324]).to_f64(), Ok(1e-323));
        assert_eq!(sum_of(&[f64::MAX, f64::MAX, -f64::MAX]).to_f64(), Ok(f64::MAX));
        assert_eq!(sum_of(&[f64::MAX, f64::MAX]).to_f64(), Err(SumOverflow));
        assert_eq!(sum_of(&[-f64::MAX]).to_f64(), Ok(f64::MIN));
        assert_eq!(sum_of(&[1.0, 2f64.powi(-24)]).to_f32(), Ok(1.0));
        assert_eq!(sum_of(&[1.0, 2f64.powi(-24), 1e-300]).to_f32(), Ok(1.0 + f32::EPSILON));
        assert_eq!(sum_of(&[3e38, 3e38]).to_f32(), Err(SumOverflow));
        assert_eq!(sum_of(&[1e-45]).to_f32(), Ok(1e-45));
    }

    #[test]
    fn what_is_not_finite_follows_ieee() {
        assert_eq!(sum_of(&[1.0, f64::INFINITY]).to_f64(), Ok(f64::INFINITY));
        assert_eq!(sum_of(&[f64::NEG_INFINITY, f64::MAX]).to_f64(), Ok(f64::NEG_INFINITY));
        assert!(sum_of(&[f64::INFINITY, f64::NEG_INFINITY]).to_f64().is_ok_and(f64::is_nan));
        assert!(sum_of(&[f64::NAN, 1.0]).to_f32().is_ok_and(f32::is_nan));
    }

    #[test]
    fn random_sums_agree_with_integers() {
        // Multiples of 2^-20 add exactly in an i128.
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let (mut sum, mut model) = (FloatSum::default(), 0_i128);
        for _ in 0..2000 {
            let integer = (next() as i64) >> (11 + next() % 40);
            let multiplicity = (next() as i64) >> 40;
            sum.add(integer as f64 / f64::from(1 << 20), Diff::new(multiplicity));
            model += i128::from(integer) * i128::from(multiplicity);
            assert_eq!(sum.to_f64(), Ok(model as f64 / f64::from(1 << 20)));
        }
        let doubled = sum.times(Diff::new(-3));
        assert_eq!(doubled.to_f64(), Ok((model * -3) as f64 / f64::from(1 << 20)));
        let mut cancelled = doubled;
        for _ in 0..3 {
            cancelled.plus_equals(&sum);
        }
        assert!(cancelled.is_zero());
    }
}
