//! min and max of what only grows: the best values of a group so far are the multiplicity of its key.
//!
//! Nothing that was best can be taken back, so the other values need not be kept. Merges of the arrangement keep the better of
//! two multiplicities, one value for each group and aggregate, however many rows there were.

use differential_dataflow::AsCollection;
use differential_dataflow::difference::{IsZero, Semigroup};
use expr::{Aggregate, EvalError};
use repr::Row;
use repr::row::skip_datum;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;
use trace::{Diff, arrange_keys};

use super::hierarchical::{Best, bests, is_better};
use super::{Keyed, Reduced, argument_kinds};
use crate::render::operators::reduce_fallible;
use crate::render::time::RenderTime;

/// The best packed values of some rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Extremes(Vec<(Best, Row)>);

impl IsZero for Extremes {
    /// Of at least one row there is a best one.
    fn is_zero(&self) -> bool {
        false
    }
}

impl Semigroup for Extremes {
    fn plus_equals(&mut self, other: &Extremes) {
        for ((wanted, value), (_, candidate)) in self.0.iter_mut().zip(&other.0) {
            if is_better(*wanted, candidate.as_bytes(), value.as_bytes()) {
                value.clone_from(candidate);
            }
        }
    }
}

pub(super) fn render<'scope, T: RenderTime>(keyed: Keyed<'scope, T>, aggregates: &[Aggregate]) -> Reduced<'scope, T> {
    let (kinds, bests) = (argument_kinds(aggregates), bests(aggregates));
    // A row that is taken back after all would leave the answer wrong without a word.
    let taken_back = keyed.inner.clone().flat_map(|(_, time, count)| {
        count.is_invalid_count().then(|| (EvalError::negative_multiplicity("aggregation"), time, Diff::ONE))
    });
    let extremes = keyed.inner.flat_map(move |((key, arguments), time, count)| {
        let mut rest = arguments.as_bytes();
        let values =
            bests.iter().zip(&kinds).map(|(best, kind)| (*best, Row::from_bytes(skip_datum(&mut rest, *kind))));
        let extremes = Extremes(values.collect());
        (!count.is_zero() && !count.is_invalid_count()).then_some((key, time, extremes))
    });
    let arranged = arrange_keys(extremes.as_collection(), "ArrangeGrowing");
    let (oks, errs) = reduce_fallible(arranged, "ReduceGrowing", |_key, input, output| {
        let mut row = Row::default();
        input[0].1.0.iter().for_each(|(_, value)| row.push_packed(value.as_bytes()));
        output.push((row, Diff::ONE));
        Ok(())
    });
    (oks, errs.concat(taken_back.as_collection()))
}
