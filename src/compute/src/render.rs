//! Physical plans to dataflow fragments.
//!
//! Every collection is a pair of streams, rows and errors. Errors keep their sign through every operator, or a negated error
//! would cancel its twin; they are made distinct where a collection is bound to a name. A multiplicity that no multiset can
//! have is an error row, never a panic.
//!
//! Here a plan is walked; each kind of node has its file. An object with recursion is rendered whole in an iterative scope,
//! where times carry a counter of rounds for each open LetRec.

pub(crate) mod bundle;
pub(crate) mod dataflow;
mod delta;
mod flat_map;
mod join;
mod let_rec;
pub(crate) mod operators;
mod pairs;
mod reduce;
pub(crate) mod subscribe;
mod threshold;
pub(crate) mod time;
mod top_k;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use differential_dataflow::collection::concatenate;
use expr::{EvalError, LocalId, Mfp, Scalar};
use protocol::Lookup;
use protocol::plan::{Node, Plan};
use repr::{CollectionId, Kind, Row, Timestamp};
use timely::dataflow::Scope;
use trace::Diff;

use self::bundle::Bundle;
use self::operators::{Streams, constant, distinct_errors, flat_map_fallible};
use self::time::RenderTime;
use crate::layout::RowLayout;

/// Stack that must be left before a node's inputs are rendered, and the size of a new segment.
const STACK_RED_ZONE_BYTES: usize = 256 << 10;
const STACK_SEGMENT_BYTES: usize = 4 << 20;

/// Tells the operators of a dataflow that all workers have dropped it.
///
/// Not before: an operator that stops on one worker gives up its times, and another worker, where the dataflow still has
/// readers, would take the data that it never sent for complete.
#[derive(Clone, Default)]
pub(crate) struct Ended(Rc<Cell<bool>>);

impl Ended {
    pub(crate) fn set(&self) {
        self.0.set(true);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.get()
    }
}

/// What plans are rendered in: one scope, what is bound there, and the times of interest.
pub(crate) struct Context<'scope, T: RenderTime> {
    pub(crate) scope: Scope<'scope, T>,
    pub(crate) as_of: Timestamp,
    pub(crate) until: Option<Timestamp>,
    /// Set when no worker listens to the dataflow any more: whatever could go on for long stops.
    pub(crate) ended: Ended,
    pub(crate) globals: BTreeMap<CollectionId, Bundle<'scope, T>>,
    pub(crate) locals: BTreeMap<LocalId, Bundle<'scope, T>>,
    /// LetRecs that are open around the node being rendered.
    pub(crate) depth: usize,
}

impl<'scope, T: RenderTime> Context<'scope, T> {
    pub(crate) fn new(
        scope: Scope<'scope, T>,
        as_of: Timestamp,
        until: Option<Timestamp>,
        ended: Ended,
    ) -> Context<'scope, T> {
        Context { scope, as_of, until, ended, globals: BTreeMap::new(), locals: BTreeMap::new(), depth: 0 }
    }

    /// Renders a plan.
    pub(crate) fn render(&mut self, plan: &Plan) -> Bundle<'scope, T> {
        stacker::maybe_grow(STACK_RED_ZONE_BYTES, STACK_SEGMENT_BYTES, || self.render_node(plan))
    }

    fn render_node(&mut self, plan: &Plan) -> Bundle<'scope, T> {
        let kinds = &plan.kinds;
        match &plan.node {
            Node::Constant { rows } => self.constant(kinds, rows),
            Node::Get { id, key, lookup, mfp } => self.get(*id, key.as_deref(), lookup.as_ref(), mfp, kinds),
            Node::GetLocal { id, mfp } => {
                let bound = self.locals.get(id).unwrap_or_else(|| panic!("plan reads {id:?}, which is not bound"));
                let bound = bound.clone();
                self.mfp(bound, mfp, kinds)
            }
            Node::Let { id, value, body } => {
                let value = self.bound(value);
                let shadowed = self.locals.insert(*id, value);
                let output = self.render(body);
                self.rebind(*id, shadowed);
                output
            }
            Node::LetRec { ids, values, limit, body } => T::let_rec(self, ids, values, *limit, body),
            Node::Mfp { input, mfp } => {
                let input = self.render(input);
                self.mfp(input, mfp, kinds)
            }
            Node::FlatMap { input, func, exprs, mfp } => flat_map::render(self, input, func, exprs, mfp, kinds),
            Node::Join(join) => join::render(self, join, kinds),
            Node::Reduce { input, key, plan: reduce, mfp } => {
                let output = reduce::render(self, input, key, reduce, &mfp.input_kinds);
                self.mfp(output, mfp, kinds)
            }
            Node::TopK { input, group_key, order, limit, offset, monotonic, levels } => {
                let input = self.render(input);
                let plan = top_k::TopKPlan {
                    kinds: input.kinds.clone(),
                    group_key: group_key.clone(),
                    order: order.clone(),
                    limit: *limit,
                    offset: *offset,
                    monotonic: *monotonic,
                    levels: *levels,
                };
                Bundle::from_streams(kinds.clone(), top_k::render(input.streams(), plan))
            }
            Node::Negate { input } => {
                let Streams { oks, errs } = self.render(input).streams();
                Bundle::from_streams(kinds.clone(), Streams { oks: oks.negate(), errs })
            }
            Node::Threshold { input } => {
                let input = self.render(input).streams();
                Bundle::from_streams(kinds.clone(), threshold::render(input))
            }
            Node::Union { inputs } => {
                let inputs: Vec<Streams<'scope, T>> = inputs.iter().map(|input| self.render(input).streams()).collect();
                let (oks, errs): (Vec<_>, Vec<_>) = inputs.into_iter().map(|input| (input.oks, input.errs)).unzip();
                let streams = Streams { oks: concatenate(self.scope, oks), errs: concatenate(self.scope, errs) };
                Bundle::from_streams(kinds.clone(), streams)
            }
            Node::ArrangeBy { input, keys } => {
                let mut input = self.render(input);
                for key in keys {
                    input.arrange(key);
                }
                input
            }
        }
    }

    /// Renders a plan whose result is bound to a name: its errors are made distinct.
    pub(crate) fn bound(&mut self, plan: &Plan) -> Bundle<'scope, T> {
        let mut bundle = self.render(plan);
        if let Some(Streams { oks, errs }) = bundle.collection().cloned() {
            bundle.set_streams(Streams { oks, errs: distinct_errors(errs) });
        }
        bundle
    }

    /// Gives `id` back the value that it had outside, if any.
    pub(crate) fn rebind(&mut self, id: LocalId, shadowed: Option<Bundle<'scope, T>>) {
        match shadowed {
            Some(value) => self.locals.insert(id, value),
            None => self.locals.remove(&id),
        };
    }

    pub(crate) fn mfp(&self, input: Bundle<'scope, T>, mfp: &Mfp, kinds: &[Kind]) -> Bundle<'scope, T> {
        input.mfp(mfp, kinds, self.until, self.as_of)
    }

    fn constant(&self, kinds: &[Kind], rows: &Result<Vec<(Row, repr::Diff)>, EvalError>) -> Bundle<'scope, T> {
        let (rows, errors) = match rows {
            Ok(rows) => (rows.iter().map(|(row, diff)| (row.clone(), Diff(*diff))).collect(), Vec::new()),
            Err(error) => (Vec::new(), vec![(error.clone(), Diff::ONE)]),
        };
        let streams = Streams {
            oks: constant(self.scope, rows, self.as_of, self.until),
            errs: constant(self.scope, errors, self.as_of, self.until),
        };
        Bundle::from_streams(kinds.to_vec(), streams)
    }

    fn get(
        &self,
        id: CollectionId,
        key: Option<&[Scalar]>,
        lookup: Option<&Lookup>,
        mfp: &Mfp,
        kinds: &[Kind],
    ) -> Bundle<'scope, T> {
        let bundle = self.globals.get(&id).unwrap_or_else(|| panic!("plan reads {id}, which is not imported"));
        let arranged = key.and_then(|key| bundle.arrangement(key));
        let found = match (key, lookup, arranged) {
            (_, Some(lookup), Some(arranged)) => Bundle::from_streams(bundle.kinds.clone(), arranged.look_up(lookup)),
            (Some(key), Some(lookup), None) => {
                Bundle::from_streams(bundle.kinds.clone(), scan_for(bundle.streams(), &bundle.kinds, key, lookup))
            }
            (_, None, Some(arranged)) if !mfp.is_identity() => {
                Bundle::from_streams(bundle.kinds.clone(), arranged.streams())
            }
            _ => bundle.clone(),
        };
        self.mfp(found, mfp, kinds)
    }
}

/// The rows whose key is looked up, found by looking at all of them.
fn scan_for<'scope, T: RenderTime>(
    input: Streams<'scope, T>,
    kinds: &[Kind],
    key: &[Scalar],
    lookup: &Lookup,
) -> Streams<'scope, T> {
    let lookup = lookup.clone();
    let mut evaluator = RowLayout::new(key, kinds).key_evaluator();
    let (oks, errs) =
        flat_map_fallible(input.oks, "ScanFor", move |row: Row, time, diff, emit| match evaluator.evaluate(&row) {
            Ok(key) if lookup.contains(&key) => emit.ok(row, time, diff),
            Ok(_) => {}
            Err(error) => emit.err(error, time, diff),
        });
    Streams { oks, errs: input.errs.concat(errs) }
}

/// True if the plan has a LetRec.
pub(crate) fn is_recursive(plan: &Plan) -> bool {
    plan.any_node(&mut |node| matches!(node, Node::LetRec { .. }))
}

/// The imports and objects that the plan reads.
pub(crate) fn gets(plan: &Plan) -> BTreeSet<CollectionId> {
    let mut ids = BTreeSet::new();
    plan.any_node(&mut |node| {
        if let Node::Get { id, .. } = node {
            ids.insert(*id);
        }
        false
    });
    ids
}
