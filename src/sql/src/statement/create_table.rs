//! `CREATE [TEMPORARY] TABLE name (columns)`, `CREATE TABLE name FROM SOURCE source (REFERENCE upstream)`.

use std::collections::BTreeSet;

use expr::Scalar;
use repr::{CollectionId, ColumnType, RelationDesc};
use sqlparser::ast::{DataType, Expr, Ident, ObjectName};
use sqlparser::tokenizer::Token;

use super::database::exists;
use super::planner::Over;
use super::qualify::{full_name, qualify};
use super::{Planner, create_source};
use crate::catalog_view::{FullName, ItemDefinition, SourceReference};
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::Cursor;
use crate::plan::{CreateTablePlan, Plan};

/// Most columns of a table, as in PostgreSQL.
pub(crate) const COLUMNS_MAX: usize = 1600;

#[derive(Clone, Debug)]
pub struct CreateTable {
    pub name: ObjectName,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub columns: Vec<Column>,
    pub source: Option<FromSource>,
}

#[derive(Clone, Debug)]
pub struct Column {
    pub name: Ident,
    pub typ: DataType,
    /// Where the type stands: most types have no place of their own in the tree.
    pub typ_position: usize,
    pub not_null: bool,
    /// It was said that it may be NULL.
    pub declared_null: bool,
    pub default: Option<Expr>,
}

#[derive(Clone, Debug)]
pub struct FromSource {
    pub source: ObjectName,
    pub reference: ObjectName,
}

impl CreateTable {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<CreateTable, Error> {
        let if_not_exists = cursor.if_not_exists();
        let name = cursor.name()?;
        let mut create = CreateTable { name, temporary: false, if_not_exists, columns: Vec::new(), source: None };
        if cursor.take(&["from", "source"]) {
            create.source = Some(FromSource::parse(cursor)?);
        } else if cursor.peek_words(&["from", "webhook"]) {
            return Err(cursor.unsupported("CREATE TABLE FROM WEBHOOK"));
        } else if cursor.peek_words(&["as"]) {
            return Err(cursor.unsupported("CREATE TABLE AS"));
        } else {
            create.columns = parse_columns(cursor)?;
        }
        refuse_options(cursor)?;
        if cursor.peek_words(&["on", "commit"]) && !cursor.take(&["on", "commit", "preserve", "rows"]) {
            return Err(cursor.unsupported("ON COMMIT DROP or DELETE ROWS"));
        }
        if cursor.peek_words(&["as"]) {
            return Err(cursor.unsupported("CREATE TABLE AS"));
        }
        Ok(create)
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let name = match self.temporary {
            true if self.source.is_some() => {
                return Err(Error::unsupported("a temporary table that a source fills").at_node(&self.name));
            }
            true => names::new_temporary_name(planner.context, planner.catalog, &self.name)?,
            false => names::new_item_name(planner.context, planner.catalog, &self.name)?,
        };
        if let Some(plan) =
            check_new(planner, &name, self.if_not_exists, "CREATE TABLE").map_err(|error| error.at_node(&self.name))?
        {
            return Ok(plan);
        }
        let plan = match &self.source {
            Some(from) => from.plan(planner, name, self.if_not_exists)?,
            None => self.plan_columns(planner, name)?,
        };
        Ok(Plan::CreateTable(plan))
    }

    fn plan_columns(&self, planner: &Planner<'_>, name: FullName) -> Result<CreateTablePlan, Error> {
        if self.columns.len() > COLUMNS_MAX {
            return Err(Error::new("54011", format!("tables can have at most {COLUMNS_MAX} columns")));
        }
        let mut columns: Vec<(String, ColumnType)> = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let column_name = names::check_identifier(&column.name)?;
            if columns.iter().any(|(other, _)| *other == column_name) {
                let message = format!("column {} specified more than once", in_quotes(&column_name));
                return Err(Error::new("42701", message).at_ident(&column.name));
            }
            let scalar =
                names::resolve_type(planner.names(), &column.typ).map_err(|error| error.at(column.typ_position))?;
            columns.push((column_name, ColumnType { scalar, nullable: !column.not_null }));
        }
        let desc = RelationDesc::new(columns);
        let defaults = self.plan_defaults(planner, &desc)?;
        let (create_sql, types) = self.normalized(planner, &name, &desc)?;
        let if_not_exists = self.if_not_exists;
        Ok(CreateTablePlan { name, if_not_exists, create_sql, desc, defaults, source: None, types })
    }

    fn plan_defaults(&self, planner: &Planner<'_>, desc: &RelationDesc) -> Result<Vec<Option<Scalar>>, Error> {
        self.columns.iter().enumerate().map(|(index, column)| column.plan_default(planner, desc, index)).collect()
    }

    /// The statement with the full names of what it names, and the users' types among those.
    pub(crate) fn normalized(
        &self,
        planner: &Planner<'_>,
        name: &FullName,
        desc: &RelationDesc,
    ) -> Result<(String, BTreeSet<CollectionId>), Error> {
        let mut types = BTreeSet::new();
        let mut columns = Vec::with_capacity(self.columns.len());
        for (column, (name, typ)) in self.columns.iter().zip(desc.iter()) {
            let mut written = column.typ.clone();
            let mut own = BTreeSet::new();
            planner.names().qualify_type(&mut written, &mut own)?;
            let shown = if own.is_empty() { names::type_name(&typ.scalar) } else { written.to_string() };
            types.append(&mut own);
            let mut default = column.default.clone();
            if let Some(default) = &mut default {
                types.append(&mut qualify(planner, default)?);
            }
            columns.push(column_text(name, &shown, !typ.nullable, default.as_ref()));
        }
        Ok((text(name, &columns), types))
    }
}

/// The text of a table's definition.
pub(super) fn text(name: &FullName, columns: &[String]) -> String {
    format!("CREATE TABLE {} ({})", full_name(name), columns.join(", "))
}

/// The text of a column in a table's definition.
pub(super) fn column_text(name: &str, typ: &str, not_null: bool, default: Option<&Expr>) -> String {
    let mut text = format!("{} {typ}", Ident::with_quote('"', name));
    if not_null {
        text.push_str(" NOT NULL");
    }
    if let Some(default) = default {
        text.push_str(&format!(" DEFAULT {default}"));
    }
    text
}

/// The text of the definition of a table that a source fills.
pub(super) fn from_source_text(name: &FullName, source: &FullName, reference: &ObjectName) -> String {
    format!("CREATE TABLE {} FROM SOURCE {} (REFERENCE = {reference})", full_name(name), full_name(source))
}

impl Column {
    /// The DEFAULT of the column that has this index in `desc`.
    pub(crate) fn plan_default(
        &self,
        planner: &Planner<'_>,
        desc: &RelationDesc,
        index: usize,
    ) -> Result<Option<Scalar>, Error> {
        let Some(expr) = &self.default else { return Ok(None) };
        let scalar = planner
            .without_params(|planner| planner.assigned(Over::nothing(&RelationDesc::default(), expr), desc, index))?;
        if scalar.contains_mz_now() {
            return Err(Error::unsupported("mz_now() in DEFAULT").at_node(expr));
        }
        Ok(Some(scalar))
    }
}

impl FromSource {
    fn parse(cursor: &mut Cursor<'_>) -> Result<FromSource, Error> {
        let source = cursor.name()?;
        cursor.expect_token(&Token::LParen)?;
        cursor.expect(&["reference"])?;
        cursor.take_token(&Token::Eq);
        let reference = cursor.name()?;
        cursor.expect_token(&Token::RParen)?;
        if ["format", "include", "envelope"].iter().any(|word| cursor.peek_words(&[word])) {
            return Err(cursor.unsupported("FORMAT, INCLUDE or ENVELOPE of a table from a load generator"));
        }
        Ok(FromSource { source, reference })
    }

    fn plan(&self, planner: &Planner<'_>, name: FullName, if_not_exists: bool) -> Result<CreateTablePlan, Error> {
        let item = names::resolve_or_none(planner.context, planner.catalog, &self.source)?
            .ok_or_else(|| names::unknown(planner.context, planner.catalog, &self.source, "source", "42P01"))?;
        let ItemDefinition::Source { connection, .. } = &item.definition else {
            let message = format!("{} is a {}, not a source", in_quotes(&item.name.item), item.kind());
            return Err(Error::new("42809", message).at_node(&self.source));
        };
        let (reference, desc) = create_source::reference(connection, &self.reference)?;
        let source = SourceReference { source: item.id, reference };
        Ok(from_source(name, if_not_exists, desc, source, &item.name))
    }
}

/// The plan of a table that a source fills.
pub(crate) fn from_source(
    name: FullName,
    if_not_exists: bool,
    desc: RelationDesc,
    source: SourceReference,
    source_name: &FullName,
) -> CreateTablePlan {
    let reference = ObjectName::from(Ident::with_quote('"', &source.reference));
    let create_sql = from_source_text(&name, source_name, &reference);
    let defaults = vec![None; desc.arity()];
    let types = BTreeSet::new();
    CreateTablePlan { name, if_not_exists, create_sql, desc, defaults, source: Some(source), types }
}

/// Checks that no item of this name exists. Returns what is to be done instead. Errors: 42P07.
pub(crate) fn check_new(
    planner: &Planner<'_>,
    name: &FullName,
    if_not_exists: bool,
    tag: &'static str,
) -> Result<Option<Plan>, Error> {
    match planner.catalog.item(name) {
        None => Ok(None),
        Some(item) => {
            let message = format!("{} \"{name}\" already exists", item.kind());
            exists(if_not_exists, tag, "42P07", message).map(Some)
        }
    }
}

fn parse_columns(cursor: &mut Cursor<'_>) -> Result<Vec<Column>, Error> {
    cursor.expect_token(&Token::LParen)?;
    if cursor.take_token(&Token::RParen) {
        return Ok(Vec::new());
    }
    let columns = cursor.comma_separated(parse_column)?;
    cursor.expect_token(&Token::RParen)?;
    Ok(columns)
}

pub(crate) fn parse_column(cursor: &mut Cursor<'_>) -> Result<Column, Error> {
    let constraints: [(&[&str], &str); 7] = [
        (&["constraint"], "a table constraint"),
        (&["primary", "key"], "PRIMARY KEY"),
        (&["unique"], "UNIQUE"),
        (&["check"], "CHECK"),
        (&["foreign", "key"], "FOREIGN KEY"),
        (&["exclude"], "EXCLUDE"),
        (&["like"], "CREATE TABLE LIKE"),
    ];
    for (words, name) in constraints {
        let is_column = words.len() == 1 && *cursor.peek_nth(1) != Token::LParen && words[0] != "constraint";
        if cursor.peek_words(words) && !is_column {
            return Err(cursor.unsupported(name));
        }
    }
    let name = cursor.ident()?;
    let typ_position = cursor.position();
    let typ = cursor.data_type()?;
    let mut column = Column { name, typ, typ_position, not_null: false, declared_null: false, default: None };
    while parse_column_option(cursor, &mut column)? {}
    Ok(column)
}

/// Reads one NOT NULL, NULL or DEFAULT; false if none comes next.
fn parse_column_option(cursor: &mut Cursor<'_>, column: &mut Column) -> Result<bool, Error> {
    let position = cursor.position();
    let conflict = || Error::new("42601", "conflicting NULL/NOT NULL declarations for a column").at(position);
    if cursor.take(&["not", "null"]) {
        if column.declared_null {
            return Err(conflict());
        }
        column.not_null = true;
    } else if cursor.take(&["default"]) {
        column.default = Some(cursor.expr()?);
    } else if cursor.take(&["null"]) {
        if column.not_null {
            return Err(conflict());
        }
        column.declared_null = true;
    } else {
        let refused: [(&[&str], &str); 8] = [
            (&["primary", "key"], "PRIMARY KEY"),
            (&["unique"], "UNIQUE"),
            (&["check"], "CHECK"),
            (&["references"], "FOREIGN KEY"),
            (&["collate"], "COLLATE"),
            (&["generated"], "GENERATED"),
            (&["constraint"], "a named column constraint"),
            (&["storage"], "STORAGE"),
        ];
        if let Some((_, name)) = refused.iter().find(|(words, _)| cursor.peek_words(words)) {
            return Err(cursor.unsupported(name));
        }
        return Ok(false);
    }
    Ok(true)
}

/// Errors: 0A000 naming the first option of `WITH (...)`, if that comes next.
pub(crate) fn refuse_options(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    if cursor.peek_words(&["with"]) && *cursor.peek_nth(1) == Token::LParen {
        cursor.advance();
        cursor.advance();
        let known = ["retain history", "partition by", "text columns", "exclude columns", "assert not null", "refresh"];
        let found = known.iter().find(|name| cursor.peek_words(&name.split(' ').collect::<Vec<_>>()));
        return Err(match found {
            Some(name) => cursor.unsupported(&format!("option {}", name.to_uppercase())),
            None => cursor.expected("an option"),
        });
    }
    Ok(())
}
