//! In a bucket: a move is a copy and a deletion. No request of object_store's can say "only if it is this version", so the
//! version is compared before and after a copy, and right before a deletion.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};

use super::{
    Action, AfterLoadOutcome, CHANGED, ELSEWHERE, Found, KEPT, LoadedFile, MAX_TARGETS, Permission,
    target_folder,
};
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

    pub(super) async fn take(
        &self,
        file: &LoadedFile,
        permission: &Permission,
    ) -> anyhow::Result<AfterLoadOutcome> {
        let Some((below, path)) = self.below_and_path(file) else {
            return Ok(AfterLoadOutcome::left(ELSEWHERE));
        };
        match &self.action {
            BucketAction::Keep => Ok(AfterLoadOutcome::left(KEPT)),
            BucketAction::Delete => match found(self.head(&path).await?.as_ref(), &file.stored) {
                Found::Nothing => Ok(AfterLoadOutcome::Gone),
                Found::Other(reason) => Ok(AfterLoadOutcome::left(reason)),
                Found::Loaded => {
                    permission.check()?;
                    self.delete(&path).await?;
                    Ok(AfterLoadOutcome::Deleted)
                }
            },
            BucketAction::Move { archive_prefix } => {
                let target = |number| self.target(archive_prefix, file, &below, number);
                self.move_object(&path, &target, &file.stored, permission).await
            }
        }
    }

    /// Leaves the object, for this reason, unless an earlier try has moved it, which was not recorded.
    pub(super) async fn leave(&self, file: &LoadedFile, reason: &str) -> anyhow::Result<AfterLoadOutcome> {
        let left = AfterLoadOutcome::left(reason);
        let BucketAction::Move { archive_prefix } = &self.action else { return Ok(left) };
        let Some((below, path)) = self.below_and_path(file) else { return Ok(left) };
        if found(self.head(&path).await?.as_ref(), &file.stored) == Found::Loaded {
            return Ok(left);
        }
        let target = |number| self.target(archive_prefix, file, &below, number);
        Ok(self.moved_before(&target, &file.stored).await?.unwrap_or(left))
    }

    /// The object's key below the source, and its path; `None` if it lies elsewhere.
    fn below_and_path(&self, file: &LoadedFile) -> Option<(String, Path)> {
        let (bucket, key) = key::of_uri(&file.stored.uri)?;
        let below = self.below_source(&key).filter(|_| bucket == self.source.bucket)?;
        Some((below.to_owned(), readable(&key)?))
    }

    fn target(
        &self,
        archive_prefix: &str,
        file: &LoadedFile,
        below: &str,
        number: u32,
    ) -> anyhow::Result<(AfterLoadOutcome, Path)> {
        let key = format!("{archive_prefix}/{}/{below}", target_folder(file.id, number));
        let path = readable(&key).context("the object's name below `move_to` cannot be used")?;
        Ok((AfterLoadOutcome::Moved(key::uri(&self.source.bucket, &key)), path))
    }

    async fn move_object(
        &self,
        path: &Path,
        target: &Targets<'_>,
        stored: &StoredFile,
        permission: &Permission,
    ) -> anyhow::Result<AfterLoadOutcome> {
        let object = self.head(path).await?;
        let left = match found(object.as_ref(), stored) {
            Found::Loaded => {
                let (moved, copy, is_ours) = self.copy(path, object.as_ref(), target, permission).await?;
                // Still there, the version that was loaded is what was copied.
                if let Found::Other(reason) = found(self.head(path).await?.as_ref(), stored) {
                    if is_ours {
                        // Who has the locks by now may have taken the copy for its own.
                        permission.check()?;
                        self.delete(&copy).await?;
                    }
                    return Ok(AfterLoadOutcome::left(reason));
                }
                if !self.head(&copy).await?.as_ref().is_some_and(|copy| is_whole(copy, stored)) {
                    anyhow::bail!("the copy is not whole");
                }
                permission.check()?;
                self.delete(path).await?;
                return Ok(moved);
            }
            Found::Nothing => AfterLoadOutcome::Gone,
            Found::Other(reason) => AfterLoadOutcome::left(reason),
        };
        // An earlier try may have moved it; then what is there now, if anything, came later.
        Ok(self.moved_before(target, stored).await?.unwrap_or(left))
    }

    /// Copies the object to the first target that is free, unless an earlier try has copied it already; gives whether the copy
    /// was made now. What lies at a target is never overwritten: ids come again after a database was restored.
    async fn copy(
        &self,
        path: &Path,
        object: Option<&ObjectMeta>,
        target: &Targets<'_>,
        permission: &Permission,
    ) -> anyhow::Result<(AfterLoadOutcome, Path, bool)> {
        for number in 1..=MAX_TARGETS {
            let (moved, copy) = target(number)?;
            match self.head(&copy).await? {
                None => {
                    permission.check()?;
                    let copied = self.store.copy(path, &copy).await;
                    copied.map_err(|error| anyhow!("it cannot be copied: {}", plain(&error)))?;
                    return Ok((moved, copy, true));
                }
                Some(there) if object.is_some_and(|object| has_same_content(object, &there)) => {
                    return Ok((moved, copy, false));
                }
                // Another object, or a copy of which no etag tells that it is one: then the object is archived twice.
                Some(_) => {}
            }
        }
        anyhow::bail!("{MAX_TARGETS} names for it are taken below `move_to`")
    }

    async fn moved_before(
        &self,
        target: &Targets<'_>,
        stored: &StoredFile,
    ) -> anyhow::Result<Option<AfterLoadOutcome>> {
        let mut found = None;
        for number in 1..=MAX_TARGETS {
            let (moved, copy) = target(number)?;
            match self.head(&copy).await? {
                None => break,
                // The last one: those before it were there already.
                Some(copy) if is_whole(&copy, stored) => found = Some(moved),
                Some(_) => {}
            }
        }
        Ok(found)
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

/// The outcome and the path of a file's target with this number, from 1.
type Targets<'a> = dyn Fn(u32) -> anyhow::Result<(AfterLoadOutcome, Path)> + Send + Sync + 'a;

fn is_whole(copy: &ObjectMeta, stored: &StoredFile) -> bool {
    u64::try_from(stored.size_in_bytes) == Ok(copy.size)
}

fn has_same_content(object: &ObjectMeta, copy: &ObjectMeta) -> bool {
    object.e_tag.is_some() && object.e_tag == copy.e_tag && object.size == copy.size
}

fn found(object: Option<&ObjectMeta>, stored: &StoredFile) -> Found {
    match object {
        None => Found::Nothing,
        Some(object) if is_another(stored, object) => Found::Other(CHANGED),
        Some(_) => Found::Loaded,
    }
}
