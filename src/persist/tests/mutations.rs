//! Mutated log entries, checkpoints, parts and `shardctl` frames: whatever the bytes say, a decoder answers with a value or
//! an error, never with a panic and never by asking for much memory.
//!
//! `FRESHET_TEST_MUTATIONS` sets the rounds of each test, `FRESHET_TEST_SEED` the seed. The same decoders are fuzz targets in
//! `fuzz/`, which share the corpus; `REWRITE=1` adds parts and frames as this program writes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use persist::{
    Checkpoint, Commit, CreateShard, Entry, GroupId, Leader, LeaderConfig, MemLog, Part, decode_state, decode_txns,
    encode_state, encode_txns, memory_blob, probe,
};
use repr::{Diff, Row, ShardId};
use stdx::Rng;
use stdx::sim::Executor;

const DEFAULT_ROUNDS: u64 = 20_000;

#[allow(clippy::disallowed_methods, reason = "a test has no flags")]
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

/// The inputs that the fuzz targets start from.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("it is there").path()).collect();
    paths.sort();
    let inputs: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).expect("read")).collect();
    assert!(!inputs.is_empty(), "{} is empty", directory.display());
    inputs
}

fn keep(target: &str, name: &str, bytes: &[u8]) {
    if setting("REWRITE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target).join(name);
        std::fs::write(path, bytes).expect("written");
    }
}

/// An inline part and a file, as a leader writes them.
fn written_parts() -> (Vec<u8>, Vec<u8>) {
    let executor = Executor::new(Rng::from_seed(1), 1_000_000);
    let tasks = executor.tasks(1);
    executor.block_on(async move {
        let blob = memory_blob();
        let mut config = LeaderConfig::new(Arc::new(MemLog::new()), blob.clone(), tasks, Rng::from_seed(1));
        config.inline_bytes_max = 300;
        let leader = Leader::open(config).await.expect("the leader opens");
        let mut commit = Commit::tick(GroupId::TABLES, leader.now());
        for (shard, rows) in [(ShardId(1), 3u64), (ShardId(2), 60)] {
            commit.creates.push(CreateShard { shard, group: Some(GroupId::TABLES), scheduled: false });
            let row = |n: u64| Row::from_bytes(&[&n.to_be_bytes()[..], &[7; 9]].concat());
            commit.appends.push((shard, (0..rows).map(|n| (row(n), Diff::ONE)).collect()));
        }
        leader.commit(commit).await.expect("committed");
        let state = leader.state();
        let Part::Inline(inline) = &state.shards[&ShardId(1)].batches[0].parts[0] else { panic!("it is short") };
        let files: Vec<_> = blob.list(None).try_collect().await.expect("listed");
        let file = blob.get(&files[0].location).await.expect("read").bytes().await.expect("read");
        (inline.to_vec(), file.to_vec())
    })
}

/// Appends and pieces with such parts, in protobuf's encoding.
fn written_frames() -> [Vec<u8>; 2] {
    fn number(out: &mut Vec<u8>, field: u8, value: u8) {
        out.extend([field << 3, value]);
    }
    fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
        out.push(field << 3 | 2);
        let (low, high) = ((value.len() & 0x7f) as u8, (value.len() >> 7) as u8);
        out.extend(if high > 0 { vec![low | 0x80, high] } else { vec![low] });
        out.extend_from_slice(value);
    }
    let (mut inline, mut hollow, mut hollow_part) = (Vec::new(), Vec::new(), Vec::new());
    bytes(&mut inline, 1, &written_parts().0);
    bytes(&mut hollow, 1, b"part/0000000000300-1-00112233445566778899aabbccddeeff.rpf");
    (2..6).for_each(|field| number(&mut hollow, field, 10 * field));
    bytes(&mut hollow_part, 2, &hollow);
    let (mut append, mut piece) = (Vec::new(), Vec::new());
    bytes(&mut append, 1, &[1; 16]);
    (2..8).for_each(|field| number(&mut append, field, field));
    bytes(&mut append, 8, &[2; 16]);
    bytes(&mut append, 9, &inline);
    bytes(&mut append, 9, &hollow_part);
    (1..6).for_each(|field| number(&mut piece, field, field));
    bytes(&mut piece, 6, &inline);
    [append, piece]
}

/// Changes a few bytes, bits or lengths, or joins two inputs.
fn mutate(rng: &Rng, inputs: &[Vec<u8>]) -> Vec<u8> {
    let below = |bound: usize| usize::try_from(rng.below(bound as u64)).expect("it was a usize");
    let mut bytes = inputs[below(inputs.len())].clone();
    for _ in 0..1 + rng.below(4) {
        let at = below(bytes.len() + 1);
        match rng.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.next_u64() as u8),
            2 => {
                let other = &inputs[below(inputs.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[below(other.len() + 1)..]);
            }
            // What lengths and counts are made of.
            3 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][below(6)],
            4 if at + 4 <= bytes.len() => bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes()),
            5 if at < bytes.len() => bytes[at] = rng.next_u64() as u8,
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            _ => {}
        }
    }
    bytes
}

/// Runs `decode` on the corpus and on mutations of it. It says whether it took the input.
fn run(target: &str, fresh: &[Vec<u8>], decode: impl Fn(Bytes) -> bool) {
    let seed = setting("FRESHET_TEST_SEED").unwrap_or(5);
    let rounds = setting("FRESHET_TEST_MUTATIONS").unwrap_or(DEFAULT_ROUNDS);
    println!("{target}: FRESHET_TEST_SEED={seed}");
    for (number, input) in fresh.iter().enumerate() {
        keep(target, &format!("written_{number}"), input);
        assert!(decode(Bytes::copy_from_slice(input)), "{target}: what was just written is refused");
    }
    let (rng, mut inputs) = (Rng::from_seed(seed), corpus(target));
    inputs.extend_from_slice(fresh);
    let sound = inputs.iter().filter(|input| decode(Bytes::copy_from_slice(input))).count();
    assert!(sound > 0, "the corpus of {target} holds nothing sound");
    let taken = (0..rounds).filter(|_| decode(Bytes::from(mutate(&rng, &inputs)))).count();
    println!("{target}: {taken} of {rounds} mutations were taken");
}

#[test]
fn log_entries() {
    run("log_entry", &[], |bytes| {
        // The body is behind a checksum that a mutation rarely meets, so it is decoded by itself as well.
        let whole = Entry::decode(1, bytes.clone()).is_ok_and(|entry| decode_txns(&entry.body).is_ok());
        let Ok(txns) = decode_txns(&bytes) else { return whole };
        assert_eq!(decode_txns(&encode_txns(&txns)), Ok(txns), "what was decoded is encoded again");
        true
    });
}

#[test]
fn checkpoints() {
    run("checkpoint", &[], |bytes| {
        let whole = Checkpoint::decode(bytes.clone()).is_ok_and(|checkpoint| decode_state(&checkpoint.state).is_ok());
        let Ok(state) = decode_state(&bytes) else { return whole };
        assert_eq!(decode_state(&encode_state(&state)), Ok(state), "what was decoded is encoded again");
        true
    });
}

#[test]
fn parts() {
    run("part", &[written_parts().1], |bytes| probe::part(bytes).is_ok());
}

#[test]
fn shardctl_frames() {
    run("shardctl_frame", &written_frames(), |bytes| probe::shardctl_frame(bytes).is_ok());
}
