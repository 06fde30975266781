//! Physical plans to dataflows: rendering, arrangements, peeks, subscriptions and reconciliation, for one worker at a time.
//!
//! Knows no SQL, no names, no sockets and no runtime: it is driven by a worker thread or by a simulation. Reading order:
//! `state` (what a command does), `render` (plans to dataflow fragments), `index` and `peek` (reading what is maintained),
//! `command_channel` and `merger` (workers in one order, and with one voice), `ends` (where shards come in).

mod ends;
mod evaluator;
mod index;
mod layout;
mod render;

pub mod command_channel;
pub mod merger;
pub mod peek;
pub mod state;

pub use command_channel::{CommandReceiver, CommandSender, command_channel};
pub use ends::ShardEnds;
pub use merger::ResponseMerger;
pub use peek::PeekServer;
pub use state::{ComputeContext, ComputeState, Turn};

/// How timely workers are configured: traces go on merging while nothing arrives.
pub fn worker_config() -> timely::WorkerConfig {
    let mut config = timely::WorkerConfig::default();
    differential_dataflow::configure(
        &mut config,
        &differential_dataflow::Config::default().idle_merge_effort(Some(1000)),
    );
    config
}
