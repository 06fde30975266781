//! A whole environment on stores named by URL: log and blobs on a real S3 server and in a directory, through `kill -9`.
//!
//! `FRESHET_TEST_S3` and `AWS_*` name the server and its credentials; `misc/test persist` starts one.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use system_test::Server;
use system_test::server::{bin_dir, rows};

/// More than travels inside the log: these rows go to the blob store.
const MANY: usize = 60_000;

/// Options of a store, as environmentd takes them: `log` and `blob` under one place.
fn arguments(place: &str, query: &str) -> Vec<String> {
    vec![format!("--log-url={place}/log{query}"), format!("--blob-url={place}/blobs{query}")]
}

fn s3() -> (String, String) {
    let endpoint = std::env::var("FRESHET_TEST_S3").expect("FRESHET_TEST_S3 names the endpoint of an S3 server");
    let place = format!("s3://freshet/{:016x}", rand::random::<u64>());
    (place, format!("?endpoint={endpoint}&allow_http=true&sse=aws:kms&sse_kms_key_id=freshet"))
}

async fn sums(server: &Server) -> Result<Vec<Vec<Option<String>>>> {
    let client = server.connect().await?;
    rows(&client, "SELECT count, sum FROM summary UNION ALL SELECT count(*), sum(n) FROM numbers").await
}

fn expected(count: usize) -> Vec<Vec<Option<String>>> {
    let row = vec![Some(count.to_string()), Some((count * (count + 1) / 2).to_string())];
    vec![row.clone(), row]
}

/// Writes, kills, starts again and looks, twice: the second time from what the second leader wrote.
async fn survives(place: &str, query: &str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let arguments = arguments(place, query);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut server = Server::start_in(&directory.path().join("data"), &arguments)?;
    let client = server.connect().await?;
    client.batch_execute("CREATE TABLE numbers (n bigint NOT NULL)").await?;
    let view = "CREATE MATERIALIZED VIEW summary AS SELECT count(*) AS count, sum(n) AS sum FROM numbers";
    client.batch_execute(view).await?;
    client.batch_execute(&format!("INSERT INTO numbers SELECT * FROM generate_series(1, {MANY})")).await?;
    assert_eq!(sums(&server).await?, expected(MANY));
    for round in 1..=2 {
        server.kill_and_restart().with_context(|| format!("restart {round}"))?;
        assert_eq!(sums(&server).await?, expected(MANY + round - 1), "after restart {round}");
        let client = server.connect().await?;
        client.batch_execute(&format!("INSERT INTO numbers VALUES ({})", MANY + round)).await?;
        assert_eq!(sums(&server).await?, expected(MANY + round));
    }
    assert_eq!(server.stop()?, 0);
    assert!(!server.data_dir().join("log").exists(), "nothing durable is in the data directory");
    assert!(!server.data_dir().join("blobs").exists(), "nothing durable is in the data directory");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_on_s3_survives_its_processes() -> Result<()> {
    let (place, query) = s3();
    survives(&place, &query).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_in_a_directory_of_objects_survives_its_processes() -> Result<()> {
    let directory = tempfile::tempdir()?;
    survives(&format!("file:{}", directory.path().display()), "").await
}

/// Runs a subcommand of environmentd that must succeed.
fn succeed(args: &[String]) -> Result<()> {
    let output = Command::new(bin_dir().join("environmentd")).args(args).output()?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Rows that compress badly, until batches are so large that replicas are asked to merge them; then a backup of it all.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_merge_what_is_large_on_s3_and_backups_go_there() -> Result<()> {
    const ROWS_AT_ONCE: usize = 25_000;
    const QUESTION: &str = "SELECT count(*), sum(n), md5(string_agg(a, '' ORDER BY n)) FROM hashes WHERE n % 10 = 0";
    let directory = tempfile::tempdir()?;
    let (place, query) = s3();
    let stores = arguments(&place, &query);
    let stores: Vec<&str> = stores.iter().map(String::as_str).collect();
    let mut server = Server::start_in(&directory.path().join("data"), &stores)?;
    let client = server.connect().await?;
    client.batch_execute("CREATE TABLE hashes (n bigint NOT NULL, a text, b text, c text)").await?;
    let mut count = 0;
    while server.metric("persist_delegated_merges_total")? == 0 {
        ensure!(count < 40 * ROWS_AT_ONCE, "no replica was asked to merge anything of {count} rows");
        let insert = "INSERT INTO hashes SELECT n, md5(n::text), md5('b' || n), md5('c' || n)";
        client
            .batch_execute(&format!("{insert} FROM generate_series({}, {}) AS n", count + 1, count + ROWS_AT_ONCE))
            .await?;
        count += ROWS_AT_ONCE;
    }
    let answer = rows(&client, QUESTION).await?;
    let tenths = count / 10;
    assert_eq!(answer[0][..2], [Some(tenths.to_string()), Some((10 * tenths * (tenths + 1) / 2).to_string())]);
    server.kill_and_restart()?;
    assert_eq!(rows(&server.connect().await?, QUESTION).await?, answer, "what replicas have merged");

    let data = |name: &str| format!("--data-dir={}", directory.path().join(name).display());
    let backups = format!("{place}/backups{query}");
    succeed(&["backup".to_owned(), format!("--to={backups}"), data("data")])?;
    succeed(&["restore".to_owned(), format!("--from={backups}"), data("restored")])?;
    let restored = Server::start_in(&directory.path().join("restored"), &[])?;
    assert_eq!(rows(&restored.connect().await?, QUESTION).await?, answer, "what was restored from S3");
    assert_eq!(server.stop()?, 0);
    Ok(())
}

#[test]
fn stores_that_cannot_be_used_are_named() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (place, query) = s3();
    for (argument, code, expected) in [
        ("--log-url=ftp://somewhere/else".to_owned(), 2, "--log-url: \"ftp\" is no kind of log"),
        ("--blob-url=s3://bucket/p?colour=red".to_owned(), 2, "--blob-url: s3:// has no option \"colour\""),
        ("--log-url=s3://bucket/p?secret_access_key=hunter2".to_owned(), 2, "give it in the environment"),
        (format!("--log-url=s3://no-such-bucket/p{query}"), 1, "s3://no-such-bucket/p/probe/"),
        ("--log-url=s3://bucket/p?endpoint=http://127.0.0.1:1&allow_http=true".to_owned(), 1, "s3://bucket/p/probe/"),
        (format!("--log-url={place}{query}-unknown"), 1, "/probe/"),
    ] {
        let Err(error) = Server::start_in(&directory.path().join("data"), &[&argument]) else {
            panic!("{argument} was followed")
        };
        let text = format!("{error:#}");
        assert!(text.contains(&format!("exit status: {code}")), "{argument}: {text}");
        assert!(text.contains(expected) && !text.contains("hunter2"), "{argument}: {text}");
        std::fs::remove_file(directory.path().join("data/environmentd.log"))?;
    }
    Ok(())
}
