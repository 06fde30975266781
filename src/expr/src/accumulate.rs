//! Partial results of aggregates that can be added and taken away: what the dataflow engine carries as multiplicities.
//!
//! Accumulators of one aggregate form a commutative group under [`Accumulator::plus_equals`], scaled by
//! [`Accumulator::times`]. All of them are exact: sums of floating-point numbers too, which are rounded only by
//! [`Accumulator::finish`]. So whatever is added can be taken back without residue, in any order.

mod decimal_sum;
mod variance;

use repr::float_sum::FloatSum;
use repr::interval::Interval;
use repr::numeric::{Numeric, NumericSum};
use repr::{Arena, Datum, Diff, ScalarType};
use serde::{Deserialize, Serialize};

pub use self::decimal_sum::DecimalSum;
pub use self::variance::Variance;

use crate::aggregate::AggregateFunc;
use crate::error::EvalError;

/// The contribution of some rows to an accumulable aggregate. Its variant is decided by the aggregate and the type of its
/// argument alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Accumulator {
    /// count.
    Count { non_nulls: Diff },
    /// bool_and, bool_or, and three-valued ANY and ALL.
    Bool { trues: Diff, falses: Diff, nulls: Diff },
    /// sum and avg of integers. The sum wraps, which is a group too, and far beyond what multiplicities can reach.
    Int { sum: i128, non_nulls: Diff },
    /// sum and avg of numeric.
    Numeric(NumericSum),
    /// sum and avg of real and double precision.
    Float(FloatSum),
    /// sum and avg of interval.
    Interval { months: i128, days: i128, micros: i128, non_nulls: Diff },
    /// The variance family.
    Variance(Variance),
}

impl Accumulator {
    /// The contribution of no rows. Panics if the aggregate is not accumulable.
    pub fn zero(func: &AggregateFunc, arg_type: &ScalarType) -> Accumulator {
        match func {
            AggregateFunc::Count => Accumulator::Count { non_nulls: Diff::ZERO },
            AggregateFunc::BoolAnd | AggregateFunc::BoolOr | AggregateFunc::AnyThree | AggregateFunc::AllThree => {
                Accumulator::Bool { trues: Diff::ZERO, falses: Diff::ZERO, nulls: Diff::ZERO }
            }
            AggregateFunc::Sum | AggregateFunc::Avg => match arg_type {
                ScalarType::Float4 | ScalarType::Float8 => Accumulator::Float(FloatSum::default()),
                ScalarType::Numeric(_) => Accumulator::Numeric(NumericSum::default()),
                ScalarType::Interval(_) => {
                    Accumulator::Interval { months: 0, days: 0, micros: 0, non_nulls: Diff::ZERO }
                }
                _ => Accumulator::Int { sum: 0, non_nulls: Diff::ZERO },
            },
            AggregateFunc::StddevSamp | AggregateFunc::StddevPop | AggregateFunc::VarSamp | AggregateFunc::VarPop => {
                Accumulator::Variance(Variance::default())
            }
            _ => panic!("{} is not accumulable", func.name()),
        }
    }

    /// The contribution of one row with this argument. Panics if the aggregate is not accumulable.
    pub fn from_datum(func: &AggregateFunc, arg_type: &ScalarType, datum: Datum<'_>) -> Accumulator {
        let mut accumulator = Accumulator::zero(func, arg_type);
        match &mut accumulator {
            Accumulator::Bool { trues, falses, nulls } => match datum {
                Datum::Bool(true) => *trues = Diff::ONE,
                Datum::Bool(false) => *falses = Diff::ONE,
                _ => *nulls = Diff::ONE,
            },
            _ if datum.is_null() => {}
            Accumulator::Count { non_nulls } => *non_nulls = Diff::ONE,
            Accumulator::Int { sum, non_nulls } => {
                *sum = integer(datum);
                *non_nulls = Diff::ONE;
            }
            Accumulator::Numeric(sum) => sum.add(&datum.unwrap_numeric().decode(), Diff::ONE),
            Accumulator::Float(sum) => sum.add(float(datum), Diff::ONE),
            Accumulator::Interval { months, days, micros, non_nulls } => {
                let interval = datum.unwrap_interval();
                (*months, *days, *micros) = (interval.months.into(), interval.days.into(), interval.micros.into());
                *non_nulls = Diff::ONE;
            }
            Accumulator::Variance(variance) => variance.set(datum),
        }
        accumulator
    }

    /// Adds the contribution of other rows. Panics if `other` is of another aggregate.
    pub fn plus_equals(&mut self, other: &Accumulator) {
        match (self, other) {
            (Accumulator::Count { non_nulls }, Accumulator::Count { non_nulls: more }) => {
                *non_nulls = non_nulls.plus(*more);
            }
            (
                Accumulator::Bool { trues, falses, nulls },
                Accumulator::Bool { trues: more_trues, falses: more_falses, nulls: more_nulls },
            ) => {
                *trues = trues.plus(*more_trues);
                *falses = falses.plus(*more_falses);
                *nulls = nulls.plus(*more_nulls);
            }
            (Accumulator::Int { sum, non_nulls }, Accumulator::Int { sum: more, non_nulls: more_non_nulls }) => {
                *sum = sum.wrapping_add(*more);
                *non_nulls = non_nulls.plus(*more_non_nulls);
            }
            (Accumulator::Numeric(sum), Accumulator::Numeric(more)) => sum.plus_equals(more),
            (Accumulator::Float(sum), Accumulator::Float(more)) => sum.plus_equals(more),
            (
                Accumulator::Interval { months, days, micros, non_nulls },
                Accumulator::Interval {
                    months: more_months,
                    days: more_days,
                    micros: more_micros,
                    non_nulls: more_non_nulls,
                },
            ) => {
                *months = months.wrapping_add(*more_months);
                *days = days.wrapping_add(*more_days);
                *micros = micros.wrapping_add(*more_micros);
                *non_nulls = non_nulls.plus(*more_non_nulls);
            }
            (Accumulator::Variance(variance), Accumulator::Variance(more)) => variance.plus_equals(more),
            (this, other) => panic!("accumulators of two aggregates: {this:?} and {other:?}"),
        }
    }

    /// Makes it the contribution of `diff` times the rows.
    pub fn times(&mut self, diff: Diff) {
        match self {
            Accumulator::Count { non_nulls } => *non_nulls = non_nulls.times(diff),
            Accumulator::Bool { trues, falses, nulls } => {
                for count in [trues, falses, nulls] {
                    *count = count.times(diff);
                }
            }
            Accumulator::Int { sum, non_nulls } => {
                *sum = sum.wrapping_mul(diff.get().into());
                *non_nulls = non_nulls.times(diff);
            }
            Accumulator::Numeric(sum) => *sum = sum.times(diff),
            Accumulator::Float(sum) => *sum = sum.times(diff),
            Accumulator::Interval { months, days, micros, non_nulls } => {
                for part in [months, days, micros] {
                    *part = part.wrapping_mul(diff.get().into());
                }
                *non_nulls = non_nulls.times(diff);
            }
            Accumulator::Variance(variance) => variance.times(diff),
        }
    }

    /// True if it is the contribution of no rows.
    pub fn is_zero(&self) -> bool {
        match self {
            Accumulator::Count { non_nulls } => non_nulls.is_zero(),
            Accumulator::Bool { trues, falses, nulls } => trues.is_zero() && falses.is_zero() && nulls.is_zero(),
            Accumulator::Int { sum, non_nulls } => *sum == 0 && non_nulls.is_zero(),
            Accumulator::Numeric(sum) => sum.is_zero(),
            Accumulator::Float(sum) => sum.is_zero(),
            Accumulator::Interval { months, days, micros, non_nulls } => {
                *months == 0 && *days == 0 && *micros == 0 && non_nulls.is_zero()
            }
            Accumulator::Variance(variance) => variance.is_zero(),
        }
    }

    /// The aggregate's value over the rows accumulated, of which there is at least one.
    ///
    /// Errors: 22003 where the result is outside its type, XX001 where some row was taken away more often than added.
    pub fn finish<'a>(
        &self,
        func: &AggregateFunc,
        arg_type: &ScalarType,
        arena: &'a Arena,
    ) -> Result<Datum<'a>, EvalError> {
        match self {
            Accumulator::Count { non_nulls } => Ok(Datum::Int(count(*non_nulls)?)),
            Accumulator::Bool { trues, falses, nulls } => {
                let (trues, falses, nulls) = (count(*trues)? > 0, count(*falses)? > 0, count(*nulls)? > 0);
                Ok(finish_bool(func, trues, falses, nulls))
            }
            Accumulator::Int { sum, non_nulls } => {
                let count = count(*non_nulls)?;
                if count == 0 {
                    return nothing_left(*sum == 0);
                }
                finish_int(func, arg_type, *sum, count, arena)
            }
            Accumulator::Numeric(sum) => {
                let count = count(sum.rows())?;
                if count == 0 {
                    return nothing_left(sum.is_zero());
                }
                let total = sum.result().map_err(|error| EvalError::new(error.sqlstate(), error.to_string()))?;
                numeric_result(func, total, count, arena)
            }
            Accumulator::Float(sum) => finish_float(func, arg_type, sum),
            Accumulator::Interval { months, days, micros, non_nulls } => {
                let count = count(*non_nulls)?;
                if count == 0 {
                    return nothing_left(*months == 0 && *days == 0 && *micros == 0);
                }
                finish_interval(func, *months, *days, *micros, count)
            }
            Accumulator::Variance(variance) => variance.finish(func, arg_type, arena),
        }
    }
}

/// A count that must be possible for a multiset.
fn count(count: Diff) -> Result<i64, EvalError> {
    if count.is_invalid_count() {
        return Err(EvalError::negative_multiplicity("aggregation"));
    }
    Ok(count.get())
}

/// NULL; without rows there must not be anything left of a sum.
fn nothing_left(is_zero: bool) -> Result<Datum<'static>, EvalError> {
    match is_zero {
        true => Ok(Datum::Null),
        false => Err(EvalError::negative_multiplicity("aggregation")),
    }
}

/// An integer of any width and sign.
fn integer(datum: Datum<'_>) -> i128 {
    match datum {
        Datum::UInt(value) => value.into(),
        other => other.unwrap_int().into(),
    }
}

fn float(datum: Datum<'_>) -> f64 {
    match datum {
        Datum::Float4(value) => value.get().into(),
        other => other.unwrap_float8(),
    }
}

fn finish_bool(func: &AggregateFunc, trues: bool, falses: bool, nulls: bool) -> Datum<'static> {
    match func {
        AggregateFunc::BoolAnd if falses => Datum::FALSE,
        AggregateFunc::BoolAnd if trues => Datum::TRUE,
        AggregateFunc::BoolOr if trues => Datum::TRUE,
        AggregateFunc::BoolOr if falses => Datum::FALSE,
        AggregateFunc::AnyThree if trues => Datum::TRUE,
        AggregateFunc::AnyThree if !nulls => Datum::FALSE,
        AggregateFunc::AllThree if falses => Datum::FALSE,
        AggregateFunc::AllThree if !nulls => Datum::TRUE,
        _ => Datum::Null,
    }
}

fn finish_int<'a>(
    func: &AggregateFunc,
    arg_type: &ScalarType,
    sum: i128,
    count: i64,
    arena: &'a Arena,
) -> Result<Datum<'a>, EvalError> {
    match (func, crate::aggregate::output_type(func, arg_type)) {
        (AggregateFunc::Sum, ScalarType::Int8) => {
            i64::try_from(sum).map(Datum::Int).map_err(|_| EvalError::out_of_range("bigint"))
        }
        (AggregateFunc::Sum, ScalarType::UInt8) => {
            u64::try_from(sum).map(Datum::UInt).map_err(|_| EvalError::out_of_range("uint8"))
        }
        _ => numeric_result(func, Numeric::from_i128(sum), count, arena),
    }
}

fn numeric_result<'a>(
    func: &AggregateFunc,
    total: Numeric,
    count: i64,
    arena: &'a Arena,
) -> Result<Datum<'a>, EvalError> {
    let result = match func {
        AggregateFunc::Avg => {
            total.div(&Numeric::from_i64(count)).map_err(|error| EvalError::new(error.sqlstate(), error.to_string()))?
        }
        _ => total,
    };
    Ok(Datum::Numeric(result.pack(arena)))
}

fn finish_interval(
    func: &AggregateFunc,
    months: i128,
    days: i128,
    micros: i128,
    count: i64,
) -> Result<Datum<'static>, EvalError> {
    let out_of_range = || EvalError::new("22008", "interval out of range");
    let total = Interval {
        months: months.try_into().map_err(|_| out_of_range())?,
        days: days.try_into().map_err(|_| out_of_range())?,
        micros: micros.try_into().map_err(|_| out_of_range())?,
    };
    match func {
        AggregateFunc::Avg => total.checked_div(count as f64).map(Datum::Interval).ok_or_else(out_of_range),
        _ => Ok(Datum::Interval(total)),
    }
}

/// Sums are rounded once, to the result type; an average once more.
fn finish_float(func: &AggregateFunc, arg_type: &ScalarType, sum: &FloatSum) -> Result<Datum<'static>, EvalError> {
    let overflow = |_| EvalError::new("22003", "value out of range: overflow");
    let count = count(sum.rows())?;
    if count == 0 {
        return nothing_left(sum.is_zero());
    }
    match (func, arg_type) {
        (AggregateFunc::Avg, _) => Ok(Datum::float8(sum.to_f64().map_err(overflow)? / count as f64)),
        (_, ScalarType::Float4) => Ok(Datum::float4(sum.to_f32().map_err(overflow)?)),
        _ => Ok(Datum::float8(sum.to_f64().map_err(overflow)?)),
    }
}

#[cfg(test)]
mod tests;
