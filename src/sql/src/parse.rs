//! Text to statements.
//!
//! The text is cut into tokens once, by the tokenizer of the `sqlparser` crate; their places become character offsets, and
//! each statement's tokens go to a [`Cursor`], on which the statement's own parser in `statement/` stands. Query bodies,
//! expressions and types are left to the crate. See decision record 0001 for where the crate's grammar ends.

mod collection;
mod cursor;
mod desugar;
mod dialect;
mod hint_forms;
mod operand_forms;
mod options;
mod query_forms;
mod sugar;
mod tokens;
mod unicode;

pub(crate) use self::collection::{LIST, MAP, SYMMETRIC, VARIADIC};
pub(crate) use self::cursor::Cursor;
pub(crate) use self::hint_forms::HINTS;
pub(crate) use self::operand_forms::ALL_FIELDS;
pub(crate) use self::options::OptionItem;
pub(crate) use self::query_forms::{GROUPING_SETS, MUTUALLY_RECURSIVE, ROWS_FROM, excluded};
pub use self::sugar::as_written;

use sqlparser::ast::Query;

use self::tokens::Text;
use crate::error::Error;
use crate::statement::{Statement, StatementKind};

/// Most bytes of the text of one request.
pub const SQL_BYTES_MAX: usize = 1_000_000;

/// Stack for each level by which a statement's tree is nested; measured in a build without optimization at under half of it.
const STACK_BYTES_PER_LEVEL: usize = 48 << 10;
/// Depth up to which the stack that every thread has left is enough.
const DEPTH_SHALLOW: usize = 16;

/// Parses the statements of `sql`, separated by semicolons; empty ones are left out.
///
/// Errors: 54000 if the text is longer than [`SQL_BYTES_MAX`], 54001 if it is nested too deeply, 42601 with the position of
/// what was not expected (counted over all of `sql`, as all positions in the statements are), 0A000 for what is known but
/// not offered. Of statements that have the value of a secret in them nothing is quoted.
pub fn parse(sql: &str) -> Result<Vec<Statement>, Error> {
    let text = Text::new(sql)?;
    let mut statements = Vec::new();
    // What cannot be cut into tokens may be anything.
    let may_hold_secret = || sql.to_ascii_lowercase().contains("secret");
    let split = tokens::split(&text).map_err(|error| if may_hold_secret() { error.of_secret() } else { error })?;
    for tokens in split {
        let (depth, names_secret) = (tokens.depth, tokens.names_secret());
        let statement = with_stack_for(depth, || {
            let mut cursor = Cursor::new(&text, tokens);
            let statement = cursor.statement()?;
            cursor.end()?;
            Ok(statement)
        });
        statements.push(statement.map_err(|error: Error| if names_secret { error.of_secret() } else { error })?);
    }
    Ok(statements)
}

/// Parses one query that the program itself wrote.
pub(crate) fn query(sql: &str) -> Result<Box<Query>, Error> {
    match parse(sql)?.as_slice() {
        [statement] => match statement.kind.as_ref() {
            StatementKind::Select(select) => Ok(select.query.clone()),
            _ => Err(Error::new("XX000", format!("not a query: {sql}"))),
        },
        _ => Err(Error::new("XX000", format!("not one query: {sql}"))),
    }
}

/// A query as a user would write it, on several lines; what is no query stays as it is.
pub fn pretty(sql: &str) -> String {
    let statements = parse(sql).unwrap_or_default();
    match &statements[..] {
        [statement] => match statement.kind.as_ref() {
            StatementKind::Select(select) => {
                let printed = with_stack_for(statement.depth, || format!("{:#}", select.query));
                as_written(&printed).into_owned()
            }
            _ => sql.to_owned(),
        },
        _ => sql.to_owned(),
    }
}

/// Parses the name of a type.
pub(crate) fn data_type(sql: &str) -> Result<sqlparser::ast::DataType, Error> {
    let text = Text::new(sql)?;
    let tokens = tokens::split(&text)?.pop();
    let tokens = tokens.ok_or_else(|| Error::new("42601", "a type is expected"))?;
    let mut cursor = Cursor::new(&text, tokens);
    let parsed = cursor.data_type()?;
    cursor.end()?;
    Ok(parsed)
}

/// Runs `work`, which walks a tree nested by `depth` levels, on enough stack.
pub(crate) fn with_stack_for<R>(depth: usize, work: impl FnOnce() -> R) -> R {
    let needed = (depth + DEPTH_SHALLOW) * STACK_BYTES_PER_LEVEL;
    stacker::maybe_grow(needed, needed + (2 << 20), work)
}

#[cfg(test)]
mod tests;
