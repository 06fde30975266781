//! Where the log and the blobs are, as URLs, and how they are opened.
//!
//! Credentials never stand in the URL of an object store: they come from the environment, under the names that the stores'
//! own tools use. So such a URL can be shown, logged and passed on to other processes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use stdx::{Redacted, Rng, Tasks, with_causes};

use crate::blob::{Blob, BlobError, local_blob};
use crate::log::{Log, LogError};
use crate::obj_log::ObjLog;
use crate::pg_log::PgLog;
use crate::rocks_log::RocksLog;

/// An option whose name contains one of these is a secret, and so is one that ends in `key`.
const SECRET_WORDS: [&str; 6] = ["secret", "token", "password", "access_key", "customer_key", "private"];

/// A URL that names no store; never contains the URL, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

/// Where the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogUrl {
    /// `rocksdb:<directory>`: on a local disk, for one process at a time.
    Rocks(PathBuf),
    /// One object for each entry.
    Objects(StoreUrl),
    /// `postgres://…`: a table in a PostgreSQL database.
    Postgres(Redacted<String>),
}

/// Where the blobs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobUrl(StoreUrl);

/// `file:<directory>`, `s3://<bucket>/<prefix>`, `gs://…` or `az://…`, with `?<option>=<value>&…` behind the last three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl {
    place: Place,
    /// As the `object_store` crate names them.
    options: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Directory(PathBuf),
    Bucket { service: Service, bucket: String, prefix: ObjectPath },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    S3,
    Google,
    Azure,
}

/// Opens a log. Errors: as the backend's; `Broken`, naming the store, if it cannot be reached or does not keep the rules.
pub async fn open_log(url: &LogUrl, tasks: Tasks, rng: &Rng) -> Result<Arc<dyn Log>, LogError> {
    match url {
        LogUrl::Rocks(directory) => {
            let (directory, rocks_tasks) = (directory.clone(), tasks.clone());
            let open = move || RocksLog::open(&directory, rocks_tasks);
            Ok(Arc::new(tasks.spawn_blocking("rocks-log-open", open).await?))
        }
        LogUrl::Objects(store) => {
            let opened = store.open(&append_retries());
            let objects = opened.map_err(|cause| LogError::Broken(format!("cannot open {url}: {cause}")))?;
            let log = ObjLog::new(objects, store.place.to_string(), store.directory().map(Path::to_owned), tasks);
            log.prove(rng).await?;
            Ok(Arc::new(log))
        }
        LogUrl::Postgres(url) => Ok(Arc::new(PgLog::open(url.expose(), tasks).await?)),
    }
}

/// Opens a blob store. Errors: the directory or the options cannot be used. The store itself is asked at first use.
pub fn open_blob(url: &BlobUrl) -> Result<Blob, BlobError> {
    url.0.open(&blob_retries()).map_err(|cause| BlobError::Failed { key: url.to_string(), cause })
}

/// Few: the leader asks the log what became of an append, and that is better than to try blindly.
fn append_retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(50),
        max_backoff: Duration::from_secs(1),
        ..BackoffConfig::default()
    };
    RetryConfig { backoff, max_retries: 4, retry_timeout: Duration::from_secs(10) }
}

fn blob_retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        ..BackoffConfig::default()
    };
    RetryConfig { backoff, max_retries: 10, retry_timeout: Duration::from_secs(60) }
}

impl LogUrl {
    /// The local directory that holds it.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            LogUrl::Rocks(directory) => Some(directory),
            LogUrl::Objects(store) => store.directory(),
            LogUrl::Postgres(_) => None,
        }
    }
}

impl BlobUrl {
    /// `file:<directory>`.
    pub fn of_directory(directory: &Path) -> BlobUrl {
        BlobUrl(StoreUrl { place: Place::Directory(directory.to_owned()), options: BTreeMap::new() })
    }

    /// The local directory that holds them.
    pub fn directory(&self) -> Option<&Path> {
        self.0.directory()
    }
}

impl StoreUrl {
    fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Directory(directory) => Some(directory),
            Place::Bucket { .. } => None,
        }
    }

    fn open(&self, retries: &RetryConfig) -> Result<Blob, String> {
        let (service, bucket, prefix) = match &self.place {
            Place::Directory(directory) => return local_blob(directory).map_err(|error| error.to_string()),
            Place::Bucket { service, bucket, prefix } => (service, bucket, prefix.clone()),
        };
        // There is one TLS provider; whoever installed it first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let opened: object_store::Result<Blob> = match service {
            Service::S3 => self.s3(bucket, retries).map(|store| prefixed(store, prefix)),
            Service::Google => self.google(bucket, retries).map(|store| prefixed(store, prefix)),
            Service::Azure => self.azure(bucket, retries).map(|store| prefixed(store, prefix)),
        };
        opened.map_err(|error| with_causes(&error))
    }

    fn s3(&self, bucket: &str, retries: &RetryConfig) -> object_store::Result<object_store::aws::AmazonS3> {
        let mut builder = AmazonS3Builder::from_env();
        for (name, value) in &self.options {
            builder = builder.with_config(name.parse::<AmazonS3ConfigKey>()?, value);
        }
        builder.with_bucket_name(bucket).with_retry(retries.clone()).build()
    }

    fn google(
        &self,
        bucket: &str,
        retries: &RetryConfig,
    ) -> object_store::Result<object_store::gcp::GoogleCloudStorage> {
        let mut builder = GoogleCloudStorageBuilder::from_env();
        for (name, value) in &self.options {
            builder = builder.with_config(name.parse::<GoogleConfigKey>()?, value);
        }
        builder.with_bucket_name(bucket).with_retry(retries.clone()).build()
    }

    fn azure(
        &self,
        container: &str,
        retries: &RetryConfig,
    ) -> object_store::Result<object_store::azure::MicrosoftAzure> {
        let mut builder = MicrosoftAzureBuilder::from_env();
        for (name, value) in &self.options {
            builder = builder.with_config(name.parse::<AzureConfigKey>()?, value);
        }
        builder.with_container_name(container).with_retry(retries.clone()).build()
    }
}

fn prefixed(store: impl ObjectStore, prefix: ObjectPath) -> Blob {
    if prefix.as_ref().is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) }
}

impl Service {
    fn scheme(self) -> &'static str {
        match self {
            Service::S3 => "s3",
            Service::Google => "gs",
            Service::Azure => "az",
        }
    }

    fn knows(self, option: &str) -> bool {
        match self {
            Service::S3 => option.parse::<AmazonS3ConfigKey>().is_ok(),
            Service::Google => option.parse::<GoogleConfigKey>().is_ok(),
            Service::Azure => option.parse::<AzureConfigKey>().is_ok(),
        }
    }
}

impl FromStr for LogUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<LogUrl, UrlError> {
        match split_scheme(text)? {
            ("rocksdb", rest) => Ok(LogUrl::Rocks(directory(rest)?)),
            ("postgres" | "postgresql", _) => Ok(LogUrl::Postgres(Redacted::new(text.to_owned()))),
            (scheme, rest) => match StoreUrl::parse(scheme, rest)? {
                Some(store) => Ok(LogUrl::Objects(store)),
                None => Err(UrlError(format!(
                    "{scheme:?} is no kind of log: it is one of rocksdb:<directory>, file:<directory>, \
                     s3://<bucket>/<prefix>, gs://<bucket>/<prefix>, az://<container>/<prefix>, postgres://<host>/<database>"
                ))),
            },
        }
    }
}

impl FromStr for BlobUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<BlobUrl, UrlError> {
        let (scheme, rest) = split_scheme(text)?;
        match StoreUrl::parse(scheme, rest)? {
            Some(store) => Ok(BlobUrl(store)),
            None => Err(UrlError(format!(
                "{scheme:?} is no kind of blob store: it is one of file:<directory>, s3://<bucket>/<prefix>, \
                 gs://<bucket>/<prefix>, az://<container>/<prefix>"
            ))),
        }
    }
}

fn split_scheme(text: &str) -> Result<(&str, &str), UrlError> {
    text.split_once(':')
        .ok_or_else(|| UrlError("a URL begins with its scheme, such as s3://<bucket>/<prefix>".to_owned()))
}

/// `/absolute`, `relative`, and `///absolute` as other programs write it.
fn directory(rest: &str) -> Result<PathBuf, UrlError> {
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => {
            return Err(UrlError("a directory on another host is not supported: write file:///<path>".to_owned()));
        }
        None => rest,
    };
    if path.is_empty() { Err(UrlError("the directory is missing".to_owned())) } else { Ok(PathBuf::from(path)) }
}

impl StoreUrl {
    /// None if `scheme` names no kind of store.
    fn parse(scheme: &str, rest: &str) -> Result<Option<StoreUrl>, UrlError> {
        let service = match scheme {
            "file" => {
                let place = Place::Directory(directory(rest)?);
                return Ok(Some(StoreUrl { place, options: BTreeMap::new() }));
            }
            "s3" => Service::S3,
            "gs" => Service::Google,
            "az" => Service::Azure,
            _ => return Ok(None),
        };
        let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
        let location = location.strip_prefix("//").unwrap_or_default();
        let (bucket, prefix) = location.split_once('/').unwrap_or((location, ""));
        let fits = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        if bucket.is_empty() || !bucket.chars().all(fits) {
            return Err(UrlError(format!("the bucket is missing or not a name: write {scheme}://<bucket>/<prefix>")));
        }
        let prefix = ObjectPath::parse(prefix).map_err(|error| UrlError(format!("the prefix: {error}")))?;
        let mut options = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let name = option_name(service, &name)?;
            if options.insert(name.clone(), value.into_owned()).is_some() {
                return Err(UrlError(format!("option {name:?} is given twice")));
            }
        }
        let place = Place::Bucket { service, bucket: bucket.to_owned(), prefix };
        Ok(Some(StoreUrl { place, options }))
    }
}

fn is_secret(option: &str) -> bool {
    let named = option.ends_with("key") || SECRET_WORDS.iter().any(|word| option.contains(word));
    named && !option.ends_with("_file")
}

fn option_name(service: Service, given: &str) -> Result<String, UrlError> {
    let name = given.to_ascii_lowercase();
    let bare = ["aws_", "google_", "azure_"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
    if is_secret(bare) {
        return Err(UrlError(format!(
            "option {given:?} is a secret: give it in the environment (AWS_*, GOOGLE_*, AZURE_*), not in the URL"
        )));
    }
    let is_place = ["bucket", "bucket_name", "container_name"].contains(&bare);
    let name = if service == Service::S3 && name == "sse" { "server_side_encryption".to_owned() } else { name };
    if is_place || !service.knows(&name) {
        return Err(UrlError(format!("{}:// has no option {given:?}", service.scheme())));
    }
    Ok(name)
}

impl fmt::Display for LogUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogUrl::Rocks(directory) => write!(f, "rocksdb:{}", directory.display()),
            LogUrl::Objects(store) => store.fmt(f),
            LogUrl::Postgres(url) => f.write_str(&without_password(url.expose())),
        }
    }
}

impl fmt::Display for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        if !self.options.is_empty() {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.options).finish();
            write!(f, "?{query}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Directory(directory) => write!(f, "file:{}", directory.display()),
            Place::Bucket { service, bucket, prefix } => write!(f, "{}://{bucket}/{prefix}", service.scheme()),
        }
    }
}

/// Hides what stands between the user's name and the host, and every option that is a secret.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "postgres:<redacted>".to_owned() };
    let (location, query) = rest.split_once('?').map_or((rest, None), |(location, query)| (location, Some(query)));
    // The last @, for a password may hold one that was not encoded.
    let location = match location.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:<redacted>@{host}"),
            None => format!("{user}@{host}"),
        },
        None => location.to_owned(),
    };
    let mut text = format!("{scheme}://{location}");
    for (index, option) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = if is_secret(&name.to_ascii_lowercase()) { "<redacted>" } else { value };
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(&format!("{name}={value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> String {
        text.parse::<LogUrl>().map_or_else(|error| format!("error: {error}"), |url| url.to_string())
    }

    fn blob(text: &str) -> String {
        text.parse::<BlobUrl>().map_or_else(|error| format!("error: {error}"), |url| url.to_string())
    }

    #[test]
    fn urls_print_as_they_are_read() {
        for same in [
            "rocksdb:/var/lib/freshet/log",
            "rocksdb:relative/log",
            "file:/var/lib/freshet?/blobs",
            "s3://bucket/",
            "s3://bucket/some/prefix",
            "s3://bucket/prefix?allow_http=true&endpoint=http%3A%2F%2F127.0.0.1%3A9000&region=eu-north-1",
            "gs://bucket/prefix?base_url=http%3A%2F%2Flocalhost%3A4443",
            "az://container/prefix?account_name=account",
            "postgres://user@host:5432/database?sslmode=require",
        ] {
            assert_eq!(log(same), same);
        }
        assert_eq!(log("file:///var/lib"), "file:/var/lib");
        assert_eq!(
            blob("s3://b/p/?sse=aws:kms&sse_kms_key_id=k"),
            "s3://b/p?server_side_encryption=aws%3Akms&sse_kms_key_id=k"
        );
    }

    #[test]
    fn passwords_never_print() {
        let url = "postgres://user:pa:ss@word@one:1,two:2/base?sslpassword=word&sslmode=require&password=word";
        let printed = log(url);
        assert_eq!(
            printed,
            "postgres://user:<redacted>@one:1,two:2/base?sslpassword=<redacted>&sslmode=require&password=<redacted>"
        );
        let debugged = format!("{:?}", url.parse::<LogUrl>().unwrap());
        assert!(!debugged.contains("word@"), "{debugged}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("/var/lib", "begins with its scheme"),
            ("ftp://host/path", "\"ftp\" is no kind of log"),
            ("rocksdb:", "the directory is missing"),
            ("file://host/path", "on another host"),
            ("s3:bucket/prefix", "the bucket is missing"),
            ("s3://", "the bucket is missing"),
            ("s3://us er/prefix", "not a name"),
            ("s3://bucket/a//b", "the prefix"),
            ("s3://bucket/p?colour=red", "s3:// has no option \"colour\""),
            ("s3://bucket/p?bucket=other", "s3:// has no option \"bucket\""),
            ("gs://bucket/p?sse=aws:kms", "gs:// has no option \"sse\""),
            ("s3://bucket/p?region=a&region=b", "given twice"),
        ] {
            let error = log(text);
            assert!(error.starts_with("error: ") && error.contains(expected), "{text}: {error}");
        }
        assert!(blob("rocksdb:/var/lib").contains("no kind of blob store"));
    }

    #[test]
    fn secrets_are_refused_in_urls_and_not_repeated() {
        for option in [
            "secret_access_key",
            "aws_secret_access_key",
            "access_key_id",
            "session_token",
            "sse_customer_key_base64",
            "service_account_key",
            "azure_storage_sas_token",
            "azure_storage_access_key",
            "account_key",
        ] {
            for scheme in ["s3", "gs", "az"] {
                let error = blob(&format!("{scheme}://bucket/p?{option}=hunter2"));
                assert!(error.contains("environment") && !error.contains("hunter2"), "{option}: {error}");
            }
        }
    }

    #[test]
    fn stores_open_without_being_asked() {
        for url in [
            "s3://bucket/p?region=eu-north-1&sse=aws:kms&sse_kms_key_id=key&skip_signature=true",
            "gs://bucket/p?skip_signature=true",
            "az://container/p?account_name=account&skip_signature=true",
        ] {
            let url: BlobUrl = url.parse().expect("it is a URL");
            open_blob(&url).expect("the options fit");
        }
        let url: BlobUrl = "s3://bucket/p?sse=rot13".parse().expect("its values are looked at when it is opened");
        let error = open_blob(&url).expect_err("no such encryption").to_string();
        assert!(error.contains("s3://bucket/p"), "{error}");
    }
}
