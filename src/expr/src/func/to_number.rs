//! `to_number`: numbers read by a given template.

use repr::numeric::Numeric as Number;
use repr::{Arena, Datum, NumericSpec};

use super::ArgType::{Numeric, Text};
use super::number_template::{Anchor, Node, Pattern, Template};
use super::{FuncDef, Value, function, numeric_error};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] =
    &[function("to_number", "to_number", &[Text, Text], Numeric, to_number, "A number read by a format.")
        .fallible()
        .nullable()];

/// Where the input stands and what was read of it.
struct Reader<'t> {
    template: &'t Template,
    rest: &'t str,
    /// `+` or `-`, once one is read.
    sign: Option<char>,
    digits: String,
    whole: usize,
    fraction: usize,
    has_point: bool,
}

impl<'t> Reader<'t> {
    fn new(template: &'t Template, rest: &'t str) -> Reader<'t> {
        Reader { template, rest, sign: None, digits: String::new(), whole: 0, fraction: 0, has_point: false }
    }

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

    /// Takes a sign that is one of `signs`, or else what is no part of a number.
    fn sign_or_noise(&mut self, signs: &str) {
        match self.peek() {
            Some(sign) if signs.contains(sign) => {
                self.sign = Some(sign);
                self.skip();
            }
            _ => self.skip_noise(1),
        }
    }

    /// Reads at a place of a digit or the point; a character is used up, whether it was one or not.
    fn place(&mut self, is_digit: bool) {
        let mut is_read = false;
        if self.peek() == Some(' ') {
            self.skip();
        }
        if self.sign.is_none() && is_digit && self.whole + self.fraction == 0 {
            self.leading_sign();
        }
        let Some(character) = self.peek() else { return };
        if character.is_ascii_digit() {
            if self.has_point && self.fraction == self.template.fraction {
                return self.skip();
            }
            self.digits.push(character);
            self.whole += usize::from(!self.has_point);
            self.fraction += usize::from(self.has_point);
            is_read = true;
        } else if character == '.' && self.template.has_point && !self.has_point {
            self.digits.push('.');
            self.has_point = true;
            is_read = true;
        }
        if self.sign.is_none() && self.whole + self.fraction > 0 {
            self.sign_behind(is_read);
        }
        self.skip();
    }

    fn leading_sign(&mut self) {
        let is_anchored = self.template.has_anchored && self.template.anchor == Anchor::Before;
        match self.peek() {
            Some(sign @ ('-' | '+')) => self.sign = Some(sign),
            Some('<') if !is_anchored && self.template.has_bracket => self.sign = Some('-'),
            _ => return,
        }
        self.skip();
    }

    /// The sign of `S` stands right behind the last digit; another where a digit is looked for in vain.
    fn sign_behind(&mut self, is_read: bool) {
        let template = self.template;
        if template.has_anchored && is_read {
            let behind = self.rest.chars().nth(1);
            if let Some(sign @ ('+' | '-')) = behind {
                self.skip();
                self.sign = Some(sign);
            }
        } else if !is_read && !template.has_anchored && (template.has_plus || template.has_minus) {
            self.sign = self.peek().filter(|sign| matches!(sign, '+' | '-'));
        }
    }

    fn pattern(&mut self, pattern: Pattern) {
        match pattern {
            Pattern::Nine | Pattern::Zero | Pattern::Point => self.place(pattern != Pattern::Point),
            // Whether digits were read is never noted: in fill mode separators are never skipped.
            Pattern::Comma | Pattern::Group if self.template.fill_mode => {}
            Pattern::Comma | Pattern::Group => {
                if self.peek() == Some(',') {
                    self.skip();
                }
            }
            Pattern::Minus => self.sign_or_noise("-"),
            Pattern::Plus => self.sign_or_noise("+"),
            Pattern::EitherSign => self.sign_or_noise("+-"),
            Pattern::Ordinal(_) => self.skip_noise(2),
            Pattern::Currency => self.skip_noise(1),
            Pattern::Roman(_)
            | Pattern::Anchored
            | Pattern::Bracket
            | Pattern::Exponent
            | Pattern::FillMode
            | Pattern::Shift
            | Pattern::Nothing => {}
        }
    }

    fn read(&mut self) {
        for node in &self.template.nodes {
            if self.rest.is_empty() {
                return;
            }
            match node {
                Node::Pattern(pattern) => self.pattern(*pattern),
                Node::Literal(_) => self.skip(),
            }
        }
    }
}

fn to_number<'a>(args: &[Datum<'a>], _: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let format = args[1].unwrap_text();
    if format.is_empty() {
        return Ok(Datum::Null);
    }
    let template = Template::parse(format)?;
    let unsupported = |pattern: &str| Err(EvalError::new("0A000", format!("\"{pattern}\" not supported for input")));
    if template.has_exponent {
        return unsupported("EEEE");
    }
    if template.has_roman {
        return unsupported("RN");
    }
    let mut reader = Reader::new(&template, args[0].unwrap_text());
    reader.read();
    let digits = reader.digits.trim_end_matches('.');
    if !digits.bytes().any(|byte| byte.is_ascii_digit()) {
        let sign = reader.sign.unwrap_or(' ');
        let message = format!("invalid input syntax for type numeric: \"{sign}{digits}\"");
        return Err(EvalError::new("22P02", message));
    }
    let sign = if reader.sign == Some('-') { "-" } else { "" };
    let number = Number::parse(&format!("{sign}{digits}")).map_err(numeric_error)?;
    // As many digits before the point as the template has places.
    let scale = reader.fraction.min(DIGITS_MAX);
    let precision = (template.whole + template.shift + scale).min(DIGITS_MAX);
    let spec = NumericSpec { precision: precision as u8, scale: scale as i8 };
    let number = number.rescale(spec).map_err(numeric_error)?;
    let shifted = match template.shift {
        0 => number,
        shift => {
            let power = Number::parse(&format!("1e{shift}")).map_err(numeric_error)?;
            number.div(&power).map_err(numeric_error)?
        }
    };
    Ok(Datum::Numeric(shifted.pack(arena)))
}

/// No number has more digits.
const DIGITS_MAX: usize = 39;
