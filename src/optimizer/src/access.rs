//! How a one-off query gets its rows: without reading, by peeking at an index, or by a dataflow of its own.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use expr::interpret::{ROWS_MAX, interpret_unless, out_of_work};
use expr::{EvalError, Id, Mfp, Relation, Scalar};
use protocol::{KeyRange, Lookup, RowOrder};
use repr::{CollectionId, ColumnBounds, Diff, Row};

use crate::Objects;

/// Keys or ranges looked up at once; what would be more is looked up by fewer columns, or scanned.
const LOOKUP_KEYS_MAX: usize = 1_000;

/// Rows that a recursion may make while its query is planned: the interpreter makes all of them anew in each round.
const RECURSION_ROWS_MAX: u64 = 100_000;

#[derive(Clone, Debug)]
pub enum Access {
    /// Known without reading anything.
    Constant(Result<Vec<(Row, Diff)>, EvalError>),
    /// A filtered and projected read of one index.
    Index(IndexAccess),
    Dataflow,
}

#[derive(Clone, Debug)]
pub struct IndexAccess {
    pub index: CollectionId,
    /// The indexed object, and the index's key over its columns.
    pub on: CollectionId,
    pub key: Vec<Scalar>,
    /// None: all rows.
    pub lookup: Option<Lookup>,
    /// Over the columns of the indexed object.
    pub mfp: Mfp,
    /// How many columns of the key order the rows as they are wanted; see [`protocol::PeekTarget`]. 0 until an order is known.
    pub front: usize,
    /// How many columns of the key have but one value in what is looked up.
    fixed: usize,
}

/// Chooses for an optimized relation.
pub fn access(relation: &Relation, objects: &dyn Objects) -> Access {
    access_unless(relation, objects, &mut || false).expect("it is not interrupted")
}

/// As [`access`], which may take as long as evaluating a relation that reads nothing. None if that was given up because
/// `interrupted`, which is asked every so often, said so.
pub fn access_unless(
    relation: &Relation,
    objects: &dyn Objects,
    interrupted: &mut dyn FnMut() -> bool,
) -> Option<Access> {
    if relation.depends_on().is_empty()
        && let Some(rows) = evaluate(relation, interrupted)?
    {
        return Some(Access::Constant(rows));
    }
    Some(match index_access(relation, objects) {
        Some(access) => Access::Index(access),
        None => Access::Dataflow,
    })
}

type Rows = Result<Vec<(Row, Diff)>, EvalError>;

/// The rows of a relation that reads nothing; `Some(None)` if they are too many to be made here, None if interrupted.
#[allow(clippy::option_option)]
fn evaluate(relation: &Relation, interrupted: &mut dyn FnMut() -> bool) -> Option<Option<Rows>> {
    let mut recursive = false;
    relation.visit_pre(&mut |node| recursive |= matches!(node, Relation::LetRec { .. }));
    let rows_max = if recursive { RECURSION_ROWS_MAX } else { ROWS_MAX };
    Some(match interpret_unless(relation, &BTreeMap::new(), rows_max, interrupted)?.into_result() {
        Ok(rows) => Some(Ok(rows.into_iter().collect())),
        Err(error) if error == out_of_work() => None,
        Err(error) => Some(Err(error)),
    })
}

fn index_access(relation: &Relation, objects: &dyn Objects) -> Option<IndexAccess> {
    let (mut mfp, base) = Mfp::extract_from_relation(relation);
    let Relation::Get { id: Id::Global(on), .. } = base else { return None };
    mfp.optimize();
    let on = *on;
    if let Some(Found { index, key, lookup, fixed, .. }) = best_lookup(objects.indexes(on), &mfp) {
        return Some(IndexAccess { index, on, key, lookup: Some(lookup), mfp, front: 0, fixed });
    }
    let (index, key) = objects.indexes(on).into_iter().next()?;
    Some(IndexAccess { index, on, key, lookup: None, mfp, front: 0, fixed: 0 })
}

impl IndexAccess {
    /// The same rows, for a reader who wants the first by an order: if the index has them in that order, reading may stop
    /// early. All rows are read by the index whose key tells most of the order.
    #[must_use]
    pub fn in_order(mut self, order: &RowOrder, objects: &dyn Objects) -> IndexAccess {
        // A failing row must fail wherever it is.
        if order.limit.is_none() || self.mfp.could_error() || self.mfp.contains_temporal() {
            return self;
        }
        if self.lookup.is_none() {
            let fronts = objects.indexes(self.on).into_iter().map(|(index, key)| {
                let front = front(&key, 0, &self.mfp, order);
                (front, Reverse(index), key)
            });
            if let Some((front, Reverse(index), key)) = fronts.max_by_key(|(front, index, _)| (*front, *index))
                && front > 0
            {
                (self.index, self.key) = (index, key);
            }
        }
        self.front = front(&self.key, self.fixed, &self.mfp, order);
        self
    }
}

/// How many columns of the key, from the first on, follow the order, or have one value only.
fn front(key: &[Scalar], fixed: usize, mfp: &Mfp, order: &RowOrder) -> usize {
    let mut wanted = wanted_columns(mfp, order).into_iter().peekable();
    let (mut front, mut followed) = (0, 0);
    for (place, column) in key.iter().enumerate() {
        if wanted.next_if(|wanted| *column == Scalar::Column(*wanted)).is_some() {
            followed += 1;
        } else if place >= fixed {
            break;
        }
        front = place + 1;
    }
    if followed == 0 { 0 } else { front }
}

/// The input columns by whose bytes the rows are ordered, as far as they are: those of the order, then all, which break ties.
fn wanted_columns(mfp: &Mfp, order: &RowOrder) -> Vec<usize> {
    let by_order = order.order.iter().map(|order| (order.column, order.desc || !order.nulls_last));
    let by_bytes = (0..mfp.arity()).map(|output| (output, false));
    let mut columns = Vec::new();
    for (place, (output, is_other)) in by_order.chain(by_bytes).enumerate() {
        let Some(input) = mfp.projection.get(output).filter(|input| **input < mfp.input_arity()) else { break };
        let is_tie_break = place >= order.order.len();
        if is_other || !is_tie_break && !mfp.input_kinds[*input].is_compared_by_bytes() {
            break;
        }
        if !columns.contains(input) {
            columns.push(*input);
        }
    }
    columns
}

/// An index, and which of its keys the predicates leave possible.
pub(crate) struct Found {
    pub(crate) index: CollectionId,
    pub(crate) key: Vec<Scalar>,
    pub(crate) lookup: Lookup,
    fixed: usize,
    rank: Rank,
}

/// The less the better: few keys, then ranges by many known columns, then ranges with both ends. Of equals the older index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Keys { count: usize },
    Ranges { known: Reverse<usize>, is_open: bool, count: usize },
}

/// The index by which the predicates of `mfp` leave fewest keys, if some leave not all.
pub(crate) fn best_lookup(indexes: Vec<(CollectionId, Vec<Scalar>)>, mfp: &Mfp) -> Option<Found> {
    indexes.into_iter().filter_map(|(index, key)| lookup(index, key, mfp)).min_by_key(|found| (found.rank, found.index))
}

/// The keys that the predicates leave possible; None if they say nothing of the first key column. The predicates stay in
/// force, so the keys may be too many but never too few.
fn lookup(index: CollectionId, key: Vec<Scalar>, mfp: &Mfp) -> Option<Found> {
    let bounds = mfp.bounds_on(&key);
    let mut prefixes = vec![Vec::new()];
    let mut fixed = 0;
    for place in 0..key.len() {
        let column = bounds.column(place).filter(|column| !is_any_value(column));
        let points = column.and_then(ColumnBounds::points);
        match points.filter(|points| prefixes.len().saturating_mul(points.len()) <= LOOKUP_KEYS_MAX) {
            Some(points) => {
                fixed += usize::from(fixed == place && points.len() == 1);
                let longer =
                    prefixes.iter().flat_map(|prefix| points.iter().map(move |point| [&prefix[..], point].concat()));
                prefixes = longer.collect();
            }
            None => {
                let (ranges, is_open) = ranges(&prefixes, column)?;
                let rank = Rank::Ranges { known: Reverse(place), is_open, count: ranges.len() };
                return Some(Found { index, key, lookup: Lookup::ranges(ranges), fixed, rank });
            }
        }
    }
    if key.is_empty() {
        return None;
    }
    let rank = Rank::Keys { count: prefixes.len() };
    let lookup = Lookup::keys(prefixes.iter().map(|key| Row::from_bytes(key)));
    Some(Found { index, key, lookup, fixed, rank })
}

/// Whether all that is known of a column is that it is not NULL: that is not worth a look-up.
fn is_any_value(column: &ColumnBounds) -> bool {
    column.ranges.iter().any(|range| range.low.is_none() && range.high.is_none())
}

/// The keys with these first columns and a next column within bounds, and whether some range of them has an open end; None if
/// that is all keys, or too many ranges.
fn ranges(prefixes: &[Vec<u8>], next: Option<&ColumnBounds>) -> Option<(Vec<KeyRange>, bool)> {
    let few = |next: &&ColumnBounds| prefixes.len().saturating_mul(next.ranges.len() + 1) <= LOOKUP_KEYS_MAX;
    if let Some(next) = next.filter(few) {
        let is_open = next.ranges.iter().any(|range| range.low.is_none() || range.high.is_none());
        return Some((prefixes.iter().flat_map(|prefix| KeyRange::within(prefix, next)).collect(), is_open));
    }
    let is_everything = prefixes.iter().any(Vec::is_empty);
    (!is_everything).then(|| (prefixes.iter().map(|prefix| KeyRange::starting_with(prefix)).collect(), true))
}
