//! Names and definitions: durable as SQL text in one collection of the log, in memory as immutable snapshots.
//!
//! Knows no sessions, no sockets, no dataflows. A change is [`transact`](Catalog::transact): it yields the next snapshot and
//! the rows by which the durable collection changes; the committer makes both true at once. Reading order: `record`,
//! `catalog`, `transact`, `service`, `reconfigure`, `narrow`, `rename`, `load`, `builtin`.

pub mod builtin;
mod catalog;
mod load;
mod narrow;
mod reconfigure;
mod record;
mod rename;
mod service;
mod sizes;
#[cfg(test)]
mod testing;
mod transact;

pub use catalog::{Catalog, Database, Schema};
pub use load::{LoadError, initial_updates, load};
pub use narrow::AddColumns;
pub use reconfigure::{AlterCluster, End};
pub use record::{CATALOG_SHARD, catalog_kinds};
pub use sizes::REPLICA_SIZES;
pub use transact::{NewCluster, NewItem, Op, Transacted};
