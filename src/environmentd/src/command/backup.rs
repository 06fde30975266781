//! `environmentd backup`: asks the environment that runs, or reads the store itself if none does.

use std::path::Path;

use parking_lot::Mutex;
use persist::{
    BackupReport, BlobUrl, Progress, Pruned, RemoteAddress, RemoteShards, backup_stored, list_backups, prune_backups,
};
use protocol::grpc::Address;
use protocol::tls::{Peers, Tls, TlsFiles};
use stdx::Tasks;

use crate::boot::{BootError, SHARDCTL_SOCKET, lock_data_dir};
use crate::command::store::{absolute, parse};
use crate::command::{BackupArgs, failed, text};

pub(crate) async fn run(args: &BackupArgs, tasks: &Tasks) -> Result<(), BootError> {
    let to: BlobUrl = absolute(parse("--to", &args.to)?)?;
    let report = match leader_address(args)? {
        Some(address) => {
            match &address {
                RemoteAddress::Tcp(address) => eprintln!("asking the environment at {address}"),
                RemoteAddress::Unix(path) => eprintln!("asking the environment at {}", path.display()),
            }
            let leader = leader(args, address, tasks)?;
            leader.backup(&to.to_string(), &progress_printer()).await.map_err(failed)?
        }
        None => backup_directly(args, &to, tasks).await?,
    };
    print(&report, &to);
    if let Some(keep) = args.keep {
        prune(&report.id, &to, keep).await?;
    }
    Ok(())
}

/// The place is opened with this program's own credentials.
async fn prune(newest: &str, to: &BlobUrl, keep: u32) -> Result<(), BootError> {
    let target = persist::open_blob(to).map_err(failed)?;
    let listing = list_backups(&target).await.map_err(failed)?;
    let made = listing.backups.iter().find(|backup| backup.id == newest);
    let made = made.ok_or_else(|| failed(format!("backup {newest} is not in {to} as it is seen from here")))?;
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let Pruned { backups, parts, part_bytes } = prune_backups(&target, made.log_id, keep).await.map_err(failed)?;
    for id in &backups {
        println!("backup {id} is deleted");
    }
    if !backups.is_empty() {
        println!("  parts deleted       {parts} ({})", text::size(part_bytes));
    }
    Ok(())
}

/// The environment at an address, which is to prove who it is if there is something to prove who we are.
fn leader(args: &BackupArgs, address: RemoteAddress, tasks: &Tasks) -> Result<RemoteShards, BootError> {
    let (RemoteAddress::Tcp(text), Some(files)) = (&address, tls_files(args)) else {
        return RemoteShards::connect(address, tasks.clone()).map_err(failed);
    };
    let usage = |error: &dyn std::fmt::Display| BootError::Usage(format!("--shardctl-addr {text}: {error}"));
    let address: Address = text.parse().map_err(|error| usage(&error))?;
    let tls = files.read().and_then(|pem| Tls::new(tasks.clone(), pem));
    let tls = tls.map_err(|error| BootError::Usage(format!("--tls-cert, --tls-key, --tls-ca: {error}")))?;
    let guard = tls.guard(Peers::Environmentd);
    let connect = move || {
        let (address, guard) = (address.clone(), guard.clone());
        async move { address.connect(Some(&guard)).await }
    };
    Ok(RemoteShards::through(connect, tasks.clone()))
}

fn tls_files(args: &BackupArgs) -> Option<TlsFiles> {
    let (certificates, key, authorities) = (args.tls_cert.clone()?, args.tls_key.clone()?, args.tls_ca.clone()?);
    Some(TlsFiles { certificates, key, authorities })
}

/// Where the running environment listens; none if no environment runs in the data directory.
fn leader_address(args: &BackupArgs) -> Result<Option<RemoteAddress>, BootError> {
    if let Some(address) = &args.shardctl_addr {
        return Ok(Some(RemoteAddress::Tcp(address.clone())));
    }
    let data_dir = &args.store.data_dir;
    if !data_dir.join("LOCK").exists() || lock_data_dir(data_dir).is_ok() {
        return Ok(None);
    }
    address_of(data_dir).map(Some).map_err(|error| {
        failed(format!("{} is in use, but its environment cannot be asked: {error}", data_dir.display()))
    })
}

fn address_of(data_dir: &Path) -> Result<RemoteAddress, String> {
    // For this machine's processes, without TLS; it lies elsewhere if its path would be too long.
    let socket = data_dir.join(SHARDCTL_SOCKET);
    if socket.exists() {
        return Ok(RemoteAddress::Unix(socket));
    }
    let path = data_dir.join("addresses.json");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let address = json["shardctl"].as_str().ok_or_else(|| format!("{} names no shardctl", path.display()))?;
    Ok(RemoteAddress::Tcp(address.to_owned()))
}

async fn backup_directly(args: &BackupArgs, to: &BlobUrl, tasks: &Tasks) -> Result<BackupReport, BootError> {
    let store = args.store.open_to_read(tasks).await?;
    if store.in_use {
        return Err(failed(format!(
            "the log {} is in use by an environment elsewhere: name its address with --shardctl-addr",
            store.log_url
        )));
    }
    if absolute(store.blob_url)? == *to {
        return Err(BootError::Usage("--to names the environment's own blob store".to_owned()));
    }
    eprintln!("no environment runs here: reading {} itself", store.log_url);
    let target = persist::open_blob(to).map_err(failed)?;
    let made = backup_stored(tasks, store.log.as_ref(), &store.blob, &target, &progress_printer()).await;
    made.map_err(failed)
}

/// Says how far it has come whenever another tenth is done.
pub(crate) fn progress_printer() -> impl Fn(Progress) + Send + Sync {
    let printed = Mutex::new(0);
    move |progress: Progress| {
        let wanted = progress.parts_total - progress.parts_shared;
        let tenths = (progress.parts_copied * 10).checked_div(wanted).unwrap_or(0);
        let mut printed = printed.lock();
        if tenths > *printed {
            *printed = tenths;
            let (copied, bytes) = (progress.parts_copied, text::size(progress.bytes_copied));
            eprintln!("{copied} of {wanted} parts, {bytes}");
        }
    }
}

fn print(report: &BackupReport, to: &BlobUrl) {
    let BackupReport { id, seq, from, to: last, copied } = report;
    println!("backup {id} is complete in {to}");
    println!("  log entries up to   {seq}");
    println!("  can be restored at  {} to {}", text::time(*from), text::time(*last));
    println!("  parts copied        {} ({})", copied.parts_copied, text::size(copied.bytes_copied));
    println!("  parts there already {} ({})", copied.parts_shared, text::size(copied.bytes_shared));
}
