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
    let interval = ScalarType::Interval(None);
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

/// The rows of a window over records of integers, in the window's order.
fn window(window: Window, records: &[(&[Option<i64>], i64)]) -> Result<Vec<Vec<Option<i64>>>, EvalError> {
    let arena = Arena::new();
    let width = records.first().map_or(0, |(fields, _)| fields.len());
    let field = (String::new(), ScalarType::Int8.nullable());
    let arg_type = ScalarType::Record(vec![field; width]);
    let packed: Vec<(Row, i64)> = records
        .iter()
        .map(|(fields, count)| {
            let fields: Vec<_> =
                fields.iter().map(|field| (field.map_or(Datum::Null, Datum::Int), Kind::Int)).collect();
            (repr::composite::pack_list(&fields), *count)
        })
        .collect();
    let values = packed.iter().map(|(row, count)| (row.unpack_first(Kind::List), Diff::new(*count)));
    let func = AggregateFunc::Window(Box::new(window));
    let aggregate = Aggregate { func, expr: Scalar::Column(0), arg_type, distinct: false };
    let list = evaluate(&aggregate, values, &arena)?;
    let int = |datum: Datum<'_>| match datum {
        Datum::Null => None,
        datum => Some(datum.unwrap_int()),
    };
    Ok(list.unwrap_list().iter().map(|record| record.unwrap_list().iter().map(int).collect()).collect())
}

fn frame(units: FrameUnits, start: FrameBound, end: FrameBound, exclude: Exclude) -> WindowFrame {
    WindowFrame { units, start, end, exclude }
}

/// The greatest second field over frames, ordered by the first field.
fn greatest(frames: Vec<WindowFrame>) -> Window {
    let greatest = WindowFunc::Aggregate { func: AggregateFunc::Max, argument: 1 };
    let call = |frame| WindowCall { func: greatest.clone(), frame, typ: ScalarType::Int8.nullable() };
    let order_by = vec![ColumnOrder { column: 0, desc: false, nulls_last: true }];
    Window { order_by, kept: 1, calls: frames.into_iter().map(call).collect() }
}

#[test]
fn windows_give_each_copy_of_a_row_its_own_number_whatever_order_rows_come_in() {
    let number = |order_by: Vec<ColumnOrder>| {
        let typ = ScalarType::Int8.not_null();
        let call = |func| WindowCall { func, frame: WindowFrame::default(), typ: typ.clone() };
        let calls = vec![call(WindowFunc::RowNumber), call(WindowFunc::Rank), call(WindowFunc::DenseRank)];
        Window { order_by, kept: 1, calls }
    };
    let desc = vec![ColumnOrder { column: 0, desc: true, nulls_last: false }];
    let rows: [(&[Option<i64>], i64); 3] = [(&[Some(1)], 2), (&[None], 1), (&[Some(5)], 1)];
    let expected = vec![
        vec![None, Some(1), Some(1), Some(1)],
        vec![Some(5), Some(2), Some(2), Some(2)],
        vec![Some(1), Some(3), Some(3), Some(3)],
        vec![Some(1), Some(4), Some(3), Some(3)],
    ];
    assert_eq!(window(number(desc.clone()), &rows), Ok(expected.clone()));
    let mut reversed = rows;
    reversed.reverse();
    assert_eq!(window(number(desc), &reversed), Ok(expected));
}

#[test]
fn window_frames_move_by_rows_groups_and_values() {
    use FrameBound::{CurrentRow, Following, Preceding, UnboundedFollowing, UnboundedPreceding, Value};
    let rows: Vec<(Vec<Option<i64>>, i64)> = [(1, 10), (2, 9), (2, 7), (4, 8)]
        .into_iter()
        .map(|(key, value)| (vec![Some(key), Some(value), Some(key - 1), Some(key + 1)], 1))
        .collect();
    let rows: Vec<(&[Option<i64>], i64)> = rows.iter().map(|(fields, count)| (&fields[..], *count)).collect();
    let by = |units, start, end| frame(units, start, end, Exclude::Nothing);
    let value = |bound| Value { key: 0, bound };
    let frames = vec![
        by(FrameUnits::Rows, Following(1), Following(2)),
        by(FrameUnits::Groups, Preceding(1), Preceding(1)),
        by(FrameUnits::Range, value(2), value(3)),
        frame(FrameUnits::Range, UnboundedPreceding, UnboundedFollowing, Exclude::Group),
        frame(FrameUnits::Range, UnboundedPreceding, CurrentRow, Exclude::Ties),
    ];
    let answer = window(greatest(frames), &rows).expect("no error");
    let column = |index: usize| answer.iter().map(|row| row[index]).collect::<Vec<_>>();
    // Rows in order: (1, 10), (2, 7), (2, 9), (4, 8).
    assert_eq!(column(1), [Some(9), Some(9), Some(8), None]);
    assert_eq!(column(2), [None, Some(10), Some(10), Some(9)]);
    assert_eq!(column(3), [Some(10), Some(10), Some(10), Some(8)]);
    assert_eq!(column(4), [Some(9), Some(10), Some(10), Some(10)]);
    assert_eq!(column(5), [Some(10), Some(10), Some(10), Some(10)]);
}

#[test]
fn sums_carried_from_frame_to_frame_are_those_of_each_frame_alone() {
    use FrameBound::{CurrentRow, Following, Preceding, UnboundedPreceding};
    let values = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5];
    let rows: Vec<Vec<Option<i64>>> =
        values.iter().enumerate().map(|(key, value)| vec![Some(key as i64 / 2), Some(*value)]).collect();
    let rows: Vec<(&[Option<i64>], i64)> = rows.iter().map(|fields| (&fields[..], 1)).collect();
    let bounds = [(Preceding(2), CurrentRow), (Preceding(1), Following(3)), (UnboundedPreceding, Preceding(1))];
    for units in [FrameUnits::Rows, FrameUnits::Groups] {
        for exclude in [Exclude::Nothing, Exclude::CurrentRow, Exclude::Group, Exclude::Ties] {
            for (start, end) in bounds {
                let frame = frame(units, start, end, exclude);
                let call = |func: AggregateFunc| WindowCall {
                    func: WindowFunc::Aggregate { func, argument: 1 },
                    frame: frame.clone(),
                    typ: ScalarType::Int8.nullable(),
                };
                let order_by = vec![ColumnOrder { column: 0, desc: false, nulls_last: true }];
                // The least value is carried along, the bits are computed frame by frame; counts say how many rows there were.
                let calls = [AggregateFunc::Count, AggregateFunc::Min, AggregateFunc::BitOr].map(call).to_vec();
                let answer = window(Window { order_by, kept: 2, calls }, &rows).expect("no error");
                for (place, row) in answer.iter().enumerate() {
                    let inside = inside(&answer, place, units, (start, end), exclude);
                    let values: Vec<i64> = inside.iter().map(|place| answer[*place][1].expect("a value")).collect();
                    assert_eq!(row[2], Some(values.len() as i64), "{units:?} {start:?} {end:?} {exclude:?} {place}");
                    assert_eq!(row[3], values.iter().min().copied());
                    assert_eq!(row[4], values.iter().copied().reduce(|all, value| all | value));
                }
            }
        }
    }
}

/// The frame of a row by the letter of its definition.
fn inside(
    rows: &[Vec<Option<i64>>],
    row: usize,
    units: FrameUnits,
    bounds: (FrameBound, FrameBound),
    exclude: Exclude,
) -> Vec<usize> {
    let distance = |other: usize| match units {
        FrameUnits::Rows => other as i64 - row as i64,
        _ => rows[other][0].expect("a key") - rows[row][0].expect("a key"),
    };
    let bound = |bound| match bound {
        FrameBound::UnboundedPreceding => i64::MIN,
        FrameBound::Preceding(by) => -(by as i64),
        FrameBound::Following(by) => by as i64,
        _ => 0,
    };
    let (start, end) = (bound(bounds.0), bound(bounds.1));
    let kept = |other: usize| match exclude {
        Exclude::Nothing => true,
        Exclude::CurrentRow => other != row,
        Exclude::Group => rows[other][0] != rows[row][0],
        Exclude::Ties => other == row || rows[other][0] != rows[row][0],
    };
    (0..rows.len()).filter(|other| (start..=end).contains(&distance(*other)) && kept(*other)).collect()
}
