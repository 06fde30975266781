//! Debian's `sqlsmith` asks a running server for nonsense, which it may refuse, but neither fail at nor hang on.
//!
//! `FRESHET_TEST_QUERIES` queries, a thousand for each seed from `FRESHET_TEST_SEED` on. What it found is in
//! `test/slt/sqlsmith_finds.slt`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use system_test::wiretap::Heard;
use system_test::{Server, Wiretap, server};

const SCHEMA: &str = include_str!("sqlsmith.sql");
const QUERIES_PER_SEED: u64 = 1_000;
/// Where sqlsmith asks what it made up it sets a `statement_timeout` of one second, and elsewhere it has that of all sessions.
const TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_OF_SESSIONS: Duration = Duration::from_secs(60);
/// An answer this much later than its timeout is a hang, on a machine that does other things, too.
const LATE: Duration = Duration::from_secs(20);
/// A build for development on a loaded machine may take this long for each query.
const QUERY_MAX: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn sqlsmith_finds_no_internal_error() -> Result<()> {
    let queries = system_test::setting("FRESHET_TEST_QUERIES", 300);
    let first_seed = system_test::seed() % 1_000_000;
    let mut server = Server::start()?;
    let client = server.connect().await?;
    client.batch_execute(SCHEMA).await.map_err(|error| server::describe(&error)).context("the schema")?;
    let replicas = server.clusterd_pids();
    let wiretap = Wiretap::start(server.sql_port()).await?;
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut defects = Vec::new();
    for (number, start) in (0..queries).step_by(QUERIES_PER_SEED as usize).enumerate() {
        let seed = first_seed + number as u64;
        run(wiretap.port(), seed, QUERIES_PER_SEED.min(queries - start)).await?;
        let mut hurried = BTreeSet::new();
        for heard in wiretap.take() {
            if heard.sql.to_lowercase().contains("set statement_timeout") {
                hurried.insert(heard.connection);
            }
            let limit = if hurried.contains(&heard.connection) { TIMEOUT } else { TIMEOUT_OF_SESSIONS } + LATE;
            let state = heard.error.as_ref().map_or("answered", |(code, _)| code).to_owned();
            *outcomes.entry(state).or_default() += usize::from(is_query(&heard.sql));
            defects.extend(defect(&heard, limit).map(|defect| format!("seed {seed}: {defect}")));
        }
        ensure!(server.ended()?.is_none(), "environmentd has ended; seed {seed}\n{}", defects.join("\n\n"));
    }
    println!("outcomes: {outcomes:?}");
    defects.extend(server::unexpected_log_lines(server.data_dir()));
    ensure!(defects.is_empty(), "{}", defects.join("\n\n"));
    ensure!(server.clusterd_pids() == replicas, "a replica was started again");
    let asked: usize = outcomes.values().sum();
    let answered = outcomes.get("answered").copied().unwrap_or(0);
    ensure!(asked as u64 >= queries, "sqlsmith asked {asked} of {queries} queries");
    ensure!(answered * 20 >= asked, "only {answered} of {asked} queries were answered: the test tests nothing");
    Ok(())
}

/// Runs sqlsmith to its end.
async fn run(port: u16, seed: u64, queries: u64) -> Result<()> {
    let target =
        format!("host=127.0.0.1 port={port} dbname=materialize user=materialize sslmode=disable gssencmode=disable");
    let mut command = tokio::process::Command::new("sqlsmith");
    command.arg(format!("--target={target}")).arg(format!("--max-queries={queries}")).arg(format!("--seed={seed}"));
    command.arg("--exclude-catalog").stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    println!("sqlsmith --max-queries={queries} --seed={seed}");
    let output = command.spawn().context("cannot start sqlsmith; it is a package of Debian")?.wait_with_output();
    let limit = QUERY_MAX * u32::try_from(queries)? + Duration::from_secs(120);
    let output = tokio::time::timeout(limit, output).await.context("sqlsmith does not come to an end")??;
    ensure!(output.status.success(), "sqlsmith: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// True for what sqlsmith made up, not for what it needs besides.
fn is_query(sql: &str) -> bool {
    !["ROLLBACK;", "BEGIN;"].contains(&sql.trim()) && !sql.trim_start().to_lowercase().starts_with("set ")
}

/// What is wrong with an answer, if it is. An error other than that is right: what sqlsmith makes up is not all SQL of ours.
fn defect(heard: &Heard, limit: Duration) -> Option<String> {
    let Heard { sql, error, took, .. } = heard;
    let what = match (error, took) {
        (_, None) => "no answer".to_owned(),
        (_, Some(took)) if *took > limit => format!("answered after {took:?}"),
        (Some((code, message)), _) if code.starts_with("XX") => format!("{code}: {message}"),
        _ => return None,
    };
    Some(format!("{what}\n{sql}"))
}
