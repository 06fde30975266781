//! Functions of double precision numbers.

use repr::{Arena, Datum};

use super::ArgType::{AnyArray, AnyElement, Float8, Int4, Int8, Numeric};
use super::arithmetic::float8;
use super::compare::compare_values;
use super::{FuncDef, Value, function, operator};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    function(
        "float8_ceil",
        "ceil",
        &[Float8],
        Float8,
        |a, _, _| Ok(Datum::float8(x(a).ceil())),
        "Least whole number not below.",
    ),
    function(
        "float8_ceiling",
        "ceiling",
        &[Float8],
        Float8,
        |a, _, _| Ok(Datum::float8(x(a).ceil())),
        "Least whole number not below.",
    ),
    function(
        "float8_floor",
        "floor",
        &[Float8],
        Float8,
        |a, _, _| Ok(Datum::float8(x(a).floor())),
        "Greatest whole number not above.",
    ),
    function(
        "float8_round",
        "round",
        &[Float8],
        Float8,
        |a, _, _| Ok(Datum::float8(x(a).round_ties_even())),
        "Nearest whole number, ties to even.",
    ),
    function("float8_trunc", "trunc", &[Float8], Float8, |a, _, _| Ok(Datum::float8(x(a).trunc())), "Whole part."),
    function("float8_sqrt", "sqrt", &[Float8], Float8, |a, _, _| sqrt(x(a)), "Square root.").fallible(),
    operator("float8_sqrt_operator", "|/", &[Float8], Float8, |a, _, _| sqrt(x(a)), "Square root.").fallible(),
    function("float8_cbrt", "cbrt", &[Float8], Float8, |a, _, _| Ok(Datum::float8(x(a).cbrt())), "Cube root."),
    operator("float8_cbrt_operator", "||/", &[Float8], Float8, |a, _, _| Ok(Datum::float8(x(a).cbrt())), "Cube root."),
    function(
        "float8_exp",
        "exp",
        &[Float8],
        Float8,
        |a, _, _| float8(x(a).exp(), x(a).is_infinite(), x(a) == f64::NEG_INFINITY),
        "Exponential.",
    )
    .fallible(),
    function("float8_ln", "ln", &[Float8], Float8, |a, _, _| logarithm(x(a), f64::ln), "Natural logarithm.").fallible(),
    function("float8_log", "log", &[Float8], Float8, |a, _, _| logarithm(x(a), f64::log10), "Logarithm to base 10.")
        .fallible(),
    function(
        "float8_log10",
        "log10",
        &[Float8],
        Float8,
        |a, _, _| logarithm(x(a), f64::log10),
        "Logarithm to base 10.",
    )
    .fallible(),
    function("float8_pow", "pow", &[Float8, Float8], Float8, |a, _, _| power(x(a), y(a)), "Power.").fallible(),
    function("float8_power", "power", &[Float8, Float8], Float8, |a, _, _| power(x(a), y(a)), "Power.").fallible(),
    operator("float8_power_operator", "^", &[Float8, Float8], Float8, |a, _, _| power(x(a), y(a)), "Power.").fallible(),
    function(
        "float8_sign",
        "sign",
        &[Float8],
        Float8,
        |a, _, _| Ok(Datum::float8(if x(a) == 0.0 || x(a).is_nan() { 0.0 } else { x(a).signum() })),
        "-1, 0 or 1; 0 of NaN, too.",
    ),
    function(
        "degrees",
        "degrees",
        &[Float8],
        Float8,
        |a, _, _| float8(x(a).to_degrees(), x(a).is_infinite(), true),
        "Radians to degrees.",
    )
    .fallible(),
    function(
        "radians",
        "radians",
        &[Float8],
        Float8,
        |a, _, _| Ok(Datum::float8(x(a).to_radians())),
        "Degrees to radians.",
    ),
    function(
        "pi",
        "pi",
        &[],
        Float8,
        |_, _, _| Ok(Datum::float8(std::f64::consts::PI)),
        "The ratio of a circle's circumference to its diameter.",
    ),
    function("sin", "sin", &[Float8], Float8, |a, _, _| finite(x(a), f64::sin), "Sine of radians.").fallible(),
    function("cos", "cos", &[Float8], Float8, |a, _, _| finite(x(a), f64::cos), "Cosine of radians.").fallible(),
    function("tan", "tan", &[Float8], Float8, |a, _, _| finite(x(a), f64::tan), "Tangent of radians.").fallible(),
    function("cot", "cot", &[Float8], Float8, |a, _, _| finite(x(a), |x| 1.0 / x.tan()), "Cotangent of radians.")
        .fallible(),
    function("asin", "asin", &[Float8], Float8, |a, _, _| within(x(a), -1.0, 1.0, f64::asin), "Inverse sine.")
        .fallible(),
    function("acos", "acos", &[Float8], Float8, |a, _, _| within(x(a), -1.0, 1.0, f64::acos), "Inverse cosine.")
        .fallible(),
    function("atan", "atan", &[Float8], Float8, |a, _, _| Ok(Datum::float8(x(a).atan())), "Inverse tangent."),
    function(
        "atan2",
        "atan2",
        &[Float8, Float8],
        Float8,
        |a, _, _| Ok(Datum::float8(x(a).atan2(y(a)))),
        "Inverse tangent of a quotient.",
    ),
    function("sinh", "sinh", &[Float8], Float8, |a, _, _| Ok(Datum::float8(x(a).sinh())), "Hyperbolic sine."),
    function("cosh", "cosh", &[Float8], Float8, |a, _, _| Ok(Datum::float8(x(a).cosh())), "Hyperbolic cosine."),
    function("tanh", "tanh", &[Float8], Float8, |a, _, _| Ok(Datum::float8(x(a).tanh())), "Hyperbolic tangent."),
    function(
        "asinh",
        "asinh",
        &[Float8],
        Float8,
        |a, _, _| Ok(Datum::float8(x(a).asinh())),
        "Inverse hyperbolic sine.",
    ),
    function(
        "acosh",
        "acosh",
        &[Float8],
        Float8,
        |a, _, _| within(x(a), 1.0, f64::INFINITY, f64::acosh),
        "Inverse hyperbolic cosine.",
    )
    .fallible(),
    function(
        "atanh",
        "atanh",
        &[Float8],
        Float8,
        |a, _, _| within(x(a), -1.0, 1.0, f64::atanh),
        "Inverse hyperbolic tangent.",
    )
    .fallible(),
    function(
        "float8_width_bucket",
        "width_bucket",
        &[Float8, Float8, Float8, Int4],
        Int4,
        |a, _, _| width_bucket(a),
        "The number of the bucket, of equal widths between two bounds, a value falls into.",
    )
    .fallible(),
    function(
        "array_width_bucket",
        "width_bucket",
        &[AnyElement, AnyArray],
        Int4,
        bucket_of_array,
        "The number of the bucket a value falls into: of the ascending lower bounds those not above it.",
    )
    .fallible(),
    function(
        "isnan_float8",
        "isnan",
        &[Float8],
        super::ArgType::Bool,
        |a, _, _| Ok(Datum::Bool(x(a).is_nan())),
        "True for NaN.",
    ),
    operator(
        "int8_factorial",
        "!!",
        &[Int8],
        Numeric,
        |a, _, arena| super::numeric::factorial(a[0].unwrap_int(), arena),
        "Factorial.",
    )
    .fallible(),
    function(
        "factorial",
        "factorial",
        &[Int8],
        Numeric,
        |a, _, arena| super::numeric::factorial(a[0].unwrap_int(), arena),
        "Factorial.",
    )
    .fallible(),
];

fn x(args: &[Datum<'_>]) -> f64 {
    args[0].unwrap_float8()
}

fn y(args: &[Datum<'_>]) -> f64 {
    args[1].unwrap_float8()
}

fn sqrt<'a>(value: f64) -> Value<'a> {
    if value < 0.0 {
        return Err(EvalError::new("2201F", "cannot take square root of a negative number"));
    }
    Ok(Datum::float8(value.sqrt()))
}

fn logarithm<'a>(value: f64, function: fn(f64) -> f64) -> Value<'a> {
    if value == 0.0 {
        return Err(EvalError::new("2201E", "cannot take logarithm of zero"));
    }
    if value < 0.0 {
        return Err(EvalError::new("2201E", "cannot take logarithm of a negative number"));
    }
    Ok(Datum::float8(function(value)))
}

fn power<'a>(base: f64, exponent: f64) -> Value<'a> {
    if base == 0.0 && exponent < 0.0 {
        return Err(EvalError::new("2201F", "zero raised to a negative power is undefined"));
    }
    if base < 0.0 && base.is_finite() && exponent.is_finite() && exponent.fract() != 0.0 {
        let message = "a negative number raised to a non-integer power yields a complex result";
        return Err(EvalError::new("2201F", message));
    }
    let infinite = base.is_infinite() || exponent.is_infinite();
    float8(base.powf(exponent), infinite, base == 0.0 || infinite)
}

fn input_out_of_range() -> EvalError {
    EvalError::new("22003", "input is out of range")
}

fn finite<'a>(value: f64, function: fn(f64) -> f64) -> Value<'a> {
    if value.is_infinite() {
        return Err(input_out_of_range());
    }
    Ok(Datum::float8(function(value)))
}

fn within<'a>(value: f64, least: f64, greatest: f64, function: fn(f64) -> f64) -> Value<'a> {
    if value < least || value > greatest {
        return Err(input_out_of_range());
    }
    Ok(Datum::float8(function(value)))
}

fn bucket_of_array<'a>(args: &[Datum<'a>], types: &CallTypes, _: &'a Arena) -> Value<'a> {
    let array = args[1].unwrap_array();
    if array.dimensions().len() > 1 {
        return Err(EvalError::new("2202E", "thresholds must be one-dimensional array"));
    }
    let bounds = array.elements();
    if bounds.iter().any(Datum::is_null) {
        return Err(EvalError::new("22004", "thresholds array must not contain NULLs"));
    }
    let count = bounds.partition_point(|bound| compare_values(*bound, args[0], &types.args[0]).is_le());
    Ok(Datum::Int(count as i64))
}

fn width_bucket<'a>(args: &[Datum<'_>]) -> Value<'a> {
    let invalid = |message| EvalError::new("2201G", message);
    let (value, low, high) = (x(args), y(args), args[2].unwrap_float8());
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
    if low == high {
        return Err(invalid("lower bound cannot equal upper bound"));
    }
    let (value, low, high) = if low < high { (value, low, high) } else { (-value, -low, -high) };
    let bucket = if value < low {
        0
    } else if value >= high {
        count + 1
    } else {
        // Scaled down first, so that the width of the range cannot overflow.
        let position = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0) * count as f64;
        (position as i64 + 1).min(count)
    };
    super::arithmetic::int4(bucket.into())
}
