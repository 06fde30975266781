//! The type `"char"`: one byte. As text it is the character itself or, of what is not ASCII, a backslash and three octal
//! digits; the byte 0 is the empty text.

/// The first byte of a text, or the one that an octal escape spells.
pub fn parse(text: &str) -> String {
    let octal = text.strip_prefix('\\').filter(|digits| digits.len() == 3);
    let escaped = octal.filter(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')));
    let byte = match escaped.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
        Some(byte) => byte,
        None => text.bytes().next().unwrap_or(0),
    };
    of_byte(byte)
}

/// The text of a byte.
pub fn of_byte(byte: u8) -> String {
    match byte {
        0 => String::new(),
        1..=0x7F => char::from(byte).to_string(),
        0x80.. => format!("\\{byte:03o}"),
    }
}

/// The byte that a text made here stands for.
pub fn byte_of(text: &str) -> u8 {
    match text.strip_prefix('\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
        Some(byte) => byte,
        None => text.bytes().next().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_text() {
        for byte in 0..=u8::MAX {
            let text = of_byte(byte);
            assert_eq!(byte_of(&text), byte);
            assert_eq!(parse(&text), text);
        }
        assert_eq!(parse("abc"), "a");
        assert_eq!(parse("é"), "\\303");
        assert_eq!(parse("\\101"), "A");
        assert_eq!(parse("\\9"), "\\");
    }
}
