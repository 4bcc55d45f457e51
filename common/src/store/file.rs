//! One version of a file: its identity, and what opening it gives.

use std::io::{self, Read};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use super::{local_file::OpenLocalFile, threads::StoreHangs};

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
    /// The object is not there. It may be gone, or only this process cannot see it.
    #[error("the file is gone from the store")]
    Gone,
    /// The object is not there, and the source is not the one that was scanned: this process looks elsewhere.
    #[error("the file is missing, and so is its source: {0}")]
    AnotherSource(String),
    /// The object is there, but not in the version that was scanned.
    #[error("the file changed since it was scanned (then {then}, now {now})")]
    Changed {
        /// Size, time and etag when it was scanned.
        then: String,
        /// Size, time and etag now.
        now: String,
    },
    /// The URI names no file of any store.
    #[error("the URI names no file that a store could give")]
    NoFile,
    /// Where the file was there is a link, a folder, a FIFO or a device now.
    #[error("what has the file's name now is no regular file")]
    NotRegular,
    /// A folder above the file is a link now, which may lead anywhere.
    #[error(
        "a folder on the file's path is a symbolic link now; `discovery.follow_links = true` allows links"
    )]
    BehindLink,
    /// Reading is not allowed, to this process at present.
    #[error("reading the file is not permitted")]
    NotPermitted(#[source] io::Error),
    /// Anything else, such as a disk or network error: worth another try.
    #[error("the store failed")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// `found` has the scanned version's name and another content.
    pub(super) fn changed(expected: &StoredFile, found: &StoredFile) -> Self {
        let described = |version: &StoredFile| {
            let StoredFile { size_in_bytes, modified_time, etag, .. } = version;
            let etag = if etag.is_empty() { String::new() } else { format!(", etag {etag}") };
            format!("{size_in_bytes} bytes of {modified_time}{etag}")
        };
        Self::Changed { then: described(expected), now: described(found) }
    }

    /// A failure that may pass.
    pub(super) fn unavailable(reason: String) -> Self {
        Self::Unavailable(reason.into())
    }
}

impl From<StoreHangs> for StoreError {
    fn from(hangs: StoreHangs) -> Self {
        Self::Unavailable(Box::new(hangs))
    }
}

/// A file that is open in the version that was scanned.
pub struct OpenFile {
    /// Its stored bytes, for a thread that may block. An error may hold a [`StoreError`], which tells more.
    pub content: Box<dyn Read + Send>,
    /// What to ask after the last byte.
    pub check: LastCheck,
    /// When its content or status last changed, by the store's clock, as it was opened; only a local file's store tells.
    pub changed_time: Option<DateTime<Utc>>,
}

/// Tells, after the last byte and before COMMIT, whether what was read is the version that was scanned.
#[derive(Debug)]
pub enum LastCheck {
    /// The handle's file and the name's file must both still be that version: an overwrite in mid-read gives mixed content, a
    /// truncation a short file.
    Local(Box<OpenLocalFile>),
    /// An object store gives one version from its first byte to its last, and the reader has counted them: nothing to ask.
    OneVersion,
}

impl LastCheck {
    /// Blocks.
    pub fn verify_unchanged(self) -> Result<(), StoreError> {
        match self {
            Self::Local(file) => file.verify_unchanged(),
            Self::OneVersion => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
