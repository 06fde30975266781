//! SELECT: from its clauses to one relation.

use expr::ColumnOrder;
use repr::ScalarType;
use sqlparser::ast::{
    Distinct, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, OrderByExpr, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Value,
};

use super::coerce::Planned;
use super::expression::strip;
use super::group::{Grouping, Ungrouped};
use super::grouping_sets::GroupBy;
use super::hints::Hints;
use super::naming::column_name;
use super::scope::{always_quoted, at};
use super::set::{QueryPlan, order_options, ordered, ordinal, output_position};
use super::window::WindowItem;
use super::{Clause, QueryContext};
use crate::comparison_key;
use crate::error::Error;
use crate::hir::{HirRelation, HirScalar};
use crate::names::{fold, parts, perhaps};
use crate::parse::ALL_FIELDS;

/// An output column before it is planned.
pub(super) struct Item<'a> {
    name: String,
    value: ItemValue<'a>,
}

pub(super) enum ItemValue<'a> {
    Expr(&'a Expr),
    Column {
        level: usize,
        index: usize,
        typ: ScalarType,
    },
    /// A field of a record whose fields are all shown.
    Field {
        record: HirScalar,
        typ: ScalarType,
        place: usize,
        field: ScalarType,
    },
}

/// The expressions of a SELECT, planned over the rows before grouping. Those behind the output's are for ORDER BY and
/// DISTINCT ON.
struct Outputs {
    names: Vec<String>,
    types: Vec<ScalarType>,
    scalars: Vec<HirScalar>,
    /// The types of those behind the output's.
    hidden: Vec<ScalarType>,
}

/// Most columns of one SELECT.
const TARGETS_MAX: usize = 1664;

impl QueryContext<'_> {
    /// Plans a SELECT with the ORDER BY of the query it is the body of.
    pub(super) fn select(&mut self, select: &Select, order_by: &[OrderByExpr]) -> Result<QueryPlan, Error> {
        check_select(select)?;
        let source = self.from(&select.from)?;
        let (relation, arity) = (source.relation, source.arity);
        self.with_level(source.scope, Clause::Select, |qcx| qcx.select_over(select, order_by, relation, arity))
    }

    fn select_over(
        &mut self,
        select: &Select,
        order_by: &[OrderByExpr],
        mut relation: HirRelation,
        arity: usize,
    ) -> Result<QueryPlan, Error> {
        if let Some(selection) = &select.selection {
            let predicate = self.in_clause(Clause::Where, |qcx| qcx.condition(selection, "argument of WHERE"))?;
            let mut conjuncts = Vec::new();
            predicate.into_conjuncts(&mut conjuncts);
            relation = relation.filter(conjuncts);
        }
        let items = self.expand(&select.projection, !select.from.is_empty())?;
        let group_by = self.in_clause(Clause::GroupBy, |qcx| qcx.group_by(select, &items))?;
        self.level().group_keys = group_by.keys.iter().map(|(key, _)| key.clone()).collect();
        self.level().references.clear();
        self.define_windows(&select.named_window)?;
        let hints = Hints::of(&select.named_window)?;
        self.level().group_size = hints.aggregate;
        let mut outputs = self.outputs(&items)?;
        let having = match &select.having {
            Some(having) => Some(self.in_clause(Clause::Having, |qcx| qcx.condition(having, "argument of HAVING"))?),
            None => None,
        };
        let distinct_on = match &select.distinct {
            Some(Distinct::On(exprs)) => {
                Some(self.in_clause(Clause::DistinctOn, |qcx| qcx.distinct_on(exprs, &mut outputs))?)
            }
            _ => None,
        };
        let order = self.in_clause(Clause::OrderBy, |qcx| qcx.order_targets(order_by, &mut outputs))?;
        let (relation, arity) = self.computed(relation, arity, group_by, having, &mut outputs.scalars)?;
        let relation = project(relation, arity, &outputs.scalars);
        let mut plan = finish(relation, outputs, select, distinct_on, order, order_by, hints)?;
        plan.limit_group_size = hints.limit;
        Ok(plan)
    }

    /// Everything between the rows of FROM and the output: groups, then window functions, then sets of rows. Makes `outputs`
    /// expressions over the result, and returns it with the number of its columns.
    fn computed(
        &mut self,
        mut relation: HirRelation,
        mut arity: usize,
        group_by: GroupBy,
        having: Option<HirScalar>,
        outputs: &mut [HirScalar],
    ) -> Result<(HirRelation, usize), Error> {
        let owner = self.levels.len() - 1;
        let level = self.level();
        let aggregates = std::mem::take(&mut level.aggregates);
        let groupings = std::mem::take(&mut level.groupings);
        let group_size = level.group_size;
        let mut windows = std::mem::take(&mut level.windows);
        let mut sets = std::mem::take(&mut level.sets);
        let (scope, references) = (level.scope.clone(), level.references.clone());
        let mut types = scope.items.iter().map(|item| (item.index, item.typ.clone())).collect();
        if group_by.is_written || !aggregates.is_empty() || !groupings.is_empty() || having.is_some() {
            let ungrouped = Ungrouped {
                group_size,
                owner,
                input: relation,
                arity,
                group_by,
                aggregates,
                groupings,
                scope,
                references,
            };
            let (grouped, grouping) = Grouping::new(ungrouped);
            relation = grouped;
            arity = grouping.arity();
            let users = outputs.iter_mut().chain(sets.iter_mut().flat_map(|set| &mut set.args));
            for scalar in users.chain(windows.iter_mut().flat_map(WindowItem::scalars_mut)) {
                grouping.rewrite(scalar)?;
            }
            if let Some(mut having) = having {
                grouping.rewrite(&mut having)?;
                let mut conjuncts = Vec::new();
                having.into_conjuncts(&mut conjuncts);
                relation = relation.filter(conjuncts);
            }
            types = grouping.types;
        }
        if !windows.is_empty() {
            let users = outputs.iter_mut().chain(sets.iter_mut().flat_map(|set| &mut set.args));
            (relation, arity) = super::window::expand(relation, types, windows, &mut users.collect::<Vec<_>>())?;
        }
        if !sets.is_empty() {
            (relation, arity) = super::sets::expand(relation, arity, sets, outputs)?;
        }
        Ok((relation, arity))
    }

    /// The output columns, wildcards expanded.
    fn expand<'a>(&mut self, projection: &'a [SelectItem], has_from: bool) -> Result<Vec<Item<'a>>, Error> {
        let mut items = Vec::with_capacity(projection.len());
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => match all_fields(expr) {
                    Some(record) => self.expand_record(record, &mut items)?,
                    None => items.push(Item { name: column_name(expr), value: ItemValue::Expr(expr) }),
                },
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(Item { name: fold(alias), value: ItemValue::Expr(expr) });
                }
                SelectItem::Wildcard(options) => {
                    check_wildcard(options).map_err(|error| error.at_node(item))?;
                    if !has_from {
                        let message = "SELECT * with no tables specified is not valid";
                        return Err(Error::new("42601", message).at_node(item));
                    }
                    let visible = self.level().scope.visible();
                    items.extend(visible.map(|column| Item {
                        name: column.name.clone(),
                        value: ItemValue::Column { level: 0, index: column.index, typ: column.typ.clone() },
                    }));
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    check_wildcard(options).map_err(|error| error.at_node(item))?;
                    self.expand_table(name, &mut items)?;
                }
                other => return Err(Error::unsupported(format!("{other} in a select list")).at_node(other)),
            }
        }
        if items.len() > TARGETS_MAX {
            return Err(Error::new("54011", format!("target lists can have at most {TARGETS_MAX} entries")));
        }
        Ok(items)
    }

    /// `(record).*`.
    fn expand_record(&mut self, expr: &Expr, items: &mut Vec<Item<'_>>) -> Result<(), Error> {
        if let Expr::Identifier(ident) = strip(expr) {
            let name = fold(ident);
            let named = std::slice::from_ref(&name);
            let visible = || self.levels.iter().filter(|level| level.visible);
            if !visible().any(|level| level.scope.unqualified(&name).next().is_some())
                && visible().any(|level| matches!(level.scope.table(named), Ok(Some(_))))
            {
                return self.expand_table(&ObjectName::from(ident.clone()), items);
            }
        }
        let (record, typ) = self.settled(expr)?;
        let ScalarType::Record(fields) = &typ else {
            return Err(Error::new("42809", "column notation .* applied to a type that is not composite").at_node(expr));
        };
        items.extend(fields.iter().enumerate().map(|(place, (name, field))| {
            let (record, typ, field) = (record.clone(), typ.clone(), field.scalar.clone());
            Item { name: name.clone(), value: ItemValue::Field { record, typ, place, field } }
        }));
        Ok(())
    }

    /// The columns that `name.*` stands for.
    pub(super) fn table_columns(&self, name: &ObjectName) -> Result<Vec<Planned>, Error> {
        let mut items = Vec::new();
        self.expand_table(name, &mut items)?;
        let column = |item: Item<'_>| match item.value {
            ItemValue::Column { level, index, typ } => Some(Planned::typed(HirScalar::Column { level, index }, typ)),
            _ => None,
        };
        Ok(items.into_iter().filter_map(column).collect())
    }

    /// `t.*`, also of an enclosing query's table.
    fn expand_table(&self, name: &ObjectName, items: &mut Vec<Item<'_>>) -> Result<(), Error> {
        let qualifier: Vec<String> = parts(name)?.into_iter().map(fold).collect();
        for level in 0..self.levels.len() {
            let here = &self.levels[self.levels.len() - 1 - level];
            if !here.visible {
                continue;
            }
            if let Some(table) = here.scope.table(&qualifier)? {
                items.extend(here.scope.columns_of(table).map(|column| Item {
                    name: column.name.clone(),
                    value: ItemValue::Column { level, index: column.index, typ: column.typ.clone() },
                }));
                return Ok(());
            }
        }
        let table = qualifier.join(".");
        let known = self.levels.iter().flat_map(|level| level.scope.tables.iter().map(|table| &*table.name));
        Err(Error::new("42P01", format!("missing FROM-clause entry for table {}", always_quoted(&table)))
            .hinted(perhaps(&table, known))
            .at_node(name))
    }

    /// The output column that a GROUP BY item refers to, if it does.
    pub(super) fn group_item(&mut self, expr: &Expr, items: &[Item<'_>]) -> Result<Option<usize>, Error> {
        if let Some(digits) = ordinal(expr) {
            return output_position(digits, items.len(), "GROUP BY").map(Some).map_err(|error| error.at_node(expr));
        }
        match strip(expr) {
            Expr::Value(value) if !matches!(value.value, Value::Placeholder(_)) => {
                Err(Error::new("42601", "non-integer constant in GROUP BY").at_node(expr))
            }
            Expr::Identifier(ident) => {
                let name = fold(ident);
                if self.level().scope.unqualified(&name).next().is_some() {
                    return Ok(None);
                }
                let mut found = (0..items.len()).filter(|index| items[*index].name == name);
                let first = found.next();
                if found.next().is_some() {
                    let message = format!("GROUP BY {} is ambiguous", always_quoted(&name));
                    return Err(at(Error::new("42702", message), std::slice::from_ref(ident)));
                }
                Ok(first)
            }
            _ => Ok(None),
        }
    }

    pub(super) fn item(&mut self, item: &Item<'_>) -> Result<(HirScalar, ScalarType), Error> {
        match &item.value {
            ItemValue::Expr(expr) => self.settled(expr),
            ItemValue::Column { level, index, typ } => {
                Ok((HirScalar::Column { level: *level, index: *index }, typ.clone()))
            }
            ItemValue::Field { record, typ, place, field } => {
                let value = super::function::record_field(record.clone(), typ, *place, field.clone())?;
                self.settle(value)
            }
        }
    }

    /// The names and values of the items of a RETURNING clause.
    pub(super) fn returned(&mut self, items: &[SelectItem]) -> Result<(Vec<String>, Vec<HirScalar>), Error> {
        let items = self.expand(items, true)?;
        let Outputs { names, scalars, .. } = self.outputs(&items)?;
        Ok((names, scalars))
    }

    fn outputs(&mut self, items: &[Item<'_>]) -> Result<Outputs, Error> {
        let mut outputs = Outputs { names: Vec::new(), types: Vec::new(), scalars: Vec::new(), hidden: Vec::new() };
        for item in items {
            let (scalar, typ) = self.item(item)?;
            outputs.names.push(item.name.clone());
            outputs.types.push(typ);
            outputs.scalars.push(scalar);
        }
        Ok(outputs)
    }

    /// The column, of the output or behind it, that an item of ORDER BY or DISTINCT ON means.
    fn target(&mut self, expr: &Expr, clause: &str, outputs: &mut Outputs) -> Result<usize, Error> {
        if let Some(digits) = ordinal(expr) {
            return output_position(digits, outputs.names.len(), clause).map_err(|error| error.at_node(expr));
        }
        if let Expr::Value(value) = strip(expr)
            && !matches!(value.value, Value::Placeholder(_))
        {
            return Err(Error::new("42601", format!("non-integer constant in {clause}")).at_node(expr));
        }
        if let Expr::Identifier(ident) = strip(expr) {
            let name = fold(ident);
            let mut found = (0..outputs.names.len()).filter(|index| outputs.names[*index] == name);
            if let Some(first) = found.next() {
                if found.any(|other| outputs.scalars[other] != outputs.scalars[first]) {
                    let message = format!("{clause} {} is ambiguous", always_quoted(&name));
                    return Err(at(Error::new("42702", message), std::slice::from_ref(ident)));
                }
                return Ok(first);
            }
        }
        let (scalar, typ) = self.settled(expr)?;
        let arity = outputs.names.len();
        if let Some(place) = outputs.scalars[..arity].iter().position(|output| *output == scalar) {
            return Ok(place);
        }
        let (key, typ) = comparison_key::order(&scalar, &typ).unwrap_or((scalar, typ));
        if let Some(place) = outputs.scalars[arity..].iter().position(|output| *output == key) {
            return Ok(arity + place);
        }
        outputs.scalars.push(key);
        outputs.hidden.push(typ);
        Ok(outputs.scalars.len() - 1)
    }

    fn distinct_on(&mut self, exprs: &[Expr], outputs: &mut Outputs) -> Result<Vec<usize>, Error> {
        exprs.iter().map(|expr| self.target(expr, "SELECT DISTINCT ON", outputs)).collect()
    }

    fn order_targets(
        &mut self,
        order_by: &[OrderByExpr],
        outputs: &mut Outputs,
    ) -> Result<Vec<(usize, ColumnOrder)>, Error> {
        let mut targets: Vec<(usize, ColumnOrder)> = Vec::with_capacity(order_by.len());
        for order in order_by {
            let column = self.target(&order.expr, "ORDER BY", outputs)?;
            targets.push((column, order_options(order)?));
        }
        Ok(targets)
    }
}

/// The record that stands for all its fields, if the expression is of that form.
pub(super) fn all_fields(expr: &Expr) -> Option<&Expr> {
    let Expr::Function(function) = expr else { return None };
    let [name] = &function.name.0[..] else { return None };
    let is_marked = name.as_ident().is_some_and(|ident| ident.quote_style.is_some() && ident.value == ALL_FIELDS);
    match &function.args {
        FunctionArguments::List(list) if is_marked => match &list.args[..] {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(record))] => Some(record),
            _ => None,
        },
        _ => None,
    }
}

/// The scalars as the columns of `relation`, which has `arity` columns.
fn project(relation: HirRelation, arity: usize, scalars: &[HirScalar]) -> HirRelation {
    let mut added = Vec::new();
    let mut columns = Vec::with_capacity(scalars.len());
    for scalar in scalars {
        match scalar {
            HirScalar::Column { level: 0, index } => columns.push(*index),
            other => {
                columns.push(arity + added.len());
                added.push(other.clone());
            }
        }
    }
    relation.map(added).project(columns)
}

/// DISTINCT and ORDER BY over the output columns and those behind them.
fn finish(
    relation: HirRelation,
    outputs: Outputs,
    select: &Select,
    distinct_on: Option<Vec<usize>>,
    order: Vec<(usize, ColumnOrder)>,
    order_by: &[OrderByExpr],
    hints: Hints,
) -> Result<QueryPlan, Error> {
    let Outputs { names, types, hidden, .. } = outputs;
    if matches!(select.distinct, Some(Distinct::Distinct)) {
        if let Some(place) = order.iter().position(|(column, _)| *column >= names.len()) {
            let message = "for SELECT DISTINCT, ORDER BY expressions must appear in select list";
            return Err(Error::new("42P10", message).at_node(&order_by[place].expr));
        }
        return Ok(ordered(relation.distinct(), names, types, hidden, order));
    }
    let Some(keys) = distinct_on else {
        return Ok(ordered(relation, names, types, hidden, order));
    };
    let mut waiting: Vec<usize> = keys.clone();
    for ((column, _), item) in order.iter().zip(order_by) {
        if waiting.is_empty() {
            break;
        }
        if !keys.contains(column) {
            let message = "SELECT DISTINCT ON expressions must match initial ORDER BY expressions";
            return Err(Error::new("42P10", message).at_node(&item.expr));
        }
        waiting.retain(|key| key != column);
    }
    let mut plan = ordered(relation, names, types, hidden, order);
    let mut group_key = Vec::with_capacity(keys.len());
    let (mut added, mut added_types) = (Vec::new(), Vec::new());
    for key in keys {
        match plan.types.get(key) {
            Some(typ) if typ.equals_by_key() => {
                group_key.push(plan.types.len() + plan.hidden.len() + added.len());
                added_types.push(typ.clone());
                added.push(comparison_key::of(HirScalar::column(key), typ));
            }
            _ => group_key.push(key),
        }
    }
    plan.hidden.extend(added_types);
    plan.relation = HirRelation::TopK {
        input: Box::new(plan.relation.map(added)),
        group_key,
        order: plan.order.clone(),
        limit: Some(1),
        offset: 0,
        expected_group_size: hints.distinct_on,
    };
    Ok(plan)
}

fn check_wildcard(options: &sqlparser::ast::WildcardAdditionalOptions) -> Result<(), Error> {
    let plain = options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none();
    if plain { Ok(()) } else { Err(Error::new("42601", "* takes no options")) }
}

/// Refuses clauses that the parser knows from other systems.
fn check_select(select: &Select) -> Result<(), Error> {
    if select.into.is_some() {
        return Err(Error::unsupported("SELECT INTO").at_node(select));
    }
    if select.qualify.is_some() {
        return Err(Error::unsupported("QUALIFY").at_node(select));
    }
    let foreign = select.top.is_some()
        || select.exclude.is_some()
        || !select.lateral_views.is_empty()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || select.value_table_mode.is_some()
        || select.select_modifiers.is_some();
    if foreign {
        return Err(Error::new("42601", "syntax error in SELECT").at_node(select));
    }
    Ok(())
}
