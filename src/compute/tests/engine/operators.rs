//! Each operator by itself.

use std::collections::BTreeMap;

use expr::aggregate::{
    Aggregate, AggregateFunc, Exclude, FrameBound, FrameUnits, Window, WindowCall, WindowFrame, WindowFunc,
};
use expr::{ColumnOrder, EvalError, LocalId, Relation, Scalar, TableFunc};
use repr::{Datum, Row, ScalarType, ShardId};

use crate::lower::Lowering;
use crate::{call, check, check_histories, column, input, literal};

fn aggregate(func: AggregateFunc, column: usize, distinct: bool) -> Aggregate {
    Aggregate { func, expr: Scalar::Column(column), arg_type: ScalarType::Int8, distinct }
}

fn asc(column: usize) -> ColumnOrder {
    ColumnOrder { column, desc: false, nulls_last: true }
}

fn desc(column: usize) -> ColumnOrder {
    ColumnOrder { column, desc: true, nulls_last: false }
}

#[test]
fn map_filter_project() {
    let sum = call("int8_add", vec![column(0), column(1)]);
    let positive = Scalar::compare(">", column(2), literal(0), ScalarType::Int8);
    let relation = input(0, 2).map(vec![sum]).filter(vec![positive]).project(vec![2, 0]);
    check("mfp", &relation, &[2], Lowering::default());
}

#[test]
fn an_error_in_data_comes_and_goes_with_its_row() {
    let quotient = call("int8_div", vec![literal(10), column(1)]);
    let relation = input(0, 2).map(vec![quotient]);
    check("division", &relation, &[2], Lowering::default());
    check("negated division", &Relation::union(vec![relation.clone(), relation.negate()]), &[2], Lowering::default());
}

#[test]
fn errors_of_inputs_reach_the_reader_through_every_operator() {
    let failure = || Err(EvalError::new("22012", "division by zero"));
    let row = |key, value| Ok(Row::pack([Datum::Int(key), Datum::Int(value)]));
    let history = vec![(row(1, 1), 0, 1), (failure(), 2, 1), (row(2, 1), 3, 1), (failure(), 5, 1), (failure(), 7, -2)];
    let histories = BTreeMap::from([(ShardId(0), history)]);
    let input = || input(0, 2);
    let relations = [
        input().negate().negate(),
        input().threshold(),
        input().distinct(),
        input().reduce(vec![column(0)], vec![aggregate(AggregateFunc::Max, 1, false)]),
        input().top_k(vec![0], vec![asc(1)], Some(1), 0),
        Relation::join(vec![input(), input()], vec![vec![column(0), column(2)]]),
    ];
    for relation in relations {
        check_histories("errors", &relation, &[2], Lowering::default(), &histories, 2, false);
    }
}

#[test]
fn a_negative_multiplicity_is_an_error_and_heals() {
    let row = |key| Ok(Row::pack([Datum::Int(key), Datum::Int(7)]));
    let history = vec![(row(1), 0, 1), (row(2), 1, -1), (row(2), 4, 2), (row(3), 5, -3), (row(3), 6, 4)];
    let histories = BTreeMap::from([(ShardId(0), history)]);
    let input = || input(0, 2);
    let relations = [
        input(),
        input().threshold(),
        input().distinct(),
        input().reduce(vec![column(0)], vec![aggregate(AggregateFunc::Sum, 1, false)]),
        input().reduce(vec![column(0)], vec![aggregate(AggregateFunc::Sum, 1, true)]),
        input().reduce(vec![column(0)], vec![aggregate(AggregateFunc::Min, 1, false)]),
        input().top_k(vec![], vec![asc(0)], Some(2), 0),
    ];
    for relation in relations {
        for levels in [0, 1] {
            let lowering = Lowering { levels, ..Lowering::default() };
            check_histories("negative", &relation, &[2], lowering, &histories, 1, true);
        }
    }
}

#[test]
fn distinct_and_union_and_negate_and_threshold() {
    check("distinct", &input(0, 2).distinct(), &[2], Lowering::default());
    let union_all = Relation::union(vec![input(0, 2), input(1, 2)]);
    check("union", &union_all, &[2, 2], Lowering::default());
    let except_all = Relation::union(vec![input(0, 1), input(1, 1).negate()]).threshold();
    check("except all", &except_all, &[1, 1], Lowering::default());
    let except = Relation::union(vec![input(0, 1).distinct(), input(1, 1).distinct().negate()]).threshold();
    check("except", &except, &[1, 1], Lowering::default());
}

#[test]
fn accumulable_aggregates() {
    let aggregates = vec![
        aggregate(AggregateFunc::Count, 1, false),
        aggregate(AggregateFunc::Sum, 1, false),
        aggregate(AggregateFunc::Avg, 1, false),
        aggregate(AggregateFunc::StddevSamp, 1, false),
        aggregate(AggregateFunc::Count, 1, true),
        aggregate(AggregateFunc::Sum, 1, true),
    ];
    let grouped = input(0, 2).reduce(vec![column(0)], aggregates.clone());
    check("grouped", &grouped, &[2], Lowering::default());
    check("grouped, basic", &grouped, &[2], Lowering { all_basic: true, ..Lowering::default() });
    let global = input(0, 2).reduce(vec![], aggregates);
    check("global", &global, &[2], Lowering::default());
}

#[test]
fn hierarchical_aggregates_with_any_number_of_levels() {
    let aggregates = vec![
        aggregate(AggregateFunc::Min, 1, false),
        aggregate(AggregateFunc::Max, 1, false),
        aggregate(AggregateFunc::Max, 0, false),
    ];
    let relation = input(0, 2).reduce(vec![column(0)], aggregates);
    for levels in [0, 1, 3] {
        check("min max", &relation, &[2], Lowering { levels, ..Lowering::default() });
    }
}

#[test]
fn mixed_aggregates_are_collated_in_their_places() {
    let aggregates = vec![
        aggregate(AggregateFunc::Max, 1, false),
        aggregate(AggregateFunc::Count, 1, false),
        aggregate(AggregateFunc::Min, 1, false),
        aggregate(AggregateFunc::Sum, 1, true),
    ];
    let relation = input(0, 2).reduce(vec![call("int8_add", vec![column(0), literal(1)])], aggregates);
    check("collation", &relation, &[2], Lowering { levels: 1, ..Lowering::default() });
}

#[test]
fn a_failing_argument_leaves_its_row_out_and_is_reported() {
    let quotient = call("int8_div", vec![literal(10), column(1)]);
    let sum = Aggregate { func: AggregateFunc::Sum, expr: quotient, arg_type: ScalarType::Int8, distinct: false };
    check("argument", &input(0, 2).reduce(vec![column(0)], vec![sum]), &[2], Lowering::default());
}

#[test]
fn a_sum_outside_its_type_is_an_error() {
    let row = |key, value| Ok(Row::pack([Datum::Int(key), Datum::Int(value)]));
    let history = vec![(row(1, i64::MAX), 0, 1), (row(1, 5), 2, 1), (row(1, 5), 4, -1)];
    let sum = Aggregate { func: AggregateFunc::Sum, expr: column(1), arg_type: ScalarType::Int4, distinct: false };
    let relation = input(0, 2).reduce(vec![column(0)], vec![sum]);
    let histories = BTreeMap::from([(ShardId(0), history)]);
    check_histories("overflow", &relation, &[2], Lowering::default(), &histories, 1, false);
}

#[test]
fn top_k_with_any_number_of_levels() {
    for levels in [0, 2] {
        let lowering = Lowering { levels, ..Lowering::default() };
        check("by group", &input(0, 2).top_k(vec![0], vec![desc(1)], Some(2), 0), &[2], lowering);
        check("offset", &input(0, 2).top_k(vec![], vec![asc(1)], Some(3), 2), &[2], lowering);
        check("no limit", &input(0, 2).top_k(vec![1], vec![], None, 1), &[2], lowering);
    }
}

/// Histories without a retraction, of `arity` columns: the same rows again and again.
fn growing_history(seed: u64, arity: usize) -> BTreeMap<ShardId, Vec<crate::harness::Update>> {
    let rng = stdx::Rng::from_seed(seed);
    let mut history = crate::random_history(&rng, arity, 7);
    history.retain(|(_, _, count)| *count > 0);
    BTreeMap::from([(ShardId(0), history)])
}

#[test]
fn what_only_grows_needs_only_the_best() {
    let lowering = Lowering { monotonic: true, ..Lowering::default() };
    let extremes = vec![
        aggregate(AggregateFunc::Min, 1, false),
        aggregate(AggregateFunc::Max, 1, false),
        aggregate(AggregateFunc::Max, 0, false),
    ];
    let mixed = vec![extremes[1].clone(), aggregate(AggregateFunc::Count, 1, false), extremes[0].clone()];
    let first_nulls = ColumnOrder { column: 1, desc: false, nulls_last: false };
    let last_nulls = ColumnOrder { column: 1, desc: true, nulls_last: true };
    let relations = [
        input(0, 2).reduce(vec![column(0)], extremes.clone()),
        input(0, 2).reduce(vec![], extremes),
        input(0, 2).reduce(vec![column(0)], mixed),
        input(0, 2).top_k(vec![0], vec![desc(1)], Some(1), 0),
        input(0, 2).top_k(vec![], vec![asc(1)], Some(3), 2),
        input(0, 2).top_k(vec![], vec![first_nulls, desc(0)], Some(4), 0),
        input(0, 2).top_k(vec![1], vec![last_nulls], Some(2), 1),
        input(0, 2).top_k(vec![0], vec![], Some(2), 0),
    ];
    for (seed, (workers, compact)) in [(1, true), (2, false), (1, false)].into_iter().enumerate() {
        let histories = growing_history(seed as u64, 2);
        for relation in &relations {
            check_histories("growing", relation, &[2], lowering, &histories, workers, compact);
        }
    }
}

#[test]
fn a_retraction_from_what_only_grows_is_an_error() {
    let row = || Ok(Row::pack([Datum::Int(1), Datum::Int(7)]));
    let histories = BTreeMap::from([(ShardId(0), vec![(row(), 0, 2), (row(), 3, -1)])]);
    let max = input(0, 2).reduce(vec![column(0)], vec![aggregate(AggregateFunc::Max, 1, false)]);
    for relation in [max, input(0, 2).top_k(vec![], vec![asc(1)], Some(1), 0)] {
        let imports = vec![crate::shard_import(0, 2)];
        let lowering = Lowering { monotonic: true, ..Lowering::default() };
        let dataflow = crate::indexed_object(&relation, imports, lowering);
        let kinds = relation.kinds();
        let index = repr::CollectionId::User(101);
        let run = crate::harness::Run {
            workers: 1,
            dataflows: vec![dataflow],
            index,
            kinds,
            from: 2,
            until: 5,
            compact: false,
        };
        let answers: Vec<bool> = crate::harness::run(run, histories.clone())
            .into_iter()
            .map(|outcome| crate::answer(outcome).is_ok())
            .collect();
        assert_eq!(answers, [true, false, false]);
    }
}

#[test]
fn joins_of_two_and_three() {
    let two = Relation::join(vec![input(0, 2), input(1, 2)], vec![vec![column(0), column(2)]]);
    check("two", &two, &[2, 2], Lowering::default());
    let filtered = two.filter(vec![Scalar::compare("<", column(1), column(3), ScalarType::Int8)]).project(vec![3, 0]);
    check("two, filtered", &filtered, &[2, 2], Lowering::default());
    let sum = call("int8_add", vec![column(0), column(1)]);
    let three = Relation::join(
        vec![input(0, 2), input(1, 2), input(2, 1)],
        vec![vec![column(0), column(2)], vec![column(3), column(4)]],
    );
    for delta in [false, true] {
        check("three", &three, &[2, 2, 1], Lowering { delta, ..Lowering::default() });
    }
    let by_expression = Relation::join(vec![input(0, 2), input(1, 1)], vec![vec![sum, column(2)]]);
    check("by expression", &by_expression, &[2, 1], Lowering::default());
    check("product", &input(0, 1).product(input(1, 1)), &[1, 1], Lowering::default());
}

#[test]
fn a_join_of_a_collection_with_itself_shares_its_arrangement() {
    let id = LocalId(1);
    let typ = input(0, 2).typ();
    let get = || Relation::get_local(id, typ.clone());
    let body = Relation::join(vec![get(), get()], vec![vec![column(1), column(2)]]);
    let relation = input(0, 2).arrange_by(vec![vec![column(0)], vec![column(1)]]).let_in(id, body);
    check("self join", &relation, &[2], Lowering::default());
}

#[test]
fn flat_map_over_a_table_function() {
    let series = TableFunc::GenerateSeriesInt(ScalarType::Int8);
    let relation = input(0, 2).flat_map(series, vec![literal(0), column(1), literal(1)]);
    check("generate_series", &relation, &[2], Lowering::default());
}

#[test]
fn constants_are_complete_from_the_start() {
    let rows = Relation::constant([vec![Datum::Int(1)], vec![Datum::Int(2)], vec![Datum::Int(1)]], vec![crate::int8()]);
    check("constant", &rows, &[], Lowering::default());
    let both = Relation::union(vec![rows, input(0, 1)]);
    check("constant and input", &both, &[1], Lowering::default());
    let error = Relation::constant_error(EvalError::division_by_zero(), both.typ());
    check("error", &Relation::union(vec![error, both]), &[1], Lowering::default());
}

#[test]
fn temporal_filters_let_rows_come_and_go_by_time() {
    let to_time = |scalar: Scalar| {
        let cast =
            expr::cast::cast(scalar, &ScalarType::Int8, &ScalarType::MzTimestamp, expr::cast::CastContext::Explicit);
        cast.expect("int8 casts to mz_timestamp")
    };
    let until = Scalar::compare("<=", Scalar::MzNow, to_time(column(1)), ScalarType::MzTimestamp);
    let from = Scalar::compare(">=", Scalar::MzNow, to_time(column(0)), ScalarType::MzTimestamp);
    check("until", &input(0, 2).filter(vec![until.clone()]), &[2], Lowering::default());
    check("window", &input(0, 2).filter(vec![from.clone(), until.clone()]), &[2], Lowering::default());
    let outside = Scalar::And(vec![from.clone(), until.clone()]).not();
    check("outside", &input(0, 2).filter(vec![outside]), &[2], Lowering::default());
    let either = Scalar::Or(vec![
        from.not(),
        Scalar::And(vec![until.clone(), Scalar::compare("=", column(0), column(1), ScalarType::Int8)]),
    ]);
    check("either", &input(0, 2).filter(vec![either]), &[2], Lowering::default());
    let counted = input(0, 2).filter(vec![until]).reduce(vec![], vec![aggregate(AggregateFunc::Count, 0, false)]);
    check("counted", &counted, &[2], Lowering::default());
}

#[test]
fn windows_follow_their_partitions() {
    let frame = |start, end, exclude| WindowFrame { units: FrameUnits::Groups, start, end, exclude };
    let typ = ScalarType::Int8.nullable();
    let call = |func, frame| WindowCall { func, frame, typ: typ.clone() };
    let sum = |func| WindowFunc::Aggregate { func, argument: 1 };
    let calls = vec![
        call(WindowFunc::RowNumber, WindowFrame::default()),
        call(WindowFunc::Rank, WindowFrame::default()),
        call(WindowFunc::LastValue { value: 0, ignore_nulls: false }, WindowFrame::default()),
        call(sum(AggregateFunc::Count), frame(FrameBound::Preceding(1), FrameBound::Following(1), Exclude::Ties)),
        call(sum(AggregateFunc::Max), frame(FrameBound::Preceding(1), FrameBound::CurrentRow, Exclude::Nothing)),
    ];
    let window = Window { order_by: vec![desc(1)], kept: 2, calls };
    let field = (String::new(), ScalarType::Int8.nullable());
    let arg_type = ScalarType::Record(vec![field.clone(), field]);
    let columns = window.columns(&arg_type);
    let record = expr::func::by_key("row").expect("the table has it");
    let expr = Scalar::call(record, vec![column(0), column(1)], vec![ScalarType::Int8; 2], arg_type.clone());
    let func = AggregateFunc::Window(Box::new(window));
    let listed = input(0, 2).reduce(vec![column(0)], vec![Aggregate { func, expr, arg_type, distinct: false }]);
    let relation =
        listed.flat_map(TableFunc::UnnestRecords(columns), vec![column(1)]).project(vec![2, 3, 4, 5, 6, 7, 8]);
    check("window", &relation, &[2], Lowering::default());
}
