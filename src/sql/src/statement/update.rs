//! `[WITH ...] UPDATE table [[AS] alias] SET column = value, ... [FROM ...] [WHERE ...] [RETURNING ...]`.

use sqlparser::ast::{Expr, Ident, ObjectName, Query, SelectItem, TableWithJoins, With};
use sqlparser::tokenizer::Token;

use super::table::Target;
use super::{Planner, returning};
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::Cursor;
use crate::plan::{Plan, WriteKind};
use crate::query::Assigned;

#[derive(Clone, Debug)]
pub struct Update {
    pub with: Option<With>,
    pub table: ObjectName,
    pub alias: Option<Ident>,
    pub assignments: Vec<(Ident, SetValue)>,
    pub from: Vec<TableWithJoins>,
    pub filter: Option<Expr>,
    pub returning: Vec<SelectItem>,
}

/// What SET gives a column.
#[derive(Clone, Debug)]
pub enum SetValue {
    Default,
    Expr(Box<Expr>),
    /// A column of the one row of a query of `count` columns: `(a, b) = (SELECT ...)`.
    Field {
        query: Box<Query>,
        place: usize,
        count: usize,
    },
}

impl Update {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Update, Error> {
        let with = cursor.with_clause()?;
        cursor.expect(&["update"])?;
        cursor.take(&["only"]);
        let table = cursor.name()?;
        // `UPDATE t a = 1`: the SET is missing, `a` is no alias.
        let named = !cursor.peek_words(&["set"]) && *cursor.peek_nth(1) != Token::Eq;
        let alias = if cursor.take(&["as"]) || named { Some(cursor.ident()?) } else { None };
        cursor.expect(&["set"])?;
        let assignments = cursor.comma_separated(parse_assignments)?.into_iter().flatten().collect();
        let from = if cursor.take(&["from"]) { cursor.comma_separated(Cursor::table_with_joins)? } else { Vec::new() };
        let filter = if cursor.take(&["where"]) { Some(cursor.expr()?) } else { None };
        let returning = returning::parse(cursor)?;
        Ok(Update { with, table, alias, assignments, from, filter, returning })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let target = Target::resolve(planner, &self.table)?;
        let mut mutation = target.mutation(self.alias.as_ref());
        mutation.with = self.with.as_ref();
        mutation.assignments = Some(self.assigned(&target)?);
        mutation.from = &self.from;
        mutation.filter = self.filter.as_ref();
        mutation.returning = &self.returning;
        planner.mutation(WriteKind::Update, &mutation).map(Plan::ReadThenWrite)
    }

    /// For each column of the target what becomes of it.
    fn assigned<'a>(&'a self, target: &Target) -> Result<Vec<Assigned<'a>>, Error> {
        let mut columns: Vec<Assigned<'a>> = (0..target.desc().arity()).map(|_| Assigned::Unchanged).collect();
        for (ident, value) in &self.assignments {
            let column = target.column(ident)?;
            if !matches!(columns[column], Assigned::Unchanged) {
                let message = format!("multiple assignments to same column {}", in_quotes(&names::fold(ident)));
                return Err(Error::new("42601", message).at_ident(ident));
            }
            columns[column] = match value {
                SetValue::Default => Assigned::Default(target.default_scalar(column)),
                SetValue::Expr(expr) => Assigned::Expr(expr),
                SetValue::Field { query, place, count } => Assigned::Field { query, place: *place, count: *count },
            };
        }
        Ok(columns)
    }
}

/// Reads `column = value`, `(column, ...) = (value, ...)` or `(column, ...) = (SELECT ...)`.
fn parse_assignments(cursor: &mut Cursor<'_>) -> Result<Vec<(Ident, SetValue)>, Error> {
    if *cursor.peek() != Token::LParen {
        let column = cursor.ident()?;
        cursor.expect_token(&Token::Eq)?;
        return Ok(vec![(column, value(cursor)?)]);
    }
    let columns = cursor.parenthesized(Cursor::ident)?;
    cursor.expect_token(&Token::Eq)?;
    cursor.take(&["row"]);
    let position = cursor.position();
    let starts_query = |word: &str| ["select", "with", "values"].iter().any(|start| word.eq_ignore_ascii_case(start));
    if matches!(cursor.peek_nth(1), Token::Word(word) if word.quote_style.is_none() && starts_query(&word.value)) {
        cursor.expect_token(&Token::LParen)?;
        let query = cursor.query()?;
        cursor.expect_token(&Token::RParen)?;
        let count = columns.len();
        let field = |place| SetValue::Field { query: query.clone(), place, count };
        return Ok(columns.into_iter().enumerate().map(|(place, column)| (column, field(place))).collect());
    }
    let values = cursor.parenthesized(value)?;
    if values.len() != columns.len() {
        return Err(Error::new("42601", "number of columns does not match number of values").at(position));
    }
    Ok(columns.into_iter().zip(values).collect())
}

fn value(cursor: &mut Cursor<'_>) -> Result<SetValue, Error> {
    if cursor.take(&["default"]) { Ok(SetValue::Default) } else { Ok(SetValue::Expr(Box::new(cursor.expr()?))) }
}
