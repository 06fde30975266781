//! Many runs of the whole product, each from its own seed.
//!
//! `FRESHET_SIM_SEEDS` sets how many (30 by default), `FRESHET_TEST_SEED` replays one and shows its log.

use sim_test::world::{Summary, World};

const SEEDS: u64 = 30;

/// Names the seed of a run that panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {0}; replay with FRESHET_TEST_SEED={0}", self.0);
        }
    }
}

fn simulate(seed: u64) -> Summary {
    let _named = Seed(seed);
    let summary = World::new(seed).run();
    println!("seed {seed}: {summary:?}");
    summary
}

#[allow(clippy::disallowed_methods, reason = "a test has no flags")]
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[test]
fn clients_are_told_the_truth_through_crashes() {
    if let Some(seed) = setting("FRESHET_TEST_SEED") {
        tracing_subscriber::fmt().with_test_writer().without_time().init();
        simulate(seed);
        return;
    }
    let mut total = Summary::default();
    let seeds = setting("FRESHET_SIM_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        total.add(&simulate(seed));
    }
    println!("{seeds} seeds: {total:?}");
    let least = |count: usize, per_seed: u64| count as u64 >= per_seed * seeds;
    assert!(least(total.acknowledged, 50) && least(total.reads, 50), "little was done: {total:?}");
    assert!(total.environment_crashes >= seeds && total.replica_crashes >= seeds, "little went wrong: {total:?}");
}
