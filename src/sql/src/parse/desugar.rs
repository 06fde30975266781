//! Rewrites of the token stream where the grammar of the `sqlparser` crate ends inside queries (decision record 0001).
//!
//! Forms that need more than other words are rewritten by `query_forms`, `operand_forms` and `hint_forms`. Each rewrite keeps the places of the tokens it replaces, so that errors point into the user's text.
//!
//! | written | becomes | why |
//! |---|---|---|
//! | `TABLE t` as a query | `SELECT * FROM t` | the crate's node for it keeps neither quotes nor places nor a database |
//! | `?`, `?|`, `?&` | the tokens of these operators | the crate's tokenizer takes `?` for a parameter unless it may also take points and circles |
//! | `trim(leading FROM s)` | `trim(leading s)` | the crate expects characters before FROM |
//! | `top` | the same, but no keyword | the crate reads `SELECT TOP 5` |
//! | `current_schema` | `current_schema()` | the crate knows it only as a call |
//! | `pg_catalog.floor(x)` | `pg_catalog."floor"(x)` | the crate takes keywords for forms of their own behind a dot, too |
//! | `current_role` | `current_user` | the crate takes only the other names for it without brackets |
//! | `int list`, `map[text=>int]` as types | `mz_type("int list")` | the crate has no such types |
//! | `interval(2) '1.234 s'` | `interval '1.234 s' SECOND (2)` | the crate knows no precision before the string |
//! | `substring(s SIMILAR p ESCAPE e)` | `substring(s, p, e)` | the crate knows only FROM and FOR |
//! | `q AS OF e` | `q EOF OF e` | the crate would read `OF` as an alias; at the EOF it stops, and the statement reads on |

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use super::{LIST, MAP};
use super::{hint_forms, operand_forms, query_forms};
use crate::names::{COMPOSITE_TYPE as TYPE, is_type_name};

/// Applies all rewrites.
pub(crate) fn desugar(tokens: &mut Vec<TokenWithSpan>) {
    question_marks(tokens);
    composite_types(tokens);
    interval_precisions(tokens);
    similar_substrings(tokens);
    query_forms::rewrite(tokens);
    operand_forms::rewrite(tokens);
    hint_forms::rewrite(tokens);
    let words: Vec<usize> = (0..tokens.len()).filter(|index| !is_space(&tokens[*index])).collect();
    let (mut tables, mut calls) = (Vec::new(), Vec::new());
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
            _ if is_word(Some(&tokens[index].token), "current_schema")
                && is_plain_call(at.checked_sub(1).and_then(token), token(at + 1)) =>
            {
                calls.push(index);
            }
            // A name like others; the crate would read the row limit of another dialect.
            Some(Keyword::TOP) => {
                if let Token::Word(word) = &mut tokens[index].token {
                    word.keyword = Keyword::NoKeyword;
                }
            }
            // A name behind a dot is no keyword, such as that of a function in `pg_catalog.floor(x)`.
            Some(keyword)
                if keyword != Keyword::NoKeyword
                    && at.checked_sub(1).and_then(token) == Some(&Token::Period)
                    && token(at + 1) == Some(&Token::LParen) =>
            {
                if let Token::Word(word) = &tokens[index].token
                    && word.quote_style.is_none()
                {
                    tokens[index].token = Token::make_word(&word.value.to_lowercase(), Some('"'));
                }
            }
            Some(Keyword::CURRENT_ROLE) if is_plain_call(at.checked_sub(1).and_then(token), token(at + 1)) => {
                tokens[index].token = Token::make_keyword("CURRENT_USER");
            }
            _ => {}
        }
    }
    let select = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
    let call = [Token::make_word("current_schema", None), Token::LParen, Token::RParen];
    let mut replaced: Vec<_> = tables.into_iter().map(|index| (index, select.clone())).collect();
    replaced.extend(calls.into_iter().map(|index| (index, call.clone())));
    replaced.sort_by_key(|(index, _)| *index);
    for (index, replacement) in replaced.into_iter().rev() {
        let span = tokens[index].span;
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

/// The precision of an interval's literal goes behind it, as that of its seconds.
fn interval_precisions(tokens: &mut Vec<TokenWithSpan>) {
    let words: Vec<usize> = (0..tokens.len()).filter(|index| !is_space(&tokens[*index])).collect();
    for at in (0..words.len()).rev() {
        let token = |at: usize| words.get(at).map(|index| &tokens[*index].token);
        let is_literal = is_word(token(at), "interval")
            && token(at + 1) == Some(&Token::LParen)
            && matches!(token(at + 2), Some(Token::Number(..)))
            && token(at + 3) == Some(&Token::RParen)
            && matches!(token(at + 4), Some(Token::SingleQuotedString(_)));
        if is_literal {
            let (open, string) = (words[at + 1], words[at + 4]);
            let precision: Vec<TokenWithSpan> = tokens[open..string].to_vec();
            let string = tokens[string].clone();
            let second = TokenWithSpan { token: Token::make_keyword("SECOND"), span: precision[0].span };
            let moved = std::iter::once(string).chain([second]).chain(precision);
            tokens.splice(open..=words[at + 4], moved);
        }
    }
}

/// The words of `substring(s SIMILAR p ESCAPE e)` become commas.
fn similar_substrings(tokens: &mut [TokenWithSpan]) {
    let words: Vec<usize> = (0..tokens.len()).filter(|index| !is_space(&tokens[*index])).collect();
    for start in 0..words.len() {
        let opens = is_word(Some(&tokens[words[start]].token), "substring")
            && words.get(start + 1).is_some_and(|index| tokens[*index].token == Token::LParen);
        if !opens {
            continue;
        }
        let mut depth = 0;
        let mut is_similar = false;
        for at in start + 1..words.len() {
            let token = &tokens[words[at]].token;
            depth += i32::from(*token == Token::LParen) - i32::from(*token == Token::RParen);
            if depth == 0 {
                break;
            }
            let is_test = words.get(at + 1).is_some_and(|next| is_word(Some(&tokens[*next].token), "to"));
            let separates = match is_similar {
                false => is_word(Some(token), "similar") && !is_test,
                true => is_word(Some(token), "escape"),
            };
            if depth == 1 && separates {
                is_similar = true;
                tokens[words[at]].token = Token::Comma;
            }
        }
    }
}

/// Puts the names of lists and maps, wherever a type may stand, into quotes.
fn composite_types(tokens: &mut Vec<TokenWithSpan>) {
    let is_candidate = |token: &TokenWithSpan| is_word(Some(&token.token), LIST) || is_word(Some(&token.token), MAP);
    if !tokens.iter().any(is_candidate) {
        return;
    }
    let words: Vec<usize> = (0..tokens.len()).filter(|index| !is_space(&tokens[*index])).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let token = |at: usize| words.get(at).map(|index| &tokens[*index].token);
        let extent = starts_type(&token, at).then(|| composite_type(&token, at)).flatten();
        match extent {
            Some((end, name)) => {
                found.push((words[at]..=words[end - 1], name));
                at = end;
            }
            None => at += 1,
        }
    }
    for (range, name) in found.into_iter().rev() {
        let span = tokens[*range.start()].span;
        let replacement =
            [Token::make_word(TYPE, None), Token::LParen, Token::make_word(&name, Some('"')), Token::RParen];
        tokens.splice(range, replacement.map(|token| TokenWithSpan { token, span }));
    }
}

/// True behind `::` and AS, behind the name of a column in a list of columns, and at the start of a lone type.
fn starts_type<'a>(token: &dyn Fn(usize) -> Option<&'a Token>, at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(token);
    match before(1) {
        None => true,
        Some(Token::DoubleColon) => true,
        Some(Token::Word(word)) if word.keyword == Keyword::AS => true,
        Some(Token::Word(word)) => {
            let reserved = matches!(
                word.keyword,
                Keyword::SELECT
                    | Keyword::DISTINCT
                    | Keyword::ALL
                    | Keyword::VALUES
                    | Keyword::BOTH
                    | Keyword::LEADING
                    | Keyword::TRAILING
            );
            (word.quote_style.is_some() || !reserved) && matches!(before(2), Some(Token::LParen | Token::Comma))
        }
        _ => false,
    }
}

/// The end and text of the type that starts at `at`, if it is made of a list or a map.
fn composite_type<'a>(token: &dyn Fn(usize) -> Option<&'a Token>, at: usize) -> Option<(usize, String)> {
    let (mut end, mut is_composite) = (base_type(token, at)?, is_word(token(at), MAP));
    loop {
        end = match (token(end), token(end + 1), token(end + 2)) {
            (Some(Token::LBracket), Some(Token::RBracket), _) => end + 2,
            (Some(Token::LBracket), Some(Token::Number(..)), Some(Token::RBracket)) => end + 3,
            (list, ..) if is_word(list, LIST) => {
                is_composite = true;
                end + 1
            }
            _ => break,
        };
    }
    let text: Vec<String> = (at..end).filter_map(|at| token(at).map(Token::to_string)).collect();
    is_composite.then(|| (end, text.join(" ")))
}

/// The end of a type without suffixes.
fn base_type<'a>(token: &dyn Fn(usize) -> Option<&'a Token>, at: usize) -> Option<usize> {
    let closed = |open: Token, close: Token, at: usize| {
        let mut depth = 0;
        (at..).map_while(|at| token(at).map(|token| (at, token))).find_map(|(at, token)| {
            depth += i32::from(*token == open) - i32::from(*token == close);
            (depth == 0).then_some(at + 1)
        })
    };
    if is_word(token(at), MAP) {
        return (token(at + 1) == Some(&Token::LBracket)).then(|| closed(Token::LBracket, Token::RBracket, at + 1))?;
    }
    let Some(Token::Word(word)) = token(at) else { return None };
    if word.quote_style.is_none() && !is_type_name(&word.value.to_ascii_lowercase()) {
        return None;
    }
    let mut end = at + 1;
    if token(end) == Some(&Token::LParen) {
        end = closed(Token::LParen, Token::RParen, end)?;
    }
    for phrase in [&["precision"][..], &["varying"], &["with", "time", "zone"], &["without", "time", "zone"]] {
        if phrase.iter().enumerate().all(|(index, word)| is_word(token(end + index), word)) {
            end += phrase.len();
            if token(end) == Some(&Token::LParen) {
                end = closed(Token::LParen, Token::RParen, end)?;
            }
        }
    }
    Some(end)
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
