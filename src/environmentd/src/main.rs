//! The `environmentd` program: flags, logging, signals; everything else is the library's.

use std::process::ExitCode;

use clap::Parser;
use environmentd::args::{Args, LogFormat};
use environmentd::boot::{self, BootError};
use environmentd::command::Command;
use stdx::Tasks;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The server's flags, or a command.
#[derive(Parser)]
#[command(name = "environmentd", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    server: Args,
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> ExitCode {
    let Cli { server: mut args, command } = Cli::parse();
    if command.is_some() {
        // A command says what it does itself.
        "warn".clone_into(&mut args.log_filter);
    }
    if let Err(error) = start_logging(&args) {
        return fail(&error);
    }
    // One thread may be syncing the log; there is always another.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).max(2);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.enable_all().worker_threads(threads).thread_name("environmentd").build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&BootError::Data(format!("cannot start threads: {error}"))),
    };
    let outcome = match command {
        Some(command) => runtime.block_on(command.run()),
        None => runtime.block_on(run(&args)),
    };
    // Work that blocks a thread, on a failing disk for instance, must not keep a process alive that has ended.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &BootError) -> ExitCode {
    eprintln!("environmentd: {error}");
    ExitCode::from(error.exit_code())
}

fn start_logging(args: &Args) -> Result<(), BootError> {
    let filter = EnvFilter::try_new(&args.log_filter)
        .map_err(|error| BootError::Usage(format!("--log-filter {:?}: {error}", args.log_filter)))?;
    // It prints every literal that it reads, and secrets among them.
    let without_parser = filter_fn(|metadata| !metadata.target().starts_with("sqlparser"));
    let subscriber = tracing_subscriber::registry().with(filter).with(without_parser);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => subscriber.with(layer.with_ansi(false)).init(),
        LogFormat::Json => subscriber.with(layer.json()).init(),
    }
    Ok(())
}

async fn run(args: &Args) -> Result<(), BootError> {
    let listen = |kind| signal(kind).map_err(|error| BootError::Data(format!("cannot listen for signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let running = tokio::select! {
        started = boot::start(args, Tasks::tokio()) => started?,
        // Nothing is to be handed over by a process that loads or stands by.
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    println!("environmentd {} is ready. Data directory: {}", boot::VERSION, running.data_dir().display());
    for (name, address) in running.addresses() {
        println!("  {name:<14} {address}");
    }
    let sql = running.addresses()["sql"];
    println!("Connect with: psql -h {} -p {} -U materialize materialize", sql.ip(), sql.port());
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    running.serve(stop).await
}
