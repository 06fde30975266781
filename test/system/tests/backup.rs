//! Backups of a running environment, restored and asked the same questions; and what the tools say of damaged stores.
//!
//! `FRESHET_TEST_SEED` sets the seed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use system_test::Server;
use system_test::server::{bin_dir, rows};

type Answers = Vec<Vec<Vec<Option<String>>>>;

const SCHEMA: [&str; 6] = [
    "CREATE TABLE orders (id bigint NOT NULL, customer bigint NOT NULL, amount numeric(20, 2), note text)",
    "CREATE MATERIALIZED VIEW by_customer AS SELECT customer, count(*) AS orders, sum(amount) AS amount FROM orders GROUP BY customer",
    "CREATE VIEW big AS SELECT * FROM orders WHERE amount > 400",
    "CREATE INDEX big_by_customer ON big (customer)",
    "CREATE TABLE doomed (n int)",
    "CREATE SOURCE ticker FROM LOAD GENERATOR COUNTER (TICK INTERVAL '100ms') FOR ALL TABLES",
];

/// Everything there is to ask about tables and what is derived from them.
const QUESTIONS: [&str; 8] = [
    "SELECT * FROM orders ORDER BY id",
    "SELECT * FROM by_customer ORDER BY customer",
    "SELECT * FROM big ORDER BY id",
    "SELECT customer, count(*) FROM big GROUP BY customer ORDER BY customer",
    "SELECT count(*), sum(id), max(note) FROM orders",
    "SELECT name FROM mz_tables WHERE id LIKE 'u%' ORDER BY name",
    "SELECT name FROM mz_materialized_views WHERE id LIKE 'u%' ORDER BY name",
    "SELECT name FROM mz_views WHERE id LIKE 'u%' ORDER BY name",
];

fn environmentd(args: &[&str]) -> Command {
    let mut command = Command::new(bin_dir().join("environmentd"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs a command to its end: its exit code, and all that it printed.
fn run(args: &[&str]) -> Result<(i32, String)> {
    let Output { status, stdout, stderr } = environmentd(args).output().context("environmentd cannot be run")?;
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    Ok((status.code().context("it was killed")?, text))
}

/// Runs a command that must succeed.
fn succeed(args: &[&str]) -> Result<String> {
    match run(args)? {
        (0, text) => Ok(text),
        (code, text) => bail!("{args:?} ended with {code}: {text}"),
    }
}

/// Runs a command that must fail with exit code 1.
fn fail(args: &[&str]) -> Result<String> {
    match run(args)? {
        (1, text) => Ok(text),
        (code, text) => bail!("{args:?} ended with {code}: {text}"),
    }
}

struct Places {
    _directory: tempfile::TempDir,
    root: PathBuf,
}

impl Places {
    fn new() -> Result<Places> {
        let directory = tempfile::tempdir()?;
        let root = directory.path().to_owned();
        Ok(Places { _directory: directory, root })
    }

    fn data(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn flag(&self, name: &str) -> String {
        format!("--data-dir={}", self.data(name).display())
    }

    fn backups(&self) -> String {
        format!("file:{}", self.root.join("backups").display())
    }
}

async fn answers(server: &Server) -> Result<Answers> {
    let client = server.connect().await?;
    let mut answers = Vec::new();
    for question in QUESTIONS {
        answers.push(rows(&client, question).await?);
    }
    Ok(answers)
}

async fn execute(server: &Server, statements: &[&str]) -> Result<()> {
    let client = server.connect().await?;
    for statement in statements {
        rows(&client, statement).await?;
    }
    Ok(())
}

/// Enough rows for parts in the blob store.
async fn fill(server: &Server, first: u64, count: u64) -> Result<()> {
    let last = first + count - 1;
    let insert = format!(
        "INSERT INTO orders SELECT g, g % 17, g % 997, 'order number ' || g FROM generate_series({first}, {last}) AS g"
    );
    execute(server, &[&insert]).await
}

/// The ticker's numbers have no gap: what was restored and what came later join.
async fn check_ticker(server: &Server) -> Result<()> {
    let client = server.connect().await?;
    let found = rows(&client, "SELECT count(*), max(counter) - min(counter) + 1 FROM counter").await?;
    ensure!(found[0][0] == found[0][1] && found[0][0].as_deref() != Some("0"), "{found:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_environment_answers_as_the_original_did() -> Result<()> {
    let places = Places::new()?;
    let (to, from) = (format!("--to={}", places.backups()), format!("--from={}", places.backups()));
    let server = Server::start_in(&places.data("original"), &[])?;
    execute(&server, &SCHEMA).await?;
    fill(&server, 1, 20_000).await?;
    execute(&server, &["DELETE FROM orders WHERE id % 10 = 3", "UPDATE orders SET amount = 1000 WHERE id = 8"]).await?;

    // A time to go back to.
    let client = server.connect().await?;
    let then = rows(&client, "SELECT mz_now()").await?[0][0].clone().context("a time")?;
    let then_answers = answers(&server).await?;
    execute(&server, &["DROP TABLE doomed", "CREATE TABLE later (n int)", "INSERT INTO later VALUES (1)"]).await?;
    fill(&server, 20_001, 5_000).await?;

    let text = succeed(&["backup", &to, &places.flag("original")])?;
    assert!(text.contains("asking the environment") && text.contains("is complete"), "{text}");
    let now_answers = answers(&server).await?;
    assert_ne!(now_answers, then_answers);
    // Another one right behind it has nothing to copy but what compaction wrote meanwhile.
    let text = succeed(&["backup", &to, &places.flag("original")])?;
    assert!(!text.contains("parts there already 0 "), "{text}");

    let text = succeed(&["restore", &from, &places.flag("copy")])?;
    assert!(text.contains("is restored into"), "{text}");
    let copy = Server::start_in(&places.data("copy"), &[])?;
    assert_eq!(answers(&copy).await?, now_answers);
    check_ticker(&copy).await?;
    // It is a database like any other.
    execute(&copy, &["INSERT INTO orders VALUES (1000000, 1, 1, 'new')", "CREATE TABLE more (n int)"]).await?;
    assert_ne!(answers(&copy).await?, now_answers);
    assert_eq!(answers(&server).await?, now_answers, "the original is another environment");

    succeed(&["restore", &from, "--at", &then, &places.flag("earlier")])?;
    let earlier = Server::start_in(&places.data("earlier"), &[])?;
    assert_eq!(answers(&earlier).await?, then_answers);
    check_ticker(&earlier).await?;

    let refused = fail(&["restore", &from, &places.flag("earlier")])?;
    assert!(refused.contains("in use"), "{refused}");
    let refused = fail(&["restore", &from, "--at", "2001-01-01T00:00:00Z", &places.flag("nothing")])?;
    assert!(refused.contains("times that can be had"), "{refused}");
    assert!(!places.data("nothing").exists(), "nothing was made");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_without_their_values_are_named_until_they_have_others() -> Result<()> {
    let statuses = "SELECT s.name, x.status, x.hint LIKE '%ALTER SECRET%' FROM mz_internal.mz_secret_statuses x \
                    JOIN mz_secrets s ON s.id = x.secret_id ORDER BY s.name";
    let row = |name: &str, status: &str, hint: Option<&str>| {
        vec![Some(name.to_owned()), Some(status.to_owned()), hint.map(str::to_owned)]
    };
    let (stored, missing) = (|name| row(name, "stored", None), |name| row(name, "missing", Some("t")));
    let places = Places::new()?;
    let server = Server::start_in(&places.data("original"), &[])?;
    execute(&server, &["CREATE SECRET one AS 'first'", "CREATE SECRET two AS 'second'"]).await?;
    assert_eq!(rows(&server.connect().await?, statuses).await?, [stored("one"), stored("two")]);
    succeed(&["backup", &format!("--to={}", places.backups()), &places.flag("original")])?;
    succeed(&["restore", &format!("--from={}", places.backups()), &places.flag("copy")])?;

    let mut copy = Server::start_in(&places.data("copy"), &[])?;
    let client = copy.connect().await?;
    assert_eq!(rows(&client, statuses).await?, [missing("one"), missing("two")]);
    client.batch_execute("ALTER SECRET one AS 'again'").await?;
    assert_eq!(rows(&client, statuses).await?, [stored("one"), missing("two")]);
    copy.kill_and_restart()?;
    let client = copy.connect().await?;
    assert_eq!(rows(&client, statuses).await?, [stored("one"), missing("two")]);
    client.batch_execute("DROP SECRET two; CREATE SECRET two AS 'new'").await?;
    assert_eq!(rows(&client, statuses).await?, [stored("one"), stored("two")]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_backups_are_deleted_but_for_those_to_keep() -> Result<()> {
    let places = Places::new()?;
    let (to, from) = (format!("--to={}", places.backups()), format!("--from={}", places.backups()));
    let server = Server::start_in(&places.data("original"), &[])?;
    execute(&server, &SCHEMA).await?;
    for round in 0..4 {
        fill(&server, 1 + 5_000 * round, 5_000).await?;
        succeed(&["backup", &to, "--keep=2", &places.flag("original")])?;
    }
    let expected = answers(&server).await?;
    let listed = succeed(&["restore", &from, "--list"])?;
    let backups: Vec<&str> = listed.lines().skip(1).collect();
    assert_eq!(backups.len(), 2, "{listed}");
    for (index, backup) in backups.iter().enumerate() {
        let id = backup.split_whitespace().next().context("an id")?;
        succeed(&["restore", &from, "--backup", id, &places.flag(id)])?;
        let copy = Server::start_in(&places.data(id), &[])?;
        let found = answers(&copy).await?;
        assert_eq!(found == expected, index == 1, "the newest is last, and the one before lacks its rows");
    }
    Ok(())
}

/// One writer of 1, 2, 3, ...: what is restored must be a beginning of that.
async fn write(server: &Server, stop: Arc<AtomicBool>, acknowledged: Arc<AtomicU64>) -> Result<()> {
    let client = server.connect().await?;
    let mut n = 0;
    while !stop.load(Ordering::SeqCst) {
        n += 1;
        rows(&client, &format!("INSERT INTO orders VALUES ({n}, {}, 500, 'w')", n % 3)).await?;
        acknowledged.store(n, Ordering::SeqCst);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_writes_is_of_one_moment() -> Result<()> {
    let places = Places::new()?;
    let (to, from) = (format!("--to={}", places.backups()), format!("--from={}", places.backups()));
    let server = Server::start_in(&places.data("original"), &[])?;
    execute(&server, &SCHEMA).await?;
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let backups = async {
        let mut seen = Vec::new();
        for _ in 0..3 {
            // Until some more was written.
            let before = acknowledged.load(Ordering::SeqCst);
            while acknowledged.load(Ordering::SeqCst) < before + 20 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let before = acknowledged.load(Ordering::SeqCst);
            let (to, flag) = (to.clone(), places.flag("original"));
            let text = tokio::task::spawn_blocking(move || succeed(&["backup", &to, &flag])).await??;
            let id = text.split("backup ").nth(1).and_then(|rest| rest.split(' ').next()).context("an id")?;
            seen.push((id.to_owned(), before, acknowledged.load(Ordering::SeqCst)));
        }
        stop.store(true, Ordering::SeqCst);
        Ok::<_, anyhow::Error>(seen)
    };
    let (written, seen) = tokio::join!(write(&server, Arc::clone(&stop), Arc::clone(&acknowledged)), backups);
    written?;
    for (index, (id, before, after)) in seen?.into_iter().enumerate() {
        let name = format!("copy{index}");
        succeed(&["restore", &from, "--backup", &id, &places.flag(&name)])?;
        let copy = Server::start_in(&places.data(&name), &[])?;
        let client = copy.connect().await?;
        let found = rows(&client, "SELECT count(*), max(id) FROM orders").await?;
        let count: u64 = found[0][0].as_deref().context("a count")?.parse()?;
        assert_eq!(found[0][0], found[0][1], "a beginning of what was written, without gaps");
        assert!(count >= before, "{count} rows, but {before} were acknowledged before the backup began");
        assert!(count <= after + 1, "{count} rows, but only {after} were acknowledged when it was complete");
        let viewed = rows(&client, "SELECT sum(orders) FROM by_customer").await?;
        assert_eq!(viewed[0][0], found[0][0], "the view agrees with its table");
        check_ticker(&copy).await?;
    }
    Ok(())
}

fn spawn(args: &[&str]) -> Result<Child> {
    environmentd(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("environmentd cannot be run")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_leaves_no_half_backup_and_no_half_restore() -> Result<()> {
    let mut rng = StdRng::seed_from_u64(system_test::seed());
    let places = Places::new()?;
    let (to, from) = (format!("--to={}", places.backups()), format!("--from={}", places.backups()));
    let mut server = Server::start_in(&places.data("original"), &[])?;
    execute(&server, &SCHEMA).await?;
    for n in 0..8 {
        fill(&server, n * 10_000 + 1, 10_000).await?;
    }
    let before = answers(&server).await?;
    for _ in 0..4 {
        let mut backup = spawn(&["backup", &to, &places.flag("original")])?;
        // The pause decides what the kill hits: it is the fault's timing, not a wait for something.
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..400))).await;
        server.kill();
        let complete = backup.wait()?.success();
        let listed = match places.root.join("backups").exists() {
            true => succeed(&["restore", &from, "--list"])?,
            false => String::new(),
        };
        assert!(!complete || listed.contains("MiB") || listed.contains("KiB"), "{listed}");
        server.start_again()?;
        assert_eq!(answers(&server).await?, before);
    }
    succeed(&["backup", &to, &places.flag("original")])?;
    let pins: serde_json::Value =
        serde_json::from_str(&succeed(&["persist", "inspect", "--json", &places.flag("original")])?)?;
    assert_eq!(pins["pins"], serde_json::json!([]), "no pin outlives its backup");
    assert_eq!(pins["in_use"], serde_json::json!(true));

    for round in 0..4 {
        let name = format!("copy{round}");
        let mut restore = spawn(&["restore", &from, &places.flag(&name)])?;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..300))).await;
        restore.kill()?;
        let _ = restore.wait()?;
        let half = places.data(&name).join("blobs").join("restoring").exists();
        if half {
            let refused = fail(&[&places.flag(&name), "--sql-listen-addr=127.0.0.1:0"])?;
            assert!(refused.contains("was interrupted"), "{refused}");
        }
        match run(&["restore", &from, &places.flag(&name)])? {
            (0, _) => {}
            // The first had been complete.
            (code, text) => ensure!(!half && text.contains("not empty"), "{code}: {text}"),
        }
        let copy = Server::start_in(&places.data(&name), &[])?;
        assert_eq!(answers(&copy).await?, before);
    }
    Ok(())
}

/// Flips a bit in the middle of a file.
fn flip(path: &Path, at: usize) -> Result<()> {
    let mut bytes = std::fs::read(path)?;
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes)?;
    Ok(())
}

fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|is| is == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("it has a name")?);
        if path.is_dir() {
            copy_tree(&path, &target)?;
        } else if path.is_file() {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// Every file with its bytes; sockets have none.
fn contents(directory: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(contents(&path)?);
        } else if path.is_file() {
            found.push((path.clone(), std::fs::read(&path)?));
        }
    }
    found.sort();
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits_are_named_by_verify_and_refused_by_the_server() -> Result<()> {
    let places = Places::new()?;
    let mut server = Server::start_in(&places.data("original"), &[])?;
    execute(&server, &SCHEMA).await?;
    fill(&server, 1, 20_000).await?;
    // Recovery puts what was logged until now into table files; what comes later stays in the write-ahead file.
    server.kill_and_restart()?;
    fill(&server, 20_001, 20_000).await?;
    let running = succeed(&["persist", "verify", &places.flag("original")])?;
    assert!(running.contains("everything is sound"), "{running}");
    server.kill();

    let before = contents(&places.data("original"))?;
    let sound = succeed(&["persist", "verify", &places.flag("original")])?;
    assert!(sound.contains("everything is sound"), "{sound}");
    let inspected = succeed(&["persist", "inspect", &places.flag("original")])?;
    for expected in ["(catalog)", "table materialize.public.orders", "materialized view materialize.public.by_customer"]
    {
        assert!(inspected.contains(expected), "{inspected}");
    }
    let logs = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<(PathBuf, Vec<u8>)> {
        files.into_iter().filter(|(path, _)| !path.ends_with("environmentd.log") && !path.ends_with("LOCK")).collect()
    };
    assert_eq!(logs(contents(&places.data("original"))?), logs(before), "looking changes nothing");

    let part = files(&places.data("original").join("blobs/part"), "rpf")?.pop().context("some part")?;
    let damages: [(&str, fn(&Path) -> Result<PathBuf>); 3] = [
        ("part", |data| files(&data.join("blobs/part"), "rpf")?.pop().context("some part")),
        ("wal", |data| files(&data.join("log/db"), "log")?.pop().context("a write-ahead file")),
        ("sst", |data| {
            let tables = files(&data.join("log/db"), "sst")?;
            tables.into_iter().max_by_key(|path| path.metadata().map_or(0, |data| data.len())).context("a table file")
        }),
    ];
    for (name, find) in damages {
        let data = places.data(name);
        copy_tree(&places.data("original"), &data)?;
        let path = find(&data)?;
        // Behind what is written, a write-ahead file has zeros.
        let written = std::fs::read(&path)?.iter().rposition(|byte| *byte != 0).context("something is written")?;
        flip(&path, written / 3)?;
        let found = fail(&["persist", "verify", &places.flag(name)])?;
        let file = path.file_name().and_then(|file| file.to_str()).context("a name")?;
        assert!(found.contains(file), "{name}: {found}");
        assert!(found.contains("offset"), "{name}: {found}");
        if name == "part" {
            assert!(found.contains("shard ") && found.contains("1 damaged"), "{found}");
            assert!(part.ends_with(file), "the last part");
            continue;
        }
        // The log is refused at the start, and stays as it was.
        let before = logs(contents(&data)?);
        let refused = fail(&[&places.flag(name), "--sql-listen-addr=127.0.0.1:0"])?;
        assert!(refused.contains(file), "{name}: {refused}");
        let kept = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<(PathBuf, Vec<u8>)> {
            let is_data = |path: &Path| path.extension().is_some_and(|is| is == "log" || is == "sst" || is == "rpf");
            files.into_iter().filter(|(path, _)| is_data(path)).collect()
        };
        let after = kept(contents(&data)?);
        for (path, bytes) in kept(before) {
            let same = after.iter().any(|(other, kept)| *other == path && *kept == bytes);
            // Recovery may move sound entries from the write-ahead file into a table before it meets a damaged table.
            assert!(same || (name == "sst" && path.extension().is_some_and(|is| is == "log")), "{}", path.display());
        }
    }
    Ok(())
}
