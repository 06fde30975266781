//! A running source: from a generator's offsets to rows with times in shards.
//!
//! ```text
//!                 time, by the leader's now            offsets the times stand for
//!   ticks ──────▶ remap shard ────────────▶ Bindings ─────────────────────────────▶ data shards, one for each export
//! ```
//!
//! A binding is appended to the remap shard first, and only what is read back from there decides which rows get which time.
//! So a restart, or another replica, makes the same rows at the same times; of two that append the same interval one loses
//! and goes on from where the shard then stands. Data shards follow the remap shard's upper.
//!
//! **Loading.** An export's first contents (all offsets that had happened when its shard was created) may be large, and must
//! be seen whole or not at all. They are appended in pieces at the times 0, 1, 2, ... far below the shard's creation, where
//! nobody can read, and become readable all at once when the last piece moves the upper beyond it. Each piece but the last
//! has the same number of updates, so the upper tells after a crash which pieces are there.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, join_all, select};
use persist::{AppendError, ShardEvent, SubscribeError, Subscription};
use protocol::source::{Ingestion, SourceConnection, SourceExport};
use protocol::storage::SourceStatus;
use repr::{ShardId, Timestamp};
use stdx::Backoff;
use tracing::{info, warn};

use crate::context::WorkerContext;
use crate::feed::StoredUpdate;
use crate::generator::{Change, Generator, TickTimes};
use crate::ingestions::Board;
use crate::reclock::Bindings;

/// Updates in each piece of an export's first contents. Part of what is durable while such a load is under way.
pub(crate) const PIECE_UPDATES: usize = 1 << 15;
/// Updates after which an append is made although more bindings are at hand.
const APPEND_UPDATES: usize = 1 << 15;
/// Offsets that one binding adds at most; a source that was down for long catches up in steps.
const BINDING_OFFSETS: u64 = 10_000;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// One source and where it reports.
pub(crate) struct Runner {
    pub(crate) context: WorkerContext,
    pub(crate) ingestion: Ingestion,
    pub(crate) board: Arc<Board>,
    pub(crate) piece_updates: usize,
}

/// Why a run is over.
enum End {
    /// All shards are closed.
    Finished,
    /// This replica must write no more, or the source was dropped.
    Stopped(String),
    /// Worth another try.
    Failed(String),
    /// Persist contradicts itself, or is another log.
    Broken(String),
}

impl From<SubscribeError> for End {
    fn from(error: SubscribeError) -> End {
        match error {
            SubscribeError::NotFound => End::Stopped(error.to_string()),
            SubscribeError::OtherLog => End::Broken(error.to_string()),
            error => End::Failed(error.to_string()),
        }
    }
}

impl From<AppendError> for End {
    fn from(error: AppendError) -> End {
        match error {
            AppendError::Fenced(_) | AppendError::NotFound => End::Stopped(error.to_string()),
            AppendError::OtherLog | AppendError::Invalid(_) => End::Broken(error.to_string()),
            error => End::Failed(error.to_string()),
        }
    }
}

impl Runner {
    /// Runs the source until it is complete. Cancel safety: may be dropped at any await, and started again.
    pub(crate) async fn run(self) {
        let id = self.ingestion.id;
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        self.board.status(id, SourceStatus::Starting);
        loop {
            let mut run = Run::new(&self);
            let end = run.run().await;
            if run.has_run {
                backoff.reset();
            }
            match end {
                End::Finished => return self.board.status(id, SourceStatus::Finished),
                End::Stopped(why) => {
                    info!(%id, why, "the source is written no more");
                    return;
                }
                End::Broken(why) => return (self.context.halt)(format!("source {id}: {why}")),
                End::Failed(why) => {
                    info!(%id, why, "the source starts again");
                    self.board.status(id, SourceStatus::Stalled(why));
                }
            }
            self.context.tasks.sleep(backoff.next_delay()).await;
        }
    }

    /// Finds out where an export's shard stands.
    async fn open(&self, export: &SourceExport) -> Result<Export, End> {
        let since = self.since(export.shard).await?;
        let upper = self.upper(export.shard).await?;
        self.board.upper(export.id, upper);
        Ok(Export { export: export.clone(), upper, since, load: None, lost: false })
    }

    /// The since of a shard: of one that was never written, the time of its creation.
    async fn since(&self, shard: ShardId) -> Result<Timestamp, End> {
        match self.context.shards.subscribe(shard, Timestamp::MIN).await {
            Ok(_) => Ok(Timestamp::MIN),
            Err(SubscribeError::Expired { since }) => Ok(since),
            Err(error) => Err(error.into()),
        }
    }

    /// The durable upper of a shard, asked for by an append that can only be refused.
    async fn upper(&self, shard: ShardId) -> Result<Timestamp, End> {
        let context = &self.context;
        let never = Timestamp::MAX.step_back();
        let token = context.new_token();
        match context.shards.append(shard, context.writer(), never, Timestamp::MAX, Vec::new(), token).await {
            Err(AppendError::UpperMismatch { actual }) => Ok(actual),
            Err(AppendError::Closed) => Ok(Timestamp::MAX),
            Err(error) => Err(error.into()),
            Ok(()) => Err(End::Broken(format!("{shard} had an upper that no shard has"))),
        }
    }
}

/// One try, from what the shards say.
struct Run<'a> {
    runner: &'a Runner,
    generator: Generator,
    bindings: Bindings,
    /// Where the next progress of the remap shard must start; none before its first.
    expected: Option<Timestamp>,
    /// Updates that belong to the next progress that moves the upper.
    pending: Vec<StoredUpdate>,
    remap_since: Timestamp,
    /// When ticks happen, once there was a binding.
    times: Option<TickTimes>,
    /// The leader's clock, as last heard.
    now: Timestamp,
    exports: Vec<Export>,
    has_run: bool,
}

impl<'a> Run<'a> {
    fn new(runner: &'a Runner) -> Run<'a> {
        let SourceConnection::LoadGenerator(options) = &runner.ingestion.connection;
        Run {
            runner,
            generator: Generator::new(options),
            bindings: Bindings::default(),
            expected: None,
            pending: Vec::new(),
            remap_since: Timestamp::MIN,
            times: None,
            now: Timestamp::MIN,
            exports: Vec::new(),
            has_run: false,
        }
    }

    async fn run(&mut self) -> End {
        match self.steps().await {
            Ok(()) => End::Finished,
            Err(end) => end,
        }
    }

    async fn steps(&mut self) -> Result<(), End> {
        for export in &self.runner.ingestion.exports {
            match self.runner.open(export).await {
                Ok(export) => self.exports.push(export),
                Err(End::Stopped(why)) => info!(id = %export.id, why, "an export is gone"),
                Err(end) => return Err(end),
            }
        }
        let shard = self.runner.ingestion.remap_shard;
        self.remap_since = self.runner.since(shard).await?;
        // The bindings read from here on include all up to this; only at its upper does the shard say when it was bound last.
        let bound = self.runner.upper(shard).await?;
        let mut subscription = self.runner.context.shards.subscribe(shard, self.remap_since).await?;
        self.runner.board.status(self.runner.ingestion.id, SourceStatus::Running);
        while self.expected.is_none() || self.bindings.upper() < bound {
            self.hear(&mut subscription).await?;
        }
        self.times = self.bindings.last().map(|(time, frontier)| self.generator.tick_times(time, frontier));
        loop {
            while let Some(event) = subscription.try_next() {
                self.accept(event?)?;
            }
            if self.write().await? {
                self.has_run = true;
                continue;
            }
            if self.bindings.upper() == Timestamp::MAX {
                return Ok(());
            }
            self.release(&subscription);
            self.wait_and_bind(&mut subscription).await?;
        }
    }

    async fn hear(&mut self, subscription: &mut Subscription) -> Result<(), End> {
        match subscription.next().await {
            Some(event) => self.accept(event?),
            None => Err(End::Failed("the stream of the remap shard ended".to_owned())),
        }
    }

    fn accept(&mut self, event: ShardEvent) -> Result<(), End> {
        match event {
            ShardEvent::Snapshot { updates, last: _ } => self.pending.extend(updates),
            ShardEvent::Progress { prev_upper, upper, now, updates } => {
                if self.expected.is_some_and(|expected| expected != prev_upper) || upper < prev_upper {
                    return Err(End::Broken(format!("progress of the remap shard from {prev_upper} does not join")));
                }
                let is_first = self.expected.replace(upper).is_none();
                self.pending.extend(updates);
                self.now = self.now.max(now);
                if upper > prev_upper || is_first {
                    self.take_bindings(upper)?;
                }
            }
        }
        Ok(())
    }

    fn take_bindings(&mut self, upper: Timestamp) -> Result<(), End> {
        let mut updates = std::mem::take(&mut self.pending);
        persist::consolidate(&mut updates);
        self.bindings.extend(&updates, upper).map_err(End::Broken)?;
        self.runner.board.upper(self.runner.ingestion.id, upper);
        Ok(())
    }

    /// Appends one batch to each data shard that is behind the remap shard. True if there was any.
    async fn write(&mut self) -> Result<bool, End> {
        let Some(times) = self.times else { return Ok(false) };
        let maker = Maker { generator: &self.generator, times, piece_updates: self.runner.piece_updates };
        let mut batches = Vec::new();
        for export in self.exports.iter_mut().filter(|export| !export.lost) {
            match export.next_batch(&maker, &self.bindings) {
                Ok(Some(batch)) => batches.push((export, batch)),
                Ok(None) => {}
                Err(Lost(time)) => {
                    let (id, shard) = (export.export.id, export.export.shard);
                    warn!(%id, %shard, %time, "the remap shard has forgotten an offset that an export needs");
                    let text = format!("the offsets at {time} are not known any more");
                    self.runner.board.status(id, SourceStatus::Stalled(text));
                    export.lost = true;
                }
            }
        }
        let context = &self.runner.context;
        let appends = batches.into_iter().map(|(export, Batch { upper, updates })| async move {
            let (shard, lower) = (export.export.shard, export.upper);
            let result =
                context.shards.append(shard, context.writer(), lower, upper, updates, context.new_token()).await;
            (export, upper, result)
        });
        let outcomes = join_all(appends).await;
        let any = !outcomes.is_empty();
        let mut gone = Vec::new();
        for (export, upper, result) in outcomes {
            match result {
                Ok(()) => export.moved(upper),
                Err(AppendError::UpperMismatch { actual }) => export.moved(actual),
                Err(AppendError::Closed) => export.moved(Timestamp::MAX),
                Err(AppendError::NotFound) => gone.push(export.export.id),
                Err(AppendError::TooFarAhead { now }) => {
                    // The binding was accepted at this time, so the leader's clock cannot be behind it for long.
                    self.now = self.now.max(now);
                    context.tasks.sleep(RETRY_FIRST).await;
                }
                Err(error) => return Err(error.into()),
            }
            self.runner.board.upper(export.export.id, export.upper);
        }
        self.exports.retain(|export| !gone.contains(&export.export.id));
        Ok(any)
    }

    /// Lets the remap shard forget what no export needs any more.
    fn release(&mut self, subscription: &Subscription) {
        let needed =
            self.exports.iter().filter(|export| !export.lost).map(Export::needs).min().unwrap_or(self.bindings.upper());
        let needed = needed.min(self.bindings.upper());
        self.bindings.forget_below(needed.step_back());
        subscription.ack(needed);
    }

    /// Waits for the next tick and binds it, unless something is heard from the remap shard first.
    async fn wait_and_bind(&mut self, subscription: &mut Subscription) -> Result<(), End> {
        let due = self.due();
        let wait = due.since(self.now);
        if !wait.is_zero() {
            let timer = self.runner.context.tasks.sleep(wait);
            if let Either::Right((event, _)) = select(timer, Box::pin(subscription.next())).await {
                let event = event.ok_or_else(|| End::Failed("the stream of the remap shard ended".to_owned()))?;
                return self.accept(event?);
            }
        }
        let lower = self.bindings.upper();
        self.bind(lower, due).await?;
        // Nothing but the remap shard itself says what was bound.
        while self.bindings.upper() == lower {
            self.hear(subscription).await?;
        }
        if self.times.is_none() {
            self.times = self.bindings.last().map(|(time, frontier)| self.generator.tick_times(time, frontier));
        }
        Ok(())
    }

    /// The time of the next binding: the leader's `now` rounded to the interval, the first one at the shard's creation.
    fn due(&self) -> Timestamp {
        let Some((last, _)) = self.bindings.last() else { return self.remap_since.max(self.bindings.upper()) };
        let interval = self.generator.binding_interval_ms();
        let round = |ms: u64| ms - ms % interval;
        Timestamp::from_millis(round(self.now.millis()).max(round(last.millis()) + interval))
    }

    /// Appends a binding to the remap shard, for a time of at most `due`.
    async fn bind(&mut self, lower: Timestamp, due: Timestamp) -> Result<(), End> {
        let (time, frontier) = match (self.times, self.bindings.last()) {
            (Some(times), Some((_, before))) => self.generator.next_binding(times, before, due, BINDING_OFFSETS),
            _ => (due, self.generator.start()),
        };
        // To the end of the millisecond, so that a subscription can call it complete.
        let next = Timestamp::end_of_millis(time.millis()).step_forward();
        let upper = if self.generator.is_complete(frontier) { Timestamp::MAX } else { next };
        let updates = self.bindings.replacement(time, frontier);
        let context = &self.runner.context;
        let shard = self.runner.ingestion.remap_shard;
        loop {
            let token = context.new_token();
            match context.shards.append(shard, context.writer(), lower, upper, updates.clone(), token).await {
                // If it was another replica's, its binding holds.
                Ok(()) | Err(AppendError::UpperMismatch { .. } | AppendError::Closed) => return Ok(()),
                Err(AppendError::TooFarAhead { now }) => self.now = self.now.max(now),
                Err(error) => return Err(error.into()),
            }
            context.tasks.sleep(RETRY_FIRST).await;
        }
    }
}

/// Makes the rows.
struct Maker<'a> {
    generator: &'a Generator,
    times: TickTimes,
    piece_updates: usize,
}

/// Updates for an export, up to an upper.
struct Batch {
    upper: Timestamp,
    updates: Vec<StoredUpdate>,
}

/// One relation of the source and how far its shard is.
struct Export {
    export: SourceExport,
    upper: Timestamp,
    /// As it was at the start: of a shard still being loaded, the time of its creation.
    since: Timestamp,
    load: Option<Load>,
    /// It cannot go on; the others can.
    lost: bool,
}

/// The offsets at this time are needed, but the remap shard has forgotten them: nobody held it there.
struct Lost(Timestamp);

/// The first contents, as far as they were made.
struct Load {
    /// The number of the piece that comes next.
    piece: u64,
    changes: std::iter::Peekable<Box<dyn Iterator<Item = Change> + Send>>,
}

impl Export {
    /// True until the first contents are readable.
    fn is_loading(&self) -> bool {
        self.upper <= self.since
    }

    /// The remap shard must stay readable one below this.
    fn needs(&self) -> Timestamp {
        if self.is_loading() { self.since.step_forward() } else { self.upper }
    }

    fn moved(&mut self, upper: Timestamp) {
        self.upper = upper;
    }

    /// What to append next; none if the shard is as far as the remap shard, or must wait for it.
    fn next_batch(&mut self, maker: &Maker<'_>, bindings: &Bindings) -> Result<Option<Batch>, Lost> {
        if self.upper >= bindings.upper() || self.upper == Timestamp::MAX {
            return Ok(None);
        }
        if !self.is_loading() {
            self.load = None;
            return self.following(maker, bindings).map(Some);
        }
        if bindings.upper() <= self.since {
            return Ok(None);
        }
        let frontier = bindings.frontier_at(self.since).ok_or(Lost(self.since))?;
        Ok(Some(self.next_piece(maker, bindings, frontier)))
    }

    /// A piece of the first contents: the changes of all offsets below `frontier`.
    fn next_piece(&mut self, maker: &Maker<'_>, bindings: &Bindings, frontier: u64) -> Batch {
        let number = self.upper.micros();
        let load = match self.load.take() {
            Some(load) if load.piece == number => load,
            _ => self.begin_load(maker, number, frontier),
        };
        let Load { piece, mut changes } = load;
        // The time of a piece lies below the creation; where that leaves no room the piece is the last, whatever its size.
        let at = Timestamp::new(piece);
        let room = at < self.since;
        let size = if room { maker.piece_updates } else { usize::MAX };
        let taken: Vec<Change> = changes.by_ref().take(size).collect();
        let is_last = !room || changes.peek().is_none();
        let time = if is_last { self.since } else { at };
        let updates = taken.into_iter().map(|(row, diff)| (row, time, diff)).collect();
        if !is_last {
            self.load = Some(Load { piece: piece + 1, changes });
            return Batch { upper: at.step_forward(), updates };
        }
        let is_all = bindings.upper() == Timestamp::MAX
            && bindings.between(self.since.step_forward(), Timestamp::MAX).next().is_none();
        let upper = if is_all { Timestamp::MAX } else { self.since.step_forward() };
        Batch { upper, updates }
    }

    fn begin_load(&self, maker: &Maker<'_>, piece: u64, frontier: u64) -> Load {
        let (generator, times) = (maker.generator.clone(), maker.times);
        let reference = self.export.reference.clone();
        let all = (0..frontier).flat_map(move |offset| generator.changes(&reference, offset, times));
        let done = usize::try_from(piece).unwrap_or(usize::MAX).saturating_mul(maker.piece_updates);
        let rest: Box<dyn Iterator<Item = Change> + Send> = Box::new(all.skip(done));
        Load { piece, changes: rest.peekable() }
    }

    /// The changes of the bindings behind the upper, of as many as one append should have.
    fn following(&self, maker: &Maker<'_>, bindings: &Bindings) -> Result<Batch, Lost> {
        let before = self.upper.step_back();
        let mut frontier = bindings.frontier_at(before).ok_or(Lost(before))?;
        let mut updates = Vec::new();
        for (time, next) in bindings.between(self.upper, bindings.upper()) {
            if updates.len() >= APPEND_UPDATES {
                return Ok(Batch { upper: time, updates });
            }
            for offset in frontier..next {
                let changes = maker.generator.changes(&self.export.reference, offset, maker.times);
                updates.extend(changes.map(|(row, diff)| (row, time, diff)));
            }
            frontier = next;
        }
        Ok(Batch { upper: bindings.upper(), updates })
    }
}
