//! Floats: the shortest decimal that reads back as the same number.

use super::scalar::trim;
use crate::error::{ParseError, ParseErrorKind};

pub(super) fn parse_float8(text: &str) -> Result<f64, ParseError> {
    const NAME: &str = "double precision";
    let trimmed = trim(text);
    let value: f64 = trimmed.parse().map_err(|_| ParseError::syntax(NAME, text))?;
    check_range(trimmed, NAME, value.is_infinite(), value == 0.0)?;
    Ok(value)
}

pub(super) fn parse_float4(text: &str) -> Result<f32, ParseError> {
    const NAME: &str = "real";
    let trimmed = trim(text);
    let value: f32 = trimmed.parse().map_err(|_| ParseError::syntax(NAME, text))?;
    check_range(trimmed, NAME, value.is_infinite(), value == 0.0)?;
    Ok(value)
}

/// A number too large is no infinity, and one too small no zero.
fn check_range(text: &str, name: &str, is_infinite: bool, is_zero: bool) -> Result<(), ParseError> {
    let has_digit = |digits: std::ops::RangeInclusive<u8>| {
        let mantissa = text.split(['e', 'E']).next().unwrap_or("");
        mantissa.bytes().any(|byte| digits.contains(&byte))
    };
    if (is_infinite && has_digit(b'0'..=b'9')) || (is_zero && has_digit(b'1'..=b'9')) {
        let message = format!("\"{text}\" is out of range for type {name}");
        return Err(ParseError::new(ParseErrorKind::NumberOutOfRange, message));
    }
    Ok(())
}

/// `0.1`, `1e+20`, `1e-05`, `NaN`, `-Infinity`
pub fn format_float8(value: f64, out: &mut String) {
    if !value.is_finite() {
        return put_special(value.is_nan(), value < 0.0, out);
    }
    let bits = value.to_bits();
    let binary = Binary::new(bits & ((1 << 52) - 1), (bits >> 52 & 0x7FF) as i32, 52, 1075);
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format_finite(value);
    if binary.is_bounded_by(shortest) {
        let longer = (1..17).map(|digits| format!("{value:.digits$e}"));
        let inside = longer.into_iter().find(|text| text.parse() == Ok(value) && !binary.is_bounded_by(text));
        return put_finite(inside.as_deref().unwrap_or(shortest), 15, out);
    }
    put_finite(shortest, 15, out);
}

/// `0.1`, `1e+20`, `1e-05`, `NaN`, `-Infinity`
pub fn format_float4(value: f32, out: &mut String) {
    if !value.is_finite() {
        return put_special(value.is_nan(), value < 0.0, out);
    }
    let bits = u64::from(value.to_bits());
    let binary = Binary::new(bits & ((1 << 23) - 1), (bits >> 23 & 0xFF) as i32, 23, 150);
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format_finite(value);
    if binary.is_bounded_by(shortest) {
        let longer = (1..9).map(|digits| format!("{value:.digits$e}"));
        let inside = longer.into_iter().find(|text| text.parse() == Ok(value) && !binary.is_bounded_by(text));
        return put_finite(inside.as_deref().unwrap_or(shortest), 6, out);
    }
    put_finite(shortest, 6, out);
}

/// A float's magnitude, `mantissa * 2^exponent`.
struct Binary {
    mantissa: u64,
    exponent: i32,
    /// Below it, floats are twice as close.
    is_power_of_two: bool,
}

impl Binary {
    fn new(fraction: u64, biased: i32, fraction_bits: u32, bias: i32) -> Binary {
        let hidden = if biased == 0 { 0 } else { 1 << fraction_bits };
        Binary {
            mantissa: fraction | hidden,
            exponent: biased.max(1) - bias,
            is_power_of_two: fraction == 0 && biased > 1,
        }
    }

    /// True if a decimal lies right between this float and a neighbour. It reads as this float, whose mantissa is even, but
    /// PostgreSQL does not count on that and prints one that is nearer.
    fn is_bounded_by(&self, decimal: &str) -> bool {
        if self.mantissa == 0 || self.mantissa % 2 == 1 {
            return false;
        }
        let (mantissa, exponent) = decimal.split_once('e').unwrap_or((decimal, "0"));
        let (integer, fraction) = mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa, ""));
        let digits = [integer.trim_start_matches('-'), fraction.trim_end_matches('0')].concat();
        let (Ok(digits), Ok(exponent)) = (digits.parse::<u64>(), exponent.parse::<i32>()) else { return false };
        let exponent = exponent - fraction.trim_end_matches('0').len() as i32;
        let upper = (u128::from(self.mantissa) * 2 + 1, self.exponent - 1);
        let lower = match self.is_power_of_two {
            true => (u128::from(self.mantissa) * 4 - 1, self.exponent - 2),
            false => (u128::from(self.mantissa) * 2 - 1, self.exponent - 1),
        };
        [upper, lower].iter().any(|bound| is_decimal(*bound, digits, exponent))
    }
}

/// True if `mantissa * 2^exponent`, of an odd mantissa, is `digits * 10^decimal_exponent`.
fn is_decimal((mantissa, exponent): (u128, i32), digits: u64, decimal_exponent: i32) -> bool {
    // Each side as an odd number and a power of two. A power of five that is larger has no place in either.
    let Some(fives) = 5_u128.checked_pow(decimal_exponent.unsigned_abs()).filter(|fives| *fives < 1 << 64) else {
        return false;
    };
    let (left, right) = match decimal_exponent {
        0.. => (mantissa, u128::from(digits) * fives),
        _ => (mantissa * fives, u128::from(digits)),
    };
    let twos = right.trailing_zeros();
    digits > 0 && left == right >> twos && exponent == decimal_exponent + twos as i32
}

fn put_special(is_nan: bool, is_negative: bool, out: &mut String) {
    out.push_str(match (is_nan, is_negative) {
        (true, _) => "NaN",
        (false, true) => "-Infinity",
        (false, false) => "Infinity",
    });
}

/// Puts shortest digits into PostgreSQL's notation: plain from 10^-4 to below 10^`plain_digits`, else scientific.
fn put_finite(shortest: &str, plain_digits: i32, out: &mut String) {
    let (sign, unsigned) = match shortest.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", shortest),
    };
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: String = [integer, fraction].concat();
    let leading = all.len() - all.trim_start_matches('0').len();
    let digits = all[leading..].trim_end_matches('0');
    out.push_str(sign);
    if digits.is_empty() {
        out.push('0');
        return;
    }
    // The exponent of the first digit.
    let exponent = exponent.parse::<i32>().unwrap_or(0) + integer.len() as i32 - 1 - leading as i32;
    if !(-4..plain_digits).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(&format!("e{sign}{:02}", exponent.unsigned_abs()));
        return;
    }
    match usize::try_from(exponent) {
        Err(_) => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize - 1));
            out.push_str(digits);
        }
        Ok(exponent) if digits.len() <= exponent + 1 => {
            out.push_str(digits);
            out.extend(std::iter::repeat_n('0', exponent + 1 - digits.len()));
        }
        Ok(exponent) => {
            let (integer, fraction) = digits.split_at(exponent + 1);
            out.push_str(integer);
            out.push('.');
            out.push_str(fraction);
        }
    }
}
