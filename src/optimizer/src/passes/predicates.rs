//! Moves predicates toward the data they look at, and makes equalities of a join's inputs its equivalences.
//!
//! A fallible predicate moves only where no row can be lost on the way: through Project, Map, Union, Negate.
//!
//! On the way more is found: what all branches of an OR ask for is asked for beside it; what each branch asks of one input of
//! a join is asked of that input; and what is asked of a column is asked of those that equal it.

use std::collections::BTreeSet;

use expr::{Relation, Scalar};
use repr::ColumnType;

use super::disjunction;

pub(crate) fn push_down(relation: &mut Relation) {
    relation.visit_mut_pre(&mut push_filter);
    relation.visit_mut_post(&mut merge_classes);
}

fn push_filter(node: &mut Relation) {
    let Relation::Filter { input, predicates } = node else { return };
    let predicates = std::mem::take(predicates).into_iter().flat_map(disjunction::factor).collect::<Vec<_>>();
    let mut input = input.take_dangerous();
    let kept = match &mut input {
        Relation::Filter { predicates: inner, .. } => {
            inner.extend(predicates);
            Vec::new()
        }
        Relation::Project { input: below, outputs } => {
            let moved = predicates.into_iter().map(|mut predicate| {
                predicate.permute(outputs);
                predicate
            });
            add_filter(below, moved.collect());
            Vec::new()
        }
        Relation::Map { input: below, scalars } => push_through_map(below, scalars, predicates),
        Relation::Union { inputs } => {
            inputs.iter_mut().for_each(|branch| add_filter(branch, predicates.clone()));
            Vec::new()
        }
        Relation::Negate { input: below } => {
            add_filter(below, predicates);
            Vec::new()
        }
        Relation::Threshold { input: below } => push_some(below, predicates, |predicate| !predicate.could_error()),
        Relation::FlatMap { input: below, .. } => {
            let arity = below.arity();
            push_some(below, predicates, |p| !p.could_error() && p.support().iter().all(|column| *column < arity))
        }
        Relation::TopK { input: below, group_key, .. } => {
            let group_key = group_key.clone();
            push_some(below, predicates, |p| {
                !p.could_error()
                    && !p.support().is_empty()
                    && p.support().iter().all(|column| group_key.contains(column))
            })
        }
        Relation::Reduce { input: below, group_key, .. } => push_through_reduce(below, group_key, predicates),
        Relation::Let { body, .. } => {
            add_filter(body, predicates);
            Vec::new()
        }
        Relation::Join { inputs, equivalences, .. } => push_into_join(inputs, equivalences, predicates),
        _ => predicates,
    };
    *node = if kept.is_empty() { input } else { input.filter(kept) };
    // What was moved may move on; the walk visits the children next, and this node if it is now another.
    if !matches!(node, Relation::Filter { .. }) {
        push_filter_again(node);
    }
}

/// The node that took the filter's place may itself be a filter's parent; its children are visited by the walk.
fn push_filter_again(node: &mut Relation) {
    if let Relation::Filter { .. } = node {
        push_filter(node);
    }
}

fn add_filter(relation: &mut Relation, predicates: Vec<Scalar>) {
    if !predicates.is_empty() {
        *relation = relation.take_dangerous().filter(predicates);
    }
}

/// Moves the predicates that `movable` admits below, and returns the others.
fn push_some(below: &mut Relation, predicates: Vec<Scalar>, movable: impl Fn(&Scalar) -> bool) -> Vec<Scalar> {
    let (moved, kept) = predicates.into_iter().partition(|predicate| movable(predicate));
    add_filter(below, moved);
    kept
}

/// A predicate on mapped columns moves if it needs none of them, or if those it needs are cheap and cannot fail.
fn push_through_map(below: &mut Relation, scalars: &[Scalar], predicates: Vec<Scalar>) -> Vec<Scalar> {
    let arity = below.arity();
    let mut replacements: Vec<Scalar> = (0..arity).map(Scalar::Column).collect();
    for scalar in scalars {
        let mut expanded = scalar.clone();
        expanded.substitute(&replacements);
        replacements.push(expanded);
    }
    // An error of a mapped column would be lost with the rows that a moved predicate drops. That is allowed only for
    // errors that nobody sees: so nothing fallible may stand in the map, unless the predicate stays.
    let map_fails = scalars.iter().any(Scalar::could_error);
    let mut moved = Vec::new();
    let mut kept = Vec::new();
    for predicate in predicates {
        let mut expanded = predicate.clone();
        expanded.substitute(&replacements);
        let small = expanded.size() <= predicate.size() + 16;
        if small && !map_fails && !expanded.could_error() {
            moved.push(expanded);
        } else {
            kept.push(predicate);
        }
    }
    add_filter(below, moved);
    kept
}

fn push_through_reduce(below: &mut Relation, group_key: &[Scalar], predicates: Vec<Scalar>) -> Vec<Scalar> {
    let mut moved = Vec::new();
    let mut kept = Vec::new();
    for predicate in predicates {
        let support = predicate.support();
        let on_keys = !support.is_empty() && support.iter().all(|column| *column < group_key.len());
        let keys_fail = group_key.iter().any(Scalar::could_error);
        if on_keys && !keys_fail && !predicate.could_error() {
            let mut expanded = predicate;
            expanded.substitute(group_key);
            moved.push(expanded);
        } else {
            kept.push(predicate);
        }
    }
    add_filter(below, moved);
    kept
}

fn push_into_join(
    inputs: &mut [Relation],
    equivalences: &mut Vec<Vec<Scalar>>,
    predicates: Vec<Scalar>,
) -> Vec<Scalar> {
    let arities: Vec<usize> = inputs.iter().map(Relation::arity).collect();
    let offsets = offsets(&arities);
    let types: Vec<ColumnType> = inputs.iter().flat_map(|input| input.typ().columns).collect();
    let mut for_input: Vec<Vec<Scalar>> = vec![Vec::new(); inputs.len()];
    let mut kept = Vec::new();
    let mut place = |predicate: Scalar, kept: &mut Vec<Scalar>| match only_input(&predicate, &offsets, &arities) {
        Some(input) if !predicate.could_error() => {
            let mut local = predicate;
            local.permute_by(|column| column - offsets[input]);
            for_input[input].push(local);
        }
        _ => kept.push(predicate),
    };
    let mut others = Vec::new();
    for predicate in predicates {
        match equality(&predicate) {
            Some((left, right)) if spans_inputs(&left, &right, &offsets, &arities) => {
                // SQL's equality is not true for NULL, the join's is: NULLs are kept out.
                for side in [&left, &right] {
                    if side.nullable(&types) {
                        place(side.clone().is_null().not(), &mut kept);
                    }
                }
                equivalences.push(vec![left, right]);
            }
            _ => others.push(predicate),
        }
    }
    *equivalences = merged(std::mem::take(equivalences));
    for predicate in others {
        let found = equals_of(&predicate, equivalences, &types).into_iter();
        let found = found.chain(disjunction::implied(&predicate, |part| only_input(part, &offsets, &arities)));
        // What is not of one input says nothing new.
        found.filter(|found| only_input(found, &offsets, &arities).is_some()).for_each(|found| place(found, &mut kept));
        place(predicate, &mut kept);
    }
    for (input, moved) in inputs.iter_mut().zip(for_input) {
        add_filter(input, moved);
    }
    kept
}

pub(crate) fn offsets(arities: &[usize]) -> Vec<usize> {
    arities
        .iter()
        .scan(0, |next, arity| {
            let offset = *next;
            *next += arity;
            Some(offset)
        })
        .collect()
}

/// The inputs whose columns an expression uses.
pub(crate) fn inputs_of(scalar: &Scalar, offsets: &[usize], arities: &[usize]) -> BTreeSet<usize> {
    let input_of = |column: &usize| {
        offsets.iter().zip(arities).position(|(offset, arity)| (*offset..offset + arity).contains(column))
    };
    scalar.support().iter().filter_map(input_of).collect()
}

/// The only input whose columns a predicate uses.
fn only_input(scalar: &Scalar, offsets: &[usize], arities: &[usize]) -> Option<usize> {
    let inputs = inputs_of(scalar, offsets, arities);
    if inputs.len() == 1 { inputs.first().copied() } else { None }
}

/// Both sides of an SQL equality whose equal values are equal bytes, neither of which can fail.
fn equality(predicate: &Scalar) -> Option<(Scalar, Scalar)> {
    let Scalar::Call { func, args, types } = predicate else { return None };
    if func.key != "eq" || types.args.iter().any(repr::ScalarType::equals_by_key) {
        return None;
    }
    let [left, right] = &args[..] else { return None };
    if left.could_error() || right.could_error() || left.contains_mz_now() || right.contains_mz_now() {
        return None;
    }
    Some((left.clone(), right.clone()))
}

/// Whether each side belongs to one input, and not to the same.
fn spans_inputs(left: &Scalar, right: &Scalar, offsets: &[usize], arities: &[usize]) -> bool {
    match (only_input(left, offsets, arities), only_input(right, offsets, arities)) {
        (Some(left), Some(right)) => left != right,
        _ => false,
    }
}

/// The same predicate on each column that equals the one it is on.
fn equals_of(predicate: &Scalar, classes: &[Vec<Scalar>], types: &[ColumnType]) -> Vec<Scalar> {
    let support = predicate.support();
    let (Some(&column), 1) = (support.first(), support.len()) else { return Vec::new() };
    let is_null_test = predicate.any(|scalar| matches!(scalar, Scalar::IsNull(_)));
    if is_null_test || predicate.could_error() || !predicate.is_deterministic() {
        return Vec::new();
    }
    let class = classes.iter().find(|class| class.contains(&Scalar::Column(column)));
    let members = class.into_iter().flatten().filter_map(|member| match member {
        Scalar::Column(other) if *other != column && types[*other].scalar == types[column].scalar => Some(*other),
        _ => None,
    });
    let on = |other: usize| {
        let mut found = predicate.clone();
        found.permute_by(|_| other);
        found
    };
    members.map(on).collect()
}

fn merge_classes(node: &mut Relation) {
    if let Relation::Join { equivalences, .. } = node {
        *equivalences = merged(std::mem::take(equivalences));
    }
}

/// Classes that share an expression are one class.
fn merged(classes: Vec<Vec<Scalar>>) -> Vec<Vec<Scalar>> {
    let mut merged: Vec<Vec<Scalar>> = Vec::new();
    for mut class in classes {
        let mut index = 0;
        while index < merged.len() {
            if merged[index].iter().any(|scalar| class.contains(scalar)) {
                class.extend(merged.remove(index));
            } else {
                index += 1;
            }
        }
        class.sort();
        class.dedup();
        merged.push(class);
    }
    merged.retain(|class| class.len() > 1);
    merged.sort();
    merged
}
