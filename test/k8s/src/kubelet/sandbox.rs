//! A container: a process in a mount namespace of its own, under the user and group that its pod names.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

const ISOLATE: &str = include_str!("isolate.sh");

/// Where the program of an image is mounted.
const IMAGE: &str = "/image";

/// A directory or file of the machine, and where the container sees it.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

impl Access {
    fn as_str(self) -> &'static str {
        match self {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        }
    }
}

/// What a process is started with.
pub(crate) struct Sandbox {
    /// For the kubelet's own files of this pod.
    pub(crate) directory: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) root: Access,
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Sandbox {
    /// Starts the process. Its output is added to `log`.
    pub(crate) fn start(&self, log: &Path) -> Result<Process> {
        let root = self.directory.join("root");
        std::fs::create_dir_all(&root)?;
        let name = self.program.file_name().and_then(|name| name.to_str()).context("a program has a name")?;
        let target = format!("{IMAGE}/{name}");
        let program = Mount { source: self.program.clone(), target: target.clone(), access: Access::ReadOnly };
        let mut mounts = self.mounts.clone();
        mounts.push(program);
        // What is mounted below another mount comes after it.
        mounts.sort_by(|a, b| a.target.cmp(&b.target));
        let mut lines = String::new();
        for Mount { source, target, access } in &mounts {
            writeln!(lines, "{}\t{target}\t{}", source.display(), access.as_str())?;
        }
        let file = self.directory.join("mounts");
        std::fs::write(&file, lines)?;
        let output = File::options().create(true).append(true).open(log)?;
        let child = Command::new("unshare")
            .args(["--mount", "sh", "-c", ISOLATE, "isolate"])
            .args([&root, &file])
            .args([self.root.as_str(), &self.user.to_string(), &self.group.to_string(), &target])
            .args(&self.args)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start unshare")?;
        Ok(Process { child })
    }
}

/// A started process. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Waits for its end. Cancel safety: may be dropped at any await.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        self.child.wait().await.expect("a child that was started can be waited for")
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it: gently first, if there is time.
    pub(crate) async fn stop(&mut self, grace: Duration) -> ExitStatus {
        if !grace.is_zero() {
            self.signal(Signal::TERM);
            if let Ok(status) = tokio::time::timeout(grace, self.wait()).await {
                return status;
            }
        }
        self.signal(Signal::KILL);
        self.wait().await
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process_group(pid, signal);
        }
    }
}

/// The exit code as a container runtime tells it.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}
