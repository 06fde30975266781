//! Where secrets are kept, beside the services that use them: never in the catalog, in logs or in errors.
//!
//! A store belongs to one environment. Whoever keeps a secret names it by what does not change (an id of the catalog), stores
//! it before anything refers to it, and deletes it after nothing does.
//!
//! Reading order: the traits here, `local_file`, `memory`, `kubernetes::secrets`.

mod local_file;
mod memory;

pub use local_file::LocalFileSecrets;
pub use memory::MemorySecrets;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use stdx::Redacted;

use crate::kubernetes::contract::check_dns_label;
use crate::orchestrator::OrchestratorError;

/// What a DNS label may have.
const NAME_LENGTH_MAX: usize = 63;

/// Names are lowercase DNS labels, such as `user-u12` or `internal-ca`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName(String);

impl SecretName {
    /// Errors: it is no DNS label.
    pub fn new(name: impl Into<String>) -> Result<SecretName, OrchestratorError> {
        let name = name.into();
        check_dns_label("secret name", &name, NAME_LENGTH_MAX)?;
        Ok(SecretName(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keeps secrets.
///
/// Cancel safety: a call that is dropped may have had its effect, whole, or not.
#[async_trait]
pub trait SecretsController: Send + Sync {
    /// Stores a secret, durably, in place of what had its name. Whoever reads meanwhile sees either.
    async fn ensure(&self, name: &SecretName, contents: Redacted<Vec<u8>>) -> Result<(), OrchestratorError>;

    /// Forgets a secret. Idempotent.
    async fn delete(&self, name: &SecretName) -> Result<(), OrchestratorError>;

    /// The names of all secrets that were stored and not deleted.
    async fn list(&self) -> Result<BTreeSet<SecretName>, OrchestratorError>;
}

/// Reads secrets.
#[async_trait]
pub trait SecretsReader: Send + Sync {
    /// What was stored last under a name. None: nothing, or it was deleted.
    async fn read(&self, name: &SecretName) -> Result<Option<Redacted<Vec<u8>>>, OrchestratorError>;
}

/// One store, as its two kinds of users see it.
#[derive(Clone)]
pub struct Secrets {
    pub controller: Arc<dyn SecretsController>,
    pub reader: Arc<dyn SecretsReader>,
}

impl Secrets {
    pub fn of(store: impl SecretsController + SecretsReader + 'static) -> Secrets {
        let store = Arc::new(store);
        Secrets { controller: Arc::clone(&store) as Arc<dyn SecretsController>, reader: store }
    }
}
