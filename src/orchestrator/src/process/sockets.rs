//! Addresses for a process: Unix sockets in its directory, free loopback ports.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::orchestrator::{ServicePort, Transport};

/// The system's limit on the path of a socket is 108 bytes, with a terminator.
const PATH_BYTES_MAX: usize = 107;

/// Picks an address for each port. Sockets keep their path over restarts, TCP ports are new each time.
pub(crate) fn assign(directory: &Path, ports: &[ServicePort]) -> io::Result<BTreeMap<String, String>> {
    let mut listen = BTreeMap::new();
    // All are bound before any is released, so that no two ports get one number.
    let mut bound = Vec::new();
    for port in ports {
        let address = match port.transport {
            Transport::Local => format!("unix:{}", socket_path(directory, &port.name)?.display()),
            Transport::Tcp => {
                let listener = TcpListener::bind(("127.0.0.1", 0))?;
                let address = listener.local_addr()?.to_string();
                bound.push(listener);
                address
            }
        };
        listen.insert(port.name.clone(), address);
    }
    Ok(listen)
}

fn socket_path(directory: &Path, name: &str) -> io::Result<PathBuf> {
    let path = directory.join(format!("{name}.sock"));
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok(path);
    }
    let short = short_directory(directory);
    make_private(&short)?;
    let path = short.join(name);
    if path.as_os_str().len() > PATH_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("socket path too long: {}", path.display())));
    }
    Ok(path)
}

/// Stands in, under the system's temporary directory, for a directory whose path is too long for sockets.
pub(crate) fn short_directory(directory: &Path) -> PathBuf {
    // FNV-1a: stable over versions, so that a later parent finds the sockets again.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in directory.as_os_str().as_encoded_bytes() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    std::env::temp_dir().join(format!("freshet-{hash:016x}"))
}

/// Makes a directory that only we can use; one that exists must be ours already.
fn make_private(directory: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = std::fs::symlink_metadata(directory)?;
            let ours = metadata.uid() == rustix::process::geteuid().as_raw();
            if metadata.is_dir() && ours && metadata.permissions().mode() & 0o077 == 0 {
                Ok(())
            } else {
                let reason = format!("{} exists and is not a private directory of ours", directory.display());
                Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
            }
        }
        Err(error) => Err(error),
    }
}
