//! `BEGIN`, `COMMIT`, `ROLLBACK`, `SET TRANSACTION`.

use sqlparser::tokenizer::Token;

use crate::error::Error;
use crate::parse::Cursor;
use crate::plan::{Plan, TransactionMode};

#[derive(Clone, Debug)]
pub enum Transaction {
    Begin { tag: &'static str, modes: Vec<TransactionMode> },
    Set { modes: Vec<TransactionMode>, session: bool },
    Commit,
    Rollback,
}

impl Transaction {
    /// Reads a statement that begins or ends a transaction; None if another comes next.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Transaction>, Error> {
        if cursor.take(&["begin"]) {
            take_work(cursor);
            return Ok(Some(Transaction::Begin { tag: "BEGIN", modes: parse_modes(cursor)? }));
        }
        if cursor.take(&["start", "transaction"]) {
            return Ok(Some(Transaction::Begin { tag: "START TRANSACTION", modes: parse_modes(cursor)? }));
        }
        if cursor.take(&["commit"]) || cursor.take(&["end"]) {
            parse_end(cursor)?;
            return Ok(Some(Transaction::Commit));
        }
        if cursor.take(&["rollback"]) || cursor.take(&["abort"]) {
            parse_end(cursor)?;
            return Ok(Some(Transaction::Rollback));
        }
        if cursor.peek_words(&["savepoint"]) || cursor.peek_words(&["release"]) {
            return Err(cursor.unsupported("SAVEPOINT"));
        }
        Ok(None)
    }

    pub(crate) fn tag(&self) -> &'static str {
        match self {
            Transaction::Begin { tag, .. } => tag,
            Transaction::Set { .. } => "SET",
            Transaction::Commit => "COMMIT",
            Transaction::Rollback => "ROLLBACK",
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        match self.clone() {
            Transaction::Begin { tag, modes } => Plan::Begin { tag, modes },
            Transaction::Set { modes, session } => Plan::SetTransaction { modes, session },
            Transaction::Commit => Plan::Commit,
            Transaction::Rollback => Plan::Rollback,
        }
    }
}

fn take_work(cursor: &mut Cursor<'_>) {
    if !cursor.take(&["work"]) {
        cursor.take(&["transaction"]);
    }
}

fn parse_end(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    take_work(cursor);
    if cursor.peek_words(&["to"]) {
        return Err(cursor.unsupported("SAVEPOINT"));
    }
    if cursor.peek_words(&["prepared"]) || cursor.peek_words(&["and", "chain"]) {
        return Err(cursor.unsupported("a transaction that is chained or prepared"));
    }
    cursor.take(&["and", "no", "chain"]);
    Ok(())
}

/// Reads transaction modes, with or without commas between; there may be none.
pub(crate) fn parse_modes(cursor: &mut Cursor<'_>) -> Result<Vec<TransactionMode>, Error> {
    let mut modes = Vec::new();
    loop {
        let mode = parse_mode(cursor)?;
        let found = mode.is_some();
        modes.extend(mode.flatten());
        if !found {
            return Ok(modes);
        }
        if cursor.take_token(&Token::Comma) && *cursor.peek() == Token::EOF {
            return Err(cursor.expected("a transaction mode"));
        }
    }
}

/// Reads one mode; None if none comes next, Some(None) for one without effect.
fn parse_mode(cursor: &mut Cursor<'_>) -> Result<Option<Option<TransactionMode>>, Error> {
    if cursor.take(&["read", "only"]) {
        return Ok(Some(Some(TransactionMode::ReadOnly)));
    }
    if cursor.take(&["read", "write"]) {
        return Ok(Some(Some(TransactionMode::ReadWrite)));
    }
    if cursor.take(&["not", "deferrable"]) || cursor.take(&["deferrable"]) {
        return Ok(Some(None));
    }
    if !cursor.take(&["isolation", "level"]) {
        return Ok(None);
    }
    let levels = [
        "read uncommitted",
        "read committed",
        "repeatable read",
        "strong session serializable",
        "strict serializable",
        "serializable",
    ];
    let found = levels.into_iter().find(|level| cursor.take(&level.split(' ').collect::<Vec<_>>()));
    match found {
        Some(level) => Ok(Some(Some(TransactionMode::Isolation(level.to_owned())))),
        None if cursor.peek_words(&["bounded", "staleness"]) => Err(cursor.unsupported("BOUNDED STALENESS")),
        None => Err(cursor.expected("an isolation level")),
    }
}
