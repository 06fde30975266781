//! Finding a store by its flags, and opening it without changing it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use persist::{Blob, BlobUrl, Log, LogError, LogUrl, RocksReader};
use stdx::{Redacted, Rng, Tasks};

use crate::boot::BootError;
use crate::command::{StoreArgs, failed};

/// A store opened to be read.
pub(crate) struct ReadStore {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) blob: Blob,
    pub(crate) log_url: LogUrl,
    pub(crate) blob_url: BlobUrl,
    /// Another process writes the log meanwhile. Not known of logs without a lock.
    pub(crate) in_use: bool,
}

impl StoreArgs {
    pub(crate) fn log_url(&self) -> Result<LogUrl, BootError> {
        match &self.log_url {
            Some(url) => parse("--log-url", url),
            None => Ok(LogUrl::Rocks(self.data_dir.join("log"))),
        }
    }

    pub(crate) fn blob_url(&self) -> Result<BlobUrl, BootError> {
        match &self.blob_url {
            Some(url) => parse("--blob-url", url),
            None => Ok(BlobUrl::of_directory(&self.data_dir.join("blobs"))),
        }
    }

    /// Opens what is there, also while an environment runs.
    pub(crate) async fn open_to_read(&self, tasks: &Tasks) -> Result<ReadStore, BootError> {
        let (log_url, blob_url) = (self.log_url()?, self.blob_url()?);
        let (log, in_use): (Arc<dyn Log>, bool) = match &log_url {
            LogUrl::Rocks(directory) => {
                let log = read_rocks_log(directory, tasks).await.map_err(failed)?;
                let in_use = log.is_in_use();
                (Arc::new(log), in_use)
            }
            other => (persist::open_log(other, tasks.clone(), &Rng::from_entropy()).await.map_err(failed)?, false),
        };
        if let Some(directory) = blob_url.directory()
            && !directory.is_dir()
        {
            return Err(failed(format!("there is no blob store in {}", directory.display())));
        }
        let blob = persist::open_blob(&blob_url).map_err(failed)?;
        Ok(ReadStore { log, blob, log_url, blob_url, in_use })
    }
}

pub(crate) async fn read_rocks_log(directory: &Path, tasks: &Tasks) -> Result<RocksReader, LogError> {
    let (directory, rocks_tasks) = (directory.to_owned(), tasks.clone());
    tasks.spawn_blocking("rocks-log-read", move || RocksReader::open(&directory, rocks_tasks)).await
}

pub(crate) fn parse<U: std::str::FromStr<Err = persist::UrlError>>(
    flag: &str,
    url: &Redacted<String>,
) -> Result<U, BootError> {
    url.expose().parse().map_err(|error| BootError::Usage(format!("{flag}: {error}")))
}

/// The place where backups are kept, named so that a process in another directory finds it too.
pub(crate) fn absolute(url: BlobUrl) -> Result<BlobUrl, BootError> {
    match url.directory() {
        Some(directory) => {
            let path: PathBuf = std::path::absolute(directory).map_err(failed)?;
            Ok(BlobUrl::of_directory(&path))
        }
        None => Ok(url),
    }
}
