//! The real binary with certificates: whom it lets in at each of its ports, and whom it does not.

mod environment;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes};
use controller::{ReplicaLauncher, ReplicaSize, ReplicaSpec};
use environment::{CLUSTER, Environment, expected, leader};
use futures::future::join_all;
use hyper_util::rt::TokioIo;
use orchestrator::authority::{LIFETIME, Names, Roots};
use persist::{LeaderHandle, shardctl_service};
use protocol::grpc::{Address, GRPC_MESSAGE_BYTES_MAX, GrpcLink, Listener};
use protocol::link::{Link, LinkError};
use protocol::tls::{Guard, HOST, Identity, Peers, Pem, Tls};
use protocol::{ComputeCommand, Hello, Sequenced, StorageCommand};
use repr::{ReplicaId, ServiceId};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use stdx::{Backoff, Clock, SystemClock, Task, Tasks};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Request, Status};
use uuid::Uuid;

const ENVIRONMENT: &str = "e1";
const SERVICE: &str = "cluster-1";
/// Far longer than a handshake may take.
const LIMIT: Duration = Duration::from_secs(60);

fn environmentd() -> Identity {
    Identity::environmentd(ENVIRONMENT)
}

fn service() -> Identity {
    Identity::clusterd(ENVIRONMENT, SERVICE)
}

fn pem(roots: &Roots, identity: &Identity, age: Duration) -> Pem {
    let names = Names { dns: HOST.to_owned(), uri: identity.to_string() };
    let issued = roots.issue(&names, SystemClock.wall() - age).unwrap();
    Pem { certificates: issued.certificate, key: issued.key, authorities: issued.authorities }
}

fn guard(roots: &Roots, identity: &Identity, peers: Peers) -> Guard {
    Tls::new(Tasks::tokio(), pem(roots, identity, Duration::ZERO)).unwrap().guard(peers)
}

/// The processes of a replica; dropping it ends them.
#[derive(Default)]
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where one process listens.
#[derive(Clone)]
struct Ports {
    storagectl: SocketAddr,
    computectl: SocketAddr,
    timely: SocketAddr,
    http: SocketAddr,
}

fn free_ports() -> Ports {
    let listeners = [(); 4].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let [storagectl, computectl, timely, http] = listeners.map(|listener| listener.local_addr().unwrap());
    Ports { storagectl, computectl, timely, http }
}

fn write(directory: &Path, pem: &Pem) {
    std::fs::write(directory.join("tls.crt"), &pem.certificates).unwrap();
    std::fs::write(directory.join("tls.key"), pem.key.expose()).unwrap();
    std::fs::write(directory.join("ca.crt"), &pem.authorities).unwrap();
}

fn spawn(directory: &Path, process: usize, all: &[Ports], shardctl: SocketAddr) -> Child {
    let Ports { storagectl, computectl, timely, http } = &all[process];
    let peers: Vec<String> = all.iter().map(|ports| ports.timely.to_string()).collect();
    let file = |name: &str| directory.join(name).display().to_string();
    Command::new(env!("CARGO_BIN_EXE_clusterd"))
        .args([
            format!("--storagectl-listen-addr={storagectl}"),
            format!("--computectl-listen-addr={computectl}"),
            format!("--timely-listen-addr={timely}"),
            format!("--internal-http-listen-addr={http}"),
            format!("--shardctl-addr={shardctl}"),
            format!("--process={process}"),
            format!("--timely-peers={}", peers.join(",")),
            format!("--tls-cert={}", file("tls.crt")),
            format!("--tls-key={}", file("tls.key")),
            format!("--tls-ca={}", file("ca.crt")),
            "--die-with-parent".to_owned(),
        ])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Serves the log to services of the environment.
async fn serve_shardctl(roots: &Roots, leader: &LeaderHandle) -> (SocketAddr, Task) {
    let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".to_owned())).await.unwrap();
    let address = listener.address().unwrap().to_string().parse().unwrap();
    let incoming = listener.incoming(Some(guard(roots, &environmentd(), Peers::Clusterd)));
    let server = Server::builder().add_service(shardctl_service(leader.clone()));
    let serve = async move { server.serve_with_incoming(incoming).await.unwrap() };
    (address, Tasks::tokio().spawn("shardctl", serve))
}

fn link(ports: &Ports, guard: Guard) -> GrpcLink {
    let address = |address: SocketAddr| Address::Tcp(address.to_string());
    GrpcLink::new(Tasks::tokio(), address(ports.storagectl), address(ports.computectl), Some(guard))
}

/// Reaches the processes that run already.
struct Running(Vec<Arc<dyn Link>>);

#[async_trait]
impl ReplicaLauncher for Running {
    fn stop(&self, _: &ReplicaSpec) {}

    async fn retain(&self, _: &[ReplicaSpec]) {}

    fn ensure(&self, _: &ReplicaSpec) -> Result<Vec<Arc<dyn Link>>, LinkError> {
        Ok(self.0.clone())
    }
}

/// Tries until it succeeds.
async fn until_ok<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(mut attempt: impl FnMut() -> F) -> T {
    let tasks = Tasks::tokio();
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));
    let attempts = async {
        loop {
            if let Ok(done) = attempt().await {
                return done;
            }
            tasks.sleep(backoff.next_delay()).await;
        }
    };
    tasks.timeout(LIMIT, attempts).await.expect("success in time")
}

/// How many controllers a process has accepted, over both protocols.
async fn accepted(ports: &Ports) -> u64 {
    let mut socket = TcpStream::connect(ports.http).await.unwrap();
    socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let text = String::from_utf8(ends(socket).await).unwrap();
    let counts = text.lines().filter_map(|line| line.strip_prefix("clusterd_controller_connections_total{"));
    let counts: Vec<u64> = counts.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
    assert_eq!(counts.len(), 2, "{text}");
    counts.iter().sum()
}

async fn ends_by_itself(child: &mut Child) {
    let tasks = Tasks::tokio();
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));
    let wait = async {
        while child.try_wait().unwrap().is_none() {
            tasks.sleep(backoff.next_delay()).await;
        }
    };
    tasks.timeout(LIMIT, wait).await.expect("an end in time");
}

/// A port, whom it is for, and who of the environment has no business there.
struct Port {
    name: &'static str,
    address: SocketAddr,
    right: Identity,
    wrong: Vec<Identity>,
}

/// Who comes to a port.
enum Stranger {
    /// Speaks no TLS.
    Plain(&'static [u8]),
    /// Does, and shows this certificate or none.
    Certified(Option<Pem>),
}

fn strangers(roots: &Roots, port: &Port) -> Vec<(String, Stranger)> {
    let right = |roots: &Roots, age| Some(pem(roots, &port.right, age));
    let other_environment = match &port.right.role {
        protocol::tls::Role::Environmentd => Identity::environmentd("e2"),
        protocol::tls::Role::Clusterd { service } => Identity::clusterd("e2", service),
    };
    let mut strangers = vec![
        ("silence", Stranger::Plain(b"")),
        ("plain HTTP/2", Stranger::Plain(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")),
        ("a plain word of a mesh", Stranger::Plain(&[0x66; 32])),
        ("garbage", Stranger::Plain(&[0xff; 40_000])),
        ("no certificate", Stranger::Certified(None)),
        ("another authority", Stranger::Certified(right(&Roots::new(SystemClock.wall()).unwrap(), Duration::ZERO))),
        ("expired", Stranger::Certified(right(roots, LIFETIME + Duration::from_secs(60)))),
        ("another environment", Stranger::Certified(Some(pem(roots, &other_environment, Duration::ZERO)))),
    ];
    for identity in &port.wrong {
        strangers.push(("a wrong role", Stranger::Certified(Some(pem(roots, identity, Duration::ZERO)))));
    }
    strangers.into_iter().map(|(name, stranger)| (format!("{name} at {}", port.name), stranger)).collect()
}

/// What it gets to read before the connection ends.
async fn ends(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut read = Vec::new();
    // However it ends.
    let _ = Tasks::tokio().timeout(LIMIT, stream.read_to_end(&mut read)).await.expect("the connection ends");
    read
}

async fn is_turned_away(roots: &Roots, port: &Port, name: &str, stranger: Stranger) {
    let mut socket = TcpStream::connect(port.address).await.unwrap();
    match stranger {
        Stranger::Plain(bytes) => {
            // It may have hung up before it has read all.
            let _ = socket.write_all(bytes).await;
            let read = ends(socket).await;
            // An alert of TLS at most.
            assert!(matches!(read.first(), None | Some(0x15)), "{name}: {read:?}");
        }
        Stranger::Certified(pem) => {
            let Ok(mut stream) = shake_hands(roots, pem, socket).await else { return };
            let _ = stream.write_all(&[0x66; 32]).await;
            let _ = stream.flush().await;
            assert_eq!(ends(stream).await, b"", "{name}");
        }
    }
}

/// As a client that shows whatever it likes.
async fn shake_hands(
    roots: &Roots,
    pem: Option<Pem>,
    socket: TcpStream,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let certificates = |text: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(text.as_bytes()).map(Result::unwrap).collect()
    };
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(certificates(&roots.authorities()));
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted);
    let config = match pem {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let key = PrivateKeyDer::from_pem_slice(pem.key.expose().as_bytes()).unwrap();
            builder.with_client_auth_cert(certificates(&pem.certificates), key).unwrap()
        }
    };
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(ServerName::try_from(HOST).unwrap(), socket).await
}

async fn attack(roots: &Roots, ports: &[Port]) {
    let each = ports.iter().flat_map(|port| {
        let strangers = strangers(roots, port);
        strangers.into_iter().map(move |(name, stranger)| async move {
            is_turned_away(roots, port, &name, stranger).await;
        })
    });
    join_all(each).await;
}

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Sends one message that is longer than any may be, from a peer that may speak.
async fn is_cut_off(address: SocketAddr, guard: Guard, path: &'static str) {
    let connector = tower::service_fn(move |_: Uri| {
        let guard = guard.clone();
        async move { Address::Tcp(address.to_string()).connect(Some(&guard)).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://process.invalid");
    let channel: Channel = endpoint.connect_with_connector(connector).await.unwrap();
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let messages = futures::stream::iter([Bytes::from(vec![0; GRPC_MESSAGE_BYTES_MAX + 1])]);
    let answer = async {
        let answers = client.streaming(Request::new(messages), PathAndQuery::from_static(path), Raw).await;
        match answers {
            Ok(answers) => answers.into_inner().message().await,
            Err(status) => Err(status),
        }
    };
    let answer = Tasks::tokio().timeout(LIMIT, answer).await.expect("an end in time");
    assert!(!matches!(answer, Ok(Some(_))), "{path} answers");
}

/// A controller of a former epoch, with the right certificate.
async fn is_fenced(ports: &Ports, guard: Guard, leader: &LeaderHandle) {
    let epoch = leader.epoch().checked_sub(1).expect("an earlier epoch");
    let (log_id, version) = (leader.log_id(), protocol::VERSION.to_owned());
    let hello = Hello { log_id, nonce: Uuid::new_v4(), epoch, generation: leader.generation(), version };
    let link = link(ports, guard);
    let mut compute = link.compute().await.unwrap();
    let command = ComputeCommand::Hello(hello.clone());
    compute.sender.send(Sequenced { sequence: 0, command }).await.unwrap();
    assert_eq!(compute.receiver.recv().await, None);
    let mut storage = link.storage().await.unwrap();
    storage.sender.send(Sequenced { sequence: 0, command: StorageCommand::Hello(hello) }).await.unwrap();
    assert_eq!(storage.receiver.recv().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_turned_away_at_every_port_and_disturb_nobody() {
    let roots = Roots::new(SystemClock.wall()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &pem(&roots, &service(), Duration::ZERO));
    let leader = leader().await;
    let (shardctl, _server) = serve_shardctl(&roots, &leader).await;
    let all = [free_ports(), free_ports()];
    let mut children = Children::default();
    let other = || Identity::clusterd(ENVIRONMENT, "cluster-2");
    let controller = || guard(&roots, &environmentd(), Peers::Service(SERVICE.to_owned()));

    // The mesh is open while a process of it is missing.
    children.0.push(spawn(directory.path(), 0, &all, shardctl));
    let [timely, storagectl, computectl] = [all[0].timely, all[0].storagectl, all[0].computectl];
    for address in [timely, storagectl, computectl] {
        until_ok(|| TcpStream::connect(address)).await;
    }
    let mesh = Port { name: "timely", address: timely, right: service(), wrong: vec![environmentd(), other()] };
    attack(&roots, &[mesh]).await;
    // One of the right service who belongs to another mesh.
    let known =
        shake_hands(&roots, Some(pem(&roots, &service(), Duration::ZERO)), TcpStream::connect(timely).await.unwrap());
    let mut known = known.await.unwrap();
    known.write_all(&[0x66; 4096]).await.unwrap();
    known.flush().await.unwrap();
    assert_eq!(ends(known).await, b"");

    children.0.push(spawn(directory.path(), 1, &all, shardctl));
    let links = all.iter().map(|ports| Arc::new(link(ports, controller())) as Arc<dyn Link>);
    let environment = Environment::new(leader.clone(), Arc::new(Running(links.collect())));
    let numbers: Vec<i64> = (0..100).collect();
    let ts = environment.with_index(&numbers).await;
    let size = ReplicaSize { workers: 1, processes: 2 };
    environment.controller.create_replica(CLUSTER, ReplicaId(1), "r1".to_owned(), ServiceId(0), size);
    assert_eq!(environment.peek(ts).await, expected(&numbers));
    let status = || environment.controller.replica_status(CLUSTER).pop().expect("one replica");
    let (before, accepted_before) = (status(), accepted(&all[0]).await);

    let right_and_wrong = |name, address, right, wrong| Port { name, address, right, wrong };
    attack(
        &roots,
        &[
            right_and_wrong("storagectl", storagectl, environmentd(), vec![service(), other()]),
            right_and_wrong("computectl", computectl, environmentd(), vec![service(), other()]),
            right_and_wrong("shardctl", shardctl, service(), vec![environmentd()]),
        ],
    )
    .await;
    is_fenced(&all[0], controller(), &leader).await;
    is_cut_off(storagectl, controller(), "/storagectl.Storagectl/Control").await;
    is_cut_off(computectl, controller(), "/computectl.Computectl/Control").await;
    let client = guard(&roots, &service(), Peers::Environmentd);
    is_cut_off(shardctl, client, "/freshet.shardctl.Shardctl/Append").await;

    let ts = environment.commit(&[], &[100]).await;
    assert_eq!(environment.peek(ts).await, expected(&(0..101).collect::<Vec<_>>()));
    // Whoever is accepted displaces the controller, which comes again. (A machine that stands still for long makes it come
    // again, too, and is not what this is about.)
    let (after, accepted_after) = (status(), accepted(&all[0]).await);
    assert!(after.connected);
    let lost = after.disconnects - before.disconnects;
    assert!(accepted_after - accepted_before <= 2 * lost, "{accepted_before} {accepted_after} {before:?} {after:?}");

    // The loss of one process is the loss of the mesh, through TLS, too.
    children.0[1].kill().unwrap();
    ends_by_itself(&mut children.0[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_are_used_without_a_restart() {
    let now = SystemClock.wall();
    let (former, next) = (Roots::new(now).unwrap(), Roots::new(now).unwrap());
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &pem(&former, &service(), Duration::ZERO));
    let ports = [free_ports()];
    let nobody = free_ports().timely;
    let _children = Children(vec![spawn(directory.path(), 0, &ports, nobody)]);
    let peers = Peers::Service(SERVICE.to_owned());
    let computectl = Address::Tcp(ports[0].computectl.to_string());
    let (of_former, of_next) = (guard(&former, &environmentd(), peers.clone()), guard(&next, &environmentd(), peers));
    until_ok(|| computectl.connect(Some(&of_former))).await;
    assert!(computectl.connect(Some(&of_next)).await.is_err());

    // A key whose certificate is not there yet is not used.
    let renewed = pem(&next, &service(), Duration::ZERO);
    std::fs::write(directory.path().join("tls.key"), renewed.key.expose()).unwrap();
    until_ok(|| computectl.connect(Some(&of_former))).await;
    write(directory.path(), &renewed);
    until_ok(|| computectl.connect(Some(&of_next))).await;
    assert!(computectl.connect(Some(&of_former)).await.is_err());
}

#[test]
fn certificates_that_are_not_clusterds_own_end_it_with_code_2() {
    let roots = Roots::new(SystemClock.wall()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ports = [free_ports()];
    let nobody = free_ports().timely;
    let ends_with_usage = || {
        let mut child = spawn(directory.path(), 0, &ports, nobody);
        // Waiting closes it otherwise, which ends the process, too.
        let _stdin = child.stdin.take();
        child.wait().unwrap().code() == Some(2)
    };
    assert!(ends_with_usage(), "no files");
    write(directory.path(), &pem(&roots, &environmentd(), Duration::ZERO));
    assert!(ends_with_usage(), "environmentd's");
    let other = pem(&roots, &service(), Duration::ZERO);
    write(directory.path(), &Pem { key: other.key, ..pem(&roots, &service(), Duration::ZERO) });
    assert!(ends_with_usage(), "another's key");
}
