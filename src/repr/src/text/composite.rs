//! Arrays `{1,2,NULL,"a b"}`, lists, maps `{a=>1}` and records `(1,a)`.

use super::scalar::{is_space, trim};
use super::{FormatContext, format_in, parse_in};
use crate::composite::{ArrayRef, DIMENSIONS_MAX, Dimension, ListRef, MapRef, pack_array, pack_list, pack_map};
use crate::error::{ParseError, ParseErrorKind};
use crate::{Arena, ColumnType, Datum, Kind, ScalarType};

fn malformed(what: &str, text: &str, detail: &str) -> ParseError {
    ParseError::new(ParseErrorKind::InvalidText, format!("malformed {what} literal: \"{text}\"")).with_detail(detail)
}

/// What stands between two delimiters.
enum Token {
    /// Text without its quotes and escapes; unquoted text may mean NULL.
    Text { text: String, is_quoted: bool },
    /// A list or map in its braces, as it stands.
    Nested(String),
}

impl Token {
    fn is_null(&self) -> bool {
        matches!(self, Token::Text { text, is_quoted: false } if text.eq_ignore_ascii_case("null"))
    }

    fn into_text(self) -> String {
        match self {
            Token::Text { text, .. } | Token::Nested(text) => text,
        }
    }
}

/// Reads elements in braces.
struct Reader<'t> {
    what: &'static str,
    whole: &'t str,
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn new(what: &'static str, whole: &'t str) -> Reader<'t> {
        Reader { what, whole, rest: trim(whole) }
    }

    fn error(&self, detail: &str) -> ParseError {
        malformed(self.what, self.whole, detail)
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(is_space);
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self, expected: &str) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, expected: &str, detail: &str) -> Result<(), ParseError> {
        self.skip_spaces();
        if self.take(expected) { Ok(()) } else { Err(self.error(detail)) }
    }

    /// The whole text was used.
    fn finish(mut self) -> Result<(), ParseError> {
        self.skip_spaces();
        if self.rest.is_empty() { Ok(()) } else { Err(self.error("Junk after closing right brace.")) }
    }

    /// Text up to a delimiter. Trailing blanks outside of quotes are dropped.
    fn token(&mut self, delimiters: &[&str]) -> Result<Token, ParseError> {
        self.skip_spaces();
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let mut text = String::new();
        let mut kept = 0;
        loop {
            if delimiters.iter().any(|delimiter| self.rest.starts_with(delimiter)) {
                break;
            }
            match self.next_character()? {
                '"' | '{' | '}' => return Err(self.error("Unexpected array element.")),
                '\\' => {
                    text.push(self.next_character()?);
                    kept = text.len();
                }
                character => {
                    text.push(character);
                    if !is_space(character) {
                        kept = text.len();
                    }
                }
            }
        }
        text.truncate(kept);
        if text.is_empty() {
            let found = self.peek().unwrap_or_default();
            return Err(self.error(&format!("Unexpected \"{found}\" character.")));
        }
        Ok(Token::Text { text, is_quoted: false })
    }

    fn next_character(&mut self) -> Result<char, ParseError> {
        let character = self.peek().ok_or_else(|| self.error("Unexpected end of input."))?;
        self.rest = &self.rest[character.len_utf8()..];
        Ok(character)
    }

    fn quoted(&mut self) -> Result<Token, ParseError> {
        self.next_character()?;
        let mut text = String::new();
        loop {
            match self.next_character()? {
                '"' => return Ok(Token::Text { text, is_quoted: true }),
                '\\' => text.push(self.next_character()?),
                character => text.push(character),
            }
        }
    }

    /// A value of a list or map; one that starts with a brace goes to the matching brace.
    fn value(&mut self, delimiters: &[&str]) -> Result<Token, ParseError> {
        self.skip_spaces();
        if self.peek() != Some('{') {
            return self.token(delimiters);
        }
        let start = self.rest;
        let mut depth = 0;
        loop {
            match self.next_character()? {
                '"' => {
                    while !matches!(self.peek(), Some('"')) {
                        if self.next_character()? == '\\' {
                            self.next_character()?;
                        }
                    }
                    self.next_character()?;
                }
                '\\' => {
                    self.next_character()?;
                }
                '{' => depth += 1,
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(Token::Nested(start[..start.len() - self.rest.len()].to_owned()));
                    }
                }
                _ => {}
            }
        }
    }
}

/// An element's text, through its type.
fn element<'a>(
    token: Token,
    typ: &ScalarType,
    context: &FormatContext,
    arena: &'a Arena,
) -> Result<Datum<'a>, ParseError> {
    if token.is_null() { Ok(Datum::Null) } else { parse_in(&token.into_text(), typ, context, arena) }
}

/// An array of arrays is an array of more dimensions.
fn innermost(element: &ScalarType) -> &ScalarType {
    match element {
        ScalarType::Array(element) => innermost(element),
        element => element,
    }
}

pub(super) fn parse_array<'a>(
    text: &str,
    element_type: &ScalarType,
    context: &FormatContext,
    arena: &'a Arena,
) -> Result<Datum<'a>, ParseError> {
    let element_type = innermost(element_type);
    let mut reader = Reader::new("array", text);
    let bounds = parse_bounds(&mut reader)?;
    if reader.peek() != Some('{') {
        return Err(reader.error("Array value must start with \"{\" or dimension information."));
    }
    let mut elements = Vec::new();
    let mut lengths = Vec::new();
    parse_dimension(&mut reader, 0, &mut lengths, &mut |token| {
        elements.push(element(token, element_type, context, arena)?);
        Ok(())
    })?;
    reader.finish()?;
    if elements.is_empty() {
        lengths.clear();
    }
    let dimensions: Vec<Dimension> = match bounds {
        None => lengths.iter().map(|length| Dimension { length: *length, lower: 1 }).collect(),
        Some(bounds) if bounds.iter().map(|dimension| dimension.length).eq(lengths.iter().copied()) => bounds,
        Some(_) => return Err(malformed("array", text, "Specified array dimensions do not match array contents.")),
    };
    Ok(pack_array(&elements, element_type.kind(), &dimensions).unpack_first_in(Kind::Array, arena))
}

/// `[1:2][0:3]=`
fn parse_bounds(reader: &mut Reader<'_>) -> Result<Option<Vec<Dimension>>, ParseError> {
    if reader.peek() != Some('[') {
        return Ok(None);
    }
    let mut bounds = Vec::new();
    while reader.take("[") {
        let Some((bound, rest)) = reader.rest.split_once(']') else {
            return Err(reader.error("Missing \"]\" after array dimensions."));
        };
        reader.rest = rest;
        let (lower, upper) = bound.split_once(':').unwrap_or(("1", bound));
        let (Ok(lower), Ok(upper)) = (lower.parse::<i32>(), upper.parse::<i32>()) else {
            return Err(reader.error("\"[\" must introduce explicitly-specified array dimensions."));
        };
        let length = usize::try_from(i64::from(upper) - i64::from(lower) + 1).ok().filter(|length| *length > 0);
        let Some(length) = length else {
            return Err(ParseError::new(
                ParseErrorKind::InvalidArrayBound,
                "upper bound cannot be less than lower bound",
            ));
        };
        bounds.push(Dimension { length, lower: lower.into() });
    }
    if bounds.len() > DIMENSIONS_MAX {
        return Err(too_many_dimensions(bounds.len()));
    }
    reader.expect("=", "Missing \"=\" after array dimensions.")?;
    reader.skip_spaces();
    Ok(Some(bounds))
}

fn too_many_dimensions(count: usize) -> ParseError {
    ParseError::new(
        ParseErrorKind::LimitExceeded,
        format!("number of array dimensions ({count}) exceeds the maximum allowed ({DIMENSIONS_MAX})"),
    )
}

/// Reads one brace's content; `lengths` gets the length of each dimension when it is first seen.
fn parse_dimension(
    reader: &mut Reader<'_>,
    depth: usize,
    lengths: &mut Vec<usize>,
    push: &mut impl FnMut(Token) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    const RAGGED: &str = "Multidimensional arrays must have sub-arrays with matching dimensions.";
    if depth >= DIMENSIONS_MAX {
        return Err(too_many_dimensions(depth + 1));
    }
    reader.take("{");
    // The first path down decides how deep the elements are.
    let is_first = lengths.len() == depth;
    if is_first {
        lengths.push(0);
    }
    let is_leaf = |lengths: &Vec<usize>| lengths.len() == depth + 1;
    let mut length = 0;
    loop {
        reader.skip_spaces();
        if length == 0 && reader.take("}") {
            if depth > 0 {
                return Err(reader.error(RAGGED));
            }
            break;
        }
        if reader.peek() == Some('{') {
            if is_leaf(lengths) && !(is_first && length == 0) {
                return Err(reader.error(RAGGED));
            }
            parse_dimension(reader, depth + 1, lengths, push)?;
        } else {
            if !is_leaf(lengths) {
                return Err(reader.error(RAGGED));
            }
            push(reader.token(&[",", "}"])?)?;
        }
        length += 1;
        reader.skip_spaces();
        if reader.take("}") {
            break;
        }
        reader.expect(",", "Unexpected array element.")?;
    }
    if is_first {
        lengths[depth] = length;
    } else if lengths[depth] != length {
        return Err(reader.error(RAGGED));
    }
    Ok(())
}

pub(super) fn parse_list<'a>(
    text: &str,
    element_type: &ScalarType,
    context: &FormatContext,
    arena: &'a Arena,
) -> Result<Datum<'a>, ParseError> {
    let mut reader = Reader::new("list", text);
    reader.expect("{", "List value must start with \"{\".")?;
    let mut elements = Vec::new();
    reader.skip_spaces();
    if !reader.take("}") {
        loop {
            let token = reader.value(&[",", "}"])?;
            elements.push((element(token, element_type, context, arena)?, element_type.kind()));
            reader.skip_spaces();
            if reader.take("}") {
                break;
            }
            reader.expect(",", "Unexpected list element.")?;
        }
    }
    reader.finish()?;
    Ok(pack_list(&elements).unpack_first_in(Kind::List, arena))
}

pub(super) fn parse_map<'a>(
    text: &str,
    value_type: &ScalarType,
    context: &FormatContext,
    arena: &'a Arena,
) -> Result<Datum<'a>, ParseError> {
    let mut reader = Reader::new("map", text);
    reader.expect("{", "Map value must start with \"{\".")?;
    let mut entries: Vec<(&str, Datum<'_>)> = Vec::new();
    reader.skip_spaces();
    if !reader.take("}") {
        loop {
            let key = reader.token(&["=>", ",", "}"])?;
            if key.is_null() {
                return Err(reader.error("A map key cannot be NULL."));
            }
            reader.expect("=>", "Expected \"=>\" after a map key.")?;
            let value = reader.value(&[",", "}"])?;
            entries.push((arena.text(&key.into_text()), element(value, value_type, context, arena)?));
            reader.skip_spaces();
            if reader.take("}") {
                break;
            }
            reader.expect(",", "Unexpected map entry.")?;
        }
    }
    reader.finish()?;
    Ok(pack_map(&entries, value_type.kind()).unpack_first_in(Kind::Map, arena))
}

pub(super) fn parse_record<'a>(
    text: &str,
    fields: &[(String, ColumnType)],
    context: &FormatContext,
    arena: &'a Arena,
) -> Result<Datum<'a>, ParseError> {
    let error = |detail: &str| malformed("record", text, detail);
    let mut rest = trim(text).strip_prefix('(').ok_or_else(|| error("Missing left parenthesis."))?;
    let mut elements = Vec::with_capacity(fields.len());
    for (index, (_, column)) in fields.iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(',').ok_or_else(|| error("Too few columns."))?;
        }
        let (field, behind) = record_field(rest).ok_or_else(|| error("Unexpected end of input."))?;
        rest = behind;
        let datum = match field {
            None => Datum::Null,
            Some(field) => parse_in(&field, &column.scalar, context, arena)?,
        };
        elements.push((datum, column.kind()));
    }
    match rest.strip_prefix(')') {
        Some("") => Ok(pack_list(&elements).unpack_first_in(Kind::List, arena)),
        Some(_) => Err(error("Junk after right parenthesis.")),
        None => Err(error("Too many columns.")),
    }
}

/// A field's text, none for NULL, and what follows it. None: the text ends too early.
fn record_field(text: &str) -> Option<(Option<String>, &str)> {
    if text.starts_with([',', ')']) {
        return Some((None, text));
    }
    let mut field = String::new();
    let mut characters = text.char_indices().peekable();
    let mut is_quoted = false;
    while let Some((at, character)) = characters.next() {
        match character {
            ',' | ')' if !is_quoted => return Some((Some(field), &text[at..])),
            '\\' => field.push(characters.next()?.1),
            '"' if is_quoted && characters.next_if(|(_, next)| *next == '"').is_some() => field.push('"'),
            '"' => is_quoted = !is_quoted,
            character => field.push(character),
        }
    }
    None
}

/// Prints the type's text, in quotes where needed.
fn put_element(datum: Datum<'_>, typ: &ScalarType, context: &FormatContext, out: &mut String) {
    match datum {
        Datum::Null => out.push_str("NULL"),
        Datum::List(_) | Datum::Map(_) if !matches!(typ, ScalarType::Record(_)) => format_in(datum, typ, context, out),
        datum => {
            let mut text = String::new();
            format_in(datum, typ, context, &mut text);
            put_quoted(&text, &[], out);
        }
    }
}

/// In quotes if something in it would end it or mean something else; of the delimiters all texts share these few.
fn put_quoted(text: &str, delimiters: &[&str], out: &mut String) {
    let is_special = |c: char| is_space(c) || matches!(c, '{' | '}' | ',' | '"' | '\\');
    let is_plain = !text.contains(is_special) && !delimiters.iter().any(|delimiter| text.contains(delimiter));
    if is_plain && !text.is_empty() && !text.eq_ignore_ascii_case("null") {
        out.push_str(text);
        return;
    }
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

fn put_separated<T>(items: impl Iterator<Item = T>, out: &mut String, mut put: impl FnMut(T, &mut String)) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        put(item, out);
    }
}

pub(super) fn format_array(array: ArrayRef<'_>, typ: &ScalarType, context: &FormatContext, out: &mut String) {
    let ScalarType::Array(element_type) = typ else { panic!("an array of type {typ:?}") };
    let dimensions = array.dimensions();
    if dimensions.is_empty() {
        out.push_str("{}");
        return;
    }
    if dimensions.iter().any(|dimension| dimension.lower != 1) {
        for Dimension { length, lower } in &dimensions {
            out.push_str(&format!("[{lower}:{}]", lower + *length as i64 - 1));
        }
        out.push('=');
    }
    let mut elements = array.iter();
    put_dimension(&mut elements, &dimensions, innermost(element_type), context, out);
}

fn put_dimension<'a>(
    elements: &mut impl Iterator<Item = Datum<'a>>,
    dimensions: &[Dimension],
    typ: &ScalarType,
    context: &FormatContext,
    out: &mut String,
) {
    let Some((dimension, inner)) = dimensions.split_first() else {
        let element = elements.next().expect("an array has as many elements as its dimensions say");
        return match element {
            Datum::Null => out.push_str("NULL"),
            element => {
                let mut text = String::new();
                format_in(element, typ, context, &mut text);
                put_quoted(&text, &[], out);
            }
        };
    };
    out.push('{');
    put_separated(0..dimension.length, out, |_, out| put_dimension(elements, inner, typ, context, out));
    out.push('}');
}

pub(super) fn format_list_or_record(list: ListRef<'_>, typ: &ScalarType, context: &FormatContext, out: &mut String) {
    match typ {
        ScalarType::List(element_type) => {
            out.push('{');
            put_separated(list.iter(), out, |element, out| put_element(element, element_type, context, out));
            out.push('}');
        }
        ScalarType::Record(fields) => {
            out.push('(');
            put_separated(list.iter().zip(fields), out, |(element, (_, column)), out| {
                put_field(element, &column.scalar, context, out);
            });
            out.push(')');
        }
        typ => panic!("a list of type {typ:?}"),
    }
}

fn put_field(datum: Datum<'_>, typ: &ScalarType, context: &FormatContext, out: &mut String) {
    if datum.is_null() {
        return;
    }
    let mut text = String::new();
    format_in(datum, typ, context, &mut text);
    put_doubling(&text, &['(', ')', ','], out);
}

/// As records and ranges quote: in quotes if something in it would end it, quotes and backslashes doubled.
pub(super) fn put_doubling(text: &str, delimiters: &[char], out: &mut String) {
    let is_special = |c: char| is_space(c) || delimiters.contains(&c) || matches!(c, '"' | '\\');
    if !text.is_empty() && !text.contains(is_special) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push(character);
        }
        out.push(character);
    }
    out.push('"');
}

pub(super) fn format_map(map: MapRef<'_>, typ: &ScalarType, context: &FormatContext, out: &mut String) {
    let ScalarType::Map(value_type) = typ else { panic!("a map of type {typ:?}") };
    out.push('{');
    put_separated(map.iter(), out, |(key, value), out| {
        put_quoted(key, &["=>"], out);
        out.push_str("=>");
        put_element(value, value_type, context, out);
    });
    out.push('}');
}
