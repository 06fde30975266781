//! `shardctl` over a Unix socket and over TCP: appends, subscriptions, and what happens when the leader is restarted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use persist::{
    AppendError, Blob, Commit, CreateShard, GroupId, Leader, LeaderConfig, LeaderHandle, MemLog, Part, RemoteAddress,
    RemoteShards, ShardEvent, Shards, SubscribeError, Subscription, Update, WriterId, local_blob, shardctl_service,
};
use repr::{Diff, Row, ShardId, Timestamp};
use stdx::{Rng, Tasks};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;
use uuid::Uuid;

const TABLE: ShardId = ShardId(1);
const SOLO: ShardId = ShardId(2);

struct World {
    directory: tempfile::TempDir,
    log: MemLog,
    blob: Blob,
    /// How long the leader keeps parts that were replaced.
    delete_after: Duration,
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let blob = local_blob(&directory.path().join("blobs")).expect("the blobs open");
        World { directory, log: MemLog::new(), blob, delete_after: Duration::from_secs(600) }
    }

    /// Starts an environmentd: a leader and its service, in a runtime of their own that can be killed.
    async fn start(&self) -> Process {
        let (log, blob) = (Arc::new(self.log.clone()), Arc::clone(&self.blob));
        let blob_url = Some(format!("file:{}", self.directory.path().join("blobs").display()));
        let path = self.directory.path().join("shardctl.sock");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let tasks = {
            let _entered = runtime.enter();
            Tasks::tokio()
        };
        let delete_after = self.delete_after;
        let serve = async move {
            let mut config = LeaderConfig::new(log, blob, Tasks::tokio(), Rng::from_entropy());
            config.delete_after = delete_after;
            config.blob_url = blob_url;
            let leader = Leader::open(config).await.expect("the leader opens");
            create_shards(&leader).await;
            let _ = std::fs::remove_file(&path);
            let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
            let service = shardctl_service(leader.clone());
            let _ = sender.send(leader);
            Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
        };
        tasks.spawn("environmentd", serve).detach();
        Process { leader: receiver.await.expect("the leader opens"), runtime: Some(runtime) }
    }

    fn connect(&self) -> RemoteShards {
        let address = RemoteAddress::Unix(self.directory.path().join("shardctl.sock"));
        RemoteShards::connect(address, Tasks::tokio()).expect("a path is an address")
    }
}

struct Process {
    leader: LeaderHandle,
    runtime: Option<Runtime>,
}

impl Drop for Process {
    /// As `kill -9`: every task and connection is gone.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn create_shards(leader: &LeaderHandle) {
    if !leader.is_shard(TABLE) {
        let mut commit = Commit::tick(GroupId::TABLES, leader.now());
        commit.creates.push(CreateShard { shard: TABLE, group: Some(GroupId::TABLES), scheduled: false });
        commit.creates.push(CreateShard { shard: SOLO, group: None, scheduled: false });
        leader.commit(commit).await.expect("committed");
    }
}

fn update(n: u64, time: Timestamp) -> Update {
    (Row::from_bytes(&n.to_be_bytes()), time, Diff::ONE)
}

async fn insert(leader: &LeaderHandle, range: std::ops::Range<u64>) -> Timestamp {
    let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
    let mut commit = Commit::tick(GroupId::TABLES, ts);
    commit.appends.push((TABLE, range.map(|n| (Row::from_bytes(&n.to_be_bytes()), Diff::ONE)).collect()));
    leader.commit(commit).await.expect("committed");
    ts
}

/// Adds up what a subscription says, until it is complete at `at`.
struct Reader {
    subscription: Subscription,
    sum: BTreeMap<Row, Diff>,
    frontier: Option<Timestamp>,
}

impl Reader {
    fn new(subscription: Subscription) -> Reader {
        Reader { subscription, sum: BTreeMap::new(), frontier: None }
    }

    async fn read_beyond(&mut self, at: Timestamp) {
        while self.frontier.is_none_or(|frontier| frontier <= at) {
            let updates = match self.subscription.next().await.expect("it goes on").expect("it works") {
                ShardEvent::Snapshot { updates, .. } => {
                    assert_eq!(self.frontier, None, "one snapshot only");
                    updates
                }
                ShardEvent::Progress { prev_upper, upper, updates, .. } => {
                    assert_eq!(self.frontier.unwrap_or(prev_upper), prev_upper, "progress joins");
                    self.frontier = Some(upper);
                    updates
                }
            };
            for (row, _, diff) in updates {
                let total = self.sum.entry(row).or_default();
                *total = total.plus(diff);
            }
        }
        self.subscription.ack(self.frontier.expect("just set"));
    }

    fn assert_contents(&self, count: u64) {
        let expected = (0..count).map(|n| (Row::from_bytes(&n.to_be_bytes()), Diff::ONE)).collect::<BTreeMap<_, _>>();
        assert_eq!(self.sum, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_and_progress_join_across_a_restart() {
    let world = World::new();
    let process = world.start().await;
    // Inline and hollow parts, more than one piece of each.
    let ts = insert(&process.leader, 0..50_000).await;
    let client = world.connect();
    let mut reader = Reader::new(client.subscribe(TABLE, ts).await.expect("readable"));
    reader.read_beyond(ts).await;
    reader.assert_contents(50_000);
    let ts = insert(&process.leader, 50_000..50_010).await;
    reader.read_beyond(ts).await;
    reader.assert_contents(50_010);
    drop(process);
    let process = world.start().await;
    let ts = insert(&process.leader, 50_010..90_000).await;
    reader.read_beyond(ts).await;
    reader.assert_contents(90_000);
}

/// A row that does not compress.
fn wide_row(n: u64) -> Row {
    let rng = Rng::from_seed(n);
    let mut bytes = n.to_be_bytes().to_vec();
    (0..12).for_each(|_| bytes.extend(rng.bytes16()));
    Row::from_bytes(&bytes)
}

/// The connection is cut in the middle of a large snapshot, and what was not read by then is merged with what was written
/// later, and deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_read_on_behind_what_was_delivered() {
    let world = World { delete_after: Duration::ZERO, ..World::new() };
    let process = world.start().await;
    let insert = async |leader: &LeaderHandle, range: std::ops::Range<u64>| {
        let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
        let mut commit = Commit::tick(GroupId::TABLES, ts);
        commit.appends.push((TABLE, range.map(|n| (wide_row(n), Diff::ONE)).collect()));
        leader.commit(commit).await.expect("committed");
        ts
    };
    // A part of 16 MB, of which some is delivered before the cut, and three of half a megabyte.
    insert(&process.leader, 0..80_000).await;
    let mut ts = Timestamp::MIN;
    for batch in 0..3 {
        ts = insert(&process.leader, 80_000 + batch * 2_500..82_500 + batch * 2_500).await;
    }
    let client = world.connect();
    let mut subscription = client.subscribe(TABLE, ts).await.expect("readable");
    let first = subscription.next().await.expect("it goes on").expect("it works");
    let ShardEvent::Snapshot { updates: first, last: false } = first else { panic!("one of many") };
    let keys = |leader: &LeaderHandle| {
        let state = leader.state();
        let parts = state.shards[&TABLE].batches.iter().flat_map(|batch| batch.parts.iter());
        let key = |part: &Part| if let Part::Hollow(hollow) = part { Some(hollow.key.clone()) } else { None };
        parts.filter_map(key).collect::<Vec<_>>()
    };
    let before = keys(&process.leader);
    assert_eq!(before.len(), 4);
    drop(process);
    let process = world.start().await;
    let later = insert(&process.leader, 87_500..90_000).await;
    let is_gone = |key: &String| !world.directory.path().join("blobs").join(key).exists();
    let tasks = Tasks::tokio();
    let replaced = async {
        while !before[1..].iter().all(is_gone) {
            tasks.sleep(Duration::from_millis(10)).await;
        }
    };
    tasks.timeout(Duration::from_secs(60), replaced).await.expect("merged and deleted");
    assert_eq!(keys(&process.leader)[0], before[0]);
    let mut reader = Reader::new(subscription);
    for (row, _, diff) in first {
        reader.sum.insert(row, diff);
    }
    reader.read_beyond(later).await;
    assert_eq!(reader.sum.len(), 90_000);
    let right = (0..90_000).all(|n| reader.sum.get(&wide_row(n)) == Some(&Diff::ONE));
    assert!(right, "each row was delivered once");
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_are_compared_retried_and_refused() {
    let world = World::new();
    let process = world.start().await;
    let leader = &process.leader;
    let client = world.connect();
    assert_eq!(client.log_id().await, Ok(leader.log_id()));
    let writer = WriterId { generation: 1, writer: 9, incarnation: 2 };
    let (zero, upper, token) = (Timestamp::MIN, leader.now(), Uuid::from_u128(1));
    let updates = vec![update(0, upper.step_back()), update(1, upper.step_back())];
    for _ in 0..2 {
        client.append(SOLO, writer, zero, upper, updates.clone(), token).await.expect("once, and again by its token");
    }
    let mismatch = client.append(SOLO, writer, zero, upper, updates.clone(), Uuid::from_u128(2)).await;
    assert_eq!(mismatch, Err(AppendError::UpperMismatch { actual: upper }));
    let far = upper.plus(Duration::from_secs(100));
    let ahead = client.append(SOLO, writer, upper, far, Vec::new(), Uuid::from_u128(3)).await;
    assert!(matches!(ahead, Err(AppendError::TooFarAhead { .. })));
    let older = WriterId { incarnation: 1, ..writer };
    let fenced = client.append(SOLO, older, upper, upper.step_forward(), Vec::new(), Uuid::from_u128(4)).await;
    assert!(matches!(fenced, Err(AppendError::Fenced(_))));
    let unknown = client.append(ShardId(77), writer, zero, upper, updates, Uuid::from_u128(5)).await;
    assert_eq!(unknown, Err(AppendError::NotFound));
    let outside = client.append(SOLO, writer, upper, upper.step_forward(), vec![update(7, zero)], token).await;
    assert!(matches!(outside, Err(AppendError::Invalid(_))));
    // More than travels inline: uploaded by the client.
    let next = upper.step_forward();
    let many: Vec<Update> = (2..60_000).map(|n| update(n, upper)).collect();
    client.append(SOLO, writer, upper, next, many, Uuid::from_u128(6)).await.expect("appended");
    let end = client.append(SOLO, writer, next, Timestamp::MAX, Vec::new(), Uuid::from_u128(7)).await;
    assert_eq!(end, Ok(()));
    let as_of = leader.since(SOLO).expect("it is a shard").max(upper);
    let mut reader = Reader::new(client.subscribe(SOLO, as_of).await.expect("readable"));
    reader.read_beyond(upper).await;
    reader.assert_contents(60_000);
    assert!(reader.subscription.next().await.is_none(), "a closed shard's stream ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_outlives_a_restart_of_the_leader() {
    let world = World::new();
    let process = world.start().await;
    let client = world.connect();
    client.log_id().await.expect("reached");
    let (writer, upper) = (WriterId::anonymous(1), process.leader.now());
    drop(process);
    let updates = vec![update(0, Timestamp::MIN)];
    let append = client.append(SOLO, writer, Timestamp::MIN, upper, updates, Uuid::from_u128(1));
    let (appended, process) = tokio::join!(append, world.start());
    assert_eq!(appended, Ok(()));
    assert_eq!(process.leader.upper(SOLO), Some(upper));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_below_since_or_to_nothing_is_refused() {
    let world = World::new();
    let process = world.start().await;
    let leader = &process.leader;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = shardctl_service(leader.clone());
    let _server = Tasks::tokio().spawn("server", async move {
        let incoming = TcpListenerStream::new(listener);
        Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
    });
    let client = RemoteShards::connect(RemoteAddress::Tcp(address), Tasks::tokio()).expect("an address");
    let since = leader.since(TABLE).expect("it is a shard");
    let expired = client.subscribe(TABLE, since.step_back()).await.err();
    assert_eq!(expired, Some(SubscribeError::Expired { since }));
    let missing = client.subscribe(ShardId(99), since).await.err();
    assert_eq!(missing, Some(SubscribeError::NotFound));
    // A shard that nobody has written: an empty snapshot, and progress that says how far it got.
    let mut subscription = client.subscribe(SOLO, since).await.expect("readable");
    let first = subscription.next().await.expect("it goes on");
    assert_eq!(first, Ok(ShardEvent::Snapshot { updates: Vec::new(), last: true }));
    let second = subscription.next().await.expect("it goes on").expect("it works");
    let ShardEvent::Progress { prev_upper: Timestamp::MIN, upper: Timestamp::MIN, now, .. } = second else {
        panic!("{second:?}");
    };
    // The leader's time comes by itself.
    let third = Tasks::tokio().timeout(Duration::from_secs(30), subscription.next()).await.expect("each second");
    assert!(matches!(third, Some(Ok(ShardEvent::Progress { now: later, .. })) if later > now));
}
