//! What the controller asks of the log's leader about durable collections.

use std::fmt;

use repr::{ShardId, Timestamp};
use tokio::sync::watch;
use uuid::Uuid;

/// Which log this is and which leadership of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    pub log_id: Uuid,
    pub epoch: u64,
    pub generation: u64,
}

/// Frontiers and holds of shards. Two implementations: persist's leader, and the table of the controller's own tests.
///
/// Uppers are durable ones, sinces are as last proposed: no answer rests on an upper that a crash can take back, no hold is
/// granted below a since on its way.
pub trait Durable: Send + Sync + 'static {
    fn identity(&self) -> LogIdentity;

    /// The leader's clock.
    fn now(&self) -> Timestamp;

    /// None: no such shard.
    fn frontiers(&self, shard: ShardId) -> Option<Frontiers>;

    /// Takes a hold at `at`, or at the since if `at` is none. Err: below the since, which it tells, or no such shard.
    fn hold(&self, shard: ShardId, at: Option<Timestamp>) -> Result<Box<dyn DurableHold>, Option<Timestamp>>;

    /// Changes whenever some shard's durable upper has moved.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// Keeps a shard readable at a time until dropped.
pub trait DurableHold: fmt::Debug + Send + Sync {
    fn at(&self) -> Timestamp;
    /// Gives up earlier times; never moves back.
    fn advance(&mut self, to: Timestamp);
    fn duplicate(&self) -> Box<dyn DurableHold>;
}

/// A collection is readable at `since <= t < upper`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frontiers {
    pub since: Timestamp,
    pub upper: Timestamp,
}
