//! Drops columns that nobody looks at, as near to the data as possible.
//!
//! [`narrow`] rewrites a relation so that it yields exactly the columns asked for, in ascending order. TopK and Threshold
//! look at whole rows, so nothing is dropped below them. An error of a column that nobody looks at may be lost.

use std::collections::{BTreeMap, BTreeSet};

use expr::{Id, LocalId, Relation, Scalar};

type Columns = BTreeSet<usize>;

pub(crate) fn push_down(relation: &mut Relation) {
    let all = (0..relation.arity()).collect();
    narrow(relation, &all, &mut BTreeMap::new());
}

/// Where each of `columns` is after narrowing to them.
fn positions(columns: &Columns) -> BTreeMap<usize, usize> {
    columns.iter().enumerate().map(|(position, column)| (*column, position)).collect()
}

/// Wraps a relation that yields `has` so that it yields `needed`, a subset.
fn keep(relation: &mut Relation, has: &Columns, needed: &Columns) {
    if has != needed {
        let positions = positions(has);
        let outputs = needed.iter().map(|column| positions[column]).collect();
        *relation = relation.take_dangerous().project(outputs);
    }
}

fn support_of<'a>(scalars: impl IntoIterator<Item = &'a Scalar>) -> Columns {
    let mut columns = Columns::new();
    scalars.into_iter().for_each(|scalar| scalar.support_into(&mut columns));
    columns
}

fn narrow(relation: &mut Relation, needed: &Columns, locals: &mut BTreeMap<LocalId, Columns>) {
    stacker::maybe_grow(64 * 1024, 1024 * 1024, || narrow_node(relation, needed, locals));
}

fn narrow_node(relation: &mut Relation, needed: &Columns, locals: &mut BTreeMap<LocalId, Columns>) {
    let arity = relation.arity();
    let everything: Columns = (0..arity).collect();
    match relation {
        Relation::Constant { .. } => keep(relation, &everything, needed),
        Relation::Get { id, .. } => {
            if let Id::Local(id) = id {
                locals.entry(*id).or_default().extend(needed);
            }
            keep(relation, &everything, needed);
        }
        Relation::Let { .. } => narrow_let(relation, needed, locals),
        Relation::LetRec { values, body, .. } => {
            for value in values {
                let all = (0..value.arity()).collect();
                narrow(value, &all, locals);
            }
            narrow(body, needed, locals);
        }
        Relation::Project { input, outputs } => {
            let wanted: Columns = needed.iter().map(|column| outputs[*column]).collect();
            let places = positions(&wanted);
            *outputs = needed.iter().map(|column| places[&outputs[*column]]).collect();
            narrow(input, &wanted, locals);
        }
        Relation::Map { .. } => narrow_map(relation, needed, locals),
        Relation::Filter { input, predicates } => {
            let mut wanted = support_of(&*predicates);
            wanted.extend(needed);
            let places = positions(&wanted);
            predicates.iter_mut().for_each(|predicate| predicate.permute_by(|column| places[&column]));
            narrow(input, &wanted, locals);
            keep(relation, &wanted, needed);
        }
        Relation::FlatMap { input, exprs, .. } => {
            let input_arity = input.arity();
            let mut wanted = support_of(&*exprs);
            wanted.extend(needed.iter().filter(|column| **column < input_arity));
            let places = positions(&wanted);
            exprs.iter_mut().for_each(|expr| expr.permute_by(|column| places[&column]));
            narrow(input, &wanted, locals);
            let has = wanted.into_iter().chain(input_arity..arity).collect();
            keep(relation, &has, needed);
        }
        Relation::Join { .. } => narrow_join(relation, needed, locals),
        Relation::Reduce { .. } => narrow_reduce(relation, needed, locals),
        Relation::Negate { input } => narrow(input, needed, locals),
        Relation::Union { inputs } => inputs.iter_mut().for_each(|input| narrow(input, needed, locals)),
        Relation::TopK { input, .. } | Relation::Threshold { input } | Relation::ArrangeBy { input, .. } => {
            narrow(input, &everything, locals);
            keep(relation, &everything, needed);
        }
    }
}

/// The body says which columns of the value are read; then the value is narrowed, and the reads follow.
fn narrow_let(relation: &mut Relation, needed: &Columns, locals: &mut BTreeMap<LocalId, Columns>) {
    let Relation::Let { id, value, body } = relation else { return };
    let id = *id;
    narrow(body, needed, locals);
    let all: Columns = (0..value.arity()).collect();
    let wanted = locals.remove(&id).unwrap_or_default();
    if read_in_recursion(body, id) {
        narrow(value, &all, locals);
        return;
    }
    narrow(value, &wanted, locals);
    if wanted == all {
        return;
    }
    let places = positions(&wanted);
    let typ = value.typ();
    body.visit_mut_pre(&mut |node| {
        if let Relation::Project { input, outputs } = node
            && is_get(input, id)
        {
            outputs.iter_mut().for_each(|output| *output = places[output]);
        }
        if is_get(node, id)
            && let Relation::Get { typ: old, .. } = node
        {
            *old = typ.clone();
        }
    });
}

fn is_get(relation: &Relation, id: LocalId) -> bool {
    matches!(relation, Relation::Get { id: Id::Local(read), .. } if *read == id)
}

/// Reads inside a recursion are not narrowed one by one, so the value must stay whole.
fn read_in_recursion(body: &Relation, id: LocalId) -> bool {
    let mut found = false;
    body.visit_pre(&mut |node| {
        if let Relation::LetRec { .. } = node {
            found |= node.local_gets().contains_key(&id);
        }
    });
    found
}

fn narrow_map(relation: &mut Relation, needed: &Columns, locals: &mut BTreeMap<LocalId, Columns>) {
    let Relation::Map { input, scalars } = relation else { return };
    let input_arity = input.arity();
    let mut wanted = needed.clone();
    for (index, scalar) in scalars.iter().enumerate().rev() {
        if wanted.contains(&(input_arity + index)) {
            scalar.support_into(&mut wanted);
        }
    }
    let places = positions(&wanted);
    let kept = std::mem::take(scalars).into_iter().enumerate();
    *scalars = kept
        .filter(|(index, _)| wanted.contains(&(input_arity + index)))
        .map(|(_, mut scalar)| {
            scalar.permute_by(|column| places[&column]);
            scalar
        })
        .collect();
    let below = wanted.iter().copied().filter(|column| *column < input_arity).collect();
    narrow(input, &below, locals);
    keep(relation, &wanted, needed);
}

fn narrow_join(relation: &mut Relation, needed: &Columns, locals: &mut BTreeMap<LocalId, Columns>) {
    let Relation::Join { inputs, equivalences, .. } = relation else { return };
    let mut wanted = support_of(equivalences.iter().flatten());
    wanted.extend(needed);
    let places = positions(&wanted);
    equivalences.iter_mut().flatten().for_each(|scalar| scalar.permute_by(|column| places[&column]));
    let mut offset = 0;
    for input in inputs {
        let arity = input.arity();
        let own = wanted.range(offset..offset + arity).map(|column| column - offset).collect();
        narrow(input, &own, locals);
        offset += arity;
    }
    keep(relation, &wanted, needed);
}

fn narrow_reduce(relation: &mut Relation, needed: &Columns, locals: &mut BTreeMap<LocalId, Columns>) {
    let Relation::Reduce { input, group_key, aggregates, .. } = relation else { return };
    let keys = group_key.len();
    let mut index = 0;
    aggregates.retain(|_| {
        index += 1;
        needed.contains(&(keys + index - 1))
    });
    let wanted = support_of(group_key.iter().chain(aggregates.iter().map(|aggregate| &aggregate.expr)));
    let places = positions(&wanted);
    let exprs = group_key.iter_mut().chain(aggregates.iter_mut().map(|aggregate| &mut aggregate.expr));
    exprs.for_each(|scalar| scalar.permute_by(|column| places[&column]));
    narrow(input, &wanted, locals);
    let has = (0..keys).chain(needed.iter().copied().filter(|column| *column >= keys)).collect();
    keep(relation, &has, needed);
}
