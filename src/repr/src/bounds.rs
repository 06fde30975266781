//! What a reader wants of a collection, so coarsely that whole blocks can be left out: column by column, ranges of packed bytes.
//!
//! Law: a row whose datum in some column is outside that column's bounds is of no interest. A row inside all of them may be.

use std::collections::{BTreeMap, BTreeSet};

/// Bounds on some columns, all of which a row of interest meets. None at all: every row is of interest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    columns: BTreeMap<usize, ColumnBounds>,
}

/// The datums of one column that are of interest; nothing listed: none is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnBounds {
    pub nulls: bool,
    /// Of datums that are not NULL.
    pub ranges: Vec<ByteRange>,
}

/// Packed datums from `low` to `high`, both included; none: without an end on that side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByteRange {
    pub low: Option<Vec<u8>>,
    pub high: Option<Vec<u8>>,
}

impl Bounds {
    /// Bounds on one column.
    pub fn on(column: usize, bounds: ColumnBounds) -> Bounds {
        Bounds { columns: BTreeMap::from([(column, bounds)]) }
    }

    /// True if nothing can be left out.
    pub fn is_everything(&self) -> bool {
        self.columns.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &ColumnBounds)> {
        self.columns.iter().map(|(column, bounds)| (*column, bounds))
    }

    /// Also rows that are NULL in some of the bounded columns.
    pub fn or_null(mut self) -> Bounds {
        self.columns.values_mut().for_each(|bounds| bounds.nulls = true);
        self
    }

    /// What is wanted of one column; None: everything.
    pub fn column(&self, column: usize) -> Option<&ColumnBounds> {
        self.columns.get(&column)
    }

    /// Rows that both want.
    pub fn and(mut self, other: Bounds) -> Bounds {
        for (column, bounds) in other.columns {
            let both = match self.columns.remove(&column) {
                Some(mine) => mine.and(&bounds),
                None => bounds,
            };
            self.columns.insert(column, both);
        }
        self
    }

    /// Rows that either wants.
    pub fn or(self, mut other: Bounds) -> Bounds {
        let either = self.columns.into_iter().filter_map(|(column, mut mine)| {
            let theirs = other.columns.remove(&column)?;
            mine.nulls |= theirs.nulls;
            mine.ranges.extend(theirs.ranges);
            Some((column, mine))
        });
        Bounds { columns: either.collect() }
    }
}

impl ColumnBounds {
    /// The datums wanted, packed, in order, if it is single datums that are; NULL among them.
    pub fn points(&self) -> Option<Vec<Vec<u8>>> {
        let mut points = BTreeSet::new();
        for range in &self.ranges {
            match (&range.low, &range.high) {
                (Some(low), Some(high)) if low == high => points.insert(low.clone()),
                _ => return None,
            };
        }
        if self.nulls {
            points.insert(vec![crate::codec::NULL]);
        }
        Some(points.into_iter().collect())
    }

    /// NULL alone.
    pub fn null() -> ColumnBounds {
        ColumnBounds { nulls: true, ranges: Vec::new() }
    }

    /// Datums in a range, not NULL.
    pub fn range(low: Option<&[u8]>, high: Option<&[u8]>) -> ColumnBounds {
        let range = ByteRange { low: low.map(<[u8]>::to_vec), high: high.map(<[u8]>::to_vec) };
        ColumnBounds { nulls: false, ranges: vec![range] }
    }

    fn and(&self, other: &ColumnBounds) -> ColumnBounds {
        let pairs = self.ranges.iter().flat_map(|mine| other.ranges.iter().map(move |theirs| mine.and(theirs)));
        ColumnBounds { nulls: self.nulls && other.nulls, ranges: pairs.filter(|range| !range.is_empty()).collect() }
    }
}

impl ByteRange {
    fn and(&self, other: &ByteRange) -> ByteRange {
        let low = self.low.clone().max(other.low.clone());
        let high = match (&self.high, &other.high) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs).clone()),
            (mine, theirs) => mine.clone().or_else(|| theirs.clone()),
        };
        ByteRange { low, high }
    }

    fn is_empty(&self) -> bool {
        matches!((&self.low, &self.high), (Some(low), Some(high)) if low > high)
    }

    /// True if some datum from `min` to `max` (none: however great) is in the range.
    pub fn overlaps(&self, min: &[u8], max: Option<&[u8]>) -> bool {
        let is_above = matches!((&self.low, max), (Some(low), Some(max)) if max < &low[..]);
        let is_below = self.high.as_ref().is_some_and(|high| min > &high[..]);
        !is_above && !is_below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(low: u8, high: u8) -> Bounds {
        Bounds::on(0, ColumnBounds::range(Some(&[low]), Some(&[high])))
    }

    #[test]
    fn both_is_narrower_and_either_is_wider() {
        let (_, column) = (between(1, 5).and(between(3, 9))).columns.pop_first().expect("bounded");
        assert_eq!(column, ColumnBounds::range(Some(&[3]), Some(&[5])));
        let nothing = between(1, 2).and(between(3, 4));
        assert_eq!(nothing, Bounds::on(0, ColumnBounds::default()));
        let either = between(1, 2).or(Bounds::on(0, ColumnBounds::null()));
        let expected = ColumnBounds { nulls: true, ..ColumnBounds::range(Some(&[1]), Some(&[2])) };
        assert_eq!(either, Bounds::on(0, expected));
        assert!(between(1, 2).or(Bounds::on(1, ColumnBounds::null())).is_everything());
        assert!(between(1, 2).or(Bounds::default()).is_everything());
    }

    #[test]
    fn points_are_ranges_of_one_datum() {
        let points = |bounds: &Bounds| bounds.column(0).and_then(ColumnBounds::points);
        let two = between(4, 4).or(between(1, 1)).or(between(4, 4));
        assert_eq!(points(&two), Some(vec![vec![1], vec![4]]));
        assert_eq!(points(&two.or_null()), Some(vec![vec![1], vec![4], vec![0xFF]]));
        assert_eq!(points(&between(1, 2)), None);
    }

    #[test]
    fn open_ends_are_open() {
        let from = ByteRange { low: Some(vec![5]), high: None };
        assert!(from.overlaps(&[1], None) && from.overlaps(&[1], Some(&[5])) && !from.overlaps(&[1], Some(&[4, 9])));
        let upto = ByteRange { low: None, high: Some(vec![5]) };
        assert!(upto.overlaps(&[5], None) && !upto.overlaps(&[5, 0], None));
        assert_eq!(from.and(&upto), ByteRange { low: Some(vec![5]), high: Some(vec![5]) });
    }
}
