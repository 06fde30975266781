//! Many runs of the whole product, each from its own seed.
//!
//! `FRESHET_SIM_SEEDS` sets how many (30 by default) and `FRESHET_SIM_FIRST` from which on; `FRESHET_TEST_SEED` replays one
//! and shows its log, and with `FRESHET_SIM_TRACE` writes its every step to a file.

use sim_test::world::{Run, Summary, World};

const SEEDS: u64 = 30;
/// Each run has one thread; so many go on beside each other.
const THREADS: usize = 2;

/// Names the seed of a run that panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {0}; replay with FRESHET_TEST_SEED={0}", self.0);
        }
    }
}

fn simulate(seed: u64, recorded: bool) -> Run {
    let _named = Seed(seed);
    let world = World::new(seed);
    if recorded {
        world.record();
    }
    let run = world.run();
    println!("seed {seed}: {:?}, digest {:016x}", run.summary, run.digest);
    run
}

#[allow(clippy::disallowed_methods, reason = "a test has no flags")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn number(name: &str) -> Option<u64> {
    let text = setting(name)?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Runs one seed aloud.
fn replay(seed: u64) {
    tracing_subscriber::fmt().with_test_writer().without_time().init();
    let trace = setting("FRESHET_SIM_TRACE");
    let run = simulate(seed, trace.is_some());
    if let Some(file) = trace {
        let lines: Vec<String> = run.events.iter().map(|event| format!("{event}\n")).collect();
        std::fs::write(&file, lines.concat()).expect("the trace can be written");
    }
}

#[test]
fn clients_are_told_the_truth_through_crashes() {
    if let Some(seed) = number("FRESHET_TEST_SEED") {
        replay(seed);
        return;
    }
    let first = number("FRESHET_SIM_FIRST").unwrap_or(0);
    let seeds = number("FRESHET_SIM_SEEDS").unwrap_or(SEEDS);
    let runs = move |thread: u64| {
        let mut total = Summary::default();
        (first + thread..first + seeds).step_by(THREADS).for_each(|seed| total.add(&simulate(seed, false).summary));
        total
    };
    let spawn = |thread| stdx::tasks::spawn_thread("simulation", move || runs(thread)).expect("a thread starts");
    let threads: Vec<_> = (0..THREADS as u64).map(spawn).collect();
    let mut total = Summary::default();
    for thread in threads {
        total.add(&thread.join().expect("all runs end well"));
    }
    println!("{seeds} seeds: {total:?}");
    if seeds >= SEEDS {
        check_coverage(&total, seeds);
    }
}

/// Panics unless the runs have tried everything, several times each on average.
fn check_coverage(total: &Summary, seeds: u64) {
    let least = |count: usize, per_seed: u64| count as u64 >= per_seed * seeds;
    assert!(least(total.acknowledged, 50) && least(total.reads, 50), "little was done: {total:?}");
    assert!(least(total.tick_reads, 5) && least(total.canceled, 1), "little was read: {total:?}");
    assert!(least(total.ddl, 20) && least(total.looked_for, 5) && least(total.compared, 5), "little DDL: {total:?}");
    assert!(total.environment_crashes >= seeds && total.replica_crashes >= seeds, "few crashes: {total:?}");
    assert!(total.partitions >= seeds && total.resets >= seeds, "few partitions: {total:?}");
    assert!(total.clock_jumps * 4 >= seeds && total.takeovers * 4 >= seeds, "little went wrong: {total:?}");
    assert!(least(total.resized, 1), "hardly a cluster was given other replicas: {total:?}");
    assert!(total.races * 4 >= seeds, "few races: {total:?}");
}

#[test]
fn one_seed_is_one_run() {
    let seeds = number("FRESHET_TEST_SEED").map_or(100..103, |seed| seed..seed + 1);
    for seed in seeds {
        let (first, second) = (simulate(seed, true), simulate(seed, true));
        let differs = first.events.iter().zip(&second.events).position(|(first, second)| first != second);
        if let Some(at) = differs {
            let around = |run: &Run| {
                let events = &run.events[at.saturating_sub(20)..run.events.len().min(at + 5)];
                events.iter().map(|event| format!("{event}\n")).collect::<String>()
            };
            panic!("seed {seed} differs at step {at}:\n{}\nand:\n{}", around(&first), around(&second));
        }
        assert_eq!(first.events.len(), second.events.len(), "seed {seed}: one run goes on");
        assert_eq!((first.digest, first.summary), (second.digest, second.summary), "seed {seed}");
    }
}
