//! Benchmarks of Freshet against peers that run beside it: `cargo xtask bench w1|point|insert|copy|planning`. Every answer is compared
//! with an exact expectation; every figure is one JSON line on standard output.

mod copy;
mod database;
mod figure;
mod freshet;
mod insert;
mod peer;
mod planning;
mod point;
mod raw;
mod w1;
mod workload;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures Freshet against PostgreSQL 15 and raw differential dataflow, on this machine, in one interleaved run.
#[derive(Parser)]
#[command(name = "bench")]
struct Args {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// A maintained join and aggregation, read after each batch of 100 changes.
    W1(w1::Options),
    /// Prepared point SELECTs by an indexed column.
    Point(point::Options),
    /// Durable single-row INSERTs.
    Insert(insert::Options),
    /// Durable COPY of many rows.
    Copy(copy::Options),
    /// Planning of queries in this process, without a server.
    Planning(planning::Options),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args = Args::parse();
    // One thread, so that the client takes as little as it can of what the servers need.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.benchmark {
            Benchmark::W1(options) => w1::run(&options).await,
            Benchmark::Point(options) => point::run(&options).await,
            Benchmark::Insert(options) => insert::run(&options).await,
            Benchmark::Copy(options) => copy::run(&options).await,
            Benchmark::Planning(options) => planning::run(&options),
        }
    })
}
