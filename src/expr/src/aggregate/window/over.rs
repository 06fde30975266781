//! Aggregates over frames. What can be taken back is carried along from frame to frame; the rest is computed frame by frame.

use std::collections::BTreeMap;
use std::ops::Range;

use repr::{Arena, Datum, Diff, ScalarType};

use super::frame::{self, Exclude, RowRanges};
use super::{Partition, WindowCall, too_large};
use crate::accumulate::Accumulator;
use crate::aggregate::{self, Aggregate, AggregateFunc};
use crate::error::EvalError;
use crate::scalar::Scalar;

/// Rows that the frames of one call may have together, where each is computed by itself.
const WORK_MAX: usize = 1 << 30;

impl<'a> Partition<'a, '_> {
    /// The aggregate over each row's frame.
    pub(super) fn aggregate(
        &self,
        call: &WindowCall,
        func: &AggregateFunc,
        argument: usize,
        arena: &'a Arena,
    ) -> Result<Vec<Datum<'a>>, EvalError> {
        let arg_type = &self.fields[argument].1.scalar;
        let over = Over { partition: self, call, func, argument, arg_type, arena };
        if func.is_accumulable() {
            let carried = Sum { over: &over, total: Accumulator::zero(func, arg_type), range: 0..0 };
            return over.sums(carried);
        }
        match func {
            AggregateFunc::Min | AggregateFunc::Max if call.frame.exclude == Exclude::Nothing => Ok(over.extremes()),
            _ => over.each_frame(),
        }
    }
}

struct Over<'o, 'a, 'w> {
    partition: &'o Partition<'a, 'w>,
    call: &'o WindowCall,
    func: &'o AggregateFunc,
    argument: usize,
    arg_type: &'o ScalarType,
    arena: &'a Arena,
}

impl<'a> Over<'_, 'a, '_> {
    fn value(&self, row: usize) -> Datum<'a> {
        self.partition.rows[row][self.argument]
    }

    fn whole(&self, row: usize) -> Range<usize> {
        let Partition { window, rows, peers, .. } = self.partition;
        frame::whole(&self.call.frame, window.order_by.first(), rows, peers, row)
    }

    /// The value of each row's frame, which is not asked for again if the frame is the one before.
    fn by_frame(
        &self,
        mut value_of: impl FnMut(usize, &RowRanges) -> Result<Datum<'a>, EvalError>,
    ) -> Result<Vec<Datum<'a>>, EvalError> {
        let mut values = Vec::with_capacity(self.partition.rows.len());
        let mut before: Option<(RowRanges, Datum<'a>)> = None;
        for row in 0..self.partition.rows.len() {
            let ranges = self.partition.frame(self.call, row);
            let value = match &before {
                Some((same, value)) if *same == ranges => *value,
                _ if ranges.len() == 0 => self.func.default_over_no_rows(),
                _ => value_of(row, &ranges)?,
            };
            values.push(value);
            before = Some((ranges, value));
        }
        Ok(values)
    }

    /// Sums: each frame is the one before, with some rows more and some less.
    fn sums(&self, mut carried: Sum<'_, '_, 'a, '_>) -> Result<Vec<Datum<'a>>, EvalError> {
        self.by_frame(|row, ranges| {
            let whole = self.whole(row);
            carried.go_to(whole.clone());
            let mut total = carried.total.clone();
            // What is excluded lies between the ranges.
            let [first, itself, last] = &ranges.0;
            if self.call.frame.exclude != Exclude::Nothing {
                for row in first.end..last.start {
                    if whole.contains(&row) && !itself.contains(&row) {
                        total.plus_equals(&self.part(row, Diff::MINUS_ONE));
                    }
                }
            }
            total.finish(self.func, self.arg_type, self.arena)
        })
    }

    /// What a row contributes, times `diff`.
    fn part(&self, row: usize, diff: Diff) -> Accumulator {
        let mut part = Accumulator::from_datum(self.func, self.arg_type, self.value(row));
        part.times(diff);
        part
    }

    /// Least and greatest values, by the multiset of the values in the frame.
    fn extremes(&self) -> Vec<Datum<'a>> {
        let mut counts: BTreeMap<Datum<'a>, usize> = BTreeMap::new();
        let mut range = 0..0;
        let mut values = Vec::with_capacity(self.partition.rows.len());
        for row in 0..self.partition.rows.len() {
            let wanted = self.whole(row);
            steps(&mut range, wanted, |row, entered| {
                let value = self.value(row);
                if value.is_null() {
                    return;
                }
                let count = counts.entry(value).or_default();
                *count = if entered { *count + 1 } else { *count - 1 };
                if *count == 0 {
                    counts.remove(&value);
                }
            });
            let found = match self.func {
                AggregateFunc::Min => counts.first_key_value(),
                _ => counts.last_key_value(),
            };
            values.push(found.map_or(Datum::Null, |(value, _)| *value));
        }
        values
    }

    /// Everything else: each frame by itself, unless it is the one before.
    fn each_frame(&self) -> Result<Vec<Datum<'a>>, EvalError> {
        let mut work = 0usize;
        self.by_frame(|_row, ranges| {
            work += ranges.len();
            if work > WORK_MAX {
                return Err(too_large());
            }
            self.of_rows(ranges)
        })
    }

    fn of_rows(&self, ranges: &RowRanges) -> Result<Datum<'a>, EvalError> {
        let rows = ranges.iter().map(|row| self.value(row));
        if self.func.keeps_order() {
            return aggregate::evaluate_in_order(self.func, self.arg_type, rows, self.arena);
        }
        let aggregate = Aggregate {
            func: self.func.clone(),
            expr: Scalar::Column(0),
            arg_type: self.arg_type.clone(),
            distinct: false,
        };
        aggregate::evaluate(&aggregate, rows.map(|value| (value, Diff::ONE)), self.arena)
    }
}

/// The sum over a range of rows.
struct Sum<'s, 'o, 'a, 'w> {
    over: &'s Over<'o, 'a, 'w>,
    total: Accumulator,
    range: Range<usize>,
}

impl Sum<'_, '_, '_, '_> {
    fn go_to(&mut self, wanted: Range<usize>) {
        let (over, total) = (self.over, &mut self.total);
        steps(&mut self.range, wanted, |row, entered| {
            total.plus_equals(&over.part(row, if entered { Diff::ONE } else { Diff::MINUS_ONE }));
        });
    }
}

/// Calls `step` with each row that enters or leaves when `range` becomes `wanted`.
fn steps(range: &mut Range<usize>, wanted: Range<usize>, mut step: impl FnMut(usize, bool)) {
    // Ranges that do not meet share no row: all leave, then all enter.
    if wanted.start >= range.end || wanted.end <= range.start {
        range.clone().for_each(|row| step(row, false));
        wanted.clone().for_each(|row| step(row, true));
    } else {
        (range.start..wanted.start).for_each(|row| step(row, false));
        (wanted.end..range.end).for_each(|row| step(row, false));
        (wanted.start..range.start).for_each(|row| step(row, true));
        (range.end..wanted.end).for_each(|row| step(row, true));
    }
    *range = wanted;
}
