//! Figures: what is measured, how samples become one number, and the line it is printed on.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use stdx::{Clock, SystemClock};

/// Time since some fixed point.
pub(crate) fn now() -> Duration {
    SystemClock.boot()
}

/// Milliseconds since `start`.
pub(crate) fn ms_since(start: Duration) -> f64 {
    (now() - start).as_secs_f64() * 1e3
}

/// The median. Panics if there is no sample.
pub(crate) fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// The 99th percentile: the largest of up to 100 samples. Panics if there is no sample.
pub(crate) fn p99(samples: &[f64]) -> f64 {
    quantile(samples, 0.99)
}

fn quantile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len() - 1;
    sorted[((sorted.len() as f64 * part) as usize).min(last)]
}

/// Prints figures, each with the sizes of the run it comes from.
pub(crate) struct Report {
    benchmark: &'static str,
    sizes: Map<String, Value>,
}

impl Report {
    /// `sizes` is a JSON object.
    pub(crate) fn new(benchmark: &'static str, sizes: Value) -> Report {
        let Value::Object(mut sizes) = sizes else { unreachable!("sizes are written as an object") };
        let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
        sizes.insert("bench_profile".to_owned(), json!(profile));
        Report { benchmark, sizes }
    }

    pub(crate) fn print(&self, figure: &str, system: &str, value: f64, unit: &str) {
        let value = (value * 1e4).round() / 1e4;
        let mut line = json!({
            "benchmark": self.benchmark, "figure": figure, "system": system, "value": value, "unit": unit,
        });
        for (name, size) in &self.sizes {
            line[name] = size.clone();
        }
        println!("{line}");
    }

    /// Prints the median and the 99th percentile.
    pub(crate) fn print_samples(&self, figure: &str, system: &str, samples: &[f64], unit: &str) {
        self.print(&format!("{figure}_p50"), system, median(samples), unit);
        self.print(&format!("{figure}_p99"), system, p99(samples), unit);
    }
}

/// The resident memory of a process.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in the status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}
