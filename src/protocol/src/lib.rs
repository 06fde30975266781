//! What environmentd and clusterd say to each other: the physical plan (LIR), source descriptions, the messages of
//! storagectl and computectl, and the links that carry them, guarded by TLS. Plain data.
//!
//! Knows no SQL, no timely, no persist. Reading order: `lookup`, `plan`, `dataflow`, `peek`, `compute`, `source`, `storage`,
//! `stored`, `link`, `tls`, `grpc`.

pub mod compute;
pub mod dataflow;
pub mod grpc;
pub mod link;
pub mod lookup;
pub mod peek;
pub mod plan;
pub mod source;
mod source_relations;
pub mod storage;
pub mod stored;
pub mod tls;

pub use compute::{ComputeCommand, ComputeResponse};
pub use dataflow::{Dataflow, Export, Import, Object};
pub use expr::EvalError;
pub use lookup::{KeyRange, Lookup};
pub use peek::{Peek, PeekId, PeekOutcome, PeekTarget, RowOrder};
pub use plan::{Node, Plan};
pub use storage::{StorageCommand, StorageResponse};

/// The version both sides of a control connection must be of.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Opens every control connection. A replica refuses an epoch or generation below one it has seen; another `log_id` means
/// another environment's data (a restore or a clone) and makes the replica drop everything it has built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub log_id: Uuid,
    /// New for each connection; every response belongs to one.
    pub nonce: Uuid,
    pub epoch: u64,
    pub generation: u64,
    /// Both sides must be of one version: messages between them are encoded by derive.
    pub version: String,
}

/// A command with its place in the one order that all workers follow, over both protocols of one controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequenced<C> {
    pub sequence: u64,
    pub command: C,
}
