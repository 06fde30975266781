//! Frames: which rows of its partition a window function looks at for one row.

use std::ops::Range;

use repr::Datum;
use serde::{Deserialize, Serialize};

use crate::order::ColumnOrder;

/// The frame of a call. Both bounds are inclusive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WindowFrame {
    pub units: FrameUnits,
    pub start: FrameBound,
    pub end: FrameBound,
    pub exclude: Exclude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FrameUnits {
    Rows,
    /// Groups of peers, and values of the order key.
    Range,
    /// Groups of peers.
    Groups,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FrameBound {
    UnboundedPreceding,
    /// So many rows or groups before.
    Preceding(u64),
    CurrentRow,
    Following(u64),
    UnboundedFollowing,
    /// RANGE: up to the value in the field `bound`, compared with that in the field `key`.
    Value {
        key: usize,
        bound: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Exclude {
    Nothing,
    CurrentRow,
    /// The row and its peers.
    Group,
    /// The row's peers, not itself.
    Ties,
}

impl Default for WindowFrame {
    fn default() -> WindowFrame {
        WindowFrame {
            units: FrameUnits::Range,
            start: FrameBound::UnboundedPreceding,
            end: FrameBound::CurrentRow,
            exclude: Exclude::Nothing,
        }
    }
}

/// Groups of rows that are equal in the window's order.
pub(super) struct Peers {
    /// For each row its group.
    groups: Vec<usize>,
    /// For each group its first row, and behind the last one the number of rows.
    starts: Vec<usize>,
}

impl Peers {
    pub(super) fn new(count: usize, equal: impl Fn(usize, usize) -> bool) -> Peers {
        let mut groups = Vec::with_capacity(count);
        let mut starts = Vec::new();
        for row in 0..count {
            if row == 0 || !equal(row - 1, row) {
                starts.push(row);
            }
            groups.push(starts.len() - 1);
        }
        starts.push(count);
        Peers { groups, starts }
    }

    /// The number, from 0, of the row's group.
    pub(super) fn group(&self, row: usize) -> usize {
        self.groups[row]
    }

    /// The row and its peers.
    pub(super) fn of(&self, row: usize) -> Range<usize> {
        self.at(self.groups[row])
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    fn at(&self, group: usize) -> Range<usize> {
        self.starts[group]..self.starts[group + 1]
    }
}

/// Rows of a frame: up to three ranges in order, where some are excluded in the middle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowRanges(pub(super) [Range<usize>; 3]);

impl RowRanges {
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().flat_map(Clone::clone)
    }

    pub(super) fn iter_back(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().rev().flat_map(|range| range.clone().rev())
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(ExactSizeIterator::len).sum()
    }
}

/// The rows of the frame of `row`. `order` is the first key of the window's order.
pub(super) fn rows(
    frame: &WindowFrame,
    order: Option<&ColumnOrder>,
    rows: &[Vec<Datum<'_>>],
    peers: &Peers,
    row: usize,
) -> RowRanges {
    let whole = whole(frame, order, rows, peers, row);
    let own = peers.of(row);
    let removed = match frame.exclude {
        Exclude::Nothing => row..row,
        Exclude::CurrentRow => row..row + 1,
        Exclude::Group | Exclude::Ties => own,
    };
    if removed.is_empty() {
        return RowRanges([whole, row..row, row..row]);
    }
    let before = whole.start..whole.end.min(removed.start).max(whole.start);
    let after = whole.start.max(removed.end).min(whole.end)..whole.end;
    let itself = match frame.exclude {
        Exclude::Ties if whole.contains(&row) => row..row + 1,
        _ => row..row,
    };
    RowRanges([before, itself, after])
}

/// The frame before anything is excluded.
pub(super) fn whole(
    frame: &WindowFrame,
    order: Option<&ColumnOrder>,
    rows: &[Vec<Datum<'_>>],
    peers: &Peers,
    row: usize,
) -> Range<usize> {
    let place = Place { frame, order, rows, peers, row };
    let start = place.start(frame.start);
    let end = place.end(frame.end);
    start..end.max(start)
}

struct Place<'p, 'a> {
    frame: &'p WindowFrame,
    order: Option<&'p ColumnOrder>,
    rows: &'p [Vec<Datum<'a>>],
    peers: &'p Peers,
    row: usize,
}

impl Place<'_, '_> {
    /// The first row of the frame.
    fn start(&self, bound: FrameBound) -> usize {
        let count = self.rows.len();
        let by_rows = self.frame.units == FrameUnits::Rows;
        let group = self.peers.group(self.row);
        match bound {
            FrameBound::UnboundedPreceding => 0,
            FrameBound::UnboundedFollowing => count,
            FrameBound::CurrentRow if by_rows => self.row,
            FrameBound::CurrentRow => self.peers.at(group).start,
            FrameBound::Preceding(distance) if by_rows => self.row.saturating_sub(steps(distance)),
            FrameBound::Preceding(distance) => self.peers.at(group.saturating_sub(steps(distance))).start,
            FrameBound::Following(distance) if by_rows => self.row.saturating_add(steps(distance)).min(count),
            FrameBound::Following(distance) => {
                self.peers.starts[group.saturating_add(steps(distance)).min(self.peers.count())]
            }
            FrameBound::Value { key, bound } => match self.value(bound) {
                None => self.peers.at(group).start,
                Some(bound) => self.first(key, |value, desc| if desc { *value > bound } else { *value < bound }),
            },
        }
    }

    /// The row behind the last one of the frame.
    fn end(&self, bound: FrameBound) -> usize {
        let count = self.rows.len();
        let by_rows = self.frame.units == FrameUnits::Rows;
        let group = self.peers.group(self.row);
        match bound {
            FrameBound::UnboundedPreceding => 0,
            FrameBound::UnboundedFollowing => count,
            FrameBound::CurrentRow if by_rows => self.row + 1,
            FrameBound::CurrentRow => self.peers.at(group).end,
            FrameBound::Preceding(distance) if by_rows => (self.row + 1).saturating_sub(steps(distance)),
            FrameBound::Preceding(distance) => match group.checked_sub(steps(distance)) {
                Some(group) => self.peers.at(group).end,
                None => 0,
            },
            FrameBound::Following(distance) if by_rows => {
                self.row.saturating_add(steps(distance)).saturating_add(1).min(count)
            }
            FrameBound::Following(distance) => {
                let last = self.peers.count() - 1;
                self.peers.at(group.saturating_add(steps(distance)).min(last)).end
            }
            FrameBound::Value { key, bound } => match self.value(bound) {
                None => self.peers.at(group).end,
                Some(bound) => self.first(key, |value, desc| if desc { *value >= bound } else { *value <= bound }),
            },
        }
    }

    /// The row's value of a RANGE bound; None where the order key is NULL, whose frame ends with its peers.
    fn value(&self, bound: usize) -> Option<Datum<'_>> {
        Some(self.rows[self.row][bound]).filter(|bound| !bound.is_null())
    }

    /// The first row, among those whose key is not NULL, that is not `before` the bound.
    fn first(&self, key: usize, before: impl Fn(&Datum<'_>, bool) -> bool) -> usize {
        let order = self.order.expect("RANGE with an offset has an order");
        let null_first = !order.nulls_last;
        let nulls = |rows: &[Vec<Datum<'_>>]| rows.partition_point(|fields| fields[key].is_null() == null_first);
        let boundary = nulls(self.rows);
        let range = if null_first { boundary..self.rows.len() } else { 0..boundary };
        let values = &self.rows[range.clone()];
        range.start + values.partition_point(|fields| before(&fields[key], order.desc))
    }
}

fn steps(distance: u64) -> usize {
    usize::try_from(distance).unwrap_or(usize::MAX)
}
