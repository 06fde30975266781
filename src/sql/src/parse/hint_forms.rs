//! `OPTIONS (AGGREGATE INPUT GROUP SIZE = 10)`, for which the `sqlparser` crate has no grammar (decision record 0001).
//!
//! It becomes a window, `WINDOW "options aggregate input group size = 10" AS ()`, and stands where windows do: before ORDER
//! BY, LIMIT, OFFSET and FETCH, wherever it was written.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use super::desugar::{is_space, is_word, keyword};

/// How the names of windows begin that stand for the options of a SELECT.
pub(crate) const HINTS: &str = "options ";

/// The first two words of each option.
const OPTIONS: [(&str, &str); 4] =
    [("aggregate", "input"), ("distinct", "on"), ("limit", "input"), ("expected", "group")];

/// Rewrites all options.
pub(super) fn rewrite(tokens: &mut Vec<TokenWithSpan>) {
    let mut from = 0;
    while let Some(place) = find(tokens, from) {
        from = replace(tokens, place);
    }
}

/// The next OPTIONS and the bracket that closes it.
fn find(tokens: &[TokenWithSpan], from: usize) -> Option<(usize, usize)> {
    (from..tokens.len()).find_map(|index| {
        if !is_word(Some(&tokens[index].token), "options") {
            return None;
        }
        let mut behind = (index + 1..tokens.len()).filter(|index| !is_space(&tokens[*index]));
        let (open, first, second) = (behind.next()?, behind.next()?, behind.next()?);
        let word = |index: usize, word: &str| is_word(Some(&tokens[index].token), word);
        let known = OPTIONS.iter().any(|(one, two)| word(first, one) && word(second, two));
        if tokens[open].token != Token::LParen || !known {
            return None;
        }
        let close = (open..tokens.len()).find(|index| tokens[*index].token == Token::RParen)?;
        Some((index, close))
    })
}

/// Returns where to look on.
fn replace(tokens: &mut Vec<TokenWithSpan>, (start, close): (usize, usize)) -> usize {
    let span = tokens[start].span;
    let removed: Vec<TokenWithSpan> = tokens.splice(start..=close, []).collect();
    let words = removed.iter().filter(|token| !is_space(token)).map(|token| token.token.to_string().to_lowercase());
    // Without OPTIONS and the brackets.
    let words: Vec<String> = words.collect();
    let name = format!("{HINTS}{}", words[2..words.len() - 1].join(" "));
    let (at, behind_windows) = place(tokens, start);
    let mut window = vec![Token::Whitespace(Whitespace::Space)];
    window.push(if behind_windows { Token::Comma } else { Token::make_keyword("WINDOW") });
    window.extend([
        Token::Whitespace(Whitespace::Space),
        Token::make_word(&name, Some('"')),
        Token::make_keyword("AS"),
        Token::LParen,
        Token::RParen,
        Token::Whitespace(Whitespace::Space),
    ]);
    let count = window.len();
    tokens.splice(at..at, window.into_iter().map(|token| TokenWithSpan { token, span }));
    start.max(at) + count
}

/// Where the windows of the SELECT before `end` stand, and whether it has any.
fn place(tokens: &[TokenWithSpan], end: usize) -> (usize, bool) {
    let (mut depth, mut at) = (0, end);
    for index in (0..end).rev() {
        match &tokens[index].token {
            Token::RParen => depth += 1,
            Token::LParen => {
                depth -= 1;
                if depth < 0 {
                    break;
                }
            }
            token if depth == 0 => match keyword(token) {
                Some(Keyword::ORDER | Keyword::LIMIT | Keyword::OFFSET | Keyword::FETCH) => at = index,
                Some(Keyword::WINDOW) => return (at, true),
                Some(Keyword::SELECT | Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT) => break,
                _ => {}
            },
            _ => {}
        }
    }
    (at, false)
}
