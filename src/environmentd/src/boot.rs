//! Start and stop: from flags to a serving environment, in the order in which the parts need each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use persist::{BlobUrl, Leader, LeaderConfig, LeaderHandle, LogError, LogUrl, OpenError};
use protocol::grpc::{Incoming, Listener};
use protocol::tls::Peers;
use stdx::{Redacted, Rng, Shutdown, Task, Tasks};
use tokio::net::{TcpListener, UnixListener};
use tracing::{error, info, warn};

use crate::args::{Args, SHARDCTL_FLAG};
use crate::certificates::Certificates;
use crate::environment::Environment;
use crate::home::{self, Home, Identities};
use crate::http::{self, Health};
use crate::open::{Parts, open};
use crate::pgwire::{self, Audience};
use crate::secrets;

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

/// In the data directory, for this machine's processes.
pub(crate) const SHARDCTL_SOCKET: &str = "shardctl.sock";

/// Grows with every change of what is durable; a log led by a higher one is refused.
const DURABLE_VERSION: u32 = 1;

pub use crate::open::VERSION;

/// A running environment.
pub struct Running {
    environment: Arc<Environment>,
    addresses: BTreeMap<&'static str, SocketAddr>,
    data_dir: PathBuf,
    shardctl_socket: PathBuf,
    home: Home,
    listeners: Vec<Task>,
    /// The shardctl listeners: children write until they are stopped.
    writers: [Task; 2],
    health: Health,
    committer: Task,
    _certificates: Option<Certificates>,
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
    let home = home::plan(args)?;
    std::fs::create_dir_all(&args.data_dir)
        .map_err(|error| BootError::Data(format!("cannot create {}: {error}", args.data_dir.display())))?;
    let data_dir = std::fs::canonicalize(&args.data_dir)
        .map_err(|error| BootError::Data(format!("cannot open {}: {error}", args.data_dir.display())))?;
    let stores = stores(args, &data_dir)?;
    home.check_stores(&stores)?;
    // The lock comes first: whoever holds it owns the directory and may replace its sockets.
    let lock = lock_data_dir(&data_dir)?;
    let rng = Rng::from_entropy();
    let config = leader_config(&stores, &data_dir, args, &tasks, rng.clone()).await?;
    // Before anybody is fenced: an address that is taken ends this process only.
    let sockets = bind(args, &data_dir).await?;
    let addresses = addresses(&sockets).map_err(|error| BootError::Usage(error.to_string()))?;
    write_addresses(&data_dir, &addresses)?;
    let health = Health {
        environment: Arc::default(),
        stage: config.stage.subscribe(),
        ready: Arc::default(),
        shutdown: Shutdown::new(),
    };
    let Sockets { sql, http, internal_sql, internal_http, shardctl, shardctl_unix, shardctl_path } = sockets;
    let mut listeners = vec![
        tasks.spawn("http listener", http::serve_external(http, health.clone())),
        tasks.spawn("internal http listener", http::serve_internal(internal_http, health.clone())),
    ];
    let leader = lead(config, &stores.0, [&sql, &internal_sql]).await?;

    let environment_id = leader.log_id().to_string();
    let secrets = secrets::open(args, &tasks, &data_dir, environment_id.clone()).await?;
    let certificates = match args.is_certified() {
        true => Some(Certificates::open(&tasks, &secrets, &environment_id).await?),
        false => None,
    };
    let identities = Identities { environment_id, certificates: certificates.as_ref() };
    let (home, launcher) = home.open(args, &tasks, &data_dir, &shardctl_path, identities).await?;
    let (launcher, replica_size) = (Arc::new(launcher), args.bootstrap_replica_size.as_str());
    let parts = Parts { tasks, rng, leader, launcher, secrets, replica_size };
    let (environment, committer) = open(parts).await?;
    // It is empty, for nobody else fills it.
    let _ = health.environment.set(Arc::clone(&environment));
    let guard = certificates.as_ref().map(|certificates| certificates.tls().guard(Peers::Clusterd));
    let shardctl = Listener::Tcp(shardctl).incoming(guard);
    let shardctl_unix = Listener::Unix(shardctl_unix, shardctl_path.clone()).incoming(None);
    let writers = [
        environment.tasks.spawn("shardctl over tcp", serve_shardctl(&environment, shardctl)),
        environment.tasks.spawn("shardctl over unix", serve_shardctl(&environment, shardctl_unix)),
    ];
    let sessions = pgwire::serve(Arc::clone(&environment), sql, Audience::Users);
    listeners.push(environment.tasks.spawn("sql listener", sessions));
    let sessions = pgwire::serve(Arc::clone(&environment), internal_sql, Audience::System);
    listeners.push(environment.tasks.spawn("internal sql listener", sessions));
    environment.controller.stop_leftovers().await;
    health.ready.store(true, Ordering::SeqCst);
    Ok(Running {
        environment,
        addresses,
        data_dir,
        shardctl_socket: shardctl_path,
        home,
        listeners,
        writers,
        health,
        committer,
        _certificates: certificates,
        _lock: lock,
    })
}

/// Until there are TLS and passwords for clients, other machines are let in only on demand; where processes prove who they are
/// there is no need.
fn check_addresses(args: &Args) -> Result<(), BootError> {
    for (flag, address) in args.listeners() {
        let is_internal = flag == SHARDCTL_FLAG;
        if address.ip().is_loopback() || (is_internal && args.is_certified()) {
            continue;
        }
        // Without certificates, --insecure-internal-listeners is given.
        if !is_internal && !args.insecure_listeners {
            return Err(BootError::Usage(format!(
                "{flag} {address} can be reached by other machines, without encryption or passwords; \
                 pass --insecure-listeners if that is what you want"
            )));
        }
        warn!(flag, %address, "listening INSECURELY: no encryption, no passwords");
    }
    Ok(())
}

/// Takes the directory for this process alone, as long as the file lives.
pub(crate) fn lock_data_dir(data_dir: &Path) -> Result<std::fs::File, BootError> {
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

/// Opens log and blobs; a log that is locked by another process is refused here.
async fn leader_config(
    (log_url, blob_url): &(LogUrl, BlobUrl),
    data_dir: &Path,
    args: &Args,
    tasks: &Tasks,
    rng: Rng,
) -> Result<LeaderConfig, BootError> {
    let data = |error: &dyn std::fmt::Display| BootError::Data(error.to_string());
    let log = match persist::open_log(log_url, tasks.clone(), &rng).await {
        Ok(log) => log,
        Err(LogError::InUse(_)) if *log_url == LogUrl::Rocks(data_dir.join("log")) => return Err(in_use(data_dir)),
        Err(error) => return Err(data(&error)),
    };
    let blob = persist::open_blob(blob_url).map_err(|error| data(&error))?;
    persist::refuse_half_restored(&blob).await.map_err(|error| data(&error))?;
    let mut config = LeaderConfig::new(log, blob, tasks.clone(), rng);
    config.lease = config.lease.map(|_| Duration::from_millis(args.log_lease_ms));
    config.clocks_may_stand_still = args.clocks_may_stand_still;
    config.force_takeover = args.force_takeover;
    config.blob_url = Some(shared_url(blob_url).map_err(|error| data(&error))?.to_string());
    config.generation = args.deploy_generation;
    config.version = DURABLE_VERSION;
    Ok(config)
}

/// Waits until this process leads the log, however long another one does; SQL clients are told to come again.
async fn lead(config: LeaderConfig, log: &LogUrl, sql: [&TcpListener; 2]) -> Result<LeaderHandle, BootError> {
    let (tasks, stage) = (config.tasks.clone(), config.stage.subscribe());
    let reason = || stage.borrow().to_string();
    let refusing = futures::future::join_all(sql.map(|listener| pgwire::refuse(&tasks, listener, reason)));
    match futures::future::select(std::pin::pin!(Leader::open(config)), std::pin::pin!(refusing)).await {
        futures::future::Either::Left((opened, _)) => opened.map_err(|error| match error {
            OpenError::Newer(reason) => {
                BootError::Data(format!("the log {log} was written by a newer version: {reason}"))
            }
            other => BootError::Data(format!("cannot open the log {log}: {other}")),
        }),
        futures::future::Either::Right(_) => unreachable!("connections are refused until there is a leader"),
    }
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
    let beside = data_dir.join(SHARDCTL_SOCKET);
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

fn serve_shardctl(environment: &Arc<Environment>, incoming: Incoming) -> impl Future<Output = ()> + Send + use<> {
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
        self.health.shutdown.trigger();
        let tasks = self.environment.tasks.clone();
        for listener in &self.listeners {
            if tasks.timeout(Duration::from_secs(5), listener.ended()).await.is_err() {
                warn!("a listener did not stop in time");
            }
        }
        self.home.shutdown().await;
        drop(self.committer);
        if let Err(error) = self.environment.leader.close(self.environment.oracle.read_ts()).await {
            warn!(%error, "the log was not closed cleanly");
        }
        drop(self.writers);
        // Nobody is misled by a socket of a process that has ended; removing it is tidiness.
        let _ = std::fs::remove_file(&self.shardctl_socket);
    }
}
