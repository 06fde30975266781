//! What SQL tells of the processes of replicas: whether they run, why they did not, and what they use.

use anyhow::{Context, Result};
use rustix::process::Signal;
use system_test::Server;
use system_test::server::{Rows, eventually, rows, send_signal};

#[tokio::test]
async fn a_killed_process_shows_with_its_reason() -> Result<()> {
    let server = Server::start()?;
    let client = server.connect().await?;
    let statuses = "SELECT status, reason, process_id FROM mz_internal.mz_cluster_replica_statuses";
    let online = [Some("online".to_owned()), None, Some("0".to_owned())];
    eventually(&client, statuses, |rows| *rows == [online.clone()]).await?;
    let history = "SELECT status, reason FROM mz_internal.mz_cluster_replica_status_history ORDER BY occurred_at";
    let before = rows(&client, history).await?;
    let [pid] = server.clusterd_pids()[..] else { panic!("there is one replica of one process") };
    send_signal(pid, Signal::KILL);
    let killed = |row: &Vec<Option<String>>| row[1].as_deref().is_some_and(|why| why.contains("signal: 9"));
    let after = eventually(&client, history, |rows| {
        let since = &rows[before.len()..];
        let death = since.iter().position(killed);
        death.is_some_and(|at| since[at..].iter().any(|row| row[0].as_deref() == Some("online")))
    })
    .await?;
    let dead = after.iter().find(|row| killed(row)).context("it was found above")?;
    assert_eq!(dead[0].as_deref(), Some("offline"));
    eventually(&client, statuses, |rows| *rows == [online.clone()]).await?;

    let metrics = "SELECT memory_bytes > 1000000, disk_bytes > 0, cpu_nano_cores > 0 \
                   FROM mz_internal.mz_cluster_replica_metrics";
    let all = vec![Some("t".to_owned()); 3];
    eventually(&client, metrics, |rows| *rows == [all.clone()]).await?;

    // What is dropped is not told of any more.
    client.batch_execute("DROP CLUSTER quickstart CASCADE").await?;
    for relation in ["statuses", "status_history", "metrics"] {
        let rest = rows(&client, &format!("SELECT * FROM mz_internal.mz_cluster_replica_{relation}")).await?;
        assert_eq!(rest, Rows::new(), "{relation}");
    }
    Ok(())
}
