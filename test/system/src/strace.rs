//! Makes system calls of a running process fail, by Debian's strace.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::server::send_signal;

/// System calls of a running process fail for as long as this lives.
pub struct Strace {
    child: Child,
    /// Kept open: it goes on to name the threads that it attaches to.
    _messages: BufReader<ChildStderr>,
}

impl Strace {
    /// `inject` as strace takes it: `fdatasync:error=EIO:when=3+`.
    pub fn attach(pid: u32, inject: &str, log: &Path) -> Result<Strace> {
        let calls = inject.split(':').next().context("never empty")?;
        let mut command = Command::new("strace");
        command.args(["-f", "-ttt", "-p", &pid.to_string(), "-e", &format!("trace={calls}")]);
        command.args(["-e", &format!("inject={inject}"), "-o"]).arg(log).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start strace (Debian package strace)")?;
        let mut line = String::new();
        let mut messages = BufReader::new(child.stderr.take().context("stderr was piped")?);
        messages.read_line(&mut line)?;
        ensure!(line.contains("attached"), "strace cannot attach: {line}");
        Ok(Strace { child, _messages: messages })
    }

    /// Lets the process go on unharmed.
    pub fn detach(mut self) -> Result<()> {
        send_signal(self.child.id(), Signal::INT);
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        send_signal(self.child.id(), Signal::INT);
        // It ends with the process it traces at the latest.
        let _ = self.child.wait();
    }
}

/// When the first call was made to fail.
pub fn first_injection(log: &Path) -> Result<SystemTime> {
    let text = std::fs::read_to_string(log)?;
    let line = text.lines().find(|line| line.contains("(INJECTED)")).context("no call was made to fail")?;
    let seconds: f64 = line.split_whitespace().nth(1).context("a time")?.parse()?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds))
}
