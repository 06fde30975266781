//! What a refused append means for a sink.

use std::time::Duration;

use persist::AppendError;
use repr::ShardId;
use stdx::Backoff;
use tracing::{info, warn};

use crate::context::WorkerContext;

const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// What to do after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same once more.
    Again,
    /// Write what is to be appended anew first: the parts were written too long ago, perhaps.
    Rewrite,
    /// Another has appended; the feedback will say what.
    Lost,
    /// This replica must write no more.
    Stop,
}

/// Trying to write to a shard until the outcome is known.
pub(crate) struct Attempt {
    context: WorkerContext,
    shard: ShardId,
    name: String,
    backoff: Backoff,
}

impl Attempt {
    pub(crate) fn new(context: &WorkerContext, shard: ShardId, name: &str) -> Attempt {
        let backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        Attempt { context: context.clone(), shard, name: name.to_owned(), backoff }
    }

    /// Waits a little where another try is worth it. Halts the process on what contradicts all that was known.
    pub(crate) async fn failed(&mut self, error: AppendError) -> Verdict {
        let (shard, name) = (self.shard, &self.name);
        let verdict = match error {
            AppendError::UpperMismatch { .. } | AppendError::Closed => return Verdict::Lost,
            AppendError::Fenced(_) | AppendError::NotFound => {
                info!(%shard, name, %error, "the view is written no more");
                return Verdict::Stop;
            }
            AppendError::OtherLog | AppendError::Invalid(_) => {
                (self.context.halt)(format!("appending to {shard} of {name}: {error}"));
                return Verdict::Stop;
            }
            AppendError::TooFarAhead { .. } => Verdict::Again,
            AppendError::DiskFull => {
                warn!(%shard, name, %error, "appending to a view failed; trying again");
                Verdict::Again
            }
            AppendError::Blob(_) => {
                warn!(%shard, name, %error, "appending to a view failed; trying again");
                Verdict::Rewrite
            }
            AppendError::Unknown(_) | AppendError::Halted(_) => {
                info!(%shard, name, %error, "appending to a view again");
                Verdict::Again
            }
        };
        self.context.tasks.sleep(self.backoff.next_delay()).await;
        verdict
    }
}
