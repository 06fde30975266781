//! Tables as targets of INSERT, UPDATE, DELETE and COPY.

use std::sync::Arc;

use expr::Scalar;
use repr::RelationDesc;
use sqlparser::ast::{Expr, Ident, ObjectName, Value};

use super::{Planner, StatementKind};
use crate::catalog_view::{Item, ItemDefinition};
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse;
use crate::query::{Mutation, TableName};

/// A table that users may write.
pub(crate) struct Target {
    pub(crate) item: Arc<Item>,
}

impl Target {
    /// Errors: as [`names::resolve_item`], 42809 for what is not a table, 42501 for a system relation.
    pub(crate) fn resolve(planner: &Planner<'_>, name: &ObjectName) -> Result<Target, Error> {
        let item = names::resolve_item(planner.context, planner.catalog, name)?;
        let shown = in_quotes(&item.name.item);
        let error = match &item.definition {
            ItemDefinition::Table { source: None, .. } => return Ok(Target { item }),
            ItemDefinition::Table { source: Some(_), .. } => {
                Error::new("42809", format!("cannot change table {shown}: a source fills it"))
            }
            ItemDefinition::Builtin { .. } => {
                Error::new("42501", format!("permission denied: {shown} is a system relation"))
            }
            _ => Error::new("42809", format!("cannot change {} {shown}: only tables can be written", item.kind())),
        };
        Err(error.at_node(name))
    }

    pub(crate) fn desc(&self) -> &RelationDesc {
        self.item.desc().expect("a table has columns")
    }

    pub(crate) fn defaults(&self) -> &[Option<Scalar>] {
        match &self.item.definition {
            ItemDefinition::Table { defaults, .. } => defaults,
            _ => &[],
        }
    }

    /// What a column holds where no value is given.
    pub(crate) fn default_scalar(&self, column: usize) -> Scalar {
        let default = self.defaults().get(column).cloned().flatten();
        default.unwrap_or_else(|| Scalar::null(self.desc().typ.columns[column].scalar.clone()))
    }

    /// A mutation of all rows, which calls the table by its name or by `alias`.
    pub(crate) fn mutation(&self, alias: Option<&Ident>) -> Mutation<'_> {
        let called = match alias {
            Some(alias) => TableName::alias(names::fold(alias)),
            None => {
                TableName { name: self.item.name.item.clone(), full: Some(self.item.name.clone()), is_scalar: false }
            }
        };
        let (table, desc) = (self.item.id, self.desc());
        Mutation { table, desc, called, with: None, assignments: None, from: &[], filter: None, returning: &[] }
    }

    /// The DEFAULT of a column as it was written; NULL if there is none.
    pub(crate) fn default_expr(&self, column: usize) -> Expr {
        let written = written_defaults(&self.item.create_sql).into_iter().nth(column).flatten();
        written.unwrap_or_else(|| Expr::Value(Value::Null.into()))
    }

    /// The index of a column. Errors: 42703 with a near miss.
    pub(crate) fn column(&self, ident: &Ident) -> Result<usize, Error> {
        let name = names::fold(ident);
        self.desc().column(&name).ok_or_else(|| {
            let table = in_quotes(&self.item.name.item);
            let candidates = self.desc().names.iter().map(String::as_str);
            Error::new("42703", format!("column {} of relation {table} does not exist", in_quotes(&name)))
                .hinted(names::perhaps(&name, candidates))
                .at_ident(ident)
        })
    }

    /// The indexes of listed columns, or of all. Errors: 42703, 42701 for one that is listed twice.
    pub(crate) fn columns(&self, idents: &[Ident]) -> Result<Vec<usize>, Error> {
        if idents.is_empty() {
            return Ok((0..self.desc().arity()).collect());
        }
        let mut columns = Vec::with_capacity(idents.len());
        for ident in idents {
            let column = self.column(ident)?;
            if columns.contains(&column) {
                let message = format!("column {} specified more than once", in_quotes(&names::fold(ident)));
                return Err(Error::new("42701", message).at_ident(ident));
            }
            columns.push(column);
        }
        Ok(columns)
    }
}

/// The DEFAULT of each column in the text of a CREATE TABLE.
fn written_defaults(create_sql: &str) -> Vec<Option<Expr>> {
    let statements = parse::parse(create_sql).unwrap_or_default();
    match statements.first().map(|statement| statement.kind.as_ref()) {
        Some(StatementKind::CreateTable(create)) => {
            create.columns.iter().map(|column| column.default.clone()).collect()
        }
        _ => Vec::new(),
    }
}

/// The text of the DEFAULT of each column of a table, from the statement that made it.
pub fn column_defaults(create_sql: &str) -> Vec<Option<String>> {
    written_defaults(create_sql).into_iter().map(|default| default.map(|default| default.to_string())).collect()
}
