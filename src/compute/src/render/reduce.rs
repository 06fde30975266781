//! Reduce: groups of rows to one row each.
//!
//! ```text
//! input ── key, arguments ──▶ (key, arguments) ──▶ one reduce for each kind of aggregate ──▶ joined on the key
//! ```
//!
//! A row whose key or argument fails is left out and gives its error. The output is an arrangement by the key columns, so a
//! join on the key, or an index on it, costs nothing more.

mod accumulable;
mod basic;
pub(super) mod buckets;
mod collation;
mod growing;
mod hierarchical;

use std::sync::Arc;

use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::Arranged;
use expr::{Aggregate, EvalError, Scalar};
use protocol::plan::{Plan, ReducePlan};
use repr::{Kind, Row};
use trace::{Diff, arrange_vals};

use super::Context;
use super::bundle::{ArrangedRows, Bundle, LocalTrace, RowTrace};
use super::operators::{Errs, Streams, flat_map_fallible, reduce_fallible};
use super::time::RenderTime;
use crate::evaluator::KeyEvaluator;
use crate::layout::RowLayout;

/// Updates (key, arguments), both packed.
type Keyed<'scope, T> = VecCollection<'scope, T, (Row, Row), Diff>;
/// Aggregates by key, and the errors of groups.
type Reduced<'scope, T> = (Arranged<'scope, LocalTrace<T>>, Errs<'scope, T>);

/// Renders a Reduce whose output columns, before its MFP, have the kinds `kinds`.
pub(super) fn render<'scope, T: RenderTime>(
    context: &mut Context<'scope, T>,
    input: &Plan,
    key: &[Scalar],
    plan: &ReducePlan,
    kinds: &[Kind],
) -> Bundle<'scope, T> {
    let input = context.render(input);
    let Streams { oks, errs } = input.streams();
    let arguments = aggregates(plan).into_iter().map(|aggregate| aggregate.expr.clone()).collect();
    let mut key_evaluator = KeyEvaluator::new(key.to_vec(), input.kinds.clone());
    let mut argument_evaluator = KeyEvaluator::new(arguments, input.kinds.clone());
    let (keyed, argument_errs) = flat_map_fallible(oks, "FormGroup", move |row: Row, time, diff, emit| {
        let pair = key_evaluator.evaluate(&row).and_then(|key| Ok((key, argument_evaluator.evaluate(&row)?)));
        emit.result(pair, time, diff);
    });
    let (oks, group_errs) = render_plan(keyed, plan, &kinds[key.len()..]);
    let key: Vec<Scalar> = (0..key.len()).map(Scalar::Column).collect();
    Bundle::from_arrangement(ArrangedRows {
        layout: Arc::new(RowLayout::new(&key, kinds)),
        oks: RowTrace::Local(oks),
        errs: errs.concat(argument_errs).concat(group_errs),
    })
}

/// All aggregates of a plan, part after part: the order of the arguments.
fn aggregates(plan: &ReducePlan) -> Vec<&Aggregate> {
    match plan {
        ReducePlan::Distinct => Vec::new(),
        ReducePlan::Accumulable { aggregates }
        | ReducePlan::Hierarchical { aggregates, .. }
        | ReducePlan::Basic { aggregates } => aggregates.iter().collect(),
        ReducePlan::Collation { parts } => parts.iter().flat_map(|(part, _)| self::aggregates(part)).collect(),
    }
}

/// Reduces groups of arguments to values of the kinds `output`.
fn render_plan<'scope, T: RenderTime>(
    keyed: Keyed<'scope, T>,
    plan: &ReducePlan,
    output: &[Kind],
) -> Reduced<'scope, T> {
    match plan {
        ReducePlan::Distinct => distinct(keyed),
        ReducePlan::Accumulable { aggregates } => accumulable::render(keyed, aggregates),
        ReducePlan::Hierarchical { aggregates, monotonic: true, .. } => growing::render(keyed, aggregates),
        ReducePlan::Hierarchical { aggregates, monotonic: false, levels } => {
            hierarchical::render(keyed, aggregates, *levels)
        }
        ReducePlan::Basic { aggregates } => basic::render(keyed, aggregates),
        ReducePlan::Collation { parts } => collation::render(keyed, parts, output),
    }
}

fn distinct<'scope, T: RenderTime>(keyed: Keyed<'scope, T>) -> Reduced<'scope, T> {
    let arranged = arrange_vals(keyed, "ArrangeDistinct");
    reduce_fallible(arranged, "Distinct", |_key, input, output| {
        check_counts(input)?;
        output.push((Row::default(), Diff::ONE));
        Ok(())
    })
}

/// Errors: something is in the group fewer than zero times, or more often than can be counted.
fn check_counts(group: &[(&Row, Diff)]) -> Result<(), EvalError> {
    match group.iter().any(|(_, count)| count.is_invalid_count()) {
        true => Err(EvalError::negative_multiplicity("aggregation")),
        false => Ok(()),
    }
}

/// The kinds of the aggregates' arguments.
fn argument_kinds<'a>(aggregates: impl IntoIterator<Item = &'a Aggregate>) -> Vec<Kind> {
    aggregates.into_iter().map(|aggregate| aggregate.arg_type.kind()).collect()
}
