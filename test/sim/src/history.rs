//! What clients asked and were told, and whether one database can have told it all.

use std::collections::BTreeMap;

use crate::ddl::Catalogue;

/// What a client asked to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A row of the ledger; with its twin in the mirror, in one transaction, if `both`.
    Insert { id: i64, both: bool },
    /// A row of the ledger.
    Delete { id: i64 },
    /// One more in a counter.
    Increment { key: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Unknown,
    Acknowledged,
    Refused,
}

/// A write, with its place in the one order of all that clients saw.
#[derive(Clone, Debug)]
pub struct Write {
    pub change: Change,
    pub start: u64,
    pub end: u64,
    pub outcome: Outcome,
}

/// What one transaction has read.
#[derive(Clone, Debug, Default)]
pub struct Read {
    pub start: u64,
    pub end: u64,
    /// Its time by `mz_now()`.
    pub at: u64,
    pub contents: Contents,
}

/// The tables at one time; of a read of a single view, only what it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Account and amount by id.
    pub ledger: Option<BTreeMap<i64, (i64, i64)>>,
    pub mirror: Option<BTreeMap<i64, (i64, i64)>>,
    pub counters: Option<BTreeMap<i64, i64>>,
    pub counters_sum: Option<i64>,
    /// How many ticks the source has had.
    pub ticks: Option<i64>,
}

/// All of a run, over all environments.
#[derive(Default)]
pub struct History {
    events: u64,
    next_id: i64,
    pub catalogue: Catalogue,
    pub writes: Vec<Write>,
    pub reads: Vec<Read>,
    /// Reads that took longer than they might.
    pub canceled: usize,
}

impl History {
    /// The next place in the order.
    pub fn event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    /// An id that no row has.
    pub fn fresh_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    /// A client is about to ask; until it is answered, the outcome is unknown.
    pub fn begin(&mut self, change: Change) -> usize {
        let start = self.event();
        self.writes.push(Write { change, start, end: u64::MAX, outcome: Outcome::Unknown });
        self.writes.len() - 1
    }

    pub fn end(&mut self, write: usize, outcome: Outcome) {
        let end = self.event();
        let write = &mut self.writes[write];
        write.outcome = outcome;
        if outcome == Outcome::Acknowledged {
            write.end = end;
        }
    }

    pub fn count(&self, outcome: Outcome) -> usize {
        self.writes.iter().filter(|write| write.outcome == outcome).count()
    }

    /// A digest of all that clients asked and were told.
    pub fn digest(&self) -> u64 {
        let text = format!("{:?} {:?}", self.writes, self.reads);
        // FNV-1a, as good as any to tell two runs apart.
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// Panics if no strictly serializable database can have given these answers.
    pub fn check(&self) {
        self.check_times();
        self.check_rows();
        self.check_counters();
        self.check_ticks();
    }

    /// A read that begins after another has ended reads at its time or later; one time has one contents.
    fn check_times(&self) {
        let mut by_start: Vec<&Read> = self.reads.iter().collect();
        by_start.sort_by_key(|read| read.start);
        let mut by_end = by_start.clone();
        by_end.sort_by_key(|read| read.end);
        let (mut ended, mut latest) = (by_end.into_iter().peekable(), 0);
        for read in by_start {
            while let Some(before) = ended.next_if(|before| before.end < read.start) {
                latest = latest.max(before.at);
            }
            assert!(read.at >= latest, "a read at {} began after one at {latest} had been answered", read.at);
        }
        let mut contents: BTreeMap<u64, &Read> = BTreeMap::new();
        for read in self.reads.iter().filter(|read| read.contents.ledger.is_some()) {
            let same = contents.entry(read.at).or_insert(read);
            assert_eq!(same.contents, read.contents, "two reads at {}", read.at);
        }
    }

    /// Reads of everything, in the order of their times.
    fn full_reads(&self) -> Vec<&Read> {
        let mut reads: Vec<&Read> = self.reads.iter().filter(|read| read.contents.ledger.is_some()).collect();
        reads.sort_by_key(|read| read.at);
        reads
    }

    fn check_rows(&self) {
        let mut deletes: BTreeMap<i64, Vec<&Write>> = BTreeMap::new();
        for write in &self.writes {
            if let Change::Delete { id } = &write.change {
                deletes.entry(*id).or_default().push(write);
            }
        }
        let reads = self.full_reads();
        let mut inserted = 0;
        for write in &self.writes {
            if let Change::Insert { id, both } = &write.change {
                let deletes = deletes.get(id).map_or(&[][..], Vec::as_slice);
                check_row(*id, *both, write, deletes, &reads);
                inserted += 1;
            }
        }
        assert_eq!(inserted, self.next_id, "every id is one insert's");
        for read in reads {
            let ids = || read.contents.ledger.iter().chain(&read.contents.mirror).flat_map(BTreeMap::keys);
            assert!(ids().all(|id| *id <= self.next_id), "a row that nobody wrote");
        }
    }

    /// What a source has brought is never lost.
    fn check_ticks(&self) {
        let mut before = 0;
        let mut reads: Vec<&Read> = self.reads.iter().collect();
        // Of the reads of one millisecond nobody knows which was at the earlier time.
        reads.sort_by_key(|read| (read.at, read.contents.ticks));
        for read in reads {
            let Some(ticks) = read.contents.ticks else { continue };
            assert!(ticks >= before, "at {}: the source went back from {before} to {ticks} ticks", read.at);
            before = ticks;
        }
    }

    /// Each counter has at least what was acknowledged before the read began, at most what was asked for before it ended.
    fn check_counters(&self) {
        let mut before: BTreeMap<i64, i64> = BTreeMap::new();
        let mut sum_before = 0;
        let mut reads: Vec<&Read> = self.reads.iter().collect();
        // As for ticks: counters only grow.
        let of_keys = |read: &Read| read.contents.counters.iter().flatten().map(|(_, value)| *value).sum::<i64>();
        reads.sort_by_key(|read| (read.at, read.contents.counters_sum, of_keys(read)));
        for read in reads {
            let bounds = |wanted: Option<i64>| {
                let ours = |write: &&Write| match write.change {
                    Change::Increment { key } => wanted.is_none_or(|wanted| wanted == key),
                    _ => false,
                };
                let writes = || self.writes.iter().filter(ours);
                let least = writes().filter(|write| write.end < read.start).count();
                let most = writes().filter(|write| write.start < read.end && write.outcome != Outcome::Refused).count();
                i64::try_from(least).unwrap_or(0)..=i64::try_from(most).unwrap_or(0)
            };
            let Some(sum) = read.contents.counters_sum else { continue };
            assert!(bounds(None).contains(&sum), "at {}: the counters sum to {sum}, not {:?}", read.at, bounds(None));
            assert!(sum >= sum_before, "at {}: the sum of counters went back to {sum}", read.at);
            sum_before = sum;
            for (key, value) in read.contents.counters.iter().flatten() {
                let bounds = bounds(Some(*key));
                assert!(bounds.contains(value), "at {}: counter {key} is {value}, not {bounds:?}", read.at);
                let last = before.insert(*key, *value).unwrap_or(0);
                assert!(*value >= last, "at {}: counter {key} went back from {last} to {value}", read.at);
            }
        }
    }
}

/// One row's life as the reads saw it, which come in the order of their times.
fn check_row(id: i64, both: bool, insert: &Write, deletes: &[&Write], reads: &[&Read]) {
    let (mut was_there, mut is_gone, mut mirror_was_there) = (false, false, false);
    for read in reads {
        let has = |table: &Option<BTreeMap<i64, (i64, i64)>>| table.as_ref().is_some_and(|rows| rows.contains_key(&id));
        let (present, mirrored) = (has(&read.contents.ledger), has(&read.contents.mirror));
        let at = read.at;
        if present || mirrored {
            assert!(insert.start < read.end, "at {at}: row {id} was read before it was written");
            assert!(insert.outcome != Outcome::Refused, "at {at}: row {id} was refused, and is there");
        }
        let deleting = deletes.iter().any(|delete| delete.start < read.end && delete.outcome != Outcome::Refused);
        let deleted = deletes.iter().any(|delete| delete.end < read.start);
        if insert.end < read.start {
            assert!(present || deleting, "at {at}: row {id} was acknowledged, and is lost");
            assert!(mirrored || !both, "at {at}: row {id} of the mirror was acknowledged, and is lost");
        }
        assert!(!(present && deleted), "at {at}: row {id} was deleted, and is there");
        assert!(!(present && is_gone), "at {at}: row {id} came back");
        assert!(mirrored || !mirror_was_there, "at {at}: row {id} of the mirror was there, and is lost");
        is_gone |= was_there && !present;
        assert!(!is_gone || deleting, "at {at}: row {id} was there, and is lost");
        was_there |= present;
        mirror_was_there |= mirrored;
        assert!(!mirrored || both, "at {at}: row {id} of the mirror was never written");
        if both {
            assert!(!present || mirrored, "at {at}: half of transaction {id}");
            assert!(!mirrored || present || deleting, "at {at}: the other half of transaction {id}");
        }
    }
}
