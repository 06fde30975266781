//! Window functions: from `f(...) OVER (...)` to one relation that has their values as columns.
//!
//! Calls over the same partitions in the same order are computed together: a Reduce makes of each partition the list of its
//! rows with the calls' values, which a FlatMap takes apart again. Only the columns that are looked at later go through.

use std::collections::{BTreeMap, BTreeSet};

use expr::aggregate::{FrameBound, Window, WindowCall, WindowFrame, WindowFunc, output_type};
use expr::{AggregateFunc, ColumnOrder, TableFunc};
use repr::{ColumnType, ScalarType};
use sqlparser::ast::{DuplicateTreatment, Function, FunctionArgumentClause, FunctionArguments, NullTreatment};

use super::coerce::Planned;
use super::frame::{Bound, Frame};
use super::function::argument;
use super::{Clause, QueryContext, aggregate};
use crate::comparison_key;
use crate::error::Error;
use crate::hir::{HirAggregate, HirRelation, HirScalar};

const NAMES: [&str; 11] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

pub(super) fn is_window_function(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Expressions with their types.
type Typed = Vec<(HirScalar, ScalarType)>;

/// A window function of a SELECT.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WindowItem {
    func: Called,
    args: Typed,
    ignore_nulls: bool,
    partition: Typed,
    /// The column of each order is still to be set.
    order: Vec<(HirScalar, ScalarType, ColumnOrder)>,
    frame: Frame,
    typ: ColumnType,
}

#[derive(Clone, Debug, PartialEq)]
enum Called {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile,
    Lag,
    Lead,
    FirstValue,
    LastValue,
    NthValue,
    Aggregate(AggregateFunc),
}

impl WindowItem {
    /// All expressions of the call.
    pub(super) fn scalars_mut(&mut self) -> Vec<&mut HirScalar> {
        let WindowItem { args, partition, order, frame, .. } = self;
        let args = args.iter_mut().chain(partition).map(|(scalar, _)| scalar);
        let order = order.iter_mut().map(|(scalar, _, _)| scalar);
        args.chain(order).chain(frame.scalars_mut()).collect()
    }

    /// Numbers rows, or ranks them, in an order of all rows together.
    pub(super) fn numbering(ranked: bool, order: Vec<(HirScalar, ScalarType, ColumnOrder)>) -> WindowItem {
        WindowItem {
            func: if ranked { Called::Rank } else { Called::RowNumber },
            args: Vec::new(),
            ignore_nulls: false,
            partition: Vec::new(),
            order,
            frame: Frame::default(),
            typ: ScalarType::Int8.not_null(),
        }
    }
}

impl QueryContext<'_> {
    /// Plans a call with OVER, adds it to the SELECT's windows, and returns what stands for it.
    pub(super) fn window(&mut self, name: &str, function: &Function) -> Result<Planned, Error> {
        let at = |error: Error| error.at_node(&function.name);
        self.check_window_allowed().map_err(at)?;
        if let Some(level) = self.levels.last_mut() {
            level.in_window = true;
        }
        let planned = self.window_item(name, function);
        self.level().in_window = false;
        let mut item = planned.map_err(at)?;
        let mut contains_set = false;
        for scalar in item.scalars_mut() {
            contains_set |= scalar.any(&mut |scalar| matches!(scalar, HirScalar::SetReturning(_)));
        }
        if contains_set {
            let message = "window function calls cannot contain set-returning function calls";
            return Err(at(Error::new("0A000", message)
                .with_hint("You might be able to move the set-returning function into a LATERAL FROM item.")));
        }
        let typ = item.typ.scalar.clone();
        let windows = &mut self.level().windows;
        let place = windows.iter().position(|other| *other == item).unwrap_or_else(|| {
            windows.push(item);
            windows.len() - 1
        });
        Ok(Planned::typed(HirScalar::Window(place), typ))
    }

    fn check_window_allowed(&self) -> Result<(), Error> {
        match self.levels.last() {
            Some(level) if level.in_aggregate => {
                Err(Error::new("42803", "aggregate function calls cannot contain window function calls"))
            }
            Some(level) if level.in_window => Err(Error::new("42P20", "window function calls cannot be nested")),
            Some(level) if matches!(level.clause, Clause::Select | Clause::OrderBy | Clause::DistinctOn) => Ok(()),
            Some(level) => {
                Err(Error::new("42P20", format!("window functions are not allowed in {}", level.clause.name())))
            }
            None => Err(Error::new("42P20", "window functions are not allowed here")),
        }
    }

    fn window_item(&mut self, name: &str, function: &Function) -> Result<WindowItem, Error> {
        let over = function.over.as_ref().expect("called for what has OVER");
        if !function.within_group.is_empty() || aggregate::is_ordered_set(name) {
            let kind = if is_window_function(name) { "hypothetical-set" } else { "ordered-set" };
            return Err(Error::new("0A000", format!("OVER is not supported for {kind} aggregate {name}")));
        }
        let spec = self.window_spec(over)?;
        let mut partition = Vec::with_capacity(spec.partition_by.len());
        for expr in &spec.partition_by {
            let key = self.settled(expr)?;
            if !partition.contains(&key) {
                partition.push(key);
            }
        }
        let mut order = Vec::with_capacity(spec.order_by.len());
        for item in &spec.order_by {
            let (scalar, typ) = self.settled(&item.expr)?;
            order.push((scalar, typ, super::set::order_options(item)?));
        }
        let frame = match &spec.window_frame {
            Some(frame) => self.frame(frame, spec.exclude, &order)?,
            None => Frame::default(),
        };
        let (func, args, typ) = match is_window_function(name) {
            true => self.window_function(name, function)?,
            false if aggregate::is_aggregate(name) => self.window_aggregate(name, function)?,
            false => return Err(self.no_window_function(name, function)),
        };
        let ignore_nulls = function.null_treatment == Some(NullTreatment::IgnoreNulls);
        if ignore_nulls
            && !matches!(func, Called::Lag | Called::Lead | Called::FirstValue | Called::LastValue | Called::NthValue)
        {
            return Err(Error::unsupported(format!("IGNORE NULLS of {name}")));
        }
        Ok(WindowItem { func, args, ignore_nulls, partition, order, frame, typ })
    }

    /// The error for OVER behind something that is no window function.
    fn no_window_function(&mut self, name: &str, function: &Function) -> Error {
        let known = !expr::func::functions(name).is_empty() || super::table_function::is_table_function(name);
        if known {
            let message = format!("OVER specified, but {name} is not a window function nor an aggregate function");
            return Error::new("42809", message);
        }
        match self.window_arguments(name, function) {
            Ok(args) => super::function::no_function(name, &args),
            Err(error) => error,
        }
    }

    fn window_arguments(&mut self, name: &str, function: &Function) -> Result<Vec<Planned>, Error> {
        let list = match &function.args {
            FunctionArguments::None => return Ok(Vec::new()),
            FunctionArguments::Subquery(_) => {
                return Err(Error::unsupported(format!("a subquery as argument of {name}")));
            }
            FunctionArguments::List(list) => list,
        };
        if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
            return Err(Error::new("0A000", "DISTINCT is not implemented for window functions"));
        }
        if list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_))) {
            return Err(Error::new("0A000", "aggregate ORDER BY is not implemented for window functions"));
        }
        let args = list.args.iter().map(|arg| self.expression(argument(arg)?)).collect::<Result<Vec<_>, _>>()?;
        self.settle_rows(args)
    }

    /// A function that is only a window function: its arguments as the types it takes.
    fn window_function(&mut self, name: &str, function: &Function) -> Result<(Called, Typed, ColumnType), Error> {
        let args = self.window_arguments(name, function)?;
        if function.filter.is_some() {
            return Err(Error::new("0A000", "FILTER is not implemented for non-aggregate window functions"));
        }
        let shown = args.clone();
        let none = || super::function::no_function(name, &shown);
        let plain = |func, typ: ColumnType| Ok((func, Vec::new(), typ));
        let mut args = args.into_iter();
        match (name, args.len()) {
            ("row_number", 0) => plain(Called::RowNumber, ScalarType::Int8.not_null()),
            ("rank", 0) => plain(Called::Rank, ScalarType::Int8.not_null()),
            ("dense_rank", 0) => plain(Called::DenseRank, ScalarType::Int8.not_null()),
            ("percent_rank", 0) => plain(Called::PercentRank, ScalarType::Float8.not_null()),
            ("cume_dist", 0) => plain(Called::CumeDist, ScalarType::Float8.not_null()),
            ("ntile", 1) => {
                let buckets = self.int4(args.next().ok_or_else(none)?).map_err(|_| none())?;
                Ok((Called::Ntile, vec![buckets], ScalarType::Int4.nullable()))
            }
            ("lag" | "lead", 1..=3) => {
                let value = args.next().ok_or_else(none)?;
                let offset = match args.next() {
                    Some(offset) => self.int4(offset).map_err(|_| none())?,
                    None => (HirScalar::literal(repr::Datum::Int(1), ScalarType::Int4), ScalarType::Int4),
                };
                let default = args.next().unwrap_or(Planned::Unknown { text: None, position: None });
                let common = self.coerce_common(vec![value, default], &name.to_uppercase());
                let (both, typ) = common.map_err(|error| match error.code {
                    "42804" | "42846" => none(),
                    _ => error,
                })?;
                let [value, default] = <[HirScalar; 2]>::try_from(both).map_err(|_| none())?;
                let func = if name == "lag" { Called::Lag } else { Called::Lead };
                Ok((func, vec![(value, typ.clone()), offset, (default, typ.clone())], typ.nullable()))
            }
            ("first_value" | "last_value", 1) => {
                let value = self.settle(args.next().ok_or_else(none)?)?;
                let func = if name == "first_value" { Called::FirstValue } else { Called::LastValue };
                let typ = value.1.clone().nullable();
                Ok((func, vec![value], typ))
            }
            ("nth_value", 2) => {
                let value = self.settle(args.next().ok_or_else(none)?)?;
                let place = self.int4(args.next().ok_or_else(none)?).map_err(|_| none())?;
                let typ = value.1.clone().nullable();
                Ok((Called::NthValue, vec![value, place], typ))
            }
            ("rank" | "dense_rank" | "percent_rank" | "cume_dist", _) => {
                Err(super::ordered_set::without_group(name, &shown))
            }
            _ => Err(none()),
        }
    }

    fn int4(&mut self, planned: Planned) -> Result<(HirScalar, ScalarType), Error> {
        let scalar = self.coerce_implicit(planned, &ScalarType::Int4, |found| format!("{found} is not an integer"))?;
        Ok((scalar, ScalarType::Int4))
    }

    /// An aggregate over the frame.
    fn window_aggregate(&mut self, name: &str, function: &Function) -> Result<(Called, Typed, ColumnType), Error> {
        if let FunctionArguments::List(list) = &function.args {
            if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
                return Err(Error::new("0A000", "DISTINCT is not implemented for window functions"));
            }
            if !list.clauses.is_empty() {
                return Err(Error::new("0A000", "aggregate ORDER BY is not implemented for window functions"));
            }
        }
        let HirAggregate { func, expr, arg_type, typ, .. } = self.aggregate_call(name, function)?;
        Ok((Called::Aggregate(func), vec![(expr, arg_type)], typ))
    }
}

/// Computes `windows` over `relation`, whose columns are of the types `types`. What stands for them in `users`, and the
/// columns that those look at, become columns of the result, which is returned with their number.
pub(super) fn expand(
    mut relation: HirRelation,
    mut types: BTreeMap<usize, ScalarType>,
    windows: Vec<WindowItem>,
    users: &mut [&mut HirScalar],
) -> Result<(HirRelation, usize), Error> {
    let mut places: Vec<Option<usize>> = vec![None; windows.len()];
    let mut rest: Vec<(usize, WindowItem)> = windows.into_iter().enumerate().collect();
    let mut arity = 0;
    while let Some((_, first)) = rest.first().cloned() {
        let together = |item: &WindowItem| item.partition == first.partition && item.order == first.order;
        let (now, later): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, item)| together(item));
        rest = later;
        let mut needed: BTreeSet<usize> = users.iter().flat_map(|user| user.own_columns()).collect();
        for (_, item) in &mut rest {
            needed.extend(item.scalars_mut().into_iter().flat_map(|scalar| scalar.own_columns()));
        }
        needed.extend(places.iter().flatten());
        let mut fields = Fields::default();
        for column in &needed {
            let typ = types.get(column).ok_or_else(|| Error::new("XX000", format!("column {column} has no type")))?;
            fields.push(HirScalar::column(*column), typ.clone());
        }
        let calls: Vec<&WindowItem> = now.iter().map(|(_, item)| item).collect();
        relation = together_over(relation, fields, &calls)?;
        let renumbered: BTreeMap<usize, usize> = needed.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        let renumber = |column: usize| renumbered[&column];
        users.iter_mut().for_each(|user| user.permute(&renumber));
        for (_, item) in &mut rest {
            item.scalars_mut().into_iter().for_each(|scalar| scalar.permute(&renumber));
        }
        places.iter_mut().flatten().for_each(|place| *place = renumber(*place));
        types = needed.iter().map(|column| (renumber(*column), types[column].clone())).collect();
        for (index, (place, item)) in now.iter().enumerate() {
            places[*place] = Some(needed.len() + index);
            types.insert(needed.len() + index, item.typ.scalar.clone());
        }
        arity = needed.len() + now.len();
    }
    for user in users {
        replace(user, 0, &places);
    }
    Ok((relation, arity))
}

/// The fields of the record that a partition's rows become, each expression once.
#[derive(Default)]
struct Fields(Vec<(HirScalar, ScalarType)>);

impl Fields {
    fn push(&mut self, scalar: HirScalar, typ: ScalarType) -> usize {
        let place = self.0.iter().position(|(known, known_type)| *known == scalar && *known_type == typ);
        place.unwrap_or_else(|| {
            self.0.push((scalar, typ));
            self.0.len() - 1
        })
    }

    fn bound(&mut self, bound: &Bound) -> FrameBound {
        match bound {
            Bound::Fixed(bound) => *bound,
            Bound::Value { key, bound } => {
                let (key, bound) = (key.clone(), bound.clone());
                FrameBound::Value { key: self.push(key.0, key.1), bound: self.push(bound.0, bound.1) }
            }
        }
    }
}

/// The fields there are, then the values of `calls`, which share their partitions and order.
fn together_over(relation: HirRelation, mut fields: Fields, calls: &[&WindowItem]) -> Result<HirRelation, Error> {
    let kept = fields.0.len();
    let first = calls[0];
    let order = first.order.iter().map(|(scalar, typ, options)| {
        let (key, typ) = comparison_key::order(scalar, typ).unwrap_or_else(|| (scalar.clone(), typ.clone()));
        ColumnOrder { column: fields.push(key, typ), ..options.clone() }
    });
    let order_by = order.collect();
    let calls = calls.iter().map(|item| {
        let args: Vec<usize> = item.args.iter().map(|(scalar, typ)| fields.push(scalar.clone(), typ.clone())).collect();
        let Frame { units, start, end, exclude } = &item.frame;
        let frame =
            WindowFrame { units: *units, start: fields.bound(start), end: fields.bound(end), exclude: *exclude };
        WindowCall { func: func(item, &args), frame, typ: item.typ.clone() }
    });
    let window = Window { order_by, kept, calls: calls.collect() };
    let named = fields.0.into_iter().enumerate();
    let named = named.map(|(place, (scalar, typ))| (format!("f{}", place + 1), scalar, typ)).collect();
    let (record, arg_type) = super::function::record(named)?;
    let columns = window.columns(&arg_type);
    let group_key: Vec<HirScalar> =
        first.partition.iter().map(|(scalar, typ)| comparison_key::of(scalar.clone(), typ)).collect();
    let keys = group_key.len();
    let func = AggregateFunc::Window(Box::new(window));
    let typ = output_type(&func, &arg_type).not_null();
    let aggregate = HirAggregate { func, expr: record, arg_type, distinct: false, typ };
    let reduced = HirRelation::Reduce {
        input: Box::new(relation),
        group_key,
        aggregates: vec![aggregate],
        always: Vec::new(),
        expected_group_size: None,
    };
    let outputs = (keys + 1..keys + 1 + columns.len()).collect();
    let func = TableFunc::UnnestRecords(columns.clone());
    let args = vec![HirScalar::column(keys)];
    Ok(HirRelation::FlatMap { input: Box::new(reduced), func, args, columns }.project(outputs))
}

/// The function of a call whose arguments are these fields.
fn func(item: &WindowItem, args: &[usize]) -> WindowFunc {
    let ignore_nulls = item.ignore_nulls;
    match &item.func {
        Called::RowNumber => WindowFunc::RowNumber,
        Called::Rank => WindowFunc::Rank,
        Called::DenseRank => WindowFunc::DenseRank,
        Called::PercentRank => WindowFunc::PercentRank,
        Called::CumeDist => WindowFunc::CumeDist,
        Called::Ntile => WindowFunc::Ntile { buckets: args[0] },
        Called::Lag => WindowFunc::Lag { value: args[0], offset: args[1], default: args[2], ignore_nulls },
        Called::Lead => WindowFunc::Lead { value: args[0], offset: args[1], default: args[2], ignore_nulls },
        Called::FirstValue => WindowFunc::FirstValue { value: args[0], ignore_nulls },
        Called::LastValue => WindowFunc::LastValue { value: args[0], ignore_nulls },
        Called::NthValue => WindowFunc::NthValue { value: args[0], place: args[1], ignore_nulls },
        Called::Aggregate(func) => WindowFunc::Aggregate { func: func.clone(), argument: args[0] },
    }
}

/// Makes what stands for windows the columns that they became.
fn replace(scalar: &mut HirScalar, depth: usize, places: &[Option<usize>]) {
    match scalar {
        HirScalar::Window(place) => {
            let index = places[*place].expect("every window was computed");
            *scalar = HirScalar::Column { level: depth, index };
        }
        HirScalar::Exists(relation) | HirScalar::Select(relation) => {
            relation.visit_scalars_mut(depth + 1, &mut |scalar, depth| replace(scalar, depth, places));
        }
        HirScalar::Quantified { relation, predicate, .. } => {
            relation.visit_scalars_mut(depth + 1, &mut |scalar, depth| replace(scalar, depth, places));
            replace(predicate, depth + 1, places);
        }
        other => other.children_mut().into_iter().for_each(|child| replace(child, depth, places)),
    }
}
