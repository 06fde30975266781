//! What a block or a part says of its rows, so that readers can leave it out: for each column the least and the greatest datum
//! and how many are NULL.
//!
//! Law: every datum that is not NULL lies between `min` and `max` as bytes compare. Long ones are cut: a cut `min` is a prefix,
//! a cut `max` a prefix that was counted up, so both stay bounds.

use repr::Bounds;
use repr::row::{NOT_A_ROW, split_datum};

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::columns::{Column, Columns};

/// Bounds in a part's footer are at most so long, those in the log entry so.
pub(crate) const FOOTER_BOUND_BYTES: usize = 64;
pub(crate) const ENTRY_BOUND_BYTES: usize = 16;
/// What the log entry says of one part is at most about so long.
const ENTRY_BYTES_MAX: usize = 256;

/// Of some updates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// How many are no rows of these columns: whoever reads must look.
    pub(crate) opaque: u64,
    /// None: not gathered.
    pub(crate) columns: Vec<Option<ColumnStatistics>>,
}

/// Of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColumnStatistics {
    pub(crate) nulls: u64,
    /// None: all are NULL.
    pub(crate) range: Option<Range>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) min: Vec<u8>,
    /// None: any.
    pub(crate) max: Option<Vec<u8>>,
}

impl Range {
    fn widen(&mut self, datum: &[u8]) {
        if datum < &self.min[..] {
            self.min.clear();
            self.min.extend_from_slice(datum);
        }
        if let Some(max) = self.max.as_mut().filter(|max| datum > &max[..]) {
            max.clear();
            max.extend_from_slice(datum);
        }
    }

    fn merge(&mut self, other: &Range) {
        if other.min < self.min {
            self.min.clone_from(&other.min);
        }
        self.max = match (self.max.take(), &other.max) {
            (Some(mine), Some(theirs)) => Some(if mine < *theirs { theirs.clone() } else { mine }),
            _ => None,
        };
    }

    fn cut(&mut self, bytes_max: usize) {
        self.min.truncate(bytes_max);
        self.max = self.max.take().and_then(|max| cut_above(max, bytes_max));
    }
}

/// The shortest bytes at or above all that start as `bytes` does; none if there are none.
fn cut_above(mut bytes: Vec<u8>, bytes_max: usize) -> Option<Vec<u8>> {
    if bytes.len() <= bytes_max {
        return Some(bytes);
    }
    bytes.truncate(bytes_max);
    while let Some(last) = bytes.pop() {
        if let Some(next) = last.checked_add(1) {
            bytes.push(next);
            return Some(bytes);
        }
    }
    None
}

impl Statistics {
    pub(crate) fn new(columns: &Columns) -> Statistics {
        let gathered = |column: &Column| column.kind.is_compared_by_bytes().then(ColumnStatistics::default);
        Statistics { opaque: 0, columns: columns.iter().map(gathered).collect() }
    }

    /// Takes one more row in.
    pub(crate) fn add(&mut self, columns: &Columns, row: &[u8]) {
        if columns.is_empty() || row.first() == Some(&NOT_A_ROW) || !self.add_datums(columns, row) {
            self.opaque += 1;
        }
    }

    /// False: the row does not consist of these columns.
    fn add_datums(&mut self, columns: &Columns, row: &[u8]) -> bool {
        let mut rest = row;
        for (column, statistics) in columns.iter().zip(&mut self.columns) {
            let Some((datum, behind)) = split_datum(rest, column.kind) else { return false };
            rest = behind;
            let Some(ColumnStatistics { nulls, range }) = statistics else { continue };
            match range {
                _ if datum == [0xFF] => *nulls += 1,
                Some(range) => range.widen(datum),
                None => *range = Some(Range { min: datum.to_vec(), max: Some(datum.to_vec()) }),
            }
        }
        rest.is_empty()
    }

    /// Of these updates and those.
    pub(crate) fn merge(&mut self, other: &Statistics) {
        self.opaque += other.opaque;
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            match (mine.as_mut(), theirs) {
                (Some(mine), Some(theirs)) => {
                    mine.nulls += theirs.nulls;
                    match (&mut mine.range, &theirs.range) {
                        (Some(mine), Some(theirs)) => mine.merge(theirs),
                        (mine @ None, theirs) => mine.clone_from(theirs),
                        (Some(_), None) => {}
                    }
                }
                _ => *mine = None,
            }
        }
    }

    pub(crate) fn cut(&mut self, bytes_max: usize) {
        let ranges = self.columns.iter_mut().flatten().filter_map(|column| column.range.as_mut());
        ranges.for_each(|range| range.cut(bytes_max));
    }

    /// Whether a row within `bounds` can be among them. `columns` are those that readers see: behind the ones gathered here
    /// stand those that came later, of which all rows have the default.
    pub(crate) fn may_match(&self, bounds: &Bounds, columns: &Columns) -> bool {
        if self.opaque > 0 || self.columns.is_empty() {
            return true;
        }
        bounds.iter().all(|(index, wanted)| match self.columns.get(index) {
            Some(Some(ColumnStatistics { nulls, range })) => {
                let overlaps =
                    |range: &Range| wanted.ranges.iter().any(|r| r.overlaps(&range.min, range.max.as_deref()));
                (wanted.nulls && *nulls > 0) || range.as_ref().is_some_and(overlaps)
            }
            Some(None) => true,
            None => match columns.iter().nth(index) {
                Some(Column { kind, default }) if kind.is_compared_by_bytes() && !default.is_empty() => {
                    if default[..] == [0xFF] {
                        wanted.nulls
                    } else {
                        wanted.ranges.iter().any(|range| range.overlaps(default, Some(default)))
                    }
                }
                _ => true,
            },
        })
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.varint(self.opaque);
        out.count(self.columns.len());
        for column in &self.columns {
            put_column(out, column.as_ref());
        }
    }

    pub(crate) fn decode(input: &mut Decoder) -> Result<Statistics, DecodeError> {
        let opaque = input.varint()?;
        let columns = (0..input.count()?).map(|_| get_column(input)).collect::<Result<_, _>>()?;
        Ok(Statistics { opaque, columns })
    }
}

const NOT_GATHERED: u8 = 0;
const ALL_NULL: u8 = 1;
const FROM: u8 = 2;
const FROM_TO: u8 = 3;

fn put_column(out: &mut Encoder, column: Option<&ColumnStatistics>) {
    let Some(ColumnStatistics { nulls, range }) = column else { return out.u8(NOT_GATHERED) };
    out.u8(match range {
        None => ALL_NULL,
        Some(Range { max: None, .. }) => FROM,
        Some(_) => FROM_TO,
    });
    out.varint(*nulls);
    if let Some(Range { min, max }) = range {
        out.bytes(min);
        if let Some(max) = max {
            out.bytes(max);
        }
    }
}

fn get_column(input: &mut Decoder) -> Result<Option<ColumnStatistics>, DecodeError> {
    let tag = input.u8()?;
    if tag == NOT_GATHERED {
        return Ok(None);
    }
    let nulls = input.varint()?;
    let range = match tag {
        ALL_NULL => None,
        FROM => Some(Range { min: input.bytes()?.to_vec(), max: None }),
        FROM_TO => Some(Range { min: input.bytes()?.to_vec(), max: Some(input.bytes()?.to_vec()) }),
        _ => return Err(DecodeError::Damaged("unknown kind of statistics")),
    };
    Ok(Some(ColumnStatistics { nulls, range }))
}

/// What the log entry says of a part beyond its size: enough to leave the whole part unread, and to open it no sooner than a
/// merge needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// No row is less.
    pub(crate) first: Vec<u8>,
    pub(crate) statistics: Statistics,
}

impl Summary {
    /// Cut to a bounded length: columns behind that are left out.
    pub(crate) fn encode(mut self) -> bytes::Bytes {
        self.first.truncate(ENTRY_BOUND_BYTES);
        self.statistics.cut(ENTRY_BOUND_BYTES);
        let mut out = Encoder::default();
        out.bytes(&self.first);
        let mut left = ENTRY_BYTES_MAX;
        for column in &mut self.statistics.columns {
            let mut one = Encoder::default();
            put_column(&mut one, column.as_ref());
            match left.checked_sub(one.0.len()) {
                Some(rest) => left = rest,
                None => {
                    left = 0;
                    *column = None;
                }
            }
        }
        self.statistics.encode(&mut out);
        out.finish()
    }

    /// Of a part that says nothing (empty bytes), or something that nobody understands: nothing can be left out.
    pub(crate) fn decode(bytes: &bytes::Bytes) -> Summary {
        let read = || -> Result<Summary, DecodeError> {
            let mut input = Decoder(bytes.clone());
            let first = input.bytes()?.to_vec();
            let statistics = Statistics::decode(&mut input)?;
            input.end()?;
            Ok(Summary { first, statistics })
        };
        read().unwrap_or_default()
    }
}
