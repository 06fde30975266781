//! Column types and unique keys of relations, bottom up.
//!
//! A key is a set of columns of which no two rows (with their multiplicities) agree. Nothing is assumed through Union or
//! Negate: there multiplicities may be anything.

use std::collections::{BTreeMap, BTreeSet};

use repr::row::skip_datum;
use repr::{ColumnType, Diff, Kind, RelationType, Row, ScalarType};

use super::Relation;
use crate::aggregate::{Aggregate, AggregateFunc, Regression, output_type};
use crate::func::FuncKind;
use crate::scalar::{Scalar, with_stack};

/// Most keys that are tracked for one relation.
const KEYS_MAX: usize = 16;

/// Most rows of a constant that are looked through for unique columns.
const CONSTANT_ROWS_EXAMINED_MAX: usize = 10_000;

impl Relation {
    /// The types and keys of the output. Cost: walks the whole expression down to its Gets.
    pub fn typ(&self) -> RelationType {
        with_stack(|| {
            let inputs: Vec<RelationType> = match self {
                // The values are reached through the types in their Gets.
                Relation::Let { body, .. } | Relation::LetRec { body, .. } => vec![body.typ()],
                other => other.children().into_iter().map(Relation::typ).collect(),
            };
            self.typ_with_inputs(&inputs)
        })
    }

    /// The kinds of the output columns.
    pub fn kinds(&self) -> Vec<Kind> {
        self.typ().kinds()
    }

    /// The number of output columns.
    pub fn arity(&self) -> usize {
        let mut added = 0;
        let mut relation = self;
        loop {
            match relation {
                Relation::Constant { typ, .. } | Relation::Get { typ, .. } => return added + typ.arity(),
                Relation::Let { body, .. } | Relation::LetRec { body, .. } => relation = body,
                Relation::Project { outputs, .. } => return added + outputs.len(),
                Relation::Map { input, scalars } => {
                    added += scalars.len();
                    relation = input;
                }
                Relation::FlatMap { input, func, .. } => {
                    added += func.output_arity();
                    relation = input;
                }
                Relation::Filter { input, .. }
                | Relation::TopK { input, .. }
                | Relation::Negate { input }
                | Relation::Threshold { input }
                | Relation::ArrangeBy { input, .. } => relation = input,
                Relation::Join { inputs, .. } => {
                    return added + with_stack(|| inputs.iter().map(Relation::arity).sum::<usize>());
                }
                Relation::Reduce { group_key, aggregates, .. } => return added + group_key.len() + aggregates.len(),
                Relation::Union { inputs } => relation = inputs.first().expect("a union has inputs"),
            }
        }
    }

    /// The types and keys of the output, from those of the inputs in the order of [`Relation::children`]; of Let and
    /// LetRec only the last one, the body's, is looked at.
    pub fn typ_with_inputs(&self, inputs: &[RelationType]) -> RelationType {
        match self {
            Relation::Constant { typ, .. } | Relation::Get { typ, .. } => typ.clone(),
            Relation::Let { .. } | Relation::LetRec { .. } => inputs.last().expect("the body's type").clone(),
            Relation::Project { outputs, .. } => project(&inputs[0], outputs),
            Relation::Map { scalars, .. } => {
                let mut typ = inputs[0].clone();
                for scalar in scalars {
                    let column = scalar.typ(&typ.columns);
                    typ.columns.push(column);
                }
                typ
            }
            Relation::FlatMap { func, .. } => {
                let mut columns = inputs[0].columns.clone();
                columns.extend(func.output_types());
                RelationType::new(columns)
            }
            Relation::Filter { predicates, .. } => filter(inputs[0].clone(), predicates),
            Relation::Join { equivalences, .. } => join(inputs, equivalences),
            Relation::Reduce { group_key, aggregates, .. } => reduce(&inputs[0], group_key, aggregates),
            Relation::TopK { group_key, limit, .. } => {
                let mut typ = inputs[0].clone();
                if *limit == Some(1) {
                    typ.keys.push(group_key.clone());
                    typ.keys = minimal_keys(typ.keys);
                }
                typ
            }
            Relation::Negate { .. } => RelationType::new(inputs[0].columns.clone()),
            Relation::Threshold { .. } | Relation::ArrangeBy { .. } => inputs[0].clone(),
            Relation::Union { .. } => {
                let mut columns = inputs[0].columns.clone();
                for input in &inputs[1..] {
                    for (column, other) in columns.iter_mut().zip(&input.columns) {
                        column.nullable |= other.nullable;
                    }
                }
                RelationType::new(columns)
            }
        }
    }
}

/// Key columns, then aggregates. The group is a key, and so is an input's key that survives in it.
fn reduce(input: &RelationType, group_key: &[Scalar], aggregates: &[Aggregate]) -> RelationType {
    let mut columns: Vec<_> = group_key.iter().map(|key| key.typ(&input.columns)).collect();
    for aggregate in aggregates {
        columns.push(ColumnType {
            scalar: output_type(&aggregate.func, &aggregate.arg_type),
            nullable: aggregate_nullable(aggregate, input),
        });
    }
    let mut keys = vec![(0..group_key.len()).collect()];
    keys.extend(kept_keys(&input.keys, |column| group_key.iter().position(|key| *key == Scalar::Column(column))));
    RelationType { columns, keys: minimal_keys(keys) }
}

/// Whether an aggregate over a group of at least one row may be NULL.
fn aggregate_nullable(aggregate: &Aggregate, input: &RelationType) -> bool {
    match &aggregate.func {
        AggregateFunc::Count
        | AggregateFunc::Regression(Regression::Count)
        | AggregateFunc::Hypothetical { .. }
        | AggregateFunc::Window(_) => false,
        // NULL over one row, and where all values in the records are NULL.
        AggregateFunc::StddevSamp
        | AggregateFunc::VarSamp
        | AggregateFunc::StringAgg { .. }
        | AggregateFunc::ArrayAgg { .. }
        | AggregateFunc::MapAgg { .. }
        | AggregateFunc::Regression(_)
        | AggregateFunc::PercentileDisc { .. }
        | AggregateFunc::PercentileCont { .. }
        | AggregateFunc::Mode { .. } => true,
        // NULL where FILTER, which makes a row's argument NULL, leaves nothing.
        AggregateFunc::ListAgg { .. }
        | AggregateFunc::JsonbAgg { .. }
        | AggregateFunc::JsonbObjectAgg { .. }
        | AggregateFunc::Sum
        | AggregateFunc::Avg
        | AggregateFunc::Min
        | AggregateFunc::Max
        | AggregateFunc::BoolAnd
        | AggregateFunc::BoolOr
        | AggregateFunc::BitAnd
        | AggregateFunc::BitOr
        | AggregateFunc::BitXor
        | AggregateFunc::StddevPop
        | AggregateFunc::VarPop
        | AggregateFunc::AnyThree
        | AggregateFunc::AllThree => aggregate.expr.nullable(&input.columns),
    }
}

/// Keys all of whose columns are kept, renumbered.
fn kept_keys(keys: &[Vec<usize>], kept: impl Fn(usize) -> Option<usize>) -> Vec<Vec<usize>> {
    keys.iter().filter_map(|key| key.iter().map(|column| kept(*column)).collect()).collect()
}

/// Sorts keys, and drops those that contain another.
fn minimal_keys(keys: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let mut sets: Vec<BTreeSet<usize>> = keys.into_iter().map(|key| key.into_iter().collect()).collect();
    sets.sort_by(|left, right| (left.len(), left).cmp(&(right.len(), right)));
    let mut minimal: Vec<BTreeSet<usize>> = Vec::new();
    for set in sets {
        if minimal.len() < KEYS_MAX && !minimal.iter().any(|smaller| smaller.is_subset(&set)) {
            minimal.push(set);
        }
    }
    minimal.into_iter().map(|set| set.into_iter().collect()).collect()
}

fn project(input: &RelationType, outputs: &[usize]) -> RelationType {
    let columns = outputs.iter().map(|output| input.columns[*output].clone()).collect();
    let keys = kept_keys(&input.keys, |column| outputs.iter().position(|output| *output == column));
    RelationType { columns, keys: minimal_keys(keys) }
}

fn filter(mut typ: RelationType, predicates: &[Scalar]) -> RelationType {
    let mut constants = BTreeSet::new();
    for predicate in predicates {
        for column in non_null_columns(predicate) {
            typ.columns[column].nullable = false;
        }
        if let Scalar::Call { func, args, types } = predicate
            && func.kind == FuncKind::Operator
            && func.name == "="
            && let [Scalar::Column(column), Scalar::Literal(Ok(_), _)]
            | [Scalar::Literal(Ok(_), _), Scalar::Column(column)] = &args[..]
            && !types.args[0].equals_by_key()
        {
            constants.insert(*column);
        }
    }
    if !constants.is_empty() {
        for key in &mut typ.keys {
            key.retain(|column| !constants.contains(column));
        }
        typ.keys = minimal_keys(std::mem::take(&mut typ.keys));
    }
    typ
}

/// Columns that are not NULL in any row for which `predicate` is true.
pub fn non_null_columns(predicate: &Scalar) -> BTreeSet<usize> {
    let mut columns = BTreeSet::new();
    let mut pending = vec![predicate];
    while let Some(scalar) = pending.pop() {
        match scalar {
            Scalar::Column(column) => {
                columns.insert(*column);
            }
            Scalar::And(args) => pending.extend(args),
            // NULL in, NULL out: what is true, or not NULL, had no NULL argument.
            Scalar::Call { func, args, .. } if func.strict => pending.extend(args),
            Scalar::Not(inner) => match &**inner {
                // NOT (x IS NULL): x is not NULL, so that its strict arguments are not either.
                Scalar::IsNull(inner) if is_strict_tree(inner) => pending.push(inner),
                Scalar::Not(twice) => pending.push(twice),
                inner @ (Scalar::Column(_) | Scalar::Call { .. }) => pending.push(inner),
                _ => {}
            },
            _ => {}
        }
    }
    columns
}

/// True if "not NULL" carries from the root to everything [`non_null_columns`] would visit under it: AND does not, since
/// false AND NULL is false.
fn is_strict_tree(scalar: &Scalar) -> bool {
    !scalar.any(|node| matches!(node, Scalar::And(_) | Scalar::Not(_)))
}

/// Types and keys of a join.
fn join(inputs: &[RelationType], equivalences: &[Vec<Scalar>]) -> RelationType {
    let mut columns: Vec<ColumnType> = inputs.iter().flat_map(|input| input.columns.iter().cloned()).collect();
    // Equality is by bytes: what equals a value that is never NULL is never NULL.
    for class in equivalences {
        if class.iter().any(|scalar| !scalar.nullable(&columns)) {
            for scalar in class {
                if let Scalar::Column(column) = scalar {
                    columns[*column].nullable = false;
                }
            }
        }
    }
    RelationType { keys: join_keys(inputs, equivalences), columns }
}

/// Keys of a join. From each input with a key as a start, inputs are added one of whose keys is bound by the columns there
/// are: each row finds at most one partner. If all can be added, the start's keys are keys of the join. The union of one
/// key of each input always is.
fn join_keys(inputs: &[RelationType], equivalences: &[Vec<Scalar>]) -> Vec<Vec<usize>> {
    let mut offsets = Vec::with_capacity(inputs.len());
    let mut owner = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        offsets.push(owner.len());
        owner.extend(std::iter::repeat_n(index, input.arity()));
    }
    let shifted = |index: usize| {
        inputs[index].keys.iter().map(move |key| key.iter().map(|column| column + offsets_of(inputs, index)).collect())
    };
    let bound = |column: usize, present: &BTreeSet<usize>| {
        equivalences.iter().any(|class| {
            class.contains(&Scalar::Column(column))
                && class.iter().any(|other| {
                    *other != Scalar::Column(column)
                        && other.support().iter().all(|column| present.contains(&owner[*column]))
                })
        })
    };
    let mut keys: Vec<Vec<usize>> = Vec::new();
    for start in 0..inputs.len() {
        let mut present = BTreeSet::from([start]);
        while let Some(next) = (0..inputs.len()).find(|next| {
            !present.contains(next)
                && inputs[*next]
                    .keys
                    .iter()
                    .any(|key| key.iter().all(|column| bound(offsets[*next] + column, &present)))
        }) {
            present.insert(next);
        }
        if present.len() == inputs.len() {
            keys.extend(shifted(start));
        }
    }
    let firsts: Option<Vec<Vec<usize>>> = (0..inputs.len()).map(|index| shifted(index).next()).collect();
    keys.extend(firsts.map(|firsts| firsts.concat()));
    minimal_keys(keys)
}

fn offsets_of(inputs: &[RelationType], index: usize) -> usize {
    inputs[..index].iter().map(RelationType::arity).sum()
}

/// Keys that the rows of a constant show: none of the columns for at most one row, single columns, all columns.
pub(super) fn constant_keys(rows: &[(Row, Diff)], typ: &RelationType) -> Vec<Vec<usize>> {
    if rows.iter().any(|(_, diff)| *diff != Diff::ONE) || rows.len() > CONSTANT_ROWS_EXAMINED_MAX {
        return Vec::new();
    }
    if rows.len() <= 1 {
        return vec![Vec::new()];
    }
    let kinds = typ.kinds();
    let mut seen: BTreeMap<usize, BTreeSet<&[u8]>> = (0..kinds.len()).map(|column| (column, BTreeSet::new())).collect();
    let mut distinct = BTreeSet::new();
    let mut all_distinct = true;
    for (row, _) in rows {
        let mut bytes = row.as_bytes();
        for (column, kind) in kinds.iter().enumerate() {
            let datum = skip_datum(&mut bytes, *kind);
            if let Some(values) = seen.get_mut(&column)
                && !values.insert(datum)
            {
                seen.remove(&column);
            }
        }
        all_distinct &= distinct.insert(row.as_bytes());
    }
    let mut keys: Vec<Vec<usize>> = seen.into_keys().map(|column| vec![column]).collect();
    if keys.is_empty() && all_distinct {
        keys.push((0..kinds.len()).collect());
    }
    keys
}

/// True if two types may meet in one column: equal but for modifiers.
pub(super) fn same_column_type(left: &ScalarType, right: &ScalarType) -> bool {
    match (left, right) {
        (ScalarType::Record(left), ScalarType::Record(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|((_, left), (_, right))| same_column_type(&left.scalar, &right.scalar))
        }
        (ScalarType::Array(left), ScalarType::Array(right))
        | (ScalarType::List(left), ScalarType::List(right))
        | (ScalarType::Map(left), ScalarType::Map(right)) => same_column_type(left, right),
        (left, right) => left.kind() == right.kind(),
    }
}
