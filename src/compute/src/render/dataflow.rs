//! A dataflow as a whole: its imports, its objects, its exports, and how it ends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::dynamic::pointstamp::PointStamp;
use differential_dataflow::operators::arrange::{Arranged, ShutdownButton, TraceAgent};
use differential_dataflow::trace::wrappers::enter::{BatchEnter, TraceEnter};
use differential_dataflow::trace::wrappers::frontier::TraceFrontier;
use expr::Scalar;
use persist::Selection;
use protocol::dataflow::{Dataflow, Export, Import};
use protocol::plan::Plan;
use repr::{CollectionId, Kind};
use storage::{SinkHandle, Token, drop_signal};
use timely::dataflow::Scope;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{CapabilitySet, Probe, probe};
use timely::progress::Antichain;
use timely::worker::Worker;
use trace::{RowRowSpine, Ts, arrange_keys, frontier_of};

use super::bundle::{ArrangedRows, Bundle, RowTrace};
use super::operators::{Errs, Streams, distinct_errors};
use super::subscribe::{self, Subscription};
use super::time::Iteration;
use super::{Context, Ended};
use crate::ends::ShardEnds;
use crate::index::{IndexArrangement, IndexTraces};
use crate::layout::RowLayout;

/// An index as it is imported, before it enters a scope of plans.
type RawImport<'scope> = Arranged<'scope, TraceFrontier<TraceAgent<RowRowSpine<Ts>>>>;

/// Dataflows that have been dropped here and wait for the other workers to drop them too.
pub(crate) type Graveyard = Rc<RefCell<Vec<Remains>>>;

/// Keeps a dataflow running on this worker: shared by its exports, and by the dataflows that import them.
///
/// A worker that gave up its inputs at once would let the frontier of the others pass data that it never sent. So each
/// worker first says that nobody listens any more, and gives up the inputs when all have said so (see `storage::drop_signal`).
pub(crate) struct DataflowGuard {
    signal: Option<Token>,
    sources: Vec<Token>,
    remains: Option<Remains>,
    graveyard: Graveyard,
}

/// What a dropped dataflow holds until all workers have dropped it.
pub(crate) struct Remains {
    all_dropped: probe::Handle<Ts>,
    ended: Ended,
    imports: Vec<ShutdownButton<CapabilitySet<Ts>>>,
    _exporters: Vec<Rc<DataflowGuard>>,
}

impl Remains {
    /// Gives up the inputs, and stops what is being computed, if no worker listens any more. Returns true when that is done.
    pub(crate) fn bury(&mut self) -> bool {
        if !self.all_dropped.done() {
            return false;
        }
        self.ended.set();
        self.imports.iter_mut().for_each(ShutdownButton::press);
        true
    }
}

impl Drop for DataflowGuard {
    fn drop(&mut self) {
        self.sources.clear();
        self.signal = None;
        self.graveyard.borrow_mut().extend(self.remains.take());
    }
}

/// An export on this worker.
pub(crate) enum BuiltExport {
    Index(Box<IndexArrangement>),
    MaterializedView { handle: SinkHandle, token: Token },
    Subscribe(Rc<RefCell<Subscription>>),
}

/// Builds a dataflow. All workers of a replica build the same dataflows in the same order.
///
/// Panics: an import is unknown, or `as_of` lies below the since of one; both mean that a hold was lost.
pub(crate) fn build(
    worker: &mut Worker,
    ends: &dyn ShardEnds,
    indexes: &mut BTreeMap<CollectionId, IndexTraces>,
    graveyard: &Graveyard,
    dataflow: &Dataflow,
) -> (Rc<DataflowGuard>, Vec<(CollectionId, BuiltExport)>) {
    worker.dataflow_named::<Ts, _, _>(&dataflow.name, |scope| {
        let signal = drop_signal(scope);
        let all_dropped = probe::Handle::new();
        signal.stream.probe_with(&all_dropped);
        let ended = Ended::default();
        let mut builder = Builder {
            dataflow,
            context: Context::new(scope, dataflow.as_of, dataflow.until, ended.clone()),
            raw_imports: Vec::new(),
            buttons: Vec::new(),
            exporters: Vec::new(),
            sources: Vec::new(),
        };
        for import in &dataflow.imports {
            builder.import(ends, indexes, import);
        }
        for object in &dataflow.objects {
            builder.object(object.id, &object.plan);
        }
        let exports = dataflow.exports.iter().map(|export| (export.id(), builder.export(ends, export))).collect();
        let guard = DataflowGuard {
            signal: Some(signal.token),
            sources: builder.sources,
            remains: Some(Remains { all_dropped, ended, imports: builder.buttons, _exporters: builder.exporters }),
            graveyard: Rc::clone(graveyard),
        };
        (Rc::new(guard), exports)
    })
}

struct Builder<'scope, 'd> {
    dataflow: &'d Dataflow,
    context: Context<'scope, Ts>,
    raw_imports: Vec<ImportedIndex<'scope>>,
    buttons: Vec<ShutdownButton<CapabilitySet<Ts>>>,
    exporters: Vec<Rc<DataflowGuard>>,
    sources: Vec<Token>,
}

struct ImportedIndex<'scope> {
    on: CollectionId,
    layout: Arc<RowLayout>,
    oks: RawImport<'scope>,
    errs: Errs<'scope, Ts>,
}

impl<'scope> Builder<'scope, '_> {
    fn scope(&self) -> Scope<'scope, Ts> {
        self.context.scope
    }

    fn import(&mut self, ends: &dyn ShardEnds, indexes: &mut BTreeMap<CollectionId, IndexTraces>, import: &Import) {
        match import {
            Import::Index { index, on, key, kinds } => {
                let traces = indexes.get_mut(index).unwrap_or_else(|| {
                    panic!("dataflow {} imports index {index}, which is not installed", self.dataflow.name)
                });
                self.import_index(*index, *on, key, kinds, traces);
            }
            Import::Shard { id, shard, kinds } => {
                let name = format!("{} {id}", self.dataflow.name);
                let Dataflow { as_of, until, .. } = self.dataflow;
                // The shard may have got more columns since the dataflow was planned.
                let selection = Selection { bounds: self.dataflow.bounds(*id), columns: Some(kinds.len()) };
                let source = ends.source(self.scope(), &name, *shard, *as_of, *until, selection);
                self.sources.push(source.token);
                let streams = Streams { oks: source.oks, errs: source.errs };
                self.add_streams(*id, kinds, streams);
            }
        }
    }

    fn import_index(
        &mut self,
        index: CollectionId,
        on: CollectionId,
        key: &[Scalar],
        kinds: &[Kind],
        traces: &mut IndexTraces,
    ) {
        let Dataflow { name, as_of, until, .. } = self.dataflow;
        assert!(
            traces.since() <= *as_of,
            "dataflow {name} reads index {index} at {as_of}, below its since {}: a hold was lost",
            traces.since(),
        );
        let since = Antichain::from_elem(Ts(*as_of));
        let until = until.map_or_else(Antichain::new, frontier_of);
        let scope = self.scope();
        let operator = format!("Import {index}");
        let (oks, ok_button) =
            traces.arrangement.oks.import_frontier_core(scope, &operator, since.clone(), until.clone());
        let (errs, err_button) = traces.arrangement.errs.import_frontier_core(scope, &operator, since, until);
        let errs = errs.as_collection(|error, ()| error.clone());
        self.buttons.extend([ok_button, err_button]);
        self.exporters.push(Rc::clone(&traces.guard));
        let layout = Arc::new(RowLayout::new(key, kinds));
        let entered = Arranged {
            stream: oks.stream.clone().map(BatchEnter::make_from),
            trace: TraceEnter::make_from(oks.trace.clone()),
        };
        let arranged =
            ArrangedRows { layout: Arc::clone(&layout), oks: RowTrace::Imported(entered), errs: errs.clone() };
        match self.context.globals.get_mut(&on) {
            Some(bundle) => bundle.add_arrangement(arranged),
            None => {
                self.context.globals.insert(on, Bundle::from_arrangement(arranged));
            }
        }
        self.raw_imports.push(ImportedIndex { on, layout, oks, errs });
    }

    fn add_streams(&mut self, id: CollectionId, kinds: &[Kind], streams: Streams<'scope, Ts>) {
        match self.context.globals.get_mut(&id) {
            Some(bundle) => bundle.set_streams(streams),
            None => {
                self.context.globals.insert(id, Bundle::from_streams(kinds.to_vec(), streams));
            }
        }
    }

    fn object(&mut self, id: CollectionId, plan: &Plan) {
        let bundle = if super::is_recursive(plan) { self.recursive(plan) } else { self.context.bound(plan) };
        self.context.globals.insert(id, bundle);
    }

    /// Renders a plan with recursion in a scope of its own. Imported indexes are shared with it, arrangements made in this
    /// dataflow are not: their times have no rounds.
    fn recursive(&self, plan: &Plan) -> Bundle<'scope, Ts> {
        let scope = self.scope();
        let needed = super::gets(plan);
        let streams = scope.iterative::<PointStamp<u64>, _, _>(|inner| {
            let Context { as_of, until, ended, .. } = &self.context;
            let mut context: Context<'_, Iteration> = Context::new(inner, *as_of, *until, ended.clone());
            for import in self.raw_imports.iter().filter(|import| needed.contains(&import.on)) {
                let arranged = ArrangedRows {
                    layout: Arc::clone(&import.layout),
                    oks: RowTrace::Imported(import.oks.clone().enter(inner)),
                    errs: import.errs.clone().enter(inner),
                };
                match context.globals.get_mut(&import.on) {
                    Some(bundle) => bundle.add_arrangement(arranged),
                    None => {
                        context.globals.insert(import.on, Bundle::from_arrangement(arranged));
                    }
                }
            }
            for id in &needed {
                let Some(bundle) = self.context.globals.get(id) else { continue };
                let is_imported = context.globals.contains_key(id);
                if is_imported && bundle.collection().is_none() {
                    continue;
                }
                let Streams { oks, errs } = bundle.streams();
                let streams = Streams { oks: oks.enter(inner), errs: errs.enter(inner) };
                match context.globals.get_mut(id) {
                    Some(entered) => entered.set_streams(streams),
                    None => {
                        context.globals.insert(*id, Bundle::from_streams(bundle.kinds.clone(), streams));
                    }
                }
            }
            let Streams { oks, errs } = context.bound(plan).streams();
            Streams { oks: oks.leave(scope), errs: errs.leave(scope) }
        });
        Bundle::from_streams(plan.kinds.clone(), streams)
    }

    fn export(&mut self, ends: &dyn ShardEnds, export: &Export) -> BuiltExport {
        let Dataflow { name, as_of, .. } = self.dataflow;
        let on = match export {
            Export::Index { on, .. } | Export::MaterializedView { on, .. } | Export::Subscribe { on, .. } => on,
        };
        let bundle = self.context.globals.get_mut(on);
        let bundle = bundle.unwrap_or_else(|| panic!("dataflow {name} exports {on}, which it neither reads nor makes"));
        match export {
            Export::Index { key, .. } => BuiltExport::Index(Box::new(export_index(bundle, key))),
            Export::MaterializedView { id, shard, .. } => {
                let Streams { oks, errs } = bundle.streams();
                let sink = ends.sink(&format!("{name} {id}"), *shard, *as_of, oks, errs);
                BuiltExport::MaterializedView { handle: sink.handle, token: sink.token }
            }
            Export::Subscribe { with_snapshot, up_to, .. } => {
                let subscription = Rc::new(RefCell::new(Subscription::new(*as_of, *with_snapshot, *up_to)));
                subscribe::render(name, bundle.streams(), Rc::clone(&subscription));
                BuiltExport::Subscribe(subscription)
            }
        }
    }
}

/// Arranges a collection by `key` for others. Its errors, those of the key among them, are made distinct.
fn export_index(bundle: &mut Bundle<'_, Ts>, key: &[Scalar]) -> IndexArrangement {
    let found = bundle.arrange(key);
    let (oks, errs) = match found.oks {
        RowTrace::Local(arranged) => (arranged.trace, found.errs),
        // An index on what is an index already: it must outlive the other one.
        RowTrace::Imported(_) => {
            let made = bundle.arrange_anew(key);
            match made.oks {
                RowTrace::Local(arranged) => (arranged.trace, made.errs),
                RowTrace::Imported(_) => unreachable!("an arrangement made here is local"),
            }
        }
    };
    let errs = arrange_keys(distinct_errors(errs), "ArrangeIndexErrors").trace;
    IndexArrangement { layout: Arc::new(RowLayout::new(key, &bundle.kinds)), oks, errs }
}
