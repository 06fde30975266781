//! Sort orders.

use serde::{Deserialize, Serialize};

/// Orders rows by one column. SQL's defaults: ASC NULLS LAST, DESC NULLS FIRST.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnOrder {
    pub column: usize,
    pub desc: bool,
    pub nulls_last: bool,
}

/// Compares two unpacked rows by `order`, without any tie-break.
pub fn compare(order: &[ColumnOrder], left: &[repr::Datum<'_>], right: &[repr::Datum<'_>]) -> std::cmp::Ordering {
    for column in order {
        let (left, right) = (&left[column.column], &right[column.column]);
        let ordering = match (left.is_null(), right.is_null()) {
            (true, true) => std::cmp::Ordering::Equal,
            (true, false) if column.nulls_last => std::cmp::Ordering::Greater,
            (true, false) => std::cmp::Ordering::Less,
            (false, true) if column.nulls_last => std::cmp::Ordering::Less,
            (false, true) => std::cmp::Ordering::Greater,
            (false, false) if column.desc => right.cmp(left),
            (false, false) => left.cmp(right),
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    std::cmp::Ordering::Equal
}
