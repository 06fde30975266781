//! A durable collection as the output of a dataflow: the self-correcting sink of materialized views.
//!
//! The desired collection and the shard's own contents (the *feedback*) meet, by row, in each worker's `Correction`. One
//! worker cares for the shard: it follows it for all, deals its rows out, and mints the descriptions `[lower, upper)` of
//! batches. Every worker writes its run of a batch, which holds whatever of its rows is still wrong, once its share of the
//! feedback has reached exactly `lower` and what is desired has reached `upper`. The one worker collects the runs and appends
//! them as one batch, if the shard's upper is still `lower`. Laws:
//!
//! * after each append the shard equals what is desired at every time below `upper`, whoever wrote what before: the runs of a
//!   batch hold disjoint sets of rows, and each is right for the contents at `lower`, which the append demands;
//! * who loses the race to another replica does nothing but wait for the winner's batch in the feedback, where it cancels the
//!   corrections that both had in mind; so replicas that compute the same write the same, once;
//! * a run that was written for a batch that is never appended is garbage, in the blob store at most;
//! * nothing is appended before `allow_writes`, nor after the token is dropped, nor for a frontier that emptied because the
//!   dataflow was dropped (see `token`): a batch needs the runs of all workers, and none writes one once its token is gone.
//!
//! ```text
//!   desired oks, errs ───by row──▶ ┌─────────────────────┐
//!                                  │ each worker:        │ runs
//!   ┌───────────────┐  ──by row──▶ │ Correction,         │ ─────▶ the one worker: append task ──▶ shard
//!   │ the one       │ persisted    │ write task          │                                          │
//!   │ worker: Feed, │ ──to all───▶ └─────────────────────┘                                          │
//!   │ Minter        │ descriptions                                                                  │
//!   └───────────────┘ ◀─────────────────────────────────────────────────────────────────────────────┘
//! ```

mod append;
mod attempt;
mod mint;
mod write;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use persist::{Run, Selection};
use repr::{Row, ShardId, Timestamp};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Capability, Concat};
use timely::dataflow::{Scope, StreamVec};
use timely::progress::Antichain;
use timely::scheduling::Activator;
use trace::{Diff, Ts, frontier_of, owner_hash, upper_of};

use self::append::{Appender, Outcome};
pub(crate) use self::mint::{Description, Minter};
use self::write::{Ready, RunWriter};
use crate::context::WorkerContext;
use crate::feed::{Feed, FeedItem};
use crate::shard_source::{Errs, Oks};
use crate::stored;
use crate::token::{Pressed, Token};

/// Updates of the feedback handled before other operators get their turn.
const FUEL_UPDATES: usize = 1 << 16;

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
    desired: Rc<Cell<Timestamp>>,
    writes: Rc<Cell<bool>>,
    activator: Activator,
}

impl SinkHandle {
    /// Up to where the shard is written and this replica knows what is to be written: it could go on from there by itself,
    /// whoever wrote. As [`upper`](Self::upper) to be taken as a minimum over workers.
    pub fn reached(&self) -> Timestamp {
        self.upper.get().min(self.desired.get())
    }

    /// The durable upper of the shard as this worker knows it; never goes back. MAX, the neutral element of the minimum over
    /// workers and processes, on workers that do not append.
    pub fn upper(&self) -> Timestamp {
        self.upper.get()
    }

    /// From now on the sink may append.
    pub fn allow_writes(&self) {
        self.writes.set(true);
        self.activator.activate();
    }
}

/// A row as it is stored.
type StoredItem = (Row, Ts, Diff);
/// A description, for a worker.
type Order = (u64, Description);
/// What a worker has written for the description of a number.
type Answer = (u64, Bytes);

/// What is to be in the shard, what is, and what is to be written.
type Inputs<'scope> =
    (StreamVec<'scope, Ts, StoredItem>, StreamVec<'scope, Ts, StoredItem>, StreamVec<'scope, Ts, Order>);

type Output<D> = OutputBuilder<Ts, CapacityContainerBuilder<Vec<D>>>;

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
    let sink = Sink { context, name, shard, as_of, scope: oks.inner.scope() };
    let desired = stored_stream(oks, errs);
    let pressed = Pressed::default();
    let feedback = sink.feedback(&pressed);
    let Feedback { persisted, descriptions, care, activator, upper, writes } = feedback;
    let reached = Rc::new(Cell::new(Timestamp::MIN));
    let inputs = (desired, persisted, descriptions);
    let (runs, writing) = sink.write(&pressed, inputs, care.as_ref(), &activator, Rc::clone(&reached));
    sink.collect(runs, care, &activator);
    let token = Token::new(pressed.button(vec![activator.clone(), writing]));
    ShardSink { handle: SinkHandle { upper, desired: reached, writes, activator }, token }
}

/// Rows and errors as they are stored. A multiplicity that overflowed can never be corrected, so it is stored as an error.
fn stored_stream<'scope>(oks: Oks<'scope>, errs: Errs<'scope>) -> StreamVec<'scope, Ts, StoredItem> {
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

/// What the parts of a sink are built from.
struct Sink<'a, 'scope> {
    context: &'a WorkerContext,
    name: &'a str,
    shard: ShardId,
    as_of: Timestamp,
    scope: Scope<'scope, Ts>,
}

/// The first operator, and what the others have to do with it.
struct Feedback<'scope> {
    persisted: StreamVec<'scope, Ts, StoredItem>,
    descriptions: StreamVec<'scope, Ts, Order>,
    /// On the worker that cares for the shard.
    care: Option<Rc<RefCell<Minter>>>,
    activator: Activator,
    upper: Rc<Cell<Timestamp>>,
    writes: Rc<Cell<bool>>,
}

impl<'scope> Sink<'_, 'scope> {
    fn builder(&self, what: &str) -> OperatorBuilder<'scope, Ts> {
        OperatorBuilder::new(format!("ShardSink {} {} {what}", self.name, self.shard), self.scope)
    }

    /// Follows the shard, says what is to be written, and appends it: on the worker that cares for the shard.
    fn feedback(&self, pressed: &Pressed) -> Feedback<'scope> {
        let (context, shard, as_of) = (self.context, self.shard, self.as_of);
        let mut builder = self.builder("feedback");
        let address = builder.operator_info().address;
        let (persisted, persisted_stream) = builder.new_output::<Vec<StoredItem>>();
        let (descriptions, description_stream) = builder.new_output::<Vec<Order>>();
        let activator = self.scope.activator_for(address.clone());
        let writes = Rc::new(Cell::new(false));
        let is_responsible = context.is_responsible(shard.0);
        let upper = Rc::new(Cell::new(if is_responsible { Timestamp::MIN } else { Timestamp::MAX }));
        let care = is_responsible.then(|| Rc::new(RefCell::new(Minter::new(as_of, context.peers))));

        let wake = self.scope.worker().sync_activator_for(address.to_vec());
        let mut steward = care.as_ref().map(|minter| Steward {
            feed: Feed::start(context, self.name, shard, as_of, Selection::default(), wake.clone()),
            appender: Appender::new(context, self.name, shard, wake),
            minter: Rc::clone(minter),
            workers: context.peers as u64,
            as_of,
            capabilities: None,
            persisted: OutputBuilder::from(persisted),
            descriptions: OutputBuilder::from(descriptions),
        });
        let (pressed, again) = (pressed.clone(), activator.clone());
        let (known, may_write) = (Rc::clone(&upper), Rc::clone(&writes));
        builder.build(move |capabilities| {
            if let Some(steward) = &mut steward {
                steward.capabilities = Some(capabilities.try_into().expect("the operator has two outputs"));
                steward.advance(as_of);
            }
            move |_frontiers| {
                if pressed.is_pressed() {
                    steward = None;
                }
                let Some(active) = &mut steward else { return };
                if active.turn(may_write.get()) == Turn::More {
                    again.activate();
                }
                known.set(active.minter.borrow().upper());
                if known.get() == Timestamp::MAX {
                    steward = None;
                }
            }
        });
        let (persisted, descriptions) = (persisted_stream, description_stream);
        Feedback { persisted, descriptions, care, activator, upper, writes }
    }

    /// Writes this worker's runs, and keeps in `reached` up to where it knows what to write. Returns the runs, and what
    /// activates the operator.
    fn write(
        &self,
        pressed: &Pressed,
        (desired, persisted, descriptions): Inputs<'scope>,
        care: Option<&Rc<RefCell<Minter>>>,
        feedback: &Activator,
        reached: Rc<Cell<Timestamp>>,
    ) -> (StreamVec<'scope, Ts, Answer>, Activator) {
        let mut builder = self.builder("write");
        let address = builder.operator_info().address;
        let by_row = || Exchange::new(|(row, _, _): &StoredItem| owner_hash(row));
        let mut desired = builder.new_input(desired, by_row());
        let mut persisted = builder.new_input(persisted, by_row());
        let mut orders = builder.new_input(descriptions, Exchange::new(|(worker, _): &Order| *worker));
        // Only descriptions lead to runs; their capabilities are kept until then.
        let (runs, run_stream) =
            builder.new_output_connection::<Vec<Answer>, _>([(2, Antichain::from_elem(Default::default()))]);
        let mut runs: Output<Answer> = OutputBuilder::from(runs);
        let wake = self.scope.worker().sync_activator_for(address.to_vec());
        let mut writer = Some(RunWriter::new(self.context, self.name, self.shard, self.as_of, wake));
        let (pressed, care, feedback) = (pressed.clone(), care.cloned(), feedback.clone());
        builder.build(move |_capabilities| {
            move |frontiers| {
                if pressed.is_pressed() {
                    writer = None;
                }
                let Some(writer) = &mut writer else {
                    desired.for_each(|_capability, data| data.clear());
                    persisted.for_each(|_capability, data| data.clear());
                    orders.for_each(|_capability, data| data.clear());
                    return;
                };
                desired.for_each(|_capability, data| {
                    writer.share.correction.desire(data.drain(..).map(|(row, time, diff)| (row, time.0, diff.0)));
                });
                persisted.for_each(|_capability, data| {
                    writer.share.correction.persist(data.drain(..).map(|(row, time, diff)| (row, time.0, diff.0)));
                });
                orders.for_each(|capability, data| {
                    for (_, description) in data.drain(..) {
                        writer.want(description, capability.retain(0));
                    }
                });
                let desired_upper = upper_of(frontiers[0].frontier());
                reached.set(desired_upper);
                writer.share.uppers(desired_upper, upper_of(frontiers[1].frontier()));
                if let Some(minter) = &care
                    && minter.borrow_mut().desired_upper(desired_upper)
                {
                    feedback.activate();
                }
                if let Some(Ready { number, run, capability }) = writer.turn() {
                    runs.activate().session(&capability).give((number, run.to_bytes()));
                }
            }
        });
        (run_stream, self.scope.activator_for(address))
    }

    /// Gathers the runs where they are appended.
    fn collect(&self, runs: StreamVec<'scope, Ts, Answer>, care: Option<Rc<RefCell<Minter>>>, feedback: &Activator) {
        let mut builder = self.builder("collect");
        let target = self.shard.0 % self.context.peers.max(1) as u64;
        let mut input = builder.new_input(runs, Exchange::new(move |_answer: &Answer| target));
        let (feedback, halt) = (feedback.clone(), self.context.halt.clone());
        builder.build(move |_capabilities| {
            move |_frontiers| {
                input.for_each(|_capability, data| {
                    let Some(minter) = &care else { return data.clear() };
                    for (number, bytes) in data.drain(..) {
                        match Run::of_bytes(bytes) {
                            Ok(run) => {
                                if minter.borrow_mut().collect(number, run) {
                                    feedback.activate();
                                }
                            }
                            Err(error) => halt(format!("a run from another worker: {error}")),
                        }
                    }
                });
            }
        });
    }
}

#[derive(PartialEq, Eq)]
enum Turn {
    /// Took all there was.
    Waiting,
    /// Stopped early to let others work.
    More,
}

/// What the worker that cares for the shard does for all.
struct Steward {
    feed: Feed,
    appender: Appender,
    minter: Rc<RefCell<Minter>>,
    workers: u64,
    as_of: Timestamp,
    /// One for each output; none once the shard is closed.
    capabilities: Option<[Capability<Ts>; 2]>,
    persisted: Output<StoredItem>,
    descriptions: Output<Order>,
}

impl Steward {
    fn turn(&mut self, may_write: bool) -> Turn {
        let turn = self.hear();
        let mut minter = self.minter.borrow_mut();
        if let Some(Outcome::Refused(description)) = self.appender.outcome() {
            minter.mint_again(description);
        }
        if !self.appender.is_busy() && may_write {
            if let Some(batch) = minter.take_batch() {
                self.appender.start(batch);
            } else if let Some(description) = minter.mint()
                && let Some([_, capability]) = &self.capabilities
            {
                let mut output = self.descriptions.activate();
                let mut session = output.session(capability);
                (0..self.workers).for_each(|worker| session.give((worker, description)));
            }
        }
        turn
    }

    /// Takes what there is to be heard of the shard.
    fn hear(&mut self) -> Turn {
        let mut fuel = FUEL_UPDATES;
        while fuel > 0 {
            match self.feed.next() {
                Some(FeedItem::Updates(updates)) => {
                    fuel = fuel.saturating_sub(updates.len());
                    let Some([capability, _]) = &self.capabilities else { continue };
                    let mut output = self.persisted.activate();
                    let mut session = output.session(capability);
                    for (row, time, diff) in updates {
                        session.give((row, Ts(time), Diff(diff)));
                    }
                }
                Some(FeedItem::Upper(upper)) => {
                    self.minter.borrow_mut().persisted_upper(upper);
                    self.advance(upper);
                }
                None => return Turn::Waiting,
            }
        }
        Turn::More
    }

    fn advance(&mut self, upper: Timestamp) {
        match (frontier_of(upper.max(self.as_of)).first(), &mut self.capabilities) {
            (Some(time), Some(capabilities)) => {
                for capability in capabilities {
                    if capability.time() < time {
                        capability.downgrade(time);
                    }
                }
            }
            _ => self.capabilities = None,
        }
    }
}
