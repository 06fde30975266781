//! Aggregates over distinct values: the values are made distinct first, by group, then aggregated; several such aggregates
//! and the plain ones are computed apart and joined on the group.

use std::collections::BTreeMap;

use expr::{Aggregate, AggregateFunc, Relation, Scalar};

pub(crate) fn split(relation: &mut Relation) {
    let mut next = relation_ids(relation);
    relation.visit_mut_post(&mut |node| {
        if let Relation::Reduce { aggregates, .. } = node {
            for aggregate in aggregates.iter_mut() {
                // The least of distinct values is the least of all.
                if matches!(
                    aggregate.func,
                    AggregateFunc::Min | AggregateFunc::Max | AggregateFunc::BoolAnd | AggregateFunc::BoolOr
                ) {
                    aggregate.distinct = false;
                }
            }
            if aggregates.iter().any(|aggregate| aggregate.distinct) {
                split_reduce(node, &mut next);
            }
        }
    });
}

fn relation_ids(relation: &Relation) -> u64 {
    let mut next = 0;
    relation.visit_pre(&mut |node| {
        if let Relation::Let { id, .. } = node {
            next = next.max(id.0 + 1);
        }
        if let Relation::LetRec { ids, .. } = node {
            next = ids.iter().fold(next, |next, id| next.max(id.0 + 1));
        }
    });
    next
}

fn split_reduce(node: &mut Relation, next: &mut u64) {
    let Relation::Reduce { input, group_key, aggregates, expected_group_size, .. } = node else { return };
    let (keys, group_key, aggregates, size) =
        (group_key.len(), group_key.clone(), std::mem::take(aggregates), *expected_group_size);
    let shared = expr::LocalId(*next);
    *next += 1;
    let input = input.take_dangerous();
    let typ = input.typ();
    let get = || Relation::get_local(shared, typ.clone());

    // None: the plain ones; else the distinct argument.
    let mut parts: BTreeMap<Option<Scalar>, Vec<(usize, Aggregate)>> = BTreeMap::new();
    for (index, aggregate) in aggregates.into_iter().enumerate() {
        let part = aggregate.distinct.then(|| aggregate.expr.clone());
        parts.entry(part).or_default().push((index, aggregate));
    }
    let mut joined = Vec::new();
    // Where each aggregate's column is in the join of the parts.
    let mut places = BTreeMap::new();
    let mut width = 0;
    for (argument, members) in parts {
        for (position, (index, _)) in members.iter().enumerate() {
            places.insert(*index, width + keys + position);
        }
        width += keys + members.len();
        joined.push(match argument {
            None => reduce(get(), group_key.clone(), members.into_iter().map(|(_, aggregate)| aggregate), size),
            Some(argument) => {
                let mut columns = group_key.clone();
                columns.push(argument);
                let distinct = get().reduce(columns, Vec::new());
                let over = members.into_iter().map(|(_, aggregate)| Aggregate {
                    expr: Scalar::Column(keys),
                    distinct: false,
                    ..aggregate
                });
                reduce(distinct, (0..keys).map(Scalar::Column).collect(), over, size)
            }
        });
    }
    let mut offsets = Vec::new();
    let mut offset = 0;
    for part in &joined {
        offsets.push(offset);
        offset += part.arity();
    }
    let body = if joined.len() == 1 {
        joined.remove(0)
    } else {
        let class = |key: usize| offsets.iter().map(|offset| Scalar::Column(offset + key)).collect();
        Relation::join(joined, (0..keys).map(class).collect())
    };
    let outputs = (0..keys).chain(places.into_values()).collect();
    *node = input.let_in(shared, body.project(outputs));
}

fn reduce(
    input: Relation,
    group_key: Vec<Scalar>,
    aggregates: impl Iterator<Item = Aggregate>,
    expected_group_size: Option<u64>,
) -> Relation {
    let aggregates = aggregates.collect();
    Relation::Reduce { input: Box::new(input), group_key, aggregates, monotonic: false, expected_group_size }
}
