//! `CREATE TYPE name AS ENUM (...) | LIST (ELEMENT TYPE = t) | MAP (KEY TYPE = text, VALUE TYPE = t) | (field type, ...)`.
//!
//! An enumeration is a type of its own. The others are names: a value of them is a list, a map or a record like any other.

use std::collections::BTreeSet;

use repr::{ColumnType, EnumType, ScalarType};
use sqlparser::ast::{DataType, Ident, ObjectName};
use sqlparser::tokenizer::Token;

use super::Planner;
use super::create_table::{COLUMNS_MAX, check_new};
use super::qualify::full_name;
use crate::catalog_view::FullName;
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::Cursor;
use crate::plan::{CreateTypePlan, Plan};

/// Most bytes of a label, as in PostgreSQL.
const LABEL_BYTES_MAX: usize = 63;
/// Most labels of an enumeration.
const LABELS_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub struct CreateType {
    pub name: ObjectName,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    /// The labels, each with its place.
    Enum(Vec<(String, usize)>),
    List(Written),
    Map {
        key: Written,
        value: Written,
    },
    Record(Vec<(Ident, Written)>),
}

/// A type and where it stands.
#[derive(Clone, Debug)]
pub struct Written {
    pub typ: DataType,
    pub position: usize,
}

impl CreateType {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<CreateType, Error> {
        let name = cursor.name()?;
        for (words, form) in [("(", "CREATE TYPE of a base type"), (";", "a shell type")] {
            if cursor.peek().to_string() == words {
                return Err(cursor.unsupported(form));
            }
        }
        cursor.expect(&["as"])?;
        let body = if cursor.take(&["enum"]) {
            Body::Enum(parse_labels(cursor)?)
        } else if cursor.take(&["list"]) {
            let [element] = parse_options(cursor, ["element"])?;
            Body::List(element)
        } else if cursor.take(&["map"]) {
            let [key, value] = parse_options(cursor, ["key", "value"])?;
            Body::Map { key, value }
        } else if cursor.peek_words(&["range"]) {
            return Err(cursor.unsupported("CREATE TYPE AS RANGE"));
        } else {
            Body::Record(parse_fields(cursor)?)
        };
        Ok(CreateType { name, body })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let name = names::new_item_name(planner.context, planner.catalog, &self.name)?;
        if planner.catalog.item(&name).is_some_and(|item| item.kind() == "type") {
            let message = format!("type {} already exists", in_quotes(&name.item));
            return Err(Error::new("42710", message).at_node(&self.name));
        }
        check_new(planner, &name, false, "CREATE TYPE").map_err(|error| error.at_node(&self.name))?;
        let typ = self.body.typ(planner, &name)?;
        let mut used = BTreeSet::new();
        let body = self.body.text(&mut |typ| planner.names().qualify_type(typ, &mut used))?;
        let create_sql = format!("CREATE TYPE {} AS {body}", full_name(&name));
        Ok(Plan::CreateType(CreateTypePlan { name, create_sql, typ, types: used }))
    }
}

impl Body {
    fn typ(&self, planner: &Planner<'_>, name: &FullName) -> Result<ScalarType, Error> {
        Ok(match self {
            // Its oid is given when it is made.
            Body::Enum(labels) => {
                let labels = check_labels(labels)?;
                ScalarType::Enum(Box::new(EnumType { oid: 0, name: name.item.clone(), labels }))
            }
            Body::List(element) => ScalarType::List(Box::new(element.inside(planner)?)),
            Body::Map { key, value } => {
                if key.resolved(planner)? != ScalarType::Text {
                    return Err(Error::unsupported("a map whose keys are not text").at(key.position));
                }
                ScalarType::Map(Box::new(value.inside(planner)?))
            }
            Body::Record(fields) => ScalarType::Record(record(planner, fields)?),
        })
    }

    /// What follows AS, with the types as `rename` makes them.
    pub(super) fn text(&self, rename: &mut dyn FnMut(&mut DataType) -> Result<(), Error>) -> Result<String, Error> {
        let mut written = |written: &Written| {
            let mut typ = written.typ.clone();
            rename(&mut typ).map(|()| typ.to_string())
        };
        Ok(match self {
            Body::Enum(labels) => {
                let labels: Vec<String> =
                    labels.iter().map(|(label, _)| format!("'{}'", label.replace('\'', "''"))).collect();
                format!("ENUM ({})", labels.join(", "))
            }
            Body::List(element) => format!("LIST (ELEMENT TYPE = {})", written(element)?),
            Body::Map { key, value } => {
                format!("MAP (KEY TYPE = {}, VALUE TYPE = {})", written(key)?, written(value)?)
            }
            Body::Record(fields) => {
                let mut texts = Vec::with_capacity(fields.len());
                for (name, typ) in fields {
                    texts.push(format!("{} {}", Ident::with_quote('"', names::fold(name)), written(typ)?));
                }
                format!("({})", texts.join(", "))
            }
        })
    }
}

impl Written {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Written, Error> {
        let position = cursor.position();
        Ok(Written { typ: cursor.data_type()?, position })
    }

    fn resolved(&self, planner: &Planner<'_>) -> Result<ScalarType, Error> {
        names::resolve_type(planner.names(), &self.typ).map_err(|error| error.at(self.position))
    }

    /// As what a list or map holds.
    fn inside(&self, planner: &Planner<'_>) -> Result<ScalarType, Error> {
        match self.resolved(planner)? {
            ScalarType::Char(_) => {
                Err(Error::unsupported("char(n) in a list or map").with_hint("Use text.").at(self.position))
            }
            typ => Ok(typ),
        }
    }
}

fn record(planner: &Planner<'_>, fields: &[(Ident, Written)]) -> Result<Vec<(String, ColumnType)>, Error> {
    if fields.len() > COLUMNS_MAX {
        return Err(Error::new("54011", format!("a type can have at most {COLUMNS_MAX} columns")));
    }
    let mut columns: Vec<(String, ColumnType)> = Vec::with_capacity(fields.len());
    for (ident, typ) in fields {
        let name = names::check_identifier(ident)?;
        if columns.iter().any(|(other, _)| *other == name) {
            let message = format!("column {} specified more than once", in_quotes(&name));
            return Err(Error::new("42701", message).at_ident(ident));
        }
        columns.push((name, typ.resolved(planner)?.nullable()));
    }
    Ok(columns)
}

fn check_labels(labels: &[(String, usize)]) -> Result<Vec<String>, Error> {
    if labels.len() > LABELS_MAX {
        return Err(Error::new("54000", format!("an enum can have at most {LABELS_MAX} labels")));
    }
    let mut seen = BTreeSet::new();
    for (label, position) in labels {
        if label.len() > LABEL_BYTES_MAX {
            let detail = format!("Labels must be {LABEL_BYTES_MAX} bytes or less.");
            return Err(Error::new("42602", format!("invalid enum label {}", in_quotes(label)))
                .with_detail(detail)
                .at(*position));
        }
        if !seen.insert(label) {
            return Err(Error::new("42710", format!("enum label {} already exists", in_quotes(label))).at(*position));
        }
    }
    Ok(labels.iter().map(|(label, _)| label.clone()).collect())
}

fn parse_labels(cursor: &mut Cursor<'_>) -> Result<Vec<(String, usize)>, Error> {
    cursor.expect_token(&Token::LParen)?;
    if cursor.take_token(&Token::RParen) {
        return Ok(Vec::new());
    }
    let labels = cursor.comma_separated(|cursor| {
        let position = cursor.position();
        Ok((cursor.string()?, position))
    })?;
    cursor.expect_token(&Token::RParen)?;
    Ok(labels)
}

fn parse_fields(cursor: &mut Cursor<'_>) -> Result<Vec<(Ident, Written)>, Error> {
    cursor.expect_token(&Token::LParen)?;
    if cursor.take_token(&Token::RParen) {
        return Ok(Vec::new());
    }
    let fields = cursor.comma_separated(|cursor| Ok((cursor.ident()?, Written::parse(cursor)?)))?;
    cursor.expect_token(&Token::RParen)?;
    Ok(fields)
}

/// Reads `(name TYPE = t, ...)` with these names, in any order.
fn parse_options<const N: usize>(cursor: &mut Cursor<'_>, names: [&str; N]) -> Result<[Written; N], Error> {
    let mut found: [Option<Written>; N] = std::array::from_fn(|_| None);
    cursor.expect_token(&Token::LParen)?;
    cursor.comma_separated(|cursor| {
        let place = names.iter().position(|name| cursor.peek_words(&[name, "type"]));
        let place = place.ok_or_else(|| cursor.expected(&format!("{} TYPE", names[0].to_uppercase())))?;
        if found[place].is_some() {
            return Err(Error::new("42601", "conflicting or redundant options").at(cursor.position()));
        }
        cursor.expect(&[names[place], "type"])?;
        cursor.take_token(&Token::Eq);
        found[place] = Some(Written::parse(cursor)?);
        Ok(())
    })?;
    for (name, option) in names.iter().zip(&found) {
        if option.is_none() {
            return Err(cursor.expected(&format!("{} TYPE", name.to_uppercase())));
        }
    }
    cursor.expect_token(&Token::RParen)?;
    Ok(found.map(|option| option.expect("each was checked")))
}
