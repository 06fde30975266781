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
    if value.is_finite() {
        put_finite(ryu::Buffer::new().format_finite(value), 15, out);
    } else {
        put_special(value.is_nan(), value < 0.0, out);
    }
}

/// `0.1`, `1e+20`, `1e-05`, `NaN`, `-Infinity`
pub fn format_float4(value: f32, out: &mut String) {
    if value.is_finite() {
        put_finite(ryu::Buffer::new().format_finite(value), 6, out);
    } else {
        put_special(value.is_nan(), value < 0.0, out);
    }
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
