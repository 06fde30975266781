//! environmentd's half: a leader and a controller, with one table and one index.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use controller::{Controller, ControllerConfig, ReplicaLauncher};
use expr::Mfp;
use persist::{Commit, CreateShard, GroupId, Leader, LeaderConfig, LeaderHandle, MemLog, memory_blob};
use protocol::{Dataflow, Export, Import, Peek, PeekOutcome, PeekTarget, RowOrder};
use repr::{ClusterId, CollectionId, Datum, Diff, Kind, Row, ShardId, Timestamp};
use stdx::{Rng, Tasks};
use uuid::Uuid;

pub(crate) const CLUSTER: ClusterId = ClusterId(1);
const TABLE: CollectionId = CollectionId::User(1);
const INDEX: CollectionId = CollectionId::User(2);
const LIMIT: Duration = Duration::from_secs(60);

fn row(number: i64) -> Row {
    Row::pack([Datum::Int(number)])
}

pub(crate) async fn leader() -> LeaderHandle {
    let config = LeaderConfig::new(Arc::new(MemLog::new()), memory_blob(), Tasks::tokio(), Rng::from_entropy());
    Leader::open(config).await.unwrap()
}

pub(crate) struct Environment {
    pub(crate) leader: LeaderHandle,
    pub(crate) controller: Controller,
}

impl Environment {
    pub(crate) fn new(leader: LeaderHandle, launcher: Arc<dyn ReplicaLauncher>) -> Environment {
        let controller = Controller::new(ControllerConfig {
            tasks: Tasks::tokio(),
            rng: Rng::from_entropy(),
            durable: Arc::new(leader.clone()),
            launcher,
            version: protocol::VERSION.to_owned(),
        });
        controller.create_cluster(CLUSTER);
        Environment { leader, controller }
    }

    pub(crate) async fn commit(&self, creates: &[u64], rows: &[i64]) -> Timestamp {
        let ts = self.leader.now().max(self.leader.group_upper(GroupId::TABLES));
        let create =
            |shard: &u64| CreateShard { shard: ShardId(*shard), group: Some(GroupId::TABLES), scheduled: false };
        let commit = Commit {
            creates: creates.iter().map(create).collect(),
            appends: vec![(ShardId(1), rows.iter().map(|number| (row(*number), Diff::ONE)).collect())],
            ..Commit::tick(GroupId::TABLES, ts)
        };
        self.leader.commit(commit).await.unwrap();
        ts
    }

    pub(crate) async fn peek(&self, at: Timestamp) -> BTreeMap<Row, Diff> {
        let peek = Peek {
            id: Uuid::new_v4(),
            target: PeekTarget::Index { index: INDEX, lookup: None, front: 0 },
            at,
            mfp: Mfp::identity(vec![Kind::Int]),
            order: RowOrder::default(),
            result_bytes_max: 1 << 30,
            after: 0,
        };
        let mut handle = self.controller.peek(CLUSTER, peek, None).unwrap();
        let outcome = Tasks::tokio().timeout(LIMIT, handle.result()).await.unwrap();
        let PeekOutcome::Rows(rows) = outcome else { panic!("{outcome:?}") };
        rows.into_iter().collect()
    }

    pub(crate) async fn with_index(&self, rows: &[i64]) -> Timestamp {
        let ts = self.commit(&[1], rows).await;
        self.controller.create_collection(TABLE, ShardId(1));
        let kinds = vec![Kind::Int];
        let key = vec![expr::Scalar::Column(0)];
        let dataflow = Dataflow {
            name: "index".to_owned(),
            imports: vec![Import::Shard { id: TABLE, shard: ShardId(1), kinds: kinds.clone() }],
            objects: Vec::new(),
            exports: vec![Export::Index { index: INDEX, on: TABLE, key, kinds }],
            as_of: ts,
            until: None,
        };
        self.controller.create_dataflow(CLUSTER, dataflow).unwrap();
        self.controller.initialization_complete(CLUSTER);
        ts
    }
}

pub(crate) fn expected(numbers: &[i64]) -> BTreeMap<Row, Diff> {
    numbers.iter().map(|number| (row(*number), Diff::ONE)).collect()
}
