//! In a bucket: a move is a copy and a deletion. No request of object_store's can say "only if it is this version", so the
//! version is compared before and after a copy, and right before a deletion.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};

use super::{Action, AfterLoadOutcome, CHANGED, ELSEWHERE, Found, KEPT, LoadedFile};
use crate::{
    dataset::BucketSource,
    store::{StoredFile, bucket::readable, cause::plain, key, object_file::is_another},
};

/// The source, as a part of a bucket.
#[derive(Debug)]
pub(super) struct BucketObjects {
    store: Arc<dyn ObjectStore>,
    source: BucketSource,
    action: BucketAction,
}

#[derive(Debug)]
enum BucketAction {
    Keep,
    Move { archive_prefix: String },
    Delete,
}

impl BucketObjects {
    pub(super) fn new(store: Arc<dyn ObjectStore>, source: BucketSource, action: &Action) -> Self {
        let action = match action {
            Action::Keep => BucketAction::Keep,
            Action::Delete => BucketAction::Delete,
            // In the same bucket, as the spec was checked for.
            Action::Move { archive } => {
                let archive_prefix = key::of_uri(archive).map(|(_, key)| key).unwrap_or_default();
                BucketAction::Move { archive_prefix }
            }
        };
        Self { store, source, action }
    }

    pub(super) async fn take(&self, file: &LoadedFile) -> anyhow::Result<AfterLoadOutcome> {
        let key = key::of_uri(&file.stored.uri).filter(|(bucket, _)| *bucket == self.source.bucket);
        let Some((below, path)) =
            key.and_then(|(_, key)| Some((self.below_source(&key)?.to_owned(), readable(&key)?)))
        else {
            return Ok(AfterLoadOutcome::left(ELSEWHERE));
        };
        match &self.action {
            BucketAction::Keep => Ok(AfterLoadOutcome::left(KEPT)),
            BucketAction::Delete => match found(self.head(&path).await?.as_ref(), &file.stored) {
                Found::Nothing => Ok(AfterLoadOutcome::Gone),
                Found::Other => Ok(AfterLoadOutcome::left(CHANGED)),
                Found::Loaded => {
                    self.delete(&path).await?;
                    Ok(AfterLoadOutcome::Deleted)
                }
            },
            BucketAction::Move { archive_prefix } => {
                let target_key = format!("{archive_prefix}/{}/{below}", file.id);
                let target =
                    readable(&target_key).context("the object's name below `move_to` cannot be used")?;
                let outcome = self.move_object(&path, &target, &file.stored).await?;
                Ok(outcome
                    .unwrap_or_else(|| AfterLoadOutcome::Moved(key::uri(&self.source.bucket, &target_key))))
            }
        }
    }

    /// `None` if the object lies at its target.
    async fn move_object(
        &self,
        path: &Path,
        target: &Path,
        stored: &StoredFile,
    ) -> anyhow::Result<Option<AfterLoadOutcome>> {
        let is_whole = |copy: &ObjectMeta| u64::try_from(stored.size_in_bytes) == Ok(copy.size);
        match found(self.head(path).await?.as_ref(), stored) {
            Found::Loaded => {}
            // An earlier try may have got as far as the copy, or further.
            _ if self.head(target).await?.as_ref().is_some_and(is_whole) => return Ok(None),
            Found::Nothing => return Ok(Some(AfterLoadOutcome::Gone)),
            Found::Other => return Ok(Some(AfterLoadOutcome::left(CHANGED))),
        }
        self.store
            .copy(path, target)
            .await
            .map_err(|error| anyhow!("it cannot be copied: {}", plain(&error)))?;
        // Still there, the version that was loaded is what was copied.
        if found(self.head(path).await?.as_ref(), stored) != Found::Loaded {
            self.delete(target).await?;
            return Ok(Some(AfterLoadOutcome::left(CHANGED)));
        }
        if !self.head(target).await?.as_ref().is_some_and(is_whole) {
            anyhow::bail!("the copy is not whole");
        }
        self.delete(path).await?;
        Ok(None)
    }

    fn below_source<'a>(&self, key: &'a str) -> Option<&'a str> {
        match self.source.prefix.as_str() {
            "" => Some(key),
            prefix => key.strip_prefix(prefix)?.strip_prefix('/'),
        }
    }

    async fn head(&self, path: &Path) -> anyhow::Result<Option<ObjectMeta>> {
        match self.store.head(path).await {
            Ok(object) => Ok(Some(object)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(anyhow!("it cannot be looked at: {}", plain(&error))),
        }
    }

    async fn delete(&self, path: &Path) -> anyhow::Result<()> {
        match self.store.delete(path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(anyhow!("it cannot be removed: {}", plain(&error))),
        }
    }
}

fn found(object: Option<&ObjectMeta>, stored: &StoredFile) -> Found {
    match object {
        None => Found::Nothing,
        Some(object) if is_another(stored, object) => Found::Other,
        Some(_) => Found::Loaded,
    }
}
