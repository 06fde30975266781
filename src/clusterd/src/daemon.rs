//! The process around the core: flags, sockets, threads, signals.

use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::Parser;
use persist::{RemoteAddress, RemoteShards};
use protocol::grpc::{Address, Incoming, Listener, compute_service, storage_service};
use protocol::tls::{Guard, Peers, Role, Tls};
use stdx::tasks::spawn_thread;
use stdx::{Rng, Task, Tasks};
use timely::communication::AllocatorBuilder;
use timely::communication::Hooks;
use timely::communication::allocator::ProcessBuilder;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tonic::transport::Server;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, LogFormat};
use crate::http;
use crate::mesh::{Allocators, Mesh};
use crate::process::{Process, ProcessConfig};

/// Flags, addresses and listeners that cannot be used.
const USAGE: u8 = 2;

/// Connections that may wait to be looked at.
const ACCEPT_CAPACITY: usize = 16;

/// Runs clusterd until it is told to stop. The caller ends the process with the code at once: worker threads go with it.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) if !error.use_stderr() => {
            // Help and version.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let text = error.to_string();
            return refuse(text.trim_start_matches("error: ").lines().next().unwrap_or_default());
        }
    };
    if let Err(line) = args.validate() {
        return refuse(&line);
    }
    if let Err(line) = start_logging(&args) {
        return refuse(&line);
    }
    end_on_panic();
    if args.die_with_parent
        && let Err(error) = spawn_thread("parent watch", end_with_parent)
    {
        return fail(&error.to_string());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    let code = match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(line)) => refuse(&line),
        Err(Failure::Other(line)) => fail(&line),
    };
    // Peeks in progress are of no use to anybody now.
    runtime.shutdown_background();
    code
}

enum Failure {
    Usage(String),
    Other(String),
}

fn refuse(line: &str) -> ExitCode {
    eprintln!("clusterd: {line}");
    ExitCode::from(USAGE)
}

fn fail(line: &str) -> ExitCode {
    eprintln!("clusterd: {line}");
    ExitCode::FAILURE
}

fn start_logging(args: &Args) -> Result<(), String> {
    let filter = EnvFilter::try_new(&args.log_filter).map_err(|error| format!("--log-filter: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// A broken invariant on any thread ends the process: half of a replica is worse than none.
fn end_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::exit(101);
    }));
}

/// The parent holds the other end of standard input: its end, however it comes, is ours.
fn end_with_parent() {
    let mut buffer = [0; 64];
    let mut stdin = std::io::stdin();
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    std::process::exit(0);
}

/// All sockets, bound before anything else is done.
struct Listeners {
    storagectl: Listener,
    computectl: Listener,
    http: Listener,
    timely: Option<TcpListener>,
}

async fn bind(args: &Args) -> Result<Listeners, Failure> {
    let cannot = |flag: &str, address: &Address, error: std::io::Error| {
        Failure::Usage(format!("cannot listen on {address} ({flag}): {error}"))
    };
    let listen = async |flag: &str, address: &Address| {
        Listener::bind(address).await.map_err(|error| cannot(flag, address, error))
    };
    let timely = match &args.timely_listen_addr {
        _ if args.process_count() == 1 => None,
        address @ Address::Unix(_) => {
            return Err(Failure::Usage(format!(
                "cannot listen on {address} (--timely-listen-addr): the mesh needs TCP"
            )));
        }
        Address::Tcp(address) => {
            let bound = TcpListener::bind(address).await;
            Some(bound.map_err(|error| cannot("--timely-listen-addr", &args.timely_listen_addr, error))?)
        }
    };
    Ok(Listeners {
        storagectl: listen("--storagectl-listen-addr", &args.storagectl_listen_addr).await?,
        computectl: listen("--computectl-listen-addr", &args.computectl_listen_addr).await?,
        http: listen("--internal-http-listen-addr", &args.internal_http_listen_addr).await?,
        timely,
    })
}

/// Whom this process talks to over TCP, if it has certificates.
struct Guards {
    environmentd: Guard,
    /// The other processes of this replica.
    processes: Guard,
    /// Uses new certificates when they come.
    follow: Task,
}

fn guards(args: &Args, tasks: &Tasks) -> Result<Option<Guards>, Failure> {
    let Some(files) = args.tls_files() else { return Ok(None) };
    let tls = files.read().and_then(|pem| Tls::new(tasks.clone(), pem));
    let tls = tls.map_err(|error| Failure::Usage(format!("--tls-cert, --tls-key, --tls-ca: {error}")))?;
    let Role::Clusterd { service } = tls.identity().role.clone() else {
        return Err(Failure::Usage(format!("--tls-cert is of {}, and this is clusterd", tls.identity())));
    };
    tracing::info!(identity = %tls.identity(), "connections over TCP are guarded by TLS");
    Ok(Some(Guards {
        environmentd: tls.guard(Peers::Environmentd),
        processes: tls.guard(Peers::Service(service)),
        follow: tasks.spawn("clusterd: follow certificates", files.follow(tls, tasks.clone())),
    }))
}

/// The log's shards, which environmentd serves.
fn shards(args: &Args, tasks: &Tasks, guard: Option<Guard>) -> Result<RemoteShards, Failure> {
    let address = match (&args.shardctl_addr, guard) {
        (address @ Address::Tcp(_), Some(guard)) => {
            let address = address.clone();
            let connect = move || {
                let (address, guard) = (address.clone(), guard.clone());
                async move { address.connect(Some(&guard)).await }
            };
            return Ok(RemoteShards::through(connect, tasks.clone()));
        }
        (Address::Tcp(address), None) => RemoteAddress::Tcp(address.clone()),
        (Address::Unix(path), _) => RemoteAddress::Unix(path.clone()),
    };
    RemoteShards::connect(address, tasks.clone())
        .map_err(|error| Failure::Usage(format!("--shardctl-addr {}: {error}", args.shardctl_addr)))
}

async fn run(args: Args) -> Result<(), Failure> {
    let other = |error: std::io::Error| Failure::Other(error.to_string());
    let tasks = Tasks::tokio();
    let mut terminate = signal(SignalKind::terminate()).map_err(other)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(other)?;
    let guards = guards(&args, &tasks)?;
    let listeners = bind(&args).await?;
    if args.insecure_listeners && guards.is_none() {
        tracing::warn!("--insecure-listeners: anyone who reaches the listeners controls this process");
    }
    let shards = shards(&args, &tasks, guards.as_ref().map(|guards| guards.environmentd.clone()))?;
    let process = Arc::new(Process::new(ProcessConfig {
        workers: usize::from(args.workers),
        process: args.process,
        shards: Arc::new(shards),
        tasks: tasks.clone(),
        rng: Rng::from_entropy(),
        version: protocol::VERSION.to_owned(),
        halt: Arc::new(|message| {
            tracing::error!(message, "halting");
            std::process::exit(1);
        }),
    }));
    let ready = Arc::new(AtomicBool::new(false));
    let Listeners { storagectl, computectl, http, timely } = listeners;
    let (environmentd, processes, follow) = match guards {
        Some(Guards { environmentd, processes, follow }) => (Some(environmentd), Some(processes), Some(follow)),
        None => (None, None, None),
    };
    let incoming = [storagectl, computectl].map(|listener| listener.incoming(environmentd.clone()));
    let services = serve(&tasks, &process, incoming, http, &ready, &args);
    let boot = async {
        let allocators = allocators(&args, &tasks, timely, processes).await?;
        start_workers(&process, allocators)?;
        ready.store(true, Ordering::SeqCst);
        tracing::info!(process = args.process, workers = args.workers, "clusterd is ready");
        std::future::pending::<Result<(), Failure>>().await
    };
    tokio::select! {
        result = boot => result?,
        _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
        _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
    }
    process.shared().shutdown.trigger();
    drop((services, follow));
    remove_sockets(&args);
    Ok(())
}

/// Serves everything that listens; dropping the tasks ends it.
fn serve(
    tasks: &Tasks,
    process: &Arc<Process>,
    [storagectl, computectl]: [Incoming; 2],
    http: Listener,
    ready: &Arc<AtomicBool>,
    args: &Args,
) -> Vec<Task> {
    let (compute_sender, mut compute_accepted) = mpsc::channel(ACCEPT_CAPACITY);
    let (storage_sender, mut storage_accepted) = mpsc::channel(ACCEPT_CAPACITY);
    let compute =
        Server::builder().add_service(compute_service(tasks.clone(), compute_sender)).serve_with_incoming(computectl);
    let storage =
        Server::builder().add_service(storage_service(tasks.clone(), storage_sender)).serve_with_incoming(storagectl);
    let health = http::Health {
        shared: Arc::clone(process.shared()),
        ready: Arc::clone(ready),
        workers: usize::from(args.workers),
    };
    let routes = http::router(health);
    let health = async move {
        match http {
            Listener::Tcp(listener) => axum::serve(listener, routes).await,
            Listener::Unix(listener, _) => axum::serve(listener, routes).await,
        }
    };
    let (compute_process, storage_process) = (Arc::clone(process), Arc::clone(process));
    vec![
        tasks.spawn("clusterd: serve computectl", async move { end_with("computectl", compute.await) }),
        tasks.spawn("clusterd: serve storagectl", async move { end_with("storagectl", storage.await) }),
        tasks.spawn("clusterd: serve http", async move { end_with("internal HTTP", health.await) }),
        tasks.spawn("clusterd: accept computectl", async move {
            while let Some(duplex) = compute_accepted.recv().await {
                compute_process.accept_compute(duplex);
            }
        }),
        tasks.spawn("clusterd: accept storagectl", async move {
            while let Some(duplex) = storage_accepted.recv().await {
                storage_process.accept_storage(duplex);
            }
        }),
    ]
}

/// A listener that fails leaves a process that nobody can reach: better none.
fn end_with<E: std::fmt::Display>(what: &str, result: Result<(), E>) {
    if let Err(error) = result {
        tracing::error!(%error, what, "a listener has failed");
        std::process::exit(1);
    }
}

async fn allocators(
    args: &Args,
    tasks: &Tasks,
    listener: Option<TcpListener>,
    guard: Option<Guard>,
) -> Result<Allocators, Failure> {
    let workers = usize::from(args.workers);
    let Some(listener) = listener else {
        let hooks = Hooks::default();
        let builders = ProcessBuilder::new_typed_vector(workers, hooks.refill, hooks.spill);
        return Ok((builders.into_iter().map(AllocatorBuilder::Process).collect(), Box::new(())));
    };
    let mesh = Mesh { process: args.process, peers: args.timely_peers.clone(), workers, guard };
    let connected = mesh.connect(tasks, listener).await;
    connected.map_err(|error| Failure::Other(format!("cannot connect the processes of this replica: {error}")))
}

fn start_workers(process: &Arc<Process>, allocators: Allocators) -> Result<(), Failure> {
    let (builders, others) = allocators;
    let process = Arc::clone(process);
    let next = AtomicUsize::new(0);
    let run = move |timely: &mut timely::worker::Worker| {
        // Any numbering of the local workers will do, as long as each has its own.
        let local_index = next.fetch_add(1, Ordering::SeqCst);
        let thread = std::thread::current();
        let wake = Arc::new(move || thread.unpark());
        process.worker(timely.clone(), local_index, wake).run();
    };
    let guards = timely::execute::execute_from(builders, others, compute::worker_config(), run);
    // Dropping the guards would wait for the threads, which end with the process.
    std::mem::forget(guards.map_err(Failure::Other)?);
    Ok(())
}

fn remove_sockets(args: &Args) {
    for address in [&args.storagectl_listen_addr, &args.computectl_listen_addr, &args.internal_http_listen_addr] {
        if let Address::Unix(path) = address {
            // A successor may have replaced it or removed it already.
            let _ = std::fs::remove_file(path);
        }
    }
}
