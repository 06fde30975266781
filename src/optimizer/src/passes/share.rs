//! Common subexpressions: what is computed twice is computed once and bound to a name.
//!
//! The relation is taken apart into nodes whose inputs are names; equal nodes get one name, and existing bindings dissolve.
//! Then it is put together again: a node that is read once, or costs next to nothing, stands where it is read, the others are
//! bound, each before its readers.
//!
//! A recursion is left as it is: what is inside may mean something else in each round. It comes last, since bindings stop
//! other passes.

use std::collections::BTreeMap;

use expr::{Id, LocalId, Relation};

pub(crate) fn share(relation: &mut Relation) {
    let mut nodes = Nodes { first: 0, nodes: Vec::new(), known: BTreeMap::new(), reads: Vec::new() };
    // Names inside recursions stay, so the new ones are others.
    relation.visit_pre(&mut |node| match node {
        Relation::Let { id, .. } => nodes.first = nodes.first.max(id.0 + 1),
        Relation::LetRec { ids, .. } => nodes.first = ids.iter().fold(nodes.first, |next, id| next.max(id.0 + 1)),
        _ => {}
    });
    let root = nodes.take_apart(relation.take_dangerous(), &BTreeMap::new());
    nodes.reads[root] += 1;
    *relation = nodes.put_together(root);
}

struct Nodes {
    /// The name of the first node; the others follow.
    first: u64,
    nodes: Vec<Relation>,
    known: BTreeMap<Relation, usize>,
    /// How often each node is read.
    reads: Vec<usize>,
}

impl Nodes {
    fn name(&self, place: usize) -> LocalId {
        LocalId(self.first + place as u64)
    }

    /// The place of the node that a Get reads, if it is one of ours.
    fn place_of(&self, relation: &Relation) -> Option<usize> {
        match relation {
            Relation::Get { id: Id::Local(id), .. } => {
                let place = usize::try_from(id.0.checked_sub(self.first)?).ok()?;
                (place < self.nodes.len()).then_some(place)
            }
            _ => None,
        }
    }

    fn get(&self, place: usize) -> Relation {
        Relation::get_local(self.name(place), self.nodes[place].typ())
    }

    /// Adds a relation, in which `bound` are the places of what bindings around it hold, and returns its place.
    fn take_apart(&mut self, relation: Relation, bound: &BTreeMap<LocalId, usize>) -> usize {
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || match relation {
            Relation::Let { id, value, body } => {
                let value = self.take_apart(*value, bound);
                let mut bound = bound.clone();
                bound.insert(id, value);
                self.take_apart(*body, &bound)
            }
            Relation::Get { id: Id::Local(id), .. } if bound.contains_key(&id) => bound[&id],
            mut recursion @ Relation::LetRec { .. } => {
                recursion.visit_mut_pre(&mut |node| {
                    if let Relation::Get { id: Id::Local(id), .. } = node
                        && let Some(place) = bound.get(id)
                    {
                        // It is read in each round, so it stays bound.
                        self.reads[*place] += 2;
                        *node = self.get(*place);
                    }
                });
                self.add(recursion)
            }
            mut other => {
                for child in other.children_mut() {
                    let place = self.take_apart(child.take_dangerous(), bound);
                    *child = self.get(place);
                }
                self.add(other)
            }
        })
    }

    fn add(&mut self, node: Relation) -> usize {
        if let Some(place) = self.known.get(&node) {
            return *place;
        }
        if !matches!(node, Relation::LetRec { .. }) {
            for child in node.children() {
                if let Some(place) = self.place_of(child) {
                    self.reads[place] += 1;
                }
            }
        }
        let place = self.nodes.len();
        self.known.insert(node.clone(), place);
        self.nodes.push(node);
        self.reads.push(0);
        place
    }

    /// Whether a node is cheaper to make twice than to keep: reads, and what is done row by row to them.
    fn is_cheap(&self, place: usize) -> bool {
        match &self.nodes[place] {
            Relation::Get { .. } | Relation::Constant { .. } => true,
            Relation::Project { input, .. }
            | Relation::Map { input, .. }
            | Relation::Filter { input, .. }
            | Relation::Negate { input } => {
                // What is read twice is bound, if it is not cheap itself.
                self.place_of(input).is_none_or(|input| self.reads[input] > 1 || self.is_cheap(input))
            }
            _ => false,
        }
    }

    fn is_bound(&self, place: usize) -> bool {
        self.reads[place] > 1 && !self.is_cheap(place)
    }

    fn put_together(&self, root: usize) -> Relation {
        let mut body = self.inlined(self.nodes[root].clone());
        for place in (0..self.nodes.len()).rev() {
            if place != root && self.is_bound(place) {
                body = self.inlined(self.nodes[place].clone()).let_in(self.name(place), body);
            }
        }
        body
    }

    /// A node with its unbound inputs in their places.
    fn inlined(&self, mut node: Relation) -> Relation {
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || {
            if matches!(node, Relation::LetRec { .. }) {
                node.visit_mut_pre(&mut |inner| self.inline_get(inner));
                return node;
            }
            node.children_mut().into_iter().for_each(|child| self.inline_get(child));
            node
        })
    }

    fn inline_get(&self, relation: &mut Relation) {
        if let Some(place) = self.place_of(relation)
            && !self.is_bound(place)
        {
            *relation = self.inlined(self.nodes[place].clone());
        }
    }
}
