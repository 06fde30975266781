//! A random walk of the state machine beside a naive model that keeps every update it was given.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use persist::{
    BatchDesc, Columns, GroupId, HollowPart, Op, Part, PinId, Reject, SchemaId, State, Txn, Validate, WriterId,
    decode_state, decode_txns, encode_state, encode_txns,
};
use repr::{ShardId, Timestamp};
use std::sync::Arc;
use stdx::Rng;
use uuid::Uuid;

/// What must be true, kept in the plainest way.
#[derive(Default, Clone)]
struct Model {
    generation: u64,
    catalog: u64,
    group_upper: u64,
    shards: BTreeMap<ShardId, ModelShard>,
    /// (seq, expires) of each.
    pins: BTreeMap<u64, (u64, u64)>,
    log_id: Option<u128>,
}

#[derive(Default, Clone)]
struct ModelShard {
    solo: bool,
    upper: u64,
    since: u64,
    created: u64,
    retired: bool,
    schema: u64,
    /// (time, label of the part) of every update.
    updates: BTreeSet<(u64, u64)>,
    tokens: Vec<Uuid>,
}

struct Walk {
    rng: Rng,
    state: State,
    model: Model,
    next_label: u64,
    next_shard: u64,
    last_append: Option<Op>,
}

fn time(millis: u64) -> Timestamp {
    Timestamp::new(millis)
}

/// Parts are labels with their times, so that the walk can read contents without the part format.
fn part(label: u64, at: u64) -> Part {
    Part::Inline(Bytes::from([label.to_be_bytes(), at.to_be_bytes()].concat()))
}

fn contents(state: &State, shard: ShardId) -> BTreeSet<(u64, u64)> {
    let parts = state.shards[&shard].batches.iter().flat_map(|batch| batch.parts.iter());
    let label = |part: &Part| {
        let Part::Inline(bytes) = part else { unreachable!("the walk writes inline parts only") };
        let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        (word(8), word(0))
    };
    parts.map(label).collect()
}

impl Walk {
    fn new(seed: u64) -> Walk {
        let (state, model) = (State { next_seq: 1, ..State::default() }, Model::default());
        Walk { rng: Rng::from_seed(seed), state, model, next_label: 1, next_shard: 1, last_append: None }
    }

    fn below(&self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    fn any_shard(&self) -> ShardId {
        ShardId(1 + self.below(self.next_shard))
    }

    fn batch(&mut self, lower: u64, upper: u64, count: u64) -> (BatchDesc, Vec<(u64, u64)>) {
        let labels: Vec<(u64, u64)> = (0..count)
            .map(|_| {
                self.next_label += 1;
                (lower + self.below(upper - lower), self.next_label)
            })
            .collect();
        let parts = labels.iter().map(|(at, label)| part(*label, *at)).collect();
        let token = Uuid::from_bytes(self.rng.bytes16());
        let (lower, upper, since) = (time(lower), time(upper), time(0));
        (BatchDesc { id: 0, lower, upper, since, updates: count, bytes: 16 * count, token, parts }, labels)
    }

    /// Applies a transaction to the state, through its bytes; the state must be unchanged if it is rejected.
    fn apply(&mut self, txn: &Txn) -> Result<(), Reject> {
        let decoded = decode_txns(&encode_txns(std::slice::from_ref(txn))).expect("what was encoded decodes");
        assert_eq!(&decoded[0], txn);
        // Each transaction is an entry of its own here; a rejected one leaves its slot free.
        let before = self.state.clone();
        let applied = self.state.apply(&decoded[0]);
        if applied.is_err() {
            assert_eq!(self.state, before, "a rejected transaction changes nothing: {txn:?}");
        }
        self.state.check().expect("invariants hold");
        for (id, shard) in &before.shards {
            if let Some(now) = self.state.shards.get(id) {
                assert!(now.since >= shard.since && now.upper >= shard.upper, "since and upper never go back");
            }
        }
        self.state.next_seq += u64::from(applied.is_ok());
        applied
    }

    fn step(&mut self) {
        match self.below(15) {
            0 => self.create(),
            1..=3 => self.append(),
            4..=6 => self.commit(),
            7 => self.since(),
            8 | 9 => self.replace(),
            10 if self.below(6) == 0 => self.retire(),
            11 if self.below(4) == 0 => self.open(),
            12 => self.pin(),
            13 => self.schema(),
            14 if self.below(3) == 0 => self.several(),
            _ => self.retry(),
        }
        self.compare();
    }

    fn open(&mut self) {
        if self.below(3) == 0 {
            let read_ts = self.below(300);
            let floor = self.state.read_floor.micros();
            self.apply(&Op::Close { read_ts: time(read_ts) }.into()).expect("a leader can always close");
            assert!(self.state.closed);
            assert_eq!(self.state.read_floor.micros(), floor.max(read_ts), "the oracle never goes back");
        }
        let epoch = self.state.epoch + 1;
        let generation = self.model.generation + self.below(2);
        let stale = self.below(4) == 0 && generation > 1;
        let log_id = self.model.log_id.unwrap_or(1) + u128::from(self.below(8) == 0);
        let open = Op::Open {
            log_id: Uuid::from_u128(log_id),
            epoch: self.state.epoch + 1,
            nonce: Uuid::from_bytes(self.rng.bytes16()),
            generation: if stale { 0 } else { generation },
            version: 1,
            lease_ms: 0,
        };
        let applied = self.apply(&open.into());
        if self.model.log_id.is_some_and(|known| known != log_id) {
            assert!(matches!(applied, Err(Reject::Malformed(_))), "another log cannot be opened here");
            return;
        }
        if applied.is_ok() {
            self.model.log_id = Some(log_id);
            assert_eq!((self.state.epoch, self.state.closed), (epoch, false));
        }
        if stale && self.model.generation > 0 {
            assert!(matches!(applied, Err(Reject::Fenced { .. })));
        } else if applied.is_ok() && !stale {
            self.model.generation = generation;
        }
    }

    fn create(&mut self) {
        let (shard, since) = (ShardId(self.next_shard), self.below(50));
        let group = (self.below(2) == 0).then_some(GroupId(0));
        let create = Op::Create { shard, group, schema: SchemaId(0), since: time(since), scheduled: false };
        self.apply(&create.clone().into()).expect("a new shard can be made");
        assert_eq!(self.apply(&create.into()), Err(Reject::Exists(shard)));
        let solo = group.is_none();
        self.model.shards.insert(shard, ModelShard { solo, since, created: since, ..ModelShard::default() });
        self.next_shard += 1;
    }

    fn append(&mut self) {
        let shard = self.any_shard();
        let known = self.model.shards.get(&shard).cloned();
        let upper = known.as_ref().map_or(0, |shard| shard.upper);
        let expect = if self.below(4) == 0 { self.below(upper + 10) } else { upper };
        let new_upper = expect + 1 + self.below(10);
        let count = self.below(3);
        let (batch, labels) = self.batch(expect, new_upper, count);
        let stale = self.below(10) == 0 && self.model.generation > 0;
        let generation = if stale { self.model.generation - 1 } else { self.model.generation };
        let token = batch.token;
        let op = Op::Append {
            shard,
            writer: WriterId::anonymous(generation),
            expect_upper: time(expect),
            new_upper: time(new_upper),
            batch: Some(batch),
        };
        let applied = self.apply(&op.clone().into());
        match known {
            _ if stale => assert!(matches!(applied, Err(Reject::Fenced { .. }))),
            None => assert_eq!(applied, Err(Reject::NotFound(shard))),
            Some(known) if known.retired => assert_eq!(applied, Err(Reject::NotFound(shard))),
            Some(known) if !known.solo => assert_eq!(applied, Err(Reject::NotSolo(shard))),
            Some(known) if known.upper != expect => {
                assert_eq!(applied, Err(Reject::UpperMismatch { shard, actual: time(known.upper) }));
            }
            Some(_) => {
                applied.expect("an append at the upper is taken");
                let known = self.model.shards.get_mut(&shard).expect("it is known");
                known.upper = new_upper;
                known.updates.extend(labels);
                known.tokens.push(token);
                self.last_append = Some(op);
            }
        }
    }

    /// The same append again changes nothing, for as long as its token is remembered.
    fn retry(&mut self) {
        let Some(op) = self.last_append.clone() else { return };
        let Op::Append { shard, writer, .. } = &op else { unreachable!("only appends are kept") };
        if writer.generation < self.model.generation || self.model.shards[shard].retired {
            return;
        }
        let mut before = self.state.clone();
        assert_eq!(self.apply(&op.into()), Ok(()));
        // It has a slot of the log all the same.
        before.next_seq = self.state.next_seq;
        assert_eq!(self.state, before);
    }

    fn commit(&mut self) {
        let upper = self.model.group_upper;
        let expect = if self.below(6) == 0 { self.below(upper + 5) } else { upper };
        let ts = expect + self.below(5);
        let mut appends = Vec::new();
        let mut added = Vec::new();
        let members: Vec<ShardId> = self.model.shards.keys().copied().filter(|_| self.rng.below(2) == 0).collect();
        for shard in members {
            let (batch, labels) = self.batch(ts, ts + 1, 1);
            let schema = self.model.shards[&shard].schema;
            let planned = if self.below(12) == 0 { schema + 1 } else { schema };
            appends.push((shard, SchemaId(planned), batch));
            added.push((shard, labels, planned == schema));
        }
        let mut validate = Vec::new();
        if self.below(2) == 0 {
            validate.push(Validate { read_ts: time(self.below(upper + 1)), tables: vec![self.any_shard()] });
        }
        let catalog = (self.below(3) == 0).then(|| self.model.catalog - self.below(2).min(self.model.catalog));
        let group = GroupId(0);
        let op = Op::Commit {
            group,
            expect_upper: time(expect),
            ts: time(ts),
            validate: validate.clone(),
            catalog,
            appends,
        };
        let applied = self.apply(&op.into());
        let model = &self.model;
        let may_append =
            |shard: &ShardId| model.shards.get(shard).is_some_and(|s| !s.solo && !s.retired && ts >= s.since);
        let valid = |validate: &Validate| {
            let untouched = |table: &ShardId| {
                model.shards.get(table).is_some_and(|shard| {
                    // Of a solo shard only the upper is known exactly; tables are members of the group.
                    let last = shard.updates.iter().map(|(at, _)| *at).max().unwrap_or(0);
                    let last = if shard.solo { shard.upper.saturating_sub(1) } else { last };
                    !shard.retired && last <= validate.read_ts.micros()
                })
            };
            validate.tables.iter().all(untouched)
        };
        let sound = expect == model.group_upper
            && catalog.is_none_or(|planned| planned == model.catalog)
            && added.iter().all(|(shard, _, planned_now)| *planned_now && may_append(shard))
            && validate.iter().all(valid);
        assert_eq!(applied.is_ok(), sound, "{applied:?}");
        if sound {
            self.model.group_upper = ts + 1;
            self.model.catalog += u64::from(catalog.is_some());
            for (shard, labels, _) in added {
                self.model.shards.get_mut(&shard).expect("it is known").updates.extend(labels);
            }
        }
    }

    fn since(&mut self) {
        let shard = self.any_shard();
        let since = self.below(200);
        let op = Op::Since { shard, generation: self.model.generation, since: time(since) };
        let applied = self.apply(&op.into());
        match self.model.shards.get_mut(&shard).filter(|shard| !shard.retired) {
            Some(known) => {
                applied.expect("a since of a live shard is taken");
                known.since = known.since.max(since);
            }
            None => assert_eq!(applied, Err(Reject::NotFound(shard))),
        }
    }

    /// A swap of some run of batches for one with the same parts, sometimes late or wrong.
    fn replace(&mut self) {
        let shard = self.any_shard();
        let Some(state) = self.state.shards.get(&shard).cloned() else { return };
        if state.batches.len() < 2 || state.retired {
            return;
        }
        let start = usize::try_from(self.below(state.batches.len() as u64 - 1)).unwrap();
        let end = start + 2;
        let run = &state.batches[start..end];
        let mut inputs: Vec<u64> = run.iter().map(|batch| batch.id).collect();
        let mut output = BatchDesc {
            id: 0,
            lower: run[0].lower,
            upper: run[1].upper,
            since: run[0].since.max(run[1].since),
            updates: run[0].updates + run[1].updates,
            bytes: run[0].bytes + run[1].bytes,
            token: run[1].token,
            parts: run.iter().flat_map(|batch| batch.parts.iter().cloned()).collect(),
        };
        let wrong = self.below(5);
        match wrong {
            0 => inputs[0] += 1000,
            1 => inputs.reverse(),
            2 => output.since = state.since.step_forward(),
            3 if output.since > Timestamp::MIN => output.since = output.since.step_back(),
            // Compaction advances times to since.
            _ => {
                output.since =
                    time(output.since.micros() + self.below(state.since.micros() - output.since.micros() + 1))
            }
        }
        let lost = wrong == 3 && run.iter().any(|batch| batch.since > output.since);
        let op = Op::Replace { shard, generation: self.model.generation, inputs, output };
        let applied = self.apply(&op.clone().into());
        let sound = wrong >= 3 && !lost;
        assert_eq!(applied.is_ok(), sound, "{applied:?}");
        if sound {
            assert_eq!(self.apply(&op.into()), Err(Reject::Stale), "inputs are replaced once");
        }
    }

    fn pin(&mut self) {
        let id = self.below(4);
        if self.below(3) == 0 {
            self.apply(&Op::Unpin { id: PinId(id) }.into()).expect("also when there is no such pin");
            self.model.pins.remove(&id);
            return;
        }
        let known = self.model.pins.get(&id).copied();
        let seq = match known {
            Some((seq, _)) if self.below(2) == 0 => seq,
            _ => self.below(self.state.next_seq + 2),
        };
        let expires = self.below(1000);
        let applied = self.apply(&Op::Pin { id: PinId(id), seq, expires: time(expires) }.into());
        let ahead = seq >= self.state.next_seq - u64::from(applied.is_ok());
        if ahead || known.is_some_and(|(pinned, _)| pinned != seq) {
            assert!(matches!(applied, Err(Reject::Malformed(_))), "{applied:?}");
            return;
        }
        applied.expect("a pin of an entry that is there is taken");
        let expires = known.map_or(expires, |(_, before)| before.max(expires));
        self.model.pins.insert(id, (seq, expires));
    }

    fn schema(&mut self) {
        let (shard, schema) = (self.any_shard(), self.below(3));
        let applied = self.apply(&Op::Schema { shard, schema: SchemaId(schema), columns: Columns::default() }.into());
        match self.model.shards.get_mut(&shard).filter(|shard| !shard.retired) {
            Some(known) => {
                applied.expect("a live shard's schema can be changed");
                known.schema = schema;
            }
            None => assert_eq!(applied, Err(Reject::NotFound(shard))),
        }
    }

    /// Several good operations and a bad one somewhere: none of them happens.
    fn several(&mut self) {
        let since =
            Op::Since { shard: self.any_shard(), generation: self.model.generation, since: time(self.below(400)) };
        let mut ops = vec![
            Op::Create {
                shard: ShardId(900),
                group: Some(GroupId(3)),
                schema: SchemaId(0),
                since: time(1),
                scheduled: true,
            },
            Op::Pin { id: PinId(900), seq: 0, expires: time(5) },
            Op::Close { read_ts: time(10_000) },
            Op::Retire { shard: self.any_shard() },
            since,
        ];
        let at = usize::try_from(self.below(ops.len() as u64 + 1)).unwrap();
        ops.insert(at, Op::Retire { shard: ShardId(999) });
        // That the state is as before is checked by `apply`.
        self.apply(&Txn { ops }).expect_err("one of them names a shard that never was");
    }

    fn retire(&mut self) {
        let shard = self.any_shard();
        // The first drops it, the second forgets it.
        let applied = self.apply(&Op::Retire { shard }.into());
        match self.model.shards.get_mut(&shard) {
            None => assert_eq!(applied, Err(Reject::NotFound(shard))),
            Some(known) if known.retired => {
                applied.expect("a retired shard is forgotten");
                self.model.shards.remove(&shard);
                self.last_append = None;
            }
            Some(known) => {
                applied.expect("a shard is dropped");
                known.retired = true;
            }
        }
    }

    fn compare(&self) {
        assert_eq!(self.state.group_upper(GroupId(0)).micros(), self.model.group_upper);
        assert_eq!(self.state.catalog_version, self.model.catalog);
        let pins = self.state.pins.iter().map(|(id, pin)| (id.0, (pin.seq, pin.expires.micros())));
        assert!(pins.eq(self.model.pins.iter().map(|(id, pin)| (*id, *pin))));
        assert!(self.state.shards.keys().eq(self.model.shards.keys()));
        for (id, known) in &self.model.shards {
            let shard = &self.state.shards[id];
            assert_eq!((shard.since.micros(), shard.created.micros()), (known.since, known.created));
            assert_eq!((shard.retired, shard.schema.0), (known.retired, known.schema));
            assert_eq!(contents(&self.state, *id), known.updates, "{id}: nothing is lost or made up");
            if known.solo {
                assert_eq!(shard.upper.micros(), known.upper);
            }
            let newest: Vec<Uuid> = known.tokens.iter().rev().take(16).rev().copied().collect();
            assert!(shard.tokens.iter().eq(&newest), "the last 16 tokens are kept");
        }
    }
}

#[test]
fn the_state_machine_agrees_with_a_naive_model() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut walk = Walk::new(seed);
        for _ in 0..300 {
            walk.step();
        }
        assert_eq!(decode_state(&encode_state(&walk.state)), Ok(walk.state.clone()), "seed {seed}");
    }
}

#[test]
fn a_transaction_happens_whole_or_not_at_all() {
    let mut state = State { next_seq: 1, ..State::default() };
    let shard = ShardId(1);
    let create = Op::Create { shard, group: Some(GroupId(0)), schema: SchemaId(0), since: time(5), scheduled: false };
    let tick = |catalog| Op::Commit {
        group: GroupId(0),
        expect_upper: time(0),
        ts: time(5),
        validate: Vec::new(),
        catalog,
        appends: Vec::new(),
    };
    let before = state.clone();
    let wrong = Txn { ops: vec![create.clone(), tick(Some(3))] };
    assert_eq!(state.apply(&wrong), Err(Reject::CatalogMoved { actual: 0 }));
    assert_eq!(state, before);
    state.apply(&Txn { ops: vec![create, tick(Some(0))] }).expect("planned on the newest catalog");
    assert_eq!((state.catalog_version, state.group_upper(GroupId(0))), (1, time(6)));
    assert_eq!(state.shards[&shard].since, time(5), "readable from the commit's time on");
}

#[test]
fn a_closed_shard_takes_nothing_more() {
    let mut state = State { next_seq: 1, ..State::default() };
    let shard = ShardId(1);
    let create = Op::Create { shard, group: None, schema: SchemaId(0), since: time(5), scheduled: false };
    state.apply(&create.into()).expect("a new shard can be made");
    let append = |expect_upper, new_upper| {
        Txn::from(Op::Append { shard, writer: WriterId::anonymous(0), expect_upper, new_upper, batch: None })
    };
    state.apply(&append(time(0), Timestamp::MAX)).expect("an append may close the shard");
    assert!(state.shards[&shard].closed);
    assert_eq!(state.apply(&append(Timestamp::MAX, Timestamp::MAX)), Err(Reject::Closed(shard)));
    assert_eq!(state.floor(), time(0), "a closed shard says nothing of the time");
}

#[test]
fn stored_parts_lie_in_their_batch_and_are_named_once() {
    let mut state = State { next_seq: 1, ..State::default() };
    let shard = ShardId(1);
    let create = Op::Create { shard, group: None, schema: SchemaId(0), since: time(0), scheduled: false };
    state.apply(&create.into()).expect("a new shard can be made");
    let append = |lower, upper, t_min, t_max| {
        let key = format!("part/{lower}");
        let part =
            HollowPart { key, bytes: 9, updates: 1, t_min: time(t_min), t_max: time(t_max), statistics: Bytes::new() };
        let (lower, upper) = (time(lower), time(upper));
        let batch = BatchDesc {
            updates: 1,
            bytes: 9,
            parts: [Part::Hollow(part)].into(),
            ..BatchDesc::empty(lower, upper, Uuid::nil())
        };
        Txn::from(Op::Append {
            shard,
            writer: WriterId::anonymous(0),
            expect_upper: lower,
            new_upper: upper,
            batch: Some(batch),
        })
    };
    for (t_min, t_max) in [(0, 10), (6, 5), (11, 12)] {
        let applied = state.apply(&append(0, 10, t_min, t_max));
        assert!(matches!(applied, Err(Reject::Malformed(_))), "{t_min} to {t_max}: {applied:?}");
    }
    state.apply(&append(0, 10, 0, 9)).expect("in its interval");
    state.apply(&append(10, 20, 10, 10)).expect("in its interval");
    state.check().expect("invariants hold");
    let batches = Arc::make_mut(&mut state.shards.get_mut(&shard).expect("it is there").batches);
    batches[1].parts = batches[0].parts.clone();
    let broken = state.check().expect_err("named twice");
    assert!(broken.contains("part/0 is named twice"), "{broken}");
}

#[test]
fn seventeen_appends_forget_the_first_token_whatever_was_compacted() {
    let mut state = State { next_seq: 1, ..State::default() };
    let shard = ShardId(1);
    let create = Op::Create { shard, group: None, schema: SchemaId(0), since: time(0), scheduled: false };
    state.apply(&create.into()).expect("a new shard can be made");
    let append = |n: u64| {
        let (lower, upper) = (time(n), time(n + 1));
        let parts = [part(n, n)].into();
        let batch =
            BatchDesc { updates: 1, bytes: 16, parts, ..BatchDesc::empty(lower, upper, Uuid::from_u128(n.into())) };
        Txn::from(Op::Append {
            shard,
            writer: WriterId::anonymous(0),
            expect_upper: lower,
            new_upper: upper,
            batch: Some(batch),
        })
    };
    for n in 0..16 {
        state.apply(&append(n)).expect("at the upper");
    }
    let batches = &state.shards[&shard].batches;
    let parts = batches.iter().flat_map(|batch| batch.parts.iter().cloned()).collect();
    let output = BatchDesc { updates: 16, bytes: 256, parts, ..BatchDesc::empty(time(0), time(16), Uuid::nil()) };
    let inputs = batches.iter().map(|batch| batch.id).collect();
    state.apply(&Op::Replace { shard, generation: 0, inputs, output }.into()).expect("adjacent and present");
    for n in 0..16 {
        assert_eq!(state.apply(&append(n)), Ok(()), "a retry of append {n}");
    }
    assert_eq!(contents(&state, shard).len(), 16, "retries add nothing");
    state.apply(&append(16)).expect("at the upper");
    assert_eq!(state.apply(&append(0)), Err(Reject::UpperMismatch { shard, actual: time(17) }));
    assert_eq!(state.apply(&append(1)), Ok(()));
}
