//! A client of `shardctl`: reconnects with back-off, retries appends with their tokens, resumes subscriptions.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use repr::{ShardId, Timestamp};
use stdx::{Backoff, Rng, Tasks};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::batch_run::Run;
use crate::blob::{BatchStore, Blob, Ticket};
use crate::columns::Columns;
use crate::leader::check_times;
use crate::location::{BlobUrl, open_blob};
use crate::merge::MergeJob;
use crate::op::WriterId;
use crate::part::Update;
use crate::read::{ReadCounters, ReadCounts};
use crate::service::proto::refusal::Reason;
use crate::service::proto::shardctl_client::ShardctlClient;
use crate::service::{FRAME_BYTES_MAX, part_of_proto, part_to_proto, proto};
use crate::shards::{
    AppendError, BlobErrorText, Delivered, Gone, Piece, PieceReader, ReadError, Selection, Shards, SubscribeError,
    Subscription,
};

const FIRST_DELAY: Duration = Duration::from_millis(20);
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// Batches longer than this go to the blob store, if this process can open it.
const INLINE_BYTES_MAX: usize = 256 << 10;
const EVENTS_MAX: usize = 4;
/// A part that is not there was replaced, and the leader says by what; unless it names it so many times in a row.
const MISSES_MAX: usize = 6;

/// Where environmentd serves `shardctl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteAddress {
    /// `host:port`.
    Tcp(String),
    Unix(PathBuf),
}

/// Shards whose leader lives in another process; cheap to clone.
#[derive(Clone)]
pub struct RemoteShards {
    pub(crate) client: ShardctlClient<Channel>,
    tasks: Tasks,
    rng: Rng,
    /// What the leader said when it was first reached. Another log under the same address later is an error for every user.
    hello: Arc<Mutex<Option<Hello>>>,
    counters: Arc<ReadCounters>,
}

#[derive(Clone)]
struct Hello {
    log_id: Uuid,
    epoch: u64,
    blob: Option<Blob>,
}

fn configure(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(15))
        .keep_alive_while_idle(true)
}

impl RemoteShards {
    /// Names the leader to talk to; connects at first use, and again whenever the connection breaks.
    pub fn connect(address: RemoteAddress, tasks: Tasks) -> Result<RemoteShards, tonic::transport::Error> {
        Ok(match address {
            RemoteAddress::Tcp(address) => {
                let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
                RemoteShards::over(configure(endpoint).connect_lazy(), tasks)
            }
            RemoteAddress::Unix(path) => {
                let connect = move || UnixStream::connect(path.clone());
                RemoteShards::through(connect, tasks)
            }
        })
    }

    /// As [`RemoteShards::connect`], by connections that the caller makes: encrypted ones, for instance.
    pub fn through<F, C, S>(connect: F, tasks: Tasks) -> RemoteShards
    where
        F: Fn() -> C + Send + 'static,
        C: Future<Output = std::io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // The address is not looked at: the connector knows the way.
        let connector = tower::service_fn(move |_: Uri| {
            let connecting = connect();
            async move { connecting.await.map(TokioIo::new) }
        });
        let endpoint = configure(Endpoint::from_static("http://shardctl.invalid"));
        RemoteShards::over(endpoint.connect_with_connector_lazy(connector), tasks)
    }

    fn over(channel: Channel, tasks: Tasks) -> RemoteShards {
        let client = ShardctlClient::new(channel)
            .max_decoding_message_size(FRAME_BYTES_MAX)
            .max_encoding_message_size(FRAME_BYTES_MAX);
        RemoteShards { client, tasks, rng: Rng::from_entropy(), hello: Arc::default(), counters: Arc::default() }
    }

    /// Which log the leader writes; waits until it can be reached.
    pub async fn log_id(&self) -> Result<Uuid, BlobErrorText> {
        Ok(self.hello().await?.log_id)
    }

    /// What this process has read of parts, and what statistics have spared it.
    pub fn read_counts(&self) -> ReadCounts {
        self.counters.counts()
    }

    /// Asks until the leader answers.
    async fn hello(&self) -> Result<Hello, BlobErrorText> {
        if let Some(hello) = self.hello.lock().clone() {
            return Ok(hello);
        }
        let response = self.say_hello(None).await;
        let log_id = Uuid::from_slice(&response.log_id).map_err(|error| BlobErrorText(error.to_string()))?;
        let blob = match response.blob_url.as_str() {
            "" => None,
            url => Some(open_shared_blob(url).map_err(BlobErrorText)?),
        };
        let hello = Hello { log_id, epoch: response.epoch, blob };
        // Whoever came first decides which log it is.
        Ok(self.hello.lock().get_or_insert(hello).clone())
    }

    /// `shard`: whose columns are asked for.
    async fn say_hello(&self, shard: Option<ShardId>) -> proto::HelloResponse {
        let request = proto::HelloRequest { shard: shard.map(|shard| shard.0) };
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        loop {
            match self.client.clone().hello(request).await {
                Ok(response) => return response.into_inner(),
                Err(status) => self.pause(&mut backoff, &status).await,
            }
        }
    }

    async fn pause(&self, backoff: &mut Backoff, status: &tonic::Status) {
        let delay = backoff.next_delay();
        if delay >= LONGEST_DELAY {
            warn!(%status, "the leader cannot be reached; still trying");
        }
        self.tasks.sleep(delay).await;
    }

    /// Writes updates: inline if few, else as parts under a ticket that the leader has just issued.
    async fn write(
        &self,
        hello: &Hello,
        shard: ShardId,
        updates: Vec<Update>,
        writers: usize,
    ) -> Result<Run, AppendError> {
        let bytes: usize = updates.iter().map(|(row, _, _)| row.len_bytes() + 4).sum();
        let share = INLINE_BYTES_MAX / writers.max(1);
        let large = bytes > share;
        let blob = match (&hello.blob, large) {
            (Some(blob), _) => Arc::clone(blob),
            // Nothing goes there: a small batch is inline.
            (None, false) => crate::blob::memory_blob(),
            (None, true) => {
                let text = "the blob store is in a place that this process cannot open".to_owned();
                return Err(AppendError::Blob(BlobErrorText(text)));
            }
        };
        // A batch that is small needs neither ticket nor statistics.
        let (millis, columns) = if large {
            let response = self.say_hello(Some(shard)).await;
            let columns = Columns::of_bytes(response.columns);
            (response.ticket_ms, columns.map_err(|error| AppendError::Invalid(error.to_string()))?)
        } else {
            (0, Columns::default())
        };
        let ticket = Ticket { millis, epoch: hello.epoch };
        let (tasks, rng) = (self.tasks.clone(), self.rng.clone());
        // What is small stays inline even where its encoding is a little longer: it has no ticket.
        let inline_bytes_max = if large { share } else { usize::MAX };
        let store = BatchStore { blob, tasks, rng, inline_bytes_max };
        Ok(store.write(updates, columns, ticket).await?)
    }
}

#[async_trait]
impl Shards for RemoteShards {
    async fn write_run(
        &self,
        shard: ShardId,
        lower: Timestamp,
        upper: Timestamp,
        updates: Vec<Update>,
        writers: usize,
    ) -> Result<Run, AppendError> {
        check_times(&updates, lower, upper)?;
        let hello = self.hello().await?;
        self.write(&hello, shard, updates, writers).await
    }

    async fn append_runs(
        &self,
        shard: ShardId,
        writer: WriterId,
        expect_upper: Timestamp,
        new_upper: Timestamp,
        runs: Vec<Run>,
        token: Uuid,
    ) -> Result<(), AppendError> {
        let hello = self.hello().await?;
        let request = proto::AppendRequest {
            log_id: bytes::Bytes::copy_from_slice(hello.log_id.as_bytes()),
            shard: shard.0,
            generation: writer.generation,
            writer: writer.writer,
            incarnation: writer.incarnation,
            expect_upper: expect_upper.micros(),
            new_upper: new_upper.micros(),
            token: bytes::Bytes::copy_from_slice(token.as_bytes()),
            parts: Run::joined(runs).parts.into_iter().map(part_to_proto).collect(),
        };
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        loop {
            // The token makes it safe to ask again whatever became of the first try.
            match self.client.clone().append(request.clone()).await {
                Ok(response) => match append_outcome(response.into_inner()) {
                    Err(AppendError::Unknown(_) | AppendError::Halted(_)) => {
                        self.tasks.sleep(backoff.next_delay()).await;
                    }
                    outcome => return outcome,
                },
                Err(status) if status.code() == tonic::Code::InvalidArgument => {
                    return Err(AppendError::Invalid(status.message().to_owned()));
                }
                Err(status) => self.pause(&mut backoff, &status).await,
            }
        }
    }

    async fn merge(&self, job: MergeJob) -> Result<Run, BlobErrorText> {
        let hello = self.hello().await?;
        let text = || BlobErrorText("the blob store is in a place that this process cannot open".to_owned());
        let blob = hello.blob.ok_or_else(text)?;
        let (tasks, rng) = (self.tasks.clone(), self.rng.clone());
        let store = BatchStore { blob, tasks, rng, inline_bytes_max: INLINE_BYTES_MAX };
        job.run(&store).await.map_err(|error| BlobErrorText(error.to_string()))
    }

    async fn subscribe(&self, shard: ShardId, as_of: Timestamp) -> Result<Subscription, SubscribeError> {
        self.subscribe_within(shard, as_of, Arc::default()).await
    }

    async fn subscribe_within(
        &self,
        shard: ShardId,
        as_of: Timestamp,
        selection: Arc<Selection>,
    ) -> Result<Subscription, SubscribeError> {
        let hello = self.hello().await?;
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let acks = watch::Sender::new(Acked { seq: 0, frontier: as_of.step_forward() });
        let acks = Arc::new(acks);
        let mut follower = Follower {
            shards: self.clone(),
            log_id: hello.log_id,
            shard,
            resume: None,
            acks: Arc::clone(&acks),
            unfinished: None,
            misses: 0,
            pieces: PieceReader {
                blob: hello.blob,
                shard,
                as_of,
                selection,
                counters: Arc::clone(&self.counters),
                tasks: self.tasks.clone(),
                events,
            },
        };
        // The first answer comes before this returns, so that a time below since is an error here.
        let stream = follower.open().await?;
        let reader = self.tasks.spawn("shardctl-subscription", follower.run(stream));
        let ack = move |frontier: Timestamp| {
            acks.send_modify(|acked| acked.frontier = acked.frontier.max(frontier));
        };
        Ok(Subscription::new(receiver, Box::new(ack), reader))
    }
}

fn open_shared_blob(url: &str) -> Result<Blob, String> {
    let parsed: BlobUrl = url.parse().map_err(|error| format!("the leader's blob store: {error}"))?;
    open_blob(&parsed).map_err(|error| error.to_string())
}

fn append_outcome(response: proto::AppendResponse) -> Result<(), AppendError> {
    use proto::append_response::Outcome;
    let refusal = match response.outcome {
        Some(Outcome::Done(_)) => return Ok(()),
        Some(Outcome::UpperMismatch(actual)) => {
            return Err(AppendError::UpperMismatch { actual: Timestamp::new(actual) });
        }
        Some(Outcome::Refusal(refusal)) => refusal,
        None => return Err(AppendError::Unknown("the leader gave no answer".to_owned())),
    };
    let proto::Refusal { message, time, .. } = refusal.clone();
    Err(match refusal.reason() {
        Reason::Closed => AppendError::Closed,
        Reason::Fenced => AppendError::Fenced(message),
        Reason::NotFound => AppendError::NotFound,
        Reason::TooFarAhead => AppendError::TooFarAhead { now: Timestamp::new(time) },
        Reason::DiskFull => AppendError::DiskFull,
        Reason::UnknownOutcome => AppendError::Unknown(message),
        Reason::Halted => AppendError::Halted(message),
        Reason::OtherLog => AppendError::OtherLog,
        Reason::Invalid => AppendError::Invalid(message),
        Reason::Expired | Reason::Unspecified => AppendError::Blob(BlobErrorText(message)),
    })
}

#[derive(Clone, Copy)]
struct Acked {
    seq: u64,
    frontier: Timestamp,
}

/// Follows one shard through as many connections as it takes.
struct Follower {
    shards: RemoteShards,
    log_id: Uuid,
    shard: ShardId,
    /// Everything below has been handed on.
    resume: Option<Timestamp>,
    acks: Arc<watch::Sender<Acked>>,
    pieces: PieceReader,
    unfinished: Option<Unfinished>,
    /// Since a part was last handed on whole: so often an event was found to name one that is not there.
    misses: usize,
}

type Pieces = tonic::Streaming<proto::SubscribePiece>;

impl Follower {
    async fn run(mut self, mut stream: (Option<proto::SubscribePiece>, Pieces)) {
        loop {
            let error = match self.follow(stream).await {
                Ok(()) => return,
                Err(Broken::For(error)) => error,
                Err(Broken::Connection(cause)) => {
                    debug!(shard = %self.shard, cause, "a subscription is resumed on another connection");
                    match self.open().await {
                        Ok(opened) => {
                            stream = opened;
                            continue;
                        }
                        Err(error) => error,
                    }
                }
            };
            // The consumer may have gone.
            let _ = self.pieces.events.send(Err(error)).await;
            return;
        }
    }

    /// Opens a stream and reads its first piece, however long that takes.
    async fn open(&mut self) -> Result<(Option<proto::SubscribePiece>, Pieces), SubscribeError> {
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        loop {
            match self.try_open().await {
                Ok(opened) => {
                    if let Some(error) = opened.0.as_ref().and_then(refusal_of) {
                        if let SubscribeError::Halted(_) = error {
                            self.shards.tasks.sleep(backoff.next_delay()).await;
                            continue;
                        }
                        return Err(error);
                    }
                    return Ok(opened);
                }
                Err(status) => self.shards.pause(&mut backoff, &status).await,
            }
        }
    }

    async fn try_open(&self) -> Result<(Option<proto::SubscribePiece>, Pieces), tonic::Status> {
        use proto::subscribe_request::Kind;
        let start = proto::SubscribeStart {
            log_id: bytes::Bytes::copy_from_slice(self.log_id.as_bytes()),
            shard: self.shard.0,
            as_of: self.pieces.as_of.micros(),
            resume: self.resume.map(Timestamp::micros),
        };
        let start = proto::SubscribeRequest { kind: Some(Kind::Start(start)) };
        let acks = WatchStream::from_changes(self.acks.subscribe()).map(|acked| {
            let ack = proto::Ack { seq: acked.seq, frontier: acked.frontier.micros() };
            proto::SubscribeRequest { kind: Some(Kind::Ack(ack)) }
        });
        let requests = tokio_stream::once(start).chain(acks);
        let mut stream = self.shards.client.clone().subscribe(requests).await?.into_inner();
        let first = stream.message().await?;
        Ok((first, stream))
    }

    async fn follow(&mut self, (first, mut stream): (Option<proto::SubscribePiece>, Pieces)) -> Result<(), Broken> {
        let mut next = first;
        // Only a whole event is read and handed on: from then on it does not matter whether the connection holds, and one that
        // breaks before is as if it had not begun.
        let mut event = Vec::new();
        loop {
            let Some(piece) = next else {
                // The server ends a stream only behind the last update of a closed shard.
                let complete = self.resume == Some(Timestamp::MAX);
                return if complete { Ok(()) } else { Err(Broken::Connection("the stream ended".to_owned())) };
            };
            match refusal_of(&piece) {
                Some(SubscribeError::Halted(reason)) => return Err(Broken::Connection(reason)),
                Some(error) => return Err(Broken::For(error)),
                None => {}
            }
            let piece = piece_of_proto(piece).map_err(|cause| Broken::For(SubscribeError::Interrupted(cause)))?;
            let (seq, to, last) = (piece.seq, piece.to, piece.last);
            event.push(piece);
            if last {
                if self.read_event(std::mem::take(&mut event)).await?.is_err() {
                    return Ok(());
                }
                self.resume = Some(to);
                self.acks.send_modify(|acked| acked.seq = acked.seq.max(seq));
            }
            next = stream.message().await.map_err(|status| Broken::Connection(status.to_string()))?;
        }
    }
}

impl Follower {
    /// Reads a whole event, or what is left of it.
    ///
    /// Errors: `Connection` if a part is not there any more. The event is then asked for again, at the same as-of, and read on
    /// behind the parts that were delivered.
    async fn read_event(&mut self, event: Vec<Piece>) -> Result<Result<(), Gone>, Broken> {
        let parts = match self.unfinished.take() {
            Some(unfinished) => {
                unfinished.resume(event).map_err(|cause| Broken::For(SubscribeError::Interrupted(cause)))?
            }
            None => vec![(event, Delivered::default())],
        };
        for (event, mut delivered) in parts {
            for piece in &event {
                let known = delivered.count();
                match self.pieces.read(piece, &mut delivered).await {
                    Ok(Ok(())) => self.misses = 0,
                    Ok(Err(gone)) => return Ok(Err(gone)),
                    Err(ReadError::Missing(cause)) if self.misses < MISSES_MAX => {
                        self.misses = if delivered.count() > known { 1 } else { self.misses + 1 };
                        debug!(shard = %self.shard, cause, "a snapshot is taken up again behind what was read");
                        let Piece { snapshot, from, to, .. } = *piece;
                        self.unfinished = Some(Unfinished { snapshot, from, to, delivered });
                        self.shards.tasks.sleep(FIRST_DELAY * (1 << self.misses)).await;
                        return Err(Broken::Connection(cause));
                    }
                    Err(error) => return Err(Broken::For(error.into())),
                }
            }
            self.resume = event.last().map(|piece| piece.to);
        }
        Ok(Ok(()))
    }
}

/// An event that could not be read to its end, because a part was replaced and deleted meanwhile.
struct Unfinished {
    snapshot: bool,
    from: Timestamp,
    to: Timestamp,
    delivered: Delivered,
}

impl Unfinished {
    /// What is to be read of the event as it has come again: the rest of what it was, and what has been added to it.
    fn resume(self, mut event: Vec<Piece>) -> Result<Vec<(Vec<Piece>, Delivered)>, String> {
        let Unfinished { snapshot, from, to, delivered } = self;
        let same = event.iter().all(|piece| piece.snapshot == snapshot && piece.from == from && piece.to >= to);
        if !same {
            return Err(format!("what follows {from} has come again as something else"));
        }
        let mut added = event.clone();
        event.iter_mut().for_each(|piece| piece.to = to);
        delivered
            .remove_from(&mut event)
            .ok_or_else(|| "parts that were delivered have been merged with others".to_owned())?;
        let mut parts = vec![(event, delivered)];
        if added.iter().any(|piece| piece.to > to) {
            added.iter_mut().for_each(|piece| (piece.snapshot, piece.from) = (false, to));
            parts.push((added, Delivered::default()));
        }
        Ok(parts)
    }
}

enum Broken {
    /// For good.
    For(SubscribeError),
    /// Try another connection.
    Connection(String),
}

fn refusal_of(piece: &proto::SubscribePiece) -> Option<SubscribeError> {
    let refusal = piece.refusal.as_ref()?;
    let message = refusal.message.clone();
    Some(match refusal.reason() {
        Reason::Expired => SubscribeError::Expired { since: Timestamp::new(refusal.time) },
        Reason::NotFound => SubscribeError::NotFound,
        Reason::OtherLog => SubscribeError::OtherLog,
        Reason::Halted => SubscribeError::Halted(message),
        _ => SubscribeError::Interrupted(message),
    })
}

fn piece_of_proto(piece: proto::SubscribePiece) -> Result<Piece, String> {
    Ok(Piece {
        seq: piece.seq,
        snapshot: piece.snapshot,
        from: Timestamp::new(piece.from),
        to: Timestamp::new(piece.to),
        now: Timestamp::new(piece.now),
        parts: piece.parts.into_iter().map(part_of_proto).collect::<Result<_, _>>()?,
        columns: Columns::of_bytes(piece.columns).map_err(|error| error.to_string())?,
        last: piece.last,
    })
}
