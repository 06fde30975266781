//! Text to path.

use repr::numeric::Numeric;

use super::{Comparison, METHODS, Method, Node, Operator, Path, Predicate, Step};
use crate::error::EvalError;

/// Brackets open at once.
const DEPTH_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A bare word: a key, a keyword, a method.
    Word(String),
    String(String),
    Number(Numeric),
    /// `$name`
    Variable(String),
    Symbol(&'static str),
}

const SYMBOLS: [&str; 31] = [
    "**", "&&", "||", "==", "!=", "<>", "<=", ">=", "$", "@", ".", "*", "[", "]", "(", ")", "{", "}", ",", "?", "!",
    "<", ">", "=", "+", "-", "/", "%", ":", ";", "#",
];

fn syntax(message: String) -> EvalError {
    EvalError::new("42601", message)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || !character.is_ascii()
}

/// Cuts a path into tokens, each with the text it was.
fn tokens(text: &str) -> Result<Vec<(Token, String)>, EvalError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix("/*") {
            let end = comment
                .find("*/")
                .ok_or_else(|| syntax("unexpected end of comment at end of jsonpath input".into()))?;
            rest = &comment[end + 2..];
            continue;
        }
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        let start = rest;
        let token = if first == '"' {
            Token::String(quoted(&mut rest)?)
        } else if first == '$' && rest[1..].starts_with('"') {
            rest = &rest[1..];
            Token::Variable(quoted(&mut rest)?)
        } else if first == '$' && rest[1..].starts_with(is_word) {
            rest = &rest[1..];
            Token::Variable(word(&mut rest)?)
        } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            number(&mut rest)?
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            rest = &rest[symbol.len()..];
            Token::Symbol(symbol)
        } else if is_word(first) || first == '\\' {
            Token::Word(word(&mut rest)?)
        } else {
            return Err(syntax(format!("syntax error at or near \"{first}\" of jsonpath input")));
        };
        tokens.push((token, start[..start.len() - rest.len()].to_owned()));
    }
}

fn number(rest: &mut &str) -> Result<Token, EvalError> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1) != Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        end += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    let (text, behind) = rest.split_at(end);
    if behind.starts_with(|c: char| is_word(c)) {
        return Err(syntax(format!(
            "trailing junk after numeric literal at or near \"{text}{}\" of jsonpath input",
            &behind[..1.min(behind.floor_char_boundary(1))]
        )));
    }
    *rest = behind;
    Numeric::parse(text).map(Token::Number).map_err(crate::func::numeric_error)
}

/// A bare word with its escapes.
fn word(rest: &mut &str) -> Result<String, EvalError> {
    let mut out = String::new();
    while let Some(character) = rest.chars().next() {
        if character == '\\' {
            *rest = &rest[1..];
            escape(rest, &mut out)?;
        } else if is_word(character) {
            out.push(character);
            *rest = &rest[character.len_utf8()..];
        } else {
            break;
        }
    }
    Ok(out)
}

fn quoted(rest: &mut &str) -> Result<String, EvalError> {
    *rest = &rest[1..];
    let mut out = String::new();
    while let Some(character) = rest.chars().next() {
        *rest = &rest[character.len_utf8()..];
        match character {
            '"' => return Ok(out),
            '\\' => escape(rest, &mut out)?,
            other => out.push(other),
        }
    }
    Err(syntax("unterminated quoted string at end of jsonpath input".to_owned()))
}

/// What follows a backslash.
fn escape(rest: &mut &str, out: &mut String) -> Result<(), EvalError> {
    let invalid = || syntax("invalid escape sequence of jsonpath input".to_owned());
    let character = rest.chars().next().ok_or_else(invalid)?;
    *rest = &rest[character.len_utf8()..];
    let mut hex = |digits: usize| -> Result<u32, EvalError> {
        let text = rest.get(..digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let value = text.and_then(|text| u32::from_str_radix(text, 16).ok()).ok_or_else(invalid)?;
        *rest = &rest[digits..];
        Ok(value)
    };
    let decoded = match character {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'x' => char::from_u32(hex(2)?).ok_or_else(invalid)?,
        'u' => {
            let first = hex(4)?;
            if (0xD800..0xDC00).contains(&first) {
                *rest = rest.strip_prefix("\\u").ok_or_else(invalid)?;
                let second = rest.get(..4).and_then(|text| u32::from_str_radix(text, 16).ok()).ok_or_else(invalid)?;
                *rest = &rest[4..];
                let low = second.checked_sub(0xDC00).filter(|low| *low < 0x400).ok_or_else(invalid)?;
                char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + low).ok_or_else(invalid)?
            } else {
                char::from_u32(first).ok_or_else(invalid)?
            }
        }
        other => other,
    };
    if decoded == '\0' {
        return Err(EvalError::new("22P05", "unsupported Unicode escape sequence")
            .with_detail("\\u0000 cannot be converted to text."));
    }
    out.push(decoded);
    Ok(())
}

/// Reads a path. Errors: 42601.
pub(crate) fn parse(text: &str) -> Result<Path, EvalError> {
    let mut parser = Parser { tokens: tokens(text)?, place: 0, depth: 0, filters: 0, subscripts: 0 };
    if parser.tokens.is_empty() {
        return Err(EvalError::new("22P02", format!("invalid input syntax for type jsonpath: \"{text}\"")));
    }
    let lax = if parser.take_word("strict") {
        false
    } else {
        parser.take_word("lax");
        true
    };
    let root = parser.any()?;
    match parser.place == parser.tokens.len() {
        true => Ok(Path { lax, root: root.into_node() }),
        false => Err(parser.unexpected()),
    }
}

/// A value or a truth.
enum Parsed {
    Value(Node),
    Truth(Predicate),
}

impl Parsed {
    fn into_node(self) -> Node {
        match self {
            Parsed::Value(node) => node,
            Parsed::Truth(predicate) => Node::Predicate(Box::new(predicate)),
        }
    }
}

struct Parser {
    tokens: Vec<(Token, String)>,
    place: usize,
    depth: usize,
    filters: usize,
    subscripts: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.place).map(|(token, _)| token)
    }

    fn unexpected(&self) -> EvalError {
        match self.tokens.get(self.place) {
            Some((_, text)) => syntax(format!("syntax error at or near \"{text}\" of jsonpath input")),
            None => syntax("syntax error at end of jsonpath input".to_owned()),
        }
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(found)) if *found == symbol);
        self.place += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), EvalError> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.place += usize::from(found);
        found
    }

    fn string(&mut self) -> Result<String, EvalError> {
        match self.peek() {
            Some(Token::String(text)) => {
                let text = text.clone();
                self.place += 1;
                Ok(text)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// A value or a predicate, whichever is there.
    fn any(&mut self) -> Result<Parsed, EvalError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(EvalError::new("54001", "jsonpath is nested too deeply"));
        }
        let mut left = self.conjunction()?;
        while self.take("||") {
            let (one, other) = (self.truth(left)?, self.conjunction()?);
            left = Parsed::Truth(Predicate::Or(Box::new(one), Box::new(self.truth(other)?)));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn truth(&self, parsed: Parsed) -> Result<Predicate, EvalError> {
        match parsed {
            Parsed::Truth(predicate) => Ok(predicate),
            Parsed::Value(Node::Predicate(predicate)) => Ok(*predicate),
            Parsed::Value(_) => Err(self.unexpected()),
        }
    }

    fn value(&self, parsed: Parsed) -> Result<Node, EvalError> {
        match parsed {
            Parsed::Value(node) => Ok(node),
            Parsed::Truth(_) => Err(self.unexpected()),
        }
    }

    fn conjunction(&mut self) -> Result<Parsed, EvalError> {
        let mut left = self.comparison()?;
        while self.take("&&") {
            let (one, other) = (self.truth(left)?, self.comparison()?);
            left = Parsed::Truth(Predicate::And(Box::new(one), Box::new(self.truth(other)?)));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Parsed, EvalError> {
        if self.take("!") {
            let inner = self.delimited()?;
            return Ok(Parsed::Truth(Predicate::Not(Box::new(inner))));
        }
        let left = self.sum()?;
        let comparisons = [
            ("==", Comparison::Equal),
            ("=", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<>", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        for (symbol, comparison) in comparisons {
            if self.take(symbol) {
                let left = self.value(left)?;
                let right = self.sum()?;
                return Ok(Parsed::Truth(Predicate::Compare(comparison, left, self.value(right)?)));
            }
        }
        if self.take_word("starts") {
            if !self.take_word("with") {
                return Err(self.unexpected());
            }
            let right = match self.peek() {
                Some(Token::String(text)) => Node::String(text.clone()),
                Some(Token::Variable(name)) => Node::Variable(name.clone()),
                _ => return Err(self.unexpected()),
            };
            self.place += 1;
            return Ok(Parsed::Truth(Predicate::StartsWith(self.value(left)?, right)));
        }
        if self.take_word("like_regex") {
            let pattern = self.string()?;
            let flags = if self.take_word("flag") { self.string()? } else { String::new() };
            let flags = regex_flags(&flags)?;
            crate::func::compile_regexp(&pattern, &flags)?;
            return Ok(Parsed::Truth(Predicate::LikeRegex(self.value(left)?, pattern, flags)));
        }
        Ok(left)
    }

    /// `exists(...)` or a predicate in brackets: what `!` takes.
    fn delimited(&mut self) -> Result<Predicate, EvalError> {
        let parsed = self.primary()?;
        self.truth(parsed)
    }

    fn sum(&mut self) -> Result<Parsed, EvalError> {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Some(Token::Symbol("+")) => Operator::Add,
                Some(Token::Symbol("-")) => Operator::Subtract,
                _ => return Ok(left),
            };
            self.place += 1;
            let (one, other) = (self.value(left)?, self.product()?);
            left = Parsed::Value(Node::Arithmetic(operator, Box::new(one), Box::new(self.value(other)?)));
        }
    }

    fn product(&mut self) -> Result<Parsed, EvalError> {
        let mut left = self.signed()?;
        loop {
            let operator = match self.peek() {
                Some(Token::Symbol("*")) => Operator::Multiply,
                Some(Token::Symbol("/")) => Operator::Divide,
                Some(Token::Symbol("%")) => Operator::Remainder,
                _ => return Ok(left),
            };
            self.place += 1;
            let (one, other) = (self.value(left)?, self.signed()?);
            left = Parsed::Value(Node::Arithmetic(operator, Box::new(one), Box::new(self.value(other)?)));
        }
    }

    fn signed(&mut self) -> Result<Parsed, EvalError> {
        let negative = self.take("-");
        if !negative && !self.take("+") {
            return self.accessors();
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(EvalError::new("54001", "jsonpath is nested too deeply"));
        }
        let inner = self.signed()?;
        self.depth -= 1;
        Ok(Parsed::Value(Node::Signed(negative, Box::new(self.value(inner)?))))
    }

    fn accessors(&mut self) -> Result<Parsed, EvalError> {
        let start = self.primary()?;
        let mut steps = Vec::new();
        while let Some(step) = self.step()? {
            steps.push(step);
        }
        Ok(match steps.is_empty() {
            true => start,
            false => Parsed::Value(Node::Steps(Box::new(start.into_node()), steps)),
        })
    }

    fn primary(&mut self) -> Result<Parsed, EvalError> {
        if self.take("(") {
            let inner = self.any()?;
            self.expect(")")?;
            if self.is_word("is") {
                self.place += 1;
                if !self.take_word("unknown") {
                    return Err(self.unexpected());
                }
                return Ok(Parsed::Truth(Predicate::IsUnknown(Box::new(self.truth(inner)?))));
            }
            return Ok(inner);
        }
        let Some(token) = self.peek().cloned() else { return Err(self.unexpected()) };
        let node = match token {
            Token::Symbol("$") => Node::Root,
            Token::Symbol("@") if self.filters > 0 => Node::Current,
            Token::Symbol("@") => return Err(syntax("@ is not allowed in root expressions".to_owned())),
            Token::Variable(name) => Node::Variable(name),
            Token::String(text) => Node::String(text),
            Token::Number(number) => Node::Number(number),
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "exists" if matches!(self.tokens.get(self.place + 1), Some((Token::Symbol("("), _))) => {
                    self.place += 2;
                    let inner = self.any()?;
                    let inner = self.value(inner)?;
                    self.expect(")")?;
                    return Ok(Parsed::Truth(Predicate::Exists(inner)));
                }
                "last" if self.subscripts > 0 => Node::Last,
                "last" => return Err(syntax("LAST is allowed only in array subscripts".to_owned())),
                // These are known in lower case alone.
                _ if word == "true" => Node::Bool(true),
                _ if word == "false" => Node::Bool(false),
                _ if word == "null" => Node::Null,
                _ => return Err(self.unexpected()),
            },
            Token::Symbol(_) => return Err(self.unexpected()),
        };
        self.place += 1;
        Ok(Parsed::Value(node))
    }

    fn step(&mut self) -> Result<Option<Step>, EvalError> {
        if self.take("[") {
            return self.elements().map(Some);
        }
        if self.take("?") {
            self.expect("(")?;
            self.filters += 1;
            let inner = self.any()?;
            let predicate = self.truth(inner)?;
            self.filters -= 1;
            self.expect(")")?;
            return Ok(Some(Step::Filter(predicate)));
        }
        if !self.take(".") {
            return Ok(None);
        }
        if self.take("**") {
            return self.descent().map(Some);
        }
        if self.take("*") {
            return Ok(Some(Step::AnyMember));
        }
        let key = match self.peek() {
            Some(Token::String(key)) => key.clone(),
            Some(Token::Word(word)) => {
                let word = word.clone();
                if matches!(self.tokens.get(self.place + 1), Some((Token::Symbol("("), _))) {
                    return self.method(&word).map(Some);
                }
                word
            }
            _ => return Err(self.unexpected()),
        };
        self.place += 1;
        Ok(Some(Step::Member(key)))
    }

    fn method(&mut self, word: &str) -> Result<Step, EvalError> {
        let found: Option<Method> = METHODS.iter().find(|(name, _)| *name == word).map(|(_, method)| *method);
        if word == "datetime" {
            return Err(EvalError::new("0A000", "jsonpath item method .datetime() is not supported"));
        }
        let Some(method) = found else { return Err(self.unexpected()) };
        self.place += 2;
        self.expect(")")?;
        Ok(Step::Method(method))
    }

    fn elements(&mut self) -> Result<Step, EvalError> {
        if self.take("*") {
            self.expect("]")?;
            return Ok(Step::AnyElement);
        }
        let mut subscripts = Vec::new();
        self.subscripts += 1;
        loop {
            let from = self.any()?;
            let from = self.value(from)?;
            let to = if self.take_word("to") {
                let to = self.any()?;
                Some(self.value(to)?)
            } else {
                None
            };
            subscripts.push((from, to));
            if !self.take(",") {
                break;
            }
        }
        self.subscripts -= 1;
        self.expect("]")?;
        Ok(Step::Elements(subscripts))
    }

    fn descent(&mut self) -> Result<Step, EvalError> {
        if !self.take("{") {
            return Ok(Step::Descend(Some(0), None));
        }
        let from = self.level()?;
        let to = if self.take_word("to") { self.level()? } else { from };
        self.expect("}")?;
        Ok(Step::Descend(from, to))
    }

    /// A level of `**`; none is the last.
    fn level(&mut self) -> Result<Option<u32>, EvalError> {
        if self.take_word("last") {
            return Ok(None);
        }
        let level = match self.peek() {
            Some(Token::Number(number)) => number.to_i128().and_then(|level| u32::try_from(level).ok()),
            _ => None,
        };
        match level {
            Some(level) => {
                self.place += 1;
                Ok(Some(level))
            }
            None => Err(self.unexpected()),
        }
    }
}

/// The flags of XQuery as those of our regular expressions.
fn regex_flags(flags: &str) -> Result<String, EvalError> {
    let mut out = String::new();
    for flag in flags.chars() {
        match flag {
            'i' | 'q' => out.push(flag),
            's' => {}
            'm' => out.push('w'),
            'x' => {
                let message = "XQuery \"x\" flag (expanded regular expressions) is not implemented";
                return Err(EvalError::new("0A000", message));
            }
            other => {
                return Err(syntax("invalid input syntax for type jsonpath".to_owned())
                    .with_detail(format!("Unrecognized flag character \"{other}\" in LIKE_REGEX predicate.")));
            }
        }
    }
    if !flags.contains('s') {
        out.push('p');
    }
    Ok(out)
}
