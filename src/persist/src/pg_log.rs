//! The log in a PostgreSQL database: one row for each entry, inserted if absent.
//!
//! Two tables serve any number of logs: `freshet_log_entry (log, seq, stored_at, entry)` and
//! `freshet_log_checkpoint (log, upto, epoch, nonce, checkpoint)`, whose bytes are those of every log. A row that our session
//! reports as inserted is durable, for the session sets `synchronous_commit`. Whatever else happens to an insert leaves its
//! outcome open until `read` decides. The database must keep what it has acknowledged: a failover to an asynchronous standby
//! does not.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use stdx::{Backoff, Elapsed, Task, Tasks, with_causes};
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{debug, warn};

use crate::log::{Append, CHECKPOINTS_KEPT, Checkpoint, Entry, Log, LogError, Slot, check_tail};
use crate::pg_tls::{self, Mode};

/// Entries younger than this are not truncated, by the server's clock.
const TRUNCATE_AGE: Duration = Duration::from_secs(3600);
/// A request that takes longer has an unknown outcome, and its connection is given up. Less than a lease, so that a leader
/// whose server hangs asks again while it still leads.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The same for what moves a whole state.
const BULK_MAX: Duration = Duration::from_secs(120);
/// A follower asks at these intervals, ever longer while nothing comes.
const POLL_FIRST: Duration = Duration::from_millis(10);
const POLL_LONGEST: Duration = Duration::from_secs(1);
/// The log's name within its database, unless the URL has another under `log`.
const DEFAULT_NAME: &str = "environment";

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS freshet_log_entry (
        log text NOT NULL,
        seq bigint NOT NULL,
        stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        entry bytea NOT NULL,
        PRIMARY KEY (log, seq));
    CREATE TABLE IF NOT EXISTS freshet_log_checkpoint (
        log text NOT NULL,
        upto bigint NOT NULL,
        epoch bigint NOT NULL,
        nonce bytea NOT NULL,
        checkpoint bytea NOT NULL,
        PRIMARY KEY (log, upto, epoch, nonce));
    -- Both are compressed already, or too small for it.
    ALTER TABLE freshet_log_entry ALTER COLUMN entry SET STORAGE EXTERNAL;
    ALTER TABLE freshet_log_checkpoint ALTER COLUMN checkpoint SET STORAGE EXTERNAL;";
const INSERT: &str = "
    INSERT INTO freshet_log_entry (log, seq, entry) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
    RETURNING (extract(epoch FROM stored_at) * 1000000)::bigint";
/// One statement sees one state of both tables, so the checkpoint is not older than the entry.
const READ: &str = "
    SELECT (SELECT entry FROM freshet_log_entry WHERE log = $1 AND seq = $2),
           (SELECT max(upto) FROM freshet_log_checkpoint WHERE log = $1)";
const NEWEST_CHECKPOINTS: &str = "
    SELECT upto, epoch, nonce FROM freshet_log_checkpoint WHERE log = $1
    ORDER BY upto DESC, epoch DESC, nonce DESC";
const CHECKPOINT: &str = "
    SELECT checkpoint FROM freshet_log_checkpoint WHERE log = $1 AND upto = $2 AND epoch = $3 AND nonce = $4";
const ENTRIES: &str = "SELECT seq, entry FROM freshet_log_entry WHERE log = $1 AND seq > $2 ORDER BY seq";
const INSERT_CHECKPOINT: &str = "
    INSERT INTO freshet_log_checkpoint (log, upto, epoch, nonce, checkpoint) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING";
const FORGET_CHECKPOINTS: &str = "
    DELETE FROM freshet_log_checkpoint WHERE log = $1 AND (upto, epoch, nonce) NOT IN (
        SELECT upto, epoch, nonce FROM freshet_log_checkpoint WHERE log = $1
        ORDER BY upto DESC, epoch DESC, nonce DESC LIMIT $2)";
/// Without a checkpoint the comparison is with NULL, and nothing goes.
const TRUNCATE: &str = "
    DELETE FROM freshet_log_entry
    WHERE log = $1 AND seq <= $2
    AND seq <= (SELECT min(upto) FROM (SELECT upto FROM freshet_log_checkpoint WHERE log = $1
                                       ORDER BY upto DESC, epoch DESC, nonce DESC LIMIT $3) AS kept)
    AND stored_at <= clock_timestamp() - make_interval(secs => $4)";

/// A log in a PostgreSQL database.
pub struct PgLog {
    config: Config,
    tls: MakeRustlsConnect,
    /// The log within the database.
    log: String,
    /// For messages: the server and the database, without the password.
    name: String,
    truncate_age: Duration,
    tasks: Tasks,
    /// Appends, reads, and what takes long do not wait for one another.
    appending: Link,
    reading: Link,
    bulk: Link,
}

type Link = Mutex<Option<Session>>;

struct Session {
    client: Client,
    insert: Statement,
    read: Statement,
    _connection: Task,
}

impl PgLog {
    /// Opens, and makes if need be, the log that a `postgres://` URL names, with `log=<name>` as an option of ours.
    ///
    /// Errors: `Broken`, saying what is wrong, also if the server cannot be reached; never with the password.
    pub async fn open(url: &str, tasks: Tasks) -> Result<PgLog, LogError> {
        let Parsed { config, log, mode, root_cert } = parse(url).map_err(LogError::Broken)?;
        let tls = pg_tls::connector(mode, root_cert.as_deref()).map_err(LogError::Broken)?;
        let name = format!("{} log {log:?}", server_of(&config));
        let link = || Mutex::new(None);
        let (appending, reading, bulk) = (link(), link(), link());
        let log = PgLog { config, tls, log, name, truncate_age: TRUNCATE_AGE, tasks, appending, reading, bulk };
        let cannot = |cause: String| LogError::Broken(format!("cannot open {}: {cause}", log.name));
        let connected = log.connect().await.map_err(cannot)?;
        *log.reading.lock().await = Some(connected);
        Ok(log)
    }

    /// The same log with another minimum age of truncated entries, for tests.
    pub fn with_truncate_age(self, truncate_age: Duration) -> PgLog {
        PgLog { truncate_age, ..self }
    }

    async fn connect(&self) -> Result<Session, String> {
        match self.tasks.timeout(ANSWER_MAX, self.try_connect()).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(describe(&error)),
            Err(Elapsed) => Err(format!("no answer within {ANSWER_MAX:?}")),
        }
    }

    async fn try_connect(&self) -> Result<Session, tokio_postgres::Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        let driving = self.tasks.spawn("pg-log-connection", async move {
            if let Err(error) = connection.await {
                debug!(error = describe(&error), "a connection of the log has ended");
            }
        });
        client.batch_execute("SET synchronous_commit = on; SET client_min_messages = warning").await?;
        let insert = match client.prepare(INSERT).await {
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                // Two that make them at once would be in each other's way.
                let lock = "BEGIN; SELECT pg_advisory_xact_lock(hashtext('freshet_log'));";
                client.batch_execute(&format!("{lock} {TABLES} COMMIT")).await?;
                client.prepare(INSERT).await?
            }
            prepared => prepared?,
        };
        let read = client.prepare(READ).await?;
        Ok(Session { client, insert, read, _connection: driving })
    }

    /// A session that is open, as far as one can know.
    async fn session<'a>(&self, link: &'a Link, what: &str) -> Result<MutexGuard<'a, Option<Session>>, LogError> {
        let mut session = link.lock().await;
        if session.as_ref().is_none_or(|session| session.client.is_closed()) {
            *session = None;
            match self.connect().await {
                Ok(connected) => *session = Some(connected),
                Err(cause) => return Err(LogError::Indeterminate(format!("{}: {what}: {cause}", self.name))),
            }
        }
        Ok(session)
    }

    /// What an answer, or the lack of one, means. A session that gave none is given up.
    fn judge<T>(
        &self,
        session: &mut Option<Session>,
        what: &str,
        answer: Result<Result<T, tokio_postgres::Error>, Elapsed>,
    ) -> Result<T, LogError> {
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if error.as_db_error().is_none() {
                    *session = None;
                }
                Err(self.failed(what, &error))
            }
            Err(Elapsed) => {
                *session = None;
                Err(LogError::Indeterminate(format!("{}: {what}: no answer in time", self.name)))
            }
        }
    }

    fn failed(&self, what: &str, error: &tokio_postgres::Error) -> LogError {
        let text = format!("{}: {what}: {}", self.name, describe(error));
        let Some(code) = error.code() else { return LogError::Indeterminate(text) };
        match code.code() {
            "53100" => LogError::DiskFull(text),
            "XX001" | "XX002" => LogError::Corrupt(text),
            // Tables that are gone, rights that were taken away: asking again does not help.
            code if code.starts_with("42") => LogError::Broken(text),
            _ => LogError::Indeterminate(text),
        }
    }

    fn of_slot(&self, error: LogError) -> LogError {
        match error {
            LogError::Corrupt(cause) => LogError::Corrupt(format!("{}: {cause}", self.name)),
            LogError::Newer(cause) => LogError::Newer(format!("{}: {cause}", self.name)),
            other => other,
        }
    }

    async fn read_with(&self, session: &mut Option<Session>, seq: u64) -> Result<Slot, LogError> {
        let what = format!("slot {seq}");
        let answer = {
            let Session { client, read, .. } = session.as_ref().expect("a session is open");
            self.tasks.timeout(ANSWER_MAX, client.query_one(read, &[&self.log, &signed(seq)?])).await
        };
        let row = self.judge(session, &what, answer)?;
        let (entry, newest): (Option<Vec<u8>>, Option<i64>) = (row.get(0), row.get(1));
        if newest.is_some_and(|newest| signed(seq).is_ok_and(|seq| seq <= newest)) {
            return Ok(Slot::Truncated);
        }
        match entry {
            Some(bytes) => Entry::decode(seq, bytes.into()).map(Slot::Present).map_err(|error| self.of_slot(error)),
            None => Ok(Slot::Absent),
        }
    }

    async fn follow(&self, seq: u64) -> Result<Entry, LogError> {
        let mut backoff = Backoff::new(POLL_FIRST, POLL_LONGEST);
        loop {
            match self.read(seq).await? {
                Slot::Present(entry) => return Ok(entry),
                Slot::Truncated => return Err(LogError::Truncated),
                Slot::Absent => self.tasks.sleep(backoff.next_delay()).await,
            }
        }
    }

    /// Everything in one transaction, so that nothing is truncated between the checkpoint and its tail.
    async fn try_load(&self, client: &mut Client) -> Result<Loaded, tokio_postgres::Error> {
        let snapshot = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
        let transaction = snapshot.read_only(true).start().await?;
        let mut loaded = Loaded::default();
        for row in transaction.query(NEWEST_CHECKPOINTS, &[&self.log]).await? {
            let (upto, epoch, nonce): (i64, i64, Vec<u8>) = (row.get(0), row.get(1), row.get(2));
            loaded.newest_upto = loaded.newest_upto.max(upto);
            let row = transaction.query_one(CHECKPOINT, &[&self.log, &upto, &epoch, &nonce]).await?;
            let decoded = Checkpoint::decode(Bytes::from(row.get::<_, Vec<u8>>(0)));
            if let Err(LogError::Corrupt(cause)) = decoded {
                // The one before has its tail still.
                warn!(log = self.name, cause, upto, "skipping a damaged checkpoint");
                continue;
            }
            loaded.checkpoint = Some(decoded);
            break;
        }
        let upto = match &loaded.checkpoint {
            Some(Ok(checkpoint)) => checkpoint.upto,
            _ => 0,
        };
        loaded.entries = transaction.query(ENTRIES, &[&self.log, &i64::try_from(upto).unwrap_or(i64::MAX)]).await?;
        transaction.commit().await?;
        Ok(loaded)
    }
}

#[derive(Default)]
struct Loaded {
    checkpoint: Option<Result<Checkpoint, LogError>>,
    entries: Vec<Row>,
    newest_upto: i64,
}

#[async_trait]
impl Log for PgLog {
    async fn load(&self) -> Result<(Option<Checkpoint>, Vec<Entry>), LogError> {
        let mut session = self.session(&self.bulk, "load").await?;
        let answer = {
            let client = &mut session.as_mut().expect("a session is open").client;
            self.tasks.timeout(BULK_MAX, self.try_load(client)).await
        };
        let Loaded { checkpoint, entries: rows, newest_upto } = self.judge(&mut session, "load", answer)?;
        let checkpoint = checkpoint.transpose().map_err(|error| self.of_slot(error))?;
        let start = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.upto) + 1;
        let seqs = rows.iter().map(|row| unsigned(row.get(0))).collect::<Result<Vec<u64>, LogError>>()?;
        let sound = check_tail(start, seqs.iter().copied(), unsigned(newest_upto)?);
        sound.map_err(|error| self.of_slot(error))?;
        let decode = |(seq, row): (u64, Row)| Entry::decode(seq, Bytes::from(row.get::<_, Vec<u8>>(1)));
        let entries = seqs.into_iter().zip(rows).map(decode).collect::<Result<Vec<Entry>, LogError>>();
        let entries = entries.map_err(|error| self.of_slot(error))?;
        Ok((checkpoint, entries))
    }

    async fn append(&self, entry: Entry) -> Result<Append, LogError> {
        let (what, seq, bytes) = (format!("slot {}", entry.seq), signed(entry.seq)?, entry.encode());
        let mut session = self.session(&self.appending, &what).await.inspect_err(report)?;
        let answer = {
            let Session { client, insert, .. } = session.as_ref().expect("a session is open");
            self.tasks.timeout(ANSWER_MAX, client.query_opt(insert, &[&self.log, &seq, &&bytes[..]])).await
        };
        if let Some(row) = self.judge(&mut session, &what, answer).inspect_err(report)? {
            let stored_at = Duration::from_micros(unsigned(row.get(0))?);
            return Ok(Append::Committed { stored_at: Some(SystemTime::UNIX_EPOCH + stored_at) });
        }
        match self.read_with(&mut session, entry.seq).await? {
            Slot::Present(found) if found == entry => Ok(Append::Committed { stored_at: None }),
            Slot::Present(found) => Ok(Append::Occupied(found)),
            Slot::Absent | Slot::Truncated => {
                Err(LogError::Indeterminate(format!("{}: {what}: lies below the newest checkpoint", self.name)))
            }
        }
    }

    async fn read(&self, seq: u64) -> Result<Slot, LogError> {
        let mut session = self.session(&self.reading, &format!("slot {seq}")).await?;
        self.read_with(&mut session, seq).await
    }

    fn tail(&self, from: u64) -> BoxStream<'_, Result<Entry, LogError>> {
        let next = move |seq: u64| async move {
            let entry = self.follow(seq).await;
            if let Err(LogError::Indeterminate(_)) = &entry {
                // Whoever asks again must not do so at full speed.
                self.tasks.sleep(POLL_LONGEST).await;
            }
            let next = if entry.is_ok() { seq + 1 } else { seq };
            Some((entry, next))
        };
        futures::stream::unfold(from, next).boxed()
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), LogError> {
        let what = format!("checkpoint up to {}", checkpoint.upto);
        let (upto, epoch) = (signed(checkpoint.upto)?, signed(checkpoint.epoch)?);
        let (nonce, bytes) = (checkpoint.nonce.as_bytes().to_vec(), checkpoint.encode());
        let mut session = self.session(&self.bulk, &what).await?;
        let answer = {
            let client = &session.as_ref().expect("a session is open").client;
            let kept = i64::try_from(CHECKPOINTS_KEPT).unwrap_or(i64::MAX);
            let store = async {
                client.execute(INSERT_CHECKPOINT, &[&self.log, &upto, &epoch, &nonce, &&bytes[..]]).await?;
                client.execute(FORGET_CHECKPOINTS, &[&self.log, &kept]).await
            };
            self.tasks.timeout(BULK_MAX, store).await
        };
        self.judge(&mut session, &what, answer).map(|_| ())
    }

    async fn truncate(&self, upto: u64) -> Result<(), LogError> {
        let what = format!("truncation up to {upto}");
        let upto = signed(upto)?;
        let mut session = self.session(&self.bulk, &what).await?;
        let answer = {
            let client = &session.as_ref().expect("a session is open").client;
            let (kept, age) = (i64::try_from(CHECKPOINTS_KEPT).unwrap_or(i64::MAX), self.truncate_age.as_secs_f64());
            self.tasks.timeout(BULK_MAX, client.execute(TRUNCATE, &[&self.log, &upto, &kept, &age])).await
        };
        self.judge(&mut session, &what, answer).map(|_| ())
    }

    /// Nothing stops a second process from writing.
    fn lock_proves_leadership(&self) -> bool {
        false
    }
}

fn report(error: &LogError) {
    warn!(%error, "an append has failed");
}

fn signed(number: u64) -> Result<i64, LogError> {
    i64::try_from(number).map_err(|_| LogError::Broken(format!("{number} is no number of a slot")))
}

fn unsigned(number: i64) -> Result<u64, LogError> {
    u64::try_from(number).map_err(|_| LogError::Corrupt(format!("{number} is no number of a slot")))
}

/// The server's words, or the connection's, with what is behind them.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} ({})", error.message(), error.code().code());
    }
    with_causes(error)
}

/// What a URL says.
struct Parsed {
    config: Config,
    log: String,
    mode: Mode,
    root_cert: Option<String>,
}

/// Takes out of the URL what is for us.
fn parse(url: &str) -> Result<Parsed, String> {
    let (location, query) = url.split_once('?').unwrap_or((url, ""));
    let mut log = DEFAULT_NAME.to_owned();
    let (mut mode, mut root_cert, mut options) = (Mode::Prefer, None, Vec::new());
    for option in query.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("log", name)) => log = log_name(name)?,
            Some(("sslmode", text)) => mode = Mode::of(text)?,
            Some(("sslrootcert", path)) => root_cert = Some(decoded(path)?),
            _ => options.push(option),
        }
    }
    let rest = if options.is_empty() { location.to_owned() } else { format!("{location}?{}", options.join("&")) };
    let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| describe(&error))?;
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    config.ssl_mode(mode.requested());
    if config.get_application_name().is_none() {
        config.application_name("freshet log");
    }
    Ok(Parsed { config, log, mode, root_cert })
}

/// Undoes the percent encoding of an option.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits =
                    [rest.next(), rest.next()].map(|digit| digit.and_then(|digit| char::from(digit).to_digit(16)));
                let [Some(high), Some(low)] = digits else { return Err(format!("{text:?} ends within an escape")) };
                u8::try_from(16 * high + low).map_err(|error| error.to_string())?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not UTF-8"))
}

fn log_name(name: &str) -> Result<String, String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.len() > 200 || !name.chars().all(fits) {
        return Err("the name of a log has letters, digits and -_. only".to_owned());
    }
    Ok(name.to_owned())
}

fn server_of(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
    let port = if ports.is_empty() { String::new() } else { format!(":{}", ports.join(",")) };
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres://{}{port}/{database}", hosts.collect::<Vec<String>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_server_database_and_log() {
        let named = parse("postgres://user:hunter2@one:5433/base?log=staging&connect_timeout=3").unwrap();
        assert_eq!((server_of(&named.config).as_str(), named.log.as_str()), ("postgres://one:5433/base", "staging"));
        assert_eq!((named.mode, named.root_cert), (Mode::Prefer, None));
        let plain = parse("postgres://user@%2Frun%2Fpostgresql/base?sslmode=disable").unwrap();
        assert_eq!(
            (server_of(&plain.config).as_str(), plain.log.as_str(), plain.mode),
            ("postgres:///run/postgresql:5432/base", "environment", Mode::Disable)
        );
        let full = parse("postgres://one/base?sslmode=verify-full&sslrootcert=%2Fetc%2Fa%20b.pem&log=l").unwrap();
        assert_eq!((full.mode, full.root_cert.as_deref()), (Mode::VerifyFull, Some("/etc/a b.pem")));
        assert_eq!(full.config.get_ssl_mode(), tokio_postgres::config::SslMode::Require);
    }

    #[test]
    fn what_is_not_understood_is_refused_without_the_password() {
        for (url, expected) in [
            ("postgres://user:hunter2@one/base?sslmode=allow", "is none of"),
            ("postgres://user:hunter2@one/base?sslrootcert=%2", "escape"),
            ("postgres://user:hunter2@one/base?log=a%20b", "the name of a log"),
            ("postgres://user:hunter2@one/base?colour=red", "colour"),
            ("postgres://user:hunter2@one:port/base", "port"),
        ] {
            let error = parse(url).map(|_| ()).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
