//! The whole product on one thread, from a seed: environmentd with SQL sessions, clusterd with its worker, a log with faults.
//!
//! Reading order: `world` (what runs, and what goes wrong with it), `network` (how the parts reach each other), `client`
//! (what users do), `history` (what they were told, and whether that can be true).

pub mod client;
pub mod history;
pub mod network;
pub mod world;
