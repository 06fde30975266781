//! The template of a number, as `to_char` and `to_number` read it: its patterns, and what they say of the whole.

use crate::error::EvalError;

/// A piece of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Pattern(Pattern),
    /// A character that stands for itself.
    Literal(char),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Comma,
    /// `.` and `D`
    Point,
    Zero,
    Nine,
    Group,
    Currency,
    Minus,
    Plus,
    /// `SG`: a sign wherever it stands.
    EitherSign,
    Roman(Case),
    Ordinal(Case),
    /// `S`: a sign before or behind the digits.
    Anchored,
    Bracket,
    Exponent,
    FillMode,
    /// `V`: what follows are digits by which the number is multiplied by ten.
    Shift,
    /// `B`, `C`, `SP`: known and without effect.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Upper,
    Lower,
}

/// Where the sign of `S` goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Anchor {
    #[default]
    Nowhere,
    Before,
    After,
}

/// A template with what its patterns add up to.
#[derive(Debug, Default)]
pub(super) struct Template {
    pub(super) nodes: Vec<Node>,
    /// Places of digits before and behind the point.
    pub(super) whole: usize,
    pub(super) fraction: usize,
    pub(super) anchor: Anchor,
    /// Places before the point that stood before `S`.
    pub(super) whole_before_anchor: usize,
    pub(super) has_zero: bool,
    /// The place of the first `0`, from 1, and that of the last digit that must be shown.
    pub(super) zero_start: usize,
    pub(super) zero_end: usize,
    pub(super) has_point: bool,
    pub(super) fill_mode: bool,
    pub(super) has_anchored: bool,
    pub(super) has_minus: bool,
    pub(super) has_plus: bool,
    pub(super) has_bracket: bool,
    pub(super) has_roman: bool,
    pub(super) has_shift: bool,
    /// Digits behind `V`.
    pub(super) shift: usize,
    pub(super) has_exponent: bool,
}

/// Patterns as they are written, each before those it starts with; also in lower case.
const PATTERNS: [(&str, Pattern); 20] = [
    (",", Pattern::Comma),
    (".", Pattern::Point),
    ("0", Pattern::Zero),
    ("9", Pattern::Nine),
    ("B", Pattern::Nothing),
    ("C", Pattern::Nothing),
    ("D", Pattern::Point),
    ("EEEE", Pattern::Exponent),
    ("FM", Pattern::FillMode),
    ("G", Pattern::Group),
    ("L", Pattern::Currency),
    ("MI", Pattern::Minus),
    ("PL", Pattern::Plus),
    ("PR", Pattern::Bracket),
    ("RN", Pattern::Roman(Case::Upper)),
    ("SG", Pattern::EitherSign),
    ("SP", Pattern::Nothing),
    ("S", Pattern::Anchored),
    ("TH", Pattern::Ordinal(Case::Upper)),
    ("V", Pattern::Shift),
];

/// The pattern at the front of a template, and its length. A pattern is in one case throughout.
fn pattern_at(rest: &str) -> Option<(Pattern, usize)> {
    PATTERNS.iter().find_map(|(name, pattern)| {
        if rest.starts_with(name) {
            return Some((*pattern, name.len()));
        }
        let front = rest.get(..name.len())?;
        let is_lower = front.bytes().all(|byte| byte.is_ascii_lowercase()) && front.eq_ignore_ascii_case(name);
        is_lower.then(|| {
            let pattern = match pattern {
                Pattern::Roman(_) => Pattern::Roman(Case::Lower),
                Pattern::Ordinal(_) => Pattern::Ordinal(Case::Lower),
                other => *other,
            };
            (pattern, name.len())
        })
    })
}

impl Template {
    /// Errors: 42601 for patterns that do not go together.
    pub(super) fn parse(format: &str) -> Result<Template, EvalError> {
        let mut template = Template::default();
        let mut rest = format;
        while let Some(character) = rest.chars().next() {
            if let Some((pattern, length)) = pattern_at(rest) {
                template.note(pattern)?;
                template.nodes.push(Node::Pattern(pattern));
                rest = &rest[length..];
            } else if character == '"' {
                rest = quoted(&rest[1..], |literal| template.nodes.push(Node::Literal(literal)));
            } else if rest.starts_with("\\\"") {
                template.nodes.push(Node::Literal('"'));
                rest = &rest[2..];
            } else {
                template.nodes.push(Node::Literal(character));
                rest = &rest[character.len_utf8()..];
            }
        }
        Ok(template)
    }

    fn note(&mut self, pattern: Pattern) -> Result<(), EvalError> {
        if self.has_exponent && pattern != Pattern::Exponent {
            return Err(syntax("\"EEEE\" must be the last pattern used"));
        }
        match pattern {
            Pattern::Nine | Pattern::Zero => return self.note_digit(pattern),
            Pattern::Point if self.has_point => return Err(syntax("multiple decimal points")),
            Pattern::Point if self.has_shift => {
                return Err(syntax("cannot use \"V\" and decimal point together"));
            }
            Pattern::Point => self.has_point = true,
            Pattern::FillMode => self.fill_mode = true,
            Pattern::Anchored => return self.note_anchored(),
            Pattern::Minus | Pattern::Plus | Pattern::EitherSign => return self.note_sign(pattern),
            Pattern::Bracket if self.has_anchored || self.has_plus || self.has_minus => {
                return Err(syntax("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together"));
            }
            Pattern::Bracket => self.has_bracket = true,
            Pattern::Roman(_) => self.has_roman = true,
            Pattern::Shift if self.has_point => {
                return Err(syntax("cannot use \"V\" and decimal point together"));
            }
            Pattern::Shift => self.has_shift = true,
            Pattern::Exponent => return self.note_exponent(),
            Pattern::Comma | Pattern::Group | Pattern::Currency | Pattern::Ordinal(_) | Pattern::Nothing => {}
        }
        Ok(())
    }

    fn note_digit(&mut self, pattern: Pattern) -> Result<(), EvalError> {
        let is_zero = pattern == Pattern::Zero;
        if self.has_bracket {
            let digit = if is_zero { '0' } else { '9' };
            return Err(syntax(format!("\"{digit}\" must be ahead of \"PR\"")));
        }
        if is_zero && !self.has_zero && !self.has_point {
            self.has_zero = true;
            self.zero_start = self.whole + 1;
        }
        match (self.has_shift && !is_zero, self.has_point) {
            (true, _) => self.shift += 1,
            (false, true) => self.fraction += 1,
            (false, false) => self.whole += 1,
        }
        if is_zero {
            self.zero_end = self.whole + self.fraction;
        }
        Ok(())
    }

    fn note_anchored(&mut self) -> Result<(), EvalError> {
        if self.has_anchored {
            return Err(syntax("cannot use \"S\" twice"));
        }
        if self.has_plus || self.has_minus || self.has_bracket {
            return Err(syntax("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
        }
        self.has_anchored = true;
        if self.has_point {
            self.anchor = Anchor::After;
        } else {
            self.anchor = Anchor::Before;
            self.whole_before_anchor = self.whole;
        }
        Ok(())
    }

    fn note_sign(&mut self, pattern: Pattern) -> Result<(), EvalError> {
        let name = match pattern {
            Pattern::Minus => "MI",
            Pattern::Plus => "PL",
            _ => "SG",
        };
        if self.has_anchored {
            return Err(syntax(format!("cannot use \"S\" and \"{name}\" together")));
        }
        self.has_minus |= pattern != Pattern::Plus;
        self.has_plus |= pattern != Pattern::Minus;
        Ok(())
    }

    fn note_exponent(&mut self) -> Result<(), EvalError> {
        if self.has_exponent {
            return Err(syntax("cannot use \"EEEE\" twice"));
        }
        let others = [
            self.fill_mode,
            self.has_anchored,
            self.has_bracket,
            self.has_minus,
            self.has_plus,
            self.has_roman,
            self.has_shift,
        ];
        if others.contains(&true) {
            return Err(syntax("\"EEEE\" is incompatible with other formats")
                .with_detail("\"EEEE\" may only be used together with digit and decimal point patterns."));
        }
        self.has_exponent = true;
        Ok(())
    }
}

fn syntax(message: impl Into<String>) -> EvalError {
    EvalError::new("42601", message)
}

/// Gives the characters up to the closing quote, a backslash before any taken off; returns what is behind the quote.
pub(super) fn quoted(format: &str, mut give: impl FnMut(char)) -> &str {
    let mut is_escaped = false;
    for (index, character) in format.char_indices() {
        match character {
            '"' if !is_escaped => return &format[index + 1..],
            '\\' if !is_escaped && format.len() > index + 1 => is_escaped = true,
            other => {
                give(other);
                is_escaped = false;
            }
        }
    }
    ""
}
