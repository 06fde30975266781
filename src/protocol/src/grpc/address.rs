//! Where a service listens: a TCP address or a Unix socket.
//!
//! TCP may be guarded by TLS. A Unix socket never is: the file system says who reaches it.

use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsStream;
use tonic::transport::server::Connected;

use crate::tls::Guard;

/// Peers that may be proving who they are at the same time. Others wait to be accepted, and not for long: handshakes have a
/// deadline.
const HANDSHAKES_MAX: usize = 256;

/// `host:port`, or `unix:/path/of/socket`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    Tcp(String),
    Unix(PathBuf),
}

/// The text was neither `host:port` nor `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid address {0:?}: expected HOST:PORT or unix:/PATH")]
pub struct ParseAddressError(pub String);

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Address, ParseAddressError> {
        let invalid = || ParseAddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(invalid()) } else { Ok(Address::Unix(PathBuf::from(path))) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(invalid());
        }
        Ok(Address::Tcp(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => f.write_str(address),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// What tonic's client connects to.
    pub fn uri(&self) -> String {
        match self {
            Address::Tcp(address) => format!("http://{address}"),
            Address::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// Connects. Over TCP the peer is looked at first, if there is a guard.
    pub async fn connect(&self, guard: Option<&Guard>) -> io::Result<Connection> {
        match self {
            Address::Unix(path) => Ok(Connection::Unix(UnixStream::connect(path).await?)),
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                match guard {
                    None => Ok(Connection::Tcp(stream)),
                    Some(Guard { tls, peers }) => Ok(Connection::Tls(Box::new(tls.connect(stream, peers).await?))),
                }
            }
        }
    }

    /// True if only processes of this machine can reach it. Unresolvable names count as reachable from outside.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Unix(_) => true,
            Address::Tcp(address) => match address.to_socket_addrs() {
                Ok(mut addresses) => addresses.all(|address| address.ip().is_loopback()),
                Err(_) => false,
            },
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds. A Unix socket that nobody listens on any more (its owner was killed) is replaced; a live one is an error.
    pub async fn bind(address: &Address) -> io::Result<Listener> {
        match address {
            Address::Tcp(address) => Ok(Listener::Tcp(TcpListener::bind(address).await?)),
            Address::Unix(path) => bind_unix(path).await,
        }
    }

    /// The bound address: port 0 has become a real one.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Listener::Tcp(listener) => Ok(Address::Tcp(listener.local_addr()?.to_string())),
            Listener::Unix(_, path) => Ok(Address::Unix(path.clone())),
        }
    }

    /// The connections, for tonic's `serve_with_incoming`. Over TCP a guard looks at each before anything else does, at many of
    /// them at the same time; who is turned away is only told of in the log.
    pub fn incoming(self, guard: Option<Guard>) -> Incoming {
        match (self, guard) {
            (Listener::Tcp(listener), Some(guard)) => guarded(listener, guard).boxed(),
            (listener, _) => Accepted(listener).boxed(),
        }
    }
}

/// Accepted connections of a [`Listener`].
pub type Incoming = BoxStream<'static, io::Result<Connection>>;

fn guarded(listener: TcpListener, guard: Guard) -> impl Stream<Item = io::Result<Connection>> + Send {
    let handshake = move |accepted: io::Result<Connection>| {
        let Guard { tls, peers } = guard.clone();
        async move {
            let Connection::Tcp(stream) = accepted? else { unreachable!("a TCP listener accepts TCP connections") };
            let from = stream.peer_addr()?;
            match tls.accept(stream, &peers).await {
                Ok(stream) => Ok(Some(Connection::Tls(Box::new(stream)))),
                Err(error) => {
                    tracing::warn!(%error, %from, "turned away a connection");
                    Ok(None)
                }
            }
        }
    };
    Accepted(Listener::Tcp(listener))
        .map(handshake)
        .buffer_unordered(HANDSHAKES_MAX)
        .filter_map(|looked_at| std::future::ready(looked_at.transpose()))
}

async fn bind_unix(path: &Path) -> io::Result<Listener> {
    match UnixListener::bind(path) {
        Ok(listener) => Ok(Listener::Unix(listener, path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            Ok(Listener::Unix(UnixListener::bind(path)?, path.to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// Connections as they come, of whomever.
struct Accepted(Listener);

impl Stream for Accepted {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Connection>>> {
        match &self.0 {
            Listener::Tcp(listener) => listener.poll_accept(context).map(|accepted| {
                Some(accepted.and_then(|(stream, _)| {
                    stream.set_nodelay(true)?;
                    Ok(Connection::Tcp(stream))
                }))
            }),
            Listener::Unix(listener, _) => {
                listener.poll_accept(context).map(|accepted| Some(accepted.map(|(stream, _)| Connection::Unix(stream))))
            }
        }
    }
}

/// One connection, accepted or made.
#[derive(Debug)]
pub enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Connection::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Connection::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Connection::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Connection::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Connection::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Connection::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Connection::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Connection::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
