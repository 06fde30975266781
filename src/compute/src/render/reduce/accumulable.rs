//! Aggregates that are sums: the aggregates of a group are the multiplicity of its key.
//!
//! Differential adds up multiplicities in any group, not only numbers. So each row becomes its key with a vector of partial
//! results, merges keep one such vector for each key instead of the rows, and a change costs the same however large its group
//! is. What is aggregated DISTINCT is made distinct first and comes in by a stream of its own.

use std::hash::Hash;

use differential_dataflow::difference::{IsZero, Semigroup};
use differential_dataflow::{AsCollection, VecCollection};
use expr::accumulate::Accumulator;
use expr::{Aggregate, EvalError};
use repr::row::read_datum;
use repr::{Arena, Datum, Kind, Row};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;
use trace::{Diff, KeyBuilder, KeySpine, ValBuilder, ValSpine, arrange_keys};

use super::{Keyed, Reduced, argument_kinds};
use crate::render::operators::{Errs, push_vals, reduce_fallible};
use crate::render::time::RenderTime;

/// What rows contribute to the aggregates of their group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Accumulation {
    /// How many rows; it decides whether there is a group at all.
    rows: Diff,
    /// One for each aggregate; None: nothing.
    parts: Vec<Option<Accumulator>>,
}

impl IsZero for Accumulation {
    fn is_zero(&self) -> bool {
        self.rows.is_zero() && self.parts.iter().flatten().all(Accumulator::is_zero)
    }
}

impl Semigroup for Accumulation {
    fn plus_equals(&mut self, other: &Accumulation) {
        self.rows.plus_equals(&other.rows);
        for (part, more) in self.parts.iter_mut().zip(&other.parts) {
            match (part, more) {
                (_, None) => {}
                (Some(part), Some(more)) => part.plus_equals(more),
                (part @ None, Some(more)) => *part = Some(more.clone()),
            }
        }
    }
}

pub(super) fn render<'scope, T: RenderTime>(keyed: Keyed<'scope, T>, aggregates: &[Aggregate]) -> Reduced<'scope, T> {
    let kinds = argument_kinds(aggregates);
    let mut contributions = all_rows(keyed.clone(), aggregates, &kinds);
    let mut all_errs: Option<Errs<'scope, T>> = None;
    for (index, _) in aggregates.iter().enumerate().filter(|(_, aggregate)| aggregate.distinct) {
        let (distinct, errs) = distinct_rows(keyed.clone(), aggregates, index, &kinds);
        contributions = contributions.concat(distinct);
        all_errs = Some(match all_errs {
            None => errs,
            Some(others) => errs.concat(others),
        });
    }
    let arranged = arrange_keys(contributions, "ArrangeAccumulable");
    let aggregates = aggregates.to_vec();
    let (oks, errs) = reduce_fallible(arranged, "ReduceAccumulable", move |_key, input, output| {
        output.push((finish(&aggregates, &input[0].1)?, Diff::ONE));
        Ok(())
    });
    let errs = match all_errs {
        None => errs,
        Some(others) => errs.concat(others),
    };
    (oks, errs)
}

/// The contributions of all rows to the aggregates that are not DISTINCT.
fn all_rows<'scope, T: RenderTime>(
    keyed: Keyed<'scope, T>,
    aggregates: &[Aggregate],
    kinds: &[Kind],
) -> VecCollection<'scope, T, Row, Accumulation> {
    let (aggregates, kinds) = (aggregates.to_vec(), kinds.to_vec());
    let contributions = keyed.inner.map(move |((key, arguments), time, diff)| {
        let mut rest = arguments.as_bytes();
        let parts = aggregates.iter().zip(&kinds).map(|(aggregate, kind)| {
            let datum = read_datum(&mut rest, *kind);
            (!aggregate.distinct).then(|| part(aggregate, datum, diff))
        });
        let parts = parts.collect();
        (key, time, Accumulation { rows: diff, parts })
    });
    contributions.as_collection()
}

/// The contributions of the distinct arguments of aggregate `index` to that aggregate.
fn distinct_rows<'scope, T: RenderTime>(
    keyed: Keyed<'scope, T>,
    aggregates: &[Aggregate],
    index: usize,
    kinds: &[Kind],
) -> (VecCollection<'scope, T, Row, Accumulation>, Errs<'scope, T>) {
    let all_kinds = kinds.to_vec();
    let arguments = keyed.map(move |(key, arguments)| {
        let mut rest = arguments.as_bytes();
        all_kinds[..index].iter().for_each(|kind| {
            repr::row::skip_datum(&mut rest, *kind);
        });
        (key, Row::from_bytes(repr::row::skip_datum(&mut rest, all_kinds[index])))
    });
    let (distinct, errs) = distinct(arguments);
    let (aggregate, kind, count) = (aggregates[index].clone(), kinds[index], aggregates.len());
    let contributions = distinct.inner.map(move |((key, argument), time, diff)| {
        let mut parts = vec![None; count];
        parts[index] = Some(part(&aggregate, argument.unpack_first(kind), diff));
        (key, time, Accumulation { rows: Diff::ZERO, parts })
    });
    (contributions.as_collection(), errs)
}

fn distinct<'scope, T, D>(
    input: VecCollection<'scope, T, D, Diff>,
) -> (VecCollection<'scope, T, D, Diff>, Errs<'scope, T>)
where
    T: RenderTime,
    D: differential_dataflow::ExchangeData + Hash,
{
    let arranged = arrange_keys(input, "ArrangeDistinctArgument");
    let oks = arranged
        .clone()
        .reduce_abelian::<_, KeyBuilder<D, T>, KeySpine<D, T>, _, _>(
            "DistinctArgument",
            |_datum, input, output| {
                if !input[0].1.is_invalid_count() {
                    output.push(((), Diff::ONE));
                }
            },
            |buffer, key, updates| push_vals(buffer, key, updates),
        )
        .as_collection(|datum, ()| datum.clone());
    let errs = arranged
        .reduce_abelian::<_, ValBuilder<D, EvalError, T>, ValSpine<D, EvalError, T>, _, _>(
            "DistinctArgumentErrors",
            |_datum, input, output| {
                if input[0].1.is_invalid_count() {
                    output.push((EvalError::negative_multiplicity("aggregation"), Diff::ONE));
                }
            },
            |buffer, key, updates| push_vals(buffer, key, updates),
        )
        .as_collection(|_datum, error| error.clone());
    (oks, errs)
}

/// What `diff` rows with this argument contribute.
fn part(aggregate: &Aggregate, datum: Datum<'_>, diff: Diff) -> Accumulator {
    let mut part = Accumulator::from_datum(&aggregate.func, &aggregate.arg_type, datum);
    part.times(diff.0);
    part
}

/// The values of the aggregates of a group.
fn finish(aggregates: &[Aggregate], total: &Accumulation) -> Result<Row, EvalError> {
    // Something is left of a group without rows only if rows were taken away that were never there.
    if total.rows.is_invalid_count() || total.rows.is_zero() {
        return Err(EvalError::negative_multiplicity("aggregation"));
    }
    let arena = Arena::new();
    let mut output = Row::default();
    for (aggregate, part) in aggregates.iter().zip(&total.parts) {
        let Aggregate { func, arg_type, .. } = aggregate;
        let datum = match part {
            Some(part) => part.finish(func, arg_type, &arena)?,
            None => Accumulator::zero(func, arg_type).finish(func, arg_type, &arena)?,
        };
        output.push(datum);
    }
    Ok(output)
}
