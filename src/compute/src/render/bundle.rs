//! What a plan node yields: a collection, arrangements of it, or both.

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::wrappers::enter::TraceEnter;
use differential_dataflow::trace::wrappers::frontier::TraceFrontier;
use differential_dataflow::trace::{BatchCursor, Cursor, Navigable, TraceReader};
use expr::{Mfp, Scalar};
use protocol::{KeyRange, Lookup};
use repr::{Kind, Row, Timestamp};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use trace::{Diff, RowRowSpine, Ts, arrange_vals};

use super::operators::{Errs, Rows, Streams, apply_mfp, flat_map_fallible};
use super::time::RenderTime;
use crate::layout::RowLayout;

/// An arrangement made in the dataflow that reads it.
pub(crate) type LocalTrace<T> = TraceAgent<RowRowSpine<T>>;
/// An index of another dataflow, seen from its as_of on.
pub(crate) type ImportedTrace<T> = TraceEnter<TraceFrontier<TraceAgent<RowRowSpine<Ts>>>, T>;

/// Rows by key, from here or from an index.
#[derive(Clone)]
pub(crate) enum RowTrace<'scope, T: RenderTime> {
    Local(Arranged<'scope, LocalTrace<T>>),
    Imported(Arranged<'scope, ImportedTrace<T>>),
}

/// A collection arranged by a key, and its errors, those of the key's expressions among them.
#[derive(Clone)]
pub(crate) struct ArrangedRows<'scope, T: RenderTime> {
    pub(crate) layout: Arc<RowLayout>,
    pub(crate) oks: RowTrace<'scope, T>,
    pub(crate) errs: Errs<'scope, T>,
}

impl<'scope, T: RenderTime> ArrangedRows<'scope, T> {
    /// All rows, as a stream.
    pub(crate) fn streams(&self) -> Streams<'scope, T> {
        let layout = Arc::clone(&self.layout);
        let restore = move |key: &Row, value: &Row| layout.restore(key, value);
        let oks = match &self.oks {
            RowTrace::Local(arranged) => arranged.clone().as_collection(restore),
            RowTrace::Imported(arranged) => arranged.clone().as_collection(restore),
        };
        Streams { oks, errs: self.errs.clone() }
    }

    /// The rows whose key is looked up.
    pub(crate) fn look_up(&self, lookup: &Lookup) -> Streams<'scope, T> {
        let layout = Arc::clone(&self.layout);
        let oks = match &self.oks {
            RowTrace::Local(arranged) => look_up(arranged.clone(), lookup, layout),
            RowTrace::Imported(arranged) => look_up(arranged.clone(), lookup, layout),
        };
        Streams { oks, errs: self.errs.clone() }
    }
}

fn look_up<'scope, T, Tr>(arranged: Arranged<'scope, Tr>, lookup: &Lookup, layout: Arc<RowLayout>) -> Rows<'scope, T>
where
    T: RenderTime,
    Tr: TraceReader<Time = T, Batch: Navigable> + 'static,
    BatchCursor<Tr>: Cursor<Time = T, Diff = Diff>,
    for<'a> BatchCursor<Tr>: Cursor<Key<'a> = &'a Row, Val<'a> = &'a Row>,
{
    // A key is the range of itself: nothing but it starts with it.
    let ranges: Vec<KeyRange> = match lookup {
        Lookup::Keys(keys) => keys.iter().map(|key| KeyRange::starting_with(key.as_bytes())).collect(),
        Lookup::Ranges(ranges) => ranges.clone(),
    };
    arranged
        .stream
        .unary::<CapacityContainerBuilder<Vec<(Row, T, Diff)>>, _, _, _>(
            Pipeline,
            "LookUp",
            move |_capability, _info| {
                move |input, output| {
                    input.for_each(|capability, batches| {
                        let mut session = output.session(&capability);
                        for batch in batches.iter() {
                            let mut cursor = batch.cursor();
                            for range in &ranges {
                                cursor.seek_key(batch, &range.from);
                                while let Some(key) = cursor.get_key(batch).filter(|key| range.reaches(key)) {
                                    while let Some(value) = cursor.get_val(batch) {
                                        let row = layout.restore(key, value);
                                        cursor.map_times(batch, |time, diff| {
                                            let time = <BatchCursor<Tr> as Cursor>::owned_time(time);
                                            let diff = <BatchCursor<Tr> as Cursor>::owned_diff(diff);
                                            session.give((row.clone(), time, diff));
                                        });
                                        cursor.step_val(batch);
                                    }
                                    cursor.step_key(batch);
                                }
                            }
                        }
                    });
                }
            },
        )
        .as_collection()
}

/// A collection in the forms in which it is at hand.
#[derive(Clone)]
pub(crate) struct Bundle<'scope, T: RenderTime> {
    pub(crate) kinds: Vec<Kind>,
    collection: Option<Streams<'scope, T>>,
    arrangements: BTreeMap<Vec<Scalar>, ArrangedRows<'scope, T>>,
}

impl<'scope, T: RenderTime> Bundle<'scope, T> {
    pub(crate) fn from_streams(kinds: Vec<Kind>, streams: Streams<'scope, T>) -> Bundle<'scope, T> {
        Bundle { kinds, collection: Some(streams), arrangements: BTreeMap::new() }
    }

    pub(crate) fn from_arrangement(arranged: ArrangedRows<'scope, T>) -> Bundle<'scope, T> {
        let mut bundle =
            Bundle { kinds: arranged.layout.kinds().to_vec(), collection: None, arrangements: BTreeMap::new() };
        bundle.add_arrangement(arranged);
        bundle
    }

    pub(crate) fn add_arrangement(&mut self, arranged: ArrangedRows<'scope, T>) {
        self.arrangements.insert(arranged.layout.key().to_vec(), arranged);
    }

    /// The same collection in fewer forms: a collection bound anew has only its streams.
    pub(crate) fn set_streams(&mut self, streams: Streams<'scope, T>) {
        self.collection = Some(streams);
    }

    pub(crate) fn arrangement(&self, key: &[Scalar]) -> Option<&ArrangedRows<'scope, T>> {
        self.arrangements.get(key)
    }

    /// The rows as streams, read from an arrangement if need be.
    pub(crate) fn streams(&self) -> Streams<'scope, T> {
        match (&self.collection, self.arrangements.values().next()) {
            (Some(streams), _) => streams.clone(),
            (None, Some(arranged)) => arranged.streams(),
            (None, None) => unreachable!("a bundle is made of streams or of an arrangement"),
        }
    }

    /// The streams alone, if they are at hand without reading an arrangement.
    pub(crate) fn collection(&self) -> Option<&Streams<'scope, T>> {
        self.collection.as_ref()
    }

    /// Returns the arrangement by `key`, and makes it if there is none.
    pub(crate) fn arrange(&mut self, key: &[Scalar]) -> ArrangedRows<'scope, T> {
        if let Some(arranged) = self.arrangements.get(key) {
            return arranged.clone();
        }
        self.arrange_anew(key)
    }

    /// Makes an arrangement of this dataflow by `key`, even if an imported one is at hand.
    pub(crate) fn arrange_anew(&mut self, key: &[Scalar]) -> ArrangedRows<'scope, T> {
        let streams = self.streams();
        // Another key needs the streams as well.
        self.collection = Some(streams.clone());
        let layout = Arc::new(RowLayout::new(key, &self.kinds));
        let mut evaluator = layout.key_evaluator();
        let split = Arc::clone(&layout);
        let (pairs, key_errs) = flat_map_fallible(streams.oks, "FormKey", move |row, time, diff, emit| {
            emit.result(split.split(&mut evaluator, &row), time, diff);
        });
        let arranged = ArrangedRows {
            layout,
            oks: RowTrace::Local(arrange_vals(pairs, "ArrangeBy")),
            errs: streams.errs.concat(key_errs),
        };
        self.add_arrangement(arranged.clone());
        arranged
    }

    /// Runs an MFP. The result has the kinds `kinds`; an identity keeps the arrangements.
    pub(crate) fn mfp(
        self,
        mfp: &Mfp,
        kinds: &[Kind],
        until: Option<Timestamp>,
        as_of: Timestamp,
    ) -> Bundle<'scope, T> {
        if mfp.is_identity() {
            return self;
        }
        Bundle::from_streams(kinds.to_vec(), apply_mfp(self.streams(), mfp, until, as_of))
    }
}
