//! What the whole-system tests share: a real environmentd with its clusterd children on free ports, a private PostgreSQL 15
//! to compare with, and clients.

pub mod postgres;
pub mod server;
pub mod slt;

pub use server::Server;

/// A seed for a random test: `FRESHET_TEST_SEED`, or one from the operating system. Printed, so that a failure can be
/// replayed.
pub fn seed() -> u64 {
    let seed = match std::env::var("FRESHET_TEST_SEED") {
        Ok(seed) => seed.parse().expect("FRESHET_TEST_SEED is a number"),
        Err(_) => rand::random(),
    };
    eprintln!("FRESHET_TEST_SEED={seed}");
    seed
}
