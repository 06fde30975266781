//! What every client of the log can do, in the leader's process or in another.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use repr::{Bounds, ShardId, Timestamp};
use stdx::{Backoff, Task, Tasks};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::batch_run::Run;
use crate::blob::{Blob, BlobError};
use crate::columns::Columns;
use crate::merge::MergeJob;
use crate::op::{Part, WriterId};
use crate::part::Update;
use crate::read::{PartStream, READ_AHEAD, ReadCounters, Wanted};

/// Events hand over about this many bytes of rows at a time.
const EVENT_BYTES: usize = 1 << 20;

/// Appending to and following shards.
#[async_trait]
pub trait Shards: Send + Sync + 'static {
    /// Appends `updates` at times in `[expect_upper, new_upper)` to a solo shard, if its upper is `expect_upper`.
    ///
    /// `new_upper` = MAX closes the shard. A retry with the same `token` succeeds if the first try did, for as long as fewer
    /// than 16 other appends have come between. Returns once the outcome is durable.
    /// Cancel safety: dropping the future leaves the outcome open.
    async fn append(
        &self,
        shard: ShardId,
        writer: WriterId,
        expect_upper: Timestamp,
        new_upper: Timestamp,
        updates: Vec<Update>,
        token: Uuid,
    ) -> Result<(), AppendError> {
        let run = self.write_run(shard, expect_upper, new_upper, updates, 1).await?;
        self.append_runs(shard, writer, expect_upper, new_upper, vec![run], token).await
    }

    /// Writes `updates` at times in `[lower, upper)` as one run of a batch to which `writers` contribute one each, without
    /// appending it.
    ///
    /// Few are kept inline: all runs of a batch together as much as one append may have inline. The others go to the blob
    /// store, where they are garbage until they are appended: within half an hour, or `append_runs` refuses them.
    /// Cancel safety: dropping the future leaves garbage at most.
    async fn write_run(
        &self,
        shard: ShardId,
        lower: Timestamp,
        upper: Timestamp,
        updates: Vec<Update>,
        writers: usize,
    ) -> Result<Run, AppendError>;

    /// Appends runs, which may have been written by other processes, as one batch; else as [`Shards::append`].
    ///
    /// Errors: `Blob` also where a run was written too long ago: it must be written again.
    async fn append_runs(
        &self,
        shard: ShardId,
        writer: WriterId,
        expect_upper: Timestamp,
        new_upper: Timestamp,
        runs: Vec<Run>,
        token: Uuid,
    ) -> Result<(), AppendError>;

    /// Merges parts of any shard, as the leader asks of who reaches the blob store. Not appended: the leader swaps.
    async fn merge(&self, job: MergeJob) -> Result<Run, BlobErrorText>;

    /// Follows a shard: a snapshot at `as_of`, and every later change.
    ///
    /// Requires `since <= as_of`; takes a hold there, which acknowledgements move. Does not wait: the snapshot is what was
    /// written by now, see [`ShardEvent`].
    async fn subscribe(&self, shard: ShardId, as_of: Timestamp) -> Result<Subscription, SubscribeError>;

    /// Follows a shard as [`Shards::subscribe`] does, but only as much of it as `selection` says, or more.
    async fn subscribe_within(
        &self,
        shard: ShardId,
        as_of: Timestamp,
        selection: Arc<Selection>,
    ) -> Result<Subscription, SubscribeError> {
        drop(selection);
        self.subscribe(shard, as_of).await
    }
}

/// What of a shard a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Rows outside may be left out. None must be: blocks are read whole, and an implementation may know no statistics.
    pub bounds: Bounds,
    /// The first so many columns of the rows; those behind came after the reader was made. None: all there are. Rows whose
    /// columns were not declared come whole.
    pub columns: Option<usize>,
}

/// What a subscription yields, in this order: pieces of the snapshot, the last of which says so, then progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardEvent {
    /// A piece of the contents at `as_of`: all times are `as_of`. Not consolidated across pieces.
    Snapshot { updates: Vec<Update>, last: bool },
    /// All updates in `[prev_upper, upper)` have now been delivered.
    ///
    /// The first one's `prev_upper` is how far the snapshot went: `as_of + 1`, or the shard's upper if that was less; then
    /// what is missing of the contents at `as_of` follows, its times advanced to `as_of`. Each later `prev_upper` is the
    /// `upper` before. A large change comes in several events of which all but the last have `upper = prev_upper`; their
    /// updates lie at or beyond `prev_upper`. At least one comes each second, for the sake of `now`: the leader's clock.
    Progress { prev_upper: Timestamp, upper: Timestamp, now: Timestamp, updates: Vec<Update> },
}

/// Why an append was not made, or is not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Someone else appended: `actual` is the durable upper.
    #[error("the upper is {actual}")]
    UpperMismatch { actual: Timestamp },
    #[error("the shard has been closed")]
    Closed,
    /// A later generation, or a later incarnation of this writer, has taken over: stop writing.
    #[error("fenced: {0}")]
    Fenced(String),
    #[error("the shard does not exist")]
    NotFound,
    /// The new upper lies more than a second ahead of the leader's `now`: try again later.
    #[error("the new upper lies too far ahead of the time {now}")]
    TooFarAhead { now: Timestamp },
    #[error("no space left on device")]
    DiskFull,
    /// The leader ended before it knew; a retry with the same token tells.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The leader has ended; nothing was written.
    #[error("the leader has ended: {0}")]
    Halted(String),
    /// The log is not the one the writer knew (a restore): drop what was kept from that.
    #[error("the log is another one now")]
    OtherLog,
    #[error("invalid append: {0}")]
    Invalid(String),
    #[error(transparent)]
    Blob(#[from] BlobErrorText),
}

/// A blob store's error as text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BlobErrorText(pub String);

impl From<BlobError> for AppendError {
    fn from(error: BlobError) -> AppendError {
        match error {
            BlobError::DiskFull { .. } => AppendError::DiskFull,
            error => AppendError::Blob(BlobErrorText(error.to_string())),
        }
    }
}

/// Why a subscription cannot begin or go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// Contents at the time asked for are gone.
    #[error("the time lies below the since {since}")]
    Expired { since: Timestamp },
    /// It never existed or has been dropped.
    #[error("the shard does not exist")]
    NotFound,
    /// The log is not the one the reader knew (a restore): drop what was kept from that.
    #[error("the log is another one now")]
    OtherLog,
    /// The connection broke within an event, or a part was replaced while it was read: subscribe again at one's own as-of.
    #[error("interrupted: {0}")]
    Interrupted(String),
    /// A part is damaged or cannot be read.
    #[error(transparent)]
    Blob(#[from] BlobErrorText),
    #[error("the leader has ended: {0}")]
    Halted(String),
}

impl From<BlobError> for SubscribeError {
    fn from(error: BlobError) -> SubscribeError {
        match error {
            BlobError::Missing(_) => SubscribeError::Interrupted(error.to_string()),
            error => SubscribeError::Blob(BlobErrorText(error.to_string())),
        }
    }
}

/// A shard being followed. Dropping it ends that and lets its hold go.
pub struct Subscription {
    events: mpsc::Receiver<Result<ShardEvent, SubscribeError>>,
    ack: Box<dyn Fn(Timestamp) + Send + Sync>,
    acked: Mutex<Timestamp>,
    /// In a lock only because a task cannot be shared between threads.
    _reader: Mutex<Task>,
}

impl Subscription {
    /// A subscription whose events come through a channel: from the leader, from the wire, or over a simulated network.
    /// `ack` hears of frontiers, `reader` is dropped with the subscription.
    pub fn new(
        events: mpsc::Receiver<Result<ShardEvent, SubscribeError>>,
        ack: Box<dyn Fn(Timestamp) + Send + Sync>,
        reader: Task,
    ) -> Subscription {
        Subscription { events, ack, acked: Mutex::new(Timestamp::MIN), _reader: Mutex::new(reader) }
    }

    /// The next event; none once the shard is closed and all was delivered. An error is the last item.
    /// Cancel safety: may be dropped at any await.
    pub async fn next(&mut self) -> Option<Result<ShardEvent, SubscribeError>> {
        self.events.recv().await
    }

    /// The next event if there is one already; for pollers that do not wait. None also once the stream has ended.
    pub fn try_next(&mut self) -> Option<Result<ShardEvent, SubscribeError>> {
        self.events.try_recv().ok()
    }

    /// Says that the reader will never ask again for times below `frontier - 1`: moves the hold there.
    ///
    /// One less than the frontier, so that contents at the last complete time can be read again after a reconnect.
    pub fn ack(&self, frontier: Timestamp) {
        let mut acked = self.acked.lock();
        if frontier > *acked {
            *acked = frontier;
            (self.ack)(frontier);
        }
    }
}

/// A piece of what a subscriber is sent, with its parts unread; from the leader's memory, or from the wire.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// The state that the parts were taken from.
    pub(crate) seq: u64,
    pub(crate) snapshot: bool,
    /// Updates of the parts outside `[from, to)` are not meant: a batch may have been merged with its neighbours.
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) parts: Vec<Part>,
    /// Rows of the parts that have fewer are filled up.
    pub(crate) columns: Columns,
    pub(crate) last: bool,
}

/// Reads the parts of pieces and hands events on.
pub(crate) struct PieceReader {
    pub(crate) blob: Option<Blob>,
    pub(crate) shard: ShardId,
    pub(crate) as_of: Timestamp,
    pub(crate) selection: Arc<Selection>,
    pub(crate) counters: Arc<ReadCounters>,
    pub(crate) tasks: Tasks,
    pub(crate) events: mpsc::Sender<Result<ShardEvent, SubscribeError>>,
}

/// The consumer has gone.
pub(crate) struct Gone;

/// Why a piece was not read to its end.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The store does not have a part any more. What replaced it has the same updates.
    Missing(String),
    Failed(SubscribeError),
}

impl From<ReadError> for SubscribeError {
    fn from(error: ReadError) -> SubscribeError {
        match error {
            ReadError::Missing(cause) => SubscribeError::Interrupted(cause),
            ReadError::Failed(error) => error,
        }
    }
}

/// Which parts of an event were handed on, in whole or in blocks: reading it is taken up again behind them.
#[derive(Default)]
pub(crate) struct Delivered {
    /// Whole ones, each as often as it occurs: inline ones of equal contents are told apart by nothing else.
    parts: Vec<Part>,
    /// One of which only so many blocks are out.
    current: Option<(Part, usize)>,
}

impl Delivered {
    /// Takes what was delivered out of the parts of an event that has come again, maybe with others in place of those that
    /// were not. None: one that was delivered is among what was replaced.
    pub(crate) fn remove_from(&self, pieces: &mut [Piece]) -> Option<()> {
        for part in &self.parts {
            let piece = pieces.iter_mut().find(|piece| piece.parts.contains(part))?;
            let position = piece.parts.iter().position(|other| other == part)?;
            piece.parts.remove(position);
        }
        if let Some((part, _)) = &self.current {
            let piece = pieces.iter_mut().find(|piece| piece.parts.contains(part))?;
            piece.parts.retain(|other| other != part);
            // It comes first, so that there is never more than one of which some blocks are out.
            pieces.first_mut()?.parts.insert(0, part.clone());
        }
        Some(())
    }

    /// How many parts were handed on whole.
    pub(crate) fn count(&self) -> usize {
        self.parts.len()
    }

    /// How many blocks of `part` to leave out.
    fn blocks_of(&self, part: &Part) -> usize {
        self.current.as_ref().filter(|(current, _)| current == part).map_or(0, |(_, blocks)| *blocks)
    }
}

/// A read that fails is tried so many times before the reader hears of it: an event once begun can only go on.
const TRIES_MAX: usize = 6;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// The blocks of one part, tried again where the store has failed or what came was damaged.
struct Retrying<'a> {
    reader: &'a PieceReader,
    part: &'a Part,
    wanted: &'a Wanted,
    stream: Option<PartStream>,
    delivered: usize,
}

impl Retrying<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Update>>, ReadError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let mut tries = 1;
        loop {
            let error = match self.try_next().await {
                Ok(block) => {
                    self.delivered += usize::from(block.is_some());
                    return Ok(block);
                }
                Err(error) => error.of_shard(self.reader.shard),
            };
            self.stream = None;
            if let BlobError::Missing(_) = error {
                return Err(ReadError::Missing(error.to_string()));
            }
            if tries == TRIES_MAX || !matches!(error, BlobError::Failed { .. } | BlobError::Corrupt(_)) {
                return Err(ReadError::Failed(error.into()));
            }
            tries += 1;
            self.reader.tasks.sleep(backoff.next_delay()).await;
        }
    }

    async fn try_next(&mut self) -> Result<Option<Vec<Update>>, BlobError> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let mut stream = PartStream::open(self.reader.blob.as_ref(), self.part, self.wanted.clone()).await?;
                stream.skip_blocks(self.delivered);
                none.insert(stream)
            }
        };
        stream.next_block().await.transpose()
    }
}

/// What was read and is not handed on yet.
#[derive(Default)]
struct Pending {
    updates: Vec<Update>,
    bytes: usize,
    /// Parts of which the last is among the updates.
    whole: Vec<Part>,
}

impl Pending {
    fn are_out(&mut self, delivered: &mut Delivered) {
        delivered.parts.append(&mut self.whole);
        delivered.current = None;
    }
}

impl PieceReader {
    /// Reads one piece, from behind what of it was delivered. Cost: one or a few blob gets for each hollow part that may hold
    /// something wanted.
    pub(crate) async fn read(&self, piece: &Piece, delivered: &mut Delivered) -> Result<Result<(), Gone>, ReadError> {
        let wanted = Wanted {
            columns: piece.columns.first(self.selection.columns.unwrap_or(usize::MAX)),
            selection: Arc::clone(&self.selection),
            from: piece.from,
            to: piece.to,
            read_ahead: READ_AHEAD,
            counters: Arc::clone(&self.counters),
        };
        let mut pending = Pending::default();
        for part in piece.parts.iter().filter(|part| wanted.wants_part(part)) {
            if let Err(gone) = self.read_part(piece, part, &wanted, &mut pending, delivered).await? {
                return Ok(Err(gone));
            }
            pending.whole.push(part.clone());
        }
        let is_due = piece.last || !pending.updates.is_empty();
        if is_due && self.send(piece, std::mem::take(&mut pending.updates), piece.last).await.is_err() {
            return Ok(Err(Gone));
        }
        pending.are_out(delivered);
        Ok(Ok(()))
    }

    async fn read_part(
        &self,
        piece: &Piece,
        part: &Part,
        wanted: &Wanted,
        pending: &mut Pending,
        delivered: &mut Delivered,
    ) -> Result<Result<(), Gone>, ReadError> {
        let skipped = delivered.blocks_of(part);
        let mut blocks = Retrying { reader: self, part, wanted, stream: None, delivered: skipped };
        // After an error what is pending is dropped: only what was sent counts as delivered.
        while let Some(block) = blocks.next().await? {
            for (row, time, diff) in block {
                if time < piece.from || time >= piece.to {
                    continue;
                }
                pending.bytes += row.len_bytes() + 32;
                pending.updates.push((row, time.max(self.as_of), diff));
            }
            if pending.bytes >= EVENT_BYTES {
                pending.bytes = 0;
                if self.send(piece, std::mem::take(&mut pending.updates), false).await.is_err() {
                    return Ok(Err(Gone));
                }
                pending.are_out(delivered);
                delivered.current = Some((part.clone(), blocks.delivered));
            }
        }
        Ok(Ok(()))
    }

    async fn send(&self, piece: &Piece, updates: Vec<Update>, last: bool) -> Result<(), Gone> {
        let event = if piece.snapshot {
            ShardEvent::Snapshot { updates, last }
        } else {
            let upper = if last { piece.to } else { piece.from };
            ShardEvent::Progress { prev_upper: piece.from, upper, now: piece.now, updates }
        };
        self.events.send(Ok(event)).await.map_err(|_| Gone)
    }
}
