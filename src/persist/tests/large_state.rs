//! What a large environment costs its leader: the state of 100,000 batches, encoded, loaded from RocksDB, and held.
//!
//! Prints the figures; those of a release build are the ones that count (`cargo test --release -p persist --test large_state
//! -- --nocapture`).

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
            let parts = vec![Part::Hollow(part)];
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

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_batches_are_no_burden() {
    let directory = tempfile::tempdir().unwrap();
    let tasks = Tasks::tokio();
    let state = state();
    let encoded = encode_state(&state);
    let encoded_bytes = encoded.len();
    let log = RocksLog::open(directory.path(), tasks.clone()).expect("the log opens");
    let checkpoint = Checkpoint::new(Uuid::from_u128(1), 1, 1, Uuid::from_u128(2), encoded);
    log.checkpoint(checkpoint).await.expect("stored");
    drop((log, state));
    // The lock would prove nothing of a predecessor on another machine.
    std::fs::write(directory.path().join("HOLDER"), std::fs::read_to_string("/etc/machine-id").unwrap_or_default())
        .unwrap();
    let before = resident();
    let start = tasks.clock().boot();
    let log = RocksLog::open(directory.path(), tasks.clone()).expect("the log opens");
    let config = LeaderConfig::new(Arc::new(log), memory_blob(), tasks.clone(), Rng::from_seed(3));
    let leader = Leader::open(config).await.expect("it leads");
    let took = tasks.clock().boot() - start;
    let held = resident().saturating_sub(before);
    println!("{} batches: {encoded_bytes} bytes encoded, leader after {took:?}, {held} bytes more", SHARDS * BATCHES);
    assert_eq!(leader.shards().len() as u64, SHARDS);
    assert!(encoded_bytes < 30 << 20, "{encoded_bytes} bytes");
    // A development build on a busy machine; the target of a release build is 300 ms.
    assert!(took < Duration::from_secs(30), "{took:?}");
}
