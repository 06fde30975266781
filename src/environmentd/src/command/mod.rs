//! What the program does beside serving: backups, restores, and looking into a store.

mod backup;
mod inspect;
mod restore;
mod store;
mod text;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stdx::Redacted;

use crate::boot::BootError;

/// A command in place of the server.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Copy everything durable to another place, while the environment runs or while it does not.
    Backup(BackupArgs),
    /// Fill an empty store from a backup, or list the backups there are.
    Restore(RestoreArgs),
    /// Look into a store.
    Persist {
        #[command(subcommand)]
        command: PersistCommand,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub enum PersistCommand {
    /// Print the shards with their times and sizes, and what a start has to read.
    Inspect(InspectArgs),
    /// Check every checksum of log entries, checkpoints and parts; exit with 1 if anything is damaged.
    Verify(VerifyArgs),
}

/// Where a store is, as for the server.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// The environment's data directory.
    #[arg(long, env = "FRESHET_DATA_DIR", default_value = "freshetdata")]
    pub data_dir: PathBuf,

    /// Where the log is kept [default: rocksdb:<DATA_DIR>/log].
    #[arg(long, env = "FRESHET_LOG_URL", hide_env_values = true, value_parser = crate::args::redacted)]
    pub log_url: Option<Redacted<String>>,

    /// Where the blobs are kept [default: file:<DATA_DIR>/blobs].
    #[arg(long, env = "FRESHET_BLOB_URL", hide_env_values = true, value_parser = crate::args::redacted)]
    pub blob_url: Option<Redacted<String>>,
}

#[derive(Clone, Debug, Args)]
pub struct BackupArgs {
    /// Where to: file:<directory>, s3://<bucket>/<prefix>, gs://<bucket>/<prefix> or az://<container>/<prefix>. Backups in
    /// one place share what has not changed. A running environment opens it with its own credentials.
    #[arg(long, value_parser = crate::args::redacted)]
    pub to: Redacted<String>,

    /// Afterwards delete older backups of this environment but for the newest so many, with the parts that only they need.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,

    /// Ask the environment that serves shardctl at this address, <host>:<port>. Without it the one that runs in the data
    /// directory is asked; if none does, the store is read directly.
    #[arg(long)]
    pub shardctl_addr: Option<String>,

    /// For an environment whose processes prove who they are: the certificate, as PEM, of one of its services.
    #[arg(long, env = "FRESHET_TLS_CERT", requires_all = ["shardctl_addr", "tls_key", "tls_ca"])]
    pub tls_cert: Option<PathBuf>,

    /// The key of --tls-cert, as PEM.
    #[arg(long, env = "FRESHET_TLS_KEY", requires_all = ["tls_cert", "tls_ca"])]
    pub tls_key: Option<PathBuf>,

    /// The certificates, as PEM, of the environment's authority.
    #[arg(long, env = "FRESHET_TLS_CA", requires_all = ["tls_cert", "tls_key"])]
    pub tls_ca: Option<PathBuf>,

    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// Where the backups are: as for `backup --to`.
    #[arg(long, value_parser = crate::args::redacted)]
    pub from: Redacted<String>,

    /// Only list the backups there are.
    #[arg(long, conflicts_with_all = ["backup", "at"])]
    pub list: bool,

    /// Which backup [default: the newest that has the time].
    #[arg(long)]
    pub backup: Option<String>,

    /// The time to go back to, in milliseconds since 1970 or as 2026-01-31T12:00:00Z [default: all that is in the backup].
    #[arg(long)]
    pub at: Option<String>,

    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub store: StoreArgs,
}

impl Command {
    /// Runs to its end. Its result goes to standard output, its progress to standard error.
    pub async fn run(self) -> Result<(), BootError> {
        let tasks = stdx::Tasks::tokio();
        match self {
            Command::Backup(args) => backup::run(&args, &tasks).await,
            Command::Restore(args) => restore::run(&args, &tasks).await,
            Command::Persist { command: PersistCommand::Inspect(args) } => inspect::run(&args, &tasks).await,
            Command::Persist { command: PersistCommand::Verify(args) } => verify::run(&args, &tasks).await,
        }
    }
}

/// A failure of what is stored or of where it is: exit code 1.
fn failed(error: impl std::fmt::Display) -> BootError {
    BootError::Data(error.to_string())
}
