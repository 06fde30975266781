//! Joins: a chain of two-way joins, each against an arrangement of the next input. Delta joins are in `delta`.
//!
//! ```text
//! start ──key──┐
//!              ⋈── key ──┐
//! input ─arr───┘         ⋈── MFP ── output
//! input ─arr─────────────┘
//! ```

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::operators::join::join_with_tactic;
use differential_dataflow::trace::{BatchCursor, Cursor, Navigable, TraceReader};
use differential_dataflow::{AsCollection, VecCollection};
use expr::mfp::MfpPlan;
use expr::{EvalError, Mfp, Scalar};
use protocol::plan::{JoinKind, JoinPlan, JoinStage};
use repr::{Kind, Row};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use trace::Diff;

use super::bundle::{ArrangedRows, Bundle, RowTrace};
use super::operators::{Streams, apply_mfp, split_results};
use super::pairs::{PairLogic, SlicedTactic};
use super::time::RenderTime;
use super::{Context, Ended, delta};
use crate::evaluator::{MfpEvaluator, permute_inputs};

pub(super) fn render<'scope, T: RenderTime>(
    context: &mut Context<'scope, T>,
    join: &JoinPlan,
    kinds: &[Kind],
) -> Bundle<'scope, T> {
    let (start, stages): (usize, &[JoinStage]) = match &join.kind {
        JoinKind::Linear { start, stages } => (*start, stages),
        JoinKind::Delta { paths, last } => return delta::render(context, join, paths, *last, kinds),
    };
    let mut inputs: Vec<Bundle<'scope, T>> = join.inputs.iter().map(|input| context.render(input)).collect();
    let order: Vec<usize> = [start].into_iter().chain(stages.iter().map(|stage| stage.input)).collect();
    let mfp = in_joined_order(&join.mfp, &inputs, &order);
    let Some((last, earlier)) = stages.split_last() else {
        return context.mfp(inputs.swap_remove(start), &mfp, kinds);
    };
    let widths: Vec<usize> = order.iter().map(|input| inputs[*input].kinds.len()).collect();
    // The start comes filtered.
    let filters = prefix_filters(&mfp, &widths).into_iter().skip(1);
    let mut joined = inputs[start].clone();
    for (stage, filter) in earlier.iter().zip(filters) {
        joined = join_stage(&context.ended, joined, &mut inputs, stage, filter);
    }
    let streams = join_last_stage(context, joined, &mut inputs, last, &mfp);
    Bundle::from_streams(kinds.to_vec(), streams)
}

/// For each input in the order in which they are joined, what of the MFP's filter can be tried first when it has been joined:
/// predicates over columns known by then that cannot fail. They stay in the MFP.
pub(super) fn prefix_filters(mfp: &Mfp, widths: &[usize]) -> Vec<Option<MfpPlan>> {
    let mut columns: Vec<Scalar> = (0..mfp.input_arity()).map(Scalar::Column).collect();
    for expression in &mfp.expressions {
        let mut expanded = expression.clone();
        expanded.substitute(&columns);
        columns.push(expanded);
    }
    let mut open: Vec<Scalar> = mfp.predicates.clone();
    open.iter_mut().for_each(|predicate| predicate.substitute(&columns));
    open.retain(|predicate| !predicate.could_error() && !predicate.contains_mz_now());
    let mut known = 0;
    let mut filter_after = |width: &usize| {
        known += width;
        let is_known = |predicate: &Scalar| predicate.support().last().is_none_or(|last| *last < known);
        let (predicates, later) = std::mem::take(&mut open).into_iter().partition(is_known);
        open = later;
        let nothing = Mfp { predicates, projection: Vec::new(), ..Mfp::identity(mfp.input_kinds[..known].to_vec()) };
        if nothing.predicates.is_empty() { None } else { MfpPlan::new(nothing).ok() }
    };
    widths.iter().map(&mut filter_after).collect()
}

/// Rewrites the MFP over the inputs' columns in the order of the inputs to take them in the order in which they are joined.
pub(super) fn in_joined_order<T: RenderTime>(mfp: &Mfp, inputs: &[Bundle<'_, T>], order: &[usize]) -> Mfp {
    let mut starts = vec![0; inputs.len()];
    let mut joined_kinds = Vec::new();
    for input in order {
        starts[*input] = joined_kinds.len();
        joined_kinds.extend_from_slice(&inputs[*input].kinds);
    }
    let columns = inputs.iter().zip(&starts).flat_map(|(input, start)| *start..*start + input.kinds.len());
    let map: Vec<usize> = columns.collect();
    permute_inputs(mfp, &map, joined_kinds)
}

/// Joins the next input, and yields the columns joined so far followed by its own.
fn join_stage<'scope, T: RenderTime>(
    ended: &Ended,
    mut joined: Bundle<'scope, T>,
    inputs: &mut [Bundle<'scope, T>],
    stage: &JoinStage,
    filter: Option<MfpPlan>,
) -> Bundle<'scope, T> {
    let left = joined.arrange(&stage.stream_key);
    let right = inputs[stage.input].arrange(&stage.lookup_key);
    let kinds = joined.kinds.iter().chain(&inputs[stage.input].kinds).copied().collect();
    let mut concatenate = concatenation(&left, &right);
    let mut filter = filter.map(MfpEvaluator::new);
    let logic: PairLogic = Box::new(move |key, left, right| {
        let row = concatenate(key, left, right);
        match filter.as_mut().map(|filter| filter.evaluate(&row)) {
            Some(Ok(None)) => None,
            _ => Some(Ok(row)),
        }
    });
    let streams = join_pair(ended, left, right, logic);
    Bundle::from_streams(kinds, streams)
}

/// Joins the last input and applies the MFP to each row as it is formed.
fn join_last_stage<'scope, T: RenderTime>(
    context: &Context<'scope, T>,
    mut joined: Bundle<'scope, T>,
    inputs: &mut [Bundle<'scope, T>],
    stage: &JoinStage,
    mfp: &Mfp,
) -> Streams<'scope, T> {
    let fused = MfpPlan::new(mfp.clone()).ok().filter(|plan| !plan.is_temporal());
    let Some(plan) = fused else {
        // A temporal filter changes times, which the join's closure cannot.
        let streams = join_stage(&context.ended, joined, inputs, stage, None).streams();
        return apply_mfp(streams, mfp, context.until, context.as_of);
    };
    let left = joined.arrange(&stage.stream_key);
    let right = inputs[stage.input].arrange(&stage.lookup_key);
    let mut concatenate = concatenation(&left, &right);
    let mut evaluator = MfpEvaluator::new(plan);
    let logic =
        move |key: &Row, left: &Row, right: &Row| evaluator.evaluate(&concatenate(key, left, right)).transpose();
    join_pair(&context.ended, left, right, Box::new(logic))
}

/// Forms the left row followed by the right row.
fn concatenation<T: RenderTime>(
    left: &ArrangedRows<'_, T>,
    right: &ArrangedRows<'_, T>,
) -> impl FnMut(&Row, &Row, &Row) -> Row + use<T> {
    let (left, right) = (left.layout.clone(), right.layout.clone());
    move |key, left_value, right_value| {
        let mut row = Row::default();
        left.restore_into(key, left_value, &mut row);
        right.restore_into(key, right_value, &mut row);
        row
    }
}

fn join_pair<'scope, T: RenderTime>(
    ended: &Ended,
    left: ArrangedRows<'scope, T>,
    right: ArrangedRows<'scope, T>,
    logic: PairLogic,
) -> Streams<'scope, T> {
    let tactic = SlicedTactic::new(logic, ended.clone());
    let results = match (left.oks, right.oks) {
        (RowTrace::Local(left), RowTrace::Local(right)) => join_traces(left, right, tactic),
        (RowTrace::Local(left), RowTrace::Imported(right)) => join_traces(left, right, tactic),
        (RowTrace::Imported(left), RowTrace::Local(right)) => join_traces(left, right, tactic),
        (RowTrace::Imported(left), RowTrace::Imported(right)) => join_traces(left, right, tactic),
    };
    let (oks, errs) = split_results(results, "JoinErrors");
    Streams { oks, errs: left.errs.concat(right.errs).concat(errs) }
}

fn join_traces<'scope, T, Left, Right>(
    left: Arranged<'scope, Left>,
    right: Arranged<'scope, Right>,
    tactic: SlicedTactic,
) -> VecCollection<'scope, T, Result<Row, EvalError>, Diff>
where
    T: RenderTime,
    Left: TraceReader<Time = T, Batch: Navigable> + Clone + 'static,
    Right: TraceReader<Time = T, Batch: Navigable> + Clone + 'static,
    BatchCursor<Left>: Cursor<Time = T, Diff = Diff, KeyContainer = Vec<Row>>,
    BatchCursor<Right>: Cursor<Time = T, Diff = Diff>,
    for<'a> BatchCursor<Left>: Cursor<Key<'a> = &'a Row, Val<'a> = &'a Row>,
    for<'a> BatchCursor<Right>: Cursor<Key<'a> = &'a Row, Val<'a> = &'a Row>,
{
    let slices = join_with_tactic(left, right, tactic);
    let updates = slices.unary(Pipeline, "JoinRows", |_, _| {
        |input, output| {
            input.for_each(|capability, slice| {
                let mut updates = std::mem::take(&mut slice.updates);
                output.session(&capability).give_container(&mut updates);
            });
        }
    });
    updates.as_collection()
}
