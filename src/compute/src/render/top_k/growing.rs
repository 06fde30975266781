//! TopK of what only grows: the first rows of a group so far are the multiplicity of its key.
//!
//! ```text
//! key → a 1, c 2    plus    b 1, d 1    is, of the first three    a 1, b 1, c 2
//! ```
//!
//! Law: the first k rows of a union are those of the union of its parts' first k rows. So merges of the arrangement drop what
//! is behind, and an insertion costs k comparisons at most, whatever the size of the group.

use std::cmp::Ordering;

use differential_dataflow::AsCollection;
use differential_dataflow::difference::{IsZero, Semigroup};
use expr::{ColumnOrder, EvalError};
use repr::row::skip_datum;
use repr::{Kind, Row};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;
use trace::{Diff, arrange_keys};

use super::{TopKPlan, pick};
use crate::render::operators::{Streams, reduce_fallible};
use crate::render::time::RenderTime;

/// The first rows of some, in order, up to the one at which `wanted` is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct First {
    wanted: u64,
    rows: Vec<Counted>,
}

/// A row behind the bytes by which it is ordered, and how often it occurs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Counted {
    order: Row,
    row: Row,
    count: u64,
}

impl IsZero for First {
    fn is_zero(&self) -> bool {
        false
    }
}

impl Semigroup for First {
    fn plus_equals(&mut self, other: &First) {
        let mut mine = std::mem::take(&mut self.rows).into_iter().peekable();
        let mut theirs = other.rows.iter().peekable();
        let mut found = 0u64;
        while found < self.wanted {
            let ordering = match (mine.peek(), theirs.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(mine), Some(theirs)) => (&mine.order, &mine.row).cmp(&(&theirs.order, &theirs.row)),
            };
            let first = if ordering.is_le() { mine.next() } else { theirs.next().cloned() };
            let mut first = first.expect("peeked at");
            if ordering.is_eq() {
                first.count = first.count.saturating_add(theirs.next().map_or(0, |same| same.count));
            }
            found = found.saturating_add(first.count);
            self.rows.push(first);
        }
    }
}

pub(super) fn render<'scope, T: RenderTime>(input: Streams<'scope, T>, plan: TopKPlan, end: u64) -> Streams<'scope, T> {
    let TopKPlan { kinds, group_key, order, offset, .. } = plan;
    // A row that is taken back after all would leave the answer wrong without a word.
    let taken_back = input.oks.inner.clone().flat_map(|(_, time, count)| {
        count.is_invalid_count().then(|| (EvalError::negative_multiplicity("top k"), time, Diff::ONE))
    });
    let first = input.oks.inner.flat_map(move |(row, time, count)| {
        let is_row = !count.is_zero() && !count.is_invalid_count();
        is_row.then(|| {
            let key = pick(&row, &kinds, &group_key);
            let count = count.get().unsigned_abs();
            let counted = Counted { order: order_bytes(&row, &kinds, &order), row, count };
            (key, time, First { wanted: end, rows: vec![counted] })
        })
    });
    let arranged = arrange_keys(first.as_collection(), "ArrangeGrowingTopK");
    let (kept, errs) = reduce_fallible(arranged, "GrowingTopK", move |_key, input, output| {
        let mut position = 0u64;
        for Counted { row, count, .. } in &input[0].1.rows {
            let next = position.saturating_add(*count);
            let kept = next.min(end).saturating_sub(position.max(offset));
            if kept > 0 {
                output.push((row.clone(), Diff::new(kept.cast_signed())));
            }
            position = next;
        }
        Ok(())
    });
    let oks = kept.as_collection(|_key, row| row.clone());
    Streams { oks, errs: input.errs.concat(errs).concat(taken_back.as_collection()) }
}

/// Bytes that order rows as the columns do: no datum's bytes start another's, so their complement turns the order around.
fn order_bytes(row: &Row, kinds: &[Kind], order: &[ColumnOrder]) -> Row {
    let used = order.iter().map(|column| column.column + 1).max().unwrap_or(0);
    let mut rest = row.as_bytes();
    let columns: Vec<&[u8]> = kinds[..used].iter().map(|kind| skip_datum(&mut rest, *kind)).collect();
    let mut bytes = Vec::new();
    for ColumnOrder { column, desc, nulls_last } in order {
        let datum = columns[*column];
        let is_null = datum == NULL;
        bytes.push(u8::from(is_null == *nulls_last));
        match (is_null, desc) {
            (true, _) => {}
            (false, false) => bytes.extend_from_slice(datum),
            (false, true) => bytes.extend(datum.iter().map(|byte| !byte)),
        }
    }
    Row::from_bytes(&bytes)
}

/// Packed NULL.
const NULL: &[u8] = &[0xFF];
