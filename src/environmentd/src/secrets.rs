//! The store of secrets, and how it is made to agree with the catalog.
//!
//! The value of a secret is stored before the catalog names it and deleted after the catalog has forgotten it, so whatever is
//! interrupted leaves at most one too many: those are swept when an environment starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;

use catalog::{Catalog, Transacted};
use orchestrator::{KubernetesSecrets, LocalFileSecrets, OrchestratorError, SecretName, Secrets};
use parking_lot::Mutex;
use repr::CollectionId;
use sql::FullName;
use sql::catalog_view::SecretVersion;
use stdx::{Redacted, Tasks};
use tracing::{info, warn};

use crate::args::{Args, SecretsControllerKind};
use crate::boot::BootError;
use crate::committer::SubmitError;
use crate::environment::Environment;
use crate::error::Error;

/// What begins the names of the values of the catalog's secrets. Others, such as `internal-ca`, are never swept.
const USER_PREFIX: &str = "user-";

/// Opens the store that the flags name.
pub(crate) async fn open(
    args: &Args,
    tasks: &Tasks,
    data_dir: &Path,
    environment_id: String,
) -> Result<Secrets, BootError> {
    let cannot = |error: OrchestratorError| BootError::Data(format!("cannot open the store of secrets: {error}"));
    let tasks = tasks.clone();
    Ok(match args.secrets_controller() {
        SecretsControllerKind::LocalFile => {
            Secrets::of(LocalFileSecrets::open(tasks, data_dir.join("secrets")).map_err(cannot)?)
        }
        SecretsControllerKind::Kubernetes => {
            let config = args.kubernetes.config(environment_id);
            Secrets::of(KubernetesSecrets::connect(tasks, &config).await.map_err(cannot)?)
        }
    })
}

/// The version of the next value that this process stores. No other value, of whatever leader, has it.
pub(crate) fn next_version(environment: &Environment) -> SecretVersion {
    let count = environment.secrets_stored.fetch_add(1, Ordering::Relaxed);
    SecretVersion { epoch: environment.leader.epoch(), count }
}

/// Under which name the store has the value of a secret: `user-u12-7-0` is that of the secret `u12` which the leader of epoch
/// 7 stored first. A value is never stored in the place of another, so that whoever reads by the catalog finds the value that
/// the catalog means, and a leader that does not know yet that it is fenced cannot change it.
fn stored_name(id: CollectionId, version: SecretVersion) -> SecretName {
    SecretName::new(format!("{USER_PREFIX}{id}-{version}")).expect("ids and numbers make DNS labels")
}

/// The epoch in a name that [`stored_name`] made.
fn epoch_of(name: &SecretName) -> Option<u64> {
    let mut parts = name.as_str().strip_prefix(USER_PREFIX)?.rsplitn(3, '-').skip(1);
    parts.next()?.parse().ok()
}

/// What the catalog names in the store, each with the secret that it is the value of.
fn named(catalog: &Catalog) -> BTreeMap<SecretName, FullName> {
    catalog.secrets().map(|(item, version)| (stored_name(item.id, version), item.name.clone())).collect()
}

/// Commits a change of the catalog that was computed on `before`, and keeps the store in agreement: the value that the change
/// brings is stored before, those that no secret has any more are deleted after.
///
/// Cancel safety: dropped, the store may be left with a value too many, which the next start sweeps.
pub(crate) async fn commit(
    environment: &Environment,
    before: &Catalog,
    transacted: Transacted,
    contents: Option<&Redacted<Vec<u8>>>,
) -> Result<(), SubmitError> {
    let (old, new) = (named(before), named(&transacted.catalog));
    let added: Vec<&SecretName> = new.keys().filter(|name| !old.contains_key(name)).collect();
    for name in &added {
        let contents = contents.expect("a statement that changes a secret has its value").clone();
        let stored = environment.secrets.controller.ensure(name, contents).await;
        stored.map_err(|error| SubmitError::Failed(cannot_store(&error)))?;
    }
    let outcome = environment.committer.ddl(before.version(), transacted).await;
    match &outcome {
        Ok(_) => {
            for name in old.keys().filter(|name| !new.contains_key(name)) {
                delete(environment, name).await;
            }
        }
        Err(SubmitError::Stale | SubmitError::Conflict) => {
            for name in added {
                delete(environment, name).await;
            }
        }
        // Whether it was committed may be unknown. The next start knows.
        Err(SubmitError::Failed(_)) => {}
    }
    outcome.map(drop)
}

fn cannot_store(error: &OrchestratorError) -> Error {
    Error::new("58030", format!("cannot store the secret: {error}")).with_hint("Nothing was changed.")
}

/// What cannot be deleted now is swept when the environment starts again.
async fn delete(environment: &Environment, name: &SecretName) {
    match environment.secrets.controller.delete(name).await {
        Ok(()) => info!(secret = %name, "deleted a value that no secret has"),
        Err(error) => warn!(secret = %name, %error, "cannot delete a value that no secret has"),
    }
}

/// The secrets whose values were not in the store when this environment was opened, and have not been given others since.
#[derive(Default)]
pub(crate) struct MissingValues(Mutex<BTreeSet<(CollectionId, SecretVersion)>>);

impl MissingValues {
    /// Those of them that `catalog` still has.
    pub(crate) fn of(&self, catalog: &Catalog) -> BTreeSet<CollectionId> {
        let missing = self.0.lock();
        let secrets = catalog.secrets().map(|(item, version)| (item.id, version));
        secrets.filter(|secret| missing.contains(secret)).map(|(id, _)| id).collect()
    }
}

/// Makes the store agree with the catalog when an environment starts: deletes what earlier leaders have left, and tells of
/// secrets without a value, as there are after a restore. A store that does not answer is no reason not to start: what is
/// left does no harm, and is found again.
///
/// Values of a later leader stay: this one may be fenced, and not know of them.
pub(crate) async fn compare(environment: &Environment) {
    let catalog = environment.catalog();
    let named = named(&catalog);
    let stored = match environment.secrets.controller.list().await {
        Ok(stored) => stored,
        Err(error) => {
            warn!(%error, "cannot list the secrets; values that no secret has are left");
            return;
        }
    };
    for (item, version) in catalog.secrets() {
        let name = stored_name(item.id, version);
        if !stored.contains(&name) {
            warn!(secret = %item.name, %name, "a secret has no value in the store; ALTER SECRET ... AS gives it one");
            environment.secrets_missing.0.lock().insert((item.id, version));
        }
    }
    let epoch = environment.leader.epoch();
    let orphans = stored.iter().filter(|name| !named.contains_key(*name));
    for orphan in orphans.filter(|name| epoch_of(name).is_some_and(|of| of < epoch)) {
        delete(environment, orphan).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_whose_they_are() {
        let version = SecretVersion { epoch: 7, count: 0 };
        let name = stored_name(CollectionId::User(12), version);
        assert_eq!(name.as_str(), "user-u12-7-0");
        assert_eq!(epoch_of(&name), Some(7));
        for other in ["internal-ca", "internal-ca-1-2", "user-u12", "user-x"] {
            assert_eq!(epoch_of(&SecretName::new(other).expect("a name")), None, "{other}");
        }
    }
}
