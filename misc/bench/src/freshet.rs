//! Freshet under W1: an indexed view, read by a strict serializable SELECT.

use anyhow::{Result, ensure};
use system_test::Server;
use tokio_postgres::{Client, Statement};

use crate::database;
use crate::figure::{ms_since, now, resident_bytes};
use crate::workload::{Answer, Batch, CopyText, VIEW};

pub(crate) struct Freshet {
    client: Client,
    query: Statement,
    // Last: the client says good-bye to a server that still runs.
    server: Server,
}

/// What one batch cost.
pub(crate) struct Cost {
    /// First statement sent until the last is acknowledged as durable.
    pub(crate) write_ms: f64,
    /// The SELECT after it.
    pub(crate) read_ms: f64,
}

impl Freshet {
    /// Starts a server, loads it, and returns with the first complete answer and the time that took, without the start.
    pub(crate) async fn load(text: &CopyText) -> Result<(Freshet, Answer, f64)> {
        let server = Server::start()?;
        let client = server.connect().await?;
        let isolation = client.query_one("SHOW transaction_isolation", &[]).await?;
        ensure!(isolation.get::<_, &str>(0) == "strict serializable", "reads must be strict serializable by default");
        let start = now();
        database::execute(&client, database::TABLES).await?;
        database::copy_tables(&client, text).await?;
        let views = format!(
            "CREATE INDEX bids_by_id ON bids (id); CREATE VIEW averages AS {VIEW}; \
             CREATE INDEX averages_by_category ON averages (category)"
        );
        database::execute(&client, &views).await?;
        let query = client.prepare("SELECT category, total, auctions FROM averages").await?;
        let answer = database::answer(&client, &query).await?;
        let load_ms = ms_since(start);
        Ok((Freshet { client, query, server }, answer, load_ms))
    }

    /// Applies a batch and reads the view.
    pub(crate) async fn step(&self, batch: &Batch) -> Result<(Answer, Cost)> {
        let statements = batch.statements();
        let start = now();
        // Each commits by itself: only INSERT may join a transaction block so far.
        for statement in &statements {
            database::run(&self.client, statement).await?;
        }
        let write_ms = ms_since(start);
        let start = now();
        let answer = database::answer(&self.client, &self.query).await?;
        Ok((answer, Cost { write_ms, read_ms: ms_since(start) }))
    }

    /// Resident bytes of environmentd and of all clusterd processes.
    pub(crate) fn resident_bytes(&self) -> Result<(u64, u64)> {
        let clusterd: u64 = self.server.clusterd_pids().into_iter().map(resident_bytes).sum::<Result<u64>>()?;
        Ok((resident_bytes(self.server.pid())?, clusterd))
    }

    /// Timely workers of the replica that maintains the view.
    pub(crate) fn workers(&self) -> Result<u64> {
        let pids = self.server.clusterd_pids();
        let mut workers = 0;
        for pid in pids {
            let command = std::fs::read(format!("/proc/{pid}/cmdline"))?;
            let command = String::from_utf8_lossy(&command).into_owned();
            let count = command.split('\0').find_map(|arg| arg.strip_prefix("--workers="));
            workers = workers.max(count.and_then(|count| count.parse().ok()).unwrap_or(1));
        }
        Ok(workers)
    }
}
