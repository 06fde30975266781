//! The messages of storagectl.

use repr::{CollectionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Hello;
use crate::source::Ingestion;

/// From the controller to a replica, process 0, in one order with computectl's commands of the same controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StorageCommand {
    Hello(Hello),
    /// Starts a source, or changes its exports. It resumes where its shards stand.
    RunIngestion(Box<Ingestion>),
    /// None drops the source.
    AllowCompaction {
        id: CollectionId,
        since: Option<Timestamp>,
    },
    InitializationComplete,
    /// Merge parts of a shard: persist's `MergeJob` as bytes. Never part of a replay; may go to any replica that reaches the
    /// blob store. It answers with `CompactDone`, or loses the connection.
    Compact {
        number: u64,
        job: Vec<u8>,
    },
}

/// From one process of a replica to the controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StorageResponse {
    Welcome {
        nonce: uuid::Uuid,
    },
    /// The durable upper of a source's export, as the replica knows it.
    Upper {
        id: CollectionId,
        upper: Timestamp,
    },
    /// The source has stopped and writes no more.
    Dropped {
        id: CollectionId,
    },
    Status {
        id: CollectionId,
        status: SourceStatus,
    },
    Alive {
        uptime_ms: u64,
    },
    /// Persist's `Run` as bytes, or why there is none.
    CompactDone {
        number: u64,
        run: Result<Vec<u8>, String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceStatus {
    Starting,
    Running,
    /// It goes on trying.
    Stalled(String),
    Finished,
}
