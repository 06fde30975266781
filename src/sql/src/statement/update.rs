//! `UPDATE table [[AS] alias] SET column = value, ... [WHERE ...]`.

use expr::Scalar;
use sqlparser::ast::{Expr, Ident, ObjectName};
use sqlparser::tokenizer::Token;

use super::Planner;
use super::delete::matching_rows;
use super::planner::Over;
use super::table::Target;
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::Cursor;
use crate::plan::{Plan, ReadThenWritePlan, WriteKind};

#[derive(Clone, Debug)]
pub struct Update {
    pub table: ObjectName,
    pub alias: Option<Ident>,
    /// None: DEFAULT.
    pub assignments: Vec<(Ident, Option<Expr>)>,
    pub filter: Option<Expr>,
}

impl Update {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Update, Error> {
        cursor.expect(&["update"])?;
        cursor.take(&["only"]);
        let table = cursor.name()?;
        let alias = if cursor.take(&["as"]) || !cursor.peek_words(&["set"]) { Some(cursor.ident()?) } else { None };
        cursor.expect(&["set"])?;
        let assignments = cursor.comma_separated(parse_assignments)?.into_iter().flatten().collect();
        if cursor.peek_words(&["from"]) {
            return Err(cursor.unsupported("UPDATE with FROM"));
        }
        let filter = if cursor.take(&["where"]) { Some(cursor.expr()?) } else { None };
        if cursor.peek_words(&["returning"]) {
            return Err(cursor.unsupported("UPDATE with RETURNING"));
        }
        Ok(Update { table, alias, assignments, filter })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let target = Target::resolve(planner, &self.table)?;
        let called = self.alias.as_ref().map_or_else(|| target.item.name.item.clone(), names::fold);
        let assignments = self.plan_assignments(planner, &target, &called)?;
        let relation = matching_rows(planner, &target, &called, self.filter.as_ref())?;
        let (table, kind) = (target.item.id, WriteKind::Update);
        Ok(Plan::ReadThenWrite(ReadThenWritePlan { table, kind, relation, assignments, returning: None }))
    }

    fn plan_assignments(&self, planner: &mut Planner<'_>, target: &Target, called: &str) -> Result<Vec<Scalar>, Error> {
        let mut scalars: Vec<Scalar> = (0..target.desc().arity()).map(Scalar::Column).collect();
        let mut assigned = Vec::new();
        for (ident, expr) in &self.assignments {
            let column = target.column(ident)?;
            if assigned.contains(&column) {
                let message = format!("multiple assignments to same column {}", in_quotes(&names::fold(ident)));
                return Err(Error::new("42601", message).at_ident(ident));
            }
            assigned.push(column);
            scalars[column] = match expr {
                None => target.default_scalar(column),
                Some(expr) => {
                    let over = Over { desc: target.desc(), table: Some(called), expr };
                    planner.assigned(over, target.desc(), column)?
                }
            };
        }
        Ok(scalars)
    }
}

/// Reads `column = value` or `(column, ...) = (value, ...)`.
fn parse_assignments(cursor: &mut Cursor<'_>) -> Result<Vec<(Ident, Option<Expr>)>, Error> {
    if *cursor.peek() != Token::LParen {
        let column = cursor.ident()?;
        cursor.expect_token(&Token::Eq)?;
        return Ok(vec![(column, value(cursor)?)]);
    }
    let columns = cursor.parenthesized(Cursor::ident)?;
    cursor.expect_token(&Token::Eq)?;
    cursor.take(&["row"]);
    let position = cursor.position();
    if matches!(cursor.peek_nth(1), Token::Word(word) if word.value.eq_ignore_ascii_case("select")) {
        return Err(cursor.unsupported("a subquery in SET"));
    }
    let values = cursor.parenthesized(value)?;
    if values.len() != columns.len() {
        return Err(Error::new("42601", "number of columns does not match number of values").at(position));
    }
    Ok(columns.into_iter().zip(values).collect())
}

fn value(cursor: &mut Cursor<'_>) -> Result<Option<Expr>, Error> {
    if cursor.take(&["default"]) { Ok(None) } else { cursor.expr().map(Some) }
}
