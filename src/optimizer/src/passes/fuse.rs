//! Joins neighbours of one kind into one node, and removes nodes that do nothing.

use expr::{Relation, Scalar};

pub(crate) fn fuse(relation: &mut Relation) {
    relation.visit_mut_post(&mut fuse_node);
}

fn fuse_node(node: &mut Relation) {
    match node {
        Relation::Project { .. } | Relation::Map { .. } | Relation::Filter { .. } => fuse_chain(node),
        Relation::Negate { input } => {
            if let Relation::Negate { input: inner } = &mut **input {
                *node = inner.take_dangerous();
            }
        }
        Relation::Union { inputs } if inputs.iter().any(|input| matches!(input, Relation::Union { .. })) => {
            let flat = std::mem::take(inputs).into_iter().flat_map(|input| match input {
                Relation::Union { inputs } => inputs,
                other => vec![other],
            });
            *inputs = flat.collect();
        }
        Relation::Join { .. } => fuse_join(node),
        _ => {}
    }
}

fn fuse_chain(node: &mut Relation) {
    match node {
        Relation::Project { input, outputs } => {
            if let Relation::Project { input: inner, outputs: inner_outputs } = &mut **input {
                let outputs = outputs.iter().map(|output| inner_outputs[*output]).collect();
                *node = inner.take_dangerous().project(outputs);
                fuse_chain(node);
            } else if outputs.iter().copied().eq(0..input.arity()) {
                *node = input.take_dangerous();
            }
        }
        Relation::Map { input, scalars } => {
            if scalars.is_empty() {
                *node = input.take_dangerous();
            } else if let Relation::Map { input: inner, scalars: inner_scalars } = &mut **input {
                let mut all = std::mem::take(inner_scalars);
                all.append(scalars);
                *node = inner.take_dangerous().map(all);
            }
        }
        Relation::Filter { input, predicates } => {
            split_conjunctions(predicates);
            predicates.retain(|predicate| !predicate.is_literal_true());
            if predicates.is_empty() {
                *node = input.take_dangerous();
            } else if let Relation::Filter { input: inner, predicates: inner_predicates } = &mut **input {
                // The inner filter's predicates come first, as they were written first.
                let mut all = std::mem::take(inner_predicates);
                all.append(predicates);
                *node = inner.take_dangerous().filter(all);
            }
        }
        _ => {}
    }
}

fn split_conjunctions(predicates: &mut Vec<Scalar>) {
    while let Some(index) = predicates.iter().position(|predicate| matches!(predicate, Scalar::And(_))) {
        if let Scalar::And(parts) = predicates.remove(index) {
            predicates.splice(index..index, parts);
        }
    }
    // Repetition is harmless, and the first occurrence keeps its place.
    let mut seen = Vec::new();
    predicates.retain(|predicate| {
        let new = !seen.contains(predicate);
        if new {
            seen.push(predicate.clone());
        }
        new
    });
}

/// Makes a join of joins one join, so that its order can be chosen freely.
fn fuse_join(node: &mut Relation) {
    let Relation::Join { inputs, equivalences, .. } = node else { return };
    if inputs.len() == 1 && equivalences.is_empty() {
        *node = inputs.remove(0);
        return;
    }
    let is_join = |input: &Relation| matches!(input, Relation::Join { .. });
    // A row without columns, once, adds nothing to a product.
    let is_unit = |input: &Relation| {
        matches!(input, Relation::Constant { rows: Ok(rows), typ }
            if typ.arity() == 0 && rows.len() == 1 && rows[0].1 == repr::Diff::ONE)
    };
    if inputs.len() > 1 && inputs.iter().any(|input| is_join(input) || is_unit(input)) {
        let mut flat = Vec::new();
        let mut offset = 0;
        let mut classes = std::mem::take(equivalences);
        for input in std::mem::take(inputs) {
            let arity = input.arity();
            match input {
                Relation::Join { inputs: inner, equivalences: mut inner_classes, .. } => {
                    for scalar in inner_classes.iter_mut().flatten() {
                        scalar.permute_by(|column| column + offset);
                    }
                    classes.append(&mut inner_classes);
                    flat.extend(inner);
                }
                unit if is_unit(&unit) => {}
                other => flat.push(other),
            }
            offset += arity;
        }
        if flat.is_empty() {
            flat.push(Relation::unit());
        }
        *node = Relation::join(flat, classes);
        fuse_join(node);
    }
}
