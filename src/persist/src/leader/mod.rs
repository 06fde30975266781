//! The leader: the one writer of the log.
//!
//! Every change is a transaction that is applied to the speculative state at once, joins the next entry, and is answered when
//! that entry is durable. Uppers are read from the durable state and sinces from the speculative one: no answer rests on an
//! upper that a crash can take back, and no hold is granted below a since on its way.

mod backup;
mod collect;
mod compact;
mod core;
mod feed;
mod handle;
mod open;
mod orphans;
mod run;
mod staged;
mod takeover;
mod write;
mod written;

use std::sync::Arc;
use std::time::Duration;

use repr::{Diff, Row, ShardId, Timestamp};
use stdx::{Rng, Tasks};
use tokio::sync::watch;

pub(crate) use feed::Feed;
pub use handle::LeaderHandle;
pub use open::Leader;
pub use orphans::Collected;
pub use takeover::{LeaderId, Stage};
pub(crate) use takeover::{replay, restore_checkpoint};
pub(crate) use write::{Append as RemoteAppend, check_times};
pub use written::WriteCounts;

use crate::blob::Blob;
use crate::columns::Columns;
use crate::log::{Log, LogError};
use crate::op::{GroupId, Validate};
use crate::shards::BlobErrorText;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long an append proves that no other leader has acknowledged anything.
pub const LEASE: Duration = Duration::from_secs(15);

/// What a leader needs, and its limits.
#[derive(Clone)]
pub struct LeaderConfig {
    pub log: Arc<dyn Log>,
    pub blob: Blob,
    /// How other processes open the blob store: the text of a [`crate::BlobUrl`].
    pub blob_url: Option<String>,
    pub tasks: Tasks,
    pub rng: Rng,
    /// The deploy generation; a lower one than the log has seen is refused.
    pub generation: u64,
    /// The version of this program; a log that a newer one has led is refused.
    pub version: u32,
    /// How long an append proves that no other leader has acknowledged anything. None: the log's own lock proves it.
    pub lease: Option<Duration>,
    /// The machine's clocks may stand still while others go on (a hypervisor pauses the guest): a lease proves nothing then,
    /// and every strict read waits for an append.
    pub clocks_may_stand_still: bool,
    /// Fence a leader of the same generation although it is alive.
    pub force_takeover: bool,
    /// Told of every stage on the way into office.
    pub stage: watch::Sender<Stage>,
    /// No since moves for this long after a start, so that readers can take their holds again.
    pub boot_grace: Duration,
    /// How far since stays behind upper where nothing holds it.
    pub compaction_lag: Duration,
    pub checkpoint_bytes: usize,
    pub checkpoint_every: Duration,
    /// Batches longer than this go to the blob store.
    pub inline_bytes_max: usize,
    /// Merges of more are large: they wait for each other, and other processes may do them.
    pub large_merge_bytes: u64,
    /// Replaced parts stay at least this long.
    pub delete_after: Duration,
    /// How often the blob store is searched for what nobody names; first when what a former leader has left may go.
    pub collect_every: Duration,
    /// Such a part stays at least this long: it may be on its way into the log.
    pub orphan_age: Duration,
    /// What a former leader has left stays for so long after this one's start: it may have shown it to readers.
    pub former_age: Duration,
}

impl LeaderConfig {
    /// The limits that the design names, and a lease if the log needs one.
    pub fn new(log: Arc<dyn Log>, blob: Blob, tasks: Tasks, rng: Rng) -> LeaderConfig {
        LeaderConfig {
            lease: log.needs_lease().then_some(LEASE),
            log,
            blob,
            blob_url: None,
            tasks,
            rng,
            generation: 1,
            version: 1,
            clocks_may_stand_still: false,
            force_takeover: false,
            stage: watch::Sender::new(Stage::Loading),
            boot_grace: Duration::from_secs(60),
            compaction_lag: Duration::from_secs(1),
            checkpoint_bytes: 64 << 20,
            checkpoint_every: Duration::from_secs(60),
            inline_bytes_max: 256 << 10,
            large_merge_bytes: 16 << 20,
            delete_after: Duration::from_secs(600),
            collect_every: DAY,
            orphan_age: Duration::from_secs(3600),
            former_age: Duration::from_secs(3600),
        }
    }

    fn announce(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }
}

/// One commit to a group of shards, with the shards it makes and drops: one log transaction, all or nothing.
#[derive(Clone, Debug)]
pub struct Commit {
    pub group: GroupId,
    /// At or above the group's upper, which becomes `ts + 1`.
    pub ts: Timestamp,
    /// One for each read-then-write in it.
    pub validate: Vec<Validate>,
    /// DDL: the catalog version it was planned on.
    pub catalog: Option<u64>,
    /// Rows to add to members of the group (those in `creates` included), all at `ts`.
    pub appends: Vec<(ShardId, Vec<(Row, Diff)>)>,
    /// Become readable from `ts` on.
    pub creates: Vec<CreateShard>,
    /// Shards whose columns are declared (those in `creates`, or empty ones), or extended (members of the group).
    pub columns: Vec<(ShardId, Columns)>,
    pub retires: Vec<ShardId>,
}

impl Commit {
    /// A commit without contents: moves the group's upper.
    pub fn tick(group: GroupId, ts: Timestamp) -> Commit {
        Commit {
            group,
            ts,
            validate: Vec::new(),
            catalog: None,
            appends: Vec::new(),
            creates: Vec::new(),
            columns: Vec::new(),
            retires: Vec::new(),
        }
    }
}

/// A shard to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateShard {
    pub shard: ShardId,
    /// None: a solo shard with an upper of its own.
    pub group: Option<GroupId>,
    /// Its upper may lie ahead of the clock.
    pub scheduled: bool,
}

/// Why a commit was not made, or is not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A table was written after a read-then-write had read it: read again. (40001)
    #[error("{table} was written after {read_ts}")]
    Conflict { table: ShardId, read_ts: Timestamp },
    /// `ts` lies below the group's upper: choose another.
    #[error("the group has the upper {upper}")]
    UpperMismatch { upper: Timestamp },
    /// Other DDL came first: plan again.
    #[error("the catalog has version {actual} now")]
    CatalogMoved { actual: u64 },
    /// A table was dropped: plan again.
    #[error("{0} does not exist")]
    NotFound(ShardId),
    #[error("{0} has another schema now")]
    SchemaChanged(ShardId),
    /// New writes are refused until there is space again. (53100)
    #[error("no space left on device")]
    DiskFull,
    /// The leader ended before it knew. (08007)
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The leader has ended; nothing was written. (57P01)
    #[error("the leader has ended: {0}")]
    Halted(String),
    #[error("invalid commit: {0}")]
    Invalid(String),
    #[error(transparent)]
    Blob(#[from] BlobErrorText),
}

/// Why a snapshot cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("the time lies below the since {since}")]
    Expired { since: Timestamp },
    /// The durable upper is not beyond the time: wait for it.
    #[error("the shard is complete only below {upper}")]
    Incomplete { upper: Timestamp },
    #[error("the shard does not exist")]
    NotFound,
    #[error(transparent)]
    Blob(#[from] BlobErrorText),
}

/// Why a leader cannot start; nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Log(#[from] LogError),
    /// Written by a newer program.
    #[error("{0}")]
    Newer(String),
    /// A later generation has led this log.
    #[error("generation {actual} has taken over from this one, {mine}")]
    Fenced { mine: u64, actual: u64 },
    /// Entries that cannot follow one another.
    #[error("log damaged: {0}")]
    Corrupt(String),
    /// It ended before it could lead.
    #[error(transparent)]
    Halted(#[from] Halt),
}

/// Why a leader has ended. The process must end too, for only a new leader can go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// `by` is the epoch of who owns the slot that this leader wanted, if that is still known.
    #[error(
        "fenced: {} has taken over the log from epoch {epoch}, which has acknowledged nothing since",
        by.map_or_else(|| "another leader".to_owned(), |by| format!("the leader of epoch {by}"))
    )]
    Fenced { epoch: u64, by: Option<u64> },
    #[error("{0}")]
    Broken(String),
    #[error("handed over")]
    Closed,
    #[error("shut down")]
    Dropped,
}
