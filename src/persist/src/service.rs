//! The leader's side of `shardctl`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use repr::{ShardId, Timestamp};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::backup::{BackupStream, serve_backup};
use crate::batch_run::Run;
use crate::columns::Columns;
use crate::hold::Hold;
use crate::leader::{Feed, LeaderHandle, RemoteAppend};
use crate::op::{HollowPart, Part, WriterId};
use crate::part::BlocksReader;
use crate::shards::{AppendError, Piece, SubscribeError};

/// Generated from `proto/shardctl.proto`.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub(crate) mod proto {
    tonic::include_proto!("freshet.shardctl");
}

use proto::refusal::Reason;
use proto::shardctl_server::{Shardctl, ShardctlServer};

/// No message is longer.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;
/// A broken stream keeps its hold for so long, so that the reader can resume.
const PARKED: Duration = Duration::from_secs(300);
/// Pieces that may wait for the connection.
const PIECES_MAX: usize = 4;

/// Serves `shardctl` for a leader; see [`shardctl_service`].
pub struct ShardctlService {
    leader: LeaderHandle,
}

/// The service that environmentd adds to its gRPC server.
pub fn shardctl_service(leader: LeaderHandle) -> ShardctlServer<ShardctlService> {
    ShardctlServer::new(ShardctlService { leader })
        .max_decoding_message_size(FRAME_BYTES_MAX)
        .max_encoding_message_size(FRAME_BYTES_MAX)
}

type PieceStream = Pin<Box<dyn Stream<Item = Result<proto::SubscribePiece, Status>> + Send>>;

#[tonic::async_trait]
impl Shardctl for ShardctlService {
    async fn hello(&self, request: Request<proto::HelloRequest>) -> Result<Response<proto::HelloResponse>, Status> {
        let shard = request.into_inner().shard.map(ShardId);
        let columns = shard.and_then(|shard| self.leader.columns(shard));
        Ok(Response::new(proto::HelloResponse {
            log_id: Bytes::copy_from_slice(self.leader.log_id().as_bytes()),
            epoch: self.leader.epoch(),
            generation: self.leader.generation(),
            blob_url: self.leader.blob_url().unwrap_or_default().to_owned(),
            ticket_ms: self.leader.now().millis(),
            columns: columns.map(|columns| columns.to_bytes()).unwrap_or_default(),
        }))
    }

    async fn append(&self, request: Request<proto::AppendRequest>) -> Result<Response<proto::AppendResponse>, Status> {
        use proto::append_response::Outcome;
        let outcome = match self.append_parts(request.into_inner()).await {
            Ok(()) => Outcome::Done(proto::Done {}),
            Err(AppendError::UpperMismatch { actual }) => Outcome::UpperMismatch(actual.micros()),
            Err(error) => Outcome::Refusal(append_refusal(&error)),
        };
        Ok(Response::new(proto::AppendResponse { outcome: Some(outcome) }))
    }

    type BackupStream = BackupStream;

    async fn backup(&self, request: Request<proto::BackupRequest>) -> Result<Response<BackupStream>, Status> {
        Ok(Response::new(serve_backup(&self.leader, request.into_inner().url)))
    }

    type SubscribeStream = PieceStream;

    async fn subscribe(
        &self,
        request: Request<Streaming<proto::SubscribeRequest>>,
    ) -> Result<Response<PieceStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|request| request.kind);
        let Some(proto::subscribe_request::Kind::Start(start)) = first else {
            return Err(Status::invalid_argument("a subscription begins with start"));
        };
        match self.start(&start) {
            Ok((feed, hold)) => Ok(Response::new(self.follow(feed, hold, requests))),
            Err(error) => {
                let piece = proto::SubscribePiece { refusal: Some(subscribe_refusal(&error)), ..Default::default() };
                Ok(Response::new(futures::stream::once(async move { Ok(piece) }).boxed()))
            }
        }
    }
}

impl ShardctlService {
    fn is_other_log(&self, log_id: &[u8]) -> bool {
        log_id != self.leader.log_id().as_bytes()
    }

    async fn append_parts(&self, request: proto::AppendRequest) -> Result<(), AppendError> {
        if self.is_other_log(&request.log_id) {
            return Err(AppendError::OtherLog);
        }
        let token = Uuid::from_slice(&request.token).map_err(|error| AppendError::Invalid(error.to_string()))?;
        let (lower, upper) = (Timestamp::new(request.expect_upper), Timestamp::new(request.new_upper));
        let mut run = Run::default();
        for part in request.parts {
            let part = part_of_proto(part).map_err(AppendError::Invalid)?;
            let (updates, bytes) = check_part(&part, lower, upper).map_err(AppendError::Invalid)?;
            run.updates += updates;
            run.bytes += bytes;
            run.parts.push(part);
        }
        let writer =
            WriterId { generation: request.generation, writer: request.writer, incarnation: request.incarnation };
        let append =
            RemoteAppend { shard: ShardId(request.shard), writer, expect_upper: lower, new_upper: upper, token, run };
        self.leader.shared().append(append).await
    }

    fn start(&self, start: &proto::SubscribeStart) -> Result<(Feed, Hold), SubscribeError> {
        if self.is_other_log(&start.log_id) {
            return Err(SubscribeError::OtherLog);
        }
        let as_of = Timestamp::new(start.as_of);
        Feed::start(self.leader.shared(), ShardId(start.shard), as_of, start.resume.map(Timestamp::new))
    }

    /// Sends pieces as they come and takes acknowledgements, until either side ends.
    fn follow(&self, mut feed: Feed, hold: Hold, mut requests: Streaming<proto::SubscribeRequest>) -> PieceStream {
        let shared = Arc::clone(self.leader.shared());
        let tasks = shared.tasks.clone();
        let hold = Arc::new(Mutex::new(hold));
        let reader = feed.reader();
        let acks = {
            let hold = Arc::clone(&hold);
            tasks.spawn("shardctl-acks", async move {
                while let Ok(Some(request)) = requests.message().await {
                    if let Some(proto::subscribe_request::Kind::Ack(ack)) = request.kind {
                        shared.reader_done(reader, ack.seq);
                        hold.lock().advance(Timestamp::new(ack.frontier).step_back());
                    }
                }
            })
        };
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        let park = Parked { hold, tasks: tasks.clone() };
        let send = tasks.spawn("shardctl-feed", async move {
            while let Some(piece) = feed.next().await {
                let (piece, ended) = match piece {
                    Ok(piece) => (piece_to_proto(piece), false),
                    Err(error) => {
                        let refusal = Some(subscribe_refusal(&error));
                        (proto::SubscribePiece { refusal, ..Default::default() }, true)
                    }
                };
                if sender.send(Ok(piece)).await.is_err() || ended {
                    return;
                }
            }
        });
        // The tasks and the hold live as long as the response stream.
        let state = (receiver, acks, send, park);
        let next = |mut state: (mpsc::Receiver<_>, stdx::Task, stdx::Task, Parked)| async move {
            let piece = state.0.recv().await?;
            Some((piece, state))
        };
        futures::stream::unfold(state, next).boxed()
    }
}

/// Keeps a hold for some minutes after its stream has ended.
struct Parked {
    hold: Arc<Mutex<Hold>>,
    tasks: stdx::Tasks,
}

impl Drop for Parked {
    fn drop(&mut self) {
        let (hold, sleep) = (Arc::clone(&self.hold), self.tasks.sleep(PARKED));
        self.tasks
            .spawn("shardctl-parked-hold", async move {
                sleep.await;
                drop(hold);
            })
            .detach();
    }
}

/// Reads an inline part through, for what a client sends is not trusted to be sound; updates and bytes.
pub(crate) fn check_part(part: &Part, lower: Timestamp, upper: Timestamp) -> Result<(u64, u64), String> {
    let bytes = match part {
        Part::Inline(bytes) => bytes,
        Part::Hollow(hollow) if hollow.t_min < lower || hollow.t_max >= upper => {
            return Err(format!("part {} has updates outside [{lower}, {upper})", hollow.key));
        }
        Part::Hollow(hollow) => return Ok((hollow.updates, hollow.bytes)),
    };
    let (mut count, mut last) = (0, None);
    let mut reader = BlocksReader::new("inline", 0, bytes.clone(), Columns::default());
    while let Some(block) = reader.next_block() {
        for (row, time, _) in block.map_err(|error| error.to_string())? {
            if time < lower || time >= upper {
                return Err(format!("an update at {time} outside [{lower}, {upper})"));
            }
            let next = Some((row, time));
            if next <= last {
                return Err("updates are not sorted and consolidated".to_owned());
            }
            last = next;
            count += 1;
        }
    }
    Ok((count, bytes.len() as u64))
}

pub(crate) fn part_to_proto(part: Part) -> proto::Part {
    use proto::part::Kind;
    let kind = match part {
        Part::Inline(bytes) => Kind::Inline(bytes),
        Part::Hollow(HollowPart { key, bytes, updates, t_min, t_max, statistics }) => {
            let (t_min, t_max) = (t_min.micros(), t_max.micros());
            Kind::Hollow(proto::HollowPart { key, bytes, updates, t_min, t_max, statistics })
        }
    };
    proto::Part { kind: Some(kind) }
}

pub(crate) fn part_of_proto(part: proto::Part) -> Result<Part, String> {
    use proto::part::Kind;
    match part.kind {
        Some(Kind::Inline(bytes)) => Ok(Part::Inline(bytes)),
        Some(Kind::Hollow(hollow)) => Ok(Part::Hollow(HollowPart {
            key: hollow.key,
            bytes: hollow.bytes,
            updates: hollow.updates,
            t_min: Timestamp::new(hollow.t_min),
            t_max: Timestamp::new(hollow.t_max),
            statistics: hollow.statistics,
        })),
        None => Err("a part of an unknown kind".to_owned()),
    }
}

fn piece_to_proto(piece: Piece) -> proto::SubscribePiece {
    let Piece { seq, snapshot, from, to, now, parts, columns, last } = piece;
    proto::SubscribePiece {
        seq,
        snapshot,
        from: from.micros(),
        to: to.micros(),
        now: now.micros(),
        parts: parts.into_iter().map(part_to_proto).collect(),
        last,
        refusal: None,
        columns: if columns.is_empty() { Bytes::new() } else { columns.to_bytes() },
    }
}

fn append_refusal(error: &AppendError) -> proto::Refusal {
    let (reason, time) = match error {
        AppendError::UpperMismatch { actual } => (Reason::Unspecified, actual.micros()),
        AppendError::Closed => (Reason::Closed, 0),
        AppendError::Fenced(_) => (Reason::Fenced, 0),
        AppendError::NotFound => (Reason::NotFound, 0),
        AppendError::TooFarAhead { now } => (Reason::TooFarAhead, now.micros()),
        AppendError::DiskFull => (Reason::DiskFull, 0),
        AppendError::Unknown(_) => (Reason::UnknownOutcome, 0),
        AppendError::Halted(_) => (Reason::Halted, 0),
        AppendError::OtherLog => (Reason::OtherLog, 0),
        AppendError::Invalid(_) => (Reason::Invalid, 0),
        AppendError::Blob(_) => (Reason::Unspecified, 0),
    };
    proto::Refusal { reason: reason.into(), message: error.to_string(), time }
}

fn subscribe_refusal(error: &SubscribeError) -> proto::Refusal {
    let (reason, time) = match error {
        SubscribeError::Expired { since } => (Reason::Expired, since.micros()),
        SubscribeError::NotFound => (Reason::NotFound, 0),
        SubscribeError::OtherLog => (Reason::OtherLog, 0),
        SubscribeError::Halted(_) => (Reason::Halted, 0),
        SubscribeError::Interrupted(_) | SubscribeError::Blob(_) => (Reason::Unspecified, 0),
    };
    proto::Refusal { reason: reason.into(), message: error.to_string(), time }
}
