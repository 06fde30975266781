//! GROUP BY: expressions over the rows before grouping become expressions over the groups.

use expr::AggregateFunc;
use repr::ScalarType;

use super::scope::Scope;
use crate::error::Error;
use crate::hir::{HirAggregate, HirRelation, HirScalar};
use crate::interval_key;

/// The keys and aggregates of one SELECT, and where they stand in a group's row.
pub(super) struct Grouping {
    keys: Vec<HirScalar>,
    /// For each key the column of its value.
    columns: Vec<usize>,
    key_count: usize,
    /// The scope before grouping, for messages.
    scope: Scope,
    /// Named columns with their places in the text, for messages.
    references: Vec<(usize, usize)>,
}

impl Grouping {
    /// Groups `input`. Intervals are grouped by their key; the value that comes out is the least by bytes.
    pub(super) fn new(
        input: HirRelation,
        keys: Vec<(HirScalar, ScalarType)>,
        mut aggregates: Vec<HirAggregate>,
        global: bool,
        scope: Scope,
        references: Vec<(usize, usize)>,
    ) -> (HirRelation, Grouping) {
        let key_count = keys.len();
        let mut columns = Vec::with_capacity(key_count);
        let mut group_key = Vec::with_capacity(key_count);
        let mut plain = Vec::with_capacity(key_count);
        for (index, (key, typ)) in keys.into_iter().enumerate() {
            if typ.contains_interval() {
                columns.push(key_count + aggregates.len());
                aggregates.push(HirAggregate {
                    func: AggregateFunc::Min,
                    expr: key.clone(),
                    arg_type: typ.clone(),
                    distinct: false,
                    typ: typ.clone().nullable(),
                });
            } else {
                columns.push(index);
            }
            group_key.push(interval_key::of(key.clone(), &typ));
            plain.push(key);
        }
        let relation = HirRelation::Reduce { input: Box::new(input), group_key, aggregates, global };
        (relation, Grouping { keys: plain, columns, key_count, scope, references })
    }

    /// Turns an expression over the rows before grouping into one over the groups. Errors: 42803.
    pub(super) fn rewrite(&self, scalar: &mut HirScalar) -> Result<(), Error> {
        let mut error = None;
        self.rewrite_at(scalar, 0, &mut error);
        error.map_or(Ok(()), Err)
    }

    fn rewrite_at(&self, scalar: &mut HirScalar, depth: usize, error: &mut Option<Error>) {
        if let Some(place) = self.key_at(scalar, depth) {
            *scalar = HirScalar::Column { level: depth, index: self.columns[place] };
            return;
        }
        match scalar {
            // Deeper inside stands only what `aggregate IN (subquery)` compares: the subquery's own aggregates are columns.
            HirScalar::Aggregate(place) => {
                *scalar = HirScalar::Column { level: depth, index: self.key_count + *place };
            }
            HirScalar::Column { level, index } if *level == depth => {
                error.get_or_insert(self.ungrouped(*index, depth));
            }
            HirScalar::Exists(relation) | HirScalar::Select(relation) => self.rewrite_relation(relation, depth, error),
            HirScalar::Quantified { relation, predicate, .. } => {
                self.rewrite_relation(relation, depth, error);
                self.rewrite_at(predicate, depth + 1, error);
            }
            other => {
                for child in other.children_mut() {
                    self.rewrite_at(child, depth, error);
                }
            }
        }
    }

    fn rewrite_relation(&self, relation: &mut HirRelation, depth: usize, error: &mut Option<Error>) {
        relation.visit_scalars_mut(depth + 1, &mut |scalar, depth| self.rewrite_at(scalar, depth, error));
    }

    /// The key that `scalar`, at `depth`, is.
    fn key_at(&self, scalar: &HirScalar, depth: usize) -> Option<usize> {
        self.keys.iter().position(|key| match (key, scalar) {
            (HirScalar::Column { level: key_level, index: key_index }, HirScalar::Column { level, index }) => {
                *level == key_level + depth && index == key_index
            }
            (HirScalar::Column { .. }, _) | (_, HirScalar::Column { .. }) => false,
            (key, scalar) if depth == 0 => key == scalar,
            (key, scalar) => {
                let mut key = key.clone();
                key.shift_in(depth);
                key == *scalar
            }
        })
    }

    fn ungrouped(&self, index: usize, depth: usize) -> Error {
        let item = self.scope.items.iter().find(|item| item.index == index);
        let shown = match item {
            Some(item) => match item.table.map(|table| &self.scope.tables[table].name) {
                Some(table) => format!("{table}.{}", item.name),
                None => item.name.clone(),
            },
            None => format!("#{index}"),
        };
        let message = if depth == 0 {
            format!("column \"{shown}\" must appear in the GROUP BY clause or be used in an aggregate function")
        } else {
            format!("subquery uses ungrouped column \"{shown}\" from outer query")
        };
        let error = Error::new("42803", message);
        match self.references.iter().find(|(other, _)| *other == index) {
            Some((_, position)) => error.at(*position),
            None => error,
        }
    }
}
