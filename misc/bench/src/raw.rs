//! W1 by hand in raw differential dataflow: one worker on this thread, stepped until the answer is complete. Nothing is
//! durable and nothing crosses a wire; it is the bound to divide by.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use differential_dataflow::input::{Input, InputSession};
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::dataflow::operators::probe::Handle;
use timely::worker::Worker;

use crate::workload::{Answer, AnswerRow, Batch, Model};

type Time = u64;

pub(crate) struct Raw {
    worker: Worker,
    auctions: InputSession<Time, (i32, i32), isize>,
    bids: InputSession<Time, (i32, i64), isize>,
    probe: Handle<Time>,
    /// The rows of the view with their multiplicities, as the dataflow has told them.
    rows: Rc<RefCell<BTreeMap<AnswerRow, isize>>>,
}

impl Raw {
    pub(crate) fn new() -> Raw {
        let mut worker = Worker::new(WorkerConfig::default(), Allocator::Thread(Thread::default()), None);
        let rows = Rc::new(RefCell::new(BTreeMap::new()));
        let output = Rc::clone(&rows);
        let (auctions, bids, probe) = worker.dataflow::<Time, _, _>(|scope| {
            let (auctions_input, auctions) = scope.new_collection::<(i32, i32), isize>();
            let (bids_input, bids) = scope.new_collection::<(i32, i64), isize>();
            // The values come in order, so the last is the greatest.
            let best = bids.reduce(|_auction, prices, best| {
                if let Some((price, _)) = prices.last() {
                    best.push((**price, 1_isize));
                }
            });
            let (probe, _) = best
                .join_map(auctions, |_auction, price, category| (*category, *price))
                // Sum and count live in the multiplicity, where they are kept up to date in place.
                .explode(|(category, price)| Some((category, (price as isize, 1_isize))))
                .count()
                .inspect(move |((category, (total, auctions)), _time, diff)| {
                    let mut rows = output.borrow_mut();
                    let count = rows.entry((*category, *total as i64, *auctions as i64)).or_insert(0);
                    *count += *diff;
                    if *count == 0 {
                        rows.remove(&(*category, *total as i64, *auctions as i64));
                    }
                })
                .probe();
            (auctions_input, bids_input, probe)
        });
        Raw { worker, auctions, bids, probe, rows }
    }

    /// Loads the base rows and waits for the view.
    pub(crate) fn load(&mut self, model: &Model) {
        for row in model.auctions() {
            self.auctions.insert(row);
        }
        for bid in model.bids() {
            self.bids.insert((bid.auction, bid.price));
        }
        self.complete();
    }

    /// Applies a batch and waits for the view.
    pub(crate) fn apply(&mut self, batch: &Batch) {
        for bid in &batch.inserts {
            self.bids.insert((bid.auction, bid.price));
        }
        for bid in &batch.deletes {
            self.bids.remove((bid.auction, bid.price));
        }
        for bid in &batch.updates {
            self.bids.remove((bid.auction, bid.price));
            self.bids.insert((bid.auction, bid.price + batch.raise));
        }
        self.complete();
    }

    pub(crate) fn answer(&self) -> Answer {
        self.rows.borrow().keys().copied().collect()
    }

    fn complete(&mut self) {
        let next = *self.bids.time() + 1;
        self.auctions.advance_to(next);
        self.auctions.flush();
        self.bids.advance_to(next);
        self.bids.flush();
        let probe = &self.probe;
        self.worker.step_while(|| probe.less_than(&next));
    }
}
