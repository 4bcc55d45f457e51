//! One version of a file: its identity, opening it, and checking that it is still the same.

use std::{fs::File, io, os::unix::fs::MetadataExt};

use chrono::{DateTime, Utc};
use object_store::{GetResultPayload, ObjectStoreExt, local::LocalFileSystem, path::Path};
use sha2::{Digest, Sha256};
use thiserror::Error;
use url::Url;
use uuid::Uuid;

use super::listing::microseconds;

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
    /// The URI cannot name a file here.
    #[error("the store cannot hold a file of this name")]
    Unnameable,
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
    location: Path,
    expected: StoredFile,
}

impl StoredFile {
    /// Opens this version; an error says how the store's version differs.
    pub async fn open(self) -> Result<OpenFile, StoreError> {
        let url = Url::parse(&self.uri).map_err(|_| StoreError::Unnameable)?;
        let location = object_path(&url)?;
        let result = LocalFileSystem::new().get(&location).await.map_err(store_error)?;
        let GetResultPayload::File(file, _) = result.payload else {
            return Err(StoreError::Unavailable("a local store gave no local file".into()));
        };
        let open = OpenFile { file, location, expected: self };
        open.compare_handle()?;
        Ok(open)
    }
}

impl OpenFile {
    /// A second handle on the same open file, for the thread that reads.
    pub fn reader(&self) -> Result<File, StoreError> {
        self.file.try_clone().map_err(io_error)
    }

    /// After the last byte: the handle's file and the name's file are both still the version that was scanned.
    ///
    /// An overwrite in mid-read gives mixed content, a truncation a short file; both show here, before COMMIT.
    pub async fn verify_unchanged(&self) -> Result<(), StoreError> {
        self.compare_handle()?;
        let meta = LocalFileSystem::new().head(&self.location).await.map_err(store_error)?;
        let time = microseconds(
            meta.last_modified.timestamp(),
            i64::from(meta.last_modified.timestamp_subsec_nanos()),
        );
        self.compare(time, i64::try_from(meta.size).unwrap_or(i64::MAX))
    }

    fn compare_handle(&self) -> Result<(), StoreError> {
        let metadata = self.file.metadata().map_err(io_error)?;
        let time = microseconds(metadata.mtime(), metadata.mtime_nsec());
        self.compare(time, i64::try_from(metadata.len()).unwrap_or(i64::MAX))
    }

    fn compare(&self, found_time: DateTime<Utc>, found_bytes: i64) -> Result<(), StoreError> {
        let expected = &self.expected;
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

/// The path under which object_store knows a file, if it leads back to the same file.
pub(super) fn object_path(url: &Url) -> Result<Path, StoreError> {
    let file_path = url.to_file_path().map_err(|()| StoreError::Unnameable)?;
    let location = Path::from_absolute_path(&file_path).map_err(|_| StoreError::Unnameable)?;
    let back = LocalFileSystem::new().path_to_filesystem(&location).map_err(|_| StoreError::Unnameable)?;
    if back == file_path { Ok(location) } else { Err(StoreError::Unnameable) }
}

fn store_error(error: object_store::Error) -> StoreError {
    match error {
        object_store::Error::NotFound { .. } => StoreError::Gone,
        object_store::Error::PermissionDenied { .. } => {
            StoreError::NotPermitted(io::Error::from(io::ErrorKind::PermissionDenied))
        }
        other => StoreError::Unavailable(Box::new(other)),
    }
}

fn io_error(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::Gone,
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

    #[tokio::test]
    async fn a_file_of_a_strange_name_is_opened_and_verified() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b, c#1 %20\n.csv");
        std::fs::write(&path, "content").unwrap();
        let open = stored(&path).open().await.unwrap();
        let mut text = String::new();
        open.reader().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        open.verify_unchanged().await.unwrap();
    }

    #[tokio::test]
    async fn overwriting_replacing_and_removing_an_open_file_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "content").unwrap();
        let open = stored(&path).open().await.unwrap();
        std::fs::write(folder.path().join("b"), "other content").unwrap();
        std::fs::rename(folder.path().join("b"), &path).unwrap();
        assert!(matches!(open.verify_unchanged().await, Err(StoreError::Changed { .. })));
        let open = stored(&path).open().await.unwrap();
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(open.verify_unchanged().await, Err(StoreError::Changed { .. })));
        let open = stored(&path).open().await.unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(open.verify_unchanged().await, Err(StoreError::Gone)));
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
