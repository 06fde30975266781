//! Small operators that all rendering is made of.

use std::hash::Hash;

use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::{BatchCursor, Cursor, Navigable, TraceReader};
use differential_dataflow::{AsCollection, Data, ExchangeData, VecCollection};
use expr::mfp::MfpPlan;
use expr::{EvalError, Mfp};
use repr::{Row, Timestamp};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{OutputBuilder, source};
use timely::progress::operate::FrontierInterest;
use trace::{Diff, RowRowBuilder, RowRowSpine, Ts, ValBuilder, ValSpine, arrange_keys};

use super::time::RenderTime;
use crate::evaluator::MfpEvaluator;

pub(crate) type Rows<'scope, T> = VecCollection<'scope, T, Row, Diff>;
pub(crate) type Errs<'scope, T> = VecCollection<'scope, T, EvalError, Diff>;

/// A collection: its rows, and the errors that came up making it.
#[derive(Clone)]
pub(crate) struct Streams<'scope, T: RenderTime> {
    pub(crate) oks: Rows<'scope, T>,
    pub(crate) errs: Errs<'scope, T>,
}

/// Updates put out by a fallible operator, before they are sent.
pub(crate) struct Emit<D, T> {
    pub(super) oks: Vec<(D, T, Diff)>,
    pub(super) errs: Vec<(EvalError, T, Diff)>,
}

impl<D, T> Default for Emit<D, T> {
    fn default() -> Emit<D, T> {
        Emit { oks: Vec::new(), errs: Vec::new() }
    }
}

impl<D, T> Emit<D, T> {
    pub(crate) fn ok(&mut self, datum: D, time: T, diff: Diff) {
        self.oks.push((datum, time, diff));
    }

    pub(crate) fn err(&mut self, error: EvalError, time: T, diff: Diff) {
        self.errs.push((error, time, diff));
    }

    pub(crate) fn result(&mut self, result: Result<D, EvalError>, time: T, diff: Diff) {
        match result {
            Ok(datum) => self.ok(datum, time, diff),
            Err(error) => self.err(error, time, diff),
        }
    }
}

/// Updates that are collected before a container is sent.
const EMIT_UPDATES_MAX: usize = 1024;

/// Turns each update into any number of updates and errors.
pub(crate) fn flat_map_fallible<'scope, T, D1, D2, L>(
    input: VecCollection<'scope, T, D1, Diff>,
    name: &str,
    mut logic: L,
) -> (VecCollection<'scope, T, D2, Diff>, Errs<'scope, T>)
where
    T: RenderTime,
    D1: Clone + 'static,
    D2: Clone + 'static,
    L: FnMut(D1, T, Diff, &mut Emit<D2, T>) + 'static,
{
    let mut builder = OperatorBuilder::new(name.to_owned(), input.scope());
    let mut input = builder.new_input(input.inner, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Never);
    let (ok_output, oks) = builder.new_output();
    let mut ok_output = OutputBuilder::<T, CapacityContainerBuilder<Vec<(D2, T, Diff)>>>::from(ok_output);
    let (err_output, errs) = builder.new_output();
    let mut err_output = OutputBuilder::<T, CapacityContainerBuilder<Vec<(EvalError, T, Diff)>>>::from(err_output);
    builder.build(move |_capabilities| {
        let mut emit = Emit::default();
        move |_frontiers| {
            let mut ok_output = ok_output.activate();
            let mut err_output = err_output.activate();
            input.for_each(|capability, data| {
                let mut updates = data.drain(..);
                loop {
                    for (datum, time, diff) in updates.by_ref() {
                        logic(datum, time, diff, &mut emit);
                        if emit.oks.len() >= EMIT_UPDATES_MAX || emit.errs.len() >= EMIT_UPDATES_MAX {
                            break;
                        }
                    }
                    if emit.oks.is_empty() && emit.errs.is_empty() && updates.len() == 0 {
                        break;
                    }
                    if !emit.oks.is_empty() {
                        ok_output.session(&capability).give_iterator(emit.oks.drain(..));
                    }
                    if !emit.errs.is_empty() {
                        err_output.session(&capability).give_iterator(emit.errs.drain(..));
                    }
                }
            });
        }
    });
    (oks.as_collection(), errs.as_collection())
}

/// Parts results into values and errors.
pub(crate) fn split_results<'scope, T: RenderTime, D: Clone + 'static>(
    input: VecCollection<'scope, T, Result<D, EvalError>, Diff>,
    name: &str,
) -> (VecCollection<'scope, T, D, Diff>, Errs<'scope, T>) {
    flat_map_fallible(input, name, |result, time, diff, emit| emit.result(result, time, diff))
}

/// Runs an MFP over a collection. Updates at or beyond `until` are dropped.
pub(crate) fn apply_mfp<'scope, T: RenderTime>(
    input: Streams<'scope, T>,
    mfp: &Mfp,
    until: Option<Timestamp>,
    as_of: Timestamp,
) -> Streams<'scope, T> {
    let Streams { oks, errs } = input;
    let plan = match MfpPlan::new(mfp.clone()) {
        Ok(plan) => plan,
        // The planner refuses such filters; if one comes through, whoever reads the collection gets the error.
        Err(error) => {
            let scope = oks.scope();
            let errs = errs.concat(constant(scope, vec![(error, Diff::ONE)], as_of, until));
            return Streams { oks: constant(scope, Vec::new(), as_of, until), errs };
        }
    };
    if plan.is_identity() {
        return Streams { oks, errs };
    }
    let temporal = plan.is_temporal();
    let mut evaluator = MfpEvaluator::new(plan);
    let (oks, new_errs) = if temporal {
        flat_map_fallible(oks, "MfpTemporal", move |row: Row, time: T, diff, emit| {
            for (result, event, diff) in evaluator.evaluate_temporal(&row, time.event().into(), diff.into()) {
                if until.is_none_or(|until| event < until) {
                    emit.result(result, time.with_event(event.into()), diff.into());
                }
            }
        })
    } else {
        flat_map_fallible(oks, "Mfp", move |row: Row, time: T, diff, emit| match evaluator.evaluate(&row) {
            Ok(Some(row)) => emit.ok(row, time, diff),
            Ok(None) => {}
            Err(error) => emit.err(error, time, diff),
        })
    };
    Streams { oks, errs: errs.concat(new_errs) }
}

/// A collection that is complete from the start: `data` at `as_of`, put out by worker 0.
pub(crate) fn constant<'scope, T: RenderTime, D: Data>(
    scope: Scope<'scope, T>,
    data: Vec<(D, Diff)>,
    as_of: Timestamp,
    until: Option<Timestamp>,
) -> VecCollection<'scope, T, D, Diff> {
    let wanted = scope.index() == 0 && until.is_none_or(|until| as_of < until);
    let mut data = if wanted { data } else { Vec::new() };
    let time = T::to_inner(Ts(as_of));
    source::<_, CapacityContainerBuilder<Vec<(D, T, Diff)>>, _, _>(scope, "Constant", move |capability, _info| {
        let mut capability = Some(capability);
        move |output| {
            if let Some(capability) = capability.take() {
                let updates = std::mem::take(&mut data).into_iter().map(|(datum, diff)| (datum, time.clone(), diff));
                output.session(&capability).give_iterator(updates);
            }
        }
    })
    .as_collection()
}

/// Refills `buffer` with the output of a reduce for one key.
pub(crate) fn push_vals<K: Clone, V, T>(buffer: &mut Vec<((K, V), T, Diff)>, key: &K, updates: &mut Vec<(V, T, Diff)>) {
    buffer.clear();
    buffer.extend(updates.drain(..).map(|(value, time, diff)| ((key.clone(), value), time, diff)));
}

/// Makes errors distinct: each with a positive multiplicity once; one with a negative multiplicity is an error itself.
pub(crate) fn distinct_errors<'scope, T: RenderTime>(errs: Errs<'scope, T>) -> Errs<'scope, T> {
    arrange_keys(errs, "ArrangeErrors")
        .reduce_abelian::<_, ValBuilder<EvalError, bool, T>, ValSpine<EvalError, bool, T>, _, _>(
            "DistinctErrors",
            |_error, input, output| output.push((input[0].1.is_invalid_count(), Diff::ONE)),
            |buffer, key, updates| push_vals(buffer, key, updates),
        )
        .as_collection(
            |error, invalid| {
                if *invalid { EvalError::negative_multiplicity("errors") } else { error.clone() }
            },
        )
}

/// Reduces each group of rows to rows, or to an error. The output can be read as an arrangement by the same key.
///
/// `logic` sees the key and the group's values with their multiplicities, in the order of bytes. It runs twice, in a reduce
/// for the rows and in one for the errors over the same input arrangement, so that the output stays an arrangement of rows.
pub(crate) fn reduce_fallible<'scope, T, Tr, L>(
    input: Arranged<'scope, Tr>,
    name: &str,
    mut logic: L,
) -> (Arranged<'scope, TraceAgent<RowRowSpine<T>>>, Errs<'scope, T>)
where
    T: RenderTime,
    Tr: TraceReader<Time = T, Batch: Navigable> + Clone + 'static,
    BatchCursor<Tr>: Cursor<Time = T, KeyContainer = Vec<Row>>,
    for<'a> BatchCursor<Tr>: Cursor<Key<'a> = &'a Row>,
    L: for<'a> FnMut(
            &Row,
            &[(<BatchCursor<Tr> as Cursor>::Val<'a>, <BatchCursor<Tr> as Cursor>::Diff)],
            &mut Vec<(Row, Diff)>,
        ) -> Result<(), EvalError>
        + Clone
        + 'static,
{
    let mut fallible = logic.clone();
    let oks = input.clone().reduce_abelian::<_, RowRowBuilder<T>, RowRowSpine<T>, _, _>(
        name,
        move |key, input, output| {
            if logic(key, input, output).is_err() {
                output.clear();
            }
        },
        |buffer, key, updates| push_vals(buffer, key, updates),
    );
    let errs = input
        .reduce_abelian::<_, ValBuilder<Row, EvalError, T>, ValSpine<Row, EvalError, T>, _, _>(
            &format!("{name}Errors"),
            move |key, input, output| {
                if let Err(error) = fallible(key, input, &mut Vec::new()) {
                    output.push((error, Diff::ONE));
                }
            },
            |buffer, key, updates| push_vals(buffer, key, updates),
        )
        .as_collection(|_key, error| error.clone());
    (oks, errs)
}

/// Adds up equal updates in the house's containers.
pub(crate) fn consolidate<'scope, T: RenderTime, D: ExchangeData + Hash>(
    input: VecCollection<'scope, T, D, Diff>,
    name: &str,
) -> VecCollection<'scope, T, D, Diff> {
    trace::consolidate(input, name)
}
