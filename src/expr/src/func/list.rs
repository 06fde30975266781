//! Lists, records and maps.

use repr::composite::{pack_list, pack_map};
use repr::{Arena, Datum, Kind, ScalarType};

use super::ArgType::{Any, AnyElement, AnyList, AnyMap, Bool, Int4, Int8, Record, Text, TextArray};
use super::array::{element_type, text_array};
use super::compare::compare_values;
use super::{FuncDef, Value, function, internal, operator};
use crate::error::EvalError;
use crate::scalar::CallTypes;

pub(super) static TABLE: &[FuncDef] = &[
    internal("row", &[], Record, row, "A record of the arguments.").called_on_null().variadic(Any),
    internal("record_field", &[Record, Int4], Any, record_field, "The nth field of a record, from 0.").nullable(),
    internal("list", &[], AnyList, |a, t, arena| Ok(pack_in(a, &t.ret, arena)), "A list of the arguments.")
        .called_on_null()
        .variadic(AnyElement),
    internal(
        "list_subscript",
        &[AnyList],
        AnyElement,
        subscript,
        "The element at a subscript, of nested lists at several; NULL where there is none.",
    )
    .nullable()
    .variadic(Int8),
    internal("list_slice", &[AnyList, Int8, Int8], AnyList, slice, "The elements between two subscripts."),
    internal("map", &[], AnyMap, map, "A map of keys and values, taken in turn from the arguments.")
        .fallible()
        .called_on_null()
        .variadic(Any),
    internal("map_build", &[AnyList], AnyMap, map_build, "A map of a list of records, each a key and a value."),
    operator("list_concat", "||", &[AnyList, AnyList], AnyList, concat, "Both, one after the other.").called_on_null(),
    operator(
        "list_append_operator",
        "||",
        &[AnyList, AnyElement],
        AnyList,
        append,
        "With one more element at the end.",
    )
    .called_on_null(),
    operator(
        "list_prepend_operator",
        "||",
        &[AnyElement, AnyList],
        AnyList,
        prepend,
        "With one more element at the start.",
    )
    .called_on_null(),
    operator(
        "map_get",
        "->",
        &[AnyMap, Text],
        AnyElement,
        |a, _, _| Ok(a[0].unwrap_map().get(a[1].unwrap_text()).unwrap_or(Datum::Null)),
        "The value of a key; NULL where there is none.",
    )
    .nullable(),
    operator(
        "map_has_key",
        "?",
        &[AnyMap, Text],
        Bool,
        |a, _, _| Ok(Datum::Bool(a[0].unwrap_map().get(a[1].unwrap_text()).is_some())),
        "True if there is the key.",
    ),
    operator(
        "map_has_keys",
        "?&",
        &[AnyMap, TextArray],
        Bool,
        |a, _, _| Ok(Datum::Bool(keys(a).all(|key| a[0].unwrap_map().get(key).is_some()))),
        "True if there are all the keys.",
    ),
    operator(
        "map_has_any_key",
        "?|",
        &[AnyMap, TextArray],
        Bool,
        |a, _, _| Ok(Datum::Bool(keys(a).any(|key| a[0].unwrap_map().get(key).is_some()))),
        "True if there is any of the keys.",
    ),
    operator(
        "map_contains",
        "@>",
        &[AnyMap, AnyMap],
        Bool,
        |a, t, _| Ok(Datum::Bool(map_contains(a[0], a[1], element_type(&t.args[0])))),
        "True if every entry of the second is in the first.",
    ),
    operator(
        "map_contained",
        "<@",
        &[AnyMap, AnyMap],
        Bool,
        |a, t, _| Ok(Datum::Bool(map_contains(a[1], a[0], element_type(&t.args[0])))),
        "True if every entry of the first is in the second.",
    ),
    operator(
        "list_contains",
        "@>",
        &[AnyList, AnyList],
        Bool,
        |a, t, _| Ok(Datum::Bool(list_contains(a[0], a[1], element_type(&t.args[0])))),
        "True if every element of the second is in the first.",
    ),
    operator(
        "list_contained",
        "<@",
        &[AnyList, AnyList],
        Bool,
        |a, t, _| Ok(Datum::Bool(list_contains(a[1], a[0], element_type(&t.args[0])))),
        "True if every element of the first is in the second.",
    ),
    function(
        "list_n_layers",
        "list_n_layers",
        &[AnyList],
        Int4,
        |_, t, _| Ok(Datum::Int(layers(&t.args[0]))),
        "How deep lists are nested in the list's type.",
    ),
    function(
        "list_length_max",
        "list_length_max",
        &[AnyList, Int8],
        Int4,
        list_length_max,
        "The length of the longest list of a layer; NULL if there is none.",
    )
    .fallible()
    .nullable(),
    function(
        "map_keys",
        "map_keys",
        &[AnyMap],
        TextArray,
        |a, _, arena| {
            let keys: Vec<Datum<'_>> = a[0].unwrap_map().iter().map(|(key, _)| Datum::Text(key)).collect();
            Ok(text_array(&keys, arena))
        },
        "The keys, in order.",
    ),
    function(
        "map_values",
        "map_values",
        &[AnyMap],
        AnyList,
        |a, t, arena| {
            let values: Vec<Datum<'_>> = a[0].unwrap_map().iter().map(|(_, value)| value).collect();
            Ok(pack_in(&values, &t.ret, arena))
        },
        "The values, in the order of their keys.",
    ),
    function("list_cat", "list_cat", &[AnyList, AnyList], AnyList, concat, "Both, one after the other.")
        .called_on_null(),
    function(
        "list_append",
        "list_append",
        &[AnyList, AnyElement],
        AnyList,
        append,
        "With one more element at the end.",
    )
    .called_on_null(),
    function(
        "list_prepend",
        "list_prepend",
        &[AnyElement, AnyList],
        AnyList,
        prepend,
        "With one more element at the start.",
    )
    .called_on_null(),
    function(
        "list_length",
        "list_length",
        &[AnyList],
        Int4,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_list().iter().count() as i64)),
        "Number of elements.",
    ),
    function(
        "list_remove",
        "list_remove",
        &[AnyList, AnyElement],
        AnyList,
        remove,
        "Without the elements equal to a value.",
    )
    .called_on_null(),
    function(
        "map_length",
        "map_length",
        &[AnyMap],
        Int4,
        |a, _, _| Ok(Datum::Int(a[0].unwrap_map().iter().count() as i64)),
        "Number of entries.",
    ),
];

fn pack_in<'a>(elements: &[Datum<'_>], typ: &ScalarType, arena: &'a Arena) -> Datum<'a> {
    let kind = element_type(typ).kind();
    let tagged: Vec<_> = elements.iter().map(|element| (*element, kind)).collect();
    crate::datum_in(&pack_list(&tagged), Kind::List, arena)
}

/// The elements of a list; NULL counts as empty.
fn elements<'a>(datum: Datum<'a>) -> Vec<Datum<'a>> {
    if datum.is_null() { Vec::new() } else { datum.unwrap_list().elements() }
}

fn row<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let tagged: Vec<_> = args.iter().zip(&types.args).map(|(arg, typ)| (*arg, typ.kind())).collect();
    Ok(crate::datum_in(&pack_list(&tagged), Kind::List, arena))
}

fn record_field<'a>(args: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    let index = usize::try_from(args[1].unwrap_int()).unwrap_or(usize::MAX);
    Ok(args[0].unwrap_list().iter().nth(index).unwrap_or(Datum::Null))
}

fn subscript<'a>(args: &[Datum<'a>], _: &CallTypes, _: &'a Arena) -> Value<'a> {
    let mut datum = args[0];
    for index in &args[1..] {
        let index = usize::try_from(index.unwrap_int()).ok().and_then(|index| index.checked_sub(1));
        datum = match (datum, index) {
            (Datum::List(list), Some(index)) => list.iter().nth(index).unwrap_or(Datum::Null),
            _ => return Ok(Datum::Null),
        };
    }
    Ok(datum)
}

fn slice<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let (from, to) = (args[1].unwrap_int(), args[2].unwrap_int());
    let numbered = (1i64..).zip(args[0].unwrap_list().iter());
    let kept: Vec<_> = numbered.filter(|(index, _)| *index >= from && *index <= to).map(|(_, item)| item).collect();
    Ok(pack_in(&kept, &types.ret, arena))
}

fn map<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let mut entries = Vec::with_capacity(args.len() / 2);
    for pair in args.chunks_exact(2) {
        if pair[0].is_null() {
            return Err(EvalError::new("22004", "map keys must not be null"));
        }
        entries.push((pair[0].unwrap_text(), pair[1]));
    }
    Ok(crate::datum_in(&pack_map(&entries, element_type(&types.ret).kind()), Kind::Map, arena))
}

/// Of entries with one key the last counts; one without a key is left out.
fn map_build<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let records = args[0].unwrap_list().elements();
    let mut entries = Vec::with_capacity(records.len());
    for record in records {
        let Datum::List(record) = record else { continue };
        if let [Datum::Text(key), value] = record.elements()[..] {
            entries.push((key, value));
        }
    }
    Ok(crate::datum_in(&pack_map(&entries, element_type(&types.ret).kind()), Kind::Map, arena))
}

fn concat<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    match (args[0], args[1]) {
        (Datum::Null, other) | (other, Datum::Null) => Ok(other),
        (left, right) => Ok(pack_in(&[elements(left), elements(right)].concat(), &types.ret, arena)),
    }
}

fn append<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let mut elements = elements(args[0]);
    elements.push(args[1]);
    Ok(pack_in(&elements, &types.ret, arena))
}

fn prepend<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    let mut elements = elements(args[1]);
    elements.insert(0, args[0]);
    Ok(pack_in(&elements, &types.ret, arena))
}

fn remove<'a>(args: &[Datum<'a>], types: &CallTypes, arena: &'a Arena) -> Value<'a> {
    if args[0].is_null() {
        return Ok(Datum::Null);
    }
    let element = element_type(&types.args[0]);
    let mut elements = elements(args[0]);
    elements.retain(|item| !compare_values(*item, args[1], element).is_eq());
    Ok(pack_in(&elements, &types.ret, arena))
}

/// The texts of the second argument, NULLs left out.
fn keys<'a>(args: &[Datum<'a>]) -> impl Iterator<Item = &'a str> + use<'a> {
    args[1].unwrap_array().iter().filter(|key| !key.is_null()).map(|key| key.unwrap_text())
}

/// NULLs are in nothing, and nothing is in them.
fn same(left: Datum<'_>, right: Datum<'_>, typ: &ScalarType) -> bool {
    !left.is_null() && !right.is_null() && compare_values(left, right, typ).is_eq()
}

fn map_contains(outer: Datum<'_>, inner: Datum<'_>, value: &ScalarType) -> bool {
    let outer = outer.unwrap_map();
    inner.unwrap_map().iter().all(|(key, wanted)| outer.get(key).is_some_and(|found| same(found, wanted, value)))
}

fn list_contains(outer: Datum<'_>, inner: Datum<'_>, element: &ScalarType) -> bool {
    let outer = outer.unwrap_list().elements();
    inner.unwrap_list().iter().all(|wanted| outer.iter().any(|found| same(*found, wanted, element)))
}

fn layers(typ: &ScalarType) -> i64 {
    match typ {
        ScalarType::List(element) => 1 + layers(element),
        _ => 0,
    }
}

fn list_length_max<'a>(args: &[Datum<'a>], types: &CallTypes, _: &'a Arena) -> Value<'a> {
    let (layer, layers) = (args[1].unwrap_int(), layers(&types.args[0]));
    if !(1..=layers).contains(&layer) {
        let message = format!("invalid layer: {layer}; must use value within [1, {layers}]");
        return Err(EvalError::new("22023", message));
    }
    let mut lists = vec![args[0]];
    for _ in 1..layer {
        lists = lists.into_iter().flat_map(elements).collect();
    }
    let lengths = lists.into_iter().filter(|list| !list.is_null()).map(|list| elements(list).len());
    Ok(lengths.max().map_or(Datum::Null, |length| Datum::Int(length as i64)))
}
