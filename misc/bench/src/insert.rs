//! Durable single-row INSERTs, prepared, each its own transaction: Freshet against PostgreSQL with synchronous commit.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::json;
use system_test::Server;
use system_test::postgres::Postgres;
use tokio_postgres::{Client, Statement};

use crate::database;
use crate::figure::{Report, median, now};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Numbers of clients to measure with.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32])]
    clients: Vec<usize>,
    /// In each round every system inserts in turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each system's turn.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

/// The sessions of one system and what they have inserted.
struct Contestant {
    name: &'static str,
    sessions: Vec<(Client, Statement)>,
    inserted: i64,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    ensure!(
        options.clients.iter().all(|count| *count > 0) && options.rounds > 0,
        "clients and rounds must be positive"
    );
    let server = Server::start()?;
    let postgres = Postgres::start_peer()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for index in 0..options.clients.iter().copied().max().unwrap_or(0) {
        ours.push(session(server.connect().await?, index).await?);
        theirs.push(session(postgres.connect().await?, index).await?);
    }
    let mut contestants =
        [("freshet", ours), ("postgres", theirs)].map(|(name, sessions)| Contestant { name, sessions, inserted: 0 });
    for &clients in &options.clients {
        let mut rates = [Vec::new(), Vec::new()];
        for round in 0..options.rounds {
            for (contestant, rates) in contestants.iter_mut().zip(&mut rates) {
                rates.push(contestant.turn(clients, options.seconds).await?);
            }
            eprintln!("bench: {clients} clients, round {} of {} done", round + 1, options.rounds);
        }
        let report = Report::new(
            "insert",
            json!({
                "workers": 1, "clients": clients, "rounds": options.rounds, "seconds_per_round": options.seconds,
            }),
        );
        let [ours, theirs] = rates.map(|rates| median(&rates));
        report.print("inserts", "freshet", ours, "1/s");
        report.print("inserts", "postgres", theirs, "1/s");
        report.print("inserts_of_postgres", "freshet", ours / theirs, "x");
    }
    for contestant in &contestants {
        contestant.verify().await?;
    }
    Ok(())
}

/// Session 0 makes the table.
async fn session(client: Client, index: usize) -> Result<(Client, Statement)> {
    if index == 0 {
        database::run(&client, "CREATE TABLE events (id bigint NOT NULL, value bigint NOT NULL)").await?;
    }
    let statement = client.prepare("INSERT INTO events VALUES ($1, $2)").await?;
    Ok((client, statement))
}

impl Contestant {
    /// The first `clients` sessions insert until the time is over; returns the inserts per second.
    async fn turn(&mut self, clients: usize, seconds: u64) -> Result<f64> {
        let next = std::cell::Cell::new(self.inserted);
        let start = now();
        let end = start + std::time::Duration::from_secs(seconds);
        let next_id = &next;
        let inserters = self.sessions.iter().take(clients).map(|(client, statement)| async move {
            while now() < end {
                let id = next_id.replace(next_id.get() + 1);
                let inserted = client.execute(statement, &[&id, &(id * 3)]).await?;
                ensure!(inserted == 1, "an INSERT of one row reports {inserted}");
            }
            Ok(())
        });
        try_join_all(inserters).await?;
        let rate = (next.get() - self.inserted) as f64 / (now() - start).as_secs_f64();
        self.inserted = next.get();
        Ok(rate)
    }

    /// Every acknowledged row is there, once.
    async fn verify(&self) -> Result<()> {
        let (client, _) = &self.sessions[0];
        let query =
            "SELECT count(*), count(DISTINCT id), coalesce(max(id), -1), coalesce(sum(value), 0)::bigint FROM events";
        let row = client.query_one(query, &[]).await.map_err(|error| system_test::server::describe(&error))?;
        let found: [i64; 4] = [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?];
        let count = self.inserted;
        let expected = [count, count, count - 1, 3 * count * (count - 1) / 2];
        ensure!(found == expected, "{}: the table holds {found:?}, expected {expected:?}", self.name);
        Ok(())
    }
}
