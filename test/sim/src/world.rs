//! What runs and what goes wrong with it, all drawn from one seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clusterd::{Process, ProcessConfig, WorkerLoop};
use environmentd::embedded::{Embedded, VERSION};
use parking_lot::Mutex;
use persist::{Blob, Faults, Leader, LeaderConfig, MemLog, memory_blob};
use stdx::sim::{Event, Executor, Step};
use stdx::{Clock, Rng, Tasks};

use crate::client::Clients;
use crate::clock::WallClock;
use crate::history::{History, Outcome};
use crate::network::{Direction, Machines, Reachable, RemoteLeader, Wire};

const START_MS: u64 = 1_000_000;
const LEASE: Duration = Duration::from_secs(5);
/// A replica whose one process has one worker.
const REPLICA_SIZE: &str = "1";
const WRITERS: usize = 3;
const READERS: usize = 2;
/// The tasks of the network, which no crash ends.
const NETWORK: u64 = 0;
/// Of virtual time: how long the environments of a run are disturbed, and how soon all is well again once they are not.
const DISTURBED: Duration = Duration::from_secs(20);
const RECOVERY_MAX: Duration = Duration::from_secs(60);
/// How long messages are held back at most: longer than any time after which the other side is given up.
const PARTITION_MS_MAX: u64 = 25_000;
const DELAY_MS_MAX: u64 = 200;
/// The steps of wall clocks, at most, and the differences of those of the machines.
const CLOCK_STEP_MS_MAX: u64 = 900_000;
const SKEW_MS_MAX: u64 = 2_000;
/// What must be acknowledged, and read, after the last disturbance.
const RECOVERED_COUNT: usize = 20;

/// What a run has seen, so that one can tell that it has tried something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub environment_crashes: u64,
    pub takeovers: u64,
    pub replica_crashes: u64,
    /// Times at which a replica could not be heard, or could not hear.
    pub partitions: u64,
    /// Times at which the connections of a replica broke.
    pub resets: u64,
    /// Steps of the wall clock.
    pub clock_jumps: u64,
    pub acknowledged: usize,
    pub refused: usize,
    pub unknown: usize,
    pub reads: usize,
    /// Reads that were canceled.
    pub canceled: usize,
    /// Reads of the source.
    pub tick_reads: usize,
    /// Runs with a view that two replicas wrote.
    pub races: u64,
    /// DDL statements acknowledged, objects looked for, and maintained views of such objects compared.
    pub ddl: usize,
    pub looked_for: usize,
    pub compared: usize,
    /// Changes of a cluster's replicas that were acknowledged.
    pub resized: usize,
    pub steps: u64,
}

impl Summary {
    pub fn add(&mut self, other: &Summary) {
        self.environment_crashes += other.environment_crashes;
        self.takeovers += other.takeovers;
        self.replica_crashes += other.replica_crashes;
        self.partitions += other.partitions;
        self.resets += other.resets;
        self.clock_jumps += other.clock_jumps;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.reads += other.reads;
        self.canceled += other.canceled;
        self.tick_reads += other.tick_reads;
        self.races += other.races;
        self.ddl += other.ddl;
        self.looked_for += other.looked_for;
        self.compared += other.compared;
        self.resized += other.resized;
        self.steps += other.steps;
    }
}

/// A run that has ended.
pub struct Run {
    pub summary: Summary,
    /// Of all steps: equal for two runs of one seed.
    pub digest: u64,
    /// Every step, if the run was recorded.
    pub events: Vec<Event>,
}

/// What every simulated environmentd is given, and leaves behind.
#[derive(Clone)]
struct Surroundings {
    rng: Rng,
    log: MemLog,
    blob: Blob,
    machines: Machines,
    reachable: Reachable,
    history: Arc<Mutex<History>>,
    /// Whether there is a cluster of two replicas.
    race: bool,
}

/// An environmentd: the group of its tasks, and what became of it.
#[derive(Clone)]
struct Environment {
    group: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Once it leads.
    epoch: Option<u64>,
    /// The process would exit now.
    ended: bool,
}

/// A clusterd: the group of its tasks and its one worker.
struct Replica {
    group: u64,
    worker: WorkerLoop,
    /// Why the process would exit now.
    halted: Arc<Mutex<Option<String>>>,
}

/// One run.
pub struct World {
    executor: Executor,
    wall: WallClock,
    around: Surroundings,
    environments: Vec<Environment>,
    replicas: BTreeMap<String, Replica>,
    /// When a crashed replica's machine is back.
    replica_restart: Duration,
    /// Wires that hold messages back, and until when.
    partitions: Vec<(Duration, Wire)>,
    next_group: u64,
    /// Under which the steps of workers are in the trace.
    worker_name: Arc<str>,
    summary: Summary,
}

impl World {
    pub fn new(seed: u64) -> World {
        let rng = Rng::from_seed(seed);
        let race = rng.below(2) == 0;
        let executor = Executor::new(rng.clone(), START_MS);
        let around = Surroundings {
            rng: rng.clone(),
            log: MemLog::new(),
            blob: memory_blob(),
            machines: Machines::new(executor.tasks(NETWORK), rng),
            reachable: Reachable::default(),
            history: Arc::default(),
            race,
        };
        World {
            wall: WallClock::new(executor.clone()),
            executor,
            around,
            environments: Vec::new(),
            replicas: BTreeMap::new(),
            replica_restart: Duration::ZERO,
            partitions: Vec::new(),
            next_group: 1,
            worker_name: "timely worker".into(),
            summary: Summary::default(),
        }
    }

    /// Keeps every step for [`Run::events`].
    pub fn record(&self) {
        self.executor.record();
    }

    /// Disturbs everything for a while, then lets it recover; checks what clients were told.
    pub fn run(mut self) -> Run {
        let faults =
            Faults { delay_ms_max: 10, lose_request: 10, lose_reply: 15, duplicate: 15, reorder: 10, disk_full: 5 };
        self.start_environment(faults);
        let end = self.executor.boot() + DISTURBED;
        while self.executor.boot() < end {
            let rest = Duration::from_millis(self.around.rng.below(5_000));
            self.run_for(rest);
            self.disturb(faults);
        }
        self.recover();
        let history = Arc::clone(&self.around.history);
        let history = history.lock();
        history.check();
        self.executor.note(&"history".into(), history.digest());
        let summary = Summary {
            acknowledged: history.count(Outcome::Acknowledged),
            refused: history.count(Outcome::Refused),
            unknown: history.count(Outcome::Unknown),
            reads: history.reads.len(),
            canceled: history.canceled,
            tick_reads: history.reads.iter().filter(|read| read.contents.ticks.is_some()).count(),
            races: u64::from(self.around.race),
            ddl: history.catalogue.acknowledged,
            looked_for: history.catalogue.looked_for,
            compared: history.catalogue.compared,
            resized: history.catalogue.resized,
            ..self.summary
        };
        Run { summary, digest: self.executor.digest(), events: self.executor.events() }
    }

    fn disturb(&mut self, faults: Faults) {
        match self.around.rng.below(8) {
            // A crash: the next start finds the log as it is.
            0 => {
                self.kill_environments();
                self.start_environment(faults);
            }
            // A second environmentd takes the log over while the first goes on.
            1 => {
                self.summary.takeovers += 1;
                self.start_environment(faults);
            }
            2 | 3 => self.kill_replicas(),
            4 | 5 => self.partition(),
            6 => self.change_weather(),
            _ => self.change_clock(),
        }
    }

    /// Holds back what some replicas say, or what they are told, or both; perhaps breaks their connections first.
    fn partition(&mut self) {
        let directions: &[Direction] = match self.around.rng.below(3) {
            0 => &[Direction::ToReplica],
            1 => &[Direction::ToEnvironment],
            _ => &[Direction::ToReplica, Direction::ToEnvironment],
        };
        for wire in self.some_wires() {
            self.summary.partitions += 1;
            self.maybe_reset(&wire);
            wire.hold(directions);
            let until = self.executor.boot() + Duration::from_millis(self.around.rng.below(PARTITION_MS_MAX));
            self.partitions.push((until, wire));
        }
    }

    fn maybe_reset(&mut self, wire: &Wire) {
        if self.around.rng.below(2) == 0 {
            self.summary.resets += 1;
            wire.reset();
        }
    }

    /// Slow wires, or fast ones again; some lose their connections.
    fn change_weather(&mut self) {
        for wire in self.some_wires() {
            wire.slow_down(self.around.rng.below(2) * self.around.rng.below(DELAY_MS_MAX));
            self.maybe_reset(&wire);
        }
    }

    fn all_wires(&self) -> Vec<Wire> {
        let machines = &self.around.machines;
        machines.ids().iter().filter_map(|id| machines.wire(id)).collect()
    }

    fn some_wires(&self) -> Vec<Wire> {
        let mut wires = self.all_wires();
        wires.retain(|_| self.around.rng.below(3) > 0);
        wires
    }

    /// Ends the partitions whose time has come.
    fn heal(&mut self, now: Duration) {
        let partitions = std::mem::take(&mut self.partitions);
        let (over, going_on): (Vec<_>, Vec<_>) = partitions.into_iter().partition(|(until, _)| *until <= now);
        // A later one may hold the same wire.
        self.partitions = going_on;
        for (_, wire) in over {
            self.maybe_reset(&wire);
            wire.hold(&[]);
        }
    }

    /// The wall clock is set, forward or back, or runs at another speed.
    fn change_clock(&mut self) {
        let rng = &self.around.rng;
        let most_ms = if rng.below(4) == 0 { CLOCK_STEP_MS_MAX } else { 3_000 };
        let step_ms = i64::try_from(rng.below(2 * most_ms)).unwrap_or(0) - i64::try_from(most_ms).unwrap_or(0);
        self.wall.set(step_ms, i64::try_from(rng.below(401)).unwrap_or(0) - 200);
        self.summary.clock_jumps += 1;
    }

    /// The last environment has a sound log; everything must come to work again, and go on.
    fn recover(&mut self) {
        self.heal(Duration::MAX);
        for wire in self.all_wires() {
            wire.slow_down(0);
        }
        self.wall.set(0, 0);
        self.kill_environments();
        self.start_environment(Faults::default());
        let (acknowledged, reads) = self.progress();
        let end = self.executor.boot() + RECOVERY_MAX;
        while self.progress().0 < acknowledged + RECOVERED_COUNT || self.progress().1 < reads + RECOVERED_COUNT {
            assert!(
                self.executor.boot() < end,
                "no recovery: {:?} of {:?}; waiting: {:?}",
                self.progress(),
                (acknowledged, reads),
                self.executor.waiting()
            );
            self.step(Faults::default());
        }
    }

    /// How much was acknowledged, and how often everything was read at one time.
    fn progress(&self) -> (usize, usize) {
        let history = self.around.history.lock();
        let full = history.reads.iter().filter(|read| read.contents.ledger.is_some()).count();
        (history.count(Outcome::Acknowledged), full)
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.executor.boot() + duration;
        let faults = Faults { delay_ms_max: 10, ..Faults::default() };
        while self.executor.boot() < end {
            self.step(faults);
        }
    }

    /// One step of one task, and some of the workers; then what supervisors do.
    fn step(&mut self, faults: Faults) {
        self.summary.steps += 1;
        let polled = self.executor.step() == Step::Polled;
        for replica in self.replicas.values_mut() {
            if !polled {
                replica.worker.settle();
            } else if self.around.rng.below(4) == 0 {
                let busy = replica.worker.step();
                self.executor.note(&self.worker_name, u64::from(busy));
            }
        }
        self.supervise(faults);
    }

    /// Buries processes that have ended and starts those that are missing.
    fn supervise(&mut self, faults: Faults) {
        self.heal(self.executor.boot());
        let halted = self.replicas.values().find_map(|replica| replica.halted.lock().clone());
        if let Some(why) = halted {
            panic!("a replica halted: {why}");
        }
        for id in self.around.machines.take_stopped() {
            if let Some(replica) = self.replicas.remove(&id) {
                self.kill_replica(replica);
            }
        }
        if self.executor.boot() >= self.replica_restart {
            for id in self.around.machines.wanted() {
                self.start_replica(id);
            }
        }
        if self.environments.iter().any(|environment| environment.state.lock().ended) {
            let (ended, running) = std::mem::take(&mut self.environments)
                .into_iter()
                .partition(|environment| environment.state.lock().ended);
            self.environments = running;
            ended.into_iter().for_each(|environment: Environment| self.kill_environment(&environment));
            if self.environments.is_empty() {
                self.start_environment(faults);
            }
        }
    }

    fn fresh_group(&mut self) -> u64 {
        self.next_group += 1;
        self.next_group
    }

    fn start_environment(&mut self, faults: Faults) {
        let group = self.fresh_group();
        let environment = Environment { group, state: Arc::default() };
        let ahead_ms = i64::try_from(self.around.rng.below(2 * SKEW_MS_MAX)).unwrap_or(0) - SKEW_MS_MAX as i64;
        let tasks = self.wall.tasks(group, ahead_ms);
        let (around, state) = (self.around.clone(), Arc::clone(&environment.state));
        let main = async move {
            around.environmentd(tasks, faults, Arc::clone(&state)).await;
            state.lock().ended = true;
        };
        self.executor.tasks(group).spawn("environmentd", main).detach();
        self.environments.push(environment);
    }

    fn kill_environments(&mut self) {
        for environment in std::mem::take(&mut self.environments) {
            self.summary.environment_crashes += 1;
            self.kill_environment(&environment);
        }
    }

    fn kill_environment(&mut self, environment: &Environment) {
        if let Some(epoch) = environment.state.lock().epoch {
            self.around.reachable.down(epoch);
        }
        self.executor.kill(environment.group);
        // Destructors may have started tasks.
        self.executor.kill(environment.group);
    }

    fn start_replica(&mut self, id: String) {
        let group = self.fresh_group();
        let tasks = self.executor.tasks(group);
        let halted: Arc<Mutex<Option<String>>> = Arc::default();
        let reason = Arc::clone(&halted);
        let Some(wire) = self.around.machines.wire(&id) else { return };
        let config = ProcessConfig {
            workers: 1,
            process: 0,
            shards: Arc::new(RemoteLeader { reachable: self.around.reachable.clone(), wire, tasks: tasks.clone() }),
            tasks,
            rng: self.around.rng.clone(),
            version: VERSION.to_owned(),
            halt: Arc::new(move |why| *reason.lock() = Some(why)),
        };
        let (process, worker) = Process::single_threaded(config, Arc::new(|| {}));
        self.around.machines.set(&id, Some(Arc::new(process)));
        self.replicas.insert(id, Replica { group, worker, halted });
    }

    fn kill_replica(&mut self, replica: Replica) {
        self.executor.kill(replica.group);
        drop(replica.worker);
        self.executor.kill(replica.group);
    }

    /// As `kill -9` of some clusterds, or of all; they come back a little later.
    fn kill_replicas(&mut self) {
        let all = self.around.rng.below(2) == 0;
        let (doomed, spared) =
            std::mem::take(&mut self.replicas).into_iter().partition(|_| all || self.around.rng.below(2) == 0);
        self.replicas = spared;
        let doomed: BTreeMap<String, Replica> = doomed;
        for (id, replica) in doomed {
            self.summary.replica_crashes += 1;
            self.around.machines.set(&id, None);
            self.kill_replica(replica);
        }
        self.replica_restart = self.executor.boot() + Duration::from_millis(self.around.rng.below(3_000));
    }
}

impl Surroundings {
    fn leader_config(&self, tasks: Tasks, faults: Faults) -> LeaderConfig {
        let log = self.log.with_faults(faults, self.rng.clone(), tasks.clone());
        let mut config = LeaderConfig::new(Arc::new(log), Arc::clone(&self.blob), tasks, self.rng.clone());
        config.lease = Some(LEASE);
        config.checkpoint_bytes = 16 << 10;
        config.checkpoint_every = Duration::from_secs(5);
        config.inline_bytes_max = 300;
        config
    }

    /// The life of one environmentd with its clients, until its leader ends.
    async fn environmentd(self, tasks: Tasks, faults: Faults, state: Arc<Mutex<State>>) {
        let Ok(leader) = Leader::open(self.leader_config(tasks.clone(), faults)).await else { return };
        state.lock().epoch = Some(leader.epoch());
        let launcher = Arc::new(self.machines.clone());
        let opening = Embedded::open(tasks.clone(), self.rng.clone(), leader.clone(), launcher, REPLICA_SIZE);
        let Ok(environment) = opening.await else { return };
        self.reachable.up(leader.clone());
        let clients = Clients {
            history: Arc::clone(&self.history),
            rng: self.rng.clone(),
            environment: Arc::new(environment),
            tasks: tasks.clone(),
            race: self.race,
        };
        if !clients.make_schema().await {
            return;
        }
        let mut running = Vec::new();
        for _ in 0..WRITERS {
            running.push(tasks.spawn("writer", clients.clone().write()));
        }
        for _ in 0..READERS {
            running.push(tasks.spawn("reader", clients.clone().read()));
        }
        running.push(tasks.spawn("definer", clients.clone().define()));
        leader.halted().await;
    }
}
