//! What every log must do, on every log: in memory, RocksDB, a local directory, an object store in memory and, when
//! `FRESHET_TEST_S3` names the endpoint of one, a real S3 server.
//!
//! The credentials of that server come from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`; its bucket `freshet` exists.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use persist::{
    Append, Blob, BlobUrl, CHECKPOINTS_KEPT, Checkpoint, Entry, Log, LogError, MemLog, ObjLog, PgLog, RocksLog, Slot,
    local_blob, memory_blob, open_blob,
};
use stdx::{Rng, Tasks};
use uuid::Uuid;

/// Something that a log stores.
#[derive(Clone, Copy, Debug)]
enum Object {
    Entry(u64),
    /// By its upto: no test has two of one.
    Checkpoint(u64),
}

/// A place where a log is kept, which a test opens, closes and damages. Only closed logs are damaged.
#[async_trait]
trait Place: Send + Sync {
    /// Opens the log, with no minimum age of truncated entries where it has one at all.
    async fn open(&self) -> Arc<dyn Log>;
    /// Opens the log as it is in production. None: it truncates entries of any age.
    async fn open_cautious(&self) -> Option<Arc<dyn Log>>;
    /// What another process would write through; `log` itself, where there can be none.
    async fn second(&self, log: &Arc<dyn Log>) -> Arc<dyn Log>;
    async fn stored(&self, object: Object) -> Option<Bytes>;
    async fn store(&self, object: Object, bytes: Option<Bytes>);
}

struct Memory(MemLog);

#[async_trait]
impl Place for Memory {
    async fn open(&self) -> Arc<dyn Log> {
        Arc::new(self.0.clone().with_truncate_age(Duration::ZERO))
    }

    async fn open_cautious(&self) -> Option<Arc<dyn Log>> {
        Some(Arc::new(self.0.clone()))
    }

    async fn second(&self, _: &Arc<dyn Log>) -> Arc<dyn Log> {
        self.open().await
    }

    async fn stored(&self, object: Object) -> Option<Bytes> {
        match object {
            Object::Entry(seq) => self.0.stored_entry(seq),
            Object::Checkpoint(upto) => self.0.stored_checkpoint(upto),
        }
    }

    async fn store(&self, object: Object, bytes: Option<Bytes>) {
        match object {
            Object::Entry(seq) => self.0.store_entry(seq, bytes),
            Object::Checkpoint(upto) => self.0.store_checkpoint(upto, bytes),
        }
    }
}

struct Rocks(tempfile::TempDir);

impl Rocks {
    fn database(&self) -> rocksdb::DB {
        let options = rocksdb::Options::default();
        rocksdb::DB::open_cf(&options, self.0.path().join("db"), ["log", "ckpt"]).expect("the log is closed")
    }

    fn key(database: &rocksdb::DB, object: Object) -> Option<Vec<u8>> {
        match object {
            Object::Entry(seq) => Some(seq.to_be_bytes().to_vec()),
            Object::Checkpoint(upto) => {
                let family = database.cf_handle("ckpt").unwrap();
                let mut keys = database.iterator_cf(family, rocksdb::IteratorMode::Start).map(|item| item.unwrap().0);
                keys.find(|key| key[..8] == upto.to_be_bytes()).map(|key| key.to_vec())
            }
        }
    }

    fn family(object: Object) -> &'static str {
        match object {
            Object::Entry(_) => "log",
            Object::Checkpoint(_) => "ckpt",
        }
    }
}

#[async_trait]
impl Place for Rocks {
    async fn open(&self) -> Arc<dyn Log> {
        Arc::new(RocksLog::open(self.0.path(), Tasks::tokio()).expect("the log opens"))
    }

    async fn open_cautious(&self) -> Option<Arc<dyn Log>> {
        None
    }

    async fn second(&self, log: &Arc<dyn Log>) -> Arc<dyn Log> {
        Arc::clone(log)
    }

    async fn stored(&self, object: Object) -> Option<Bytes> {
        let database = self.database();
        let key = Rocks::key(&database, object)?;
        database.get_cf(database.cf_handle(Rocks::family(object)).unwrap(), key).unwrap().map(Bytes::from)
    }

    async fn store(&self, object: Object, bytes: Option<Bytes>) {
        let database = self.database();
        let family = database.cf_handle(Rocks::family(object)).unwrap();
        let key = Rocks::key(&database, object).expect("it was there");
        match bytes {
            Some(bytes) => database.put_cf(family, key, bytes).unwrap(),
            None => database.delete_cf(family, key).unwrap(),
        }
    }
}

struct Objects {
    store: Blob,
    directory: Option<tempfile::TempDir>,
}

impl Objects {
    fn log(&self) -> ObjLog {
        let directory: Option<PathBuf> = self.directory.as_ref().map(|directory| directory.path().to_owned());
        ObjLog::new(Arc::clone(&self.store), "test:".to_owned(), directory, Tasks::tokio())
    }

    async fn path(&self, object: Object) -> Option<Path> {
        let upto = match object {
            Object::Entry(seq) => return Some(Path::from(format!("log/{seq:020}"))),
            Object::Checkpoint(upto) => upto,
        };
        let objects: Vec<_> = self.store.list(Some(&Path::from("ckpt"))).try_collect().await.unwrap();
        let name = format!("{upto:020}-");
        objects.into_iter().map(|object| object.location).find(|path| path.filename().unwrap().starts_with(&name))
    }
}

#[async_trait]
impl Place for Objects {
    async fn open(&self) -> Arc<dyn Log> {
        Arc::new(self.log().with_truncate_age(Duration::ZERO))
    }

    async fn open_cautious(&self) -> Option<Arc<dyn Log>> {
        Some(Arc::new(self.log()))
    }

    async fn second(&self, _: &Arc<dyn Log>) -> Arc<dyn Log> {
        self.open().await
    }

    async fn stored(&self, object: Object) -> Option<Bytes> {
        let path = self.path(object).await?;
        match self.store.get(&path).await {
            Ok(found) => Some(found.bytes().await.unwrap()),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn store(&self, object: Object, bytes: Option<Bytes>) {
        let path = self.path(object).await.expect("it was there");
        match bytes {
            Some(bytes) => drop(self.store.put(&path, PutPayload::from(bytes)).await.unwrap()),
            None => self.store.delete(&path).await.unwrap(),
        }
    }
}

fn entry(seq: u64) -> Entry {
    Entry::new(seq, 1, Uuid::from_u128(5), Bytes::from(format!("body of entry {seq}")))
}

fn by_another(seq: u64) -> Entry {
    Entry::new(seq, 2, Uuid::from_u128(6), Bytes::from(format!("another body of entry {seq}")))
}

fn checkpoint(upto: u64, epoch: u64) -> Checkpoint {
    let state = Bytes::from(format!("state up to {upto} of epoch {epoch}"));
    Checkpoint::new(Uuid::from_u128(1), upto, epoch, Uuid::from_u128(7), state)
}

async fn fill(log: &Arc<dyn Log>, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        let appended = log.append(entry(seq)).await.expect("stored");
        assert!(matches!(appended, Append::Committed { .. }), "slot {seq} was free: {appended:?}");
    }
}

fn seqs(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq).collect()
}

async fn a_slot_is_filled_once(place: &dyn Place) {
    let log = place.open().await;
    assert_eq!(log.read(1).await.expect("read"), Slot::Absent);
    fill(&log, 1..=1).await;
    assert_eq!(log.append(by_another(1)).await.expect("answered"), Append::Occupied(entry(1)));
    // The same bytes again are no one else's.
    match log.append(entry(1)).await.expect("answered") {
        Append::Committed { .. } => {}
        Append::Occupied(found) => assert_eq!(found, entry(1)),
    }
    assert_eq!(log.read(1).await.expect("read"), Slot::Present(entry(1)));
    assert_eq!(log.read(2).await.expect("read"), Slot::Absent);
}

async fn what_is_stored_is_loaded_again(place: &dyn Place) {
    let log = place.open().await;
    assert_eq!(log.load().await.expect("an empty log loads"), (None, Vec::new()));
    fill(&log, 1..=5).await;
    assert_eq!(log.load().await.expect("loaded"), (None, (1..=5).map(entry).collect()));
    log.checkpoint(checkpoint(3, 1)).await.expect("stored");
    drop(log);
    let log = place.open().await;
    assert_eq!(log.load().await.expect("loaded"), (Some(checkpoint(3, 1)), (4..=5).map(entry).collect()));
    assert_eq!(log.read(3).await.expect("read"), Slot::Truncated);
    assert_eq!(log.read(4).await.expect("read"), Slot::Present(entry(4)));
}

async fn a_missing_entry_is_found(place: &dyn Place) {
    let log = place.open().await;
    fill(&log, 1..=3).await;
    fill(&log, 5..=6).await;
    let hole = log.load().await;
    assert!(matches!(&hole, Err(LogError::Corrupt(text)) if text.contains("entry 4 is missing")), "{hole:?}");
    drop(log);
    place.store(Object::Entry(1), None).await;
    let hole = place.open().await.load().await;
    assert!(matches!(&hole, Err(LogError::Corrupt(text)) if text.contains("entry 1 is missing")), "{hole:?}");
}

async fn the_newest_checkpoint_is_the_greatest(place: &dyn Place) {
    let log = place.open().await;
    fill(&log, 1..=9).await;
    // The last two come from leaders that have been replaced.
    for (upto, epoch) in [(2, 1), (4, 1), (6, 1), (8, 2), (7, 1), (3, 1)] {
        log.checkpoint(checkpoint(upto, epoch)).await.expect("stored");
    }
    assert_eq!(log.load().await.expect("loaded"), (Some(checkpoint(8, 2)), vec![entry(9)]));
    drop(log);
    let mut kept = Vec::new();
    for upto in 1..=9 {
        if place.stored(Object::Checkpoint(upto)).await.is_some() {
            kept.push(upto);
        }
    }
    assert_eq!(kept, [6, 7, 8], "the newest {CHECKPOINTS_KEPT}");
}

async fn a_damaged_checkpoint_gives_way_to_the_one_before(place: &dyn Place) {
    let log = place.open().await;
    fill(&log, 1..=9).await;
    for upto in [3, 5, 7] {
        log.checkpoint(checkpoint(upto, 1)).await.expect("stored");
        log.truncate(upto).await.expect("truncated");
    }
    drop(log);
    let sound = place.stored(Object::Checkpoint(7)).await.expect("it is stored");
    let mut flipped = sound.to_vec();
    flipped[40] ^= 16;
    for damaged in [Bytes::from(flipped), sound.slice(..sound.len() - 1), Bytes::new()] {
        place.store(Object::Checkpoint(7), Some(damaged)).await;
        let log = place.open().await;
        assert_eq!(log.load().await.expect("loaded"), (Some(checkpoint(5, 1)), (6..=9).map(entry).collect()));
        assert_eq!(log.read(7).await.expect("read"), Slot::Truncated, "it was durable once");
    }
}

async fn what_a_damaged_checkpoint_stood_for_is_missed(place: &dyn Place) {
    let log = place.open().await;
    fill(&log, 1..=4).await;
    log.checkpoint(checkpoint(4, 1)).await.expect("stored");
    drop(log);
    place.store(Object::Checkpoint(4), Some(Bytes::from_static(b"\x01garbage"))).await;
    let log = place.open().await;
    assert_eq!(log.load().await.expect("all entries are there"), (None, (1..=4).map(entry).collect()));
    log.truncate(4).await.expect("truncated");
    drop(log);
    // This looks like an empty log, but for the checkpoint that cannot be read.
    let lost = place.open().await.load().await;
    assert!(matches!(&lost, Err(LogError::Corrupt(text)) if text.contains("entry 1 is missing")), "{lost:?}");
}

async fn truncation_stays_below_the_oldest_kept_checkpoint(place: &dyn Place) {
    let log = place.open().await;
    fill(&log, 1..=9).await;
    log.truncate(9).await.expect("truncated");
    assert_eq!(log.load().await.expect("loaded").1.len(), 9, "without a checkpoint every entry is needed");
    for upto in [2, 4, 6, 8] {
        log.checkpoint(checkpoint(upto, 1)).await.expect("stored");
    }
    log.truncate(8).await.expect("truncated");
    assert_eq!(log.read(4).await.expect("read"), Slot::Truncated);
    assert_eq!(log.read(9).await.expect("read"), Slot::Present(entry(9)));
    // A zombie fills a slot that was truncated: nobody is fooled.
    let zombie = place.second(&log).await;
    let appended = zombie.append(by_another(4)).await;
    assert!(matches!(appended, Ok(Append::Committed { .. }) | Err(LogError::Indeterminate(_))), "{appended:?}");
    assert_eq!(zombie.read(4).await.expect("read"), Slot::Truncated);
    assert_eq!(log.load().await.expect("loaded"), (Some(checkpoint(8, 1)), vec![entry(9)]));
    drop((log, zombie));
    let mut left = Vec::new();
    for seq in 1..=9 {
        if place.stored(Object::Entry(seq)).await == Some(entry(seq).encode()) {
            left.push(seq);
        }
    }
    assert_eq!(left, [5, 6, 7, 8, 9], "what the oldest kept checkpoint, up to 4, needs");
}

async fn young_entries_are_not_truncated(place: &dyn Place) {
    let Some(log) = place.open_cautious().await else { return };
    fill(&log, 1..=4).await;
    log.checkpoint(checkpoint(4, 1)).await.expect("stored");
    log.truncate(4).await.expect("truncated");
    drop(log);
    for seq in 1..=4 {
        assert_eq!(place.stored(Object::Entry(seq)).await, Some(entry(seq).encode()));
    }
}

async fn a_follower_sees_what_is_appended(place: &dyn Place) {
    let log = place.open().await;
    fill(&log, 1..=2).await;
    let follower = place.second(&log).await;
    let follow = follower.tail(1).take(6).try_collect::<Vec<Entry>>();
    let (followed, ()) = futures::join!(follow, fill(&log, 3..=6));
    assert_eq!(seqs(&followed.expect("followed")), [1, 2, 3, 4, 5, 6]);
}

async fn a_follower_that_fell_behind_must_load_again(place: &dyn Place) {
    let log = place.open().await;
    fill(&log, 1..=4).await;
    let follower = place.second(&log).await;
    let mut tail = follower.tail(1);
    assert_eq!(tail.next().await.expect("endless").expect("followed"), entry(1));
    log.checkpoint(checkpoint(3, 1)).await.expect("stored");
    log.truncate(3).await.expect("truncated");
    let gone = tail.next().await.expect("endless");
    assert!(matches!(gone, Err(LogError::Truncated)), "{gone:?}");
    drop(tail);
    assert_eq!(follower.tail(4).next().await.expect("endless").expect("followed"), entry(4));
}

async fn of_two_writers_one_wins_each_slot(place: &dyn Place) {
    let log = place.open().await;
    let other = place.second(&log).await;
    for seq in 1..=20 {
        let (one, two) = futures::join!(log.append(entry(seq)), other.append(by_another(seq)));
        let winner = match log.read(seq).await.expect("read") {
            Slot::Present(winner) => winner,
            slot => panic!("somebody has won slot {seq}: {slot:?}"),
        };
        assert!(winner == entry(seq) || winner == by_another(seq));
        for (mine, outcome) in [(entry(seq), one), (by_another(seq), two)] {
            match outcome {
                Ok(Append::Committed { .. }) => assert_eq!(mine, winner, "slot {seq}"),
                Ok(Append::Occupied(found)) => assert!(found == winner && mine != winner, "slot {seq}"),
                // Reading has decided.
                Err(LogError::Indeterminate(_)) => {}
                Err(error) => panic!("slot {seq}: {error}"),
            }
        }
    }
    assert_eq!(log.load().await.expect("loaded").1.len(), 20);
}

async fn damage_is_found_and_named(place: &dyn Place) {
    let log = place.open().await;
    fill(&log, 1..=4).await;
    drop(log);
    let sound = place.stored(Object::Entry(3)).await.expect("it is stored");
    let seed = 17;
    println!("seed {seed}");
    let rng = Rng::from_seed(seed);
    let mut damaged: Vec<Bytes> = (0..12)
        .map(|_| {
            let bit = usize::try_from(rng.below(8 * sound.len() as u64)).unwrap();
            let mut bytes = sound.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            Bytes::from(bytes)
        })
        .collect();
    damaged.extend([Bytes::new(), sound.slice(..10), sound.slice(..sound.len() - 1), entry(2).encode()]);
    for bytes in damaged {
        place.store(Object::Entry(3), Some(bytes.clone())).await;
        let log = place.open().await;
        for outcome in [log.load().await.map(drop), log.read(3).await.map(drop)] {
            // A bit of the version may have flipped.
            let (Err(LogError::Corrupt(text)) | Err(LogError::Newer(text))) = &outcome else {
                panic!("{bytes:?} was served: {outcome:?}")
            };
            assert!(text.contains("entry 3"), "{text}");
        }
    }
}

async fn a_newer_version_is_refused(place: &dyn Place) {
    let log = place.open().await;
    fill(&log, 1..=4).await;
    for upto in [1, 2] {
        log.checkpoint(checkpoint(upto, 1)).await.expect("stored");
    }
    drop(log);
    let newer = |bytes: Bytes| {
        let mut bytes = bytes.to_vec();
        bytes[0] = 9;
        Some(Bytes::from(bytes))
    };
    let entry_bytes = place.stored(Object::Entry(4)).await.expect("it is stored");
    place.store(Object::Entry(4), newer(entry_bytes.clone())).await;
    let refused = place.open().await.load().await;
    assert!(matches!(&refused, Err(LogError::Newer(text)) if text.contains("entry 4")), "{refused:?}");
    place.store(Object::Entry(4), Some(entry_bytes)).await;
    // No falling back here: the newer program's state would be lost.
    let checkpoint_bytes = place.stored(Object::Checkpoint(2)).await.expect("it is stored");
    place.store(Object::Checkpoint(2), newer(checkpoint_bytes)).await;
    let refused = place.open().await.load().await;
    assert!(matches!(&refused, Err(LogError::Newer(text)) if text.contains("checkpoint")), "{refused:?}");
}

type Case = for<'a> fn(&'a dyn Place) -> BoxFuture<'a, ()>;

/// Runs every case on a place of its own.
async fn conform(make: impl AsyncFn() -> Box<dyn Place>) {
    let cases: [(&str, Case); 13] = [
        ("a slot is filled once", |place| a_slot_is_filled_once(place).boxed()),
        ("what is stored is loaded again", |place| what_is_stored_is_loaded_again(place).boxed()),
        ("a missing entry is found", |place| a_missing_entry_is_found(place).boxed()),
        ("the newest checkpoint is the greatest", |place| the_newest_checkpoint_is_the_greatest(place).boxed()),
        ("a damaged checkpoint gives way", |place| a_damaged_checkpoint_gives_way_to_the_one_before(place).boxed()),
        ("what it stood for is missed", |place| what_a_damaged_checkpoint_stood_for_is_missed(place).boxed()),
        ("truncation stays below", |place| truncation_stays_below_the_oldest_kept_checkpoint(place).boxed()),
        ("young entries are not truncated", |place| young_entries_are_not_truncated(place).boxed()),
        ("a follower sees what is appended", |place| a_follower_sees_what_is_appended(place).boxed()),
        ("a follower that fell behind", |place| a_follower_that_fell_behind_must_load_again(place).boxed()),
        ("of two writers one wins", |place| of_two_writers_one_wins_each_slot(place).boxed()),
        ("damage is found and named", |place| damage_is_found_and_named(place).boxed()),
        ("a newer version is refused", |place| a_newer_version_is_refused(place).boxed()),
    ];
    for (name, case) in cases {
        println!("case: {name}");
        case(make().await.as_ref()).await;
    }
}

#[tokio::test]
async fn the_log_in_memory_conforms() {
    conform(async || Box::new(Memory(MemLog::new())) as Box<dyn Place>).await;
}

#[tokio::test]
async fn the_rocksdb_log_conforms() {
    conform(async || Box::new(Rocks(tempfile::tempdir().unwrap())) as Box<dyn Place>).await;
}

#[tokio::test]
async fn the_log_in_a_directory_conforms() {
    conform(async || {
        let directory = tempfile::tempdir().unwrap();
        let store = local_blob(directory.path()).expect("the directory opens");
        Box::new(Objects { store, directory: Some(directory) }) as Box<dyn Place>
    })
    .await;
}

#[tokio::test]
async fn the_log_on_objects_in_memory_conforms() {
    conform(async || Box::new(Objects { store: memory_blob(), directory: None }) as Box<dyn Place>).await;
}

struct Postgres {
    url: String,
    log: String,
    client: tokio_postgres::Client,
}

impl Postgres {
    /// A log of its own; none unless the environment names a server.
    #[allow(clippy::disallowed_methods, reason = "a test has no flags")]
    async fn new() -> Option<Postgres> {
        let url = std::env::var("FRESHET_TEST_POSTGRES").ok()?;
        let log = Uuid::from_bytes(Rng::from_entropy().bytes16()).simple().to_string();
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("the server runs");
        Tasks::tokio().spawn("connection", async move { drop(connection.await) }).detach();
        let separator = if url.contains('?') { '&' } else { '?' };
        Some(Postgres { url: format!("{url}{separator}log={log}"), log, client })
    }

    async fn pg_log(&self) -> PgLog {
        PgLog::open(&self.url, Tasks::tokio()).await.expect("the log opens")
    }

    fn table(object: Object) -> (&'static str, &'static str, &'static str, i64) {
        match object {
            Object::Entry(seq) => ("freshet_log_entry", "seq", "entry", i64::try_from(seq).unwrap()),
            Object::Checkpoint(upto) => ("freshet_log_checkpoint", "upto", "checkpoint", i64::try_from(upto).unwrap()),
        }
    }
}

#[async_trait]
impl Place for Postgres {
    async fn open(&self) -> Arc<dyn Log> {
        Arc::new(self.pg_log().await.with_truncate_age(Duration::ZERO))
    }

    async fn open_cautious(&self) -> Option<Arc<dyn Log>> {
        Some(Arc::new(self.pg_log().await))
    }

    async fn second(&self, _: &Arc<dyn Log>) -> Arc<dyn Log> {
        self.open().await
    }

    async fn stored(&self, object: Object) -> Option<Bytes> {
        let (table, key, value, number) = Postgres::table(object);
        let query = format!("SELECT {value} FROM {table} WHERE log = $1 AND {key} = $2");
        let row = self.client.query_opt(&query, &[&self.log, &number]).await.expect("answered")?;
        Some(row.get::<_, Vec<u8>>(0).into())
    }

    async fn store(&self, object: Object, bytes: Option<Bytes>) {
        let (table, key, value, number) = Postgres::table(object);
        let changed = match bytes {
            Some(bytes) => {
                let query = format!("UPDATE {table} SET {value} = $3 WHERE log = $1 AND {key} = $2");
                self.client.execute(&query, &[&self.log, &number, &&bytes[..]]).await
            }
            None => {
                let query = format!("DELETE FROM {table} WHERE log = $1 AND {key} = $2");
                self.client.execute(&query, &[&self.log, &number]).await
            }
        };
        assert_eq!(changed.expect("answered"), 1, "it was there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_in_postgresql_conforms() {
    if Postgres::new().await.is_none() {
        println!("FRESHET_TEST_POSTGRES names no server: not run");
        return;
    }
    conform(async || Box::new(Postgres::new().await.expect("as before")) as Box<dyn Place>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_to_postgresql_leaves_an_append_to_reading() {
    let Some(place) = Postgres::new().await else {
        println!("FRESHET_TEST_POSTGRES names no server: not run");
        return;
    };
    let log = place.pg_log().await;
    assert!(matches!(log.append(entry(1)).await, Ok(Append::Committed { stored_at: Some(_) })));
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
    // Other tests' connections would be cut as well, were they of the same name.
    let name = format!("cut {}", place.log);
    let separated = format!("{}&application_name={}", place.url, name.replace(' ', "%20"));
    let separated = PgLog::open(&separated, Tasks::tokio()).await.expect("the log opens");
    assert!(matches!(separated.append(entry(2)).await, Ok(Append::Committed { .. })));
    let rows = place.client.query(cut, &[&name]).await.expect("answered");
    assert_eq!(rows.len(), 2, "one connection appends, one reads");
    // Whether the loss is noticed before or by the request, the next one goes through.
    let outcome = separated.append(entry(3)).await;
    assert!(matches!(outcome, Ok(Append::Committed { .. }) | Err(LogError::Indeterminate(_))), "{outcome:?}");
    // A connection may be found closed more than once.
    let mut slot = separated.read(3).await;
    for _ in 0..10 {
        if !matches!(slot, Err(LogError::Indeterminate(_))) {
            break;
        }
        slot = separated.read(3).await;
    }
    if slot.expect("connected again") == Slot::Absent {
        assert!(matches!(separated.append(entry(3)).await, Ok(Append::Committed { .. })));
    }
    assert_eq!(separated.read(3).await.expect("read"), Slot::Present(entry(3)));
}

/// A store under a prefix of its own; none unless the environment names a server.
#[allow(clippy::disallowed_methods, reason = "a test has no flags")]
fn s3() -> Option<Blob> {
    let endpoint = std::env::var("FRESHET_TEST_S3").ok()?;
    let prefix = Uuid::from_bytes(Rng::from_entropy().bytes16()).simple();
    let url: BlobUrl =
        format!("s3://freshet/{prefix}?endpoint={endpoint}&allow_http=true").parse().expect("it is a URL");
    Some(open_blob(&url).expect("the options fit"))
}

#[tokio::test]
async fn the_log_on_a_real_s3_server_conforms() {
    if s3().is_none() {
        println!("FRESHET_TEST_S3 names no server: not run");
        return;
    }
    conform(async || Box::new(Objects { store: s3().expect("as before"), directory: None }) as Box<dyn Place>).await;
    let log = ObjLog::new(s3().expect("as before"), "s3:".to_owned(), None, Tasks::tokio());
    log.prove(&Rng::from_entropy()).await.expect("the server refuses to create an object twice");
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_methods, reason = "a test has no flags")]
async fn connections_to_postgresql_are_as_safe_as_the_url_says() {
    let (Some(place), Ok(authority)) = (Postgres::new().await, std::env::var("FRESHET_TEST_POSTGRES_CA")) else {
        println!("FRESHET_TEST_POSTGRES or FRESHET_TEST_POSTGRES_CA names nothing: not run");
        return;
    };
    let port = std::env::var("FRESHET_TEST_POSTGRES_PORT").expect("it listens on a port as well");
    let authority = format!("sslrootcert={}", authority.replace('/', "%2F"));
    let encrypted = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = $1";
    // The certificate is of localhost.
    for (host, options, expected) in [
        ("localhost", "sslmode=disable".to_owned(), Ok(false)),
        ("localhost", "sslmode=prefer".to_owned(), Ok(true)),
        ("localhost", "connect_timeout=5".to_owned(), Ok(true)),
        ("127.0.0.1", "sslmode=require".to_owned(), Ok(true)),
        ("127.0.0.1", format!("sslmode=verify-ca&{authority}"), Ok(true)),
        ("localhost", format!("sslmode=verify-full&{authority}"), Ok(true)),
        ("127.0.0.1", format!("sslmode=verify-full&{authority}"), Err("certificate")),
        ("localhost", "sslmode=verify-ca".to_owned(), Err("certificate")),
        ("localhost", "sslmode=verify-full&sslrootcert=%2Fnone.pem".to_owned(), Err("/none.pem")),
    ] {
        let name = Uuid::from_bytes(Rng::from_entropy().bytes16()).simple().to_string();
        let url = format!("postgres://postgres@{host}:{port}/postgres?{options}&application_name={name}&log={name}");
        let opened = PgLog::open(&url, Tasks::tokio()).await;
        match (opened, expected) {
            (Ok(log), Ok(expected)) => {
                assert!(matches!(log.append(entry(1)).await, Ok(Append::Committed { .. })), "{url}");
                let rows = place.client.query(encrypted, &[&name]).await.expect("answered");
                assert!(!rows.is_empty() && rows.iter().all(|row| row.get::<_, bool>(0) == expected), "{url}");
            }
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{url}: {error}"),
            (opened, _) => panic!("{url}: {:?}", opened.err().map(|error| error.to_string())),
        }
    }
}
