//! `DELETE FROM table [[AS] alias] [USING ...] [WHERE ...]`.

use expr::Relation;
use sqlparser::ast::{Expr, Ident, ObjectName, Query, SetExpr, TableWithJoins};

use super::Planner;
use super::qualify::full_name;
use super::table::Target;
use crate::error::Error;
use crate::names;
use crate::parse::{self, Cursor};
use crate::plan::{Plan, ReadThenWritePlan, WriteKind};
use crate::query::Lifetime;

#[derive(Clone, Debug)]
pub struct Delete {
    pub table: ObjectName,
    pub alias: Option<Ident>,
    pub using: Vec<TableWithJoins>,
    pub filter: Option<Expr>,
}

impl Delete {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Delete, Error> {
        cursor.expect(&["delete", "from"])?;
        cursor.take(&["only"]);
        let table = cursor.name()?;
        let aliased = cursor.take(&["as"]) || matches!(cursor.peek(), sqlparser::tokenizer::Token::Word(_));
        let clause = ["using", "where", "returning"].iter().any(|word| cursor.peek_words(&[word]));
        let alias = if aliased && !clause { Some(cursor.ident()?) } else { None };
        let using =
            if cursor.take(&["using"]) { cursor.comma_separated(Cursor::table_with_joins)? } else { Vec::new() };
        let filter = if cursor.take(&["where"]) { Some(cursor.expr()?) } else { None };
        if cursor.peek_words(&["returning"]) {
            return Err(cursor.unsupported("DELETE with RETURNING"));
        }
        Ok(Delete { table, alias, using, filter })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let target = Target::resolve(planner, &self.table)?;
        let called = self.alias.as_ref().map_or_else(|| target.item.name.item.clone(), names::fold);
        let filter = if self.using.is_empty() { self.filter.clone() } else { Some(self.exists()?) };
        let relation = matching_rows(planner, &target, &called, filter.as_ref())?;
        let (table, kind) = (target.item.id, WriteKind::Delete);
        let assignments = Vec::new();
        Ok(Plan::ReadThenWrite(ReadThenWritePlan { table, kind, relation, assignments, returning: None }))
    }

    /// `EXISTS (SELECT 1 FROM using WHERE filter)`: a row goes away once, however many rows it meets.
    fn exists(&self) -> Result<Expr, Error> {
        let mut subquery = parse::query("SELECT 1")?;
        if let SetExpr::Select(select) = subquery.body.as_mut() {
            select.from = self.using.clone();
            select.selection = self.filter.clone();
        }
        Ok(Expr::Exists { subquery, negated: false })
    }
}

/// The rows of `target`, which the statement calls `called`, that satisfy `filter`, with all columns.
pub(crate) fn matching_rows(
    planner: &mut Planner<'_>,
    target: &Target,
    called: &str,
    filter: Option<&Expr>,
) -> Result<Relation, Error> {
    let called = Ident::with_quote('"', called);
    let mut query: Box<Query> = parse::query(&format!("SELECT * FROM {} AS {called}", full_name(&target.item.name)))?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.selection = filter.cloned();
    }
    Ok(planner.collection(&query, Lifetime::OneShot)?.relation)
}
