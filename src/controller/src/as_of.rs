//! At which time each dataflow starts, chosen for all of them at once, leaves first.
//!
//! * A materialized view resumes where its shard ends: `max(since of the shard, upper - 1)`; a shard that was never written
//!   has the time of its creation as its since.
//! * An index starts as late as is useful but early enough for all that import it:
//!   `min(as-ofs of its importers, max(since of its inputs, least upper of its inputs - lag))`.
//!
//! A view whose inputs can no longer be read at its as-of gets an error: it never starts later silently.

use std::collections::BTreeMap;

use protocol::{Dataflow, Export, Import};
use repr::{CollectionId, ShardId, Timestamp};

use crate::controller::{Controller, Shared};
use crate::hold::{ReadHold, ReadHolds};
use crate::maintain::lagged;

/// A dataflow's as-of, and holds on its inputs to keep until it was created.
#[derive(Debug)]
pub struct Placed {
    pub as_of: Timestamp,
    pub holds: ReadHolds,
}

/// The dataflow cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AsOfError {
    #[error("input {0} does not exist")]
    UnknownInput(CollectionId),
    #[error("would have to resume at {as_of}, but its input {input} can be read only from {since} on")]
    InputTooNew { as_of: Timestamp, input: CollectionId, since: Timestamp },
}

/// What is known of one dataflow before as-ofs are chosen.
struct Inputs {
    holds: ReadHolds,
    /// The join of the sinces of all inputs that exist already.
    since: Timestamp,
    /// How far the inputs can be read.
    upper: Timestamp,
}

impl Controller {
    /// Chooses as-ofs for dataflows that are about to be created; their own `as_of` is not looked at.
    ///
    /// Precondition: dependency order, an importer after what it imports; imported indexes are among them or exist.
    /// The answers are in the order of the dataflows.
    pub fn choose_as_ofs(&self, dataflows: &[&Dataflow]) -> Vec<Result<Placed, AsOfError>> {
        let shared = &self.shared;
        let maker: BTreeMap<CollectionId, usize> = dataflows
            .iter()
            .enumerate()
            .flat_map(|(index, flow)| flow.exports.iter().map(move |export| (export.id(), index)))
            .collect();
        let mut inputs: Vec<Result<Inputs, AsOfError>> = Vec::with_capacity(dataflows.len());
        for flow in dataflows {
            let gathered = gather(shared, flow, &maker, &inputs);
            inputs.push(gathered);
        }
        let wanted = wanted(shared, dataflows, &maker, &inputs);
        let mut placed: Vec<Result<Placed, AsOfError>> = Vec::with_capacity(dataflows.len());
        for ((flow, inputs), wanted) in dataflows.iter().zip(inputs).zip(wanted) {
            let result = inputs.and_then(|inputs| place(flow, inputs, wanted, &maker, &placed));
            placed.push(result);
        }
        placed
    }
}

fn gather(
    shared: &Shared,
    flow: &Dataflow,
    maker: &BTreeMap<CollectionId, usize>,
    earlier: &[Result<Inputs, AsOfError>],
) -> Result<Inputs, AsOfError> {
    let mut inputs = Inputs { holds: ReadHolds::default(), since: Timestamp::MIN, upper: Timestamp::MAX };
    for import in &flow.imports {
        match import {
            Import::Shard { id, shard, .. } => {
                let hold = shared.durable.hold(*shard, None).map_err(|_| AsOfError::UnknownInput(*id))?;
                let upper = upper(shared, *shard);
                inputs.add(ReadHold::shard(*id, hold), upper);
            }
            Import::Index { index, .. } => match maker.get(index).and_then(|maker| earlier.get(*maker)) {
                Some(Ok(made)) => {
                    inputs.since = inputs.since.max(made.since);
                    inputs.upper = inputs.upper.min(made.upper);
                }
                Some(Err(_)) => return Err(AsOfError::UnknownInput(*index)),
                None => {
                    let hold = shared.index_holds.hold(*index, None);
                    let hold = hold.map_err(|_| AsOfError::UnknownInput(*index))?;
                    let upper = shared.state.lock().reachable(&*shared.durable, *index);
                    inputs.add(ReadHold::index(hold), upper);
                }
            },
        }
    }
    Ok(inputs)
}

impl Inputs {
    fn add(&mut self, hold: ReadHold, upper: Timestamp) {
        self.since = self.since.max(hold.at());
        self.upper = self.upper.min(upper);
        self.holds.insert(hold);
    }
}

fn upper(shared: &Shared, shard: ShardId) -> Timestamp {
    shared.durable.frontiers(shard).map_or(Timestamp::MIN, |frontiers| frontiers.upper)
}

/// Each dataflow's as-of if its inputs allow it; importers bound what they import.
fn wanted(
    shared: &Shared,
    dataflows: &[&Dataflow],
    maker: &BTreeMap<CollectionId, usize>,
    inputs: &[Result<Inputs, AsOfError>],
) -> Vec<Timestamp> {
    let now = shared.durable.now();
    let mut bounds = vec![Timestamp::MAX; dataflows.len()];
    let mut wanted = vec![Timestamp::MAX; dataflows.len()];
    for (index, flow) in dataflows.iter().enumerate().rev() {
        let Some(Ok(inputs)) = inputs.get(index) else { continue };
        let latest = lagged(inputs.upper, now).max(inputs.since);
        let of_export = |export: &Export| match export {
            Export::MaterializedView { shard, .. } => {
                let frontiers = shared.durable.frontiers(*shard);
                frontiers.map_or(latest, |frontiers| frontiers.since.max(frontiers.upper.step_back()))
            }
            Export::Index { .. } | Export::Subscribe { .. } => latest,
        };
        let own = flow.exports.iter().map(of_export).min().unwrap_or(latest);
        let as_of = own.min(bounds[index]);
        wanted[index] = as_of;
        for import in &flow.imports {
            if let Import::Index { index: imported, .. } = import
                && let Some(bound) = maker.get(imported).and_then(|maker| bounds.get_mut(*maker))
            {
                *bound = (*bound).min(as_of);
            }
        }
    }
    wanted
}

fn place(
    flow: &Dataflow,
    inputs: Inputs,
    wanted: Timestamp,
    maker: &BTreeMap<CollectionId, usize>,
    placed: &[Result<Placed, AsOfError>],
) -> Result<Placed, AsOfError> {
    let Inputs { mut holds, .. } = inputs;
    let mut since = holds.since();
    let mut newest = flow.imports.iter().map(input_id).find(|id| holds.since_of(*id) == Some(since));
    for import in &flow.imports {
        // A shard can be read from its since on, wherever the dataflow that writes it resumes.
        let Import::Index { index, .. } = import else { continue };
        match maker.get(index).and_then(|maker| placed.get(*maker)) {
            Some(Ok(made)) if made.as_of > since => {
                since = made.as_of;
                newest = Some(*index);
            }
            Some(Err(_)) => return Err(AsOfError::UnknownInput(*index)),
            _ => {}
        }
    }
    let resumes = flow.exports.iter().any(|export| matches!(export, Export::MaterializedView { .. }));
    if resumes
        && wanted < since
        && let Some(input) = newest
    {
        return Err(AsOfError::InputTooNew { as_of: wanted, input, since });
    }
    let as_of = wanted.max(since);
    holds.advance(as_of);
    Ok(Placed { as_of, holds })
}

fn input_id(import: &Import) -> CollectionId {
    match import {
        Import::Index { index, .. } => *index,
        Import::Shard { id, .. } => *id,
    }
}
