//! Ordered-set aggregates (percentiles and the mode), and where a row would stand among those of its group.

use repr::composite::pack_vector;
use repr::interval::Interval;
use repr::{Arena, Datum, Kind, ScalarType};
use serde::{Deserialize, Serialize};

use super::AggregateFunc;
use crate::error::EvalError;
use crate::order;

/// Where a row would stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Standing {
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
}

impl Standing {
    /// The SQL name.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Rank => "rank",
            Standing::DenseRank => "dense_rank",
            Standing::PercentRank => "percent_rank",
            Standing::CumeDist => "cume_dist",
        }
    }

    pub(super) fn returns(self) -> ScalarType {
        match self {
            Standing::Rank | Standing::DenseRank => ScalarType::Int8,
            Standing::PercentRank | Standing::CumeDist => ScalarType::Float8,
        }
    }

    /// The value among no rows.
    pub(super) fn among_none(self) -> Datum<'static> {
        match self {
            Standing::Rank | Standing::DenseRank => Datum::Int(1),
            Standing::PercentRank => Datum::float8(0.0),
            Standing::CumeDist => Datum::float8(1.0),
        }
    }
}

/// The aggregate over rows that are sorted as it wants them. There is at least one.
pub(super) fn evaluate<'a>(
    func: &AggregateFunc,
    rows: &[Vec<Datum<'a>>],
    value_kind: Kind,
    arena: &'a Arena,
) -> Result<Datum<'a>, EvalError> {
    match func {
        AggregateFunc::Mode { order_by } => {
            let key = order_by.first().map_or(0, |order| order.column);
            Ok(mode(rows, key))
        }
        AggregateFunc::PercentileDisc { .. } => of_fractions(rows, value_kind, arena, |fraction| {
            let place = (fraction * rows.len() as f64).ceil() as usize;
            Ok(rows[place.saturating_sub(1).min(rows.len() - 1)][0])
        }),
        AggregateFunc::PercentileCont { .. } => of_fractions(rows, value_kind, arena, |fraction| {
            let place = fraction * (rows.len() - 1) as f64;
            let (low, high) = (rows[place.floor() as usize][0], rows[place.ceil() as usize][0]);
            between(low, high, place - place.floor())
        }),
        other => panic!("{} is no ordered-set aggregate", other.name()),
    }
}

/// The value that occurs most often; of several the first.
fn mode<'a>(rows: &[Vec<Datum<'a>>], key: usize) -> Datum<'a> {
    let runs = rows.chunk_by(|left, right| left[key] == right[key]);
    let longest = runs.reduce(|best, run| if run.len() > best.len() { run } else { best });
    longest.map_or(Datum::Null, |run| run[0][0])
}

/// One value, or an array of them if the fraction, the rows' second field, is an array. Errors: 22003.
fn of_fractions<'a>(
    rows: &[Vec<Datum<'a>>],
    value_kind: Kind,
    arena: &'a Arena,
    value: impl Fn(f64) -> Result<Datum<'a>, EvalError>,
) -> Result<Datum<'a>, EvalError> {
    let one = |fraction: Datum<'a>| {
        if fraction.is_null() {
            return Ok(Datum::Null);
        }
        let fraction = fraction.unwrap_float8();
        if !(0.0..=1.0).contains(&fraction) {
            let shown = crate::text_of(Datum::float8(fraction), &ScalarType::Float8);
            return Err(EvalError::new("22003", format!("percentile value {shown} is not between 0 and 1")));
        }
        value(fraction)
    };
    match rows[0][1] {
        Datum::Array(fractions) => {
            let values = fractions.iter().map(one).collect::<Result<Vec<_>, _>>()?;
            let dimensions = fractions.dimensions();
            let row = match values.is_empty() {
                true => pack_vector(&values, value_kind),
                false => repr::composite::pack_array(&values, value_kind, &dimensions),
            };
            Ok(crate::datum_in(&row, Kind::Array, arena))
        }
        fraction => one(fraction),
    }
}

/// A value so far on the way from `low` to `high`.
fn between<'a>(low: Datum<'a>, high: Datum<'a>, part: f64) -> Result<Datum<'a>, EvalError> {
    if part == 0.0 || low == high {
        return Ok(low);
    }
    match (low, high) {
        (Datum::Interval(low), Datum::Interval(high)) => {
            let out_of_range = || EvalError::new("22008", "interval out of range");
            let interval: Option<Interval> =
                high.checked_sub(&low).and_then(|span| span.checked_mul(part)).and_then(|part| low.checked_add(&part));
            interval.map(Datum::Interval).ok_or_else(out_of_range)
        }
        (low, high) => {
            let (low, high) = (low.unwrap_float8(), high.unwrap_float8());
            Ok(Datum::float8(low + (high - low) * part))
        }
    }
}

/// Where a row of the values in the second half of the fields would stand among rows of the first half's.
pub(super) fn standing<'a>(
    standing: Standing,
    order_by: &[order::ColumnOrder],
    rows: &[Vec<Datum<'a>>],
) -> Datum<'static> {
    let half = rows[0].len() / 2;
    let asked = &rows[0][half..];
    let before = rows.partition_point(|row| order::compare(order_by, &row[..half], asked).is_lt());
    let upto = rows.partition_point(|row| order::compare(order_by, &row[..half], asked).is_le());
    let count = rows.len() as f64;
    match standing {
        Standing::Rank => Datum::Int(before as i64 + 1),
        Standing::DenseRank => {
            let groups =
                rows[..before].chunk_by(|left, right| order::compare(order_by, &left[..half], &right[..half]).is_eq());
            Datum::Int(groups.count() as i64 + 1)
        }
        Standing::PercentRank => Datum::float8(before as f64 / count),
        Standing::CumeDist => Datum::float8((upto + 1) as f64 / (count + 1.0)),
    }
}
