//! One immutable version of the catalog. Cloning is cheap: the maps are persistent.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use repr::{ClusterId, CollectionId, ReplicaId, ScalarType, ServiceId};
use sql::catalog_view::{ReplicaSize, SecretVersion};
use sql::names::is_temporary;
use sql::{CatalogView, Cluster, FullName, Item, ItemDefinition};

use crate::builtin;
use crate::sizes::REPLICA_SIZES;
use crate::transact::Op;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    pub id: u64,
    pub oid: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    pub id: u64,
    pub oid: u32,
}

/// Everything that has a name, at one version.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Grows by one with each DDL transaction; a plan is valid for the version it was made on.
    pub(crate) version: u64,
    pub(crate) next_id: u64,
    pub(crate) next_oid: u32,
    pub(crate) next_service: u64,
    /// The deploy generation that `services` are of.
    pub(crate) generation: u64,
    pub(crate) services: OrdMap<ReplicaId, ServiceId>,
    pub(crate) databases: OrdMap<String, Database>,
    pub(crate) schemas: OrdMap<(String, String), Schema>,
    pub(crate) clusters: OrdMap<String, Arc<Cluster>>,
    pub(crate) items: OrdMap<CollectionId, Arc<Item>>,
    pub(crate) by_name: OrdMap<FullName, CollectionId>,
    pub(crate) dependents: OrdMap<CollectionId, OrdSet<CollectionId>>,
    /// Items whose SQL no longer plans, with the reason. They keep their names; reading one is an error.
    pub(crate) broken: OrdMap<CollectionId, String>,
}

impl Catalog {
    /// A catalog of nothing but the built-in relations.
    pub(crate) fn builtin_only(version: u64) -> Catalog {
        let mut catalog = Catalog {
            version,
            next_id: 1,
            next_oid: FIRST_USER_OID,
            next_service: 0,
            generation: 0,
            services: OrdMap::new(),
            databases: OrdMap::new(),
            schemas: OrdMap::new(),
            clusters: OrdMap::new(),
            items: OrdMap::new(),
            by_name: OrdMap::new(),
            dependents: OrdMap::new(),
            broken: OrdMap::new(),
        };
        builtin::install(&mut catalog);
        catalog
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// The id that the next object would get; a durable counter, never set back.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    pub fn database_record(&self, name: &str) -> Option<&Database> {
        self.databases.get(name)
    }

    pub fn schema_record(&self, database: &str, name: &str) -> Option<&Schema> {
        self.schemas.get(&(database.to_owned(), name.to_owned()))
    }

    /// The enumeration of this oid, or the array of one.
    pub fn enum_by_oid(&self, oid: u32) -> Option<ScalarType> {
        self.items.values().find_map(|item| match &item.definition {
            ItemDefinition::Type { typ: typ @ ScalarType::Enum(of) } if of.oid == oid => Some(typ.clone()),
            ItemDefinition::Type { typ: typ @ ScalarType::Enum(of) } if of.array_oid() == oid => {
                Some(ScalarType::Array(Box::new(typ.clone())))
            }
            _ => None,
        })
    }

    /// The secrets, each with its id and the version of its value.
    pub fn secrets(&self) -> impl Iterator<Item = (&Arc<Item>, SecretVersion)> {
        self.items.values().filter_map(|item| match &item.definition {
            ItemDefinition::Secret { version } => Some((item, *version)),
            _ => None,
        })
    }

    /// Why an item cannot be used, if its SQL no longer plans.
    pub fn broken(&self, id: CollectionId) -> Option<&str> {
        self.broken.get(&id).map(String::as_str)
    }

    pub fn cluster_by_id(&self, id: ClusterId) -> Option<&Arc<Cluster>> {
        self.clusters.values().find(|cluster| cluster.id == id)
    }

    /// The replicas of every cluster.
    pub fn replicas(&self) -> impl Iterator<Item = (&Arc<Cluster>, ReplicaId)> {
        self.clusters.values().flat_map(|cluster| cluster.replicas.iter().map(move |replica| (cluster, replica.id)))
    }

    pub(crate) fn insert_item(&mut self, item: Arc<Item>) {
        for id in &item.depends_on {
            self.dependents.entry(*id).or_default().insert(item.id);
        }
        self.by_name.insert(item.name.clone(), item.id);
        self.items.insert(item.id, item);
    }

    pub(crate) fn remove_item(&mut self, id: CollectionId) -> Option<Arc<Item>> {
        let item = self.items.remove(&id)?;
        self.by_name.remove(&item.name);
        self.broken.remove(&id);
        self.dependents.remove(&id);
        for dependency in &item.depends_on {
            if let Some(dependents) = self.dependents.get_mut(dependency) {
                dependents.remove(&id);
            }
        }
        Some(item)
    }

    /// The ops that drop one schema of temporary objects, or all such schemas, with what is in them.
    pub fn drops_of_temporary(&self, schema: Option<&str>) -> Vec<Op> {
        let doomed = |name: &str| schema.map_or_else(|| is_temporary(name), |schema| schema == name);
        // What reads another object was made after it, and nothing outside reads these.
        let items = self.items.values().rev().filter(|item| item.name.database.is_some() && doomed(&item.name.schema));
        let mut ops: Vec<Op> = items.map(|item| Op::DropItem(item.id)).collect();
        for (database, name) in self.schemas.keys().filter(|(_, name)| doomed(name)) {
            ops.push(Op::DropSchema { database: database.clone(), name: name.clone() });
        }
        ops
    }

    /// `roots` and everything that they read, directly or through others.
    pub fn transitive_dependencies(&self, roots: impl IntoIterator<Item = CollectionId>) -> BTreeSet<CollectionId> {
        let mut seen = BTreeSet::new();
        let mut todo: Vec<CollectionId> = roots.into_iter().collect();
        while let Some(id) = todo.pop() {
            if seen.insert(id)
                && let Some(item) = self.items.get(&id)
            {
                todo.extend(item.depends_on.iter().copied());
            }
        }
        seen
    }
}

/// Oids below belong to built-in objects.
const FIRST_USER_OID: u32 = 20_000;

impl CatalogView for Catalog {
    fn databases(&self) -> Vec<String> {
        self.databases.keys().cloned().collect()
    }

    fn schemas(&self, database: Option<&str>) -> Vec<String> {
        match database {
            None => builtin::SCHEMAS.iter().map(|(name, _, _)| (*name).to_owned()).collect(),
            Some(database) => {
                self.schemas.keys().filter(|(owner, _)| owner == database).map(|(_, name)| name.clone()).collect()
            }
        }
    }

    fn schema_oid(&self, database: Option<&str>, schema: &str) -> Option<u32> {
        match database {
            None => builtin::SCHEMAS.iter().find(|(name, _, _)| *name == schema).map(|(_, _, oid)| *oid),
            Some(database) => self.schema_record(database, schema).map(|record| record.oid),
        }
    }

    fn role_oid(&self, role: &str) -> Option<u32> {
        builtin::role_oid(role)
    }

    fn functions(&self, name: &str) -> Vec<(u32, Vec<String>)> {
        builtin::functions(name)
    }

    fn item(&self, name: &FullName) -> Option<Arc<Item>> {
        self.by_name.get(name).and_then(|id| self.items.get(id)).cloned()
    }

    fn item_by_id(&self, id: CollectionId) -> Option<Arc<Item>> {
        self.items.get(&id).cloned()
    }

    fn items(&self) -> Vec<Arc<Item>> {
        self.items.values().cloned().collect()
    }

    fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.clusters.values().cloned().collect()
    }

    fn cluster(&self, name: &str) -> Option<Arc<Cluster>> {
        self.clusters.get(name).cloned()
    }

    fn replica_sizes(&self) -> &[ReplicaSize] {
        REPLICA_SIZES
    }

    fn dependents(&self, id: CollectionId) -> Vec<Arc<Item>> {
        let ids = self.dependents.get(&id);
        ids.into_iter().flatten().filter_map(|id| self.items.get(id)).cloned().collect()
    }
}
