//! The text form.

use std::fmt;

use super::{Form, Numeric, NumericError};

impl Numeric {
    /// Reads what PostgreSQL reads: digits with an optional point and exponent, `NaN`, `Infinity`, `inf`; blanks around.
    ///
    /// Rounds to what a number can hold. Errors: syntax, overflow.
    pub fn parse(text: &str) -> Result<Numeric, NumericError> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if unsigned.eq_ignore_ascii_case("infinity") || unsigned.eq_ignore_ascii_case("inf") {
            return Ok(super::arithmetic::infinity(negative));
        }
        if text.eq_ignore_ascii_case("nan") {
            return Ok(Numeric::NAN);
        }
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            None => (unsigned, 0),
            Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..])?),
        };
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (integer.is_empty() && fraction.is_empty()) || !is_digits(integer) || !is_digits(fraction) {
            return Err(NumericError::Syntax);
        }
        if exponent == 0 && integer.len() + fraction.len() <= 18 {
            let coefficient =
                integer.bytes().chain(fraction.bytes()).fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
            let coefficient = if negative { -coefficient } else { coefficient };
            return Ok(Numeric::small(coefficient.into(), fraction.len() as u8));
        }
        let digits: Vec<u8> = integer.bytes().chain(fraction.bytes()).map(|byte| byte - b'0').collect();
        Numeric::from_digits(negative, &digits, exponent - fraction.len() as i64)
    }

    /// The number rounded to and printed with exactly `scale` digits behind the point.
    pub fn format_with_scale(&self, scale: u8) -> String {
        if !self.is_finite() {
            return self.to_string();
        }
        // Rounding up to 10^39 does not fit; a column of that scale could not hold the number.
        let rounded = self.round(scale.into()).unwrap_or(*self);
        let mut text = rounded.to_string();
        let mut digits = match text.find('.') {
            Some(point) => text.len() - point - 1,
            None => 0,
        };
        if digits == 0 && scale > 0 {
            text.push('.');
        }
        while digits < usize::from(scale) {
            text.push('0');
            digits += 1;
        }
        text
    }
}

fn parse_exponent(text: &str) -> Result<i64, NumericError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumericError::Syntax);
    }
    // Any exponent this long is far out of range, whatever its digits.
    const FAR: i64 = 1_000_000_000;
    let magnitude = digits.parse::<i64>().unwrap_or(FAR).min(FAR);
    Ok(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// Plain notation, no trailing zeros behind the point.
impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (coefficient, scale) = match self.0 {
            Form::NegativeInfinity => return f.write_str("-Infinity"),
            Form::Infinity => return f.write_str("Infinity"),
            Form::NaN => return f.write_str("NaN"),
            Form::Large(large) => return f.write_str(&large.to_standard_notation_string()),
            Form::Small { coefficient, scale } => super::strip(coefficient, scale),
        };
        if scale == 0 {
            return write!(f, "{coefficient}");
        }
        let sign = if coefficient < 0 { "-" } else { "" };
        let scale = usize::from(scale);
        let digits = format!("{:0>width$}", coefficient.unsigned_abs(), width = scale + 1);
        let (integer, fraction) = digits.split_at(digits.len() - scale);
        write!(f, "{sign}{integer}.{fraction}")
    }
}

impl fmt::Debug for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
