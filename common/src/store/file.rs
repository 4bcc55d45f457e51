//! One version of a file: its identity, opening it, and checking that it is still the same.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use thiserror::Error;
use url::Url;
use uuid::Uuid;

use super::time::microseconds;

/// What identifies one version of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Full URI, percent-encoded.
    pub uri: String,
    /// As the store gives it, cut to microseconds.
    pub modified_time: DateTime<Utc>,
    /// Of the stored bytes, compressed if they are.
    pub size_in_bytes: i64,
    /// Empty where the store's etag does not describe content: a local file's holds an inode.
    pub etag: String,
}

impl StoredFile {
    /// A digest over the dataset and everything that identifies this version.
    pub fn identity(&self, dataset_id: i32) -> Uuid {
        let mut digest = Sha256::new();
        digest.update(dataset_id.to_be_bytes());
        digest.update(self.modified_time.timestamp_micros().to_be_bytes());
        digest.update(self.size_in_bytes.to_be_bytes());
        // Only the last two have a length of their own, so one length keeps them apart.
        digest.update((self.uri.len() as u64).to_be_bytes());
        digest.update(&self.uri);
        digest.update(&self.etag);
        let mut identity = [0; 16];
        identity.copy_from_slice(&digest.finalize()[..16]);
        Uuid::from_bytes(identity)
    }
}

/// Why a file cannot be read.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The object is gone: nothing to wait for.
    #[error("the file is gone from the store")]
    Gone,
    /// The object is there, but not in the version that was scanned.
    #[error(
        "the file changed since it was scanned (then {expected_bytes} bytes of {expected_time}, now {found_bytes} bytes of {found_time})"
    )]
    Changed {
        /// Size when it was scanned.
        expected_bytes: i64,
        /// Modified time when it was scanned.
        expected_time: DateTime<Utc>,
        /// Size now.
        found_bytes: i64,
        /// Modified time now.
        found_time: DateTime<Utc>,
    },
    /// The URI names no local file.
    #[error("the URI names no local file")]
    NotLocal,
    /// Where the file was there is a link, a folder, a FIFO or a device now.
    #[error("what has the file's name now is no regular file")]
    NotRegular,
    /// Reading is not allowed; an operator must act.
    #[error("reading the file is not permitted")]
    NotPermitted(#[source] io::Error),
    /// Anything else, such as a disk or network error: worth another try.
    #[error("the store failed")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An open file in the version that was scanned.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    path: PathBuf,
    expected: StoredFile,
}

impl StoredFile {
    /// Opens this version. Where all of the source's `root` is missing, it is this machine that lacks it (a mount, say), and
    /// the file has no fault.
    pub(super) fn open(&self, root: &Path) -> Result<OpenFile, StoreError> {
        let path = local_path(&self.uri).ok_or(StoreError::NotLocal)?;
        // A link or FIFO that took the file's place after the scan is not followed and does not hang.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path).map_err(io_error) {
            Err(StoreError::Gone) if !root.is_dir() => {
                let message = format!("{} is not there on this machine", root.display());
                return Err(StoreError::Unavailable(message.into()));
            }
            opened => opened?,
        };
        let open = OpenFile { file, path, expected: self.clone() };
        open.compare(&open.file.metadata().map_err(io_error)?)?;
        Ok(open)
    }
}

impl OpenFile {
    /// A second handle on the same open file.
    pub fn reader(&self) -> Result<File, StoreError> {
        self.file.try_clone().map_err(io_error)
    }

    /// After the last byte: the handle's file and the name's file are both still the version that was scanned.
    ///
    /// An overwrite in mid-read gives mixed content, a truncation a short file; both show here, before COMMIT.
    pub fn verify_unchanged(self) -> Result<(), StoreError> {
        self.compare(&self.file.metadata().map_err(io_error)?)?;
        self.compare(&std::fs::symlink_metadata(&self.path).map_err(io_error)?)
    }

    fn compare(&self, found: &Metadata) -> Result<(), StoreError> {
        if !found.is_file() {
            return Err(StoreError::NotRegular);
        }
        let expected = &self.expected;
        let found_time = microseconds(found.mtime(), found.mtime_nsec());
        let found_bytes = i64::try_from(found.len()).unwrap_or(i64::MAX);
        if found_time == expected.modified_time && found_bytes == expected.size_in_bytes {
            return Ok(());
        }
        Err(StoreError::Changed {
            expected_bytes: expected.size_in_bytes,
            expected_time: expected.modified_time,
            found_bytes,
            found_time,
        })
    }
}

fn local_path(uri: &str) -> Option<PathBuf> {
    Url::parse(uri).ok()?.to_file_path().ok()
}

fn io_error(error: io::Error) -> StoreError {
    // What O_NOFOLLOW answers to a link.
    if error.raw_os_error() == Some(libc::ELOOP) {
        return StoreError::NotRegular;
    }
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreError::Gone,
        io::ErrorKind::PermissionDenied => StoreError::NotPermitted(error),
        _ => StoreError::Unavailable(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn stored(path: &std::path::Path) -> StoredFile {
        let metadata = std::fs::metadata(path).unwrap();
        StoredFile {
            uri: Url::from_file_path(path).unwrap().into(),
            modified_time: microseconds(metadata.mtime(), metadata.mtime_nsec()),
            size_in_bytes: i64::try_from(metadata.len()).unwrap(),
            etag: String::new(),
        }
    }

    #[test]
    fn a_file_of_a_strange_name_is_opened_and_verified() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b, c#1 %20\n.csv");
        std::fs::write(&path, "content").unwrap();
        let open = stored(&path).open(Path::new("/")).unwrap();
        let mut text = String::new();
        open.reader().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        open.verify_unchanged().unwrap();
    }

    #[test]
    fn overwriting_replacing_and_removing_an_open_file_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "content").unwrap();
        let open = stored(&path).open(Path::new("/")).unwrap();
        std::fs::write(folder.path().join("b"), "other content").unwrap();
        std::fs::rename(folder.path().join("b"), &path).unwrap();
        assert!(matches!(open.verify_unchanged(), Err(StoreError::Changed { .. })));
        let open = stored(&path).open(Path::new("/")).unwrap();
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(open.verify_unchanged(), Err(StoreError::Changed { .. })));
        let open = stored(&path).open(Path::new("/")).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(open.verify_unchanged(), Err(StoreError::Gone)));
    }

    #[test]
    fn a_link_or_a_fifo_in_the_files_place_is_neither_followed_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "content").unwrap();
        let scanned = stored(&path);
        std::fs::rename(&path, folder.path().join("b.csv")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("b.csv"), &path).unwrap();
        assert!(matches!(scanned.open(Path::new("/")), Err(StoreError::NotRegular)));
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(matches!(scanned.open(Path::new("/")), Err(StoreError::NotRegular)));
    }

    #[test]
    fn every_part_of_the_identity_counts() {
        let file = StoredFile {
            uri: "file:///a".into(),
            modified_time: DateTime::from_timestamp_micros(1).unwrap(),
            size_in_bytes: 3,
            etag: String::new(),
        };
        let others = [
            StoredFile { uri: "file:///b".into(), ..file.clone() },
            StoredFile { modified_time: DateTime::from_timestamp_micros(2).unwrap(), ..file.clone() },
            StoredFile { size_in_bytes: 4, ..file.clone() },
            StoredFile { etag: "e".into(), ..file.clone() },
            StoredFile { uri: "file:///ae".into(), ..file.clone() },
        ];
        for other in others {
            assert_ne!(file.identity(1), other.identity(1));
        }
        assert_ne!(file.identity(1), file.identity(2));
        assert_eq!(file.identity(1), file.identity(1));
    }
}
