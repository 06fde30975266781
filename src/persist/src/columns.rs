//! The columns that a shard's rows have: what persist must know of rows to keep statistics and to fill in what is missing.
//!
//! Columns are only ever appended. A row written before a column was there reads as if it had been written with that column's
//! default. What does not start as a row does (`repr::row::NOT_A_ROW`) has no columns and stays as it is.

use std::sync::Arc;

use bytes::Bytes;
use repr::row::{NOT_A_ROW, split_datum};
use repr::{Kind, Row};

use crate::codec::{DecodeError, Decoder, Encoder};

/// The columns of a shard, in order. None: they were not declared; rows are opaque, and no statistics are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Arc<[Column]>);

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub kind: Kind,
    /// A packed datum: what rows have that were written before the column was. Empty: there are none.
    pub default: Bytes,
}

impl Default for Columns {
    fn default() -> Columns {
        Columns(Arc::new([]))
    }
}

impl Columns {
    /// The columns that a shard has from the start.
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Columns {
        Columns(kinds.into_iter().map(|kind| Column { kind, default: Bytes::new() }).collect())
    }

    /// With one more column; `default` is a packed datum.
    pub fn with(&self, kind: Kind, default: Bytes) -> Columns {
        Columns(self.0.iter().cloned().chain([Column { kind, default }]).collect())
    }

    /// The first `count` of them: what a reader knows who came before the others.
    pub fn first(&self, count: usize) -> Columns {
        match self.0.get(..count) {
            Some(first) if count < self.0.len() => Columns(first.into()),
            _ => self.clone(),
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Column> {
        self.0.iter()
    }

    /// What to append to rows that have `written` columns.
    pub(crate) fn padding(&self, written: usize) -> Vec<u8> {
        match self.0.get(written..) {
            // Rows of undeclared columns have all that there were.
            Some(missing) if written > 0 => missing.iter().flat_map(|column| column.default.iter().copied()).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a writer may not know of all of them.
    pub(crate) fn have_grown(&self) -> bool {
        self.0.last().is_some_and(|column| !column.default.is_empty())
    }

    /// Fills up a row whose writer did not know of the last columns.
    pub(crate) fn complete(&self, row: &mut Row) {
        if row.as_bytes().first() == Some(&NOT_A_ROW) {
            return;
        }
        let (mut rest, mut written) = (row.as_bytes(), 0);
        while let Some(column) = self.0.get(written).filter(|_| !rest.is_empty())
            && let Some((_, behind)) = split_datum(rest, column.kind)
        {
            rest = behind;
            written += 1;
        }
        if rest.is_empty() {
            row.push_packed(&self.padding(written));
        }
    }

    /// How long the columns are at the front of a row that may have more; none if it does not start with them.
    pub(crate) fn prefix_bytes(&self, row: &[u8]) -> Option<usize> {
        let mut rest = row;
        for column in self.0.iter() {
            rest = split_datum(rest, column.kind)?.1;
        }
        Some(row.len() - rest.len())
    }

    /// Whether these are the columns of `before` with others, which have defaults, behind them.
    pub(crate) fn extends(&self, before: &Columns) -> bool {
        let is_datum = |column: &Column| repr::row::check(&column.default, &[column.kind]).is_ok();
        self.0.starts_with(&before.0) && (before.is_empty() || self.0[before.len()..].iter().all(is_datum))
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.count(self.0.len());
        for Column { kind, default } in self.0.iter() {
            out.u8(kind.tag());
            out.bytes(default);
        }
    }

    pub(crate) fn decode(input: &mut Decoder) -> Result<Columns, DecodeError> {
        let mut columns = Vec::new();
        for _ in 0..input.count()? {
            let kind = Kind::of_tag(input.u8()?).ok_or(DecodeError::Damaged("unknown kind of column"))?;
            columns.push(Column { kind, default: input.bytes()? });
        }
        Ok(Columns(columns.into()))
    }

    /// As a message's field.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut out = Encoder::default();
        self.encode(&mut out);
        out.finish()
    }

    pub(crate) fn of_bytes(bytes: Bytes) -> Result<Columns, DecodeError> {
        if bytes.is_empty() {
            return Ok(Columns::default());
        }
        let mut input = Decoder(bytes);
        let columns = Columns::decode(&mut input)?;
        input.end()?;
        Ok(columns)
    }
}
