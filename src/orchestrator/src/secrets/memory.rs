//! Secrets of an environment that lives inside another program, as long as that does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use stdx::Redacted;

use super::{SecretName, SecretsController, SecretsReader};
use crate::orchestrator::OrchestratorError;

/// Keeps secrets in memory; clones share them.
#[derive(Clone, Default)]
pub struct MemorySecrets {
    contents: Arc<Mutex<BTreeMap<SecretName, Redacted<Vec<u8>>>>>,
}

#[async_trait]
impl SecretsController for MemorySecrets {
    async fn ensure(&self, name: &SecretName, contents: Redacted<Vec<u8>>) -> Result<(), OrchestratorError> {
        self.contents.lock().insert(name.clone(), contents);
        Ok(())
    }

    async fn delete(&self, name: &SecretName) -> Result<(), OrchestratorError> {
        self.contents.lock().remove(name);
        Ok(())
    }

    async fn list(&self) -> Result<BTreeSet<SecretName>, OrchestratorError> {
        Ok(self.contents.lock().keys().cloned().collect())
    }
}

#[async_trait]
impl SecretsReader for MemorySecrets {
    async fn read(&self, name: &SecretName) -> Result<Option<Redacted<Vec<u8>>>, OrchestratorError> {
        Ok(self.contents.lock().get(name).cloned())
    }
}
