//! Peeks in flight: the first replica whose processes have all answered wins.

use std::collections::BTreeMap;

use protocol::EvalError;
use protocol::{Peek, PeekId, PeekOutcome};
use repr::{ClusterId, ReplicaId};
use tokio::sync::oneshot;

use crate::Controller;
use crate::hold::ReadHold;

/// A peek that no replica has answered yet.
pub(crate) struct PendingPeek {
    pub(crate) peek: Peek,
    pub(crate) target: Option<ReplicaId>,
    /// Keeps the index readable at the peek's time.
    _hold: ReadHold,
    pub(crate) sender: oneshot::Sender<PeekOutcome>,
    answers: BTreeMap<ReplicaId, Vec<Option<PeekOutcome>>>,
}

impl PendingPeek {
    pub(crate) fn new(
        peek: Peek,
        target: Option<ReplicaId>,
        hold: ReadHold,
        sender: oneshot::Sender<PeekOutcome>,
    ) -> PendingPeek {
        PendingPeek { peek, target, _hold: hold, sender, answers: BTreeMap::new() }
    }

    /// Takes one process's answer; yields the replica's when it was the last missing.
    pub(crate) fn answer(
        &mut self,
        replica: ReplicaId,
        process: usize,
        processes: usize,
        outcome: PeekOutcome,
    ) -> Option<PeekOutcome> {
        let answers = self.answers.entry(replica).or_insert_with(|| vec![None; processes]);
        if let Some(slot) = answers.get_mut(process) {
            *slot = Some(outcome);
        }
        if answers.iter().any(Option::is_none) {
            return None;
        }
        let answers = self.answers.remove(&replica).unwrap_or_default();
        Some(merge(answers.into_iter().flatten()))
    }

    /// Forgets what a replica has answered so far: it will be asked again.
    pub(crate) fn forget(&mut self, replica: ReplicaId) {
        self.answers.remove(&replica);
    }
}

/// The union of all processes' rows; an error, if any has one; canceled, if any was.
fn merge(outcomes: impl Iterator<Item = PeekOutcome>) -> PeekOutcome {
    let mut rows = Vec::new();
    let mut error: Option<EvalError> = None;
    for outcome in outcomes {
        match outcome {
            PeekOutcome::Canceled => return PeekOutcome::Canceled,
            PeekOutcome::Rows(more) if rows.is_empty() => rows = more,
            PeekOutcome::Rows(more) => rows.extend(more),
            // Of several the least, so that the answer does not depend on how rows are spread over processes.
            PeekOutcome::Error(other) => error = Some(error.map_or(other.clone(), |error| error.min(other))),
        }
    }
    error.map_or(PeekOutcome::Rows(rows), PeekOutcome::Error)
}

/// A peek that was sent. Dropping it cancels the peek.
pub struct PeekHandle {
    pub(crate) controller: Controller,
    pub(crate) cluster: ClusterId,
    pub(crate) id: PeekId,
    pub(crate) receiver: oneshot::Receiver<PeekOutcome>,
}

impl PeekHandle {
    pub fn id(&self) -> PeekId {
        self.id
    }

    /// Waits for the answer; for ever, if no replica comes to give one. `Canceled`: the index or the cluster was dropped.
    ///
    /// Cancel safety: may be dropped at any await, and called again.
    pub async fn result(&mut self) -> PeekOutcome {
        (&mut self.receiver).await.unwrap_or(PeekOutcome::Canceled)
    }
}

impl Drop for PeekHandle {
    fn drop(&mut self) {
        self.controller.cancel_peek(self.cluster, self.id);
    }
}
