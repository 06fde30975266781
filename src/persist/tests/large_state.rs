//! What a large environment costs its leader: the state of 100,000 batches, encoded, loaded from RocksDB, and held.
//!
//! Prints the figures; those of a release build are the ones that count (`cargo test --release -p persist --test large_state
//! -- --nocapture`).

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use persist::{
    BatchDesc, Checkpoint, HollowPart, Leader, LeaderConfig, Log, Op, Part, RocksLog, State, Txn, WriterId,
    encode_state, memory_blob,
};
use repr::{ShardId, Timestamp};
use stdx::{Rng, Tasks};
use uuid::Uuid;

const SHARDS: u64 = 400;
const BATCHES: u64 = 250;
/// What a leader of so many batches may take.
const HELD_BYTES_MAX: u64 = 50 << 20;

fn state() -> State {
    let rng = Rng::from_seed(1);
    let (log_id, nonce) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut state = State { next_seq: 1, ..State::default() };
    let mut apply = |op: Op| state.apply(&Txn::from(op)).expect("it fits");
    apply(Op::Open { log_id, epoch: 1, nonce, generation: 1, version: 1, lease_ms: 0 });
    let writer = WriterId { generation: 1, writer: 0, incarnation: 0 };
    for shard in 1..=SHARDS {
        let shard = ShardId(shard);
        let since = Timestamp::MIN;
        apply(Op::Create { shard, group: None, schema: Default::default(), since, scheduled: false });
        for batch in 0..BATCHES {
            let (lower, upper) = (Timestamp::new(batch * 1000), Timestamp::new((batch + 1) * 1000));
            let part = HollowPart {
                key: format!("part/{:013}-1-{}", 1_700_000_000_000_u64 + batch, Uuid::from_bytes(rng.bytes16())),
                bytes: 300_000 + batch,
                updates: 5_000,
                t_min: lower,
                t_max: upper.step_back(),
                // Least and greatest value and the count of nulls of a few columns.
                statistics: Bytes::copy_from_slice(&[rng.bytes16(), rng.bytes16(), rng.bytes16()].concat()),
            };
            let token = Uuid::from_bytes(rng.bytes16());
            let parts = [Part::Hollow(part)].into();
            let batch = BatchDesc { id: 0, lower, upper, since, updates: 5_000, bytes: 300_000, token, parts };
            apply(Op::Append { shard, writer, expect_upper: lower, new_upper: upper, batch: Some(batch) });
        }
    }
    state.next_seq = 2;
    state
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096
}

/// Measured in a process of its own, whose memory nobody has used before: the test runs itself again in the directory.
#[test]
fn a_hundred_thousand_batches_are_no_burden() {
    let here = std::env::current_dir().expect("a directory");
    if here.join(LOG).is_dir() {
        return lead(&here);
    }
    let directory = tempfile::tempdir().expect("a directory");
    store(directory.path());
    let own = std::env::current_exe().expect("this program");
    // What is freed goes back to the system, so that only what is held counts.
    let trimmed = [("MALLOC_MMAP_THRESHOLD_", "262144"), ("MALLOC_TRIM_THRESHOLD_", "262144")];
    let mut child = Command::new(own);
    child.arg("--nocapture").envs(trimmed).current_dir(directory.path());
    let child = child.output().expect("it runs");
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}{}", String::from_utf8_lossy(&child.stderr));
    print!("{output}");
    assert!(output.contains("batches: leader after"), "it has measured nothing: {output}");
}

const LOG: &str = "log-of-large-state";

/// Leaves a log whose checkpoint is the state.
fn store(directory: &Path) {
    let encoded = encode_state(&state());
    assert!(encoded.len() < 30 << 20, "{} bytes", encoded.len());
    println!("{} batches: {} bytes encoded", SHARDS * BATCHES, encoded.len());
    let checkpoint = Checkpoint::new(Uuid::from_u128(1), 1, 1, Uuid::from_u128(2), encoded);
    run(async {
        let log = RocksLog::open(&directory.join(LOG), Tasks::tokio()).expect("the log opens");
        log.checkpoint(checkpoint).await.expect("stored");
    });
    // The lock would prove nothing of a predecessor on another machine.
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    std::fs::write(directory.join(LOG).join("HOLDER"), machine).expect("written");
}

fn lead(directory: &Path) {
    run(async {
        let tasks = Tasks::tokio();
        let start = tasks.clock().boot();
        let log = RocksLog::open(&directory.join(LOG), tasks.clone()).expect("the log opens");
        let opened = tasks.clock().boot() - start;
        let before = resident();
        let config = LeaderConfig::new(Arc::new(log), memory_blob(), tasks.clone(), Rng::from_seed(3));
        let leader = Leader::open(config).await.expect("it leads");
        let took = tasks.clock().boot() - start;
        let held = resident().saturating_sub(before);
        let batches = SHARDS * BATCHES;
        println!("{batches} batches: leader after {took:?} ({opened:?} of RocksDB), {held} bytes held");
        assert_eq!(leader.shards().len() as u64, SHARDS);
        assert!(held < HELD_BYTES_MAX, "{held} bytes");
        // A development build on a busy machine; the target of a release build is 300 ms.
        assert!(took < Duration::from_secs(30), "{took:?}");
    });
}

fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(work);
}
