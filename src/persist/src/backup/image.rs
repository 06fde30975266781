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

    /// The earliest state from which on none names a part that `is_missing`; none if even the last one does.
    pub(crate) fn first_without(&self, is_missing: impl Fn(&str) -> bool) -> Result<Option<State>, OpenError> {
        let sound = |state: &State| !state_parts(state).keys().any(|key| is_missing(key));
        let mut state = self.base.clone();
        let mut first = sound(&state).then(|| state.clone());
        for entry in &self.piece.entries {
            replay(&mut state, entry)?;
            if !sound(&state) {
                first = None;
            } else if first.is_none() {
                first = Some(state.clone());
            }
        }
        Ok(first)
    }

    /// The state after the last transaction before the first commit to the tables beyond `at`, and the appends to shards of
    /// their own that come after it.
    pub(crate) fn split_at(&self, at: Timestamp) -> Result<(State, Vec<Op>), OpenError> {
        let mut state = self.base.clone();
        let mut entries = self.piece.entries.iter();
        let mut rest = Vec::new();
        for entry in entries.by_ref() {
            let txns = transactions(entry)?;
            let Some(split) = txns.iter().position(|txn| commits_beyond(txn, at)) else {
                replay(&mut state, entry)?;
                continue;
            };
            for txn in &txns[..split] {
                let corrupt = |reject| OpenError::Corrupt(format!("entry {}: {reject}", entry.seq));
                state.apply(txn).map_err(corrupt)?;
            }
            rest.extend(txns.into_iter().skip(split));
            break;
        }
        for entry in entries {
            rest.extend(transactions(entry)?);
        }
        let appends = rest.into_iter().flat_map(|txn| txn.ops).filter(|op| matches!(op, Op::Append { .. }));
        Ok((state, appends.collect()))
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
    for part in &batch.parts {
        if let Part::Hollow(hollow) = part {
            parts.insert(hollow.key.clone(), hollow.clone());
        }
    }
}

fn transactions(entry: &Entry) -> Result<Vec<Txn>, OpenError> {
    decode_txns(&entry.body).map_err(|error| OpenError::Corrupt(format!("entry {}: {error}", entry.seq)))
}

fn commits_beyond(txn: &Txn, at: Timestamp) -> bool {
    txn.ops.iter().any(|op| matches!(op, Op::Commit { group: GroupId::TABLES, ts, .. } if *ts > at))
}
