//! The planner's read-only view of a catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use expr::{Relation, Scalar};
use protocol::source::SourceConnection;
pub use repr::pg_type::quoted;
use repr::{ClusterId, CollectionId, RelationDesc, ReplicaId, ScalarType, ShardId};
use serde::{Deserialize, Serialize};

/// The full name of an item. Built-in schemas (`pg_catalog`, `mz_catalog`, `mz_internal`, `information_schema`) belong to
/// no database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullName {
    pub database: Option<String>,
    pub schema: String,
    pub item: String,
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{}.", quoted(database))?;
        }
        write!(f, "{}.{}", quoted(&self.schema), quoted(&self.item))
    }
}

/// A named object of a schema.
#[derive(Clone, Debug)]
pub struct Item {
    pub id: CollectionId,
    pub oid: u32,
    pub name: FullName,
    /// Normalized SQL that makes this item again; empty for built-in relations.
    pub create_sql: String,
    /// Ids this item's definition names directly.
    pub depends_on: BTreeSet<CollectionId>,
    /// Tables among those that have got more columns since this item was made: how many it knows.
    pub columns_seen: BTreeMap<CollectionId, usize>,
    pub definition: ItemDefinition,
}

#[derive(Clone, Debug)]
pub enum ItemDefinition {
    Table {
        desc: RelationDesc,
        /// One for each column: what INSERT puts where no value is given.
        defaults: Vec<Option<Scalar>>,
        shard: ShardId,
        /// Set if a source fills the table: users may not write it.
        source: Option<SourceReference>,
    },
    View {
        desc: RelationDesc,
        relation: Relation,
    },
    MaterializedView {
        desc: RelationDesc,
        relation: Relation,
        cluster: ClusterId,
        shard: ShardId,
    },
    Index {
        on: CollectionId,
        keys: Vec<Scalar>,
        cluster: ClusterId,
    },
    /// Its own relation is the progress relation `(offset uint8)`, stored in the remap shard.
    Source {
        desc: RelationDesc,
        connection: SourceConnection,
        cluster: ClusterId,
        remap_shard: ShardId,
    },
    /// A type of a user's own; its oid, if it has one, is the item's.
    Type {
        typ: ScalarType,
    },
    /// Its value is in the store of secrets, under the item's id and this version.
    Secret {
        version: SecretVersion,
    },
    /// A relation of the system catalog, computed from the catalog when it is read.
    Builtin {
        desc: RelationDesc,
    },
}

/// Which upstream relation of which source fills a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceReference {
    pub source: CollectionId,
    pub reference: String,
}

/// Which value of a secret: the epoch of the leader that stored it, and how many that leader had stored before. No two values
/// have the same, whatever processes take themselves for the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretVersion {
    pub epoch: u64,
    pub count: u64,
}

impl fmt::Display for SecretVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.count)
    }
}

impl FromStr for SecretVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<SecretVersion, ()> {
        let (epoch, count) = text.split_once('-').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(SecretVersion { epoch: number(epoch)?, count: number(count)? })
    }
}

impl Item {
    /// The columns, if the item can be read.
    pub fn desc(&self) -> Option<&RelationDesc> {
        match &self.definition {
            ItemDefinition::Table { desc, .. }
            | ItemDefinition::View { desc, .. }
            | ItemDefinition::MaterializedView { desc, .. }
            | ItemDefinition::Source { desc, .. }
            | ItemDefinition::Builtin { desc } => Some(desc),
            ItemDefinition::Index { .. } | ItemDefinition::Type { .. } | ItemDefinition::Secret { .. } => None,
        }
    }

    /// As users call this kind of item: `table`, `materialized view`, ...
    pub fn kind(&self) -> &'static str {
        match &self.definition {
            ItemDefinition::Table { .. } => "table",
            ItemDefinition::View { .. } => "view",
            ItemDefinition::MaterializedView { .. } => "materialized view",
            ItemDefinition::Index { .. } => "index",
            ItemDefinition::Source { .. } => "source",
            ItemDefinition::Type { .. } => "type",
            ItemDefinition::Secret { .. } => "secret",
            ItemDefinition::Builtin { .. } => "system relation",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub id: ClusterId,
    pub name: String,
    /// The SIZE by which its managed replicas are made; None for clusters whose replicas are made one by one.
    pub size: Option<String>,
    pub replication_factor: u32,
    pub replicas: Vec<Replica>,
    /// Set while some of the replicas are to take the place of others.
    pub reconfiguration: Option<Reconfiguration>,
}

impl Cluster {
    /// What its replicas are made by, if they are not made one by one.
    pub fn managed(&self) -> Option<ClusterSize> {
        let size = self.size.clone()?;
        Some(ClusterSize { size, replication_factor: self.replication_factor })
    }
}

/// By what the replicas of a managed cluster are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSize {
    pub size: String,
    pub replication_factor: u32,
}

/// A change of replicas that has begun. Those that come and those that go both run, until it ends one way or the other.
///
/// Durable as part of the catalog, in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconfiguration {
    /// Each statement begins a change of its own.
    pub id: u64,
    /// What the cluster is again if the change fails.
    pub before: ClusterSize,
    /// The replicas that come; there are some.
    pub pending: Vec<ReplicaId>,
    /// The replicas that go.
    pub retiring: Vec<ReplicaId>,
    pub deadline_wall_ms: u64,
    pub cutover: Cutover,
}

/// When the replicas that go do so, and what happens at the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cutover {
    /// Once all that come have computed everything; if they have not at the deadline, they go instead.
    ReadyOrRollBack,
    /// Once all that come have computed everything, and at the deadline in any case.
    ReadyOrCommit,
    /// At the deadline.
    AtDeadline,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub id: ReplicaId,
    pub name: String,
    pub size: String,
}

/// An entry of the built-in table of sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaSize {
    pub name: &'static str,
    /// Timely workers in each process.
    pub workers: usize,
    pub processes: usize,
}

/// What planning asks of a catalog: one immutable version of it.
pub trait CatalogView: Send + Sync {
    fn databases(&self) -> Vec<String>;
    /// Schemas of a database, or with None the built-in ones.
    fn schemas(&self, database: Option<&str>) -> Vec<String>;
    /// The oid of a schema of a database, or with None of a built-in one.
    fn schema_oid(&self, database: Option<&str>, schema: &str) -> Option<u32>;
    fn role_oid(&self, role: &str) -> Option<u32>;
    /// The oids of the functions of a name, each with the types of its arguments as they are shown.
    fn functions(&self, name: &str) -> Vec<(u32, Vec<String>)>;
    fn item(&self, name: &FullName) -> Option<Arc<Item>>;
    fn item_by_id(&self, id: CollectionId) -> Option<Arc<Item>>;
    /// All items, in order of id.
    fn items(&self) -> Vec<Arc<Item>>;
    fn clusters(&self) -> Vec<Arc<Cluster>>;
    fn cluster(&self, name: &str) -> Option<Arc<Cluster>>;
    fn replica_sizes(&self) -> &[ReplicaSize];
    /// Items whose definition names `id`.
    fn dependents(&self, id: CollectionId) -> Vec<Arc<Item>>;
}
