//! Leaders on bad networks and bad disks against a naive model, on one thread from one seed.
//!
//! Each seed draws its own faults and runs a few environmentds after and beside one another, with clients that append,
//! commit, read, subscribe, make and drop shards. After every answered read, and at the end from each kept checkpoint, the
//! contents must be what the model says: acknowledged writes exactly once, refused ones never, unknown ones whole or not at
//! all, and nothing written below a time that was read.
//!
//! `FRESHET_TEST_SEEDS` sets the number of seeds, `FRESHET_TEST_SEED` the first of them.

mod model;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::clients::{Client, Kind, Try, repeat, subscribe};
use model::history::Told;
use model::sabotage::Rule;
use model::world::{SOLOS, TABLES, World};
use parking_lot::Mutex;
use persist::{Commit, CreateShard, GroupId, Leader, LeaderHandle};
use repr::Timestamp;
use stdx::sim::{Executor, Step};
use stdx::{Clock, Rng, Tasks};

/// Virtual time in which a process without faults has to answer.
const LIVENESS: Duration = Duration::from_secs(60);
const DEFAULT_SEEDS: u64 = 60;

/// What one seed did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    made: u64,
    refused: u64,
    unknown: u64,
    reads: u64,
    strict_reads: u64,
    epochs: u64,
    entries: u64,
    steps: u64,
    /// Of the virtual clock, in nanoseconds: two runs of a seed end at the same moment.
    clock: u128,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        let Tally { made, refused, unknown, reads, strict_reads, epochs, entries, steps, clock } = other;
        self.made += made;
        self.refused += refused;
        self.unknown += unknown;
        self.reads += reads;
        self.strict_reads += strict_reads;
        self.epochs += epochs;
        self.entries += entries;
        self.steps += steps;
        self.clock += clock;
    }
}

/// One environmentd: a leader and its clients, until it is killed or fenced, or hands over.
async fn process(world: World, tasks: Tasks) {
    let leader = match Leader::open(world.config(tasks.clone())).await {
        Ok(leader) => leader,
        Err(error) => return world.refused(&error),
    };
    world.opened(&leader);
    if !create_shards(&leader).await {
        return;
    }
    let client = Client { world: world.clone(), leader: leader.clone(), tasks: tasks.clone() };
    let retries: Vec<_> = std::mem::take(&mut *world.retries.lock());
    for retry in retries {
        if client.try_append(retry, Try::Unknown).await.is_err() {
            return;
        }
    }
    let mut clients = Vec::new();
    for kind in [Kind::Appender, Kind::Appender, Kind::Committer, Kind::Committer, Kind::Reader, Kind::Reader] {
        clients.push(tasks.spawn("client", repeat(client.clone(), kind)));
    }
    clients.push(tasks.spawn("subscriber", subscribe(client.clone())));
    drop(client);
    if world.one_in(4) {
        tasks.sleep(Duration::from_millis(world.rng.below(10_000))).await;
        let read_ts = world.history.lock().read_ts;
        if leader.close(read_ts).await.is_ok() {
            return;
        }
    }
    leader.halted().await;
}

async fn create_shards(leader: &LeaderHandle) -> bool {
    for (shards, group) in [(TABLES, Some(GroupId::TABLES)), (SOLOS, None)] {
        for shard in shards {
            if leader.is_shard(shard) {
                continue;
            }
            let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
            let mut commit = Commit::tick(GroupId::TABLES, ts);
            commit.creates.push(CreateShard { shard, group, scheduled: false });
            if leader.commit(commit).await.is_err() {
                return false;
            }
        }
    }
    true
}

/// Faults have ended: a leader must start and commit soon, from the newest checkpoint, and from those before it if that is
/// damaged; and everything must be as the model says.
fn verify(executor: &Executor, world: &World) -> u64 {
    let mut epoch = 0;
    for damaged in 0..3 {
        let calm = world.calm();
        if damaged > 0 && !world.log.damage_newest_checkpoint() {
            break;
        }
        let tasks = executor.tasks(u64::MAX - 1);
        let started = executor.boot();
        let run = async move {
            let leader = Leader::open(calm.config(tasks.clone())).await.expect("the log opens");
            calm.opened(&leader);
            let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
            leader.commit(Commit::tick(GroupId::TABLES, ts)).await.expect("a leader without faults commits");
            let client = Client { world: calm.clone(), leader: leader.clone(), tasks: tasks.clone() };
            calm.check_parts(&leader).await;
            for shard in leader.shards() {
                let (since, upper) = (leader.since(shard), leader.upper(shard));
                let (since, upper) = (since.expect("it is there"), upper.expect("it is there"));
                if upper <= since {
                    continue;
                }
                let newest = upper.step_back();
                let middle = Timestamp::new(newest.micros() - (newest.micros() - since.micros()).min(700_000) / 2);
                for as_of in [since, middle, newest] {
                    assert!(client.read(shard, as_of).await.is_some(), "{shard} cannot be read at {as_of}");
                }
            }
            let epoch = leader.epoch();
            drop((client, leader));
            epoch
        };
        epoch = executor.block_on(run);
        executor.kill(u64::MAX - 1);
        assert!(executor.boot() - started < LIVENESS, "the environment did not come back for {LIVENESS:?}");
    }
    epoch
}

/// One run.
fn simulate(seed: u64, off: Option<Rule>) -> Tally {
    let rng = Rng::from_seed(seed);
    let executor = Executor::new(rng.clone(), 1_000_000);
    let world = World::new(&executor, &rng, off);
    let mut alive = Vec::new();
    let mut steps = 0;
    for group in 1..3 + rng.below(3) {
        let tasks = executor.tasks(group);
        tasks.spawn("process", process(world.clone(), tasks.clone())).detach();
        alive.push(group);
        for _ in 0..rng.below(2500) {
            if executor.step() == Step::Idle {
                break;
            }
            steps += 1;
            if rng.below(1000) == 0 {
                let by = i64::try_from(rng.below(20_000)).expect("small") - 10_000;
                executor.jump_wall_clock(by);
            }
        }
        match rng.below(6) {
            // It goes on as a zombie beside its successor.
            0 | 1 => {}
            // Long enough for the log to be truncated.
            2 => {
                alive.drain(..).for_each(|group| executor.kill(group));
                executor.block_on(executor.tasks(u64::MAX - 2).sleep(Duration::from_secs(4000)));
            }
            _ => alive.drain(..).for_each(|group| executor.kill(group)),
        }
    }
    alive.drain(..).for_each(|group| executor.kill(group));
    let epochs = verify(&executor, &world);
    let history = world.history.lock();
    let count = |told: Told| history.count(told) as u64;
    Tally {
        made: count(Told::Made),
        refused: count(Told::Refused),
        unknown: count(Told::Nothing),
        reads: history.reads,
        strict_reads: history.strict_reads,
        epochs,
        entries: world.log.len() as u64,
        steps,
        clock: executor.boot().as_nanos(),
    }
}

/// What went wrong, in words.
fn attempt(seed: u64, off: Option<Rule>) -> Result<Tally, String> {
    catch_unwind(AssertUnwindSafe(|| simulate(seed, off))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

#[allow(clippy::disallowed_methods, reason = "a test has no flags")]
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

#[test]
fn every_answer_is_what_the_model_says() {
    let first = setting("FRESHET_TEST_SEED").unwrap_or(0);
    let seeds = setting("FRESHET_TEST_SEEDS").unwrap_or(DEFAULT_SEEDS);
    let next = Arc::new(AtomicU64::new(first));
    let total = Arc::new(Mutex::new((Tally::default(), Vec::<u64>::new())));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (next, total) = (Arc::clone(&next), Arc::clone(&total));
            let work = move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + seeds || total.lock().1.len() >= 5 {
                        return;
                    }
                    if (seed - first) % 5000 == 4999 {
                        println!("{} of {seeds} seeds were begun", seed - first + 1);
                    }
                    match attempt(seed, None) {
                        Ok(tally) => total.lock().0.add(tally),
                        Err(error) => {
                            println!("seed {seed}: {error}");
                            total.lock().1.push(seed);
                        }
                    }
                }
            };
            stdx::tasks::spawn_thread("simulation", work).expect("a thread")
        })
        .collect();
    for worker in workers {
        worker.join().expect("it catches panics");
    }
    let (tally, failed) = total.lock().clone();
    println!("{seeds} seeds from {first}: {tally:?}");
    assert!(
        failed.is_empty(),
        "seeds {failed:?} failed; replay one with\n  \
         FRESHET_TEST_SEED={} FRESHET_TEST_SEEDS=1 cargo test -p persist --test model_simulation every_answer",
        failed[0]
    );
    assert!(tally.made > 5 * seeds && tally.reads > 5 * seeds, "little was done: {tally:?}");
    assert!(seeds < 20 || (tally.refused > seeds && tally.epochs > 3 * seeds), "little went wrong: {tally:?}");
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..5 {
        assert_eq!(simulate(seed, None), simulate(seed, None), "seed {seed}");
    }
}

/// With a rule switched off some seed must fail: else the rule is superfluous, or the simulation blind.
fn is_noticed(rule: Rule) {
    let error = (0..6000).find_map(|seed| attempt(seed, Some(rule)).err());
    println!("without {rule:?}: {}", error.unwrap_or_else(|| panic!("nothing notices that {rule:?} is off")));
}

#[test]
fn an_answer_before_the_entry_is_stored_is_noticed() {
    is_noticed(Rule::StoreFirst);
}

#[test]
fn a_slot_filled_twice_is_noticed() {
    is_noticed(Rule::PutIfAbsent);
}

#[test]
fn a_part_that_was_not_stored_is_noticed() {
    is_noticed(Rule::StoreParts);
}

#[test]
fn a_leader_without_a_lease_is_noticed() {
    is_noticed(Rule::Lease);
}

#[test]
fn a_retry_with_another_token_is_noticed() {
    is_noticed(Rule::SameToken);
}

#[test]
fn a_commit_without_validation_is_noticed() {
    is_noticed(Rule::Validate);
}

#[test]
fn a_read_without_a_hold_is_noticed() {
    is_noticed(Rule::Hold);
}
