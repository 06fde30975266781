//! Queries around SELECT: WITH, set operations, VALUES, ORDER BY, LIMIT and OFFSET.

use expr::{ColumnOrder, TableFunc};
use repr::{ColumnType, Row, ScalarType};
use sqlparser::ast::{
    self, Expr, OrderBy, OrderByExpr, OrderByKind, OrderBySort, Query, SetExpr, SetOperator, SetQuantifier, Value,
    Values,
};

use super::coerce::{Planned, evaluate, no_common_type};
use super::expression::{constant, strip};
use super::limit::Limits;
use super::scope::{Scope, always_quoted, unknown_column};
use super::select::all_fields;
use super::types::{self, shown};
use super::{Clause, QueryContext};
use crate::comparison_key;
use crate::error::Error;
use crate::hir::{HirRelation, HirScalar};
use crate::names::fold;

/// A planned query: the first columns of `relation`, one for each name, are its result; more may follow for ORDER BY.
pub(super) struct QueryPlan {
    pub(super) relation: HirRelation,
    pub(super) names: Vec<String>,
    pub(super) types: Vec<ScalarType>,
    pub(super) order: Vec<ColumnOrder>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
    /// How many rows are expected where the limit counts.
    pub(super) limit_group_size: Option<u64>,
    /// The types of the columns behind the result's, which only the order looks at.
    pub(super) hidden: Vec<ScalarType>,
}

impl QueryPlan {
    /// The result as a relation. Without LIMIT and OFFSET the order means nothing and is dropped.
    pub(super) fn into_relation(self) -> (HirRelation, Vec<String>, Vec<ScalarType>) {
        let mut relation = self.relation;
        if self.limit.is_some() || self.offset > 0 {
            relation = HirRelation::TopK {
                input: Box::new(relation),
                group_key: Vec::new(),
                order: self.order,
                limit: self.limit,
                offset: self.offset,
                expected_group_size: self.limit_group_size,
            };
        }
        if !self.hidden.is_empty() {
            relation = relation.project((0..self.names.len()).collect());
        }
        (relation, self.names, self.types)
    }
}

/// What a query's body yields before ORDER BY.
pub(super) struct Body {
    pub(super) relation: HirRelation,
    pub(super) names: Vec<String>,
    pub(super) types: Vec<ScalarType>,
}

impl QueryContext<'_> {
    /// Plans a query inside whatever levels there are.
    pub(super) fn query(&mut self, query: &Query) -> Result<QueryPlan, Error> {
        self.nested(|qcx| {
            let known = qcx.ctes.len();
            let result = qcx.query_with(query);
            qcx.ctes.truncate(known);
            result
        })
    }

    fn query_with(&mut self, query: &Query) -> Result<QueryPlan, Error> {
        check_query(query)?;
        let bound = match &query.with {
            Some(with) => self.with(with)?,
            None => Vec::new(),
        };
        let limits = self.limits(query)?;
        let order_by = order_by_list(query.order_by.as_ref())?;
        let mut plan = match &*query.body {
            SetExpr::Select(select) => self.select(select, order_by)?,
            SetExpr::Query(inner) if order_by.is_empty() && limits.is_empty() => self.query(inner)?,
            body => {
                let body = self.body(body)?;
                self.order_body(body, order_by)?
            }
        };
        match limits {
            Limits::Constant { limit, offset } => {
                plan.limit = limit.or(plan.limit);
                plan.offset = if offset > 0 { offset } else { plan.offset };
            }
            Limits::Computed(computed) => {
                if computed.with_ties && order_by.is_empty() {
                    let message = "WITH TIES cannot be specified without ORDER BY clause";
                    return Err(Error::new("42601", message).at_node(query));
                }
                plan = computed.apply(plan)?;
            }
        }
        plan.relation = bound.into_iter().rev().fold(plan.relation, |body, bound| bound.around(body));
        Ok(plan)
    }

    /// Plans what is not a lone SELECT, and SELECT as a part of it.
    pub(super) fn body(&mut self, body: &SetExpr) -> Result<Body, Error> {
        self.nested(|qcx| match body {
            SetExpr::Select(select) => {
                let (relation, names, types) = qcx.select(select, &[])?.into_relation();
                Ok(Body { relation, names, types })
            }
            SetExpr::Query(query) => {
                let (relation, names, types) = qcx.query(query)?.into_relation();
                Ok(Body { relation, names, types })
            }
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                qcx.set_operation(*op, *set_quantifier, left, right)
            }
            SetExpr::Values(values) => qcx.values(values),
            other => Err(Error::unsupported(format!("{other} as a query")).at_node(other)),
        })
    }

    fn set_operation(
        &mut self,
        op: SetOperator,
        quantifier: SetQuantifier,
        left: &SetExpr,
        right: &SetExpr,
    ) -> Result<Body, Error> {
        let all = match quantifier {
            SetQuantifier::All => true,
            SetQuantifier::Distinct | SetQuantifier::None => false,
            _ => return Err(Error::unsupported("BY NAME")),
        };
        let name = match op {
            SetOperator::Union => "UNION",
            SetOperator::Except | SetOperator::Minus => "EXCEPT",
            SetOperator::Intersect => "INTERSECT",
        };
        let (left_node, right_node) = (left, right);
        let left = self.operand(left)?;
        let right = self.operand(right)?;
        if left.types.len() != right.types.len() {
            let message = format!("each {name} query must have the same number of columns");
            return Err(Error::new("42601", message).at_node(right_node));
        }
        let mut common_types = Vec::with_capacity(left.types.len());
        for (left, right) in left.types.iter().zip(&right.types) {
            let known: Vec<&ScalarType> = [left, right].into_iter().flatten().collect();
            let common = types::common(&known).ok_or_else(|| no_common_type(&known, name).at_node(right_node))?;
            common_types.push(common);
        }
        let names = left.names.clone();
        let left = self.cast_operand(left, &common_types).map_err(|error| error.at_node(left_node))?;
        let right = self.cast_operand(right, &common_types).map_err(|error| error.at_node(right_node))?;
        let intervals = common_types.iter().any(ScalarType::contains_interval);
        if intervals && all && op != SetOperator::Union {
            return Err(Error::unsupported(format!("{name} ALL of intervals")).at_node(left_node));
        }
        let bare = |relation: HirRelation| without_blanks(relation, &common_types);
        let (left, right) = if op == SetOperator::Union { (left, right) } else { (bare(left), bare(right)) };
        let relation = match (op, all) {
            (SetOperator::Union, true) => left.union(right),
            (SetOperator::Union, false) => left.union(right).distinct(),
            (SetOperator::Except | SetOperator::Minus, true) => left.union(right.negate()).threshold(),
            (SetOperator::Intersect, true) => {
                let rest = left.clone().union(right.negate()).threshold();
                left.union(rest.negate())
            }
            (_, false) if intervals => {
                return Err(Error::unsupported(format!("{name} of intervals")).at_node(left_node));
            }
            (SetOperator::Except | SetOperator::Minus, false) => {
                left.distinct().union(right.distinct().negate()).threshold()
            }
            (SetOperator::Intersect, false) => {
                let left = left.distinct();
                let rest = left.clone().union(right.distinct().negate()).threshold();
                left.union(rest.negate())
            }
        };
        Ok(Body { relation, names, types: common_types })
    }

    /// One side of a set operation, columns of unknown literals left open.
    pub(super) fn operand(&mut self, body: &SetExpr) -> Result<Operand, Error> {
        if let SetExpr::Select(select) = body {
            let unknown = unknown_items(select);
            let body = self.body(body)?;
            let types = body
                .types
                .into_iter()
                .enumerate()
                .map(|(index, typ)| if matches!(unknown.get(index), Some(Some(_))) { None } else { Some(typ) });
            return Ok(Operand { relation: body.relation, names: body.names, types: types.collect() });
        }
        let body = self.body(body)?;
        Ok(Operand { relation: body.relation, names: body.names, types: body.types.into_iter().map(Some).collect() })
    }

    /// Casts the columns of one side to the common types.
    pub(super) fn cast_operand(&mut self, operand: Operand, to: &[ScalarType]) -> Result<HirRelation, Error> {
        let arity = to.len();
        let mut scalars = Vec::new();
        let mut outputs = Vec::with_capacity(arity);
        for (index, (from, to)) in operand.types.iter().zip(to).enumerate() {
            let column = HirScalar::column(index);
            let scalar = match from {
                Some(from) if from == to => {
                    outputs.push(index);
                    continue;
                }
                Some(from) => {
                    let planned = Planned::typed(column, from.clone());
                    self.coerce_implicit(planned, to, |found| format!("cannot convert {found} to {}", shown(to)))?
                }
                None if *to == ScalarType::Text => {
                    outputs.push(index);
                    continue;
                }
                // A literal of unknown type was planned as text.
                None => self.coerce_explicit(Planned::typed(column, ScalarType::Text), to)?,
            };
            outputs.push(arity + scalars.len());
            scalars.push(scalar);
        }
        if scalars.is_empty() {
            return Ok(operand.relation);
        }
        Ok(operand.relation.map(scalars).project(outputs))
    }

    pub(super) fn values(&mut self, values: &Values) -> Result<Body, Error> {
        let rows: Vec<&[Expr]> = values.rows.iter().map(|row| &row.content[..]).collect();
        let width = rows.first().map_or(0, |row| row.len());
        if let Some(row) = rows.iter().find(|row| row.len() != width) {
            let error = Error::new("42601", "VALUES lists must all be the same length");
            return Err(row.first().map_or(error.clone(), |expr| error.at_node(expr)));
        }
        self.with_level(Scope::default(), Clause::Values, |qcx| {
            let mut columns: Vec<Vec<Planned>> = (0..width).map(|_| Vec::with_capacity(rows.len())).collect();
            for row in &rows {
                for (column, expr) in columns.iter_mut().zip(*row) {
                    column.push(qcx.expression(expr)?);
                }
            }
            let mut types = Vec::with_capacity(width);
            let mut scalars = Vec::with_capacity(width);
            for (index, column) in columns.into_iter().enumerate() {
                let common = qcx.coerce_common(column, "VALUES");
                let (column, typ) =
                    common.map_err(|error| rows.first().map_or(error.clone(), |row| error.at_node(&row[index])))?;
                scalars.push(column);
                types.push(typ);
            }
            let rows: Vec<Vec<HirScalar>> =
                (0..rows.len()).map(|row| scalars.iter().map(|column| column[row].clone()).collect()).collect();
            let relation = values_relation(rows, &types);
            Ok(Body { relation, names: (1..=width).map(|n| format!("column{n}")).collect(), types })
        })
    }

    /// ORDER BY behind anything but a SELECT: only output columns can be named.
    fn order_body(&mut self, body: Body, order_by: &[OrderByExpr]) -> Result<QueryPlan, Error> {
        let arity = body.names.len();
        let mut targets = Vec::with_capacity(order_by.len());
        for order in order_by {
            let column = match ordinal(&order.expr) {
                Some(place) => output_position(place, arity, "ORDER BY").map_err(|error| error.at_node(&order.expr))?,
                None => named_output(&order.expr, &body.names)?.ok_or_else(|| match strip(&order.expr) {
                    Expr::Identifier(ident) => {
                        unknown_column(std::slice::from_ref(ident), body.names.iter().map(String::as_str))
                    }
                    Expr::CompoundIdentifier(idents) => {
                        let table = idents.first().map(fold).unwrap_or_default();
                        let message = format!("missing FROM-clause entry for table {}", always_quoted(&table));
                        Error::new("42P01", message).at_node(&order.expr)
                    }
                    _ => Error::new("0A000", "invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
                        .with_detail("Only result column names can be used, not expressions or functions.")
                        .with_hint("Add the expression/function to every SELECT, or move the UNION into a FROM clause.")
                        .at_node(&order.expr),
                })?,
            };
            targets.push((column, order_options(order)?));
        }
        Ok(ordered(body.relation, body.names, body.types, Vec::new(), targets))
    }
}

/// For each select item the literal or NULL, if it is a bare one; empty if that cannot be said by position.
pub(super) fn unknown_items(select: &ast::Select) -> Vec<Option<Planned>> {
    let wildcard = |item: &ast::SelectItem| match item {
        ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..) => true,
        ast::SelectItem::UnnamedExpr(expr) => all_fields(expr).is_some(),
        _ => false,
    };
    if select.projection.iter().any(wildcard) {
        return Vec::new();
    }
    let unknown = |expr: &Expr| match strip(expr) {
        Expr::Value(value) => {
            let text = super::literal::text_of(&value.value).map(str::to_owned);
            let position = crate::position::of_span(value.span);
            (text.is_some() || value.value == Value::Null).then_some(Planned::Unknown { text, position })
        }
        _ => None,
    };
    select
        .projection
        .iter()
        .map(|item| match item {
            ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => unknown(expr),
            _ => None,
        })
        .collect()
}

pub(super) struct Operand {
    pub(super) relation: HirRelation,
    pub(super) names: Vec<String>,
    /// None for a column of bare literals whose type is open.
    pub(super) types: Vec<Option<ScalarType>>,
}

/// Rows of scalars: constants where they all are, else a call for each.
pub(super) fn values_relation(rows: Vec<Vec<HirScalar>>, types: &[ScalarType]) -> HirRelation {
    let rows: Vec<Vec<HirScalar>> = rows.into_iter().map(|row| row.into_iter().map(folded).collect()).collect();
    let literals = |row: &[HirScalar]| -> Option<Row> {
        let mut packed = Row::default();
        for scalar in row {
            match scalar {
                HirScalar::Literal(Ok(value), _) => packed.push_packed(value.as_bytes()),
                _ => return None,
            }
        }
        Some(packed)
    };
    let nullable =
        |index: usize| rows.iter().any(|row| !matches!(&row[index], HirScalar::Literal(Ok(_), typ) if !typ.nullable));
    let columns: Vec<ColumnType> = types
        .iter()
        .enumerate()
        .map(|(index, typ)| ColumnType { scalar: typ.clone(), nullable: nullable(index) })
        .collect();
    if let Some(rows) = rows.iter().map(|row| literals(row)).collect::<Option<Vec<Row>>>() {
        return HirRelation::Constant { rows, columns };
    }
    if let [row] = &rows[..] {
        return HirRelation::unit().map(row.clone());
    }
    if rows.iter().flatten().any(HirScalar::contains_subquery) {
        // Subqueries stand over a row of their own each.
        let inputs = rows.into_iter().map(|row| HirRelation::unit().map(row)).collect();
        return HirRelation::Union { inputs };
    }
    let func = TableFunc::Wrap { columns: types.to_vec() };
    let args = rows.into_iter().flatten().collect();
    HirRelation::FlatMap { input: Box::new(HirRelation::unit()), func, args, columns }
}

/// A constant expression as its literal, unless it fails: that is for when it is evaluated.
fn folded(scalar: HirScalar) -> HirScalar {
    if matches!(scalar, HirScalar::Literal(..)) {
        return scalar;
    }
    let Some(constant) = constant(&scalar) else { return scalar };
    let typ = constant.typ(&[]).scalar;
    evaluate(&constant, &typ).map_or(scalar, |literal| HirScalar::from_scalar(literal, &[]))
}

/// The rows of an operand of EXCEPT or INTERSECT, whose equal texts of `bpchar` have to be equal bytes.
fn without_blanks(relation: HirRelation, types: &[ScalarType]) -> HirRelation {
    let arity = types.len();
    let (mut keys, mut outputs) = (Vec::new(), Vec::with_capacity(arity));
    for (column, typ) in types.iter().enumerate() {
        outputs.push(if typ.equals_by_key() { arity + keys.len() } else { column });
        if typ.equals_by_key() {
            keys.push(comparison_key::of(HirScalar::column(column), typ));
        }
    }
    if keys.is_empty() { relation } else { relation.map(keys).project(outputs) }
}

/// Orders `relation`, whose first columns, one for each name, are the result: intervals are ordered by their key.
pub(super) fn ordered(
    relation: HirRelation,
    names: Vec<String>,
    types: Vec<ScalarType>,
    mut hidden: Vec<ScalarType>,
    targets: Vec<(usize, ColumnOrder)>,
) -> QueryPlan {
    let arity = types.len() + hidden.len();
    let (mut keys, mut key_types) = (Vec::new(), Vec::new());
    let mut order = Vec::with_capacity(targets.len());
    for (column, options) in targets {
        let key = types.get(column).and_then(|typ| comparison_key::order(&HirScalar::column(column), typ));
        let column = match key {
            Some((key, typ)) => {
                keys.push(key);
                key_types.push(typ);
                arity + keys.len() - 1
            }
            None => column,
        };
        order.push(ColumnOrder { column, ..options });
    }
    hidden.extend(key_types);
    QueryPlan {
        relation: relation.map(keys),
        names,
        types,
        order,
        limit: None,
        offset: 0,
        limit_group_size: None,
        hidden,
    }
}

/// The direction of an ORDER BY item; its column is still to be set.
pub(super) fn order_options(order: &OrderByExpr) -> Result<ColumnOrder, Error> {
    if order.with_fill.is_some() {
        return Err(Error::unsupported("WITH FILL").at_node(&order.expr));
    }
    let desc = match &order.options.sort {
        None | Some(OrderBySort::Asc) => false,
        Some(OrderBySort::Desc) => true,
        Some(OrderBySort::Using(operator)) => match operator.to_string().as_str() {
            "<" => false,
            ">" => true,
            _ => return Err(Error::unsupported("ORDER BY USING").at_node(&order.expr)),
        },
    };
    let nulls_last = order.options.nulls_first.map_or(!desc, |nulls_first| !nulls_first);
    Ok(ColumnOrder { column: 0, desc, nulls_last })
}

/// The number in `ORDER BY 2`.
pub(super) fn ordinal(expr: &Expr) -> Option<&str> {
    match strip(expr) {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => Some(digits),
            _ => None,
        },
        _ => None,
    }
}

/// The column, from 0, of the position written. Errors: 42P10, 42601.
pub(super) fn output_position(digits: &str, arity: usize, clause: &str) -> Result<usize, Error> {
    let Ok(place) = digits.parse::<usize>() else {
        return Err(Error::new("42601", format!("non-integer constant in {clause}")));
    };
    match place.checked_sub(1) {
        Some(column) if column < arity => Ok(column),
        _ => Err(Error::new("42P10", format!("{clause} position {place} is not in select list"))),
    }
}

/// The output column that a bare name means. Errors: 42702 if several have it.
pub(super) fn named_output(expr: &Expr, names: &[String]) -> Result<Option<usize>, Error> {
    let Expr::Identifier(ident) = strip(expr) else { return Ok(None) };
    let wanted = fold(ident);
    let mut found = (0..names.len()).filter(|index| names[*index] == wanted);
    Ok(found.next())
}

/// The names of a FROM item's columns: the alias's, then those that it does not rename. Errors: 42P10 too many.
pub(super) fn renamed(mut names: Vec<String>, alias: &ast::TableAlias, table: &str) -> Result<Vec<String>, Error> {
    if alias.columns.len() > names.len() {
        let message = format!(
            "table \"{table}\" has {} columns available but {} columns specified",
            names.len(),
            alias.columns.len()
        );
        return Err(Error::new("42P10", message).at_node(alias));
    }
    for (name, column) in names.iter_mut().zip(&alias.columns) {
        if column.data_type.is_some() {
            return Err(Error::unsupported("a column definition list").at_node(alias));
        }
        *name = fold(&column.name);
    }
    Ok(names)
}

fn order_by_list(order_by: Option<&OrderBy>) -> Result<&[OrderByExpr], Error> {
    match order_by {
        None => Ok(&[]),
        Some(OrderBy { kind: OrderByKind::Expressions(list), interpolate: None }) => Ok(list),
        Some(order_by) => Err(Error::unsupported("ORDER BY ALL").at_node(order_by)),
    }
}

/// Refuses clauses that the parser knows from other systems, and locks.
fn check_query(query: &Query) -> Result<(), Error> {
    if !query.locks.is_empty() {
        return Err(Error::unsupported("FOR UPDATE or FOR SHARE").at_node(query));
    }
    let foreign = query.for_clause.is_some()
        || query.settings.is_some()
        || query.format_clause.is_some()
        || !query.pipe_operators.is_empty();
    if foreign {
        return Err(Error::new("42601", "syntax error at the end of the query").at_node(query));
    }
    Ok(())
}
