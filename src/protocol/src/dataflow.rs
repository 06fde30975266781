//! A dataflow: what it reads, what it computes, what it makes readable.

use expr::Scalar;
use repr::{Bounds, CollectionId, Kind, RelationDesc, ShardId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::plan::{Node, Plan};

/// Everything a replica needs to build one dataflow.
///
/// Precondition: the controller holds every import at or below `as_of`. The replica reads all imports at `as_of`, writes
/// nothing at times below it, and reports the frontier of every export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dataflow {
    pub name: String,
    pub imports: Vec<Import>,
    /// In dependency order; each may read the imports and the objects before it.
    pub objects: Vec<Object>,
    pub exports: Vec<Export>,
    pub as_of: Timestamp,
    /// Updates at or beyond it are of no interest and may be dropped.
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Import {
    /// An index exported by another dataflow of the same replica.
    Index { index: CollectionId, on: CollectionId, key: Vec<Scalar>, kinds: Vec<Kind> },
    /// A durable collection.
    Shard { id: CollectionId, shard: ShardId, kinds: Vec<Kind> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    pub id: CollectionId,
    pub plan: Plan,
}

/// What others can read of the dataflow. Each export has an id, by which its frontier is reported and it is dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Export {
    Index { index: CollectionId, on: CollectionId, key: Vec<Scalar>, kinds: Vec<Kind> },
    MaterializedView { id: CollectionId, on: CollectionId, shard: ShardId, desc: RelationDesc },
    Subscribe { id: CollectionId, on: CollectionId, with_snapshot: bool, up_to: Option<Timestamp> },
}

impl Dataflow {
    /// What is wanted of an import, as far as the filters of all who read it say.
    pub fn bounds(&self, import: CollectionId) -> Bounds {
        let is_exported = self.exports.iter().any(|export| export.on() == import);
        let mut bounds = is_exported.then(Bounds::default);
        for object in &self.objects {
            object.plan.any_node(&mut |node| {
                if let Node::Get { id, mfp, .. } = node
                    && *id == import
                {
                    let wanted = mfp.bounds();
                    bounds = Some(match bounds.take() {
                        Some(bounds) => bounds.or(wanted),
                        None => wanted,
                    });
                }
                false
            });
        }
        bounds.unwrap_or_default()
    }
}

impl Export {
    /// The collection that it makes readable.
    pub fn on(&self) -> CollectionId {
        match self {
            Export::Index { on, .. } | Export::MaterializedView { on, .. } | Export::Subscribe { on, .. } => *on,
        }
    }

    pub fn id(&self) -> CollectionId {
        match self {
            Export::Index { index, .. } => *index,
            Export::MaterializedView { id, .. } | Export::Subscribe { id, .. } => *id,
        }
    }
}

impl Import {
    /// The collection whose rows it brings.
    pub fn on(&self) -> CollectionId {
        match self {
            Import::Index { on, .. } => *on,
            Import::Shard { id, .. } => *id,
        }
    }
}
