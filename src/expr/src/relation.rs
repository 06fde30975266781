//! Relational expressions (MIR). A relation is a multiset of rows of known types; multiplicities may be negative inside.

use repr::{CollectionId, Diff, RelationType, Row};
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::error::EvalError;
use crate::order::ColumnOrder;
use crate::scalar::Scalar;
use crate::table_func::TableFunc;

/// A binding inside one expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LocalId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Id {
    Local(LocalId),
    Global(CollectionId),
}

/// A relational expression.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Relation {
    Constant {
        rows: Result<Vec<(Row, Diff)>, EvalError>,
        typ: RelationType,
    },
    Get {
        id: Id,
        typ: RelationType,
    },
    Let {
        id: LocalId,
        value: Box<Relation>,
        body: Box<Relation>,
    },
    /// Mutual recursion: evaluated in order, again and again, until nothing changes.
    LetRec {
        ids: Vec<LocalId>,
        values: Vec<Relation>,
        limit: Option<RecursionLimit>,
        body: Box<Relation>,
    },
    Project {
        input: Box<Relation>,
        outputs: Vec<usize>,
    },
    /// Appends columns; each scalar sees the columns before it.
    Map {
        input: Box<Relation>,
        scalars: Vec<Scalar>,
    },
    /// Appends the columns of each row the function returns; drops rows for which it returns none.
    FlatMap {
        input: Box<Relation>,
        func: TableFunc,
        exprs: Vec<Scalar>,
    },
    /// Keeps rows for which all predicates are true.
    Filter {
        input: Box<Relation>,
        predicates: Vec<Scalar>,
    },
    /// The product of the inputs, columns one after another, where in each class all expressions are equal **by bytes and
    /// null-safe**: SQL's `=` adds IS NOT NULL filters.
    Join {
        inputs: Vec<Relation>,
        equivalences: Vec<Vec<Scalar>>,
        implementation: JoinImplementation,
    },
    /// Key columns, then one column for each aggregate. No row for no input; without aggregates it is DISTINCT.
    Reduce {
        input: Box<Relation>,
        group_key: Vec<Scalar>,
        aggregates: Vec<Aggregate>,
        /// The input only grows.
        monotonic: bool,
        /// The user's hint of how many rows share a key.
        expected_group_size: Option<u64>,
    },
    /// In each group the rows at `[offset, offset + limit)`; ties in codec order of the full row.
    TopK {
        input: Box<Relation>,
        group_key: Vec<usize>,
        order: Vec<ColumnOrder>,
        limit: Option<u64>,
        offset: u64,
        monotonic: bool,
        expected_group_size: Option<u64>,
    },
    Negate {
        input: Box<Relation>,
    },
    /// Keeps rows of positive multiplicity.
    Threshold {
        input: Box<Relation>,
    },
    /// The sum of multiplicities. Never empty; all inputs have the same column types.
    Union {
        inputs: Vec<Relation>,
    },
    /// The same rows, arranged by each key.
    ArrangeBy {
        input: Box<Relation>,
        keys: Vec<Vec<Scalar>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecursionLimit {
    pub iterations: u64,
    /// Stop and return what there is, instead of an error.
    pub return_at_limit: bool,
}

/// How a join is to be computed; chosen by the optimizer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub enum JoinImplementation {
    #[default]
    Unimplemented,
    /// The first input, then one more input at a time by the key given (expressions over that input's own columns).
    Linear { start: usize, steps: Vec<(usize, Vec<Scalar>)> },
    /// For each input, the order in which changes to it meet the others, each by an arrangement key.
    Delta { paths: Vec<Vec<(usize, Vec<Scalar>)>> },
}
