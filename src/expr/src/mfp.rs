//! Map, filter and project in one: what runs on every row at every edge of the dataflow.
//!
//! Here is how one is built and composed; [`MfpPlan`] is what runs.

mod bounds;
mod lifetime;
mod plan;
mod temporal;

use std::collections::BTreeSet;

use repr::{ColumnType, Kind};
use serde::{Deserialize, Serialize};

pub use self::plan::MfpPlan;
pub use self::temporal::TemporalUpdates;
pub(crate) use self::temporal::clamp_mz_now_bound;

use crate::relation::Relation;
use crate::scalar::Scalar;

/// Appends `expressions` to the input row, keeps it if all `predicates` hold, and outputs the columns `projection`.
///
/// Expressions are evaluated where they are used, as if each stood in the place of its column. Infallible predicates are
/// tried first, fallible ones after them in written order; an error counts only if no predicate is false or NULL.
/// Predicates on `mz_now()` are among `predicates`; [`MfpPlan`] sets them apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mfp {
    pub input_kinds: Vec<Kind>,
    /// Each sees the input columns and the expressions before it.
    pub expressions: Vec<Scalar>,
    /// Each sees the input columns and all expressions.
    pub predicates: Vec<Scalar>,
    pub projection: Vec<usize>,
}

impl Mfp {
    /// Passes rows of these kinds as they are.
    pub fn identity(input_kinds: Vec<Kind>) -> Mfp {
        let projection = (0..input_kinds.len()).collect();
        Mfp { input_kinds, expressions: Vec::new(), predicates: Vec::new(), projection }
    }

    /// Builds from expressions over the input, predicates over input and expressions, and a projection of both.
    pub fn from_map_filter_project(
        input_kinds: Vec<Kind>,
        expressions: Vec<Scalar>,
        predicates: Vec<Scalar>,
        projection: Vec<usize>,
    ) -> Mfp {
        Mfp { input_kinds, expressions, predicates, projection }
    }

    /// The number of input columns.
    pub fn input_arity(&self) -> usize {
        self.input_kinds.len()
    }

    /// The number of output columns.
    pub fn arity(&self) -> usize {
        self.projection.len()
    }

    /// True if rows pass unchanged.
    pub fn is_identity(&self) -> bool {
        self.predicates.is_empty()
            && self.is_only_projection()
            && self.projection.iter().copied().eq(0..self.input_arity())
    }

    /// True if there is nothing to evaluate.
    pub fn is_only_projection(&self) -> bool {
        let input_arity = self.input_arity();
        self.predicates.is_empty() && self.projection.iter().all(|column| *column < input_arity)
    }

    /// True if evaluation may return an error. Bounds on `mz_now()` count by what they are compared with.
    pub fn could_error(&self) -> bool {
        let demanded = self.demanded_expressions();
        let expressions = demanded.iter().map(|index| &self.expressions[*index]);
        expressions.chain(&self.predicates).any(Scalar::could_error)
    }

    /// True if a predicate depends on `mz_now()`.
    pub fn contains_temporal(&self) -> bool {
        self.predicates.iter().chain(&self.expressions).any(Scalar::contains_mz_now)
    }

    /// Appends columns; each scalar sees the output columns so far and the scalars before it.
    #[must_use]
    pub fn map(mut self, scalars: impl IntoIterator<Item = Scalar>) -> Mfp {
        for mut scalar in scalars {
            scalar.permute(&self.projection);
            self.projection.push(self.input_kinds.len() + self.expressions.len());
            self.expressions.push(scalar);
        }
        self
    }

    /// Keeps rows for which all predicates, over the output columns so far, hold.
    #[must_use]
    pub fn filter(mut self, predicates: impl IntoIterator<Item = Scalar>) -> Mfp {
        for mut predicate in predicates {
            predicate.permute(&self.projection);
            self.predicates.push(predicate);
        }
        self
    }

    /// Outputs these of the output columns so far.
    #[must_use]
    pub fn project(mut self, outputs: impl IntoIterator<Item = usize>) -> Mfp {
        self.projection = outputs.into_iter().map(|output| self.projection[output]).collect();
        self
    }

    /// Runs `self`, then `other` on its output.
    #[must_use]
    pub fn then(self, other: Mfp) -> Mfp {
        let Mfp { input_kinds: _, expressions, predicates, projection } = other;
        self.map(expressions).filter(predicates).project(projection)
    }

    /// Fuses the chain of Map, Filter and Project at the top of `relation`, and returns what is under it.
    pub fn extract_from_relation(relation: &Relation) -> (Mfp, &Relation) {
        let mut chain = Vec::new();
        let mut base = relation;
        while let Relation::Map { input, .. } | Relation::Filter { input, .. } | Relation::Project { input, .. } = base
        {
            chain.push(base);
            base = input;
        }
        let mut mfp = Mfp::identity(base.kinds());
        for node in chain.into_iter().rev() {
            mfp = match node {
                Relation::Map { scalars, .. } => mfp.map(scalars.iter().cloned()),
                Relation::Filter { predicates, .. } => mfp.filter(predicates.iter().cloned()),
                Relation::Project { outputs, .. } => mfp.project(outputs.iter().copied()),
                _ => mfp,
            };
        }
        (mfp, base)
    }

    /// Builds the relation that applies this to `input`.
    pub fn into_relation(self, input: Relation) -> Relation {
        let input_arity = self.input_arity();
        let identity = self.projection.iter().copied().eq(0..input_arity + self.expressions.len());
        let mut relation = input;
        if !self.expressions.is_empty() {
            relation = relation.map(self.expressions);
        }
        if !self.predicates.is_empty() {
            relation = relation.filter(self.predicates);
        }
        if identity { relation } else { relation.project(self.projection) }
    }

    /// The types of the output columns, for input columns of the types `input`.
    pub fn output_types(&self, input: &[ColumnType]) -> Vec<ColumnType> {
        let mut types = input.to_vec();
        for expression in &self.expressions {
            let typ = expression.typ(&types);
            types.push(typ);
        }
        self.projection.iter().map(|column| types[*column].clone()).collect()
    }

    /// The input columns used, directly or through expressions.
    pub fn demanded_inputs(&self) -> BTreeSet<usize> {
        let input_arity = self.input_arity();
        self.demanded_columns().into_iter().filter(|column| *column < input_arity).collect()
    }

    fn demanded_expressions(&self) -> BTreeSet<usize> {
        let input_arity = self.input_arity();
        self.demanded_columns().into_iter().filter_map(|column| column.checked_sub(input_arity)).collect()
    }

    /// Columns, inputs and expressions alike, that predicates and projection need.
    fn demanded_columns(&self) -> BTreeSet<usize> {
        let mut demanded: BTreeSet<usize> = self.projection.iter().copied().collect();
        for predicate in &self.predicates {
            predicate.support_into(&mut demanded);
        }
        for (index, expression) in self.expressions.iter().enumerate().rev() {
            if demanded.contains(&(self.input_kinds.len() + index)) {
                expression.support_into(&mut demanded);
            }
        }
        demanded
    }

    /// Simplifies: expressions that are a column, a literal or equal to an earlier one are replaced by it, those nobody
    /// needs are dropped, conjunctions are split, predicates that are true or repeated are dropped.
    pub fn optimize(&mut self) {
        self.merge_equal_expressions();
        self.split_predicates();
        self.drop_undemanded();
    }

    fn merge_equal_expressions(&mut self) {
        let input_arity = self.input_arity();
        let total = input_arity + self.expressions.len();
        // What each column is to be read as: another column, or a literal.
        let mut replacements: Vec<Scalar> = (0..total).map(Scalar::Column).collect();
        for index in 0..self.expressions.len() {
            let (before, rest) = self.expressions.split_at_mut(index);
            let expression = &mut rest[0];
            expression.substitute(&replacements);
            let replacement = match expression {
                Scalar::Column(_) | Scalar::Literal(Ok(_), _) => Some(expression.clone()),
                // Volatile calls are not equal even where they look so, but never reach an Mfp.
                _ => before.iter().position(|other| other == expression).map(|at| Scalar::Column(input_arity + at)),
            };
            if let Some(replacement) = replacement {
                replacements[input_arity + index] = replacement;
            }
        }
        for predicate in &mut self.predicates {
            predicate.substitute(&replacements);
        }
        for column in &mut self.projection {
            if let Scalar::Column(other) = &replacements[*column] {
                *column = *other;
            }
        }
    }

    fn split_predicates(&mut self) {
        let mut split: Vec<Scalar> = Vec::new();
        let mut pending: Vec<Scalar> = std::mem::take(&mut self.predicates);
        pending.reverse();
        while let Some(predicate) = pending.pop() {
            match predicate {
                Scalar::And(args) => pending.extend(args.into_iter().rev()),
                other if other.is_literal_true() || split.contains(&other) => {}
                other => split.push(other),
            }
        }
        self.predicates = split;
    }

    fn drop_undemanded(&mut self) {
        let input_arity = self.input_arity();
        let demanded = self.demanded_columns();
        let mut map: Vec<usize> = (0..input_arity).collect();
        let mut kept = Vec::new();
        for (index, expression) in std::mem::take(&mut self.expressions).into_iter().enumerate() {
            map.push(input_arity + kept.len());
            if demanded.contains(&(input_arity + index)) {
                kept.push(expression);
            }
        }
        for scalar in kept.iter_mut().chain(&mut self.predicates) {
            scalar.permute(&map);
        }
        for column in &mut self.projection {
            *column = map[*column];
        }
        self.expressions = kept;
    }
}

#[cfg(test)]
mod tests;
