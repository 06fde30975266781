//! Aggregates that need all values of a group in order: `string_agg` and what makes arrays, lists and jsonb.

use std::collections::BTreeMap;

use repr::composite::{DIMENSIONS_MAX, Dimension, pack_array, pack_list, pack_map, pack_vector};
use repr::jsonb::{JsonbBuilder, JsonbError};
use repr::{Arena, Datum, Diff, Kind, ScalarType};

use super::{AggregateFunc, output_type};
use crate::error::EvalError;
use crate::func::{jsonb_error, push_jsonb};
use crate::order;

/// Values of one group, multiplicities counted, that are taken at most.
const VALUES_MAX: usize = 16 << 20;

/// Bytes of one result at most.
const RESULT_BYTES_MAX: usize = 1 << 30;

/// The fields of one argument: value, then separator or key, then order keys.
type Fields<'a> = Vec<Datum<'a>>;

pub(super) fn evaluate<'a>(
    func: &AggregateFunc,
    arg_type: &ScalarType,
    counts: BTreeMap<Datum<'a>, Diff>,
    arena: &'a Arena,
) -> Result<Datum<'a>, EvalError> {
    let rows = ordered(func, arg_type, counts)?;
    of_rows(func, arg_type, rows, arena)
}

/// The aggregate of values in the order in which they come.
pub(super) fn evaluate_in_order<'a>(
    func: &AggregateFunc,
    arg_type: &ScalarType,
    values: impl Iterator<Item = Datum<'a>>,
    arena: &'a Arena,
) -> Result<Datum<'a>, EvalError> {
    let rows = values.filter_map(|datum| fields(func, arg_type, datum)).collect();
    of_rows(func, arg_type, rows, arena)
}

fn of_rows<'a>(
    func: &AggregateFunc,
    arg_type: &ScalarType,
    rows: Vec<Fields<'a>>,
    arena: &'a Arena,
) -> Result<Datum<'a>, EvalError> {
    if rows.is_empty() {
        // All were filtered out.
        return Ok(Datum::Null);
    }
    let field_type = |index: usize| match arg_type {
        ScalarType::Record(fields) => fields[index].1.scalar.clone(),
        other => other.clone(),
    };
    let returns = output_type(func, arg_type);
    match func {
        AggregateFunc::StringAgg { .. } => string_agg(&rows, &returns, arena),
        AggregateFunc::ArrayAgg { .. } if matches!(field_type(0), ScalarType::Array(_)) => {
            array_of_arrays(&rows, &returns, arena)
        }
        AggregateFunc::ArrayAgg { .. } => {
            let elements: Vec<_> = rows.iter().map(|fields| fields[0]).collect();
            Ok(crate::datum_in(&pack_vector(&elements, field_type(0).kind()), Kind::Array, arena))
        }
        AggregateFunc::ListAgg { .. } => {
            let kind = field_type(0).kind();
            let elements: Vec<_> = rows.iter().map(|fields| (fields[0], kind)).collect();
            Ok(crate::datum_in(&pack_list(&elements), Kind::List, arena))
        }
        AggregateFunc::JsonbAgg { .. } => {
            let value_type = field_type(0);
            jsonb(arena, |builder| {
                builder.begin_array()?;
                rows.iter().try_for_each(|fields| push_jsonb(builder, fields[0], &value_type))?;
                builder.end_array();
                Ok(())
            })
        }
        AggregateFunc::JsonbObjectAgg { .. } => {
            if rows.iter().any(|fields| fields[0].is_null()) {
                return Err(EvalError::new("22023", "field name must not be null"));
            }
            let (key_type, value_type) = (field_type(0), field_type(1));
            jsonb(arena, |builder| {
                builder.begin_object()?;
                for fields in &rows {
                    builder.key(&crate::text_of(fields[0], &key_type))?;
                    push_jsonb(builder, fields[1], &value_type)?;
                }
                builder.end_object();
                Ok(())
            })
        }
        AggregateFunc::MapAgg { .. } => {
            let (key_type, value_kind) = (field_type(0), field_type(1).kind());
            let keys: Vec<String> = rows.iter().map(|fields| crate::text_of(fields[0], &key_type)).collect();
            let entries: Vec<_> = keys.iter().zip(&rows).map(|(key, fields)| (key.as_str(), fields[1])).collect();
            Ok(crate::datum_in(&pack_map(&entries, value_kind), Kind::Map, arena))
        }
        other => panic!("{} does not need its values in order", other.name()),
    }
}

/// The fields of one argument; None if it is skipped. A record that is NULL as a whole is a row that FILTER left out.
fn fields<'a>(func: &AggregateFunc, arg_type: &ScalarType, datum: Datum<'a>) -> Option<Fields<'a>> {
    let fields = match datum {
        Datum::List(record) => record.elements(),
        Datum::Null if matches!(arg_type, ScalarType::Record(_)) => return None,
        other => vec![other],
    };
    if func.skips_null() && fields[0].is_null() { None } else { Some(fields) }
}

/// The arguments in the aggregate's order, then in that of their bytes, each as often as it occurs.
pub(super) fn ordered<'a>(
    func: &AggregateFunc,
    arg_type: &ScalarType,
    counts: BTreeMap<Datum<'a>, Diff>,
) -> Result<Vec<Fields<'a>>, EvalError> {
    let too_large = || EvalError::new("54000", format!("{} of too many values", func.name()));
    let mut distinct: Vec<(Fields<'a>, usize)> = Vec::with_capacity(counts.len());
    let mut total = 0usize;
    for (datum, count) in counts {
        let Some(fields) = fields(func, arg_type, datum) else { continue };
        let count = usize::try_from(count.get()).map_err(|_| too_large())?;
        total = total.saturating_add(count);
        if total > VALUES_MAX {
            return Err(too_large());
        }
        distinct.push((fields, count));
    }
    // The sort is stable and the map was sorted by bytes: ties stay in that order.
    distinct.sort_by(|(left, _), (right, _)| order::compare(func.order_by(), left, right));
    Ok(distinct.into_iter().flat_map(|(fields, count)| std::iter::repeat_n(fields, count)).collect())
}

fn string_agg<'a>(rows: &[Fields<'a>], returns: &ScalarType, arena: &'a Arena) -> Result<Datum<'a>, EvalError> {
    if rows.is_empty() {
        return Ok(Datum::Null);
    }
    let bytes_of = |datum: Datum<'a>| match datum {
        Datum::Null => &[][..],
        Datum::Bytes(bytes) => bytes.in_arena(arena),
        other => other.unwrap_text().as_bytes(),
    };
    let mut out = Vec::new();
    for (index, fields) in rows.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(bytes_of(fields[1]));
        }
        out.extend_from_slice(bytes_of(fields[0]));
        if out.len() > RESULT_BYTES_MAX {
            return Err(EvalError::new("54000", "string_agg of too many bytes"));
        }
    }
    Ok(match returns {
        ScalarType::Bytes => Datum::bytes(arena.bytes(&out)),
        _ => Datum::Text(arena.text(std::str::from_utf8(&out).expect("texts one after another are text"))),
    })
}

/// An array of one dimension more. All arrays must be of the same dimensions, none of them NULL or empty.
fn array_of_arrays<'a>(rows: &[Fields<'a>], returns: &ScalarType, arena: &'a Arena) -> Result<Datum<'a>, EvalError> {
    let mut inner: Option<Vec<Dimension>> = None;
    let mut elements = Vec::new();
    for fields in rows {
        if fields[0].is_null() {
            return Err(EvalError::new("22004", "cannot accumulate null arrays"));
        }
        let array = fields[0].unwrap_array();
        let dimensions = array.dimensions();
        if dimensions.is_empty() {
            return Err(EvalError::new("2202E", "cannot accumulate empty arrays"));
        }
        if inner.get_or_insert_with(|| dimensions.clone()) != &dimensions {
            return Err(EvalError::new("2202E", "cannot accumulate arrays of different dimensionality"));
        }
        elements.extend(array.iter());
    }
    let mut dimensions = vec![Dimension { length: rows.len(), lower: 1 }];
    dimensions.extend(inner.unwrap_or_default());
    if dimensions.len() > DIMENSIONS_MAX {
        return Err(EvalError::new("54000", "number of array dimensions exceeds the maximum allowed"));
    }
    let element_kind = match returns {
        ScalarType::Array(element) => element.kind(),
        other => other.kind(),
    };
    Ok(crate::datum_in(&pack_array(&elements, element_kind, &dimensions), Kind::Array, arena))
}

fn jsonb<'a>(
    arena: &'a Arena,
    fill: impl FnOnce(&mut JsonbBuilder) -> Result<(), JsonbError>,
) -> Result<Datum<'a>, EvalError> {
    let mut builder = JsonbBuilder::new();
    fill(&mut builder).map_err(jsonb_error)?;
    let row = builder.finish_row();
    if row.len_bytes() > RESULT_BYTES_MAX {
        return Err(EvalError::new("54000", "jsonb aggregate of too many bytes"));
    }
    Ok(crate::datum_in(&row, Kind::Jsonb, arena))
}
