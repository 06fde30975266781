//! Tests of the interpreter: one for each operator, and its error rules.

use repr::{CollectionId, ColumnType, Datum, RelationType, ScalarType};

use super::*;
use crate::aggregate::{Aggregate, AggregateFunc};
use crate::func;
use crate::order::ColumnOrder;

fn columns(arity: usize) -> Vec<ColumnType> {
    vec![ScalarType::Int8.nullable(); arity]
}

/// Rows of int8 with multiplicities; `i64::MIN` stands for NULL.
fn constant(arity: usize, rows: &[(&[i64], i64)]) -> Relation {
    let datum = |value: &i64| if *value == i64::MIN { Datum::Null } else { Datum::Int(*value) };
    let rows = rows.iter().map(|(row, diff)| (Row::pack(row.iter().map(datum)), Diff::new(*diff))).collect();
    Relation::constant_rows(rows, RelationType::new(columns(arity)))
}

/// One line for each row and each error.
fn show(relation: &Relation) -> String {
    crate::relation::typecheck(relation).expect("well formed");
    let kinds = relation.kinds();
    let output = interpret(relation, &BTreeMap::new());
    let rows = output.rows.iter().map(|(row, diff)| {
        let datums: Vec<_> = row.unpack(&kinds).iter().map(show_datum).collect();
        format!("{} x{diff}", datums.join(" "))
    });
    let errors = output.errors.iter().map(|(error, diff)| format!("{}: {error} x{diff}", error.code()));
    rows.chain(errors).collect::<Vec<_>>().join("\n")
}

fn show_datum(datum: &Datum<'_>) -> String {
    match datum {
        Datum::Int(value) => value.to_string(),
        Datum::Null => "null".into(),
        other => format!("{other:?}"),
    }
}

fn column(index: usize) -> Scalar {
    Scalar::Column(index)
}

fn int(value: i64) -> Scalar {
    Scalar::literal(Datum::Int(value), ScalarType::Int8)
}

fn divide(left: Scalar, right: Scalar) -> Scalar {
    let func = func::by_key("int8_div").expect("a function");
    Scalar::call(func, vec![left, right], vec![ScalarType::Int8; 2], ScalarType::Int8)
}

fn add_one(scalar: Scalar) -> Scalar {
    let func = func::by_key("int8_add").expect("a function");
    Scalar::call(func, vec![scalar, int(1)], vec![ScalarType::Int8; 2], ScalarType::Int8)
}

fn aggregate(func: AggregateFunc, expr: Scalar) -> Aggregate {
    Aggregate { func, expr, arg_type: ScalarType::Int8, distinct: false }
}

const NULL: i64 = i64::MIN;

#[test]
fn filter_and_map_report_errors_of_rows_that_stay() {
    let input = constant(2, &[(&[0, 1], 1), (&[0, 2], 3), (&[4, 1], 2)]);
    let relation = input.map(vec![divide(int(8), column(0))]).filter(vec![Scalar::compare(
        "=",
        column(1),
        int(1),
        ScalarType::Int8,
    )]);
    assert_eq!(show(&relation), "4 1 2 x2\n22012: division by zero x1");
}

#[test]
fn joins_match_nulls_and_multiply() {
    let left = constant(2, &[(&[1, 10], 2), (&[NULL, 11], 1)]);
    let right = constant(2, &[(&[1, 20], 3), (&[NULL, 21], 1), (&[2, 22], 1)]);
    let joined = Relation::join(vec![left.clone(), right.clone()], vec![vec![column(0), column(2)]]);
    assert_eq!(show(&joined), "1 10 1 20 x6\nnull 11 null 21 x1");
    assert_eq!(interpret(&left.product(right), &BTreeMap::new()).rows.len(), 6);
}

#[test]
fn three_way_joins_apply_expressions_over_several_inputs() {
    let (a, b, c) = (
        constant(1, &[(&[1], 1), (&[2], 1)]),
        constant(1, &[(&[10], 1), (&[20], 1)]),
        constant(1, &[(&[11], 1), (&[22], 1), (&[0], 1)]),
    );
    let func = func::by_key("int8_add").expect("a function");
    let sum = Scalar::call(func, vec![column(0), column(1)], vec![ScalarType::Int8; 2], ScalarType::Int8);
    let joined = Relation::join(vec![a, b, c], vec![vec![column(2), sum]]);
    assert_eq!(show(&joined), "1 10 11 x1\n2 20 22 x1");
}

#[test]
fn reduce_counts_multiplicities_and_refuses_negative_ones() {
    let input = constant(2, &[(&[1, 5], 2), (&[1, NULL], 1), (&[2, 7], 1), (&[3, 1], 1), (&[3, 1], -1)]);
    let aggregates = vec![
        aggregate(AggregateFunc::Count, column(1)),
        aggregate(AggregateFunc::Max, column(1)),
        Aggregate { distinct: true, ..aggregate(AggregateFunc::Count, column(1)) },
    ];
    let reduced = input.reduce(vec![column(0)], aggregates.clone());
    assert_eq!(show(&reduced), "1 2 5 1 x1\n2 1 7 1 x1");
    let negative = constant(2, &[(&[1, 5], -1)]).reduce(vec![column(0)], aggregates);
    assert_eq!(show(&negative), "XX001: invalid negative or overflowed multiplicity in aggregation x1");
}

#[test]
fn distinct_and_threshold() {
    let input = constant(1, &[(&[1], 3), (&[2], -2), (&[3], 1)]);
    assert_eq!(show(&input.clone().threshold()), "1 x3\n3 x1");
    let distinct = constant(1, &[(&[1], 3), (&[3], 1)]).distinct();
    assert_eq!(show(&distinct), "1 x1\n3 x1");
    assert_eq!(show(&Relation::union(vec![input.clone(), input.negate()])), "");
}

#[test]
fn top_k_breaks_ties_by_row_and_splits_multiplicities() {
    let input = constant(2, &[(&[1, 5], 2), (&[1, 6], 2), (&[1, 4], 1), (&[2, 9], 1)]);
    let order = vec![ColumnOrder { column: 1, desc: false, nulls_last: true }];
    assert_eq!(show(&input.clone().top_k(vec![0], order, Some(2), 2)), "1 5 x1\n1 6 x1");
    assert_eq!(show(&input.top_k(vec![], vec![], Some(2), 1)), "1 5 x2");
}

#[test]
fn errors_keep_their_sign_and_are_distinct_where_bound() {
    let failing = constant(1, &[(&[0], 3)]).map(vec![divide(int(1), column(0))]);
    assert_eq!(show(&failing.clone().negate()), "22012: division by zero x3");
    let local = Relation::get_local(LocalId(0), failing.typ());
    let bound = failing.let_in(LocalId(0), Relation::union(vec![local.clone(), local.negate()]));
    assert_eq!(show(&bound), "22012: division by zero x2");
}

/// The numbers from 1 to 5, each from the one before it.
fn counting(limit: Option<RecursionLimit>) -> Relation {
    let typ = RelationType::new(columns(1));
    let step = Relation::get_local(LocalId(0), typ.clone())
        .map(vec![add_one(column(0))])
        .project(vec![1])
        .filter(vec![Scalar::compare("<=", column(0), int(5), ScalarType::Int8)]);
    Relation::LetRec {
        ids: vec![LocalId(0)],
        values: vec![Relation::union(vec![constant(1, &[(&[1], 1)]), step]).distinct()],
        limit,
        body: Box::new(Relation::get_local(LocalId(0), typ)),
    }
}

#[test]
fn recursion_runs_until_nothing_changes() {
    assert_eq!(show(&counting(None)), "1 x1\n2 x1\n3 x1\n4 x1\n5 x1");
    let returning = RecursionLimit { iterations: 2, return_at_limit: true };
    assert_eq!(show(&counting(Some(returning))), "1 x1\n2 x1");
    let enough = RecursionLimit { iterations: 5, return_at_limit: false };
    assert_eq!(show(&counting(Some(enough))), "1 x1\n2 x1\n3 x1\n4 x1\n5 x1");
    let failing = RecursionLimit { iterations: 3, return_at_limit: false };
    assert!(show(&counting(Some(failing))).contains("54000"));
}

#[test]
fn flat_map_appends_columns() {
    let series = TableFunc::GenerateSeriesInt(ScalarType::Int8);
    let relation = constant(1, &[(&[2], 2), (&[0], 1), (&[NULL], 1)]).flat_map(series, vec![int(1), column(0)]);
    assert_eq!(show(&relation), "2 1 x2\n2 2 x2");
}

#[test]
fn work_is_limited() {
    let series = TableFunc::GenerateSeriesInt(ScalarType::Int8);
    let relation = Relation::unit().flat_map(series, vec![int(1), int(1_000_000)]);
    let output = interpret_within(&relation, &BTreeMap::new(), 1000);
    assert_eq!(output.into_result(), Err(out_of_work()));
}

#[test]
fn stored_collections_come_from_the_environment() {
    let id = CollectionId::User(7);
    let relation = Relation::get_global(id, RelationType::new(columns(1)));
    let stored = Collection::from_rows([(Row::pack([Datum::Int(1)]), Diff::ONE)]);
    assert_eq!(interpret(&relation, &BTreeMap::from([(id, stored.clone())])), stored);
    assert_eq!(interpret(&relation, &BTreeMap::new()).errors.len(), 1);
}
