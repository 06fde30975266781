//! Reads JSON text.

use super::build::{JsonbBuilder, JsonbError};
use crate::numeric::Numeric;

/// Packs a JSON text.
pub(super) fn parse(text: &str) -> Result<Vec<u8>, JsonbError> {
    let mut parser = Parser { text, at: 0, builder: JsonbBuilder::new(), scratch: String::new() };
    parser.skip_blanks();
    parser.value()?;
    parser.skip_blanks();
    if parser.at < text.len() {
        return Err(parser.unexpected("end of input"));
    }
    Ok(parser.builder.finish())
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    builder: JsonbBuilder,
    scratch: String,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn error(&self, detail: impl Into<String>) -> JsonbError {
        JsonbError::Syntax { detail: detail.into() }
    }

    fn unexpected(&self, expected: &str) -> JsonbError {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return self.error("The input string ended unexpectedly.");
        }
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '-');
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let shown = if word > 0 { &rest[..word] } else { &rest[..rest.chars().next().map_or(0, char::len_utf8)] };
        if expected == "JSON value" && word > 0 {
            return self.error(format!("Token \"{shown}\" is invalid."));
        }
        self.error(format!("Expected {expected}, but found \"{shown}\"."))
    }

    /// Recursion is bounded by the builder's depth.
    fn value(&mut self) -> Result<(), JsonbError> {
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => {
                self.string()?;
                self.builder.string(&self.scratch)
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't' | b'f' | b'n') => self.word(),
            _ => Err(self.unexpected("JSON value")),
        }
    }

    fn word(&mut self) -> Result<(), JsonbError> {
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        match &rest[..length] {
            "true" => self.builder.bool(true),
            "false" => self.builder.bool(false),
            "null" => self.builder.null(),
            _ => return Err(self.unexpected("JSON value")),
        }
        self.at += length;
        Ok(())
    }

    fn array(&mut self) -> Result<(), JsonbError> {
        self.builder.begin_array()?;
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.builder.end_array();
            return Ok(());
        }
        loop {
            self.value()?;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected("\",\" or \"]\"")),
            }
            self.skip_blanks();
        }
        self.at += 1;
        self.builder.end_array();
        Ok(())
    }

    fn object(&mut self) -> Result<(), JsonbError> {
        self.builder.begin_object()?;
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.builder.end_object();
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("string"));
            }
            self.string()?;
            self.builder.key(&self.scratch)?;
            self.skip_blanks();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("\":\""));
            }
            self.at += 1;
            self.skip_blanks();
            self.value()?;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected("\",\" or \"}\"")),
            }
            self.skip_blanks();
        }
        self.at += 1;
        self.builder.end_object();
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonbError> {
        let start = self.at;
        let invalid = |parser: &mut Parser<'_>| {
            parser.at = start;
            parser.unexpected("JSON value")
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leads_with_zero = self.peek() == Some(b'0');
        let digits = self.digits();
        if digits == 0 || (leads_with_zero && digits > 1) {
            return Err(invalid(self));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(invalid(self));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(invalid(self));
            }
        }
        if self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-')) {
            return Err(invalid(self));
        }
        let number = Numeric::parse(&self.text[start..self.at])?;
        self.builder.number(&number)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    /// Reads a string into `scratch`.
    fn string(&mut self) -> Result<(), JsonbError> {
        self.scratch.clear();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(plain) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') else {
                self.at = self.text.len();
                return Err(self.error("The input string ended unexpectedly."));
            };
            self.scratch.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                byte => {
                    let byte = byte.unwrap_or_default();
                    return Err(self.error(format!("Character with value 0x{byte:02x} must be escaped.")));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonbError> {
        self.at += 1;
        let plain = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let character = self.unicode_escape()?;
                self.scratch.push(character);
                return Ok(());
            }
            Some(_) => {
                let found = self.text[self.at..].chars().next().unwrap_or_default();
                return Err(self.error(format!("Escape sequence \"\\{found}\" is invalid.")));
            }
            None => return Err(self.error("The input string ended unexpectedly.")),
        };
        self.at += 1;
        self.scratch.push(plain);
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<char, JsonbError> {
        let first = self.hexadecimal()?;
        if first == 0 {
            return Err(JsonbError::Nul);
        }
        match first {
            0xD800..0xDC00 => {
                let missing = "Unicode low surrogate must follow a high surrogate.";
                if !self.text[self.at..].starts_with("\\u") {
                    return Err(self.error(missing));
                }
                self.at += 2;
                match self.hexadecimal()? {
                    second @ 0xDC00..0xE000 => {
                        let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                        char::from_u32(code).ok_or_else(|| self.error(missing))
                    }
                    _ => Err(self.error(missing)),
                }
            }
            code => {
                char::from_u32(code).ok_or_else(|| self.error("Unicode low surrogate must follow a high surrogate."))
            }
        }
    }

    fn hexadecimal(&mut self) -> Result<u32, JsonbError> {
        let digits =
            self.text.as_bytes().get(self.at..self.at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else {
            return Err(self.error("\"\\u\" must be followed by four hexadecimal digits."));
        };
        let code = digits.iter().fold(0, |code, digit| code * 16 + char::from(*digit).to_digit(16).unwrap_or(0));
        self.at += 4;
        Ok(code)
    }
}
