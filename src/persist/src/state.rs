//! The state machine: what all entries of the log up to one of them add up to.
//!
//! `apply` is deterministic and sees no clock, so that every reader of the log computes the same state. A transaction that
//! is rejected leaves the state as it was. What must hold after every operation is in `State::check`.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use repr::{ShardId, Timestamp};
use uuid::Uuid;

use crate::columns::Columns;
use crate::op::{BatchDesc, GroupId, Op, Part, PinId, SchemaId, Txn, Validate};

/// How many tokens of its last appends a shard remembers.
pub const TOKENS_KEPT: usize = 16;

/// Everything durable about an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub log_id: Uuid,
    pub epoch: u64,
    pub generation: u64,
    /// The nonce of the last `Open`.
    pub nonce: Uuid,
    /// The lease of the last `Open`.
    pub lease_ms: u64,
    /// Whether the last leader ended with `Close`.
    pub closed: bool,
    /// The slot that the next entry takes.
    pub next_seq: u64,
    pub catalog_version: u64,
    /// The greatest `Close.read_ts`: reads were answered up to it.
    pub read_floor: Timestamp,
    /// The newest program version that has led this log.
    pub version_max: u32,
    pub shards: BTreeMap<ShardId, Shard>,
    pub groups: BTreeMap<GroupId, Group>,
    pub pins: BTreeMap<PinId, Pin>,
}

/// Shards that share an upper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub upper: Timestamp,
}

/// A durable collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub group: Option<GroupId>,
    pub schema: SchemaId,
    /// Of the rows as readers see them.
    pub columns: Columns,
    /// The first readable time there ever was.
    pub created: Timestamp,
    pub since: Timestamp,
    /// Of a solo shard; members of a group have the group's.
    pub upper: Timestamp,
    pub next_batch: u64,
    /// Copied on write: of a shard that is not written to, all copies of a state share one list.
    pub batches: Arc<Vec<BatchDesc>>,
    /// The upper is MAX: nothing will ever be appended.
    pub closed: bool,
    /// The upper may lie ahead of the clock.
    pub scheduled: bool,
    /// Dropped; is forgotten once its parts are deleted.
    pub retired: bool,
    /// Of the last appends, oldest first.
    pub tokens: VecDeque<Uuid>,
}

/// A backup in progress: the parts of the state of `seq` stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    pub seq: u64,
    pub expires: Timestamp,
}

/// Why a transaction was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    #[error("{0} does not exist")]
    NotFound(ShardId),
    #[error("{0} exists already")]
    Exists(ShardId),
    #[error("{0} has been closed")]
    Closed(ShardId),
    #[error("{0} belongs to a group")]
    NotSolo(ShardId),
    #[error("{shard} has the upper {actual}")]
    UpperMismatch { shard: ShardId, actual: Timestamp },
    #[error("the group has the upper {actual}")]
    GroupUpperMismatch { actual: Timestamp },
    #[error("{0} has another schema now")]
    SchemaChanged(ShardId),
    #[error("generation {actual} has taken over")]
    Fenced { actual: u64 },
    #[error("the catalog has version {actual} now")]
    CatalogMoved { actual: u64 },
    #[error("{table} was written after {read_ts}")]
    Conflict { table: ShardId, read_ts: Timestamp },
    #[error("the batches to be replaced are not there any more")]
    Stale,
    #[error("malformed operation: {0}")]
    Malformed(&'static str),
}

impl State {
    /// Applies one transaction, whole or not at all.
    pub fn apply(&mut self, txn: &Txn) -> Result<(), Reject> {
        if let [op] = &txn.ops[..] {
            self.apply_op(op)?;
            self.check_touched(op);
            return Ok(());
        }
        let before = self.remember(txn);
        for op in &txn.ops {
            if let Err(reject) = self.apply_op(op) {
                self.restore(before);
                return Err(reject);
            }
            self.check_touched(op);
        }
        Ok(())
    }

    /// In debug builds, checks the invariants of what an operation has changed.
    fn check_touched(&self, op: &Op) {
        if cfg!(debug_assertions) {
            for id in touched_shards(op) {
                let Some(shard) = self.shards.get(&id) else { continue };
                let checked = self.check_shard(shard);
                assert!(checked.is_ok(), "{id}: {checked:?} after {op:?}");
                let twice = repeated(shard.part_keys());
                assert!(twice.is_none(), "{id}: part {twice:?} is named twice after {op:?}");
            }
        }
    }

    /// The upper of a shard, or its group's; none if it does not exist or is retired.
    pub fn upper(&self, shard: ShardId) -> Option<Timestamp> {
        let shard = self.shards.get(&shard).filter(|shard| !shard.retired)?;
        Some(self.upper_of(shard))
    }

    pub(crate) fn upper_of(&self, shard: &Shard) -> Timestamp {
        shard.group.map_or(shard.upper, |group| self.group_upper(group))
    }

    /// The upper of a group; MIN before its first commit.
    pub fn group_upper(&self, group: GroupId) -> Timestamp {
        self.groups.get(&group).map_or(Timestamp::MIN, |group| group.upper)
    }

    /// No read was answered above this: where the oracle starts.
    pub fn floor(&self) -> Timestamp {
        let groups = self.groups.values().map(|group| group.upper);
        let shards = self.shards.values().filter(|shard| shard.group.is_none() && !shard.closed && !shard.scheduled);
        groups.chain(shards.map(|shard| shard.upper)).fold(self.read_floor, Timestamp::max)
    }

    /// A shard that is not retired.
    pub(crate) fn live(&self, id: ShardId) -> Result<&Shard, Reject> {
        self.shards.get(&id).filter(|shard| !shard.retired).ok_or(Reject::NotFound(id))
    }

    /// Applies one operation: every check comes before the first change.
    fn apply_op(&mut self, op: &Op) -> Result<(), Reject> {
        match op {
            Op::Open { log_id, epoch, nonce, generation, version, lease_ms } => {
                if *epoch != self.epoch + 1 {
                    return Err(Reject::Malformed("epochs follow one another"));
                }
                if self.epoch > 0 && *log_id != self.log_id {
                    return Err(Reject::Malformed("an open of another log"));
                }
                self.check_generation(*generation)?;
                self.log_id = *log_id;
                self.epoch = *epoch;
                self.nonce = *nonce;
                self.generation = *generation;
                self.version_max = self.version_max.max(*version);
                self.lease_ms = *lease_ms;
                self.closed = false;
                Ok(())
            }
            Op::Close { read_ts } => {
                self.closed = true;
                self.read_floor = self.read_floor.max(*read_ts);
                Ok(())
            }
            Op::Create { .. } => self.create(op),
            Op::Retire { shard } => self.retire(*shard),
            Op::Append { .. } => self.append(op),
            Op::Commit { .. } => self.commit(op),
            Op::Since { shard, generation, since } => {
                self.check_generation(*generation)?;
                self.live(*shard)?;
                let shard = self.shards.get_mut(shard).expect("checked above");
                shard.since = shard.since.max(*since);
                Ok(())
            }
            Op::Replace { shard, generation, inputs, output } => self.replace(*shard, *generation, inputs, output),
            Op::Schema { shard, schema, columns } => self.schema(*shard, *schema, columns),
            Op::Pin { id, seq, expires } => self.pin(*id, *seq, *expires),
            Op::Unpin { id } => {
                self.pins.remove(id);
                Ok(())
            }
        }
    }

    fn check_generation(&self, generation: u64) -> Result<(), Reject> {
        if generation < self.generation { Err(Reject::Fenced { actual: self.generation }) } else { Ok(()) }
    }

    /// A pin that exists is renewed: it lasts until the later time.
    fn pin(&mut self, id: PinId, seq: u64, expires: Timestamp) -> Result<(), Reject> {
        if seq >= self.next_seq {
            return Err(Reject::Malformed("a pin of an entry to come"));
        }
        let pin = self.pins.entry(id).or_insert(Pin { seq, expires });
        if pin.seq != seq {
            return Err(Reject::Malformed("a pin of another entry has this name"));
        }
        pin.expires = pin.expires.max(expires);
        Ok(())
    }

    fn create(&mut self, op: &Op) -> Result<(), Reject> {
        let Op::Create { shard, group, schema, since, scheduled } = op else { return Ok(()) };
        if self.shards.contains_key(shard) {
            return Err(Reject::Exists(*shard));
        }
        if let Some(group) = group {
            self.groups.entry(*group).or_default();
        }
        let state = Shard {
            group: *group,
            schema: *schema,
            columns: Columns::default(),
            created: *since,
            since: *since,
            upper: Timestamp::MIN,
            next_batch: 1,
            batches: Arc::default(),
            closed: false,
            scheduled: *scheduled,
            retired: false,
            tokens: VecDeque::new(),
        };
        self.shards.insert(*shard, state);
        Ok(())
    }

    fn schema(&mut self, id: ShardId, schema: SchemaId, columns: &Columns) -> Result<(), Reject> {
        let shard = self.live(id)?;
        let before = &shard.columns;
        if !columns.extends(before) {
            return Err(Reject::Malformed("columns are only appended, each with a default"));
        }
        if before.is_empty() && !columns.is_empty() && !shard.batches.is_empty() {
            return Err(Reject::Malformed("columns are declared before anything is written"));
        }
        if !before.is_empty() && columns != before && shard.group.is_none() {
            return Err(Reject::Malformed("whoever appends to a shard of its own would not know of the new columns"));
        }
        let shard = self.shards.get_mut(&id).expect("checked above");
        shard.schema = schema;
        shard.columns = columns.clone();
        Ok(())
    }

    fn retire(&mut self, id: ShardId) -> Result<(), Reject> {
        let shard = self.shards.get_mut(&id).ok_or(Reject::NotFound(id))?;
        if shard.retired {
            self.shards.remove(&id);
        } else {
            shard.retired = true;
        }
        Ok(())
    }

    fn append(&mut self, op: &Op) -> Result<(), Reject> {
        let Op::Append { shard: id, writer, expect_upper, new_upper, batch } = op else { return Ok(()) };
        self.check_generation(writer.generation)?;
        let shard = self.live(*id)?;
        if shard.group.is_some() {
            return Err(Reject::NotSolo(*id));
        }
        if let Some(batch) = batch {
            if shard.tokens.contains(&batch.token) && *new_upper <= shard.upper {
                // A retry of what has been applied.
                return Ok(());
            }
            if batch.lower != *expect_upper || batch.upper != *new_upper {
                return Err(Reject::Malformed("the batch covers another interval than the append"));
            }
            if batch.since > shard.since {
                return Err(Reject::Malformed("the batch has lost times that may be read"));
            }
            if !batch.holds_its_times() {
                return Err(Reject::Malformed("a part has times that the append does not cover"));
            }
        }
        if shard.closed {
            return Err(Reject::Closed(*id));
        }
        if *expect_upper != shard.upper {
            return Err(Reject::UpperMismatch { shard: *id, actual: shard.upper });
        }
        if *new_upper <= *expect_upper {
            return Err(Reject::Malformed("an append must move the upper"));
        }
        let shard = self.shards.get_mut(id).expect("checked above");
        shard.upper = *new_upper;
        shard.closed = *new_upper == Timestamp::MAX;
        match batch {
            Some(batch) => {
                shard.remember_token(batch.token);
                shard.push(batch);
            }
            None => shard.push(&BatchDesc::empty(*expect_upper, *new_upper, Uuid::nil())),
        }
        Ok(())
    }

    fn commit(&mut self, op: &Op) -> Result<(), Reject> {
        let Op::Commit { group, expect_upper, ts, validate, catalog, appends } = op else { return Ok(()) };
        let upper = self.group_upper(*group);
        if upper != *expect_upper {
            return Err(Reject::GroupUpperMismatch { actual: upper });
        }
        if *ts < upper || *ts == Timestamp::MAX {
            return Err(Reject::Malformed("a commit below the upper of its group"));
        }
        if let Some(planned) = catalog
            && *planned != self.catalog_version
        {
            return Err(Reject::CatalogMoved { actual: self.catalog_version });
        }
        for Validate { read_ts, tables } in validate {
            for table in tables {
                if self.live(*table)?.last_write() > *read_ts {
                    return Err(Reject::Conflict { table: *table, read_ts: *read_ts });
                }
            }
        }
        let mut named = Vec::with_capacity(appends.len());
        for (id, schema, batch) in appends {
            let shard = self.live(*id)?;
            if shard.group != Some(*group) {
                return Err(Reject::Malformed("the shard is not of this group"));
            }
            if shard.schema != *schema {
                return Err(Reject::SchemaChanged(*id));
            }
            if batch.lower != *ts || batch.upper != ts.step_forward() || *ts < shard.since || !batch.holds_its_times() {
                return Err(Reject::Malformed("the batch is not at the time of the commit"));
            }
            named.push(*id);
        }
        named.sort_unstable();
        if named.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Reject::Malformed("a shard is named twice in a commit"));
        }
        self.groups.entry(*group).or_default().upper = ts.step_forward();
        if catalog.is_some() {
            self.catalog_version += 1;
        }
        for (id, _, batch) in appends {
            self.shards.get_mut(id).expect("checked above").push(batch);
        }
        Ok(())
    }

    fn replace(&mut self, id: ShardId, generation: u64, inputs: &[u64], output: &BatchDesc) -> Result<(), Reject> {
        self.check_generation(generation)?;
        let shard = self.live(id)?;
        let first = inputs.first().ok_or(Reject::Malformed("a replacement of nothing"))?;
        let start = shard.batches.iter().position(|batch| batch.id == *first).ok_or(Reject::Stale)?;
        let replaced = shard.batches.get(start..start + inputs.len()).ok_or(Reject::Stale)?;
        if !replaced.iter().map(|batch| batch.id).eq(inputs.iter().copied()) {
            return Err(Reject::Stale);
        }
        let (lower, upper) = (replaced[0].lower, replaced[replaced.len() - 1].upper);
        if output.lower != lower || output.upper != upper {
            // The last input may be an empty batch that has grown since.
            return Err(Reject::Stale);
        }
        if output.since > shard.since {
            return Err(Reject::Malformed("the batch has lost times that may be read"));
        }
        if replaced.iter().any(|input| input.since > output.since) {
            return Err(Reject::Malformed("the batch promises times that its inputs have lost"));
        }
        let shard = self.shards.get_mut(&id).expect("checked above");
        let mut output = output.clone();
        output.id = shard.next_batch;
        shard.next_batch += 1;
        Arc::make_mut(&mut shard.batches).splice(start..start + inputs.len(), [output]);
        Ok(())
    }

    /// What a transaction may change, as it is now.
    fn remember(&self, txn: &Txn) -> Before {
        let touched = txn.ops.iter().flat_map(touched_shards);
        let shards = touched.map(|id| (id, self.shards.get(&id).cloned())).collect();
        let rest = State { shards: BTreeMap::new(), groups: self.groups.clone(), pins: self.pins.clone(), ..*self };
        Before { shards, rest }
    }

    fn restore(&mut self, before: Before) {
        let mut shards = std::mem::take(&mut self.shards);
        for (id, shard) in before.shards {
            match shard {
                Some(shard) => shards.insert(id, shard),
                None => shards.remove(&id),
            };
        }
        *self = State { shards, ..before.rest };
    }

    /// Shares with `other`, which is some entries ahead or behind, the lists of batches that are the same in both.
    ///
    /// Both come of one sequence of operations, and each batch gets an id of its own, so lists are the same if as many ids have
    /// been given out and the last batch, which may be an empty one that still grows, ends at the same time.
    pub(crate) fn share_batches(&mut self, other: &State) {
        for (id, shard) in &mut self.shards {
            let Some(theirs) = other.shards.get(id) else { continue };
            let end = |shard: &Shard| shard.batches.last().map(|batch| batch.upper);
            if shard.next_batch == theirs.next_batch && end(shard) == end(theirs) {
                debug_assert_eq!(shard.batches, theirs.batches, "{id}");
                shard.batches = Arc::clone(&theirs.batches);
            }
        }
    }

    /// Checks every invariant; the error says which is broken. For tests and for verification: walks every batch.
    pub fn check(&self) -> Result<(), String> {
        for (id, shard) in &self.shards {
            self.check_shard(shard).map_err(|broken| format!("{id}: {broken}"))?;
        }
        if let Some(twice) = repeated(self.shards.values().flat_map(Shard::part_keys)) {
            return Err(format!("part {twice} is named twice"));
        }
        match self.pins.values().any(|pin| pin.seq >= self.next_seq) {
            true => Err("a pin names an entry to come".to_owned()),
            false => Ok(()),
        }
    }

    fn check_shard(&self, shard: &Shard) -> Result<(), &'static str> {
        let ensure = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(what) };
        ensure(shard.created <= shard.since, "since lies below created")?;
        ensure(shard.closed == (shard.upper == Timestamp::MAX), "closed is not upper = MAX")?;
        ensure(shard.tokens.len() <= TOKENS_KEPT, "too many tokens")?;
        for batch in shard.batches.iter() {
            ensure(batch.since <= shard.since, "a batch's since lies above the shard's")?;
            ensure(batch.lower < batch.upper, "a batch covers nothing")?;
            ensure(batch.id > 0 && batch.id < shard.next_batch, "a batch has an id that was not assigned")?;
        }
        let pairs = || shard.batches.windows(2);
        if shard.group.is_some() {
            ensure(pairs().all(|pair| pair[0].upper <= pair[1].lower), "group batches overlap")?;
            let last = shard.batches.last().map_or(Timestamp::MIN, |batch| batch.upper);
            ensure(last <= self.upper_of(shard), "a batch lies beyond the group's upper")?;
        } else {
            ensure(pairs().all(|pair| pair[0].upper == pair[1].lower), "solo batches do not tile")?;
            let first = shard.batches.first().map_or(Timestamp::MIN, |batch| batch.lower);
            let last = shard.batches.last().map_or(Timestamp::MIN, |batch| batch.upper);
            ensure(first == Timestamp::MIN && last == shard.upper, "solo batches do not tile up to the upper")?;
        }
        Ok(())
    }
}

/// A key that has come before. Hashed, since a start asks it of every part there is.
fn repeated<'a>(mut keys: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    keys.find(|key| !seen.insert(*key))
}

struct Before {
    shards: BTreeMap<ShardId, Option<Shard>>,
    rest: State,
}

fn touched_shards(op: &Op) -> Vec<ShardId> {
    match op {
        Op::Create { shard, .. }
        | Op::Retire { shard }
        | Op::Append { shard, .. }
        | Op::Since { shard, .. }
        | Op::Replace { shard, .. }
        | Op::Schema { shard, .. } => vec![*shard],
        Op::Commit { appends, .. } => appends.iter().map(|(shard, _, _)| *shard).collect(),
        Op::Open { .. } | Op::Close { .. } | Op::Pin { .. } | Op::Unpin { .. } => Vec::new(),
    }
}

impl Shard {
    /// The time of the last batch, MIN if there is none. Exact for members of a group, whose commits each have one time.
    pub fn last_write(&self) -> Timestamp {
        self.batches.last().map_or(Timestamp::MIN, |batch| batch.upper.step_back())
    }

    /// The names of its parts in the blob store.
    fn part_keys(&self) -> impl Iterator<Item = &str> {
        self.batches.iter().flat_map(|batch| batch.parts.iter()).filter_map(|part| match part {
            Part::Hollow(hollow) => Some(hollow.key.as_str()),
            Part::Inline(_) => None,
        })
    }

    fn push(&mut self, batch: &BatchDesc) {
        let batches = Arc::make_mut(&mut self.batches);
        if batch.parts.is_empty()
            && self.group.is_none()
            && let Some(last) = batches.last_mut()
            && last.parts.is_empty()
        {
            // Ticks of an idle shard grow one empty batch instead of leaving one each.
            last.upper = batch.upper;
            return;
        }
        batches.push(BatchDesc { id: self.next_batch, ..batch.clone() });
        self.next_batch += 1;
    }

    fn remember_token(&mut self, token: Uuid) {
        if self.tokens.len() == TOKENS_KEPT {
            self.tokens.pop_front();
        }
        self.tokens.push_back(token);
    }
}

impl BatchDesc {
    /// Whether its stored parts lie in its interval. Inline parts are looked at where they come in.
    fn holds_its_times(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Hollow(hollow) => {
                self.lower <= hollow.t_min && hollow.t_min <= hollow.t_max && hollow.t_max < self.upper
            }
            Part::Inline(_) => true,
        })
    }

    /// A batch that says that nothing happened in `[lower, upper)`.
    pub fn empty(lower: Timestamp, upper: Timestamp, token: Uuid) -> BatchDesc {
        BatchDesc { id: 0, lower, upper, since: Timestamp::MIN, updates: 0, bytes: 0, token, parts: Arc::default() }
    }
}
