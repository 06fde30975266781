//! A place in the tokens of one statement, from which statements' parsers read word by word.

use std::sync::Arc;

use sqlparser::ast::{DataType, Expr, Ident, ObjectName, ObjectNamePart, Query, TableWithJoins, With};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::dialect::FreshetDialect;
use super::tokens::{StatementTokens, Text};
use crate::error::Error;
use crate::statement::{self, Statement};

/// Levels of the crate's own recursion; brackets and operators are bounded already, this bounds the rest (CASE in CASE).
const RECURSION_MAX: usize = 600;

/// Unquoted words that are no names, as in PostgreSQL.
const RESERVED: &[Keyword] = &[
    Keyword::ALL,
    Keyword::AND,
    Keyword::ANY,
    Keyword::ARRAY,
    Keyword::AS,
    Keyword::ASC,
    Keyword::CASE,
    Keyword::CAST,
    Keyword::CHECK,
    Keyword::COLLATE,
    Keyword::CONSTRAINT,
    Keyword::CREATE,
    Keyword::DEFAULT,
    Keyword::DESC,
    Keyword::DISTINCT,
    Keyword::DO,
    Keyword::ELSE,
    Keyword::END,
    Keyword::EXCEPT,
    Keyword::FALSE,
    Keyword::FETCH,
    Keyword::FOR,
    Keyword::FOREIGN,
    Keyword::FROM,
    Keyword::GRANT,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::IN,
    Keyword::INTERSECT,
    Keyword::INTO,
    Keyword::LATERAL,
    Keyword::LIMIT,
    Keyword::NOT,
    Keyword::NULL,
    Keyword::OFFSET,
    Keyword::ON,
    Keyword::ONLY,
    Keyword::OR,
    Keyword::ORDER,
    Keyword::PRIMARY,
    Keyword::REFERENCES,
    Keyword::RETURNING,
    Keyword::SELECT,
    Keyword::SOME,
    Keyword::TABLE,
    Keyword::THEN,
    Keyword::TO,
    Keyword::TRUE,
    Keyword::UNION,
    Keyword::UNIQUE,
    Keyword::USING,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::WINDOW,
    Keyword::WITH,
];

/// Reads one statement's tokens. `AS OF` stands in them as an EOF before `OF`: see `desugar`.
pub(crate) struct Cursor<'a> {
    parser: Parser<'a>,
    text: &'a Text<'a>,
    /// Where each token starts and ends, in order.
    spans: Vec<(usize, usize)>,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a Text<'a>, tokens: StatementTokens) -> Cursor<'a> {
        let place = |token: &TokenWithSpan| (token.span.start.column as usize, token.span.end.column as usize);
        let spans = tokens.tokens.iter().map(place).collect();
        let parser =
            Parser::new(&FreshetDialect).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(tokens.tokens);
        Cursor { parser, text, spans, depth: tokens.depth }
    }

    /// Parses the statement that starts here, up to where it ends.
    pub(crate) fn statement(&mut self) -> Result<Statement, Error> {
        let start = self.position();
        let kind = statement::parse_kind(self)?;
        let text = if kind.holds_secret() { kind.name() } else { self.text_from(start) };
        Ok(Statement { text: text.to_owned(), kind: Arc::new(kind), offset: start - 1, depth: self.depth })
    }

    /// The text from a place up to the last token read.
    pub(crate) fn text_from(&self, start: usize) -> &'a str {
        self.text.slice(start, self.position()).trim_end()
    }

    /// Where the next token starts.
    pub(crate) fn position(&self) -> usize {
        self.parser.peek_token_ref().span.start.column as usize
    }

    /// The next token.
    pub(crate) fn peek(&self) -> &Token {
        &self.parser.peek_token_ref().token
    }

    /// The next token but `n`.
    pub(crate) fn peek_nth(&self, n: usize) -> &Token {
        &self.parser.peek_nth_token_ref(n).token
    }

    pub(crate) fn advance(&mut self) -> Token {
        self.parser.next_token().token
    }

    /// True if the next tokens are these words, unquoted.
    pub(crate) fn peek_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| is_word(self.peek_nth(n), word))
    }

    /// Takes these words if they come next.
    pub(crate) fn take(&mut self, words: &[&str]) -> bool {
        let found = self.peek_words(words);
        if found {
            words.iter().for_each(|_| self.parser.advance_token());
        }
        found
    }

    /// Takes the first of several words that comes next.
    pub(crate) fn take_one_of(&mut self, words: &[&'static str]) -> Option<&'static str> {
        let found = words.iter().copied().find(|word| self.peek_words(&[word]))?;
        self.parser.advance_token();
        Some(found)
    }

    /// Takes these words, which must come next.
    pub(crate) fn expect(&mut self, words: &[&str]) -> Result<(), Error> {
        for word in words {
            if !self.take(&[word]) {
                return Err(self.expected(&word.to_uppercase()));
            }
        }
        Ok(())
    }

    pub(crate) fn take_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(crate) fn expect_token(&mut self, token: &Token) -> Result<(), Error> {
        if self.take_token(token) { Ok(()) } else { Err(self.expected(&token.to_string())) }
    }

    /// Fails unless all tokens are read.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        if *self.peek() == Token::EOF && !self.peek_as_of() { Ok(()) } else { Err(self.expected("end of statement")) }
    }

    /// True if `AS OF` comes next.
    pub(crate) fn peek_as_of(&self) -> bool {
        *self.peek() == Token::EOF && is_word(self.peek_nth(1), "of")
    }

    /// Takes `AS OF`.
    pub(crate) fn take_as_of(&mut self) -> bool {
        let found = self.peek_as_of();
        if found {
            self.parser.advance_token();
            self.parser.advance_token();
        }
        found
    }

    /// Takes `IF NOT EXISTS`.
    pub(crate) fn if_not_exists(&mut self) -> bool {
        self.take(&["if", "not", "exists"])
    }

    /// Takes `IN CLUSTER c`.
    pub(crate) fn in_cluster(&mut self) -> Result<Option<Ident>, Error> {
        if self.take(&["in", "cluster"]) { self.ident().map(Some) } else { Ok(None) }
    }

    /// Reads a name without dots.
    pub(crate) fn ident(&mut self) -> Result<Ident, Error> {
        match self.peek() {
            Token::Word(word) if word.quote_style.is_some() || !RESERVED.contains(&word.keyword) => {
                let token = self.parser.next_token();
                match token.token {
                    Token::Word(word) => Ok(word.into_ident(token.span)),
                    _ => unreachable!("the token was a word"),
                }
            }
            _ => Err(self.expected("identifier")),
        }
    }

    /// Reads a name, the word after the first dot may be reserved.
    pub(crate) fn name(&mut self) -> Result<ObjectName, Error> {
        let mut idents = vec![ObjectNamePart::Identifier(self.ident()?)];
        while self.take_token(&Token::Period) {
            let token = self.parser.next_token();
            match token.token {
                Token::Word(word) => idents.push(ObjectNamePart::Identifier(word.into_ident(token.span))),
                _ => {
                    self.parser.prev_token();
                    return Err(self.expected("identifier"));
                }
            }
        }
        Ok(ObjectName(idents))
    }

    /// Reads items separated by commas.
    pub(crate) fn comma_separated<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut items = vec![item(self)?];
        while self.take_token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Reads `(item, ...)`.
    pub(crate) fn parenthesized<T>(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.expect_token(&Token::LParen)?;
        let items = self.comma_separated(item)?;
        self.expect_token(&Token::RParen)?;
        Ok(items)
    }

    /// Reads a query body, without AS OF.
    pub(crate) fn query(&mut self) -> Result<Box<Query>, Error> {
        let starts = ["select", "values", "with", "table"].iter().any(|word| self.peek_words(&[word]));
        if !starts && *self.peek() != Token::LParen {
            return Err(self.expected("a query"));
        }
        self.parser.parse_query().map_err(|error| self.convert(error))
    }

    /// The first of `words` that stands behind the WITH clause that starts here.
    pub(crate) fn behind_with(&self, words: &[&'static str]) -> Option<&'static str> {
        if !self.peek_words(&["with"]) {
            return None;
        }
        let mut depth = 0;
        let mut closed = false;
        for index in self.parser.index()..self.spans.len() {
            let token = &self.parser.token_at(index).token;
            match token {
                Token::Whitespace(_) => continue,
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                // Its queries are in brackets: behind one comes a comma, or what the clause belongs to.
                Token::Word(_) if depth == 0 && closed => {
                    let found = words.iter().copied().find(|word| is_word(token, word));
                    if found.is_some() {
                        return found;
                    }
                }
                _ => {}
            }
            closed = *token == Token::RParen;
        }
        None
    }

    /// Reads `WITH [RECURSIVE] name AS (query), ...`, if it comes next.
    pub(crate) fn with_clause(&mut self) -> Result<Option<With>, Error> {
        if !self.peek_words(&["with"]) {
            return Ok(None);
        }
        self.parser.advance_token();
        let with_token = self.parser.get_current_token().clone().into();
        let recursive = self.take(&["recursive"]);
        let cte_tables = self.parser.parse_comma_separated(Parser::parse_cte).map_err(|error| self.convert(error))?;
        Ok(Some(With { with_token, recursive, cte_tables }))
    }

    pub(crate) fn expr(&mut self) -> Result<Expr, Error> {
        self.parser.parse_expr().map_err(|error| self.convert(error))
    }

    pub(crate) fn select_item(&mut self) -> Result<sqlparser::ast::SelectItem, Error> {
        self.parser.parse_select_item().map_err(|error| self.convert(error))
    }

    pub(crate) fn table_with_joins(&mut self) -> Result<TableWithJoins, Error> {
        self.parser.parse_table_and_joins().map_err(|error| self.convert(error))
    }

    pub(crate) fn data_type(&mut self) -> Result<DataType, Error> {
        let position = self.position();
        if matches!(self.peek(), Token::SingleQuotedString(_)) {
            return Err(self.expected("a type"));
        }
        self.parser.parse_data_type().map_err(|error| self.convert(error).at(position))
    }

    /// Reads a literal string.
    pub(crate) fn string(&mut self) -> Result<String, Error> {
        match self.peek() {
            Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_) => {}
            _ => return Err(self.expected("a string literal")),
        }
        match self.advance() {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Ok(text),
            Token::DollarQuotedString(text) => Ok(text.value),
            _ => unreachable!("the token was a string"),
        }
    }

    /// Reads a number without sign.
    pub(crate) fn unsigned(&mut self) -> Result<u64, Error> {
        if let Token::Number(digits, _) = self.peek()
            && let Ok(value) = digits.replace('_', "").parse()
        {
            self.parser.advance_token();
            return Ok(value);
        }
        Err(self.expected("an unsigned integer"))
    }

    /// 42601: the next token is not what is expected here.
    pub(crate) fn expected(&self, what: &str) -> Error {
        self.syntax_error(self.position(), Some(&format!("expected {what}")))
    }

    /// 0A000 at the next token.
    pub(crate) fn unsupported(&self, feature: &str) -> Error {
        Error::unsupported(feature).at(self.position())
    }

    /// What is wrong inside a subquery of FROM: when it cannot be parsed, the crate takes its bracket for that of a join, and
    /// says that there is none. The subquery is parsed again by itself; the place of what is found lies further on.
    fn error_inside(&self, error: &ParserError) -> Option<ParserError> {
        let ParserError::ParserError(message) = error else { return None };
        let (message, position) = split_place(message);
        let position = position.filter(|_| message.starts_with("Expected: joined table"))?;
        let failed = self.spans.partition_point(|(start, _)| *start < position);
        let open = (0..failed).rev().find(|index| self.parser.token_at(*index).token == Token::LParen)?;
        let tokens = (open + 1..self.spans.len()).map(|index| self.parser.token_at(index).clone()).collect();
        let mut parser =
            Parser::new(&FreshetDialect).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(tokens);
        if !["select", "values", "with"].iter().any(|word| is_word(&parser.peek_token_ref().token, word)) {
            return None;
        }
        let inner = match parser.parse_query() {
            Err(inner) => inner,
            Ok(_) => parser.expect_token(&Token::RParen).err()?,
        };
        let further = match &inner {
            ParserError::ParserError(message) => split_place(message).1.is_some_and(|place| place > position),
            _ => true,
        };
        further.then_some(inner)
    }

    fn syntax_error(&self, position: usize, reason: Option<&str>) -> Error {
        let index = self.spans.partition_point(|(start, _)| *start < position);
        let near = match self.spans.get(index) {
            Some((start, end)) if end > start => self.text.slice(*start, *end),
            // The end of the statement: a semicolon or nothing.
            _ => self.text.slice(position, position + 1),
        };
        let place = if near.is_empty() { "end of input".to_owned() } else { format!("or near \"{near}\"") };
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        Error::new("42601", format!("syntax error at {place}{reason}")).at(position)
    }

    /// Turns the crate's error into ours.
    fn convert(&self, mut error: ParserError) -> Error {
        while let Some(inner) = self.error_inside(&error) {
            error = inner;
        }
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return Error::new("54001", "statement is nested too deeply").at(self.position());
            }
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        };
        let (message, position) = split_place(&message);
        let reason = match message.strip_prefix("Expected: ") {
            Some(expected) => {
                let what = expected.rsplit_once(", found: ").map_or(expected, |(what, _)| what);
                format!("expected {what}")
            }
            None => lower_first(message),
        };
        self.syntax_error(position.unwrap_or_else(|| self.position()), Some(&reason))
    }
}

/// A message of the crate and the place at its end.
fn split_place(message: &str) -> (&str, Option<usize>) {
    match message.rsplit_once(" at Line: 1, Column: ") {
        Some((message, column)) => (message, column.parse().ok()),
        None => (message, None),
    }
}

/// The text with its first letter in lower case.
pub(crate) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

pub(super) fn is_word(token: &Token, text: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}
