//! The buffer against a plain map.

use std::collections::BTreeMap;

use stdx::Rng;

use super::*;
use crate::tests::{row, update};

#[test]
fn due_corrections_are_those_of_a_plain_map() {
    for seed in 0..50 {
        let rng = Rng::from_seed(seed);
        let mut correction = Correction::default();
        let mut model: BTreeMap<(u64, i64), i64> = BTreeMap::new();
        let mut lower = 0;
        for _ in 0..200 {
            let count = if rng.below(20) == 0 { 10_000 } else { rng.below(40) };
            let updates: Vec<_> = (0..count)
                .map(|_| update(rng.below(50) as i64, lower + rng.below(30), rng.below(5) as i64 - 2))
                .collect();
            let persisted = rng.below(2) == 0;
            for (row, time, diff) in &updates {
                let number = row.unpack_first(repr::Kind::Int).unwrap_int();
                let diff = if persisted { -diff.get() } else { diff.get() };
                *model.entry((time.micros(), number)).or_default() += diff;
            }
            if persisted {
                correction.persist(updates)
            } else {
                correction.desire(updates)
            }
            if rng.below(4) == 0 {
                let upper = lower + 1 + rng.below(10);
                check(&mut correction, &mut model, lower, upper, seed);
                lower = upper;
            }
        }
    }
}

fn check(correction: &mut Correction, model: &mut BTreeMap<(u64, i64), i64>, lower: u64, upper: u64, seed: u64) {
    let mut expected: BTreeMap<(u64, i64), i64> = BTreeMap::new();
    for ((time, number), diff) in std::mem::take(model) {
        let time = if time < upper { time.max(lower) } else { time };
        *expected.entry((time, number)).or_default() += diff;
    }
    expected.retain(|_, diff| *diff != 0);
    model.clone_from(&expected);
    let due = correction.due(Timestamp::new(lower), Timestamp::new(upper));
    assert!(due.windows(2).all(|pair| pair[0].1 <= pair[1].1), "times ascend");
    let due: BTreeMap<_, _> = due
        .into_iter()
        .map(|(row, time, diff)| ((time.micros(), row.unpack_first(repr::Kind::Int).unwrap_int()), diff.get()))
        .collect();
    expected.retain(|(time, _), _| *time < upper);
    assert_eq!(due, expected, "seed {seed}");
}

#[test]
fn what_was_written_and_came_back_takes_no_room() {
    let mut correction = Correction::default();
    for time in 0..1000 {
        correction.desire([(row(1), Timestamp::new(time), Diff::ONE)]);
        let written = correction.due(Timestamp::new(time), Timestamp::new(time + 1));
        assert_eq!(written.len(), 1);
        correction.persist(written);
    }
    assert!(correction.due(Timestamp::new(1000), Timestamp::new(1001)).is_empty());
    assert_eq!(correction.len(), 0);
}
