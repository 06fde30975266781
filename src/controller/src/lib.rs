//! The truth about collections and replicas: frontiers, read holds, the commands each replica must know, and what comes
//! back. One mechanism drives both control protocols.
//!
//! Knows ids, never names, and no SQL. It reads no clock but the leader's and runs on any executor, so that simulation
//! drives it. Reading order: `controller` (what sessions call), `state`, `hold`, `history`, `replica` (one connection loop
//! for each), `peek`, `subscribe`, `maintain` (how sinces move), `as_of`, `launch`, `reports`,
//! `durable`, `leader`.

mod as_of;
mod controller;
mod durable;
mod history;
mod hold;
mod launch;
mod leader;
mod maintain;
mod merge;
mod peek;
mod replica;
mod reports;
mod state;
mod subscribe;

pub use as_of::{AsOfError, Placed};
pub use controller::{Controller, ControllerConfig, ControllerError, ProcessState, ReplicaStatus};
pub use durable::{Durable, DurableHold, Frontiers, LogIdentity};
pub use hold::{ReadHold, ReadHolds};
pub use launch::{OrchestratorLauncher, ReplicaLauncher, ReplicaSize, ReplicaSpec, WorkerResources};
pub use merge::ReplicaMerges;
pub use peek::PeekHandle;
pub use reports::{ProcessReport, Reports, StatusChange};
pub use subscribe::{SubscribeBatch, SubscribeHandle};

#[cfg(test)]
mod tests;
