//! How data comes in and rests: durable collections as inputs and outputs of dataflows, and the sources that fill them.
//!
//! Knows no SQL, no physical plan, and holds no durable truth: what is true is in `persist`. Reading order: `context` (what a
//! worker has), `token` (how dataflows end), `stored` (rows and errors in one shard), `feed` (following a shard off the worker
//! thread), `shard_source`, `correction` and `shard_sink`, then `generator` (what load generators make), `reclock` (which
//! offsets happened when), `ingestion` (a running source) and `ingestions` (all of them).

mod context;
mod correction;
mod feed;
mod generator;
mod ingestion;
mod ingestions;
mod reclock;
mod shard_sink;
mod shard_source;
mod token;

pub use context::WorkerContext;
pub use ingestions::Ingestions;
pub use protocol::stored;
pub use shard_sink::{ShardSink, SinkHandle, shard_sink};
pub use shard_source::{Errs, Oks, ShardSource, shard_source};
pub use token::{DropSignal, Token, drop_signal};

#[cfg(test)]
mod tests;
