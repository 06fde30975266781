//! Who a process is, by its certificate, and whom a port is for.

use std::fmt;

use rustls::pki_types::CertificateDer;

/// The DNS name of every process: it is the URI that tells them apart.
pub const HOST: &str = "process.freshet.internal";

const SCHEME: &str = "freshet://";

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The environment's id. Each has an authority of its own, so this only guards against one that serves two.
    pub environment: String,
    pub role: Role,
}

/// What a process is in its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    Environmentd,
    Clusterd { service: String },
}

/// Whom a port is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    Environmentd,
    /// The processes of all services.
    Clusterd,
    /// The processes of this service.
    Service(String),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let environment = &self.environment;
        match &self.role {
            Role::Environmentd => write!(f, "{SCHEME}{environment}/environmentd"),
            Role::Clusterd { service } => write!(f, "{SCHEME}{environment}/clusterd/{service}"),
        }
    }
}

impl Identity {
    /// The environment's daemon.
    pub fn environmentd(environment: &str) -> Identity {
        Identity { environment: environment.to_owned(), role: Role::Environmentd }
    }

    /// The processes of a service.
    pub fn clusterd(environment: &str, service: &str) -> Identity {
        Identity { environment: environment.to_owned(), role: Role::Clusterd { service: service.to_owned() } }
    }

    /// Reads the one URI of ours among a certificate's names. Errors: there is none, or more than one.
    pub(crate) fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Identity, String> {
        let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|error| error.to_string())?;
        let mut uris = parsed.valid_uri_names().filter(|uri| uri.starts_with(SCHEME));
        match (uris.next(), uris.next()) {
            (Some(uri), None) => Identity::of_uri(uri).ok_or_else(|| format!("it names {uri:?}, which is nobody")),
            (None, _) => Err(format!("it has no name {SCHEME}…")),
            (Some(_), Some(_)) => Err(format!("it has several names {SCHEME}…")),
        }
    }

    fn of_uri(uri: &str) -> Option<Identity> {
        let parts: Vec<&str> = uri.strip_prefix(SCHEME)?.split('/').collect();
        let (environment, role) = match parts[..] {
            [environment, "environmentd"] => (environment, Role::Environmentd),
            [environment, "clusterd", service] if !service.is_empty() => {
                (environment, Role::Clusterd { service: service.to_owned() })
            }
            _ => return None,
        };
        (!environment.is_empty()).then(|| Identity { environment: environment.to_owned(), role })
    }
}

impl Peers {
    pub(crate) fn include(&self, role: &Role) -> bool {
        match (self, role) {
            (Peers::Environmentd, Role::Environmentd) | (Peers::Clusterd, Role::Clusterd { .. }) => true,
            (Peers::Service(wanted), Role::Clusterd { service }) => service == wanted,
            (Peers::Environmentd, Role::Clusterd { .. })
            | (Peers::Clusterd | Peers::Service(_), Role::Environmentd) => false,
        }
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peers::Environmentd => f.write_str("this environment's environmentd"),
            Peers::Clusterd => f.write_str("this environment's services"),
            Peers::Service(service) => write!(f, "this environment's service {service}"),
        }
    }
}
