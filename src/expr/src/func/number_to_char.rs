//! `to_char` of numbers: the digits laid out under a template.

use std::fmt::Write;

use repr::numeric::Numeric as Number;
use repr::{Arena, Datum};

use super::ArgType::{Float4, Float8, Int4, Int8, Numeric, Text};
use super::number_template::{Anchor, Case, Node, Pattern, Template};
use super::{FuncDef, Value, check_length, function, numeric_error, text};
use crate::error::EvalError;

pub(super) static TABLE: &[FuncDef] = &[
    function(
        "to_char_int4",
        "to_char",
        &[Int4, Text],
        Text,
        |a, _, arena| integer(a[0].unwrap_int(), Width::Int4, a[1].unwrap_text(), arena),
        "A number in a format.",
    )
    .fallible(),
    function(
        "to_char_int8",
        "to_char",
        &[Int8, Text],
        Text,
        |a, _, arena| integer(a[0].unwrap_int(), Width::Int8, a[1].unwrap_text(), arena),
        "A number in a format.",
    )
    .fallible(),
    function(
        "to_char_numeric",
        "to_char",
        &[Numeric, Text],
        Text,
        |a, _, arena| numeric(&a[0].unwrap_numeric().decode(), a[1].unwrap_text(), arena),
        "A number in a format.",
    )
    .fallible(),
    function(
        "to_char_float4",
        "to_char",
        &[Float4, Text],
        Text,
        |a, _, arena| float(f64::from(a[0].unwrap_float4()), FLOAT4_DIGITS, a[1].unwrap_text(), arena),
        "A number in a format.",
    )
    .fallible(),
    function(
        "to_char_float8",
        "to_char",
        &[Float8, Text],
        Text,
        |a, _, arena| float(a[0].unwrap_float8(), FLOAT8_DIGITS, a[1].unwrap_text(), arena),
        "A number in a format.",
    )
    .fallible(),
];

/// Decimal digits that a float of the size is sure of.
const FLOAT4_DIGITS: usize = 6;
const FLOAT8_DIGITS: usize = 15;

/// A number's decimal digits, with their point, without their sign.
struct Digits {
    negative: bool,
    text: String,
}

impl Digits {
    fn of(text: String) -> Digits {
        match text.strip_prefix('-') {
            Some(digits) => Digits { negative: true, text: digits.to_owned() },
            None => Digits { negative: false, text },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    Int4,
    Int8,
}

impl Width {
    fn overflow(self) -> EvalError {
        EvalError::out_of_range(if self == Width::Int4 { "integer" } else { "bigint" })
    }
}

fn integer<'a>(value: i64, width: Width, format: &str, arena: &'a Arena) -> Value<'a> {
    let Some(mut template) = template(format)? else { return Ok(Datum::Text("")) };
    if template.has_roman {
        let number = i32::try_from(value).map_err(|_| Width::Int4.overflow())?;
        return finish(&template, &Digits { negative: false, text: roman(number.into()) }, 0, arena);
    }
    if template.has_exponent {
        // The smaller integers are shown by way of a double, which rounds ties to even.
        return match width {
            Width::Int4 => text(&float_scientific(value as f64, template.fraction), arena),
            Width::Int8 => text(&scientific(&Number::from_i64(value), template.fraction), arena),
        };
    }
    let shifted = if template.has_shift {
        let factor = u32::try_from(template.shift).ok().and_then(|shift| 10_i64.checked_pow(shift));
        template.whole += template.shift;
        let product = factor.and_then(|factor| value.checked_mul(factor)).ok_or_else(|| width.overflow())?;
        match width {
            Width::Int4 => i32::try_from(product).map(i64::from).map_err(|_| width.overflow())?,
            Width::Int8 => product,
        }
    } else {
        value
    };
    let mut digits = Digits::of(shifted.to_string());
    let whole = digits.text.len();
    if template.fraction > 0 {
        digits.text.push('.');
        digits.text.extend(std::iter::repeat_n('0', template.fraction));
    }
    lay_out(&template, digits, whole, arena)
}

fn numeric<'a>(value: &Number, format: &str, arena: &'a Arena) -> Value<'a> {
    let Some(mut template) = template(format)? else { return Ok(Datum::Text("")) };
    if template.has_roman {
        let whole = value.round(0).ok().and_then(|whole| whole.to_i128()).and_then(|whole| i32::try_from(whole).ok());
        let whole = match whole {
            Some(whole) => whole,
            None if value.is_nan() => return Err(EvalError::new("0A000", "cannot convert NaN to integer")),
            None if value.is_infinite() => return Err(EvalError::new("0A000", "cannot convert infinity to integer")),
            None => return Err(Width::Int4.overflow()),
        };
        return finish(&template, &Digits { negative: false, text: roman(whole.into()) }, 0, arena);
    }
    if template.has_exponent {
        let digits = if value.is_finite() { scientific(value, template.fraction) } else { no_exponent(&template) };
        return text(&digits, arena);
    }
    let mut shifted = *value;
    if template.has_shift {
        let factor = i64::try_from(template.shift).map_err(|_| Width::Int4.overflow())?;
        let factor = Number::from_i64(10).pow(&Number::from_i64(factor)).map_err(numeric_error)?;
        shifted = value.mul(&factor).map_err(numeric_error)?;
        template.whole += template.shift;
    }
    let places = template.fraction.min(NUMERIC_DIGITS_MAX);
    let rounded = shifted.round(places as i32).map_err(numeric_error)?;
    let mut digits = Digits::of(rounded.format_with_scale(places as u8));
    let whole = digits.text.find('.').unwrap_or(digits.text.len());
    if rounded.is_finite() {
        digits.text.extend(std::iter::repeat_n('0', template.fraction - places));
    }
    lay_out(&template, digits, whole, arena)
}

/// No number has more digits behind its point.
const NUMERIC_DIGITS_MAX: usize = 39;

fn float<'a>(value: f64, sure_digits: usize, format: &str, arena: &'a Arena) -> Value<'a> {
    let Some(mut template) = template(format)? else { return Ok(Datum::Text("")) };
    if template.has_roman {
        // What is no number from 1 to 3999 is shown as hashes, here also infinities.
        let whole = value.round_ties_even() as i64;
        return finish(&template, &Digits { negative: false, text: roman(whole) }, 0, arena);
    }
    if template.has_exponent {
        let shown = if value.is_finite() { float_scientific(value, template.fraction) } else { no_exponent(&template) };
        return text(&shown, arena);
    }
    let mut shifted = value;
    if template.has_shift {
        shifted *= 10_f64.powi(i32::try_from(template.shift).unwrap_or(i32::MAX));
        template.whole += template.shift;
    }
    let whole_digits = float_text(shifted.abs(), 0).len();
    template.fraction = template.fraction.min(sure_digits.saturating_sub(whole_digits));
    let digits = Digits::of(float_text(shifted, template.fraction));
    let whole = digits.text.find('.').unwrap_or(digits.text.len());
    lay_out(&template, digits, whole, arena)
}

fn float_text(value: f64, places: usize) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else {
        format!("{value:.places$}")
    }
}

/// `-1.23e+04`; what has no minus has a blank.
fn float_scientific(value: f64, places: usize) -> String {
    let plain = format!("{value:.places$e}");
    let (mantissa, exponent) = plain.split_once('e').unwrap_or((&plain, "0"));
    let sign = if mantissa.starts_with('-') { "" } else { " " };
    format!("{sign}{mantissa}{}", exponent_text(exponent.parse().unwrap_or(0)))
}

/// The template; none if the format is empty.
fn template(format: &str) -> Result<Option<Template>, EvalError> {
    if format.is_empty() {
        return Ok(None);
    }
    let template = Template::parse(format)?;
    check_length(template.whole + template.fraction + template.shift)?;
    Ok(Some(template))
}

/// What is shown of a number without digits: a hash for each.
fn no_exponent(template: &Template) -> String {
    let hashes = "#".repeat(template.whole + template.fraction + 6);
    let point = template.whole + 1;
    format!(" {}.{}", &hashes[1..point], &hashes[point + 1..])
}

fn exponent_text(exponent: i32) -> String {
    format!("e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
}

/// As [`float_scientific`], rounded half away from zero.
fn scientific(value: &Number, places: usize) -> String {
    let plain = value.abs().to_string();
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0').collect();
    let first = all.iter().position(|digit| *digit != 0);
    let mut exponent = first.map_or(0, |first| whole.len() as i32 - 1 - first as i32);
    let significant = &all[first.unwrap_or(all.len() - 1)..];
    let mut kept: Vec<u8> = (0..=places).map(|index| significant.get(index).copied().unwrap_or(0)).collect();
    if significant.get(places + 1).is_some_and(|digit| *digit >= 5) {
        let carries = kept.iter_mut().rev().all(|digit| {
            *digit = (*digit + 1) % 10;
            *digit == 0
        });
        if carries {
            kept[0] = 1;
            exponent += 1;
        }
    }
    let mut out = String::from(if value.is_negative() { "-" } else { " " });
    for (index, digit) in kept.iter().enumerate() {
        if index == 1 {
            out.push('.');
        }
        out.push(char::from(b'0' + digit));
    }
    out + &exponent_text(exponent)
}

/// A number from 1 to 3999 in Roman numerals, hashes for any other.
fn roman(number: i64) -> String {
    const NUMERALS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    if !(1..=3999).contains(&number) {
        return "#".repeat(ROMAN_WIDTH);
    }
    let mut rest = number;
    let mut out = String::new();
    for (value, numeral) in NUMERALS {
        while rest >= value {
            out.push_str(numeral);
            rest -= value;
        }
    }
    out
}

/// The longest Roman numeral, to which others are filled with blanks.
const ROMAN_WIDTH: usize = 15;

/// The ending of the ordinal of a number, whose digits are given.
pub(super) fn ordinal_ending(digits: &str, case: Case) -> Result<&'static str, EvalError> {
    let bytes = digits.as_bytes();
    let last = bytes.last().copied().unwrap_or(b'#');
    if !last.is_ascii_digit() {
        return Err(EvalError::new("22P02", format!("\"{digits}\" is not a number")));
    }
    let is_teen = bytes.len() > 1 && bytes[bytes.len() - 2] == b'1';
    let ending = match last {
        b'1' if !is_teen => ["st", "ST"],
        b'2' if !is_teen => ["nd", "ND"],
        b'3' if !is_teen => ["rd", "RD"],
        _ => ["th", "TH"],
    };
    Ok(ending[usize::from(case == Case::Upper)])
}

/// Lays out digits of which `whole` are before the point; hashes if there are fewer places.
fn lay_out<'a>(template: &Template, digits: Digits, whole: usize, arena: &'a Arena) -> Value<'a> {
    if whole > template.whole {
        let text = format!("{}.{}", "#".repeat(template.whole), "#".repeat(template.fraction));
        return finish(template, &Digits { text, ..digits }, 0, arena);
    }
    finish(template, &digits, template.whole - whole, arena)
}

fn finish<'a>(template: &Template, digits: &Digits, blanks: usize, arena: &'a Arena) -> Value<'a> {
    let mut layout = Layout::new(template, digits, blanks);
    for node in &template.nodes {
        match node {
            Node::Pattern(pattern) => layout.pattern(*pattern)?,
            Node::Literal(character) => layout.out.push(*character),
        }
        check_length(layout.out.len())?;
    }
    // Digits that a float does not have end the text.
    let end = layout.out.find('\0').unwrap_or(layout.out.len());
    text(&layout.out[..end], arena)
}

/// The state of writing a number, place by place.
struct Layout<'t> {
    template: &'t Template,
    digits: &'t Digits,
    /// The digit that is next.
    at: usize,
    /// Places before the first digit.
    blanks: usize,
    /// Places so far.
    place: usize,
    /// Two more than the place behind which a trailing sign goes.
    end: usize,
    anchor: Anchor,
    has_bracket: bool,
    zero_start: usize,
    sign_written: bool,
    /// True behind a digit, where a group separator is shown.
    in_number: bool,
    /// In fill mode: the last digit that is shown, or the point if all behind it are zeros.
    last_relevant: Option<usize>,
    out: String,
}

impl<'t> Layout<'t> {
    fn new(template: &'t Template, digits: &'t Digits, blanks: usize) -> Layout<'t> {
        let mut layout = Layout {
            template,
            digits,
            at: 0,
            blanks,
            place: 0,
            end: 0,
            anchor: template.anchor,
            has_bracket: template.has_bracket,
            zero_start: template.zero_start.saturating_sub(1),
            sign_written: false,
            in_number: false,
            last_relevant: None,
            out: String::new(),
        };
        if template.has_roman {
            return layout;
        }
        if template.has_plus || template.has_minus {
            // MI and SG are places of their own; a plus alone leaves the minus at the number.
            layout.sign_written = !template.has_plus || template.has_minus;
        } else {
            if !digits.negative && template.fill_mode {
                layout.has_bracket = false;
            }
            layout.sign_written = !digits.negative && template.fill_mode && !template.has_anchored;
            if layout.anchor == Anchor::Before && template.whole == template.whole_before_anchor {
                layout.anchor = Anchor::After;
            }
        }
        if template.fill_mode && template.has_point {
            layout.last_relevant = layout.last_relevant();
        }
        let signed = usize::from(!layout.sign_written && blanks == 0);
        layout.end =
            template.whole + template.fraction + signed + usize::from(blanks > 0) + usize::from(template.has_point);
        layout
    }

    /// The last digit that is no zero, but not before the last place of a `0`.
    fn last_relevant(&self) -> Option<usize> {
        let number = &self.digits.text;
        let point = number.find('.')?;
        let digit = number[point + 1..].rfind(|c| c != '0').map_or(point, |index| point + 1 + index);
        if self.template.zero_end > self.blanks {
            let zero = (number.len() - 1).min(self.template.zero_end - self.blanks);
            return Some(digit.max(zero));
        }
        Some(digit)
    }

    fn byte(&self, index: usize) -> Option<u8> {
        self.digits.text.as_bytes().get(index).copied()
    }

    /// True if all that fill mode leaves behind the point is nothing.
    fn ends_at_point(&self) -> bool {
        self.last_relevant.is_some_and(|index| self.byte(index) == Some(b'.'))
    }

    fn push_unless_filled(&mut self, sign: Option<char>) {
        match sign {
            Some(sign) => self.out.push(sign),
            None if self.template.fill_mode => {}
            None => self.out.push(' '),
        }
    }

    fn pattern(&mut self, pattern: Pattern) -> Result<(), EvalError> {
        let negative = self.digits.negative && !self.template.has_roman;
        match pattern {
            Pattern::Nine | Pattern::Zero | Pattern::Point => self.place(pattern),
            Pattern::Comma | Pattern::Group => self.push_unless_filled(self.in_number.then_some(',')),
            Pattern::Currency => self.out.push(' '),
            Pattern::Roman(case) => {
                let number = match case {
                    Case::Upper => self.digits.text.clone(),
                    Case::Lower => self.digits.text.to_lowercase(),
                };
                let width = if self.template.fill_mode { 0 } else { ROMAN_WIDTH };
                write!(self.out, "{number:>width$}").expect("a string takes all");
            }
            Pattern::Ordinal(case) => {
                let has_none = self.template.has_roman || negative || self.template.has_point;
                if !has_none && !self.digits.text.starts_with('#') {
                    self.out.push_str(ordinal_ending(&self.digits.text, case)?);
                }
            }
            Pattern::Minus => self.push_unless_filled(negative.then_some('-')),
            Pattern::Plus => self.push_unless_filled((!negative && !self.template.has_roman).then_some('+')),
            // A Roman numeral has no sign at all, which ends the text.
            Pattern::EitherSign if self.template.has_roman => self.out.push('\0'),
            Pattern::EitherSign => self.out.push(if negative { '-' } else { '+' }),
            Pattern::Anchored
            | Pattern::Bracket
            | Pattern::Exponent
            | Pattern::FillMode
            | Pattern::Shift
            | Pattern::Nothing => {}
        }
        Ok(())
    }

    /// True for the zero before the point of `0.1`, which `9.9` does not show.
    fn is_silent_zero(&self) -> bool {
        !self.template.has_zero && self.at == 0 && self.byte(0) == Some(b'0') && self.template.fraction != 0
    }

    /// Writes what is at a place of a digit or the point.
    fn place(&mut self, pattern: Pattern) {
        if self.template.has_roman {
            return;
        }
        self.in_number = false;
        let zero_begins = self.template.has_zero && self.zero_start <= self.place;
        let digits_begin = self.place >= self.blanks || (self.template.has_zero && self.zero_start == self.place);
        if !self.sign_written && digits_begin && (!self.is_silent_zero() || self.ends_at_point()) {
            self.leading_sign();
        }
        if self.place < self.blanks && !zero_begins {
            self.push_unless_filled(None);
        } else if self.place < self.blanks {
            self.out.push('0');
            self.in_number = true;
        } else {
            self.digit(pattern);
        }
        if self.last_relevant != Some(self.at) && self.place + 2 == self.end {
            self.trailing_sign();
        }
        self.place += 1;
    }

    fn leading_sign(&mut self) {
        let negative = self.digits.negative;
        if self.template.has_anchored {
            if self.anchor == Anchor::Before {
                self.out.push(if negative { '-' } else { '+' });
                self.sign_written = true;
            }
            return;
        }
        match (self.has_bracket, negative) {
            (true, _) => self.out.push(if negative { '<' } else { ' ' }),
            (false, true) => self.out.push('-'),
            (false, false) => self.push_unless_filled(None),
        }
        self.sign_written = true;
    }

    fn trailing_sign(&mut self) {
        let negative = self.digits.negative;
        if self.sign_written && self.has_bracket {
            self.out.push(if negative { '>' } else { ' ' });
        } else if self.template.has_anchored && self.anchor == Anchor::After {
            self.out.push(if negative { '-' } else { '+' });
        }
    }

    fn digit(&mut self, pattern: Pattern) {
        let next = self.byte(self.at);
        let is_irrelevant = self.last_relevant.is_some_and(|last| self.at > last) && pattern != Pattern::Zero;
        if next == Some(b'.') {
            self.out.push('.');
        } else if !is_irrelevant && self.is_silent_zero() {
            self.push_unless_filled(self.ends_at_point().then_some('0'));
        } else if !is_irrelevant {
            self.out.push(next.map_or('\0', char::from));
            self.in_number = true;
        }
        if next.is_some() {
            self.at += 1;
        }
    }
}
