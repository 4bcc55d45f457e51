//! A dataset's file store: what lies in its source, and the bytes of one file. Nothing else touches a source's files.

mod file;
mod listed;
mod local;
mod time;

use tokio::sync::mpsc;

pub use file::{OpenFile, StoreError, StoredFile};
pub use listed::{Listed, SkipReason, Skipped};
pub use local::LocalStore;

use crate::dataset::Dataset;

/// The store of one dataset, by the scheme of its source.
#[derive(Debug, Clone)]
pub enum Store {
    /// `file://`: a folder that this machine sees.
    Local(LocalStore),
}

impl Store {
    /// The store that `spec` names. Nothing is opened yet.
    pub fn of(spec: &Dataset) -> anyhow::Result<Self> {
        Ok(Self::Local(LocalStore::new(&spec.source, &spec.include)?))
    }

    /// The URI of a folder within the source, or of the source if it is empty, with a slash at its end: the URIs of all that lies
    /// in it begin so.
    pub fn folder_uri(&self, folder: &str) -> String {
        match self {
            Self::Local(store) => store.folder_uri(folder),
        }
    }

    /// Sends everything that lies in the source, or only what lies in the folders `within` it, as pages of at most `page_len`
    /// entries; memory does not grow with their number. A folder of `within` that is not there has no entries.
    ///
    /// Fails if the source itself is not there or cannot be read. A folder below it that cannot be read is one entry,
    /// [`SkipReason::Unreadable`], and the listing goes on.
    pub async fn list(
        &self,
        within: &[String],
        page_len: usize,
        pages: mpsc::Sender<Vec<Listed>>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Local(store) => store.list(within, page_len, pages).await,
        }
    }

    /// Opens this version of a file, for a thread that may block; an error says how the store's version differs.
    pub fn open(&self, version: &StoredFile) -> Result<OpenFile, StoreError> {
        match self {
            Self::Local(store) => store.open(version),
        }
    }

    /// Whether the source is there and can be seen from this machine.
    pub async fn is_there(&self) -> bool {
        match self {
            Self::Local(store) => store.is_there().await,
        }
    }
}
