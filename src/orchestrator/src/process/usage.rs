//! What a process uses, as the kernel and its directory tell it.

use std::path::Path;
use std::time::Duration;

use super::record::Record;
use crate::orchestrator::ProcessMetrics;

/// Clock ticks of `/proc` in a second, on every platform that Linux still has.
const TICKS_PER_SECOND: u64 = 100;

/// What a process had used at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pid: i32,
    /// Since boot, as the next.
    at: Duration,
    started: Duration,
    cpu: Duration,
    memory_bytes: Option<u64>,
    disk_bytes: u64,
}

impl Sample {
    /// Looks at the process that is recorded in a directory. None: it does not run. May block.
    pub(crate) fn take(directory: &Path, at: Duration) -> Option<Sample> {
        let record = Record::read(directory)?;
        record.live()?;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", record.pid)).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", record.pid)).unwrap_or_default();
        Some(Sample {
            pid: record.pid,
            at,
            started: ticks(record.start_ticks),
            cpu: cpu(&stat)?,
            memory_bytes: memory_bytes(&status),
            disk_bytes: disk_bytes(directory),
        })
    }

    /// The use of the processor is that since `before`; over the process's life if there is no earlier sample of it.
    pub(crate) fn metrics(&self, before: Option<&Sample>) -> ProcessMetrics {
        let before = before.filter(|before| before.pid == self.pid && before.started == self.started);
        let (from, used) = before.map_or((self.started, Duration::ZERO), |before| (before.at, before.cpu));
        let (elapsed, used) = (self.at.saturating_sub(from), self.cpu.saturating_sub(used));
        let cpu_nano_cores = (used.as_nanos() * 1_000_000_000).checked_div(elapsed.as_nanos());
        ProcessMetrics {
            cpu_nano_cores: cpu_nano_cores.and_then(|cores| u64::try_from(cores).ok()),
            memory_bytes: self.memory_bytes,
            disk_bytes: Some(self.disk_bytes),
        }
    }
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(1000 / TICKS_PER_SECOND))
}

/// Fields 14 and 15 of `/proc/PID/stat`: processor time of the program and of the kernel for it.
fn cpu(stat: &str) -> Option<Duration> {
    // The command's name stands in parentheses and may itself contain blanks and parentheses. Field 3 is behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(ticks(next()? + next()?))
}

fn memory_bytes(status: &str) -> Option<u64> {
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    resident.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The files of a directory and those below it. What goes away meanwhile counts for nothing.
fn disk_bytes(directory: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => 0,
        };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 1000 999 300 18446744073709551615";

    #[test]
    fn the_kernels_texts_are_understood() {
        assert_eq!(cpu(STAT), Some(Duration::from_secs(3)));
        assert_eq!(cpu("42 (a"), None);
        assert_eq!(memory_bytes("Name:\ta\nVmRSS:\t    1234 kB\nThreads:\t1\n"), Some(1234 * 1024));
        assert_eq!(memory_bytes("Name:\ta\n"), None);
    }

    #[test]
    fn the_processor_is_used_between_two_samples() {
        let at = |at, cpu| Sample {
            pid: 42,
            at: Duration::from_secs(at),
            started: Duration::from_secs(10),
            cpu: Duration::from_secs(cpu),
            memory_bytes: Some(7),
            disk_bytes: 9,
        };
        let first = at(14, 1);
        let expected = ProcessMetrics { cpu_nano_cores: Some(250_000_000), memory_bytes: Some(7), disk_bytes: Some(9) };
        assert_eq!(first.metrics(None), expected);
        assert_eq!(at(16, 4).metrics(Some(&first)).cpu_nano_cores, Some(1_500_000_000));
        // Another process of this pid, and no time between.
        let other = Sample { started: Duration::from_secs(15), ..at(16, 0) };
        assert_eq!(other.metrics(Some(&first)).cpu_nano_cores, Some(0));
        assert_eq!(first.metrics(Some(&first)).cpu_nano_cores, None);
    }
}
