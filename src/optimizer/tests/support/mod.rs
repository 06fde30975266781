//! The planner's catalog in memory, as the optimizer sees it.

// The planner's tests own it; only part of it is needed here.
#[allow(dead_code, unused_imports, unreachable_pub)]
#[path = "../../../sql/tests/support/mod.rs"]
pub(crate) mod planner;

use expr::{Relation, Scalar};
use optimizer::Objects;
use repr::{CollectionId, ShardId};
use sql::{CatalogView, ItemDefinition};

use self::planner::Fake;

/// The catalog's views and indexes; tables whose names start with `growing` only grow.
pub(crate) struct Catalog<'a>(pub(crate) &'a Fake);

impl Objects for Catalog<'_> {
    fn view(&self, id: CollectionId) -> Option<Relation> {
        match &self.0.item_by_id(id)?.definition {
            ItemDefinition::View { relation, .. } => Some(relation.clone()),
            _ => None,
        }
    }

    fn shard(&self, _: CollectionId) -> Option<ShardId> {
        Some(ShardId(0))
    }

    fn only_grows(&self, id: CollectionId) -> bool {
        self.0.item_by_id(id).is_some_and(|item| item.name.item.starts_with("growing"))
    }

    fn indexes(&self, id: CollectionId) -> Vec<(CollectionId, Vec<Scalar>)> {
        let index = |item: &sql::Item| match &item.definition {
            ItemDefinition::Index { on, keys, .. } if *on == id => Some((item.id, keys.clone())),
            _ => None,
        };
        self.0.items().iter().filter_map(|item| index(item)).collect()
    }
}
