//! What becomes of a file in its store once its rows are in the table. Each try may be the repetition of one that was cut
//! off anywhere, and what is there under the file's name by then may be another version: that is never touched.

mod archive;
mod local;
mod objects;
mod permission;
mod place;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use self::permission::{Grant, Permission};
use self::{local::LocalFiles, objects::BucketObjects};
use super::{StoreThread, StoredFile, s3};
use crate::dataset::{AfterLoad, BucketSource, Dataset};

/// What a spec does with loaded files, and in which store.
#[derive(Debug, Clone)]
pub struct AfterLoadStep {
    files: Files,
    /// Files with rejected rows are not to be deleted.
    keeps_rejects: bool,
}

#[derive(Debug, Clone)]
enum Files {
    Local(Arc<LocalFiles>),
    Bucket(Arc<BucketObjects>),
}

/// What is to be done.
#[derive(Debug, Clone)]
enum Action {
    /// Nothing; what was set aside under an earlier spec goes back to its name.
    Keep,
    /// To this URL, `longshore.file.id`, and the file's path below the source. Nothing that lies there is ever overwritten: where
    /// the name is taken (after a database was restored, ids come again), `-2` and so on follow the id.
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
    /// When it last changed, as its load opened it; `None` where its store does not tell.
    pub changed_time: Option<DateTime<Utc>>,
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

/// Names that a file may be moved to, one after the other.
const MAX_TARGETS: u32 = 100;

/// The folder of a file's `number`th target, from 1, below the folder of its dataset.
fn target_folder(file_id: i64, number: u32) -> String {
    if number == 1 { file_id.to_string() } else { format!("{file_id}-{number}") }
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
    /// What is not to be taken, and why.
    Other(&'static str),
}

const CHANGED: &str = "what has its name now is not the version that was loaded";
const TOUCHED: &str = "it was touched after its load (its change time is a later one), so that it may hold something else by now; \
    `longshore reload` loads it anew, and moves or deletes it then";
const REJECTS: &str = "it has rejected rows, whose text the reject table keeps only in part; \
    `discovery.delete_with_rejects = true` deletes such files, too";
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
        let keeps_rejects = discovery.after_load == AfterLoad::Delete && !discovery.delete_with_rejects;
        let files = match BucketSource::parse(&spec.source) {
            Some(source) => {
                let store = s3::client(&source.bucket)?;
                Files::Bucket(Arc::new(BucketObjects::new(store, source, &action)))
            }
            None => Files::Local(Arc::new(LocalFiles::new(&spec.source, discovery.follow_links, action)?)),
        };
        Ok(Self { files, keeps_rejects })
    }

    /// Why a loaded file is left where it is by what is recorded about it.
    pub fn reason_to_leave(&self, has_rejects: bool) -> Option<&'static str> {
        (has_rejects && self.keeps_rejects).then_some(REJECTS)
    }

    /// Does it for one file. An error is worth another try.
    pub async fn take(&self, file: LoadedFile, permission: Permission) -> anyhow::Result<AfterLoadOutcome> {
        match &self.files {
            Files::Local(files) => {
                let (id, take) = (file.id, move |files: &LocalFiles| files.take(&file, &permission));
                on_a_thread(files, id, take).await
            }
            Files::Bucket(objects) => objects.take(&file, &permission).await,
        }
    }

    /// Does not do it for one file, for this reason, and undoes what an earlier try has begun. An error is worth another try.
    pub async fn leave(
        &self,
        file: LoadedFile,
        reason: &'static str,
        permission: Permission,
    ) -> anyhow::Result<AfterLoadOutcome> {
        match &self.files {
            Files::Local(files) => {
                let (id, leave) =
                    (file.id, move |files: &LocalFiles| files.leave(&file, reason, &permission));
                on_a_thread(files, id, leave).await
            }
            Files::Bucket(objects) => objects.leave(&file, reason).await,
        }
    }
}

async fn on_a_thread(
    files: &Arc<LocalFiles>,
    file_id: i64,
    work: impl FnOnce(&LocalFiles) -> anyhow::Result<AfterLoadOutcome> + Send + 'static,
) -> anyhow::Result<AfterLoadOutcome> {
    let (uri, files) = (files.source_uri(), files.clone());
    StoreThread::start(&uri, &format!("after_load {file_id}"), move || work(&files))?.ended().await?
}
