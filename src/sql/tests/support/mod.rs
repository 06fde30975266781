//! A catalog in memory on which plans are carried out at once, and how plans are shown in scripts.

mod builtin;
pub(crate) mod golden;
mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use repr::{ClusterId, CollectionId, ReplicaId, ScalarType, ShardId};
use sql::catalog_view::ReplicaSize;
use sql::plan::{CreateTablePlan, DropPlan};
use sql::{CatalogView, Cluster, FullName, Item, ItemDefinition, Plan, PlanContext, Replica};

pub(crate) use self::render::{render_description, render_error, render_plan};

const SIZES: [ReplicaSize; 2] =
    [ReplicaSize { name: "1", workers: 1, processes: 1 }, ReplicaSize { name: "2", workers: 2, processes: 1 }];

/// The catalog.
#[derive(Clone)]
pub(crate) struct Fake {
    schemas: BTreeMap<String, BTreeSet<String>>,
    items: BTreeMap<CollectionId, Arc<Item>>,
    clusters: BTreeMap<ClusterId, Arc<Cluster>>,
    next: u64,
}

/// The session of most scripts.
pub(crate) fn session() -> PlanContext {
    PlanContext {
        database: "materialize".into(),
        search_path: vec!["public".into()],
        temporary_schema: Some("pg_temp_1".into()),
        cluster: "quickstart".into(),
        user: "materialize".into(),
        interval_style: Default::default(),
    }
}

/// A session in which no unqualified name means anything: definitions must plan alike in it.
pub(crate) fn foreign_session() -> PlanContext {
    PlanContext {
        database: "none".into(),
        search_path: Vec::new(),
        temporary_schema: None,
        cluster: "none".into(),
        user: "none".into(),
        interval_style: Default::default(),
    }
}

impl Fake {
    pub(crate) fn new() -> Fake {
        let quickstart = Cluster {
            id: ClusterId(1),
            name: "quickstart".into(),
            size: Some("1".into()),
            replication_factor: 1,
            replicas: vec![Replica { id: ReplicaId(1), name: "r1".into(), size: "1".into() }],
            reconfiguration: None,
        };
        let schemas = BTreeMap::from([("materialize".to_owned(), BTreeSet::from(["public".to_owned()]))]);
        let items = builtin::items().into_iter().map(|item| (item.id, Arc::new(item))).collect();
        Fake { schemas, items, clusters: BTreeMap::from([(ClusterId(1), Arc::new(quickstart))]), next: 1 }
    }

    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn add(
        &mut self,
        name: &FullName,
        create_sql: &str,
        depends_on: BTreeSet<CollectionId>,
        definition: ItemDefinition,
    ) -> CollectionId {
        let id = CollectionId::User(self.next());
        let (name, create_sql) = (name.clone(), create_sql.to_owned());
        self.items.insert(
            id,
            Arc::new(Item { id, oid: 0, name, create_sql, depends_on, columns_seen: BTreeMap::new(), definition }),
        );
        id
    }

    fn add_table(&mut self, plan: &CreateTablePlan, source: Option<CollectionId>) {
        let shard = ShardId(self.next());
        let mut reference = plan.source.clone();
        if let (Some(reference), Some(source)) = (&mut reference, source) {
            reference.source = source;
        }
        let source = reference.iter().map(|reference| reference.source);
        let depends_on = source.chain(plan.types.iter().copied()).collect();
        let (desc, defaults) = (plan.desc.clone(), plan.defaults.clone());
        let definition = ItemDefinition::Table { desc, defaults, shard, source: reference };
        self.add(&plan.name, &plan.create_sql, depends_on, definition);
    }

    /// Carries out a plan that changes definitions; others change nothing.
    pub(crate) fn apply(&mut self, plan: &Plan) {
        match plan {
            Plan::CreateDatabase { name, .. } => {
                self.schemas.insert(name.clone(), BTreeSet::from(["public".to_owned()]));
            }
            Plan::CreateSchema { database, name, .. } => {
                self.schemas.get_mut(database).expect("a database").insert(name.clone());
            }
            Plan::CreateTable(plan) => self.add_table(plan, None),
            Plan::CreateView(plan) => {
                plan.replace.iter().for_each(|id| drop(self.items.remove(id)));
                let (desc, relation) = (plan.desc.clone(), plan.relation.clone());
                let depends_on = relation.depends_on().into_iter().chain(plan.types.iter().copied()).collect();
                self.add(&plan.name, &plan.create_sql, depends_on, ItemDefinition::View { desc, relation });
            }
            Plan::CreateMaterializedView(plan) => {
                plan.replace.iter().for_each(|id| drop(self.items.remove(id)));
                let shard = ShardId(self.next());
                let (desc, relation, cluster) = (plan.desc.clone(), plan.relation.clone(), plan.cluster);
                let depends_on = relation.depends_on().into_iter().chain(plan.types.iter().copied()).collect();
                let definition = ItemDefinition::MaterializedView { desc, relation, cluster, shard };
                self.add(&plan.name, &plan.create_sql, depends_on, definition);
            }
            Plan::CreateType(plan) => {
                let mut typ = plan.typ.clone();
                if let ScalarType::Enum(typ) = &mut typ {
                    typ.oid = 30_000 + u32::try_from(self.next()).expect("few items") * 100;
                }
                self.add(&plan.name, &plan.create_sql, plan.types.clone(), ItemDefinition::Type { typ });
            }
            Plan::CreateIndex(plan) => {
                let definition = ItemDefinition::Index { on: plan.on, keys: plan.keys.clone(), cluster: plan.cluster };
                self.add(&plan.name, &plan.create_sql, BTreeSet::from([plan.on]), definition);
            }
            Plan::CreateSource(plan) => {
                let definition = ItemDefinition::Source {
                    desc: plan.desc.clone(),
                    connection: plan.connection.clone(),
                    cluster: plan.cluster,
                    remap_shard: ShardId(0),
                };
                let source = self.add(&plan.name, &plan.create_sql, BTreeSet::new(), definition);
                plan.tables.iter().for_each(|table| self.add_table(table, Some(source)));
            }
            Plan::CreateCluster(plan) => {
                let id = ClusterId(self.next());
                let named = plan.replicas.iter().cloned();
                let managed = (1..=plan.replication_factor)
                    .map(|number| (format!("r{number}"), plan.size.clone().unwrap_or_default()));
                let replicas: Vec<Replica> = named
                    .chain(managed)
                    .map(|(name, size)| Replica { id: ReplicaId(self.next()), name, size })
                    .collect();
                let (name, size) = (plan.name.clone(), plan.size.clone());
                let replication_factor = plan.replication_factor;
                let cluster = Cluster { id, name, size, replication_factor, replicas, reconfiguration: None };
                self.clusters.insert(id, Arc::new(cluster));
            }
            Plan::AddColumns(plan) => {
                let mut item = Item::clone(&self.items[&plan.table]);
                item.create_sql.clone_from(&plan.create_sql);
                let ItemDefinition::Table { desc, defaults, .. } = &mut item.definition else { panic!("not a table") };
                (*desc, *defaults) = (plan.desc.clone(), plan.defaults.clone());
                self.items.insert(plan.table, Arc::new(item));
            }
            Plan::Drop(plan) => self.remove(plan),
            _ => {}
        }
    }

    fn remove(&mut self, plan: &DropPlan) {
        for id in &plan.items {
            assert!(self.dependents(*id).is_empty(), "dependents come first");
            self.items.remove(id);
        }
        for (database, schema) in &plan.schemas {
            self.schemas.get_mut(database).expect("a database").remove(schema);
        }
        plan.databases.iter().for_each(|database| drop(self.schemas.remove(database)));
        plan.clusters.iter().for_each(|id| drop(self.clusters.remove(id)));
    }

    /// Items that statements made.
    pub(crate) fn user_items(&self) -> Vec<Arc<Item>> {
        self.items.values().filter(|item| matches!(item.id, CollectionId::User(_))).cloned().collect()
    }

    /// The catalog without one item.
    pub(crate) fn without(&self, id: CollectionId) -> Fake {
        let mut other = self.clone();
        other.items.remove(&id);
        other
    }
}

impl CatalogView for Fake {
    fn databases(&self) -> Vec<String> {
        self.schemas.keys().cloned().collect()
    }

    fn schemas(&self, database: Option<&str>) -> Vec<String> {
        match database {
            None => ["mz_catalog", "mz_internal", "pg_catalog", "information_schema"].map(str::to_owned).into(),
            Some(database) => self.schemas.get(database).into_iter().flatten().cloned().collect(),
        }
    }

    fn schema_oid(&self, database: Option<&str>, schema: &str) -> Option<u32> {
        let place = self.schemas(database).iter().position(|name| name == schema)?;
        Some(if database.is_none() { 10 } else { 20_000 } + u32::try_from(place).expect("few schemas"))
    }

    fn role_oid(&self, role: &str) -> Option<u32> {
        (role == "materialize").then_some(16_400)
    }

    fn functions(&self, _: &str) -> Vec<(u32, Vec<String>)> {
        Vec::new()
    }

    fn item(&self, name: &FullName) -> Option<Arc<Item>> {
        self.items.values().find(|item| item.name == *name).cloned()
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
        self.clusters.values().find(|cluster| cluster.name == name).cloned()
    }

    fn replica_sizes(&self) -> &[ReplicaSize] {
        &SIZES
    }

    fn dependents(&self, id: CollectionId) -> Vec<Arc<Item>> {
        self.items.values().filter(|item| item.depends_on.contains(&id)).cloned().collect()
    }
}
