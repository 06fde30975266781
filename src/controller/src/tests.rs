//! The controller against replicas and shards that the tests play, on the simulation's executor.

mod as_of;
mod history;
mod merges;
mod replicas;
mod sinces;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use protocol::grpc::{ComputeServerDuplex, StorageServerDuplex};
use protocol::link::{ComputeDuplex, Link, LinkError, StorageDuplex, pair};
use protocol::plan::{Node, Plan};
use protocol::{
    ComputeCommand, ComputeResponse, Dataflow, Export, Import, Object, Peek, PeekTarget, Sequenced, StorageCommand,
    StorageResponse,
};
use repr::{ClusterId, CollectionId, ReplicaId, ServiceId, ShardId, Timestamp};
use stdx::sim::Executor;
use stdx::{Clock, Rng, Tasks};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::{
    Controller, ControllerConfig, Durable, DurableHold, Frontiers, LogIdentity, ReplicaLauncher, ReplicaSize,
    ReplicaSpec,
};

pub(crate) const CLUSTER: ClusterId = ClusterId(1);
pub(crate) const R1: ReplicaId = ReplicaId(1);
pub(crate) const R2: ReplicaId = ReplicaId(2);
const START_MS: u64 = 1_000_000;

pub(crate) fn ts(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

pub(crate) fn user(id: u64) -> CollectionId {
    CollectionId::User(id)
}

/// Shards as a table of frontiers.
#[derive(Clone)]
pub(crate) struct Shards {
    inner: Arc<ShardsInner>,
    clock: Arc<dyn Clock>,
}

struct ShardsInner {
    shards: Mutex<BTreeMap<ShardId, Shard>>,
    changes: watch::Sender<u64>,
}

struct Shard {
    frontiers: Frontiers,
    holds: Vec<(u64, Timestamp)>,
}

impl Shards {
    /// Makes a shard known or moves its upper.
    pub(crate) fn set(&self, shard: u64, since: u64, upper: u64) {
        let frontiers = Frontiers { since: ts(since), upper: ts(upper) };
        let mut shards = self.inner.shards.lock();
        shards.entry(ShardId(shard)).or_insert(Shard { frontiers, holds: Vec::new() }).frontiers = frontiers;
        drop(shards);
        self.inner.changes.send_modify(|count| *count += 1);
    }

    /// The least hold on a shard.
    pub(crate) fn held(&self, shard: u64) -> Option<Timestamp> {
        let shards = self.inner.shards.lock();
        shards.get(&ShardId(shard))?.holds.iter().map(|(_, at)| *at).min()
    }
}

impl Durable for Shards {
    fn identity(&self) -> LogIdentity {
        LogIdentity { log_id: Uuid::from_u128(1), epoch: 2, generation: 3 }
    }

    fn now(&self) -> Timestamp {
        self.clock.wall().into()
    }

    fn frontiers(&self, shard: ShardId) -> Option<Frontiers> {
        self.inner.shards.lock().get(&shard).map(|shard| shard.frontiers)
    }

    fn hold(&self, shard: ShardId, at: Option<Timestamp>) -> Result<Box<dyn DurableHold>, Option<Timestamp>> {
        let mut shards = self.inner.shards.lock();
        let entry = shards.get_mut(&shard).ok_or(None)?;
        let at = at.unwrap_or(entry.frontiers.since);
        if at < entry.frontiers.since {
            return Err(Some(entry.frontiers.since));
        }
        let number = self.inner.changes.send_replace(0) + 1;
        self.inner.changes.send_replace(number);
        entry.holds.push((number, at));
        Ok(Box::new(Hold { shards: Arc::clone(&self.inner), shard, number }))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }
}

struct Hold {
    shards: Arc<ShardsInner>,
    shard: ShardId,
    number: u64,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hold({}, {})", self.shard, self.at())
    }
}

impl DurableHold for Hold {
    fn at(&self) -> Timestamp {
        let shards = self.shards.shards.lock();
        shards[&self.shard].holds.iter().find(|(number, _)| *number == self.number).unwrap().1
    }

    fn advance(&mut self, to: Timestamp) {
        let mut shards = self.shards.shards.lock();
        let holds = &mut shards.get_mut(&self.shard).unwrap().holds;
        let hold = holds.iter_mut().find(|(number, _)| *number == self.number).unwrap();
        hold.1 = hold.1.max(to);
    }

    fn duplicate(&self) -> Box<dyn DurableHold> {
        let at = self.at();
        let number = self.shards.changes.borrow().wrapping_add(1 << 32);
        self.shards.changes.send_replace(number);
        self.shards.shards.lock().get_mut(&self.shard).unwrap().holds.push((number, at));
        Box::new(Hold { shards: Arc::clone(&self.shards), shard: self.shard, number })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut shards = self.shards.shards.lock();
        let holds = &mut shards.get_mut(&self.shard).unwrap().holds;
        holds.retain(|(number, _)| *number != self.number);
    }
}

/// One process of a replica, played by the test.
pub(crate) struct Process {
    pub(crate) replica: ReplicaId,
    pub(crate) process: usize,
    pub(crate) compute: ComputeServerDuplex,
    pub(crate) storage: StorageServerDuplex,
}

impl Process {
    /// The next computectl command.
    pub(crate) async fn next(&mut self) -> ComputeCommand {
        self.compute.receiver.recv().await.unwrap().command
    }

    pub(crate) async fn next_sequenced(&mut self) -> Sequenced<ComputeCommand> {
        self.compute.receiver.recv().await.unwrap()
    }

    pub(crate) async fn next_storage(&mut self) -> StorageCommand {
        self.storage.receiver.recv().await.unwrap().command
    }

    pub(crate) async fn say(&self, response: ComputeResponse) {
        self.compute.sender.send(response).await.unwrap();
    }

    pub(crate) async fn alive(&self) {
        self.say(ComputeResponse::Status { uptime_ms: 0 }).await;
        self.storage.sender.send(StorageResponse::Alive { uptime_ms: 0 }).await.unwrap();
    }

    pub(crate) async fn frontier(&self, id: CollectionId, upper: u64) {
        self.say(ComputeResponse::Frontier { id, upper: ts(upper) }).await;
    }

    /// Reads commands up to the end of the replay, which is not among them.
    pub(crate) async fn replay(&mut self) -> Vec<ComputeCommand> {
        let mut commands = Vec::new();
        loop {
            match self.next().await {
                ComputeCommand::InitializationComplete => return commands,
                command => commands.push(command),
            }
        }
    }

    async fn welcome(&mut self) {
        let StorageCommand::Hello(hello) = self.next_storage().await else { panic!("no hello") };
        assert_eq!((hello.epoch, hello.generation, hello.version.as_str()), (2, 3, "test"));
        self.storage.sender.send(StorageResponse::Welcome { nonce: hello.nonce }).await.unwrap();
        let ComputeCommand::Hello(hello) = self.next().await else { panic!("no hello") };
        self.say(ComputeResponse::Welcome { nonce: hello.nonce }).await;
    }
}

struct Launcher {
    accept: mpsc::Sender<(ReplicaId, usize, End)>,
}

enum End {
    Compute(ComputeServerDuplex),
    Storage(StorageServerDuplex),
}

struct TestLink {
    replica: ReplicaId,
    process: usize,
    accept: mpsc::Sender<(ReplicaId, usize, End)>,
}

#[async_trait]
impl Link for TestLink {
    async fn compute(&self) -> Result<ComputeDuplex, LinkError> {
        let (ours, theirs) = pair();
        self.accept.send((self.replica, self.process, End::Compute(theirs))).await.unwrap();
        Ok(ours)
    }

    async fn storage(&self) -> Result<StorageDuplex, LinkError> {
        let (ours, theirs) = pair();
        self.accept.send((self.replica, self.process, End::Storage(theirs))).await.unwrap();
        Ok(ours)
    }
}

#[async_trait]
impl ReplicaLauncher for Launcher {
    fn ensure(&self, spec: &ReplicaSpec) -> Result<Vec<Arc<dyn Link>>, LinkError> {
        let link = |process| TestLink { replica: spec.replica, process, accept: self.accept.clone() };
        Ok((0..spec.size.processes).map(|process| Arc::new(link(process)) as Arc<dyn Link>).collect())
    }

    fn stop(&self, _: &ReplicaSpec) {}

    async fn retain(&self, _: &[ReplicaSpec]) {}
}

/// A controller and everything around it.
pub(crate) struct World {
    pub(crate) controller: Controller,
    pub(crate) shards: Shards,
    pub(crate) tasks: Tasks,
    accepted: mpsc::Receiver<(ReplicaId, usize, End)>,
}

impl World {
    /// Waits for the next process to be connected to; it has said welcome.
    pub(crate) async fn accept(&mut self) -> Process {
        let (replica, process, End::Storage(storage)) = self.accepted.recv().await.unwrap() else {
            panic!("storage is connected first")
        };
        let (_, _, End::Compute(compute)) = self.accepted.recv().await.unwrap() else { panic!("then compute") };
        let mut process = Process { replica, process, compute, storage };
        process.welcome().await;
        process
    }

    pub(crate) async fn accept_of(&mut self, replica: ReplicaId) -> Process {
        let process = self.accept().await;
        assert_eq!(process.replica, replica);
        process
    }

    pub(crate) fn replica(&self, replica: ReplicaId, processes: usize) {
        let size = ReplicaSize { workers: 1, processes };
        let service = ServiceId(replica.0);
        self.controller.create_replica(CLUSTER, replica, replica.to_string(), service, size);
    }

    /// Lets everything else happen that can happen at this time, and then `ms` of time pass.
    pub(crate) async fn pass(&self, ms: u64) {
        self.tasks.sleep(Duration::from_millis(ms)).await;
    }

    pub(crate) fn now(&self) -> u64 {
        self.tasks.clock().wall_ms()
    }
}

/// Runs a test under several schedules; the one that fails is printed.
pub(crate) fn check<F: Future<Output = ()> + Send + 'static>(test: impl Fn(World) -> F) {
    for seed in 0..20 {
        let executor = Executor::new(Rng::from_seed(seed), START_MS);
        let tasks = executor.tasks(0);
        let inner = Arc::new(ShardsInner { shards: Mutex::default(), changes: watch::Sender::new(0) });
        let shards = Shards { inner, clock: Arc::clone(tasks.clock()) };
        let (accept, accepted) = mpsc::channel(100);
        let controller = Controller::new(ControllerConfig {
            tasks: tasks.clone(),
            rng: Rng::from_seed(seed),
            durable: Arc::new(shards.clone()),
            launcher: Arc::new(Launcher { accept }),
            version: "test".to_owned(),
        });
        controller.create_cluster(CLUSTER);
        let run = test(World { controller, shards, tasks, accepted });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| executor.block_on(run)));
        if let Err(panic) = result {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

pub(crate) fn plan() -> Plan {
    Plan { id: 1, kinds: Vec::new(), node: Node::Constant { rows: Ok(Vec::new()) } }
}

pub(crate) fn dataflow(imports: Vec<Import>, export: Export, as_of: u64) -> Dataflow {
    let objects = vec![Object { id: user(99), plan: plan() }];
    Dataflow { name: "test".to_owned(), imports, objects, exports: vec![export], as_of: ts(as_of), until: None }
}

pub(crate) fn shard_import(id: u64, shard: u64) -> Import {
    Import::Shard { id: user(id), shard: ShardId(shard), kinds: Vec::new() }
}

pub(crate) fn index_import(id: u64) -> Import {
    Import::Index { index: user(id), on: user(99), key: Vec::new(), kinds: Vec::new() }
}

pub(crate) fn index_export(id: u64) -> Export {
    Export::Index { index: user(id), on: user(99), key: Vec::new(), kinds: Vec::new() }
}

pub(crate) fn view_export(id: u64, shard: u64) -> Export {
    let desc = repr::RelationDesc::default();
    Export::MaterializedView { id: user(id), on: user(99), shard: ShardId(shard), desc }
}

pub(crate) fn peek(number: u128, index: u64, at: u64) -> Peek {
    Peek {
        id: Uuid::from_u128(number),
        target: PeekTarget::Index { index: user(index), lookup: None, front: 0 },
        at: ts(at),
        mfp: expr::Mfp::identity(Vec::new()),
        order: protocol::RowOrder::default(),
        result_bytes_max: 1 << 20,
        after: 0,
    }
}
