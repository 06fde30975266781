//! `ALTER kind [IF EXISTS] name RENAME TO name`, `ALTER TABLE|VIEW name RENAME [COLUMN] column TO name`, `ALTER SCHEMA a SWAP WITH b`,
//! `ALTER CLUSTER a SWAP WITH b`.
//!
//! What has a new name keeps its identity; the definitions that name it are rewritten with it, see `definition_names` and
//! `definition_columns`.

use std::sync::Arc;

use sqlparser::ast::{Ident, ObjectName};
use sqlparser::tokenizer::Token;

use super::alter_cluster::AlterCluster;
use super::alter_secret::AlterSecret;
use super::alter_table::AlterTable;
use super::drop::{is_missing, named_replica, single};
use super::object_kind::ObjectKind;
use super::{Planner, StatementKind};
use crate::catalog_view::{Item, ItemDefinition};
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::Cursor;
use crate::plan::{Notice, Plan, RenamePlan, Renamed};

#[derive(Clone, Debug)]
pub struct Rename {
    pub kind: ObjectKind,
    pub if_exists: bool,
    pub name: ObjectName,
    pub to: To,
}

#[derive(Clone, Debug)]
pub enum To {
    Name(Ident),
    /// Each gets the name of the other.
    Swap(Ident),
    /// The column that gets another name, and that.
    Column(Ident, Ident),
}

/// Reads the ALTER statements of objects. None: it is none of these.
pub(crate) fn parse_alter(cursor: &mut Cursor<'_>) -> Result<Option<StatementKind>, Error> {
    let alters = |(words, _): &&(&[&str], ObjectKind)| {
        let all: Vec<&str> = std::iter::once("alter").chain(words.iter().copied()).collect();
        cursor.peek_words(&all)
    };
    let Some((words, kind)) = ObjectKind::ALL.iter().find(alters) else { return Ok(None) };
    cursor.expect(&["alter"])?;
    cursor.expect(words)?;
    let if_exists = cursor.take(&["if", "exists"]);
    if *kind == ObjectKind::Table {
        cursor.take(&["only"]);
    }
    let name = cursor.name()?;
    if *kind == ObjectKind::Table {
        cursor.take_token(&Token::Mul);
    }
    if cursor.take(&["rename", "to"]) {
        let to = To::Name(cursor.ident()?);
        return Ok(Some(StatementKind::Rename(Rename { kind: *kind, if_exists, name, to })));
    }
    if matches!(kind, ObjectKind::Table | ObjectKind::View | ObjectKind::MaterializedView) && cursor.take(&["rename"]) {
        cursor.take(&["column"]);
        let column = cursor.ident()?;
        cursor.expect(&["to"])?;
        let to = To::Column(column, cursor.ident()?);
        return Ok(Some(StatementKind::Rename(Rename { kind: *kind, if_exists, name, to })));
    }
    if matches!(kind, ObjectKind::Schema | ObjectKind::Cluster) && cursor.take(&["swap", "with"]) {
        let to = To::Swap(cursor.ident()?);
        return Ok(Some(StatementKind::Rename(Rename { kind: *kind, if_exists, name, to })));
    }
    if *kind == ObjectKind::Secret && cursor.take(&["as"]) {
        return AlterSecret::parse(cursor, name, if_exists).map(StatementKind::AlterSecret).map(Some);
    }
    if *kind == ObjectKind::Cluster && (cursor.peek_words(&["set"]) || cursor.peek_words(&["reset"])) {
        let name = single(&name)?.clone();
        return AlterCluster::parse(cursor, name, if_exists).map(StatementKind::AlterCluster).map(Some);
    }
    if *kind == ObjectKind::Table {
        return AlterTable::parse(cursor, name, if_exists).map(StatementKind::AlterTable).map(Some);
    }
    match cursor.peek() {
        Token::Word(word) if word.quote_style.is_none() => {
            let what = format!("{} ... {}", kind.alter_tag(), word.value.to_uppercase());
            Err(cursor.unsupported(&what))
        }
        _ => Err(cursor.expected("RENAME TO")),
    }
}

impl Rename {
    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let tag = self.kind.alter_tag();
        match self.renamed(planner) {
            // It changes places with itself.
            Ok(renamed) if matches!(&renamed[..], [(left, _), (right, _)] if left == right) => {
                Ok(Plan::NoOp { tag, notice: None })
            }
            Ok(renamed) => Ok(Plan::Rename(RenamePlan { tag, renamed })),
            Err(error) if self.if_exists && is_missing(&error) => {
                let message = format!("{}, skipping", error.message);
                Ok(Plan::NoOp { tag, notice: Some(Notice { code: "00000", message }) })
            }
            Err(error) => Err(error.at_node(&self.name)),
        }
    }

    /// The objects with their names to be. That no other object has these is seen when they are given.
    fn renamed(&self, planner: &Planner<'_>) -> Result<Vec<(Renamed, String)>, Error> {
        let kind = self.kind.noun();
        let new = |to: &To| match to {
            To::Name(ident) => names::check_unreserved(ident, &kind),
            To::Swap(ident) | To::Column(_, ident) => Ok(names::fold(ident)),
        };
        let mut renamed = Vec::new();
        match self.kind {
            ObjectKind::Database => {
                let database = names::resolve_database(planner.catalog, single(&self.name)?)?;
                renamed.push((Renamed::Database(database), new(&self.to)?));
            }
            ObjectKind::Schema => {
                let (database, name) = self.schema(planner, &self.name)?;
                if let To::Swap(other) = &self.to {
                    let other = self.other_schema(planner, &database, other)?;
                    renamed.push((Renamed::Schema { database: database.clone(), name: other }, name.clone()));
                }
                renamed.push((Renamed::Schema { database, name }, new(&self.to)?));
            }
            ObjectKind::Cluster => {
                let cluster = cluster_to_alter(planner, single(&self.name)?)?;
                if let To::Swap(other) = &self.to {
                    let other = cluster_to_alter(planner, other)?;
                    renamed.push((Renamed::Cluster(other.id), cluster.name.clone()));
                }
                renamed.push((Renamed::Cluster(cluster.id), new(&self.to)?));
            }
            ObjectKind::Replica => {
                let (cluster, replica) = named_replica(planner, &self.name)?;
                renamed.push((Renamed::Replica(cluster.id, replica), new(&self.to)?));
            }
            _ => {
                let item = item_to_alter(planner, self.kind, &self.name)?;
                match &self.to {
                    To::Name(to) => renamed.push((Renamed::Item(item.id), names::check_identifier(to)?)),
                    To::Column(from, to) => renamed.push(column(&item, from, to)?),
                    To::Swap(_) => return Err(Error::unsupported("SWAP WITH of items")),
                }
            }
        }
        Ok(renamed)
    }

    fn schema(&self, planner: &Planner<'_>, name: &ObjectName) -> Result<(String, String), Error> {
        match names::resolve_schema(planner.context, planner.catalog, name)? {
            (Some(database), schema) if !names::is_temporary(&schema) => Ok((database, schema)),
            (_, schema) => Err(required_by_system("schema", &schema)),
        }
    }

    /// The schema with which one of `database` changes places.
    fn other_schema(&self, planner: &Planner<'_>, database: &str, ident: &Ident) -> Result<String, Error> {
        let full = ObjectName::from(vec![Ident::with_quote('"', database), ident.clone()]);
        self.schema(planner, &full).map(|(_, schema)| schema)
    }
}

/// The cluster that an ALTER names.
pub(super) fn cluster_to_alter(planner: &Planner<'_>, ident: &Ident) -> Result<Arc<crate::Cluster>, Error> {
    let cluster = names::resolve_cluster(planner.catalog, ident)?;
    match cluster.name.starts_with("mz_") {
        true => Err(required_by_system("cluster", &cluster.name)),
        false => Ok(cluster),
    }
}

/// The item that an ALTER of `kind` names. As in PostgreSQL, ALTER TABLE takes any relation.
pub(super) fn item_to_alter(planner: &Planner<'_>, kind: ObjectKind, name: &ObjectName) -> Result<Arc<Item>, Error> {
    let item = names::resolve_or_none(planner.context, planner.catalog, name)?.ok_or_else(|| {
        let noun = if kind == ObjectKind::Table { "relation".to_owned() } else { kind.noun() };
        let code = if matches!(kind, ObjectKind::Type | ObjectKind::Secret) { "42704" } else { "42P01" };
        names::unknown(planner.context, planner.catalog, name, &noun, code)
    })?;
    if item.create_sql.is_empty() {
        return Err(required_by_system("relation", &item.name.item));
    }
    let any_relation = kind == ObjectKind::Table && !matches!(item.kind(), "type" | "source" | "secret");
    if any_relation || kind.matches(&item) {
        return Ok(item);
    }
    let article = |kind: &str| if kind.starts_with('i') { "an" } else { "a" };
    let (found, wanted) = (item.kind(), kind.noun());
    let message =
        format!("{} is {} {found}, not {} {wanted}", in_quotes(&item.name.item), article(found), article(&wanted));
    let hint = format!("Use ALTER {} to change it.", found.to_uppercase());
    Err(Error::new("42809", message).with_hint(hint))
}

/// A column of a table or a view with its name to be.
fn column(item: &Item, from: &Ident, to: &Ident) -> Result<(Renamed, String), Error> {
    use ItemDefinition::{MaterializedView, Table, View};
    let (Table { desc, source: None, .. } | View { desc, .. } | MaterializedView { desc, .. }) = &item.definition
    else {
        return Err(Error::unsupported(format!("RENAME COLUMN of a {} that no INSERT fills", item.kind())));
    };
    let (name, relation) = (names::fold(from), in_quotes(&item.name.item));
    if desc.column(&name).is_none() {
        let message = format!("column {} does not exist", in_quotes(&name));
        return Err(Error::new("42703", message).at_ident(from));
    }
    let new = names::check_identifier(to)?;
    if desc.column(&new).is_some() {
        let message = format!("column {} of relation {relation} already exists", in_quotes(&new));
        return Err(Error::new("42701", message).at_ident(to));
    }
    Ok((Renamed::Column(item.id, name), new))
}

fn required_by_system(kind: &str, name: &str) -> Error {
    Error::new("42501", format!("permission denied: {kind} {} belongs to the system", in_quotes(name)))
}
