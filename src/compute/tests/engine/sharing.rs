//! Indexes that other dataflows import.

use std::collections::BTreeMap;

use expr::aggregate::{Aggregate, AggregateFunc};
use expr::{Mfp, Relation, Scalar};
use protocol::Lookup;
use protocol::dataflow::{Dataflow, Export, Import, Object};
use protocol::plan::{Node, Plan};
use repr::{CollectionId, Datum, Kind, Row, ScalarType, ShardId, Timestamp};
use stdx::Rng;

use crate::harness::{Run, run};
use crate::lower::Lowering;
use crate::{TIMES, answer, call, column, expected, input, literal, random_history, shard_import};

const INDEX: CollectionId = CollectionId::User(50);
const VIEW: CollectionId = CollectionId::User(100);
const VIEW_INDEX: CollectionId = CollectionId::User(101);

/// A dataflow that indexes collection 0 by `key`.
fn index_of_input(key: Vec<Scalar>) -> Dataflow {
    Dataflow {
        name: "index".to_owned(),
        imports: vec![shard_import(0, 2)],
        objects: Vec::new(),
        exports: vec![Export::Index { index: INDEX, on: CollectionId::User(0), key, kinds: vec![Kind::Int; 2] }],
        as_of: Timestamp::MIN,
        until: None,
    }
}

/// A dataflow that reads collection 0 through that index and indexes the plan's result.
fn view_over_index(plan: Plan, key: Vec<Scalar>, as_of: u64) -> Dataflow {
    let kinds = plan.kinds.clone();
    Dataflow {
        name: "view".to_owned(),
        imports: vec![Import::Index { index: INDEX, on: CollectionId::User(0), key, kinds: vec![Kind::Int; 2] }],
        objects: vec![Object { id: VIEW, plan }],
        exports: vec![Export::Index { index: VIEW_INDEX, on: VIEW, key: vec![column(0)], kinds }],
        as_of: Timestamp::new(as_of),
        until: None,
    }
}

fn check_over_index(name: &str, relation: &Relation, plan: &Plan, key: &[Scalar], as_of: u64) {
    for (seed, workers, compact) in [(0, 1, true), (1, 2, false)] {
        let histories = BTreeMap::from([(ShardId(0), random_history(&Rng::from_seed(seed), 2, 5))]);
        let dataflows = vec![index_of_input(key.to_vec()), view_over_index(plan.clone(), key.to_vec(), as_of)];
        let kinds = relation.kinds();
        let run_it = Run { workers, dataflows, index: VIEW_INDEX, kinds, from: as_of, until: TIMES, compact };
        for (outcome, at) in run(run_it, histories.clone()).into_iter().zip(as_of..) {
            let expected = expected(relation, &histories, at);
            assert_eq!(answer(outcome), expected, "{name}, seed {seed}, {workers} workers, time {at}");
        }
    }
}

#[test]
fn an_imported_index_is_joined_in_place() {
    let relation = Relation::join(vec![input(0, 2), input(0, 2)], vec![vec![column(0), column(2)]]);
    let plan = Lowering::default().lower(&relation);
    check_over_index("join", &relation, &plan, &[column(0)], 0);
    check_over_index("join from later", &relation, &plan, &[column(0)], 4);
    check_over_index("join by another key", &relation, &plan, &[column(1)], 0);
}

#[test]
fn a_delta_join_meets_an_imported_index_three_times() {
    let inputs = vec![input(0, 2), input(0, 2), input(0, 2)];
    let relation = Relation::join(inputs, vec![vec![column(0), column(2), column(4)]]);
    let filtered = relation.clone().filter(vec![Scalar::compare("<", column(1), column(3), ScalarType::Int8)]);
    for (last, as_of) in [(0, 0), (1, 0), (2, 4)] {
        let lowering = Lowering { delta: true, last, ..Lowering::default() };
        for relation in [&relation, &filtered] {
            check_over_index("delta join", relation, &lowering.lower(relation), &[column(0)], as_of);
            check_over_index("delta join by another key", relation, &lowering.lower(relation), &[column(1)], as_of);
        }
    }
}

#[test]
fn rows_are_restored_from_thinned_arrangements() {
    let sum = call("int8_add", vec![column(0), column(1)]);
    let relation = input(0, 2).project(vec![1, 0]);
    let plan = Lowering::default().lower(&relation);
    for key in [vec![], vec![column(1)], vec![column(1), column(0)], vec![sum, column(1)]] {
        check_over_index(&format!("{key:?}"), &relation, &plan, &key, 0);
    }
}

#[test]
fn recursion_reads_an_imported_index() {
    let id = expr::LocalId(1);
    let edges = input(0, 2);
    let reached = Relation::get_local(id, edges.typ());
    let further = Relation::join(vec![reached.clone(), edges.clone()], vec![vec![column(1), column(2)]]);
    let value = Relation::union(vec![edges, further.project(vec![0, 3])]).distinct();
    let relation = Relation::LetRec { ids: vec![id], values: vec![value], limit: None, body: Box::new(reached) };
    let plan = Lowering::default().lower(&relation);
    check_over_index("recursion", &relation, &plan, &[column(0)], 0);
}

#[test]
fn a_lookup_reads_the_rows_of_its_keys() {
    let keys = [Row::pack([Datum::Int(1)]), Row::pack([Datum::Int(0)]), Row::pack([Datum::Null])];
    let is = |value: i64| Scalar::compare("=", column(0), literal(value), ScalarType::Int8);
    let wanted = Scalar::Or(vec![is(1), is(0), column(0).is_null()]);
    let relation = input(0, 2).filter(vec![wanted]);
    let lookup = Lookup::keys(keys);
    let node = |key: Scalar| Node::Get {
        id: CollectionId::User(0),
        key: Some(vec![key]),
        lookup: Some(lookup.clone()),
        mfp: Mfp::identity(vec![Kind::Int; 2]),
    };
    let plan = |key| Plan { id: 1, kinds: vec![Kind::Int; 2], node: node(key) };
    check_over_index("seek", &relation, &plan(column(0)), &[column(0)], 0);
    check_over_index("scan", &relation, &plan(column(0)), &[column(1)], 0);
}

#[test]
fn the_arrangement_of_a_reduce_is_its_index() {
    let max = Aggregate { func: AggregateFunc::Max, expr: column(1), arg_type: ScalarType::Int8, distinct: false };
    let relation = input(0, 2).reduce(vec![column(0)], vec![max]);
    let plan = Lowering { levels: 1, ..Lowering::default() }.lower(&relation);
    check_over_index("reduce", &relation, &plan, &[column(0)], 2);
}
