//! Durable collections as persist's leader has them.

use persist::{Hold, HoldError, LeaderHandle};
use repr::{ShardId, Timestamp};
use tokio::sync::watch;

use crate::durable::{Durable, DurableHold, Frontiers, LogIdentity};

impl Durable for LeaderHandle {
    fn identity(&self) -> LogIdentity {
        LogIdentity { log_id: self.log_id(), epoch: self.epoch(), generation: self.generation() }
    }

    fn now(&self) -> Timestamp {
        LeaderHandle::now(self)
    }

    fn frontiers(&self, shard: ShardId) -> Option<Frontiers> {
        Some(Frontiers { since: self.since(shard)?, upper: self.upper(shard)? })
    }

    fn hold(&self, shard: ShardId, at: Option<Timestamp>) -> Result<Box<dyn DurableHold>, Option<Timestamp>> {
        let held = match at {
            Some(at) => LeaderHandle::hold(self, shard, at),
            None => self.hold_at_since(shard),
        };
        match held {
            Ok(hold) => Ok(Box::new(hold)),
            Err(HoldError::BelowSince { since }) => Err(Some(since)),
            Err(HoldError::NotFound) => Err(None),
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.watch()
    }
}

impl DurableHold for Hold {
    fn at(&self) -> Timestamp {
        Hold::at(self)
    }

    fn advance(&mut self, to: Timestamp) {
        Hold::advance(self, to);
    }

    fn duplicate(&self) -> Box<dyn DurableHold> {
        Box::new(self.clone())
    }
}
