//! Leaders on an object store that loses requests and answers, delays them, and reports conflicts with nothing or with
//! their own requests: simulated, and between us and a real S3 server.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, header};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use parking_lot::Mutex;
use persist::{
    Blob, BlobUrl, Commit, CreateShard, GroupId, Halt, Leader, LeaderConfig, LeaderHandle, LogError, ObjLog, OpenError,
    memory_blob, open_blob,
};
use repr::{Diff, Row, ShardId};
use stdx::sim::Executor;
use stdx::{Rng, Tasks};
use uuid::Uuid;

const TABLE: ShardId = ShardId(1);

/// A store behind a bad network.
#[derive(Clone)]
struct Flaky {
    store: Blob,
    rng: Rng,
    tasks: Tasks,
    /// Where requests that are on their way go on after their sender has died.
    network: Tasks,
}

impl fmt::Debug for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

fn unavailable() -> Error {
    Error::Generic { store: "Flaky", source: "503".into() }
}

fn conflict(path: &Path) -> Error {
    Error::AlreadyExists { path: path.to_string(), source: "409".into() }
}

impl Flaky {
    async fn travel(&self) {
        self.tasks.sleep(Duration::from_micros(self.rng.below(20_000))).await;
    }

    fn deliver_late(&self, path: Path, payload: PutPayload, options: PutOptions) {
        let late = self.clone();
        let deliver = async move {
            late.network.sleep(Duration::from_millis(late.rng.below(30_000))).await;
            // Whoever sent it has stopped listening.
            let _ = late.store.put_opts(&path, payload, options).await;
        };
        self.network.spawn("late-request", deliver).detach();
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        self.travel().await;
        let fault = self.rng.below(20);
        match fault {
            0 => return Err(unavailable()),
            1 => return Err(conflict(path)),
            2 => {
                self.deliver_late(path.clone(), payload, options);
                return Err(unavailable());
            }
            _ => {}
        }
        let stored = self.store.put_opts(path, payload, options).await;
        self.travel().await;
        match fault {
            3 => Err(unavailable()),
            4 => Err(conflict(path)),
            _ => stored,
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.travel().await;
        if self.rng.below(20) == 0 { Err(unavailable()) } else { self.store.get_opts(path, options).await }
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        if self.rng.below(20) == 0 {
            return futures::stream::once(async { Err(unavailable()) }).boxed();
        }
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// What all writers together know.
#[derive(Clone, Default)]
struct History(Arc<Mutex<Writes>>);

#[derive(Default)]
struct Writes {
    begun: u64,
    acknowledged: BTreeSet<u64>,
}

impl History {
    fn begin(&self) -> u64 {
        let mut writes = self.0.lock();
        writes.begun += 1;
        writes.begun
    }

    fn acknowledged(&self) -> usize {
        self.0.lock().acknowledged.len()
    }

    /// Commits one row after another until the leader ends.
    async fn write(&self, leader: &LeaderHandle, tasks: &Tasks) {
        loop {
            let number = self.begin();
            let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
            let mut commit = Commit::tick(GroupId::TABLES, ts);
            if !leader.is_shard(TABLE) {
                commit.creates.push(CreateShard { shard: TABLE, group: Some(GroupId::TABLES), scheduled: false });
            }
            commit.appends.push((TABLE, vec![(Row::from_bytes(&number.to_be_bytes()), Diff::ONE)]));
            if leader.commit(commit).await.is_ok() {
                self.0.lock().acknowledged.insert(number);
            } else if !leader.lease_valid() {
                return;
            }
            tasks.sleep(Duration::from_millis(5)).await;
        }
    }

    /// Everything acknowledged is there once, and nothing that was never written.
    fn check(&self, rows: Vec<(Row, Diff)>, what: &str) {
        let mut found = BTreeSet::new();
        let writes = self.0.lock();
        for (row, diff) in rows {
            let number = u64::from_be_bytes(row.as_bytes().try_into().expect("eight bytes"));
            assert!(diff == Diff::ONE && number <= writes.begun, "{what}: row {number} is there {diff} times");
            found.insert(number);
        }
        let lost: Vec<&u64> = writes.acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "{what}: acknowledged and lost: {lost:?}");
    }
}

fn config(store: Blob, generation: u64, lease: Duration, tasks: &Tasks, rng: &Rng) -> LeaderConfig {
    let log = ObjLog::new(store, "test:".to_owned(), None, tasks.clone());
    let mut config = LeaderConfig::new(Arc::new(log), memory_blob(), tasks.clone(), rng.clone());
    config.generation = generation;
    config.lease = Some(lease);
    config.checkpoint_bytes = 2_000;
    config
}

/// Opens a leader and writes, again and again, until it is killed or fenced for good.
async fn process(store: Flaky, generation: u64, history: History) {
    let tasks = store.tasks.clone();
    loop {
        let config = config(Arc::new(store.clone()), generation, Duration::from_secs(15), &tasks, &store.rng);
        match Leader::open(config).await {
            Ok(leader) => {
                history.write(&leader, &tasks).await;
                let halt = leader.halted().await;
                assert!(matches!(halt, Halt::Fenced { .. }), "{halt}");
            }
            Err(OpenError::Fenced { .. }) => return,
            Err(OpenError::Log(LogError::Indeterminate(_)) | OpenError::Halted(_)) => {}
            Err(error) => panic!("{error}"),
        }
        tasks.sleep(Duration::from_secs(1)).await;
    }
}

/// Leaders of rising generations take over from living and from dead ones.
fn simulate(seed: u64) -> usize {
    let rng = Rng::from_seed(seed);
    let executor = Executor::new(rng.clone(), 1_000_000);
    let (world, network) = (executor.clone(), executor.tasks(100));
    let history = History::default();
    let seen = history.clone();
    executor.block_on(async move {
        let store = memory_blob();
        for generation in 1..=4 {
            let tasks = world.tasks(generation);
            let flaky =
                Flaky { store: Arc::clone(&store), rng: rng.clone(), tasks: tasks.clone(), network: network.clone() };
            tasks.spawn("process", process(flaky, generation, history.clone())).detach();
            network.sleep(Duration::from_millis(40_000 + rng.below(40_000))).await;
            if rng.below(2) == 0 {
                world.kill(generation);
            }
        }
        (1..=4).for_each(|generation| world.kill(generation));
        let tasks = world.tasks(5);
        let leader = Leader::open(config(store, 5, Duration::from_secs(15), &tasks, &rng)).await;
        let leader = leader.expect("the store is sound");
        let at = leader.group_upper(GroupId::TABLES).step_back();
        history.check(leader.snapshot(TABLE, at).await.expect("read"), &format!("seed {seed}"));
    });
    seen.acknowledged()
}

#[test]
fn what_was_acknowledged_survives_a_flaky_store() {
    let acknowledged: usize = (0..4).map(simulate).sum();
    println!("{acknowledged} writes acknowledged");
    assert!(acknowledged > 3_000, "the leaders did lead: {acknowledged}");
}

/// Stands between us and a real server, and loses requests and answers.
async fn serve_badly(server: String, rng: Rng, tasks: Tasks) -> String {
    let client = reqwest::Client::new();
    let handle = move |request: axum::extract::Request| {
        let (server, rng, tasks, client) = (server.clone(), rng.clone(), tasks.clone(), client.clone());
        async move {
            let (mut parts, body) = request.into_parts();
            let body = to_bytes(body, 64 << 20).await.expect("a whole request");
            let fault = rng.below(25);
            let answer =
                |status: StatusCode| axum::http::Response::builder().status(status).body(Body::empty()).unwrap();
            match fault {
                0 => return answer(StatusCode::SERVICE_UNAVAILABLE),
                1 => return answer(StatusCode::CONFLICT),
                _ => {}
            }
            for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION] {
                parts.headers.remove(name);
            }
            // The host stays the one that was signed.
            let url = format!("{server}{}", parts.uri.path_and_query().expect("a path"));
            let answered = client.request(parts.method, url).headers(parts.headers).body(body).send().await;
            let answered = answered.expect("the server lives");
            let mut response = answer(answered.status());
            *response.headers_mut() = answered.headers().clone();
            for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION] {
                response.headers_mut().remove(name);
            }
            *response.body_mut() = Body::from(answered.bytes().await.expect("a whole answer"));
            match fault {
                2 => answer(StatusCode::INTERNAL_SERVER_ERROR),
                3 => {
                    // Longer than the client waits.
                    tasks.sleep(Duration::from_secs(3)).await;
                    response
                }
                _ => response,
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let router = axum::Router::new().fallback(handle);
    Tasks::tokio().spawn("bad server", async move { axum::serve(listener, router).await.expect("serves") }).detach();
    format!("http://{address}")
}

#[allow(clippy::disallowed_methods, reason = "a test has no flags")]
fn server() -> Option<String> {
    std::env::var("FRESHET_TEST_S3").ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_bad_way_to_s3() {
    let Some(server) = server() else {
        println!("FRESHET_TEST_S3 names no server: not run");
        return;
    };
    let prefix = Uuid::from_bytes(Rng::from_entropy().bytes16()).simple();
    let open = |endpoint: &str| {
        let url = format!("s3://freshet/{prefix}?endpoint={endpoint}&allow_http=true&timeout=1s");
        open_blob(&url.parse::<BlobUrl>().expect("it is a URL")).expect("the options fit")
    };
    let direct = open(&server);
    let (tasks, seed) = (Tasks::tokio(), 21);
    let rng = Rng::from_seed(seed);
    let bad = serve_badly(server, rng.clone(), tasks.clone()).await;
    let history = History::default();
    let lease = Duration::from_secs(3);
    let lead = async |generation| loop {
        match Leader::open(config(open(&bad), generation, lease, &tasks, &Rng::from_entropy())).await {
            Ok(leader) => return leader,
            Err(OpenError::Log(LogError::Indeterminate(_))) => {}
            Err(error) => panic!("{error}"),
        }
    };
    let first = lead(1).await;
    let enough = async |count| {
        while history.acknowledged() < count {
            tasks.sleep(Duration::from_millis(20)).await;
        }
    };
    let (second, ()) = futures::join!(
        async {
            enough(60).await;
            lead(2).await
        },
        history.write(&first, &tasks)
    );
    assert!(matches!(first.halted().await, Halt::Fenced { .. }));
    let written = history.acknowledged();
    futures::future::select(std::pin::pin!(history.write(&second, &tasks)), std::pin::pin!(enough(written + 60))).await;
    drop(second);
    let reader =
        Leader::open(config(direct, 3, lease, &tasks, &Rng::from_entropy())).await.expect("the store is sound");
    let at = reader.group_upper(GroupId::TABLES).step_back();
    history.check(reader.snapshot(TABLE, at).await.expect("read"), "real server");
}
