//! Delta joins of several shapes: each equals the interpreter's answer at every time, whichever input counts as the last.

use expr::{LocalId, Relation, Scalar};
use repr::ScalarType;

use crate::lower::Lowering;
use crate::{call, check, column, input, literal};

fn check_delta(name: &str, relation: &Relation, arities: &[usize], inputs: usize) {
    for last in 0..inputs {
        check(name, relation, arities, Lowering { delta: true, last, ..Lowering::default() });
    }
}

fn less(left: Scalar, right: Scalar) -> Scalar {
    Scalar::compare("<", left, right, ScalarType::Int8)
}

#[test]
fn two_inputs() {
    let relation = Relation::join(vec![input(0, 2), input(1, 2)], vec![vec![column(1), column(2)]]);
    check_delta("two", &relation, &[2, 2], 2);
}

#[test]
fn star() {
    let inputs = vec![input(0, 3), input(1, 1), input(2, 1), input(3, 1)];
    let classes = (0..3).map(|key| vec![column(key), column(3 + key)]).collect();
    check_delta("star", &Relation::join(inputs, classes), &[3, 1, 1, 1], 4);
}

#[test]
fn chain_with_filters_that_stages_try_early() {
    let inputs = vec![input(0, 2), input(1, 2), input(2, 2)];
    let classes = vec![vec![column(1), column(2)], vec![column(3), column(4)]];
    let join = Relation::join(inputs, classes);
    let filters = vec![less(column(0), literal(2)), less(column(0), column(3)), less(column(2), column(5))];
    let sum = call("int8_add", vec![column(0), column(5)]);
    let relation = join.map(vec![sum]).filter(filters).project(vec![6, 1, 3]);
    check_delta("chain", &relation, &[2, 2, 2], 3);
    check("linear chain", &relation, &[2, 2, 2], Lowering::default());
}

#[test]
fn cycle() {
    let inputs = vec![input(0, 2), input(1, 2), input(2, 2)];
    let classes = vec![vec![column(1), column(2)], vec![column(3), column(4)], vec![column(5), column(0)]];
    check_delta("cycle", &Relation::join(inputs, classes), &[2, 2, 2], 3);
}

#[test]
fn product_beside_a_join() {
    let inputs = vec![input(0, 1), input(1, 1), input(2, 1)];
    check_delta("product", &Relation::join(inputs, vec![vec![column(0), column(2)]]), &[1, 1, 1], 3);
}

#[test]
fn errors_of_the_condition_and_above() {
    let inputs = vec![input(0, 2), input(1, 2), input(2, 1)];
    let classes = vec![vec![column(0), column(2)], vec![column(3), column(4)]];
    let quotient = call("int8_div", vec![literal(6), column(1)]);
    let relation = Relation::join(inputs, classes).map(vec![quotient]);
    check_delta("division above", &relation, &[2, 2, 1], 3);
}

#[test]
fn temporal_filter_above() {
    let explicit = expr::cast::CastContext::Explicit;
    let time = expr::cast::cast(column(1), &ScalarType::Int8, &ScalarType::MzTimestamp, explicit);
    let time = time.expect("int8 casts to mz_timestamp");
    let inputs = vec![input(0, 2), input(1, 2), input(2, 1)];
    let classes = vec![vec![column(0), column(2)], vec![column(3), column(4)]];
    let until = Scalar::compare("<=", Scalar::MzNow, time, ScalarType::MzTimestamp);
    let relation = Relation::join(inputs, classes).filter(vec![until]);
    check_delta("temporal", &relation, &[2, 2, 1], 3);
}

#[test]
fn inside_a_recursion() {
    let id = LocalId(1);
    let edges = || input(0, 2);
    let reached = Relation::get_local(id, edges().typ());
    let classes = vec![vec![column(1), column(2)], vec![column(3), column(4)]];
    let further = Relation::join(vec![reached.clone(), edges(), edges()], classes).project(vec![0, 5]);
    let value = Relation::union(vec![edges(), further]).distinct();
    let relation = Relation::LetRec { ids: vec![id], values: vec![value], limit: None, body: Box::new(reached) };
    check_delta("recursion", &relation, &[2], 3);
}
