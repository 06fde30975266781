//! Planning of queries and expressions: from the parser's tree to HIR, and through decorrelation to MIR.
//!
//! A [`QueryContext`] lives for one statement. It keeps a stack of levels, one for each row an expression may look at: the
//! last is the row the expression stands over (level 0 in HIR), those before it the enclosing ones.
//!
//! Reading order: `scope` (which names mean which columns), `select`, `hints`, `group`, `from`, `set`, `limit`, `with` (queries),
//! `expression`, `operator`, `function`, `clock`, `temporal`, `aggregate`, `ordered_set`, `window`, `frame`, `sets` (scalars), `types`, `resolve`, `coerce` (the type system), `write` (INSERT), `mutation` (UPDATE,
//! DELETE).

mod aggregate;
mod clock;
mod coerce;
mod collection;
mod expression;
mod frame;
mod from;
mod function;
mod group;
mod grouping_sets;
mod hints;
mod limit;
mod literal;
mod mutation;
mod naming;
mod object_literal;
mod operator;
mod ordered_set;
mod resolve;
mod scope;
mod select;
mod set;
mod sets;
mod subquery;
mod table_function;
mod temporal;
mod types;
mod variadic;
mod window;
mod with;
mod write;

use std::collections::BTreeSet;

use expr::{LocalId, Relation, Scalar};
use repr::{CollectionId, ColumnType, RelationDesc, ScalarType};
use sqlparser::ast;

pub(crate) use self::coerce::from_eval;
pub(crate) use self::mutation::{Assigned, Mutation, PlannedMutation, plan_mutation};
pub(crate) use self::scope::TableName;
pub(crate) use self::write::plan_insert_source;

use self::coerce::Planned;
use self::frame::Spec;
use self::scope::Scope;
use self::sets::SetCall;
use self::window::WindowItem;
use crate::catalog_view::CatalogView;
use crate::decorrelate;
use crate::error::Error;
use crate::hir::{self, HirAggregate, HirRelation, HirScalar};
use crate::names::Names;
use crate::plan::{Finishing, Params, PlanContext};
use crate::stack::with_stack;

/// Most queries and expressions that may stand inside each other.
const NESTING_MAX: usize = 1_000;

/// What becomes of a query's answer, which decides what may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Computed once, for one statement.
    OneShot,
    /// The definition of a view: may end up in a query of either kind.
    View,
    /// Kept up to date: an index, a materialized view, a subscription. What depends on anything but data is refused.
    Maintained,
}

/// The clause an expression stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clause {
    Select,
    Where,
    GroupBy,
    Having,
    OrderBy,
    DistinctOn,
    JoinOn,
    FromFunction,
    Values,
    Limit,
    Offset,
    Filter,
    /// SET of an UPDATE.
    Update,
    Returning,
    /// Expressions outside queries: defaults, index keys.
    Plain,
}

impl Clause {
    fn name(self) -> &'static str {
        match self {
            Clause::Select => "SELECT",
            Clause::Where => "WHERE",
            Clause::GroupBy => "GROUP BY",
            Clause::Having => "HAVING",
            Clause::OrderBy => "ORDER BY",
            Clause::DistinctOn => "DISTINCT ON",
            Clause::JoinOn => "JOIN conditions",
            Clause::FromFunction => "functions in FROM",
            Clause::Values => "VALUES",
            Clause::Limit => "LIMIT",
            Clause::Offset => "OFFSET",
            Clause::Filter => "FILTER",
            Clause::Update => "UPDATE",
            Clause::Returning => "RETURNING",
            Clause::Plain => "this expression",
        }
    }

    fn admits_sets(self) -> bool {
        matches!(self, Clause::Select | Clause::OrderBy | Clause::DistinctOn)
    }

    fn admits_aggregates(self) -> bool {
        matches!(self, Clause::Select | Clause::Having | Clause::OrderBy | Clause::DistinctOn)
    }
}

/// A row that expressions may look at.
struct Level {
    scope: Scope,
    clause: Clause,
    /// False while what is being planned must not see it: siblings in FROM, unless LATERAL.
    visible: bool,
    /// The aggregates of this SELECT, in order of appearance.
    aggregates: Vec<HirAggregate>,
    /// True inside an aggregate's argument.
    in_aggregate: bool,
    /// The calls of set-returning functions in this SELECT's list, in order of appearance.
    sets: Vec<SetCall>,
    /// The window functions of this SELECT, in order of appearance.
    windows: Vec<WindowItem>,
    /// True inside a window function's arguments and window.
    in_window: bool,
    /// The windows of this SELECT's WINDOW clause.
    named_windows: Vec<(String, Spec)>,
    /// The keys of this SELECT's GROUP BY.
    group_keys: Vec<HirScalar>,
    /// For each GROUPING of this SELECT the keys it asks for, by their places.
    groupings: Vec<Vec<usize>>,
    /// How many rows are expected to share a key of this SELECT's GROUP BY.
    group_size: Option<u64>,
    /// Columns of this row that were named, with where: for errors that are found later.
    references: Vec<(usize, usize)>,
}

/// A common table expression that can be named.
#[derive(Clone)]
struct Cte {
    name: String,
    columns: Vec<(String, ScalarType)>,
    body: CteBody,
}

#[derive(Clone)]
enum CteBody {
    /// Bound around the query that defines it.
    Bound(LocalId),
    /// It looks at enclosing rows, so it is planned in again where it is named; made when so many levels were around it.
    Inline { relation: HirRelation, levels: usize },
}

/// What planning one statement needs and gathers.
pub(crate) struct QueryContext<'a> {
    pub(crate) context: &'a PlanContext,
    pub(crate) catalog: &'a dyn CatalogView,
    pub(crate) params: &'a mut Params,
    /// The stored objects and views that were named.
    pub(crate) depends_on: BTreeSet<CollectionId>,
    lifetime: Lifetime,
    levels: Vec<Level>,
    /// The first level that belongs to the FROM clause being planned.
    from_start: usize,
    ctes: Vec<Cte>,
    next_local: u64,
    nesting: usize,
}

/// A query's plan: what computes its rows, and what is done to them when they are returned.
#[derive(Clone, Debug)]
pub(crate) struct PlannedQuery {
    pub(crate) relation: Relation,
    /// The columns that `finishing.project` leaves.
    pub(crate) desc: RelationDesc,
    pub(crate) finishing: Finishing,
}

impl<'a> QueryContext<'a> {
    pub(crate) fn new(
        context: &'a PlanContext,
        catalog: &'a dyn CatalogView,
        params: &'a mut Params,
        lifetime: Lifetime,
    ) -> QueryContext<'a> {
        QueryContext {
            context,
            catalog,
            params,
            depends_on: BTreeSet::new(),
            lifetime,
            levels: Vec::new(),
            from_start: 0,
            ctes: Vec::new(),
            next_local: 0,
            nesting: 0,
        }
    }

    /// Where names of types are looked up.
    pub(crate) fn names(&self) -> Names<'a> {
        Names { context: self.context, catalog: self.catalog }
    }

    /// Runs `plan` with one more row to look at.
    fn with_level<R>(
        &mut self,
        scope: Scope,
        clause: Clause,
        plan: impl FnOnce(&mut Self) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.levels.push(Level {
            scope,
            clause,
            visible: true,
            aggregates: Vec::new(),
            in_aggregate: false,
            sets: Vec::new(),
            windows: Vec::new(),
            in_window: false,
            named_windows: Vec::new(),
            group_keys: Vec::new(),
            groupings: Vec::new(),
            group_size: None,
            references: Vec::new(),
        });
        let result = plan(self);
        self.levels.pop();
        result
    }

    fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("expressions are planned over a level")
    }

    /// Runs `plan` in another clause of the same SELECT.
    fn in_clause<R>(&mut self, clause: Clause, plan: impl FnOnce(&mut Self) -> Result<R, Error>) -> Result<R, Error> {
        let before = std::mem::replace(&mut self.level().clause, clause);
        let result = plan(self);
        self.level().clause = before;
        result
    }

    /// Runs one step into a nested query or expression. Errors: 54001.
    fn nested<R>(&mut self, plan: impl FnOnce(&mut Self) -> Result<R, Error>) -> Result<R, Error> {
        if self.nesting >= NESTING_MAX {
            return Err(nested_too_deeply());
        }
        self.nesting += 1;
        let result = with_stack(|| plan(self));
        self.nesting -= 1;
        result
    }

    fn new_local(&mut self) -> LocalId {
        let id = LocalId(self.next_local);
        self.next_local += 1;
        id
    }
}

fn nested_too_deeply() -> Error {
    Error::new("54001", "stack depth limit exceeded")
        .with_detail(format!("Expressions and queries may be nested {NESTING_MAX} deep."))
}

/// Plans a query whose answer is returned: ORDER BY, LIMIT and OFFSET are left to the finishing.
pub(crate) fn plan_query(qcx: &mut QueryContext<'_>, query: &ast::Query) -> Result<PlannedQuery, Error> {
    let planned = qcx.query(query)?;
    let (relation, columns) = decorrelate::lower(planned.relation);
    let arity = planned.names.len();
    let desc = RelationDesc::new(planned.names.into_iter().zip(columns));
    let finishing = Finishing {
        order_by: planned.order,
        limit: planned.limit,
        offset: planned.offset,
        project: (0..arity).collect(),
    };
    Ok(PlannedQuery { relation, desc, finishing })
}

/// The text of a query's plan before it is decorrelated.
pub(crate) fn explain_raw(qcx: &mut QueryContext<'_>, query: &ast::Query) -> Result<String, Error> {
    let planned = qcx.query(query)?;
    let catalog = qcx.catalog;
    Ok(hir::pretty(&planned.relation, &|id| catalog.item_by_id(id).map(|item| item.name.to_string())))
}

/// Plans the query of a view: with LIMIT or OFFSET the order decides which rows there are, else it means nothing.
pub(crate) fn plan_view_query(
    qcx: &mut QueryContext<'_>,
    query: &ast::Query,
) -> Result<(Relation, RelationDesc), Error> {
    let (relation, names, _) = qcx.query(query)?.into_relation();
    let (relation, columns) = decorrelate::lower(relation);
    Ok((relation, RelationDesc::new(names.into_iter().zip(columns))))
}

/// Plans an expression over the columns of `desc`, which can also be named with `table`. No subqueries.
pub(crate) fn plan_scalar_over(
    qcx: &mut QueryContext<'_>,
    desc: &RelationDesc,
    table: Option<&str>,
    expr: &ast::Expr,
) -> Result<(Scalar, ColumnType), Error> {
    plan_over(qcx, desc, table, expr, |qcx, planned| qcx.settle_known(planned).map(|(scalar, _)| scalar))
}

/// As [`plan_scalar_over`]; a parameter whose type nothing tells is text.
pub(crate) fn plan_scalar_or_text(
    qcx: &mut QueryContext<'_>,
    desc: &RelationDesc,
    expr: &ast::Expr,
) -> Result<Scalar, Error> {
    Ok(plan_over(qcx, desc, None, expr, |qcx, planned| qcx.settle(planned).map(|(scalar, _)| scalar))?.0)
}

/// As [`plan_scalar_over`], the value to be stored in the column `column` of type `typ`.
pub(crate) fn plan_assigned_scalar_over(
    qcx: &mut QueryContext<'_>,
    desc: &RelationDesc,
    table: Option<&str>,
    expr: &ast::Expr,
    column: &str,
    typ: &ScalarType,
) -> Result<Scalar, Error> {
    let assigned = |qcx: &mut QueryContext<'_>, planned| qcx.coerce_assignment(planned, typ, column);
    Ok(plan_over(qcx, desc, table, expr, assigned)?.0)
}

fn plan_over(
    qcx: &mut QueryContext<'_>,
    desc: &RelationDesc,
    table: Option<&str>,
    expr: &ast::Expr,
    settle: impl FnOnce(&mut QueryContext<'_>, Planned) -> Result<HirScalar, Error>,
) -> Result<(Scalar, ColumnType), Error> {
    let scope = scope_of(desc, table);
    let scalar = qcx.with_level(scope, Clause::Plain, |qcx| {
        let planned = qcx.expression(expr)?;
        settle(qcx, planned).map_err(|error| error.at_node(expr))
    })?;
    let Some(scalar) = scalar.to_scalar() else {
        return Err(Error::unsupported("a subquery in this expression").at_node(expr));
    };
    let typ = scalar.typ(&desc.typ.columns);
    Ok((scalar, typ))
}

fn scope_of(desc: &RelationDesc, table: Option<&str>) -> Scope {
    let columns = desc.iter().map(|(name, column)| (name.to_owned(), column.scalar.clone()));
    match table {
        Some(table) => Scope::of_table(TableName::alias(table), columns),
        None => Scope::of_columns(columns),
    }
}
