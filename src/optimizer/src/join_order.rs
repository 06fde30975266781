//! In which order a join's inputs meet, and by which keys.
//!
//! Greedy: start with the input that has most literal filters, then always add one that shares an equivalence with what is
//! joined already: filtered ones first, then those of which each row meets at most one, then those that are arranged by the
//! key already. A product comes last. Without statistics this is what one can know.

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
    let graph = Graph::new(inputs, equivalences);
    graph.order_from(graph.start(), arranged)
}

/// The orders that start with each of the inputs.
pub(crate) fn choose_all(
    inputs: &[Relation],
    equivalences: &[Vec<Scalar>],
    arranged: impl Fn(usize, &[Scalar]) -> bool,
) -> Vec<JoinOrder> {
    let graph = Graph::new(inputs, equivalences);
    (0..inputs.len()).map(|start| graph.order_from(start, &arranged)).collect()
}

struct Graph<'a> {
    inputs: &'a [Relation],
    equivalences: &'a [Vec<Scalar>],
    offsets: Vec<usize>,
    arities: Vec<usize>,
    keys: Vec<Vec<Vec<usize>>>,
    filtered: Vec<Filtered>,
}

/// How much smaller than what it reads an input is thought to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Filtered {
    /// Predicates that ask for a literal value.
    equalities: usize,
    /// All others but IS NOT NULL.
    others: usize,
}

impl Filtered {
    /// Counts the predicates right above what an input reads.
    fn of(relation: &Relation) -> Filtered {
        let mut filtered = Filtered::default();
        let mut node = relation;
        while let Relation::Project { input, .. } | Relation::Map { input, .. } | Relation::Filter { input, .. } = node
        {
            if let Relation::Filter { predicates, .. } = node {
                predicates.iter().for_each(|predicate| filtered.count(predicate));
            }
            node = input;
        }
        filtered
    }

    fn count(&mut self, predicate: &Scalar) {
        match predicate {
            Scalar::Not(inner) if matches!(**inner, Scalar::IsNull(_)) => {}
            Scalar::Call { func, args, .. } if func.key == "eq" && args.iter().any(Scalar::is_literal_ok) => {
                self.equalities += 1;
            }
            _ => self.others += 1,
        }
    }

    /// How good it is to join the input early: the kind of its best predicate.
    fn rank(self) -> usize {
        if self.equalities > 0 { 2 } else { self.others.min(1) }
    }
}

impl<'a> Graph<'a> {
    fn new(inputs: &'a [Relation], equivalences: &'a [Vec<Scalar>]) -> Graph<'a> {
        let types: Vec<_> = inputs.iter().map(Relation::typ).collect();
        let arities: Vec<usize> = types.iter().map(|typ| typ.columns.len()).collect();
        let filtered = inputs.iter().map(Filtered::of).collect();
        let keys = types.into_iter().map(|typ| typ.keys).collect();
        Graph { inputs, equivalences, offsets: offsets(&arities), arities, keys, filtered }
    }

    fn order_from(&self, start: usize, arranged: impl Fn(usize, &[Scalar]) -> bool) -> JoinOrder {
        let mut joined = BTreeSet::from([start]);
        let mut steps: Vec<Step> = Vec::new();
        while joined.len() < self.inputs.len() {
            let candidates = (0..self.inputs.len()).filter(|input| !joined.contains(input));
            let ranked = candidates.map(|input| {
                let step = self.step(&joined, input);
                let rank = (
                    step.lookup_key.len().min(1),
                    self.filtered[input].rank(),
                    self.is_unique(&step),
                    arranged(input, &step.lookup_key),
                    step.lookup_key.len(),
                );
                (rank, std::cmp::Reverse(input), step)
            });
            let best = ranked.max_by(|left, right| (&left.0, &left.1).cmp(&(&right.0, &right.1)));
            let (_, _, step) = best.expect("an input is left");
            joined.insert(step.input);
            steps.push(step);
        }
        let residual = self.residual(&steps);
        JoinOrder { start, steps, residual }
    }

    fn inputs_of(&self, scalar: &Scalar) -> BTreeSet<usize> {
        inputs_of(scalar, &self.offsets, &self.arities)
    }

    /// The input whose stream drives the join: filtered ones first, as they are likely the smallest.
    fn start(&self) -> usize {
        let rank = |input: &usize| (self.filtered[*input], std::cmp::Reverse(*input));
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
        self.keys[step.input].iter().any(|key| key.iter().all(|column| columns.contains(column)))
    }

    /// What is left of each class when the steps have enforced their keys: members are linked to the first one that a key
    /// has linked, or to the first of all.
    fn residual(&self, steps: &[Step]) -> Vec<(Scalar, Scalar)> {
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
