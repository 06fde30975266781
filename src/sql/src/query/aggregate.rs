//! Calls of aggregate functions: which aggregate, over what, of which type.

use expr::aggregate::{Regression, output_type};
use expr::{AggregateFunc, ColumnOrder};
use repr::{ColumnType, ScalarType};
use sqlparser::ast::{
    DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, OrderByExpr,
};

use super::coerce::Planned;
use super::function::argument;
use super::types::{self, Category, category, is_string};
use super::{Clause, QueryContext};
use crate::comparison_key;
use crate::error::Error;
use crate::hir::{HirAggregate, HirScalar};

const NAMES: [&str; 42] = [
    "count",
    "approx_count_distinct",
    "sum",
    "avg",
    "min",
    "max",
    "bool_and",
    "bool_or",
    "every",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
    "string_agg",
    "array_agg",
    "list_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "json_agg",
    "json_object_agg",
    "map_agg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "corr",
    "covar_pop",
    "covar_samp",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "percentile_cont",
    "percentile_disc",
    "mode",
    // Known, to be told apart from functions that do not exist.
    "xmlagg",
];

pub(super) fn is_aggregate(name: &str) -> bool {
    NAMES.contains(&name)
}

/// True for aggregates that always have a WITHIN GROUP.
pub(super) fn is_ordered_set(name: &str) -> bool {
    matches!(name, "percentile_cont" | "percentile_disc" | "mode")
}

impl QueryContext<'_> {
    /// Plans a call, adds it to the aggregates of the SELECT that it belongs to, and returns its place there.
    pub(super) fn aggregate(&mut self, name: &str, function: &Function) -> Result<Planned, Error> {
        let error = |error: Error| error.at_node(&function.name);
        if self.levels.is_empty() {
            return Err(error(Error::new("42803", format!("aggregate function {name} is not allowed here"))));
        }
        if function.null_treatment.is_some() {
            return Err(error(Error::unsupported("a treatment of NULLs by an aggregate")));
        }
        let outside = std::mem::replace(&mut self.level().in_aggregate, true);
        let references = self.level().references.len();
        let planned = match function.within_group.is_empty() && !is_ordered_set(name) {
            true => self.aggregate_call(name, function),
            false => self.ordered_set(name, function),
        };
        self.level().in_aggregate = outside;
        // What an aggregate looks at need not be grouped.
        self.level().references.truncate(references);
        // Where no aggregate may stand, that is what to say.
        if planned.is_err() {
            self.check_aggregate_allowed(0).map_err(error)?;
        }
        let mut aggregate = planned.map_err(error)?;
        let out = levels_out(&aggregate);
        self.check_aggregate_allowed(out).map_err(error)?;
        if out > 0 {
            let inner = |scalar: &HirScalar| {
                matches!(scalar, HirScalar::SetReturning(_) | HirScalar::Window(_) | HirScalar::Grouping(_))
            };
            if aggregate.expr.any(&mut |scalar| inner(scalar)) {
                return Err(error(Error::unsupported("such an aggregate of an outer query")));
            }
            aggregate.expr.shift_out(out);
        }
        let owner = self.levels.len() - 1 - out;
        let typ = aggregate.typ.scalar.clone();
        let aggregates = &mut self.levels[owner].aggregates;
        let place = aggregates.iter().position(|other| *other == aggregate).unwrap_or_else(|| {
            aggregates.push(aggregate);
            aggregates.len() - 1
        });
        Ok(Planned::typed(HirScalar::Aggregate { owner, place }, typ))
    }

    /// Errors: 42803 if the query so many levels further out cannot have an aggregate where it is being planned.
    fn check_aggregate_allowed(&self, out: usize) -> Result<(), Error> {
        let level = &self.levels[self.levels.len() - 1 - out];
        if level.in_aggregate {
            return Err(Error::new("42803", "aggregate function calls cannot be nested"));
        }
        if !level.clause.admits_aggregates() {
            return Err(Error::new("42803", format!("aggregate functions are not allowed in {}", level.clause.name())));
        }
        Ok(())
    }

    /// Plans a call's arguments and clauses. What it may look at has been checked.
    pub(super) fn aggregate_call(&mut self, name: &str, function: &Function) -> Result<HirAggregate, Error> {
        let FunctionArguments::List(list) = &function.args else {
            return Err(Error::new("42883", format!("aggregate {name} needs arguments")));
        };
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        let mut order_by: &[OrderByExpr] = &[];
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(order) => order_by = order,
                other => return Err(Error::unsupported(format!("{other} in an aggregate"))),
            }
        }
        let filter = match &function.filter {
            Some(filter) => Some(self.in_clause(Clause::Filter, |qcx| qcx.condition(filter, "argument of FILTER"))?),
            None => None,
        };
        if let [FunctionArg::Unnamed(FunctionArgExpr::Wildcard | FunctionArgExpr::WildcardWithOptions(_))] =
            &list.args[..]
        {
            if name != "count" || distinct || !order_by.is_empty() {
                return Err(Error::new("42809", format!("{name}(*) is not an aggregate that takes all rows")));
            }
            return Ok(finish(AggregateFunc::Count, HirScalar::bool(true), ScalarType::Bool, false, filter));
        }
        let mut args = Vec::with_capacity(list.args.len());
        for arg in &list.args {
            args.push(self.expression(argument(arg)?)?);
        }
        let args = self.settle_rows(args)?;
        match name {
            "string_agg" | "array_agg" | "list_agg" | "jsonb_agg" | "jsonb_object_agg" | "map_agg" => {
                self.listing(name, args, distinct, order_by, filter)
            }
            "json_agg" => self.listing("jsonb_agg", args, distinct, order_by, filter),
            "json_object_agg" => self.listing("jsonb_object_agg", args, distinct, order_by, filter),
            // The exact count is as near as any.
            "approx_count_distinct" => self.plain("count", args, true, filter),
            "xmlagg" => Err(Error::unsupported(format!("aggregate function {name}"))),
            _ if Regression::by_name(name).is_some() => {
                for order in order_by {
                    self.settled(&order.expr)?;
                }
                self.regression(name, args, distinct, filter)
            }
            _ => {
                // The order of the input makes no difference to these; it is checked and forgotten.
                for order in order_by {
                    self.settled(&order.expr)?;
                }
                self.plain(name, args, distinct, filter)
            }
        }
    }

    /// Aggregates of one argument whose order does not matter.
    fn plain(
        &mut self,
        name: &str,
        mut args: Vec<Planned>,
        distinct: bool,
        filter: Option<HirScalar>,
    ) -> Result<HirAggregate, Error> {
        if args.len() != 1 {
            return Err(super::function::no_function(name, &args));
        }
        let shown = args.clone();
        let arg = args.remove(0);
        let func = match name {
            "count" => AggregateFunc::Count,
            "sum" => AggregateFunc::Sum,
            "avg" => AggregateFunc::Avg,
            "min" => AggregateFunc::Min,
            "max" => AggregateFunc::Max,
            "bool_and" | "every" => AggregateFunc::BoolAnd,
            "bool_or" => AggregateFunc::BoolOr,
            "stddev" | "stddev_samp" => AggregateFunc::StddevSamp,
            "stddev_pop" => AggregateFunc::StddevPop,
            "variance" | "var_samp" => AggregateFunc::VarSamp,
            "bit_and" => AggregateFunc::BitAnd,
            "bit_or" => AggregateFunc::BitOr,
            "bit_xor" => AggregateFunc::BitXor,
            _ => AggregateFunc::VarPop,
        };
        let Some(wanted) = argument_type(&func, arg.known_type()) else {
            return Err(super::function::no_function(name, &shown));
        };
        let scalar = self.coerce_resolved(arg, &wanted)?;
        // Of equal intervals any stands for all in a count; in a sum each would have to be chosen.
        if distinct && wanted.contains_interval() && matches!(func, AggregateFunc::Sum | AggregateFunc::Avg) {
            return Err(Error::unsupported(format!("{name}(DISTINCT interval)")));
        }
        let is_extreme = matches!(func, AggregateFunc::Min | AggregateFunc::Max);
        if is_extreme && wanted.contains_jsonb() {
            return Err(Error::unsupported(format!("{name} of what contains jsonb")));
        }
        // Least and greatest are found by bytes. A bpchar's are in order without its blanks; an interval's always.
        let by_key = match func {
            AggregateFunc::Count => distinct,
            _ => is_extreme && !wanted.contains_interval(),
        };
        let scalar = if by_key { comparison_key::of(scalar, &wanted) } else { scalar };
        let distinct = distinct
            && !matches!(
                func,
                AggregateFunc::Min
                    | AggregateFunc::Max
                    | AggregateFunc::BoolAnd
                    | AggregateFunc::BoolOr
                    | AggregateFunc::BitAnd
                    | AggregateFunc::BitOr
            );
        Ok(finish(func, scalar, wanted, distinct, filter))
    }

    /// Aggregates of pairs (Y, X), which are double precision.
    fn regression(
        &mut self,
        name: &str,
        args: Vec<Planned>,
        distinct: bool,
        filter: Option<HirScalar>,
    ) -> Result<HirAggregate, Error> {
        let (Some(regression), 2) = (Regression::by_name(name), args.len()) else {
            return Err(super::function::no_function(name, &args));
        };
        let shown = args.clone();
        let mut fields = Vec::with_capacity(2);
        for (field, arg) in ["y", "x"].into_iter().zip(args) {
            let scalar = self.coerce_implicit(arg, &ScalarType::Float8, |found| format!("{found} is no number"));
            let scalar = scalar.map_err(|_| super::function::no_function(name, &shown))?;
            fields.push((field.to_owned(), scalar, ScalarType::Float8));
        }
        let (record, typ) = super::function::record(fields)?;
        Ok(finish(AggregateFunc::Regression(regression), record, typ, distinct, filter))
    }

    /// Aggregates that make one value of all: their argument is a record of the values and the order keys.
    fn listing(
        &mut self,
        name: &str,
        args: Vec<Planned>,
        distinct: bool,
        order_by: &[OrderByExpr],
        filter: Option<HirScalar>,
    ) -> Result<HirAggregate, Error> {
        let shown = args.clone();
        let expected = if matches!(name, "string_agg" | "jsonb_object_agg" | "map_agg") { 2 } else { 1 };
        if args.len() != expected {
            return Err(super::function::no_function(name, &shown));
        }
        let given = as_written(&args);
        let mut fields = Vec::new();
        let bytes = name == "string_agg" && args[0].known_type() == Some(&ScalarType::Bytes);
        for (index, arg) in args.into_iter().enumerate() {
            let (scalar, typ) = match (name, index, arg.known_type()) {
                ("string_agg", _, None | Some(ScalarType::Bytes)) if bytes => {
                    (self.coerce_explicit(arg, &ScalarType::Bytes)?, ScalarType::Bytes)
                }
                ("string_agg", _, Some(_)) if bytes => return Err(super::function::no_function(name, &shown)),
                ("string_agg", _, Some(typ)) if !is_string(typ) => {
                    return Err(super::function::no_function(name, &shown));
                }
                ("string_agg", ..) | ("jsonb_object_agg" | "map_agg", 0, _) => {
                    (self.coerce_explicit(arg, &ScalarType::Text)?, ScalarType::Text)
                }
                ("jsonb_agg", ..) | ("jsonb_object_agg", ..) => {
                    let jsonb = self.call_by_name("to_jsonb", vec![arg])?;
                    self.settle(jsonb)?
                }
                _ => self.settle(arg)?,
            };
            fields.push((scalar, typ));
        }
        let mut orders = Vec::with_capacity(order_by.len());
        for order in order_by {
            let (scalar, typ) = self.settled(&order.expr)?;
            let options = super::set::order_options(order)?;
            let place = match fields.iter().position(|(field, _)| *field == scalar) {
                Some(place) if !typ.contains_jsonb() && !typ.equals_by_key() => place,
                None if distinct && !given.contains(&scalar) => {
                    let message = "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list";
                    return Err(Error::new("42P10", message).at_node(&order.expr));
                }
                _ => {
                    fields.push(comparison_key::order(&scalar, &typ).unwrap_or((scalar, typ)));
                    fields.len() - 1
                }
            };
            orders.push(ColumnOrder { column: place, ..options });
        }
        if distinct {
            orders = in_order_of_arguments(name, &mut fields, expected, orders)?;
        }
        let func = match name {
            "string_agg" => AggregateFunc::StringAgg { order_by: orders },
            "array_agg" => AggregateFunc::ArrayAgg { order_by: orders },
            "list_agg" => AggregateFunc::ListAgg { order_by: orders },
            "jsonb_agg" => AggregateFunc::JsonbAgg { order_by: orders },
            "map_agg" => AggregateFunc::MapAgg { order_by: orders },
            _ => AggregateFunc::JsonbObjectAgg { order_by: orders },
        };
        let named =
            fields.into_iter().enumerate().map(|(place, (scalar, typ))| (format!("f{}", place + 1), scalar, typ));
        let (record, typ) = super::function::record(named.collect())?;
        Ok(finish(func, record, typ, distinct, filter))
    }
}

/// The order of an aggregate with DISTINCT: as `orders` says, then by its arguments, the first fields. Of each two that are
/// equal the key stays. Errors: 0A000 for intervals, whose keys are not what anybody wrote.
fn in_order_of_arguments(
    name: &str,
    fields: &mut Vec<(HirScalar, ScalarType)>,
    arguments: usize,
    orders: Vec<ColumnOrder>,
) -> Result<Vec<ColumnOrder>, Error> {
    if fields.iter().any(|(_, typ)| typ.contains_interval()) {
        return Err(Error::unsupported(format!("{name}(DISTINCT interval)")));
    }
    for (scalar, typ) in &mut *fields {
        *scalar = comparison_key::of(scalar.clone(), typ);
    }
    if !fields[..arguments].iter().any(|(_, typ)| typ.contains_jsonb()) {
        return Ok(orders);
    }
    let mut orders = orders;
    for place in 0..arguments {
        let (scalar, typ) = fields[place].clone();
        let key = comparison_key::order(&scalar, &typ);
        let column = match key {
            Some(key) => fields.iter().position(|field| *field == key).unwrap_or_else(|| {
                fields.push(key);
                fields.len() - 1
            }),
            None => place,
        };
        if orders.iter().all(|order| order.column != column) {
            orders.push(ColumnOrder { column, desc: false, nulls_last: true });
        }
    }
    Ok(orders)
}

/// How many levels further out the query stands that an aggregate belongs to: that of the nearest row it looks at.
fn levels_out(aggregate: &HirAggregate) -> usize {
    let mut nearest: Option<usize> = None;
    aggregate.expr.visit_columns(0, &mut |depth, level, _| {
        if level >= depth {
            let out = level - depth;
            nearest = Some(nearest.map_or(out, |nearest| nearest.min(out)));
        }
    });
    nearest.unwrap_or(0)
}

/// The arguments before any conversion, which is how DISTINCT and ORDER BY mean them.
fn as_written(args: &[Planned]) -> Vec<HirScalar> {
    let given = args.iter().filter_map(|arg| match arg {
        Planned::Typed { scalar, .. } => Some(scalar.clone()),
        _ => None,
    });
    given.collect()
}

/// The type an aggregate takes for an argument of type `known`; None if it takes no such argument.
fn argument_type(func: &AggregateFunc, known: Option<&ScalarType>) -> Option<ScalarType> {
    let Some(known) = known else {
        // An unknown literal is text where that is taken, else the preferred type of what is.
        return Some(match func {
            AggregateFunc::BoolAnd | AggregateFunc::BoolOr => ScalarType::Bool,
            AggregateFunc::Count | AggregateFunc::Min | AggregateFunc::Max => ScalarType::Text,
            AggregateFunc::BitAnd | AggregateFunc::BitOr | AggregateFunc::BitXor => ScalarType::Int8,
            _ => ScalarType::Float8,
        });
    };
    let number = category(known) == Category::Number && *known != ScalarType::Oid && !known.is_reg();
    match func {
        AggregateFunc::Count => Some(known.clone()),
        AggregateFunc::Min | AggregateFunc::Max => match known {
            ScalarType::Jsonb | ScalarType::Record(_) | ScalarType::Bool => None,
            // A length has no meaning for what is chosen; char(n) keeps its blanks out.
            ScalarType::Varchar(_) | ScalarType::Name => Some(ScalarType::Text),
            other => Some(other.clone()),
        },
        AggregateFunc::Sum | AggregateFunc::Avg if known.is_interval() => Some(ScalarType::Interval(None)),
        AggregateFunc::BoolAnd | AggregateFunc::BoolOr => (*known == ScalarType::Bool).then_some(ScalarType::Bool),
        AggregateFunc::BitAnd | AggregateFunc::BitOr | AggregateFunc::BitXor => {
            let whole = !matches!(known, ScalarType::Numeric(_) | ScalarType::Float4 | ScalarType::Float8);
            (number && whole).then(|| known.clone())
        }
        _ => number.then(|| types::base(known)),
    }
}

/// The aggregate of these arguments, over the rows that the filter lets pass.
pub(super) fn finish(
    func: AggregateFunc,
    scalar: HirScalar,
    arg_type: ScalarType,
    distinct: bool,
    filter: Option<HirScalar>,
) -> HirAggregate {
    let result = output_type(&func, &arg_type);
    // A row that the filter drops is one whose argument is NULL, which all aggregates skip.
    let expr = match filter {
        Some(filter) => HirScalar::if_then_else(filter, scalar, HirScalar::null(arg_type.clone())),
        None => scalar,
    };
    let nullable = func.default_over_no_rows().is_null();
    HirAggregate { func, expr, arg_type, distinct, typ: ColumnType { scalar: result, nullable } }
}
