//! Renames and temporary objects across `kill -9` and restarts: what is defined by a name goes on working under another, also
//! a second time; what is temporary is gone with its session, however that ends.

use anyhow::{Context, Result};
use system_test::Server;
use system_test::server::rows;
use tokio_postgres::Client;

async fn run(client: &Client, statements: &[&str]) -> Result<()> {
    for statement in statements {
        client.batch_execute(statement).await.with_context(|| (*statement).to_owned())?;
    }
    Ok(())
}

async fn answer(client: &Client, query: &str) -> Result<Vec<String>> {
    let rows = rows(client, query).await.with_context(|| query.to_owned())?;
    let text = |row: Vec<Option<String>>| row.into_iter().map(|value| value.unwrap_or_default()).collect::<Vec<_>>();
    Ok(rows.into_iter().map(|row| text(row).join(" ")).collect())
}

/// With the cluster as it is called in this round.
async fn connect(server: &Server, round: usize) -> Result<Client> {
    let client = server.connect().await?;
    run(&client, &[["SET cluster = slow", "SET cluster = quickstart"][round]]).await?;
    Ok(client)
}

const DEFINITIONS: [&str; 9] = [
    "CREATE SCHEMA s",
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    "CREATE TABLE t (a int, m mood DEFAULT 'ok')",
    "CREATE TABLE s.t (a int, z text)",
    "CREATE VIEW v AS SELECT t.a, public.t.m, x.z FROM t JOIN s.t AS x ON x.a = t.a",
    "CREATE MATERIALIZED VIEW stored AS SELECT t.m, count(*) AS n FROM t WHERE t.m >= 'sad'::mood GROUP BY t.m",
    "CREATE INDEX v_a ON v (a)",
    "INSERT INTO t VALUES (1, 'sad'), (2, DEFAULT)",
    "INSERT INTO s.t VALUES (1, 'one')",
];

const RENAMES: [[&str; 5]; 2] = [
    [
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE s.t RENAME TO \"T 2\"",
        "ALTER SCHEMA s RENAME TO s2",
        "ALTER TYPE mood RENAME TO feeling",
        "ALTER CLUSTER quickstart RENAME TO slow",
    ],
    [
        "ALTER TABLE u RENAME TO t",
        "ALTER TABLE s2.\"T 2\" RENAME TO t",
        "ALTER SCHEMA s2 RENAME TO s",
        "ALTER TYPE feeling RENAME TO mood",
        "ALTER CLUSTER slow RENAME TO quickstart",
    ],
];

#[tokio::test(flavor = "multi_thread")]
async fn renames_survive_kills() -> Result<()> {
    let mut server = Server::start()?;
    run(&server.connect().await?, &DEFINITIONS).await?;
    for (round, (renames, table)) in RENAMES.iter().zip(["u", "t"]).enumerate() {
        run(&server.connect().await?, renames).await?;
        for _ in 0..2 {
            let client = connect(&server, round).await?;
            assert_eq!(answer(&client, "SELECT * FROM v").await?, ["1 sad one"], "round {round}");
            let expected = [format!("sad {}", 1 + round), "ok 1".to_owned()];
            assert_eq!(answer(&client, "SELECT * FROM stored ORDER BY m").await?, expected, "round {round}");
            server.kill_and_restart()?;
        }
        let client = connect(&server, round).await?;
        run(&client, &[&format!("INSERT INTO {table} VALUES (3, 'sad')")]).await?;
        let kept = answer(&client, &format!("SELECT a FROM {table} WHERE m = 'sad' ORDER BY a")).await?;
        assert_eq!(kept.len(), 2 + round);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_objects_go_with_their_session() -> Result<()> {
    let mut server = Server::start()?;
    let make = [
        "CREATE TEMP TABLE mine (a int)",
        "INSERT INTO mine VALUES (1), (2)",
        "CREATE TEMP VIEW sums AS SELECT sum(a) AS s FROM mine",
        "CREATE INDEX sums_s ON sums (s)",
    ];
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pg_temp%'";
    let client = server.connect().await?;
    run(&client, &make).await?;
    assert_eq!(answer(&client, "SELECT * FROM sums").await?, ["3"]);
    let other = server.connect().await?;
    assert_eq!(answer(&other, left).await?, ["1"]);
    drop(client);
    // The server hears of the end of the connection when it hears of it.
    while answer(&other, left).await? != ["0"] {
        tokio::task::yield_now().await;
    }
    run(&other, &make).await?;
    server.kill_and_restart()?;
    let client = server.connect().await?;
    assert_eq!(answer(&client, left).await?, ["0"]);
    assert_eq!(
        answer(&client, "SELECT count(*) FROM pg_class WHERE relname IN ('mine', 'sums', 'sums_s')").await?,
        ["0"]
    );
    run(&client, &make).await?;
    assert_eq!(answer(&client, "SELECT * FROM sums").await?, ["3"]);
    Ok(())
}
