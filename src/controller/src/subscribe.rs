//! Subscribes in flight: intervals are passed on once all processes of one replica have passed them; whichever replica is
//! first wins, and what others send of the same interval is dropped by frontier.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use protocol::EvalError;
use protocol::compute::SubscribeUpdates;
use repr::{CollectionId, Diff, ReplicaId, Row, Timestamp};
use tokio::sync::Notify;

use crate::Controller;

/// Bytes of rows that may wait for a slow subscriber, or for a slow process; beyond it the subscription fails.
const BUFFER_BYTES_MAX: usize = 256 << 20;

/// What happened in `[lower, upper)`, sorted by time and row and consolidated, or the error that ends the subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscribeBatch {
    pub lower: Timestamp,
    pub upper: Timestamp,
    pub updates: Result<Vec<(Row, Timestamp, Diff)>, EvalError>,
}

type Updates = Vec<(Row, Timestamp, Diff)>;

/// What one process of one replica has sent.
#[derive(Clone, Default)]
struct ProcessBuffer {
    upper: Timestamp,
    updates: Updates,
}

/// A subscription's merged state.
pub(crate) struct PendingSubscribe {
    /// Everything below was passed on.
    frontier: Timestamp,
    up_to: Option<Timestamp>,
    replicas: BTreeMap<ReplicaId, Vec<ProcessBuffer>>,
    buffered_bytes: usize,
    queue: VecDeque<SubscribeBatch>,
    ended: bool,
    pub(crate) notify: Arc<Notify>,
}

fn bytes(updates: &Updates) -> usize {
    updates.iter().map(|(row, _, _)| row.len_bytes() + 24).sum()
}

impl PendingSubscribe {
    pub(crate) fn new(as_of: Timestamp, up_to: Option<Timestamp>) -> PendingSubscribe {
        PendingSubscribe {
            frontier: as_of,
            up_to,
            replicas: BTreeMap::new(),
            buffered_bytes: 0,
            queue: VecDeque::new(),
            ended: false,
            notify: Arc::default(),
        }
    }

    pub(crate) fn frontier(&self) -> Timestamp {
        self.frontier
    }

    /// Takes one process's batch and passes on what is complete.
    pub(crate) fn batch(
        &mut self,
        replica: ReplicaId,
        process: usize,
        processes: usize,
        upper: Timestamp,
        updates: SubscribeUpdates,
    ) {
        if self.ended || upper <= self.frontier && updates.is_ok() {
            // Late: another replica has passed, or there is nobody left to tell. The process's frontier still counts.
            if let Some(buffer) = self.buffer(replica, process, processes) {
                buffer.upper = buffer.upper.max(upper);
            }
            return;
        }
        let frontier = self.frontier;
        match updates {
            Err(error) => self.fail(error),
            Ok(mut updates) => {
                updates.retain(|(_, time, _)| *time >= frontier);
                self.buffered_bytes += bytes(&updates);
                if let Some(buffer) = self.buffer(replica, process, processes) {
                    buffer.upper = buffer.upper.max(upper);
                    buffer.updates.extend(updates);
                }
                self.pass_on(replica);
                if self.buffered_bytes > BUFFER_BYTES_MAX {
                    self.fail(EvalError::new("53200", "subscription fell too far behind and was ended"));
                }
            }
        }
    }

    fn buffer(&mut self, replica: ReplicaId, process: usize, processes: usize) -> Option<&mut ProcessBuffer> {
        self.replicas.entry(replica).or_insert_with(|| vec![ProcessBuffer::default(); processes]).get_mut(process)
    }

    /// Emits the interval that all processes of `replica` have passed, if it is beyond the frontier.
    fn pass_on(&mut self, replica: ReplicaId) {
        let Some(buffers) = self.replicas.get_mut(&replica) else { return };
        let upper = buffers.iter().map(|buffer| buffer.upper).min().unwrap_or(Timestamp::MIN);
        if upper <= self.frontier {
            return;
        }
        let lower = self.frontier;
        let mut updates = Vec::new();
        for buffer in buffers {
            let (now, later) = std::mem::take(&mut buffer.updates).into_iter().partition(|(_, time, _)| *time < upper);
            buffer.updates = later;
            updates.extend(Updates::into_iter(now));
        }
        self.frontier = upper;
        for buffer in self.replicas.values_mut().flatten() {
            buffer.updates.retain(|(_, time, _)| *time >= upper);
        }
        updates.retain(|(_, time, _)| *time >= lower);
        self.push(SubscribeBatch { lower, upper, updates: Ok(consolidate(updates)) });
        if upper == Timestamp::MAX || self.up_to.is_some_and(|up_to| upper >= up_to) {
            self.end();
        }
        self.recount();
    }

    fn recount(&mut self) {
        let queued = self.queue.iter().map(|batch| batch.updates.as_ref().map_or(0, bytes)).sum::<usize>();
        let waiting = self.replicas.values().flatten().map(|buffer| bytes(&buffer.updates)).sum::<usize>();
        self.buffered_bytes = queued + waiting;
    }

    fn push(&mut self, batch: SubscribeBatch) {
        // Empty intervals that nobody has read yet are one interval.
        let joins = |last: &SubscribeBatch| {
            last.upper == batch.lower
                && last.updates.as_ref().is_ok_and(Vec::is_empty)
                && batch.updates.as_ref().is_ok_and(Vec::is_empty)
        };
        match self.queue.back_mut() {
            Some(last) if joins(last) => last.upper = batch.upper,
            _ => self.queue.push_back(batch),
        }
        self.notify.notify_one();
    }

    fn fail(&mut self, error: EvalError) {
        self.queue.push_back(SubscribeBatch { lower: self.frontier, upper: self.frontier, updates: Err(error) });
        self.end();
    }

    /// Nothing follows what is queued.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.replicas.clear();
        self.notify.notify_one();
    }

    /// A replica's connection is gone: what it had sent of intervals not yet complete will be sent again.
    pub(crate) fn forget(&mut self, replica: ReplicaId) {
        self.replicas.remove(&replica);
        self.recount();
    }

    /// The next batch: `Some(Some(..))`; that none follows: `Some(None)`; that one may come: None.
    pub(crate) fn pop(&mut self) -> Option<Option<SubscribeBatch>> {
        match self.queue.pop_front() {
            Some(batch) => {
                self.buffered_bytes -= batch.updates.as_ref().map_or(0, bytes).min(self.buffered_bytes);
                Some(Some(batch))
            }
            None if self.ended => Some(None),
            None => None,
        }
    }
}

fn consolidate(mut updates: Updates) -> Updates {
    updates.sort_by(|(a_row, a_time, _), (b_row, b_time, _)| (a_time, a_row).cmp(&(b_time, b_row)));
    let mut consolidated: Updates = Vec::with_capacity(updates.len());
    for (row, time, diff) in updates {
        match consolidated.last_mut() {
            Some((last, at, sum)) if *last == row && *at == time => *sum = sum.plus(diff),
            _ => consolidated.push((row, time, diff)),
        }
    }
    consolidated.retain(|(_, _, diff)| !diff.is_zero());
    consolidated
}

/// A running subscription. Dropping it drops its dataflow.
pub struct SubscribeHandle {
    pub(crate) controller: Controller,
    pub(crate) id: CollectionId,
    pub(crate) state: Arc<parking_lot::Mutex<PendingSubscribe>>,
    pub(crate) notify: Arc<Notify>,
}

impl SubscribeHandle {
    pub fn id(&self) -> CollectionId {
        self.id
    }

    /// The next interval; they join without gaps from the as-of on. None: the subscription is complete, or its cluster or
    /// inputs were dropped.
    ///
    /// Cancel safety: may be dropped at any await.
    pub async fn next(&mut self) -> Option<SubscribeBatch> {
        loop {
            if let Some(next) = self.state.lock().pop() {
                return next;
            }
            self.notify.notified().await;
        }
    }
}

impl Drop for SubscribeHandle {
    fn drop(&mut self) {
        self.controller.drop_collections(vec![self.id]);
    }
}
