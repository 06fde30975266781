//! What users do, over and over, and what they note.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use environmentd::embedded::{Embedded, EmbeddedSession, TextRow};
use environmentd::error::Error;
use parking_lot::Mutex;
use stdx::{Rng, Tasks};

use crate::history::{Change, Contents, History, Outcome, Read};

const COUNTERS: u64 = 3;
const ACCOUNTS: u64 = 4;

/// Made by whichever environment comes first.
const SCHEMA: [&str; 8] = [
    "CREATE TABLE ledger (id int, account int, amount int)",
    "CREATE TABLE mirror (id int, account int, amount int)",
    "CREATE TABLE counters (key int, n int)",
    "CREATE VIEW totals AS SELECT account, count(*) AS rows, sum(amount) AS amount FROM ledger GROUP BY account",
    "CREATE INDEX totals_by_account ON totals (account)",
    "CREATE MATERIALIZED VIEW pairs AS SELECT l.account, count(*) AS rows, sum(m.amount) AS amount \
     FROM ledger l JOIN mirror m ON l.id = m.id GROUP BY l.account",
    "CREATE VIEW counters_sum AS SELECT sum(n) AS n FROM counters",
    "CREATE INDEX counters_sum_index ON counters_sum (n)",
];
const SOURCE: [&str; 2] = [
    "CREATE SOURCE ticks FROM LOAD GENERATOR COUNTER (TICK INTERVAL '300ms') FOR ALL TABLES",
    "CREATE MATERIALIZED VIEW tick_totals AS SELECT count(*) AS n, sum(counter) AS total FROM counter",
];
/// Two replicas that write one view, and take a source over from each other.
const RACE: [&str; 4] = [
    "CREATE CLUSTER racing (SIZE = '1', REPLICATION FACTOR = 2)",
    "CREATE SOURCE ticks IN CLUSTER racing FROM LOAD GENERATOR COUNTER (TICK INTERVAL '300ms') FOR ALL TABLES",
    "CREATE MATERIALIZED VIEW tick_totals AS SELECT count(*) AS n, sum(counter) AS total FROM counter",
    "CREATE MATERIALIZED VIEW raced IN CLUSTER racing AS SELECT l.account, count(*) AS rows, sum(m.amount) AS amount \
     FROM ledger l JOIN mirror m ON l.id = m.id GROUP BY l.account",
];

/// Notes shared by all clients of a run, and what they need.
#[derive(Clone)]
pub struct Clients {
    pub history: Arc<Mutex<History>>,
    pub rng: Rng,
    pub environment: Arc<Embedded>,
    pub tasks: Tasks,
    /// Whether there is a view that two replicas write.
    pub race: bool,
}

/// What to make of a statement's failure. Panics on those that no crash explains.
pub(crate) fn outcome_of(error: &Error) -> Outcome {
    match &*error.code {
        // Serialization failures, a full disk.
        "40001" | "53100" => Outcome::Refused,
        // The leader or the committer has gone, or the statement took too long.
        "08007" | "57P01" | "57014" => Outcome::Unknown,
        _ => panic!("unexpected: {} {error} ({:?})", error.code, error.detail),
    }
}

impl Clients {
    pub(crate) fn session(&self) -> EmbeddedSession {
        self.environment.session("client").expect("there are places")
    }

    pub(crate) async fn pause(&self, ms_max: u64) {
        self.tasks.sleep(Duration::from_millis(1 + self.rng.below(ms_max))).await;
    }

    /// Makes what is missing of the schema, and the counters; false if the environment has come to its end.
    pub async fn make_schema(&self) -> bool {
        let mut session = self.session();
        let more: &[&str] = if self.race { &RACE } else { &SOURCE };
        for statement in SCHEMA.iter().chain(more) {
            loop {
                match session.query(statement).await {
                    Ok(_) => break,
                    Err(error) if matches!(&*error.code, "42P07" | "42710") => break,
                    Err(error) if &*error.code == "57014" => {}
                    Err(error) if outcome_of(&error) == Outcome::Unknown => return false,
                    Err(_) => self.pause(100).await,
                }
            }
        }
        let fill = format!(
            "INSERT INTO counters SELECT n, 0 FROM generate_series(0, {}) AS g(n) \
             WHERE NOT EXISTS (SELECT 1 FROM counters)",
            COUNTERS - 1
        );
        loop {
            match session.query(&fill).await {
                Ok(_) => return true,
                Err(error) if &*error.code == "57014" => {}
                Err(error) if outcome_of(&error) == Outcome::Unknown => return false,
                Err(_) => self.pause(100).await,
            }
        }
    }

    /// Writes for ever.
    pub async fn write(self) {
        let mut session = self.session();
        let mut mine = Vec::new();
        loop {
            self.pause(300).await;
            let (change, text) = self.next_write(&mut mine);
            let write = self.history.lock().begin(change.clone());
            let outcome = match session.query(&text).await {
                Ok(_) => Outcome::Acknowledged,
                Err(error) => outcome_of(&error),
            };
            self.history.lock().end(write, outcome);
            if let (Change::Insert { id, .. }, Outcome::Acknowledged) = (&change, outcome) {
                mine.push(*id);
            }
            if outcome != Outcome::Acknowledged {
                // Nothing of a failed block goes on.
                session = self.session();
            }
        }
    }

    fn next_write(&self, mine: &mut Vec<i64>) -> (Change, String) {
        match self.rng.below(10) {
            0..3 => {
                let key = i64::try_from(self.rng.below(COUNTERS)).expect("few counters");
                (Change::Increment { key }, format!("UPDATE counters SET n = n + 1 WHERE key = {key}"))
            }
            3..5 if !mine.is_empty() => {
                let index = usize::try_from(self.rng.below(mine.len() as u64)).expect("few rows");
                let id = mine.swap_remove(index);
                (Change::Delete { id }, format!("DELETE FROM ledger WHERE id = {id}"))
            }
            kind => {
                let id = self.history.lock().fresh_id();
                let (account, amount) = (self.rng.below(ACCOUNTS), self.rng.below(1000));
                let both = kind >= 7;
                let mut text = format!("INSERT INTO ledger VALUES ({id}, {account}, {amount})");
                if both {
                    text = format!("BEGIN; {text}; INSERT INTO mirror VALUES ({id}, {account}, {amount}); COMMIT");
                }
                (Change::Insert { id, both }, text)
            }
        }
    }

    /// Reads for ever, a single view or everything at one time.
    pub async fn read(self) {
        loop {
            self.pause(500).await;
            let mut session = self.session();
            if self.rng.below(4) == 0 {
                let limit = format!("SET statement_timeout = '{}ms'", 1 + self.rng.below(300));
                session.query(&limit).await.expect("a variable");
            }
            let start = self.history.lock().event();
            let read = match self.rng.below(5) {
                0 | 1 => read_all(&mut session, self.race).await,
                2 | 3 => read_sum(&mut session).await,
                _ => read_ticks(&mut session).await,
            };
            match read {
                Ok((at, contents)) => {
                    let mut history = self.history.lock();
                    let end = history.event();
                    history.reads.push(Read { start, end, at, contents });
                }
                Err(error) => {
                    self.history.lock().canceled += usize::from(&*error.code == "57014");
                    outcome_of(&error);
                }
            }
        }
    }
}

async fn read_sum(session: &mut EmbeddedSession) -> Result<(u64, Contents), Error> {
    let rows = session.query("SELECT mz_now(), n FROM counters_sum").await?;
    let [row] = &rows[..] else { panic!("one sum, not {rows:?}") };
    Ok((number(&row[0]), Contents { counters_sum: Some(integer(&row[1])), ..Contents::default() }))
}

/// Reads the source, and the view over it; each tick is there once.
async fn read_ticks(session: &mut EmbeddedSession) -> Result<(u64, Contents), Error> {
    session.query("BEGIN").await?;
    let rows = session.query("SELECT counter FROM counter").await?;
    let totals = session.query("SELECT mz_now(), n, total FROM tick_totals").await?;
    session.query("COMMIT").await?;
    let mut ticks: Vec<i64> = rows.iter().map(|row| integer(&row[0])).collect();
    ticks.sort_unstable();
    let count = ticks.len() as i64;
    assert!(ticks.iter().copied().eq(1..=count), "each tick is there once, not {ticks:?}");
    let [total] = &totals[..] else { panic!("one total, not {totals:?}") };
    let (at, sum) = (number(&total[0]), total[2].as_ref().map_or(0, |_| integer(&total[2])));
    assert_eq!((integer(&total[1]), sum), (count, ticks.iter().sum()), "at {at}: the view of ticks is what there is");
    Ok((at, Contents { ticks: Some(count), ..Contents::default() }))
}

/// Reads tables and views in one block, and computes the views anew.
async fn read_all(session: &mut EmbeddedSession, race: bool) -> Result<(u64, Contents), Error> {
    session.query("BEGIN").await?;
    let totals = groups(&session.query("SELECT * FROM totals").await?);
    let pairs = groups(&session.query("SELECT * FROM pairs").await?);
    let raced = if race { Some(groups(&session.query("SELECT * FROM raced").await?)) } else { None };
    let ledger = rows_by_id(&session.query("SELECT * FROM ledger").await?);
    let mirror = rows_by_id(&session.query("SELECT * FROM mirror").await?);
    let counters = session.query("SELECT key, n FROM counters").await?;
    let sum = session.query("SELECT mz_now(), n FROM counters_sum").await?;
    session.query("COMMIT").await?;
    let at = number(&sum[0][0]);
    let counted = counters.len();
    let counters: BTreeMap<i64, i64> = counters.iter().map(|row| (integer(&row[0]), integer(&row[1]))).collect();
    assert_eq!((counted as u64, counters.len() as u64), (COUNTERS, COUNTERS), "each counter is there once");
    let counters_sum = counters.values().sum();
    assert_eq!(integer(&sum[0][1]), counters_sum, "at {at}: the view of counters is their sum");
    assert_eq!(totals, regroup(ledger.values().copied()), "at {at}: the indexed view is what its table says");
    let joined = ledger.iter().filter_map(|(id, (account, _))| mirror.get(id).map(|(_, amount)| (*account, *amount)));
    assert_eq!(pairs, regroup(joined), "at {at}: the materialized view is what its tables say");
    if let Some(raced) = raced {
        assert_eq!(raced, pairs, "at {at}: the view that two replicas write is what its tables say");
    }
    let (ledger, mirror, counters) = (Some(ledger), Some(mirror), Some(counters));
    let contents = Contents { ledger, mirror, counters, counters_sum: Some(counters_sum), ticks: None };
    Ok((at, contents))
}

pub(crate) fn regroup(rows: impl Iterator<Item = (i64, i64)>) -> BTreeMap<i64, (i64, i64)> {
    let mut groups: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for (account, amount) in rows {
        let group = groups.entry(account).or_default();
        *group = (group.0 + 1, group.1 + amount);
    }
    groups
}

pub(crate) fn groups(rows: &[TextRow]) -> BTreeMap<i64, (i64, i64)> {
    rows_by_id(rows)
}

/// Three integers a row, the first of which no two rows share.
pub(crate) fn rows_by_id(rows: &[TextRow]) -> BTreeMap<i64, (i64, i64)> {
    let by_id: BTreeMap<i64, (i64, i64)> =
        rows.iter().map(|row| (integer(&row[0]), (integer(&row[1]), integer(&row[2])))).collect();
    assert_eq!(by_id.len(), rows.len(), "no row is there twice: {rows:?}");
    by_id
}

pub(crate) fn integer(text: &Option<String>) -> i64 {
    text.as_deref().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("not an integer: {text:?}"))
}

fn number(text: &Option<String>) -> u64 {
    u64::try_from(integer(text)).expect("times are not negative")
}
