//! Kills processes at random during writes, COPY, compaction, DDL and view maintenance: nothing acknowledged is lost, nothing is applied
//! twice, and every view equals its recomputation.
//!
//! `FRESHET_TEST_KILLS` sets the number of kills (20 by default, 200 for a long run), `FRESHET_TEST_SEED` the seed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;
use system_test::Server;
use system_test::ledger::{COPY_ROWS, copy_bulk};
use system_test::server::{rows, send_signal};
use tokio::sync::Mutex;

const ACCOUNTS: i64 = 20;
const WRITERS: usize = 3;
const DEFAULT_KILLS: usize = 20;

/// What the clients know of their writes.
#[derive(Default)]
struct History {
    acknowledged: Mutex<BTreeSet<u64>>,
    /// Sent, but the connection was lost before the answer: applied or not.
    unknown: Mutex<BTreeSet<u64>>,
    next: AtomicU64,
    tables_made: Mutex<BTreeSet<u64>>,
}

const SCHEMA: [&str; 8] = [
    "CREATE TABLE bulk (txid bigint NOT NULL, n bigint NOT NULL, filler text)",
    "CREATE TABLE accounts (id bigint NOT NULL, balance bigint NOT NULL)",
    "CREATE TABLE transfers (txid bigint NOT NULL, source bigint NOT NULL, target bigint NOT NULL, amount bigint NOT NULL)",
    "CREATE MATERIALIZED VIEW moved AS SELECT target AS id, sum(amount) AS amount FROM transfers GROUP BY target",
    "CREATE MATERIALIZED VIEW sent AS SELECT source AS id, sum(amount) AS amount FROM transfers GROUP BY source",
    "CREATE MATERIALIZED VIEW balances AS SELECT a.id, a.balance + coalesce(m.amount, 0) - coalesce(s.amount, 0) AS balance \
     FROM accounts a LEFT JOIN moved m ON a.id = m.id LEFT JOIN sent s ON a.id = s.id",
    "CREATE VIEW total AS SELECT sum(balance) AS total FROM balances",
    "CREATE INDEX total_idx ON total (total)",
];

async fn prepare(server: &Server) -> Result<()> {
    let client = server.connect().await?;
    for statement in SCHEMA {
        client.batch_execute(statement).await.with_context(|| statement.to_owned())?;
    }
    let values: Vec<String> = (0..ACCOUNTS).map(|id| format!("({id}, 1000)")).collect();
    client.batch_execute(&format!("INSERT INTO accounts VALUES {}", values.join(", "))).await?;
    Ok(())
}

/// Writes until told to stop, through every restart.
async fn write(server: Arc<Mutex<Server>>, history: Arc<History>, stop: Arc<AtomicBool>, mut rng: StdRng) {
    while !stop.load(Ordering::SeqCst) {
        let port = server.lock().await.sql_port();
        let config = format!("host=127.0.0.1 port={port} user=materialize dbname=materialize connect_timeout=2");
        let Ok((client, connection)) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let driver = tokio::spawn(connection);
        while !stop.load(Ordering::SeqCst) {
            let txid = history.next.fetch_add(1, Ordering::SeqCst);
            let (source, target) = (rng.random_range(0..ACCOUNTS), rng.random_range(0..ACCOUNTS));
            let amount = rng.random_range(1..50);
            let insert = format!("INSERT INTO transfers VALUES ({txid}, {source}, {target}, {amount})");
            let sql = match rng.random_range(0..4) {
                0 => format!("BEGIN; {insert}; INSERT INTO accounts VALUES ({}, 0); COMMIT", ACCOUNTS + txid as i64),
                1 => format!("CREATE TABLE t{txid} (x int); {insert}"),
                _ => insert,
            };
            history.unknown.lock().await.insert(txid);
            // Large enough for parts of their own, and often enough for compaction.
            let copies = rng.random_range(0..200) == 0;
            let outcome = if copies { copy_bulk(&client, txid).await } else { client.batch_execute(&sql).await };
            match outcome {
                Ok(()) => {
                    // Never in neither: a check may look at any moment.
                    history.acknowledged.lock().await.insert(txid);
                    history.unknown.lock().await.remove(&txid);
                    if !copies && sql.starts_with("CREATE") {
                        history.tables_made.lock().await.insert(txid);
                    }
                }
                Err(error) if error.as_db_error().is_none() => break,
                // An error that the server told is a certain refusal, unless it says that it does not know.
                Err(error) => {
                    let code = error.code().map(|code| code.code().to_owned()).unwrap_or_default();
                    if !matches!(code.as_str(), "08007" | "57P01") {
                        history.unknown.lock().await.remove(&txid);
                    }
                }
            }
        }
        driver.abort();
    }
}

/// Kills environmentd, a clusterd, or both, then waits until the environment answers again.
async fn kill_something(server: &Mutex<Server>, rng: &mut StdRng) -> Result<&'static str> {
    let mut server = server.lock().await;
    let children = server.clusterd_pids();
    let victim = match rng.random_range(0..3) {
        0 => {
            server.kill_and_restart()?;
            "environmentd"
        }
        1 => {
            children.iter().for_each(|pid| send_signal(*pid, Signal::KILL));
            "clusterd"
        }
        _ => {
            children.iter().for_each(|pid| send_signal(*pid, Signal::KILL));
            server.kill_and_restart()?;
            "both"
        }
    };
    Ok(victim)
}

async fn column(server: &Mutex<Server>, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    let client = server.lock().await.connect().await?;
    rows(&client, sql).await
}

/// Every invariant, through tables, a materialized view and an index.
async fn check(server: &Mutex<Server>, history: &History) -> Result<()> {
    let acknowledged = history.acknowledged.lock().await.clone();
    let found = column(server, "SELECT txid, count(*) FROM transfers GROUP BY txid").await?;
    let mut present = BTreeSet::new();
    for row in &found {
        let txid: u64 = row[0].as_deref().context("txid is NOT NULL")?.parse()?;
        assert_eq!(row[1].as_deref(), Some("1"), "transfer {txid} was applied more than once");
        present.insert(txid);
    }
    for row in column(server, "SELECT txid, count(*) FROM bulk GROUP BY txid").await? {
        let txid: u64 = row[0].as_deref().context("txid is NOT NULL")?.parse()?;
        assert_eq!(row[1], Some(COPY_ROWS.to_string()), "COPY {txid} is not whole");
        assert!(present.insert(txid), "transaction {txid} was applied twice");
    }
    let lost: Vec<&u64> = acknowledged.difference(&present).collect();
    assert!(lost.is_empty(), "acknowledged transfers were lost: {lost:?}");
    // Writers go on: what was read may have been acknowledged since. It moves from unknown to acknowledged, so the sets are
    // read in this order.
    let unknown = history.unknown.lock().await.clone();
    let acknowledged = history.acknowledged.lock().await.clone();
    let strange: Vec<u64> =
        present.iter().filter(|id| !acknowledged.contains(id) && !unknown.contains(id)).copied().collect();
    assert!(strange.is_empty(), "refused transfers were applied: {strange:?}");
    let total = column(server, "SELECT total FROM total").await?;
    assert_eq!(total, vec![vec![Some((ACCOUNTS * 1000).to_string())]], "money was made or lost");
    let differences = column(
        server,
        "(SELECT id, amount FROM moved EXCEPT ALL SELECT target, sum(amount) FROM transfers GROUP BY target) UNION ALL \
         (SELECT target, sum(amount) FROM transfers GROUP BY target EXCEPT ALL SELECT id, amount FROM moved)",
    );
    assert_eq!(differences.await?, Vec::<Vec<Option<String>>>::new(), "a view differs from its recomputation");
    let tables_made = history.tables_made.lock().await.clone();
    let tables = column(server, "SELECT name FROM mz_tables WHERE name LIKE 't%' AND id LIKE 'u%'").await?;
    let names: BTreeSet<String> = tables.into_iter().filter_map(|row| row[0].clone()).collect();
    for txid in &tables_made {
        assert!(names.contains(&format!("t{txid}")), "acknowledged table t{txid} was lost");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9() -> Result<()> {
    let seed = system_test::seed();
    let kills = std::env::var("FRESHET_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(DEFAULT_KILLS);
    let mut rng = StdRng::seed_from_u64(seed);
    let server = Server::start()?;
    prepare(&server).await?;
    let server = Arc::new(Mutex::new(server));
    let history = Arc::new(History::default());
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let rng = StdRng::seed_from_u64(rng.random());
        writers.push(tokio::spawn(write(Arc::clone(&server), Arc::clone(&history), Arc::clone(&stop), rng)));
    }
    for kill in 1..=kills {
        // The pause decides what the kill hits: it is the fault's timing, not a wait for something.
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..1500))).await;
        let victim = kill_something(&server, &mut rng).await?;
        if kill % 5 == 0 {
            check(&server, &history).await.with_context(|| format!("after kill {kill} of {victim}"))?;
        }
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await?;
    }
    check(&server, &history).await?;
    let acknowledged = history.acknowledged.lock().await.len();
    eprintln!("{kills} kills, {acknowledged} acknowledged transactions");
    assert!(acknowledged > kills, "the run wrote too little to show anything");
    Ok(())
}
