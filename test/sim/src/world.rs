//! What runs and what goes wrong with it, all drawn from one seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clusterd::{Process, ProcessConfig, WorkerLoop};
use environmentd::embedded::{Embedded, VERSION};
use parking_lot::Mutex;
use persist::{Blob, Faults, Leader, LeaderConfig, MemLog, memory_blob};
use stdx::sim::{Executor, Step};
use stdx::{Clock, Rng, Tasks};

use crate::client::Clients;
use crate::history::{History, Outcome};
use crate::network::{Machines, Reachable, RemoteLeader};

const START_MS: u64 = 1_000_000;
const LEASE: Duration = Duration::from_secs(5);
/// A replica whose one process has one worker.
const REPLICA_SIZE: &str = "1";
const WRITERS: usize = 3;
const READERS: usize = 2;
/// Of virtual time: how long the environments of a run are disturbed, and how soon all is well again once they are not.
const DISTURBED: Duration = Duration::from_secs(30);
const RECOVERY_MAX: Duration = Duration::from_secs(60);
/// What must be acknowledged, and read, after the last disturbance.
const RECOVERED_COUNT: usize = 20;

/// What a run has seen, so that one can tell that it has tried something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub environment_crashes: u64,
    pub takeovers: u64,
    pub replica_crashes: u64,
    pub acknowledged: usize,
    pub refused: usize,
    pub unknown: usize,
    pub reads: usize,
    pub steps: u64,
}

impl Summary {
    pub fn add(&mut self, other: &Summary) {
        self.environment_crashes += other.environment_crashes;
        self.takeovers += other.takeovers;
        self.replica_crashes += other.replica_crashes;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.reads += other.reads;
        self.steps += other.steps;
    }
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
    around: Surroundings,
    environments: Vec<Environment>,
    replicas: BTreeMap<String, Replica>,
    /// When a crashed replica's machine is back.
    replica_restart: Duration,
    next_group: u64,
    summary: Summary,
}

impl World {
    pub fn new(seed: u64) -> World {
        let rng = Rng::from_seed(seed);
        let around = Surroundings {
            rng: rng.clone(),
            log: MemLog::new(),
            blob: memory_blob(),
            machines: Machines::default(),
            reachable: Reachable::default(),
            history: Arc::default(),
        };
        World {
            executor: Executor::new(rng, START_MS),
            around,
            environments: Vec::new(),
            replicas: BTreeMap::new(),
            replica_restart: Duration::ZERO,
            next_group: 1,
            summary: Summary::default(),
        }
    }

    /// Disturbs everything for a while, then lets it recover; checks what clients were told.
    pub fn run(mut self) -> Summary {
        let faults =
            Faults { delay_ms_max: 10, lose_request: 10, lose_reply: 15, duplicate: 15, reorder: 10, disk_full: 5 };
        self.start_environment(faults);
        let end = self.executor.boot() + DISTURBED;
        while self.executor.boot() < end {
            let rest = Duration::from_millis(self.around.rng.below(12_000));
            self.run_for(rest);
            self.disturb(faults);
        }
        self.recover();
        let history = Arc::clone(&self.around.history);
        let history = history.lock();
        history.check();
        Summary {
            acknowledged: history.count(Outcome::Acknowledged),
            refused: history.count(Outcome::Refused),
            unknown: history.count(Outcome::Unknown),
            reads: history.reads.len(),
            ..self.summary
        }
    }

    fn disturb(&mut self, faults: Faults) {
        match self.around.rng.below(4) {
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
            _ => self.kill_replicas(),
        }
    }

    /// The last environment has a sound log; everything must come to work again, and go on.
    fn recover(&mut self) {
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
                replica.worker.step();
            }
        }
        self.supervise(faults);
    }

    /// Buries processes that have ended and starts those that are missing.
    fn supervise(&mut self, faults: Faults) {
        let halted = self.replicas.values().find_map(|replica| replica.halted.lock().clone());
        if let Some(why) = halted {
            panic!("a replica halted: {why}");
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
        let tasks = self.executor.tasks(group);
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
        let config = ProcessConfig {
            workers: 1,
            process: 0,
            shards: Arc::new(RemoteLeader { reachable: self.around.reachable.clone(), tasks: tasks.clone() }),
            tasks,
            rng: self.around.rng.clone(),
            version: VERSION.to_owned(),
            halt: Arc::new(move |why| *reason.lock() = Some(why)),
        };
        let (process, worker) = Process::single_threaded(config, Arc::new(|| {}));
        self.around.machines.set(&id, Some(Arc::new(process)));
        self.replicas.insert(id, Replica { group, worker, halted });
    }

    /// As `kill -9` of each clusterd; they come back a little later.
    fn kill_replicas(&mut self) {
        for (id, replica) in std::mem::take(&mut self.replicas) {
            self.summary.replica_crashes += 1;
            self.around.machines.set(&id, None);
            self.executor.kill(replica.group);
            drop(replica.worker);
            self.executor.kill(replica.group);
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
        leader.halted().await;
    }
}
