//! How many rows a node of a physical plan yields at most, and how much memory it keeps, from the numbers of stored rows.
//!
//! Rows are bounds, not guesses: distinct rows, as many as there are if every filter lets all through and every group has one
//! row. There is no bound where a join, a table function or a recursion may make rows. Memory is what the node arranges for
//! itself at that bound, without its inputs and without the indexes that it shares: columns by their kinds, texts and the like
//! taken for [`VARYING_BYTES`], and [`RECORD_BYTES`] around each record.

use std::collections::BTreeMap;

use expr::LocalId;
use protocol::plan::{JoinKind, JoinPlan, Node, Plan, ReducePlan};
use protocol::{Dataflow, Lookup};
use repr::{CollectionId, Kind};

/// A record beside its columns: the key's and the value's containers, time, multiplicity, offsets.
const RECORD_BYTES: u64 = 96;
/// What a value is taken for whose kind says nothing of its length.
const VARYING_BYTES: u64 = 24;

/// What is known of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) rows: Option<u64>,
    /// None: unknown, or nothing is kept.
    pub(crate) memory_bytes: Option<u64>,
}

/// The estimates of all nodes, by their numbers. `stored` tells how many distinct rows a collection has at most.
pub(crate) fn estimates(dataflow: &Dataflow, stored: &dyn Fn(CollectionId) -> Option<u64>) -> BTreeMap<u64, Estimate> {
    let mut estimator = Estimator { stored, made: BTreeMap::new(), locals: BTreeMap::new(), nodes: BTreeMap::new() };
    for object in &dataflow.objects {
        let rows = estimator.rows(&object.plan);
        estimator.made.insert(object.id, rows);
    }
    estimator.nodes
}

struct Estimator<'a> {
    stored: &'a dyn Fn(CollectionId) -> Option<u64>,
    made: BTreeMap<CollectionId, Option<u64>>,
    locals: BTreeMap<LocalId, Option<u64>>,
    nodes: BTreeMap<u64, Estimate>,
}

impl Estimator<'_> {
    fn rows(&mut self, plan: &Plan) -> Option<u64> {
        let estimate = stacker::maybe_grow(64 * 1024, 1024 * 1024, || self.node(plan));
        self.nodes.insert(plan.id, estimate);
        estimate.rows
    }

    fn node(&mut self, plan: &Plan) -> Estimate {
        let record = record_bytes(&plan.kinds);
        let plain = |rows| Estimate { rows, memory_bytes: None };
        let keeping = |rows, records: Option<u64>| Estimate {
            rows,
            memory_bytes: records.map(|records| records.saturating_mul(record)),
        };
        match &plan.node {
            Node::Constant { rows } => plain(rows.as_ref().ok().map(|rows| rows.len() as u64)),
            Node::Get { id, lookup, .. } => {
                let all = self.made.get(id).copied().unwrap_or_else(|| (self.stored)(*id));
                plain(match lookup {
                    Some(Lookup::Keys(keys)) if keys.is_empty() => Some(0),
                    _ => all,
                })
            }
            Node::GetLocal { id, .. } => plain(self.locals.get(id).copied().flatten()),
            Node::Let { id, value, body } => {
                let value = self.rows(value);
                self.locals.insert(*id, value);
                plain(self.rows(body))
            }
            Node::LetRec { values, body, .. } => {
                values.iter().for_each(|value| {
                    self.rows(value);
                });
                plain(self.rows(body))
            }
            Node::Mfp { input, .. } | Node::Negate { input } => plain(self.rows(input)),
            Node::FlatMap { input, .. } => {
                self.rows(input);
                plain(None)
            }
            Node::Join(join) => self.join(join),
            Node::Reduce { input, key, plan: reduce, mfp } => {
                let input_rows = self.rows(input);
                let groups = if key.is_empty() { Some(1) } else { input_rows };
                let kept = input_rows.zip(groups).map(|(input, groups)| reduce_records(reduce, input, groups));
                let record = record_bytes(&mfp.input_kinds);
                Estimate { rows: groups, memory_bytes: kept.map(|records| records.saturating_mul(record)) }
            }
            Node::TopK { input, group_key, limit, monotonic, levels, .. } => {
                let input = self.rows(input);
                let first = limit.filter(|_| group_key.is_empty());
                let rows = [input, first].into_iter().flatten().min();
                let arranged = if *monotonic { rows } else { input.map(|rows| times(rows, u64::from(*levels) + 1)) };
                keeping(rows, arranged.zip(rows).map(|(arranged, rows)| arranged.saturating_add(rows)))
            }
            Node::Threshold { input } => {
                let rows = self.rows(input);
                keeping(rows, rows.map(|rows| times(rows, 2)))
            }
            Node::Union { inputs } => {
                let inputs: Vec<Option<u64>> = inputs.iter().map(|input| self.rows(input)).collect();
                plain(inputs.into_iter().try_fold(0u64, |sum, rows| Some(sum.saturating_add(rows?))))
            }
            Node::ArrangeBy { input, keys } => {
                let rows = self.rows(input);
                keeping(rows, rows.map(|rows| times(rows, keys.len() as u64)))
            }
        }
    }

    /// A join may make any number of rows. What it keeps is known if it has no intermediate results.
    fn join(&mut self, join: &JoinPlan) -> Estimate {
        let inputs: Vec<Option<u64>> = join.inputs.iter().map(|input| self.rows(input)).collect();
        let has_intermediates = matches!(&join.kind, JoinKind::Linear { stages, .. } if stages.len() > 1);
        let kept = join.inputs.iter().zip(&inputs).try_fold(0u64, |sum, (input, rows)| {
            // What is read by key is somebody else's index.
            let is_arranged = matches!(&input.node, Node::Get { key: Some(_), lookup: None, .. });
            let bytes = if is_arranged { 0 } else { times((*rows)?, record_bytes(&input.kinds)) };
            Some(sum.saturating_add(bytes))
        });
        let is_single_row = inputs.iter().all(|rows| rows.is_some_and(|rows| rows <= 1));
        Estimate { rows: is_single_row.then_some(1), memory_bytes: kept.filter(|_| !has_intermediates) }
    }
}

fn times(rows: u64, factor: u64) -> u64 {
    rows.saturating_mul(factor)
}

/// Records that a reduction of `input` rows to `groups` keeps: its input as it is arranged, and its output.
fn reduce_records(plan: &ReducePlan, input: u64, groups: u64) -> u64 {
    let arranged = match plan {
        ReducePlan::Accumulable { .. } | ReducePlan::Hierarchical { monotonic: true, .. } => groups,
        ReducePlan::Distinct | ReducePlan::Basic { .. } => input,
        ReducePlan::Hierarchical { monotonic: false, levels, .. } => times(input, u64::from(*levels) + 1),
        // Each part has an output of its own beside the joined one.
        ReducePlan::Collation { parts } => {
            parts.iter().map(|(part, _)| reduce_records(part, input, groups)).fold(0, u64::saturating_add)
        }
    };
    arranged.saturating_add(groups)
}

fn record_bytes(kinds: &[Kind]) -> u64 {
    kinds.iter().map(|kind| datum_bytes(*kind)).sum::<u64>() + RECORD_BYTES
}

/// The packed length of a usual value.
fn datum_bytes(kind: Kind) -> u64 {
    match kind {
        Kind::Bool => 1,
        Kind::Int | Kind::UInt | Kind::Float4 | Kind::Date => 5,
        Kind::Float8 | Kind::Time | Kind::Timestamp => 9,
        Kind::Numeric => 8,
        Kind::Uuid => 17,
        Kind::Interval => 32,
        Kind::Text | Kind::Bytes | Kind::Jsonb | Kind::Array | Kind::List | Kind::Map => VARYING_BYTES,
    }
}
