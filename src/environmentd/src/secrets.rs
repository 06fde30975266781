//! The store of secrets, and how it is made to agree with the catalog.
//!
//! A secret of the catalog is stored before the catalog names it and deleted after the catalog has forgotten it, so whatever
//! is interrupted leaves at most one too many: those are swept when an environment starts.

use std::collections::BTreeSet;
use std::path::Path;

use orchestrator::{KubernetesSecrets, LocalFileSecrets, OrchestratorError, SecretName, Secrets};
use stdx::Tasks;
use tracing::{info, warn};

use crate::args::{Args, SecretsControllerKind};
use crate::boot::BootError;
use crate::environment::Environment;

/// What begins the names of the catalog's secrets. Others, such as `internal-ca`, are never swept.
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

/// Deletes the secrets that the catalog does not name. A store that does not answer is no reason not to start: what is left
/// does no harm, and is found again.
pub(crate) async fn compare(environment: &Environment) {
    let named: BTreeSet<SecretName> = BTreeSet::new();
    let controller = &environment.secrets.controller;
    let stored = match controller.list().await {
        Ok(stored) => stored,
        Err(error) => {
            warn!(%error, "cannot list the secrets; those that nothing names are left");
            return;
        }
    };
    for orphan in
        stored.iter().filter(|name| name.as_str().starts_with(USER_PREFIX)).filter(|name| !named.contains(*name))
    {
        match controller.delete(orphan).await {
            Ok(()) => info!(secret = %orphan, "deleted a secret that nothing names"),
            Err(error) => warn!(secret = %orphan, %error, "cannot delete a secret that nothing names"),
        }
    }
}
