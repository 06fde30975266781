//! min and max: groups are cut into buckets, and only the best of each bucket goes to the next level.
//!
//! A change to a group of n rows so looks at 16 values on each of log16(n) levels instead of at n. All aggregates of a Reduce
//! go together: what stands for a bucket is one row with the best value of each, and the best of such rows is the group's.
//! Values are compared packed, for the order of bytes is SQL's.

use expr::{Aggregate, AggregateFunc};
use repr::row::skip_datum;
use repr::{Kind, Row};
use serde::{Deserialize, Serialize};
use trace::{Diff, arrange_vals, owner_hash};

use super::buckets::{Buckets, bucket_key, bucket_of, rebucket, strip};
use super::{Keyed, Reduced, argument_kinds, check_counts};
use crate::render::operators::reduce_fallible;
use crate::render::time::RenderTime;

/// Packed NULL: it is greater than every other datum.
const NULL: u8 = 0xFF;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Best {
    Least,
    /// The greatest that is not NULL.
    Greatest,
}

/// Which value of each column stands for the group.
#[derive(Clone)]
struct Columns {
    kinds: Vec<Kind>,
    best: Vec<Best>,
}

pub(super) fn render<'scope, T: RenderTime>(
    keyed: Keyed<'scope, T>,
    aggregates: &[Aggregate],
    levels: u32,
) -> Reduced<'scope, T> {
    let columns = Columns { kinds: argument_kinds(aggregates), best: bests(aggregates) };
    let mut buckets = Buckets::new(levels);
    if buckets.count() == 1 {
        return level(keyed, &columns, "ReduceMinMax");
    }
    let count = buckets.count();
    let mut bucketed =
        keyed.map(move |(key, arguments)| (bucket_key(bucket_of(owner_hash(&arguments), count), &key), arguments));
    let mut all_errs = None;
    loop {
        let (oks, errs) = level(bucketed, &columns, "ReduceMinMaxLevel");
        all_errs = Some(match all_errs {
            None => errs,
            Some(others) => errs.concat(others),
        });
        let count = buckets.merge();
        let kept = oks.as_collection(|key, arguments| (key.clone(), arguments.clone()));
        if count == 1 {
            let keyed = kept.map(|(key, arguments)| (Row::from_bytes(strip(&key)), arguments));
            let (oks, errs) = level(keyed, &columns, "ReduceMinMax");
            let errs = match all_errs {
                None => errs,
                Some(others) => errs.concat(others),
            };
            return (oks, errs);
        }
        bucketed = kept.map(move |(key, arguments)| (rebucket(&key, count), arguments));
    }
}

/// Which values are the results of aggregates that are all min or max.
pub(super) fn bests(aggregates: &[Aggregate]) -> Vec<Best> {
    let best = |aggregate: &Aggregate| match aggregate.func {
        AggregateFunc::Max => Best::Greatest,
        _ => Best::Least,
    };
    aggregates.iter().map(best).collect()
}

fn level<'scope, T: RenderTime>(keyed: Keyed<'scope, T>, columns: &Columns, name: &str) -> Reduced<'scope, T> {
    let columns = columns.clone();
    let arranged = arrange_vals(keyed, "ArrangeMinMax");
    reduce_fallible(arranged, name, move |_key, input, output| {
        check_counts(input)?;
        output.push((best_of(&columns, input), Diff::ONE));
        Ok(())
    })
}

/// The best value of each column over the rows of a group, which is not empty.
fn best_of(columns: &Columns, group: &[(&Row, Diff)]) -> Row {
    let mut best: Vec<&[u8]> = Vec::with_capacity(columns.kinds.len());
    for (index, (row, _count)) in group.iter().enumerate() {
        let mut rest = row.as_bytes();
        for (column, (kind, wanted)) in columns.kinds.iter().zip(&columns.best).enumerate() {
            let value = skip_datum(&mut rest, *kind);
            if index == 0 {
                best.push(value);
            } else if is_better(*wanted, value, best[column]) {
                best[column] = value;
            }
        }
    }
    let mut output = Row::default();
    best.into_iter().for_each(|value| output.push_packed(value));
    output
}

pub(super) fn is_better(wanted: Best, value: &[u8], than: &[u8]) -> bool {
    match wanted {
        Best::Least => value < than,
        Best::Greatest => match (value.first() == Some(&NULL), than.first() == Some(&NULL)) {
            (true, _) => false,
            (false, true) => true,
            (false, false) => value > than,
        },
    }
}
