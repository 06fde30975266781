//! FlatMap: each row with the rows that a table function returns for it, so many at a time.
//!
//! One row may return a hundred million. The operator makes some of them, gives way to the others on the worker, and goes on
//! where it was: with the batches that wait in the order in which they came, the row it is at, and how many of that row's
//! results are out.

use std::collections::VecDeque;

use differential_dataflow::AsCollection;
use expr::mfp::MfpPlan;
use expr::{EvalError, Mfp, Scalar, TableFunc};
use protocol::plan::Plan;
use repr::{Arena, Kind, Row};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;
use trace::Diff;

use super::Context;
use super::bundle::Bundle;
use super::operators::{Emit, Streams};
use super::time::RenderTime;
use crate::evaluator::MfpEvaluator;

/// Rows made in one turn of the operator: some tens of milliseconds, for which others on the worker wait.
const TURN_ROWS: usize = 50_000;

/// Rows that are collected before they are sent.
const EMIT_ROWS: usize = 1024;

pub(super) fn render<'scope, T: RenderTime>(
    context: &mut Context<'scope, T>,
    input: &Plan,
    func: &TableFunc,
    exprs: &[Scalar],
    mfp: &Mfp,
    kinds: &[Kind],
) -> Bundle<'scope, T> {
    let input = context.render(input);
    let input_kinds = input.kinds.clone();
    let Streams { oks, errs } = input.streams();
    // Rows are many times as many behind the function as before it, so the MFP is applied where they are made.
    let fused = MfpPlan::new(mfp.clone()).ok().filter(|plan| !plan.is_temporal());
    let is_fused = fused.is_some();
    let expansion = Expansion {
        kinds: input_kinds,
        func: func.clone(),
        exprs: exprs.to_vec(),
        evaluator: fused.map(MfpEvaluator::new),
    };
    let expanded = expand(context, Streams { oks, errs }, expansion);
    let output = Bundle::from_streams(kinds.to_vec(), expanded);
    if is_fused { output } else { context.mfp(output, mfp, kinds) }
}

/// What is made of each row.
struct Expansion {
    kinds: Vec<Kind>,
    func: TableFunc,
    exprs: Vec<Scalar>,
    evaluator: Option<MfpEvaluator>,
}

/// A row of which some results may be out.
struct Current<T> {
    row: Row,
    time: T,
    diff: Diff,
    made: usize,
}

/// Updates that came together, as far as they are not done.
struct Batch<T: RenderTime> {
    ok_capability: Capability<T>,
    err_capability: Capability<T>,
    current: Option<Current<T>>,
    updates: std::vec::IntoIter<(Row, T, Diff)>,
}

impl Expansion {
    /// Makes at most `rows_max` more results of a row. Returns how many; fewer mean that the row is done.
    fn make<T: RenderTime>(&mut self, current: &Current<T>, rows_max: usize, emit: &mut Emit<Row, T>) -> usize {
        let Current { row, time, diff, made } = current;
        let arena = Arena::new();
        let datums = row.unpack(&self.kinds);
        let args: Result<Vec<_>, EvalError> = self.exprs.iter().map(|expr| expr.eval(&datums, &arena)).collect();
        let results = match args.and_then(|args| self.func.eval_from(&args, &arena, *made)) {
            Ok(results) => results,
            Err(error) => {
                emit.err(error, time.clone(), *diff);
                return 0;
            }
        };
        let mut count = 0;
        for added in results.take(rows_max) {
            count += 1;
            // The row itself is copied only where it stays: it may be a long list that is being taken apart.
            let result = match &mut self.evaluator {
                Some(mfp) => mfp.evaluate_parts(&datums, &added),
                None => {
                    let mut output = row.clone();
                    output.extend(added);
                    Ok(Some(output))
                }
            };
            match result {
                Ok(Some(output)) => emit.ok(output, time.clone(), *diff),
                Ok(None) => {}
                Err(error) => emit.err(error, time.clone(), *diff),
            }
        }
        count
    }
}

impl<T: RenderTime> Batch<T> {
    /// Makes results of the row at hand, or of the next one, as long as they fit in `fuel`. False: there is no row left.
    fn advance(&mut self, expansion: &mut Expansion, fuel: &mut usize, emit: &mut Emit<Row, T>) -> bool {
        let next = || self.updates.next().map(|(row, time, diff)| Current { row, time, diff, made: 0 });
        let Some(mut current) = self.current.take().or_else(next) else { return false };
        // A list is walked from its start each time, and its length is bounded: it is taken apart in one go.
        let rows_max = match expansion.func {
            TableFunc::UnnestRecords(_) => usize::MAX,
            _ => EMIT_ROWS.min(*fuel),
        };
        let made = expansion.make(&current, rows_max, emit);
        // A row without results has been looked at, too.
        *fuel = fuel.saturating_sub(made.max(1));
        if made == rows_max {
            current.made += made;
            self.current = Some(current);
        }
        true
    }
}

fn expand<'scope, T: RenderTime>(
    context: &Context<'scope, T>,
    input: Streams<'scope, T>,
    mut expansion: Expansion,
) -> Streams<'scope, T> {
    let Streams { oks, errs } = input;
    let ended = context.ended.clone();
    let mut builder = OperatorBuilder::new("FlatMap".to_owned(), context.scope);
    let activator = context.scope.activator_for(builder.operator_info().address);
    let mut input = builder.new_input(oks.inner, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Never);
    let (ok_output, ok_stream) = builder.new_output();
    let mut ok_output = OutputBuilder::<T, CapacityContainerBuilder<Vec<(Row, T, Diff)>>>::from(ok_output);
    let (err_output, err_stream) = builder.new_output();
    let mut err_output = OutputBuilder::<T, CapacityContainerBuilder<Vec<(EvalError, T, Diff)>>>::from(err_output);
    builder.build(move |_capabilities| {
        let mut waiting: VecDeque<Batch<T>> = VecDeque::new();
        let mut emit = Emit::default();
        move |_frontiers| {
            let mut ok_output = ok_output.activate();
            let mut err_output = err_output.activate();
            input.for_each(|capability, data| {
                waiting.push_back(Batch {
                    ok_capability: capability.retain(0),
                    err_capability: capability.retain(1),
                    current: None,
                    updates: std::mem::take(data).into_iter(),
                });
            });
            if ended.is_set() {
                waiting.clear();
            }
            let mut fuel = TURN_ROWS;
            while fuel > 0
                && let Some(batch) = waiting.front_mut()
            {
                let goes_on = batch.advance(&mut expansion, &mut fuel, &mut emit);
                let is_full = emit.oks.len() >= EMIT_ROWS || emit.errs.len() >= EMIT_ROWS;
                if is_full || !goes_on || fuel == 0 {
                    ok_output.session(&batch.ok_capability).give_iterator(emit.oks.drain(..));
                    err_output.session(&batch.err_capability).give_iterator(emit.errs.drain(..));
                }
                if !goes_on {
                    waiting.pop_front();
                }
            }
            if !waiting.is_empty() {
                activator.activate();
            }
        }
    });
    Streams { oks: ok_stream.as_collection(), errs: errs.concat(err_stream.as_collection()) }
}
