//! One worker, stepped by the test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use compute::{ComputeContext, ComputeState, PeekServer, Turn};
use parking_lot::Mutex;
use protocol::Sequenced;
use protocol::compute::{ComputeCommand, ComputeResponse};
use protocol::dataflow::Dataflow;
use protocol::peek::{Peek, PeekId, PeekOutcome};
use repr::{CollectionId, ShardId, Timestamp};
use timely::communication::Allocator;
use timely::worker::Worker;

use crate::harness::{Histories, MemoryEnds, Update, hello, peek_server};

/// Steps after which nothing changes any more.
const STEPS: usize = 60;

pub(crate) struct Single {
    worker: Worker,
    pub(crate) state: ComputeState,
    pub(crate) peeks: Arc<PeekServer>,
    answers: Arc<Mutex<BTreeMap<PeekId, PeekOutcome>>>,
    histories: Arc<Histories>,
    sequence: u64,
    /// What was reported, turn after turn.
    pub(crate) responses: Vec<ComputeResponse>,
}

impl Single {
    /// A worker without dataflows, connected, its replay not yet complete.
    pub(crate) fn new(shards: BTreeMap<ShardId, Vec<Update>>) -> Single {
        let histories = Arc::new(Histories { shards, upper: 0.into() });
        let (peeks, answers) = peek_server(1);
        peeks.reset(uuid::Uuid::from_u128(1));
        let worker = Worker::new(compute::worker_config(), Allocator::Thread(Default::default()), None);
        let ends = Box::new(MemoryEnds { histories: Arc::clone(&histories) });
        let context = ComputeContext { local_index: 0, ends, peeks: Arc::clone(&peeks) };
        let state = ComputeState::new(worker.clone(), context);
        let mut single = Single { worker, state, peeks, answers, histories, sequence: 0, responses: Vec::new() };
        single.handle(hello(1, 1));
        single
    }

    pub(crate) fn handle(&mut self, command: ComputeCommand) -> u64 {
        self.sequence += 1;
        self.state.handle(Sequenced { sequence: self.sequence, command });
        self.sequence
    }

    /// A new connection counts its commands from the start.
    pub(crate) fn restart_sequence(&mut self) {
        self.sequence = 0;
    }

    pub(crate) fn create(&mut self, dataflow: &Dataflow) {
        self.handle(ComputeCommand::CreateDataflow(Box::new(dataflow.clone())));
    }

    pub(crate) fn compact(&mut self, id: CollectionId, since: Option<u64>) {
        self.handle(ComputeCommand::AllowCompaction { id, since: since.map(Timestamp::new) });
    }

    /// Lets the shards' uppers reach `upper`, and the worker work until it has nothing to do.
    pub(crate) fn advance(&mut self, upper: u64) {
        self.histories.upper.store(upper, Ordering::SeqCst);
        self.settle();
    }

    pub(crate) fn settle(&mut self) {
        for _ in 0..STEPS {
            self.worker.step();
            let Turn { responses, .. } = self.state.turn();
            self.responses.extend(responses);
        }
    }

    pub(crate) fn has_dataflows(&self) -> bool {
        self.worker.has_dataflows()
    }

    /// The least frontier of `id` that was reported last.
    pub(crate) fn frontier(&self, id: CollectionId) -> Option<u64> {
        self.responses.iter().rev().find_map(|response| match response {
            ComputeResponse::Frontier { id: reported, upper } if *reported == id => Some(upper.micros()),
            _ => None,
        })
    }

    pub(crate) fn peek(&mut self, peek: Peek) -> PeekId {
        let id = peek.id;
        self.peeks.peek(peek);
        id
    }

    pub(crate) fn answer(&self, id: PeekId) -> Option<PeekOutcome> {
        self.answers.lock().get(&id).cloned()
    }
}
