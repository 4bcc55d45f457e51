//! A local folder. Links are followed only if the spec says so, and every name that a file can have is listed.

use std::{
    ffi::OsStr,
    fs::Metadata,
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use tokio::sync::mpsc;
use url::Url;
use walkdir::{DirEntry, WalkDir};

use super::{
    file::{OpenFile, StoreError, StoredFile},
    listed::{Listed, SkipReason, Skipped},
    local_file,
    pages::Pages,
    threads::StoreThread,
    time::microseconds,
    wanted::Wanted,
};
use crate::edge;

/// A look at a source tells more than a listing would only if it ends.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);

/// A folder, and which of its files are wanted.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
    wanted: Wanted,
    follow_links: bool,
    /// The mark that the root should have.
    expected_mark: Option<String>,
}

impl LocalStore {
    /// `source` is a `file://` URL, `include` the patterns over the path below it. Links are not followed.
    pub fn new(source: &str, include: &[String]) -> anyhow::Result<Self> {
        let root = Url::parse(source)?.to_file_path();
        let root = root.map_err(|()| anyhow::anyhow!("{source} is not a local folder"))?;
        Ok(Self { root, wanted: Wanted::new(include)?, follow_links: false, expected_mark: None })
    }

    /// The same, following links, wherever they lead, if this is true.
    pub fn following_links(self, follow_links: bool) -> Self {
        Self { follow_links, ..self }
    }

    pub(super) fn expecting(self, mark: Option<String>) -> Self {
        Self { expected_mark: mark, ..self }
    }

    /// Tells the root from other folders at its path: its inode, which is the same on each host that mounts a file system, and
    /// another one where the mount is missing. Blocks.
    pub(super) fn mark(&self) -> Option<String> {
        Some(format!("inode {}", std::fs::metadata(&self.root).ok()?.ino()))
    }

    /// The source's path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn folder_uri(&self, folder: &str) -> String {
        Url::from_directory_path(self.root.join(folder)).map(String::from).unwrap_or_default()
    }

    /// Why a file of this path would be left out, as far as its name tells.
    pub(super) fn reason_by_name(&self, path: &Path) -> Option<SkipReason> {
        let below_root = path.strip_prefix(&self.root).ok()?;
        let is_hidden =
            |folder: &Path| folder.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
        if below_root.ancestors().skip(1).any(is_hidden) {
            return Some(SkipReason::HiddenFolder);
        }
        self.wanted.reason_to_skip(below_root, path.file_name()?.as_bytes())
    }

    /// What has this path below the root now; `None` for a folder, and where nothing is. Blocks.
    pub fn look_at(&self, path: &Path) -> Option<Listed> {
        let metadata = match path.symlink_metadata() {
            Ok(metadata) if metadata.is_symlink() && self.follow_links => path.metadata().or(Ok(metadata)),
            metadata => metadata,
        };
        let metadata = match metadata {
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
        let folders: Vec<PathBuf> = match within {
            [] => vec![self.root.clone()],
            within => within.iter().map(|folder| self.root.join(folder)).collect(),
        };
        self.list_paths(folders, page_len, pages).await
    }

    pub(super) async fn list_named(
        &self,
        uris: &[String],
        page_len: usize,
        pages: mpsc::Sender<Vec<Listed>>,
    ) -> anyhow::Result<()> {
        let path = |uri: &String| Url::parse(uri).ok()?.to_file_path().ok();
        self.list_paths(uris.iter().filter_map(path).collect(), page_len, pages).await
    }

    async fn list_paths(
        &self,
        folders: Vec<PathBuf>,
        page_len: usize,
        pages: mpsc::Sender<Vec<Listed>>,
    ) -> anyhow::Result<()> {
        let store = self.clone();
        let walk = move || store.walk(&folders, Pages::new(page_len, pages));
        StoreThread::start(&self.folder_uri(""), "list", walk)?.ended().await?
    }

    fn walk(&self, folders: &[PathBuf], mut pages: Pages) -> anyhow::Result<()> {
        edge::pass("store::walk")?;
        self.read_root()?;
        let mut last_link = None;
        for folder in folders {
            if let Some(link) = self.link_on_the_way(folder) {
                // Many folders may lie behind one link, which is one entry.
                if last_link.as_ref() != Some(&link) {
                    pages.add(skipped(SkipReason::SymbolicLink, &link));
                    last_link = Some(link);
                }
                continue;
            }
            // A folder itself is no entry; a file that was asked for by its name is. Links may lead out of the source.
            let depth = usize::from(folder.is_dir());
            let mut entries =
                WalkDir::new(folder).min_depth(depth).follow_links(self.follow_links).into_iter();
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
                    Err(error) => self.failed_entry(error),
                };
                let is_due = match listed {
                    Some(listed) => pages.add(listed),
                    None => pages.is_late(),
                };
                if is_due && pages.blocking_send().is_err() {
                    return Ok(()); // Whoever asked has stopped.
                }
            }
            if pages.is_late() && pages.blocking_send().is_err() {
                return Ok(());
            }
        }
        let _ = pages.blocking_send();
        Ok(())
    }

    /// The first link between the source, which may be one itself, and a folder below it, where links are not followed.
    fn link_on_the_way(&self, folder: &Path) -> Option<PathBuf> {
        if self.follow_links {
            return None;
        }
        let mut path = self.root.clone();
        for part in folder.strip_prefix(&self.root).ok()?.components() {
            path.push(part);
            if path.is_symlink() {
                return Some(path);
            }
        }
        None
    }

    fn entry(&self, entry: &DirEntry) -> Option<Listed> {
        if let Some(reason) = self.reason_to_skip(entry.path(), entry.file_type()) {
            return Some(skipped(reason, entry.path()));
        }
        match entry.metadata() {
            Ok(metadata) => Some(listed(entry.path(), &metadata)),
            Err(error) => self.failed_entry(error),
        }
    }

    /// An entry that could not be looked at: a link that leads nowhere or in a circle, or a failure.
    fn failed_entry(&self, error: walkdir::Error) -> Option<Listed> {
        let path = error.path().unwrap_or(Path::new("/")).to_owned();
        let link = path.symlink_metadata().ok().filter(Metadata::is_symlink);
        match link {
            Some(_) if error.loop_ancestor().is_some() => Some(skipped(SkipReason::LinkLoop, &path)),
            Some(link) if self.follow_links && path.metadata().is_err() => {
                let reason = self.reason_to_skip(&path, link.file_type()).unwrap_or(SkipReason::BrokenLink);
                Some(skipped(reason, &path))
            }
            _ => gone_or_unreadable(&path, &error.into()),
        }
    }

    fn reason_to_skip(&self, path: &Path, file_type: std::fs::FileType) -> Option<SkipReason> {
        let below_root = path.strip_prefix(&self.root).unwrap_or(path);
        let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
        let by_name = self.wanted.reason_to_skip(below_root, name);
        if file_type.is_symlink() && by_name != Some(SkipReason::HalfWritten) {
            return Some(match path.metadata() {
                // A whole tree may lie behind it, whose files the patterns would take.
                Ok(behind) if behind.is_dir() => SkipReason::SymbolicLink,
                Ok(_) => by_name.unwrap_or(SkipReason::SymbolicLink),
                Err(error) if leads_nowhere(&error) => by_name.unwrap_or(SkipReason::BrokenLink),
                Err(_) => SkipReason::Unreadable,
            });
        }
        by_name.or_else(|| (!file_type.is_file()).then_some(SkipReason::NotRegular))
    }

    pub(super) fn open(&self, version: &StoredFile) -> Result<OpenFile, StoreError> {
        let opened = local_file::open_version(version, Some(&self.root), self.follow_links);
        let (expected, root) = (self.expected_mark.as_deref(), self.root.display());
        match opened {
            Err(StoreError::Gone) if expected.is_some_and(|mark| self.mark().as_deref() != Some(mark)) => {
                Err(StoreError::AnotherSource(format!(
                    "{root} is another folder on this machine than the one that was scanned: is its mount missing?"
                )))
            }
            opened => opened,
        }
    }

    /// The mark, unless the mount hangs.
    pub(super) async fn look_at_mark(&self) -> anyhow::Result<Option<String>> {
        let store = self.clone();
        let mut looking = StoreThread::start(&self.folder_uri(""), "mark", move || store.mark())?;
        Ok(tokio::time::timeout(LOOK_TIMEOUT, looking.ended()).await??)
    }

    /// A mount may hang, so that runs off the threads that serve connections, and not for ever.
    pub(super) async fn look(&self) -> anyhow::Result<()> {
        let store = self.clone();
        let mut looking = StoreThread::start(&self.folder_uri(""), "look", move || store.read_root())?;
        let looked = tokio::time::timeout(LOOK_TIMEOUT, looking.ended()).await;
        looked
            .with_context(|| format!("cannot list {}: no answer for {LOOK_TIMEOUT:?}", uri(&self.root)))??
    }

    fn read_root(&self) -> anyhow::Result<()> {
        std::fs::read_dir(&self.root).with_context(|| format!("cannot list {}", uri(&self.root)))?;
        Ok(())
    }
}

/// Of a link: its target is not there, or it leads in a circle. Any other error may be gone the next time.
fn leads_nowhere(error: &io::Error) -> bool {
    let is_circle = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    is_circle || matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
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

    fn store(root: &Path) -> LocalStore {
        LocalStore::new(&uri(root), &["**/*.csv".to_owned()]).unwrap()
    }

    async fn names(root: &Path, within: &[String]) -> (Vec<String>, Vec<(SkipReason, String)>) {
        names_in(store(root), within).await
    }

    async fn names_in(store: LocalStore, within: &[String]) -> (Vec<String>, Vec<(SkipReason, String)>) {
        let (sender, mut pages) = mpsc::channel(1);
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
    async fn folders_behind_a_link_are_one_entry_of_the_link() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        for folder in ["03/01", "03/02"] {
            std::fs::create_dir_all(outside.path().join(folder)).unwrap();
            std::fs::write(outside.path().join(folder).join("a.csv"), "x").unwrap();
        }
        symlink(outside.path(), root.path().join("2026")).unwrap();
        let link = || vec![(SkipReason::SymbolicLink, "2026".to_owned())];
        assert_eq!(names(root.path(), &[]).await, (vec![], link()));
        let within = ["2026/03/01", "2026/03/02"].map(str::to_owned);
        assert_eq!(names(root.path(), &within).await, (vec![], link()));
        let following = store(root.path()).following_links(true);
        assert_eq!(names_in(following, &within).await.0, ["a.csv", "a.csv"]);
    }

    #[tokio::test]
    async fn links_are_followed_where_the_spec_says_so_and_a_circle_ends() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("out.csv"), "x").unwrap();
        std::fs::write(root.path().join("a.csv"), "x").unwrap();
        symlink(outside.path(), root.path().join("folder")).unwrap();
        symlink(root.path().join("a.csv"), root.path().join("link.csv")).unwrap();
        symlink(root.path(), root.path().join("circle")).unwrap();
        symlink("nowhere", root.path().join("broken.csv")).unwrap();
        symlink("nowhere", root.path().join("broken.txt")).unwrap();
        let following = store(root.path()).following_links(true);
        let (files, left_out) = names_in(following.clone(), &[]).await;
        assert_eq!(files, ["a.csv", "link.csv", "out.csv"]);
        let expected = [
            (SkipReason::PatternMismatch, "broken.txt"),
            (SkipReason::BrokenLink, "broken.csv"),
            (SkipReason::LinkLoop, "circle"),
        ];
        assert_eq!(left_out, expected.map(|(reason, name)| (reason, name.to_owned())));
        let look = |name: &str| following.look_at(&root.path().join(name));
        assert!(matches!(look("link.csv"), Some(Listed::File { .. })));
        let is_broken = |skipped: &Skipped| skipped.reason == SkipReason::BrokenLink;
        assert!(matches!(look("broken.csv"), Some(Listed::Skipped(skipped)) if is_broken(&skipped)));
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
