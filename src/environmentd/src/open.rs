//! From an open log to a running environment: the part of starting that has nothing to do with the machine.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use catalog::{CATALOG_SHARD, Catalog, Op};
use controller::{Controller, ControllerConfig, ReplicaLauncher};
use orchestrator::Secrets;
use persist::{Commit, CreateShard, LeaderHandle};
use stdx::{Rng, Shutdown, Task, Tasks};
use tokio::sync::watch;

use crate::boot::BootError;
use crate::committer::{Committer, TABLES};
use crate::environment::{Environment, Sessions};
use crate::oracle::Oracle;
use crate::realize::Realizer;
use crate::reconfigurations::Reconfigurations;
use crate::secrets::MissingValues;

/// The version that replicas must share.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What an environment needs from its surroundings.
pub(crate) struct Parts<'a> {
    pub(crate) tasks: Tasks,
    pub(crate) rng: Rng,
    pub(crate) leader: LeaderHandle,
    pub(crate) launcher: Arc<dyn ReplicaLauncher>,
    pub(crate) secrets: Secrets,
    /// Of the replica that a new log's catalog begins with.
    pub(crate) replica_size: &'a str,
}

/// Reads the catalog, builds everything it names, and starts the committer, whose task is returned.
pub(crate) async fn open(parts: Parts<'_>) -> Result<(Arc<Environment>, Task), BootError> {
    let Parts { tasks, rng, leader, launcher, secrets, replica_size } = parts;
    let catalog = load_catalog(&leader, replica_size).await?;
    let controller = Controller::new(ControllerConfig {
        tasks: tasks.clone(),
        rng: rng.clone(),
        durable: Arc::new(leader.clone()),
        launcher,
        version: VERSION.to_owned(),
    });
    leader.delegate_merges(Arc::new(controller.merge_helper()));
    let catalog = Arc::new(ArcSwap::from_pointee(catalog));
    let next_transient = Arc::new(AtomicU64::new(1));
    let oracle = Arc::new(Oracle::new(leader.floor()));
    let versions = watch::Sender::new(catalog.load().version());
    let heard = versions.subscribe();
    let realizer = Arc::new(Realizer {
        catalog: Arc::clone(&catalog),
        controller: controller.clone(),
        next_transient: Arc::clone(&next_transient),
        versions,
    });
    let (committer, task) = Committer::start(&tasks, leader.clone(), Arc::clone(&oracle), Arc::clone(&realizer) as _);
    let shutdown = Shutdown::new();
    let reconfigurations = Reconfigurations {
        tasks: tasks.clone(),
        catalog: Arc::clone(&catalog),
        versions: heard,
        controller: controller.clone(),
        committer: committer.clone(),
        shutdown: shutdown.clone(),
    };
    // Before it runs, the controller has what the catalog has.
    realizer.boot();
    let environment = Arc::new(Environment {
        started_wall_ms: tasks.clock().wall_ms(),
        rng,
        shutdown,
        leader,
        controller,
        catalog,
        oracle,
        committer,
        secrets,
        secrets_stored: AtomicU64::new(0),
        secrets_missing: MissingValues::default(),
        sessions: Sessions::default(),
        next_transient,
        _reconfiguring: tasks.spawn("reconfigurations", reconfigurations.clone().run()),
        reconfigurations,
        tasks,
    });
    let dropped = crate::sequence::temporary::drop_leftovers(&environment).await;
    dropped.map_err(|error| BootError::Data(format!("cannot drop what sessions have left: {error}")))?;
    crate::secrets::compare(&environment).await;
    Ok((environment, task))
}

/// Reads the catalog; a new log gets its first one.
async fn load_catalog(leader: &LeaderHandle, replica_size: &str) -> Result<Catalog, BootError> {
    let data = |error: &dyn std::fmt::Display| BootError::Data(format!("cannot read the catalog: {error}"));
    if !leader.is_shard(CATALOG_SHARD) {
        let known = catalog::REPLICA_SIZES.iter().any(|size| size.name == replica_size);
        if !known {
            return Err(BootError::Usage(format!("--bootstrap-replica-size: unknown size {replica_size:?}")));
        }
        let mut commit = Commit::tick(TABLES, leader.now().max(leader.speculative_group_upper(TABLES)));
        commit.creates = vec![CreateShard { shard: CATALOG_SHARD, group: Some(TABLES), scheduled: false }];
        commit.appends = vec![(CATALOG_SHARD, catalog::initial_updates(replica_size))];
        leader.commit(commit).await.map_err(|error| data(&error))?;
    }
    let at = leader.group_upper(TABLES).step_back();
    let rows = leader.snapshot(CATALOG_SHARD, at).await.map_err(|error| data(&error))?;
    let catalog = catalog::load(&rows, leader.catalog_version()).map_err(|error| data(&error))?;
    if !catalog.needs_services(leader.generation()) {
        return Ok(catalog);
    }
    let begin = catalog.transact(vec![Op::BeginGeneration(leader.generation())]);
    let begin = begin.map_err(|error| data(&error))?;
    let mut commit = Commit::tick(TABLES, leader.now().max(leader.speculative_group_upper(TABLES)));
    commit.catalog = Some(catalog.version());
    commit.appends = vec![(CATALOG_SHARD, begin.updates)];
    leader.commit(commit).await.map_err(|error| data(&error))?;
    Ok(begin.catalog)
}
