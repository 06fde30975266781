//! A blob store in memory whose network is bad: slow, with requests and replies that get lost, and full at times.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use persist::Blob;
use stdx::{Rng, Tasks};

/// What goes wrong, each in so many of a thousand requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BlobFaults {
    pub(crate) delay_ms_max: u64,
    /// Nothing was stored or read, and the client hears of an error.
    pub(crate) fail: u64,
    /// The object was stored, but the client hears of an error.
    pub(crate) lose_reply: u64,
    pub(crate) disk_full: u64,
    /// Not a fault of real stores: says that it has stored what it has not.
    pub(crate) lie: u64,
}

/// One process's way to the store.
pub(crate) struct FaultyBlobs {
    pub(crate) store: Blob,
    pub(crate) faults: BlobFaults,
    pub(crate) rng: Rng,
    pub(crate) tasks: Tasks,
}

impl FaultyBlobs {
    async fn travel(&self) {
        if self.faults.delay_ms_max > 0 {
            let micros = self.rng.below(self.faults.delay_ms_max * 1000);
            self.tasks.sleep(Duration::from_micros(micros)).await;
        }
    }

    fn strikes(&self, permille: u64) -> bool {
        permille > 0 && self.rng.below(1000) < permille
    }
}

fn failed(what: &'static str) -> Error {
    Error::Generic { store: "simulated", source: what.into() }
}

impl fmt::Debug for FaultyBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyBlobs({:?})", self.faults)
    }
}

impl fmt::Display for FaultyBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated blobs")
    }
}

#[async_trait]
impl ObjectStore for FaultyBlobs {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.travel().await;
        if self.strikes(self.faults.disk_full) {
            return Err(failed("No space left on device"));
        }
        if self.strikes(self.faults.fail) {
            return Err(failed("request lost"));
        }
        if self.strikes(self.faults.lie) {
            return Ok(PutResult { e_tag: None, version: None, extensions: Default::default() });
        }
        let outcome = self.store.put_opts(location, payload, options).await;
        self.travel().await;
        if self.strikes(self.faults.lose_reply) {
            return Err(failed("reply lost"));
        }
        outcome
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.travel().await;
        if self.strikes(self.faults.fail) {
            return Err(failed("request lost"));
        }
        self.store.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// The store as a process sees it.
pub(crate) fn faulty(store: &Blob, faults: BlobFaults, rng: Rng, tasks: Tasks) -> Blob {
    Arc::new(FaultyBlobs { store: Arc::clone(store), faults, rng, tasks })
}
