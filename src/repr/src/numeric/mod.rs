//! Decimal numbers of up to 39 digits.
//!
//! A number is NaN, an infinity, or finite: below 10^39, with at most 39 significant digits and 39 digits after the point.
//! NaN equals itself and is the greatest, as in PostgreSQL. Scale is not part of a value: 1.0 and 1 are the same, which is
//! the price of equal values having equal bytes.
//!
//! Packed, a number is a class byte (`02` -infinity, `03` negative, `04` zero, `05` positive, `06` infinity, `07` NaN);
//! behind `03` and `05` follow the base-100 exponent (`80` plus the number of base-100 digits before the point), the
//! base-100 digits plus one without trailing zeros, and `00`. For negatives every byte behind the class is inverted, the
//! end byte too, so that bytes order as numbers do.

mod arithmetic;
mod format;
mod function;
mod packed;
mod round;
mod sum;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use dec::{Context, Decimal, Rounding};

pub use packed::{NumericRef, PackedNumeric};
pub(crate) use packed::{check, packed_length};
pub use sum::NumericSum;

/// Most significant digits, most digits before the point, and most digits behind it.
pub const DIGITS_MAX: usize = 39;

/// Exact for sums and products of two numbers, and wide enough to round quotients and roots correctly.
type Wide = Decimal<27>;

/// A number, unpacked.
#[derive(Clone, Copy)]
pub struct Numeric(Form);

#[derive(Clone, Copy)]
enum Form {
    NegativeInfinity,
    /// `coefficient / 10^scale`; trailing zeros are allowed. Nearly all numbers are of this form.
    Small {
        coefficient: i128,
        /// At most [`DIGITS_MAX`].
        scale: u8,
    },
    /// A finite number whose coefficient does not fit 128 bits, without trailing zeros.
    Large(Decimal<13>),
    Infinity,
    NaN,
}

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumericError {
    #[error("value overflows numeric format")]
    Overflow,
    #[error("numeric field overflow")]
    FieldOverflow,
    #[error("invalid input syntax for type numeric")]
    Syntax,
    #[error("division by zero")]
    DivisionByZero,
    #[error("cannot take square root of a negative number")]
    RootOfNegative,
    #[error("cannot take logarithm of zero")]
    LogarithmOfZero,
    #[error("cannot take logarithm of a negative number")]
    LogarithmOfNegative,
    #[error("zero raised to a negative power is undefined")]
    ZeroToNegativePower,
    #[error("a negative number raised to a non-integer power yields a complex result")]
    ComplexPower,
}

impl NumericError {
    /// The five characters clients know the error by.
    pub fn sqlstate(self) -> &'static str {
        match self {
            NumericError::Overflow | NumericError::FieldOverflow => "22003",
            NumericError::Syntax => "22P02",
            NumericError::DivisionByZero => "22012",
            NumericError::LogarithmOfZero | NumericError::LogarithmOfNegative => "2201E",
            NumericError::RootOfNegative | NumericError::ZeroToNegativePower | NumericError::ComplexPower => "2201F",
        }
    }
}

/// Powers of ten that fit.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut index = 1;
    while index < 39 {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

fn power_of_ten(exponent: usize) -> Option<i128> {
    POWERS.get(exponent).copied()
}

impl Numeric {
    pub const ZERO: Numeric = Numeric::small(0, 0);
    pub const ONE: Numeric = Numeric::small(1, 0);
    pub const NAN: Numeric = Numeric(Form::NaN);
    pub const INFINITY: Numeric = Numeric(Form::Infinity);
    pub const NEGATIVE_INFINITY: Numeric = Numeric(Form::NegativeInfinity);

    const fn small(coefficient: i128, scale: u8) -> Numeric {
        Numeric(Form::Small { coefficient, scale })
    }

    pub fn from_i64(value: i64) -> Numeric {
        Numeric::small(value.into(), 0)
    }

    pub fn from_u64(value: u64) -> Numeric {
        Numeric::small(value.into(), 0)
    }

    pub fn from_i128(value: i128) -> Numeric {
        Numeric::small(value, 0)
    }

    /// `coefficient / 10^scale`. Panics if `scale` is above [`DIGITS_MAX`].
    pub fn from_parts(coefficient: i128, scale: u8) -> Numeric {
        assert!(usize::from(scale) <= DIGITS_MAX, "a scale of {scale}");
        Numeric::small(coefficient, scale)
    }

    /// The shortest decimal that reads back as the same double. Errors: overflow.
    pub fn from_f64(value: f64) -> Result<Numeric, NumericError> {
        if value.is_nan() {
            return Ok(Numeric::NAN);
        }
        if value.is_infinite() {
            return Ok(if value > 0.0 { Numeric::INFINITY } else { Numeric::NEGATIVE_INFINITY });
        }
        Numeric::parse(ryu::Buffer::new().format_finite(value))
    }

    /// The shortest decimal that reads back as the same single. Errors: overflow.
    pub fn from_f32(value: f32) -> Result<Numeric, NumericError> {
        if !value.is_finite() {
            return Numeric::from_f64(value.into());
        }
        Numeric::parse(ryu::Buffer::new().format_finite(value))
    }

    /// Rounds `digits * 10^exponent`, half away from zero, to what a number can hold. Digits are 0 to 9, leading first.
    fn from_digits(negative: bool, digits: &[u8], exponent: i64) -> Result<Numeric, NumericError> {
        let leading = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len());
        let digits = &digits[leading..];
        if digits.is_empty() {
            return Ok(Numeric::ZERO);
        }
        let count = digits.len() as i64;
        let most = DIGITS_MAX as i64;
        if count.saturating_add(exponent) > most {
            return Err(NumericError::Overflow);
        }
        let quantum = exponent.max(exponent + count - most).max(-most);
        let kept = usize::try_from(count - (quantum - exponent)).unwrap_or(0);
        if count < quantum - exponent {
            return Ok(Numeric::ZERO);
        }
        let rounds_up = digits.get(kept).is_some_and(|digit| *digit >= 5);
        Numeric::from_kept_digits(negative, &digits[..kept], rounds_up, quantum)
    }

    /// At most [`DIGITS_MAX`] digits, plus one unit if `rounds_up`, times `10^quantum`.
    fn from_kept_digits(negative: bool, digits: &[u8], rounds_up: bool, quantum: i64) -> Result<Numeric, NumericError> {
        // 39 digits may exceed an i128 but 38 never do, so the last one is added with care.
        let coefficient = digits
            .iter()
            .try_fold(0_i128, |coefficient, digit| coefficient.checked_mul(10)?.checked_add(i128::from(*digit)))
            .and_then(|coefficient| coefficient.checked_add(i128::from(rounds_up)));
        let (zeros, scale) = if quantum >= 0 { (quantum as usize, 0) } else { (0, -quantum as u8) };
        let small = coefficient.and_then(|coefficient| coefficient.checked_mul(power_of_ten(zeros)?));
        if let Some(coefficient) = small {
            return Ok(Numeric::small(if negative { -coefficient } else { coefficient }, scale));
        }
        let mut digits = digits.to_vec();
        if rounds_up {
            increment(&mut digits);
        }
        if digits.len() as i64 + quantum > DIGITS_MAX as i64 {
            return Err(NumericError::Overflow);
        }
        let sign = if negative { "-" } else { "" };
        let digits: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        let mut large = Context::<Decimal<13>>::default()
            .parse(format!("{sign}{digits}e{quantum}"))
            .expect("digits and an exponent are a decimal");
        large.trim();
        Ok(Numeric(Form::Large(large)))
    }

    /// Rounds a wide result. Errors: overflow.
    fn from_wide(wide: &Wide) -> Result<Numeric, NumericError> {
        if wide.is_nan() {
            return Ok(Numeric::NAN);
        }
        if wide.is_infinite() {
            // Infinite operands never get here: this is decNumber's own overflow.
            return Err(NumericError::Overflow);
        }
        Numeric::from_digits(wide.is_negative(), &wide.coefficient_digits(), wide.exponent().into())
    }

    /// Panics if the number is not finite.
    fn to_wide(self) -> Wide {
        let mut context = wide_context();
        match self.0 {
            Form::Small { coefficient, scale } => {
                let mut wide = context.from_i128(coefficient);
                wide.set_exponent(-i32::from(scale));
                wide
            }
            Form::Large(large) => context.to_width(large),
            Form::NaN | Form::Infinity | Form::NegativeInfinity => panic!("{self} is not finite"),
        }
    }

    pub fn is_nan(&self) -> bool {
        matches!(self.0, Form::NaN)
    }

    pub fn is_infinite(&self) -> bool {
        matches!(self.0, Form::Infinity | Form::NegativeInfinity)
    }

    pub fn is_finite(&self) -> bool {
        matches!(self.0, Form::Small { .. } | Form::Large(_))
    }

    pub fn is_zero(&self) -> bool {
        matches!(self.0, Form::Small { coefficient: 0, .. })
    }

    /// Below zero. NaN is not.
    pub fn is_negative(&self) -> bool {
        match self.0 {
            Form::NegativeInfinity => true,
            Form::Small { coefficient, .. } => coefficient < 0,
            Form::Large(large) => large.is_negative(),
            Form::Infinity | Form::NaN => false,
        }
    }

    /// True if there are no digits behind the point.
    pub fn is_integer(&self) -> bool {
        self.is_finite() && self.scale() == 0
    }

    /// How many digits behind the point the value needs. Zero if it is not finite.
    pub fn scale(&self) -> u8 {
        match self.0 {
            Form::Small { coefficient, scale } => strip(coefficient, scale).1,
            Form::Large(large) => u8::try_from(-large.exponent()).unwrap_or(0),
            Form::NegativeInfinity | Form::Infinity | Form::NaN => 0,
        }
    }
}

/// Adds one unit of the last place; may add a leading digit.
fn increment(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < 9 {
            *digit += 1;
            return;
        }
        *digit = 0;
    }
    digits.insert(0, 1);
}

/// Drops trailing zeros behind the point.
fn strip(mut coefficient: i128, mut scale: u8) -> (i128, u8) {
    while scale > 0 {
        // 64-bit division is many times faster.
        match i64::try_from(coefficient) {
            Ok(short) if short % 10 == 0 => coefficient = i128::from(short / 10),
            Err(_) if coefficient % 10 == 0 => coefficient /= 10,
            _ => break,
        }
        scale -= 1;
    }
    (coefficient, scale)
}

/// Rounds so that a second rounding, to 39 digits, is right: an inexact result never looks like a tie or a short decimal.
fn wide_context() -> Context<Wide> {
    let mut context = Context::<Wide>::default();
    context.set_rounding(Rounding::ZeroFiveUp);
    // decNumber's functions want no larger exponents.
    context.set_max_exponent(999_999).expect("an exponent in range");
    context.set_min_exponent(-999_999).expect("an exponent in range");
    context
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Numeric) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Numeric {}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Numeric) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Numeric {
    fn cmp(&self, other: &Numeric) -> Ordering {
        if let (
            Form::Small { coefficient: left, scale: left_scale },
            Form::Small { coefficient: right, scale: right_scale },
        ) = (self.0, other.0)
        {
            if left_scale == right_scale {
                return left.cmp(&right);
            }
            if let Some((left, right, _)) = arithmetic::align(left, left_scale, right, right_scale) {
                return left.cmp(&right);
            }
        }
        self.to_packed().as_bytes().cmp(other.to_packed().as_bytes())
    }
}

impl Hash for Numeric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_packed().as_bytes().hash(state);
    }
}
