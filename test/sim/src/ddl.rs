//! A user who makes and drops objects while all else goes on, and what others may find of them.
//!
//! Each object's life is noted as it was answered: one whose making was acknowledged is there until someone asks for its end,
//! one whose end was acknowledged is gone.

use std::collections::BTreeMap;

use environmentd::embedded::EmbeddedSession;
use environmentd::error::Error;

use crate::client::{Clients, groups, integer, outcome_of, regroup, rows_by_id};
use crate::history::Outcome;

/// Rows that each scratch table gets at a time.
const ROWS: i64 = 2;

/// A table that was asked for, with the view over it.
#[derive(Clone, Copy, Debug)]
pub struct Scratch {
    created: Outcome,
    /// None: nobody has asked for its end.
    dropped: Option<Outcome>,
    rows_least: i64,
    rows_most: i64,
}

/// All scratch tables of a run, over all environments.
#[derive(Default)]
pub struct Catalogue {
    next: u64,
    tables: BTreeMap<u64, Scratch>,
    /// Statements that were acknowledged.
    pub acknowledged: usize,
    /// Objects that were looked for.
    pub looked_for: usize,
    /// Views over them that were read, and found to be what their tables say.
    pub compared: usize,
    /// Changes of replicas that were acknowledged.
    pub resized: usize,
}

impl Catalogue {
    fn begin(&mut self) -> u64 {
        self.next += 1;
        let scratch = Scratch { created: Outcome::Unknown, dropped: None, rows_least: 0, rows_most: 0 };
        self.tables.insert(self.next, scratch);
        self.next
    }

    fn update(&mut self, number: u64, change: impl FnOnce(&mut Scratch)) {
        if let Some(scratch) = self.tables.get_mut(&number) {
            change(scratch);
        }
    }
}

/// The statement was not acknowledged.
struct Stopped;

impl Clients {
    /// Makes, reads and drops objects for ever.
    pub async fn define(self) {
        loop {
            self.pause(2_000).await;
            let mut session = self.session();
            // Nothing of a failed statement's session goes on.
            if self.look_for_one(&mut session).await.is_ok() {
                let _ = self.live_and_die(&mut session).await;
            }
            if self.rng.below(3) == 0 {
                self.resize().await;
            }
        }
    }

    /// The life of one table with a maintained view over it.
    async fn live_and_die(&self, session: &mut EmbeddedSession) -> Result<(), Stopped> {
        let number = self.history.lock().catalogue.begin();
        let created = self.ddl(session, &format!("CREATE TABLE scratch_{number} (id int, account int)")).await;
        self.history.lock().catalogue.update(number, |scratch| scratch.created = created);
        self.go_on(created)?;
        self.fill(session, number).await?;
        let view = format!(
            "CREATE VIEW scratch_view_{number} AS \
             SELECT l.account, count(*) AS rows, sum(l.amount) AS amount \
             FROM ledger l JOIN scratch_{number} s ON l.account = s.account GROUP BY l.account"
        );
        let created = self.ddl(session, &view).await;
        self.go_on(created)?;
        let (maintained, read) = if self.rng.below(2) == 0 {
            let name = format!("scratch_totals_{number}");
            (format!("CREATE MATERIALIZED VIEW {name} AS SELECT * FROM scratch_view_{number}"), name)
        } else {
            let name = format!("scratch_view_{number}");
            (format!("CREATE INDEX scratch_index_{number} ON {name} (account)"), name)
        };
        let created = self.ddl(session, &maintained).await;
        self.go_on(created)?;
        self.compare(session, number, &read).await?;
        if self.rng.below(4) > 0 {
            self.history.lock().catalogue.update(number, |scratch| scratch.dropped = Some(Outcome::Unknown));
            let dropped = self.ddl(session, &format!("DROP TABLE scratch_{number} CASCADE")).await;
            // Refused, it may be tried again by nobody: the table stays.
            let dropped = (dropped != Outcome::Refused).then_some(dropped);
            self.history.lock().catalogue.update(number, |scratch| scratch.dropped = dropped);
        }
        Ok(())
    }

    /// Gives the cluster other replicas, in a session of its own.
    async fn resize(&self) {
        let size = ["1", "25cc", "50cc"][self.rng.below(3) as usize];
        let factor = 1 + self.rng.below(2);
        let wait = match self.rng.below(4) {
            0 => "WITH (WAIT UNTIL READY (TIMEOUT '5s', ON TIMEOUT COMMIT))",
            1 => "WITH (WAIT UNTIL READY (TIMEOUT '5s', ON TIMEOUT ROLLBACK))",
            _ => "",
        };
        let resize = format!("ALTER CLUSTER quickstart SET (SIZE '{size}', REPLICATION FACTOR {factor}) {wait}");
        match self.session().query(&resize).await {
            Ok(_) => self.history.lock().catalogue.resized += 1,
            // Not in time.
            Err(error) if &*error.code == "55000" => {}
            Err(error) => drop(outcome_of(&error)),
        }
    }

    async fn ddl(&self, session: &mut EmbeddedSession, text: &str) -> Outcome {
        match session.query(text).await {
            Ok(_) => {
                self.history.lock().catalogue.acknowledged += 1;
                Outcome::Acknowledged
            }
            Err(error) => outcome_of(&error),
        }
    }

    fn go_on(&self, outcome: Outcome) -> Result<(), Stopped> {
        if outcome == Outcome::Acknowledged { Ok(()) } else { Err(Stopped) }
    }

    /// Inserts one row for each of the first accounts.
    async fn fill(&self, session: &mut EmbeddedSession, number: u64) -> Result<(), Stopped> {
        self.history.lock().catalogue.update(number, |scratch| scratch.rows_most += ROWS);
        let filled = self.ddl(session, &format!("INSERT INTO scratch_{number} VALUES (1, 0), (2, 1)")).await;
        self.history.lock().catalogue.update(number, |scratch| match filled {
            Outcome::Acknowledged => scratch.rows_least += ROWS,
            Outcome::Refused => scratch.rows_most -= ROWS,
            Outcome::Unknown => {}
        });
        self.go_on(filled)
    }

    /// Reads what is maintained, and the tables, at one time.
    async fn compare(&self, session: &mut EmbeddedSession, number: u64, view: &str) -> Result<(), Stopped> {
        let read = async {
            session.query("BEGIN").await?;
            let maintained = session.query(&format!("SELECT * FROM {view}")).await?;
            let ledger = session.query("SELECT * FROM ledger").await?;
            let scratch = session.query(&format!("SELECT account FROM scratch_{number}")).await?;
            session.query("COMMIT").await?;
            Ok((maintained, ledger, scratch))
        };
        let read: Result<_, Error> = read.await;
        let (maintained, ledger, scratch) = read.map_err(|error| {
            outcome_of(&error);
            Stopped
        })?;
        let accounts: Vec<i64> = scratch.iter().map(|row| integer(&row[0])).collect();
        assert_eq!(accounts.len() as i64, ROWS, "the rows of scratch table {number}");
        let rows = rows_by_id(&ledger);
        let joined = regroup(rows.values().copied().filter(|(account, _)| accounts.contains(account)));
        assert_eq!(groups(&maintained), joined, "{view} is what its tables say");
        self.history.lock().catalogue.compared += 1;
        Ok(())
    }

    /// Looks whether one of all tables is there.
    async fn look_for_one(&self, session: &mut EmbeddedSession) -> Result<(), Stopped> {
        let next = self.history.lock().catalogue.next;
        if next == 0 {
            return Ok(());
        }
        let number = 1 + self.rng.below(next);
        let now = || self.history.lock().catalogue.tables.get(&number).copied();
        let Some(before) = now() else { return Ok(()) };
        let found = session.query(&format!("SELECT count(*) FROM scratch_{number}")).await;
        let Some(after) = now() else { return Ok(()) };
        match found {
            Ok(rows) => {
                let count = integer(&rows[0][0]);
                assert_ne!(before.dropped, Some(Outcome::Acknowledged), "table {number} was dropped, and is there");
                assert_ne!(after.created, Outcome::Refused, "table {number} was refused, and is there");
                let bounds = before.rows_least..=after.rows_most;
                assert!(bounds.contains(&count), "table {number} has {count} rows, not {bounds:?}");
            }
            // Not there, or dropped while it was read.
            Err(error) if matches!(&*error.code, "42P01" | "42704") => {
                let kept = before.created == Outcome::Acknowledged && after.dropped.is_none();
                assert!(!kept, "table {number} was made, and is lost");
            }
            Err(error) => {
                outcome_of(&error);
                return Err(Stopped);
            }
        }
        self.history.lock().catalogue.looked_for += 1;
        Ok(())
    }
}
