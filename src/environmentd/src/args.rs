//! Flags, each with its environment variable.

mod kubernetes;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use stdx::Redacted;

pub use kubernetes::{KubernetesArgs, PlacementKind, PullPolicy};

/// Freshet's environment daemon: SQL over the PostgreSQL protocol, the catalog, and the control of clusterd processes.
#[derive(Clone, Debug, Parser)]
#[command(name = "environmentd", version)]
pub struct Args {
    /// Where everything durable is kept unless the next two flags say otherwise, and the children's sockets and logs.
    #[arg(long, env = "FRESHET_DATA_DIR", default_value = "freshetdata")]
    pub data_dir: PathBuf,

    /// Where the log is kept [default: rocksdb:<DATA_DIR>/log].
    ///
    /// One of rocksdb:<directory>, file:<directory>, s3://<bucket>/<prefix>, gs://<bucket>/<prefix>,
    /// az://<container>/<prefix>, postgres://<user>@<host>/<database>?log=<name>. Object stores take their credentials from the environment
    /// (AWS_*, GOOGLE_*, AZURE_*), and options behind the URL, such as ?endpoint=http://127.0.0.1:9000&allow_http=true or
    /// ?sse=aws:kms&sse_kms_key_id=<key>. A store must refuse to create an object twice (S3: If-None-Match).
    #[arg(long, env = "FRESHET_LOG_URL", hide_env_values = true, value_parser = redacted)]
    pub log_url: Option<Redacted<String>>,

    /// Where the blobs are kept [default: file:<DATA_DIR>/blobs].
    ///
    /// One of file:<directory>, s3://<bucket>/<prefix>, gs://<bucket>/<prefix>, az://<container>/<prefix>, with options as for
    /// --log-url. clusterd processes open it too, with credentials from their own environment.
    #[arg(long, env = "FRESHET_BLOB_URL", hide_env_values = true, value_parser = redacted)]
    pub blob_url: Option<Redacted<String>>,

    /// Where SQL clients connect. Port 0 takes a free one.
    #[arg(long, env = "FRESHET_SQL_LISTEN_ADDR", default_value = "127.0.0.1:6875")]
    pub sql_listen_addr: SocketAddr,

    /// Where HTTP clients connect.
    #[arg(long, env = "FRESHET_HTTP_LISTEN_ADDR", default_value = "127.0.0.1:6876")]
    pub http_listen_addr: SocketAddr,

    /// Where the system's users mz_system and mz_support connect.
    #[arg(long, env = "FRESHET_INTERNAL_SQL_LISTEN_ADDR", default_value = "127.0.0.1:6877")]
    pub internal_sql_listen_addr: SocketAddr,

    /// Where health (/api/livez, /api/readyz) and /metrics are served.
    #[arg(long, env = "FRESHET_INTERNAL_HTTP_LISTEN_ADDR", default_value = "127.0.0.1:6878")]
    pub internal_http_listen_addr: SocketAddr,

    /// Where clusterd processes reach the log: by TLS, if it can be reached by other machines. Children of the process orchestrator use a Unix socket instead.
    #[arg(long, env = "FRESHET_SHARDCTL_LISTEN_ADDR", default_value = "127.0.0.1:6879")]
    pub shardctl_listen_addr: SocketAddr,

    /// Where clusterd processes of other machines reach the log: HOST:PORT, which leads to --shardctl-listen-addr.
    #[arg(long, env = "FRESHET_SHARDCTL_ADVERTISE_ADDR")]
    pub shardctl_advertise_addr: Option<String>,

    /// What runs the clusterd processes.
    #[arg(long, env = "FRESHET_ORCHESTRATOR", value_enum, default_value = "process")]
    pub orchestrator: OrchestratorKind,

    /// The clusterd binary. Default: the one beside this program.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_PROCESS_CLUSTERD")]
    pub orchestrator_process_clusterd: Option<PathBuf>,

    /// Leave clusterd processes running when this one ends; the next start adopts them.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_PROCESS_KEEP_CHILDREN")]
    pub orchestrator_process_keep_children: bool,

    /// Where secrets are kept [default: kubernetes if that runs the clusterd processes, else local-file].
    #[arg(long, env = "FRESHET_SECRETS_CONTROLLER", value_enum)]
    pub secrets_controller: Option<SecretsControllerKind>,

    #[command(flatten)]
    pub kubernetes: KubernetesArgs,

    /// The size of the first replica of cluster quickstart in a new environment.
    #[arg(long, env = "FRESHET_BOOTSTRAP_REPLICA_SIZE", default_value = "1")]
    pub bootstrap_replica_size: String,

    /// The deploy generation: a higher one fences all lower ones.
    #[arg(long, env = "FRESHET_DEPLOY_GENERATION", default_value_t = 0)]
    pub deploy_generation: u64,

    /// Take the log over although its leader is alive, where no lock forbids it (object stores, PostgreSQL). Without this a
    /// process stands by until the leader of its own generation has been silent for a lease.
    #[arg(long, env = "FRESHET_FORCE_TAKEOVER")]
    pub force_takeover: bool,

    /// The machine may be paused with all its clocks standing still, as some hypervisors do: a lease proves nothing then, and
    /// every strict read waits for an append, where no lock proves who leads.
    #[arg(long, env = "FRESHET_CLOCKS_MAY_STAND_STILL")]
    pub clocks_may_stand_still: bool,

    /// How long an append proves who leads, in milliseconds; all processes on one log must agree. For tests.
    #[arg(long, env = "FRESHET_LOG_LEASE_MS", default_value_t = 15_000, hide = true, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub log_lease_ms: u64,

    /// Listen for SQL and HTTP on addresses that other machines can reach, without encryption or passwords.
    #[arg(long, env = "FRESHET_INSECURE_LISTENERS")]
    pub insecure_listeners: bool,

    /// Talk with clusterd processes of other machines, and serve the log to them, without TLS: whoever reaches their ports
    /// commands them. Without this, both sides show certificates of the environment's own authority.
    #[arg(long, env = "FRESHET_INSECURE_INTERNAL_LISTENERS")]
    pub insecure_internal_listeners: bool,

    /// What to log: a level, or directives such as info,persist=debug.
    #[arg(long, env = "FRESHET_LOG_FILTER", default_value = "info")]
    pub log_filter: String,

    /// How to write log lines, on standard error.
    #[arg(long, env = "FRESHET_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// The listener that is for the environment's own processes.
pub(crate) const SHARDCTL_FLAG: &str = "--shardctl-listen-addr";

/// URLs may hold passwords, so what is wrong with one is said by who parses it, without repeating it.
pub(crate) fn redacted(url: &str) -> Result<Redacted<String>, Infallible> {
    Ok(Redacted::new(url.to_owned()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OrchestratorKind {
    /// Child processes on this machine.
    Process,
    /// Pods of a Kubernetes namespace.
    Kubernetes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SecretsControllerKind {
    /// Files of mode 0600 in <DATA_DIR>/secrets.
    LocalFile,
    /// Secrets of the environment's Kubernetes namespace.
    Kubernetes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

impl Args {
    pub(crate) fn secrets_controller(&self) -> SecretsControllerKind {
        self.secrets_controller.unwrap_or(match self.orchestrator {
            OrchestratorKind::Process => SecretsControllerKind::LocalFile,
            OrchestratorKind::Kubernetes => SecretsControllerKind::Kubernetes,
        })
    }

    /// Whether this environment's processes prove to each other who they are: where they are on several machines, or where the
    /// log is served to others than this one.
    pub(crate) fn is_certified(&self) -> bool {
        let remote = self.orchestrator == OrchestratorKind::Kubernetes || !self.shardctl_listen_addr.ip().is_loopback();
        remote && !self.insecure_internal_listeners
    }

    /// Every address to listen on, with the flag that names it.
    pub fn listeners(&self) -> [(&'static str, SocketAddr); 5] {
        [
            ("--sql-listen-addr", self.sql_listen_addr),
            ("--http-listen-addr", self.http_listen_addr),
            ("--internal-sql-listen-addr", self.internal_sql_listen_addr),
            ("--internal-http-listen-addr", self.internal_http_listen_addr),
            (SHARDCTL_FLAG, self.shardctl_listen_addr),
        ]
    }
}
