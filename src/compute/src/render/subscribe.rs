//! The end of a dataflow that a SUBSCRIBE reads: complete intervals of consolidated updates.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use expr::EvalError;
use protocol::compute::SubscribeUpdates;
use repr::{Diff, Row, Timestamp};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use trace::{Ts, upper_of};

use super::operators::Streams;

/// This worker's part of a subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// Where the next interval begins.
    lower: Timestamp,
    as_of: Timestamp,
    with_snapshot: bool,
    up_to: Timestamp,
    rows: BTreeMap<Timestamp, BTreeMap<Row, Diff>>,
    errors: BTreeMap<Timestamp, BTreeMap<EvalError, Diff>>,
    /// Errors that are there below `lower`.
    standing: BTreeMap<EvalError, Diff>,
    intervals: VecDeque<Interval>,
    is_over: bool,
}

/// The updates of `[lower, upper)`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) lower: Timestamp,
    pub(crate) upper: Timestamp,
    pub(crate) updates: SubscribeUpdates,
}

impl Subscription {
    pub(crate) fn new(as_of: Timestamp, with_snapshot: bool, up_to: Option<Timestamp>) -> Subscription {
        Subscription {
            lower: as_of,
            as_of,
            with_snapshot,
            up_to: up_to.unwrap_or(Timestamp::MAX),
            rows: BTreeMap::new(),
            errors: BTreeMap::new(),
            standing: BTreeMap::new(),
            intervals: VecDeque::new(),
            is_over: false,
        }
    }

    /// Where the intervals handed out so far end.
    pub(crate) fn upper(&self) -> Timestamp {
        self.lower
    }

    /// Takes the intervals that are complete.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Interval> + '_ {
        self.intervals.drain(..)
    }

    fn insert_row(&mut self, row: Row, time: Timestamp, diff: Diff) {
        let is_wanted = time < self.up_to && (self.with_snapshot || time > self.as_of);
        if is_wanted && !self.is_over {
            add(self.rows.entry(time).or_default(), row, diff);
        }
    }

    fn insert_error(&mut self, error: EvalError, time: Timestamp, diff: Diff) {
        if time < self.up_to && !self.is_over {
            add(self.errors.entry(time).or_default(), error, diff);
        }
    }

    /// Everything below `frontier` has arrived.
    fn advance(&mut self, frontier: Timestamp) {
        let upper = frontier.min(self.up_to);
        if self.is_over || upper <= self.lower {
            return;
        }
        match self.first_error(upper) {
            None => self.emit(upper),
            Some((time, error)) => {
                if time > self.lower {
                    self.emit(time);
                }
                self.intervals.push_back(Interval { lower: self.lower, upper, updates: Err(error) });
                self.lower = upper;
                self.finish();
            }
        }
        if self.lower >= self.up_to {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.is_over = true;
        self.rows.clear();
        self.errors.clear();
    }

    /// The first time below `upper` at which an error stands, or at which a row's count cannot be told.
    fn first_error(&mut self, upper: Timestamp) -> Option<(Timestamp, EvalError)> {
        let later = self.errors.split_off(&upper);
        let mut found = None;
        for (time, errors) in std::mem::replace(&mut self.errors, later) {
            errors.into_iter().for_each(|(error, diff)| add(&mut self.standing, error, diff));
            if let Some((error, count)) = self.standing.first_key_value() {
                let invalid = count.is_invalid_count();
                let error = if invalid { EvalError::negative_multiplicity("errors") } else { error.clone() };
                found = Some((time, error));
                break;
            }
        }
        let overflowed = self.rows.range(..upper).find(|(_, rows)| rows.values().any(|diff| diff.is_overflow()));
        match (found, overflowed) {
            (Some((time, error)), Some((other, _))) if time <= *other => Some((time, error)),
            (_, Some((time, _))) => Some((*time, EvalError::negative_multiplicity("subscription"))),
            (found, None) => found,
        }
    }

    fn emit(&mut self, upper: Timestamp) {
        let later = self.rows.split_off(&upper);
        let ready = std::mem::replace(&mut self.rows, later);
        let updates =
            ready.into_iter().flat_map(|(time, rows)| rows.into_iter().map(move |(row, diff)| (row, time, diff)));
        self.intervals.push_back(Interval { lower: self.lower, upper, updates: Ok(updates.collect()) });
        self.lower = upper;
    }
}

fn add<K: Ord>(counts: &mut BTreeMap<K, Diff>, key: K, diff: Diff) {
    use std::collections::btree_map::Entry;
    match counts.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(diff);
        }
        Entry::Occupied(mut entry) => {
            let sum = entry.get().plus(diff);
            if sum.is_zero() {
                entry.remove();
            } else {
                entry.insert(sum);
            }
        }
    }
}

/// Lets `subscription` see a collection.
pub(crate) fn render(name: &str, input: Streams<'_, Ts>, subscription: Rc<RefCell<Subscription>>) {
    let mut builder = OperatorBuilder::new(format!("Subscribe {name}"), input.oks.scope());
    let mut oks = builder.new_input(input.oks.inner, Pipeline);
    let mut errs = builder.new_input(input.errs.inner, Pipeline);
    builder.build(move |_capabilities| {
        move |frontiers| {
            let mut subscription = subscription.borrow_mut();
            oks.for_each(|_capability, updates| {
                for (row, time, diff) in updates.drain(..) {
                    subscription.insert_row(row, time.into(), diff.into());
                }
            });
            errs.for_each(|_capability, updates| {
                for (error, time, diff) in updates.drain(..) {
                    subscription.insert_error(error, time.into(), diff.into());
                }
            });
            let frontier = frontiers.iter().map(|frontier| upper_of(frontier.frontier())).min();
            subscription.advance(frontier.unwrap_or(Timestamp::MAX));
        }
    });
}
