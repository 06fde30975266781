//! Tests of aggregates over small groups.

use repr::{Arena, Datum, Diff, Row, ScalarType};

use super::*;

/// Values read as `typ`, of one group; the result as text.
fn run(name: &str, typ: &ScalarType, values: &[(&str, i64)]) -> String {
    let args: Vec<_> = if name == "count" && values.is_empty() { vec![] } else { vec![typ.clone()] };
    let signature = by_name(name, &args).expect("an aggregate");
    evaluate_as(signature.func, typ.clone(), false, values)
}

fn evaluate_as(func: AggregateFunc, arg_type: ScalarType, distinct: bool, values: &[(&str, i64)]) -> String {
    let arena = Arena::new();
    let datums: Vec<(Datum<'_>, Diff)> = values
        .iter()
        .map(|(text, count)| {
            let datum = match *text {
                "NULL" => Datum::Null,
                text => repr::text::parse(text, &arg_type, &arena).expect("a value"),
            };
            (datum, Diff::new(*count))
        })
        .collect();
    let returns = output_type(&func, &arg_type);
    let aggregate = Aggregate { func, expr: Scalar::Column(0), arg_type, distinct };
    show(evaluate(&aggregate, datums.into_iter(), &arena), &returns)
}

fn show(result: Result<Datum<'_>, EvalError>, typ: &ScalarType) -> String {
    match result {
        Ok(Datum::Null) => "NULL".into(),
        Ok(datum) => crate::text_of(datum, typ),
        Err(error) => format!("!{} {error}", error.code()),
    }
}

#[test]
fn counts_and_sums_have_the_types_of_postgres() {
    let int4 = ScalarType::Int4;
    assert_eq!(run("count", &int4, &[("1", 2), ("NULL", 3)]), "2");
    assert_eq!(run("sum", &int4, &[("2147483647", 3)]), "6442450941");
    assert_eq!(run("sum", &int4, &[("NULL", 3)]), "NULL");
    assert_eq!(run("sum", &ScalarType::Int8, &[("9223372036854775807", 2)]), "18446744073709551614");
    assert_eq!(run("sum", &int4, &[("2147483647", i64::MAX)]), "!22003 bigint out of range");
    assert_eq!(run("avg", &int4, &[("1", 1), ("2", 1)]), "1.5");
    assert_eq!(run("avg", &ScalarType::Float8, &[("1", 1), ("2", 1)]), "1.5");
    assert_eq!(output_type(&AggregateFunc::Sum, &ScalarType::Int2), ScalarType::Int8);
    assert_eq!(output_type(&AggregateFunc::Sum, &ScalarType::Float4), ScalarType::Float4);
    assert_eq!(output_type(&AggregateFunc::Avg, &ScalarType::Float4), ScalarType::Float8);
}

#[test]
fn float_sums_do_not_depend_on_order() {
    let values = [("1e300", 1), ("1", 1), ("-1e300", 1), ("0.1", 10)];
    assert_eq!(run("sum", &ScalarType::Float8, &values), "2");
    assert_eq!(run("sum", &ScalarType::Float8, &[("NaN", 1), ("1", 1)]), "NaN");
    assert_eq!(run("sum", &ScalarType::Float8, &[("Infinity", 1), ("-Infinity", 1)]), "NaN");
    assert_eq!(run("sum", &ScalarType::Float8, &[("1e308", 2)]), "!22003 value out of range: overflow");
}

#[test]
fn variances_are_exact() {
    let int4 = ScalarType::Int4;
    let values = [("1", 1), ("2", 1), ("3", 1), ("4", 1)];
    assert_eq!(run("var_pop", &int4, &values), "1.25");
    assert_eq!(run("stddev_pop", &int4, &[("2", 2), ("4", 2)]), "1");
    assert_eq!(run("var_samp", &int4, &[("7", 1)]), "NULL");
    assert_eq!(run("var_pop", &int4, &[("7", 1)]), "0");
    // The textbook formula on doubles gives zero or less here.
    let close = [("100000000.1", 1), ("100000000.2", 1), ("100000000.3", 1)];
    assert_eq!(run("var_samp", &ScalarType::Float8, &close), "0.010000000298023245");
    assert_eq!(run("var_samp", &ScalarType::Numeric(None), &close), "0.01");
    assert_eq!(run("stddev", &ScalarType::Float8, &[("1e200", 1), ("-1e200", 1)]), "1.414213562373095e+200");
    assert_eq!(run("variance", &ScalarType::Float8, &[("NaN", 1), ("1", 1)]), "NaN");
}

#[test]
fn booleans_and_three_valued_quantifiers() {
    let bool_type = ScalarType::Bool;
    assert_eq!(run("bool_and", &bool_type, &[("t", 1), ("NULL", 1)]), "t");
    assert_eq!(run("every", &bool_type, &[("t", 1), ("f", 1)]), "f");
    assert_eq!(run("bool_or", &bool_type, &[("NULL", 1)]), "NULL");
    let any = |values| evaluate_as(AggregateFunc::AnyThree, ScalarType::Bool, false, values);
    let all = |values| evaluate_as(AggregateFunc::AllThree, ScalarType::Bool, false, values);
    assert_eq!(any(&[("f", 1), ("NULL", 1)]), "NULL");
    assert_eq!(any(&[("t", 1), ("NULL", 1)]), "t");
    assert_eq!(any(&[("f", 1)]), "f");
    assert_eq!(all(&[("t", 1), ("NULL", 1)]), "NULL");
    assert_eq!(all(&[("f", 1), ("NULL", 1)]), "f");
    assert_eq!(AggregateFunc::AllThree.default_over_no_rows(), Datum::TRUE);
}

#[test]
fn intervals_add_up_by_field() {
    let interval = ScalarType::Interval;
    assert_eq!(run("sum", &interval, &[("1 month", 2), ("3 hours", 1)]), "2 mons 03:00:00");
    assert_eq!(run("avg", &interval, &[("1 month", 1), ("1 day", 1)]), "15 days 12:00:00");
    assert_eq!(run("max", &interval, &[("1 month", 1), ("31 days", 1)]), "31 days");
}

#[test]
fn distinct_counts_each_value_once() {
    let values = [("1", 5), ("2", 1), ("NULL", 1)];
    assert_eq!(evaluate_as(AggregateFunc::Count, ScalarType::Int4, true, &values), "2");
    assert_eq!(evaluate_as(AggregateFunc::Sum, ScalarType::Int4, true, &values), "3");
}

#[test]
fn negative_multiplicities_are_errors() {
    let result = run("sum", &ScalarType::Int4, &[("1", -1)]);
    assert!(result.starts_with("!XX001"), "{result}");
}

/// Records of (value, second), with counts.
fn run_list(func: AggregateFunc, types: [ScalarType; 2], rows: &[([Datum<'_>; 2], i64)]) -> String {
    let arena = Arena::new();
    let arg_type = ScalarType::Record(types.map(|typ| (String::new(), typ.nullable())).to_vec());
    let returns = output_type(&func, &arg_type);
    let ScalarType::Record(fields) = &arg_type else { panic!("a record") };
    let kinds = [fields[0].1.kind(), fields[1].1.kind()];
    let records: Vec<Row> =
        rows.iter().map(|(row, _)| repr::composite::pack_list(&[(row[0], kinds[0]), (row[1], kinds[1])])).collect();
    let values =
        records.iter().zip(rows).map(|(record, (_, count))| (record.unpack_first(repr::Kind::List), Diff::new(*count)));
    let aggregate = Aggregate { func, expr: Scalar::Column(0), arg_type: arg_type.clone(), distinct: false };
    show(evaluate(&aggregate, values.collect::<Vec<_>>().into_iter(), &arena), &returns)
}

#[test]
fn lists_follow_the_order_asked_for_then_the_codec() {
    let by_second = vec![ColumnOrder { column: 1, desc: true, nulls_last: false }];
    let text = |text: &'static str| Datum::Text(text);
    let rows = [([text("b"), Datum::Int(1)], 1), ([text("c"), Datum::Int(2)], 2), ([text("a"), Datum::Int(1)], 1)];
    let types = [ScalarType::Text, ScalarType::Int4];
    let array = run_list(AggregateFunc::ArrayAgg { order_by: by_second.clone() }, types.clone(), &rows);
    assert_eq!(array, "{c,c,a,b}");
    assert_eq!(run_list(AggregateFunc::ArrayAgg { order_by: vec![] }, types.clone(), &rows), "{a,b,c,c}");
    assert_eq!(run_list(AggregateFunc::ListAgg { order_by: by_second.clone() }, types.clone(), &rows), "{c,c,a,b}");
    let jsonb = run_list(AggregateFunc::JsonbAgg { order_by: by_second }, types, &rows);
    assert_eq!(jsonb, "[\"c\", \"c\", \"a\", \"b\"]");
}

#[test]
fn string_agg_skips_null_values() {
    let text = |text: &'static str| Datum::Text(text);
    let rows = [([text("a"), text(",")], 1), ([text("b"), text(";")], 1), ([Datum::Null, text("!")], 1)];
    let types = [ScalarType::Text, ScalarType::Text];
    assert_eq!(run_list(AggregateFunc::StringAgg { order_by: vec![] }, types.clone(), &rows), "a;b");
    assert_eq!(run_list(AggregateFunc::StringAgg { order_by: vec![] }, types, &rows[2..]), "NULL");
}

#[test]
fn json_objects_need_keys() {
    let rows = [([Datum::Text("k"), Datum::Int(1)], 1), ([Datum::Text("k"), Datum::Int(2)], 1)];
    let types = [ScalarType::Text, ScalarType::Int4];
    let func = || AggregateFunc::JsonbObjectAgg { order_by: vec![] };
    assert_eq!(run_list(func(), types.clone(), &rows), "{\"k\": 2}");
    let null_key = [([Datum::Null, Datum::Int(1)], 1)];
    assert_eq!(run_list(func(), types, &null_key), "!22023 field name must not be null");
}

#[test]
fn names_are_found_by_argument_types() {
    assert!(by_name("sum", &[ScalarType::Text]).is_none());
    assert!(by_name("min", &[ScalarType::Jsonb]).is_none());
    assert_eq!(by_name("min", &[ScalarType::Varchar(Some(3))]).expect("found").args, [ScalarType::Text]);
    assert_eq!(
        by_name("array_agg", &[ScalarType::Int4]).expect("found").returns,
        ScalarType::Array(Box::new(ScalarType::Int4))
    );
    for name in NAMES {
        let candidates: [&[ScalarType]; 5] = [
            &[ScalarType::Int4],
            &[ScalarType::Bool],
            &[ScalarType::Text, ScalarType::Text],
            &[ScalarType::Float8],
            &[],
        ];
        assert!(candidates.iter().any(|args| by_name(name, args).is_some()), "{name}");
    }
}
