//! LetRec against the interpreter.

use expr::relation::RecursionLimit;
use expr::{LocalId, Relation, Scalar};
use repr::ScalarType;

use crate::lower::Lowering;
use crate::{call, check, column, input, literal};

fn let_rec(ids: Vec<LocalId>, values: Vec<Relation>, limit: Option<RecursionLimit>, body: Relation) -> Relation {
    Relation::LetRec { ids, values, limit, body: Box::new(body) }
}

/// The transitive closure of collection 0, bound to `id`.
fn closure(id: LocalId, edges: &Relation) -> Relation {
    let reached = Relation::get_local(id, edges.typ());
    let further = Relation::join(vec![reached, edges.clone()], vec![vec![column(1), column(2)]]).project(vec![0, 3]);
    Relation::union(vec![edges.clone(), further]).distinct()
}

#[test]
fn transitive_closure_follows_its_edges() {
    let id = LocalId(7);
    let edges = input(0, 2);
    let relation = let_rec(vec![id], vec![closure(id, &edges)], None, Relation::get_local(id, edges.typ()));
    check("closure", &relation, &[2], Lowering::default());
}

#[test]
fn bindings_see_earlier_ones_of_this_round_and_later_ones_of_the_last() {
    let (first, second) = (LocalId(1), LocalId(2));
    let typ = input(0, 1).typ();
    let step = |relation: Relation| {
        let next = call("int8_add", vec![column(0), literal(1)]);
        let small = Scalar::compare("<", column(0), literal(6), ScalarType::Int8);
        relation.filter(vec![small]).map(vec![next]).project(vec![1])
    };
    let get = |id| Relation::get_local(id, typ.clone());
    let values = vec![
        Relation::union(vec![input(0, 1), step(get(second))]).distinct(),
        Relation::union(vec![step(get(first)), step(get(second))]).distinct(),
    ];
    let body = Relation::union(vec![get(first), get(second).negate()]).threshold();
    check("mutual", &let_rec(vec![first, second], values.clone(), None, body.clone()), &[1], Lowering::default());
    for iterations in [1, 2, 3] {
        let limit = Some(RecursionLimit { iterations, return_at_limit: true });
        let limited = let_rec(vec![first, second], values.clone(), limit, body.clone());
        check(&format!("mutual, {iterations} rounds"), &limited, &[1], Lowering::default());
    }
}

#[test]
fn a_recursion_limit_returns_or_fails() {
    let id = LocalId(3);
    let edges = input(0, 2);
    for return_at_limit in [true, false] {
        for iterations in [1, 2, 4] {
            let limit = Some(RecursionLimit { iterations, return_at_limit });
            let relation = let_rec(vec![id], vec![closure(id, &edges)], limit, Relation::get_local(id, edges.typ()));
            check(&format!("{iterations} rounds"), &relation, &[2], Lowering::default());
        }
    }
}

#[test]
fn recursion_without_end_counts_up_to_its_limit() {
    // Without the limit each row would yield its successor for ever.
    let id = LocalId(4);
    let next = call("int8_add", vec![column(0), literal(1)]);
    let successors = Relation::get_local(id, input(0, 1).typ()).map(vec![next]).project(vec![1]);
    let value = Relation::union(vec![input(0, 1), successors]);
    let limit = Some(RecursionLimit { iterations: 5, return_at_limit: true });
    let relation = let_rec(vec![id], vec![value], limit, Relation::get_local(id, input(0, 1).typ()));
    check("successors", &relation, &[1], Lowering::default());
}

#[test]
fn errors_inside_a_recursion_stay_single_and_go_away() {
    let id = LocalId(5);
    let quotient = call("int8_div", vec![literal(6), column(0)]);
    let halves = Relation::get_local(id, input(0, 1).typ()).map(vec![quotient]).project(vec![1]);
    let value = Relation::union(vec![input(0, 1), halves]).distinct();
    let relation = let_rec(vec![id], vec![value], None, Relation::get_local(id, input(0, 1).typ()));
    check("division", &relation, &[1], Lowering::default());
}

#[test]
fn recursion_within_recursion() {
    let (outer, inner) = (LocalId(8), LocalId(9));
    let edges = input(0, 2);
    let get = |id| Relation::get_local(id, edges.typ());
    // The inner closure runs over what the outer has reached so far.
    let inner_value = {
        let further =
            Relation::join(vec![get(inner), get(outer)], vec![vec![column(1), column(2)]]).project(vec![0, 3]);
        Relation::union(vec![get(outer), further]).distinct()
    };
    let inner_closure = let_rec(vec![inner], vec![inner_value], None, get(inner));
    let outer_value = Relation::union(vec![edges.clone(), inner_closure]).distinct();
    let relation = let_rec(vec![outer], vec![outer_value], None, get(outer));
    check("nested", &relation, &[2], Lowering::default());
}
