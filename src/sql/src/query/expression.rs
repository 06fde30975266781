//! Scalar expressions: names, literals, tests and the forms of SQL that are no function calls.

use expr::Scalar;
use expr::func::by_key;
use repr::{ColumnType, Datum, ScalarType};
use sqlparser::ast::{
    self, AccessExpr, CastKind, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Subscript,
};

use super::coerce::Planned;
use super::scope::{always_quoted, at, unknown_column};
use super::{QueryContext, types};
use crate::comparison_key;
use crate::error::Error;
use crate::hir::HirScalar;
use crate::names::{self, fold};
use crate::parse::SYMMETRIC;

impl QueryContext<'_> {
    /// Plans an expression over the current level.
    pub(super) fn expression(&mut self, expr: &Expr) -> Result<Planned, Error> {
        self.nested(|qcx| qcx.expression_inner(expr))
    }

    /// Plans an expression and gives it the type it has by itself.
    pub(super) fn settled(&mut self, expr: &Expr) -> Result<(HirScalar, ScalarType), Error> {
        let planned = self.expression(expr)?;
        self.settle(planned).map_err(|error| error.at_node(expr))
    }

    /// Plans a condition. `what` is such as `argument of WHERE`.
    pub(super) fn condition(&mut self, expr: &Expr, what: &str) -> Result<HirScalar, Error> {
        let planned = self.expression(expr)?;
        self.coerce_bool(planned, what).map_err(|error| error.at_node(expr))
    }

    fn expression_inner(&mut self, expr: &Expr) -> Result<Planned, Error> {
        match expr {
            Expr::Nested(inner) => self.expression(inner),
            Expr::Identifier(ident) => self.column(std::slice::from_ref(ident)),
            Expr::CompoundIdentifier(idents) => self.column(idents),
            Expr::Value(value) => self.plan_value(value),
            Expr::TypedString(typed) => self.plan_typed_string(typed),
            Expr::Interval(interval) => self.plan_interval(interval),
            Expr::UnaryOp { op, expr: inner } => self.unary(*op, inner),
            Expr::BinaryOp { left, op, right } => self.binary(expr, left, op, right),
            Expr::Cast { .. } => self.plan_cast(expr),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::IsNull(inner) => self.is_null(inner),
            Expr::IsNotNull(inner) => {
                let tests = self.null_tests(inner)?.into_iter().map(HirScalar::not);
                Ok(Planned::bool(HirScalar::And(tests.collect())))
            }
            Expr::IsTrue(inner) => self.is_truth(inner, Some(true), false),
            Expr::IsNotTrue(inner) => self.is_truth(inner, Some(true), true),
            Expr::IsFalse(inner) => self.is_truth(inner, Some(false), false),
            Expr::IsNotFalse(inner) => self.is_truth(inner, Some(false), true),
            Expr::IsUnknown(inner) => self.is_truth(inner, None, false),
            Expr::IsNotUnknown(inner) => self.is_truth(inner, None, true),
            Expr::IsDistinctFrom(left, right) => self.is_distinct(left, right),
            Expr::IsNotDistinctFrom(left, right) => {
                let distinct = self.is_distinct(left, right)?;
                Ok(Planned::bool(self.settle(distinct)?.0.not()))
            }
            Expr::InList { expr: inner, list, negated } => self.in_list(inner, list, *negated),
            Expr::Between { expr: inner, negated, low, high } => self.between(inner, *negated, low, high),
            Expr::InSubquery { expr: inner, subquery, negated } => self.in_subquery(inner, subquery, *negated),
            Expr::Exists { subquery, negated } => self.exists(subquery, *negated),
            Expr::Subquery(query) => self.scalar_subquery(query),
            Expr::AnyOp { left, compare_op, right, .. } => self.quantified(left, compare_op, right, true),
            Expr::AllOp { left, compare_op, right } => self.quantified(left, compare_op, right, false),
            Expr::Array(array) => self.array(&array.elem),
            Expr::Tuple(items) => {
                Ok(Planned::Row(items.iter().map(|item| self.expression(item)).collect::<Result<_, _>>()?))
            }
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Expr::Collate { expr: inner, collation } => {
                let name = collation.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.as_str());
                match name {
                    Some("C" | "POSIX" | "default" | "ucs_basic") => self.expression(inner),
                    _ => Err(Error::unsupported(format!("collation {collation}")).at_node(expr)),
                }
            }
            Expr::Function(function) => match super::collection::literal(function) {
                Some(literal) => self.collection(&literal, None).map_err(|error| error.at_node(&function.name)),
                None => self.function(function),
            },
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => {
                Err(Error::new("42601", "* is not allowed here").at_node(expr))
            }
            other => self.special_form(other),
        }
    }

    /// The column that a name means; a table's name alone means its whole row.
    fn column(&mut self, idents: &[Ident]) -> Result<Planned, Error> {
        let names: Vec<String> = idents.iter().map(fold).collect();
        let (qualifier, name) = names.split_at(names.len() - 1);
        let name = &name[0];
        for level in 0..self.levels.len() {
            let position = self.levels.len() - 1 - level;
            if !self.levels[position].visible {
                continue;
            }
            let found = self.column_at(position, qualifier, name).map_err(|error| at(error, idents))?;
            if let Some((index, typ)) = found {
                if let Some(place) = idents.first().and_then(|ident| crate::position::of_span(ident.span)) {
                    self.levels[position].references.push((index, place));
                }
                return Ok(Planned::typed(HirScalar::Column { level, index }, typ));
            }
        }
        if let Some(row) = self.whole_row(&names).map_err(|error| at(error, idents))? {
            return Ok(row);
        }
        if let Some(field) = self.field_of_row(idents)? {
            return Ok(field);
        }
        Err(self.unknown_name(idents, qualifier, name))
    }

    /// The place and type of a column of one level; None if it has none of this name.
    fn column_at(
        &self,
        position: usize,
        qualifier: &[String],
        name: &str,
    ) -> Result<Option<(usize, ScalarType)>, Error> {
        let scope = &self.levels[position].scope;
        let shown = || names_shown(qualifier, name);
        let mut found: Vec<_> = if qualifier.is_empty() {
            scope.unqualified(name).collect()
        } else {
            let Some(table) = scope.table(qualifier)? else { return Ok(None) };
            let columns: Vec<_> = scope.columns_of(table).collect();
            let found: Vec<_> = columns.iter().copied().filter(|item| item.name == name).collect();
            if found.is_empty() {
                let hint = names::perhaps(name, columns.iter().map(|item| item.name.as_str()));
                return Err(Error::new("42703", format!("column {} does not exist", shown())).hinted(hint));
            }
            found
        };
        match found.len() {
            0 => Ok(None),
            1 => Ok(found.pop().map(|item| (item.index, item.typ.clone()))),
            _ => Err(Error::new("42702", format!("column reference {} is ambiguous", always_quoted(name)))),
        }
    }

    /// The row of the table `names`, as a record.
    fn whole_row(&mut self, names: &[String]) -> Result<Option<Planned>, Error> {
        for level in 0..self.levels.len() {
            let position = self.levels.len() - 1 - level;
            if !self.levels[position].visible {
                continue;
            }
            let scope = &self.levels[position].scope;
            if let Some(table) = scope.table(names)? {
                if scope.tables[table].is_scalar
                    && let Some(item) = scope.columns_of(table).next()
                {
                    return Ok(Some(Planned::typed(HirScalar::Column { level, index: item.index }, item.typ.clone())));
                }
                let fields = scope
                    .columns_of(table)
                    .map(|item| (item.name.clone(), HirScalar::Column { level, index: item.index }, item.typ.clone()))
                    .collect();
                let (scalar, typ) = super::function::record(fields)?;
                return Ok(Some(Planned::typed(scalar, typ)));
            }
        }
        Ok(None)
    }

    /// `column.field` where the column is a record.
    fn field_of_row(&mut self, idents: &[Ident]) -> Result<Option<Planned>, Error> {
        let [root @ .., field] = idents else { return Ok(None) };
        let Some(last) = root.last() else { return Ok(None) };
        let (name, qualifier) = (fold(last), root[..root.len() - 1].iter().map(fold).collect::<Vec<_>>());
        for level in 0..self.levels.len() {
            let position = self.levels.len() - 1 - level;
            if !self.levels[position].visible {
                continue;
            }
            // An unknown column of a known table was reported before.
            if let Ok(Some((index, typ @ ScalarType::Record(_)))) = self.column_at(position, &qualifier, &name) {
                return self.field(HirScalar::Column { level, index }, &typ, field).map(Some);
            }
        }
        Ok(None)
    }

    /// The error for a name that means no visible column.
    fn unknown_name(&self, idents: &[Ident], qualifier: &[String], name: &str) -> Error {
        if qualifier.is_empty() {
            let visible = self.levels.iter().rev().filter(|level| level.visible);
            let near = visible.flat_map(|level| level.scope.visible().map(|item| item.name.as_str()));
            let error = unknown_column(idents, near);
            let hidden = self
                .levels
                .iter()
                .filter(|level| !level.visible)
                .any(|level| level.scope.unqualified(name).next().is_some());
            return match hidden {
                true if error.hint.is_none() => error.with_detail(
                    "There is a column of this name, but it cannot be referenced from this part of the query.",
                ),
                _ => error,
            };
        }
        let table = qualifier.join(".");
        let hidden = self
            .levels
            .iter()
            .filter(|level| !level.visible)
            .any(|level| matches!(level.scope.table(qualifier), Ok(Some(_))));
        let error = if hidden {
            Error::new("42P01", format!("invalid reference to FROM-clause entry for table {}", always_quoted(&table)))
                .with_hint(format!(
                    "There is an entry for table {}, but it cannot be referenced from this part of the query.",
                    always_quoted(&table)
                ))
        } else {
            let visible = self.levels.iter().flat_map(|level| level.scope.tables.iter().map(|table| &*table.name));
            Error::new("42P01", format!("missing FROM-clause entry for table {}", always_quoted(&table)))
                .hinted(names::perhaps(&table, visible))
        };
        at(error, idents)
    }

    fn plan_cast(&mut self, expr: &Expr) -> Result<Planned, Error> {
        let Expr::Cast { kind, expr: inner, data_type, format } = expr else {
            return Err(Error::unsupported(expr).at_node(expr));
        };
        if matches!(kind, CastKind::TryCast | CastKind::SafeCast) || format.is_some() {
            return Err(Error::unsupported("this form of CAST").at_node(expr));
        }
        let typ = names::resolve_type(self.names(), data_type).map_err(|error| error.at_node(expr))?;
        let planned = match (&typ, strip(inner)) {
            // ARRAY[] has no type of its own.
            (ScalarType::Array(element), Expr::Array(array)) => self.array_of(&array.elem, Some(element))?,
            (ScalarType::List(_) | ScalarType::Map(_), Expr::Function(function)) => {
                match super::collection::literal(function) {
                    Some(literal) => self.collection(&literal, Some(&typ))?,
                    None => self.expression(inner)?,
                }
            }
            _ => self.expression(inner)?,
        };
        let scalar = self.coerce_explicit(planned, &typ).map_err(|error| error.at_node(expr))?;
        Ok(Planned::typed(scalar, typ))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Result<Planned, Error> {
        let operand = operand.map(|operand| self.expression(operand)).transpose()?;
        let mut whens = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for when in conditions {
            whens.push(match &operand {
                None => self.condition(&when.condition, "argument of CASE/WHEN")?,
                Some(operand) => {
                    let value = self.expression(&when.condition)?;
                    let compared = self.compare("=", operand.clone(), value);
                    compared.map_err(|error| error.at_node(&when.condition))?
                }
            });
            results.push(self.expression(&when.result)?);
        }
        let otherwise = match otherwise {
            Some(otherwise) => self.expression(otherwise)?,
            None => Planned::Unknown { text: None, position: None },
        };
        // As in PostgreSQL, ELSE is the first to say which type it is.
        results.insert(0, otherwise);
        let conditional = whens.iter().any(|when| when.any(&mut |scalar| matches!(scalar, HirScalar::SetReturning(_))));
        if conditional || results.iter().any(Planned::contains_set) {
            let error = super::sets::not_allowed_in("CASE");
            return Err(conditions.first().map_or(error.clone(), |when| error.at_node(&when.result)));
        }
        let (mut results, typ) = self
            .coerce_common(results, "CASE")
            .map_err(|error| conditions.first().map_or(error.clone(), |when| error.at_node(&when.result)))?;
        let mut scalar = results.remove(0);
        for (when, result) in whens.into_iter().zip(results).rev() {
            scalar = HirScalar::if_then_else(when, result, scalar);
        }
        Ok(Planned::typed(scalar, typ))
    }

    fn is_null(&mut self, inner: &Expr) -> Result<Planned, Error> {
        Ok(Planned::bool(HirScalar::And(self.null_tests(inner)?)))
    }

    /// The test of a value, or of each field of a row: a row IS NULL if all its fields are, and IS NOT NULL if none is.
    fn null_tests(&mut self, inner: &Expr) -> Result<Vec<HirScalar>, Error> {
        let planned = match self.expression(inner)? {
            Planned::Row(fields) => {
                return fields.into_iter().map(|field| Ok(self.settle_known(field)?.0.null_test())).collect();
            }
            planned => planned,
        };
        let (scalar, typ) = self.settle_known(planned).map_err(|error| error.at_node(inner))?;
        match &typ {
            ScalarType::Record(fields) if !fields.is_empty() => {
                let values = fields.iter().enumerate().map(|(place, (_, field))| {
                    let value = super::function::record_field(scalar.clone(), &typ, place, field.scalar.clone())?;
                    Ok(self.settle_known(value)?.0.null_test())
                });
                values.collect()
            }
            _ => Ok(vec![scalar.null_test()]),
        }
    }

    /// `IS TRUE`, `IS FALSE`, `IS UNKNOWN` and their negations.
    fn is_truth(&mut self, inner: &Expr, truth: Option<bool>, negated: bool) -> Result<Planned, Error> {
        let what = match truth {
            Some(true) => "argument of IS TRUE",
            Some(false) => "argument of IS FALSE",
            None => "argument of IS UNKNOWN",
        };
        let scalar = self.condition(inner, what)?;
        let test = match truth {
            None => scalar.null_test(),
            Some(true) => HirScalar::Coalesce(vec![scalar, HirScalar::bool(false)]),
            Some(false) => HirScalar::Coalesce(vec![scalar.not(), HirScalar::bool(false)]),
        };
        Ok(Planned::bool(if negated { test.not() } else { test }))
    }

    fn is_distinct(&mut self, left: &Expr, right: &Expr) -> Result<Planned, Error> {
        let position = left;
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        self.distinct(left, right).map(Planned::bool).map_err(|error| error.at_node(position))
    }

    /// `left IS DISTINCT FROM right`; of rows: some fields are.
    fn distinct(&mut self, left: Planned, right: Planned) -> Result<HirScalar, Error> {
        let (left, right) = match (left, right) {
            (Planned::Unknown { text: None, .. }, other) | (other, Planned::Unknown { text: None, .. }) => {
                return Ok(self.settle_known(other)?.0.null_test().not());
            }
            (Planned::Row(left), Planned::Row(right)) => {
                if left.len() != right.len() {
                    return Err(Error::new("42601", "unequal number of entries in row expressions"));
                }
                let pairs = left.into_iter().zip(right).map(|(left, right)| self.distinct(left, right));
                return Ok(HirScalar::Or(pairs.collect::<Result<_, _>>()?));
            }
            both => both,
        };
        let (left, right, typ) = self.comparands("IS DISTINCT FROM", left, right)?;
        let func = by_key("is_distinct").ok_or_else(|| Error::unsupported("IS DISTINCT FROM"))?;
        let args = vec![comparison_key::of(left, &typ), comparison_key::of(right, &typ)];
        Ok(HirScalar::call(func, args, vec![typ.clone(), typ], ScalarType::Bool))
    }

    fn in_list(&mut self, inner: &Expr, list: &[Expr], negated: bool) -> Result<Planned, Error> {
        let left = self.expression(inner)?;
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            items.push(self.expression(item)?);
        }
        // All items take part in finding one type, as far as they have any: PostgreSQL compares with an array of them.
        let known: Vec<&ScalarType> = std::iter::once(&left).chain(&items).filter_map(Planned::known_type).collect();
        let common = match types::common(&known) {
            Some(common) if !known.is_empty() => Some(common),
            _ => None,
        };
        let mut tests = Vec::with_capacity(items.len());
        for (item, expr) in items.into_iter().zip(list) {
            let item = match (item, &common) {
                (unknown @ Planned::Unknown { text: Some(_), .. }, Some(common)) => {
                    let scalar = self.coerce_implicit(unknown, common, |found| format!("{found} is not comparable"));
                    Planned::typed(scalar.map_err(|error| error.at_node(expr))?, common.clone())
                }
                // One of several is first cast to the type of all.
                (item, Some(ScalarType::Varchar(_) | ScalarType::Text))
                    if list.len() > 1 && matches!(item.known_type(), Some(ScalarType::Char(_))) =>
                {
                    Planned::typed(self.coerce_explicit(item, &ScalarType::Text)?, ScalarType::Text)
                }
                (item, _) => item,
            };
            tests.push(self.compare("=", left.clone(), item).map_err(|error| error.at_node(inner))?);
        }
        let test = if tests.len() == 1 { tests.remove(0) } else { HirScalar::Or(tests) };
        Ok(Planned::bool(if negated { test.not() } else { test }))
    }

    fn between(&mut self, inner: &Expr, negated: bool, low: &Expr, high: &Expr) -> Result<Planned, Error> {
        let value = self.expression(inner)?;
        let symmetric = symmetric_bound(low);
        let low = self.expression(symmetric.unwrap_or(low))?;
        let high = self.expression(high)?;
        let mut within = |low: Planned, high: Planned| {
            let above = self.compare(">=", value.clone(), low)?;
            let below = self.compare("<=", value.clone(), high)?;
            Ok::<_, Error>(HirScalar::And(vec![above, below]))
        };
        let test = match symmetric {
            None => within(low, high),
            Some(_) => {
                within(low.clone(), high.clone()).and_then(|upward| Ok(HirScalar::Or(vec![upward, within(high, low)?])))
            }
        };
        let test = test.map_err(|error| error.at_node(inner))?;
        Ok(Planned::bool(if negated { test.not() } else { test }))
    }

    fn array(&mut self, elements: &[Expr]) -> Result<Planned, Error> {
        if elements.is_empty() {
            return Err(Error::new("42P18", "cannot determine type of empty array")
                .with_hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."));
        }
        self.array_of(elements, None)
    }

    fn array_of(&mut self, elements: &[Expr], element_type: Option<&ScalarType>) -> Result<Planned, Error> {
        let mut planned = Vec::with_capacity(elements.len());
        for element in elements {
            planned.push(match strip(element) {
                Expr::Array(inner) => self.array_of(&inner.elem, element_type)?,
                other => self.expression(other)?,
            });
        }
        let nested = planned.iter().any(|item| matches!(item.known_type(), Some(ScalarType::Array(_))));
        let (scalars, typ) = match element_type {
            Some(typ) if !nested => {
                let scalars = planned.into_iter().map(|item| self.coerce_explicit(item, typ));
                (scalars.collect::<Result<Vec<_>, _>>()?, typ.clone())
            }
            _ => {
                let common = self.coerce_common(planned, "ARRAY");
                common.map_err(|error| elements.first().map_or(error.clone(), |first| error.at_node(first)))?
            }
        };
        super::function::array(scalars, typ)
    }

    /// Subscripts and field names behind an expression.
    fn access(&mut self, root: &Expr, chain: &[AccessExpr]) -> Result<Planned, Error> {
        // `t.c[1]` may come as the root `t` with a chain of field and subscript.
        let mut idents = Vec::new();
        if let Expr::Identifier(ident) = root {
            idents.push(ident.clone());
        } else if let Expr::CompoundIdentifier(names) = root {
            idents.extend(names.iter().cloned());
        }
        let mut taken = 0;
        if !idents.is_empty() {
            for access in chain {
                let AccessExpr::Dot(Expr::Identifier(ident)) = access else { break };
                idents.push(ident.clone());
                taken += 1;
            }
        }
        let mut planned = if idents.is_empty() { self.expression(root)? } else { self.column(&idents)? };
        let mut rest = &chain[taken..];
        while let Some(access) = rest.first() {
            if let AccessExpr::Dot(field) = access {
                let Expr::Identifier(field) = field else {
                    return Err(Error::unsupported(format!(".{field}")).at_node(field));
                };
                let (scalar, typ) = self.settle(planned)?;
                planned = self.field(scalar, &typ, field)?;
                rest = &rest[1..];
                continue;
            }
            let count = rest.iter().take_while(|access| matches!(access, AccessExpr::Subscript(_))).count();
            planned = self.subscript_chain(planned, &rest[..count]).map_err(|error| error.at_node(root))?;
            rest = &rest[count..];
        }
        Ok(planned)
    }

    /// Subscripts right behind each other address the dimensions of one array; a slice among them makes all slices.
    fn subscript_chain(&mut self, value: Planned, chain: &[AccessExpr]) -> Result<Planned, Error> {
        let is_slice = |access: &AccessExpr| matches!(access, AccessExpr::Subscript(Subscript::Slice { .. }));
        let slices = chain.iter().any(is_slice);
        let mut indexes = Vec::with_capacity(chain.len());
        for access in chain {
            match access {
                AccessExpr::Subscript(Subscript::Index { index }) if slices => {
                    indexes.push(Planned::typed(HirScalar::literal(Datum::Int(1), ScalarType::Int8), ScalarType::Int8));
                    indexes.push(self.expression(index)?);
                }
                AccessExpr::Subscript(Subscript::Index { index }) => indexes.push(self.expression(index)?),
                AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                    // An open end reaches as far as there are elements.
                    for (bound, open) in [(lower_bound, i64::MIN), (upper_bound, i64::MAX)] {
                        indexes.push(match bound {
                            Some(bound) => self.expression(bound)?,
                            None => {
                                let open = HirScalar::literal(Datum::Int(open), ScalarType::Int8);
                                Planned::typed(open, ScalarType::Int8)
                            }
                        });
                    }
                }
                _ => return Err(Error::unsupported("an array slice with a stride")),
            }
        }
        if slices { self.slice(value, indexes) } else { self.subscript(value, indexes) }
    }

    fn field(&mut self, scalar: HirScalar, typ: &ScalarType, field: &Ident) -> Result<Planned, Error> {
        let name = fold(field);
        let ScalarType::Record(fields) = typ else {
            let message =
                format!("column notation .{name} applied to type {}, which is not a composite type", types::shown(typ));
            return Err(at(Error::new("42809", message), std::slice::from_ref(field)));
        };
        let Some(place) = fields.iter().position(|(other, _)| *other == name) else {
            let message = format!("could not identify column {} in record data type", always_quoted(&name));
            return Err(at(Error::new("42703", message), std::slice::from_ref(field)));
        };
        let ColumnType { scalar: field_type, .. } = fields[place].1.clone();
        super::function::record_field(scalar, typ, place, field_type)
    }
}

/// The bound that a BETWEEN marks as SYMMETRIC.
fn symmetric_bound(low: &Expr) -> Option<&Expr> {
    let Expr::Function(function) = low else { return None };
    let [name] = &function.name.0[..] else { return None };
    let marked = name.as_ident().is_some_and(|ident| ident.quote_style.is_none() && ident.value == SYMMETRIC);
    match &function.args {
        FunctionArguments::List(list) if marked => match &list.args[..] {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(bound))] => Some(bound),
            _ => None,
        },
        _ => None,
    }
}

fn names_shown(qualifier: &[String], name: &str) -> String {
    qualifier.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
}

/// The expression without parentheses around it.
pub(super) fn strip(expr: &Expr) -> &Expr {
    let mut expr = expr;
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// The value of an expression that names no row: LIMIT, OFFSET.
pub(super) fn constant(scalar: &HirScalar) -> Option<Scalar> {
    scalar.to_scalar().filter(|scalar| scalar.support().is_empty() && scalar.is_deterministic())
}
