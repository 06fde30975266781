//! Power cuts under load: everything acknowledged was synced, and is there when the power is back.
//!
//! `FRESHET_TEST_CUTS` sets the number of cuts (5 by default, 100 for a long run), `FRESHET_TEST_SEED` the seed. Needs root
//! and loop devices.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use system_test::strace::Strace;
use system_test::{Disk, Ledger, Server};

const WRITERS: usize = 4;
/// So often a cut hits an environment that has just been made.
const FRESH_EVERY: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_power_cuts() -> Result<()> {
    let cuts = system_test::setting("FRESHET_TEST_CUTS", 5);
    let mut rng = StdRng::seed_from_u64(system_test::seed());
    let disk = Disk::new(2048)?;
    disk.check_rig()?;
    let data = disk.path().join("data");
    let (mut ledger, mut acknowledged) = (Arc::new(Ledger::default()), 0);
    for cut in 0..cuts {
        let fresh = cut % FRESH_EVERY == 0;
        if fresh {
            disk.reformat()?;
            acknowledged += ledger.acknowledged();
            ledger = Arc::new(Ledger::default());
        }
        let mut server = Server::start_in(&data, &[]).with_context(|| format!("before cut {cut}"))?;
        let client = server.connect().await?;
        if fresh {
            ledger.prepare(&client).await?;
        }
        ledger.check(&client).await.with_context(|| format!("before cut {cut}"))?;
        let before = ledger.acknowledged();
        let writers = ledger.start(server.sql_port(), WRITERS, &mut rng);
        // The pause decides what the cut hits: it is the fault's timing, not a wait for something.
        tokio::time::sleep(Duration::from_millis(rng.random_range(if fresh { 0..300 } else { 50..2000 }))).await;
        let cut_at = SystemTime::now();
        disk.cut()?;
        server.kill_all();
        for writer in writers {
            writer.await?;
        }
        // A sync that is under way when the file system is shut down may succeed all the same: no disk does that.
        let doubted = ledger.doubt(cut_at);
        drop((client, server));
        disk.restore()?;
        let acknowledged = ledger.acknowledged() - before;
        eprintln!("cut {cut}: {acknowledged} transactions were acknowledged, {doubted} answered while it was cut");
    }
    let server = Server::start_in(&data, &[])?;
    ledger.check(&server.connect().await?).await.context("after the last cut")?;
    acknowledged += ledger.acknowledged();
    eprintln!("{cuts} power cuts, {acknowledged} acknowledged transactions");
    ensure!(acknowledged as u64 > 5 * cuts, "the run wrote too little to show anything");
    Ok(())
}

/// The test of the test: without syncs a cut loses what was acknowledged, and that is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_does_not_sync_is_noticed() -> Result<()> {
    let disk = Disk::new(1024)?;
    let mut server = Server::start_in(&disk.path().join("data"), &[])?;
    let ledger = Arc::new(Ledger::default());
    let client = server.connect().await?;
    ledger.prepare(&client).await?;
    let strace_log = tempfile::NamedTempFile::new()?;
    let strace = Strace::attach(server.pid(), "fdatasync,fsync:retval=0", strace_log.path())?;
    for _ in 0..50 {
        ledger.transact(&client, false).await?;
    }
    disk.cut()?;
    server.kill_all();
    drop(strace);
    disk.restore()?;
    let found = match server.start_again() {
        Ok(()) => ledger.check(&server.connect().await?).await,
        Err(error) => Err(error),
    };
    let Err(found) = found else { anyhow::bail!("nothing notices that the log was not synced") };
    eprintln!("without syncs: {found:#}");
    Ok(())
}
