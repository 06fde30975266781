//! The clients of one process: appenders, committers, readers, subscribers, and who makes and drops shards.

use std::collections::BTreeMap;
use std::time::Duration;

use persist::{
    AppendError, Commit, CommitError, CreateShard, GroupId, LeaderHandle, ShardEvent, Shards, SnapshotError,
    SubscribeError, Validate, WriterId,
};
use repr::{Diff, Row, ShardId, Timestamp};
use stdx::Tasks;

use super::history::{Change, Told};
use super::sabotage::Rule;
use super::world::{Retry, World};

/// A process's leader with what its clients need.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) world: World,
    pub(crate) leader: LeaderHandle,
    pub(crate) tasks: Tasks,
}

/// The leader has ended: so does the client.
pub(crate) struct Ended;

type Outcome<T> = Result<T, Ended>;

impl Client {
    async fn pause(&self, ms_max: u64) {
        self.tasks.sleep(Duration::from_millis(self.world.rng.below(ms_max))).await;
    }

    /// Reads and compares with the model; none if the read failed for a reason that the run can cause.
    pub(crate) async fn read(&self, shard: ShardId, as_of: Timestamp) -> Option<Vec<(Row, Diff)>> {
        let error = match self.leader.snapshot(shard, as_of).await {
            Ok(contents) => {
                self.world.history.lock().answer(shard, as_of, &contents);
                return Some(contents);
            }
            Err(error) => error,
        };
        match error {
            SnapshotError::NotFound => assert!(self.world.may_be_gone(shard), "{shard} does not exist"),
            SnapshotError::Blob(error) => self.check_blob_error(&error.to_string()),
            SnapshotError::Expired { .. } | SnapshotError::Incomplete { .. } => {}
        }
        None
    }

    /// A part may be missing only for a leader that has been replaced; nothing is ever damaged.
    fn check_blob_error(&self, error: &str) {
        let injected = error.contains("request lost") || error.contains("reply lost");
        let missing = error.contains("is missing") && self.world.is_past(self.leader.epoch());
        assert!(injected || missing, "{error}");
    }

    /// The newest complete time that is not in the future.
    fn newest(&self, shard: ShardId) -> Option<Timestamp> {
        let upper = self.leader.upper(shard)?;
        (upper > Timestamp::MIN).then(|| upper.step_back().min(self.leader.now()))
    }

    async fn commit(&self, commit: Commit, changes: Vec<Change>) -> Outcome<Told> {
        let ts = commit.ts;
        let write = self.world.history.lock().begin(changes);
        let outcome = self.leader.commit(commit).await;
        let (told, ended) = match outcome {
            Ok(()) => {
                assert!(self.leader.group_upper(GroupId::TABLES) > ts, "an acknowledged commit is durable");
                (Told::Made, false)
            }
            Err(CommitError::Unknown(_)) => (Told::Nothing, true),
            Err(CommitError::Halted(_)) => (Told::Refused, true),
            Err(CommitError::Invalid(error)) => panic!("{error}"),
            Err(CommitError::Blob(error)) => {
                self.check_blob_error(&error.to_string());
                (Told::Refused, false)
            }
            Err(_) => (Told::Refused, false),
        };
        let mut history = self.world.history.lock();
        history.end(write, told);
        if told == Told::Made {
            history.acknowledged = history.acknowledged.max(ts);
        }
        if ended { Err(Ended) } else { Ok(told) }
    }

    fn commit_time(&self) -> Timestamp {
        let ts = self.leader.now().max(self.leader.speculative_group_upper(GroupId::TABLES));
        if self.world.one_in(16) { ts.step_back() } else { ts }
    }

    /// Inserts into some tables at once.
    async fn insert(&self) -> Outcome<()> {
        let mut commit = Commit::tick(GroupId::TABLES, self.commit_time());
        let mut changes = Vec::new();
        for _ in 0..1 + self.world.rng.below(2) {
            let table = self.world.pick(true);
            if commit.appends.iter().any(|(shard, _)| *shard == table) {
                continue;
            }
            let rows: Vec<(Row, Diff)> = (0..self.world.rng.below(4)).map(|_| (self.world.row(), Diff::ONE)).collect();
            let change =
                |(row, diff): &(Row, Diff)| Change { shard: table, row: row.clone(), time: commit.ts, diff: *diff };
            changes.extend(rows.iter().map(change));
            commit.appends.push((table, rows));
        }
        self.commit(commit, changes).await.map(drop)
    }

    /// Replaces rows of a table by others: right only if nobody has written since they were read.
    async fn update(&self) -> Outcome<()> {
        let table = self.world.pick(true);
        let Some(read_ts) = self.newest(table) else { return Ok(()) };
        let Some(contents) = self.read(table, read_ts).await else { return Ok(()) };
        self.pause(30).await;
        let ts = self.commit_time();
        let mut rows = vec![(self.world.row(), Diff::ONE)];
        let old = contents.into_iter().filter(|_| self.world.one_in(3));
        rows.extend(old.map(|(row, _)| (row, Diff::MINUS_ONE)));
        let change = |(row, diff): &(Row, Diff)| Change { shard: table, row: row.clone(), time: ts, diff: *diff };
        let changes = rows.iter().map(change).collect();
        let mut commit = Commit::tick(GroupId::TABLES, ts);
        commit.appends.push((table, rows));
        if !self.world.is_off(Rule::Validate) {
            commit.validate.push(Validate { read_ts, tables: vec![table] });
        }
        self.commit(commit, changes).await.map(drop)
    }

    /// Makes a shard with its first rows, or drops one; planned on a version of the catalog.
    async fn define(&self) -> Outcome<()> {
        let planned = self.leader.catalog_version();
        self.pause(20).await;
        let mut commit = Commit::tick(GroupId::TABLES, self.commit_time());
        commit.catalog = Some(planned);
        let victim = self.world.pick(!self.world.one_in(3));
        let drops = self.world.one_in(2) && self.world.made.lock().contains_key(&victim);
        if drops {
            self.world.made.lock().get_mut(&victim).expect("just seen").dropped = Some(Told::Nothing);
            commit.retires.push(victim);
            let told = self.commit(commit, Vec::new()).await;
            let told_of = match &told {
                Ok(told) => *told,
                Err(Ended) => Told::Nothing,
            };
            let mut made = self.world.made.lock();
            // Refused for certain: it can be dropped another time.
            made.get_mut(&victim).expect("never removed").dropped = (told_of != Told::Refused).then_some(told_of);
            return told.map(drop);
        }
        let grouped = self.world.one_in(2);
        let shard = self.world.new_shard(grouped);
        commit.creates.push(CreateShard { shard, group: grouped.then_some(GroupId::TABLES), scheduled: false });
        let mut changes = Vec::new();
        if grouped {
            let row = self.world.row();
            changes.push(Change { shard, row: row.clone(), time: commit.ts, diff: Diff::ONE });
            commit.appends.push((shard, vec![(row, Diff::ONE)]));
        }
        let told = self.commit(commit, changes).await;
        let told_of = match &told {
            Ok(told) => *told,
            Err(Ended) => Told::Nothing,
        };
        self.world.made.lock().get_mut(&shard).expect("never removed").made = told_of;
        told.map(drop)
    }

    /// A read as a strict session makes it: the time is chosen, then the lease is looked at, then the answer is read.
    async fn strict_read(&self, read_ts: &mut Timestamp) -> Outcome<()> {
        let acknowledged = self.world.history.lock().acknowledged;
        let table = self.world.pick(true);
        *read_ts = (*read_ts).max(self.leader.group_upper(GroupId::TABLES).step_back());
        let as_of = *read_ts;
        if self.leader.group_upper(GroupId::TABLES) <= as_of {
            let ts = self.leader.now().max(self.leader.speculative_group_upper(GroupId::TABLES));
            self.commit(Commit::tick(GroupId::TABLES, ts), Vec::new()).await?;
        }
        if !self.leader.lease_valid() {
            self.leader.ensure_lease().await.map_err(|_| Ended)?;
        }
        if self.read(table, as_of).await.is_some() {
            let mut history = self.world.history.lock();
            assert!(
                as_of >= acknowledged,
                "a strict read at {as_of} after a commit at {acknowledged} was acknowledged"
            );
            history.read_ts = history.read_ts.max(as_of);
            history.strict_reads += 1;
        }
        Ok(())
    }

    /// Appends to a shard with an upper of its own, sometimes correcting what is in it.
    async fn append(&self) -> Outcome<()> {
        let shard = self.world.pick(false);
        let Some(expect) = self.leader.upper(shard).filter(|upper| *upper < Timestamp::MAX) else { return Ok(()) };
        let old = if self.world.one_in(3) && expect > Timestamp::MIN {
            self.read(shard, expect.step_back()).await.and_then(|contents| contents.into_iter().next())
        } else {
            None
        };
        let mut upper = self.leader.now().max(expect).step_forward();
        let last = upper.step_back();
        let span = upper.micros().saturating_sub(expect.micros()).clamp(1, 50);
        let mut updates: Vec<(Row, Timestamp, Diff)> = Vec::new();
        for _ in 0..self.world.rng.below(5) {
            let time = Timestamp::new(last.micros() - self.world.rng.below(span));
            updates.push((self.world.row(), time, Diff::ONE));
        }
        if let Some((row, _)) = old {
            updates.push((self.world.row(), last, Diff::ONE));
            updates.push((row, last, Diff::MINUS_ONE));
        }
        let closes = self.world.one_in(20) && self.world.made.lock().get_mut(&shard).is_some();
        if closes {
            upper = Timestamp::MAX;
            self.world.made.lock().get_mut(&shard).expect("just seen").closed = true;
        }
        let change =
            |(row, time, diff): &(Row, Timestamp, Diff)| Change { shard, row: row.clone(), time: *time, diff: *diff };
        let write = self.world.history.lock().begin(updates.iter().map(change).collect());
        let retry = Retry { write, shard, expect, upper, updates, token: self.world.uuid() };
        let told = self.try_append(retry.clone(), Try::First).await?;
        if told == Told::Made && self.world.one_in(5) {
            // A client that did not hear the answer.
            self.try_append(retry, Try::Acknowledged).await?;
        }
        Ok(())
    }

    pub(crate) async fn try_append(&self, retry: Retry, earlier: Try) -> Outcome<Told> {
        let Retry { write, shard, expect, upper, updates, mut token } = retry.clone();
        if self.world.is_off(Rule::SameToken) {
            token = self.world.uuid();
        }
        let generation = self.leader.generation();
        let writer = WriterId { generation, writer: 5, incarnation: self.leader.epoch() };
        let outcome = self.leader.append(shard, writer, expect, upper, updates, token).await;
        // A token is remembered for 16 appends.
        let forgotten = earlier != Try::First && self.world.history.lock().writes_since(write, shard) >= 16;
        let told = match outcome {
            Ok(()) => Told::Made,
            Err(AppendError::Unknown(_)) => {
                self.world.retries.lock().push(retry);
                return Err(Ended);
            }
            Err(AppendError::Halted(_)) => {
                match earlier {
                    Try::First => self.world.history.lock().end(write, Told::Refused),
                    Try::Unknown => self.world.retries.lock().push(retry),
                    Try::Acknowledged => {}
                }
                return Err(Ended);
            }
            Err(AppendError::UpperMismatch { actual }) => {
                let durable = self.leader.upper(shard).is_none_or(|upper| upper >= actual);
                assert!(durable, "a mismatch names an upper that is not durable");
                assert!(earlier != Try::Acknowledged || forgotten, "a retry with a known token was refused");
                if forgotten { Told::Nothing } else { Told::Refused }
            }
            Err(error) => {
                self.check_append_error(shard, &error);
                if earlier == Try::First { Told::Refused } else { Told::Nothing }
            }
        };
        if told != Told::Nothing {
            self.world.history.lock().end(write, told);
        }
        Ok(told)
    }

    fn check_append_error(&self, shard: ShardId, error: &AppendError) {
        match error {
            AppendError::Blob(error) => self.check_blob_error(&error.to_string()),
            AppendError::NotFound => assert!(self.world.may_be_gone(shard), "{shard} does not exist"),
            AppendError::Closed => {
                let closed = self.world.made.lock().get(&shard).is_some_and(|made| made.closed);
                assert!(closed, "{shard} has been closed by nobody");
            }
            AppendError::DiskFull | AppendError::TooFarAhead { .. } | AppendError::Fenced(_) => {}
            error => panic!("{error}"),
        }
    }
}

/// What became of earlier tries of the same append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Try {
    First,
    Unknown,
    Acknowledged,
}

/// Runs `act` again and again until the leader ends.
pub(crate) async fn repeat(client: Client, kind: Kind) {
    let mut read_ts = client.leader.floor();
    let mut now = Timestamp::MIN;
    loop {
        client.pause(150).await;
        let later = client.leader.now();
        assert!(later >= now, "the leader's clock went back from {now} to {later}");
        now = later;
        let outcome = match (kind, client.world.rng.below(12)) {
            (Kind::Appender, _) => client.append().await,
            (Kind::Committer, 0) => client.define().await,
            (Kind::Committer, 1..=4) => client.update().await,
            (Kind::Committer, _) => client.insert().await,
            (Kind::Reader, 0..=3) => client.strict_read(&mut read_ts).await,
            (Kind::Reader, 4) => {
                if !client.world.is_past(client.leader.epoch()) {
                    client.world.check_parts(&client.leader).await;
                }
                Ok(())
            }
            (Kind::Reader, _) => client.hold_and_read().await,
        };
        if outcome.is_err() {
            return;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Appender,
    Committer,
    Reader,
}

impl Client {
    /// A held time stays readable, however long it is held.
    async fn hold_and_read(&self) -> Outcome<()> {
        let shard = self.world.pick(self.world.one_in(2));
        let Some(newest) = self.newest(shard) else { return Ok(()) };
        let since = self.leader.since(shard).unwrap_or(newest);
        let at = if self.world.one_in(2) { newest.max(since) } else { since };
        let Ok(hold) = self.leader.hold(shard, at) else { return Ok(()) };
        let hold = (!self.world.is_off(Rule::Hold)).then_some(hold);
        self.pause(4000).await;
        if self.leader.since(shard).is_some_and(|since| since > at) && hold.is_some() {
            panic!("since of {shard} has passed a hold at {at}");
        }
        match self.leader.snapshot(shard, at).await {
            Ok(contents) => self.world.history.lock().answer(shard, at, &contents),
            Err(SnapshotError::Expired { since }) => panic!("held at {at}, but since is {since}"),
            Err(SnapshotError::NotFound) => assert!(self.world.may_be_gone(shard), "{shard} does not exist"),
            Err(SnapshotError::Blob(error)) => self.check_blob_error(&error.to_string()),
            Err(SnapshotError::Incomplete { .. }) => {}
        }
        Ok(())
    }
}

/// Follows shards, one after the other: the messages add up to the contents at the frontier.
pub(crate) async fn subscribe(client: Client) {
    loop {
        client.pause(500).await;
        let shard = client.world.pick(client.world.one_in(2));
        let Ok(hold) = client.leader.hold_at_since(shard) else {
            if client.tasks.timeout(Duration::ZERO, client.leader.halted()).await.is_ok() {
                return;
            }
            continue;
        };
        let as_of = hold.at();
        let Ok(mut subscription) = client.leader.subscribe(shard, as_of).await else { continue };
        drop(hold);
        let mut sum = Sum { rows: BTreeMap::new(), shard, as_of, frontier: None };
        let events = 5 + client.world.rng.below(40);
        for _ in 0..events {
            if client.world.one_in(6) {
                client.pause(3000).await;
            }
            match subscription.next().await {
                Some(Ok(event)) => {
                    if let Some(upper) = sum.take(&client, event)
                        && client.world.one_in(2)
                    {
                        subscription.ack(upper);
                    }
                }
                Some(Err(SubscribeError::Halted(_))) => return,
                Some(Err(SubscribeError::NotFound)) => {
                    assert!(client.world.may_be_gone(shard), "{shard} does not exist");
                    break;
                }
                Some(Err(SubscribeError::Blob(error))) => {
                    client.check_blob_error(&error.to_string());
                    break;
                }
                Some(Err(SubscribeError::Interrupted(_))) | None => break,
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }
}

struct Sum {
    rows: BTreeMap<Row, Diff>,
    shard: ShardId,
    as_of: Timestamp,
    frontier: Option<Timestamp>,
}

impl Sum {
    /// The new frontier, if it has moved; compared with the model there.
    fn take(&mut self, client: &Client, event: ShardEvent) -> Option<Timestamp> {
        let (updates, progress) = match event {
            ShardEvent::Snapshot { updates, .. } => {
                assert!(self.frontier.is_none(), "a snapshot behind progress");
                (updates, None)
            }
            ShardEvent::Progress { prev_upper, upper, now, updates } => {
                assert!(upper >= prev_upper && now <= client.leader.now(), "progress goes back");
                assert_eq!(self.frontier.unwrap_or(prev_upper), prev_upper, "progress joins");
                (updates, Some((prev_upper, upper)))
            }
        };
        for (row, time, diff) in updates {
            match progress {
                None => assert_eq!(time, self.as_of, "snapshot times are the as-of"),
                Some((prev_upper, _)) => assert!(time >= self.as_of && time >= prev_upper, "an update of the past"),
            }
            let total = self.rows.entry(row).or_default();
            *total = total.plus(diff);
        }
        let (_, upper) = progress?;
        let moved = self.frontier.is_none_or(|frontier| upper > frontier) && upper > self.as_of;
        self.frontier = Some(upper);
        if !moved {
            return None;
        }
        self.rows.retain(|_, diff| !diff.is_zero());
        let contents: Vec<(Row, Diff)> = self.rows.iter().map(|(row, diff)| (row.clone(), *diff)).collect();
        client.world.history.lock().answer(self.shard, upper.step_back(), &contents);
        Some(upper)
    }
}
