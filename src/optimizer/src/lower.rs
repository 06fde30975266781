//! From an optimized relation to the physical plan: MFPs fused into the nodes below them, joins ordered, reductions split
//! by kind, imports collected. Joins are in `lower::join`.

mod join;

use std::collections::{BTreeMap, BTreeSet};

use expr::{Aggregate, AggregateFunc, ColumnOrder, EvalError, Id, Mfp, MfpPlan, Relation, Scalar};
use protocol::plan::{Node, Plan, ReducePlan};
use protocol::{Dataflow, Export, Import, Object};
use repr::{CollectionId, Kind, Timestamp};

use crate::Objects;
use crate::access::{Found, best_lookup};

/// 16-way levels of a hierarchical reduction or TopK whose group size nobody has told: good for about a million rows.
const DEFAULT_LEVELS: u32 = 3;

/// Rows of a group, offset included, that a TopK of what only grows keeps in order: each that comes is compared with them.
const MONOTONIC_ROWS_MAX: u64 = 64;

/// What a dataflow is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It answers one query, then goes: what counts is the way to the first answer.
    OneOff,
    /// It stays: what counts is what a change costs, and what is kept in memory.
    Maintained,
}

/// Builds a dataflow of these objects, in order; its `as_of` is the least time, for the caller to set.
///
/// Errors: 0A000 where a temporal filter cannot be maintained, and for what has neither a shard nor an index to read.
pub fn lower(
    name: String,
    purpose: Purpose,
    objects_to_build: Vec<(CollectionId, Relation)>,
    objects: &dyn Objects,
    exports: Vec<Export>,
) -> Result<Dataflow, EvalError> {
    let built = objects_to_build.iter().map(|(id, _)| *id).collect();
    let mut lowering = Lowering { objects, purpose, built, imports: BTreeMap::new(), loops: 0, next_id: 0 };
    let mut plans = Vec::with_capacity(objects_to_build.len());
    for (id, relation) in objects_to_build {
        plans.push(Object { id, plan: lowering.lower(&relation)? });
    }
    Ok(Dataflow { name, imports: lowering.imports()?, objects: plans, exports, as_of: Timestamp::MIN, until: None })
}

/// How an imported collection is read.
#[derive(Default)]
struct Reads {
    kinds: Vec<Kind>,
    /// Indexes whose arrangement is used, with their keys.
    indexes: BTreeMap<CollectionId, Vec<Scalar>>,
}

struct Lowering<'a> {
    objects: &'a dyn Objects,
    purpose: Purpose,
    built: BTreeSet<CollectionId>,
    imports: BTreeMap<CollectionId, Reads>,
    /// Recursions that are open around the node that is lowered.
    loops: usize,
    next_id: u64,
}

impl Lowering<'_> {
    /// Indexes that are used; else any index, whose rows are in memory already; else the shard.
    fn imports(&self) -> Result<Vec<Import>, EvalError> {
        let mut imports = Vec::new();
        for (id, reads) in &self.imports {
            let import_index = |index: &CollectionId, key: &Vec<Scalar>| Import::Index {
                index: *index,
                on: *id,
                key: key.clone(),
                kinds: reads.kinds.clone(),
            };
            if !reads.indexes.is_empty() {
                imports.extend(reads.indexes.iter().map(|(index, key)| import_index(index, key)));
            } else if let Some((index, key)) = self.objects.indexes(*id).first() {
                imports.push(import_index(index, key));
            } else if let Some(shard) = self.objects.shard(*id) {
                imports.push(Import::Shard { id: *id, shard, kinds: reads.kinds.clone() });
            } else {
                return Err(EvalError::new("0A000", "maintaining a query over the system catalog is not supported"));
            }
        }
        Ok(imports)
    }

    fn plan(&mut self, kinds: Vec<Kind>, node: Node) -> Plan {
        let id = self.next_id;
        self.next_id += 1;
        Plan { id, kinds, node }
    }

    fn lower(&mut self, relation: &Relation) -> Result<Plan, EvalError> {
        stacker::maybe_grow(128 * 1024, 1024 * 1024, || {
            let (mut mfp, base) = Mfp::extract_from_relation(relation);
            mfp.optimize();
            // Refuses what no MFP can do, while the user still listens.
            MfpPlan::new(mfp.clone())?;
            self.lower_node(base, mfp, relation.kinds())
        })
    }

    /// Lowers `node` with `mfp` on top of it, which yields `kinds`.
    fn lower_node(&mut self, node: &Relation, mfp: Mfp, kinds: Vec<Kind>) -> Result<Plan, EvalError> {
        let lowered = match node {
            Relation::Get { id: Id::Global(id), .. } => self.get(*id, node.kinds(), mfp),
            Relation::Get { id: Id::Local(id), .. } => Node::GetLocal { id: *id, mfp },
            Relation::FlatMap { input, func, exprs } => {
                Node::FlatMap { input: Box::new(self.lower(input)?), func: func.clone(), exprs: exprs.clone(), mfp }
            }
            Relation::Join { inputs, equivalences, .. } => self.join(inputs, equivalences, mfp)?,
            Relation::Reduce { input, group_key, aggregates, monotonic, expected_group_size } => Node::Reduce {
                input: Box::new(self.lower(input)?),
                key: group_key.clone(),
                plan: reduce_plan(aggregates, *monotonic, levels(*expected_group_size)),
                mfp,
            },
            other => {
                let plan = self.lower_plain(other)?;
                if mfp.is_identity() {
                    return Ok(plan);
                }
                Node::Mfp { input: Box::new(plan), mfp }
            }
        };
        Ok(self.plan(kinds, lowered))
    }

    /// Nodes that take no MFP of their own.
    fn lower_plain(&mut self, node: &Relation) -> Result<Plan, EvalError> {
        let lowered = match node {
            Relation::Constant { rows, .. } => Node::Constant { rows: rows.clone() },
            Relation::Let { id, value, body } => {
                Node::Let { id: *id, value: Box::new(self.lower(value)?), body: Box::new(self.lower(body)?) }
            }
            Relation::LetRec { ids, values, limit, body } => {
                self.loops += 1;
                let values: Result<_, _> = values.iter().map(|value| self.lower(value)).collect();
                self.loops -= 1;
                let values = values?;
                Node::LetRec { ids: ids.clone(), values, limit: *limit, body: Box::new(self.lower(body)?) }
            }
            Relation::TopK { input, group_key, order, limit, offset, monotonic, expected_group_size } => {
                let is_short = limit.is_some_and(|limit| limit.saturating_add(*offset) <= MONOTONIC_ROWS_MAX);
                Node::TopK {
                    input: Box::new(self.lower(input)?),
                    group_key: group_key.clone(),
                    order: Vec::<ColumnOrder>::clone(order),
                    limit: *limit,
                    offset: *offset,
                    monotonic: *monotonic && is_short,
                    // Without a limit a level would keep all rows: there is nothing to gain.
                    levels: if limit.is_some() { levels(*expected_group_size) } else { 0 },
                }
            }
            Relation::Negate { input } => Node::Negate { input: Box::new(self.lower(input)?) },
            Relation::Threshold { input } => Node::Threshold { input: Box::new(self.lower(input)?) },
            Relation::Union { inputs } => {
                Node::Union { inputs: inputs.iter().map(|input| self.lower(input)).collect::<Result<_, _>>()? }
            }
            Relation::ArrangeBy { input, keys } => {
                Node::ArrangeBy { input: Box::new(self.lower(input)?), keys: keys.clone() }
            }
            other => unreachable!("lowered with its MFP: {}", other.pretty()),
        };
        Ok(self.plan(node.kinds(), lowered))
    }

    fn get(&mut self, id: CollectionId, kinds: Vec<Kind>, mfp: Mfp) -> Node {
        if self.built.contains(&id) {
            return Node::Get { id, key: None, lookup: None, mfp };
        }
        let reads = self.imports.entry(id).or_default();
        reads.kinds = kinds;
        match best_lookup(self.objects.indexes(id), &mfp) {
            Some(Found { index, key, lookup, .. }) => {
                reads.indexes.insert(index, key.clone());
                Node::Get { id, key: Some(key), lookup: Some(lookup), mfp }
            }
            None => Node::Get { id, key: None, lookup: None, mfp },
        }
    }
}

fn levels(expected_group_size: Option<u64>) -> u32 {
    match expected_group_size {
        None => DEFAULT_LEVELS,
        Some(size) => {
            let mut levels = 0;
            while 16_u64.saturating_pow(levels + 1) < size && levels < 15 {
                levels += 1;
            }
            levels
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AggregateKind {
    Accumulable,
    Hierarchical,
    Basic,
}

fn kind(aggregate: &Aggregate) -> AggregateKind {
    match &aggregate.func {
        AggregateFunc::Min | AggregateFunc::Max => AggregateKind::Hierarchical,
        func if func.is_accumulable() => AggregateKind::Accumulable,
        _ => AggregateKind::Basic,
    }
}

fn reduce_plan(aggregates: &[Aggregate], monotonic: bool, levels: u32) -> ReducePlan {
    let mut by_kind: BTreeMap<AggregateKind, (Vec<Aggregate>, Vec<usize>)> = BTreeMap::new();
    for (index, aggregate) in aggregates.iter().enumerate() {
        let part = by_kind.entry(kind(aggregate)).or_default();
        part.0.push(aggregate.clone());
        part.1.push(index);
    }
    let mut parts: Vec<(ReducePlan, Vec<usize>)> = by_kind
        .into_iter()
        .map(|(kind, (aggregates, places))| {
            let plan = match kind {
                AggregateKind::Accumulable => ReducePlan::Accumulable { aggregates },
                AggregateKind::Hierarchical => ReducePlan::Hierarchical { aggregates, monotonic, levels },
                AggregateKind::Basic => ReducePlan::Basic { aggregates },
            };
            (plan, places)
        })
        .collect();
    match parts.len() {
        0 => ReducePlan::Distinct,
        1 => parts.remove(0).0,
        _ => ReducePlan::Collation { parts },
    }
}
