//! Lists of options: `(NAME [=] value, ...)`.

use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use crate::error::Error;

/// One option as written.
#[derive(Clone, Debug)]
pub(crate) struct OptionItem {
    /// One of the names that were allowed, such as `tick interval`.
    pub(crate) name: &'static str,
    /// None for a flag without value.
    value: Option<OptionValue>,
    pub(crate) position: usize,
}

#[derive(Clone, Debug)]
enum OptionValue {
    String(String),
    Number(String),
    Word(Ident),
}

impl OptionItem {
    /// The value as text: what a string holds, a number or a word as written.
    pub(crate) fn text(&self) -> Result<&str, Error> {
        match &self.value {
            Some(OptionValue::String(text) | OptionValue::Number(text)) => Ok(text),
            Some(OptionValue::Word(ident)) => Ok(&ident.value),
            None => Err(self.invalid("a value")),
        }
    }

    pub(crate) fn unsigned(&self) -> Result<u64, Error> {
        self.text()?.parse().map_err(|_| self.invalid("an unsigned integer"))
    }

    /// A flag: no value is true.
    pub(crate) fn flag(&self) -> Result<bool, Error> {
        if self.value.is_none() {
            return Ok(true);
        }
        match self.text()?.to_lowercase().as_str() {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            _ => Err(self.invalid("a boolean")),
        }
    }

    /// 22023: the value is not `what`.
    pub(crate) fn invalid(&self, what: &str) -> Error {
        Error::new("22023", format!("option {} must be {what}", self.name.to_uppercase())).at(self.position)
    }
}

impl Cursor<'_> {
    /// Reads `(NAME [=] value, ...)`; may be empty. Errors: 42601 for a name that is not in `allowed`, 0A000 for one in
    /// `refused`.
    pub(crate) fn option_list(
        &mut self,
        allowed: &[&'static str],
        refused: &[&'static str],
    ) -> Result<Vec<OptionItem>, Error> {
        self.expect_token(&Token::LParen)?;
        let mut options = Vec::new();
        while *self.peek() != Token::RParen {
            options.push(self.option(allowed, refused)?);
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(options)
    }

    /// Reads `NAME [=] value` or `NAME`.
    pub(crate) fn option(&mut self, allowed: &[&'static str], refused: &[&'static str]) -> Result<OptionItem, Error> {
        let position = self.position();
        // `AS OF` before a value is marked: see `desugar`.
        if allowed.contains(&"as of") && self.take_as_of() {
            let value = self.option_value()?;
            return Ok(OptionItem { name: "as of", value, position });
        }
        let longest = |names: &[&'static str]| {
            let matching = names.iter().copied().filter(|name| {
                let words: Vec<&str> = name.split(' ').collect();
                self.peek_words(&words)
            });
            matching.max_by_key(|name| name.len())
        };
        if let Some(name) = longest(refused) {
            return Err(self.unsupported(&format!("option {}", name.to_uppercase())));
        }
        let Some(name) = longest(allowed) else {
            let names: Vec<String> = allowed.iter().map(|name| name.to_uppercase()).collect();
            return Err(self.expected(&format!("one of the options {}", names.join(", "))));
        };
        name.split(' ').for_each(|_| {
            self.advance();
        });
        let explicit = self.take_token(&Token::Eq);
        let value = self.option_value()?;
        if explicit && value.is_none() {
            return Err(self.expected("a value"));
        }
        Ok(OptionItem { name, value, position })
    }

    fn option_value(&mut self) -> Result<Option<OptionValue>, Error> {
        Ok(match self.peek().clone() {
            Token::Number(digits, _) => {
                self.advance();
                Some(OptionValue::Number(digits.replace('_', "")))
            }
            Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_) => {
                Some(OptionValue::String(self.string()?))
            }
            Token::Word(word) => {
                let position = self.position();
                self.advance();
                let mut ident = match word.quote_style {
                    Some(quote) => Ident::with_quote(quote, word.value),
                    None => Ident::new(word.value),
                };
                ident.span.start.line = 1;
                ident.span.start.column = position as u64;
                Some(OptionValue::Word(ident))
            }
            _ => None,
        })
    }
}
