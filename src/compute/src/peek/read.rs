//! Reading snapshots of an index at a time: errors first, then rows through the MFP, of which the first by the order are kept.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};

use differential_dataflow::trace::Cursor;
use differential_dataflow::trace::cursor::cursor_list;
use expr::mfp::MfpPlan;
use expr::{EvalError, Mfp, order};
use protocol::peek::{Peek, PeekOutcome, PeekTarget, RowOrder};
use protocol::{KeyRange, Lookup};
use repr::{Diff, Kind, Row, Timestamp};

use crate::evaluator::MfpEvaluator;
use crate::index::Snapshot;
use crate::layout::output_kinds;

/// Keys looked at between two checks whether the peek is still wanted.
const CHECK_KEYS: usize = 1024;
/// What a connection reads itself: handing a read to the pool and back takes longer than this many keys or ranges, and values.
const QUICK_KEYS: usize = 16;
const QUICK_VALUES: usize = 256;

/// Answers a peek. `snapshots` are those of all workers of the process, each with its time in `[since, upper)`.
pub(super) fn read(peek: &Peek, snapshots: &[Arc<Snapshot>], is_canceled: &AtomicBool) -> PeekOutcome {
    match try_read(peek, snapshots, is_canceled, usize::MAX) {
        Ok(rows) => PeekOutcome::Rows(rows),
        Err(Stop::Error(error)) => PeekOutcome::Error(error),
        Err(Stop::Canceled | Stop::TooLong) => PeekOutcome::Canceled,
    }
}

/// Answers a peek that looks up few keys or ranges with few values, or wants few of the first; None if there is more to read than is quick.
pub(super) fn read_quickly(peek: &Peek, snapshots: &[Arc<Snapshot>]) -> Option<PeekOutcome> {
    let PeekTarget::Index { lookup, front, .. } = &peek.target;
    let is_short = match lookup {
        Some(lookup) => lookup.len() <= QUICK_KEYS,
        None => *front > 0,
    };
    if !is_short {
        return None;
    }
    match try_read(peek, snapshots, &AtomicBool::new(false), QUICK_VALUES) {
        Ok(rows) => Some(PeekOutcome::Rows(rows)),
        Err(Stop::Error(error)) => Some(PeekOutcome::Error(error)),
        Err(Stop::Canceled | Stop::TooLong) => None,
    }
}

enum Stop {
    Error(EvalError),
    Canceled,
    TooLong,
}

impl From<EvalError> for Stop {
    fn from(error: EvalError) -> Stop {
        Stop::Error(error)
    }
}

fn try_read(
    peek: &Peek,
    snapshots: &[Arc<Snapshot>],
    is_canceled: &AtomicBool,
    values_max: usize,
) -> Result<Vec<(Row, Diff)>, Stop> {
    if let Some(error) = snapshots.iter().filter_map(|snapshot| first_error(snapshot, peek.at)).min() {
        return Err(Stop::Error(error));
    }
    let plan = MfpPlan::new(peek.mfp.clone())?;
    if plan.is_temporal() {
        return Err(Stop::Error(EvalError::new("XX000", "a peek was sent with mz_now() unbound")));
    }
    let mut reader = Reader {
        at: peek.at,
        evaluator: MfpEvaluator::new(plan),
        results: Results::new(&peek.order, &peek.mfp, peek.result_bytes_max),
        is_canceled,
        keys_seen: 0,
        values_left: values_max,
        front: Front::default(),
    };
    let PeekTarget::Index { lookup, front, .. } = &peek.target;
    for snapshot in snapshots {
        reader.front = Front { columns: *front, ..Front::default() };
        match lookup {
            Some(Lookup::Keys(keys)) => reader.look_up(snapshot, keys)?,
            Some(Lookup::Ranges(ranges)) => reader.read_ranges(snapshot, ranges)?,
            None => reader.read_ranges(snapshot, &[KeyRange::default()])?,
        }
    }
    Ok(reader.results.finish()?)
}

/// The least error of the snapshot that stands at `at`.
fn first_error(snapshot: &Snapshot, at: Timestamp) -> Option<EvalError> {
    let (mut cursor, batches) = cursor_list(snapshot.errs.clone());
    while let Some(error) = cursor.get_key(&batches) {
        let mut count = Diff::ZERO;
        while cursor.get_val(&batches).is_some() {
            cursor.map_times(&batches, |time, diff| {
                if time.0 <= at {
                    count = count.plus(diff.0);
                }
            });
            cursor.step_val(&batches);
        }
        if count.is_invalid_count() {
            return Some(EvalError::negative_multiplicity("errors"));
        }
        if !count.is_zero() {
            return Some(error.clone());
        }
        cursor.step_key(&batches);
    }
    None
}

struct Reader<'a> {
    at: Timestamp,
    evaluator: MfpEvaluator,
    results: Results,
    is_canceled: &'a AtomicBool,
    keys_seen: usize,
    values_left: usize,
    front: Front,
}

/// How far the first rows by the order have been found in one snapshot, whose keys come in that order.
#[derive(Default)]
struct Front {
    /// The columns of the key that tell the order; 0: none.
    columns: usize,
    /// Rows found, by their counts.
    found: u64,
    /// These columns of the last key.
    last: Vec<u8>,
}

impl Front {
    /// Whether `wanted` rows are found of which all are before the rows of a key with these first columns.
    fn is_complete(&mut self, columns: &[u8], wanted: Option<u64>) -> bool {
        if columns == self.last {
            return false;
        }
        self.last.clear();
        self.last.extend_from_slice(columns);
        wanted.is_some_and(|wanted| self.found >= wanted)
    }
}

impl Reader<'_> {
    fn look_up(&mut self, snapshot: &Snapshot, keys: &[Row]) -> Result<(), Stop> {
        let (mut cursor, batches) = cursor_list(snapshot.oks.clone());
        for key in keys {
            cursor.seek_key(&batches, key);
            if cursor.get_key(&batches) == Some(key) {
                if self.has_front(snapshot, key) {
                    break;
                }
                self.read_key(snapshot, &mut cursor, &batches, key)?;
            }
        }
        Ok(())
    }

    /// Reads ranges that are sorted and apart: a cursor seeks forward only.
    fn read_ranges(&mut self, snapshot: &Snapshot, ranges: &[KeyRange]) -> Result<(), Stop> {
        let (mut cursor, batches) = cursor_list(snapshot.oks.clone());
        for range in ranges {
            cursor.seek_key(&batches, &range.from);
            while let Some(key) = cursor.get_key(&batches).filter(|key| range.reaches(key)) {
                if self.has_front(snapshot, key) {
                    return Ok(());
                }
                self.read_key(snapshot, &mut cursor, &batches, key)?;
                cursor.step_key(&batches);
            }
        }
        Ok(())
    }

    /// Whether neither this key nor any behind it can have a row that is wanted.
    fn has_front(&mut self, snapshot: &Snapshot, key: &Row) -> bool {
        let columns = self.front.columns;
        columns > 0 && self.front.is_complete(snapshot.layout.first_of_key(key, columns), self.results.count_max)
    }

    /// Reads the values of the key at which the cursor stands.
    fn read_key<C>(&mut self, snapshot: &Snapshot, cursor: &mut C, batches: &C::Storage, key: &Row) -> Result<(), Stop>
    where
        C: for<'a> Cursor<Val<'a> = &'a Row, TimeGat<'a> = &'a trace::Ts, DiffGat<'a> = &'a trace::Diff>,
    {
        self.keys_seen += 1;
        if self.keys_seen.is_multiple_of(CHECK_KEYS) && self.is_canceled.load(Atomic::Relaxed) {
            return Err(Stop::Canceled);
        }
        let at = self.at;
        while let Some(value) = cursor.get_val(batches) {
            self.values_left = self.values_left.checked_sub(1).ok_or(Stop::TooLong)?;
            let mut count = Diff::ZERO;
            cursor.map_times(batches, |time, diff| {
                if time.0 <= at {
                    count = count.plus(diff.0);
                }
            });
            if count.is_invalid_count() {
                return Err(Stop::Error(EvalError::negative_multiplicity("result")));
            }
            if !count.is_zero()
                && let Some(row) = self.evaluator.evaluate(&snapshot.layout.restore(key, value))?
            {
                self.front.found = self.front.found.saturating_add(count.get().unsigned_abs());
                self.results.push(row, count)?;
            }
            cursor.step_val(batches);
        }
        Ok(())
    }
}

/// The rows kept so far: all of them, or the first `offset + limit` by the order.
struct Results {
    order: RowOrder,
    kinds: Vec<Kind>,
    /// Rows wanted at most, by their counts.
    count_max: Option<u64>,
    rows: Vec<(Row, Diff)>,
    bytes: u64,
    bytes_max: u64,
    /// Rows at which those beyond `count_max` are dropped.
    prune_at: usize,
}

impl Results {
    fn new(order: &RowOrder, mfp: &Mfp, bytes_max: u64) -> Results {
        let count_max = order.limit.map(|limit| limit.saturating_add(order.offset));
        let prune_at = count_max
            .map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(2).max(1024));
        let kinds = output_kinds(mfp);
        Results { order: order.clone(), kinds, count_max, rows: Vec::new(), bytes: 0, bytes_max, prune_at }
    }

    fn push(&mut self, row: Row, count: Diff) -> Result<(), EvalError> {
        if self.count_max == Some(0) {
            return Ok(());
        }
        self.bytes += row.len_bytes() as u64;
        self.rows.push((row, count));
        if self.rows.len() >= self.prune_at {
            self.prune()?;
        }
        if self.bytes > self.bytes_max {
            self.prune()?;
        }
        if self.bytes > self.bytes_max {
            let message = format!("result exceeds the maximum of {} bytes", self.bytes_max);
            return Err(EvalError::new("53200", message));
        }
        Ok(())
    }

    /// Adds up equal rows, sorts, and drops what is behind the last row wanted.
    fn prune(&mut self) -> Result<(), EvalError> {
        let mut counts: BTreeMap<Row, Diff> = BTreeMap::new();
        for (row, count) in self.rows.drain(..) {
            let sum = counts.entry(row).or_insert(Diff::ZERO);
            *sum = sum.plus(count);
        }
        if counts.values().any(|count| count.is_invalid_count()) {
            return Err(EvalError::negative_multiplicity("result"));
        }
        // They are sorted by bytes now, which decides ties.
        let mut rows: Vec<(Row, Diff)> = counts.into_iter().collect();
        if !self.order.order.is_empty() {
            sort(&mut rows, &self.order, &self.kinds);
        }
        if let Some(mut left) = self.count_max {
            let mut kept = 0;
            for (_, count) in &mut rows {
                if left == 0 {
                    break;
                }
                let taken = left.min(count.get().unsigned_abs());
                left -= taken;
                *count = Diff::new(taken.cast_signed());
                kept += 1;
            }
            rows.truncate(kept);
        }
        self.bytes = rows.iter().map(|(row, _)| row.len_bytes() as u64).sum();
        self.rows = rows;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<(Row, Diff)>, EvalError> {
        self.prune()?;
        Ok(self.rows)
    }
}

fn sort(rows: &mut Vec<(Row, Diff)>, row_order: &RowOrder, kinds: &[Kind]) {
    let unsorted = std::mem::take(rows);
    let mut places: Vec<usize> = (0..unsorted.len()).collect();
    let datums: Vec<_> = unsorted.iter().map(|(row, _)| row.unpack(kinds)).collect();
    let compare =
        |left: &usize, right: &usize| -> Ordering { order::compare(&row_order.order, &datums[*left], &datums[*right]) };
    places.sort_by(compare);
    rows.extend(places.into_iter().map(|place| unsorted[place].clone()));
}
