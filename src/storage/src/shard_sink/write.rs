//! One worker's run of each batch: what of its share of the rows is still wrong.

use std::sync::Arc;

use parking_lot::Mutex;
use persist::Run;
use repr::{ShardId, Timestamp};
use stdx::Task;
use timely::dataflow::operators::Capability;
use timely::scheduling::SyncActivator;
use trace::Ts;

use super::attempt::{Attempt, Verdict};
use super::mint::Description;
use crate::context::WorkerContext;
use crate::correction::Correction;
use crate::feed::StoredUpdate;

/// What one worker knows of the sink.
pub(crate) struct Share {
    as_of: Timestamp,
    pub(crate) correction: Correction,
    /// What is desired is complete below it, for this worker's rows.
    desired: Timestamp,
    /// So is the feedback.
    persisted: Timestamp,
}

impl Share {
    pub(crate) fn new(as_of: Timestamp) -> Share {
        Share { as_of, correction: Correction::default(), desired: Timestamp::MIN, persisted: Timestamp::MIN }
    }

    pub(crate) fn uppers(&mut self, desired: Timestamp, persisted: Timestamp) {
        self.desired = self.desired.max(desired);
        self.persisted = self.persisted.max(persisted);
    }

    /// Whether somebody has appended where the batch was to go.
    pub(crate) fn is_overtaken(&self, description: &Description) -> bool {
        self.persisted > description.lower.max(self.as_of)
    }

    /// This worker's updates of a batch that is not overtaken; none before all that belongs to it has arrived.
    pub(crate) fn run_of(&mut self, description: &Description) -> Option<Vec<StoredUpdate>> {
        let from = description.lower.max(self.as_of);
        if self.persisted < from || self.desired < description.upper {
            return None;
        }
        Some(self.correction.due(from, description.upper))
    }
}

/// Writes runs off the worker thread, one at a time.
pub(crate) struct RunWriter {
    pub(crate) context: WorkerContext,
    pub(crate) name: String,
    pub(crate) shard: ShardId,
    pub(crate) wake: SyncActivator,
    pub(crate) share: Share,
    /// Asked for, and not written yet.
    wanted: Option<(Description, Capability<Ts>)>,
    running: Option<Running>,
}

struct Running {
    description: Description,
    capability: Capability<Ts>,
    written: Arc<Mutex<Option<Run>>>,
    _task: Task,
}

/// A run to be sent to who appends.
pub(crate) struct Ready {
    pub(crate) number: u64,
    pub(crate) run: Run,
    pub(crate) capability: Capability<Ts>,
}

impl RunWriter {
    pub(crate) fn new(
        context: &WorkerContext,
        name: &str,
        shard: ShardId,
        as_of: Timestamp,
        wake: SyncActivator,
    ) -> RunWriter {
        let (context, name, share) = (context.clone(), name.to_owned(), Share::new(as_of));
        RunWriter { context, name, shard, wake, share, wanted: None, running: None }
    }

    /// A description has come; those before it are withdrawn.
    pub(crate) fn want(&mut self, description: Description, capability: Capability<Ts>) {
        self.running = None;
        self.wanted = Some((description, capability));
    }

    /// Begins what can be begun. Returns what is written.
    pub(crate) fn turn(&mut self) -> Option<Ready> {
        let share = &mut self.share;
        self.wanted.take_if(|(description, _)| share.is_overtaken(description));
        self.running.take_if(|running| share.is_overtaken(&running.description));
        if let Some((description, capability)) = self.wanted.take() {
            match share.run_of(&description) {
                Some(updates) if updates.is_empty() => {
                    return Some(Ready { number: description.number, run: Run::default(), capability });
                }
                Some(updates) => self.start(description, capability, updates),
                None => self.wanted = Some((description, capability)),
            }
        }
        let run = self.running.as_ref().and_then(|running| running.written.lock().take())?;
        let Running { description, capability, .. } = self.running.take()?;
        Some(Ready { number: description.number, run, capability })
    }

    fn start(&mut self, description: Description, capability: Capability<Ts>, updates: Vec<StoredUpdate>) {
        let written = Arc::new(Mutex::new(None));
        let (result, wake, context) = (Arc::clone(&written), self.wake.clone(), self.context.clone());
        let (shard, mut attempt) = (self.shard, Attempt::new(&self.context, self.shard, &self.name));
        let task = self.context.tasks.spawn("shard-sink-write", async move {
            let Description { lower, upper, .. } = description;
            let run = loop {
                let write = context.shards.write_run(shard, lower, upper, updates.clone(), context.peers);
                match write.await {
                    Ok(run) => break run,
                    Err(error) => match attempt.failed(error).await {
                        Verdict::Again | Verdict::Rewrite => {}
                        // The description goes when the feedback passes it, if anybody may still write.
                        Verdict::Lost | Verdict::Stop => return,
                    },
                }
            };
            *result.lock() = Some(run);
            // Fails only if the worker is gone.
            let _ = wake.activate();
        });
        self.running = Some(Running { description, capability, written, _task: task });
    }
}
