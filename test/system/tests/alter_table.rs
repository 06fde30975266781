//! ALTER TABLE and types that users made across `kill -9` and restarts: durable whole or not at all, and what was defined
//! before keeps its meaning.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use system_test::Server;
use system_test::server::rows;

async fn run(server: &Server, statements: &[&str]) -> Result<()> {
    let client = server.connect().await?;
    for statement in statements {
        client.batch_execute(statement).await.with_context(|| (*statement).to_owned())?;
    }
    Ok(())
}

async fn answer(server: &Server, query: &str) -> Result<Vec<String>> {
    let client = server.connect().await?;
    let rows = rows(&client, query).await.with_context(|| query.to_owned())?;
    let text = |row: Vec<Option<String>>| {
        row.into_iter().map(|value| value.unwrap_or_else(|| "NULL".to_owned())).collect::<Vec<_>>().join(" ")
    };
    Ok(rows.into_iter().map(text).collect())
}

const QUERIES: [&str; 7] = [
    "SELECT * FROM t ORDER BY a",
    "SELECT * FROM t WHERE a = 2",
    "SELECT * FROM everything ORDER BY a",
    "SELECT * FROM stored ORDER BY a",
    "SELECT * FROM shadowed ORDER BY c",
    "SELECT * FROM later ORDER BY a",
    "SELECT * FROM latest ORDER BY a",
];

#[tokio::test(flavor = "multi_thread")]
async fn columns_survive_kills() -> Result<()> {
    let mut server = Server::start()?;
    run(
        &server,
        &[
            "CREATE TABLE t (a int NOT NULL, b text)",
            "CREATE TABLE u (c int, d int)",
            "INSERT INTO t VALUES (1, 'one'), (2, NULL)",
            "INSERT INTO u VALUES (1, 10), (3, 30)",
            "CREATE INDEX t_a ON t (a)",
            "CREATE VIEW everything AS SELECT * FROM t",
            "CREATE MATERIALIZED VIEW stored AS SELECT * FROM t",
            "CREATE MATERIALIZED VIEW shadowed AS SELECT c, (SELECT d FROM t WHERE a = 1) AS m FROM u",
            "ALTER TABLE t ADD COLUMN d int DEFAULT 7",
            "CREATE MATERIALIZED VIEW later AS SELECT * FROM t",
            "INSERT INTO t VALUES (3, 'three')",
        ],
    )
    .await?;
    server.kill_and_restart()?;
    run(
        &server,
        &[
            "ALTER TABLE t ADD COLUMN e text NOT NULL DEFAULT 'e', ADD COLUMN f float8",
            "CREATE MATERIALIZED VIEW latest AS SELECT * FROM t",
            "UPDATE t SET f = 0.5 WHERE a = 3",
            "INSERT INTO t (a) VALUES (4)",
        ],
    )
    .await?;
    let expected: [&[&str]; 7] = [
        &["1 one 7 e NULL", "2 NULL 7 e NULL", "3 three 7 e 0.5", "4 NULL 7 e NULL"],
        &["2 NULL 7 e NULL"],
        &["1 one", "2 NULL", "3 three", "4 NULL"],
        &["1 one", "2 NULL", "3 three", "4 NULL"],
        &["1 10", "3 30"],
        &["1 one 7", "2 NULL 7", "3 three 7", "4 NULL 7"],
        &["1 one 7 e NULL", "2 NULL 7 e NULL", "3 three 7 e 0.5", "4 NULL 7 e NULL"],
    ];
    for _ in 0..2 {
        for (query, expected) in QUERIES.iter().zip(expected) {
            assert_eq!(answer(&server, query).await?, expected, "{query}");
        }
        server.kill_and_restart()?;
    }
    // The replica alone: its dataflows are made again as they were.
    server
        .clusterd_pids()
        .into_iter()
        .for_each(|pid| system_test::server::send_signal(pid, rustix::process::Signal::KILL));
    run(&server, &["INSERT INTO t (a, b) VALUES (5, 'five')"]).await?;
    assert_eq!(answer(&server, "SELECT * FROM stored WHERE a = 5").await?, ["5 five"]);
    assert_eq!(answer(&server, "SELECT * FROM later WHERE a = 5").await?, ["5 five 7"]);
    assert_eq!(answer(&server, "SELECT * FROM t WHERE a = 5").await?, ["5 five 7 e NULL"]);
    Ok(())
}

/// Writers and readers that know nothing of the columns that come.
#[tokio::test(flavor = "multi_thread")]
async fn columns_come_while_others_write_and_read() -> Result<()> {
    let server = Server::start()?;
    run(
        &server,
        &[
            "CREATE TABLE t (a int NOT NULL, b int NOT NULL)",
            "CREATE INDEX t_a ON t (a)",
            "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(b) AS b FROM t",
        ],
    )
    .await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..3 {
        let (client, stop) = (server.connect().await?, Arc::clone(&stop));
        writers.push(tokio::spawn(async move {
            let mut written = 0;
            while !stop.load(Ordering::SeqCst) {
                let a = writer * 1_000_000 + written;
                client.batch_execute(&format!("INSERT INTO t (a, b) VALUES ({a}, 1)")).await?;
                client.batch_execute(&format!("UPDATE t SET b = b + 1 WHERE a = {a}")).await?;
                written += 1;
            }
            Ok::<i64, tokio_postgres::Error>(written)
        }));
    }
    for column in 0..12 {
        run(&server, &[&format!("ALTER TABLE t ADD COLUMN c{column} int NOT NULL DEFAULT {column}")]).await?;
        let seen = answer(&server, &format!("SELECT count(*) FROM t WHERE c{column} <> {column}")).await?;
        assert_eq!(seen, ["0"]);
    }
    stop.store(true, Ordering::SeqCst);
    let mut written = 0;
    for writer in writers {
        written += writer.await??;
    }
    assert!(written > 0);
    let expected = [format!("{written} {}", 2 * written)];
    assert_eq!(answer(&server, "SELECT count(*), sum(b) FROM t WHERE c0 = 0 AND c11 = 11").await?, expected);
    assert_eq!(answer(&server, "SELECT * FROM total").await?, expected);
    Ok(())
}

/// An index that goes away below a statement costs it a new plan, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn indexes_come_and_go_while_others_read_and_write() -> Result<()> {
    let server = Server::start()?;
    run(&server, &["CREATE TABLE t (a int NOT NULL, b int NOT NULL)", "INSERT INTO t VALUES (1, 1), (2, 2)"]).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut sessions = Vec::new();
    for statement in [
        "SELECT sum(b) - sum(b) FROM t WHERE a = 1",
        "SELECT x.b FROM t x, t y WHERE x.a = y.a AND x.a = 2",
        "UPDATE t SET b = b + 1 WHERE a = 1",
    ] {
        let (client, stop) = (server.connect().await?, Arc::clone(&stop));
        sessions.push(tokio::spawn(async move {
            let prepared = client.prepare(statement).await?;
            while !stop.load(Ordering::SeqCst) {
                client.simple_query(statement).await?;
                client.query(&prepared, &[]).await?;
            }
            Ok::<(), tokio_postgres::Error>(())
        }));
    }
    for _ in 0..20 {
        run(&server, &["CREATE INDEX t_a ON t (a)", "SELECT * FROM t WHERE a = 1", "DROP INDEX t_a"]).await?;
    }
    stop.store(true, Ordering::SeqCst);
    for session in sessions {
        session.await?.map_err(|error| system_test::server::describe(&error))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn types_survive_kills() -> Result<()> {
    let mut server = Server::start()?;
    let definitions = [
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
        "CREATE TYPE moods AS LIST (ELEMENT TYPE = mood)",
        "CREATE TYPE point AS (x int, feeling mood)",
        "CREATE TABLE t (a int, m mood DEFAULT 'ok', l moods, p point)",
        "CREATE MATERIALIZED VIEW best AS SELECT max(m) AS m, 'sad'::mood AS other, (row(1, 'ok')::point).feeling FROM t",
        "INSERT INTO t VALUES (1, 'happy', '{ok,sad}', row(1, 'sad'))",
        "INSERT INTO t (a) VALUES (2)",
    ];
    run(&server, &definitions).await?;
    let queries = [
        "SELECT * FROM t ORDER BY m",
        "SELECT * FROM best",
        "SELECT (p).feeling, l[1], pg_typeof(m) FROM t ORDER BY a",
        "SELECT oid, enumlabel FROM pg_enum ORDER BY enumsortorder",
        "SELECT oid, typname, typarray FROM pg_type WHERE typname LIKE '%mood'",
    ];
    let mut before = Vec::new();
    for query in queries {
        before.push(answer(&server, query).await?);
    }
    assert_eq!(before[0], ["2 ok NULL NULL", "1 happy {ok,sad} (1,sad)"]);
    assert_eq!(before[1], ["happy sad ok"]);
    server.kill_and_restart()?;
    for (query, before) in queries.iter().zip(&before) {
        assert_eq!(answer(&server, query).await?, *before, "{query}");
    }
    // New types take none of the oids given out before.
    run(&server, &["CREATE TYPE color AS ENUM ('red')", "UPDATE t SET m = 'happy'", "DROP VIEW IF EXISTS nosuch"])
        .await?;
    let shared =
        "SELECT count(*) - count(DISTINCT oid) FROM (SELECT oid FROM pg_type UNION ALL SELECT oid FROM pg_enum) AS o";
    assert_eq!(answer(&server, shared).await?, ["0"]);
    assert_eq!(answer(&server, "SELECT m FROM best").await?, ["happy"]);
    Ok(())
}
