//! What both databases are asked alike: COPY, the batch, the answer.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::SinkExt;
use tokio_postgres::{Client, Statement};

use crate::workload::{Answer, CopyText};

pub(crate) const TABLES: &str = "CREATE TABLE auctions (id int NOT NULL, category int NOT NULL); \
    CREATE TABLE bids (id int NOT NULL, auction int NOT NULL, price bigint NOT NULL)";

const COPY_CHUNK_BYTES: usize = 64 << 10;

/// Runs statements one after the other, each in a message of its own.
pub(crate) async fn execute(client: &Client, statements: &str) -> Result<()> {
    for statement in statements.split(';') {
        run(client, statement).await?;
    }
    Ok(())
}

pub(crate) async fn run(client: &Client, statement: &str) -> Result<()> {
    let result = client.batch_execute(statement).await;
    result.map_err(|error| system_test::server::describe(&error)).with_context(|| {
        let shown: String = statement.chars().take(100).collect();
        shown
    })
}

/// Loads both tables.
pub(crate) async fn copy_tables(client: &Client, text: &CopyText) -> Result<()> {
    copy(client, "auctions", &text.auctions).await?;
    copy(client, "bids", &text.bids).await
}

/// Loads a table from lines of text.
pub(crate) async fn copy(client: &Client, table: &str, text: &str) -> Result<()> {
    let rows = text.bytes().filter(|byte| *byte == b'\n').count() as u64;
    let sink = client.copy_in::<_, Bytes>(&format!("COPY {table} FROM STDIN")).await?;
    let mut sink = std::pin::pin!(sink);
    for chunk in text.as_bytes().chunks(COPY_CHUNK_BYTES) {
        sink.feed(Bytes::copy_from_slice(chunk)).await?;
    }
    let copied = sink.as_mut().finish().await.map_err(|error| system_test::server::describe(&error))?;
    ensure!(copied == rows, "COPY {table} took {copied} rows of {rows}");
    Ok(())
}

/// Runs a prepared query of the view's three columns.
pub(crate) async fn answer(client: &Client, query: &Statement) -> Result<Answer> {
    let rows = client.query(query, &[]).await.map_err(|error| system_test::server::describe(&error))?;
    let mut answer =
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect::<Result<Answer>>()?;
    answer.sort_unstable();
    Ok(answer)
}

/// Fails if an answer is not the expected one.
pub(crate) fn verify(system: &str, step: &str, answer: &Answer, expected: &Answer) -> Result<()> {
    if answer == expected {
        return Ok(());
    }
    let only = |left: &Answer, right: &Answer| {
        left.iter().filter(|row| !right.contains(row)).take(3).copied().collect::<Vec<_>>()
    };
    anyhow::bail!(
        "{system} is wrong after {step}: {} rows, expected {}; e.g. got {:?}, expected {:?}",
        answer.len(),
        expected.len(),
        only(answer, expected),
        only(expected, answer)
    );
}
