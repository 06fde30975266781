//! The sources of a replica, as its controller wants them.
//!
//! Every worker hears every command in the same order; each source runs on one of them, chosen by its id, as a task beside
//! the worker thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::source::Ingestion;
use protocol::storage::SourceStatus;
use protocol::{StorageCommand, StorageResponse};
use repr::{CollectionId, Timestamp};
use stdx::Task;
use uuid::Uuid;

use crate::context::WorkerContext;
use crate::ingestion::{PIECE_UPDATES, Runner};

/// The storage half of a worker.
pub struct Ingestions {
    context: WorkerContext,
    log_id: Option<Uuid>,
    running: BTreeMap<CollectionId, Running>,
    /// During a replay, what it has named so far.
    replayed: Option<BTreeSet<CollectionId>>,
    board: Arc<Board>,
    responses: Vec<StorageResponse>,
    piece_updates: usize,
}

struct Running {
    ingestion: Ingestion,
    /// On the worker that runs it.
    _task: Option<Task>,
}

impl Ingestions {
    pub fn new(context: WorkerContext) -> Ingestions {
        let board = Arc::new(Board::new(Arc::clone(&context.wake)));
        Ingestions {
            context,
            log_id: None,
            running: BTreeMap::new(),
            replayed: None,
            board,
            responses: Vec::new(),
            piece_updates: PIECE_UPDATES,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_piece_updates(mut self, piece_updates: usize) -> Ingestions {
        self.piece_updates = piece_updates;
        self
    }

    /// Obeys a command. Precondition: all workers get all commands in one order, and none from a fenced controller.
    pub fn handle(&mut self, command: StorageCommand) {
        match command {
            StorageCommand::Hello(hello) => {
                self.context.set_generation(hello.generation);
                if self.log_id.is_some_and(|known| known != hello.log_id) {
                    self.running.clear();
                    self.board.clear();
                }
                self.log_id = Some(hello.log_id);
                self.replayed = Some(BTreeSet::new());
                self.board.repeat();
                if self.context.local_index == 0 {
                    self.responses.push(StorageResponse::Welcome { nonce: hello.nonce });
                }
            }
            StorageCommand::RunIngestion(ingestion) => self.run(*ingestion),
            StorageCommand::AllowCompaction { id, since: None } => self.stop(id),
            StorageCommand::AllowCompaction { since: Some(_), .. } => {}
            // Whoever takes commands from the connection does it, beside the workers.
            StorageCommand::Compact { .. } => {}
            StorageCommand::InitializationComplete => {
                let named = self.replayed.take().unwrap_or_default();
                let unnamed: Vec<_> = self.running.keys().filter(|id| !named.contains(id)).copied().collect();
                for id in unnamed {
                    self.stop(id);
                }
            }
        }
    }

    /// What there is to tell the controller since the last turn.
    pub fn turn(&mut self) -> Vec<StorageResponse> {
        let mut responses = std::mem::take(&mut self.responses);
        responses.extend(self.board.news());
        responses
    }

    fn run(&mut self, ingestion: Ingestion) {
        let id = ingestion.id;
        if let Some(replayed) = &mut self.replayed {
            replayed.insert(id);
        }
        if self.running.get(&id).is_some_and(|running| running.ingestion == ingestion) {
            return;
        }
        // A changed one starts anew: it resumes where its shards stand, whatever the old one still had in flight.
        if let Some(old) = self.running.remove(&id) {
            self.forget(&old.ingestion);
        }
        let task = self.context.is_responsible(number(id)).then(|| {
            let runner = Runner {
                context: self.context.clone(),
                ingestion: ingestion.clone(),
                board: Arc::clone(&self.board),
                piece_updates: self.piece_updates,
            };
            self.context.tasks.spawn("ingestion", runner.run())
        });
        self.running.insert(id, Running { ingestion, _task: task });
    }

    fn stop(&mut self, id: CollectionId) {
        let Some(running) = self.running.remove(&id) else { return };
        self.forget(&running.ingestion);
        if self.context.is_responsible(number(id)) {
            self.responses.push(StorageResponse::Dropped { id });
        }
    }

    fn forget(&self, ingestion: &Ingestion) {
        self.board.forget(ingestion.id);
        for export in &ingestion.exports {
            self.board.forget(export.id);
        }
    }
}

fn number(id: CollectionId) -> u64 {
    match id {
        CollectionId::System(number) | CollectionId::User(number) | CollectionId::Transient(number) => number,
    }
}

/// Where the tasks of sources write what the controller should know: only the last word on each is kept.
pub(crate) struct Board {
    entries: Mutex<BTreeMap<CollectionId, Entry>>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Entry {
    upper: Option<Timestamp>,
    status: Option<SourceStatus>,
    upper_is_news: bool,
    status_is_news: bool,
}

impl Board {
    fn new(wake: Arc<dyn Fn() + Send + Sync>) -> Board {
        Board { entries: Mutex::default(), wake }
    }

    /// A durable upper. One below what is known is old.
    pub(crate) fn upper(&self, id: CollectionId, upper: Timestamp) {
        let mut entries = self.entries.lock();
        let entry = entries.entry(id).or_default();
        if entry.upper.is_none_or(|known| known < upper) {
            entry.upper = Some(upper);
            entry.upper_is_news = true;
            drop(entries);
            (self.wake)();
        }
    }

    pub(crate) fn status(&self, id: CollectionId, status: SourceStatus) {
        let mut entries = self.entries.lock();
        let entry = entries.entry(id).or_default();
        if entry.status.as_ref() != Some(&status) {
            entry.status = Some(status);
            entry.status_is_news = true;
            drop(entries);
            (self.wake)();
        }
    }

    /// Everything is news again: for a new controller.
    fn repeat(&self) {
        for entry in self.entries.lock().values_mut() {
            entry.upper_is_news = entry.upper.is_some();
            entry.status_is_news = entry.status.is_some();
        }
    }

    fn forget(&self, id: CollectionId) {
        self.entries.lock().remove(&id);
    }

    fn clear(&self) {
        self.entries.lock().clear();
    }

    fn news(&self) -> Vec<StorageResponse> {
        let mut news = Vec::new();
        for (id, entry) in self.entries.lock().iter_mut() {
            if let Some(upper) = entry.upper.filter(|_| std::mem::take(&mut entry.upper_is_news)) {
                news.push(StorageResponse::Upper { id: *id, upper });
            }
            if let Some(status) = entry.status.clone().filter(|_| std::mem::take(&mut entry.status_is_news)) {
                news.push(StorageResponse::Status { id: *id, status });
            }
        }
        news
    }
}
