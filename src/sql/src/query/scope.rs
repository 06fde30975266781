//! Which columns can be named, and by which names.

use repr::ScalarType;
use sqlparser::ast::Ident;

use crate::catalog_view::{FullName, quoted};
use crate::error::Error;
use crate::names::{fold, perhaps};
use crate::position;

/// The name of an entry of FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) name: String,
    /// Set for a relation without alias: it may be named with its schema.
    pub(crate) full: Option<FullName>,
    /// Its rows are single values of a function: where its name means its whole row, it means the value.
    pub(crate) is_scalar: bool,
}

impl TableName {
    pub(crate) fn alias(name: impl Into<String>) -> TableName {
        TableName { name: name.into(), full: None, is_scalar: false }
    }

    /// True if the folded `qualifier` (table, or schema and table, or database, schema and table) names this entry.
    fn matches(&self, qualifier: &[String]) -> bool {
        match (qualifier, &self.full) {
            ([table], _) => *table == self.name,
            ([schema, table], Some(full)) => *table == self.name && *schema == full.schema,
            ([database, schema, table], Some(full)) => {
                *table == self.name && *schema == full.schema && Some(database) == full.database.as_ref()
            }
            _ => false,
        }
    }

    /// True if both cannot stand in one FROM.
    fn clashes(&self, other: &TableName) -> bool {
        self.name == other.name && (self.full.is_none() || other.full.is_none() || self.full == other.full)
    }
}

/// A column that can be named.
#[derive(Clone, Debug)]
pub(crate) struct ScopeItem {
    /// Index into [`Scope::tables`]; None for a column merged by USING.
    pub(crate) table: Option<usize>,
    pub(crate) name: String,
    /// Place in the row.
    pub(crate) index: usize,
    pub(crate) typ: ScalarType,
    /// Reached only with its table's name: USING merged it into another.
    pub(crate) hidden: bool,
}

/// The columns of a row, in the order of `*`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) tables: Vec<TableName>,
    pub(crate) items: Vec<ScopeItem>,
}

impl Scope {
    /// The scope of one entry of FROM, its columns in the order of the row.
    pub(crate) fn of_table(table: TableName, columns: impl IntoIterator<Item = (String, ScalarType)>) -> Scope {
        let items = columns.into_iter().enumerate().map(|(index, (name, typ))| ScopeItem {
            table: Some(0),
            name,
            index,
            typ,
            hidden: false,
        });
        Scope { items: items.collect(), tables: vec![table] }
    }

    /// Columns without a table's name.
    pub(crate) fn of_columns(columns: impl IntoIterator<Item = (String, ScalarType)>) -> Scope {
        let mut scope = Scope::of_table(TableName::alias(""), columns);
        scope.tables.clear();
        scope.items.iter_mut().for_each(|item| item.table = None);
        scope
    }

    /// Both scopes' columns, those of `other` moved behind `arity` columns. Errors: 42712 a table named twice.
    pub(crate) fn join(mut self, other: Scope, arity: usize) -> Result<Scope, Error> {
        let twice = other.tables.iter().find(|table| self.tables.iter().any(|mine| mine.clashes(table)));
        if let Some(table) = twice {
            let message = format!("table name {} specified more than once", always_quoted(&table.name));
            return Err(Error::new("42712", message));
        }
        let table_count = self.tables.len();
        self.tables.extend(other.tables);
        self.items.extend(other.items.into_iter().map(|mut item| {
            item.index += arity;
            item.table = item.table.map(|table| table + table_count);
            item
        }));
        Ok(self)
    }

    /// The items that can be named `name` without a table.
    pub(crate) fn unqualified<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ScopeItem> {
        self.items.iter().filter(move |item| !item.hidden && item.name == name)
    }

    /// The table of this name. Errors: 42P09 if several have it.
    pub(crate) fn table(&self, qualifier: &[String]) -> Result<Option<usize>, Error> {
        let mut found = (0..self.tables.len()).filter(|index| self.tables[*index].matches(qualifier));
        let first = found.next();
        match found.next() {
            Some(_) => {
                let message = format!("table reference {} is ambiguous", always_quoted(&qualifier.join(".")));
                Err(Error::new("42P09", message))
            }
            None => Ok(first),
        }
    }

    /// All columns of a table, also those that USING merged into others.
    pub(crate) fn columns_of(&self, table: usize) -> impl Iterator<Item = &ScopeItem> {
        self.items.iter().filter(move |item| item.table == Some(table))
    }

    /// The columns of `*`.
    pub(crate) fn visible(&self) -> impl Iterator<Item = &ScopeItem> {
        self.items.iter().filter(|item| !item.hidden)
    }
}

/// A name in the quotes that PostgreSQL's messages always have.
pub(crate) fn always_quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// The error for a column that nothing visible has.
pub(crate) fn unknown_column<'a>(idents: &[Ident], visible: impl IntoIterator<Item = &'a str>) -> Error {
    let names: Vec<String> = idents.iter().map(fold).collect();
    let shown = match &names[..] {
        [name] => always_quoted(name),
        _ => names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join("."),
    };
    let last = names.last().map(String::as_str).unwrap_or_default();
    let error = Error::new("42703", format!("column {shown} does not exist")).hinted(perhaps(last, visible));
    at(error, idents)
}

/// Adds the position of a name.
pub(crate) fn at(error: Error, idents: &[Ident]) -> Error {
    match idents.first().and_then(|ident| position::of_span(ident.span)) {
        Some(position) => error.at(position),
        None => error,
    }
}
