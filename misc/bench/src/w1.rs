//! The run of W1: loads every system, then rounds of batches, each system in its turn with the same batches.

use anyhow::Result;
use serde_json::json;

use crate::database::verify;
use crate::figure::{Report, median, mib, ms_since, now, p99, resident_bytes};
use crate::freshet::Freshet;
use crate::peer::Peer;
use crate::raw::Raw;
use crate::workload::{Batch, CATEGORIES, Model};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Bids loaded before the first batch.
    #[arg(long, default_value_t = 100_000)]
    bids: u32,
    #[arg(long, default_value_t = 65_536)]
    auctions: u32,
    /// In each round every system applies its batches in turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Batches of each round.
    #[arg(long, default_value_t = 40)]
    batches: u32,
    /// Every row and every change follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Milliseconds by batch.
#[derive(Default)]
struct Samples {
    freshet: Vec<f64>,
    freshet_write: Vec<f64>,
    freshet_read: Vec<f64>,
    query: Vec<f64>,
    refresh: Vec<f64>,
    postgres_write: Vec<f64>,
    raw: Vec<f64>,
}

struct Systems {
    freshet: Freshet,
    peer: Peer,
    raw: Raw,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let mut model = Model::new(options.seed, options.auctions, options.bids);
    let expected = model.answer();
    // First, while this process has no freed memory that would hide what it takes.
    let (raw, raw_load_ms, raw_bytes) = load_raw(&model)?;
    verify("raw differential", "the load", &raw.answer(), &expected)?;
    let text = model.copy_text();
    eprintln!("bench: loading Freshet");
    let (freshet, answer, freshet_load_ms) = Freshet::load(&text).await?;
    verify("Freshet", "the load", &answer, &expected)?;
    eprintln!("bench: loading PostgreSQL");
    let (peer, answer, postgres_load_ms) = Peer::load(&text).await?;
    verify("PostgreSQL", "the load", &answer, &expected)?;

    let report = Report::new(
        "w1",
        json!({
            "bids": options.bids, "auctions": options.auctions, "categories": CATEGORIES,
            "workers": freshet.workers()?, "clients": 1, "rounds": options.rounds,
            "batches": options.rounds * options.batches, "changes_per_batch": Batch::CHANGES, "seed": options.seed,
        }),
    );
    report.print("load", "freshet", freshet_load_ms, "ms");
    report.print("load", "postgres", postgres_load_ms, "ms");
    report.print("load", "raw", raw_load_ms, "ms");

    let mut systems = Systems { freshet, peer, raw };
    let mut samples = Samples::default();
    for round in 0..options.rounds {
        let batches: Vec<Batch> = (0..options.batches).map(|_| model.next_batch()).collect();
        systems.round(round, &batches, &mut samples).await?;
        eprintln!("bench: round {} of {} done", round + 1, options.rounds);
    }
    print_times(&report, &samples);
    print_load_ratios(&report, freshet_load_ms, postgres_load_ms, raw_load_ms);
    print_memory(&report, &systems.freshet, raw_bytes)
}

fn load_raw(model: &Model) -> Result<(Raw, f64, u64)> {
    let before = resident_bytes(std::process::id())?;
    let start = now();
    let mut raw = Raw::new();
    raw.load(model);
    let load_ms = ms_since(start);
    let after = resident_bytes(std::process::id())?;
    Ok((raw, load_ms, after.saturating_sub(before)))
}

impl Systems {
    /// Freshet, then PostgreSQL, then raw differential: all batches of the round, each answer verified.
    async fn round(&mut self, round: u32, batches: &[Batch], samples: &mut Samples) -> Result<()> {
        let step = |index: usize| format!("batch {index} of round {round}");
        for (index, batch) in batches.iter().enumerate() {
            let (answer, cost) = self.freshet.step(batch).await?;
            verify("Freshet", &step(index), &answer, &batch.answer)?;
            samples.freshet.push(cost.write_ms + cost.read_ms);
            samples.freshet_write.push(cost.write_ms);
            samples.freshet_read.push(cost.read_ms);
        }
        for (index, batch) in batches.iter().enumerate() {
            let (answers, cost) = self.peer.step(batch).await?;
            for answer in &answers {
                verify("PostgreSQL", &step(index), answer, &batch.answer)?;
            }
            samples.query.push(cost.write_ms + cost.query_ms);
            samples.refresh.push(cost.write_ms + cost.refresh_ms);
            samples.postgres_write.push(cost.write_ms);
        }
        for (index, batch) in batches.iter().enumerate() {
            let start = now();
            self.raw.apply(batch);
            let answer = self.raw.answer();
            samples.raw.push(ms_since(start));
            verify("raw differential", &step(index), &answer, &batch.answer)?;
        }
        Ok(())
    }
}

fn print_times(report: &Report, samples: &Samples) {
    report.print_samples("freshness", "freshet", &samples.freshet, "ms");
    report.print_samples("freshness", "postgres_query", &samples.query, "ms");
    report.print_samples("freshness", "postgres_refresh", &samples.refresh, "ms");
    report.print_samples("freshness", "raw", &samples.raw, "ms");
    report.print_samples("write", "freshet", &samples.freshet_write, "ms");
    report.print_samples("write", "postgres", &samples.postgres_write, "ms");
    report.print_samples("read", "freshet", &samples.freshet_read, "ms");
    for (peer, theirs) in [("postgres_query", &samples.query), ("postgres_refresh", &samples.refresh)] {
        report.print("freshness_p50_better", peer, median(theirs) / median(&samples.freshet), "x");
        report.print("freshness_p99_better", peer, p99(theirs) / p99(&samples.freshet), "x");
    }
    report.print("freshness_p50_of", "raw", median(&samples.freshet) / median(&samples.raw), "x");
}

fn print_load_ratios(report: &Report, freshet_ms: f64, postgres_ms: f64, raw_ms: f64) {
    report.print("load_of", "raw", freshet_ms / raw_ms, "x");
    report.print("load_of", "postgres", freshet_ms / postgres_ms, "x");
}

/// Freshet's memory is read at the end; raw differential's grew by its load.
fn print_memory(report: &Report, freshet: &Freshet, raw_bytes: u64) -> Result<()> {
    let (environmentd, clusterd) = freshet.resident_bytes()?;
    report.print("resident", "environmentd", mib(environmentd), "MiB");
    report.print("resident", "clusterd", mib(clusterd), "MiB");
    report.print("resident", "freshet", mib(environmentd + clusterd), "MiB");
    report.print("resident", "raw", mib(raw_bytes), "MiB");
    report.print("resident_of", "raw", (environmentd + clusterd) as f64 / raw_bytes as f64, "x");
    Ok(())
}
