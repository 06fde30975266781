//! The naive model: a list of writes, what each client was told, and what answered reads have settled since.
//!
//! The contents of a shard at a time are the sum of all writes up to it. An answered read settles every write at or below its
//! time for ever: whoever is in it was made, whoever is not never will be. So each later read, by whichever leader and
//! after whatever crash, must give exactly what the list says.

use std::collections::BTreeMap;

use persist::consolidate;
use repr::{Diff, Row, ShardId, Timestamp};

/// What the client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Made,
    Refused,
}

/// What reads have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    NotYet,
    Present,
    Absent,
}

/// One change of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) shard: ShardId,
    pub(crate) row: Row,
    pub(crate) time: Timestamp,
    pub(crate) diff: Diff,
}

#[derive(Debug)]
struct Write {
    changes: Vec<Change>,
    /// Up to which times the shards had been read when the write began, change by change.
    read_before: Vec<Option<Timestamp>>,
    told: Told,
    seen: Seen,
}

/// Everything that clients did and saw.
#[derive(Debug, Default)]
pub(crate) struct History {
    writes: Vec<Write>,
    /// The greatest time of an answered read, by shard.
    answered: BTreeMap<ShardId, Timestamp>,
    /// The greatest time of an acknowledged commit.
    pub(crate) acknowledged: Timestamp,
    /// The greatest time of an answered strict read.
    pub(crate) read_ts: Timestamp,
    pub(crate) reads: u64,
    pub(crate) strict_reads: u64,
}

impl History {
    /// A client is about to write. Every row that it adds is its own.
    pub(crate) fn begin(&mut self, changes: Vec<Change>) -> usize {
        let read_before = changes.iter().map(|change| self.answered.get(&change.shard).copied()).collect();
        self.writes.push(Write { changes, read_before, told: Told::Nothing, seen: Seen::NotYet });
        self.writes.len() - 1
    }

    /// The client has its answer.
    pub(crate) fn end(&mut self, write: usize, told: Told) {
        let write = &mut self.writes[write];
        write.told = told;
        match (told, write.seen) {
            (Told::Made, Seen::Absent) => panic!("acknowledged, but an answered read did not show it: {write:?}"),
            (Told::Refused, Seen::Present) => panic!("refused, but an answered read has shown it: {write:?}"),
            (Told::Made, _) => write.check_times(),
            (Told::Nothing | Told::Refused, _) => {}
        }
    }

    /// How many writes to `shard` began after `write`.
    pub(crate) fn writes_since(&self, write: usize, shard: ShardId) -> usize {
        let later = self.writes[write + 1..].iter();
        later.filter(|write| write.changes.iter().any(|change| change.shard == shard)).count()
    }

    pub(crate) fn count(&self, told: Told) -> usize {
        self.writes.iter().filter(|write| write.told == told).count()
    }

    /// A read of `shard` at `as_of` gave `contents`, sorted and consolidated.
    pub(crate) fn answer(&mut self, shard: ShardId, as_of: Timestamp, contents: &[(Row, Diff)]) {
        self.reads += 1;
        let mut expected = Vec::new();
        for write in &mut self.writes {
            let mut meant = write.changes.iter().filter(|change| change.shard == shard && change.time <= as_of);
            let Some(sign) = meant.find(|change| change.diff > Diff::ZERO) else { continue };
            if write.seen == Seen::NotYet && write.told == Told::Nothing {
                // Whoever takes a row back has seen it before, so a row that is not there never was.
                let present = contents.binary_search_by(|(row, _)| row.cmp(&sign.row)).is_ok();
                write.seen = if present { Seen::Present } else { Seen::Absent };
                if present {
                    write.check_times();
                }
            }
            if write.is_made() {
                let meant = write.changes.iter().filter(|change| change.shard == shard && change.time <= as_of);
                expected.extend(meant.map(|change| (change.row.clone(), as_of, change.diff)));
            }
        }
        consolidate(&mut expected);
        for (row, _, diff) in &expected {
            assert_eq!(*diff, Diff::ONE, "{shard} at {as_of}: two writes that exclude each other: {row:?}");
        }
        let same = expected.iter().map(|(row, _, diff)| (row, diff)).eq(contents.iter().map(|(row, diff)| (row, diff)));
        assert!(same, "{}", self.difference(shard, as_of, &expected, contents));
        let answered = self.answered.entry(shard).or_default();
        *answered = as_of.max(*answered);
    }

    fn difference(
        &self,
        shard: ShardId,
        as_of: Timestamp,
        expected: &[(Row, Timestamp, Diff)],
        contents: &[(Row, Diff)],
    ) -> String {
        let of = |row: &Row| {
            let mine = |write: &&Write| write.changes.iter().any(|change| change.row == *row);
            self.writes.iter().filter(mine).map(|write| format!("\n    {write:?}")).collect::<String>()
        };
        let found: BTreeMap<&Row, &Diff> = contents.iter().map(|(row, diff)| (row, diff)).collect();
        let wanted: BTreeMap<&Row, &Diff> = expected.iter().map(|(row, _, diff)| (row, diff)).collect();
        let missing = wanted.keys().filter(|row| !found.contains_key(*row));
        let strange = found.iter().filter(|(row, diff)| wanted.get(*row) != Some(*diff));
        let missing: String = missing.map(|row| format!("\n  missing {row:?}: {}", of(row))).collect();
        let strange: String = strange.map(|(row, diff)| format!("\n  strange {row:?} {diff:?}: {}", of(row))).collect();
        format!("{shard} at {as_of} is not what was written:{missing}{strange}")
    }
}

impl Write {
    fn is_made(&self) -> bool {
        self.told == Told::Made || self.seen == Seen::Present
    }

    /// No read had been answered at or above its times before it began.
    fn check_times(&self) {
        for (change, read_before) in self.changes.iter().zip(&self.read_before) {
            assert!(read_before.is_none_or(|read| change.time > read), "written below an answered read: {self:?}");
        }
    }
}
