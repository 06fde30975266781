//! `environmentd restore`: lists backups, or fills an empty store from one.

use std::sync::Arc;

use persist::{
    Blob, BlobUrl, Destination, Log, LogUrl, RestoreRequest, RocksReader, find_backup, list_backups, restore,
};
use stdx::{Rng, Tasks};

use crate::boot::{BootError, lock_data_dir};
use crate::command::backup::progress_printer;
use crate::command::store::{absolute, parse, read_rocks_log};
use crate::command::{RestoreArgs, failed, text};

pub(crate) async fn run(args: &RestoreArgs, tasks: &Tasks) -> Result<(), BootError> {
    let url: BlobUrl = parse("--from", &args.from)?;
    if let Some(directory) = url.directory()
        && !directory.is_dir()
    {
        return Err(failed(format!("there are no backups in {}", directory.display())));
    }
    let from = persist::open_blob(&url).map_err(failed)?;
    if args.list {
        return list(&from, &url).await;
    }
    let at = args.at.as_deref().map(text::parse_time).transpose();
    let at = at.map_err(|error| BootError::Usage(format!("--at: {error}")))?;
    let request = RestoreRequest { backup: args.backup.clone(), at };
    // Before anything is made at the destination.
    let manifest = find_backup(&from, &request).await.map_err(failed)?;
    eprintln!("restoring backup {}", manifest.id);

    let (log_url, blob_url) = (args.store.log_url()?, args.store.blob_url()?);
    if absolute(blob_url.clone())? == absolute(url)? {
        return Err(BootError::Usage("--from names the blob store to restore into".to_owned()));
    }
    refuse_log_in_use(&log_url, tasks).await?;
    std::fs::create_dir_all(&args.store.data_dir).map_err(failed)?;
    let _lock = lock_data_dir(&args.store.data_dir)?;
    let rng = Rng::from_entropy();
    let log: Arc<dyn Log> = persist::open_log(&log_url, tasks.clone(), &rng).await.map_err(failed)?;
    let blob = persist::open_blob(&blob_url).map_err(failed)?;
    let destination = Destination { tasks, rng: &rng, log: log.as_ref(), blob: &blob };
    let report = restore(&from, &request, &destination, &progress_printer()).await.map_err(failed)?;
    println!("backup {} is restored into {log_url} and {blob_url}", report.backup);
    println!("  log id        {}", report.log_id);
    println!("  tables as of  {}", text::time(report.at));
    println!("  shards        {}", report.shards);
    println!("  parts copied  {} ({})", report.copied.parts_copied, text::size(report.copied.bytes_copied));
    Ok(())
}

/// A log with entries is refused before it is opened to be written, which may already change its files.
async fn refuse_log_in_use(url: &LogUrl, tasks: &Tasks) -> Result<(), BootError> {
    let LogUrl::Rocks(directory) = url else { return Ok(()) };
    if !RocksReader::is_made(directory) {
        return Ok(());
    }
    let log = read_rocks_log(directory, tasks).await.map_err(failed)?;
    if log.is_in_use() {
        return Err(failed(format!("the log {url} is in use")));
    }
    let (_, entries) = log.load().await.map_err(failed)?;
    match entries.last() {
        Some(entry) => {
            let cause = format!("the store to restore into is not empty: its log has entries up to {}", entry.seq);
            Err(failed(cause))
        }
        None => Ok(()),
    }
}

async fn list(from: &Blob, url: &BlobUrl) -> Result<(), BootError> {
    let listing = list_backups(from).await.map_err(failed)?;
    if listing.backups.is_empty() && listing.damaged.is_empty() {
        println!("no backups in {url}");
        return Ok(());
    }
    println!("{:<34}  {:<24}  {:<24}  {:>8}  {:>10}", "backup", "from", "to", "parts", "size");
    for backup in &listing.backups {
        let (from, to) = (text::time(backup.from), text::time(backup.to));
        let size = text::size(backup.part_bytes() + backup.log_bytes);
        println!("{:<34}  {from:<24}  {to:<24}  {:>8}  {size:>10}", backup.id, backup.parts.len());
    }
    for (id, cause) in &listing.damaged {
        println!("{id:<34}  DAMAGED: {cause}");
    }
    match listing.damaged.is_empty() {
        true => Ok(()),
        false => Err(failed(format!("{} damaged", listing.damaged.len()))),
    }
}
