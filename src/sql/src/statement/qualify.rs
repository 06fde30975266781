//! Names of relations and types inside queries, made full, so that the text means the same whatever the session.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use repr::CollectionId;
use sqlparser::ast::{DataType, Expr, Ident, ObjectName, Query, TableAlias, TableFactor, VisitMut, VisitorMut};

use super::Planner;
use crate::catalog_view::FullName;
use crate::error::Error;
use crate::names;

/// Gives every relation and type that `query` or an expression names its full name; names of WITH are left as they are.
/// Returns the users' types among them.
pub(crate) fn qualify(planner: &Planner<'_>, node: &mut impl VisitMut) -> Result<BTreeSet<CollectionId>, Error> {
    let mut visitor = Qualifier { planner, scopes: Vec::new(), types: BTreeSet::new() };
    match node.visit(&mut visitor) {
        ControlFlow::Continue(()) => Ok(visitor.types),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The name of an item, as a name in a query, in quotes.
pub(crate) fn full_name(name: &FullName) -> ObjectName {
    let idents = [name.database.as_ref(), Some(&name.schema), Some(&name.item)];
    ObjectName::from(idents.into_iter().flatten().map(|part| Ident::with_quote('"', part)).collect::<Vec<_>>())
}

struct Qualifier<'a, 'b> {
    planner: &'a Planner<'b>,
    /// The queries that enclose this place.
    scopes: Vec<Scope>,
    /// Users' types that were met.
    types: BTreeSet<CollectionId>,
}

impl Qualifier<'_, '_> {
    fn qualify_type(&mut self, data_type: &mut DataType) -> ControlFlow<Error> {
        match self.planner.names().qualify_type(data_type, &mut self.types) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    /// The types of the columns that an alias declares.
    fn qualify_alias(&mut self, alias: &mut TableAlias) -> ControlFlow<Error> {
        alias
            .columns
            .iter_mut()
            .filter_map(|column| column.data_type.as_mut())
            .try_for_each(|typ| self.qualify_type(typ))
    }
}

/// The names that one query's WITH binds.
struct Scope {
    names: Vec<String>,
    /// How many of the WITH queries were left behind: those bind a name for what follows.
    done: usize,
    recursive: bool,
}

impl Scope {
    fn binds(&self, name: &str) -> bool {
        let visible = if self.recursive { self.names.len() } else { self.done };
        self.names[..visible].iter().any(|bound| bound == name)
    }
}

impl VisitorMut for Qualifier<'_, '_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let with = query.with.as_ref();
        let names = with.iter().flat_map(|with| &with.cte_tables).map(|cte| names::fold(&cte.alias.name)).collect();
        self.scopes.push(Scope { names, done: 0, recursive: with.is_some_and(|with| with.recursive) });
        let mut ctes = query.with.iter_mut().flat_map(|with| &mut with.cte_tables);
        ctes.try_for_each(|cte| self.qualify_alias(&mut cte.alias))
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.scopes.pop();
        // WITH is visited first, so the first queries directly inside one are its own.
        if let Some(parent) = self.scopes.last_mut()
            && parent.done < parent.names.len()
        {
            parent.done += 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Cast { data_type, .. } => self.qualify_type(data_type),
            Expr::TypedString(typed) => self.qualify_type(&mut typed.data_type),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        if let TableFactor::Table { name, args: None, .. } = factor {
            let bound = match &name.0[..] {
                [part] => part.as_ident().is_some_and(|ident| {
                    let folded = names::fold(ident);
                    self.scopes.iter().any(|scope| scope.binds(&folded))
                }),
                _ => false,
            };
            if !bound {
                match names::resolve_item(self.planner.context, self.planner.catalog, name) {
                    Ok(item) => *name = full_name(&item.name),
                    Err(error) => return ControlFlow::Break(error),
                }
            }
        }
        match factor {
            TableFactor::Table { alias: Some(alias), .. } | TableFactor::Function { alias: Some(alias), .. } => {
                self.qualify_alias(alias)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
