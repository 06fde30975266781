//! `process.json`: what a later parent must know to adopt a child, and never to take another process for it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

const FILE: &str = "process.json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) namespace: String,
    pub(crate) service: String,
    pub(crate) process: usize,
    pub(crate) pid: i32,
    /// Clock ticks from boot to the start of the process: with the pid it names one process until the next boot.
    pub(crate) start_ticks: u64,
    pub(crate) boot_id: String,
    pub(crate) image: String,
    pub(crate) args: Vec<String>,
    pub(crate) listen: BTreeMap<String, String>,
}

impl Record {
    pub(crate) fn read(directory: &Path) -> Option<Record> {
        let text = std::fs::read(directory.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes it whole or not at all.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        let temporary = directory.join("process.json.new");
        std::fs::write(&temporary, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&temporary, directory.join(FILE))
    }

    pub(crate) fn remove(directory: &Path) {
        // Gone already is as good.
        let _ = std::fs::remove_file(directory.join(FILE));
    }

    /// The process, if it is the recorded one and lives.
    pub(crate) fn live(&self) -> Option<Pid> {
        let same = self.boot_id == boot_id() && start_ticks(self.pid) == Some(self.start_ticks);
        if same { Pid::from_raw(self.pid) } else { None }
    }
}

/// Names this run of the kernel.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// When a process started; None if there is none, or only a zombie.
pub(crate) fn start_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name stands in parentheses and may itself contain blanks and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // Field 22 of the whole line; `state` was field 3.
    fields.nth(18)?.parse().ok()
}
