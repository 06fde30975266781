//! Tests of types, keys, the check and the printed tree.

use repr::{CollectionId, ColumnType, Datum, RelationType, ScalarType};

use super::*;
use crate::aggregate::AggregateFunc;

fn int_columns(arity: usize) -> Vec<ColumnType> {
    vec![ScalarType::Int8.nullable(); arity]
}

/// A stored relation of int8 columns with these keys.
fn get(id: u64, arity: usize, keys: Vec<Vec<usize>>) -> Relation {
    Relation::get_global(CollectionId::User(id), RelationType { columns: int_columns(arity), keys })
}

fn equals(left: usize, right: usize) -> Vec<Scalar> {
    vec![Scalar::Column(left), Scalar::Column(right)]
}

#[test]
fn constants_show_their_keys() {
    let rows = [vec![Datum::Int(1), Datum::Int(7)], vec![Datum::Int(2), Datum::Int(7)]];
    let constant = Relation::constant(rows, int_columns(2));
    assert_eq!(constant.typ().keys, [vec![0]]);
    assert_eq!(Relation::unit().typ().keys, [Vec::<usize>::new()]);
}

#[test]
fn joins_keep_keys_of_inputs_that_are_looked_up() {
    // orders(order, customer) with customers(customer, name): each order finds one customer.
    let orders = get(1, 2, vec![vec![0]]);
    let customers = get(2, 2, vec![vec![0]]);
    let joined = Relation::join(vec![orders.clone(), customers.clone()], vec![equals(1, 2)]);
    assert_eq!(joined.typ().keys, [vec![0]]);
    let crossed = orders.product(customers);
    assert_eq!(crossed.typ().keys, [vec![0, 2]]);
}

#[test]
fn union_and_negate_have_no_keys() {
    let keyed = get(1, 1, vec![vec![0]]);
    assert!(Relation::union(vec![keyed.clone(), keyed.clone()]).typ().keys.is_empty());
    assert!(keyed.clone().negate().typ().keys.is_empty());
    assert_eq!(keyed.threshold().typ().keys, [vec![0]]);
}

#[test]
fn filters_make_columns_not_null() {
    let filter = get(1, 3, vec![]).filter(vec![
        Scalar::compare("<", Scalar::Column(0), Scalar::Column(1), ScalarType::Int8),
        Scalar::Column(2).is_null(),
    ]);
    let nullable: Vec<_> = filter.typ().columns.iter().map(|column| column.nullable).collect();
    assert_eq!(nullable, [false, false, true]);
}

#[test]
fn reduce_is_keyed_by_its_group() {
    let count = Aggregate {
        func: AggregateFunc::Count,
        expr: Scalar::literal_true(),
        arg_type: ScalarType::Bool,
        distinct: false,
    };
    let reduced = get(1, 3, vec![vec![0, 1]]).reduce(vec![Scalar::Column(2)], vec![count.clone()]);
    assert_eq!(reduced.typ().keys, [vec![0]]);
    assert_eq!(reduced.typ().columns[1], ScalarType::Int8.not_null());
    let global = get(1, 3, vec![]).reduce(vec![], vec![count]);
    assert_eq!(global.typ().keys, [Vec::<usize>::new()]);
}

#[test]
fn typecheck_names_the_fault() {
    let check = |relation: &Relation| typecheck(relation).expect_err("ill-formed");
    assert_eq!(typecheck(&get(1, 2, vec![]).project(vec![1, 0])), Ok(()));
    assert_eq!(check(&get(1, 2, vec![]).project(vec![2])), "project: column 2 of 2");
    assert_eq!(check(&get(1, 1, vec![]).filter(vec![Scalar::Column(0)])), "filter: predicate #0 is Int8");
    let unbound = Relation::get_local(LocalId(3), RelationType::new(int_columns(1)));
    assert_eq!(check(&unbound), "l3 is not bound");
    let union = Relation::union(vec![get(1, 1, vec![]), get(2, 2, vec![])]);
    assert_eq!(check(&union), "union: 2 columns where 1 are expected");
}

#[test]
fn trees_are_readable() {
    let names = Names::from([(CollectionId::User(1), "orders".to_owned())]);
    let value = get(1, 2, vec![]).filter(vec![Scalar::compare(
        ">",
        Scalar::Column(0),
        Scalar::literal(Datum::Int(5), ScalarType::Int8),
        ScalarType::Int8,
    )]);
    let local = Relation::get_local(LocalId(0), value.typ());
    let body = Relation::join(vec![local.clone(), local], vec![equals(0, 2)])
        .top_k(vec![0], vec![ColumnOrder { column: 1, desc: true, nulls_last: false }], Some(3), 0)
        .project(vec![0, 3]);
    let relation = value.let_in(LocalId(0), body);
    assert_eq!(typecheck(&relation), Ok(()));
    let expected = "\
With
  cte l0 =
    Filter #0 > 5
      Get orders
Return
  Project (#0, #3)
    TopK group_by=[#0] order_by=[#1 desc] limit=3
      Join on=(#0 = #2)
        Get l0
        Get l0
";
    let pretty = Pretty { names, ..Pretty::default() };
    assert_eq!(relation.pretty_with(&pretty), expected);
    assert_eq!(relation.depends_on().into_iter().collect::<Vec<_>>(), [CollectionId::User(1)]);
    assert_eq!(relation.local_gets(), BTreeMap::from([(LocalId(0), 2)]));
}

#[test]
fn fused_chains_come_apart_again() {
    let chain = get(1, 3, vec![])
        .project(vec![2, 0])
        .filter(vec![Scalar::Column(1).is_null()])
        .map(vec![Scalar::Column(0).is_null()])
        .project(vec![2]);
    let (mfp, base) = crate::Mfp::extract_from_relation(&chain);
    assert_eq!(base, &get(1, 3, vec![]));
    let rebuilt = mfp.into_relation(base.clone());
    assert_eq!(typecheck(&rebuilt), Ok(()));
    assert_eq!(rebuilt.typ().columns, chain.typ().columns);
}
