//! In a local folder: by renames, which are atomic, so that what was taken can be looked at and, if it is another version
//! than the one that was loaded, goes back before anybody misses it.

use std::{
    ffi::OsString,
    fs,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Component, Path, PathBuf},
};

use anyhow::Context;
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};
use url::Url;

use super::{Action, AfterLoadOutcome, CHANGED, ELSEWHERE, Found, KEPT, LoadedFile};
use crate::store::{StoredFile, time::microseconds};

/// The source, as a folder of this machine.
#[derive(Debug)]
pub(super) struct LocalFiles {
    root: PathBuf,
    follow_links: bool,
    action: Action,
}

/// A name in a folder that is open, so that no link can lead elsewhere between two looks.
#[derive(Debug)]
struct Place {
    folder: OwnedFd,
    name: OsString,
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
    pub(super) fn take(&self, file: &LoadedFile) -> anyhow::Result<AfterLoadOutcome> {
        let path = local_path(&file.stored.uri)?;
        let below = path.strip_prefix(&self.root).ok().filter(|below| is_plain(below));
        let Some((below, folder, name)) =
            below.and_then(|below| Some((below, below.parent()?, below.file_name()?)))
        else {
            return Ok(AfterLoadOutcome::left(ELSEWHERE));
        };
        let root = open_folder(CWD, &self.root, OFlags::empty())
            .with_context(|| format!("{} cannot be opened on this machine", self.root.display()))?;
        let place = match open_below(
            root,
            folder,
            if self.follow_links { OFlags::empty() } else { OFlags::NOFOLLOW },
        ) {
            Ok(folder) => Some(Place { folder, name: name.to_owned() }),
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            Err(error) => return Err(error).context("the file's folder cannot be opened"),
        };
        match &self.action {
            Action::Keep => {
                if let Some(place) = &place {
                    put_back(&place.hidden(file)?, place)?;
                }
                Ok(AfterLoadOutcome::left(KEPT))
            }
            Action::Delete => place.map_or(Ok(AfterLoadOutcome::Gone), |place| delete(&place, file)),
            Action::Move { archive } => {
                let archive = local_path(archive)?;
                let target = archive.join(file.id.to_string()).join(below);
                self.move_file(place.as_ref(), &archive, &target, file)
            }
        }
    }

    fn move_file(
        &self,
        place: Option<&Place>,
        archive: &Path,
        target: &Path,
        file: &LoadedFile,
    ) -> anyhow::Result<AfterLoadOutcome> {
        let stored = &file.stored;
        let target_uri = || Url::from_file_path(target).map(String::from).unwrap_or_default();
        let (Some(target_folder), Some(target_name)) = (target.parent(), target.file_name()) else {
            anyhow::bail!("the target has no name");
        };
        if let Some(place) = place {
            // An earlier spec may have begun to delete it.
            put_back(&place.hidden(file)?, place)?;
        }
        let found = place.map_or(Ok(Found::Nothing), |place| place.look(stored))?;
        if let (Found::Loaded, Some(place)) = (&found, place) {
            self.make_archive(archive, place)?;
            make_folders(archive, target_folder)?;
        }
        let below_archive = target_folder.strip_prefix(archive).unwrap_or(target_folder);
        let opened = open_folder(CWD, archive, OFlags::empty())
            .and_then(|root| open_below(root, below_archive, OFlags::NOFOLLOW));
        let aside = match opened {
            Ok(folder) => Place { folder, name: target_name.to_owned() },
            // Only what was moved by an earlier try lies there without having a name here.
            Err(Errno::NOENT | Errno::NOTDIR) if found == Found::Nothing => {
                return Ok(AfterLoadOutcome::Gone);
            }
            Err(Errno::NOENT | Errno::NOTDIR) if found == Found::Other => {
                return Ok(AfterLoadOutcome::left(CHANGED));
            }
            Err(error) => return Err(error).context("the folder below `move_to` cannot be opened"),
        };
        Ok(match set_aside(place, &aside, stored)? {
            Taken::Loaded => {
                sync(&aside.folder)?;
                if let Some(place) = place {
                    sync(&place.folder)?;
                }
                AfterLoadOutcome::Moved(target_uri())
            }
            Taken::Nothing => AfterLoadOutcome::Gone,
            Taken::Left(reason) => AfterLoadOutcome::Left(reason),
        })
    }

    /// Makes the folder of the dataset below `move_to`, from which no link may lead back to where scans look.
    fn make_archive(&self, archive: &Path, place: &Place) -> anyhow::Result<()> {
        fs::create_dir_all(archive).context("`move_to` cannot be made")?;
        if fs::canonicalize(archive)?.starts_with(fs::canonicalize(&self.root)?) {
            anyhow::bail!("a link leads `move_to` to where the next scan would find the file again");
        }
        // Told before anything is made for the file; a rename tells it too, where one device has several file systems.
        if fs::metadata(archive)?.dev() != rustix::fs::fstat(&place.folder)?.st_dev {
            anyhow::bail!(OTHER_FILE_SYSTEM);
        }
        Ok(())
    }
}

const OTHER_FILE_SYSTEM: &str = "`move_to` must be on the same file system as `source`";

fn delete(place: &Place, file: &LoadedFile) -> anyhow::Result<AfterLoadOutcome> {
    let hidden = place.hidden(file)?;
    Ok(match set_aside(Some(place), &hidden, &file.stored)? {
        Taken::Loaded => {
            match rustix::fs::unlinkat(&hidden.folder, &hidden.name, AtFlags::empty()) {
                // Gone by now means that another scanner was quicker.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error).context("the file cannot be removed"),
            }
            sync(&place.folder)?;
            AfterLoadOutcome::Deleted
        }
        Taken::Nothing => AfterLoadOutcome::Gone,
        Taken::Left(reason) => AfterLoadOutcome::Left(reason),
    })
}

/// What was set aside.
enum Taken {
    Nothing,
    /// The version that was loaded, and nothing else.
    Loaded,
    /// Another version, which is where it was; why.
    Left(String),
}

/// Renames the loaded version to a name of our own; an earlier try may have done that already. What turns out to be another
/// version goes back.
fn set_aside(place: Option<&Place>, aside: &Place, stored: &StoredFile) -> anyhow::Result<Taken> {
    if aside.look(stored)? == Found::Nothing
        && let Some(place) = place
    {
        match place.look(stored)? {
            Found::Nothing => return Ok(Taken::Nothing),
            Found::Other => return Ok(Taken::Left(CHANGED.to_owned())),
            Found::Loaded => rename_aside(place, aside)?,
        }
    }
    // Looked at again: between the look and the rename another version may have come.
    match (aside.look(stored)?, place) {
        (Found::Loaded, _) => Ok(Taken::Loaded),
        (Found::Nothing, _) => Ok(Taken::Nothing),
        (Found::Other, Some(place)) if put_back(aside, place)? => Ok(Taken::Left(CHANGED.to_owned())),
        (Found::Other, _) => {
            let name = aside.name.display();
            Ok(Taken::Left(format!("{CHANGED}, and one that came before that is kept as `{name}`")))
        }
    }
}

fn rename_aside(place: &Place, aside: &Place) -> anyhow::Result<()> {
    let renamed = match rename_to_free(place, aside) {
        // NFS and some others cannot refuse to overwrite. Nothing is: the name is our own, and was seen to be free.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::renameat(&place.folder, &place.name, &aside.folder, &aside.name)
        }
        renamed => renamed,
    };
    match renamed {
        // Gone since the look: told by the next look.
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::XDEV) => anyhow::bail!(OTHER_FILE_SYSTEM),
        Err(error) => Err(error).context("the file cannot be renamed"),
    }
}

/// Whether what was set aside is under its name again; not if that is taken by now.
fn put_back(aside: &Place, place: &Place) -> anyhow::Result<bool> {
    let renamed = match rename_to_free(aside, place) {
        Err(Errno::INVAL | Errno::NOSYS) => link_to_free(aside, place),
        renamed => renamed,
    };
    match renamed {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error).context("the file cannot be put back under its name"),
    }
}

fn rename_to_free(from: &Place, to: &Place) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(&from.folder, &from.name, &to.folder, &to.name, RenameFlags::NOREPLACE)
}

/// The same where the file system knows no such rename; only for a name of our own, which nobody else replaces in between.
fn link_to_free(from: &Place, to: &Place) -> rustix::io::Result<()> {
    rustix::fs::linkat(&from.folder, &from.name, &to.folder, &to.name, AtFlags::empty())?;
    rustix::fs::unlinkat(&from.folder, &from.name, AtFlags::empty())
}

impl Place {
    /// A name beside it that no scan takes, and that is this version's alone.
    fn hidden(&self, file: &LoadedFile) -> anyhow::Result<Self> {
        // Of the version alone: in another dataset the same URI is the same file.
        let name = format!(".longshore-{}", file.stored.identity(0).simple());
        Ok(Self { folder: self.folder.try_clone()?, name: name.into() })
    }

    fn look(&self, stored: &StoredFile) -> anyhow::Result<Found> {
        let stat = match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(error) => return Err(error).context("the file cannot be looked at"),
        };
        let is_loaded = FileType::from_raw_mode(stat.st_mode).is_file()
            && stat.st_size == stored.size_in_bytes
            && microseconds(stat.st_mtime, stat.st_mtime_nsec.cast_signed()) == stored.modified_time;
        Ok(if is_loaded { Found::Loaded } else { Found::Other })
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

fn open_folder(at: impl std::os::fd::AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | flags;
    rustix::fs::openat(at, path.as_os_str().as_bytes(), flags, Mode::empty())
}

/// The folder that has this path below `root`, each one opened in the one before.
fn open_below(root: OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    path.iter().try_fold(root, |folder, name| open_folder(&folder, Path::new(name), flags))
}

/// Makes what is missing between `archive` and `folder`, without following a link.
fn make_folders(archive: &Path, folder: &Path) -> anyhow::Result<()> {
    let missing = || "the folder below `move_to` cannot be made";
    let mut open = open_folder(CWD, archive, OFlags::empty()).with_context(missing)?;
    for name in folder.strip_prefix(archive).unwrap_or(folder) {
        match rustix::fs::mkdirat(&open, name.as_bytes(), Mode::from_raw_mode(0o777)) {
            Ok(()) => sync(&open)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error).with_context(missing),
        }
        open = open_folder(&open, Path::new(name), OFlags::NOFOLLOW).with_context(missing)?;
    }
    Ok(())
}

/// Makes the names in a folder outlast a power failure, where its file system knows how.
fn sync(folder: &OwnedFd) -> anyhow::Result<()> {
    match rustix::fs::fsync(folder) {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(error) => Err(error).context("the folder cannot be synced"),
    }
}
