//! Runs SQL logic tests: each file on a server of its own, so that no file depends on another.

use std::path::Path;

use anyhow::{Result, anyhow};
use async_trait::async_trait;
use sqllogictest::{DBOutput, DefaultColumnType, Runner};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::server::Server;

/// A connection as the runner wants it.
pub struct Connection(Client);

#[async_trait]
impl sqllogictest::AsyncDB for Connection {
    type Error = tokio_postgres::Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, tokio_postgres::Error> {
        let mut rows = Vec::new();
        let mut columns = None;
        let mut affected = 0;
        for message in self.0.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(description) => columns = Some(description.len()),
                // A plan is one text; as rows, its lines can be read.
                SimpleQueryMessage::Row(row) if is_explain(sql) => {
                    let lines = row.get(0).unwrap_or_default().lines().filter(|line| !line.trim().is_empty());
                    rows.extend(lines.map(|line| vec![line.to_owned()]));
                }
                SimpleQueryMessage::Row(row) => {
                    let text = |column| match row.get(column) {
                        None => "NULL".to_owned(),
                        Some("") => "(empty)".to_owned(),
                        Some(text) => text.to_owned(),
                    };
                    rows.push((0..row.len()).map(text).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => affected = count,
                _ => {}
            }
        }
        Ok(match columns {
            Some(columns) => DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows },
            None => DBOutput::StatementComplete(affected),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "freshet"
    }

    fn error_sql_state(error: &tokio_postgres::Error) -> Option<String> {
        error.code().map(|code| code.code().to_owned())
    }
}

fn is_explain(sql: &str) -> bool {
    sql.trim_start().get(..7).is_some_and(|start| start.eq_ignore_ascii_case("explain"))
}

/// Runs one file; with `REWRITE=1` rewrites its expectations.
pub async fn run_file(server: &Server, file: &Path) -> Result<()> {
    let port = server.sql_port();
    let mut runner = Runner::new(move || async move {
        let config = format!("host=127.0.0.1 port={port} user=materialize dbname=materialize");
        let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Connection(client))
    });
    if std::env::var_os("REWRITE").is_some() {
        let update = runner.update_test_file(
            file,
            "\t",
            sqllogictest::default_validator,
            sqllogictest::default_normalizer,
            sqllogictest::default_column_validator,
        );
        return update.await.map_err(|error| anyhow!("{error}"));
    }
    runner.run_file_async(file).await.map_err(|error| anyhow!("{}", error.display(false)))
}
