//! Grouping: D's columns lead the key, and a global aggregate has a row also where there is nothing to aggregate.

use expr::{Aggregate, AggregateFunc, Scalar};
use repr::{ColumnType, Datum, ScalarType};

use super::{Flat, Lowering, Outer};
use crate::hir::{HirAggregate, HirScalar};

impl Lowering {
    pub(super) fn reduce(
        &mut self,
        mut flat: Flat,
        group_key: Vec<HirScalar>,
        aggregates: Vec<HirAggregate>,
        global: bool,
        row: usize,
        outer: &Outer,
    ) -> Flat {
        let prefix = outer.arity();
        let mut key: Vec<Scalar> = (0..prefix).map(Scalar::Column).collect();
        for scalar in group_key {
            let scalar = self.scalar(scalar, &mut flat, row, outer);
            key.push(scalar);
        }
        let results: Vec<ColumnType> = aggregates.iter().map(|aggregate| aggregate.typ.clone()).collect();
        let mut lowered = Vec::with_capacity(aggregates.len());
        let mut defaults = Vec::with_capacity(aggregates.len());
        for aggregate in aggregates {
            defaults.push(over_no_rows(&aggregate.func, &aggregate.typ.scalar));
            let expr = self.scalar(aggregate.expr, &mut flat, row, outer);
            lowered.push(Aggregate {
                func: aggregate.func,
                expr,
                arg_type: aggregate.arg_type,
                distinct: aggregate.distinct,
            });
        }
        let reduced = flat.reduce(key, lowered, results);
        if !global {
            return reduced;
        }
        let reduced = self.bind(reduced);
        let present = reduced.clone().project((0..prefix).collect());
        let absent = outer.flat.clone().minus(present).map(defaults);
        Flat::union(vec![reduced, absent])
    }
}

/// What an aggregate yields over no rows.
fn over_no_rows(func: &AggregateFunc, typ: &ScalarType) -> Scalar {
    match func {
        AggregateFunc::Count => Scalar::literal(Datum::Int(0), ScalarType::Int8),
        AggregateFunc::AnyThree => Scalar::literal_false(),
        AggregateFunc::AllThree => Scalar::literal_true(),
        _ => Scalar::null(typ.clone()),
    }
}
