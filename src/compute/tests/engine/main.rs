//! The engine as a controller sees it. Rendered plans are checked against the naive interpreter: random update histories, one
//! worker and two, every time read. Commands, peeks and subscriptions are checked on one worker, step by step.

mod channel;
mod commands;
mod delta;
mod drops;
mod harness;
mod lower;
mod merging;
mod operators;
mod peeks;
mod recursion;
mod sharing;
mod single;
mod subscriptions;

use std::collections::BTreeMap;

use expr::interpret::{Collection, interpret};
use expr::{EvalError, Relation, Scalar};
use protocol::dataflow::{Dataflow, Export, Import, Object};
use protocol::peek::PeekOutcome;
use repr::{CollectionId, ColumnType, Datum, Diff, Kind, RelationType, Row, ScalarType, ShardId, Timestamp};
use stdx::Rng;

use self::harness::{Run, Update, run};
use self::lower::Lowering;

/// Times in each history.
const TIMES: u64 = 9;

pub(crate) fn column(index: usize) -> Scalar {
    Scalar::Column(index)
}

pub(crate) fn int8() -> ColumnType {
    ScalarType::Int8.nullable()
}

/// A call of the function of this key, over int8 arguments.
pub(crate) fn call(key: &str, args: Vec<Scalar>) -> Scalar {
    let func = expr::func::by_key(key).unwrap_or_else(|| panic!("no function {key}"));
    let types = vec![ScalarType::Int8; args.len()];
    Scalar::call(func, args, types, ScalarType::Int8)
}

pub(crate) fn literal(value: i64) -> Scalar {
    Scalar::literal(Datum::Int(value), ScalarType::Int8)
}

/// The stored collection number `index`, of `arity` columns of int8.
pub(crate) fn input(index: u64, arity: usize) -> Relation {
    Relation::get_global(CollectionId::User(index), RelationType::new(vec![int8(); arity]))
}

pub(crate) fn shard_import(index: u64, arity: usize) -> Import {
    Import::Shard { id: CollectionId::User(index), shard: ShardId(index), kinds: vec![Kind::Int; arity] }
}

/// A history of `arity` columns of small integers and NULLs, in which nothing occurs fewer than zero times.
pub(crate) fn random_history(rng: &Rng, arity: usize, values: u64) -> Vec<Update> {
    let mut present: Vec<Row> = Vec::new();
    let mut updates = Vec::new();
    for time in 0..TIMES {
        for _ in 0..rng.below(6) {
            if !present.is_empty() && rng.below(3) == 0 {
                let index = rng.below(present.len() as u64) as usize;
                updates.push((Ok(present.swap_remove(index)), time, -1));
            } else {
                let datum = |_| match rng.below(values + 1) {
                    0 => Datum::Null,
                    value => Datum::Int(value as i64 - 2),
                };
                let row = Row::pack((0..arity).map(datum));
                present.push(row.clone());
                updates.push((Ok(row), time, 1));
            }
        }
    }
    updates
}

/// What a history has come to at a time.
pub(crate) fn contents(history: &[Update], at: u64) -> Collection {
    let mut collection = Collection::new();
    for (datum, time, diff) in history {
        if *time <= at {
            match datum {
                Ok(row) => collection.add_row(row.clone(), Diff::new(*diff)),
                Err(error) => collection.add_error(error.clone(), Diff::new(*diff)),
            }
        }
    }
    collection
}

/// A read's answer, rows with their counts.
pub(crate) type Answer = Result<BTreeMap<Row, Diff>, EvalError>;

pub(crate) fn answer(outcome: PeekOutcome) -> Answer {
    match outcome {
        PeekOutcome::Rows(rows) => Ok(rows.into_iter().collect()),
        PeekOutcome::Error(error) => Err(error),
        PeekOutcome::Canceled => panic!("nobody canceled the peek"),
    }
}

/// What a read at `at` should give.
pub(crate) fn expected(relation: &Relation, histories: &BTreeMap<ShardId, Vec<Update>>, at: u64) -> Answer {
    let env = histories.iter().map(|(shard, history)| (CollectionId::User(shard.0), contents(history, at))).collect();
    let mut relation = relation.clone();
    relation.bind_mz_now(Timestamp::new(at));
    interpret(&relation, &env).into_result()
}

/// A dataflow that reads shards and exports one object, indexed by its first column.
pub(crate) fn indexed_object(relation: &Relation, imports: Vec<Import>, lowering: Lowering) -> Dataflow {
    let kinds = relation.kinds();
    let key = kinds.first().map(|_| column(0)).into_iter().collect();
    Dataflow {
        name: "test".to_owned(),
        imports,
        objects: vec![Object { id: CollectionId::User(100), plan: lowering.lower(relation) }],
        exports: vec![Export::Index { index: CollectionId::User(101), on: CollectionId::User(100), key, kinds }],
        as_of: Timestamp::MIN,
        until: None,
    }
}

/// Checks a relation over `inputs` of the arities given, for several histories and numbers of workers.
pub(crate) fn check(name: &str, relation: &Relation, arities: &[usize], lowering: Lowering) {
    for (seed, workers, compact) in [(0, 1, true), (1, 2, false)] {
        let rng = Rng::from_seed(seed);
        let histories: BTreeMap<ShardId, Vec<Update>> = arities
            .iter()
            .enumerate()
            .map(|(index, arity)| (ShardId(index as u64), random_history(&rng, *arity, 5)))
            .collect();
        let name = format!("{name}, seed {seed}");
        check_histories(&name, relation, arities, lowering, &histories, workers, compact);
    }
}

/// Checks a relation over given histories.
pub(crate) fn check_histories(
    name: &str,
    relation: &Relation,
    arities: &[usize],
    lowering: Lowering,
    histories: &BTreeMap<ShardId, Vec<Update>>,
    workers: usize,
    compact: bool,
) {
    let imports = (0..arities.len()).map(|index| shard_import(index as u64, arities[index])).collect();
    let run_it = Run {
        workers,
        dataflows: vec![indexed_object(relation, imports, lowering)],
        index: CollectionId::User(101),
        kinds: relation.kinds(),
        from: 0,
        until: TIMES,
        compact,
    };
    for (at, outcome) in run(run_it, histories.clone()).into_iter().enumerate() {
        let expected = expected(relation, histories, at as u64);
        assert_eq!(answer(outcome), expected, "{name}, {workers} workers, {lowering:?}, time {at}");
    }
}
