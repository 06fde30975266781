//! The name of one column in stored definitions, changed where a relation's column gets another name.
//!
//! In a query, columns are renamed where they are qualified with what the relation is called there, and without qualification
//! in each SELECT that has it in its own FROM. What a SELECT names by such a column keeps the former name as an alias, so a
//! view keeps its columns. A view whose own column is renamed gets a list of all its columns before its query. That is no analysis of scopes: the catalog plans what comes of this, and refuses a change that
//! would alter a meaning.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Ident, Select, SelectItem, TableFactor, TableWithJoins, VisitMut, VisitorMut};

use super::StatementKind;
use super::definition_names::{NewNames, in_full};
use crate::catalog_view::FullName;
use crate::error::Error;
use crate::names::fold;
use crate::parse::{self, with_stack_for};

/// A column that gets another name.
#[derive(Clone, Copy, Debug)]
pub struct NewColumn<'a> {
    pub relation: &'a FullName,
    /// All columns of the relation, by their new names.
    pub columns: &'a [String],
    pub from: &'a str,
    pub to: &'a str,
}

/// The definition `create_sql` with the column's new name. Errors: 42601 if it is no definition.
pub fn with_column_renamed(create_sql: &str, column: NewColumn<'_>) -> Result<String, Error> {
    let statements = parse::parse(create_sql)?;
    let [statement] = &statements[..] else { return Err(Error::new("42601", "not one statement")) };
    let names = NewNames::default();
    with_stack_for(statement.depth, || match statement.kind.as_ref() {
        StatementKind::CreateTable(create) => {
            let mut create = create.clone();
            if in_full(&create.name).as_ref() == Some(column.relation) {
                let renamed = create.columns.iter_mut().filter(|own| fold(&own.name) == column.from);
                renamed.for_each(|own| own.name = column.new_name());
            }
            names.table(&create)
        }
        StatementKind::CreateView(create) => {
            let mut create = create.clone();
            if in_full(&create.name).as_ref() == Some(column.relation) {
                create.columns = column.columns.iter().map(|name| Ident::with_quote('"', name)).collect();
            } else {
                column.rename_in(&mut create.query, BTreeSet::new());
            }
            names.view(&create)
        }
        StatementKind::CreateIndex(create) => {
            let mut create = create.clone();
            if in_full(&create.on).as_ref() == Some(column.relation) {
                let called = BTreeSet::from([column.relation.item.clone()]);
                create.keys.iter_mut().flatten().for_each(|key| column.rename_in(key, called.clone()));
            }
            names.index(&create)
        }
        _ => Ok(create_sql.to_owned()),
    })
}

impl NewColumn<'_> {
    fn new_name(&self) -> Ident {
        Ident::with_quote('"', self.to)
    }

    /// Renames it in an expression over the relation, which is called one of `called`, or, if that is empty, in a query.
    fn rename_in(&self, node: &mut impl VisitMut, called: BTreeSet<String>) {
        let reads = !called.is_empty();
        let mut aliases = Aliases { relation: self.relation, called };
        let _ = node.visit(&mut aliases);
        let _ = node.visit(&mut Renamer { column: *self, called: aliases.called, reads: vec![reads] });
    }
}

/// Collects what the relation is called.
struct Aliases<'a> {
    relation: &'a FullName,
    called: BTreeSet<String>,
}

impl VisitorMut for Aliases<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.called.extend(called(factor, self.relation));
        ControlFlow::Continue(())
    }
}

/// What the relation is called, if it is this factor.
fn called(factor: &TableFactor, relation: &FullName) -> Option<String> {
    match factor {
        TableFactor::Table { name, alias, args: None, .. } if in_full(name).as_ref() == Some(relation) => {
            Some(alias.as_ref().map_or_else(|| relation.item.clone(), |alias| fold(&alias.name)))
        }
        _ => None,
    }
}

fn reads(joined: &TableWithJoins, relation: &FullName) -> bool {
    let mut factors = std::iter::once(&joined.relation).chain(joined.joins.iter().map(|join| &join.relation));
    factors.any(|factor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => reads(table_with_joins, relation),
        factor => called(factor, relation).is_some(),
    })
}

struct Renamer<'a> {
    column: NewColumn<'a>,
    called: BTreeSet<String>,
    /// For each SELECT around whether it reads the relation itself.
    reads: Vec<bool>,
}

impl Renamer<'_> {
    fn is_column(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Identifier(ident) => self.reads.last() == Some(&true) && fold(ident) == self.column.from,
            Expr::CompoundIdentifier(idents) => match &idents[..] {
                [.., qualifier, name] => fold(name) == self.column.from && self.called.contains(&fold(qualifier)),
                _ => false,
            },
            _ => false,
        }
    }
}

impl VisitorMut for Renamer<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        self.reads.push(select.from.iter().any(|joined| reads(joined, self.column.relation)));
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && self.is_column(expr)
            {
                let alias = Ident::with_quote('"', self.column.from);
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &mut Select) -> ControlFlow<()> {
        self.reads.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.is_column(expr) {
            match expr {
                Expr::Identifier(ident) => *ident = self.column.new_name(),
                Expr::CompoundIdentifier(idents) => {
                    if let Some(name) = idents.last_mut() {
                        *name = self.column.new_name();
                    }
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}
