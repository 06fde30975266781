//! Making jsonb of other values.

use repr::jsonb::{JsonbBuilder, JsonbError};
use repr::numeric::Numeric;
use repr::{Arena, Datum, ScalarType};

use super::ArgType::{Any, AnyArray, Jsonb, Record, TextArray};
use super::jsonb::build;
use super::{FuncDef, Value, function, invalid_parameter};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    function("to_jsonb", "to_jsonb", &[Any], Jsonb, to_jsonb, "Any value as jsonb.").fallible(),
    function("to_json", "to_json", &[Any], Jsonb, to_jsonb, "Any value as jsonb.").fallible(),
    function("row_to_json", "row_to_json", &[Record], Jsonb, to_jsonb, "A record as a jsonb object.").fallible(),
    function("array_to_json", "array_to_json", &[AnyArray], Jsonb, to_jsonb, "An array as a jsonb array.").fallible(),
    function("jsonb_build_array", "jsonb_build_array", &[], Jsonb, build_array, "A jsonb array of the arguments.")
        .fallible()
        .called_on_null()
        .variadic(Any),
    function("json_build_array", "json_build_array", &[], Jsonb, build_array, "A jsonb array of the arguments.")
        .fallible()
        .called_on_null()
        .variadic(Any),
    function(
        "jsonb_build_object",
        "jsonb_build_object",
        &[],
        Jsonb,
        build_object,
        "A jsonb object of keys and values, taken in turn from the arguments.",
    )
    .fallible()
    .called_on_null()
    .variadic(Any),
    function(
        "json_build_object",
        "json_build_object",
        &[],
        Jsonb,
        build_object,
        "A jsonb object of keys and values, taken in turn from the arguments.",
    )
    .fallible()
    .called_on_null()
    .variadic(Any),
    function(
        "jsonb_object",
        "jsonb_object",
        &[TextArray],
        Jsonb,
        object_of_texts,
        "A jsonb object of keys and values, taken in turn from an array.",
    )
    .fallible(),
    function(
        "jsonb_object_pairs",
        "jsonb_object",
        &[TextArray, TextArray],
        Jsonb,
        object_of_pairs,
        "A jsonb object of the keys in the first array and the values in the second.",
    )
    .fallible(),
];

fn to_jsonb<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    build(arena, |builder| push(builder, args[0], &types.args[0]))
}

/// Appends any value.
pub(crate) fn push(builder: &mut JsonbBuilder, datum: Datum<'_>, typ: &ScalarType) -> Result<(), JsonbError> {
    match datum {
        Datum::Null => {
            builder.null();
            Ok(())
        }
        Datum::Bool(value) => {
            builder.bool(value);
            Ok(())
        }
        Datum::Int(value) if !matches!(typ, ScalarType::Enum(_)) => {
            builder.int(value);
            Ok(())
        }
        Datum::UInt(value) => builder.number(&Numeric::from_u64(value)),
        Datum::Float4(value) if value.get().is_finite() => builder.number(&Numeric::from_f32(value.get())?),
        Datum::Float8(value) if value.get().is_finite() => builder.number(&Numeric::from_f64(value.get())?),
        Datum::Numeric(value) if value.decode().is_finite() => builder.number(&value.decode()),
        Datum::Text(_) if matches!(typ, ScalarType::Char(Some(_))) => builder.string(&crate::text_of(datum, typ)),
        Datum::Text(value) => builder.string(value),
        Datum::Jsonb(value) => builder.push(value),
        Datum::Timestamp(_) => builder.string(&iso_8601(&crate::text_of(datum, typ), typ)),
        Datum::Array(array) => {
            let lengths: Vec<usize> = array.dimensions().iter().map(|dimension| dimension.length).collect();
            push_array(builder, &array.elements(), &lengths, super::array::element_type(typ))
        }
        Datum::List(_) if matches!(typ, ScalarType::Range(_)) => builder.string(&crate::text_of(datum, typ)),
        Datum::List(list) => push_list(builder, &list.elements(), typ),
        Datum::Map(map) => {
            builder.begin_object()?;
            for (key, value) in map.iter() {
                builder.key(key)?;
                push(builder, value, super::array::element_type(typ))?;
            }
            builder.end_object();
            Ok(())
        }
        other => builder.string(&crate::text_of(other, typ)),
    }
}

/// A timestamp as JSON writes it: a T between date and time, minutes in the offset.
fn iso_8601(text: &str, typ: &ScalarType) -> String {
    let mut out = text.replacen(' ', "T", 1);
    if matches!(typ, ScalarType::TimestampTz(_)) && out.ends_with("+00") {
        out.push_str(":00");
    }
    out
}

fn push_array(
    builder: &mut JsonbBuilder,
    elements: &[Datum<'_>],
    lengths: &[usize],
    typ: &ScalarType,
) -> Result<(), JsonbError> {
    builder.begin_array()?;
    match lengths {
        [] | [_] => elements.iter().try_for_each(|element| push(builder, *element, typ))?,
        [_, rest @ ..] => {
            let size: usize = rest.iter().product();
            elements.chunks(size.max(1)).try_for_each(|chunk| push_array(builder, chunk, rest, typ))?;
        }
    }
    builder.end_array();
    Ok(())
}

fn push_list(builder: &mut JsonbBuilder, elements: &[Datum<'_>], typ: &ScalarType) -> Result<(), JsonbError> {
    let ScalarType::Record(fields) = typ else {
        builder.begin_array()?;
        let element = super::array::element_type(typ);
        elements.iter().try_for_each(|value| push(builder, *value, element))?;
        builder.end_array();
        return Ok(());
    };
    builder.begin_object()?;
    for (index, (value, (name, field))) in elements.iter().zip(fields).enumerate() {
        if name.is_empty() {
            builder.key(&format!("f{}", index + 1))?;
        } else {
            builder.key(name)?;
        }
        push(builder, *value, &field.scalar)?;
    }
    builder.end_object();
    Ok(())
}

fn build_array<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    build(arena, |builder| {
        builder.begin_array()?;
        args.iter().zip(&types.args).try_for_each(|(arg, typ)| push(builder, *arg, typ))?;
        builder.end_array();
        Ok(())
    })
}

fn build_object<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    if args.len() % 2 == 1 {
        let hint = "The arguments of jsonb_build_object() must consist of alternating keys and values.";
        return Err(invalid_parameter("argument list must have even number of elements").with_hint(hint));
    }
    if let Some(position) = args.iter().step_by(2).position(Datum::is_null) {
        return Err(invalid_parameter(format!("argument {}: key must not be null", position * 2 + 1)));
    }
    let is_compound = |typ: &ScalarType| {
        matches!(
            typ,
            ScalarType::Array(_) | ScalarType::List(_) | ScalarType::Map(_) | ScalarType::Record(_) | ScalarType::Jsonb
        )
    };
    if types.args.iter().step_by(2).any(is_compound) {
        return Err(invalid_parameter("key value must be scalar, not array, composite, or json"));
    }
    build(arena, |builder| {
        builder.begin_object()?;
        for (pair, types) in args.chunks_exact(2).zip(types.args.chunks_exact(2)) {
            builder.key(&crate::text_of(pair[0], &types[0]))?;
            push(builder, pair[1], &types[1])?;
        }
        builder.end_object();
        Ok(())
    })
}

fn object_of_pairs<'a>(args: &[Datum<'a>], _: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let (keys, values) = (args[0].unwrap_array(), args[1].unwrap_array());
    if keys.dimensions().len() > 1 || values.dimensions().len() > 1 {
        return Err(EvalError::new("2202E", "wrong number of array subscripts"));
    }
    let (keys, values) = (keys.elements(), values.elements());
    if keys.len() != values.len() {
        return Err(EvalError::new("2202E", "mismatched array dimensions"));
    }
    if keys.iter().any(Datum::is_null) {
        return Err(EvalError::new("22004", "null value not allowed for object key"));
    }
    build(arena, |builder| {
        builder.begin_object()?;
        for (key, value) in keys.iter().zip(&values) {
            builder.key(key.unwrap_text())?;
            push(builder, *value, &ScalarType::Text)?;
        }
        builder.end_object();
        Ok(())
    })
}

fn object_of_texts<'a>(args: &[Datum<'a>], _: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let elements = args[0].unwrap_array().elements();
    if elements.len() % 2 == 1 {
        return Err(EvalError::new("2202E", "array must have even number of elements"));
    }
    if elements.iter().step_by(2).any(Datum::is_null) {
        return Err(EvalError::new("22004", "null value not allowed for object key"));
    }
    build(arena, |builder| {
        builder.begin_object()?;
        for pair in elements.chunks_exact(2) {
            builder.key(pair[0].unwrap_text())?;
            push(builder, pair[1], &ScalarType::Text)?;
        }
        builder.end_object();
        Ok(())
    })
}
