//! From a log that was taken over to a leader that answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tracing::info;

use crate::blob::BatchStore;
use crate::hold::HoldTable;
use crate::leader::backup::{Backups, expire_pins};
use crate::leader::core::{Core, Delayed, LastAppend, QUEUE_KIB_MAX, Settings, Shared, hollow_keys};
use crate::leader::handle::LeaderHandle;
use crate::leader::takeover::{Before, Stage, Taken, take_over};
use crate::leader::{LEASE, LeaderConfig, OpenError, collect, compact, orphans, run};
use crate::log::Log;
use crate::timeline::Timeline;

/// Takes over a log.
pub struct Leader;

impl Leader {
    /// Stands by while another leader is alive, opens the next epoch, waits until the leader before can answer no more, and
    /// starts to take requests.
    pub async fn open(config: LeaderConfig) -> Result<LeaderHandle, OpenError> {
        let taken = take_over(&config).await?;
        let (until, before) = (taken.returned + wait_after(&config, &taken), taken.before.leader);
        let shared = Arc::new(shared(&config, taken));
        // It keeps its lease alive from the first moment on: another one may be watching.
        let mut tasks = vec![config.tasks.spawn("persist-leader", lead(Arc::clone(&shared), Arc::clone(&config.log)))];
        if until > shared.boot() {
            config.announce(Stage::AwaitingLease(before));
        }
        while let rest = until.saturating_sub(shared.boot())
            && !rest.is_zero()
        {
            config.tasks.sleep(rest).await;
            let halt = shared.halt.borrow().clone();
            if let Some(halt) = halt {
                return Err(OpenError::Halted(halt));
            }
        }
        config.log.begin_leading().await?;
        info!(log_id = %shared.log_id, epoch = shared.epoch, generation = shared.generation, "leading the log");
        config.announce(Stage::Leading);
        tasks.push(config.tasks.spawn("persist-compaction", compact::run(Arc::clone(&shared))));
        tasks.push(config.tasks.spawn("persist-large-compaction", compact::run_large(Arc::clone(&shared))));
        tasks.push(config.tasks.spawn("persist-idle-compaction", compact::find_idle(Arc::clone(&shared))));
        tasks.push(config.tasks.spawn("persist-orphans", orphans::run(Arc::clone(&shared))));
        tasks.push(config.tasks.spawn("persist-collection", collect::run(Arc::clone(&shared))));
        tasks.push(config.tasks.spawn("persist-pins", expire_pins(Arc::clone(&shared))));
        Ok(LeaderHandle::new(shared, tasks))
    }
}

/// How long after our `Open` the leader before us may still give answers that our first acknowledgement would make wrong.
fn wait_after(config: &LeaderConfig, taken: &Taken) -> Duration {
    let Before { leader, closed, lease } = &taken.before;
    if leader.epoch == 0 || *closed || taken.watched {
        return Duration::ZERO;
    }
    match config.log.predecessor_has_ended() {
        Some(true) => Duration::ZERO,
        Some(false) => (*lease).max(LEASE),
        None => *lease,
    }
}

async fn lead(shared: Arc<Shared>, log: Arc<dyn Log>) {
    run::run(&shared, log).await;
    shared.released.send_replace(true);
}

fn shared(config: &LeaderConfig, taken: Taken) -> Shared {
    let Taken { state, started: opened_at, started_wall_ms, .. } = taken;
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
    let mut plans = compact::Plans::new(config.large_merge_bytes);
    for (id, _) in state.shards.iter().filter(|(_, shard)| compact::wants_compaction(shard)) {
        plans.want(*id);
    }
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
            hurried: false,
            disk_full: false,
            closing: false,
            last: LastAppend { start: opened_at, wall_ms: started_wall_ms, stored_at: None, took: Duration::ZERO },
            since_moved_at: Duration::ZERO,
            incarnations: BTreeMap::new(),
            retention: BTreeMap::new(),
            plans,
            delayed,
            readers: BTreeMap::new(),
            next_reader: 0,
        }),
        work: Notify::new(),
        compaction: Notify::new(),
        large_compaction: Notify::new(),
        moved: watch::Sender::new(0),
        halt: watch::Sender::new(None),
        released: watch::Sender::new(false),
        budget: Arc::new(Semaphore::new(QUEUE_KIB_MAX)),
        turn: Semaphore::new(1),
        counters: Arc::default(),
        written: Default::default(),
        backups: Backups::new(&config.log),
        helper: Mutex::new(None),
    }
}
