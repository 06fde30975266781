//! An MFP made ready to run.
//!
//! Evaluation is lazy: an expression is computed when a predicate, another expression or the projection first reads its
//! column, and then kept for the row. So each expression behaves as if it stood in the place of its column: one that fails
//! inside a branch not taken does no harm, and sharing an expression never changes an answer.

use repr::row::{read_datum, skip_datum};
use repr::{Arena, Datum, Kind, Row};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::Mfp;
use super::lifetime::Condition;
use super::temporal::Bound;
use crate::error::EvalError;
use crate::scalar::{Columns, Scalar, eval_with};

/// An [`Mfp`] whose predicates are ordered and whose temporal predicates are set apart, once for all rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MfpPlan {
    /// Without temporal predicates; infallible predicates first.
    pub(super) mfp: Mfp,
    /// Bounds on the time at which the row is there.
    pub(super) bounds: Vec<Bound>,
    /// More predicates on that time, which hold in several spans of it.
    pub(super) conditions: Vec<Condition>,
    /// Which input columns to decode, up to the last one needed.
    demand: Vec<bool>,
}

impl MfpPlan {
    /// Prepares `mfp`.
    ///
    /// Errors: 0A000 where `mz_now()` is used otherwise than compared, in the filter, with what does not depend on it.
    pub fn new(mut mfp: Mfp) -> Result<MfpPlan, EvalError> {
        mfp.optimize();
        let (mut bounds, mut conditions) = (Vec::new(), Vec::new());
        let mut predicates = Vec::new();
        for predicate in std::mem::take(&mut mfp.predicates) {
            if predicate.contains_mz_now() {
                super::temporal::split(predicate, &mut bounds, &mut conditions)?;
            } else {
                predicates.push(predicate);
            }
        }
        if mfp.expressions.iter().any(Scalar::contains_mz_now) {
            return Err(super::temporal::unsupported());
        }
        let fallible = fallible_columns(&mfp);
        predicates.sort_by_key(|predicate| could_error(predicate, &fallible));
        mfp.predicates = predicates;
        let mut demanded = Mfp { predicates: mfp.predicates.clone(), ..mfp.clone() };
        demanded.predicates.extend(bounds.iter().map(|bound| bound.value.clone()));
        conditions.iter().for_each(|condition| condition.visit(&mut |scalar| demanded.predicates.push(scalar.clone())));
        let inputs = demanded.demanded_inputs();
        let decoded = inputs.last().map_or(0, |last| last + 1);
        let demand = (0..decoded).map(|column| inputs.contains(&column)).collect();
        Ok(MfpPlan { mfp, bounds, conditions, demand })
    }

    /// True if rows appear and disappear by time alone; then only [`MfpPlan::evaluate_temporal`] may be used.
    pub fn is_temporal(&self) -> bool {
        !self.bounds.is_empty() || !self.conditions.is_empty()
    }

    pub fn is_identity(&self) -> bool {
        !self.is_temporal() && self.mfp.is_identity()
    }

    pub fn could_error(&self) -> bool {
        let mut found = self.mfp.could_error() || self.bounds.iter().any(|bound| bound.value.could_error());
        self.conditions.iter().for_each(|condition| condition.visit(&mut |scalar| found |= scalar.could_error()));
        found
    }

    pub fn input_kinds(&self) -> &[Kind] {
        &self.mfp.input_kinds
    }

    /// The number of output columns.
    pub fn arity(&self) -> usize {
        self.mfp.arity()
    }

    /// The non-temporal part as it is run.
    pub fn mfp(&self) -> &Mfp {
        &self.mfp
    }

    /// The input columns needed.
    pub fn demanded_inputs(&self) -> impl Iterator<Item = usize> + '_ {
        self.demand.iter().enumerate().filter_map(|(column, demanded)| demanded.then_some(column))
    }

    /// Unpacks the columns needed of a packed row, behind what is in `datums`; columns not needed are left NULL.
    pub fn unpack_demanded<'a>(&self, bytes: &'a [u8], datums: &mut Vec<Datum<'a>>) {
        let mut rest = bytes;
        for (kind, demanded) in self.mfp.input_kinds.iter().zip(&self.demand) {
            if *demanded {
                datums.push(read_datum(&mut rest, *kind));
            } else {
                skip_datum(&mut rest, *kind);
                datums.push(Datum::Null);
            }
        }
    }

    /// Evaluates one row, of which `datums` has the input columns (at least those needed, see
    /// [`MfpPlan::unpack_demanded`]); packs the output into `out` and returns true if the row is kept.
    ///
    /// `datums` is used as scratch space and holds the input columns and NULLs or values behind them afterwards.
    pub fn evaluate<'a>(
        &'a self,
        datums: &mut Vec<Datum<'a>>,
        arena: &'a Arena,
        out: &mut Row,
    ) -> Result<bool, EvalError> {
        assert!(!self.is_temporal(), "a temporal filter yields updates, not rows");
        let mut columns = LazyColumns::new(&self.mfp, datums, arena);
        if !columns.predicates_hold(&self.mfp.predicates, SmallVec::new())? {
            return Ok(false);
        }
        columns.project(&self.mfp.projection, out)?;
        Ok(true)
    }
}

impl Mfp {
    /// Evaluates one row as [`MfpPlan::evaluate`] does, for those who run it on few rows and do not prepare it.
    /// Errors: also 0A000 if a predicate is on `mz_now()`.
    pub fn evaluate<'a>(
        &'a self,
        datums: &mut Vec<Datum<'a>>,
        arena: &'a Arena,
        out: &mut Row,
    ) -> Result<bool, EvalError> {
        if self.contains_temporal() {
            return Err(super::temporal::unsupported());
        }
        let fallible = fallible_columns(self);
        let mut columns = LazyColumns::new(self, datums, arena);
        let (late, early): (Vec<_>, Vec<_>) =
            self.predicates.iter().partition(|predicate| could_error(predicate, &fallible));
        if !columns.predicates_hold(early.into_iter().chain(late), SmallVec::new())? {
            return Ok(false);
        }
        columns.project(&self.projection, out)?;
        Ok(true)
    }
}

/// For each column, input columns included, whether reading it may give an error.
fn fallible_columns(mfp: &Mfp) -> Vec<bool> {
    let mut fallible = vec![false; mfp.input_arity()];
    for expression in &mfp.expressions {
        let could_error = could_error(expression, &fallible);
        fallible.push(could_error);
    }
    fallible
}

fn could_error(scalar: &Scalar, fallible: &[bool]) -> bool {
    scalar.could_error() || scalar.any(|node| matches!(node, Scalar::Column(index) if fallible[*index]))
}

/// The state of one expression for the current row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Ready,
    Failed,
}

/// The columns of one row: inputs as given, expressions as they are asked for.
pub(super) struct LazyColumns<'a, 'b> {
    expressions: &'a [Scalar],
    input_arity: usize,
    datums: &'b mut Vec<Datum<'a>>,
    states: SmallVec<[State; 16]>,
    errors: Vec<(usize, EvalError)>,
    arena: &'a Arena,
}

impl<'a, 'b> LazyColumns<'a, 'b> {
    pub(super) fn new(mfp: &'a Mfp, datums: &'b mut Vec<Datum<'a>>, arena: &'a Arena) -> LazyColumns<'a, 'b> {
        let input_arity = mfp.input_arity();
        datums.truncate(input_arity);
        datums.resize(input_arity + mfp.expressions.len(), Datum::Null);
        let states = SmallVec::from_elem(State::Pending, mfp.expressions.len());
        LazyColumns { expressions: &mfp.expressions, input_arity, datums, states, errors: Vec::new(), arena }
    }

    pub(super) fn eval(&mut self, scalar: &'a Scalar) -> Result<Datum<'a>, EvalError> {
        let arena = self.arena;
        eval_with(scalar, self, arena)
    }

    /// Tries all predicates. An error, also one of `before`, is returned only if none of them is false or NULL.
    pub(super) fn predicates_hold(
        &mut self,
        predicates: impl IntoIterator<Item = &'a Scalar>,
        before: SmallVec<[EvalError; 1]>,
    ) -> Result<bool, EvalError> {
        let mut error = before.into_iter().next();
        for predicate in predicates {
            match self.eval(predicate) {
                Ok(Datum::Bool(true)) => {}
                Ok(_) => return Ok(false),
                Err(found) => error = error.or(Some(found)),
            }
        }
        match error {
            Some(error) => Err(error),
            None => Ok(true),
        }
    }

    pub(super) fn project(&mut self, projection: &[usize], out: &mut Row) -> Result<(), EvalError> {
        out.clear();
        for column in projection {
            let datum = self.column(*column)?;
            out.push(datum);
        }
        Ok(())
    }

    fn compute(&mut self, index: usize) -> Result<Datum<'a>, EvalError> {
        let expressions = self.expressions;
        let result = self.eval(&expressions[index]);
        match &result {
            Ok(datum) => {
                self.states[index] = State::Ready;
                self.datums[self.input_arity + index] = *datum;
            }
            Err(error) => {
                self.states[index] = State::Failed;
                self.errors.push((index, error.clone()));
            }
        }
        result
    }
}

impl<'a> Columns<'a> for LazyColumns<'a, '_> {
    fn column(&mut self, column: usize) -> Result<Datum<'a>, EvalError> {
        let Some(index) = column.checked_sub(self.input_arity) else { return Ok(self.datums[column]) };
        match self.states[index] {
            State::Ready => Ok(self.datums[column]),
            State::Pending => self.compute(index),
            State::Failed => {
                let found = self.errors.iter().find(|(failed, _)| *failed == index);
                Err(found.expect("a failed expression left its error").1.clone())
            }
        }
    }
}
