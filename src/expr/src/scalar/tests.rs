//! Tests of evaluation, simplification and display.

use repr::{Arena, ColumnType, Datum, ScalarType};

use super::*;
use crate::func;

fn int(value: i64) -> Scalar {
    Scalar::literal(Datum::Int(value), ScalarType::Int4)
}

fn column(index: usize) -> Scalar {
    Scalar::Column(index)
}

fn call(key: &str, args: Vec<Scalar>, typ: ScalarType) -> Scalar {
    let arg_types = vec![typ.clone(); args.len()];
    Scalar::call(func::by_key(key).expect("a function"), args, arg_types, typ)
}

fn add(left: Scalar, right: Scalar) -> Scalar {
    call("int4_add", vec![left, right], ScalarType::Int4)
}

fn divide(left: Scalar, right: Scalar) -> Scalar {
    call("int4_div", vec![left, right], ScalarType::Int4)
}

/// An expression of type bool that always fails.
fn failing() -> Scalar {
    equals(divide(int(1), int(0)), int(1))
}

fn equals(left: Scalar, right: Scalar) -> Scalar {
    Scalar::compare("=", left, right, ScalarType::Int4)
}

fn null() -> Scalar {
    Scalar::null(ScalarType::Bool)
}

fn eval(scalar: &Scalar, datums: &[Datum<'_>]) -> String {
    let arena = Arena::new();
    match scalar.eval(datums, &arena) {
        Ok(datum) => format!("{datum:?}"),
        Err(error) => format!("{} {}", error.code(), error),
    }
}

#[test]
fn and_gives_false_over_errors_and_null() {
    let (t, f) = (Scalar::literal_true(), Scalar::literal_false());
    assert_eq!(eval(&Scalar::And(vec![failing(), null(), f.clone()]), &[]), "Bool(false)");
    assert_eq!(eval(&Scalar::And(vec![null(), failing()]), &[]), "22012 division by zero");
    assert_eq!(eval(&Scalar::And(vec![null(), t.clone()]), &[]), "Null");
    assert_eq!(eval(&Scalar::And(vec![]), &[]), "Bool(true)");
    assert_eq!(eval(&Scalar::Or(vec![failing(), null(), t]), &[]), "Bool(true)");
    assert_eq!(eval(&Scalar::Or(vec![f, failing()]), &[]), "22012 division by zero");
    assert_eq!(eval(&Scalar::Or(vec![]), &[]), "Bool(false)");
}

#[test]
fn branches_not_taken_are_not_evaluated() {
    let guarded = Scalar::If {
        cond: Box::new(equals(column(0), int(0))),
        then: Box::new(int(-1)),
        els: Box::new(divide(int(10), column(0))),
    };
    assert_eq!(eval(&guarded, &[Datum::Int(0)]), "Int(-1)");
    assert_eq!(eval(&guarded, &[Datum::Int(5)]), "Int(2)");
    let coalesce = Scalar::Coalesce(vec![column(0), divide(int(1), int(0))]);
    assert_eq!(eval(&coalesce, &[Datum::Int(7)]), "Int(7)");
    assert_eq!(eval(&coalesce, &[Datum::Null]), "22012 division by zero");
}

#[test]
fn an_error_in_an_argument_wins_over_null_unless_that_is_constant() {
    let quotient = divide(int(1), column(0));
    assert_eq!(eval(&add(column(1), quotient.clone()), &[Datum::Int(0), Datum::Null]), "22012 division by zero");
    assert_eq!(eval(&add(column(1), quotient.clone()), &[Datum::Int(1), Datum::Null]), "Null");
    let null = add(int(1), Scalar::null(ScalarType::Int4));
    assert_eq!(eval(&add(null.clone(), quotient.clone()), &[Datum::Int(0)]), "Null");
    assert_eq!(eval(&add(quotient.clone(), null), &[Datum::Int(0)]), "Null");
    assert_eq!(eval(&add(quotient, divide(int(1), int(0))), &[Datum::Int(0)]), "22012 division by zero");
}

#[track_caller]
fn check_reduce(scalar: Scalar, expected: &str) {
    let columns = [ScalarType::Int4.nullable(), ScalarType::Int4.not_null(), ScalarType::Bool.nullable()];
    let mut reduced = scalar.clone();
    reduced.reduce(&columns);
    assert_eq!(reduced.to_string(), expected, "of {scalar}");
}

#[test]
fn constants_are_folded_without_moving_errors() {
    check_reduce(add(int(1), add(int(2), int(3))), "6");
    check_reduce(divide(int(1), int(0)), "error(\"division by zero\")");
    check_reduce(add(column(0), Scalar::null(ScalarType::Int4)), "null");
    check_reduce(add(divide(int(1), column(0)), Scalar::null(ScalarType::Int4)), "null");
    check_reduce(Scalar::And(vec![column(2), Scalar::literal_true()]), "#2");
    check_reduce(Scalar::And(vec![failing(), column(2), Scalar::literal_false()]), "false");
    check_reduce(Scalar::Or(vec![column(2), Scalar::Or(vec![column(2), Scalar::literal_false()])]), "#2");
    check_reduce(column(1).is_null(), "false");
    check_reduce(column(0).is_null().not(), "(#0) IS NOT NULL");
    check_reduce(add(column(1), int(1)).is_null(), "((#1 + 1)) IS NULL");
    check_reduce(equals(column(0), int(1)).not(), "#0 <> 1");
    check_reduce(
        Scalar::Coalesce(vec![Scalar::null(ScalarType::Int4), column(0), column(1), column(0)]),
        "coalesce(#0, #1)",
    );
    check_reduce(
        Scalar::If { cond: Box::new(null()), then: Box::new(divide(int(1), int(0))), els: Box::new(column(0)) },
        "#0",
    );
    check_reduce(Scalar::Or(vec![column(2), equals(column(0), int(1))]).not(), "NOT(#2) AND (#0 <> 1)");
}

#[test]
fn types_and_nullability_follow_the_operands() {
    let columns = [ScalarType::Int4.nullable(), ScalarType::Int4.not_null()];
    let typ = |scalar: Scalar| -> ColumnType { scalar.typ(&columns) };
    assert_eq!(typ(add(column(0), column(1))), ScalarType::Int4.nullable());
    assert_eq!(typ(add(column(1), int(1))), ScalarType::Int4.not_null());
    assert_eq!(typ(Scalar::Coalesce(vec![column(0), column(1)])), ScalarType::Int4.not_null());
    assert_eq!(typ(equals(column(1), column(0))), ScalarType::Bool.nullable());
    assert_eq!(typ(column(0).is_null()), ScalarType::Bool.not_null());
}

#[test]
fn deep_expressions_do_not_overflow_the_stack() {
    let mut scalar = column(0);
    for _ in 0..1_000 {
        scalar = add(scalar, int(1));
    }
    assert_eq!(eval(&scalar, &[Datum::Int(1)]), "Int(1001)");
    assert_eq!(scalar.size(), 2_001);
    let mut reduced = scalar.clone();
    reduced.substitute(&[int(5)]);
    reduced.reduce(&[]);
    assert_eq!(reduced, int(1_005));
}

#[test]
fn names_are_shown_where_known() {
    let names = ["price".to_owned()];
    let scalar = Scalar::And(vec![equals(column(0), int(1)), equals(add(column(1), int(2)), column(0))]);
    assert_eq!(scalar.display(Some(&names)).to_string(), "(#0{price} = 1) AND ((#1 + 2) = #0{price})");
    assert_eq!(equals(column(0), int(1)).to_string(), "#0 = 1");
    assert_eq!(add(column(0), column(1)).to_string(), "(#0 + #1)");
}

#[test]
fn walks_visit_every_node_in_order() {
    let scalar = add(column(3), add(column(1), column(2)));
    let mut order = Vec::new();
    scalar.visit_post(&mut |node| order.push(node.to_string()));
    assert_eq!(order, ["#3", "#1", "#2", "(#1 + #2)", "(#3 + (#1 + #2))"]);
    let mut permuted = scalar.clone();
    permuted.permute(&[0, 10, 20, 30]);
    assert_eq!(permuted.to_string(), "(#30 + (#10 + #20))");
    assert_eq!(scalar.support().into_iter().collect::<Vec<_>>(), [1, 2, 3]);
}
