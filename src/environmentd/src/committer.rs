//! The one serial point: every write, every DDL and every tick becomes part of one log append at a time.
//!
//! One loop: drain everything that waits, admit member by member in queue order (each also against the earlier members of
//! the same batch; a refused one is refused alone), choose a time, append, then move the oracle and reply to all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use catalog::{CATALOG_SHARD, Transacted};
use futures::future::{Either, select};
use persist::{Commit, CommitError, CreateShard, GroupId, LeaderHandle, Validate};
use repr::{Diff, Row, ShardId, Timestamp};
use stdx::Tasks;
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::error::Error;
use crate::oracle::Oracle;

/// The group of the tables and the catalog: one shared upper.
pub(crate) const TABLES: GroupId = GroupId(0);

/// Members of one batch at most.
const BATCH_MEMBERS_MAX: usize = 4096;
/// Submissions that may wait; a session that finds the queue full waits with its own.
const QUEUE_MAX: usize = 16_384;
const TICK: Duration = Duration::from_secs(1);
/// How far ahead of the clock a commit may lie.
const AHEAD_MAX: Duration = Duration::from_millis(1);

/// Rows to change in each table.
pub(crate) type Appends = BTreeMap<ShardId, Vec<(Row, Diff)>>;

/// Why a submission was refused.
#[derive(Debug)]
pub(crate) enum SubmitError {
    /// Another write came between the statement's read and its commit: read again.
    Conflict,
    /// The catalog has changed since the statement was planned: plan again.
    Stale,
    /// The statement fails.
    Failed(Error),
}

/// Makes the consequences of a DDL true once it is durable: in order, one at a time.
pub(crate) trait Realize: Send + Sync + 'static {
    fn realize(&self, transacted: Transacted);
    /// The newest version of the catalog.
    fn catalog_version(&self) -> u64;
}

enum Submission {
    Write {
        appends: Appends,
        validate: Option<Validate>,
        /// Set by the holder of an [`Exclusive`].
        ticket: Option<u64>,
        reply: oneshot::Sender<Result<Timestamp, SubmitError>>,
    },
    Ddl {
        /// The version it was planned on.
        version: u64,
        transacted: Box<Transacted>,
        reply: oneshot::Sender<Result<Timestamp, SubmitError>>,
    },
    /// Moves the tables' upper beyond a time.
    Tick {
        at: Timestamp,
    },
    Reserve {
        ticket: u64,
        tables: BTreeSet<ShardId>,
        granted: oneshot::Sender<()>,
    },
    Release {
        ticket: u64,
    },
}

/// The sessions' end of the committer; cheap to clone.
#[derive(Clone)]
pub(crate) struct Committer {
    queue: mpsc::Sender<Submission>,
    tickets: Arc<std::sync::atomic::AtomicU64>,
}

/// While it lives, other writers of its tables wait. Statements that keep losing their validation take one.
pub(crate) struct Exclusive {
    ticket: u64,
    queue: mpsc::Sender<Submission>,
    tasks: Tasks,
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        let (queue, ticket) = (self.queue.clone(), self.ticket);
        // Sending may have to wait for room, which a destructor cannot.
        self.tasks
            .spawn("release exclusive tables", async move {
                // The committer is gone only when the process ends.
                let _ = queue.send(Submission::Release { ticket }).await;
            })
            .detach();
    }
}

fn shutting_down() -> SubmitError {
    SubmitError::Failed(Error::fatal("57P01", "terminating connection due to administrator command"))
}

impl Committer {
    /// Starts the loop. It runs until every handle is gone.
    pub(crate) fn start(
        tasks: &Tasks,
        leader: LeaderHandle,
        oracle: Arc<Oracle>,
        realize: Arc<dyn Realize>,
    ) -> (Committer, stdx::Task) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let running = Loop {
            tasks: tasks.clone(),
            leader,
            oracle,
            realize,
            last_write: BTreeMap::new(),
            retired: BTreeSet::new(),
            reserved: None,
            waiting_reservations: VecDeque::new(),
            deferred: VecDeque::new(),
        };
        let task = tasks.spawn("committer", running.run(receiver));
        (Committer { queue: sender, tickets: Arc::default() }, task)
    }

    async fn submit(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<Timestamp, SubmitError>>) -> Submission,
    ) -> Result<Timestamp, SubmitError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(make(reply)).await.map_err(|_| shutting_down())?;
        answer.await.unwrap_or_else(|_| Err(shutting_down()))
    }

    /// Commits rows to tables, all or none. Returns the time of the commit.
    ///
    /// Cancel safety: dropped after it was first polled, the outcome is unknown: applied whole or not at all.
    pub(crate) async fn write(
        &self,
        appends: Appends,
        validate: Option<Validate>,
        exclusive: Option<&Exclusive>,
    ) -> Result<Timestamp, SubmitError> {
        let ticket = exclusive.map(|exclusive| exclusive.ticket);
        self.submit(|reply| Submission::Write { appends, validate, ticket, reply }).await
    }

    /// Commits a change of the catalog that was computed on `version` of it.
    pub(crate) async fn ddl(&self, version: u64, transacted: Transacted) -> Result<Timestamp, SubmitError> {
        self.submit(|reply| Submission::Ddl { version, transacted: Box::new(transacted), reply }).await
    }

    /// Asks for the tables' upper to move beyond `at`; returns at once.
    pub(crate) fn tick(&self, at: Timestamp) {
        // A full queue holds writes, which move the upper as well.
        let _ = self.queue.try_send(Submission::Tick { at });
    }

    /// Waits until this caller is the only writer of `tables`.
    pub(crate) async fn exclusive(&self, tasks: &Tasks, tables: BTreeSet<ShardId>) -> Result<Exclusive, SubmitError> {
        let ticket = self.tickets.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (granted, grant) = oneshot::channel();
        let exclusive = Exclusive { ticket, queue: self.queue.clone(), tasks: tasks.clone() };
        self.queue.send(Submission::Reserve { ticket, tables, granted }).await.map_err(|_| shutting_down())?;
        grant.await.map_err(|_| shutting_down())?;
        Ok(exclusive)
    }
}

struct Reservation {
    ticket: u64,
    tables: BTreeSet<ShardId>,
}

struct Loop {
    tasks: Tasks,
    leader: LeaderHandle,
    oracle: Arc<Oracle>,
    realize: Arc<dyn Realize>,
    /// The time of each table's last commit in this epoch. An older one is at or below every read of this epoch.
    last_write: BTreeMap<ShardId, Timestamp>,
    retired: BTreeSet<ShardId>,
    reserved: Option<Reservation>,
    waiting_reservations: VecDeque<(Reservation, oneshot::Sender<()>)>,
    /// Writes that wait for the reservation to end.
    deferred: VecDeque<Submission>,
}

/// The admitted members of one log append.
#[derive(Default)]
struct Batch {
    appends: Appends,
    validate: Vec<Validate>,
    ddl: Option<(u64, Box<Transacted>)>,
    replies: Vec<oneshot::Sender<Result<Timestamp, SubmitError>>>,
    tick: Option<Timestamp>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.tick.is_none()
    }

    fn is_tick(&self) -> bool {
        self.replies.is_empty()
    }
}

impl Loop {
    async fn run(mut self, mut queue: mpsc::Receiver<Submission>) {
        loop {
            let mut batch = Batch::default();
            match self.tasks.timeout(TICK, queue.recv()).await {
                Ok(Some(first)) => self.admit(first, &mut batch),
                Ok(None) => return,
                // To the end of the millisecond, so that subscriptions can call it complete.
                Err(_) => batch.tick = Some(Timestamp::end_of_millis(self.leader.now().millis())),
            }
            while batch.replies.len() < BATCH_MEMBERS_MAX
                && batch.ddl.is_none()
                && let Ok(next) = queue.try_recv()
            {
                self.admit(next, &mut batch);
            }
            if !batch.is_empty() {
                self.commit(batch, &mut queue).await;
            }
        }
    }

    fn admit(&mut self, submission: Submission, batch: &mut Batch) {
        match submission {
            Submission::Write { appends, validate, ticket, reply } => {
                if self.must_wait(&appends, ticket) {
                    self.deferred.push_back(Submission::Write { appends, validate, ticket, reply });
                    return;
                }
                match self.check(&appends, validate.as_ref(), batch) {
                    Ok(()) => {
                        for (shard, rows) in appends {
                            batch.appends.entry(shard).or_default().extend(rows);
                        }
                        batch.validate.extend(validate);
                        batch.replies.push(reply);
                    }
                    // The session has gone away if nobody hears the refusal.
                    Err(refusal) => drop(reply.send(Err(refusal))),
                }
            }
            Submission::Ddl { version, transacted, reply } => {
                if version == self.realize.catalog_version() && batch.ddl.is_none() {
                    batch.ddl = Some((version, transacted));
                    batch.replies.push(reply);
                } else {
                    let _ = reply.send(Err(SubmitError::Stale));
                }
            }
            Submission::Tick { at } => {
                if self.leader.speculative_group_upper(TABLES) <= at {
                    batch.tick = batch.tick.max(Some(at));
                }
            }
            Submission::Reserve { ticket, tables, granted } => {
                self.waiting_reservations.push_back((Reservation { ticket, tables }, granted));
                self.grant();
            }
            Submission::Release { ticket } => self.release(ticket, batch),
        }
    }

    fn must_wait(&self, appends: &Appends, ticket: Option<u64>) -> bool {
        self.reserved.as_ref().is_some_and(|reservation| {
            ticket != Some(reservation.ticket) && appends.keys().any(|table| reservation.tables.contains(table))
        })
    }

    fn grant(&mut self) {
        while self.reserved.is_none()
            && let Some((reservation, granted)) = self.waiting_reservations.pop_front()
        {
            // A session that went away while it waited is passed over.
            if granted.send(()).is_ok() {
                self.reserved = Some(reservation);
            }
        }
    }

    fn release(&mut self, ticket: u64, batch: &mut Batch) {
        self.waiting_reservations.retain(|(reservation, _)| reservation.ticket != ticket);
        if self.reserved.as_ref().is_some_and(|reservation| reservation.ticket == ticket) {
            self.reserved = None;
            self.grant();
            for submission in std::mem::take(&mut self.deferred) {
                self.admit(submission, batch);
            }
        }
    }

    /// Whether a write may join the batch: its tables live, and nothing it read was written since.
    fn check(&self, appends: &Appends, validate: Option<&Validate>, batch: &Batch) -> Result<(), SubmitError> {
        let dropped_now = |table: &ShardId| {
            batch.ddl.as_ref().is_some_and(|(_, transacted)| transacted.retired_shards.contains(table))
        };
        if appends.keys().any(|table| self.retired.contains(table) || dropped_now(table)) {
            return Err(SubmitError::Stale);
        }
        let Some(validate) = validate else { return Ok(()) };
        let conflict = validate.tables.iter().any(|table| {
            batch.appends.contains_key(table)
                || self.last_write.get(table).is_some_and(|written| *written > validate.read_ts)
        });
        if conflict { Err(SubmitError::Conflict) } else { Ok(()) }
    }

    /// The time of the next commit: at or above the tables' upper, which no answered read has reached.
    fn choose_time(&self, batch: &Batch) -> Timestamp {
        let upper = self.leader.speculative_group_upper(TABLES);
        if batch.is_tick() {
            return upper.max(batch.tick.unwrap_or(Timestamp::MIN));
        }
        self.leader.now().max(self.oracle.read_ts().step_forward()).max(upper)
    }

    async fn commit(&mut self, batch: Batch, queue: &mut mpsc::Receiver<Submission>) {
        let ts = self.choose_time(&batch);
        // At most one commit a microsecond keeps the timeline at the clock.
        let ahead = ts.since(self.leader.now());
        if ahead > AHEAD_MAX {
            self.tasks.sleep(ahead - AHEAD_MAX).await;
        }
        let is_tick = batch.is_tick();
        let Batch { mut appends, validate, ddl, replies, .. } = batch;
        appends.retain(|_, rows| !rows.is_empty());
        let tables: Vec<ShardId> = appends.keys().copied().collect();
        let mut commit = Commit {
            group: TABLES,
            ts,
            validate,
            catalog: None,
            appends: appends.into_iter().collect(),
            creates: Vec::new(),
            columns: Vec::new(),
            retires: Vec::new(),
        };
        if let Some((version, transacted)) = &ddl {
            add_ddl(&mut commit, *version, transacted);
        }
        let leader = self.leader.clone();
        match self.outcome(leader.commit(commit), queue).await {
            Ok(()) => {
                self.last_write.extend(tables.into_iter().map(|table| (table, ts)));
                if !is_tick {
                    self.oracle.advance(ts);
                }
                if let Some((_, transacted)) = ddl {
                    self.retired.extend(transacted.retired_shards.iter().copied());
                    self.realize.realize(*transacted);
                }
                for reply in replies {
                    // Nobody listens any more when the client has gone; the write stands.
                    let _ = reply.send(Ok(ts));
                }
            }
            Err(failure) => refuse(replies, &failure),
        }
    }

    /// Waits for a commit. One that finds no space is owed: it waits until there is some, and whoever comes meanwhile is refused.
    async fn outcome(
        &mut self,
        commit: impl Future<Output = Result<(), CommitError>>,
        queue: &mut mpsc::Receiver<Submission>,
    ) -> Result<(), CommitError> {
        let mut commit = std::pin::pin!(commit);
        let mut changes = self.leader.watch();
        loop {
            changes.mark_unchanged();
            if !self.leader.is_disk_full() {
                // No timer here: to set one wakes a thread for each commit.
                if let Either::Left((outcome, _)) = select(commit.as_mut(), std::pin::pin!(changes.changed())).await {
                    return outcome;
                }
                continue;
            }
            match select(commit.as_mut(), std::pin::pin!(queue.recv())).await {
                Either::Left((outcome, _)) => return outcome,
                Either::Right((Some(submission), _)) => self.refuse_waiting(submission),
                Either::Right((None, _)) => return commit.await,
            }
        }
    }

    fn refuse_waiting(&mut self, submission: Submission) {
        match submission {
            Submission::Write { reply, .. } | Submission::Ddl { reply, .. } => {
                refuse(vec![reply], &CommitError::DiskFull);
            }
            Submission::Tick { .. } => {}
            Submission::Reserve { .. } | Submission::Release { .. } => {
                // A release lets writes in that have waited for it.
                let mut admitted = Batch::default();
                self.admit(submission, &mut admitted);
                refuse(admitted.replies, &CommitError::DiskFull);
            }
        }
    }
}

fn add_ddl(commit: &mut Commit, version: u64, transacted: &Transacted) {
    commit.catalog = Some(version);
    commit.appends.push((CATALOG_SHARD, transacted.updates.clone()));
    let tables = transacted.tables.iter();
    commit.creates.extend(tables.map(|shard| CreateShard { shard: *shard, group: Some(TABLES), scheduled: false }));
    let solo = transacted.solo_shards.iter();
    commit.creates.extend(solo.map(|shard| CreateShard { shard: *shard, group: None, scheduled: false }));
    commit.columns.clone_from(&transacted.columns);
    commit.retires.clone_from(&transacted.retired_shards);
}

fn refuse(replies: Vec<oneshot::Sender<Result<Timestamp, SubmitError>>>, failure: &CommitError) {
    match failure {
        // The leader has said so once. A line for each write would not help a full disk.
        CommitError::DiskFull => {}
        other => error!(error = %other, "commit failed"),
    }
    for reply in replies {
        let refusal = match failure {
            CommitError::DiskFull => SubmitError::Failed(
                Error::new("53100", "could not write to the log: no space left on device")
                    .with_hint("Free some disk space; reads go on, and writes resume by themselves."),
            ),
            CommitError::Conflict { .. } => SubmitError::Conflict,
            CommitError::CatalogMoved { .. } | CommitError::NotFound(_) | CommitError::SchemaChanged(_) => {
                SubmitError::Stale
            }
            other => SubmitError::Failed(Error::new("08007", format!("the outcome of the commit is unknown: {other}"))),
        };
        // Nobody listens any more when the client has gone.
        let _ = reply.send(Err(refusal));
    }
}
