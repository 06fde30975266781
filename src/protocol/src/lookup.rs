//! Parts of an arrangement, by the packed bytes of its keys: these keys, or all within some ranges.
//!
//! An arrangement is ordered by those bytes, and their order is the order of the values (see `repr::Row`), so a range of
//! values is a range of keys. A range on the first columns of a key is one too: no datum's bytes start another's.

use std::collections::BTreeSet;

use repr::{ByteRange, ColumnBounds, Row};
use serde::{Deserialize, Serialize};

/// Which keys of an arrangement are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lookup {
    /// Those whose packed bytes are one of these; sorted, each once.
    Keys(Vec<Row>),
    /// Those within one of these ranges; sorted, apart from each other.
    Ranges(Vec<KeyRange>),
}

/// Keys from `from` on that are below `to`; None: without end. The ends need not be keys: bytes that keys start with will do.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyRange {
    pub from: Row,
    pub to: Option<Row>,
}

impl Lookup {
    /// These keys, in any order.
    pub fn keys(keys: impl IntoIterator<Item = Row>) -> Lookup {
        Lookup::Keys(keys.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// All keys within any of these ranges, which may overlap.
    pub fn ranges(ranges: impl IntoIterator<Item = KeyRange>) -> Lookup {
        let mut sorted: Vec<KeyRange> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        sorted.sort();
        let mut apart: Vec<KeyRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match apart.last_mut() {
                Some(last) if last.to.as_ref().is_none_or(|to| range.from <= *to) => {
                    // None is the farthest end, though it sorts first.
                    let both = last.to.take().zip(range.to);
                    last.to = both.map(|(mine, theirs)| mine.max(theirs));
                }
                _ => apart.push(range),
            }
        }
        Lookup::Ranges(apart)
    }

    pub fn contains(&self, key: &Row) -> bool {
        match self {
            Lookup::Keys(keys) => keys.binary_search(key).is_ok(),
            Lookup::Ranges(ranges) => {
                let after = ranges.partition_point(|range| range.from <= *key);
                after.checked_sub(1).is_some_and(|place| ranges[place].contains(key))
            }
        }
    }

    /// How many keys or ranges.
    pub fn len(&self) -> usize {
        match self {
            Lookup::Keys(keys) => keys.len(),
            Lookup::Ranges(ranges) => ranges.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl KeyRange {
    /// All keys that start with `prefix`, packed datums of the first key columns.
    pub fn starting_with(prefix: &[u8]) -> KeyRange {
        KeyRange { from: Row::from_bytes(prefix), to: behind(prefix) }
    }

    /// The keys that start with `prefix` and whose next column is within `bounds`.
    pub fn within(prefix: &[u8], bounds: &ColumnBounds) -> Vec<KeyRange> {
        let join = |bytes: &[u8]| [prefix, bytes].concat();
        let range = |ByteRange { low, high }: &ByteRange| KeyRange {
            from: Row::from_bytes(&join(low.as_deref().unwrap_or_default())),
            // NULL is the greatest of all.
            to: match high {
                Some(high) => behind(&join(high)),
                None => Some(Row::from_bytes(&join(NULL))),
            },
        };
        let nulls = bounds.nulls.then(|| KeyRange::starting_with(&join(NULL)));
        bounds.ranges.iter().map(range).chain(nulls).collect()
    }

    pub fn contains(&self, key: &Row) -> bool {
        self.from <= *key && self.reaches(key)
    }

    /// Whether a key that is not before the range is within it.
    pub fn reaches(&self, key: &Row) -> bool {
        self.to.as_ref().is_none_or(|to| key < to)
    }

    fn is_empty(&self) -> bool {
        !self.reaches(&self.from)
    }
}

/// Packed NULL.
const NULL: &[u8] = &[0xFF];

/// The least bytes greater than all that start with `prefix`; None: there are none.
fn behind(prefix: &[u8]) -> Option<Row> {
    let last = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut bytes = prefix[..=last].to_vec();
    bytes[last] += 1;
    Some(Row::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use repr::{Datum, Kind};
    use stdx::Rng;

    use super::*;

    fn row(datums: &[Datum<'_>]) -> Row {
        Row::pack(datums.iter().copied())
    }

    fn range(from: i64, to: i64) -> KeyRange {
        KeyRange { from: row(&[Datum::Int(from)]), to: Some(row(&[Datum::Int(to)])) }
    }

    #[test]
    fn ranges_are_sorted_and_apart() {
        let Lookup::Ranges(ranges) = Lookup::ranges([range(5, 9), range(1, 3), range(3, 4), range(7, 8), range(6, 2)])
        else {
            panic!("ranges")
        };
        assert_eq!(ranges, [range(1, 4), range(5, 9)]);
        let open = KeyRange { from: row(&[Datum::Int(2)]), to: None };
        assert_eq!(Lookup::ranges([open.clone(), range(3, 9)]), Lookup::Ranges(vec![open]));
    }

    #[test]
    fn behind_a_prefix_is_the_least_that_is_greater() {
        assert_eq!(behind(b"ab"), Some(Row::from_bytes(b"ac")));
        assert_eq!(behind(b"a\xFF\xFF"), Some(Row::from_bytes(b"b")));
        assert_eq!(behind(b"\xFF"), None);
        assert_eq!(behind(b""), None);
    }

    /// Keys of two columns, texts that start each other and NULLs among them: those within a range are those whose values are.
    #[test]
    fn a_range_of_values_is_a_range_of_keys() {
        let rng = Rng::from_seed(3);
        let texts = ["", "a", "aa", "ab", "b", "\u{10FFFF}"];
        let some = |rng: &Rng| match rng.below(7) {
            0 => Datum::Null,
            index => Datum::Text(texts[usize::try_from(index - 1).expect("small")]),
        };
        let kinds = [Kind::Text, Kind::Text];
        for _ in 0..2_000 {
            let (prefix, low, high) = (some(&rng), some(&rng), some(&rng));
            let ends: Vec<Row> = [low, high].map(Row::pack_one).to_vec();
            let ranges = vec![ByteRange {
                low: (!low.is_null()).then(|| ends[0].as_bytes().to_vec()),
                high: (!high.is_null()).then(|| ends[1].as_bytes().to_vec()),
            }];
            let bounds = ColumnBounds { nulls: rng.below(2) == 0, ranges };
            let lookup = Lookup::ranges(KeyRange::within(Row::pack_one(prefix).as_bytes(), &bounds));
            for _ in 0..20 {
                let key = row(&[some(&rng), some(&rng)]);
                let datums = key.unpack(&kinds);
                let in_order = (low.is_null() || low <= datums[1]) && (high.is_null() || datums[1] <= high);
                let wanted = if datums[1].is_null() { bounds.nulls } else { in_order };
                assert_eq!(lookup.contains(&key), datums[0] == prefix && wanted, "{key:?} in {lookup:?}");
            }
        }
    }
}
