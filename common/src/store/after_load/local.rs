//! In a local folder: by renames, which are atomic, so that what was taken can be looked at and, if it is another version
//! than the one that was loaded, goes back before anybody misses it.
//!
//! A file that is open for writing cannot be told from one that is not: that takes a lease (`F_SETLEASE`), for which no crate has
//! a safe call. What holds instead is the delay since the load, for which nobody may have changed the file in any way (size,
//! modified time, change time); a last look after the file has lost its name, when nobody can open it any more; and the way back.

use std::{
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

use anyhow::Context;
use rustix::{
    fs::{CWD, OFlags},
    io::Errno,
};
use url::Url;

use super::{
    Action, AfterLoadOutcome, ELSEWHERE, Found, KEPT, LoadedFile, Permission,
    archive::{Archive, folder_and_name},
    place::{Place, open_below, open_folder, put_back, sync},
};
use crate::edge;

const OTHER_FILE_SYSTEM: &str = "`move_to` must be on the same file system as `source`, and no rename leads from here to there; \
    once one does, `longshore reload` loads the file anew, and moves it then";

/// The source, as a folder of this machine.
#[derive(Debug)]
pub(super) struct LocalFiles {
    root: PathBuf,
    follow_links: bool,
    action: Action,
}

impl LocalFiles {
    pub(super) fn new(source: &str, follow_links: bool, action: Action) -> anyhow::Result<Self> {
        Ok(Self { root: local_path(source)?, follow_links, action })
    }

    /// The source's URI, with a slash at its end.
    pub(super) fn source_uri(&self) -> String {
        Url::from_directory_path(&self.root).map(String::from).unwrap_or_default()
    }

    /// Blocks.
    pub(super) fn take(
        &self,
        file: &LoadedFile,
        permission: &Permission,
    ) -> anyhow::Result<AfterLoadOutcome> {
        let Some(below) = self.below(file)? else { return Ok(AfterLoadOutcome::left(ELSEWHERE)) };
        match &self.action {
            Action::Keep => self.leave(file, KEPT, permission),
            Action::Delete => delete(self.place(&below)?.as_ref(), file, permission),
            Action::Move { archive } => {
                let archive = Archive::new(local_path(archive)?, file, &below);
                self.move_file(self.place(&below)?.as_ref(), &archive, file, permission)
            }
        }
    }

    /// Leaves the file, for this reason, under its own name: an earlier try may have set it aside, and nobody comes back to it once
    /// it is recorded as left. So the name is there, and synced, before that. Blocks.
    pub(super) fn leave(
        &self,
        file: &LoadedFile,
        reason: &str,
        permission: &Permission,
    ) -> anyhow::Result<AfterLoadOutcome> {
        let Some(below) = self.below(file)? else { return Ok(AfterLoadOutcome::left(reason)) };
        let place = self.place(&below)?;
        if let Some(place) = &place {
            let aside = place.hidden(&file.stored)?;
            if !put_back(&aside, place, permission)? {
                let name = aside.name.display();
                return Ok(AfterLoadOutcome::Left(format!(
                    "{reason}; its name is taken, and it is kept as `{name}`"
                )));
            }
            if place.look(&file.stored)? == Found::Loaded {
                return Ok(AfterLoadOutcome::left(reason));
            }
        }
        // Or it has moved it, which was not recorded.
        let found = match &self.action {
            Action::Move { archive } => Archive::new(local_path(archive)?, file, &below).found()?,
            Action::Keep | Action::Delete => None,
        };
        Ok(found.unwrap_or_else(|| AfterLoadOutcome::left(reason)))
    }

    /// The file's path below the source, unless it lies elsewhere.
    fn below(&self, file: &LoadedFile) -> anyhow::Result<Option<PathBuf>> {
        let path = local_path(&file.stored.uri)?;
        let below = path.strip_prefix(&self.root).ok();
        Ok(below.filter(|below| is_plain(below) && below.file_name().is_some()).map(Path::to_owned))
    }

    /// The file's own name, if its folder is there.
    fn place(&self, below: &Path) -> anyhow::Result<Option<Place>> {
        let (folder, name) = folder_and_name(below)?;
        Ok(self.open(folder)?.map(|folder| Place { folder, name: name.to_owned() }))
    }

    /// A folder of the source, if it is there.
    fn open(&self, folder: &Path) -> anyhow::Result<Option<OwnedFd>> {
        let root = open_folder(CWD, &self.root, OFlags::empty())
            .with_context(|| format!("{} cannot be opened on this machine", self.root.display()))?;
        let links = if self.follow_links { OFlags::empty() } else { OFlags::NOFOLLOW };
        match open_below(root, folder, links) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error).context("the file's folder cannot be opened"),
        }
    }

    fn move_file(
        &self,
        place: Option<&Place>,
        archive: &Archive<'_>,
        file: &LoadedFile,
        permission: &Permission,
    ) -> anyhow::Result<AfterLoadOutcome> {
        if let Some(place) = place
            && is_there(place, file)?
        {
            // Before the file loses its name: most of what can keep it from being moved shows here.
            archive.make(&self.root, &place.folder)?;
        }
        let left = match set_aside(place, file, permission)? {
            Taken::Aside(aside) => {
                return match archive.take(&aside, permission)? {
                    Some(moved) => Ok(moved),
                    // No later try could do it. The renames there and back have changed the change time, so that none would know
                    // the file as the one that was loaded: it is left, for the reason that is the true one.
                    None => self.leave(file, OTHER_FILE_SYSTEM, permission),
                };
            }
            Taken::Nothing => AfterLoadOutcome::Gone,
            Taken::Left(reason) => AfterLoadOutcome::Left(reason),
        };
        // An earlier try may have moved it; then what is there now, if anything, came later.
        Ok(archive.found()?.unwrap_or(left))
    }
}

fn is_there(place: &Place, file: &LoadedFile) -> anyhow::Result<bool> {
    Ok(place.look_for(file)? == Found::Loaded
        || place.hidden(&file.stored)?.look(&file.stored)? == Found::Loaded)
}

fn delete(
    place: Option<&Place>,
    file: &LoadedFile,
    permission: &Permission,
) -> anyhow::Result<AfterLoadOutcome> {
    Ok(match set_aside(place, file, permission)? {
        Taken::Aside(aside) => {
            permission.check()?;
            // Only now, when its own name is gone for certain: what has this one is the version that was loaded.
            match aside.remove() {
                // Gone by now means that another scanner was quicker.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => {
                    let hidden =
                        format!("the file cannot be removed, and is `{}` until then", aside.name.display());
                    return Err(error).context(hidden);
                }
            }
            sync(&aside.folder)?;
            AfterLoadOutcome::Deleted
        }
        Taken::Nothing => AfterLoadOutcome::Gone,
        Taken::Left(reason) => AfterLoadOutcome::Left(reason),
    })
}

/// What was set aside.
enum Taken {
    Nothing,
    /// The version that was loaded, and nothing else, under this name.
    Aside(Place),
    /// What is there stays; why.
    Left(String),
}

/// Renames the loaded version to a name of our own; an earlier try may have done that already. What turns out to be another
/// version goes back, and is found by the next scan.
fn set_aside(place: Option<&Place>, file: &LoadedFile, permission: &Permission) -> anyhow::Result<Taken> {
    let Some(place) = place else { return Ok(Taken::Nothing) };
    let aside = place.hidden(&file.stored)?;
    match aside.look(&file.stored)? {
        Found::Nothing => {
            match place.look_for(file)? {
                Found::Nothing => return Ok(Taken::Nothing),
                Found::Other(reason) => return Ok(Taken::Left(reason.to_owned())),
                Found::Loaded => {}
            }
            edge::pass("after_load::before_set_aside")?;
            lose_name(place, &aside, permission)?;
            edge::pass("after_load::after_set_aside")?;
        }
        // Where a rename is a link and a removal, an earlier try came as far as the link. The own name goes first, before anything is
        // done with the other one: else the file would be recorded as removed, or moved, and still be there.
        Found::Loaded if place.is_same_file(&aside) => lose_name(place, &aside, permission)?,
        Found::Loaded | Found::Other(_) => {}
    }
    // Looked at again: between the look and the rename another version may have come, or its writer gone on.
    match aside.look(&file.stored)? {
        Found::Loaded => Ok(Taken::Aside(aside)),
        Found::Nothing => Ok(Taken::Nothing),
        Found::Other(reason) if put_back(&aside, place, permission)? => Ok(Taken::Left(reason.to_owned())),
        Found::Other(_) => {
            let name = aside.name.display();
            Ok(Taken::Left(format!(
                "it was overwritten twice while it was to be taken: the last version has its name, and the one before is kept as `{name}`"
            )))
        }
    }
}

fn lose_name(place: &Place, aside: &Place, permission: &Permission) -> anyhow::Result<()> {
    match place.rename_to_free(aside, permission)? {
        // Gone since the look: told by the next look. Taken since means that another scanner was quicker.
        Ok(()) | Err(Errno::NOENT | Errno::EXIST) => Ok(()),
        Err(error) => Err(error).context("the file cannot be renamed"),
    }
}

fn local_path(url: &str) -> anyhow::Result<PathBuf> {
    let path = Url::parse(url).ok().and_then(|url| url.to_file_path().ok());
    path.with_context(|| format!("{url} is no local path"))
}

/// Whether the path only leads down.
fn is_plain(path: &Path) -> bool {
    path.components().all(|component| matches!(component, Component::Normal(_)))
}
