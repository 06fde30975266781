//! `[WITH ...] DELETE FROM table [[AS] alias] [USING ...] [WHERE ...] [RETURNING ...]` and `TRUNCATE [TABLE] table, ...`.

use sqlparser::ast::{Expr, Ident, ObjectName, SelectItem, TableWithJoins, With};
use sqlparser::tokenizer::Token;

use super::table::Target;
use super::{Planner, returning};
use crate::error::Error;
use crate::parse::Cursor;
use crate::plan::{Plan, ReadThenWritePlan, WriteKind};

#[derive(Clone, Debug)]
pub struct Delete {
    pub with: Option<With>,
    pub table: ObjectName,
    pub alias: Option<Ident>,
    pub using: Vec<TableWithJoins>,
    pub filter: Option<Expr>,
    pub returning: Vec<SelectItem>,
}

#[derive(Clone, Debug)]
pub struct Truncate {
    pub tables: Vec<ObjectName>,
}

impl Delete {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Delete, Error> {
        let with = cursor.with_clause()?;
        cursor.expect(&["delete", "from"])?;
        cursor.take(&["only"]);
        let table = cursor.name()?;
        let aliased = cursor.take(&["as"]) || matches!(cursor.peek(), Token::Word(_));
        let clause = ["using", "where", "returning"].iter().any(|word| cursor.peek_words(&[word]));
        let alias = if aliased && !clause { Some(cursor.ident()?) } else { None };
        let using =
            if cursor.take(&["using"]) { cursor.comma_separated(Cursor::table_with_joins)? } else { Vec::new() };
        let filter = if cursor.take(&["where"]) { Some(cursor.expr()?) } else { None };
        let returning = returning::parse(cursor)?;
        Ok(Delete { with, table, alias, using, filter, returning })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let target = Target::resolve(planner, &self.table)?;
        let mut mutation = target.mutation(self.alias.as_ref());
        mutation.with = self.with.as_ref();
        mutation.from = &self.using;
        mutation.filter = self.filter.as_ref();
        mutation.returning = &self.returning;
        planner.mutation(WriteKind::Delete, &mutation).map(Plan::ReadThenWrite)
    }
}

impl Truncate {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Truncate, Error> {
        cursor.expect(&["truncate"])?;
        cursor.take(&["table"]);
        let tables = cursor.comma_separated(|cursor| {
            cursor.take(&["only"]);
            let table = cursor.name()?;
            cursor.take_token(&Token::Mul);
            Ok(table)
        })?;
        if cursor.peek_words(&["restart", "identity"]) {
            return Err(cursor.unsupported("TRUNCATE with RESTART IDENTITY"));
        }
        // What depends on the table follows it in any case.
        cursor.take(&["continue", "identity"]);
        if !cursor.take(&["cascade"]) {
            cursor.take(&["restrict"]);
        }
        Ok(Truncate { tables })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let mut plans: Vec<ReadThenWritePlan> = Vec::with_capacity(self.tables.len());
        for name in &self.tables {
            let target = Target::resolve(planner, name)?;
            // A table that is named twice is emptied once.
            if plans.iter().all(|plan| plan.table != target.item.id) {
                plans.push(planner.mutation(WriteKind::Truncate, &target.mutation(None))?);
            }
        }
        Ok(Plan::Truncate(plans))
    }
}
