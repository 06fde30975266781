//! Flags, each with an environment variable of the same name.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use protocol::grpc::Address;
use protocol::tls::TlsFiles;

/// Computes for a Freshet environment: runs dataflows and sources as its environmentd commands.
#[derive(Clone, Debug, Parser)]
#[command(name = "clusterd", version)]
pub struct Args {
    /// Where the storage controller connects: HOST:PORT or unix:/PATH.
    #[arg(long, env = "FRESHET_STORAGECTL_LISTEN_ADDR", default_value = "127.0.0.1:2100")]
    pub storagectl_listen_addr: Address,

    /// Where the compute controller connects: HOST:PORT or unix:/PATH.
    #[arg(long, env = "FRESHET_COMPUTECTL_LISTEN_ADDR", default_value = "127.0.0.1:2101")]
    pub computectl_listen_addr: Address,

    /// Where the other processes of this replica connect, if there are several.
    #[arg(long, env = "FRESHET_TIMELY_LISTEN_ADDR", default_value = "127.0.0.1:2102")]
    pub timely_listen_addr: Address,

    /// Where health and metrics are served: /api/livez, /api/readyz, /metrics.
    #[arg(long, env = "FRESHET_INTERNAL_HTTP_LISTEN_ADDR", default_value = "127.0.0.1:6878")]
    pub internal_http_listen_addr: Address,

    /// Where environmentd serves the log: HOST:PORT or unix:/PATH.
    #[arg(long, env = "FRESHET_SHARDCTL_ADDR", default_value = "127.0.0.1:6879")]
    pub shardctl_addr: Address,

    /// Worker threads of this process.
    #[arg(long, env = "FRESHET_WORKERS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: u16,

    /// Which process of the replica this is, from 0.
    #[arg(long, env = "FRESHET_PROCESS", default_value_t = 0)]
    pub process: usize,

    /// How many processes the replica has; taken from --timely-peers if not given.
    #[arg(long, env = "FRESHET_PROCESSES")]
    pub processes: Option<usize>,

    /// The timely addresses of all processes of the replica in their order, this one among them.
    #[arg(long, env = "FRESHET_TIMELY_PEERS", value_delimiter = ',')]
    pub timely_peers: Vec<Address>,

    /// Ends this process when its standard input is closed, as it is when the parent that holds the other end dies.
    /// The process orchestrator sets the variable.
    #[arg(long, env = "FRESHET_DIE_WITH_PARENT")]
    pub die_with_parent: bool,

    /// This process's certificate, as PEM, for which --tls-key is the key: other processes of its environment know it by that.
    ///
    /// With it, whatever is listened on or connected to over TCP, except for internal HTTP, is encrypted and of this environment
    /// alone. The three files are read again when they are replaced. Unix sockets are guarded by the file system.
    #[arg(long, env = "FRESHET_TLS_CERT", requires_all = ["tls_key", "tls_ca"])]
    pub tls_cert: Option<PathBuf>,

    /// The key of --tls-cert, as PEM.
    #[arg(long, env = "FRESHET_TLS_KEY", requires_all = ["tls_cert", "tls_ca"])]
    pub tls_key: Option<PathBuf>,

    /// The certificates, as PEM, of the environment's authority.
    #[arg(long, env = "FRESHET_TLS_CA", requires_all = ["tls_cert", "tls_key"])]
    pub tls_ca: Option<PathBuf>,

    /// Allows listening without TLS on addresses that other machines can reach: anyone there commands this process.
    #[arg(long, env = "FRESHET_INSECURE_LISTENERS")]
    pub insecure_listeners: bool,

    /// What to log, as `tracing` filter directives.
    #[arg(long, env = "FRESHET_LOG_FILTER", default_value = "info")]
    pub log_filter: String,

    /// How to log.
    #[arg(long, env = "FRESHET_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

impl Args {
    /// Checks what flags must be to each other. Errors: one line for the user.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let processes = self.process_count();
        if self.processes.is_some_and(|count| count == 0) {
            return Err("--processes must be at least 1".to_owned());
        }
        if self.process >= processes {
            return Err(format!("--process={} is not below the number of processes, {processes}", self.process));
        }
        if processes > 1 && self.timely_peers.len() != processes {
            let named = self.timely_peers.len();
            return Err(format!("--timely-peers names {named} addresses for {processes} processes"));
        }
        // With certificates, internal HTTP is plain all the same: it tells health and metrics, and takes no orders.
        if self.tls_files().is_some() || self.insecure_listeners {
            return Ok(());
        }
        let mut listeners = vec![
            ("--storagectl-listen-addr", &self.storagectl_listen_addr),
            ("--computectl-listen-addr", &self.computectl_listen_addr),
            ("--internal-http-listen-addr", &self.internal_http_listen_addr),
        ];
        if processes > 1 {
            listeners.push(("--timely-listen-addr", &self.timely_listen_addr));
        }
        for (flag, address) in listeners {
            if !address.is_local() {
                return Err(format!(
                    "{flag} {address} is not a loopback address: this needs --tls-cert, or --insecure-listeners"
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn tls_files(&self) -> Option<TlsFiles> {
        let (certificates, key, authorities) = (self.tls_cert.clone()?, self.tls_key.clone()?, self.tls_ca.clone()?);
        Some(TlsFiles { certificates, key, authorities })
    }

    pub(crate) fn process_count(&self) -> usize {
        self.processes.unwrap_or(self.timely_peers.len().max(1))
    }
}
