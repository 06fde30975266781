//! How a row rests in an arrangement: its key, and beside it the columns that the key does not hold already.
//!
//! ```text
//! row     a  b  c  d          key expressions: c, a + b
//! key     c  a+b
//! value   a  b  d             c is read from the key
//! ```

use expr::{EvalError, Mfp, Scalar};
use repr::row::skip_datum;
use repr::{ColumnType, Kind, Row, ScalarType};
use smallvec::SmallVec;

use crate::evaluator::KeyEvaluator;

/// Where a column of the row is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The key column of this index.
    Key(usize),
    /// The next column of the value.
    Value,
}

/// The split of rows of some kinds into keys and values, and the way back.
#[derive(Clone, Debug)]
pub(crate) struct RowLayout {
    key: Vec<Scalar>,
    kinds: Vec<Kind>,
    key_kinds: Vec<Kind>,
    places: Vec<Place>,
    /// The key is the first columns of the row, so the row is the key followed by the value.
    key_is_prefix: bool,
}

impl RowLayout {
    pub(crate) fn new(key: &[Scalar], kinds: &[Kind]) -> RowLayout {
        let key_kinds = key.iter().map(|scalar| kind_of(scalar, kinds)).collect();
        let place = |column| {
            let found = key.iter().position(|scalar| *scalar == Scalar::Column(column));
            found.map_or(Place::Value, Place::Key)
        };
        let key_is_prefix =
            key.len() <= kinds.len() && key.iter().enumerate().all(|(index, scalar)| *scalar == Scalar::Column(index));
        RowLayout {
            key: key.to_vec(),
            kinds: kinds.to_vec(),
            key_kinds,
            places: (0..kinds.len()).map(place).collect(),
            key_is_prefix,
        }
    }

    pub(crate) fn key(&self) -> &[Scalar] {
        &self.key
    }

    /// The kinds of the whole rows.
    pub(crate) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// What evaluates the key of a row.
    pub(crate) fn key_evaluator(&self) -> KeyEvaluator {
        KeyEvaluator::new(self.key.clone(), self.kinds.clone())
    }

    /// Splits a row into key and value. Errors: of the key's expressions.
    pub(crate) fn split(&self, evaluator: &mut KeyEvaluator, row: &Row) -> Result<(Row, Row), EvalError> {
        let key = evaluator.evaluate(row)?;
        Ok((key, self.value(row)))
    }

    /// The packed first columns of a key.
    pub(crate) fn first_of_key<'a>(&self, key: &'a Row, columns: usize) -> &'a [u8] {
        let mut rest = key.as_bytes();
        for kind in &self.key_kinds[..columns] {
            skip_datum(&mut rest, *kind);
        }
        &key.as_bytes()[..key.len_bytes() - rest.len()]
    }

    fn value(&self, row: &Row) -> Row {
        let mut value = Row::default();
        let mut rest = row.as_bytes();
        for (kind, place) in self.kinds.iter().zip(&self.places) {
            let bytes = skip_datum(&mut rest, *kind);
            if *place == Place::Value {
                value.push_packed(bytes);
            }
        }
        value
    }

    /// Appends to `row` the columns of the row that was split into `key` and `value`.
    pub(crate) fn restore_into(&self, key: &Row, value: &Row, row: &mut Row) {
        if self.key_is_prefix {
            row.push_packed(key.as_bytes());
            row.push_packed(value.as_bytes());
            return;
        }
        let mut key_rest = key.as_bytes();
        let key_columns: SmallVec<[&[u8]; 8]> =
            self.key_kinds.iter().map(|kind| skip_datum(&mut key_rest, *kind)).collect();
        let mut value_rest = value.as_bytes();
        for (kind, place) in self.kinds.iter().zip(&self.places) {
            match place {
                Place::Key(index) => row.push_packed(key_columns[*index]),
                Place::Value => row.push_packed(skip_datum(&mut value_rest, *kind)),
            }
        }
    }

    /// The row that was split into `key` and `value`.
    pub(crate) fn restore(&self, key: &Row, value: &Row) -> Row {
        let mut row = Row::default();
        self.restore_into(key, value, &mut row);
        row
    }
}

/// The kind of an expression's value over columns of these kinds.
fn kind_of(scalar: &Scalar, kinds: &[Kind]) -> Kind {
    if let Scalar::Column(column) = scalar {
        return kinds[*column];
    }
    let columns: Vec<ColumnType> = kinds.iter().map(|kind| representative(*kind).nullable()).collect();
    scalar.typ(&columns).kind()
}

/// Some type of this kind: the kind of an expression depends on no more of its columns' types.
fn representative(kind: Kind) -> ScalarType {
    match kind {
        Kind::Bool => ScalarType::Bool,
        Kind::Int => ScalarType::Int8,
        Kind::UInt => ScalarType::UInt8,
        Kind::Float4 => ScalarType::Float4,
        Kind::Float8 => ScalarType::Float8,
        Kind::Numeric => ScalarType::Numeric(None),
        Kind::Date => ScalarType::Date,
        Kind::Time => ScalarType::Time(None),
        Kind::Timestamp => ScalarType::Timestamp(None),
        Kind::Interval => ScalarType::Interval(None),
        Kind::Text => ScalarType::Text,
        Kind::Bytes => ScalarType::Bytes,
        Kind::Uuid => ScalarType::Uuid,
        Kind::Jsonb => ScalarType::Jsonb,
        Kind::Array => ScalarType::Array(Box::new(ScalarType::Text)),
        Kind::List => ScalarType::List(Box::new(ScalarType::Text)),
        Kind::Map => ScalarType::Map(Box::new(ScalarType::Text)),
    }
}

/// The kinds of an MFP's output columns.
pub(crate) fn output_kinds(mfp: &Mfp) -> Vec<Kind> {
    let columns: Vec<ColumnType> = mfp.input_kinds.iter().map(|kind| representative(*kind).nullable()).collect();
    mfp.output_types(&columns).iter().map(ColumnType::kind).collect()
}
