//! Runs dataflows over histories in memory, on one worker or several, and reads an index of them at each time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use compute::{ComputeContext, ComputeState, PeekServer, ShardEnds};
use differential_dataflow::AsCollection;
use expr::{EvalError, Mfp};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use persist::Selection;
use protocol::compute::{ComputeCommand, ComputeResponse};
use protocol::dataflow::{Dataflow, Export};
use protocol::peek::{Peek, PeekId, PeekOutcome, PeekTarget, RowOrder};
use protocol::{Hello, Sequenced};
use repr::{CollectionId, Kind, Row, ShardId, Timestamp};
use stdx::tasks::Spawn;
use stdx::{SystemClock, Tasks};
use storage::{Errs, Oks, ShardSink, ShardSource, Token};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::operators::generic::source;
use trace::{Diff, Ts};
use uuid::Uuid;

/// (row or error, time, change of its multiplicity).
pub(crate) type Update = (Result<Row, EvalError>, u64, i64);

/// What happens to each shard, of which the times below `upper` have happened.
#[derive(Default)]
pub(crate) struct Histories {
    pub(crate) shards: BTreeMap<ShardId, Vec<Update>>,
    pub(crate) upper: AtomicU64,
}

/// Reads shards from a history; each worker takes its share of the updates.
pub(crate) struct MemoryEnds {
    pub(crate) histories: Arc<Histories>,
}

impl ShardEnds for MemoryEnds {
    fn source<'scope>(
        &self,
        scope: Scope<'scope, Ts>,
        _name: &str,
        shard: ShardId,
        as_of: Timestamp,
        until: Option<Timestamp>,
        _selection: Selection,
    ) -> ShardSource<'scope> {
        let until = until.map_or(u64::MAX, Timestamp::micros);
        let wanted = |time: &u64| *time < until;
        let mine = self.histories.shards[&shard].iter().enumerate();
        let mine = mine.filter(|(index, _)| index % scope.peers() == scope.index()).map(|(_, update)| update);
        let (mut oks, mut errs) = (Vec::new(), Vec::new());
        for (datum, time, diff) in mine.filter(|(_, time, _)| wanted(time)) {
            let time = Ts(Timestamp::new(*time).max(as_of));
            match datum {
                Ok(row) => oks.push((row.clone(), time, Diff::new(*diff))),
                Err(error) => errs.push((error.clone(), time, Diff::new(*diff))),
            }
        }
        let is_dropped = Arc::new(AtomicBool::new(false));
        let oks = replay(scope, Arc::clone(&self.histories), oks, Arc::clone(&is_dropped));
        let errs = replay(scope, Arc::clone(&self.histories), errs, Arc::clone(&is_dropped));
        ShardSource { oks, errs, token: Token::new(SetOnDrop(is_dropped)) }
    }

    fn sink<'scope>(&self, _: &str, _: ShardId, _: Timestamp, _: Oks<'scope>, _: Errs<'scope>) -> ShardSink {
        panic!("tests of rendering write no shards")
    }
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn replay<'scope, D: Clone + 'static>(
    scope: Scope<'scope, Ts>,
    histories: Arc<Histories>,
    mut updates: Vec<(D, Ts, Diff)>,
    is_dropped: Arc<AtomicBool>,
) -> differential_dataflow::VecCollection<'scope, Ts, D, Diff> {
    source::<_, CapacityContainerBuilder<Vec<(D, Ts, Diff)>>, _, _>(scope, "Replay", |capability, info| {
        let activator = scope.activator_for(info.address);
        let mut capability = Some(capability);
        move |output| {
            let Some(held) = &mut capability else { return };
            if is_dropped.load(Ordering::SeqCst) {
                capability = None;
                return;
            }
            let upper = Ts::new(histories.upper.load(Ordering::SeqCst));
            let (ready, later): (Vec<_>, Vec<_>) =
                std::mem::take(&mut updates).into_iter().partition(|(_, time, _)| *time < upper);
            updates = later;
            output.session(held).give_iterator(ready.into_iter());
            if *held.time() < upper {
                held.downgrade(&upper);
            }
            activator.activate();
        }
    })
    .as_collection()
}

/// Runs every task where it is spawned, to its end.
pub(crate) struct Inline;

impl Spawn for Inline {
    fn spawn(&self, _name: &str, future: BoxFuture<'static, ()>) -> Box<dyn FnOnce() + Send + Sync> {
        futures::executor::block_on(future);
        Box::new(|| ())
    }

    fn spawn_blocking(&self, _name: &str, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

pub(crate) fn inline_tasks() -> Tasks {
    Tasks::new(Arc::new(Inline), Arc::new(SystemClock))
}

pub(crate) fn hello(log: u128, nonce: u128) -> ComputeCommand {
    ComputeCommand::Hello(Hello {
        log_id: Uuid::from_u128(log),
        nonce: Uuid::from_u128(nonce),
        epoch: 1,
        generation: 1,
        version: "test".to_owned(),
    })
}

/// A peek of a whole index.
pub(crate) fn peek_all(id: u128, index: CollectionId, kinds: Vec<Kind>, at: u64) -> Peek {
    Peek {
        id: Uuid::from_u128(id),
        target: PeekTarget::Index { index, lookup: None, front: 0 },
        at: Timestamp::new(at),
        mfp: Mfp::identity(kinds),
        order: RowOrder::default(),
        result_bytes_max: 1 << 30,
        after: 0,
    }
}

/// A server of peeks, and where its answers are put.
pub(crate) fn peek_server(workers: usize) -> (Arc<PeekServer>, Arc<Mutex<BTreeMap<PeekId, PeekOutcome>>>) {
    let answers: Arc<Mutex<BTreeMap<PeekId, PeekOutcome>>> = Arc::default();
    let sink = Arc::clone(&answers);
    let respond = Arc::new(move |response| {
        if let ComputeResponse::Peek { id, outcome } = response {
            sink.lock().insert(id, outcome);
        }
    });
    (PeekServer::new(workers, inline_tasks(), respond), answers)
}

/// What to run and what to read.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) workers: usize,
    pub(crate) dataflows: Vec<Dataflow>,
    pub(crate) index: CollectionId,
    pub(crate) kinds: Vec<Kind>,
    /// Times `from..until` are read, one after another, as they become complete.
    pub(crate) from: u64,
    pub(crate) until: u64,
    /// Follow each read with permission to compact.
    pub(crate) compact: bool,
}

/// Runs the dataflows and reads the index at each time.
pub(crate) fn run(run: Run, shards: BTreeMap<ShardId, Vec<Update>>) -> Vec<PeekOutcome> {
    let histories = Arc::new(Histories { shards, upper: AtomicU64::new(0) });
    let (peeks, answers) = peek_server(run.workers);
    let is_finished = Arc::new(AtomicBool::new(false));
    let config = timely::Config {
        communication: timely::CommunicationConfig::Process(run.workers),
        worker: compute::worker_config(),
    };
    let guards = timely::execute(config, move |worker| {
        let ends = Box::new(MemoryEnds { histories: Arc::clone(&histories) });
        let context = ComputeContext { local_index: worker.index(), ends, peeks: Arc::clone(&peeks) };
        let mut state = ComputeState::new(worker.clone(), context);
        let mut sequence = 0;
        let mut handle = |state: &mut ComputeState, command| {
            sequence += 1;
            state.handle(Sequenced { sequence, command });
        };
        handle(&mut state, hello(1, 1));
        for dataflow in &run.dataflows {
            handle(&mut state, ComputeCommand::CreateDataflow(Box::new(dataflow.clone())));
        }
        handle(&mut state, ComputeCommand::InitializationComplete);
        let mut outcomes = Vec::new();
        let mut step = |state: &mut ComputeState, worker: &mut timely::worker::Worker| {
            worker.step();
            state.turn();
            if run.compact {
                let since = Some(Timestamp::new(histories.upper.load(Ordering::SeqCst)).step_back());
                handle(state, ComputeCommand::AllowCompaction { id: run.index, since });
            }
        };
        if worker.index() == 0 {
            for at in run.from..run.until {
                histories.upper.store(at + 1, Ordering::SeqCst);
                let peek = peek_all(u128::from(at), run.index, run.kinds.clone(), at);
                let id = peek.id;
                peeks.peek(peek);
                while !answers.lock().contains_key(&id) {
                    step(&mut state, worker);
                }
                outcomes.extend(answers.lock().remove(&id));
            }
            is_finished.store(true, Ordering::SeqCst);
        } else {
            while !is_finished.load(Ordering::SeqCst) {
                step(&mut state, worker);
            }
        }
        for export in run.dataflows.iter().flat_map(|dataflow| &dataflow.exports).map(Export::id) {
            state.handle(Sequenced {
                sequence: 0,
                command: ComputeCommand::AllowCompaction { id: export, since: None },
            });
        }
        // What was dropped must go away on all workers, or this hangs.
        while worker.has_dataflows() {
            worker.step();
            state.turn();
        }
        outcomes
    });
    let results = guards.expect("workers start").join();
    results.into_iter().next().expect("worker 0").expect("worker 0 ends well")
}
