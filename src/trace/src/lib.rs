//! Row containers, batches and spines of the dataflow engine: what arrangements are made of, and timely's and
//! differential's traits for the house's times and multiplicities.
//!
//! Knows no plan, no shard, no SQL. Every type of arrangement that `compute` and `storage` name is an alias defined here, so
//! that another layout changes one crate. Reading order: `time`, `diff`, `batch`, `spine`.

pub mod batch;
pub mod diff;
pub mod spine;
pub mod time;

pub use batch::ArcBatch;
pub use diff::Diff;
pub use spine::{
    KeyBatch, KeyBatcher, KeyBuilder, KeyChunker, KeySpine, RowBatcher, RowBuilder, RowChunker, RowRowBatch,
    RowRowBatcher, RowRowBuilder, RowRowChunker, RowRowSpine, RowSpine,
};
pub use time::{Ts, frontier_of, upper_of};
