//! Accumulators are a group: what is added can be taken back, in any order and grouping.

use repr::numeric::Numeric;
use repr::{Arena, Datum, Diff, ScalarType};

use super::*;

/// A small generator of pseudo-random numbers, seeded so that failures repeat.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn sample<'a>(random: &mut Random, typ: &ScalarType, arena: &'a Arena) -> Datum<'a> {
    if random.next(6) == 0 {
        return Datum::Null;
    }
    let number = random.next(2000) as i64 - 1000;
    match typ {
        ScalarType::Bool => Datum::Bool(number % 2 == 0),
        ScalarType::Float8 => {
            let exotic = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 5e-324, 0.1];
            match random.next(4) {
                0 => Datum::float8(exotic[random.next(6) as usize]),
                _ => Datum::float8(number as f64 / 7.0),
            }
        }
        ScalarType::Numeric(_) => {
            let text = format!("{number}.{:03}e{}", random.next(1000), random.next(40) as i64 - 20);
            let number = if random.next(10) == 0 { Numeric::NAN } else { Numeric::parse(&text).expect("a number") };
            Datum::Numeric(number.pack(arena))
        }
        ScalarType::Interval(_) => Datum::Interval(Interval {
            months: number as i32,
            days: random.next(1000) as i32,
            micros: number * 1_000_003,
        }),
        _ => Datum::Int(number * 1_000_000_007),
    }
}

/// The accumulable aggregates and a type of argument for each.
fn cases() -> Vec<(AggregateFunc, ScalarType)> {
    let mut cases = vec![
        (AggregateFunc::Count, ScalarType::Int8),
        (AggregateFunc::BoolAnd, ScalarType::Bool),
        (AggregateFunc::AnyThree, ScalarType::Bool),
        (AggregateFunc::Sum, ScalarType::Interval(None)),
    ];
    for func in [AggregateFunc::Sum, AggregateFunc::Avg, AggregateFunc::VarSamp, AggregateFunc::StddevPop] {
        for typ in [ScalarType::Int8, ScalarType::Float8, ScalarType::Numeric(None)] {
            cases.push((func.clone(), typ));
        }
    }
    cases
}

#[test]
fn order_and_grouping_do_not_matter() {
    for (func, typ) in cases() {
        for seed in 0..20 {
            let mut random = Random(seed);
            let arena = Arena::new();
            let parts: Vec<_> = (0..30)
                .map(|_| {
                    let mut part = Accumulator::from_datum(&func, &typ, sample(&mut random, &typ, &arena));
                    part.times(Diff::new(random.next(7) as i64 - 3));
                    part
                })
                .collect();
            let add_all = |parts: &[Accumulator]| {
                let mut total = Accumulator::zero(&func, &typ);
                parts.iter().for_each(|part| total.plus_equals(part));
                total
            };
            let mut shuffled = parts.clone();
            for index in (1..shuffled.len()).rev() {
                shuffled.swap(index, random.next(index as u64 + 1) as usize);
            }
            let total = add_all(&parts);
            assert_eq!(total, add_all(&shuffled), "{func:?} of {typ:?}, seed {seed}");
            let mut halves = add_all(&parts[..11]);
            halves.plus_equals(&add_all(&parts[11..]));
            assert_eq!(total, halves, "{func:?} of {typ:?}, seed {seed}");
            let mut back = total.clone();
            back.times(Diff::MINUS_ONE);
            back.plus_equals(&total);
            assert!(back.is_zero(), "{func:?} of {typ:?}, seed {seed}: {back:?}");
            let mut nothing = total;
            nothing.times(Diff::ZERO);
            assert!(nothing.is_zero());
        }
    }
}

#[test]
fn integer_averages_agree_with_plain_arithmetic() {
    for seed in 0..50 {
        let mut random = Random(seed);
        let arena = Arena::new();
        let values: Vec<i64> = (0..1 + random.next(10)).map(|_| random.next(1000) as i64 - 500).collect();
        let func = AggregateFunc::Sum;
        let mut total = Accumulator::zero(&func, &ScalarType::Int4);
        for value in &values {
            total.plus_equals(&Accumulator::from_datum(&func, &ScalarType::Int4, Datum::Int(*value)));
        }
        let sum = total.finish(&func, &ScalarType::Int4, &arena).expect("a sum");
        assert_eq!(sum, Datum::Int(values.iter().sum()), "seed {seed}");
    }
}

#[test]
fn taking_away_too_much_is_an_error() {
    let arena = Arena::new();
    for (func, typ) in cases() {
        let mut part = Accumulator::from_datum(&func, &typ, sample(&mut Random(3), &typ, &arena));
        if part.is_zero() {
            continue;
        }
        part.times(Diff::MINUS_ONE);
        let error = part.finish(&func, &typ, &arena).expect_err("a negative count");
        assert_eq!(error.code(), "XX001", "{func:?} of {typ:?}");
    }
}
