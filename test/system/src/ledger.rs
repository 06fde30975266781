//! Clients that write until the environment goes away, and know of each transaction what they were told.
//!
//! A transaction adds its number to two tables at once, or copies many rows into a third. Afterwards every acknowledged
//! one must be there once and whole, every refused one must not be, and all others are whole or absent.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::SinkExt;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::server::rows;

/// Rows of one COPY: more than fit into a log entry.
pub const COPY_ROWS: u64 = 5000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Acknowledged,
    Refused,
}

/// What a client knows of one transaction.
#[derive(Clone, Copy, Debug)]
struct Transaction {
    told: Told,
    begun: SystemTime,
    answered: SystemTime,
}

/// What the clients know.
#[derive(Default)]
pub struct Ledger {
    transactions: Mutex<BTreeMap<u64, Transaction>>,
    /// How often each SQLSTATE was answered.
    refusals: Mutex<BTreeMap<String, u64>>,
    next: AtomicU64,
    stop: AtomicBool,
}

impl Ledger {
    pub async fn prepare(&self, client: &Client) -> Result<()> {
        for table in ["debits", "credits"] {
            client.batch_execute(&format!("CREATE TABLE {table} (txid bigint NOT NULL)")).await?;
        }
        client.batch_execute("CREATE TABLE bulk (txid bigint NOT NULL, n bigint NOT NULL, filler text)").await?;
        client
            .batch_execute(
                "CREATE MATERIALIZED VIEW both AS SELECT count(*) AS n FROM debits d JOIN credits c ON d.txid = c.txid",
            )
            .await?;
        Ok(())
    }

    pub fn acknowledged(&self) -> usize {
        self.count(Told::Acknowledged)
    }

    fn count(&self, told: Told) -> usize {
        self.transactions.lock().values().filter(|transaction| transaction.told == told).count()
    }

    /// How often the server answered with this SQLSTATE.
    pub fn refusals(&self, code: &str) -> u64 {
        self.refusals.lock().get(code).copied().unwrap_or(0)
    }

    /// When the newest acknowledged transaction was begun.
    pub fn last_acknowledged_begin(&self) -> Option<SystemTime> {
        let transactions = self.transactions.lock();
        let acknowledged = transactions.values().filter(|transaction| transaction.told == Told::Acknowledged);
        acknowledged.map(|transaction| transaction.begun).max()
    }

    /// Takes what was answered after `since` for unknown: the answer may rest on a sync that the fault itself has spoiled.
    pub fn doubt(&self, since: SystemTime) -> usize {
        let mut transactions = self.transactions.lock();
        let late = transactions.values_mut().filter(|transaction| transaction.answered >= since);
        late.map(|transaction| transaction.told = Told::Nothing).count()
    }

    /// Starts writers that go on until the connection is lost or [`Ledger::stop`].
    pub fn start(self: &Arc<Self>, port: u16, writers: usize, rng: &mut StdRng) -> Vec<JoinHandle<()>> {
        self.stop.store(false, Ordering::SeqCst);
        let start = |_| tokio::spawn(Arc::clone(self).write(port, StdRng::seed_from_u64(rng.random())));
        (0..writers).map(start).collect()
    }

    /// Lets writers end after their transaction. Whoever waits for an answer that never comes is aborted by the caller.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    async fn write(self: Arc<Self>, port: u16, mut rng: StdRng) {
        let config = format!("host=127.0.0.1 port={port} user=materialize dbname=materialize connect_timeout=5");
        let Ok((client, connection)) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await else { return };
        let driver = tokio::spawn(connection);
        while !self.stop.load(Ordering::SeqCst) {
            let copies = rng.random_range(0..100) == 0;
            if self.transact(&client, copies).await.is_err() {
                break;
            }
        }
        driver.abort();
    }

    /// One transaction. An error means that the connection is lost.
    pub async fn transact(&self, client: &Client, copies: bool) -> Result<()> {
        let txid = self.next.fetch_add(1, Ordering::SeqCst);
        let begun = SystemTime::now();
        let end = |told| {
            let answered = SystemTime::now();
            self.transactions.lock().insert(txid, Transaction { told, begun, answered });
        };
        end(Told::Nothing);
        let outcome = if copies {
            copy_bulk(client, txid).await
        } else {
            let sql = format!("BEGIN; INSERT INTO debits VALUES ({txid}); INSERT INTO credits VALUES ({txid}); COMMIT");
            client.batch_execute(&sql).await
        };
        let Err(error) = outcome else {
            end(Told::Acknowledged);
            return Ok(());
        };
        let Some(code) = error.code().map(|code| code.code().to_owned()) else {
            return Err(error).context("the connection is lost");
        };
        // These say that nobody knows.
        if !matches!(code.as_str(), "08007" | "57P01") {
            end(Told::Refused);
        }
        *self.refusals.lock().entry(code).or_insert(0) += 1;
        // An error within a block leaves it open.
        client.batch_execute("ROLLBACK").await.or_else(|error| error.code().map(drop).ok_or(error))?;
        Ok(())
    }

    /// Compares what is there with what the clients know. No writer may be running.
    pub async fn check(&self, client: &Client) -> Result<()> {
        let debits = numbers(client, "debits").await?;
        ensure!(debits == numbers(client, "credits").await?, "half a transaction is there");
        let bulk = numbers(client, "bulk").await?;
        for (txid, count) in &debits {
            ensure!(*count == 1, "transaction {txid} was applied {count} times");
        }
        for (txid, count) in &bulk {
            ensure!(*count == COPY_ROWS, "{count} rows of COPY {txid} are there");
        }
        let present: BTreeSet<u64> = debits.keys().chain(bulk.keys()).copied().collect();
        let transactions = self.transactions.lock().clone();
        for (txid, Transaction { told, .. }) in &transactions {
            let there = present.contains(txid);
            ensure!(*told != Told::Acknowledged || there, "acknowledged transaction {txid} is lost");
            ensure!(*told != Told::Refused || !there, "refused transaction {txid} is there");
        }
        let strange: Vec<&u64> = present.iter().filter(|txid| !transactions.contains_key(txid)).collect();
        ensure!(strange.is_empty(), "nobody has written {strange:?}");
        let view = rows(client, "SELECT n FROM both").await?;
        ensure!(view == vec![vec![Some(debits.len().to_string())]], "the view shows {view:?} of {}", debits.len());
        Ok(())
    }
}

/// Copies the rows of one transaction into the table `bulk`.
pub async fn copy_bulk(client: &Client, txid: u64) -> Result<(), tokio_postgres::Error> {
    let sink = client.copy_in::<_, Bytes>("COPY bulk FROM STDIN").await?;
    let mut sink = pin!(sink);
    // Nothing that can be compressed, so that the rows do not fit into the log entry.
    let mut rng = StdRng::seed_from_u64(txid);
    let line = |n| format!("{txid}\t{n}\t{:016x}{:016x}{:016x}\n", rng.next_u64(), rng.next_u64(), rng.next_u64());
    let lines: String = (0..COPY_ROWS).map(line).collect();
    sink.send(Bytes::from(lines)).await?;
    sink.finish().await.map(drop)
}

/// How many rows each transaction has in a table.
async fn numbers(client: &Client, table: &str) -> Result<BTreeMap<u64, u64>> {
    let mut numbers = BTreeMap::new();
    for row in rows(client, &format!("SELECT txid, count(*) FROM {table} GROUP BY txid")).await? {
        let number = |column: usize| row[column].as_deref().context("never NULL")?.parse::<u64>().context("a number");
        numbers.insert(number(0)?, number(1)?);
    }
    Ok(numbers)
}
