//! `DELETE FROM table [[AS] alias] [USING ...] [WHERE ...] [RETURNING ...]` and `TRUNCATE [TABLE] table`.

use sqlparser::ast::{Expr, Ident, ObjectName, SelectItem, TableWithJoins};
use sqlparser::tokenizer::Token;

use super::table::Target;
use super::{Planner, returning};
use crate::error::Error;
use crate::parse::Cursor;
use crate::plan::{Plan, WriteKind};

#[derive(Clone, Debug)]
pub struct Delete {
    pub table: ObjectName,
    pub alias: Option<Ident>,
    pub using: Vec<TableWithJoins>,
    pub filter: Option<Expr>,
    pub returning: Vec<SelectItem>,
}

#[derive(Clone, Debug)]
pub struct Truncate {
    pub table: ObjectName,
}

impl Delete {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Delete, Error> {
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
        Ok(Delete { table, alias, using, filter, returning })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let target = Target::resolve(planner, &self.table)?;
        let mut mutation = target.mutation(self.alias.as_ref());
        mutation.from = &self.using;
        mutation.filter = self.filter.as_ref();
        mutation.returning = &self.returning;
        planner.mutation(WriteKind::Delete, &mutation)
    }
}

impl Truncate {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Truncate, Error> {
        cursor.expect(&["truncate"])?;
        cursor.take(&["table"]);
        cursor.take(&["only"]);
        let table = cursor.name()?;
        if *cursor.peek() == Token::Comma {
            return Err(cursor.unsupported("TRUNCATE of several tables"));
        }
        if cursor.peek_words(&["restart", "identity"]) {
            return Err(cursor.unsupported("TRUNCATE with RESTART IDENTITY"));
        }
        // What depends on the table follows it in any case.
        cursor.take(&["continue", "identity"]);
        if !cursor.take(&["cascade"]) {
            cursor.take(&["restrict"]);
        }
        Ok(Truncate { table })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let target = Target::resolve(planner, &self.table)?;
        planner.mutation(WriteKind::Truncate, &target.mutation(None))
    }
}
