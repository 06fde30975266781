//! Timestamp selection: at which time a read sees its inputs.

use std::time::Duration;

use controller::ReadHolds;
use repr::{CollectionId, Timestamp};
use sql::plan::When;

use crate::committer::TABLES;
use crate::environment::Environment;
use crate::error::Error;

/// How far ahead of the clock a read may be answered; beyond it the reader waits for the clock.
pub(super) const AHEAD_MAX: Duration = Duration::from_secs(1);

/// A chosen time and what it was chosen from, for EXPLAIN TIMESTAMP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    pub(crate) at: Timestamp,
    /// The greatest since of the inputs.
    pub(crate) since: Timestamp,
    /// The least upper of the inputs.
    pub(crate) upper: Timestamp,
    pub(crate) read_ts: Timestamp,
    pub(crate) now: Timestamp,
}

/// Chooses the time of a read of `inputs`, which `holds` keeps readable.
///
/// `lower` is the join of the inputs' sinces, `fresh` what can be read without waiting, by inputs that still change; where
/// none does, the tables' group stands in, so that a durable upper above the answer's time always exists.
/// Errors: 22000 when AS OF names a time below what is readable.
pub(crate) async fn choose(
    environment: &Environment,
    strict: bool,
    when: &When,
    inputs: &[CollectionId],
    holds: &ReadHolds,
) -> Result<Chosen, Error> {
    let since = holds.since();
    let mut upper = Timestamp::MAX;
    for id in inputs {
        if let Some(frontiers) = environment.controller.frontiers(*id) {
            upper = upper.min(frontiers.upper);
        }
    }
    let live_upper = if upper == Timestamp::MAX { environment.leader.group_upper(TABLES) } else { upper };
    let now = environment.leader.now();
    let fresh = live_upper.step_back().min(now);
    let read_ts = environment.oracle.read_ts();
    let at = match when {
        When::Immediately if strict => since.max(read_ts).max(fresh),
        When::Immediately => since.max(fresh),
        When::At(at) if *at < since => {
            return Err(Error::new("22000", format!("timestamp ({at}) is not valid for all inputs"))
                .with_detail(format!("the inputs can be read from {since} on")));
        }
        When::At(at) => *at,
        When::AtLeast(at) => since.max(fresh).max(*at),
    };
    wait_for_clock(environment, at).await;
    if strict && *when == When::Immediately {
        environment.leader.ensure_lease().await.map_err(|error| Error::fatal("57P01", error.to_string()))?;
        environment.oracle.advance(at);
    }
    if environment.leader.group_upper(TABLES) <= at {
        environment.committer.tick(at);
    }
    Ok(Chosen { at, since, upper, read_ts, now })
}

/// Reads ahead of the clock wait, so that no answer pushes the timeline into the future.
async fn wait_for_clock(environment: &Environment, at: Timestamp) {
    loop {
        let ahead = at.since(environment.leader.now());
        if ahead <= AHEAD_MAX {
            return;
        }
        environment.tasks.sleep((ahead - AHEAD_MAX).min(Duration::from_secs(1))).await;
    }
}
