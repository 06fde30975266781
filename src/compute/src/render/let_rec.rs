//! LetRec: bindings that feed themselves, round by round, until nothing changes.
//!
//! Each binding has a variable: its value one round earlier, empty in round 0. Bindings are evaluated in order, so a Get of an
//! earlier binding reads this round's value and a Get of itself or of a later one reads the variable. Rows are consolidated
//! and errors made distinct before they go round, or updates that cancel would go round for ever.
//!
//! The round is coordinate `level - 1` of the time's [`PointStamp`]. With a limit of n, values in rounds 0 to n - 1 count.
//! RETURN AT feeds no update on from round n - 1. ERROR AT lets round n happen: what it changes is the error.
//!
//! [`PointStamp`]: differential_dataflow::dynamic::pointstamp::PointStamp

use std::hash::Hash;

use differential_dataflow::AsCollection;
use differential_dataflow::dynamic::feedback_summary;
use differential_dataflow::operators::iterate::Variable;
use differential_dataflow::{ExchangeData, VecCollection};
use expr::relation::RecursionLimit;
use expr::{EvalError, LocalId};
use protocol::plan::Plan;
use repr::{Kind, Row};
use timely::dataflow::operators::vec::Filter;
use timely::order::Product;
use trace::{Diff, KeyBuilder, KeySpine, Ts, arrange_keys};

use super::Context;
use super::bundle::Bundle;
use super::operators::{Errs, Streams, consolidate, distinct_errors, push_vals};
use super::time::Iteration;

type IterationCollection<'scope, D> = VecCollection<'scope, Iteration, D, Diff>;

/// The two halves of one binding's variable.
struct Feedback<'scope> {
    oks: Variable<'scope, Iteration, Vec<(Row, Iteration, Diff)>>,
    errs: Variable<'scope, Iteration, Vec<(EvalError, Iteration, Diff)>>,
}

pub(super) fn render<'scope>(
    context: &mut Context<'scope, Iteration>,
    ids: &[LocalId],
    values: &[Plan],
    limit: Option<RecursionLimit>,
    body: &Plan,
) -> Bundle<'scope, Iteration> {
    context.depth += 1;
    let level = context.depth;
    let mut shadowed = Vec::new();
    let mut feedbacks = Vec::new();
    for (id, value) in ids.iter().zip(values) {
        let (feedback, variable) = variable(context, level, &value.kinds);
        feedbacks.push(feedback);
        shadowed.push((*id, context.locals.insert(*id, variable)));
    }
    let mut limit_errs: Option<Errs<'scope, Iteration>> = None;
    let mut left: Vec<(LocalId, Bundle<'scope, Iteration>)> = Vec::new();
    for ((id, value), feedback) in ids.iter().zip(values).zip(feedbacks) {
        let Streams { oks, errs } = context.render(value).streams();
        let streams = Streams { oks: consolidate(oks, "ConsolidateBinding"), errs: distinct_errors(errs) };
        context.locals.insert(*id, Bundle::from_streams(value.kinds.clone(), streams.clone()));
        if let Some(found) = feed_back(context, level, limit, feedback, &streams) {
            limit_errs = Some(match limit_errs {
                Some(errs) => errs.concat(found),
                None => found,
            });
        }
        let streams = within_limit(streams, level, limit);
        let streams = Streams { oks: streams.oks.leave_dynamic(level), errs: streams.errs.leave_dynamic(level) };
        left.push((*id, Bundle::from_streams(value.kinds.clone(), streams)));
    }
    context.depth -= 1;
    for (id, bundle) in left {
        context.locals.insert(id, bundle);
    }
    let mut output = context.render(body);
    if let Some(errs) = limit_errs {
        let Streams { oks, errs: others } = output.streams();
        let errs = others.concat(distinct_errors(errs.leave_dynamic(level)));
        output = Bundle::from_streams(output.kinds.clone(), Streams { oks, errs });
    }
    for (id, value) in shadowed {
        context.rebind(id, value);
    }
    output
}

/// Makes the variable of a binding: what it holds in a round is what was fed back in the round before.
fn variable<'scope>(
    context: &Context<'scope, Iteration>,
    level: usize,
    kinds: &[Kind],
) -> (Feedback<'scope>, Bundle<'scope, Iteration>) {
    let step = Product::new(Ts::default(), feedback_summary::<u64>(level, 1));
    let (ok_variable, oks) = Variable::new(context.scope, step.clone());
    let (err_variable, errs) = Variable::new(context.scope, step);
    let bundle = Bundle::from_streams(kinds.to_vec(), Streams { oks, errs });
    (Feedback { oks: ok_variable, errs: err_variable }, bundle)
}

/// The round of a time, for the LetRec at `level`.
fn round(time: &Iteration, level: usize) -> u64 {
    time.inner.get(level - 1).copied().unwrap_or(0)
}

/// Sends a binding's value into the next round. Returns the errors of a recursion that goes on beyond its limit.
fn feed_back<'scope>(
    context: &Context<'scope, Iteration>,
    level: usize,
    limit: Option<RecursionLimit>,
    feedback: Feedback<'scope>,
    streams: &Streams<'scope, Iteration>,
) -> Option<Errs<'scope, Iteration>> {
    // The first round from which nothing is fed on.
    let last = limit.map_or(u64::MAX, |limit| {
        if limit.return_at_limit { limit.iterations.saturating_sub(1) } else { limit.iterations }
    });
    feedback.oks.set(before_round(context, streams.oks.clone(), level, last));
    feedback.errs.set(before_round(context, streams.errs.clone(), level, last));
    let limit = limit.filter(|limit| !limit.return_at_limit)?;
    let error = limit.exceeded();
    let oks = changes_of_round(streams.oks.clone(), level, limit.iterations, error.clone());
    let errs = changes_of_round(streams.errs.clone(), level, limit.iterations, error);
    Some(oks.concat(errs))
}

/// The updates of rounds before `last`; none once the dataflow has been dropped, so that recursion without end ends then.
fn before_round<'scope, D: Clone + 'static>(
    context: &Context<'scope, Iteration>,
    collection: IterationCollection<'scope, D>,
    level: usize,
    last: u64,
) -> IterationCollection<'scope, D> {
    let ended = context.ended.clone();
    collection.inner.filter(move |(_datum, time, _diff)| !ended.is_set() && round(time, level) < last).as_collection()
}

/// One error for each datum whose multiplicity changes in round `limit`.
///
/// Updates of exactly that round add up to the change that it makes to the round before.
fn changes_of_round<'scope, D: ExchangeData + Hash>(
    collection: IterationCollection<'scope, D>,
    level: usize,
    limit: u64,
    error: EvalError,
) -> Errs<'scope, Iteration> {
    let changes = collection.inner.filter(move |(_datum, time, _diff)| round(time, level) == limit).as_collection();
    arrange_keys(changes, "ArrangeBeyondLimit")
        .reduce_abelian::<_, KeyBuilder<D, Iteration>, KeySpine<D, Iteration>, _, _>(
            "BeyondLimit",
            |_datum, _input, output| output.push(((), Diff::ONE)),
            |buffer, key, updates| push_vals(buffer, key, updates),
        )
        .as_collection(move |_datum, ()| error.clone())
}

/// What a binding has come to within the limit.
fn within_limit<'scope>(
    streams: Streams<'scope, Iteration>,
    level: usize,
    limit: Option<RecursionLimit>,
) -> Streams<'scope, Iteration> {
    let Some(limit) = limit else { return streams };
    let iterations = limit.iterations;
    Streams {
        oks: streams.oks.inner.filter(move |(_, time, _)| round(time, level) < iterations).as_collection(),
        errs: streams.errs.inner.filter(move |(_, time, _)| round(time, level) < iterations).as_collection(),
    }
}
