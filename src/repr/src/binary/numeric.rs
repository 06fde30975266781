//! Numbers: base-10000 digits, the weight of the first, a sign, and how many decimal digits to show.

use super::{Reader, invalid};
use crate::error::{ParseError, ParseErrorKind};
use crate::numeric::Numeric;
use crate::{NumericSpec, ScalarType};

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

pub(super) fn encode(number: &Numeric, typ: &ScalarType, out: &mut Vec<u8>) {
    let scale = match typ {
        ScalarType::Numeric(Some(spec)) => spec.shown_scale(),
        _ => number.scale(),
    };
    let sign = match number {
        _ if number.is_nan() => NAN,
        _ if number.is_infinite() && number.is_negative() => NEGATIVE_INFINITY,
        _ if number.is_infinite() => INFINITY,
        _ if number.is_negative() => NEGATIVE,
        _ => POSITIVE,
    };
    if !number.is_finite() {
        put_header(out, 0, 0, sign, 0);
        return;
    }
    let text = number.abs().format_with_scale(scale);
    let (integer, fraction) = text.split_once('.').unwrap_or((&text, ""));
    // Digits must not straddle the point.
    let padded_integer = format!("{integer:0>width$}", width = integer.len().next_multiple_of(4));
    let padded_fraction = format!("{fraction:0<width$}", width = fraction.len().next_multiple_of(4));
    let weight = padded_integer.len() as i16 / 4 - 1;
    let all = [padded_integer, padded_fraction].concat();
    let digits: Vec<i16> = all
        .as_bytes()
        .chunks(4)
        .map(|chunk| chunk.iter().fold(0, |sum, byte| sum * 10 + i16::from(byte - b'0')))
        .collect();
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    let end = digits.iter().rposition(|digit| *digit != 0).map_or(leading, |last| last + 1);
    let digits = &digits[leading..end.max(leading)];
    let weight = if digits.is_empty() { 0 } else { weight - leading as i16 };
    put_header(out, digits.len() as i16, weight, sign, scale.into());
    digits.iter().for_each(|digit| out.extend(digit.to_be_bytes()));
}

fn put_header(out: &mut Vec<u8>, count: i16, weight: i16, sign: u16, scale: u16) {
    out.extend(count.to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend(scale.to_be_bytes());
}

pub(super) fn decode(reader: &mut Reader<'_>, spec: Option<NumericSpec>) -> Result<Numeric, ParseError> {
    let count = usize::try_from(reader.i16()?).map_err(|_| invalid())?;
    let weight = i32::from(reader.i16()?);
    let sign = reader.u16()?;
    let scale = reader.u16()?;
    let number = match sign {
        NAN => Numeric::NAN,
        INFINITY => Numeric::INFINITY,
        NEGATIVE_INFINITY => Numeric::NEGATIVE_INFINITY,
        POSITIVE | NEGATIVE => {
            let mut text = String::from(if sign == NEGATIVE { "-0" } else { "0" });
            for _ in 0..count {
                let digit = reader.i16()?;
                if !(0..10_000).contains(&digit) {
                    return Err(ParseError::new(
                        ParseErrorKind::InvalidBinary,
                        "invalid digit in external \"numeric\" value",
                    ));
                }
                text.push_str(&format!("{digit:04}"));
            }
            let exponent = 4 * (weight + 1 - count as i32);
            Numeric::parse(&format!("{text}e{exponent}"))
                .map(|number| number.trunc(scale.into()))
                .map_err(|error| ParseError::new(ParseErrorKind::NumberOutOfRange, error.to_string()))?
        }
        _ => {
            return Err(ParseError::new(ParseErrorKind::InvalidBinary, "invalid sign in external \"numeric\" value"));
        }
    };
    spec.map_or(Ok(number), |spec| crate::text::fit_numeric(&number, spec))
}
