//! Values of secrets are nowhere but in their store: texts that occur nowhere else go through good and failing statements,
//! kills and restarts, and are then looked for everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use system_test::Server;
use system_test::server::{rows, unexpected_log_lines};
use tokio_postgres::Client;

/// Our own crates, as loud as they can be, and the SQL parser, which would print literals.
const LOG_FILTER: &str = "info,environmentd=trace,clusterd=trace,sql=trace,catalog=trace,optimizer=trace,expr=trace,\
    controller=trace,orchestrator=trace,protocol=trace,persist=trace,storage=trace,compute=trace,trace=trace,repr=trace,\
    stdx=trace,kube=trace,sqlparser=trace";

/// Statements that fail, each with a canary in the place of `@`.
const FAILING: &[&str] = &[
    "CREATE SECRET one AS '@'",
    "CREATE SECRET nowhere.bad AS '@'",
    "CREATE SECRET bad AS '@'::int",
    "CREATE SECRET bad AS \"@\"",
    "CREATE SECRET bad AS @",
    "CREATE SECRET bad AS '@",
    "CREATE SECRET bad AS $$@",
    "CREATE SECRET bad AS '@' garbage",
    "CREATE SECRET bad AS garbage '@'",
    "CREATE SECRET bad AS '@' '@'",
    "CREATE SECRET bad AS 1@",
    "CREATE SECRET bad AS /* @",
    "CREATE SECRET bad AS decode('@', 'hex')",
    "CREATE SECRET bad AS decode('aa', '@')",
    "CREATE SECRET bad AS E'\\\\x@'::bytea",
    "CREATE SECRET bad AS lower('@', 2)",
    "CREATE SECRET bad AS '@' || (1 / 0)",
    "CREATE SECRET bad AS jsonb '@'",
    "CREATE SECRET bad AS ARRAY['@']",
    "CREATE SECRET bad AS ('@', 2)",
    "CREATE SECRET bad AS (SELECT '@' FROM mz_tables)",
    "CREATE SECRET bad AS nullif('@', '@')",
    "CREATE SECRET bad AS mz_now()::text || '@'",
    "CREATE SECRET bad STORED AS '@'",
    "CREATE SECRET bad '@'",
    "CREATE OR REPLACE SECRET bad AS '@'",
    "CREATE TEMPORARY SECRET bad AS '@'",
    "ALTER SECRET nobody AS '@'",
    "ALTER SECRET one AS '@'::date",
    "ALTER SECRET one AS interval '@'",
    "ALTER SECRET one SET '@'",
    "ALTER SECRET one AS \"@\".\"@\"",
    "EXPLAIN CREATE SECRET bad AS '@'",
    "PREPARE p AS CREATE SECRET bad AS '@'",
    "DECLARE c CURSOR FOR CREATE SECRET bad AS '@'",
    "COPY (CREATE SECRET bad AS '@') TO STDOUT",
    "SELECT 1; CREATE SECRET bad AS '@'::uuid",
];

/// Hands out texts that occur nowhere else.
#[derive(Default)]
struct Canaries {
    given: Vec<String>,
}

impl Canaries {
    fn next(&mut self) -> String {
        // Unlike anything that a program would write, and a name and a word as well.
        let canary = format!("qzcanary{:04}wv", self.given.len());
        self.given.push(canary.clone());
        canary
    }

    /// The canaries in some bytes, as they are or as bytes are written.
    fn found_in(&self, bytes: &[u8]) -> BTreeSet<String> {
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        let is_there = |canary: &&String| text.contains(canary.as_str()) || text.contains(&hex(canary));
        self.given.iter().filter(is_there).cloned().collect()
    }
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    })
}

/// Every file below a directory, but for the store of secrets.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && entry.file_name() != "secrets" => found.extend(files(&path)),
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
    found
}

/// The values in the store, by their names there.
fn store(server: &Server) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for entry in std::fs::read_dir(server.data_dir().join("secrets")).expect("there is a store").flatten() {
        let value = std::fs::read(entry.path()).expect("a value can be read");
        values.insert(entry.file_name().to_string_lossy().into_owned(), String::from_utf8_lossy(&value).into_owned());
    }
    values
}

/// Everything that the system catalog tells.
async fn catalog_text(client: &Client) -> Result<String> {
    let names = "SELECT s.name, o.name FROM mz_catalog.mz_objects o JOIN mz_catalog.mz_schemas s ON s.id = o.schema_id \
                 WHERE s.database_id IS NULL ORDER BY 1, 2";
    let mut text = String::new();
    for name in rows(client, names).await? {
        let (schema, relation) = (name[0].as_deref().context("a schema")?, name[1].as_deref().context("a name")?);
        let told = rows(client, &format!("SELECT * FROM {schema}.{relation}")).await?;
        writeln!(text, "{schema}.{relation}: {told:?}")?;
    }
    for show in ["SHOW SECRETS", "SHOW OBJECTS", "SHOW ALL"] {
        writeln!(text, "{show}: {:?}", rows(client, show).await?)?;
    }
    Ok(text)
}

fn metrics(server: &Server) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.internal_http_port()))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// The life of secrets; returns what the client was told. `one` and `two` are there at the end.
async fn live(server: &Server, canaries: &mut Canaries) -> Result<String> {
    let client = server.connect().await?;
    let mut told = String::new();
    let mut run = async |statement: String| -> Result<bool> {
        let outcome = client.batch_execute(&statement).await;
        let refused = outcome.is_err();
        writeln!(told, "{outcome:?}")?;
        if refused {
            client.batch_execute("ROLLBACK").await?;
        }
        Ok(refused)
    };
    for statement in [
        "CREATE SECRET one AS '@'",
        "CREATE SECRET IF NOT EXISTS one AS '@'",
        "CREATE SECRET two AS E'@\\n' || '@'",
        "ALTER SECRET one AS '@'",
        "CREATE SECRET gone AS '@'",
        "ALTER SECRET gone RENAME TO departed",
        "DROP SECRET departed",
        "CREATE SCHEMA s",
        "CREATE SECRET s.inside AS '@'",
        "DROP SCHEMA s CASCADE",
    ] {
        assert!(!run(statement.replace('@', &canaries.next())).await?, "{statement}");
    }
    let bytes = canaries.next();
    assert!(!run(format!("ALTER SECRET two AS decode('{}', 'hex')", hex(&bytes))).await?);
    for statement in FAILING {
        assert!(run(statement.replace('@', &canaries.next())).await?, "{statement}");
    }
    assert!(run(format!("BEGIN; CREATE SECRET bad AS '{}'; COMMIT", canaries.next())).await?);

    // As parameters, of a type that is inferred or told, and where evaluation fails.
    let value = canaries.next();
    client.execute("CREATE SECRET three AS $1", &[&value]).await?;
    let value = canaries.next();
    client.execute("ALTER SECRET three AS $1::bytea", &[&value.as_bytes()]).await?;
    assert_eq!(store(server).values().filter(|stored| **stored == value).count(), 1);
    let value = canaries.next();
    let refused = client.execute("ALTER SECRET three AS $1::text::int::text", &[&value]).await;
    writeln!(told, "{:?}", refused.expect_err("it is no number"))?;
    client.batch_execute("DROP SECRET three").await?;
    assert!(told.contains("22P02") && told.contains("42601"), "codes are told: {told}");
    assert!(!told.contains("position: Some"), "a client would print what stands there: {told}");
    Ok(told)
}

/// Changes a secret until the server is killed in the middle of it. Returns the value that was acknowledged last, and the one
/// whose fate is unknown.
async fn alter_until_killed(server: &mut Server, canaries: &mut Canaries) -> Result<[String; 2]> {
    let client = server.connect().await?;
    let values: Vec<String> = (0..500).map(|_| canaries.next()).collect();
    let (sender, mut acknowledged) = tokio::sync::watch::channel(0);
    let sent = values.clone();
    let writer = tokio::spawn(async move {
        for (count, value) in sent.iter().enumerate() {
            if client.batch_execute(&format!("ALTER SECRET one AS '{value}'")).await.is_err() {
                return;
            }
            sender.send_replace(count + 1);
        }
    });
    acknowledged.wait_for(|count| *count >= 5).await?;
    server.kill();
    writer.await?;
    let last = *acknowledged.borrow();
    assert!(last < values.len(), "it was to be killed in the middle");
    server.start_again()?;
    Ok([values[last - 1].clone(), values[last].clone()])
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_tells_a_secret() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut server = Server::start_in(directory.path(), &["--log-filter", LOG_FILTER])?;
    let mut canaries = Canaries::default();
    let told = live(&server, &mut canaries).await?;
    assert_eq!(canaries.found_in(told.as_bytes()), BTreeSet::new(), "in what a client is told");

    for _ in 0..3 {
        let [last, unknown] = alter_until_killed(&mut server, &mut canaries).await?;
        let client = server.connect().await?;
        let ids = rows(&client, "SELECT id FROM mz_catalog.mz_secrets ORDER BY name").await?;
        let ids: Vec<&str> = ids.iter().filter_map(|row| row[0].as_deref()).collect();
        // A value for each secret, and what the kill has left is swept.
        let stored = store(&server);
        assert_eq!((ids.len(), stored.len()), (2, 2), "{ids:?} {:?}", stored.keys());
        let one = stored.iter().find(|(name, _)| name.starts_with(&format!("user-{}-", ids[0])));
        let (_, one) = one.context("the secret has a value")?;
        assert!(*one == last || *one == unknown, "the value is neither the last nor the next");
    }

    // What is no secret is found by the same means.
    let client = server.connect().await?;
    let mut control = Canaries::default();
    let visible = control.next().replace("canary", "visible");
    control.given = vec![visible.clone()];
    client.batch_execute(&format!("CREATE VIEW control AS SELECT '{visible}' AS a")).await?;
    let catalog = catalog_text(&client).await?;
    assert_eq!(control.found_in(catalog.as_bytes()).len(), 1);
    assert_eq!(canaries.found_in(catalog.as_bytes()), BTreeSet::new(), "in the system catalog");
    assert_eq!(canaries.found_in(metrics(&server)?.as_bytes()), BTreeSet::new(), "in the metrics");
    assert_eq!(server.stop()?, 0);
    let mut found = BTreeMap::new();
    let mut visible_in = 0;
    for file in files(directory.path()) {
        let bytes = std::fs::read(&file)?;
        visible_in += control.found_in(&bytes).len();
        let canaries = canaries.found_in(&bytes);
        if !canaries.is_empty() {
            found.insert(file, canaries);
        }
    }
    assert!(visible_in > 0, "the catalog is in the data directory");
    assert_eq!(found, BTreeMap::new());
    assert_eq!(unexpected_log_lines(directory.path()), Vec::<String>::new());
    Ok(())
}
