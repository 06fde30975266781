//! The physical plan (LIR): what a dataflow computes, node by node, with every choice of arrangement made.

use expr::aggregate::Aggregate;
use expr::relation::RecursionLimit;
use expr::{ColumnOrder, EvalError, LocalId, Mfp, Scalar, TableFunc};
use repr::{CollectionId, Diff, Kind, Row};
use serde::{Deserialize, Serialize};

use crate::lookup::Lookup;

/// A node with its place in the plan and the kinds of the rows it yields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Unique within the dataflow; names the operators in introspection.
    pub id: u64,
    pub kinds: Vec<Kind>,
    pub node: Node,
}

impl Plan {
    /// Whether some node of the plan passes; none is looked at behind the first that does.
    pub fn any_node(&self, test: &mut impl FnMut(&Node) -> bool) -> bool {
        let mut pending = vec![self];
        while let Some(plan) = pending.pop() {
            if test(&plan.node) {
                return true;
            }
            match &plan.node {
                Node::Constant { .. } | Node::Get { .. } | Node::GetLocal { .. } => {}
                Node::Let { value, body, .. } => pending.extend([&**value, &**body]),
                Node::LetRec { values, body, .. } => pending.extend(values.iter().chain([&**body])),
                Node::Mfp { input, .. }
                | Node::FlatMap { input, .. }
                | Node::Reduce { input, .. }
                | Node::TopK { input, .. }
                | Node::Negate { input }
                | Node::Threshold { input }
                | Node::ArrangeBy { input, .. } => pending.push(input),
                Node::Join(join) => pending.extend(&join.inputs),
                Node::Union { inputs } => pending.extend(inputs),
            }
        }
        false
    }
}

/// One operator. Every `mfp` is applied to the rows the operator forms, before they leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Node {
    Constant {
        rows: Result<Vec<(Row, Diff)>, EvalError>,
    },
    /// Reads a collection that the dataflow imports or an earlier object of it.
    Get {
        id: CollectionId,
        /// The arrangement of it to read, if one of these keys is imported; else its rows.
        key: Option<Vec<Scalar>>,
        /// With a `key`: only the rows whose key is looked up.
        lookup: Option<Lookup>,
        mfp: Mfp,
    },
    GetLocal {
        id: LocalId,
        mfp: Mfp,
    },
    Let {
        id: LocalId,
        value: Box<Plan>,
        body: Box<Plan>,
    },
    LetRec {
        ids: Vec<LocalId>,
        values: Vec<Plan>,
        limit: Option<RecursionLimit>,
        body: Box<Plan>,
    },
    Mfp {
        input: Box<Plan>,
        mfp: Mfp,
    },
    /// Appends the rows that the function returns to each input row.
    FlatMap {
        input: Box<Plan>,
        func: TableFunc,
        exprs: Vec<Scalar>,
        mfp: Mfp,
    },
    Join(Box<JoinPlan>),
    Reduce {
        input: Box<Plan>,
        /// Expressions over the input row.
        key: Vec<Scalar>,
        plan: ReducePlan,
        mfp: Mfp,
    },
    TopK {
        input: Box<Plan>,
        group_key: Vec<usize>,
        order: Vec<ColumnOrder>,
        limit: Option<u64>,
        offset: u64,
        /// The input only grows, and few rows of a group are wanted: they are kept, and nothing else.
        monotonic: bool,
        /// Number of 16-way levels above the last, from the size hint.
        levels: u32,
    },
    Negate {
        input: Box<Plan>,
    },
    Threshold {
        input: Box<Plan>,
    },
    Union {
        inputs: Vec<Plan>,
    },
    /// Yields the input's rows, and arrangements of them by each key for those who ask by key.
    ArrangeBy {
        input: Box<Plan>,
        keys: Vec<Vec<Scalar>>,
    },
}

/// A join of all `inputs`. Rows are formed as the inputs' columns one after another, in the order of `inputs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinPlan {
    pub inputs: Vec<Plan>,
    pub kind: JoinKind,
    /// Over the full concatenated row; holds what is left of the join's condition.
    pub mfp: Mfp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinKind {
    /// Starts from `start` and adds one input at a time.
    Linear { start: usize, stages: Vec<JoinStage> },
    /// One path for each input, in the order of the inputs: changes of input i meet the others' arrangements. Of changes at one
    /// time those of input `last` count as the last, so that its path is the one that meets the snapshots of all others.
    /// Precondition: at least two inputs; no stream key but a first stage's can fail.
    Delta { paths: Vec<Vec<JoinStage>>, last: usize },
}

/// Adds one input to the rows joined so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinStage {
    /// Which input is looked up.
    pub input: usize,
    /// The arrangement of that input: expressions over its own columns.
    pub lookup_key: Vec<Scalar>,
    /// What must equal it: expressions over the concatenated columns of the inputs joined so far, **in the order in which
    /// they were joined** (start first, then each stage's input).
    pub stream_key: Vec<Scalar>,
}

/// How groups are computed. Output rows are the key columns, then one column for each aggregate, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReducePlan {
    /// No aggregates.
    Distinct,
    /// count, sum, avg, bool and three-valued aggregates: one diff vector.
    Accumulable { aggregates: Vec<Aggregate> },
    /// min and max, in `levels` 16-way levels above the last. Of an input that only grows (`monotonic`) the best values are
    /// kept, and nothing else.
    Hierarchical { aggregates: Vec<Aggregate>, monotonic: bool, levels: u32 },
    /// Aggregates of whole groups in codec order: array_agg, string_agg, ...
    Basic { aggregates: Vec<Aggregate> },
    /// Kinds mixed: each aggregate's place in the output, by kind; the parts are joined on the key.
    Collation { parts: Vec<(ReducePlan, Vec<usize>)> },
}
