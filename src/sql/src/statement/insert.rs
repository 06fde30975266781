//! `[WITH ...] INSERT INTO table [AS alias] [(columns)] query | VALUES | DEFAULT VALUES [RETURNING ...]`.

use expr::{Relation, Scalar};
use sqlparser::ast::{Expr, Ident, ObjectName, Query, SelectItem, SetExpr, With};
use sqlparser::tokenizer::Token;

use super::table::Target;
use super::{Planner, returning};
use crate::error::Error;
use crate::names;
use crate::parse::Cursor;
use crate::plan::{InsertPlan, Plan, ReadThenWritePlan, WriteKind};
use crate::query::{self, Lifetime};

#[derive(Clone, Debug)]
pub struct Insert {
    pub table: ObjectName,
    pub alias: Option<Ident>,
    /// Empty: all, in order.
    pub columns: Vec<Ident>,
    /// None: DEFAULT VALUES.
    pub source: Option<Box<Query>>,
    pub returning: Vec<SelectItem>,
}

impl Insert {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Insert, Error> {
        let with = cursor.with_clause()?;
        cursor.expect(&["insert", "into"])?;
        let table = cursor.name()?;
        let alias = if cursor.take(&["as"]) { Some(cursor.ident()?) } else { None };
        let starts_query = |cursor: &Cursor<'_>| {
            let words = ["select", "values", "with", "table"];
            *cursor.peek_nth(1) == Token::LParen
                || words
                    .iter()
                    .any(|word| matches!(cursor.peek_nth(1), Token::Word(w) if w.value.eq_ignore_ascii_case(word)))
        };
        let listed = *cursor.peek() == Token::LParen && !starts_query(cursor);
        let columns = if listed { cursor.parenthesized(Cursor::ident)? } else { Vec::new() };
        let source = if cursor.take(&["default", "values"]) { None } else { Some(within(with, cursor.query()?)) };
        if cursor.peek_words(&["on", "conflict"]) {
            return Err(cursor
                .unsupported("INSERT with ON CONFLICT")
                .with_hint("Tables have no unique keys that rows could conflict in."));
        }
        let returning = returning::parse(cursor)?;
        Ok(Insert { table, alias, columns, source, returning })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let target = Target::resolve(planner, &self.table)?;
        let columns = target.columns(&self.columns)?;
        let relation = match &self.source {
            None => default_row(&target),
            Some(source) => self.plan_source(planner, &target, columns, source)?,
        };
        let called = self.alias.as_ref().map_or_else(|| target.item.name.item.clone(), names::fold);
        let returning = returning::plan(planner, &target, &called, &self.returning)?;
        let table = target.item.id;
        Ok(if relation.depends_on().is_empty() {
            Plan::Insert(InsertPlan { table, relation, returning })
        } else {
            let kind = WriteKind::Insert;
            let arity = target.desc().arity();
            Plan::ReadThenWrite(ReadThenWritePlan { table, kind, arity, relation, returning })
        })
    }

    fn plan_source(
        &self,
        planner: &mut Planner<'_>,
        target: &Target,
        mut columns: Vec<usize>,
        source: &Query,
    ) -> Result<Relation, Error> {
        let mut source = source.clone();
        if let SetExpr::Values(values) = source.body.as_mut() {
            let width = values.rows.first().map_or(0, |row| row.content.len());
            // Fewer values than columns, where no columns are listed: the rest takes its defaults.
            if self.columns.is_empty() && width < columns.len() {
                columns.truncate(width);
            }
            for row in &mut values.rows {
                for (index, value) in row.content.iter_mut().enumerate() {
                    if is_default(value)
                        && let Some(column) = columns.get(index)
                    {
                        *value = target.default_expr(*column);
                    }
                }
            }
        }
        if self.columns.is_empty() && !matches!(source.body.as_ref(), SetExpr::Values(_)) {
            // A query may have fewer columns than the table, too.
            let width = planner.collection(&source, Lifetime::OneShot)?.desc.arity();
            columns.truncate(width.max(1));
        }
        let mut context = planner.query_context(Lifetime::OneShot);
        let relation = query::plan_insert_source(&mut context, target.desc(), &columns, &source)?;
        Ok(complete(relation, target, &columns))
    }
}

/// The query with the names of a WITH in front of the statement.
fn within(with: Option<With>, mut query: Box<Query>) -> Box<Query> {
    if with.is_none() {
        return query;
    }
    if query.with.is_none() {
        query.with = with;
        return query;
    }
    Box::new(Query {
        with,
        body: Box::new(SetExpr::Query(query)),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    })
}

fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

/// Rows of all columns from rows of some: the others take their defaults.
fn complete(relation: Relation, target: &Target, columns: &[usize]) -> Relation {
    let arity = target.desc().arity();
    if columns.iter().copied().eq(0..arity) {
        return relation;
    }
    let mut defaults: Vec<Scalar> = Vec::new();
    let mut outputs = Vec::with_capacity(arity);
    for column in 0..arity {
        match columns.iter().position(|given| *given == column) {
            Some(given) => outputs.push(given),
            None => {
                outputs.push(columns.len() + defaults.len());
                defaults.push(target.default_scalar(column));
            }
        }
    }
    relation.map(defaults).project(outputs)
}

/// The one row of DEFAULT VALUES.
fn default_row(target: &Target) -> Relation {
    Relation::unit().map((0..target.desc().arity()).map(|column| target.default_scalar(column)).collect())
}
