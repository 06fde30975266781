//! A MIR relation under construction, with the types of its columns at hand.

use expr::relation::non_null_columns;
use expr::{Aggregate, ColumnOrder, Relation, Scalar, TableFunc};
use repr::{ColumnType, Datum, ScalarType};

use crate::comparison_key;

/// A relation and the types of its columns.
#[derive(Clone, Debug)]
pub(super) struct Flat {
    pub(super) relation: Relation,
    pub(super) columns: Vec<ColumnType>,
}

impl Flat {
    /// One row without columns.
    pub(super) fn unit() -> Flat {
        Flat { relation: Relation::unit(), columns: Vec::new() }
    }

    pub(super) fn arity(&self) -> usize {
        self.columns.len()
    }

    fn is_unit(&self) -> bool {
        self.columns.is_empty() && self.relation == Relation::unit()
    }

    pub(super) fn map(mut self, scalars: Vec<Scalar>) -> Flat {
        if scalars.is_empty() {
            return self;
        }
        for scalar in &scalars {
            let column = scalar.typ(&self.columns);
            self.columns.push(column);
        }
        Flat { relation: self.relation.map(scalars), columns: self.columns }
    }

    pub(super) fn filter(self, predicates: Vec<Scalar>) -> Flat {
        if predicates.is_empty() {
            return self;
        }
        let mut columns = self.columns;
        for column in predicates.iter().flat_map(non_null_columns) {
            columns[column].nullable = false;
        }
        Flat { relation: self.relation.filter(predicates), columns }
    }

    pub(super) fn project(self, outputs: Vec<usize>) -> Flat {
        if outputs.len() == self.arity() && outputs.iter().enumerate().all(|(place, output)| place == *output) {
            return self;
        }
        let columns = outputs.iter().map(|output| self.columns[*output].clone()).collect();
        Flat { relation: self.relation.project(outputs), columns }
    }

    pub(super) fn flat_map(mut self, func: TableFunc, args: Vec<Scalar>, columns: Vec<ColumnType>) -> Flat {
        self.columns.extend(columns);
        Flat { relation: self.relation.flat_map(func, args), columns: self.columns }
    }

    pub(super) fn product(self, other: Flat) -> Flat {
        self.join(other, &[])
    }

    /// Joins on pairs of a left and a right column, equal by bytes, null-safe.
    pub(super) fn join(self, other: Flat, on: &[(usize, usize)]) -> Flat {
        let arity = self.arity();
        let classes =
            on.iter().map(|(left, right)| vec![Scalar::Column(*left), Scalar::Column(arity + right)]).collect();
        self.join_on(other, classes)
    }

    /// Joins on classes of expressions over the columns of both sides.
    pub(super) fn join_on(self, other: Flat, classes: Vec<Vec<Scalar>>) -> Flat {
        if self.is_unit() {
            return other;
        }
        if other.is_unit() {
            return self;
        }
        let columns = self.columns.into_iter().chain(other.columns).collect();
        Flat { relation: Relation::join(vec![self.relation, other.relation], classes), columns }
    }

    pub(super) fn reduce(self, group_key: Vec<Scalar>, aggregates: Vec<Aggregate>, results: Vec<ColumnType>) -> Flat {
        let columns = group_key.iter().map(|key| key.typ(&self.columns)).chain(results).collect();
        Flat { relation: self.relation.reduce(group_key, aggregates), columns }
    }

    /// The distinct values, by bytes, of some columns.
    pub(super) fn distinct_by(self, columns: &[usize]) -> Flat {
        self.reduce(columns.iter().copied().map(Scalar::Column).collect(), Vec::new(), Vec::new())
    }

    /// Each row once, as SQL compares: of rows that differ in bytes only, the least.
    pub(super) fn distinct(self) -> Flat {
        let arity = self.arity();
        let keyed: Vec<usize> = (0..arity).filter(|column| self.columns[*column].scalar.equals_by_key()).collect();
        if keyed.is_empty() {
            return self.distinct_by(&(0..arity).collect::<Vec<_>>());
        }
        let keys = keyed
            .iter()
            .map(|column| comparison_key::of_scalar(Scalar::Column(*column), &self.columns[*column].scalar));
        let keys = keys.collect();
        let group = (0..arity).filter(|column| !keyed.contains(column)).chain(arity..arity + keyed.len());
        let group = group.collect();
        let flat = self.map(keys);
        Flat { relation: flat.relation.top_k(group, Vec::new(), Some(1), 0), columns: flat.columns }
            .project((0..arity).collect())
    }

    /// `prefix` columns lead every group; `group` and `order` count from behind them.
    pub(super) fn top_k(
        self,
        prefix: usize,
        group: Vec<usize>,
        mut order: Vec<ColumnOrder>,
        limit: Option<u64>,
        offset: u64,
    ) -> Flat {
        let group = (0..prefix).chain(group.into_iter().map(|column| prefix + column)).collect();
        for column in &mut order {
            column.column += prefix;
        }
        Flat { relation: self.relation.top_k(group, order, limit, offset), columns: self.columns }
    }

    /// Says how many rows are expected to share a key of the grouping that this is.
    pub(super) fn with_group_size(mut self, size: Option<u64>) -> Flat {
        match &mut self.relation {
            Relation::Reduce { expected_group_size, .. } | Relation::TopK { expected_group_size, .. } => {
                *expected_group_size = size;
            }
            _ => {}
        }
        self
    }

    pub(super) fn negate(self) -> Flat {
        Flat { relation: self.relation.negate(), columns: self.columns }
    }

    pub(super) fn threshold(self) -> Flat {
        Flat { relation: self.relation.threshold(), columns: self.columns }
    }

    /// The sum of several relations of the same types; a column may be NULL if it may be in any of them.
    pub(super) fn union(inputs: Vec<Flat>) -> Flat {
        let mut columns = inputs.first().expect("a union has inputs").columns.clone();
        for input in &inputs {
            for (column, other) in columns.iter_mut().zip(&input.columns) {
                column.nullable |= other.nullable;
            }
        }
        let mut relations = Vec::new();
        for input in inputs {
            match input.relation {
                Relation::Union { inputs } => relations.extend(inputs),
                other => relations.push(other),
            }
        }
        Flat { relation: Relation::union(relations), columns }
    }

    /// Rows of `self` that are not in `other`; both are distinct, and `other` is contained in `self`.
    pub(super) fn minus(self, other: Flat) -> Flat {
        Flat::union(vec![self, other.negate()])
    }

    /// Appends columns of NULL.
    pub(super) fn pad(self, columns: &[ColumnType]) -> Flat {
        self.map(columns.iter().map(|column| Scalar::null(column.scalar.clone())).collect())
    }

    /// Appends one constant column.
    pub(super) fn flag(self, value: bool) -> Flat {
        self.map(vec![Scalar::literal(Datum::Bool(value), ScalarType::Bool)])
    }
}
