//! `U&'d!0061t' UESCAPE '!'` and `U&"d\\0061t"`: strings and names written with the numbers of their characters.
//!
//! The crate's tokenizer knows such strings with a backslash alone, and no such names.

use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use super::desugar::{is_space, is_word};
use super::tokens::Text;
use crate::error::Error;

/// Decodes names, and strings that have an escape character of their own. Errors: 42601 for an escape that is none.
pub(super) fn decode(tokens: &mut [TokenWithSpan], text: &Text<'_>) -> Result<(), Error> {
    let place = |token: &TokenWithSpan| (token.span.start.column as usize, token.span.end.column as usize);
    for index in 0..tokens.len() {
        let (quote, body) = match &tokens[index].token {
            Token::UnicodeStringLiteral(_) => ('\'', index),
            // Three tokens without a blank between: U, & and the name.
            token if is_word(Some(token), "u") && is_name(tokens, index) => ('"', index + 2),
            _ => continue,
        };
        let escape = escape_behind(tokens, body)?;
        if quote == '\'' && escape.is_none() {
            continue;
        }
        let (start, end) = (place(&tokens[index]).0, place(&tokens[body]).1);
        let written = text.slice(start, end);
        let inside = written.split_once(quote).and_then(|(_, rest)| rest.strip_suffix(quote)).unwrap_or_default();
        let escaping = escape.map_or('\\', |(escape, ..)| escape);
        let decoded = unescape(&inside.replace(&format!("{quote}{quote}"), &quote.to_string()), escaping)
            .ok_or_else(|| Error::new("42601", "invalid Unicode escape").at(start))?;
        tokens[body].token = match quote {
            '"' => Token::make_word(&decoded, Some('"')),
            _ => Token::SingleQuotedString(decoded),
        };
        let end = tokens[body].span.end;
        tokens[body].span = tokens[index].span;
        tokens[body].span.end = end;
        let blank = (index..body).chain(escape.into_iter().flat_map(|(_, word, string)| [word, string]));
        blank.for_each(|index| tokens[index].token = Token::Whitespace(Whitespace::Space));
    }
    Ok(())
}

fn is_name(tokens: &[TokenWithSpan], index: usize) -> bool {
    let [first, ampersand, name] = [0, 1, 2].map(|further| tokens.get(index + further));
    let touches = |left: Option<&TokenWithSpan>, right: Option<&TokenWithSpan>| match (left, right) {
        (Some(left), Some(right)) => left.span.end == right.span.start,
        _ => false,
    };
    touches(first, ampersand)
        && touches(ampersand, name)
        && ampersand.is_some_and(|token| token.token == Token::Ampersand)
        && name.is_some_and(|name| matches!(&name.token, Token::Word(word) if word.quote_style == Some('"')))
}

/// The character that UESCAPE names behind the token at `body`, and the places of the word and of the string.
fn escape_behind(tokens: &[TokenWithSpan], body: usize) -> Result<Option<(char, usize, usize)>, Error> {
    let mut behind = (body + 1..tokens.len()).filter(|index| !is_space(&tokens[*index]));
    let Some(word) = behind.next().filter(|index| is_word(Some(&tokens[*index].token), "uescape")) else {
        return Ok(None);
    };
    let wrong = |index: usize| {
        let place = tokens[index].span.start.column as usize;
        Error::new("42601", "UESCAPE must be followed by a simple string literal of one character").at(place)
    };
    let string = behind.next().ok_or_else(|| wrong(word))?;
    let Token::SingleQuotedString(escape) = &tokens[string].token else { return Err(wrong(string)) };
    let mut characters = escape.chars();
    match (characters.next(), characters.next()) {
        (Some(escape), None) if !escape.is_ascii_hexdigit() && !"+'\" \t\n".contains(escape) => {
            Ok(Some((escape, word, string)))
        }
        _ => Err(wrong(string)),
    }
}

/// None if an escape stands for no character.
fn unescape(text: &str, escape: char) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut high: Option<u32> = None;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != escape {
            if high.is_some() {
                return None;
            }
            out.push(character);
            continue;
        }
        let digits = match rest.clone().next()? {
            next if next == escape => {
                rest.next();
                if high.is_some() {
                    return None;
                }
                out.push(escape);
                continue;
            }
            '+' => {
                rest.next();
                6
            }
            _ => 4,
        };
        let number: String = rest.by_ref().take(digits).collect();
        if number.len() != digits {
            return None;
        }
        let number = u32::from_str_radix(&number, 16).ok()?;
        // Two surrogates make one character.
        match (high.take(), number) {
            (None, 0xD800..=0xDBFF) => high = Some(number),
            (None, 0) => return None,
            (None, _) => out.push(char::from_u32(number)?),
            (Some(high), 0xDC00..=0xDFFF) => {
                out.push(char::from_u32(0x10000 + ((high - 0xD800) << 10) + (number - 0xDC00))?);
            }
            (Some(_), _) => return None,
        }
    }
    high.is_none().then_some(out)
}
