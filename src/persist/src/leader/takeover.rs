//! How a leader comes into office: load, stand by while another one is alive, `Open` at the first free slot.
//!
//! On a log without a lock nothing but silence tells a leader that is dead from one that is alive. Whoever wants to lead
//! watches for a lease first: of two processes that a supervisor restarts for ever, neither fences the other.

use std::fmt;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, select};
use stdx::Backoff;
use tracing::{info, warn};
use uuid::Uuid;

use crate::checkpoint::decode_state;
use crate::codec::DecodeError;
use crate::encode::{decode_txns, encode_txns};
use crate::leader::{LeaderConfig, OpenError};
use crate::log::{Append, Checkpoint, Entry, Log, LogError, Slot};
use crate::op::{Op, Txn};
use crate::state::State;

/// A leader, as the log knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderId {
    pub epoch: u64,
    pub generation: u64,
    pub nonce: Uuid,
}

impl fmt::Display for LeaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the leader of epoch {} (generation {}, {})", self.epoch, self.generation, self.nonce)
    }
}

/// Where a process stands on its way into office.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reads the log.
    Loading,
    /// Waits whether the leader before is silent for a lease.
    Watching(LeaderId),
    /// Another leader is alive: follows it until it falls silent or hands over.
    StandingBy(LeaderId),
    /// Has opened its epoch, and waits until nothing that its predecessor still answers can be wrong.
    AwaitingLease(LeaderId),
    Leading,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Loading => f.write_str("loading the log"),
            Stage::Watching(leader) => write!(f, "watching whether {leader} is alive"),
            Stage::StandingBy(leader) => write!(f, "standing by: {leader} is alive"),
            Stage::AwaitingLease(leader) => write!(f, "taking over from {leader}: waiting for its lease to end"),
            Stage::Leading => f.write_str("leading"),
        }
    }
}

/// What an `Open` that was found committed leads to.
pub(crate) struct Taken {
    /// With our `Open` in it.
    pub(crate) state: State,
    /// Before it.
    pub(crate) before: Before,
    /// When the append of `Open` started.
    pub(crate) started: Duration,
    pub(crate) started_wall_ms: u64,
    /// When we learned that it is committed: the predecessor's lease is counted from here.
    pub(crate) returned: Duration,
    /// The log was silent for a lease up to this very slot: there is nothing left to wait for.
    pub(crate) watched: bool,
}

/// The leadership before ours.
pub(crate) struct Before {
    pub(crate) leader: LeaderId,
    pub(crate) closed: bool,
    pub(crate) lease: Duration,
}

impl Before {
    fn of(state: &State) -> Before {
        Before { leader: leader_of(state), closed: state.closed, lease: Duration::from_millis(state.lease_ms) }
    }
}

fn leader_of(state: &State) -> LeaderId {
    LeaderId { epoch: state.epoch, generation: state.generation, nonce: state.nonce }
}

/// What is to be done before `Open`.
enum Approach {
    /// Nobody can be in office: a new log, one that was handed over, one whose lock we hold; or someone who shall be fenced.
    Open,
    /// Only if nothing is appended for so long.
    Watch(Duration),
}

/// How a watch ended.
enum Watched {
    Silent,
    /// The log was handed over, or is another generation's now.
    Changed,
    /// Entries that we have not seen are gone.
    Behind,
}

/// How an `Open` ended.
enum Opened {
    Taken(Box<Taken>),
    /// Someone else has the slot; the state includes it.
    Occupied,
    /// The slot lay below the truncation point.
    Behind,
}

/// Takes the log over, however long another leader lives.
pub(crate) async fn take_over(config: &LeaderConfig) -> Result<Taken, OpenError> {
    let nonce = Uuid::from_bytes(config.rng.bytes16());
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
    let mut alive = None;
    loop {
        let mut state = match load(config.log.as_ref()).await {
            Err(OpenError::Log(LogError::Indeterminate(cause))) => {
                warn!(cause, "the log cannot be read: trying again");
                config.tasks.sleep(backoff.next_delay()).await;
                continue;
            }
            loaded => loaded?,
        };
        if let Some(taken) = take_over_from(config, nonce, &mut state, &mut alive).await? {
            return Ok(taken);
        }
        // What was loaded lies below a truncation point by now: start over.
    }
}

/// None: the state is out of date. `alive` is the epoch whose leader was seen to be alive.
async fn take_over_from(
    config: &LeaderConfig,
    nonce: Uuid,
    state: &mut State,
    alive: &mut Option<u64>,
) -> Result<Option<Taken>, OpenError> {
    loop {
        let watched = match approach(config, state)? {
            Approach::Open => false,
            Approach::Watch(lease) => match watch(config, state, lease, alive).await? {
                Watched::Silent => true,
                Watched::Changed => continue,
                Watched::Behind => return Ok(None),
            },
        };
        match open_epoch(config, nonce, state, watched).await? {
            Opened::Taken(taken) => return Ok(Some(*taken)),
            Opened::Occupied => {}
            Opened::Behind => return Ok(None),
        }
    }
}

fn approach(config: &LeaderConfig, state: &State) -> Result<Approach, OpenError> {
    if state.version_max > config.version {
        let (written, ours) = (state.version_max, config.version);
        let text = format!("the log was last written by program version {written}; this one has version {ours}");
        return Err(OpenError::Newer(text));
    }
    if state.generation > config.generation {
        return Err(OpenError::Fenced { mine: config.generation, actual: state.generation });
    }
    let vacant = state.epoch == 0 || state.closed || config.log.lock_proves_leadership();
    if vacant || state.generation < config.generation {
        return Ok(Approach::Open);
    }
    if config.force_takeover {
        warn!(from = %leader_of(state), "taking over by force");
        return Ok(Approach::Open);
    }
    let theirs = Duration::from_millis(state.lease_ms);
    Ok(Approach::Watch(theirs.max(config.lease.unwrap_or_default())))
}

/// Follows the log until nothing was appended for `lease`, or something has changed.
async fn watch(
    config: &LeaderConfig,
    state: &mut State,
    lease: Duration,
    alive: &mut Option<u64>,
) -> Result<Watched, OpenError> {
    let (tasks, log) = (&config.tasks, &config.log);
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
    let mut deadline = tasks.clock().boot() + lease;
    let leader = leader_of(state);
    // After a reload we know already who is alive.
    config.announce(if *alive == Some(leader.epoch) { Stage::StandingBy(leader) } else { Stage::Watching(leader) });
    let mut tail = log.tail(state.next_seq);
    loop {
        let rest = deadline.saturating_sub(tasks.clock().boot());
        if rest.is_zero() {
            info!(leader = %leader_of(state), ?lease, "the leader is silent: taking over");
            return Ok(Watched::Silent);
        }
        let next = match select(tail.next(), tasks.sleep(rest)).await {
            Either::Left((next, _)) => next,
            Either::Right(((), _)) => continue,
        };
        match next {
            Some(Ok(entry)) => {
                replay(state, &entry)?;
                if state.closed || state.generation != config.generation {
                    return Ok(Watched::Changed);
                }
                deadline = tasks.clock().boot() + lease;
                if alive.replace(state.epoch) != Some(state.epoch) {
                    info!(leader = %leader_of(state), "standing by: the leader is alive");
                    config.announce(Stage::StandingBy(leader_of(state)));
                }
                backoff.reset();
            }
            Some(Err(LogError::Truncated)) => return Ok(Watched::Behind),
            Some(Err(LogError::Indeterminate(_))) | None => {
                tasks.sleep(backoff.next_delay()).await;
                tail = log.tail(state.next_seq);
            }
            Some(Err(error)) => return Err(error.into()),
        }
    }
}

/// Appends `Open` at the slot that `state` names as the next.
async fn open_epoch(config: &LeaderConfig, nonce: Uuid, state: &mut State, watched: bool) -> Result<Opened, OpenError> {
    let clock = config.tasks.clock();
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
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
    let (mut started, mut started_wall_ms) = (clock.boot(), clock.wall_ms());
    loop {
        // Until `read` has seen it, even a committed `Open` may lie below a truncation point.
        match config.log.append(entry.clone()).await {
            Ok(Append::Committed { .. } | Append::Occupied(_)) | Err(LogError::Indeterminate(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let asked = (clock.boot(), clock.wall_ms());
        match config.log.read(entry.seq).await {
            Ok(Slot::Present(found)) if found == entry => {
                let returned = clock.boot();
                let before = Before::of(state);
                replay(state, &entry)?;
                let state = std::mem::take(state);
                let taken = Taken { state, before, started, started_wall_ms, returned, watched };
                return Ok(Opened::Taken(Box::new(taken)));
            }
            Ok(Slot::Present(found)) => {
                replay(state, &found)?;
                return Ok(Opened::Occupied);
            }
            Ok(Slot::Truncated) => return Ok(Opened::Behind),
            Ok(Slot::Absent) => {
                // It can land at any time from here on.
                (started, started_wall_ms) = asked;
                config.tasks.sleep(backoff.next_delay()).await;
            }
            Err(LogError::Indeterminate(_)) => config.tasks.sleep(backoff.next_delay()).await,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn load(log: &dyn Log) -> Result<State, OpenError> {
    let (checkpoint, entries) = log.load().await?;
    let mut state = match checkpoint {
        Some(checkpoint) => restore_checkpoint(&checkpoint)?,
        None => State { next_seq: 1, ..State::default() },
    };
    for entry in &entries {
        replay(&mut state, entry)?;
    }
    Ok(state)
}

pub(crate) fn restore_checkpoint(checkpoint: &Checkpoint) -> Result<State, OpenError> {
    let state = decode_state(&checkpoint.state).map_err(|error| unreadable(error, "checkpoint"))?;
    if state.next_seq != checkpoint.upto + 1 || state.log_id != checkpoint.log_id {
        return Err(OpenError::Corrupt(format!("the checkpoint up to {} holds another state", checkpoint.upto)));
    }
    let unsound = |broken| OpenError::Corrupt(format!("the checkpoint up to {}: {broken}", checkpoint.upto));
    state.check().map_err(unsound)?;
    Ok(state)
}

pub(crate) fn replay(state: &mut State, entry: &Entry) -> Result<(), OpenError> {
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
