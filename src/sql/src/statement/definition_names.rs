//! The names in a stored definition, changed where objects got other names.
//!
//! A definition names relations, types and clusters in full. A relation without an alias is also called by its own name
//! where its columns are qualified, so it gets its former name as an alias: `SELECT t.a FROM t` becomes
//! `SELECT t.a FROM u AS t`. The catalog plans what comes of this, and refuses a change that would alter its meaning.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    DataType, Expr, Ident, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, TableAlias,
    TableFactor, VisitMut, VisitorMut,
};

use super::create_index::{self, CreateIndex};
use super::create_secret::{Contents, CreateSecret, secret_definition};
use super::create_table::{self, CreateTable};
use super::create_type::CreateType;
use super::create_view::{self, CreateView};
use super::{StatementKind, create_source, full_name};
use crate::catalog_view::FullName;
use crate::error::Error;
use crate::names::{self, fold};
use crate::parse::{self, with_stack_for};

/// Names that objects had, and those that they get.
#[derive(Clone, Debug, Default)]
pub struct NewNames {
    pub items: BTreeMap<FullName, FullName>,
    pub clusters: BTreeMap<String, String>,
}

/// The definition `create_sql` with these names. Errors: 42601 if it is no definition.
pub fn renamed_definition(create_sql: &str, names: &NewNames) -> Result<String, Error> {
    let statements = parse::parse(create_sql)?;
    let [statement] = &statements[..] else { return Err(Error::new("42601", "not one statement")) };
    with_stack_for(statement.depth, || match statement.kind.as_ref() {
        StatementKind::CreateTable(create) => names.table(create),
        StatementKind::CreateView(create) => names.view(create),
        StatementKind::CreateIndex(create) => names.index(create),
        StatementKind::CreateType(create) => names.typ(create),
        StatementKind::CreateSecret(CreateSecret { name, contents: Contents::Stored(version), .. }) => {
            Ok(secret_definition(&names.item(name)?, *version))
        }
        StatementKind::CreateSource(create) => {
            let cluster = names.cluster(create.cluster.as_ref())?;
            Ok(create_source::normalized(&names.item(&create.name)?, &cluster, &create.generator))
        }
        other => Err(Error::new("42601", format!("{} is no definition", other.name()))),
    })
}

impl NewNames {
    /// What an item is called that was called `name`.
    fn item(&self, name: &ObjectName) -> Result<FullName, Error> {
        let old = in_full(name).ok_or_else(|| Error::new("42601", format!("{name} is not a full name")))?;
        Ok(self.items.get(&old).cloned().unwrap_or(old))
    }

    /// The new name of what was called `name`, if it has one.
    fn changed(&self, name: &ObjectName) -> Option<(FullName, &FullName)> {
        let old = in_full(name)?;
        self.items.get(&old).map(|new| (old.clone(), new))
    }

    fn cluster(&self, cluster: Option<&Ident>) -> Result<String, Error> {
        let old = cluster.map(fold).ok_or_else(|| Error::new("42601", "a definition names its cluster"))?;
        Ok(self.clusters.get(&old).cloned().unwrap_or(old))
    }

    pub(super) fn table(&self, create: &CreateTable) -> Result<String, Error> {
        let name = self.item(&create.name)?;
        if let Some(from) = &create.source {
            return Ok(create_table::from_source_text(&name, &self.item(&from.source)?, &from.reference));
        }
        let mut columns = Vec::with_capacity(create.columns.len());
        for column in &create.columns {
            let mut typ = column.typ.clone();
            self.rewrite_type(&mut typ)?;
            let typ = names::resolve_system_type(&typ).map_or_else(|_| typ.to_string(), |typ| names::type_name(&typ));
            let mut default = column.default.clone();
            if let Some(default) = &mut default {
                self.rewrite(default)?;
            }
            let name = fold(&column.name);
            columns.push(create_table::column_text(&name, &typ, column.not_null, default.as_ref()));
        }
        Ok(create_table::text(&name, &columns))
    }

    pub(super) fn view(&self, create: &CreateView) -> Result<String, Error> {
        let mut query = create.query.clone();
        self.rewrite(&mut *query)?;
        let cluster = if create.materialized { Some(self.cluster(create.cluster.as_ref())?) } else { None };
        Ok(create_view::normalized(&self.item(&create.name)?, &create.columns, cluster.as_deref(), &query))
    }

    pub(super) fn index(&self, create: &CreateIndex) -> Result<String, Error> {
        let wrong = || Error::new("42601", "not the definition of an index");
        let old_on = in_full(&create.on).ok_or_else(wrong)?;
        let on = self.item(&create.on)?;
        // An index is in the schema of what it is on.
        let old = FullName { item: create.name.as_ref().map(fold).ok_or_else(wrong)?, ..old_on.clone() };
        let name = self.items.get(&old).unwrap_or(&old);
        let mut keys = Vec::new();
        for key in create.keys.iter().flatten() {
            let mut key = key.clone();
            self.rewrite(&mut key)?;
            // Its columns may be qualified with the name of what it is on, for which there is no alias here.
            if old_on.item != on.item {
                let _ = key.visit(&mut Requalify { from: &old_on.item, to: &on.item });
            }
            keys.push(key.to_string());
        }
        Ok(create_index::text(&name.item, &self.cluster(create.cluster.as_ref())?, &on, &keys))
    }

    fn typ(&self, create: &CreateType) -> Result<String, Error> {
        let body = create.body.text(&mut |typ| self.rewrite_type(typ))?;
        Ok(format!("CREATE TYPE {} AS {body}", full_name(&self.item(&create.name)?)))
    }

    fn rewrite(&self, node: &mut impl VisitMut) -> Result<(), Error> {
        match node.visit(&mut Rewriter { names: self }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    fn rewrite_type(&self, data_type: &mut DataType) -> Result<(), Error> {
        names::rename_types(data_type, &mut |name| self.changed(name).map(|(_, new)| new.clone()))
    }

    /// What a name that starts with an item's schema starts with now. `name` leads, more identifiers may follow.
    fn prefix(&self, name: &[Ident]) -> Option<(usize, Vec<Ident>)> {
        let folded: Vec<String> = name.iter().map(fold).collect();
        let quoted = |text: &str| Ident::with_quote('"', text);
        self.items.iter().find_map(|(old, new)| {
            let database = old.database.as_deref()?;
            let full = folded.len() > 2 && folded[0] == database && folded[1] == old.schema && folded[2] == old.item;
            let short = folded.len() > 1 && folded[0] == old.schema && folded[1] == old.item;
            if !full && !short {
                return None;
            }
            let taken = if full { 3 } else { 2 };
            // It has its former name as an alias, which stands without a schema.
            if old.item != new.item {
                return Some((taken, vec![quoted(&old.item)]));
            }
            let database = new.database.as_deref().filter(|_| full).map(quoted);
            Some((taken, database.into_iter().chain([quoted(&new.schema), quoted(&new.item)]).collect()))
        })
    }
}

/// The item that a name of three parts means.
pub(super) fn in_full(name: &ObjectName) -> Option<FullName> {
    let [database, schema, item] = names::parts(name).ok()?[..] else { return None };
    Some(FullName { database: Some(fold(database)), schema: fold(schema), item: fold(item) })
}

struct Rewriter<'a> {
    names: &'a NewNames,
}

impl Rewriter<'_> {
    fn data_type(&self, data_type: &mut DataType) -> ControlFlow<Error> {
        match self.names.rewrite_type(data_type) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn alias(&self, alias: &mut TableAlias) -> ControlFlow<Error> {
        alias.columns.iter_mut().filter_map(|column| column.data_type.as_mut()).try_for_each(|typ| self.data_type(typ))
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let mut ctes = query.with.iter_mut().flat_map(|with| &mut with.cte_tables);
        ctes.try_for_each(|cte| self.alias(&mut cte.alias))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        for item in &mut select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item
                && let Ok(idents) = names::parts(name)
            {
                let idents: Vec<Ident> = idents.into_iter().cloned().collect();
                if let Some((taken, prefix)) = self.names.prefix(&idents)
                    && taken == idents.len()
                {
                    *name = ObjectName::from(prefix);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                if let Some((old, new)) = self.names.changed(name) {
                    *name = full_name(new);
                    if old.item != new.item && alias.is_none() {
                        let called = Ident::with_quote('"', &old.item);
                        *alias = Some(TableAlias { explicit: true, name: called, columns: Vec::new(), at: None });
                    }
                }
                alias.iter_mut().try_for_each(|alias| self.alias(alias))
            }
            TableFactor::Table { alias: Some(alias), .. } | TableFactor::Function { alias: Some(alias), .. } => {
                self.alias(alias)
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Cast { data_type, .. } => self.data_type(data_type),
            Expr::TypedString(typed) => self.data_type(&mut typed.data_type),
            Expr::CompoundIdentifier(idents) => {
                // Something of the item must follow its name.
                if let Some((taken, prefix)) = self.names.prefix(idents)
                    && taken < idents.len()
                {
                    idents.splice(..taken, prefix);
                }
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Gives columns that are qualified with one name another.
struct Requalify<'a> {
    from: &'a str,
    to: &'a str,
}

impl VisitorMut for Requalify<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(idents) = expr
            && let Some(first) = idents.first_mut()
            && fold(first) == self.from
        {
            *first = Ident::with_quote('"', self.to);
        }
        ControlFlow::Continue(())
    }
}
