//! A disk whose power can be cut: an ext4 image on a loop device. What was not synced at the cut is gone.
//!
//! Needs root, loop devices, and Debian's e2fsprogs and mount.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// `EXT4_IOC_SHUTDOWN`: from now on nothing reaches the device, the journal included.
const SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
/// Without flushing the journal first.
const NO_LOG_FLUSH: u32 = 2;

/// A mounted file system of its own. Unmounted and deleted when dropped.
pub struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    /// Makes and mounts an empty disk. The image is sparse: it takes what is written.
    pub fn new(mib: u64) -> Result<Disk> {
        let disk = Disk { directory: tempfile::tempdir()? };
        std::fs::create_dir(disk.path())?;
        File::create(disk.image())?.set_len(mib << 20)?;
        disk.format()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn format(&self) -> Result<()> {
        // No blocks are kept for root, who is the one who runs this.
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(self.image()))?;
        self.mount()
    }

    fn mount(&self) -> Result<()> {
        // The journal is committed by syncs, hardly ever by time.
        let mut command = Command::new("mount");
        run(command.args(["-t", "ext4", "-o", "loop,commit=60"]).arg(self.image()).arg(self.path()))
    }

    /// Empties the disk.
    pub fn reformat(&self) -> Result<()> {
        self.unmount()?;
        self.format()
    }

    /// Cuts the power: whatever was not synced is lost, and every later write fails.
    #[allow(unsafe_code, reason = "there is no safe wrapper of this ioctl")]
    pub fn cut(&self) -> Result<()> {
        let root = File::open(self.path())?;
        // SAFETY: the opcode is ext4's, which reads one u32 through the pointer that `Setter` passes.
        let outcome = unsafe { rustix::ioctl::ioctl(&root, rustix::ioctl::Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) };
        outcome.context("cannot shut the file system down")
    }

    /// Turns the power on again. All processes that used the disk must have been killed.
    pub fn restore(&self) -> Result<()> {
        self.unmount()?;
        self.mount()
    }

    /// From now on nothing can be written.
    pub fn remount_read_only(&self) -> Result<()> {
        run(Command::new("mount").args(["-o", "remount,ro"]).arg(self.path()))
    }

    fn unmount(&self) -> Result<()> {
        // A killed process may take a moment to let its files go.
        for _ in 0..100 {
            if Command::new("umount").arg(self.path()).output()?.status.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        run(Command::new("umount").arg(self.path()))
    }

    /// Checks the rig itself: synced bytes survive a cut, unsynced ones and unsynced files do not.
    pub fn check_rig(&self) -> Result<()> {
        let (synced, unsynced) = (self.path().join("synced"), self.path().join("unsynced"));
        std::fs::write(&synced, b"first")?;
        let file = File::options().append(true).open(&synced)?;
        file.sync_all()?;
        File::open(self.path())?.sync_all()?;
        std::io::Write::write_all(&mut &file, &[7; 5000])?;
        std::fs::write(&unsynced, b"second")?;
        self.cut()?;
        drop(file);
        self.restore()?;
        ensure!(std::fs::read(&synced)? == b"first", "the rig loses synced bytes, or keeps unsynced ones");
        ensure!(!unsynced.exists(), "the rig keeps a file that was not synced");
        std::fs::remove_file(&synced)?;
        Ok(())
    }

    /// Takes all space but about `kib`; removing the file gives it back.
    pub fn fill(&self, kib: u64) -> Result<PathBuf> {
        let filler = self.path().join("filler");
        let free = free_kib(&self.path())?;
        run(Command::new("fallocate").arg("-l").arg(format!("{}K", free.saturating_sub(kib))).arg(&filler))?;
        Ok(filler)
    }
}

/// What an unprivileged process could still write.
fn free_kib(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail * stat.f_frsize / 1024)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nothing more can be done about a disk that will not go.
        let _ = self.unmount();
    }
}
