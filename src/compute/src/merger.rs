//! Joins what the workers of one process report into what the process reports.
//!
//! A frontier is the least of the workers' frontiers. An interval of a subscription goes out when all workers have passed it.
//! What workers say on behalf of an earlier connection is dropped.

use std::collections::BTreeMap;

use expr::EvalError;
use protocol::compute::ComputeResponse;
use repr::{CollectionId, Diff, Row, Timestamp};
use uuid::Uuid;

use crate::state::Turn;

/// Merges the turns of the workers of one process.
pub struct ResponseMerger {
    workers: usize,
    connection: u64,
    frontiers: BTreeMap<CollectionId, Frontier>,
    subscriptions: BTreeMap<CollectionId, Pending>,
}

/// The frontier of one export on each worker.
struct Frontier {
    uppers: Vec<Timestamp>,
    reported: Timestamp,
}

/// A subscription's updates that not all workers have passed.
struct Pending {
    lower: Option<Timestamp>,
    uppers: Vec<Timestamp>,
    updates: BTreeMap<(Timestamp, Row), Diff>,
    /// The first error: it is for the interval that begins here.
    error: Option<(Timestamp, EvalError)>,
    is_over: bool,
}

impl ResponseMerger {
    pub fn new(workers: usize) -> ResponseMerger {
        ResponseMerger { workers, connection: 0, frontiers: BTreeMap::new(), subscriptions: BTreeMap::new() }
    }

    /// Takes in what local worker `worker` reports. Returns what the process reports on the connection of that nonce.
    pub fn push(&mut self, worker: usize, turn: Turn) -> Option<(Uuid, Vec<ComputeResponse>)> {
        let Turn { connection, nonce, responses, dropped } = turn;
        if connection < self.connection {
            return None;
        }
        if connection > self.connection {
            self.connection = connection;
            self.frontiers.clear();
            self.subscriptions.clear();
        }
        let mut merged = Vec::new();
        for response in responses {
            match response {
                ComputeResponse::Frontier { id, upper } => merged.extend(self.frontier(worker, id, upper)),
                ComputeResponse::Subscribe { id, lower, upper, updates } => {
                    let workers = self.workers;
                    let pending = self.subscriptions.entry(id).or_insert_with(|| Pending::new(workers));
                    pending.push(worker, lower, upper, updates);
                    pending.drain(id, &mut merged);
                }
                other @ (ComputeResponse::Welcome { .. }
                | ComputeResponse::Peek { .. }
                | ComputeResponse::Status { .. }) => merged.push(other),
            }
        }
        // Ids are never used again, so what other workers still say of a dropped export ends with their own drop.
        for id in dropped {
            self.frontiers.remove(&id);
            self.subscriptions.remove(&id);
        }
        if merged.is_empty() { None } else { nonce.map(|nonce| (nonce, merged)) }
    }

    fn frontier(&mut self, worker: usize, id: CollectionId, upper: Timestamp) -> Option<ComputeResponse> {
        let workers = self.workers;
        let frontier = self
            .frontiers
            .entry(id)
            .or_insert_with(|| Frontier { uppers: vec![Timestamp::MIN; workers], reported: Timestamp::MIN });
        frontier.uppers[worker] = frontier.uppers[worker].max(upper);
        let upper = frontier.uppers.iter().copied().min().unwrap_or(Timestamp::MIN);
        if upper <= frontier.reported {
            return None;
        }
        frontier.reported = upper;
        Some(ComputeResponse::Frontier { id, upper })
    }
}

impl Pending {
    fn new(workers: usize) -> Pending {
        Pending {
            lower: None,
            uppers: vec![Timestamp::MIN; workers],
            updates: BTreeMap::new(),
            error: None,
            is_over: false,
        }
    }

    fn push(
        &mut self,
        worker: usize,
        lower: Timestamp,
        upper: Timestamp,
        updates: Result<Vec<(Row, Timestamp, Diff)>, EvalError>,
    ) {
        // All workers begin at the same time.
        self.lower.get_or_insert(lower);
        self.uppers[worker] = self.uppers[worker].max(upper);
        match updates {
            Ok(updates) => {
                for (row, time, diff) in updates {
                    let count = self.updates.entry((time, row)).or_insert(Diff::ZERO);
                    *count = count.plus(diff);
                }
            }
            Err(error) => {
                let first = self.error.take().into_iter().chain([(lower, error)]).min();
                self.error = first;
                // The worker has nothing more to say, and the others need not wait for it.
                self.uppers[worker] = Timestamp::MAX;
            }
        }
    }

    /// Hands out the interval that all workers have passed, and the error if it comes next.
    fn drain(&mut self, id: CollectionId, merged: &mut Vec<ComputeResponse>) {
        let Some(lower) = self.lower else { return };
        let passed = self.uppers.iter().copied().min().unwrap_or(Timestamp::MIN);
        if self.is_over || passed <= lower {
            return;
        }
        let upper = self.error.as_ref().map_or(passed, |(time, _)| passed.min(*time));
        if upper > lower {
            let later = self.updates.split_off(&(upper, Row::default()));
            let ready = std::mem::replace(&mut self.updates, later).into_iter();
            let updates =
                ready.filter(|(_, diff)| !diff.is_zero()).map(|((time, row), diff)| (row, time, diff)).collect();
            merged.push(ComputeResponse::Subscribe { id, lower, upper, updates: Ok(updates) });
            self.lower = Some(upper);
        }
        if let Some((time, error)) = self.error.take_if(|(time, _)| *time < passed) {
            merged.push(ComputeResponse::Subscribe { id, lower: time, upper: passed, updates: Err(error) });
            self.is_over = true;
            self.updates.clear();
        }
    }
}
