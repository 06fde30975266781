//! Appending the runs of all workers as one batch.

use std::sync::Arc;

use parking_lot::Mutex;
use repr::ShardId;
use stdx::Task;
use timely::scheduling::SyncActivator;

use super::attempt::{Attempt, Verdict};
use super::mint::{Batch, Description};
use crate::context::WorkerContext;

/// Appends one batch at a time, off the worker thread, and tries again until the outcome is known.
pub(crate) struct Appender {
    pub(crate) context: WorkerContext,
    pub(crate) name: String,
    pub(crate) shard: ShardId,
    pub(crate) wake: SyncActivator,
    running: Option<Running>,
}

struct Running {
    outcome: Arc<Mutex<Option<Outcome>>>,
    _task: Task,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Appended by us or by another; the feedback will say.
    Known,
    /// Its runs can be appended no more.
    Refused(Description),
}

impl Appender {
    pub(crate) fn new(context: &WorkerContext, name: &str, shard: ShardId, wake: SyncActivator) -> Appender {
        Appender { context: context.clone(), name: name.to_owned(), shard, wake, running: None }
    }

    /// What became of the last batch, once.
    pub(crate) fn outcome(&mut self) -> Option<Outcome> {
        let outcome = self.running.as_ref().and_then(|running| running.outcome.lock().take())?;
        self.running = None;
        Some(outcome)
    }

    /// True until the outcome of the last batch was asked for: for ever, once this replica must write no more.
    pub(crate) fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn start(&mut self, batch: Batch) {
        let outcome = Arc::new(Mutex::new(None));
        let (result, wake) = (Arc::clone(&outcome), self.wake.clone());
        let append = append(self.context.clone(), self.shard, self.name.clone(), batch);
        let task = self.context.tasks.spawn("shard-sink-append", async move {
            // Where nobody may write any more, nothing else is tried.
            let Some(outcome) = append.await else { return };
            *result.lock() = Some(outcome);
            // Fails only if the worker is gone.
            let _ = wake.activate();
        });
        self.running = Some(Running { outcome, _task: task });
    }
}

async fn append(context: WorkerContext, shard: ShardId, name: String, batch: Batch) -> Option<Outcome> {
    let Batch { description, runs } = batch;
    let Description { lower, upper, .. } = description;
    let token = context.new_token();
    let mut attempt = Attempt::new(&context, shard, &name);
    loop {
        let appended = context.shards.append_runs(shard, context.writer(), lower, upper, runs.clone(), token).await;
        let Err(error) = appended else { return Some(Outcome::Known) };
        match attempt.failed(error).await {
            Verdict::Again => {}
            Verdict::Lost => return Some(Outcome::Known),
            Verdict::Rewrite => return Some(Outcome::Refused(description)),
            Verdict::Stop => return None,
        }
    }
}
