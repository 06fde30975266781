//! What the simulated processes share: the stores, the seed's mix of faults, and the history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use persist::{Blob, LeaderConfig, LeaderHandle, Log, MemLog, OpenError, Part, memory_blob};
use repr::{Row, ShardId, Timestamp};
use stdx::sim::Executor;
use stdx::{Rng, Tasks};

use super::blobs::{BlobFaults, faulty};
use super::history::{History, Told};
use super::sabotage::{Rule, tampered};

pub(crate) const TABLES: [ShardId; 2] = [ShardId(1), ShardId(2)];
pub(crate) const SOLOS: [ShardId; 2] = [ShardId(11), ShardId(12)];
/// Shards made on the way have ids from here on.
const FIRST_MADE: u64 = 100;
/// What is under way in the network goes on when its sender is killed.
const NETWORK: u64 = u64::MAX - 7;

/// A shard made on the way, and whether it is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) grouped: bool,
    pub(crate) made: Told,
    /// None: nobody has tried to drop it.
    pub(crate) dropped: Option<Told>,
    pub(crate) closed: bool,
}

/// An append whose outcome is not known; to be tried again with its token.
#[derive(Clone)]
pub(crate) struct Retry {
    pub(crate) write: usize,
    pub(crate) shard: ShardId,
    pub(crate) expect: Timestamp,
    pub(crate) upper: Timestamp,
    pub(crate) updates: Vec<(Row, Timestamp, repr::Diff)>,
    pub(crate) token: uuid::Uuid,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) executor: Executor,
    pub(crate) log: MemLog,
    pub(crate) blob: Blob,
    pub(crate) rng: Rng,
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) made: Arc<Mutex<BTreeMap<ShardId, Made>>>,
    pub(crate) retries: Arc<Mutex<Vec<Retry>>>,
    pub(crate) faults: persist::Faults,
    pub(crate) blob_faults: BlobFaults,
    /// The rule that is switched off, if any.
    pub(crate) off: Option<Rule>,
    numbers: Arc<Mutex<Numbers>>,
}

#[derive(Default)]
struct Numbers {
    row: u64,
    generation: u64,
    epochs: BTreeSet<u64>,
}

impl World {
    /// Draws a mix of faults: some seeds have none, some have all.
    pub(crate) fn new(executor: &Executor, rng: &Rng, off: Option<Rule>) -> World {
        let some = |most: u64| if rng.below(2) == 0 { 0 } else { rng.below(most) };
        let faults = persist::Faults {
            delay_ms_max: some(50),
            lose_request: some(60),
            lose_reply: some(80),
            duplicate: some(80),
            reorder: some(60),
            disk_full: some(20),
        };
        let mut blob_faults =
            BlobFaults { delay_ms_max: some(100), fail: some(50), lose_reply: some(50), disk_full: some(20), lie: 0 };
        if off == Some(Rule::StoreParts) {
            blob_faults.lie = 100;
        }
        World {
            executor: executor.clone(),
            log: MemLog::new(),
            blob: memory_blob(),
            rng: rng.clone(),
            history: Arc::default(),
            made: Arc::default(),
            retries: Arc::default(),
            faults,
            blob_faults,
            off,
            numbers: Arc::new(Mutex::new(Numbers { generation: 1, ..Numbers::default() })),
        }
    }

    /// A world in which nothing goes wrong any more.
    pub(crate) fn calm(&self) -> World {
        World { faults: persist::Faults::default(), blob_faults: BlobFaults::default(), off: None, ..self.clone() }
    }

    pub(crate) fn is_off(&self, rule: Rule) -> bool {
        self.off == Some(rule)
    }

    /// What the next process starts with.
    pub(crate) fn config(&self, tasks: Tasks) -> LeaderConfig {
        let network = self.executor.tasks(NETWORK);
        let log = self.log.with_faults(self.faults, self.rng.clone(), network);
        let log: Arc<dyn Log> = match self.off {
            Some(rule) => tampered(log, rule, self.rng.clone()),
            None => Arc::new(log),
        };
        let blob = faulty(&self.blob, self.blob_faults, self.rng.clone(), tasks.clone());
        let mut config = LeaderConfig::new(log, blob, tasks, self.rng.clone());
        config.generation = {
            let mut numbers = self.numbers.lock();
            numbers.generation += self.rng.below(2);
            numbers.generation
        };
        config.lease = (!self.is_off(Rule::Lease)).then_some(Duration::from_secs(15));
        config.boot_grace = Duration::from_secs(self.rng.below(4));
        config.checkpoint_bytes = 1 << (9 + self.rng.below(4));
        config.checkpoint_every = Duration::from_secs(5);
        config.inline_bytes_max = 300;
        config.delete_after = Duration::from_secs(3);
        config
    }

    /// Checks how a leader starts.
    pub(crate) fn opened(&self, leader: &LeaderHandle) {
        let history = self.history.lock();
        let mut numbers = self.numbers.lock();
        assert!(leader.now() >= leader.floor(), "the clock starts below the floor");
        assert!(numbers.epochs.insert(leader.epoch()), "two leaders of epoch {}", leader.epoch());
        if numbers.epochs.last() != Some(&leader.epoch()) {
            // Its successor was faster.
            return;
        }
        assert!(leader.floor() >= history.read_ts, "the oracle starts below an answered read");
        drop(numbers);
        for (shard, made) in self.made.lock().iter() {
            let there = leader.is_shard(*shard);
            match (made.made, made.dropped) {
                (Told::Made, None) => assert!(there, "{shard} was made, and is gone"),
                (Told::Refused, _) => assert!(!there, "{shard} was refused, and is there"),
                (_, Some(Told::Made)) => assert!(!there, "{shard} was dropped, and is there"),
                (Told::Made, Some(Told::Refused)) => assert!(there, "dropping {shard} was refused, and it is gone"),
                (Told::Nothing, _) | (_, Some(Told::Nothing)) => {}
            }
        }
    }

    /// A refusal to start that the run can cause.
    pub(crate) fn refused(&self, error: &OpenError) {
        match error {
            OpenError::Fenced { .. } | OpenError::Halted(persist::Halt::Fenced { .. }) => {}
            OpenError::Log(persist::LogError::DiskFull(_) | persist::LogError::Indeterminate(_)) => {}
            error => panic!("the log does not open: {error}"),
        }
    }

    /// Whether another leader has come after the one of `epoch`.
    pub(crate) fn is_past(&self, epoch: u64) -> bool {
        self.numbers.lock().epochs.last().is_some_and(|newest| *newest > epoch)
    }

    pub(crate) fn row(&self) -> Row {
        let mut numbers = self.numbers.lock();
        numbers.row += 1;
        let mut bytes = numbers.row.to_be_bytes().to_vec();
        bytes.resize(8 + usize::try_from(self.rng.below(120)).expect("small"), 7);
        Row::from_bytes(&bytes)
    }

    pub(crate) fn new_shard(&self, grouped: bool) -> ShardId {
        let mut made = self.made.lock();
        let id = ShardId(FIRST_MADE + made.len() as u64);
        made.insert(id, Made { grouped, made: Told::Nothing, dropped: None, closed: false });
        id
    }

    pub(crate) fn uuid(&self) -> uuid::Uuid {
        uuid::Uuid::from_bytes(self.rng.bytes16())
    }

    pub(crate) fn one_in(&self, count: u64) -> bool {
        self.rng.below(count) == 0
    }

    /// A table, or with `grouped` false a shard with an upper of its own.
    pub(crate) fn pick(&self, grouped: bool) -> ShardId {
        let mut shards = if grouped { TABLES.to_vec() } else { SOLOS.to_vec() };
        let there = |made: &Made| made.grouped == grouped && made.made == Told::Made && made.dropped.is_none();
        shards.extend(self.made.lock().iter().filter(|(_, made)| there(made)).map(|(id, _)| *id));
        shards[usize::try_from(self.rng.below(shards.len() as u64)).expect("small")]
    }

    /// Whether someone has tried to drop it.
    pub(crate) fn may_be_gone(&self, shard: ShardId) -> bool {
        self.made.lock().get(&shard).is_some_and(|made| made.dropped.is_some())
    }

    /// Every part that a state names is there.
    pub(crate) async fn check_parts(&self, leader: &LeaderHandle) {
        let state = leader.state();
        state.check().expect("the state's own invariants hold");
        let live = state.shards.values().filter(|shard| !shard.retired);
        for part in live.flat_map(|shard| shard.batches.iter()).flat_map(|batch| batch.parts.iter()) {
            let Part::Hollow(part) = part else { continue };
            let path = object_store::path::Path::from(part.key.as_str());
            let head = object_store::ObjectStoreExt::head(self.blob.as_ref(), &path).await;
            assert!(head.is_ok(), "{} is named by the state, and gone", part.key);
        }
    }
}
