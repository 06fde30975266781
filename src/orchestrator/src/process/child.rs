//! One running process: spawned by us, or adopted from an earlier parent.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use stdx::Tasks;
use tokio::process::{Child, ChildStdin, Command};

use super::ChildLifetime;
use super::record::Record;

/// How long a process may take to stop when asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Tells a child to end when it reads the end of its standard input; see `clusterd --die-with-parent`.
const DIE_WITH_PARENT: &str = "FRESHET_DIE_WITH_PARENT";

/// How often an adopted process is looked at.
const ADOPTED_INTERVAL: Duration = Duration::from_millis(50);

/// A log that has grown beyond it is set aside when the process is launched again.
const LOG_BYTES_MAX: u64 = 64 << 20;

pub(crate) enum Running {
    Spawned { child: Child, pid: Pid, _stdin: Option<ChildStdin> },
    Adopted { pid: Pid, record: Record, tasks: Tasks },
}

/// Launches a process whose output is appended to `log` in its directory.
pub(crate) fn spawn(directory: &Path, image: &Path, args: &[String], lifetime: ChildLifetime) -> io::Result<Running> {
    let log = open_log(directory)?;
    let mut command = Command::new(image);
    command.args(args).stdout(log.try_clone()?).stderr(log);
    // Its own group, so that Ctrl-C in a terminal reaches the parent alone, which stops the children in order.
    command.process_group(0);
    match lifetime {
        ChildLifetime::WithParent => command.stdin(Stdio::piped()).env(DIE_WITH_PARENT, "true").kill_on_drop(true),
        ChildLifetime::Kept => command.stdin(Stdio::null()).env_remove(DIE_WITH_PARENT).kill_on_drop(false),
    };
    let mut child = command.spawn()?;
    let raw = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let pid = raw.ok_or_else(|| io::Error::other("the child has no pid"))?;
    let stdin = child.stdin.take();
    Ok(Running::Spawned { child, pid, _stdin: stdin })
}

fn open_log(directory: &Path) -> io::Result<File> {
    let path = directory.join("log");
    if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
        std::fs::rename(&path, directory.join("log.old"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// Watches a recorded process that lives. None: it does not, or is another.
pub(crate) fn adopt(tasks: &Tasks, record: &Record) -> Option<Running> {
    let pid = record.live()?;
    Some(Running::Adopted { pid, record: record.clone(), tasks: tasks.clone() })
}

impl Running {
    pub(crate) fn pid(&self) -> Pid {
        match self {
            Running::Spawned { pid, .. } | Running::Adopted { pid, .. } => *pid,
        }
    }

    /// Waits for its end; tells how it ended. Cancel safety: may be dropped and called again.
    pub(crate) async fn exited(&mut self) -> String {
        match self {
            Running::Spawned { child, .. } => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            // Not our child, so its end is not told to us.
            Running::Adopted { record, tasks, .. } => {
                while record.live().is_some() {
                    tasks.sleep(ADOPTED_INTERVAL).await;
                }
                "adopted process ended".to_owned()
            }
        }
    }

    fn signal(&self, signal: Signal) {
        if let Running::Adopted { record, .. } = self
            && record.live().is_none()
        {
            return;
        }
        // It may have ended by itself.
        let _ = kill_process(self.pid(), signal);
    }
}

/// Asks all to stop, and ends by force those that do not in time.
pub(crate) async fn stop(tasks: &Tasks, running: &mut [Running]) {
    for process in running.iter() {
        process.signal(Signal::TERM);
    }
    let all = futures::future::join_all(running.iter_mut().map(Running::exited));
    if tasks.timeout(STOP_TIMEOUT, all).await.is_err() {
        kill(running).await;
    }
}

/// Ends all by force.
pub(crate) async fn kill(running: &mut [Running]) {
    for process in running.iter() {
        process.signal(Signal::KILL);
    }
    futures::future::join_all(running.iter_mut().map(Running::exited)).await;
}
