//! Searches the blob store for parts that nobody names: of writers that crashed or lost, and of former leaders.
//!
//! The order is what makes it safe. First the store is listed; then a heartbeat is committed, which a leader that was fenced
//! without knowing does not get past; then it is asked what is named. A part that is named later than that is younger than the
//! age that orphans have, for appends with an older ticket are refused (see `write`), and merges in progress are known.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures::StreamExt;
use object_store::path::Path;
use repr::Timestamp;
use tracing::{info, warn};

use crate::blob::{BlobError, PART_DIRECTORY, Ticket, delete_part};
use crate::leader::core::{Core, Shared, hollow_keys};
use crate::leader::handle::refused;
use crate::leader::staged::sweep;
use crate::location::BlobUrl;
use crate::op::Txn;
use crate::shards::AppendError;

/// What a search found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    pub listed: usize,
    pub deleted: usize,
    pub deleted_bytes: u64,
}

pub(crate) async fn run(shared: Arc<Shared>) {
    // Those who start anew more often than once a day collect as well.
    let mut wait = shared.settings.former_age.min(shared.settings.collect_every);
    loop {
        shared.tasks.sleep(wait).await;
        wait = shared.settings.collect_every;
        if shared.halt.borrow().is_some() {
            return;
        }
        sweep_unfinished(&shared).await;
        match collect(&shared).await {
            Ok(Collected { listed, deleted, deleted_bytes }) => {
                info!(listed, deleted, deleted_bytes, "searched the blob store for parts that nobody names");
            }
            Err(error) => warn!(%error, "searching the blob store for parts that nobody names failed"),
        }
    }
}

/// Of a directory, also what the store does not list.
async fn sweep_unfinished(shared: &Shared) {
    let url = shared.settings.blob_url.as_ref().and_then(|url| url.parse::<BlobUrl>().ok());
    let Some(directory) = url.as_ref().and_then(BlobUrl::directory) else { return };
    let directory = directory.join(PART_DIRECTORY);
    let age_ms = shared.settings.orphan_age_ms;
    let limit = UNIX_EPOCH + Duration::from_millis(shared.tasks.clock().wall_ms().saturating_sub(age_ms));
    match shared.tasks.spawn_blocking("persist-sweep-unfinished", move || sweep(&directory, limit)).await {
        Ok(0) => {}
        Ok(files) => info!(files, "deleted the beginnings of files that crashed writers have left"),
        Err(error) => warn!(%error, "searching for unfinished files failed"),
    }
}

struct Found {
    key: String,
    ticket: Ticket,
    bytes: u64,
}

pub(crate) async fn collect(shared: &Shared) -> Result<Collected, AppendError> {
    let found = list(shared).await?;
    shared.submit(Txn::default()).await.map_err(refused)?;
    let mut collected = Collected { listed: found.len(), ..Collected::default() };
    let doomed = choose(shared, &shared.core.lock(), found);
    for Found { key, bytes, .. } in doomed {
        delete_part(&shared.store.blob, &key).await?;
        collected.deleted += 1;
        collected.deleted_bytes += bytes;
    }
    Ok(collected)
}

/// Whatever is not named as this crate names parts belongs to somebody else.
async fn list(shared: &Shared) -> Result<Vec<Found>, BlobError> {
    let prefix = Path::from(PART_DIRECTORY);
    let mut listing = shared.store.blob.list(Some(&prefix));
    let mut found = Vec::new();
    while let Some(object) = listing.next().await {
        let object = object.map_err(|error| BlobError::of(PART_DIRECTORY, &error))?;
        let key = object.location.to_string();
        found.extend(Ticket::of_key(&key).map(|ticket| Found { key, ticket, bytes: object.size }));
    }
    Ok(found)
}

fn choose(shared: &Shared, core: &Core, found: Vec<Found>) -> Vec<Found> {
    let states = [&core.durable, &core.speculative];
    let shards = states.into_iter().flat_map(|state| state.shards.values());
    let named = shards.flat_map(|shard| shard.batches.iter()).flat_map(hollow_keys);
    let delayed = core.delayed.iter().flat_map(|delayed| delayed.keys.iter().cloned());
    let named: BTreeSet<String> = named.chain(delayed).collect();
    let now = shared.timeline.now();
    let oldest_merge = core.plans.oldest_merge().unwrap_or(Timestamp::MAX);
    // What was replaced under a former leader may be named by a backup in progress, and was shown to readers.
    let former_may_go = core.durable.pins.is_empty() && shared.boot() >= shared.opened_at + shared.settings.former_age;
    let is_doomed = |found: &Found| {
        let Ticket { millis, epoch } = found.ticket;
        let is_old = millis.saturating_add(shared.settings.orphan_age_ms) < now.millis();
        let is_ours = epoch == shared.epoch && millis < oldest_merge.millis();
        is_old && (is_ours || (epoch < shared.epoch && former_may_go)) && !named.contains(&found.key)
    };
    found.into_iter().filter(is_doomed).collect()
}
