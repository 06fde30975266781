//! Tests of MFPs: composition, which rows fail, temporal filters.

use repr::{Arena, Datum, Diff, Kind, Row, ScalarType, Timestamp};

use super::*;
use crate::error::EvalError;
use crate::func;

fn int(value: i64) -> Scalar {
    Scalar::literal(Datum::Int(value), ScalarType::Int8)
}

fn column(index: usize) -> Scalar {
    Scalar::Column(index)
}

fn call(key: &str, left: Scalar, right: Scalar) -> Scalar {
    let func = func::by_key(key).expect("a function");
    Scalar::call(func, vec![left, right], vec![ScalarType::Int8; 2], ScalarType::Int8)
}

fn compare(symbol: &str, left: Scalar, right: Scalar) -> Scalar {
    Scalar::compare(symbol, left, right, ScalarType::Int8)
}

fn run(mfp: &Mfp, input: &[i64]) -> Result<Option<Vec<i64>>, EvalError> {
    let plan = MfpPlan::new(mfp.clone()).expect("not temporal");
    let packed = Row::pack(input.iter().map(|value| Datum::Int(*value)));
    let (arena, mut out) = (Arena::new(), Row::default());
    let mut datums = Vec::new();
    plan.unpack_demanded(packed.as_bytes(), &mut datums);
    datums.resize(input.len(), Datum::Null);
    let kept = plan.evaluate(&mut datums, &arena, &mut out);
    // Unprepared, the answer must be the same.
    let mut datums: Vec<_> = input.iter().map(|value| Datum::Int(*value)).collect();
    let mut unprepared = Row::default();
    assert_eq!(mfp.evaluate(&mut datums, &arena, &mut unprepared), kept);
    let unpack = |row: &Row| row.unpack(&vec![Kind::Int; mfp.arity()]).into_iter().map(Datum::unwrap_int).collect();
    Ok(kept?.then(|| unpack(&out)))
}

#[test]
fn composition_renumbers_columns() {
    let mfp = Mfp::identity(vec![Kind::Int; 3])
        .project([2, 0])
        .map([call("int8_add", column(0), column(1))])
        .filter([compare(">", column(2), int(10))])
        .project([2, 1]);
    assert_eq!(run(&mfp, &[3, 100, 8]), Ok(Some(vec![11, 3])));
    assert_eq!(run(&mfp, &[2, 100, 8]), Ok(None));
    let then = mfp.then(Mfp::identity(vec![Kind::Int; 2]).map([call("int8_mul", column(0), column(1))]));
    assert_eq!(run(&then, &[3, 0, 8]), Ok(Some(vec![11, 3, 33])));
}

#[test]
fn a_row_fails_only_if_no_predicate_drops_it() {
    let quotient = call("int8_div", int(12), column(0));
    let mfp = Mfp::identity(vec![Kind::Int; 2])
        .map([quotient])
        .filter([compare(">", column(2), int(3)), compare("=", column(1), int(1))]);
    assert_eq!(run(&mfp, &[0, 0]), Ok(None), "the second predicate is false");
    assert_eq!(run(&mfp, &[0, 1]), Err(EvalError::division_by_zero()));
    assert_eq!(run(&mfp, &[2, 1]), Ok(Some(vec![2, 1, 6])));
}

#[test]
fn an_expression_fails_only_where_it_is_used() {
    let guarded = Scalar::If {
        cond: Box::new(compare("=", column(0), int(0))),
        then: Box::new(int(0)),
        els: Box::new(column(1)),
    };
    let mfp = Mfp::identity(vec![Kind::Int]).map([call("int8_div", int(12), column(0))]).map([guarded]).project([2]);
    assert_eq!(run(&mfp, &[0]), Ok(Some(vec![0])), "the quotient stands in the branch not taken");
    assert_eq!(run(&mfp, &[3]), Ok(Some(vec![4])));
    let undemanded = Mfp::identity(vec![Kind::Int]).map([call("int8_div", int(12), column(0))]).project([0]);
    assert_eq!(run(&undemanded, &[0]), Ok(Some(vec![0])));
}

#[test]
fn optimization_drops_what_is_repeated_or_unused() {
    let sum = || call("int8_add", column(0), column(1));
    let mut mfp = Mfp::identity(vec![Kind::Int; 2])
        .map([sum(), sum(), call("int8_mul", column(2), column(3)), call("int8_sub", column(0), column(0))])
        .filter([Scalar::And(vec![compare("<", column(4), int(5)), Scalar::literal_true()])])
        .filter([compare("<", column(4), int(5))])
        .project([3, 4]);
    mfp.optimize();
    assert_eq!(mfp.expressions, [sum(), call("int8_mul", column(2), column(2))]);
    assert_eq!(mfp.predicates, [compare("<", column(3), int(5))]);
    assert_eq!(mfp.projection, [2, 3]);
}

#[test]
fn only_needed_columns_are_decoded() {
    let mfp = Mfp::identity(vec![Kind::Int; 5]).filter([compare("=", column(1), int(1))]).project([3]);
    let plan = MfpPlan::new(mfp).expect("not temporal");
    assert_eq!(plan.demanded_inputs().collect::<Vec<_>>(), [1, 3]);
    let row = Row::pack((0..5).map(Datum::Int));
    let mut datums = Vec::new();
    plan.unpack_demanded(row.as_bytes(), &mut datums);
    assert_eq!(datums, [Datum::Null, Datum::Int(1), Datum::Null, Datum::Int(3)]);
}

fn now(symbol: &str, bound: Scalar) -> Scalar {
    let func = func::by_key("cast_assignment").expect("a cast");
    let bound = Scalar::call(func, vec![bound], vec![ScalarType::Int8], ScalarType::MzTimestamp);
    Scalar::compare(symbol, Scalar::MzNow, bound, ScalarType::MzTimestamp)
}

/// The updates of an insertion at time 100 of a row of two columns.
fn updates(predicates: Vec<Scalar>, input: [Datum<'_>; 2]) -> Vec<(Result<usize, String>, u64, i64)> {
    let mfp = Mfp::identity(vec![Kind::Int; 2]).filter(predicates);
    let plan = MfpPlan::new(mfp).expect("bounds");
    let arena = Arena::new();
    let mut datums = input.to_vec();
    plan.evaluate_temporal(&mut datums, &arena, Timestamp::from_millis(100), Diff::new(2))
        .into_iter()
        .map(|(row, time, diff)| {
            (row.map(|row| row.len_bytes()).map_err(|error| error.message), time.millis(), diff.get())
        })
        .collect()
}

#[test]
fn bounds_give_rows_a_lifetime() {
    let (a, b) = (Datum::Int(150), Datum::Int(200));
    let row = Row::pack([a, b]).len_bytes();
    let between = || vec![now(">=", column(0)), now("<=", column(1))];
    assert_eq!(updates(between(), [a, b]), [(Ok(row), 150, 2), (Ok(row), 201, -2)]);
    assert_eq!(updates(between(), [b, a]), []);
    assert_eq!(updates(vec![now("<", column(0))], [a, b]), [(Ok(row), 100, 2), (Ok(row), 150, -2)]);
    assert_eq!(updates(vec![now(">", column(0))], [a, b]), [(Ok(row), 151, 2)]);
    assert_eq!(updates(vec![now("=", column(0))], [a, b]), [(Ok(row), 150, 2), (Ok(row), 151, -2)]);
    assert_eq!(updates(vec![now("<", column(0))], [Datum::Int(100), b]), [], "it ends when it begins");
}

#[test]
fn bounds_are_clamped_and_null_drops_the_row() {
    let low = Datum::Int(-5);
    let row = Row::pack([low, Datum::Int(1)]).len_bytes();
    assert_eq!(updates(vec![now(">=", column(0))], [low, Datum::Int(1)]), [(Ok(row), 100, 2)]);
    assert_eq!(updates(vec![now("<=", column(0))], [low, Datum::Int(1)]), []);
    assert_eq!(updates(vec![now(">=", column(0))], [Datum::Null, Datum::Int(1)]), []);
}

#[test]
fn errors_live_as_long_as_their_rows_would() {
    let bad = compare("=", call("int8_div", int(1), column(1)), int(1));
    let predicates = vec![now(">=", column(0)), now("<", int(300)), bad];
    let error = Err("division by zero".to_owned());
    let expected = [(error.clone(), 150, 2), (error, 300, -2)];
    assert_eq!(updates(predicates, [Datum::Int(150), Datum::Int(0)]), expected);
}

#[test]
fn alternatives_give_rows_several_lives() {
    let (a, b) = (Datum::Int(150), Datum::Int(200));
    let row = Row::pack([a, b]).len_bytes();
    let outside = || vec![Scalar::Or(vec![now("<", column(0)), now(">", column(1))])];
    assert_eq!(updates(outside(), [a, b]), [(Ok(row), 100, 2), (Ok(row), 150, -2), (Ok(row), 201, 2)]);
    assert_eq!(updates(outside(), [b, a]), [(Ok(row), 100, 2)], "the spans overlap");
    let not_then = vec![now("<>", column(0))];
    assert_eq!(updates(not_then, [a, b]), [(Ok(row), 100, 2), (Ok(row), 150, -2), (Ok(row), 151, 2)]);
    let not_within = vec![Scalar::And(vec![now(">=", column(0)), now("<", column(1))]).not(), now("<", int(300))];
    let lives = [(Ok(row), 100, 2), (Ok(row), 150, -2), (Ok(row), 200, 2), (Ok(row), 300, -2)];
    assert_eq!(updates(not_within, [a, b]), lives);
    let or_plain = vec![Scalar::Or(vec![now("<", column(0)), compare("=", column(1), int(200))])];
    assert_eq!(updates(or_plain.clone(), [a, b]), [(Ok(row), 100, 2)]);
    assert_eq!(updates(or_plain, [a, a]), [(Ok(row), 100, 2), (Ok(row), 150, -2)]);
}

#[test]
fn an_unknown_bound_is_neither_true_nor_false() {
    let b = Datum::Int(200);
    let row = Row::pack([Datum::Null, b]).len_bytes();
    assert_eq!(updates(vec![now("<", column(0)).not()], [Datum::Null, b]), []);
    let either = vec![Scalar::Or(vec![now("<", column(0)), now(">=", column(1))])];
    assert_eq!(updates(either, [Datum::Null, b]), [(Ok(row), 200, 2)]);
    let neither = vec![Scalar::Or(vec![now("<", column(0)), now("<", column(1))]).not()];
    assert_eq!(updates(neither, [Datum::Null, b]), []);
}

#[test]
fn other_uses_of_mz_now_are_refused() {
    let refused = |predicate: Scalar| {
        let mfp = Mfp::identity(vec![Kind::Int; 2]).filter([predicate]);
        MfpPlan::new(mfp).expect_err("not a bound").code().to_owned()
    };
    assert_eq!(refused(Scalar::IsNull(Box::new(now("<", column(0))))), "0A000");
    assert_eq!(refused(Scalar::Or(vec![Scalar::Coalesce(vec![now("<", column(0))]), now("<", column(1))])), "0A000");
    let itself = Scalar::compare("<", Scalar::MzNow, Scalar::MzNow, ScalarType::MzTimestamp);
    assert_eq!(refused(itself), "0A000");
}

#[test]
fn bounds_drop_only_rows_that_the_filter_drops() {
    let seed = 8;
    println!("seed {seed}");
    let rng = stdx::Rng::from_seed(seed);
    let mut dropped = 0;
    for _ in 0..4000 {
        let mfp = Mfp::identity(vec![Kind::Int; 3]).filter((0..1 + rng.below(3)).map(|_| random_predicate(&rng, 2)));
        let sum = call("int8_add", column(0), column(1));
        let key = [column(2), sum, column(0)];
        let bounds = [mfp.bounds(), mfp.bounds_on(&key)];
        for _ in 0..10 {
            let some = |_| if rng.below(8) == 0 { Datum::Null } else { Datum::Int(rng.below(12) as i64 - 4) };
            let row: Vec<Datum<'_>> = (0..3).map(some).collect();
            let arena = Arena::new();
            let keys: Vec<Datum<'_>> = key.iter().map(|key| key.eval(&row, &arena).expect("small numbers")).collect();
            let is_outside = |bounds: &repr::Bounds, values: &[Datum<'_>]| {
                bounds.iter().any(|(place, wanted)| match values[place] {
                    Datum::Null => !wanted.nulls,
                    value => {
                        let packed = Row::pack_one(value);
                        let overlaps =
                            |range: &repr::ByteRange| range.overlaps(packed.as_bytes(), Some(packed.as_bytes()));
                        !wanted.ranges.iter().any(overlaps)
                    }
                })
            };
            if is_outside(&bounds[0], &row) || is_outside(&bounds[1], &keys) {
                dropped += 1;
                let mut datums = row.clone();
                let kept = mfp.evaluate(&mut datums, &arena, &mut Row::default());
                assert_eq!(kept, Ok(false), "{:?} of {row:?}", mfp.predicates);
            }
        }
    }
    assert!(dropped > 4000, "only {dropped} rows were outside: the test shows little");
}

/// Some can fail, some are on two columns, and some are not on bounds at all.
fn random_predicate(rng: &stdx::Rng, depth: u64) -> Scalar {
    let some = |count: u64| column(usize::try_from(rng.below(count)).expect("small"));
    let literal = || int(rng.below(8) as i64 - 2);
    let symbol = ["=", "<>", "<", "<=", ">", ">="][usize::try_from(rng.below(6)).expect("small")];
    match rng.below(if depth == 0 { 4 } else { 7 }) {
        0 => compare(symbol, some(3), literal()),
        1 => compare(symbol, literal(), some(3)),
        2 => compare("<", call("int8_div", literal(), some(3)), int(2)),
        3 if rng.below(3) == 0 => Scalar::IsNull(Box::new(some(3))).not(),
        3 if rng.below(2) == 0 => compare(symbol, call("int8_add", column(0), column(1)), literal()),
        3 => compare("<", some(3), some(3)),
        4 => Scalar::And((0..2).map(|_| random_predicate(rng, depth - 1)).collect()),
        _ => Scalar::Or((0..2).map(|_| random_predicate(rng, depth - 1)).collect()),
    }
}

#[test]
fn bounds_are_what_the_predicates_say() {
    use repr::{Bounds, ColumnBounds};
    let packed = |value: i64| Row::pack_one(Datum::Int(value));
    let mfp = |predicates: Vec<Scalar>| Mfp::identity(vec![Kind::Int; 2]).filter(predicates).bounds();
    let five = packed(5);
    let equal = Bounds::on(1, ColumnBounds::range(Some(five.as_bytes()), Some(five.as_bytes())));
    assert_eq!(mfp(vec![compare("=", column(1), int(5))]), equal);
    assert_eq!(mfp(vec![compare(">=", column(1), int(5)), compare(">=", int(5), column(1))]), equal);
    assert_eq!(mfp(vec![Scalar::IsNull(Box::new(column(0)))]), Bounds::on(0, ColumnBounds::null()));
    let null = Scalar::null(ScalarType::Int8);
    assert_eq!(mfp(vec![compare("=", column(0), null)]), Bounds::on(0, ColumnBounds::default()));
    let either = Scalar::Or(vec![compare("=", column(1), int(5)), compare("=", column(0), int(5))]);
    assert!(mfp(vec![either]).is_everything());
    assert!(mfp(vec![compare("<", column(0), column(1))]).is_everything());
}
