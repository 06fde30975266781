//! Start and stop: from flags to a serving environment, in the order in which the parts need each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use controller::OrchestratorLauncher;
use orchestrator::process::ChildLifetime;
use orchestrator::{Orchestrator, ProcessOrchestrator, ProcessOrchestratorConfig};
use persist::{BlobUrl, Leader, LeaderConfig, LeaderHandle, LogError, LogUrl, OpenError};
use stdx::{Redacted, Rng, Task, Tasks};
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tracing::{error, info, warn};

use crate::args::Args;
use crate::environment::Environment;
use crate::http::{self, Health};
use crate::open::{Parts, open};
use crate::pgwire::{self, Audience};

/// Why the daemon does not start, or has stopped; each with its exit code.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A flag cannot be followed: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The data directory cannot be used, or the log has failed: exit code 1.
    #[error("{0}")]
    Data(String),
}

impl BootError {
    pub fn exit_code(&self) -> u8 {
        match self {
            BootError::Usage(_) => 2,
            BootError::Data(_) => 1,
        }
    }
}

/// Grows with every change of what is durable; a log led by a higher one is refused.
const DURABLE_VERSION: u32 = 1;

/// How long an append proves that nobody else leads a log that has no lock.
const LEASE: Duration = Duration::from_secs(15);

pub use crate::open::VERSION;

/// A running environment.
pub struct Running {
    environment: Arc<Environment>,
    addresses: BTreeMap<&'static str, SocketAddr>,
    data_dir: PathBuf,
    shardctl_socket: PathBuf,
    keep_children: bool,
    orchestrator: Arc<ProcessOrchestrator>,
    listeners: Vec<Task>,
    committer: Task,
    _lock: std::fs::File,
}

struct Sockets {
    sql: TcpListener,
    http: TcpListener,
    internal_sql: TcpListener,
    internal_http: TcpListener,
    shardctl: TcpListener,
    shardctl_unix: UnixListener,
    shardctl_path: PathBuf,
}

/// Starts an environment. On return it accepts connections.
pub async fn start(args: &Args, tasks: Tasks) -> Result<Running, BootError> {
    check_addresses(args)?;
    let image = clusterd_binary(args)?;
    std::fs::create_dir_all(&args.data_dir)
        .map_err(|error| BootError::Data(format!("cannot create {}: {error}", args.data_dir.display())))?;
    let data_dir = std::fs::canonicalize(&args.data_dir)
        .map_err(|error| BootError::Data(format!("cannot open {}: {error}", args.data_dir.display())))?;
    let stores = stores(args, &data_dir)?;
    // The lock comes first: whoever holds it owns the directory and may replace its sockets.
    let lock = lock_data_dir(&data_dir)?;
    let rng = Rng::from_entropy();
    let leader = open_log(stores, &data_dir, args, &tasks, rng.clone()).await?;
    let sockets = bind(args, &data_dir).await?;

    let lifetime = match args.orchestrator_process_keep_children {
        true => ChildLifetime::Kept,
        false => ChildLifetime::WithParent,
    };
    let config = ProcessOrchestratorConfig { tasks: tasks.clone(), data_dir: data_dir.clone(), lifetime };
    let orchestrator = ProcessOrchestrator::new(config)
        .map_err(|error| BootError::Data(format!("cannot prepare to run clusterd processes: {error}")))?;
    let orchestrator = Arc::new(orchestrator);
    let log_format = match args.log_format {
        crate::args::LogFormat::Text => "text",
        crate::args::LogFormat::Json => "json",
    };
    let launcher = OrchestratorLauncher {
        tasks: tasks.clone(),
        orchestrator: orchestrator.namespace("cluster"),
        image,
        leading_args: vec![format!("--log-filter={}", args.log_filter), format!("--log-format={log_format}")],
        shardctl: format!("unix:{}", sockets.shardctl_path.display()),
    };
    let parts = Parts { tasks, rng, leader, launcher: Arc::new(launcher), replica_size: &args.bootstrap_replica_size };
    let (environment, committer) = open(parts).await?;
    let ready = Arc::new(AtomicBool::new(false));
    let addresses = addresses(&sockets).map_err(|error| BootError::Usage(error.to_string()))?;
    write_addresses(&data_dir, &addresses)?;
    let shardctl_socket = sockets.shardctl_path.clone();
    let listeners = listen(&environment, sockets, &ready);
    environment.controller.stop_leftovers().await;
    ready.store(true, Ordering::SeqCst);
    let keep_children = args.orchestrator_process_keep_children;
    Ok(Running {
        environment,
        addresses,
        data_dir,
        shardctl_socket,
        keep_children,
        orchestrator,
        listeners,
        committer,
        _lock: lock,
    })
}

/// Until mutual TLS and passwords exist, other machines are let in only on demand.
fn check_addresses(args: &Args) -> Result<(), BootError> {
    for (flag, address) in args.listeners() {
        if address.ip().is_loopback() {
            continue;
        }
        if !args.insecure_listeners {
            return Err(BootError::Usage(format!(
                "{flag} {address} can be reached by other machines, without encryption or passwords; \
                 pass --insecure-listeners if that is what you want"
            )));
        }
        warn!(flag, %address, "listening INSECURELY: no encryption, no passwords");
    }
    Ok(())
}

fn clusterd_binary(args: &Args) -> Result<PathBuf, BootError> {
    let path = match &args.orchestrator_process_clusterd {
        Some(path) => path.clone(),
        None => {
            let own = std::env::current_exe()
                .map_err(|error| BootError::Usage(format!("cannot find this program's directory: {error}")))?;
            own.with_file_name("clusterd")
        }
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(BootError::Usage(format!(
        "no clusterd binary at {}; name it with --orchestrator-process-clusterd",
        path.display()
    )))
}

/// Takes the directory for this process alone, as long as the file lives.
fn lock_data_dir(data_dir: &Path) -> Result<std::fs::File, BootError> {
    let path = data_dir.join("LOCK");
    let unusable = |error: std::io::Error| BootError::Data(format!("cannot lock {}: {error}", path.display()));
    let file = std::fs::File::options().create(true).truncate(false).write(true).open(&path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(in_use(data_dir)),
        Err(std::fs::TryLockError::Error(error)) => Err(unusable(error)),
    }
}

fn in_use(data_dir: &Path) -> BootError {
    BootError::Data(format!("data directory {} is in use by another environmentd", data_dir.display()))
}

/// The URLs of the log and the blobs.
fn stores(args: &Args, data_dir: &Path) -> Result<(LogUrl, BlobUrl), BootError> {
    fn parse<U: FromStr<Err = persist::UrlError>>(flag: &str, url: &Redacted<String>) -> Result<U, BootError> {
        url.expose().parse().map_err(|error| BootError::Usage(format!("{flag}: {error}")))
    }
    let log = match &args.log_url {
        Some(url) => parse("--log-url", url)?,
        None => LogUrl::Rocks(data_dir.join("log")),
    };
    let blob = match &args.blob_url {
        Some(url) => parse("--blob-url", url)?,
        None => BlobUrl::of_directory(&data_dir.join("blobs")),
    };
    Ok((log, blob))
}

async fn open_log(
    (log_url, blob_url): (LogUrl, BlobUrl),
    data_dir: &Path,
    args: &Args,
    tasks: &Tasks,
    rng: Rng,
) -> Result<LeaderHandle, BootError> {
    let data = |error: &dyn std::fmt::Display| BootError::Data(error.to_string());
    let log = match persist::open_log(&log_url, tasks.clone(), &rng).await {
        Ok(log) => log,
        Err(LogError::InUse(_)) if log_url == LogUrl::Rocks(data_dir.join("log")) => return Err(in_use(data_dir)),
        Err(error) => return Err(data(&error)),
    };
    let blob = persist::open_blob(&blob_url).map_err(|error| data(&error))?;
    let lease = (!log.lock_proves_leadership()).then_some(LEASE);
    let mut config = LeaderConfig::new(log, blob, tasks.clone(), rng);
    config.lease = lease;
    config.blob_url = Some(shared_url(&blob_url).map_err(|error| data(&error))?.to_string());
    config.generation = args.deploy_generation;
    config.version = DURABLE_VERSION;
    Leader::open(config).await.map_err(|error| match error {
        OpenError::Newer(reason) => {
            BootError::Data(format!("the log {log_url} was written by a newer version: {reason}"))
        }
        other => BootError::Data(format!("cannot open the log {log_url}: {other}")),
    })
}

/// The URL under which other processes find the same blobs, whatever directory they run in.
fn shared_url(url: &BlobUrl) -> std::io::Result<BlobUrl> {
    match url.directory() {
        Some(directory) => Ok(BlobUrl::of_directory(&std::fs::canonicalize(directory)?)),
        None => Ok(url.clone()),
    }
}

async fn bind(args: &Args, data_dir: &Path) -> Result<Sockets, BootError> {
    let [sql, http, internal_sql, internal_http, shardctl] = args.listeners();
    let shardctl_path = socket_path(data_dir);
    // What is there is a former process's: it held the log's lock before us.
    let _ = std::fs::remove_file(&shardctl_path);
    let shardctl_unix = UnixListener::bind(&shardctl_path)
        .map_err(|error| BootError::Data(format!("cannot listen on {}: {error}", shardctl_path.display())))?;
    Ok(Sockets {
        sql: bind_one(sql).await?,
        http: bind_one(http).await?,
        internal_sql: bind_one(internal_sql).await?,
        internal_http: bind_one(internal_http).await?,
        shardctl: bind_one(shardctl).await?,
        shardctl_unix,
        shardctl_path,
    })
}

async fn bind_one((flag, address): (&'static str, SocketAddr)) -> Result<TcpListener, BootError> {
    TcpListener::bind(address).await.map_err(|error| BootError::Usage(format!("{flag} {address}: {error}")))
}

/// Unix socket paths have at most 107 bytes; a longer data directory gets its socket in the temporary directory.
fn socket_path(data_dir: &Path) -> PathBuf {
    let beside = data_dir.join("shardctl.sock");
    if beside.as_os_str().len() <= 100 {
        return beside;
    }
    std::env::temp_dir().join(format!("freshet-shardctl-{}.sock", std::process::id()))
}

fn addresses(sockets: &Sockets) -> std::io::Result<BTreeMap<&'static str, SocketAddr>> {
    Ok(BTreeMap::from([
        ("sql", sockets.sql.local_addr()?),
        ("http", sockets.http.local_addr()?),
        ("internal_sql", sockets.internal_sql.local_addr()?),
        ("internal_http", sockets.internal_http.local_addr()?),
        ("shardctl", sockets.shardctl.local_addr()?),
    ]))
}

/// Writes `addresses.json` in one step, so that whoever waits for it never reads half of it.
fn write_addresses(data_dir: &Path, addresses: &BTreeMap<&'static str, SocketAddr>) -> Result<(), BootError> {
    let path = data_dir.join("addresses.json");
    let temporary = data_dir.join("addresses.json.new");
    let json = serde_json::to_string_pretty(addresses).expect("addresses are plain strings");
    std::fs::write(&temporary, json + "\n")
        .and_then(|()| std::fs::rename(&temporary, &path))
        .map_err(|error| BootError::Data(format!("cannot write {}: {error}", path.display())))
}

fn listen(environment: &Arc<Environment>, sockets: Sockets, ready: &Arc<AtomicBool>) -> Vec<Task> {
    let tasks = &environment.tasks;
    let health = || Health { environment: Arc::clone(environment), ready: Arc::clone(ready) };
    let sql = pgwire::serve(Arc::clone(environment), sockets.sql, Audience::Users);
    let internal_sql = pgwire::serve(Arc::clone(environment), sockets.internal_sql, Audience::System);
    vec![
        tasks.spawn("shardctl over tcp", serve_shardctl(environment, TcpListenerStream::new(sockets.shardctl))),
        tasks.spawn("shardctl over unix", serve_shardctl(environment, UnixListenerStream::new(sockets.shardctl_unix))),
        tasks.spawn("sql listener", sql),
        tasks.spawn("internal sql listener", internal_sql),
        tasks.spawn("http listener", http::serve_external(sockets.http, health())),
        tasks.spawn("internal http listener", http::serve_internal(sockets.internal_http, health())),
    ]
}

fn serve_shardctl<S, I>(environment: &Arc<Environment>, incoming: S) -> impl Future<Output = ()> + Send + use<S, I>
where
    S: futures::Stream<Item = std::io::Result<I>> + Send + 'static,
    I: tonic::transport::server::Connected + tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = persist::shardctl_service(environment.leader.clone());
    async move {
        let server = tonic::transport::Server::builder().add_service(service);
        if let Err(error) = server.serve_with_incoming(incoming).await {
            error!(%error, "shardctl listener ended");
        }
    }
}

impl Running {
    /// The addresses it listens on, by name.
    pub fn addresses(&self) -> &BTreeMap<&'static str, SocketAddr> {
        &self.addresses
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Serves until `stop` resolves or the log's leader halts, then stops everything in order.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), BootError> {
        let leader = self.environment.leader.clone();
        let halted = std::pin::pin!(leader.halted());
        match futures::future::select(std::pin::pin!(stop), halted).await {
            futures::future::Either::Left(((), _)) => {
                self.stop().await;
                Ok(())
            }
            futures::future::Either::Right((halt, _)) => {
                error!(%halt, "the log's leader has ended");
                Err(BootError::Data(halt.to_string()))
            }
        }
    }

    async fn stop(self) {
        info!("shutting down");
        self.environment.shutdown.trigger();
        let tasks = self.environment.tasks.clone();
        // The two shardctl listeners come first in the list and go last: children write until they are stopped.
        let (shardctl, listeners) = self.listeners.split_at(2);
        for listener in listeners {
            if tasks.timeout(Duration::from_secs(5), listener.ended()).await.is_err() {
                warn!("a listener did not stop in time");
            }
        }
        if !self.keep_children {
            self.orchestrator.shutdown().await;
        }
        drop(self.committer);
        if let Err(error) = self.environment.leader.close(self.environment.oracle.read_ts()).await {
            warn!(%error, "the log was not closed cleanly");
        }
        let _ = shardctl;
        // Nobody is misled by a socket of a process that has ended; removing it is tidiness.
        let _ = std::fs::remove_file(&self.shardctl_socket);
    }
}
