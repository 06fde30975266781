//! Prepared point SELECTs by an indexed column: Freshet at both isolation levels against PostgreSQL.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::json;
use stdx::Rng;
use system_test::Server;
use system_test::postgres::Postgres;
use tokio_postgres::{Client, Statement};

use crate::database;
use crate::figure::{Report, median, now};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 100_000)]
    rows: u32,
    #[arg(long, default_value_t = 8)]
    clients: u32,
    /// In each round every system answers in turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each system's turn.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The sessions of one system, ready to ask.
struct Contestant {
    name: &'static str,
    sessions: Vec<(Client, Statement)>,
    rates: Vec<f64>,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    ensure!(options.rows > 0 && options.clients > 0 && options.rounds > 0, "rows, clients and rounds must be positive");
    let server = Server::start()?;
    let postgres = Postgres::start_peer()?;
    let text: String = (0..options.rows).map(|id| format!("{id}\t{}\n", value(i64::from(id)))).collect();
    for (client, key) in [
        (server.connect().await?, "CREATE INDEX points_by_id ON points (id)"),
        (postgres.connect().await?, "ALTER TABLE points ADD PRIMARY KEY (id); VACUUM ANALYZE points"),
    ] {
        database::run(&client, "CREATE TABLE points (id bigint NOT NULL, value bigint NOT NULL)").await?;
        database::copy(&client, "points", &text).await?;
        database::execute(&client, key).await?;
    }
    let (mut strict, mut serializable, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.clients {
        strict.push(session(server.connect().await?, "strict serializable").await?);
        serializable.push(session(server.connect().await?, "serializable").await?);
        theirs.push(session(postgres.connect().await?, "read committed").await?);
    }
    let mut contestants =
        [("freshet_strict_serializable", strict), ("freshet_serializable", serializable), ("postgres", theirs)]
            .map(|(name, sessions)| Contestant { name, sessions, rates: Vec::new() });
    let rng = Rng::from_seed(options.seed);
    for round in 0..options.rounds {
        for contestant in &mut contestants {
            contestant.turn(options, &rng).await?;
        }
        eprintln!("bench: round {} of {} done", round + 1, options.rounds);
    }
    print(options, &contestants);
    Ok(())
}

/// The value of a row, so that each answer can be checked.
fn value(id: i64) -> i64 {
    id * 7919 % 1_000_003
}

async fn session(client: Client, isolation: &str) -> Result<(Client, Statement)> {
    // Outside a transaction PostgreSQL ignores it, which the check below would show.
    database::run(&client, &format!("SET transaction_isolation = '{isolation}'")).await?;
    let shown: String = client.query_one("SHOW transaction_isolation", &[]).await?.try_get(0)?;
    ensure!(shown == isolation, "the session reads at {shown}, not {isolation}");
    let statement = client.prepare("SELECT value FROM points WHERE id = $1").await?;
    Ok((client, statement))
}

impl Contestant {
    /// All sessions ask until the time is over.
    async fn turn(&mut self, options: &Options, rng: &Rng) -> Result<()> {
        let start = now();
        let end = start + std::time::Duration::from_secs(options.seconds);
        let name = self.name;
        let askers = self.sessions.iter().map(|(client, statement)| async move {
            let mut answered = 0_u64;
            while now() < end {
                let id = i64::try_from(rng.below(u64::from(options.rows)))?;
                let row = client.query_one(statement, &[&id]).await?;
                let answer: i64 = row.try_get(0)?;
                ensure!(answer == value(id), "{name} answers {answer} for row {id}, expected {}", value(id));
                answered += 1;
            }
            Ok(answered)
        });
        let answered: u64 = try_join_all(askers).await?.into_iter().sum();
        self.rates.push(answered as f64 / (now() - start).as_secs_f64());
        Ok(())
    }
}

fn print(options: &Options, contestants: &[Contestant; 3]) {
    let report = Report::new(
        "point",
        json!({
            "rows": options.rows, "workers": 1, "clients": options.clients, "rounds": options.rounds,
            "seconds_per_round": options.seconds,
        }),
    );
    let rates = contestants.each_ref().map(|contestant| median(&contestant.rates));
    for (contestant, rate) in contestants.iter().zip(rates) {
        report.print("queries", contestant.name, rate, "1/s");
    }
    for (contestant, rate) in contestants.iter().zip(rates).take(2) {
        report.print("queries_of_postgres", contestant.name, rate / rates[2], "x");
    }
}
