//! Row containers, batches and spines of the dataflow engine: what arrangements are made of, and timely's and
//! differential's traits for the house's times and multiplicities.
//!
//! Knows no plan, no shard, no SQL. Every type of arrangement that `compute` and `storage` name is an alias defined here, so
//! that another layout changes one crate. Reading order: `time`, `diff`, `batch`, `spine`, `arrange`.

pub mod arrange;
pub mod batch;
pub mod diff;
pub mod spine;
pub mod time;

pub use arrange::{ArrangedKeys, ArrangedVals, arrange_keys, arrange_vals, consolidate, owner_hash};
pub use batch::ArcBatch;
pub use diff::Diff;
pub use spine::{
    KeyBatch, KeyBuilder, KeySpine, RowBuilder, RowRowBatch, RowRowBuilder, RowRowSpine, RowSpine, ValBatch,
    ValBuilder, ValSpine,
};
pub use time::{Ts, frontier_of, upper_of};
