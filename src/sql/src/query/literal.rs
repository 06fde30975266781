//! Literals: numbers, strings, typed strings and intervals with fields.

use expr::Scalar;
use expr::cast::{self, CastContext};
use repr::{Datum, ScalarType};
use sqlparser::ast::{self, Ident, ObjectName, ObjectNamePart, Value};

use super::QueryContext;
use super::coerce::{Planned, evaluate};
use crate::error::Error;
use crate::hir::HirScalar;
use crate::names;
use crate::position;

impl QueryContext<'_> {
    pub(super) fn plan_value(&mut self, value: &ast::ValueWithSpan) -> Result<Planned, Error> {
        let position = position::of_span(value.span);
        Ok(match &value.value {
            Value::Number(digits, _) => plan_number(digits).map_err(|error| error.at_node(value))?,
            Value::Boolean(value) => Planned::bool(HirScalar::bool(*value)),
            Value::Null => Planned::Unknown { text: None, position },
            Value::Placeholder(name) => {
                let index = parameter_index(name).map_err(|error| error.at_node(value))?;
                self.plan_parameter(index, position)
            }
            Value::HexStringLiteral(_) => return Err(Error::unsupported("a bit string literal").at_node(value)),
            other => match text_of(other) {
                Some(text) => Planned::Unknown { text: Some(text.to_owned()), position },
                None => return Err(Error::unsupported(format!("literal {other}")).at_node(value)),
            },
        })
    }

    /// `DATE '2024-01-01'` and the like.
    pub(super) fn plan_typed_string(&mut self, typed: &ast::TypedString) -> Result<Planned, Error> {
        let typ = names::resolve_type(self.names(), &typed.data_type)?;
        let Some(text) = text_of(&typed.value.value) else {
            return Err(Error::new("42601", "a string is expected").at_node(&typed.value));
        };
        let unknown = Planned::Unknown { text: Some(text.to_owned()), position: position::of_span(typed.value.span) };
        Ok(Planned::typed(self.coerce_explicit(unknown, &typ)?, typ))
    }

    /// `INTERVAL '1' DAY`: the last field gives a bare number its unit, and cuts off what is smaller.
    pub(super) fn plan_interval(&mut self, interval: &ast::Interval) -> Result<Planned, Error> {
        let text = match &*interval.value {
            ast::Expr::Value(value) => text_of(&value.value),
            _ => None,
        };
        let Some(text) = text else {
            return Err(Error::new("42601", "a string is expected behind INTERVAL").at_node(&*interval.value));
        };
        let unknown = Planned::Unknown { text: Some(text.to_owned()), position: position::of(&*interval.value) };
        let typ = ScalarType::Interval(names::interval_spec(interval)?);
        Ok(Planned::typed(self.coerce_explicit(unknown, &typ)?, typ))
    }
}

/// A number takes the first of integer, bigint, numeric and double precision that holds it.
pub(super) fn plan_number(digits: &str) -> Result<Planned, Error> {
    let digits = digits.replace('_', "");
    if let Ok(value) = digits.parse::<i32>() {
        return Ok(Planned::typed(HirScalar::literal(Datum::Int(value.into()), ScalarType::Int4), ScalarType::Int4));
    }
    if let Ok(value) = digits.parse::<i64>() {
        return Ok(Planned::typed(HirScalar::literal(Datum::Int(value), ScalarType::Int8), ScalarType::Int8));
    }
    let typ = ScalarType::Numeric(None);
    let text = Scalar::literal(Datum::Text(&digits), ScalarType::Text);
    let cast = cast::cast(text, &ScalarType::Text, &typ, CastContext::Explicit)
        .ok_or_else(|| Error::new("XX000", "text does not cast to numeric"))?;
    let number = evaluate(&cast, &typ);
    let float = digits.parse::<f64>().ok().filter(|float| float.is_finite() && *float != 0.0);
    let is_held = match &number {
        Ok(number) => !matches!(number.as_literal(), Some(Ok(Datum::Numeric(number))) if number.decode().is_zero()),
        Err(_) => false,
    };
    match float {
        Some(float) if !is_held => {
            Ok(Planned::typed(HirScalar::literal(Datum::float8(float), ScalarType::Float8), ScalarType::Float8))
        }
        _ => Ok(Planned::typed(HirScalar::from_scalar(number?, &[]), typ)),
    }
}

/// The index, from 0, of `$1`, `$2`, ...
fn parameter_index(name: &str) -> Result<usize, Error> {
    let number = name.strip_prefix('$').and_then(|digits| digits.parse::<u16>().ok()).filter(|number| *number > 0);
    match number {
        Some(number) => Ok(usize::from(number) - 1),
        None => Err(Error::new("42P02", format!("there is no parameter {name}"))),
    }
}

/// The text of a string literal of any spelling.
pub(crate) fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text)
        | Value::NationalStringLiteral(text) => Some(text),
        Value::DollarQuotedString(text) => Some(&text.value),
        _ => None,
    }
}

/// A possibly qualified and quoted name inside a string, such as that of a regclass.
pub(super) fn object_name(text: &str) -> Result<ObjectName, Error> {
    let invalid = || Error::new("42602", "invalid name syntax");
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (ident, behind) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut characters = quoted.char_indices().peekable();
            let end = loop {
                match characters.next().ok_or_else(invalid)? {
                    (_, '"') if characters.peek().is_some_and(|(_, next)| *next == '"') => {
                        characters.next();
                        name.push('"');
                    }
                    (at, '"') => break at + 1,
                    (_, other) => name.push(other),
                }
            };
            (Ident::with_quote('"', name), &quoted[end..])
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            (Ident::new(rest[..end].trim()), &rest[end..])
        };
        if ident.value.is_empty() {
            return Err(invalid());
        }
        parts.push(ObjectNamePart::Identifier(ident));
        match behind.trim_start() {
            "" => return Ok(ObjectName(parts)),
            more => rest = more.strip_prefix('.').ok_or_else(invalid)?.trim_start(),
        }
    }
}
