//! Variance and standard deviation: n, the exact sum and the exact sum of squares.
//!
//! The formula `(n·Σx² − (Σx)²) / (n·(n − 1))` (`n·n` for the population) loses all digits to cancellation in floating
//! point; here both sums and their difference are exact, and only the quotient is rounded. Every double is an exact decimal,
//! so one representation serves all types.

use repr::numeric::Numeric;
use repr::{Arena, Datum, Diff, ScalarType};
use serde::{Deserialize, Serialize};

use super::{DecimalSum, count, nothing_left};
use crate::aggregate::AggregateFunc;
use crate::error::EvalError;

/// What some rows contribute to a variance.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Variance {
    sum: DecimalSum,
    squares: DecimalSum,
    /// Values that are NaN or infinite: they make the result NaN.
    not_finite: Diff,
    non_nulls: Diff,
}

impl Variance {
    /// The contribution of one number.
    pub(super) fn set(&mut self, datum: Datum<'_>) {
        self.non_nulls = Diff::ONE;
        let value = match datum {
            Datum::Numeric(number) => DecimalSum::parse(&number.decode().to_string()),
            Datum::Float4(value) => DecimalSum::from_f64(value.get().into()),
            Datum::Float8(value) => DecimalSum::from_f64(value.get()),
            other => Some(DecimalSum::from_i128(super::integer(other))),
        };
        match value {
            Some(value) => {
                self.squares = value.times(&value);
                self.sum = value;
            }
            None => self.not_finite = Diff::ONE,
        }
    }

    pub(super) fn plus_equals(&mut self, other: &Variance) {
        self.sum.add(&other.sum);
        self.squares.add(&other.squares);
        self.not_finite = self.not_finite.plus(other.not_finite);
        self.non_nulls = self.non_nulls.plus(other.non_nulls);
    }

    pub(super) fn times(&mut self, diff: Diff) {
        self.sum = self.sum.times_i64(diff.get());
        self.squares = self.squares.times_i64(diff.get());
        self.not_finite = self.not_finite.times(diff);
        self.non_nulls = self.non_nulls.times(diff);
    }

    pub(super) fn is_zero(&self) -> bool {
        self.sum.is_zero() && self.squares.is_zero() && self.not_finite.is_zero() && self.non_nulls.is_zero()
    }

    pub(super) fn finish<'a>(
        &self,
        func: &AggregateFunc,
        arg_type: &ScalarType,
        arena: &'a Arena,
    ) -> Result<Datum<'a>, EvalError> {
        let rows = count(self.non_nulls)?;
        let not_finite = count(self.not_finite)?;
        let sample = matches!(func, AggregateFunc::StddevSamp | AggregateFunc::VarSamp);
        if rows == 0 {
            return nothing_left(self.is_zero());
        }
        if sample && rows == 1 {
            return Ok(Datum::Null);
        }
        let float = matches!(arg_type, ScalarType::Float4 | ScalarType::Float8);
        let deviation = matches!(func, AggregateFunc::StddevSamp | AggregateFunc::StddevPop);
        if not_finite > 0 {
            let nan = Datum::Numeric(Numeric::NAN.pack(arena));
            return Ok(if float { Datum::float8(f64::NAN) } else { nan });
        }
        let mut numerator = self.squares.times_i64(rows);
        numerator.add(&self.sum.times(&self.sum).negate());
        if numerator.is_negative() {
            return Err(EvalError::negative_multiplicity("aggregation"));
        }
        let denominator = DecimalSum::from_i128(i128::from(rows) * i128::from(if sample { rows - 1 } else { rows }));
        let (digits, power) = quotient(&numerator, &denominator);
        if float { finish_float(digits, power, deviation) } else { finish_numeric(digits, power, deviation, arena) }
    }
}

/// The quotient as a number of 39 digits and a power of ten by which it is to be multiplied: the quotient itself may be
/// outside the range of numeric.
fn quotient(numerator: &DecimalSum, denominator: &DecimalSum) -> (Numeric, i32) {
    let (numerator, numerator_power) = scientific(numerator);
    let (denominator, denominator_power) = scientific(denominator);
    let digits = numerator.div(&denominator).expect("two numbers from 1 to 10, or zero by such a number");
    (digits, numerator_power - denominator_power)
}

/// A number from 1 to below 10, or zero, and a power of ten.
fn scientific(number: &DecimalSum) -> (Numeric, i32) {
    let text = number.to_string();
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().expect("a power of ten as printed");
    let (first, rest) = digits.split_at(1);
    let mantissa = Numeric::parse(&format!("{first}.{rest}0")).expect("digits, rounded to 39");
    (mantissa, power + rest.len() as i32)
}

fn finish_float(digits: Numeric, power: i32, deviation: bool) -> Result<Datum<'static>, EvalError> {
    let out_of_range = || EvalError::new("22003", "value out of range: overflow");
    // The root is taken of a number in range, whatever the power.
    let (mantissa, power) = if deviation {
        let even = power.div_euclid(2);
        let odd = Numeric::from_i64(if power.rem_euclid(2) == 0 { 1 } else { 10 });
        let root = digits.mul(&odd).and_then(|digits| digits.sqrt()).map_err(|_| out_of_range())?;
        (root, even)
    } else {
        (digits, power)
    };
    let value: f64 = format!("{mantissa}e{power}").parse().map_err(|_| out_of_range())?;
    if value.is_finite() { Ok(Datum::float8(value)) } else { Err(out_of_range()) }
}

fn finish_numeric<'a>(digits: Numeric, power: i32, deviation: bool, arena: &'a Arena) -> Result<Datum<'a>, EvalError> {
    let variance = Numeric::parse(&format!("{digits}e{power}"));
    let result = if deviation { variance.and_then(|variance| variance.sqrt()) } else { variance };
    let result = result.map_err(|error| EvalError::new(error.sqlstate(), error.to_string()))?;
    Ok(Datum::Numeric(result.pack(arena)))
}
