//! Mutual TLS between the processes of one environment.
//!
//! Each process shows a certificate of the environment's own authority, which says who it is in a URI among its names:
//!
//! | URI | who |
//! |---|---|
//! | `freshet://ENVIRONMENT/environmentd` | the environment's daemon |
//! | `freshet://ENVIRONMENT/clusterd/SERVICE` | a process of a service |
//!
//! Either end looks at the other's before it reads a byte of what the connection carries, and within a deadline. Only TLS 1.3
//! is spoken, and no session is resumed: each connection is proved anew, with the certificates of its time. One that stands is
//! not looked at again when certificates are replaced or expire.
//!
//! Reading order: `identity`, this file, `files`.

mod files;
mod identity;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use stdx::{Clock, Redacted, Tasks};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

pub use files::TlsFiles;
pub use identity::{HOST, Identity, Peers, Role};

/// How long two ends may take to prove to each other who they are.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a process needs to prove who it is, and to look at who others are; each as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pem {
    /// Its certificate first, then those between it and an authority, if there are any.
    pub certificates: String,
    pub key: Redacted<String>,
    /// Whose certificates are believed: two of them while one takes the other's place.
    pub authorities: String,
}

/// The certificates or the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: String, source: io::Error },
    /// Says nothing of what is in the key.
    #[error("the {what} cannot be used: {reason}")]
    Unusable { what: &'static str, reason: String },
}

fn unusable(what: &'static str, reason: impl fmt::Display) -> TlsError {
    TlsError::Unusable { what, reason: reason.to_string() }
}

/// Proves who this process is, and looks at who others are; cheap to clone. All clones see a replacement.
#[derive(Clone)]
pub struct Tls {
    tasks: Tasks,
    identity: Arc<Identity>,
    current: Arc<ArcSwap<Current>>,
}

/// What new connections are made with.
struct Current {
    pem: Pem,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// What guards connections: who we are, and whom we talk to.
#[derive(Clone, Debug)]
pub struct Guard {
    pub tls: Tls,
    pub peers: Peers,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.identity)
    }
}

impl Tls {
    /// Errors: what is no PEM, a key of another certificate, or a certificate that does not say who it is of.
    pub fn new(tasks: Tasks, pem: Pem) -> Result<Tls, TlsError> {
        let (identity, current) = Current::new(tasks.clock(), pem)?;
        Ok(Tls { tasks, identity: Arc::new(identity), current: Arc::new(ArcSwap::from_pointee(current)) })
    }

    /// Who this process is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Uses other certificates from now on; false if they are those that are in use. Errors: as [`Tls::new`], or they are of
    /// another process; those in use stay.
    pub fn replace(&self, pem: Pem) -> Result<bool, TlsError> {
        if self.current.load().pem == pem {
            return Ok(false);
        }
        let (identity, current) = Current::new(self.tasks.clock(), pem)?;
        if identity != *self.identity {
            return Err(unusable("certificate", format!("it is of {identity}, and this process is {}", self.identity)));
        }
        self.current.store(Arc::new(current));
        Ok(true)
    }

    /// Talks to peers of this kind only.
    pub fn guard(&self, peers: Peers) -> Guard {
        Guard { tls: self.clone(), peers }
    }

    /// Looks at who has connected. Errors: the handshake fails or takes too long, or it is none of `peers`.
    pub async fn accept<S>(&self, stream: S, peers: &Peers) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.current.load().server));
        let stream = self.in_time(acceptor.accept(stream)).await?;
        self.look_at(stream.get_ref().1.peer_certificates(), peers)?;
        Ok(stream.into())
    }

    /// Looks at whom we have connected to. Errors: as [`Tls::accept`]; that the peer does not believe *us* shows at the first
    /// read.
    pub async fn connect<S>(&self, stream: S, peers: &Peers) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = TlsConnector::from(Arc::clone(&self.current.load().client));
        let host = ServerName::try_from(HOST).expect("the name of all processes is a DNS name");
        let stream = self.in_time(connector.connect(host, stream)).await?;
        self.look_at(stream.get_ref().1.peer_certificates(), peers)?;
        Ok(stream.into())
    }

    async fn in_time<T>(&self, handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        match self.tasks.timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(done) => done,
            Err(elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("TLS handshake: {elapsed}"))),
        }
    }

    fn look_at(&self, certificates: Option<&[CertificateDer<'_>]>, peers: &Peers) -> io::Result<()> {
        let refused = |reason: String| io::Error::new(io::ErrorKind::PermissionDenied, reason);
        let certificate = certificates.and_then(<[_]>::first);
        let certificate = certificate.ok_or_else(|| refused("the peer shows no certificate".to_owned()))?;
        let peer = Identity::of_certificate(certificate).map_err(refused)?;
        if peer.environment != self.identity.environment || !peers.include(&peer.role) {
            return Err(refused(format!("the peer is {peer}, and this is for {peers}")));
        }
        Ok(())
    }
}

impl Current {
    fn new(clock: &Arc<dyn Clock>, pem: Pem) -> Result<(Identity, Current), TlsError> {
        let chain = certificates("certificate", &pem.certificates)?;
        let identity = Identity::of_certificate(&chain[0]).map_err(|reason| unusable("certificate", reason))?;
        let key = PrivateKeyDer::from_pem_slice(pem.key.expose().as_bytes()).map_err(|_| unusable("key", "no PEM"))?;
        let mut roots = RootCertStore::empty();
        for root in certificates("certificate of the authority", &pem.authorities)? {
            roots.add(root).map_err(|error| unusable("certificate of the authority", error))?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(ring::default_provider());
        let time: Arc<dyn TimeProvider> = Arc::new(WallClock(Arc::clone(clock)));
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build();
        let verifier = verifier.map_err(|error| unusable("certificate of the authority", error))?;
        let mut server = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::clone(&time))
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| {
                builder.with_client_cert_verifier(verifier).with_single_cert(chain.clone(), key.clone_key())
            })
            .map_err(|error| unusable("key", error))?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(chain, key))
            .map_err(|error| unusable("key", error))?;
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        Ok((identity, Current { pem, server: Arc::new(server), client: Arc::new(client) }))
    }
}

/// At least one.
fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = certificates.map_err(|error| unusable(what, error))?;
    if certificates.is_empty() { Err(unusable(what, "there is none in it")) } else { Ok(certificates) }
}

/// Certificates are looked at by the clock that everything else goes by.
struct WallClock(Arc<dyn Clock>);

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.wall()))
    }
}

#[cfg(test)]
mod tests;
