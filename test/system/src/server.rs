//! A real environmentd, started and stopped by a test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Lines of WARN and ERROR that a test may cause and that mean no defect.
const EXPECTED_LOG_LINES: &[&str] = &[];

/// The directory with the binaries under test: `FRESHET_TEST_BIN`, else the one beside this test's own.
pub fn bin_dir() -> PathBuf {
    match std::env::var_os("FRESHET_TEST_BIN") {
        Some(directory) => directory.into(),
        None => {
            let own = std::env::current_exe().expect("a test knows its own path");
            own.ancestors().nth(2).expect("tests lie in <profile>/deps").to_owned()
        }
    }
}

/// A running environmentd. Killed, with its children, when dropped.
pub struct Server {
    child: Child,
    data_dir: PathBuf,
    args: Vec<String>,
    sql_port: u16,
    internal_sql_port: u16,
    internal_http_port: u16,
    _temporary: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts on a data directory of its own.
    pub fn start() -> Result<Server> {
        Server::start_with(&[])
    }

    /// As [`Server::start`], with further arguments.
    pub fn start_with(args: &[&str]) -> Result<Server> {
        let temporary = tempfile::tempdir().context("cannot make a data directory")?;
        let data_dir = temporary.path().join("data");
        let mut server = Server::start_in(&data_dir, args)?;
        server._temporary = Some(temporary);
        Ok(server)
    }

    /// Starts on a data directory that outlives the server.
    pub fn start_in(data_dir: &Path, args: &[&str]) -> Result<Server> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (child, ports) = spawn(data_dir, &args)?;
        Ok(Server {
            child,
            data_dir: data_dir.to_owned(),
            args,
            sql_port: ports.sql,
            internal_sql_port: ports.internal_sql,
            internal_http_port: ports.internal_http,
            _temporary: None,
        })
    }

    pub fn sql_port(&self) -> u16 {
        self.sql_port
    }

    pub fn internal_sql_port(&self) -> u16 {
        self.internal_sql_port
    }

    pub fn internal_http_port(&self) -> u16 {
        self.internal_http_port
    }

    /// The value of a metric without labels, as `/metrics` gives it.
    pub fn metric(&self, name: &str) -> Result<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.internal_http_port))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .with_context(|| format!("there is no metric {name}"))?
            .parse()
            .with_context(|| format!("{name} is no count"))
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Pids of the clusterd processes that run for this environment.
    pub fn clusterd_pids(&self) -> Vec<u32> {
        let data_dir = self.data_dir.display().to_string();
        let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let ours = |pid: &u32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            command.contains("clusterd") && command.contains(&data_dir)
        };
        let mut pids: Vec<u32> = pids.filter(ours).collect();
        pids.sort_unstable();
        pids
    }

    /// Kills environmentd with SIGKILL and starts it anew on the same data.
    pub fn kill_and_restart(&mut self) -> Result<()> {
        self.kill();
        self.start_again()
    }

    /// Kills environmentd with SIGKILL.
    pub fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts environmentd on the data of one that has ended.
    pub fn start_again(&mut self) -> Result<()> {
        let (child, ports) = spawn(&self.data_dir, &self.args)?;
        self.child = child;
        self.sql_port = ports.sql;
        self.internal_sql_port = ports.internal_sql;
        self.internal_http_port = ports.internal_http;
        Ok(())
    }

    /// Stops with SIGTERM and returns the exit code.
    pub fn stop(&mut self) -> Result<i32> {
        send_signal(self.child.id(), Signal::TERM);
        let status = self.child.wait().context("cannot wait for environmentd")?;
        status.code().context("environmentd was killed by a signal")
    }

    /// Whether it has ended by itself, and how.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        self.child.try_wait().context("cannot wait for environmentd")
    }

    /// Kills environmentd and its children with SIGKILL.
    pub fn kill_all(&mut self) {
        let children = self.clusterd_pids();
        self.kill();
        children.into_iter().for_each(|pid| send_signal(pid, Signal::KILL));
    }

    /// Connects to the SQL port.
    pub async fn connect(&self) -> Result<Client> {
        self.connect_as("materialize", self.sql_port).await
    }

    pub async fn connect_as(&self, user: &str, port: u16) -> Result<Client> {
        let config = format!("host=127.0.0.1 port={port} user={user} dbname=materialize");
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.context("cannot connect")?;
        tokio::spawn(async move {
            // Ends with an error when the server is killed, which tests do on purpose.
            let _ = connection.await;
        });
        Ok(client)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// Sends a signal; a process that has gone already is as good as signalled.
pub fn send_signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

struct Ports {
    sql: u16,
    internal_sql: u16,
    internal_http: u16,
}

fn spawn(data_dir: &Path, args: &[String]) -> Result<(Child, Ports)> {
    // An old one would be taken for the new one's.
    let _ = std::fs::remove_file(data_dir.join("addresses.json"));
    std::fs::create_dir_all(data_dir)?;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(data_dir.join("environmentd.log"))?;
    let mut command = Command::new(bin_dir().join("environmentd"));
    command.arg("--data-dir").arg(data_dir);
    for listener in ["sql", "http", "internal-sql", "internal-http", "shardctl"] {
        let flag = format!("--{listener}-listen-addr");
        if !args.contains(&flag) {
            command.arg(format!("{flag}=127.0.0.1:0"));
        }
    }
    command.args(args).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn().context("cannot start environmentd; build it first, or set FRESHET_TEST_BIN")?;
    let stdout = child.stdout.take().context("stdout was piped")?;
    let mut lines = BufReader::new(stdout);
    // The line that tells how to connect is the last of the greeting.
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            let status = child.wait()?;
            let mut text = String::new();
            std::fs::File::open(data_dir.join("environmentd.log"))?.read_to_string(&mut text)?;
            bail!("environmentd ended with {status}:\n{text}");
        }
        if line.starts_with("Connect with") {
            break;
        }
    }
    let text = std::fs::read_to_string(data_dir.join("addresses.json")).context("cannot read addresses.json")?;
    let json: serde_json::Value = serde_json::from_str(&text)?;
    let port = |name: &str| -> Result<u16> {
        let address = json[name].as_str().with_context(|| format!("no address of {name}"))?;
        Ok(address.parse::<std::net::SocketAddr>()?.port())
    };
    let ports = Ports { sql: port("sql")?, internal_sql: port("internal_sql")?, internal_http: port("internal_http")? };
    Ok((child, ports))
}

/// Runs statements by the simple protocol and returns all rows as text, NULL as None.
pub async fn rows(client: &Client, sql: &str) -> Result<Rows> {
    let messages = client.simple_query(sql).await.map_err(|error| describe(&error)).with_context(|| sql.to_owned())?;
    let mut rows = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect());
        }
    }
    Ok(rows)
}

/// Rows as text.
pub type Rows = Vec<Vec<Option<String>>>;

/// How long something that is bound to happen may take.
const EVENTUALLY: Duration = Duration::from_secs(90);

/// Asks until the answer is as wanted.
pub async fn eventually(client: &Client, sql: &str, wanted: impl Fn(&Rows) -> bool) -> Result<Rows> {
    let ask = async {
        loop {
            let answer = rows(client, sql).await?;
            if wanted(&answer) {
                return anyhow::Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(EVENTUALLY, ask).await.with_context(|| format!("still not so: {sql}"))?
}

/// The error as the server told it, SQLSTATE first.
pub fn describe(error: &tokio_postgres::Error) -> anyhow::Error {
    match error.as_db_error() {
        Some(db) => anyhow::anyhow!("{} {}: {}", db.severity(), db.code().code(), db.message()),
        None => anyhow::anyhow!("{error}"),
    }
}

/// WARN and ERROR lines of the logs that no test expects.
pub fn unexpected_log_lines(data_dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(data_dir.join("environmentd.log")).unwrap_or_default();
    let bad = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ") || line.contains("panicked");
    let expected = |line: &&str| EXPECTED_LOG_LINES.iter().any(|expected| line.contains(expected));
    text.lines().filter(bad).filter(|line| !expected(line)).map(str::to_owned).collect()
}
