//! Predicates on `mz_now()` that hold in several spans of time: with OR, NOT, or `<>`.

use repr::{Datum, Timestamp};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::plan::LazyColumns;
use super::temporal::{Bound, Comparison, Side, comparison_bounds, unsupported};
use crate::error::EvalError;
use crate::scalar::Scalar;

/// A predicate whose leaves are bounds on time and predicates without `mz_now()`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Condition {
    Bound(Bound),
    Plain(Scalar),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
}

impl From<Comparison> for Condition {
    fn from(comparison: Comparison) -> Condition {
        let bounds = Condition::And(comparison.bounds.into_iter().map(Condition::Bound).collect());
        if comparison.negated { Condition::Not(Box::new(bounds)) } else { bounds }
    }
}

impl Condition {
    /// Errors: 0A000 for any use of `mz_now()` but in comparisons under AND, OR and NOT.
    pub(super) fn of(scalar: Scalar) -> Result<Condition, EvalError> {
        if !scalar.contains_mz_now() {
            return Ok(Condition::Plain(scalar));
        }
        let all = |args: Vec<Scalar>| args.into_iter().map(Condition::of).collect::<Result<Vec<_>, _>>();
        match scalar {
            Scalar::And(args) => all(args).map(Condition::And),
            Scalar::Or(args) => all(args).map(Condition::Or),
            Scalar::Not(inner) => Ok(Condition::Not(Box::new(Condition::of(*inner)?))),
            comparison @ Scalar::Call { .. } => comparison_bounds(comparison).map(Condition::from),
            _ => Err(unsupported()),
        }
    }

    /// Visits the scalars that are evaluated for a row.
    pub(super) fn visit(&self, visit: &mut impl FnMut(&Scalar)) {
        match self {
            Condition::Bound(bound) => visit(&bound.value),
            Condition::Plain(scalar) => visit(scalar),
            Condition::And(args) | Condition::Or(args) => args.iter().for_each(|arg| arg.visit(visit)),
            Condition::Not(inner) => inner.visit(visit),
        }
    }

    /// When the condition is true and when it is false for a row. Errors: those of its scalars, whenever they would matter.
    pub(super) fn spans<'a>(&'a self, columns: &mut LazyColumns<'a, '_>) -> Result<Truth, EvalError> {
        Ok(match self {
            Condition::Bound(bound) => match columns.eval(&bound.value)? {
                Datum::Null => Truth::unknown(),
                value => Truth::of(Spans::bounded(bound.side, value.unwrap_uint())),
            },
            Condition::Plain(scalar) => match columns.eval(scalar)? {
                Datum::Bool(true) => Truth::of(Spans::always()),
                Datum::Bool(false) => Truth::of(Spans::never()),
                _ => Truth::unknown(),
            },
            Condition::And(args) => Condition::all(args, columns)?,
            // By De Morgan, in three-valued logic as well.
            Condition::Or(args) => {
                let negated = args.iter().map(|arg| Ok(arg.spans(columns)?.not())).collect::<Result<Vec<_>, _>>()?;
                negated.into_iter().fold(Truth::of(Spans::always()), Truth::and).not()
            }
            Condition::Not(inner) => inner.spans(columns)?.not(),
        })
    }

    fn all<'a>(args: &'a [Condition], columns: &mut LazyColumns<'a, '_>) -> Result<Truth, EvalError> {
        args.iter().try_fold(Truth::of(Spans::always()), |truth, arg| Ok(truth.and(arg.spans(columns)?)))
    }
}

/// When a condition is true and when it is false; in between it is NULL.
pub(super) struct Truth {
    pub(super) is_true: Spans,
    is_false: Spans,
}

impl Truth {
    fn of(is_true: Spans) -> Truth {
        Truth { is_false: is_true.complement(), is_true }
    }

    fn unknown() -> Truth {
        Truth { is_true: Spans::never(), is_false: Spans::never() }
    }

    fn not(self) -> Truth {
        Truth { is_true: self.is_false, is_false: self.is_true }
    }

    fn and(self, other: Truth) -> Truth {
        let is_false = self.is_false.complement().intersect(&other.is_false.complement()).complement();
        Truth { is_true: self.is_true.intersect(&other.is_true), is_false }
    }
}

/// Milliseconds, as disjoint spans in order, each with its first and the first behind it (none: for ever).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spans(SmallVec<[(u64, Option<u64>); 2]>);

impl Spans {
    pub(super) fn always() -> Spans {
        Spans(smallvec![(0, None)])
    }

    fn never() -> Spans {
        Spans(SmallVec::new())
    }

    fn bounded(side: Side, millis: u64) -> Spans {
        let after = millis.checked_add(1);
        let from = |start: u64| Spans(smallvec![(start, None)]);
        match side {
            Side::Lower => from(millis),
            Side::LowerAfter => after.map_or_else(Spans::never, from),
            Side::Upper => from(millis).complement(),
            Side::UpperAfter => after.map_or_else(Spans::always, |after| from(after).complement()),
        }
    }

    fn complement(&self) -> Spans {
        let mut gaps = SmallVec::new();
        let mut start = Some(0);
        for (from, to) in &self.0 {
            if let Some(start) = start.filter(|start| start < from) {
                gaps.push((start, Some(*from)));
            }
            start = *to;
        }
        gaps.extend(start.map(|start| (start, None)));
        Spans(gaps)
    }

    pub(super) fn intersect(&self, other: &Spans) -> Spans {
        let mut both = SmallVec::new();
        for (from, to) in &self.0 {
            for (other_from, other_to) in &other.0 {
                let start = *from.max(other_from);
                let end = match (to, other_to) {
                    (Some(to), Some(other)) => Some(*to.min(other)),
                    (to, other) => to.or(*other),
                };
                if end.is_none_or(|end| start < end) {
                    both.push((start, end));
                }
            }
        }
        Spans(both)
    }
}

/// The parts of `spans` from `lower` on and before `upper`, as times.
pub(super) fn within(
    spans: &Spans,
    lower: Timestamp,
    upper: Option<Timestamp>,
) -> impl Iterator<Item = (Timestamp, Option<Timestamp>)> + '_ {
    let time = |millis: u64| Some(Timestamp::from_millis(millis)).filter(|time| *time < Timestamp::MAX);
    spans.0.iter().filter_map(move |(from, to)| {
        let from = time(*from)?.max(lower);
        let to = match (to.and_then(time), upper) {
            (Some(to), Some(upper)) => Some(to.min(upper)),
            (to, upper) => to.or(upper),
        };
        to.is_none_or(|to| from < to).then_some((from, to))
    })
}
