//! How rows and errors rest side by side in one shard.
//!
//! A row is stored as it is. An error is stored as bytes that no row starts with:
//!
//! ```text
//! FE            no datum of any kind starts with it: NULL is FF, text is UTF-8, all others start below A0 (engine.md 3.7)
//! 01            version
//! 5 bytes       SQLSTATE
//! text          message
//! 00 | 01 text  detail, absent or present
//! 00 | 01 text  hint
//!
//! text = length (4 bytes, little-endian), UTF-8
//! ```
//!
//! Equal errors are equal bytes, so an error can be retracted.

use expr::EvalError;
use repr::Row;

const ERROR_MARK: u8 = repr::row::NOT_A_ROW;
const VERSION: u8 = 1;

/// The stored form of a row.
pub fn encode_ok(row: Row) -> Row {
    debug_assert!(row.as_bytes().first() != Some(&ERROR_MARK), "no datum starts with the mark of an error");
    row
}

/// The stored form of an error.
pub fn encode_err(error: &EvalError) -> Row {
    let mut bytes = vec![ERROR_MARK, VERSION];
    bytes.extend_from_slice(&error.code);
    push_text(&mut bytes, &error.message);
    for text in [&error.detail, &error.hint] {
        match text {
            None => bytes.push(0),
            Some(text) => {
                bytes.push(1);
                push_text(&mut bytes, text);
            }
        }
    }
    Row::from_bytes(&bytes)
}

/// True if the stored row stands for an error.
pub fn is_err(stored: &Row) -> bool {
    stored.as_bytes().first() == Some(&ERROR_MARK)
}

/// The row or error that was stored. A damaged error is an error too.
pub fn decode(stored: Row) -> Result<Row, EvalError> {
    if is_err(&stored) { Err(decode_err(&stored.as_bytes()[1..])) } else { Ok(stored) }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    // A message near 4 GiB cannot arise; were it cut, equal errors would still be equal bytes.
    let length = u32::try_from(text.len()).unwrap_or(0);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.get(..length as usize).unwrap_or_default().as_bytes());
}

fn decode_err(bytes: &[u8]) -> EvalError {
    let damaged = || EvalError::new("XX001", "stored error is damaged or was written by a newer version");
    read_err(bytes).unwrap_or_else(damaged)
}

fn read_err(mut bytes: &[u8]) -> Option<EvalError> {
    let (version, rest) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (code, rest) = rest.split_first_chunk::<5>()?;
    bytes = rest;
    let message = read_text(&mut bytes)?;
    let detail = read_option(&mut bytes)?;
    let hint = read_option(&mut bytes)?;
    bytes.is_empty().then_some(EvalError { code: *code, message, detail, hint })
}

fn read_option(bytes: &mut &[u8]) -> Option<Option<String>> {
    let (present, rest) = bytes.split_first()?;
    *bytes = rest;
    match present {
        0 => Some(None),
        1 => read_text(bytes).map(Some),
        _ => None,
    }
}

fn read_text(bytes: &mut &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let text = std::str::from_utf8(rest.get(..length)?).ok()?.to_owned();
    *bytes = &rest[length..];
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_back_as_they_were() {
        let plain = EvalError::division_by_zero();
        let full = EvalError::new("22P02", "\u{0} \u{10FFFF}").with_detail("").with_hint("perhaps");
        for error in [plain, full] {
            assert_eq!(decode(encode_err(&error)), Err(error));
        }
    }

    #[test]
    fn bytes_of_a_stored_error_stay_as_they_are() {
        let error = EvalError::new("22012", "ab").with_hint("c");
        let golden = b"\xFE\x01\x32\x32\x30\x31\x32\x02\0\0\0ab\x00\x01\x01\0\0\0c";
        assert_eq!(encode_err(&error).as_bytes(), golden);
    }

    #[test]
    fn rows_are_stored_as_they_are() {
        for bytes in [&b""[..], b"\x00", b"\xFF\x01", b"\x19\x05"] {
            let row = Row::from_bytes(bytes);
            assert_eq!(encode_ok(row.clone()), row);
            assert_eq!(decode(row.clone()), Ok(row));
        }
    }

    #[test]
    fn damage_to_a_stored_error_is_an_error() {
        let whole = encode_err(&EvalError::new("22012", "division by zero").with_detail("d"));
        for length in 1..whole.len_bytes() {
            let cut = Row::from_bytes(&whole.as_bytes()[..length]);
            assert_eq!(decode(cut).expect_err("cut").code(), "XX001", "cut at {length}");
        }
    }
}
