//! `jsonb_to_record` and `jsonb_to_recordset`: objects as rows of declared columns.

use repr::composite::{Dimension, pack_array};
use repr::jsonb::{Json, JsonbObject, JsonbRef};
use repr::{Arena, Datum, Kind, ScalarType};

use super::{TableRow, TableRows};
use crate::error::EvalError;

/// The rows of a value: of an object one, of an array of objects one for each.
pub(super) fn rows<'a>(
    value: Datum<'a>,
    columns: &[(String, ScalarType)],
    is_set: bool,
    arena: &'a Arena,
) -> Result<TableRows<'a>, EvalError> {
    let refused = |message: &str| Err(EvalError::new("22023", message));
    if value.is_null() {
        let nulls = (!is_set).then(|| columns.iter().map(|_| Datum::Null).collect::<TableRow<'a>>());
        return Ok(Box::new(nulls.into_iter()));
    }
    let objects: Vec<JsonbRef<'a>> = match (value.unwrap_jsonb().decode(), is_set) {
        (Json::Object(_), false) => vec![value.unwrap_jsonb()],
        (Json::Array(_), false) => return refused("cannot call populate_composite on an array"),
        (_, false) => return refused("cannot call populate_composite on a scalar"),
        (Json::Array(array), true) => array.iter().collect(),
        (Json::Object(_), true) => return refused("cannot call jsonb_to_recordset on a non-array"),
        (_, true) => return refused("cannot call jsonb_to_recordset on a scalar"),
    };
    let mut rows = Vec::with_capacity(objects.len());
    for object in objects {
        let Json::Object(object) = object.decode() else {
            return refused("argument of jsonb_to_recordset must be an array of objects");
        };
        rows.push(row(object, columns, arena)?);
    }
    Ok(Box::new(rows.into_iter()))
}

fn row<'a>(
    object: JsonbObject<'a>,
    columns: &[(String, ScalarType)],
    arena: &'a Arena,
) -> Result<TableRow<'a>, EvalError> {
    columns
        .iter()
        .map(|(name, typ)| object.get(name).map_or(Ok(Datum::Null), |value| field(value, name, typ, arena)))
        .collect()
}

fn field<'a>(value: JsonbRef<'a>, name: &str, typ: &ScalarType, arena: &'a Arena) -> Result<Datum<'a>, EvalError> {
    match (value.decode(), typ) {
        (Json::Null, _) => Ok(Datum::Null),
        (_, ScalarType::Jsonb) => Ok(Datum::Jsonb(value)),
        (Json::String(text), typ) => crate::value::parse(text, typ, arena),
        (Json::Array(_), ScalarType::Array(element)) => array(value, name, element, arena),
        (_, ScalarType::Array(_)) => {
            let hint = format!("See the value of key \"{name}\".");
            Err(EvalError::new("22P02", "expected JSON array").with_hint(hint))
        }
        (_, typ) => crate::value::parse(&value.to_string(), typ, arena),
    }
}

/// An array; how deep its first elements are nested says how many dimensions there are.
fn array<'a>(value: JsonbRef<'a>, name: &str, typ: &ScalarType, arena: &'a Arena) -> Result<Datum<'a>, EvalError> {
    let malformed = || EvalError::new("22P02", "malformed JSON array");
    let mut dimensions = Vec::new();
    let mut level = vec![value];
    loop {
        let length = match level.first().map(|first| first.decode()) {
            Some(Json::Array(array)) if *typ != ScalarType::Jsonb || dimensions.is_empty() => array.len(),
            _ => break,
        };
        let mut inner = Vec::with_capacity(level.len() * length);
        for item in &level {
            match item.decode() {
                Json::Array(array) if array.len() == length => inner.extend(array.iter()),
                _ => {
                    let detail = "Multidimensional arrays must have sub-arrays with matching dimensions.";
                    return Err(malformed().with_detail(detail));
                }
            }
        }
        dimensions.push(Dimension { length, lower: 1 });
        level = inner;
    }
    if dimensions.len() > repr::composite::DIMENSIONS_MAX {
        return Err(EvalError::new("54000", "number of array dimensions exceeds the maximum allowed"));
    }
    let elements = level.into_iter().map(|item| field(item, name, typ, arena)).collect::<Result<Vec<_>, _>>()?;
    let dimensions = if elements.is_empty() { Vec::new() } else { dimensions };
    Ok(crate::datum_in(&pack_array(&elements, typ.kind(), &dimensions), Kind::Array, arena))
}
