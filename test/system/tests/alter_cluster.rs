//! ALTER CLUSTER: what is begun ends one way or the other, whoever ends it, and reads are answered all the while.

use std::time::Duration;

use anyhow::{Context, Result};
use system_test::Server;
use system_test::server::{eventually, rows};
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{CancelToken, Client, NoTls};

/// A cluster `c` of size 1 with an index and a view.
async fn with_cluster(server: &Server) -> Result<Client> {
    let client = server.connect().await?;
    client.batch_execute("CREATE TABLE t (a int)").await?;
    client.batch_execute("INSERT INTO t SELECT * FROM generate_series(1, 100)").await?;
    client.batch_execute("CREATE CLUSTER c (SIZE '1')").await?;
    client.batch_execute("CREATE INDEX t_a IN CLUSTER c ON t (a)").await?;
    client.batch_execute("CREATE MATERIALIZED VIEW n IN CLUSTER c AS SELECT count(*) AS n FROM t").await?;
    Ok(client)
}

/// The replicas of `c` and their sizes.
const REPLICAS: &str = "SELECT r.name || ' ' || r.size FROM mz_catalog.mz_cluster_replicas r \
    JOIN mz_catalog.mz_clusters c ON c.id = r.cluster_id WHERE c.name = 'c' ORDER BY r.name";

const CHANGES: &str = "SELECT c.name, x.status, x.target FROM mz_internal.mz_cluster_reconfigurations x \
    JOIN mz_catalog.mz_clusters c ON c.id = x.cluster_id";

fn one_column(values: &[&str]) -> Vec<Vec<Option<String>>> {
    values.iter().map(|value| vec![Some((*value).to_owned())]).collect()
}

/// The cluster answers by its index, by a dataflow and from what its view wrote.
async fn check_answers(server: &Server) -> Result<()> {
    let client = server.connect().await?;
    client.batch_execute("SET cluster = c; INSERT INTO t VALUES (101)").await?;
    assert_eq!(rows(&client, "SELECT a FROM t WHERE a = 101").await?, one_column(&["101"]));
    assert_eq!(rows(&client, "SELECT sum(a) FROM t").await?, one_column(&["5151"]));
    assert_eq!(rows(&client, "SELECT n FROM n").await?, one_column(&["101"]));
    Ok(())
}

/// A statement that waits.
struct Altering {
    token: CancelToken,
    /// Its SQLSTATE, if the server says that it failed.
    outcome: JoinHandle<Option<SqlState>>,
}

/// Begins a change that ends after a while, in a session of its own, and waits until it has begun.
async fn begin(server: &Server, client: &Client, limit: &str) -> Result<Altering> {
    let altering = server.connect().await?;
    let token = altering.cancel_token();
    let text = format!("ALTER CLUSTER c SET (SIZE '2', REPLICATION FACTOR 2) WITH (WAIT FOR '{limit}')");
    let outcome = tokio::spawn(async move {
        let outcome = altering.batch_execute(&text).await;
        outcome.err().and_then(|error| error.code().cloned())
    });
    eventually(client, CHANGES, |rows| !rows.is_empty()).await?;
    let change = ["c", "in-progress", "{\"size\": \"2\", \"replication_factor\": 2}"].map(|text| Some(text.to_owned()));
    assert_eq!(rows(client, CHANGES).await?, [change.to_vec()]);
    assert_eq!(rows(client, REPLICAS).await?, one_column(&["r1 1", "r2 2", "r3 2"]));
    let pending = rows(client, "SELECT count(*) FROM mz_internal.mz_pending_cluster_replicas").await?;
    assert_eq!(pending, one_column(&["2"]));
    Ok(Altering { token, outcome })
}

#[tokio::test]
async fn a_change_of_replicas_goes_on_after_a_crash() -> Result<()> {
    goes_on_after(|server| server.kill_and_restart(), None).await
}

#[tokio::test]
async fn a_change_of_replicas_goes_on_after_a_stop() -> Result<()> {
    let restart = |server: &mut Server| {
        server.stop()?;
        server.start_again()
    };
    goes_on_after(restart, Some(SqlState::ADMIN_SHUTDOWN)).await
}

/// `told`: what whoever waits for the change hears.
async fn goes_on_after(restart: impl FnOnce(&mut Server) -> Result<()>, told: Option<SqlState>) -> Result<()> {
    let mut server = Server::start()?;
    let client = with_cluster(&server).await?;
    let altered = begin(&server, &client, "10s").await?;
    restart(&mut server)?;
    assert_eq!(altered.outcome.await?, told);
    let client = server.connect().await?;
    eventually(&client, REPLICAS, |rows| *rows == one_column(&["r2 2", "r3 2"])).await?;
    eventually(&client, CHANGES, |rows| rows.is_empty()).await?;
    check_answers(&server).await?;
    // quickstart's, and those of the cluster: nothing is left of the former.
    let settled = async {
        while server.clusterd_pids().len() != 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.context("three processes")
}

#[tokio::test]
async fn a_statement_that_is_canceled_gives_the_new_replicas_up() -> Result<()> {
    let server = Server::start()?;
    let client = with_cluster(&server).await?;
    let altered = begin(&server, &client, "1 hour").await?;
    altered.token.cancel_query(NoTls).await?;
    assert_eq!(altered.outcome.await?, Some(SqlState::QUERY_CANCELED));
    eventually(&client, REPLICAS, |rows| *rows == one_column(&["r1 1"])).await?;
    assert_eq!(rows(&client, CHANGES).await?, one_column(&[]));
    assert_eq!(
        rows(&client, "SHOW CREATE CLUSTER c").await?[0][1].as_deref(),
        Some("CREATE CLUSTER \"c\" (SIZE = '1', REPLICATION FACTOR = 1)")
    );
    check_answers(&server).await
}

#[tokio::test]
async fn a_change_that_another_goes_on_with_is_the_others() -> Result<()> {
    let server = Server::start()?;
    let client = with_cluster(&server).await?;
    let first = begin(&server, &client, "1 hour").await?;
    let other = server.connect().await?;
    let token = other.cancel_token();
    let second = tokio::spawn(async move {
        other.batch_execute("ALTER CLUSTER c SET (REPLICATION FACTOR 3) WITH (WAIT FOR '1 hour')").await
    });
    // Its replicas are there still, and yet serve nobody.
    assert_eq!(first.outcome.await?, Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE));
    assert_eq!(rows(&client, REPLICAS).await?, one_column(&["r1 1", "r2 2", "r3 2", "r4 2"]));
    token.cancel_query(NoTls).await?;
    assert!(second.await?.is_err(), "it was canceled");
    eventually(&client, REPLICAS, |rows| *rows == one_column(&["r1 1"])).await?;
    check_answers(&server).await
}

#[tokio::test]
async fn a_change_is_replaced_by_the_next() -> Result<()> {
    let server = Server::start()?;
    let client = with_cluster(&server).await?;
    let altered = begin(&server, &client, "1 hour").await?;
    client.batch_execute("ALTER CLUSTER c SET (SIZE '1', REPLICATION FACTOR 1)").await?;
    assert_eq!(rows(&client, REPLICAS).await?, one_column(&["r1 1"]));
    assert_eq!(altered.outcome.await?, Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE));
    let dropped = begin(&server, &client, "1 hour").await;
    client.batch_execute("DROP CLUSTER c CASCADE").await?;
    assert_eq!(dropped?.outcome.await?, Some(SqlState::UNDEFINED_OBJECT));
    Ok(())
}
