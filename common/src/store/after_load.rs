//! What becomes of a file in its store once its rows are in the table. Each try may be the repetition of one that was cut
//! off anywhere, and what is there under the file's name by then may be another version: that is never touched.

mod local;
mod objects;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::{local::LocalFiles, objects::BucketObjects};
use super::{StoreThread, StoredFile, s3};
use crate::dataset::{AfterLoad, BucketSource, Dataset};

/// What a spec does with loaded files, and in which store.
#[derive(Debug, Clone)]
pub struct AfterLoadStep(Files);

#[derive(Debug, Clone)]
enum Files {
    Local(Arc<LocalFiles>),
    Bucket(Arc<BucketObjects>),
}

/// What is to be done.
#[derive(Debug, Clone)]
enum Action {
    /// Nothing; what an earlier spec began to delete goes back to its name.
    Keep,
    /// To this URL, `longshore.file.id`, and the file's path below the source.
    Move {
        archive: String,
    },
    Delete,
}

/// A loaded file, in the version that was loaded.
#[derive(Debug, Clone)]
pub struct LoadedFile {
    /// `longshore.file.id`.
    pub id: i64,
    /// The version.
    pub stored: StoredFile,
}

/// What has become of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AfterLoadOutcome {
    /// It lies at this URI now.
    Moved(String),
    /// It is removed.
    Deleted,
    /// It was gone already.
    Gone,
    /// It stays where it is, for this reason.
    Left(String),
}

impl AfterLoadOutcome {
    fn left(reason: &str) -> Self {
        Self::Left(reason.to_owned())
    }
}

/// What is in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// The version that was loaded.
    Loaded,
    Other,
}

const CHANGED: &str = "what has its name now is not the version that was loaded";
const KEPT: &str = "the spec keeps loaded files now";
const ELSEWHERE: &str = "it does not lie below `source` any more";

impl AfterLoadStep {
    /// What `spec` says. Nothing is opened yet.
    pub fn of(spec: &Dataset) -> anyhow::Result<Self> {
        let discovery = &spec.discovery;
        let action = match (discovery.after_load, &discovery.move_to) {
            (AfterLoad::Keep, _) => Action::Keep,
            (AfterLoad::Delete, _) => Action::Delete,
            (AfterLoad::Move, Some(target)) => Action::Move { archive: format!("{target}/{}", spec.name) },
            (AfterLoad::Move, None) => anyhow::bail!("the spec does not say where to move files"),
        };
        Ok(Self(match BucketSource::parse(&spec.source) {
            Some(source) => {
                let store = s3::client(&source.bucket)?;
                Files::Bucket(Arc::new(BucketObjects::new(store, source, &action)))
            }
            None => Files::Local(Arc::new(LocalFiles::new(&spec.source, discovery.follow_links, action)?)),
        }))
    }

    /// Does it for one file. An error is worth another try.
    pub async fn take(&self, file: LoadedFile) -> anyhow::Result<AfterLoadOutcome> {
        match &self.0 {
            Files::Local(files) => {
                let files = files.clone();
                let work = format!("after_load {}", file.id);
                StoreThread::start(&files.source_uri(), &work, move || files.take(&file))?.ended().await?
            }
            Files::Bucket(objects) => objects.take(&file).await,
        }
    }
}
