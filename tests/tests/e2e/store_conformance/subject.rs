//! The stores that the suite is held against, and how each is filled.

use std::{path::PathBuf, sync::Arc};

use longshore_common::{
    dataset::BucketSource,
    store::{Bucket, Listed, LocalStore, Skipped, Store, StoreError, StoredFile},
};
use longshore_tests::{S3Server, install_tls_provider};
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use tempfile::TempDir;
use tokio::sync::mpsc;
use url::Url;

pub(super) const BUCKET: &str = "harbour";
/// The source's prefix, or folder.
pub(super) const PREFIX: &str = "in box";

/// A store, and the other side of it.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) store: Store,
    kept: Kept,
}

enum Kept {
    Local(TempDir),
    Memory(Arc<InMemory>),
    S3(Box<S3Server>),
}

impl Subject {
    /// Every store, empty.
    pub(super) async fn all() -> [Self; 4] {
        [Self::local(), Self::memory().await, Self::s3().await, Self::simple_s3().await]
    }

    fn local() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(PREFIX);
        std::fs::create_dir(&root).unwrap();
        let store = LocalStore::new(Url::from_file_path(&root).unwrap().as_str(), &include()).unwrap();
        Self { name: "local", store: Store::Local(store), kept: Kept::Local(folder) }
    }

    async fn memory() -> Self {
        let memory = Arc::new(InMemory::new());
        let store = Store::Bucket(Bucket::over(memory.clone(), &source(), &include()).unwrap());
        let subject = Self { name: "memory", store, kept: Kept::Memory(memory) };
        subject.put_beside().await;
        subject
    }

    /// With etags, conditions, and every key that S3 knows.
    pub(super) async fn s3() -> Self {
        Self::served("s3", S3Server::start().await).await
    }

    async fn simple_s3() -> Self {
        Self::served("s3 without etags in listings and conditions", S3Server::start_simple().await).await
    }

    async fn served(name: &'static str, server: S3Server) -> Self {
        install_tls_provider();
        server.create_bucket(BUCKET);
        let store = Store::Bucket(Bucket::connect(&source(), &include(), server.environment()).unwrap());
        let subject = Self { name, store, kept: Kept::S3(Box::new(server)) };
        subject.put_beside().await;
        subject
    }

    /// A neighbour whose keys only begin alike.
    async fn put_beside(&self) {
        self.put("../in box 2/beside.csv", "not of this source").await;
    }

    /// Whether a file can have this name in this store, and how a listing then gives it.
    pub(super) fn fate(&self, name: &str) -> Fate {
        let has_control = name.chars().any(|c| c.is_ascii_control());
        let has_long_part = name.split('/').any(|part| part.len() > 255);
        let has_odd_part = name.split('/').any(|part| matches!(part, "" | "." | ".."));
        match (&self.kept, self.name) {
            // A file system's own limits.
            (Kept::Local(_), _) if has_odd_part || has_long_part => Fate::Impossible,
            (Kept::Local(_), _) => Fate::File,
            // object_store's memory takes only what its own paths can hold.
            (Kept::Memory(_), _) if has_control || has_odd_part => Fate::Impossible,
            // S3 takes every key, and object_store cannot ask for these.
            (Kept::S3(_), "s3") if has_control || has_odd_part => Fate::UnreadableName,
            // s3s-fs keeps objects as files.
            (Kept::S3(_), _) if self.name != "s3" && (has_odd_part || has_long_part) => Fate::Impossible,
            (Kept::S3(_), _) if has_control => Fate::UnreadableName,
            _ => Fate::File,
        }
    }

    pub(super) async fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        match &self.kept {
            Kept::Local(_) => {
                let path = self.path(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
            Kept::Memory(memory) => {
                let key = Path::parse(key(name)).unwrap();
                memory.put(&key, content.as_ref().to_vec().into()).await.unwrap();
            }
            Kept::S3(server) => server.put(BUCKET, &key(name), content),
        }
    }

    pub(super) async fn remove(&self, name: &str) {
        match &self.kept {
            Kept::Local(_) => std::fs::remove_file(self.path(name)).unwrap(),
            Kept::Memory(memory) => memory.delete(&Path::parse(key(name)).unwrap()).await.unwrap(),
            Kept::S3(server) => server.remove(BUCKET, &key(name)),
        }
    }

    /// Takes away the source itself; false where there is nothing that could be missing.
    pub(super) fn remove_source(&self) -> bool {
        match &self.kept {
            Kept::Local(folder) => std::fs::remove_dir_all(folder.path().join(PREFIX)).unwrap(),
            Kept::Memory(_) => return false,
            Kept::S3(server) => server.remove_bucket(BUCKET),
        }
        true
    }

    fn path(&self, name: &str) -> PathBuf {
        match &self.kept {
            Kept::Local(folder) => folder.path().join(PREFIX).join(name),
            _ => unreachable!("only files have paths"),
        }
    }

    /// Everything that is listed: files by URI, and what is left out.
    pub(super) async fn listed(&self, within: &[&str], page_len: usize) -> (Vec<StoredFile>, Vec<Skipped>) {
        let (sender, mut pages) = mpsc::channel(1);
        let (store, within) = (self.store.clone(), within.iter().map(|folder| (*folder).to_owned()));
        let within: Vec<String> = within.collect();
        let listing = tokio::spawn(async move { store.list(&within, page_len, sender).await });
        let (mut files, mut left_out) = (Vec::new(), Vec::new());
        while let Some(page) = pages.recv().await {
            assert!(page.len() <= page_len, "{}: a page of {}", self.name, page.len());
            for listed in page {
                match listed {
                    Listed::File { file, changed_time } => {
                        assert!(changed_time <= chrono::Utc::now(), "{}: {file:?}", self.name);
                        files.push(file);
                    }
                    Listed::Skipped(skipped) => left_out.push(skipped),
                }
            }
        }
        listing.await.unwrap().unwrap();
        files.sort_by(|a, b| a.uri.cmp(&b.uri));
        left_out.sort();
        (files, left_out)
    }

    /// The only file that is listed.
    pub(super) async fn only_file(&self) -> StoredFile {
        let (mut files, _) = self.listed(&[], 10).await;
        assert_eq!(files.len(), 1, "{}: {files:?}", self.name);
        files.remove(0)
    }

    /// The whole content of this version, checked to its end.
    pub(super) async fn read(&self, version: &StoredFile) -> Result<Vec<u8>, StoreError> {
        let (store, version) = (self.store.clone(), version.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let mut open = store.open(&version)?;
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut open.content, &mut content).map_err(told)?;
            open.check.verify_unchanged()?;
            Ok(content)
        });
        reading.await.unwrap()
    }
}

/// What becomes of a name.
#[derive(Debug, PartialEq)]
pub(super) enum Fate {
    /// No file can have it there.
    Impossible,
    /// It is listed, but no request can name it.
    UnreadableName,
    /// It is listed and read.
    File,
}

/// What the store said, out of an error of reading.
pub(super) fn told(error: std::io::Error) -> StoreError {
    error.downcast::<StoreError>().unwrap_or_else(|error| StoreError::Unavailable(Box::new(error)))
}

pub(super) fn include() -> Vec<String> {
    vec!["**/*.csv".to_owned()]
}

pub(super) fn source() -> BucketSource {
    BucketSource { bucket: BUCKET.to_owned(), prefix: PREFIX.to_owned() }
}

/// The key of a file of the source.
fn key(name: &str) -> String {
    match name.strip_prefix("../") {
        Some(beside) => beside.to_owned(),
        None => format!("{PREFIX}/{name}"),
    }
}
