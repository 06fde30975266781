//! What must still be written for a shard to hold what is desired: `desired - persisted`, by time and row.
//!
//! Updates lie in sorted runs, each less than half as long as the one before, so an update takes part in a logarithmic number
//! of merges. Runs are sorted *downward* by time: those that are due are cut off the end, and updates of the future are not
//! touched while they wait.

use std::cmp::Reverse;

use repr::{Diff, Row, Timestamp};

use crate::feed::StoredUpdate;

/// Updates gathered before they become a run.
const PENDING_UPDATES: usize = 1 << 12;

#[derive(Default)]
pub(crate) struct Correction {
    /// Sorted by (time descending, row), consolidated.
    runs: Vec<Vec<StoredUpdate>>,
    pending: Vec<StoredUpdate>,
}

impl Correction {
    /// Adds what is desired.
    pub(crate) fn desire(&mut self, updates: impl IntoIterator<Item = StoredUpdate>) {
        for update in updates {
            self.pending.push(update);
            if self.pending.len() >= PENDING_UPDATES {
                self.flush();
            }
        }
    }

    /// Takes off what is persisted.
    pub(crate) fn persist(&mut self, updates: impl IntoIterator<Item = StoredUpdate>) {
        self.desire(updates.into_iter().map(|(row, time, diff)| (row, time, diff.negate())));
    }

    /// What must be appended at times in `[lower, upper)`; corrections of earlier times are due at `lower`.
    ///
    /// They stay here until the same updates come back as persisted. Shape: consolidated, times ascending.
    pub(crate) fn due(&mut self, lower: Timestamp, upper: Timestamp) -> Vec<StoredUpdate> {
        self.flush();
        let mut due = Vec::new();
        for run in &mut self.runs {
            let point = run.partition_point(|(_, time, _)| *time >= upper);
            due.extend(run.split_off(point).into_iter().map(|(row, time, diff)| (row, time.max(lower), diff)));
        }
        self.runs.retain(|run| !run.is_empty());
        consolidate(&mut due);
        let batch = due.iter().rev().cloned().collect();
        self.push_run(due);
        batch
    }

    /// How many updates are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.pending.len() + self.runs.iter().map(Vec::len).sum::<usize>()
    }

    fn flush(&mut self) {
        let mut run = std::mem::take(&mut self.pending);
        consolidate(&mut run);
        self.push_run(run);
    }

    fn push_run(&mut self, run: Vec<StoredUpdate>) {
        if run.is_empty() {
            return;
        }
        self.runs.push(run);
        self.runs.sort_by_key(|run| Reverse(run.len()));
        while let [.., longer, shorter] = &self.runs[..]
            && longer.len() < 2 * shorter.len()
        {
            let (shorter, longer) = (self.runs.pop(), self.runs.pop());
            let merged = merge(longer.unwrap_or_default(), shorter.unwrap_or_default());
            if !merged.is_empty() {
                self.runs.push(merged);
            }
            self.runs.sort_by_key(|run| Reverse(run.len()));
        }
    }
}

fn order(update: &StoredUpdate) -> (Reverse<Timestamp>, &Row) {
    (Reverse(update.1), &update.0)
}

fn consolidate(updates: &mut Vec<StoredUpdate>) {
    updates.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
    updates.dedup_by(|next, kept| {
        let same = next.1 == kept.1 && next.0 == kept.0;
        if same {
            kept.2 = kept.2.plus(next.2);
        }
        same
    });
    updates.retain(|(_, _, diff)| !diff.is_zero());
}

fn merge(left: Vec<StoredUpdate>, right: Vec<StoredUpdate>) -> Vec<StoredUpdate> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let which = match (left.peek(), right.peek()) {
            (Some(l), Some(r)) => order(l).cmp(&order(r)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return merged,
        };
        let mut add = |next: Option<StoredUpdate>| merged.extend(next);
        match which {
            std::cmp::Ordering::Less => add(left.next()),
            std::cmp::Ordering::Greater => add(right.next()),
            std::cmp::Ordering::Equal => {
                let sum = left.next().zip(right.next()).map(|(l, r)| (l.0, l.1, l.2.plus(r.2)));
                add(sum.filter(|(_, _, diff): &(Row, Timestamp, Diff)| !diff.is_zero()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
