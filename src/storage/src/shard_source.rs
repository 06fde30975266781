//! A durable collection as the input of a dataflow.
//!
//! One worker of the replica, chosen by the shard's number, follows the shard and deals its rows out to all workers; it alone
//! holds capabilities, until the shard is complete or every worker has dropped its token (see `token`). Laws:
//!
//! * what is emitted at times below the output frontier is the shard's contents there, times below `as_of` advanced to it;
//! * the frontier is the shard's upper, at least `as_of`; empty once that is MAX or has reached `until`;
//! * nothing is emitted at or beyond `until`.

use std::cell::Cell;

use differential_dataflow::{AsCollection, VecCollection};
use expr::EvalError;
use persist::Selection;
use repr::{Row, ShardId, Timestamp};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};
use trace::{Diff, Ts, frontier_of};

use crate::context::WorkerContext;
use crate::feed::{Feed, FeedItem, StoredUpdate};
use crate::stored;
use crate::token::{Pressed, Token, drop_signal};

/// Updates handled before other operators get their turn.
const FUEL_UPDATES: usize = 1 << 16;

/// The rows of a collection.
pub type Oks<'scope> = VecCollection<'scope, Ts, Row, Diff>;
/// The errors beside them.
pub type Errs<'scope> = VecCollection<'scope, Ts, EvalError, Diff>;

/// A collection read from a shard. Once all workers have dropped their tokens, its frontier is empty.
pub struct ShardSource<'scope> {
    pub oks: Oks<'scope>,
    pub errs: Errs<'scope>,
    pub token: Token,
}

type Item<D> = (D, Ts, Diff);
type Output<D> = OutputBuilder<Ts, CapacityContainerBuilder<Vec<Item<D>>>>;

/// Reads `shard` from `as_of` on, and no updates at or beyond `until`; of that as much as `selection` says. Errors come
/// whatever its bounds. All workers must call it in the same order.
///
/// Precondition: the shard is held at or below `as_of`; if it is not readable there, the process ends.
pub fn shard_source<'scope>(
    scope: Scope<'scope, Ts>,
    context: &WorkerContext,
    name: &str,
    shard: ShardId,
    as_of: Timestamp,
    until: Option<Timestamp>,
    selection: Selection,
) -> ShardSource<'scope> {
    let signal = drop_signal(scope);
    let mut builder = OperatorBuilder::new(format!("ShardSource {name} {shard}"), scope);
    let info = builder.operator_info();
    let mut dropped = builder.new_input(signal.stream, Pipeline);
    // Made after the input and without a connection to it: the signal must not hold the outputs back.
    let (oks, ok_stream) = builder.new_output_connection::<Vec<Item<Row>>, _>([]);
    let (errs, err_stream) = builder.new_output_connection::<Vec<Item<EvalError>>, _>([]);

    let pressed = Pressed::default();
    let button = pressed.button(vec![scope.activator_for(info.address.clone())]);
    let activator = scope.activator_for(info.address.clone());
    let wake = scope.worker().sync_activator_for(info.address.to_vec());
    let mut feed = context.is_responsible(shard.0).then(|| Feed::start(context, name, shard, as_of, selection, wake));
    let until = until.unwrap_or(Timestamp::MAX);

    builder.build(move |capabilities| {
        let mut emitter = Emitter::new(capabilities, OutputBuilder::from(oks), OutputBuilder::from(errs), as_of, until);
        if feed.is_none() {
            emitter.finish();
        }
        move |frontiers| {
            dropped.for_each(|_capability, _data| {});
            if pressed.is_pressed() {
                feed = None;
                if frontiers[0].is_empty() {
                    emitter.finish();
                }
                return;
            }
            let Some(items) = &mut feed else { return };
            match emitter.work(items) {
                Work::Waiting => {}
                Work::More => activator.activate(),
                Work::Complete => feed = None,
            }
        }
    });
    let token = Token::new((signal.token, button));
    ShardSource { oks: deal(ok_stream, context.peers).as_collection(), errs: err_stream.as_collection(), token }
}

/// Gives each worker its share of the rows in turn.
fn deal<'scope>(stream: StreamVec<'scope, Ts, Item<Row>>, peers: usize) -> StreamVec<'scope, Ts, Item<Row>> {
    if peers == 1 {
        return stream;
    }
    let next = Cell::new(0u64);
    stream.exchange(move |_item| next.replace(next.get().wrapping_add(1)))
}

enum Work {
    /// Took all there was.
    Waiting,
    /// Stopped early to let others work.
    More,
    /// The rest is of no interest, or there is none.
    Complete,
}

/// The outputs with what is needed to write to them.
struct Emitter {
    /// One for each output; none once complete.
    capabilities: Option<[Capability<Ts>; 2]>,
    oks: Output<Row>,
    errs: Output<EvalError>,
    as_of: Timestamp,
    until: Timestamp,
}

impl Emitter {
    fn new(
        capabilities: Vec<Capability<Ts>>,
        oks: Output<Row>,
        errs: Output<EvalError>,
        as_of: Timestamp,
        until: Timestamp,
    ) -> Emitter {
        let capabilities: [Capability<Ts>; 2] = capabilities.try_into().expect("the operator has two outputs");
        let mut emitter = Emitter { capabilities: Some(capabilities), oks, errs, as_of, until };
        emitter.advance(as_of);
        emitter
    }

    /// Nothing more is emitted.
    fn finish(&mut self) {
        self.capabilities = None;
    }

    fn advance(&mut self, upper: Timestamp) {
        let Some(capabilities) = &mut self.capabilities else { return };
        match frontier_of(upper).first() {
            Some(time) if upper < self.until => {
                for capability in capabilities {
                    if capability.time() < time {
                        capability.downgrade(time);
                    }
                }
            }
            _ => self.finish(),
        }
    }

    fn work(&mut self, feed: &mut Feed) -> Work {
        let mut fuel = FUEL_UPDATES;
        while let Some(item) = feed.next() {
            match item {
                FeedItem::Updates(updates) => {
                    fuel = fuel.saturating_sub(updates.len());
                    self.emit(updates);
                }
                FeedItem::Upper(upper) => self.advance(upper),
            }
            if self.capabilities.is_none() {
                return Work::Complete;
            }
            if fuel == 0 {
                return Work::More;
            }
        }
        Work::Waiting
    }

    fn emit(&mut self, updates: Vec<StoredUpdate>) {
        let Some([ok_capability, err_capability]) = &self.capabilities else { return };
        let (mut oks, mut errs) = (self.oks.activate(), self.errs.activate());
        let (mut oks, mut errs) = (oks.session(ok_capability), errs.session(err_capability));
        for (row, time, diff) in updates {
            let time = time.max(self.as_of);
            if time >= self.until {
                continue;
            }
            match stored::decode(row) {
                Ok(row) => oks.give((row, Ts(time), Diff(diff))),
                Err(error) => errs.give((error, Ts(time), Diff(diff))),
            }
        }
    }
}
