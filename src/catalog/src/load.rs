//! From durable records to a catalog: names first, then each item planned again from its SQL, in order of id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use repr::{ClusterId, CollectionId, Diff, RelationDesc, ReplicaId, Row, ServiceId, ShardId};
use sql::plan::{CreateSecretPlan, Params, PlanContext, SecretContents};
use sql::{Cluster, FullName, Item, ItemDefinition, Plan, Replica};

use crate::catalog::{Catalog, Database, Schema};
use crate::narrow::{self, Narrowed};
use crate::record::{BadRecord, Record};
use crate::transact::{NewCluster, NewItem, Op};

/// The durable catalog cannot be understood. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0}")]
    BadRecord(String),
    #[error("catalog record occurs {0} times: {1}")]
    Multiplicity(Diff, String),
}

impl From<BadRecord> for LoadError {
    fn from(error: BadRecord) -> LoadError {
        LoadError::BadRecord(error.to_string())
    }
}

/// The records of a new environment: database `materialize`, cluster `quickstart` with replica `r1`.
pub fn initial_updates(replica_size: &str) -> Vec<(Row, Diff)> {
    let quickstart = NewCluster {
        name: "quickstart".to_owned(),
        size: Some(replica_size.to_owned()),
        replication_factor: 1,
        replicas: vec![("r1".to_owned(), replica_size.to_owned())],
    };
    let ops = vec![Op::CreateDatabase { name: "materialize".to_owned() }, Op::CreateCluster(quickstart)];
    let empty = Catalog::builtin_only(0);
    let transacted = empty.transact(ops).expect("nothing in an empty catalog has these names");
    // The counters' first record has no predecessor to retract.
    transacted.updates.into_iter().filter(|(_, diff)| *diff == Diff::ONE).collect()
}

/// Builds the catalog of `version` from its durable rows.
///
/// An item whose SQL no longer plans is kept, marked broken with the reason; everything else is served.
pub fn load(rows: &[(Row, Diff)], version: u64) -> Result<Catalog, LoadError> {
    let mut catalog = Catalog::builtin_only(version);
    let mut items = BTreeMap::new();
    for (row, diff) in rows {
        let record = Record::from_row(row)?;
        if *diff != Diff::ONE {
            return Err(LoadError::Multiplicity(*diff, format!("{record:?}")));
        }
        match record {
            Record::Counters { next_id, next_oid, next_service, generation } => {
                catalog.next_id = next_id;
                catalog.next_oid = next_oid;
                catalog.next_service = next_service;
                catalog.generation = generation;
            }
            Record::Service { number, replica } => {
                catalog.services.insert(ReplicaId(replica), ServiceId(number));
            }
            Record::Database { id, oid, name } => {
                catalog.databases.insert(name, Database { id, oid });
            }
            Record::Schema { id, oid, database, name } => {
                catalog.schemas.insert((database, name), Schema { id, oid });
            }
            Record::Cluster { id, name, size, replication_factor, replicas, reconfiguration } => {
                let replicas =
                    replicas.into_iter().map(|r| Replica { id: ReplicaId(r.id), name: r.name, size: r.size }).collect();
                let id = ClusterId(id);
                let cluster = Cluster { id, name, size, replication_factor, replicas, reconfiguration };
                catalog.clusters.insert(cluster.name.clone(), Arc::new(cluster));
            }
            Record::Item { id, oid, database, schema, name, create_sql, columns_seen } => {
                let name = FullName { database: Some(database), schema, item: name };
                items.insert(id, Stored { oid, name, create_sql, columns_seen: narrow::seen(columns_seen) });
            }
        }
    }
    for (id, stored) in items {
        load_item(&mut catalog, id, stored);
    }
    Ok(catalog)
}

/// An item that has not been planned yet.
struct Stored {
    oid: u32,
    name: FullName,
    create_sql: String,
    columns_seen: BTreeMap<CollectionId, usize>,
}

fn load_item(catalog: &mut Catalog, number: u64, stored: Stored) {
    let id = CollectionId::User(number);
    let (depends_on, definition) = match plan_item(catalog, &stored, None) {
        Ok(item) => {
            let item = item.assign(number, stored.oid, None);
            (item.depends_on, item.definition)
        }
        Err(reason) => {
            catalog.broken.insert(id, reason);
            // Its shard, if it has one, keeps the item's number: nothing reads or writes it while it is broken.
            let shard = ShardId(number);
            let desc = RelationDesc::default();
            (BTreeSet::new(), ItemDefinition::Table { desc, defaults: Vec::new(), shard, source: None })
        }
    };
    let Stored { oid, name, create_sql, columns_seen } = stored;
    catalog.insert_item(Arc::new(Item { id, oid, name, create_sql, depends_on, columns_seen, definition }));
}

/// What the text of an item that is in the catalog means there. Err: why it means nothing.
pub(crate) fn planned(catalog: &Catalog, item: &Item) -> Result<ItemDefinition, String> {
    let CollectionId::User(number) = item.id else { return Err("only users' items have a text".to_owned()) };
    let (oid, name) = (item.oid, item.name.clone());
    let stored = Stored { oid, name, create_sql: item.create_sql.clone(), columns_seen: item.columns_seen.clone() };
    Ok(plan_item(catalog, &stored, Some(item.id))?.assign(number, oid, None).definition)
}

/// Plans an item; `hidden` is the item itself, where the catalog has it.
fn plan_item(catalog: &Catalog, stored: &Stored, hidden: Option<CollectionId>) -> Result<NewItem, String> {
    let Stored { name, create_sql, columns_seen, .. } = stored;
    let context = PlanContext {
        database: name.database.clone().unwrap_or_default(),
        search_path: vec![name.schema.clone()],
        temporary_schema: None,
        cluster: "quickstart".to_owned(),
        user: "mz_system".to_owned(),
        interval_style: Default::default(),
    };
    let statements = sql::parse(create_sql).map_err(|error| error.message)?;
    let [statement] = &statements[..] else { return Err("not one statement".to_owned()) };
    let narrowed = Narrowed { catalog, seen: columns_seen, hidden };
    let plan = sql::plan(statement, &context, &narrowed, &mut Params::default()).map_err(|error| error.message)?;
    match plan {
        Plan::CreateTable(plan) => Ok(NewItem::table(plan)),
        Plan::CreateView(mut plan) => {
            catalog.widen(&mut plan.relation);
            Ok(NewItem::view(plan))
        }
        Plan::CreateMaterializedView(mut plan) => {
            catalog.widen(&mut plan.relation);
            Ok(NewItem::materialized_view(plan))
        }
        Plan::CreateIndex(plan) => Ok(NewItem::index(plan)),
        Plan::CreateType(plan) => Ok(NewItem::typ(plan)),
        Plan::CreateSource(plan) => Ok(NewItem::source(plan)),
        Plan::CreateSecret(CreateSecretPlan { name, contents: SecretContents::Stored(version) }) => {
            Ok(NewItem::secret(name, version))
        }
        other => Err(format!("not a definition: {other:?}")),
    }
}
