//! Tokens of a request: cut, placed, bounded in nesting, and divided into statements.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError, Whitespace};

use super::cursor::is_word;
use super::dialect::FreshetDialect;
use super::{SQL_BYTES_MAX, desugar, unicode};
use crate::error::Error;
use crate::position;

/// Most brackets open at once.
const BRACKETS_MAX: usize = 128;
/// Most operators one inside the other: each may be a level of the tree.
const OPERATORS_MAX: usize = 1000;

/// A request's text, in which places are counted in characters from 1.
pub(crate) struct Text<'a> {
    sql: &'a str,
    /// The byte where each character starts; None if all characters are one byte.
    starts: Option<Vec<usize>>,
}

impl<'a> Text<'a> {
    /// Errors: 54000 too long, 22021 a NUL character.
    pub(crate) fn new(sql: &'a str) -> Result<Text<'a>, Error> {
        if sql.len() > SQL_BYTES_MAX {
            return Err(Error::new("54000", format!("the text of a request may have at most {SQL_BYTES_MAX} bytes"))
                .with_detail(format!("This one has {}.", sql.len()))
                .with_hint("Send it in parts; load data with COPY."));
        }
        if let Some(index) = sql.find('\0') {
            let position = sql[..index].chars().count() + 1;
            return Err(Error::new("22021", "invalid byte sequence for encoding \"UTF8\": 0x00").at(position));
        }
        let starts = (!sql.is_ascii()).then(|| sql.char_indices().map(|(index, _)| index).collect());
        Ok(Text { sql, starts })
    }

    /// The place behind the last character.
    pub(crate) fn end(&self) -> usize {
        self.starts.as_ref().map_or(self.sql.len(), Vec::len) + 1
    }

    /// The text from one place up to another, exclusive.
    pub(crate) fn slice(&self, from: usize, to: usize) -> &'a str {
        let byte = |place: usize| match &self.starts {
            None => place.saturating_sub(1).min(self.sql.len()),
            Some(starts) => starts.get(place.saturating_sub(1)).copied().unwrap_or(self.sql.len()),
        };
        &self.sql[byte(from)..byte(to).max(byte(from))]
    }
}

/// The tokens of one statement, an EOF with a place at their end.
pub(crate) struct StatementTokens {
    pub(crate) tokens: Vec<TokenWithSpan>,
    /// How deep its tree may be nested, at most.
    pub(crate) depth: usize,
}

impl StatementTokens {
    /// True if it has the words of a statement that has the value of a secret in it: its text must not be quoted.
    pub(crate) fn names_secret(&self) -> bool {
        let words = self.tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
        let mut words = words.map(|token| &token.token).peekable();
        // SHOW CREATE SECRET has none.
        let is_show = words.peek().is_some_and(|first| is_word(first, "show"));
        let is_any = |word: &Token, known: &[&str]| known.iter().any(|known| is_word(word, known));
        let mut after_verb = false;
        !is_show
            && words.any(|word| {
                let found = after_verb && is_word(word, "secret");
                after_verb = is_any(word, &["create", "alter"])
                    || (after_verb && is_any(word, &["or", "replace", "temporary", "temp"]));
                found
            })
    }
}

/// Cuts `text` into the tokens of its statements; those without tokens are left out. Errors: 42601, 54001.
pub(crate) fn split(text: &Text<'_>) -> Result<Vec<StatementTokens>, Error> {
    let mut tokens = Vec::new();
    let mut tokenizer = Tokenizer::new(&FreshetDialect, text.sql);
    tokenizer.tokenize_with_location_into_buf(&mut tokens).map_err(|error| lexical_error(error, text))?;
    position::absolute(&mut tokens, text.sql);
    unicode::decode(&mut tokens, text)?;
    join_strings(&mut tokens, text)?;
    check_tokens(&tokens, text)?;

    let mut statements = Vec::new();
    let mut current = Vec::new();
    for token in tokens {
        if token.token == Token::SemiColon {
            let place = token.span.start.column as usize;
            finish(&mut statements, std::mem::take(&mut current), place)?;
        } else {
            current.push(token);
        }
    }
    finish(&mut statements, current, text.end())?;
    Ok(statements)
}

fn finish(statements: &mut Vec<StatementTokens>, mut tokens: Vec<TokenWithSpan>, end: usize) -> Result<(), Error> {
    if tokens.iter().all(|token| matches!(token.token, Token::Whitespace(_))) {
        return Ok(());
    }
    let depth = bound_nesting(&tokens)?;
    let place = Location { line: 1, column: end as u64 };
    desugar::desugar(&mut tokens);
    tokens.push(TokenWithSpan { token: Token::EOF, span: Span { start: place, end: place } });
    statements.push(StatementTokens { tokens, depth });
    Ok(())
}

/// Strings with nothing but white space and a line's end between them are one. Errors: 42601 for strings on one line.
fn join_strings(tokens: &mut Vec<TokenWithSpan>, text: &Text<'_>) -> Result<(), Error> {
    let mut joined: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    // The place of the last string in `joined`, and whether a line has ended behind it.
    let mut string: Option<(usize, bool)> = None;
    for token in tokens.drain(..) {
        match (&token.token, &mut string) {
            (Token::Whitespace(space), Some((_, line_ended))) => {
                *line_ended |= matches!(space, Whitespace::Newline | Whitespace::SingleLineComment { .. });
            }
            (Token::SingleQuotedString(more), Some((at, true))) => {
                if let Token::SingleQuotedString(first) | Token::EscapedStringLiteral(first) = &mut joined[*at].token {
                    first.push_str(more);
                    joined[*at].span.end = token.span.end;
                    joined.truncate(*at + 1);
                    string = Some((joined.len() - 1, false));
                    continue;
                }
            }
            (Token::SingleQuotedString(_), Some((_, false))) => {
                let (start, end) = (token.span.start.column as usize, token.span.end.column as usize);
                let message = format!("syntax error at or near \"{}\"", text.slice(start, end));
                return Err(Error::new("42601", message).at(start));
            }
            (Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_), _) => string = Some((joined.len(), false)),
            _ => string = None,
        }
        joined.push(token);
    }
    *tokens = joined;
    Ok(())
}

/// Refuses what the crate's tokenizer lets pass and PostgreSQL does not: a word right behind a number or parameter, and
/// identifiers of no characters. Errors: 42601.
fn check_tokens(tokens: &[TokenWithSpan], text: &Text<'_>) -> Result<(), Error> {
    for (index, token) in tokens.iter().enumerate() {
        let (start, end) = (token.span.start.column as usize, token.span.end.column as usize);
        let word_behind = tokens.get(index + 1).filter(|next| matches!(next.token, Token::Word(_)));
        let junk = word_behind.filter(|next| next.span.start.column as usize == end);
        let what = match &token.token {
            Token::Number(_, false) if junk.is_some() => "numeric literal",
            Token::Number(_, true) => "numeric literal",
            Token::HexStringLiteral(_) if text.slice(start, end).starts_with('0') => "numeric literal",
            Token::Placeholder(name) if name.len() > 1 && name[1..].contains(|c: char| !c.is_ascii_digit()) => {
                "parameter"
            }
            Token::Word(word) if word.quote_style.is_some() && word.value.is_empty() => {
                return Err(Error::new("42601", "zero-length delimited identifier at or near \"\"\"\"").at(start));
            }
            _ => continue,
        };
        let end = junk.map_or(end, |next| next.span.end.column as usize);
        let near = text.slice(start, end);
        return Err(Error::new("42601", format!("trailing junk after {what} at or near \"{near}\"")).at(start));
    }
    Ok(())
}

fn lexical_error(error: TokenizerError, text: &Text<'_>) -> Error {
    let span = Span { start: error.location, end: error.location };
    let mut marker = [TokenWithSpan { token: Token::EOF, span }];
    position::absolute(&mut marker, text.sql);
    let place = marker[0].span.start.column as usize;
    let message = match error.message.as_str() {
        "Unterminated string literal" => "unterminated quoted string".to_owned(),
        message if message.starts_with("Expected close delimiter") => "unterminated quoted identifier".to_owned(),
        message if message.starts_with("Unexpected EOF while in a multi-line comment") => {
            "unterminated /* comment".to_owned()
        }
        "Unterminated encoded string literal" => {
            let literal = text.slice(place, text.end());
            match literal.contains("\\u") || literal.contains("\\U") {
                true => "invalid Unicode escape or unterminated quoted string".to_owned(),
                false => "unterminated quoted string".to_owned(),
            }
        }
        message => super::cursor::lower_first(message),
    };
    let near: String = text.slice(place, text.end()).chars().take(32).collect();
    let near = near.lines().next().unwrap_or_default();
    let place_name = if near.is_empty() { "at end of input".to_owned() } else { format!("at or near \"{near}\"") };
    Error::new("42601", format!("{message} {place_name}")).at(place)
}

/// Operators between two enclosing brackets.
#[derive(Clone, Copy, Default)]
struct Level {
    /// UNION and the like: their chain goes on behind commas.
    set_operators: usize,
    /// AND and OR: their chain goes on behind other operators.
    connectives: usize,
    others: usize,
}

impl Level {
    fn count(self) -> usize {
        self.set_operators + self.connectives + self.others
    }
}

/// Returns how deep the tree made of `tokens` can be. Errors: 54001 if that is too deep.
///
/// Chains such as `1 + 1 + 1` count, too: the parser reads them in a loop, but makes of them a tree leaning to the left that
/// everything after it walks, copies and drops recursively.
fn bound_nesting(tokens: &[TokenWithSpan]) -> Result<usize, Error> {
    let mut levels = vec![Level::default()];
    let mut operators = 0;
    let mut deepest = 0;
    for token in tokens {
        let level = levels.last_mut().expect("the outermost level stays");
        let before = level.count();
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                // `int[][]` nests a type in a type.
                level.others += usize::from(token.token == Token::LBracket);
                operators += level.count() - before;
                levels.push(Level::default());
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                operators -= before;
                levels.pop();
                if levels.is_empty() {
                    levels.push(Level::default());
                }
            }
            other => {
                level.note(other);
                operators = operators + level.count() - before;
            }
        }
        let position = token.span.start.column as usize;
        if levels.len() > BRACKETS_MAX + 1 {
            return Err(Error::new(
                "54001",
                format!("statement is nested too deeply: more than {BRACKETS_MAX} brackets"),
            )
            .at(position));
        }
        if operators > OPERATORS_MAX {
            let message = format!("statement is too complex: more than {OPERATORS_MAX} operators in one expression");
            return Err(Error::new("54001", message)
                .with_hint("Write long chains of OR as IN (...), long chains of UNION ALL as VALUES.")
                .at(position));
        }
        deepest = deepest.max(operators + 2 * levels.len());
    }
    Ok(deepest)
}

impl Level {
    fn note(&mut self, token: &Token) {
        match token {
            Token::Comma => {
                self.connectives = 0;
                self.others = 0;
            }
            Token::Word(word) => match word.keyword {
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => self.set_operators += 1,
                Keyword::AND | Keyword::OR => {
                    self.connectives += 1;
                    self.others = 0;
                }
                Keyword::SELECT | Keyword::FROM | Keyword::WHERE | Keyword::HAVING | Keyword::ON => {
                    self.connectives = 0;
                    self.others = 0;
                }
                Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::OPERATOR
                | Keyword::CASE
                | Keyword::JOIN
                | Keyword::NOTNULL
                | Keyword::OVERLAPS
                | Keyword::ARRAY
                | Keyword::INTERVAL => self.others += 1,
                _ => {}
            },
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::Placeholder(_)
            | Token::Period => {}
            _ => self.others += 1,
        }
    }
}
