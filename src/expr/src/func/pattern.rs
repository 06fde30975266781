//! LIKE and ILIKE.
//!
//! The matcher keeps one position to go back to, that of the last `%`: an earlier one need never be revisited, because the
//! last one can take whatever the earlier would have. So a match costs at most text × pattern steps.

use repr::{Arena, Datum};

use super::ArgType::{Bool, Text};
use super::{FuncDef, Value, function, operator, text};
use crate::error::EvalError;

pub(super) static TABLE: &[FuncDef] = &[
    operator("like", "~~", &[Text, Text], Bool, |a, _, _| like(a, false, true), "LIKE.").fallible(),
    operator("not_like", "!~~", &[Text, Text], Bool, |a, _, _| like(a, false, false), "NOT LIKE.").fallible(),
    operator("ilike", "~~*", &[Text, Text], Bool, |a, _, _| like(a, true, true), "ILIKE.").fallible(),
    operator("not_ilike", "!~~*", &[Text, Text], Bool, |a, _, _| like(a, true, false), "NOT ILIKE.").fallible(),
    function(
        "like_escape",
        "like_escape",
        &[Text, Text],
        Text,
        |a, _, arena| like_escape(a[0].unwrap_text(), a[1].unwrap_text(), arena),
        "A LIKE pattern with another escape character, rewritten to the backslash.",
    )
    .fallible(),
];

fn like<'a>(args: &[Datum<'_>], ignore_case: bool, wanted: bool) -> Value<'a> {
    let (value, pattern) = (args[0].unwrap_text(), args[1].unwrap_text());
    let matched =
        if ignore_case { matches(&value.to_lowercase(), &pattern.to_lowercase())? } else { matches(value, pattern)? };
    Ok(Datum::Bool(matched == wanted))
}

fn trailing_escape() -> EvalError {
    EvalError::new("22025", "LIKE pattern must not end with escape character")
}

/// Matches all of `value`. Errors: a pattern that ends in a lone backslash, when the match gets there.
pub(crate) fn matches(value: &str, pattern: &str) -> Result<bool, EvalError> {
    let (mut value, mut pattern) = (value, pattern);
    // The value and the pattern behind the last `%`; there the value may give up one more character.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        let mut behind = pattern.chars();
        let step = match behind.next() {
            Some('%') => {
                retry = Some((value, behind.as_str()));
                Some((value, behind.as_str()))
            }
            Some('_') => {
                let mut rest = value.chars();
                rest.next().map(|_| (rest.as_str(), behind.as_str()))
            }
            Some('\\') => {
                let literal = behind.next().ok_or_else(trailing_escape)?;
                value.strip_prefix(literal).map(|rest| (rest, behind.as_str()))
            }
            Some(literal) => value.strip_prefix(literal).map(|rest| (rest, behind.as_str())),
            None if value.is_empty() => return Ok(true),
            None => None,
        };
        match (step, retry) {
            (Some((rest, behind)), _) => (value, pattern) = (rest, behind),
            (None, None) => return Ok(false),
            (None, Some((from, behind))) => {
                let mut rest = from.chars();
                if rest.next().is_none() {
                    return Ok(false);
                }
                retry = Some((rest.as_str(), behind));
                (value, pattern) = (rest.as_str(), behind);
            }
        }
    }
}

fn like_escape<'a>(pattern: &'a str, escape: &str, arena: &'a Arena) -> Value<'a> {
    let mut characters = escape.chars();
    let escape = characters.next();
    if characters.next().is_some() {
        let error = EvalError::new("22025", "invalid escape string");
        return Err(error.with_hint("Escape string must be empty or one character."));
    }
    if escape == Some('\\') {
        return Ok(Datum::Text(pattern));
    }
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        if Some(character) == escape {
            out.push('\\');
            out.extend(rest.next());
        } else if character == '\\' {
            out.push_str("\\\\");
        } else {
            out.push(character);
        }
    }
    text(&out, arena)
}
