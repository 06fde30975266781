//! What the log says: operations on the one state machine, and the batches and parts they name.

use std::sync::Arc;

use bytes::Bytes;
use repr::{ShardId, Timestamp};
use uuid::Uuid;

use crate::columns::Columns;

/// Shards that share one upper and are committed together; group 0 holds the tables and the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

impl GroupId {
    /// The tables and the catalog.
    pub const TABLES: GroupId = GroupId(0);
}

/// Names the schema that a shard's rows are written with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u64);

/// Names a backup in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinId(pub u64);

/// Who appends to a solo shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriterId {
    /// The deploy generation; one below that of the last `Open` is refused.
    pub generation: u64,
    /// Which process writes, the same across its restarts; 0 = nobody in particular, whose incarnation is not checked.
    pub writer: u64,
    /// Which start of that process; an older one than seen before is refused.
    pub incarnation: u64,
}

impl WriterId {
    /// A writer of this generation without an identity of its own.
    pub fn anonymous(generation: u64) -> WriterId {
        WriterId { generation, writer: 0, incarnation: 0 }
    }
}

/// Updates of one shard at times in `[lower, upper)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchDesc {
    /// Assigned by `apply`, unique within the shard; 0 in an op that has not been applied.
    pub id: u64,
    pub lower: Timestamp,
    pub upper: Timestamp,
    /// Times of the updates were advanced to this.
    pub since: Timestamp,
    pub updates: u64,
    /// Encoded size of all parts.
    pub bytes: u64,
    /// Makes the append idempotent.
    pub token: Uuid,
    /// Shared by the states of the leader and whoever copies them.
    pub parts: Arc<[Part]>,
}

/// Where updates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// In the log entry itself, as blocks of the part format.
    Inline(Bytes),
    /// In the blob store.
    Hollow(HollowPart),
}

/// A part in the blob store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HollowPart {
    pub key: String,
    pub bytes: u64,
    pub updates: u64,
    pub t_min: Timestamp,
    pub t_max: Timestamp,
    /// Least row, and for each column its least and greatest datum: see the part format. Empty: none were gathered.
    pub statistics: Bytes,
}

/// One read-then-write: its read time and its transitive base tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validate {
    pub read_ts: Timestamp,
    pub tables: Vec<ShardId>,
}

/// One operation; see `misc/doc/persist-format.md` for its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A leader takes over; the first entry of an epoch.
    Open {
        log_id: Uuid,
        epoch: u64,
        nonce: Uuid,
        generation: u64,
        version: u32,
        lease_ms: u64,
    },
    /// A clean handover: no lease to wait for, and the oracle's read time goes along.
    Close {
        read_ts: Timestamp,
    },
    /// Makes a shard that is readable from `since`, the time of the commit in the same transaction.
    Create {
        shard: ShardId,
        group: Option<GroupId>,
        schema: SchemaId,
        since: Timestamp,
        scheduled: bool,
    },
    /// Drops a shard. Applied to a retired one, whose parts are deleted by then, it forgets the shard.
    Retire {
        shard: ShardId,
    },
    /// Compare-and-append to a solo shard; `new_upper` = MAX closes it.
    Append {
        shard: ShardId,
        writer: WriterId,
        expect_upper: Timestamp,
        new_upper: Timestamp,
        batch: Option<BatchDesc>,
    },
    /// Moves a group's upper to `ts + 1`, with appends to some of its shards at `ts`; without any it is a tick.
    Commit {
        group: GroupId,
        expect_upper: Timestamp,
        ts: Timestamp,
        validate: Vec<Validate>,
        /// DDL: the catalog version it was planned on; checked and incremented.
        catalog: Option<u64>,
        appends: Vec<(ShardId, SchemaId, BatchDesc)>,
    },
    /// Gives up times below `since`.
    Since {
        shard: ShardId,
        generation: u64,
        since: Timestamp,
    },
    /// Swaps adjacent batches for one with the same updates.
    Replace {
        shard: ShardId,
        generation: u64,
        inputs: Vec<u64>,
        output: BatchDesc,
    },
    /// Changes the schema that new batches are written with. Columns may be declared while the shard is empty, and appended
    /// to those of a member of a group, whose every commit names the schema it was planned for.
    Schema {
        shard: ShardId,
        schema: SchemaId,
        columns: Columns,
    },
    /// Keeps every part that the state of entry `seq` names, until `expires`.
    Pin {
        id: PinId,
        seq: u64,
        expires: Timestamp,
    },
    Unpin {
        id: PinId,
    },
}

/// Operations that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    pub ops: Vec<Op>,
}

impl From<Op> for Txn {
    fn from(op: Op) -> Txn {
        Txn { ops: vec![op] }
    }
}
