//! One flipped bit anywhere in a stopped data directory: the next start gives the same answers, or says what is damaged.
//!
//! `FRESHET_TEST_FLIPS` sets the number of flips, `FRESHET_TEST_SEED` the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use persist::{
    Commit, CreateShard, GroupId, Leader, LeaderConfig, LeaderHandle, Part, RocksLog, Shards, WriterId, local_blob,
};
use repr::{Diff, Row, ShardId, Timestamp};
use stdx::{Rng, Tasks};
use uuid::Uuid;

const TABLES: [ShardId; 2] = [ShardId(1), ShardId(2)];
const SOLO: ShardId = ShardId(3);
const DEFAULT_FLIPS: u64 = 60;
/// A start takes milliseconds; one that takes this long hangs.
const HANG: Duration = Duration::from_secs(60);

/// What a directory answers.
struct Answers {
    contents: Vec<(ShardId, Vec<(Row, Diff)>)>,
    floor: Timestamp,
    /// The files in the blob store that were named at the start.
    parts: BTreeSet<PathBuf>,
}

async fn lead(directory: &Path) -> Result<LeaderHandle, String> {
    let tasks = Tasks::tokio();
    let log = RocksLog::open(&directory.join("log"), tasks.clone()).map_err(|error| error.to_string())?;
    let blob = local_blob(&directory.join("blobs")).map_err(|error| error.to_string())?;
    let mut config = LeaderConfig::new(Arc::new(log), blob, tasks, Rng::from_seed(1));
    config.checkpoint_bytes = 8 << 10;
    config.inline_bytes_max = 2 << 10;
    config.delete_after = Duration::ZERO;
    Leader::open(config).await.map_err(|error| error.to_string())
}

/// Lets the leader go.
async fn end(leader: LeaderHandle, directory: &Path, clean: bool) {
    if clean {
        leader.close(leader.now()).await.expect("handed over");
    }
    drop(leader);
    // The loop's task may take a moment to let the lock go.
    let lock = std::fs::File::open(directory.join("log/LOCK")).expect("it is there");
    while lock.try_lock().is_err() {
        tokio::task::yield_now().await;
    }
}

async fn insert(leader: &LeaderHandle, rng: &Rng, number: u64) {
    let ts = leader.now().max(leader.speculative_group_upper(GroupId::TABLES));
    let mut commit = Commit::tick(GroupId::TABLES, ts);
    for shard in TABLES {
        if !leader.is_shard(shard) {
            commit.creates.push(CreateShard { shard, group: Some(GroupId::TABLES), scheduled: false });
        }
        // Most fit into the entry, some need a part of their own.
        let rows = if rng.below(8) == 0 { 100 + rng.below(300) } else { rng.below(6) };
        let row = |n| Row::from_bytes(&[&number.to_be_bytes()[..], &u64::to_be_bytes(n), &rng.bytes16()].concat());
        commit.appends.push((shard, (0..rows).map(|n| (row(n), Diff::ONE)).collect()));
    }
    if !leader.is_shard(SOLO) {
        commit.creates.push(CreateShard { shard: SOLO, group: None, scheduled: false });
    }
    leader.commit(commit).await.expect("committed");
    let (lower, upper) = (leader.upper(SOLO).expect("it is a shard"), leader.now().step_forward());
    if upper > lower {
        let updates = vec![(Row::from_bytes(&number.to_be_bytes()), upper.step_back(), Diff::ONE)];
        let token = Uuid::from_bytes(rng.bytes16());
        leader.append(SOLO, WriterId::anonymous(1), lower, upper, updates, token).await.expect("appended");
    }
}

/// A directory that several leaders have written, the last of which ended cleanly or not.
async fn build(directory: &Path, rng: &Rng, clean: bool) {
    for session in 0..3u64 {
        let leader = lead(directory).await.expect("the leader opens");
        for number in 0..40 {
            insert(&leader, rng, session * 1000 + number).await;
        }
        end(leader, directory, clean).await;
    }
}

/// Starts a leader and reads everything; the error names what is damaged.
async fn answers(directory: &Path) -> Result<Answers, String> {
    let leader = lead(directory).await?;
    let (mut contents, mut parts) = (Vec::new(), BTreeSet::new());
    for part in
        leader.state().shards.values().flat_map(|shard| shard.batches.iter()).flat_map(|batch| batch.parts.iter())
    {
        if let Part::Hollow(part) = part {
            parts.insert(PathBuf::from(&part.key));
        }
    }
    for shard in leader.shards() {
        let upper = leader.upper(shard).expect("it is a shard");
        let rows = leader.snapshot(shard, upper.step_back()).await.map_err(|error| error.to_string())?;
        contents.push((shard, rows));
    }
    let floor = leader.floor();
    end(leader, directory, false).await;
    Ok(Answers { contents, floor, parts })
}

fn files_below(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("it is there") {
        let path = entry.expect("it is there").path();
        if path.is_dir() {
            files_below(&path, into);
        } else {
            into.push(path);
        }
    }
    into.sort();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("it is there") {
        let path = entry.expect("it is there").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copied");
        }
    }
}

/// What kind of file it is, so that all kinds are hit alike.
fn kind(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).expect("names are text");
    let stem = name.split('-').next().expect("never empty");
    path.extension().map_or_else(|| stem.to_owned(), |extension| extension.to_string_lossy().into_owned())
}

/// Files that something durable is in.
fn durable_files(directory: &Path, parts: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    files_below(directory, &mut files);
    let name_of = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    files.retain(|path| match kind(path).as_str() {
        "rpf" => parts.contains(path.strip_prefix(directory.join("blobs")).expect("it lies below")),
        _ => name_of(path) != "LOCK" && !name_of(path).starts_with("LOG"),
    });
    files
}

async fn flip(original: &Path, expected: &Answers, file: &Path, bit: u64) -> Result<bool, String> {
    let copied = tempfile::tempdir().expect("made");
    copy(original, copied.path());
    let damaged = copied.path().join(file.strip_prefix(original).expect("it lies below"));
    let mut bytes = std::fs::read(&damaged).expect("read");
    bytes[usize::try_from(bit / 8).expect("small")] ^= 1 << (bit % 8);
    std::fs::write(&damaged, &bytes).expect("written");
    let directory = copied.path().to_owned();
    let (tasks, (sender, found)) = (Tasks::tokio(), tokio::sync::oneshot::channel());
    let start = async move { drop(sender.send(answers(&directory).await)) };
    let _start = tasks.spawn("start", start);
    match tasks.timeout(HANG, found).await {
        Err(_) => Err("the start hangs".to_owned()),
        Ok(Err(_)) => Err("the start panics".to_owned()),
        Ok(Ok(Ok(found))) if found.contents == expected.contents && found.floor == expected.floor => Ok(false),
        Ok(Ok(Ok(found))) => {
            let same = found.contents == expected.contents;
            Err(format!("silently wrong: contents same: {same}, floor {} instead of {}", found.floor, expected.floor))
        }
        Ok(Ok(Err(error))) if names_damage(&error) => Ok(true),
        Ok(Ok(Err(error))) => Err(format!("an error that does not name the damage: {error}")),
    }
}

fn names_damage(error: &str) -> bool {
    let words = ["damaged", "orrupt", "hecksum", "is missing", "knows layouts", "version", "is not a log's"];
    words.iter().any(|word| error.contains(word))
}

#[allow(clippy::disallowed_methods, reason = "a test has no flags")]
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_found_or_harmless() {
    let seed = setting("FRESHET_TEST_SEED").unwrap_or(11);
    let flips = setting("FRESHET_TEST_FLIPS").unwrap_or(DEFAULT_FLIPS);
    println!("FRESHET_TEST_SEED={seed}");
    let rng = Rng::from_seed(seed);
    let (mut found, mut wrong) = (BTreeMap::<String, [u64; 2]>::new(), Vec::new());
    for clean in [true, false] {
        let original = tempfile::tempdir().expect("made");
        build(original.path(), &rng, clean).await;
        let check = tempfile::tempdir().expect("made");
        copy(original.path(), check.path());
        let expected = answers(check.path()).await.expect("nothing is damaged");
        let files = durable_files(original.path(), &expected.parts);
        let mut kinds: BTreeMap<String, Vec<&PathBuf>> = BTreeMap::new();
        for file in &files {
            kinds.entry(kind(file)).or_default().push(file);
        }
        for needed in ["log", "sst", "rpf", "MANIFEST"] {
            assert!(kinds.contains_key(needed), "there is no {needed} file to damage");
        }
        for number in 0..flips / 2 {
            let index = usize::try_from(number).expect("small") % kinds.len();
            let (kind, files) = kinds.iter().nth(index).expect("below the length");
            let file = files[usize::try_from(rng.below(files.len() as u64)).expect("small")];
            let length = std::fs::metadata(file).expect("it is there").len();
            if length == 0 {
                continue;
            }
            // Tails are where a damage may pass for a torn write.
            let bits = if rng.below(4) == 0 { length.min(200) * 8 } else { length * 8 };
            let bit = length * 8 - 1 - rng.below(bits);
            match flip(original.path(), &expected, file, bit).await {
                Ok(noticed) => found.entry(kind.clone()).or_default()[usize::from(noticed)] += 1,
                Err(error) => wrong.push(format!("bit {bit} of {} of {length} bytes: {error}", file.display())),
            }
        }
    }
    for (kind, [harmless, noticed]) in &found {
        println!("{kind}: {noticed} named, {harmless} harmless");
    }
    assert!(wrong.is_empty(), "{} of {flips} flips with seed {seed}:\n{}", wrong.len(), wrong.join("\n"));
}
