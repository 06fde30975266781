//! Exact sums of decimal numbers, which can be taken back.
//!
//! A sum is a sign and a magnitude in limbs of 18 decimal digits, of which the lowest counts units of 10^(18 × exponent).
//! Leading and trailing zero limbs are trimmed and zero has no limbs, so that equal sums are equal values. Nothing is ever
//! rounded: a sum is an element of a group, whatever the order and the multiplicities in which its parts come and go.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

const LIMB_DIGITS: i32 = 18;
const LIMB: i128 = 1_000_000_000_000_000_000;

/// An exact decimal number of any size.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DecimalSum {
    negative: bool,
    /// The place of the lowest limb, in limbs.
    exponent: i32,
    /// Lowest first, each below [`LIMB`].
    limbs: SmallVec<[u64; 4]>,
}

impl DecimalSum {
    pub fn zero() -> DecimalSum {
        DecimalSum::default()
    }

    pub fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    pub fn is_negative(&self) -> bool {
        self.negative
    }

    pub fn from_i128(value: i128) -> DecimalSum {
        let mut rest = value.unsigned_abs();
        let mut limbs = Vec::new();
        while rest > 0 {
            limbs.push((rest % LIMB as u128) as i128);
            rest /= LIMB as u128;
        }
        let mut sum = DecimalSum::normalised(limbs, 0);
        sum.negative = value < 0;
        sum
    }

    /// The exact value of a double. None if it is not finite.
    pub fn from_f64(value: f64) -> Option<DecimalSum> {
        if !value.is_finite() {
            return None;
        }
        let bits = value.to_bits();
        let fraction = (bits & ((1 << 52) - 1)) as i128;
        let (mantissa, power) = match (bits >> 52 & 0x7ff) as i32 {
            0 => (fraction, -1074),
            biased => (fraction | 1 << 52, biased - 1075),
        };
        let mut sum = DecimalSum::from_i128(if value < 0.0 { -mantissa } else { mantissa });
        if power >= 0 {
            // mantissa * 2^power
            let mut left = power;
            while left > 0 {
                let step = left.min(60);
                sum = sum.times_i64(1 << step);
                left -= step;
            }
        } else {
            // mantissa * 5^n / 10^n, brought to a limb's boundary by further zeros.
            let digits = -power;
            let mut left = digits;
            while left > 0 {
                let step = left.min(27);
                sum = sum.times_i64(5i64.pow(step as u32));
                left -= step;
            }
            let padding = (LIMB_DIGITS - digits % LIMB_DIGITS) % LIMB_DIGITS;
            sum = sum.times_i64(10i64.pow(padding as u32));
            if !sum.is_zero() {
                sum.exponent -= (digits + padding) / LIMB_DIGITS;
            }
        }
        Some(sum)
    }

    /// Reads digits with an optional sign, point and exponent: `-12.50`, `1e-7`. None if it is anything else.
    pub fn parse(text: &str) -> Option<DecimalSum> {
        let (mantissa, scientific) = match text.split_once(['e', 'E']) {
            Some((mantissa, scientific)) => (mantissa, scientific.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let negative = mantissa.starts_with('-');
        let digits = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        // The power of ten of the last digit, which must fall on a limb's boundary after padding with zeros.
        let power = scientific.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let exponent = power.div_euclid(LIMB_DIGITS);
        let padding = power.rem_euclid(LIMB_DIGITS) as usize;
        let padded: Vec<u8> = digits.into_iter().chain(std::iter::repeat_n(b'0', padding)).collect();
        let limbs = padded.rchunks(LIMB_DIGITS as usize);
        let limbs = limbs.map(|chunk| chunk.iter().fold(0i128, |limb, digit| limb * 10 + i128::from(digit - b'0')));
        let mut sum = DecimalSum::normalised(limbs.collect(), exponent);
        sum.negative = negative && !sum.is_zero();
        Some(sum)
    }

    /// Carries, makes the sign explicit and trims.
    fn normalised(mut limbs: Vec<i128>, mut exponent: i32) -> DecimalSum {
        let mut carry = 0i128;
        for limb in &mut limbs {
            let value = *limb + carry;
            carry = value.div_euclid(LIMB);
            *limb = value.rem_euclid(LIMB);
        }
        while carry >= LIMB {
            limbs.push(carry % LIMB);
            carry /= LIMB;
        }
        if carry < 0 {
            // A negative number in ten's complement: its negation has no negative carry.
            limbs.push(carry);
            limbs.iter_mut().for_each(|limb| *limb = -*limb);
            let mut positive = DecimalSum::normalised(limbs, exponent);
            positive.negative = true;
            return positive;
        }
        limbs.push(carry);
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        let zeros = limbs.iter().take_while(|limb| **limb == 0).count();
        exponent += zeros as i32;
        let limbs: SmallVec<[u64; 4]> = limbs[zeros..].iter().map(|limb| *limb as u64).collect();
        DecimalSum { negative: false, exponent: if limbs.is_empty() { 0 } else { exponent }, limbs }
    }

    /// The signed limb at a place.
    fn limb(&self, place: i32) -> i128 {
        let index = usize::try_from(place - self.exponent).ok();
        let limb = index.and_then(|index| self.limbs.get(index)).copied().unwrap_or(0);
        if self.negative { -i128::from(limb) } else { i128::from(limb) }
    }

    fn end(&self) -> i32 {
        self.exponent + self.limbs.len() as i32
    }

    pub fn add(&mut self, other: &DecimalSum) {
        if other.is_zero() {
            return;
        }
        if self.is_zero() {
            self.clone_from(other);
            return;
        }
        let low = self.exponent.min(other.exponent);
        let high = self.end().max(other.end());
        let limbs = (low..high).map(|place| self.limb(place) + other.limb(place)).collect();
        *self = DecimalSum::normalised(limbs, low);
    }

    #[must_use]
    pub fn times_i64(&self, factor: i64) -> DecimalSum {
        let factor = i128::from(factor);
        let limbs = (self.exponent..self.end()).map(|place| self.limb(place) * factor).collect();
        DecimalSum::normalised(limbs, self.exponent)
    }

    #[must_use]
    pub fn times(&self, other: &DecimalSum) -> DecimalSum {
        let mut limbs = vec![0i128; self.limbs.len() + other.limbs.len() + 1];
        for (index, left) in self.limbs.iter().enumerate() {
            // Carried after each row: a limb then holds less than two products, far from overflow.
            let mut carry = 0i128;
            for (offset, right) in other.limbs.iter().enumerate() {
                let value = limbs[index + offset] + i128::from(*left) * i128::from(*right) + carry;
                limbs[index + offset] = value % LIMB;
                carry = value / LIMB;
            }
            limbs[index + other.limbs.len()] += carry;
        }
        let mut product = DecimalSum::normalised(limbs, self.exponent + other.exponent);
        product.negative = self.negative != other.negative && !product.is_zero();
        product
    }

    #[must_use]
    pub fn negate(mut self) -> DecimalSum {
        self.negative = !self.negative && !self.is_zero();
        self
    }
}

/// Digits without trailing zeros and a power of ten: `-125e-1`.
impl std::fmt::Display for DecimalSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        let mut digits = String::new();
        for (index, limb) in self.limbs.iter().rev().enumerate() {
            digits.push_str(&if index == 0 { limb.to_string() } else { format!("{limb:018}") });
        }
        let kept = digits.trim_end_matches('0');
        let power = self.exponent * LIMB_DIGITS + (digits.len() - kept.len()) as i32;
        f.write_str(if self.negative { "-" } else { "" })?;
        match power {
            0 => f.write_str(kept),
            power => write!(f, "{kept}e{power}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> DecimalSum {
        DecimalSum::parse(text).expect("a number")
    }

    #[test]
    fn equal_numbers_are_equal_values() {
        assert_eq!(parse("12.50"), parse("0.1250e2"));
        assert_eq!(parse("-0.00"), DecimalSum::zero());
        assert_eq!(parse("1000000000000000000"), parse("1e18"));
        assert_eq!(DecimalSum::from_i128(i128::MIN).to_string(), i128::MIN.to_string());
    }

    #[test]
    fn additions_can_be_taken_back() {
        let parts = ["1e30", "-0.000000000000000000000001", "999999999999999999.5", "-1e30", "17", "-1e-40"];
        let mut sum = DecimalSum::zero();
        parts.iter().for_each(|part| sum.add(&parse(part)));
        for part in parts.iter().rev() {
            sum.add(&parse(part).times_i64(-1));
        }
        assert!(sum.is_zero());
    }

    #[test]
    fn doubles_are_exact() {
        for value in [0.1, -2.5, 1e300, 5e-324, f64::MAX, 123456.789, 0.0] {
            let expected = parse(&format!("{value:.1100}"));
            assert_eq!(DecimalSum::from_f64(value), Some(expected), "{value}");
        }
    }

    #[test]
    fn sums_and_products_agree_with_integers() {
        let values = [0i128, 1, -1, 17, -99, 999_999_999_999_999_999, -1_000_000_000_000_000_000, 1 << 62];
        for left in values {
            for right in values {
                let (a, b) = (DecimalSum::from_i128(left), DecimalSum::from_i128(right));
                assert_eq!(a.times(&b), DecimalSum::from_i128(left * right), "{left} * {right}");
                let mut sum = a.clone();
                sum.add(&b);
                assert_eq!(sum, DecimalSum::from_i128(left + right), "{left} + {right}");
                if let Ok(factor) = i64::try_from(right) {
                    assert_eq!(a.times_i64(factor), a.times(&b));
                }
            }
        }
    }
}
