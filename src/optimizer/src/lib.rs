//! From MIR to better MIR to the physical plan: an ordered list of passes, then lowering.
//!
//! Pure: no async, no I/O, no clock. Knows other objects only through [`Objects`]. Reading order: `passes`, `access`, `lower`.

use expr::{EvalError, Mfp, Relation, Scalar};
use repr::{CollectionId, Diff, Row, ShardId};

/// What the optimizer may ask of the objects that a query reads, on the cluster where it will run.
pub trait Objects {
    /// The definition of a view, to be inlined; None for everything stored.
    fn view(&self, id: CollectionId) -> Option<Relation>;
    /// The durable collection of a stored object.
    fn shard(&self, id: CollectionId) -> Option<ShardId>;
    /// The indexes of an object on this cluster, with their keys over its columns.
    fn indexes(&self, id: CollectionId) -> Vec<(CollectionId, Vec<Scalar>)>;
}

/// How a one-off query gets its rows.
#[derive(Clone, Debug)]
pub enum Access {
    /// Known without reading anything.
    Constant(Result<Vec<(Row, Diff)>, EvalError>),
    /// A filtered and projected read of one index.
    Index(IndexAccess),
    /// A dataflow of its own.
    Dataflow,
}

#[derive(Clone, Debug)]
pub struct IndexAccess {
    pub index: CollectionId,
    /// Packed keys to look up; None: all rows.
    pub keys: Option<Vec<Row>>,
    /// Over the columns of the indexed object.
    pub mfp: Mfp,
}
