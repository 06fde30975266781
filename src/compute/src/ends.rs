//! Where dataflows meet durable collections: `storage`, or histories in memory in tests of rendering.

use persist::Selection;
use repr::{ShardId, Timestamp};
use storage::{Errs, Oks, ShardSink, ShardSource, WorkerContext};
use timely::dataflow::Scope;
use trace::Ts;

/// Makes the inputs and outputs of dataflows that are shards. See `storage` for what they promise and demand.
pub trait ShardEnds {
    fn source<'scope>(
        &self,
        scope: Scope<'scope, Ts>,
        name: &str,
        shard: ShardId,
        as_of: Timestamp,
        until: Option<Timestamp>,
        selection: Selection,
    ) -> ShardSource<'scope>;

    fn sink<'scope>(
        &self,
        name: &str,
        shard: ShardId,
        as_of: Timestamp,
        oks: Oks<'scope>,
        errs: Errs<'scope>,
    ) -> ShardSink;
}

impl ShardEnds for WorkerContext {
    fn source<'scope>(
        &self,
        scope: Scope<'scope, Ts>,
        name: &str,
        shard: ShardId,
        as_of: Timestamp,
        until: Option<Timestamp>,
        selection: Selection,
    ) -> ShardSource<'scope> {
        storage::shard_source(scope, self, name, shard, as_of, until, selection)
    }

    fn sink<'scope>(
        &self,
        name: &str,
        shard: ShardId,
        as_of: Timestamp,
        oks: Oks<'scope>,
        errs: Errs<'scope>,
    ) -> ShardSink {
        storage::shard_sink(self, name, shard, as_of, oks, errs)
    }
}
