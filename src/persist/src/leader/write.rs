//! Appends to solo shards and commits to groups.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use repr::{ShardId, Timestamp};
use uuid::Uuid;

use crate::batch_run::Run;
use crate::blob::Ticket;
use crate::columns::Columns;
use crate::leader::core::{Refusal, Shared};
use crate::leader::handle::{LeaderHandle, refused};
use crate::leader::{Commit, CommitError, CreateShard, feed};
use crate::merge::MergeJob;
use crate::op::{BatchDesc, Op, Part, SchemaId, Txn, WriterId};
use crate::part::Update;
use crate::shards::{AppendError, BlobErrorText, Selection, Shards, SubscribeError, Subscription};
use crate::state::Reject;

/// An upper may lie this far ahead of the leader's time.
const AHEAD_MAX: Duration = Duration::from_secs(1);
/// Parts with older names are refused, so that collecting orphans after an hour never meets one on its way into the log.
const TICKET_AGE_MS_MAX: u64 = 30 * 60 * 1000;

/// An append whose updates have been written.
pub(crate) struct Append {
    pub(crate) shard: ShardId,
    pub(crate) writer: WriterId,
    pub(crate) expect_upper: Timestamp,
    pub(crate) new_upper: Timestamp,
    pub(crate) token: Uuid,
    pub(crate) run: Run,
}

#[async_trait]
impl Shards for LeaderHandle {
    async fn write_run(
        &self,
        shard: ShardId,
        lower: Timestamp,
        upper: Timestamp,
        updates: Vec<Update>,
        writers: usize,
    ) -> Result<Run, AppendError> {
        check_times(&updates, lower, upper)?;
        let shared = self.shared();
        shared.check_new_upper(shard, upper)?;
        let columns = shared.columns(shard).ok_or(AppendError::NotFound)?;
        let store = shared.store.shared_by(writers);
        Ok(store.write(updates, columns, shared.ticket()).await?)
    }

    async fn append_runs(
        &self,
        shard: ShardId,
        writer: WriterId,
        expect_upper: Timestamp,
        new_upper: Timestamp,
        runs: Vec<Run>,
        token: Uuid,
    ) -> Result<(), AppendError> {
        let run = Run::joined(runs);
        self.shared().append(Append { shard, writer, expect_upper, new_upper, token, run }).await
    }

    async fn merge(&self, job: MergeJob) -> Result<Run, BlobErrorText> {
        job.run(&self.shared().store).await.map_err(|error| BlobErrorText(error.to_string()))
    }

    async fn subscribe(&self, shard: ShardId, as_of: Timestamp) -> Result<Subscription, SubscribeError> {
        feed::subscribe(self.shared(), shard, as_of, Arc::default())
    }

    async fn subscribe_within(
        &self,
        shard: ShardId,
        as_of: Timestamp,
        selection: Arc<Selection>,
    ) -> Result<Subscription, SubscribeError> {
        feed::subscribe(self.shared(), shard, as_of, selection)
    }
}

/// Errors: an update lies outside the interval that the append is for.
pub(crate) fn check_times(updates: &[Update], lower: Timestamp, upper: Timestamp) -> Result<(), AppendError> {
    match updates.iter().find(|(_, time, _)| *time < lower || *time >= upper) {
        Some((_, time, _)) => Err(AppendError::Invalid(format!("an update at {time} outside [{lower}, {upper})"))),
        None => Ok(()),
    }
}

impl Shared {
    /// The leader minds the clock for everybody: `apply` sees none.
    fn check_new_upper(&self, shard: ShardId, new_upper: Timestamp) -> Result<(), AppendError> {
        let now = self.timeline.now();
        let ahead = new_upper > now.plus(AHEAD_MAX) && new_upper != Timestamp::MAX;
        if ahead {
            let core = self.core.lock();
            let shard = core.speculative.live(shard).map_err(|_| AppendError::NotFound)?;
            if !shard.scheduled {
                return Err(AppendError::TooFarAhead { now });
            }
        }
        Ok(())
    }

    /// Appends what has been written, here or by a remote client.
    pub(crate) async fn append(&self, append: Append) -> Result<(), AppendError> {
        let Append { shard, writer, expect_upper, new_upper, token, run } = append;
        self.check_new_upper(shard, new_upper)?;
        self.check_incarnation(writer)?;
        let Run { parts, updates, bytes } = run;
        // The parts' times are as they were written: nothing has been advanced.
        let since = Timestamp::MIN;
        let parts = parts.into();
        let batch = BatchDesc { id: 0, lower: expect_upper, upper: new_upper, since, updates, bytes, token, parts };
        let op = Op::Append { shard, writer, expect_upper, new_upper, batch: Some(batch) };
        let txn = Txn::from(op);
        let permit = self.permit(&txn).await.map_err(refused)?;
        // Behind the last wait before the parts are named: collecting orphans looks at what is named, in the queue as well.
        self.check_tickets(&txn)?;
        let reply = self.enqueue(txn, Some(permit)).map_err(refused)?;
        self.answer(reply).await.map_err(refused)
    }

    /// The columns of a shard as last proposed.
    fn columns(&self, shard: ShardId) -> Option<Columns> {
        self.core.lock().speculative.live(shard).ok().map(|shard| shard.columns.clone())
    }

    /// Errors: a part was begun so long ago that it may be taken for an orphan.
    fn check_tickets(&self, txn: &Txn) -> Result<(), AppendError> {
        let now = self.timeline.now().millis();
        let batches = txn.ops.iter().flat_map(|op| match op {
            Op::Append { batch: Some(batch), .. } => vec![batch],
            Op::Commit { appends, .. } => appends.iter().map(|(_, _, batch)| batch).collect(),
            _ => Vec::new(),
        });
        for part in batches.flat_map(|batch| batch.parts.iter()) {
            let Part::Hollow(hollow) = part else { continue };
            let ticket = Ticket::of_key(&hollow.key)
                .ok_or_else(|| AppendError::Invalid(format!("{} is not the name of a part", hollow.key)))?;
            if ticket.epoch > self.epoch || ticket.millis + TICKET_AGE_MS_MAX < now {
                // Written again, under another name, it can be appended.
                return Err(AppendError::Blob(BlobErrorText(format!("part {} was begun too long ago", hollow.key))));
            }
        }
        Ok(())
    }

    fn check_incarnation(&self, writer: WriterId) -> Result<(), AppendError> {
        if writer.writer == 0 {
            return Ok(());
        }
        let mut core = self.core.lock();
        let newest = core.incarnations.entry(writer.writer).or_insert(writer.incarnation);
        if writer.incarnation < *newest {
            return Err(AppendError::Fenced(format!("writer {} has been started again", writer.writer)));
        }
        *newest = writer.incarnation;
        Ok(())
    }
}

impl LeaderHandle {
    /// Commits to a group of shards: one log transaction, all or nothing; returns once it is durable.
    ///
    /// Commits take their place in the order in which their futures were first polled, also when one must first upload parts.
    /// Cancel safety: dropping the future leaves the outcome open.
    pub async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let shared = self.shared();
        let turn = shared.turn.acquire().await.map_err(|_| CommitError::Halted(shared.halt_reason()))?;
        if shared.core.lock().disk_full {
            return Err(CommitError::DiskFull);
        }
        let txn = prepare(shared, commit).await?;
        let permit = shared.permit(&txn).await.map_err(refused_commit)?;
        shared.check_tickets(&txn).map_err(|error| CommitError::Invalid(error.to_string()))?;
        let reply = shared.enqueue(txn, Some(permit)).map_err(refused_commit)?;
        drop(turn);
        shared.answer(reply).await.map_err(refused_commit)
    }
}

/// Writes the rows of a commit and puts its operations together. Only commits move a group's upper, and this one has the
/// turn, so what is read of the speculative state here still holds when the transaction is applied.
async fn prepare(shared: &Shared, commit: Commit) -> Result<Txn, CommitError> {
    let Commit { group, ts, validate, catalog, appends, creates, columns, retires } = commit;
    let declared: BTreeMap<ShardId, Columns> = columns.into_iter().collect();
    let mut batches = Vec::with_capacity(appends.len());
    for (shard, rows) in appends {
        let mut updates: Vec<Update> = rows.into_iter().map(|(row, diff)| (row, ts, diff)).collect();
        let columns = declared.get(&shard).cloned().or_else(|| shared.columns(shard)).unwrap_or_default();
        if columns.have_grown() {
            // Whoever planned the write may not have known of them yet: it is as if it had come before them.
            updates.iter_mut().for_each(|(row, _, _)| columns.complete(row));
        }
        let written =
            shared.store.write(updates, columns, shared.ticket()).await.map_err(|error| match error.into() {
                AppendError::DiskFull => CommitError::DiskFull,
                error => CommitError::Blob(BlobErrorText(error.to_string())),
            })?;
        if written.updates > 0 {
            batches.push((shard, written));
        }
    }
    let core = shared.core.lock();
    let state = &core.speculative;
    let expect_upper = state.group_upper(group);
    if ts < expect_upper {
        return Err(CommitError::UpperMismatch { upper: expect_upper });
    }
    let mut ops = Vec::with_capacity(1 + creates.len() + retires.len());
    for CreateShard { shard, group, scheduled } in creates {
        ops.push(Op::Create { shard, group, schema: SchemaId::default(), since: ts, scheduled });
    }
    let mut schemas = BTreeMap::new();
    for (shard, columns) in declared {
        // The first columns of a shard belong to the schema that it is created with.
        let schema = match state.live(shard) {
            Ok(found) if found.columns.is_empty() => found.schema,
            Ok(found) => SchemaId(found.schema.0 + 1),
            Err(_) => SchemaId::default(),
        };
        schemas.insert(shard, schema);
        ops.push(Op::Schema { shard, schema, columns });
    }
    let appends = batches.into_iter().map(|(shard, Run { parts, updates, bytes })| {
        let current = || state.live(shard).map_or_else(|_| SchemaId::default(), |shard| shard.schema);
        let schema = schemas.get(&shard).copied().unwrap_or_else(current);
        let (token, upper, parts) = (Uuid::nil(), ts.step_forward(), parts.into());
        let since = Timestamp::MIN;
        (shard, schema, BatchDesc { id: 0, lower: ts, upper, since, updates, bytes, token, parts })
    });
    ops.push(Op::Commit { group, expect_upper, ts, validate, catalog, appends: appends.collect() });
    for shard in retires {
        // A second Retire would forget the shard, with its parts still there.
        state.live(shard).map_err(|_| CommitError::NotFound(shard))?;
        ops.push(Op::Retire { shard });
    }
    Ok(Txn { ops })
}

fn refused_commit(refusal: Refusal) -> CommitError {
    match refusal {
        Refusal::Reject(Reject::Conflict { table, read_ts }) => CommitError::Conflict { table, read_ts },
        Refusal::Reject(Reject::GroupUpperMismatch { actual }) => CommitError::UpperMismatch { upper: actual },
        Refusal::Reject(Reject::CatalogMoved { actual }) => CommitError::CatalogMoved { actual },
        Refusal::Reject(Reject::NotFound(shard)) => CommitError::NotFound(shard),
        Refusal::Reject(Reject::SchemaChanged(shard)) => CommitError::SchemaChanged(shard),
        Refusal::Reject(reject) => CommitError::Invalid(reject.to_string()),
        Refusal::DiskFull => CommitError::DiskFull,
        Refusal::Unknown(reason) => CommitError::Unknown(reason),
        Refusal::Halted(reason) => CommitError::Halted(reason),
    }
}
