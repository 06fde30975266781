//! What subscribers are sent: cut from the durable state whenever it has moved, never pushed into a queue.
//!
//! A feed remembers how far it has come and takes from the state whatever batches reach beyond. Compaction may have merged a
//! batch it has sent with one it has not; the interval in each piece says which updates are meant. That is exact as long as
//! no update below the feed's position is advanced to or beyond it: compaction sees to that, for its hold lies below it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use parking_lot::Mutex;
use repr::{ShardId, Timestamp};
use tokio::sync::{mpsc, watch};

use crate::columns::Columns;
use crate::hold::{Hold, HoldError};
use crate::leader::core::Shared;
use crate::op::{BatchDesc, Part};
use crate::shards::{Delivered, Piece, PieceReader, Selection, SubscribeError, Subscription};

/// A piece carries about so many bytes of inline parts, and so many parts, at most.
const PIECE_BYTES: usize = 1 << 20;
const PIECE_PARTS: usize = 256;
/// A subscriber hears of the leader's time at least this often.
const TICK: Duration = Duration::from_secs(1);
/// Events that may wait for the consumer.
const EVENTS_MAX: usize = 4;

/// One subscriber's place in a shard.
pub(crate) struct Feed {
    shared: Arc<Shared>,
    shard: ShardId,
    as_of: Timestamp,
    reader: u64,
    stage: Stage,
    pieces: VecDeque<Piece>,
    moved: watch::Receiver<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Snapshot,
    /// The first progress comes at once, so that the reader learns where it stands.
    First(Timestamp),
    Following(Timestamp),
}

impl Feed {
    /// Starts with a snapshot at `as_of`, or, if everything below `resume` was delivered, there. Takes a hold.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        shard: ShardId,
        as_of: Timestamp,
        resume: Option<Timestamp>,
    ) -> Result<(Feed, Hold), SubscribeError> {
        let at = resume.map_or(as_of, |resume| resume.step_back());
        let hold = shared.holds.hold(shard, Some(at)).map_err(|error| match error {
            HoldError::BelowSince { since } if resume.is_none() => SubscribeError::Expired { since },
            HoldError::BelowSince { since } => SubscribeError::Interrupted(format!("since has moved to {since}")),
            HoldError::NotFound => SubscribeError::NotFound,
        })?;
        let moved = shared.moved.subscribe();
        let stage = resume.map_or(Stage::Snapshot, Stage::First);
        let reader = Shared::add_reader(&mut shared.core.lock(), shard, resume.unwrap_or(Timestamp::MAX));
        let feed = Feed { shared: Arc::clone(shared), shard, as_of, reader, stage, pieces: VecDeque::new(), moved };
        Ok((feed, hold))
    }

    /// The number that [`Feed::done`] is told.
    pub(crate) fn reader(&self) -> u64 {
        self.reader
    }

    /// The next piece; none once the shard is closed and all was sent. Cancel safety: may be dropped at any await.
    pub(crate) async fn next(&mut self) -> Option<Result<Piece, SubscribeError>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Some(Ok(piece));
            }
            self.moved.mark_unchanged();
            if self.shared.halt.borrow().is_some() {
                return Some(Err(SubscribeError::Halted(self.shared.halt_reason())));
            }
            if let Stage::Following(Timestamp::MAX) = self.stage {
                return None;
            }
            if let Err(error) = self.cut() {
                return Some(Err(error));
            }
            if self.pieces.is_empty() {
                self.wait().await;
            }
        }
    }

    /// Takes from the durable state what the subscriber has not been sent.
    fn cut(&mut self) -> Result<(), SubscribeError> {
        let now = self.shared.timeline.now();
        let shared = Arc::clone(&self.shared);
        let mut core = shared.core.lock();
        // A shard that is proposed but not durable yet has nothing to show: wait for it.
        let upper = core.durable.upper(self.shard);
        let Some(upper) = upper.or_else(|| core.speculative.upper(self.shard).map(|_| Timestamp::MIN)) else {
            return Err(SubscribeError::NotFound);
        };
        let (snapshot, from, to) = match self.stage {
            Stage::Snapshot => (true, Timestamp::MIN, upper.min(self.as_of.step_forward())),
            Stage::First(from) => (false, from, upper.max(from)),
            Stage::Following(from) if upper > from => (false, from, upper),
            Stage::Following(_) => return Ok(()),
        };
        self.stage = if snapshot { Stage::First(to) } else { Stage::Following(to) };
        let seq = core.durable.next_seq - 1;
        let meant = |batch: &&BatchDesc| batch.upper > from && batch.lower < to;
        let batches = core.durable_shard(self.shard).map_or(&[][..], |shard| &shard.batches[..]);
        let columns = core.durable_shard(self.shard).map(|shard| shard.columns.clone()).unwrap_or_default();
        let parts: Vec<Part> = batches.iter().filter(meant).flat_map(|batch| batch.parts.iter().cloned()).collect();
        let blank = Piece { seq, snapshot, from, to, now, parts: Vec::new(), columns, last: false };
        self.pieces = split(blank, parts);
        if let Some(reader) = core.readers.get_mut(&self.reader) {
            reader.position = to;
            reader.outstanding.push_back(seq);
        }
        Ok(())
    }

    /// Waits for the state to move; after a second without that, tells the subscriber the time.
    async fn wait(&mut self) {
        let moved = std::pin::pin!(self.moved.changed());
        if let Either::Right(_) = select(moved, self.shared.tasks.sleep(TICK)).await
            && let Stage::Following(at) = self.stage
        {
            let seq = self.shared.core.lock().durable.next_seq - 1;
            let now = self.shared.timeline.now();
            let (parts, columns) = (Vec::new(), Columns::default());
            self.pieces.push_back(Piece { seq, snapshot: false, from: at, to: at, now, parts, columns, last: true });
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.core.lock().readers.remove(&self.reader);
    }
}

impl Shared {
    /// A reader has read every part that it was sent of states up to `seq`.
    pub(crate) fn reader_done(&self, reader: u64, seq: u64) {
        let mut core = self.core.lock();
        if let Some(reader) = core.readers.get_mut(&reader) {
            while reader.outstanding.front().is_some_and(|first| *first <= seq) {
                reader.outstanding.pop_front();
            }
        }
    }
}

/// Cuts parts into pieces of bounded size; at least one, and the last says so.
fn split(blank: Piece, parts: Vec<Part>) -> VecDeque<Piece> {
    let (mut pieces, mut piece, mut bytes) = (VecDeque::new(), blank.clone(), 0);
    for part in parts {
        let size = match &part {
            Part::Inline(inline) => inline.len(),
            Part::Hollow(hollow) => 128 + hollow.statistics.len(),
        };
        if !piece.parts.is_empty() && (bytes + size > PIECE_BYTES || piece.parts.len() == PIECE_PARTS) {
            pieces.push_back(std::mem::replace(&mut piece, blank.clone()));
            bytes = 0;
        }
        bytes += size;
        piece.parts.push(part);
    }
    piece.last = true;
    pieces.push_back(piece);
    pieces
}

/// A subscription in this process.
pub(crate) fn subscribe(
    shared: &Arc<Shared>,
    shard: ShardId,
    as_of: Timestamp,
    selection: Arc<Selection>,
) -> Result<Subscription, SubscribeError> {
    let (mut feed, hold) = Feed::start(shared, shard, as_of, None)?;
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    let pieces = PieceReader {
        blob: Some(Arc::clone(&shared.store.blob)),
        shard,
        as_of,
        selection,
        counters: Arc::clone(&shared.counters),
        tasks: shared.tasks.clone(),
        events: sender.clone(),
    };
    let follow = async move {
        while let Some(piece) = feed.next().await {
            let read = match piece {
                Ok(piece) => {
                    let (seq, last) = (piece.seq, piece.last);
                    let read = pieces.read(&piece, &mut Delivered::default()).await;
                    if last {
                        feed.shared.reader_done(feed.reader(), seq);
                    }
                    read.map_err(SubscribeError::from)
                }
                Err(error) => Err(error),
            };
            match read {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(error) => {
                    // The consumer may have gone.
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            }
        }
    };
    let reader = shared.tasks.spawn("persist-subscription", follow);
    let hold = Mutex::new(hold);
    let ack = move |frontier: Timestamp| hold.lock().advance(frontier.step_back());
    Ok(Subscription::new(receiver, Box::new(ack), reader))
}
