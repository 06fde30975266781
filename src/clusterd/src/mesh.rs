//! The connections between the processes of a replica.
//!
//! Each process listens at its address and connects to those before it. Both ends of a new connection show a word that
//! says which process of how many, with how many workers, they are: a stranger, or a process of an earlier start with other
//! settings, is turned away. The loss of a connection later ends the process (timely panics), and whoever supervises the
//! replica restarts all of it.
//!
//! Where TLS guards the mesh, it comes before the word. timely takes its sockets apart and blocks on the halves, which an
//! encrypted connection cannot bear, so it gets one end of a pair of sockets, and a task carries bytes between the other end
//! and the peer. Whichever end is lost, both are closed. The task also sees how long each message is, and closes both ends
//! before timely makes room for one that is longer than any can be.

mod frames;

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures::StreamExt;
use protocol::grpc::{Address, Connection, Listener};
use protocol::tls::Guard;
use stdx::{Backoff, Task, Tasks};
use timely::communication::AllocatorBuilder;
use timely::communication::Hooks;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::zero_copy::stream::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use self::frames::Frames;

/// Opens a handshake; the last byte is its version.
const MAGIC: u64 = 0x6672_6573_686d_7301;
/// How long a new connection may take to say who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that may be saying who they are at the same time; more wait to be accepted.
const GREETINGS_MAX: usize = 256;
/// What a task that carries bytes holds of them, in each direction.
const CARRIED_BYTES: usize = 64 << 10;

/// The shape of a replica and this process's place in it.
#[derive(Clone, Debug)]
pub(crate) struct Mesh {
    pub(crate) process: usize,
    /// Where every process listens.
    pub(crate) peers: Vec<Address>,
    pub(crate) workers: usize,
    /// Looks at who the other processes are.
    pub(crate) guard: Option<Guard>,
}

/// Builders of the local workers' allocators, and what must live as long as they.
pub(crate) type Allocators = (Vec<AllocatorBuilder>, Box<dyn std::any::Any + Send>);

impl Mesh {
    /// Waits until all processes are connected to each other.
    pub(crate) async fn connect(self, tasks: &Tasks, listener: TcpListener) -> io::Result<Allocators> {
        let (earlier, later) =
            futures::future::try_join(self.connect_to_earlier(tasks), self.accept(tasks, listener)).await?;
        if self.guard.is_none() {
            let plain = |connection: Connection| match connection {
                Connection::Tcp(stream) => stream.into_std(),
                Connection::Unix(_) | Connection::Tls(_) => unreachable!("a mesh without guard is plain TCP"),
            };
            let sockets = self.in_order(earlier, later, plain)?;
            return self.allocators(sockets, ());
        }
        let mut carriers: Vec<Task> = Vec::new();
        let sockets = self.in_order(earlier, later, |connection| {
            let (end, carrier) = carry(tasks, connection)?;
            carriers.push(carrier);
            Ok(end)
        })?;
        self.allocators(sockets, carriers)
    }

    /// A socket for each process, None for this one.
    fn in_order<S>(
        &self,
        earlier: Vec<Connection>,
        later: Vec<Connection>,
        mut socket: impl FnMut(Connection) -> io::Result<S>,
    ) -> io::Result<Vec<Option<S>>> {
        let mut sockets = Vec::with_capacity(self.peers.len());
        for connection in earlier {
            sockets.push(Some(socket(connection)?));
        }
        sockets.push(None);
        for connection in later {
            sockets.push(Some(socket(connection)?));
        }
        Ok(sockets)
    }

    fn allocators<S: Stream + 'static>(
        &self,
        sockets: Vec<Option<S>>,
        keep: impl Send + 'static,
    ) -> io::Result<Allocators> {
        let hooks = Hooks::default();
        let builders = ProcessBuilder::new_typed_vector(self.workers, hooks.refill.clone(), hooks.spill.clone());
        let (builders, guard) =
            initialize_networking_from_sockets(builders, sockets, self.process, self.workers, hooks)?;
        Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new((guard, keep))))
    }

    async fn connect_to_earlier(&self, tasks: &Tasks) -> io::Result<Vec<Connection>> {
        let mut connections = Vec::with_capacity(self.process);
        for (peer, address) in self.peers.iter().enumerate().take(self.process) {
            let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
            loop {
                match in_time(tasks, self.connect_to(peer, address)).await {
                    Ok(connection) => break connections.push(connection),
                    Err(error) => {
                        tracing::debug!(%error, peer, %address, "cannot reach a peer yet");
                        tasks.sleep(backoff.next_delay()).await;
                    }
                }
            }
        }
        Ok(connections)
    }

    async fn connect_to(&self, peer: usize, address: &Address) -> io::Result<Connection> {
        let mut connection = address.connect(self.guard.as_ref()).await?;
        connection.write_all(&self.word(self.process)).await?;
        connection.flush().await?;
        let mut answer = [0; 32];
        connection.read_exact(&mut answer).await?;
        if answer != self.word(peer) {
            return Err(io::Error::other("the peer belongs to another mesh"));
        }
        Ok(connection)
    }

    /// One connection from each process after this one, in their order.
    async fn accept(&self, tasks: &Tasks, listener: TcpListener) -> io::Result<Vec<Connection>> {
        let first = self.process + 1;
        let mut connections: Vec<Option<Connection>> = (first..self.peers.len()).map(|_| None).collect();
        let mut greeted = Listener::Tcp(listener)
            .incoming(self.guard.clone())
            .map(|accepted| in_time(tasks, self.greet(accepted)))
            .buffer_unordered(GREETINGS_MAX);
        while connections.iter().any(Option::is_none) {
            match greeted.next().await {
                // A peer that was restarted meanwhile takes the place of its former self.
                Some(Ok((peer, connection))) => {
                    if let Some(slot) = connections.get_mut(peer - first) {
                        *slot = Some(connection);
                    }
                }
                Some(Err(error)) => tracing::warn!(%error, "turned away a connection to the mesh"),
                None => return Err(io::Error::other("the listener has ended")),
            }
        }
        Ok(connections.into_iter().flatten().collect())
    }

    async fn greet(&self, accepted: io::Result<Connection>) -> io::Result<(usize, Connection)> {
        let mut connection = accepted?;
        let mut word = [0; 32];
        connection.read_exact(&mut word).await?;
        let peer = (self.process + 1..self.peers.len()).find(|peer| word == self.word(*peer));
        let peer = peer.ok_or_else(|| io::Error::other("the peer belongs to another mesh"))?;
        connection.write_all(&self.word(self.process)).await?;
        connection.flush().await?;
        Ok((peer, connection))
    }

    /// What a process of this mesh says of itself.
    fn word(&self, process: usize) -> [u8; 32] {
        let mut word = [0; 32];
        let parts = [MAGIC, process as u64, self.peers.len() as u64, self.workers as u64];
        for (bytes, part) in word.chunks_exact_mut(8).zip(parts) {
            bytes.copy_from_slice(&part.to_be_bytes());
        }
        word
    }
}

async fn in_time<T>(tasks: &Tasks, greeting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tasks.timeout(HANDSHAKE_TIMEOUT, greeting).await {
        Ok(greeted) => greeted,
        Err(elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)),
    }
}

/// A socket that stands for a connection, as long as the task lives that carries bytes between the two.
fn carry(tasks: &Tasks, connection: Connection) -> io::Result<(UnixStream, Task)> {
    let (end, other) = UnixStream::pair()?;
    other.set_nonblocking(true)?;
    let other = tokio::net::UnixStream::from_std(other)?;
    let carrier = tasks.spawn("clusterd: carry mesh", async move {
        let (from_peer, to_peer) = tokio::io::split(connection);
        let (from_timely, to_timely) = other.into_split();
        // What is lost in one direction is closed in the other; all are dropped in the end.
        let carried = futures::future::try_join(carry_on(from_peer, to_timely), carry_on(from_timely, to_peer));
        if let Err(error) = carried.await {
            tracing::warn!(%error, "lost a process of this replica");
        }
    });
    Ok((end, carrier))
}

/// Carries bytes in one direction, up to their end. Errors: an end is lost, or a message is too long.
async fn carry_on(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let (mut frames, mut buffer) = (Frames::default(), vec![0; CARRIED_BYTES]);
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        frames.pass(&buffer[..read])?;
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests;
