//! The messages of computectl.

use expr::EvalError;
use repr::{CollectionId, Diff, Row, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Hello;
use crate::dataflow::Dataflow;
use crate::peek::{Peek, PeekId, PeekOutcome};

/// From the controller to a replica. Commands go to process 0, which hands them to all workers in one order; `Hello`,
/// `Peek` and `CancelPeek` go to every process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ComputeCommand {
    /// First on every connection.
    Hello(Hello),
    /// Builds a dataflow. During replay (before `InitializationComplete`) an installed dataflow of equal plan, exports and
    /// `until` is kept if its since is at or below the requested as_of; else it is dropped and built.
    CreateDataflow(Box<Dataflow>),
    /// Lets a materialized view write; until then it computes without appending.
    AllowWrites(CollectionId),
    /// Reads of this export below `since` are no longer promised; None drops the export.
    AllowCompaction {
        id: CollectionId,
        since: Option<Timestamp>,
    },
    Peek(Box<Peek>),
    CancelPeek(PeekId),
    /// The replay is over: whatever was installed and not named in it is dropped.
    InitializationComplete,
}

/// From one process of a replica to the controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ComputeResponse {
    /// Accepts the `Hello` whose nonce it repeats.
    Welcome {
        nonce: uuid::Uuid,
    },
    /// The upper of an export over all workers of this process; MAX: complete. Never goes back on one connection.
    Frontier {
        id: CollectionId,
        upper: Timestamp,
    },
    Peek {
        id: PeekId,
        outcome: PeekOutcome,
    },
    /// The consolidated updates of `[lower, upper)` of this process's workers, and errors, which end the subscription.
    Subscribe {
        id: CollectionId,
        lower: Timestamp,
        upper: Timestamp,
        updates: SubscribeUpdates,
    },
    /// Sent each second: says that the process lives.
    Status {
        uptime_ms: u64,
    },
}

/// Updates (row, time, diff) or the first error.
pub type SubscribeUpdates = Result<Vec<(Row, Timestamp, Diff)>, EvalError>;
