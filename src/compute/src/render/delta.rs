//! Delta joins: a change of one input meets the arrangements of all others, and nothing intermediate is kept.
//!
//! ```text
//! changes of %0 ──⋈ %1 ──⋈ %2 ──┐
//! changes of %1 ──⋈ %0 ──⋈ %2 ──┼── output
//! changes of %2 ──⋈ %1 ──⋈ %0 ──┘
//! ```
//!
//! Law: times are taken in their total order, which extends the partial one. Of each combination of updates, one of each
//! input, exactly one path forms the row: that of the update with the greatest time, of equal ones that of the greatest
//! place. A path therefore carries the time at which its change began, and meets an input of a lesser place as it is through
//! that time, one of a greater place as it is before it. It waits until the other's arrangement is complete so far, and keeps
//! the arrangement from compacting times up to it together. The row has the join of all times.
//!
//! One input has the greatest place of all: its path is the one that meets the snapshots, which all have one time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use differential_dataflow::collection::concatenate;
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::Multiply;
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::cursor::CursorList;
use differential_dataflow::trace::{BatchCursor, Cursor, Navigable, TraceReader};
use differential_dataflow::{AsCollection, VecCollection};
use expr::mfp::MfpPlan;
use expr::{EvalError, Mfp};
use protocol::plan::{JoinPlan, JoinStage};
use repr::{Kind, Row};
use timely::PartialOrder;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;
use trace::{Diff, owner_hash};

use super::bundle::{ArrangedRows, Bundle, RowTrace};
use super::join::{in_joined_order, prefix_filters};
use super::operators::{Errs, Rows, Streams, apply_mfp, flat_map_fallible};
use super::time::RenderTime;
use super::{Context, Ended};
use crate::evaluator::{KeyEvaluator, MfpEvaluator};
use crate::layout::RowLayout;

/// Values that are looked at before other operators get their turn: some tens of milliseconds.
const FUEL: usize = 100_000;

/// Rows joined so far, with the key by which they meet the next input and the time at which their change began.
type Prefixes<'scope, T> = VecCollection<'scope, T, (Row, Row, T), Diff>;

/// Turns a row joined so far into what goes on, if it does.
type RowLogic<D> = Box<dyn FnMut(Row) -> Option<Result<D, EvalError>>>;

pub(super) fn render<'scope, T: RenderTime>(
    context: &mut Context<'scope, T>,
    join: &JoinPlan,
    paths: &[Vec<JoinStage>],
    last: usize,
    kinds: &[Kind],
) -> Bundle<'scope, T> {
    let mut inputs: Vec<Bundle<'scope, T>> = join.inputs.iter().map(|input| context.render(input)).collect();
    let place = |input: usize| (input == last, input);
    let (mut oks, mut errs) = (Vec::new(), Vec::new());
    for (start, stages) in paths.iter().enumerate() {
        let arranged: Vec<(ArrangedRows<'scope, T>, Ties)> = stages
            .iter()
            .map(|stage| {
                let ties = if place(stage.input) < place(start) { Ties::Met } else { Ties::NotMet };
                (inputs[stage.input].arrange(&stage.lookup_key), ties)
            })
            .collect();
        errs.extend(arranged.iter().map(|(arranged, _)| arranged.errs.clone()));
        let streams = path(context, join, &inputs, start, stages, arranged);
        oks.push(streams.oks);
        errs.push(streams.errs);
    }
    let streams = Streams { oks: concatenate(context.scope, oks), errs: concatenate(context.scope, errs) };
    Bundle::from_streams(kinds.to_vec(), streams)
}

/// What the changes of one input bring about.
fn path<'scope, T: RenderTime>(
    context: &Context<'scope, T>,
    join: &JoinPlan,
    inputs: &[Bundle<'scope, T>],
    start: usize,
    stages: &[JoinStage],
    arranged: Vec<(ArrangedRows<'scope, T>, Ties)>,
) -> Streams<'scope, T> {
    let order: Vec<usize> = [start].into_iter().chain(stages.iter().map(|stage| stage.input)).collect();
    let mfp = in_joined_order(&join.mfp, inputs, &order);
    let widths: Vec<usize> = order.iter().map(|input| inputs[*input].kinds.len()).collect();
    let mut filters = prefix_filters(&mfp, &widths).into_iter();
    // The kinds of what is joined before each stage.
    let mut known: Vec<Kind> = Vec::new();
    let mut next_logic = |stage: &JoinStage, added: &[Kind]| {
        known.extend_from_slice(added);
        key_logic(stage, &known, filters.next().flatten())
    };
    let Streams { oks, errs } = inputs[start].streams();
    let mut errs = vec![errs];
    let mut logic = next_logic(&stages[0], &inputs[start].kinds);
    let (mut prefixes, key_errs) = flat_map_fallible(oks, "DeltaStart", move |row, time: T, diff, emit| {
        if let Some(result) = logic(row) {
            emit.result(result.map(|(key, row)| (key, row, time.clone())), time, diff);
        }
    });
    errs.push(key_errs);
    let mut arranged = arranged.into_iter();
    for (stage, following) in stages.iter().zip(&stages[1..]) {
        let (arranged, ties) = arranged.next().expect("one arrangement for each stage");
        let logic = next_logic(following, &inputs[stage.input].kinds);
        let met = half_join(&context.ended, prefixes, arranged, ties, logic);
        let (oks, stage_errs) = flat_map_fallible(met, "DeltaStage", |(result, began), time, diff, emit| {
            emit.result(result.map(|(key, row): (Row, Row)| (key, row, began)), time, diff);
        });
        prefixes = oks;
        errs.push(stage_errs);
    }
    let (arranged, ties) = arranged.next().expect("one arrangement for each stage");
    let (oks, last_errs) = last_stage(context, prefixes, arranged, ties, &mfp);
    errs.push(last_errs);
    Streams { oks, errs: concatenate(context.scope, errs) }
}

/// Filters a row by what can be said of it already, and forms the key by which it meets the stage's input.
fn key_logic(stage: &JoinStage, known: &[Kind], filter: Option<MfpPlan>) -> RowLogic<(Row, Row)> {
    let mut key = KeyEvaluator::new(stage.stream_key.clone(), known.to_vec());
    let mut filter = filter.map(MfpEvaluator::new);
    Box::new(move |row| {
        if let Some(filter) = &mut filter
            && matches!(filter.evaluate(&row), Ok(None))
        {
            return None;
        }
        Some(key.evaluate(&row).map(|key| (key, row)))
    })
}

fn last_stage<'scope, T: RenderTime>(
    context: &Context<'scope, T>,
    prefixes: Prefixes<'scope, T>,
    arranged: ArrangedRows<'scope, T>,
    ties: Ties,
    mfp: &Mfp,
) -> (Rows<'scope, T>, Errs<'scope, T>) {
    let fused = MfpPlan::new(mfp.clone()).ok().filter(|plan| !plan.is_temporal());
    let is_fused = fused.is_some();
    let logic: RowLogic<Row> = match fused {
        Some(plan) => {
            let mut evaluator = MfpEvaluator::new(plan);
            Box::new(move |row| evaluator.evaluate(&row).transpose())
        }
        // A temporal filter changes times, which a row's logic cannot.
        None => Box::new(|row| Some(Ok(row))),
    };
    let met = half_join(&context.ended, prefixes, arranged, ties, logic);
    let (oks, errs) =
        flat_map_fallible(met, "DeltaRows", |(result, _began), time, diff, emit| emit.result(result, time, diff));
    if is_fused {
        return (oks, errs);
    }
    let Streams { oks, errs } = apply_mfp(Streams { oks, errs }, mfp, context.until, context.as_of);
    (oks, errs)
}

/// Whether an update of the arrangement meets a change that began at the same time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ties {
    Met,
    NotMet,
}

impl Ties {
    /// Whether an update at `time` meets a change that began at `began`.
    fn meet<T: Ord>(self, time: &T, began: &T) -> bool {
        match self {
            Ties::Met => time <= began,
            Ties::NotMet => time < began,
        }
    }
}

/// How what was met is collected before it is sent.
type Output<T, D> = CapacityContainerBuilder<Vec<MetUpdate<T, D>>>;
/// A row that a half join has made, when its first input's update began, and when it is there.
type MetUpdate<T, D> = ((Result<D, EvalError>, T), T, Diff);
type Met<'scope, T, D> = VecCollection<'scope, T, (Result<D, EvalError>, T), Diff>;

fn half_join<'scope, T: RenderTime, D: Clone + 'static>(
    ended: &Ended,
    prefixes: Prefixes<'scope, T>,
    arranged: ArrangedRows<'scope, T>,
    ties: Ties,
    logic: RowLogic<D>,
) -> Met<'scope, T, D> {
    let ArrangedRows { layout, oks, errs: _ } = arranged;
    match oks {
        RowTrace::Local(arranged) => half_join_trace(ended.clone(), prefixes, arranged, layout, ties, logic),
        RowTrace::Imported(arranged) => half_join_trace(ended.clone(), prefixes, arranged, layout, ties, logic),
    }
}

/// Updates of one time that wait for the arrangement, and the right to send what comes of them.
struct Waiting<T: RenderTime> {
    capability: Capability<T>,
    updates: Vec<((Row, Row, T), Diff)>,
    /// The least time at which one of the changes began.
    least: T,
}

/// Updates, sorted, that meet the batches that the arrangement had when their turn came.
struct Work<T: RenderTime, B: Navigable> {
    capability: Capability<T>,
    updates: Vec<((Row, Row, T), Diff)>,
    next: usize,
    /// Whether the cursor stands inside the values of the next update's key.
    is_begun: bool,
    cursor: CursorList<B::Cursor>,
    batches: Vec<B>,
}

fn half_join_trace<'scope, T, Tr, D>(
    ended: Ended,
    prefixes: Prefixes<'scope, T>,
    arranged: Arranged<'scope, Tr>,
    layout: Arc<RowLayout>,
    ties: Ties,
    mut logic: RowLogic<D>,
) -> Met<'scope, T, D>
where
    T: RenderTime,
    D: Clone + 'static,
    Tr: TraceReader<Time = T, Batch: Navigable> + 'static,
    BatchCursor<Tr>: Cursor<Time = T, Diff = Diff>,
    for<'a> BatchCursor<Tr>: Cursor<Key<'a> = &'a Row, Val<'a> = &'a Row>,
{
    let exchange = Exchange::new(|update: &((Row, Row, T), T, Diff)| owner_hash(&update.0.0));
    let scope = prefixes.scope();
    let mut trace = Some(arranged.trace);
    let stream = prefixes.inner.binary_frontier::<_, Output<T, D>, _, _, _, _>(
        arranged.stream,
        exchange,
        Pipeline,
        "HalfJoin",
        move |_capability, info| {
            let activator = scope.activator_for(info.address);
            let mut waiting: BTreeMap<T, Waiting<T>> = BTreeMap::new();
            let mut work: VecDeque<Work<T, Tr::Batch>> = VecDeque::new();
            move |(prefixes, prefix_frontier), (batches, arranged_frontier), output| {
                batches.for_each(|_, _| {});
                prefixes.for_each(|capability, data| {
                    let capability = capability.retain(0);
                    data.drain(..).for_each(|update| wait(&mut waiting, &capability, update));
                });
                if ended.is_set() {
                    waiting.clear();
                    work.clear();
                    trace = None;
                }
                let Some(open) = &mut trace else { return };
                // Updates to come are at or beyond the frontier, so beyond its least element in the total order.
                let least = arranged_frontier.frontier().iter().min().cloned();
                let is_complete = |began: &T| least.as_ref().is_none_or(|least| !ties.meet(least, began));
                begin(&mut waiting, &mut work, open, is_complete);
                let mut fuel = FUEL;
                while let Some(item) = work.front_mut() {
                    let mut updates = Vec::new();
                    let is_done = item.step(&mut fuel, &layout, ties, &mut logic, &mut updates);
                    if !updates.is_empty() {
                        output.session(&item.capability).give_container(&mut updates);
                    }
                    if !is_done {
                        activator.activate();
                        break;
                    }
                    work.pop_front();
                }
                let held: Antichain<T> =
                    waiting.keys().chain(prefix_frontier.frontier().iter()).map(T::just_before).collect();
                if held.is_empty() {
                    trace = None;
                } else {
                    release(open, &held);
                }
            }
        },
    );
    stream.as_collection()
}

/// Lets the trace compact what nobody distinguishes any more.
fn release<Tr: TraceReader>(trace: &mut Tr, held: &Antichain<Tr::Time>) {
    trace.set_physical_compaction(Antichain::new().borrow());
    // A trace may have been compacted further before it came here: then all that comes is later than that.
    if PartialOrder::less_equal(&trace.get_logical_compaction(), &held.borrow()) {
        trace.set_logical_compaction(held.borrow());
    }
}

fn wait<T: RenderTime>(
    waiting: &mut BTreeMap<T, Waiting<T>>,
    capability: &Capability<T>,
    (update, time, diff): ((Row, Row, T), T, Diff),
) {
    let held = waiting.entry(time).or_insert_with_key(|time| Waiting {
        capability: capability.delayed(time),
        updates: Vec::new(),
        least: update.2.clone(),
    });
    if update.2 < held.least {
        held.least.clone_from(&update.2);
    }
    held.updates.push((update, diff));
}

/// Moves the updates for which the arrangement is complete from those that wait to those that are worked at.
fn begin<T, Tr>(
    waiting: &mut BTreeMap<T, Waiting<T>>,
    work: &mut VecDeque<Work<T, Tr::Batch>>,
    trace: &mut Tr,
    is_complete: impl Fn(&T) -> bool,
) where
    T: RenderTime,
    Tr: TraceReader<Time = T, Batch: Navigable>,
{
    waiting.retain(|_, held| {
        if !is_complete(&held.least) {
            return true;
        }
        let (mut updates, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut held.updates).into_iter().partition(|((_, _, began), _)| is_complete(began));
        consolidate(&mut updates);
        if !updates.is_empty() {
            let (cursor, batches) = trace.cursor();
            let capability = held.capability.clone();
            work.push_back(Work { capability, updates, next: 0, is_begun: false, cursor, batches });
        }
        held.updates = later;
        if let Some(least) = held.updates.iter().map(|((_, _, began), _)| began).min() {
            held.least = least.clone();
        }
        !held.updates.is_empty()
    });
}

impl<T, B> Work<T, B>
where
    T: RenderTime,
    B: Navigable,
    B::Cursor: Cursor<Time = T, Diff = Diff>,
    for<'a> B::Cursor: Cursor<Key<'a> = &'a Row, Val<'a> = &'a Row>,
{
    /// Goes on until the fuel is used up. Returns true when all is done.
    fn step<D>(
        &mut self,
        fuel: &mut usize,
        layout: &RowLayout,
        ties: Ties,
        logic: &mut RowLogic<D>,
        output: &mut Vec<MetUpdate<T, D>>,
    ) -> bool
    where
        D: Clone,
    {
        let Work { capability, updates, next, is_begun, cursor, batches } = self;
        let mut times: Vec<(T, Diff)> = Vec::new();
        while let Some(((key, prefix, began), diff)) = updates.get(*next) {
            if *fuel == 0 {
                return false;
            }
            *fuel -= 1;
            if !*is_begun {
                cursor.seek_key(batches, key);
                // The update before may have had the same key.
                cursor.rewind_vals(batches);
                *is_begun = true;
            }
            while cursor.get_key(batches) == Some(key)
                && let Some(value) = cursor.get_val(batches)
            {
                if *fuel == 0 {
                    return false;
                }
                *fuel -= 1;
                met_times(cursor, batches, |time| ties.meet(time, began), &mut times);
                if !times.is_empty() {
                    let mut row = prefix.clone();
                    layout.restore_into(key, value, &mut row);
                    if let Some(result) = logic(row) {
                        let at = capability.time();
                        let met = times.drain(..).map(|(time, value_diff)| {
                            ((result.clone(), began.clone()), time.join(at), diff.multiply(&value_diff))
                        });
                        output.extend(met);
                    }
                }
                cursor.step_val(batches);
            }
            *is_begun = false;
            *next += 1;
        }
        true
    }
}

/// Refills `times` with those of the value at which `cursor` stands that are met, consolidated.
fn met_times<C>(
    cursor: &mut C,
    storage: &C::Storage,
    is_met: impl Fn(&C::Time) -> bool,
    times: &mut Vec<(C::Time, Diff)>,
) where
    C: Cursor<Diff = Diff>,
    C::Time: RenderTime,
{
    times.clear();
    cursor.map_times(storage, |time, diff| {
        let time = C::owned_time(time);
        if is_met(&time) {
            times.push((time, C::owned_diff(diff)));
        }
    });
    consolidate(times);
}
