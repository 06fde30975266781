//! Arrays.

use repr::composite::{ArrayRef, DIMENSIONS_MAX, Dimension, pack_array, pack_vector};
use repr::{Arena, Datum, Kind, ScalarType};

use super::ArgType::{AnyArray, AnyElement, Bool, Int4, Int4Array, Int8, Text, TextArray};
use super::compare::compare_values;
use super::{FuncDef, Value, check_length, function, internal, operator, text};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    internal("array", &[], AnyArray, construct, "An array of the arguments; of arrays, one dimension more.")
        .fallible()
        .called_on_null()
        .variadic(AnyElement),
    internal(
        "array_subscript",
        &[AnyArray],
        AnyElement,
        subscript,
        "The element at subscripts, one for each dimension; NULL where there is none.",
    )
    .nullable()
    .variadic(Int8),
    internal(
        "array_slice",
        &[AnyArray],
        AnyArray,
        slice,
        "The elements between pairs of subscripts, in each dimension.",
    )
    .variadic(Int8),
    internal(
        "array_any",
        &[AnyElement, AnyArray, Text],
        Bool,
        |a, t, arena| quantified(a, t, true, arena),
        "True if a comparison holds for any element; three-valued.",
    )
    .fallible()
    .nullable()
    .called_on_null(),
    internal(
        "array_all",
        &[AnyElement, AnyArray, Text],
        Bool,
        |a, t, arena| quantified(a, t, false, arena),
        "True if a comparison holds for all elements; three-valued.",
    )
    .fallible()
    .nullable()
    .called_on_null(),
    operator("array_concat", "||", &[AnyArray, AnyArray], AnyArray, concat, "Both, one after the other.")
        .fallible()
        .called_on_null(),
    operator(
        "array_append_operator",
        "||",
        &[AnyArray, AnyElement],
        AnyArray,
        append,
        "With one more element at the end.",
    )
    .fallible()
    .called_on_null(),
    operator(
        "array_prepend_operator",
        "||",
        &[AnyElement, AnyArray],
        AnyArray,
        prepend,
        "With one more element at the start.",
    )
    .fallible()
    .called_on_null(),
    operator(
        "array_contains",
        "@>",
        &[AnyArray, AnyArray],
        Bool,
        |a, t, _| Ok(Datum::Bool(contains(array(a, 0), array(a, 1), t))),
        "True if every element of the second is in the first.",
    ),
    operator(
        "array_contained",
        "<@",
        &[AnyArray, AnyArray],
        Bool,
        |a, t, _| Ok(Datum::Bool(contains(array(a, 1), array(a, 0), t))),
        "True if every element of the first is in the second.",
    ),
    operator(
        "array_overlaps",
        "&&",
        &[AnyArray, AnyArray],
        Bool,
        |a, t, _| Ok(Datum::Bool(overlaps(array(a, 0), array(a, 1), t))),
        "True if an element is in both.",
    ),
    function(
        "array_append",
        "array_append",
        &[AnyArray, AnyElement],
        AnyArray,
        append,
        "With one more element at the end.",
    )
    .fallible()
    .called_on_null(),
    function(
        "array_prepend",
        "array_prepend",
        &[AnyElement, AnyArray],
        AnyArray,
        prepend,
        "With one more element at the start.",
    )
    .fallible()
    .called_on_null(),
    function("array_cat", "array_cat", &[AnyArray, AnyArray], AnyArray, concat, "Both, one after the other.")
        .fallible()
        .called_on_null(),
    function(
        "array_length",
        "array_length",
        &[AnyArray, Int4],
        Int4,
        |a, _, _| Ok(dimension(a).map_or(Datum::Null, |d| Datum::Int(d.length as i64))),
        "Length of a dimension.",
    )
    .nullable(),
    function(
        "array_lower",
        "array_lower",
        &[AnyArray, Int4],
        Int4,
        |a, _, _| Ok(dimension(a).map_or(Datum::Null, |d| Datum::Int(d.lower))),
        "Least subscript of a dimension.",
    )
    .nullable(),
    function(
        "array_upper",
        "array_upper",
        &[AnyArray, Int4],
        Int4,
        |a, _, _| Ok(dimension(a).map_or(Datum::Null, |d| Datum::Int(upper(&d)))),
        "Greatest subscript of a dimension.",
    )
    .nullable(),
    function("array_ndims", "array_ndims", &[AnyArray], Int4, ndims, "Number of dimensions.").nullable(),
    function("array_dims", "array_dims", &[AnyArray], Text, dims, "Subscript ranges of all dimensions, as text.")
        .nullable(),
    function(
        "cardinality",
        "cardinality",
        &[AnyArray],
        Int4,
        |a, _, _| Ok(Datum::Int(array(a, 0).iter().count() as i64)),
        "Number of elements.",
    ),
    function(
        "array_position",
        "array_position",
        &[AnyArray, AnyElement],
        Int4,
        |a, t, _| position(a, t, None),
        "Subscript of the first element equal to a value.",
    )
    .fallible()
    .nullable()
    .called_on_null(),
    function(
        "array_position_start",
        "array_position",
        &[AnyArray, AnyElement, Int4],
        Int4,
        |a, t, _| position(a, t, Some(a[2])),
        "Subscript of the first element, from a subscript on, equal to a value.",
    )
    .fallible()
    .nullable()
    .called_on_null(),
    function(
        "array_remove",
        "array_remove",
        &[AnyArray, AnyElement],
        AnyArray,
        remove,
        "Without the elements equal to a value.",
    )
    .fallible()
    .called_on_null(),
    function(
        "array_replace",
        "array_replace",
        &[AnyArray, AnyElement, AnyElement],
        AnyArray,
        replace,
        "With the elements equal to a value replaced by another.",
    )
    .called_on_null(),
    function(
        "array_positions",
        "array_positions",
        &[AnyArray, AnyElement],
        Int4Array,
        positions,
        "Subscripts of all elements equal to a value.",
    )
    .fallible()
    .nullable()
    .called_on_null(),
    function(
        "array_fill",
        "array_fill",
        &[AnyElement, Int4Array],
        AnyArray,
        |a, t, arena| fill(a, t, None, arena),
        "An array of one value, of dimensions of some lengths.",
    )
    .fallible()
    .called_on_null(),
    function(
        "array_fill_bounds",
        "array_fill",
        &[AnyElement, Int4Array, Int4Array],
        AnyArray,
        |a, t, arena| fill(a, t, Some(a[2]), arena),
        "An array of one value, of dimensions of some lengths and lower bounds.",
    )
    .fallible()
    .called_on_null(),
    function("trim_array", "trim_array", &[AnyArray, Int4], AnyArray, trim, "Without some elements at the end.")
        .fallible(),
    function(
        "array_to_string",
        "array_to_string",
        &[AnyArray, Text],
        Text,
        |a, t, arena| to_string(a, t, None, arena),
        "The elements as text with a separator in between, NULLs left out.",
    )
    .fallible(),
    function(
        "array_to_string_null",
        "array_to_string",
        &[AnyArray, Text, Text],
        Text,
        |a, t, arena| to_string(a, t, Some(a[2]), arena),
        "The elements as text with a separator in between, NULLs as given.",
    )
    .fallible()
    .called_on_null(),
    function(
        "string_to_array",
        "string_to_array",
        &[Text, Text],
        TextArray,
        |a, _, arena| from_string(a, None, arena),
        "The fields between separators; the characters if the separator is NULL.",
    )
    .called_on_null(),
    function(
        "string_to_array_null",
        "string_to_array",
        &[Text, Text, Text],
        TextArray,
        |a, _, arena| from_string(a, Some(a[2]), arena),
        "The fields between separators, those equal to the third argument as NULL.",
    )
    .called_on_null(),
];

fn array<'a>(args: &[Datum<'a>], index: usize) -> ArrayRef<'a> {
    args[index].unwrap_array()
}

/// The element type of an array type.
pub(super) fn element_type(typ: &ScalarType) -> &ScalarType {
    match typ {
        ScalarType::Array(element) | ScalarType::List(element) | ScalarType::Map(element) => element,
        other => other,
    }
}

/// An array of text of one dimension.
pub(super) fn text_array<'a>(elements: &[Datum<'_>], arena: &'a Arena) -> Datum<'a> {
    crate::datum_in(&pack_vector(elements, Kind::Text), Kind::Array, arena)
}

fn pack_in<'a>(elements: &[Datum<'_>], typ: &ScalarType, dimensions: &[Dimension], arena: &'a Arena) -> Datum<'a> {
    crate::datum_in(&pack_array(elements, element_type(typ).kind(), dimensions), Kind::Array, arena)
}

/// Packs elements in one dimension from `lower`; without elements the array has no dimensions.
fn vector_in<'a>(elements: &[Datum<'_>], typ: &ScalarType, lower: i64, arena: &'a Arena) -> Datum<'a> {
    match elements.len() {
        0 => pack_in(elements, typ, &[], arena),
        length => pack_in(elements, typ, &[Dimension { length, lower }], arena),
    }
}

fn incompatible(detail: &str) -> EvalError {
    EvalError::new("2202E", "cannot concatenate incompatible arrays").with_detail(detail)
}

fn construct<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let nested = types.args.first().is_some_and(|arg| matches!(arg, ScalarType::Array(_)));
    if !nested {
        return Ok(vector_in(args, &types.ret, 1, arena));
    }
    let mismatch =
        || EvalError::new("2202E", "multidimensional arrays must have array expressions with matching dimensions");
    let mut inner: Option<Vec<Dimension>> = None;
    let mut elements = Vec::new();
    for arg in args {
        let (added, dimensions) = match arg {
            Datum::Null => (Vec::new(), Vec::new()),
            arg => (arg.unwrap_array().elements(), arg.unwrap_array().dimensions()),
        };
        let dimensions: Vec<_> = dimensions.iter().map(|d| Dimension { length: d.length, lower: 1 }).collect();
        if inner.get_or_insert_with(|| dimensions.clone()) != &dimensions {
            return Err(mismatch());
        }
        elements.extend(added);
    }
    let inner = inner.unwrap_or_default();
    if elements.is_empty() {
        return Ok(pack_in(&[], &types.ret, &[], arena));
    }
    if inner.len() >= DIMENSIONS_MAX {
        let count = inner.len() + 1;
        let message = format!("number of array dimensions ({count}) exceeds the maximum allowed ({DIMENSIONS_MAX})");
        return Err(EvalError::new("54000", message));
    }
    let outer = Dimension { length: args.len(), lower: 1 };
    Ok(pack_in(&elements, &types.ret, &[&[outer][..], &inner].concat(), arena))
}

fn subscript<'a>(args: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    let array = array(args, 0);
    let dimensions = array.dimensions();
    if dimensions.len() != args.len() - 1 {
        return Ok(Datum::Null);
    }
    let mut flat = 0;
    for (dimension, index) in dimensions.iter().zip(&args[1..]) {
        let offset = index.unwrap_int().checked_sub(dimension.lower).and_then(|offset| usize::try_from(offset).ok());
        match offset.filter(|offset| *offset < dimension.length) {
            Some(offset) => flat = flat * dimension.length + offset,
            None => return Ok(Datum::Null),
        }
    }
    Ok(array.iter().nth(flat).unwrap_or(Datum::Null))
}

fn slice<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let array = array(args, 0);
    let dimensions = array.dimensions();
    let bounds: Vec<(i64, i64)> =
        args[1..].chunks_exact(2).map(|pair| (pair[0].unwrap_int(), pair[1].unwrap_int())).collect();
    if bounds.len() > dimensions.len() {
        return Ok(pack_in(&[], &types.ret, &[], arena));
    }
    // Clipped to the array; a dimension without bounds is taken whole.
    let ranges: Vec<std::ops::Range<usize>> = dimensions
        .iter()
        .enumerate()
        .map(|(index, dimension)| {
            let (from, to) = bounds.get(index).copied().unwrap_or((dimension.lower, upper(dimension)));
            let from = from.max(dimension.lower).saturating_sub(dimension.lower).max(0) as usize;
            let to = to.saturating_sub(dimension.lower).saturating_add(1).clamp(0, dimension.length as i64) as usize;
            from..to.max(from)
        })
        .collect();
    if ranges.iter().any(|range| range.is_empty()) {
        return Ok(pack_in(&[], &types.ret, &[], arena));
    }
    let kept = |flat: usize| {
        let mut rest = flat;
        dimensions.iter().zip(&ranges).rev().all(|(dimension, range)| {
            let offset = rest % dimension.length;
            rest /= dimension.length;
            range.contains(&offset)
        })
    };
    let elements: Vec<_> =
        array.iter().enumerate().filter_map(|(flat, element)| kept(flat).then_some(element)).collect();
    let sliced: Vec<_> = ranges.iter().map(|range| Dimension { length: range.len(), lower: 1 }).collect();
    Ok(pack_in(&elements, &types.ret, &sliced, arena))
}

/// `x op ANY (array)` and `x op ALL (array)`, the operator's symbol as third argument.
fn quantified<'a>(args: &[Datum<'a>], types: &CallTypes, decisive: bool, arena: &'a Arena) -> Value<'a> {
    if args[1].is_null() {
        return Ok(Datum::Null);
    }
    let symbol = args[2].unwrap_text();
    let element = element_type(&types.args[1]).clone();
    let func = super::comparison(symbol)
        .or_else(|| super::operators(symbol, 2).into_iter().find(|func| func.args == [Text, Text]))
        .ok_or_else(|| EvalError::new("0A000", format!("operator {symbol} is not supported with ANY and ALL")))?;
    let types = CallTypes { args: vec![types.args[0].clone(), element], ret: ScalarType::Bool };
    let mut null = false;
    for item in array(args, 1).iter() {
        if args[0].is_null() || item.is_null() {
            null = true;
        } else if (func.body)(&[args[0], item], &types, arena)?.unwrap_bool() == decisive {
            return Ok(Datum::Bool(decisive));
        }
    }
    Ok(if null { Datum::Null } else { Datum::Bool(!decisive) })
}

fn concat<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let (left, right) = match (args[0], args[1]) {
        (Datum::Null, other) | (other, Datum::Null) => return Ok(other),
        (left, right) => (left.unwrap_array(), right.unwrap_array()),
    };
    let (left_dimensions, right_dimensions) = (left.dimensions(), right.dimensions());
    if left_dimensions.is_empty() {
        return Ok(args[1]);
    }
    if right_dimensions.is_empty() {
        return Ok(args[0]);
    }
    let lengths = |dimensions: &[Dimension]| dimensions.iter().map(|d| d.length).collect::<Vec<_>>();
    let (left_lengths, right_lengths) = (lengths(&left_dimensions), lengths(&right_dimensions));
    let dimensions = if left_lengths.len() == right_lengths.len() {
        if left_lengths[1..] != right_lengths[1..] {
            return Err(incompatible("Arrays with differing element dimensions are not compatible for concatenation."));
        }
        let mut dimensions = left_dimensions;
        dimensions[0].length += right_lengths[0];
        dimensions
    } else if left_lengths[..] == right_lengths[1..] {
        let mut dimensions = right_dimensions;
        dimensions[0].length += 1;
        dimensions
    } else if left_lengths[1..] == right_lengths[..] {
        let mut dimensions = left_dimensions;
        dimensions[0].length += 1;
        dimensions
    } else {
        return Err(incompatible("Arrays with differing dimensions are not compatible for concatenation."));
    };
    let elements: Vec<_> = left.iter().chain(right.iter()).collect();
    Ok(pack_in(&elements, &types.ret, &dimensions, arena))
}

/// The elements and the lower bound of an array of at most one dimension; NULL counts as empty.
fn one_dimension<'a>(datum: Datum<'a>) -> Result<(Vec<Datum<'a>>, i64), EvalError> {
    if datum.is_null() {
        return Ok((Vec::new(), 1));
    }
    let array = datum.unwrap_array();
    match &array.dimensions()[..] {
        [] => Ok((Vec::new(), 1)),
        [only] => Ok((array.elements(), only.lower)),
        _ => Err(EvalError::new("22000", "argument must be empty or one-dimensional array")),
    }
}

fn append<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let (mut elements, lower) = one_dimension(args[0])?;
    elements.push(args[1]);
    Ok(vector_in(&elements, &types.ret, lower, arena))
}

fn prepend<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let (mut elements, lower) = one_dimension(args[1])?;
    elements.insert(0, args[0]);
    Ok(vector_in(&elements, &types.ret, lower, arena))
}

fn equal(left: Datum<'_>, right: Datum<'_>, typ: &ScalarType) -> bool {
    !left.is_null() && !right.is_null() && compare_values(left, right, typ).is_eq()
}

/// Like `equal`, but NULL equals NULL.
fn same(left: Datum<'_>, right: Datum<'_>, typ: &ScalarType) -> bool {
    compare_values(left, right, typ).is_eq()
}

fn contains(outer: ArrayRef<'_>, inner: ArrayRef<'_>, types: &CallTypes) -> bool {
    let element = element_type(&types.args[0]);
    inner.iter().all(|wanted| outer.iter().any(|item| equal(item, wanted, element)))
}

fn overlaps(left: ArrayRef<'_>, right: ArrayRef<'_>, types: &CallTypes) -> bool {
    let element = element_type(&types.args[0]);
    left.iter().any(|item| right.iter().any(|other| equal(item, other, element)))
}

fn upper(dimension: &Dimension) -> i64 {
    dimension.lower + dimension.length as i64 - 1
}

/// The dimension of the number given as second argument, from 1.
fn dimension(args: &[Datum<'_>]) -> Option<Dimension> {
    let index = usize::try_from(args[1].unwrap_int()).ok()?.checked_sub(1)?;
    array(args, 0).dimensions().get(index).copied()
}

fn ndims<'a>(args: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    let count = array(args, 0).dimensions().len();
    Ok(if count == 0 { Datum::Null } else { Datum::Int(count as i64) })
}

fn dims<'a>(args: &[Datum<'a>], _: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let dimensions = array(args, 0).dimensions();
    if dimensions.is_empty() {
        return Ok(Datum::Null);
    }
    let shown: String = dimensions.iter().map(|d| format!("[{}:{}]", d.lower, upper(d))).collect();
    text(&shown, arena)
}

fn position<'a>(args: &[Datum<'a>], types: &CallTypes, start: Option<Datum<'a>>) -> Value<'a> {
    if args[0].is_null() {
        return Ok(Datum::Null);
    }
    let (elements, lower) = one_dimension(args[0])
        .map_err(|_| EvalError::new("0A000", "searching for elements in multidimensional arrays is not supported"))?;
    // What cannot be there is not looked for, wherever the search would begin.
    if elements.is_empty() || (args[1].is_null() && !elements.iter().any(Datum::is_null)) {
        return Ok(Datum::Null);
    }
    let start = match start {
        Some(Datum::Null) => return Err(EvalError::new("22004", "initial position must not be null")),
        Some(start) => start.unwrap_int(),
        None => lower,
    };
    let element = element_type(&types.args[0]);
    let mut numbered = (lower..).zip(elements);
    let found = numbered.find(|(index, item)| *index >= start && same(*item, args[1], element));
    Ok(found.map_or(Datum::Null, |(index, _)| Datum::Int(index)))
}

fn remove<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    if args[0].is_null() {
        return Ok(Datum::Null);
    }
    let (mut elements, lower) = one_dimension(args[0])
        .map_err(|_| EvalError::new("0A000", "removing elements from multidimensional arrays is not supported"))?;
    let element = element_type(&types.args[0]);
    elements.retain(|item| !same(*item, args[1], element));
    Ok(vector_in(&elements, &types.ret, lower, arena))
}

fn replace<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    if args[0].is_null() {
        return Ok(Datum::Null);
    }
    let element = element_type(&types.args[0]);
    let replaced = array(args, 0).iter().map(|item| if same(item, args[1], element) { args[2] } else { item });
    let elements: Vec<_> = replaced.collect();
    Ok(pack_in(&elements, &types.ret, &array(args, 0).dimensions(), arena))
}

fn to_string<'a>(args: &[Datum<'a>], types: &CallTypes, null: Option<Datum<'a>>, arena: &'a Arena) -> Value<'a> {
    if args[0].is_null() || args[1].is_null() {
        return Ok(Datum::Null);
    }
    let element = element_type(&types.args[0]);
    let null = null.filter(|null| !null.is_null()).map(Datum::unwrap_text);
    let separator = args[1].unwrap_text();
    let mut out = String::new();
    let mut first = true;
    for item in array(args, 0).iter() {
        let shown = match (item, null) {
            (Datum::Null, None) => continue,
            (Datum::Null, Some(null)) => null.to_owned(),
            (item, _) => crate::text_of(item, element),
        };
        if !first {
            out.push_str(separator);
        }
        first = false;
        out.push_str(&shown);
        check_length(out.len())?;
    }
    text(&out, arena)
}

fn from_string<'a>(args: &[Datum<'a>], null: Option<Datum<'a>>, arena: &'a Arena) -> Value<'a> {
    if args[0].is_null() {
        return Ok(Datum::Null);
    }
    let value = args[0].unwrap_text();
    let null = null.filter(|null| !null.is_null()).map(Datum::unwrap_text);
    let parts: Vec<&str> = match args[1] {
        _ if value.is_empty() => Vec::new(),
        Datum::Null => value.split_inclusive(|_| true).collect(),
        separator if separator.unwrap_text().is_empty() => vec![value],
        separator => value.split(separator.unwrap_text()).collect(),
    };
    let field = |part: &'a str| if Some(part) == null { Datum::Null } else { Datum::Text(part) };
    let elements: Vec<_> = parts.into_iter().map(field).collect();
    Ok(text_array(&elements, arena))
}

fn positions<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    if args[0].is_null() {
        return Ok(Datum::Null);
    }
    let array = array(args, 0);
    let dimensions = array.dimensions();
    if dimensions.len() > 1 {
        let message = "searching for elements in multidimensional arrays is not supported";
        return Err(EvalError::new("0A000", message));
    }
    let lower = dimensions.first().map_or(1, |dimension| dimension.lower);
    let element = element_type(&types.args[0]);
    let found: Vec<Datum<'_>> = (lower..)
        .zip(array.iter())
        .filter(|(_, item)| match (item.is_null(), args[1].is_null()) {
            (false, false) => compare_values(*item, args[1], element).is_eq(),
            (item, wanted) => item && wanted,
        })
        .map(|(index, _)| Datum::Int(index))
        .collect();
    Ok(crate::datum_in(&pack_vector(&found, Kind::Int), Kind::Array, arena))
}

/// Elements of an array that `array_fill` makes, at most.
const FILLED_MAX: usize = 10_000_000;

fn fill<'a>(args: &[Datum<'a>], types: &CallTypes, lower: Option<Datum<'a>>, arena: &'a Arena) -> Value<'a> {
    if args[1].is_null() || lower.is_some_and(|lower| lower.is_null()) {
        return Err(EvalError::new("22004", "dimension array or low bound array cannot be null"));
    }
    let numbers = |datum: Datum<'a>, what: &str| -> Result<Vec<i64>, EvalError> {
        let array = datum.unwrap_array();
        if array.dimensions().len() > 1 {
            let message = "wrong number of array subscripts";
            return Err(EvalError::new("2202E", message).with_detail(format!("{what} array must be one dimensional.")));
        }
        array
            .iter()
            .map(|number| match number {
                Datum::Null => Err(EvalError::new("22004", "dimension values cannot be null")),
                number => Ok(number.unwrap_int()),
            })
            .collect()
    };
    let lengths = numbers(args[1], "Dimension")?;
    let lowers = lower.map_or(Ok(vec![1; lengths.len()]), |lower| numbers(lower, "Low bound"))?;
    if lowers.len() != lengths.len() {
        return Err(EvalError::new("2202E", "wrong number of array subscripts")
            .with_detail("Low bound array has different size than dimensions array."));
    }
    if lengths.len() > DIMENSIONS_MAX {
        let count = lengths.len();
        let message = format!("number of array dimensions ({count}) exceeds the maximum allowed ({DIMENSIONS_MAX})");
        return Err(EvalError::new("54000", message));
    }
    let mut volume = usize::from(!lengths.is_empty());
    let mut dimensions = Vec::with_capacity(lengths.len());
    for (length, lower) in lengths.into_iter().zip(lowers) {
        let too_large = || EvalError::new("54000", format!("array size exceeds the maximum allowed ({FILLED_MAX})"));
        let length = usize::try_from(length).map_err(|_| too_large())?;
        volume = volume.saturating_mul(length);
        dimensions.push(Dimension { length, lower });
    }
    if volume > FILLED_MAX {
        return Err(EvalError::new("54000", format!("array size exceeds the maximum allowed ({FILLED_MAX})")));
    }
    let dimensions = if volume == 0 { Vec::new() } else { dimensions };
    Ok(pack_in(&vec![args[0]; volume], &types.ret, &dimensions, arena))
}

/// Without `args[1]` of the outermost dimension's slices.
fn trim<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let array = array(args, 0);
    let mut dimensions = array.dimensions();
    let length = dimensions.first().map_or(0, |dimension| dimension.length);
    let cut = usize::try_from(args[1].unwrap_int()).ok().filter(|cut| *cut <= length);
    let Some(cut) = cut else {
        return Err(EvalError::new("2202E", format!("number of elements to trim must be between 0 and {length}")));
    };
    let inner: usize = dimensions.iter().skip(1).map(|dimension| dimension.length).product();
    let kept: Vec<Datum<'a>> = array.iter().take((length - cut) * inner).collect();
    if kept.is_empty() {
        return Ok(pack_in(&[], &types.ret, &[], arena));
    }
    for dimension in &mut dimensions {
        dimension.lower = 1;
    }
    dimensions[0].length = length - cut;
    Ok(pack_in(&kept, &types.ret, &dimensions, arena))
}
