//! A name in a folder that is open, and renames between such names that never overwrite anything.

use std::{
    ffi::OsString,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};

use anyhow::Context;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, statat},
    io::Errno,
};

use super::{CHANGED, Found, LoadedFile, Permission, TOUCHED};
use crate::{
    edge,
    store::{StoredFile, time::microseconds},
};

/// A name in a folder that is open, so that no link can lead elsewhere between two looks.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    pub(super) name: OsString,
}

impl Place {
    /// A name beside it that no scan takes, and that is this version's alone.
    pub(super) fn hidden(&self, stored: &StoredFile) -> anyhow::Result<Self> {
        Ok(Self { folder: self.folder.try_clone()?, name: hidden_name(stored).into() })
    }

    /// What has this name, if it is of our own: renames give a file a new change time, which tells nothing then.
    pub(super) fn look(&self, stored: &StoredFile) -> anyhow::Result<Found> {
        Ok(match self.stat()? {
            None => Found::Nothing,
            Some(stat) if is_version(&stat, stored) => Found::Loaded,
            Some(_) => Found::Other(CHANGED),
        })
    }

    /// What has the file's own name.
    pub(super) fn look_for(&self, file: &LoadedFile) -> anyhow::Result<Found> {
        Ok(match self.stat()? {
            None => Found::Nothing,
            Some(stat) if !is_version(&stat, &file.stored) => Found::Other(CHANGED),
            Some(stat) => {
                let changed = microseconds(stat.st_ctime, stat.st_ctime_nsec.cast_signed());
                // Also an earlier one: then it is another file.
                match file.changed_time {
                    Some(loaded) if loaded != changed => Found::Other(TOUCHED),
                    _ => Found::Loaded,
                }
            }
        })
    }

    pub(super) fn stat(&self) -> anyhow::Result<Option<Stat>> {
        match statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).context("the file cannot be looked at"),
        }
    }

    pub(super) fn remove(&self) -> rustix::io::Result<()> {
        rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty())
    }

    /// Gives what has this name another one, if that is free: `EXIST` if it is not. Asks for the permission right before each call
    /// that takes a name away.
    pub(super) fn rename_to_free(
        &self,
        to: &Self,
        permission: &Permission,
    ) -> anyhow::Result<rustix::io::Result<()>> {
        permission.check()?;
        let passed = edge::pass("after_load::exclusive_rename").map_err(|_| Errno::INVAL);
        let renamed = passed.and_then(|()| {
            let flags = RenameFlags::NOREPLACE;
            rustix::fs::renameat_with(&self.folder, &self.name, &to.folder, &to.name, flags)
        });
        match renamed {
            // NFS and some others know no such rename. A link refuses as well, and is made before the old name goes.
            Err(Errno::INVAL | Errno::NOSYS) => {
                match rustix::fs::linkat(&self.folder, &self.name, &to.folder, &to.name, AtFlags::empty()) {
                    Err(Errno::EXIST) => self.finish_link(to, permission),
                    Err(error) => Ok(Err(error)),
                    Ok(()) => {
                        edge::pass("after_load::after_link")?;
                        self.finish_link(to, permission)
                    }
                }
            }
            Err(Errno::EXIST) => self.finish_link(to, permission),
            renamed => Ok(renamed),
        }
    }

    /// Removes this name if the other one is a link to the same file, made now or by an earlier try that came no further.
    fn finish_link(&self, to: &Self, permission: &Permission) -> anyhow::Result<rustix::io::Result<()>> {
        if !self.is_same_file(to) {
            return Ok(Err(Errno::EXIST));
        }
        // Once more: the link may have hung, and another scanner may have taken it away again by now, so that this is the only name.
        permission.check()?;
        Ok(self.remove())
    }

    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        let stat = |place: &Self| statat(&place.folder, &place.name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let (own, other) = (stat(self), stat(other));
        own.zip(other).is_some_and(|(own, other)| (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
    }
}

/// Of the version alone: in another dataset the same URI is the same file. And of its name in its folder, not of where that is: a
/// folder that moves takes along what was set aside, and `--rename-prefix` changes the URIs. Ids would not do: they come again
/// after a database was restored.
pub(super) fn hidden_name(stored: &StoredFile) -> String {
    let name = stored.uri.rsplit('/').next().unwrap_or_default().to_owned();
    let in_its_folder = StoredFile { uri: name, ..stored.clone() };
    format!(".longshore-{}", in_its_folder.identity(0).simple())
}

fn is_version(stat: &Stat, stored: &StoredFile) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_file()
        && stat.st_size == stored.size_in_bytes
        && microseconds(stat.st_mtime, stat.st_mtime_nsec.cast_signed()) == stored.modified_time
}

/// Whether what was set aside is under its name again; not if that is taken by now.
///
/// With a permission, too: by now another scanner may be about to remove what was set aside, which would be recorded as removed and
/// yet be there.
pub(super) fn put_back(aside: &Place, place: &Place, permission: &Permission) -> anyhow::Result<bool> {
    match aside.rename_to_free(place, permission)? {
        Ok(()) => sync(&place.folder).map(|()| true),
        Err(Errno::NOENT) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error).context("the file cannot be put back under its name"),
    }
}

pub(super) fn open_folder(
    at: impl std::os::fd::AsFd,
    path: &Path,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | flags;
    rustix::fs::openat(at, path.as_os_str().as_bytes(), flags, Mode::empty())
}

/// The folder that has this path below `root`, each one opened in the one before.
pub(super) fn open_below(root: OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    path.iter().try_fold(root, |folder, name| open_folder(&folder, Path::new(name), flags))
}

/// Makes the names in a folder outlast a power failure, where its file system knows how.
pub(super) fn sync(folder: &OwnedFd) -> anyhow::Result<()> {
    match rustix::fs::fsync(folder) {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(error) => Err(error).context("the folder cannot be synced"),
    }
}
