//! Following a shard: a task that subscribes, subscribes again after a broken stream, and hands a worker what it may use.
//!
//! A broken stream is resumed at the last complete time, so what is not complete yet is held here, and forgotten if the stream
//! breaks: the contents at `as_of`, then each interval. But only so much of it: what is larger is handed on as it comes, which
//! the worker may take at once, for its frontier stands still meanwhile. `persist` reads such an event to its end even when the
//! connection breaks; should it fail nevertheless (parts were deleted because nobody was heard of for long), the process ends,
//! since what was handed on cannot be taken back.
//!
//! ```text
//!   persist ──events──▶ task: Joiner (checks, gathers) ──queue──▶ worker: Feed::next
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use persist::{Selection, ShardEvent, SubscribeError, Subscription};
use repr::{Diff, Row, ShardId, Timestamp};
use stdx::{Backoff, Task};
use timely::scheduling::SyncActivator;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::context::WorkerContext;

/// Items that may wait for the worker: pieces of about a megabyte, and uppers.
const QUEUE_ITEMS: usize = 16;
/// So many bytes of rows are held until they are complete.
const HELD_BYTES_MAX: usize = 64 << 20;
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// (row as stored, time, difference), as `persist` has it.
pub(crate) type StoredUpdate = (Row, Timestamp, Diff);

/// What a worker takes from the queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FeedItem {
    /// Belongs to the contents below the next `Upper`; times are at or beyond `as_of` and the `Upper` before.
    Updates(Vec<StoredUpdate>),
    /// All updates below it have been handed over, if it lies beyond `as_of`. Up to `as_of` it is only the shard's upper:
    /// nothing has been handed over. MAX is the last.
    Upper(Timestamp),
}

/// The worker's end. Dropping it ends the task.
pub(crate) struct Feed {
    items: mpsc::Receiver<FeedItem>,
    _task: Task,
}

impl Feed {
    /// Follows `shard` from `as_of` on, as much of it as `selection` says; schedules the operator of `activator` whenever there
    /// is something to take.
    pub(crate) fn start(
        context: &WorkerContext,
        name: &str,
        shard: ShardId,
        as_of: Timestamp,
        selection: Selection,
        activator: SyncActivator,
    ) -> Feed {
        let (sender, items) = mpsc::channel(QUEUE_ITEMS);
        let selection = Arc::new(selection);
        let follower =
            Follower { context: context.clone(), name: name.to_owned(), shard, as_of, selection, sender, activator };
        let task = context.tasks.spawn("shard-feed", follower.run());
        Feed { items, _task: task }
    }

    /// The next item, if there is one now.
    pub(crate) fn next(&mut self) -> Option<FeedItem> {
        self.items.try_recv().ok()
    }
}

/// The worker has dropped its end.
struct Gone;

/// Why one subscription is over.
enum End {
    Complete,
    Gone,
    Failed(SubscribeError),
    /// What persist said contradicts what it said before.
    Broken(String),
}

struct Follower {
    context: WorkerContext,
    name: String,
    shard: ShardId,
    as_of: Timestamp,
    selection: Arc<Selection>,
    sender: mpsc::Sender<FeedItem>,
    activator: SyncActivator,
}

impl Follower {
    async fn run(self) {
        let mut joiner = Joiner::new(self.as_of);
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        loop {
            let before = joiner.upper;
            let end = self.follow(&mut joiner).await;
            if joiner.upper != before {
                backoff.reset();
            }
            let (shard, name) = (self.shard, &self.name);
            match end {
                End::Complete | End::Gone => return,
                End::Broken(what) => return self.halt(&what),
                End::Failed(SubscribeError::Expired { since }) => {
                    let at = joiner.resume_at();
                    return self.halt(&format!("the dataflow reads it at {at}, below its since {since}"));
                }
                End::Failed(SubscribeError::OtherLog) => return self.halt("the log is another one now"),
                End::Failed(SubscribeError::NotFound) => {
                    // It was dropped, and so will be what reads it. Until then its readers wait.
                    info!(%shard, name, "the shard is gone");
                    return;
                }
                End::Failed(error @ SubscribeError::Blob(_)) if joiner.has_poured => {
                    // The dataflow waits where it is, and with it its readers; others go on.
                    error!(%shard, name, %error, "reading a shard failed for good; it is read anew after a restart");
                    return;
                }
                End::Failed(error @ SubscribeError::Blob(_)) => warn!(%shard, name, %error, "reading a shard failed"),
                End::Failed(error) => info!(%shard, name, %error, "subscribing again"),
            }
            self.context.tasks.sleep(backoff.next_delay()).await;
        }
    }

    fn halt(&self, what: &str) {
        (self.context.halt)(format!("{} of {}: {what}", self.shard, self.name));
    }

    /// One subscription, until it ends.
    async fn follow(&self, joiner: &mut Joiner) -> End {
        let (at, selection) = (joiner.resume_at(), Arc::clone(&self.selection));
        let mut subscription = match self.context.shards.subscribe_within(self.shard, at, selection).await {
            Ok(subscription) => subscription,
            Err(error) => return End::Failed(error),
        };
        if let Err(what) = joiner.begin() {
            return End::Broken(what);
        }
        loop {
            let event = match subscription.next().await {
                Some(Ok(event)) => event,
                Some(Err(error)) => return End::Failed(error),
                None => return End::Failed(SubscribeError::Interrupted("the stream ended".to_owned())),
            };
            if let Err(what) = joiner.accept(event) {
                return End::Broken(what);
            }
            if self.hand_over(joiner, &subscription).await.is_err() {
                return End::Gone;
            }
            if joiner.upper == Some(Timestamp::MAX) {
                return End::Complete;
            }
        }
    }

    async fn hand_over(&self, joiner: &mut Joiner, subscription: &Subscription) -> Result<(), Gone> {
        while let Some(item) = joiner.ready.pop_front() {
            let upper = if let FeedItem::Upper(upper) = &item { Some(*upper) } else { None };
            self.sender.send(item).await.map_err(|_| Gone)?;
            // Fails only if the worker is gone, which the next send tells.
            let _ = self.activator.activate();
            if let Some(upper) = upper.filter(|upper| *upper > self.as_of) {
                subscription.ack(upper);
            }
        }
        Ok(())
    }
}

/// Joins the events of successive subscriptions to one gapless sequence of items.
struct Joiner {
    as_of: Timestamp,
    /// The last upper made ready; none before the first.
    upper: Option<Timestamp>,
    /// Where the next progress of this subscription must start; none before its first.
    expected: Option<Timestamp>,
    /// Updates of the interval (or the contents at `as_of`) that is not complete yet.
    pending: VecDeque<Vec<StoredUpdate>>,
    pending_bytes: usize,
    /// Some of what is not complete yet was handed on.
    has_poured: bool,
    ready: VecDeque<FeedItem>,
}

impl Joiner {
    fn new(as_of: Timestamp) -> Joiner {
        Joiner {
            as_of,
            upper: None,
            expected: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            has_poured: false,
            ready: VecDeque::new(),
        }
    }

    /// True once the contents at `as_of` were handed over as a whole.
    fn has_contents(&self) -> bool {
        self.upper.is_some_and(|upper| upper > self.as_of)
    }

    /// The time at which the next subscription must begin.
    fn resume_at(&self) -> Timestamp {
        match self.upper {
            Some(upper) if upper > self.as_of => upper.step_back(),
            _ => self.as_of,
        }
    }

    /// A new subscription begins at `resume_at`. Errors: it would bring again what was handed on.
    fn begin(&mut self) -> Result<(), String> {
        if self.has_poured {
            return Err(format!("reading it broke off within what follows {:?}", self.upper));
        }
        self.expected = None;
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }

    fn accept(&mut self, event: ShardEvent) -> Result<(), String> {
        match event {
            ShardEvent::Snapshot { updates, last: _ } => {
                // A resumed reader has what the snapshot says.
                if !self.has_contents() {
                    self.gather(updates);
                }
                Ok(())
            }
            ShardEvent::Progress { prev_upper, upper, now: _, updates } => {
                self.check(prev_upper, upper)?;
                if self.upper.is_none_or(|before| before < prev_upper) {
                    self.complete(prev_upper);
                }
                self.expected = Some(upper);
                self.gather(updates);
                if upper > prev_upper {
                    self.complete(upper);
                }
                Ok(())
            }
        }
    }

    fn gather(&mut self, updates: Vec<StoredUpdate>) {
        if updates.is_empty() {
            return;
        }
        self.pending_bytes += updates.iter().map(|(row, _, _)| row.len_bytes() + 32).sum::<usize>();
        self.pending.push_back(updates);
        if self.pending_bytes > HELD_BYTES_MAX {
            self.has_poured = true;
            self.pour();
        }
    }

    fn pour(&mut self) {
        self.ready.extend(self.pending.drain(..).map(FeedItem::Updates));
        self.pending_bytes = 0;
    }

    /// Progress must join what came before: group batches do not tile, so nothing else would show a gap.
    fn check(&self, prev_upper: Timestamp, upper: Timestamp) -> Result<(), String> {
        let joins = match (self.expected, self.upper) {
            (Some(expected), _) => prev_upper == expected,
            (None, Some(resumed)) if resumed > self.as_of => prev_upper == resumed,
            // The contents come anew, up to wherever the shard is by now.
            (None, Some(before)) => prev_upper >= before,
            (None, None) => true,
        };
        if joins && upper >= prev_upper {
            return Ok(());
        }
        Err(format!("progress from {prev_upper} to {upper} does not join {:?}, {:?}", self.expected, self.upper))
    }

    fn complete(&mut self, upper: Timestamp) {
        if upper > self.as_of {
            self.pour();
            self.has_poured = false;
        }
        self.upper = Some(upper);
        self.ready.push_back(FeedItem::Upper(upper));
    }
}
