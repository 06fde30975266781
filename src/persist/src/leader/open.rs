//! How a leader takes over: load, replay, `Open` at the first free slot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stdx::Backoff;
use tokio::sync::{Notify, Semaphore, watch};
use tracing::info;
use uuid::Uuid;

use crate::blob::BatchStore;
use crate::checkpoint::decode_state;
use crate::codec::DecodeError;
use crate::encode::{decode_txns, encode_txns};
use crate::hold::HoldTable;
use crate::leader::core::{Core, Delayed, QUEUE_KIB_MAX, Settings, Shared, hollow_keys};
use crate::leader::handle::LeaderHandle;
use crate::leader::{LeaderConfig, OpenError, collect, compact, run};
use crate::log::{Append, Checkpoint, Entry, Log, LogError, Slot};
use crate::op::{Op, Txn};
use crate::state::State;
use crate::timeline::Timeline;

/// Takes over a log.
pub struct Leader;

impl Leader {
    /// Opens the next epoch, waits until the leader before can answer no more, and starts to take requests.
    pub async fn open(config: LeaderConfig) -> Result<LeaderHandle, OpenError> {
        let (state, before, opened_at) = take_over(&config).await?;
        if before.epoch > 0 && !before.closed && before.lease_ms > 0 {
            config.tasks.sleep(Duration::from_millis(before.lease_ms)).await;
        }
        let shared = Arc::new(shared(&config, state, opened_at));
        info!(log_id = %shared.log_id, epoch = shared.epoch, generation = shared.generation, "leading the log");
        let tasks = vec![
            config.tasks.spawn("persist-leader", lead(Arc::clone(&shared), config.log)),
            config.tasks.spawn("persist-compaction", compact::run(Arc::clone(&shared))),
            config.tasks.spawn("persist-collection", collect::run(Arc::clone(&shared))),
        ];
        Ok(LeaderHandle::new(shared, tasks))
    }
}

async fn lead(shared: Arc<Shared>, log: Arc<dyn Log>) {
    run::run(&shared, log).await;
    shared.released.send_replace(true);
}

fn shared(config: &LeaderConfig, state: State, opened_at: Duration) -> Shared {
    let holds = Arc::new(HoldTable::default());
    let mut delayed = Vec::new();
    for (id, shard) in &state.shards {
        if shard.retired {
            let keys = shard.batches.iter().flat_map(hollow_keys).collect();
            delayed.push(Delayed { keys, seq: 0, at: opened_at, forget: Some(*id) });
        } else {
            holds.insert(*id, shard.since);
        }
    }
    let to_compact: BTreeSet<_> =
        state.shards.iter().filter(|(_, s)| compact::wants_compaction(s)).map(|(id, _)| *id).collect();
    let floor = state.floor();
    Shared {
        tasks: config.tasks.clone(),
        store: BatchStore {
            blob: Arc::clone(&config.blob),
            tasks: config.tasks.clone(),
            rng: config.rng.clone(),
            inline_bytes_max: config.inline_bytes_max,
        },
        settings: Settings::of(config),
        log_id: state.log_id,
        epoch: state.epoch,
        generation: state.generation,
        nonce: state.nonce,
        floor,
        opened_at: config.tasks.clock().boot(),
        timeline: Timeline::new(Arc::clone(config.tasks.clock()), floor),
        holds,
        core: Mutex::new(Core {
            speculative: state.clone(),
            durable: state,
            queue: VecDeque::new(),
            disk_full: false,
            closing: false,
            committed_start: opened_at,
            since_moved_at: Duration::ZERO,
            incarnations: BTreeMap::new(),
            retention_ms: BTreeMap::new(),
            to_compact,
            delayed,
            readers: BTreeMap::new(),
            next_reader: 0,
        }),
        work: Notify::new(),
        compaction: Notify::new(),
        moved: watch::Sender::new(0),
        halt: watch::Sender::new(None),
        released: watch::Sender::new(false),
        budget: Arc::new(Semaphore::new(QUEUE_KIB_MAX)),
        turn: Semaphore::new(1),
    }
}

/// The state after our `Open`, the one before it, and when the append of `Open` started.
async fn take_over(config: &LeaderConfig) -> Result<(State, State, Duration), OpenError> {
    loop {
        let mut state = load(config.log.as_ref()).await?;
        if let Some(taken) = open_epoch(config, &mut state).await? {
            return Ok(taken);
        }
        // The slot lay below a truncation point that `load` did not know yet: start over.
    }
}

async fn load(log: &dyn Log) -> Result<State, OpenError> {
    let (checkpoint, entries) = log.load().await?;
    let mut state = match checkpoint {
        Some(checkpoint) => restore(&checkpoint)?,
        None => State { next_seq: 1, ..State::default() },
    };
    for entry in &entries {
        replay(&mut state, entry)?;
    }
    Ok(state)
}

fn restore(checkpoint: &Checkpoint) -> Result<State, OpenError> {
    let state = decode_state(&checkpoint.state).map_err(|error| unreadable(error, "checkpoint"))?;
    if state.next_seq != checkpoint.upto + 1 || state.log_id != checkpoint.log_id {
        return Err(OpenError::Corrupt(format!("the checkpoint up to {} holds another state", checkpoint.upto)));
    }
    Ok(state)
}

fn replay(state: &mut State, entry: &Entry) -> Result<(), OpenError> {
    let corrupt = |cause: String| OpenError::Corrupt(format!("entry {}: {cause}", entry.seq));
    if entry.seq != state.next_seq {
        return Err(corrupt(format!("stands in the place of entry {}", state.next_seq)));
    }
    let txns = decode_txns(&entry.body).map_err(|error| unreadable(error, &format!("entry {}", entry.seq)))?;
    for txn in &txns {
        state.apply(txn).map_err(|reject| corrupt(reject.to_string()))?;
    }
    if entry.epoch != state.epoch {
        return Err(corrupt(format!("is of epoch {} within epoch {}", entry.epoch, state.epoch)));
    }
    state.next_seq += 1;
    Ok(())
}

fn unreadable(error: DecodeError, what: &str) -> OpenError {
    match error {
        DecodeError::Newer { .. } => OpenError::Newer(format!("{what}: {error}")),
        DecodeError::Damaged(_) => OpenError::Corrupt(format!("{what}: {error}")),
    }
}

/// Appends `Open` at the first free slot; none if that lay below the truncation point.
async fn open_epoch(config: &LeaderConfig, state: &mut State) -> Result<Option<(State, State, Duration)>, OpenError> {
    let nonce = Uuid::from_bytes(config.rng.bytes16());
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
    loop {
        if state.version_max > config.version {
            let text = format!(
                "the log was last written by program version {}; this one has version {}",
                state.version_max, config.version
            );
            return Err(OpenError::Newer(text));
        }
        if state.generation > config.generation {
            return Err(OpenError::Fenced { mine: config.generation, actual: state.generation });
        }
        let log_id = if state.epoch == 0 { Uuid::from_bytes(config.rng.bytes16()) } else { state.log_id };
        let open = Txn::from(Op::Open {
            log_id,
            epoch: state.epoch + 1,
            nonce,
            generation: config.generation,
            version: config.version,
            lease_ms: config.lease.map_or(0, |lease| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)),
        });
        let entry = Entry::new(state.next_seq, state.epoch + 1, nonce, encode_txns(std::slice::from_ref(&open)));
        let started = config.tasks.clock().boot();
        // Until `read` has seen it, even a committed `Open` may lie below a truncation point.
        match config.log.append(entry.clone()).await {
            Ok(Append::Committed { .. } | Append::Occupied(_)) | Err(LogError::Indeterminate(_)) => {}
            Err(error) => return Err(error.into()),
        }
        match config.log.read(entry.seq).await {
            Ok(Slot::Present(found)) if found == entry => {
                let before = state.clone();
                replay(state, &entry)?;
                return Ok(Some((state.clone(), before, started)));
            }
            Ok(Slot::Present(found)) => replay(state, &found)?,
            Ok(Slot::Truncated) => return Ok(None),
            Ok(Slot::Absent) | Err(LogError::Indeterminate(_)) => config.tasks.sleep(backoff.next_delay()).await,
            Err(error) => return Err(error.into()),
        }
    }
}
