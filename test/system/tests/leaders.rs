//! Several environmentd processes on one log that nobody can lock: exactly one acknowledges, the others stand by, and one of
//! them takes over when the leader dies or sleeps for longer than a lease.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use system_test::postgres::Postgres;
use system_test::server::{bin_dir, describe, rows, send_signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::{Client, NoTls};

const LEASE: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(120);

/// An environmentd that may not be leading. Killed when dropped; its children end with it.
struct Contender {
    child: Child,
    data_dir: PathBuf,
    sql_port: u16,
    http_port: u16,
}

impl Drop for Contender {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Contender {
    async fn start(data_dir: &Path, stores: &[String]) -> Result<Contender> {
        std::fs::create_dir_all(data_dir)?;
        let log = std::fs::File::create(data_dir.join("environmentd.log"))?;
        let mut command = Command::new(bin_dir().join("environmentd"));
        command.arg("--data-dir").arg(data_dir).args(stores);
        command.arg(format!("--log-lease-ms={}", LEASE.as_millis()));
        for listener in ["sql", "http", "internal-sql", "internal-http", "shardctl"] {
            command.arg(format!("--{listener}-listen-addr=127.0.0.1:0"));
        }
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().context("cannot start environmentd")?;
        let addresses = data_dir.join("addresses.json");
        until("the addresses", async || {
            if let Some(status) = child.try_wait()? {
                bail!(
                    "environmentd ended with {status}: {}",
                    std::fs::read_to_string(data_dir.join("environmentd.log"))?
                );
            }
            Ok(addresses.exists())
        })
        .await?;
        let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&addresses)?)?;
        let port = |name: &str| -> Result<u16> {
            let address = json[name].as_str().with_context(|| format!("no address of {name}"))?;
            Ok(address.parse::<std::net::SocketAddr>()?.port())
        };
        let (sql_port, http_port) = (port("sql")?, port("internal_http")?);
        Ok(Contender { child, data_dir: data_dir.to_owned(), sql_port, http_port })
    }

    /// Status and body.
    async fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.http_port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let status = text.split(' ').nth(1).context("no status line")?.parse()?;
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        Ok((status, body))
    }

    async fn readyz_is(&self, status: u16, text: &str) -> Result<()> {
        let what = format!("{status} {text:?}");
        until(&what, async || {
            let (found, body) = self.get("/api/readyz").await?;
            Ok(found == status && body.contains(text))
        })
        .await
        .with_context(|| self.log())
    }

    async fn connect(&self) -> Result<Client> {
        let config = format!("host=127.0.0.1 port={} user=materialize dbname=materialize", self.sql_port);
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.map_err(|error| describe(&error))?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.data_dir.join("environmentd.log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        send_signal(self.child.id(), signal);
    }

    /// Whether every thread has stopped (proc(5): state T).
    fn is_stopped(&self) -> Result<bool> {
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let stat = std::fs::read_to_string(thread?.path().join("stat"))?;
            // The name, in parentheses, may hold anything.
            let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
            if state != Some('T') {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn ended(&mut self) -> Result<ExitStatus> {
        let mut status = None;
        let child = &mut self.child;
        until("the end of the process", async || {
            status = child.try_wait()?;
            Ok(status.is_some())
        })
        .await?;
        status.context("it has ended")
    }
}

/// Asks again and again, for there is no event to wait for across processes.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !holds().await? {
        ensure!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn numbers(client: &Client) -> Result<Vec<String>> {
    let rows = rows(client, "SELECT n FROM numbers ORDER BY n").await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

async fn one_leads(directory: &Path, log_url: &str) -> Result<()> {
    let blobs = format!("--blob-url=file:{}", directory.join("blobs").display());
    let stores = [format!("--log-url={log_url}"), blobs];
    let mut first = Contender::start(&directory.join("first"), &stores).await?;
    first.readyz_is(200, "ready").await?;
    let client = first.connect().await?;
    client.batch_execute("CREATE TABLE numbers (n int NOT NULL); INSERT INTO numbers VALUES (1)").await?;

    let second = Contender::start(&directory.join("second"), &stores).await?;
    second.readyz_is(503, "standing by: the leader of epoch 1").await?;
    assert_eq!(second.get("/api/livez").await?.0, 200);
    let refused = second.connect().await.err().context("it does not lead")?.to_string();
    assert!(refused.contains("57P03"), "{refused}");
    assert!(second.log().contains("standing by"), "{}", second.log());
    client.batch_execute("INSERT INTO numbers VALUES (2)").await?;

    let killed = Instant::now();
    first.child.kill()?;
    first.child.wait()?;
    until("a leader", async || Ok(second.log().contains("leading the log"))).await?;
    let took = killed.elapsed();
    println!("{log_url}: took over {took:?} after the kill; the lease is {LEASE:?}");
    assert!(took <= LEASE * 2, "{took:?}");
    second.readyz_is(200, "ready").await?;
    let client = second.connect().await?;
    assert_eq!(numbers(&client).await?, ["1", "2"]);
    client.batch_execute("INSERT INTO numbers VALUES (3)").await?;

    sleeper_acknowledges_nothing(directory, &stores, second, client).await
}

/// The leader is stopped for longer than its lease, and goes on when another one has taken over.
async fn sleeper_acknowledges_nothing(
    directory: &Path,
    stores: &[String],
    mut sleeper: Contender,
    writer: Client,
) -> Result<()> {
    let reader = sleeper.connect().await?;
    let third = Contender::start(&directory.join("third"), stores).await?;
    third.readyz_is(503, "standing by: the leader of epoch 2").await?;
    sleeper.signal(Signal::STOP);
    // The signal is on its way to many threads: until all have stopped, the process may well answer.
    until("the stop of every thread", async || sleeper.is_stopped()).await?;
    let write = tokio::spawn(async move { writer.batch_execute("INSERT INTO numbers VALUES (5)").await });
    let read = tokio::spawn(async move { numbers(&reader).await });
    third.readyz_is(200, "ready").await?;
    let client = third.connect().await?;
    client.batch_execute("INSERT INTO numbers VALUES (4)").await?;
    assert_eq!(numbers(&client).await?, ["1", "2", "3", "4"]);

    sleeper.signal(Signal::CONT);
    let status = sleeper.ended().await?;
    assert_eq!(status.code(), Some(1), "{}", sleeper.log());
    assert!(sleeper.log().contains("fenced: the leader of epoch 3 has taken over"), "{}", sleeper.log());
    let written = write.await?;
    assert!(written.is_err(), "a fenced leader has acknowledged a write");
    let read = read.await?;
    assert!(read.is_err(), "a fenced leader has answered a strict read: {read:?}");
    assert_eq!(numbers(&client).await?, ["1", "2", "3", "4"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_on_a_directory_of_objects_one_leads() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let log = format!("file:{}", directory.path().join("log").display());
    one_leads(directory.path(), &log).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_on_postgresql_one_leads() -> Result<()> {
    let postgres = Postgres::start_durable()?;
    let directory = tempfile::tempdir()?;
    let host = postgres.host().replace('/', "%2F");
    one_leads(directory.path(), &format!("postgres://postgres@{host}/postgres?log=test")).await
}
