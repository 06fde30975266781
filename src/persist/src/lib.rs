//! Durable collections: one log per environment, the deterministic state machine it drives, and the leader that writes it.
//!
//! Knows rows as bytes with a time and a difference; no types, no SQL, no dataflow. Reading order: `op` and `state` (what is
//! true), `encode` and `checkpoint` (as bytes), `log` and its backends, `location` (which of them, by URL), `columns`, `part`,
//! `blob`, `batch_run`, `read` and `merge` (where rows are), `hold` and `timeline`, `leader` (who writes), `shards` (what clients can do), `service`
//! and `remote` (over gRPC).

mod backup;
mod batch_run;
mod blob;
mod checkpoint;
mod codec;
mod columns;
mod encode;
mod hold;
mod inspect;
mod leader;
mod location;
mod log;
mod mem_log;
mod merge;
mod obj_log;
mod op;
mod part;
mod pg_log;
mod pg_tls;
#[doc(hidden)]
pub mod probe;
mod read;
mod remote;
mod rocks_holder;
mod rocks_log;
mod rocks_reader;
mod rocks_wal;
mod service;
mod shards;
mod state;
mod timeline;
mod verify;

pub use backup::{
    BackupError, BackupReport, Destination, Listing, Manifest, PartFile, Progress, Pruned, RestoreReport,
    RestoreRequest, backup_stored, find_backup, list_backups, prune_backups, refuse_half_restored, restore,
};
pub use batch_run::Run;
pub use blob::{Blob, BlobError, local_blob, memory_blob};
pub use checkpoint::{decode_state, encode_state};
pub use codec::DecodeError;
pub use columns::{Column, Columns};
pub use encode::{FORMAT_VERSION, decode_txns, encode_txns};
pub use hold::{Hold, HoldError};
pub use inspect::{StoredState, read_snapshot, read_state};
pub use leader::{
    Collected, Commit, CommitError, CreateShard, Halt, LEASE, Leader, LeaderConfig, LeaderHandle, LeaderId, OpenError,
    SnapshotError, Stage, WriteCounts,
};
pub use location::{BlobUrl, LogUrl, StoreUrl, UrlError, open_blob, open_log};
pub use log::{Append, CHECKPOINTS_KEPT, Checkpoint, Entry, Log, LogError, Slot, Survey};
pub use mem_log::{Faults, MemLog};
pub use merge::{MergeHelper, MergeJob};
pub use obj_log::ObjLog;
pub use op::{BatchDesc, GroupId, HollowPart, Op, Part, PinId, SchemaId, Txn, Validate, WriterId};
pub use part::{CorruptPart, Update, consolidate};
pub use pg_log::PgLog;
pub use read::{PartCounts, ReadCounts, verify_part};
pub use remote::{RemoteAddress, RemoteShards};
pub use rocks_log::RocksLog;
pub use rocks_reader::RocksReader;
pub use service::{ShardctlService, shardctl_service};
pub use shards::{AppendError, BlobErrorText, Selection, ShardEvent, Shards, SubscribeError, Subscription};
pub use state::{Group, Pin, Reject, Shard, State, TOKENS_KEPT};
pub use verify::{Damage, Verification, verify};
