//! Joins: their order, which arrangements serve, and whether the join is a chain or a delta join.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use expr::{EvalError, Id, Mfp, MfpPlan, Relation, Scalar};
use protocol::plan::{JoinKind, JoinPlan, JoinStage, Node, Plan};
use repr::{CollectionId, Kind};

use super::{Lowering, Purpose};
use crate::join_order::{self, JoinOrder};

impl Lowering<'_> {
    pub(super) fn join(
        &mut self,
        inputs: &[Relation],
        equivalences: &[Vec<Scalar>],
        mfp: Mfp,
    ) -> Result<Node, EvalError> {
        let sides: Vec<Side> = inputs.iter().map(Side::new).collect();
        let arranged = |input: usize, key: &[Scalar]| self.index_for(&sides[input], key).is_some();
        let order = join_order::choose(inputs, equivalences, arranged);
        let last = order.start;
        let paths = self.delta_paths(inputs, equivalences, &sides);
        let is_delta = paths.is_some();
        let orders = paths.unwrap_or_else(|| vec![order]);

        // An input whose index serves is read bare, and its own MFP moves into the join's.
        let mut bare: BTreeMap<usize, BTreeMap<CollectionId, Vec<Scalar>>> = BTreeMap::new();
        for step in orders.iter().flat_map(|order| &order.steps) {
            if let Some((index, key)) = self.index_for(&sides[step.input], &step.lookup_key) {
                bare.entry(step.input).or_default().insert(index, key);
            }
        }
        let mut plans = Vec::with_capacity(inputs.len());
        let mut physical = Physical::default();
        for (input, side) in sides.iter().enumerate() {
            match bare.remove(&input) {
                Some(indexes) => {
                    plans.push(self.bare_get(side, indexes));
                    physical.push_mfp(&side.mfp);
                }
                None => {
                    plans.push(self.lower(&inputs[input])?);
                    physical.push_plain(inputs[input].kinds());
                }
            }
        }
        let mut stages: Vec<Vec<JoinStage>> = orders.iter().map(|order| physical.stages(order)).collect();
        let residual = orders.into_iter().flat_map(|order| order.residual).collect();
        let mfp = physical.mfp(&residual, mfp);
        MfpPlan::new(mfp.clone())?;
        let kind = match is_delta {
            true => JoinKind::Delta { paths: stages, last },
            false => JoinKind::Linear { start: last, stages: stages.remove(0) },
        };
        Ok(Node::Join(Box::new(JoinPlan { inputs: plans, kind, mfp })))
    }

    /// The orders of a delta join, if one is worth it: it keeps no intermediate results, but needs each input by more keys.
    ///
    /// Inside a recursion intermediate results are short-lived, and for a single answer a chain from the best start is better.
    fn delta_paths(&self, inputs: &[Relation], equivalences: &[Vec<Scalar>], sides: &[Side]) -> Option<Vec<JoinOrder>> {
        if inputs.len() < 3 || self.purpose == Purpose::OneOff || self.loops > 0 {
            return None;
        }
        let arranged = |input: usize, key: &[Scalar]| self.index_for(&sides[input], key).is_some();
        let orders = join_order::choose_all(inputs, equivalences, arranged);
        let steps = || orders.iter().flat_map(|order| &order.steps);
        // An error in a key of several inputs would be counted for combinations that no input has alone.
        let is_possible =
            steps().all(|step| !step.lookup_key.is_empty() && !step.stream_key.iter().any(Scalar::could_error));
        let made: BTreeSet<(usize, &[Scalar])> = steps()
            .filter(|step| !arranged(step.input, &step.lookup_key))
            .map(|step| (step.input, &step.lookup_key[..]))
            .collect();
        let intermediates = inputs.len() - 2;
        (is_possible && made.len() <= intermediates).then_some(orders)
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

    fn bare_get(&mut self, side: &Side, indexes: BTreeMap<CollectionId, Vec<Scalar>>) -> Plan {
        let id = side.base.expect("an index was found, so there is a base");
        let kinds = side.mfp.input_kinds.clone();
        let reads = self.imports.entry(id).or_default();
        reads.kinds.clone_from(&kinds);
        let key = indexes.values().next().cloned();
        reads.indexes.extend(indexes);
        let node = Node::Get { id, key, lookup: None, mfp: Mfp::identity(kinds.clone()) };
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
    fn stages(&self, order: &JoinOrder) -> Vec<JoinStage> {
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
    fn mfp(self, residual: &BTreeSet<(Scalar, Scalar)>, above: Mfp) -> Mfp {
        let mut predicates = self.predicates;
        let logical = Mfp::identity(self.kinds.clone());
        for (left, right) in residual {
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
