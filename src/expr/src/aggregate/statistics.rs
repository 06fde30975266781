//! Aggregates of pairs (Y, X): correlation, covariance and linear regression.
//!
//! Sums of products around the means, which are taken first: no digits are lost to cancellation, and the same rows give the
//! same result in whatever order they came. A pair counts only if neither side is NULL.

use repr::float_sum::FloatSum;
use repr::{Datum, Diff};
use serde::{Deserialize, Serialize};

use crate::error::EvalError;

/// What is computed of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Regression {
    Corr,
    CovarPop,
    CovarSamp,
    AvgX,
    AvgY,
    Count,
    Intercept,
    R2,
    Slope,
    Sxx,
    Sxy,
    Syy,
}

impl Regression {
    const ALL: [Regression; 12] = [
        Regression::Corr,
        Regression::CovarPop,
        Regression::CovarSamp,
        Regression::AvgX,
        Regression::AvgY,
        Regression::Count,
        Regression::Intercept,
        Regression::R2,
        Regression::Slope,
        Regression::Sxx,
        Regression::Sxy,
        Regression::Syy,
    ];

    /// The SQL name.
    pub fn name(self) -> &'static str {
        match self {
            Regression::Corr => "corr",
            Regression::CovarPop => "covar_pop",
            Regression::CovarSamp => "covar_samp",
            Regression::AvgX => "regr_avgx",
            Regression::AvgY => "regr_avgy",
            Regression::Count => "regr_count",
            Regression::Intercept => "regr_intercept",
            Regression::R2 => "regr_r2",
            Regression::Slope => "regr_slope",
            Regression::Sxx => "regr_sxx",
            Regression::Sxy => "regr_sxy",
            Regression::Syy => "regr_syy",
        }
    }

    /// The aggregate of this name.
    pub fn by_name(name: &str) -> Option<Regression> {
        Regression::ALL.into_iter().find(|regression| regression.name() == name)
    }
}

/// Sums over the pairs; squares and products are of the distances from the means.
struct Sums {
    count: f64,
    mean_x: f64,
    mean_y: f64,
    sxx: f64,
    sxy: f64,
    syy: f64,
}

/// The aggregate over records (Y, X).
pub(super) fn evaluate<'a>(
    regression: Regression,
    values: impl Iterator<Item = (Datum<'a>, Diff)>,
) -> Result<Datum<'static>, EvalError> {
    let mut pairs = Vec::new();
    let mut count = Diff::ZERO;
    for (datum, diff) in values {
        if datum.is_null() {
            continue;
        }
        if let [y, x] = datum.unwrap_list().elements()[..]
            && !x.is_null()
            && !y.is_null()
        {
            pairs.push((x.unwrap_float8(), y.unwrap_float8(), diff));
            count = count.plus(diff);
        }
    }
    if regression == Regression::Count {
        return Ok(Datum::Int(count.get()));
    }
    if count.is_zero() {
        return Ok(Datum::Null);
    }
    let sums = sums(&pairs, count)?;
    match result(regression, &sums) {
        None => Ok(Datum::Null),
        Some(value) if value.is_infinite() && pairs.iter().all(|(x, y, _)| x.is_finite() && y.is_finite()) => {
            Err(overflow())
        }
        Some(value) => Ok(Datum::float8(value)),
    }
}

fn overflow() -> EvalError {
    EvalError::new("22003", "value out of range: overflow")
}

fn sums(pairs: &[(f64, f64, Diff)], count: Diff) -> Result<Sums, EvalError> {
    let sum = |value: &dyn Fn(f64, f64) -> f64| {
        let mut sum = FloatSum::default();
        for (x, y, diff) in pairs {
            sum.add(value(*x, *y), *diff);
        }
        sum.to_f64().map_err(|_| overflow())
    };
    let rows = count.get() as f64;
    let (mean_x, mean_y) = (sum(&|x, _| x)? / rows, sum(&|_, y| y)? / rows);
    Ok(Sums {
        count: rows,
        mean_x,
        mean_y,
        sxx: sum(&|x, _| (x - mean_x) * (x - mean_x))?,
        sxy: sum(&|x, y| (x - mean_x) * (y - mean_y))?,
        syy: sum(&|_, y| (y - mean_y) * (y - mean_y))?,
    })
}

/// The result over at least one pair; None is NULL.
fn result(regression: Regression, sums: &Sums) -> Option<f64> {
    let Sums { count, mean_x, mean_y, sxx, sxy, syy } = *sums;
    match regression {
        Regression::Count => Some(count),
        Regression::AvgX => Some(mean_x),
        Regression::AvgY => Some(mean_y),
        Regression::Sxx => Some(sxx),
        Regression::Sxy => Some(sxy),
        Regression::Syy => Some(syy),
        Regression::CovarPop => Some(sxy / count),
        Regression::CovarSamp => (count > 1.0).then(|| sxy / (count - 1.0)),
        Regression::Corr if sxx == 0.0 || syy == 0.0 => None,
        Regression::Corr => Some((sxy / (sxx * syy).sqrt()).clamp(-1.0, 1.0)),
        Regression::R2 | Regression::Slope | Regression::Intercept if sxx == 0.0 => None,
        Regression::R2 if syy == 0.0 => Some(1.0),
        Regression::R2 => Some((sxy * sxy) / (sxx * syy)),
        Regression::Slope => Some(sxy / sxx),
        Regression::Intercept => Some(mean_y - mean_x * sxy / sxx),
    }
}
