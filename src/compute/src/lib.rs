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

use std::sync::Arc;

use differential_dataflow::trace::ExertionLogic;

pub use command_channel::{CommandReceiver, CommandSender, command_channel};
pub use ends::ShardEnds;
pub use merger::ResponseMerger;
pub use peek::PeekServer;
pub use state::{ComputeContext, ComputeState, Turn};

/// Updates that a trace merges in one turn while nothing arrives.
const IDLE_EFFORT: usize = 1000;
/// Each batch of a trace at rest is at most this part of the next larger one.
const IDLE_RATIO: usize = 8;

/// How timely workers are configured: traces go on merging while nothing arrives, but only so far.
pub fn worker_config() -> timely::WorkerConfig {
    let mut config = timely::WorkerConfig::default();
    config.set::<ExertionLogic>("differential/default_exert_logic".to_owned(), Arc::new(idle_effort));
    config
}

/// How much a trace whose levels are these, the largest first, each `(level, batches, updates)`, should merge by itself.
///
/// Differential's own rule goes on until one batch is left, so that each change, however small, costs a copy of everything.
/// Here a copy is paid for by at least an eighth as many changes, and a read meets a handful of batches.
fn idle_effort(levels: &[(usize, usize, usize)]) -> Option<usize> {
    let mut larger = None;
    for &(_, batches, updates) in levels {
        let is_merging = batches > 1;
        if is_merging || larger.is_some_and(|larger: usize| updates.saturating_mul(IDLE_RATIO) > larger) {
            return Some(IDLE_EFFORT);
        }
        if updates > 0 {
            larger = Some(updates);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::idle_effort;

    #[test]
    fn a_trace_rests_once_its_batches_shrink_fast() {
        assert_eq!(idle_effort(&[]), None);
        assert_eq!(idle_effort(&[(17, 1, 100_000), (13, 0, 0), (12, 1, 4_000), (3, 1, 8), (0, 1, 0)]), None);
        assert!(idle_effort(&[(17, 1, 100_000), (14, 1, 16_000)]).is_some(), "a batch is too large beside the next");
        assert!(idle_effort(&[(17, 1, 100_000), (4, 2, 20)]).is_some(), "a merge is under way");
    }
}
