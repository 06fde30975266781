//! Arithmetic and functions of numeric.

use std::cmp::Ordering;

use repr::numeric::{Numeric as Number, NumericError};
use repr::{Arena, Datum};

use super::ArgType::{Bool, Int4, Numeric};
use super::{FuncDef, Value, function, operator};
use crate::error::EvalError;

pub(super) static TABLE: &[FuncDef] = &[
    operator("numeric_add", "+", &[Numeric, Numeric], Numeric, |a, _, arena| pack(x(a).add(&y(a)), arena), "Sum.")
        .fallible(),
    operator(
        "numeric_sub",
        "-",
        &[Numeric, Numeric],
        Numeric,
        |a, _, arena| pack(x(a).sub(&y(a)), arena),
        "Difference.",
    )
    .fallible(),
    operator("numeric_mul", "*", &[Numeric, Numeric], Numeric, |a, _, arena| pack(x(a).mul(&y(a)), arena), "Product.")
        .fallible(),
    operator(
        "numeric_div",
        "/",
        &[Numeric, Numeric],
        Numeric,
        |a, _, arena| pack(x(a).div(&y(a)), arena),
        "Quotient, to 39 digits.",
    )
    .fallible(),
    operator(
        "numeric_rem",
        "%",
        &[Numeric, Numeric],
        Numeric,
        |a, _, arena| pack(x(a).rem(&y(a)), arena),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    operator(
        "numeric_power_operator",
        "^",
        &[Numeric, Numeric],
        Numeric,
        |a, _, arena| pack(x(a).pow(&y(a)), arena),
        "Power.",
    )
    .fallible(),
    operator("numeric_neg", "-", &[Numeric], Numeric, |a, _, arena| pack(Ok(x(a).neg()), arena), "Negation."),
    operator("numeric_plus", "+", &[Numeric], Numeric, |a, _, _| Ok(a[0]), "The value itself."),
    operator(
        "numeric_abs_operator",
        "@",
        &[Numeric],
        Numeric,
        |a, _, arena| pack(Ok(x(a).abs()), arena),
        "Absolute value.",
    ),
    function(
        "min_scale",
        "min_scale",
        &[Numeric],
        Int4,
        |a, _, _| Ok(if x(a).is_finite() { Datum::Int(x(a).scale().into()) } else { Datum::Null }),
        "The number of digits behind the point that are needed.",
    )
    .nullable(),
    function(
        "numeric_mod",
        "mod",
        &[Numeric, Numeric],
        Numeric,
        |a, _, arena| pack(x(a).rem(&y(a)), arena),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    function(
        "numeric_quotient",
        "div",
        &[Numeric, Numeric],
        Numeric,
        |a, _, arena| pack(x(a).div(&y(a)).map(|quotient| quotient.trunc(0)), arena),
        "Quotient, truncated to a whole number.",
    )
    .fallible(),
    function("numeric_abs", "abs", &[Numeric], Numeric, |a, _, arena| pack(Ok(x(a).abs()), arena), "Absolute value."),
    function(
        "numeric_ceil",
        "ceil",
        &[Numeric],
        Numeric,
        |a, _, arena| pack(x(a).ceil(), arena),
        "Least whole number not below.",
    )
    .fallible(),
    function(
        "numeric_ceiling",
        "ceiling",
        &[Numeric],
        Numeric,
        |a, _, arena| pack(x(a).ceil(), arena),
        "Least whole number not below.",
    )
    .fallible(),
    function(
        "numeric_floor",
        "floor",
        &[Numeric],
        Numeric,
        |a, _, arena| pack(x(a).floor(), arena),
        "Greatest whole number not above.",
    )
    .fallible(),
    function(
        "numeric_round",
        "round",
        &[Numeric],
        Numeric,
        |a, _, arena| pack(x(a).round(0), arena),
        "Nearest whole number, ties away from zero.",
    )
    .fallible(),
    function(
        "numeric_round_places",
        "round",
        &[Numeric, Int4],
        Numeric,
        |a, _, arena| pack(x(a).round(places(a)), arena),
        "Rounded to some digits behind the point, or before it if negative; ties away from zero.",
    )
    .fallible(),
    function(
        "numeric_trunc",
        "trunc",
        &[Numeric],
        Numeric,
        |a, _, arena| pack(Ok(x(a).trunc(0)), arena),
        "Whole part.",
    ),
    function(
        "numeric_trunc_places",
        "trunc",
        &[Numeric, Int4],
        Numeric,
        |a, _, arena| pack(Ok(x(a).trunc(places(a))), arena),
        "Cut to some digits behind the point, or before it if negative.",
    ),
    function("numeric_sqrt", "sqrt", &[Numeric], Numeric, |a, _, arena| pack(x(a).sqrt(), arena), "Square root.")
        .fallible(),
    function("numeric_exp", "exp", &[Numeric], Numeric, |a, _, arena| pack(x(a).exp(), arena), "Exponential.")
        .fallible(),
    function("numeric_ln", "ln", &[Numeric], Numeric, |a, _, arena| pack(x(a).ln(), arena), "Natural logarithm.")
        .fallible(),
    function(
        "numeric_log",
        "log",
        &[Numeric],
        Numeric,
        |a, _, arena| pack(x(a).log10(), arena),
        "Logarithm to base 10.",
    )
    .fallible(),
    function(
        "numeric_log10",
        "log10",
        &[Numeric],
        Numeric,
        |a, _, arena| pack(x(a).log10(), arena),
        "Logarithm to base 10.",
    )
    .fallible(),
    function(
        "numeric_log_base",
        "log",
        &[Numeric, Numeric],
        Numeric,
        |a, _, arena| pack(y(a).log(&x(a)), arena),
        "Logarithm of the second to the base of the first.",
    )
    .fallible(),
    function("numeric_pow", "pow", &[Numeric, Numeric], Numeric, |a, _, arena| pack(x(a).pow(&y(a)), arena), "Power.")
        .fallible(),
    function(
        "numeric_power",
        "power",
        &[Numeric, Numeric],
        Numeric,
        |a, _, arena| pack(x(a).pow(&y(a)), arena),
        "Power.",
    )
    .fallible(),
    function("numeric_sign", "sign", &[Numeric], Numeric, |a, _, arena| pack(Ok(x(a).signum()), arena), "-1, 0 or 1."),
    function(
        "numeric_gcd",
        "gcd",
        &[Numeric, Numeric],
        Numeric,
        |a, _, arena| pack(gcd(x(a), y(a)), arena),
        "Greatest common divisor.",
    )
    .fallible(),
    function(
        "numeric_lcm",
        "lcm",
        &[Numeric, Numeric],
        Numeric,
        |a, _, arena| pack(lcm(x(a), y(a)), arena),
        "Least common multiple.",
    )
    .fallible(),
    function(
        "numeric_scale",
        "scale",
        &[Numeric],
        Int4,
        |a, _, _| Ok(if x(a).is_finite() { Datum::Int(x(a).scale().into()) } else { Datum::Null }),
        "Digits behind the point; NULL for NaN and infinities.",
    )
    .nullable(),
    function(
        "trim_scale",
        "trim_scale",
        &[Numeric],
        Numeric,
        |a, _, _| Ok(a[0]),
        "The value itself, whose scale is always the least.",
    ),
    function("isnan_numeric", "isnan", &[Numeric], Bool, |a, _, _| Ok(Datum::Bool(x(a).is_nan())), "True for NaN."),
    function(
        "numeric_width_bucket",
        "width_bucket",
        &[Numeric, Numeric, Numeric, Int4],
        Int4,
        |a, _, _| width_bucket(a),
        "The number of the bucket, of equal widths between two bounds, a value falls into.",
    )
    .fallible(),
];

/// The fault of a number that cannot be.
pub(crate) fn numeric_error(error: NumericError) -> EvalError {
    EvalError::new(error.sqlstate(), error.to_string())
}

pub(super) fn pack<'a>(result: Result<Number, NumericError>, arena: &'a Arena) -> Value<'a> {
    result.map(|number| Datum::Numeric(number.pack(arena))).map_err(numeric_error)
}

fn x(args: &[Datum<'_>]) -> Number {
    args[0].unwrap_numeric().decode()
}

fn y(args: &[Datum<'_>]) -> Number {
    args[1].unwrap_numeric().decode()
}

/// More places than a number has are all of them.
fn places(args: &[Datum<'_>]) -> i32 {
    let places = args[1].unwrap_int().clamp(-1000, 1000);
    i32::try_from(places).expect("clamped")
}

fn gcd(left: Number, right: Number) -> Result<Number, NumericError> {
    let (mut left, mut right) = (left.abs(), right.abs());
    while right.is_finite() && !right.is_zero() {
        (left, right) = (right, left.rem(&right)?);
    }
    Ok(if right.is_finite() { left } else { Number::NAN })
}

fn lcm(left: Number, right: Number) -> Result<Number, NumericError> {
    let divisor = gcd(left, right)?;
    if !divisor.is_finite() || divisor.is_zero() {
        return Ok(divisor);
    }
    Ok(left.div(&divisor)?.mul(&right)?.abs())
}

pub(super) fn factorial<'a>(number: i64, arena: &'a Arena) -> Value<'a> {
    if number < 0 {
        return Err(EvalError::new("22003", "factorial of a negative number is undefined"));
    }
    let mut product = Number::ONE;
    for factor in 2..=number {
        // Beyond 33! the product overflows, so that the loop is short.
        product = product.mul(&Number::from_i64(factor)).map_err(numeric_error)?;
    }
    pack(Ok(product), arena)
}

fn width_bucket<'a>(args: &[Datum<'_>]) -> Value<'a> {
    let invalid = |message| EvalError::new("2201G", message);
    let (value, low, high) = (x(args), y(args), args[2].unwrap_numeric().decode());
    let count = args[3].unwrap_int();
    if count <= 0 {
        return Err(invalid("count must be greater than zero"));
    }
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return Err(invalid("operand, lower bound, and upper bound cannot be NaN"));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(invalid("lower and upper bounds must be finite"));
    }
    let (value, low, high) = match low.cmp(&high) {
        Ordering::Equal => return Err(invalid("lower bound cannot equal upper bound")),
        Ordering::Less => (value, low, high),
        Ordering::Greater => (value.neg(), low.neg(), high.neg()),
    };
    let bucket = if value < low {
        0
    } else if value >= high {
        count + 1
    } else {
        let scaled = value.sub(&low).and_then(|offset| offset.mul(&Number::from_i64(count)));
        let position = scaled.and_then(|scaled| scaled.div(&high.sub(&low)?)).map_err(numeric_error)?;
        position.trunc(0).to_i64().unwrap_or(count).saturating_add(1).min(count)
    };
    super::arithmetic::int4(bucket.into())
}
