//! States of a log, one after the other: what a backup holds and what a restore begins from.

use std::collections::BTreeMap;

use repr::Timestamp;

use crate::backup::manifest::LogPiece;
use crate::encode::decode_txns;
use crate::leader::{OpenError, replay, restore_checkpoint};
use crate::log::{Checkpoint, Entry, Log, Survey};
use crate::op::{BatchDesc, GroupId, HollowPart, Op, Part, Txn};
use crate::state::State;

/// A checkpoint's state and the entries behind it.
#[derive(Clone, Debug)]
pub(crate) struct LogImage {
    pub(crate) base: State,
    pub(crate) piece: LogPiece,
}

impl LogImage {
    /// Reads a log. Errors: as when a leader opens it.
    pub(crate) async fn load(log: &dyn Log) -> Result<LogImage, OpenError> {
        let (checkpoint, entries) = log.load().await?;
        LogImage::new(checkpoint, entries)
    }

    /// Reads a log from its oldest checkpoint on, so that more times can be restored; as `load` where that is not sound.
    pub(crate) async fn load_history(log: &dyn Log) -> Result<LogImage, OpenError> {
        let Survey { checkpoints, mut entries, damages } = log.survey().await?;
        if let (true, Some(oldest)) = (damages.is_empty(), checkpoints.into_iter().next()) {
            let first = oldest.upto + 1;
            entries.retain(|entry| entry.seq >= first);
            if entries.iter().zip(first..).all(|(entry, expected)| entry.seq == expected) {
                return LogImage::new(Some(oldest), entries);
            }
        }
        LogImage::load(log).await
    }

    pub(crate) fn new(checkpoint: Option<Checkpoint>, entries: Vec<Entry>) -> Result<LogImage, OpenError> {
        let base = match &checkpoint {
            Some(checkpoint) => restore_checkpoint(checkpoint)?,
            None => State { next_seq: 1, ..State::default() },
        };
        Ok(LogImage { base, piece: LogPiece { checkpoint, entries } })
    }

    /// The state after the last entry.
    pub(crate) fn last(&self) -> Result<State, OpenError> {
        let mut state = self.base.clone();
        self.piece.entries.iter().try_for_each(|entry| replay(&mut state, entry))?;
        Ok(state)
    }

    /// The base, or the earliest state after a commit to the tables, from which on none of these names a part that
    /// `is_missing`; none if even the last one does.
    pub(crate) fn first_without(&self, is_missing: impl Fn(&str) -> bool) -> Result<Option<State>, OpenError> {
        let sound = |state: &State| !state_parts(state).keys().any(|key| is_missing(key));
        let mut state = self.base.clone();
        let mut first = sound(&state).then(|| state.clone());
        for entry in &self.piece.entries {
            for txn in transactions(entry)? {
                state.apply(&txn).map_err(|reject| OpenError::Corrupt(format!("entry {}: {reject}", entry.seq)))?;
                if commit_time(&txn).is_none() {
                    continue;
                }
                if !sound(&state) {
                    first = None;
                } else if first.is_none() {
                    first = Some(state.clone());
                }
            }
            state.next_seq = entry.seq + 1;
        }
        Ok(first)
    }

    /// The state after the last commit to the tables by `at`, and the appends to shards of their own that come after it.
    ///
    /// What else comes after it is left out: sinces may have moved beyond `at` before the next commit did.
    pub(crate) fn split_at(&self, at: Timestamp) -> Result<(State, Vec<Op>), OpenError> {
        let (entry_count, txn_count) = self.up_to_last_commit(at)?;
        let mut state = self.base.clone();
        let (before, rest) = self.piece.entries.split_at(entry_count);
        before.iter().try_for_each(|entry| replay(&mut state, entry))?;
        let mut later = Vec::new();
        for entry in rest {
            later.extend(transactions(entry)?);
        }
        for txn in later.drain(..txn_count) {
            state.apply(&txn).map_err(|reject| OpenError::Corrupt(format!("entry {}: {reject}", state.next_seq)))?;
        }
        let appends = later.into_iter().flat_map(|txn| txn.ops).filter(|op| matches!(op, Op::Append { .. }));
        Ok((state, appends.collect()))
    }

    /// How many whole entries, and transactions of the entry behind them, end with the last commit to the tables by `at`.
    fn up_to_last_commit(&self, at: Timestamp) -> Result<(usize, usize), OpenError> {
        let mut place = (0, 0);
        for (index, entry) in self.piece.entries.iter().enumerate() {
            let txns = transactions(entry)?;
            for (number, txn) in txns.iter().enumerate() {
                match commit_time(txn) {
                    Some(ts) if ts > at => return Ok(place),
                    Some(_) if number + 1 == txns.len() => place = (index + 1, 0),
                    Some(_) => place = (index, number + 1),
                    None => {}
                }
            }
        }
        Ok(place)
    }

    /// Every part in the blob store that the base or an entry names.
    pub(crate) fn parts(&self) -> Result<BTreeMap<String, HollowPart>, OpenError> {
        let mut parts = state_parts(&self.base);
        for entry in &self.piece.entries {
            for op in transactions(entry)?.iter().flat_map(|txn| &txn.ops) {
                match op {
                    Op::Append { batch: Some(batch), .. } | Op::Replace { output: batch, .. } => {
                        add_parts(&mut parts, batch);
                    }
                    Op::Commit { appends, .. } => {
                        appends.iter().for_each(|(_, _, batch)| add_parts(&mut parts, batch));
                    }
                    _ => {}
                }
            }
        }
        Ok(parts)
    }
}

/// Every part in the blob store that live shards name.
pub(crate) fn state_parts(state: &State) -> BTreeMap<String, HollowPart> {
    let mut parts = BTreeMap::new();
    for shard in state.shards.values().filter(|shard| !shard.retired) {
        shard.batches.iter().for_each(|batch| add_parts(&mut parts, batch));
    }
    parts
}

fn add_parts(parts: &mut BTreeMap<String, HollowPart>, batch: &BatchDesc) {
    for part in batch.parts.iter() {
        if let Part::Hollow(hollow) = part {
            parts.insert(hollow.key.clone(), hollow.clone());
        }
    }
}

fn transactions(entry: &Entry) -> Result<Vec<Txn>, OpenError> {
    decode_txns(&entry.body).map_err(|error| OpenError::Corrupt(format!("entry {}: {error}", entry.seq)))
}

/// When a transaction commits to the tables, if it does.
fn commit_time(txn: &Txn) -> Option<Timestamp> {
    txn.ops.iter().find_map(|op| match op {
        Op::Commit { group: GroupId::TABLES, ts, .. } => Some(*ts),
        _ => None,
    })
}
