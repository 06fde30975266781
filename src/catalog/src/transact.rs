//! Changes: a list of ops against one version yields the next version and what to write for it, or an error and nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use persist::Columns;
use repr::{ClusterId, CollectionId, Diff, ReplicaId, Row, ScalarType, ShardId};
use sql::catalog_view::{SecretVersion, SourceReference};
use sql::names::is_temporary;
use sql::plan::{
    CreateIndexPlan, CreateMaterializedViewPlan, CreateSourcePlan, CreateTablePlan, CreateTypePlan, CreateViewPlan,
    Renamed,
};
use sql::statement::secret_definition;
use sql::{CatalogView, Cluster, Error, FullName, Item, ItemDefinition, Replica};

use crate::catalog::{Catalog, Database, Schema};
use crate::narrow::{self, AddColumns};
use crate::reconfigure::{AlterCluster, End};
use crate::record::{Record, ReplicaRecord};

/// One change. Drops expect that the planner has listed dependents first.
#[derive(Clone, Debug)]
pub enum Op {
    /// Makes the database and its schema `public`.
    CreateDatabase {
        name: String,
    },
    CreateSchema {
        database: String,
        name: String,
    },
    CreateItem(Box<NewItem>),
    /// Another value of a secret, which is stored already.
    AlterSecret {
        id: CollectionId,
        version: SecretVersion,
    },
    AddColumns(Box<AddColumns>),
    /// All at once: what changes places does so.
    Rename(Vec<(Renamed, String)>),
    CreateCluster(NewCluster),
    CreateReplica {
        cluster: ClusterId,
        name: String,
        size: String,
    },
    AlterCluster(AlterCluster),
    /// Nothing, if the cluster is in no change of replicas.
    EndReconfiguration(ClusterId, End),
    DropItem(CollectionId),
    DropSchema {
        database: String,
        name: String,
    },
    DropDatabase {
        name: String,
    },
    DropCluster(ClusterId),
    DropReplica {
        cluster: ClusterId,
        replica: ReplicaId,
    },
    /// Gives every replica a service of this deploy generation.
    BeginGeneration(u64),
}

/// An item that has no id yet. Shards in `definition` are placeholders: each item's shard gets the item's number.
#[derive(Clone, Debug)]
pub struct NewItem {
    pub name: FullName,
    pub create_sql: String,
    pub depends_on: BTreeSet<CollectionId>,
    pub definition: ItemDefinition,
}

#[derive(Clone, Debug)]
pub struct NewCluster {
    pub name: String,
    pub size: Option<String>,
    pub replication_factor: u32,
    /// Name and size of each replica.
    pub replicas: Vec<(String, String)>,
}

/// The outcome of a transaction that has not been committed yet.
#[derive(Clone, Debug)]
pub struct Transacted {
    pub catalog: Catalog,
    /// Changes of the catalog's durable collection.
    pub updates: Vec<(Row, Diff)>,
    /// Shards to create: tables written by users are members of the tables' group, the others stand alone.
    pub tables: Vec<ShardId>,
    pub solo_shards: Vec<ShardId>,
    /// Of those whose rows have columns that readers filter by.
    pub columns: Vec<(ShardId, Columns)>,
    pub retired_shards: Vec<ShardId>,
    /// Ids of the items made, in order.
    pub created: Vec<CollectionId>,
}

const PLACEHOLDER_SHARD: ShardId = ShardId(u64::MAX);
/// Stands for the source that the same transaction makes.
const PLACEHOLDER_SOURCE: CollectionId = CollectionId::Transient(0);

impl NewItem {
    pub fn table(plan: CreateTablePlan) -> NewItem {
        let CreateTablePlan { name, create_sql, desc, defaults, source, types, .. } = plan;
        let depends_on = source.iter().map(|reference| reference.source).chain(types).collect();
        let definition = ItemDefinition::Table { desc, defaults, shard: PLACEHOLDER_SHARD, source };
        NewItem { name, create_sql, depends_on, definition }
    }

    pub fn view(plan: CreateViewPlan) -> NewItem {
        let CreateViewPlan { name, create_sql, desc, relation, types, .. } = plan;
        let depends_on = relation.depends_on().into_iter().chain(types).collect();
        NewItem { name, create_sql, depends_on, definition: ItemDefinition::View { desc, relation } }
    }

    pub fn materialized_view(plan: CreateMaterializedViewPlan) -> NewItem {
        let CreateMaterializedViewPlan { name, create_sql, desc, relation, cluster, types, .. } = plan;
        let depends_on = relation.depends_on().into_iter().chain(types).collect();
        let definition = ItemDefinition::MaterializedView { desc, relation, cluster, shard: PLACEHOLDER_SHARD };
        NewItem { name, create_sql, depends_on, definition }
    }

    pub fn index(plan: CreateIndexPlan) -> NewItem {
        let CreateIndexPlan { name, create_sql, on, keys, cluster, types, .. } = plan;
        let depends_on = types.into_iter().chain([on]).collect();
        let definition = ItemDefinition::Index { on, keys, cluster };
        NewItem { name, create_sql, depends_on, definition }
    }

    pub fn typ(plan: CreateTypePlan) -> NewItem {
        let CreateTypePlan { name, create_sql, typ, types } = plan;
        NewItem { name, create_sql, depends_on: types, definition: ItemDefinition::Type { typ } }
    }

    /// A secret whose value is stored as this version of it.
    pub fn secret(name: FullName, version: SecretVersion) -> NewItem {
        let create_sql = secret_definition(&name, version);
        NewItem { name, create_sql, depends_on: BTreeSet::new(), definition: ItemDefinition::Secret { version } }
    }

    pub fn source(plan: CreateSourcePlan) -> NewItem {
        let CreateSourcePlan { name, create_sql, desc, connection, cluster, .. } = plan;
        let definition = ItemDefinition::Source { desc, connection, cluster, remap_shard: PLACEHOLDER_SHARD };
        NewItem { name, create_sql, depends_on: BTreeSet::new(), definition }
    }

    /// How many oids the item takes, its own first.
    fn oids(&self) -> u32 {
        match &self.definition {
            ItemDefinition::Type { typ: ScalarType::Enum(typ) } => typ.label_oid(typ.labels.len()) - typ.oid,
            _ => 1,
        }
    }

    /// Puts the item's id and oid wherever the definition has a placeholder.
    pub(crate) fn assign(mut self, number: u64, oid: u32, latest_source: Option<CollectionId>) -> NewItem {
        match &mut self.definition {
            ItemDefinition::Type { typ } => {
                if let ScalarType::Enum(typ) = typ {
                    typ.oid = oid;
                }
            }
            ItemDefinition::Table { shard, source, .. } => {
                *shard = ShardId(number);
                if let Some(SourceReference { source, .. }) = source
                    && *source == PLACEHOLDER_SOURCE
                {
                    *source = latest_source.expect("a table made with its source follows it in the same transaction");
                    self.depends_on = BTreeSet::from([*source]);
                }
            }
            ItemDefinition::MaterializedView { shard, .. } => *shard = ShardId(number),
            ItemDefinition::Source { remap_shard, .. } => *remap_shard = ShardId(number),
            ItemDefinition::View { .. }
            | ItemDefinition::Index { .. }
            | ItemDefinition::Secret { .. }
            | ItemDefinition::Builtin { .. } => {}
        }
        self
    }
}

/// The shard an item owns, and whether users write it.
fn owned_shard(definition: &ItemDefinition) -> Option<(ShardId, bool)> {
    match definition {
        ItemDefinition::Table { shard, source, .. } => Some((*shard, source.is_none())),
        ItemDefinition::MaterializedView { shard, .. } => Some((*shard, false)),
        ItemDefinition::Source { remap_shard, .. } => Some((*remap_shard, false)),
        ItemDefinition::View { .. }
        | ItemDefinition::Index { .. }
        | ItemDefinition::Type { .. }
        | ItemDefinition::Secret { .. }
        | ItemDefinition::Builtin { .. } => None,
    }
}

/// The columns of the shard that an item's rows are stored in.
fn stored_columns(definition: &ItemDefinition) -> Option<(ShardId, Columns)> {
    match definition {
        ItemDefinition::Table { desc, shard, .. } | ItemDefinition::MaterializedView { desc, shard, .. } => {
            Some((*shard, Columns::new(desc.typ.kinds())))
        }
        ItemDefinition::Source { .. }
        | ItemDefinition::View { .. }
        | ItemDefinition::Index { .. }
        | ItemDefinition::Type { .. }
        | ItemDefinition::Secret { .. }
        | ItemDefinition::Builtin { .. } => None,
    }
}

impl Catalog {
    /// Applies `ops` in order. Errors: a name is taken (42P04, 42P06, 42P07, 42710) or gone (42704 and kin).
    pub fn transact(&self, ops: Vec<Op>) -> Result<Transacted, Error> {
        let mut transaction = Transaction::new(self);
        for op in ops {
            transaction.apply(op)?;
        }
        Ok(transaction.finish(self))
    }
}

pub(crate) struct Transaction {
    pub(crate) out: Transacted,
    latest_source: Option<CollectionId>,
}

impl Transaction {
    fn new(catalog: &Catalog) -> Transaction {
        let mut next = catalog.clone();
        next.version += 1;
        let out = Transacted {
            catalog: next,
            updates: Vec::new(),
            tables: Vec::new(),
            solo_shards: Vec::new(),
            columns: Vec::new(),
            retired_shards: Vec::new(),
            created: Vec::new(),
        };
        Transaction { out, latest_source: None }
    }

    fn finish(mut self, before: &Catalog) -> Transacted {
        let counters = |catalog: &Catalog| {
            let Catalog { next_id, next_oid, next_service, generation, .. } = *catalog;
            Record::Counters { next_id, next_oid, next_service, generation }
        };
        if counters(before) != counters(&self.out.catalog) {
            self.out.updates.push((counters(before).to_row(), Diff::MINUS_ONE));
            self.out.updates.push((counters(&self.out.catalog).to_row(), Diff::ONE));
        }
        self.out
    }

    pub(crate) fn write(&mut self, record: &Record, diff: Diff) {
        self.out.updates.push((record.to_row(), diff));
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        let id = self.out.catalog.next_id;
        self.out.catalog.next_id += 1;
        id
    }

    fn next_oid(&mut self) -> u32 {
        self.next_oids(1)
    }

    /// The first of `count` oids.
    fn next_oids(&mut self, count: u32) -> u32 {
        let oid = self.out.catalog.next_oid;
        self.out.catalog.next_oid += count;
        oid
    }

    fn apply(&mut self, op: Op) -> Result<(), Error> {
        match op {
            Op::CreateDatabase { name } => self.create_database(name),
            Op::CreateSchema { database, name } => self.create_schema(database, name),
            Op::CreateItem(item) => self.create_item(*item),
            Op::AlterSecret { id, version } => self.alter_secret(id, version),
            Op::AddColumns(add) => self.add_columns(*add),
            Op::Rename(renamed) => self.rename(renamed),
            Op::CreateCluster(cluster) => self.create_cluster(cluster),
            Op::CreateReplica { cluster, name, size } => self.create_replica(cluster, name, size),
            Op::AlterCluster(alter) => self.alter_cluster(alter),
            Op::EndReconfiguration(cluster, end) => self.end_reconfiguration(cluster, end),
            Op::DropItem(id) => self.drop_item(id),
            Op::DropSchema { database, name } => self.drop_schema(&database, &name),
            Op::DropDatabase { name } => self.drop_database(&name),
            Op::DropCluster(id) => self.drop_cluster(id),
            Op::DropReplica { cluster, replica } => self.drop_replica(cluster, replica),
            Op::BeginGeneration(generation) => {
                self.begin_generation(generation);
                Ok(())
            }
        }
    }

    fn create_database(&mut self, name: String) -> Result<(), Error> {
        if self.out.catalog.databases.contains_key(&name) {
            return Err(Error::new("42P04", format!("database \"{name}\" already exists")));
        }
        let record = Database { id: self.next_id(), oid: self.next_oid() };
        self.write(&Record::Database { id: record.id, oid: record.oid, name: name.clone() }, Diff::ONE);
        self.out.catalog.databases.insert(name.clone(), record);
        self.create_schema(name, "public".to_owned())
    }

    fn create_schema(&mut self, database: String, name: String) -> Result<(), Error> {
        if !self.out.catalog.databases.contains_key(&database) {
            return Err(Error::new("3D000", format!("database \"{database}\" does not exist")));
        }
        let key = (database, name);
        if self.out.catalog.schemas.contains_key(&key) {
            return Err(Error::new("42P06", format!("schema \"{}\" already exists", key.1)));
        }
        let record = Schema { id: self.next_id(), oid: self.next_oid() };
        let (database, name) = key.clone();
        self.write(&Record::Schema { id: record.id, oid: record.oid, database, name }, Diff::ONE);
        self.out.catalog.schemas.insert(key, record);
        Ok(())
    }

    fn create_item(&mut self, item: NewItem) -> Result<(), Error> {
        let catalog = &self.out.catalog;
        if let Some(id) = catalog.by_name.get(&item.name) {
            let kind = catalog.items.get(id).map_or("item", |item| item.kind());
            return Err(Error::new("42P07", format!("{kind} \"{}\" already exists", item.name.item)));
        }
        let key = (item.name.database.clone().unwrap_or_default(), item.name.schema.clone());
        if !catalog.schemas.contains_key(&key) {
            return Err(Error::new("3F000", format!("schema \"{}\" does not exist", item.name.schema)));
        }
        if !is_temporary(&item.name.schema) {
            let mut read = item.depends_on.iter().filter_map(|id| catalog.items.get(id));
            if let Some(read) = read.find(|read| is_temporary(&read.name.schema)) {
                let message = format!("\"{}\" is temporary, and \"{}\" is not", read.name.item, item.name.item);
                return Err(Error::new("42P16", message)
                    .with_detail("What stays cannot rest on what goes with the session.")
                    .with_hint("Use CREATE TEMPORARY VIEW."));
            }
        }
        let number = self.next_id();
        let oid = self.next_oids(item.oids());
        let item = item.assign(number, oid, self.latest_source);
        let id = CollectionId::User(number);
        let NewItem { name, create_sql, depends_on, definition } = item;
        if matches!(definition, ItemDefinition::Source { .. }) {
            self.latest_source = Some(id);
        }
        match owned_shard(&definition) {
            Some((shard, true)) => self.out.tables.push(shard),
            Some((shard, false)) => self.out.solo_shards.push(shard),
            None => {}
        }
        self.out.columns.extend(stored_columns(&definition));
        let columns_seen = BTreeMap::new();
        let item = Item { id, oid, name, create_sql, depends_on, columns_seen, definition };
        self.write(&item_record(&item), Diff::ONE);
        self.out.created.push(id);
        self.out.catalog.insert_item(Arc::new(item));
        Ok(())
    }

    fn alter_secret(&mut self, id: CollectionId, version: SecretVersion) -> Result<(), Error> {
        let before = self.out.catalog.items.get(&id).cloned();
        let before = before.ok_or_else(|| Error::new("42704", "the secret was dropped"))?;
        let create_sql = secret_definition(&before.name, version);
        let definition = ItemDefinition::Secret { version };
        self.change_item(&before, Item { create_sql, definition, ..Item::clone(&before) });
        Ok(())
    }

    fn create_cluster(&mut self, cluster: NewCluster) -> Result<(), Error> {
        let NewCluster { name, size, replication_factor, replicas } = cluster;
        if self.out.catalog.clusters.contains_key(&name) {
            return Err(Error::new("42710", format!("cluster \"{name}\" already exists")));
        }
        let id = ClusterId(self.next_id());
        let replicas =
            replicas.into_iter().map(|(name, size)| Replica { id: ReplicaId(self.next_id()), name, size }).collect();
        let name_of = name.clone();
        let cluster = Cluster { id, name: name_of, size, replication_factor, replicas, reconfiguration: None };
        self.write(&cluster_record(&cluster), Diff::ONE);
        for replica in &cluster.replicas {
            self.assign_service(replica.id);
        }
        self.out.catalog.clusters.insert(name, Arc::new(cluster));
        Ok(())
    }

    /// Rewrites a cluster's record.
    pub(crate) fn change_cluster(&mut self, id: ClusterId, change: impl FnOnce(&mut Cluster)) -> Result<(), Error> {
        let old = self.out.catalog.cluster_by_id(id).cloned();
        let old = old.ok_or_else(|| Error::new("42704", "the cluster was dropped"))?;
        let mut new = Cluster::clone(&old);
        change(&mut new);
        self.write(&cluster_record(&old), Diff::MINUS_ONE);
        self.write(&cluster_record(&new), Diff::ONE);
        self.out.catalog.clusters.insert(new.name.clone(), Arc::new(new));
        Ok(())
    }

    fn create_replica(&mut self, cluster: ClusterId, name: String, size: String) -> Result<(), Error> {
        let id = ReplicaId(self.next_id());
        self.assign_service(id);
        self.change_cluster(cluster, |cluster| cluster.replicas.push(Replica { id, name, size }))
    }

    fn drop_replica(&mut self, cluster: ClusterId, replica: ReplicaId) -> Result<(), Error> {
        self.release_service(replica);
        self.change_cluster(cluster, |cluster| cluster.replicas.retain(|other| other.id != replica))
    }

    fn drop_cluster(&mut self, id: ClusterId) -> Result<(), Error> {
        let cluster = self.out.catalog.cluster_by_id(id).cloned();
        let cluster = cluster.ok_or_else(|| Error::new("42704", "the cluster was dropped"))?;
        self.write(&cluster_record(&cluster), Diff::MINUS_ONE);
        for replica in &cluster.replicas {
            self.release_service(replica.id);
        }
        self.out.catalog.clusters.remove(&cluster.name);
        Ok(())
    }

    fn drop_item(&mut self, id: CollectionId) -> Result<(), Error> {
        let item = self.out.catalog.remove_item(id);
        let item = item.ok_or_else(|| Error::new("42704", format!("object {id} was dropped")))?;
        self.write(&item_record(&item), Diff::MINUS_ONE);
        self.out.retired_shards.extend(owned_shard(&item.definition).map(|(shard, _)| shard));
        Ok(())
    }

    fn drop_schema(&mut self, database: &str, name: &str) -> Result<(), Error> {
        let key = (database.to_owned(), name.to_owned());
        let schema = self.out.catalog.schemas.remove(&key);
        let schema = schema.ok_or_else(|| Error::new("3F000", format!("schema \"{name}\" does not exist")))?;
        let (database, name) = key;
        self.write(&Record::Schema { id: schema.id, oid: schema.oid, database, name }, Diff::MINUS_ONE);
        Ok(())
    }

    fn drop_database(&mut self, name: &str) -> Result<(), Error> {
        let database = self.out.catalog.databases.remove(name);
        let database = database.ok_or_else(|| Error::new("3D000", format!("database \"{name}\" does not exist")))?;
        for schema in self.out.catalog.schemas(Some(name)) {
            self.drop_schema(name, &schema)?;
        }
        let record = Record::Database { id: database.id, oid: database.oid, name: name.to_owned() };
        self.write(&record, Diff::MINUS_ONE);
        Ok(())
    }
}

pub(crate) fn item_record(item: &Item) -> Record {
    let CollectionId::User(id) = item.id else { panic!("only users' items are durable, not {}", item.id) };
    Record::Item {
        id,
        oid: item.oid,
        database: item.name.database.clone().expect("users' items are in a database"),
        schema: item.name.schema.clone(),
        name: item.name.item.clone(),
        create_sql: item.create_sql.clone(),
        columns_seen: narrow::numbers(&item.columns_seen),
    }
}

pub(crate) fn cluster_record(cluster: &Cluster) -> Record {
    let replicas = cluster.replicas.iter();
    let replicas = replicas.map(|r| ReplicaRecord { id: r.id.0, name: r.name.clone(), size: r.size.clone() }).collect();
    Record::Cluster {
        id: cluster.id.0,
        name: cluster.name.clone(),
        size: cluster.size.clone(),
        replication_factor: cluster.replication_factor,
        replicas,
        reconfiguration: cluster.reconfiguration.clone(),
    }
}
