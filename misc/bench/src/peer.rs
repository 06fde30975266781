//! PostgreSQL 15 under W1, durable: the plain view is queried anew, and a materialized view is refreshed and read.

use anyhow::Result;
use system_test::postgres::Postgres;
use tokio_postgres::{Client, Statement};

use crate::database;
use crate::figure::{ms_since, now};
use crate::workload::{Answer, Batch, CopyText, VIEW};

pub(crate) struct Peer {
    client: Client,
    plain: Statement,
    materialized: Statement,
    // Last: the client says good-bye to a server that still runs.
    _postgres: Postgres,
}

/// What one batch cost.
pub(crate) struct Cost {
    /// The transaction of the three statements.
    pub(crate) write_ms: f64,
    /// The plain view's query after it.
    pub(crate) query_ms: f64,
    /// REFRESH MATERIALIZED VIEW and reading it.
    pub(crate) refresh_ms: f64,
}

impl Peer {
    /// Starts a server, loads it, and returns with the first complete answer and the time that took, without the start.
    pub(crate) async fn load(text: &CopyText) -> Result<(Peer, Answer, f64)> {
        let postgres = Postgres::start_peer()?;
        let client = postgres.connect().await?;
        let start = now();
        database::execute(&client, database::TABLES).await?;
        database::copy_tables(&client, text).await?;
        let views = format!(
            "ALTER TABLE bids ADD PRIMARY KEY (id); ALTER TABLE auctions ADD PRIMARY KEY (id); \
             CREATE VIEW averages AS {VIEW}; CREATE MATERIALIZED VIEW kept AS {VIEW}"
        );
        database::execute(&client, &views).await?;
        let materialized = client.prepare("SELECT category, total, auctions FROM kept").await?;
        let answer = database::answer(&client, &materialized).await?;
        let load_ms = ms_since(start);
        // What autovacuum would do a minute later, so that every batch is planned alike.
        database::run(&client, "VACUUM ANALYZE").await?;
        let plain = client.prepare("SELECT category, total, auctions FROM averages").await?;
        Ok((Peer { client, plain, materialized, _postgres: postgres }, answer, load_ms))
    }

    /// Applies a batch and reads both views: the plain one, then the refreshed one.
    pub(crate) async fn step(&self, batch: &Batch) -> Result<([Answer; 2], Cost)> {
        let statements = batch.statements();
        let start = now();
        database::run(&self.client, "BEGIN").await?;
        for statement in &statements {
            database::run(&self.client, statement).await?;
        }
        database::run(&self.client, "COMMIT").await?;
        let write_ms = ms_since(start);
        let start = now();
        let plain = database::answer(&self.client, &self.plain).await?;
        let query_ms = ms_since(start);
        let start = now();
        database::run(&self.client, "REFRESH MATERIALIZED VIEW kept").await?;
        let refreshed = database::answer(&self.client, &self.materialized).await?;
        let refresh_ms = ms_since(start);
        Ok(([plain, refreshed], Cost { write_ms, query_ms, refresh_ms }))
    }
}
