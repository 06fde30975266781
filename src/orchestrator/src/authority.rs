//! The environment's own certificate authority: it says who is who among the environment's processes, and nobody else's.
//!
//! A certificate it issues lives for [`LIFETIME`] and is renewed after [`RENEWAL`]. Its root is replaced every [`ROOT_PERIOD`],
//! in three steps, each [`OVERLAP`] after the one before, which is longer than a certificate lives:
//!
//! ```text
//! day      0                        90          92          94
//! root 1   signs, trusted ........................ trusted .. gone
//! root 2                            trusted .... signs ..............
//! ```
//!
//! So every process trusts a root before one shows a certificate of it, and none shows a certificate of a root that is gone.
//! The steps follow from the clock and from when each root was made, which is stored with it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use serde::{Deserialize, Serialize};
use stdx::{Clock, Redacted};

use crate::orchestrator::OrchestratorError;
use crate::secrets::{SecretName, Secrets};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a certificate is good for.
pub const LIFETIME: Duration = DAY;
/// How old a certificate is when another takes its place.
pub const RENEWAL: Duration = Duration::from_secs(8 * 3600);
/// How old a root is when the next one is made.
pub const ROOT_PERIOD: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long a new root is trusted before it signs, and an old one after it does no more.
pub const OVERLAP: Duration = Duration::from_secs(2 * 24 * 3600);

/// What a root's certificate says; it is gone long before.
const ROOT_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// How far the clocks of processes may be behind.
const SKEW: Duration = HOUR;

/// What the roots are stored as.
const SECRET: &str = "internal-ca";

/// An authority whose roots are kept in a store of secrets.
pub struct Authority {
    clock: Arc<dyn Clock>,
    secrets: Secrets,
    roots: RwLock<Arc<Roots>>,
}

/// The roots of an authority, oldest first; at least one. This is what is stored.
#[derive(Clone, Serialize, Deserialize)]
pub struct Roots {
    roots: Vec<Root>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Root {
    /// Since the Unix epoch.
    created: Duration,
    certificate_pem: String,
    key_pem: String,
}

/// Whom a certificate is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub dns: String,
    pub uri: String,
}

/// What a process shows to others and knows them by, each as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub certificate: String,
    pub key: Redacted<String>,
    /// All roots that are trusted.
    pub authorities: String,
}

fn failed(what: &str) -> impl Fn(rcgen::Error) -> OrchestratorError {
    // Errors of rcgen name the step that failed, and nothing of a key.
    move |error| OrchestratorError::Refused(format!("cannot make {what}: {error}"))
}

impl Authority {
    /// Takes up what is stored; if nothing is, begins. Only one process of an environment may do so at a time.
    pub async fn open(clock: Arc<dyn Clock>, secrets: Secrets) -> Result<Authority, OrchestratorError> {
        let stored = secrets.reader.read(&secret_name()).await?;
        let roots = match &stored {
            Some(bytes) => Roots::of_bytes(bytes)?,
            None => Roots::new(clock.wall())?,
        };
        if stored.is_none() {
            // Before anything is signed, or what is would be worth nothing at the next start.
            secrets.controller.ensure(&secret_name(), roots.to_bytes()).await?;
        }
        Ok(Authority { clock, secrets, roots: RwLock::new(Arc::new(roots)) })
    }

    /// Takes the next step in replacing the root, if it is time; true if it was. Cancel safety: a step that is not finished is
    /// taken again.
    pub async fn turn(&self) -> Result<bool, OrchestratorError> {
        let Some(turned) = self.roots().turned(self.clock.wall())? else { return Ok(false) };
        self.secrets.controller.ensure(&secret_name(), turned.to_bytes()).await?;
        *self.roots.write() = Arc::new(turned);
        Ok(true)
    }

    /// Makes a certificate and its key.
    pub fn issue(&self, names: &Names) -> Result<Credentials, OrchestratorError> {
        self.roots().issue(names, self.clock.wall())
    }

    /// The certificates of all roots that are trusted, as PEM.
    pub fn authorities(&self) -> String {
        self.roots().authorities()
    }

    /// The time since the Unix epoch, by the clock that certificates go by.
    pub(crate) fn now(&self) -> Duration {
        self.clock.wall()
    }

    fn roots(&self) -> Arc<Roots> {
        Arc::clone(&self.roots.read())
    }
}

fn secret_name() -> SecretName {
    SecretName::new(SECRET).expect("it is a DNS label")
}

impl Roots {
    /// A new authority's. `now`: since the Unix epoch.
    pub fn new(now: Duration) -> Result<Roots, OrchestratorError> {
        Ok(Roots { roots: vec![Root::new(now)?] })
    }

    /// Errors: these are no roots. They say nothing of what is there instead.
    pub fn of_bytes(bytes: &Redacted<Vec<u8>>) -> Result<Roots, OrchestratorError> {
        let roots = serde_json::from_slice::<Roots>(bytes.expose()).ok().filter(|roots| !roots.roots.is_empty());
        roots.ok_or_else(|| OrchestratorError::Refused("the stored certificate authority cannot be read".to_owned()))
    }

    pub fn to_bytes(&self) -> Redacted<Vec<u8>> {
        Redacted::new(serde_json::to_vec(self).expect("texts and times have a form in JSON"))
    }

    /// The roots as they are to be at `now`; None: as they are.
    pub fn turned(&self, now: Duration) -> Result<Option<Roots>, OrchestratorError> {
        let mut roots = self.roots.clone();
        // The successor has been signing for so long that nothing of the root is left.
        let superseded = roots.iter().skip(1).filter(|next| next.created + OVERLAP + OVERLAP <= now).count();
        roots.drain(..superseded);
        let newest = roots.last().expect("the newest root has no successor");
        if newest.created + ROOT_PERIOD <= now {
            roots.push(Root::new(now)?);
        }
        let same = superseded == 0 && roots.len() == self.roots.len();
        Ok((!same).then_some(Roots { roots }))
    }

    /// Makes a certificate and its key.
    pub fn issue(&self, names: &Names, now: Duration) -> Result<Credentials, OrchestratorError> {
        let what = format!("a certificate for {}", names.uri);
        let failed = failed(&what);
        let root = self.signing(now);
        let root_key = KeyPair::from_pem(&root.key_pem).map_err(&failed)?;
        let issuer = Issuer::from_ca_cert_pem(&root.certificate_pem, root_key).map_err(&failed)?;
        let mut params = params(&names.dns, now, LIFETIME).map_err(&failed)?;
        let text = |text: &str| Ia5String::try_from(text.to_owned());
        params.subject_alt_names = vec![
            SanType::DnsName(text(&names.dns).map_err(&failed)?),
            SanType::URI(text(&names.uri).map_err(&failed)?),
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().map_err(&failed)?;
        let certificate = params.signed_by(&key, &issuer).map_err(&failed)?;
        Ok(Credentials {
            certificate: certificate.pem(),
            key: Redacted::new(key.serialize_pem()),
            authorities: self.authorities(),
        })
    }

    /// The certificates of all roots that are trusted, as PEM.
    pub fn authorities(&self) -> String {
        self.roots.iter().map(|root| root.certificate_pem.as_str()).collect()
    }

    /// The newest root that everybody knows by now. One that is no longer valid itself is none: after so long a pause nobody
    /// has a certificate that is.
    fn signing(&self, now: Duration) -> &Root {
        let known = |root: &&Root| root.created + OVERLAP <= now && now < root.created + ROOT_LIFETIME;
        let newest = self.roots.last().expect("there is at least one root");
        let only = self.roots.len() == 1;
        if only { newest } else { self.roots.iter().rfind(known).unwrap_or(newest) }
    }
}

impl Root {
    fn new(now: Duration) -> Result<Root, OrchestratorError> {
        let failed = failed("a certificate authority");
        let name = format!("internal authority of {}", now.as_secs());
        let mut params = params(&name, now, ROOT_LIFETIME).map_err(&failed)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(&failed)?;
        let certificate = params.self_signed(&key).map_err(&failed)?;
        Ok(Root { created: now, certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn params(common_name: &str, now: Duration, lifetime: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(SKEW);
    params.not_after = epoch + now + lifetime;
    Ok(params)
}

#[cfg(test)]
mod tests;
