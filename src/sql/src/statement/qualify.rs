//! Names of relations inside queries, made full, so that the text means the same whatever the session.

use std::ops::ControlFlow;

use sqlparser::ast::{Ident, ObjectName, Query, TableFactor, VisitMut, VisitorMut};

use super::Planner;
use crate::catalog_view::FullName;
use crate::error::Error;
use crate::names;

/// Gives every relation that `query` reads its full name. Names of WITH are left as they are.
pub(crate) fn qualify(planner: &Planner<'_>, query: &mut Query) -> Result<(), Error> {
    let mut visitor = Qualifier { planner, scopes: Vec::new() };
    match query.visit(&mut visitor) {
        ControlFlow::Continue(()) => Ok(()),
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
        ControlFlow::Continue(())
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
        ControlFlow::Continue(())
    }
}
