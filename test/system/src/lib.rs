//! What the whole-system tests share: a real environmentd with its clusterd children on free ports, a private PostgreSQL 15
//! to compare with, and clients.

pub mod disk;
pub mod ledger;
pub mod postgres;
pub mod server;
pub mod slt;
pub mod strace;
pub mod wiretap;

pub use disk::Disk;
pub use ledger::Ledger;
pub use server::Server;
pub use wiretap::Wiretap;

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

/// A size of a test: the environment variable, or what runs by default.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")),
        Err(_) => default,
    }
}
