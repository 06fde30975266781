//! Merging: sorted parts become one run, with times advanced and what cancels gone.
//!
//! A merge reads its parts in step, and opens a part no sooner than a row of it can be next. It knows nothing of shards and
//! logs, so it is the same wherever it runs: in the leader's process, or in any other that reaches the blob store.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use repr::{Diff, Row, ShardId, Timestamp};

use crate::batch_run::Run;
use crate::blob::{BatchBuilder, BatchStore, BlobError, Ticket};
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::columns::Columns;
use crate::encode::{get_parts, put_parts};
use crate::op::Part;
use crate::part::Summary;
use crate::read::{Cursor, Wanted};

/// So much is fetched at a time of each input.
const READ_AHEAD: usize = 256 << 10;
/// A merge lets others run after so many updates.
const UPDATES_PER_TURN: usize = 4096;

/// A merge for whoever has time for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeJob {
    pub(crate) shard: ShardId,
    pub(crate) columns: Columns,
    pub(crate) parts: Vec<Part>,
    /// Times before it are advanced to it.
    pub(crate) since: Timestamp,
    /// Names the parts that are written.
    pub(crate) ticket: Ticket,
}

/// Other processes that can merge. Two implementations: the controller's replicas, and those of tests.
#[async_trait]
pub trait MergeHelper: Send + Sync + 'static {
    /// Has a job done elsewhere, in bounded time. Err: nobody could; what was written meanwhile is garbage.
    /// Cancel safety: dropping the future leaves garbage at most.
    async fn merge(&self, job: MergeJob) -> Result<Run, String>;
}

impl MergeJob {
    /// Of no parts.
    pub fn of_nothing(shard: ShardId) -> MergeJob {
        let ticket = Ticket { millis: 0, epoch: 0 };
        MergeJob { shard, columns: Columns::default(), parts: Vec::new(), since: Timestamp::MIN, ticket }
    }

    /// Whose updates they are.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// For another process of the same version.
    pub fn to_bytes(&self) -> Bytes {
        let MergeJob { shard, columns, parts, since, ticket } = self;
        let mut out = Encoder::default();
        out.varint(shard.0);
        columns.encode(&mut out);
        put_parts(&mut out, parts);
        out.time(*since);
        out.varint(ticket.millis);
        out.varint(ticket.epoch);
        out.finish()
    }

    /// Errors: not what `to_bytes` makes.
    pub fn of_bytes(bytes: Bytes) -> Result<MergeJob, DecodeError> {
        let mut input = Decoder(bytes);
        let job = MergeJob {
            shard: ShardId(input.varint()?),
            columns: Columns::decode(&mut input)?,
            parts: get_parts(&mut input)?,
            since: input.time()?,
            ticket: Ticket { millis: input.varint()?, epoch: input.varint()? },
        };
        input.end()?;
        Ok(job)
    }

    /// Whether a run can be what this job makes: its parts have names that nobody else gives them.
    pub(crate) fn is_answered_by(&self, run: &Run) -> bool {
        let named = |part: &Part| match part {
            Part::Inline(_) => true,
            Part::Hollow(hollow) => Ticket::of_key(&hollow.key) == Some(self.ticket) && !self.parts.contains(part),
        };
        run.parts.iter().all(named)
    }

    /// Merges sorted parts, advances times to `since` and consolidates.
    ///
    /// Cost: memory for the number of parts that are open at a time, times a few hundred KiB, and a part of output.
    pub(crate) async fn run(&self, store: &BatchStore) -> Result<Run, BlobError> {
        let wanted = Wanted { read_ahead: READ_AHEAD, ..Wanted::everything(self.columns.clone()) };
        let parts = &self.parts;
        let mut cursors: Vec<Option<Cursor>> = parts.iter().map(|_| None).collect();
        let mut heads: BinaryHeap<Reverse<Head>> =
            parts.iter().enumerate().map(|(index, part)| Reverse(Head::unopened(index, part))).collect();
        let mut builder = BatchBuilder::new(store.clone(), self.columns.clone(), self.ticket);
        let mut current: Option<(Row, Timestamp, Diff)> = None;
        let mut turns = 0;
        while let Some(Reverse(Head { row, time, index, diff })) = heads.pop() {
            let Some(diff) = diff else {
                cursors[index] = Some(Cursor::new(store.open(&parts[index], wanted.clone()).await?));
                self.advance(&mut cursors, &mut heads, index).await?;
                continue;
            };
            self.advance(&mut cursors, &mut heads, index).await?;
            current = match current {
                Some((last_row, last_time, sum)) if last_row == row && last_time == time => {
                    Some((last_row, last_time, sum.plus(diff)))
                }
                finished => {
                    put(&mut builder, finished).await?;
                    Some((row, time, diff))
                }
            };
            turns += 1;
            if turns % UPDATES_PER_TURN == 0 {
                let_others_run().await;
            }
        }
        put(&mut builder, current).await?;
        builder.finish().await
    }

    /// Puts a part's next update among the heads; the part is let go behind its last.
    async fn advance(
        &self,
        cursors: &mut [Option<Cursor>],
        heads: &mut BinaryHeap<Reverse<Head>>,
        index: usize,
    ) -> Result<(), BlobError> {
        let Some(cursor) = &mut cursors[index] else { return Ok(()) };
        match cursor.next_update().await? {
            Some((row, time, diff)) => {
                heads.push(Reverse(Head { row, time: time.max(self.since), index, diff: Some(diff) }));
            }
            None => cursors[index] = None,
        }
        Ok(())
    }
}

/// The next update of a part, or, while it is not open (without a diff), a bound below its first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    row: Row,
    time: Timestamp,
    index: usize,
    diff: Option<Diff>,
}

impl Head {
    fn unopened(index: usize, part: &Part) -> Head {
        let first = match part {
            Part::Hollow(hollow) => Summary::decode(&hollow.statistics).first,
            Part::Inline(_) => Vec::new(),
        };
        Head { row: Row::from_bytes(&first), time: Timestamp::MIN, index, diff: None }
    }
}

async fn put(builder: &mut BatchBuilder, update: Option<(Row, Timestamp, Diff)>) -> Result<(), BlobError> {
    match update {
        Some((row, time, diff)) if !diff.is_zero() => builder.push(&row, time, diff).await,
        _ => Ok(()),
    }
}

async fn let_others_run() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
