//! Random queries that mean one thing: what they return does not depend on the order in which rows are met, nor on how
//! many digits a quotient carries.
//!
//! Reading order: `expression`, `predicate`, `from`, `query`, `group`, `window`.

mod expression;
mod from;
mod group;
mod predicate;
mod query;
mod window;

use std::collections::BTreeMap;

use repr::ScalarType;

use crate::signatures::{AggregateSignature, Signatures};
use crate::tape::Tape;
use crate::types::{Taste, base, has_equal_spellings};

/// A column that an expression may name.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// How it is written where it is visible.
    pub(crate) sql: String,
    pub(crate) typ: ScalarType,
    /// False if the databases agree on its leading digits only: it is passed on, but never computed with.
    pub(crate) exact: bool,
}

impl Column {
    fn new(sql: String, typ: ScalarType) -> Column {
        Column { sql, typ, exact: true }
    }

    /// True if rows may be ordered and grouped by it, so that equal values also print alike.
    fn is_plain(&self) -> bool {
        self.exact && !has_equal_spellings(&self.typ)
    }
}

/// A table, view or common table expression, with columns `c0`, `c1`, and so on.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    pub(crate) name: String,
    /// Their `sql` is the bare name.
    pub(crate) columns: Vec<Column>,
    /// About how many rows there are at most.
    pub(crate) rows: usize,
}

/// A query and its columns, named `c0`, `c1`, and so on.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) sql: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: usize,
}

impl Query {
    fn is_plain(&self) -> bool {
        self.columns.iter().all(Column::is_plain)
    }
}

/// What an expression may refer to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// The columns of this query.
    local: Vec<Column>,
    /// The columns of the queries around it.
    outer: Vec<Column>,
    /// What subqueries may refer to of this query: less than `local` where that holds aggregates.
    for_subqueries: Vec<Column>,
}

impl Scope {
    fn of(local: Vec<Column>, outer: &[Column]) -> Scope {
        Scope { for_subqueries: local.clone(), local, outer: outer.to_vec() }
    }

    /// The columns that a subquery sees from outside.
    fn outer_of_subquery(&self) -> Vec<Column> {
        self.for_subqueries.iter().chain(&self.outer).cloned().collect()
    }

    /// The same without what lies outside.
    fn without_outer(&self) -> Scope {
        Scope { local: self.local.clone(), outer: Vec::new(), for_subqueries: Vec::new() }
    }
}

/// More rows than this are not joined further.
const ROWS_MAX: usize = 600;

/// Makes queries out of a tape.
pub(crate) struct Generator<'g> {
    pub(crate) tape: Tape,
    signatures: &'g Signatures,
    aggregates: &'g BTreeMap<ScalarType, Vec<AggregateSignature>>,
    taste: Taste,
    /// What may be read: tables, earlier views, and common table expressions while they are visible.
    relations: Vec<Relation>,
    /// How many subqueries may still be made.
    subqueries_left: usize,
    names: usize,
}

/// What generators share.
#[derive(Clone, Copy)]
pub(crate) struct Vocabulary<'g> {
    pub(crate) signatures: &'g Signatures,
    pub(crate) aggregates: &'g BTreeMap<ScalarType, Vec<AggregateSignature>>,
    pub(crate) taste: Taste,
}

impl<'g> Generator<'g> {
    pub(crate) fn new(tape: Tape, vocabulary: Vocabulary<'g>, relations: &[Relation]) -> Generator<'g> {
        let Vocabulary { signatures, aggregates, taste } = vocabulary;
        let relations = relations.to_vec();
        Generator { tape, signatures, aggregates, taste, relations, subqueries_left: 3, names: 0 }
    }

    /// A query that a view can be made of.
    pub(crate) fn view(&mut self) -> Query {
        self.query(&[], None, 3)
    }

    /// A predicate over the columns of a table that a statement changes.
    pub(crate) fn condition(&mut self, table: &Relation) -> String {
        let scope = Scope::of(table.columns.clone(), &[]);
        self.predicate(&scope, 2)
    }

    /// A value for a column of a table that a statement changes.
    pub(crate) fn assignment(&mut self, table: &Relation, typ: &ScalarType) -> String {
        let scope = Scope::of(table.columns.clone(), &[]);
        self.expression(&scope, &base(typ), 2)
    }

    /// A name that nothing else in the query has.
    fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }
}
