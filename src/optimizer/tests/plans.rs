//! What relations are optimized to, and which plans they get. Each optimized relation has the same rows as the relation as it
//! was, by the interpreter, over random data with NULLs.

use std::collections::{BTreeMap, BTreeSet};

use expr::interpret::{Collection, interpret};
use expr::{Aggregate, AggregateFunc, LocalId, Relation, Scalar};
use optimizer::{Access, Labels, Objects, Purpose, access, explain_physical, lower, optimize};
use repr::{CollectionId, Datum, Diff, RelationType, Row, ScalarType, ShardId};
use stdx::Rng;

/// Stored collections, their indexes, and those that only grow; there are no views.
#[derive(Default)]
struct Stored {
    growing: BTreeSet<CollectionId>,
    indexes: BTreeMap<CollectionId, Vec<(CollectionId, Vec<Scalar>)>>,
}

impl Stored {
    /// Each pair is a collection and the column by which it is indexed.
    fn indexed(indexes: &[(u64, usize)]) -> Stored {
        let mut stored = Stored::default();
        for (number, (on, column)) in indexes.iter().enumerate() {
            let index = CollectionId::User(100 + number as u64);
            stored.indexes.entry(CollectionId::User(*on)).or_default().push((index, vec![Scalar::Column(*column)]));
        }
        stored
    }
}

impl Objects for Stored {
    fn view(&self, _: CollectionId) -> Option<Relation> {
        None
    }

    fn shard(&self, _: CollectionId) -> Option<ShardId> {
        Some(ShardId(0))
    }

    fn only_grows(&self, id: CollectionId) -> bool {
        self.growing.contains(&id)
    }

    fn indexes(&self, id: CollectionId) -> Vec<(CollectionId, Vec<Scalar>)> {
        self.indexes.get(&id).cloned().unwrap_or_default()
    }
}

/// The stored collection number `index`, of `arity` columns of int8.
fn input(index: u64, arity: usize) -> Relation {
    Relation::get_global(CollectionId::User(index), RelationType::new(vec![ScalarType::Int8.nullable(); arity]))
}

fn column(index: usize) -> Scalar {
    Scalar::Column(index)
}

fn literal(value: i64) -> Scalar {
    Scalar::literal(Datum::Int(value), ScalarType::Int8)
}

fn compare(symbol: &str, left: Scalar, right: Scalar) -> Scalar {
    Scalar::compare(symbol, left, right, ScalarType::Int8)
}

fn equal(left: usize, right: usize) -> Scalar {
    compare("=", column(left), column(right))
}

fn is(left: usize, value: i64) -> Scalar {
    compare("=", column(left), literal(value))
}

fn sum(of: usize) -> Aggregate {
    Aggregate { func: AggregateFunc::Sum, expr: column(of), arg_type: ScalarType::Int8, distinct: false }
}

/// Rows of small integers and NULLs for each collection that is read.
fn random_data(relation: &Relation, seed: u64) -> BTreeMap<CollectionId, Collection> {
    let rng = Rng::from_seed(seed);
    let mut data = BTreeMap::new();
    relation.visit_pre(&mut |node| {
        if let Relation::Get { id: expr::Id::Global(id), typ } = node {
            data.entry(*id).or_insert_with(|| {
                let datum = |_| match rng.below(6) {
                    0 => Datum::Null,
                    value => Datum::Int(i64::try_from(value).expect("small")),
                };
                let rows = (0..rng.below(12)).map(|_| (Row::pack((0..typ.arity()).map(datum)), Diff::ONE));
                Collection::from_rows(rows.collect::<Vec<_>>())
            });
        }
    });
    data
}

/// Optimizes a relation, and checks that it has the rows that it had.
fn optimized(relation: &Relation, stored: &Stored) -> Relation {
    let after = optimize(relation.clone(), stored);
    for seed in 0..50 {
        let data = random_data(relation, seed);
        assert_eq!(interpret(relation, &data), interpret(&after, &data), "seed {seed}:\n{}", after.pretty());
    }
    after
}

#[track_caller]
fn check(relation: &Relation, expected: &str) {
    assert_eq!(optimized(relation, &Stored::default()).pretty(), expected.trim_start_matches('\n'));
}

/// The physical plan, without its imports.
fn physical(relation: &Relation, stored: &Stored, purpose: Purpose) -> String {
    let relation = optimized(relation, stored);
    let objects = vec![(CollectionId::Transient(0), relation.clone())];
    let dataflow = lower("test".to_owned(), purpose, objects, stored, Vec::new()).expect("it can be lowered");
    let access = match purpose {
        Purpose::OneOff => access(&relation, stored),
        Purpose::Maintained => Access::Dataflow,
    };
    let labels =
        Labels { name_of: &|id| Some(id.to_string()), node_identifiers: false, arity: false, stored_rows: None };
    let text = explain_physical(&access, &dataflow, &labels);
    text.split("\n\nImports").next().unwrap_or_default().to_owned()
}

/// The line of the plan that tells of the join.
fn join_line(relation: &Relation, stored: &Stored, purpose: Purpose) -> String {
    let plan = physical(relation, stored, purpose);
    let line = plan.lines().find(|line| line.contains("Join")).unwrap_or_else(|| panic!("no join in\n{plan}"));
    let line = line.trim().split(" filter=").next().unwrap_or_default();
    line.split(" map=").next().and_then(|line| line.split(" project=").next()).unwrap_or_default().to_owned()
}

#[test]
fn what_all_branches_ask_for_is_asked_for_once() {
    let branch = |left: i64, right: i64| Scalar::And(vec![equal(0, 2), is(1, left), is(3, right)]);
    let either = Scalar::Or(vec![branch(1, 2), branch(3, 4)]);
    let relation = input(0, 2).product(input(1, 2)).filter(vec![either]);
    check(
        &relation,
        "
Filter ((#1 = 1) AND (#3 = 2)) OR ((#1 = 3) AND (#3 = 4))
  Join on=(#0 = #2)
    Filter (#0) IS NOT NULL AND ((#1 = 1) OR (#1 = 3))
      Get u0
    Filter (#0) IS NOT NULL AND ((#1 = 2) OR (#1 = 4))
      Get u1
",
    );
}

#[test]
fn what_is_asked_of_a_column_is_asked_of_its_equals() {
    let inputs = vec![input(0, 1), input(1, 1), input(2, 1)];
    let relation = Relation::join(inputs, Vec::new()).filter(vec![equal(0, 1), equal(1, 2), is(2, 3)]);
    let after = optimized(&relation, &Stored::default());
    assert_eq!(after.pretty().matches("#0 = 3").count(), 3, "{}", after.pretty());
}

#[test]
fn what_is_computed_twice_is_bound_once() {
    let totals = || input(0, 2).reduce(vec![column(0)], vec![sum(1)]);
    let relation = Relation::union(vec![totals(), totals().filter(vec![is(0, 1)]), totals()]);
    let after = optimized(&relation, &Stored::default());
    let text = after.pretty();
    assert_eq!(text.matches("Get l").count(), 2, "{text}");
    // One of all rows, one of those that the filter leaves.
    assert_eq!(text.matches("Reduce").count(), 2, "{text}");
}

#[test]
fn a_binding_outside_is_read_inside_a_recursion() {
    let (totals, reached) = (LocalId(0), LocalId(1));
    let value = input(0, 2).reduce(vec![column(0)], vec![]);
    let outer = Relation::get_local(totals, value.typ());
    let typ = RelationType::new(vec![ScalarType::Int8.nullable()]);
    let inner = Relation::union(vec![outer.clone(), Relation::get_local(reached, typ.clone())]).distinct();
    let recursion = Relation::LetRec {
        ids: vec![reached],
        values: vec![inner],
        limit: None,
        body: Box::new(Relation::get_local(reached, typ)),
    };
    let relation = value.let_in(totals, Relation::union(vec![recursion, outer]));
    let after = optimized(&relation, &Stored::default());
    assert_eq!(after.pretty().matches("Get u0").count(), 1, "{}", after.pretty());
}

/// A fact with keys of three dimensions, the third of which is filtered.
fn star() -> Relation {
    let inputs = vec![input(0, 3), input(1, 2), input(2, 2), input(3, 2)];
    let keys = (0..3).map(|key| vec![column(key), column(3 + 2 * key)]).collect();
    Relation::join(inputs, keys).filter(vec![is(8, 1)])
}

#[test]
fn a_star_starts_with_the_filtered_dimension() {
    let line = join_line(&star(), &Stored::default(), Purpose::OneOff);
    assert_eq!(line, "Join linear %3 » %0[#2] » %1[#0] » %2[#0]");
}

#[test]
fn a_chain_is_followed_from_its_filtered_end() {
    let inputs = vec![input(0, 2), input(1, 2), input(2, 2)];
    let relation = Relation::join(inputs, vec![vec![column(1), column(2)], vec![column(3), column(4)]]);
    let line = join_line(&relation.filter(vec![is(5, 1)]), &Stored::default(), Purpose::OneOff);
    assert_eq!(line, "Join linear %2 » %1[#1] » %0[#1]");
}

#[test]
fn a_cycle_closes_with_both_keys() {
    let inputs = vec![input(0, 2), input(1, 2), input(2, 2)];
    let classes = vec![vec![column(1), column(2)], vec![column(3), column(4)], vec![column(5), column(0)]];
    let line = join_line(&Relation::join(inputs, classes), &Stored::default(), Purpose::OneOff);
    assert_eq!(line, "Join linear %0 » %1[#0] » %2[#1, #0]");
}

#[test]
fn products_come_last() {
    let inputs = vec![input(0, 1), input(1, 1), input(2, 1)];
    let relation = Relation::join(inputs, vec![vec![column(0), column(2)]]);
    let line = join_line(&relation, &Stored::default(), Purpose::OneOff);
    assert_eq!(line, "Join linear %0 » %2[#0] » %1[]");
}

#[test]
fn a_delta_join_needs_its_arrangements_already() {
    let all = Stored::indexed(&[(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (3, 0)]);
    let line = join_line(&star(), &all, Purpose::Maintained);
    assert_eq!(
        line,
        "Join delta [%0 » %3[#0] » %1[#0] » %2[#0]; %1 » %0[#0] » %3[#0] » %2[#0]; \
         %2 » %0[#1] » %3[#0] » %1[#0]; %3 » %0[#2] » %1[#0] » %2[#0]]"
    );
    // For one answer the chain from the filtered input is better.
    assert!(join_line(&star(), &all, Purpose::OneOff).starts_with("Join linear %3"));
    // A chain would keep two intermediate results; four new arrangements are more.
    let few = Stored::indexed(&[(0, 0), (1, 0)]);
    assert!(join_line(&star(), &few, Purpose::Maintained).starts_with("Join linear"));
    let enough = Stored::indexed(&[(0, 0), (0, 1), (1, 0), (2, 0)]);
    assert!(join_line(&star(), &enough, Purpose::Maintained).starts_with("Join delta"));
}

#[test]
fn a_literal_looks_up_the_index_of_what_it_equals() {
    let stored = Stored::indexed(&[(0, 0), (1, 0)]);
    let relation = input(0, 2).product(input(1, 2)).filter(vec![equal(0, 2), is(0, 7)]);
    let plan = physical(&relation, &stored, Purpose::OneOff);
    assert!(plan.contains("Get u0 by 1 keys"), "{plan}");
}

fn max(of: usize) -> Aggregate {
    Aggregate { func: AggregateFunc::Max, expr: column(of), arg_type: ScalarType::Int8, distinct: false }
}

#[test]
fn of_what_only_grows_only_the_best_is_kept() {
    let stored =
        Stored { growing: BTreeSet::from([CollectionId::User(0), CollectionId::User(1)]), ..Stored::default() };
    let is_marked = |relation: Relation| {
        let plan = physical(&relation, &stored, Purpose::Maintained);
        assert!(plan.contains("Reduce") || plan.contains("TopK"), "{plan}");
        plan.contains("monotonic")
    };
    let order = || vec![expr::ColumnOrder { column: 1, desc: true, nulls_last: false }];
    let greatest = |relation: Relation| relation.reduce(vec![column(0)], vec![max(1)]);
    assert!(is_marked(greatest(input(0, 2))));
    assert!(is_marked(input(0, 2).top_k(vec![0], order(), Some(3), 0)));
    let joined = || Relation::join(vec![input(0, 2), input(1, 2)], vec![vec![column(0), column(2)]]);
    assert!(is_marked(greatest(joined().filter(vec![is(1, 5)]).project(vec![0, 3]))));
    assert!(is_marked(greatest(Relation::union(vec![input(0, 2), input(1, 2).distinct()]))));
    // Others take rows back: tables, the results of aggregates, what is left of a difference, rows whose time runs out.
    assert!(!is_marked(greatest(input(2, 2))));
    assert!(!is_marked(greatest(Relation::join(vec![input(0, 2), input(2, 2)], vec![vec![column(0), column(2)]]))));
    assert!(!is_marked(input(0, 2).reduce(vec![column(0)], vec![sum(1)]).top_k(vec![], order(), Some(1), 0)));
    assert!(!is_marked(greatest(Relation::union(vec![input(0, 2), input(1, 2).negate()]).threshold())));
    let time =
        expr::cast::cast(column(1), &ScalarType::Int8, &ScalarType::MzTimestamp, expr::cast::CastContext::Explicit);
    let until = Scalar::compare("<=", Scalar::MzNow, time.expect("a cast"), ScalarType::MzTimestamp);
    let mut temporal = greatest(input(0, 2).filter(vec![until]));
    temporal = optimize(temporal, &stored);
    assert!(!temporal.pretty().contains("monotonic"), "{}", temporal.pretty());
    // More rows than are kept in one place.
    assert!(!is_marked(input(0, 2).top_k(vec![], order(), Some(1_000), 0)));
}

/// An index of collection 0 by these columns, then more.
fn indexed_by(keys: &[&[usize]]) -> Stored {
    let mut stored = Stored::default();
    for (number, key) in (100..).zip(keys) {
        let key = key.iter().copied().map(column).collect();
        stored.indexes.entry(CollectionId::User(0)).or_default().push((CollectionId::User(number), key));
    }
    stored
}

/// How a query over collection 0, of three columns, is read if its first rows by these columns are wanted.
fn peek_line(predicates: Vec<Scalar>, stored: &Stored, order_by: &[usize], limit: Option<u64>) -> String {
    let relation = optimized(&input(0, 3).filter(predicates), stored);
    let Access::Index(found) = access(&relation, stored) else { panic!("an index answers") };
    let order = order_by.iter().map(|column| expr::ColumnOrder { column: *column, desc: false, nulls_last: true });
    let order = protocol::RowOrder { order: order.collect(), limit, offset: 0 };
    let access = Access::Index(found.in_order(&order, stored));
    let objects = vec![(CollectionId::Transient(0), relation)];
    let dataflow = lower("test".to_owned(), Purpose::OneOff, objects, stored, Vec::new()).expect("it can be lowered");
    let labels =
        Labels { name_of: &|id| Some(id.to_string()), node_identifiers: false, arity: false, stored_rows: None };
    explain_physical(&access, &dataflow, &labels).trim().to_owned()
}

#[test]
fn ranges_of_keys_are_looked_up() {
    let by = |symbol, left, right| compare(symbol, column(left), literal(right));
    let line = |predicates: Vec<Scalar>, keys: &[&[usize]]| peek_line(predicates, &indexed_by(keys), &[], None);
    assert_eq!(line(vec![is(0, 1), by(">", 1, 5)], &[&[0, 1]]), "Peek index u100 (lookup of 1 range of (#0, #1))");
    assert_eq!(line(vec![is(0, 1)], &[&[0, 1]]), "Peek index u100 (lookup of 1 range of (#0, #1))");
    assert_eq!(line(vec![is(1, 1)], &[&[0, 1]]), "Peek index u100 (full scan)");
    let either = Scalar::Or(vec![is(0, 1), is(0, 4)]);
    let between = vec![either, by(">=", 1, 5), by("<", 1, 9)];
    assert_eq!(line(between.clone(), &[&[0, 1]]), "Peek index u100 (lookup of 2 ranges of (#0, #1))");
    // More known columns are better, then both ends, then the older index; a key is better than all.
    assert_eq!(line(between, &[&[1], &[0, 1]]), "Peek index u101 (lookup of 2 ranges of (#0, #1))");
    let two_ends = vec![by(">", 0, 1), by(">", 1, 2), by("<", 1, 7)];
    assert_eq!(line(two_ends, &[&[0], &[1]]), "Peek index u101 (lookup of 1 range of (#1))");
    assert_eq!(line(vec![is(2, 1), is(0, 1)], &[&[0, 1], &[2]]), "Peek index u101 (lookup of 1 keys)");
    // That something is not NULL, or not a value, is not worth a look-up.
    assert_eq!(line(vec![column(0).is_null().not()], &[&[0]]), "Peek index u100 (full scan)");
    assert_eq!(line(vec![by("<>", 0, 3)], &[&[0]]), "Peek index u100 (full scan)");
    assert_eq!(line(vec![column(0).is_null()], &[&[0]]), "Peek index u100 (lookup of 1 keys)");
}

#[test]
fn the_first_rows_are_read_in_the_order_of_an_index() {
    let line = |predicates: Vec<Scalar>, keys: &[&[usize]], order: &[usize]| {
        peek_line(predicates, &indexed_by(keys), order, Some(3))
    };
    assert_eq!(line(vec![], &[&[0], &[1, 0]], &[1]), "Peek index u101 (full scan, the first rows by (#1, #0))");
    assert_eq!(line(vec![], &[&[0, 2]], &[0, 1]), "Peek index u100 (full scan, the first rows by (#0))");
    assert_eq!(line(vec![], &[&[1]], &[0]), "Peek index u100 (full scan)");
    let fixed = "Peek index u100 (lookup of 1 range of (#0, #1), the first rows by (#0, #1))";
    assert_eq!(line(vec![is(0, 1)], &[&[0, 1]], &[1]), fixed);
    let either = Scalar::Or(vec![is(0, 1), is(0, 4)]);
    let unordered = "Peek index u100 (lookup of 2 ranges of (#0, #1))";
    assert_eq!(line(vec![either], &[&[0, 1]], &[1]), unordered);
    // A row behind the first might fail.
    let func = expr::func::by_key("int8_div").expect("in the table");
    let quotient = Scalar::call(func, vec![literal(8), column(2)], vec![ScalarType::Int8; 2], ScalarType::Int8);
    let fallible = compare(">", quotient, literal(1));
    assert_eq!(line(vec![fallible], &[&[0]], &[0]), "Peek index u100 (full scan)");
}

#[test]
fn what_reads_nothing_needs_no_dataflow() {
    let stored = Stored::default();
    let two = || Relation::unit().map(vec![literal(2)]);
    let failing = {
        let func = expr::func::by_key("int8_div").expect("in the table");
        Scalar::call(func, vec![literal(1), literal(0)], vec![ScalarType::Int8; 2], ScalarType::Int8)
    };
    let relations = [
        two(),
        Relation::union(vec![two(), two()]).distinct(),
        two().reduce(vec![], vec![sum(0)]),
        Relation::join(vec![two(), two()], vec![vec![column(0), column(1)]]).filter(vec![is(0, 2)]),
        two().map(vec![failing]),
        input(0, 1).filter(vec![Scalar::literal_false()]),
    ];
    for relation in relations {
        let relation = optimize(relation, &stored);
        let found = access(&relation, &stored);
        assert!(matches!(found, Access::Constant(_)), "{found:?} for\n{}", relation.pretty());
    }
}

/// The notes of each line of a maintained plan over collections of so many rows.
fn notes(relation: &Relation, stored: &Stored, rows: &[u64]) -> Vec<String> {
    let relation = optimized(relation, stored);
    let objects = vec![(CollectionId::Transient(0), relation)];
    let dataflow =
        lower("test".to_owned(), Purpose::Maintained, objects, stored, Vec::new()).expect("it can be lowered");
    let stored_rows = |id| match id {
        CollectionId::User(number) => rows.get(usize::try_from(number).expect("small")).copied(),
        _ => None,
    };
    let labels = Labels {
        name_of: &|id| Some(id.to_string()),
        node_identifiers: false,
        arity: false,
        stored_rows: Some(&stored_rows),
    };
    let text = explain_physical(&Access::Dataflow, &dataflow, &labels);
    let plan = text.split("\n\nImports").next().unwrap_or_default();
    let note = |line: &str| line.split_once(" // ").map(|(_, note)| note.to_owned()).unwrap_or_default();
    plan.lines().map(note).collect()
}

#[test]
fn rows_and_memory_are_bounded_where_something_bounds_them() {
    let stored = Stored { growing: BTreeSet::from([CollectionId::User(1)]), ..Stored::indexed(&[(2, 0)]) };
    let rows = [1_000, 2_000, 50];
    let total = input(0, 2).reduce(vec![], vec![sum(1)]);
    // One group, arranged and put out: two records of one column.
    assert_eq!(
        notes(&total, &stored, &rows)[..2],
        ["{ rows: at most 1, memory: at most 208 bytes }", "{ rows: at most 1000 }"]
    );
    let by_group = input(0, 2).reduce(vec![column(0)], vec![sum(1)]);
    assert_eq!(notes(&by_group, &stored, &rows)[0], "{ rows: at most 1000, memory: at most 218 kB }");
    // All rows on four levels, and the groups; of what only grows the groups alone.
    let greatest = |index| input(index, 2).reduce(vec![column(0)], vec![max(1)]);
    assert_eq!(notes(&greatest(0), &stored, &rows)[0], "{ rows: at most 1000, memory: at most 530 kB }");
    assert_eq!(notes(&greatest(1), &stored, &rows)[0], "{ rows: at most 2000, memory: at most 424 kB }");
    let first = input(0, 2).top_k(vec![], vec![], Some(3), 0);
    assert!(notes(&first, &stored, &rows)[0].starts_with("{ rows: at most 3, "));
    // A join has no bound; an index that it shares is nobody's new memory.
    let join = Relation::join(vec![input(0, 2), input(2, 2)], vec![vec![column(0), column(2)]]);
    let expected = ["{ memory: at most 106 kB }", "{ rows: at most 1000 }", "{ rows: at most 50 }"];
    assert_eq!(notes(&join, &stored, &rows), expected);
    assert_eq!(notes(&by_group, &stored, &[])[0], "", "nothing is known");
}
