//! `CREATE [OR REPLACE] [TEMPORARY] VIEW`, `CREATE [OR REPLACE] MATERIALIZED VIEW`.

use repr::{CollectionId, RelationDesc};
use sqlparser::ast::{Ident, ObjectName, Query};
use sqlparser::tokenizer::Token;

use super::create_table::{check_new, refuse_options};
use super::qualify::{full_name, qualify};
use super::{Planner, drop};
use crate::catalog_view::{FullName, ItemDefinition};
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::Cursor;
use crate::plan::{CreateMaterializedViewPlan, CreateViewPlan, Plan};
use crate::query::Lifetime;

#[derive(Clone, Debug)]
pub struct CreateView {
    pub name: ObjectName,
    pub materialized: bool,
    pub temporary: bool,
    pub or_replace: bool,
    pub if_not_exists: bool,
    /// Names for the first columns.
    pub columns: Vec<Ident>,
    /// Of a materialized view; None: the session's.
    pub cluster: Option<Ident>,
    pub query: Box<Query>,
}

impl CreateView {
    pub(crate) fn parse_view(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<CreateView, Error> {
        CreateView::parse(cursor, or_replace, false)
    }

    pub(crate) fn parse_materialized(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<CreateView, Error> {
        CreateView::parse(cursor, or_replace, true)
    }

    fn parse(cursor: &mut Cursor<'_>, or_replace: bool, materialized: bool) -> Result<CreateView, Error> {
        let if_not_exists = !or_replace && cursor.if_not_exists();
        let name = cursor.name()?;
        let columns = match cursor.peek() {
            Token::LParen => cursor.parenthesized(Cursor::ident)?,
            _ => Vec::new(),
        };
        let cluster = if materialized { cursor.in_cluster()? } else { None };
        refuse_options(cursor)?;
        cursor.expect(&["as"])?;
        let query = cursor.query()?;
        if cursor.peek_as_of() {
            return Err(cursor.unsupported("AS OF in a definition"));
        }
        if cursor.peek_words(&["with", "no", "data"]) || cursor.peek_words(&["with", "check", "option"]) {
            return Err(cursor.unsupported("an option after a view's query"));
        }
        let temporary = false;
        Ok(CreateView { name, materialized, temporary, or_replace, if_not_exists, columns, cluster, query })
    }

    pub(crate) fn tag(&self) -> &'static str {
        if self.materialized { "CREATE MATERIALIZED VIEW" } else { "CREATE VIEW" }
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let name = match self.temporary {
            true => names::new_temporary_name(planner.context, planner.catalog, &self.name)?,
            false => names::new_item_name(planner.context, planner.catalog, &self.name)?,
        };
        let replace = self.replaced(planner, &name)?;
        if replace.is_none()
            && let Some(plan) =
                check_new(planner, &name, self.if_not_exists, self.tag()).map_err(|error| error.at_node(&self.name))?
        {
            return Ok(plan);
        }
        let cluster = match self.materialized {
            true => Some(names::cluster_or_default(planner.context, planner.catalog, self.cluster.as_ref())?),
            false => None,
        };
        let lifetime = if self.materialized { Lifetime::Maintained } else { Lifetime::View };
        let planned = planner.definition(&self.query, lifetime)?;
        if replace.is_some_and(|replaced| reads_view(planner, &planned.relation, replaced)) {
            let message = format!("cannot replace {}: its new definition would read itself", in_quotes(&name.item));
            return Err(Error::new("42P17", message).at_node(&self.name));
        }
        let mut desc = self.name_columns(planned.desc)?;
        // Known keys make the default index of the view a narrow one.
        desc.typ.keys = planned.relation.typ().keys;
        let mut query = self.query.clone();
        let types = qualify(planner, &mut *query)?;
        let in_cluster = cluster.as_ref().map(|cluster| cluster.name.as_str());
        let create_sql = normalized(&name, &self.columns, in_cluster, &query);
        let (if_not_exists, relation) = (self.if_not_exists, planned.relation);
        Ok(match cluster {
            None => {
                Plan::CreateView(CreateViewPlan { name, if_not_exists, replace, create_sql, desc, relation, types })
            }
            Some(cluster) => Plan::CreateMaterializedView(CreateMaterializedViewPlan {
                name,
                if_not_exists,
                replace,
                create_sql,
                desc,
                relation,
                cluster: cluster.id,
                types,
            }),
        })
    }

    /// The view that OR REPLACE drops. Errors: 42809 if the name is not such a view's, 2BP01 if others depend on it.
    fn replaced(&self, planner: &Planner<'_>, name: &FullName) -> Result<Option<CollectionId>, Error> {
        if !self.or_replace {
            return Ok(None);
        }
        let Some(item) = planner.catalog.item(name) else { return Ok(None) };
        let same_kind = match item.definition {
            ItemDefinition::View { .. } => !self.materialized,
            ItemDefinition::MaterializedView { .. } => self.materialized,
            _ => false,
        };
        if !same_kind {
            let wanted = if self.materialized { "materialized view" } else { "view" };
            let message = format!("{} is a {}, not a {wanted}", in_quotes(&name.item), item.kind());
            return Err(Error::new("42809", message).at_node(&self.name));
        }
        drop::check_no_dependents(planner, &item).map_err(|error| error.at_node(&self.name))?;
        Ok(Some(item.id))
    }

    /// Gives the columns the names listed. Errors: 42601 too many names, 42701 a name twice.
    fn name_columns(&self, mut desc: RelationDesc) -> Result<RelationDesc, Error> {
        if self.columns.len() > desc.arity() {
            let message = format!("more column names ({}) than columns ({})", self.columns.len(), desc.arity());
            return Err(Error::new("42601", message).at_ident(&self.columns[desc.arity()]));
        }
        for (name, ident) in desc.names.iter_mut().zip(&self.columns) {
            *name = names::check_identifier(ident)?;
        }
        for (index, name) in desc.names.iter().enumerate() {
            if desc.names[..index].contains(name) {
                let message = format!("column {} specified more than once", in_quotes(name));
                let error = Error::new("42701", message).with_hint("Name the columns with AS.");
                return Err(match self.columns.get(index) {
                    Some(ident) => error.at_ident(ident),
                    None => error,
                });
            }
        }
        Ok(desc)
    }
}

fn reads_view(planner: &Planner<'_>, relation: &expr::Relation, view: CollectionId) -> bool {
    let mut pending: Vec<CollectionId> = relation.depends_on().into_iter().collect();
    let mut seen = pending.clone();
    while let Some(id) = pending.pop() {
        if id == view {
            return true;
        }
        for next in planner.catalog.item_by_id(id).iter().flat_map(|item| &item.depends_on) {
            if !seen.contains(next) {
                seen.push(*next);
                pending.push(*next);
            }
        }
    }
    false
}

/// The text of a view's definition, all its names full.
pub(super) fn normalized(name: &FullName, columns: &[Ident], cluster: Option<&str>, query: &Query) -> String {
    let kind = if cluster.is_some() { "MATERIALIZED VIEW" } else { "VIEW" };
    let mut text = format!("CREATE {kind} {}", full_name(name));
    if !columns.is_empty() {
        let columns: Vec<String> =
            columns.iter().map(|ident| Ident::with_quote('"', names::fold(ident)).to_string()).collect();
        text.push_str(&format!(" ({})", columns.join(", ")));
    }
    if let Some(cluster) = cluster {
        text.push_str(&format!(" IN CLUSTER {}", Ident::with_quote('"', cluster)));
    }
    format!("{text} AS {query}")
}
