//! Durable COPY of many rows into a new table: Freshet against PostgreSQL with synchronous commit.

use std::fmt::Write;

use anyhow::{Result, ensure};
use serde_json::json;
use system_test::Server;
use system_test::postgres::Postgres;
use tokio_postgres::Client;

use crate::database;
use crate::figure::{Report, median, now};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rows of each COPY.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u32,
    /// In each round every system copies in turn, into a table of its own.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    ensure!(options.rows > 0 && options.rounds > 0, "rows and rounds must be positive");
    let (server, postgres) = (Server::start()?, Postgres::start_peer()?);
    let systems = [("freshet", server.connect().await?), ("postgres", postgres.connect().await?)];
    let text = text(options.rows);
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..options.rounds {
        for ((name, client), rates) in systems.iter().zip(&mut rates) {
            let table = format!("events_{round}");
            database::run(client, &format!("CREATE TABLE {table} (id bigint NOT NULL, name text, price bigint)"))
                .await?;
            let start = now();
            database::copy(client, &table, &text).await?;
            rates.push(f64::from(options.rows) / (now() - start).as_secs_f64());
            verify(name, client, &table, options.rows).await?;
        }
        eprintln!("bench: round {} of {} done", round + 1, options.rounds);
    }
    let sizes = json!({ "workers": 1, "rows": options.rows, "bytes": text.len(), "rounds": options.rounds });
    let report = Report::new("copy", sizes);
    let [ours, theirs] = rates.map(|rates| median(&rates));
    report.print("rows", "freshet", ours, "1/s");
    report.print("rows", "postgres", theirs, "1/s");
    report.print("rows_of_postgres", "freshet", ours / theirs, "x");
    Ok(())
}

/// Lines of about 30 bytes.
fn text(rows: u32) -> String {
    let mut text = String::new();
    for id in 0..u64::from(rows) {
        // Spread as by a hash, so that compression has something to do.
        let spread = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        writeln!(text, "{id}\tname of {spread}\t{}", id * 3).expect("a string takes all");
    }
    text
}

async fn verify(name: &str, client: &Client, table: &str, rows: u32) -> Result<()> {
    let query = format!("SELECT count(*), sum(price)::bigint, count(DISTINCT id) FROM {table}");
    let row = client.query_one(&query, &[]).await.map_err(|error| system_test::server::describe(&error))?;
    let found: [i64; 3] = [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?];
    let rows = i64::from(rows);
    let expected = [rows, 3 * rows * (rows - 1) / 2, rows];
    ensure!(found == expected, "{name}: {table} holds {found:?}, expected {expected:?}");
    Ok(())
}
