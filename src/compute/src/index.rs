//! Exported indexes on this worker: traces that other dataflows import and that are published for peeks.

use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::trace::{BatchReader, TraceReader};
use expr::EvalError;
use repr::Timestamp;
use timely::progress::Antichain;
use trace::{ArcBatch, KeyBatch, KeySpine, RowRowBatch, RowRowSpine, Ts, upper_of};

use crate::layout::RowLayout;
use crate::render::dataflow::DataflowGuard;

/// Rows by key and errors, as a dataflow maintains them.
pub(crate) struct IndexArrangement {
    pub(crate) layout: Arc<RowLayout>,
    pub(crate) oks: TraceAgent<RowRowSpine<Ts>>,
    pub(crate) errs: TraceAgent<KeySpine<EvalError, Ts>>,
}

/// An installed index.
pub(crate) struct IndexTraces {
    pub(crate) arrangement: IndexArrangement,
    pub(crate) guard: Rc<DataflowGuard>,
    /// As the controller allows it. All workers see the same; compaction itself may lag behind for peeks.
    since: Timestamp,
    published: Option<Arc<Snapshot>>,
    /// Since and upper of the last compaction.
    compacted: Option<(Timestamp, Timestamp)>,
}

/// An index of one worker at one moment: immutable, and right for reads at times in `[since, upper)`.
pub(crate) struct Snapshot {
    pub(crate) since: Timestamp,
    pub(crate) upper: Timestamp,
    pub(crate) layout: Arc<RowLayout>,
    pub(crate) oks: Vec<RowRowBatch<Ts>>,
    pub(crate) errs: Vec<KeyBatch<EvalError, Ts>>,
}

impl IndexTraces {
    pub(crate) fn new(arrangement: IndexArrangement, guard: Rc<DataflowGuard>, as_of: Timestamp) -> IndexTraces {
        IndexTraces { arrangement, guard, since: as_of, published: None, compacted: None }
    }

    pub(crate) fn since(&self) -> Timestamp {
        self.since
    }

    /// Reads below `since` are no longer promised.
    pub(crate) fn allow_compaction(&mut self, since: Timestamp) {
        self.since = self.since.max(since);
    }

    /// Up to where the index is complete on this worker.
    pub(crate) fn upper(&mut self) -> Timestamp {
        let mut upper = Antichain::new();
        self.arrangement.oks.read_upper(&mut upper);
        let oks = upper_of(upper.borrow());
        self.arrangement.errs.read_upper(&mut upper);
        oks.min(upper_of(upper.borrow()))
    }

    /// Lets the traces forget what nobody may read any more, `hold` being the least time that a waiting peek needs.
    pub(crate) fn compact(&mut self, hold: Option<Timestamp>) {
        let since = hold.map_or(self.since, |hold| hold.min(self.since));
        let done = Some((since, self.upper()));
        if self.compacted == done {
            return;
        }
        self.compacted = done;
        let logical = Antichain::from_elem(Ts(since));
        let IndexArrangement { oks, errs, .. } = &mut self.arrangement;
        let mut upper = Antichain::new();
        // A trace merges only below the physical compaction of all its readers, and this handle is one of them.
        oks.set_logical_compaction(logical.borrow());
        oks.read_upper(&mut upper);
        oks.set_physical_compaction(upper.borrow());
        errs.set_logical_compaction(logical.borrow());
        errs.read_upper(&mut upper);
        errs.set_physical_compaction(upper.borrow());
    }

    /// A snapshot, if there is something new since the last one.
    pub(crate) fn snapshot(&mut self) -> Option<Arc<Snapshot>> {
        let upper = self.upper();
        let IndexArrangement { layout, oks, errs } = &mut self.arrangement;
        let since = oks.get_logical_compaction().first().map_or(self.since, |time| time.0);
        if let Some(published) = &self.published
            && published.since == since
            && published.upper == upper
            && has_batches(oks, &published.oks)
            && has_batches(errs, &published.errs)
        {
            return None;
        }
        let layout = Arc::clone(layout);
        let snapshot = Arc::new(Snapshot { since, upper, layout, oks: batches(oks), errs: batches(errs) });
        self.published = Some(Arc::clone(&snapshot));
        Some(snapshot)
    }
}

/// The trace's batches that are not empty.
fn batches<B, Tr>(trace: &Tr) -> Vec<ArcBatch<B>>
where
    B: BatchReader,
    Tr: TraceReader<Batch = ArcBatch<B>, Time = B::Time>,
{
    let mut batches = Vec::new();
    trace.map_batches(|batch| {
        if !batch.is_empty() {
            batches.push(batch.clone());
        }
    });
    batches
}

/// True if the trace's batches that are not empty are exactly these.
fn has_batches<B, Tr>(trace: &Tr, batches: &[ArcBatch<B>]) -> bool
where
    B: BatchReader,
    Tr: TraceReader<Batch = ArcBatch<B>, Time = B::Time>,
{
    let mut expected = batches.iter();
    let mut is_same = true;
    trace.map_batches(|batch| {
        if !batch.is_empty() {
            is_same = is_same && expected.next().is_some_and(|expected| expected.is_same(batch));
        }
    });
    is_same && expected.next().is_none()
}
