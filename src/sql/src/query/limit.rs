//! LIMIT, OFFSET and FETCH FIRST: constants where they can be known, else by the numbers of the rows.

use expr::ColumnOrder;
use repr::{Datum, ScalarType};
use sqlparser::ast::{Expr, GroupByExpr, LimitClause, Query, Select, SelectItem, SetExpr};

use super::coerce::{Planned, evaluate, from_eval};
use super::expression::constant;
use super::operator::comparison_call;
use super::scope::Scope;
use super::set::QueryPlan;
use super::window::{self, WindowItem};
use super::{Clause, QueryContext};
use crate::error::Error;
use crate::hir::HirScalar;

/// Which rows of a query stay.
#[allow(clippy::large_enum_variant)]
pub(super) enum Limits {
    /// Without a limit: None.
    Constant {
        limit: Option<u64>,
        offset: u64,
    },
    Computed(Computed),
}

/// Limits that depend on data, or on ties.
pub(super) struct Computed {
    limit: HirScalar,
    offset: HirScalar,
    pub(super) with_ties: bool,
}

impl Limits {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Limits::Constant { limit: None, offset: 0 })
    }
}

impl QueryContext<'_> {
    /// The limits of a query. Errors: 2201W and 2201X if negative.
    pub(super) fn limits(&mut self, query: &Query) -> Result<Limits, Error> {
        let (limit, offset) = match &query.limit_clause {
            None => (None, None),
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(LimitClause::LimitOffset { .. }) => return Err(Error::unsupported("LIMIT BY").at_node(query)),
            Some(LimitClause::OffsetCommaLimit { .. }) => {
                return Err(Error::new("42601", "LIMIT #,# syntax is not supported")
                    .with_hint("Use separate LIMIT and OFFSET clauses.")
                    .at_node(query));
            }
        };
        let limit = match (&query.fetch, limit) {
            (None, limit) => limit,
            (Some(fetch), None) if !fetch.percent => fetch.quantity.as_ref(),
            (Some(_), None) => return Err(Error::unsupported("FETCH PERCENT").at_node(query)),
            (Some(_), Some(_)) => return Err(Error::new("42601", "multiple LIMIT clauses not allowed").at_node(query)),
        };
        let fetch_one = query.fetch.as_ref().is_some_and(|fetch| fetch.quantity.is_none());
        let with_ties = query.fetch.as_ref().is_some_and(|fetch| fetch.with_ties);
        let limit = match limit {
            Some(expr) => self.count(query, expr, Clause::Limit)?,
            None => Count::Constant(fetch_one.then_some(1)),
        };
        let offset = match offset {
            Some(expr) => self.count(query, expr, Clause::Offset)?,
            None => Count::Constant(None),
        };
        Ok(match (limit, offset) {
            (Count::Constant(limit), Count::Constant(offset)) if !with_ties || limit.is_none() => {
                Limits::Constant { limit, offset: offset.unwrap_or(0) }
            }
            (limit, offset) => {
                Limits::Computed(Computed { limit: limit.into_scalar(), offset: offset.into_scalar(), with_ties })
            }
        })
    }

    /// The value of LIMIT or OFFSET. It may look at enclosing rows, not at the query's own.
    fn count(&mut self, query: &Query, expr: &Expr, clause: Clause) -> Result<Count, Error> {
        let name = clause.name();
        let at = |error: Error| error.at_node(expr);
        let scalar = self.with_level(Scope::default(), clause, |qcx| {
            let planned = match qcx.expression(expr)? {
                // Numbers with a fraction are rounded.
                planned @ Planned::Typed {
                    typ: ScalarType::Numeric(_) | ScalarType::Float4 | ScalarType::Float8,
                    ..
                } => {
                    let scalar = qcx.coerce_explicit(planned, &ScalarType::Int8)?;
                    Planned::typed(scalar, ScalarType::Int8)
                }
                other => other,
            };
            qcx.coerce_implicit(planned, &ScalarType::Int8, |found| {
                format!("argument of {name} must be type bigint, not type {found}")
            })
        });
        let scalar = scalar.map_err(|error| at(self.of_own_rows(query, expr, name, error)))?;
        let Some(value) = constant(&scalar) else { return Ok(Count::Computed(checked(scalar, clause))) };
        let literal = evaluate(&value, &ScalarType::Int8).map_err(at)?;
        match literal.as_literal() {
            Some(Ok(Datum::Null)) => Ok(Count::Constant(None)),
            Some(Ok(value)) => match u64::try_from(value.unwrap_int()) {
                Ok(count) => Ok(Count::Constant(Some(count))),
                Err(_) => Err(at(negative(clause))),
            },
            Some(Err(error)) => Err(at(from_eval(error))),
            None => Ok(Count::Computed(checked(scalar, clause))),
        }
    }
}

impl QueryContext<'_> {
    /// The error of a count that names no column, unless it names one of the query's own rows.
    fn of_own_rows(&mut self, query: &Query, expr: &Expr, name: &str, error: Error) -> Error {
        let SetExpr::Select(select) = &*query.body else { return error };
        if error.code != "42703" {
            return error;
        }
        let mut select = Select::clone(select);
        select.projection = vec![SelectItem::UnnamedExpr(expr.clone())];
        (select.distinct, select.having) = (None, None);
        select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
        match self.select(&select, &[]) {
            Ok(_) => Error::new("42P10", format!("argument of {name} must not contain variables")),
            Err(_) => error,
        }
    }
}

/// A limit or an offset; NULL is None.
enum Count {
    Constant(Option<u64>),
    Computed(HirScalar),
}

impl Count {
    fn into_scalar(self) -> HirScalar {
        match self {
            Count::Constant(None) => HirScalar::null(ScalarType::Int8),
            Count::Constant(Some(count)) => bigint(i64::try_from(count).unwrap_or(i64::MAX)),
            Count::Computed(scalar) => scalar,
        }
    }
}

fn bigint(value: i64) -> HirScalar {
    HirScalar::literal(Datum::Int(value), ScalarType::Int8)
}

fn negative(clause: Clause) -> Error {
    match clause {
        Clause::Limit => Error::new("2201W", "LIMIT must not be negative"),
        _ => Error::new("2201X", "OFFSET must not be negative"),
    }
}

/// The scalar, and an error where it is negative.
fn checked(scalar: HirScalar, clause: Clause) -> HirScalar {
    let Error { code, message, .. } = negative(clause);
    let error = HirScalar::Literal(Err(expr::EvalError::new(code, message)), ScalarType::Int8.not_null());
    let negative = comparison_call("<", scalar.clone(), bigint(0), &ScalarType::Int8);
    HirScalar::if_then_else(negative, error, scalar)
}

impl Computed {
    /// Numbers the rows in the plan's order, and keeps those within the limits. The columns stay, more come behind them.
    pub(super) fn apply(self, plan: QueryPlan) -> Result<QueryPlan, Error> {
        let QueryPlan { relation, names, types, order, hidden, .. } = plan;
        let all: Vec<ScalarType> = types.iter().chain(&hidden).cloned().collect();
        let arity = all.len();
        let key = |order: &ColumnOrder| (HirScalar::column(order.column), all[order.column].clone(), order.clone());
        let keys: Vec<_> = order.iter().map(key).collect();
        let windows = vec![WindowItem::numbering(false, keys.clone()), WindowItem::numbering(true, keys)];
        let mut users: Vec<HirScalar> = (0..arity).map(HirScalar::column).collect();
        users.extend([HirScalar::Window(0), HirScalar::Window(1)]);
        let column_types = all.iter().cloned().enumerate().collect();
        let (relation, _) = window::expand(relation, column_types, windows, &mut users.iter_mut().collect::<Vec<_>>())?;
        // The columns come out in their order, then the number and the rank.
        let outputs = users.iter().map(|user| match user {
            HirScalar::Column { index, .. } => *index,
            other => unreachable!("{other:?} became a column"),
        });
        let relation = relation.project(outputs.collect()).map(vec![self.limit, self.offset]);
        let [number, rank, limit, offset] = [0, 1, 2, 3].map(|place| HirScalar::column(arity + place));
        let offset = HirScalar::Coalesce(vec![offset, bigint(0)]);
        let compare = |symbol, left, right| comparison_call(symbol, left, right, &ScalarType::Int8);
        let minus = |left: HirScalar| {
            let func = expr::func::by_key("int8_sub").ok_or_else(|| Error::unsupported("subtraction"))?;
            let types = vec![ScalarType::Int8, ScalarType::Int8];
            Ok::<_, Error>(HirScalar::call(func, vec![left, offset.clone()], types, ScalarType::Int8))
        };
        let counted = if self.with_ties { rank } else { number.clone() };
        let within =
            HirScalar::And(vec![compare(">", limit.clone(), bigint(0)), compare("<=", minus(counted)?, limit.clone())]);
        let predicates = vec![compare(">", number, offset.clone()), HirScalar::Or(vec![limit.null_test(), within])];
        let relation = relation.filter(predicates);
        let hidden = hidden.into_iter().chain((0..4).map(|_| ScalarType::Int8)).collect();
        Ok(QueryPlan { relation, names, types, order, limit: None, offset: 0, limit_group_size: None, hidden })
    }
}
