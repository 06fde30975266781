//! Two workers drop a dataflow one after the other, step by step.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Barrier};

use compute::{ComputeContext, ComputeState};
use expr::{Relation, Scalar};
use protocol::Sequenced;
use protocol::compute::{ComputeCommand, ComputeResponse};
use repr::{CollectionId, Datum, Row, ScalarType, ShardId};

use crate::harness::{Histories, MemoryEnds, hello, peek_server};
use crate::lower::Lowering;
use crate::{column, indexed_object, input, literal, shard_import};

const INDEX: CollectionId = CollectionId::User(101);
/// Steps in which everything happens but the pairs of the join.
const STEPS: usize = 60;

/// A cross join with more pairs than are formed while the test runs.
fn cross_join() -> protocol::Dataflow {
    let sum = crate::call("int8_add", vec![column(0), column(1)]);
    let never = Scalar::compare("=", sum, literal(-1), ScalarType::Int8);
    let relation = Relation::join(vec![input(0, 1), input(0, 1)], vec![]).filter(vec![never]);
    indexed_object(&relation, vec![shard_import(0, 1)], Lowering::default())
}

/// The worker that forms the pairs may be either, so each is the first to drop once.
#[test]
fn a_join_goes_on_until_every_worker_has_dropped_it() {
    for first in 0..2 {
        let rows = (0..100_000).map(|n| (Ok(Row::pack([Datum::Int(n)])), 0, 1)).collect();
        let shards = BTreeMap::from([(ShardId(0), rows)]);
        let histories = Arc::new(Histories { shards, upper: AtomicU64::new(2) });
        let (peeks, _) = peek_server(2);
        let barrier = Arc::new(Barrier::new(2));
        let communication = timely::CommunicationConfig::Process(2);
        let config = timely::Config { communication, worker: compute::worker_config() };
        let guards = timely::execute(config, move |worker| {
            let ends = Box::new(MemoryEnds { histories: Arc::clone(&histories) });
            let context = ComputeContext { local_index: worker.index(), ends, peeks: Arc::clone(&peeks) };
            let mut state = ComputeState::new(worker.clone(), context);
            let create = ComputeCommand::CreateDataflow(Box::new(cross_join()));
            for command in [hello(1, 1), create, ComputeCommand::InitializationComplete] {
                state.handle(Sequenced { sequence: 0, command });
            }
            let mut frontiers = 0;
            let mut settle = |state: &mut ComputeState, worker: &mut timely::worker::Worker| {
                for _ in 0..STEPS {
                    barrier.wait();
                    worker.step();
                    let responses = state.turn().responses;
                    frontiers += responses
                        .iter()
                        .filter(|response| matches!(response, ComputeResponse::Frontier { .. }))
                        .count();
                }
            };
            let drop_index = |state: &mut ComputeState| {
                state.handle(Sequenced {
                    sequence: 0,
                    command: ComputeCommand::AllowCompaction { id: INDEX, since: None },
                });
            };
            settle(&mut state, worker);
            let is_first = worker.index() == first;
            if is_first {
                drop_index(&mut state);
            }
            settle(&mut state, worker);
            let went_on = worker.has_dataflows();
            if !is_first {
                drop_index(&mut state);
            }
            settle(&mut state, worker);
            // Not before: a worker that panics leaves the other waiting.
            assert!(went_on, "the other worker still listens");
            assert!(!worker.has_dataflows(), "the join goes on");
            // To who listened, the data that were never sent must not have seemed complete.
            assert_eq!(frontiers, 0);
        });
        for result in guards.expect("workers start").join() {
            result.expect("the worker ends well");
        }
    }
}
