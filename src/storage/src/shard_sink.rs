//! A durable collection as the output of a dataflow: the self-correcting sink of materialized views.
//!
//! The desired collection and the shard's own contents (the *feedback*) meet in a `Correction`. A batch `[lower, upper)` is
//! made only when the feedback has reached exactly `lower`, holds whatever then is still wrong, and is appended if the shard's
//! upper is still `lower`. Laws:
//!
//! * after each append the shard equals what is desired at every time below `upper`, whoever wrote what before;
//! * who loses the race to another replica does nothing but wait for the winner's batch in the feedback, where it cancels the
//!   corrections that both had in mind; so replicas that compute the same write the same, once;
//! * nothing is appended before `allow_writes`, nor after the token is dropped, nor for a frontier that emptied because the
//!   dataflow was dropped (see `token`).
//!
//! ```text
//!   desired oks, errs ──exchange──▶ ┌────────────┐ due(lower, upper)
//!                                   │ Correction │ ────────────────▶ append task ──▶ shard
//!   shard ── Feed ── minus ───────▶ └────────────┘                                    │
//!     ▲───────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! One worker of the replica holds the whole buffer and appends.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use persist::AppendError;
use persist::Selection;
use repr::{ShardId, Timestamp};
use stdx::{Backoff, Task};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Map;
use timely::scheduling::{Activator, SyncActivator};
use trace::{Diff, Ts, upper_of};
use tracing::{info, warn};

use crate::context::WorkerContext;
use crate::correction::Correction;
use crate::feed::{Feed, FeedItem, StoredUpdate};
use crate::shard_source::{Errs, Oks};
use crate::stored;
use crate::token::{Pressed, Token};

const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// A sink on this worker.
pub struct ShardSink {
    pub handle: SinkHandle,
    /// Dropped before (or with) the tokens of the dataflow's sources.
    pub token: Token,
}

/// Speaks with a sink. Cheap to clone; stays on its worker.
#[derive(Clone)]
pub struct SinkHandle {
    upper: Rc<Cell<Timestamp>>,
    writes: Rc<Cell<bool>>,
    activator: Activator,
}

impl SinkHandle {
    /// The durable upper of the shard as this worker knows it; never goes back. MAX, the neutral element of the minimum over
    /// workers and processes, on workers that do not write.
    pub fn upper(&self) -> Timestamp {
        self.upper.get()
    }

    /// From now on the sink may append.
    pub fn allow_writes(&self) {
        self.writes.set(true);
        self.activator.activate();
    }
}

/// Keeps `shard` equal to the collection `oks` with `errs`. All workers must call it in the same order.
///
/// Precondition: both inputs are right from `as_of` on, and either nothing was ever written (then `as_of` is the time of the
/// shard's creation) or the shard's upper lies beyond `as_of`. The shard is held at or below `as_of`.
pub fn shard_sink<'scope>(
    context: &WorkerContext,
    name: &str,
    shard: ShardId,
    as_of: Timestamp,
    oks: Oks<'scope>,
    errs: Errs<'scope>,
) -> ShardSink {
    let scope = oks.inner.scope();
    let desired = stored_stream(oks, errs);
    let target = (shard.0 % context.peers.max(1) as u64) as usize;
    let mut builder = OperatorBuilder::new(format!("ShardSink {name} {shard}"), scope);
    let info = builder.operator_info();
    let mut input = builder.new_input(desired, Exchange::new(move |_update| target as u64));

    let activator = scope.activator_for(info.address.clone());
    let wake = scope.worker().sync_activator_for(info.address.to_vec());
    let writes = Rc::new(Cell::new(false));
    let is_writer = context.is_responsible(shard.0);
    let upper = Rc::new(Cell::new(if is_writer { Timestamp::MIN } else { Timestamp::MAX }));
    let pressed = Pressed::default();
    let token = Token::new(pressed.button(vec![activator.clone()]));
    let handle = SinkHandle { upper: Rc::clone(&upper), writes: Rc::clone(&writes), activator };

    let mut writer = is_writer.then(|| {
        let feed = Feed::start(context, name, shard, as_of, Selection::default(), wake.clone());
        let appender = Appender { context: context.clone(), name: name.to_owned(), shard, wake, running: None };
        Writer { feed, appender, state: SinkState::new(as_of) }
    });
    // An operator without capabilities is shut down when its inputs end, unless it says that it has more to do.
    builder.build_reschedule(move |_capabilities| {
        move |frontiers| {
            if pressed.is_pressed() || upper.get() == Timestamp::MAX {
                writer = None;
            }
            let Some(writer) = &mut writer else {
                input.for_each(|_capability, data| data.clear());
                return false;
            };
            input.for_each(|_capability, data| {
                let updates = data.drain(..).map(|(row, time, diff)| (row, time.0, diff.0));
                writer.state.desire(updates);
            });
            writer.state.desired_upper(upper_of(frontiers[0].frontier()));
            writer.turn(writes.get());
            upper.set(writer.state.persisted.unwrap_or(Timestamp::MIN));
            upper.get() < Timestamp::MAX
        }
    });
    ShardSink { handle, token }
}

/// Rows and errors as they are stored. A multiplicity that overflowed can never be corrected, so it is stored as an error.
fn stored_stream<'scope>(oks: Oks<'scope>, errs: Errs<'scope>) -> StreamVec<'scope, Ts, (repr::Row, Ts, Diff)> {
    let oks = oks.inner.map(|(row, time, diff)| {
        if diff.0.is_overflow() {
            let error = expr::EvalError::negative_multiplicity("materialized view");
            return (stored::encode_err(&error), time, Diff::ONE);
        }
        (stored::encode_ok(row), time, diff)
    });
    let errs = errs.inner.map(|(error, time, diff)| (stored::encode_err(&error), time, diff));
    oks.concat(errs)
}

/// The writing worker's part.
struct Writer {
    feed: Feed,
    appender: Appender,
    state: SinkState,
}

impl Writer {
    fn turn(&mut self, may_write: bool) {
        while let Some(item) = self.feed.next() {
            match item {
                FeedItem::Updates(updates) => self.state.correction.persist(updates),
                FeedItem::Upper(upper) => self.state.persisted_upper(upper),
            }
        }
        if self.appender.is_busy() || !may_write {
            return;
        }
        if let Some(batch) = self.state.next_batch() {
            self.appender.start(batch);
        }
    }
}

/// Updates for times in `[lower, upper)`, to be appended where the shard's upper is `lower`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) lower: Timestamp,
    pub(crate) upper: Timestamp,
    pub(crate) updates: Vec<StoredUpdate>,
}

/// What the sink knows, and what it makes of it.
pub(crate) struct SinkState {
    as_of: Timestamp,
    pub(crate) correction: Correction,
    /// What is desired is complete below it.
    desired: Timestamp,
    /// The upper of the feedback; none before its first word.
    pub(crate) persisted: Option<Timestamp>,
    /// The `lower` of the last batch: no other is made at it.
    tried: Option<Timestamp>,
}

impl SinkState {
    pub(crate) fn new(as_of: Timestamp) -> SinkState {
        SinkState { as_of, correction: Correction::default(), desired: Timestamp::MIN, persisted: None, tried: None }
    }

    pub(crate) fn desire(&mut self, updates: impl IntoIterator<Item = StoredUpdate>) {
        self.correction.desire(updates);
    }

    pub(crate) fn desired_upper(&mut self, upper: Timestamp) {
        self.desired = self.desired.max(upper);
    }

    pub(crate) fn persisted_upper(&mut self, upper: Timestamp) {
        self.persisted = Some(self.persisted.map_or(upper, |before| before.max(upper)));
    }

    /// The batch to append now, if there is one. Once it was made, the next is made only when the feedback has moved.
    pub(crate) fn next_batch(&mut self) -> Option<Batch> {
        let lower = self.persisted?;
        let upper = self.desired;
        if upper <= lower || upper <= self.as_of || self.tried == Some(lower) {
            return None;
        }
        assert!(
            lower == Timestamp::MIN || lower >= self.as_of,
            "the view is computed from {} on, but was written only up to {lower}",
            self.as_of
        );
        self.tried = Some(lower);
        let updates = self.correction.due(lower.max(self.as_of), upper);
        Some(Batch { lower, upper, updates })
    }
}

/// Appends one batch at a time, off the worker thread, and tries again until the outcome is known.
struct Appender {
    context: WorkerContext,
    name: String,
    shard: ShardId,
    wake: SyncActivator,
    running: Option<Running>,
}

struct Running {
    done: Arc<Mutex<bool>>,
    _task: Task,
}

impl Appender {
    fn is_busy(&mut self) -> bool {
        if self.running.as_ref().is_some_and(|running| *running.done.lock()) {
            self.running = None;
        }
        self.running.is_some()
    }

    fn start(&mut self, batch: Batch) {
        let done = Arc::new(Mutex::new(false));
        let (context, shard, name) = (self.context.clone(), self.shard, self.name.clone());
        let (wake, finished) = (self.wake.clone(), Arc::clone(&done));
        let task = self.context.tasks.spawn("shard-sink-append", async move {
            if append(&context, shard, &name, batch).await == Outcome::Stopped {
                // Nobody may write any more: `done` stays false, so no other batch is tried.
                return;
            }
            *finished.lock() = true;
            // Fails only if the worker is gone.
            let _ = wake.activate();
        });
        self.running = Some(Running { done, _task: task });
    }
}

#[derive(PartialEq, Eq)]
enum Outcome {
    /// Appended by us or by another; the feedback will say.
    Known,
    /// This replica must write no more.
    Stopped,
}

async fn append(context: &WorkerContext, shard: ShardId, name: &str, batch: Batch) -> Outcome {
    let Batch { lower, upper, updates } = batch;
    let token = context.new_token();
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
    loop {
        let result = context.shards.append(shard, context.writer(), lower, upper, updates.clone(), token).await;
        match result {
            Ok(()) | Err(AppendError::UpperMismatch { .. } | AppendError::Closed) => return Outcome::Known,
            Err(error @ (AppendError::Fenced(_) | AppendError::NotFound)) => {
                info!(%shard, name, %error, "the view is written no more");
                return Outcome::Stopped;
            }
            Err(error @ (AppendError::OtherLog | AppendError::Invalid(_))) => {
                (context.halt)(format!("appending to {shard} of {name}: {error}"));
                return Outcome::Stopped;
            }
            Err(AppendError::TooFarAhead { .. }) => {}
            Err(error @ (AppendError::DiskFull | AppendError::Blob(_))) => {
                warn!(%shard, name, %error, "appending to a view failed; trying again");
            }
            Err(error @ (AppendError::Unknown(_) | AppendError::Halted(_))) => {
                info!(%shard, name, %error, "appending to a view again");
            }
        }
        context.tasks.sleep(backoff.next_delay()).await;
    }
}
