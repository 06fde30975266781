//! Arithmetic and bit operations on integers and floating-point numbers.

use super::ArgType::*;
use super::{FuncDef, Value, function, operator};
use crate::error::EvalError;
use repr::Datum;

pub(super) static TABLE: &[FuncDef] = &[
    operator("int2_add", "+", &[Int2, Int2], Int2, |a, _, _| int2(left(a) + right(a)), "Sum.").fallible(),
    operator("int4_add", "+", &[Int4, Int4], Int4, |a, _, _| int4(left(a) + right(a)), "Sum.").fallible(),
    operator("int8_add", "+", &[Int8, Int8], Int8, |a, _, _| int8(left(a) + right(a)), "Sum.").fallible(),
    operator("uint2_add", "+", &[UInt2, UInt2], UInt2, |a, _, _| uint2(left(a) + right(a)), "Sum.").fallible(),
    operator("uint4_add", "+", &[UInt4, UInt4], UInt4, |a, _, _| uint4(left(a) + right(a)), "Sum.").fallible(),
    operator("uint8_add", "+", &[UInt8, UInt8], UInt8, |a, _, _| uint8(left(a) + right(a)), "Sum.").fallible(),
    operator(
        "float4_add",
        "+",
        &[Float4, Float4],
        Float4,
        |a, _, _| float4_add(float4_of(a[0]), float4_of(a[1])),
        "Sum.",
    )
    .fallible(),
    operator(
        "float8_add",
        "+",
        &[Float8, Float8],
        Float8,
        |a, _, _| float8_add(float8_of(a[0]), float8_of(a[1])),
        "Sum.",
    )
    .fallible(),
    operator("int2_sub", "-", &[Int2, Int2], Int2, |a, _, _| int2(left(a) - right(a)), "Difference.").fallible(),
    operator("int4_sub", "-", &[Int4, Int4], Int4, |a, _, _| int4(left(a) - right(a)), "Difference.").fallible(),
    operator("int8_sub", "-", &[Int8, Int8], Int8, |a, _, _| int8(left(a) - right(a)), "Difference.").fallible(),
    operator("uint2_sub", "-", &[UInt2, UInt2], UInt2, |a, _, _| uint2(left(a) - right(a)), "Difference.").fallible(),
    operator("uint4_sub", "-", &[UInt4, UInt4], UInt4, |a, _, _| uint4(left(a) - right(a)), "Difference.").fallible(),
    operator("uint8_sub", "-", &[UInt8, UInt8], UInt8, |a, _, _| uint8(left(a) - right(a)), "Difference.").fallible(),
    operator(
        "float4_sub",
        "-",
        &[Float4, Float4],
        Float4,
        |a, _, _| float4_sub(float4_of(a[0]), float4_of(a[1])),
        "Difference.",
    )
    .fallible(),
    operator(
        "float8_sub",
        "-",
        &[Float8, Float8],
        Float8,
        |a, _, _| float8_sub(float8_of(a[0]), float8_of(a[1])),
        "Difference.",
    )
    .fallible(),
    operator("int2_mul", "*", &[Int2, Int2], Int2, |a, _, _| int2(left(a) * right(a)), "Product.").fallible(),
    operator("int4_mul", "*", &[Int4, Int4], Int4, |a, _, _| int4(left(a) * right(a)), "Product.").fallible(),
    operator("int8_mul", "*", &[Int8, Int8], Int8, |a, _, _| int8(left(a) * right(a)), "Product.").fallible(),
    operator("uint2_mul", "*", &[UInt2, UInt2], UInt2, |a, _, _| uint2(left(a) * right(a)), "Product.").fallible(),
    operator("uint4_mul", "*", &[UInt4, UInt4], UInt4, |a, _, _| uint4(left(a) * right(a)), "Product.").fallible(),
    operator("uint8_mul", "*", &[UInt8, UInt8], UInt8, |a, _, _| uint8(left(a).saturating_mul(right(a))), "Product.")
        .fallible(),
    operator(
        "float4_mul",
        "*",
        &[Float4, Float4],
        Float4,
        |a, _, _| float4_mul(float4_of(a[0]), float4_of(a[1])),
        "Product.",
    )
    .fallible(),
    operator(
        "float8_mul",
        "*",
        &[Float8, Float8],
        Float8,
        |a, _, _| float8_mul(float8_of(a[0]), float8_of(a[1])),
        "Product.",
    )
    .fallible(),
    operator(
        "int2_div",
        "/",
        &[Int2, Int2],
        Int2,
        |a, _, _| int2(left(a) / divisor(a)?),
        "Quotient, truncated toward zero.",
    )
    .fallible(),
    operator(
        "int4_div",
        "/",
        &[Int4, Int4],
        Int4,
        |a, _, _| int4(left(a) / divisor(a)?),
        "Quotient, truncated toward zero.",
    )
    .fallible(),
    operator(
        "int8_div",
        "/",
        &[Int8, Int8],
        Int8,
        |a, _, _| int8(left(a) / divisor(a)?),
        "Quotient, truncated toward zero.",
    )
    .fallible(),
    operator(
        "uint2_div",
        "/",
        &[UInt2, UInt2],
        UInt2,
        |a, _, _| uint2(left(a) / divisor(a)?),
        "Quotient, truncated toward zero.",
    )
    .fallible(),
    operator(
        "uint4_div",
        "/",
        &[UInt4, UInt4],
        UInt4,
        |a, _, _| uint4(left(a) / divisor(a)?),
        "Quotient, truncated toward zero.",
    )
    .fallible(),
    operator(
        "uint8_div",
        "/",
        &[UInt8, UInt8],
        UInt8,
        |a, _, _| uint8(left(a) / divisor(a)?),
        "Quotient, truncated toward zero.",
    )
    .fallible(),
    operator(
        "float4_div",
        "/",
        &[Float4, Float4],
        Float4,
        |a, _, _| float4_div(float4_of(a[0]), float4_of(a[1])),
        "Quotient.",
    )
    .fallible(),
    operator(
        "float8_div",
        "/",
        &[Float8, Float8],
        Float8,
        |a, _, _| float8_div(float8_of(a[0]), float8_of(a[1])),
        "Quotient.",
    )
    .fallible(),
    operator(
        "int2_rem",
        "%",
        &[Int2, Int2],
        Int2,
        |a, _, _| int2(left(a) % divisor(a)?),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    operator(
        "int4_rem",
        "%",
        &[Int4, Int4],
        Int4,
        |a, _, _| int4(left(a) % divisor(a)?),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    operator(
        "int8_rem",
        "%",
        &[Int8, Int8],
        Int8,
        |a, _, _| int8(left(a) % divisor(a)?),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    operator(
        "uint2_rem",
        "%",
        &[UInt2, UInt2],
        UInt2,
        |a, _, _| uint2(left(a) % divisor(a)?),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    operator(
        "uint4_rem",
        "%",
        &[UInt4, UInt4],
        UInt4,
        |a, _, _| uint4(left(a) % divisor(a)?),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    operator(
        "uint8_rem",
        "%",
        &[UInt8, UInt8],
        UInt8,
        |a, _, _| uint8(left(a) % divisor(a)?),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    function(
        "int2_mod",
        "mod",
        &[Int2, Int2],
        Int2,
        |a, _, _| int2(left(a) % divisor(a)?),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    function(
        "int4_mod",
        "mod",
        &[Int4, Int4],
        Int4,
        |a, _, _| int4(left(a) % divisor(a)?),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    function(
        "int8_mod",
        "mod",
        &[Int8, Int8],
        Int8,
        |a, _, _| int8(left(a) % divisor(a)?),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    function(
        "uint2_mod",
        "mod",
        &[UInt2, UInt2],
        UInt2,
        |a, _, _| uint2(left(a) % divisor(a)?),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    function(
        "uint4_mod",
        "mod",
        &[UInt4, UInt4],
        UInt4,
        |a, _, _| uint4(left(a) % divisor(a)?),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    function(
        "uint8_mod",
        "mod",
        &[UInt8, UInt8],
        UInt8,
        |a, _, _| uint8(left(a) % divisor(a)?),
        "Remainder, of the sign of the dividend.",
    )
    .fallible(),
    operator("int2_neg", "-", &[Int2], Int2, |a, _, _| int2(-left(a)), "Negation.").fallible(),
    operator("int4_neg", "-", &[Int4], Int4, |a, _, _| int4(-left(a)), "Negation.").fallible(),
    operator("int8_neg", "-", &[Int8], Int8, |a, _, _| int8(-left(a)), "Negation.").fallible(),
    operator("float4_neg", "-", &[Float4], Float4, |a, _, _| Ok(Datum::float4(-float4_of(a[0]))), "Negation."),
    operator("float8_neg", "-", &[Float8], Float8, |a, _, _| Ok(Datum::float8(-float8_of(a[0]))), "Negation."),
    operator("int2_plus", "+", &[Int2], Int2, |a, _, _| Ok(a[0]), "The value itself."),
    operator("int4_plus", "+", &[Int4], Int4, |a, _, _| Ok(a[0]), "The value itself."),
    operator("int8_plus", "+", &[Int8], Int8, |a, _, _| Ok(a[0]), "The value itself."),
    operator("float4_plus", "+", &[Float4], Float4, |a, _, _| Ok(a[0]), "The value itself."),
    operator("float8_plus", "+", &[Float8], Float8, |a, _, _| Ok(a[0]), "The value itself."),
    function("int2_abs", "abs", &[Int2], Int2, |a, _, _| int2(left(a).abs()), "Absolute value.").fallible(),
    operator("int2_abs_operator", "@", &[Int2], Int2, |a, _, _| int2(left(a).abs()), "Absolute value.").fallible(),
    function("int4_abs", "abs", &[Int4], Int4, |a, _, _| int4(left(a).abs()), "Absolute value.").fallible(),
    operator("int4_abs_operator", "@", &[Int4], Int4, |a, _, _| int4(left(a).abs()), "Absolute value.").fallible(),
    function("int8_abs", "abs", &[Int8], Int8, |a, _, _| int8(left(a).abs()), "Absolute value.").fallible(),
    operator("int8_abs_operator", "@", &[Int8], Int8, |a, _, _| int8(left(a).abs()), "Absolute value.").fallible(),
    function(
        "float4_abs",
        "abs",
        &[Float4],
        Float4,
        |a, _, _| Ok(Datum::float4(float4_of(a[0]).abs())),
        "Absolute value.",
    ),
    function(
        "float8_abs",
        "abs",
        &[Float8],
        Float8,
        |a, _, _| Ok(Datum::float8(float8_of(a[0]).abs())),
        "Absolute value.",
    ),
    operator(
        "int2_bit_and",
        "&",
        &[Int2, Int2],
        Int2,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_int() & a[1].unwrap_int())),
        "Bitwise and.",
    ),
    operator(
        "int4_bit_and",
        "&",
        &[Int4, Int4],
        Int4,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_int() & a[1].unwrap_int())),
        "Bitwise and.",
    ),
    operator(
        "int8_bit_and",
        "&",
        &[Int8, Int8],
        Int8,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_int() & a[1].unwrap_int())),
        "Bitwise and.",
    ),
    operator(
        "uint2_bit_and",
        "&",
        &[UInt2, UInt2],
        UInt2,
        |a, _, _| Ok(Datum::UInt(a[0].unwrap_uint() & a[1].unwrap_uint())),
        "Bitwise and.",
    ),
    operator(
        "uint4_bit_and",
        "&",
        &[UInt4, UInt4],
        UInt4,
        |a, _, _| Ok(Datum::UInt(a[0].unwrap_uint() & a[1].unwrap_uint())),
        "Bitwise and.",
    ),
    operator(
        "uint8_bit_and",
        "&",
        &[UInt8, UInt8],
        UInt8,
        |a, _, _| Ok(Datum::UInt(a[0].unwrap_uint() & a[1].unwrap_uint())),
        "Bitwise and.",
    ),
    operator(
        "int2_bit_or",
        "|",
        &[Int2, Int2],
        Int2,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_int() | a[1].unwrap_int())),
        "Bitwise or.",
    ),
    operator(
        "int4_bit_or",
        "|",
        &[Int4, Int4],
        Int4,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_int() | a[1].unwrap_int())),
        "Bitwise or.",
    ),
    operator(
        "int8_bit_or",
        "|",
        &[Int8, Int8],
        Int8,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_int() | a[1].unwrap_int())),
        "Bitwise or.",
    ),
    operator(
        "uint2_bit_or",
        "|",
        &[UInt2, UInt2],
        UInt2,
        |a, _, _| Ok(Datum::UInt(a[0].unwrap_uint() | a[1].unwrap_uint())),
        "Bitwise or.",
    ),
    operator(
        "uint4_bit_or",
        "|",
        &[UInt4, UInt4],
        UInt4,
        |a, _, _| Ok(Datum::UInt(a[0].unwrap_uint() | a[1].unwrap_uint())),
        "Bitwise or.",
    ),
    operator(
        "uint8_bit_or",
        "|",
        &[UInt8, UInt8],
        UInt8,
        |a, _, _| Ok(Datum::UInt(a[0].unwrap_uint() | a[1].unwrap_uint())),
        "Bitwise or.",
    ),
    operator(
        "int2_bit_xor",
        "#",
        &[Int2, Int2],
        Int2,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_int() ^ a[1].unwrap_int())),
        "Bitwise exclusive or.",
    ),
    operator(
        "int4_bit_xor",
        "#",
        &[Int4, Int4],
        Int4,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_int() ^ a[1].unwrap_int())),
        "Bitwise exclusive or.",
    ),
    operator(
        "int8_bit_xor",
        "#",
        &[Int8, Int8],
        Int8,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_int() ^ a[1].unwrap_int())),
        "Bitwise exclusive or.",
    ),
    operator(
        "uint2_bit_xor",
        "#",
        &[UInt2, UInt2],
        UInt2,
        |a, _, _| Ok(Datum::UInt(a[0].unwrap_uint() ^ a[1].unwrap_uint())),
        "Bitwise exclusive or.",
    ),
    operator(
        "uint4_bit_xor",
        "#",
        &[UInt4, UInt4],
        UInt4,
        |a, _, _| Ok(Datum::UInt(a[0].unwrap_uint() ^ a[1].unwrap_uint())),
        "Bitwise exclusive or.",
    ),
    operator(
        "uint8_bit_xor",
        "#",
        &[UInt8, UInt8],
        UInt8,
        |a, _, _| Ok(Datum::UInt(a[0].unwrap_uint() ^ a[1].unwrap_uint())),
        "Bitwise exclusive or.",
    ),
    operator("int2_bit_not", "~", &[Int2], Int2, |a, _, _| Ok(Datum::Int(!a[0].unwrap_int())), "Bitwise not."),
    operator("int4_bit_not", "~", &[Int4], Int4, |a, _, _| Ok(Datum::Int(!a[0].unwrap_int())), "Bitwise not."),
    operator("int8_bit_not", "~", &[Int8], Int8, |a, _, _| Ok(Datum::Int(!a[0].unwrap_int())), "Bitwise not."),
    operator(
        "int2_shift_left",
        "<<",
        &[Int2, Int4],
        Int2,
        |a, _, _| Ok(Datum::Int(((a[0].unwrap_int() as i32).wrapping_shl(a[1].unwrap_int() as u32)) as i16 as i64)),
        "Bits shifted left.",
    ),
    operator(
        "int4_shift_left",
        "<<",
        &[Int4, Int4],
        Int4,
        |a, _, _| Ok(Datum::Int(((a[0].unwrap_int() as i32).wrapping_shl(a[1].unwrap_int() as u32)) as i64)),
        "Bits shifted left.",
    ),
    operator(
        "int8_shift_left",
        "<<",
        &[Int8, Int4],
        Int8,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_int().wrapping_shl(a[1].unwrap_int() as u32))),
        "Bits shifted left.",
    ),
    operator(
        "int2_shift_right",
        ">>",
        &[Int2, Int4],
        Int2,
        |a, _, _| Ok(Datum::Int(((a[0].unwrap_int() as i32).wrapping_shr(a[1].unwrap_int() as u32)) as i16 as i64)),
        "Bits shifted right, the sign kept.",
    ),
    operator(
        "int4_shift_right",
        ">>",
        &[Int4, Int4],
        Int4,
        |a, _, _| Ok(Datum::Int(((a[0].unwrap_int() as i32).wrapping_shr(a[1].unwrap_int() as u32)) as i64)),
        "Bits shifted right, the sign kept.",
    ),
    operator(
        "int8_shift_right",
        ">>",
        &[Int8, Int4],
        Int8,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_int().wrapping_shr(a[1].unwrap_int() as u32))),
        "Bits shifted right, the sign kept.",
    ),
    function(
        "int4_gcd",
        "gcd",
        &[Int4, Int4],
        Int4,
        |a, _, _| int4(gcd(left(a), right(a))),
        "Greatest common divisor.",
    )
    .fallible(),
    function("int4_lcm", "lcm", &[Int4, Int4], Int4, |a, _, _| int4(lcm(left(a), right(a))), "Least common multiple.")
        .fallible(),
    function(
        "int8_gcd",
        "gcd",
        &[Int8, Int8],
        Int8,
        |a, _, _| int8(gcd(left(a), right(a))),
        "Greatest common divisor.",
    )
    .fallible(),
    function("int8_lcm", "lcm", &[Int8, Int8], Int8, |a, _, _| int8(lcm(left(a), right(a))), "Least common multiple.")
        .fallible(),
];

/// An integer argument, wide enough that no operation on two of them overflows but the product of two uint8, which
/// saturates out of range.
fn wide(datum: Datum<'_>) -> i128 {
    match datum {
        Datum::UInt(value) => i128::from(value),
        other => i128::from(other.unwrap_int()),
    }
}

fn left(args: &[Datum<'_>]) -> i128 {
    wide(args[0])
}

fn right(args: &[Datum<'_>]) -> i128 {
    wide(args[1])
}

fn divisor(args: &[Datum<'_>]) -> Result<i128, EvalError> {
    match right(args) {
        0 => Err(EvalError::division_by_zero()),
        divisor => Ok(divisor),
    }
}

pub(super) fn int2<'a>(value: i128) -> Value<'a> {
    i16::try_from(value).map(|value| Datum::Int(value.into())).map_err(|_| EvalError::out_of_range("smallint"))
}

pub(super) fn int4<'a>(value: i128) -> Value<'a> {
    i32::try_from(value).map(|value| Datum::Int(value.into())).map_err(|_| EvalError::out_of_range("integer"))
}

pub(super) fn int8<'a>(value: i128) -> Value<'a> {
    i64::try_from(value).map(Datum::Int).map_err(|_| EvalError::out_of_range("bigint"))
}

pub(super) fn uint2<'a>(value: i128) -> Value<'a> {
    u16::try_from(value).map(|value| Datum::UInt(value.into())).map_err(|_| EvalError::out_of_range("uint2"))
}

pub(super) fn uint4<'a>(value: i128) -> Value<'a> {
    u32::try_from(value).map(|value| Datum::UInt(value.into())).map_err(|_| EvalError::out_of_range("uint4"))
}

pub(super) fn uint8<'a>(value: i128) -> Value<'a> {
    u64::try_from(value).map(Datum::UInt).map_err(|_| EvalError::out_of_range("uint8"))
}

fn float4_of(datum: Datum<'_>) -> f32 {
    datum.unwrap_float4()
}

fn float8_of(datum: Datum<'_>) -> f64 {
    datum.unwrap_float8()
}

fn overflow() -> EvalError {
    EvalError::new("22003", "value out of range: overflow")
}

fn underflow() -> EvalError {
    EvalError::new("22003", "value out of range: underflow")
}

/// Checks a result: an infinity is an overflow unless an operand was one, zero an underflow where it cannot be exact.
fn float4<'a>(result: f32, infinite_operand: bool, zero_expected: bool) -> Value<'a> {
    if result.is_infinite() && !infinite_operand {
        return Err(overflow());
    }
    if result == 0.0 && !zero_expected {
        return Err(underflow());
    }
    Ok(Datum::float4(result))
}

pub(super) fn float8<'a>(result: f64, infinite_operand: bool, zero_expected: bool) -> Value<'a> {
    if result.is_infinite() && !infinite_operand {
        return Err(overflow());
    }
    if result == 0.0 && !zero_expected {
        return Err(underflow());
    }
    Ok(Datum::float8(result))
}

fn float4_add<'a>(left: f32, right: f32) -> Value<'a> {
    float4(left + right, left.is_infinite() || right.is_infinite(), true)
}

fn float4_sub<'a>(left: f32, right: f32) -> Value<'a> {
    float4(left - right, left.is_infinite() || right.is_infinite(), true)
}

fn float4_mul<'a>(left: f32, right: f32) -> Value<'a> {
    float4(left * right, left.is_infinite() || right.is_infinite(), left == 0.0 || right == 0.0)
}

fn float4_div<'a>(left: f32, right: f32) -> Value<'a> {
    if right == 0.0 && !left.is_nan() {
        return Err(EvalError::division_by_zero());
    }
    float4(left / right, left.is_infinite(), left == 0.0 || right.is_infinite())
}

fn float8_add<'a>(left: f64, right: f64) -> Value<'a> {
    float8(left + right, left.is_infinite() || right.is_infinite(), true)
}

fn float8_sub<'a>(left: f64, right: f64) -> Value<'a> {
    float8(left - right, left.is_infinite() || right.is_infinite(), true)
}

fn float8_mul<'a>(left: f64, right: f64) -> Value<'a> {
    float8(left * right, left.is_infinite() || right.is_infinite(), left == 0.0 || right == 0.0)
}

fn float8_div<'a>(left: f64, right: f64) -> Value<'a> {
    if right == 0.0 && !left.is_nan() {
        return Err(EvalError::division_by_zero());
    }
    float8(left / right, left.is_infinite(), left == 0.0 || right.is_infinite())
}

fn gcd(left: i128, right: i128) -> i128 {
    let (mut left, mut right) = (left.abs(), right.abs());
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

fn lcm(left: i128, right: i128) -> i128 {
    match gcd(left, right) {
        0 => 0,
        divisor => (left / divisor * right).abs(),
    }
}
