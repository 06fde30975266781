//! Forms of operands that the `sqlparser` crate has no grammar for, told to it as others (decision record 0001).
//!
//! | written | becomes | why |
//! |---|---|---|
//! | `(VALUES (1), (2))` in an expression | `(SELECT * FROM (VALUES (1), (2)))` | the crate takes it for a call of `values` |
//! | `(record).*` | `"all fields"(record)` | the crate takes the star for one of a call's arguments |
//! | `a ISNULL`, `a NOTNULL` | `a IS NULL`, `a IS NOT NULL` | the crate takes the words for an alias |
//! | `a NOT LIKE ALL (b)` | `a !~~ ALL (b)` | the crate knows ANY and ALL only behind operators |

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace, Word};

use super::desugar::{is_space, is_word, keyword};

/// The name of the function whose argument is a record that stands for all its fields.
pub(crate) const ALL_FIELDS: &str = "all fields";

/// Rewrites all forms.
pub(super) fn rewrite(tokens: &mut Vec<TokenWithSpan>) {
    let words: Vec<usize> = (0..tokens.len()).filter(|index| !is_space(&tokens[*index])).collect();
    let mut edits: Vec<(usize, usize, Vec<Token>)> = Vec::new();
    for at in 0..words.len() {
        let token = |at: usize| words.get(at).map(|index| &tokens[*index].token);
        let before = |back: usize| at.checked_sub(back).and_then(token);
        match token(at).and_then(keyword) {
            Some(Keyword::VALUES)
                if before(1) == Some(&Token::LParen)
                    && token(at + 1) == Some(&Token::LParen)
                    && starts_operand(before(2), before(3)) =>
            {
                let closing = closing(tokens, &words, at - 1);
                if let Some(closing) = closing {
                    let select =
                        [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM"), Token::LParen];
                    edits.push((words[at], words[at], select.to_vec()));
                    edits.push((words[closing], words[closing], vec![Token::RParen]));
                }
            }
            Some(word @ (Keyword::LIKE | Keyword::ILIKE))
                if ["any", "all", "some"].into_iter().any(|quantifier| is_word(token(at + 1), quantifier))
                    && token(at + 2) == Some(&Token::LParen) =>
            {
                let negated = before(1).and_then(keyword) == Some(Keyword::NOT);
                let operator = match (word, negated) {
                    (Keyword::LIKE, false) => Token::DoubleTilde,
                    (Keyword::LIKE, true) => Token::ExclamationMarkDoubleTilde,
                    (_, false) => Token::DoubleTildeAsterisk,
                    (_, true) => Token::ExclamationMarkDoubleTildeAsterisk,
                };
                let first = if negated { at - 1 } else { at };
                edits.push((words[first], words[at] + 1, vec![operator]));
            }
            _ if is_null_test(token(at)) && ends_operand(before(1)) => {
                let negated = is_word(token(at), "notnull").then(|| Token::make_keyword("NOT"));
                let test = [Token::make_keyword("IS")].into_iter().chain(negated);
                edits.push((words[at], words[at] + 1, test.chain([Token::make_keyword("NULL")]).collect()));
            }
            _ if token(at) == Some(&Token::Mul)
                && before(1) == Some(&Token::Period)
                && before(2) == Some(&Token::RParen) =>
            {
                if let Some(opening) = opening(tokens, &words, at - 2)
                    && !matches!(opening.checked_sub(1).and_then(token), Some(Token::Word(word)) if is_called(word))
                {
                    edits.push((words[opening], words[opening], vec![Token::make_word(ALL_FIELDS, Some('"'))]));
                    edits.push((words[at - 1], words[at] + 1, vec![Token::Whitespace(Whitespace::Space)]));
                }
            }
            _ => {}
        }
    }
    edits.sort_by_key(|(from, ..)| *from);
    for (from, to, replacement) in edits.into_iter().rev() {
        let span = tokens[from].span;
        tokens.splice(from..to, replacement.into_iter().map(|token| TokenWithSpan { token, span }));
    }
}

fn is_null_test(token: Option<&Token>) -> bool {
    is_word(token, "isnull") || is_word(token, "notnull")
}

/// True for a token behind which the test of an operand may stand; behind AS and a point a name does.
fn ends_operand(before: Option<&Token>) -> bool {
    match before {
        Some(Token::Word(word)) => word.quote_style.is_some() || word.keyword != Keyword::AS,
        Some(token) => matches!(
            token,
            Token::RParen | Token::RBracket | Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_)
        ),
        None => false,
    }
}

/// True where a bracket is that of an operand, by the tokens before it.
fn starts_operand(before: Option<&Token>, further: Option<&Token>) -> bool {
    match before {
        None | Some(Token::RParen) => false,
        Some(Token::Word(word)) => match word.keyword {
            // UNION ALL (VALUES ...) is a query.
            Keyword::ALL => !matches!(
                further.and_then(keyword),
                Some(Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::SELECT)
            ),
            _ => matches!(
                word.keyword,
                Keyword::SELECT
                    | Keyword::DISTINCT
                    | Keyword::CASE
                    | Keyword::WHEN
                    | Keyword::THEN
                    | Keyword::ELSE
                    | Keyword::WHERE
                    | Keyword::ON
                    | Keyword::HAVING
                    | Keyword::AND
                    | Keyword::OR
                    | Keyword::NOT
                    | Keyword::ANY
                    | Keyword::SOME
                    | Keyword::ARRAY
                    | Keyword::LIKE
                    | Keyword::ILIKE
                    | Keyword::BETWEEN
                    | Keyword::LIMIT
                    | Keyword::OFFSET
                    | Keyword::BY
                    | Keyword::RETURNING
            ),
        },
        Some(_) => true,
    }
}

/// True for a word before a bracket whose call that is.
fn is_called(word: &Word) -> bool {
    word.quote_style.is_some()
        || !matches!(word.keyword, Keyword::SELECT | Keyword::DISTINCT | Keyword::ALL | Keyword::RETURNING)
}

/// The place among the words of the bracket that the one at `close` closes.
fn opening(tokens: &[TokenWithSpan], words: &[usize], close: usize) -> Option<usize> {
    let mut depth = 0;
    (0..=close).rev().find(|at| {
        match tokens[words[*at]].token {
            Token::RParen => depth += 1,
            Token::LParen => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// The place among the words of the bracket that closes the one at `open`.
fn closing(tokens: &[TokenWithSpan], words: &[usize], open: usize) -> Option<usize> {
    let mut depth = 0;
    (open..words.len()).find(|at| {
        match tokens[words[*at]].token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}
