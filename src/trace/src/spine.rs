//! The arrangements of the house, by what they hold: aliases for spine, batcher, builder and chunker.
//!
//! Stock vectors for now; a packed layout replaces the right-hand sides only.

use differential_dataflow::trace::implementations::merge_batcher::MergeBatcher;
use differential_dataflow::trace::implementations::merge_batcher::vec::VecMerger;
use differential_dataflow::trace::implementations::ord_neu::{OrdKeyBatch, OrdKeyBuilder, OrdValBatch, OrdValBuilder};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::implementations::{ContainerChunker, Vector};
use repr::Row;

use crate::batch::{ArcBatch, ArcBuilder};
use crate::diff::Diff;

/// A batch of values by key.
pub type ValBatch<K, V, T, R = Diff> = ArcBatch<OrdValBatch<Vector<((K, V), T, R)>>>;
/// Values by key.
pub type ValSpine<K, V, T, R = Diff> = Spine<ValBatch<K, V, T, R>>;
pub type ValChunker<K, V, T, R = Diff> = ContainerChunker<Vec<((K, V), T, R)>>;
pub type ValBatcher<K, V, T, R = Diff> = MergeBatcher<VecMerger<(K, V), T, R>>;
pub type ValBuilder<K, V, T, R = Diff> = ArcBuilder<OrdValBuilder<Vector<((K, V), T, R)>, Vec<((K, V), T, R)>>>;

/// A batch of keys without values: whole rows, errors.
pub type KeyBatch<K, T, R = Diff> = ArcBatch<OrdKeyBatch<Vector<((K, ()), T, R)>>>;
/// Keys without values: whole rows, errors.
pub type KeySpine<K, T, R = Diff> = Spine<KeyBatch<K, T, R>>;
pub type KeyChunker<K, T, R = Diff> = ContainerChunker<Vec<((K, ()), T, R)>>;
pub type KeyBatcher<K, T, R = Diff> = MergeBatcher<VecMerger<(K, ()), T, R>>;
pub type KeyBuilder<K, T, R = Diff> = ArcBuilder<OrdKeyBuilder<Vector<((K, ()), T, R)>, Vec<((K, ()), T, R)>>>;

/// Rows by key, both packed.
pub type RowRowBatch<T, R = Diff> = ValBatch<Row, Row, T, R>;
pub type RowRowSpine<T, R = Diff> = ValSpine<Row, Row, T, R>;
pub type RowRowBuilder<T, R = Diff> = ValBuilder<Row, Row, T, R>;

/// Whole rows.
pub type RowSpine<T, R = Diff> = KeySpine<Row, T, R>;
pub type RowBuilder<T, R = Diff> = KeyBuilder<Row, T, R>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ts;

    fn is_shareable<T: Send + Sync>() {}

    #[test]
    fn batches_can_be_read_on_other_threads() {
        is_shareable::<RowRowBatch<Ts>>();
        is_shareable::<KeyBatch<Row, Ts>>();
    }
}
