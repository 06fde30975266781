//! A private PostgreSQL 15, as the oracle on a Unix socket or as the peer of a benchmark on loopback TCP.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tokio_postgres::{Client, NoTls};

/// A value as it is compared: numbers to 13 digits, where quotients agree (ours carry 39 digits, PostgreSQL's fewer).
pub fn comparable(value: Option<&str>) -> String {
    let Some(text) = value else { return "NULL".to_owned() };
    match text.parse::<f64>() {
        Ok(number) => format!("{number:.12e}"),
        Err(_) => text.to_owned(),
    }
}

/// A running PostgreSQL with its data in a temporary directory. Stopped when dropped.
pub struct Postgres {
    directory: tempfile::TempDir,
    bin: PathBuf,
    /// None: it listens on its Unix socket only.
    port: Option<u16>,
}

const DURABLE: &str = "-c fsync=on -c synchronous_commit=on";

/// Debian's binaries are not on the PATH.
fn bin_dir() -> Result<PathBuf> {
    let debian = Path::new("/usr/lib/postgresql/15/bin");
    if debian.join("initdb").exists() {
        return Ok(debian.to_owned());
    }
    bail!("PostgreSQL 15 is not installed (Debian package postgresql)")
}

impl Postgres {
    /// Starts an oracle, whose data may be lost in a crash of the machine.
    pub fn start() -> Result<Postgres> {
        Postgres::start_with("-c fsync=off", None)
    }

    /// Starts one that keeps what it acknowledges.
    pub fn start_durable() -> Result<Postgres> {
        Postgres::start_with(DURABLE, None)
    }

    /// Starts a durable peer for benchmarks, which is reached as Freshet is, over loopback TCP.
    pub fn start_peer() -> Result<Postgres> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Postgres::start_with(DURABLE, Some(port))
    }

    fn start_with(settings: &str, port: Option<u16>) -> Result<Postgres> {
        let bin = bin_dir()?;
        let directory = tempfile::tempdir()?;
        let postgres = Postgres { directory, bin, port };
        // PostgreSQL refuses to run as root; Debian's package brings a user for it.
        if rustix::process::getuid().is_root() {
            let status = Command::new("chown").arg("postgres:postgres").arg(postgres.directory.path()).status()?;
            if !status.success() {
                bail!("cannot give the data directory to user postgres");
            }
        }
        let data = postgres.data();
        // Texts are ordered by bytes, and all letters have cases, as in Freshet.
        let locale = ["--locale=C", "--lc-ctype=C.UTF-8", "-E", "UTF8"];
        let arguments = ["-D", &data, "-U", "postgres", "-A", "trust"].into_iter().chain(locale);
        postgres.run("initdb", &arguments.collect::<Vec<_>>())?;
        let socket = postgres.directory.path().display().to_string();
        let listen = match port {
            Some(port) => format!("-c listen_addresses=127.0.0.1 -p {port}"),
            None => "-c listen_addresses=".to_owned(),
        };
        let options = format!("{listen} -c unix_socket_directories={socket} {settings}");
        postgres.run("pg_ctl", &["-D", &data, "-w", "-o", &options, "-l", &format!("{data}.log"), "start"])?;
        Ok(postgres)
    }

    fn data(&self) -> String {
        self.directory.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<()> {
        let program = self.bin.join(program);
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        let command = command.args(args).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.status().with_context(|| format!("cannot run {}", program.display()))?;
        if !status.success() {
            bail!("{} failed: {status}", program.display());
        }
        Ok(())
    }

    /// The directory of its socket: psql's `-h`.
    pub fn host(&self) -> String {
        self.directory.path().display().to_string()
    }

    fn address(&self) -> String {
        match self.port {
            Some(port) => format!("host=127.0.0.1 port={port}"),
            None => format!("host={}", self.host()),
        }
    }

    pub async fn connect(&self) -> Result<Client> {
        let config = format!("{} user=postgres dbname=postgres", self.address());
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.context("cannot connect")?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(client)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A leftover process would only hold a deleted directory.
        let _ = self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "stop"]);
    }
}
