//! Exported indexes on this worker: traces that other dataflows import and that are published for peeks.

use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::trace::{BatchReader, TraceReader};
use expr::EvalError;
use repr::Timestamp;
use timely::progress::Antichain;
use trace::{KeyBatch, KeySpine, RowRowBatch, RowRowSpine, Ts, upper_of};

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
        IndexTraces { arrangement, guard, since: as_of, published: None }
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
        let mut ok_batches = Vec::new();
        oks.map_batches(|batch| ok_batches.push(batch.clone()));
        let mut err_batches = Vec::new();
        errs.map_batches(|batch| err_batches.push(batch.clone()));
        ok_batches.retain(|batch| !batch.is_empty());
        err_batches.retain(|batch| !batch.is_empty());
        let is_same = self.published.as_ref().is_some_and(|published| {
            published.since == since
                && published.upper == upper
                && published.oks.len() == ok_batches.len()
                && published.errs.len() == err_batches.len()
                && published.oks.iter().zip(&ok_batches).all(|(old, new)| old.is_same(new))
                && published.errs.iter().zip(&err_batches).all(|(old, new)| old.is_same(new))
        });
        if is_same {
            return None;
        }
        let layout = Arc::clone(layout);
        let snapshot = Arc::new(Snapshot { since, upper, layout, oks: ok_batches, errs: err_batches });
        self.published = Some(Arc::clone(&snapshot));
        Some(snapshot)
    }
}
