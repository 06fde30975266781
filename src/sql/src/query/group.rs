//! GROUP BY: expressions over the rows before grouping become expressions over the groups.

use std::collections::{BTreeMap, BTreeSet};

use expr::{AggregateFunc, TableFunc};
use repr::{Datum, Row, ScalarType};

use super::grouping_sets::{GroupBy, grouping_bits};
use super::operator::comparison_call;
use super::scope::Scope;
use crate::comparison_key;
use crate::error::Error;
use crate::hir::{HirAggregate, HirRelation, HirScalar};

/// What is grouped and how.
pub(super) struct Ungrouped {
    /// The place of this SELECT's level, by which its aggregates name it.
    pub(super) owner: usize,
    pub(super) input: HirRelation,
    /// The number of columns of `input`.
    pub(super) arity: usize,
    pub(super) group_by: GroupBy,
    /// How many rows are expected to share a key.
    pub(super) group_size: Option<u64>,
    pub(super) aggregates: Vec<HirAggregate>,
    /// For each GROUPING the keys it asks for.
    pub(super) groupings: Vec<Vec<usize>>,
    /// The scope before grouping, for messages.
    pub(super) scope: Scope,
    /// Named columns with their places in the text, for messages.
    pub(super) references: Vec<(usize, usize)>,
}

/// The keys and aggregates of one SELECT, and where they stand in a group's row.
pub(super) struct Grouping {
    owner: usize,
    keys: Vec<HirScalar>,
    /// For each key the column of its value.
    columns: Vec<usize>,
    /// The number of key columns; the aggregates follow.
    key_count: usize,
    /// The types of the columns.
    pub(super) types: BTreeMap<usize, ScalarType>,
    groupings: Vec<Vec<usize>>,
    sets: Vec<BTreeSet<usize>>,
    scope: Scope,
    references: Vec<(usize, usize)>,
}

impl Grouping {
    /// Groups the input. Intervals are grouped by their key; the value that comes out is the least by bytes.
    ///
    /// With several grouping sets each row is taken once for each of them, the keys that the set leaves out NULL, and the
    /// number of the set is the last key.
    pub(super) fn new(ungrouped: Ungrouped) -> (HirRelation, Grouping) {
        let Ungrouped { group_size, owner, mut input, arity, group_by, mut aggregates, groupings, scope, references } =
            ungrouped;
        let GroupBy { keys, sets, .. } = group_by;
        let plain: Vec<HirScalar> = keys.iter().map(|(key, _)| key.clone()).collect();
        let several = sets.len() > 1;
        let (keys, set_number) = match several {
            false => (keys, None),
            true => {
                let (expanded, keys, number) = expand(input, arity, keys, &sets);
                input = expanded;
                (keys, Some(number))
            }
        };
        let key_count = keys.len() + usize::from(several);
        let mut columns = Vec::with_capacity(key_count);
        let mut group_key = Vec::with_capacity(key_count);
        let mut types: BTreeMap<usize, ScalarType> =
            aggregates.iter().enumerate().map(|(place, one)| (key_count + place, one.typ.scalar.clone())).collect();
        let mut nulls = Row::default();
        for (index, (key, typ)) in keys.into_iter().enumerate() {
            let column = if typ.equals_by_key() { key_count + aggregates.len() } else { index };
            if typ.equals_by_key() {
                aggregates.push(HirAggregate {
                    func: AggregateFunc::Min,
                    expr: key.clone(),
                    arg_type: typ.clone(),
                    distinct: false,
                    typ: typ.clone().nullable(),
                });
            }
            columns.push(column);
            group_key.push(comparison_key::of(key, &typ));
            types.insert(column, typ);
            nulls.push(Datum::Null);
        }
        if let Some(number) = set_number {
            types.insert(group_key.len(), ScalarType::Int4);
            group_key.push(number);
        }
        let always = sets.iter().enumerate().filter(|(_, set)| set.is_empty()).map(|(number, _)| {
            let mut group = nulls.clone();
            if several {
                group.push(Datum::Int(number as i64));
            }
            group
        });
        let relation = HirRelation::Reduce {
            input: Box::new(input),
            group_key,
            aggregates,
            always: always.collect(),
            expected_group_size: group_size,
        };
        (relation, Grouping { owner, keys: plain, columns, key_count, types, groupings, sets, scope, references })
    }

    /// The number of columns of a group's row.
    pub(super) fn arity(&self) -> usize {
        self.types.keys().next_back().map_or(self.key_count, |last| self.key_count.max(last + 1))
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
            // Deeper inside, a subquery's own aggregates are columns already; those of enclosing SELECTs wait for these.
            HirScalar::Aggregate { owner, place } if *owner == self.owner => {
                *scalar = HirScalar::Column { level: depth, index: self.key_count + *place };
            }
            HirScalar::Grouping(place) => *scalar = self.grouping_of(&self.groupings[*place], depth),
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

    /// The value of a GROUPING, by the number of the row's set.
    fn grouping_of(&self, keys: &[usize], depth: usize) -> HirScalar {
        let mut sets = self.sets.iter().map(|set| grouping_bits(keys, set)).enumerate().rev();
        let last = sets.next().map_or_else(|| HirScalar::null(ScalarType::Int4), |(_, bits)| bits);
        sets.fold(last, |others, (number, bits)| {
            let column = HirScalar::Column { level: depth, index: self.key_count - 1 };
            let number = HirScalar::literal(Datum::Int(number as i64), ScalarType::Int4);
            HirScalar::if_then_else(comparison_call("=", column, number, &ScalarType::Int4), bits, others)
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

/// Each row once for each set, with the keys as columns, NULL where the set leaves them out. Returns the keys there, and the
/// number of the set.
fn expand(
    input: HirRelation,
    arity: usize,
    keys: Vec<(HirScalar, ScalarType)>,
    sets: &[BTreeSet<usize>],
) -> (HirRelation, Vec<(HirScalar, ScalarType)>, HirScalar) {
    let (scalars, types): (Vec<HirScalar>, Vec<ScalarType>) = keys.into_iter().unzip();
    let count = scalars.len();
    let mut args = Vec::with_capacity(sets.len() * (count + 1));
    for (number, set) in sets.iter().enumerate() {
        args.push(HirScalar::literal(Datum::Int(number as i64), ScalarType::Int4));
        args.extend(types.iter().enumerate().map(|(key, typ)| match set.contains(&key) {
            true => HirScalar::column(arity + key),
            false => HirScalar::null(typ.clone()),
        }));
    }
    let columns: Vec<ScalarType> = std::iter::once(ScalarType::Int4).chain(types.iter().cloned()).collect();
    let func = TableFunc::Wrap { columns };
    let columns = func.output_types();
    let input = HirRelation::FlatMap { input: Box::new(input.map(scalars)), func, args, columns };
    let number = HirScalar::column(arity + count);
    let keys = (arity + count + 1..).map(HirScalar::column).zip(types).collect();
    (input, keys, number)
}
