//! The connections between the processes of a replica.
//!
//! Each process listens at its address and connects to those before it. Both ends of a new connection show a word that
//! says which process of how many, with how many workers, they are: a stranger, or a process of an earlier start with other
//! settings, is turned away. The loss of a connection later ends the process (timely panics), and whoever supervises the
//! replica restarts all of it.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use stdx::{Backoff, Tasks};
use timely::communication::AllocatorBuilder;
use timely::communication::Hooks;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;

/// Opens a handshake; the last byte is its version.
const MAGIC: u64 = 0x6672_6573_686d_7301;
/// How long a new connection may take to say who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The shape of a replica and this process's place in it.
#[derive(Clone, Debug)]
pub(crate) struct Mesh {
    pub(crate) process: usize,
    /// `host:port` of every process.
    pub(crate) peers: Vec<String>,
    pub(crate) workers: usize,
}

/// Builders of the local workers' allocators, and what must live as long as they.
pub(crate) type Allocators = (Vec<AllocatorBuilder>, Box<dyn std::any::Any + Send>);

impl Mesh {
    /// Waits until all processes are connected to each other.
    pub(crate) async fn connect(self, tasks: &Tasks, listener: TcpListener) -> io::Result<Allocators> {
        let mesh = Arc::new(self);
        let accept = {
            let mesh = Arc::clone(&mesh);
            tasks.spawn_blocking("clusterd: accept mesh", move || mesh.accept(&listener))
        };
        let connect = mesh.connect_to_earlier(tasks);
        let (earlier, later) = futures::future::join(connect, accept).await;
        let mut sockets: Vec<Option<TcpStream>> = earlier?.into_iter().map(Some).collect();
        sockets.push(None);
        sockets.extend(later?.into_iter().map(Some));
        let hooks = Hooks::default();
        let builders = ProcessBuilder::new_typed_vector(mesh.workers, hooks.refill.clone(), hooks.spill.clone());
        let (builders, guard) =
            initialize_networking_from_sockets(builders, sockets, mesh.process, mesh.workers, hooks)?;
        Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
    }

    async fn connect_to_earlier(&self, tasks: &Tasks) -> io::Result<Vec<TcpStream>> {
        let mut sockets = Vec::with_capacity(self.process);
        for (peer, address) in self.peers.iter().enumerate().take(self.process) {
            let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
            loop {
                match self.connect_to(peer, address) {
                    Ok(socket) => break sockets.push(socket),
                    Err(error) => {
                        tracing::debug!(%error, peer, address, "cannot reach a peer yet");
                        tasks.sleep(backoff.next_delay()).await;
                    }
                }
            }
        }
        Ok(sockets)
    }

    fn connect_to(&self, peer: usize, address: &str) -> io::Result<TcpStream> {
        let mut socket = TcpStream::connect(address)?;
        prepare(&socket)?;
        socket.write_all(&self.word(self.process))?;
        let mut answer = [0; 32];
        socket.read_exact(&mut answer)?;
        if answer != self.word(peer) {
            return Err(io::Error::other("the peer belongs to another mesh"));
        }
        socket.set_read_timeout(None)?;
        Ok(socket)
    }

    /// One connection from each process after this one, in their order.
    fn accept(&self, listener: &TcpListener) -> io::Result<Vec<TcpStream>> {
        let first = self.process + 1;
        let mut sockets: Vec<Option<TcpStream>> = (first..self.peers.len()).map(|_| None).collect();
        while sockets.iter().any(Option::is_none) {
            let (mut socket, from) = listener.accept()?;
            match self.greet(&mut socket) {
                // A peer that was restarted meanwhile takes the place of its former self.
                Ok(peer) => {
                    if let Some(slot) = sockets.get_mut(peer - first) {
                        *slot = Some(socket);
                    }
                }
                Err(error) => tracing::warn!(%error, %from, "turned away a connection to the mesh"),
            }
        }
        Ok(sockets.into_iter().flatten().collect())
    }

    fn greet(&self, socket: &mut TcpStream) -> io::Result<usize> {
        prepare(socket)?;
        let mut word = [0; 32];
        socket.read_exact(&mut word)?;
        let peer = (self.process + 1..self.peers.len()).find(|peer| word == self.word(*peer));
        let peer = peer.ok_or_else(|| io::Error::other("the peer belongs to another mesh"))?;
        socket.write_all(&self.word(self.process))?;
        socket.set_read_timeout(None)?;
        Ok(peer)
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

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(HANDSHAKE_TIMEOUT))
}
