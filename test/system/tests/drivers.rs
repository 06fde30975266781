//! What people connect with: psql, psycopg 3 and tokio-postgres.

use std::process::Command;

use anyhow::{Context, Result, bail};
use system_test::Server;
use system_test::server::{describe, rows};

fn psql(server: &Server, arguments: &[&str]) -> Result<String> {
    let port = server.sql_port().to_string();
    let connection =
        ["-X", "-h", "127.0.0.1", "-p", &port, "-U", "materialize", "-v", "ON_ERROR_STOP=1", "materialize"];
    let output = Command::new("psql").args(connection).args(arguments).output().context("cannot run psql")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("psql {arguments:?}: {}{text}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

#[test]
fn psql_runs_a_session() -> Result<()> {
    let server = Server::start()?;
    psql(&server, &["-c", "CREATE TABLE t (a int NOT NULL, b text); INSERT INTO t VALUES (1, 'one'), (2, NULL)"])?;
    assert_eq!(psql(&server, &["-At", "-c", "SELECT a, b FROM t ORDER BY a"])?, "1|one\n2|\n");
    assert_eq!(psql(&server, &["-At", "-c", "SHOW TABLES"])?.lines().count(), 1);
    Ok(())
}

#[test]
fn psql_copies_in_and_out() -> Result<()> {
    let server = Server::start()?;
    let directory = tempfile::tempdir()?;
    let (source, target) = (directory.path().join("in.csv"), directory.path().join("out.csv"));
    let csv = "id,name\n1,\"comma, quote \"\" and\nline\"\n2,\n3,\"\"\n";
    std::fs::write(&source, csv)?;
    psql(&server, &["-c", "CREATE TABLE t (id int, name text)"])?;
    psql(&server, &["-c", &format!("\\copy t FROM '{}' WITH (FORMAT csv, HEADER)", source.display())])?;
    assert_eq!(psql(&server, &["-At", "-c", "SELECT count(*), count(name) FROM t"])?, "3|2\n");
    let out = format!("\\copy (SELECT * FROM t ORDER BY id) TO '{}' WITH (FORMAT csv, HEADER)", target.display());
    psql(&server, &["-c", &out])?;
    assert_eq!(std::fs::read_to_string(&target)?, csv);
    std::fs::write(&source, "id,name\n4,fine\nx,broken\n")?;
    let broken = psql(&server, &["-c", &format!("\\copy t FROM '{}' WITH (FORMAT csv, HEADER)", source.display())]);
    let error = broken.expect_err("the line is bad").to_string();
    assert!(error.contains("invalid input syntax for type integer: \"x\""), "{error}");
    assert!(error.contains("COPY t, line 3"), "{error}");
    assert_eq!(psql(&server, &["-At", "-c", "SELECT count(*) FROM t"])?, "3\n", "nothing of a bad COPY is kept");
    Ok(())
}

/// What psql's describing commands say of one table, one view, one materialized view and one index.
const DESCRIBED: [(&str, &[&str]); 18] = [
    ("\\d", &["public|t|table|materialize", "public|v|view|materialize", "public|m|materialized view|materialize"]),
    ("\\dt", &["public|t|table|materialize"]),
    ("\\dv", &["public|v|view|materialize"]),
    ("\\dm", &["public|m|materialized view|materialize"]),
    ("\\di", &["public|t_a|index|materialize|t"]),
    ("\\dn", &["public|materialize"]),
    ("\\l", &["materialize|materialize|UTF8|C|C||libc|"]),
    ("\\du", &["materialize|Superuser"]),
    ("\\df lower", &["pg_catalog|lower|text|text|func"]),
    ("\\df sum", &["pg_catalog|sum|bigint|integer|agg"]),
    ("\\d t", &["a|integer||not null|", "b|text|||'none'", "c|numeric(10,2)|||", "\"t_a\" arrangement (a)"]),
    ("\\d v", &["a|integer||", "n|bigint||"]),
    ("\\d+ v", &["View definition:", "SELECT"]),
    ("\\d m", &["Materialized view \"public.m\"", "a|integer||"]),
    ("\\d t_a", &["a|integer|yes|a", "arrangement, for table \"public.t\""]),
    ("\\dp t", &["public|t|table|"]),
    ("\\dT", &[]),
    ("\\dx", &[]),
];

#[test]
fn psql_describes_objects() -> Result<()> {
    let server = Server::start()?;
    let setup = "CREATE TABLE t (a int NOT NULL, b text DEFAULT 'none', c numeric(10, 2));
        CREATE VIEW v AS SELECT a, count(*) AS n FROM t GROUP BY a;
        CREATE MATERIALIZED VIEW m AS SELECT a FROM t;
        CREATE INDEX t_a ON t (a);
        CREATE DATABASE other; CREATE TABLE other.public.hidden (a int)";
    for statement in setup.split(';') {
        psql(&server, &["-c", statement])?;
    }
    for (command, expected) in DESCRIBED {
        let out = psql(&server, &["-A", "-c", command])?;
        for line in expected {
            assert!(out.contains(line), "{command} does not say {line:?}:\n{out}");
        }
        assert!(!out.contains("hidden"), "{command} shows another database:\n{out}");
    }
    assert!(psql(&server, &["-c", "\\d nope"]).expect_err("there is none").to_string().contains("Did not find"));
    Ok(())
}

const PSYCOPG: &str = r#"
import datetime, decimal, sys, uuid
import psycopg
dsn = f"host=127.0.0.1 port={sys.argv[1]} user=materialize dbname=materialize"
values = (1, 2**40, 1.5, decimal.Decimal("12345678901234567890.123456789"), "text", b"\x00\xff", True, datetime.date(2024, 2, 29),
          datetime.datetime(2024, 2, 29, 12, 30, 15, 123456), uuid.UUID(int=5), None)
with psycopg.connect(dsn, autocommit=True) as connection:
    connection.execute("CREATE TABLE t (a int, b bigint, c double precision, d numeric, e text, f bytea, g bool, h date, i timestamp, j uuid, k text)")
    for binary in (False, True):
        cursor = connection.cursor(binary=binary)
        cursor.execute("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", values)
        cursor.execute("SELECT * FROM t")
        for row in cursor.fetchall():
            assert row == values, (binary, row)
    with connection.cursor() as cursor:
        cursor.execute("SELECT a FROM t WHERE b = %s", (2**40,), prepare=True)
        assert cursor.fetchall() == [(1,), (1,)]
    with connection.pipeline():
        for n in range(10):
            connection.execute("INSERT INTO t (a) VALUES (%s)", (n + 100,))
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (12,)
    with connection.cursor().copy("COPY t (a, e) FROM STDIN") as copy:
        copy.write_row((7, "copied\ttab"))
    assert connection.execute("SELECT e FROM t WHERE a = 7").fetchone() == ("copied\ttab",)
    try:
        connection.execute("SELECT 1/0")
        raise SystemExit("no error")
    except psycopg.errors.DivisionByZero:
        pass
with psycopg.connect(dsn) as connection:
    connection.execute("INSERT INTO t (a) VALUES (500)")
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM t WHERE a = 500").fetchone() == (0,)
    connection.rollback()
    with connection.cursor() as cursor:
        cursor.execute("DECLARE c CURSOR FOR SUBSCRIBE (SELECT a FROM t WHERE a = 7)")
        cursor.execute("FETCH 1 c")
        assert cursor.fetchone()[1:] == (1, 7)
client = psycopg.ClientCursor(psycopg.connect(dsn, autocommit=True))
client.execute("SELECT %s, %s", (1, "it's"))
assert client.fetchone() == (1, "it's")
print("ok")
"#;

#[test]
fn psycopg_speaks_simple_extended_and_binary() -> Result<()> {
    let server = Server::start()?;
    let python = std::env::var("FRESHET_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(python).args(["-c", PSYCOPG, &server.sql_port().to_string()]).output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out.trim(), "ok", "{err}");
    Ok(())
}

#[tokio::test]
async fn tokio_postgres_prepares_and_streams() -> Result<()> {
    let server = Server::start()?;
    let mut client = server.connect().await?;
    client.batch_execute("CREATE TABLE t (a int8 NOT NULL, b text)").await?;
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await?;
    for n in 0..5_i64 {
        assert_eq!(client.execute(&insert, &[&n, &format!("row {n}")]).await?, 1);
    }
    let found = client.query("SELECT b FROM t WHERE a = $1", &[&3_i64]).await?;
    assert_eq!(found[0].get::<_, String>(0), "row 3");
    let transaction = client.transaction().await?;
    let sum = transaction.query_one("SELECT sum(a)::int8 FROM t", &[]).await?;
    assert_eq!(sum.get::<_, i64>(0), 10);
    transaction.commit().await?;
    let error = client.query("SELECT * FROM nope", &[]).await.expect_err("there is no such table");
    assert!(describe(&error).to_string().contains("42P01"));
    Ok(())
}

#[tokio::test]
async fn transactions_read_at_one_time_and_write_all_or_nothing() -> Result<()> {
    let server = Server::start()?;
    let (reader, writer) = (server.connect().await?, server.connect().await?);
    writer.batch_execute("CREATE TABLE a (x int)").await?;
    writer.batch_execute("CREATE TABLE b (x int)").await?;
    reader.batch_execute("BEGIN").await?;
    assert_eq!(rows(&reader, "SELECT count(*) FROM a").await?, [[Some("0".to_owned())]]);
    writer.batch_execute("BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT").await?;
    assert_eq!(rows(&reader, "SELECT count(*) FROM b").await?, [[Some("0".to_owned())]]);
    reader.batch_execute("COMMIT").await?;
    assert_eq!(rows(&reader, "SELECT count(*) FROM b").await?, [[Some("1".to_owned())]]);
    writer.batch_execute("BEGIN; INSERT INTO a VALUES (2); ROLLBACK").await?;
    assert_eq!(rows(&reader, "SELECT count(*) FROM a").await?, [[Some("1".to_owned())]]);
    Ok(())
}

/// A prepared query that an index answers keeps its plan; what it rests on may change under it.
#[tokio::test]
async fn a_prepared_query_follows_its_values_and_the_catalog() -> Result<()> {
    let server = Server::start()?;
    let client = server.connect().await?;
    let setup = "CREATE TABLE t (id bigint, name text); CREATE INDEX by_id ON t (id);
                 INSERT INTO t VALUES (1, 'one'), (2, 'two'), (NULL, 'none')";
    client.batch_execute(setup).await?;
    let by_id = client.prepare("SELECT name FROM t WHERE id = $1 OR (name = 'none' AND $2) ORDER BY name").await?;
    let names = async |id: Option<i64>, also_none: Option<bool>| -> Result<Vec<String>> {
        let rows = client.query(&by_id, &[&id, &also_none]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    };
    for _ in 0..2 {
        assert_eq!(names(Some(2), Some(false)).await?, ["two"]);
        assert_eq!(names(Some(1), Some(true)).await?, ["none", "one"]);
        assert_eq!(names(None, Some(false)).await?, [""; 0], "nothing equals NULL");
        assert_eq!(names(None, None).await?, [""; 0]);
        client.batch_execute("DROP INDEX IF EXISTS by_id").await?;
    }
    client.batch_execute("CREATE INDEX by_name ON t (name); INSERT INTO t VALUES (2, 'zwei')").await?;
    assert_eq!(names(Some(2), Some(false)).await?, ["two", "zwei"]);

    let arithmetic = client.prepare("SELECT 10 / $1::int, $1 + 1, current_database()").await?;
    let row = client.query_one(&arithmetic, &[&5i32]).await?;
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1), row.get::<_, &str>(2)), (2, 6, "materialize"));
    let error = client.query(&arithmetic, &[&0i32]).await.expect_err("division by zero");
    assert_eq!(error.code().map(|code| code.code()), Some("22012"));
    assert_eq!(client.query_one(&arithmetic, &[&2i32]).await?.get::<_, i32>(0), 5);

    let limited = client.prepare("SELECT name FROM t ORDER BY name LIMIT $1").await?;
    for limit in [1i64, 3, 0] {
        assert_eq!(client.query(&limited, &[&limit]).await?.len(), usize::try_from(limit)?);
    }
    client.batch_execute("DROP TABLE t; CREATE TABLE t (id bigint, name bigint)").await?;
    let error = client.query(&by_id, &[&1i64, &true]).await.expect_err("the type of a column has changed");
    assert!(error.code().is_some(), "{error}");
    client.batch_execute("DROP TABLE t").await?;
    let error = client.query(&limited, &[&1i64]).await.expect_err("the table is gone");
    assert_eq!(error.code().map(|code| code.code()), Some("42P01"));
    Ok(())
}
