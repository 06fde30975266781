//! The history keeps what a new replica needs, and nothing that an old one misses.

use protocol::{ComputeCommand, StorageCommand};

use super::*;
use crate::history::{Command, History};

fn create(id: u64) -> Command {
    Command::Compute(ComputeCommand::CreateDataflow(Box::new(dataflow(Vec::new(), index_export(id), 5))))
}

fn compact(id: u64, since: Option<u64>) -> Command {
    Command::Compute(ComputeCommand::AllowCompaction { id: user(id), since: since.map(ts) })
}

fn peeks(number: u128) -> Command {
    Command::Compute(ComputeCommand::Peek(Box::new(peek(number, 1, 5))))
}

fn cancel(number: u128) -> Command {
    Command::Compute(ComputeCommand::CancelPeek(Uuid::from_u128(number)))
}

fn history(commands: impl IntoIterator<Item = Command>) -> History {
    let mut history = History::default();
    for command in commands {
        history.push(command, None);
    }
    history
}

fn left(history: &History) -> Vec<Command> {
    history.after(0).map(|(_, entry)| entry.command.clone()).collect()
}

#[test]
fn dropped_dataflows_and_ended_peeks_leave_the_history() {
    let commands = [
        create(1),
        create(2),
        compact(1, Some(7)),
        peeks(1),
        peeks(2),
        cancel(1),
        compact(2, None),
        compact(1, Some(9)),
    ];
    let mut history = history(commands);
    history.reduce(u64::MAX, |id| id == Uuid::from_u128(2));
    assert_eq!(left(&history), [create(1), peeks(2), compact(1, Some(9))]);
}

#[test]
fn nothing_leaves_that_a_live_connection_has_yet_to_be_sent() {
    let commands = [create(1), create(2), compact(1, None), compact(2, None)];
    let mut history = history(commands.clone());
    history.reduce(0, |_| false);
    assert_eq!(left(&history), commands);
    // One connection has been sent all but the last.
    history.reduce(3, |_| false);
    assert_eq!(left(&history), [create(2), compact(2, None)]);
    history.reduce(4, |_| false);
    assert_eq!(history.len(), 0);
    assert_eq!(history.head(), 4);
}

#[test]
fn only_the_newest_form_of_a_source_is_kept() {
    let ingestion = |id, exports: u64| protocol::source::Ingestion {
        id: user(id),
        connection: protocol::source::SourceConnection::LoadGenerator(protocol::source::LoadGenerator {
            kind: protocol::source::LoadGeneratorKind::Auction,
            tick_interval_ms: Some(exports),
            as_of: 0,
            up_to: None,
        }),
        remap_shard: ShardId(1),
        exports: Vec::new(),
    };
    let run = |id, exports| Command::Storage(StorageCommand::RunIngestion(Box::new(ingestion(id, exports))));
    let stop = |id| Command::Storage(StorageCommand::AllowCompaction { id: user(id), since: None });
    let mut history = history([run(1, 1), run(2, 1), run(1, 2), stop(2)]);
    history.reduce(u64::MAX, |_| false);
    assert_eq!(left(&history), [run(1, 2)]);
}

#[test]
fn reduction_falls_due_when_the_history_has_doubled() {
    let mut history = History::default();
    let mut reductions = 0;
    for number in 0..10_000 {
        history.push(peeks(number), None);
        if history.is_due() {
            history.reduce(u64::MAX, |_| false);
            reductions += 1;
        }
        assert!(history.len() <= 256);
    }
    assert!(reductions < 100, "{reductions}");
}
