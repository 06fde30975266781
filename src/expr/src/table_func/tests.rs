//! Tests of table functions.

use repr::{Arena, Datum, ScalarType};

use super::*;

/// Calls the function found by name, arguments read from text; rows as text, columns separated by blanks.
fn call(name: &str, args: &[(&str, ScalarType)]) -> Vec<String> {
    let arena = Arena::new();
    let types: Vec<_> = args.iter().map(|(_, typ)| typ.clone()).collect();
    let TableSignature { func, args: types } = by_name(name, &types).expect("a table function");
    let datums: Vec<_> = args
        .iter()
        .zip(&types)
        .map(|((text, _), typ)| match *text {
            "NULL" => Datum::Null,
            text => repr::text::parse(text, typ, &arena).expect("a value"),
        })
        .collect();
    show(&func, &datums, &arena)
}

fn show<'a>(func: &TableFunc, datums: &[Datum<'a>], arena: &'a Arena) -> Vec<String> {
    let columns = func.output_types();
    assert_eq!(columns.len(), func.output_arity());
    assert_eq!(columns.len(), func.output_names().len());
    match func.eval(datums, arena) {
        Ok(rows) => rows
            .enumerate()
            .map(|(index, row)| {
                let mut rest = func.eval_from(datums, arena, index).expect("as before");
                assert_eq!(rest.next().as_ref(), Some(&row), "from row {index}");
                assert_eq!(row.len(), columns.len());
                let shown = row.iter().zip(&columns).map(|(datum, typ)| match datum {
                    Datum::Null => "NULL".to_owned(),
                    datum => crate::text_of(*datum, &typ.scalar),
                });
                shown.collect::<Vec<_>>().join(" ")
            })
            .collect(),
        Err(error) => vec![format!("!{} {error}", error.code())],
    }
}

fn int(text: &str) -> (&str, ScalarType) {
    (text, ScalarType::Int4)
}

#[test]
fn series_of_integers() {
    assert_eq!(call("generate_series", &[int("1"), int("3")]), ["1", "2", "3"]);
    assert_eq!(call("generate_series", &[int("5"), int("1"), int("-2")]), ["5", "3", "1"]);
    assert_eq!(call("generate_series", &[int("5"), int("1")]), Vec::<String>::new());
    assert_eq!(call("generate_series", &[int("1"), int("NULL")]), Vec::<String>::new());
    assert_eq!(call("generate_series", &[int("2147483646"), int("2147483647"), int("2")]), ["2147483646"]);
    assert_eq!(call("generate_series", &[int("1"), int("2"), int("0")]), ["!22023 step size cannot equal zero"]);
    let long = |text| (text, ScalarType::Int8);
    let all = call("generate_series", &[long("-9223372036854775808"), long("9223372036854775807")]);
    assert!(all[0].starts_with("!54000"), "{all:?}");
}

#[test]
fn series_of_timestamps() {
    let stamp = |text| (text, ScalarType::Timestamp(None));
    let step = |text| (text, ScalarType::Interval(None));
    let months = call("generate_series", &[stamp("2024-01-31"), stamp("2024-04-01"), step("1 month")]);
    assert_eq!(months, ["2024-01-31 00:00:00", "2024-02-29 00:00:00", "2024-03-29 00:00:00"]);
    let back = call("generate_series", &[stamp("2024-01-02"), stamp("2024-01-01"), step("-12 hours")]);
    assert_eq!(back.len(), 3);
    // 30 days less a month: the key is zero, and the fields would go back and forth.
    let stuck = call("generate_series", &[stamp("2024-01-02"), stamp("2025-01-01"), step("1 month -30 days")]);
    assert_eq!(stuck, ["!22023 step size cannot equal zero"]);
}

#[test]
fn composites_come_apart() {
    let array = ScalarType::Array(Box::new(ScalarType::Int4));
    assert_eq!(call("unnest", &[("{{1,2},{NULL,4}}", array.clone())]), ["1", "2", "NULL", "4"]);
    assert_eq!(call("_pg_expandarray", &[("{7,8}", array.clone())]), ["7 1", "8 2"]);
    assert_eq!(call("generate_subscripts", &[("[0:1]={7,8}", array.clone()), int("1")]), ["0", "1"]);
    assert_eq!(call("generate_subscripts", &[("{7,8}", array), int("2")]), Vec::<String>::new());
}

#[test]
fn json_comes_apart() {
    let json = |text| (text, ScalarType::Jsonb);
    assert_eq!(call("jsonb_array_elements", &[json("[1, \"a\", null]")]), ["1", "\"a\"", "null"]);
    assert_eq!(call("jsonb_array_elements_text", &[json("[1, \"a\", null]")]), ["1", "a", "NULL"]);
    assert_eq!(call("jsonb_each", &[json("{\"a\": [1], \"b\": \"x\"}")]), ["a [1]", "b \"x\""]);
    assert_eq!(call("jsonb_each_text", &[json("{\"a\": [1], \"b\": \"x\"}")]), ["a [1]", "b x"]);
    assert_eq!(call("jsonb_object_keys", &[json("{\"a\": 1}")]), ["a"]);
    assert_eq!(call("jsonb_array_elements", &[json("{}")]), ["!22023 cannot extract elements from an object"]);
    assert_eq!(call("jsonb_each", &[json("[]")]), ["!22023 cannot call jsonb_each on a non-object"]);
}

#[test]
fn text_comes_apart() {
    let text = |text| (text, ScalarType::Text);
    assert_eq!(call("regexp_split_to_table", &[text("a1b22c"), text("[0-9]+")]), ["a", "b", "c"]);
    assert_eq!(call("regexp_matches", &[text("ab12cd34"), text("([a-z])([0-9])"), text("g")]), ["{b,1}", "{d,3}"]);
    assert_eq!(call("string_to_table", &[text("a,b"), text(",")]), ["a", "b"]);
}

#[test]
fn ordinality_numbers_rows() {
    let arena = Arena::new();
    let func = TableFunc::WithOrdinality(Box::new(TableFunc::GenerateSeriesInt(ScalarType::Int4)));
    assert_eq!(show(&func, &[Datum::Int(5), Datum::Int(6)], &arena), ["5 1", "6 2"]);
    assert_eq!(func.output_names(), ["generate_series", "ordinality"]);
}

#[test]
fn wrapped_rows_keep_their_nulls() {
    let arena = Arena::new();
    let func = TableFunc::Wrap { columns: vec![ScalarType::Int4, ScalarType::Int4] };
    let rows = show(&func, &[Datum::Int(1), Datum::Null, Datum::Int(3), Datum::Int(4)], &arena);
    assert_eq!(rows, ["1 NULL", "3 4"]);
}
