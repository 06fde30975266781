//! Joins, one input at a time, matching by bytes and null-safe.

use std::collections::{BTreeMap, BTreeSet};

use repr::{Arena, Datum, Diff, Kind, Row};

use super::{Collection, Interpreter, OutOfWork};
use crate::error::EvalError;
use crate::relation::Relation;
use crate::scalar::Scalar;

/// What the next input is matched by.
struct Step {
    /// Over the columns so far.
    left: Vec<Scalar>,
    /// Over the input's own columns.
    right: Vec<Scalar>,
    /// Pairs that are equal in the result, over all columns so far and the input's: what the keys do not cover.
    checks: Vec<(Scalar, Scalar)>,
}

impl Interpreter<'_> {
    /// The inputs are joined from the first to the last. An equivalence is applied as soon as two of its expressions are
    /// bound. An expression that fails gives an error for the row it is over, whether or not that row finds a partner.
    pub(super) fn join(&mut self, inputs: &[Relation], equivalences: &[Vec<Scalar>]) -> Result<Collection, OutOfWork> {
        let mut output = Collection::from_rows([(Row::default(), Diff::ONE)]);
        let mut kinds: Vec<Kind> = Vec::new();
        let mut applied: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); equivalences.len()];
        for input in inputs {
            let input_kinds = input.kinds();
            let step = plan_step(kinds.len(), input_kinds.len(), equivalences, &mut applied);
            let input = self.run(input)?;
            output = self.join_step(output, &kinds, input, &input_kinds, &step)?;
            kinds.extend(input_kinds);
        }
        Ok(output)
    }

    fn join_step(
        &mut self,
        left: Collection,
        left_kinds: &[Kind],
        right: Collection,
        right_kinds: &[Kind],
        step: &Step,
    ) -> Result<Collection, OutOfWork> {
        let mut output = Collection { rows: BTreeMap::new(), errors: left.errors };
        right.errors.into_iter().for_each(|(error, diff)| output.add_error(error, diff));
        let mut arena = Arena::new();
        let mut by_key: BTreeMap<Row, Vec<(&Row, Diff)>> = BTreeMap::new();
        for (row, diff) in &right.rows {
            arena.clear();
            match pack(&step.right, &row.unpack(right_kinds), &arena) {
                Ok(key) => by_key.entry(key).or_default().push((row, *diff)),
                Err(error) => output.add_error(error, *diff),
            }
        }
        let kinds: Vec<Kind> = left_kinds.iter().chain(right_kinds).copied().collect();
        for (row, diff) in &left.rows {
            arena.clear();
            let key = match pack(&step.left, &row.unpack(left_kinds), &arena) {
                Ok(key) => key,
                Err(error) => {
                    output.add_error(error, *diff);
                    continue;
                }
            };
            for (partner, partner_diff) in by_key.get(&key).into_iter().flatten() {
                self.charge(1)?;
                let diff = diff.times(*partner_diff);
                let mut joined = row.clone();
                joined.push_packed(partner.as_bytes());
                match checks_hold(&step.checks, &joined, &kinds) {
                    Ok(true) => output.add_row(joined, diff),
                    Ok(false) => {}
                    Err(error) => output.add_error(error, diff),
                }
            }
        }
        Ok(output)
    }
}

fn pack(scalars: &[Scalar], datums: &[Datum<'_>], arena: &Arena) -> Result<Row, EvalError> {
    let mut row = Row::default();
    for scalar in scalars {
        row.push(scalar.eval(datums, arena)?);
    }
    Ok(row)
}

/// True if both sides of each pair are the same value, by bytes.
fn checks_hold(checks: &[(Scalar, Scalar)], row: &Row, kinds: &[Kind]) -> Result<bool, EvalError> {
    if checks.is_empty() {
        return Ok(true);
    }
    let arena = Arena::new();
    let datums = row.unpack(kinds);
    for (left, right) in checks {
        let left = Row::pack([left.eval(&datums, &arena)?]);
        let right = Row::pack([right.eval(&datums, &arena)?]);
        if left != right {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Decides what the input at columns `[start, start + arity)` is matched by. `applied` remembers the expressions of each
/// class that are known to be equal so far.
fn plan_step(start: usize, arity: usize, equivalences: &[Vec<Scalar>], applied: &mut [BTreeSet<usize>]) -> Step {
    let mut step = Step { left: Vec::new(), right: Vec::new(), checks: Vec::new() };
    let end = start + arity;
    for (class, applied) in equivalences.iter().zip(applied) {
        for (index, scalar) in class.iter().enumerate() {
            let support = scalar.support();
            if applied.contains(&index) || support.last().is_some_and(|last| *last >= end) {
                continue;
            }
            if let Some(known) = applied.first() {
                let known = &class[*known];
                let known_on_left = known.support().last().is_none_or(|last| *last < start);
                let local = support.first().is_some_and(|first| *first >= start);
                if known_on_left && local {
                    let mut right = scalar.clone();
                    right.permute_by(|column| column - start);
                    step.left.push(known.clone());
                    step.right.push(right);
                } else {
                    step.checks.push((known.clone(), scalar.clone()));
                }
            }
            applied.insert(index);
        }
    }
    step
}
