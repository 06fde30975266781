//! One controller connection: hello, then commands in and responses out until either side ends or another takes its place.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use persist::MergeJob;
use protocol::grpc::{ComputeServerDuplex, StorageServerDuplex};
use protocol::link::Duplex;
use protocol::{ComputeCommand, ComputeResponse, Hello, Sequenced, StorageCommand, StorageResponse};
use stdx::{Task, Tasks};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::outbox::Lane;
use crate::process::Shared;
use crate::worker::{Command, Inbound};

/// How long a new connection may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a process says that it lives.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn serve_compute(shared: Arc<Shared>, duplex: ComputeServerDuplex) {
    let Duplex { sender, mut receiver } = duplex;
    let lane = &shared.outbox.compute;
    let Some(first) = first(&shared.tasks, &mut receiver).await else { return };
    let Sequenced { sequence, command: ComputeCommand::Hello(hello) } = first else {
        tracing::warn!("computectl: the first message was no hello");
        return;
    };
    let Some(nonce) = admit(&shared, lane, &hello, "computectl") else { return };
    shared.peeks.reset(nonce);
    let command = Command::Compute(Sequenced { sequence, command: ComputeCommand::Hello(hello) });
    if shared.process == 0 && !shared.command(Inbound { nonce, command }).await {
        return;
    }
    tokio::select! {
        // In order, not at random: the simulation replays runs.
        biased;
        () = read_compute(&shared, nonce, receiver) => {}
        () = write(lane, nonce, sender) => {}
        () = say_alive(&shared, || lane.push_current(ComputeResponse::Status { uptime_ms: shared.uptime_ms() })) => {}
    }
    lane.release(nonce);
}

pub(crate) async fn serve_storage(shared: Arc<Shared>, duplex: StorageServerDuplex) {
    let Duplex { sender, mut receiver } = duplex;
    let lane = &shared.outbox.storage;
    let Some(first) = first(&shared.tasks, &mut receiver).await else { return };
    let StorageCommand::Hello(hello) = first.command else {
        tracing::warn!("storagectl: the first message was no hello");
        return;
    };
    let Some(nonce) = admit(&shared, lane, &hello, "storagectl") else { return };
    let command = Command::Storage(StorageCommand::Hello(hello));
    if shared.process == 0 && !shared.command(Inbound { nonce, command }).await {
        return;
    }
    tokio::select! {
        // In order, not at random: the simulation replays runs.
        biased;
        () = read_storage(&shared, nonce, receiver) => {}
        () = write(lane, nonce, sender) => {}
        () = say_alive(&shared, || lane.push_current(StorageResponse::Alive { uptime_ms: shared.uptime_ms() })) => {}
    }
    lane.release(nonce);
}

async fn first<T>(tasks: &Tasks, receiver: &mut mpsc::Receiver<T>) -> Option<T> {
    tasks.timeout(HELLO_TIMEOUT, receiver.recv()).await.ok().flatten()
}

/// Looks at a controller before it displaces another.
fn admit<R>(shared: &Shared, lane: &Lane<R>, hello: &Hello, what: &str) -> Option<Uuid> {
    if let Err(refusal) = shared.gate.admit(hello) {
        tracing::warn!(%refusal, what, "refusing a controller");
        return None;
    }
    shared.generation.fetch_max(hello.generation, Ordering::SeqCst);
    lane.accept(hello.nonce);
    tracing::info!(what, epoch = hello.epoch, generation = hello.generation, "controller connected");
    Some(hello.nonce)
}

async fn read_compute(shared: &Shared, nonce: Uuid, mut receiver: mpsc::Receiver<Sequenced<ComputeCommand>>) {
    while let Some(Sequenced { sequence, command }) = receiver.recv().await {
        if !shared.outbox.compute.is_accepted(nonce) {
            return;
        }
        match command {
            ComputeCommand::Peek(peek) => shared.peeks.peek(*peek),
            ComputeCommand::CancelPeek(id) => shared.peeks.cancel(id),
            ComputeCommand::Hello(_) => {
                tracing::warn!("computectl: a second hello on one connection");
                return;
            }
            command if shared.process == 0 => {
                let command = Command::Compute(Sequenced { sequence, command });
                if !shared.command(Inbound { nonce, command }).await {
                    return;
                }
            }
            _ => {
                tracing::warn!(shared.process, "computectl: a command for workers must go to process 0");
                return;
            }
        }
    }
}

async fn read_storage(shared: &Arc<Shared>, nonce: Uuid, mut receiver: mpsc::Receiver<Sequenced<StorageCommand>>) {
    // One at a time; it ends with the connection, when the controller gives it to another.
    let mut merging: Option<Task> = None;
    while let Some(Sequenced { sequence: _, command }) = receiver.recv().await {
        if !shared.outbox.storage.is_accepted(nonce) {
            return;
        }
        if matches!(command, StorageCommand::Hello(_)) || shared.process != 0 {
            tracing::warn!(shared.process, "storagectl: an unexpected command");
            return;
        }
        if let StorageCommand::Compact { number, job } = command {
            if merging.as_ref().is_some_and(|task| !task.is_ended()) {
                let run = Err("the replica is merging already".to_owned());
                shared.outbox.storage.push_current(StorageResponse::CompactDone { number, run });
                continue;
            }
            merging = Some(shared.tasks.spawn("clusterd: merge", merge(Arc::clone(shared), number, job)));
            continue;
        }
        if !shared.command(Inbound { nonce, command: Command::Storage(command) }).await {
            return;
        }
    }
}

/// Merges parts for the leader, and tells what came of it.
async fn merge(shared: Arc<Shared>, number: u64, job: Vec<u8>) {
    let run = match MergeJob::of_bytes(job.into()) {
        Ok(job) => {
            let shard = job.shard();
            let merged = shared.shards.merge(job).await;
            tracing::info!(%shard, failed = merged.is_err(), "merged parts for the leader");
            merged.map(|run| run.to_bytes().to_vec()).map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    shared.outbox.storage.push_current(StorageResponse::CompactDone { number, run });
}

async fn write<R>(lane: &Lane<R>, nonce: Uuid, sender: mpsc::Sender<R>) {
    while let Some(response) = lane.next(nonce).await {
        if sender.send(response).await.is_err() {
            return;
        }
    }
}

async fn say_alive(shared: &Shared, say: impl Fn()) {
    loop {
        shared.tasks.sleep(ALIVE_INTERVAL).await;
        say();
    }
}
