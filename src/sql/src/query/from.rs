//! FROM: tables, subqueries, functions and joins.

use expr::TableFunc;
use repr::ScalarType;
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArguments, Join, JoinConstraint, JoinOperator, ObjectName, Query, TableAlias,
    TableFactor, TableWithJoins,
};

use super::coerce::Planned;
use super::function::{argument, function_name};
use super::scope::{Scope, ScopeItem, TableName, always_quoted};
use super::set::renamed;
use super::table_function::{column_definitions, is_table_function};
use super::types::{self, shown};
use super::{Clause, CteBody, QueryContext};
use crate::error::Error;
use crate::hir::{HirRelation, HirScalar, JoinKind};
use crate::names::{self, fold};
use crate::parse::ROWS_FROM;

/// A planned entry of FROM.
pub(super) struct Source {
    pub(super) relation: HirRelation,
    pub(super) scope: Scope,
    /// The number of columns of `relation`.
    pub(super) arity: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Inner,
    Left,
    Right,
    Full,
}

impl QueryContext<'_> {
    /// The product of the entries of a FROM clause; without any one row without columns.
    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> Result<Source, Error> {
        let before = std::mem::replace(&mut self.from_start, self.levels.len());
        let result = self.entries(from);
        self.from_start = before;
        result
    }

    fn entries(&mut self, from: &[TableWithJoins]) -> Result<Source, Error> {
        let Some((first, rest)) = from.split_first() else {
            return Ok(Source { relation: HirRelation::unit(), scope: Scope::default(), arity: 0 });
        };
        let mut left = self.table_with_joins(first)?;
        for item in rest {
            let right = self.with_level(left.scope.clone(), Clause::FromFunction, |qcx| qcx.table_with_joins(item))?;
            left =
                self.combine(left, right, Kind::Inner, &JoinConstraint::None).map_err(|error| error.at_node(item))?;
        }
        Ok(left)
    }

    fn table_with_joins(&mut self, item: &TableWithJoins) -> Result<Source, Error> {
        let mut left = self.nested(|qcx| qcx.table_factor(&item.relation))?;
        for join in &item.joins {
            left = self.join(left, join)?;
        }
        Ok(left)
    }

    fn join(&mut self, left: Source, join: &Join) -> Result<Source, Error> {
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (Kind::Inner, constraint),
            JoinOperator::CrossJoin(constraint) => (Kind::Inner, constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (Kind::Left, constraint),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => (Kind::Right, constraint),
            JoinOperator::FullOuter(constraint) => (Kind::Full, constraint),
            _ => return Err(Error::unsupported("this kind of join").at_node(&join.relation)),
        };
        let crossed = matches!(join.join_operator, JoinOperator::CrossJoin(_));
        if !crossed && matches!(constraint, JoinConstraint::None) {
            return Err(Error::new("42601", "a join needs ON or USING").at_node(&join.relation));
        }
        let right = self.with_level(left.scope.clone(), Clause::FromFunction, |qcx| {
            // The right side of these may have rows without a left one.
            qcx.level().visible = matches!(kind, Kind::Inner | Kind::Left);
            qcx.nested(|qcx| qcx.table_factor(&join.relation))
        })?;
        self.combine(left, right, kind, constraint).map_err(|error| error.at_node(&join.relation))
    }

    pub(super) fn combine(
        &mut self,
        left: Source,
        right: Source,
        kind: Kind,
        constraint: &JoinConstraint,
    ) -> Result<Source, Error> {
        let scope = left.scope.clone().join(right.scope.clone(), left.arity)?;
        let mut merged = Vec::new();
        let mut on = Vec::new();
        match constraint {
            JoinConstraint::None => {}
            JoinConstraint::On(expr) => {
                let condition = self.hidden_siblings(|qcx| {
                    qcx.with_level(scope.clone(), Clause::JoinOn, |qcx| qcx.condition(expr, "argument of JOIN/ON"))
                })?;
                condition.into_conjuncts(&mut on);
            }
            JoinConstraint::Using(names) => {
                for name in names {
                    let name = using_name(name)?;
                    let pair = self.using_pair(&left, &right, &name, kind)?;
                    on.push(pair.0);
                    merged.push(pair.1);
                }
            }
            JoinConstraint::Natural => {
                let mut names: Vec<String> = Vec::new();
                for item in left.scope.visible() {
                    let shared = right.scope.unqualified(&item.name).next().is_some();
                    if shared && !names.contains(&item.name) {
                        names.push(item.name.clone());
                    }
                }
                for name in names {
                    let pair = self.using_pair(&left, &right, &name, kind)?;
                    on.push(pair.0);
                    merged.push(pair.1);
                }
            }
        }
        let arity = left.arity + right.arity;
        let relation = join_relation(left, right, on, kind);
        Ok(merge(Source { relation, scope, arity }, merged))
    }

    /// Runs `plan` so that it does not see the other entries of this FROM.
    fn hidden_siblings<R>(&mut self, plan: impl FnOnce(&mut Self) -> Result<R, Error>) -> Result<R, Error> {
        let start = self.from_start;
        let before: Vec<bool> = self.levels[start..].iter().map(|level| level.visible).collect();
        self.levels[start..].iter_mut().for_each(|level| level.visible = false);
        let result = plan(self);
        for (level, visible) in self.levels[start..].iter_mut().zip(before) {
            level.visible = visible;
        }
        result
    }

    /// The equality of a USING column, over both sides' columns, and what becomes of the two columns.
    fn using_pair(
        &mut self,
        left: &Source,
        right: &Source,
        name: &str,
        kind: Kind,
    ) -> Result<(HirScalar, Merged), Error> {
        let left_item = using_item(&left.scope, name, "left")?;
        let right_item = using_item(&right.scope, name, "right")?;
        let column =
            |item: &ScopeItem, offset: usize| Planned::typed(HirScalar::column(item.index + offset), item.typ.clone());
        let left_column = column(left_item, 0);
        let right_column = column(right_item, left.arity);
        let equal = self.compare("=", left_column.clone(), right_column.clone())?;
        let Some(typ) = types::common(&[&left_item.typ, &right_item.typ]) else {
            let message =
                format!("JOIN/USING types {} and {} cannot be matched", shown(&left_item.typ), shown(&right_item.typ));
            return Err(Error::new("42804", message));
        };
        let as_common = |qcx: &mut Self, planned: Planned| {
            qcx.coerce_implicit(planned, &typ, |found| format!("cannot convert {found} to {}", shown(&typ)))
        };
        let scalar = match kind {
            Kind::Inner | Kind::Left => as_common(self, left_column)?,
            Kind::Right => as_common(self, right_column)?,
            Kind::Full => {
                let both = vec![as_common(self, left_column)?, as_common(self, right_column)?];
                HirScalar::Coalesce(both)
            }
        };
        let indexes = [left_item.index, right_item.index + left.arity];
        Ok((equal, Merged { name: name.to_owned(), indexes, scalar, typ }))
    }

    fn table_factor(&mut self, factor: &TableFactor) -> Result<Source, Error> {
        match factor {
            TableFactor::Table { name, alias, args, with_ordinality, version, sample, .. } => {
                if version.is_some() || sample.is_some() {
                    return Err(Error::unsupported("TABLESAMPLE or a version of a table").at_node(name));
                }
                match args {
                    None => self.table(name, alias.as_ref()),
                    Some(args) => self.table_function(name, &args.args, *with_ordinality, alias.as_ref()),
                }
            }
            TableFactor::Derived { lateral, subquery, alias, sample: None } => {
                self.derived(*lateral, subquery, alias.as_ref())
            }
            TableFactor::Function { name, args, with_ordinality, alias, .. } => {
                self.table_function(name, args, *with_ordinality, alias.as_ref())
            }
            TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
                // Several arrays are read side by side.
                let calls = array_exprs.iter().map(|array| ("unnest", vec![array])).collect();
                self.function_source(calls, *with_ordinality, alias.as_ref())
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let source = self.table_with_joins(table_with_joins)?;
                match alias {
                    None => Ok(source),
                    Some(alias) => aliased_join(source, alias),
                }
            }
            other => Err(Error::unsupported(format!("{other} in FROM")).at_node(other)),
        }
    }

    fn table(&mut self, name: &ObjectName, alias: Option<&TableAlias>) -> Result<Source, Error> {
        if let [part] = &name.0[..] {
            let folded = part.as_ident().map(fold).unwrap_or_default();
            if let Some(cte) = self.ctes.iter().rev().find(|cte| cte.name == folded).cloned() {
                let relation = match cte.body {
                    CteBody::Bound(id) => HirRelation::GetLocal { id },
                    CteBody::Inline { mut relation, levels } => {
                        relation.shift_in(self.levels.len() - levels);
                        relation
                    }
                };
                let (names, types): (Vec<_>, Vec<_>) = cte.columns.into_iter().unzip();
                return source(relation, TableName::alias(folded), names, types, alias);
            }
        }
        let item = names::resolve_relation(self.context, self.catalog, name)?;
        let Some(desc) = item.desc() else {
            return Err(Error::new("42809", format!("\"{}\" cannot be read", item.name.item)).at_node(name));
        };
        self.depends_on.insert(item.id);
        let relation = HirRelation::Get { id: item.id, typ: desc.typ.clone() };
        let types = desc.typ.columns.iter().map(|column| column.scalar.clone()).collect();
        let table = TableName { name: item.name.item.clone(), full: Some(item.name.clone()), is_scalar: false };
        source(relation, table, desc.names.clone(), types, alias)
    }

    fn derived(&mut self, lateral: bool, query: &Query, alias: Option<&TableAlias>) -> Result<Source, Error> {
        let plan = if lateral { self.query(query)? } else { self.hidden_siblings(|qcx| qcx.query(query))? };
        let (relation, names, types) = plan.into_relation();
        match alias {
            Some(alias) => source(relation, TableName::alias(fold(&alias.name)), names, types, Some(alias)),
            None => {
                let arity = names.len();
                let scope = Scope::of_columns(names.into_iter().zip(types));
                Ok(Source { relation, scope, arity })
            }
        }
    }

    fn table_function(
        &mut self,
        name: &ObjectName,
        args: &[FunctionArg],
        with_ordinality: bool,
        alias: Option<&TableAlias>,
    ) -> Result<Source, Error> {
        let folded = function_name(name)?;
        let args = args.iter().map(argument).collect::<Result<Vec<_>, _>>()?;
        if folded == ROWS_FROM {
            return self.rows_from(&args, with_ordinality, alias);
        }
        self.function_source(vec![(&folded, args)], with_ordinality, alias).map_err(|error| error.at_node(name))
    }

    /// `ROWS FROM (f(...), g(...))`: the functions' rows side by side.
    fn rows_from(
        &mut self,
        calls: &[&Expr],
        with_ordinality: bool,
        alias: Option<&TableAlias>,
    ) -> Result<Source, Error> {
        let mut named = Vec::with_capacity(calls.len());
        for call in calls {
            let Expr::Function(function) = call else {
                return Err(Error::new("42601", "ROWS FROM takes function calls").at_node(*call));
            };
            let args = match &function.args {
                FunctionArguments::List(list) => list.args.iter().map(argument).collect::<Result<Vec<_>, _>>()?,
                FunctionArguments::None => Vec::new(),
                FunctionArguments::Subquery(_) => {
                    return Err(Error::unsupported("a subquery as argument in ROWS FROM").at_node(*call));
                }
            };
            named.push((function_name(&function.name)?, args));
        }
        let calls = named.iter().map(|(name, args)| (name.as_str(), args.clone())).collect();
        self.function_source(calls, with_ordinality, alias)
    }

    /// A function in FROM, or several side by side; they see the entries before them.
    fn function_source(
        &mut self,
        calls: Vec<(&str, Vec<&Expr>)>,
        with_ordinality: bool,
        alias: Option<&TableAlias>,
    ) -> Result<Source, Error> {
        let name = calls[0].0;
        let table = alias.map_or_else(|| name.to_owned(), |alias| fold(&alias.name));
        let definitions = column_definitions(self.names(), alias)?;
        let is_scalar = definitions.is_empty() && calls.len() == 1;
        let (relation, names, types) = self.with_level(Scope::default(), Clause::FromFunction, |qcx| {
            let mut planned = Vec::with_capacity(calls.len());
            for (name, args) in calls {
                let args = args.into_iter().map(|arg| qcx.expression(arg)).collect::<Result<Vec<_>, _>>()?;
                planned.push((name, args));
            }
            if let [(name, args)] = &mut planned[..]
                && !is_table_function(name)
            {
                let value = qcx.call_by_name(name, std::mem::take(args))?;
                let (scalar, typ) = qcx.settle(value)?;
                let (mut scalars, mut names, mut types) = (vec![scalar], vec![table.clone()], vec![typ]);
                if with_ordinality {
                    scalars.push(HirScalar::literal(repr::Datum::Int(1), ScalarType::Int8));
                    names.push("ordinality".to_owned());
                    types.push(ScalarType::Int8);
                }
                return Ok((HirRelation::unit().map(scalars), names, types));
            }
            let (call, mut names) = qcx.table_calls(planned, &table, &definitions)?;
            let mut call = call;
            if with_ordinality {
                call.func = TableFunc::WithOrdinality(Box::new(call.func));
                names.push("ordinality".to_owned());
            }
            let columns = call.func.output_types();
            let types: Vec<ScalarType> = columns.iter().map(|column| column.scalar.clone()).collect();
            let input = Box::new(HirRelation::unit());
            Ok((HirRelation::FlatMap { input, func: call.func, args: call.args, columns }, names, types))
        })?;
        // The types of a definition list have been seen to.
        let alias = alias.cloned().map(|mut alias| {
            alias.columns.iter_mut().for_each(|column| column.data_type = None);
            alias
        });
        let table = TableName { is_scalar: is_scalar && types.len() == 1, ..TableName::alias(table) };
        source(relation, table, names, types, alias.as_ref())
    }
}

/// Two columns that USING makes one.
struct Merged {
    name: String,
    indexes: [usize; 2],
    /// The one column's value.
    scalar: HirScalar,
    typ: ScalarType,
}

/// Puts the merged columns first, and hides those they were made of.
fn merge(mut source: Source, merged: Vec<Merged>) -> Source {
    if merged.is_empty() {
        return source;
    }
    let mut scalars = Vec::new();
    let mut items = Vec::with_capacity(merged.len() + source.scope.items.len());
    for Merged { name, indexes, scalar, typ } in merged {
        for item in &mut source.scope.items {
            item.hidden |= indexes.contains(&item.index) && item.name == name;
        }
        let index = match scalar {
            HirScalar::Column { level: 0, index } => index,
            other => {
                scalars.push(other);
                source.arity + scalars.len() - 1
            }
        };
        items.push(ScopeItem { table: None, name, index, typ, hidden: false });
    }
    items.append(&mut source.scope.items);
    source.scope.items = items;
    source.arity += scalars.len();
    source.relation = source.relation.map(scalars);
    source
}

fn join_relation(left: Source, right: Source, mut on: Vec<HirScalar>, kind: Kind) -> HirRelation {
    let (left_arity, right_arity) = (left.arity, right.arity);
    let (mut left, mut right) = (left.relation, right.relation);
    let kind = match kind {
        Kind::Inner => JoinKind::Inner,
        Kind::Left => JoinKind::Left,
        Kind::Full => JoinKind::Full,
        Kind::Right => {
            // The sides change places: the right one stands where it sees no sibling, the left one right inside it.
            right.shift_out();
            left.shift_in(1);
            for conjunct in &mut on {
                conjunct.permute(&|index| {
                    if index < left_arity { index + right_arity } else { index - left_arity }
                });
            }
            let outputs = (right_arity..right_arity + left_arity).chain(0..right_arity).collect();
            let (left, right) = (Box::new(right), Box::new(left));
            return HirRelation::Join { left, right, on, kind: JoinKind::Left }.project(outputs);
        }
    };
    HirRelation::Join { left: Box::new(left), right: Box::new(right), on, kind }
}

fn using_name(name: &ObjectName) -> Result<String, Error> {
    match &name.0[..] {
        [part] => Ok(part.as_ident().map(fold).unwrap_or_default()),
        _ => Err(Error::new("42601", "USING takes plain column names").at_node(name)),
    }
}

fn using_item<'a>(scope: &'a Scope, name: &'a str, side: &str) -> Result<&'a ScopeItem, Error> {
    let mut found = scope.unqualified(name);
    let Some(first) = found.next() else {
        let message =
            format!("column {} specified in USING clause does not exist in {side} table", always_quoted(name));
        return Err(Error::new("42703", message).hinted(names::perhaps(name, scope.visible().map(|item| &*item.name))));
    };
    match found.next() {
        None => Ok(first),
        Some(_) => {
            let message = format!("common column name {} appears more than once in {side} table", always_quoted(name));
            Err(Error::new("42702", message))
        }
    }
}

/// A source with its alias, if it has one.
fn source(
    relation: HirRelation,
    table: TableName,
    names: Vec<String>,
    types: Vec<ScalarType>,
    alias: Option<&TableAlias>,
) -> Result<Source, Error> {
    let arity = names.len();
    let (table, names) = match alias {
        None => (table, names),
        Some(alias) => {
            let name = fold(&alias.name);
            let names = renamed(names, alias, &name)?;
            (TableName { full: None, name, ..table }, names)
        }
    };
    Ok(Source { relation, scope: Scope::of_table(table, names.into_iter().zip(types)), arity })
}

/// `(a JOIN b) AS j`: only j can be named.
fn aliased_join(source: Source, alias: &TableAlias) -> Result<Source, Error> {
    let name = fold(&alias.name);
    let visible: Vec<ScopeItem> = source.scope.visible().cloned().collect();
    let names = renamed(visible.iter().map(|item| item.name.clone()).collect(), alias, &name)?;
    let items = visible.into_iter().zip(names).map(|(item, name)| ScopeItem { table: Some(0), name, ..item });
    let scope = Scope { items: items.collect(), tables: vec![TableName::alias(name)] };
    Ok(Source { scope, ..source })
}
