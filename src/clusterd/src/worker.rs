//! One timely worker: takes commands, steps dataflows, says what has come of them.

use std::sync::Arc;
use std::time::Duration;

use compute::{CommandReceiver, CommandSender, ComputeContext, ComputeState, command_channel};
use protocol::{ComputeCommand, Sequenced, StorageCommand};
use serde::{Deserialize, Serialize};
use storage::{Ingestions, WorkerContext};
use timely::worker::Worker;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::process::Shared;

/// How long a worker sleeps when nothing wakes it.
const PARK_MAX: Duration = Duration::from_millis(500);

/// Quiet steps after which a simulated worker is taken to have nothing to do.
const QUIET_STEPS: usize = 16;

/// A command on its way to all workers, in the one order of both protocols.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    Compute(Sequenced<ComputeCommand>),
    Storage(StorageCommand),
}

/// A command with the connection it came by.
pub(crate) struct Inbound {
    pub(crate) nonce: Uuid,
    pub(crate) command: Command,
}

/// The core of a worker thread, or of a simulated process.
pub struct WorkerLoop {
    timely: Worker,
    storage: Ingestions,
    compute: ComputeState,
    receiver: CommandReceiver<Command>,
    /// On the replica's first worker: what the connections have brought.
    first: Option<First>,
    shared: Arc<Shared>,
    local_index: usize,
    storage_nonce: Option<Uuid>,
}

struct First {
    inbox: mpsc::Receiver<Inbound>,
    sender: CommandSender<Command>,
    compute_nonce: Option<Uuid>,
    storage_nonce: Option<Uuid>,
}

impl WorkerLoop {
    pub(crate) fn new(
        shared: Arc<Shared>,
        mut timely: Worker,
        local_index: usize,
        inbox: Option<mpsc::Receiver<Inbound>>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> WorkerLoop {
        // Before all other dataflows, on every worker alike.
        let (sender, receiver) = command_channel::<Command>(&mut timely);
        let first =
            sender.zip(inbox).map(|(sender, inbox)| First { inbox, sender, compute_nonce: None, storage_nonce: None });
        let context = WorkerContext {
            index: timely.index(),
            peers: timely.peers(),
            local_index,
            shards: Arc::clone(&shared.shards),
            tasks: shared.tasks.clone(),
            rng: shared.rng.clone(),
            wake,
            halt: Arc::clone(&shared.halt),
            generation: Arc::clone(&shared.generation),
        };
        let ends = Box::new(context.clone());
        let compute_context = ComputeContext { local_index, ends, peeks: Arc::clone(&shared.peeks) };
        let compute = ComputeState::new(timely.clone(), compute_context);
        let storage = Ingestions::new(context);
        WorkerLoop { timely, storage, compute, receiver, first, shared, local_index, storage_nonce: None }
    }

    /// Applies the commands that have arrived and reports what the last step has changed; true if there was anything.
    fn turn(&mut self) -> bool {
        let mut busy = self.first.as_mut().is_some_and(First::broadcast);
        while let Some(command) = self.receiver.try_recv() {
            busy = true;
            match command {
                Command::Compute(command) => self.compute.handle(command),
                Command::Storage(command) => {
                    if let StorageCommand::Hello(hello) = &command {
                        self.storage_nonce = Some(hello.nonce);
                    }
                    self.storage.handle(command);
                }
            }
        }
        let turn = self.compute.turn();
        busy |= !turn.responses.is_empty();
        self.shared.outbox.compute_turn(self.local_index, turn);
        let responses = self.storage.turn();
        if let Some(nonce) = self.storage_nonce
            && !responses.is_empty()
        {
            busy = true;
            self.shared.outbox.storage.push(nonce, responses);
        }
        busy
    }

    /// Runs a worker thread until the process stops.
    pub(crate) fn run(mut self) {
        while !self.shared.shutdown.is_triggered() {
            let busy = self.turn();
            self.timely.step_or_park(Some(if busy { Duration::ZERO } else { PARK_MAX }));
        }
    }

    /// Simulation: one turn and one step, without waiting; true if there was anything to do, as far as one can see.
    pub fn step(&mut self) -> bool {
        let busy = self.turn();
        self.timely.step();
        busy
    }

    /// Simulation: steps until nothing more comes of it.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < QUIET_STEPS {
            quiet = if self.step() { 0 } else { quiet + 1 };
        }
    }
}

impl First {
    /// Sends on to all workers what the connections have brought; true if there was anything.
    fn broadcast(&mut self) -> bool {
        let mut busy = false;
        while let Ok(Inbound { nonce, command }) = self.inbox.try_recv() {
            busy = true;
            let current = match &command {
                Command::Compute(_) => &mut self.compute_nonce,
                Command::Storage(_) => &mut self.storage_nonce,
            };
            let is_hello = matches!(
                &command,
                Command::Compute(Sequenced { command: ComputeCommand::Hello(_), .. })
                    | Command::Storage(StorageCommand::Hello(_))
            );
            if is_hello {
                *current = Some(nonce);
            } else if *current != Some(nonce) {
                // The last words of a connection that was displaced.
                continue;
            }
            self.sender.send(command);
        }
        busy
    }
}
