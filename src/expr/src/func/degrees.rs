//! Trigonometry in degrees, exact where the result is.

use repr::Datum;

use super::ArgType::Float8;
use super::{FuncDef, Value, function};
use crate::error::EvalError;

pub(super) static TABLE: &[FuncDef] = &[
    of_angle("sind", |a, _, _| folded(a[0].unwrap_float8(), sine), "Sine of an angle in degrees."),
    of_angle("cosd", |a, _, _| folded(a[0].unwrap_float8(), cosine), "Cosine of an angle in degrees."),
    of_angle("tand", |a, _, _| folded(a[0].unwrap_float8(), tangent), "Tangent of an angle in degrees."),
    of_angle("cotd", |a, _, _| folded(a[0].unwrap_float8(), cotangent), "Cotangent of an angle in degrees."),
    of_angle("asind", |a, _, _| within_one(a[0].unwrap_float8(), arcsine), "Angle in degrees of a sine."),
    of_angle("acosd", |a, _, _| within_one(a[0].unwrap_float8(), arccosine), "Angle in degrees of a cosine."),
    function(
        "atand",
        "atand",
        &[Float8],
        Float8,
        |a, _, _| Ok(Datum::float8(a[0].unwrap_float8().atan() / 1f64.atan() * 45.0)),
        "Angle in degrees of a tangent.",
    ),
    function(
        "atan2d",
        "atan2d",
        &[Float8, Float8],
        Float8,
        |a, _, _| Ok(Datum::float8(a[0].unwrap_float8().atan2(a[1].unwrap_float8()) / 1f64.atan() * 45.0)),
        "Angle in degrees of a point's coordinates y and x.",
    ),
];

const fn of_angle(name: &'static str, body: super::Body, doc: &'static str) -> FuncDef {
    function(name, name, &[Float8], Float8, body, doc).fallible()
}

fn out_of_range() -> EvalError {
    EvalError::new("22003", "input is out of range")
}

/// An angle from 0 to 90 degrees that stands for another, and how the functions' signs differ there.
#[derive(Clone, Copy)]
struct Quadrant {
    angle: f64,
    sine_negative: bool,
    cosine_negative: bool,
}

fn folded<'a>(degrees: f64, function: fn(Quadrant) -> f64) -> Value<'a> {
    if degrees.is_nan() {
        return Ok(Datum::float8(degrees));
    }
    if degrees.is_infinite() {
        return Err(out_of_range());
    }
    let rest = degrees % 360.0;
    let (mut angle, mut sine_negative) = (rest.abs(), rest < 0.0);
    if angle > 180.0 {
        angle = 360.0 - angle;
        sine_negative = !sine_negative;
    }
    let cosine_negative = angle > 90.0;
    let angle = if cosine_negative { 180.0 - angle } else { angle };
    Ok(Datum::float8(function(Quadrant { angle, sine_negative, cosine_negative })))
}

/// The sine up to 30 degrees, scaled so that it is a half there.
fn small_sine(degrees: f64) -> f64 {
    degrees.to_radians().sin() / 30f64.to_radians().sin() / 2.0
}

/// The cosine up to 60 degrees, scaled so that it is a half there.
fn small_cosine(degrees: f64) -> f64 {
    1.0 - (1.0 - degrees.to_radians().cos()) / (1.0 - 60f64.to_radians().cos()) / 2.0
}

fn first_sine(degrees: f64) -> f64 {
    if degrees <= 30.0 { small_sine(degrees) } else { small_cosine(90.0 - degrees) }
}

fn first_cosine(degrees: f64) -> f64 {
    if degrees <= 60.0 { small_cosine(degrees) } else { small_sine(90.0 - degrees) }
}

fn signed(value: f64, negative: bool) -> f64 {
    if negative { -value } else { value }
}

fn sine(quadrant: Quadrant) -> f64 {
    signed(first_sine(quadrant.angle), quadrant.sine_negative)
}

fn cosine(quadrant: Quadrant) -> f64 {
    signed(first_cosine(quadrant.angle), quadrant.cosine_negative)
}

fn tangent(quadrant: Quadrant) -> f64 {
    let of = |angle: f64| first_sine(angle) / first_cosine(angle);
    signed(of(quadrant.angle) / of(45.0), quadrant.sine_negative != quadrant.cosine_negative)
}

fn cotangent(quadrant: Quadrant) -> f64 {
    let of = |angle: f64| first_cosine(angle) / first_sine(angle);
    signed(of(quadrant.angle) / of(45.0), quadrant.sine_negative != quadrant.cosine_negative)
}

fn within_one<'a>(value: f64, function: fn(f64) -> f64) -> Value<'a> {
    if value.abs() > 1.0 {
        return Err(out_of_range());
    }
    Ok(Datum::float8(if value.is_nan() { value } else { function(value) }))
}

fn first_arcsine(value: f64) -> f64 {
    if value <= 0.5 { value.asin() / 0.5f64.asin() * 30.0 } else { 90.0 - value.acos() / 0.5f64.acos() * 60.0 }
}

fn arcsine(value: f64) -> f64 {
    signed(first_arcsine(value.abs()), value < 0.0)
}

fn arccosine(value: f64) -> f64 {
    if value < 0.0 {
        90.0 + first_arcsine(-value)
    } else if value <= 0.5 {
        90.0 - value.asin() / 0.5f64.asin() * 30.0
    } else {
        value.acos() / 0.5f64.acos() * 60.0
    }
}
