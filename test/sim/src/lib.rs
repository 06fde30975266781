//! The whole product on one thread, from a seed: environmentd with SQL sessions, clusterd with its worker, a log with faults.
//!
//! Reading order: `world` (what runs, and what goes wrong with it), `network` (how the parts reach each other), `clock` (what time they have), `client`
//! (what users do), `ddl` (what they make and drop meanwhile), `history` (what they were told, and whether that can be true).

pub mod client;
mod clock;
pub mod ddl;
pub mod history;
pub mod network;
pub mod world;
