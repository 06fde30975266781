//! From an optimized relation to the physical plan: MFPs fused into the nodes below them, joins ordered, reductions split
//! by kind, imports collected.

use std::collections::{BTreeMap, BTreeSet};

use expr::{Aggregate, AggregateFunc, ColumnOrder, EvalError, Id, Mfp, MfpPlan, Relation, Scalar};
use protocol::plan::{JoinKind, JoinPlan, JoinStage, Node, Plan, ReducePlan};
use protocol::{Dataflow, Export, Import, Object};
use repr::{CollectionId, Kind, Timestamp};

use crate::Objects;
use crate::access::lookup;
use crate::join_order;

/// 16-way levels of a hierarchical reduction or TopK whose group size nobody has told: good for about a million rows.
const DEFAULT_LEVELS: u32 = 3;

/// Builds a dataflow of these objects, in order; its `as_of` is the least time, for the caller to set.
///
/// Errors: 0A000 where a temporal filter cannot be maintained, and for what has neither a shard nor an index to read.
pub fn lower(
    name: String,
    objects_to_build: Vec<(CollectionId, Relation)>,
    objects: &dyn Objects,
    exports: Vec<Export>,
) -> Result<Dataflow, EvalError> {
    let built = objects_to_build.iter().map(|(id, _)| *id).collect();
    let mut lowering = Lowering { objects, built, imports: BTreeMap::new(), next_id: 0 };
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
    built: BTreeSet<CollectionId>,
    imports: BTreeMap<CollectionId, Reads>,
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
                let values = values.iter().map(|value| self.lower(value)).collect::<Result<_, _>>()?;
                Node::LetRec { ids: ids.clone(), values, limit: *limit, body: Box::new(self.lower(body)?) }
            }
            Relation::TopK { input, group_key, order, limit, offset, monotonic, expected_group_size } => Node::TopK {
                input: Box::new(self.lower(input)?),
                group_key: group_key.clone(),
                order: Vec::<ColumnOrder>::clone(order),
                limit: *limit,
                offset: *offset,
                monotonic: *monotonic,
                // Without a limit a level would keep all rows: there is nothing to gain.
                levels: if limit.is_some() { levels(*expected_group_size) } else { 0 },
            },
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
        let indexes = self.objects.indexes(id);
        let found = indexes.into_iter().filter_map(|(index, key)| lookup(&key, &mfp).map(|keys| (index, key, keys)));
        match found.min_by_key(|(index, _, keys)| (keys.len(), *index)) {
            Some((index, key, keys)) => {
                reads.indexes.insert(index, key.clone());
                Node::Get { id, key: Some(key), lookup: Some(keys), mfp }
            }
            None => Node::Get { id, key: None, lookup: None, mfp },
        }
    }

    fn join(&mut self, inputs: &[Relation], equivalences: &[Vec<Scalar>], mfp: Mfp) -> Result<Node, EvalError> {
        let sides: Vec<Side> = inputs.iter().map(Side::new).collect();
        let arranged = |input: usize, key: &[Scalar]| self.index_for(&sides[input], key).is_some();
        let order = join_order::choose(inputs, equivalences, arranged);

        // An input whose index serves is read bare, and its own MFP moves into the join's.
        let mut bare: BTreeMap<usize, (CollectionId, Vec<Scalar>)> = BTreeMap::new();
        for step in &order.steps {
            bare.extend(self.index_for(&sides[step.input], &step.lookup_key).map(|index| (step.input, index)));
        }
        let mut plans = Vec::with_capacity(inputs.len());
        let mut physical = Physical::default();
        for (input, side) in sides.iter().enumerate() {
            match bare.remove(&input) {
                Some((index, key)) => {
                    plans.push(self.bare_get(side, index, key));
                    physical.push_mfp(&side.mfp);
                }
                None => {
                    plans.push(self.lower(&inputs[input])?);
                    physical.push_plain(inputs[input].kinds());
                }
            }
        }
        let stages = physical.stages(&order);
        let mfp = physical.mfp(&order, mfp);
        MfpPlan::new(mfp.clone())?;
        Ok(Node::Join(Box::new(JoinPlan { inputs: plans, kind: JoinKind::Linear { start: order.start, stages }, mfp })))
    }

    /// The index by which a side can be looked up by `key`, over the columns that it yields.
    fn index_for(&self, side: &Side, key: &[Scalar]) -> Option<(CollectionId, Vec<Scalar>)> {
        let id = side.base?;
        if key.is_empty() || self.built.contains(&id) {
            return None;
        }
        let key: Vec<Scalar> = key.iter().map(|scalar| side.over_base(scalar)).collect();
        self.objects.indexes(id).into_iter().find(|(_, indexed)| *indexed == key)
    }

    fn bare_get(&mut self, side: &Side, index: CollectionId, key: Vec<Scalar>) -> Plan {
        let id = side.base.expect("an index was found, so there is a base");
        let kinds = side.mfp.input_kinds.clone();
        let reads = self.imports.entry(id).or_default();
        reads.kinds.clone_from(&kinds);
        reads.indexes.insert(index, key.clone());
        let node = Node::Get { id, key: Some(key), lookup: None, mfp: Mfp::identity(kinds.clone()) };
        self.plan(kinds, node)
    }
}

/// An input of a join as an MFP over a stored collection, if it is that.
struct Side {
    base: Option<CollectionId>,
    mfp: Mfp,
}

impl Side {
    fn new(relation: &Relation) -> Side {
        let (mut mfp, base) = Mfp::extract_from_relation(relation);
        mfp.optimize();
        let base = match base {
            // In the join's MFP a failing expression would fail for fewer rows, and a temporal filter could not be fused.
            Relation::Get { id: Id::Global(id), .. } if !mfp.could_error() && !mfp.contains_temporal() => Some(*id),
            _ => None,
        };
        Side { base, mfp }
    }

    /// An expression over the yielded columns as one over the base's columns.
    fn over_base(&self, scalar: &Scalar) -> Scalar {
        let mut scalar = scalar.clone();
        scalar.substitute(&outputs(&self.mfp));
        scalar
    }
}

/// The output columns of an MFP as expressions over its input.
fn outputs(mfp: &Mfp) -> Vec<Scalar> {
    let mut columns: Vec<Scalar> = (0..mfp.input_arity()).map(Scalar::Column).collect();
    for expression in &mfp.expressions {
        let mut expanded = expression.clone();
        expanded.substitute(&columns);
        columns.push(expanded);
    }
    mfp.projection.iter().map(|column| columns[*column].clone()).collect()
}

/// The columns of a join as they really are: those of bare inputs instead of what their MFPs would yield.
#[derive(Default)]
struct Physical {
    kinds: Vec<Kind>,
    /// For each input the position of its first column, and how many there are.
    inputs: Vec<(usize, usize)>,
    /// Each column of the relational join, over the physical ones.
    logical: Vec<Scalar>,
    predicates: Vec<Scalar>,
    logical_offsets: Vec<usize>,
}

impl Physical {
    fn push_plain(&mut self, kinds: Vec<Kind>) {
        let mfp = Mfp::identity(kinds);
        self.push_mfp(&mfp);
    }

    fn push_mfp(&mut self, mfp: &Mfp) {
        let offset = self.kinds.len();
        self.inputs.push((offset, mfp.input_arity()));
        self.logical_offsets.push(self.logical.len());
        let shift = |mut scalar: Scalar| {
            scalar.permute_by(|column| column + offset);
            scalar
        };
        let mut columns: Vec<Scalar> = (0..mfp.input_arity()).map(Scalar::Column).collect();
        for expression in &mfp.expressions {
            let mut expanded = expression.clone();
            expanded.substitute(&columns);
            columns.push(expanded);
        }
        for predicate in &mfp.predicates {
            let mut expanded = predicate.clone();
            expanded.substitute(&columns);
            self.predicates.push(shift(expanded));
        }
        self.logical.extend(outputs(mfp).into_iter().map(shift));
        self.kinds.extend_from_slice(&mfp.input_kinds);
    }

    /// The steps over physical columns; stream keys see the inputs in the order in which they are joined.
    fn stages(&self, order: &join_order::JoinOrder) -> Vec<JoinStage> {
        let mut joined_position = vec![usize::MAX; self.kinds.len()];
        let mut next = 0;
        let mut place = |input: usize, joined_position: &mut Vec<usize>| {
            let (offset, arity) = self.inputs[input];
            for position in &mut joined_position[offset..offset + arity] {
                *position = next;
                next += 1;
            }
        };
        place(order.start, &mut joined_position);
        let mut stages = Vec::with_capacity(order.steps.len());
        for step in &order.steps {
            let (offset, _) = self.inputs[step.input];
            let lookup_key = step.lookup_key.iter().map(|scalar| {
                let mut scalar = scalar.clone();
                scalar.permute_by(|column| column + self.logical_offsets[step.input]);
                scalar.substitute(&self.logical);
                scalar.permute_by(|column| column - offset);
                scalar
            });
            let stream_key = step.stream_key.iter().map(|scalar| {
                let mut scalar = scalar.clone();
                scalar.substitute(&self.logical);
                scalar.permute(&joined_position);
                scalar
            });
            stages.push(JoinStage {
                input: step.input,
                lookup_key: lookup_key.collect(),
                stream_key: stream_key.collect(),
            });
            place(step.input, &mut joined_position);
        }
        stages
    }

    /// What is left of the join's condition and of the bare inputs' MFPs, then the MFP above the join.
    fn mfp(self, order: &join_order::JoinOrder, above: Mfp) -> Mfp {
        let mut predicates = self.predicates;
        let logical = Mfp::identity(self.kinds.clone());
        for (left, right) in &order.residual {
            let mut same = null_safe_equality(left.clone(), right.clone());
            same.substitute(&self.logical);
            predicates.push(same);
        }
        let arity = self.kinds.len();
        let count = self.logical.len();
        let mut mfp = logical.filter(predicates).map(self.logical).project(arity..arity + count).then(above);
        mfp.optimize();
        mfp
    }
}

/// Equal by bytes, NULL equal to NULL: what a join's equivalence means.
fn null_safe_equality(left: Scalar, right: Scalar) -> Scalar {
    let func = expr::func::by_key("is_distinct").expect("the table has it");
    // The types only tell intervals apart, which join by their key already.
    let typ = repr::ScalarType::Bytes;
    Scalar::call(func, vec![left, right], vec![typ.clone(), typ], repr::ScalarType::Bool).not()
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
