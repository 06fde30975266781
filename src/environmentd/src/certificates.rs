//! Who is who among this environment's processes: its own authority, whose roots are in the store of secrets, and the
//! certificate that environmentd itself shows.

use std::sync::Arc;
use std::time::Duration;

use orchestrator::authority::{Authority, Credentials, Names, RENEWAL};
use orchestrator::{OrchestratorError, Secrets, ServiceIssuer};
use protocol::tls::{HOST, Identity, Pem, Tls, TlsError};
use stdx::{Task, Tasks};
use tracing::{info, warn};

use crate::boot::BootError;

/// How often it is looked whether something is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// The authority, and what environmentd shows, kept up to date as long as this lives.
pub(crate) struct Certificates {
    authority: Arc<Authority>,
    environment_id: String,
    tls: Tls,
    _keep: Task,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] OrchestratorError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Certificates {
    /// Takes up the environment's authority, or begins it. Only who leads the log may do so.
    pub(crate) async fn open(
        tasks: &Tasks,
        secrets: &Secrets,
        environment_id: &str,
    ) -> Result<Certificates, BootError> {
        let cannot = |error: Failure| BootError::Data(format!("cannot prepare certificates: {error}"));
        let identity = Identity::environmentd(environment_id);
        let open = async {
            let authority = Authority::open(Arc::clone(tasks.clock()), secrets.clone()).await?;
            // A root may have been due for long.
            authority.turn().await?;
            let tls = Tls::new(tasks.clone(), issue(&authority, &identity)?)?;
            Ok((Arc::new(authority), tls))
        };
        let (authority, tls) = open.await.map_err(cannot)?;
        let keep = keep(Arc::clone(&authority), identity, tls.clone(), tasks.clone());
        let keep = tasks.spawn("keep certificates", keep);
        Ok(Certificates { authority, environment_id: environment_id.to_owned(), tls, _keep: keep })
    }

    /// What environmentd shows, and whom it believes.
    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// What gives the services of this environment their certificates.
    pub(crate) fn issuer(&self) -> ServiceIssuer {
        let environment_id = self.environment_id.clone();
        ServiceIssuer {
            authority: Arc::clone(&self.authority),
            names: Arc::new(move |service| names(&Identity::clusterd(&environment_id, service))),
        }
    }
}

fn names(identity: &Identity) -> Names {
    Names { dns: HOST.to_owned(), uri: identity.to_string() }
}

fn issue(authority: &Authority, identity: &Identity) -> Result<Pem, Failure> {
    let Credentials { certificate, key, authorities } = authority.issue(&names(identity))?;
    Ok(Pem { certificates: certificate, key, authorities })
}

/// Replaces what is due, for ever. What fails is tried again; there are hours left.
async fn keep(authority: Arc<Authority>, identity: Identity, tls: Tls, tasks: Tasks) {
    let mut issued = tasks.clock().boot();
    let mut told = String::new();
    loop {
        tasks.sleep(LOOK_INTERVAL).await;
        let due = tasks.clock().boot() >= issued + RENEWAL;
        match renew(&authority, &identity, &tls, due).await {
            Ok(renewed) => {
                told.clear();
                if renewed {
                    issued = tasks.clock().boot();
                    info!("environmentd's certificate is renewed");
                }
            }
            Err(error) => {
                let text = error.to_string();
                if text != told {
                    warn!(%error, "cannot renew certificates; trying again");
                    told = text;
                }
            }
        }
    }
}

/// True if there is a new certificate: since it was due, or since a root has come or gone.
async fn renew(authority: &Authority, identity: &Identity, tls: &Tls, due: bool) -> Result<bool, Failure> {
    if !authority.turn().await? && !due {
        return Ok(false);
    }
    Ok(tls.replace(issue(authority, identity)?)?)
}

#[cfg(test)]
mod tests;
