//! Regular expressions: the syntax of the `regex` crate, with PostgreSQL's options and word-boundary escapes.

use std::cell::RefCell;
use std::collections::BTreeMap;

use regex::{Captures, Regex, RegexBuilder};
use repr::{Arena, Datum};

use super::ArgType::{Bool, Int4, Text, TextArray};
use super::array::text_array;
use super::{FuncDef, Value, check_length, function, invalid_parameter, operator, text};
use crate::error::EvalError;

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Largest compiled form, in bytes.
const COMPILED_BYTES_MAX: usize = 10 << 20;

/// Compiled patterns kept by each thread; beyond that all are forgotten.
const CACHED_PATTERNS_MAX: usize = 64;

pub(super) static TABLE: &[FuncDef] = &[
    operator(
        "regexp_is_match",
        "~",
        &[Text, Text],
        Bool,
        |a, _, _| is_match(a, "", true),
        "Matches a regular expression.",
    )
    .fallible(),
    operator(
        "regexp_is_match_ci",
        "~*",
        &[Text, Text],
        Bool,
        |a, _, _| is_match(a, "i", true),
        "Matches a regular expression, whatever the case of letters.",
    )
    .fallible(),
    operator(
        "regexp_is_not_match",
        "!~",
        &[Text, Text],
        Bool,
        |a, _, _| is_match(a, "", false),
        "Does not match a regular expression.",
    )
    .fallible(),
    operator(
        "regexp_is_not_match_ci",
        "!~*",
        &[Text, Text],
        Bool,
        |a, _, _| is_match(a, "i", false),
        "Does not match a regular expression, whatever the case of letters.",
    )
    .fallible(),
    function(
        "regexp_like",
        "regexp_like",
        &[Text, Text],
        Bool,
        |a, _, _| is_match(a, "", true),
        "Matches a regular expression.",
    )
    .fallible(),
    function(
        "regexp_like_flags",
        "regexp_like",
        &[Text, Text, Text],
        Bool,
        |a, _, _| is_match(a, not_global("regexp_like", string(a, 2))?, true),
        "Matches a regular expression with options.",
    )
    .fallible(),
    function(
        "regexp_match",
        "regexp_match",
        &[Text, Text],
        TextArray,
        |a, _, arena| first_match(string(a, 0), string(a, 1), "", arena),
        "The groups of the first match, or the match if there are no groups; NULL without a match.",
    )
    .fallible()
    .nullable(),
    function(
        "regexp_match_flags",
        "regexp_match",
        &[Text, Text, Text],
        TextArray,
        |a, _, arena| first_match(string(a, 0), string(a, 1), not_global("regexp_match", string(a, 2))?, arena),
        "The groups of the first match, with options.",
    )
    .fallible()
    .nullable(),
    function(
        "regexp_replace",
        "regexp_replace",
        &[Text, Text, Text],
        Text,
        |a, _, arena| replace(a, "", arena),
        "With the first match replaced; \\1 is the first group, \\& the match.",
    )
    .fallible(),
    function(
        "regexp_replace_flags",
        "regexp_replace",
        &[Text, Text, Text, Text],
        Text,
        |a, _, arena| replace(a, string(a, 3), arena),
        "With the first match, or by the option g all, replaced.",
    )
    .fallible(),
    function(
        "regexp_substr",
        "regexp_substr",
        &[Text, Text],
        Text,
        |a, _, _| whole_match(string(a, 0), string(a, 1)),
        "The first match; NULL without one.",
    )
    .fallible()
    .nullable(),
    function(
        "substring_regexp",
        "substring",
        &[Text, Text],
        Text,
        |a, _, _| group_or_match(string(a, 0), string(a, 1)),
        "The first group of the first match, or the match if there are no groups; NULL without a match.",
    )
    .fallible()
    .nullable(),
    function("regexp_count", "regexp_count", &[Text, Text], Int4, |a, _, _| count(a), "The number of matches.")
        .fallible(),
    function(
        "regexp_count_start",
        "regexp_count",
        &[Text, Text, Int4],
        Int4,
        |a, _, _| count(a),
        "The number of matches from a character on.",
    )
    .fallible(),
    function(
        "regexp_count_flags",
        "regexp_count",
        &[Text, Text, Int4, Text],
        Int4,
        |a, _, _| count(a),
        "The number of matches from a character on, with options.",
    )
    .fallible(),
    function(
        "regexp_instr",
        "regexp_instr",
        &[Text, Text],
        Int4,
        |a, _, _| position(a),
        "The character at which the first match starts, from 1; 0 without one.",
    )
    .fallible(),
    function(
        "regexp_instr_start",
        "regexp_instr",
        &[Text, Text, Int4],
        Int4,
        |a, _, _| position(a),
        "The character at which the first match from a character on starts.",
    )
    .fallible(),
    function(
        "regexp_instr_nth",
        "regexp_instr",
        &[Text, Text, Int4, Int4],
        Int4,
        |a, _, _| position(a),
        "The character at which the nth match starts.",
    )
    .fallible(),
    function(
        "regexp_instr_end",
        "regexp_instr",
        &[Text, Text, Int4, Int4, Int4],
        Int4,
        |a, _, _| position(a),
        "The character at which the nth match starts or, with 1, behind which it ends.",
    )
    .fallible(),
    function(
        "regexp_instr_flags",
        "regexp_instr",
        &[Text, Text, Int4, Int4, Int4, Text],
        Int4,
        |a, _, _| position(a),
        "The character at which the nth match starts or ends, with options.",
    )
    .fallible(),
    function(
        "regexp_instr_group",
        "regexp_instr",
        &[Text, Text, Int4, Int4, Int4, Text, Int4],
        Int4,
        |a, _, _| position(a),
        "The character at which a group of the nth match starts or ends.",
    )
    .fallible(),
    function(
        "regexp_substr_start",
        "regexp_substr",
        &[Text, Text, Int4],
        Text,
        |a, _, _| nth_match(a),
        "The first match from a character on; NULL without one.",
    )
    .fallible()
    .nullable(),
    function(
        "regexp_substr_nth",
        "regexp_substr",
        &[Text, Text, Int4, Int4],
        Text,
        |a, _, _| nth_match(a),
        "The nth match; NULL without one.",
    )
    .fallible()
    .nullable(),
    function(
        "regexp_substr_flags",
        "regexp_substr",
        &[Text, Text, Int4, Int4, Text],
        Text,
        |a, _, _| nth_match(a),
        "The nth match, with options.",
    )
    .fallible()
    .nullable(),
    function(
        "regexp_substr_group",
        "regexp_substr",
        &[Text, Text, Int4, Int4, Text, Int4],
        Text,
        |a, _, _| nth_match(a),
        "A group of the nth match.",
    )
    .fallible()
    .nullable(),
    function(
        "regexp_replace_start",
        "regexp_replace",
        &[Text, Text, Text, Int4],
        Text,
        |a, _, arena| replace_nth(a, "", arena),
        "With the first match from a character on replaced.",
    )
    .fallible(),
    function(
        "regexp_replace_nth",
        "regexp_replace",
        &[Text, Text, Text, Int4, Int4],
        Text,
        |a, _, arena| replace_nth(a, "", arena),
        "With the nth match from a character on, or for 0 all, replaced.",
    )
    .fallible(),
    function(
        "regexp_replace_nth_flags",
        "regexp_replace",
        &[Text, Text, Text, Int4, Int4, Text],
        Text,
        |a, _, arena| replace_nth(a, string(a, 5), arena),
        "With the nth match from a character on, or for 0 all, replaced, with options.",
    )
    .fallible(),
    function(
        "regexp_split_to_array",
        "regexp_split_to_array",
        &[Text, Text],
        TextArray,
        |a, _, arena| split_to_array(string(a, 0), string(a, 1), "", arena),
        "The parts between matches.",
    )
    .fallible(),
    function(
        "regexp_split_to_array_flags",
        "regexp_split_to_array",
        &[Text, Text, Text],
        TextArray,
        |a, _, arena| {
            split_to_array(string(a, 0), string(a, 1), not_global("regexp_split_to_array", string(a, 2))?, arena)
        },
        "The parts between matches, with options.",
    )
    .fallible(),
];

thread_local! {
    /// Patterns are nearly always constants, and compiling one costs a thousand matches.
    static COMPILED: RefCell<BTreeMap<(String, String), Regex>> = const { RefCell::new(BTreeMap::new()) };
}

/// Compiles a pattern with PostgreSQL's options, `g` among them but without meaning here.
pub(crate) fn compile(pattern: &str, flags: &str) -> Result<Regex, EvalError> {
    let key = (pattern.to_owned(), flags.to_owned());
    if let Some(regex) = COMPILED.with_borrow(|cache| cache.get(&key).cloned()) {
        return Ok(regex);
    }
    let regex = compile_anew(pattern, flags)?;
    COMPILED.with_borrow_mut(|cache| {
        if cache.len() >= CACHED_PATTERNS_MAX {
            cache.clear();
        }
        cache.insert(key, regex.clone());
    });
    Ok(regex)
}

/// The letters that stand for options in a pattern.
const OPTIONS: &str = "bceimnpqstwx";

fn compile_anew(pattern: &str, flags: &str) -> Result<Regex, EvalError> {
    let invalid = |message: String| EvalError::new("2201B", format!("invalid regular expression: {message}"));
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(invalid(format!("pattern exceeds {PATTERN_BYTES_MAX} bytes")));
    }
    let (embedded, pattern) = embedded_options(pattern);
    if embedded.contains(|option| !OPTIONS.contains(option)) {
        return Err(invalid("invalid embedded option".into()));
    }
    let flags = &[flags, embedded].concat();
    let literal = flags.contains('q');
    let pattern = if literal {
        regex::escape(pattern)
    } else {
        translated(pattern).ok_or_else(|| invalid("quantifier operand invalid".into()))?
    };
    let mut builder = RegexBuilder::new(&pattern);
    builder.size_limit(COMPILED_BYTES_MAX).dot_matches_new_line(true);
    for flag in flags.chars() {
        match flag {
            'g' | 't' | 'q' | 'e' => {}
            'i' => drop(builder.case_insensitive(true)),
            'c' => drop(builder.case_insensitive(false)),
            'n' | 'm' => drop(builder.multi_line(true).dot_matches_new_line(false)),
            'p' => drop(builder.dot_matches_new_line(false)),
            'w' => drop(builder.multi_line(true)),
            's' => drop(builder.multi_line(false).dot_matches_new_line(true)),
            'x' => drop(builder.ignore_whitespace(true)),
            other => return Err(invalid_parameter(format!("invalid regular expression option: \"{other}\""))),
        }
    }
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => invalid("compiled form is too large".into()),
        // The library's message draws the pattern on several lines; the last one says what is wrong.
        other => {
            let message = other.to_string();
            let reason = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
            invalid(reason.to_owned())
        }
    })
}

/// The options of `(?xyz)` at the start of a pattern, which come after those of the call, and the pattern behind them.
fn embedded_options(pattern: &str) -> (&str, &str) {
    let inside = pattern.strip_prefix("(?").and_then(|rest| rest.split_once(')'));
    let is_letters = |options: &str| !options.is_empty() && options.bytes().all(|byte| byte.is_ascii_alphabetic());
    match inside {
        Some((options, rest)) if is_letters(options) => (options, rest),
        _ => ("", pattern),
    }
}

/// PostgreSQL's escapes for word boundaries and ends, in the library's spelling. None: a place is to be repeated, such as the
/// start in `^*`, which the library would allow.
fn translated(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    // In brackets there are no places.
    let (mut in_brackets, mut is_place) = (false, false);
    while let Some(character) = rest.next() {
        let counts = character == '{' && rest.peek().is_some_and(char::is_ascii_digit);
        if is_place && (counts || matches!(character, '*' | '+' | '?')) {
            return None;
        }
        is_place = !in_brackets && matches!(character, '^' | '$');
        out.push(character);
        match character {
            '[' if !in_brackets => {
                in_brackets = true;
                // A bracket that comes first closes nothing.
                out.extend(rest.next_if_eq(&'^'));
                out.extend(rest.next_if_eq(&']'));
            }
            // The name of a class.
            '[' if rest.peek() == Some(&':') => {
                while let Some(inner) = rest.next_if(|inner| *inner != ']') {
                    out.push(inner);
                }
                out.extend(rest.next());
            }
            ']' => in_brackets = false,
            '\\' => {
                out.pop();
                let escaped = rest.next();
                is_place = !in_brackets && matches!(escaped, Some('A' | 'm' | 'M' | 'y' | 'Y' | 'Z'));
                match escaped {
                    Some('y') => out.push_str("\\b"),
                    Some('Y') => out.push_str("\\B"),
                    Some('m') => out.push_str("\\b{start}"),
                    Some('M') => out.push_str("\\b{end}"),
                    Some('Z') => out.push_str("\\z"),
                    Some(other) => out.extend(['\\', other]),
                    None => out.push('\\'),
                }
            }
            _ => {}
        }
    }
    Some(out)
}

fn string<'a>(args: &[Datum<'a>], index: usize) -> &'a str {
    args[index].unwrap_text()
}

pub(crate) fn not_global<'a>(function: &str, flags: &'a str) -> Result<&'a str, EvalError> {
    if flags.contains('g') {
        return Err(invalid_parameter(format!("{function}() does not support the \"global\" option")));
    }
    Ok(flags)
}

fn is_match<'a>(args: &[Datum<'_>], flags: &str, wanted: bool) -> Value<'a> {
    Ok(Datum::Bool(compile(string(args, 1), flags)?.is_match(string(args, 0)) == wanted))
}

/// The groups of one match, or the whole match if the pattern has no groups.
pub(crate) fn groups<'a>(captures: &Captures<'a>) -> Vec<Datum<'a>> {
    let first = usize::from(captures.len() > 1);
    let groups = captures.iter().skip(first);
    groups.map(|group| group.map_or(Datum::Null, |group| Datum::Text(group.as_str()))).collect()
}

fn first_match<'a>(value: &'a str, pattern: &str, flags: &str, arena: &'a Arena) -> Value<'a> {
    match compile(pattern, flags)?.captures(value) {
        Some(captures) => Ok(text_array(&groups(&captures), arena)),
        None => Ok(Datum::Null),
    }
}

fn whole_match<'a>(value: &'a str, pattern: &str) -> Value<'a> {
    Ok(compile(pattern, "")?.find(value).map_or(Datum::Null, |found| Datum::Text(found.as_str())))
}

fn group_or_match<'a>(value: &'a str, pattern: &str) -> Value<'a> {
    let captures = compile(pattern, "")?.captures(value);
    Ok(captures.and_then(|captures| groups(&captures).first().copied()).unwrap_or(Datum::Null))
}

/// The matches from a byte on. Behind a match the search goes on where it ended, behind an empty one a character further.
pub(crate) fn matches<'r, 't>(
    regex: &'r Regex,
    value: &'t str,
    start: usize,
) -> impl Iterator<Item = Captures<'t>> + use<'r, 't> {
    let mut next = Some(start);
    std::iter::from_fn(move || {
        let captures = regex.captures_at(value, next.filter(|next| *next <= value.len())?)?;
        let found = captures.get(0)?;
        next = Some(match value[found.end()..].chars().next() {
            Some(character) if found.is_empty() => found.end() + character.len_utf8(),
            None if found.is_empty() => found.end() + 1,
            _ => found.end(),
        });
        Some(captures)
    })
}

/// The number in an argument, if there is one. Errors: 22023 below `least`.
fn number(args: &[Datum<'_>], index: usize, name: &str, least: i64) -> Result<Option<usize>, EvalError> {
    let Some(given) = args.get(index).map(|arg| arg.unwrap_int()) else { return Ok(None) };
    let valid = usize::try_from(given).ok().filter(|_| given >= least);
    let invalid = || invalid_parameter(format!("invalid value for parameter \"{name}\": {given}"));
    valid.map(Some).ok_or_else(invalid)
}

/// The byte of the nth character, from 1; behind the end there is none.
fn byte_of(value: &str, character: usize) -> Option<usize> {
    value.char_indices().map(|(index, _)| index).chain([value.len()]).nth(character - 1)
}

/// The matches from the character in the argument `index` on.
fn matches_from<'t>(
    args: &[Datum<'t>],
    index: usize,
    flags: &str,
) -> Result<impl Iterator<Item = Captures<'t>> + use<'t>, EvalError> {
    let value = string(args, 0);
    let start = number(args, index, "start", 1)?.unwrap_or(1);
    let regex = compile(string(args, 1), flags)?;
    let found: Vec<Captures<'t>> = match byte_of(value, start) {
        Some(start) => matches(&regex, value, start).collect(),
        None => Vec::new(),
    };
    Ok(found.into_iter())
}

fn count<'a>(args: &[Datum<'a>]) -> Value<'a> {
    let flags = args.get(3).map_or("", |flags| flags.unwrap_text());
    let flags = not_global("regexp_count", flags)?;
    Ok(Datum::Int(matches_from(args, 2, flags)?.count() as i64))
}

/// The group that the arguments behind `text, pattern, start, n` select.
fn nth_group<'t>(args: &[Datum<'t>], function: &str, flags: usize) -> Result<Option<regex::Match<'t>>, EvalError> {
    number(args, 2, "start", 1)?;
    let nth = number(args, 3, "n", 1)?.unwrap_or(1);
    let group = number(args, flags + 1, "subexpr", 0)?.unwrap_or(0);
    let flags = not_global(function, args.get(flags).map_or("", |flags| flags.unwrap_text()))?;
    let found = matches_from(args, 2, flags)?.nth(nth - 1);
    Ok(found.and_then(|captures| captures.get(group)))
}

fn position<'a>(args: &[Datum<'a>]) -> Value<'a> {
    let end = match args.get(4).map(|end| end.unwrap_int()) {
        None | Some(0) => false,
        Some(1) => true,
        Some(other) => return Err(invalid_parameter(format!("invalid value for parameter \"endoption\": {other}"))),
    };
    let Some(found) = nth_group(args, "regexp_instr", 5)? else { return Ok(Datum::Int(0)) };
    let byte = if end { found.end() } else { found.start() };
    Ok(Datum::Int(string(args, 0)[..byte].chars().count() as i64 + 1))
}

fn nth_match<'a>(args: &[Datum<'a>]) -> Value<'a> {
    Ok(nth_group(args, "regexp_substr", 4)?.map_or(Datum::Null, |found| Datum::Text(found.as_str())))
}

fn replace<'a>(args: &[Datum<'a>], flags: &str, arena: &'a Arena) -> Value<'a> {
    let regex = compile(string(args, 1), flags)?;
    let limit = if flags.contains('g') { usize::MAX } else { 1 };
    replaced(args, matches(&regex, string(args, 0), 0).take(limit), arena)
}

/// As `replace` with the character to start from and which match is meant.
fn replace_nth<'a>(args: &[Datum<'a>], flags: &str, arena: &'a Arena) -> Value<'a> {
    let found = matches_from(args, 3, flags)?;
    let (skipped, limit) = match number(args, 4, "n", 0)? {
        Some(0) => (0, usize::MAX),
        Some(nth) => (nth - 1, 1),
        None => (0, if flags.contains('g') { usize::MAX } else { 1 }),
    };
    replaced(args, found.skip(skipped).take(limit), arena)
}

fn replaced<'a>(args: &[Datum<'a>], found: impl Iterator<Item = Captures<'a>>, arena: &'a Arena) -> Value<'a> {
    let (value, replacement) = (string(args, 0), string(args, 2));
    let mut out = String::new();
    let mut copied = 0;
    for captures in found {
        let Some(found) = captures.get(0) else { continue };
        out.push_str(&value[copied..found.start()]);
        push_replacement(&mut out, replacement, &captures);
        check_length(out.len())?;
        copied = found.end();
    }
    out.push_str(&value[copied..]);
    text(&out, arena)
}

/// Appends the replacement of one match: `\1` to `\9` are its groups, `\&` is all of it, `\\` a backslash.
fn push_replacement(out: &mut String, replacement: &str, captures: &Captures<'_>) {
    let push_group = |out: &mut String, index: usize| {
        out.push_str(captures.get(index).map_or("", |group| group.as_str()));
    };
    let mut rest = replacement.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match rest.next() {
            Some('&') => push_group(out, 0),
            Some(digit @ '1'..='9') => push_group(out, digit as usize - '0' as usize),
            Some('\\') | None => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
        }
    }
}

/// The parts of `value` between matches. An empty match at either end, or right behind another match, splits nothing.
pub(crate) fn split<'a>(value: &'a str, regex: &Regex) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for found in regex.find_iter(value) {
        if found.is_empty() && (found.end() == start || found.start() == value.len()) {
            continue;
        }
        parts.push(&value[start..found.start()]);
        start = found.end();
    }
    parts.push(&value[start..]);
    parts
}

fn split_to_array<'a>(value: &'a str, pattern: &str, flags: &str, arena: &'a Arena) -> Value<'a> {
    let parts: Vec<Datum<'_>> = split(value, &compile(pattern, flags)?).into_iter().map(Datum::Text).collect();
    Ok(text_array(&parts, arena))
}
