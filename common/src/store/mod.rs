//! A dataset's file store: what lies in its source, and the bytes of one file. Nothing else touches a source's files, and
//! nothing else uses object_store.

mod after_load;
mod bucket;
mod cause;
mod file;
mod key;
mod listed;
mod listed_keys;
mod local;
mod local_file;
mod object_file;
mod pages;
mod s3;
mod threads;
mod time;
mod wanted;

use std::sync::Arc;

use object_store::ObjectStore;
use tokio::sync::mpsc;
use url::Url;

pub use after_load::{AfterLoadOutcome, AfterLoadStep, Grant, LoadedFile, Permission};
pub use bucket::Bucket;
pub use file::{LastCheck, OpenFile, StoreError, StoredFile};
pub use key::canonical_object_uri;
pub use listed::{Listed, SkipReason, Skipped};
pub use local::LocalStore;
pub use local_file::OpenLocalFile;
pub use threads::{StoreHangs, StoreThread};

use crate::dataset::{BucketSource, Dataset};

/// The store of one dataset, by the scheme of its source.
#[derive(Debug, Clone)]
pub enum Store {
    /// `file://`: a folder that this machine sees.
    Local(LocalStore),
    /// `s3://`: a bucket, or what lies below a prefix in it.
    Bucket(Bucket),
}

impl Store {
    /// The store that `spec` names. Nothing is opened yet.
    pub fn of(spec: &Dataset) -> anyhow::Result<Self> {
        Self::with_patterns(spec, &spec.include)
    }

    /// The same only to open files: it would list none. Patterns take longer to make than a tiny file to load.
    ///
    /// Where `expected_mark` is given and the source has another one here, a file that is missing is no missing file: the store is
    /// another one than that which was scanned.
    pub fn to_open(spec: &Dataset, expected_mark: Option<&str>) -> anyhow::Result<Self> {
        let expected = expected_mark.map(str::to_owned);
        Ok(match Self::with_patterns(spec, &[])? {
            Self::Local(store) => Self::Local(store.expecting(expected)),
            Self::Bucket(bucket) => Self::Bucket(bucket.expecting(expected)),
        })
    }

    /// What tells this source from another one that a process may find in its place: an empty folder without its mount, a bucket
    /// of the same name on another server. `None` where nothing does.
    pub async fn mark(&self) -> anyhow::Result<Option<String>> {
        match self {
            Self::Local(store) => store.look_at_mark().await,
            Self::Bucket(bucket) => Ok(bucket.mark.clone()),
        }
    }

    fn with_patterns(spec: &Dataset, include: &[String]) -> anyhow::Result<Self> {
        Ok(match BucketSource::parse(&spec.source) {
            Some(source) => Self::Bucket(Bucket::new(&source, include)?),
            None => {
                let store = LocalStore::new(&spec.source, include)?;
                Self::Local(store.following_links(spec.discovery.follow_links))
            }
        })
    }

    /// The URI of a folder within the source, or of the source if it is empty, with a slash at its end: the URIs of all that lies
    /// in it begin so.
    pub fn folder_uri(&self, folder: &str) -> String {
        match self {
            Self::Local(store) => store.folder_uri(folder),
            Self::Bucket(bucket) => bucket.folder_uri(folder),
        }
    }

    /// Whether a file of this URI would lie in the source.
    pub fn covers(&self, uri: &str) -> bool {
        uri.starts_with(&self.folder_uri(""))
    }

    /// Why a file of this URI in the source would be left out, as far as its name tells.
    pub fn reason_by_name(&self, uri: &str) -> Option<SkipReason> {
        match self {
            Self::Local(store) => store.reason_by_name(&Url::parse(uri).ok()?.to_file_path().ok()?),
            Self::Bucket(bucket) => bucket.reason_by_name(&key::of_uri(uri)?.1),
        }
    }

    /// Sends everything that lies in the source, or only what lies in the folders `within` it, as pages of at most `page_len`
    /// entries; memory does not grow with their number. A folder of `within` that is not there has no entries.
    ///
    /// Fails if the source itself is not there or cannot be read. A folder below it that cannot be read is one entry,
    /// [`SkipReason::Unreadable`], and the listing goes on. A bucket has no folders that could be missing: a prefix without
    /// objects has no entries.
    pub async fn list(
        &self,
        within: &[String],
        page_len: usize,
        pages: mpsc::Sender<Vec<Listed>>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Local(store) => store.list(within, page_len, pages).await,
            Self::Bucket(bucket) => bucket.list(within, page_len, pages).await,
        }
    }

    /// Sends what has these names in the source, and what lies in those that are folders, in the same way. Names that are not there have
    /// no entries.
    pub async fn list_named(
        &self,
        uris: &[String],
        page_len: usize,
        pages: mpsc::Sender<Vec<Listed>>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Local(store) => store.list_named(uris, page_len, pages).await,
            Self::Bucket(bucket) => bucket.list_named(uris, page_len, pages).await,
        }
    }

    /// Opens this version of a file, for a thread of a tokio runtime that may block; an error says how the store's version
    /// differs. The file may be one of an earlier source, also in another store.
    pub fn open(&self, version: &StoredFile) -> Result<OpenFile, StoreError> {
        if let Some((bucket, key)) = key::of_uri(&version.uri) {
            let path = bucket::readable(&key).ok_or(StoreError::NoFile)?;
            let opened = object_file::open_version(version, &self.bucket(bucket)?, &path);
            return match (opened, self) {
                (
                    Err(StoreError::Gone),
                    Self::Bucket(Bucket { mark: Some(mark), expected_mark: Some(expected), .. }),
                ) if mark != expected => Err(StoreError::AnotherSource(format!(
                    "this process asks another server ({mark}) than the scanner did ({expected})"
                ))),
                (opened, _) => opened,
            };
        }
        match self {
            Self::Local(store) => store.open(version),
            Self::Bucket(_) => local_file::open_version(version, None, false),
        }
    }

    /// Whether the source is there and can be seen from this machine; an error says why not.
    pub async fn look(&self) -> anyhow::Result<()> {
        match self {
            Self::Local(store) => store.look().await,
            Self::Bucket(bucket) => bucket.look().await,
        }
    }

    fn bucket(&self, name: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
        match self {
            Self::Bucket(bucket) if bucket.name == name => Ok(bucket.store.clone()),
            _ => Ok(s3::client(name).map_err(|error| StoreError::unavailable(format!("{error:#}")))?),
        }
    }
}
