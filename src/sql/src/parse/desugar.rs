//! Rewrites of the token stream where the grammar of the `sqlparser` crate ends inside queries (decision record 0001).
//!
//! Forms that need more than other words are rewritten by `query_forms`. Each rewrite keeps the places of the tokens it replaces, so that errors point into the user's text.
//!
//! | written | becomes | why |
//! |---|---|---|
//! | `TABLE t` as a query | `SELECT * FROM t` | the crate's node for it keeps neither quotes nor places nor a database |
//! | `?`, `?|`, `?&` | the tokens of these operators | the crate's tokenizer takes `?` for a parameter unless it may also take points and circles |
//! | `trim(leading FROM s)` | `trim(leading s)` | the crate expects characters before FROM |
//! | `current_role` | `current_user` | the crate takes only the other names for it without brackets |
//! | `q AS OF e` | `q EOF OF e` | the crate would read `OF` as an alias; at the EOF it stops, and the statement reads on |

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use super::query_forms;

/// Applies all rewrites.
pub(crate) fn desugar(tokens: &mut Vec<TokenWithSpan>) {
    question_marks(tokens);
    query_forms::rewrite(tokens);
    let words: Vec<usize> = (0..tokens.len()).filter(|index| !is_space(&tokens[*index])).collect();
    let mut tables = Vec::new();
    for (at, &index) in words.iter().enumerate() {
        let token = |at: usize| words.get(at).map(|index| &tokens[*index].token);
        match keyword(&tokens[index].token) {
            Some(Keyword::TABLE)
                if starts_query(at.checked_sub(1).and_then(token)) && token(at + 1).is_some_and(is_name) =>
            {
                tables.push(index);
            }
            Some(Keyword::AS) if is_word(token(at + 1), "of") && token(at + 2).is_some_and(starts_expression) => {
                tokens[index].token = Token::EOF;
            }
            Some(Keyword::FROM) if opens_trim(&|back| at.checked_sub(back).and_then(token)) => {
                tokens[index].token = Token::Whitespace(Whitespace::Space);
            }
            Some(Keyword::CURRENT_ROLE) if is_plain_call(at.checked_sub(1).and_then(token), token(at + 1)) => {
                tokens[index].token = Token::make_keyword("CURRENT_USER");
            }
            _ => {}
        }
    }
    for index in tables.into_iter().rev() {
        let span = tokens[index].span;
        let replacement = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
        tokens.splice(index..=index, replacement.map(|token| TokenWithSpan { token, span }));
    }
}

/// The jsonb operators that start with a question mark.
fn question_marks(tokens: &mut [TokenWithSpan]) {
    for index in 0..tokens.len() {
        if tokens[index].token != Token::Placeholder("?".to_owned()) {
            continue;
        }
        let operator = match tokens.get(index + 1).map(|next| &next.token) {
            Some(Token::Pipe) => Some(Token::QuestionPipe),
            Some(Token::Ampersand) => Some(Token::QuestionAnd),
            _ => None,
        };
        if operator.is_some() {
            tokens[index + 1].token = Token::Whitespace(Whitespace::Space);
        }
        tokens[index].token = operator.unwrap_or(Token::Question);
    }
}

/// True behind `trim(` and `trim(leading`; `before(n)` is the token `n` words back.
fn opens_trim<'a>(before: &dyn Fn(usize) -> Option<&'a Token>) -> bool {
    let side = ["leading", "trailing", "both"].into_iter().any(|side| is_word(before(1), side));
    let open = if side { 2 } else { 1 };
    before(open) == Some(&Token::LParen) && is_word(before(open + 1), "trim")
}

/// True for a word that stands alone: neither part of a longer name nor in front of a bracket.
fn is_plain_call(before: Option<&Token>, after: Option<&Token>) -> bool {
    before != Some(&Token::Period) && !matches!(after, Some(Token::Period | Token::LParen))
}

pub(super) fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

pub(super) fn keyword(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(word) => Some(word.keyword),
        _ => None,
    }
}

pub(super) fn is_word(token: Option<&Token>, text: &str) -> bool {
    matches!(token, Some(Token::Word(word)) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

/// True behind the start of a statement, a bracket, a set operator and the words that precede a query.
fn starts_query(before: Option<&Token>) -> bool {
    match before {
        None | Some(Token::LParen | Token::RParen) => true,
        Some(token) => matches!(
            keyword(token),
            Some(
                Keyword::UNION
                    | Keyword::EXCEPT
                    | Keyword::INTERSECT
                    | Keyword::ALL
                    | Keyword::DISTINCT
                    | Keyword::AS
                    | Keyword::FOR
                    | Keyword::EXPLAIN
            )
        ),
    }
}

fn is_name(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_some() || !matches!(word.keyword, Keyword::AS | Keyword::IS))
}

/// False for what can follow an alias named `of`.
fn starts_expression(token: &Token) -> bool {
    match token {
        Token::Word(word) => !matches!(
            word.keyword,
            Keyword::FROM
                | Keyword::WHERE
                | Keyword::GROUP
                | Keyword::HAVING
                | Keyword::ORDER
                | Keyword::LIMIT
                | Keyword::OFFSET
                | Keyword::FETCH
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::ON
                | Keyword::USING
                | Keyword::JOIN
                | Keyword::INNER
                | Keyword::LEFT
                | Keyword::RIGHT
                | Keyword::FULL
                | Keyword::CROSS
                | Keyword::NATURAL
                | Keyword::INTO
                | Keyword::WINDOW
                | Keyword::RETURNING
                | Keyword::AS
        ),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::Placeholder(_)
        | Token::LParen
        | Token::Minus
        | Token::Plus => true,
        _ => false,
    }
}
