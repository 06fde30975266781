//! Reading and changing jsonb.

use repr::composite::ArrayRef;
use repr::jsonb::{Json, JsonbArray, JsonbBuilder, JsonbError, JsonbKind, JsonbObject, JsonbRef};
use repr::{Arena, Datum};

use super::ArgType::{Bool, Int4, Jsonb, Text, TextArray};
use super::{FuncDef, Value, check_length, function, invalid_parameter, operator, text};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    operator(
        "jsonb_get_field",
        "->",
        &[Jsonb, Text],
        Jsonb,
        |a, _, _| Ok(jsonb(json(a, 0).get(string(a, 1)))),
        "The value of a key; NULL where there is none.",
    )
    .nullable(),
    operator(
        "jsonb_get_element",
        "->",
        &[Jsonb, Int4],
        Jsonb,
        |a, _, _| Ok(jsonb(element(json(a, 0), a[1].unwrap_int()))),
        "The element at an index from 0, or from the end if negative; NULL where there is none.",
    )
    .nullable(),
    operator(
        "jsonb_get_field_text",
        "->>",
        &[Jsonb, Text],
        Text,
        |a, _, arena| as_text(json(a, 0).get(string(a, 1)), arena),
        "The value of a key as text.",
    )
    .nullable(),
    operator(
        "jsonb_get_element_text",
        "->>",
        &[Jsonb, Int4],
        Text,
        |a, _, arena| as_text(element(json(a, 0), a[1].unwrap_int()), arena),
        "The element at an index as text.",
    )
    .nullable(),
    operator(
        "jsonb_get_path",
        "#>",
        &[Jsonb, TextArray],
        Jsonb,
        |a, _, _| Ok(jsonb(at_path(json(a, 0), path(a, 1)))),
        "The value at a path of keys and indexes.",
    )
    .nullable(),
    operator(
        "jsonb_get_path_text",
        "#>>",
        &[Jsonb, TextArray],
        Text,
        |a, _, arena| as_text(at_path(json(a, 0), path(a, 1)), arena),
        "The value at a path of keys and indexes, as text.",
    )
    .nullable(),
    operator(
        "jsonb_contains",
        "@>",
        &[Jsonb, Jsonb],
        Bool,
        |a, _, _| Ok(Datum::Bool(contains(json(a, 0), json(a, 1)))),
        "True if the second is contained in the first.",
    ),
    operator(
        "jsonb_contained",
        "<@",
        &[Jsonb, Jsonb],
        Bool,
        |a, _, _| Ok(Datum::Bool(contains(json(a, 1), json(a, 0)))),
        "True if the first is contained in the second.",
    ),
    operator(
        "jsonb_exists",
        "?",
        &[Jsonb, Text],
        Bool,
        |a, _, _| Ok(Datum::Bool(exists(json(a, 0), string(a, 1)))),
        "True if there is the key, or the string among the elements.",
    ),
    operator(
        "jsonb_exists_any",
        "?|",
        &[Jsonb, TextArray],
        Bool,
        |a, _, _| Ok(Datum::Bool(keys(a, 1).any(|key| exists(json(a, 0), key)))),
        "True if any of the keys is there.",
    ),
    operator(
        "jsonb_exists_all",
        "?&",
        &[Jsonb, TextArray],
        Bool,
        |a, _, _| Ok(Datum::Bool(keys(a, 1).all(|key| exists(json(a, 0), key)))),
        "True if all of the keys are there.",
    ),
    operator(
        "jsonb_concat",
        "||",
        &[Jsonb, Jsonb],
        Jsonb,
        |a, _, arena| build(arena, |b| concat(b, json(a, 0), json(a, 1))),
        "Both objects merged, the second winning; else both as arrays, one after the other.",
    )
    .fallible(),
    operator(
        "jsonb_delete_key",
        "-",
        &[Jsonb, Text],
        Jsonb,
        |a, _, arena| delete_keys(json(a, 0), &[string(a, 1)], arena),
        "Without a key, or without the elements that are a string.",
    )
    .fallible(),
    operator(
        "jsonb_delete_index",
        "-",
        &[Jsonb, Int4],
        Jsonb,
        |a, _, arena| delete_index(json(a, 0), a[1].unwrap_int(), arena),
        "Without the element at an index.",
    )
    .fallible(),
    operator(
        "jsonb_delete_keys",
        "-",
        &[Jsonb, TextArray],
        Jsonb,
        |a, _, arena| delete_keys(json(a, 0), &keys(a, 1).collect::<Vec<_>>(), arena),
        "Without some keys, or without the elements that are these strings.",
    )
    .fallible(),
    operator(
        "jsonb_delete_path",
        "#-",
        &[Jsonb, TextArray],
        Jsonb,
        |a, _, arena| change(json(a, 0), path(a, 1), None, false, arena),
        "Without the value at a path.",
    )
    .fallible(),
    function(
        "jsonb_typeof",
        "jsonb_typeof",
        &[Jsonb],
        Text,
        |a, _, _| Ok(Datum::Text(json(a, 0).kind().name())),
        "object, array, string, number, boolean or null.",
    ),
    function(
        "jsonb_array_length",
        "jsonb_array_length",
        &[Jsonb],
        Int4,
        |a, _, _| array_length(json(a, 0)),
        "The number of elements.",
    )
    .fallible(),
    function(
        "jsonb_strip_nulls",
        "jsonb_strip_nulls",
        &[Jsonb],
        Jsonb,
        |a, _, arena| build(arena, |b| strip_nulls(b, json(a, 0))),
        "Without the keys, at any depth, whose value is null.",
    )
    .fallible(),
    function("jsonb_pretty", "jsonb_pretty", &[Jsonb], Text, pretty, "As indented text.").fallible(),
    function(
        "jsonb_extract_path",
        "jsonb_extract_path",
        &[Jsonb],
        Jsonb,
        |a, _, _| Ok(jsonb(at_path(json(a, 0), a[1..].iter().map(|step| Some(step.unwrap_text()))))),
        "The value at a path of keys and indexes.",
    )
    .nullable()
    .variadic(Text),
    function(
        "jsonb_extract_path_text",
        "jsonb_extract_path_text",
        &[Jsonb],
        Text,
        |a, _, arena| as_text(at_path(json(a, 0), a[1..].iter().map(|step| Some(step.unwrap_text()))), arena),
        "The value at a path of keys and indexes, as text.",
    )
    .nullable()
    .variadic(Text),
    function(
        "jsonb_set",
        "jsonb_set",
        &[Jsonb, TextArray, Jsonb],
        Jsonb,
        |a, _, arena| change(json(a, 0), path(a, 1), Some(json(a, 2)), true, arena),
        "With the value at a path replaced, or added.",
    )
    .fallible(),
    function(
        "jsonb_set_missing",
        "jsonb_set",
        &[Jsonb, TextArray, Jsonb, Bool],
        Jsonb,
        |a, _, arena| change(json(a, 0), path(a, 1), Some(json(a, 2)), a[3].unwrap_bool(), arena),
        "With the value at a path replaced or, if the last argument is true, added.",
    )
    .fallible(),
];

/// The fault of a jsonb value that cannot be.
pub(crate) fn jsonb_error(error: JsonbError) -> EvalError {
    let fault = EvalError::new(error.sqlstate(), error.to_string());
    match error.detail() {
        Some(detail) => fault.with_detail(detail),
        None => fault,
    }
}

/// Builds one value in the arena.
pub(super) fn build<'a>(arena: &'a Arena, fill: impl FnOnce(&mut JsonbBuilder) -> Result<(), JsonbError>) -> Value<'a> {
    let mut builder = JsonbBuilder::new();
    fill(&mut builder).map_err(jsonb_error)?;
    let packed = builder.finish();
    check_length(packed.len())?;
    Ok(crate::datum_in(&repr::Row::from_bytes(&packed), repr::Kind::Jsonb, arena))
}

fn json<'a>(args: &[Datum<'a>], index: usize) -> JsonbRef<'a> {
    args[index].unwrap_jsonb()
}

/// The element of an array; a value that is no container counts as an array of itself, as in PostgreSQL.
fn element(json: JsonbRef<'_>, index: i64) -> Option<JsonbRef<'_>> {
    match json.kind() {
        JsonbKind::Array | JsonbKind::Object => json.get_index(index),
        _ => matches!(index, 0 | -1).then_some(json),
    }
}

fn string<'a>(args: &[Datum<'a>], index: usize) -> &'a str {
    args[index].unwrap_text()
}

fn jsonb<'a>(found: Option<JsonbRef<'a>>) -> Datum<'a> {
    found.map_or(Datum::Null, Datum::Jsonb)
}

/// The texts of an array, NULLs left out.
fn keys<'a>(args: &[Datum<'a>], index: usize) -> impl Iterator<Item = &'a str> + use<'a> {
    path(args, index).flatten()
}

/// The steps of a path; a NULL step leads nowhere.
pub(super) fn path<'a>(args: &[Datum<'a>], index: usize) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
    let array: ArrayRef<'a> = args[index].unwrap_array();
    array.iter().map(|step| if step.is_null() { None } else { Some(step.unwrap_text()) })
}

/// A value as text: a string bare, null as NULL, all else as JSON.
pub(crate) fn as_text<'a>(found: Option<JsonbRef<'a>>, arena: &'a Arena) -> Value<'a> {
    match found.map(|value| (value, value.decode())) {
        None | Some((_, Json::Null)) => Ok(Datum::Null),
        Some((_, Json::String(string))) => Ok(Datum::Text(string)),
        Some((value, _)) => Ok(Datum::Text(arena.text(&value.to_string()))),
    }
}

fn at_path<'a>(value: JsonbRef<'a>, steps: impl Iterator<Item = Option<&'a str>>) -> Option<JsonbRef<'a>> {
    let mut value = value;
    for step in steps {
        value = match value.decode() {
            Json::Object(object) => object.get(step?)?,
            Json::Array(array) => array.get(step?.trim().parse().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

fn contains(outer: JsonbRef<'_>, inner: JsonbRef<'_>) -> bool {
    match (outer.decode(), inner.decode()) {
        (Json::Object(outer), Json::Object(inner)) => {
            inner.iter().all(|(key, wanted)| outer.get(key).is_some_and(|value| contains_nested(value, wanted)))
        }
        (Json::Array(outer), Json::Array(inner)) => {
            inner.iter().all(|wanted| outer.iter().any(|value| contains_nested(value, wanted)))
        }
        // At the top an array contains a scalar that is one of its elements.
        (Json::Array(outer), _) if is_scalar(inner) => outer.iter().any(|value| value == inner),
        _ => outer == inner,
    }
}

fn contains_nested(outer: JsonbRef<'_>, inner: JsonbRef<'_>) -> bool {
    outer.kind() == inner.kind() && contains(outer, inner)
}

pub(super) fn is_scalar(value: JsonbRef<'_>) -> bool {
    !matches!(value.kind(), JsonbKind::Array | JsonbKind::Object)
}

fn exists(value: JsonbRef<'_>, key: &str) -> bool {
    let is_key = |value: JsonbRef<'_>| matches!(value.decode(), Json::String(string) if string == key);
    match value.decode() {
        Json::Object(object) => object.get(key).is_some(),
        Json::Array(array) => array.iter().any(is_key),
        _ => is_key(value),
    }
}

fn concat(builder: &mut JsonbBuilder, left: JsonbRef<'_>, right: JsonbRef<'_>) -> Result<(), JsonbError> {
    if let (Json::Object(left), Json::Object(right)) = (left.decode(), right.decode()) {
        builder.begin_object()?;
        for (key, value) in left.iter().chain(right.iter()) {
            builder.key(key)?;
            builder.push(value)?;
        }
        builder.end_object();
        return Ok(());
    }
    builder.begin_array()?;
    for side in [left, right] {
        match side.decode() {
            Json::Array(array) => array.iter().try_for_each(|value| builder.push(value))?,
            _ => builder.push(side)?,
        }
    }
    builder.end_array();
    Ok(())
}

fn push_object<'a>(
    builder: &mut JsonbBuilder,
    entries: impl Iterator<Item = (&'a str, JsonbRef<'a>)>,
) -> Result<(), JsonbError> {
    builder.begin_object()?;
    for (key, value) in entries {
        builder.key(key)?;
        builder.push(value)?;
    }
    builder.end_object();
    Ok(())
}

fn push_array<'a>(builder: &mut JsonbBuilder, elements: impl Iterator<Item = JsonbRef<'a>>) -> Result<(), JsonbError> {
    builder.begin_array()?;
    for value in elements {
        builder.push(value)?;
    }
    builder.end_array();
    Ok(())
}

fn delete_keys<'a>(value: JsonbRef<'a>, keys: &[&str], arena: &'a Arena) -> Value<'a> {
    match value.decode() {
        Json::Object(object) => build(arena, |b| push_object(b, object.iter().filter(|(key, _)| !keys.contains(key)))),
        Json::Array(array) => {
            let kept = |value: &JsonbRef<'_>| !matches!(value.decode(), Json::String(string) if keys.contains(&string));
            build(arena, |b| push_array(b, array.iter().filter(kept)))
        }
        _ => Err(invalid_parameter("cannot delete from scalar")),
    }
}

fn delete_index<'a>(value: JsonbRef<'a>, index: i64, arena: &'a Arena) -> Value<'a> {
    match value.decode() {
        Json::Array(array) => {
            let deleted = if index < 0 { index + array.len() as i64 } else { index };
            let numbered = (0i64..).zip(array.iter()).filter(|(index, _)| *index != deleted);
            build(arena, |b| push_array(b, numbered.map(|(_, value)| value)))
        }
        Json::Object(_) => Err(invalid_parameter("cannot delete from object using integer index")),
        _ => Err(invalid_parameter("cannot delete from scalar")),
    }
}

/// Replaces, adds (if `create`) or, without a new value, deletes what is at a path.
pub(super) fn change<'a>(
    value: JsonbRef<'a>,
    steps: impl Iterator<Item = Option<&'a str>>,
    new: Option<JsonbRef<'_>>,
    create: bool,
    arena: &'a Arena,
) -> Value<'a> {
    let verb = if new.is_some() { "set path in" } else { "delete path in" };
    if is_scalar(value) {
        return Err(invalid_parameter(format!("cannot {verb} scalar")));
    }
    // Where there is nothing, and nothing is added, the path does not matter.
    if !create && is_empty(value) {
        return Ok(Datum::Jsonb(value));
    }
    let steps = all_steps(steps)?;
    if steps.is_empty() {
        return Ok(Datum::Jsonb(value));
    }
    check_steps(value, &steps)?;
    build(arena, |b| change_at(b, value, &steps, new, create))
}

fn is_empty(value: JsonbRef<'_>) -> bool {
    match value.decode() {
        Json::Array(array) => array.is_empty(),
        Json::Object(object) => object.iter().next().is_none(),
        _ => false,
    }
}

/// The steps of a path. Errors: one is NULL.
pub(super) fn all_steps<'a>(steps: impl Iterator<Item = Option<&'a str>>) -> Result<Vec<&'a str>, EvalError> {
    let null = |position| EvalError::new("22004", format!("path element at position {position} is null"));
    (1..).zip(steps).map(|(position, step)| step.ok_or_else(|| null(position))).collect()
}

/// An array's step must be a number.
pub(super) fn check_steps(value: JsonbRef<'_>, steps: &[&str]) -> Result<(), EvalError> {
    let mut value = Some(value);
    for (position, step) in steps.iter().enumerate() {
        value = match value.map(|value| value.decode()) {
            Some(Json::Object(object)) => object.get(step),
            Some(Json::Array(array)) => match step.trim().parse() {
                Ok(index) => array.get(index),
                Err(_) => {
                    let message = format!("path element at position {} is not an integer: \"{step}\"", position + 1);
                    return Err(EvalError::new("22P02", message));
                }
            },
            _ => return Ok(()),
        };
    }
    Ok(())
}

fn change_at(
    builder: &mut JsonbBuilder,
    value: JsonbRef<'_>,
    steps: &[&str],
    new: Option<JsonbRef<'_>>,
    create: bool,
) -> Result<(), JsonbError> {
    match value.decode() {
        Json::Object(object) => change_object(builder, object, steps, new, create),
        Json::Array(array) => change_array(builder, array, steps, new, create),
        _ => builder.push(value),
    }
}

fn change_object(
    builder: &mut JsonbBuilder,
    object: JsonbObject<'_>,
    steps: &[&str],
    new: Option<JsonbRef<'_>>,
    create: bool,
) -> Result<(), JsonbError> {
    let (step, rest) = (steps[0], &steps[1..]);
    builder.begin_object()?;
    for (key, value) in object.iter() {
        if key != step {
            builder.key(key)?;
            builder.push(value)?;
        } else if !rest.is_empty() {
            builder.key(key)?;
            change_at(builder, value, rest, new, create)?;
        } else if let Some(new) = new {
            builder.key(key)?;
            builder.push(new)?;
        }
    }
    if let Some(new) = new.filter(|_| create && rest.is_empty() && object.get(step).is_none()) {
        builder.key(step)?;
        builder.push(new)?;
    }
    builder.end_object();
    Ok(())
}

fn change_array(
    builder: &mut JsonbBuilder,
    array: JsonbArray<'_>,
    steps: &[&str],
    new: Option<JsonbRef<'_>>,
    create: bool,
) -> Result<(), JsonbError> {
    let rest = &steps[1..];
    let given: i64 = steps[0].trim().parse().unwrap_or(i64::MAX);
    let index = if given < 0 { given.saturating_add(array.len() as i64) } else { given };
    let added = new.filter(|_| create && rest.is_empty());
    builder.begin_array()?;
    if let Some(new) = added.filter(|_| index < 0) {
        builder.push(new)?;
    }
    for (position, value) in (0i64..).zip(array.iter()) {
        if position != index {
            builder.push(value)?;
        } else if !rest.is_empty() {
            change_at(builder, value, rest, new, create)?;
        } else if let Some(new) = new {
            builder.push(new)?;
        }
    }
    if let Some(new) = added.filter(|_| index >= array.len() as i64) {
        builder.push(new)?;
    }
    builder.end_array();
    Ok(())
}

fn array_length<'a>(value: JsonbRef<'_>) -> Value<'a> {
    match value.decode() {
        Json::Array(array) => Ok(Datum::Int(array.len() as i64)),
        Json::Object(_) => Err(invalid_parameter("cannot get array length of a non-array")),
        _ => Err(invalid_parameter("cannot get array length of a scalar")),
    }
}

fn strip_nulls(builder: &mut JsonbBuilder, value: JsonbRef<'_>) -> Result<(), JsonbError> {
    match value.decode() {
        Json::Object(object) => {
            builder.begin_object()?;
            for (key, value) in object.iter().filter(|(_, value)| value.kind() != JsonbKind::Null) {
                builder.key(key)?;
                strip_nulls(builder, value)?;
            }
            builder.end_object();
            Ok(())
        }
        Json::Array(array) => {
            builder.begin_array()?;
            for value in array.iter() {
                strip_nulls(builder, value)?;
            }
            builder.end_array();
            Ok(())
        }
        _ => builder.push(value),
    }
}

fn pretty<'a>(args: &[Datum<'a>], _: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let mut out = String::new();
    json(args, 0).format_pretty(&mut out);
    text(&out, arena)
}
