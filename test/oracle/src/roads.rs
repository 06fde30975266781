//! The two databases, and the roads by which Freshet answers.

use std::time::Duration;

use anyhow::{Context, Result};
use system_test::Server;
use system_test::postgres::Postgres;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::answer::{Answer, Failure};

/// How long a statement may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A way to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// The interpreter in this process, on what the planner makes.
    Interpreter,
    /// The interpreter in this process, on what the optimizer makes of that.
    Optimizer,
    /// A SELECT with a dataflow of its own.
    OneOff,
    /// A view with an index, over other views with indexes.
    IndexedView,
    /// A materialized view over materialized views.
    MaterializedView,
    /// What a SUBSCRIBE told, added up.
    Subscription,
}

impl Road {
    pub const ALL: [Road; 6] = [
        Road::Interpreter,
        Road::Optimizer,
        Road::OneOff,
        Road::IndexedView,
        Road::MaterializedView,
        Road::Subscription,
    ];

    /// True if it needs no server.
    pub(crate) fn is_in_process(self) -> bool {
        matches!(self, Road::Interpreter | Road::Optimizer)
    }

    /// The prefix of the names of its views, and what they are.
    pub(crate) fn views(self) -> (&'static str, &'static str) {
        match self {
            Road::Interpreter | Road::Optimizer => ("v", "VIEW"),
            Road::OneOff | Road::Subscription => ("q", "VIEW"),
            Road::IndexedView => ("v", "VIEW"),
            Road::MaterializedView => ("m", "MATERIALIZED VIEW"),
        }
    }
}

/// A running Freshet and a running PostgreSQL.
pub(crate) struct Databases {
    pub(crate) server: Server,
    pub(crate) ours: Client,
    pub(crate) theirs: Client,
    _postgres: Postgres,
    schemas: u64,
}

impl Databases {
    pub(crate) async fn start() -> Result<Databases> {
        let (server, postgres) = (Server::start()?, Postgres::start()?);
        let (ours, theirs) = (server.connect().await?, postgres.connect().await?);
        ours.batch_execute(&format!("SET statement_timeout = '{} s'", PATIENCE.as_secs())).await?;
        let settings = "SET timezone = 'UTC'; SET statement_timeout = '20 s'; SET jit = off; \
                        SET max_parallel_workers_per_gather = 0; SET client_min_messages = warning";
        theirs.batch_execute(settings).await?;
        Ok(Databases { server, ours, theirs, _postgres: postgres, schemas: 0 })
    }

    /// Makes an empty schema and returns its name; unqualified names now mean what is in it. Only roads through the server
    /// need it in Freshet, too.
    pub(crate) async fn enter_schema(&mut self, on_server: bool) -> Result<String> {
        self.schemas += 1;
        let schema = format!("w{}", self.schemas);
        let clients = [Some(&self.theirs), on_server.then_some(&self.ours)];
        for client in clients.into_iter().flatten() {
            let statements = [format!("CREATE SCHEMA {schema}"), format!("SET search_path = {schema}")];
            for outcome in execute_all(client, &statements).await {
                outcome.map_err(|failure| anyhow::anyhow!("{schema}: {failure:?}"))?;
            }
        }
        if on_server {
            self.run("CREATE TABLE clock (c0 integer)").await?;
        }
        Ok(schema)
    }

    /// Drops a schema with all that is in it.
    pub(crate) async fn leave_schema(&self, schema: &str, on_server: bool) -> Result<(), Failure> {
        let clients = [Some(&self.theirs), on_server.then_some(&self.ours)];
        for client in clients.into_iter().flatten() {
            execute(client, &format!("DROP SCHEMA {schema} CASCADE")).await?;
        }
        Ok(())
    }

    /// Lets time pass: subscriptions learn that nothing more comes at earlier times. Without it they wait for the next tick.
    pub(crate) async fn advance(&self) -> Result<()> {
        self.run("INSERT INTO clock VALUES (1)").await
    }

    async fn run(&self, statement: &str) -> Result<()> {
        let outcome = execute(&self.ours, statement).await;
        outcome.map(|_| ()).map_err(|failure| anyhow::anyhow!("{statement}: {failure:?}"))
    }

    /// A time, in milliseconds, before which everything is that has been committed.
    pub(crate) async fn now(&self) -> Result<u64> {
        let rows = system_test::server::rows(&self.ours, "SELECT mz_now()").await?;
        let text = rows.first().and_then(|row| row.first()?.clone()).context("mz_now() has a value")?;
        Ok(text.parse()?)
    }
}

/// Runs a statement; the number of rows it changed.
pub(crate) async fn execute(client: &Client, statement: &str) -> Result<u64, Failure> {
    let messages = client.simple_query(statement).await.map_err(|error| failure_of(&error))?;
    let changed = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::CommandComplete(changed) => Some(*changed),
        _ => None,
    });
    Ok(changed.sum())
}

/// Runs statements one after the other without waiting in between; none depends on another's success.
pub(crate) async fn execute_all(client: &Client, statements: &[String]) -> Vec<Result<u64, Failure>> {
    futures::future::join_all(statements.iter().map(|statement| execute(client, statement))).await
}

/// Runs queries one after the other without waiting in between.
pub(crate) async fn ask_all(client: &Client, queries: &[String]) -> Vec<Answer> {
    futures::future::join_all(queries.iter().map(|query| ask(client, query))).await
}

/// Runs a query.
pub(crate) async fn ask(client: &Client, query: &str) -> Answer {
    let messages = client.simple_query(query).await.map_err(|error| failure_of(&error))?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok(rows.collect())
}

/// The code of a lost connection stands for errors that no database reported.
pub(crate) fn failure_of(error: &tokio_postgres::Error) -> Failure {
    match error.as_db_error() {
        Some(db) => Failure { code: db.code().code().to_owned(), message: db.message().to_owned() },
        None => Failure { code: "08006".to_owned(), message: error.to_string() },
    }
}
