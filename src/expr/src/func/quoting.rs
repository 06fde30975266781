//! Text as it must be written in SQL, and `format`.

use repr::{Arena, Datum, ScalarType};

use super::ArgType::{Any, Text};
use super::{FuncDef, Value, check_length, function, invalid_parameter, text};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    function(
        "quote_ident",
        "quote_ident",
        &[Text],
        Text,
        |a, _, arena| text(&quote_ident(a[0].unwrap_text()), arena),
        "As an identifier in SQL.",
    )
    .fallible(),
    function(
        "quote_literal",
        "quote_literal",
        &[Text],
        Text,
        |a, _, arena| text(&quote_literal(a[0].unwrap_text()), arena),
        "As a string literal in SQL.",
    )
    .fallible(),
    function(
        "quote_literal_any",
        "quote_literal",
        &[Any],
        Text,
        |a, t, arena| text(&quote_literal(&cast_text(a[0], &t.args[0])), arena),
        "Any value as a string literal in SQL.",
    )
    .fallible(),
    function("quote_nullable", "quote_nullable", &[Text], Text, quote_nullable, "As a string literal in SQL, or NULL.")
        .fallible()
        .called_on_null(),
    function(
        "quote_nullable_any",
        "quote_nullable",
        &[Any],
        Text,
        quote_nullable,
        "Any value as a string literal in SQL, or NULL.",
    )
    .fallible()
    .called_on_null(),
    function(
        "format",
        "format",
        &[Text],
        Text,
        format_text,
        "The first argument with %s, %I and %L, such as %2$s and %-10s, replaced by the others as text, identifier, literal.",
    )
    .fallible()
    .called_on_null()
    .variadic(Any),
];

/// Words that must be quoted to serve as names: those PostgreSQL reserves.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "session_user",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

fn quote_ident(name: &str) -> String {
    let plain_start = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain_start && plain && !RESERVED.contains(&name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

fn quote_literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if value.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A value as its cast to text writes it, which is not how a boolean is printed.
fn cast_text(datum: Datum<'_>, typ: &ScalarType) -> String {
    match datum {
        Datum::Bool(value) => value.to_string(),
        other => crate::text_of(other, typ),
    }
}

fn quote_nullable<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    match args[0] {
        Datum::Null => Ok(Datum::Text("NULL")),
        value => text(&quote_literal(&cast_text(value, &types.args[0])), arena),
    }
}

/// A place in a format: `%[position$][-][width]type`.
struct Specifier {
    /// The argument's number, from 1; none: the one behind the last.
    position: Option<usize>,
    align_left: bool,
    width: Width,
    kind: char,
}

enum Width {
    Fixed(usize),
    /// Of an argument; none: the one behind the last.
    Argument(Option<usize>),
}

/// What is left of a format.
struct FormatReader<'f> {
    rest: &'f str,
}

impl FormatReader<'_> {
    fn peek(&self) -> Result<char, EvalError> {
        let unterminated =
            || invalid_parameter("unterminated format() type specifier").with_hint("For a single \"%\" use \"%%\".");
        self.rest.chars().next().ok_or_else(unterminated)
    }

    fn take(&mut self) -> Result<char, EvalError> {
        let character = self.peek()?;
        self.rest = &self.rest[character.len_utf8()..];
        Ok(character)
    }

    fn digits(&mut self) -> Result<Option<usize>, EvalError> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        if end == 0 {
            return Ok(None);
        }
        let number = self.rest[..end].parse::<i32>().ok().and_then(|number| usize::try_from(number).ok());
        self.rest = &self.rest[end..];
        self.peek()?;
        number.map(Some).ok_or_else(|| EvalError::new("22003", "number is out of range"))
    }

    fn specifier(&mut self) -> Result<Specifier, EvalError> {
        let mut specifier = Specifier { position: None, align_left: false, width: Width::Fixed(0), kind: 's' };
        if let Some(number) = self.digits()? {
            if self.peek()? != '$' {
                specifier.width = Width::Fixed(number);
                specifier.kind = self.take()?;
                return Ok(specifier);
            }
            self.take()?;
            specifier.position = Some(argument_number(number)?);
        }
        while self.peek()? == '-' {
            self.take()?;
            specifier.align_left = true;
        }
        if self.peek()? == '*' {
            self.take()?;
            let position = self.digits()?;
            if position.is_some() && self.take()? != '$' {
                return Err(invalid_parameter("width argument position must be ended by \"$\""));
            }
            specifier.width = Width::Argument(position.map(argument_number).transpose()?);
        } else if let Some(width) = self.digits()? {
            specifier.width = Width::Fixed(width);
        }
        specifier.kind = self.take()?;
        Ok(specifier)
    }
}

fn argument_number(number: usize) -> Result<usize, EvalError> {
    match number {
        0 => Err(invalid_parameter("format specifies argument 0, but arguments are numbered from 1")),
        number => Ok(number),
    }
}

fn format_text<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    if args[0].is_null() {
        return Ok(Datum::Null);
    }
    let mut out = String::new();
    let mut last = 0;
    let mut reader = FormatReader { rest: args[0].unwrap_text() };
    while !reader.rest.is_empty() {
        let character = reader.take()?;
        if character != '%' || reader.peek()? == '%' {
            if character == '%' {
                reader.take()?;
            }
            out.push(character);
            continue;
        }
        let Specifier { position, mut align_left, width, kind } = reader.specifier()?;
        if !matches!(kind, 's' | 'I' | 'L') {
            let message = format!("unrecognized format() type specifier \"{kind}\"");
            return Err(invalid_parameter(message).with_hint("For a single \"%\" use \"%%\"."));
        }
        let too_few = || invalid_parameter("too few arguments for format()");
        let width = match width {
            Width::Fixed(width) => width,
            Width::Argument(position) => {
                last = position.unwrap_or(last + 1);
                let datum = *args.get(last).ok_or_else(too_few)?;
                let width = width_of(datum, &types.args[last])?;
                align_left |= width < 0;
                width.unsigned_abs() as usize
            }
        };
        last = position.unwrap_or(last + 1);
        let datum = *args.get(last).ok_or_else(too_few)?;
        let value = if datum.is_null() { None } else { Some(crate::text_of(datum, &types.args[last])) };
        let shown = match (kind, value) {
            ('s', value) => value.unwrap_or_default(),
            ('I', Some(value)) => quote_ident(&value),
            ('I', None) => return Err(EvalError::new("22004", "null values cannot be formatted as an SQL identifier")),
            (_, Some(value)) => quote_literal(&value),
            (_, None) => "NULL".to_owned(),
        };
        let missing = width.saturating_sub(shown.chars().count());
        check_length(out.len() + shown.len() + missing)?;
        let blanks = std::iter::repeat_n(' ', missing);
        if align_left {
            out.push_str(&shown);
            out.extend(blanks);
        } else {
            out.extend(blanks);
            out.push_str(&shown);
        }
    }
    text(&out, arena)
}

/// A width that an argument gives, of whatever type; NULL is none.
fn width_of(datum: Datum<'_>, typ: &ScalarType) -> Result<i32, EvalError> {
    let number = match datum {
        Datum::Null => return Ok(0),
        Datum::Int(number) => i32::try_from(number).ok(),
        other => {
            let arena = Arena::new();
            let text = crate::text_of(other, typ);
            i32::try_from(crate::value::parse(&text, &ScalarType::Int4, &arena)?.unwrap_int()).ok()
        }
    };
    number.filter(|number| *number != i32::MIN).ok_or_else(|| EvalError::new("22003", "number is out of range"))
}
