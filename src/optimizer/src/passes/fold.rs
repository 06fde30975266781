//! Computes what does not depend on stored data, as long as the result stays small.

use std::collections::{BTreeMap, BTreeSet};

use expr::interpret::{interpret_within, out_of_work};
use expr::{Id, Mfp, Relation, TableFunc};
use repr::Diff;

/// Rows that folding may make on its way.
const FOLD_ROWS_MAX: u64 = 10_000;

pub(crate) fn fold(relation: &mut Relation) {
    fold_scalars(relation);
    relation.visit_mut_post(&mut |node| {
        propagate_empty(node);
        if is_foldable(node) {
            fold_node(node);
        }
    });
}

/// Simplifies every scalar, knowing its input's types.
fn fold_scalars(relation: &mut Relation) {
    relation.visit_mut_post(&mut |node| match node {
        Relation::Map { input, scalars } => {
            let mut types = input.typ().columns;
            for scalar in scalars {
                scalar.reduce(&types);
                types.push(scalar.typ(&types));
            }
        }
        Relation::Filter { input, predicates } => {
            let types = input.typ().columns;
            predicates.iter_mut().for_each(|predicate| predicate.reduce(&types));
        }
        Relation::FlatMap { input, exprs, .. } => {
            let types = input.typ().columns;
            exprs.iter_mut().for_each(|expr| expr.reduce(&types));
        }
        Relation::Reduce { input, group_key, aggregates, .. } => {
            let types = input.typ().columns;
            group_key.iter_mut().for_each(|key| key.reduce(&types));
            aggregates.iter_mut().for_each(|aggregate| aggregate.expr.reduce(&types));
        }
        Relation::Join { inputs, equivalences, .. } => {
            let types: Vec<_> = inputs.iter().flat_map(|input| input.typ().columns).collect();
            equivalences.iter_mut().flatten().for_each(|scalar| scalar.reduce(&types));
        }
        _ => {}
    });
}

/// What reads nothing yields nothing; a filter that is false or NULL keeps nothing.
fn propagate_empty(node: &mut Relation) {
    let empty = match node {
        Relation::Filter { input, predicates } => {
            input.is_empty_constant()
                || predicates.iter().any(|predicate| predicate.is_literal_false() || predicate.is_literal_null())
        }
        Relation::Join { inputs, .. } => inputs.iter().any(Relation::is_empty_constant),
        Relation::Project { input, .. }
        | Relation::Map { input, .. }
        | Relation::FlatMap { input, .. }
        | Relation::Reduce { input, .. }
        | Relation::Negate { input }
        | Relation::Threshold { input }
        | Relation::ArrangeBy { input, .. } => input.is_empty_constant(),
        Relation::TopK { input, limit, .. } => input.is_empty_constant() || *limit == Some(0) && !may_fail(input),
        Relation::Union { inputs } => {
            if inputs.len() > 1 && inputs.iter().any(Relation::is_empty_constant) {
                let typ = inputs[0].typ();
                inputs.retain(|input| !input.is_empty_constant());
                if inputs.is_empty() {
                    inputs.push(Relation::empty(typ));
                }
            }
            if inputs.len() == 1 {
                *node = inputs.remove(0);
            }
            return;
        }
        _ => false,
    };
    if empty {
        let mut typ = node.typ();
        typ.keys.clear();
        *node = Relation::empty(typ);
    }
}

/// Whether dropping the relation could drop an error with it.
fn may_fail(relation: &Relation) -> bool {
    let mut fallible = false;
    relation.visit_scalars(&mut |scalar| fallible |= scalar.could_error());
    fallible
}

fn is_foldable(node: &Relation) -> bool {
    let children = node.children();
    let constant = |child: &&Relation| matches!(child, Relation::Constant { rows, .. } if rows.as_ref().map_or(0, Vec::len) as u64 <= FOLD_ROWS_MAX);
    let mut now = false;
    node.visit_scalars(&mut |scalar| now |= scalar.contains_mz_now() || !scalar.is_deterministic());
    match node {
        Relation::LetRec { .. } => return !now && is_closed(node),
        // Each row would carry the list that it is taken from, unless that is dropped at once.
        Relation::FlatMap { func: TableFunc::UnnestRecords(_), .. } => return false,
        Relation::Project { .. } if !now && takes_list_apart(node, &constant) => return true,
        _ => {}
    }
    !now && !children.is_empty()
        && children.iter().all(constant)
        && !matches!(node, Relation::Let { .. } | Relation::LetRec { .. } | Relation::ArrangeBy { .. })
        // A series may be long; it is cheaper to make it where it is used than to carry it in the plan.
        && !matches!(node, Relation::FlatMap { func, .. } if is_series(func))
}

/// Whether the node, and those right below it, yield only the fields of a constant list's records.
fn takes_list_apart(node: &Relation, is_constant: &dyn Fn(&&Relation) -> bool) -> bool {
    let (mfp, base) = Mfp::extract_from_relation(node);
    match base {
        Relation::FlatMap { input, func: TableFunc::UnnestRecords(_), .. } => {
            let arity = input.arity();
            is_constant(&&**input) && mfp.projection.iter().all(|column| *column >= arity)
        }
        _ => false,
    }
}

/// Whether a relation reads nothing but what it binds itself.
fn is_closed(relation: &Relation) -> bool {
    let mut closed = true;
    let mut bound = BTreeSet::new();
    relation.visit_pre(&mut |node| match node {
        Relation::Get { id: Id::Global(_), .. } => closed = false,
        Relation::FlatMap { func, .. } => closed &= !is_series(func),
        Relation::Let { id, .. } => bound.extend([*id]),
        Relation::LetRec { ids, .. } => bound.extend(ids.iter().copied()),
        _ => {}
    });
    closed && relation.local_gets().keys().all(|id| bound.contains(id))
}

fn is_series(func: &TableFunc) -> bool {
    match func {
        TableFunc::GenerateSeriesInt(_) | TableFunc::GenerateSeriesTimestamp(_) => true,
        TableFunc::WithOrdinality(inner) => is_series(inner),
        TableFunc::Lockstep(calls) => calls.iter().any(|(func, _)| is_series(func)),
        _ => false,
    }
}

fn fold_node(node: &mut Relation) {
    let collection = interpret_within(node, &BTreeMap::new(), FOLD_ROWS_MAX);
    let typ = node.typ();
    let error = collection.errors.iter().find(|(_, diff)| !diff.is_zero()).map(|(error, _)| error.clone());
    match error {
        Some(error) if error == out_of_work() => {}
        // An error beside rows, or one that may be taken back elsewhere, stays where it arises.
        Some(_) => {}
        None => {
            let rows: Vec<_> = collection.rows.into_iter().filter(|(_, diff)| *diff != Diff::ZERO).collect();
            *node = Relation::constant_rows(rows, repr::RelationType::new(typ.columns));
        }
    }
}
