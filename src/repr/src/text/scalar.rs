//! Booleans, integers, uuids, and texts of limited length.

use std::num::IntErrorKind;
use std::str::FromStr;

use crate::error::{ParseError, ParseErrorKind};

/// What C's `isspace` takes for a blank.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

pub(super) fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

/// A unique prefix of `true`, `false`, `yes`, `no`, `on`, `off`, or `1` or `0`, in any case.
pub(super) fn parse_bool(text: &str) -> Result<bool, ParseError> {
    match trim(text).to_ascii_lowercase().as_str() {
        "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => Ok(true),
        "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => Ok(false),
        _ => Err(ParseError::syntax("boolean", text)),
    }
}

pub(super) fn parse_int<N: FromStr<Err = std::num::ParseIntError>>(name: &str, text: &str) -> Result<N, ParseError> {
    let trimmed = trim(text);
    // Rust reads no sign but a minus on the unsigned types, where it is out of range, not bad syntax.
    let is_negative = trimmed
        .strip_prefix('-')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    trimmed.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => ParseError::out_of_range(name, text),
        IntErrorKind::InvalidDigit if is_negative => ParseError::out_of_range(name, text),
        _ => ParseError::syntax(name, text),
    })
}

/// 32 hexadecimal digits, a hyphen allowed after each four, braces allowed around.
pub(super) fn parse_uuid(text: &str) -> Result<uuid::Uuid, ParseError> {
    let invalid = || ParseError::syntax("uuid", text);
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').ok_or_else(invalid)?,
        None => text,
    };
    let mut bits = 0_u128;
    let mut count = 0;
    let mut follows_hyphen = false;
    for character in inner.chars() {
        if character == '-' && count > 0 && count % 4 == 0 && count < 32 && !follows_hyphen {
            follows_hyphen = true;
            continue;
        }
        let digit = character.to_digit(16).filter(|_| count < 32).ok_or_else(invalid)?;
        bits = bits << 4 | u128::from(digit);
        count += 1;
        follows_hyphen = false;
    }
    if count == 32 { Ok(uuid::Uuid::from_u128(bits)) } else { Err(invalid()) }
}

/// Where the character of this index begins; none if there are no more characters than that.
fn end_of_characters(text: &str, count: u32) -> Option<usize> {
    if text.len() <= count as usize {
        return None;
    }
    text.char_indices().nth(count as usize).map(|(at, _)| at)
}

/// Cuts blanks beyond the length. Errors: more than blanks is there.
pub(super) fn fit_varchar(text: &str, length: Option<u32>) -> Result<&str, ParseError> {
    let Some(length) = length else { return Ok(text) };
    match end_of_characters(text, length) {
        None => Ok(text),
        Some(end) if text[end..].bytes().all(|byte| byte == b' ') => Ok(&text[..end]),
        Some(_) => Err(too_long(&format!("character varying({length})"))),
    }
}

/// Cuts trailing blanks, of which a `char(n)` has no record; without a length all are kept. Errors: too long without them.
pub(super) fn fit_char(text: &str, length: Option<u32>) -> Result<&str, ParseError> {
    let Some(length) = length else { return Ok(text) };
    let stripped = text.trim_end_matches(' ');
    match end_of_characters(stripped, length) {
        None => Ok(stripped),
        Some(_) => Err(too_long(&format!("character({length})"))),
    }
}

fn too_long(type_name: &str) -> ParseError {
    ParseError::new(ParseErrorKind::TooLong, format!("value too long for type {type_name}"))
}

/// A negative number of four bytes is taken for its bits.
pub(super) fn parse_oid(text: &str) -> Result<u32, ParseError> {
    match parse_int::<i64>("oid", text)? {
        negative @ -0x8000_0000..0 => Ok(negative as i32 as u32),
        number => u32::try_from(number).map_err(|_| ParseError::out_of_range("oid", text)),
    }
}

/// Cuts an identifier to 63 bytes.
pub(super) fn fit_name(text: &str) -> &str {
    const NAME_BYTES_MAX: usize = 63;
    &text[..text.floor_char_boundary(NAME_BYTES_MAX)]
}
