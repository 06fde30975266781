//! Forms inside queries that the `sqlparser` crate has no grammar for, told to it as others (decision record 0001).
//!
//! | written | becomes |
//! |---|---|
//! | `WITH MUTUALLY RECURSIVE (RETURN AT ...) a (...) AS` | `WITH RECURSIVE "mutually recursive" AS (SELECT 'return at ...'), a (...) AS` |
//! | `FROM ROWS FROM (f(x), g(y))` | `FROM "rows from" (f(x), g(y))` |
//! | `GROUPING SETS` inside GROUPING SETS | a call of `"grouping sets"` |
//! | `EXCLUDE TIES` at the end of a window | `PARTITION BY "exclude ties"` at its start |
//! | `RANGE '1 day'::interval PRECEDING` | `RANGE ('1 day')::interval PRECEDING`: the crate takes a bare string for an interval |
//!
//! What replaces a token has its place, so that errors point into the user's text. The quoted names have blanks in them: what
//! a user names alike means the same, and a definition that is printed and read again stays what it was.

use expr::aggregate::Exclude;
use sqlparser::ast::Expr;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Whitespace};

use super::desugar::{is_space, is_word, keyword};

/// The name of the first WITH item of a WITH MUTUALLY RECURSIVE; its query's one value is the text of the options.
pub(crate) const MUTUALLY_RECURSIVE: &str = "mutually recursive";
/// The name of the function whose arguments are the functions of a ROWS FROM.
pub(crate) const ROWS_FROM: &str = "rows from";
/// The name of the function whose arguments are the members of an inner GROUPING SETS.
pub(crate) const GROUPING_SETS: &str = "grouping sets";

const EXCLUSIONS: [(&str, &[&str], Option<Exclude>); 4] = [
    ("exclude current row", &["current", "row"], Some(Exclude::CurrentRow)),
    ("exclude group", &["group"], Some(Exclude::Group)),
    ("exclude ties", &["ties"], Some(Exclude::Ties)),
    ("exclude no others", &["no", "others"], Some(Exclude::Nothing)),
];

/// The expressions of a PARTITION BY without the one that stands for EXCLUDE, and that one.
pub(crate) fn excluded(partition_by: &[Expr]) -> (Vec<Expr>, Option<Exclude>) {
    let exclusion = |expr: &Expr| match expr {
        Expr::Identifier(ident) if ident.quote_style == Some('"') => {
            EXCLUSIONS.iter().find(|(name, ..)| *name == ident.value).and_then(|(_, _, exclude)| *exclude)
        }
        _ => None,
    };
    let exclude = partition_by.iter().find_map(exclusion);
    (partition_by.iter().filter(|expr| exclusion(expr).is_none()).cloned().collect(), exclude)
}

/// The words behind EXCLUDE that the name `marker` stands for.
pub(super) fn exclusion_words(marker: &str) -> Option<&'static [&'static str]> {
    EXCLUSIONS.iter().find(|(name, ..)| *name == marker).map(|(_, words, _)| *words)
}

/// Tokens `from` to `to`, exclusive, to be replaced.
struct Edit {
    from: usize,
    to: usize,
    tokens: Vec<TokenWithSpan>,
}

/// An open bracket: its place among the words.
struct Open {
    at: usize,
    of_sets: bool,
}

/// Rewrites all forms.
pub(super) fn rewrite(tokens: &mut Vec<TokenWithSpan>) {
    let words: Vec<usize> = (0..tokens.len()).filter(|index| !is_space(&tokens[*index])).collect();
    let mut edits = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let walk = Walk { tokens, words: &words };
    for at in 0..words.len() {
        match walk.token(at) {
            Some(Token::LParen) => {
                let of_sets = at > 1 && walk.is(at - 1, "sets") && walk.is(at - 2, "grouping");
                open.push(Open { at, of_sets });
            }
            Some(Token::RParen) => {
                open.pop();
            }
            Some(token) => match keyword(token) {
                Some(Keyword::GROUPING) if open.last().is_some_and(|open| open.of_sets) => {
                    edits.extend(walk.inner_sets(at));
                }
                Some(Keyword::ROWS | Keyword::RANGE | Keyword::GROUPS | Keyword::BETWEEN | Keyword::AND)
                    if open.last().is_some_and(|open| walk.is_window(open.at))
                        && matches!(walk.token(at + 1), Some(Token::SingleQuotedString(_))) =>
                {
                    edits.push(walk.in_brackets(at + 1));
                }
                Some(Keyword::WITH) => edits.extend(walk.mutually_recursive(at)),
                Some(Keyword::ROWS) => edits.extend(walk.rows_from(at)),
                Some(Keyword::EXCLUDE) => {
                    edits.extend(open.last().into_iter().flat_map(|open| walk.exclude(at, open.at)))
                }
                _ => {}
            },
            None => {}
        }
    }
    edits.sort_by_key(|edit| edit.from);
    for Edit { from, to, tokens: replacement } in edits.into_iter().rev() {
        tokens.splice(from..to, replacement);
    }
}

struct Walk<'t> {
    tokens: &'t [TokenWithSpan],
    /// The tokens that are not white space.
    words: &'t [usize],
}

impl Walk<'_> {
    fn token(&self, at: usize) -> Option<&Token> {
        self.words.get(at).map(|index| &self.tokens[*index].token)
    }

    fn is(&self, at: usize, text: &str) -> bool {
        is_word(self.token(at), text)
    }

    fn span(&self, at: usize) -> Span {
        self.tokens[self.words[at]].span
    }

    fn name(&self, at: usize, name: &str) -> TokenWithSpan {
        TokenWithSpan { token: Token::make_word(name, Some('"')), span: self.span(at) }
    }

    /// Replaces the words `from` to `to`, exclusive.
    fn edit(&self, from: usize, to: usize, tokens: Vec<TokenWithSpan>) -> Edit {
        Edit { from: self.words[from], to: self.words[to - 1] + 1, tokens }
    }

    /// True for the bracket of a window, or of another thing named by AS.
    fn is_window(&self, open: usize) -> bool {
        let before = open.checked_sub(1).and_then(|before| self.token(before)).and_then(keyword);
        matches!(before, Some(Keyword::OVER | Keyword::AS))
    }

    fn in_brackets(&self, at: usize) -> Edit {
        let token = |token| TokenWithSpan { token, span: self.span(at) };
        let tokens = vec![token(Token::LParen), self.tokens[self.words[at]].clone(), token(Token::RParen)];
        self.edit(at, at + 1, tokens)
    }

    fn inner_sets(&self, at: usize) -> Option<Edit> {
        let found = self.is(at + 1, "sets") && self.token(at + 2) == Some(&Token::LParen);
        found.then(|| self.edit(at, at + 2, vec![self.name(at, GROUPING_SETS)]))
    }

    fn rows_from(&self, at: usize) -> Option<Edit> {
        if !self.is(at + 1, "from") || self.token(at + 2) != Some(&Token::LParen) {
            return None;
        }
        let before = at.checked_sub(1).and_then(|before| self.token(before));
        // Behind a comma it may be the last column of a select list.
        let calls = matches!(self.token(at + 3), Some(Token::Word(_))) && self.token(at + 4) == Some(&Token::LParen);
        let in_from = match before {
            Some(Token::Comma) => calls,
            Some(token) => matches!(keyword(token), Some(Keyword::FROM | Keyword::JOIN | Keyword::LATERAL)),
            None => false,
        };
        in_from.then(|| self.edit(at, at + 2, vec![self.name(at, ROWS_FROM)]))
    }

    fn mutually_recursive(&self, at: usize) -> Option<Edit> {
        if !self.is(at + 1, "mutually") || !self.is(at + 2, "recursive") {
            return None;
        }
        let (mut options, mut end) = (Vec::new(), at + 3);
        if self.token(end) == Some(&Token::LParen) {
            end += 1;
            while let Some(token) = self.token(end).filter(|token| **token != Token::RParen) {
                options.push(token.to_string().to_lowercase());
                end += 1;
            }
            self.token(end)?;
            end += 1;
        }
        let place = if end > at + 3 { at + 4 } else { at + 1 };
        let plain = |token| TokenWithSpan { token, span: self.span(at + 1) };
        let words = |text: &str| plain(Token::make_keyword(text));
        let option = Token::SingleQuotedString(options.join(" "));
        let tokens = vec![
            words("RECURSIVE"),
            plain(Token::Whitespace(Whitespace::Space)),
            self.name(at + 1, MUTUALLY_RECURSIVE),
            words("AS"),
            plain(Token::LParen),
            words("SELECT"),
            TokenWithSpan { token: option, span: self.span(place) },
            plain(Token::RParen),
            plain(Token::Comma),
        ];
        Some(self.edit(at + 1, end, tokens))
    }

    /// Takes the exclusion away at the end of the window that opens at `open`, and puts its name at the start.
    fn exclude(&self, at: usize, open: usize) -> Vec<Edit> {
        let named = |words: &[&str]| {
            words.iter().enumerate().all(|(place, word)| self.is(at + 1 + place, word))
                && self.token(at + 1 + words.len()) == Some(&Token::RParen)
        };
        let Some((name, words, _)) = EXCLUSIONS.iter().find(|(_, words, _)| named(words)) else { return Vec::new() };
        if !self.is_window(open) {
            return Vec::new();
        }
        let plain = |token| TokenWithSpan { token, span: self.span(at) };
        let marker = self.name(at, name);
        let space = || plain(Token::Whitespace(Whitespace::Space));
        let (behind, tokens) = if self.is(open + 1, "partition") && self.is(open + 2, "by") {
            (open + 2, vec![space(), marker, plain(Token::Comma)])
        } else {
            // A name in front is the window that this one starts from.
            let starts = matches!(self.token(open + 1), Some(Token::Word(word)) if word.keyword == Keyword::NoKeyword);
            let by = [Token::make_keyword("PARTITION"), Token::make_keyword("BY")].map(plain);
            (if starts { open + 1 } else { open }, by.into_iter().chain([marker, space()]).collect())
        };
        let insert = Edit { from: self.words[behind] + 1, to: self.words[behind] + 1, tokens };
        vec![insert, self.edit(at, at + 1 + words.len(), vec![space()])]
    }
}
