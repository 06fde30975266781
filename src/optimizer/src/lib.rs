//! From MIR to better MIR to the physical plan: an ordered list of passes, then the choice of an access path, then lowering.
//!
//! Pure: no async, no I/O, no clock. Knows other objects only by [`Objects`]. Reading order: `pipeline`, `passes`, `access`, `lower`.

mod access;
mod estimate;
mod explain;
mod join_order;
mod lower;
mod passes;
mod pipeline;

use expr::{Relation, Scalar};
use repr::{CollectionId, ShardId};

pub use access::{Access, IndexAccess, access, access_unless};
pub use explain::{Labels, explain_physical};
pub use lower::{Purpose, lower};
pub use pipeline::{optimize, optimize_traced};

/// What the optimizer may ask of the objects that a query reads, on the cluster where it will run.
pub trait Objects {
    /// The definition of a view, to be inlined; None for everything stored.
    fn view(&self, id: CollectionId) -> Option<Relation>;
    /// The durable collection of a stored object.
    fn shard(&self, id: CollectionId) -> Option<ShardId>;
    /// Whether no row of a stored collection is ever taken back.
    fn only_grows(&self, id: CollectionId) -> bool;
    /// The indexes of an object on this cluster, with their keys over its columns.
    fn indexes(&self, id: CollectionId) -> Vec<(CollectionId, Vec<Scalar>)>;
}
