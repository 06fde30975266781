//! Temporal filters: predicates on `mz_now()` become the times at which a row appears and disappears.
//!
//! Each comparison is a bound. `lo` is inclusive: `mz_now() >= a` gives a, `> a` gives a + 1; `hi` is exclusive: `< b` gives
//! b, `<= b` gives b + 1; `= a` gives both. An update `(row, t, d)` becomes nothing if `lo >= hi` or `hi <= t`, else
//! `(row, max(t, lo), d)` and, if hi is finite, `(row, hi, -d)`. Nothing is ever emitted before t.
//!
//! Under OR, NOT and `<>` comparisons become a [`Condition`], which gives each row several spans of time.

use repr::{Arena, Datum, Diff, Row, ScalarType, Timestamp};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::MfpPlan;
use super::lifetime::{self, Condition, Spans};
use super::plan::LazyColumns;
use crate::error::EvalError;
use crate::func;
use crate::scalar::Scalar;

/// Updates that one input update becomes: none, an appearance, or an appearance and a disappearance.
pub type TemporalUpdates = SmallVec<[(Result<Row, EvalError>, Timestamp, Diff); 2]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Side {
    /// The row is there from the value on.
    Lower,
    /// From the time after the value on.
    LowerAfter,
    /// Until before the value.
    Upper,
    /// Until the value, included.
    UpperAfter,
}

/// One bound on the times of a row; `value` is of type mz_timestamp.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Bound {
    pub(super) side: Side,
    pub(super) value: Scalar,
}

pub(super) fn unsupported() -> EvalError {
    EvalError::new("0A000", "mz_now() is supported only in comparisons with values that do not depend on it")
        .with_hint("Write a temporal filter such as WHERE mz_now() <= event_time + INTERVAL '1 hour'.")
}

/// Turns one conjunct with `mz_now()` into bounds, and what is more than that into conditions.
pub(super) fn split(
    predicate: Scalar,
    bounds: &mut Vec<Bound>,
    conditions: &mut Vec<Condition>,
) -> Result<(), EvalError> {
    match predicate {
        Scalar::And(args) => args.into_iter().try_for_each(|arg| split(arg, bounds, conditions)),
        Scalar::Or(_) | Scalar::Not(_) => {
            conditions.push(Condition::of(predicate)?);
            Ok(())
        }
        comparison => match comparison_bounds(comparison)? {
            Comparison { bounds: some, negated: false } => {
                bounds.extend(some);
                Ok(())
            }
            comparison => {
                conditions.push(comparison.into());
                Ok(())
            }
        },
    }
}

/// The bounds that a comparison with `mz_now()` sets; negated: outside of them.
pub(super) struct Comparison {
    pub(super) bounds: Vec<Bound>,
    pub(super) negated: bool,
}

/// Errors: 0A000 not a comparison of `mz_now()` with a value that does not depend on it.
pub(super) fn comparison_bounds(mut predicate: Scalar) -> Result<Comparison, EvalError> {
    clamp_mz_now_bound(&mut predicate);
    let Scalar::Call { func, mut args, .. } = predicate else { return Err(unsupported()) };
    if args.len() != 2 || func::comparison(func.name) != Some(func) {
        return Err(unsupported());
    }
    let right = args.pop().expect("two arguments");
    let left = args.pop().expect("two arguments");
    let (symbol, value) = match (left, right) {
        (Scalar::MzNow, value) => (func.name, value),
        (value, Scalar::MzNow) => (mirrored(func.name), value),
        _ => return Err(unsupported()),
    };
    if value.contains_mz_now() {
        return Err(unsupported());
    }
    let sides: &[Side] = match symbol {
        "=" | "<>" => &[Side::Lower, Side::UpperAfter],
        "<" => &[Side::Upper],
        "<=" => &[Side::UpperAfter],
        ">" => &[Side::LowerAfter],
        ">=" => &[Side::Lower],
        _ => return Err(unsupported()),
    };
    let bounds = sides.iter().map(|side| Bound { side: *side, value: value.clone() }).collect();
    Ok(Comparison { bounds, negated: symbol == "<>" })
}

fn mirrored(symbol: &'static str) -> &'static str {
    match symbol {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

/// In a comparison with `mz_now()`, makes the cast of the other side clamp instead of fail outside the range of times.
pub(crate) fn clamp_mz_now_bound(scalar: &mut Scalar) {
    let Scalar::Call { func, args, .. } = scalar else { return };
    if args.len() != 2 || !args.contains(&Scalar::MzNow) || func::comparison(func.name) != Some(*func) {
        return;
    }
    for arg in args {
        if let Scalar::Call { func, args, types } = arg
            && func.kind == func::FuncKind::Cast
            && types.ret == ScalarType::MzTimestamp
        {
            let (args, arg_types) = (std::mem::take(args), types.args.clone());
            *arg = Scalar::call(func::clamped_mz_timestamp(), args, arg_types, ScalarType::MzTimestamp);
        }
    }
}

impl MfpPlan {
    /// Evaluates one update: the times at which the output row, or the error it gives, comes and goes.
    ///
    /// `datums` has the input columns, as for [`MfpPlan::evaluate`]. Also right for plans without temporal predicates.
    pub fn evaluate_temporal<'a>(
        &'a self,
        datums: &mut Vec<Datum<'a>>,
        arena: &'a Arena,
        time: Timestamp,
        diff: Diff,
    ) -> TemporalUpdates {
        let mut columns = LazyColumns::new(&self.mfp, datums, arena);
        let mut lower = time;
        let mut upper: Option<Timestamp> = None;
        let mut errors = SmallVec::new();
        for bound in &self.bounds {
            match columns.eval(&bound.value) {
                Ok(Datum::Null) => return TemporalUpdates::new(),
                Ok(value) => {
                    if !tighten(bound.side, value.unwrap_uint(), &mut lower, &mut upper) {
                        return TemporalUpdates::new();
                    }
                }
                Err(error) => errors.push(error),
            }
        }
        let mut spans = Spans::always();
        for condition in &self.conditions {
            match condition.spans(&mut columns) {
                Ok(truth) => spans = spans.intersect(&truth.is_true),
                Err(error) => errors.push(error),
            }
        }
        let lives: SmallVec<[_; 2]> = lifetime::within(&spans, lower, upper).collect();
        if lives.is_empty() {
            return TemporalUpdates::new();
        }
        let mut row = Row::default();
        let output = match columns.predicates_hold(&self.mfp.predicates, errors) {
            Ok(false) => return TemporalUpdates::new(),
            Ok(true) => columns.project(&self.mfp.projection, &mut row).map(|()| row),
            Err(error) => Err(error),
        };
        let mut updates = TemporalUpdates::new();
        for (lower, upper) in lives {
            updates.push((output.clone(), lower, diff));
            if let Some(upper) = upper {
                updates.push((output.clone(), upper, diff.negate()));
            }
        }
        updates
    }
}

/// Takes one bound, in milliseconds as `mz_now()` is, into account. Returns false if no time is within it.
fn tighten(side: Side, millis: u64, lower: &mut Timestamp, upper: &mut Option<Timestamp>) -> bool {
    // The first time that the bound lets in, or shuts out; none if that lies beyond the range of times.
    let millis = match side {
        Side::Lower | Side::Upper => Some(millis),
        Side::LowerAfter | Side::UpperAfter => millis.checked_add(1),
    };
    let time = millis.map(Timestamp::from_millis).filter(|time| *time < Timestamp::MAX);
    match (side, time) {
        (Side::Lower | Side::LowerAfter, Some(time)) => *lower = (*lower).max(time),
        (Side::Lower | Side::LowerAfter, None) => return false,
        (Side::Upper | Side::UpperAfter, Some(time)) => *upper = Some(upper.map_or(time, |upper| upper.min(time))),
        (Side::Upper | Side::UpperAfter, None) => {}
    }
    true
}
