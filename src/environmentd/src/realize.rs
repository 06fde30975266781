//! Brings the controller to the catalog's state: after each DDL by the difference, at boot from nothing.
//!
//! Never fails a statement: what cannot be built is logged, and its readers get the reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use catalog::{Catalog, REPLICA_SIZES, Transacted};
use controller::{Controller, ReplicaSize};
use protocol::source::{Ingestion, SourceExport};
use protocol::{Dataflow, Export};
use repr::{ClusterId, CollectionId};
use sql::catalog_view::SourceReference;
use sql::{CatalogView, Cluster, Item, ItemDefinition, Replica};
use tokio::sync::watch;
use tracing::{error, info};

use crate::committer::Realize;
use crate::objects::ClusterObjects;
use crate::planning;

/// Owns the newest catalog and keeps the controller in step with it.
pub(crate) struct Realizer {
    pub(crate) catalog: Arc<ArcSwap<Catalog>>,
    pub(crate) controller: Controller,
    pub(crate) next_transient: Arc<std::sync::atomic::AtomicU64>,
    /// Told of each new version of the catalog.
    pub(crate) versions: watch::Sender<u64>,
}

impl Realize for Realizer {
    fn realize(&self, transacted: Transacted) {
        let old = self.catalog.load_full();
        let new = Arc::new(transacted.catalog);
        // Whoever plans on a catalog finds all that is in it: what is new is made before, what is gone is dropped behind.
        self.add_clusters(&old, &new);
        let mut changed_sources = Vec::new();
        for id in &transacted.created {
            let Some(item) = new.item_by_id(*id) else { continue };
            self.create_item(&new, &item);
            changed_sources.extend(source_of(&item));
        }
        self.catalog.store(Arc::clone(&new));
        self.drop_items(&old, &new, &mut changed_sources);
        self.remove_clusters(&old, &new);
        self.versions.send_replace(new.version());
        changed_sources.sort_unstable();
        changed_sources.dedup();
        for source in changed_sources {
            self.run_ingestion(&new, source);
        }
    }

    fn catalog_version(&self) -> u64 {
        self.catalog.load().version()
    }
}

/// The source whose exports change when this item comes or goes.
fn source_of(item: &Item) -> Option<CollectionId> {
    match &item.definition {
        ItemDefinition::Source { .. } => Some(item.id),
        ItemDefinition::Table { source: Some(SourceReference { source, .. }), .. } => Some(*source),
        _ => None,
    }
}

impl Realizer {
    /// Rebuilds everything at boot. Items come in order of id, which is an order of dependence.
    pub(crate) fn boot(&self) {
        let catalog = self.catalog.load_full();
        for cluster in catalog.clusters() {
            self.create_cluster(&catalog, &cluster);
        }
        for item in catalog.items() {
            if let Some(shard) = crate::objects::shard_of(&catalog, item.id) {
                self.controller.create_collection(item.id, shard);
            }
        }
        let mut dataflows = Vec::new();
        for item in catalog.items() {
            if let Some((cluster, dataflow)) = self.dataflow(&catalog, &item) {
                dataflows.push((cluster, dataflow));
            }
        }
        self.create_dataflows(dataflows);
        for item in catalog.items() {
            if matches!(item.definition, ItemDefinition::Source { .. }) {
                self.run_ingestion(&catalog, item.id);
            }
        }
        for cluster in catalog.clusters() {
            self.controller.initialization_complete(cluster.id);
        }
    }

    /// Creates dataflows at times chosen for all of them together, so that each can read those before it.
    fn create_dataflows(&self, dataflows: Vec<(ClusterId, Dataflow)>) {
        let borrowed: Vec<&Dataflow> = dataflows.iter().map(|(_, dataflow)| dataflow).collect();
        let placed = self.controller.choose_as_ofs(&borrowed);
        for ((cluster, mut dataflow), placed) in dataflows.into_iter().zip(placed) {
            let name = dataflow.name.clone();
            match placed {
                Ok(placed) => {
                    dataflow.as_of = placed.as_of;
                    info!(dataflow = name, as_of = %dataflow.as_of, "creating dataflow");
                    if let Err(error) = self.controller.create_dataflow(cluster, dataflow) {
                        error!(dataflow = name, %error, "cannot create a dataflow");
                    }
                }
                Err(error) => error!(dataflow = name, %error, "a dataflow cannot start"),
            }
        }
    }

    fn create_cluster(&self, catalog: &Catalog, cluster: &Cluster) {
        self.controller.create_cluster(cluster.id);
        for replica in &cluster.replicas {
            self.create_replica(catalog, cluster.id, replica);
        }
    }

    fn create_replica(&self, catalog: &Catalog, cluster: ClusterId, replica: &Replica) {
        let size = REPLICA_SIZES.iter().find(|size| size.name == replica.size);
        let Some(size) = size else {
            error!(%cluster, replica = replica.name, size = replica.size, "unknown replica size");
            return;
        };
        let size = ReplicaSize { workers: size.workers, processes: size.processes };
        let service = catalog.service(replica.id);
        self.controller.create_replica(cluster, replica.id, replica.name.clone(), service, size);
    }

    fn add_clusters(&self, old: &Catalog, new: &Catalog) {
        for cluster in new.clusters() {
            let Some(before) = old.cluster_by_id(cluster.id) else {
                self.create_cluster(new, &cluster);
                self.controller.initialization_complete(cluster.id);
                continue;
            };
            for replica in cluster.replicas.iter().filter(|replica| !before.replicas.contains(replica)) {
                self.create_replica(new, cluster.id, replica);
            }
        }
    }

    fn remove_clusters(&self, old: &Catalog, new: &Catalog) {
        for cluster in old.clusters() {
            match new.cluster_by_id(cluster.id) {
                None => self.controller.drop_cluster(cluster.id),
                Some(after) => {
                    for replica in cluster.replicas.iter().filter(|replica| !after.replicas.contains(replica)) {
                        self.controller.drop_replica(cluster.id, replica.id);
                    }
                }
            }
        }
    }

    fn create_item(&self, catalog: &Arc<Catalog>, item: &Arc<Item>) {
        if let Some(shard) = crate::objects::shard_of(catalog, item.id) {
            self.controller.create_collection(item.id, shard);
        }
        self.create_dataflows(self.dataflow(catalog, item).into_iter().collect());
    }

    /// The controller lets an index run on for as long as dataflows read it.
    fn drop_items(&self, old: &Catalog, new: &Catalog, changed_sources: &mut Vec<CollectionId>) {
        let mut dropped = Vec::new();
        for item in old.items() {
            if new.item_by_id(item.id).is_none() {
                dropped.push(item.id);
                changed_sources.extend(source_of(&item).filter(|source| new.item_by_id(*source).is_some()));
            }
        }
        if !dropped.is_empty() {
            self.controller.drop_collections(dropped);
        }
    }

    /// The dataflow that maintains an index or a materialized view; its time is set later.
    fn dataflow(&self, catalog: &Arc<Catalog>, item: &Item) -> Option<(ClusterId, Dataflow)> {
        let (cluster, relation, typ) = match &item.definition {
            ItemDefinition::MaterializedView { relation, cluster, desc, .. } => {
                (*cluster, relation.clone(), desc.typ.clone())
            }
            ItemDefinition::Index { on, cluster, .. } => {
                let on_item = catalog.item_by_id(*on)?;
                let typ = on_item.desc()?.typ.clone();
                (*cluster, expr::Relation::get_global(*on, typ.clone()), typ)
            }
            _ => return None,
        };
        let objects = ClusterObjects { catalog: Arc::clone(catalog), cluster: Some(cluster), before: Some(item.id) };
        let next = self.next_transient.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let object = CollectionId::Transient(next);
        let export = match &item.definition {
            ItemDefinition::MaterializedView { shard, desc, .. } => {
                Export::MaterializedView { id: item.id, on: object, shard: *shard, desc: desc.clone() }
            }
            ItemDefinition::Index { keys, .. } => {
                Export::Index { index: item.id, on: object, key: keys.clone(), kinds: typ.kinds() }
            }
            _ => return None,
        };
        let (name, purpose) = (item.name.to_string(), optimizer::Purpose::Maintained);
        let planned = planning::optimize(relation, &objects)
            .and_then(|relation| planning::lower(name, purpose, vec![(object, relation)], &objects, vec![export]));
        match planned {
            Ok(dataflow) => Some((cluster, dataflow)),
            Err(error) => {
                error!(item = %item.name, %error, "cannot plan a dataflow");
                None
            }
        }
    }

    /// Starts a source, or tells it of its exports now.
    fn run_ingestion(&self, catalog: &Arc<Catalog>, source: CollectionId) {
        let Some(item) = catalog.item_by_id(source) else { return };
        let ItemDefinition::Source { connection, cluster, remap_shard, .. } = &item.definition else { return };
        let mut exports = BTreeMap::new();
        for table in catalog.dependents(source) {
            if let ItemDefinition::Table { desc, shard, source: Some(reference), .. } = &table.definition {
                let reference = reference.reference.clone();
                exports.insert(table.id, SourceExport { id: table.id, shard: *shard, reference, desc: desc.clone() });
            }
        }
        let ingestion = Ingestion {
            id: source,
            connection: connection.clone(),
            remap_shard: *remap_shard,
            exports: exports.into_values().collect(),
        };
        if let Err(error) = self.controller.run_ingestion(*cluster, ingestion) {
            error!(source = %item.name, %error, "cannot run a source");
        }
    }
}
