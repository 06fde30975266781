//! The way back: what the rewrites of the token stream put in, in the words that the user wrote.
//!
//! A definition is kept as the parser's tree prints it, with the names that stand for forms the `sqlparser` crate has no
//! grammar for. Where a user reads it, they are replaced by the forms.

use std::borrow::Cow;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::desugar::is_space;
use super::dialect::FreshetDialect;
use super::hint_forms::HINTS;
use super::operand_forms::ALL_FIELDS;
use super::query_forms::{GROUPING_SETS, MUTUALLY_RECURSIVE, ROWS_FROM, exclusion_words};
use super::tokens::Text;
use crate::names::COMPOSITE_TYPE;
use crate::position;

/// `sql` as a user would write it. Reading either gives the same tree.
pub fn as_written(sql: &str) -> Cow<'_, str> {
    let hints = format!("\"{HINTS}");
    let markers = [MUTUALLY_RECURSIVE, ROWS_FROM, GROUPING_SETS, "\"exclude ", COMPOSITE_TYPE, ALL_FIELDS, &hints];
    if !markers.iter().any(|marker| sql.contains(marker)) {
        return Cow::Borrowed(sql);
    }
    let Ok(text) = Text::new(sql) else { return Cow::Borrowed(sql) };
    let mut tokens = Vec::new();
    if Tokenizer::new(&FreshetDialect, sql).tokenize_with_location_into_buf(&mut tokens).is_err() {
        return Cow::Borrowed(sql);
    }
    position::absolute(&mut tokens, sql);
    tokens.retain(|token| !is_space(token));
    let mut edits = edits(&tokens);
    edits.sort_by_key(|edit| edit.from);
    let (mut out, mut place) = (String::with_capacity(sql.len()), 1);
    for Edit { from, to, text: replacement } in edits {
        out.push_str(text.slice(place, from));
        out.push_str(&replacement);
        place = to;
    }
    out.push_str(text.slice(place, text.end()));
    Cow::Owned(out)
}

/// The characters from one place up to another, exclusive, to be replaced.
struct Edit {
    from: usize,
    to: usize,
    text: String,
}

fn edits(tokens: &[TokenWithSpan]) -> Vec<Edit> {
    let mut edits = Vec::new();
    // Of each open bracket: the words of EXCLUDE that belong before its end.
    let mut open: Vec<Option<&'static [&'static str]>> = Vec::new();
    let start = |at: usize| tokens[at].span.start.column as usize;
    let end = |at: usize| tokens[at].span.end.column as usize;
    let token = |at: usize| tokens.get(at).map(|token| &token.token);
    let replace = |from: usize, to: usize, text: &str| Edit { from: start(from), to: end(to), text: text.to_owned() };
    for at in 0..tokens.len() {
        match &tokens[at].token {
            Token::LParen => open.push(None),
            Token::RParen => {
                if let Some(words) = open.pop().flatten() {
                    let text = format!(" EXCLUDE {}", words.join(" ").to_uppercase());
                    edits.push(Edit { from: start(at), to: start(at), text });
                }
            }
            Token::Word(word) if word.keyword == Keyword::RECURSIVE && is_quoted(token(at + 1), MUTUALLY_RECURSIVE) => {
                // RECURSIVE "mutually recursive" AS ( SELECT 'options' ) ,
                if let Some(Token::SingleQuotedString(options)) = token(at + 5) {
                    let options =
                        if options.is_empty() { String::new() } else { format!(" ({})", options.to_uppercase()) };
                    edits.push(replace(at, at + 7, &format!("MUTUALLY RECURSIVE{options}")));
                }
            }
            Token::Word(word) if word.keyword == Keyword::PARTITION => {
                let Some(Token::Word(marker)) = token(at + 2) else { continue };
                let exclusion = exclusion_words(&marker.value).filter(|_| marker.quote_style == Some('"'));
                if let (Some(words), Some(bracket)) = (exclusion, open.last_mut()) {
                    *bracket = Some(words);
                    edits.push(match token(at + 3) {
                        Some(Token::Comma) => replace(at + 2, at + 3, ""),
                        _ => replace(at, at + 2, ""),
                    });
                }
            }
            Token::Word(word) if word.quote_style == Some('"') && word.value.starts_with(HINTS) && at > 0 => {
                // WINDOW "options ..." AS ( ), or behind another window and a comma.
                let text = format!("OPTIONS ({})", word.value[HINTS.len()..].to_uppercase());
                match token(at - 1) {
                    Some(Token::Word(word)) if word.keyword == Keyword::WINDOW => {
                        edits.push(replace(at - 1, at + 3, &text));
                    }
                    Some(Token::Comma) => edits.push(replace(at - 1, at + 3, &format!(" {text}"))),
                    _ => {}
                }
            }
            Token::Word(_) if token(at + 1) == Some(&Token::LParen) => edits.extend(of_call(tokens, at, &replace)),
            _ => {}
        }
    }
    edits
}

/// The edits of the marker at `at` that is called like a function.
fn of_call(tokens: &[TokenWithSpan], at: usize, replace: &dyn Fn(usize, usize, &str) -> Edit) -> Vec<Edit> {
    let Token::Word(word) = &tokens[at].token else { return Vec::new() };
    if is_quoted(Some(&tokens[at].token), ROWS_FROM) {
        return vec![replace(at, at, "ROWS FROM ")];
    }
    if is_quoted(Some(&tokens[at].token), ALL_FIELDS) {
        let star = closing(tokens, at + 1).map(|close| replace(close, close, ").*"));
        return std::iter::once(replace(at, at, "")).chain(star).collect();
    }
    if is_quoted(Some(&tokens[at].token), GROUPING_SETS) {
        // The tree has it as a set of one expression, which is printed in brackets.
        let close = closing(tokens, at + 1);
        return match close.filter(|close| at > 0 && is_bracketed(tokens, at - 1, close + 1)) {
            Some(close) => vec![replace(at - 1, at, "GROUPING SETS "), replace(close + 1, close + 1, "")],
            None => vec![replace(at, at, "GROUPING SETS ")],
        };
    }
    match tokens.get(at + 2).map(|token| &token.token) {
        Some(Token::Word(name)) if word.value == COMPOSITE_TYPE => vec![replace(at, at + 3, &name.value)],
        _ => Vec::new(),
    }
}

/// The place of the bracket that closes the one at `open`.
fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0;
    (open..tokens.len()).find(|at| {
        depth += i32::from(tokens[*at].token == Token::LParen) - i32::from(tokens[*at].token == Token::RParen);
        depth == 0
    })
}

fn is_bracketed(tokens: &[TokenWithSpan], open: usize, close: usize) -> bool {
    tokens[open].token == Token::LParen && tokens.get(close).is_some_and(|token| token.token == Token::RParen)
}

fn is_quoted(token: Option<&Token>, name: &str) -> bool {
    matches!(token, Some(Token::Word(word)) if word.quote_style == Some('"') && word.value == name)
}
