//! Names and Unicode: identifiers apart, escapes, normal forms.

use repr::{Arena, Datum};
use unicode_normalization::{UnicodeNormalization, is_nfc, is_nfd, is_nfkc, is_nfkd};

use super::ArgType::{Bool, Text, TextArray};
use super::array::text_array;
use super::{FuncDef, Value, function, internal, invalid_parameter, text};
use crate::error::EvalError;

pub(super) static TABLE: &[FuncDef] = &[
    function(
        "parse_ident",
        "parse_ident",
        &[Text],
        TextArray,
        |a, _, arena| parse_ident(a[0].unwrap_text(), true, arena),
        "The parts of a qualified name.",
    )
    .fallible(),
    function(
        "parse_ident_strict",
        "parse_ident",
        &[Text, Bool],
        TextArray,
        |a, _, arena| parse_ident(a[0].unwrap_text(), a[1].unwrap_bool(), arena),
        "The parts of a qualified name; with false, whatever stands behind it.",
    )
    .fallible(),
    function(
        "unistr",
        "unistr",
        &[Text],
        Text,
        |a, _, arena| text(&unescaped(a[0].unwrap_text())?, arena),
        "With Unicode escapes replaced by their characters.",
    )
    .fallible(),
    function(
        "normalize",
        "normalize",
        &[Text],
        Text,
        |a, _, arena| normalized(a[0].unwrap_text(), "NFC", arena),
        "In the Unicode normal form NFC.",
    )
    .fallible(),
    function(
        "normalize_form",
        "normalize",
        &[Text, Text],
        Text,
        |a, _, arena| normalized(a[0].unwrap_text(), a[1].unwrap_text(), arena),
        "In a Unicode normal form: NFC, NFD, NFKC or NFKD.",
    )
    .fallible(),
    internal(
        "is_normalized",
        &[Text, Text],
        Bool,
        |a, _, _| is_normalized(a[0].unwrap_text(), a[1].unwrap_text()),
        "True in a Unicode normal form.",
    )
    .fallible(),
];

fn parse_ident<'a>(name: &str, strict: bool, arena: &'a Arena) -> Value<'a> {
    let invalid = || invalid_parameter(format!("string is not a valid identifier: \"{name}\""));
    let mut parts: Vec<String> = Vec::new();
    let mut rest = name.trim_start();
    let mut behind_dot = false;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut characters = quoted.char_indices().peekable();
            let end = loop {
                match characters.next() {
                    None => return Err(invalid().with_detail("String has unclosed double quotes.")),
                    Some((_, '"')) if characters.next_if(|(_, next)| *next == '"').is_some() => part.push('"'),
                    Some((index, '"')) => break index + 1,
                    Some((_, other)) => part.push(other),
                }
            };
            if part.is_empty() {
                return Err(invalid().with_detail("Quoted identifier must not be empty."));
            }
            parts.push(part);
            rest = &quoted[end..];
        } else {
            let starts = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
            if !rest.starts_with(starts) {
                return Err(match (behind_dot, rest.starts_with('.')) {
                    (_, true) => invalid().with_detail("No valid identifier before \".\"."),
                    (true, _) => invalid().with_detail("No valid identifier after \".\"."),
                    _ => invalid(),
                });
            }
            let end = rest.find(|c: char| !starts(c) && !c.is_ascii_digit() && c != '$').unwrap_or(rest.len());
            parts.push(rest[..end].to_lowercase());
            rest = &rest[end..];
        }
        let behind = rest.trim_start();
        match behind.strip_prefix('.') {
            Some(next) => {
                behind_dot = true;
                rest = next.trim_start();
            }
            None if behind.is_empty() || !strict => break,
            None => return Err(invalid()),
        }
    }
    let parts: Vec<Datum<'_>> = parts.iter().map(|part| Datum::Text(part)).collect();
    Ok(text_array(&parts, arena))
}

fn unescaped(value: &str) -> Result<String, EvalError> {
    let invalid = || {
        EvalError::new("42601", "invalid Unicode escape")
            .with_hint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.")
    };
    let pair = || EvalError::new("42601", "invalid Unicode surrogate pair");
    let mut out = String::new();
    let mut high: Option<u32> = None;
    let mut rest = value;
    while let Some(character) = rest.chars().next() {
        let escape = rest.strip_prefix('\\');
        let Some(escape) = escape.filter(|escape| !escape.starts_with('\\')) else {
            if high.is_some() {
                return Err(pair());
            }
            out.push(character);
            rest = &rest[if character == '\\' { 2 } else { character.len_utf8() }..];
            continue;
        };
        let (skipped, digits) = match escape.bytes().next() {
            Some(b'+') => (1, 6),
            Some(b'u') => (1, 4),
            Some(b'U') => (1, 8),
            _ => (0, 4),
        };
        let shown = escape.get(skipped..skipped + digits).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let shown = shown.ok_or_else(invalid)?;
        let code = u32::from_str_radix(shown, 16).map_err(|_| invalid())?;
        rest = &escape[skipped + digits..];
        let code = match (high.take(), code) {
            (Some(first), 0xDC00..0xE000) => 0x1_0000 + ((first - 0xD800) << 10) + (code - 0xDC00),
            (Some(_), _) | (None, 0xDC00..0xE000) => return Err(pair()),
            (None, 0xD800..0xDC00) => {
                high = Some(code);
                continue;
            }
            (None, code) => code,
        };
        let decoded = char::from_u32(code).filter(|decoded| *decoded != '\0');
        out.push(decoded.ok_or_else(|| EvalError::new("22023", format!("invalid Unicode code point: {code:04X}")))?);
    }
    if high.is_some() { Err(pair()) } else { Ok(out) }
}

fn unknown_form(form: &str) -> EvalError {
    invalid_parameter(format!("invalid normalization form: {form}"))
}

fn normalized<'a>(value: &str, form: &str, arena: &'a Arena) -> Value<'a> {
    let normal: String = match form.to_ascii_uppercase().as_str() {
        "NFC" => value.nfc().collect(),
        "NFD" => value.nfd().collect(),
        "NFKC" => value.nfkc().collect(),
        "NFKD" => value.nfkd().collect(),
        _ => return Err(unknown_form(form)),
    };
    text(&normal, arena)
}

fn is_normalized<'a>(value: &str, form: &str) -> Value<'a> {
    Ok(Datum::Bool(match form.to_ascii_uppercase().as_str() {
        "NFC" => is_nfc(value),
        "NFD" => is_nfd(value),
        "NFKC" => is_nfkc(value),
        "NFKD" => is_nfkd(value),
        _ => return Err(unknown_form(form)),
    }))
}
