//! In which order a join's inputs meet, and by which keys.
//!
//! Greedy: start with the input that has most literal filters or most to offer as a stream, then always add the input that
//! shares most equivalences with what is joined already, preferring one whose key is unique or already arranged. A product
//! comes last. Reference: selectivity-free ordering is what one can do without statistics.

use std::collections::BTreeSet;

use expr::{Relation, Scalar};

use crate::passes::predicates::{inputs_of, offsets};

/// One input's place in the order.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) input: usize,
    /// Over the input's own columns: what it is arranged by.
    pub(crate) lookup_key: Vec<Scalar>,
    /// Over the join's columns, those of inputs joined before: what must equal it.
    pub(crate) stream_key: Vec<Scalar>,
}

/// A start, then one step for each further input; and the equalities that no step has enforced.
#[derive(Clone, Debug)]
pub(crate) struct JoinOrder {
    pub(crate) start: usize,
    pub(crate) steps: Vec<Step>,
    /// Pairs over the join's columns that must be equal by bytes, NULL equal to NULL.
    pub(crate) residual: Vec<(Scalar, Scalar)>,
}

/// `arranged(input, key)`: whether an arrangement of this input by this key exists already.
pub(crate) fn choose(
    inputs: &[Relation],
    equivalences: &[Vec<Scalar>],
    arranged: impl Fn(usize, &[Scalar]) -> bool,
) -> JoinOrder {
    let arities: Vec<usize> = inputs.iter().map(Relation::arity).collect();
    let graph = Graph { inputs, equivalences, offsets: offsets(&arities), arities };
    let start = graph.start();
    let mut joined = BTreeSet::from([start]);
    let mut steps: Vec<Step> = Vec::new();
    while joined.len() < inputs.len() {
        let candidates = (0..inputs.len()).filter(|input| !joined.contains(input));
        let ranked = candidates.map(|input| {
            let step = graph.step(&joined, input);
            let rank = (
                step.lookup_key.len().min(1),
                arranged(input, &step.lookup_key),
                graph.is_unique(&step),
                step.lookup_key.len(),
            );
            (rank, std::cmp::Reverse(input), step)
        });
        let best = ranked.max_by(|left, right| (&left.0, &left.1).cmp(&(&right.0, &right.1)));
        let (_, _, step) = best.expect("an input is left");
        joined.insert(step.input);
        steps.push(step);
    }
    let residual = graph.residual(start, &steps);
    JoinOrder { start, steps, residual }
}

struct Graph<'a> {
    inputs: &'a [Relation],
    equivalences: &'a [Vec<Scalar>],
    offsets: Vec<usize>,
    arities: Vec<usize>,
}

impl Graph<'_> {
    fn inputs_of(&self, scalar: &Scalar) -> BTreeSet<usize> {
        inputs_of(scalar, &self.offsets, &self.arities)
    }

    /// The input whose stream drives the join: filtered ones first, as they are likely the smallest.
    fn start(&self) -> usize {
        let filters = |relation: &Relation| {
            let mut count = 0_usize;
            let mut node = relation;
            while let Relation::Project { input, .. } | Relation::Map { input, .. } | Relation::Filter { input, .. } =
                node
            {
                if let Relation::Filter { predicates, .. } = node {
                    count += predicates
                        .iter()
                        .filter(|p| !matches!(p, Scalar::Not(inner) if matches!(**inner, Scalar::IsNull(_))))
                        .count();
                }
                node = input;
            }
            count
        };
        let rank = |input: &usize| (filters(&self.inputs[*input]), std::cmp::Reverse(*input));
        (0..self.inputs.len()).max_by_key(rank).unwrap_or(0)
    }

    /// The keys by which `input` meets what is joined already.
    fn step(&self, joined: &BTreeSet<usize>, input: usize) -> Step {
        let mut step = Step { input, lookup_key: Vec::new(), stream_key: Vec::new() };
        for class in self.equivalences {
            let own = class.iter().find(|scalar| self.inputs_of(scalar) == BTreeSet::from([input]));
            let bound = class.iter().find(|scalar| self.inputs_of(scalar).is_subset(joined));
            if let (Some(own), Some(bound)) = (own, bound) {
                let mut local = own.clone();
                local.permute_by(|column| column - self.offsets[input]);
                step.lookup_key.push(local);
                step.stream_key.push(bound.clone());
            }
        }
        step
    }

    fn is_unique(&self, step: &Step) -> bool {
        let columns: Vec<usize> = step
            .lookup_key
            .iter()
            .filter_map(|scalar| match scalar {
                Scalar::Column(column) => Some(*column),
                _ => None,
            })
            .collect();
        self.inputs[step.input].typ().keys.iter().any(|key| key.iter().all(|column| columns.contains(column)))
    }

    /// What is left of each class when the steps have enforced their keys: members are linked to the first one that a key
    /// has linked, or to the first of all.
    fn residual(&self, start: usize, steps: &[Step]) -> Vec<(Scalar, Scalar)> {
        let _ = start;
        let mut enforced: BTreeSet<(Scalar, Scalar)> = BTreeSet::new();
        for step in steps {
            for (own, bound) in step.lookup_key.iter().zip(&step.stream_key) {
                let mut own = own.clone();
                own.permute_by(|column| column + self.offsets[step.input]);
                enforced.insert((own, bound.clone()));
            }
        }
        let mut residual = Vec::new();
        for class in self.equivalences {
            // Union-find in the small: each member starts alone, enforced pairs join their groups.
            let mut group: Vec<usize> = (0..class.len()).collect();
            let link = |left: usize, right: usize, group: &mut Vec<usize>| {
                let (from, to) = (group[left], group[right]);
                group.iter_mut().for_each(|entry| {
                    if *entry == from {
                        *entry = to;
                    }
                });
            };
            for (left, first) in class.iter().enumerate() {
                for (right, second) in class.iter().enumerate() {
                    if enforced.contains(&(first.clone(), second.clone())) {
                        link(left, right, &mut group);
                    }
                }
            }
            for index in 1..class.len() {
                if group[index] != group[0] {
                    residual.push((class[0].clone(), class[index].clone()));
                    link(index, 0, &mut group);
                }
            }
        }
        residual
    }
}
