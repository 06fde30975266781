//! From a node of a statement's syntax tree to the character of the statement's text where it stands.
//!
//! The parser knows places as lines and columns. [`absolute`] rewrites the places of all tokens before they are parsed, so
//! that each column is the character offset in the whole text (from 1) and each line is 1; the places of syntax tree nodes
//! and those in the parser's messages come from the tokens, so they are offsets too, and nothing below needs the text.

use sqlparser::ast::Spanned;
use sqlparser::tokenizer::{Location, Span, TokenWithSpan};

/// Rewrites the places of `tokens`, which the tokenizer made from `text`, to character offsets from 1.
pub(crate) fn absolute(tokens: &mut [TokenWithSpan], text: &str) {
    // The number of characters before each line.
    let mut before = vec![0u64];
    let mut count = 0;
    for character in text.chars() {
        count += 1;
        if character == '\n' {
            before.push(count);
        }
    }
    let offset = |location: Location| match location.line.checked_sub(1).and_then(|line| before.get(line as usize)) {
        Some(before) => Location { line: 1, column: before + location.column },
        None => location,
    };
    for token in tokens {
        token.span = Span { start: offset(token.span.start), end: offset(token.span.end) };
    }
}

/// The character offset, from 1, where `span` starts; None if the parser kept no place.
pub(crate) fn of_span(span: Span) -> Option<usize> {
    (span.start.line != 0).then_some(span.start.column as usize)
}

/// The character offset, from 1, where `node` starts; None if the parser kept no place.
pub(crate) fn of(node: &impl Spanned) -> Option<usize> {
    of_span(node.span())
}

#[cfg(test)]
mod tests {
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::tokenizer::Tokenizer;

    use super::*;

    #[test]
    fn offsets_count_characters_over_lines() {
        let text = "SELECT 'é',\n  b";
        let mut tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().expect("tokens");
        absolute(&mut tokens, text);
        let last = tokens.iter().rfind(|token| token.token.to_string() == "b").expect("the last word");
        assert_eq!(of_span(last.span), Some(15));
        assert_eq!(of_span(Span::empty()), None);
    }
}
