//! Aggregates with WITHIN GROUP: percentiles, the mode, and where a row would stand in its group.

use expr::aggregate::Standing;
use expr::{AggregateFunc, ColumnOrder};
use repr::ScalarType;
use sqlparser::ast::{DuplicateTreatment, Expr, Function, FunctionArguments, OrderByExpr};

use super::coerce::Planned;
use super::function::argument;
use super::types::{Category, category};
use super::{Clause, QueryContext};
use crate::comparison_key;
use crate::error::Error;
use crate::hir::{HirAggregate, HirScalar};

impl QueryContext<'_> {
    /// Plans `name(direct arguments) WITHIN GROUP (ORDER BY ...)`.
    pub(super) fn ordered_set(&mut self, name: &str, function: &Function) -> Result<HirAggregate, Error> {
        let order_by = &function.within_group[..];
        let standing = standing(name);
        let exprs: Vec<&Expr> = match &function.args {
            FunctionArguments::List(list) => {
                if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
                    return Err(Error::new("42601", "cannot use DISTINCT with WITHIN GROUP"));
                }
                if !list.clauses.is_empty() {
                    return Err(Error::new("42601", "cannot use multiple ORDER BY clauses with WITHIN GROUP"));
                }
                list.args.iter().map(argument).collect::<Result<_, _>>()?
            }
            _ => Vec::new(),
        };
        let mut direct = Vec::with_capacity(exprs.len());
        for expr in &exprs {
            direct.push(self.expression(expr)?);
        }
        if standing.is_none() && !super::aggregate::is_ordered_set(name) {
            // The arguments in both places together are looked for, as those of a function.
            if !direct.is_empty() {
                return Err(self.no_ordered_set(name, direct, order_by));
            }
            let message = format!("{name} is not an ordered-set aggregate, so it cannot have WITHIN GROUP");
            return Err(Error::new("42809", message));
        }
        if order_by.is_empty() {
            return Err(without_group(name, &direct));
        }
        for (expr, planned) in exprs.iter().zip(&direct) {
            if let Planned::Typed { scalar, .. } = planned {
                self.check_direct(scalar).map_err(|error| error.at_node(*expr))?;
            }
        }
        let filter = match &function.filter {
            Some(filter) => Some(self.in_clause(Clause::Filter, |qcx| qcx.condition(filter, "argument of FILTER"))?),
            None => None,
        };
        match standing {
            Some(standing) => self.hypothetical(name, standing, direct, order_by, filter),
            None => self.percentile(name, direct, order_by, filter),
        }
    }

    /// What stands in front of WITHIN GROUP is one value for the group. Errors: 42803.
    fn check_direct(&mut self, scalar: &HirScalar) -> Result<(), Error> {
        let keys = self.level().group_keys.clone();
        let mut pending = vec![scalar];
        while let Some(scalar) = pending.pop() {
            if keys.contains(scalar) {
                continue;
            }
            let own = matches!(scalar, HirScalar::Column { level: 0, .. });
            if own || (scalar.contains_subquery() && !scalar.own_columns().is_empty()) {
                let message = "direct arguments of an ordered-set aggregate must use only grouped columns";
                return Err(Error::new("42803", message));
            }
            pending.extend(scalar.children());
        }
        Ok(())
    }

    fn percentile(
        &mut self,
        name: &str,
        mut direct: Vec<Planned>,
        order_by: &[OrderByExpr],
        filter: Option<HirScalar>,
    ) -> Result<HirAggregate, Error> {
        let [order] = order_by else { return Err(self.no_ordered_set(name, direct, order_by)) };
        let (mut value, mut typ) = self.settled(&order.expr)?;
        let fraction = match (name, direct.len()) {
            ("mode", 0) => None,
            ("percentile_cont" | "percentile_disc", 1) => direct.pop(),
            _ => return Err(self.no_ordered_set(name, direct, order_by)),
        };
        if name == "percentile_cont" && !typ.is_interval() {
            if category(&typ) != Category::Number {
                return Err(self.no_ordered_set(name, fraction.into_iter().collect(), order_by));
            }
            value = self.coerce_implicit(Planned::typed(value, typ), &ScalarType::Float8, |found| {
                format!("{found} is no number")
            })?;
            typ = ScalarType::Float8;
        }
        let mut fields = vec![("f1".to_owned(), value.clone(), typ.clone())];
        if let Some(fraction) = fraction {
            let many = matches!(fraction.known_type(), Some(ScalarType::Array(_)));
            let wanted = if many { ScalarType::Array(Box::new(ScalarType::Float8)) } else { ScalarType::Float8 };
            let shown = fraction.clone();
            let fraction = match self.coerce_implicit(fraction, &wanted, |found| format!("{found} is no fraction")) {
                Ok(fraction) => fraction,
                // An array literal of other numbers than double precision.
                Err(_) if many => self.coerce_explicit(shown, &wanted)?,
                Err(_) => return Err(self.no_ordered_set(name, vec![shown], order_by)),
            };
            fields.push(("f2".to_owned(), fraction, wanted));
        }
        let options = super::set::order_options(order)?;
        let column = match comparison_key::order(&value, &typ) {
            Some((key, typ)) => {
                fields.push(("key".to_owned(), key, typ));
                fields.len() - 1
            }
            None => 0,
        };
        let order_by = vec![ColumnOrder { column, ..options }];
        let func = match name {
            "mode" => AggregateFunc::Mode { order_by },
            "percentile_cont" => AggregateFunc::PercentileCont { order_by },
            _ => AggregateFunc::PercentileDisc { order_by },
        };
        let (record, arg_type) = super::function::record(fields)?;
        Ok(super::aggregate::finish(func, record, arg_type, false, filter))
    }

    /// The direct arguments are a row like those of the group: both come as fields of one record.
    fn hypothetical(
        &mut self,
        name: &str,
        standing: Standing,
        direct: Vec<Planned>,
        order_by: &[OrderByExpr],
        filter: Option<HirScalar>,
    ) -> Result<HirAggregate, Error> {
        if direct.len() != order_by.len() {
            let hint = format!(
                "To use the hypothetical-set aggregate {name}, the number of hypothetical direct arguments (here {}) must \
                 match the number of ordering columns (here {}).",
                direct.len(),
                order_by.len()
            );
            return Err(self.no_ordered_set(name, direct, order_by).with_hint(hint));
        }
        let (mut values, mut asked, mut orders) = (Vec::new(), Vec::new(), Vec::new());
        for (place, (arg, order)) in direct.into_iter().zip(order_by).enumerate() {
            let ordered = self.expression(&order.expr)?;
            let (both, typ) = self.coerce_common(vec![ordered, arg], "WITHIN GROUP")?;
            let key = |scalar| comparison_key::order(&scalar, &typ).unwrap_or_else(|| (scalar, typ.clone()));
            let mut both = both.into_iter().map(key);
            values.extend(both.next().map(|(scalar, typ)| (format!("f{}", place + 1), scalar, typ)));
            asked.extend(both.next().map(|(scalar, typ)| (format!("g{}", place + 1), scalar, typ)));
            orders.push(ColumnOrder { column: place, ..super::set::order_options(order)? });
        }
        values.extend(asked);
        let (record, arg_type) = super::function::record(values)?;
        let func = AggregateFunc::Hypothetical { standing, order_by: orders };
        Ok(super::aggregate::finish(func, record, arg_type, false, filter))
    }

    fn no_ordered_set(&mut self, name: &str, direct: Vec<Planned>, order_by: &[OrderByExpr]) -> Error {
        let mut shown = direct;
        for order in order_by {
            match self.expression(&order.expr) {
                Ok(planned) => shown.push(planned),
                Err(error) => return error,
            }
        }
        super::function::no_function(name, &shown)
    }
}

/// The error for a call without WITHIN GROUP.
pub(super) fn without_group(name: &str, args: &[Planned]) -> Error {
    let count = if name == "mode" { 1 } else { 2 };
    if standing(name).is_none() && args.len() != count {
        return super::function::no_function(name, args);
    }
    Error::new("42809", format!("WITHIN GROUP is required for ordered-set aggregate {name}"))
}

fn standing(name: &str) -> Option<Standing> {
    [Standing::Rank, Standing::DenseRank, Standing::PercentRank, Standing::CumeDist]
        .into_iter()
        .find(|standing| standing.name() == name)
}
