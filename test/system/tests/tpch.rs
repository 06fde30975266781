//! The 22 queries of TPC-H over orders that keep being replaced: as one-off queries and as maintained views, read at one time
//! together with the tables, and compared with PostgreSQL 15's answers over the same rows.
//!
//! `FRESHET_TEST_TPCH_SCALE` is the scale factor, 0.01 by default; `FRESHET_TEST_TPCH_ROUNDS` how often the maintained views
//! are looked at.

use std::pin::pin;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};
use system_test::Server;
use system_test::postgres::{Postgres, comparable};
use system_test::server::{describe, rows};
use tokio_postgres::Client;

const QUERIES: &str = include_str!("../../tpch/queries.sql");
const SCHEMA: &str = include_str!("../../tpch/schema.sql");
const INDEXES: &str = include_str!("../../tpch/indexes.sql");
const TABLES: [&str; 8] = ["region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem"];

type Answer = Vec<Vec<String>>;

/// The queries with their numbers, without the final semicolon.
fn queries() -> Vec<(usize, &'static str)> {
    let parts = QUERIES.split("\n-- Q").skip(1);
    let numbered = parts.map(|part| {
        let (number, sql) = part.split_once('\n').expect("a number, then the query");
        (number.parse().expect("a number"), sql.trim().trim_end_matches(';'))
    });
    numbered.collect()
}

async fn run_all(client: &Client, script: &str) -> Result<()> {
    for statement in script.split(';').filter(|statement| !statement.trim().is_empty()) {
        client.batch_execute(statement).await.map_err(|error| describe(&error)).context(statement.to_owned())?;
    }
    Ok(())
}

async fn answer(client: &Client, sql: &str) -> Result<Answer> {
    let rows = rows(client, sql).await?;
    Ok(rows.iter().map(|row| row.iter().map(|value| comparable(value.as_deref())).collect()).collect())
}

/// Every second view is stored, the others are views with an index.
async fn maintain(client: &Client) -> Result<()> {
    for (number, query) in queries() {
        let statements = match number % 2 {
            0 => format!("CREATE MATERIALIZED VIEW q{number} AS {query}"),
            _ => format!("CREATE VIEW q{number} AS {query}; CREATE DEFAULT INDEX ON q{number}"),
        };
        run_all(client, &statements).await?;
    }
    Ok(())
}

/// The tables' rows, as text.
async fn dump(client: &Client) -> Result<Vec<Vec<Bytes>>> {
    let mut tables = Vec::new();
    for table in TABLES {
        let copy = client.copy_out(&format!("COPY (SELECT * FROM {table}) TO STDOUT")).await;
        tables.push(copy.map_err(|error| describe(&error))?.try_collect().await?);
    }
    Ok(tables)
}

async fn load(client: &Client, tables: &[Vec<Bytes>]) -> Result<()> {
    run_all(client, SCHEMA).await?;
    for (table, chunks) in TABLES.iter().zip(tables) {
        let mut sink = pin!(client.copy_in::<_, Bytes>(&format!("COPY {table} FROM STDIN")).await?);
        for chunk in chunks {
            sink.feed(chunk.clone()).await?;
        }
        sink.finish().await?;
    }
    run_all(client, INDEXES).await?;
    run_all(client, "ANALYZE").await
}

/// How the looks go on: the queries are asked too, or only their views.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    QueriesAndViews,
    Views,
}

/// Reads tables, views and, if wanted, queries at one time, and compares them with PostgreSQL's answers over these tables.
async fn compare(ours: &Client, theirs: &Client, look: Look) -> Result<Vec<Vec<Bytes>>> {
    run_all(ours, "BEGIN").await?;
    let tables = dump(ours).await?;
    let mut answers = Vec::new();
    for (number, query) in queries() {
        let started = Instant::now();
        let asked = match look {
            Look::QueriesAndViews => Some(answer(ours, query).await?),
            Look::Views => None,
        };
        let asked_ms = started.elapsed().as_millis();
        let mut maintained = answer(ours, &format!("SELECT * FROM q{number}")).await?;
        maintained.sort();
        eprintln!("Q{number}: query {asked_ms} ms, view {} ms", started.elapsed().as_millis() - asked_ms);
        answers.push((asked, maintained));
    }
    run_all(ours, "COMMIT").await?;
    load(theirs, &tables).await?;
    for ((number, query), (asked, maintained)) in queries().into_iter().zip(answers) {
        let mut expected = answer(theirs, query).await?;
        ensure!(!expected.is_empty(), "Q{number} has no rows, which shows little");
        if let Some(asked) = asked {
            ensure!(asked == expected, "Q{number}: {asked:#?}\nPostgreSQL: {expected:#?}");
        }
        expected.sort();
        ensure!(maintained == expected, "view of Q{number}: {maintained:#?}\nPostgreSQL: {expected:#?}");
    }
    Ok(tables)
}

#[tokio::test]
async fn queries_and_maintained_views_equal_postgres_under_ticks() -> Result<()> {
    let scale = std::env::var("FRESHET_TEST_TPCH_SCALE").unwrap_or_else(|_| "0.01".to_owned());
    let rounds = system_test::setting("FRESHET_TEST_TPCH_ROUNDS", 2);
    let (server, postgres) = (Server::start()?, Postgres::start()?);
    let (ours, theirs) = (server.connect().await?, postgres.connect().await?);
    run_all(&ours, "SET statement_timeout = '600 s'").await?;
    let source = format!("CREATE SOURCE tpch FROM LOAD GENERATOR TPCH (SCALE FACTOR {scale}, TICK INTERVAL '200ms')");
    run_all(&ours, &format!("{source} FOR ALL TABLES")).await?;
    run_all(&ours, INDEXES).await?;
    maintain(&ours).await?;
    let mut before = compare(&ours, &theirs, Look::QueriesAndViews).await?;
    for _ in 0..rounds {
        let after = compare(&ours, &theirs, Look::Views).await?;
        assert!(before != after, "no order was replaced meanwhile");
        before = after;
    }
    assert_eq!(system_test::server::unexpected_log_lines(server.data_dir()), Vec::<String>::new());
    Ok(())
}
