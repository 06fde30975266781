//! The daemon that computes: boots timely workers, accepts one controller for each protocol, and pumps commands and
//! responses between the two.
//!
//! Knows no SQL and holds no durable truth. Reading order: `args`, `daemon` (sockets, threads, signals), `mesh`, `process`
//! (the core, which simulation drives without sockets and threads), `gate` (who may command), `connection`, `worker`,
//! `outbox`, `http`.

mod args;
mod connection;
mod daemon;
mod gate;
mod http;
mod mesh;
mod outbox;
mod process;
mod worker;

pub use args::Args;
pub use daemon::main_with;
pub use process::{Process, ProcessConfig};
pub use worker::WorkerLoop;

#[cfg(test)]
mod tests;
