//! Text.

use repr::{Arena, Datum};

use super::ArgType::{Any, Bool, Bytes, Int4, Int8, Text};
use super::{FuncDef, Value, check_length, function, invalid_parameter, operator, text};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    operator(
        "text_concat",
        "||",
        &[Text, Text],
        Text,
        |a, _, arena| join(&[string(a, 0), string(a, 1)], arena),
        "Both, one after the other.",
    )
    .fallible(),
    operator("text_concat_any", "||", &[Text, Any], Text, concat_strict, "Both as text, one after the other.")
        .fallible(),
    operator("any_concat_text", "||", &[Any, Text], Text, concat_strict, "Both as text, one after the other.")
        .fallible(),
    operator(
        "text_starts_with",
        "^@",
        &[Text, Text],
        Bool,
        |a, _, _| Ok(Datum::Bool(string(a, 0).starts_with(string(a, 1)))),
        "True if the first starts with the second.",
    ),
    function(
        "length_text",
        "length",
        &[Text],
        Int4,
        |a, _, _| count(string(a, 0).chars().count()),
        "Number of characters.",
    ),
    function(
        "char_length",
        "char_length",
        &[Text],
        Int4,
        |a, _, _| count(string(a, 0).chars().count()),
        "Number of characters.",
    ),
    function(
        "character_length",
        "character_length",
        &[Text],
        Int4,
        |a, _, _| count(string(a, 0).chars().count()),
        "Number of characters.",
    ),
    function(
        "octet_length_text",
        "octet_length",
        &[Text],
        Int4,
        |a, _, _| count(string(a, 0).len()),
        "Number of bytes.",
    ),
    function(
        "bit_length_text",
        "bit_length",
        &[Text],
        Int4,
        |a, _, _| count(string(a, 0).len() * 8),
        "Number of bits.",
    ),
    function(
        "lower",
        "lower",
        &[Text],
        Text,
        |a, _, arena| Ok(Datum::Text(arena.text(&string(a, 0).to_lowercase()))),
        "All letters in lower case.",
    ),
    function(
        "upper",
        "upper",
        &[Text],
        Text,
        |a, _, arena| Ok(Datum::Text(arena.text(&string(a, 0).to_uppercase()))),
        "All letters in upper case.",
    ),
    function(
        "initcap",
        "initcap",
        &[Text],
        Text,
        |a, _, arena| Ok(Datum::Text(arena.text(&initcap(string(a, 0))))),
        "The first letter of each word in upper case, the others in lower case.",
    ),
    function(
        "btrim",
        "btrim",
        &[Text],
        Text,
        |a, _, _| Ok(Datum::Text(string(a, 0).trim_matches(' '))),
        "Without blanks at both ends.",
    ),
    function(
        "btrim_chars",
        "btrim",
        &[Text, Text],
        Text,
        |a, _, _| Ok(Datum::Text(string(a, 0).trim_matches(|c| string(a, 1).contains(c)))),
        "Without the given characters at both ends.",
    ),
    function(
        "ltrim",
        "ltrim",
        &[Text],
        Text,
        |a, _, _| Ok(Datum::Text(string(a, 0).trim_start_matches(' '))),
        "Without blanks at the start.",
    ),
    function(
        "ltrim_chars",
        "ltrim",
        &[Text, Text],
        Text,
        |a, _, _| Ok(Datum::Text(string(a, 0).trim_start_matches(|c| string(a, 1).contains(c)))),
        "Without the given characters at the start.",
    ),
    function(
        "rtrim",
        "rtrim",
        &[Text],
        Text,
        |a, _, _| Ok(Datum::Text(string(a, 0).trim_end_matches(' '))),
        "Without blanks at the end.",
    ),
    function(
        "rtrim_chars",
        "rtrim",
        &[Text, Text],
        Text,
        |a, _, _| Ok(Datum::Text(string(a, 0).trim_end_matches(|c| string(a, 1).contains(c)))),
        "Without the given characters at the end.",
    ),
    function(
        "lpad",
        "lpad",
        &[Text, Int4],
        Text,
        |a, _, arena| pad(string(a, 0), int(a, 1), " ", Side::Left, arena),
        "Filled with blanks at the start, or cut, to a length.",
    )
    .fallible(),
    function(
        "lpad_fill",
        "lpad",
        &[Text, Int4, Text],
        Text,
        |a, _, arena| pad(string(a, 0), int(a, 1), string(a, 2), Side::Left, arena),
        "Filled at the start, or cut, to a length.",
    )
    .fallible(),
    function(
        "rpad",
        "rpad",
        &[Text, Int4],
        Text,
        |a, _, arena| pad(string(a, 0), int(a, 1), " ", Side::Right, arena),
        "Filled with blanks at the end, or cut, to a length.",
    )
    .fallible(),
    function(
        "rpad_fill",
        "rpad",
        &[Text, Int4, Text],
        Text,
        |a, _, arena| pad(string(a, 0), int(a, 1), string(a, 2), Side::Right, arena),
        "Filled at the end, or cut, to a length.",
    )
    .fallible(),
    function(
        "left",
        "left",
        &[Text, Int4],
        Text,
        |a, _, _| Ok(Datum::Text(string(a, 0).split_at(split_index(string(a, 0), int(a, 1))).0)),
        "The first n characters; for negative n, all but the last.",
    ),
    function(
        "right",
        "right",
        &[Text, Int4],
        Text,
        |a, _, _| {
            Ok(Datum::Text(string(a, 0).split_at(split_index(string(a, 0), -int(a, 1))).1))
                .map(|value| if int(a, 1) == 0 { Datum::Text("") } else { value })
        },
        "The last n characters; for negative n, all but the first.",
    ),
    function(
        "substr",
        "substr",
        &[Text, Int4],
        Text,
        |a, _, _| substring(string(a, 0), int(a, 1), None),
        "Characters from a position on.",
    )
    .fallible(),
    function(
        "substr_length",
        "substr",
        &[Text, Int4, Int4],
        Text,
        |a, _, _| substring(string(a, 0), int(a, 1), Some(int(a, 2))),
        "A number of characters from a position on.",
    )
    .fallible(),
    function(
        "substring",
        "substring",
        &[Text, Int4],
        Text,
        |a, _, _| substring(string(a, 0), int(a, 1), None),
        "Characters from a position on.",
    )
    .fallible(),
    function(
        "substring_length",
        "substring",
        &[Text, Int4, Int4],
        Text,
        |a, _, _| substring(string(a, 0), int(a, 1), Some(int(a, 2))),
        "A number of characters from a position on.",
    )
    .fallible(),
    function(
        "overlay",
        "overlay",
        &[Text, Text, Int4],
        Text,
        |a, _, arena| overlay(a, int(a, 2), string(a, 1).chars().count() as i64, arena),
        "With as many characters replaced, from a position on, as the replacement has.",
    )
    .fallible(),
    function(
        "overlay_length",
        "overlay",
        &[Text, Text, Int4, Int4],
        Text,
        |a, _, arena| overlay(a, int(a, 2), int(a, 3), arena),
        "With a number of characters replaced from a position on.",
    )
    .fallible(),
    function(
        "strpos",
        "strpos",
        &[Text, Text],
        Int4,
        |a, _, _| position(string(a, 0), string(a, 1)),
        "Where the second first occurs in the first, from 1; 0 if nowhere.",
    ),
    function(
        "position",
        "position",
        &[Text, Text],
        Int4,
        |a, _, _| position(string(a, 0), string(a, 1)),
        "Where the second first occurs in the first, from 1; 0 if nowhere.",
    ),
    function(
        "replace",
        "replace",
        &[Text, Text, Text],
        Text,
        |a, _, arena| replace(string(a, 0), string(a, 1), string(a, 2), arena),
        "With every occurrence of the second replaced by the third.",
    )
    .fallible(),
    function(
        "repeat",
        "repeat",
        &[Text, Int4],
        Text,
        |a, _, arena| repeat(string(a, 0), int(a, 1), arena),
        "Repeated n times.",
    )
    .fallible(),
    function(
        "reverse",
        "reverse",
        &[Text],
        Text,
        |a, _, arena| Ok(Datum::Text(arena.text(&string(a, 0).chars().rev().collect::<String>()))),
        "The characters in reverse order.",
    ),
    function(
        "split_part",
        "split_part",
        &[Text, Text, Int4],
        Text,
        |a, _, _| split_part(string(a, 0), string(a, 1), int(a, 2)),
        "The nth field between separators; for negative n, from the end.",
    )
    .fallible(),
    function(
        "starts_with",
        "starts_with",
        &[Text, Text],
        Bool,
        |a, _, _| Ok(Datum::Bool(string(a, 0).starts_with(string(a, 1)))),
        "True if the first starts with the second.",
    ),
    function(
        "concat",
        "concat",
        &[],
        Text,
        |a, t, arena| concat(a, t, "", 0, arena),
        "All arguments as text, NULL as nothing.",
    )
    .fallible()
    .called_on_null()
    .variadic(Any),
    function(
        "concat_ws",
        "concat_ws",
        &[Text],
        Text,
        concat_ws,
        "The arguments behind the first as text, with the first in between; NULL is left out.",
    )
    .fallible()
    .called_on_null()
    .variadic(Any),
    function(
        "translate",
        "translate",
        &[Text, Text, Text],
        Text,
        |a, _, arena| translate(string(a, 0), string(a, 1), string(a, 2), arena),
        "With each character of the second replaced by the one at its place in the third.",
    )
    .fallible(),
    function(
        "ascii",
        "ascii",
        &[Text],
        Int4,
        |a, _, _| Ok(Datum::Int(string(a, 0).chars().next().map_or(0, |c| i64::from(u32::from(c))))),
        "The number of the first character.",
    ),
    function("chr", "chr", &[Int4], Text, |a, _, arena| chr(int(a, 0), arena), "The character of a number.").fallible(),
    function(
        "to_hex_int4",
        "to_hex",
        &[Int4],
        Text,
        |a, _, arena| text(&format!("{:x}", int(a, 0) as i32), arena),
        "In hexadecimal digits, two's complement.",
    )
    .fallible(),
    function(
        "to_hex_int8",
        "to_hex",
        &[Int8],
        Text,
        |a, _, arena| text(&format!("{:x}", int(a, 0)), arena),
        "In hexadecimal digits, two's complement.",
    )
    .fallible(),
    function(
        "octet_length_bytes",
        "octet_length",
        &[Bytes],
        Int4,
        |a, _, _| count(a[0].unwrap_bytes().len()),
        "Number of bytes.",
    ),
    function("length_bytes", "length", &[Bytes], Int4, |a, _, _| count(a[0].unwrap_bytes().len()), "Number of bytes."),
    function(
        "bit_length_bytes",
        "bit_length",
        &[Bytes],
        Int4,
        |a, _, _| count(a[0].unwrap_bytes().len() * 8),
        "Number of bits.",
    ),
];

fn string<'a>(args: &[Datum<'a>], index: usize) -> &'a str {
    args[index].unwrap_text()
}

fn int(args: &[Datum<'_>], index: usize) -> i64 {
    args[index].unwrap_int()
}

fn count<'a>(count: usize) -> Value<'a> {
    Ok(Datum::Int(count as i64))
}

fn join<'a>(parts: &[&str], arena: &'a Arena) -> Value<'a> {
    check_length(parts.iter().map(|part| part.len()).sum())?;
    Ok(Datum::Text(arena.text(&parts.concat())))
}

fn concat_strict<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    concat(args, types, "", 0, arena)
}

/// The arguments from `first` on as text, NULLs left out.
fn concat<'a>(args: &[Datum<'a>], types: &CallTypes, separator: &str, first: usize, arena: &'a Arena) -> Value<'a> {
    let present = args.iter().zip(&types.args).skip(first).filter(|(datum, _)| !datum.is_null());
    let mut out = String::new();
    for (index, (datum, typ)) in present.enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(&crate::text_of(*datum, typ));
        check_length(out.len())?;
    }
    text(&out, arena)
}

fn concat_ws<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    match args[0] {
        Datum::Null => Ok(Datum::Null),
        separator => concat(args, types, separator.unwrap_text(), 1, arena),
    }
}

fn initcap(value: &str) -> String {
    let mut in_word = false;
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        if in_word {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
        in_word = character.is_alphanumeric();
    }
    out
}

#[derive(PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

fn pad<'a>(value: &'a str, length: i64, fill: &str, side: Side, arena: &'a Arena) -> Value<'a> {
    let length = length.max(0) as usize;
    let present = value.chars().count();
    if present >= length || fill.is_empty() {
        let cut = value.char_indices().nth(length).map_or(value.len(), |(index, _)| index);
        return Ok(Datum::Text(&value[..cut]));
    }
    let missing = length - present;
    check_length(missing.saturating_add(value.len()))?;
    let filling: String = fill.chars().cycle().take(missing).collect();
    match side {
        Side::Left => join(&[&filling, value], arena),
        Side::Right => join(&[value, &filling], arena),
    }
}

/// The byte index behind the first `characters` characters; if negative, before that many last ones.
fn split_index(value: &str, characters: i64) -> usize {
    let count = characters.unsigned_abs() as usize;
    if characters >= 0 {
        value.char_indices().nth(count).map_or(value.len(), |(index, _)| index)
    } else {
        value.char_indices().rev().nth(count - 1).map_or(0, |(index, _)| index)
    }
}

/// The byte range of the characters from position `start` (from 1) to before `end`, positions outside clipped.
fn character_range(value: &str, start: i64, end: i64) -> std::ops::Range<usize> {
    let from = split_index(value, (start - 1).max(0));
    let to = split_index(value, (end - 1).max(0));
    from..to.max(from)
}

fn substring<'a>(value: &'a str, start: i64, length: Option<i64>) -> Value<'a> {
    let end = match length {
        Some(length) if length < 0 => return Err(EvalError::new("22011", "negative substring length not allowed")),
        Some(length) => start + length,
        None => i64::MAX,
    };
    Ok(Datum::Text(&value[character_range(value, start, end)]))
}

fn overlay<'a>(args: &[Datum<'a>], start: i64, length: i64, arena: &'a Arena) -> Value<'a> {
    if start <= 0 {
        return Err(EvalError::new("22011", "negative substring length not allowed"));
    }
    let (value, replacement) = (string(args, 0), string(args, 1));
    let before = character_range(value, 1, start);
    let after = split_index(value, (start - 1 + length).max(0));
    join(&[&value[before], replacement, &value[after..]], arena)
}

fn position<'a>(value: &str, part: &str) -> Value<'a> {
    count(value.find(part).map_or(0, |index| value[..index].chars().count() + 1))
}

fn replace<'a>(value: &'a str, from: &str, to: &str, arena: &'a Arena) -> Value<'a> {
    if from.is_empty() {
        return Ok(Datum::Text(value));
    }
    if to.len() > from.len() {
        let occurrences = value.matches(from).count();
        check_length(value.len().saturating_add(occurrences.saturating_mul(to.len() - from.len())))?;
    }
    text(&value.replace(from, to), arena)
}

fn repeat<'a>(value: &str, times: i64, arena: &'a Arena) -> Value<'a> {
    let times = times.max(0) as usize;
    check_length(value.len().saturating_mul(times))?;
    text(&value.repeat(times), arena)
}

fn split_part<'a>(value: &'a str, separator: &str, field: i64) -> Value<'a> {
    if field == 0 {
        return Err(invalid_parameter("field position must not be zero"));
    }
    let position = field.unsigned_abs() as usize - 1;
    let found = match (separator.is_empty(), field > 0) {
        (true, _) => (position == 0).then_some(value),
        (false, true) => value.split(separator).nth(position),
        (false, false) => value.split(separator).collect::<Vec<_>>().into_iter().rev().nth(position),
    };
    Ok(Datum::Text(found.unwrap_or("")))
}

fn translate<'a>(value: &str, from: &str, to: &str, arena: &'a Arena) -> Value<'a> {
    let to: Vec<char> = to.chars().collect();
    let from: Vec<char> = from.chars().collect();
    let mapped = value.chars().filter_map(|character| match from.iter().position(|other| *other == character) {
        Some(index) => to.get(index).copied(),
        None => Some(character),
    });
    text(&mapped.collect::<String>(), arena)
}

fn chr<'a>(number: i64, arena: &'a Arena) -> Value<'a> {
    let fault = |message: String| Err(EvalError::new("54000", message));
    match u32::try_from(number).map(char::from_u32) {
        Err(_) => Err(super::invalid_parameter("character number must be positive")),
        Ok(Some('\0')) => fault("null character not permitted".into()),
        Ok(Some(character)) => text(character.encode_utf8(&mut [0; 4]), arena),
        Ok(None) if number > 0x10_FFFF => fault(format!("requested character too large for encoding: {number}")),
        Ok(None) => fault(format!("requested character not valid for encoding: {number}")),
    }
}
