//! One-off reads of an index at a time.

use expr::{ColumnOrder, EvalError, Mfp};
use repr::{CollectionId, Diff, Row, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::lookup::Lookup;

/// Names one peek over all replicas.
pub type PeekId = Uuid;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peek {
    pub id: PeekId,
    pub target: PeekTarget,
    /// Precondition: `since <= at` is held by the controller. The replica answers once its upper is beyond it.
    pub at: Timestamp,
    pub mfp: Mfp,
    pub order: RowOrder,
    /// Bytes of packed rows after which the replica answers with an error instead (SQLSTATE 53200).
    pub result_bytes_max: u64,
    /// The sequence number of the last command sent before this peek; an unknown index is an error only after it.
    pub after: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeekTarget {
    /// All rows of an index, or those whose key is looked up.
    Index {
        index: CollectionId,
        lookup: Option<Lookup>,
        /// The first so many columns of the key order the rows as they are wanted, as far as they differ in them: behind
        /// enough rows the others need not be looked at. Precondition: 0 unless there is a limit and the MFP cannot fail.
        front: usize,
    },
}

/// Which of the resulting rows are wanted. Each process returns its first `offset + limit` rows by `order`; the adapter
/// merges them and applies the offset.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct RowOrder {
    pub order: Vec<ColumnOrder>,
    pub limit: Option<u64>,
    pub offset: u64,
}

/// A peek's answer from one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeekOutcome {
    /// Rows with their counts, each count positive.
    Rows(Vec<(Row, Diff)>),
    Error(EvalError),
    /// Canceled by the controller, or lost a race with compaction after another replica answered.
    Canceled,
}
