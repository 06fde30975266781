//! Disks that fail, are full, or slow, under load: after a failed sync nothing is acknowledged and the process ends; on a
//! full disk new writes are refused, reads go on, and writes resume by themselves; nothing acknowledged is lost.
//!
//! Needs root, loop devices and strace, which makes system calls of the running environmentd fail.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use system_test::server::rows;
use system_test::strace::{Strace, first_injection};
use system_test::{Disk, Ledger, Server};

const WRITERS: usize = 4;
/// Within this time what must happen by itself happens.
const SOON: Duration = Duration::from_secs(30);

/// A server under load on a disk of its own, which is dropped last: it cannot be unmounted before the server is gone.
struct Rig {
    server: Server,
    ledger: Arc<Ledger>,
    strace_log: tempfile::NamedTempFile,
    disk: Disk,
}

impl Rig {
    async fn new(mib: u64) -> Result<Rig> {
        let disk = Disk::new(mib)?;
        let server = Server::start_in(&disk.path().join("data"), &[])?;
        let ledger = Arc::new(Ledger::default());
        ledger.prepare(&server.connect().await?).await?;
        Ok(Rig { disk, server, ledger, strace_log: tempfile::NamedTempFile::new()? })
    }

    fn attach(&self, inject: &str) -> Result<Strace> {
        Strace::attach(self.server.pid(), inject, self.strace_log.path())
    }

    fn start_writers(&self) -> Vec<tokio::task::JoinHandle<()>> {
        self.ledger.start(self.server.sql_port(), WRITERS, &mut StdRng::seed_from_u64(1))
    }

    async fn wait_for_acknowledged(&self, more: usize) -> Result<()> {
        let wanted = self.ledger.acknowledged() + more;
        wait_until("writes are acknowledged", || Ok(self.ledger.acknowledged() >= wanted)).await
    }

    /// Uses up what the log had set aside for itself before the disk was full.
    async fn fill_log(&self) -> Result<()> {
        let mut rng = StdRng::seed_from_u64(2);
        let client = self.server.connect().await?;
        for _ in 0..2000 {
            // Nothing that can be compressed, and not enough for a part of its own.
            let filler: String =
                (0..3000).map(|_| format!("{:016x}{:016x}", rng.random::<u64>(), rng.random::<u64>())).collect();
            let sql = format!("INSERT INTO ballast VALUES ('{filler}')");
            match tokio::time::timeout(Duration::from_secs(3), client.batch_execute(&sql)).await {
                Ok(Ok(())) => {}
                // Owed: it is answered when there is space.
                Err(_) => return Ok(()),
                Ok(Err(error)) if error.code().is_some_and(|code| code.code() == "53100") => return Ok(()),
                Ok(Err(error)) => return Err(system_test::server::describe(&error)),
            }
        }
        bail!("the disk does not get full")
    }

    /// Writes until it is refused. Whoever wrote when the space ran out waits: what they wrote is owed.
    async fn wait_for_refusals(&self) -> Result<()> {
        let started = SystemTime::now();
        while self.ledger.refusals("53100") < 3 {
            ensure!(started.elapsed()? < SOON, "writes are not refused with 53100");
            let client = self.server.connect().await?;
            let write = self.ledger.transact(&client, false);
            if let Ok(outcome) = tokio::time::timeout(Duration::from_secs(2), write).await {
                outcome?;
            }
        }
        Ok(())
    }

    /// Writes are refused, reads go on.
    async fn wait_for_only_reads(&self) -> Result<()> {
        self.wait_for_refusals().await?;
        let reader = self.server.connect().await?;
        rows(&reader, "SELECT count(*) FROM debits").await.context("reads go on")?;
        Ok(())
    }

    /// The process has survived; everything is there, also after a cut.
    async fn check_alive(mut self, writers: Vec<tokio::task::JoinHandle<()>>) -> Result<()> {
        self.ledger.stop();
        for writer in writers {
            writer.await?;
        }
        ensure!(self.server.ended()?.is_none(), "environmentd has ended");
        self.ledger.check(&self.server.connect().await?).await?;
        self.check_after_cut().await
    }

    /// Restarts on the same disk, after the power was cut as well, and checks everything.
    async fn check_after_cut(mut self) -> Result<()> {
        self.disk.cut()?;
        self.server.kill_all();
        self.disk.restore()?;
        self.server.start_again()?;
        self.ledger.check(&self.server.connect().await?).await
    }
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = SystemTime::now();
    while !holds()? {
        if started.elapsed()? > SOON {
            bail!("after {SOON:?} it does not hold that {what}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The failed sync is neither repeated nor believed: the process ends, and none of what it would have made durable was acknowledged.
async fn a_failed_call_ends_the_process(inject: &str) -> Result<()> {
    let mut rig = Rig::new(1024).await?;
    let writers = rig.start_writers();
    rig.wait_for_acknowledged(50).await?;
    let strace = rig.attach(inject)?;
    wait_until("environmentd ends", || Ok(rig.server.ended()?.is_some())).await?;
    let status = rig.server.ended()?.context("it has ended")?;
    ensure!(!status.success(), "it ended with {status}");
    drop(strace);
    for writer in writers {
        writer.await?;
    }
    let failed = first_injection(rig.strace_log.path())?;
    let last = rig.ledger.last_acknowledged_begin().context("some were acknowledged")?;
    ensure!(last <= failed, "a transaction was begun after the failure and acknowledged");
    rig.check_after_cut().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_ends_the_process() -> Result<()> {
    a_failed_call_ends_the_process("fdatasync:error=EIO:when=20+").await
}

/// Only one sync fails, as after a device has dropped what it could not write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_failed_sync_ends_the_process() -> Result<()> {
    a_failed_call_ends_the_process("fdatasync:error=EIO:when=31").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_of_a_part_refuses_its_copy() -> Result<()> {
    let rig = Rig::new(1024).await?;
    let client = rig.server.connect().await?;
    rig.ledger.transact(&client, true).await?;
    let before = rig.ledger.acknowledged();
    let strace = rig.attach("fsync:error=EIO")?;
    let outcome = rig.ledger.transact(&client, true).await;
    ensure!(
        rig.ledger.acknowledged() == before,
        "a COPY was acknowledged although its part was not synced: {outcome:?}"
    );
    strace.detach()?;
    rig.check_after_cut().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_space_for_syncs_refuses_writes_until_there_is() -> Result<()> {
    let rig = Rig::new(1024).await?;
    let writers = rig.start_writers();
    rig.wait_for_acknowledged(50).await?;
    let strace = rig.attach("fdatasync:error=ENOSPC")?;
    rig.wait_for_only_reads().await?;
    strace.detach()?;
    rig.wait_for_acknowledged(50).await.context("writes resume by themselves")?;
    rig.check_alive(writers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_until_there_is_space() -> Result<()> {
    let rig = Rig::new(512).await?;
    let writers = rig.start_writers();
    rig.wait_for_acknowledged(50).await?;
    rig.server.connect().await?.batch_execute("CREATE TABLE ballast (filler text)").await?;
    let filler = rig.disk.fill(256)?;
    rig.fill_log().await?;
    rig.wait_for_only_reads().await?;
    std::fs::remove_file(&filler)?;
    // The appends that follow need no commit of the file system's journal, which would make this last as well.
    std::fs::File::open(filler.parent().context("a file in a directory")?)?.sync_all()?;
    rig.wait_for_acknowledged(50).await.context("writes resume by themselves")?;
    rig.check_alive(writers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_is_only_slow() -> Result<()> {
    let rig = Rig::new(1024).await?;
    let writers = rig.start_writers();
    rig.wait_for_acknowledged(50).await?;
    let strace = rig.attach("fdatasync:delay_exit=300000")?;
    rig.wait_for_acknowledged(20).await?;
    strace.detach()?;
    rig.wait_for_acknowledged(50).await?;
    rig.check_alive(writers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_disk_is_refused_by_name() -> Result<()> {
    let mut rig = Rig::new(512).await?;
    rig.server.stop()?;
    rig.server.kill_all();
    rig.disk.remount_read_only()?;
    let mut command = Command::new(system_test::server::bin_dir().join("environmentd"));
    command.arg("--data-dir").arg(rig.disk.path().join("data")).arg("--sql-listen-addr=127.0.0.1:0");
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{}: {text}", output.status);
    ensure!(text.contains("Read-only file system") && text.contains("data"), "{text}");
    Ok(())
}
