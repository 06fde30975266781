//! COUNTER: 1, 2, 3, ..., of which the last `max_cardinality` stay.

use repr::{Datum, Diff, Row};

use super::Change;

/// What an offset changes: the next number arrives and, with a limit, the oldest leaves.
pub(super) fn changes(max_cardinality: Option<u64>, offset: u64) -> impl Iterator<Item = Change> + Send + use<> {
    let number = offset + 1;
    let leaving = max_cardinality.and_then(|most| number.checked_sub(most)).filter(|leaving| *leaving > 0);
    let leaving = leaving.map(|leaving| (row(leaving), Diff::MINUS_ONE));
    std::iter::once((row(number), Diff::ONE)).chain(leaving)
}

fn row(number: u64) -> Row {
    Row::pack([Datum::Int(number.cast_signed())])
}
