//! `SIMILAR TO`: SQL's own regular expressions.

use repr::{Arena, Datum};

use super::ArgType::{Bool, Text};
use super::regexp::{compile, groups};
use super::{FuncDef, Value, function, internal};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    internal(
        "is_similar",
        &[Text, Text],
        Bool,
        |a, _, _| matches(a[0].unwrap_text(), a[1].unwrap_text(), Some("\\")),
        "Matches one of SQL's regular expressions as a whole.",
    )
    .fallible(),
    internal(
        "is_similar_escape",
        &[Text, Text, Text],
        Bool,
        |a, _, _| matches(a[0].unwrap_text(), a[1].unwrap_text(), Some(a[2].unwrap_text())),
        "Matches one of SQL's regular expressions as a whole, with an escape character.",
    )
    .fallible(),
    function(
        "substring_similar",
        "substring",
        &[Text, Text, Text],
        Text,
        substring,
        "The part of a text between the separators of one of SQL's regular expressions.",
    )
    .fallible()
    .nullable(),
];

fn matches<'a>(value: &str, pattern: &str, escape: Option<&str>) -> Value<'a> {
    Ok(Datum::Bool(compile(&translated(pattern, escape)?, "s")?.is_match(value)))
}

fn substring<'a>(args: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    let regex = compile(&translated(args[1].unwrap_text(), Some(args[2].unwrap_text()))?, "s")?;
    let captures = regex.captures(args[0].unwrap_text());
    Ok(captures.and_then(|captures| groups(&captures).first().copied()).unwrap_or(Datum::Null))
}

const START: &str = "^(?:";

/// The pattern with `%` as `.*`, `_` as `.`, and escape-double-quote as the separators of three parts.
fn translated(pattern: &str, escape: Option<&str>) -> Result<String, EvalError> {
    let mut characters = escape.unwrap_or("").chars();
    let escape = match (characters.next(), characters.next()) {
        (escape, None) => escape,
        _ => {
            let hint = "Escape string must be empty or one character.";
            return Err(EvalError::new("22025", "invalid escape string").with_hint(hint));
        }
    };
    let mut out = String::from(START);
    let (mut in_class, mut separators, mut escaped) = (false, 0, false);
    for character in pattern.chars() {
        if escaped {
            escaped = false;
            if character == '"' && !in_class {
                match separators {
                    // The first part takes as little as it can.
                    0 => {
                        out.replace_range(..START.len(), "^(?U:");
                        out.push_str(")(");
                    }
                    1 => out.push_str(")(?:"),
                    _ => {
                        let message =
                            "SQL regular expression may not contain more than two escape-double-quote separators";
                        return Err(EvalError::new("2200C", message));
                    }
                }
                separators += 1;
            } else {
                // What is no letter stands for itself behind a backslash.
                out.push_str(&regex::escape(&character.to_string()));
            }
            continue;
        }
        if Some(character) == escape {
            escaped = true;
            continue;
        }
        if in_class {
            in_class = character != ']';
            match character {
                '\\' => out.push_str("\\\\"),
                // The library gives these a meaning inside of brackets that SQL does not know.
                '[' | '&' | '~' => out.extend(['\\', character]),
                other => out.push(other),
            }
            continue;
        }
        match character {
            '[' => {
                in_class = true;
                out.push('[');
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '\\' | '.' | '^' | '$' => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    out.push_str(")$");
    Ok(out)
}
