//! Ranges: `[1,5)`, `("a b",)`, `empty`.

use super::composite::put_doubling;
use super::scalar::is_space;
use super::{FormatContext, format_in, parse_in};
use crate::composite::ListRef;
use crate::error::{ParseError, ParseErrorKind};
use crate::range::{Bound, Range, RangeType};
use crate::{Arena, Datum, Kind};

pub(super) fn parse_range<'a>(
    text: &str,
    typ: RangeType,
    context: &FormatContext,
    arena: &'a Arena,
) -> Result<Datum<'a>, ParseError> {
    let malformed = |detail: &str| {
        ParseError::new(ParseErrorKind::InvalidText, format!("malformed range literal: \"{text}\"")).with_detail(detail)
    };
    let trimmed = text.trim_start_matches(is_space);
    if trimmed.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("empty")) {
        return match trimmed[5..].trim_start_matches(is_space) {
            "" => Ok(Range::Empty.pack(typ)?.unpack_first_in(Kind::List, arena)),
            _ => Err(malformed("Junk after \"empty\" key word.")),
        };
    }
    let lower_inclusive = trimmed.starts_with('[');
    let rest = trimmed.strip_prefix(['[', '(']);
    let rest = rest.ok_or_else(|| malformed("Missing left parenthesis or bracket."))?;
    let end = || malformed("Unexpected end of input.");
    let (lower, rest) = bound(rest).ok_or_else(end)?;
    let rest = rest.strip_prefix(',').ok_or_else(|| malformed("Missing comma after lower bound."))?;
    let (upper, rest) = bound(rest).ok_or_else(end)?;
    let upper_inclusive = rest.starts_with(']');
    let rest = rest.strip_prefix([']', ')']).ok_or_else(|| malformed("Too many commas."))?;
    if !rest.trim_start_matches(is_space).is_empty() {
        return Err(malformed("Junk after right parenthesis or bracket."));
    }
    let element = typ.element();
    let value = |text: Option<String>, inclusive: bool| -> Result<Option<Bound<'a>>, ParseError> {
        let parsed = text.map(|text| parse_in(&text, &element, context, arena)).transpose()?;
        Ok(parsed.map(|value| Bound { value, inclusive }))
    };
    let (lower, upper) = (value(lower, lower_inclusive)?, value(upper, upper_inclusive)?);
    Ok(Range::Bounds { lower, upper }.pack(typ)?.unpack_first_in(Kind::List, arena))
}

/// A bound's text, none if there is no bound, and what follows it. None: the text ends too early.
fn bound(text: &str) -> Option<(Option<String>, &str)> {
    const ENDS: [char; 5] = [',', ')', ']', '(', '['];
    if text.starts_with([',', ')', ']']) {
        return Some((None, text));
    }
    let mut value = String::new();
    let mut is_quoted = false;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            _ if !is_quoted && ENDS.contains(&character) => return Some((Some(value), &text[at..])),
            '\\' => value.push(characters.next()?.1),
            '"' if is_quoted && characters.next_if(|(_, next)| *next == '"').is_some() => value.push('"'),
            '"' => is_quoted = !is_quoted,
            character => value.push(character),
        }
    }
    None
}

pub(super) fn format_range(list: ListRef<'_>, typ: RangeType, context: &FormatContext, out: &mut String) {
    let range = Range::unpack(list);
    if range == Range::Empty {
        out.push_str("empty");
        return;
    }
    let (lower, upper) = (range.lower(), range.upper());
    out.push(if lower.is_some_and(|bound| bound.inclusive) { '[' } else { '(' });
    put_bound(lower, typ, context, out);
    out.push(',');
    put_bound(upper, typ, context, out);
    out.push(if upper.is_some_and(|bound| bound.inclusive) { ']' } else { ')' });
}

fn put_bound(bound: Option<Bound<'_>>, typ: RangeType, context: &FormatContext, out: &mut String) {
    let Some(bound) = bound else { return };
    let mut text = String::new();
    format_in(bound.value, &typ.element(), context, &mut text);
    put_doubling(&text, &['(', ')', '[', ']', ','], out);
}
