//! Secrets as files of a directory that its owner alone can enter.
//!
//! A secret is one file of mode 0600 in a directory of mode 0700. It is replaced in one step: written beside, synced, renamed,
//! and the directory synced, so that a power cut leaves the old contents or the new ones.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use stdx::{Redacted, Tasks};

use super::{SecretName, SecretsController, SecretsReader};
use crate::orchestrator::OrchestratorError;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// What is being written. No secret has this name: it is no DNS label.
const UNFINISHED: &str = ".unfinished";

/// Keeps secrets in a directory, which belongs to one environment at a time.
pub struct LocalFileSecrets {
    tasks: Tasks,
    directory: Arc<Directory>,
}

struct Directory {
    path: PathBuf,
    /// Held by whoever changes the directory, for there is one unfinished file at most.
    changing: Mutex<()>,
}

impl LocalFileSecrets {
    /// Makes the directory if there is none, and closes it to others if they could enter it. Errors: neither can be done.
    pub fn open(tasks: Tasks, path: PathBuf) -> Result<LocalFileSecrets, OrchestratorError> {
        prepare(&path).map_err(|source| failed("use the directory of secrets", &path, source))?;
        Ok(LocalFileSecrets { tasks, directory: Arc::new(Directory { path, changing: Mutex::default() }) })
    }

    /// Does work on the directory where it may block.
    async fn work<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Directory) -> io::Result<T> + Send + 'static,
    ) -> Result<T, OrchestratorError> {
        let directory = Arc::clone(&self.directory);
        let done = self.tasks.spawn_blocking("orchestrator: secrets", move || work(&directory)).await;
        done.map_err(|source| failed(what, &self.directory.path, source))
    }
}

fn failed(what: &str, path: &Path, source: io::Error) -> OrchestratorError {
    OrchestratorError::Io { context: format!("cannot {what} {}", path.display()), source }
}

fn prepare(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => {
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        // A link would lead to where somebody else decides what is there.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.symlink_metadata()?.is_dir() => {}
        Err(error) => return Err(error),
    }
    if path.metadata()?.permissions().mode() & 0o777 != DIRECTORY_MODE {
        std::fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE))?;
    }
    remove(&path.join(UNFINISHED))
}

/// Gone already is as good.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Directory {
    fn replace(&self, name: &SecretName, contents: &[u8]) -> io::Result<()> {
        let _changing = self.changing.lock();
        let unfinished = self.path.join(UNFINISHED);
        remove(&unfinished)?;
        let written =
            File::options().write(true).create_new(true).mode(FILE_MODE).open(&unfinished).and_then(|mut file| {
                file.write_all(contents)?;
                file.sync_all()?;
                std::fs::rename(&unfinished, self.path.join(name.as_str()))
            });
        if written.is_err() {
            // What went wrong is told; that half of a secret lies about as well would not help anybody.
            let _ = remove(&unfinished);
        }
        written?;
        File::open(&self.path)?.sync_all()
    }

    fn delete(&self, name: &SecretName) -> io::Result<()> {
        let _changing = self.changing.lock();
        remove(&self.path.join(name.as_str()))?;
        File::open(&self.path)?.sync_all()
    }

    fn list(&self) -> io::Result<BTreeSet<SecretName>> {
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(&self.path)? {
            // What is no name of a secret was put there by somebody else.
            names.extend(entry?.file_name().to_str().and_then(|name| SecretName::new(name).ok()));
        }
        Ok(names)
    }

    fn read(&self, name: &SecretName) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.path.join(name.as_str())) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            contents => contents.map(Some),
        }
    }
}

#[async_trait]
impl SecretsController for LocalFileSecrets {
    async fn ensure(&self, name: &SecretName, contents: Redacted<Vec<u8>>) -> Result<(), OrchestratorError> {
        let name = name.clone();
        self.work("store a secret in", move |directory| directory.replace(&name, contents.expose())).await
    }

    async fn delete(&self, name: &SecretName) -> Result<(), OrchestratorError> {
        let name = name.clone();
        self.work("delete a secret in", move |directory| directory.delete(&name)).await
    }

    async fn list(&self) -> Result<BTreeSet<SecretName>, OrchestratorError> {
        self.work("list the secrets in", Directory::list).await
    }
}

#[async_trait]
impl SecretsReader for LocalFileSecrets {
    async fn read(&self, name: &SecretName) -> Result<Option<Redacted<Vec<u8>>>, OrchestratorError> {
        let name = name.clone();
        Ok(self.work("read a secret in", move |directory| directory.read(&name)).await?.map(Redacted::new))
    }
}
