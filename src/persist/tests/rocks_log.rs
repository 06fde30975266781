//! The embedded log on a real disk: locking, torn tails, flipped bits; what every log does is in `log_conformance`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use persist::{
    Append, Commit, CreateShard, Entry, GroupId, Leader, LeaderConfig, LeaderHandle, Log, LogError, OpenError,
    RocksLog, RocksReader, encode_txns, local_blob,
};
use repr::{Diff, Row, ShardId, Timestamp};
use stdx::{Rng, Tasks};
use uuid::Uuid;

const TABLE: ShardId = ShardId(1);

fn entry(seq: u64, text: &str) -> Entry {
    Entry::new(seq, 1, Uuid::from_u128(5), Bytes::copy_from_slice(text.as_bytes()))
}

async fn filled(directory: &Path, count: u64) -> RocksLog {
    let log = RocksLog::open(directory, Tasks::tokio()).expect("the log opens");
    for seq in 1..=count {
        let appended = log.append(entry(seq, &format!("entry {seq}"))).await;
        assert_eq!(appended.expect("stored"), Append::Committed { stored_at: None });
    }
    log
}

/// The newest write-ahead file.
fn wal(directory: &Path) -> PathBuf {
    let files = std::fs::read_dir(directory.join("db")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().expect("a write-ahead file")
}

/// How much of a write-ahead file is written, before the zeros.
fn written(wal: &Path) -> usize {
    std::fs::read(wal).unwrap().iter().rposition(|byte| *byte != 0).expect("something is written") + 1
}

/// A copy as `kill -9` would leave it: taken while the log is open, without its lock.
fn copy_of(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("db")).unwrap();
    for entry in std::fs::read_dir(directory.join("db")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.path().join("db").join(path.file_name().unwrap())).unwrap();
        }
    }
    std::fs::copy(directory.join("FORMAT"), copy.path().join("FORMAT")).unwrap();
    copy
}

/// Killed while RocksDB makes its first files, a log holds nothing; one that has lost a file is a log all the same.
#[tokio::test]
async fn a_log_whose_making_was_interrupted_is_none() {
    let directory = tempfile::tempdir().unwrap();
    assert!(!RocksReader::is_made(directory.path()));
    drop(filled(directory.path(), 1).await);
    std::fs::remove_file(directory.path().join("db").join("CURRENT")).unwrap();
    assert!(RocksReader::is_made(directory.path()), "it has an entry");

    let begun = tempfile::tempdir().unwrap();
    std::fs::create_dir(begun.path().join("db")).unwrap();
    std::fs::copy(directory.path().join("FORMAT"), begun.path().join("FORMAT")).unwrap();
    std::fs::write(begun.path().join("db").join("MANIFEST-000001"), "").unwrap();
    assert!(!RocksReader::is_made(begun.path()), "nothing was ever written to it");
    filled(begun.path(), 2).await;
}

#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let log = filled(directory.path(), 1).await;
    let Err(LogError::InUse(text)) = RocksLog::open(directory.path(), Tasks::tokio()) else { panic!("opened twice") };
    assert!(text.contains(&directory.path().display().to_string()) && text.contains("in use"), "{text}");
    drop(log);
    RocksLog::open(directory.path(), Tasks::tokio()).expect("free again");
}

#[tokio::test]
async fn a_newer_layout_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    drop(filled(directory.path(), 1).await);
    std::fs::write(directory.path().join("FORMAT"), "freshet log 2\n").unwrap();
    let refused = RocksLog::open(directory.path(), Tasks::tokio());
    assert!(matches!(refused, Err(LogError::Newer(text)) if text.contains("layout 2")));
}

#[tokio::test]
async fn what_was_synced_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let log = filled(directory.path(), 20).await;
    let copy = copy_of(directory.path());
    drop(log);
    let log = RocksLog::open(copy.path(), Tasks::tokio()).expect("the log opens");
    assert_eq!(log.load().await.expect("loaded").1.len(), 20);
}

#[tokio::test]
async fn a_torn_tail_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let log = filled(directory.path(), 20).await;
    for torn in [1, 5, 20, 60] {
        let copy = copy_of(directory.path());
        let wal = wal(copy.path());
        let length = (written(&wal) - torn) as u64;
        std::fs::OpenOptions::new().write(true).open(&wal).unwrap().set_len(length).unwrap();
        let log = RocksLog::open(copy.path(), Tasks::tokio()).expect("the log opens");
        let entries = log.load().await.expect("loaded").1;
        assert_eq!(entries, (1..20).map(|seq| entry(seq, &format!("entry {seq}"))).collect::<Vec<_>>(), "{torn} bytes");
    }
    drop(log);
}

/// Disks write the sectors of one sync in any order: the record is torn whichever is missing, and none before it is.
#[tokio::test]
async fn a_record_without_one_of_its_sectors_is_cut_off() {
    for (bytes, step) in [(40, 1), (3_000, 1), (70_000, 5)] {
        let directory = tempfile::tempdir().unwrap();
        let log = filled(directory.path(), 20).await;
        let start = written(&wal(directory.path()));
        log.append(entry(21, &"x".repeat(bytes))).await.expect("stored");
        let end = written(&wal(directory.path()));
        assert!(end - start > bytes, "the record is in the file");
        for sector in (start / 512..end.div_ceil(512)).step_by(step) {
            let copy = copy_of(directory.path());
            let wal = wal(copy.path());
            let mut file = std::fs::read(&wal).unwrap();
            file[start.max(sector * 512)..end.min((sector + 1) * 512)].fill(0);
            std::fs::write(&wal, file).unwrap();
            let log = RocksLog::open(copy.path(), Tasks::tokio()).expect("the log opens");
            assert_eq!(log.load().await.expect("loaded").1.len(), 20, "{bytes} bytes, sector {sector}");
        }
        drop(log);
    }
}

/// Zeros are written ahead of the log, and what ends in them is whole.
#[tokio::test]
async fn what_follows_on_written_zeros_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let log = filled(directory.path(), 20).await;
    let length = || std::fs::metadata(wal(directory.path())).unwrap().len();
    let ahead = length();
    assert!(ahead >= 1 << 20, "zeros lie ahead");
    for seq in 21..=40 {
        let text = "y".repeat(60_000);
        log.append(entry(seq, &text)).await.expect("stored");
    }
    assert!(length() > ahead, "and again when they are used up");
    let copy = copy_of(directory.path());
    drop(log);
    let log = RocksLog::open(copy.path(), Tasks::tokio()).expect("the log opens");
    let entries = log.load().await.expect("loaded").1;
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_flipped_bit_is_found_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let log = filled(directory.path(), 20).await;
    let length = written(&wal(directory.path()));
    let seed = 7;
    println!("seed {seed}");
    let rng = Rng::from_seed(seed);
    for round in 0..60 {
        let copy = copy_of(directory.path());
        let wal = wal(copy.path());
        let mut bytes = std::fs::read(&wal).unwrap();
        // The last record is not a torn one, and must not pass for it.
        let bits = if round % 2 == 0 { 8 * length } else { 8 * 60 };
        let bit = 8 * length - 1 - usize::try_from(rng.below(bits as u64)).unwrap();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&wal, &bytes).unwrap();
        match RocksLog::open(copy.path(), Tasks::tokio()) {
            Err(LogError::Corrupt(text)) => assert!(text.contains(&wal.display().to_string()), "{text}"),
            Err(error) => panic!("bit {bit}: {error}"),
            Ok(_) => panic!("bit {bit}: a damaged log was opened"),
        }
        assert_eq!(std::fs::read(&wal).unwrap(), bytes, "nothing was changed");
    }
    drop(log);
}

async fn lead(directory: &Path) -> Result<LeaderHandle, OpenError> {
    let tasks = Tasks::tokio();
    let log = RocksLog::open(&directory.join("log"), tasks.clone())?;
    let blob = local_blob(&directory.join("blobs")).expect("the blobs open");
    let mut config = LeaderConfig::new(Arc::new(log), blob, tasks, Rng::from_seed(1));
    config.checkpoint_bytes = 1 << 10;
    Leader::open(config).await
}

async fn insert(leader: &LeaderHandle, rows: Vec<(Row, Diff)>) -> Timestamp {
    let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
    let mut commit = Commit::tick(GroupId::TABLES, ts);
    if !leader.is_shard(TABLE) {
        commit.creates.push(CreateShard { shard: TABLE, group: Some(GroupId::TABLES), scheduled: false });
    }
    commit.appends.push((TABLE, rows));
    leader.commit(commit).await.expect("committed");
    ts
}

fn rows(range: std::ops::Range<u64>) -> Vec<(Row, Diff)> {
    range.map(|n| (Row::from_bytes(&n.to_be_bytes()), Diff::ONE)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_finds_everything_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut floor = Timestamp::MIN;
    let mut log_id = None;
    for round in 0..4 {
        let leader = lead(directory.path()).await.expect("the leader opens");
        assert_eq!(leader.epoch(), round + 1);
        assert_eq!(*log_id.get_or_insert(leader.log_id()), leader.log_id(), "it is the same log");
        assert!(leader.floor() >= floor && leader.now() >= leader.floor());
        let mut ts = Timestamp::MIN;
        for n in 0..30 {
            let first = round * 30 + n;
            ts = insert(&leader, rows(first..first + 1)).await;
        }
        let contents = leader.snapshot(TABLE, ts).await.expect("read");
        assert_eq!(contents, rows(0..(round + 1) * 30));
        leader.state().check().expect("invariants hold");
        floor = ts.step_forward();
        if round % 2 == 0 {
            leader.close(ts).await.expect("handed over");
            assert!(leader.commit(Commit::tick(GroupId::TABLES, floor)).await.is_err(), "nothing follows a close");
        }
        // Otherwise as after a crash: dropped without a word; the loop's task may take a moment to let the lock go.
        drop(leader);
        while let Err(LogError::InUse(_)) = RocksLog::open(&directory.path().join("log"), Tasks::tokio()).map(drop) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_commit_goes_to_the_blob_store() {
    let directory = tempfile::tempdir().unwrap();
    let leader = lead(directory.path()).await.expect("the leader opens");
    let ts = insert(&leader, rows(0..100_000)).await;
    let state = leader.state();
    let batch = &state.shards[&TABLE].batches[0];
    assert_eq!(batch.updates, 100_000);
    assert!(matches!(batch.parts[..], [persist::Part::Hollow(_)]), "one part, not inline");
    assert!(encode_txns(&[]).len() < 4, "an entry without operations is a heartbeat of few bytes");
    assert_eq!(leader.snapshot(TABLE, ts).await.expect("read"), rows(0..100_000));
    // A damaged part is found and named.
    let persist::Part::Hollow(part) = &batch.parts[0] else { unreachable!() };
    let path = directory.path().join("blobs").join(&part.key);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, &bytes).unwrap();
    let error = leader.snapshot(TABLE, ts).await.expect_err("damaged").to_string();
    assert!(error.contains(&part.key) && error.contains("offset"), "{error}");
}
