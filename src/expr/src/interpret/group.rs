//! Reduce and TopK: operators over groups of rows.

use std::collections::BTreeMap;

use repr::{Arena, Datum, Diff, Kind, Row};

use super::{Asking, Collection, OutOfWork, add};
use crate::aggregate::{Aggregate, evaluate};
use crate::error::EvalError;
use crate::order::{self, ColumnOrder};
use crate::scalar::Scalar;

/// For each key the multiset of argument rows: one datum for each aggregate.
type Groups = BTreeMap<Row, BTreeMap<Row, Diff>>;

/// Key columns and aggregates of each group of positive size. A key or an argument that fails leaves its row out.
pub(super) fn reduce(
    input: Collection,
    kinds: &[Kind],
    group_key: &[Scalar],
    aggregates: &[Aggregate],
    asking: &mut Asking<'_>,
) -> Result<Collection, OutOfWork> {
    let Collection { rows, errors } = input;
    let mut output = Collection { rows: BTreeMap::new(), errors };
    let mut groups = Groups::new();
    let mut arena = Arena::new();
    for (row, diff) in &rows {
        asking.after(1)?;
        arena.clear();
        let datums = row.unpack(kinds);
        let arguments = aggregates.iter().map(|aggregate| &aggregate.expr);
        match (pack_all(group_key.iter(), &datums, &arena), pack_all(arguments, &datums, &arena)) {
            (Ok(key), Ok(arguments)) => add(groups.entry(key).or_default(), arguments, *diff),
            (Err(error), _) | (_, Err(error)) => output.add_error(error, *diff),
        }
    }
    let argument_kinds: Vec<Kind> = aggregates.iter().map(|aggregate| aggregate.arg_type.kind()).collect();
    for (key, group) in &groups {
        asking.after(1)?;
        match reduce_group(key, group, &argument_kinds, aggregates) {
            Ok(Some(row)) => output.add_row(row, Diff::ONE),
            Ok(None) => {}
            Err(error) => output.add_error(error, Diff::ONE),
        }
    }
    Ok(output)
}

fn pack_all<'a>(
    scalars: impl Iterator<Item = &'a Scalar>,
    datums: &[Datum<'_>],
    arena: &Arena,
) -> Result<Row, EvalError> {
    let mut row = Row::default();
    for scalar in scalars {
        row.push(scalar.eval(datums, arena)?);
    }
    Ok(row)
}

fn reduce_group(
    key: &Row,
    group: &BTreeMap<Row, Diff>,
    kinds: &[Kind],
    aggregates: &[Aggregate],
) -> Result<Option<Row>, EvalError> {
    if group.is_empty() {
        return Ok(None);
    }
    if group.values().any(|diff| diff.is_invalid_count()) {
        return Err(EvalError::negative_multiplicity("aggregation"));
    }
    let arena = Arena::new();
    let arguments: Vec<(Vec<Datum<'_>>, Diff)> = group.iter().map(|(row, diff)| (row.unpack(kinds), *diff)).collect();
    let mut output = key.clone();
    for (index, aggregate) in aggregates.iter().enumerate() {
        let values = arguments.iter().map(|(datums, diff)| (datums[index], *diff));
        output.push(evaluate(aggregate, values, &arena)?);
    }
    Ok(Some(output))
}

/// One distinct row of a group: unpacked, packed, and how often it occurs.
type Member<'a> = (Vec<Datum<'a>>, &'a Row, Diff);

/// In each group, in `order` and then in the order of bytes, the rows at `[offset, offset + limit)`.
pub(super) fn top_k(
    input: Collection,
    kinds: &[Kind],
    group_key: &[usize],
    order: &[ColumnOrder],
    limit: Option<u64>,
    offset: u64,
) -> Collection {
    let Collection { rows, errors } = input;
    let mut output = Collection { rows: BTreeMap::new(), errors };
    let mut groups: BTreeMap<Row, Vec<Member<'_>>> = BTreeMap::new();
    for (row, diff) in &rows {
        let datums = row.unpack(kinds);
        let key = Row::pack(group_key.iter().map(|column| datums[*column]));
        groups.entry(key).or_default().push((datums, row, *diff));
    }
    for mut group in groups.into_values() {
        if group.iter().any(|(_, _, diff)| diff.is_invalid_count()) {
            output.add_error(EvalError::negative_multiplicity("top k"), Diff::ONE);
            continue;
        }
        group.sort_by(|(left, left_row, _), (right, right_row, _)| {
            order::compare(order, left, right).then_with(|| left_row.cmp(right_row))
        });
        let end = limit.map_or(u64::MAX, |limit| offset.saturating_add(limit));
        let mut position = 0u64;
        for (_, row, diff) in group {
            let next = position.saturating_add(diff.get().unsigned_abs());
            let kept = next.min(end).saturating_sub(position.max(offset));
            output.add_row(row.clone(), Diff::new(kept.cast_signed()));
            position = next;
        }
    }
    output
}
