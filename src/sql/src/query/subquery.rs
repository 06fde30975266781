//! Subqueries in expressions: scalar, EXISTS, IN, ANY and ALL; and ANY and ALL over arrays and lists.

use expr::aggregate::output_type;
use expr::func::by_key;
use expr::{AggregateFunc, TableFunc};
use repr::{Datum, Row, ScalarType};
use sqlparser::ast::{BinaryOperator, Expr, Query, SetExpr};

use super::QueryContext;
use super::coerce::Planned;
use super::expression::strip;
use super::operator::{no_operator, symbol};
use super::set::QueryPlan;
use crate::error::Error;
use crate::hir::{HirAggregate, HirRelation, HirScalar, Quantifier};

impl QueryContext<'_> {
    /// A query inside an expression: it has the current row right outside.
    pub(super) fn subquery(&mut self, query: &Query) -> Result<(HirRelation, Vec<ScalarType>), Error> {
        let planned = self.nested(|qcx| qcx.query(query))?;
        let (relation, _, types) = planned.into_relation();
        Ok((relation, types))
    }

    pub(super) fn scalar_subquery(&mut self, query: &Query) -> Result<Planned, Error> {
        let (relation, mut types) = self.subquery(query)?;
        match types.pop() {
            Some(typ) if types.is_empty() => Ok(Planned::typed(HirScalar::Select(Box::new(relation)), typ)),
            _ => Err(Error::new("42601", "subquery must return only one column").at_node(query)),
        }
    }

    /// A query of at most one row, as a row to compare with: of NULLs if there is none.
    /// Errors: 42601 if it has not `count` columns.
    pub(super) fn row_subquery(&mut self, query: &Query, count: usize) -> Result<Planned, Error> {
        let (relation, types) = self.subquery(query)?;
        if types.len() != count {
            let few = if types.len() < count { "few" } else { "many" };
            return Err(Error::new("42601", format!("subquery has too {few} columns")).at_node(query));
        }
        let columns = types.iter().enumerate();
        let fields = columns.map(|(place, typ)| (format!("f{}", place + 1), HirScalar::column(place), typ.clone()));
        let (record, typ) = super::function::record(fields.collect())?;
        let relation = relation.map(vec![record]).project(vec![types.len()]);
        let row = HirScalar::Select(Box::new(relation));
        let fields = types.into_iter().enumerate();
        let fields = fields.map(|(place, field)| super::function::record_field(row.clone(), &typ, place, field));
        Ok(Planned::Row(fields.collect::<Result<_, _>>()?))
    }

    /// `ARRAY(query)`: the values of its one column in the order of the query; without rows an empty array.
    pub(super) fn array_of_subquery(&mut self, query: &Query) -> Result<Planned, Error> {
        let planned = self.nested(|qcx| qcx.query(query))?;
        let [typ] = &planned.types[..] else {
            return Err(Error::new("42601", "subquery must return only one column").at_node(query));
        };
        let typ = typ.clone();
        let QueryPlan { mut relation, order, limit, offset, hidden, limit_group_size, .. } = planned;
        if limit.is_some() || offset > 0 {
            let (group_key, order) = (Vec::new(), order.clone());
            relation = HirRelation::TopK {
                input: Box::new(relation),
                group_key,
                order,
                limit,
                offset,
                expected_group_size: limit_group_size,
            };
        }
        // The aggregate takes a record of the value and of what it is ordered by.
        let fields = std::iter::once(typ.clone()).chain(hidden).enumerate();
        let fields = fields.map(|(place, typ)| (format!("f{}", place + 1), HirScalar::column(place), typ)).collect();
        let (record, record_type) = super::function::record(fields)?;
        let func = AggregateFunc::ArrayAgg { order_by: order };
        let result = output_type(&func, &record_type);
        let aggregate =
            HirAggregate { func, expr: record, arg_type: record_type, distinct: false, typ: result.clone().nullable() };
        let (input, group_key) = (Box::new(relation), Vec::new());
        let collected = HirRelation::Reduce {
            input,
            group_key,
            aggregates: vec![aggregate],
            always: vec![Row::default()],
            expected_group_size: None,
        };
        let empty = super::function::array(Vec::new(), typ)?;
        let (empty, _) = self.settle(empty)?;
        Ok(Planned::typed(HirScalar::Coalesce(vec![HirScalar::Select(Box::new(collected)), empty]), result))
    }

    pub(super) fn exists(&mut self, query: &Query, negated: bool) -> Result<Planned, Error> {
        let (relation, _) = self.subquery(query)?;
        let test = HirScalar::Exists(Box::new(relation));
        Ok(Planned::bool(if negated { test.not() } else { test }))
    }

    pub(super) fn in_subquery(&mut self, left: &Expr, query: &Query, negated: bool) -> Result<Planned, Error> {
        let left_planned = self.expression(left)?;
        let test =
            self.over_subquery(left_planned, "=", query, Quantifier::Any).map_err(|error| error.at_node(left))?;
        Ok(Planned::bool(if negated { test.not() } else { test }))
    }

    /// `left op ANY (...)`, `left op ALL (...)` over a subquery or an array.
    pub(super) fn quantified(
        &mut self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        any: bool,
    ) -> Result<Planned, Error> {
        let symbol = symbol(op)?;
        let left_planned = self.expression(left)?;
        if let Expr::Subquery(query) = strip(right) {
            let quantifier = if any { Quantifier::Any } else { Quantifier::All };
            let test = self.over_subquery(left_planned, &symbol, query, quantifier);
            return Ok(Planned::bool(test.map_err(|error| error.at_node(left))?));
        }
        if let (None, Expr::Array(array)) = (expr::func::comparison(&symbol), strip(right))
            && !array.elem.iter().any(|element| matches!(strip(element), Expr::Array(_)))
        {
            let tests = self.over_listed(&left_planned, &symbol, &array.elem).map_err(|error| error.at_node(left))?;
            return Ok(Planned::bool(if any { HirScalar::Or(tests) } else { HirScalar::And(tests) }));
        }
        let right = self.expression(right)?;
        self.over_array(left_planned, &symbol, right, any).map_err(|error| error.at_node(left))
    }

    /// The three-valued test of `left` against every row of a subquery.
    fn over_subquery(
        &mut self,
        left: Planned,
        symbol: &str,
        query: &Query,
        quantifier: Quantifier,
    ) -> Result<HirScalar, Error> {
        let (relation, types) = match &*query.body {
            // `x IN (VALUES (...))` and `x = ANY (SELECT '{...}'::int[])` alike: the rows are compared.
            SetExpr::Values(_) | SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::SetOperation { .. } => {
                self.subquery(query)?
            }
            _ => return Err(Error::unsupported("this kind of subquery").at_node(query)),
        };
        let lefts = match left {
            Planned::Row(fields) => fields,
            other => vec![other],
        };
        if lefts.len() != types.len() {
            let message = if lefts.len() < types.len() {
                "subquery has too many columns"
            } else {
                "subquery has too few columns"
            };
            return Err(Error::new("42601", message).at_node(query));
        }
        let mut sides = (Vec::with_capacity(lefts.len()), Vec::with_capacity(lefts.len()));
        for (index, (left, typ)) in lefts.into_iter().zip(types).enumerate() {
            // The predicate stands over the subquery's row; the left side is one row further out.
            sides.0.push(match left {
                Planned::Typed { mut scalar, typ } => {
                    scalar.shift_in(1);
                    Planned::typed(scalar, typ)
                }
                other => other,
            });
            sides.1.push(Planned::typed(HirScalar::column(index), typ));
        }
        let predicate = if sides.0.len() == 1 {
            let (left, right) = (sides.0.remove(0), sides.1.remove(0));
            let test = self.infix(symbol, left, right)?;
            self.coerce_bool(test, "argument of ANY/ALL")?
        } else {
            self.compare(symbol, Planned::Row(sides.0), Planned::Row(sides.1))?
        };
        Ok(HirScalar::Quantified { quantifier, relation: Box::new(relation), predicate: Box::new(predicate) })
    }

    /// The tests of `left` against elements that are written out.
    fn over_listed(&mut self, left: &Planned, symbol: &str, elements: &[Expr]) -> Result<Vec<HirScalar>, Error> {
        let mut tests = Vec::with_capacity(elements.len());
        for element in elements {
            let element = self.expression(element)?;
            let test = self.infix(symbol, left.clone(), element)?;
            tests.push(self.coerce_bool(test, "argument of ANY/ALL")?);
        }
        Ok(tests)
    }

    /// The three-valued test of `left` against the elements of an array or list as rows; NULL if there is none.
    fn over_unnested(&mut self, left: Planned, symbol: &str, right: Planned, any: bool) -> Result<Planned, Error> {
        let (many, typ) = self.settle(right)?;
        let func = match &typ {
            ScalarType::List(element) => TableFunc::UnnestList((**element).clone()),
            ScalarType::Array(element) => TableFunc::UnnestArray((**element).clone()),
            _ => return Err(Error::new("42809", "op ANY/ALL (array) requires array on right side")),
        };
        let (mut left, left_type) = self.settle(left)?;
        left.shift_in(1);
        let columns = func.output_types();
        let element = Planned::typed(HirScalar::column(0), columns[0].scalar.clone());
        let test = self.infix(symbol, Planned::typed(left, left_type), element)?;
        let predicate = Box::new(self.coerce_bool(test, "argument of ANY/ALL")?);
        let mut inside = many.clone();
        inside.shift_in(1);
        let relation = HirRelation::FlatMap { input: Box::new(HirRelation::unit()), func, args: vec![inside], columns };
        let quantifier = if any { Quantifier::Any } else { Quantifier::All };
        let test = HirScalar::Quantified { quantifier, relation: Box::new(relation), predicate };
        Ok(Planned::bool(HirScalar::if_then_else(many.null_test(), HirScalar::null(ScalarType::Bool), test)))
    }

    /// The three-valued test of `left` against every element of an array.
    fn over_array(&mut self, left: Planned, symbol: &str, right: Planned, any: bool) -> Result<Planned, Error> {
        let (left, right) = match (left, right) {
            (left, right @ Planned::Typed { .. }) => (left, right),
            (left, unknown) => {
                // `x = ANY ('{1,2}')`, `x = ANY ($1)`: an array of what is on the left.
                let (left, typ) = self.settle(left)?;
                // A pattern is a text whatever it is compared with.
                let is_text = super::types::is_string(&typ);
                let patterns = is_text && expr::func::comparison(symbol).is_none();
                let element = if patterns { ScalarType::Text } else { super::types::base(&typ) };
                let array = ScalarType::Array(Box::new(element));
                let right = self.coerce_implicit(unknown, &array, |found| format!("{found} is not an array"))?;
                (Planned::typed(left, typ), Planned::typed(right, array))
            }
        };
        let Some(ScalarType::Array(element) | ScalarType::List(element)) = right.known_type().cloned() else {
            return Err(Error::new("42809", "op ANY/ALL (array) requires array on right side"));
        };
        let key = if any { "array_any" } else { "array_all" };
        let is_array = matches!(right.known_type(), Some(ScalarType::Array(_)));
        let comparison = expr::func::comparison(symbol).filter(|_| is_array).and(by_key(key));
        let Some(func) = comparison else { return self.over_unnested(left, symbol, right, any) };
        let wanted = match left.known_type() {
            Some(typ) => super::types::comparable(typ, &element),
            None => Some((*element).clone()),
        };
        let Some(wanted) = wanted else {
            return Err(no_operator(symbol, &[left.shown_type(), super::types::shown(&element)]));
        };
        let array = ScalarType::Array(Box::new(wanted.clone()));
        let left = self.coerce_resolved(left, &wanted)?;
        let right = self.coerce_explicit(right, &array)?;
        let op = HirScalar::literal(Datum::Text(symbol), ScalarType::Text);
        let types = vec![wanted, array, ScalarType::Text];
        Ok(Planned::bool(HirScalar::call(func, vec![left, right, op], types, ScalarType::Bool)))
    }
}
