//! Listing a local folder. Links are not followed, and every name that a file can have is listed.

use std::{
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use tokio::sync::mpsc;
use url::Url;
use walkdir::WalkDir;

use super::{file::StoredFile, time::microseconds};

/// One entry of a listing.
#[derive(Debug, Clone)]
pub enum Listed {
    /// A file that the dataset wants.
    File {
        /// What identifies this version of the file.
        file: StoredFile,
        /// When the file last changed in any way; what `settle` is measured from. Kept by the machine's own clock,
        /// so that a file whose modified time was set into the past or the future still settles.
        changed_time: DateTime<Utc>,
    },
    /// Something that is left out, and why.
    Skipped(Skipped),
}

/// Why an entry of the source is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skipped {
    /// No pattern of `include` matches.
    PatternMismatch,
    /// A symbolic link.
    SymbolicLink,
    /// A FIFO, socket or device.
    NotRegular,
    /// A file or folder that could not be looked at; the log says which.
    Unreadable,
}

/// Walks the source and sends pages of at most `page_len` entries; memory does not grow with their number.
///
/// Fails if the source itself is no folder or cannot be read. A folder below it that cannot be read is
/// counted as [`Skipped::Unreadable`], and the walk goes on.
pub async fn list(
    source: &str,
    include: &[String],
    page_len: usize,
    pages: mpsc::Sender<Vec<Listed>>,
) -> anyhow::Result<()> {
    let root =
        Url::parse(source)?.to_file_path().map_err(|()| anyhow::anyhow!("{source} is not a local folder"))?;
    let patterns = patterns(include)?;
    let source = source.to_owned();
    let walk = move || {
        std::fs::read_dir(&root).map_err(|error| anyhow::anyhow!("cannot list {source}: {error}"))?;
        let (mut page, mut sent) = (Vec::with_capacity(page_len), Instant::now());
        // min_depth 1: the root itself is no entry. Links are never followed: they may lead out of the source.
        for entry in WalkDir::new(&root).min_depth(1).follow_links(false) {
            let Some(listed) = look_at(entry, &root, &patterns) else { continue };
            page.push(listed);
            // A slow store shows that it lives.
            if page.len() == page_len || sent.elapsed() > Duration::from_secs(1) {
                if pages.blocking_send(std::mem::take(&mut page)).is_err() {
                    return Ok(()); // Whoever asked has stopped.
                }
                sent = Instant::now();
            }
        }
        let _ = pages.blocking_send(page);
        Ok(())
    };
    tokio::task::spawn_blocking(walk).await?
}

fn patterns(include: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in include {
        set.add(GlobBuilder::new(pattern).literal_separator(true).build()?);
    }
    set.build()
}

/// `None` for folders, which are no entries of their own.
fn look_at(
    entry: Result<walkdir::DirEntry, walkdir::Error>,
    root: &Path,
    patterns: &GlobSet,
) -> Option<Listed> {
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => return gone_or_unreadable(&error),
    };
    let file_type = entry.file_type();
    if file_type.is_dir() {
        return None;
    }
    let below_root = entry.path().strip_prefix(root).unwrap_or(entry.path());
    if !patterns.is_match(below_root) {
        return Some(Listed::Skipped(Skipped::PatternMismatch));
    }
    if file_type.is_symlink() {
        return Some(Listed::Skipped(Skipped::SymbolicLink));
    }
    if !file_type.is_file() {
        return Some(Listed::Skipped(Skipped::NotRegular));
    }
    let metadata = match entry.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return gone_or_unreadable(&error),
    };
    // Fails for relative paths only, and the root is absolute.
    let uri = Url::from_file_path(entry.path()).ok()?;
    let file = StoredFile {
        uri: uri.into(),
        modified_time: microseconds(metadata.mtime(), metadata.mtime_nsec()),
        size_in_bytes: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
        etag: String::new(),
    };
    let changed_time = microseconds(metadata.ctime(), metadata.ctime_nsec());
    Some(Listed::File { file, changed_time })
}

/// A file that vanished between the listing of its folder and the look at it is not there: no entry.
fn gone_or_unreadable(error: &walkdir::Error) -> Option<Listed> {
    let gone = error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    if gone {
        return None;
    }
    let path = error.path().unwrap_or(Path::new("")).display();
    let cause = error.io_error().map(ToString::to_string).unwrap_or_default();
    tracing::warn!(%path, "cannot look at a path, its files are left out: {cause}");
    Some(Listed::Skipped(Skipped::Unreadable))
}

#[cfg(test)]
mod tests {
    use std::os::unix::{ffi::OsStrExt, fs::symlink};

    use super::*;

    async fn names(root: &Path) -> (Vec<String>, Vec<Skipped>) {
        let (sender, mut pages) = mpsc::channel(1);
        let source = Url::from_file_path(root).unwrap().to_string();
        let include = ["**/*.csv".to_owned()];
        let listing = tokio::spawn(async move { list(&source, &include, 2, sender).await });
        let (mut files, mut skipped) = (Vec::new(), Vec::new());
        while let Some(page) = pages.recv().await {
            assert!(page.len() <= 2);
            for listed in page {
                match listed {
                    Listed::File { file, .. } => files.push(file.uri.rsplit('/').next().unwrap().to_owned()),
                    Listed::Skipped(reason) => skipped.push(reason),
                }
            }
        }
        listing.await.unwrap().unwrap();
        files.sort();
        skipped.sort();
        (files, skipped)
    }

    #[tokio::test]
    async fn files_are_listed_and_everything_else_is_counted_by_reason() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("2026/03");
        std::fs::create_dir_all(&deep).unwrap();
        for name in ["a.csv", "b, c#1 %20.csv", "ü\n.csv", "notes.txt"] {
            std::fs::write(deep.join(name), "x").unwrap();
        }
        std::fs::write(root.path().join(std::ffi::OsStr::from_bytes(b"\xff.csv")), "x").unwrap();
        symlink("/etc/passwd", root.path().join("link.csv")).unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(root.path().join("pipe.csv")).status().unwrap();
        assert!(fifo.success());
        let (files, skipped) = names(root.path()).await;
        assert_eq!(files, ["%C3%BC%0A.csv", "%FF.csv", "a.csv", "b,%20c%231%20%2520.csv"]);
        let reasons = [Skipped::PatternMismatch, Skipped::SymbolicLink, Skipped::NotRegular];
        assert_eq!(skipped, reasons);
    }

    #[tokio::test]
    async fn a_source_that_is_missing_is_an_error_that_names_it() {
        let (sender, _pages) = mpsc::channel(1);
        let error = list("file:///no/such/folder", &[], 10, sender).await.unwrap_err();
        assert!(error.to_string().contains("file:///no/such/folder"), "{error}");
    }
}
