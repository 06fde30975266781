//! `jsonb_insert` and `jsonb_set_lax`.

use repr::jsonb::{Json, JsonbArray, JsonbBuilder, JsonbError, JsonbObject, JsonbRef};
use repr::{Arena, Datum};

use super::ArgType::{Bool, Jsonb, Text, TextArray};
use super::jsonb::{all_steps, build, change, check_steps, is_scalar, path};
use super::{FuncDef, Value, function, invalid_parameter};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    function(
        "jsonb_insert",
        "jsonb_insert",
        &[Jsonb, TextArray, Jsonb],
        Jsonb,
        insert,
        "With a value put in at a path: before an element of an array, or under a new key.",
    )
    .fallible(),
    function(
        "jsonb_insert_after",
        "jsonb_insert",
        &[Jsonb, TextArray, Jsonb, Bool],
        Jsonb,
        insert,
        "With a value put in at a path; with true, behind an element of an array.",
    )
    .fallible(),
    function("jsonb_set_lax", "jsonb_set_lax", &[Jsonb, TextArray, Jsonb], Jsonb, set_lax, SET_LAX)
        .fallible()
        .nullable()
        .called_on_null(),
    function("jsonb_set_lax_missing", "jsonb_set_lax", &[Jsonb, TextArray, Jsonb, Bool], Jsonb, set_lax, SET_LAX)
        .fallible()
        .nullable()
        .called_on_null(),
    function(
        "jsonb_set_lax_treatment",
        "jsonb_set_lax",
        &[Jsonb, TextArray, Jsonb, Bool, Text],
        Jsonb,
        set_lax,
        "As jsonb_set; the last argument says what a new value of NULL does.",
    )
    .fallible()
    .nullable()
    .called_on_null(),
];

const SET_LAX: &str = "As jsonb_set, with the JSON null for a new value of NULL.";

fn insert<'a>(args: &[Datum<'a>], _: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let (value, new) = (args[0].unwrap_jsonb(), args[2].unwrap_jsonb());
    let after = args.get(3).is_some_and(|after| after.unwrap_bool());
    if is_scalar(value) {
        return Err(invalid_parameter("cannot set path in scalar"));
    }
    let steps = all_steps(path(args, 1))?;
    if steps.is_empty() {
        return Ok(Datum::Jsonb(value));
    }
    check_steps(value, &steps)?;
    if has_key(value, &steps) {
        return Err(invalid_parameter("cannot replace existing key")
            .with_hint("Try using the function jsonb_set to replace key value."));
    }
    build(arena, |builder| insert_at(builder, value, &steps, new, after))
}

/// True if the path ends at a key that is there.
fn has_key(value: JsonbRef<'_>, steps: &[&str]) -> bool {
    let Some((last, before)) = steps.split_last() else { return false };
    let mut value = Some(value);
    for step in before {
        value = match value.map(|value| value.decode()) {
            Some(Json::Object(object)) => object.get(step),
            Some(Json::Array(array)) => step.trim().parse().ok().and_then(|index| array.get(index)),
            _ => None,
        };
    }
    matches!(value.map(|value| value.decode()), Some(Json::Object(object)) if object.get(last).is_some())
}

fn insert_at(
    builder: &mut JsonbBuilder,
    value: JsonbRef<'_>,
    steps: &[&str],
    new: JsonbRef<'_>,
    after: bool,
) -> Result<(), JsonbError> {
    match value.decode() {
        Json::Object(object) => insert_in_object(builder, object, steps, new, after),
        Json::Array(array) => insert_in_array(builder, array, steps, new, after),
        _ => builder.push(value),
    }
}

fn insert_in_object(
    builder: &mut JsonbBuilder,
    object: JsonbObject<'_>,
    steps: &[&str],
    new: JsonbRef<'_>,
    after: bool,
) -> Result<(), JsonbError> {
    builder.begin_object()?;
    for (key, value) in object.iter() {
        builder.key(key)?;
        if key == steps[0] {
            insert_at(builder, value, &steps[1..], new, after)?;
        } else {
            builder.push(value)?;
        }
    }
    if steps.len() == 1 {
        builder.key(steps[0])?;
        builder.push(new)?;
    }
    builder.end_object();
    Ok(())
}

fn insert_in_array(
    builder: &mut JsonbBuilder,
    array: JsonbArray<'_>,
    steps: &[&str],
    new: JsonbRef<'_>,
    after: bool,
) -> Result<(), JsonbError> {
    let length = array.len() as i64;
    let given: i64 = steps[0].trim().parse().unwrap_or(i64::MAX);
    let index = if given < 0 { given.saturating_add(length) } else { given };
    let is_last = steps.len() == 1;
    builder.begin_array()?;
    if is_last && (index < 0 || length == 0) {
        builder.push(new)?;
    }
    for (position, value) in (0i64..).zip(array.iter()) {
        match position == index {
            true if is_last && after => {
                builder.push(value)?;
                builder.push(new)?;
            }
            true if is_last => {
                builder.push(new)?;
                builder.push(value)?;
            }
            true => insert_at(builder, value, &steps[1..], new, after)?,
            false => builder.push(value)?,
        }
    }
    if is_last && length > 0 && index >= length {
        builder.push(new)?;
    }
    builder.end_array();
    Ok(())
}

fn set_lax<'a>(args: &[Datum<'a>], _: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let create = args.get(3).copied().unwrap_or(Datum::TRUE);
    if args[0].is_null() || args[1].is_null() || create.is_null() {
        return Ok(Datum::Null);
    }
    let treatment = args.get(4).copied().unwrap_or(Datum::Text("use_json_null"));
    let unknown = || {
        let message =
            "null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"";
        invalid_parameter(message)
    };
    if treatment.is_null() {
        return Err(unknown());
    }
    let (value, create) = (args[0].unwrap_jsonb(), create.unwrap_bool());
    if !args[2].is_null() {
        return change(value, path(args, 1), Some(args[2].unwrap_jsonb()), create, arena);
    }
    match treatment.unwrap_text() {
        "raise_exception" => Err(EvalError::new("22004", "JSON value must not be null")
            .with_detail("Exception was raised because null_value_treatment is \"raise_exception\".")
            .with_hint(
                "To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed.",
            )),
        "use_json_null" => {
            let null = JsonbRef::parse("null", arena).map_err(super::jsonb_error)?;
            change(value, path(args, 1), Some(null), create, arena)
        }
        "delete_key" => change(value, path(args, 1), None, false, arena),
        "return_target" => Ok(args[0]),
        _ => Err(unknown()),
    }
}
