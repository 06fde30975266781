//! Which machine led a log last: a lock is local to a kernel, so it proves only that no other process *of this machine* leads.

use std::fs::File;
use std::io;
use std::path::Path;

const HOLDER: &str = "HOLDER";

/// This machine: the id of its installation and that of its boot. Either alone would do on a machine of its own; containers
/// may lack the first, and the second changes with every boot.
struct Machine {
    installation: String,
    boot: String,
}

impl Machine {
    fn this() -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Machine { installation: read("/etc/machine-id"), boot: read("/proc/sys/kernel/random/boot_id") }
    }

    /// Whether a process of `other` runs, if at all, under this kernel.
    fn is(&self, other: &Machine) -> bool {
        let same = |one: &str, other: &str| !one.is_empty() && one == other;
        same(&self.boot, &other.boot) || same(&self.installation, &other.installation)
    }
}

/// Whether the last process that led the log in `directory` ran on this machine. Not if nobody knows.
pub(crate) fn was_this_machine(directory: &Path) -> bool {
    let text = std::fs::read_to_string(directory.join(HOLDER)).unwrap_or_default();
    let mut lines = text.lines().map(str::to_owned);
    let holder = Machine { installation: lines.next().unwrap_or_default(), boot: lines.next().unwrap_or_default() };
    Machine::this().is(&holder)
}

/// Notes that this machine leads.
pub(crate) fn write(directory: &Path) -> io::Result<()> {
    let Machine { installation, boot } = Machine::this();
    let (path, new) = (directory.join(HOLDER), directory.join("HOLDER.new"));
    std::fs::write(&new, format!("{installation}\n{boot}\n"))?;
    File::open(&new)?.sync_all()?;
    std::fs::rename(&new, &path)?;
    File::open(directory)?.sync_all()
}

/// Whether other machines may have the directory too.
pub(crate) fn is_on_network(directory: &Path) -> bool {
    /// NFS, SMB (three numbers), Ceph, FUSE, 9P, Lustre, GFS2, OCFS2, AFS: `statfs(2)`.
    const NETWORKS: [u32; 11] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x00c3_6400,
        0x6573_5546,
        0x0102_1997,
        0x0bd0_0bd0,
        0x0116_1970,
        0x7461_636f,
        0x5346_414f,
    ];
    rustix::fs::statfs(directory).is_ok_and(|stat| NETWORKS.contains(&(stat.f_type as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_of_another_machine_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!was_this_machine(directory.path()), "nobody knows who led");
        write(directory.path()).unwrap();
        assert!(was_this_machine(directory.path()));
        std::fs::write(directory.path().join(HOLDER), "another\nboot\n").unwrap();
        assert!(!was_this_machine(directory.path()));
        // A machine that was started again is the same one.
        let installation = Machine::this().installation;
        std::fs::write(directory.path().join(HOLDER), format!("{installation}\nboot\n")).unwrap();
        assert_eq!(was_this_machine(directory.path()), !installation.is_empty());
        std::fs::write(directory.path().join(HOLDER), "\n\n").unwrap();
        assert!(!was_this_machine(directory.path()), "an empty id is nobody's");
    }
}
