//! `to_number`: numbers read by a given format.

use repr::numeric::Numeric as Number;
use repr::{Arena, Datum, NumericSpec};

use super::ArgType::{Numeric, Text};
use super::{FuncDef, Value, function};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] =
    &[function("to_number", "to_number", &[Text, Text], Numeric, to_number, "A number read by a format.")
        .fallible()
        .nullable()];

/// A piece of a format.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Digit,
    Point,
    Comma,
    Group,
    Minus,
    Plus,
    Sign,
    /// `S`: a sign before or behind the digits.
    Anchored,
    Ordinal,
    Currency,
    /// Any other character stands for one of the input.
    Other,
    /// Patterns that say something of the whole: `PR`, `FM`, `B`, `V`.
    Nothing,
}

#[derive(Default)]
struct Format {
    nodes: Vec<Node>,
    whole: usize,
    fraction: usize,
    has_point: bool,
    fill_mode: bool,
    brackets: bool,
    /// `S` before, or behind, the digits.
    leading_sign: bool,
    has_anchored_sign: bool,
    has_plain_sign: bool,
    /// `V`: digits by which the number is to be divided by ten.
    shift: usize,
}

impl Format {
    /// Counts a place for a digit.
    fn note_digit(&mut self, shifted: bool) {
        match (shifted, self.has_point) {
            (true, _) => self.shift += 1,
            (false, true) => self.fraction += 1,
            (false, false) => self.whole += 1,
        }
    }
}

fn syntax(message: &str) -> EvalError {
    EvalError::new("42601", message)
}

fn parse(format: &str) -> Result<Format, EvalError> {
    let mut parsed = Format::default();
    let mut shifted = false;
    let mut rest = format;
    while let Some(character) = rest.chars().next() {
        let two = rest.get(..2).unwrap_or("").to_ascii_uppercase();
        let (node, bytes) = match (two.as_str(), character.to_ascii_uppercase()) {
            ("FM", _) => {
                parsed.fill_mode = true;
                (Node::Nothing, 2)
            }
            ("MI", _) => (Node::Minus, 2),
            ("PL", _) => (Node::Plus, 2),
            ("SG", _) => (Node::Sign, 2),
            ("PR", _) => {
                parsed.brackets = true;
                (Node::Nothing, 2)
            }
            ("TH", _) => (Node::Ordinal, 2),
            ("RN", _) => return Err(EvalError::new("0A000", "\"RN\" not supported for input")),
            ("EE", _) => return Err(EvalError::new("0A000", "\"EEEE\" not supported for input")),
            (_, '9' | '0') => {
                parsed.note_digit(shifted);
                (Node::Digit, 1)
            }
            (_, '.' | 'D') => {
                if parsed.has_point {
                    return Err(syntax("multiple decimal points"));
                }
                if shifted {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                parsed.has_point = true;
                (Node::Point, 1)
            }
            (_, 'V') => {
                if parsed.has_point {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                shifted = true;
                (Node::Nothing, 1)
            }
            (_, 'S') => {
                if parsed.has_anchored_sign {
                    return Err(syntax("cannot use \"S\" twice"));
                }
                parsed.has_anchored_sign = true;
                parsed.leading_sign = parsed.whole + parsed.fraction == 0 && !parsed.has_point;
                (Node::Anchored, 1)
            }
            (_, ',') => (Node::Comma, 1),
            (_, 'G') => (Node::Group, 1),
            (_, 'L') => (Node::Currency, 1),
            (_, 'B') => (Node::Nothing, 1),
            (_, '"') => {
                rest = quoted(&rest[1..], &mut parsed.nodes);
                continue;
            }
            (_, _) if rest.starts_with("\\\"") => (Node::Other, 2),
            _ => (Node::Other, character.len_utf8()),
        };
        parsed.has_plain_sign |= matches!(node, Node::Minus | Node::Plus | Node::Sign);
        parsed.nodes.push(node);
        rest = &rest[bytes..];
    }
    Ok(parsed)
}

/// Each character in quotes stands for one of the input; returns what is behind the quote.
fn quoted<'f>(format: &'f str, nodes: &mut Vec<Node>) -> &'f str {
    let mut escaped = false;
    for (index, character) in format.char_indices() {
        match character {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return &format[index + 1..],
            _ => {
                nodes.push(Node::Other);
                escaped = false;
            }
        }
    }
    ""
}

/// Where the input stands and what was read of it.
struct Reader<'t> {
    rest: &'t str,
    negative: Option<bool>,
    digits: String,
    whole: usize,
    fraction: usize,
    has_point: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip(&mut self) {
        if let Some(character) = self.peek() {
            self.rest = &self.rest[character.len_utf8()..];
        }
    }

    /// Skips characters, but none that a number may be made of.
    fn skip_noise(&mut self, count: usize) {
        for _ in 0..count {
            match self.peek() {
                Some(character) if !"0123456789.,+-".contains(character) => self.skip(),
                _ => return,
            }
        }
    }

    /// Takes a sign, if there is one of `signs`.
    fn take_sign(&mut self, signs: &str) -> bool {
        match self.peek() {
            Some(sign) if signs.contains(sign) => {
                self.negative = Some(sign != '+');
                self.skip();
                true
            }
            _ => false,
        }
    }

    /// Reads at the place of a digit or the point; what is there is left to the caller to skip.
    fn number_part(&mut self, format: &Format, is_digit: bool) {
        let mut is_read = false;
        if self.peek() == Some(' ') {
            self.skip();
        }
        if self.negative.is_none() && is_digit && self.whole + self.fraction == 0 {
            let simple = if format.brackets { "-+<" } else { "-+" };
            let expected = !format.has_anchored_sign || format.leading_sign;
            self.take_sign(if expected && format.has_anchored_sign { "-+" } else { simple });
        }
        let Some(character) = self.peek() else { return };
        if character.is_ascii_digit() {
            if self.has_point && self.fraction == format.fraction {
                return;
            }
            self.digits.push(character);
            self.whole += usize::from(!self.has_point);
            self.fraction += usize::from(self.has_point);
            is_read = true;
        } else if character == '.' && format.has_point && !self.has_point {
            self.digits.push('.');
            self.has_point = true;
            is_read = true;
        }
        if self.negative.is_some() || self.whole + self.fraction == 0 {
            return;
        }
        let behind = self.rest.get(1..).and_then(|rest| rest.chars().next());
        if format.has_anchored_sign && is_read {
            // The sign stands right behind the last digit, wherever the format expects it.
            if let Some(sign @ ('+' | '-')) = behind {
                self.negative = Some(sign == '-');
                self.skip();
            }
        } else if !is_read
            && !format.has_anchored_sign
            && format.has_plain_sign
            && let Some(sign @ ('+' | '-')) = self.peek()
        {
            self.negative = Some(sign == '-');
        }
    }
}

fn read<'t>(text: &'t str, format: &Format) -> Reader<'t> {
    let mut reader =
        Reader { rest: text, negative: None, digits: String::new(), whole: 0, fraction: 0, has_point: false };
    for node in &format.nodes {
        let Some(character) = reader.peek() else { break };
        match node {
            Node::Nothing | Node::Anchored => {}
            Node::Digit | Node::Point => {
                reader.number_part(format, *node == Node::Digit);
                reader.skip();
            }
            Node::Comma if reader.whole + reader.fraction == 0 && format.fill_mode => {}
            Node::Comma | Node::Group => {
                if character == ',' {
                    reader.skip();
                }
            }
            Node::Minus => {
                if !reader.take_sign("-") {
                    reader.skip_noise(1);
                }
            }
            Node::Plus => {
                if !reader.take_sign("+") {
                    reader.skip_noise(1);
                }
            }
            Node::Sign => {
                if !reader.take_sign("+-") {
                    reader.skip_noise(1);
                }
            }
            Node::Ordinal => reader.skip_noise(2),
            Node::Currency | Node::Other => reader.skip_noise(1),
        }
    }
    reader
}

fn to_number<'a>(args: &[Datum<'a>], _: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let format = args[1].unwrap_text();
    if format.is_empty() {
        return Ok(Datum::Null);
    }
    let format = parse(format)?;
    let reader = read(args[0].unwrap_text(), &format);
    let digits = reader.digits.trim_end_matches('.');
    let sign = match reader.negative {
        Some(true) => "-",
        Some(false) => "+",
        None => " ",
    };
    if !digits.bytes().any(|byte| byte.is_ascii_digit()) {
        let message = format!("invalid input syntax for type numeric: \"{sign}{digits}\"");
        return Err(EvalError::new("22P02", message));
    }
    let number = Number::parse(&format!("{}{digits}", sign.trim())).map_err(super::numeric_error)?;
    let number = if format.shift > 0 {
        let power = Number::parse(&format!("1e{}", format.shift)).map_err(super::numeric_error)?;
        number.div(&power).map_err(super::numeric_error)?
    } else {
        let digits = (format.whole + format.fraction).min(39);
        let spec = NumericSpec { precision: digits as u8, scale: format.fraction.min(39) as u8 };
        if digits == 0 { number } else { number.rescale(spec).map_err(super::numeric_error)? }
    };
    Ok(Datum::Numeric(number.pack(arena)))
}
