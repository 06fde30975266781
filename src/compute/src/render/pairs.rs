//! The pairs of a join, formed a slice at a time.
//!
//! Differential's own tactic forms all pairs of a key before it yields, and counts those that come out. The one key of a
//! cross join has as many pairs as the product of its inputs, and a selective filter lets none out: the worker would be deaf
//! for hours, even to the word that the query was cancelled. This tactic counts the pairs it looks at.
//!
//! Law: of each key that both sides have, each left value meets each right value once, at the join of their times and with
//! the product of their diffs. A slice ends between two left values, where the left cursor then stays. Once the dataflow has
//! ended there are no more slices.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::rc::Rc;

use differential_dataflow::consolidation::{consolidate, consolidate_updates};
use differential_dataflow::difference::Multiply;
use differential_dataflow::lattice::Lattice;
use differential_dataflow::operators::join::{Fresh, JoinTactic};
use differential_dataflow::trace::cursor::{CursorList, cursor_list};
use differential_dataflow::trace::{BatchReader, Cursor, Navigable};
use expr::EvalError;
use repr::Row;
use timely::Accountable;
use trace::Diff;

use super::Ended;
use super::time::RenderTime;

/// Forms the output row of a pair, if there is one: from the key, the left value and the right value.
pub(super) type PairLogic = Box<dyn FnMut(&Row, &Row, &Row) -> Option<Result<Row, EvalError>>>;

/// After how many pairs a slice ends.
const SLICE_PAIRS: i64 = 10_000;

/// What a pair counts against the driver's fuel of a million for each turn: turns of some 100,000 pairs take tens of
/// milliseconds, and others on the worker wait no longer than that.
const PAIR_FUEL: i64 = 10;

/// The rows of one slice. It counts by what was looked at, so that a slice without rows costs fuel too.
pub(super) struct Slice<T> {
    pub(super) updates: Vec<(Result<Row, EvalError>, T, Diff)>,
    looked_at: i64,
}

impl<T> Default for Slice<T> {
    fn default() -> Slice<T> {
        Slice { updates: Vec::new(), looked_at: 0 }
    }
}

impl<T> Accountable for Slice<T> {
    fn record_count(&self) -> i64 {
        self.looked_at * PAIR_FUEL
    }
}

/// The tactic: what [`differential_dataflow::operators::join::join_with_tactic`] asks for the pairs of two lists of batches.
pub(super) struct SlicedTactic {
    logic: Rc<RefCell<PairLogic>>,
    ended: Ended,
}

impl SlicedTactic {
    pub(super) fn new(logic: PairLogic, ended: Ended) -> SlicedTactic {
        SlicedTactic { logic: Rc::new(RefCell::new(logic)), ended }
    }
}

impl<T, Left, Right> JoinTactic<Left, Right, Slice<T>> for SlicedTactic
where
    T: RenderTime,
    Left: BatchReader<Time = T> + Navigable + 'static,
    Right: BatchReader<Time = T> + Navigable + 'static,
    Left::Cursor: Cursor<Time = T, Diff = Diff>,
    Right::Cursor: Cursor<Time = T, Diff = Diff>,
    for<'a> Left::Cursor: Cursor<Key<'a> = &'a Row, Val<'a> = &'a Row>,
    for<'a> Right::Cursor: Cursor<Key<'a> = &'a Row, Val<'a> = &'a Row>,
{
    fn prep(
        &mut self,
        left: Vec<Left>,
        right: Vec<Right>,
        fresh: Fresh,
        meet: T,
    ) -> Box<dyn Iterator<Item = Slice<T>>> {
        // What was there before may take the times of what is new, which shortens it.
        let (left_meet, right_meet) = match fresh {
            Fresh::Input0 => (None, Some(meet)),
            Fresh::Input1 => (Some(meet), None),
        };
        let left = Side::new(left, left_meet);
        let right = Side::new(right, right_meet);
        Box::new(Pairs { left, right, logic: Rc::clone(&self.logic), ended: self.ended.clone() })
    }
}

/// One side of a join: a cursor over batches.
struct Side<T, B: Navigable> {
    cursor: CursorList<B::Cursor>,
    batches: Vec<B>,
    /// The time to which earlier times are advanced.
    meet: Option<T>,
}

impl<T, B> Side<T, B>
where
    T: RenderTime,
    B: BatchReader<Time = T> + Navigable,
    B::Cursor: Cursor<Time = T, Diff = Diff>,
    for<'a> B::Cursor: Cursor<Key<'a> = &'a Row, Val<'a> = &'a Row>,
{
    fn new(batches: Vec<B>, meet: Option<T>) -> Side<T, B> {
        let (cursor, batches) = cursor_list(batches);
        Side { cursor, batches, meet }
    }
}

/// Adds the times and diffs of the value at which `cursor` stands to `times`, consolidated.
fn load_times<C>(cursor: &mut C, storage: &C::Storage, meet: Option<&C::Time>, times: &mut Vec<(C::Time, Diff)>)
where
    C: Cursor<Diff = Diff>,
    C::Time: RenderTime,
{
    times.clear();
    cursor.map_times(storage, |time, diff| {
        let time = C::owned_time(time);
        times.push((meet.map_or_else(|| time.clone(), |meet| time.join(meet)), C::owned_diff(diff)));
    });
    consolidate(times);
}

/// What is left to do of the join of two lists of batches.
struct Pairs<T, Left: Navigable, Right: Navigable> {
    left: Side<T, Left>,
    right: Side<T, Right>,
    logic: Rc<RefCell<PairLogic>>,
    ended: Ended,
}

impl<T, Left, Right> Pairs<T, Left, Right>
where
    T: RenderTime,
    Left: BatchReader<Time = T> + Navigable,
    Right: BatchReader<Time = T> + Navigable,
    Left::Cursor: Cursor<Time = T, Diff = Diff>,
    Right::Cursor: Cursor<Time = T, Diff = Diff>,
    for<'a> Left::Cursor: Cursor<Key<'a> = &'a Row, Val<'a> = &'a Row>,
    for<'a> Right::Cursor: Cursor<Key<'a> = &'a Row, Val<'a> = &'a Row>,
{
    /// Joins the values of `key`, from the left value that is next on. Returns true when the key is done.
    fn join_key(&mut self, slice: &mut Slice<T>) -> bool {
        let Pairs { left, right, logic, ended: _ } = self;
        let logic = &mut *logic.borrow_mut();
        let mut times = Vec::new();
        let mut right_edits: Vec<(&Row, T, Diff)> = Vec::new();
        right.cursor.rewind_vals(&right.batches);
        while let Some(value) = right.cursor.get_val(&right.batches) {
            load_times(&mut right.cursor, &right.batches, right.meet.as_ref(), &mut times);
            right_edits.extend(times.drain(..).map(|(time, diff)| (value, time, diff)));
            right.cursor.step_val(&right.batches);
        }
        let Some(key) = left.cursor.get_key(&left.batches) else { return true };
        while let Some(value) = left.cursor.get_val(&left.batches) {
            if slice.looked_at >= SLICE_PAIRS {
                return false;
            }
            load_times(&mut left.cursor, &left.batches, left.meet.as_ref(), &mut times);
            for (left_time, left_diff) in &times {
                for (right_value, right_time, right_diff) in &right_edits {
                    if let Some(result) = logic(key, value, right_value) {
                        slice.updates.push((result, left_time.join(right_time), left_diff.multiply(right_diff)));
                    }
                }
            }
            slice.looked_at += 1 + i64::try_from(times.len() * right_edits.len()).unwrap_or(i64::MAX >> 8);
            left.cursor.step_val(&left.batches);
        }
        true
    }
}

impl<T, Left, Right> Iterator for Pairs<T, Left, Right>
where
    T: RenderTime,
    Left: BatchReader<Time = T> + Navigable,
    Right: BatchReader<Time = T> + Navigable,
    Left::Cursor: Cursor<Time = T, Diff = Diff>,
    Right::Cursor: Cursor<Time = T, Diff = Diff>,
    for<'a> Left::Cursor: Cursor<Key<'a> = &'a Row, Val<'a> = &'a Row>,
    for<'a> Right::Cursor: Cursor<Key<'a> = &'a Row, Val<'a> = &'a Row>,
{
    type Item = Slice<T>;

    fn next(&mut self) -> Option<Slice<T>> {
        if self.ended.is_set() {
            return None;
        }
        let mut slice = Slice::default();
        while slice.looked_at < SLICE_PAIRS {
            let Pairs { left, right, .. } = self;
            let (Some(left_key), Some(right_key)) =
                (left.cursor.get_key(&left.batches), right.cursor.get_key(&right.batches))
            else {
                break;
            };
            slice.looked_at += 1;
            match left_key.cmp(right_key) {
                Ordering::Less => left.cursor.seek_key(&left.batches, right_key),
                Ordering::Greater => right.cursor.seek_key(&right.batches, left_key),
                Ordering::Equal => {
                    if self.join_key(&mut slice) {
                        self.left.cursor.step_key(&self.left.batches);
                        self.right.cursor.step_key(&self.right.batches);
                    }
                }
            }
        }
        consolidate_updates(&mut slice.updates);
        (slice.looked_at > 0).then_some(slice)
    }
}
