//! A local folder. Links are not followed, and every name that a file can have is listed.

use std::{
    ffi::OsStr,
    fs::Metadata,
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use tokio::sync::mpsc;
use url::Url;
use walkdir::{DirEntry, WalkDir};

use super::{
    file::{OpenFile, StoreError, StoredFile},
    listed::{Listed, SkipReason, Skipped, is_half_written},
    time::microseconds,
};

/// A folder, and which of its files are wanted.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
    patterns: Arc<GlobSet>,
}

impl LocalStore {
    /// `source` is a `file://` URL, `include` the patterns over the path below it.
    pub fn new(source: &str, include: &[String]) -> anyhow::Result<Self> {
        let root = Url::parse(source)?.to_file_path();
        let root = root.map_err(|()| anyhow::anyhow!("{source} is not a local folder"))?;
        let mut patterns = GlobSetBuilder::new();
        for pattern in include {
            patterns.add(GlobBuilder::new(pattern).literal_separator(true).build()?);
        }
        Ok(Self { root, patterns: Arc::new(patterns.build()?) })
    }

    /// The source's path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn folder_uri(&self, folder: &str) -> String {
        Url::from_directory_path(self.root.join(folder)).map(String::from).unwrap_or_default()
    }

    /// What has this path below the root now; `None` for a folder, and where nothing is. Blocks.
    pub fn look_at(&self, path: &Path) -> Option<Listed> {
        let metadata = match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => return None,
            Ok(metadata) => metadata,
            Err(error) => return gone_or_unreadable(path, &error),
        };
        Some(match self.reason_to_skip(path, metadata.file_type()) {
            Some(reason) => skipped(reason, path),
            None => listed(path, &metadata),
        })
    }

    pub(super) async fn list(
        &self,
        within: &[String],
        page_len: usize,
        pages: mpsc::Sender<Vec<Listed>>,
    ) -> anyhow::Result<()> {
        let store = self.clone();
        let folders: Vec<PathBuf> = match within {
            [] => vec![self.root.clone()],
            within => within.iter().map(|folder| self.root.join(folder)).collect(),
        };
        let walk =
            move || store.walk(&folders, Pages { page: Vec::new(), page_len, sent: Instant::now(), pages });
        tokio::task::spawn_blocking(walk).await?
    }

    fn walk(&self, folders: &[PathBuf], mut pages: Pages) -> anyhow::Result<()> {
        let cannot_list = || format!("cannot list {}", uri(&self.root));
        std::fs::read_dir(&self.root).with_context(cannot_list)?;
        for folder in folders {
            // min_depth 1: the folder itself is no entry. Links are never followed: they may lead out of the source.
            let mut entries = WalkDir::new(folder).min_depth(1).follow_links(false).into_iter();
            while let Some(entry) = entries.next() {
                let listed = match entry {
                    Ok(entry)
                        if entry.file_type().is_dir() && entry.file_name().as_bytes().starts_with(b".") =>
                    {
                        entries.skip_current_dir();
                        Some(skipped(SkipReason::HiddenFolder, entry.path()))
                    }
                    Ok(entry) if entry.file_type().is_dir() => None,
                    Ok(entry) => self.entry(&entry),
                    Err(error) => unreadable_entry(error),
                };
                if let Some(listed) = listed
                    && pages.add(listed).is_err()
                {
                    return Ok(()); // Whoever asked has stopped.
                }
            }
        }
        pages.finish();
        Ok(())
    }

    fn entry(&self, entry: &DirEntry) -> Option<Listed> {
        if let Some(reason) = self.reason_to_skip(entry.path(), entry.file_type()) {
            return Some(skipped(reason, entry.path()));
        }
        match entry.metadata() {
            Ok(metadata) => Some(listed(entry.path(), &metadata)),
            Err(error) => unreadable_entry(error),
        }
    }

    fn reason_to_skip(&self, path: &Path, file_type: std::fs::FileType) -> Option<SkipReason> {
        let below_root = path.strip_prefix(&self.root).unwrap_or(path);
        if is_half_written(path.file_name().map(OsStr::as_bytes).unwrap_or_default()) {
            return Some(SkipReason::HalfWritten);
        }
        if !self.patterns.is_match(below_root) {
            return Some(SkipReason::PatternMismatch);
        }
        match file_type {
            of if of.is_symlink() && path.metadata().is_err() => Some(SkipReason::BrokenLink),
            of if of.is_symlink() => Some(SkipReason::SymbolicLink),
            of if !of.is_file() => Some(SkipReason::NotRegular),
            _ => None,
        }
    }

    pub(super) fn open(&self, version: &StoredFile) -> Result<OpenFile, StoreError> {
        version.open(&self.root)
    }

    /// A mount may hang, so that runs off the threads that serve connections.
    pub(super) async fn is_there(&self) -> bool {
        let root = self.root.clone();
        tokio::task::spawn_blocking(move || root.is_dir()).await.unwrap_or(false)
    }
}

/// Pages on their way to whoever asked for a listing.
struct Pages {
    page: Vec<Listed>,
    page_len: usize,
    sent: Instant,
    pages: mpsc::Sender<Vec<Listed>>,
}

impl Pages {
    /// An error means that nobody takes pages any more.
    fn add(&mut self, listed: Listed) -> Result<(), ()> {
        self.page.push(listed);
        // A slow store shows that it lives.
        if self.page.len() == self.page_len || self.sent.elapsed() > Duration::from_secs(1) {
            self.pages.blocking_send(std::mem::take(&mut self.page)).map_err(|_| ())?;
            self.sent = Instant::now();
        }
        Ok(())
    }

    fn finish(self) {
        let _ = self.pages.blocking_send(self.page);
    }
}

fn listed(path: &Path, metadata: &Metadata) -> Listed {
    let file = StoredFile {
        uri: uri(path),
        modified_time: microseconds(metadata.mtime(), metadata.mtime_nsec()),
        size_in_bytes: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
        etag: String::new(),
    };
    Listed::File { file, changed_time: microseconds(metadata.ctime(), metadata.ctime_nsec()) }
}

fn skipped(reason: SkipReason, path: &Path) -> Listed {
    Listed::Skipped(Skipped { reason, uri: uri(path) })
}

/// Fails for relative paths only, and the root is absolute.
fn uri(path: &Path) -> String {
    Url::from_file_path(path).map(String::from).unwrap_or_default()
}

fn unreadable_entry(error: walkdir::Error) -> Option<Listed> {
    let path = error.path().unwrap_or(Path::new("/")).to_owned();
    gone_or_unreadable(&path, &error.into())
}

/// A file that vanished between the listing of its folder and the look at it is not there: no entry.
fn gone_or_unreadable(path: &Path, error: &io::Error) -> Option<Listed> {
    if error.kind() == io::ErrorKind::NotFound {
        return None;
    }
    // The scanner says it once. As a URI, because a name may hold line breaks.
    tracing::debug!(uri = %uri(path), "cannot look at a path, its files are left out: {error}");
    Some(skipped(SkipReason::Unreadable, path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    async fn names(root: &Path, within: &[String]) -> (Vec<String>, Vec<(SkipReason, String)>) {
        let (sender, mut pages) = mpsc::channel(1);
        let source = Url::from_file_path(root).unwrap().to_string();
        let store = LocalStore::new(&source, &["**/*.csv".to_owned()]).unwrap();
        let within = within.to_vec();
        let listing = tokio::spawn(async move { store.list(&within, 2, sender).await });
        let (mut files, mut left_out) = (Vec::new(), Vec::new());
        let name = |uri: &str| uri.rsplit('/').next().unwrap().to_owned();
        while let Some(page) = pages.recv().await {
            assert!(page.len() <= 2);
            for listed in page {
                match listed {
                    Listed::File { file, .. } => files.push(name(&file.uri)),
                    Listed::Skipped(Skipped { reason, uri }) => left_out.push((reason, name(&uri))),
                }
            }
        }
        listing.await.unwrap().unwrap();
        files.sort();
        left_out.sort();
        (files, left_out)
    }

    #[tokio::test]
    async fn files_are_listed_and_everything_else_is_counted_by_reason() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("2026/03");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir(root.path().join(".snapshot")).unwrap();
        for name in ["a.csv", "b, c#1 %20.csv", "ü\n.csv", "notes.txt", ".a.csv.Xy7", "c.csv.part"] {
            std::fs::write(deep.join(name), "x").unwrap();
        }
        std::fs::write(root.path().join(".snapshot/a.csv"), "x").unwrap();
        std::fs::write(root.path().join(OsStr::from_bytes(b"\xff.csv")), "x").unwrap();
        symlink("/etc/passwd", root.path().join("link.csv")).unwrap();
        symlink("nowhere", root.path().join("broken.csv")).unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(root.path().join("pipe.csv")).status().unwrap();
        assert!(fifo.success());
        let (files, left_out) = names(root.path(), &[]).await;
        assert_eq!(files, ["%C3%BC%0A.csv", "%FF.csv", "a.csv", "b,%20c%231%20%2520.csv"]);
        let expected = [
            (SkipReason::PatternMismatch, "notes.txt"),
            (SkipReason::HalfWritten, ".a.csv.Xy7"),
            (SkipReason::HalfWritten, "c.csv.part"),
            (SkipReason::HiddenFolder, ".snapshot"),
            (SkipReason::SymbolicLink, "link.csv"),
            (SkipReason::BrokenLink, "broken.csv"),
            (SkipReason::NotRegular, "pipe.csv"),
        ];
        assert_eq!(left_out, expected.map(|(reason, name)| (reason, name.to_owned())));
    }

    #[tokio::test]
    async fn only_the_folders_that_are_asked_for_are_listed() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["2026/03/01", "2026/03/02", "2026/04"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
            std::fs::write(root.path().join(folder).join("a.csv"), "x").unwrap();
        }
        let within = |folders: &[&str]| folders.iter().map(|folder| (*folder).to_owned()).collect::<Vec<_>>();
        assert_eq!(names(root.path(), &within(&["2026/03"])).await.0.len(), 2);
        assert_eq!(names(root.path(), &within(&["2026/03/02", "2026/04", "2027"])).await.0.len(), 2);
        assert_eq!(names(root.path(), &within(&["2027"])).await, (vec![], vec![]));
    }

    #[tokio::test]
    async fn one_name_is_looked_at_as_a_listing_would() {
        let root = tempfile::tempdir().unwrap();
        let store = LocalStore::new(&uri(root.path()), &["*.csv".to_owned()]).unwrap();
        std::fs::write(root.path().join("a.csv"), "x").unwrap();
        let look = |name: &str| store.look_at(&root.path().join(name));
        assert!(matches!(look("a.csv"), Some(Listed::File { file, .. }) if file.uri.ends_with("/a.csv")));
        std::fs::rename(root.path().join("a.csv"), root.path().join("a.csv.tmp")).unwrap();
        assert!(look("a.csv").is_none() && look("").is_none());
        let is_half_written = |skipped: &Skipped| {
            skipped.reason == SkipReason::HalfWritten && skipped.uri.ends_with("a.csv.tmp")
        };
        assert!(matches!(look("a.csv.tmp"), Some(Listed::Skipped(skipped)) if is_half_written(&skipped)));
    }

    #[tokio::test]
    async fn a_source_that_is_missing_is_an_error_that_names_it() {
        let (sender, _pages) = mpsc::channel(1);
        let error = LocalStore::new("file:///no/such/folder", &[]).unwrap().list(&[], 10, sender).await;
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("cannot list file:///no/such/folder"), "{error}");
    }
}
