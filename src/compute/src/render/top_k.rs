//! TopK: in each group the rows at `[offset, offset + limit)` of an order, ties in the order of bytes.
//!
//! A change to a group makes differential look at all of it. So large groups are first cut into 16^n buckets by the hash of
//! the row, each of which yields its own first `offset + limit` rows, then those into 16^(n-1) buckets, down to the whole
//! group. Law: the first k rows of a union are among the first k rows of its parts.

mod growing;

use std::cmp::Ordering;
use std::rc::Rc;

use expr::{ColumnOrder, EvalError, order};
use repr::row::{skip_datum, unpack_into};
use repr::{Datum, Kind, Row};
use trace::{Diff, arrange_vals, owner_hash};

use super::operators::{Errs, Streams, reduce_fallible};
use super::reduce::buckets::{Buckets, bucket_key, bucket_of, rebucket};
use super::time::RenderTime;

/// A TopK node without its input.
#[derive(Clone)]
pub(super) struct TopKPlan {
    pub(super) kinds: Vec<Kind>,
    pub(super) group_key: Vec<usize>,
    pub(super) order: Vec<ColumnOrder>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
    /// The input only grows, and little enough is wanted to be kept beside the key.
    pub(super) monotonic: bool,
    pub(super) levels: u32,
}

/// Which rows of each group one reduce keeps.
#[derive(Clone)]
struct Window {
    kinds: Rc<[Kind]>,
    order: Rc<[ColumnOrder]>,
    offset: u64,
    /// The position behind the last row kept.
    end: u64,
}

pub(super) fn render<'scope, T: RenderTime>(input: Streams<'scope, T>, plan: TopKPlan) -> Streams<'scope, T> {
    let end = plan.limit.map_or(u64::MAX, |limit| plan.offset.saturating_add(limit));
    if plan.monotonic {
        return growing::render(input, plan, end);
    }
    let Streams { oks, mut errs } = input;
    let mut window = Window { kinds: plan.kinds.clone().into(), order: plan.order.into(), offset: 0, end };
    // Without a limit each bucket would yield all of its rows.
    let levels = if plan.limit.is_some() { plan.levels } else { 0 };
    let (kinds, group_key) = (plan.kinds, plan.group_key);
    let mut buckets = Buckets::new(levels);
    let count = buckets.count();
    let mut keyed = oks.map(move |row| {
        let key = pick(&row, &kinds, &group_key);
        (bucket_key(bucket_of(owner_hash(&row), count), &key), row)
    });
    while buckets.count() > 1 {
        let (kept, new_errs) = top_k_level(keyed, &window, "TopKLevel");
        errs = errs.concat(new_errs);
        let count = buckets.merge();
        keyed = kept.map(move |(key, row)| (rebucket(&key, count), row));
    }
    window.offset = plan.offset;
    let (kept, new_errs) = top_k_level(keyed, &window, "TopK");
    Streams { oks: kept.map(|(_key, row)| row), errs: errs.concat(new_errs) }
}

/// The columns `columns` of a row, packed.
fn pick(row: &Row, kinds: &[Kind], columns: &[usize]) -> Row {
    let mut rest = row.as_bytes();
    let used = columns.iter().max().map_or(0, |last| last + 1);
    let packed: Vec<&[u8]> = kinds[..used].iter().map(|kind| skip_datum(&mut rest, *kind)).collect();
    let mut key = Row::default();
    columns.iter().for_each(|column| key.push_packed(packed[*column]));
    key
}

type Keyed<'scope, T> = differential_dataflow::VecCollection<'scope, T, (Row, Row), Diff>;

fn top_k_level<'scope, T: RenderTime>(
    input: Keyed<'scope, T>,
    window: &Window,
    name: &str,
) -> (Keyed<'scope, T>, Errs<'scope, T>) {
    let window = window.clone();
    let arranged = arrange_vals(input, "ArrangeTopK");
    let (oks, errs) = reduce_fallible(arranged, name, move |_key, input, output| keep(&window, input, output));
    (oks.as_collection(|key, row| (key.clone(), row.clone())), errs)
}

/// Puts out the rows of one group that are within the window.
fn keep(window: &Window, input: &[(&Row, Diff)], output: &mut Vec<(Row, Diff)>) -> Result<(), EvalError> {
    if input.iter().any(|(_, count)| count.is_invalid_count()) {
        return Err(EvalError::negative_multiplicity("top k"));
    }
    let mut position = 0u64;
    for index in sorted(window, input) {
        let (row, count) = input[index];
        let next = position.saturating_add(count.get().unsigned_abs());
        let kept = next.min(window.end).saturating_sub(position.max(window.offset));
        if kept > 0 {
            output.push((row.clone(), Diff::new(kept.cast_signed())));
        }
        position = next;
        if position >= window.end {
            break;
        }
    }
    Ok(())
}

/// The places of the group's rows in order. They come sorted by bytes, which decides ties.
fn sorted(window: &Window, input: &[(&Row, Diff)]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..input.len()).collect();
    if window.order.is_empty() {
        return places;
    }
    let used = window.order.iter().map(|column| column.column).max().map_or(0, |last| last + 1);
    let datums: Vec<Vec<Datum<'_>>> = input
        .iter()
        .map(|(row, _)| {
            let mut datums = Vec::with_capacity(used);
            unpack_into(row.as_bytes(), &window.kinds[..used], &mut datums);
            datums
        })
        .collect();
    let compare =
        |left: &usize, right: &usize| -> Ordering { order::compare(&window.order, &datums[*left], &datums[*right]) };
    places.sort_by(compare);
    places
}
