//! A bucket, or what lies below a prefix in it. Folders are what stands before the slashes of a key.

use std::{collections::BTreeSet, path::Path as NamePath, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use futures_util::StreamExt;
use object_store::{ObjectMeta, ObjectStore, path::Path};
use tokio::{sync::mpsc, time::timeout};

use super::{
    cause::plain,
    file::StoredFile,
    key,
    listed::{Listed, SkipReason, Skipped},
    listed_keys,
    pages::{PAGE_AT_LEAST_EVERY, Pages},
    s3,
    time::microseconds,
    wanted::Wanted,
};
use crate::dataset::BucketSource;

/// A look at a bucket has no retries to wait for longer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);

/// A bucket's objects below a prefix, and which of them are wanted.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) name: String,
    prefix: String,
    wanted: Wanted,
    /// Where the bucket is.
    pub(super) mark: Option<String>,
    /// The mark that it should have.
    pub(super) expected_mark: Option<String>,
    /// How its listings spell a key.
    spelled: fn(&str) -> String,
}

impl Bucket {
    /// The bucket of an `s3://` source, by this process's `AWS_…` variables. Nothing is asked yet.
    pub(super) fn new(source: &BucketSource, include: &[String]) -> anyhow::Result<Self> {
        let client = s3::client(&source.bucket)?;
        let mark = Some(s3::endpoint());
        Ok(Self { spelled: listed_keys::decode, mark, ..Self::over(client, source, include)? })
    }

    pub(super) fn expecting(self, mark: Option<String>) -> Self {
        Self { expected_mark: mark, ..self }
    }

    /// The same by other variables than this process's, with a client of its own.
    pub fn connect(
        source: &BucketSource,
        include: &[String],
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let client = Arc::new(s3::connect(&source.bucket, variables.into_iter())?);
        Ok(Self { spelled: listed_keys::decode, ..Self::over(client, source, include)? })
    }

    /// Any object store as the bucket of this name.
    pub fn over(
        store: Arc<dyn ObjectStore>,
        source: &BucketSource,
        include: &[String],
    ) -> anyhow::Result<Self> {
        Ok(Self {
            store,
            name: source.bucket.clone(),
            prefix: source.prefix.clone(),
            wanted: Wanted::new(include)?,
            mark: None,
            expected_mark: None,
            spelled: str::to_owned,
        })
    }

    pub(super) async fn list(
        &self,
        within: &[String],
        page_len: usize,
        pages: mpsc::Sender<Vec<Listed>>,
    ) -> anyhow::Result<()> {
        let mut pages = Pages::new(page_len, pages);
        let everything = [String::new()];
        for folder in if within.is_empty() { &everything } else { within } {
            let prefix = self.prefix_of(folder)?;
            let mut objects = self.store.list(prefix.as_ref());
            let mut hidden = None;
            loop {
                let is_due = match timeout(PAGE_AT_LEAST_EVERY, objects.next()).await {
                    Ok(None) => break,
                    Ok(Some(Err(error))) => return Err(self.cannot_list(&error)),
                    Ok(Some(Ok(object))) => match self.entry(&object, &mut hidden) {
                        Some(listed) => pages.add(listed),
                        None => pages.is_late(),
                    },
                    // An empty page says that the store lives, which nobody knows now.
                    Err(_) => !pages.is_empty(),
                };
                if is_due && pages.send().await.is_err() {
                    return Ok(()); // Whoever asked has stopped.
                }
            }
            // Many folders without an object, one after the other, are no silence.
            if pages.is_late() && pages.send().await.is_err() {
                return Ok(());
            }
        }
        let _ = pages.send().await;
        Ok(())
    }

    /// A bucket gives what it says of an object in a listing, so the folders of these names are listed, and what else lies there is
    /// left out. Nothing in a bucket is a folder that cannot be read.
    pub(super) async fn list_named(
        &self,
        uris: &[String],
        page_len: usize,
        pages: mpsc::Sender<Vec<Listed>>,
    ) -> anyhow::Result<()> {
        let mut pages = Pages::new(page_len, pages);
        let keys: BTreeSet<String> = uris.iter().filter_map(|uri| Some(key::of_uri(uri)?.1)).collect();
        let folders: BTreeSet<&str> =
            keys.iter().map(|key| key.rsplit_once('/').map_or("", |(folder, _)| folder)).collect();
        for folder in folders {
            let prefix = Path::parse(folder).with_context(|| format!("cannot list {}", self.uri(folder)))?;
            let objects = self.store.list_with_delimiter((!prefix.is_root()).then_some(&prefix)).await;
            for object in objects.map_err(|error| self.cannot_list(&error))?.objects {
                let is_wanted = keys.contains(&(self.spelled)(object.location.as_ref()));
                if let Some(listed) = is_wanted.then(|| self.entry(&object, &mut None)).flatten() {
                    pages.add(listed);
                }
            }
            if pages.send().await.is_err() {
                return Ok(()); // Whoever asked has stopped.
            }
        }
        Ok(())
    }

    /// The URI of a folder of the source, or of the source if it is empty, with a slash at its end.
    pub(super) fn folder_uri(&self, folder: &str) -> String {
        let parts = [self.prefix.as_str(), folder.trim_matches('/')];
        let with_slash = |part: &str| format!("{part}/");
        self.uri(&parts.into_iter().filter(|part| !part.is_empty()).map(with_slash).collect::<String>())
    }

    /// What the objects of a folder of the source have in common; `None` for a whole bucket.
    fn prefix_of(&self, folder: &str) -> anyhow::Result<Option<Path>> {
        let parts = [self.prefix.as_str(), folder.trim_matches('/')];
        let prefix = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let path = Path::parse(&prefix).with_context(|| format!("cannot list {}", self.uri(&prefix)))?;
        Ok((!path.is_root()).then_some(path))
    }

    /// What an object is to the dataset; nothing if it only stands for a folder, or lies in the `hidden` one that has its
    /// entry: the objects of a folder come one after another.
    fn entry(&self, object: &ObjectMeta, hidden: &mut Option<String>) -> Option<Listed> {
        let key = (self.spelled)(object.location.as_ref());
        let skipped = |reason, key: &str| Some(Listed::Skipped(Skipped { reason, uri: self.uri(key) }));
        let below = self.below_source(&key)?;
        let (folders, name) = below.rsplit_once('/').unwrap_or(("", below));
        if name.is_empty() && object.size == 0 {
            return None; // What consoles and mounts make for an empty folder.
        }
        if let Some(hidden_len) = hidden_folder_len(folders) {
            let folder = &key[..key.len() - below.len() + hidden_len];
            let is_known = hidden.as_deref() == Some(folder);
            *hidden = Some(folder.to_owned());
            return if is_known { None } else { skipped(SkipReason::HiddenFolder, folder) };
        }
        if let Some(reason) = self.reason_by_name(&key) {
            return skipped(reason, &key);
        }
        let changed_time = microseconds(
            object.last_modified.timestamp(),
            i64::from(object.last_modified.timestamp_subsec_nanos()),
        );
        let file = StoredFile {
            uri: self.uri(&key),
            modified_time: changed_time,
            size_in_bytes: i64::try_from(object.size).unwrap_or(i64::MAX),
            etag: object.e_tag.clone().unwrap_or_default(),
        };
        Some(Listed::File { file, changed_time })
    }

    fn below_source<'a>(&self, key: &'a str) -> Option<&'a str> {
        match self.prefix.as_str() {
            "" => Some(key),
            prefix => key.strip_prefix(prefix)?.strip_prefix('/'),
        }
    }

    /// Why an object of this key would be left out, as far as its name tells.
    pub(super) fn reason_by_name(&self, key: &str) -> Option<SkipReason> {
        let below = self.below_source(key)?;
        let (folders, name) = below.rsplit_once('/').unwrap_or(("", below));
        if hidden_folder_len(folders).is_some() {
            return Some(SkipReason::HiddenFolder);
        }
        let by_name = self.wanted.reason_to_skip(NamePath::new(below), name.as_bytes());
        by_name.or_else(|| readable(key).is_none().then_some(SkipReason::UnreadableName))
    }

    /// Whether the bucket answers, with objects or without; an error says why not.
    pub(super) async fn look(&self) -> anyhow::Result<()> {
        let mut objects = self.store.list(self.prefix_of("")?.as_ref());
        match timeout(LOOK_TIMEOUT, objects.next()).await {
            Ok(Some(Err(error))) => Err(self.cannot_list(&error)),
            Ok(_) => Ok(()),
            Err(_) => Err(anyhow!("cannot list {}: no answer for {LOOK_TIMEOUT:?}", self.uri(&self.prefix))),
        }
    }

    fn cannot_list(&self, error: &object_store::Error) -> anyhow::Error {
        anyhow!("cannot list {}: {}", self.uri(&self.prefix), plain(error))
    }

    fn uri(&self, key: &str) -> String {
        key::uri(&self.name, key)
    }
}

/// The path of an object that object_store can hold, and therefore get.
pub(super) fn readable(key: &str) -> Option<Path> {
    Path::parse(key).ok().filter(|path| path.as_ref() == key)
}

/// How far the outermost folder goes whose name begins with a dot. `.` and `..` are odd names of S3, but no hidden folders.
fn hidden_folder_len(folders: &str) -> Option<usize> {
    let mut start = 0;
    for folder in folders.split('/') {
        let end = start + folder.len();
        if folder.starts_with('.') && !matches!(folder, "." | "..") {
            return Some(end);
        }
        start = end + 1;
    }
    None
}
