//! Grouping: D's columns lead the key, and some groups have a row also where there is nothing to aggregate.

use expr::{Aggregate, AggregateFunc, Scalar};
use repr::{ColumnType, Datum, Row, ScalarType};

use super::{Flat, Lowering, Outer};
use crate::hir::{HirAggregate, HirScalar};

/// How a Reduce groups.
pub(super) struct Grouping {
    pub(super) group_key: Vec<HirScalar>,
    pub(super) aggregates: Vec<HirAggregate>,
    pub(super) always: Vec<Row>,
    pub(super) expected_group_size: Option<u64>,
}

impl Lowering {
    pub(super) fn reduce(&mut self, mut flat: Flat, grouping: Grouping, row: usize, outer: &Outer) -> Flat {
        let Grouping { group_key, aggregates, always, expected_group_size } = grouping;
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
        let reduced = flat.reduce(key, lowered, results).with_group_size(expected_group_size);
        if always.is_empty() {
            return reduced;
        }
        let reduced = self.bind(reduced);
        let keys = reduced.columns[prefix..reduced.arity() - defaults.len()].to_vec();
        let mut parts = vec![reduced.clone()];
        for group in always {
            let values = literals(&group, &keys);
            let is_group = values.iter().enumerate().map(|(place, value)| equals(prefix + place, value));
            let present = reduced.clone().filter(is_group.collect()).project((0..prefix).collect());
            let row = values.into_iter().chain(defaults.iter().cloned()).collect();
            parts.push(outer.flat.clone().minus(present).map(row));
        }
        Flat::union(parts)
    }
}

/// The values of a group's key.
fn literals(group: &Row, keys: &[ColumnType]) -> Vec<Scalar> {
    let kinds: Vec<_> = keys.iter().map(|key| key.scalar.kind()).collect();
    let literal = |(datum, key): (Datum<'_>, &ColumnType)| match datum {
        Datum::Null => Scalar::null(key.scalar.clone()),
        datum => Scalar::literal(datum, key.scalar.clone()),
    };
    group.unpack(&kinds).into_iter().zip(keys).map(literal).collect()
}

/// The column has the literal's value, or both are NULL.
fn equals(column: usize, value: &Scalar) -> Scalar {
    match value {
        Scalar::Literal(_, typ) if !value.is_literal_null() => {
            Scalar::compare("=", Scalar::Column(column), value.clone(), typ.scalar.clone())
        }
        _ => Scalar::Column(column).is_null(),
    }
}

/// What an aggregate yields over no rows.
fn over_no_rows(func: &AggregateFunc, typ: &ScalarType) -> Scalar {
    match func.default_over_no_rows() {
        Datum::Null => Scalar::null(typ.clone()),
        datum => Scalar::literal(datum, typ.clone()),
    }
}
