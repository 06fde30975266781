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

/// A batch of rows by key, both packed.
pub type RowRowBatch<T, R = Diff> = ArcBatch<OrdValBatch<Vector<((Row, Row), T, R)>>>;
/// Rows by key, both packed.
pub type RowRowSpine<T, R = Diff> = Spine<RowRowBatch<T, R>>;
pub type RowRowChunker<T, R = Diff> = ContainerChunker<Vec<((Row, Row), T, R)>>;
pub type RowRowBatcher<T, R = Diff> = MergeBatcher<VecMerger<(Row, Row), T, R>>;
pub type RowRowBuilder<T, R = Diff> = ArcBuilder<OrdValBuilder<Vector<((Row, Row), T, R)>, Vec<((Row, Row), T, R)>>>;

/// A batch of values without further content: whole rows, errors.
pub type KeyBatch<K, T, R = Diff> = ArcBatch<OrdKeyBatch<Vector<((K, ()), T, R)>>>;
/// Values without further content: whole rows, errors.
pub type KeySpine<K, T, R = Diff> = Spine<KeyBatch<K, T, R>>;
pub type KeyChunker<K, T, R = Diff> = ContainerChunker<Vec<((K, ()), T, R)>>;
pub type KeyBatcher<K, T, R = Diff> = MergeBatcher<VecMerger<(K, ()), T, R>>;
pub type KeyBuilder<K, T, R = Diff> = ArcBuilder<OrdKeyBuilder<Vector<((K, ()), T, R)>, Vec<((K, ()), T, R)>>>;

/// Whole rows.
pub type RowSpine<T, R = Diff> = KeySpine<Row, T, R>;
pub type RowChunker<T, R = Diff> = KeyChunker<Row, T, R>;
pub type RowBatcher<T, R = Diff> = KeyBatcher<Row, T, R>;
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
