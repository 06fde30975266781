//! DECLARE, FETCH and CLOSE.

use std::collections::VecDeque;
use std::time::Duration;

use repr::Row;
use sql::plan::{FetchCount, Params};
use sql::statement::Statement;

use super::complete;
use crate::error::Error;
use crate::session::{Cursor, Response, Rows, Session};

/// Rows taken from a query at a time.
const FETCH_BATCH: usize = 1_000;

impl Session {
    pub(super) async fn declare(&mut self, name: String, statement: &Statement) -> Result<Response, Error> {
        if self.status() != crate::session::TransactionStatus::InTransaction {
            return Err(Error::new("25P01", "DECLARE CURSOR can only be used in transaction blocks"));
        }
        if self.cursors.contains_key(&name) {
            return Err(Error::new("42P03", format!("cursor \"{name}\" already exists")));
        }
        self.admit_name(self.cursors.len())?;
        match Box::pin(self.sequence(statement, Params::default(), None)).await? {
            Response::Rows { desc, rows, .. } => {
                self.cursors.insert(name, Cursor { desc, rows, pending: VecDeque::new() });
                complete("DECLARE CURSOR")
            }
            _ => Err(Error::new("42P11", "a cursor can only be declared for a query")),
        }
    }

    pub(super) async fn fetch(
        &mut self,
        name: &str,
        count: FetchCount,
        timeout_ms: Option<u64>,
    ) -> Result<Response, Error> {
        let tasks = self.environment.tasks.clone();
        let cursor = self.cursors.get_mut(name);
        let cursor = cursor.ok_or_else(|| Error::new("34000", format!("cursor \"{name}\" does not exist")))?;
        let wanted = match count {
            FetchCount::All => usize::MAX,
            FetchCount::Rows(rows) => usize::try_from(rows).unwrap_or(usize::MAX),
        };
        let rows = match timeout_ms {
            None => cursor.take(wanted, count == FetchCount::All).await?,
            Some(limit_ms) => {
                // What arrived before the deadline is kept in the cursor, so nothing is lost by giving up.
                if let Ok(outcome) = tasks.timeout(Duration::from_millis(limit_ms), cursor.fill(wanted)).await {
                    outcome?;
                }
                cursor.drain(wanted)
            }
        };
        Ok(Response::Rows { desc: cursor.desc.clone(), rows: Rows::ready(rows), verb: "FETCH" })
    }

    pub(super) fn close(&mut self, cursor: Option<String>) -> Result<Response, Error> {
        match cursor {
            None => self.cursors.clear(),
            Some(name) => {
                if self.cursors.remove(&name).is_none() {
                    return Err(Error::new("34000", format!("cursor \"{name}\" does not exist")));
                }
            }
        }
        complete("CLOSE CURSOR")
    }
}

impl Cursor {
    /// The next rows. A subscription waits for at least one row; `all` of it means all that is there.
    async fn take(&mut self, wanted: usize, all: bool) -> Result<Vec<Row>, Error> {
        match (&self.rows, all) {
            (Rows::Subscribe(_), _) => {
                while self.pending.is_empty() && wanted > 0 {
                    if !self.pull(wanted).await? {
                        break;
                    }
                }
            }
            (Rows::Ready(_), _) => self.fill(wanted).await?,
        }
        Ok(self.drain(wanted))
    }

    fn drain(&mut self, wanted: usize) -> Vec<Row> {
        let count = wanted.min(self.pending.len());
        self.pending.drain(..count).collect()
    }

    /// Takes rows until `wanted` are pending or there are no more.
    async fn fill(&mut self, wanted: usize) -> Result<(), Error> {
        while self.pending.len() < wanted {
            if !self.pull(wanted - self.pending.len()).await? {
                break;
            }
        }
        Ok(())
    }

    /// Moves one batch to the pending rows; false when there will be no more.
    async fn pull(&mut self, wanted: usize) -> Result<bool, Error> {
        match self.rows.next(wanted.min(FETCH_BATCH)).await {
            None => Ok(false),
            Some(batch) => {
                self.pending.extend(batch?);
                Ok(true)
            }
        }
    }
}
