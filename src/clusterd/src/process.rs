//! One process of a replica, without its sockets and threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use compute::PeekServer;
use parking_lot::Mutex;
use persist::Shards;
use protocol::grpc::{ComputeServerDuplex, StorageServerDuplex};
use stdx::{Rng, Shutdown, Task, Tasks};
use timely::communication::Allocator;
use timely::worker::Worker;
use tokio::sync::mpsc;

use crate::connection;
use crate::gate::Gate;
use crate::outbox::Outbox;
use crate::worker::{Inbound, WorkerLoop};

/// Commands that may wait for the first worker before their connection does.
const INBOX_CAPACITY: usize = 1024;

/// What a process is made of.
pub struct ProcessConfig {
    /// Worker threads of this process.
    pub workers: usize,
    /// Which process of the replica this is. Process 0 takes the commands for all workers.
    pub process: usize,
    pub shards: Arc<dyn Shards>,
    pub tasks: Tasks,
    pub rng: Rng,
    /// Controllers of another version are refused.
    pub version: String,
    /// Ends the process with this message.
    pub halt: Arc<dyn Fn(String) + Send + Sync>,
}

/// Accepts controllers and makes worker loops. Dropping it ends its connections.
pub struct Process {
    shared: Arc<Shared>,
    inbox: Mutex<Option<mpsc::Receiver<Inbound>>>,
    connections: Mutex<Vec<Task>>,
}

/// What connections and workers share.
pub(crate) struct Shared {
    pub(crate) process: usize,
    pub(crate) tasks: Tasks,
    pub(crate) rng: Rng,
    pub(crate) shards: Arc<dyn Shards>,
    pub(crate) halt: Arc<dyn Fn(String) + Send + Sync>,
    pub(crate) generation: Arc<AtomicU64>,
    pub(crate) gate: Gate,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) peeks: Arc<PeekServer>,
    pub(crate) inbox: mpsc::Sender<Inbound>,
    /// Wakes the replica's first worker, if it is in this process.
    pub(crate) wake_first: OnceLock<Arc<dyn Fn() + Send + Sync>>,
    pub(crate) shutdown: Shutdown,
    pub(crate) commands_count: AtomicU64,
    started: Duration,
}

impl Shared {
    pub(crate) fn uptime_ms(&self) -> u64 {
        let uptime = self.tasks.clock().boot().saturating_sub(self.started);
        u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX)
    }

    /// Hands a command to the first worker. False: there are no workers any more.
    pub(crate) async fn command(&self, inbound: Inbound) -> bool {
        self.commands_count.fetch_add(1, Ordering::Relaxed);
        let sent = self.inbox.send(inbound).await.is_ok();
        if let Some(wake) = self.wake_first.get() {
            wake();
        }
        sent
    }
}

impl Process {
    pub fn new(config: ProcessConfig) -> Process {
        let ProcessConfig { workers, process, shards, tasks, rng, version, halt } = config;
        let outbox = Arc::new(Outbox::new(workers));
        let answers = Arc::clone(&outbox);
        let respond = Arc::new(move |response| answers.compute.push_current(response));
        let (inbox, receiver) = mpsc::channel(INBOX_CAPACITY);
        let shared = Shared {
            process,
            rng,
            shards,
            halt,
            generation: Arc::default(),
            gate: Gate::new(version),
            outbox,
            peeks: PeekServer::new(workers, tasks.clone(), respond),
            inbox,
            wake_first: OnceLock::new(),
            shutdown: Shutdown::new(),
            commands_count: AtomicU64::new(0),
            started: tasks.clock().boot(),
            tasks,
        };
        Process { shared: Arc::new(shared), inbox: Mutex::new(Some(receiver)), connections: Mutex::default() }
    }

    /// Makes the loop of a local worker, on its own thread; `wake` makes that thread take its next turn soon.
    pub fn worker(&self, timely: Worker, local_index: usize, wake: Arc<dyn Fn() + Send + Sync>) -> WorkerLoop {
        let is_first = timely.index() == 0;
        let inbox = if is_first { self.inbox.lock().take() } else { None };
        if is_first && self.shared.wake_first.set(Arc::clone(&wake)).is_err() {
            unreachable!("a replica has one first worker");
        }
        WorkerLoop::new(Arc::clone(&self.shared), timely, local_index, inbox, wake)
    }

    /// Simulation: a process with one worker, which the caller steps.
    pub fn single_threaded(config: ProcessConfig, wake: Arc<dyn Fn() + Send + Sync>) -> (Process, WorkerLoop) {
        assert_eq!((config.workers, config.process), (1, 0), "a process without threads has one worker");
        let process = Process::new(config);
        let allocator = Allocator::Thread(timely::communication::allocator::Thread::default());
        let timely = Worker::new(compute::worker_config(), allocator, None);
        let worker = process.worker(timely, 0, wake);
        (process, worker)
    }

    /// Serves a controller on a new computectl connection, once its hello is accepted.
    pub fn accept_compute(&self, duplex: ComputeServerDuplex) {
        let serve = connection::serve_compute(Arc::clone(&self.shared), duplex);
        self.keep(self.shared.tasks.spawn("clusterd: computectl", serve));
    }

    /// Serves a controller on a new storagectl connection, once its hello is accepted.
    pub fn accept_storage(&self, duplex: StorageServerDuplex) {
        let serve = connection::serve_storage(Arc::clone(&self.shared), duplex);
        self.keep(self.shared.tasks.spawn("clusterd: storagectl", serve));
    }

    fn keep(&self, task: Task) {
        let mut connections = self.connections.lock();
        connections.retain(|task| !task.is_ended());
        connections.push(task);
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}
