//! The packed form.

use super::{DIGITS_MAX, Form, Numeric, power_of_ten};
use crate::Arena;

const NEGATIVE_INFINITY: u8 = 0x02;
const NEGATIVE: u8 = 0x03;
const ZERO: u8 = 0x04;
const POSITIVE: u8 = 0x05;
const INFINITY: u8 = 0x06;
const NAN: u8 = 0x07;
const EXPONENT_BIAS: i64 = 0x80;
/// 39 digits, wherever the point is.
const PAIRS_MAX: usize = 20;

/// A packed numeric: class, exponent, base-100 digits. Its bytes are canonical and in numeric order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumericRef<'a>(pub(crate) &'a [u8]);

impl<'a> NumericRef<'a> {
    /// Unpacks the number. Panics if the bytes are not one.
    pub fn decode(&self) -> Numeric {
        decode(self.0).expect("a packed numeric is one")
    }

    /// The packed bytes: a whole datum of a row.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl std::fmt::Debug for NumericRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.decode())
    }
}

/// An owned packed number.
#[derive(Clone, Copy)]
pub struct PackedNumeric {
    bytes: [u8; PAIRS_MAX + 3],
    length: u8,
}

impl PackedNumeric {
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The number as a datum's content.
    pub fn as_ref(&self) -> NumericRef<'_> {
        NumericRef(self.as_bytes())
    }

    fn single(class: u8) -> PackedNumeric {
        let mut bytes = [0; PAIRS_MAX + 3];
        bytes[0] = class;
        PackedNumeric { bytes, length: 1 }
    }

    /// `pairs` lead with a non-zero one; `before_point` of them stand before the point.
    fn finite(negative: bool, pairs: &[u8], before_point: i64) -> PackedNumeric {
        let significant = pairs.iter().rposition(|pair| *pair != 0).map_or(0, |last| last + 1);
        let mut bytes = [0; PAIRS_MAX + 3];
        let length = significant + 3;
        bytes[0] = if negative { NEGATIVE } else { POSITIVE };
        bytes[1] = (EXPONENT_BIAS + before_point) as u8;
        for (byte, pair) in bytes[2..].iter_mut().zip(&pairs[..significant]) {
            *byte = pair + 1;
        }
        if negative {
            for byte in &mut bytes[1..length] {
                *byte = !*byte;
            }
        }
        PackedNumeric { bytes, length: length as u8 }
    }
}

impl Numeric {
    /// Packs the number into `arena`.
    pub fn pack<'a>(&self, arena: &'a Arena) -> NumericRef<'a> {
        NumericRef(arena.bytes(self.to_packed().as_bytes()))
    }

    /// Packs the number.
    pub fn to_packed(&self) -> PackedNumeric {
        match self.0 {
            Form::NegativeInfinity => PackedNumeric::single(NEGATIVE_INFINITY),
            Form::Infinity => PackedNumeric::single(INFINITY),
            Form::NaN => PackedNumeric::single(NAN),
            Form::Small { coefficient: 0, .. } => PackedNumeric::single(ZERO),
            Form::Small { coefficient, scale } => pack_small(coefficient, scale),
            Form::Large(large) => {
                pack_digits(large.is_negative(), &large.coefficient_digits(), large.exponent().into())
            }
        }
    }
}

fn pack_small(coefficient: i128, scale: u8) -> PackedNumeric {
    let negative = coefficient < 0;
    let magnitude = coefficient.unsigned_abs();
    let (aligned, scale) = if scale.is_multiple_of(2) {
        (magnitude, scale)
    } else {
        match magnitude.checked_mul(10) {
            Some(aligned) => (aligned, scale + 1),
            None => {
                let digits: Vec<u8> = magnitude.to_string().bytes().map(|byte| byte - b'0').collect();
                return pack_digits(negative, &digits, -i64::from(scale));
            }
        }
    };
    // Pairs from the last to the first, in chunks that fit a machine word.
    const CHUNK: u128 = 10_u128.pow(18);
    let mut pairs = [0; PAIRS_MAX + 1];
    let mut first = pairs.len();
    let mut rest = aligned;
    while rest > u128::from(u64::MAX) {
        let mut chunk = (rest % CHUNK) as u64;
        rest /= CHUNK;
        for _ in 0..9 {
            first -= 1;
            pairs[first] = (chunk % 100) as u8;
            chunk /= 100;
        }
    }
    let mut rest = rest as u64;
    while rest > 0 {
        first -= 1;
        pairs[first] = (rest % 100) as u8;
        rest /= 100;
    }
    let pairs = &pairs[first..];
    PackedNumeric::finite(negative, pairs, pairs.len() as i64 - i64::from(scale / 2))
}

/// `digits` lead with a non-zero one.
fn pack_digits(negative: bool, digits: &[u8], exponent: i64) -> PackedNumeric {
    let before_point = digits.len() as i64 + exponent;
    // A pair must not straddle the point.
    let is_odd = before_point.rem_euclid(2) == 1;
    let mut pairs = [0; PAIRS_MAX + 1];
    for (index, digit) in digits.iter().enumerate() {
        let place = index + usize::from(is_odd);
        pairs[place / 2] += if place.is_multiple_of(2) { digit * 10 } else { *digit };
    }
    PackedNumeric::finite(negative, &pairs, (before_point + i64::from(is_odd)) / 2)
}

/// How many bytes the packed number at the front of `bytes` takes.
pub(crate) fn packed_length(bytes: &[u8]) -> Option<usize> {
    let end = match *bytes.first()? {
        NEGATIVE => 0xFF,
        POSITIVE => 0x00,
        NEGATIVE_INFINITY | ZERO | INFINITY | NAN => return Some(1),
        _ => return None,
    };
    let digits = bytes.get(2..)?;
    digits.iter().take(PAIRS_MAX + 1).position(|byte| *byte == end).map(|count| count + 3)
}

/// The length of a packed number that nobody vouches for.
pub(crate) fn check(bytes: &[u8]) -> Option<usize> {
    let length = packed_length(bytes)?;
    let packed = &bytes[..length];
    (decode(packed)?.to_packed().as_bytes() == packed).then_some(length)
}

/// None: `packed` is not exactly one packed number. That it is canonical is not checked.
fn decode(packed: &[u8]) -> Option<Numeric> {
    let (class, rest) = packed.split_first()?;
    let negative = match *class {
        NEGATIVE_INFINITY => return Some(Numeric::NEGATIVE_INFINITY),
        ZERO => return Some(Numeric::ZERO),
        INFINITY => return Some(Numeric::INFINITY),
        NAN => return Some(Numeric::NAN),
        NEGATIVE => true,
        POSITIVE => false,
        _ => return None,
    };
    let inversion = if negative { 0xFF } else { 0x00 };
    let (exponent, pairs) = rest.split_first()?;
    let (_end, pairs) = pairs.split_last()?;
    let before_point = i64::from(exponent ^ inversion) - EXPONENT_BIAS;
    if pairs.is_empty() || pairs.len() > PAIRS_MAX || before_point.unsigned_abs() as usize > PAIRS_MAX {
        return None;
    }
    let mut exponent = 2 * (before_point - pairs.len() as i64);
    let mut coefficient: Option<i128> = Some(0);
    for (index, byte) in pairs.iter().enumerate() {
        let pair = (byte ^ inversion).checked_sub(1).filter(|pair| *pair < 100)?;
        let is_last = index + 1 == pairs.len();
        coefficient = if is_last && pair.is_multiple_of(10) {
            exponent += 1;
            coefficient.and_then(|sum| sum.checked_mul(10)?.checked_add((pair / 10).into()))
        } else {
            coefficient.and_then(|sum| sum.checked_mul(100)?.checked_add(pair.into()))
        };
    }
    if let Some(small) = coefficient.and_then(|coefficient| scaled(coefficient, exponent)) {
        let Numeric(Form::Small { coefficient, scale }) = small else { return Some(small) };
        return Some(Numeric::small(if negative { -coefficient } else { coefficient }, scale));
    }
    let digits: Vec<u8> =
        pairs.iter().map(|byte| (byte ^ inversion) - 1).flat_map(|pair| [pair / 10, pair % 10]).collect();
    Numeric::from_digits(negative, &digits, 2 * (before_point - pairs.len() as i64)).ok()
}

fn scaled(coefficient: i128, exponent: i64) -> Option<Numeric> {
    if exponent >= 0 {
        return Some(Numeric::small(coefficient.checked_mul(power_of_ten(exponent as usize)?)?, 0));
    }
    let scale = usize::try_from(-exponent).ok().filter(|scale| *scale <= DIGITS_MAX)?;
    Some(Numeric::small(coefficient, scale as u8))
}
