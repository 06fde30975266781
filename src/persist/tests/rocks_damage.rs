//! What a damaged log on disk does: a clear error that names what is damaged, and nothing changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use persist::{
    Append, Checkpoint, Commit, CreateShard, Entry, GroupId, Leader, LeaderConfig, LeaderHandle, Log, LogError,
    OpenError, RocksLog, RocksReader, local_blob, read_state, verify,
};
use repr::{Diff, Row, ShardId};
use stdx::{Rng, Tasks};
use uuid::Uuid;

const TABLE: ShardId = ShardId(1);

async fn open(directory: &Path) -> RocksLog {
    RocksLog::open(&directory.join("log"), Tasks::tokio()).expect("the log opens")
}

async fn lead(directory: &Path, version: u32) -> Result<LeaderHandle, OpenError> {
    let tasks = Tasks::tokio();
    let log = RocksLog::open(&directory.join("log"), tasks.clone())?;
    let blob = local_blob(&directory.join("blobs")).expect("the blobs open");
    let mut config = LeaderConfig::new(Arc::new(log), blob, tasks, Rng::from_seed(1));
    config.checkpoint_bytes = 1 << 10;
    config.version = version;
    Leader::open(config).await
}

/// A log with several checkpoints and a tail, of which nobody has the lock.
async fn filled(directory: &Path) {
    let leader = lead(directory, 1).await.expect("the leader opens");
    for n in 0..60u64 {
        let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
        let mut commit = Commit::tick(GroupId::TABLES, ts);
        if n == 0 {
            commit.creates.push(CreateShard { shard: TABLE, group: Some(GroupId::TABLES), scheduled: false });
        }
        commit.appends.push((TABLE, vec![(Row::from_bytes(&n.to_be_bytes()), Diff::ONE)]));
        leader.commit(commit).await.expect("committed");
    }
    let ts = leader.group_upper(GroupId::TABLES);
    leader.close(ts).await.expect("closed");
}

/// The lock is let go of when the last task has let go of the log.
async fn reopened(directory: &Path) -> RocksLog {
    loop {
        match RocksLog::open(&directory.join("log"), Tasks::tokio()) {
            Ok(log) => return log,
            Err(LogError::InUse(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = std::fs::read_dir(directory.join("log/db")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file());
    let mut found: Vec<_> = files.map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect();
    found.sort();
    found
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for directory in ["log/db", "blobs"] {
        std::fs::create_dir_all(to.path().join(directory)).unwrap();
    }
    std::fs::copy(from.join("log/FORMAT"), to.path().join("log/FORMAT")).unwrap();
    for (path, bytes) in contents(from) {
        std::fs::write(to.path().join("log/db").join(path.file_name().unwrap()), bytes).unwrap();
    }
    to
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_changes_nothing_also_while_another_writes() {
    let directory = tempfile::tempdir().unwrap();
    let leader = lead(directory.path(), 1).await.expect("the leader opens");
    let mut commit = Commit::tick(GroupId::TABLES, leader.now());
    commit.creates.push(CreateShard { shard: TABLE, group: Some(GroupId::TABLES), scheduled: false });
    commit.appends.push((TABLE, vec![(Row::from_bytes(&[1]), Diff::ONE)]));
    leader.commit(commit).await.expect("committed");
    let before = contents(directory.path());
    let reader = RocksReader::open(&directory.path().join("log"), Tasks::tokio()).expect("it can be read");
    assert!(reader.is_in_use());
    let state = read_state(&reader).await.expect("read").state;
    assert_eq!(state, leader.state());
    let refused = reader.append(Entry::new(state.next_seq, 9, Uuid::nil(), Bytes::new())).await;
    assert!(refused.is_err(), "a reader cannot write: {refused:?}");
    drop(reader);
    assert_eq!(contents(directory.path()), before);
    let ts = leader.speculative_group_upper(GroupId::TABLES);
    leader.commit(Commit::tick(GroupId::TABLES, ts)).await.expect("the writer goes on");
    leader.close(ts).await.expect("closed");
    drop(leader);
    drop(reopened(directory.path()).await);

    let reader = RocksReader::open(&directory.path().join("log"), Tasks::tokio()).expect("it can be read");
    assert!(!reader.is_in_use());
    let refused = RocksLog::open(&directory.path().join("log"), Tasks::tokio());
    assert!(matches!(refused, Err(LogError::InUse(_))), "nobody changes it meanwhile");
    drop(reader);
    let nothing = tempfile::tempdir().unwrap();
    let missing = RocksReader::open(nothing.path(), Tasks::tokio());
    assert!(matches!(missing, Err(LogError::Broken(text)) if text.contains("there is no log in")));
    assert!(std::fs::read_dir(nothing.path()).unwrap().next().is_none(), "and none was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_newest_checkpoint_gives_way_to_the_one_before_with_its_tail() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path()).await;
    let log = reopened(directory.path()).await;
    let sound = read_state(&log).await.expect("read");
    assert!(sound.checkpoint.is_some());
    // Sound as an object of the store, but not what its checksum says, and newer than all others.
    let last = sound.state.next_seq - 1;
    let mut damaged =
        Checkpoint::new(sound.state.log_id, last, sound.state.epoch, Uuid::max(), Bytes::from_static(b"x"));
    damaged.crc32c ^= 1;
    log.checkpoint(damaged).await.expect("stored");
    let stored = read_state(&log).await.expect("read");
    assert_eq!(stored.state, sound.state, "all of it is there");
    assert_eq!(stored.checkpoint, sound.checkpoint);
    let blob = local_blob(&directory.path().join("blobs")).expect("the blobs open");
    let verified = verify(&log, &blob).await.expect("verified");
    let named = format!("checkpoint up to entry {last}");
    assert!(verified.damages.iter().any(|damage| damage.cause.contains(&named)), "{:?}", verified.damages);
    drop(log);
    lead(directory.path(), 1).await.expect("a leader goes on from the one before");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_entries_and_gaps_are_named_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path()).await;
    let log = reopened(directory.path()).await;
    let next = read_state(&log).await.expect("read").state.next_seq;
    let state = read_state(&log).await.expect("read").state;
    let entry = Entry::new(next + 1, state.epoch, state.nonce, Bytes::from_static(&[1, 0]));
    assert_eq!(log.append(entry).await.expect("stored"), Append::Committed { stored_at: None });
    let named = format!("entry {next} is missing");
    let error = read_state(&log).await.expect_err("a gap").to_string();
    assert!(error.contains(&named), "{error}");
    let blob = local_blob(&directory.path().join("blobs")).expect("the blobs open");
    let verified = verify(&log, &blob).await.expect("verified");
    assert!(verified.damages.iter().any(|damage| damage.cause.contains(&named)), "{:?}", verified.damages);
    // Fills the gap with bytes that are no transactions, under a checksum that fits.
    let entry = Entry::new(next, state.epoch, state.nonce, Bytes::from_static(b"\x01\x05rubbish"));
    log.append(entry).await.expect("stored");
    drop(log);
    let before = contents(directory.path());
    let refused = lead(directory.path(), 1).await.err().expect("refused").to_string();
    assert!(refused.contains(&format!("entry {next}")), "{refused}");
    let reader = RocksReader::open(&directory.path().join("log"), Tasks::tokio()).expect("it can be read");
    let (_, entries) = reader.load().await.expect("loaded");
    assert_eq!(entries.last().map(|entry| entry.seq), Some(next + 1), "nothing was added or taken away");
    assert!(!before.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_a_newer_program_has_led_is_refused_by_version() {
    let directory = tempfile::tempdir().unwrap();
    let leader = lead(directory.path(), 7).await.expect("the leader opens");
    leader.close(leader.now()).await.expect("closed");
    drop(leader);
    let log = reopened(directory.path()).await;
    let before = log.load().await.expect("loaded");
    drop(log);
    let Err(OpenError::Newer(text)) = lead(directory.path(), 6).await else { panic!("an older program opened it") };
    assert!(text.contains("version 7") && text.contains("version 6"), "{text}");
    assert_eq!(reopened(directory.path()).await.load().await.expect("loaded"), before, "nothing was changed");
    lead(directory.path(), 8).await.expect("a newer one opens it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_a_table_file_is_never_served() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path()).await;
    // Recovery moves everything into table files.
    drop(reopened(directory.path()).await);
    drop(reopened(directory.path()).await);
    let sound = {
        let log = open(directory.path()).await;
        read_state(&log).await.expect("read").state
    };
    let seed = 11;
    println!("seed {seed}");
    let rng = Rng::from_seed(seed);
    let mut found = 0;
    for round in 0..40 {
        let copy = copy(directory.path());
        let tables =
            contents(copy.path()).into_iter().filter(|(path, _)| path.extension().is_some_and(|is| is == "sst"));
        let tables: Vec<_> = tables.collect();
        let (path, mut bytes) = tables[usize::try_from(rng.below(tables.len() as u64)).unwrap()].clone();
        let bit = usize::try_from(rng.below(8 * bytes.len() as u64)).unwrap();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &bytes).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let read = match RocksReader::open(&copy.path().join("log"), Tasks::tokio()) {
            Ok(log) => read_state(&log).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match read {
            // Space that nothing is read from.
            Ok(stored) => assert_eq!(stored.state, sound, "round {round}: bit {bit} of {name}"),
            Err(error) => {
                // Of damaged properties RocksDB says that the manifest, which names the table, may be at fault.
                let is_named = error.contains(&name) || error.contains("MANIFEST-");
                assert!(is_named, "round {round}: bit {bit} of {name}: {error}");
                found += 1;
            }
        }
    }
    assert!(found > 10, "{found} of 40");
}
