//! The optimizer's view of one catalog version, for one cluster.

use std::sync::Arc;

use catalog::Catalog;
use expr::{Relation, Scalar};
use optimizer::Objects;
use protocol::source::SourceConnection;
use repr::{ClusterId, CollectionId, ShardId};
use sql::{CatalogView, Item, ItemDefinition};

pub(crate) struct ClusterObjects {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) cluster: Option<ClusterId>,
    /// Only indexes made before this item may be used by its dataflow: those of later ones do not exist at its rebirth.
    pub(crate) before: Option<CollectionId>,
}

impl Objects for ClusterObjects {
    fn view(&self, id: CollectionId) -> Option<Relation> {
        match &self.catalog.item_by_id(id)?.definition {
            ItemDefinition::View { relation, .. } => Some(relation.clone()),
            _ => None,
        }
    }

    fn shard(&self, id: CollectionId) -> Option<ShardId> {
        shard_of(&self.catalog, id)
    }

    fn only_grows(&self, id: CollectionId) -> bool {
        let item = self.catalog.item_by_id(id);
        let Some(ItemDefinition::Table { source: Some(reference), .. }) = item.as_deref().map(|item| &item.definition)
        else {
            return false;
        };
        let source = self.catalog.item_by_id(reference.source);
        match source.as_deref().map(|source| &source.definition) {
            Some(ItemDefinition::Source { connection: SourceConnection::LoadGenerator(generator), .. }) => {
                generator.only_grows(&reference.reference)
            }
            _ => false,
        }
    }

    fn indexes(&self, id: CollectionId) -> Vec<(CollectionId, Vec<Scalar>)> {
        let mut indexes = Vec::new();
        for item in self.catalog.dependents(id) {
            if let ItemDefinition::Index { on, keys, cluster } = &item.definition
                && *on == id
                && Some(*cluster) == self.cluster
                && self.before.is_none_or(|before| item.id < before)
            {
                indexes.push((item.id, keys.clone()));
            }
        }
        indexes
    }
}

/// Everything that has a frontier: stored collections and indexes.
pub(crate) fn readable_collections(catalog: &Catalog) -> Vec<CollectionId> {
    let has_frontier = |item: &Arc<Item>| shard_of(catalog, item.id).is_some() || item.kind() == "index";
    catalog.items().into_iter().filter(has_frontier).map(|item| item.id).collect()
}

/// The durable collection of a table, materialized view or source.
pub(crate) fn shard_of(catalog: &Catalog, id: CollectionId) -> Option<ShardId> {
    match &catalog.item_by_id(id)?.definition {
        ItemDefinition::Table { shard, .. } | ItemDefinition::MaterializedView { shard, .. } => Some(*shard),
        ItemDefinition::Source { remap_shard, .. } => Some(*remap_shard),
        ItemDefinition::View { .. }
        | ItemDefinition::Index { .. }
        | ItemDefinition::Type { .. }
        | ItemDefinition::Secret { .. }
        | ItemDefinition::Builtin { .. } => None,
    }
}
