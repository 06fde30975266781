//! Certificates in files, which somebody else replaces from time to time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stdx::{Redacted, Tasks};

use super::{Pem, Tls, TlsError};

/// How often the files are looked at. A replacement comes hours before what it replaces expires.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Where a process finds its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificates: PathBuf,
    pub key: PathBuf,
    pub authorities: PathBuf,
}

impl TlsFiles {
    /// Errors: a file that cannot be read.
    pub fn read(&self) -> Result<Pem, TlsError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|source| TlsError::Unreadable { path: path.display().to_string(), source })
        };
        let (certificates, authorities) = (read(&self.certificates)?, read(&self.authorities)?);
        Ok(Pem { certificates, key: Redacted::new(read(&self.key)?), authorities })
    }

    /// Uses what the files have become, for ever. What does not fit together (they may be read while they are replaced) is
    /// looked at again.
    pub async fn follow(self, tls: Tls, tasks: Tasks) {
        let mut told = String::new();
        loop {
            tasks.sleep(LOOK_INTERVAL).await;
            match self.read().and_then(|pem| tls.replace(pem)) {
                Ok(replaced) => {
                    told.clear();
                    if replaced {
                        tracing::info!(identity = %tls.identity(), "new certificates are in use");
                    }
                }
                Err(error) => {
                    let text = error.to_string();
                    if text != told {
                        tracing::warn!(%error, "cannot use the certificates in the files; the former ones stay in use");
                        told = text;
                    }
                }
            }
        }
    }
}
