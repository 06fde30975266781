//! `DROP kind [IF EXISTS] name, ... [CASCADE | RESTRICT]`.

use std::collections::BTreeSet;
use std::sync::Arc;

use repr::{ClusterId, CollectionId, ReplicaId};
use sqlparser::ast::{Ident, ObjectName};

use super::Planner;
use super::object_kind::ObjectKind;
use crate::catalog_view::{Cluster, Item, ItemDefinition};
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::Cursor;
use crate::plan::{DropPlan, Notice, Plan};

#[derive(Clone, Debug)]
pub struct Drop {
    pub kind: ObjectKind,
    pub if_exists: bool,
    pub names: Vec<ObjectName>,
    pub cascade: bool,
}

impl Drop {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Drop, Error> {
        let start = cursor.position();
        cursor.expect(&["drop"])?;
        let Some(kind) = ObjectKind::ALL.iter().find(|(words, _)| cursor.take(words)).map(|(_, kind)| *kind) else {
            let refused = ["sink", "connection", "role", "user", "owned", "function", "sequence", "network policy"];
            let found = refused.iter().find(|name| cursor.peek_words(&name.split(' ').collect::<Vec<_>>()));
            return Err(match found {
                Some(name) => Error::unsupported(format!("DROP {}", name.to_uppercase())).at(start),
                None => cursor.expected("the kind of object to drop"),
            });
        };
        let if_exists = cursor.take(&["if", "exists"]);
        let names = cursor.comma_separated(Cursor::name)?;
        let restrict = cursor.take(&["restrict"]);
        let cascade = !restrict && (cursor.take(&["cascade"]) || kind == ObjectKind::Database);
        Ok(Drop { kind, if_exists, names, cascade })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let tag = self.kind.drop_tag();
        let mut doomed = Doomed { plan: DropPlan { tag, ..DropPlan::default() }, roots: Vec::new() };
        for name in &self.names {
            match self.add(planner, name, &mut doomed) {
                Ok(()) => {}
                Err(error) if self.if_exists && is_missing(&error) => {
                    let message = format!("{}, skipping", error.message);
                    // PostgreSQL calls this a success.
                    doomed.plan.notices.push(Notice { code: "00000", message });
                }
                Err(error) => return Err(error.at_node(name)),
            }
        }
        doomed.check_and_close(planner, self)?;
        let plan = doomed.plan;
        let nothing = plan.items.is_empty()
            && plan.schemas.is_empty()
            && plan.databases.is_empty()
            && plan.clusters.is_empty()
            && plan.replicas.is_empty();
        match (nothing, &plan.notices[..]) {
            (true, [notice]) => Ok(Plan::NoOp { tag, notice: Some(notice.clone()) }),
            _ => Ok(Plan::Drop(plan)),
        }
    }

    fn add(&self, planner: &Planner<'_>, name: &ObjectName, doomed: &mut Doomed) -> Result<(), Error> {
        match self.kind {
            ObjectKind::Database => self.add_database(planner, single(name)?, doomed),
            ObjectKind::Schema => {
                let (database, schema) = names::resolve_schema(planner.context, planner.catalog, name)?;
                let Some(database) = database else { return Err(required_by_system(&schema)) };
                doomed.add_schema(planner, self, database, schema)
            }
            ObjectKind::Cluster => {
                let cluster = names::resolve_cluster(planner.catalog, single(name)?)?;
                doomed.add_cluster(planner, self, &cluster)
            }
            ObjectKind::Replica => add_replica(planner, name, doomed),
            _ => self.add_item(planner, name, doomed),
        }
    }

    fn add_database(&self, planner: &Planner<'_>, ident: &Ident, doomed: &mut Doomed) -> Result<(), Error> {
        let database = names::resolve_database(planner.catalog, ident)?;
        let schemas = planner.catalog.schemas(Some(&database));
        if !self.cascade && !schemas.is_empty() {
            return Err(Error::new(
                "2BP01",
                format!("database {} cannot be dropped with RESTRICT while it contains schemas", in_quotes(&database)),
            ));
        }
        for schema in schemas {
            doomed.add_schema(planner, self, database.clone(), schema)?;
        }
        push_new(&mut doomed.plan.databases, database);
        Ok(())
    }

    fn add_item(&self, planner: &Planner<'_>, name: &ObjectName, doomed: &mut Doomed) -> Result<(), Error> {
        let noun = self.kind.noun();
        let is_object = matches!(self.kind, ObjectKind::Index | ObjectKind::Type | ObjectKind::Secret);
        let code = if is_object { "42704" } else { "42P01" };
        let item = names::resolve_or_none(planner.context, planner.catalog, name)?
            .ok_or_else(|| names::unknown(planner.context, planner.catalog, name, &noun, code))?;
        if matches!(item.id, CollectionId::System(_)) {
            return Err(required_by_system(&item.name.item));
        }
        if !self.kind.matches(&item) {
            let article = if item.kind() == "index" { "an" } else { "a" };
            let message = format!("{} is {article} {}, not a {noun}", in_quotes(&item.name.item), item.kind());
            let hint = format!("Use DROP {} to remove it.", item.kind().to_uppercase());
            return Err(Error::new("42809", message).with_hint(hint));
        }
        push_new(&mut doomed.roots, item.id);
        Ok(())
    }
}

/// What is to be dropped.
struct Doomed {
    plan: DropPlan,
    /// The items named, or in what is named.
    roots: Vec<CollectionId>,
}

impl Doomed {
    fn add_schema(
        &mut self,
        planner: &Planner<'_>,
        drop: &Drop,
        database: String,
        schema: String,
    ) -> Result<(), Error> {
        let items = planner.catalog.items();
        let inside: Vec<&Arc<Item>> = items
            .iter()
            .filter(|item| item.name.database.as_ref() == Some(&database) && item.name.schema == schema)
            .collect();
        if !drop.cascade && !inside.is_empty() {
            let detail: Vec<String> =
                inside.iter().map(|item| format!("{} {} is in it", item.kind(), in_quotes(&item.name.item))).collect();
            let message =
                format!("schema {} cannot be dropped without CASCADE while it contains objects", in_quotes(&schema));
            return Err(Error::new("2BP01", message).with_detail(format!("{}.", detail.join("\n"))));
        }
        for item in inside {
            push_new(&mut self.roots, item.id);
        }
        push_new(&mut self.plan.schemas, (database, schema));
        Ok(())
    }

    fn add_cluster(&mut self, planner: &Planner<'_>, drop: &Drop, cluster: &Cluster) -> Result<(), Error> {
        if cluster.name.starts_with("mz_") {
            return Err(required_by_system(&cluster.name));
        }
        let items = planner.catalog.items();
        let inside: Vec<&Arc<Item>> = items.iter().filter(|item| cluster_of(item) == Some(cluster.id)).collect();
        if !drop.cascade && !inside.is_empty() {
            let detail: Vec<String> = inside
                .iter()
                .map(|item| {
                    format!(
                        "{} {} depends on cluster {}",
                        item.kind(),
                        in_quotes(&item.name.item),
                        in_quotes(&cluster.name)
                    )
                })
                .collect();
            return Err(still_needed(&format!("cluster {}", in_quotes(&cluster.name)), &detail));
        }
        for item in inside {
            push_new(&mut self.roots, item.id);
        }
        push_new(&mut self.plan.clusters, cluster.id);
        Ok(())
    }

    /// Adds what depends on the roots, or refuses to. The items come dependents first.
    fn check_and_close(&mut self, planner: &Planner<'_>, drop: &Drop) -> Result<(), Error> {
        let roots: BTreeSet<CollectionId> = self.roots.iter().copied().collect();
        let mut done = BTreeSet::new();
        for root in self.roots.clone() {
            let order = dependents_first(planner, root, &mut done);
            if !drop.cascade {
                // Indexes are part of what they are on: they never stand in the way.
                let needed: Vec<String> = order
                    .iter()
                    .filter(|item| !roots.contains(&item.id) && item.kind() != "index")
                    .map(|item| depends_sentence(planner, item))
                    .collect();
                if !needed.is_empty() {
                    let subject = planner.catalog.item_by_id(root).map_or_else(String::new, |item| described(&item));
                    return Err(still_needed(&subject, &needed));
                }
            }
            // PostgreSQL drops the column, not the table.
            let of_type = planner.catalog.item_by_id(root).filter(|item| item.kind() == "type");
            let table = order.iter().find(|item| item.kind() == "table" && !roots.contains(&item.id));
            if let (Some(typ), Some(table)) = (of_type, table) {
                let what = format!("dropping {}, of which {} has a column,", described(&typ), described(table));
                return Err(Error::unsupported(what).with_hint("Drop the table first."));
            }
            self.plan.items.extend(order.iter().map(|item| item.id));
        }
        Ok(())
    }
}

/// `root` and all that depends on it and is not in `done` yet, dependents first.
fn dependents_first(planner: &Planner<'_>, root: CollectionId, done: &mut BTreeSet<CollectionId>) -> Vec<Arc<Item>> {
    let mut order = Vec::new();
    // The flag says that the dependents of the item were pushed already.
    let mut pending: Vec<(Option<Arc<Item>>, bool)> = vec![(planner.catalog.item_by_id(root), false)];
    while let Some((item, expanded)) = pending.pop() {
        let Some(item) = item else { continue };
        if expanded {
            order.push(item);
        } else if done.insert(item.id) {
            let dependents = planner.catalog.dependents(item.id);
            pending.push((Some(item), true));
            pending.extend(dependents.into_iter().rev().map(|dependent| (Some(dependent), false)));
        }
    }
    order
}

/// Errors: 2BP01 if anything but an index depends on `item`.
pub(crate) fn check_no_dependents(planner: &Planner<'_>, item: &Item) -> Result<(), Error> {
    let needed: Vec<String> = planner
        .catalog
        .dependents(item.id)
        .iter()
        .filter(|dependent| dependent.kind() != "index")
        .map(|dependent| format!("{} depends on {}", described(dependent), described(item)))
        .collect();
    if needed.is_empty() { Ok(()) } else { Err(still_needed(&described(item), &needed)) }
}

fn described(item: &Item) -> String {
    format!("{} {}", item.kind(), in_quotes(&item.name.item))
}

fn depends_sentence(planner: &Planner<'_>, item: &Item) -> String {
    let on = item.depends_on.iter().filter_map(|id| planner.catalog.item_by_id(*id)).map(|on| described(&on));
    format!("{} depends on {}", described(item), on.collect::<Vec<_>>().join(" and "))
}

fn still_needed(subject: &str, dependents: &[String]) -> Error {
    Error::new("2BP01", format!("cannot drop {subject} because other objects depend on it"))
        .with_detail(format!("{}.", dependents.join("\n")))
        .with_hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

fn required_by_system(name: &str) -> Error {
    Error::new("2BP01", format!("cannot drop {} because it is required by the database system", in_quotes(name)))
}

pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error.code, "42P01" | "42704" | "3F000" | "3D000")
}

fn cluster_of(item: &Item) -> Option<ClusterId> {
    match &item.definition {
        ItemDefinition::MaterializedView { cluster, .. }
        | ItemDefinition::Index { cluster, .. }
        | ItemDefinition::Source { cluster, .. } => Some(*cluster),
        ItemDefinition::Table { .. }
        | ItemDefinition::View { .. }
        | ItemDefinition::Type { .. }
        | ItemDefinition::Secret { .. }
        | ItemDefinition::Builtin { .. } => None,
    }
}

fn add_replica(planner: &Planner<'_>, name: &ObjectName, doomed: &mut Doomed) -> Result<(), Error> {
    let (cluster, found) = named_replica(planner, name)?;
    push_new(&mut doomed.plan.replicas, (cluster.id, found));
    Ok(())
}

/// The replica of an unmanaged cluster that `name` means.
pub(crate) fn named_replica(planner: &Planner<'_>, name: &ObjectName) -> Result<(Arc<Cluster>, ReplicaId), Error> {
    let idents = names::parts(name)?;
    let [cluster, replica] = idents[..] else {
        return Err(Error::new("42601", "a replica is named cluster.replica"));
    };
    let cluster = names::resolve_cluster(planner.catalog, cluster)?;
    let folded = names::fold(replica);
    let Some(found) = cluster.replicas.iter().find(|replica| replica.name == folded) else {
        let message = format!("cluster {} has no replica {}", in_quotes(&cluster.name), in_quotes(&folded));
        let candidates = cluster.replicas.iter().map(|replica| replica.name.as_str());
        return Err(Error::new("42704", message).hinted(names::perhaps(&folded, candidates)));
    };
    if cluster.size.is_some() {
        let message = format!(
            "the replicas of managed cluster {} are not dropped or renamed one by one",
            in_quotes(&cluster.name)
        );
        return Err(Error::new("55000", message).with_hint("Its replicas follow from its REPLICATION FACTOR."));
    }
    let id = found.id;
    Ok((cluster, id))
}

pub(crate) fn single(name: &ObjectName) -> Result<&Ident, Error> {
    match names::parts(name)?[..] {
        [ident] => Ok(ident),
        _ => Err(Error::new("42601", format!("improper name (too many dotted names): {name}"))),
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, value: T) {
    if !list.contains(&value) {
        list.push(value);
    }
}
